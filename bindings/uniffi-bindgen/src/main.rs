//! Generates the Kotlin and Swift faces from the built library:
//! `countersign-uniffi-bindgen generate --library libcountersign_ffi.so --language kotlin --out-dir …`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
