//! The calls to the Security framework: keys in the Secure Enclave, kept in the keychain.
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};

use objc2_core_foundation::{
    CFBoolean, CFData, CFDictionary, CFError, CFNumber, CFRetained, CFString, CFType,
};
use objc2_security::{
    SecAccessControl, SecAccessControlCreateFlags, SecItemCopyMatching, SecItemDelete, SecKey, errSecDecode,
    errSecInteractionNotAllowed, errSecItemNotFound, errSecSuccess, errSecUnimplemented,
    kSecAttrAccessControl, kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly, kSecAttrApplicationTag,
    kSecAttrIsPermanent, kSecAttrKeyClass, kSecAttrKeyClassPrivate, kSecAttrKeySizeInBits, kSecAttrKeyType,
    kSecAttrKeyTypeECSECPrimeRandom, kSecAttrLabel, kSecAttrTokenID, kSecAttrTokenIDSecureEnclave, kSecClass,
    kSecClassKey, kSecKeyAlgorithmECDSASignatureMessageX962SHA256, kSecMatchLimit, kSecMatchLimitOne,
    kSecPrivateKeyAttrs, kSecReturnRef, kSecUseDataProtectionKeychain,
};

use super::secure_enclave::{
    ERR_SEC_DECODE, ERR_SEC_INTERACTION_NOT_ALLOWED, ERR_SEC_ITEM_NOT_FOUND, ERR_SEC_UNIMPLEMENTED,
    KeyDescription, SecurityFramework, Tag,
};
use super::system_error::{Domain, SystemError};

const _: () = {
    assert!(errSecUnimplemented as i64 == ERR_SEC_UNIMPLEMENTED);
    assert!(errSecItemNotFound as i64 == ERR_SEC_ITEM_NOT_FOUND);
    assert!(errSecInteractionNotAllowed as i64 == ERR_SEC_INTERACTION_NOT_ALLOWED);
    assert!(errSecDecode as i64 == ERR_SEC_DECODE);
};

/// The system's own framework.
pub(super) struct Security;

type Dictionary = CFDictionary<CFString, CFType>;

impl SecurityFramework for Security {
    type Key = CFRetained<SecKey>;

    fn make(&self, permanent: Option<(&Tag, &str)>) -> Result<Self::Key, SystemError> {
        let access = access_control()?;
        let is_permanent = CFBoolean::new(permanent.is_some());
        let size = CFNumber::new_i32(256);
        // SAFETY: constants of the framework, set before any code of the app runs.
        let names =
            unsafe { (kSecAttrIsPermanent, kSecAttrAccessControl, kSecAttrApplicationTag, kSecAttrLabel) };
        let mut of_private_key: Vec<(&CFString, &CFType)> = vec![(names.0, is_permanent), (names.1, &access)];
        let tag_and_label =
            permanent.map(|(tag, label)| (CFData::from_bytes(tag.as_bytes()), CFString::from_str(label)));
        if let Some((tag, label)) = &tag_and_label {
            of_private_key
                .extend([(names.2, tag.as_ref()), (names.3, label.as_ref())] as [(&CFString, &CFType); 2]);
        }
        let of_private_key = dictionary(&of_private_key);
        // SAFETY: constants of the framework.
        let attributes = unsafe {
            dictionary(&[
                (kSecAttrKeyType, kSecAttrKeyTypeECSECPrimeRandom),
                (kSecAttrKeySizeInBits, &size),
                (kSecAttrTokenID, kSecAttrTokenIDSecureEnclave),
                (kSecUseDataProtectionKeychain, CFBoolean::new(true)),
                (kSecPrivateKeyAttrs, &of_private_key),
            ])
        };
        let mut error = ptr::null_mut();
        // SAFETY: the dictionary holds the names and types that the function documents; `error` may be written to.
        let key = unsafe { SecKey::new_random_key(attributes.as_opaque(), &mut error) };
        key.ok_or_else(|| taken(error))
    }

    fn find(&self, tag: &Tag, label: &str) -> Result<Self::Key, SystemError> {
        let (tag, label) = (CFData::from_bytes(tag.as_bytes()), CFString::from_str(label));
        // SAFETY: constants of the framework.
        let query = unsafe {
            dictionary(&[
                (kSecClass, kSecClassKey),
                (kSecAttrKeyClass, kSecAttrKeyClassPrivate),
                (kSecAttrApplicationTag, &tag),
                (kSecAttrLabel, &label),
                (kSecUseDataProtectionKeychain, CFBoolean::new(true)),
                (kSecMatchLimit, kSecMatchLimitOne),
                (kSecReturnRef, CFBoolean::new(true)),
            ])
        };
        let mut found: *const CFType = ptr::null();
        // SAFETY: the dictionary holds the names and types that the function documents; `found` may be written to.
        let status = unsafe { SecItemCopyMatching(query.as_opaque(), &mut found) };
        // SAFETY: what a function with `Copy` in its name returns is null or owned by the caller.
        let found = NonNull::new(found.cast_mut()).map(|found| unsafe { CFRetained::from_raw(found) });
        checked(status)?;
        found.and_then(|found| found.downcast::<SecKey>().ok()).ok_or(SystemError::UNEXPLAINED)
    }

    fn delete(&self, tag: &Tag, label: Option<&str>) -> Result<(), SystemError> {
        let tag = CFData::from_bytes(tag.as_bytes());
        let label = label.map(CFString::from_str);
        // SAFETY: constants of the framework.
        let names = unsafe {
            (kSecClass, kSecClassKey, kSecAttrApplicationTag, kSecAttrLabel, kSecUseDataProtectionKeychain)
        };
        let mut query: Vec<(&CFString, &CFType)> =
            vec![(names.0, names.1), (names.2, &tag), (names.4, CFBoolean::new(true))];
        if let Some(label) = &label {
            query.push((names.3, label));
        }
        // SAFETY: the dictionary holds the names and types that the function documents.
        checked(unsafe { SecItemDelete(dictionary(&query).as_opaque()) })
    }

    fn describe(&self, key: &Self::Key) -> Result<KeyDescription, SystemError> {
        let mut error = ptr::null_mut();
        // SAFETY: takes a key alone.
        let public_key = unsafe { key.public_key() }.ok_or(SystemError::UNEXPLAINED)?;
        // SAFETY: `error` may be written to.
        let point = unsafe { public_key.external_representation(&mut error) }.ok_or_else(|| taken(error))?;
        // SAFETY: takes a key alone; the attributes of a key are documented to be strings with values of any type.
        let is_in_enclave = unsafe {
            key.attributes().is_some_and(|attributes| {
                let attributes = CFRetained::cast_unchecked::<Dictionary>(attributes);
                attributes.get(kSecAttrTokenID).is_some_and(|token| *token == **kSecAttrTokenIDSecureEnclave)
            })
        };
        Ok(KeyDescription { public_key: point.to_vec(), is_in_enclave })
    }

    fn sign(&self, key: &Self::Key, message: &[u8]) -> Result<Vec<u8>, SystemError> {
        let mut error = ptr::null_mut();
        // SAFETY: the algorithm is a constant of the framework; `error` may be written to.
        let signature = unsafe {
            key.signature(
                kSecKeyAlgorithmECDSASignatureMessageX962SHA256,
                &CFData::from_bytes(message),
                &mut error,
            )
        };
        signature.map(|signature| signature.to_vec()).ok_or_else(|| taken(error))
    }
}

/// Signing by this app on this device, without asking the user, once the device was unlocked after its start.
fn access_control() -> Result<CFRetained<SecAccessControl>, SystemError> {
    let mut error = ptr::null_mut();
    // SAFETY: the protection is one of the constants that the function documents; `error` may be written to.
    let access = unsafe {
        SecAccessControl::with_flags(
            None,
            kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
            SecAccessControlCreateFlags::PrivateKeyUsage,
            &mut error,
        )
    };
    access.ok_or_else(|| taken(error))
}

fn dictionary(entries: &[(&CFString, &CFType)]) -> CFRetained<Dictionary> {
    let (names, values): (Vec<&CFString>, Vec<&CFType>) = entries.iter().copied().unzip();
    CFDictionary::from_slices(&names, &values)
}

fn checked(status: i32) -> Result<(), SystemError> {
    if status == errSecSuccess { Ok(()) } else { Err(SystemError::os_status(status)) }
}

/// The error that a function left behind, which the caller owns.
fn taken(error: *mut CFError) -> SystemError {
    let Some(error) = NonNull::new(error) else { return SystemError::UNEXPLAINED };
    // SAFETY: functions of this framework hand over the error that they create.
    let error = unsafe { CFRetained::from_raw(error) };
    let domain = error.domain().map_or(Domain::Other, |domain| Domain::from_name(&domain.to_string()));
    SystemError { domain, code: error.code() as i64 }
}
