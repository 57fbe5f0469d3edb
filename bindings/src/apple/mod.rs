//! iOS: App Attest and the Secure Enclave behind the attester's ports.
//!
//! Two layers. What Apple's answers mean (`app_attest`, `secure_enclave`, `facts`) is written over small traits of the
//! few calls that are made, and tested on any host with fakes of the system. The calls themselves (`device_check`,
//! `keychain`, `foundation`, `process`) hold nothing that could be decided otherwise; they are the only files of the
//! crate with `unsafe` for Apple, and are compiled for Apple's systems alone.

#[cfg(any(target_vendor = "apple", test))]
mod app_attest;
#[cfg(target_vendor = "apple")]
mod device_check;
#[cfg(any(target_vendor = "apple", test))]
mod facts;
#[cfg(test)]
mod fakes;
#[cfg(target_vendor = "apple")]
mod foundation;
#[cfg(target_vendor = "apple")]
mod keychain;
#[cfg(test)]
mod lifecycle;
#[cfg(target_vendor = "apple")]
mod process;
#[cfg(any(target_vendor = "apple", test))]
mod secure_enclave;
#[cfg(any(target_vendor = "apple", test))]
mod system_error;

use std::sync::Arc;

use crate::attester::Attester;
use crate::error::CountersignError;
use crate::port::{Timer, Transport};
use crate::record::Configuration;

/// An attester on Apple's systems: an instance key in the Secure Enclave, App Attest as its evidence, its state in
/// Application Support out of backups. `configuration.platform` must be [`DevicePlatform::Apple`]; an `app_version`
/// that is empty is the bundle's.
///
/// The simulator has neither enclave nor App Attest. A build for it makes an [`Attester::development`] instead, which
/// [`Attester::development_key`] tells; a build for devices holds no way there.
///
/// [`DevicePlatform::Apple`]: crate::DevicePlatform::Apple
///
/// # Errors
/// [`CountersignError::Configuration`]; [`CountersignError::DeviceUnsupported`] on other systems, and in a process
/// that has no bundle; [`CountersignError::PlatformUnavailable`] if the folder for the state cannot be had.
#[uniffi::export]
pub fn apple_attester(
    configuration: Configuration,
    transport: Arc<dyn Transport>,
    timer: Arc<dyn Timer>,
) -> Result<Arc<Attester>, CountersignError> {
    system::attester(configuration, transport, timer)
}

#[cfg(target_vendor = "apple")]
mod system {
    use super::app_attest::AppAttest;
    use super::device_check::SharedService;
    use super::facts::ApplePlatform;
    use super::keychain::Security;
    use super::process::ThisProcess;
    use super::secure_enclave::{SecureEnclave, Tag};
    use super::*;
    use crate::file_storage::FileStorage;
    use crate::port::{Parts, Ports};
    use crate::probe::Surroundings;

    /// Settled when the library is built: nothing on a device leads to the ways of the simulator.
    const IS_SIMULATOR: bool = cfg!(target_env = "sim");

    pub(super) fn attester(
        configuration: Configuration,
        transport: Arc<dyn Transport>,
        timer: Arc<dyn Timer>,
    ) -> Result<Arc<Attester>, CountersignError> {
        let bundle = foundation::main_bundle();
        let configuration = completed(configuration, bundle.version.as_deref())?;
        let folder = foundation::folder_out_of_backups().ok_or(CountersignError::PlatformUnavailable)?;
        if IS_SIMULATOR {
            return Attester::development(configuration, folder, transport, timer);
        }
        let identifier = bundle.identifier.ok_or(CountersignError::DeviceUnsupported)?;
        let tag = Tag::new(&identifier, &configuration.issuer, &configuration.client_id);
        let storage = Arc::new(FileStorage::new(&folder, &configuration));
        let ports = Ports {
            keys: Arc::new(SecureEnclave::new(Security, tag)),
            evidence: Arc::new(AppAttest::new(SharedService)),
            transport,
            storage: storage.clone(),
            timer,
        };
        let platform = ApplePlatform::new(ThisProcess, IS_SIMULATOR, Some(identifier), bundle.folder);
        let signals = Arc::new(Surroundings::new(Arc::new(platform), configuration.expected()?));
        let parts = Parts { enrolment_lock: Some(storage), signals: Some(signals), ..Parts::new(ports) };
        Attester::from_parts(configuration, parts)
    }
}

#[cfg(not(target_vendor = "apple"))]
mod system {
    use super::*;

    pub(super) fn attester(
        _: Configuration,
        _: Arc<dyn Transport>,
        _: Arc<dyn Timer>,
    ) -> Result<Arc<Attester>, CountersignError> {
        Err(CountersignError::DeviceUnsupported)
    }
}

/// The configuration with the bundle's version in the place of none.
#[cfg(any(target_vendor = "apple", test))]
fn completed(
    mut configuration: Configuration,
    bundle_version: Option<&str>,
) -> Result<Configuration, CountersignError> {
    use crate::record::DevicePlatform;

    if !matches!(configuration.platform, DevicePlatform::Apple { .. }) {
        return Err(CountersignError::Configuration { reason: "config_platform".to_owned() });
    }
    if configuration.app_version.is_empty() {
        configuration.app_version = bundle_version.unwrap_or_default().to_owned();
    }
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::DevicePlatform;

    fn configuration(platform: DevicePlatform, app_version: &str) -> Configuration {
        Configuration {
            issuer: "https://attest.example".to_owned(),
            client_id: "app".to_owned(),
            resources: Vec::new(),
            app_version: app_version.to_owned(),
            platform,
            pinned_keys: None,
            expected_app: None,
            danger_plaintext: false,
        }
    }

    const APPLE: DevicePlatform = DevicePlatform::Apple { production: true };

    #[test]
    fn the_bundle_tells_the_version_that_the_app_leaves_out() {
        let version = |given, bundle| completed(configuration(APPLE, given), bundle).unwrap().app_version;
        assert_eq!(version("2.0", Some("1.0")), "2.0");
        assert_eq!(version("", Some("1.0")), "1.0");
        assert_eq!(version("", None), "", "which no configuration may have");
    }

    #[test]
    fn a_configuration_for_another_platform_is_refused() {
        for platform in [DevicePlatform::Development, DevicePlatform::Android { play_integrity: true }] {
            let refused = completed(configuration(platform, "1.0"), None).err();
            let expected = CountersignError::Configuration { reason: "config_platform".to_owned() };
            assert_eq!(refused, Some(expected), "{platform:?}");
        }
    }
}
