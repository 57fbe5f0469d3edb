import CountersignBindings
import Foundation

extension Countersign {
    /// On an iPhone or iPad: the instance key lives in the Secure Enclave, and App Attest vouches for it. In a simulator,
    /// which has neither, the library falls back to a development key (`developmentKey`). Throws `CountersignError`:
    /// `configuration`, `deviceUnsupported` on other systems, `platformUnavailable` if there is no folder for the state.
    public init(_ configuration: Configuration) throws {
        let ours = configuration.forPlatform(.apple(production: configuration.appAttest == .production))
        try self.init({ try appleAttester(configuration: ours, transport: $0, timer: $1) }, over: ServiceTransport())
    }

    /// For hosts and tests: keys and state are files in `folder`, and a key vouches for them that a developer
    /// registers (`developmentKey`). Production policies refuse it. Throws `CountersignError` for a configuration that is
    /// wrong.
    public init(development configuration: Configuration, folder: URL) throws {
        try self.init(development: configuration, folder: folder, over: ServiceTransport())
    }

    init(development configuration: Configuration, folder: URL, over transport: any Transport) throws {
        let ours = configuration.forPlatform(.development)
        let make = { (transport: any Transport, timer: any CountersignBindings.Timer) in
            try Attester.development(configuration: ours, folder: folder.path, transport: transport, timer: timer)
        }
        try self.init(make, over: transport)
    }
}
