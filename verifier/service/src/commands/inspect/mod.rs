//! `countersign inspect`: explains a token or a piece of evidence to a person.
//!
//! It reads with the decoders of core and verifier, so that what is shown is what they see; it judges nothing.

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

use std::path::PathBuf;

use clap::Args;
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
    /// A file, `-` for standard input, or the token itself.
    #[arg(value_name = "FILE|-|TOKEN", allow_hyphen_values = true)]
    pub input: String,
    /// Verify the signature of a result, a deny list or a JWT with the keys of this JWK Set.
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

const EXIT_CODES: &str = "\
Explains compact results and proofs, envelopes of enrolments, deny lists, JWTs, challenges and nonces, App Attest
attestation objects and assertions, certificate chains, JWK Sets and status lists; binary, base64 or hexadecimal.

Exit codes: 0 explained; 1 explained, and a signature that was checked does not hold; 2 not recognised or malformed;
3 wrong use. Expired is still explained.";

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
    let now = Clock::system().now();
    match recognise::explain(&bytes, keys.as_ref()) {
        Ok(explanation) => {
            answer(if arguments.json { explanation.json(now) } else { explanation.text(now) });
            explanation.exit()
        }
        Err(fault) => {
            if arguments.json {
                answer(format!(
                    "{:#}",
                    json!({ "kind": null, "seems": fault.seems, "reason": fault.reason, "at": fault.at })
                ));
            } else {
                complain(fault.sentence());
            }
            Exit::Unverified
        }
    }
}

impl Fault {
    fn sentence(&self) -> String {
        printable(&format!(
            "this seems to be {}, and cannot be explained: {} ({})",
            self.seems, self.reason, self.at
        ))
    }
}
