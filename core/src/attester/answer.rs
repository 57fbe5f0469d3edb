//! The service's answers, taken apart and verified: a session exists only after every check here has passed.

use ed25519_dalek::SigningKey;

use super::port::{AnswerError, Reference};
use super::vouching::{Vouching, is_jws};
use crate::challenge::Challenge;
use crate::encoding::from_base64url;
use crate::enrolment::{Cure, EnrolmentAnswer, Problem};
use crate::request::sha256;
use crate::time::Timestamp;
use crate::token::MAX_COMPACT_FIELD;
use crate::token::jose::strict_object;
use crate::token::keys::{Algorithm, PublicKey, PureRust, Thumbprint};
use crate::token::result::{DecodedResult, InstanceId, ResultClaims};

/// A result may have been issued this many seconds ahead of the time that its answer names.
pub(super) const MAX_AHEAD: u64 = 60;
/// A result is issued for at least this many seconds: services cannot be set to less, and a device that took less would
/// do nothing but renew.
const MIN_LIFETIME: u64 = 30;
/// Least seconds between two renewals, where the result lives long enough for it.
const MIN_RENEW_AFTER: u64 = 15;
/// Most keys that are read of a key set.
const MAX_KEYS: usize = 32;

/// A session key with the result that vouches for it.
pub(super) struct Session {
    pub(super) key: SigningKey,
    /// The value of `Attestation-Result`.
    pub(super) result: String,
    /// SHA-256 of the result's COSE bytes.
    pub(super) result_hash: [u8; 32],
    pub(super) claims: ResultClaims,
    /// When to renew, by the service's clock.
    pub(super) renew_at: Timestamp,
}

/// What the answer must be for.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) session_key: PublicKey,
    pub(super) instance_jkt: Thumbprint,
    /// The instance that was renewed; `None` after an enrolment, which may find any.
    pub(super) instance: Option<InstanceId>,
}

/// An answer whose JSON could be read; nothing of it is believed yet.
#[derive(Clone)]
pub(super) struct Unverified {
    pub(super) server_time: Timestamp,
    answer: EnrolmentAnswer,
    result: Vec<u8>,
    instance: InstanceId,
    pub(super) next_challenge: Challenge,
}

impl Unverified {
    pub(super) fn decode(body: &[u8]) -> Result<Self, AnswerError> {
        let malformed = AnswerError::Malformed;
        let answer: EnrolmentAnswer = serde_json::from_slice(body).map_err(|_| malformed)?;
        if answer.result.len() > MAX_COMPACT_FIELD
            || !is_jws(&answer.client_attestation_as)
            || !is_jws(&answer.client_attestation_rs)
        {
            return Err(malformed);
        }
        Ok(Self {
            server_time: Timestamp::from_unix_seconds(answer.server_time),
            result: from_base64url(&answer.result).map_err(|_| malformed)?,
            instance: InstanceId::from_base64url(&answer.instance_id).map_err(|_| malformed)?,
            next_challenge: Challenge::from_base64url(&answer.next_challenge).map_err(|_| malformed)?,
            answer,
        })
    }

    /// Verifies the result against the keys of the service and what was asked for, and makes the session.
    pub(super) fn verify(
        self,
        expected: &Expected<'_>,
        keys: &[(String, PublicKey)],
        key: SigningKey,
    ) -> Result<(Session, Vouching), AnswerError> {
        let decoded = DecodedResult::decode(&self.result).map_err(|_| AnswerError::Malformed)?;
        let key_id = decoded.message.header().key_id.unwrap_or_default();
        let (_, service_key) =
            keys.iter().find(|(id, _)| id.as_bytes() == key_id).ok_or(AnswerError::UnknownKey)?;
        decoded.message.verify(service_key, &PureRust).map_err(|_| AnswerError::InvalidSignature)?;
        let claims = decoded.claims;
        if claims.issuer != expected.issuer {
            return Err(AnswerError::OtherIssuer);
        }
        if claims.client_id != expected.client_id {
            return Err(AnswerError::OtherClient);
        }
        if claims.confirmation != expected.session_key {
            return Err(AnswerError::OtherSessionKey);
        }
        if claims.instance_jkt != expected.instance_jkt
            || claims.instance != self.instance
            || expected.instance.is_some_and(|instance| instance != claims.instance)
        {
            return Err(AnswerError::OtherInstance);
        }
        if claims.issued_at > self.server_time.plus(MAX_AHEAD) || claims.expires_at <= self.server_time {
            return Err(AnswerError::NotCurrent);
        }
        let lifetime = claims.expires_at.seconds_since(claims.issued_at);
        if lifetime < MIN_LIFETIME {
            return Err(AnswerError::TooShort);
        }
        // The service jitters; a value that would never, or always, renew is brought into range. A repeated answer has
        // less of its life left.
        let left = claims.expires_at.seconds_since(self.server_time);
        let latest = left - left / 10;
        let earliest = (left / 10).max(MIN_RENEW_AFTER).min(latest);
        let vouching = Vouching {
            attestation_rs: self.answer.client_attestation_rs,
            attestation_as: self.answer.client_attestation_as,
            tier: claims.tier,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        };
        let session = Session {
            key,
            result_hash: sha256(&self.result),
            renew_at: self.server_time.plus(self.answer.renew_after.clamp(earliest, latest)),
            claims,
            result: self.answer.result,
        };
        Ok((session, vouching))
    }
}

/// The Ed25519 keys of a JWKS (RFC 7517), by `kid`; keys of other kinds, without `kid`, or with a private part are
/// passed over.
pub(super) fn result_keys(body: &[u8]) -> Result<Vec<(String, PublicKey)>, AnswerError> {
    let set = strict_object(body).map_err(|_| AnswerError::Malformed)?;
    let keys = set.get("keys").and_then(serde_json::Value::as_array).ok_or(AnswerError::Malformed)?;
    let usable = keys.iter().take(MAX_KEYS).filter_map(|key| {
        let key = key.as_object()?;
        let key_id = key.get("kid")?.as_str()?;
        let public_key = PublicKey::from_jwk(key).ok()?;
        (public_key.algorithm() == Algorithm::Ed25519).then(|| (key_id.to_owned(), public_key))
    });
    Ok(usable.collect())
}

/// What a refusal says to a device.
pub(super) struct Refusal {
    pub(super) reference: Option<Reference>,
    pub(super) cure: Option<Cure>,
}

/// Reads problem details (RFC 9457); `None` if something other than the service answered.
pub(super) fn refusal(body: &[u8]) -> Option<Refusal> {
    let mut members = strict_object(body).ok()?;
    // A cure of a later version is no cure that we can follow, and no reason to misread the rest.
    if members.get("cure").is_some_and(|cure| serde_json::from_value::<Cure>(cure.clone()).is_err()) {
        members.remove("cure");
    }
    let problem: Problem = serde_json::from_value(members.into()).ok()?;
    Some(Refusal { reference: problem.reference.as_deref().and_then(Reference::parse), cure: problem.cure })
}
