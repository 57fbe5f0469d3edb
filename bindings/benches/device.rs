//! What a proof costs on the device, and what an enrolled attester weighs: the library as hosts call it, the bare call of
//! the core, and one Ed25519 signature, in turn, so that a busy machine slows all alike.
//!
//! It counts the processor's time of its thread.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "prints its table; borrows modules of a test"
)]

#[path = "../tests/host/phone.rs"]
mod phone;
#[path = "../../core/tests/attester/service.rs"]
mod service;

use std::hint::black_box;

use countersign_core::attester::{
    Answer, AttestRequest, Attester, Config, Effect, Entropy, Event, Fetch, KeyHandle, MadeKey, Now,
    Platform, ProofRequest, Resource, ResultKeys, Settings,
};
use countersign_core::enrolment::Evidence;
use countersign_core::request::Origin;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::Protection;
use ed25519_dalek::{Signer, SigningKey};
use p256::ecdsa::Signature;
use rustix::time::{ClockId, clock_gettime};

use phone::{API, IPHONE, Phone, block_on, request};
use service::{CLIENT_ID, ISSUER, START, Service};

type Case<'a> = Box<dyn FnMut() + 'a>;

const ROUNDS: usize = 15;
const CALLS: u32 = 2_000;

fn main() {
    let phone = Phone::new();
    let mut kept = None;
    let weighed = allocation_counter::measure(|| {
        let attester = phone.attester(IPHONE);
        block_on(attester.refresh()).unwrap();
        kept = Some(attester);
    });
    let attester = kept.unwrap();
    let (bare, now) = enrolled();
    let key = SigningKey::from_bytes(&[7; 32]);
    let message = [5; 300];
    let given = request();
    let proof_request = ProofRequest {
        method: &given.method,
        uri: &given.uri,
        credential: given.credential.as_deref(),
        content: given.content.as_deref(),
        nonce: None,
        environment: None,
    };
    let mut cases: [(&str, Case<'_>); 3] = [
        (
            "one Ed25519 signature of 300 bytes",
            Box::new(|| {
                black_box(key.sign(black_box(&message)));
            }),
        ),
        (
            "`prove` of the core",
            Box::new(|| drop(black_box(bare.prove(black_box(&proof_request), now, &[3; 16]).unwrap()))),
        ),
        (
            "`prove` of the library's object, from Rust",
            Box::new(|| drop(black_box(attester.prove(black_box(given.clone())).unwrap()))),
        ),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, case), times) in cases.iter_mut().zip(&mut times) {
            let begun = processor_time();
            (0..CALLS).for_each(|_| case());
            times.push((processor_time() - begun) / f64::from(CALLS));
        }
    }
    println!("| on the device | median | least | most |\n| --- | --- | --- | --- |");
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let micros = |seconds: f64| seconds * 1e6;
        let (least, median, most) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
        println!("| {name} | {:.1} us | {:.1} | {:.1} |", micros(median), micros(least), micros(most));
    }
    println!(
        "\nan enrolled attester, with what the service of the test keeps: {} bytes",
        weighed.bytes_current
    );
    println!("at most, while it enrolled: {} bytes", weighed.bytes_max);
}

/// An attester of the core alone, enrolled with a development key.
fn enrolled() -> (Attester, Now) {
    let settings = Settings {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        resources: vec![Resource { origin: Origin::parse(API).unwrap(), identifier: API.to_owned() }],
        app_version: "1.2.3".to_owned(),
        platform: Platform::Development,
        result_keys: ResultKeys::Fetched,
        danger_plaintext: false,
    };
    let mut attester = Attester::new(Config::new(settings).unwrap(), None);
    let now =
        Now { wall: Timestamp::from_unix_seconds(START), uptime: std::time::Duration::from_secs(1_000) };
    let mut service = Service::new();
    let key = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    let mut events = vec![Event::ResultWanted];
    while let Some(event) = events.pop() {
        for effect in attester.step(event, now, &Entropy::new([4; 40])) {
            match effect {
                Effect::Ready => return (attester, now),
                Effect::Failed { error, .. } => panic!("{error}"),
                Effect::Fetch { id, call } => {
                    let answer = fetch(&mut service, &call);
                    events.insert(0, Event::Fetched { id, outcome: Ok(answer) });
                }
                Effect::MakeKey { id, .. } => {
                    let point = key.verifying_key().to_sec1_point(false);
                    let made = MadeKey {
                        handle: KeyHandle::new(vec![1]).unwrap(),
                        public_key: PublicKey::from_p256_sec1(point.as_bytes()).unwrap(),
                        protection: Protection::Software,
                        chain: Vec::new(),
                    };
                    events.push(Event::KeyMade { id, outcome: Ok(made) });
                }
                Effect::Attest { id, request: AttestRequest::DevelopmentKey { message } } => {
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&message);
                    let evidence = Evidence::DevelopmentKey { key_id: "dev".to_owned(), signature };
                    events.push(Event::Attested { id, outcome: Ok(evidence) });
                }
                Effect::Sign { id, message, .. } => {
                    let signature: Signature = key.sign(&message);
                    events.push(Event::Signed { id, outcome: Ok(signature.to_bytes().to_vec()) });
                }
                _ => {}
            }
        }
    }
    panic!("the attester waits for nothing");
}

fn fetch(service: &mut Service, call: &Fetch) -> Answer {
    service.answer(call).unwrap()
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
