import CountersignBindings

/// What an app can be told: few, typed, safe to show and to log. `reason` values are stable names; a `reference` is for
/// support.
public enum CountersignError: Error, Sendable, Equatable {
    /// The configuration is wrong: a mistake of the developer.
    case configuration(reason: String)
    /// The request goes to a host that was not configured: it gets no token, and was not sent.
    case unknownOrigin
    /// The request's method or URL has no single reading, or none that can be proven.
    case invalidRequest(reason: String)
    /// There is no result, or it has expired.
    case noResult
    /// The service cannot be reached.
    case unreachable
    /// The service cannot serve now.
    case unavailable(reference: String?)
    /// The service refuses this installation.
    case refused(reference: String?)
    /// Only another version of the app can pass.
    case updateRequired(reference: String?)
    /// The service's answer is not authentic, or not for this device.
    case untrustedAnswer(reason: String)
    /// The key store or the platform's evidence service fails for now.
    case platformUnavailable
    /// The device has no attestation keys left for now; Android alone.
    case noAttestationKeys
    /// The device cannot make the keys or the evidence.
    case deviceUnsupported
    /// The library in the build is of another version than this package: a mistake of the build.
    case libraryMismatch
}

extension CountersignError {
    /// What support asks for, where the service named it.
    public var reference: String? {
        switch self {
        case .unavailable(let reference), .refused(let reference), .updateRequired(let reference): reference
        default: nil
        }
    }

    init(_ error: CountersignBindings.CountersignError) {
        self =
            switch error {
            case .Configuration(let reason): .configuration(reason: reason)
            case .UnknownOrigin: .unknownOrigin
            case .InvalidRequest(let reason): .invalidRequest(reason: reason)
            case .NoResult: .noResult
            case .Unreachable: .unreachable
            case .Unavailable(let reference): .unavailable(reference: reference)
            case .Refused(let reference): .refused(reference: reference)
            case .UpdateRequired(let reference): .updateRequired(reference: reference)
            case .UntrustedAnswer(let reason): .untrustedAnswer(reason: reason)
            case .PlatformUnavailable: .platformUnavailable
            case .NoAttestationKeys: .noAttestationKeys
            case .DeviceUnsupported: .deviceUnsupported
            case .LibraryMismatch: .libraryMismatch
            }
    }
}
