//! The servers' side of each refusal. Clients are told a public code only; the precise reason stands in the log, from
//! which the report takes it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The reasons that were logged since they were last taken.
#[derive(Clone, Default)]
pub(crate) struct ServerLog(Arc<Mutex<Vec<String>>>);

impl ServerLog {
    /// Listens to everything that this process logs.
    ///
    /// # Errors
    /// Somebody listens already.
    pub(crate) fn listen() -> Result<Self, SetGlobalDefaultError> {
        let log = Self::default();
        let subscriber =
            tracing_subscriber::registry().with(Listener(log.clone()).with_filter(LevelFilter::DEBUG));
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(log)
    }

    /// The reasons, which are forgotten here.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Listener(ServerLog);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !event.metadata().target().starts_with("countersign") {
            return;
        }
        let mut refusal = Refusal::default();
        event.record(&mut refusal);
        if refusal.is_one {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut refusal.reasons);
        }
    }
}

/// An event `refused` with its `reason` or `reasons`.
#[derive(Default)]
struct Refusal {
    is_one: bool,
    reasons: Vec<String>,
}

impl Visit for Refusal {
    fn record_str(&mut self, field: &Field, value: &str) {
        if matches!(field.name(), "reason" | "reasons") {
            self.reasons.extend(value.split(',').map(str::to_owned));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.is_one = format!("{value:?}") == "refused";
        }
    }
}
