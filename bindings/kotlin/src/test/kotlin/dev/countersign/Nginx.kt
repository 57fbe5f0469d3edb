package dev.countersign

import java.io.File

/** A real nginx in front of a stand-in for an API, the same for all tests of a run. */
internal object Nginx {
    /** Origin of the API behind it. */
    val api: String = RealService.api

    init {
        start()
    }

    /** The configuration of examples/nginx, with the addresses of this test. */
    private fun start() {
        val example = File(repository, "examples/nginx")
        val folder = temporaryFolder()
        val stand = freePort()
        val addresses = mapOf(8000 to RealService.gateway, 8001 to stand, 8081 to RealService.edge)
        val included = checkNotNull(File(example, "countersign").list()).map { "countersign/$it" }
        for (name in included + "nginx.conf") {
            val text = Regex("127\\.0\\.0\\.1:(\\d+)").replace(File(example, name).readText()) { match ->
                "127.0.0.1:${addresses[match.groupValues[1].toInt()] ?: match.groupValues[1]}"
            }
            File(folder, name).apply { parentFile.mkdirs() }.writeText(text)
        }
        val log = File(folder, "log")
        val program = listOf("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx").first { File(it).canExecute() }
        val words = listOf("-p", folder.path, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
        val process = ProcessBuilder(listOf(program) + words).directory(folder).redirectErrorStream(true)
            .redirectOutput(log).start()
        endsWithTests(process)
        awaitListener(RealService.gateway, process) { log.readText() }
    }
}
