//! JSON documents: JWK Sets, status lists, answers of the service.

use countersign_core::encoding::from_base64url;
use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::time::Timestamp;
use countersign_core::token::jose::strict_object;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::revocation::RevocationList;
use serde_json::{Map, Value as Json};

use super::explanation::{Check, Explanation, Value, members};
use super::fault::Fault;
use super::key_set::KeySet;
use super::{compact, jwt, play_integrity};

/// Entries of a status list that are shown.
const SHOWN: usize = 20;

/// Explains a JSON object by its members.
pub(super) fn explain(json: &[u8], keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    // Before anything else is asked of it: where does it stop being JSON?
    let parsed: Json = serde_json::from_slice(json).map_err(|error| Fault {
        seems: "a JSON document",
        reason: "json_malformed",
        at: format!("line {}, column {}", error.line(), error.column()),
    })?;
    if !parsed.is_object() {
        return Err(Fault {
            seems: "a JSON document",
            reason: "unknown_document",
            at: "its outermost value is no object".to_owned(),
        });
    }
    let has = |name: &str| parsed.get(name).is_some();
    if has("entries") {
        return status_list(json);
    }
    let object = strict_object(json).map_err(|error| Fault {
        seems: "a JSON document",
        reason: error.reason(),
        at: "a member stands twice, or it is nested too deep".to_owned(),
    })?;
    if has("tokenPayloadExternal") {
        play_integrity::explain_answer(json)
    } else if has("keys") {
        key_set(json, &object)
    } else if has("kty") {
        let set = Map::from_iter([("keys".to_owned(), Json::Array(vec![parsed.clone()]))]);
        key_set(Json::Object(set.clone()).to_string().as_bytes(), &set)
    } else if let Ok(enrolled) = serde_json::from_value::<EnrolmentAnswer>(parsed.clone()) {
        answer(&enrolled, keys)
    } else {
        let names: Vec<_> = object.keys().take(8).map(String::as_str).collect();
        Err(Fault {
            seems: "a JSON document",
            reason: "unknown_document",
            at: format!("neither keys nor entries among its members: {}", names.join(", ")),
        })
    }
}

fn key_set(json: &[u8], object: &Map<String, Json>) -> Result<Explanation, Fault> {
    let usable = Jwks::decode(json).map_err(|error| Fault {
        seems: "a JWK Set",
        reason: error.reason(),
        at: "an edge takes a set whole or not at all".to_owned(),
    })?;
    let listed = object.get("keys").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let keys = listed.iter().filter_map(Json::as_object).map(|jwk| {
        let text = |name: &str| jwk.get(name).and_then(Json::as_str);
        let key_id = text("kid");
        let used = usable.keys().iter().any(|key| key.key_id.as_deref() == key_id);
        let thumbprint = PublicKey::from_jwk(jwk).ok().map(|key| key.thumbprint().to_base64url());
        members([
            ("kid", key_id.into()),
            ("kty", text("kty").into()),
            ("crv", text("crv").into()),
            ("alg", text("alg").into()),
            ("use", text("use").into()),
            ("jkt", thumbprint.into()),
            ("usable", Value::Flag(used)),
        ])
    });
    Ok(Explanation {
        kind: "jwks",
        what: "A JWK Set (RFC 7517): public keys that verify tokens.",
        parts: vec![("keys".to_owned(), Value::List(keys.collect()))],
        checks: vec![Check::not_verified("origin", "a key set is worth as much as the way it came here")],
        ..Explanation::default()
    })
}

/// The service's answer to an enrolment or renewal, token by token.
fn answer(answer: &EnrolmentAnswer, keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    let malformed = |_| Fault {
        seems: "the service's answer to an enrolment",
        reason: "answer_malformed",
        at: "result is not base64url".to_owned(),
    };
    let tokens = [
        ("result", compact::explain(&from_base64url(&answer.result).map_err(malformed)?, keys)?),
        ("client_attestation_as", jwt::explain(&answer.client_attestation_as, keys)?),
        ("client_attestation_rs", jwt::explain(&answer.client_attestation_rs, keys)?),
    ];
    let mut explanation = Explanation {
        kind: "enrolment-answer",
        what: "The service's answer to an enrolment or renewal.",
        parts: vec![(
            "content".to_owned(),
            members([
                ("instance_id", answer.instance_id.as_str().into()),
                ("server_time", Timestamp::from_unix_seconds(answer.server_time).into()),
                ("renew_after", format!("{} seconds", answer.renew_after).into()),
            ]),
        )],
        ..Explanation::default()
    };
    for (name, token) in tokens {
        explanation.parts.push((name.to_owned(), Value::Members(token.parts)));
        explanation.validity = explanation.validity.or(token.validity);
        // Of each token the signature; what else an edge asks of it is said when the token is inspected alone.
        let signature = token.checks.into_iter().find(|check| check.of == "signature");
        explanation
            .checks
            .extend(signature.map(|check| Check { detail: format!("{name}: {}", check.detail), ..check }));
    }
    Ok(explanation)
}

fn status_list(json: &[u8]) -> Result<Explanation, Fault> {
    let list = RevocationList::parse(json, Timestamp::EPOCH).map_err(|error| Fault {
        seems: "a status list",
        reason: error.reason(),
        at: match error {
            countersign_verifier::revocation::RevocationListError::Malformed { line } => {
                format!("line {line}")
            }
            _ => "its length".to_owned(),
        },
    })?;
    let entries = serde_json::from_slice::<Json>(json).unwrap_or_default();
    let entries = entries.get("entries").and_then(Json::as_object).cloned().unwrap_or_default();
    let shown = entries.into_iter().take(SHOWN).map(|(serial, entry)| {
        let text = |name: &str| entry.get(name).and_then(Json::as_str).map(str::to_owned);
        let said = [text("status"), text("reason")];
        (serial, Value::Text(said.into_iter().flatten().collect::<Vec<_>>().join(", ")))
    });
    let shown: Vec<_> = shown.collect();
    Ok(Explanation {
        kind: "status-list",
        what: "A status list of Android attestation certificates: every one on it is refused.",
        parts: vec![
            (
                "content".to_owned(),
                members([
                    ("certificates", (list.len() as u64).into()),
                    ("shown", (shown.len() as u64).into()),
                ]),
            ),
            ("certificates by serial number".to_owned(), Value::Members(shown)),
        ],
        checks: vec![Check::not_verified(
            "origin",
            "status lists are not signed; fetch them over TLS from Google",
        )],
        ..Explanation::default()
    })
}
