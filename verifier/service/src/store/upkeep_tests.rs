//! What is forgotten, when, and what stays.

use super::bench::{Bench, decision, id_of};
use super::*;
use crate::virtual_world::{START as NOW, iphone};

/// How many rows a table has.
async fn rows(store: &Store, count: &'static str) -> i64 {
    sqlx::query_scalar(count).fetch_one(&store.writer).await.unwrap()
}

/// Everything is kept from this time on.
const fn since(time: Timestamp) -> KeptSince {
    KeptSince { decisions: time, evidence: time, acts: time }
}

#[tokio::test]
async fn evidence_is_forgotten_before_the_decision_that_quotes_it() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let recorded = bench.store.evidence_of(&id_of(1)).await.unwrap().remove(0).recorded.unwrap();
    let refused =
        Decision { verdict: "refused".to_owned(), reasons: vec!["boot-state".to_owned()], ..decision() };
    let circumstances =
        RecordedCircumstances { app_version: "1.0".to_owned(), ..RecordedCircumstances::default() };
    let evidence = RefusedEvidence { recorded: vec![recorded], circumstances };
    bench.store.record_with_evidence(&refused, &evidence).await.unwrap();
    assert_eq!(bench.store.refused_evidence(NOW, 0, 10).await.unwrap().whole.len(), 1);

    let kept = KeptSince { evidence: NOW.plus(1), ..since(NOW) };
    // The refusal, and the enrolment's decision.
    assert_eq!(bench.store.prune(NOW, &kept).await, Ok(2));
    assert!(bench.store.refused_evidence(NOW, 0, 10).await.unwrap().last.is_none());
    let quoting = "SELECT count(*) FROM decision WHERE claims <> 'null' OR appraisal <> 'null' \
                   OR evidence IS NOT NULL OR circumstances IS NOT NULL";
    assert_eq!(rows(&bench.store, quoting).await, 0);
    let left = bench.store.decisions(&DecisionFilter::default(), None, 10).await.unwrap().whole;
    assert_eq!(left.len(), 2);
    assert!(left.iter().any(|decision| decision.reasons == ["boot-state"]));
    assert_eq!(bench.store.evidence_of(&id_of(1)).await.unwrap().len(), 1, "the instance stands on it");
    assert_eq!(bench.store.prune(NOW, &kept).await, Ok(0), "once");
}

#[tokio::test]
async fn the_trail_of_acts_is_forgotten_by_its_own_time() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    bench.store.set_banned(&id_of(1), true, NOW).await.unwrap();
    let acts = async || bench.store.acts(None, 10).await.unwrap().len();
    let others_gone = KeptSince { acts: NOW, ..since(NOW.plus(1)) };
    bench.store.prune(NOW, &others_gone).await.unwrap();
    assert_eq!(acts().await, 1);
    bench.store.prune(NOW, &KeptSince { acts: NOW.plus(1), ..since(NOW) }).await.unwrap();
    assert_eq!(acts().await, 0);
}

#[tokio::test]
async fn what_is_to_be_forgotten_is_found_without_reading_every_decision() {
    let bench = Bench::new().await;
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT rowid FROM decision WHERE time < 5 \
         AND (claims <> 'null' OR appraisal <> 'null' OR evidence IS NOT NULL) LIMIT 10",
    )
    .fetch_all(&bench.store.writer)
    .await
    .unwrap();
    assert!(plan.iter().any(|(.., step)| step.contains("decision_that_quotes_evidence")), "{plan:?}");
}

#[tokio::test]
async fn pruning_forgets_what_is_over_and_nothing_else() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    assert_eq!(bench.store.prune(NOW.plus(1200), &since(NOW)).await, Ok(0));
    assert_eq!(bench.store.prune(NOW.plus(1201), &since(NOW.plus(1))).await, Ok(2));
    assert_eq!(bench.store.consumed(&bench.challenge(1)).await, Ok(None));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_not_used_for_long_is_erased_and_bans_stay() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    bench.enrol(2, 2, &mut iphone().of_somebody_else()).await.unwrap();
    bench.store.set_banned(&id_of(2), true, NOW).await.unwrap();
    assert_eq!(bench.store.erase_unused(NOW).await, Ok(0), "used at this very second");
    assert_eq!(bench.store.erase_unused(NOW.plus(1)).await, Ok(1));
    assert_eq!(bench.store.instance(&id_of(1)).await, Ok(None));
    assert!(bench.store.instance(&id_of(2)).await.unwrap().unwrap().banned);
    let linked = "SELECT count(*) FROM decision WHERE instance IS NOT NULL OR claims <> 'null'";
    assert_eq!(rows(&bench.store, linked).await, 1, "of the banned one");
    let denied = "SELECT count(*) FROM erased_instance";
    assert_eq!(rows(&bench.store, denied).await, 0, "its results expired long ago");
}

#[tokio::test]
async fn the_evidence_of_refusals_is_erased_with_the_instance() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let recorded = bench.admitted(&mut phone).recorded_evidence().to_vec();
    let refused = RefusedEvidence { recorded, circumstances: RecordedCircumstances::default() };
    let decision = Decision { instance: Some(id_of(1)), verdict: "refused".to_owned(), ..decision() };
    bench.store.record_with_evidence(&decision, &refused).await.unwrap();
    let kept = "SELECT count(*) FROM decision WHERE evidence IS NOT NULL OR circumstances IS NOT NULL";
    assert_eq!(rows(&bench.store, kept).await, 1);
    bench.store.erase_instance(&id_of(1), &Actor { name: "ops", now: NOW }).await.unwrap();
    assert_eq!(rows(&bench.store, kept).await, 0);
}

#[tokio::test]
async fn more_than_one_part_of_unused_instances_is_erased() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let copies = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) \
                  INSERT INTO instance (id, client_id, instance_key, platform_key, protection, vouched_by, \
                  evidence_time, evidence_tier, app_version, created, updated) SELECT randomblob(16), 'copy' || i, \
                  instance_key, 'android-key', protection, vouched_by, evidence_time, evidence_tier, app_version, \
                  created, updated FROM instance, n";
    sqlx::query(copies).execute(&bench.store.writer).await.unwrap();
    assert_eq!(bench.store.erase_unused(NOW.plus(1)).await, Ok(451));
}

#[tokio::test]
async fn an_erased_instance_is_denied_until_its_last_result_has_expired() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let by = Actor { name: "ops", now: NOW };
    let before = bench.store.bans(NOW).await.unwrap().sequence;
    assert_eq!(bench.store.erase_instance(&id_of(9), &by).await, Ok(false));
    assert_eq!(bench.store.bans(NOW).await.unwrap().sequence, before, "nothing happened");
    assert_eq!(bench.store.erase_instance(&id_of(1), &by).await, Ok(true));
    let denied = async |after| bench.store.bans(NOW.plus(after)).await.unwrap();
    assert!(denied(0).await.sequence > before);
    assert_eq!(denied(ERASED_DENIED_FOR - 1).await.instances, [id_of(1)]);
    assert!(denied(ERASED_DENIED_FOR).await.instances.is_empty());
    bench.store.prune(NOW.plus(ERASED_DENIED_FOR + 1), &since(NOW)).await.unwrap();
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM erased_instance").await, 0);
}
