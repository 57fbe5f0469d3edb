//! A virtual device between two processes: what a genuine one keeps in files and in hardware. The session key is not
//! part of it: it dies with the process, as it does on a phone.

use countersign_core::attester::{ConfigError, KeyHandle, Settings};
use minicbor::{Decoder, Encoder};
use p256::ecdsa::SigningKey;

use crate::{VirtualDevice, VirtualPhone, seed::Seed};

const VERSION: u8 = 1;

/// The keys of a phone, and how far its counters are.
pub(crate) struct PhoneKeys {
    pub(crate) keys_made: u32,
    pub(crate) instance_key: SigningKey,
    /// App Attest's key and its counter; iPhones only.
    pub(crate) app_attest: Option<(SigningKey, u32)>,
}

/// Why a saved device is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are not those of [`VirtualDevice::save`].
    Malformed,
    /// It was a phone of the other platform.
    OtherPlatform,
    /// The settings are refused.
    Config(ConfigError),
}

impl RestoreError {
    /// A stable name for messages.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "saved_device_malformed",
            Self::OtherPlatform => "saved_device_of_other_platform",
            Self::Config(error) => error.reason(),
        }
    }
}

impl VirtualDevice {
    /// What is to be kept of the device. It holds private keys: whoever reads it is the device.
    pub fn save(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let keys = self.phone().keys();
        let (app_attest_key, counter) = match &keys.app_attest {
            Some((key, counter)) => (key.to_bytes().to_vec(), *counter),
            None => (Vec::new(), 0),
        };
        let (stored, has_key, has_app_attest_key) = self.kept();
        let mut encoder = Encoder::new(&mut bytes);
        let written = encoder
            .array(8)
            .and_then(|e| e.u8(VERSION))
            .and_then(|e| e.bytes(stored))
            .and_then(|e| e.bool(has_key))
            .and_then(|e| e.bool(has_app_attest_key))
            .and_then(|e| e.u32(keys.keys_made))
            .and_then(|e| e.bytes(&keys.instance_key.to_bytes()))
            .and_then(|e| e.bytes(&app_attest_key))
            .and_then(|e| e.u32(counter).map(drop));
        debug_assert!(written.is_ok(), "writing into a vector cannot fail");
        bytes
    }

    /// The device that was saved, in a new process: `phone` is made as it was made first, `seed` must be another one,
    /// because random bytes would repeat.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(
        phone: impl Into<VirtualPhone>,
        settings: Settings,
        seed: &Seed,
        saved: &[u8],
    ) -> Result<Self, RestoreError> {
        let saved = Saved::decode(saved).ok_or(RestoreError::Malformed)?;
        let mut phone = phone.into();
        if !phone.take_keys(saved.keys) {
            return Err(RestoreError::OtherPlatform);
        }
        let handle = KeyHandle::new(phone.instance_key().thumbprint().as_bytes().to_vec());
        let mut device = Self::new(phone, settings, seed).map_err(RestoreError::Config)?;
        device.put_back(saved.stored, handle.filter(|_| saved.has_key), saved.has_app_attest_key);
        Ok(device)
    }
}

struct Saved {
    stored: Vec<u8>,
    has_key: bool,
    has_app_attest_key: bool,
    keys: PhoneKeys,
}

impl Saved {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array().ok()? != Some(8) || decoder.u8().ok()? != VERSION {
            return None;
        }
        let stored = decoder.bytes().ok()?.to_vec();
        let (has_key, has_app_attest_key) = (decoder.bool().ok()?, decoder.bool().ok()?);
        let keys_made = decoder.u32().ok()?;
        let instance_key = SigningKey::from_slice(decoder.bytes().ok()?).ok()?;
        let app_attest = match decoder.bytes().ok()? {
            [] => None,
            key => Some(SigningKey::from_slice(key).ok()?),
        };
        let counter = decoder.u32().ok()?;
        let keys = PhoneKeys { keys_made, instance_key, app_attest: app_attest.map(|key| (key, counter)) };
        (decoder.position() == bytes.len()).then_some(Self { stored, has_key, has_app_attest_key, keys })
    }
}
