import CountersignBindings

// The values of the library that apps see, under the same names.

/// A request that is to be proven, as it will be sent.
public typealias ApiRequest = CountersignBindings.ApiRequest
/// What matters of an API's answer.
public typealias ApiAnswer = CountersignBindings.ApiAnswer
/// What to do about an API's answer.
public typealias Advice = CountersignBindings.Advice
/// What proves to an authorization server that the app holds the attested key.
public typealias ClientProof = CountersignBindings.ClientProof
/// The public half of a development key, and how it is registered.
public typealias DevelopmentKey = CountersignBindings.DevelopmentKey
/// What the app knows of itself.
public typealias ExpectedApp = CountersignBindings.ExpectedApp
/// Header fields for one request, good for it only, and once.
public typealias Proof = CountersignBindings.Proof
/// One header field.
public typealias HeaderField = CountersignBindings.HeaderField
/// Where a key lives.
public typealias KeyProtection = CountersignBindings.KeyProtection
/// A key of the service that the app brings along.
public typealias PinnedKey = CountersignBindings.PinnedKey
/// What is known of this installation; nothing in it is secret.
public typealias Standing = CountersignBindings.Standing

/// Shows itself by a description that says nothing of tokens and bodies, also to `dump` and `Mirror`.
protocol Discreet: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {}

extension Discreet {
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [], displayStyle: .struct) }
}

extension ApiRequest: Discreet {
    /// The method alone: a URL's query, a token and a body may be anybody's secret.
    public var description: String { "ApiRequest(\(method))" }
}

extension ApiAnswer: Discreet {
    /// The status alone.
    public var description: String { "ApiAnswer(\(status))" }
}

extension ClientProof: Discreet {
    /// Which it is.
    public var description: String {
        switch self {
        case .pop: "ClientProof(pop)"
        case .dpop: "ClientProof(dpop)"
        }
    }
}

extension Proof: Discreet {
    /// How many fields there are. Their values pass for the request while they live.
    public var description: String { "Proof(\(fields.count) fields, refresh due: \(refreshDue))" }
}

extension HeaderField: Discreet {
    /// The name alone.
    public var description: String { "HeaderField(\(name))" }
}
