//! The checks: one small one per signal, by theme. Each looks at what is known of a tool that the field meets often,
//! counts only what it found for certain, and says beside it who is found without being guilty. None proves anything:
//! whoever controls the device controls the answers.

mod debugger;
mod emulator;
mod hooks;
mod jailbreak;
mod lines;
mod repackaging;
mod root;
mod settings;
mod system;

use super::probe::{Entry, Probe, ProcessProbe, System};
use super::{Environment, Signal};

/// Everything that a device can notice about itself; for enrolments and renewals. Takes some milliseconds.
pub fn at_renewal(probe: &Probe<'_>) -> Environment {
    let found = match probe.platform.system() {
        System::Android => {
            let memory = hooks::in_memory(probe);
            let mounts = system::mounts(probe);
            root::signals(probe)
                .union(memory)
                .union(mounts)
                .union(hooks::on_android(probe))
                .union(system::signals(probe))
                .union(emulator::on_android(probe))
                .union(repackaging::on_android(probe))
        }
        // On a simulator the files are the Mac's, and say nothing of a jailbreak.
        System::Apple if emulator::on_apple(probe) => {
            Environment::default().with(Signal::Emulator).union(repackaging::on_apple(probe))
        }
        System::Apple => {
            jailbreak::signals(probe).union(hooks::on_apple(probe)).union(repackaging::on_apple(probe))
        }
        System::Host => Environment::default(),
    };
    found.union(settings::signals(probe)).union(per_request(probe))
}

/// What can change between two renewals and is cheap to ask, so that it is asked with every request: a debugger.
pub fn per_request(probe: &Probe<'_>) -> Environment {
    debugger::signals(probe)
}

/// The packages whose presence is asked for on Android: from Android 11 on, the app's manifest must name them under
/// `<queries>`, or the system answers that none is installed.
pub fn queried_packages() -> impl Iterator<Item = &'static str> {
    [root::MANAGERS, root::HIDERS, root::TAMPERERS, hooks::FRAMEWORKS].into_iter().flatten().copied()
}

/// Whether something that is no directory stands at one of the paths.
fn any_file(process: &dyn ProcessProbe, paths: &[&str]) -> bool {
    paths.iter().any(|path| matches!(process.entry(path), Some(Entry::File | Entry::Link | Entry::Special)))
}

/// Whether anything stands at one of the paths.
fn any_entry(process: &dyn ProcessProbe, paths: &[&str]) -> bool {
    paths.iter().any(|path| matches!(process.entry(path), Some(entry) if entry != Entry::Absent))
}

/// Whether one of the packages is known to be installed.
fn any_package(probe: &Probe<'_>, packages: &[&str]) -> bool {
    packages.iter().any(|package| probe.platform.is_installed(package) == Some(true))
}

/// Whether a directory can be listed and has entries: what a sandbox must not allow.
fn shows_entries(process: &dyn ProcessProbe, path: &str) -> bool {
    let mut seen = false;
    process.list(path, 1, &mut |_| {
        seen = true;
        core::ops::ControlFlow::Break(())
    });
    seen
}
