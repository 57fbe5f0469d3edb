//! Who may call the administration, and that nobody else learns anything.

use reqwest::Method;

use super::office::{Office, problem, unauthorized};
use crate::administration::{AdminKey, PER_SOURCE, WINDOW};
use crate::store::Actor;

#[tokio::test]
async fn nothing_is_told_without_a_good_key() {
    let office = Office::new().await;
    let store = &office.world.service().store;
    let (by, now) = (Actor::command_line(office.world.now()), office.world.now());
    let (revoked, expired) = (AdminKey::from_random([8; 32]), AdminKey::from_random([9; 32]));
    store.add_admin_key("revoked", &revoked.digest(), None, &by).await.unwrap();
    store.revoke_admin_key("revoked", &by).await.unwrap();
    store.add_admin_key("expired", &expired.digest(), Some(now.plus(1)), &by).await.unwrap();
    office.world.wait(1);
    let unknown = AdminKey::from_random([10; 32]).reveal().to_string();
    for key in [&unknown, &*revoked.reveal(), &*expired.reveal(), &office.key[..46], "' OR 1=1 --"] {
        let call = office.bare(Method::GET, "/instances").bearer_auth(key);
        assert_eq!(office.refused(call).await, unauthorized(), "{key}");
    }
    let answer = office.bare(Method::GET, "/instances").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(answer).await, unauthorized());
}

#[tokio::test]
async fn a_key_comes_once_and_in_one_field() {
    let office = Office::new().await;
    let bearer = format!("Bearer {}", office.key);
    let twice = office.call(Method::GET, "/instances").header("authorization", &bearer);
    assert_eq!(office.refused(twice).await, unauthorized());
    let joined =
        office.bare(Method::GET, "/instances").header("authorization", format!("{bearer}, {bearer}"));
    assert_eq!(office.refused(joined).await, unauthorized());
    let basic = office.bare(Method::GET, "/instances").basic_auth("ops", Some(&office.key));
    assert_eq!(office.refused(basic).await, unauthorized());
    let in_query = (400, "key-in-query".to_owned());
    for name in ["key", "access_token", "client_id"] {
        // Also where the field has it too: it is in the logs by then.
        let call = office.call(Method::GET, &format!("/instances?{name}={}", office.key));
        assert_eq!(office.refused(call).await, in_query, "{name}");
    }
    let escaped = office.key.replace('_', "%5F");
    let call = office.bare(Method::GET, &format!("/instances?key={escaped}"));
    assert_eq!(office.refused(call).await, in_query);
    for path in [format!("/instances/{}", office.key), format!("/{escaped}/instances")] {
        let call = office.call(Method::GET, &path);
        assert_eq!(office.refused(call).await, (400, "key-in-path".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn whoever_has_no_key_does_not_learn_which_calls_there_are() {
    let office = Office::new().await;
    for path in ["/nothing", "/no/thing", "/instances", "/decisions/00000000", "/keys"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let call = office.bare(method.clone(), path);
            assert_eq!(office.refused(call).await, unauthorized(), "{method} {path}");
        }
    }
    assert_eq!(office.refused(office.call(Method::GET, "/nothing")).await, (404, "not-found".to_owned()));
    let put = office.call(Method::PUT, "/instances");
    assert_eq!(office.refused(put).await, (405, "method-not-allowed".to_owned()));
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_not_heard_for_a_while() {
    let office = Office::new().await;
    let wrong = AdminKey::from_random([8; 32]).reveal().to_string();
    for _ in 0..PER_SOURCE {
        let call = office.bare(Method::GET, "/instances").bearer_auth(&wrong);
        assert_eq!(office.refused(call).await, unauthorized());
    }
    let turned_away = office.call(Method::GET, "/instances").send().await.unwrap();
    assert!(turned_away.headers().contains_key("retry-after"));
    assert_eq!(problem(turned_away).await, (429, "too-many-failures".to_owned()), "also with the right key");
    for path in ["healthz", "readyz", "metrics"] {
        let url = format!("http://{}/{path}", office.world.running.address("admin").unwrap());
        assert_eq!(office.client.get(url).send().await.unwrap().status(), 200, "{path} stays open");
    }
    let metrics = office.world.service().metrics.to_prometheus();
    let counted =
        format!("countersign_admin_key_failures_total{{reason=\"admin_key_unknown\"}} {PER_SOURCE}\n");
    assert!(metrics.contains(&counted), "{metrics}");
    office.world.wait(WINDOW);
    office.get("/instances").await;
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_from_then_on() {
    let office = Office::new().await;
    office.get("/instances").await;
    let by = Actor::command_line(office.world.now());
    assert_eq!(office.world.service().store.revoke_admin_key("ops", &by).await, Ok(true));
    assert_eq!(office.refused(office.call(Method::GET, "/instances")).await, unauthorized());
}

#[tokio::test]
async fn the_administration_is_not_on_the_public_listener() {
    let office = Office::new().await;
    let url = format!("http://{}/admin/v1/instances", office.world.running.address("public").unwrap());
    let response = office.client.get(url).bearer_auth(&office.key).send().await.unwrap();
    assert_eq!(response.status(), 404);
}
