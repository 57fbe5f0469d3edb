//! What outlives the process: deterministic CBOR with a version, then eight bytes of its SHA-256, so that torn
//! writes and flipped bits are seen. No secret is in it. What cannot be read, or belongs to another
//! configuration, is dropped, and the device enrols anew.

use std::sync::Arc;

use minicbor::{Decoder, Encoder};
use subtle::ConstantTimeEq;

use super::config::{Config, Platform};
use super::port::{KeyHandle, MAX_HANDLE};
use super::vouching::Vouching;
use crate::cbor::{self, CborError, Never};
use crate::challenge::Challenge;
use crate::request::sha256;
use crate::time::Timestamp;
use crate::token::MAX_JWT_FIELD;
use crate::token::keys::{Algorithm, PublicKey};
use crate::token::result::{InstanceId, Protection};

const VERSION: u8 = 1;
const CHECKSUM_LENGTH: usize = 8;
/// Longest stored state; more is not ours.
const MAX_STATE: usize = MAX_HANDLE + 2 * MAX_JWT_FIELD + 4096;

/// What is known of this installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The instance key.
    pub(super) key: Option<StoredKey>,
    /// The client instance, once the service has answered an enrolment of this key.
    pub(super) instance: Option<InstanceId>,
    /// The App Attest key.
    pub(super) app_attest: Option<AppAttestKey>,
    /// A challenge that was given and not used.
    pub(super) challenge: Option<Challenge>,
    /// Seconds that the service is ahead of the wall clock.
    pub(super) clock_offset: i64,
    /// When the service last verified platform evidence.
    pub(super) evidence_time: Option<Timestamp>,
    /// What the last result says of the instance key.
    pub(super) vouching: Option<Arc<Vouching>>,
    /// When a Play Integrity token was last sent; where Google Play alone vouches, when its verdict was last verified.
    pub(super) play_time: Option<Timestamp>,
}

/// The instance key as the state knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredKey {
    pub(super) handle: KeyHandle,
    pub(super) public_key: PublicKey,
    pub(super) protection: Protection,
}

/// The App Attest key as the state knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppAttestKey {
    pub(super) key_id: [u8; 32],
    /// The challenge under which it is to be attested; `None` once the service knows the key.
    pub(super) pending: Option<Challenge>,
}

impl State {
    /// Reads what was stored; anything that is damaged or of another configuration is an empty state.
    pub(super) fn restore(stored: Option<&[u8]>, config: &Config) -> Self {
        stored.and_then(|bytes| Self::decode(bytes, config)).unwrap_or_default()
    }

    /// Reads what was stored; `None` if it is damaged or of another configuration.
    pub(super) fn decode(bytes: &[u8], config: &Config) -> Option<Self> {
        decode(bytes, config).ok().flatten()
    }

    /// The bytes to store.
    pub(super) fn to_bytes(&self, config: &Config) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let written = self.encode(config, &mut Encoder::new(&mut bytes));
        debug_assert!(written.is_ok());
        let checksum = sha256(&bytes);
        bytes.extend_from_slice(&checksum[..CHECKSUM_LENGTH]);
        bytes
    }

    fn encode(
        &self,
        config: &Config,
        e: &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<Never>> {
        let optional = [
            self.key.is_some(),
            self.instance.is_some(),
            self.app_attest.is_some(),
            self.challenge.is_some(),
            self.evidence_time.is_some(),
            self.play_time.is_some(),
            self.vouching.is_some(),
        ];
        e.map(5 + optional.into_iter().map(u64::from).sum::<u64>())?;
        e.u8(1)?.u8(VERSION)?.u8(2)?.str(&config.issuer)?.u8(3)?.str(&config.client_id)?;
        e.u8(4)?.u8(scope(config.platform))?;
        if let Some(key) = &self.key {
            e.u8(5)?.array(3)?.bytes(key.handle.as_bytes())?;
            key.public_key.encode_cose(e);
            e.u8(key.protection.number())?;
        }
        if let Some(instance) = &self.instance {
            e.u8(6)?.bytes(instance.as_bytes())?;
        }
        if let Some(key) = &self.app_attest {
            e.u8(7)?.array(2)?.bytes(&key.key_id)?;
            match &key.pending {
                Some(challenge) => e.bytes(challenge.as_bytes())?,
                None => e.null()?,
            };
        }
        if let Some(challenge) = &self.challenge {
            e.u8(8)?.bytes(challenge.as_bytes())?;
        }
        e.u8(9)?.i64(self.clock_offset)?;
        for (label, time) in [(10, self.evidence_time), (11, self.play_time)] {
            if let Some(time) = time {
                e.u8(label)?.u64(time.as_unix_seconds())?;
            }
        }
        if let Some(vouching) = &self.vouching {
            vouching.encode(e.u8(12)?)?;
        }
        Ok(())
    }
}

/// The kind of installation: keys of one kind are nothing in another.
const fn scope(platform: Platform) -> u8 {
    match platform {
        Platform::Android { .. } => 1,
        Platform::Apple { production: true } => 2,
        Platform::Apple { production: false } => 3,
        Platform::Development => 4,
    }
}

/// `None` for a sound state of another configuration.
fn decode(bytes: &[u8], config: &Config) -> Result<Option<State>, CborError> {
    if bytes.len() > MAX_STATE {
        return Err(CborError::Unexpected);
    }
    let (bytes, checksum) =
        bytes.len().checked_sub(CHECKSUM_LENGTH).map(|at| bytes.split_at(at)).ok_or(CborError::Truncated)?;
    if !bool::from(sha256(bytes)[..CHECKSUM_LENGTH].ct_eq(checksum)) {
        return Err(CborError::Unexpected);
    }
    let mut d = cbor::deterministic(bytes)?;
    let members = d.map()?.ok_or(CborError::Unexpected)?;
    let mut state = State::default();
    let mut same = 0;
    for _ in 0..members {
        match d.u8()? {
            1 => same += u8::from(d.u8()? == VERSION),
            2 => same += u8::from(d.str()? == config.issuer),
            3 => same += u8::from(d.str()? == config.client_id),
            4 => same += u8::from(d.u8()? == scope(config.platform)),
            5 => state.key = Some(decode_key(&mut d)?),
            6 => state.instance = Some(InstanceId::from_bytes(cbor::bytes_array(&mut d)?)),
            7 => {
                array_of(&mut d, 2)?;
                let key_id = cbor::bytes_array(&mut d)?;
                let pending = match d.datatype()? {
                    minicbor::data::Type::Null => d.null().map(|()| None)?,
                    _ => Some(decode_challenge(&mut d)?),
                };
                state.app_attest = Some(AppAttestKey { key_id, pending });
            }
            8 => state.challenge = Some(decode_challenge(&mut d)?),
            9 => state.clock_offset = d.i64()?,
            10 => state.evidence_time = Some(Timestamp::from_unix_seconds(d.u64()?)),
            11 => state.play_time = Some(Timestamp::from_unix_seconds(d.u64()?)),
            12 => state.vouching = Some(Arc::new(Vouching::decode(&mut d)?)),
            _ => return Err(CborError::UnknownCritical),
        }
    }
    // An instance id without its key is of no use, and nothing vouches for what is not registered.
    if state.key.is_none() {
        state.instance = None;
    }
    if state.instance.is_none() {
        state.vouching = None;
    }
    Ok((same == 4).then_some(state))
}

fn decode_key(d: &mut Decoder<'_>) -> Result<StoredKey, CborError> {
    array_of(d, 3)?;
    let handle = KeyHandle::new(d.bytes()?.to_vec()).ok_or(CborError::Unexpected)?;
    let public_key = PublicKey::decode_cose(d).map_err(|_| CborError::Unexpected)?;
    let protection = Protection::from_number(d.u8()?).ok_or(CborError::Unexpected)?;
    if public_key.algorithm() != Algorithm::Esp256 {
        return Err(CborError::Unexpected);
    }
    Ok(StoredKey { handle, public_key, protection })
}

fn decode_challenge(d: &mut Decoder<'_>) -> Result<Challenge, CborError> {
    Challenge::from_bytes(d.bytes()?).map_err(|_| CborError::Unexpected)
}

fn array_of(d: &mut Decoder<'_>, length: u64) -> Result<(), CborError> {
    if d.array()? == Some(length) { Ok(()) } else { Err(CborError::Unexpected) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attester::config::{Resource, ResultKeys, Settings};
    use crate::challenge::{MacKey, MacKeyRing, Scope};
    use crate::request::Origin;
    use crate::token::result::Tier;

    fn settings() -> Settings {
        Settings {
            issuer: "https://attest.example".to_owned(),
            client_id: "app".to_owned(),
            resources: vec![Resource {
                origin: Origin::parse("https://api.example").unwrap(),
                identifier: "https://api.example".to_owned(),
            }],
            app_version: "1.0".to_owned(),
            platform: Platform::Apple { production: true },
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        }
    }

    fn config() -> Config {
        Config::new(settings()).unwrap()
    }

    fn state() -> State {
        let secret = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let challenge = MacKeyRing::new(MacKey::new(1, [1; 32]), vec![]).issue(
            Scope::Challenge { issuer: "https://attest.example" },
            Timestamp::from_unix_seconds(1_800_000_000),
            &[9; 16],
        );
        State {
            key: Some(StoredKey {
                handle: KeyHandle::new(vec![1, 2, 3]).unwrap(),
                public_key: PublicKey::from_p256_sec1(point.as_bytes()).unwrap(),
                protection: Protection::SecureEnclave,
            }),
            instance: Some(InstanceId::from_bytes([4; 16])),
            app_attest: Some(AppAttestKey { key_id: [5; 32], pending: Some(challenge) }),
            challenge: Some(challenge),
            clock_offset: -7,
            evidence_time: Some(Timestamp::from_unix_seconds(1_800_000_000)),
            vouching: Some(Arc::new(Vouching {
                attestation_rs: "rs.rs.rs".to_owned(),
                attestation_as: "as.as.as".to_owned(),
                tier: Tier::Affirming,
                issued_at: Timestamp::from_unix_seconds(1_800_000_000),
                expires_at: Timestamp::from_unix_seconds(1_800_000_600),
            })),
            play_time: Some(Timestamp::from_unix_seconds(1_800_000_001)),
        }
    }

    #[test]
    fn what_was_stored_is_read_again() {
        let without = State { app_attest: None, play_time: None, vouching: None, ..state() };
        let attested = State { app_attest: Some(AppAttestKey { key_id: [5; 32], pending: None }), ..state() };
        for state in [state(), without, attested, State::default()] {
            assert_eq!(State::restore(Some(&state.to_bytes(&config())), &config()), state);
        }
        assert_eq!(State::restore(None, &config()), State::default());
    }

    #[test]
    fn damage_of_any_byte_starts_anew() {
        let bytes = state().to_bytes(&config());
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert_eq!(State::restore(Some(&damaged), &config()), State::default(), "byte {index}");
            assert_eq!(State::restore(Some(&bytes[..index]), &config()), State::default(), "cut at {index}");
        }
        assert_eq!(State::restore(Some(&vec![0; MAX_STATE + 1]), &config()), State::default());
    }

    #[test]
    fn the_state_of_another_configuration_starts_anew() {
        let bytes = state().to_bytes(&config());
        let restored = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            State::restore(Some(&bytes), &Config::new(settings).unwrap())
        };
        assert_eq!(restored(|_| {}), state());
        // An app update keeps the instance.
        assert_eq!(restored(|s| s.app_version = "2.0".to_owned()), state());
        let others: [fn(&mut Settings); 4] = [
            |s| s.issuer = "https://attest.example/".to_owned(),
            |s| s.client_id = "other".to_owned(),
            |s| s.platform = Platform::Apple { production: false },
            |s| s.platform = Platform::Development,
        ];
        for change in others {
            assert_eq!(restored(change), State::default());
        }
    }

    #[test]
    fn a_sound_checksum_over_another_version_starts_anew() {
        let mut bytes = state().to_bytes(&config());
        // map head, label 1, version
        bytes[2] = VERSION + 1;
        let end = bytes.len() - CHECKSUM_LENGTH;
        let checksum = sha256(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum[..CHECKSUM_LENGTH]);
        assert_eq!(State::restore(Some(&bytes), &config()), State::default());
    }
}
