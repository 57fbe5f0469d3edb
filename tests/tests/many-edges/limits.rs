//! Limits count at all edges together, by the same sum as at one.

use countersign_edge::shared_store::GCRA;
use countersign_verifier::check::limits::{Gcra, Per};
use countersign_verifier::check::{Decision, Reason};

use crate::redis;
use crate::scene::{Phone, decide, edge, permit, refusal, store};

#[tokio::test]
async fn a_quota_is_one_for_both_edges() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let (one, two) = (Phone::new(1), Phone::new(2));
    for edge in [&a, &b, &a] {
        assert_eq!(refusal(edge, &one.call("/limited")).await, None);
    }
    for edge in [&a, &b] {
        let Decision::Refusal(refused) = decide(edge, &one.call("/limited")).await else { panic!("passed") };
        assert_eq!(refused.reason, Reason::RateLimit(Per::Instance));
        assert!((3590..=3600).contains(&refused.retry_after.unwrap()), "{refused:?}");
    }
    // What its own quota refused took nothing from the route's five.
    assert_eq!(refusal(&a, &two.call("/limited")).await, None);
    assert_eq!(refusal(&b, &two.call("/limited")).await, None);
    assert_eq!(refusal(&b, &two.call("/limited")).await, Some(Reason::RateLimit(Per::Route)));
    assert_eq!(refusal(&a, &two.call("/closed")).await, None, "another route");
}

#[tokio::test]
async fn a_replay_draws_on_no_quota() {
    let Some(redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    let phone = Phone::new(1);
    let call = phone.call("/limited");
    assert_eq!(refusal(&a, &call).await, None);
    for _ in 0..10 {
        assert_eq!(refusal(&b, &call).await, Some(Reason::Replayed));
    }
    assert_eq!(refusal(&b, &phone.call("/limited")).await, None);
}

#[tokio::test]
async fn without_the_store_each_edge_counts_for_itself() {
    let Some(mut redis) = redis::start(&[]) else { return };
    let (a, b) = (edge(store(redis.port)).await, edge(store(redis.port)).await);
    redis.kill();
    let phone = Phone::new(1);
    for edge in [&a, &b] {
        for _ in 0..3 {
            assert!(permit(edge, &phone.call("/limited/local")).await.is_settled_alone());
        }
        let refused = refusal(edge, &phone.call("/limited/local")).await;
        assert_eq!(refused, Some(Reason::RateLimit(Per::Instance)));
    }
}

#[test]
fn the_stores_script_and_the_edge_do_the_same_sum() {
    const START: u64 = 1_800_000_000_000_000;
    const DAYS: u64 = 30 * 86_400 * 1_000_000;
    let Some(redis) = redis::start(&[]) else { return };
    let mut compared = 0;
    for (interval, burst) in
        [(1, 1), (100, 10_000), (1_000_000, 20), (333_334, 3), (DAYS / 7, 7), (8 * DAYS, 1)]
    {
        let gcra = Gcra::new(interval, burst);
        let (memory, tolerance) = (gcra.memory(), gcra.burst_tolerance());
        let mut ahead = vec![0, 1, interval, tolerance, memory, memory + 60_000_000, memory + 3_600_000_000];
        ahead.extend(ahead.clone().into_iter().map(|micros| micros + 1));
        let tats = ahead.into_iter().map(|micros| START + micros);
        for tat in tats.chain([0, 1, START - 1, START - interval]) {
            let words = format!("local new, wait = admit({tat}, {START}, {interval}, {burst})");
            let said =
                "if new then return string.format('%.0f', new) else return string.format('-%.0f', wait) end";
            let script = format!("{GCRA} {words} {said}").replace('\n', " ");
            let expected = match gcra.admit(tat, START) {
                Ok(new) => new.to_string(),
                Err(wait) => format!("-{}", wait.as_micros()),
            };
            assert_eq!(redis.command(&format!("EVAL \"{script}\" 0")), expected, "{gcra:?} {tat}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}
