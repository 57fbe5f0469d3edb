//! Our own proxy: what only it does, because it speaks HTTP to both sides itself. The attacks of every gateway are run
//! against it in `every_gateway`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_service::clock::Clock;
use countersign_service::settings::{EdgeSettings, Settings};
use countersign_service::{RunningEdge, StandaloneEdge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::http::{Got, Sent, exchange};
use crate::process::Running;
use crate::world::{BODY_ROUTE, ISSUER, LOGIN, NOW, RESOURCE, ROUTES, World};

/// Our proxy before the API of `world`.
pub(crate) async fn start(world: &World) -> Running {
    let (address, running) = before(world, world.upstream.address, "").await;
    Running::held(address, running)
}

/// Our proxy before `upstream`, with more settings of its own.
async fn before(world: &World, upstream: SocketAddr, more: &str) -> (SocketAddr, RunningEdge) {
    let running = edge(world, upstream, more, world.clock()).await;
    (running.proxy_address("api").unwrap(), running)
}

/// An edge apart from the service, which both a gateway and a proxy ask.
async fn edge(world: &World, upstream: SocketAddr, more: &str, clock: Clock) -> RunningEdge {
    let text = settings_text(world, upstream, more);
    let settings = EdgeSettings::parse(&world.directory.path().join("edge.toml"), &text).unwrap();
    StandaloneEdge::start_with(settings, clock).await.unwrap()
}

/// The settings of such an edge.
pub(crate) fn settings_text(world: &World, upstream: SocketAddr, more: &str) -> String {
    let service = world.public;
    format!(
        "nonce_keys = 'edge-keys/edge.jwks'\n[attestation_service]\nissuer = '{ISSUER}'\n\
         jwks = 'http://{service}/.well-known/jwks.json'\ndeny_list = 'http://{service}/v1/deny-list'\n\
         [listen]\nadmin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\ngateway = 'envoy-http'\n\
         [[resource]]\nname = 'api'\nidentifier = '{RESOURCE}'\n\
         [[resource.authorization_server]]\nissuer = '{LOGIN}'\njwks = 'login.jwks'\n\
         clients = {{ app = ['mobile'] }}\n{ROUTES}{BODY_ROUTE}\
         [[proxy]]\nresource = 'api'\nlisten = '127.0.0.1:0'\nupstream = 'http://{upstream}'\n{more}"
    )
}

/// What one connection to a raw upstream brought, in full, once it was closed.
type Connections = UnboundedReceiver<Vec<u8>>;

/// An upstream that reads until a request's head and `enough` have come, answers `answer`, and then reads until the
/// connection ends.
async fn raw_upstream(enough: &'static str, answer: &'static str) -> (SocketAddr, Connections) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let connections = connections.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                let mut answered = false;
                loop {
                    let mut part = [0; 4096];
                    match stream.read(&mut part).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) => read.extend_from_slice(&part[..length]),
                    }
                    let text = String::from_utf8_lossy(&read);
                    if !answered && text.contains("\r\n\r\n") && text.contains(enough) {
                        answered = true;
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        if answer.contains("Connection: close") {
                            stream.shutdown().await.unwrap();
                        }
                    }
                }
                let _ = connections.send(read);
            });
        }
    });
    (address, receiver)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn chunked(sent: &Sent, chunks: &[&str]) -> Vec<u8> {
    let sent = Sent { body: Vec::new(), ..sent.clone() };
    let head = String::from_utf8(sent.bytes("")).unwrap();
    let head = head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
    let chunks = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    (head + &chunks.collect::<String>() + "0\r\n\r\n").into_bytes()
}

/// The head of a request that needs no proof, with lines that a client library would not write.
fn unproven(lines: &str) -> String {
    format!("POST /v1/observed HTTP/1.1\r\nHost: api.example\r\n{lines}")
}

#[tokio::test]
async fn a_request_that_two_readers_take_for_two_never_reaches_the_api() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "").await;
    let long = "a".repeat(200_000);
    for (what, lines) in [
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".to_owned()),
        ("two lengths in one line", "Content-Length: 3, 4\r\n\r\nabcd".to_owned()),
        ("a signed length", "Content-Length: +3\r\n\r\nabc".to_owned()),
        ("a length in hex", "Content-Length: 0x3\r\n\r\nabc".to_owned()),
        ("an endless length", "Content-Length: 99999999999999999999\r\n\r\nabc".to_owned()),
        (
            "chunked is not the last coding",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned()),
        (
            "a coding in another line",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("a folded line", "X-Own: a\r\n Transfer-Encoding: chunked\r\n\r\n".to_owned()),
        ("a space before the colon", "Content-Length : 3\r\n\r\nabc".to_owned()),
        ("a bare CR", "X-Own: a\rContent-Length: 3\r\n\r\n".to_owned()),
        ("a NUL", "X-Own: a\0b\r\n\r\n".to_owned()),
        (
            "a chunk's length in words",
            "Transfer-Encoding: chunked\r\n\r\nthree\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "an endless chunk",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_owned(),
        ),
        ("a chunk longer than told", "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n".to_owned()),
        (
            "a huge chunk extension",
            format!("Transfer-Encoding: chunked\r\n\r\n3;x={long}\r\nabc\r\n0\r\n\r\n"),
        ),
        ("two hosts", "Host: other.example\r\n\r\n".to_owned()),
        ("a huge field", format!("X-Own: {long}\r\n\r\n")),
        ("a hundred and one fields", format!("{}\r\n", "X-Own: a\r\n".repeat(101))),
    ] {
        let answer = exchange(address, unproven(&lines).into_bytes()).await;
        let status = Got::parse(&answer).status;
        assert!((400..500).contains(&status), "{what}: {status}");
        assert_eq!(world.upstream.requests(), 0, "{what}");
    }
}

#[tokio::test]
async fn what_follows_a_request_with_a_length_and_chunks_is_no_request() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 48\r\n",
    ] {
        let world = World::new("nginx").await;
        let (upstream, mut connections) = raw_upstream("0\r\n\r\n", OK).await;
        let (address, _running) = before(&world, upstream, "").await;
        let smuggled = "GET /v1/observed?smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let bytes = unproven(&format!("{lines}\r\n0\r\n\r\n{smuggled}")).into_bytes();
        // The connection ends with this answer (RFC 9112 section 6.1).
        let answers = String::from_utf8(exchange(address, bytes).await).unwrap();
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
        let seen = String::from_utf8(connections.recv().await.unwrap()).unwrap();
        assert!(!seen.contains("smuggled"), "{seen}");
        assert!(!seen.to_ascii_lowercase().contains("content-length"), "one framing is left: {seen}");
    }
}

#[tokio::test]
async fn the_api_reads_our_line_ends_and_chunks_and_not_the_clients() {
    let world = World::new("nginx").await;
    let (upstream, mut connections) = raw_upstream("0\r\n\r\n", OK).await;
    let (address, _running) = before(&world, upstream, "").await;
    let bytes = "POST /v1/observed HTTP/1.1\nHost: api.example\nTransfer-Encoding: chunked\nConnection: close\n\n\
                 3;x=\"y\"\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n";
    let got = Got::parse(&exchange(address, bytes.into()).await);
    assert_eq!(got.status, 200);
    let seen = String::from_utf8(connections.recv().await.unwrap()).unwrap();
    assert!(!seen.replace("\r\n", "").contains('\n'), "{seen:?}");
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "neither extension nor trailer: {seen:?}");
}

#[tokio::test]
async fn a_body_too_long_to_hold_is_compared_on_its_way_and_another_is_never_whole() {
    let proven: &'static str = "10 euro to bob, ".repeat(1000).leak();
    let other: &'static str = "99 euro to eve, ".repeat(1000).leak();
    for in_chunks in [false, true] {
        for (body, status) in [(proven, 200), (other, 401)] {
            let world = World::new("nginx").await;
            let (upstream, mut connections) = raw_upstream("bob, \r\n0\r\n\r\n", OK).await;
            let upstream = if in_chunks || status != 200 { upstream } else { world.upstream.address };
            let (address, _running) = before(&world, upstream, "max_content = 1000").await;
            let mut sent = world.proven_with("POST", "/v1/pay", |proof| proof.body = Some(proven.as_bytes()));
            let bytes = if in_chunks {
                let (first, last) = body.split_at(9000);
                chunked(&sent.with("Connection", "close"), &[first, last])
            } else {
                sent.body = body.into();
                sent.bytes("Connection: close\r\n")
            };
            let got = Got::parse(&exchange(address, bytes).await);
            assert_eq!(got.status, status, "{got:?}");
            if status == 401 {
                assert!(got.one("www-authenticate").contains("invalid_client_attestation"), "{got:?}");
                let seen = String::from_utf8(connections.recv().await.unwrap()).unwrap();
                let (_, got) = seen.split_once("\r\n\r\n").unwrap_or_default();
                assert!(got.len() < other.len() && !got.ends_with("0\r\n\r\n"), "{} bytes", got.len());
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_a_route_wants_proven_is_held_until_it_is() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "max_content = 1000").await;
    let pay = |body: &[u8]| Sent {
        body: body.to_vec(),
        ..world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"))
    };
    assert_eq!(pay(b"10 euro").send(address).await.status, 200);
    assert_eq!(pay(b"99 euro").send(address).await.status, 401);
    assert_eq!(pay(b"").send(address).await.status, 401);
    assert_eq!(pay(&[b'a'; 1001]).send(address).await.status, 413);
    assert_eq!(world.upstream.requests(), 1);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused_before_and_within() {
    let world = World::new("nginx").await;
    let (upstream, mut connections) = raw_upstream("never", OK).await;
    let (address, _running) = before(&world, upstream, "max_body = 1000").await;
    let mut sent = Sent::new("POST", "/v1/observed");
    let bytes = chunked(&sent.clone().with("Connection", "close"), &["a"; 2000]);
    assert_eq!(Got::parse(&exchange(address, bytes).await).status, 413);
    let seen = String::from_utf8(connections.recv().await.unwrap()).unwrap();
    assert!(!seen.ends_with("0\r\n\r\n"), "it never was a whole request");
    sent.body = vec![b'a'; 1001];
    assert_eq!(sent.send(address).await.status, 413);
    assert!(connections.try_recv().is_err(), "nobody was asked");
}

#[tokio::test]
async fn a_body_that_never_ends_costs_bounded_time() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "body_timeout = '1s'").await;
    let bytes = unproven("Content-Length: 10\r\nConnection: close\r\n\r\nabc").into_bytes();
    assert_eq!(Got::parse(&exchange(address, bytes).await).status, 408);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_as_it_should_is_our_trouble() {
    let world = World::new("nginx").await;
    let absent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = raw_upstream("never", "").await.0;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let nonsense = "no HTTP at all\r\n\r\n";
    let endless =
        Box::leak(format!("HTTP/1.1 200 OK\r\nX-Own: {}\r\n\r\n", "a".repeat(200_000)).into_boxed_str());
    for (what, upstream, status) in [
        ("absent", absent, 502),
        ("silent", silent, 504),
        ("another protocol", raw_upstream("", switching).await.0, 502),
        ("nonsense", raw_upstream("", nonsense).await.0, 502),
        ("a huge head", raw_upstream("", endless).await.0, 502),
        ("half a head", raw_upstream("", "HTTP/1.1 200 OK\r\nConnection: close\r\n").await.0, 502),
    ] {
        let (address, running) = before(&world, upstream, "response_timeout = '1s'").await;
        let got = world.proven("GET", "/v1/account").send(address).await;
        assert_eq!((got.status, got.body.len()), (status, 0), "{what}");
        let metrics = Sent::new("GET", "/metrics").send(running.address("admin").unwrap()).await;
        assert!(String::from_utf8(metrics.body).unwrap().contains("reason=\"upstream_"), "{what}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_costs_bounded_time() {
    let world = World::new("nginx").await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = "body_timeout = '1s'\nresponse_timeout = '1s'";
    let (address, _running) = before(&world, deaf.local_addr().unwrap(), more).await;
    let mut sent = Sent::new("POST", "/v1/observed");
    // More than both sides' buffers hold.
    sent.body = vec![b'a'; 30_000_000];
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let writer = tokio::spawn(async move { writing.write_all(&sent.bytes("Connection: close\r\n")).await });
    let mut status = [0; 12];
    reading.read_exact(&mut status).await.unwrap();
    // Whichever side is found to be slow first.
    assert!([b"HTTP/1.1 504", b"HTTP/1.1 408"].contains(&&status), "{}", String::from_utf8_lossy(&status));
    writer.abort();
}

#[tokio::test]
async fn who_finds_no_place_is_told_to_come_again() {
    let world = World::new("nginx").await;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, _running) =
        before(&world, upstream.local_addr().unwrap(), "[limits]\nconcurrency = 1").await;
    let first = Sent::new("GET", "/v1/observed");
    let answered = tokio::spawn(async move { first.send(address).await });
    let (mut asked, _) = upstream.accept().await.unwrap();
    let second = Sent::new("GET", "/v1/observed").send(address).await;
    assert_eq!((second.status, second.one("retry-after")), (503, "1"));
    asked.write_all(OK.as_bytes()).await.unwrap();
    assert_eq!(answered.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc";
    let cut_chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n";
    let paused = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    for answer in [cut, cut_chunks, paused] {
        let world = World::new("nginx").await;
        let (upstream, _connections) = raw_upstream("", answer).await;
        let (address, _running) = before(&world, upstream, "response_timeout = '1s'").await;
        let got = world.proven("GET", "/v1/account").send(address).await;
        let body = String::from_utf8_lossy(&got.body);
        let whole = got.one("content-length") == got.body.len().to_string() || body.ends_with("0\r\n\r\n");
        assert!(got.status == 200 && !whole, "{got:?}");
    }
}

#[tokio::test]
async fn early_hints_and_trailers_end_at_the_proxy() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                  Trailer: X-Late\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\nConnection: close, X-Own\r\n\r\n\
                  3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n";
    let world = World::new("nginx").await;
    let (upstream, _connections) = raw_upstream("", answer).await;
    let (address, _running) = before(&world, upstream, "").await;
    let got = world.proven("GET", "/v1/account").send(address).await;
    assert_eq!((got.status, got.body.as_slice()), (200, &b"3\r\nabc\r\n0\r\n\r\n"[..]));
    for name in ["trailer", "keep-alive", "x-own", "link"] {
        assert!(got.all(name).is_empty(), "{name}: {got:?}");
    }
}

#[tokio::test]
async fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    for (answer, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nConnection: close\r\n\r\n", vec!["12345"]),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", vec![]),
    ] {
        let world = World::new("nginx").await;
        let (upstream, _connections) = raw_upstream("", answer).await;
        let (address, _running) = before(&world, upstream, "").await;
        let got = world.proven("HEAD", "/v1/account").send(address).await;
        assert_eq!((got.status, got.all("content-length"), got.body.len()), (200, length, 0), "{got:?}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_sends_its_body_only_if_it_may() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "").await;
    for (target, first) in [("/v1/observed", "HTTP/1.1 100 "), ("/v1/account", "HTTP/1.1 401 ")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; 13];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, first.as_bytes(), "{target}");
        if target == "/v1/observed" {
            stream.write_all(b"abc").await.unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains("HTTP/1.1 200") && !rest.contains("expect"), "{rest}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_refused() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "").await;
    for (request, status) in [
        ("TRACE /v1/observed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501),
        ("CONNECT api.example:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        ("GET /v1/observed HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (
            "GET /v1/observed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            411,
        ),
    ] {
        let got = Got::parse(&exchange(address, request.into()).await);
        assert_eq!(got.status, status, "{request}");
    }
    // HTTP/2 without TLS: its preface is no request of HTTP/1.1.
    let preface = exchange(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()).await;
    assert!(!preface.starts_with(b"HTTP/1.1 2") && !preface.starts_with(&[0, 0]), "{preface:?}");
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn the_api_learns_the_clients_address_and_its_own_name_from_the_proxy() {
    let world = World::new("nginx").await;
    let (address, _running) = before(&world, world.upstream.address, "").await;
    let mut sent =
        world.proven("GET", "/v1/account").with("Upgrade", "websocket").with("Connection", "upgrade");
    for name in ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL"] {
        sent = sent.with(name, "spoofed");
    }
    let lines = sent.send(address).await.json()["lines"].clone();
    assert_eq!(lines["host"], serde_json::json!(["api.example"]));
    assert_eq!(lines["x-forwarded-for"], serde_json::json!(["127.0.0.1"]));
    assert_eq!(lines["x-forwarded-proto"], serde_json::json!(["http"]));
    assert_eq!(lines.get("upgrade"), None);
    assert!(!lines.to_string().contains("spoofed"), "{lines}");
}

#[tokio::test]
async fn an_edge_goes_on_without_the_service_until_its_deny_list_ends() {
    let mut world = World::new("nginx").await;
    let time = Arc::new(AtomicU64::new(NOW.as_unix_seconds()));
    let told = Arc::clone(&time);
    let clock = Clock::from_fn(move || Timestamp::from_unix_seconds(told.load(Ordering::Relaxed)));
    let running = edge(&world, world.upstream.address, "", clock).await;
    let (proxy, admin) = (running.proxy_address("api").unwrap(), running.address("admin").unwrap());
    assert_eq!(Sent::new("GET", "/readyz").send(admin).await.status, 200);
    world.end_service().await;
    for (later, status, ready) in [(0, 200, 200), (599, 200, 200), (600, 401, 503)] {
        let now = NOW.plus(later);
        time.store(now.as_unix_seconds(), Ordering::Relaxed);
        let sent = world.proven_with("GET", "/v1/account", |proof| proof.now = now);
        assert_eq!(sent.send(proxy).await.status, status, "{later} s later");
        assert_eq!(Sent::new("GET", "/readyz").send(admin).await.status, ready, "{later} s later");
    }
}

#[tokio::test]
async fn an_edge_that_never_reached_the_service_lets_nothing_pass() {
    let mut world = World::new("nginx").await;
    let sent = world.proven("GET", "/v1/account");
    world.end_service().await;
    let running = edge(&world, world.upstream.address, "", world.clock()).await;
    assert_eq!(sent.send(running.proxy_address("api").unwrap()).await.status, 503);
    assert_eq!(Sent::new("GET", "/readyz").send(running.address("admin").unwrap()).await.status, 503);
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn a_gateway_finds_metadata_at_an_edge_of_its_own() {
    let world = World::new("nginx").await;
    let running = edge(&world, world.upstream.address, "", world.clock()).await;
    let edge = running.address("edge").unwrap();
    let got = Sent::new("GET", "/.well-known/oauth-protected-resource").send(edge).await;
    assert_eq!((got.status, got.json()["resource"].as_str()), (200, Some(RESOURCE)));
    let asked =
        Sent { target: "/edge/check/api/v1/account".to_owned(), ..world.proven("GET", "/v1/account") };
    assert_eq!(asked.send(edge).await.status, 200);
}

#[tokio::test]
async fn a_proxy_that_ends_takes_no_new_connection() {
    let world = World::new("nginx").await;
    let (address, running) = before(&world, world.upstream.address, "").await;
    assert_eq!(world.proven("GET", "/v1/account").send(address).await.status, 200);
    tokio::time::timeout(Duration::from_secs(9), running.shut_down()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn the_settings_of_the_example_are_valid() {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/proxy");
    let edge = EdgeSettings::load(&example.join("edge.toml")).map_err(|problems| problems.to_string());
    assert_eq!(edge.map(|settings| settings.proxies.len()), Ok(1));
    let service = Settings::load(&example.join("countersign.toml")).map_err(|problems| problems.to_string());
    assert_eq!(service.map(|settings| settings.resources.len()), Ok(0));
}
