//! API keys: stolen, taken out or exchanged, of another app, ended or revoked, beside another credential, in the query.

use countersign_core::request::sha256;
use countersign_core::token::result::ResultClaims;
use countersign_verifier::check::identity::identity_values;
use countersign_verifier::check::{
    Code, Credential, CredentialKind, Decision, Field, Fields, ProofKind, Reason, Request, Route,
    TokenBinding,
};
use countersign_verifier::credential::api_key::{ApiKeyError, ApiKeyId, ApiKeys, RANDOM_LENGTH};

use super::scene::{Device, NOW, Scene, Sent};

/// The id of the key that is made of these bytes.
fn id(byte: u8) -> ApiKeyId {
    ApiKeyId::from_text(&format!("{byte:02x}").repeat(6)).unwrap()
}

/// A resource whose only route takes API keys, with a key of its app and one of another.
struct Keyed {
    scene: Scene,
    keys: ApiKeys,
    key: String,
    foreign: String,
}

impl Keyed {
    fn new() -> Self {
        Self::with_route(Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") })
    }

    fn with_route(route: Route) -> Self {
        let (scene, mut keys) = (Scene::with_route(route), ApiKeys::default());
        let mut issue = |byte, client: &str| {
            let scopes = vec!["read".to_owned()];
            keys.issue(&[byte; RANDOM_LENGTH], client, scopes, NOW.minus(60), NOW.plus(60))
                .unwrap()
                .to_string()
        };
        let (key, foreign) = (issue(1, "app"), issue(2, "other"));
        assert!(scene.edge.replace_api_keys("api", keys.clone()));
        Self { scene, keys, key, foreign }
    }

    fn device(&self) -> Device {
        self.scene.device([4; 32])
    }

    /// A request with `key`, which its proof covers.
    fn sent(&self, key: &str) -> Sent {
        self.sent_by(&self.device(), key, |_| {})
    }

    fn sent_by(&self, device: &Device, key: &str, result: impl FnOnce(&mut ResultClaims)) -> Sent {
        let ath = Some(sha256(key.as_bytes()));
        let sent = self.scene.sent_by(device, result, |proof| proof.ath = ath);
        Sent { authorization: None, api_key: Some(key.to_owned()), ..sent }
    }
}

#[test]
fn a_key_of_the_attested_app_passes_with_its_scopes_and_without_a_user() {
    let keyed = Keyed::new();
    let decision = keyed.scene.check(&keyed.sent(&keyed.key));
    let Decision::Permit(permit) = &decision else { panic!("{decision:?}") };
    let Some(Credential::ApiKey(key)) = permit.credential() else { panic!("{permit:?}") };
    assert_eq!((key.id, key.client_id.as_str()), (id(1), "app"));
    assert!(permit.access_token().is_none());
    let [_, client, .., subject, scope, _, _] = identity_values(&decision);
    assert_eq!((client.as_str(), subject.as_str(), scope.as_str()), ("app", "", "read"));
    assert!(!format!("{decision:?}").contains(&keyed.key[17..]));
}

#[test]
fn a_stolen_key_alone_is_refused() {
    let keyed = Keyed::new();
    let sent = Sent { result: None, proof: None, ..keyed.sent(&keyed.key) };
    assert_eq!(keyed.scene.refused(&sent), Reason::NoAttestation);
}

#[test]
fn a_stolen_key_in_another_genuine_app_is_refused() {
    let keyed = Keyed::new();
    assert_eq!(keyed.scene.refused(&keyed.sent(&keyed.foreign)), Reason::ClientMismatch);
    let other_app = |claims: &mut ResultClaims| claims.client_id = "other".into();
    let sent = keyed.sent_by(&keyed.device(), &keyed.key, other_app);
    assert_eq!(keyed.scene.refused(&sent), Reason::AppNotAccepted);
}

#[test]
fn a_key_that_the_proof_does_not_cover_is_refused() {
    let keyed = Keyed::new();
    let exchanged = Sent { api_key: Some(keyed.key.clone()), ..keyed.sent(&keyed.foreign) };
    assert_eq!(keyed.scene.refused(&exchanged), Reason::ProofCredential);
    let uncovered = keyed.scene.sent_by(&keyed.device(), |_| {}, |proof| proof.ath = None);
    let uncovered = Sent { authorization: None, api_key: Some(keyed.key.clone()), ..uncovered };
    assert_eq!(keyed.scene.refused(&uncovered), Reason::ProofCredential);
    let open = Keyed::with_route(Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") });
    let taken_out = Sent { api_key: None, ..open.sent(&open.key) };
    assert_eq!(open.scene.refused(&taken_out), Reason::NoCredential);
}

#[test]
fn a_guessed_key_is_refused_whether_its_id_is_known_or_not() {
    let keyed = Keyed::new();
    let of_known_id = format!("{}{}", &keyed.key[..17], "A".repeat(43));
    let of_unknown_id = keyed.key.replace("010101010101", "0123456789ab");
    for guess in [of_known_id, of_unknown_id] {
        let reason = keyed.scene.refused(&keyed.sent(&guess));
        assert_eq!(reason, Reason::ApiKey(ApiKeyError::Unknown), "{guess}");
        assert!(reason.counts_against_source());
    }
    for malformed in ["password", "csk_", &keyed.key[..59], &format!("{}A", keyed.key)] {
        let refused = keyed.scene.refused(&keyed.sent(malformed));
        assert_eq!(refused, Reason::ApiKey(ApiKeyError::Malformed), "{malformed}");
    }
}

#[test]
fn what_is_wrong_with_a_key_is_not_told() {
    for error in [ApiKeyError::Malformed, ApiKeyError::Unknown, ApiKeyError::Revoked, ApiKeyError::Expired] {
        assert_eq!(Reason::ApiKey(error).code(ProofKind::Compact), Code::InvalidToken, "{error:?}");
    }
    let keyed = Keyed::new();
    let Decision::Refusal(refusal) = keyed.scene.check(&keyed.sent(&keyed.foreign)) else { panic!("passes") };
    let challenge = refusal.www_authenticate().unwrap();
    assert!(challenge.starts_with("ApiKey error=\"invalid_token\""), "{challenge}");
}

#[test]
fn an_ended_key_is_refused_from_that_second_on() {
    let keyed = Keyed::new();
    let sent = keyed.sent(&keyed.key);
    assert_eq!(keyed.scene.verdict_at(&sent, NOW.plus(60)), Some(Reason::ApiKey(ApiKeyError::Expired)));
    assert_eq!(keyed.scene.verdict_at(&sent, NOW.plus(59)), None);
    assert!(!Reason::ApiKey(ApiKeyError::Expired).counts_against_source(), "everyday life");
}

#[test]
fn a_revoked_key_is_refused_at_once_and_the_one_that_replaces_it_passes() {
    let keyed = Keyed::new();
    assert_eq!(keyed.scene.verdict(&keyed.sent(&keyed.key)), None);
    let mut keys = keyed.keys.clone();
    assert!(keys.revoke(id(1), NOW));
    let next = keys.issue(&[3; RANDOM_LENGTH], "app", Vec::new(), NOW, NOW.plus(60)).unwrap();
    keyed.scene.edge.replace_api_keys("api", keys);
    assert_eq!(keyed.scene.refused(&keyed.sent(&keyed.key)), Reason::ApiKey(ApiKeyError::Revoked));
    assert_eq!(keyed.scene.verdict(&keyed.sent(&next)), None);
    keyed.scene.edge.replace_api_keys("api", ApiKeys::default());
    assert_eq!(keyed.scene.refused(&keyed.sent(&next)), Reason::ApiKey(ApiKeyError::Unknown));
}

#[test]
fn a_key_beside_an_access_token_is_two_credentials() {
    for credentials in [vec![CredentialKind::ApiKey, CredentialKind::Jwt], vec![CredentialKind::ApiKey]] {
        let keyed = Keyed::with_route(Route { credentials, ..Route::new("/") });
        let both = Sent { api_key: Some(keyed.key.clone()), ..keyed.scene.sent() };
        assert_eq!(keyed.scene.refused(&both), Reason::TwoCredentials);
        let empty = Sent { api_key: Some(String::new()), ..keyed.scene.sent() };
        assert_eq!(keyed.scene.refused(&empty), Reason::TwoCredentials);
    }
    assert_eq!(Reason::TwoCredentials.code(ProofKind::Compact), Code::InvalidRequest);
}

#[test]
fn two_lines_and_joined_lines_are_malformed() {
    let keyed = Keyed::new();
    let (sent, key) = (keyed.sent(&keyed.key), keyed.key.as_bytes());
    let joined = [key, b",", key].concat();
    for lines in [vec![key, key], vec![joined.as_slice()]] {
        let fields = Fields { api_key: Field::from_lines(lines), ..sent.request().fields };
        let request = Request { fields, ..sent.request() };
        assert_eq!(keyed.scene.verdict_of(&request), Some(Reason::FieldMalformed));
    }
}

#[test]
fn a_route_takes_the_kinds_that_it_names() {
    let keyed = Keyed::new();
    let refused = keyed.scene.refused(&keyed.scene.sent());
    assert_eq!(refused, Reason::CredentialNotAccepted, "an access token where keys are asked for");
    let tokens_here = Route::new("/v1");
    let keys_elsewhere = Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") };
    let scene = Scene::with_routes(vec![tokens_here, keys_elsewhere]);
    let keyed = Keyed { scene, ..keyed };
    let refused = keyed.scene.refused(&keyed.sent(&keyed.key));
    assert_eq!(refused, Reason::CredentialNotAccepted, "a key where tokens are asked for");
    let both = vec![CredentialKind::Jwt, CredentialKind::ApiKey];
    let keyed = Keyed::with_route(Route { credentials: both, ..Route::new("/") });
    assert_eq!(keyed.scene.verdict(&keyed.scene.sent()), None);
    assert_eq!(keyed.scene.verdict(&keyed.sent(&keyed.key)), None);
}

#[test]
fn who_comes_without_a_credential_is_told_which_ones_there_are() {
    let told = |credentials: Vec<CredentialKind>| {
        let keyed = Keyed::with_route(Route { credentials, ..Route::new("/") });
        let sent = Sent { api_key: None, ..keyed.sent(&keyed.key) };
        match keyed.scene.check(&sent) {
            Decision::Refusal(refusal) => refusal.www_authenticate().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let keys = told(vec![CredentialKind::ApiKey]);
    assert_eq!(keys, "ApiKey header=\"X-API-Key\", resource_metadata=\"https://api.example/m\"");
    let both = told(vec![CredentialKind::ApiKey, CredentialKind::Jwt]);
    assert!(both.starts_with("DPoP ") && both.contains(", Bearer ") && both.ends_with(&keys), "{both}");
    assert!(!told(vec![CredentialKind::Jwt]).contains("ApiKey"));
}

#[test]
fn where_no_route_takes_keys_the_field_is_the_upstreams_own() {
    let scene = Scene::new();
    let beside = Sent { api_key: Some("a key of the upstream, not ours".into()), ..scene.sent() };
    assert_eq!(scene.verdict(&beside), None);
    let alone = Sent { authorization: None, ..beside };
    assert_eq!(scene.refused(&alone), Reason::NoCredential);
}

#[test]
fn a_key_in_the_query_is_refused_by_name_and_by_form() {
    let keyed = Keyed::new();
    let key = &keyed.key;
    for query in [
        format!("api_key={key}"),
        "page=1&apikey=x".into(),
        "API-Key=x".into(),
        "X-Api-Key=x".into(),
        "api%5Fkey=x".into(),
        "apikey".into(),
        format!("page=1&k={key}"),
        format!("k=%63sk_{}", &key[4..]),
        "access_token=x".into(),
    ] {
        let sent = Sent { path_and_query: format!("/v1/accounts/1?{query}"), ..keyed.sent(key) };
        assert_eq!(keyed.scene.refused(&sent), Reason::TokenInQuery, "{query}");
    }
    let harmless = "key=1&my_api_key=2&q=the+csk_+prefix";
    let sent = Sent { path_and_query: format!("/v1/accounts/1?{harmless}"), ..keyed.sent(key) };
    assert_eq!(keyed.scene.refused(&sent), Reason::ProofQuery, "only the proof says no");
}

#[test]
fn scopes_of_the_key_are_those_that_count() {
    let with_scope = |scope: &str| {
        let route = Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") };
        let keyed = Keyed::with_route(Route { scopes: vec![scope.into()], ..route });
        keyed.scene.verdict(&keyed.sent(&keyed.key))
    };
    assert_eq!(with_scope("read"), None);
    assert_eq!(with_scope("rea"), Some(Reason::ScopeMissing));
}

#[test]
fn before_the_keys_have_come_nothing_passes() {
    let keyed = Keyed::new();
    let scene = Scene::with_route(Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") });
    assert!(keyed.scene.edge.is_ready() && !scene.edge.is_ready());
    assert_eq!(scene.refused(&keyed.sent(&keyed.key)), Reason::ApiKeysUnavailable);
    assert_eq!(Reason::ApiKeysUnavailable.code(ProofKind::Compact), Code::Unavailable);
    assert!(!scene.edge.replace_api_keys("another", ApiKeys::default()));
}

#[test]
fn a_key_serves_every_installation_of_its_app_and_none_keeps_it_for_itself() {
    for token_binding in [TokenBinding::Instance, TokenBinding::FirstUse] {
        let route = Route { credentials: vec![CredentialKind::ApiKey], token_binding, ..Route::new("/") };
        let keyed = Keyed::with_route(route);
        for seed in [[4; 32], [9; 32]] {
            let device = keyed.scene.device(seed);
            assert_eq!(keyed.scene.verdict(&keyed.sent_by(&device, &keyed.key, |_| {})), None);
        }
    }
}

#[test]
fn a_key_that_comes_where_none_is_asked_for_is_checked() {
    let keyed = Keyed::with_route(Route { credentials: Vec::new(), ..Route::new("/v1/accounts") });
    assert_eq!(keyed.scene.refused(&keyed.sent(&keyed.key)), Reason::ProofCredential, "no key is read here");
    let keys = Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/keys") };
    let scene = Scene::with_routes(vec![Route { credentials: Vec::new(), ..Route::new("/") }, keys]);
    scene.edge.replace_api_keys("api", keyed.keys.clone());
    let keyed = Keyed { scene, ..keyed };
    assert_eq!(keyed.scene.verdict(&keyed.sent(&keyed.key)), None);
    assert_eq!(keyed.scene.refused(&keyed.sent(&keyed.foreign)), Reason::ClientMismatch);
}
