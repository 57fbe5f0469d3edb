//! One HTTP/1.1 request as text: request line, header lines, an empty line, the body.

use super::{Body, Capture, Captured, request_line};
use crate::commands::inspect::fault::Fault;

/// Whether the first line is a request line.
pub(super) fn is_like(input: &[u8]) -> bool {
    first_line(input).is_some_and(|line| request_line(line).is_some())
}

/// Reads the request.
pub(super) fn read(input: &[u8]) -> Result<Capture, Fault> {
    let fault = |reason, at: &str| Fault { seems: "an HTTP request", reason, at: at.to_owned() };
    let line = first_line(input).and_then(request_line);
    let (method, target, _) = line.ok_or_else(|| fault("no_request", "the first line"))?;
    let mut request = Captured { method: method.to_owned(), ..Captured::default() };
    request.set_target(target);
    let mut rest = input;
    let mut is_first = true;
    let mut has_end = false;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        if std::mem::take(&mut is_first) {
            continue;
        }
        if line.is_empty() {
            has_end = true;
            break;
        }
        let line = String::from_utf8_lossy(line);
        if line.starts_with([' ', '\t']) {
            // A folded line (RFC 9112 section 5.2): no value that an edge reads may have one.
            if let Some((_, value)) = request.lines.last_mut() {
                value.push('\n');
                value.push_str(line.trim_start());
            }
        } else if line.contains(':') {
            request.push_line(&line);
        } else {
            return Err(fault("header_malformed", "a header line has no colon"));
        }
    }
    request.complete();
    match request.announced_length() {
        Some(0) => request.body = Body::Whole(Vec::new()),
        Some(length) if has_end => match body(rest, length) {
            Some(body) => request.body = Body::Whole(body.to_vec()),
            None => request.notes.push(format!(
                "the body has {} bytes, and {length} were announced: it is taken as not shown",
                rest.len()
            )),
        },
        _ => request.notes.push("how long the body is, is not told: it is taken as not shown".to_owned()),
    }
    Ok(Capture::new("an HTTP/1.1 request", vec![request], 0))
}

/// The body of the announced length; an editor may have ended it with a line break.
fn body(rest: &[u8], length: usize) -> Option<&[u8]> {
    let after = rest.get(length..)?;
    matches!(after, b"" | b"\n" | b"\r\n").then(|| rest.get(..length)).flatten()
}

fn first_line(input: &[u8]) -> Option<&str> {
    let (line, _) = next_line(input)?;
    std::str::from_utf8(line).ok()
}

/// A line without its end, and what follows.
fn next_line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    if input.is_empty() {
        return None;
    }
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let line = parts.next()?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), parts.next().unwrap_or_default()))
}
