//! Stateless challenges and nonces: whoever holds the MAC key recognises what it gave out, and when.
//!
//! On the wire: `version (1) || MAC key id (1) || issue time (8) || random (16) || tag (16)`, 42 bytes, base64url.
//! The tag also covers a scope that is not sent, so a nonce of one resource is no nonce of another and never a
//! challenge of the service.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::encoding::{base64url, from_base64url_array};
use crate::time::Timestamp;

/// Length of a challenge or nonce in bytes.
pub const LENGTH: usize = 42;
/// Random bytes in each.
pub const RANDOM_LENGTH: usize = 16;

const VERSION: u8 = 1;
const TAG_AT: usize = LENGTH - 16;
/// Issue times up to this many seconds ahead are believed: the clocks of the edges of one domain may differ.
const MAX_AHEAD: u64 = 5;

/// What a value was given out for. Covered by the MAC, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// A challenge of the attestation service, for enrolment and renewal.
    Challenge {
        /// The service's issuer URL.
        issuer: &'a str,
    },
    /// A nonce of an edge, for proofs.
    Nonce {
        /// The RFC 9728 resource identifier.
        resource: &'a str,
        /// The edges that share one replay store.
        replay_domain: &'a str,
    },
}

/// Why a challenge or nonce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Not 42 bytes of base64url, or of another version.
    Malformed,
    /// Made with no key that is held, for another scope, or altered.
    Unrecognised,
    /// Older than its life allows.
    Expired,
    /// Issued in the future.
    FromTheFuture,
}

impl ChallengeError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "challenge_malformed",
            Self::Unrecognised => "challenge_unrecognised",
            Self::Expired => "challenge_expired",
            Self::FromTheFuture => "challenge_from_the_future",
        }
    }
}

/// A MAC key of 32 bytes with the id under which its values carry it; erased from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey {
    id: u8,
    bytes: [u8; 32],
}

impl MacKey {
    /// A key from its id and bytes.
    pub const fn new(id: u8, bytes: [u8; 32]) -> Self {
        Self { id, bytes }
    }

    /// The id that its values carry.
    pub const fn id(&self) -> u8 {
        self.id
    }
}

impl core::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MacKey({})", self.id)
    }
}

/// The keys of one kind of value: the first makes new ones, all are recognised, so that keys can rotate.
/// Challenges and nonces have rings of their own.
#[derive(Clone, Debug)]
pub struct MacKeyRing {
    current: MacKey,
    previous: Vec<MacKey>,
}

impl MacKeyRing {
    /// A ring of the key in use and those whose values may still be around.
    pub const fn new(current: MacKey, previous: Vec<MacKey>) -> Self {
        Self { current, previous }
    }

    /// Makes a value for `scope`, issued `now`; `random` must be fresh.
    pub fn issue(&self, scope: Scope<'_>, now: Timestamp, random: &[u8; RANDOM_LENGTH]) -> Challenge {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1] = self.current.id;
        bytes[2..10].copy_from_slice(&now.as_unix_seconds().to_be_bytes());
        bytes[10..TAG_AT].copy_from_slice(random);
        let tag = tag(&self.current, &bytes, scope);
        bytes[TAG_AT..].copy_from_slice(&tag);
        Challenge(bytes)
    }

    /// Checks that `challenge` was made for `scope` with a key of this ring at most `lifetime` seconds ago, and
    /// returns when. Compares in constant time.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(
        &self,
        challenge: &Challenge,
        scope: Scope<'_>,
        lifetime: u64,
        now: Timestamp,
    ) -> Result<Timestamp, ChallengeError> {
        let bytes = &challenge.0;
        let key = core::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.id == bytes[1])
            .ok_or(ChallengeError::Unrecognised)?;
        if !bool::from(tag(key, bytes, scope).ct_eq(&bytes[TAG_AT..])) {
            return Err(ChallengeError::Unrecognised);
        }
        let issued_at = challenge.issued_at();
        if issued_at > now.plus(MAX_AHEAD) {
            return Err(ChallengeError::FromTheFuture);
        }
        if now.seconds_since(issued_at) > lifetime {
            return Err(ChallengeError::Expired);
        }
        Ok(issued_at)
    }
}

/// A challenge or nonce: 42 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Challenge([u8; LENGTH]);

impl Challenge {
    /// Takes bytes for a challenge; only the shape is checked.
    ///
    /// # Errors
    /// [`ChallengeError::Malformed`] for another length or version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChallengeError> {
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| ChallengeError::Malformed)?;
        if bytes[0] == VERSION { Ok(Self(bytes)) } else { Err(ChallengeError::Malformed) }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// As [`Challenge::from_bytes`].
    pub fn from_base64url(text: &str) -> Result<Self, ChallengeError> {
        let bytes: [u8; LENGTH] = from_base64url_array(text).map_err(|_| ChallengeError::Malformed)?;
        Self::from_bytes(&bytes)
    }

    /// The bytes, as they enter the binding hash and a proof's `cnonce`.
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The text form: base64url, 56 characters.
    pub fn to_base64url(&self) -> String {
        base64url(&self.0)
    }

    /// When it says it was issued; true only after [`MacKeyRing::verify`].
    pub fn issued_at(&self) -> Timestamp {
        let mut seconds = [0; 8];
        seconds.copy_from_slice(&self.0[2..10]);
        Timestamp::from_unix_seconds(u64::from_be_bytes(seconds))
    }
}

/// HMAC-SHA-256 over kind, length-prefixed scope and the untagged bytes, truncated to 16 bytes.
fn tag(key: &MacKey, bytes: &[u8; LENGTH], scope: Scope<'_>) -> [u8; 16] {
    let (kind, first, second) = match scope {
        Scope::Challenge { issuer } => ("challenge", issuer, ""),
        Scope::Nonce { resource, replay_domain } => ("nonce", resource, replay_domain),
    };
    // `Hmac` takes keys of any length; the error belongs to other MACs of the same trait.
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.bytes).expect("HMAC takes a key of any length");
    for part in [kind, first, second] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.update(&bytes[..TAG_AT]);
    let full = mac.finalize().into_bytes();
    let mut truncated = [0; 16];
    truncated.copy_from_slice(&full[..16]);
    truncated
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope<'static> = Scope::Challenge { issuer: "https://attest.example" };
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn ring() -> MacKeyRing {
        MacKeyRing::new(MacKey::new(2, [2; 32]), vec![MacKey::new(1, [1; 32])])
    }

    fn issue() -> Challenge {
        ring().issue(SCOPE, NOW, &[9; 16])
    }

    #[test]
    fn recognised_within_its_life_and_not_after() {
        let challenge = Challenge::from_base64url(&issue().to_base64url()).unwrap();
        assert_eq!(ring().verify(&challenge, SCOPE, 60, NOW.plus(60)), Ok(NOW));
        assert_eq!(ring().verify(&challenge, SCOPE, 60, NOW.plus(61)), Err(ChallengeError::Expired));
        assert_eq!(ring().verify(&challenge, SCOPE, 60, NOW.minus(5)), Ok(NOW));
        assert_eq!(ring().verify(&challenge, SCOPE, 60, NOW.minus(6)), Err(ChallengeError::FromTheFuture));
    }

    #[test]
    fn a_previous_key_is_recognised_and_a_foreign_one_is_not() {
        let old = MacKeyRing::new(MacKey::new(1, [1; 32]), vec![]).issue(SCOPE, NOW, &[0; 16]);
        assert_eq!(ring().verify(&old, SCOPE, 60, NOW), Ok(NOW));
        for foreign in [MacKey::new(1, [3; 32]), MacKey::new(3, [1; 32])] {
            let forged = MacKeyRing::new(foreign, vec![]).issue(SCOPE, NOW, &[0; 16]);
            assert_eq!(ring().verify(&forged, SCOPE, 60, NOW), Err(ChallengeError::Unrecognised));
        }
    }

    #[test]
    fn another_scope_does_not_recognise_it() {
        for scope in [
            Scope::Challenge { issuer: "https://attest.example/" },
            Scope::Nonce { resource: "https://attest.example", replay_domain: "" },
        ] {
            assert_eq!(ring().verify(&issue(), scope, 60, NOW), Err(ChallengeError::Unrecognised));
        }
        let nonce = |resource, replay_domain| Scope::Nonce { resource, replay_domain };
        let value = ring().issue(nonce("ab", "c"), NOW, &[0; 16]);
        assert_eq!(ring().verify(&value, nonce("a", "bc"), 60, NOW), Err(ChallengeError::Unrecognised));
    }

    #[test]
    fn no_bit_can_be_changed() {
        for index in 0..LENGTH {
            let mut bytes = *issue().as_bytes();
            bytes[index] ^= 1;
            let verified =
                Challenge::from_bytes(&bytes).map(|c| ring().verify(&c, SCOPE, 1 << 62, NOW.plus(99)));
            assert!(!matches!(verified, Ok(Ok(_))), "byte {index}");
        }
    }
}
