//! What a device spends on one request, beside one bare Ed25519 signature in the same run; and what taking both
//! tokens apart costs. Prints the length of the header fields.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "modules of a test binary, in which what cannot go on fails"
)]

#[path = "../tests/attester/phone.rs"]
mod phone;
#[path = "../tests/attester/service.rs"]
mod service;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signer, SigningKey};

use countersign_core::attester::ProofRequest;
use countersign_core::encoding::from_base64url;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;

fn device(c: &mut Criterion) {
    let mut phone = phone::Phone::new(phone::IPHONE);
    assert_eq!(phone.obtain(), phone::Outcome::Ready);
    let token = "t".repeat(800);
    let request = ProofRequest {
        method: "GET",
        uri: "https://api.example/orders/12345?page=2",
        credential: Some(&token),
        content: None,
        nonce: None,
        environment: None,
    };
    let now = phone.now();
    let headers = phone.attester.prove(&request, now, &[7; 16]).expect("enrolled");
    for (name, value) in headers.fields() {
        eprintln!("{name}: {} + {} bytes", name.len(), value.len());
    }
    let (result, proof) = (
        from_base64url(&headers.result).expect("base64url"),
        from_base64url(&headers.proof).expect("base64url"),
    );

    let mut group = c.benchmark_group("device");
    let key = SigningKey::from_bytes(&[1; 32]);
    // As long as a proof's Sig_structure.
    let message = vec![0; proof.len() - 40];
    group.bench_function("one Ed25519 signature", |b| b.iter(|| key.sign(black_box(&message))));
    group.bench_function("prove", |b| b.iter(|| phone.attester.prove(black_box(&request), now, &[7; 16])));
    group.bench_function("decode result", |b| b.iter(|| DecodedResult::decode(black_box(&result)).is_ok()));
    group.bench_function("decode proof", |b| b.iter(|| DecodedProof::decode(black_box(&proof)).is_ok()));
    group.finish();
}

criterion_group!(benches, device);
criterion_main!(benches);
