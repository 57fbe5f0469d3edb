//! The groups of tests: what each needs, and whether it is here.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{Stop, interop, jvm, mobile, swift, tally::Count, workspace};

/// A set of tests that needs the same things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Unit, integration and documentation tests of the workspace; need Rust alone.
    Rust,
    /// Genuine and altered evidence of real phones; need the folder of vectors.
    Vectors,
    /// Real gateways in front of a plain API; need nginx, Caddy, HAProxy and Envoy.
    Gateways,
    /// Edges that share a store; need a real Redis or Valkey.
    ManyEdges,
    /// Other people's OAuth software and token libraries; need node, Python, their packages, and nginx.
    Interop,
    /// Targets of phones, and the core on ARM64; need their standard libraries and an emulator of the processor.
    Mobile,
    /// The Kotlin face and the Android half of the bindings; need a JDK and Maven's packages.
    Jvm,
    /// The Swift face; needs Swift in a folder of its own.
    Swift,
    /// The whole flow and its attacks, as a newcomer runs them; need Rust alone.
    Quickstart,
}

/// Whether the parts of a group are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Everything is here.
    Here,
    /// Something is missing: what, and how to get it.
    Missing(String),
}

impl Group {
    /// Every group, in the order of the table.
    pub(crate) const ALL: [Self; 9] = [
        Self::Rust,
        Self::Vectors,
        Self::Gateways,
        Self::ManyEdges,
        Self::Interop,
        // Before the JVM's, whose archive holds what is linked here.
        Self::Mobile,
        Self::Jvm,
        Self::Swift,
        Self::Quickstart,
    ];

    /// The name on the command line and in `SKIPPED name: …` lines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Vectors => "vectors",
            Self::Gateways => "gateways",
            Self::ManyEdges => "many-edges",
            Self::Interop => "interop",
            Self::Jvm => "jvm",
            Self::Swift => "swift",
            Self::Mobile => "mobile",
            Self::Quickstart => "quickstart",
        }
    }

    /// The group of this name.
    ///
    /// # Errors
    /// When there is none; the sentence lists those that exist.
    pub(crate) fn named(name: &str) -> Result<Self, Stop> {
        Self::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Stop::Usage(format!("there is no group of tests `{name}`; the groups are {names}"))
        })
    }

    /// The test program of this group; `None` for a group that has none that cargo starts.
    pub(crate) const fn test_target(self) -> Option<&'static str> {
        match self {
            Self::Vectors | Self::Gateways | Self::ManyEdges | Self::Interop | Self::Jvm => Some(self.name()),
            Self::Rust | Self::Swift | Self::Mobile | Self::Quickstart => None,
        }
    }

    /// What of this group runs beside `cargo test`, if anything does.
    pub(crate) const fn beside_cargo_test(self) -> Option<fn() -> Count> {
        match self {
            Self::Jvm => Some(jvm::test),
            Self::Swift => Some(swift::test),
            Self::Mobile => Some(mobile::test),
            _ => None,
        }
    }

    /// Whether tests of this group have been written.
    pub(crate) fn exists(self) -> bool {
        match self {
            Self::Jvm => jvm::exists(),
            Self::Swift => swift::exists(),
            Self::Mobile => mobile::exists(),
            _ => self
                .test_target()
                .is_none_or(|target| test_sources(target).iter().any(|source| source.is_file())),
        }
    }

    /// Looks for the parts of this group.
    pub(crate) fn presence(self) -> Presence {
        match self {
            _ if !self.exists() => Presence::Missing("no tests of this group exist yet".to_owned()),
            Self::Rust | Self::Quickstart => Presence::Here,
            Self::Vectors => match vectors() {
                folder if folder.is_dir() => Presence::Here,
                folder => Presence::Missing(format!(
                    "no folder {}; COUNTERSIGN_VECTORS can name another",
                    folder.display()
                )),
            },
            Self::ManyEdges => match store_program() {
                Some(_) => Presence::Here,
                None => Presence::Missing(
                    "without redis-server, which `cargo xtask setup many-edges` installs".to_owned(),
                ),
            },
            Self::Gateways => match missing_gateways().as_slice() {
                [] => Presence::Here,
                missing => Presence::Missing(format!(
                    "without {}, which `cargo xtask setup gateways` installs",
                    missing.join(", ")
                )),
            },
            Self::Interop => self.without(&interop::missing()),
            Self::Jvm => self.without(&jvm::missing()),
            Self::Swift => self.without(&swift::missing()),
            Self::Mobile => self.without(&mobile::missing()),
        }
    }

    fn without(self, missing: &[String]) -> Presence {
        if missing.is_empty() {
            return Presence::Here;
        }
        Presence::Missing(format!(
            "without {}; `cargo xtask setup {}` installs it, or says how",
            missing.join(", "),
            self.name()
        ))
    }
}

/// The gateways that are Debian packages, each with a program of the same name.
pub(crate) const DEBIAN_GATEWAYS: [&str; 3] = ["nginx", "caddy", "haproxy"];

/// Redis, or Valkey in its place, if one of them is installed.
pub(crate) fn store_program() -> Option<PathBuf> {
    ["redis-server", "valkey-server"].into_iter().find_map(workspace::program)
}

/// The folder of the Python environment that holds Envoy, which no Debian package does.
pub(crate) fn envoy_environment() -> PathBuf {
    workspace::root().join(".cache").join("envoy")
}

/// Envoy, if it is installed.
pub(crate) fn envoy() -> Option<PathBuf> {
    let own = envoy_environment().join("bin").join("envoy");
    workspace::program("envoy").or_else(|| own.is_file().then_some(own))
}

/// The gateways whose program is not here.
pub(crate) fn missing_gateways() -> Vec<&'static str> {
    let debian = DEBIAN_GATEWAYS.into_iter().filter(|name| workspace::program(name).is_none());
    debian.chain(envoy().is_none().then_some("envoy")).collect()
}

/// The folder of genuine vectors: `COUNTERSIGN_VECTORS` (relative to where the command was typed), or
/// `shared/vectors` beside the workspace.
pub(crate) fn vectors() -> PathBuf {
    let named = env::var_os("COUNTERSIGN_VECTORS").filter(|name| !name.is_empty());
    vectors_at(named.map(PathBuf::from).as_deref())
}

fn vectors_at(named: Option<&Path>) -> PathBuf {
    match named {
        Some(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
        None => workspace::root().parent().unwrap_or(workspace::root()).join("shared").join("vectors"),
    }
}

/// The two places where cargo looks for the start of a test program.
fn test_sources(target: &str) -> [PathBuf; 2] {
    let folder = workspace::root().join("tests").join("tests");
    [folder.join(format!("{target}.rs")), folder.join(target).join("main.rs")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_found_by_its_name() {
        for group in Group::ALL {
            assert_eq!(Group::named(group.name()), Ok(group));
        }
    }

    #[test]
    fn an_unknown_group_is_a_usage_error_that_lists_the_groups() {
        let Err(Stop::Usage(why)) = Group::named("gateway") else { panic!("accepted") };
        assert!(why.contains("gateways"), "{why}");
    }

    #[test]
    fn a_named_folder_of_vectors_wins_and_becomes_absolute() {
        // Test programs run in their package's folder: a relative name would mean another place there.
        assert_eq!(vectors_at(Some(Path::new("/data/vectors"))), Path::new("/data/vectors"));
        assert!(vectors_at(Some(Path::new("vectors"))).is_absolute());
    }

    #[test]
    fn vectors_are_looked_for_beside_the_workspace() {
        let beside = workspace::root().parent().unwrap().join("shared/vectors");
        assert_eq!(vectors_at(None), beside);
    }
}
