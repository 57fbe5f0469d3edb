//! The deny list: instances, keys and users that edges refuse before results and access tokens expire.
//!
//! A COSE_Sign1 by the attestation service, `typ` `application/attestation-denylist+cwt`, of the claims `iss` (1),
//! `exp` (4), `iat` (6), sequence (-66040), instances (-66041: sorted 16-byte strings), keys (-66042: sorted byte
//! strings) and, where there are any, subjects (-66043: sorted 32-byte strings).

use std::collections::HashSet;

use countersign_core::cbor::{self, CborError};
use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Header, Sign1, Unsigned, typ};
use countersign_core::token::keys::Algorithm;
use countersign_core::token::result::InstanceId;
use minicbor::{Decoder, Encoder};

use super::trust::ServiceKeys;
use crate::crypto::sha256_of;

const SEQUENCE: i64 = -66040;
const INSTANCES: i64 = -66041;
const KEYS: i64 = -66042;
const SUBJECTS: i64 = -66043;

/// Longest list, in bytes: about 490,000 instances, or 240,000 subjects.
pub const MAX_DENY_LIST: usize = 8 * 1024 * 1024;

/// Why a deny list is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DenyListError {
    /// Not deterministic CBOR of its shape, or too long.
    Encoding(CborError),
    /// Of another issuer.
    Issuer,
    /// No key of its `kid`.
    UnknownKey,
    /// Signed with a key that the list in force denies: whoever stole a key cannot take back its ban.
    DeniedKey,
    /// The signature does not verify.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `iat` lies more than 60 seconds ahead.
    FromTheFuture,
    /// Its sequence is lower than one already seen: an old list, to hide a ban.
    SequenceFell,
}

impl DenyListError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Issuer => "deny_list_issuer",
            Self::UnknownKey => "deny_list_unknown_key",
            Self::DeniedKey => "deny_list_denied_key",
            Self::Signature => "deny_list_signature",
            Self::Expired => "deny_list_expired",
            Self::FromTheFuture => "deny_list_from_the_future",
            Self::SequenceFell => "deny_list_sequence_fell",
        }
    }
}

impl From<CborError> for DenyListError {
    fn from(error: CborError) -> Self {
        Self::Encoding(error)
    }
}

/// A user as deny lists name him: SHA-256, 32 bytes, of `iss` and `sub` of his access tokens, so that the list, which
/// anybody may read, names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectDigest([u8; 32]);

impl SubjectDigest {
    /// The digest of the user `subject` of the authorization server `issuer`, both byte-exact: each goes behind its
    /// length in bytes (8 bytes, big-endian), so that no other pair of texts gives the same bytes.
    pub fn of(issuer: &str, subject: &str) -> Self {
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        Self(sha256_of(&[&length(issuer), issuer.as_bytes(), &length(subject), subject.as_bytes()]))
    }

    /// A digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The content of a deny list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyList {
    /// `iss`.
    pub issuer: String,
    /// Grows with every change; never falls.
    pub sequence: u64,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// Instances to refuse.
    pub instances: HashSet<InstanceId>,
    /// `kid`s to refuse.
    pub key_ids: HashSet<Vec<u8>>,
    /// Users to refuse, whatever device they come with.
    pub subjects: HashSet<SubjectDigest>,
}

impl DenyList {
    /// The message that the service signs with the Ed25519 key `key_id`.
    pub fn to_unsigned(&self, key_id: &str) -> Unsigned {
        let header =
            Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: typ::DENY_LIST };
        let mut payload = Vec::with_capacity(128 + 17 * self.instances.len() + 34 * self.subjects.len());
        let written = self.encode(&mut Encoder::new(&mut payload));
        debug_assert!(written.is_ok());
        Unsigned::new(&header, payload)
    }

    fn encode(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.map(6 + u64::from(!self.subjects.is_empty()))?.u8(1)?.str(&self.issuer)?;
        e.u8(4)?.u64(self.expires_at.as_unix_seconds())?.u8(6)?.u64(self.issued_at.as_unix_seconds())?;
        e.i64(SEQUENCE)?.u64(self.sequence)?;
        let mut instances: Vec<_> = self.instances.iter().collect();
        instances.sort_unstable();
        e.i64(INSTANCES)?.array(instances.len() as u64)?;
        for instance in instances {
            e.bytes(instance.as_bytes())?;
        }
        let mut key_ids: Vec<_> = self.key_ids.iter().collect();
        key_ids.sort_unstable();
        e.i64(KEYS)?.array(key_ids.len() as u64)?;
        for key_id in key_ids {
            e.bytes(key_id)?;
        }
        // Left out where there are none: edges that do not know the claim take such lists.
        if !self.subjects.is_empty() {
            let mut subjects: Vec<_> = self.subjects.iter().collect();
            subjects.sort_unstable();
            e.i64(SUBJECTS)?.array(subjects.len() as u64)?;
            for subject in subjects {
                e.bytes(subject.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Takes a list from the wire: signed by a key of `keys`, of `issuer`, current, and not older than `previous`.
    ///
    /// # Errors
    /// As [`DenyListError`]; the previous list then stays in force.
    pub fn verify(
        bytes: &[u8],
        issuer: &str,
        keys: &ServiceKeys,
        previous: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, DenyListError> {
        let (message, key_id) = open(bytes)?;
        let key = keys.results.get(key_id).ok_or(DenyListError::UnknownKey)?;
        if previous.is_some_and(|previous| previous.key_ids.contains(key_id)) {
            return Err(DenyListError::DeniedKey);
        }
        message.verify(key.public_key(), &crate::crypto::AwsLc).map_err(|_| DenyListError::Signature)?;
        let list = Self::decode(&mut Decoder::new(message.payload()))?;
        if list.issuer != issuer {
            return Err(DenyListError::Issuer);
        }
        if list.issued_at > now.plus(60) {
            return Err(DenyListError::FromTheFuture);
        }
        if now >= list.expires_at {
            return Err(DenyListError::Expired);
        }
        if previous.is_some_and(|previous| list.sequence < previous.sequence) {
            return Err(DenyListError::SequenceFell);
        }
        Ok(list)
    }

    /// Takes a list apart for a person who wants to read it: the message, whose signature is not verified, and what
    /// it says. Edges use [`DenyList::verify`].
    ///
    /// # Errors
    /// The first deviation of the encoding.
    pub fn claimed(bytes: &[u8]) -> Result<(Sign1<'_>, Self), CborError> {
        let (message, _) = open(bytes)?;
        let list = Self::decode(&mut Decoder::new(message.payload()))?;
        Ok((message, list))
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        let members = d.map()?.ok_or(CborError::Unexpected)?;
        let (mut issuer, mut expires_at, mut issued_at, mut sequence) = (None, None, None, None);
        let (mut instances, mut key_ids, mut subjects) = (HashSet::new(), HashSet::new(), HashSet::new());
        for _ in 0..members {
            match d.i64()? {
                1 => issuer = Some(d.str()?.to_owned()),
                4 => expires_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
                6 => issued_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
                SEQUENCE => sequence = Some(d.u64()?),
                INSTANCES => {
                    for _ in 0..d.array()?.ok_or(CborError::Unexpected)? {
                        instances.insert(InstanceId::from_bytes(cbor::bytes_array(d)?));
                    }
                }
                KEYS => {
                    for _ in 0..d.array()?.ok_or(CborError::Unexpected)? {
                        key_ids.insert(d.bytes()?.to_vec());
                    }
                }
                SUBJECTS => {
                    for _ in 0..d.array()?.ok_or(CborError::Unexpected)? {
                        subjects.insert(SubjectDigest::from_bytes(cbor::bytes_array(d)?));
                    }
                }
                _ => return Err(CborError::UnknownCritical),
            }
        }
        Ok(Self {
            issuer: issuer.ok_or(CborError::Missing)?,
            sequence: sequence.ok_or(CborError::Missing)?,
            issued_at: issued_at.ok_or(CborError::Missing)?,
            expires_at: expires_at.ok_or(CborError::Missing)?,
            instances,
            key_ids,
            subjects,
        })
    }
}

/// The message, whose header must be that of a deny list, and its `kid`.
fn open(bytes: &[u8]) -> Result<(Sign1<'_>, &[u8]), CborError> {
    if bytes.len() > MAX_DENY_LIST {
        return Err(CborError::Unexpected);
    }
    let message = Sign1::decode(bytes)?;
    let header = message.header();
    if header.typ != typ::DENY_LIST || header.algorithm != Algorithm::Ed25519 {
        return Err(CborError::Unexpected);
    }
    let key_id = header.key_id.ok_or(CborError::Missing)?;
    Ok((message, key_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_issuer_and_subject_have_the_same_digest() {
        let digest = SubjectDigest::of("https://login.example", "user");
        for (issuer, subject) in [
            ("https://login.exampleu", "ser"),
            ("https://login.exampl", "euser"),
            ("https://login.example", "User"),
            ("https://login.example/", "user"),
            ("user", "https://login.example"),
            ("https://login.example", ""),
        ] {
            assert_ne!(SubjectDigest::of(issuer, subject), digest, "{issuer} {subject}");
        }
        assert_eq!(SubjectDigest::of("https://login.example", "user"), digest);
    }
}
