//! What operators see: structured logs and Prometheus metrics. No token, no header value and no key enters either.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_verifier::check::Decision;
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object on each line.
    Json,
}

/// Starts logging to standard error; `RUST_LOG` says how much. Does nothing if something logs already.
pub fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    // A log that nobody reads any more must not end the service, which complaining about it to standard error would.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    // An error means that the process has a subscriber already, which then gets the events.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// All metrics of the service. Labels come from the program's own text or the settings, never from a request, so
/// their number is bounded.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<3>,
    durations: Mutex<BTreeMap<[String; 2], Histogram>>,
    appraisals: Family<3>,
    objections: Family<1>,
    observed_refusals: Family<2>,
    edge_decisions: Family<3>,
    edge_requests: Family<4>,
    anomalies: Family<2>,
    store_errors: Family<1>,
    receipt_exchanges: Family<1>,
    reappraisals: Family<1>,
    status_list_refreshes: Family<1>,
    status_list_as_of: AtomicU64,
    trust_bundle_expires_at: AtomicU64,
    mass_withdrawals: AtomicU64,
    settings_as_of: AtomicU64,
    settings_reload_failures: AtomicU64,
    withdrawn_instances: AtomicU64,
    deny_list_left_out: AtomicU64,
    deny_list_unreadable: AtomicU64,
    refusals_not_recorded: AtomicU64,
    unreadable_instances: AtomicU64,
    admin_key_failures: Family<1>,
    proxy_failures: Family<2>,
}

impl Metrics {
    /// An HTTP request was answered: listener, matched route (not the path), status.
    pub fn request(&self, listener: &str, route: &str, status: u16, took: Duration) {
        self.requests.add([listener, route, &status.to_string()]);
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.entry([listener.to_owned(), route.to_owned()]).or_default().add(took);
    }

    /// An enrolment or renewal was decided: purpose, verdict, reason.
    pub fn appraisal(&self, purpose: &'static str, verdict: &'static str, reason: &'static str) {
        self.appraisals.add([purpose, verdict, reason]);
    }

    /// A constraint spoke against an enrolment or renewal, which was refused or let in with a warning.
    pub fn objection(&self, constraint: &'static str) {
        self.objections.add([constraint]);
    }

    /// An app that is only observed passed a device that would have been refused: app (by its name in the policy), and
    /// one of the constraints that decided.
    pub fn observed_refusal(&self, client_id: &str, constraint: &'static str) {
        self.observed_refusals.add([client_id, constraint]);
    }

    /// The edge decided: resource (by its name in the settings), verdict, reason.
    pub fn edge_decision(&self, resource: &str, verdict: &'static str, reason: &'static str) {
        self.edge_decisions.add([resource, verdict, reason]);
    }

    /// The edge decided: resource, route (its path in the settings), app (one of the settings', else empty), class.
    pub fn edge_request(&self, resource: &str, route: &str, app: &str, class: &'static str) {
        self.edge_requests.add([resource, route, app, class]);
    }

    /// An anomaly was seen: signal, and the resource, empty for what the attestation service sees.
    pub fn anomaly(&self, signal: &'static str, resource: &str) {
        self.anomalies.add([signal, resource]);
    }

    /// Counts a decision, and logs one that a client was told of although it passed.
    pub(crate) fn decided(&self, resource: &str, decision: &Decision) {
        let (verdict, reason) = match decision {
            Decision::Permit(_) => ("permit", "ok"),
            Decision::Observed { refusal, .. } => ("observed", refusal.reason.reason()),
            Decision::Refusal(refusal) => ("refused", refusal.reason.reason()),
            Decision::Needs(_) | Decision::Pending(_) => ("refused", "keys_unavailable"),
        };
        self.edge_decision(resource, verdict, reason);
        if let Decision::Observed { told: true, .. } = decision {
            tracing::warn!(resource, reason, "an unattested request was let through");
        }
    }

    /// A request that the proxy let pass did not come to a good end: resource, and why.
    pub fn proxy_failure(&self, resource: &str, reason: &'static str) {
        self.proxy_failures.add([resource, reason]);
    }

    /// A refusal was not recorded, since too many are.
    pub fn refusal_not_recorded(&self) {
        self.refusals_not_recorded.fetch_add(1, Ordering::Relaxed);
    }

    /// A call of the administration came without a good key.
    pub fn admin_key_failure(&self, reason: &'static str) {
        self.admin_key_failures.add([reason]);
    }

    /// The store could not be used.
    pub fn store_error(&self, reason: &'static str) {
        self.store_errors.add([reason]);
    }

    /// A receipt of App Attest was to be exchanged: what came of it.
    pub fn receipt_exchange(&self, outcome: &'static str) {
        self.receipt_exchanges.add([outcome]);
    }

    /// An instance stands otherwise after a re-appraisal: `withdrawn`, `restored`, `lowered` or `raised`.
    pub fn reappraisal(&self, verdict: &str) {
        self.reappraisals.add([verdict]);
    }

    /// Something that is stored of an instance cannot be read, and the instance is withdrawn.
    pub fn unreadable_instance(&self) {
        self.unreadable_instances.fetch_add(1, Ordering::Relaxed);
    }

    /// The status list was fetched: `ok`, or why not.
    pub fn status_list_refresh(&self, outcome: &'static str) {
        self.status_list_refreshes.add([outcome]);
    }

    /// The status list in force is as of this time, in seconds since the epoch.
    pub fn status_list_as_of(&self, seconds: u64) {
        self.status_list_as_of.store(seconds, Ordering::Relaxed);
    }

    /// The trust bundle in force ends at this time, in seconds since the epoch; 0 without a bundle or an end.
    pub fn trust_bundle_expires_at(&self, seconds: u64) {
        self.trust_bundle_expires_at.store(seconds, Ordering::Relaxed);
    }

    /// When the settings in force were read.
    pub fn settings_as_of(&self, seconds: u64) {
        self.settings_as_of.store(seconds, Ordering::Relaxed);
    }

    /// Settings were read again and could not be used.
    pub fn settings_reload_failure(&self) {
        self.settings_reload_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A re-appraisal withdrew a large part of all instances.
    pub fn mass_withdrawal(&self) {
        self.mass_withdrawals.fetch_add(1, Ordering::Relaxed);
    }

    /// So many instances are withdrawn now.
    pub fn withdrawn_instances(&self, count: u64) {
        self.withdrawn_instances.store(count, Ordering::Relaxed);
    }

    /// So many withdrawn instances find no room on the deny list now; returns how many did not before.
    pub fn deny_list_left_out(&self, count: u64) -> u64 {
        self.deny_list_left_out.swap(count, Ordering::Relaxed)
    }

    /// So many instances are not on the deny list because their identifier is damaged; returns how many were not
    /// before.
    pub fn deny_list_unreadable(&self, count: u64) -> u64 {
        self.deny_list_unreadable.swap(count, Ordering::Relaxed)
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::with_capacity(4096);
        let build = concat!(
            "# HELP countersign_build_info The running version.\n# TYPE countersign_build_info gauge\ncountersign_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        );
        text.push_str(build);
        self.requests.write(
            &mut text,
            "countersign_http_requests_total",
            "HTTP requests answered.",
            ["listener", "route", "status"],
        );
        self.write_durations(&mut text);
        self.appraisals.write(
            &mut text,
            "countersign_appraisals_total",
            "Enrolments and renewals decided.",
            ["purpose", "verdict", "reason"],
        );
        self.objections.write(
            &mut text,
            "countersign_objections_total",
            "Constraints that spoke against an enrolment or renewal.",
            ["constraint"],
        );
        self.observed_refusals.write(
            &mut text,
            "countersign_observed_refusals_total",
            "Constraints for which devices would be refused if their app were not only observed.",
            ["client_id", "constraint"],
        );
        self.edge_decisions.write(
            &mut text,
            "countersign_edge_decisions_total",
            "Requests decided at the edge.",
            ["resource", "verdict", "reason"],
        );
        self.edge_requests.write(
            &mut text,
            "countersign_edge_requests_total",
            "Requests at the edge, by what their attestation says of them.",
            ["resource", "route", "app", "class"],
        );
        self.anomalies.write(
            &mut text,
            "countersign_anomalies_total",
            "What no single request shows.",
            ["signal", "resource"],
        );
        self.proxy_failures.write(
            &mut text,
            "countersign_proxy_failures_total",
            "Requests that the proxy let pass or would have, and that did not come to a good end.",
            ["resource", "reason"],
        );
        self.store_errors.write(
            &mut text,
            "countersign_store_errors_total",
            "Uses of the database that failed.",
            ["reason"],
        );
        self.receipt_exchanges.write(
            &mut text,
            "countersign_receipt_exchanges_total",
            "Receipts of App Attest that were to be exchanged.",
            ["outcome"],
        );
        self.admin_key_failures.write(
            &mut text,
            "countersign_admin_key_failures_total",
            "Calls of the administration without a good key.",
            ["reason"],
        );
        self.reappraisals.write(
            &mut text,
            "countersign_reappraisals_total",
            "Instances that stand otherwise since policy, roots or status list changed.",
            ["verdict"],
        );
        self.status_list_refreshes.write(
            &mut text,
            "countersign_status_list_refreshes_total",
            "Fetches of the status list.",
            ["outcome"],
        );
        let gauges = [
            (
                &self.status_list_as_of,
                "countersign_status_list_as_of_seconds",
                "Time of the status list in force, since the epoch; 0: none.",
            ),
            (
                &self.trust_bundle_expires_at,
                "countersign_trust_bundle_expires_at_seconds",
                "End of the trust bundle in force, since the epoch; 0: none.",
            ),
            (
                &self.settings_as_of,
                "countersign_settings_as_of_seconds",
                "When the settings in force were read, since the epoch.",
            ),
            (
                &self.withdrawn_instances,
                "countersign_withdrawn_instances",
                "Instances that get no results until fresh evidence passes.",
            ),
            (
                &self.deny_list_left_out,
                "countersign_deny_list_left_out",
                "Withdrawn instances that the deny list has no room for.",
            ),
            (
                &self.deny_list_unreadable,
                "countersign_deny_list_unreadable",
                "Instances whose damaged identifier the deny list leaves out.",
            ),
        ];
        let counters = [
            (
                &self.settings_reload_failures,
                "countersign_settings_reload_failures_total",
                "Settings that were read again and could not be used: the last ones stayed.",
            ),
            (
                &self.mass_withdrawals,
                "countersign_mass_withdrawals_total",
                "Changes that withdrew a large part of all instances.",
            ),
            (
                &self.unreadable_instances,
                "countersign_unreadable_instances_total",
                "Instances that were withdrawn because what is stored of them cannot be read.",
            ),
            (
                &self.refusals_not_recorded,
                "countersign_refusals_not_recorded_total",
                "Refusals beyond the bound on audit records.",
            ),
        ];
        for (value, name, help) in gauges {
            write_single(&mut text, name, help, "gauge", value);
        }
        for (value, name, help) in counters {
            write_single(&mut text, name, help, "counter", value);
        }
        text
    }

    fn write_durations(&self, text: &mut String) {
        const NAME: &str = "countersign_http_request_seconds";
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        put(text, format_args!("# HELP {NAME} Time from request to answer.\n# TYPE {NAME} histogram\n"));
        for ([listener, route], histogram) in &*durations {
            let labels = format!("listener=\"{}\",route=\"{}\"", escaped(listener), escaped(route));
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(&histogram.buckets) {
                below += count;
                put(text, format_args!("{NAME}_bucket{{{labels},le=\"{bound}\"}} {below}\n"));
            }
            put(text, format_args!("{NAME}_bucket{{{labels},le=\"+Inf\"}} {}\n", histogram.count));
            put(text, format_args!("{NAME}_sum{{{labels}}} {}\n", histogram.sum));
            put(text, format_args!("{NAME}_count{{{labels}}} {}\n", histogram.count));
        }
    }
}

/// Writes a metric without labels.
fn write_single(text: &mut String, name: &str, help: &str, kind: &str, value: &AtomicU64) {
    let value = value.load(Ordering::Relaxed);
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
}

/// A counter for each combination of `N` label values that occurred.
#[derive(Debug)]
struct Family<const N: usize>(Mutex<BTreeMap<[String; N], u64>>);

impl<const N: usize> Default for Family<N> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<const N: usize> Family<N> {
    fn add(&self, labels: [&str; N]) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry(labels.map(str::to_owned)).or_default() += 1;
    }

    fn write(&self, text: &mut String, name: &str, help: &str, labels: [&str; N]) {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        put(text, format_args!("# HELP {name} {help}\n# TYPE {name} counter\n"));
        for (values, count) in &*counters {
            let pairs: Vec<String> = labels
                .iter()
                .zip(values)
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            put(text, format_args!("{name}{{{}}} {count}\n", pairs.join(",")));
        }
    }
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().zip(&mut self.buckets).find(|(bound, _)| seconds <= **bound);
        if let Some((_, count)) = bucket {
            *count += 1;
        }
        self.sum += seconds;
        self.count += 1;
    }
}

/// Appends; writing into a `String` cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_the_text_with_their_labels() {
        let metrics = Metrics::default();
        metrics.appraisal("enrol", "refused", "app_identity");
        metrics.appraisal("enrol", "refused", "app_identity");
        metrics.edge_decision("a\"b", "permit", "ok");
        let text = metrics.to_prometheus();
        assert!(text.contains(
            "countersign_appraisals_total{purpose=\"enrol\",verdict=\"refused\",reason=\"app_identity\"} 2\n"
        ));
        assert!(text.contains("resource=\"a\\\"b\""));
        assert!(
            text.contains(
                "# TYPE countersign_withdrawn_instances gauge\ncountersign_withdrawn_instances 0\n"
            )
        );
        assert!(text.contains("# TYPE countersign_mass_withdrawals_total counter\n"));
    }

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        for milliseconds in [1, 4, 9000] {
            metrics.request("public", "/v1/challenge", 200, Duration::from_millis(milliseconds));
        }
        let text = metrics.to_prometheus();
        for (bound, count) in [("0.001", 1), ("0.005", 2), ("2.5", 2), ("+Inf", 3)] {
            let line = format!("le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
