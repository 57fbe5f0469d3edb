//! What a device can be asked about itself. Two ports, because two places can answer: the process itself, which needs
//! no platform interface, and the platform's interface. Every answer may be missing, and a missing answer is never a
//! signal: a check counts only what it was told.

use core::ops::ControlFlow;

/// Most bytes that a check reads of one file.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

/// Most entries that a check reads of one directory, and most loaded images that it looks at.
pub const MAX_ENTRIES: usize = 4096;

/// Bytes of a function's beginning that are looked at.
pub const FUNCTION_START: usize = 16;

/// Receives one piece after the other, until it breaks off.
pub type Each<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// What the process sees by itself: files, ports, its own memory. Paths are absolute. No call waits longer than some
/// milliseconds, follows into devices or pipes, changes anything, or panics.
pub trait ProcessProbe: Send + Sync {
    /// What stands at a path; a symbolic link is not followed.
    fn entry(&self, path: &str) -> Option<Entry>;

    /// Whether this process may write to what stands at a path, as the system says it; nothing is written.
    fn is_writable(&self, path: &str) -> Option<bool>;

    /// Hands over the first `limit` bytes of a file, in pieces. `None` if it cannot be opened.
    fn read(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()>;

    /// Hands over the names of the first `limit` entries of a directory. `None` if it cannot be listed.
    fn list(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()>;

    /// Where a symbolic link points; `None` for anything else.
    fn link_target(&self, path: &str) -> Option<Vec<u8>>;

    /// Whether something accepts TCP connections at this port of 127.0.0.1.
    fn is_listening(&self, port: u16) -> Option<bool>;

    /// The first bytes of a system function, as they stand in memory; `None` if they cannot be read safely.
    fn function_start(&self, function: SystemFunction) -> Option<[u8; FUNCTION_START]>;

    /// The process that traces this one, 0 for none: `TracerPid` in `/proc/self/status`. Asked with every request.
    fn tracer(&self) -> Option<u32>;
}

/// What the platform's interface tells. A platform answers what it can and leaves the rest.
pub trait PlatformProbe: Send + Sync {
    /// Which checks apply.
    fn system(&self) -> System;

    /// Whether this build runs on a simulator. An emulator is found by its properties and files.
    fn is_simulator(&self) -> Option<bool> {
        None
    }

    /// Android: a system property, such as `ro.build.tags`. `None` if unset or not readable.
    fn property(&self, _name: &str) -> Option<String> {
        None
    }

    /// Apple: hands over the paths of the first `limit` images that are loaded into this process. Android's stand in
    /// `/proc/self/maps`.
    fn loaded_images(&self, _limit: usize, _each: &mut Each<'_>) -> Option<()> {
        None
    }

    /// Android: whether a package is installed, as far as this app may see.
    fn is_installed(&self, _package: &str) -> Option<bool> {
        None
    }

    /// Whether a debugger is attached: `Debug.isDebuggerConnected` on Android, `P_TRACED` on Apple. Asked with every
    /// request, so it must not cost more than some microseconds.
    fn is_debugger_attached(&self) -> Option<bool> {
        None
    }

    /// Apple: whether `fork` makes a process, which the sandbox forbids. The child, if there is one, ends at once.
    fn can_fork(&self) -> Option<bool> {
        None
    }

    /// How this app was built, signed and installed.
    fn app(&self) -> AppFacts {
        AppFacts::default()
    }

    /// What the user has set.
    fn settings(&self) -> Settings {
        Settings::default()
    }
}

/// Both halves.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// What the process sees by itself.
    pub process: &'a dyn ProcessProbe,
    /// What the platform tells.
    pub platform: &'a dyn PlatformProbe,
    /// What the app's developer says of the app.
    pub expected: &'a ExpectedApp,
}

/// The system that the process runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum System {
    /// Android.
    Android,
    /// iOS and its relatives.
    Apple,
    /// A host, where no check applies but those for debuggers.
    Host,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Nothing.
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Special,
}

/// Functions of the system's C library that tools replace, because apps look at their surroundings through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemFunction {
    /// `open`.
    Open,
    /// `read`.
    Read,
    /// `access`.
    Access,
    /// `stat`.
    Stat,
    /// `fopen`.
    Fopen,
    /// `ptrace` on Android, `sysctl` on Apple.
    Trace,
}

impl SystemFunction {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Open, Self::Read, Self::Access, Self::Stat, Self::Fopen, Self::Trace];
}

/// How the app was built, signed and installed, as the platform tells the running app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppFacts {
    /// Android: the package; Apple: the bundle identifier.
    pub identifier: Option<String>,
    /// Android: SHA-256 of each signing certificate.
    pub signing_digests: Option<Vec<[u8; 32]>>,
    /// Apple: the team identifier under which the app runs (keychain access group).
    pub team: Option<String>,
    /// Who installed it.
    pub installer: Option<Installer>,
    /// Whether a debugger may attach: `FLAG_DEBUGGABLE` on Android, `get-task-allow` on Apple.
    pub is_debuggable: Option<bool>,
    /// Apple: whether the main image is encrypted as the store delivers it (`cryptid` 1).
    pub is_encrypted: Option<bool>,
    /// Android: the app's data directory (`ApplicationInfo.dataDir`), without a slash at its end.
    pub data_folder: Option<String>,
    /// Apple: the app's bundle directory.
    pub bundle_folder: Option<String>,
}

/// Who installed an app.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Installer {
    /// A package on Android (`InstallSourceInfo.getInstallingPackageName`).
    Package(String),
    /// Nobody who is named: a file, `adb` or Xcode.
    Nobody,
}

/// What the user has set, as far as the platform tells apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Android: `Settings.Global.DEVELOPMENT_SETTINGS_ENABLED`; Apple: not told.
    pub developer_mode: Option<bool>,
    /// Android: `Settings.Global.ADB_ENABLED`.
    pub adb_enabled: Option<bool>,
    /// Whether a code, pattern or password locks the screen: `KeyguardManager.isDeviceSecure`,
    /// `LAContext.canEvaluatePolicy(.deviceOwnerAuthentication)`.
    pub has_passcode: Option<bool>,
}

/// What the developer expects of the running app; what is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedApp {
    /// The package or bundle identifier.
    pub identifier: Option<String>,
    /// Android: SHA-256 of the certificates that may sign; one of them must.
    pub signing_digests: Vec<[u8; 32]>,
    /// Apple: the team identifier.
    pub team: Option<String>,
    /// Android: stores that may install the app beside Google Play.
    pub installers: Vec<String>,
}
