//! Android's own framework classes, of one version, as Robolectric publishes them: what the tests of the Android half
//! of the bindings run on.

use std::path::PathBuf;

use crate::{Stop, workspace};

use super::maven;

/// Group, artifact and version; API level 34. `tests/tests/jvm/machine.rs` names it too.
const ANDROID: [&str; 3] = ["org.robolectric", "android-all", "14-robolectric-10818077"];

/// Whether they are here.
pub(super) fn is_here() -> bool {
    let [group, artifact, version] = ANDROID;
    let folder: PathBuf = [&group.replace('.', "/"), artifact, version].iter().collect();
    maven::repository().join(folder).join(format!("{artifact}-{version}.jar")).is_file()
}

/// Fetches them (138 MB).
///
/// # Errors
/// When they cannot be had.
pub(super) fn fetch() -> Result<(), Stop> {
    let command = maven::get(&ANDROID.join(":"));
    println!("jvm: $ {}", workspace::shown(&command));
    workspace::succeed(command)
}
