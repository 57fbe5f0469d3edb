//! The trust bundle that the settings name, and that its version never goes back.

use std::io::Read;

use countersign_core::encoding::from_base64url_array;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::trust_bundle::{BundleError, MAX_BUNDLE, TrustBundle};

use super::{Trust, TrustError};
use crate::bounded_file;
use crate::settings::Settings;
use crate::store::Store;

/// The Ed25519 key in a text: base64url of 32 bytes, 43 characters.
pub(crate) fn bundle_key(text: &str) -> Option<PublicKey> {
    PublicKey::from_ed25519(from_base64url_array(text).ok()?).ok()
}

/// Reads the bundle that the settings name, and verifies all of it but whether its version may follow the last one.
pub(super) fn read(settings: &Settings, now: Timestamp) -> Result<Option<TrustBundle>, TrustError> {
    let (Some(path), Some(key)) = (&settings.trust.bundle, &settings.trust.bundle_key) else {
        return Ok(None);
    };
    // The settings have seen to it that it is a key.
    let key = bundle_key(key).ok_or_else(|| TrustError::Bundle(path.clone(), BundleError::OtherKey))?;
    let mut bytes = Vec::new();
    let read =
        bounded_file::open(path).and_then(|file| file.take(MAX_BUNDLE as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| TrustError::Unreadable(path.clone(), error.kind()))?;
    let bundle = TrustBundle::verify(&bytes, &key, now);
    bundle.map(Some).map_err(|error| TrustError::Bundle(path.clone(), error))
}

/// Remembers the bundle of `trust`, so that no older one follows it, also after a restart.
///
/// # Errors
/// A later bundle, or another one of this version, was taken before.
pub(crate) async fn remember(trust: &Trust, settings: &Settings, store: &Store) -> Result<(), TrustError> {
    let Some(bundle) = trust.bundle() else { return Ok(()) };
    let path = settings.trust.bundle.clone().unwrap_or_default();
    let next = bundle.seen();
    let before = store.seen_bundle().await.map_err(TrustError::Store)?;
    if let Some(seen) = before {
        seen.may_be_followed_by(&next).map_err(|error| TrustError::Bundle(path, error))?;
    }
    if before == Some(next) {
        return Ok(());
    }
    store.remember_bundle(&next).await.map_err(TrustError::Store)
}
