//! Debuggers and tracers.

use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// [`Signal::Debugger`]: `TracerPid` in `/proc/self/status` is not 0, or the platform says that a debugger is
/// attached. Found without guilt: builds run from Android Studio or Xcode, and crash reporters while they write a
/// report (they trace the process for a moment).
pub(super) fn signals(probe: &Probe<'_>) -> Environment {
    let is_traced = probe.process.tracer().is_some_and(|tracer| tracer != 0);
    let is_attached = probe.platform.is_debugger_attached() == Some(true);
    Environment::default().with_if(Signal::Debugger, is_traced || is_attached)
}
