//! The most expensive inputs of allowed size allocate no more than a small multiple of their own length: counted,
//! not guessed. What they cost in time is printed by `cargo bench -p countersign-tests --bench bounds`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../benches/hostile_inputs.rs"]
mod hostile_inputs;

/// Bytes that a decoder may hold at once for each byte of input, and besides.
const PER_BYTE: u64 = 32;
const BESIDES: u64 = 64 * 1024;

#[test]
fn what_the_worst_inputs_allocate_follows_from_their_length() {
    for case in hostile_inputs::cases() {
        assert!((case.good)(), "{}: the good input passes", case.name);
        let mut accepted = false;
        let measured = allocation_counter::measure(|| accepted = (case.worst)());
        assert_eq!(accepted, case.is_accepted, "{}", case.name);
        let most = PER_BYTE * case.length as u64 + BESIDES;
        assert!(
            measured.bytes_max <= most,
            "{}: {} bytes at once for {}",
            case.name,
            measured.bytes_max,
            case.length
        );
    }
}
