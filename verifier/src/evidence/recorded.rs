//! Evidence as it was handed in, with all that it is verified against except what changes: roots, status list and
//! registered development keys. So it can be verified again, at its own time, when one of those has changed.
//!
//! Verifying for the first time and verifying again are the same code. What is kept can be evidence of a phone, so
//! it stays inside: `Debug` tells its kind and time alone.

use core::fmt;

use countersign_core::cbor::{self, CborError};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use minicbor::{Decoder, Encoder};

use super::play_integrity::Payload;
use super::{
    EvidenceError, EvidenceKind, EvidenceSet, VerifiedEvidence, android_key, app_attest, development_key,
    play_integrity,
};
use crate::anchors::TrustAnchors;
use crate::chain::MAX_CERTIFICATES;
use crate::revocation::RevocationList;

/// Longest encoding, in bytes: more than fits into an envelope.
pub const MAX_LENGTH: usize = 96 * 1024;

/// The version of the encoding.
const VERSION: u8 = 1;

/// What evidence is verified against and what changes without it.
#[derive(Clone, Copy)]
pub struct TrustData<'a> {
    /// Roots of the platforms.
    pub anchors: &'a TrustAnchors,
    /// The status list of Android attestation certificates.
    pub revocation: Option<&'a RevocationList>,
    /// The keys that administrators registered for development, by identifier.
    pub development_keys: &'a dyn Fn(&str) -> Option<PublicKey>,
}

/// One piece of evidence, what it must be bound to, and when that was asked.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedEvidence {
    verified_at: Timestamp,
    statement: Statement,
}

#[derive(Clone, PartialEq, Eq)]
enum Statement {
    AppAttest { object: Vec<u8>, key_id: [u8; 32], client_data_hash: [u8; 32] },
    Assertion { assertion: Vec<u8>, key: PublicKey, client_data_hash: [u8; 32], previous_counter: u32 },
    AndroidKey { chain: Vec<Vec<u8>>, challenge: [u8; 32] },
    DevelopmentKey { key_id: String, signature: Vec<u8>, binding_hash: [u8; 32] },
    PlayIntegrity { payload: String, binding_hash: [u8; 32] },
}

impl RecordedEvidence {
    /// An App Attest attestation, for [`app_attest::verify_attestation`].
    pub fn app_attest(object: &[u8], key_id: [u8; 32], client_data_hash: [u8; 32], at: Timestamp) -> Self {
        Self::of(Statement::AppAttest { object: object.to_vec(), key_id, client_data_hash }, at)
    }

    /// An App Attest assertion, for [`app_attest::verify_assertion`].
    pub fn app_attest_assertion(
        assertion: &[u8],
        key: PublicKey,
        client_data_hash: [u8; 32],
        previous_counter: u32,
        at: Timestamp,
    ) -> Self {
        let assertion = assertion.to_vec();
        Self::of(Statement::Assertion { assertion, key, client_data_hash, previous_counter }, at)
    }

    /// An Android key attestation, for [`android_key::verify`].
    pub fn android_key(chain: &[Vec<u8>], challenge: [u8; 32], at: Timestamp) -> Self {
        Self::of(Statement::AndroidKey { chain: chain.to_vec(), challenge }, at)
    }

    /// A signature by a development key, for [`development_key::verify`].
    pub fn development_key(key_id: &str, signature: &[u8], binding_hash: [u8; 32], at: Timestamp) -> Self {
        let (key_id, signature) = (key_id.to_owned(), signature.to_vec());
        Self::of(Statement::DevelopmentKey { key_id, signature, binding_hash }, at)
    }

    /// A payload of Play Integrity that was authentic when it was opened, for [`play_integrity::verify`]. The token
    /// itself is not kept: Google decodes it once.
    pub fn play_integrity(payload: &Payload, binding_hash: [u8; 32], at: Timestamp) -> Self {
        Self::of(Statement::PlayIntegrity { payload: payload.json().to_owned(), binding_hash }, at)
    }

    const fn of(statement: Statement, verified_at: Timestamp) -> Self {
        Self { verified_at, statement }
    }

    /// The kind.
    pub const fn kind(&self) -> EvidenceKind {
        match self.statement {
            Statement::AppAttest { .. } => EvidenceKind::AppAttest,
            Statement::Assertion { .. } => EvidenceKind::AppAttestAssertion,
            Statement::AndroidKey { .. } => EvidenceKind::AndroidKey,
            Statement::DevelopmentKey { .. } => EvidenceKind::DevelopmentKey,
            Statement::PlayIntegrity { .. } => EvidenceKind::PlayIntegrity,
        }
    }

    /// Whether it vouches for a key by itself. An assertion does not: it speaks for a key that was attested before. Nor
    /// does Google Play, which knows of no key.
    pub const fn vouches_alone(&self) -> bool {
        !matches!(self.statement, Statement::Assertion { .. } | Statement::PlayIntegrity { .. })
    }

    /// The development key that it names.
    pub const fn development_key_id(&self) -> Option<&str> {
        match &self.statement {
            Statement::DevelopmentKey { key_id, .. } => Some(key_id.as_str()),
            _ => None,
        }
    }

    /// When it was handed in; it is verified as of then.
    pub const fn verified_at(&self) -> Timestamp {
        self.verified_at
    }

    /// Verifies it as of the time it was handed in, under the roots, status list and development keys of today.
    ///
    /// # Errors
    /// [`EvidenceError`], as the verification of its kind.
    pub fn verify(&self, trust: &TrustData<'_>) -> Result<VerifiedEvidence, EvidenceError> {
        let at = self.verified_at;
        match &self.statement {
            Statement::AppAttest { object, key_id, client_data_hash } => {
                app_attest::verify_attestation(object, key_id, client_data_hash, trust.anchors, at)
            }
            Statement::Assertion { assertion, key, client_data_hash, previous_counter } => {
                app_attest::verify_assertion(assertion, key, client_data_hash, *previous_counter, at)
            }
            Statement::AndroidKey { chain, challenge } => {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                android_key::verify(&chain, challenge, trust.anchors, trust.revocation, at)
            }
            Statement::DevelopmentKey { key_id, signature, binding_hash } => {
                let key = (trust.development_keys)(key_id).ok_or(EvidenceError::UnknownDevelopmentKey)?;
                development_key::verify(key_id, &key, binding_hash, signature, at)
            }
            Statement::PlayIntegrity { payload, binding_hash } => {
                play_integrity::verify(Payload::from_json(payload)?, binding_hash, at)
            }
        }
    }

    /// Its deterministic encoding, as a store keeps it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.encode(&mut Encoder::new(&mut bytes));
        debug_assert!(written.is_ok());
        bytes
    }

    /// Reads what [`RecordedEvidence::to_bytes`] wrote.
    ///
    /// # Errors
    /// The first deviation of the encoding; [`CborError::UnknownCritical`] for a version that this one does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_LENGTH {
            return Err(CborError::Unexpected);
        }
        let d = &mut cbor::deterministic(bytes)?;
        if d.array()? != Some(4) {
            return Err(CborError::Unexpected);
        }
        if d.u8()? != VERSION {
            return Err(CborError::UnknownCritical);
        }
        let verified_at = Timestamp::from_unix_seconds(d.u64()?);
        let kind = d.u8()?;
        let members = d.array()?;
        let statement = match (kind, members) {
            (1, Some(3)) => Statement::AppAttest {
                object: d.bytes()?.to_vec(),
                key_id: cbor::bytes_array(d)?,
                client_data_hash: cbor::bytes_array(d)?,
            },
            (2, Some(4)) => Statement::Assertion {
                assertion: d.bytes()?.to_vec(),
                key: PublicKey::from_p256_sec1(d.bytes()?).map_err(|_| CborError::Unexpected)?,
                client_data_hash: cbor::bytes_array(d)?,
                previous_counter: d.u32()?,
            },
            (3, Some(2)) => Statement::AndroidKey { chain: chain(d)?, challenge: cbor::bytes_array(d)? },
            (4, Some(3)) => Statement::DevelopmentKey {
                key_id: d.str()?.to_owned(),
                signature: d.bytes()?.to_vec(),
                binding_hash: cbor::bytes_array(d)?,
            },
            (5, Some(2)) => {
                Statement::PlayIntegrity { payload: d.str()?.to_owned(), binding_hash: cbor::bytes_array(d)? }
            }
            _ => return Err(CborError::UnknownCritical),
        };
        Ok(Self { verified_at, statement })
    }

    fn encode(
        &self,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        e.array(4)?.u8(VERSION)?.u64(self.verified_at.as_unix_seconds())?;
        match &self.statement {
            Statement::AppAttest { object, key_id, client_data_hash } => {
                e.u8(1)?.array(3)?.bytes(object)?.bytes(key_id)?.bytes(client_data_hash)?;
            }
            Statement::Assertion { assertion, key, client_data_hash, previous_counter } => {
                // Of another kind no assertion ever verified; its encoding is then not read again.
                let point = key.to_p256_sec1().map(Vec::from).unwrap_or_default();
                e.u8(2)?.array(4)?.bytes(assertion)?.bytes(&point)?.bytes(client_data_hash)?;
                e.u32(*previous_counter)?;
            }
            Statement::AndroidKey { chain, challenge } => {
                e.u8(3)?.array(2)?.array(chain.len() as u64)?;
                for certificate in chain {
                    e.bytes(certificate)?;
                }
                e.bytes(challenge)?;
            }
            Statement::DevelopmentKey { key_id, signature, binding_hash } => {
                e.u8(4)?.array(3)?.str(key_id)?.bytes(signature)?.bytes(binding_hash)?;
            }
            Statement::PlayIntegrity { payload, binding_hash } => {
                e.u8(5)?.array(2)?.str(payload)?.bytes(binding_hash)?;
            }
        }
        Ok(())
    }
}

/// Verifies all pieces of one device's evidence as [`RecordedEvidence::verify`] does. The piece that vouches for a
/// key by itself is the primary one.
///
/// # Errors
/// The error of the first piece that does not verify; None where there is no piece.
pub fn verify_all(
    pieces: &[RecordedEvidence],
    trust: &TrustData<'_>,
) -> Result<Option<EvidenceSet>, EvidenceError> {
    let primary = pieces.iter().position(RecordedEvidence::vouches_alone).unwrap_or(0);
    let Some(first) = pieces.get(primary) else { return Ok(None) };
    let mut set = EvidenceSet::new(first.verify(trust)?);
    for (_, piece) in pieces.iter().enumerate().filter(|(index, _)| *index != primary) {
        set = set.accompanied_by(piece.verify(trust)?);
    }
    Ok(Some(set))
}

impl fmt::Debug for RecordedEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedEvidence({} at {})", self.kind().name(), self.verified_at)
    }
}

fn chain(d: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, CborError> {
    let length = d.array()?.ok_or(CborError::Unexpected)?;
    if length > MAX_CERTIFICATES as u64 {
        return Err(CborError::Unexpected);
    }
    (0..length).map(|_| Ok(d.bytes()?.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn key() -> PublicKey {
        let point = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                     4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        let bytes: Vec<u8> =
            (0..65).map(|at| u8::from_str_radix(&point[2 * at..2 * at + 2], 16).unwrap()).collect();
        PublicKey::from_p256_sec1(&bytes).unwrap()
    }

    fn payload() -> Payload {
        let json = br#"{"tokenPayloadExternal":{"requestDetails":{"requestPackageName":"p","timestampMillis":"1"}}}"#;
        play_integrity::from_decode_answer(json).unwrap()
    }

    fn each_kind() -> [RecordedEvidence; 5] {
        [
            RecordedEvidence::app_attest(b"object", [1; 32], [2; 32], AT),
            RecordedEvidence::app_attest_assertion(b"assertion", key(), [3; 32], 7, AT),
            RecordedEvidence::android_key(&[b"leaf".to_vec(), b"root".to_vec()], [4; 32], AT),
            RecordedEvidence::development_key("laptop", &[5; 64], [6; 32], AT),
            RecordedEvidence::play_integrity(&payload(), [7; 32], AT),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        for evidence in each_kind() {
            assert_eq!(RecordedEvidence::from_bytes(&evidence.to_bytes()), Ok(evidence));
        }
    }

    #[test]
    fn an_encoding_of_another_version_or_kind_is_not_guessed_at() {
        let bytes = each_kind()[0].to_bytes();
        for (position, value) in [(1, 2), (7, 9)] {
            let mut other = bytes.clone();
            other[position] = value;
            assert_eq!(RecordedEvidence::from_bytes(&other), Err(CborError::UnknownCritical), "{position}");
        }
    }

    #[test]
    fn no_part_of_an_encoding_is_one() {
        for evidence in each_kind() {
            let bytes = evidence.to_bytes();
            for length in 0..bytes.len() {
                assert!(RecordedEvidence::from_bytes(&bytes[..length]).is_err());
            }
        }
        assert_eq!(RecordedEvidence::from_bytes(&vec![0; MAX_LENGTH + 1]), Err(CborError::Unexpected));
    }

    #[test]
    fn a_chain_that_no_verification_would_take_is_not_read() {
        let long = RecordedEvidence::android_key(&vec![vec![1]; MAX_CERTIFICATES + 1], [4; 32], AT);
        assert_eq!(RecordedEvidence::from_bytes(&long.to_bytes()), Err(CborError::Unexpected));
    }

    #[test]
    fn debug_output_holds_no_evidence() {
        assert_eq!(format!("{:?}", each_kind()[2]), format!("RecordedEvidence(android-key at {AT})"));
    }

    #[test]
    fn neither_an_assertion_nor_google_play_vouches_alone() {
        assert_eq!(each_kind().map(|piece| piece.vouches_alone()), [true, false, true, true, false]);
        let named = each_kind().map(|piece| piece.development_key_id().map(str::to_owned));
        assert_eq!(named, [None, None, None, Some("laptop".to_owned()), None]);
    }

    #[test]
    fn a_record_has_96_kibibytes_and_ten_certificates_at_most() {
        let of_length = |length: usize| {
            let around =
                RecordedEvidence::app_attest(&[0; 70_000], [1; 32], [2; 32], AT).to_bytes().len() - 70_000;
            let bytes =
                RecordedEvidence::app_attest(&vec![0; length - around], [1; 32], [2; 32], AT).to_bytes();
            assert_eq!(bytes.len(), length);
            RecordedEvidence::from_bytes(&bytes).map(drop)
        };
        assert_eq!(of_length(98_304), Ok(()));
        assert_eq!(of_length(98_305), Err(CborError::Unexpected));
        let full = RecordedEvidence::android_key(&vec![vec![1]; MAX_CERTIFICATES], [4; 32], AT);
        assert_eq!(RecordedEvidence::from_bytes(&full.to_bytes()), Ok(full));
    }
}
