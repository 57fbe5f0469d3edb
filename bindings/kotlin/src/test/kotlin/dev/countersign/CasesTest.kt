package dev.countersign

import dev.countersign.cases.InstallationCases
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.TestFactory

/** The cases that emulators run too. */
class CasesTest {
    @TestFactory
    fun cases(): List<DynamicTest> =
        InstallationCases(Nginx.api) { RealService.device().api(Nginx.api).build() }.all
            .map { (name, case) -> DynamicTest.dynamicTest(name, case) }
}
