//! The calls to Foundation: the app's bundle, and the folder for what the app keeps.
#![allow(unsafe_code)]

use objc2::rc::autoreleasepool;
use objc2_foundation::{
    NSBundle, NSFileManager, NSNumber, NSSearchPathDirectory, NSSearchPathDomainMask, NSString,
    NSURLIsExcludedFromBackupKey, ns_string,
};

/// What a bundle says of its app.
pub(super) struct Bundle {
    /// `CFBundleIdentifier`.
    pub(super) identifier: Option<String>,
    /// `CFBundleShortVersionString`.
    pub(super) version: Option<String>,
    /// Where it is.
    pub(super) folder: String,
}

/// The bundle of the running app, or of the extension that runs.
pub(super) fn main_bundle() -> Bundle {
    autoreleasepool(|_| {
        let bundle = NSBundle::mainBundle();
        let version = bundle
            .objectForInfoDictionaryKey(ns_string!("CFBundleShortVersionString"))
            .and_then(|version| version.downcast::<NSString>().ok());
        Bundle {
            identifier: bundle.bundleIdentifier().map(|identifier| identifier.to_string()),
            version: version.map(|version| version.to_string()),
            folder: bundle.bundlePath().to_string(),
        }
    })
}

/// A folder in Application Support that no backup takes along: what is in it names keys of this device. `None` if it
/// cannot be made, or not be kept out of backups.
///
/// The mark is the folder's and not the file's, because a file that is replaced loses its own.
pub(super) fn folder_out_of_backups() -> Option<String> {
    autoreleasepool(|_| {
        let support = NSFileManager::defaultManager()
            .URLForDirectory_inDomain_appropriateForURL_create_error(
                NSSearchPathDirectory::ApplicationSupportDirectory,
                NSSearchPathDomainMask::UserDomainMask,
                None,
                true,
            )
            .ok()?;
        let folder = support.URLByAppendingPathComponent_isDirectory(ns_string!("dev.countersign"), true)?;
        let path = folder.path()?.to_string();
        std::fs::create_dir_all(&path).ok()?;
        let excluded = NSNumber::new_bool(true);
        // SAFETY: the key is a constant of the framework, and its value is documented to be a boolean number.
        unsafe { folder.setResourceValue_forKey_error(Some(&excluded), NSURLIsExcludedFromBackupKey) }
            .ok()?;
        Some(path)
    })
}
