//! Nonces of one edge are good at all of them, also while their keys change.

use std::sync::Arc;

use countersign_core::challenge::Challenge;
use countersign_edge::EdgeRuntime;
use countersign_verifier::check::{Decision, Reason};

use crate::redis::{self, Redis};
use crate::scene::{Phone, decide, edge, refusal, store, until};

const KEYS: &str = "countersign:nonce-keys";

#[tokio::test]
async fn a_nonce_of_one_edge_is_good_at_the_other_once() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    let nonce = nonce_of(&a, &phone).await;
    let call = phone.call_with_nonce("/nonce", Some(&nonce));
    assert_eq!(refusal(&b, &call).await, None);
    assert_eq!(refusal(&a, &call).await, Some(Reason::Replayed));
}

#[tokio::test]
async fn keys_change_without_a_refused_nonce() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    let before = nonce_of(&a, &phone).await;
    // An hour later by the store's clock there is a next key, which nobody uses before all have had a minute to get it.
    age(&redis, 0, 3600);
    until("a next key", async || redis.command(&format!("LLEN {KEYS}")) == ":2").await;
    assert_eq!(key_of(&nonce_of(&a, &phone).await), key_of(&before));
    age(&redis, 0, 60);
    let is_new = async |edge| key_of(&nonce_of(edge, &phone).await) != key_of(&before);
    until("the next key in use", async || is_new(&a).await && is_new(&b).await).await;
    let after = nonce_of(&b, &phone).await;
    for (edge, nonce) in [(&a, &after), (&b, &before)] {
        assert_eq!(refusal(edge, &phone.call_with_nonce("/nonce", Some(nonce))).await, None);
    }
}

#[tokio::test]
async fn a_key_ends_when_the_third_one_after_it_comes() {
    let Some(redis) = redis::start(&[]) else { return };
    let a = edge(store(redis.port)).await;
    let phone = Phone::new(1);
    let before = nonce_of(&a, &phone).await;
    for length in [2, 3] {
        age(&redis, 0, 3600);
        until("a next key", async || redis.command(&format!("LLEN {KEYS}")) == format!(":{length}")).await;
    }
    let newest = redis.command(&format!("LINDEX {KEYS} 0"));
    age(&redis, 0, 3600);
    let is_pushed =
        async || redis.command(&format!("LINDEX {KEYS} 1")).split(':').next() == newest.split(':').next();
    until("a fourth key", is_pushed).await;
    assert_eq!(redis.command(&format!("LLEN {KEYS}")), ":3");
    let stale = phone.call_with_nonce("/nonce", Some(&before));
    until("the first key is forgotten", async || matches!(refusal(&a, &stale).await, Some(Reason::Nonce(_))))
        .await;
}

#[tokio::test]
async fn while_the_store_is_gone_nonces_are_made_and_recognised_on() {
    let Some(mut redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    redis.kill();
    let phone = Phone::new(1);
    let nonce = nonce_of(&a, &phone).await;
    let call = phone.call_with_nonce("/nonce", Some(&nonce));
    assert_eq!(refusal(&b, &call).await, Some(Reason::StoreUnavailable), "the nonce was good");
}

/// The nonce that a refusal brings.
async fn nonce_of(edge: &Arc<EdgeRuntime>, phone: &Phone) -> Challenge {
    match decide(edge, &phone.call("/nonce")).await {
        Decision::Refusal(refusal) if refusal.reason == Reason::NonceMissing => refusal.nonce.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The key that a nonce was made with.
fn key_of(nonce: &Challenge) -> u8 {
    nonce.as_bytes()[1]
}

/// Makes the key at `index` older.
fn age(redis: &Redis, index: usize, seconds: u64) {
    let entry = redis.command(&format!("LINDEX {KEYS} {index}"));
    let [id, made, key] = entry.split(':').collect::<Vec<_>>().try_into().unwrap();
    let made = made.parse::<u64>().unwrap() - seconds;
    redis.command(&format!("LSET {KEYS} {index} {id}:{made}:{key}"));
}
