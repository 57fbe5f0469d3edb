import Foundation
import Testing

@testable import Countersign

/// Run by itself, with a library that has the same functions and is of another version.
@Suite struct AnotherVersion {
    static let isThere = ProcessInfo.processInfo.environment["COUNTERSIGN_TEST_ANOTHER_VERSION"] != nil

    @Test(.enabled(if: isThere, "needs a library of another version"))
    func aLibraryOfAnotherVersionIsATypedErrorAndNoCrash() {
        let configuration = Countersign.Configuration(issuer: "https://attest.example", clientID: "app", apis: [])
        #expect(throws: CountersignError.libraryMismatch) {
            try Countersign(development: configuration, folder: World.newFolder())
        }
    }
}
