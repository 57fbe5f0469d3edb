//! Where the workspace lies, and how cargo and other programs are called from it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Stop;

/// Folders of system programs that an ordinary user's `PATH` often lacks.
const SYSTEM_PROGRAMS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// `cargo ARGUMENTS` in the workspace, on the same toolchain that built xtask.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).env("PATH", search_path());
    // `cargo run` describes xtask itself in these; build scripts that watch them would be run again for nothing.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `command` with the terminal as it is.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0.
pub(crate) fn succeed(mut command: Command) -> Result<(), Stop> {
    let status = command
        .status()
        .map_err(|error| Stop::Failed(format!("cannot start `{}`: {error}", shown(&command))))?;
    if status.success() { Ok(()) } else { Err(Stop::Failed(format!("`{}`: {status}", shown(&command)))) }
}

/// What a program printed to its standard output.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0; with what it printed to standard error.
pub(crate) fn output(mut command: Command) -> Result<String, Stop> {
    let output = command
        .output()
        .map_err(|error| Stop::Failed(format!("cannot start `{}`: {error}", shown(&command))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Stop::Failed(format!("`{}`: {}\n{}", shown(&command), output.status, said.trim_end())))
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The first program of this name in `PATH` or in the folders of system programs.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn search_path() -> OsString {
    let given = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&given).chain(SYSTEM_PROGRAMS.iter().map(PathBuf::from));
    env::join_paths(folders).unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_command_is_shown_without_its_folder() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "--locked"]);
        assert_eq!(shown(&command), "cargo test --locked");
    }

    #[test]
    fn a_missing_program_is_not_found() {
        assert_eq!(program("no-program-has-this-name"), None);
    }
}
