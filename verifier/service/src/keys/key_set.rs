//! A private JWK Set as it stands in a key file, and its rotation.

use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Algorithm;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{KeysError, PREVIOUS_KEY_LIFETIME, SigningKey, SigningKeys};

/// What stands in the file that only the service reads.
pub(super) const SERVICE_KINDS: &[Kind] = &[Kind::Result, Kind::Jwt, Kind::Challenge];
/// What stands in the file that edges share.
pub(super) const EDGE_KINDS: &[Kind] = &[Kind::Nonce];

/// What a key is for; stands in the file as `alg` and, for MAC keys, `purpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Result,
    Jwt,
    Challenge,
    Nonce,
}

impl Kind {
    const fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Result => Some(Algorithm::Ed25519),
            Self::Jwt => Some(Algorithm::Esp256),
            Self::Challenge | Self::Nonce => None,
        }
    }
}

/// Where a key stands in its rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Next,
    Current,
    Previous,
}

/// A private JWK Set as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySet {
    keys: Vec<PrivateJwk>,
}

/// A private JWK: its registered members, and three of our own for the rotation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateJwk {
    kid: String,
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// Private part of a signing key, base64url of 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// A MAC key, base64url of 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    purpose: Kind,
    state: State,
    /// When it entered its state, in seconds since the epoch.
    since: u64,
}

impl Drop for PrivateJwk {
    fn drop(&mut self) {
        self.d.zeroize();
        self.k.zeroize();
    }
}

impl KeySet {
    pub(super) fn new(kinds: &[Kind], now: Timestamp) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for kind in kinds {
            keys.push(PrivateJwk::generate(*kind, State::Current, 1, now)?);
            if kind.algorithm().is_some() {
                keys.push(PrivateJwk::generate(*kind, State::Next, 1, now)?);
            }
        }
        Ok(Self { keys })
    }

    pub(super) fn rotate(&mut self, kinds: &[Kind], now: Timestamp) -> Result<(), KeysError> {
        self.keys.retain(|key| !key.is_over(now));
        for kind in kinds {
            let mut newest = 0;
            for key in self.keys.iter_mut().filter(|key| key.purpose == *kind) {
                newest = newest.max(key.kid.parse::<u8>().unwrap_or(0));
                if key.state != State::Previous {
                    key.state = if key.state == State::Next { State::Current } else { State::Previous };
                    key.since = now.as_unix_seconds();
                }
            }
            let state = if kind.algorithm().is_some() { State::Next } else { State::Current };
            // MAC key ids go round in one byte; more than 255 rotations within a day are not kept apart.
            self.keys.push(PrivateJwk::generate(*kind, state, newest.checked_add(1).unwrap_or(1), now)?);
        }
        Ok(())
    }

    pub(super) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string_pretty(self).expect("texts and numbers are JSON"))
    }

    pub(super) fn signing_keys(&self, kind: Kind, now: Timestamp) -> Option<SigningKeys> {
        let (mut current, mut others) = (None, Vec::new());
        for key in self.keys.iter().filter(|key| key.purpose == kind && !key.is_over(now)) {
            let signing = key.signing_key()?;
            if key.state == State::Current {
                if current.replace(signing).is_some() {
                    return None;
                }
            } else {
                others.push(signing);
            }
        }
        Some(SigningKeys { current: current?, others })
    }

    pub(super) fn mac_keys(&self, kind: Kind, now: Timestamp) -> Option<MacKeyRing> {
        let (mut current, mut previous) = (None, Vec::new());
        for key in self.keys.iter().filter(|key| key.purpose == kind && !key.is_over(now)) {
            let mac = key.mac_key()?;
            if key.state == State::Current {
                if current.replace(mac).is_some() {
                    return None;
                }
            } else {
                previous.push(mac);
            }
        }
        Some(MacKeyRing::new(current?, previous))
    }
}

impl PrivateJwk {
    fn generate(purpose: Kind, state: State, mac_id: u8, now: Timestamp) -> Result<Self, KeysError> {
        let since = now.as_unix_seconds();
        let mut secret = Zeroizing::new([0; 32]);
        let Some(algorithm) = purpose.algorithm() else {
            fill(&mut secret)?;
            return Ok(Self {
                kid: mac_id.to_string(),
                kty: "oct".to_owned(),
                crv: None,
                x: None,
                y: None,
                d: None,
                k: Some(base64url(&*secret)),
                purpose,
                state,
                since,
            });
        };
        // A random scalar is out of range once in 2^32 for P-256; another one is drawn.
        let key = loop {
            fill(&mut secret)?;
            if let Some(key) = SigningKey::from_secret(algorithm, &secret) {
                break key;
            }
        };
        let public = key.public.to_jwk();
        Ok(Self {
            kid: key.id.clone(),
            kty: public.kty,
            crv: Some(public.crv),
            x: Some(public.x),
            y: public.y,
            d: Some(base64url(&*secret)),
            k: None,
            purpose,
            state,
            since,
        })
    }

    fn is_over(&self, now: Timestamp) -> bool {
        let since = Timestamp::from_unix_seconds(self.since);
        self.state == State::Previous && now.seconds_since(since) > PREVIOUS_KEY_LIFETIME
    }

    /// The signing key, if the public part belongs to the private one.
    fn signing_key(&self) -> Option<SigningKey> {
        let secret = Zeroizing::new(from_base64url_array::<32>(self.d.as_deref()?).ok()?);
        let key = SigningKey::from_secret(self.purpose.algorithm()?, &secret)?;
        let public = key.public.to_jwk();
        let same = self.kty == public.kty && self.crv == Some(public.crv) && self.x == Some(public.x);
        (same && self.y == public.y && self.kid == key.id).then_some(key)
    }

    fn mac_key(&self) -> Option<MacKey> {
        let bytes = Zeroizing::new(from_base64url_array::<32>(self.k.as_deref()?).ok()?);
        Some(MacKey::new(self.kid.parse().ok()?, *bytes))
    }
}

fn fill(secret: &mut [u8; 32]) -> Result<(), KeysError> {
    getrandom::fill(secret).map_err(|_| KeysError::NoRandomness)
}
