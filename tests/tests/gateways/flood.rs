//! Garbage beside good requests, behind every gateway: counted, not timed.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::every_gateway::behind_every_gateway;
use crate::http::Sent;

/// Behind five gateways these are ten thousand requests.
const CONNECTIONS: u8 = 40;
const REQUESTS: usize = 50;
const GOOD: usize = 40;

#[tokio::test]
async fn good_requests_pass_beside_ten_thousand_that_are_garbage() {
    behind_every_gateway(async |world, gateway| {
        let address = gateway.address;
        let flood: Vec<_> =
            (0..CONNECTIONS).map(|number| tokio::spawn(garbage_of_one(number, address))).collect();
        for _ in 0..GOOD {
            let got = world.proven("GET", "/v1/account").send(address).await;
            assert_eq!(got.status, 200, "{got:?}");
        }
        let mut refused = 0;
        for one in flood {
            refused += one.await.unwrap();
        }
        // Some gateways close a connection after the first request that they themselves refuse.
        assert!(refused >= usize::from(CONNECTIONS), "{refused}");
        let got = world.proven("GET", "/v1/account").send(address).await;
        assert_eq!(got.status, 200, "afterwards as before: {got:?}");
        assert_eq!(world.upstream.requests(), GOOD + 1, "none of the garbage arrives");
    })
    .await;
}

/// All requests of one connection, from an address of its own (Linux has all of 127.0.0.0/8 on loopback), so that no good one is taken for it. How many refusals
/// came back.
async fn garbage_of_one(number: u8, gateway: SocketAddr) -> usize {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, number], 0))).unwrap();
    let mut stream = socket.connect(gateway).await.unwrap();
    let requests: Vec<u8> = (0..REQUESTS).flat_map(|index| garbage(index).bytes("")).collect();
    let end = Sent::new("GET", "/v1/account").bytes("Connection: close\r\n");
    let mut answers = Vec::new();
    let (mut reading, mut writing) = stream.split();
    // A gateway that has seen enough closes; what it has answered until then is read all the same.
    let _ = tokio::join!(
        async { writing.write_all(&[requests, end].concat()).await },
        reading.read_to_end(&mut answers)
    );
    let answers = String::from_utf8_lossy(&answers);
    assert!(!answers.contains("HTTP/1.1 2") && !answers.contains("HTTP/1.1 5"), "{answers}");
    answers.matches("HTTP/1.1 4").count()
}

fn garbage(index: usize) -> Sent {
    let sent = Sent::new("GET", format!("/v1/{index}?{index}"));
    let long = "A".repeat(6000);
    match index % 6 {
        0 => sent.with("Authorization", "DPoP a.b.c").with("Attestation-Result", "AAAA"),
        1 => sent.with("Attestation-Result", &long).with("Attestation-Proof", &long),
        2 => sent.with("Authorization", "Bearer ").with("DPoP", "e30.e30.e30"),
        3 => sent.with("Attestation-Proof", "\u{e9}\u{fc}").with("X-API-Key", ",,,"),
        4 => sent.with("OAuth-Client-Attestation", "eyJ.eyJ.AA").with("DPoP", &long),
        _ => sent,
    }
}
