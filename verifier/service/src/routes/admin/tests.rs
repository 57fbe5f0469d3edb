//! The rest of the administration over HTTP: queries and bodies, users, decisions, development keys.

use std::sync::Arc;

use countersign_verifier::check::deny_list::SubjectDigest;
use countersign_verifier::policy::{AppMode, AppPolicy, AppraisalPolicy};
use countersign_virtual_device::EnrolmentAttack;
use reqwest::Method;
use serde_json::{Value, json};

use super::office::{Office, problem, unauthorized};
use crate::trust::Trust;
use crate::virtual_world::{CLIENT, iphone, session};

#[tokio::test]
async fn queries_are_read_strictly() {
    let office = Office::new().await;
    let invalid = (400, "invalid-request".to_owned());
    for query in [
        "limit=0",
        "limit=501",
        "limit=4294967296",
        "limit=-1",
        "limit=1&limit=2",
        "limits=1",
        "banned=maybe",
        "banned=1",
        "platform=iphone",
        "tier=2",
        "cursor=%27%20OR%201%3D1%20--",
        "cursor=",
        "updated_since=yesterday",
        "updated_since=-1",
        "client_id=a&client_id=b",
        "order=id;DROP TABLE instance",
    ] {
        let call = office.call(Method::GET, &format!("/instances?{query}"));
        assert_eq!(office.refused(call).await, invalid, "{query}");
    }
    for path in [
        "/decisions?verdict=denied",
        "/decisions?cursor=1%20OR%201",
        "/acts?cursor=x",
        "/subjects?cursor=AAAA",
    ] {
        assert_eq!(office.refused(office.call(Method::GET, path)).await, invalid, "{path}");
    }
    let [iphone, _] = office.enrolled().await;
    let call = office.call(Method::GET, &format!("/instances/{iphone}?verbose"));
    assert_eq!(office.refused(call).await, invalid);
}

#[tokio::test]
async fn what_looks_like_sql_is_text() {
    let office = Office::new().await;
    let [iphone, _] = office.enrolled().await;
    let not_found = (404, "not-found".to_owned());
    for id in ["'%20OR%20'1'='1", "%00", "%ff", "..%2F..", "*", "AAAAAAAAAAAAAAAAAAAAAB", &"A".repeat(4000)] {
        for (method, path) in [
            (Method::GET, format!("/instances/{id}")),
            (Method::DELETE, format!("/instances/{id}")),
            (Method::POST, format!("/instances/{id}/unban")),
            (Method::GET, format!("/decisions/{id}")),
            (Method::DELETE, format!("/subjects/{id}")),
            (Method::DELETE, format!("/development-keys/{id}")),
        ] {
            assert_eq!(office.refused(office.call(method, &path)).await, not_found, "{path}");
        }
    }
    let listed = office.get("/instances?client_id=app%27%20OR%20%271%27=%271").await;
    assert_eq!(listed["instances"], json!([]));
    let reason = json!({ "reason": "'); DROP TABLE instance; --" });
    assert_eq!(
        office.status(Method::POST, &format!("/instances/{iphone}/ban"), Some(reason.clone())).await,
        204
    );
    assert_eq!(office.get(&format!("/instances/{iphone}")).await["ban"]["reason"], reason["reason"]);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let office = Office::new().await;
    let [iphone, _] = office.enrolled().await;
    let path = format!("/instances/{iphone}/ban");
    let send = async |kind: &'static str, body: Vec<u8>| {
        let call = office.call(Method::POST, &path).header("content-type", kind).body(body);
        office.refused(call).await
    };
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "{\"reason\":1}",
        "{\"reason\":\"x\",\"until\":1}",
        "{\"reason\":\"x\",\"reason\":\"y\"}",
        "{\"reason\":\"two\\nlines\"}",
        "{\"reason\":\"x\"} trailing",
    ] {
        let told = send("application/json", body.as_bytes().to_vec()).await;
        assert_eq!(told, (400, "invalid-request".to_owned()), "{body}");
    }
    let good = br#"{"reason":"x"}"#.to_vec();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"] {
        assert_eq!(send(kind, good.clone()).await.0, 400, "{kind}");
    }
    for length in [16 * 1024 + 1, 65 * 1024] {
        let told = send("application/json", vec![b' '; length]).await;
        assert_eq!(told, (413, "body-too-large".to_owned()));
    }
    let long = json!({ "reason": "x".repeat(501) }).to_string().into_bytes();
    assert_eq!(send("application/json", long).await.0, 400);
    let unban = office.call(Method::POST, &format!("/instances/{iphone}/unban")).body("{}");
    assert_eq!(office.refused(unban).await.0, 400);
    let delete = office.call(Method::DELETE, &format!("/instances/{iphone}")).body("now");
    assert_eq!(office.refused(delete).await.0, 400);
    assert_eq!(office.get(&format!("/instances/{iphone}")).await["banned"], false, "nothing was changed");
    assert_eq!(office.get("/acts").await["acts"].as_array().map(Vec::len), Some(1), "nor written down");
}

#[tokio::test]
async fn users_are_banned_listed_and_let_in_again() {
    let office = Office::new().await;
    let service = office.world.service();
    let ban =
        |subject: &str| json!({ "issuer": "https://login.example", "subject": subject, "reason": "spam" });
    let before = service.deny_list().await.unwrap().sequence;
    let made = office.call(Method::POST, "/subjects").json(&ban("user|1")).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert_eq!(office.status(Method::POST, "/subjects", Some(ban("user|2"))).await, 201);
    let list = service.deny_list().await.unwrap();
    assert_eq!(list.subjects.len(), 2);
    assert!(
        list.sequence > before
            && list.subjects.contains(&SubjectDigest::of("https://login.example", "user|1"))
    );

    let first = office.get("/subjects?limit=1").await;
    let next = first["next"].as_str().unwrap();
    let second = office.get(&format!("/subjects?limit=1&cursor={next}")).await;
    assert_ne!(first["subjects"][0]["subject"], second["subjects"][0]["subject"]);
    assert_eq!(office.get("/subjects?issuer=https://other.example").await["subjects"], json!([]));

    let path = format!("/subjects/{}", made["id"].as_str().unwrap());
    assert_eq!(office.status(Method::DELETE, &path, None).await, 204);
    assert_eq!(office.status(Method::DELETE, &path, None).await, 404);
    let later = service.deny_list().await.unwrap();
    assert!(later.sequence > list.sequence && later.subjects.len() == 1);
    for (wrong, status) in [
        (json!({ "issuer": "", "subject": "x", "reason": "" }), 400),
        (json!({ "issuer": "https://login.example", "subject": "", "reason": "" }), 400),
        (json!({ "issuer": "https://login.example", "subject": "x".repeat(513), "reason": "" }), 400),
        (json!({ "issuer": "https://login.example", "subject": "x" }), 400),
        (json!({ "issuer": "https://login.example", "subject": ["x"], "reason": "" }), 400),
    ] {
        assert_eq!(office.status(Method::POST, "/subjects", Some(wrong.clone())).await, status, "{wrong}");
    }
}

#[tokio::test]
async fn decisions_are_found_by_verdict_reason_and_time_and_explained_by_reference() {
    let office = Office::new().await;
    let world = &office.world;
    world.enrol(&mut iphone()).await;
    world.wait(100);
    let forged = iphone().forge_enrolment(&world.call(), &session("x"), EnrolmentAttack::RelayedEvidence);
    let denial = world.service().attest(None, &forged).await.err().unwrap();
    let reference = denial.reference.unwrap().to_string();
    let count = async |query: &str| {
        office.get(&format!("/decisions{query}")).await["decisions"].as_array().map(Vec::len).unwrap()
    };
    let start = world.now().minus(100).as_unix_seconds();
    assert_eq!(count("").await, 2);
    assert_eq!(count("?verdict=refused").await, 1);
    assert_eq!(count("?reason=evidence_nonce_mismatch").await, 1);
    assert_eq!(count("?reason=evidence").await, 0, "a reason is a whole word");
    assert_eq!(count(&format!("?since={}", start + 1)).await, 1);
    assert_eq!(count(&format!("?before={}", start + 1)).await, 1);
    assert_eq!(count("?client_id=other").await, 0);
    let first = office.get("/decisions?limit=1").await;
    assert_eq!(first["decisions"][0]["reference"], reference.as_str(), "the latest first");
    let next = first["next"].as_str().unwrap();
    assert_eq!(count(&format!("?limit=1&cursor={next}")).await, 1);

    let explained = office.get(&format!("/decisions/{}", reference.to_ascii_lowercase())).await;
    assert_eq!(explained["verdict"], "refused");
    assert_eq!(explained["decided_by"], json!(["evidence_nonce_mismatch"]));
    assert_eq!(office.status(Method::GET, "/decisions/00000000", None).await, 404);
}

fn development_trust() -> Trust {
    let mut app = AppPolicy::new("dev");
    app.mode = AppMode::Development;
    Trust::new(AppraisalPolicy::new("test/2").with_app(app).with_app(AppPolicy::new(CLIENT))).unwrap()
}

#[tokio::test]
async fn development_keys_are_registered_for_development_apps_and_end() {
    let office = Office::new().await;
    office.world.service().trust.store(Arc::new(development_trust()));
    let jwk = {
        let secret = p256::ecdsa::SigningKey::from_slice(&[6; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let key =
            countersign_core::token::keys::PublicKey::from_p256_sec1(point.as_bytes()).unwrap().to_jwk();
        json!({ "kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y })
    };
    let now = office.world.now().as_unix_seconds();
    let registration = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "id": "laptop", "public_key": jwk, "client_ids": ["dev"], "expires": now + 86_400,
        });
        change(&mut body);
        Some(body)
    };
    let path = "/development-keys";
    for (what, body) in [
        ("an app for users", registration(&|body| body["client_ids"] = json!(["dev", CLIENT]))),
        ("an unknown app", registration(&|body| body["client_ids"] = json!(["other"]))),
        ("no app", registration(&|body| body["client_ids"] = json!([]))),
        ("no end", registration(&|body| drop(body.as_object_mut().unwrap().remove("expires")))),
        ("an end that has passed", registration(&|body| body["expires"] = json!(now))),
        ("an end after a year", registration(&|body| body["expires"] = json!(now + 367 * 86_400))),
        ("a private key", registration(&|body| body["public_key"]["d"] = json!("AAAA"))),
        ("no key", registration(&|body| body["public_key"] = json!("PEM"))),
        ("a bad name", registration(&|body| body["id"] = json!("a b"))),
        ("an unknown member", registration(&|body| body["scope"] = json!("all"))),
    ] {
        assert_eq!(office.status(Method::POST, path, body).await, 400, "{what}");
    }
    assert_eq!(office.status(Method::POST, path, registration(&|_| {})).await, 201);
    assert_eq!(office.status(Method::POST, path, registration(&|_| {})).await, 409);
    let listed = office.get(path).await;
    assert_eq!(listed["development_keys"][0]["standing"], "good");
    assert!(!listed.to_string().contains(jwk["x"].as_str().unwrap()), "a thumbprint is enough");
    assert_eq!(office.status(Method::DELETE, "/development-keys/laptop", None).await, 204);
    assert_eq!(office.status(Method::DELETE, "/development-keys/laptop", None).await, 404);
    assert_eq!(office.get(path).await["development_keys"][0]["standing"], "revoked");
    assert_eq!(
        office.status(Method::POST, path, registration(&|_| {})).await,
        409,
        "names are not used twice"
    );
}

#[tokio::test]
async fn a_call_that_fails_in_the_database_says_so_and_tells_nothing_else() {
    let office = Office::new().await;
    office.world.service().store.close().await;
    let told = office.refused(office.call(Method::GET, "/instances")).await;
    assert_eq!(told, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_call_that_takes_nothing_refuses_query_and_body_and_changes_nothing() {
    let office = Office::new().await;
    let [iphone, _] = office.enrolled().await;
    for (method, path) in [
        (Method::DELETE, format!("/instances/{iphone}")),
        (Method::POST, format!("/instances/{iphone}/unban")),
        (Method::DELETE, "/subjects/AAAA".to_owned()),
        (Method::DELETE, "/development-keys/laptop".to_owned()),
    ] {
        for call in [
            office.call(method.clone(), &format!("{path}?force=true")),
            office.call(method.clone(), &path).body("{}"),
            office.call(method.clone(), &path).body(" "),
        ] {
            assert_eq!(office.refused(call).await, (400, "invalid-request".to_owned()), "{method} {path}");
        }
        let long = office.call(method.clone(), &path).body("x".repeat(16 * 1024 + 1));
        assert_eq!(office.refused(long).await, (413, "body-too-large".to_owned()), "{method} {path}");
    }
    assert_eq!(office.status(Method::GET, &format!("/instances/{iphone}"), None).await, 200);
}

#[tokio::test]
async fn what_a_re_appraisal_decided_is_found_by_its_verdict() {
    let office = Office::new().await;
    office.enrolled().await;
    let nobody = Trust::new(AppraisalPolicy::new("test/2")).unwrap();
    office.world.service().trust.store(Arc::new(nobody));
    office.world.service().reappraise_all().await.unwrap();
    for (verdict, count) in [("withdrawn", 2), ("restored", 0), ("lowered", 0), ("raised", 0)] {
        let found = office.get(&format!("/decisions?verdict={verdict}")).await;
        assert_eq!(found["decisions"].as_array().map(Vec::len), Some(count), "{verdict}");
    }
}

#[tokio::test]
async fn what_is_neither_time_nor_key_is_told_in_words() {
    let office = Office::new().await;
    let registration = |key: Value, expires: Value| json!({ "id": "laptop", "public_key": key, "client_ids": ["dev"], "expires": expires });
    for (body, words) in [
        (registration(json!("PEM"), json!(1e99)), "a time is seconds since 1970"),
        (registration(json!(5), json!("2026-12-01")), "`public_key` is a JWK, or text in PEM"),
    ] {
        let response = office.call(Method::POST, "/development-keys").json(&body).send().await.unwrap();
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with(words), "{problem}");
    }
}

#[tokio::test]
async fn attempts_are_a_page_like_the_others_for_whoever_has_a_key_alone() {
    let office = Office::new().await;
    assert_eq!(office.get("/attempts?verdict=refused&limit=5").await["attempts"], json!([]));
    assert_eq!(office.status(Method::GET, "/attempts?colour=red", None).await, 400);
    assert_eq!(office.status(Method::GET, "/attempts?cursor=x", None).await, 400);
    assert_eq!(problem(office.bare(Method::GET, "/attempts").send().await.unwrap()).await, unauthorized());
}
