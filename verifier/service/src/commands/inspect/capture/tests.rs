//! Every form of capture, as the programs write it, and what is none.

use serde_json::json;

use super::*;

fn all(text: &str) -> Capture {
    read(text.as_bytes()).expect("a capture").unwrap()
}

fn one(text: &str) -> Captured {
    let mut capture = all(text);
    assert_eq!(capture.requests.len(), 1, "{capture:?}");
    capture.requests.pop().unwrap()
}

fn fault(input: &[u8]) -> &'static str {
    read(input).expect("a capture").map(drop).unwrap_err().reason
}

const CURL: &str = "*   Trying 192.0.2.1:443...\n* Connected to api.example (192.0.2.1) port 443\n\
    > GET /v1/me?a=b HTTP/1.1\r\n> Host: API.example\r\n> DPoP: abc\r\n> Authorization: DPoP def\r\n>\r\n\
    * Request completely sent off\n< HTTP/1.1 200 OK\r\n< date: Mon, 21 Sep 2026 14:13:20 GMT\r\n<\r\n{\"x\":1}\n";

#[test]
fn what_curl_sent_is_read_and_what_was_answered_tells_the_time() {
    let request = one(CURL);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/v1/me?a=b"));
    assert_eq!(request.authority.as_deref(), Some("api.example"));
    assert_eq!(request.values("authorization").collect::<Vec<_>>(), ["DPoP def"]);
    assert_eq!(request.time, Some((Timestamp::from_unix_seconds(1_790_000_000), TimeFrom::Answer)));
    assert_eq!(request.body, Body::Whole(Vec::new()));
    assert!(request.is_attested());
}

#[test]
fn every_request_of_a_capture_is_read_and_none_takes_the_lines_of_another() {
    let capture = all(&format!("{CURL}* Connection #0 left intact\n{}", CURL.replace("/v1/me", "/v1/you")));
    let targets: Vec<_> = capture.requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/v1/me?a=b", "/v1/you?a=b"]);
    assert!(capture.requests.iter().all(|request| request.values("dpop").count() == 1));
}

#[test]
fn times_before_lines_and_the_tunnel_of_a_proxy_are_left_out() {
    let timed: String = CURL.lines().map(|line| format!("14:13:20.123456 {line}\n")).collect();
    assert_eq!(one(&timed), one(CURL));
    let tunnel = "> CONNECT api.example:443 HTTP/1.1\n> Host: api.example:443\n>\n< HTTP/1.1 200 OK\n<\n";
    assert_eq!(one(&format!("{tunnel}{CURL}")), one(CURL));
    assert_eq!(fault(tunnel.as_bytes()), "no_request");
}

#[test]
fn http2_is_read_from_what_was_sent_else_from_what_curl_says_of_it() {
    let said = "* [HTTP/2] [1] OPENED stream for https://api.example/v1\n* [HTTP/2] [1] [:method: GET]\n\
        * [HTTP/2] [1] [:scheme: https]\n* [HTTP/2] [1] [:authority: api.example]\n\
        * [HTTP/2] [1] [:path: /v1?a]\n* [HTTP/2] [1] [dpop: abc]\n";
    let sent = "> GET /v1?a HTTP/2\n> Host: api.example\n> DPoP: abc\n>\n";
    let from_said = one(said);
    assert_eq!((from_said.method.as_str(), from_said.target.as_str()), ("GET", "/v1?a"));
    assert_eq!(from_said.authority.as_deref(), Some("api.example"));
    assert_eq!(from_said.values("dpop").collect::<Vec<_>>(), ["abc"]);
    let both = one(&format!("{said}{sent}"));
    assert_eq!(both.values("dpop").count(), 1);
    assert_eq!(one(&said.replace("[HTTP/2] [1] ", "h2 ")).values("dpop").collect::<Vec<_>>(), ["abc"]);
}

#[test]
fn repeated_lines_stay_repeated() {
    let request = one(&CURL.replace("> DPoP: abc", "> DPoP: abc\n> dpop:  ghi "));
    assert_eq!(request.values("dpop").collect::<Vec<_>>(), ["abc", "ghi"]);
}

#[test]
fn a_body_that_curl_does_not_show_is_said_to_be_missing() {
    let request = one(&CURL.replace("> GET", "> POST").replace("> DPoP", "> Content-Length: 3\n> DPoP"));
    assert_eq!(request.body, Body::NotShown);
    assert!(request.notes.iter().any(|note| note.contains("does not show the body")));
}

#[test]
fn a_raw_request_is_read_with_its_body() {
    let text = "POST /v1/pay HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nDPoP: abc\r\n\r\na=b";
    let request = one(text);
    assert_eq!(request.body, Body::Whole(b"a=b".to_vec()));
    assert_eq!(one(&format!("{text}\n")).body, Body::Whole(b"a=b".to_vec()));
    assert_eq!(one(&text.replace("a=b", "a")).body, Body::NotShown);
    assert_eq!(one(&text.replace("a=b", "a=b&c=d")).body, Body::NotShown);
    assert_eq!(one(&text.replace("Content-Length: 3", "Transfer-Encoding: chunked")).body, Body::NotShown);
    let absolute = one(&text.replace("/v1/pay", "https://User@Api.example:8443/v1/pay"));
    assert_eq!(
        (absolute.target.as_str(), absolute.authority.as_deref()),
        ("/v1/pay", Some("api.example:8443"))
    );
}

#[test]
fn a_folded_line_is_no_value_that_passes() {
    let request = one("GET / HTTP/1.1\nDPoP: abc\n def\n\n");
    assert_eq!(request.fields().dpop, countersign_verifier::check::Field::Malformed);
    assert_eq!(fault(b"GET / HTTP/1.1\nno colon\n\n"), "header_malformed");
}

fn har() -> serde_json::Value {
    json!({ "log": { "version": "1.2", "entries": [
        { "startedDateTime": "2026-09-21T16:13:20.500+02:00", "request": {
            "method": "POST", "url": "https://api.example/v1/pay?a=b#c", "httpVersion": "HTTP/2",
            "headers": [
                { "name": ":authority", "value": "api.example" },
                { "name": "Attestation-Proof", "value": "abc" },
                { "name": "authorization", "value": "DPoP def" }
            ],
            "queryString": [{ "name": "a", "value": "b" }],
            "bodySize": 3, "postData": { "mimeType": "text/plain", "text": "a=b" }
        }, "response": {} },
        { "startedDateTime": "nonsense", "request": { "method": "GET", "url": "https://cdn.example/x.png" } }
    ] } })
}

#[test]
fn a_har_file_is_read_with_time_and_body_and_only_what_is_for_an_edge_is_shown() {
    let capture = all(&format!("{:#}", har()));
    assert_eq!((capture.requests.len(), capture.left_out), (1, 1));
    let request = &capture.requests[0];
    assert_eq!((request.target.as_str(), request.authority.as_deref()), ("/v1/pay?a=b", Some("api.example")));
    assert_eq!(request.time, Some((Timestamp::from_unix_seconds(1_790_000_000), TimeFrom::Capture)));
    assert_eq!(request.body, Body::Whole(b"a=b".to_vec()));
    assert_eq!(request.lines.len(), 2);
    assert!(request.notes.is_empty(), "{:?}", request.notes);
}

#[test]
fn what_a_browser_leaves_out_of_a_har_file_is_said() {
    let mut file = har();
    let request = &mut file["log"]["entries"][0]["request"];
    request["headers"].as_array_mut().unwrap().pop();
    request["postData"]["text"] = json!("a");
    let request = one(&file.to_string());
    assert_eq!(request.body, Body::NotShown);
    assert!(request.notes.iter().any(|note| note.contains("sensitive data")), "{:?}", request.notes);
    let hidden = CURL.replace("DPoP def", "[redacted]");
    assert!(one(&hidden).notes.iter().any(|note| note.contains("hides the value of authorization")));
}

#[test]
fn what_is_no_capture_is_left_to_the_others() {
    for other in
        ["", "eyJhbGciOiJFUzI1NiJ9.e30.AA", "{\"keys\":[]}", "GET /", "Attestation-Result: abc", "> quoted"]
    {
        assert!(read(other.as_bytes()).is_none(), "{other}");
    }
    assert!(read(&[0xff; 100]).is_none());
}

#[test]
fn a_broken_or_endless_capture_is_refused() {
    assert_eq!(fault(b"{\"log\":{\"entries\":[}}"), "har_malformed");
    assert_eq!(fault(b"{\"log\":{\"entries\":[]}}"), "no_request");
    assert_eq!(fault(format!("{{\"log\":{{\"x\":{}", "[".repeat(100_000)).as_bytes()), "har_malformed");
    assert_eq!(fault(&vec![b'>'; MAX_CAPTURE as usize + 1]), "too_long");
    let many = all(&CURL.repeat(MAX_REQUESTS + 5));
    assert_eq!((many.requests.len(), many.left_out), (MAX_REQUESTS, 5));
    let lines = one(&CURL.replace("> DPoP: abc", &"> X: y\n".repeat(2 * MAX_LINES)));
    assert!(lines.lines.len() <= MAX_LINES + 1 && !lines.notes.is_empty());
}

#[test]
fn cut_and_changed_captures_are_survived() {
    let raw = "POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc".to_owned();
    for text in [CURL.to_owned(), raw, har().to_string()] {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= flip;
                if let Some(Ok(capture)) = read(&changed) {
                    assert!(!capture.requests.is_empty());
                }
            }
        }
    }
}

#[test]
fn times_are_read_in_the_forms_that_are_written() {
    let expected = Some(Timestamp::from_unix_seconds(1_790_000_000));
    for text in ["2026-09-21T14:13:20Z", "2026-09-21T14:13:20.999Z", "1790000000"] {
        assert_eq!(written_time(text), expected, "{text}");
    }
    for text in ["", "yesterday", "-1", "2026-09-21", "1969-01-01T00:00:00Z"] {
        assert_eq!(written_time(text), None, "{text}");
    }
}
