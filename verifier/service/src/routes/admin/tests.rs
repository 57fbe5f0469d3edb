//! The administration over a real listener, as its callers and their imitators meet it.

use std::sync::Arc;

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::deny_list::SubjectDigest;
use countersign_verifier::policy::{AppMode, AppPolicy, AppraisalPolicy};
use countersign_virtual_device::EnrolmentAttack;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::administration::{AdminKey, PER_SOURCE, WINDOW};
use crate::store::Actor;
use crate::trust::Trust;
use crate::virtual_world::{CLIENT, World, android, iphone, session};

/// A service, and an administrator with a key.
struct Office {
    world: World,
    client: Client,
    key: String,
}

impl Office {
    async fn new() -> Self {
        let world = World::new().await;
        let key = AdminKey::from_random([7; 32]);
        let by = Actor::command_line(world.now());
        world.service().store.add_admin_key("ops", &key.digest(), None, &by).await.unwrap();
        Self { world, client: Client::new(), key: key.reveal().to_string() }
    }

    /// A call without a key.
    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let address = self.world.running.address("admin").unwrap();
        self.client.request(method, format!("http://{address}/admin/v1{path}"))
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).header("authorization", format!("Bearer {}", self.key))
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.call(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.json().await.unwrap()
    }

    async fn status(&self, method: Method, path: &str, body: Option<Value>) -> u16 {
        let mut call = self.call(method, path);
        if let Some(body) = body {
            call = call.json(&body);
        }
        call.send().await.unwrap().status().as_u16()
    }

    /// A refused call by number and name.
    async fn refused(&self, call: RequestBuilder) -> (u16, String) {
        problem(call.send().await.unwrap()).await
    }

    async fn enrolled(&self) -> [String; 2] {
        let iphone = self.world.enrol(&mut iphone()).await;
        let android = self.world.enrol(&mut android()).await;
        [iphone.to_base64url(), android.to_base64url()]
    }
}

async fn problem(response: Response) -> (u16, String) {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    let kind = problem["type"].as_str().unwrap();
    (status, kind.strip_prefix("urn:countersign:problem:").unwrap().to_owned())
}

fn unauthorized() -> (u16, String) {
    (401, "unauthorized".to_owned())
}

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
    assert_eq!(listed("?platform=app-attest").await, [iphone.clone()]);
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
    for id in ["'%20OR%20'1'='1", "%00", "..%2F..", "*", "AAAAAAAAAAAAAAAAAAAAAB", &"A".repeat(4000)] {
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
