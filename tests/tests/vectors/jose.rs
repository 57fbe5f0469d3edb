//! JWS, thumbprints, DPoP proofs and client attestations of RFCs, drafts and the JOSE cookbook.

use std::path::Path;

use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::request::{TargetUri, sha256};
use countersign_core::token::jose::{Jws, JwsError, typ};
use countersign_core::token::keys::PublicKey;
use countersign_core::token::keys::VerifySignature;
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::crypto::AwsLc;
use serde_json::{Map, Value, json};

use crate::exceptions::Exceptions;
use crate::published::{Published, Tally, text};

/// The algorithms of access tokens, and of everything else in JOSE.
const TAKEN: [&str; 6] = ["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS256"];

pub(crate) fn all(folder: &Path, exceptions: &mut Exceptions) -> Tally {
    let mut published = Published::load(folder, "jose", "manifest.json", exceptions);
    let cases = published.document["cases"].as_array().expect("cases").clone();
    for case in &cases {
        match text(case, "kind") {
            "jws-compact" => compact(&mut published, case),
            "jwk-thumbprint" => thumbprint(&mut published, case),
            "jose-cookbook" => {
                let path = folder.join("jose").join(text(case, "file"));
                let bytes = std::fs::read(path).expect("the cookbook's file is there");
                cookbook(&mut published, case, &serde_json::from_slice(&bytes).expect("JSON"));
            }
            "dpop-proof" => dpop_with_variants(&mut published, case),
            "client-attestation" => client_attestation(&mut published, case),
            "client-attestation-pop" => pop(&mut published, case),
            kind => panic!("a kind of case that is new: {kind}"),
        }
    }
    published.tally
}

/// Verifies a compact JWS as an edge does an access token's: strict reading, key set, algorithm bound to the key.
/// Our tokens all have claims; a payload that is none is replaced for the reading and put back for the signature.
pub(crate) fn verifies(key_set: &Value, token: &str) -> bool {
    let Some((header, payload, signature)) = segments(token) else { return Jws::decode(token).is_ok() };
    if from_base64url(payload).is_err() {
        return Jws::decode(token).is_ok();
    }
    let with_claims = match Jws::decode(token) {
        Ok(_) | Err(JwsError::Json) => format!("{header}.{}.{signature}", base64url(b"{}")),
        Err(_) => token.to_owned(),
    };
    let (Ok(jws), Ok(keys)) = (Jws::decode(&with_claims), Jwks::decode(key_set.to_string().as_bytes()))
    else {
        return false;
    };
    let Some(key) =
        keys.find(jws.key_id()).or_else(|| keys.keys().first().filter(|_| jws.key_id().is_none()))
    else {
        return false;
    };
    key.verifies(jws.algorithm(), &format!("{header}.{payload}"), signature)
}

/// Whether a key of a key set is one that we verify with.
pub(crate) fn is_algorithm_taken(key: &Value) -> bool {
    let kind_is_taken = match (key["kty"].as_str(), key["crv"].as_str()) {
        (Some("RSA"), _) => true,
        (Some("EC"), Some(curve)) => matches!(curve, "P-256" | "P-384"),
        (Some("OKP"), Some(curve)) => curve == "Ed25519",
        _ => false,
    };
    kind_is_taken && key["alg"].as_str().is_none_or(|name| TAKEN.contains(&name))
}

fn segments(token: &str) -> Option<(&str, &str, &str)> {
    let (signing_input, signature) = token.rsplit_once('.')?;
    let (header, payload) = signing_input.split_once('.')?;
    Some((header, payload, signature))
}

fn compact(published: &mut Published<'_>, case: &Value) {
    let id = text(case, "id");
    let token = text(case, "token");
    let taken = TAKEN.contains(&text(case, "alg"));
    let accepted = verifies(&json!({ "keys": [case["key"]] }), token);
    published.judge(id, taken, case["expected"] == "valid", accepted);
    // Read as a token of ours, a payload that is no JSON object refuses it before any signature.
    let payload = case["payload_b64"].as_str().map(|payload| payload.replace('=', ""));
    if payload.is_some_and(|payload| !payload.starts_with("eyJ")) {
        published.must(id, matches!(Jws::decode(token), Err(JwsError::Json)), "read as claims");
    }
}

fn thumbprint(published: &mut Published<'_>, case: &Value) {
    let key = PublicKey::from_jwk(object(&case["key"]));
    let accepted = key.is_ok_and(|key| key.thumbprint().to_base64url() == text(case, "thumbprint"));
    // Keys of instances are P-256 or Ed25519; no RSA key is ever confirmed.
    published.judge(text(case, "id"), case["key"]["kty"] != "RSA", true, accepted);
}

/// The compact form where our algorithms can verify it; every JSON serialisation is refused.
fn cookbook(published: &mut Published<'_>, case: &Value, example: &Value) {
    let id = text(case, "id");
    let key = &example["input"]["key"];
    let output = &example["output"];
    if let Some(token) = output["compact"].as_str() {
        let algorithm = example["input"]["alg"].as_str().or_else(|| key["alg"].as_str()).unwrap_or_default();
        let public = public_part(key);
        let is_detached = example["signing"]["protected"]["b64"] == false;
        let taken = TAKEN.contains(&algorithm) && is_algorithm_taken(&public) && !is_detached;
        published.judge(id, taken, true, verifies(&json!({ "keys": [public] }), token));
    }
    for form in ["json", "json_flat"] {
        if !output[form].is_null() {
            published.judge(id, false, true, Jws::decode(&output[form].to_string()).is_ok());
        }
    }
}

/// The cookbook prints private keys; a set with one is refused whole.
fn public_part(key: &Value) -> Value {
    let mut public = object(key).clone();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        public.remove(private);
    }
    public.into()
}

fn dpop_with_variants(published: &mut Published<'_>, case: &Value) {
    let id = text(case, "id");
    published.judge(id, true, case["expected"] == "valid", dpop(case));
    for variant in case["variants"].as_array().into_iter().flatten() {
        let mut changed = object(case).clone();
        changed.extend(object(&variant["change"]).clone());
        let changed = Value::from(changed);
        // A replay set sees the proof twice; in a single look nothing is wrong with it.
        let accepted = dpop(&changed) && changed["replayed"] != true;
        published.judge(id, true, variant["expected"] == "valid", accepted);
    }
}

/// RFC 9449 section 4.3 from our parts. The edge refuses the OAuth flavour as yet, so the order stands here.
fn dpop(case: &Value) -> bool {
    let Ok(jws) = Jws::decode(text(case, "token")) else { return false };
    let key = jws.header.get("jwk").and_then(Value::as_object).map(PublicKey::from_jwk);
    let Some(Ok(key)) = key else { return false };
    let claim = |name: &str| jws.claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let same_target = match (TargetUri::parse(claim("htu")), TargetUri::parse(text(case, "htu"))) {
        (Ok(theirs), Ok(ours)) => theirs.to_htu() == ours.to_htu(),
        _ => false,
    };
    let now = case["verify_at_unix"].as_u64().expect("a time");
    let issued_at = jws.claims.get("iat").and_then(Value::as_u64).unwrap_or_default();
    let ath = case["access_token"].as_str().map(|token| base64url(&sha256(token.as_bytes())));
    jws.is_typ(typ::DPOP)
        && jws.algorithm() == key.algorithm().jose()
        && AwsLc.verify(&key, jws.signing_input.as_bytes(), &jws.signature).is_ok()
        && claim("htm") == text(case, "htm")
        && same_target
        && (issued_at.saturating_sub(10)..=issued_at + 60).contains(&now)
        && ath.is_none_or(|ath| ath == claim("ath"))
        && key.thumbprint().to_base64url() == text(case, "jkt")
}

/// Its signature cannot be checked; what can be read must be read as the draft says.
fn client_attestation(published: &mut Published<'_>, case: &Value) {
    let id = text(case, "id");
    let jws = Jws::decode(text(case, "token"));
    published.judge(id, true, true, jws.is_ok());
    let Ok(jws) = jws else { return };
    published.must(id, jws.is_typ(typ::CLIENT_ATTESTATION), "typ");
    published.must(id, Value::from(jws.claims.clone()) == case["claims"], "claims");
    let key = PublicKey::from_jwk(object(&jws.claims["cnf"]["jwk"]));
    let thumbprint = key.map(|key| key.thumbprint().to_base64url()).unwrap_or_default();
    published.must(id, thumbprint == text(case, "cnf_jkt"), "thumbprint");
}

fn pop(published: &mut Published<'_>, case: &Value) {
    let id = text(case, "id");
    let (jws, key) = (Jws::decode(text(case, "token")), PublicKey::from_jwk(object(&case["key"])));
    let (Ok(jws), Ok(key)) = (jws, key) else {
        return published.judge(id, true, true, false);
    };
    let verified = AwsLc.verify(&key, jws.signing_input.as_bytes(), &jws.signature).is_ok();
    published.judge(
        id,
        true,
        case["expected"] == "valid",
        verified && jws.is_typ(typ::CLIENT_ATTESTATION_POP),
    );
    for claim in ["aud", "iat", "jti", "challenge"] {
        published.must(id, jws.claims.get(claim) == Some(&case[claim]), claim);
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}
