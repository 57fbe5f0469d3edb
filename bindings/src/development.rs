//! Keys in files, for hosts, emulators and simulators: an instance key of software, and a development key that
//! vouches for it once a developer has registered it. Production policies refuse both.

use std::path::Path;

use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use zeroize::Zeroizing;

use countersign_core::encoding::base64url;
use countersign_core::token::keys::PublicKey;

use crate::error::{EvidenceError, KeyStoreError};
use crate::port::{EvidenceSource, InstanceKeys};
use crate::private_folder::PrivateFolder;
use crate::record::{DevelopmentKey, EvidenceRequest, GatheredEvidence, KeyProtection, NewKey};

const DEVELOPMENT_KEY: &str = "development.key";
const DEVELOPMENT_LOCK: &str = "development.lock";
const SECRET_LENGTH: usize = 32;
/// Bytes of a handle: hexadecimal digits.
const HANDLE_LENGTH: usize = 16;

/// The keys of a development installation: files of mode 0600 in the folder `countersign` within one that the app names.
#[derive(Clone, Debug)]
pub struct DevelopmentKeys {
    folder: PrivateFolder,
}

impl DevelopmentKeys {
    /// Touches nothing yet.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self { folder: PrivateFolder::within(folder) }
    }

    /// The development key, made when it is first asked for and the same ever after, as it is to be registered for the
    /// app `client_id`.
    ///
    /// # Errors
    /// [`EvidenceError::Other`] if the file cannot be read or written.
    pub fn development_key(&self, client_id: &str) -> Result<DevelopmentKey, EvidenceError> {
        let key = self.vouching_key()?;
        let (key_id, public_key) = (key_id(&key)?, base64url(&point(&key)));
        // Single quotes keep a shell from reading anything into the client id; they cannot be in one that registers.
        let command = format!(
            "countersign development-keys add {key_id} --public-key {public_key} --client '{}' --expires 90d",
            client_id.replace('\'', "")
        );
        Ok(DevelopmentKey { key_id, public_key, command })
    }

    fn vouching_key(&self) -> Result<SigningKey, EvidenceError> {
        // Processes that come at the same time get the same key. One that keeps the lock keeps nobody from the key that
        // is there.
        let locked = self.folder.lock(DEVELOPMENT_LOCK);
        if let Some(key) = self.read(DEVELOPMENT_KEY).map_err(|_| EvidenceError::Other)? {
            return Ok(key);
        }
        let _locked = locked.map_err(|_| EvidenceError::Other)?;
        self.make_key(DEVELOPMENT_KEY).map_err(|_| EvidenceError::Other)
    }

    /// Reads a key; nothing if there is none, or what is there is none.
    fn read(&self, name: &str) -> Result<Option<SigningKey>, KeyStoreError> {
        let read = self.folder.read(name, SECRET_LENGTH).map_err(|_| KeyStoreError::Unavailable)?;
        Ok(read.and_then(|secret| SigningKey::from_slice(&secret).ok()))
    }

    fn make_key(&self, name: &str) -> Result<SigningKey, KeyStoreError> {
        let (key, secret) = random_key()?;
        self.folder.replace(name, secret.as_ref()).map_err(|_| KeyStoreError::Unavailable)?;
        Ok(key)
    }
}

#[async_trait::async_trait]
impl InstanceKeys for DevelopmentKeys {
    async fn make(&self, _challenge: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError> {
        let mut number = [0; HANDLE_LENGTH / 2];
        getrandom::fill(&mut number).map_err(|_| KeyStoreError::Unavailable)?;
        let handle = format!("{:016x}", u64::from_ne_bytes(number));
        let key = self.make_key(&file_of(&handle))?;
        Ok(NewKey {
            handle: handle.into_bytes(),
            public_key: point(&key),
            protection: KeyProtection::Software,
            chain: Vec::new(),
        })
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        let key = self.read(&file_of(name(&handle)?))?.ok_or(KeyStoreError::Lost)?;
        Ok(signature(&key, &message))
    }

    async fn delete(&self, handle: Vec<u8>) {
        if let Ok(name) = name(&handle) {
            // One that cannot be deleted lies there unused.
            drop(self.folder.remove(&file_of(name)));
        }
    }
}

#[async_trait::async_trait]
impl EvidenceSource for DevelopmentKeys {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        Err(EvidenceError::Unsupported)
    }

    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        let EvidenceRequest::DevelopmentKey { message } = request else {
            return Err(EvidenceError::Unsupported);
        };
        let key = self.vouching_key()?;
        Ok(GatheredEvidence::DevelopmentKey { key_id: key_id(&key)?, signature: signature(&key, &message) })
    }
}

/// `dev-` and the first eight bytes of the RFC 7638 thumbprint: the same key is never registered under two names.
fn key_id(key: &SigningKey) -> Result<String, EvidenceError> {
    let public_key = PublicKey::from_p256_sec1(&point(key)).map_err(|_| EvidenceError::Other)?;
    let [a, b, c, d, e, f, g, h, ..] = *public_key.thumbprint().as_bytes();
    Ok(format!("dev-{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h])))
}

fn point(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

/// `r || s`.
fn signature(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

fn random_key() -> Result<(SigningKey, Zeroizing<[u8; SECRET_LENGTH]>), KeyStoreError> {
    let mut secret = Zeroizing::new([0; SECRET_LENGTH]);
    // All but one in four thousand million are below the order of the group.
    for _ in 0..8 {
        getrandom::fill(secret.as_mut()).map_err(|_| KeyStoreError::Unavailable)?;
        if let Ok(key) = SigningKey::from_slice(secret.as_ref()) {
            return Ok((key, secret));
        }
    }
    Err(KeyStoreError::Unavailable)
}

/// A handle as this key store gives them: nothing else may become part of a path.
fn name(handle: &[u8]) -> Result<&str, KeyStoreError> {
    let text = core::str::from_utf8(handle).map_err(|_| KeyStoreError::Lost)?;
    let is_ours = text.len() == HANDLE_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_ours { Ok(text) } else { Err(KeyStoreError::Lost) }
}

fn file_of(name: &str) -> String {
    format!("instance-{name}.key")
}
