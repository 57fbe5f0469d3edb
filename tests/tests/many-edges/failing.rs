//! The store slow, full, gone, shut or forgetful: every request gets a decision, and none that the store would have
//! refused passes unmarked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign_verifier::check::{Decision, Reason};
use tokio::sync::{Notify, oneshot};

use crate::redis;
use crate::scene::{Phone, decide, edge, permit, questions, refusal, store, store_with_password, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_loss_of_the_store_in_mid_load_loses_no_decision() {
    const CLIENTS: u8 = 8;
    const CALLS: u32 = 100;
    let Some(mut redis) = redis::start(&[]) else { return };
    let edges = [edge(store(redis.port)).await, edge(store(redis.port)).await];
    let (decided, half) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let (edges, decided, half) = (edges.clone(), Arc::clone(&decided), Arc::clone(&half));
        clients.push(tokio::spawn(async move {
            let phone = Phone::new(number);
            let mut told = Vec::new();
            for round in 0..CALLS {
                let edge = &edges[round as usize % 2];
                let path = if round % 4 < 2 { "/closed" } else { "/local" };
                let call = phone.call(path);
                told.push((path, decide(edge, &call).await));
                assert_eq!(refusal(edge, &call).await, Some(Reason::Replayed), "whatever the store says");
                if decided.fetch_add(1, Ordering::Relaxed) == CALLS * u32::from(CLIENTS) / 2 {
                    half.notify_one();
                }
            }
            told
        }));
    }
    half.notified().await;
    redis.kill();
    let (mut shared, mut alone, mut refused) = (0, 0, 0);
    for client in clients {
        for (path, decision) in client.await.unwrap() {
            match (path, decision) {
                (_, Decision::Permit(permit)) if !permit.is_settled_alone() => shared += 1,
                ("/local", Decision::Permit(_)) => alone += 1,
                ("/closed", Decision::Refusal(refusal)) if refusal.reason == Reason::StoreUnavailable => {
                    refused += 1
                }
                (path, other) => panic!("{path}: {other:?}"),
            }
        }
    }
    assert_eq!(shared + alone + refused, CALLS * u32::from(CLIENTS));
    assert!(shared >= CALLS && alone > 0 && refused > 0, "{shared} {alone} {refused}");
}

#[tokio::test]
async fn without_the_store_closed_routes_refuse_and_local_ones_pass_marked() {
    let Some(mut redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let (owner, thief) = (Phone::new(1), Phone::new(2));
    assert_eq!(refusal(&a, &owner.call_with_bearer("/first/local", "token")).await, None);
    redis.kill();
    assert_eq!(refusal(&a, &owner.call("/closed")).await, Some(Reason::StoreUnavailable));
    let call = owner.call("/local");
    assert!(permit(&a, &call).await.is_settled_alone());
    assert_eq!(refusal(&a, &call).await, Some(Reason::Replayed), "this edge has seen it");
    assert!(permit(&b, &call).await.is_settled_alone(), "and the other one could not know");
    let stolen = thief.call_with_bearer("/first/local", "token");
    assert_eq!(
        refusal(&a, &stolen).await,
        Some(Reason::TokenUsedElsewhere),
        "what the store said is remembered"
    );
}

#[tokio::test]
async fn a_store_that_comes_back_is_used_again() {
    let Some(mut redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    redis.kill();
    assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    assert!(a.is_ready(), "or every edge would be taken out at once");
    redis.restart();
    for edge in [&a, &b] {
        until("in use again", async || refusal(edge, &phone.call("/closed")).await.is_none()).await;
    }
    let call = phone.call("/closed");
    assert_eq!((refusal(&a, &call).await, refusal(&b, &call).await), (None, Some(Reason::Replayed)));
}

#[tokio::test]
async fn a_store_that_does_not_answer_costs_its_deadline_a_few_times_and_then_nothing() {
    let Some(redis) = redis::start(&[]) else { return };
    let mut settings = store(redis.port);
    settings.deadline = Duration::from_millis(50);
    let a = edge(settings).await;
    let phone = Phone::new(1);
    until("in use", async || refusal(&a, &phone.call("/closed")).await.is_none()).await;
    // Longer than this test waits for a decision.
    redis.command("CLIENT PAUSE 600000 ALL");
    until("given up", async || {
        assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
        assert!(permit(&a, &phone.call("/local")).await.is_settled_alone());
        a.is_store_connected() == Some(false)
    })
    .await;
    let waited = questions(&a, "store_timed_out");
    for _ in 0..20 {
        assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    }
    assert_eq!(questions(&a, "store_timed_out"), waited, "nobody waits any more");
}

#[tokio::test]
async fn a_full_store_that_keeps_what_it_has_refuses_until_there_is_room() {
    let Some(redis) = redis::start(&["--maxmemory-policy", "noeviction"]) else { return };
    let a = edge(store(redis.port)).await;
    let phone = Phone::new(1);
    let call = phone.call("/closed");
    assert_eq!(refusal(&a, &call).await, None);
    redis.command("CONFIG SET maxmemory 1");
    assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    assert!(permit(&a, &phone.call("/local")).await.is_settled_alone());
    redis.command("CONFIG SET maxmemory 0");
    until("in use again", async || refusal(&a, &phone.call("/closed")).await.is_none()).await;
    let b = edge(store(redis.port)).await;
    assert_eq!(refusal(&b, &call).await, Some(Reason::Replayed), "nothing was thrown away");
}

#[tokio::test]
async fn a_store_that_throws_proofs_away_is_not_used() {
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(redis) = redis::start(&options) else { return };
    let a = edge(store(redis.port)).await;
    let phone = Phone::new(1);
    assert!(!a.is_ready());
    assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    let mut danger = store(redis.port);
    danger.danger_evicting = true;
    assert_eq!(refusal(&edge(danger).await, &phone.call("/closed")).await, None);
    redis.command("CONFIG SET maxmemory-policy noeviction");
    until("in use", async || refusal(&a, &phone.call("/closed")).await.is_none()).await;
    redis.command("CONFIG SET maxmemory-policy volatile-ttl");
    until("given up", async || refusal(&a, &phone.call("/closed")).await.is_some()).await;
}

#[tokio::test]
async fn without_the_password_there_is_no_store() {
    let Some(redis) = redis::start(&["--requirepass", "sesame"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let phone = Phone::new(1);
    let wrong = store_with_password(redis.port, "simsalabim", directory.path());
    for settings in [store(redis.port), wrong] {
        let a = edge(settings).await;
        assert!(!a.is_ready());
        assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    }
    let a = edge(store_with_password(redis.port, "sesame", directory.path())).await;
    assert!(a.is_ready());
    assert_eq!(refusal(&a, &phone.call("/closed")).await, None);
}

#[tokio::test]
async fn a_replica_that_takes_no_writes_is_not_used() {
    let Some(redis) = redis::start(&[]) else { return };
    let a = edge(store(redis.port)).await;
    let phone = Phone::new(1);
    assert_eq!(refusal(&a, &phone.call("/closed")).await, None);
    redis.command("REPLICAOF 127.0.0.1 1");
    assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    redis.command("REPLICAOF NO ONE");
    until("in use again", async || refusal(&a, &phone.call("/closed")).await.is_none()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_no_other_decision_with_it() {
    let Some(redis) = redis::start(&[]) else { return };
    let a = edge(store(redis.port)).await;
    let phone = Phone::new(1);
    for _ in 0..50 {
        let (edge, call) = (Arc::clone(&a), phone.call("/closed"));
        let (begun, begins) = oneshot::channel();
        let gone = tokio::spawn(async move {
            begun.send(()).unwrap();
            decide(&edge, &call).await
        });
        begins.await.unwrap();
        gone.abort();
        assert_eq!(refusal(&a, &phone.call("/closed")).await, None);
    }
}
