//! JWTs: access tokens, client attestations, their proofs of possession, DPoP proofs.

use countersign_core::encoding::from_base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::jose::{Jws, strict_object, typ};
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{Protection, Tier, VouchedBy};
use countersign_verifier::credential::jwks::Jwks;
use serde_json::{Map, Value as Json, json};

use super::explanation::{Check, Explanation, Validity, Value};
use super::fault::Fault;
use super::key_set::KeySet;

/// Claims that are times.
const TIMES: [&str; 6] = ["iat", "exp", "nbf", "auth_time", "updated_at", "evidence_time"];

/// Explains a compact JWS.
pub(super) fn explain(token: &str, keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    let jws = Jws::decode(token).map_err(|error| Fault {
        seems: "a JWT",
        reason: error.reason(),
        at: segment_at_fault(token).to_owned(),
    })?;
    let (kind, what) = kind(&jws);
    let time = |name: &str| jws.claims.get(name).and_then(Json::as_u64).map(Timestamp::from_unix_seconds);
    let carries_its_key = matches!(kind, "dpop-proof");
    let mut checks =
        vec![if carries_its_key { own_signature(token, &jws) } else { signature(token, &jws, keys) }];
    checks.extend(further_checks(kind, jws.claims.contains_key("cnf")));
    Ok(Explanation {
        kind,
        what,
        validity: time("exp").map(|until| Validity { from: time("nbf"), until }),
        checks,
        parts: vec![("header".to_owned(), object(&jws.header)), ("claims".to_owned(), object(&jws.claims))],
    })
}

fn kind(jws: &Jws<'_>) -> (&'static str, &'static str) {
    if jws.is_typ(typ::ACCESS_TOKEN) {
        ("access-token", "An OAuth access token (RFC 9068).")
    } else if jws.is_typ(typ::CLIENT_ATTESTATION) && jws.claims.contains_key("countersign") {
        ("client-attestation", "A client attestation for resources: a result in its JWT flavour.")
    } else if jws.is_typ(typ::CLIENT_ATTESTATION) {
        ("client-attestation", "A client attestation for an authorization server.")
    } else if jws.is_typ(typ::CLIENT_ATTESTATION_POP) {
        ("client-attestation-pop", "The proof of possession that goes with a client attestation.")
    } else if jws.is_typ(typ::DPOP) {
        ("dpop-proof", "A DPoP proof (RFC 9449): a signature over one request by the key in its header.")
    } else {
        ("jwt", "A JWT of a type that Countersign does not use.")
    }
}

fn further_checks(kind: &str, is_bound: bool) -> Vec<Check> {
    let note = |of, detail| vec![Check::not_verified(of, detail)];
    match kind {
        "access-token" if is_bound => {
            note("binding", "it is of use only together with a proof by the key in cnf")
        }
        "access-token" => {
            note("binding", "it is bound to no key: whoever has it can use it, where a route permits that")
        }
        "client-attestation" => note("possession", "who shows it must prove that it holds the key in cnf"),
        "client-attestation-pop" => {
            note("key", "its key is in the client attestation (cnf), not in any issuer's JWK Set")
        }
        "dpop-proof" => note("request", "only the server sees method, URI and token to compare with"),
        _ => Vec::new(),
    }
}

/// The members of a header or claims set; times and our numbers by their names.
fn object(members: &Map<String, Json>) -> Value {
    Value::Members(members.iter().map(|(name, json)| (name.clone(), member(name, json))).collect())
}

fn member(name: &str, json: &Json) -> Value {
    let number = json.as_u64();
    match (name, number, json) {
        (name, Some(seconds), _) if TIMES.contains(&name) => Timestamp::from_unix_seconds(seconds).into(),
        ("countersign", _, Json::Object(claims)) => {
            let claims = claims.iter().map(|(name, json)| (name.clone(), countersign_member(name, json)));
            Value::Members(claims.collect())
        }
        ("jwk", _, Json::Object(jwk)) => key(jwk),
        ("cnf", _, Json::Object(confirmation)) => object(confirmation),
        _ => Value::Json(json.clone()),
    }
}

fn countersign_member(name: &str, json: &Json) -> Value {
    let Some(number) = json.as_u64() else { return Value::Json(json.clone()) };
    let small = u8::try_from(number).unwrap_or(u8::MAX);
    let known = match name {
        "tier" => Tier::from_number(small).map(|tier| json!(tier)),
        "protection" => Protection::from_number(small).map(|protection| json!(protection)),
        "vouched_by" => VouchedBy::from_number(small).map(|vouched_by| json!(vouched_by)),
        _ => return member(name, json),
    };
    match known.as_ref().and_then(Json::as_str) {
        Some(name) => Value::Named(name.to_owned(), number),
        None => Value::Named("unknown".to_owned(), number),
    }
}

/// A key by its thumbprint; its private part, should there be one, is not repeated.
fn key(jwk: &Map<String, Json>) -> Value {
    let text = |name: &str| jwk.get(name).and_then(Json::as_str).unwrap_or("?");
    match PublicKey::from_jwk(jwk) {
        Ok(key) => {
            Value::Text(format!("{} {}, jkt {}", text("kty"), text("crv"), key.thumbprint().to_base64url()))
        }
        Err(error) => {
            Value::Text(format!("{} {}, not usable ({})", text("kty"), text("crv"), error.reason()))
        }
    }
}

fn signature(token: &str, jws: &Jws<'_>, keys: Option<&KeySet>) -> Check {
    let Some(keys) = keys else {
        return Check::not_verified("signature", "give the issuer's keys with --jwks FILE");
    };
    match keys.find(jws.key_id()) {
        None => Check::failed("signature", format!("{} has no key of that kid", keys.name)),
        Some(key) if key.verifies(jws.algorithm(), jws.signing_input, signature_segment(token)) => {
            Check::verified("signature", format!("by the key of that kid in {}", keys.name))
        }
        Some(_) => Check::failed("signature", format!("it is not of the key of that kid in {}", keys.name)),
    }
}

/// The signature of a JWT whose header carries its key: proves possession, and says nothing about whose key it is.
fn own_signature(token: &str, jws: &Jws<'_>) -> Check {
    let Some(jwk) = jws.header.get("jwk") else {
        return Check::failed("signature", "the header carries no jwk");
    };
    let set = Jwks::decode(json!({ "keys": [jwk] }).to_string().as_bytes());
    let verifies = set.is_ok_and(|set| {
        let [key] = set.keys() else { return false };
        key.verifies(jws.algorithm(), jws.signing_input, signature_segment(token))
    });
    if verifies {
        Check::verified(
            "signature",
            "by the key in its own header; whose key that is, an access token must say",
        )
    } else {
        Check::failed("signature", "it is not of the key in its own header")
    }
}

fn signature_segment(token: &str) -> &str {
    token.rsplit_once('.').map(|(_, signature)| signature).unwrap_or_default()
}

fn segment_at_fault(token: &str) -> &'static str {
    let segments: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = segments[..] else { return "a JWT has three segments" };
    let is_object = |segment: &str| from_base64url(segment).is_ok_and(|json| strict_object(&json).is_ok());
    if !is_object(header) {
        "the header (first segment)"
    } else if !is_object(claims) {
        "the claims (second segment)"
    } else if signature.is_empty() || from_base64url(signature).is_err() {
        "the signature (third segment)"
    } else {
        "the header (first segment): alg, typ or crit"
    }
}
