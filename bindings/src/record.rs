//! The values that cross the boundary, and their way into the core's types and back.

use core::fmt;

use countersign_core::attester::{
    self, AttestRequest, Config, EvidenceFailure, Fetch, KeyFailure, KeyHandle, MAX_ANSWER, MadeKey, Now,
    Platform, ProofRequest, Resource, ResultKeys, Settings,
};
use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_core::enrolment::Evidence;
use countersign_core::environment::probe;
use countersign_core::request::Origin;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{Protection, Tier};

use crate::error::CountersignError;
use crate::expected_app::ExpectedApp;

/// What an app configures once.
#[derive(Clone, uniffi::Record)]
pub struct Configuration {
    /// Issuer URL of the attestation service, byte-exact.
    pub issuer: String,
    /// The OAuth `client_id`.
    pub client_id: String,
    /// The APIs to which requests are proven; no other host gets a token.
    pub resources: Vec<ApiResource>,
    /// The app's version.
    pub app_version: String,
    /// Where evidence comes from.
    pub platform: DevicePlatform,
    /// The service's keys, if the app pins them; otherwise they are fetched.
    #[uniffi(default)]
    pub pinned_keys: Option<Vec<PinnedKey>>,
    /// What the app knows of itself, for the signals of the device.
    #[uniffi(default)]
    pub expected_app: Option<ExpectedApp>,
    /// Permits plain HTTP beyond loopback, for emulators.
    #[uniffi(default = false)]
    pub danger_plaintext: bool,
}

/// One API.
#[derive(Clone, uniffi::Record)]
pub struct ApiResource {
    /// `https://host[:port]`.
    pub origin: String,
    /// RFC 9728 resource identifier.
    pub identifier: String,
}

/// Where evidence comes from on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum DevicePlatform {
    /// Android Key Attestation.
    Android {
        /// Whether the app can give Play Integrity tokens.
        play_integrity: bool,
    },
    /// Apple App Attest.
    Apple {
        /// The `appattest-environment` of the build.
        production: bool,
    },
    /// A registered development key; production policies refuse it.
    Development,
}

/// A key of the service that the app brings along.
#[derive(Clone, uniffi::Record)]
pub struct PinnedKey {
    /// The `kid` of the service's JWKS.
    pub key_id: String,
    /// `x` of the Ed25519 JWK: base64url of 32 bytes.
    pub x: String,
}

/// A request that is to be proven, as it will be sent.
#[derive(Clone, uniffi::Record)]
pub struct ApiRequest {
    /// The method, case-sensitive.
    pub method: String,
    /// The absolute URI, with its query and without fragment.
    pub uri: String,
    /// The access token or API key as it stands in the request.
    #[uniffi(default)]
    pub credential: Option<String>,
    /// The body before any content coding, if it is in memory.
    #[uniffi(default)]
    pub content: Option<Vec<u8>>,
    /// What the app itself notices of its environment now, as a set of bits; what the library notices is added.
    #[uniffi(default)]
    pub environment: Option<u64>,
}

/// Prints nothing that could be anybody's secret.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiRequest({})", self.method)
    }
}

/// What proves to an authorization server that the app holds the attested key.
#[derive(Clone, uniffi::Enum)]
pub enum ClientProof {
    /// `OAuth-Client-Attestation-PoP`.
    Pop {
        /// Issuer of the authorization server, byte-exact.
        issuer: String,
        /// Its latest challenge.
        challenge: Option<String>,
    },
    /// `DPoP`: binds the tokens to the instance key, and authenticates by itself in the combined mode.
    Dpop {
        /// URL of the token endpoint.
        endpoint: String,
        /// The server's latest `DPoP-Nonce`.
        nonce: Option<String>,
    },
}

impl ClientProof {
    pub(crate) fn borrowed(&self) -> attester::ClientProof<'_> {
        match self {
            Self::Pop { issuer, challenge } => {
                attester::ClientProof::Pop { issuer, challenge: challenge.as_deref() }
            }
            Self::Dpop { endpoint, nonce } => {
                attester::ClientProof::Dpop { endpoint, nonce: nonce.as_deref() }
            }
        }
    }
}

/// Prints which it is.
impl fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

/// Header fields for one request, good for it only, and once.
#[derive(Clone, uniffi::Record)]
pub struct Proof {
    /// The fields to add.
    pub fields: Vec<HeaderField>,
    /// It is time to call `refresh` in the background; this proof is good all the same.
    pub refresh_due: bool,
}

/// Values pass for the request while they live, and are not printed.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({} fields, refresh due: {})", self.fields.len(), self.refresh_due)
    }
}

/// One header field.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct HeaderField {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: String,
}

impl fmt::Debug for HeaderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderField({})", self.name)
    }
}

/// What matters of an API's answer.
#[derive(Clone, uniffi::Record)]
pub struct ApiAnswer {
    /// The status.
    pub status: u16,
    /// `OAuth-Client-Attestation-Challenge`, if there.
    #[uniffi(default)]
    pub challenge: Option<String>,
    /// Each value of `WWW-Authenticate`.
    #[uniffi(default = [])]
    pub www_authenticate: Vec<String>,
}

/// What to do about an API's answer, at most once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Advice {
    /// Nothing.
    Accept,
    /// Prove anew and send again.
    ProveAgain,
    /// As `ProveAgain`, for idempotent methods only.
    ProveAgainIfIdempotent,
    /// `refresh`, prove anew and send again.
    RefreshAndProveAgain,
    /// Prove with the instance key and send again.
    ProveWithInstanceKey,
}

/// A call to the service.
#[derive(Clone, uniffi::Record)]
pub struct ServiceCall {
    /// POST; otherwise GET.
    pub post: bool,
    /// Absolute URL.
    pub url: String,
    /// Media type of the body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Bytes after which reading the answer stops: a longer one is no answer.
    pub max_answer: u32,
}

/// An answer of the service.
#[derive(Clone, uniffi::Record)]
pub struct ServiceAnswer {
    /// The status.
    pub status: u16,
    /// `Retry-After` in seconds, where given so.
    #[uniffi(default)]
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A new instance key.
#[derive(Clone, uniffi::Record)]
pub struct NewKey {
    /// How the key store finds it again; at most 4096 bytes, no secret.
    pub handle: Vec<u8>,
    /// The uncompressed point: 65 bytes, `04 || X || Y`.
    pub public_key: Vec<u8>,
    /// Where it came to live.
    pub protection: KeyProtection,
    /// Android: its certificate chain in DER, leaf first; empty where the device attests no keys. Else empty.
    pub chain: Vec<Vec<u8>>,
}

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum KeyProtection {
    /// In memory or files.
    Software,
    /// In a trusted execution environment.
    Tee,
    /// In StrongBox.
    Strongbox,
    /// In the Secure Enclave.
    SecureEnclave,
}

/// Evidence to gather. Hashes are 32 bytes, used as they are.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum EvidenceRequest {
    /// `attestKey`; answered by `AppAttest`.
    AppAttest {
        /// The key id, decoded.
        key_id: Vec<u8>,
        /// `clientDataHash`.
        client_data_hash: Vec<u8>,
    },
    /// `generateAssertion`; answered by `AppAttestAssertion`.
    AppAttestAssertion {
        /// The key id, decoded.
        key_id: Vec<u8>,
        /// `clientDataHash`.
        client_data_hash: Vec<u8>,
    },
    /// The chain of a fresh key that is thrown away; answered by `AndroidKey`.
    AndroidThrowawayKey {
        /// `attestationChallenge`.
        challenge: Vec<u8>,
    },
    /// A Play Integrity token; answered by `PlayIntegrity`.
    PlayIntegrity {
        /// `requestHash`: base64url.
        request_hash: String,
    },
    /// A signature by the registered development key; answered by `DevelopmentKey`.
    DevelopmentKey {
        /// What to sign: ECDSA P-256 over SHA-256 of it.
        message: Vec<u8>,
    },
}

/// Evidence as the platform gave it.
#[derive(Clone, uniffi::Enum)]
pub enum GatheredEvidence {
    /// The attestation object.
    AppAttest {
        /// CBOR.
        attestation_object: Vec<u8>,
    },
    /// The assertion.
    AppAttestAssertion {
        /// CBOR.
        assertion: Vec<u8>,
    },
    /// A certificate chain.
    AndroidKey {
        /// DER, leaf first.
        chain: Vec<Vec<u8>>,
    },
    /// A Play Integrity token.
    PlayIntegrity {
        /// The token.
        token: String,
    },
    /// A development key's signature.
    DevelopmentKey {
        /// The registered key.
        key_id: String,
        /// `r || s`, 64 bytes.
        signature: Vec<u8>,
    },
}

/// The public half of a development key, and how it is registered.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct DevelopmentKey {
    /// The identifier to register it under: `dev-` and 16 hexadecimal digits of its thumbprint.
    pub key_id: String,
    /// The uncompressed point, base64url: 87 characters.
    pub public_key: String,
    /// What to type where the service runs.
    pub command: String,
}

/// What is known of this installation; nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Standing {
    /// The client instance, base64url.
    pub instance: Option<String>,
    /// Where the instance key lives; on Android, `Tee` says that no StrongBox was to be had.
    pub protection: Option<KeyProtection>,
    /// Whether the last result is affirming; nothing without one.
    pub affirming: Option<bool>,
    /// When the last result expires, or expired: seconds since the epoch, by the service's clock.
    pub expires_at: Option<u64>,
    /// Why the last attempt failed: a stable name; nothing after a success.
    pub failure: Option<String>,
    /// The service's reference for that, where it gave one.
    pub reference: Option<String>,
    /// Seconds before which nothing is tried again.
    pub retry_after: Option<u64>,
}

impl Configuration {
    /// What the developer expects of the running app.
    ///
    /// # Errors
    /// [`CountersignError::Configuration`] for what is no signing digest.
    pub fn expected(&self) -> Result<probe::ExpectedApp, CountersignError> {
        self.expected_app.clone().unwrap_or_default().checked()
    }

    pub(crate) fn check(self) -> Result<Config, CountersignError> {
        let refused = |reason: &str| CountersignError::Configuration { reason: reason.to_owned() };
        self.expected()?;
        let resources = self.resources.into_iter().map(|resource| {
            let origin = Origin::parse(&resource.origin).map_err(|error| refused(error.reason()))?;
            Ok(Resource { origin, identifier: resource.identifier })
        });
        let pinned = |keys: Vec<PinnedKey>| {
            let keys = keys.into_iter().map(|key| {
                let x = from_base64url_array(&key.x).map_err(|_| refused("config_pinned_keys"))?;
                let public_key = PublicKey::from_ed25519(x).map_err(|error| refused(error.reason()))?;
                Ok((key.key_id, public_key))
            });
            keys.collect::<Result<_, CountersignError>>().map(ResultKeys::Pinned)
        };
        let settings = Settings {
            issuer: self.issuer,
            client_id: self.client_id,
            resources: resources.collect::<Result<_, CountersignError>>()?,
            app_version: self.app_version,
            platform: match self.platform {
                DevicePlatform::Android { play_integrity } => Platform::Android { play_integrity },
                DevicePlatform::Apple { production } => Platform::Apple { production },
                DevicePlatform::Development => Platform::Development,
            },
            result_keys: self.pinned_keys.map_or(Ok(ResultKeys::Fetched), pinned)?,
            danger_plaintext: self.danger_plaintext,
        };
        Ok(Config::new(settings)?)
    }
}

impl ApiRequest {
    pub(crate) fn borrowed(&self) -> ProofRequest<'_> {
        ProofRequest {
            method: &self.method,
            uri: &self.uri,
            credential: self.credential.as_deref(),
            content: self.content.as_deref(),
            nonce: None,
            environment: self.environment,
        }
    }
}

impl Proof {
    pub(crate) fn new(fields: [(&str, &str); 2], refresh_due: bool) -> Self {
        let field =
            |(name, value): (&str, &str)| HeaderField { name: name.to_owned(), value: value.to_owned() };
        Self { fields: fields.into_iter().map(field).collect(), refresh_due }
    }
}

impl From<attester::Advice> for Advice {
    fn from(advice: attester::Advice) -> Self {
        match advice {
            attester::Advice::ProveAgain => Self::ProveAgain,
            attester::Advice::ProveAgainIfIdempotent => Self::ProveAgainIfIdempotent,
            attester::Advice::RenewAndProveAgain => Self::RefreshAndProveAgain,
            attester::Advice::ProveWithInstanceKey => Self::ProveWithInstanceKey,
            _ => Self::Accept,
        }
    }
}

impl From<Fetch> for ServiceCall {
    fn from(call: Fetch) -> Self {
        Self {
            post: call.post,
            url: call.url,
            content_type: call.content_type.map(ToOwned::to_owned),
            body: call.body,
            max_answer: MAX_ANSWER as u32,
        }
    }
}

impl From<ServiceAnswer> for attester::Answer {
    fn from(answer: ServiceAnswer) -> Self {
        Self { status: answer.status, retry_after: answer.retry_after, body: answer.body }
    }
}

impl TryFrom<NewKey> for MadeKey {
    type Error = KeyFailure;

    /// A key store that gives what is no key cannot be used.
    fn try_from(key: NewKey) -> Result<Self, KeyFailure> {
        Ok(Self {
            handle: KeyHandle::new(key.handle).ok_or(KeyFailure::Unsupported)?,
            public_key: PublicKey::from_p256_sec1(&key.public_key).map_err(|_| KeyFailure::Unsupported)?,
            protection: match key.protection {
                KeyProtection::Software => Protection::Software,
                KeyProtection::Tee => Protection::Tee,
                KeyProtection::Strongbox => Protection::Strongbox,
                KeyProtection::SecureEnclave => Protection::SecureEnclave,
            },
            chain: key.chain,
        })
    }
}

impl From<AttestRequest> for EvidenceRequest {
    fn from(request: AttestRequest) -> Self {
        match request {
            AttestRequest::AppAttest { key_id, client_data_hash } => {
                Self::AppAttest { key_id: key_id.to_vec(), client_data_hash: client_data_hash.to_vec() }
            }
            AttestRequest::AppAttestAssertion { key_id, client_data_hash } => Self::AppAttestAssertion {
                key_id: key_id.to_vec(),
                client_data_hash: client_data_hash.to_vec(),
            },
            AttestRequest::AndroidThrowawayKey { challenge } => {
                Self::AndroidThrowawayKey { challenge: challenge.to_vec() }
            }
            AttestRequest::PlayIntegrity { request_hash } => {
                Self::PlayIntegrity { request_hash: base64url(&request_hash) }
            }
            AttestRequest::DevelopmentKey { message } => Self::DevelopmentKey { message: message.to_vec() },
        }
    }
}

impl GatheredEvidence {
    /// The evidence for the wire, beside the request that it answers.
    pub(crate) fn answering(self, request: AttestRequest) -> Result<Evidence, EvidenceFailure> {
        Ok(match (self, request) {
            (Self::AppAttest { attestation_object }, AttestRequest::AppAttest { key_id, .. }) => {
                Evidence::AppAttest { attestation_object, key_id }
            }
            (Self::AppAttestAssertion { assertion }, _) => Evidence::AppAttestAssertion { assertion },
            (Self::AndroidKey { chain }, _) => Evidence::AndroidKey { chain },
            (Self::PlayIntegrity { token }, _) => Evidence::PlayIntegrity { token },
            (Self::DevelopmentKey { key_id, signature }, _) => Evidence::DevelopmentKey {
                key_id,
                signature: signature.try_into().map_err(|_| EvidenceFailure::Other)?,
            },
            (Self::AppAttest { .. }, _) => return Err(EvidenceFailure::Other),
        })
    }
}

impl Standing {
    pub(crate) fn new(standing: attester::Standing, now: Now) -> Self {
        let pause = standing.retry_at.map(|until| until.saturating_sub(now.uptime));
        Self {
            instance: standing.instance.map(|instance| instance.to_base64url()),
            protection: standing.protection.map(|protection| match protection {
                Protection::Software => KeyProtection::Software,
                Protection::Tee => KeyProtection::Tee,
                Protection::Strongbox => KeyProtection::Strongbox,
                Protection::SecureEnclave => KeyProtection::SecureEnclave,
            }),
            affirming: standing.tier.map(|tier| tier == Tier::Affirming),
            expires_at: standing.expires_at.map(|time| time.as_unix_seconds()),
            failure: standing.failure.map(|failure| failure.reason().to_owned()),
            reference: standing.failure.and_then(|failure| Some(failure.reference()?.to_string())),
            retry_after: pause
                .map(|pause| pause.as_millis().div_ceil(1_000))
                .and_then(|left| u64::try_from(left).ok()),
        }
    }
}
