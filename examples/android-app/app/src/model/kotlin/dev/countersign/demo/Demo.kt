package dev.countersign.demo

import dev.countersign.Countersign
import dev.countersign.CountersignException
import dev.countersign.okhttp.countersign
import java.io.IOException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import okhttp3.OkHttpClient
import okhttp3.Request

/**
 * What the screen shows after a button.
 *
 * @property verdict one line.
 * @property details further lines, for whoever helps.
 * @property reference what support asks for, where there is one.
 */
public data class Shown(
    public val verdict: String,
    public val details: List<String> = emptyList(),
    public val reference: String? = null,
)

/** The app without its screen: enrols, calls, and says in words what came of it. */
public class Demo(private val countersign: Countersign, private val api: String) {
    private val client = OkHttpClient.Builder().countersign(countersign).build()

    /** Obtains a result. */
    public suspend fun enrol(): Shown = shown {
        countersign.refresh()
        val standing = countersign.standing()
        val tier = if (standing.affirming == true) "affirming" else "warning"
        Shown("Enrolled: $tier", listOf("Installation ${standing.instance}", "Key: ${standing.protection}"))
    }

    /** Calls the API once. */
    public suspend fun call(): Shown = shown {
        val (status, said) = withContext(Dispatchers.IO) {
            val request = Request.Builder().url("$api/hello").build()
            client.newCall(request).execute().use { it.code to it.body!!.string() }
        }
        Shown(if (status == 200) "The API answered" else "Refused with status $status", listOf(said.trim()).filter { it.isNotEmpty() })
    }

    /** What is to be typed at the service before an emulator is accepted; null on a device. */
    public suspend fun registration(): String? = countersign.developmentKey()?.command

    private suspend fun shown(attempt: suspend () -> Shown): Shown = try {
        attempt()
    } catch (failure: CountersignException) {
        Shown(sentence(failure), listOf(failure.reason), failure.reference)
    } catch (_: IOException) {
        Shown("The API cannot be reached")
    }

    private fun sentence(failure: CountersignException) = when (failure) {
        is CountersignException.Refused -> "The service refuses this installation"
        is CountersignException.UpdateRequired -> "Please update the app"
        is CountersignException.Unreachable -> "The service cannot be reached"
        is CountersignException.DeviceUnsupported -> "This device cannot prove itself"
        else -> "Not now; please try again"
    }
}
