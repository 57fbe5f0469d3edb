// swift-tools-version: 6.0

import PackageDescription

// What a proof costs through the Swift face; `cargo xtask swift measure` builds and runs it on Linux.
let package = Package(
    name: "Measure",
    dependencies: [.package(name: "Countersign", path: "..")],
    targets: [
        .executableTarget(name: "Measure", dependencies: [.product(name: "Countersign", package: "Countersign")])
    ]
)
