//! Something that answers in the store's place, and not as it should.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use countersign_verifier::check::Reason;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::{Phone, edge, permit, questions, refusal, store, until};

#[tokio::test]
async fn an_answer_of_another_type_permits_nothing() {
    for answer in [
        ":3\r\n",
        ":-1\r\n",
        "$1\r\n0\r\n",
        "$-1\r\n",
        "*1\r\n:0\r\n",
        "+OK\r\n",
        "+0\r\n",
        "-ERR unknown command\r\n",
        "-NOSCRIPT gone\r\n",
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "!garbage\r\n",
        "\0\0\0\0\r\n",
        "$99999999999999999999\r\n",
    ] {
        let fake = Fake::start(answer).await;
        let a = edge(store(fake.address.port())).await;
        let phone = Phone::new(1);
        let closed = refusal(&a, &phone.call("/closed")).await;
        assert_eq!(closed, Some(Reason::StoreUnavailable), "{answer:?}");
        assert!(permit(&a, &phone.call("/local")).await.is_settled_alone(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_lied_once_is_given_up_and_a_good_one_taken() {
    let fake = Fake::start("$5\r\nhello\r\n").await;
    let a = edge(store(fake.address.port())).await;
    let phone = Phone::new(1);
    assert_eq!(refusal(&a, &phone.call("/closed")).await, Some(Reason::StoreUnavailable));
    assert_eq!(questions(&a, "store_answer"), 1);
    fake.says(":0\r\n");
    until("in use again", async || refusal(&a, &phone.call("/closed")).await.is_none()).await;
}

#[tokio::test]
async fn a_store_that_says_nothing_at_all_is_never_used() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = edge(store(silent.local_addr().unwrap().port())).await;
    assert!(!a.is_ready());
    assert_eq!(refusal(&a, &Phone::new(1).call("/closed")).await, Some(Reason::StoreUnavailable));
}

/// Behaves like a store in everything but its answer to questions.
struct Fake {
    address: SocketAddr,
    answer: Arc<Mutex<&'static str>>,
}

impl Fake {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let told = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&told)));
            }
        });
        Self { address, answer }
    }

    fn says(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }
}

async fn serve(stream: TcpStream, answer: Arc<Mutex<&'static str>>) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = command(&mut stream).await {
        let word = |index: usize| words.get(index).map(String::as_str).unwrap_or_default();
        let says = match word(0) {
            "SCRIPT" => format!("$40\r\n{}\r\n", "a".repeat(40)),
            "INFO" => "$28\r\nmaxmemory_policy:noeviction\n\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            "EVALSHA" => answer.lock().unwrap().to_string(),
            // Only nonce keys have two arguments behind one key.
            "EVAL" if word(3).ends_with("nonce-keys") => {
                let key = format!("1:100:{}", "ab".repeat(32));
                format!("*2\r\n:1000\r\n*1\r\n${}\r\n{key}\r\n", key.len())
            }
            "EVAL" => answer.lock().unwrap().to_string(),
            _ => "+OK\r\n".to_owned(),
        };
        if stream.write_all(says.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One command: an array of strings.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream, '*').await? {
        let mut word = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.strip_prefix(kind)?.trim_end().parse().ok()
}
