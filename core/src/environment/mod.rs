//! What a device sees of its own environment: one set of bits, in the report of the envelope and in proofs.
//!
//! The one table of bits and names. A bit says what a probe found, not what it means: that is for a policy. The
//! report can only lower trust, because whoever controls the device can leave bits out.

#[cfg(feature = "attester")]
mod checks;
#[cfg(feature = "attester")]
pub mod probe;

use core::fmt;

#[cfg(feature = "attester")]
pub use checks::{at_renewal, per_request, queried_packages};

macro_rules! signals {
    ($($(#[$doc:meta])* $variant:ident = $bit:literal $name:literal,)*) => {
        /// One thing that a device may notice about itself. Bits and names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Signal {
            $($(#[$doc])* $variant = $bit,)*
        }

        impl Signal {
            /// All of them, by bit.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

signals! {
    /// Root or jailbreak: a root manager, `su`, or the files that a jailbreak leaves.
    PrivilegedAccess = 0 "privileged-access",
    /// What hides root from apps: Magisk, Zygisk, KernelSU, APatch; on iOS what hides a jailbreak.
    RootHiding = 1 "root-hiding",
    /// A system signed with test keys, or a debuggable one.
    TestKeys = 2 "test-keys",
    /// A hooking framework: Frida, Xposed, LSPosed, Substrate.
    Hooks = 3 "hooks",
    /// System functions do not begin as they should.
    HookedFunctions = 4 "hooked-functions",
    /// A debugger or tracer is attached.
    Debugger = 5 "debugger",
    /// An emulator or simulator.
    Emulator = 6 "emulator",
    /// The app was signed by somebody else or its files were changed.
    Repackaged = 7 "repackaged",
    /// The app was not installed by a store.
    UnofficialStore = 8 "unofficial-store",
    /// System paths can be written to.
    WritableSystem = 9 "writable-system",
    /// The app reaches outside its sandbox.
    SandboxEscape = 10 "sandbox-escape",
    /// Developer mode is on. Information, not an objection.
    DeveloperMode = 11 "developer-mode",
    /// The debug bridge is on. Information, not an objection.
    AdbEnabled = 12 "adb-enabled",
    /// No code, pattern or password locks the screen.
    NoPasscode = 13 "no-passcode",
    /// The app runs inside another app that houses clones of apps.
    MultiInstance = 14 "multi-instance",
    /// The app was built so that a debugger may attach.
    DebuggableApp = 15 "debuggable-app",
    /// An app is installed that changes others: a patcher of licences, a memory editor.
    TamperingApp = 16 "tampering-app",
    /// The system does not enforce what separates apps.
    SelinuxPermissive = 17 "selinux-permissive",
}

impl Signal {
    /// The signal of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|signal| signal.name() == name)
    }
}

/// A set of signals as it stands on the wire. Bits without a name in this version are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Environment(pub u64);

impl Environment {
    /// Whether a signal is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 >> signal as u8 & 1 == 1
    }

    /// This set with a signal in it.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | 1 << signal as u8)
    }

    /// This set with a signal in it, if `condition` holds.
    #[must_use]
    pub const fn with_if(self, signal: Signal, condition: bool) -> Self {
        if condition { self.with(signal) } else { self }
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The names, separated by commas; a bit without one as `bit-N`.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for bit in (0..u64::BITS).filter(|bit| self.0 >> bit & 1 == 1) {
            f.write_str(separator)?;
            match Signal::ALL.iter().find(|signal| **signal as u32 == bit) {
                Some(signal) => f.write_str(signal.name())?,
                None => write!(f, "bit-{bit}")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_bit_and_a_name_of_its_own() {
        let all = Signal::ALL.iter().fold(Environment::default(), |set, signal| set.with(*signal));
        assert_eq!(all.0.count_ones() as usize, Signal::ALL.len());
        for signal in Signal::ALL {
            assert_eq!(Signal::from_name(signal.name()), Some(*signal));
            assert!(!Environment::default().contains(*signal));
        }
    }

    #[test]
    fn a_bit_of_a_later_version_is_not_lost() {
        let set = Environment(1 << 63).with(Signal::Hooks);
        assert_eq!(set.to_string(), "hooks, bit-63");
        assert_eq!(set.intersection(Environment(1 << 63)), Environment(1 << 63));
    }
}
