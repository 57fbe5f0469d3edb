//! The app itself: who signed and installed it, and where it runs.

use countersign_core::environment::Environment;
use countersign_core::environment::Signal::{DebuggableApp, MultiInstance, Repackaged, UnofficialStore};
use countersign_core::environment::probe::{ExpectedApp, Installer};

use crate::device::{BUNDLE, Device, PACKAGE, set};

const NOTHING: Environment = Environment(0);

#[test]
fn an_app_under_another_signature() {
    let phone = Device::android().with(|phone| phone.app.signing_digests = Some(vec![[9; 32]]));
    assert_eq!(phone.seen(), set(&[Repackaged]));
    let unsigned = Device::android().with(|phone| phone.app.signing_digests = Some(vec![]));
    assert_eq!(unsigned.seen(), set(&[Repackaged]));
}

#[test]
fn an_app_under_another_name() {
    let phone = Device::iphone().with(|phone| phone.app.identifier = Some("com.example.shop.mod".into()));
    assert_eq!(phone.seen(), set(&[Repackaged]));
    let team = Device::iphone().with(|phone| phone.app.team = Some("ZZZZZ99999".into()));
    assert_eq!(team.seen(), set(&[Repackaged]));
}

#[test]
fn what_nobody_expects_is_not_compared() {
    for phone in [Device::android(), Device::iphone()] {
        let phone = phone.with(|phone| {
            phone.expected = ExpectedApp::default();
            phone.app.signing_digests = Some(vec![[9; 32]]);
        });
        assert_eq!(phone.seen(), NOTHING);
    }
}

#[test]
fn one_of_several_signers_is_enough() {
    let phone = Device::android().with(|phone| phone.app.signing_digests = Some(vec![[9; 32], [7; 32]]));
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn stores_count_and_files_do_not() {
    let installed_by =
        |installer: Installer| Device::android().with(|phone| phone.app.installer = Some(installer));
    for store in ["com.sec.android.app.samsungapps", "com.huawei.appmarket", "com.amazon.venezia"] {
        assert_eq!(installed_by(Installer::Package(store.into())).seen(), NOTHING, "{store}");
    }
    for other in ["com.google.android.packageinstaller", "com.android.vending.fake", ""] {
        let phone = installed_by(Installer::Package(other.into()));
        assert_eq!(phone.seen(), set(&[UnofficialStore]), "{other}");
    }
    assert_eq!(installed_by(Installer::Nobody).seen(), set(&[UnofficialStore]));
}

#[test]
fn a_store_that_the_developer_names_counts() {
    let phone = Device::android().with(|phone| {
        phone.app.installer = Some(Installer::Package("org.fdroid.fdroid".into()));
        phone.expected.installers.push("org.fdroid.fdroid".into());
    });
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn what_the_app_store_did_not_deliver() {
    let profiled = Device::iphone().file(&format!("{BUNDLE}/embedded.mobileprovision"), "");
    assert_eq!(profiled.seen(), set(&[UnofficialStore]));
    let decrypted = Device::iphone().with(|phone| phone.app.is_encrypted = Some(false));
    assert_eq!(decrypted.seen(), set(&[UnofficialStore]));
}

#[test]
fn a_build_for_debugging() {
    for phone in [Device::android(), Device::iphone()] {
        let phone = phone.with(|phone| phone.app.is_debuggable = Some(true));
        assert_eq!(phone.seen(), set(&[DebuggableApp]));
    }
}

#[test]
fn the_systems_own_directories_are_no_clones() {
    for folder in [
        format!("/data/data/{PACKAGE}"),
        format!("/data/user/10/{PACKAGE}"),
        format!("/data/user/999/{PACKAGE}"),
        format!("/data/user_de/0/{PACKAGE}"),
        format!("/mnt/expand/57f8f4bc-abf4-655f-bf67-946fc0f9f25b/user/0/{PACKAGE}"),
    ] {
        let phone = Device::android().with(|phone| phone.app.data_folder = Some(folder.clone()));
        assert_eq!(phone.seen(), NOTHING, "{folder}");
    }
}

#[test]
fn a_clone_inside_another_app() {
    for folder in [
        format!("/data/data/com.lbe.parallel.intl/parallel/0/{PACKAGE}"),
        format!("/data/user/0/com.lbe.parallel.intl/parallel_intl/0/{PACKAGE}"),
        format!("/data/user/0/{PACKAGE}.clone"),
        format!("/data/user/zero/{PACKAGE}"),
        format!("/data/data/{PACKAGE}/virtual/data/user/0/{PACKAGE}"),
        String::new(),
    ] {
        let phone = Device::android().with(|phone| phone.app.data_folder = Some(folder.clone()));
        assert_eq!(phone.seen(), set(&[MultiInstance]), "{folder}");
    }
}
