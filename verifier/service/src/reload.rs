//! Settings that are read again while requests go on. What is wrong changes nothing: the old rules hold until right ones
//! can take their place.

use std::fmt;
use std::time::Duration;

use countersign_edge::SetupError;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};

use crate::clock::Clock;
use crate::document::Problems;
use crate::telemetry::Metrics;

/// Longest wait for the file and for those that it names.
const READING: Duration = Duration::from_secs(30);

/// Why settings that were read again are not in force. Displayed as sentences that say what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReloadError {
    /// The file.
    Settings(Problems),
    /// What the file names, for the edge.
    Edge(SetupError),
    /// Reading took more than half a minute.
    TimedOut,
    /// The edge that would have taken the place of the old one could not be made.
    Interrupted,
}

/// Reads settings one time after the other.
#[derive(Debug)]
pub(crate) struct Reloads {
    /// One is under way and one waits: whoever comes then is served by that.
    asked: Semaphore,
    alone: Mutex<()>,
}

impl Reloads {
    /// Makes one reload out of what `reload` does, alone, and tells log and metrics what came of it. `reload` says which
    /// members of the file wait for the next start.
    pub(crate) async fn run(
        &self,
        metrics: &Metrics,
        clock: &Clock,
        reload: impl Future<Output = Result<Vec<String>, ReloadError>>,
    ) -> Result<(), ReloadError> {
        let Ok(_place) = self.asked.try_acquire() else { return Ok(()) };
        let _alone = self.alone.lock().await;
        match reload.await {
            Ok(waiting) => {
                metrics.settings_as_of(clock.now().as_unix_seconds());
                if !waiting.is_empty() {
                    let members = waiting.join(", ");
                    tracing::warn!(members, "these settings have changed and wait for the next start");
                }
                tracing::info!("settings read again; their rules are in force");
                Ok(())
            }
            Err(error) => {
                metrics.settings_reload_failure();
                for problem in error.to_string().lines() {
                    tracing::error!(problem, "the settings cannot be used; the last ones stay in force");
                }
                Err(error)
            }
        }
    }
}

impl Default for Reloads {
    fn default() -> Self {
        Self { asked: Semaphore::new(2), alone: Mutex::default() }
    }
}

/// What `read` brings, which may wait for files: for a bounded time, and not in the way of requests.
pub(crate) async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReloadError> + Send + 'static,
) -> Result<T, ReloadError> {
    let reading = tokio::time::timeout(READING, tokio::task::spawn_blocking(read));
    match reading.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(ReloadError::Interrupted),
        Err(_) => Err(ReloadError::TimedOut),
    }
}

/// The members of `new` that are not those of `old`, such as `listen.edge`, beside the resources.
pub(crate) fn waiting(old: &impl Serialize, new: &impl Serialize) -> Vec<String> {
    let members = |settings| match settings {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (old, new) = (members(serde_json::to_value(old)), members(serde_json::to_value(new)));
    let mut waiting = Vec::new();
    for (name, value) in old.iter().filter(|(name, _)| *name != "resource") {
        match (value, new.get(name)) {
            (Value::Object(old), Some(Value::Object(new))) => {
                let names = old.keys().filter(|member| old.get(*member) != new.get(*member));
                waiting.extend(names.map(|member| format!("{name}.{member}")));
            }
            (old, new) if Some(old) != new => waiting.push(name.clone()),
            _ => {}
        }
    }
    waiting
}

impl From<Problems> for ReloadError {
    fn from(problems: Problems) -> Self {
        Self::Settings(problems)
    }
}

impl From<SetupError> for ReloadError {
    fn from(error: SetupError) -> Self {
        Self::Edge(error)
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(problems) => problems.fmt(f),
            Self::Edge(error) => error.fmt(f),
            Self::TimedOut => {
                f.write_str("the settings, or a file that they name, cannot be read within 30 seconds")
            }
            Self::Interrupted => f.write_str("the edge of these settings could not be made; try again"),
        }
    }
}

impl std::error::Error for ReloadError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_to_wait_is_named_and_resources_have_not() {
        let old = json!({ "issuer": "a", "listen": { "edge": 1, "admin": 2 }, "resource": [1], "proxy": [] });
        let new =
            json!({ "issuer": "b", "listen": { "edge": 1, "admin": 3 }, "resource": [2], "proxy": [1] });
        assert_eq!(waiting(&old, &new), ["issuer", "listen.admin", "proxy"]);
        assert_eq!(waiting(&old, &old), Vec::<String>::new());
    }
}
