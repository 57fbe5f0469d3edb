//! Writes the corpus of forged evidence to the folder that is named: `cargo xtask corpus`.
#![allow(clippy::print_stdout, reason = "says what it wrote")]

use std::path::PathBuf;
use std::process::ExitCode;

use countersign_tests::corpus;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name the folder to write to");
        return ExitCode::from(2);
    };
    for file in corpus::files() {
        let path = folder.join(&file.name);
        if let Err(error) = std::fs::write(&path, &file.json) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}: {} cases, {} KiB", path.display(), file.cases, file.json.len() / 1024);
    }
    ExitCode::SUCCESS
}
