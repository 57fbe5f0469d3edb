//! The app as an OAuth client: what it sends to its authorization server.

use countersign_core::attester::{ClientAuthenticationHeaders, ClientProof, ProveError};
use countersign_core::request::RequestError;
use countersign_core::token::client_attestation::DecodedClientAttestationPop;
use countersign_core::token::dpop::DecodedDpop;
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::{PureRust, VerifySignature};

use crate::phone::{IPHONE, Outcome, Phone};
use crate::service::{START, Service};

const ISSUER: &str = "https://login.example/tenant";
const POP: ClientProof<'static> = ClientProof::Pop { issuer: ISSUER, challenge: Some("challenge") };
const DPOP: ClientProof<'static> =
    ClientProof::Dpop { endpoint: "https://login.example/token", nonce: Some("nonce") };

fn ready() -> Phone {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone
}

fn authenticate(phone: &Phone, proof: &ClientProof<'_>) -> Result<ClientAuthenticationHeaders, ProveError> {
    let authentication = phone.attester.prepare_client_authentication(proof, phone.now(), &[5; 16])?;
    let signature = phone.sign(authentication.handle(), authentication.message()).unwrap();
    Ok(authentication.finish(&signature).unwrap())
}

fn is_by_the_instance_key(phone: &Phone, jws: &Jws<'_>) -> bool {
    let key = phone.service.last_enrolment().instance_key;
    let signature: [u8; 64] = jws.signature.as_slice().try_into().unwrap();
    PureRust.verify(&key, jws.signing_input.as_bytes(), &signature).is_ok()
}

#[test]
fn the_normal_mode_names_its_authorization_server_alone() {
    let phone = ready();
    let headers = authenticate(&phone, &POP).unwrap();
    let pop = DecodedClientAttestationPop::decode(&headers.proof).unwrap();
    assert!(is_by_the_instance_key(&phone, &pop.jws));
    assert_eq!((pop.audience.as_str(), pop.challenge.as_deref()), (ISSUER, Some("challenge")));
    assert_eq!(pop.issued_at.as_unix_seconds(), START);
    assert_eq!(pop.jws.claims.len(), 4, "aud, jti, iat, challenge");
    assert_eq!(
        headers.fields().map(|(name, _)| name),
        ["oauth-client-attestation", "oauth-client-attestation-pop"]
    );
}

#[test]
fn the_combined_mode_is_a_dpop_proof_for_the_endpoint() {
    let phone = ready();
    let headers = authenticate(&phone, &DPOP).unwrap();
    let dpop = DecodedDpop::decode(&headers.proof).unwrap();
    assert!(is_by_the_instance_key(&phone, &dpop.jws));
    assert_eq!(dpop.key, phone.service.last_enrolment().instance_key);
    assert_eq!((dpop.method.as_str(), dpop.target.as_str()), ("POST", "https://login.example/token"));
    assert_eq!((dpop.nonce.as_deref(), dpop.ath), (Some("nonce"), None));
    assert_eq!(
        dpop.jws.claims.len(),
        5,
        "jti, htm, htu, iat, nonce: nothing that only an edge of ours knows"
    );
    assert_eq!(headers.fields().map(|(name, _)| name), ["oauth-client-attestation", "dpop"]);
}

#[test]
fn what_the_server_did_not_give_is_not_sent() {
    let phone = ready();
    let pop = authenticate(&phone, &ClientProof::Pop { issuer: ISSUER, challenge: None }).unwrap();
    assert_eq!(DecodedClientAttestationPop::decode(&pop.proof).unwrap().challenge, None);
    let endpoint = "https://login.example/token?tenant=1";
    let dpop = authenticate(&phone, &ClientProof::Dpop { endpoint, nonce: None }).unwrap();
    let dpop = DecodedDpop::decode(&dpop.proof).unwrap();
    assert_eq!((dpop.nonce, dpop.target.as_str()), (None, "https://login.example/token"));
}

#[test]
fn an_authorization_server_gets_the_attestation_that_is_meant_for_it() {
    let phone = ready();
    for proof in [POP, DPOP] {
        assert_eq!(authenticate(&phone, &proof).unwrap().client_attestation, "as.as.as");
    }
}

#[test]
fn the_proof_carries_the_services_time_whatever_the_phone_shows() {
    let mut phone = Phone::new(IPHONE);
    phone.wall_error = -86_400;
    assert_eq!(phone.obtain(), Outcome::Ready);
    let headers = authenticate(&phone, &POP).unwrap();
    let pop = DecodedClientAttestationPop::decode(&headers.proof).unwrap();
    assert_eq!(pop.issued_at.as_unix_seconds(), START);
}

#[test]
fn nothing_is_sent_in_the_clear_nor_to_what_is_no_url() {
    let phone = ready();
    for url in ["http://login.example", "http://10.0.2.2/token", "http://localhost.evil/"] {
        for proof in proofs(url) {
            assert_eq!(authenticate(&phone, &proof).err(), Some(ProveError::Plaintext), "{url} {proof:?}");
        }
    }
    for url in ["", "login.example", "https://login.example/#a", "https://user@login.example/", "ftp://login"]
    {
        for proof in proofs(url) {
            let error = authenticate(&phone, &proof).err();
            assert!(matches!(error, Some(ProveError::Request(_))), "{url} {proof:?} {error:?}");
        }
    }
    for proof in proofs("http://127.0.0.1:9000/op") {
        assert!(authenticate(&phone, &proof).is_ok(), "loopback, for development");
    }
    let issuer = ClientProof::Pop { issuer: "https://login.example/?a", challenge: None };
    assert_eq!(authenticate(&phone, &issuer).err(), Some(ProveError::Request(RequestError::Character)));
}

#[test]
fn plaintext_that_was_permitted_is_permitted_here_too() {
    let mut phone = Phone::with(Service::new(), |settings| settings.danger_plaintext = true);
    assert_eq!(phone.obtain(), Outcome::Ready);
    for proof in proofs("http://10.0.2.2:9000") {
        assert!(authenticate(&phone, &proof).is_ok(), "{proof:?}");
    }
}

#[test]
fn without_a_current_result_no_client_is_authenticated() {
    let mut phone = ready();
    phone.advance(589);
    assert!(authenticate(&phone, &POP).is_ok());
    phone.advance(1);
    for phone in [phone, Phone::new(IPHONE)] {
        for proof in [POP, DPOP] {
            assert_eq!(authenticate(&phone, &proof).err(), Some(ProveError::NoResult));
        }
    }
}

#[test]
fn another_keys_signature_authenticates_nobody() {
    let (phone, other) = (ready(), ready());
    for proof in [POP, DPOP] {
        let prepared = phone.attester.prepare_client_authentication(&proof, phone.now(), &[5; 16]).unwrap();
        let mut stolen = other.sign(&handle(other.keys.keys().next().unwrap()), b"else").unwrap();
        assert!(prepared.finish(&stolen).is_err());
        let prepared = phone.attester.prepare_client_authentication(&proof, phone.now(), &[5; 16]).unwrap();
        stolen.truncate(7);
        assert!(prepared.finish(&stolen).is_err());
    }
}

#[test]
fn an_endless_challenge_makes_no_endless_header() {
    let phone = ready();
    let long = "a".repeat(8192);
    for proof in [
        ClientProof::Pop { issuer: ISSUER, challenge: Some(&long) },
        ClientProof::Dpop { endpoint: "https://login.example/token", nonce: Some(&long) },
    ] {
        assert_eq!(authenticate(&phone, &proof).err(), Some(ProveError::TooLong));
    }
}

#[test]
fn nothing_that_authenticates_is_printed() {
    let phone = ready();
    let headers = authenticate(&phone, &POP).unwrap();
    let printed = format!("{headers:?} {POP:?} {DPOP:?}");
    for secret in [&headers.proof[..16], "as.as.as", "nonce", "challenge"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

fn proofs(url: &str) -> [ClientProof<'_>; 2] {
    [ClientProof::Pop { issuer: url, challenge: None }, ClientProof::Dpop { endpoint: url, nonce: None }]
}

fn handle(bytes: &[u8]) -> countersign_core::attester::KeyHandle {
    countersign_core::attester::KeyHandle::new(bytes.to_owned()).unwrap()
}
