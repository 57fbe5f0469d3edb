//! The client: keep-alive connections, each asking for one thing at a time, as fast as answers come or at a fixed rate.
//!
//! It never sleeps, so that the hand of its clock is finer than what it measures: it has a core of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest that one measurement takes, whatever happens.
const MOST: Duration = Duration::from_secs(30);

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection sends the next as soon as it has its answer.
    Closed,
    /// So many a second, however long answers take.
    Open(f64),
}

/// What came of a measurement.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// Of each request, from when it was due until its answer was there.
    pub(crate) latencies: Vec<Duration>,
}

struct Connection {
    stream: TcpStream,
    /// Since when it waits for an answer.
    due: Option<Instant>,
    answer: Vec<u8>,
}

/// Sends every one of `requests` once over so many connections.
///
/// # Panics
/// If an answer is no 200, or the server does not keep up: a measurement of refusals would be worth nothing.
pub(crate) fn run(address: SocketAddr, connections: usize, requests: &[Vec<u8>], pace: Pace) -> Outcome {
    let mut connections: Vec<Connection> = (0..connections).map(|_| Connection::open(address)).collect();
    let mut latencies = Vec::with_capacity(requests.len());
    let mut requests = requests.iter().enumerate().peekable();
    let total = requests.len();
    let start = Instant::now();
    while latencies.len() < total {
        assert!(start.elapsed() < MOST, "{} of {total} answers within {MOST:?}", latencies.len());
        for connection in &mut connections {
            if connection.due.is_some() {
                latencies.extend(connection.receive());
                continue;
            }
            let Some((index, _)) = requests.peek() else { continue };
            let due = match pace {
                Pace::Closed => Instant::now(),
                Pace::Open(rate) => start + Duration::from_secs_f64(*index as f64 / rate),
            };
            if due <= Instant::now()
                && let Some((_, request)) = requests.next()
            {
                connection.send(request, due);
            }
        }
    }
    Outcome { elapsed: start.elapsed(), latencies }
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the stack listens");
        stream.set_nodelay(true).expect("a fresh connection");
        stream.set_nonblocking(true).expect("a fresh connection");
        Self { stream, due: None, answer: Vec::with_capacity(4096) }
    }

    /// A request is far smaller than a socket's buffer, which is empty while no answer is awaited.
    fn send(&mut self, request: &[u8], due: Instant) {
        self.stream.write_all(request).expect("the connection is kept");
        self.due = Some(due);
    }

    /// How long it took, if the whole answer is there.
    fn receive(&mut self) -> Option<Duration> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("closed: {}", String::from_utf8_lossy(&self.answer)),
            Ok(length) => self.answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        }
        let end = self.answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
        let length: usize = length.and_then(|(length, _)| length.parse().ok()).expect("a stated length");
        if self.answer.len() < end + length {
            return None;
        }
        self.answer.clear();
        self.due.take().map(|due| due.elapsed())
    }
}
