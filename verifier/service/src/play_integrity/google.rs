//! Google's decode call over HTTP: bounded in time and size, without redirects, with an access token that is kept
//! until shortly before it ends.

use std::time::Duration;

use countersign_verifier::evidence::play_integrity::MAX_DECODE_ANSWER;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::service_account::ServiceAccount;
use super::{DecodeError, Decoding, PlayDecoder, ServiceAccountError};
use crate::clock::Clock;
use crate::settings::WebUrl;

/// Time for one decode call, and for one access token.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Seconds before its end at which an access token is no longer used.
const TOKEN_MARGIN: u64 = 60;
/// Longest life of an access token that is believed, in seconds; Google's live an hour.
const MAX_TOKEN_LIFETIME: u64 = 3600;
/// Longest answer with an access token, in bytes.
const MAX_TOKEN_ANSWER: usize = 16 * 1024;

/// Asks Google with a service account.
pub struct GoogleDecoder {
    client: Client,
    endpoint: String,
    account: ServiceAccount,
    access: Mutex<Option<AccessToken>>,
    clock: Clock,
}

/// An access token, ready for its header field.
struct AccessToken {
    /// Marked as sensitive, so that nothing prints it.
    authorization: HeaderValue,
    use_before: u64,
}

impl GoogleDecoder {
    /// A decoder for the service account in `json`, at `endpoint`.
    ///
    /// # Errors
    /// [`ServiceAccountError`].
    pub fn new(endpoint: &WebUrl, json: &str) -> Result<Self, ServiceAccountError> {
        let account = ServiceAccount::read(json)?;
        // A redirect could lead tokens elsewhere. What is private without TLS is on this machine.
        let both_https = [endpoint, account.token_uri()].iter().all(|url| url.as_str().starts_with("https:"));
        let client = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .https_only(both_https)
            .timeout(TIMEOUT)
            .build()
            .map_err(|_| ServiceAccountError::Tls)?;
        let endpoint = endpoint.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, endpoint, account, access: Mutex::default(), clock: Clock::system() })
    }

    /// Assertions and the life of access tokens by another clock; for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The access token, a new one where the last is about to end. Who waits for it waits for one and the same.
    async fn authorization(&self) -> Result<HeaderValue, DecodeError> {
        let mut access = self.access.lock().await;
        let now = self.clock.now().as_unix_seconds();
        if let Some(token) = access.as_ref().filter(|token| now < token.use_before) {
            return Ok(token.authorization.clone());
        }
        *access = None;
        let fresh = self.new_access_token(now).await?;
        let authorization = fresh.authorization.clone();
        *access = Some(fresh);
        Ok(authorization)
    }

    async fn new_access_token(&self, now: u64) -> Result<AccessToken, DecodeError> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
            expires_in: u64,
            token_type: String,
        }
        let assertion = self.account.assertion(now).ok_or(DecodeError::NotAuthorized)?;
        // Nothing in a JWT needs escaping in a form.
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = self
            .client
            .post(self.account.token_uri().as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let (status, body) = send(request, MAX_TOKEN_ANSWER).await?;
        if status != StatusCode::OK {
            let outage = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if outage {
                DecodeError::Status(status.as_u16())
            } else {
                DecodeError::NotAuthorized
            });
        }
        let body = Zeroizing::new(body);
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| DecodeError::NotAuthorized)?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(DecodeError::NotAuthorized);
        }
        let access_token = Zeroizing::new(answer.access_token);
        let field = Zeroizing::new(format!("Bearer {}", *access_token));
        let mut authorization = HeaderValue::from_str(&field).map_err(|_| DecodeError::NotAuthorized)?;
        authorization.set_sensitive(true);
        let lifetime = answer.expires_in.min(MAX_TOKEN_LIFETIME);
        Ok(AccessToken { authorization, use_before: now + lifetime.saturating_sub(TOKEN_MARGIN) })
    }

    async fn call(&self, package: &str, token: &str) -> Result<Vec<u8>, DecodeError> {
        let url = decode_url(&self.endpoint, package).ok_or(DecodeError::Status(404))?;
        let authorization = self.authorization().await?;
        let body = json!({ "integrityToken": token }).to_string();
        let request = self
            .client
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let (status, body) = send(request, MAX_DECODE_ANSWER).await?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_REQUEST => Err(DecodeError::Rejected),
            StatusCode::UNAUTHORIZED => {
                *self.access.lock().await = None;
                Err(DecodeError::NotAuthorized)
            }
            other => Err(DecodeError::Status(other.as_u16())),
        }
    }
}

impl PlayDecoder for GoogleDecoder {
    fn decode<'a>(&'a self, package: &'a str, token: &'a str) -> Decoding<'a> {
        Box::pin(self.call(package, token))
    }
}

/// `{endpoint}/v1/{package}:decodeIntegrityToken`; None for a package that would be more than one segment of it.
fn decode_url(endpoint: &str, package: &str) -> Option<Url> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
    if package.is_empty() || package.starts_with('.') || !package.bytes().all(plain) {
        return None;
    }
    Url::parse(&format!("{endpoint}/v1/{package}:decodeIntegrityToken")).ok()
}

/// Status and body, which is refused beyond `limit` bytes.
async fn send(request: RequestBuilder, limit: usize) -> Result<(StatusCode, Vec<u8>), DecodeError> {
    let failed = |error: reqwest::Error| {
        if error.is_timeout() { DecodeError::TimedOut } else { DecodeError::Connection }
    };
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > limit {
            return Err(DecodeError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_stays_one_segment_of_the_address() {
        let url = decode_url("https://google.example", "com.example_1.App").unwrap();
        assert_eq!(url.as_str(), "https://google.example/v1/com.example_1.App:decodeIntegrityToken");
        for package in ["", "..", "a/b", "a?b", "a#b", "a%2fb", "a:b", "ä", "a b", "../a"] {
            assert_eq!(decode_url("https://google.example", package), None, "{package}");
        }
    }
}
