//! Receipts of App Attest are exchanged for newer ones as they fall due, so that the risk metric is known when an
//! instance renews. Whoever speaks to Apple stands behind a port; who comes back when is kept in the store.

mod apple;
mod schedule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::enrolment::VerifiedEnrolment;
use countersign_verifier::evidence::Claims;
use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use countersign_verifier::evidence::app_attest::receipt::{
    Receipt, ReceiptError, ReceiptSubject, ReceiptType,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use apple::{AppleReceiptExchange, AppleSetupError, Endpoints};

use crate::service::Service;
use crate::store::{KeptReceipt, StoreError};

/// How often due receipts are looked for when none was due.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long nobody is asked after Apple could not answer.
const PAUSE: Duration = Duration::from_secs(60);
/// Most receipts that are looked up at a time.
const BATCH: u32 = 32;
/// Most exchanges at the same time.
const CONCURRENCY: usize = 4;

/// Exchanges receipts: Apple, or in tests somebody who plays Apple.
pub trait ReceiptRefresher: fmt::Debug + Send + Sync {
    /// The receipt that comes in exchange, not verified. Bounded in size and time by whoever implements it.
    fn refresh<'a>(
        &'a self,
        receipt: &'a [u8],
        environment: AppAttestEnvironment,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send + 'a>>;
}

/// Why an exchange brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The receipt is not to be exchanged yet (304).
    TooEarly,
    /// No answer, too many requests, or an error of the other side.
    Unavailable,
    /// The DeviceCheck key was not accepted (401).
    Unauthorised,
    /// The receipt was not accepted.
    Refused(u16),
    /// What came is no receipt for the same key.
    Unusable(ReceiptError),
}

impl Failure {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooEarly => "exchange_too_early",
            Self::Unavailable => "exchange_unavailable",
            Self::Unauthorised => "exchange_unauthorised",
            Self::Refused(_) => "exchange_refused",
            Self::Unusable(error) => error.reason(),
        }
    }

    /// Whether the next receipt would fare no better now.
    const fn concerns_all(self) -> bool {
        matches!(self, Self::Unavailable | Self::Unauthorised)
    }
}

/// The receipt of a new App Attest key, to be kept once its instance has an identifier.
#[derive(Clone, Debug)]
pub(crate) struct NewReceipt(KeptReceipt);

impl NewReceipt {
    /// The receipt in an enrolment's evidence, if it was verified.
    pub(crate) fn of(verified: &VerifiedEnrolment<'_>, now: Timestamp) -> Option<Self> {
        let evidence = verified.evidence()?.primary();
        let Claims::AppAttest(claims) = evidence.claims() else { return None };
        let (Some(Ok(receipt)), Some(bytes)) = (&claims.receipt_verdict, &claims.receipt) else {
            return None;
        };
        Some(Self(KeptReceipt {
            instance: InstanceId::from_bytes([0; 16]),
            key: *evidence.attested_key().as_p256()?,
            rp_id_hash: claims.rp_id_hash,
            environment: claims.environment?,
            bytes: bytes.clone(),
            risk_metric: receipt.risk_metric(),
            created: receipt.creation_time(),
            expires: receipt.expiration_time(),
            due: schedule::after(receipt, now, random()),
            failures: 0,
        }))
    }

    /// It is this instance's.
    pub(crate) fn for_instance(self, instance: InstanceId) -> KeptReceipt {
        KeptReceipt { instance, ..self.0 }
    }
}

/// Exchanges receipts as they fall due, until it is stopped.
pub(crate) async fn keep_fresh(
    service: Arc<Service>,
    refresher: Arc<dyn ReceiptRefresher>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let pause = tokio::select! {
            outcome = exchange_due(&service, &refresher) => match outcome {
                Ok(Round { due, interrupted: false }) if due == BATCH as usize => Duration::ZERO,
                Ok(Round { interrupted: false, .. }) => INTERVAL,
                Ok(Round { interrupted: true, .. }) => PAUSE,
                Err(error) => {
                    service.metrics.store_error(error.reason());
                    tracing::error!(%error, "receipts cannot be kept");
                    PAUSE
                }
            },
            _ = stopped.changed() => return,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// What came of one look at what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// How many receipts were due.
    pub(crate) due: usize,
    /// Whether the round ended early, because the rest would have fared no better.
    pub(crate) interrupted: bool,
}

/// Exchanges what is due, at most a batch.
pub(crate) async fn exchange_due(
    service: &Arc<Service>,
    refresher: &Arc<dyn ReceiptRefresher>,
) -> Result<Round, StoreError> {
    let now = service.clock.now();
    service.store.forget_expired_receipts(now).await?;
    let receipts = service.store.due_receipts(now, BATCH).await?;
    let mut round = Round { due: receipts.len(), interrupted: false };
    let mut waiting = receipts.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < CONCURRENCY && !round.interrupted {
            let Some(receipt) = waiting.next() else { break };
            let (service, refresher) = (Arc::clone(service), Arc::clone(refresher));
            running.spawn(async move { exchange(&service, &*refresher, &receipt).await });
        }
        let Some(outcome) = running.join_next().await else { return Ok(round) };
        // A task that panicked exchanged nothing; its receipt stays due.
        if let Ok(outcome) = outcome {
            round.interrupted |= outcome?.is_err_and(Failure::concerns_all);
        }
    }
}

/// Exchanges one receipt and writes down what came of it.
async fn exchange(
    service: &Service,
    refresher: &dyn ReceiptRefresher,
    kept: &KeptReceipt,
) -> Result<Result<(), Failure>, StoreError> {
    let asked_at = service.clock.now();
    let answer = refresher.refresh(&kept.bytes, kept.environment, asked_at).await;
    let now = service.clock.now();
    let outcome = answer.and_then(|bytes| replacement(kept, bytes, &service.trust.load().anchors, now));
    match outcome {
        Ok(replacement) => {
            service.metrics.receipt_exchange("exchanged");
            service.store.replace_receipt(&replacement).await?;
            Ok(Ok(()))
        }
        Err(failure) => {
            service.metrics.receipt_exchange(failure.reason());
            let failures = kept.failures.saturating_add(1);
            if failure == Failure::TooEarly {
                tracing::debug!(instance = %kept.instance.to_base64url(), "a receipt is not to be exchanged yet");
            } else {
                let (instance, reason) = (kept.instance.to_base64url(), failure.reason());
                tracing::warn!(%instance, reason, failures, "a receipt could not be exchanged");
            }
            let due = schedule::after_failure(failure, failures, now, random());
            service.store.defer_receipt(kept, due, failures).await?;
            Ok(Err(failure))
        }
    }
}

/// What Apple sent in the place of a receipt, verified to be for the same key, app and environment.
fn replacement(
    kept: &KeptReceipt,
    bytes: Vec<u8>,
    anchors: &TrustAnchors,
    now: Timestamp,
) -> Result<KeptReceipt, Failure> {
    let subject =
        ReceiptSubject { rp_id_hash: &kept.rp_id_hash, public_key: &kept.key, environment: kept.environment };
    let receipt =
        Receipt::verify(&bytes, ReceiptType::Receipt, subject, anchors, now).map_err(Failure::Unusable)?;
    Ok(KeptReceipt {
        bytes,
        risk_metric: receipt.risk_metric(),
        created: receipt.creation_time(),
        expires: receipt.expiration_time(),
        due: schedule::after(&receipt, now, random()),
        ..kept.clone()
    })
}

/// Two random bytes; without randomness nothing is spread, which harms nobody but Apple.
fn random() -> u16 {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_or(0, |()| u16::from_be_bytes(bytes))
}
