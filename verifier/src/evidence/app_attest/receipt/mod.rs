//! Receipts of App Attest: what Apple signs beside an attestation, and signs anew in exchange for the old one,
//! then with a risk metric.
//!
//! A receipt is CMS SignedData over a list of fields. Its chain ends in Apple Root CA - G3, not in the root of
//! attestations. Nothing of an attestation covers the receipt that comes with it, so a receipt is tied to its key
//! by what it says itself: app, attested key and environment.

mod ber;
mod error;
mod payload;
mod signed_data;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use serde::{Serialize, Serializer};
use subtle::ConstantTimeEq;

use self::payload::Payload;
use self::signed_data::SignedData;
use super::AppAttestEnvironment;
use crate::anchors::TrustAnchors;
use crate::crypto::sha256;
use crate::evidence::{AttestedKey, unix_seconds};

pub use self::error::ReceiptError;

/// Longest receipt read, in bytes; genuine ones are below 5 KiB.
pub const MAX_RECEIPT_LENGTH: usize = 16 * 1024;

/// Oldest that a receipt may be when it is first used, in seconds. Apple suggests five minutes; a device that
/// repeats its enrolment sends the same receipt for as long as its challenge lives.
pub const FIRST_USE_WINDOW: u64 = 20 * 60;

/// How far Apple's clock may be ahead of ours, in seconds.
pub const CLOCK_SKEW: u64 = 120;

/// For what a receipt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReceiptType {
    /// `ATTEST`: with the attestation of a new key. It has no risk metric.
    Attest,
    /// `RECEIPT`: in exchange for an earlier receipt.
    Receipt,
}

/// What a receipt has to be for: the key that was attested.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptSubject<'a> {
    /// SHA-256 of the App ID, 32 bytes, as in the attestation.
    pub rp_id_hash: &'a [u8; 32],
    /// The attested key.
    pub public_key: &'a PublicKey,
    /// The environment of the attestation.
    pub environment: AppAttestEnvironment,
}

/// A receipt whose signature, signer, subject and times have been verified. Made only by [`Self::verify`].
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    app_id: String,
    #[serde(rename = "type")]
    receipt_type: ReceiptType,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<AppAttestEnvironment>,
    #[serde(serialize_with = "unix_seconds")]
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_metric: Option<u64>,
    #[serde(serialize_with = "optional_unix_seconds", skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(serialize_with = "unix_seconds")]
    expiration_time: Timestamp,
}

impl Receipt {
    /// Verifies a receipt that is used for the first time: one out of an attestation object
    /// ([`ReceiptType::Attest`]) or one that Apple has just sent ([`ReceiptType::Receipt`]).
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(
        bytes: &[u8],
        receipt_type: ReceiptType,
        subject: ReceiptSubject<'_>,
        anchors: &TrustAnchors,
        now: Timestamp,
    ) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_LENGTH {
            return Err(ReceiptError::TooLong);
        }
        // 1. to 3. The signature verifies, and its chain leads to Apple's root.
        let signed_data = SignedData::decode(bytes)?;
        signed_data.verify(anchors, now)?;

        // 4. The fields.
        let payload = Payload::decode(&signed_data.content)?;
        if payload.receipt_type != receipt_type {
            return Err(ReceiptError::OtherType);
        }

        // 5. The App ID. The client hash is compared by nobody: Apple garbles it when it exchanges a receipt.
        if !bool::from(sha256(payload.app_id.as_bytes()).ct_eq(subject.rp_id_hash)) {
            return Err(ReceiptError::OtherApp);
        }

        // 6. Made lately.
        if payload.creation_time > now.plus(CLOCK_SKEW) {
            return Err(ReceiptError::CreatedInFuture);
        }
        if now.seconds_since(payload.creation_time) > FIRST_USE_WINDOW {
            return Err(ReceiptError::NotFresh);
        }
        if payload.expiration_time <= now {
            return Err(ReceiptError::Expired);
        }

        // 7. The key in the attested certificate is the one that was attested; and the environment is the same.
        if payload.key.as_p256() != Some(subject.public_key) {
            return Err(ReceiptError::OtherKey);
        }
        if payload.environment.is_some_and(|environment| environment != subject.environment) {
            return Err(ReceiptError::OtherEnvironment);
        }
        Ok(Self {
            app_id: payload.app_id,
            receipt_type: payload.receipt_type,
            environment: payload.environment,
            creation_time: payload.creation_time,
            risk_metric: payload.risk_metric,
            not_before: payload.not_before,
            expiration_time: payload.expiration_time,
        })
    }

    /// The App ID, `<team>.<bundle>`.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// For what it was made.
    pub const fn receipt_type(&self) -> ReceiptType {
        self.receipt_type
    }

    /// The environment, which Apple does not document; None if the receipt does not name it.
    pub const fn environment(&self) -> Option<AppAttestEnvironment> {
        self.environment
    }

    /// When it was made.
    pub const fn creation_time(&self) -> Timestamp {
        self.creation_time
    }

    /// About how many keys were attested for this app on this device in the last 30 days; None until the first
    /// exchange. A signal of fraud, no proof.
    pub const fn risk_metric(&self) -> Option<u64> {
        self.risk_metric
    }

    /// From when on Apple exchanges it: the receipt of an attestation at once.
    pub fn exchangeable_from(&self) -> Timestamp {
        self.not_before.unwrap_or(self.creation_time)
    }

    /// When it expires: later Apple does not exchange it any more.
    pub const fn expiration_time(&self) -> Timestamp {
        self.expiration_time
    }
}

impl core::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Receipt")
            .field("type", &self.receipt_type)
            .field("creation_time", &self.creation_time)
            .field("risk_metric", &self.risk_metric)
            .finish_non_exhaustive()
    }
}

/// A receipt as it reads, not authentic: for a person who looks into a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedReceipt {
    /// `ATTEST` or `RECEIPT`.
    #[serde(rename = "type")]
    pub receipt_type: ReceiptType,
    /// The App ID, `<team>.<bundle>`.
    pub app_id: String,
    /// The attested key.
    pub key: AttestedKey,
    /// App Attest's production service or its sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<AppAttestEnvironment>,
    /// What the app handed to `attestKey`; garbled in receipts from an exchange.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub client_hash: Vec<u8>,
    /// Length of the token that is for Apple alone, in bytes.
    pub token_length: usize,
    /// When it was made.
    #[serde(serialize_with = "unix_seconds")]
    pub creation_time: Timestamp,
    /// About how many keys were attested on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_metric: Option<u64>,
    /// From when on it can be exchanged.
    #[serde(serialize_with = "optional_unix_seconds", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When it expires.
    #[serde(serialize_with = "unix_seconds")]
    pub expiration_time: Timestamp,
    /// The certificates in DER, as they stand.
    #[serde(skip)]
    pub certificates: Vec<Vec<u8>>,
}

impl UnverifiedReceipt {
    /// Reads a receipt without verifying anything.
    ///
    /// # Errors
    /// [`ReceiptError`] if it cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_LENGTH {
            return Err(ReceiptError::TooLong);
        }
        let signed_data = SignedData::decode(bytes)?;
        let payload = Payload::decode(&signed_data.content)?;
        Ok(Self {
            receipt_type: payload.receipt_type,
            app_id: payload.app_id,
            key: payload.key,
            environment: payload.environment,
            client_hash: payload.client_hash,
            token_length: payload.token.len(),
            creation_time: payload.creation_time,
            risk_metric: payload.risk_metric,
            not_before: payload.not_before,
            expiration_time: payload.expiration_time,
            certificates: signed_data.certificates.into_iter().map(<[u8]>::to_vec).collect(),
        })
    }
}

fn optional_unix_seconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => unix_seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}
