//! Exchanging receipts with Apple: one POST for each, authorised by a JWT of a DeviceCheck key.
//!
//! Written from Apple's "Assessing fraud risk" and tried against a program that plays Apple; never against Apple.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use countersign_verifier::evidence::app_attest::receipt::{MAX_RECEIPT_LENGTH, ReceiptError};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::{Failure, ReceiptRefresher};
use crate::keys::{KeysError, read_secret};
use crate::settings::AppAttestSettings;

/// Longest answer read, in bytes: a receipt in base64, with some line breaks.
const MAX_ANSWER: usize = MAX_RECEIPT_LENGTH * 3 / 2;
/// Longest time for one exchange.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a JWT is used, in seconds.
const TOKEN_LIFETIME: u64 = 20 * 60;

/// Where receipts are exchanged, by the environment of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For keys of production.
    pub production: String,
    /// For keys of the sandbox.
    pub development: String,
}

impl Default for Endpoints {
    /// Apple's.
    fn default() -> Self {
        Self {
            production: "https://data.appattest.apple.com/v1/attestationData".to_owned(),
            development: "https://data-development.appattest.apple.com/v1/attestationData".to_owned(),
        }
    }
}

/// Exchanges receipts over HTTP.
pub struct AppleReceiptExchange {
    client: Client,
    endpoints: Endpoints,
    key: Box<SigningKey>,
    key_id: String,
    team_id: String,
    token: Mutex<Option<(Timestamp, HeaderValue)>>,
}

/// Why nothing can be exchanged. Displayed as a sentence that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppleSetupError {
    /// The key file.
    File(KeysError),
    /// The key file holds something else.
    NotAKey(PathBuf),
    /// No TLS client can be made.
    Tls,
}

impl AppleReceiptExchange {
    /// An exchange with the key that the settings name.
    ///
    /// # Errors
    /// What is wrong with the key file, as a sentence that says what to do.
    pub fn new(settings: &AppAttestSettings, endpoints: Endpoints) -> Result<Self, AppleSetupError> {
        let key = signing_key(&settings.key_file)?;
        let is_private = |url: &str| url.starts_with("https://");
        let all_private = is_private(&endpoints.production) && is_private(&endpoints.development);
        // A redirect could take receipt and token elsewhere. Plain HTTP is for tests on this machine.
        let client = Client::builder().redirect(Policy::none()).referer(false).timeout(TIMEOUT);
        let client = if all_private { client.https_only(true) } else { client.no_proxy() };
        Ok(Self {
            client: client.build().map_err(|_| AppleSetupError::Tls)?,
            endpoints,
            key,
            key_id: settings.key_id.clone(),
            team_id: settings.team_id.clone(),
            token: Mutex::default(),
        })
    }

    async fn exchange(&self, receipt: &[u8], url: &str, now: Timestamp) -> Result<Vec<u8>, Failure> {
        let token = self.token(now).ok_or(Failure::Unauthorised)?;
        let request = self.client.post(url).header(AUTHORIZATION, token).body(Base64::encode_string(receipt));
        let mut response = request.send().await.map_err(|_| Failure::Unavailable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Err(Failure::TooEarly),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Failure::Unauthorised),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Err(Failure::Unavailable),
            status if status.is_client_error() => return Err(Failure::Refused(status.as_u16())),
            _ => return Err(Failure::Unavailable),
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Unavailable)? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Unusable(ReceiptError::TooLong));
            }
            answer.extend_from_slice(&chunk);
        }
        answer.retain(|byte| !byte.is_ascii_whitespace());
        let text = str::from_utf8(&answer).unwrap_or_default();
        match Base64::decode_vec(text) {
            Ok(receipt) if !receipt.is_empty() => Ok(receipt),
            _ => Err(Failure::Unusable(ReceiptError::MalformedEnvelope)),
        }
    }

    /// The header value of the JWT in use, or of a new one.
    fn token(&self, now: Timestamp) -> Option<HeaderValue> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((issued, value)) = &*token {
            if *issued <= now && now.seconds_since(*issued) < TOKEN_LIFETIME {
                return Some(value.clone());
            }
        }
        let mut value = HeaderValue::from_str(&self.sign(now)?).ok()?;
        value.set_sensitive(true);
        *token = Some((now, value.clone()));
        Some(value)
    }

    /// A JWT signed with ES256 (RFC 7515): key identifier, team and time.
    fn sign(&self, now: Timestamp) -> Option<String> {
        let header = json!({ "alg": "ES256", "kid": self.key_id, "typ": "JWT" });
        let claims = json!({ "iss": self.team_id, "iat": now.as_unix_seconds() });
        let encoded = |value: serde_json::Value| base64url(value.to_string().as_bytes());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature: Signature = self.key.try_sign(message.as_bytes()).ok()?;
        Some(format!("{message}.{}", base64url(&signature.to_bytes())))
    }
}

impl ReceiptRefresher for AppleReceiptExchange {
    fn refresh<'a>(
        &'a self,
        receipt: &'a [u8],
        environment: AppAttestEnvironment,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send + 'a>> {
        let url = match environment {
            AppAttestEnvironment::Development => &self.endpoints.development,
            _ => &self.endpoints.production,
        };
        Box::pin(self.exchange(receipt, url, now))
    }
}

impl fmt::Debug for AppleReceiptExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppleReceiptExchange").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

fn signing_key(path: &Path) -> Result<Box<SigningKey>, AppleSetupError> {
    let pem = read_secret(path).map_err(AppleSetupError::File)?;
    let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| AppleSetupError::NotAKey(path.to_owned()))?;
    Ok(Box::new(key))
}

impl fmt::Display for AppleSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NotAKey(path) => write!(
                f,
                "{} holds no P-256 key in PKCS #8 (PEM); name the .p8 file of a key with DeviceCheck enabled, as \
                 Apple's developer site gave it out",
                path.display()
            ),
            Self::Tls => f.write_str(
                "no TLS client can be made for Apple; are the system's CA certificates installed?",
            ),
        }
    }
}

impl std::error::Error for AppleSetupError {}
