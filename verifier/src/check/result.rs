//! Step 5: what the attestation service says of the instance, verified once and remembered.

use std::sync::Arc;

use countersign_core::encoding::from_base64url;
use countersign_core::token::MAX_COMPACT_FIELD;
use countersign_core::token::client_attestation::DecodedClientAttestation;
use countersign_core::token::cose::SIG_STRUCTURE_OVERHEAD;
use countersign_core::token::result::{DecodedResult, ResultClaims};

use super::presented::Attestation;
use super::refusal::Reason;
use super::steps::{Context, Stop};
use super::trust::{KeyOwner, KeysById, ServiceKeys};
use crate::crypto::{VerifyingKey, sha256};

/// Longest compact token, in bytes.
pub(super) const MAX_TOKEN: usize = MAX_COMPACT_FIELD / 4 * 3;

/// A result whose signature has been verified, in whichever flavour it came.
pub(super) struct VerifiedResult {
    pub(super) claims: ResultClaims,
    pub(super) flavour: Flavour,
    /// SHA-256 of its COSE bytes, or of the JWT's characters.
    pub(super) digest: [u8; 32],
    /// The key that makes proofs, parsed: the session key, or in the OAuth flavour the instance key.
    pub(super) key: VerifyingKey,
    pub(super) key_id: Vec<u8>,
    /// Edition of the service's keys that verified it.
    pub(super) edition: u64,
}

/// Which pair of tokens a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    Compact,
    Oauth,
}

impl std::fmt::Debug for VerifiedResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VerifiedResult").field(&self.claims.instance).finish()
    }
}

impl Context<'_> {
    /// The verified result of what was presented, from the cache if its key is still trusted.
    pub(super) fn result(&self, presented: Attestation<'_>) -> Result<Arc<VerifiedResult>, Stop> {
        let field = presented.result();
        let flavour = match presented {
            Attestation::Compact { .. } => Flavour::Compact,
            Attestation::Dpop { .. } | Attestation::Pop { .. } => Flavour::Oauth,
        };
        if let Some(result) = self.edge.results.find(field) {
            let service = self.edge.service(&result.claims.issuer);
            let is_trusted = service.is_some_and(|service| service.current().edition == result.edition);
            // The same text in the other flavour's field is not what was verified.
            if is_trusted && result.flavour == flavour {
                return Ok(result);
            }
        }
        let result = Arc::new(match flavour {
            Flavour::Compact => self.compact_result(field)?,
            Flavour::Oauth => self.client_attestation(field)?,
        });
        self.edge.results.insert(field.into(), Arc::clone(&result));
        Ok(result)
    }

    fn compact_result(&self, field: &str) -> Result<VerifiedResult, Stop> {
        let bytes = from_base64url(field).map_err(|_| Reason::FieldMalformed)?;
        let DecodedResult { message, claims } =
            DecodedResult::decode(&bytes).map_err(Reason::ResultEncoding)?;
        let key_id = message.header().key_id.unwrap_or_default();
        let (key, edition) = self.service_key(&claims.issuer, key_id, |keys| &keys.results)?;
        let mut buffer = [0; MAX_TOKEN + SIG_STRUCTURE_OVERHEAD];
        let signed = message.to_be_signed(&mut buffer).ok_or(Reason::FieldMalformed)?;
        key.verify(signed, message.signature()).map_err(|_| Reason::ResultSignature)?;
        Ok(VerifiedResult {
            flavour: Flavour::Compact,
            digest: sha256(&bytes),
            key: VerifyingKey::new(claims.confirmation),
            key_id: key_id.to_vec(),
            edition,
            claims,
        })
    }

    fn client_attestation(&self, field: &str) -> Result<VerifiedResult, Stop> {
        let DecodedClientAttestation { jws, claims } =
            DecodedClientAttestation::decode(field).map_err(Reason::ClientAttestation)?;
        let key_id = jws.key_id().unwrap_or_default().as_bytes();
        let (key, edition) = self.service_key(&claims.issuer, key_id, |keys| &keys.client_attestations)?;
        key.verify(jws.signing_input.as_bytes(), &jws.signature).map_err(|_| Reason::ResultSignature)?;
        Ok(VerifiedResult {
            flavour: Flavour::Oauth,
            digest: sha256(field.as_bytes()),
            key: VerifyingKey::new(claims.confirmation),
            key_id: key_id.to_vec(),
            edition,
            claims,
        })
    }

    /// The key `key_id` of the attestation service `issuer`, with the edition of the set that has it.
    fn service_key(
        &self,
        issuer: &str,
        key_id: &[u8],
        of_flavour: impl Fn(&ServiceKeys) -> &KeysById,
    ) -> Result<(Arc<VerifyingKey>, u64), Stop> {
        let service = self.edge.service(issuer).ok_or(Reason::ResultUnknownIssuer)?;
        let needs = || self.needs(service, || KeyOwner::AttestationService(service.issuer.clone()));
        let current = service.current();
        let Some(keys) = &current.keys else {
            return Err(needs().unwrap_or(Reason::KeysUnavailable.into()));
        };
        let Some(key) = of_flavour(keys).get(key_id) else {
            return Err(needs().unwrap_or(Reason::ResultUnknownKey.into()));
        };
        Ok((Arc::clone(key), current.edition))
    }
}
