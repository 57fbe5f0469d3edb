//! The app as an OAuth client: it authenticates at its authorization server with the client attestation and a proof
//! by the instance key (draft-ietf-oauth-attestation-based-client-auth), in the draft's normal mode or with DPoP.

use core::fmt;

use super::Attester;
use super::clock::Now;
use super::envelope::fixed_length;
use super::port::KeyHandle;
use super::prove::ProveError;
use crate::encoding::base64url;
use crate::request::{RequestError, TargetUri};
use crate::token::client_attestation::ClientAttestationPop;
use crate::token::dpop::DpopProof;
use crate::token::jose::UnsignedJwt;
use crate::token::keys::{InvalidSignature, PublicKey, PureRust, VerifySignature};
use crate::token::{MAX_JWT_FIELD, field};

/// The proof that goes with the client attestation to an authorization server: one of the two authenticates the
/// client. A client of the normal mode that wants a key-bound access token sends both.
#[derive(Clone, Copy)]
pub enum ClientProof<'a> {
    /// `OAuth-Client-Attestation-PoP`: good at one authorization server.
    Pop {
        /// Issuer of the authorization server, byte-exact as its metadata says it.
        issuer: &'a str,
        /// The latest `challenge` of its challenge endpoint, or of `OAuth-Client-Attestation-Challenge`.
        challenge: Option<&'a str>,
    },
    /// `DPoP` (RFC 9449; the draft's combined mode): good at one endpoint, and binds the tokens to the instance key.
    Dpop {
        /// URL of the endpoint: the token endpoint, or that of pushed authorization requests. The method is POST.
        endpoint: &'a str,
        /// The latest `DPoP-Nonce` of the authorization server.
        nonce: Option<&'a str>,
    },
}

impl ClientProof<'_> {
    /// The header field of the proof, in lower case.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Pop { .. } => field::CLIENT_ATTESTATION_POP,
            Self::Dpop { .. } => field::DPOP,
        }
    }
}

/// Prints which it is; challenges and nonces stay out of logs.
impl fmt::Debug for ClientProof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientProof({})", self.field())
    }
}

/// A proof to the authorization server, which waits for the key store.
pub struct ClientAuthentication {
    handle: KeyHandle,
    key: PublicKey,
    unsigned: UnsignedJwt,
    attestation: String,
    field: &'static str,
}

impl ClientAuthentication {
    /// The instance key.
    pub const fn handle(&self) -> &KeyHandle {
        &self.handle
    }

    /// What it must sign (ECDSA P-256 over SHA-256 of these bytes).
    pub fn message(&self) -> &[u8] {
        self.unsigned.to_be_signed()
    }

    /// The two header fields, from the signature in either form that key stores give.
    ///
    /// # Errors
    /// [`InvalidSignature`] if another key signed.
    pub fn finish(self, signature: &[u8]) -> Result<ClientAuthenticationHeaders, InvalidSignature> {
        let signature = fixed_length(signature).ok_or(InvalidSignature)?;
        PureRust.verify(&self.key, self.unsigned.to_be_signed(), &signature)?;
        Ok(ClientAuthenticationHeaders {
            client_attestation: self.attestation,
            proof: self.unsigned.with_signature(&signature),
            proof_field: self.field,
        })
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuthentication({})", self.field)
    }
}

/// Two header fields for one request to the authorization server.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAuthenticationHeaders {
    /// The value of `OAuth-Client-Attestation`.
    pub client_attestation: String,
    /// The value of the proof.
    pub proof: String,
    /// The name of the proof's field, in lower case.
    pub proof_field: &'static str,
}

impl ClientAuthenticationHeaders {
    /// Names (in lower case) and values.
    pub fn fields(&self) -> [(&'static str, &str); 2] {
        [(field::CLIENT_ATTESTATION, &self.client_attestation), (self.proof_field, &self.proof)]
    }
}

impl fmt::Debug for ClientAuthenticationHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attestation, proof) = (self.client_attestation.len(), self.proof.len());
        write!(f, "ClientAuthenticationHeaders({attestation} and {proof} characters)")
    }
}

impl Attester {
    /// Prepares the authentication of one request to the authorization server. `random` must be fresh for each call.
    ///
    /// The server is named by the call, not by the configuration: what another one is given is of no use elsewhere,
    /// because each proof names its one addressee, and the attestation alone proves nothing.
    ///
    /// # Errors
    /// [`ProveError::NoResult`] without a current result, [`ProveError::Plaintext`] for `http` beyond loopback,
    /// [`ProveError::Request`] for what is no URL, or an issuer with a query (RFC 8414 section 2).
    pub fn prepare_client_authentication(
        &self,
        proof: &ClientProof<'_>,
        now: Now,
        random: &[u8; 16],
    ) -> Result<ClientAuthentication, ProveError> {
        let (ClientProof::Pop { issuer: url, .. } | ClientProof::Dpop { endpoint: url, .. }) = *proof;
        let target = TargetUri::parse(url).map_err(ProveError::Request)?;
        if self.config.is_plaintext(&target.origin()) {
            return Err(ProveError::Plaintext);
        }
        let (vouching, key) = self.vouched_instance_key(now)?;
        let (token_id, issued_at) = (&base64url(random), self.clock.at(now));
        let unsigned = match *proof {
            ClientProof::Pop { .. } if target.query.is_some() => {
                return Err(ProveError::Request(RequestError::Character));
            }
            ClientProof::Pop { issuer, challenge } => {
                ClientAttestationPop { audience: issuer, token_id, issued_at, challenge }.to_unsigned()
            }
            // Without our own members: authorization servers know nothing of them, and need no `ath`.
            ClientProof::Dpop { nonce, .. } => DpopProof {
                token_id,
                method: "POST",
                target: &target.to_htu(),
                issued_at,
                nonce,
                ath: None,
                query: None,
                content: None,
            }
            .to_unsigned(&key.public_key),
        };
        // The signature's segment: a dot and 86 characters.
        if unsigned.to_be_signed().len() + 87 > MAX_JWT_FIELD {
            return Err(ProveError::TooLong);
        }
        Ok(ClientAuthentication {
            handle: key.handle.clone(),
            key: key.public_key,
            unsigned,
            attestation: vouching.attestation_as.clone(),
            field: proof.field(),
        })
    }
}
