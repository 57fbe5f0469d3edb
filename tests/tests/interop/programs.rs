//! The programs: whether they are installed, and how a script of `tests/interop` is run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::Gateway;

/// Whether everything is here. If not, says that its tests are skipped, or fails where none may be.
pub(crate) fn are_installed() -> bool {
    let installed = installed();
    let needed = [installed.join("node_modules/oidc-provider"), installed.join("venv/bin/python")];
    let here = needed.iter().all(|path| path.exists()) && node().is_some() && Gateway::Nginx.is_installed();
    let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|group| group.trim() == "interop");
    assert!(
        here || !is_required,
        "interop is required, and node, its packages, Python's or nginx are missing"
    );
    if !here {
        // Not `println!`, which the test harness swallows.
        let _ = writeln!(std::io::stdout(), "SKIPPED interop: not installed (cargo xtask setup interop)");
    }
    here
}

/// The scripts beside the packages that they import, in a folder of their own.
pub(crate) fn scripts() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(installed().join("node_modules"), folder.path().join("node_modules")).unwrap();
    for script in std::fs::read_dir(workspace().join("tests/interop")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "mjs" || kind == "py") {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// The command that runs a script of `folder`, by its ending.
pub(crate) fn script(folder: &Path, name: &str) -> Command {
    let program = if name.ends_with(".py") { installed().join("venv/bin/python") } else { node().unwrap() };
    let mut command = Command::new(program);
    command.arg(folder.join(name)).current_dir(folder).env("NODE_NO_WARNINGS", "1");
    command
}

/// Runs a script with `input` as its standard input; what it prints as JSON, once it has succeeded.
pub(crate) fn run(name: &str, input: &Value) -> Value {
    let folder = scripts();
    let mut process = script(folder.path(), name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {words}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{name} prints no JSON: {words}"))
}

fn node() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("node")).find(|program| program.is_file())
}

/// Where `cargo xtask setup interop` puts packages.
fn installed() -> PathBuf {
    workspace().join(".cache/interop")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
