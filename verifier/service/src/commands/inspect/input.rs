//! What is to be explained: a file, standard input, or the token itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::capture::MAX_CAPTURE;

/// Longest input but a capture, in bytes.
pub(super) const MAX_INPUT: u64 = 1024 * 1024;

/// Shortest text that is taken for a token where no such file exists.
const SHORTEST_TOKEN: usize = 40;

/// Reads what the argument names.
///
/// # Errors
/// A sentence: wrong use.
pub(super) fn read(argument: &str) -> Result<Vec<u8>, String> {
    if argument == "-" {
        return bounded(io::stdin().lock(), MAX_CAPTURE)
            .map_err(|error| format!("standard input cannot be read: {error}"));
    }
    // A token may be longer than any file name; the system then says so, and it is no file.
    let path = Path::new(argument);
    if path.exists() {
        return file(path, MAX_CAPTURE);
    }
    if is_like_a_token(argument) {
        return Ok(argument.as_bytes().to_vec());
    }
    Err(format!("{}: there is no such file, and it is no token", path.display()))
}

/// Reads a file, and one byte more than `limit` at most, so that what is too long shows as such.
pub(super) fn file(file: &Path, limit: u64) -> Result<Vec<u8>, String> {
    File::open(file)
        .and_then(|opened| bounded(opened, limit))
        .map_err(|error| format!("{}: the file cannot be read: {error}", file.display()))
}

fn bounded(input: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Base64 of any alphabet, segments, and what stands before a token in a header field.
fn is_like_a_token(text: &str) -> bool {
    let last_word = text.split_whitespace().last().unwrap_or_default();
    !text.starts_with(['/', '.'])
        && last_word.len() >= SHORTEST_TOKEN
        && last_word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+/=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_no_token() {
        for wrong in ["missing.cbor", "/no/such/folder/with/a/long/name/and/a/file.txt", "", "x y"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&"A".repeat(SHORTEST_TOKEN)).is_ok());
        assert!(read(&format!("Attestation-Result: {}", "A".repeat(5000))).is_ok());
        assert!(read(&"\u{e9}".repeat(5000)).is_err());
    }
}
