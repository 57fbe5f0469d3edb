//! Which hosts get a proof: those that were named, however a URI is twisted. URI parsers disagree about most of what stands
//! here; what one of them could read as another host is refused.

use countersign_core::attester::{Advice, ClientProof, Currency, EdgeAnswer, ProofRequest, ProveError};

use crate::phone::{IPHONE, Outcome, Phone};

fn ready() -> Phone {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone
}

/// Whether a proof is made for `uri`; the session key and the instance key must agree.
fn is_proven(phone: &Phone, uri: &str) -> bool {
    let request = ProofRequest {
        method: "GET",
        uri,
        credential: Some("token"),
        content: None,
        nonce: None,
        environment: None,
    };
    let proven = phone.attester.prove(&request, phone.now(), &[7; 16]).map(drop);
    let prepared = phone.attester.prepare_instance_key_proof(&request, phone.now(), &[7; 16]).map(drop);
    assert_eq!(proven, prepared, "{uri}");
    assert!(
        matches!(proven, Ok(()) | Err(ProveError::UnknownOrigin | ProveError::Request(_))),
        "{uri}: {proven:?}"
    );
    proven.is_ok()
}

const ELSEWHERE: [&str; 47] = [
    // Another host.
    "https://evil.example/",
    "https://api.example.evil.example/",
    "https://evil-api.example/",
    "https://apiXexample/",
    "https://example/",
    "https://api.example./",
    "https://.api.example/",
    "https://api..example/",
    "https://[::1]/",
    "https://127.0.0.1/",
    // Another scheme or port.
    "http://api.example/",
    "http://api.example:443/",
    "ws://api.example/",
    "wss://api.example/",
    "ftp://api.example/",
    "httpss://api.example/",
    "https://api.example:80/",
    "https://api.example:8443/",
    "https://api.example:65979/",
    "https://api.example:-443/",
    "https://api.example:4 43/",
    "https://api.example:443:443/",
    // User information.
    "https://api.example@evil.example/",
    "https://api.example:443@evil.example/",
    "https://evil.example@api.example/",
    "https://@api.example/",
    "https://api.example%40evil.example/",
    // Backslashes, tabs, line ends, spaces, zeros: some parsers drop them, some read a slash.
    "https://evil.example\\@api.example/",
    "https://evil.example\\.api.example/",
    "https://api.example\\.evil.example/",
    "https:\\\\api.example/",
    "https://api.ex\tample/",
    "https://api.example\t.evil.example/",
    "https://api.example\n.evil.example/",
    "https://api.example\0.evil.example/",
    " https://api.example/",
    "https://api.example /",
    // Escapes, and characters that become others (IDNA, case folding).
    "https://api%2eexample/",
    "https://%61pi.example/",
    "https://api\u{3002}example/",
    "https://api\u{ff0e}example/",
    "https://\u{ff41}pi.example/",
    "https://ap\u{131}.example/",
    // No authority, or none that every parser sees.
    "https:api.example/",
    "https:///api.example/",
    "//api.example/",
    "https://",
];

#[test]
fn no_twist_of_a_uri_gets_a_proof_for_another_host() {
    let phone = ready();
    for uri in ELSEWHERE {
        assert!(!is_proven(&phone, uri), "{uri:?}");
    }
}

#[test]
fn the_named_host_is_recognised_however_it_is_written() {
    let phone = ready();
    for uri in [
        "https://api.example",
        "https://api.example/",
        "HTTPS://API.Example/",
        "https://api.example:443/",
        "https://api.example:/",
        "https://api.example?@evil.example/",
        "https://api.example/@evil.example/",
        "https://api.example/?https://evil.example/",
    ] {
        assert!(is_proven(&phone, uri), "{uri}");
    }
}

#[test]
fn no_single_character_leads_to_another_host() {
    let phone = ready();
    let named = "https://api.example:443";
    let others = ['\u{a0}', '\u{ad}', '\u{200b}', '\u{2024}', '\u{ff0f}', '\u{212a}', '\u{10ffff}'];
    let mut proven = 0;
    for character in (0..=0xffu8).map(char::from).chain(others) {
        for at in 0..=named.len() {
            let inserted = format!("{}{character}{}/", &named[..at], &named[at..]);
            let replaced = format!("{}{character}{}/", &named[..at], named.get(at + 1..).unwrap_or_default());
            for uri in [inserted, replaced] {
                if is_proven(&phone, &uri) {
                    proven += 1;
                    assert!(leads_to_the_named_host(&uri), "{uri:?}");
                }
            }
        }
    }
    assert!(proven > 20, "upper case, at least");
}

/// By its characters alone: the name, and behind it nothing that could prolong it or change the port.
fn leads_to_the_named_host(uri: &str) -> bool {
    let lower = uri.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://api.example") else { return false };
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    matches!(authority, "" | ":" | ":443" | ":0443")
}

#[test]
fn another_host_gives_no_advice_and_no_nonce() {
    let mut phone = ready();
    for uri in ELSEWHERE {
        let www = r#"DPoP error="use_fresh_attestation""#;
        let answer = EdgeAnswer { status: 401, challenge: None, www_authenticate: &[www] };
        let now = phone.now();
        assert_eq!(phone.attester.observe(uri, &answer, now), Advice::Accept, "{uri:?}");
    }
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
}

#[test]
fn the_attestation_service_is_called_and_nobody_else() {
    let mut phone = Phone::new(IPHONE);
    // The service of the tests panics at a call to another origin than the issuer's.
    for _ in 0..5 {
        assert_eq!(phone.obtain(), Outcome::Ready);
        phone.advance(600);
    }
    assert!(phone.service.calls.len() > 5);
}

#[test]
fn an_authorization_server_that_is_not_encrypted_gets_nothing() {
    let phone = ready();
    for (url, is_given) in [
        ("https://as.example/token", true),
        ("http://127.0.0.1:8080/token", true),
        ("http://localhost/token", true),
        ("http://as.example/token", false),
        ("http://127.0.0.1.evil.example/token", false),
        ("http://localhost.evil.example/token", false),
        ("http://user@localhost/token", false),
        ("http://[::2]/token", false),
    ] {
        let proof = ClientProof::Dpop { endpoint: url, nonce: None };
        let prepared = phone.attester.prepare_client_authentication(&proof, phone.now(), &[1; 16]);
        assert_eq!(prepared.is_ok(), is_given, "{url}");
    }
}
