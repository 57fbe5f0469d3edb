//! HTTP/1.1 byte by byte, so that a test can send what a client library would correct.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) lines: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) lines: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), lines: Vec::new(), body: Vec::new() }
    }

    /// The same request with one more header line.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.lines.retain(|(field, _)| field != name);
        self
    }

    pub(crate) fn to(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    pub(crate) fn line(&self, name: &str) -> &str {
        self.lines.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str()).unwrap()
    }

    pub(crate) async fn send(&self, address: SocketAddr) -> Got {
        Got::parse(&exchange(address, self.bytes("Connection: close\r\n")).await)
    }

    /// Sends both over one connection; what comes back, as it comes.
    pub(crate) async fn send_with_next(&self, next: &Self, address: SocketAddr) -> String {
        let both = [self.bytes(""), next.bytes("Connection: close\r\n")].concat();
        String::from_utf8(exchange(address, both).await).unwrap()
    }

    /// The request as it goes over the wire, with these lines at the end of its head.
    pub(crate) fn bytes(&self, last_lines: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: api.example\r\n", self.method, self.target);
        for (name, value) in &self.lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n{last_lines}\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }
}

/// Sends bytes as they are; what comes back until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: Vec<u8>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

impl Got {
    pub(crate) fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let line = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self { status, lines: lines.map(line).collect(), body: answer[end + 4..].to_vec() }
    }

    /// The values of all lines of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.lines.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field that stands once; empty if it is absent.
    pub(crate) fn one(&self, name: &str) -> &str {
        match self.all(name).as_slice() {
            [] => "",
            [value] => value,
            several => panic!("{name} stands more than once: {several:?}"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}
