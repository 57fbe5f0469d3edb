//! Jailbreaks on iOS: what they leave, where they link, what they let an app do.

use super::lines::contains;
use super::{any_entry, any_file, shows_entries};
use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// What jailbreaks and their package managers leave. Not among them is what iOS has itself (`/bin/df`, `/bin/ps`,
/// `/usr/libexec`) or what only a Mac has.
const FILES: &[&str] = &[
    // Bootstraps: Procursus (palera1n, Dopamine), Elucubratus (unc0ver), Electra, checkra1n.
    "/.procursus_strapped",
    "/.palecursus_strapped",
    "/.bootstrapped",
    "/.bootstrapped_electra",
    "/.installed_unc0ver",
    "/.installed_taurine",
    "/.installed_odyssey",
    "/.cydia_no_stash",
    "/.bind_system",
    "/binpack",
    "/cores/binpack",
    "/cores/jbloader",
    "/cores/jbinit.log",
    "/jb",
    "/taurine",
    "/electra",
    "/odyssey",
    "/chimera",
    // Rootless: everything below one directory, or below a name that looks like a mistake.
    "/var/jb",
    "/private/var/jb",
    "/var/LIB",
    "/var/Liy",
    // Packages.
    "/private/etc/apt",
    "/private/var/lib/apt",
    "/private/var/lib/cydia",
    "/private/var/lib/dpkg",
    "/private/var/lib/undecimus",
    "/private/var/cache/apt",
    "/private/var/stash",
    "/Library/dpkg",
    "/Applications/Cydia.app",
    "/Applications/Sileo.app",
    "/Applications/Zebra.app",
    "/Applications/Filza.app",
    "/Applications/loader.app",
    "/Applications/palera1nLoader.app",
    // Tweaks and what loads them.
    "/Library/MobileSubstrate",
    "/Library/TweakInject",
    "/usr/lib/TweakInject",
    "/usr/lib/TweakInject.dylib",
    "/usr/lib/libsubstrate.dylib",
    "/usr/lib/libsubstitute.dylib",
    "/usr/lib/libhooker.dylib",
    "/usr/lib/libellekit.dylib",
    "/usr/lib/libjailbreak.dylib",
    "/usr/lib/substrate",
    "/usr/libexec/cydia",
    // Programs that iOS does not have.
    "/bin/bash",
    "/bin/zsh",
    "/usr/bin/ssh",
    "/usr/sbin/sshd",
    "/usr/sbin/frida-server",
    "/usr/libexec/sftp-server",
];

/// What hides jailbreaks.
const HIDING_FILES: &[&str] = &["/usr/bin/vnodebypass", "/var/jb/usr/bin/vnodebypass"];

/// Frida's server, where its package puts it.
const FRIDA: &[&str] = &["/usr/sbin/frida-server", "/var/jb/usr/sbin/frida-server"];

/// Directories of iOS that older jailbreaks moved to the data partition and linked back.
const NEVER_LINKS: &[&str] =
    &["/Applications", "/Library/Ringtones", "/Library/Wallpaper", "/usr/include", "/usr/share"];

/// Directories into which no app may write.
const PROTECTED: &[&str] = &["/", "/Applications", "/Library", "/System", "/private", "/usr"];

/// Directories whose entries no app may see: those of all apps.
const CLOSED: &[&str] =
    &["/private/var/mobile/Containers/Data/Application", "/private/var/containers/Bundle/Application"];

/// Directories out of which only a jailbreak loads images.
const IMAGE_FOLDERS: &[&[u8]] = &[
    b"/var/jb/",
    b"/private/var/jb/",
    b"/Library/MobileSubstrate/",
    b"/Library/TweakInject/",
    b"/usr/lib/TweakInject/",
    b"/cores/",
];

/// [`Signal::PrivilegedAccess`], [`Signal::RootHiding`], [`Signal::Hooks`] for Frida's server,
/// [`Signal::WritableSystem`] and [`Signal::SandboxEscape`]. Found without guilt: Apple's research devices, and
/// remains of a jailbreak that was taken off.
pub(super) fn signals(probe: &Probe<'_>) -> Environment {
    let process = probe.process;
    let is_moved = NEVER_LINKS.iter().any(|path| process.link_target(path).is_some());
    let is_writable = PROTECTED.iter().any(|path| process.is_writable(path) == Some(true));
    let escapes =
        probe.platform.can_fork() == Some(true) || CLOSED.iter().any(|path| shows_entries(process, path));
    Environment::default()
        .with_if(Signal::PrivilegedAccess, any_entry(process, FILES) || is_moved)
        .with_if(Signal::RootHiding, any_file(process, HIDING_FILES))
        .with_if(Signal::Hooks, any_file(process, FRIDA))
        .with_if(Signal::WritableSystem, is_writable)
        .with_if(Signal::SandboxEscape, escapes)
}

/// Whether an image comes from where only a jailbreak keeps some. iOS has its own in `/usr/lib` and
/// `/private/preboot/Cryptexes`, and apps theirs in `/private/var/containers`.
pub(super) fn is_jailbreaks_own(path: &[u8]) -> bool {
    let is_rootless = path.starts_with(b"/private/preboot/") && contains(path, "/procursus/");
    is_rootless || IMAGE_FOLDERS.iter().any(|folder| path.starts_with(folder))
}
