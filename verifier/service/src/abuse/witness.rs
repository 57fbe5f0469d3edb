//! What becomes of each decision of the edge beside its answer: a number, and of a refusal a record and perhaps a line.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use countersign_verifier::check::anomaly::Anomaly;
use countersign_verifier::check::{Decided, Witness};

use super::attempts::{Attempts, Network};
use super::log_budget::LogBudget;
use crate::settings::ResourceSettings;
use crate::telemetry::Metrics;

/// Hears of the decisions of one edge.
#[derive(Debug)]
pub(crate) struct EdgeWitness {
    metrics: Arc<Metrics>,
    attempts: Arc<Attempts>,
    /// The apps that each resource knows: no other name becomes a label.
    apps: HashMap<String, BTreeSet<String>>,
    lines: LogBudget,
    truncates: bool,
}

impl EdgeWitness {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        attempts: Arc<Attempts>,
        resources: &[ResourceSettings],
    ) -> Self {
        let apps = |resource: &ResourceSettings| (resource.name.clone(), resource.all_apps().collect());
        let truncates = attempts.truncates();
        let apps = resources.iter().map(apps).collect();
        Self { metrics, attempts, apps, lines: LogBudget::default(), truncates }
    }

    fn app<'d>(&self, decided: &Decided<'d>) -> &'d str {
        let app = decided.result.map_or("", |result| result.client_id.as_str());
        let is_known = self.apps.get(decided.resource).is_some_and(|apps| apps.contains(app));
        if is_known { app } else { "" }
    }
}

impl Witness for EdgeWitness {
    fn decided(&self, decided: &Decided<'_>) {
        let route = decided.route.map_or("", |route| route.path.as_str());
        self.metrics.edge_request(decided.resource, route, self.app(decided), decided.class.name());
        let Some(reason) = decided.outcome.reason() else { return };
        self.attempts.record(decided);
        let Some(unwritten) = self.lines.spend(decided.source, decided.time) else { return };
        let source = decided.source.map(|source| match self.truncates {
            true => Network::of(source).to_string(),
            false => source.to_canonical().to_string(),
        });
        tracing::info!(
            target: "countersign::attempt",
            resource = decided.resource,
            route,
            source,
            user_agent = decided.user_agent,
            client_id = decided.result.map(|result| result.client_id.as_str()),
            instance = decided.result.map(|result| result.instance.to_base64url()),
            app_version = decided.result.and_then(|result| result.app_version.as_deref()),
            is_proven = decided.is_proven,
            reason = reason.reason(),
            class = decided.class.name(),
            verdict = decided.outcome.name(),
            unwritten,
            "attempt"
        );
    }

    fn anomaly(&self, anomaly: &Anomaly<'_>) {
        self.metrics.anomaly(anomaly.signal.name(), anomaly.resource);
        let source = anomaly.source.map(|source| match self.truncates {
            true => Network::of(source).to_string(),
            false => source.to_canonical().to_string(),
        });
        // Once for its cause and window: an instance that is enrolled raises it, so there are not many.
        tracing::warn!(
            target: "countersign::anomaly",
            signal = anomaly.signal.name(),
            resource = anomaly.resource,
            action = anomaly.action.name(),
            count = anomaly.count,
            usual = anomaly.usual,
            client_id = anomaly.result.client_id,
            app_version = anomaly.result.app_version,
            instance = anomaly.result.instance.to_base64url(),
            source,
            until = anomaly.until.as_unix_seconds(),
            "anomaly"
        );
    }
}
