import Countersign
import SwiftUI

/// One screen: enrol, call, and see the verdict with its reference.
@main
struct DemoApp: App {
    var body: some Scene {
        WindowGroup { DemoScreen(demo: Self.demo) }
    }

    /// Made once. Nothing is done before a button is pressed.
    private static let demo: Result<Demo, any Error> = Result {
        let environment = ProcessInfo.processInfo.environment
        let api = environment["API"] ?? "http://127.0.0.1:8000"
        let configuration = Countersign.Configuration(
            issuer: environment["SERVICE"] ?? "http://127.0.0.1:8080",
            clientID: environment["CLIENT"] ?? "com.example.app.dev",
            apis: [Countersign.API(api)],
            // As the entitlement of builds from Xcode says.
            appAttest: .development
        )
        guard let url = URL(string: api) else { throw URLError(.badURL) }
        return Demo(countersign: try Countersign(configuration), api: url)
    }
}

struct DemoScreen: View {
    let demo: Result<Demo, any Error>
    @State private var shown = Shown(verdict: "")
    @State private var isBusy = false

    var body: some View {
        VStack(alignment: .leading, spacing: 16) {
            switch demo {
            case .success(let demo):
                HStack {
                    button("Enrol") { await demo.enrol() }
                    button("Call") { await demo.call() }
                }
                if let command = demo.registration() {
                    Text("Type this where the service runs:\n\(command)").font(.footnote)
                }
            case .failure(let error):
                Text("The configuration is wrong: \(String(describing: error))")
            }
            Text(shown.verdict).font(.headline)
            ForEach(shown.details, id: \.self) { Text($0) }
            if let reference = shown.reference { Text("Reference for support: \(reference)") }
            Spacer()
        }
        .textSelection(.enabled)
        .padding()
    }

    private func button(_ label: String, _ action: @escaping @MainActor () async -> Shown) -> some View {
        Button(label) {
            isBusy = true
            Task {
                shown = await action()
                isBusy = false
            }
        }
        .buttonStyle(.borderedProminent)
        .disabled(isBusy)
    }
}
