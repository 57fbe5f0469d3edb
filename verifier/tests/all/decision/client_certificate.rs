//! Client certificates as a credential of their own: another one, of another app, by a name that nobody vouches for, or
//! where the route asks for something else.

use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_verifier::check::identity::identity_values;
use countersign_verifier::check::{
    ClientCertificate, Code, Credential, CredentialKind, Decision, Reason, Route, StepUp,
};
use countersign_verifier::credential::client_certificate::{
    CertificateAuthorities, CertificateAuthoritiesError, CertificateName, ClientCertificateError,
    ClientCertificates, EntryRefused, MAX_CERTIFICATE, MAX_HOLDERS,
};
use countersign_virtual_device::client_authority::SERVER_AUTHENTICATION;
use countersign_virtual_device::{ClientAuthority, Seed};

use super::scene::{NOW, Scene, Sent};

const NAME: &str = "dns:partner.example";

fn authority(seed: &str) -> ClientAuthority {
    ClientAuthority::from_seed(&Seed::from_text(seed), NOW)
}

fn route() -> Route {
    Route { credentials: vec![CredentialKind::ClientCertificate], ..Route::new("/") }
}

/// A scene whose resource lists `[1; 32]` for `app` until in an hour.
fn scene_with(route: Route) -> Scene {
    let (scene, mut list) = (Scene::with_route(route), ClientCertificates::default());
    list.allow_thumbprint("app", [1; 32], vec!["read".into()], NOW.plus(3600)).unwrap();
    assert!(scene.edge.replace_client_certificates("api", list));
    scene
}

/// A scene whose resource lists a name for `client_id`, issued by the authority `home`.
fn scene_of(name: CertificateName, client_id: &str, not_after: Option<Timestamp>) -> Scene {
    let (scene, mut list) = (Scene::with_route(route()), ClientCertificates::default());
    let authorities =
        CertificateAuthorities::from_file(authority("home").certificate_pem().as_bytes()).unwrap();
    list.allow_name(client_id, name, authorities, vec!["read".into()], not_after).unwrap();
    assert!(scene.edge.replace_client_certificates("api", list));
    scene
}

fn of_partner() -> Scene {
    scene_of(CertificateName::Dns("partner.example".into()), "app", None)
}

/// The honest device's request without another credential, over a connection with `shown`.
fn sent(scene: &Scene, shown: Option<ClientCertificate>) -> Sent {
    let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.ath = None);
    Sent { authorization: None, client_certificate: shown, ..sent }
}

fn listed() -> Option<ClientCertificate> {
    Some(ClientCertificate::from_thumbprint([1; 32]))
}

fn verdict(scene: &Scene, der: &[u8]) -> Result<(), ClientCertificateError> {
    match scene.verdict(&sent(scene, Some(ClientCertificate::from_der(der)))) {
        None => Ok(()),
        Some(Reason::ClientCertificate(error)) => Err(error),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_listed_certificate_of_the_attested_app_passes_with_its_scopes() {
    let scene = scene_with(route());
    let decision = scene.check(&sent(&scene, listed()));
    let Decision::Permit(permit) = &decision else { panic!("{decision:?}") };
    assert!(matches!(permit.credential(), Some(Credential::ClientCertificate(_))), "{permit:?}");
    assert!(permit.access_token().is_none());
    let [_, client, .., subject, scope, _, _] = identity_values(&decision);
    assert_eq!((client.as_str(), scope.as_str()), ("app", "read"));
    assert_eq!(subject, format!("sha256:{}", "01".repeat(32)));
}

#[test]
fn a_certificate_alone_is_no_attestation() {
    let scene = scene_with(route());
    let stranger = Sent { result: None, proof: None, ..sent(&scene, listed()) };
    assert_eq!(scene.refused(&stranger), Reason::NoAttestation);
}

#[test]
fn a_certificate_that_is_not_listed_is_refused() {
    let scene = scene_with(route());
    for byte in 0..32 {
        let mut thumbprint = [1; 32];
        thumbprint[byte] ^= 1;
        let other = Some(ClientCertificate::from_thumbprint(thumbprint));
        let unknown = Reason::ClientCertificate(ClientCertificateError::Unknown);
        assert_eq!(scene.refused(&sent(&scene, other)), unknown, "{byte}");
    }
    let nothing_listed = Scene::with_route(route());
    let refused = nothing_listed.refused(&sent(&nothing_listed, listed()));
    assert_eq!(refused, Reason::ClientCertificate(ClientCertificateError::Unknown));
}

#[test]
fn a_listed_certificate_in_another_genuine_app_is_refused() {
    let (scene, mut list) = (Scene::with_route(route()), ClientCertificates::default());
    list.allow_thumbprint("other", [1; 32], Vec::new(), NOW.plus(60)).unwrap();
    scene.edge.replace_client_certificates("api", list);
    let refused = scene.refused(&sent(&scene, listed()));
    assert_eq!(refused, Reason::ClientCertificate(ClientCertificateError::AnotherApp));
    let other = scene_of(CertificateName::Dns("partner.example".into()), "other", None);
    let der = authority("home").issue(NAME).der;
    assert_eq!(verdict(&other, &der), Err(ClientCertificateError::AnotherApp));
}

#[test]
fn an_entry_counts_until_it_ends() {
    let scene = scene_with(route());
    for (ahead, expected) in [(3600, None), (3601, Some(ClientCertificateError::Ended))] {
        let now = NOW.plus(ahead);
        let device = scene.device([4; 32]);
        let change = |proof: &mut countersign_core::token::proof::ProofClaims<'_>| {
            proof.ath = None;
            proof.issued_at = now;
        };
        let lasting = |claims: &mut countersign_core::token::result::ResultClaims| {
            claims.issued_at = now.minus(10);
            claims.expires_at = now.plus(300);
        };
        let proven = scene.sent_by(&device, lasting, change);
        let sent = Sent { authorization: None, client_certificate: listed(), ..proven };
        assert_eq!(scene.verdict_at(&sent, now), expected.map(Reason::ClientCertificate));
    }
    let ended = scene_of(CertificateName::Dns("partner.example".into()), "app", Some(NOW.minus(1)));
    assert_eq!(verdict(&ended, &authority("home").issue(NAME).der), Err(ClientCertificateError::Ended));
}

#[test]
fn a_name_passes_with_a_certificate_of_its_authority() {
    assert_eq!(verdict(&of_partner(), &authority("home").issue(NAME).der), Ok(()));
    assert_eq!(verdict(&of_partner(), &authority("home").issue("dns:PARTNER.example").der), Ok(()));
    let workload = "spiffe://partner.example/billing";
    let scene = scene_of(CertificateName::Uri(workload.into()), "app", None);
    let issued = authority("home").issue(&format!("uri:{workload}"));
    assert_eq!(verdict(&scene, &issued.der), Ok(()));
    let decision = scene.check(&sent(&scene, Some(ClientCertificate::from_der(&issued.der))));
    let [.., subject, _, _, _] = identity_values(&decision);
    assert_eq!(subject, "uri:spiffe://partner.example/billing");
}

#[test]
fn a_name_that_nobody_we_know_vouches_for_is_refused() {
    let scene = of_partner();
    let stranger = authority("stranger").issue(NAME);
    assert_eq!(verdict(&scene, &stranger.der), Err(ClientCertificateError::Untrusted));
    // The gateway may ask any certificate of its clients; it is verified here all the same.
    let mut broken = authority("home").issue(NAME).der;
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(verdict(&scene, &broken), Err(ClientCertificateError::Untrusted));
    assert_eq!(verdict(&scene, b"no certificate"), Err(ClientCertificateError::Untrusted));
}

#[test]
fn a_certificate_for_servers_does_not_serve_a_client() {
    let server = authority("home").issue_for(NAME, SERVER_AUTHENTICATION, |_| {});
    assert_eq!(verdict(&of_partner(), &server.der), Err(ClientCertificateError::Untrusted));
    let unspoken = authority("home").issue_for(NAME, SERVER_AUTHENTICATION, |draft| {
        draft.extensions.retain(|extension| extension.id.to_string() != "2.5.29.37");
    });
    assert_eq!(
        verdict(&of_partner(), &unspoken.der),
        Err(ClientCertificateError::Untrusted),
        "it must say so"
    );
}

#[test]
fn a_certificate_outside_its_dates_is_refused_by_name() {
    let dated = |from, to| {
        authority("home").issue_for(
            NAME,
            countersign_virtual_device::client_authority::CLIENT_AUTHENTICATION,
            |draft| (draft.not_before, draft.not_after) = (from, to),
        )
    };
    let scene = of_partner();
    let expired = Err(ClientCertificateError::Expired);
    assert_eq!(verdict(&scene, &dated(NOW.minus(60), NOW.minus(1)).der), expired);
    assert_eq!(verdict(&scene, &dated(NOW.plus(1), NOW.plus(60)).der), expired);
    assert_eq!(verdict(&scene, &dated(NOW, NOW).der), Ok(()));
}

#[test]
fn a_name_that_is_not_wholly_the_listed_one_is_refused() {
    let scene = of_partner();
    for name in [
        "dns:a.partner.example",
        "dns:partner.example.evil.example",
        "dns:*.example",
        "uri:partner.example",
        "uri:dns:partner.example",
    ] {
        let der = authority("home").issue(name).der;
        assert_eq!(verdict(&scene, &der), Err(ClientCertificateError::Unknown), "{name}");
    }
    let workload = scene_of(CertificateName::Uri("spiffe://partner.example/a".into()), "app", None);
    for name in ["uri:spiffe://partner.example/A", "uri:spiffe://partner.example/a/", "dns:spiffe"] {
        let der = authority("home").issue(name).der;
        assert_eq!(verdict(&workload, &der), Err(ClientCertificateError::Unknown), "{name}");
    }
}

#[test]
fn a_thumbprint_alone_bears_no_name() {
    let scene = of_partner();
    let thumbprint = sha256(&authority("home").issue(NAME).der);
    let bare = sent(&scene, Some(ClientCertificate::from_thumbprint(thumbprint)));
    assert_eq!(scene.refused(&bare), Reason::ClientCertificate(ClientCertificateError::Bare));
}

#[test]
fn something_else_than_one_certificate_is_refused_on_every_route() {
    let malformed = Reason::ClientCertificate(ClientCertificateError::Malformed);
    let too_long = ClientCertificate::from_der(&vec![0x30; MAX_CERTIFICATE + 1]);
    for shown in [ClientCertificate::malformed(), ClientCertificate::from_der(&[]), too_long] {
        let scene = scene_with(route());
        assert_eq!(scene.refused(&sent(&scene, Some(shown.clone()))), malformed);
        let scene = Scene::new();
        let beside = Sent { client_certificate: Some(shown), ..scene.sent() };
        assert_eq!(scene.refused(&beside), malformed);
        let Decision::Refusal(refusal) = scene.check(&beside) else { panic!("passed") };
        assert_eq!(refusal.code(), Code::InvalidRequest);
    }
}

#[test]
fn a_proof_for_another_credential_does_not_serve_a_certificate() {
    let scene = scene_with(route());
    let stripped = Sent { authorization: None, client_certificate: listed(), ..scene.sent() };
    assert_eq!(scene.refused(&stripped), Reason::ProofCredential);
}

#[test]
fn a_certificate_counts_only_where_the_route_asks_for_it() {
    let scene = scene_with(Route::new("/"));
    assert_eq!(scene.refused(&sent(&scene, listed())), Reason::NoCredential);
    let open = scene_with(Route { credentials: Vec::new(), ..Route::new("/") });
    let Decision::Permit(permit) = open.check(&sent(&open, listed())) else { panic!("refused") };
    assert!(permit.credential().is_none(), "where none is asked for, it is of the connection alone");
    let both = Route {
        credentials: vec![CredentialKind::ClientCertificate, CredentialKind::Jwt],
        ..Route::new("/")
    };
    let both = scene_with(both);
    assert_eq!(both.verdict(&sent(&both, listed())), None);
    let with_token = Sent { client_certificate: listed(), ..both.sent() };
    let Decision::Permit(permit) = both.check(&with_token) else { panic!("refused") };
    assert!(permit.access_token().is_some(), "a token goes before the connection's certificate");
}

#[test]
fn a_token_does_not_stand_in_for_a_certificate() {
    let scene = scene_with(route());
    assert_eq!(scene.refused(&scene.sent()), Reason::CredentialNotAccepted);
    let with_both = Sent { client_certificate: listed(), ..scene.sent() };
    assert_eq!(scene.refused(&with_both), Reason::CredentialNotAccepted);
}

#[test]
fn without_a_certificate_there_is_no_challenge_that_http_could_make() {
    let refusal = |scene: &Scene, sent: &Sent| match scene.check(sent) {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let scene = scene_with(route());
    let unknown = Some(ClientCertificate::from_thumbprint([2; 32]));
    for sent in
        [sent(&scene, None), sent(&scene, unknown.clone()), scene.sent(), scene.sent_with("Basic", "YTpi")]
    {
        let refusal = refusal(&scene, &sent);
        assert_eq!((refusal.code(), refusal.code().status()), (Code::NoClientCertificate, 403));
        assert_eq!(refusal.www_authenticate(), None);
    }
    // Where something else would do as well, that is what the client is told.
    let both = Route {
        credentials: vec![CredentialKind::ClientCertificate, CredentialKind::ApiKey],
        ..Route::new("/")
    };
    let both = scene_with(both);
    for shown in [None, unknown] {
        let refusal = refusal(&both, &self::sent(&both, shown));
        assert_eq!(refusal.code(), Code::NoCredential);
        let challenge = refusal.www_authenticate().unwrap();
        assert!(challenge.starts_with("ApiKey ") && !challenge.contains("Bearer"), "{challenge}");
    }
}

#[test]
fn a_certificate_tells_of_no_user_and_has_its_own_scopes() {
    let step_up = StepUp { acr_values: vec!["gold".into()], max_age: None };
    let scene = scene_with(Route { step_up, ..route() });
    assert_eq!(scene.refused(&sent(&scene, listed())), Reason::AuthenticationTooWeak);
    let scene = scene_with(Route { scopes: vec!["write".into()], ..route() });
    assert_eq!(scene.refused(&sent(&scene, listed())), Reason::ScopeMissing);
}

#[test]
fn a_bound_token_takes_the_whole_certificate_too() {
    let scene = Scene::new();
    let der = authority("home").issue(NAME).der;
    let token = scene.token(&scene.device([4; 32]), |claims| {
        claims["cnf"]["x5t#S256"] = base64url(&sha256(&der)).into();
    });
    let with = |der: &[u8]| Sent {
        client_certificate: Some(ClientCertificate::from_der(der)),
        ..scene.sent_with("DPoP", &token)
    };
    assert_eq!(scene.verdict(&with(&der)), None);
    assert_eq!(scene.refused(&with(&authority("other").issue(NAME).der)), Reason::CertificateMismatch);
}

#[test]
fn a_file_without_authorities_is_refused() {
    let read = |file: &[u8]| CertificateAuthorities::from_file(file).map(|_| ());
    let home = authority("home");
    assert_eq!(read(home.certificate_pem().as_bytes()), Ok(()));
    let leaf = home.issue(NAME).certificate_pem();
    let not_one = |index| Err(CertificateAuthoritiesError::NotAnAuthority { index });
    assert_eq!(read(leaf.as_bytes()), not_one(0));
    assert_eq!(read(format!("{}{leaf}", home.certificate_pem()).as_bytes()), not_one(1));
    assert_eq!(read(&[0x30, 0]), not_one(0));
    assert!(matches!(read(b""), Err(CertificateAuthoritiesError::File(_))));
}

#[test]
fn an_allow_list_takes_whole_names_and_is_bounded() {
    let mut list = ClientCertificates::default();
    let mut add = |name| list.allow_name("app", name, CertificateAuthorities::default(), Vec::new(), None);
    for name in [
        CertificateName::Dns(String::new()),
        CertificateName::Dns("*.partner.example".into()),
        CertificateName::Uri(String::new()),
        CertificateName::Thumbprint([1; 32]),
    ] {
        assert_eq!(add(name.clone()), Err(EntryRefused), "{name}");
    }
    for _ in 0..MAX_HOLDERS {
        list.allow_thumbprint("app", [1; 32], Vec::new(), NOW).unwrap();
    }
    assert_eq!(list.allow_thumbprint("app", [2; 32], Vec::new(), NOW), Err(EntryRefused));
}

#[test]
fn certificates_are_never_printed() {
    let shown = format!("{:?}", ClientCertificate::from_der(&[0x30, 7, 7, 7]));
    assert!(shown.contains('…') && !shown.contains('7'), "{shown}");
}
