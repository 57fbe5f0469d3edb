//! `CheckRequest`s as Envoy makes them, and as it does not; and what it is answered.

use axum::http::StatusCode;
use prost::Message;

use super::messages::{Address, AttributeContext, HeaderLines, Peer, RequestAttributes, SocketAddress};
use super::*;

/// A request as Envoy tells of it with `encode_raw_headers`, after `change`.
fn check(
    lines: &[(&str, &str)],
    change: impl FnOnce(&mut AttributeContext, &mut HttpRequest),
) -> CheckRequest {
    let line = |(name, value): &(&str, &str)| HeaderLine {
        key: (*name).to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    let mut http = HttpRequest {
        method: "POST".to_owned(),
        path: "/v1/pay?a=%2F".to_owned(),
        size: -1,
        header_map: Some(HeaderLines { headers: lines.iter().map(line).collect() }),
        ..HttpRequest::default()
    };
    let socket_address = Some(SocketAddress { address: "192.0.2.7".to_owned() });
    let mut attributes = AttributeContext {
        source: Some(Peer { address: Some(Address { socket_address }) }),
        request: None,
        context_extensions: [("resource".to_owned(), "api".to_owned())].into(),
    };
    change(&mut attributes, &mut http);
    attributes.request = Some(RequestAttributes { http: Some(http) });
    CheckRequest { attributes: Some(attributes) }
}

fn refused(check: &CheckRequest) -> Option<Misconfigured> {
    Told::read(check).err()
}

fn field(told: &Told<'_>) -> String {
    match told.fields().dpop {
        countersign_verifier::check::Field::Absent => "absent".to_owned(),
        countersign_verifier::check::Field::One(value) => value.expose().to_owned(),
        countersign_verifier::check::Field::Malformed => "malformed".to_owned(),
    }
}

fn answer(status: StatusCode, headers: &[(&'static str, &'static str)]) -> Answer {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let identity = [("x-attested-subject", "alice"), ("x-attested-scope", ""), ("attestation-verdict", "")];
    Answer {
        status,
        headers: headers.iter().map(field).collect(),
        identity: identity.iter().map(field).collect(),
    }
}

/// The fields that are set, each with its action.
fn shown(options: &[HeaderOption]) -> Vec<(&str, &str, i32)> {
    let line = |option: &HeaderOption| (option.header.as_ref().unwrap().clone(), option.append_action);
    let shown = options.iter().map(line).map(|(line, action)| (line.key, line.value, action));
    shown.map(|(name, value, action)| (&*name.leak(), &*value.leak(), action)).collect()
}

#[test]
fn the_original_request_is_what_envoy_tells() {
    let check = check(&[("dpop", "a.b.c")], |_, _| {});
    let told = Told::read(&check).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(told.resource, "api");
    let source = Some("192.0.2.7".parse().unwrap());
    assert_eq!(told.original, Original { method: "POST", path_and_query: "/v1/pay?a=%2F", source });
    assert_eq!(field(&told), "a.b.c");
}

#[test]
fn the_resource_is_named_by_the_configuration_and_by_no_field() {
    let unnamed = check(&[("resource", "api")], |attributes, _| attributes.context_extensions.clear());
    assert_eq!(refused(&unnamed), Some(Misconfigured::Missing("context_extensions.resource")));
}

#[test]
fn what_envoy_does_not_tell_is_not_guessed() {
    assert_eq!(refused(&CheckRequest::default()), Some(Misconfigured::Missing("attributes")));
    let empty = CheckRequest { attributes: Some(AttributeContext::default()) };
    assert_eq!(refused(&empty), Some(Misconfigured::Missing("attributes.request.http")));
    for path in ["", "*", "https://other.example/"] {
        let check = check(&[], |_, http| http.path = path.to_owned());
        assert!(matches!(refused(&check), Some(Misconfigured::Malformed(_))), "{path}");
    }
    let nowhere = check(&[("x-forwarded-for", "192.0.2.9")], |attributes, _| {
        let socket_address = Some(SocketAddress { address: "nowhere".to_owned() });
        attributes.source = Some(Peer { address: Some(Address { socket_address }) });
    });
    assert_eq!(refused(&nowhere), Some(Misconfigured::Malformed("source.address")));
    let pipe = check(&[("x-forwarded-for", "192.0.2.9")], |attributes, _| {
        attributes.source = Some(Peer { address: Some(Address { socket_address: None }) });
    });
    assert_eq!(Told::read(&pipe).map(|told| told.original.source), Ok(None));
}

#[test]
fn two_lines_are_refused_raw_joined_and_in_both_places() {
    let joined = |value: &str, lines: &[(&str, &str)]| {
        check(lines, |_, http| drop(http.headers.insert("dpop".to_owned(), value.to_owned())))
    };
    for (two, expected) in [
        (check(&[("dpop", "a.b.c"), ("dpop", "a.b.c")], |_, _| {}), "malformed"),
        (check(&[("dpop", "a.b.c"), ("DPoP", "a.b.c")], |_, _| {}), "malformed"),
        (check(&[("dpop", "a.b.c,a.b.c")], |_, _| {}), "malformed"),
        (joined("a.b.c,a.b.c", &[]), "malformed"),
        (joined("a.b.c", &[("dpop", "a.b.c")]), "malformed"),
        (joined("a.b.c", &[]), "a.b.c"),
        (check(&[("d_pop", "a.b.c")], |_, _| {}), "absent"),
    ] {
        let told = Told::read(&two).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(field(&told), expected);
    }
}

#[test]
fn a_body_was_seen_only_if_it_is_there_in_full() {
    const WHOLE: (&str, &str) = ("x-envoy-auth-partial-body", "false");
    const PARTIAL: (&str, &str) = ("x-envoy-auth-partial-body", "true");
    let content = |lines: &[(&str, &str)], size, body: &[u8]| {
        let check = check(lines, |_, http| (http.size, http.raw_body) = (size, body.to_vec()));
        Told::read(&check).map(|told| told.content())
    };
    assert_eq!(content(&[WHOLE], 3, b"abc"), Ok(Content::Hash(sha256(b"abc"))));
    for (lines, size, body) in [
        (&[][..], 3, &b"abc"[..]),
        (&[PARTIAL], 3, b"abc"),
        // A client's own line beside Envoy's.
        (&[WHOLE, PARTIAL], 3, b"abc"),
        (&[WHOLE, WHOLE], 3, b"abc"),
        (&[WHOLE], 4, b"abc"),
        (&[WHOLE], -1, b"abc"),
        (&[WHOLE], 0, b""),
        (&[WHOLE], 3, b""),
    ] {
        assert_eq!(content(lines, size, body), Ok(Content::Unseen), "{lines:?} {size}");
    }
}

#[test]
fn a_permit_sets_what_is_known_and_removes_whatever_else_poses_as_identity() {
    let posing = [
        ("x-attested-subject", "spoofed"),
        ("x_attested_subject", "spoofed"),
        ("x.attested.scope", "spoofed"),
        ("x-attested-scope", "spoofed"),
        ("x-attested-scope", "twice"),
        ("accept", "*/*"),
    ];
    let check = check(&posing, |_, _| {});
    let told = Told::read(&check).unwrap_or_else(|error| panic!("{error:?}"));
    let response = check_response(&told, &answer(StatusCode::OK, &[("cache-control", "no-store")]));
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpAnswer::Ok(ok)) = response.http_response else { panic!("denied") };
    assert_eq!(shown(&ok.headers), [("x-attested-subject", "alice", 2)]);
    assert_eq!(
        ok.headers_to_remove,
        ["x-attested-scope", "attestation-verdict", "x_attested_subject", "x.attested.scope"]
    );
    assert_eq!(shown(&ok.response_headers_to_add), [], "the upstream's own Cache-Control stays");
}

#[test]
fn a_nonce_overwrites_and_a_warning_stands_beside_the_upstreams_own_challenge() {
    let check = check(&[], |_, _| {});
    let told = Told::read(&check).unwrap_or_else(|error| panic!("{error:?}"));
    let fields = [("www-authenticate", "DPoP"), ("dpop-nonce", "a"), ("cache-control", "no-store")];
    let response = check_response(&told, &answer(StatusCode::OK, &fields));
    let Some(HttpAnswer::Ok(ok)) = response.http_response else { panic!("denied") };
    let told = [("www-authenticate", "DPoP", 0), ("dpop-nonce", "a", 2), ("cache-control", "no-store", 2)];
    assert_eq!(shown(&ok.response_headers_to_add), told);
}

#[test]
fn a_refusal_has_its_status_and_its_fields_and_no_identity() {
    let check = check(&[], |_, _| {});
    let told = Told::read(&check).unwrap_or_else(|error| panic!("{error:?}"));
    for status in [400, 401, 403, 404, 413, 429, 503] {
        let answer = answer(StatusCode::from_u16(status).unwrap(), &[("retry-after", "10")]);
        let response = check_response(&told, &answer);
        assert_ne!(response.status.unwrap().code, 0, "{status}");
        let Some(HttpAnswer::Denied(denied)) = response.http_response else { panic!("permitted: {status}") };
        assert_eq!(denied.status.unwrap().code, i32::from(status));
        assert_eq!(shown(&denied.headers), [("retry-after", "10", 2)]);
    }
}

#[test]
fn the_bytes_are_those_of_envoys_protocol() {
    // attributes { source { address { socket_address { protocol: TCP, address: "192.0.2.7", port_value: 80 } } }
    //   request { http { id: "1", method: "GET", headers { "dpop": "a" }, path: "/", host: "h" } }
    //   context_extensions { "resource": "api" } }
    let mut bytes = b"\x0a\x00".to_vec();
    bytes.extend(b"\x0a\x13\x0a\x11\x0a\x0f\x08\x00\x12\x09192.0.2.7\x18\x50".as_slice());
    bytes.extend(
        b"\x22\x1b\x12\x19\x0a\x011\x12\x03GET\x1a\x09\x0a\x04dpop\x12\x01a\x22\x01/\x2a\x01h".as_slice(),
    );
    bytes.extend(b"\x52\x0f\x0a\x08resource\x12\x03api".as_slice());
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    let check = CheckRequest::decode(bytes.as_slice()).unwrap();
    let told = Told::read(&check).unwrap_or_else(|error| panic!("{error:?}"));
    let source = Some("192.0.2.7".parse().unwrap());
    assert_eq!((told.resource, field(&told).as_str()), ("api", "a"));
    assert_eq!(told.original, Original { method: "GET", path_and_query: "/", source });

    let response = check_response(&told, &answer(StatusCode::UNAUTHORIZED, &[("dpop-nonce", "n")]));
    assert_eq!(
        response.encode_to_vec(),
        b"\x0a\x02\x08\x07\x12\x1a\x0a\x03\x08\x91\x03\x12\x13\x0a\x0f\x0a\x0adpop-nonce\x12\x01n\x18\x02"
    );
}
