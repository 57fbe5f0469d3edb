//! What one edge has seen counts at the other.

use countersign_verifier::check::Reason;

use crate::redis;
use crate::scene::{NOW, Phone, edge, edge_at, permit, questions, refusal, store};

#[tokio::test]
async fn a_proof_passes_once_across_both_edges() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    for (first, second) in [(&a, &b), (&b, &a)] {
        let call = phone.call("/closed");
        assert!(!permit(first, &call).await.is_settled_alone());
        assert_eq!(refusal(second, &call).await, Some(Reason::Replayed));
        assert_eq!(refusal(first, &call).await, Some(Reason::Replayed));
    }
    assert_eq!(
        (questions(&a, "fresh"), questions(&a, "replayed")),
        (1, 1),
        "its own replays it knows by itself"
    );
}

#[tokio::test]
async fn of_copies_that_race_to_both_edges_one_passes() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    for _ in 0..50 {
        let call = phone.call("/closed");
        let (at_a, at_b) = tokio::join!(refusal(&a, &call), refusal(&b, &call));
        let outcomes = [at_a, at_b];
        assert!(outcomes.contains(&None) && outcomes.contains(&Some(Reason::Replayed)), "{outcomes:?}");
    }
}

#[tokio::test]
async fn edges_with_another_prefix_are_another_domain() {
    let Some(redis) = redis::start(&[]) else { return };
    let mut other = store(redis.port);
    other.key_prefix = "other:".to_owned();
    let (a, b) = (edge(store(redis.port)).await, edge(other).await);
    let call = Phone::new(1).call("/closed");
    assert_eq!((refusal(&a, &call).await, refusal(&b, &call).await), (None, None));
}

#[tokio::test]
async fn a_token_that_was_used_at_one_edge_is_of_no_use_to_a_thief_at_the_other() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let (owner, thief) = (Phone::new(1), Phone::new(2));
    assert_eq!(refusal(&a, &owner.call_with_bearer("/first", "token")).await, None);
    for edge in [&b, &a] {
        let stolen = thief.call_with_bearer("/first", "token");
        assert_eq!(refusal(edge, &stolen).await, Some(Reason::TokenUsedElsewhere));
        assert_eq!(
            refusal(edge, &owner.call_with_bearer("/first", "token")).await,
            None,
            "the thief bars nobody"
        );
    }
}

#[tokio::test]
async fn entries_live_by_the_stores_clock_and_outlive_the_proof_at_every_edge() {
    let Some(redis) = redis::start(&[]) else { return };
    // The second edge is half a minute late, and would take a proof for that much longer.
    let (a, b) = (edge(store(redis.port)).await, edge_at(NOW.minus(30), store(redis.port)).await);
    let call = Phone::new(1).call_with_bearer("/first", "token");
    assert_eq!(refusal(&a, &call).await, None);
    let lives = |kind: &str| {
        let key = format!("return_redis.call('KEYS','countersign:{kind}:*')[1]").replace('_', "\u{20}");
        let script = format!("\"return redis.call('TTL', (function() {key} end)())\"");
        redis.command(&format!("EVAL {script} 0")).trim_start_matches(':').parse::<u64>().unwrap()
    };
    // Window and allowance for clocks; the token's nine minutes and the allowance.
    assert!((200..=210).contains(&lives("proof")) && (590..=600).contains(&lives("token")));
    // Too early for the late edge's ten seconds; but the edge that is ten seconds late only knows it.
    let late = edge_at(NOW.minus(10), store(redis.port)).await;
    assert_eq!(refusal(&late, &call).await, Some(Reason::Replayed));
    assert_eq!(refusal(&b, &call).await, Some(Reason::ProofTime));
}

#[tokio::test]
async fn a_store_that_was_flushed_forgets_and_each_edge_still_knows_its_own() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let (owner, thief) = (Phone::new(1), Phone::new(2));
    let call = owner.call("/closed");
    assert_eq!(refusal(&a, &call).await, None);
    assert_eq!(refusal(&a, &owner.call_with_bearer("/first", "token")).await, None);
    redis.command("FLUSHALL");
    redis.command("SCRIPT FLUSH");
    assert_eq!(refusal(&a, &call).await, Some(Reason::Replayed));
    let stolen = thief.call_with_bearer("/first", "token");
    assert_eq!(refusal(&a, &stolen).await, Some(Reason::TokenUsedElsewhere));
    // The script is gone, too; the question is asked all the same, and counts.
    let next = owner.call("/closed");
    assert_eq!((refusal(&a, &next).await, refusal(&b, &next).await), (None, Some(Reason::Replayed)));
}
