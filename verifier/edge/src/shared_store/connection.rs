//! One connection to the store, over which many questions go at the same time.

use std::future::Future;
use std::time::Duration;

use countersign_core::challenge::MacKeyRing;
use countersign_verifier::check::pending::{Question, StoreAnswer};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisResult, ServerErrorKind, Value};

use super::error::StoreError;
use super::{MAX_UNDER_WAY, SharedStoreSettings, nonce_keys, question};

/// How long connecting and greeting may take.
const CONNECT: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    redis: MultiplexedConnection,
    /// The hash under which the store keeps the script.
    script: String,
}

impl Connection {
    pub(super) async fn open(settings: &SharedStoreSettings) -> Result<Self, StoreError> {
        // The deadline of each use is ours; the library's own would be another one.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_UNDER_WAY);
        let client = &settings.address.client;
        let redis = within(CONNECT, client.get_multiplexed_async_connection_with_config(&config)).await?;
        let mut load = Cmd::new();
        load.arg("SCRIPT").arg("LOAD").arg(question::script());
        match within(CONNECT, send(&redis, &load)).await? {
            Value::BulkString(hash) if hash.len() == 40 && hash.is_ascii() => {
                let script = String::from_utf8(hash).map_err(|_| StoreError::Answer)?;
                Ok(Self { redis, script })
            }
            _ => Err(StoreError::Answer),
        }
    }

    /// Shows that the store can be trusted to remember: it throws nothing away, it writes, and it answers in time.
    /// Brings the nonce keys.
    pub(super) async fn prove(&self, settings: &SharedStoreSettings) -> Result<MacKeyRing, StoreError> {
        let mut memory = Cmd::new();
        memory.arg("INFO").arg("memory");
        match within(CONNECT, self.send(&memory)).await {
            Ok(Value::BulkString(text)) if may_evict(&text) && !settings.danger_evicting => {
                return Err(StoreError::Evicts);
            }
            // Some providers do not tell; then the operator has been told in the manual.
            Ok(Value::BulkString(_)) | Err(StoreError::Refused | StoreError::Authentication) => {}
            Ok(_) => return Err(StoreError::Answer),
            Err(error) => return Err(error),
        }
        let mut keys = Cmd::new();
        keys.arg("EVAL").arg(nonce_keys::SCRIPT);
        nonce_keys::arguments(&mut keys, &settings.key_prefix, settings.nonce_rotation)?;
        let ring = nonce_keys::ring(within(CONNECT, self.send(&keys)).await?, settings.nonce_rotation)?;
        let mut write = Cmd::new();
        write.arg("SET").arg([settings.key_prefix.as_str(), "alive"].concat()).arg("").arg("EX").arg(60);
        match within(settings.deadline, self.send(&write)).await? {
            Value::Okay => Ok(ring),
            _ => Err(StoreError::Answer),
        }
    }

    pub(super) async fn ping(&self, deadline: Duration) -> Result<(), StoreError> {
        let mut ping = Cmd::new();
        ping.arg("PING");
        within(deadline, self.send(&ping)).await.map(drop)
    }

    /// One round trip; two where the store has lost the script, after a restart. The caller limits the time.
    pub(super) async fn ask(&self, prefix: &str, asked: &Question) -> Result<StoreAnswer, StoreError> {
        let mut by_hash = Cmd::new();
        by_hash.arg("EVALSHA").arg(&self.script);
        question::arguments(&mut by_hash, prefix, asked);
        let value = match self.send(&by_hash).await {
            Err(error) if error.kind() == ServerErrorKind::NoScript.into() => {
                let mut whole = Cmd::new();
                whole.arg("EVAL").arg(question::script());
                question::arguments(&mut whole, prefix, asked);
                self.send(&whole).await
            }
            answered => answered,
        };
        question::answer(&value.map_err(|error| StoreError::of(&error))?)
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        send(&self.redis, command).await
    }
}

async fn send(redis: &MultiplexedConnection, command: &Cmd) -> RedisResult<Value> {
    // Errors of the server come as errors, not as values.
    redis.clone().send_packed_command(command).await?.extract_error()
}

async fn within<T>(time: Duration, work: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done.map_err(|error| StoreError::of(&error)),
        Err(_) => Err(StoreError::TimedOut),
    }
}

/// Whether the store, as `INFO memory` describes it, throws keys away when its memory is full. Without a limit on memory
/// it never is, as far as it knows.
fn may_evict(info: &[u8]) -> bool {
    let text = String::from_utf8_lossy(info);
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    field("maxmemory") != Some("0") && field("maxmemory_policy").is_some_and(|policy| policy != "noeviction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_may_evict_is_told_by_its_policy_and_limit() {
        let info = |maxmemory: u64, policy: &str| {
            format!("# Memory\r\nused_memory:1\r\nmaxmemory:{maxmemory}\r\nmaxmemory_policy:{policy}\r\n")
        };
        for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
            assert!(may_evict(info(1 << 20, policy).as_bytes()), "{policy}");
            assert!(!may_evict(info(0, policy).as_bytes()), "{policy} without a limit");
        }
        assert!(!may_evict(info(1 << 20, "noeviction").as_bytes()));
        assert!(!may_evict(b"# Memory\r\n"), "not told");
    }
}
