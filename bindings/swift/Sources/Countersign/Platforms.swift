import CountersignBindings
import Foundation

extension Countersign {
    #if os(iOS) && !targetEnvironment(simulator)
    /// On a device: the instance key lives in the Secure Enclave, and App Attest vouches for it. Throws `CountersignError`
    /// for a configuration that is wrong.
    public init(_ configuration: Configuration) throws {
        let ours = configuration.forPlatform(.apple(production: configuration.appAttest == .production))
        try self.init({ try appleAttester(configuration: ours, transport: $0, timer: $1) }, over: ServiceTransport())
    }
    #elseif os(iOS)
    /// In a simulator, which has no App Attest: as `development`, with files in Application Support. Throws
    /// `CountersignError` for a configuration that is wrong.
    public init(_ configuration: Configuration) throws {
        let support = FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)
        try self.init(development: configuration, folder: support.first ?? FileManager.default.temporaryDirectory)
    }
    #endif

    /// For simulators, hosts and tests: keys and state are files in `folder`, and a key vouches for them that a developer
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
