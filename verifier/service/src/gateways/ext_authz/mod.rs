//! Envoy's external authorization over gRPC: what a `CheckRequest` tells of the original request, and what the decision
//! about it is in a `CheckResponse`.

mod messages;

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, header};
use countersign_core::request::sha256;
use countersign_edge::{Answer, is_identity};
use countersign_verifier::check::{Content, Fields};

use super::{Misconfigured, Original};
use messages::{AppendAction, DeniedHttpResponse, HeaderOption, HttpStatus, OkHttpResponse, RpcStatus};
pub(crate) use messages::{CheckRequest, CheckResponse, HeaderLine, HttpAnswer, HttpRequest};

/// The path of the call.
pub(crate) const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Longest `CheckRequest`, in bytes: a body of 64 KiB, as much of header fields, and room for what is skipped.
pub(crate) const MAX_CHECK: usize = 256 * 1024;

/// The key in `context_extensions` that holds the name of the resource.
const RESOURCE: &str = "resource";

/// Codes of `google.rpc.Status`.
const RPC_OK: i32 = 0;
const RPC_PERMISSION_DENIED: i32 = 7;

/// What a `CheckRequest` tells.
pub(crate) struct Told<'a> {
    /// The resource that Envoy's configuration names for the route.
    pub(crate) resource: &'a str,
    pub(crate) original: Original<'a>,
    http: &'a HttpRequest,
}

impl<'a> Told<'a> {
    /// Reads a request.
    pub(crate) fn read(check: &'a CheckRequest) -> Result<Self, Misconfigured> {
        let attributes = check.attributes.as_ref().ok_or(Misconfigured::Missing("attributes"))?;
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let http = http.ok_or(Misconfigured::Missing("attributes.request.http"))?;
        let resource = attributes.context_extensions.get(RESOURCE);
        let resource = resource.ok_or(Misconfigured::Missing("context_extensions.resource"))?;
        if !http.path.starts_with('/') {
            return Err(Misconfigured::Malformed("the original target"));
        }
        let source =
            attributes.source.as_ref().and_then(|peer| peer.address.as_ref()?.socket_address.as_ref());
        // A pipe has no address; one that is told must be one.
        let source = source.map(|socket| socket.address.parse::<IpAddr>());
        let source = source.transpose().map_err(|_| Misconfigured::Malformed("source.address"))?;
        let original = Original { method: &http.method, path_and_query: &http.path, source };
        Ok(Self { resource, original, http })
    }

    /// The header fields that a decision reads. Lines that Envoy has joined contain a comma and are refused as such.
    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields::collect(|name| self.lines(name))
    }

    /// The lines of a field, named in lower case.
    pub(crate) fn lines(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        lines(self.http, name)
    }

    /// The body, if Envoy sent it and it is all there: `x-envoy-auth-partial-body` stands once, which it does not beside a
    /// client's own, and as many bytes are here as Envoy has received. An empty body is one that was not seen.
    pub(crate) fn content(&self) -> Content {
        let mut partial = lines(self.http, "x-envoy-auth-partial-body");
        let whole = partial.next() == Some(b"false".as_slice()) && partial.next().is_none();
        let body = self.http.raw_body.as_slice();
        if whole && !body.is_empty() && i64::try_from(body.len()) == Ok(self.http.size) {
            Content::Hash(sha256(body))
        } else {
            Content::Unseen
        }
    }

    /// The names under which the client poses as somebody, aliases included.
    fn posing(&self) -> impl Iterator<Item = &'a str> {
        all_lines(self.http).map(|(name, _)| name).filter(|name| is_identity(name))
    }
}

/// The lines of a field, named in lower case, as Envoy has all of them.
fn lines<'a>(http: &'a HttpRequest, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    all_lines(http).filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// All lines, from the map and from the list: Envoy fills one of them, and what stood in both would stand twice.
fn all_lines(http: &HttpRequest) -> impl Iterator<Item = (&str, &[u8])> {
    let joined = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let raw = http.header_map.iter().flat_map(|list| &list.headers);
    let value = |line: &'_ HeaderLine| !line.raw_value.is_empty();
    joined.chain(raw.map(move |line| {
        let value = if value(line) { line.raw_value.as_slice() } else { line.value.as_bytes() };
        (line.key.as_str(), value)
    }))
}

/// The answer as Envoy takes it.
pub(crate) fn check_response(told: &Told<'_>, answer: &Answer) -> CheckResponse {
    if answer.status.is_success() { permitted(told, answer) } else { denied(answer) }
}

fn permitted(told: &Told<'_>, answer: &Answer) -> CheckResponse {
    // Set or removed, and never both: what is removed is removed last.
    let (known, unknown): (Vec<_>, Vec<_>) = answer.identity.iter().partition(|(_, value)| !value.is_empty());
    let set = |name: &str| known.iter().any(|(field, _)| field.as_str().eq_ignore_ascii_case(name));
    let mut remove: Vec<String> = unknown.iter().map(|(name, _)| name.as_str().to_owned()).collect();
    for name in told.posing().filter(|name| !set(name)) {
        if !remove.iter().any(|listed| listed == name) {
            remove.push(name.to_owned());
        }
    }
    let ok = OkHttpResponse {
        headers: known.into_iter().map(overwrite).collect(),
        headers_to_remove: remove,
        response_headers_to_add: for_client(answer),
    };
    CheckResponse { status: Some(RpcStatus { code: RPC_OK }), http_response: Some(HttpAnswer::Ok(ok)) }
}

/// A nonce or a warning, with what keeps it from being stored; nothing where there is neither, so that the upstream's own
/// `Cache-Control` stays.
fn for_client(answer: &Answer) -> Vec<HeaderOption> {
    if answer.headers.iter().all(|(name, _)| name == header::CACHE_CONTROL) {
        return Vec::new();
    }
    let option = |field: &(HeaderName, HeaderValue)| match field.0 {
        // The upstream may have a challenge of its own.
        header::WWW_AUTHENTICATE => line(field, AppendAction::AppendIfExistsOrAdd),
        _ => overwrite(field),
    };
    answer.headers.iter().map(option).collect()
}

fn denied(answer: &Answer) -> CheckResponse {
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(answer.status.as_u16()) }),
        headers: answer.headers.iter().map(overwrite).collect(),
    };
    CheckResponse {
        status: Some(RpcStatus { code: RPC_PERMISSION_DENIED }),
        http_response: Some(HttpAnswer::Denied(denied)),
    }
}

fn overwrite(field: &(HeaderName, HeaderValue)) -> HeaderOption {
    line(field, AppendAction::OverwriteIfExistsOrAdd)
}

fn line((name, value): &(HeaderName, HeaderValue), action: AppendAction) -> HeaderOption {
    // What the edge says is visible ASCII; other bytes would be lost rather than changed.
    let value = value.to_str().unwrap_or_default().to_owned();
    let header = HeaderLine { key: name.as_str().to_owned(), value, raw_value: Vec::new() };
    HeaderOption { header: Some(header), append_action: action.into() }
}

#[cfg(test)]
mod tests;
