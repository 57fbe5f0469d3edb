//! Tokens against a program on loopback that plays Google. Nothing here was run against Google.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::enrolment::{EnrolmentError, PlatformKey};
use countersign_verifier::policy::{AppraisalPolicy, Constraint, Enforcement};
use countersign_virtual_device::service_account::{EMAIL, service_account_json, verify_assertion};
use countersign_virtual_device::{
    EnrolmentAttack, PlayIntegrityAttack, PlayRequest, VirtualPhone, VirtualPlay,
};
use serde_json::{Value, json};

use super::*;
use crate::attestation::Cause;
use crate::store::InstanceRecord;
use crate::trust::Trust;
use crate::virtual_world::{CLIENT, START, World, android, clock_of, seed, session, trust};

const PACKAGE: &str = "com.example.app";

/// Plays Google: gives access tokens to the virtual service account, and decodes what the virtual Google Play made.
#[derive(Clone)]
struct FakeGoogle {
    play: VirtualPlay,
    address: String,
    state: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    assertions: Vec<Value>,
    decodes: Vec<(String, String)>,
    /// What the next decode calls are answered with instead.
    instead: Option<(StatusCode, Vec<u8>)>,
    /// What the next calls for an access token are answered with instead.
    no_access: Option<(StatusCode, Vec<u8>)>,
}

impl FakeGoogle {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let play = VirtualPlay::from_seed(&seed()).app(PACKAGE, 1, [8; 32]);
        let fake = Self { play, address, state: Arc::default() };
        let answer = |State(fake): State<Self>, uri: Uri, headers: HeaderMap, body: String| async move {
            fake.answer(uri.path(), &headers, &body)
        };
        let router = Router::new().fallback(post(answer)).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    fn answer(&self, path: &str, headers: &HeaderMap, body: &str) -> (StatusCode, Vec<u8>) {
        let mut asked = self.state.lock().unwrap();
        if path == "/token" {
            if let Some(answer) = asked.no_access.clone() {
                return answer;
            }
            let prefix = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
            let (header, claims) = verify_assertion(body.strip_prefix(prefix).unwrap()).unwrap();
            assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "virtual" }));
            asked.assertions.push(claims);
            let token = format!("access-{}", asked.assertions.len());
            let answer = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
            return (StatusCode::OK, answer.to_string().into_bytes());
        }
        let authorization = headers["authorization"].to_str().unwrap().to_owned();
        asked.decodes.push((path.to_owned(), authorization.clone()));
        if let Some(answer) = asked.instead.clone() {
            return answer;
        }
        if authorization != format!("Bearer access-{}", asked.assertions.len()) {
            return (StatusCode::UNAUTHORIZED, Vec::new());
        }
        let request: Value = serde_json::from_str(body).unwrap();
        match self.play.decode(request["integrityToken"].as_str().unwrap()) {
            Some(answer) => (StatusCode::OK, answer.into_bytes()),
            None => (StatusCode::BAD_REQUEST, br#"{"error":{"status":"INVALID_ARGUMENT"}}"#.to_vec()),
        }
    }

    fn asked(&self) -> (usize, usize) {
        let asked = self.state.lock().unwrap();
        (asked.assertions.len(), asked.decodes.len())
    }

    fn instead(&self, status: StatusCode, body: impl Into<Vec<u8>>) {
        self.state.lock().unwrap().instead = Some((status, body.into()));
    }

    fn decoder(&self, clock: &Arc<AtomicU64>) -> GoogleDecoder {
        let endpoint = WebUrl::try_from(self.address.clone()).unwrap();
        let account = service_account_json(&format!("{}/token", self.address));
        GoogleDecoder::new(&endpoint, &account).unwrap().with_clock(clock_of(clock))
    }

    /// Opened by Google alone.
    fn opener(&self) -> PlayIntegrity {
        PlayIntegrity::default().with_decoder(PACKAGE, Arc::new(self.decoder(&clock())))
    }

    fn token(&self, number: u8) -> String {
        self.play.standard_token(&[number; 32], START)
    }

    fn phone(&self, request: PlayRequest) -> VirtualPhone {
        let VirtualPhone::Android(phone) = android() else { panic!("it is an Android phone") };
        phone.google_play(&self.play, request).into()
    }

    fn lone_phone(&self) -> VirtualPhone {
        let VirtualPhone::Android(phone) = self.phone(PlayRequest::Standard) else {
            panic!("an Android phone")
        };
        phone.without_key_attestation().into()
    }

    /// A service that asks here.
    async fn world(&self) -> World {
        let settings = format!(
            "[play_integrity]\nendpoint = '{}'\n[[play_integrity.app]]\npackage = '{PACKAGE}'\n\
             service_account_file = 'google.json'\n",
            self.address
        );
        let account = service_account_json(&format!("{}/token", self.address));
        World::with_settings(&settings, |directory| write(&directory.join("google.json"), &account)).await
    }
}

fn clock() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(START.as_unix_seconds()))
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

async fn decode(opener: &PlayIntegrity, token: &str) -> DecodedToken {
    opener.decode([PACKAGE].into_iter(), token, START).await
}

#[tokio::test]
async fn one_access_token_serves_until_shortly_before_its_end() {
    let (google, clock) = (FakeGoogle::new().await, clock());
    let decoder = google.decoder(&clock);
    for (later, tokens) in [(0, 1), (3538, 1), (3539, 2)] {
        clock.store(START.as_unix_seconds() + later, Ordering::Relaxed);
        assert!(decoder.decode(PACKAGE, &google.token(1)).await.is_ok());
        assert_eq!(google.asked().0, tokens, "after {later} seconds");
    }
    let asked = google.state.lock().unwrap();
    let first = START.as_unix_seconds();
    let expected = json!({
        "iss": EMAIL, "scope": "https://www.googleapis.com/auth/playintegrity",
        "aud": format!("{}/token", google.address), "iat": first, "exp": first + 600,
    });
    assert_eq!(asked.assertions[0], expected);
    assert_eq!(asked.decodes[0].0, "/v1/com.example.app:decodeIntegrityToken");
}

#[tokio::test]
async fn an_access_token_that_google_forgot_is_replaced() {
    let google = FakeGoogle::new().await;
    let decoder = google.decoder(&clock());
    assert!(decoder.decode(PACKAGE, &google.token(1)).await.is_ok());
    // Google gave out another one meanwhile.
    google.state.lock().unwrap().assertions.push(json!(null));
    assert_eq!(decoder.decode(PACKAGE, &google.token(1)).await, Err(DecodeError::NotAuthorized));
    assert!(decoder.decode(PACKAGE, &google.token(1)).await.is_ok());
}

#[tokio::test]
async fn what_google_answers_is_bounded_and_redirects_are_not_followed() {
    let google = FakeGoogle::new().await;
    let decoder = google.decoder(&clock());
    let token = google.token(1);
    for (status, body, expected) in [
        (StatusCode::OK, vec![b' '; 32 * 1024 + 1], DecodeError::TooLarge),
        (StatusCode::TEMPORARY_REDIRECT, vec![], DecodeError::Status(307)),
        (StatusCode::TOO_MANY_REQUESTS, vec![], DecodeError::Status(429)),
        (StatusCode::FORBIDDEN, vec![], DecodeError::Status(403)),
        (StatusCode::INTERNAL_SERVER_ERROR, vec![], DecodeError::Status(500)),
        (StatusCode::BAD_REQUEST, vec![], DecodeError::Rejected),
    ] {
        google.instead(status, body);
        assert_eq!(decoder.decode(PACKAGE, &token).await, Err(expected));
    }
}

#[tokio::test]
async fn an_account_that_gets_no_access_token_asks_nothing() {
    let google = FakeGoogle::new().await;
    for (status, body, expected) in [
        (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#, DecodeError::NotAuthorized),
        (StatusCode::OK, "{}", DecodeError::NotAuthorized),
        (
            StatusCode::OK,
            r#"{"access_token":"a","expires_in":9,"token_type":"mac"}"#,
            DecodeError::NotAuthorized,
        ),
        (StatusCode::BAD_GATEWAY, "", DecodeError::Status(502)),
    ] {
        google.state.lock().unwrap().no_access = Some((status, body.as_bytes().to_vec()));
        let decoder = google.decoder(&clock());
        assert_eq!(decoder.decode(PACKAGE, &google.token(1)).await, Err(expected), "{body}");
    }
    assert_eq!(google.asked(), (0, 0));
}

#[tokio::test]
async fn a_token_is_decoded_once() {
    let google = FakeGoogle::new().await;
    let opener = google.opener();
    let first = decode(&opener, &google.token(1)).await;
    assert!(first.is_ok());
    assert_eq!(decode(&opener, &google.token(1)).await, first);
    assert_eq!(google.asked().1, 1);
    assert!(decode(&opener, "no-token-of-googles").await.is_err());
    assert!(decode(&opener, "no-token-of-googles").await.is_err());
    assert_eq!(google.asked().1, 2, "what Google rejects is remembered too");
}

#[tokio::test]
async fn a_failed_call_is_not_remembered_and_after_five_google_is_left_alone() {
    let google = FakeGoogle::new().await;
    let opener = google.opener();
    google.instead(StatusCode::SERVICE_UNAVAILABLE, "");
    for _ in 0..7 {
        assert_eq!(decode(&opener, &google.token(1)).await, Err(DecodeFailure::Unreachable));
    }
    assert_eq!(google.asked().1, 5);
    google.state.lock().unwrap().instead = None;
    assert!(opener.decode([PACKAGE].into_iter(), &google.token(1), START.plus(30)).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_a_token_is_not_sent() {
    let google = FakeGoogle::new().await;
    let opener = google.opener();
    for token in ["", "a b", "a\nb", "ä", &"a".repeat(16 * 1024 + 1)] {
        assert!(matches!(decode(&opener, token).await, Err(DecodeFailure::Invalid(_))));
    }
    assert_eq!(google.asked(), (0, 0));
}

#[tokio::test]
async fn an_app_without_keys_or_account_is_not_asked_about() {
    let google = FakeGoogle::new().await;
    let opener = google.opener();
    let other = opener.decode(["com.example.other"].into_iter(), &google.token(1), START).await;
    assert_eq!(other, Err(DecodeFailure::NotAsked));
    assert_eq!(google.asked(), (0, 0));
}

/// Keys of the console, and an account, for tokens of both kinds.
async fn console(google: &FakeGoogle) -> World {
    let settings = format!(
        "[play_integrity]\nendpoint = '{}'\n[[play_integrity.app]]\npackage = '{PACKAGE}'\n\
         decryption_key_file = 'decryption.key'\nverification_key_file = 'verification.key'\n\
         service_account_file = 'google.json'\n",
        google.address
    );
    let account = service_account_json(&format!("{}/token", google.address));
    World::with_settings(&settings, |directory| {
        let base64 = |bytes: &[u8]| Base64::encode_string(bytes);
        write(&directory.join("decryption.key"), &format!("{}\n", base64(google.play.decryption_key())));
        write(&directory.join("verification.key"), &base64(&google.play.verification_key()));
        write(&directory.join("google.json"), &account);
    })
    .await
}

#[tokio::test]
async fn classic_tokens_are_opened_here_and_standard_ones_by_google() {
    let google = FakeGoogle::new().await;
    let world = console(&google).await;
    world.enrol(&mut google.phone(PlayRequest::Classic)).await;
    assert_eq!(google.asked(), (0, 0));
    world.enrol(&mut google.phone(PlayRequest::Standard)).await;
    assert_eq!(google.asked(), (1, 1));
}

#[tokio::test]
async fn a_forged_classic_token_is_not_sent_on_to_google() {
    let mut google = FakeGoogle::new().await;
    let world = console(&google).await;
    google.play = google.play.clone().attack(PlayIntegrityAttack::OtherSigner);
    let envelope = google.phone(PlayRequest::Classic).enrol(&world.call(), &session("first"));
    let denial = world.service().attest(None, &envelope).await.err().unwrap();
    assert_eq!(denial.cause.reason(), "play_integrity_signature");
    assert_eq!(google.asked(), (0, 0));
}

async fn stored(world: &World, id: InstanceId) -> InstanceRecord {
    world.service().store.instance(&id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_lone_phone_enrols_and_renews_and_its_instance_says_what_vouches() {
    let google = FakeGoogle::new().await;
    let world = google.world().await;
    let mut phone = google.lone_phone();
    let id = world.enrol(&mut phone).await;
    let record = stored(&world, id).await;
    assert_eq!(record.registered.platform_key, PlatformKey::PlayIntegrity);
    assert_eq!(record.registered.trustworthiness.tier, Tier::Warning);
    world.wait(25 * 3600);
    let renewal = phone.renew(&world.call(), id, &session("second"));
    assert!(world.service().attest(Some(id), &renewal).await.is_ok());
    assert_eq!(stored(&world, id).await.registered.evidence_time, world.now());
}

#[tokio::test]
async fn the_same_request_again_does_not_ask_google_again() {
    let google = FakeGoogle::new().await;
    let world = google.world().await;
    let envelope = google.lone_phone().enrol(&world.call(), &session("first"));
    let first = world.service().attest(None, &envelope).await.unwrap();
    let again = world.service().attest(None, &envelope).await.unwrap();
    assert_eq!(first.instance_id, again.instance_id);
    assert_eq!(google.asked().1, 1);
}

#[tokio::test]
async fn google_is_asked_only_after_everything_else_has_passed() {
    use countersign_virtual_device::EnrolmentAttack as A;

    let google = FakeGoogle::new().await;
    let world = google.world().await;
    for attack in [A::SignatureBit, A::NoPossession, A::AlteredChallenge, A::RelayedEvidence, A::OtherIssuer]
    {
        let mut phone = google.phone(PlayRequest::Standard);
        let envelope = phone.forge_enrolment(&world.call(), &session("first"), attack);
        assert!(world.service().attest(None, &envelope).await.is_err(), "{}", attack.name());
    }
    assert_eq!(google.asked(), (0, 0));
}

#[tokio::test]
async fn what_google_says_to_one_package_is_not_its_answer_to_another() {
    const OTHER: &str = "com.example.other";
    let google = FakeGoogle::new().await;
    let opener = google.opener().with_decoder(OTHER, Arc::new(google.decoder(&clock())));
    google.instead(StatusCode::BAD_REQUEST, "");
    assert!(opener.decode([OTHER].into_iter(), &google.token(1), START).await.is_err());
    google.state.lock().unwrap().instead = None;
    assert!(opener.decode([PACKAGE].into_iter(), &google.token(1), START).await.is_ok());
}

#[tokio::test]
async fn tokens_that_google_will_not_look_at_do_not_keep_it_from_others() {
    let google = FakeGoogle::new().await;
    let opener = google.opener();
    google.instead(StatusCode::FORBIDDEN, "");
    for number in 0..9 {
        let decoded = opener.decode([PACKAGE].into_iter(), &google.token(number), START).await;
        assert_eq!(decoded, Err(DecodeFailure::Unreachable));
    }
    google.state.lock().unwrap().instead = None;
    assert!(opener.decode([PACKAGE].into_iter(), &google.token(10), START).await.is_ok());
}

#[tokio::test]
async fn an_outage_of_google_stops_only_those_who_have_nothing_else() {
    let google = FakeGoogle::new().await;
    let world = google.world().await;
    let mut renewing = google.lone_phone();
    let id = world.enrol(&mut renewing).await;
    google.instead(StatusCode::SERVICE_UNAVAILABLE, "");
    world.enrol(&mut google.phone(PlayRequest::Standard)).await;
    world.wait(600);
    let renewal = renewing.renew(&world.call(), id, &session("second"));
    assert!(world.service().attest(Some(id), &renewal).await.is_ok());
    let envelope = google.lone_phone().of_somebody_else().enrol(&world.call(), &session("first"));
    let denial = world.service().attest(None, &envelope).await.err().unwrap();
    assert_eq!(denial.cause, Cause::Enrolment(EnrolmentError::PlayIntegrityUnreachable));
}

/// Re-appraisals judge what is kept; that it was judged again makes no verdict younger.
#[tokio::test]
async fn no_re_appraisal_prolongs_what_google_play_alone_vouched_for() {
    let google = FakeGoogle::new().await;
    let world = google.world().await;
    let mut phone = google.lone_phone();
    let id = world.enrol(&mut phone).await;
    let enrolled = stored(&world, id).await.registered.evidence_time;
    world.wait(25 * 3600);
    let before = trust();
    let mut app = before.policy.app(CLIENT).unwrap().clone();
    app.enforcements.set(Constraint::KeyAttestationPresent, None, Enforcement::Require);
    let stricter = AppraisalPolicy::new("test/2").with_app(app).with_danger(before.policy.danger().clone());
    for (policy, withdrawn) in [(stricter, true), (before.policy, false)] {
        let mut trust = Trust::new(policy).unwrap();
        trust.revocation.clone_from(&before.revocation);
        world.service().trust.store(Arc::new(trust));
        world.service().reappraise_all().await.unwrap();
        let record = stored(&world, id).await;
        assert_eq!(record.withdrawn.is_some(), withdrawn);
        assert_eq!(record.registered.evidence_time, enrolled);
    }
    let without = phone.forge_renewal(&world.call(), id, &session("without"), EnrolmentAttack::NoEvidence);
    let denial = world.service().attest(Some(id), &without).await.err().unwrap();
    assert_eq!(denial.cause, Cause::Enrolment(EnrolmentError::EvidenceDue));
    let with = phone.renew(&world.call(), id, &session("with"));
    assert!(world.service().attest(Some(id), &with).await.is_ok());
}

#[test]
fn key_files_are_secret_and_hold_what_they_should() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let google = VirtualPlay::from_seed(&seed());
    write(&file("decryption.key"), &Base64::encode_string(google.decryption_key()));
    write(&file("verification.key"), &Base64::encode_string(&google.verification_key()));
    let open = |change: &dyn Fn(&mut PlayAppSettings)| {
        let mut app = PlayAppSettings {
            package: PACKAGE.to_owned(),
            decryption_key_file: Some(file("decryption.key")),
            verification_key_file: Some(file("verification.key")),
            service_account_file: None,
        };
        change(&mut app);
        PlayIntegrity::open(&PlayIntegritySettings { apps: vec![app], ..Default::default() })
    };
    assert!(open(&|_| ()).is_ok());
    let absent = open(&|app| app.decryption_key_file = Some(file("absent"))).unwrap_err();
    assert_eq!(absent, PlayIntegrityProblem::Missing(file("absent")));
    for (name, text) in [("short", "AAAA"), ("text", "not base64!"), ("empty", "")] {
        write(&file(name), text);
        let refused = open(&|app| app.decryption_key_file = Some(file(name))).unwrap_err();
        assert_eq!(refused, PlayIntegrityProblem::ConsoleKey(file(name)));
        let refused = open(&|app| app.verification_key_file = Some(file(name))).unwrap_err();
        assert_eq!(refused, PlayIntegrityProblem::ConsoleKey(file(name)));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file("decryption.key"), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(open(&|_| ()), Err(PlayIntegrityProblem::File(KeysError::Exposed { .. }))));
    }
}

#[test]
fn only_a_service_account_with_an_rsa_key_and_a_private_address_asks() {
    let endpoint = WebUrl::try_from("https://google.example".to_owned()).unwrap();
    let good: Value = serde_json::from_str(&service_account_json("https://google.example/token")).unwrap();
    let refusal = |name: &str, value: Value| {
        let mut account = good.clone();
        account[name] = value;
        GoogleDecoder::new(&endpoint, &account.to_string()).err()
    };
    assert_eq!(refusal("project_id", json!("other")), None);
    assert_eq!(refusal("type", json!("authorized_user")), Some(ServiceAccountError::Kind));
    assert_eq!(refusal("private_key", json!("")), Some(ServiceAccountError::PrivateKey));
    assert_eq!(refusal("private_key", json!(null)), Some(ServiceAccountError::Json));
    assert_eq!(refusal("token_uri", json!("http://google.example")), Some(ServiceAccountError::TokenUri));
    assert_eq!(refusal("token_uri", json!("token")), Some(ServiceAccountError::TokenUri));
    assert_eq!(GoogleDecoder::new(&endpoint, "{").err(), Some(ServiceAccountError::Json));
}
