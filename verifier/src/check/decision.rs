//! What a decision is, and what it is made with.

use std::sync::Arc;

use countersign_core::challenge::{Challenge, RANDOM_LENGTH};
use countersign_core::token::result::ResultClaims;

use super::pending::Pending;
use super::refusal::{ProofKind, Refusal};
use super::result::VerifiedResult;
use super::route::Assurance;
use super::trust::KeyOwner;
use crate::credential::api_key::ApiKey;
use crate::credential::client_certificate::CertificateHolder;
use crate::credential::introspection::OpaqueToken;
use crate::credential::jwt::AccessToken;

/// Sizes of the edge's tables; each bounds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Verified results kept, times two; about 2 KiB each.
    pub results: usize,
    /// Verified access tokens kept, times two; about 1 KiB each.
    pub access_tokens: usize,
    /// Proofs remembered per 150 seconds, times two; about 40 bytes each. More requests than that are refused.
    pub proofs: usize,
    /// Bearer tokens whose first instance is remembered until they expire.
    pub first_uses: usize,
    /// Addresses whose failures are counted.
    pub addresses: usize,
    /// Refused requests per address and ten seconds before it has to wait; less for one that keeps failing.
    pub failures: u32,
    /// Callers whose rate limits are remembered, times two; about 100 bytes each. Where no route has limits, none are.
    pub callers: usize,
    /// Requests per instance and ten seconds: one instance cannot fill the replay set for everybody.
    pub instance_requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            results: 16_384,
            access_tokens: 16_384,
            proofs: 262_144,
            first_uses: 65_536,
            addresses: 16_384,
            failures: 20,
            callers: 65_536,
            instance_requests: 300,
        }
    }
}

/// Random bytes for nonces; handed in by the runtime.
pub trait Randomness: Send + Sync {
    /// Fresh random bytes.
    ///
    /// # Errors
    /// [`RandomnessUnavailable`] when the source fails; no nonce is made then.
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable>;
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomnessUnavailable;

/// What the runtime must fetch before the decision can be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// A key set; whatever comes of it, [`IssuerKeys::fetched`](super::trust::IssuerKeys::fetched) is to be called before checking again.
    Keys(KeyOwner),
    /// What the resource's authorization server says about an opaque token (RFC 7662); its answer is for
    /// [`Edge::introspected`](super::Edge::introspected).
    Introspection(OpaqueToken),
    /// The body of a request that came with [`Content::Deferred`](super::Content::Deferred): everything else about it has passed.
    Content,
}

/// The decision about one request.
#[derive(Debug)]
pub enum Decision {
    /// It passes.
    Permit(Permit),
    /// It passes without identity, because its route only watches; `told` if the client shall know.
    Observed {
        /// What it would have been refused for.
        refusal: Refusal,
        /// Whether the client is told.
        told: bool,
    },
    /// It is refused.
    Refusal(Refusal),
    /// Something must be fetched first.
    Needs(Lookup),
    /// Everything else has passed; the store that edges share has the last word.
    Pending(Box<Pending>),
}

/// The credential that a request came with, once it has been verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// An access token: a JWT (RFC 9068), or an opaque one that its authorization server was asked about (RFC 7662).
    AccessToken(Arc<AccessToken>),
    /// An API key of the attested app.
    ApiKey(Arc<ApiKey>),
    /// The certificate of the TLS connection.
    ClientCertificate(Arc<CertificateHolder>),
}

impl Credential {
    /// The access token, if it is one.
    pub fn access_token(&self) -> Option<&AccessToken> {
        match self {
            Self::AccessToken(token) => Some(token),
            _ => None,
        }
    }

    /// What it was given for.
    pub fn scopes(&self) -> &[String] {
        match self {
            Self::AccessToken(token) => &token.scopes,
            Self::ApiKey(key) => &key.scopes,
            Self::ClientCertificate(holder) => &holder.scopes,
        }
    }
}

/// That a request may pass, and on whose behalf. Made by [`Edge::check`](super::Edge::check) alone.
#[derive(Clone, Debug)]
pub struct Permit {
    pub(super) result: Arc<VerifiedResult>,
    pub(super) credential: Option<Credential>,
    pub(super) content: Option<[u8; 32]>,
    pub(super) environment: Option<u64>,
    pub(super) nonce: Option<Challenge>,
    pub(super) proof: ProofKind,
    pub(super) settled_alone: bool,
}

impl Permit {
    /// The attested instance: the claims of its result.
    pub fn attestation(&self) -> &ResultClaims {
        &self.result.claims
    }

    /// How near the hardware the key is that signed this request.
    pub const fn assurance(&self) -> Assurance {
        match self.proof {
            ProofKind::Compact | ProofKind::Pop => Assurance::Session,
            ProofKind::Dpop => Assurance::Hardware,
        }
    }

    /// The credential, where one came.
    pub const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// The access token, where that is the credential.
    pub fn access_token(&self) -> Option<&AccessToken> {
        self.credential.as_ref()?.access_token()
    }

    /// SHA-256 of the body as the proof says, for whoever sees the body if it was not seen here.
    pub const fn content(&self) -> Option<&[u8; 32]> {
        self.content.as_ref()
    }

    /// What the device sees of its environment, as a set of bits.
    pub const fn environment(&self) -> Option<u64> {
        self.environment
    }

    /// The kind of proof that came, and the next one will be.
    pub const fn proof_kind(&self) -> ProofKind {
        self.proof
    }

    /// Whether this edge decided alone because the store that it shares with others did not answer: a copy of the
    /// request may have passed at another edge.
    pub const fn is_settled_alone(&self) -> bool {
        self.settled_alone
    }

    /// A nonce for the client's next proof.
    pub const fn nonce(&self) -> Option<&Challenge> {
        self.nonce.as_ref()
    }
}
