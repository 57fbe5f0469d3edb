//! The app itself: who signed and installed it, and whether it runs where it was put.

use crate::environment::probe::{AppFacts, Entry, ExpectedApp, Installer, Probe};
use crate::environment::{Environment, Signal};

/// Stores that come with phones. What else may install the app, the developer says.
const STORES: &[&str] = &[
    "com.android.vending",
    "com.google.android.feedback",
    "com.amazon.venezia",
    "com.sec.android.app.samsungapps",
    "com.huawei.appmarket",
    "com.hihonor.appmarket",
    "com.xiaomi.mipicks",
    "com.xiaomi.market",
    "com.heytap.market",
    "com.oppo.market",
    "com.vivo.appstore",
    "com.bbk.appstore",
    "com.transsion.phoenix",
];

/// [`Signal::Repackaged`]: package or every signer differs from what the developer expects. [`Signal::UnofficialStore`]:
/// no store installed it. [`Signal::DebuggableApp`]. [`Signal::MultiInstance`]: the data directory is not the one
/// that the system gives this package. Found without guilt: stores that nobody listed, files handed over by an
/// administrator, apps that came with the phone (nobody installed them) or moved from an old one; tests by the
/// developers themselves. Second users, work profiles and the vendors' own dual apps have directories of the system
/// and do not count.
pub(super) fn on_android(probe: &Probe<'_>) -> Environment {
    let app = probe.platform.app();
    let is_resigned = app.signing_digests.as_ref().is_some_and(|digests| {
        let expected = &probe.expected.signing_digests;
        !expected.is_empty() && !digests.iter().any(|digest| expected.contains(digest))
    });
    common(&app, probe.expected)
        .with_if(Signal::Repackaged, is_resigned)
        .with_if(Signal::UnofficialStore, is_from_elsewhere(&app, probe.expected))
        .with_if(Signal::MultiInstance, is_housed_by_another(&app))
}

/// [`Signal::Repackaged`]: bundle identifier or team differs from what the developer expects.
/// [`Signal::UnofficialStore`]: a provisioning profile in the bundle, or an image that is not encrypted: the store
/// delivers neither. Found without guilt: development, ad-hoc and enterprise builds.
pub(super) fn on_apple(probe: &Probe<'_>) -> Environment {
    let app = probe.platform.app();
    let is_profiled = app.bundle_folder.as_ref().is_some_and(|folder| {
        probe.process.entry(&format!("{folder}/embedded.mobileprovision")) == Some(Entry::File)
    });
    let is_other_team = differs(app.team.as_ref(), probe.expected.team.as_ref());
    common(&app, probe.expected)
        .with_if(Signal::Repackaged, is_other_team)
        .with_if(Signal::UnofficialStore, is_profiled || app.is_encrypted == Some(false))
}

fn common(app: &AppFacts, expected: &ExpectedApp) -> Environment {
    Environment::default()
        .with_if(Signal::Repackaged, differs(app.identifier.as_ref(), expected.identifier.as_ref()))
        .with_if(Signal::DebuggableApp, app.is_debuggable == Some(true))
}

/// Whether both are known and not the same.
fn differs(found: Option<&String>, expected: Option<&String>) -> bool {
    found.zip(expected).is_some_and(|(found, expected)| found != expected)
}

fn is_from_elsewhere(app: &AppFacts, expected: &ExpectedApp) -> bool {
    match &app.installer {
        Some(Installer::Package(package)) => {
            !STORES.contains(&package.as_str()) && !expected.installers.contains(package)
        }
        Some(Installer::Nobody) => true,
        None => false,
    }
}

/// The system's places are `/data/data/PACKAGE`, `/data/user/N/PACKAGE`, `/data/user_de/N/PACKAGE`, and the last two
/// below `/mnt/expand/UUID`. Apps that run others inside themselves put them below their own.
fn is_housed_by_another(app: &AppFacts) -> bool {
    let (Some(folder), Some(package)) = (&app.data_folder, &app.identifier) else {
        return false;
    };
    let parts: Vec<_> = folder.split('/').take(8).collect();
    !match parts.as_slice() {
        ["", "data", "data", last] => last == package,
        ["", "data", "user" | "user_de", user, last]
        | ["", "mnt", "expand", _, "user" | "user_de", user, last] => last == package && is_number(user),
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
