//! A refusal, as its answer tells of it: one public code, in the scheme that the request spoke.

use countersign_core::challenge::Challenge;
use countersign_core::token::field;

pub use super::code::Code;
pub use super::reason::Reason;
use super::route::{CredentialKind, StepUp};

/// The scheme of the credential that came; answers speak in the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// `Bearer` (RFC 6750), also where none came.
    #[default]
    Bearer,
    /// `DPoP` (RFC 9449).
    Dpop,
    /// `ApiKey`, which no RFC knows: the key came in `X-API-Key`.
    ApiKey,
}

impl Scheme {
    /// The scheme's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
            Self::ApiKey => "ApiKey",
        }
    }
}

/// How the device proves that a request is its own; answers speak in the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProofKind {
    /// `Attestation-Proof`, also where none came.
    #[default]
    Compact,
    /// `DPoP` (RFC 9449) beside `OAuth-Client-Attestation`.
    Dpop,
    /// `OAuth-Client-Attestation-PoP`.
    Pop,
}

impl ProofKind {
    /// The header field that brings the nonce for the next proof, in lower case.
    pub const fn nonce_field(self) -> &'static str {
        match self {
            Self::Compact | Self::Pop => field::CLIENT_ATTESTATION_CHALLENGE,
            Self::Dpop => field::DPOP_NONCE,
        }
    }
}

/// A refusal with all that its answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The precise reason.
    pub reason: Reason,
    /// The scheme to answer in.
    pub scheme: Scheme,
    /// The kind of proof to answer in.
    pub proof: ProofKind,
    /// A fresh nonce for the next proof.
    pub nonce: Option<Challenge>,
    /// Seconds after which to come again, for 429 and 503.
    pub retry_after: Option<u64>,
    /// The scopes that the route asks for, for 403.
    pub scope: Option<String>,
    /// How the route wants the user to be authenticated, for step-up.
    pub step_up: StepUp,
    /// The kinds of credential that the route asks for, for bare challenges; empty for access tokens.
    pub credentials: Vec<CredentialKind>,
    /// The resource's metadata URL, for bare challenges.
    pub metadata_url: Option<String>,
}

impl Refusal {
    /// A refusal for `reason` alone.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            scheme: Scheme::Bearer,
            proof: ProofKind::Compact,
            nonce: None,
            retry_after: None,
            scope: None,
            step_up: StepUp { acr_values: Vec::new(), max_age: None },
            credentials: Vec::new(),
            metadata_url: None,
        }
    }

    /// The public code.
    pub fn code(&self) -> Code {
        let only_certificates =
            || self.credentials.iter().all(|kind| *kind == CredentialKind::ClientCertificate);
        match self.reason.code(self.proof) {
            Code::NoCredential if !self.credentials.is_empty() && only_certificates() => {
                Code::NoClientCertificate
            }
            code => code,
        }
    }

    /// The value of `WWW-Authenticate`, one line; `None` where the status takes none.
    pub fn www_authenticate(&self) -> Option<String> {
        let code = self.code();
        let metadata = |separator: &str| match &self.metadata_url {
            Some(url) => format!("{separator}resource_metadata=\"{url}\""),
            None => String::new(),
        };
        if code == Code::NoCredential {
            let dpop = format!("DPoP algs=\"ES256\"{}", metadata(", "));
            let tokens = format!("{dpop}, Bearer{}", metadata(" "));
            let keys = format!("ApiKey header=\"X-API-Key\"{}", metadata(", "));
            let takes = |kind| self.credentials.contains(&kind);
            let takes_tokens = takes(CredentialKind::Jwt) || takes(CredentialKind::Opaque);
            return Some(match (takes_tokens, takes(CredentialKind::ApiKey)) {
                (false, true) => keys,
                (true, true) => format!("{tokens}, {keys}"),
                (_, false) => tokens,
            });
        }
        let error = code.error()?;
        // RFC 9449 sections 7.1 and 9: these two are DPoP's own, also where no token came.
        let scheme = match code {
            Code::InvalidDpopProof | Code::UseDpopNonce => Scheme::Dpop,
            _ => self.scheme,
        };
        let mut challenge = format!("{} error=\"{error}\"", scheme.as_str());
        if let Some(nonce) = &self.nonce {
            challenge.push_str(&format!(", attestation_challenge=\"{}\"", nonce.to_base64url()));
        }
        if self.reason == Reason::Replayed {
            challenge.push_str(", reason=\"replayed\"");
        }
        if self.reason == Reason::AssuranceTooLow {
            challenge.push_str(", assurance=\"hardware\"");
        }
        if let (Code::InsufficientScope, Some(scope)) = (code, &self.scope) {
            challenge.push_str(&format!(", scope=\"{scope}\""));
        }
        if code == Code::InsufficientUserAuthentication {
            let StepUp { acr_values, max_age } = &self.step_up;
            if !acr_values.is_empty() {
                challenge.push_str(&format!(", acr_values=\"{}\"", acr_values.join(" ")));
            }
            if let Some(max_age) = max_age {
                challenge.push_str(&format!(", max_age=\"{max_age}\""));
            }
        }
        challenge.push_str(&metadata(", "));
        Some(challenge)
    }
}
