//! Results, proofs, enrolments, deny lists, JWTs, key sets.

use countersign_core::encoding::base64url;
use countersign_core::enrolment::{DecodedEnrolment, Evidence};
use countersign_core::token::cose::{Sign1, typ};
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::{DecodedResult, ResultClaims};
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::crypto::{AwsLc, sha256};
use serde_json::{Map, Value, json};

use super::evidence;
use super::finding::{Finding, Signature};

/// A COSE_Sign1 message of any `typ`.
pub(super) fn cose(bytes: &[u8], keys: Option<&Jwks>) -> Option<Finding> {
    let message = Sign1::decode(bytes).ok()?;
    match message.header().typ {
        typ::RESULT => {
            let signature = by_key_id(&message, keys);
            Some(match DecodedResult::decode(bytes) {
                Ok(decoded) => result(&decoded.claims, bytes).signed(signature),
                Err(error) => broken("attestation result (compact)", error.reason()).signed(signature),
            })
        }
        typ::PROOF => Some(match DecodedProof::decode(bytes) {
            Ok(decoded) => proof(&decoded.claims),
            Err(error) => broken("attestation proof (compact)", error.reason()),
        }),
        typ::ENROLMENT => Some(match DecodedEnrolment::decode(bytes) {
            Ok(decoded) => enrolment(&decoded),
            Err(error) => broken("enrolment message", error.reason()),
        }),
        typ::DENY_LIST => Some(deny_list(&message).signed(by_key_id(&message, keys))),
        other => Some(Finding::new(format!("COSE_Sign1 message of type {other}"), json!({}))),
    }
}

/// A compact JWS.
pub(super) fn jwt(text: &str, keys: Option<&Jwks>) -> Option<Finding> {
    let jws = Jws::decode(text).ok()?;
    let what = if jws.is_typ("oauth-client-attestation+jwt") {
        if jws.claims.contains_key("countersign") {
            "client attestation JWT for resources"
        } else {
            "client attestation JWT for an authorization server"
        }
    } else if jws.is_typ("oauth-client-attestation-pop+jwt") {
        "client attestation proof-of-possession JWT"
    } else if jws.is_typ("dpop+jwt") {
        "DPoP proof JWT"
    } else if jws.is_typ("at+jwt") {
        "access token JWT (RFC 9068)"
    } else {
        "JWT of no type that is known here"
    };
    let signature = match keys {
        None => Signature::NotVerified,
        Some(keys) => {
            let verifies = keys.find(jws.key_id()).is_some_and(|key| {
                key.verifies(jws.algorithm(), jws.signing_input, &base64url(&jws.signature))
            });
            if verifies { Signature::Good } else { Signature::Bad }
        }
    };
    let mut finding =
        Finding::new(what, json!({ "header": jws.header, "claims": jws.claims })).signed(signature);
    if let Some(jkt) = jws.claims.get("cnf").and_then(confirmation_thumbprint) {
        finding = finding.note(format!("It is bound to the key with the thumbprint {jkt}."));
    } else if jws.is_typ("at+jwt") {
        finding =
            finding.note("It is bound to no key: a route with token_binding = \"instance\" refuses it.");
    }
    Some(finding)
}

/// A JSON object: a key set, or the service's answer to an enrolment.
pub(super) fn json(object: &Map<String, Value>, keys: Option<&Jwks>) -> Option<Finding> {
    if let Some(members) = object.get("keys").and_then(Value::as_array) {
        let private = members.iter().any(|key| key.get("d").is_some() || key.get("k").is_some());
        if private {
            return Some(
                Finding::new("key set with PRIVATE keys", json!({ "keys": members.len() }))
                    .note("This file is a secret; nothing of it is shown."),
            );
        }
        let mut finding = Finding::new("public key set (JWKS)", json!({ "keys": members.len() }));
        for key in members {
            let thumbprint = key.as_object().and_then(|key| PublicKey::from_jwk(key).ok());
            let mut facts = key.clone();
            if let Some(key) = thumbprint {
                facts["thumbprint"] = key.thumbprint().to_base64url().into();
            }
            finding = finding.part(Finding::new("key", facts));
        }
        return Some(finding);
    }
    let token = |name: &str| object.get(name).and_then(Value::as_str);
    let bytes = countersign_core::encoding::from_base64url(token("result")?).ok()?;
    let mut finding = Finding::new(
        "the service's answer to an enrolment or renewal",
        json!({ "instance_id": object.get("instance_id"), "renew_after": object.get("renew_after") }),
    )
    .part(cose(&bytes, keys)?);
    for name in ["client_attestation_as", "client_attestation_rs"] {
        if let Some(part) = token(name).and_then(|text| jwt(text, keys)) {
            finding = finding.part(part);
        }
    }
    Some(finding)
}

fn result(claims: &ResultClaims, bytes: &[u8]) -> Finding {
    let facts = json!({
        "iss": claims.issuer,
        "sub": claims.client_id,
        "iat": claims.issued_at.as_unix_seconds(),
        "exp": claims.expires_at.as_unix_seconds(),
        "tier": claims.tier,
        "instance": claims.instance.to_base64url(),
        "instance_jkt": claims.instance_jkt.to_base64url(),
        "protection": claims.protection,
        "vouched_by": claims.vouched_by,
        "evidence_time": claims.evidence_time.as_unix_seconds(),
        "app_version": claims.app_version,
        "policy": claims.policy,
        "labels": claims.labels,
        "cnf": claims.confirmation.to_jwk(),
        "sha256": base64url(&sha256(bytes)),
    });
    Finding::new("attestation result (compact)", facts)
}

fn proof(claims: &ProofClaims<'_>) -> Finding {
    let hash = |bytes: Option<[u8; 32]>| bytes.map(|bytes| base64url(&bytes));
    let facts = json!({
        "aud": claims.audience,
        "iat": claims.issued_at.as_unix_seconds(),
        "cti": base64url(claims.token_id),
        "cnonce": claims.nonce.map(base64url),
        "htm": claims.method,
        "htu": claims.target,
        "query": hash(claims.query),
        "content": hash(claims.content),
        "ath": hash(claims.ath),
        "result": base64url(&claims.result),
        "environment": claims.environment,
    });
    Finding::new("attestation proof (compact)", facts)
        .note("The `cnf` key of the result whose SHA-256 is `result` verifies it.")
}

fn enrolment(decoded: &DecodedEnrolment<'_>) -> Finding {
    let enrolment = &decoded.enrolment;
    let facts = json!({
        "purpose": enrolment.purpose().as_str(),
        "instance": enrolment.instance.map(|id| id.to_base64url()),
        "issuer": enrolment.issuer,
        "challenge": enrolment.challenge.to_base64url(),
        "issued": enrolment.challenge.issued_at().as_unix_seconds(),
        "client_id": enrolment.client_id,
        "instance_jkt": enrolment.instance_key.thumbprint().to_base64url(),
        "session_jkt": enrolment.session_key.thumbprint().to_base64url(),
        "protection": enrolment.protection,
        "environment": enrolment.environment,
        "app_version": enrolment.app_version,
        "evidence": enrolment.evidence.iter().map(Evidence::kind).collect::<Vec<_>>(),
    });
    let signed = decoded.message.verify(&enrolment.instance_key, &AwsLc).is_ok();
    let mut finding = Finding::new("enrolment or renewal message", facts)
        .signed(if signed { Signature::Good } else { Signature::Bad })
        .note("The signature was checked with the key that the message carries itself.");
    if enrolment.verify_possession(&AwsLc).is_err() {
        finding = finding.note("The session key's proof of possession does NOT verify.");
    }
    for piece in &enrolment.evidence {
        let part = match piece {
            Evidence::AppAttest { attestation_object, .. } => evidence::app_attest(attestation_object),
            Evidence::AppAttestAssertion { assertion } => evidence::app_attest(assertion),
            Evidence::AndroidKey { chain } => evidence::chain(chain),
            Evidence::PlayIntegrity { token } => jwt(token, None),
            Evidence::DevelopmentKey { key_id, .. } => {
                Some(Finding::new("signature by a development key", json!({ "key_id": key_id })))
            }
        };
        finding = finding.part(part.unwrap_or_else(|| broken("evidence", "it cannot be read")));
    }
    finding
}

fn deny_list(message: &Sign1<'_>) -> Finding {
    let facts = json!({ "kid": message.header().key_id.map(String::from_utf8_lossy), "bytes": message.payload().len() });
    Finding::new("deny list", facts)
}

fn broken(what: &str, reason: &str) -> Finding {
    Finding::new(what, json!({})).note(format!("It is not well-formed: {reason}."))
}

/// Verifies with the key that the message names.
fn by_key_id(message: &Sign1<'_>, keys: Option<&Jwks>) -> Signature {
    let Some(keys) = keys else { return Signature::NotVerified };
    let key_id = message.header().key_id.and_then(|id| std::str::from_utf8(id).ok());
    let key = keys.find(key_id).and_then(|key| key.public_key);
    if key.is_some_and(|key| message.verify(&key, &AwsLc).is_ok()) { Signature::Good } else { Signature::Bad }
}

fn confirmation_thumbprint(cnf: &Value) -> Option<String> {
    if let Some(jkt) = cnf.get("jkt").and_then(Value::as_str) {
        return Some(jkt.to_owned());
    }
    let key = PublicKey::from_jwk(cnf.get("jwk")?.as_object()?).ok()?;
    Some(key.thumbprint().to_base64url())
}
