//! What an edge would decide about captured requests, and why: the check itself tells it, on an edge made for that from
//! the settings. Without settings, what the parts of a request say of each other.

mod details;
mod presented;
mod report;
mod self_contained;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use countersign_core::request::{decoded, sha256};
use countersign_core::time::Timestamp;
use countersign_edge::EdgeRuntime;
use countersign_verifier::check::explanation::Outcome;
use countersign_verifier::check::{Content, Decision, Explanation, Request, Step};

use super::capture::{Body, Capture, Captured, TimeFrom, written_time};
use crate::clock::Clock;
use crate::edge::offline::{self, KeysAtHand};
use crate::settings::EitherSettings;
use details::Scene;
use presented::Presented;
use report::{Mark, Report, RequestReport, Row, Verdict};

/// How captured requests are judged.
#[derive(Debug, Default, Args)]
pub struct JudgingArguments {
    /// For captured requests: ask the edge of these settings, on this machine and without starting anything.
    #[arg(long, short = 's', value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// The resource whose edge is asked, by its name in the settings; default: the one that the request went to.
    #[arg(long, value_name = "NAME", requires = "settings")]
    pub resource: Option<String>,
    /// Judge as of this time (RFC 3339, or Unix seconds); default: the time of the capture, else of the proof.
    #[arg(long, value_name = "TIME", value_parser = time_of, conflicts_with = "now")]
    pub at: Option<Timestamp>,
    /// Judge as of now.
    #[arg(long)]
    pub now: bool,
    /// The key set of an issuer, service or authorization server, in place of what the settings name; may be repeated.
    #[arg(long, value_name = "ISSUER=FILE", value_parser = issuer_and_file, requires = "settings")]
    pub jwks_of: Vec<(String, PathBuf)>,
    /// Fetch key sets from where the settings say. Without it no network is used.
    #[arg(long, requires = "settings")]
    pub fetch: bool,
}

impl JudgingArguments {
    /// Whether something was said that has a meaning for captured requests alone.
    pub(super) fn are_given(&self) -> bool {
        self.settings.is_some() || self.at.is_some() || self.now
    }
}

fn time_of(text: &str) -> Result<Timestamp, String> {
    written_time(text).ok_or_else(|| "a time such as 2026-09-21T14:13:20Z, or seconds since 1970".to_owned())
}

fn issuer_and_file(text: &str) -> Result<(String, PathBuf), String> {
    // An issuer's URL has no query (RFC 8414 section 2), so the first one ends it.
    let (issuer, file) =
        text.split_once('=').ok_or("the issuer, an equals sign, and the file of its key set")?;
    Ok((issuer.to_owned(), PathBuf::from(file)))
}

/// Judges all requests of a capture.
///
/// # Errors
/// A sentence: the settings or what they name cannot be used.
pub(super) fn judge(capture: &Capture, arguments: &JudgingArguments) -> Result<Report, String> {
    let judged = match &arguments.settings {
        None => capture.requests.iter().map(|request| unjudged(request, arguments)).collect(),
        Some(file) => {
            let settings = EitherSettings::load(file).map_err(|problems| problems.to_string())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("this command cannot start: {error}"))?;
            runtime.block_on(with_settings(capture, &settings, arguments))?
        }
    };
    Ok(Report { form: capture.form, requests: judged, left_out: capture.left_out })
}

async fn with_settings(
    capture: &Capture,
    settings: &EitherSettings,
    arguments: &JudgingArguments,
) -> Result<Vec<RequestReport>, String> {
    let sets: HashMap<_, _> = arguments.jwks_of.iter().cloned().collect();
    let at_hand = KeysAtHand { sets, fetch: arguments.fetch };
    let offline = offline::edge(settings, at_hand).await?;
    let mut reports = Vec::new();
    for request in &capture.requests {
        let name = resource_of(request, settings, arguments)?;
        let mut report = judged(request, &name, &offline.edge, offline.knows_bans, arguments);
        report.notes.extend(offline.notes.iter().cloned());
        reports.push(report);
    }
    Ok(reports)
}

/// The resource that was named, or the one of the host that the request went to, or the only one.
fn resource_of(
    request: &Captured,
    settings: &EitherSettings,
    arguments: &JudgingArguments,
) -> Result<String, String> {
    let names: Vec<_> = settings.resources().iter().map(|resource| resource.name.as_str()).collect();
    if let Some(name) = &arguments.resource {
        return if names.contains(&name.as_str()) {
            Ok(name.clone())
        } else {
            Err(format!("the settings have no resource {name}; they have {}", names.join(", ")))
        };
    }
    let host = request.authority.as_deref().unwrap_or_default();
    let mut of_host = settings.resources().iter().filter(|resource| {
        let origin = resource.origin_text();
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    match (of_host.next(), of_host.next(), &names[..]) {
        (Some(resource), None, _) => Ok(resource.name.clone()),
        (_, _, [only]) => Ok((*only).to_owned()),
        (_, _, []) => Err("the settings have no [[resource]]".to_owned()),
        _ => Err(format!("which resource is it? Name it with --resource: {}", names.join(", "))),
    }
}

fn judged(
    captured: &Captured,
    name: &str,
    runtime: &Arc<EdgeRuntime>,
    knows_bans: bool,
    arguments: &JudgingArguments,
) -> RequestReport {
    let presented = Presented::read(captured);
    let (now, because) = time(captured, &presented, arguments);
    let request = Request {
        method: &captured.method,
        path_and_query: &captured.target,
        source: None,
        client_certificate: None,
        fields: captured.fields(),
        content: match &captured.body {
            Body::Whole(body) => Content::Hash(sha256(body)),
            Body::NotShown => Content::Deferred,
        },
    };
    let edge = runtime.edge();
    let explanation = edge.explain(name, &request, now);
    let mut notes = captured.notes.clone();
    let rows = match edge.resource(name) {
        Some(resource) => {
            let route = edge.route_of(name, &request);
            let presented = &presented;
            rows(&explanation, &Scene { request: captured, presented, resource, route, now, knows_bans })
        }
        None => Vec::new(),
    };
    if let Some(resource) = edge.resource(name)
        && let Some(host) = captured.authority.as_deref()
        && host.split(':').next() != Some(resource.origin.host())
    {
        let origin = resource.origin.host();
        notes.push(format!("it went to {host}; the resource is at {origin}, which is what proofs are for"));
    }
    RequestReport {
        method: captured.method.clone(),
        target: target_shown(&captured.target),
        authority: captured.authority.clone(),
        at: (now, because),
        resource: Some(name.to_owned()),
        verdict: verdict(&explanation.decision),
        rows,
        notes,
    }
}

/// Path and query; a query that may carry a credential is not repeated.
fn target_shown(target: &str) -> String {
    const WORDS: [&str; 6] = ["token", "key", "secret", "password", "csk_", "code"];
    match target.split_once('?') {
        Some((path, query)) => {
            let query: String = decoded(query).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
            let may_hide = query.len() > 256 || WORDS.iter().any(|word| query.contains(word));
            if may_hide { format!("{path}?…") } else { target.to_owned() }
        }
        None => target.to_owned(),
    }
}

fn unjudged(captured: &Captured, arguments: &JudgingArguments) -> RequestReport {
    let presented = Presented::read(captured);
    let (now, because) = time(captured, &presented, arguments);
    let rows = self_contained::rows(captured, &presented, now);
    let holds = rows.iter().all(|row| row.mark != Mark::Refused);
    RequestReport {
        method: captured.method.clone(),
        target: target_shown(&captured.target),
        authority: captured.authority.clone(),
        at: (now, because),
        resource: None,
        verdict: Verdict::Unjudged { holds },
        rows,
        notes: captured.notes.clone(),
    }
}

/// When the request is judged, and why then.
fn time(
    captured: &Captured,
    presented: &Presented,
    arguments: &JudgingArguments,
) -> (Timestamp, &'static str) {
    let made = presented.proof.as_ref().map(|proof| proof.issued_at);
    match (arguments.at, captured.time, made) {
        (Some(at), ..) => (at, "as --at says"),
        _ if arguments.now => (Clock::system().now(), "now, as --now says"),
        (_, Some((time, TimeFrom::Capture)), _) => (time, "when the capture says that it began"),
        (_, Some((time, TimeFrom::Answer)), _) => (time, "the Date of its answer"),
        (_, _, Some(made)) => (made, "when its proof says that it was made, since the capture tells no time"),
        _ => (Clock::system().now(), "now, since neither capture nor proof tells a time"),
    }
}

fn rows(explanation: &Explanation, scene: &Scene<'_>) -> Vec<Row> {
    let row = |(step, outcome): &(Step, Outcome)| {
        let (mark, detail, reasons) = match outcome {
            Outcome::Passed => (Mark::Passed, scene.passed(*step), Vec::new()),
            Outcome::Refused(found) => {
                let is_first = explanation.decided_at == Some(*step);
                let details: Vec<_> = found.iter().map(|reason| scene.refused(*reason)).collect();
                let reasons = found.iter().map(|reason| reason.reason()).collect();
                (if is_first { Mark::Refused } else { Mark::AlsoRefused }, details.join("; and "), reasons)
            }
            Outcome::Needs(lookup) => (Mark::Needs, scene.needs(lookup), Vec::new()),
            _ => (Mark::NotReached, String::new(), Vec::new()),
        };
        Row { number: Some(step.number()), name: step.name(), mark, detail, reasons }
    };
    explanation.steps.iter().map(row).collect()
}

fn verdict(decision: &Decision) -> Verdict {
    match decision {
        // What other edges have seen, a note says that nobody knows here.
        Decision::Permit(_) | Decision::Pending(_) => Verdict::Permitted,
        Decision::Observed { refusal, .. } => Verdict::Observed(refusal.reason.reason()),
        Decision::Refusal(refusal) => Verdict::Refused {
            reason: refusal.reason.reason(),
            status: refusal.code().status(),
            error: refusal.code().error(),
        },
        Decision::Needs(_) => Verdict::Undecided,
    }
}
