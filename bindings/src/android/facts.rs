//! What the system tells of the app and of itself. Nothing that identifies the phone is asked for: no serial number, no
//! `ANDROID_ID`, no advertising identifier, no address.

use std::sync::OnceLock;

use countersign_core::environment::probe::{AppFacts, Installer, PlatformProbe, Settings, System};
use countersign_core::request::sha256;
use jni::JValue;
use jni::objects::JObject;

use super::jvm::{self, Fault, Java};
use super::names::{self, Member, exception};

/// `PackageManager.GET_SIGNATURES` and `GET_SIGNING_CERTIFICATES`, which takes its place from API level 28 on.
const GET_SIGNATURES: i32 = 0x40;
const GET_SIGNING_CERTIFICATES: i32 = 0x0800_0000;
/// `ApplicationInfo.FLAG_DEBUGGABLE`.
const FLAG_DEBUGGABLE: i32 = 2;

/// Android's half of what the signals ask. Whatever the system does not tell is left out.
#[derive(Debug, Default)]
pub struct AndroidPlatform {
    /// Read once: nothing of it changes while the app runs.
    app: OnceLock<AppFacts>,
}

impl PlatformProbe for AndroidPlatform {
    fn system(&self) -> System {
        System::Android
    }

    fn property(&self, name: &str) -> Option<String> {
        // The system's own list where there is one: an app can write to the fields of `Build`.
        system_property(name).or_else(|| jvm::with(|java| build_property(java, name)).ok().flatten())
    }

    fn is_installed(&self, package: &str) -> Option<bool> {
        jvm::with(|java| is_installed(java, package)).ok()
    }

    fn is_debugger_attached(&self) -> Option<bool> {
        jvm::with(is_debugger_attached).ok()
    }

    fn app(&self) -> AppFacts {
        self.app.get_or_init(app_facts).clone()
    }

    fn settings(&self) -> Settings {
        Settings {
            developer_mode: jvm::with(|java| is_on(java, "development_settings_enabled")).ok(),
            adb_enabled: jvm::with(|java| is_on(java, "adb_enabled")).ok(),
            has_passcode: jvm::with(has_passcode).ok(),
        }
    }
}

fn app_facts() -> AppFacts {
    let installer = |name: Option<String>| name.map_or(Installer::Nobody, Installer::Package);
    AppFacts {
        identifier: jvm::with(package).ok(),
        signing_digests: jvm::with(signing_digests).ok(),
        installer: jvm::with(self::installer).ok().map(installer),
        is_debuggable: jvm::with(is_debuggable).ok(),
        data_folder: jvm::with(data_folder).ok().flatten(),
        ..AppFacts::default()
    }
}

/// A system property, as `getprop` shows it.
#[cfg(target_os = "android")]
#[expect(unsafe_code, reason = "bionic's list of properties")]
fn system_property(name: &str) -> Option<String> {
    use std::ffi::{CStr, CString};

    let name = CString::new(name).ok()?;
    let mut value = [0; libc::PROP_VALUE_MAX as usize];
    // SAFETY: bionic writes at most PROP_VALUE_MAX bytes, a zero at their end included.
    let length = unsafe { libc::__system_property_get(name.as_ptr(), value.as_mut_ptr()) };
    if length <= 0 {
        return None;
    }
    // SAFETY: it ends with the zero that bionic wrote, or with the last one that was there.
    let value = unsafe { CStr::from_ptr(value.as_ptr()) };
    Some(value.to_string_lossy().into_owned())
}

#[cfg(not(target_os = "android"))]
const fn system_property(_name: &str) -> Option<String> {
    None
}

/// The app's `versionName`.
pub(super) fn app_version(java: &mut Java<'_, '_>) -> Result<Option<String>, Fault> {
    let info = own_package(java, 0)?;
    java.text(&names::PACKAGE_VERSION, &info, &[])
}

/// The app's package.
pub(super) fn package(java: &mut Java<'_, '_>) -> Result<String, Fault> {
    let context = java.context()?;
    java.text(&names::CONTEXT_PACKAGE, &context, &[])?.ok_or(Fault::Unexpected)
}

/// SHA-256 of each certificate that signs the app now.
pub(super) fn signing_digests(java: &mut Java<'_, '_>) -> Result<Vec<[u8; 32]>, Fault> {
    let certificates = match signers(java) {
        // Before API level 28.
        Err(Fault::Missing) => {
            let info = own_package(java, GET_SIGNATURES)?;
            java.elements(&names::PACKAGE_SIGNATURES, &info, &[])?
        }
        signers => signers?,
    };
    let certificates = certificates.ok_or(Fault::Unexpected)?;
    let digest = |certificate| Ok(sha256(&java.bytes(&names::CERTIFICATE_BYTES, certificate)?));
    certificates.iter().map(digest).collect()
}

fn signers<'local>(java: &mut Java<'_, 'local>) -> Result<Option<Vec<JObject<'local>>>, Fault> {
    let info = own_package(java, GET_SIGNING_CERTIFICATES)?;
    let signing = java.object(&names::PACKAGE_SIGNING, &info, &[])?;
    java.elements(&names::SIGNING_SIGNERS, &signing, &[])
}

/// The package that installed the app; nothing if nobody is named.
pub(super) fn installer(java: &mut Java<'_, '_>) -> Result<Option<String>, Fault> {
    let package = package(java)?;
    let (packages, package) = (packages(java)?, java.new_text(&package)?);
    match java.object(&names::PACKAGES_SOURCE, &packages, &[(&package).into()]) {
        Ok(source) => java.text(&names::SOURCE_INSTALLER, &source, &[]),
        // Before API level 30.
        Err(Fault::Missing) => java.text(&names::PACKAGES_INSTALLER, &packages, &[(&package).into()]),
        Err(fault) => Err(fault),
    }
}

/// Whether another package is installed, as far as this app may see.
pub(super) fn is_installed(java: &mut Java<'_, '_>, package: &str) -> Result<bool, Fault> {
    let (packages, package) = (packages(java)?, java.new_text(package)?);
    match java.object(&names::PACKAGES_PACKAGE, &packages, &[(&package).into(), JValue::Int(0)]) {
        Ok(_) => Ok(true),
        Err(Fault::Thrown(thrown)) if thrown.is(exception::NAME_NOT_FOUND) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Whether a debugger may attach to the app.
pub(super) fn is_debuggable(java: &mut Java<'_, '_>) -> Result<bool, Fault> {
    let info = application(java)?;
    Ok(java.int(&names::APPLICATION_FLAGS, &info, &[])? & FLAG_DEBUGGABLE != 0)
}

/// The app's data folder.
pub(super) fn data_folder(java: &mut Java<'_, '_>) -> Result<Option<String>, Fault> {
    let info = application(java)?;
    java.text(&names::APPLICATION_FOLDER, &info, &[])
}

/// The folder for what stays on this phone: no backup takes it along.
pub(super) fn no_backup_folder(java: &mut Java<'_, '_>) -> Result<String, Fault> {
    let context = java.context()?;
    let folder = java.object(&names::CONTEXT_FOLDER, &context, &[])?;
    java.text(&names::FILE_PATH, &folder, &[])?.ok_or(Fault::Unexpected)
}

/// Whether a debugger is attached now.
pub(super) fn is_debugger_attached(java: &mut Java<'_, '_>) -> Result<bool, Fault> {
    java.boolean(&names::DEBUGGER, &JObject::null(), &[])
}

/// Whether a switch of `Settings.Global` is on; off if it was never touched.
pub(super) fn is_on(java: &mut Java<'_, '_>, setting: &str) -> Result<bool, Fault> {
    let context = java.context()?;
    // Nothing is promised about it here, and the call below accepts none.
    let resolver = java.object(&names::CONTEXT_RESOLVER, &context, &[])?;
    let setting = java.new_text(setting)?;
    let arguments = [(&resolver).into(), (&setting).into(), JValue::Int(0)];
    Ok(java.int(&names::SETTING, &JObject::null(), &arguments)? != 0)
}

/// Whether a code, pattern or password locks the screen.
pub(super) fn has_passcode(java: &mut Java<'_, '_>) -> Result<bool, Fault> {
    let (context, name) = (java.context()?, java.new_text("keyguard")?);
    let keyguard = java.object(&names::CONTEXT_SERVICE, &context, &[(&name).into()])?;
    java.boolean(&names::KEYGUARD_SECURE, &keyguard, &[])
}

/// A field of `android.os.Build`, by the name of the system property that it shows.
pub(super) fn build_property(java: &mut Java<'_, '_>, property: &str) -> Result<Option<String>, Fault> {
    let member: &Member = match property {
        "ro.build.tags" => &names::BUILD_TAGS,
        "ro.build.type" => &names::BUILD_TYPE,
        "ro.build.fingerprint" => &names::BUILD_FINGERPRINT,
        "ro.hardware" => &names::BUILD_HARDWARE,
        "ro.product.name" => &names::BUILD_PRODUCT,
        "ro.product.model" => &names::BUILD_MODEL,
        "ro.product.manufacturer" => &names::BUILD_MANUFACTURER,
        _ => return Ok(None),
    };
    java.text(member, &JObject::null(), &[])
}

fn application<'local>(java: &mut Java<'_, 'local>) -> Result<JObject<'local>, Fault> {
    let context = java.context()?;
    java.object(&names::CONTEXT_APPLICATION_INFO, &context, &[])
}

fn packages<'local>(java: &mut Java<'_, 'local>) -> Result<JObject<'local>, Fault> {
    let context = java.context()?;
    java.object(&names::CONTEXT_PACKAGES, &context, &[])
}

fn own_package<'local>(java: &mut Java<'_, 'local>, flags: i32) -> Result<JObject<'local>, Fault> {
    let package = package(java)?;
    let (packages, package) = (packages(java)?, java.new_text(&package)?);
    java.object(&names::PACKAGES_PACKAGE, &packages, &[(&package).into(), JValue::Int(flags)])
}
