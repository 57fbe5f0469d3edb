//! EMULATED: gateways whose programs do not run here. Their questions to the edge are made by hand, by the rules of their
//! source code, from the request that a client sends; and so is what their upstream gets from the answer.
//!
//! Traefik: ForwardAuth, `pkg/middlewares/auth/forward.go`. Oathkeeper: the authorizer `remote`,
//! `pipeline/authz/remote.go`.

use countersign_core::encoding::from_base64url;

use crate::every_gateway::IDENTITY;
use crate::gateway::workspace;
use crate::http::{Got, Sent};
use crate::world::World;

/// Fields that name a connection's own affairs, which no gateway hands on.
const HOP_BY_HOP: [&str; 5] = ["connection", "keep-alive", "te", "trailer", "upgrade"];

fn is(field: &str, names: &[&str]) -> bool {
    names.iter().any(|name| field.eq_ignore_ascii_case(name))
}

/// Traefik's question: a GET without a body and with the client's own fields, of which it overwrites `X-Forwarded-…`
/// (`trustForwardHeader` is off).
fn traefik_asks(sent: &Sent) -> Sent {
    let mut question = Sent::new("GET", "/edge/check/api");
    let forwarded = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Method", sent.method),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "api.example"),
        ("X-Forwarded-Uri", &sent.target),
    ];
    let names = forwarded.map(|(name, _)| name);
    question.lines = sent.lines.clone();
    question.lines.retain(|(name, _)| !is(name, &HOP_BY_HOP) && !is(name, &names));
    forwarded.into_iter().fold(question, |question, (name, value)| question.with(name, value))
}

/// What Traefik's upstream gets: of each field in `authResponseHeaders` the client's lines go, and the answer's come.
fn traefik_tells_upstream(sent: &Sent, answer: &Got) -> Vec<(String, String)> {
    let mut lines = sent.lines.clone();
    lines.retain(|(name, _)| !is(name, &IDENTITY));
    lines.extend(answer.lines.iter().filter(|(name, _)| is(name, &IDENTITY)).cloned());
    lines
}

async fn behind_traefik(world: &World, sent: &Sent) -> Got {
    traefik_asks(sent).send(world.edge).await
}

/// What stands in a field for the upstream.
fn told<'a>(lines: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    lines.iter().filter(|(field, _)| is(field, &[name])).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn emulated_traefik_permits_with_every_identity_field_and_believes_none_of_a_clients() {
    let world = World::new("traefik").await;
    let spoofed =
        |sent: Sent| IDENTITY.iter().fold(sent, |sent, name| sent.with(name, "spoofed").with(name, "twice"));
    let sent = spoofed(world.proven("POST", "/v1/pay?to=bob&x=%2F"));
    let answer = behind_traefik(&world, &sent).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = traefik_tells_upstream(&sent, &answer);
    for name in IDENTITY {
        assert_eq!(told(&lines, name).len(), 1, "{name}: {lines:?}");
    }
    assert_eq!(told(&lines, "x-attested-subject"), ["alice"]);
    let sent = spoofed(Sent::new("GET", "/v1/observed"));
    let answer = behind_traefik(&world, &sent).await;
    let lines = traefik_tells_upstream(&sent, &answer);
    assert_eq!(told(&lines, "x-attested-subject"), [""]);
    assert_eq!(told(&lines, "attestation-verdict"), ["refused; reason=no_credential"]);
}

#[tokio::test]
async fn emulated_traefik_hands_each_refusal_to_the_client_as_it_is() {
    let world = World::new("traefik").await;
    let honest = || world.proven("GET", "/v1/account");
    let proof = honest().line("Attestation-Proof").to_owned();
    for (what, sent, status, expected) in [
        ("nothing", Sent::new("GET", "/v1/account"), 401, "DPoP algs="),
        ("another path", honest().to("/v1/accounts"), 401, "invalid_client_attestation"),
        ("another method", Sent { method: "DELETE", ..honest() }, 401, "invalid_client_attestation"),
        ("two proofs", honest().with("Attestation-Proof", &proof), 400, "invalid_request"),
        (
            "joined proofs",
            honest().without("Attestation-Proof").with("Attestation-Proof", &format!("{proof}, {proof}")),
            400,
            "invalid_request",
        ),
        ("two readings", honest().to("/v1/observed/%2e%2e/account"), 400, "invalid_request"),
        ("no scope", world.proven("GET", "/v1/scope"), 403, r#"scope="pay""#),
        ("no route", world.proven("GET", "/v2"), 404, ""),
    ] {
        let got = behind_traefik(&world, &sent).await;
        assert_eq!(got.status, status, "{what}: {got:?}");
        assert!(got.one("www-authenticate").contains(expected), "{what}: {got:?}");
        assert!(got.lines.iter().all(|(name, _)| !is(name, &IDENTITY)), "{what}: {got:?}");
        assert_eq!(got.body, b"", "{what}");
    }
}

#[tokio::test]
async fn emulated_traefik_is_told_no_other_target_by_a_client() {
    let world = World::new("traefik").await;
    let sent = world
        .proven("GET", "/v1/account")
        .to("/v1/pay")
        .with("X-Forwarded-Uri", "/v1/account")
        .with("X-Original-URI", "/v1/account");
    assert_eq!(behind_traefik(&world, &sent).await.status, 401);
    // With `trustForwardHeader` a client's line could stand beside Traefik's own, and then nothing passes.
    let twice = traefik_asks(&world.proven("GET", "/v1/account")).with("X-Forwarded-Uri", "/v1/account");
    assert_eq!(twice.send(world.edge).await.status, 500);
}

#[tokio::test]
async fn emulated_traefik_carries_a_nonce_to_the_client() {
    let world = World::new("traefik").await;
    let refused = behind_traefik(&world, &world.proven("GET", "/v1/nonce")).await;
    assert_eq!(refused.status, 401);
    let nonce = from_base64url(refused.one("oauth-client-attestation-challenge")).unwrap();
    let nonce: &'static [u8] = nonce.leak();
    let again = world.proven_with("GET", "/v1/nonce", |proof| proof.nonce = Some(nonce));
    assert_eq!(behind_traefik(&world, &again).await.status, 200);
}

#[tokio::test]
async fn emulated_traefik_limits_each_client_by_its_own_address() {
    let world = World::new("traefik").await;
    let forged =
        || world.proven("GET", "/v1/account").without("Attestation-Result").with("Attestation-Result", "a");
    let mut last = 0;
    for attempt in 0..21 {
        let sent = forged().with("X-Forwarded-For", &format!("198.51.100.{attempt}"));
        last = behind_traefik(&world, &sent).await.status;
    }
    assert_eq!(last, 429);
}

/// What Oathkeeper's `remote` sends: the body, and the fields that the example's templates make of all lines of a field;
/// empty ones are not sent.
fn oathkeeper_asks(sent: &Sent) -> Sent {
    const FIELDS: [&str; 7] = [
        "Authorization",
        "X-API-Key",
        "Attestation-Result",
        "Attestation-Proof",
        "DPoP",
        "OAuth-Client-Attestation",
        "OAuth-Client-Attestation-PoP",
    ];
    let mut question = Sent::new("POST", "/edge/check/api")
        .with("X-Original-Method", sent.method)
        .with("X-Original-URI", &sent.target);
    for name in FIELDS {
        let lines = told(&sent.lines, name).join(",");
        if !lines.is_empty() {
            question = question.with(name, &lines);
        }
    }
    question.body = sent.body.clone();
    question
}

/// What Oathkeeper's upstream gets: of each field in `forward_response_headers_to_upstream` the answer's first line.
fn oathkeeper_tells_upstream(sent: &Sent, answer: &Got) -> Vec<(String, String)> {
    let mut lines = sent.lines.clone();
    lines.retain(|(name, _)| !is(name, &IDENTITY));
    let first =
        |name: &&str| told(&answer.lines, name).first().map_or(String::new(), |line| (*line).to_owned());
    lines.extend(IDENTITY.iter().map(|name| ((*name).to_owned(), first(name))));
    lines
}

#[tokio::test]
async fn emulated_oathkeeper_permits_with_every_identity_field_and_believes_none_of_a_clients() {
    let world = World::new("oathkeeper").await;
    let sent = IDENTITY
        .iter()
        .fold(world.proven("GET", "/v1/account?a=%2F"), |sent, name| sent.with(name, "spoofed"));
    let answer = oathkeeper_asks(&sent).send(world.edge).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = oathkeeper_tells_upstream(&sent, &answer);
    assert_eq!(told(&lines, "x-attested-subject"), ["alice"]);
    assert!(lines.iter().all(|(_, value)| value != "spoofed"), "{lines:?}");
    for name in IDENTITY {
        assert_eq!(told(&answer.lines, name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn emulated_oathkeeper_gets_nothing_but_403_for_a_refusal() {
    let world = World::new("oathkeeper").await;
    let honest = || world.proven("GET", "/v1/account");
    let proof = honest().line("Attestation-Proof").to_owned();
    for (what, sent, meant) in [
        ("nothing", Sent::new("GET", "/v1/account"), "401"),
        ("another path", honest().to("/v1/accounts"), "401"),
        ("another method", Sent { method: "DELETE", ..honest() }, "401"),
        ("two proofs", honest().with("Attestation-Proof", &proof), "400"),
        ("no scope", world.proven("GET", "/v1/scope"), "403"),
        ("no route", world.proven("GET", "/v2"), "404"),
        ("no nonce", world.proven("GET", "/v1/nonce"), "401"),
    ] {
        let got = oathkeeper_asks(&sent).send(world.edge).await;
        assert_eq!((got.status, got.one("attestation-status")), (403, meant), "{what}: {got:?}");
    }
}

#[tokio::test]
async fn emulated_oathkeeper_has_bodies_compared() {
    let world = World::new("oathkeeper").await;
    for (body, status) in [(&b"10 euro"[..], 200), (b"99 euro", 403), (b"", 403)] {
        let mut sent = world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"));
        sent.body = body.to_vec();
        assert_eq!(oathkeeper_asks(&sent).send(world.edge).await.status, status);
    }
}

#[test]
fn the_settings_of_the_emulated_examples_are_valid() {
    for name in ["traefik", "oathkeeper"] {
        let file = workspace().join("examples").join(name).join("countersign.toml");
        let settings =
            countersign_service::settings::Settings::load(&file).map_err(|problems| problems.to_string());
        assert_eq!(settings.map(|settings| settings.resources.len()), Ok(1), "{name}");
    }
}

#[test]
fn the_emulated_examples_name_every_field_that_a_client_must_not_write() {
    let lines = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(workspace().join("examples").join(file)).unwrap();
        text.lines().map(|line| line.trim().to_lowercase()).collect()
    };
    let traefik = lines("traefik/dynamic.yaml");
    let oathkeeper = lines("oathkeeper/oathkeeper.yaml");
    for name in IDENTITY {
        assert!(traefik.contains(&format!("- {name}")), "{name}");
        assert!(traefik.contains(&format!("{}: \"\"", name.replace('-', "_"))), "{name}");
        assert!(oathkeeper.contains(&format!("- {name}")), "{name}");
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        assert!(traefik.contains(&format!("{name}: \"\"")), "{name}");
        assert!(traefik.contains(&format!("{}: \"\"", name.replace('-', "_"))), "{name}");
        assert!(oathkeeper.contains(&format!("- {name}")), "{name}");
    }
}
