// Everything is in the Rust library; a target needs a source.
