//! The instance key: where it comes to live, and what the attester is told when it does not.

use std::pin::Pin;

use countersign_core::token::keys::{Algorithm, PublicKey, PureRust, VerifySignature};
use countersign_ffi::android::AndroidKeyStore;
use countersign_ffi::{InstanceKeys, KeyProtection, KeyStoreError, NewKey};
use p256::ecdsa::Signature;

use crate::phone::Phone;
use crate::wait::{block_on, poll_once};

const CHALLENGE: [u8; 32] = [5; 32];

fn make() -> Result<NewKey, KeyStoreError> {
    block_on(AndroidKeyStore.make(Some(CHALLENGE.to_vec())))
}

fn sign(handle: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
    block_on(AndroidKeyStore.sign(handle.to_vec(), b"message".to_vec()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What a phone with this fault says instead of making a key; nothing may be left behind.
fn refusal(fault: &str) -> Option<KeyStoreError> {
    let phone = Phone::with_fault(fault)?;
    let error = make().map(|key| key.protection).expect_err(fault);
    assert_eq!(phone.aliases(), Vec::<String>::new(), "{fault}");
    Some(error)
}

/// What a phone says of signing, on which something goes wrong after the key was made.
fn refusal_to_sign(fault: &str) -> Option<KeyStoreError> {
    let phone = Phone::take()?;
    let key = make().unwrap();
    phone.play(fault);
    let error = sign(&key.handle).expect_err(fault);
    assert_eq!(phone.aliases().len(), 1, "{fault}: keys are deleted when the attester says so");
    Some(error)
}

#[test]
fn a_key_is_made_in_strongbox_and_attested_under_the_challenge() {
    let Some(phone) = Phone::take() else { return };
    let key = make().unwrap();
    assert_eq!(key.protection, KeyProtection::Strongbox);
    assert_eq!(key.chain.len(), 5);
    assert!(contains(&key.chain[0], &CHALLENGE), "the challenge is in the leaf");
    assert!(contains(&key.chain[0], &key.public_key), "the leaf is of the key");
    assert_eq!(phone.aliases(), [String::from_utf8(key.handle).unwrap()]);
}

#[test]
fn the_key_signs_what_its_public_part_verifies() {
    let Some(_phone) = Phone::take() else { return };
    let key = make().unwrap();
    let signature = sign(&key.handle).unwrap();
    let signature: [u8; 64] = Signature::from_der(&signature).unwrap().to_bytes().into();
    let public = PublicKey::from_p256_sec1(&key.public_key).unwrap();
    assert_eq!(public.algorithm(), Algorithm::Esp256);
    assert!(PureRust.verify(&public, b"message", &signature).is_ok());
    assert!(PureRust.verify(&public, b"another", &signature).is_err());
}

#[test]
fn every_key_has_an_alias_of_its_own_and_deleting_one_leaves_the_others() {
    let Some(phone) = Phone::take() else { return };
    phone.put_key_of_the_app("dev.example.key");
    let (first, second) = (make().unwrap(), make().unwrap());
    assert_ne!(first.handle, second.handle);
    block_on(AndroidKeyStore.delete(first.handle.clone()));
    assert_eq!(phone.aliases().len(), 2);
    assert_eq!(sign(&first.handle), Err(KeyStoreError::Lost));
    assert!(sign(&second.handle).is_ok());
    block_on(AndroidKeyStore.delete(first.handle));
}

#[test]
fn a_handle_that_is_no_alias_of_ours_names_no_key() {
    let Some(phone) = Phone::take() else { return };
    let key = make().unwrap();
    let aliases =
        ["dev.example.key", "dev.countersign.instance.", "dev.countersign.instance.000000000000000g"];
    for alias in aliases {
        phone.put_key_of_the_app(alias);
        assert_eq!(sign(alias.as_bytes()), Err(KeyStoreError::Lost), "{alias}");
        block_on(AndroidKeyStore.delete(alias.as_bytes().to_vec()));
        assert!(phone.aliases().contains(&alias.to_owned()), "{alias}: it is the app's own");
    }
    assert_eq!(sign(&[0xff; 4096]), Err(KeyStoreError::Lost));
    assert!(sign(&key.handle).is_ok());
}

#[test]
fn without_strongbox_the_key_lives_in_the_tee_and_says_so() {
    for fault in ["no StrongBox", "vendor's StrongBox", "StrongBox out of keys"] {
        let Some(phone) = Phone::with_fault(fault) else { return };
        let key = make().unwrap();
        assert_eq!(key.protection, KeyProtection::Tee, "{fault}");
        assert!(contains(&key.chain[0], &CHALLENGE), "{fault}");
        assert_eq!(phone.aliases().len(), 1, "{fault}");
    }
}

#[test]
fn a_strongbox_that_dies_for_a_moment_is_no_reason_for_a_weaker_key() {
    assert!(matches!(refusal("StrongBox dies"), None | Some(KeyStoreError::Unavailable)));
}

#[test]
fn a_key_that_the_key_store_does_not_place_counts_as_software() {
    for fault in ["lives in software", "no information"] {
        let Some(_phone) = Phone::with_fault(fault) else { return };
        assert_eq!(make().unwrap().protection, KeyProtection::Software, "{fault}");
    }
}

#[test]
fn a_phone_that_attests_no_keys_makes_one_without_a_chain() {
    for fault in ["not provisioned", "old and without attestation"] {
        let Some(_phone) = Phone::with_fault(fault) else { return };
        let key = make().unwrap();
        assert!(key.chain.is_empty(), "{fault}");
        assert!(sign(&key.handle).is_ok(), "{fault}");
    }
}

#[test]
fn without_a_challenge_no_attestation_is_asked_for() {
    let Some(_phone) = Phone::take() else { return };
    let key = block_on(AndroidKeyStore.make(None)).unwrap();
    assert!(key.chain.is_empty());
}

#[test]
fn an_empty_pool_of_attestation_keys_is_waited_for_and_no_unattested_key_is_made() {
    assert!(matches!(refusal("out of keys"), None | Some(KeyStoreError::Unavailable)));
}

#[test]
fn a_key_store_that_does_not_answer_is_unavailable() {
    for fault in ["dead", "service specific"] {
        assert!(matches!(refusal(fault), None | Some(KeyStoreError::Unavailable)), "{fault}");
    }
}

#[test]
fn a_key_store_without_such_keys_is_unsupported() {
    assert!(matches!(refusal("no such curve"), None | Some(KeyStoreError::Unsupported)));
}

#[test]
fn exceptions_that_fight_back_are_cleared_and_typed() {
    for fault in ["error in the machine", "hostile", "circle"] {
        let Some(phone) = Phone::with_fault(fault) else { return };
        // The second is a provider's exception, for which a key without attestation is tried; it fails alike.
        assert_eq!(make().map(|key| key.protection), Err(KeyStoreError::Unavailable), "{fault}");
        phone.play("");
        assert!(make().is_ok(), "{fault}: nothing is left pending");
    }
}

#[test]
fn null_where_java_promises_a_value_makes_no_key() {
    let faults = ["null pair", "null public key", "null chain", "null in chain", "null certificate"];
    for fault in faults {
        assert!(matches!(refusal(fault), None | Some(KeyStoreError::Unavailable)), "{fault}");
    }
}

#[test]
fn chains_and_certificates_without_end_are_not_read() {
    for fault in ["endless chain", "vast certificate"] {
        assert!(matches!(refusal(fault), None | Some(KeyStoreError::Unavailable)), "{fault}");
    }
}

#[test]
fn a_key_of_another_curve_is_not_taken() {
    assert!(matches!(refusal("key of another curve"), None | Some(KeyStoreError::Unavailable)));
}

#[test]
fn a_key_that_was_invalidated_or_cannot_be_read_is_lost() {
    for fault in ["invalidated", "not found on signing", "unrecoverable"] {
        assert!(matches!(refusal_to_sign(fault), None | Some(KeyStoreError::Lost)), "{fault}");
    }
}

#[test]
fn a_key_behind_a_key_store_that_died_is_not_lost() {
    for fault in ["dead on finding", "dead on signing"] {
        assert!(matches!(refusal_to_sign(fault), None | Some(KeyStoreError::Unavailable)), "{fault}");
    }
}

#[test]
fn a_signature_that_does_not_come_is_waited_for() {
    for fault in ["signature fails", "null signature", "hostile on signing"] {
        assert!(matches!(refusal_to_sign(fault), None | Some(KeyStoreError::Unavailable)), "{fault}");
    }
}

#[test]
fn a_key_that_nobody_waits_for_any_more_is_deleted() {
    let Some(phone) = Phone::take() else { return };
    phone.hold();
    let mut making: Pin<Box<_>> = AndroidKeyStore.make(Some(CHALLENGE.to_vec()));
    assert!(poll_once(&mut making).is_pending());
    drop(making);
    phone.release();
    // On a thread that nobody can be asked about.
    while phone.keys_made() == 0 || !phone.aliases().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn a_key_store_that_hangs_does_not_get_all_threads() {
    let Some(phone) = Phone::take() else { return };
    phone.hold();
    let mut hanging: Vec<_> = (0..4).map(|_| AndroidKeyStore.make(None)).collect();
    for making in &mut hanging {
        assert!(poll_once(making).is_pending());
    }
    let (mut given_up, mut waiting) = (AndroidKeyStore.make(None), AndroidKeyStore.make(None));
    assert!(poll_once(&mut given_up).is_pending() && poll_once(&mut waiting).is_pending());
    drop(given_up);
    phone.release();
    for making in hanging {
        assert!(block_on(making).is_ok());
    }
    assert!(block_on(waiting).is_ok(), "its turn came");
    assert_eq!(phone.keys_made(), 5, "what was given up before its turn had no thread");
}

#[test]
fn whoever_polls_does_not_wait_for_the_key_store() {
    let Some(phone) = Phone::take() else { return };
    let key = make().unwrap();
    phone.hold();
    let mut making = AndroidKeyStore.make(None);
    assert!(poll_once(&mut making).is_pending(), "it comes back although the key store does not");
    assert!(sign(&key.handle).is_ok(), "and other work goes on");
    phone.release();
    assert!(block_on(making).is_ok());
}
