//! The instance key in the Secure Enclave: one at a time, found again through the keychain.
//!
//! The keychain outlives the app: its items stay when the app is removed, while the stored state and the App Attest
//! key go. So whoever makes a key first deletes what an earlier installation left.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::encoding::base64url;
use countersign_core::request::sha256;

use super::system_error::SystemError;
use crate::error::KeyStoreError;
use crate::port::InstanceKeys;
use crate::record::{KeyProtection, NewKey};
use crate::workers::Workers;

/// The calls to the Security framework. Each may take some tens of milliseconds.
pub(super) trait SecurityFramework: Send + Sync + 'static {
    /// A private key as a reference: the key itself stays where it is.
    type Key;

    /// Makes a P-256 key for signing that never leaves this device, usable since the device was first unlocked after
    /// its start; permanent under tag and label, or gone with its reference.
    fn make(&self, permanent: Option<(&Tag, &str)>) -> Result<Self::Key, SystemError>;
    /// The private key under tag and label.
    fn find(&self, tag: &Tag, label: &str) -> Result<Self::Key, SystemError>;
    /// Deletes what is under the tag, or under tag and label; `errSecItemNotFound` if there is nothing.
    fn delete(&self, tag: &Tag, label: Option<&str>) -> Result<(), SystemError>;
    /// The uncompressed point of the public key, and whether the private key says that it lives in the enclave.
    fn describe(&self, key: &Self::Key) -> Result<KeyDescription, SystemError>;
    /// ECDSA over SHA-256 of the message, in DER.
    fn sign(&self, key: &Self::Key, message: &[u8]) -> Result<Vec<u8>, SystemError>;
}

/// What a key says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyDescription {
    /// `04 || X || Y`.
    pub(super) public_key: Vec<u8>,
    /// `kSecAttrTokenID` is `kSecAttrTokenIDSecureEnclave`.
    pub(super) is_in_enclave: bool,
}

/// `kSecAttrApplicationTag` of all keys of one attester. Apps of one team may share a keychain access group, and one
/// app may have several attesters: neither may touch another's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag for an app's attester.
    pub(super) fn new(bundle_identifier: &str, issuer: &str, client_id: &str) -> Self {
        let mut names = Vec::new();
        for name in [bundle_identifier, issuer, client_id] {
            // With its length, so that no two triples run together.
            names.extend_from_slice(&(name.len() as u64).to_be_bytes());
            names.extend_from_slice(name.as_bytes());
        }
        Self(format!("dev.countersign.instance-key.{}", base64url(&sha256(&names))))
    }

    /// As the keychain keeps it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A keychain that does not answer holds its thread; it does not get all threads there are.
static WORKERS: Workers = Workers::new(4);

/// The port for instance keys, on the Secure Enclave.
pub(super) struct SecureEnclave<F> {
    store: Arc<Store<F>>,
}

struct Store<F> {
    framework: F,
    tag: Tag,
    /// Held while a key is made: two at once would delete each other's.
    making: Mutex<()>,
}

impl<F: SecurityFramework> SecureEnclave<F> {
    pub(super) fn new(framework: F, tag: Tag) -> Self {
        Self { store: Arc::new(Store { framework, tag, making: Mutex::new(()) }) }
    }

    /// Does what may block on a thread of its own: whoever polls may be the main thread, or one of the few that all
    /// tasks of the app share. Work that nobody waits for any more is not begun.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store<F>, &dyn Fn() -> bool) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let store = Arc::clone(&self.store);
        let done = WORKERS.run(move |is_wanted| work(&store, is_wanted), drop).await;
        done.unwrap_or(Err(KeyStoreError::Unavailable))
    }
}

#[async_trait::async_trait]
impl<F: SecurityFramework> InstanceKeys for SecureEnclave<F> {
    async fn make(&self, _: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError> {
        let mut label = [0; 16];
        getrandom::fill(&mut label).map_err(|_| KeyStoreError::Unavailable)?;
        let label = base64url(&label);
        self.aside(move |store, is_wanted| {
            let _making = store.making.lock().unwrap_or_else(PoisonError::into_inner);
            // Given up while it waited: it would delete the key of whoever came after it.
            if is_wanted() { store.make(label) } else { Err(KeyStoreError::Unavailable) }
        })
        .await
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        self.aside(move |store, _| store.sign(&handle, &message)).await
    }

    async fn delete(&self, handle: Vec<u8>) {
        // What cannot be deleted now goes when the next key is made.
        let deletion = self.aside(move |store, _| {
            store.delete(&handle);
            Ok(())
        });
        let _ = deletion.await;
    }
}

impl<F: SecurityFramework> Store<F> {
    fn make(&self, label: String) -> Result<NewKey, KeyStoreError> {
        match self.framework.delete(&self.tag, None) {
            Err(error) if error.as_os_status() != Some(ERR_SEC_ITEM_NOT_FOUND) => {
                return Err(failure_of_keychain(error, KeyStoreError::Unavailable));
            }
            _ => {}
        }
        let described = self
            .framework
            .make(Some((&self.tag, &label)))
            .and_then(|key| self.framework.describe(&key))
            .map_err(failure_of_making)?;
        if described.public_key.len() != POINT_LENGTH {
            self.delete(label.as_bytes());
            return Err(KeyStoreError::Unavailable);
        }
        let protection =
            if described.is_in_enclave { KeyProtection::SecureEnclave } else { KeyProtection::Software };
        Ok(NewKey {
            handle: label.into_bytes(),
            public_key: described.public_key,
            protection,
            chain: Vec::new(),
        })
    }

    fn sign(&self, handle: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let label = core::str::from_utf8(handle).map_err(|_| KeyStoreError::Lost)?;
        let key = self
            .framework
            .find(&self.tag, label)
            .map_err(|error| failure_of_keychain(error, KeyStoreError::Lost))?;
        // The connection to the enclave breaks now and then; the second try finds it mended.
        self.framework
            .sign(&key, message)
            .or_else(|_| self.framework.sign(&key, message))
            .map_err(|error| self.failure_of_signing(error))
    }

    fn delete(&self, handle: &[u8]) {
        if let Ok(label) = core::str::from_utf8(handle) {
            // Nothing there, or not to be reached now: both are dealt with when the next key is made.
            let _ = self.framework.delete(&self.tag, Some(label));
        }
    }

    /// The item was found, so the device has been unlocked since its start. An item can outlive its key all the same:
    /// after a restore of the same device, the enclave no longer opens it. The errors do not tell this from an enclave
    /// that does not answer; a new key does.
    fn failure_of_signing(&self, error: SystemError) -> KeyStoreError {
        match failure_of_keychain(error, KeyStoreError::Lost) {
            KeyStoreError::Unavailable if error.as_os_status() != Some(ERR_SEC_INTERACTION_NOT_ALLOWED) => {
                let enclave = self.framework.make(None).and_then(|key| self.framework.sign(&key, b"probe"));
                if enclave.is_ok() { KeyStoreError::Lost } else { KeyStoreError::Unavailable }
            }
            failure => failure,
        }
    }
}

/// Bytes of an uncompressed P-256 point.
const POINT_LENGTH: usize = 65;

// From `SecBase.h`. The layer that makes the calls compares them with the framework's own when it is compiled.
/// There is no such function: no enclave.
pub(super) const ERR_SEC_UNIMPLEMENTED: i64 = -4;
/// No such item, or none that this app may see.
pub(super) const ERR_SEC_ITEM_NOT_FOUND: i64 = -25300;
/// The device is locked, or was not unlocked since its start.
pub(super) const ERR_SEC_INTERACTION_NOT_ALLOWED: i64 = -25308;
/// The item cannot be decoded.
pub(super) const ERR_SEC_DECODE: i64 = -26275;

/// What a failed look into the keychain means; an item that is gone or damaged is `without_item`.
fn failure_of_keychain(error: SystemError, without_item: KeyStoreError) -> KeyStoreError {
    match error.as_os_status() {
        Some(ERR_SEC_ITEM_NOT_FOUND | ERR_SEC_DECODE) => without_item,
        _ => KeyStoreError::Unavailable,
    }
}

fn failure_of_making(error: SystemError) -> KeyStoreError {
    match error.as_os_status() {
        Some(ERR_SEC_UNIMPLEMENTED) => KeyStoreError::Unsupported,
        _ => KeyStoreError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_util::FutureExt;
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{Signature, VerifyingKey};

    use crate::apple::fakes::{FakeFramework, LOCKED, NO_ANSWER, NOT_FOUND, wait};

    const ERR_SEC_PARAM: i32 = -50;
    const ERR_SEC_NOT_AVAILABLE: i32 = -25291;
    const ERR_SEC_MISSING_ENTITLEMENT: i32 = -34018;

    fn tag() -> Tag {
        Tag::new("example.app", "https://attest.example", "app")
    }

    impl FakeFramework {
        fn keys(&self) -> SecureEnclave<Self> {
            SecureEnclave::new(self.clone(), tag())
        }
    }

    #[test]
    fn a_key_is_found_again_by_its_handle_and_signs_in_der() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        assert_eq!(key.protection, KeyProtection::SecureEnclave);
        assert!(key.chain.is_empty());
        // Another process of the app, later.
        let signature = wait(device.keys().sign(key.handle, b"message".to_vec())).unwrap();
        let public_key = VerifyingKey::from_sec1_bytes(&key.public_key).unwrap();
        let signature = Signature::from_der(&signature).unwrap();
        assert!(public_key.verify(b"message", &signature).is_ok());
    }

    #[test]
    fn a_key_outside_the_enclave_says_so() {
        let device = FakeFramework::default();
        device.state().without_enclave = true;
        assert_eq!(wait(device.keys().make(None)).unwrap().protection, KeyProtection::Software);
    }

    #[test]
    fn making_a_key_deletes_what_an_earlier_installation_left() {
        let device = FakeFramework::default();
        let earlier = wait(device.keys().make(None)).unwrap();
        let key = wait(device.keys().make(None)).unwrap();
        assert_ne!(earlier.handle, key.handle);
        assert_eq!(device.labels(), [String::from_utf8(key.handle).unwrap()]);
        let signed = wait(device.keys().sign(earlier.handle, b"message".to_vec()));
        assert_eq!(signed, Err(KeyStoreError::Lost), "its handle finds no other key");
    }

    #[test]
    fn the_keys_of_other_attesters_stay() {
        let device = FakeFramework::default();
        let others = [
            Tag::new("example.other", "https://attest.example", "app"),
            Tag::new("example.app", "https://attest.other", "app"),
            Tag::new("example.app", "https://attest.example", "other"),
            Tag::new("example.ap", "phttps://attest.example", "app"),
        ];
        let handles = others.map(|tag| {
            assert_ne!(tag, self::tag());
            let keys = SecureEnclave::new(device.clone(), tag);
            (wait(keys.make(None)).unwrap().handle, keys)
        });
        let key = wait(device.keys().make(None)).unwrap();
        wait(device.keys().delete(key.handle.clone()));
        for (handle, keys) in handles {
            assert!(wait(keys.sign(handle.clone(), b"message".to_vec())).is_ok());
            let elsewhere = wait(device.keys().sign(handle, b"message".to_vec()));
            assert_eq!(elsewhere, Err(KeyStoreError::Lost), "a handle is of use to its own attester alone");
        }
    }

    #[test]
    fn a_deleted_key_is_lost_and_may_be_deleted_again() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        wait(device.keys().delete(key.handle.clone()));
        wait(device.keys().delete(key.handle.clone()));
        assert_eq!(device.labels(), [""; 0]);
        assert_eq!(wait(device.keys().sign(key.handle, vec![])), Err(KeyStoreError::Lost));
    }

    #[test]
    fn a_handle_that_is_none_is_lost() {
        let keys = FakeFramework::default().keys();
        for handle in [vec![], vec![0xff, 0xfe], b"no such label".to_vec()] {
            assert_eq!(wait(keys.sign(handle.clone(), vec![])), Err(KeyStoreError::Lost));
            wait(keys.delete(handle));
        }
    }

    #[test]
    fn a_failed_search_is_lost_only_if_the_item_is_gone_or_damaged() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        let of_code = [
            (NOT_FOUND, KeyStoreError::Lost),
            (SystemError::os_status(-26275), KeyStoreError::Lost),
            (LOCKED, KeyStoreError::Unavailable),
            (SystemError::os_status(ERR_SEC_NOT_AVAILABLE), KeyStoreError::Unavailable),
            (SystemError::os_status(ERR_SEC_MISSING_ENTITLEMENT), KeyStoreError::Unavailable),
            (SystemError::os_status(ERR_SEC_PARAM), KeyStoreError::Unavailable),
            (SystemError { code: -25300, ..NO_ANSWER }, KeyStoreError::Unavailable),
        ];
        for (error, meaning) in of_code {
            device.state().finding = Some(error);
            let signed = wait(device.keys().sign(key.handle.clone(), vec![]));
            assert_eq!(signed, Err(meaning), "{error:?}");
        }
    }

    #[test]
    fn a_failed_making_is_for_ever_only_without_an_enclave() {
        let device = FakeFramework::default();
        let of_code = [
            (SystemError::os_status(-4), KeyStoreError::Unsupported),
            (LOCKED, KeyStoreError::Unavailable),
            (NOT_FOUND, KeyStoreError::Unavailable),
            (SystemError::os_status(ERR_SEC_NOT_AVAILABLE), KeyStoreError::Unavailable),
            (SystemError::os_status(ERR_SEC_MISSING_ENTITLEMENT), KeyStoreError::Unavailable),
            (NO_ANSWER, KeyStoreError::Unavailable),
            (SystemError::UNEXPLAINED, KeyStoreError::Unavailable),
        ];
        for (error, meaning) in of_code {
            device.state().making = Some(error);
            assert_eq!(wait(device.keys().make(None)).err(), Some(meaning), "{error:?}");
        }
    }

    #[test]
    fn no_key_is_made_beside_one_that_cannot_be_deleted() {
        let device = FakeFramework::default();
        wait(device.keys().make(None)).unwrap();
        device.state().deleting = Some(LOCKED);
        assert_eq!(wait(device.keys().make(None)).err(), Some(KeyStoreError::Unavailable));
        assert_eq!(device.labels().len(), 1);
    }

    #[test]
    fn a_locked_device_loses_no_key() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        device.state().signing = Some(LOCKED);
        let signed = wait(device.keys().sign(key.handle.clone(), vec![]));
        assert_eq!(signed, Err(KeyStoreError::Unavailable));
        assert_eq!(device.state().keys_made, 1, "the enclave was not put to the test");
        device.state().signing = None;
        assert!(wait(device.keys().sign(key.handle, vec![])).is_ok());
    }

    #[test]
    fn a_key_that_the_enclave_no_longer_opens_is_lost() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        device.state().items.values_mut().for_each(|key| key.is_dead = true);
        assert_eq!(wait(device.keys().sign(key.handle, vec![])), Err(KeyStoreError::Lost));
        assert_eq!(device.labels().len(), 1, "the key made for the test is not kept");
    }

    #[test]
    fn an_enclave_that_does_not_answer_loses_no_key() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        device.state().signing = Some(NO_ANSWER);
        let signed = wait(device.keys().sign(key.handle.clone(), vec![]));
        assert_eq!(signed, Err(KeyStoreError::Unavailable));
        device.state().signing = None;
        device.state().making = Some(NO_ANSWER);
        device.state().failing_signatures = 2;
        let signed = wait(device.keys().sign(key.handle, vec![]));
        assert_eq!(signed, Err(KeyStoreError::Unavailable));
    }

    #[test]
    fn one_failed_signature_is_tried_again() {
        let device = FakeFramework::default();
        let key = wait(device.keys().make(None)).unwrap();
        device.state().failing_signatures = 1;
        assert!(wait(device.keys().sign(key.handle, vec![])).is_ok());
    }

    #[test]
    fn a_public_key_that_is_none_leaves_nothing_behind() {
        let device = FakeFramework::default();
        for length in [0, 33, 64] {
            device.state().cut = Some(length);
            assert_eq!(wait(device.keys().make(None)).err(), Some(KeyStoreError::Unavailable));
            assert_eq!(device.labels(), [""; 0]);
        }
    }

    #[test]
    fn who_was_given_up_while_waiting_deletes_nobodys_key() {
        let device = FakeFramework::default();
        let keys = device.keys();
        device.state().held = true;
        let mut first = keys.make(None);
        assert!((&mut first).now_or_never().is_none());
        drop(device.0.changed.wait_while(device.state(), |state| state.waiting == 0).unwrap());
        let mut second = keys.make(None);
        assert!((&mut second).now_or_never().is_none(), "its turn comes after the first");
        drop(second);
        device.state().held = false;
        device.0.changed.notify_all();
        let key = wait(first).unwrap();
        // Each thread lets go of the store when it ends.
        while Arc::strong_count(&keys.store) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(device.state().keys_made, 1);
        assert!(wait(keys.sign(key.handle, vec![])).is_ok());
    }
}
