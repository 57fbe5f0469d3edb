//! Captured requests: what `curl -v` prints, an HTTP/1.1 request as text, and HAR, in one form.

mod curl;
mod har;
mod raw;
#[cfg(test)]
mod tests;

use countersign_core::time::Timestamp;
use countersign_core::token::field;
use countersign_verifier::check::Fields;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::fault::Fault;

/// Longest capture, in bytes.
pub(super) const MAX_CAPTURE: u64 = 16 * 1024 * 1024;
/// Requests of one capture that are looked at.
const MAX_REQUESTS: usize = 100;
/// Header lines of one request that are looked at.
const MAX_LINES: usize = 500;

/// The requests of a capture.
#[derive(Debug)]
pub(super) struct Capture {
    /// What it was read from, such as `HAR`.
    pub(super) form: &'static str,
    /// At least one.
    pub(super) requests: Vec<Captured>,
    /// How many more there are that are not looked at.
    pub(super) left_out: usize,
}

/// One request as it was captured. Nothing of it has been believed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Host and port that it was sent to, where that is told.
    pub(super) authority: Option<String>,
    /// Names in lower case, and values.
    pub(super) lines: Vec<(String, String)>,
    pub(super) body: Body,
    pub(super) time: Option<(Timestamp, TimeFrom)>,
    /// What whoever reads the explanation must know of the capture.
    pub(super) notes: Vec<String>,
}

/// What a capture has of the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// The capture does not tell.
    #[default]
    NotShown,
    /// All of it.
    Whole(Vec<u8>),
}

/// Who told the time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFrom {
    /// `startedDateTime` of HAR.
    Capture,
    /// `Date` of the answer.
    Answer,
}

/// Reads a capture; `None` if `input` is none.
///
/// # Errors
/// Why a capture cannot be read.
pub(super) fn read(input: &[u8]) -> Option<Result<Capture, Fault>> {
    if input.len() as u64 > MAX_CAPTURE {
        return Some(Err(Fault {
            seems: "a capture",
            reason: "too_long",
            at: format!("longer than {} MiB", MAX_CAPTURE / 1024 / 1024),
        }));
    }
    if har::is_like(input) {
        return Some(har::read(input));
    }
    // Bodies may be binary; header values that are no text are refused as such later.
    let text = String::from_utf8_lossy(input);
    if curl::is_like(&text) {
        return Some(curl::read(&text));
    }
    raw::is_like(input).then(|| raw::read(input))
}

impl Capture {
    /// Of many requests the first hundred.
    fn new(form: &'static str, mut requests: Vec<Captured>, left_out: usize) -> Self {
        let beyond = requests.len().saturating_sub(MAX_REQUESTS);
        requests.truncate(MAX_REQUESTS);
        Self { form, requests, left_out: left_out + beyond }
    }
}

impl Captured {
    /// The header fields that a decision reads.
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::collect(|name| self.values(name).map(str::as_bytes))
    }

    /// All lines of a field, asked for in lower case.
    pub(super) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(line, _)| line == name).map(|(_, value)| value.as_str())
    }

    /// Whether anything of it is for an edge.
    pub(super) fn is_attested(&self) -> bool {
        let names = [
            field::ATTESTATION_RESULT,
            field::ATTESTATION_PROOF,
            field::CLIENT_ATTESTATION,
            field::CLIENT_ATTESTATION_POP,
            field::DPOP,
        ];
        names.iter().any(|name| self.values(name).next().is_some())
    }

    /// Adds a header line; `name: value`.
    fn push_line(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        self.push(name, value);
    }

    fn push(&mut self, name: &str, value: &str) {
        if self.lines.len() < MAX_LINES {
            // As servers read them: white space around a value is none of it (RFC 9110 section 5.5).
            let value = value.trim_matches([' ', '\t']).to_owned();
            self.lines.push((name.trim().to_ascii_lowercase(), value));
        } else if self.lines.len() == MAX_LINES {
            self.notes.push(format!("it has more than {MAX_LINES} header lines; the rest was not read"));
            self.lines.push((String::new(), String::new()));
        }
    }

    /// Takes the target of a request line, in whichever form it stands there.
    fn set_target(&mut self, target: &str) {
        match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(end);
                let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                self.authority = Some(authority.to_ascii_lowercase());
                let path = path.split('#').next().unwrap_or_default();
                self.target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            }
            _ => target.clone_into(&mut self.target),
        }
    }

    /// What remains to be known once all lines are there.
    fn complete(&mut self) {
        if self.authority.is_none() {
            let host = self.values("host").next().map(str::to_ascii_lowercase);
            self.authority = host;
        }
        let redacted = ["redacted", "[redacted]", "<redacted>", "***", "*****"];
        let is_hidden = |value: &str| redacted.contains(&value.to_ascii_lowercase().as_str());
        let hidden: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, value)| is_hidden(value.rsplit(' ').next().unwrap_or(value)))
            .map(|(name, _)| name.clone())
            .collect();
        for name in hidden {
            self.notes
                .push(format!("the capture hides the value of {name}: what was sent cannot be checked"));
        }
    }

    /// How long the body is, where the fields say so; `Some(0)` where nothing announces one.
    fn announced_length(&self) -> Option<usize> {
        let mut lengths = self.values("content-length");
        match (lengths.next(), lengths.next()) {
            (Some(length), None) => length.parse().ok(),
            (None, _) if self.values("transfer-encoding").next().is_none() => Some(0),
            _ => None,
        }
    }
}

/// `2026-09-21T14:13:20.123Z`.
fn rfc3339_time(text: &str) -> Option<Timestamp> {
    timestamp(OffsetDateTime::parse(text, &Rfc3339).ok()?)
}

/// The time of `Date` (RFC 9110 section 5.6.7), in its preferred form.
fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = text.trim().strip_suffix("GMT").map(|text| format!("{text}+0000"))?;
    timestamp(OffsetDateTime::parse(&zoned, &Rfc2822).ok()?)
}

fn timestamp(time: OffsetDateTime) -> Option<Timestamp> {
    u64::try_from(time.unix_timestamp()).ok().map(Timestamp::from_unix_seconds)
}

/// The time that a person or a capture wrote; also as Unix seconds.
pub(super) fn written_time(text: &str) -> Option<Timestamp> {
    let seconds = || text.parse().ok().map(Timestamp::from_unix_seconds);
    rfc3339_time(text).or_else(seconds)
}

/// Method, target and version of a request line.
fn request_line(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.trim_end().split(' ');
    let (method, target, version, end) = (words.next()?, words.next()?, words.next()?, words.next());
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_method = !method.is_empty() && method.len() <= 32 && method.bytes().all(is_token);
    (end.is_none() && is_method && !target.is_empty() && version.starts_with("HTTP/"))
        .then_some((method, target, version))
}
