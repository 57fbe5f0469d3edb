package dev.countersign

import com.sun.jna.Native
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test

/**
 * How long a proof takes, called from Kotlin: `cargo xtask kotlin --prove`. Not a test, and not found by the name of one.
 */
class ProveCost {
    @Test
    fun `prove, called from Kotlin`() {
        RealService.device().api(API).build().use { device ->
            val request = ApiRequest("GET", "$API/v1/orders?page=2", "t".repeat(600))
            runBlocking {
                device.refresh()
                // Until the compilers of the virtual machine have nothing more to do.
                repeat(WARM_UP) { device.prove(request) }
                val rounds = List(ROUNDS) { median { device.prove(request) } }.sorted()
                println("prove through Kotlin, JNA ${Native.VERSION}: ${rounds[ROUNDS / 2] / 1000.0} us, the median of $ROUNDS rounds of medians")
                val thread = List(ROUNDS) { median { device.observe("$API/", 200, null, emptyList()) } }.sorted()
                println("an answer that says nothing, through the same boundary: ${thread[ROUNDS / 2] / 1000.0} us")
            }
        }
    }

    private inline fun median(work: () -> Unit): Long {
        val times = LongArray(CALLS)
        for (index in times.indices) {
            val began = System.nanoTime()
            work()
            times[index] = System.nanoTime() - began
        }
        times.sort()
        return times[CALLS / 2]
    }

    private companion object {
        const val API = "https://api.example"
        const val WARM_UP = 20_000
        const val CALLS = 2_000
        const val ROUNDS = 9
    }
}
