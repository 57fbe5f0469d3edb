package dev.countersign

import java.io.File
import kotlinx.coroutines.runBlocking

/** Another process of the same app. */
internal fun child(
    main: String,
    vararg arguments: String,
    options: List<String> = emptyList(),
    shell: List<String> = emptyList(),
): Process {
    val java = File(System.getProperty("java.home"), "bin/java").path
    val library = "-Djna.library.path=${System.getProperty("jna.library.path")}"
    // Where surefire keeps the tests' class path: its own holds one jar that refers to it.
    val classes = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
    val machine = listOf(java, "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", library)
    return ProcessBuilder(shell + machine + options + listOf("-cp", classes, main) + arguments)
        .redirectErrorStream(true).start().also(::endsWithTests)
}

/** Enrols, and prints the instance, or the reason why not. */
internal object EnrolMain {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val (issuer, folder) = arguments
        val device = Countersign.builder(issuer, RealServiceNames.CLIENT).api("https://api.example").appVersion("1.0")
            .development(File(folder)).build()
        println(
            try {
                runBlocking { device.refresh().let { device.standing().instance } }
            } catch (failure: CountersignException) {
                failure.reason
            },
        )
    }
}

/** Loads the library, and prints how that ended. */
internal object LoadMain {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val device = Countersign.builder("https://attest.example", "app").api("https://api.example").appVersion("1.0")
            .development(File(arguments[0])).build()
        repeat(2) {
            val failure = runCatching { runBlocking { device.standing() } }.exceptionOrNull()
            println(if (failure is CountersignException) "${failure::class.simpleName} ${failure.reason}" else "$failure")
        }
    }
}

/** Apart from [RealService], which starts when it is touched. */
internal object RealServiceNames {
    const val CLIENT = "com.example.app"
}
