//! Into which of a few classes a request falls, in the words that App Check's metrics use: what an operator watches while
//! a route still observes, to know whom it would refuse.

use super::reason::Reason;
use crate::credential::client_certificate::ClientCertificateError;

/// The class of a request. Who attests is one question, what else is wrong with a request another: a genuine app whose
/// token has expired is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A genuine instance signed this very request.
    Verified,
    /// It has a credential and no attestation: our app as it was before it attested, or whoever has its credential.
    OutdatedClient,
    /// It has nothing of ours, or goes where there is nothing.
    UnknownOrigin,
    /// Its attestation is malformed, forged, over, withdrawn, another's, or not enough for the route.
    Invalid,
    /// What it shows was good once, and was used before.
    Reused,
    /// This edge could not decide: its own trouble.
    Undecided,
}

impl Class {
    /// A stable name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::OutdatedClient => "outdated_client",
            Self::UnknownOrigin => "unknown_origin",
            Self::Invalid => "invalid",
            Self::Reused => "reused",
            Self::Undecided => "undecided",
        }
    }
}

impl Reason {
    /// The class of a request that is refused or observed for this reason, and came with a credential or without.
    ///
    /// The order of the check's steps stands behind it: what is only looked at once the proof has been verified says that
    /// the app is genuine.
    pub const fn class(self, has_credential: bool) -> Class {
        match self {
            Self::NoAttestation if has_credential => Class::OutdatedClient,
            Self::NoAttestation
            | Self::NoRoute
            | Self::NoCredential
            | Self::CredentialNotAccepted
            | Self::BasicRefused => Class::UnknownOrigin,
            Self::Request(_)
            | Self::FieldMalformed
            | Self::AuthorizationMalformed
            | Self::TokenInQuery
            | Self::TwoCredentials
            | Self::TwoFlavours
            | Self::ProofUnbound
            | Self::FailureBudget
            | Self::ResultEncoding(_)
            | Self::ClientAttestation(_)
            | Self::ResultUnknownIssuer
            | Self::ResultUnknownKey
            | Self::ResultSignature
            | Self::ResultExpired
            | Self::ResultFromTheFuture
            | Self::InstanceDenied
            | Self::KeyDenied
            | Self::SubjectDenied
            | Self::ProofEncoding(_)
            | Self::Dpop(_)
            | Self::ClientAttestationPop(_)
            | Self::ProofOfAnotherResult
            | Self::ProofTime
            | Self::ProofOutlivesResult
            | Self::NonceMissing
            | Self::Nonce(_)
            | Self::ProofSignature
            | Self::ProofAudience
            | Self::ProofMethod
            | Self::ProofTarget
            | Self::ProofQuery
            | Self::ProofContent
            | Self::ProofCredential
            | Self::AppNotAccepted
            | Self::AssuranceTooLow
            | Self::TierTooLow
            | Self::ProtectionTooLow
            | Self::EvidenceTooOld
            | Self::TokenOfAnotherInstance
            | Self::CertificateMismatch
            | Self::ClientCertificate(ClientCertificateError::Malformed)
            | Self::Anomaly(_) => Class::Invalid,
            Self::Replayed | Self::TokenUsedElsewhere => Class::Reused,
            Self::InstanceBudget
            | Self::RateLimit(_)
            | Self::ContentTooLarge
            | Self::AccessToken(_)
            | Self::ApiKey(_)
            | Self::ClientCertificate(_)
            | Self::TokenInactive
            | Self::AccessTokenTime
            | Self::SchemeMismatch
            | Self::ClientMismatch
            | Self::TokenUnbound
            | Self::CertificateMissing
            | Self::ScopeMissing
            | Self::AuthenticationTooWeak
            | Self::AuthenticationTooOld => Class::Verified,
            Self::DenyListStale
            | Self::ReplaySetFull
            | Self::FirstUsesFull
            | Self::KeysUnavailable
            | Self::StoreUnavailable
            | Self::IntrospectionUnavailable
            | Self::ApiKeysUnavailable
            | Self::RandomnessUnavailable => Class::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::super::refusal::ProofKind;
    use super::*;
    use crate::credential::api_key::ApiKeyError;

    #[test]
    fn a_credential_without_attestation_is_an_old_client_and_neither_is_a_stranger() {
        assert_eq!(Reason::NoAttestation.class(true), Class::OutdatedClient);
        assert_eq!(Reason::NoAttestation.class(false), Class::UnknownOrigin);
        assert_eq!(Reason::NoRoute.class(true), Class::UnknownOrigin);
    }

    #[test]
    fn a_genuine_app_stays_verified_whatever_is_wrong_with_its_credential() {
        for reason in [Reason::AccessTokenTime, Reason::ScopeMissing, Reason::ApiKey(ApiKeyError::Unknown)] {
            assert_eq!(reason.class(true), Class::Verified, "{reason:?}");
        }
    }

    #[test]
    fn whoever_uses_what_is_anothers_is_never_verified() {
        for reason in [
            Reason::Replayed,
            Reason::TokenUsedElsewhere,
            Reason::TokenOfAnotherInstance,
            Reason::ProofSignature,
            Reason::ResultExpired,
            Reason::InstanceDenied,
        ] {
            assert_ne!(reason.class(true), Class::Verified, "{reason:?}");
        }
        assert_eq!(Reason::Replayed.class(true), Class::Reused);
    }

    #[test]
    fn our_own_trouble_is_nobodys_fault() {
        for reason in [Reason::DenyListStale, Reason::KeysUnavailable, Reason::ReplaySetFull] {
            assert_eq!(reason.class(true), Class::Undecided);
            assert_eq!(reason.code(ProofKind::Compact), Code::Unavailable, "{reason:?}");
        }
    }
}
