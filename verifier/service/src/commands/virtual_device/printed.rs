//! The header fields of a request, as they are printed.

use std::fmt::Write;

use clap::ValueEnum;
use countersign_core::attester::InstanceKeyHeaders;
use countersign_core::encoding::from_base64url;
use serde_json::{Map, Value, json};

use super::{Headers, Request};

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line for each field: for `curl --header @-`.
    #[default]
    Headers,
    /// A command line for curl, ready to run in a shell.
    Curl,
    /// The fields, the instance and the client attestation.
    Json,
}

/// What a request is sent with.
pub(super) struct Fields {
    pub(super) instance: String,
    pub(super) client_attestation: Option<String>,
    /// Names and values of attestation and proof.
    pub(super) proven: [(&'static str, String); 2],
}

/// The fields of the compact flavour.
pub(super) fn compact(result: String, proof: String) -> [(&'static str, String); 2] {
    [("Attestation-Result", result), ("Attestation-Proof", proof)]
}

/// The fields of the OAuth flavour.
pub(super) fn oauth(headers: InstanceKeyHeaders) -> [(&'static str, String); 2] {
    [("OAuth-Client-Attestation", headers.client_attestation), ("DPoP", headers.dpop)]
}

impl Fields {
    /// The text to print.
    pub(super) fn print(&self, format: Format, arguments: &Headers, request: &Request) -> String {
        let fields = self.fields(arguments);
        match format {
            Format::Headers => {
                fields.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
            }
            Format::Curl => curl(&fields, arguments, request),
            Format::Json => {
                let headers: Map<_, _> =
                    fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
                let all = json!({
                    "instance_id": self.instance,
                    "client_attestation": self.client_attestation,
                    "headers": headers,
                });
                format!("{all:#}")
            }
        }
    }

    fn fields(&self, arguments: &Headers) -> Vec<(&'static str, String)> {
        let token = arguments.access_token.as_deref();
        let authorization = token.map(|token| ("Authorization", format!("{} {token}", scheme(token))));
        let api_key = arguments.api_key.clone().map(|key| ("X-API-Key", key));
        let mut fields: Vec<_> = authorization.into_iter().chain(api_key).collect();
        fields.extend(self.proven.clone());
        fields
    }
}

fn curl(fields: &[(&str, String)], arguments: &Headers, request: &Request) -> String {
    let mut line = format!("curl --include --request {}", quoted(&request.method));
    for (name, value) in fields {
        // Writing into a string cannot fail.
        let _ = write!(line, " \\\n  --header {}", quoted(&format!("{name}: {value}")));
    }
    if let Some(path) = &arguments.body {
        let _ = write!(line, " \\\n  --data-binary {}", quoted(&format!("@{}", path.display())));
    }
    let _ = write!(line, " \\\n  {}", quoted(&request.url));
    line
}

/// A word of a POSIX shell that stands for `text` and nothing else.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `DPoP` for a token that is bound to a key, `Bearer` for any other.
fn scheme(token: &str) -> &'static str {
    let claims = token.split('.').nth(1).and_then(|payload| from_base64url(payload).ok());
    let claims: Option<Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    let bound = claims.is_some_and(|claims| claims.pointer("/cnf/jkt").is_some());
    if bound { "DPoP" } else { "Bearer" }
}

#[cfg(test)]
mod tests {
    use countersign_core::encoding::base64url;

    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("'; rm -rf $HOME; '"), r"''\''; rm -rf $HOME; '\'''");
    }

    #[test]
    fn the_scheme_follows_the_token() {
        let token = |claims: &str| format!("e30.{}.AA", base64url(claims.as_bytes()));
        assert_eq!(scheme(&token(r#"{"cnf":{"jkt":"x"}}"#)), "DPoP");
        for unbound in [token("{}"), token("no json"), "opaque".to_owned(), String::new()] {
            assert_eq!(scheme(&unbound), "Bearer", "{unbound}");
        }
    }
}
