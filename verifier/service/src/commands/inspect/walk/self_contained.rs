//! What a request says of itself, without anybody's settings or keys: whether its parts belong together. No signature
//! of a service or server is verified here, so nothing here says that a request is good.

use countersign_core::request::{TargetUri, sha256, split_query};
use countersign_core::time::Timestamp;

use super::details::{hashes, short, when};
use super::presented::{ClaimedProof, ClaimedResult, Presented};
use super::report::{Mark, Row};
use crate::commands::inspect::capture::{Body, Captured};

/// A line for all that can be compared, and one for each thing that cannot.
pub(super) fn rows(request: &Captured, presented: &Presented, now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = presented
        .unreadable
        .iter()
        .map(|(name, reason)| Row {
            number: None,
            name,
            mark: Mark::Refused,
            detail: format!("it cannot be read: {reason}"),
            reasons: vec![reason],
        })
        .collect();
    for name in repeated(request) {
        rows.push(row("header fields", Some(false), format!("{name} comes more than once")));
    }
    match &presented.result {
        Some(result) => rows.extend(of_result(result, now)),
        None => rows.push(row("attestation result", Some(false), "none that can be read".to_owned())),
    }
    match &presented.proof {
        Some(proof) => rows.extend(of_proof(proof, request, presented, now)),
        None => rows.push(row("proof", Some(false), "none that can be read".to_owned())),
    }
    rows.extend(of_credential(presented, now));
    for (name, why) in [
        ("keys", "who signed result and token, their keys must say"),
        ("route", "what the route asks for stands in the edge's settings"),
        ("deny list, replay", "only an edge knows what is banned, and what it has seen"),
    ] {
        rows.push(row(name, None, why.to_owned()));
    }
    rows
}

fn of_result(result: &ClaimedResult, now: Timestamp) -> Vec<Row> {
    let claims = &result.claims;
    let is_current = claims.issued_at <= now.plus(60) && now < claims.expires_at;
    vec![
        row(
            "result: who",
            None,
            format!("{} of {}, key {}: not verified", claims.client_id, claims.issuer, result.key_id),
        ),
        row(
            "result: life",
            Some(is_current),
            format!("issued {}, expires {}", when(claims.issued_at, now), when(claims.expires_at, now)),
        ),
    ]
}

fn of_proof(proof: &ClaimedProof, request: &Captured, presented: &Presented, now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(result) = &presented.result {
        let named = match (proof.result, result.digest, proof.key) {
            (Some(named), Some(came), _) => Some((named == came, short(&named), short(&came))),
            (_, _, Some(key)) => {
                let (carried, named) = (key.thumbprint(), result.claims.confirmation.thumbprint());
                Some((carried == named, short(carried.as_bytes()), short(named.as_bytes())))
            }
            _ => None,
        };
        if let Some((agrees, of, came)) = named {
            rows.push(row("proof: result", Some(agrees), format!("it is for {of}; {came} came")));
        }
        let jkt = short(result.claims.confirmation.thumbprint().as_bytes());
        rows.push(row(
            "proof: signature",
            Some(proof.is_signed_by(result)),
            format!("by the key that the result names, jkt {jkt}"),
        ));
        let lives = result.claims.issued_at.minus(60) <= proof.issued_at
            && proof.issued_at < result.claims.expires_at;
        rows.push(row("proof: in the result's life", Some(lives), String::new()));
    }
    let (age, ahead) = if proof.nonce.is_some() { (600, 600) } else { (60, 10) };
    let is_current = now <= proof.issued_at.plus(age) && proof.issued_at <= now.plus(ahead);
    rows.push(row("proof: time", Some(is_current), format!("made {}", when(proof.issued_at, now))));
    let Some((method, target)) = &proof.request else {
        rows.push(row("proof: request", None, "it covers none".to_owned()));
        return rows;
    };
    let is_method = *method == request.method;
    rows.push(row("proof: method", Some(is_method), format!("it covers {method}; {} came", request.method)));
    rows.push(target_row(target, request));
    let query = split_query(&request.target).1.map(|query| sha256(query.as_bytes()));
    rows.push(compared("proof: query", "a query", proof.query, query));
    rows.push(match &request.body {
        Body::Whole(body) if body.is_empty() && proof.content.is_none() => {
            row("proof: body", Some(true), "there is none".to_owned())
        }
        Body::Whole(body) if proof.content.is_some() => {
            compared("proof: body", "a body", proof.content, Some(sha256(body)))
        }
        Body::Whole(_) => row("proof: body", None, "it is not covered".to_owned()),
        Body::NotShown => row("proof: body", None, "the capture does not show it".to_owned()),
    });
    let came = presented.credential.as_ref().map(|credential| credential.digest);
    rows.push(compared("proof: credential", "a credential", proof.ath, came));
    rows
}

/// Without settings the origin is the one that the request went to; a proxy in between may have another.
fn target_row(target: &str, request: &Captured) -> Row {
    let (path, _) = split_query(&request.target);
    let Ok(covered) = TargetUri::parse(target) else {
        return row("proof: URI", Some(false), "what it covers is no URI".to_owned());
    };
    let origin = covered.origin();
    let agrees = covered.query.is_none() && covered.is_at(&origin, path);
    let host = request.authority.as_deref();
    let is_host = host.is_none_or(|host| host.split(':').next() == Some(origin.host()));
    let elsewhere = if is_host { "" } else { " (to another host, which a proxy may explain)" };
    row("proof: URI", Some(agrees), format!("it covers {target}; path {path} came{elsewhere}"))
}

fn of_credential(presented: &Presented, now: Timestamp) -> Vec<Row> {
    let Some(credential) = &presented.credential else {
        return vec![row("credential", None, "none came".to_owned())];
    };
    let mut rows = Vec::new();
    if let Some(end) = credential.time("exp") {
        rows.push(row("token: life", Some(now < end), format!("expires {}", when(end, now))));
    }
    if credential.jwt.is_none() {
        return rows;
    }
    let is_dpop = credential.scheme.eq_ignore_ascii_case("dpop");
    let jkt = credential.jkt();
    let told = if jkt.is_some() { "bound to a key" } else { "bound to no key" };
    rows.push(row("token: scheme", Some(is_dpop == jkt.is_some()), format!("{}, {told}", credential.scheme)));
    if let (Some(jkt), Some(result)) = (jkt, &presented.result) {
        let instance = result.claims.instance_jkt.to_base64url();
        let start = jkt.get(..8).unwrap_or(jkt);
        rows.push(row(
            "token: instance",
            Some(jkt == instance),
            format!(
                "bound to {start}…; the instance key is {}",
                short(result.claims.instance_jkt.as_bytes())
            ),
        ));
    }
    rows
}

fn compared(name: &'static str, what: &str, covered: Option<[u8; 32]>, came: Option<[u8; 32]>) -> Row {
    let detail = if covered == came {
        let is = covered.map(|hash| format!("SHA-256 {}", short(&hash)));
        is.unwrap_or_else(|| "none, and none came".to_owned())
    } else {
        hashes(what, covered, came)
    };
    row(name, Some(covered == came), detail)
}

fn repeated(request: &Captured) -> Vec<&'static str> {
    let names =
        ["Authorization", "Attestation-Result", "Attestation-Proof", "OAuth-Client-Attestation", "DPoP"];
    names.into_iter().filter(|name| request.values(&name.to_ascii_lowercase()).count() > 1).collect()
}

fn row(name: &'static str, holds: Option<bool>, detail: String) -> Row {
    let mark = match holds {
        Some(true) => Mark::Passed,
        Some(false) => Mark::Refused,
        None => Mark::NotChecked,
    };
    Row { number: None, name, mark, detail, reasons: Vec::new() }
}
