//! A device that is played: its keychain and enclave, and its App Attest. For tests alone.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use super::app_attest::AppAttestService;
use super::secure_enclave::{KeyDescription, SecurityFramework, Tag};
use super::system_error::{Completion, Domain, SystemError};

/// Plays the keychain of a device, which all apps and installations share, and its enclave.
#[derive(Clone, Default)]
pub(super) struct FakeFramework(pub(super) Arc<Device>);

#[derive(Default)]
pub(super) struct Device {
    pub(super) state: Mutex<DeviceState>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct DeviceState {
    /// By tag and label.
    pub(super) items: BTreeMap<(Vec<u8>, String), FakeKey>,
    pub(super) keys_made: u8,
    /// What the calls fail with, while set.
    pub(super) making: Option<SystemError>,
    pub(super) finding: Option<SystemError>,
    pub(super) deleting: Option<SystemError>,
    pub(super) signing: Option<SystemError>,
    /// The next signatures fail; then they succeed again.
    pub(super) failing_signatures: u32,
    /// Keys are made in software.
    pub(super) without_enclave: bool,
    /// Public keys are cut to this length.
    pub(super) cut: Option<usize>,
    /// Making waits until this is false.
    pub(super) held: bool,
    /// Who waits for it.
    pub(super) waiting: u32,
}

#[derive(Clone)]
pub(super) struct FakeKey {
    pub(super) secret: SigningKey,
    /// The enclave was erased since it was made.
    pub(super) is_dead: bool,
}

impl SecurityFramework for FakeFramework {
    type Key = FakeKey;

    fn make(&self, permanent: Option<(&Tag, &str)>) -> Result<FakeKey, SystemError> {
        let mut state = self.0.state.lock().unwrap();
        while state.held {
            state.waiting += 1;
            self.0.changed.notify_all();
            state = self.0.changed.wait(state).unwrap();
        }
        if let Some(error) = state.making {
            return Err(error);
        }
        state.keys_made += 1;
        let key = FakeKey { secret: SigningKey::from_slice(&[state.keys_made; 32]).unwrap(), is_dead: false };
        if let Some((tag, label)) = permanent {
            state.items.insert((tag.as_bytes().to_vec(), label.to_owned()), key.clone());
        }
        Ok(key)
    }

    fn find(&self, tag: &Tag, label: &str) -> Result<FakeKey, SystemError> {
        let state = self.0.state.lock().unwrap();
        match state.finding {
            Some(error) => Err(error),
            None => state.items.get(&(tag.as_bytes().to_vec(), label.to_owned())).cloned().ok_or(NOT_FOUND),
        }
    }

    fn delete(&self, tag: &Tag, label: Option<&str>) -> Result<(), SystemError> {
        let mut state = self.0.state.lock().unwrap();
        if let Some(error) = state.deleting {
            return Err(error);
        }
        let before = state.items.len();
        state.items.retain(|(item_tag, item_label), _| {
            item_tag != tag.as_bytes() || label.is_some_and(|label| label != item_label)
        });
        if state.items.len() < before { Ok(()) } else { Err(NOT_FOUND) }
    }

    fn describe(&self, key: &FakeKey) -> Result<KeyDescription, SystemError> {
        let state = self.0.state.lock().unwrap();
        let mut public_key = key.secret.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        public_key.truncate(state.cut.unwrap_or(usize::MAX));
        Ok(KeyDescription { public_key, is_in_enclave: !state.without_enclave })
    }

    fn sign(&self, key: &FakeKey, message: &[u8]) -> Result<Vec<u8>, SystemError> {
        let mut state = self.0.state.lock().unwrap();
        if let Some(error) = state.signing {
            return Err(error);
        }
        if state.failing_signatures > 0 || key.is_dead {
            state.failing_signatures = state.failing_signatures.saturating_sub(1);
            return Err(NO_ANSWER);
        }
        let signature: Signature = key.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

pub(super) const NOT_FOUND: SystemError = SystemError::os_status(-25300);
pub(super) const LOCKED: SystemError = SystemError::os_status(-25308);
/// As CryptoTokenKit answers for the enclave.
pub(super) const NO_ANSWER: SystemError = SystemError { domain: Domain::Other, code: -3 };

/// Waits for what is done aside.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    use std::task::{Context, Poll, Wake, Waker};

    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = Box::pin(future);
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl FakeFramework {
    pub(super) fn state(&self) -> MutexGuard<'_, DeviceState> {
        self.0.state.lock().unwrap()
    }

    pub(super) fn labels(&self) -> Vec<String> {
        self.state().items.keys().map(|(_, label)| label.clone()).collect()
    }
}

/// Plays App Attest, with the memory of one device and one installation: what it was asked for is its own evidence.
#[derive(Clone, Default)]
pub(super) struct FakeAppAttest(Arc<Mutex<AppAttestState>>);

#[derive(Default)]
pub(super) struct AppAttestState {
    /// Whether each key was attested.
    pub(super) keys: BTreeMap<String, bool>,
    keys_made: u8,
    /// Apple's server does not answer so many calls.
    pub(super) outages: u32,
    pub(super) unsupported: bool,
    /// Key id and hash of each call of `attestKey`.
    pub(super) attestations: Vec<(String, [u8; 32])>,
    /// How many assertions were made.
    pub(super) assertions: u32,
}

impl FakeAppAttest {
    pub(super) fn state(&self) -> MutexGuard<'_, AppAttestState> {
        self.0.lock().unwrap()
    }
}

const fn device_check(code: i64) -> SystemError {
    SystemError { domain: Domain::DeviceCheck, code }
}

impl AppAttestService for FakeAppAttest {
    fn is_supported(&self) -> bool {
        !self.state().unsupported
    }

    fn generate_key(&self, completion: Completion<String>) {
        let mut state = self.state();
        state.keys_made += 1;
        // 42 digits that are zero, one of six bits and one of four: the base64 of 32 bytes.
        let key_id = format!("{}{}A=", "A".repeat(41), char::from(b'A' + state.keys_made));
        state.keys.insert(key_id.clone(), false);
        completion.complete(Some(key_id), None);
    }

    fn attest_key(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>) {
        let mut state = self.state();
        state.attestations.push((key_id.to_owned(), *client_data_hash));
        if state.outages > 0 {
            state.outages -= 1;
            return completion.complete(None, Some(device_check(4)));
        }
        match state.keys.get_mut(key_id) {
            Some(is_attested @ false) => {
                *is_attested = true;
                completion.complete(Some(client_data_hash.to_vec()), None);
            }
            Some(true) | None => completion.complete(None, Some(device_check(3))),
        }
    }

    fn generate_assertion(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>) {
        let mut state = self.state();
        match state.keys.get(key_id) {
            Some(true) => {
                state.assertions += 1;
                completion.complete(Some(client_data_hash.to_vec()), None);
            }
            Some(false) => completion.complete(None, Some(device_check(3))),
            None => completion.complete(None, Some(device_check(2))),
        }
    }
}
