//! Evidence on Android: the chain of a throwaway key, and Google's word where the app can ask for it.

use std::sync::Arc;

use futures_util::future::{Either, select};

use crate::error::{EvidenceError, KeyStoreError};
use crate::port::{EvidenceSource, Timer};
use crate::record::{EvidenceRequest, GatheredEvidence};

use super::jvm;
use super::key_store::{failure, throwaway_chain};
use super::worker;

/// How long Google may take. Evidence is gathered one by one, and the whole enrolment waits.
const PATIENCE_MILLIS: u64 = 10_000;
/// Longest token that is taken over, in bytes.
const MAX_TOKEN: usize = 32 * 1024;

/// Play Integrity, as the app asks for it: its own few lines around Google's library.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait PlayIntegrityProvider: Send + Sync {
    /// A token for this `requestHash` (standard request) or `nonce` (classic request), passed on as it is. Whatever is
    /// thrown, and no answer within ten seconds, means no token this time; other evidence goes without it.
    async fn token(&self, request_hash: String) -> Result<String, EvidenceError>;
}

/// Evidence of this phone.
pub struct AndroidEvidence {
    play_integrity: Option<Arc<dyn PlayIntegrityProvider>>,
    timer: Arc<dyn Timer>,
}

impl AndroidEvidence {
    /// Evidence of this phone; Google's word is part of it if there is somebody to ask for it.
    pub fn new(play_integrity: Option<Arc<dyn PlayIntegrityProvider>>, timer: Arc<dyn Timer>) -> Self {
        Self { play_integrity, timer }
    }
}

#[async_trait::async_trait]
impl EvidenceSource for AndroidEvidence {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        Err(EvidenceError::Unsupported)
    }

    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        match request {
            EvidenceRequest::AndroidThrowawayKey { challenge } => {
                let chain = worker::run(
                    move || jvm::with(|java| throwaway_chain(java, &challenge)),
                    // The key is deleted already.
                    drop,
                )
                .await
                .map_err(|fault| of_key_store(failure(&fault)))?;
                match chain.is_empty() {
                    true => Err(EvidenceError::Unsupported),
                    false => Ok(GatheredEvidence::AndroidKey { chain }),
                }
            }
            EvidenceRequest::PlayIntegrity { request_hash } => self.play_integrity_token(request_hash).await,
            _ => Err(EvidenceError::Unsupported),
        }
    }
}

impl AndroidEvidence {
    async fn play_integrity_token(&self, request_hash: String) -> Result<GatheredEvidence, EvidenceError> {
        let provider = self.play_integrity.as_ref().ok_or(EvidenceError::Unsupported)?;
        match select(provider.token(request_hash), self.timer.sleep(PATIENCE_MILLIS)).await {
            Either::Left((Ok(token), _)) if (1..=MAX_TOKEN).contains(&token.len()) => {
                Ok(GatheredEvidence::PlayIntegrity { token })
            }
            Either::Left((Ok(_), _)) => Err(EvidenceError::Other),
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(((), _)) => Err(EvidenceError::ServerUnavailable),
        }
    }
}

fn of_key_store(error: KeyStoreError) -> EvidenceError {
    match error {
        KeyStoreError::Unsupported => EvidenceError::Unsupported,
        // Either passes: the pool of attestation keys is filled again.
        KeyStoreError::Unavailable | KeyStoreError::NoAttestationKeys => EvidenceError::ServerUnavailable,
        KeyStoreError::Lost => EvidenceError::Other,
    }
}
