//! What a request costs, beside what its cryptography alone would cost, in one run on one core.
//!
//! Every case is measured in turn, round after round, so that a busy machine slows all of them alike; the table
//! prints medians and their ratios. Absolute times mean little on a shared machine.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "prints its table; borrows modules of a test"
)]

#[path = "../../core/tests/attester/phone.rs"]
mod phone;
mod scene;
#[path = "../../core/tests/attester/service.rs"]
mod service;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, UnparsedPublicKey};
use countersign_core::attester::ProofRequest;
use countersign_core::encoding::from_base64url;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;
use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::{Decision, PathMatch, Route};
use ed25519_dalek::{Signer, SigningKey};

use scene::Scene;

/// The place of the warm check among the cases.
const WARM: usize = 2;
/// Where requests come from, where that matters.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const ROUNDS: usize = 60;
/// Inputs made at once, outside the measurement.
const BATCH: u64 = 16;
const SLICE: Duration = Duration::from_millis(12);

struct Case<'a> {
    name: &'static str,
    /// Runs the case this many times and says how long it took: making the input is not measured.
    run: Box<dyn FnMut(u64) -> Duration + 'a>,
    samples: Vec<f64>,
}

fn case<'a>(name: &'static str, mut body: impl FnMut() + 'a) -> Case<'a> {
    let run = move |times: u64| {
        let start = Instant::now();
        for _ in 0..times {
            body();
        }
        start.elapsed()
    };
    Case { name, run: Box::new(run), samples: Vec::new() }
}

/// A case whose input is made anew for each run.
fn case_with<'a, I>(
    name: &'static str,
    mut input: impl FnMut() -> I + 'a,
    mut body: impl FnMut(I) + 'a,
) -> Case<'a> {
    let run = move |times: u64| {
        let mut elapsed = Duration::ZERO;
        for _ in 0..times.div_ceil(BATCH) {
            let inputs: Vec<I> = (0..BATCH).map(|_| input()).collect();
            let start = Instant::now();
            inputs.into_iter().for_each(&mut body);
            elapsed += start.elapsed();
        }
        elapsed
    };
    Case { name, run: Box::new(run), samples: Vec::new() }
}

fn main() {
    let scene = Scene::new(262_144);
    let templates = Scene::with_routes(262_144, templates());
    let limited = Scene::with_routes(262_144, vec![Route { limits: five_limits(), ..Route::new("/") }]);
    let sent = scene.sent();
    assert!(matches!(scene.check(&sent), Decision::Permit(_)), "the measured request passes");

    let result = from_base64url(&sent.result).unwrap();
    let proof = from_base64url(&sent.proof).unwrap();
    let decoded = DecodedProof::decode(&proof).unwrap();
    let mut buffer = [0; 4096];
    let message = decoded.message.to_be_signed(&mut buffer).unwrap();
    let public_key = *DecodedResult::decode(&result).unwrap().claims.confirmation.as_ed25519().unwrap();
    let parsed = ParsedPublicKey::new(&ED25519, public_key).unwrap();
    let mut device = phone::Phone::new(phone::IPHONE);
    assert_eq!(device.obtain(), phone::Outcome::Ready);
    let request = ProofRequest {
        method: "GET",
        uri: "https://api.example/v1/accounts/1234567890/transactions?page=1",
        credential: Some(&sent.authorization[5..]),
        content: None,
        nonce: None,
        environment: None,
    };
    let now = device.now();
    let signing_key = SigningKey::from_bytes(&[1; 32]);
    let mut cases = [
        case("one bare Ed25519 verify, key parsed", || {
            parsed.verify_sig(black_box(message), decoded.message.signature()).unwrap();
        }),
        case("one bare Ed25519 verify, key not parsed", || {
            UnparsedPublicKey::new(&ED25519, public_key)
                .verify(black_box(message), decoded.message.signature())
                .unwrap();
        }),
        case_with(
            "check, warm caches",
            || scene.sent(),
            |sent| {
                assert!(matches!(scene.check(&sent), Decision::Permit(_)));
            },
        ),
        case_with(
            "check, nothing cached",
            || (Scene::new(64), scene.sent()),
            |(cold, sent)| {
                assert!(matches!(cold.check(&sent), Decision::Permit(_)));
            },
        ),
        case("decode a result", || {
            drop(black_box(DecodedResult::decode(black_box(&result)).unwrap().claims))
        }),
        case("decode a proof", || {
            black_box(DecodedProof::decode(black_box(&proof)).unwrap());
        }),
        case_with(
            "refuse a replayed proof, warm caches",
            || (),
            |()| {
                assert!(matches!(scene.check(&sent), Decision::Refusal(_)));
            },
        ),
        case_with(
            "check, warm, the last of 500 templates",
            || templates.sent(),
            |sent| {
                assert!(matches!(templates.check(&sent), Decision::Permit(_)));
            },
        ),
        case_with(
            "check, warm, five limits",
            || limited.sent_from(SOURCE),
            |sent| {
                assert!(matches!(limited.check(&sent), Decision::Permit(_)));
            },
        ),
        case("device: one bare Ed25519 signature", || {
            black_box(signing_key.sign(black_box(message)));
        }),
        case("device: prove", || {
            black_box(device.attester.prove(black_box(&request), now, &[7; 16]).unwrap());
        }),
    ];

    let mut times: Vec<u64> = Vec::new();
    for case in &mut cases {
        let once = (case.run)(BATCH).as_secs_f64() / BATCH as f64;
        times.push(((SLICE.as_secs_f64() / once) as u64).clamp(BATCH, 4096) / BATCH * BATCH);
    }
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&times) {
            let elapsed = (case.run)(*times).as_secs_f64();
            case.samples.push(elapsed / *times as f64);
        }
    }
    let medians: Vec<f64> = cases.iter_mut().map(|case| median(&mut case.samples)).collect();
    let bare = medians[0];
    println!("\n{:<42} {:>10} {:>8}", "case", "median", "ratio");
    for (case, median) in cases.iter().zip(&medians) {
        println!("{:<42} {:>7.2} us {:>7.3}x", case.name, median * 1e6, median / bare);
    }
    // Cold, three signatures are verified: result, proof, access token; here all are Ed25519.
    println!("\ncheck, nothing cached / three bare verifies: {:.3}x", medians[3] / (3.0 * medians[1]));
    let index = |name: &str| cases.iter().position(|case| case.name.contains(name)).unwrap();
    let (templates, limits) = (medians[index("500 templates")], medians[index("five limits")]);
    println!("500 templates / one route: {:.3}x", templates / medians[WARM]);
    println!("five limits / none: {:.3}x", limits / medians[WARM]);
    println!(
        "header bytes: Attestation-Result {}, Attestation-Proof {}",
        sent.result.len(),
        sent.proof.len()
    );
}

/// As an OpenAPI document of many operations makes them; the last one is that of the request.
fn templates() -> Vec<Route> {
    let template = |path: String| Route { path_match: PathMatch::Template, ..Route::new(path) };
    let mut routes: Vec<Route> = (0..499).map(|n| template(format!("/v1/accounts/{{id}}/part{n}"))).collect();
    routes.push(template("/v1/accounts/{id}/transactions".to_owned()));
    routes
}

/// One of each kind; time stands still, so the burst has to last for all requests of the run.
fn five_limits() -> Vec<RateLimit> {
    let limit = |per| RateLimit::new(per, "10000/s".parse().unwrap(), 10_000_000).unwrap();
    [Per::Instance, Per::Subject, Per::Address, Per::Client, Per::Route].map(limit).into()
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
