//! The calls to `DCAppAttestService`.
#![allow(unsafe_code)]

use block2::RcBlock;
use objc2::rc::autoreleasepool;
use objc2_device_check::{DCAppAttestService, DCError};
use objc2_foundation::{NSData, NSError, NSString};

use super::app_attest::{
    AppAttestService, DC_ERROR_FEATURE_UNSUPPORTED, DC_ERROR_INVALID_INPUT, DC_ERROR_INVALID_KEY,
    DC_ERROR_SERVER_UNAVAILABLE,
};
use super::system_error::{Completion, Domain, SystemError};

const _: () = {
    assert!(DCError::FeatureUnsupported.0 as i64 == DC_ERROR_FEATURE_UNSUPPORTED);
    assert!(DCError::InvalidInput.0 as i64 == DC_ERROR_INVALID_INPUT);
    assert!(DCError::InvalidKey.0 as i64 == DC_ERROR_INVALID_KEY);
    assert!(DCError::ServerUnavailable.0 as i64 == DC_ERROR_SERVER_UNAVAILABLE);
};

// Blocks are called on threads of the system's choice, which their types do not say.
const _: () = {
    const fn is_for_any_thread<T: Send + Sync>() {}
    is_for_any_thread::<Completion<String>>();
    is_for_any_thread::<Completion<Vec<u8>>>();
};

/// The system's own service.
pub(super) struct SharedService;

impl AppAttestService for SharedService {
    fn is_supported(&self) -> bool {
        // SAFETY: both take nothing and may be called from any thread.
        autoreleasepool(|_| unsafe { DCAppAttestService::sharedService().isSupported() })
    }

    fn generate_key(&self, completion: Completion<String>) {
        let block = RcBlock::new(move |key_id: *mut NSString, error: *mut NSError| {
            // SAFETY: the system passes null or an object that lives as long as this call.
            let (key_id, error) = unsafe { (key_id.as_ref(), error.as_ref()) };
            completion.complete(key_id.map(ToString::to_string), error.map(system_error));
        });
        // SAFETY: the block takes what the method passes, is copied by it, and may be called and released on any
        // thread: it holds a `Completion`, which is `Send` and `Sync`.
        autoreleasepool(|_| unsafe {
            DCAppAttestService::sharedService().generateKeyWithCompletionHandler(&block);
        });
    }

    fn attest_key(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>) {
        let block = data_block(completion);
        // SAFETY: as for `generate_key`.
        autoreleasepool(|_| unsafe {
            DCAppAttestService::sharedService().attestKey_clientDataHash_completionHandler(
                &NSString::from_str(key_id),
                &NSData::with_bytes(client_data_hash),
                &block,
            );
        });
    }

    fn generate_assertion(&self, key_id: &str, client_data_hash: &[u8; 32], completion: Completion<Vec<u8>>) {
        let block = data_block(completion);
        // SAFETY: as for `generate_key`.
        autoreleasepool(|_| unsafe {
            DCAppAttestService::sharedService().generateAssertion_clientDataHash_completionHandler(
                &NSString::from_str(key_id),
                &NSData::with_bytes(client_data_hash),
                &block,
            );
        });
    }
}

fn data_block(completion: Completion<Vec<u8>>) -> RcBlock<dyn Fn(*mut NSData, *mut NSError)> {
    RcBlock::new(move |data: *mut NSData, error: *mut NSError| {
        // SAFETY: the system passes null or an object that lives as long as this call.
        let (data, error) = unsafe { (data.as_ref(), error.as_ref()) };
        completion.complete(data.map(NSData::to_vec), error.map(system_error));
    })
}

fn system_error(error: &NSError) -> SystemError {
    SystemError { domain: Domain::from_name(&error.domain().to_string()), code: error.code() as i64 }
}
