//! What the edge decides about: one request, as the gateway or server in front of the API saw it.

use std::net::IpAddr;

use countersign_core::token::field;

use crate::credential::client_certificate::ClientCertificate;

/// The header field of an API key, in lower case.
pub const API_KEY_FIELD: &str = "x-api-key";

/// A header field that may stand once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// Not sent.
    #[default]
    Absent,
    /// One line of visible ASCII without a comma.
    One(Secret<'a>),
    /// Several lines, joined lines, or characters that these fields never have.
    Malformed,
}

/// A header value; never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(&'a str);

impl<'a> Secret<'a> {
    /// The value itself.
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl<'a> Field<'a> {
    /// A field from its lines, as the server received them.
    pub fn from_lines(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut lines = lines.into_iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Absent,
            (Some(line), None) => match std::str::from_utf8(line) {
                // Gateways join repeated lines with a comma; no value that we read contains one.
                Ok(text) if text.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b',') => {
                    Self::One(Secret(text))
                }
                _ => Self::Malformed,
            },
            (Some(_), Some(_)) => Self::Malformed,
        }
    }

    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// The header fields that a decision reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// `Authorization`.
    pub authorization: Field<'a>,
    /// `X-API-Key`.
    pub api_key: Field<'a>,
    /// `Attestation-Result`.
    pub attestation_result: Field<'a>,
    /// `Attestation-Proof`.
    pub attestation_proof: Field<'a>,
    /// `OAuth-Client-Attestation`.
    pub client_attestation: Field<'a>,
    /// `OAuth-Client-Attestation-PoP`.
    pub client_attestation_pop: Field<'a>,
    /// `DPoP`.
    pub dpop: Field<'a>,
    /// `User-Agent`, for records alone: no decision reads it.
    pub user_agent: UserAgent<'a>,
}

/// What the client calls itself: the visible ASCII at the beginning of one line, at most 200 characters of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserAgent<'a>(Option<&'a str>);

impl<'a> UserAgent<'a> {
    const LONGEST: usize = 200;

    /// From the lines of the field; of several, the first.
    pub fn from_lines(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let line = lines.into_iter().next().unwrap_or_default();
        let is_visible = |byte: &&u8| (0x20..=0x7e).contains(*byte);
        let length = line.iter().take(Self::LONGEST).take_while(is_visible).count();
        let text = line.get(..length).and_then(|line| std::str::from_utf8(line).ok());
        Self(text.filter(|text| !text.is_empty()))
    }

    /// The text, where there is any.
    pub const fn as_str(self) -> Option<&'a str> {
        self.0
    }
}

impl<'a> Fields<'a> {
    /// Collects the fields from whatever holds the request's headers: `lines` gives all lines of a field, asked for
    /// in lower case.
    pub fn collect<I>(lines: impl Fn(&'static str) -> I) -> Self
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        let field = |name| Field::from_lines(lines(name));
        Self {
            authorization: field("authorization"),
            api_key: field(API_KEY_FIELD),
            attestation_result: field(field::ATTESTATION_RESULT),
            attestation_proof: field(field::ATTESTATION_PROOF),
            client_attestation: field(field::CLIENT_ATTESTATION),
            client_attestation_pop: field(field::CLIENT_ATTESTATION_POP),
            dpop: field(field::DPOP),
            user_agent: UserAgent::from_lines(lines("user-agent")),
        }
    }
}

/// What is known of the request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// The body was not seen here: what the proof says of it goes upstream as `X-Attested-Content`.
    #[default]
    Unseen,
    /// The body can still be read: a route that needs it asks for it with [`Lookup::Content`], once everything else
    /// has passed, so that strangers make nobody read bodies.
    ///
    /// [`Lookup::Content`]: super::Lookup::Content
    Deferred,
    /// The body is longer than this edge reads.
    TooLarge,
    /// SHA-256 of the whole body, before content decoding.
    Hash([u8; 32]),
}

/// One request to decide about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, case-sensitive.
    pub method: &'a str,
    /// Path and query as the upstream will see them, in origin form.
    pub path_and_query: &'a str,
    /// The client's address, where the gateway tells it.
    pub source: Option<IpAddr>,
    /// The certificate whose key the client proved to have in its TLS handshake. Only from the TLS connection itself,
    /// or from the gateway that ended it, never from a header field that a client can write.
    pub client_certificate: Option<&'a ClientCertificate>,
    /// The header fields.
    pub fields: Fields<'a>,
    /// The body.
    pub content: Content,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_a_comma_or_nothing() {
        assert_eq!(Field::from_lines([]), Field::Absent);
        assert_eq!(Field::from_lines([&b"abc"[..]]), Field::One(Secret("abc")));
        for lines in [&[&b"a"[..], b"b"][..], &[b"a,b"], &[b"a\tb"], &[b"\xff"], &[b"a\x7f"]] {
            assert_eq!(Field::from_lines(lines.iter().copied()), Field::Malformed, "{lines:?}");
        }
    }

    #[test]
    fn a_user_agent_is_bounded_and_writes_no_second_line_into_a_log() {
        let seen = |line: &'static [u8]| UserAgent::from_lines([line]).as_str();
        assert_eq!(seen(b"App/1.2 (iPhone, iOS 18)"), Some("App/1.2 (iPhone, iOS 18)"));
        assert_eq!(seen(b"App/1\n2026-01-01 ERROR forged"), Some("App/1"));
        assert_eq!(seen(b"App/1\x1b[2J"), Some("App/1"));
        assert_eq!(seen(b"\xffApp"), None);
        assert_eq!(seen(&[b'a'; 5000]).map(str::len), Some(200));
        assert_eq!(UserAgent::from_lines([]).as_str(), None);
    }

    #[test]
    fn values_are_never_printed() {
        let field = Field::from_lines([&b"secret"[..]]);
        assert_eq!(format!("{field:?}"), "One(…)");
    }

    #[test]
    fn each_field_is_taken_from_the_header_of_its_name() {
        let names = [
            "authorization",
            "x-api-key",
            "attestation-result",
            "attestation-proof",
            "oauth-client-attestation",
            "oauth-client-attestation-pop",
            "dpop",
        ];
        let fields = Fields::collect(|name| names.contains(&name).then_some(name.as_bytes()));
        let found = [
            fields.authorization,
            fields.api_key,
            fields.attestation_result,
            fields.attestation_proof,
            fields.client_attestation,
            fields.client_attestation_pop,
            fields.dpop,
        ];
        assert_eq!(found, names.map(|name| Field::One(Secret(name))));
    }
}
