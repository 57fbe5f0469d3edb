import Countersign
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// What the screen shows after a button.
struct Shown: Sendable, Equatable {
    /// One line.
    var verdict: String
    /// Further lines, for whoever helps.
    var details: [String] = []
    /// What support asks for, where there is one.
    var reference: String?
}

/// The app without its screen: enrols, calls, and says in words what came of it.
struct Demo: Sendable {
    private let countersign: Countersign
    private let session: AttestedSession
    private let api: URL

    init(countersign: Countersign, api: URL) {
        self.countersign = countersign
        self.session = AttestedSession(countersign)
        self.api = api
    }

    /// Obtains a result.
    func enrol() async -> Shown {
        await shown {
            try await countersign.refresh()
            let standing = countersign.standing
            let tier = standing.affirming == true ? "affirming" : "warning"
            let key = standing.protection.map { "\($0)" } ?? "none"
            return Shown(
                verdict: "Enrolled: \(tier)", details: ["Installation \(standing.instance ?? "none")", "Key: \(key)"])
        }
    }

    /// Calls the API once.
    func call() async -> Shown {
        await shown {
            let (body, response) = try await session.data(for: URLRequest(url: api.appendingPathComponent("hello")))
            let said = String(decoding: body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            return Shown(
                verdict: response.statusCode == 200 ? "The API answered" : "Refused with status \(response.statusCode)",
                details: said.isEmpty ? [] : [said])
        }
    }

    /// What is to be typed at the service before a simulator is accepted; nil on a device.
    func registration() -> String? {
        (try? countersign.developmentKey())?.command
    }

    private func shown(_ attempt: () async throws -> Shown) async -> Shown {
        do {
            return try await attempt()
        } catch let error as CountersignError {
            return Shown(verdict: Self.sentence(error), reference: error.reference)
        } catch {
            return Shown(verdict: "The API cannot be reached")
        }
    }

    private static func sentence(_ error: CountersignError) -> String {
        switch error {
        case .refused: "The service refuses this installation"
        case .updateRequired: "Please update the app"
        case .unreachable: "The service cannot be reached"
        case .deviceUnsupported: "This device cannot prove itself"
        default: "Not now; please try again"
        }
    }
}
