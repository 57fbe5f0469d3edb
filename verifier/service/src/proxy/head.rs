//! The head of a request and of an answer: what is refused, what ends at the proxy, and what the proxy says itself.

use std::net::IpAddr;

use axum::body::{Body, HttpBody};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use countersign_edge::strip_identity;

/// Fields of one connection, which end with it (RFC 9110 section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What upstreams believe of a proxy, or take for another method or target than the one that was checked. A client's own
/// are removed, also where `_` or `.` stands for `-`, as in CGI variables.
const PROXY_WORDS: [&str; 14] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

const X_FORWARDED: &str = "x-forwarded-";

/// Refuses what two readers could take for two different requests, or what cannot be passed on.
pub(super) fn refuse_ambiguous(parts: &Parts, body: &Body) -> Result<(), (StatusCode, &'static str)> {
    // RFC 9112 section 3.2: exactly one line.
    let hosts = parts.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
        return Err((StatusCode::BAD_REQUEST, "host_ambiguous"));
    }
    // CONNECT asks for a tunnel, and TRACE for an echo of the credentials.
    if [Method::CONNECT, Method::TRACE].contains(&parts.method) {
        return Err((StatusCode::NOT_IMPLEMENTED, "method_not_passed_on"));
    }
    // The content of a GET has no meaning (RFC 9110 section 9.3.1); one without a length would be dropped on its way.
    if [Method::GET, Method::HEAD].contains(&parts.method) && body.size_hint().exact().is_none() {
        return Err((StatusCode::LENGTH_REQUIRED, "length_missing"));
    }
    Ok(())
}

/// What the proxy tells the upstream of the client.
#[derive(Clone, Debug)]
pub(super) struct Forwarding {
    host: HeaderValue,
    scheme: HeaderValue,
}

impl Forwarding {
    /// For an API that clients call under `origin`; `None` if that is none.
    pub(super) fn new(origin: &str, encrypted: bool) -> Option<Self> {
        let origin: Uri = origin.parse().ok()?;
        let host = HeaderValue::try_from(origin.authority()?.as_str()).ok()?;
        Some(Self { host, scheme: HeaderValue::from_static(if encrypted { "https" } else { "http" }) })
    }

    /// Makes the head that the upstream gets: without what ended here and what the client said in the proxy's name, and
    /// with what the proxy says. `Host` is the one that proofs are made for, whatever the client wrote.
    pub(super) fn apply(&self, parts: &mut Parts, peer: IpAddr, identity: Vec<(HeaderName, HeaderValue)>) {
        let headers = &mut parts.headers;
        remove_hop_by_hop(headers);
        // Answered here already, by asking for the body.
        headers.remove(EXPECT);
        strip_identity(headers);
        strip_proxy_words(headers);
        headers.insert(HOST, self.host.clone());
        headers.insert(HeaderName::from_static("x-forwarded-host"), self.host.clone());
        headers.insert(HeaderName::from_static("x-forwarded-proto"), self.scheme.clone());
        if let Ok(address) = HeaderValue::try_from(peer.to_canonical().to_string()) {
            headers.insert(HeaderName::from_static("x-forwarded-for"), address);
        }
        // After everything that removes by a client's wish.
        headers.extend(identity.into_iter().filter(|(_, value)| !value.is_empty()));
    }
}

/// Makes the head of an answer that the client gets.
pub(super) fn clean_answer(headers: &mut HeaderMap) {
    // RFC 9112 section 6.3: a length beside a transfer coding is not one.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let named: Vec<HeaderName> =
        lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn strip_proxy_words(headers: &mut HeaderMap) {
    let said: Vec<HeaderName> = headers.keys().filter(|name| is_proxy_word(name)).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    debug_assert!(!headers.contains_key(FORWARDED));
}

fn is_proxy_word(name: &HeaderName) -> bool {
    let name = name.as_str().replace(['_', '.'], "-");
    name.starts_with(X_FORWARDED) || PROXY_WORDS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::Request;

    use super::*;

    fn parts(lines: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/v1/account");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn applied(lines: &[(&str, &str)]) -> HeaderMap {
        let mut parts = parts(lines);
        let tier = (HeaderName::from_static("x-attested-tier"), HeaderValue::from_static("affirming"));
        let empty = (HeaderName::from_static("x-attested-scope"), HeaderValue::from_static(""));
        let forwarding = Forwarding::new("https://api.example:8443", true).unwrap();
        forwarding.apply(&mut parts, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), vec![tier, empty]);
        parts.headers
    }

    #[test]
    fn fields_of_one_connection_end_here_and_take_none_of_ours_with_them() {
        let headers = applied(&[
            ("connection", "x-own, X-Attested-Tier"),
            ("connection", "host, x-forwarded-for, not a name"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-late"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic a"),
            ("expect", "100-continue"),
        ]);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["host", "x-attested-tier", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
        );
    }

    #[test]
    fn a_client_does_not_speak_in_the_proxys_name() {
        let spoofed = [
            "x-forwarded-for",
            "x_forwarded_for",
            "x.forwarded-host",
            "x-forwarded-prefix",
            "forwarded",
            "via",
            "x-real-ip",
            "x-original-url",
            "x_rewrite_url",
            "x-http-method-override",
            "host",
        ];
        let headers = applied(&spoofed.map(|name| (name, "spoofed")));
        assert!(!headers.values().any(|value| value == "spoofed"), "{headers:?}");
        assert_eq!(headers["host"], "api.example:8443");
        assert_eq!(headers["x-forwarded-host"], "api.example:8443");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    }

    #[test]
    fn a_request_with_two_hosts_or_none_is_refused() {
        let refused = |lines: &[(&str, &str)]| refuse_ambiguous(&parts(lines), &Body::empty()).is_err();
        assert!(!refused(&[("host", "api.example")]));
        assert!(refused(&[]));
        assert!(refused(&[("host", "api.example"), ("host", "api.example")]));
    }

    #[test]
    fn a_length_beside_a_transfer_coding_does_not_reach_the_client() {
        let mut answer = parts(&[("transfer-encoding", "chunked"), ("content-length", "3")]).headers;
        clean_answer(&mut answer);
        assert!(answer.is_empty(), "{answer:?}");
    }
}
