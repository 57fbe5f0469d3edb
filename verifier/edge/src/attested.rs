//! What a handler may know of a request that passed.

use std::sync::Arc;

use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier};
use countersign_verifier::check::{Credential, Permit, Reason, Refusal};
use countersign_verifier::credential::jwt::AccessToken;

/// A request that passed, and on whose behalf: an attested app instance and, where the route asks for one, the user's
/// access token or the app's API key. Made by the layer alone; an axum extractor.
#[derive(Clone, Debug)]
pub struct Attested(Permit);

impl Attested {
    pub(crate) const fn new(permit: Permit) -> Self {
        Self(permit)
    }

    /// The app instance: pairwise for each client, stable until the app is installed anew.
    pub fn instance(&self) -> InstanceId {
        self.attestation().instance
    }

    /// The attested app, by its OAuth `client_id` at the attestation service.
    pub fn client_id(&self) -> &str {
        &self.attestation().client_id
    }

    /// How far the appraisal trusts the instance.
    pub fn tier(&self) -> Tier {
        self.attestation().tier
    }

    /// Where the instance key lives.
    pub fn protection(&self) -> Protection {
        self.attestation().protection
    }

    /// All claims of the attestation result.
    pub fn attestation(&self) -> &ResultClaims {
        self.0.attestation()
    }

    /// The credential; `None` only on routes that ask for none.
    pub const fn credential(&self) -> Option<&Credential> {
        self.0.credential()
    }

    /// The access token's claims, where that is the credential.
    pub fn access_token(&self) -> Option<&AccessToken> {
        self.0.access_token()
    }

    /// The access token's `sub`: the user. `None` also where the authorization server names none for an opaque token.
    pub fn subject(&self) -> Option<&str> {
        self.access_token().and_then(|token| token.subject.as_deref())
    }

    /// Whether the credential has `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.credential().is_some_and(|credential| credential.scopes().iter().any(|granted| granted == scope))
    }

    /// SHA-256 of the body as the proof says. Where the route asks for it, the body has been compared with it;
    /// elsewhere the handler may.
    pub const fn content(&self) -> Option<&[u8; 32]> {
        self.0.content()
    }

    /// What the device saw of its environment, as a set of bits.
    pub const fn environment(&self) -> Option<u64> {
        self.0.environment()
    }
}

/// What the layer found about a request that it let through, for routes that only watch; an axum extractor.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It passed the check.
    Attested(Attested),
    /// It would have been refused, but its route only watches.
    Observed(Arc<Refusal>),
}

impl Verdict {
    /// Why the request would have been refused; `None` if it passed.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Attested(_) => None,
            Self::Observed(refusal) => Some(refusal.reason),
        }
    }
}
