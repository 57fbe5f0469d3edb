//! Runs the crate `appattest` over the corpus: FOLDER TIME [SECONDS CASE...]. See ../README.md.

use std::collections::BTreeMap;

use appattest::assertion::Assertion;
use appattest::attestation::Attestation;
use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// Reads a case and returns what judges it, so that reading is not measured.
type Judge = fn(&Value, &Value) -> Box<dyn Fn() -> bool>;

const FAMILIES: [(&str, Judge); 2] = [("app-attest", attestation), ("app-attest-assertion", assertion)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, time, bench @ ..] = arguments.as_slice() else { panic!("FOLDER TIME [SECONDS CASE...]") };
    let time: u64 = time.parse().expect("seconds since 1970");
    let mut measured: BTreeMap<String, Vec<Box<dyn Fn() -> bool>>> = BTreeMap::new();
    for (family, judge) in FAMILIES {
        let text = std::fs::read_to_string(format!("{folder}/{family}.json")).expect("the corpus is there");
        let manifest: Value = serde_json::from_str(&text).expect("the corpus is JSON");
        for case in manifest["cases"].as_array().expect("there are cases") {
            let name = format!("{family}/{}", case["id"].as_str().unwrap_or_default());
            match bench {
                [] if case["verify_at"] == time => println!("{name} {}", answer(judge(&manifest, case)())),
                [_, cases @ ..] => {
                    let kind = name.split('~').next().unwrap_or_default().to_owned();
                    if cases.contains(&kind) {
                        measured.entry(kind).or_default().push(judge(&manifest, case));
                    }
                }
                _ => {}
            }
        }
    }
    if let [seconds, ..] = bench {
        let seconds: f64 = seconds.parse().expect("a number of seconds");
        // The first measurement is to warm up.
        for _ in std::iter::once(Ok(String::new())).chain(std::io::stdin().lines()) {
            for (name, judges) in &measured {
                let (accepted, seconds) = measure(seconds, judges);
                println!("{name} {accepted} {seconds:.6}");
            }
            println!("end");
        }
    }
}

fn attestation(manifest: &Value, case: &Value) -> Box<dyn Fn() -> bool> {
    let (object, root) = (bytes(&case["attestation_object"]), text(&manifest["roots"][0]));
    let (challenge, app_id, key_id) =
        (text(&case["client_data"]), text(&manifest["policy"]["app_id"]), text(&case["key_id"]));
    Box::new(move || {
        Attestation::from_cbor_bytes(&object)
            .and_then(|attestation| {
                attestation.verify(&challenge, &app_id, &key_id, root.as_bytes()).map(drop)
            })
            .is_ok()
    })
}

fn assertion(manifest: &Value, case: &Value) -> Box<dyn Fn() -> bool> {
    let (object, hash, key) =
        (bytes(&case["assertion"]), bytes(&case["client_data_hash"]), bytes(&case["public_key"]));
    let (challenge, app_id) = (text(&case["client_data"]), text(&manifest["policy"]["app_id"]));
    let counter = case["previous_counter"].as_u64().and_then(|counter| counter.try_into().ok());
    let counter = counter.expect("a counter has 32 bits");
    Box::new(move || {
        Assertion::from_assertion(&object)
            .and_then(|assertion| assertion.verify(&hash, &challenge, &app_id, &key, counter, &challenge))
            .is_ok()
    })
}

fn answer(accepted: bool) -> &'static str {
    if accepted { "accept" } else { "reject" }
}

/// How many calls accepted in about so many seconds of the processor's time, and in how many exactly.
fn measure(seconds: f64, judges: &[Box<dyn Fn() -> bool>]) -> (u32, f64) {
    let mut judges = judges.iter().cycle();
    let (start, mut accepted) = (processor_seconds(), 0_u32);
    loop {
        judges.by_ref().take(16).for_each(|judge| assert!(judge()));
        accepted += 16;
        let elapsed = processor_seconds() - start;
        if elapsed > seconds {
            return (accepted, elapsed);
        }
    }
}

/// The time that this process was on a processor, so that a busy machine does not make it look slow.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).expect("the corpus is base64")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
