//! What an enrolled attester weighs, with everything that it keeps between two requests.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "borrows modules of another test binary, in which what cannot go on fails"
)]

#[path = "host/phone.rs"]
mod phone;
#[path = "../../core/tests/attester/service.rs"]
mod service;

use phone::{ANDROID, IPHONE, Phone, block_on, request};

/// Bytes, at most. The service of the test and its phone are in the count.
const BOUND: i64 = 1024 * 1024;

#[test]
fn an_enrolled_attester_stays_within_a_mebibyte() {
    for platform in [IPHONE, ANDROID] {
        let phone = Phone::new();
        let mut kept = None;
        let weighed = allocation_counter::measure(|| {
            let attester = phone.attester(platform);
            block_on(attester.prove_when_ready(request())).unwrap();
            kept = Some(attester);
        });
        assert!(weighed.bytes_current > 1_000, "nothing was weighed: {weighed:?}");
        assert!(weighed.bytes_current < BOUND && (weighed.bytes_max as i64) < BOUND, "{weighed:?}");
        drop(kept);
    }
}

#[test]
fn requests_and_renewals_leave_nothing_behind() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    let requests = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            attester.prove(request()).unwrap();
        }
    });
    assert_eq!(requests.bytes_current, 0);
    let renewals = |count: u64| {
        let measured = allocation_counter::measure(|| {
            for _ in 0..count {
                phone.advance(301);
                block_on(attester.refresh()).unwrap();
                let mut service = phone.service.lock().unwrap();
                // What the service of the test keeps is not the attester's.
                service.envelopes = Vec::new();
                service.calls = Vec::new();
                phone.gathered.lock().unwrap().clear();
            }
        });
        measured.bytes_current
    };
    renewals(4);
    // The service of the test remembers each challenge and envelope: some 150 bytes.
    assert!(renewals(64) < 64 * 512);
}
