//! What an authorization server says of itself (RFC 8414, OpenID Connect Discovery): where its keys are, and where to ask
//! about tokens.

use countersign_core::token::jose::strict_object;

use super::claims::{optional_text, text};

/// Longest document that is read, in bytes.
pub const MAX_METADATA: usize = 256 * 1024;

/// The members that an edge needs. Whether the addresses may be called is for whoever calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// `jwks_uri`: its JSON Web Key Set.
    pub jwks_uri: Option<String>,
    /// `introspection_endpoint` (RFC 7662).
    pub introspection_endpoint: Option<String>,
}

/// Why metadata cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// Longer than [`MAX_METADATA`].
    TooLong,
    /// Not one JSON object without duplicate members, or a member is not a text.
    Malformed,
    /// `issuer` is another: somebody else's metadata, taken for its own (RFC 8414 section 3.3).
    Issuer,
}

impl MetadataError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "metadata_too_long",
            Self::Malformed => "metadata_malformed",
            Self::Issuer => "metadata_issuer",
        }
    }
}

impl ServerMetadata {
    /// Reads the document that was found for `issuer`.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn decode(document: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        if document.len() > MAX_METADATA {
            return Err(MetadataError::TooLong);
        }
        let members = strict_object(document).map_err(|_| MetadataError::Malformed)?;
        // RFC 8414 section 3.3: identical, character by character.
        if text(&members, "issuer").map_err(|_| MetadataError::Malformed)? != issuer {
            return Err(MetadataError::Issuer);
        }
        let url = |name| optional_text(&members, name).map_err(|_| MetadataError::Malformed);
        Ok(Self { jwks_uri: url("jwks_uri")?, introspection_endpoint: url("introspection_endpoint")? })
    }
}

/// Where the metadata of `issuer` may be, in the order in which to ask: RFC 8414 puts the well-known part between host and
/// path (section 3.1), OpenID Connect Discovery at the end (section 4). Empty if the issuer is no URL with a host.
pub fn metadata_urls(issuer: &str) -> Vec<String> {
    let Some((scheme, rest)) = issuer.split_once("://") else { return Vec::new() };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if host.is_empty() || rest.contains(['?', '#']) {
        return Vec::new();
    }
    let path = path.trim_end_matches('/');
    vec![
        format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}"),
        format!("{scheme}://{host}{path}/.well-known/openid-configuration"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example/tenant";

    #[test]
    fn the_well_known_part_stands_where_each_standard_wants_it() {
        let oauth = "https://as.example/.well-known/oauth-authorization-server";
        let openid = "/.well-known/openid-configuration";
        for (issuer, path) in [
            ("https://as.example", ""),
            ("https://as.example/", ""),
            ("https://as.example/tenant", "/tenant"),
            ("https://as.example/a/b/", "/a/b"),
        ] {
            let expected = [format!("{oauth}{path}"), format!("https://as.example{path}{openid}")];
            assert_eq!(metadata_urls(issuer), expected, "{issuer}");
        }
        for no_issuer in
            ["as.example", "https://", "https:///path", "https://as.example?a", "https://as.example/#a"]
        {
            assert!(metadata_urls(no_issuer).is_empty(), "{no_issuer}");
        }
    }

    #[test]
    fn another_issuers_metadata_is_refused() {
        for issuer in ["https://as.example/tenant/", "https://as.example", "https://evil.example/tenant"] {
            let document = format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://as.example/keys"}}"#);
            assert_eq!(
                ServerMetadata::decode(document.as_bytes(), ISSUER),
                Err(MetadataError::Issuer),
                "{issuer}"
            );
        }
    }

    #[test]
    fn a_document_is_one_object_with_texts() {
        let good = format!(
            r#"{{"issuer":"{ISSUER}","jwks_uri":"https://as.example/keys","scopes_supported":["a"]}}"#
        );
        let metadata = ServerMetadata::decode(good.as_bytes(), ISSUER).unwrap();
        assert_eq!(metadata.jwks_uri.as_deref(), Some("https://as.example/keys"));
        assert_eq!(metadata.introspection_endpoint, None);
        let twice = format!(r#"{{"issuer":"{ISSUER}","issuer":"{ISSUER}"}}"#);
        let number = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":1}}"#);
        for nonsense in ["", "[]", "<html>", "{}", r#"{"issuer":1}"#, &twice, &number] {
            let refused = ServerMetadata::decode(nonsense.as_bytes(), ISSUER);
            assert_eq!(refused, Err(MetadataError::Malformed), "{nonsense}");
        }
        let long = format!("{good}{}", " ".repeat(MAX_METADATA));
        assert_eq!(ServerMetadata::decode(long.as_bytes(), ISSUER), Err(MetadataError::TooLong));
    }
}
