import Countersign
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

// Proves requests against a real service, and prints the median of several rounds in microseconds.

/// Prints at once, also into a pipe.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

let environment = ProcessInfo.processInfo.environment
guard let service = environment["COUNTERSIGN_TEST_SERVICE"], let api = environment["COUNTERSIGN_TEST_API"],
    let client = environment["COUNTERSIGN_TEST_CLIENT"], let url = URL(string: api + "/hello?page=2"),
    let folder = environment["COUNTERSIGN_TEST_FOLDER"]
else { fatalError("`cargo xtask swift measure` says where the service is") }

let configuration = Countersign.Configuration(issuer: service, clientID: client, apis: [Countersign.API(api)])
let countersign = try Countersign(development: configuration, folder: URL(fileURLWithPath: folder))

if CommandLine.arguments.contains("--key") {
    say(try countersign.developmentKey()?.command ?? "")
    exit(0)
}

func microseconds(_ name: String, rounds: Int = 9, of count: Int = 200, _ work: () async throws -> Void) async rethrows {
    var means: [Double] = []
    for _ in 0..<rounds {
        // The processor's time of this process: the machine may be shared.
        let begun = clock()
        for _ in 0..<count { try await work() }
        means.append(Double(clock() - begun) * 1_000_000 / Double(CLOCKS_PER_SEC) / Double(count))
    }
    means.sort()
    say("measure: \(name): \(means[rounds / 2]) us (\(means[0]) to \(means[rounds - 1]))")
}

let begun = DispatchTime.now().uptimeNanoseconds
try await countersign.refresh()
say("measure: first enrolment: \((DispatchTime.now().uptimeNanoseconds - begun) / 1_000) us")

let token = String(repeating: "t", count: 800)
let proven = ApiRequest(method: "GET", uri: url.absoluteString, credential: token)
var request = URLRequest(url: url)
request.setValue("DPoP \(token)", forHTTPHeaderField: "Authorization")
try await microseconds("prove") { _ = try await countersign.prove(proven) }
try await microseconds("sign a URLRequest") { _ = try await countersign.sign(request) }
let body = ApiRequest(method: "POST", uri: url.absoluteString, credential: token, content: Data(count: 1024))
try await microseconds("prove with a body of 1 KiB") { _ = try await countersign.prove(body) }
await microseconds("a call over the boundary") { _ = countersign.standing }
let fields = try await countersign.prove(proven).fields
say("measure: bytes of the header fields: \(fields.map { "\($0.name) \($0.value.utf8.count)" })")
