//! `countersign policy try`: the evidence of enrolled devices, and of refused ones, under a policy that is not in
//! force yet, beside the one that is.
//!
//! Nothing is changed: the database is opened for reading alone, beside a service that may be running. Memory is
//! bounded: one batch of evidence at a time, and counters whose number is limited.

mod case;
mod judgement;
#[cfg(test)]
mod left_out_tests;
mod printed;
mod progress;
mod since;
mod tally;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use clap::Args;
use countersign_core::time::Timestamp;

use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::policy_file;
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::trust::Trust;
use case::{Case, Cases, Skipped};
use judgement::{Comparison, Judge};
use progress::Progress;
use since::Since;
use tally::Tally;

/// Arguments of `policy try`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The policy file that is tried; it is compared with the one in the settings.
    #[arg(value_name = "NEW")]
    policy: PathBuf,
    /// Only instances that enrolled or renewed, and refusals, since then: a time span such as 7d, or a date.
    #[arg(long, value_name = "SPAN|DATE", default_value = "30d")]
    since: Since,
    #[command(flatten)]
    settings: SettingsFile,
    /// Rows of each table, and devices that are named.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// End with 1 if more than this part of the instances that pass now would be refused, in percent: for CI.
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    fail_above: Option<f64>,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Exit {
    match tried(arguments, &Clock::system()) {
        Ok((tally, since)) => {
            let limit = usize::from(arguments.limit);
            answer(if arguments.json {
                printed::json(&tally, since, limit)
            } else {
                printed::text(&tally, since, limit)
            });
            match arguments.fail_above {
                Some(percent) if tally.newly_refused_percent() > percent => {
                    complain(format!(
                        "{:.1}% of the instances that pass now would be refused, more than {percent}%",
                        tally.newly_refused_percent()
                    ));
                    Exit::Failure
                }
                _ => Exit::Success,
            }
        }
        Err(sentence) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

/// The comparison of both policies, and since when; or a sentence that says why there is none.
fn tried(arguments: &Arguments, clock: &Clock) -> Result<(Tally, Timestamp), String> {
    let now = clock.now();
    let since = arguments.since.before(now);
    let settings = Settings::load(&arguments.settings.path).map_err(|problems| problems.to_string())?;
    let present = Trust::load(&settings, now).map_err(|error| error.to_string())?;
    let policy = policy_file::load(&arguments.policy).map_err(|problems| problems.to_string())?;
    // The same list of boot keys: the policies only name the systems in it.
    let policy = policy.with_boot_keys(present.policy.boot_keys().clone());
    let new = Trust::new(policy).map_err(|error| error.reason().to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("this command cannot start: {error}"))?;
    let tally = runtime.block_on(async {
        let store = Store::open_read_only(&settings.store.path).await?;
        let done = replay(&store, present, new, since, now).await;
        store.close().await;
        done
    });
    tally.map(|tally| (tally, since)).map_err(|error| error.to_string())
}

async fn replay(
    store: &Store,
    present: Trust,
    new: Trust,
    since: Timestamp,
    now: Timestamp,
) -> Result<Tally, StoreError> {
    let development_keys = store.development_keys().await?;
    let judge = Arc::new(Judge::new(present, new, development_keys, now));
    let mut tally = Tally::new(judge.present_policy(), judge.new_policy());
    let mut cases = Cases::of(store, since);
    let mut progress = Progress::new();
    while let Some(batch) = cases.next_batch().await? {
        for skipped in batch.skipped {
            tally.skip(&skipped);
        }
        for compared in compared(&judge, batch.cases).await {
            match compared {
                Ok(comparison) => tally.add(comparison),
                Err(skipped) => tally.skip(&skipped),
            }
        }
        progress.show(tally.replayed());
    }
    progress.end();
    Ok(tally)
}

/// Judges a batch on all processors: verifying signatures is what takes the time.
async fn compared(judge: &Arc<Judge>, cases: Vec<Case>) -> Vec<Result<Comparison, Skipped>> {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let part = cases.len().div_ceil(processors).max(1);
    let mut cases = cases.into_iter();
    let mut parts = Vec::new();
    loop {
        let own: Vec<Case> = cases.by_ref().take(part).collect();
        if own.is_empty() {
            break;
        }
        let judge = Arc::clone(judge);
        parts.push(tokio::task::spawn_blocking(move || {
            own.iter().map(|case| judge.compare(case)).collect::<Vec<_>>()
        }));
    }
    let mut all = Vec::new();
    for part in parts {
        // The judge does not panic; if it did, its part would be missing from the counts and not end the command.
        all.extend(part.await.unwrap_or_default());
    }
    all
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("write a percentage from 0 to 100".to_owned()),
    }
}
