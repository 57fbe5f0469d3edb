//! A decision as HTTP says it: status and header fields, as plain data, for the layer and for gateways alike.

use axum::response::{IntoResponse, Response};
use countersign_core::challenge::Challenge;
use countersign_core::time::Timestamp;
use countersign_verifier::check::identity::{IDENTITY_FIELDS, VERDICT_FIELD, identity_values, verdict_value};
use countersign_verifier::check::{Decision, ProofKind, Reason, Refusal};
use http::header::{CACHE_CONTROL, DATE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use time::OffsetDateTime;
use time::macros::format_description;

/// Carries the status meant for the client where a gateway passes on only 401 and 403.
pub const STATUS_FIELD: HeaderName = HeaderName::from_static("attestation-status");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What to answer: to the client, or to the gateway that asks on its behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 if the request passes, else the refusal's status.
    pub status: StatusCode,
    /// Fields for the client.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields for the upstream, never for the client: each identity field and the verdict, empty where nothing is
    /// known, so that a gateway overwrites whatever the client sent.
    pub identity: Vec<(HeaderName, HeaderValue)>,
}

/// The answer to `decision`, made at `now`. One that still needs a lookup is answered as our own trouble.
pub fn answer(decision: &Decision, now: Timestamp) -> Answer {
    let (status, mut headers) = match decision {
        Decision::Permit(_) | Decision::Observed { .. } => (StatusCode::OK, passing_fields(decision)),
        Decision::Refusal(refusal) => refused(refusal, now),
        Decision::Needs(_) | Decision::Pending(_) => refused(&Refusal::new(Reason::KeysUnavailable), now),
    };
    // A decision is good for one request; no gateway may keep it for the next.
    if !headers.iter().any(|(name, _)| name == CACHE_CONTROL) {
        headers.push((CACHE_CONTROL, NO_STORE));
    }
    Answer { status, headers, identity: identity_fields(decision) }
}

/// The answer that lets a preflight request pass a gateway: it is a question that no credential comes with, and says
/// nothing about anybody. Whoever is behind the gateway answers it.
pub fn pass_preflight() -> Answer {
    let nobody = identity_fields(&Decision::Refusal(Refusal::new(Reason::NoAttestation)));
    Answer { status: StatusCode::OK, headers: vec![(CACHE_CONTROL, NO_STORE)], identity: nobody }
}

impl Answer {
    /// The same answer for nginx `auth_request` and its like, which pass on 401 and 403 and make 500 of every other
    /// refusal: malformed becomes 401, whatever else is the client's becomes 403, our own trouble stays. The true
    /// status stands in [`STATUS_FIELD`], for a gateway that can restore it.
    #[must_use]
    pub fn for_auth_request(mut self) -> Self {
        if let Ok(value) = HeaderValue::from_str(self.status.as_str()) {
            self.headers.push((STATUS_FIELD, value));
        }
        self.status = match self.status.as_u16() {
            400 => StatusCode::UNAUTHORIZED,
            404 | 413 | 429 => StatusCode::FORBIDDEN,
            _ => self.status,
        };
        self
    }

    /// The same answer for a gateway that takes 403 alone for a refusal, and everything else but 200 for trouble that may
    /// be over at the next try (Oathkeeper's authorizers). The true status stands in [`STATUS_FIELD`].
    #[must_use]
    pub fn for_authorizer(mut self) -> Self {
        if let Ok(value) = HeaderValue::from_str(self.status.as_str()) {
            self.headers.push((STATUS_FIELD, value));
        }
        if self.status.is_client_error() {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }
}

/// Whether a field of this name, in any case, is identity, or may be taken for it.
pub fn is_identity(name: &str) -> bool {
    let as_dash = |byte: u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
    let begins = |prefix: &str| {
        name.len() >= prefix.len() && name.bytes().map(as_dash).zip(prefix.bytes()).all(|(a, b)| a == b)
    };
    begins("x-attested-") || begins(VERDICT_FIELD)
}

/// A refusal as the layer sends it.
pub(crate) fn refusal_response(refusal: &Refusal, now: Timestamp) -> Response {
    let (status, headers) = refused(refusal, now);
    (status, HeaderMap::from_iter(headers)).into_response()
}

fn refused(refusal: &Refusal, now: Timestamp) -> (StatusCode, Vec<(HeaderName, HeaderValue)>) {
    let status = StatusCode::from_u16(refusal.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = challenge(refusal);
    headers.push((CACHE_CONTROL, NO_STORE));
    if let Some(date) = date(now) {
        headers.push((DATE, date));
    }
    if let Some(seconds) = refusal.retry_after {
        headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
    }
    (status, headers)
}

/// What the client is told with the upstream's response to a request that passed: a fresh nonce, or on a route that
/// warns, what it would have been refused for (RFC 9110 section 11.6.1 allows a challenge with any status).
pub fn passing_fields(decision: &Decision) -> Vec<(HeaderName, HeaderValue)> {
    match decision {
        Decision::Permit(permit) => {
            let nonce = permit.nonce().and_then(|nonce| nonce_field(permit.proof_kind(), nonce));
            // A stored response would hand out a stale nonce (as RFC 9449 section 8.2).
            nonce.map_or_else(Vec::new, |nonce| vec![nonce, (CACHE_CONTROL, NO_STORE)])
        }
        Decision::Observed { refusal, told: true } => {
            let mut fields = challenge(refusal);
            fields.push((CACHE_CONTROL, NO_STORE));
            fields
        }
        _ => Vec::new(),
    }
}

/// The verdict about an observed request, for the upstream.
pub(crate) fn verdict_field(reason: Reason) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(verdict_value(reason)).ok()?;
    Some((HeaderName::from_static(VERDICT_FIELD), value))
}

/// Removes whatever poses as identity, also under names that a server behind us may take for the same: `_` and `.`
/// become `-` in CGI variables and some frameworks.
pub fn strip_identity(headers: &mut HeaderMap) {
    let posing: Vec<HeaderName> = headers.keys().filter(|name| is_identity(name.as_str())).cloned().collect();
    for name in posing {
        headers.remove(name);
    }
}

fn challenge(refusal: &Refusal) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(5);
    if let Some(value) = refusal.www_authenticate().and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.push((WWW_AUTHENTICATE, value));
    }
    headers.extend(refusal.nonce.as_ref().and_then(|nonce| nonce_field(refusal.proof, nonce)));
    headers
}

fn nonce_field(proof: ProofKind, nonce: &Challenge) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(nonce.to_base64url()).ok()?;
    Some((HeaderName::from_static(proof.nonce_field()), value))
}

fn identity_fields(decision: &Decision) -> Vec<(HeaderName, HeaderValue)> {
    let values = IDENTITY_FIELDS.into_iter().zip(identity_values(decision));
    let field = |(name, value): (&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("")))
    };
    let mut fields: Vec<_> = values.map(field).collect();
    let verdict = match decision {
        Decision::Observed { refusal, .. } => verdict_field(refusal.reason),
        _ => None,
    };
    let empty = (HeaderName::from_static(VERDICT_FIELD), HeaderValue::from_static(""));
    fields.push(verdict.unwrap_or(empty));
    fields
}

/// `now` as HTTP writes it (RFC 9110 section 5.6.7), so that a device with a wrong clock learns the time.
fn date(now: Timestamp) -> Option<HeaderValue> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let seconds = i64::try_from(now.as_unix_seconds()).ok()?;
    let text = OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(format).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use countersign_verifier::check::decision::Lookup;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(784_111_777);

    fn field<'a>(fields: &'a [(HeaderName, HeaderValue)], name: &str) -> Option<&'a str> {
        fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| value.to_str().ok())
    }

    #[test]
    fn a_refusal_says_when_it_was_made_and_is_not_stored() {
        let answer = answer(&Decision::Refusal(Refusal::new(Reason::NoCredential)), NOW);
        assert_eq!(answer.status, 401);
        // The example of RFC 9110 section 5.6.7.
        assert_eq!(field(&answer.headers, "date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(field(&answer.headers, "cache-control"), Some("no-store"));
        assert_eq!(field(&answer.headers, "www-authenticate"), Some("DPoP algs=\"ES256\", Bearer"));
    }

    #[test]
    fn behind_auth_request_only_401_and_403_refuse_and_our_trouble_stays_trouble() {
        for (reason, shown, meant) in [
            (Reason::FieldMalformed, 401, "400"),
            (Reason::NoAttestation, 401, "401"),
            (Reason::ScopeMissing, 403, "403"),
            (Reason::NoRoute, 403, "404"),
            (Reason::ContentTooLarge, 403, "413"),
            (Reason::FailureBudget, 403, "429"),
            (Reason::KeysUnavailable, 503, "503"),
        ] {
            let answer = answer(&Decision::Refusal(Refusal::new(reason)), NOW).for_auth_request();
            assert_eq!(answer.status.as_u16(), shown, "{reason:?}");
            assert_eq!(field(&answer.headers, STATUS_FIELD.as_str()), Some(meant), "{reason:?}");
        }
    }

    #[test]
    fn before_an_authorizer_every_refusal_is_403_and_our_trouble_stays_trouble() {
        for (reason, shown, meant) in [
            (Reason::FieldMalformed, 403, "400"),
            (Reason::NoAttestation, 403, "401"),
            (Reason::NoRoute, 403, "404"),
            (Reason::FailureBudget, 403, "429"),
            (Reason::KeysUnavailable, 503, "503"),
        ] {
            let answer = answer(&Decision::Refusal(Refusal::new(reason)), NOW).for_authorizer();
            assert_eq!(answer.status.as_u16(), shown, "{reason:?}");
            assert_eq!(field(&answer.headers, STATUS_FIELD.as_str()), Some(meant), "{reason:?}");
        }
    }

    #[test]
    fn every_identity_field_stands_in_every_answer() {
        let refusal = Refusal::new(Reason::Replayed);
        for decision in [
            Decision::Refusal(refusal.clone()),
            Decision::Observed { refusal, told: false },
            Decision::Needs(Lookup::Content),
        ] {
            let answer = answer(&decision, NOW);
            for name in IDENTITY_FIELDS {
                assert_eq!(field(&answer.identity, name), Some(""), "{name}");
            }
            let verdict = field(&answer.identity, VERDICT_FIELD);
            match decision {
                Decision::Observed { .. } => assert_eq!(verdict, Some("refused; reason=replayed")),
                _ => assert_eq!(verdict, Some("")),
            }
        }
    }

    #[test]
    fn an_unfinished_decision_lets_nothing_pass() {
        assert_eq!(answer(&Decision::Needs(Lookup::Content), NOW).status, 503);
    }

    #[test]
    fn identity_under_an_alias_is_identity() {
        let posing = [
            "x-attested-tier",
            "x_attested_tier",
            "x.attested_tier",
            "x-attested-new",
            "attestation_verdict",
        ];
        let mut headers = HeaderMap::new();
        for name in posing {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("spoofed"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
        }
        headers.append("x-attestation", HeaderValue::from_static("another field"));
        assert!(["X-Attested-Tier", "X_ATTESTED_TIER", "Attestation-Verdict"].into_iter().all(is_identity));
        strip_identity(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-attestation"]);
    }
}
