//! Captures of requests to a service that runs, taken as they were sent and then changed.

use countersign_core::encoding::from_base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::result::DecodedResult;
use countersign_virtual_device::{ProofRequest, Session};
use serde_json::Value as Json;

use super::report::{Mark, Report, Verdict};
use super::{JudgingArguments, with_settings};
use crate::cli::Exit;
use crate::commands::inspect::capture::{self, Capture};
use crate::settings::EitherSettings;
use crate::store::Actor;
use crate::virtual_world::{RESOURCE, START, World, access_token, iphone};

/// A service, and a phone with a token of its own.
struct Scenario {
    world: World,
    session: Session,
    token: String,
}

impl Scenario {
    async fn new() -> Self {
        let world = World::with_edge("nginx", "").await;
        let mut phone = iphone();
        let session = world.session(&mut phone).await;
        let token = access_token("user", Some(&phone.instance_key()), START);
        Self { world, session, token }
    }

    /// The request as curl shows it.
    fn curl(&self) -> String {
        self.curl_for("GET", "/v1/me?full=1", &self.token)
    }

    fn curl_for(&self, method: &str, target: &str, token: &str) -> String {
        let proven = self.session.prove(&ProofRequest {
            resource: RESOURCE,
            method,
            uri: &format!("{RESOURCE}{target}"),
            body: None,
            credential: Some(token),
            nonce: None,
            token_id: [3; 16],
            now: START.plus(5),
        });
        format!(
            "* Connected to api.example (192.0.2.1) port 443\n> {method} {target} HTTP/1.1\r\n> Host: api.example\r\n\
             > Authorization: DPoP {token}\r\n> Attestation-Result: {}\r\n> Attestation-Proof: {}\r\n>\r\n\
             < HTTP/1.1 200 OK\r\n< Date: Mon, 21 Sep 2026 14:13:27 GMT\r\n<\r\n{{}}\n",
            proven.result, proven.proof
        )
    }

    fn settings(&self) -> EitherSettings {
        EitherSettings::Service(Box::new(self.world.service().settings.clone()))
    }

    async fn judge(&self, text: &str) -> Report {
        self.judge_as(text, &JudgingArguments::default()).await
    }

    async fn judge_as(&self, text: &str, arguments: &JudgingArguments) -> Report {
        let capture = read(text);
        let requests = with_settings(&capture, &self.settings(), arguments).await.unwrap();
        Report { form: capture.form, requests, left_out: capture.left_out }
    }

    /// Step and reason that the only request is refused for, and its sentence.
    async fn refusal(&self, text: &str) -> (u8, &'static str, String) {
        let report = self.judge(text).await;
        let row = report.requests[0].rows.iter().find(|row| row.mark == Mark::Refused).unwrap();
        assert!(
            matches!(&report.requests[0].verdict, Verdict::Refused { reason, .. } if *reason == row.reasons[0])
        );
        assert_eq!(report.exit(), Exit::Failure);
        (row.number.unwrap(), row.reasons[0], row.detail.clone())
    }
}

fn read(text: &str) -> Capture {
    capture::read(text.as_bytes()).unwrap().unwrap()
}

fn at(time: Timestamp) -> JudgingArguments {
    JudgingArguments { at: Some(time), ..JudgingArguments::default() }
}

#[tokio::test]
async fn a_good_request_passes_every_step() {
    let scenario = Scenario::new().await;
    let report = scenario.judge(&scenario.curl()).await;
    let request = &report.requests[0];
    assert_eq!(request.verdict, Verdict::Permitted, "{}", report.text(false));
    assert_eq!(request.rows.len(), 15);
    assert!(request.rows.iter().all(|row| row.mark == Mark::Passed), "{}", report.text(false));
    // The answer's Date, two seconds after the proof.
    assert_eq!(request.at.0, START.plus(7));
    assert!(report.text(false).contains("made 2 s ago"), "{}", report.text(false));
    assert_eq!(report.exit(), Exit::Success);
}

#[tokio::test]
async fn a_changed_request_is_refused_at_the_step_that_it_offends() {
    let scenario = Scenario::new().await;
    let good = scenario.curl();
    let other = access_token("somebody else", None, START);
    let proof_line = good.lines().find(|line| line.starts_with("> Attestation-Proof")).unwrap();
    let authorization = good.lines().find(|line| line.starts_with("> Authorization")).unwrap();
    let without = |line: &str| good.replace(&format!("{line}\r\n"), "");
    let twice = |line: &str| good.replace(line, &format!("{line}\n{line}"));
    for (changed, number, reason, told) in [
        (
            good.replace("GET /v1/me", "GET /v1/you"),
            10,
            "proof_target",
            "the request is for https://api.example/v1/you",
        ),
        (good.replace("full=1", "full=2"), 10, "proof_query", "it covers a query of SHA-256"),
        (good.replace("> GET", "> PUT"), 10, "proof_method", "it covers GET; the request is PUT"),
        (good.replace(&scenario.token, &other), 10, "proof_credential", "it covers a credential of SHA-256"),
        (without(proof_line), 4, "no_attestation", "the request has no Attestation-Proof"),
        (without(authorization), 4, "no_credential", "none came"),
        (twice(proof_line), 2, "field_malformed", "Attestation-Proof comes 2 times"),
        (twice(authorization), 2, "authorization_malformed", "two Authorization lines"),
        (
            good.replace("> Attestation-Result: ", "> Attestation-Result: A"),
            5,
            "result_encoding",
            "Attestation-Result",
        ),
        (good.replace("/v1/me?full=1", "/v1/../me"), 1, "request_ambiguous_path", "two ways"),
    ] {
        let (at, why, detail) = scenario.refusal(&changed).await;
        assert_eq!((at, why), (number, reason), "{detail}");
        assert!(detail.contains(told), "{reason}: {detail}");
    }
}

#[tokio::test]
async fn a_token_of_another_device_or_none_is_told_from_a_wrong_proof() {
    let scenario = Scenario::new().await;
    let unbound = scenario.curl_for("GET", "/", &access_token("user", None, START));
    assert_eq!(scenario.refusal(&unbound).await.1, "scheme_mismatch");
    let key = crate::virtual_world::session("another").public_key();
    let of_another = scenario.curl_for("GET", "/", &access_token("user", Some(&key), START));
    let (at, why, detail) = scenario.refusal(&of_another).await;
    assert_eq!((at, why), (12, "token_of_another_instance"));
    assert!(detail.contains("the token is bound to key"), "{detail}");
}

#[tokio::test]
async fn what_else_is_wrong_is_told_beside_what_decides() {
    let scenario = Scenario::new().await;
    let moved = scenario.curl().replace("GET /v1/me?full=1", "PUT /v1/you");
    let report = scenario.judge_as(&moved, &at(START.plus(3600))).await;
    let told = |number: u8| {
        let row = report.requests[0].rows.iter().find(|row| row.number == Some(number)).unwrap();
        (row.mark, row.reasons.clone())
    };
    assert_eq!(told(5), (Mark::Refused, vec!["result_expired"]));
    assert_eq!(told(7), (Mark::AlsoRefused, vec!["proof_time"]));
    assert_eq!(told(9).0, Mark::Passed);
    assert_eq!(told(10), (Mark::AlsoRefused, vec!["proof_method", "proof_target", "proof_query"]));
    assert_eq!(told(12), (Mark::AlsoRefused, vec!["access_token_time"]));
    assert_eq!(told(14).0, Mark::NotReached);
    assert!(report.text(false).contains("it expired 50 minutes ago"), "{}", report.text(false));
}

#[tokio::test]
async fn the_same_request_twice_in_a_capture_is_a_replay() {
    let scenario = Scenario::new().await;
    let report = scenario.judge(&scenario.curl().repeat(2)).await;
    assert_eq!(report.requests[0].verdict, Verdict::Permitted);
    assert!(matches!(report.requests[1].verdict, Verdict::Refused { reason: "replayed", status: 401, .. }));
    let row = report.requests[1].rows.iter().find(|row| row.mark == Mark::Refused).unwrap();
    assert_eq!(row.number, Some(14));
}

#[tokio::test]
async fn asking_changes_nothing_at_the_service() {
    let scenario = Scenario::new().await;
    for _ in 0..3 {
        assert_eq!(scenario.judge(&scenario.curl()).await.requests[0].verdict, Verdict::Permitted);
    }
}

#[tokio::test]
async fn keys_that_are_not_here_leave_it_undecided() {
    let scenario = Scenario::new().await;
    std::fs::remove_file(scenario.world.directory().join("login.jwks")).unwrap();
    let report = scenario.judge(&scenario.curl()).await;
    assert_eq!(report.requests[0].verdict, Verdict::Undecided);
    assert_eq!(report.exit(), Exit::Unverified);
    assert!(report.text(false).contains("--jwks-of https://login.example=FILE"), "{}", report.text(false));
}

#[tokio::test]
async fn a_ban_in_the_registry_is_told() {
    let scenario = Scenario::new().await;
    let DecodedResult { claims, .. } =
        DecodedResult::decode(&from_base64url(&scenario.session.result).unwrap()).unwrap();
    let by = Actor { name: "ops", now: START };
    let store = &scenario.world.service().store;
    assert_eq!(store.ban_instance(&claims.instance, "stolen", &by).await, Ok(true));
    let (at, why, detail) = scenario.refusal(&scenario.curl()).await;
    assert_eq!((at, why), (6, "instance_denied"));
    assert!(detail.contains(&claims.instance.to_base64url()), "{detail}");
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let scenario = Scenario::new().await;
    let good = scenario.curl();
    let proof = good.lines().find_map(|line| line.strip_prefix("> Attestation-Proof: ")).unwrap().trim_end();
    let in_query = good.replace("full=1", "access_token=s3cret-s3cret");
    let ambiguous = good.replace("/v1/me?full=1", "/v1/../me?api%5Fk%65y=s3cret-s3cret");
    let bare = good.replace("Authorization: DPoP ", "Authorization: s3cret-s3cret ");
    let key = good.replace("> Host", "> X-API-Key: cs_s3cret-s3cret\n> Host");
    for text in [&good, &good.replace("GET /v1/me", "GET /v1/you"), &in_query, &ambiguous, &bare, &key] {
        let judged = scenario.judge(text).await;
        let capture = read(text);
        let requests = capture.requests.iter().map(|request| super::unjudged(request, &at(START))).collect();
        let alone = Report { form: "", requests, left_out: 0 };
        for shown in [judged.text(true), judged.json(), alone.text(true), alone.json()] {
            for secret in [&scenario.token, &scenario.session.result, proof, "s3cret"] {
                assert!(!shown.contains(secret), "{shown}");
                assert!(!shown.contains(secret.get(..40).unwrap_or(secret)), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn without_settings_the_parts_are_compared() {
    let scenario = Scenario::new().await;
    let good = scenario.curl();
    let judge = |text: &str| {
        let capture = read(text);
        let requests =
            capture.requests.iter().map(|request| super::unjudged(request, &JudgingArguments::default()));
        Report { form: "", requests: requests.collect(), left_out: 0 }
    };
    let wrong = |text: &str| {
        let report = judge(text);
        let rows = report.requests[0].rows.iter().filter(|row| row.mark == Mark::Refused);
        rows.map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&good), Vec::<&str>::new(), "{}", judge(&good).text(false));
    assert_eq!(judge(&good).exit(), Exit::Success);
    assert!(judge(&good).text(false).contains("NOT JUDGED"));
    assert_eq!(wrong(&good.replace("/v1/me", "/v1/you")), ["proof: URI"]);
    assert_eq!(wrong(&good.replace("full=1", "full=2")), ["proof: query"]);
    assert_eq!(wrong(&good.replace("> GET", "> PUT")), ["proof: method"]);
    assert_eq!(wrong(&good.replace("DPoP ", "Bearer ")), ["token: scheme"]);
    let of_another = good.replace(&scenario.token, &access_token("x", None, START));
    assert_eq!(wrong(&of_another), ["proof: credential", "token: scheme"]);
    assert_eq!(wrong(&good.replace("14:13:27", "15:13:27")), ["result: life", "proof: time", "token: life"]);
    assert_eq!(judge(&good.replace("> GET", "> PUT")).exit(), Exit::Failure);
}

#[tokio::test]
async fn a_machine_reads_the_same() {
    let scenario = Scenario::new().await;
    let json: Json = serde_json::from_str(&scenario.judge(&scenario.curl()).await.json()).unwrap();
    let request = &json["requests"][0];
    assert_eq!((&request["decision"], &request["resource"]), (&"permitted".into(), &"api".into()));
    assert_eq!(request["steps"].as_array().map(Vec::len), Some(15));
    let moved = scenario.curl().replace("/v1/me", "/v1/you");
    let json: Json = serde_json::from_str(&scenario.judge(&moved).await.json()).unwrap();
    let request = &json["requests"][0];
    assert_eq!((&request["reason"], &request["status"]), (&"proof_target".into(), &401.into()));
    assert_eq!(request["steps"][9]["outcome"], "refused");
}

#[tokio::test]
async fn a_resource_must_be_one_of_the_settings() {
    let scenario = Scenario::new().await;
    let arguments = JudgingArguments { resource: Some("other".to_owned()), ..JudgingArguments::default() };
    let settings = &scenario.settings();
    let refused = with_settings(&read(&scenario.curl()), settings, &arguments).await.map(drop).unwrap_err();
    assert!(refused.contains("they have api"), "{refused}");
    let stranger = ("https://unknown.example".to_owned(), "keys.json".into());
    let arguments = JudgingArguments { jwks_of: vec![stranger], ..JudgingArguments::default() };
    let refused = with_settings(&read(&scenario.curl()), settings, &arguments).await.map(drop).unwrap_err();
    assert!(refused.contains("the settings know no issuer"), "{refused}");
}

#[tokio::test]
async fn cut_and_changed_captures_are_survived() {
    let scenario = Scenario::new().await;
    let curl = scenario.curl();
    let offline = crate::edge::offline::edge(
        &scenario.settings(),
        crate::edge::offline::KeysAtHand { sets: Default::default(), fetch: false },
    )
    .await
    .unwrap();
    let arguments = at(START.plus(7));
    let bytes = curl.as_bytes();
    let look = |bytes: &[u8]| {
        let Some(Ok(capture)) = capture::read(bytes) else { return };
        let mut requests = Vec::new();
        for request in &capture.requests {
            requests.push(super::judged(request, "api", &offline.edge, true, &arguments));
            requests.push(super::unjudged(request, &arguments));
        }
        let report = Report { form: capture.form, requests, left_out: 0 };
        assert!(!report.text(false).is_empty() && !report.json().is_empty());
    };
    for cut in (0..bytes.len()).step_by(bytes.len() / 200 + 1) {
        look(&bytes[..cut]);
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = bytes.to_vec();
            changed[cut] ^= flip;
            look(&changed);
        }
    }
}

#[tokio::test]
async fn the_settings_of_an_edge_apart_will_do() {
    let scenario = Scenario::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    let service = scenario.world.service();
    let settings = format!(
        "[attestation_service]\nissuer = {:?}\njwks = \"service.jwks\"\n",
        service.settings.issuer.as_str()
    ) + "[listen]\nedge = \"127.0.0.1:8081\"\ngateway = \"nginx\"\n\
           [[resource]]\nname = \"api\"\nidentifier = \"https://api.example\"\napps = [\"app\"]\n\
           [[resource.route]]\npath = \"/\"\ncredentials = []\n";
    std::fs::write(&file, settings).unwrap();
    std::fs::write(directory.path().join("service.jwks"), service.keys.public_jwks().to_string()).unwrap();
    let mut settings = EitherSettings::load(&file).unwrap();
    let EitherSettings::Edge(edge) = &mut settings else { panic!("taken for the service's") };
    // The same APIs, with the authorization server whose token the phone has.
    edge.resources.clone_from(&service.settings.resources);
    let judged = |text: String| {
        let (capture, settings) = (read(&text), &settings);
        async move { with_settings(&capture, settings, &JudgingArguments::default()).await.unwrap() }
    };
    let honest = judged(scenario.curl()).await;
    assert!(honest[0].rows.iter().all(|row| row.mark != Mark::Refused), "{:?}", honest[0].verdict);
    let moved = judged(scenario.curl().replace("/v1/me", "/v1/you")).await;
    assert!(moved[0].rows.iter().any(|row| row.reasons.contains(&"proof_target")));
    assert!(!directory.path().join("countersign-data").exists(), "asking has written something");
}
