//! A Google service account: a private key with which it asks for access tokens (RFC 7523 section 2.1).

use std::fmt;

use countersign_core::encoding::base64url;
use countersign_verifier::crypto::RsaSigningKey;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::settings::WebUrl;

/// What access tokens are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/playintegrity";
/// Seconds for which an assertion is good; Google's limit is an hour.
const ASSERTION_LIFETIME: u64 = 600;

/// Why text is no service account key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceAccountError {
    /// Not the JSON of one.
    Json,
    /// `type` is another kind of credential.
    Kind,
    /// `private_key` is no RSA key in PKCS #8.
    PrivateKey,
    /// `token_uri` is not https.
    TokenUri,
    /// The machine's trusted certificates or TLS cannot be used.
    Tls,
}

impl ServiceAccountError {
    /// A stable name for messages.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Json => "service_account_json",
            Self::Kind => "service_account_type",
            Self::PrivateKey => "service_account_private_key",
            Self::TokenUri => "service_account_token_uri",
            Self::Tls => "service_account_tls",
        }
    }
}

/// A service account and its key; the key is never in `Debug`.
pub(super) struct ServiceAccount {
    email: String,
    key_id: String,
    key: RsaSigningKey,
    token_uri: WebUrl,
}

impl ServiceAccount {
    /// Reads the JSON that Google's console gives out.
    pub(super) fn read(json: &str) -> Result<Self, ServiceAccountError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(rename = "type")]
            kind: String,
            client_email: String,
            private_key_id: String,
            private_key: String,
            token_uri: String,
        }
        let file: File = serde_json::from_str(json).map_err(|_| ServiceAccountError::Json)?;
        let private_key = Zeroizing::new(file.private_key);
        if file.kind != "service_account" {
            return Err(ServiceAccountError::Kind);
        }
        let key = RsaSigningKey::from_pkcs8_pem(&private_key).map_err(|_| ServiceAccountError::PrivateKey)?;
        let token_uri = WebUrl::try_from(file.token_uri).map_err(|_| ServiceAccountError::TokenUri)?;
        if !token_uri.is_private() {
            return Err(ServiceAccountError::TokenUri);
        }
        Ok(Self { email: file.client_email, key_id: file.private_key_id, key, token_uri })
    }

    /// Where access tokens come from.
    pub(super) const fn token_uri(&self) -> &WebUrl {
        &self.token_uri
    }

    /// The JWT that is exchanged for an access token; None if the key cannot sign. `now` in seconds since the epoch.
    pub(super) fn assertion(&self, now: u64) -> Option<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri.as_str(),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        });
        let segment = |json: serde_json::Value| base64url(json.to_string().as_bytes());
        let input = format!("{}.{}", segment(header), segment(claims));
        let signature = self.key.sign(input.as_bytes()).ok()?;
        Some(format!("{input}.{}", base64url(&signature)))
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.email)
    }
}
