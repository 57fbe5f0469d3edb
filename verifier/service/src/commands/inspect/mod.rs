//! `countersign inspect`: explains a token or a piece of evidence to a person.
//!
//! It reads with the decoders of core and verifier, so that what is shown is what they see; of tokens it judges
//! nothing. Of captured requests it tells what an edge decides.

mod capture;
mod challenge;
mod compact;
mod document;
mod evidence;
mod explanation;
mod fault;
mod input;
mod jwt;
mod key_set;
mod play_integrity;
mod recognise;
#[cfg(test)]
mod tests;
mod walk;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
pub(crate) use explanation::{printable, rfc3339};
use fault::Fault;
use key_set::KeySet;

/// What to explain.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    /// A file, `-` for standard input, or the token itself; or the capture of a request.
    #[arg(value_name = "FILE|-|TOKEN", allow_hyphen_values = true)]
    pub input: String,
    /// Verify the signature of a result, a deny list or a JWT with the keys of this JWK Set.
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Print JSON; the same as `--format json`.
    #[arg(long)]
    pub json: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    pub format: Format,
    /// How captured requests are judged.
    #[command(flatten, next_help_heading = "Captured requests")]
    pub walk: walk::JudgingArguments,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

const EXIT_CODES: &str = "\
Explains compact results and proofs, envelopes of enrolments, deny lists, JWTs, challenges and nonces, App Attest
attestation objects and assertions, certificate chains, JWK Sets and status lists; binary, base64 or hexadecimal.

Captured requests are what `curl -v` printed, a HAR file, or an HTTP/1.1 request as text:

    curl -v … 2>capture.txt; countersign inspect capture.txt --settings countersign.toml

tells step by step what the edge of those settings decides, and why. Nothing is started, sent or changed. Without
--settings, only what the parts of a request say of each other is compared. Tokens and keys are never printed.

Exit codes: 0 explained; 1 explained, and a signature that was checked does not hold; 2 not recognised or malformed;
3 wrong use. Expired is still explained. Captured requests: 0 permitted, 1 one would be refused, 2 cannot be read or
decided.";

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let read = || -> Result<_, String> {
        let keys = arguments.jwks.as_deref().map(KeySet::read).transpose()?;
        Ok((input::read(&arguments.input)?, keys))
    };
    let (bytes, keys) = match read() {
        Ok(read) => read,
        Err(sentence) => {
            complain(printable(&sentence));
            return Exit::Usage;
        }
    };
    let is_json = arguments.json || arguments.format == Format::Json;
    if let Some(read) = capture::read(&bytes) {
        if arguments.jwks.is_some() {
            complain(
                "--jwks is for single tokens; for captured requests --settings FILE, and --jwks-of ISSUER=FILE",
            );
            return Exit::Usage;
        }
        return match read {
            Ok(capture) => judge(&capture, arguments, is_json),
            Err(fault) => refuse(&fault, is_json),
        };
    }
    if arguments.walk.are_given() {
        let capture = "--settings, --at and --now are for captured requests, and this is none that is known: output of \
                       curl -v, HAR, or an HTTP/1.1 request";
        complain(capture);
        return Exit::Unverified;
    }
    let now = Clock::system().now();
    match recognise::explain(&bytes, keys.as_ref()) {
        Ok(explanation) => {
            answer(if is_json { explanation.json(now) } else { explanation.text(now) });
            explanation.exit()
        }
        Err(fault) => refuse(&fault, is_json),
    }
}

fn judge(capture: &capture::Capture, arguments: &Arguments, is_json: bool) -> Exit {
    match walk::judge(capture, &arguments.walk) {
        Ok(report) => {
            let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            answer(if is_json { report.json() } else { report.text(coloured) });
            report.exit()
        }
        Err(sentences) => {
            sentences.lines().for_each(|sentence| complain(printable(sentence)));
            Exit::Unverified
        }
    }
}

fn refuse(fault: &Fault, is_json: bool) -> Exit {
    if is_json {
        let fault = json!({ "kind": null, "seems": fault.seems, "reason": fault.reason, "at": fault.at });
        answer(format!("{fault:#}"));
    } else {
        complain(fault.sentence());
    }
    Exit::Unverified
}

impl Fault {
    fn sentence(&self) -> String {
        printable(&format!(
            "this seems to be {}, and cannot be explained: {} ({})",
            self.seems, self.reason, self.at
        ))
    }
}
