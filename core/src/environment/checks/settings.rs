//! What the user has set. Information: many honest people have developer mode on, and some no passcode.

use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// [`Signal::DeveloperMode`], [`Signal::AdbEnabled`], [`Signal::NoPasscode`], as the platform tells them.
pub(super) fn signals(probe: &Probe<'_>) -> Environment {
    let settings = probe.platform.settings();
    Environment::default()
        .with_if(Signal::DeveloperMode, settings.developer_mode == Some(true))
        .with_if(Signal::AdbEnabled, settings.adb_enabled == Some(true))
        .with_if(Signal::NoPasscode, settings.has_passcode == Some(false))
}
