//! What the signals are told of the app and the system.

use countersign_core::environment::probe::{Installer, PlatformProbe, Settings, System};
use countersign_core::request::sha256;
use countersign_ffi::android::AndroidPlatform;

use crate::phone::{PACKAGE, Phone};

#[test]
fn the_app_is_described_by_android() {
    let Some(_phone) = Phone::take() else { return };
    let platform = AndroidPlatform::default();
    let app = platform.app();
    assert_eq!(platform.system(), System::Android);
    assert_eq!(app.identifier.as_deref(), Some(PACKAGE));
    assert_eq!(app.signing_digests, Some(vec![sha256(b"a certificate")]));
    assert_eq!(app.installer, Some(Installer::Package("com.android.vending".to_owned())));
    assert_eq!(app.is_debuggable, Some(false));
    assert_eq!(app.data_folder.as_deref(), Some("/data/user/0/com.example.app"));
    assert_eq!(app.team, None);
}

#[test]
fn an_app_that_nobody_installed_says_so() {
    let Some(phone) = Phone::take() else { return };
    phone.set_no_installer();
    assert_eq!(AndroidPlatform::default().app().installer, Some(Installer::Nobody));
}

#[test]
fn what_a_package_manager_does_not_tell_is_left_out_and_is_no_signal() {
    for fault in ["dead", "no packages"] {
        let Some(phone) = Phone::take() else { return };
        phone.set_text("AppContext", "fault", fault);
        let platform = AndroidPlatform::default();
        let app = platform.app();
        assert_eq!(app.signing_digests, None, "{fault}");
        assert_eq!(app.identifier.as_deref(), Some(PACKAGE), "{fault}: what is told counts");
        assert_eq!(platform.is_installed("com.topjohnwu.magisk"), None, "{fault}");
    }
}

#[test]
fn packages_are_installed_or_not() {
    let Some(_phone) = Phone::take() else { return };
    let platform = AndroidPlatform::default();
    assert_eq!(platform.is_installed(PACKAGE), Some(true));
    assert_eq!(platform.is_installed("com.topjohnwu.magisk"), Some(false));
}

#[test]
fn properties_are_those_of_the_build_and_no_others() {
    let Some(_phone) = Phone::take() else { return };
    let platform = AndroidPlatform::default();
    assert_eq!(platform.property("ro.build.tags").as_deref(), Some("release-keys"));
    assert_eq!(platform.property("ro.hardware").as_deref(), Some("virtual"));
    assert_eq!(platform.property("ro.serialno"), None);
}

#[test]
fn switches_are_off_until_they_are_touched() {
    let Some(phone) = Phone::take() else { return };
    let platform = AndroidPlatform::default();
    let off = Settings { developer_mode: Some(false), adb_enabled: Some(false), has_passcode: Some(true) };
    assert_eq!(platform.settings(), off);
    phone.set_setting("adb_enabled", true);
    assert_eq!(platform.settings(), Settings { adb_enabled: Some(true), ..off });
    phone.set_setting("adb_enabled", false);
}

#[test]
fn no_debugger_is_attached() {
    let Some(_phone) = Phone::take() else { return };
    assert_eq!(AndroidPlatform::default().is_debugger_attached(), Some(false));
}
