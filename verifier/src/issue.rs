//! Issuing: results and client attestations for an admitted instance, and the key set that verifies them.

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::ClientAttestation;
use countersign_core::token::keys::{Algorithm, PublicKey, SIGNATURE_LENGTH};
use countersign_core::token::result::{InstanceId, MAX_LIFETIME, ResultClaims};
use serde_json::{Value, json};

use crate::enrolment::Admission;

/// Longest life of a client attestation for the authorization server, in seconds.
pub const MAX_ATTESTATION_LIFETIME: u64 = 24 * 3600;

/// The key could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningFailed;

/// A signing key of the service, wherever it lives.
pub trait Signer: Send + Sync {
    /// The `kid` under which the key set lists it.
    fn key_id(&self) -> &str;

    /// Its public key.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`: 64 bytes, `r || s` or `R || S`.
    ///
    /// # Errors
    /// [`SigningFailed`] when the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH], SigningFailed>;
}

/// How long what is issued lives, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Result and resource JWT; at most [`MAX_LIFETIME`].
    pub result: u64,
    /// Client attestation for the authorization server; at most [`MAX_ATTESTATION_LIFETIME`].
    pub attestation: u64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { result: MAX_LIFETIME, attestation: 3600 }
    }
}

/// What an instance gets.
pub struct AttestationResult {
    /// The compact result, base64url.
    pub result: String,
    /// The client attestation for the authorization server.
    pub client_attestation_as: String,
    /// The client attestation for resources.
    pub client_attestation_rs: String,
    /// When the result expires.
    pub expires_at: Timestamp,
}

/// The attestation service's pen.
pub struct Issuer<'a> {
    /// Issuer URL.
    pub issuer: &'a str,
    /// Signs results: Ed25519.
    pub result_signer: &'a dyn Signer,
    /// Signs client attestations: ES256.
    pub attestation_signer: &'a dyn Signer,
    /// Lives of what is issued; longer ones than allowed are cut.
    pub lifetimes: Lifetimes,
}

impl Issuer<'_> {
    /// Issues for `admission`, under the identifier that the registry gave the instance.
    ///
    /// # Errors
    /// [`SigningFailed`]; nothing is issued then.
    pub fn issue(
        &self,
        admission: &Admission,
        instance: InstanceId,
        now: Timestamp,
    ) -> Result<AttestationResult, SigningFailed> {
        let own = admission.result_lifetime().unwrap_or(MAX_LIFETIME);
        let lifetime = self.lifetimes.result.min(own);
        let claims = ResultClaims {
            issuer: self.issuer.to_owned(),
            client_id: admission.client_id().to_owned(),
            issued_at: now,
            expires_at: now.plus(lifetime.clamp(1, MAX_LIFETIME)),
            confirmation: *admission.session_key(),
            tier: admission.issued().tier,
            instance,
            instance_jkt: admission.instance_key().thumbprint(),
            protection: admission.protection(),
            vouched_by: admission.vouched_by(),
            evidence_time: admission.evidence_time(),
            app_version: Some(admission.app_version().to_owned()).filter(|version| !version.is_empty()),
            policy: admission.policy().to_owned(),
            labels: admission.issued().labels.clone(),
            trust_vector: admission.issued().trust_vector,
        };
        let message = claims.to_unsigned(self.result_signer.key_id());
        let signature = self.result_signer.sign(&message.to_be_signed())?;
        let attestation_expires = now.plus(self.lifetimes.attestation.clamp(1, MAX_ATTESTATION_LIFETIME));
        Ok(AttestationResult {
            result: base64url(&message.with_signature(&signature)),
            client_attestation_as: self.client_attestation(admission, &claims, attestation_expires, false)?,
            client_attestation_rs: self.client_attestation(admission, &claims, claims.expires_at, true)?,
            expires_at: claims.expires_at,
        })
    }

    fn client_attestation(
        &self,
        admission: &Admission,
        claims: &ResultClaims,
        expires_at: Timestamp,
        for_resources: bool,
    ) -> Result<String, SigningFailed> {
        let attestation = ClientAttestation {
            issuer: self.issuer,
            client_id: admission.client_id(),
            issued_at: claims.issued_at,
            expires_at,
            instance_key: admission.instance_key(),
            result: for_resources.then_some(claims),
        };
        let jwt = attestation.to_unsigned(self.attestation_signer.key_id());
        let signature = self.attestation_signer.sign(jwt.to_be_signed())?;
        Ok(jwt.with_signature(&signature))
    }
}

/// The JWK Set (RFC 7517) of public keys by `kid`.
pub fn jwks<'k>(keys: impl IntoIterator<Item = (&'k str, &'k PublicKey)>) -> Value {
    let members = keys.into_iter().map(|(key_id, key)| {
        let jwk = key.to_jwk();
        let mut member = json!({
            "kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "kid": key_id, "use": "sig",
            // RFC 8037's name, which every library knows; RFC 9864's is newer than most of them.
            "alg": match key.algorithm() { Algorithm::Esp256 => "ES256", Algorithm::Ed25519 => "EdDSA" },
        });
        if let (Some(y), Some(object)) = (jwk.y, member.as_object_mut()) {
            object.insert("y".to_owned(), y.into());
        }
        member
    });
    json!({ "keys": members.collect::<Vec<_>>() })
}
