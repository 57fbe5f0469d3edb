//! The forged evidence of `tests/corpus` as seeds: every lie that was thought of once is where a fuzzer starts. Its
//! roots are not trusted here, so what its own signatures say is tried anew under those of this world.

use std::collections::{BTreeMap, BTreeSet};

use base64ct::{Base64, Encoding};
use serde_cbor::Value as Cbor;
use serde_json::Value;

const ANDROID_KEY: &str = include_str!("../../corpus/android-key.json");
const APP_ATTEST: &str = include_str!("../../corpus/app-attest.json");
const ASSERTION: &str = include_str!("../../corpus/app-attest-assertion.json");

/// Every member of this name in the cases of a file, each value once.
fn members(file: &str, member: &str) -> BTreeSet<Vec<u8>> {
    let document: Value = serde_json::from_str(file).expect("the corpus is JSON");
    let cases = document["cases"].as_array().expect("the corpus has cases");
    let bytes = |value: &Value| Base64::decode_vec(value.as_str().expect("text")).expect("base64");
    let values = cases.iter().map(|case| match &case[member] {
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        one => bytes(one),
    });
    values.collect()
}

/// Android chains, one certificate after the other.
pub(crate) fn chains() -> BTreeSet<Vec<u8>> {
    members(ANDROID_KEY, "chain")
}

/// Attestation objects.
pub(crate) fn attestations() -> BTreeSet<Vec<u8>> {
    members(APP_ATTEST, "attestation_object")
}

/// Assertions.
pub(crate) fn assertions() -> BTreeSet<Vec<u8>> {
    members(ASSERTION, "assertion")
}

/// The authenticator data of the attestation objects that have some.
pub(crate) fn authenticator_data() -> BTreeSet<Vec<u8>> {
    let data = attestations().into_iter().filter_map(|object| {
        let mut members: BTreeMap<String, Cbor> = serde_cbor::from_slice(&object).ok()?;
        match members.remove("authData")? {
            Cbor::Bytes(data) => Some(data),
            _ => None,
        }
    });
    data.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_gives_seeds() {
        for seeds in [chains(), attestations(), assertions(), authenticator_data()] {
            assert!(seeds.len() > 20, "{}", seeds.len());
        }
    }
}
