//! Why a request is refused, precisely: what the operator reads, and which public code it becomes.

use countersign_core::cbor::CborError;
use countersign_core::challenge::ChallengeError;
use countersign_core::request::RequestError;
use countersign_core::token::client_attestation::{ClientAttestationError, ClientAttestationPopError};
use countersign_core::token::dpop::DpopError;

use super::anomaly::Signal;
use super::code::Code;
use super::limits::Per;
use super::refusal::ProofKind;
use crate::credential::api_key::ApiKeyError;
use crate::credential::client_certificate::ClientCertificateError;
use crate::credential::jwt::AccessTokenError;

/// The precise reason; for logs, metrics and the audit record, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The request itself is malformed or ambiguous.
    Request(RequestError),
    /// A header field stands twice, is joined, oversized or not of its alphabet.
    FieldMalformed,
    /// `Authorization` is not `Bearer` or `DPoP` and one token.
    AuthorizationMalformed,
    /// HTTP Basic: a password is no credential here.
    BasicRefused,
    /// A token in the query, where logs would keep it.
    TokenInQuery,
    /// An access token and an API key in one request.
    TwoCredentials,
    /// Fields of both flavours in one request, or both proofs of the OAuth flavour.
    TwoFlavours,
    /// The OAuth draft's own proof, which says nothing of the request, and the route does not take it.
    ProofUnbound,
    /// No route of the resource speaks of this method and path.
    NoRoute,
    /// Too many refused requests from this address.
    FailureBudget,
    /// Too many requests of this instance.
    InstanceBudget,
    /// A rate limit of the route is used up.
    RateLimit(Per),
    /// A rule about anomalies refuses the key or instance for a while.
    Anomaly(Signal),
    /// No credential.
    NoCredential,
    /// A credential of a kind that the route does not take.
    CredentialNotAccepted,
    /// No result or no proof.
    NoAttestation,
    /// The result is not deterministic CBOR of its shape.
    ResultEncoding(CborError),
    /// The client attestation is not one of those that serve at a resource.
    ClientAttestation(ClientAttestationError),
    /// The result's issuer is not one that this edge trusts.
    ResultUnknownIssuer,
    /// No key of the result's `kid`.
    ResultUnknownKey,
    /// The result's signature does not verify.
    ResultSignature,
    /// `exp` has passed.
    ResultExpired,
    /// `iat` lies more than 60 seconds ahead.
    ResultFromTheFuture,
    /// The instance is on the deny list.
    InstanceDenied,
    /// The result's key is on the deny list.
    KeyDenied,
    /// The access token's user is on the deny list.
    SubjectDenied,
    /// The deny list is older than its `exp`: bans may be missing, so nothing passes.
    DenyListStale,
    /// The proof is not deterministic CBOR of its shape.
    ProofEncoding(CborError),
    /// The DPoP proof is malformed.
    Dpop(DpopError),
    /// The proof of possession of the OAuth draft is malformed.
    ClientAttestationPop(ClientAttestationPopError),
    /// The proof speaks of another result, or is made with another key than the one that is vouched for.
    ProofOfAnotherResult,
    /// The proof's `iat` is outside its window.
    ProofTime,
    /// The proof's `iat` is outside the result's life.
    ProofOutlivesResult,
    /// The route requires a nonce and the proof has none.
    NonceMissing,
    /// The nonce is not one of ours for this resource, or no longer good.
    Nonce(ChallengeError),
    /// The proof's signature does not verify with the result's key.
    ProofSignature,
    /// `aud` is another resource.
    ProofAudience,
    /// `htm` is another method.
    ProofMethod,
    /// `htu` is another URI.
    ProofTarget,
    /// The query hash is missing, superfluous or another.
    ProofQuery,
    /// The body's hash is another, or the route requires one and the proof has none.
    ProofContent,
    /// The route requires the body's hash, and the body is longer than this edge reads.
    ContentTooLarge,
    /// `ath` is missing, superfluous or of another credential.
    ProofCredential,
    /// The app is attested, and none of those that may call this resource.
    AppNotAccepted,
    /// The access token is refused.
    AccessToken(AccessTokenError),
    /// The API key is refused.
    ApiKey(ApiKeyError),
    /// The client certificate is malformed, or refused as a credential.
    ClientCertificate(ClientCertificateError),
    /// The authorization server says that the opaque token is not active: ended, revoked or made up.
    TokenInactive,
    /// The access token has expired or is not yet valid.
    AccessTokenTime,
    /// A token with `cnf.jkt` came as `Bearer`, or one without as `DPoP`.
    SchemeMismatch,
    /// The app's `client_id` maps to no client of the token's issuer, or to another; or the API key is of another app.
    ClientMismatch,
    /// The token is not bound to a key and the route demands it.
    TokenUnbound,
    /// The token is bound to another key.
    TokenOfAnotherInstance,
    /// The token is bound to a client certificate, which was not presented.
    CertificateMissing,
    /// The token is bound to another client certificate than the one that was presented.
    CertificateMismatch,
    /// The bearer token belongs to the instance that used it first.
    TokenUsedElsewhere,
    /// The route demands the instance key for each request, and the session key signed.
    AssuranceTooLow,
    /// The result's tier is worse than the route allows.
    TierTooLow,
    /// The instance key lives where the route does not allow.
    ProtectionTooLow,
    /// Platform evidence is older than the route allows.
    EvidenceTooOld,
    /// A scope is missing.
    ScopeMissing,
    /// The user was authenticated otherwise than the route demands.
    AuthenticationTooWeak,
    /// The user was authenticated longer ago than the route allows.
    AuthenticationTooOld,
    /// The proof was used before.
    Replayed,
    /// The replay set is full: nothing can be said, so nothing passes.
    ReplaySetFull,
    /// The table of first uses is full.
    FirstUsesFull,
    /// The store that edges share did not answer, and the route wants its word.
    StoreUnavailable,
    /// Keys could not be fetched.
    KeysUnavailable,
    /// The authorization server could not be asked about an opaque token.
    IntrospectionUnavailable,
    /// The resource's API keys have not come yet.
    ApiKeysUnavailable,
    /// Randomness for a nonce could not be had.
    RandomnessUnavailable,
}

impl Reason {
    /// The public code of this reason, for a client that proves with `proof`: DPoP has words of its own for what is
    /// wrong with a proof (RFC 9449 sections 5 and 9).
    pub const fn code(self, proof: ProofKind) -> Code {
        match (self.code_of_attestation(), proof) {
            (Code::UseAttestationChallenge, ProofKind::Dpop) => Code::UseDpopNonce,
            (Code::InvalidClientAttestation, ProofKind::Dpop) if self.is_of_proof() => Code::InvalidDpopProof,
            (code, _) => code,
        }
    }

    const fn code_of_attestation(self) -> Code {
        match self {
            Self::Request(_)
            | Self::FieldMalformed
            | Self::AuthorizationMalformed
            | Self::TokenInQuery
            | Self::TwoCredentials
            | Self::TwoFlavours
            | Self::ClientCertificate(ClientCertificateError::Malformed) => Code::InvalidRequest,
            Self::NoRoute => Code::NotFound,
            Self::ContentTooLarge => Code::ContentTooLarge,
            Self::FailureBudget | Self::InstanceBudget | Self::RateLimit(_) | Self::Anomaly(_) => {
                // Not 401: a client that renews its attestation would only come with a fresh key.
                Code::RateLimited
            }
            Self::NoCredential
            | Self::CredentialNotAccepted
            | Self::BasicRefused
            | Self::ClientCertificate(_) => Code::NoCredential,
            Self::NonceMissing | Self::Nonce(_) => Code::UseAttestationChallenge,
            Self::ProofCredential
            | Self::AccessToken(_)
            | Self::ApiKey(_)
            | Self::TokenInactive
            | Self::AccessTokenTime
            | Self::SchemeMismatch
            | Self::ClientMismatch
            | Self::TokenUnbound
            | Self::TokenOfAnotherInstance
            | Self::CertificateMissing
            | Self::CertificateMismatch
            | Self::TokenUsedElsewhere => Code::InvalidToken,
            Self::AssuranceTooLow | Self::TierTooLow | Self::ProtectionTooLow | Self::EvidenceTooOld => {
                Code::UseFreshAttestation
            }
            Self::ScopeMissing => Code::InsufficientScope,
            Self::AuthenticationTooWeak | Self::AuthenticationTooOld => Code::InsufficientUserAuthentication,
            Self::DenyListStale
            | Self::ReplaySetFull
            | Self::FirstUsesFull
            | Self::StoreUnavailable
            | Self::KeysUnavailable
            | Self::IntrospectionUnavailable
            | Self::ApiKeysUnavailable
            | Self::RandomnessUnavailable => Code::Unavailable,
            Self::ProofUnbound
            | Self::NoAttestation
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
            | Self::ProofSignature
            | Self::ProofAudience
            | Self::ProofMethod
            | Self::ProofTarget
            | Self::ProofQuery
            | Self::ProofContent
            | Self::AppNotAccepted
            | Self::Replayed => Code::InvalidClientAttestation,
        }
    }

    /// Whether it is the proof that is wrong, and not the attestation beside it.
    const fn is_of_proof(self) -> bool {
        matches!(
            self,
            Self::Dpop(_)
                | Self::ProofOfAnotherResult
                | Self::ProofTime
                | Self::ProofOutlivesResult
                | Self::ProofSignature
                | Self::ProofMethod
                | Self::ProofTarget
                | Self::ProofQuery
                | Self::ProofContent
                | Self::Replayed
        )
    }

    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Request(error) => error.reason(),
            Self::FieldMalformed => "field_malformed",
            Self::AuthorizationMalformed => "authorization_malformed",
            Self::BasicRefused => "basic_refused",
            Self::TokenInQuery => "token_in_query",
            Self::TwoCredentials => "two_credentials",
            Self::TwoFlavours => "two_flavours",
            Self::ProofUnbound => "proof_unbound",
            Self::NoRoute => "no_route",
            Self::FailureBudget => "failure_budget",
            Self::InstanceBudget => "instance_budget",
            Self::RateLimit(per) => match per {
                Per::Instance => "limit_instance",
                Per::Subject => "limit_subject",
                Per::Address => "limit_address",
                Per::Client => "limit_client",
                Per::Route => "limit_route",
            },
            Self::Anomaly(signal) => signal.reason(),
            Self::NoCredential => "no_credential",
            Self::CredentialNotAccepted => "credential_not_accepted",
            Self::NoAttestation => "no_attestation",
            Self::ResultEncoding(_) => "result_encoding",
            Self::ClientAttestation(error) => error.reason(),
            Self::ResultUnknownIssuer => "result_unknown_issuer",
            Self::ResultUnknownKey => "result_unknown_key",
            Self::ResultSignature => "result_signature",
            Self::ResultExpired => "result_expired",
            Self::ResultFromTheFuture => "result_from_the_future",
            Self::InstanceDenied => "instance_denied",
            Self::SubjectDenied => "subject_denied",
            Self::KeyDenied => "key_denied",
            Self::DenyListStale => "deny_list_stale",
            Self::ProofEncoding(_) => "proof_encoding",
            Self::Dpop(error) => error.reason(),
            Self::ClientAttestationPop(error) => error.reason(),
            Self::ProofOfAnotherResult => "proof_of_another_result",
            Self::ProofTime => "proof_time",
            Self::ProofOutlivesResult => "proof_outlives_result",
            Self::NonceMissing => "nonce_missing",
            Self::Nonce(error) => match error {
                ChallengeError::Malformed => "nonce_malformed",
                ChallengeError::Expired => "nonce_expired",
                ChallengeError::FromTheFuture => "nonce_from_the_future",
                _ => "nonce_unrecognised",
            },
            Self::ProofSignature => "proof_signature",
            Self::ProofAudience => "proof_audience",
            Self::ProofMethod => "proof_method",
            Self::ProofTarget => "proof_target",
            Self::ProofQuery => "proof_query",
            Self::ProofContent => "proof_content",
            Self::ContentTooLarge => "content_too_large",
            Self::ProofCredential => "proof_credential",
            Self::AppNotAccepted => "app_not_accepted",
            Self::AccessToken(error) => error.reason(),
            Self::ApiKey(error) => error.reason(),
            Self::ClientCertificate(error) => error.reason(),
            Self::TokenInactive => "token_inactive",
            Self::AccessTokenTime => "access_token_time",
            Self::SchemeMismatch => "scheme_mismatch",
            Self::ClientMismatch => "client_mismatch",
            Self::TokenUnbound => "token_unbound",
            Self::TokenOfAnotherInstance => "token_of_another_instance",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateMismatch => "certificate_mismatch",
            Self::TokenUsedElsewhere => "token_used_elsewhere",
            Self::AssuranceTooLow => "assurance_too_low",
            Self::TierTooLow => "tier_too_low",
            Self::ProtectionTooLow => "protection_too_low",
            Self::EvidenceTooOld => "evidence_too_old",
            Self::ScopeMissing => "scope_missing",
            Self::AuthenticationTooWeak => "authentication_too_weak",
            Self::AuthenticationTooOld => "authentication_too_old",
            Self::Replayed => "replayed",
            Self::ReplaySetFull => "replay_set_full",
            Self::FirstUsesFull => "first_uses_full",
            Self::StoreUnavailable => "store_unavailable",
            Self::KeysUnavailable => "keys_unavailable",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::ApiKeysUnavailable => "api_keys_unavailable",
            Self::RandomnessUnavailable => "randomness_unavailable",
        }
    }

    /// Whether the refusal counts against the address it came from: what only forgers and broken software send.
    /// Expired tokens, missing scopes and clients that do not attest yet are everyday life behind a shared address.
    pub const fn counts_against_source(self) -> bool {
        matches!(
            self,
            Self::Request(_)
                | Self::FieldMalformed
                | Self::AuthorizationMalformed
                | Self::TokenInQuery
                | Self::TwoCredentials
                | Self::TwoFlavours
                | Self::ResultEncoding(_)
                | Self::ClientAttestation(_)
                | Self::ResultUnknownIssuer
                | Self::ResultUnknownKey
                | Self::ResultSignature
                | Self::InstanceDenied
                | Self::KeyDenied
                | Self::SubjectDenied
                | Self::ProofEncoding(_)
                | Self::Dpop(_)
                | Self::ClientAttestationPop(_)
                | Self::ProofOfAnotherResult
                | Self::ProofSignature
                | Self::ProofAudience
                | Self::ProofMethod
                | Self::ProofTarget
                | Self::ProofQuery
                | Self::ProofContent
                | Self::ProofCredential
                | Self::AccessToken(_)
                | Self::ApiKey(ApiKeyError::Malformed | ApiKeyError::Unknown)
                | Self::TokenOfAnotherInstance
                | Self::CertificateMismatch
                | Self::TokenUsedElsewhere
                | Self::Replayed
        )
    }

    /// Whether the refusal counts against the instance that proved the request to be its own: what nobody else can
    /// bring about with a request of it that he caught, and what no honest app sends.
    pub const fn counts_against_instance(self) -> bool {
        matches!(
            self,
            Self::AccessToken(_)
                | Self::ApiKey(ApiKeyError::Malformed | ApiKeyError::Unknown)
                | Self::TokenOfAnotherInstance
                | Self::TokenUsedElsewhere
        )
    }
}
