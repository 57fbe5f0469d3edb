//! What is wrong with the parts that a runtime is made of.

use std::path::PathBuf;

use countersign_verifier::check::trust::KeyOwner;

use crate::api_keys::ApiKeyFileError;
use crate::client_secret::ClientSecretError;
use crate::runtime::issuer;
#[cfg(feature = "redis")]
use crate::shared_store::StoreAddressError;
use crate::source::SourceError;

/// Why a runtime cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The edge trusts an issuer, and nobody said where its keys are.
    NoSource(KeyOwner),
    /// A source names an issuer that the edge does not trust.
    NotTrusted(KeyOwner),
    /// A source cannot be used.
    Source(KeyOwner, SourceError),
    /// The deny list's issuer is not an attestation service that the edge trusts.
    DenyListIssuer(String),
    /// The deny list's URL cannot be used.
    DenyListUrl(SourceError),
    /// Introspection is given for a resource that is not there, or takes no opaque tokens.
    NoOpaqueTokensWanted(String),
    /// The introspection endpoint of a resource cannot be used.
    Introspection(String, SourceError),
    /// The client secret in a file cannot be used.
    ClientSecret(PathBuf, ClientSecretError),
    /// A file of API keys is given for a resource that is not there, or takes none.
    NoApiKeysWanted(String),
    /// The file of a resource's API keys cannot be used.
    ApiKeys(PathBuf, ApiKeyFileError),
    /// A client certificate cannot be listed: why, as a sentence.
    ClientCertificate(String),
    /// The address of the shared store cannot be used.
    #[cfg(feature = "redis")]
    SharedStore(StoreAddressError),
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSource(owner) => write!(f, "no key set is given for {}", issuer(owner)),
            Self::NotTrusted(owner) => {
                write!(f, "a key set is given for {}, which is not trusted", issuer(owner))
            }
            Self::Source(owner, error) => {
                write!(f, "the key set URL of {} cannot be used: {error}", issuer(owner))
            }
            Self::DenyListIssuer(issuer) => {
                write!(f, "the deny list's issuer {issuer} is not one of the attestation services")
            }
            Self::DenyListUrl(error) => write!(f, "the deny list's URL cannot be used: {error}"),
            Self::NoOpaqueTokensWanted(resource) => {
                write!(f, "introspection is given for the resource {resource}, which takes no opaque tokens")
            }
            Self::Introspection(resource, error) => {
                write!(f, "the introspection endpoint of {resource} cannot be used: {error}")
            }
            Self::ClientSecret(path, error) => {
                write!(f, "the client secret in {} cannot be used: {error}", path.display())
            }
            Self::NoApiKeysWanted(resource) => {
                write!(
                    f,
                    "API keys are given for the resource {resource}, none of whose routes asks for them"
                )
            }
            #[cfg(feature = "redis")]
            Self::SharedStore(error) => write!(f, "the shared store's address cannot be used: {error}"),
            Self::ClientCertificate(why) => write!(f, "the list of client certificates is wrong: {why}"),
            Self::ApiKeys(path, error) => {
                write!(f, "the API keys in {} cannot be used: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for SetupError {}
