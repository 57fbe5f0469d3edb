//! A virtual Google Play: makes Play Integrity tokens of the genuine form under keys of its own, and decodes those of
//! standard requests as Google's server does.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    key_wrap::{AES_256, AesKek, KeyWrap},
};
use countersign_core::time::Timestamp;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::{Value, json};

use crate::{certificate::p256_public_key_info, hostile::PlayIntegrityAttack, seed::Seed};

pub(crate) use countersign_core::encoding::base64url;

/// The server of Google Play for one app: with the console's keys for classic tokens, and a key of its own for
/// standard ones.
#[derive(Clone)]
pub struct VirtualPlay {
    seed: Seed,
    app: App,
    decryption_key: [u8; 32],
    own_key: [u8; 32],
    signing_key: SigningKey,
    verdicts: Value,
    attack: Option<PlayIntegrityAttack>,
}

/// How an app asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayRequest {
    /// With a nonce; the console's keys open the token.
    Classic,
    /// With a request hash; only Google opens the token.
    Standard,
}

#[derive(Clone)]
struct App {
    package: String,
    signing_digest: [u8; 32],
    version_code: u64,
}

/// The parts of a token before they are encoded.
pub(crate) struct TokenParts {
    pub(crate) header: String,
    pub(crate) encrypted_key: Vec<u8>,
    pub(crate) vector: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

impl VirtualPlay {
    /// Google Play that finds nothing to object to.
    pub fn from_seed(seed: &Seed) -> Self {
        let seed = seed.child("play integrity");
        Self {
            app: App {
                package: "com.example.app".to_owned(),
                signing_digest: Seed::from_text("com.example.app").bytes("signing certificate"),
                version_code: 1,
            },
            decryption_key: seed.bytes("decryption key"),
            own_key: seed.bytes("key for standard tokens"),
            signing_key: seed.p256_key("signing key"),
            verdicts: json!({
                "deviceIntegrity": {
                    "deviceRecognitionVerdict":
                        ["MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"],
                    "deviceAttributes": {"sdkVersion": 36},
                    "recentDeviceActivity": {"deviceActivityLevel": "LEVEL_1"},
                },
                "accountDetails": {"appLicensingVerdict": "LICENSED"},
                "environmentDetails": {
                    "playProtectVerdict": "NO_ISSUES",
                    "appAccessRiskVerdict": {"appsDetected": ["KNOWN_INSTALLED"]},
                },
            }),
            attack: None,
            seed,
        }
    }

    /// The app: package name, version code, and SHA-256 of its signing certificate.
    #[must_use]
    pub fn app(mut self, package: &str, version_code: u64, signing_digest: [u8; 32]) -> Self {
        self.app = App { package: package.to_owned(), signing_digest, version_code };
        self
    }

    /// Puts a member of the payload in the place of what it was: `deviceIntegrity`, `accountDetails`, ….
    #[must_use]
    pub fn saying(mut self, member: &str, value: Value) -> Self {
        self.verdicts[member] = value;
        self
    }

    /// From now on tokens lie in this way.
    #[must_use]
    pub const fn attack(mut self, attack: PlayIntegrityAttack) -> Self {
        self.attack = Some(attack);
        self
    }

    /// The package of the app.
    pub fn package(&self) -> &str {
        &self.app.package
    }

    /// The decryption key that the console shows: AES, 32 bytes.
    pub const fn decryption_key(&self) -> &[u8; 32] {
        &self.decryption_key
    }

    /// The verification key that the console shows: DER SubjectPublicKeyInfo of a P-256 key.
    pub fn verification_key(&self) -> Vec<u8> {
        p256_public_key_info(&self.signing_key.verifying_key().to_sec1_bytes())
    }

    /// The token of a classic request whose nonce is the base64url of `binding_hash`. It opens with the console's
    /// keys, and by [`Self::decode`].
    pub fn classic_token(&self, binding_hash: &[u8], now: Timestamp) -> String {
        self.token("nonce", binding_hash, now, &self.decryption_key)
    }

    /// The token of a standard request whose request hash is the base64url of `binding_hash`. Only
    /// [`Self::decode`] opens it.
    pub fn standard_token(&self, binding_hash: &[u8], now: Timestamp) -> String {
        self.token("requestHash", binding_hash, now, &self.own_key)
    }

    /// What the decode call answers: JSON with `tokenPayloadExternal`. None for a token that is not of this app,
    /// which Google answers with status 400.
    pub fn decode(&self, token: &str) -> Option<String> {
        let signed = open(token, &self.own_key).or_else(|| open(token, &self.decryption_key))?;
        let payload = signed.split('.').nth(1)?;
        let payload = countersign_core::encoding::from_base64url(payload).ok()?;
        // As text, so that what is wrong with the JSON stays wrong.
        Some(format!("{{\"tokenPayloadExternal\":{}}}", String::from_utf8(payload).ok()?))
    }

    fn payload(&self, binding: &str, binding_hash: &[u8], now: Timestamp) -> Value {
        let mut payload = self.verdicts.clone();
        payload["requestDetails"] = json!({
            "requestPackageName": self.app.package,
            "timestampMillis": (now.as_unix_seconds() * 1000).to_string(),
            binding: base64url(binding_hash),
        });
        if payload["appIntegrity"].is_null() {
            payload["appIntegrity"] = json!({
                "appRecognitionVerdict": "PLAY_RECOGNIZED",
                "packageName": self.app.package,
                "certificateSha256Digest": [base64url(&self.app.signing_digest)],
                "versionCode": self.app.version_code.to_string(),
            });
        }
        payload
    }

    fn token(&self, binding: &str, binding_hash: &[u8], now: Timestamp, wrapping_key: &[u8; 32]) -> String {
        let mut payload = self.payload(binding, binding_hash, now);
        if let Some(attack) = self.attack {
            attack.payload(&mut payload);
        }
        let json = payload.to_string();
        let json = self.attack.map_or(json.clone(), |attack| attack.json(json));
        let signed = self.sign(&json);
        let header = self.attack.map_or(r#"{"alg":"A256KW","enc":"A256GCM"}"#, |a| a.encryption_header());
        let wrapping_key = match self.attack {
            Some(PlayIntegrityAttack::OtherWrappingKey) => self.seed.bytes("another wrapping key"),
            _ => *wrapping_key,
        };
        let mut parts = self.encrypt(header, signed.as_bytes(), &wrapping_key);
        if let Some(attack) = self.attack {
            attack.parts(&mut parts);
        }
        let token = parts.encode();
        self.attack.map_or(token.clone(), |attack| attack.text(token, &signed))
    }

    fn sign(&self, json: &str) -> String {
        let header = self.attack.map_or(r#"{"alg":"ES256"}"#, |attack| attack.signed_header());
        let input = format!("{}.{}", base64url(header.as_bytes()), base64url(json.as_bytes()));
        let other = || self.seed.p256_key("another signing key");
        let signature: Signature = match self.attack {
            Some(PlayIntegrityAttack::OtherSigner | PlayIntegrityAttack::EmbeddedKey) => {
                other().sign(input.as_bytes())
            }
            _ => self.signing_key.sign(input.as_bytes()),
        };
        let bytes = signature.to_bytes().to_vec();
        let der = signature.to_der().as_bytes().to_vec();
        let bytes = self.attack.map_or(bytes.clone(), |attack| attack.signature(bytes, der));
        format!("{input}.{}", base64url(&bytes))
    }

    fn encrypt(&self, header: &str, plaintext: &[u8], wrapping_key: &[u8; 32]) -> TokenParts {
        let seed = self.seed.child(&base64url(plaintext));
        let content_key: [u8; 32] = match self.attack {
            Some(PlayIntegrityAttack::Direct | PlayIntegrityAttack::DirectWithKey) => *wrapping_key,
            _ => seed.bytes("content key"),
        };
        let vector: [u8; 12] = seed.bytes("initialization vector");
        let mut encrypted_key = vec![0; 40];
        let kek = AesKek::new(&AES_256, wrapping_key).expect("the key has 32 bytes");
        kek.wrap(&content_key, &mut encrypted_key).expect("the place has 8 bytes more than the key");
        let key = UnboundKey::new(&AES_256_GCM, &content_key).map(LessSafeKey::new);
        let mut ciphertext = plaintext.to_vec();
        let tag = key
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(vector);
                let header = Aad::from(base64url(header.as_bytes()).into_bytes());
                key.seal_in_place_separate_tag(nonce, header, &mut ciphertext)
            })
            .expect("the key has 32 bytes and the plaintext is short");
        TokenParts {
            header: header.to_owned(),
            encrypted_key,
            vector: vector.to_vec(),
            ciphertext,
            tag: tag.as_ref().to_vec(),
        }
    }
}

impl fmt::Debug for VirtualPlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualPlay({})", self.app.package)
    }
}

impl TokenParts {
    fn encode(&self) -> String {
        let parts = [self.header.as_bytes(), &self.encrypted_key, &self.vector, &self.ciphertext, &self.tag];
        parts.map(base64url).join(".")
    }
}

/// What a token encrypts, if it was wrapped with `key`.
fn open(token: &str, key: &[u8; 32]) -> Option<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, rest @ ..] = parts.as_slice() else { return None };
    let rest: Vec<Vec<u8>> = rest
        .iter()
        .map(|part| countersign_core::encoding::from_base64url(part).ok())
        .collect::<Option<_>>()?;
    let [encrypted_key, vector, ciphertext, tag] = rest.as_slice() else { return None };
    let mut content_key = vec![0; encrypted_key.len().checked_sub(8)?];
    let content_key = AesKek::new(&AES_256, key).ok()?.unwrap(encrypted_key, &mut content_key).ok()?;
    let nonce = Nonce::try_assume_unique_for_key(vector).ok()?;
    let mut plaintext = ciphertext.clone();
    let key = UnboundKey::new(&AES_256_GCM, content_key).map(LessSafeKey::new).ok()?;
    key.open_in_place_separate_tag(nonce, Aad::from(header.as_bytes()), tag, &mut plaintext).ok()?;
    String::from_utf8(plaintext).ok()
}
