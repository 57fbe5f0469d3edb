//! The canonical request: which method and which URI a proof speaks of, read the same way by device and edge.
//!
//! RFC 3986 sections 6.2.2 and 6.2.3: scheme and host in lower case, no default port, `/` for an empty path,
//! escapes of unreserved characters undone, hexadecimal digits in upper case. Paths that servers are known to
//! read in two ways are refused, never repaired.

use core::fmt;

use sha2::{Digest, Sha256};

/// Longest URI that is read, in bytes.
pub const MAX_URI: usize = 2048;
/// Longest method name.
pub const MAX_METHOD: usize = 32;

/// Why a URI or method is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than [`MAX_URI`] or [`MAX_METHOD`].
    TooLong,
    /// Neither `http` nor `https`.
    Scheme,
    /// Host missing or of characters that no host has; user information; a port that is no port.
    Authority,
    /// Characters that a URI does not have, or a broken escape.
    Character,
    /// A path that servers may read in two ways: dot segments, `//`, `\`, `;`, one of their escapes, or an escape that is
    /// itself escaped (`%2541`).
    AmbiguousPath,
    /// A fragment, which never reaches a server.
    Fragment,
    /// Not a method name (RFC 9110 section 9.1).
    Method,
}

impl RequestError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "request_too_long",
            Self::Scheme => "request_scheme",
            Self::Authority => "request_authority",
            Self::Character => "request_character",
            Self::AmbiguousPath => "request_ambiguous_path",
            Self::Fragment => "request_fragment",
            Self::Method => "request_method",
        }
    }
}

/// Scheme, host and port of an API, normalised.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `https://host[:port]`; a path, query or fragment after it is refused.
    ///
    /// # Errors
    /// As [`TargetUri::parse`].
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let uri = TargetUri::parse(text)?;
        if !matches!(uri.path, "" | "/") || uri.query.is_some() {
            return Err(RequestError::Authority);
        }
        Ok(uri.origin())
    }

    /// Whether the scheme is `https`.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host in lower case, brackets included for IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's default.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An absolute URI taken apart, without allocating; path and query as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetUri<'a> {
    https: bool,
    host: &'a str,
    port: u16,
    /// The path, possibly empty; not ambiguous.
    pub path: &'a str,
    /// The raw query after `?`, possibly empty; `None` without `?`.
    pub query: Option<&'a str>,
}

impl<'a> TargetUri<'a> {
    /// Reads an absolute `http` or `https` URI.
    ///
    /// # Errors
    /// The first rule of this module that it breaks.
    pub fn parse(uri: &'a str) -> Result<Self, RequestError> {
        if uri.len() > MAX_URI {
            return Err(RequestError::TooLong);
        }
        let (scheme, rest) = uri.split_once("://").ok_or(RequestError::Scheme)?;
        let https = match scheme {
            scheme if scheme.eq_ignore_ascii_case("https") => true,
            scheme if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(RequestError::Scheme),
        };
        if rest.contains('#') {
            return Err(RequestError::Fragment);
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_end);
        let (host, port) = split_authority(authority, https)?;
        let (path, query) = split_query(path_and_query);
        check_path(path)?;
        if !query.unwrap_or_default().bytes().all(is_visible) {
            return Err(RequestError::Character);
        }
        Ok(Self { https, host, port, path, query })
    }

    /// Scheme, host and port, normalised.
    pub fn origin(&self) -> Origin {
        Origin { https: self.https, host: self.host.to_ascii_lowercase(), port: self.port }
    }

    /// Whether this URI, without its query, is `origin` followed by `path` after normalisation. Allocates nothing.
    pub fn is_at(&self, origin: &Origin, path: &str) -> bool {
        self.https == origin.https
            && self.port == origin.port
            && self.host.eq_ignore_ascii_case(&origin.host)
            && normalised(self.path).eq(normalised(path))
    }

    /// The normalised URI without query: the `htu` of a proof.
    pub fn to_htu(&self) -> String {
        let path: Vec<u8> = normalised(self.path).collect();
        // Only ASCII passes `check_path`, so nothing is replaced here.
        format!("{}{}", self.origin(), String::from_utf8_lossy(&path))
    }

    /// SHA-256 of the raw query; `None` exactly when the URI has no `?`.
    pub fn query_hash(&self) -> Option<[u8; 32]> {
        self.query.map(|query| sha256(query.as_bytes()))
    }
}

/// SHA-256 of a query, a body, or a credential's characters.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Splits an origin-form target at its first `?`.
pub fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Checks that a path is empty or absolute and that every server reads it the same way.
///
/// # Errors
/// [`RequestError::AmbiguousPath`] or [`RequestError::Character`].
pub fn check_path(path: &str) -> Result<(), RequestError> {
    if path.len() > MAX_URI {
        return Err(RequestError::TooLong);
    }
    if path.is_empty() {
        return Ok(());
    }
    if !path.starts_with('/') {
        return Err(RequestError::Character);
    }
    let mut percent = false;
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' | b';' => return Err(RequestError::AmbiguousPath),
            b'/' if after.first() == Some(&b'/') => return Err(RequestError::AmbiguousPath),
            b'%' => {
                let escaped = escape(after).ok_or(RequestError::Character)?;
                if matches!(escaped, b'.' | b'/' | b'\\' | b';' | 0) {
                    return Err(RequestError::AmbiguousPath);
                }
                percent |= escaped == b'%';
                rest = &after[2..];
            }
            b'?' | b'#' => return Err(RequestError::Character),
            byte if !is_visible(*byte) => return Err(RequestError::Character),
            _ => {}
        }
    }
    if percent && has_escaped_escape(path) || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(RequestError::AmbiguousPath);
    }
    Ok(())
}

/// Checks a method name: a token of at most [`MAX_METHOD`] characters. Methods are case-sensitive.
///
/// # Errors
/// [`RequestError::Method`] or [`RequestError::TooLong`].
pub fn check_method(method: &str) -> Result<(), RequestError> {
    if method.len() > MAX_METHOD {
        return Err(RequestError::TooLong);
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(RequestError::Method);
    }
    Ok(())
}

/// The bytes of a path that passed [`check_path`], normalised.
pub fn normalised(path: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = if path.is_empty() { b"/" } else { path.as_bytes() };
    // After an escape that stays, its two digits are still to be written.
    let mut digits = [0u8; 2];
    let mut pending = 0usize;
    core::iter::from_fn(move || {
        if pending > 0 {
            pending -= 1;
            return Some(digits[1 - pending]);
        }
        let (byte, after) = rest.split_first()?;
        rest = after;
        if *byte != b'%' {
            return Some(*byte);
        }
        let Some(escaped) = escape(after) else {
            return Some(*byte);
        };
        digits = [after[0].to_ascii_uppercase(), after[1].to_ascii_uppercase()];
        rest = &after[2..];
        if escaped.is_ascii_alphanumeric() || matches!(escaped, b'-' | b'.' | b'_' | b'~') {
            return Some(escaped);
        }
        pending = 2;
        Some(b'%')
    })
}

/// The bytes of a path that passed [`check_path`], every escape undone: what servers match their routes by. For
/// choosing rules, never for comparing URIs, of which several have the same decoded bytes.
pub fn decoded(path: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = if path.is_empty() { b"/" } else { path.as_bytes() };
    core::iter::from_fn(move || {
        let (byte, after) = rest.split_first()?;
        match (byte, escape(after)) {
            (b'%', Some(escaped)) => {
                rest = after.get(2..).unwrap_or_default();
                Some(escaped)
            }
            _ => {
                rest = after;
                Some(*byte)
            }
        }
    })
}

/// Whether a path, with its escapes undone, still has one: a server that decodes twice would read another path.
fn has_escaped_escape(path: &str) -> bool {
    let mut last = [0; 2];
    decoded(path).any(|byte| {
        let found = last[0] == b'%' && last[1].is_ascii_hexdigit() && byte.is_ascii_hexdigit();
        last = [last[1], byte];
        found
    })
}

/// The byte that two hexadecimal digits stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let value = |at: usize| digits.get(at).and_then(|digit| (*digit as char).to_digit(16));
    Some((value(0)? << 4 | value(1)?) as u8)
}

fn split_authority(authority: &str, https: bool) -> Result<(&str, u16), RequestError> {
    let default = if https { 443 } else { 80 };
    let host_end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(RequestError::Authority)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        Some("") => default,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| RequestError::Authority)?
        }
        _ => return Err(RequestError::Authority),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_literal = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => !literal.is_empty() && literal.bytes().all(is_literal),
        None => !host.is_empty() && host.bytes().all(is_host),
    };
    if valid { Ok((host, port)) } else { Err(RequestError::Authority) }
}

const fn is_visible(byte: u8) -> bool {
    0x21 <= byte && byte <= 0x7e
}

#[cfg(test)]
mod tests {
    use super::*;

    fn htu(uri: &str) -> Result<String, RequestError> {
        TargetUri::parse(uri).map(|uri| uri.to_htu())
    }

    #[test]
    fn equal_uris_have_one_htu() {
        for uri in [
            "https://api.example/a/~b%2Ac",
            "HTTPS://API.example:443/a/%7eb%2ac",
            "https://api.example:/a/%7Eb%2Ac?q=1",
        ] {
            assert_eq!(htu(uri).as_deref(), Ok("https://api.example/a/~b%2Ac"), "{uri}");
        }
        assert_eq!(htu("http://[::1]:8080").as_deref(), Ok("http://[::1]:8080/"));
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "/a/../b",
            "/a/.",
            "/./a",
            "/..",
            "/a//b",
            "//a",
            "/a\\b",
            "/a;b",
            "/%2e%2e/b",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%3Bb",
            "/%252e%252e/b",
            "/%2541",
            "/a%25%32%66b",
            "/a%252%66b",
            "/a%25252fb",
        ] {
            assert_eq!(check_path(path), Err(RequestError::AmbiguousPath), "{path}");
        }
        for path in ["a", "/a b", "/a\u{e9}", "/%zz", "/%2", "/a\n"] {
            assert_eq!(check_path(path), Err(RequestError::Character), "{path}");
        }
        for path in ["", "/", "/a/", "/a.b/..c/c..", "/%41%20", "/100%25", "/5%25off", "/%25%20a", "/%252"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn authority_tricks_are_refused() {
        for uri in [
            "https://user@api.example/",
            "https://api.example:80:80/",
            "https://api.example:99999/",
            "https://api.example:+443/",
            "https:///a",
            "https://[::1/",
            "https://[]/",
            "https://api.example\\@evil/",
        ] {
            assert_eq!(htu(uri), Err(RequestError::Authority), "{uri}");
        }
        assert_eq!(htu("ftp://api.example/"), Err(RequestError::Scheme));
        assert_eq!(htu("/a"), Err(RequestError::Scheme));
        assert_eq!(htu("https://api.example/a#b"), Err(RequestError::Fragment));
    }

    #[test]
    fn a_target_is_compared_after_normalisation_only() {
        let origin = Origin::parse("https://API.example").unwrap();
        let at = |uri: &str, path: &str| TargetUri::parse(uri).unwrap().is_at(&origin, path);
        assert!(at("https://api.example/%61?x", "/a"));
        assert!(at("https://api.example", "/"));
        assert!(!at("https://api.example/a/", "/a"));
        assert!(!at("https://api.example/A", "/a"));
        assert!(!at("http://api.example/a", "/a"));
        assert!(!at("https://api.example:8443/a", "/a"));
        assert!(!at("https://api.example.evil/a", "/a"));
    }

    #[test]
    fn an_empty_query_is_not_an_absent_one() {
        assert_eq!(TargetUri::parse("https://a/b").unwrap().query_hash(), None);
        assert_eq!(TargetUri::parse("https://a/b?").unwrap().query_hash(), Some(sha256(b"")));
    }

    #[test]
    fn methods_are_tokens_and_keep_their_case() {
        for method in ["GET", "get", "M-SEARCH"] {
            assert_eq!(check_method(method), Ok(()));
        }
        for method in ["", "GE T", "GET\n", "G\u{c9}T", "GET/"] {
            assert_eq!(check_method(method), Err(RequestError::Method), "{method}");
        }
    }
}
