import CountersignBindings
import Foundation

extension Countersign {
    /// What an app configures once.
    public struct Configuration: Sendable, Equatable {
        /// Issuer URL of the attestation service, byte-exact as the service says it.
        public var issuer: String
        /// The OAuth `client_id` of the app.
        public var clientID: String
        /// The APIs to which requests are proven. No other host ever gets a token.
        public var apis: [API]
        /// The app's version, as the service shall see it.
        public var appVersion: String
        /// The environment of the build's App Attest keys, as its entitlement says.
        public var appAttest: AppAttestEnvironment
        /// What the app knows of itself, so that a copy under another name or signature tells the service.
        public var expectedApp: ExpectedApp?
        /// The service's keys, if the app brings them along; otherwise they are fetched over TLS.
        public var pinnedKeys: [PinnedKey]?
        /// Permits plain HTTP beyond loopback, for simulators whose service is elsewhere.
        public var dangerPlaintext: Bool

        /// A configuration; nothing is checked before it is used.
        public init(
            issuer: String,
            clientID: String,
            apis: [API],
            appVersion: String = Self.versionOfTheApp,
            appAttest: AppAttestEnvironment = .production,
            expectedApp: ExpectedApp? = nil,
            pinnedKeys: [PinnedKey]? = nil,
            dangerPlaintext: Bool = false
        ) {
            self.issuer = issuer
            self.clientID = clientID
            self.apis = apis
            self.appVersion = appVersion
            self.appAttest = appAttest
            self.expectedApp = expectedApp
            self.pinnedKeys = pinnedKeys
            self.dangerPlaintext = dangerPlaintext
        }

        /// `CFBundleShortVersionString` of the app, or `0`.
        public static var versionOfTheApp: String {
            Bundle.main.infoDictionary?["CFBundleShortVersionString"] as? String ?? "0"
        }
    }

    /// `com.apple.developer.devicecheck.appattest-environment`. Keys of one environment are nothing in the other.
    public enum AppAttestEnvironment: Sendable {
        /// For the App Store and TestFlight.
        case production
        /// For builds from Xcode.
        case development
    }

    /// One API.
    public struct API: Sendable, Equatable {
        /// `https://host[:port]`.
        public var origin: String
        /// What the API calls itself in tokens (RFC 9728).
        public var identifier: String

        /// An API; its identifier is its origin unless it has another.
        public init(_ origin: String, identifier: String? = nil) {
            self.origin = origin
            self.identifier = identifier ?? origin
        }
    }
}

extension Countersign.Configuration {
    /// For the library, which checks it.
    func forPlatform(_ platform: DevicePlatform) -> CountersignBindings.Configuration {
        CountersignBindings.Configuration(
            issuer: issuer,
            clientId: clientID,
            resources: apis.map { ApiResource(origin: $0.origin, identifier: $0.identifier) },
            appVersion: appVersion,
            platform: platform,
            pinnedKeys: pinnedKeys,
            expectedApp: expectedApp,
            dangerPlaintext: dangerPlaintext
        )
    }
}
