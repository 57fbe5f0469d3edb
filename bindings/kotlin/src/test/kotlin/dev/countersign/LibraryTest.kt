package dev.countersign

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The native library, loaded by JNA as on a device; each case in a process of its own. */
class LibraryTest {
    private fun load(library: String): List<String> {
        val option = "-Duniffi.component.countersign.libraryOverride=$library"
        val process = child(LoadMain::class.java.name, temporaryFolder().path, options = listOf(option))
        return process.inputStream.bufferedReader().readText().trim().lines().also { process.waitFor() }
    }

    @Test
    fun `a library that is not there is a typed error, the second time too`() {
        assertEquals(List(2) { "LibraryUnusable library_missing" }, load("/nowhere/libcountersign_ffi.so"))
    }

    @Test
    fun `a library of another version is a typed error, the second time too`() {
        // One without a single function of ours.
        val source = File(temporaryFolder(), "other.c").apply { writeText("int other;\n") }
        val library = File(source.parentFile, "libother.so")
        val cc = ProcessBuilder("cc", "-shared", "-o", library.path, source.path).inheritIO().start()
        assertEquals(0, cc.waitFor())
        assertEquals(List(2) { "LibraryUnusable library_version" }, load(library.path))
    }

    @Test
    fun `the library of this build is the one that is meant`() {
        val library = File(System.getProperty("jna.library.path"), System.mapLibraryName("countersign_ffi"))
        assertTrue(load(library.path).all { it == "null" })
    }
}
