import protocol CountersignBindings.Transport
import struct CountersignBindings.ServiceAnswer
import struct CountersignBindings.ServiceCall
import Foundation
import Testing

@testable import Countersign
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// The service and nginx that `cargo xtask swift` started, and what it told of them.
enum World {
    static let service = setting("SERVICE")
    static let api = setting("API")
    static let apiKey = setting("API_KEY")
    static let client = setting("CLIENT")
    /// Whether there is one: these tests mean nothing by themselves.
    static let isThere = !service.isEmpty
    static let isMissing: Comment = "needs the service and nginx that `cargo xtask swift` starts"

    static func configuration(service: String = service, apis: [String] = [api]) -> Countersign.Configuration {
        Countersign.Configuration(
            issuer: service, clientID: client, apis: apis.map { Countersign.API($0) }, appVersion: "1.2.3")
    }

    /// An installation of its own, whose development key is registered.
    static func installation(
        apis: [String] = [api],
        in folder: URL = newFolder(),
        over transport: any Transport = ServiceTransport()
    ) async throws -> Countersign {
        let countersign = try Countersign(development: configuration(apis: apis), folder: folder, over: transport)
        try await register(try #require(try countersign.developmentKey()))
        return countersign
    }

    /// A folder that is not there yet.
    static func newFolder() -> URL {
        FileManager.default.temporaryDirectory.appendingPathComponent("countersign-\(UUID().uuidString)")
    }

    static func url(_ path: String) throws -> URL { try #require(URL(string: api + path)) }

    /// As an administrator does.
    private static func register(_ key: DevelopmentKey) async throws {
        // 04 || X || Y
        let point = try #require(Data(base64URL: key.publicKey))
        #expect(point.count == 65)
        let jwk = ["kty": "EC", "crv": "P-256", "x": point[1..<33].base64URL, "y": point[33..<65].base64URL]
        let content: [String: Any] = [
            "id": key.keyId, "public_key": jwk, "client_ids": [client], "expires": Int(Date().timeIntervalSince1970) + 86_400,
        ]
        var request = URLRequest(url: try #require(URL(string: setting("ADMIN") + "/admin/v1/development-keys")))
        request.httpMethod = "POST"
        request.httpBody = try JSONSerialization.data(withJSONObject: content)
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.setValue("Bearer \(setting("ADMIN_KEY"))", forHTTPHeaderField: "Authorization")
        let (body, response) = try await URLSession.shared.data(for: request)
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        // A second installation in the same folder has the same key.
        #expect([200, 201, 409].contains(status), "\(String(decoding: body, as: UTF8.self))")
    }

    private static func setting(_ name: String) -> String {
        ProcessInfo.processInfo.environment["COUNTERSIGN_TEST_\(name)"] ?? ""
    }
}

/// The real transport, which counts what goes through, and can hold it up.
final class CountingTransport: Transport, @unchecked Sendable {
    private let inner = ServiceTransport()
    private let lock = NSLock()
    private var paths: [String] = []
    private var isHeld = false

    func call(call: ServiceCall) async throws -> ServiceAnswer {
        lock.withLock { paths.append(URL(string: call.url)?.path ?? "") }
        while lock.withLock({ isHeld }) { try await Task.sleep(nanoseconds: 1_000_000) }
        return try await inner.call(call: call)
    }

    func hold(_ hold: Bool) { lock.withLock { isHeld = hold } }

    func calls(to path: String) -> Int { lock.withLock { paths.filter { $0 == path }.count } }
}

extension Data {
    init?(base64URL text: String) {
        let plain = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        self.init(base64Encoded: plain + String(repeating: "=", count: (4 - plain.count % 4) % 4))
    }

    var base64URL: String {
        base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }
}

/// The error that `operation` ends with; nil, and a failed test, if there is none of ours.
func failure(of operation: () async throws -> Void) async -> CountersignError? {
    do {
        try await operation()
        Issue.record("nothing was thrown")
    } catch let error as CountersignError {
        return error
    } catch {
        Issue.record(error)
    }
    return nil
}

/// Waits until `condition` holds.
func until(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(nanoseconds: 1_000_000) }
}
