package dev.countersign

import dev.countersign.demo.Demo
import dev.countersign.demo.Shown
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The app of examples/android-app without its screen. */
class ExampleAppTest {
    private val device = RealService.device().api(Nginx.api).build()
    private val demo = Demo(device, Nginx.api)

    @Test
    fun `it enrols, calls, and shows who it is`() = runBlocking {
        val enrolled = demo.enrol()
        assertEquals("Enrolled: warning", enrolled.verdict, "a development key never makes affirming")
        assertTrue(device.standing().instance!! in enrolled.details.joinToString())
        assertEquals("The API answered", demo.call().verdict)
    }

    @Test
    fun `it tells what is to be registered`() = runBlocking {
        assertTrue(demo.registration()!!.startsWith("countersign development-keys add "))
    }

    @Test
    fun `a refusal is shown with its reference`() = runBlocking {
        // A key that nobody registered.
        Countersign.builder(RealService.issuer, RealService.CLIENT).api(Nginx.api).appVersion("1.0")
            .development(temporaryFolder()).build().use { stranger ->
                for (shown in listOf(Demo(stranger, Nginx.api).enrol(), Demo(stranger, Nginx.api).call())) {
                    assertEquals("The service refuses this installation", shown.verdict)
                    assertNotNull(shown.reference)
                }
            }
    }

    @Test
    fun `a service or an API that is not there is said in words`() = runBlocking {
        val nowhere = "http://127.0.0.1:${freePort()}"
        Countersign.builder(nowhere, RealService.CLIENT).api(Nginx.api).appVersion("1.0").development(temporaryFolder()).build()
            .use { assertEquals(Shown("The service cannot be reached", listOf("service_unreachable")), Demo(it, Nginx.api).enrol()) }
        RealService.device().api(nowhere).build().use {
            val shown = Demo(it, nowhere).call()
            assertEquals("The API cannot be reached", shown.verdict)
            assertNull(shown.reference)
        }
    }

    @Test
    fun `nothing that is shown is a token`() = runBlocking {
        val shown = listOf(demo.enrol(), demo.call()).joinToString()
        val proof = device.prove(ApiRequest("GET", "${Nginx.api}/hello"))
        proof.fields.values.forEach { assertFalse(it in shown) }
    }
}
