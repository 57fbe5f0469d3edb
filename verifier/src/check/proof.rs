//! What the device signed for this request, read the same way in every flavour.

use countersign_core::challenge::{Challenge, ChallengeError};
use countersign_core::encoding::from_base64url_into;
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::DecodedClientAttestationPop;
use countersign_core::token::cose::SIG_STRUCTURE_OVERHEAD;
use countersign_core::token::dpop::DecodedDpop;
use countersign_core::token::proof::DecodedProof;

use super::presented::Attestation;
use super::refusal::Reason;
use super::result::{MAX_TOKEN, VerifiedResult};
use crate::crypto::{sha256, sha256_of};

/// A proof taken apart, not authentic before [`Proof::verify`].
pub(super) enum Proof<'a> {
    Compact(DecodedProof<'a>),
    Dpop(DecodedDpop<'a>),
    Pop(DecodedClientAttestationPop<'a>),
}

/// What a proof says of the request that it was made for.
pub(super) struct Covered<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) query: Option<[u8; 32]>,
    pub(super) ath: Option<[u8; 32]>,
}

/// The bytes that a compact proof is decoded into.
pub(super) type Buffer = [u8; MAX_TOKEN];

impl<'a> Proof<'a> {
    /// Takes the proof apart and checks that it belongs to `result`.
    pub(super) fn decode(
        presented: Attestation<'a>,
        result: &VerifiedResult,
        buffer: &'a mut Buffer,
    ) -> Result<Self, Reason> {
        match presented {
            Attestation::Compact { proof, .. } => {
                let bytes =
                    from_base64url_into(proof.as_bytes(), buffer).map_err(|_| Reason::FieldMalformed)?;
                let proof = DecodedProof::decode(bytes).map_err(Reason::ProofEncoding)?;
                if proof.claims.result != result.digest {
                    return Err(Reason::ProofOfAnotherResult);
                }
                Ok(Self::Compact(proof))
            }
            Attestation::Dpop { proof, .. } => {
                let proof = DecodedDpop::decode(proof).map_err(Reason::Dpop)?;
                // Combined mode: the key of the proof is the one that the attestation vouches for.
                if proof.key != result.claims.confirmation {
                    return Err(Reason::ProofOfAnotherResult);
                }
                Ok(Self::Dpop(proof))
            }
            Attestation::Pop { proof, .. } => DecodedClientAttestationPop::decode(proof)
                .map(Self::Pop)
                .map_err(Reason::ClientAttestationPop),
        }
    }

    /// Verifies the signature with the key that the result names.
    pub(super) fn verify(&self, result: &VerifiedResult) -> Result<(), Reason> {
        let verified = match self {
            Self::Compact(proof) => {
                let mut buffer = [0; MAX_TOKEN + SIG_STRUCTURE_OVERHEAD];
                let message = proof.message.to_be_signed(&mut buffer).ok_or(Reason::FieldMalformed)?;
                result.key.verify(message, proof.message.signature())
            }
            Self::Dpop(proof) => result.key.verify(proof.jws.signing_input.as_bytes(), &proof.jws.signature),
            Self::Pop(proof) => result.key.verify(proof.jws.signing_input.as_bytes(), &proof.jws.signature),
        };
        verified.map_err(|_| Reason::ProofSignature)
    }

    pub(super) const fn issued_at(&self) -> Timestamp {
        match self {
            Self::Compact(proof) => proof.claims.issued_at,
            Self::Dpop(proof) => proof.issued_at,
            Self::Pop(proof) => proof.issued_at,
        }
    }

    /// The nonce that it carries, if any.
    pub(super) fn nonce(&self) -> Option<Result<Challenge, ChallengeError>> {
        match self {
            Self::Compact(proof) => proof.claims.nonce.map(Challenge::from_bytes),
            Self::Dpop(proof) => proof.nonce.as_deref().map(Challenge::from_base64url),
            Self::Pop(proof) => proof.challenge.as_deref().map(Challenge::from_base64url),
        }
    }

    /// Whom it names as its reader. A DPoP proof names nobody: its target does.
    pub(super) fn audience(&self) -> Option<&str> {
        match self {
            Self::Compact(proof) => Some(proof.claims.audience),
            Self::Dpop(_) => None,
            Self::Pop(proof) => Some(&proof.audience),
        }
    }

    /// The request that it was made for; `None` if it says nothing of one.
    pub(super) fn covered(&self) -> Option<Covered<'_>> {
        match self {
            Self::Compact(proof) => {
                let claims = &proof.claims;
                Some(Covered {
                    method: claims.method,
                    target: claims.target,
                    query: claims.query,
                    ath: claims.ath,
                })
            }
            Self::Dpop(proof) => Some(Covered {
                method: &proof.method,
                target: &proof.target,
                query: proof.query,
                ath: proof.ath,
            }),
            Self::Pop(_) => None,
        }
    }

    /// SHA-256 of the body, as the device says.
    pub(super) fn content(&self) -> Option<[u8; 32]> {
        match self {
            Self::Compact(proof) => proof.claims.content,
            Self::Dpop(proof) => proof.content,
            Self::Pop(_) => None,
        }
    }

    /// What the device sees of its environment now.
    pub(super) const fn environment(&self) -> Option<u64> {
        match self {
            Self::Compact(proof) => proof.claims.environment,
            Self::Dpop(_) | Self::Pop(_) => None,
        }
    }

    /// What a second use of it is known by: the key that signed and the identifier that it gave. A DPoP proof is not
    /// made for one attestation, so that a renewed attestation of the same key makes it no new one.
    pub(super) fn identity(&self, result: &VerifiedResult) -> [u8; 16] {
        let jkt = result.claims.instance_jkt.as_bytes();
        let whole = match self {
            Self::Compact(proof) => sha256_of(&[&result.digest, proof.claims.token_id]),
            Self::Dpop(proof) => sha256_of(&[b"dpop", jkt, &sha256(proof.token_id.as_bytes())]),
            Self::Pop(proof) => sha256_of(&[b"pop", jkt, &sha256(proof.token_id.as_bytes())]),
        };
        let mut identity = [0; 16];
        identity.copy_from_slice(&whole[..16]);
        identity
    }
}
