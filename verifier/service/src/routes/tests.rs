//! The service over HTTP, as a device meets it.

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::{ChallengeAnswer, EnrolmentAnswer, MAX_ENVELOPE, Problem};
use countersign_core::token::result::InstanceId;
use countersign_virtual_device::{EnrolmentAttack, ServiceCall};
use reqwest::{Client, Response, StatusCode};

use crate::virtual_world::{World, iphone, session};

struct Caller<'w> {
    world: &'w World,
    client: Client,
}

impl<'w> Caller<'w> {
    fn new(world: &'w World) -> Self {
        Self { world, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.world.running.address("public").unwrap())
    }

    async fn post(&self, path: &str, kind: &'static str, body: Vec<u8>) -> Response {
        self.client.post(self.url(path)).header("content-type", kind).body(body).send().await.unwrap()
    }

    async fn challenge(&self) -> ServiceCall<'static> {
        let answer: ChallengeAnswer = self.post("/v1/challenge", "", Vec::new()).await.json().await.unwrap();
        let challenge = Challenge::from_base64url(&answer.attestation_challenge).unwrap();
        ServiceCall { challenge, ..self.world.call() }
    }
}

async fn problem(response: Response) -> (StatusCode, Problem) {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_challenge_is_never_stored() {
    let world = World::new().await;
    let response = Caller::new(&world).post("/v1/challenge", "", Vec::new()).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.headers().contains_key("date"));
    let answer: ChallengeAnswer = response.json().await.unwrap();
    assert_eq!((answer.expires_in, answer.server_time), (1200, world.now().as_unix_seconds()));
}

#[tokio::test]
async fn a_phone_enrols_and_renews_over_http() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let mut phone = iphone();
    let envelope = phone.enrol(&caller.challenge().await, &session("first"));
    let response = caller.post("/v1/instances", "application/cbor", envelope).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let enrolled: EnrolmentAnswer = response.json().await.unwrap();

    let challenge = Challenge::from_base64url(&enrolled.next_challenge).unwrap();
    let call = ServiceCall { challenge, ..world.call() };
    let instance = InstanceId::from_base64url(&enrolled.instance_id).unwrap();
    let envelope = phone.renew(&call, instance, &session("second"));
    let path = format!("/v1/instances/{}/results", enrolled.instance_id);
    let response = caller.post(&path, "application/cbor", envelope).await;
    assert_eq!(response.status(), StatusCode::OK);
    let renewed: EnrolmentAnswer = response.json().await.unwrap();
    assert_eq!(renewed.instance_id, enrolled.instance_id);
}

#[tokio::test]
async fn without_a_deny_list_the_service_is_not_ready() {
    let world = World::new().await;
    let status = async |listener: &str, path: &str| {
        let url = format!("http://{}{path}", world.running.address(listener).unwrap());
        Client::new().get(url).send().await.unwrap().status()
    };
    let store = &world.service().store;
    store.damage_with("INSERT INTO erased_instance VALUES (x'00', 9999999999)").await;
    assert_eq!(status("public", "/v1/deny-list").await, StatusCode::OK);
    assert_eq!(status("admin", "/readyz").await, StatusCode::OK);
    assert!(world.service().metrics.to_prometheus().contains("countersign_deny_list_unreadable 1\n"));
    store.damage_with("INSERT INTO subject_ban VALUES (x'00', 'i', 's', '', 0)").await;
    // Within the minute, the list that was made last is given out until the number rises.
    store.raise_ban_sequence(world.now()).await.unwrap();
    assert_eq!(status("public", "/v1/deny-list").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status("admin", "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_refusal_tells_code_and_reference_and_not_the_reason() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let attack = EnrolmentAttack::RelayedEvidence;
    let envelope = iphone().forge_enrolment(&caller.challenge().await, &session("first"), attack);
    let response = caller.post("/v1/instances", "application/cbor", envelope).await;
    let text = response.text().await.unwrap();
    assert!(text.contains("urn:countersign:problem:evidence-not-verified"), "{text}");
    assert!(!text.contains("nonce"), "{text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    let reference = problem.reference.unwrap();
    let decision = world.service().store.decision(&reference).await.unwrap().unwrap();
    assert_eq!(decision.reasons, ["evidence_nonce_mismatch"]);
}

#[tokio::test]
async fn a_message_is_cbor_of_at_most_64_kib() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let (status, told) =
        problem(caller.post("/v1/instances", "application/cbor", vec![0; MAX_ENVELOPE + 1]).await).await;
    assert_eq!(
        (status, told.kind.as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "urn:countersign:problem:message-too-large")
    );
    let (status, _) =
        problem(caller.post("/v1/instances", "application/cbor", vec![0; MAX_ENVELOPE]).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let envelope = iphone().enrol(&caller.challenge().await, &session("first"));
    for kind in ["application/json", "application/cbor; charset=utf-8", ""] {
        let (status, _) = problem(caller.post("/v1/instances", kind, envelope.clone()).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{kind}");
    }
    assert!(caller.post("/v1/instances", "application/cbor", envelope).await.status().is_success());
}

#[tokio::test]
async fn a_path_that_names_no_instance_sends_to_enrol() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    for id in ["short", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAA%3D"] {
        let response = caller.post(&format!("/v1/instances/{id}/results"), "application/cbor", vec![0]).await;
        let (status, told) = problem(response).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(told.cure, Some(countersign_core::enrolment::Cure::ReEnrol));
    }
}

#[tokio::test]
async fn reading_a_place_to_write_is_405() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    for path in ["/v1/challenge", "/v1/instances"] {
        let response = caller.client.get(caller.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn metrics_count_verdicts_by_reason_and_name_nobody() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let mut phone = iphone();
    let envelope = phone.enrol(&caller.challenge().await, &session("first"));
    let answer: EnrolmentAnswer =
        caller.post("/v1/instances", "application/cbor", envelope).await.json().await.unwrap();
    caller.post("/v1/instances", "application/cbor", vec![0xff]).await;
    let url = format!("http://{}/metrics", world.running.address("admin").unwrap());
    let text = caller.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("verdict=\"affirming\",reason=\"ok\"} 1"), "{text}");
    assert!(text.contains("purpose=\"enrol\",verdict=\"refused\""), "{text}");
    assert!(!text.contains(&answer.instance_id));
}

#[tokio::test]
async fn the_deny_list_is_signed_and_rises_with_each_ban() {
    use countersign_verifier::check::deny_list::DenyList;
    use countersign_verifier::check::trust::service_keys;
    use countersign_verifier::credential::jwks::Jwks;

    let world = World::new().await;
    let caller = Caller::new(&world);
    let jwks =
        caller.client.get(caller.url("/.well-known/jwks.json")).send().await.unwrap().bytes().await.unwrap();
    let keys = service_keys(&Jwks::decode(&jwks).unwrap());
    let list = async || {
        let response = caller.client.get(caller.url("/v1/deny-list")).send().await.unwrap();
        let tag = response.headers()["etag"].clone();
        let bytes = response.bytes().await.unwrap();
        let issuer = crate::virtual_world::ISSUER;
        (tag, DenyList::verify(&bytes, issuer, &keys, None, world.now()).unwrap())
    };
    let (tag, empty) = list().await;
    assert!(empty.instances.is_empty());
    let unchanged = caller.client.get(caller.url("/v1/deny-list")).header("if-none-match", &tag);
    assert_eq!(unchanged.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);

    let instance = world.enrol(&mut iphone()).await;
    world.service().store.set_banned(&instance, true, world.now()).await.unwrap();
    let (other_tag, banned) = list().await;
    assert!(banned.instances.contains(&instance));
    assert!(banned.sequence > empty.sequence && other_tag != tag);
}

#[tokio::test]
async fn the_deny_list_is_made_once_a_minute_however_often_it_is_asked_for() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let list = async || {
        let response = caller.client.get(caller.url("/v1/deny-list")).send().await.unwrap();
        response.bytes().await.unwrap()
    };
    let first = list().await;
    world.wait(1);
    assert_eq!(list().await, first);
    world.wait(60);
    assert_ne!(list().await, first, "no edge keeps it until it ends");
}

#[tokio::test]
async fn a_path_that_is_no_text_names_no_instance() {
    let world = World::new().await;
    let caller = Caller::new(&world);
    let (status, told) =
        problem(caller.post("/v1/instances/%ff/results", "application/cbor", vec![0xa0]).await).await;
    assert_eq!((status.as_u16(), told.kind.as_str()), (404, "urn:countersign:problem:unknown-instance"));
}
