//! The proof for one request: what the fast path of every call does. One Ed25519 signature and a few hashes.

use core::fmt;

use ed25519_dalek::Signer;

use super::Attester;
use super::clock::Now;
use super::config::Resource;
use super::edge::Hints;
use super::envelope::fixed_length;
use super::port::KeyHandle;
use super::state::StoredKey;
use super::vouching::Vouching;
use crate::challenge::Challenge;
use crate::encoding::base64url;
use crate::request::{RequestError, TargetUri, check_method, sha256};
use crate::token::dpop::DpopProof;
use crate::token::jose::UnsignedJwt;
use crate::token::keys::{InvalidSignature, PublicKey, PureRust, VerifySignature};
use crate::token::proof::ProofClaims;
use crate::token::{MAX_COMPACT_FIELD, MAX_JWT_FIELD, field};

/// Bodies up to this many bytes are hashed into the proof.
pub const MAX_HASHED_CONTENT: usize = 1024 * 1024;

/// The request that is to be proven, as it will be sent.
#[derive(Clone, Copy)]
pub struct ProofRequest<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// The absolute URI, with its query and without fragment.
    pub uri: &'a str,
    /// The credential's characters as they stand in the request: an access token or an API key.
    pub credential: Option<&'a str>,
    /// The body before any content coding, if it is in memory; hashed up to [`MAX_HASHED_CONTENT`] bytes.
    pub content: Option<&'a [u8]>,
    /// A nonce of this edge; without one, the last that [`Attester::observe`] saw is used while it lives.
    pub nonce: Option<Challenge>,
    /// What the device sees of its environment now; without a value, the last noted one, unless that is 0.
    pub environment: Option<u64>,
}

/// Two header fields for one request. They are good for this request only, and once.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofHeaders {
    /// The value of `Attestation-Result`.
    pub result: String,
    /// The value of `Attestation-Proof`.
    pub proof: String,
}

impl ProofHeaders {
    /// Names (in lower case) and values.
    pub fn fields(&self) -> [(&'static str, &str); 2] {
        [(field::ATTESTATION_RESULT, &self.result), (field::ATTESTATION_PROOF, &self.proof)]
    }
}

/// Neither value is printed: while they live, they pass for the request.
impl fmt::Debug for ProofHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProofHeaders({} and {} characters)", self.result.len(), self.proof.len())
    }
}

/// Prints method and presence; a URI's query and a body may be anybody's secret.
impl fmt::Debug for ProofRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofRequest")
            .field("method", &self.method)
            .field("credential", &self.credential.is_some())
            .field("content", &self.content.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// Why a request is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProveError {
    /// No result was obtained yet, or it has expired.
    NoResult,
    /// The URI's origin is none of the configured ones: it gets no token.
    UnknownOrigin,
    /// The URI or method is one that servers may read in two ways, or not at all.
    Request(RequestError),
    /// `http` to an authorization server that is not on this machine, without `danger_plaintext`.
    Plaintext,
    /// The proof would be longer than an edge reads.
    TooLong,
}

impl ProveError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoResult => "no_result",
            Self::UnknownOrigin => "unknown_origin",
            Self::Request(error) => error.reason(),
            Self::Plaintext => "plaintext",
            Self::TooLong => "proof_too_long",
        }
    }
}

impl fmt::Display for ProveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for ProveError {}

/// A proof by the instance key (JWT flavour: client attestation and DPoP, RFC 9449), which waits for the key store.
pub struct InstanceKeyProof {
    handle: KeyHandle,
    key: PublicKey,
    unsigned: UnsignedJwt,
    attestation: String,
}

impl InstanceKeyProof {
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
    pub fn finish(self, signature: &[u8]) -> Result<InstanceKeyHeaders, InvalidSignature> {
        let signature = fixed_length(signature).ok_or(InvalidSignature)?;
        PureRust.verify(&self.key, self.unsigned.to_be_signed(), &signature)?;
        Ok(InstanceKeyHeaders {
            client_attestation: self.attestation,
            dpop: self.unsigned.with_signature(&signature),
        })
    }
}

impl fmt::Debug for InstanceKeyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceKeyProof")
    }
}

/// Two header fields of the JWT flavour for one request.
#[derive(Clone, PartialEq, Eq)]
pub struct InstanceKeyHeaders {
    /// The value of `OAuth-Client-Attestation`.
    pub client_attestation: String,
    /// The value of `DPoP`.
    pub dpop: String,
}

impl InstanceKeyHeaders {
    /// Names (in lower case) and values.
    pub fn fields(&self) -> [(&'static str, &str); 2] {
        [(field::CLIENT_ATTESTATION, &self.client_attestation), (field::DPOP, &self.dpop)]
    }
}

impl fmt::Debug for InstanceKeyHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceKeyHeaders({} and {} characters)", self.client_attestation.len(), self.dpop.len())
    }
}

impl Attester {
    /// Signs a proof for `request` with the session key. `random` must be fresh for each call.
    ///
    /// # Errors
    /// As the variants of [`ProveError`] say; a host that was not configured never gets a token.
    pub fn prove(
        &self,
        request: &ProofRequest<'_>,
        now: Now,
        random: &[u8; 16],
    ) -> Result<ProofHeaders, ProveError> {
        let (target, resource, hints) = self.addressed(request)?;
        let session = self.current_session(now).ok_or(ProveError::NoResult)?;
        let nonce = request.nonce.or_else(|| hints.nonce_at(now));
        let content = request.content.filter(|content| content.len() <= MAX_HASHED_CONTENT);
        let claims = ProofClaims {
            audience: &resource.identifier,
            issued_at: self.clock.at(now),
            token_id: random,
            nonce: nonce.as_ref().map(|nonce| &nonce.as_bytes()[..]),
            result: session.result_hash,
            ath: request.credential.map(|credential| sha256(credential.as_bytes())),
            method: request.method,
            target: &target.to_htu(),
            query: target.query_hash(),
            content: content.map(sha256),
            environment: request.environment.or((self.environment != 0).then_some(self.environment)),
        };
        let unsigned = claims.to_unsigned();
        let signature = session.key.sign(&unsigned.to_be_signed()).to_bytes();
        let proof = base64url(&unsigned.with_signature(&signature));
        if proof.len() > MAX_COMPACT_FIELD {
            return Err(ProveError::TooLong);
        }
        Ok(ProofHeaders { result: session.result.clone(), proof })
    }

    /// Prepares a proof by the instance key, for routes that demand hardware, and for any route when a process that was
    /// just started cannot reach the service: what an earlier one obtained serves until it expires. `random` must be
    /// fresh for each call.
    ///
    /// # Errors
    /// As [`Attester::prove`].
    pub fn prepare_instance_key_proof(
        &self,
        request: &ProofRequest<'_>,
        now: Now,
        random: &[u8; 16],
    ) -> Result<InstanceKeyProof, ProveError> {
        let (target, _, hints) = self.addressed(request)?;
        let (vouching, key) = self.vouched_instance_key(now)?;
        let nonce = request.nonce.or_else(|| hints.nonce_at(now)).map(|nonce| nonce.to_base64url());
        let proof = DpopProof {
            token_id: &base64url(random),
            method: request.method,
            target: &target.to_htu(),
            issued_at: self.clock.at(now),
            nonce: nonce.as_deref(),
            ath: request.credential.map(|credential| sha256(credential.as_bytes())),
            query: target.query_hash(),
            content: request.content.filter(|content| content.len() <= MAX_HASHED_CONTENT).map(sha256),
        };
        let unsigned = proof.to_unsigned(&key.public_key);
        // The signature's segment: a dot and 86 characters.
        if unsigned.to_be_signed().len() + 87 > MAX_JWT_FIELD {
            return Err(ProveError::TooLong);
        }
        Ok(InstanceKeyProof {
            handle: key.handle.clone(),
            key: key.public_key,
            unsigned,
            attestation: vouching.attestation_rs.clone(),
        })
    }

    /// The instance key, and what vouches for it: it goes when the key goes.
    pub(super) fn vouched_instance_key(&self, now: Now) -> Result<(&Vouching, &StoredKey), ProveError> {
        self.current_vouching(now).zip(self.state.key.as_ref()).ok_or(ProveError::NoResult)
    }

    /// The target, the API it belongs to, and what its edge asked for.
    fn addressed<'r>(
        &self,
        request: &ProofRequest<'r>,
    ) -> Result<(TargetUri<'r>, &Resource, &Hints), ProveError> {
        let target = TargetUri::parse(request.uri).map_err(ProveError::Request)?;
        let position = self.config.position(&target.origin()).ok_or(ProveError::UnknownOrigin)?;
        check_method(request.method).map_err(ProveError::Request)?;
        let addressed = self.config.resources.get(position).zip(self.hints.get(position));
        addressed.map(|(resource, hints)| (target, resource, hints)).ok_or(ProveError::UnknownOrigin)
    }
}
