//! The service's own keys: those that sign results and JWTs, and those that recognise challenges and nonces.
//!
//! They are made with the system's randomness at the first start and kept as private JWK Sets (RFC 7517) in two
//! files of mode 0600: `service.jwks`, and `edge.jwks` for the nonce key that the edges of one replay domain share.
//! Each kind has a current key, a signing key also the next one, published before it signs, and previous ones until
//! their last value has expired.

pub(crate) mod files;
mod key_set;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use countersign_core::challenge::MacKeyRing;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{Algorithm, PublicKey, SIGNATURE_LENGTH};
use countersign_verifier::issue::{Signer, SigningFailed};
use ed25519_dalek::Signer as _;
use zeroize::Zeroizing;

use key_set::{EDGE_KINDS, KeySet, Kind, SERVICE_KINDS};

/// How long a previous key stays: nothing that it signed or tagged lives longer. Seconds.
pub const PREVIOUS_KEY_LIFETIME: u64 = 86_400;

const SERVICE_FILE: &str = "service.jwks";
const EDGE_FILE: &str = "edge.jwks";

/// All keys of the service.
#[derive(Debug)]
pub struct ServiceKeys {
    /// Sign results: Ed25519.
    pub results: SigningKeys,
    /// Sign JWTs: P-256.
    pub jwts: SigningKeys,
    /// Recognise challenges of the service.
    pub challenges: MacKeyRing,
    /// Recognise nonces of the edge.
    pub nonces: MacKeyRing,
}

/// The signing keys of one algorithm.
#[derive(Debug)]
pub struct SigningKeys {
    current: SigningKey,
    others: Vec<SigningKey>,
}

/// A private signing key with its key id; erased from memory when dropped.
pub struct SigningKey {
    id: String,
    public: PublicKey,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

/// Why the keys cannot be used. Displayed as a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysError {
    /// Another user may read or replace a file or the directory.
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file is missing although the service had keys before.
    Missing(PathBuf),
    /// A file is not what this service writes.
    Malformed(PathBuf),
    /// The system refused to read or write.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        kind: io::ErrorKind,
    },
    /// The system gave no randomness.
    NoRandomness,
}

/// Writes a file of mode 0600 in one step: a crash leaves the old one or the new one.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), KeysError> {
    files::write(path, text)
}

/// The text of a secret file that somebody else wrote.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    let absent = || KeysError::Io { path: path.to_owned(), kind: io::ErrorKind::NotFound };
    files::read(path)?.ok_or_else(absent)
}

/// The keys of an edge that runs apart from the service: those that recognise its nonces. A file in the form of the
/// service's `edge.jwks`, mode 0600; made if there is none, in a directory that is made with mode 0700.
///
/// # Errors
/// What is wrong with the file, as a sentence that says what to do.
pub(crate) fn nonce_keys(path: &Path, now: Timestamp) -> Result<MacKeyRing, KeysError> {
    let malformed = || KeysError::Malformed(path.to_owned());
    let set = match files::read(path)? {
        Some(text) => KeySet::from_json(&text).ok_or_else(malformed)?,
        None => {
            if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                files::private_directory(directory)?;
            }
            let set = KeySet::new(EDGE_KINDS, now)?;
            files::write(path, &set.to_json())?;
            set
        }
    };
    set.mac_keys(Kind::Nonce, now).ok_or_else(malformed)
}

impl ServiceKeys {
    /// Opens the keys in `directory`. Makes them if there are none, unless `had_keys` says that there were: then
    /// their loss is an error, because new ones would silently disown every result.
    ///
    /// # Errors
    /// What is wrong with the files, as a sentence that says what to do.
    pub fn open(directory: &Path, had_keys: bool, now: Timestamp) -> Result<Self, KeysError> {
        files::private_directory(directory)?;
        let mut sets = Vec::new();
        for (name, kinds) in [(SERVICE_FILE, SERVICE_KINDS), (EDGE_FILE, EDGE_KINDS)] {
            let path = directory.join(name);
            let set = match files::read(&path)? {
                Some(text) => KeySet::from_json(&text).ok_or_else(|| KeysError::Malformed(path.clone()))?,
                None if had_keys => return Err(KeysError::Missing(path)),
                None => {
                    let set = KeySet::new(kinds, now)?;
                    files::write(&path, &set.to_json())?;
                    set
                }
            };
            sets.push((path, set));
        }
        let ring = |index: usize, kind| {
            let (path, set): &(PathBuf, KeySet) = sets.get(index).expect("both sets were read");
            (set, kind, path)
        };
        let signing = |(set, kind, path): (&KeySet, Kind, &PathBuf)| {
            set.signing_keys(kind, now).ok_or_else(|| KeysError::Malformed(path.clone()))
        };
        let mac = |(set, kind, path): (&KeySet, Kind, &PathBuf)| {
            set.mac_keys(kind, now).ok_or_else(|| KeysError::Malformed(path.clone()))
        };
        Ok(Self {
            results: signing(ring(0, Kind::Result))?,
            jwts: signing(ring(0, Kind::Jwt))?,
            challenges: mac(ring(0, Kind::Challenge))?,
            nonces: mac(ring(1, Kind::Nonce))?,
        })
    }

    /// Makes the next keys current and new ones next, in the files. A running service uses them after a restart.
    ///
    /// # Errors
    /// As [`ServiceKeys::open`]; the files are then as they were.
    pub fn rotate(directory: &Path, now: Timestamp) -> Result<(), KeysError> {
        files::private_directory(directory)?;
        for (name, kinds) in [(SERVICE_FILE, SERVICE_KINDS), (EDGE_FILE, EDGE_KINDS)] {
            let path = directory.join(name);
            let text = files::read(&path)?.ok_or_else(|| KeysError::Missing(path.clone()))?;
            let mut set = KeySet::from_json(&text).ok_or_else(|| KeysError::Malformed(path.clone()))?;
            set.rotate(kinds, now)?;
            files::write(&path, &set.to_json())?;
        }
        Ok(())
    }

    /// The public JWK Set: current, next and previous keys of both algorithms.
    pub fn public_jwks(&self) -> serde_json::Value {
        let keys = [&self.results, &self.jwts].into_iter().flat_map(SigningKeys::all);
        countersign_verifier::issue::jwks(keys.map(|key| (key.id.as_str(), &key.public)))
    }
}

impl SigningKeys {
    /// The key that signs.
    pub const fn current(&self) -> &SigningKey {
        &self.current
    }

    /// Every key whose signatures may be met: the current one first.
    pub fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl SigningKey {
    fn from_secret(algorithm: Algorithm, secret: &[u8; 32]) -> Option<Self> {
        let (public, secret) = match algorithm {
            Algorithm::Ed25519 => {
                let key = ed25519_dalek::SigningKey::from_bytes(secret);
                let public = PublicKey::from_ed25519(key.verifying_key().to_bytes()).ok()?;
                (public, Secret::Ed25519(Box::new(key)))
            }
            Algorithm::Esp256 => {
                let key = p256::ecdsa::SigningKey::from_slice(secret).ok()?;
                let point = key.verifying_key().to_sec1_point(false);
                (PublicKey::from_p256_sec1(point.as_bytes()).ok()?, Secret::P256(Box::new(key)))
            }
        };
        let id = public.thumbprint().to_base64url().get(..8)?.to_owned();
        Some(Self { id, public, secret })
    }
}

impl Signer for SigningKey {
    fn key_id(&self) -> &str {
        &self.id
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// ECDSA nonces are deterministic (RFC 6979).
    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH], SigningFailed> {
        match &self.secret {
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes()),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(|_| SigningFailed)?;
                Ok(signature.to_bytes().into())
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path, mode } => {
                let wanted = if path.is_dir() { "700" } else { "600" };
                write!(
                    f,
                    "{0} has mode {mode:o}, so other users can get at the keys; run `chmod {wanted} {0}`, and rotate \
                     the keys if somebody may have read them",
                    path.display()
                )
            }
            Self::Missing(path) => write!(
                f,
                "the key file {0} is missing, although this service had keys before; restore it from a backup, or \
                 run `countersign keys new` to start with new keys, which disowns everything the lost ones signed",
                path.display()
            ),
            Self::Malformed(path) => write!(
                f,
                "the key file {} is damaged or was not written by this program; restore it from a backup",
                path.display()
            ),
            Self::Io { path, kind } => match kind {
                io::ErrorKind::StorageFull => {
                    write!(
                        f,
                        "the disk is full, {} cannot be written; make room and start again",
                        path.display()
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "{} may not be read or written by this user; check its owner", path.display())
                }
                kind => write!(f, "{} cannot be read or written: {kind}", path.display()),
            },
            Self::NoRandomness => f.write_str("the system gives no randomness, so no keys can be made"),
        }
    }
}

impl std::error::Error for KeysError {}

#[cfg(test)]
mod tests {
    use std::fs;

    use countersign_core::challenge::Scope;
    use countersign_core::token::keys::{PureRust, VerifySignature};
    use tempfile::TempDir;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const SCOPE: Scope<'static> = Scope::Challenge { issuer: "https://attest.example" };

    fn directory() -> (TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("keys");
        (parent, directory)
    }

    fn ids(keys: &SigningKeys) -> Vec<String> {
        keys.all().map(|key| key.key_id().to_owned()).collect()
    }

    #[test]
    fn keys_are_made_once_and_found_again() {
        let (_parent, directory) = directory();
        let made = ServiceKeys::open(&directory, false, NOW).unwrap();
        let found = ServiceKeys::open(&directory, true, NOW).unwrap();
        assert_eq!(made.public_jwks(), found.public_jwks());
        let challenge = made.challenges.issue(SCOPE, NOW, &[7; 16]);
        assert!(found.challenges.verify(&challenge, SCOPE, 60, NOW).is_ok());
    }

    #[test]
    fn signatures_verify_with_the_published_keys() {
        let (_parent, directory) = directory();
        let keys = ServiceKeys::open(&directory, false, NOW).unwrap();
        for signing in [&keys.results, &keys.jwts] {
            let key = signing.current();
            let signature = key.sign(b"message").unwrap();
            assert!(PureRust.verify(key.public_key(), b"message", &signature).is_ok());
            assert!(PureRust.verify(key.public_key(), b"other", &signature).is_err());
        }
    }

    #[test]
    fn the_published_set_holds_no_private_member() {
        let (_parent, directory) = directory();
        let jwks = ServiceKeys::open(&directory, false, NOW).unwrap().public_jwks();
        for key in jwks["keys"].as_array().unwrap() {
            assert!(PublicKey::from_jwk(key.as_object().unwrap()).is_ok(), "{key}");
        }
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 4);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_made_private_and_refused_when_exposed() {
        use std::os::unix::fs::PermissionsExt;

        let (_parent, directory) = directory();
        ServiceKeys::open(&directory, false, NOW).unwrap();
        let file = directory.join(SERVICE_FILE);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = ServiceKeys::open(&directory, true, NOW).unwrap_err();
        assert_eq!(refused, KeysError::Exposed { path: file.clone(), mode: 0o640 });
        assert!(refused.to_string().contains("chmod 600"));

        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            ServiceKeys::open(&directory, true, NOW),
            Err(KeysError::Exposed { mode: 0o755, .. })
        ));
    }

    #[test]
    fn lost_keys_are_not_replaced_in_silence() {
        let (_parent, directory) = directory();
        ServiceKeys::open(&directory, false, NOW).unwrap();
        fs::remove_file(directory.join(SERVICE_FILE)).unwrap();
        let error = ServiceKeys::open(&directory, true, NOW).unwrap_err();
        assert_eq!(error, KeysError::Missing(directory.join(SERVICE_FILE)));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let (_parent, directory) = directory();
        ServiceKeys::open(&directory, false, NOW).unwrap();
        let file = directory.join(SERVICE_FILE);
        let text = fs::read_to_string(&file).unwrap();
        for damaged in [
            text.replace("\"current\"", "\"next\""),
            text.replacen("\"x\": \"", "\"x\": \"A", 1),
            text[..99].to_owned(),
        ] {
            fs::write(&file, damaged).unwrap();
            let error = ServiceKeys::open(&directory, true, NOW).unwrap_err();
            assert_eq!(error, KeysError::Malformed(file.clone()));
        }
    }

    #[test]
    fn the_next_key_was_published_before_it_signs() {
        let (_parent, directory) = directory();
        let before = ServiceKeys::open(&directory, false, NOW).unwrap();
        ServiceKeys::rotate(&directory, NOW.plus(60)).unwrap();
        let after = ServiceKeys::open(&directory, true, NOW.plus(60)).unwrap();
        assert_ne!(before.results.current().key_id(), after.results.current().key_id());
        assert!(ids(&before.results).contains(&after.results.current().key_id().to_owned()));
        assert!(ids(&after.results).contains(&before.results.current().key_id().to_owned()));
    }

    #[test]
    fn previous_keys_are_known_until_their_last_value_has_expired() {
        let (_parent, directory) = directory();
        let before = ServiceKeys::open(&directory, false, NOW).unwrap();
        let rotated = NOW.plus(5 * PREVIOUS_KEY_LIFETIME);
        let challenge = before.challenges.issue(SCOPE, rotated, &[7; 16]);
        ServiceKeys::rotate(&directory, rotated).unwrap();

        let after = ServiceKeys::open(&directory, true, rotated.plus(PREVIOUS_KEY_LIFETIME)).unwrap();
        assert!(ids(&after.results).contains(&before.results.current().key_id().to_owned()));
        assert!(after.challenges.verify(&challenge, SCOPE, 60, rotated).is_ok());

        let later = ServiceKeys::open(&directory, true, rotated.plus(PREVIOUS_KEY_LIFETIME + 1)).unwrap();
        assert!(!ids(&later.results).contains(&before.results.current().key_id().to_owned()));
        assert!(later.challenges.verify(&challenge, SCOPE, 60, rotated).is_err());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (_parent, directory) = directory();
        let keys = ServiceKeys::open(&directory, false, NOW).unwrap();
        let text = fs::read_to_string(directory.join(SERVICE_FILE)).unwrap();
        let shown = format!("{keys:?}");
        for line in text.lines().filter(|line| line.contains("\"d\"") || line.contains("\"k\"")) {
            let secret = line.split('"').nth(3).unwrap();
            assert!(!shown.contains(secret));
        }
    }
}
