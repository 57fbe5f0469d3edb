// swift-tools-version: 6.0

import PackageDescription

// The Rust library: for Apple's systems in an XCFramework that `build-xcframework` makes on a Mac; on Linux the shared
// library of the host, of which `cargo xtask swift` says where it is.
#if os(Linux)
let library: Target = .target(name: "CountersignFFI")
#else
let library: Target = .binaryTarget(name: "CountersignFFI", path: "CountersignFFI.xcframework")
#endif

let package = Package(
    name: "Countersign",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Countersign", targets: ["Countersign"])],
    targets: [
        library,
        // Generated from the library, into the folder `Generated`. What the generator writes for asynchronous ports
        // does not compile in the Swift 6 language mode; everything of ours does.
        .target(
            name: "CountersignBindings",
            dependencies: ["CountersignFFI"],
            swiftSettings: [.swiftLanguageMode(.v5)],
            // What the Rust library calls; a static library cannot ask for it by itself.
            linkerSettings: ["DeviceCheck", "Foundation", "Security"].map {
                .linkedFramework($0, .when(platforms: [.iOS]))
            }
        ),
        .target(
            name: "Countersign",
            dependencies: ["CountersignBindings"],
            resources: [.copy("PrivacyInfo.xcprivacy")]
        ),
        .testTarget(name: "CountersignTests", dependencies: ["Countersign"]),
    ]
)
