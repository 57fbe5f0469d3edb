//! Instances over HTTP: listed, banned and erased.

use countersign_core::token::result::InstanceId;
use reqwest::Method;
use serde_json::{Value, json};

use super::office::Office;
use crate::virtual_world::{CLIENT, android, iphone, session};

#[tokio::test]
async fn instances_are_listed_by_filter_and_page() {
    let office = Office::new().await;
    let [iphone, android] = office.enrolled().await;
    let listed = async |query: &str| -> Vec<String> {
        let page = office.get(&format!("/instances{query}")).await;
        let instances = page["instances"].as_array().unwrap();
        instances.iter().map(|instance| instance["instance"].as_str().unwrap().to_owned()).collect()
    };
    let now = office.world.now().as_unix_seconds();
    assert_eq!(listed("?platform=app-attest").await, std::slice::from_ref(&iphone));
    assert_eq!(listed(&format!("?client_id={CLIENT}&platform=android-key&tier=affirming")).await, [android]);
    assert_eq!(listed("?app_version=1.0&banned=false").await.len(), 2);
    assert_eq!(listed(&format!("?updated_since={now}&updated_before={}", now + 1)).await.len(), 2);
    for none in [
        "?client_id=other",
        "?tier=warning",
        "?banned=true",
        "?app_version=2.0",
        "?updated_before=2026-01-01",
    ] {
        assert!(listed(none).await.is_empty(), "{none}");
    }
}

#[tokio::test]
async fn what_comes_and_goes_meanwhile_moves_nobody_between_pages() {
    let office = Office::new().await;
    let [first, second] = office.enrolled().await;
    let third = office.world.enrol(&mut iphone().of_somebody_else()).await.to_base64url();
    let mut left = vec![first, second, third];
    let mut path = "/instances?limit=1".to_owned();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = office.get(&path).await;
        let ids = page["instances"].as_array().unwrap().iter();
        seen.extend(ids.map(|instance| instance["instance"].as_str().unwrap().to_owned()));
        if seen.len() == 1 {
            // The page that was just read loses its only entry, and somebody else enrols.
            assert_eq!(office.status(Method::DELETE, &format!("/instances/{}", seen[0]), None).await, 204);
            office.world.enrol(&mut android().of_somebody_else()).await;
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/instances?limit=1&cursor={next}"),
            None => break,
        }
    }
    left.retain(|id| !seen.contains(id));
    assert!(left.is_empty(), "nobody is left out");
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "nobody stands on two pages");
}

#[tokio::test]
async fn a_ban_is_kept_with_its_reason_and_lifted() {
    let office = Office::new().await;
    let [iphone, android] = office.enrolled().await;
    let ban = format!("/instances/{iphone}/ban");
    assert_eq!(office.status(Method::POST, &ban, Some(json!({ "reason": "fraud 17" }))).await, 204);
    let shown = office.get(&format!("/instances/{iphone}")).await;
    let since = office.world.now().as_unix_seconds();
    assert_eq!(
        (&shown["banned"], &shown["ban"]),
        (&json!(true), &json!({ "since": since, "reason": "fraud 17" }))
    );
    assert_eq!(office.get("/instances?banned=true").await["instances"].as_array().map(Vec::len), Some(1));
    let list = office.world.service().deny_list().await.unwrap();
    assert_eq!(list.instances, [InstanceId::from_base64url(&iphone).unwrap()].into());

    assert_eq!(office.status(Method::POST, &format!("/instances/{iphone}/unban"), None).await, 204);
    let shown = office.get(&format!("/instances/{iphone}")).await;
    assert_eq!((&shown["banned"], &shown["ban"]), (&json!(false), &Value::Null));
    let later = office.world.service().deny_list().await.unwrap();
    assert!(later.instances.is_empty() && later.sequence > list.sequence);

    let acts = office.get("/acts?limit=2").await;
    assert_eq!(acts["acts"][0]["action"], "unban-instance");
    assert_eq!(
        acts["acts"][1],
        json!({
            "number": 2, "time": since, "actor": "ops", "action": "ban-instance", "object": iphone, "detail": "fraud 17",
        })
    );
    assert!(!office.get("/acts").await.to_string().contains(&android));
}

#[tokio::test]
async fn what_is_shown_of_an_instance_holds_no_key() {
    let office = Office::new().await;
    let mut phone = iphone();
    let id = office.world.enrol(&mut phone).await;
    let shown = office.get(&format!("/instances/{}", id.to_base64url())).await.to_string();
    let key = phone.instance_key();
    let jwk = key.to_jwk();
    assert!(shown.contains(&key.thumbprint().to_base64url()));
    assert!(!shown.contains(&jwk.x) && !shown.contains(&jwk.y.unwrap()), "{shown}");
}

#[tokio::test]
async fn an_erased_instance_is_gone_and_its_last_result_is_denied_until_it_has_expired() {
    let office = Office::new().await;
    let (world, mut phone) = (&office.world, iphone());
    let envelope = phone.enrol(&world.call(), &session("first"));
    let answer = world.service().attest(None, &envelope).await.unwrap();
    let id = InstanceId::from_base64url(&answer.instance_id).unwrap();
    let path = format!("/instances/{}", answer.instance_id);
    let before = world.service().deny_list().await.unwrap();
    assert_eq!(office.status(Method::DELETE, &path, None).await, 204);
    assert_eq!(office.status(Method::GET, &path, None).await, 404);
    assert_eq!(office.status(Method::DELETE, &path, None).await, 404);

    let decisions = office.get("/decisions").await;
    assert_eq!(decisions["decisions"][0]["instance"], Value::Null);
    let reference = decisions["decisions"][0]["reference"].as_str().unwrap();
    assert_eq!(office.get(&format!("/decisions/{reference}")).await["claims"], Value::Null);

    let denied = async || world.service().deny_list().await.unwrap();
    assert!(denied().await.instances.contains(&id) && denied().await.sequence > before.sequence);
    // The same request, sent again, is answered for nobody; the key may enrol anew, as another instance.
    assert!(world.service().attest(None, &envelope).await.is_err());
    let renewal = phone.renew(&world.call(), id, &session("second"));
    assert!(world.service().attest(Some(id), &renewal).await.is_err());
    assert_ne!(world.enrol(&mut phone).await, id);

    world.wait(659);
    assert!(denied().await.instances.contains(&id));
    world.wait(1);
    assert!(!denied().await.instances.contains(&id));
}

#[tokio::test]
async fn a_damaged_row_is_named_and_keeps_nobody_else_from_being_listed() {
    let office = Office::new().await;
    let ids = office.enrolled().await;
    let store = &office.world.service().store;
    store.damage("instance", "labels", &InstanceId::from_base64url(&ids[0]).unwrap()).await;
    let page = office.get("/instances").await;
    assert_eq!(
        (page["instances"].as_array().map(Vec::len), &page["unreadable"]),
        (Some(1), &json!([ids[0]]))
    );
    assert_eq!(page["instances"][0]["instance"], ids[1].as_str());
    // It takes its place on a page, so that whoever goes on comes past it.
    let mut seen = Vec::new();
    let mut next = Value::Null;
    for _ in &ids {
        let cursor = next.as_str().map_or_else(String::new, |next| format!("&cursor={next}"));
        let page = office.get(&format!("/instances?limit=1{cursor}")).await;
        let named = page["instances"].as_array().unwrap().iter().map(|instance| &instance["instance"]);
        seen.extend(named.chain(page["unreadable"].as_array().unwrap()).cloned());
        next = page["next"].clone();
    }
    assert!(seen.len() == 2 && ids.iter().all(|id| seen.contains(&json!(id))), "{seen:?}");
    // Of one that has no name either, nothing can be told; the others can.
    store.damage_with("UPDATE instance SET id = x'00' WHERE labels = '[damaged'").await;
    assert_eq!(office.get("/instances").await["instances"][0]["instance"], ids[1].as_str());
}

#[tokio::test]
async fn a_damaged_decision_is_named_and_keeps_no_other_from_being_listed() {
    let office = Office::new().await;
    office.enrolled().await;
    office
        .world
        .service()
        .store
        .damage_with("UPDATE decision SET reasons = '[damaged' WHERE rowid = 2")
        .await;
    let page = office.get("/decisions").await;
    assert_eq!(page["decisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["unreadable"].as_array().map(Vec::len), Some(1));
    let latest = office.get("/decisions?limit=1").await;
    assert_eq!((&latest["decisions"], &latest["unreadable"]), (&json!([]), &page["unreadable"]));
    let cursor = latest["next"].as_str().unwrap();
    assert_eq!(office.get(&format!("/decisions?cursor={cursor}")).await["decisions"], page["decisions"]);
}
