package dev.countersign.demo

import androidx.test.platform.app.InstrumentationRegistry
import dev.countersign.Countersign
import dev.countersign.DevelopmentKey
import dev.countersign.cases.InstallationCases
import java.io.File
import java.util.UUID
import kotlinx.coroutines.runBlocking
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.json.JSONObject
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** The cases of every platform, on an emulator, against the service that `cargo xtask scene` started. */
@RunWith(Parameterized::class)
public class InstallationTest(@Suppress("unused") private val name: String, private val case: () -> Unit) {
    @Test
    public fun holds(): Unit = case()

    public companion object {
        private val arguments = InstrumentationRegistry.getArguments()
        private val folder = InstrumentationRegistry.getInstrumentation().targetContext.noBackupFilesDir

        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        public fun cases(): List<Array<Any>> =
            InstallationCases(argument("api"), ::newInstallation).all.map { (name, case) -> arrayOf(name, case) }

        private fun argument(name: String) = checkNotNull(arguments.getString(name)) { "-e $name is missing" }

        private fun newInstallation(): Countersign {
            val own = File(folder, UUID.randomUUID().toString()).apply { check(mkdir()) }
            val installation = Countersign.builder(argument("service"), argument("client")).api(argument("api"))
                .appVersion("1.0").development(own).build()
            register(checkNotNull(runBlocking { installation.developmentKey() }))
            return installation
        }

        /** As an administrator does. */
        private fun register(key: DevelopmentKey) {
            val point = android.util.Base64.decode(key.publicKey, android.util.Base64.URL_SAFE)
            val coordinate = { from: Int ->
                val flags = android.util.Base64.URL_SAFE or android.util.Base64.NO_WRAP or android.util.Base64.NO_PADDING
                android.util.Base64.encodeToString(point.copyOfRange(from, from + 32), flags)
            }
            val jwk = JSONObject(mapOf("kty" to "EC", "crv" to "P-256", "x" to coordinate(1), "y" to coordinate(33)))
            val content = JSONObject()
                .put("id", key.keyId).put("public_key", jwk).put("client_ids", org.json.JSONArray(listOf(argument("client"))))
                .put("expires", System.currentTimeMillis() / 1000 + 86_400)
            val request = Request.Builder().url("${argument("admin")}/admin/v1/development-keys")
                .header("Authorization", "Bearer ${argument("adminKey")}")
                .post(content.toString().toRequestBody("application/json".toMediaType())).build()
            OkHttpClient().newCall(request).execute().use { check(it.code == 201) { "${it.code} ${it.body!!.string()}" } }
        }
    }
}
