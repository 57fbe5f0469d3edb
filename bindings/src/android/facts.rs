//! What the system tells of the app and of itself. Nothing that identifies the phone is asked for: no serial number, no
//! `ANDROID_ID`, no advertising identifier, no address.

use countersign_core::request::sha256;
use jni::JValue;
use jni::objects::JObject;

use super::jvm::{Fault, Java};
use super::names::{self, Member, exception};

/// `PackageManager.GET_SIGNATURES` and `GET_SIGNING_CERTIFICATES`, which takes its place from API level 28 on.
const GET_SIGNATURES: i32 = 0x40;
const GET_SIGNING_CERTIFICATES: i32 = 0x0800_0000;
/// `ApplicationInfo.FLAG_DEBUGGABLE`.
const FLAG_DEBUGGABLE: i32 = 2;

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
