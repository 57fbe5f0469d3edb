//! What a policy says that is allowed, and probably not meant.

use std::collections::BTreeSet;

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{AppMode, AppPolicy, AppraisalPolicy, Constraint, Enforcement, OptOut};
use serde::Serialize;

use super::description::platforms;

/// The age from which a minimum patch level guards from little, in days.
const OLD_MINIMUM: u64 = 365;

/// Something that deserves a second look.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Mistake {
    /// The app, if it is one app's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// What is odd, and what to do.
    pub(super) sentence: String,
}

/// Every likely mistake of a policy, or of one of its apps.
pub(super) fn likely_mistakes(policy: &AppraisalPolicy, only: Option<&str>, now: Timestamp) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if policy.apps().next().is_none() {
        let sentence = "The policy has no apps, so everything is refused; add [[app]].".to_owned();
        mistakes.push(Mistake { client_id: None, sentence });
    }
    for app in policy.apps().filter(|app| only.is_none_or(|only| app.client_id == only)) {
        let mut sentences = Vec::new();
        observed(app, &mut sentences);
        revocation(policy, app, &mut sentences);
        old_minimum(policy, app, now, &mut sentences);
        idle_requests(policy, app, &mut sentences);
        droppable_verdict(policy, app, &mut sentences);
        identities(policy, app, &mut sentences);
        cohorts(policy, app, &mut sentences);
        let own = |sentence| Mistake { client_id: Some(app.client_id.clone()), sentence };
        mistakes.extend(sentences.into_iter().map(own));
    }
    idle_opt_outs(policy, &mut mistakes);
    mistakes
}

fn observed(app: &AppPolicy, sentences: &mut Vec<String>) {
    if app.observe {
        sentences.push(
            "The app is observed: nobody is refused, and nobody is better than `warning`. Take `observe` out once \
             countersign_observed_refusals_total shows whom that would hit."
                .to_owned(),
        );
    }
}

fn revocation(policy: &AppraisalPolicy, app: &AppPolicy, sentences: &mut Vec<String>) {
    let enforced = policy.enforcement(app, Constraint::RevocationChecked, Platform::Android);
    if !app.android.is_empty() && enforced != Enforcement::Require {
        sentences.push(
            "`revocation-checked` is not required: without a status list, leaked attestation keys pass. Name a list \
             in the settings and require it."
                .to_owned(),
        );
    }
}

fn old_minimum(policy: &AppraisalPolicy, app: &AppPolicy, now: Timestamp, sentences: &mut Vec<String>) {
    let Some(level) = app.minimum_os_patch else { return };
    let enforced = policy.enforcement(app, Constraint::OsPatchLevel, Platform::Android);
    let age = level.age_in_days(now);
    if age > OLD_MINIMUM && app.maximum_os_patch_age.is_none() && enforced != Enforcement::Ignore {
        sentences.push(format!(
            "The oldest accepted patch level {level} is {age} days old. Raise `minimum_os_patch`, or let \
             `maximum_os_patch_age` follow the calendar."
        ));
    }
}

/// What is asked for, and then ignored.
fn idle_requests(policy: &AppraisalPolicy, app: &AppPolicy, sentences: &mut Vec<String>) {
    let asked = [
        (Constraint::OsPatchLevel, Platform::Android, app.minimum_os_patch.is_some()),
        (Constraint::OsPatchAge, Platform::Android, app.maximum_os_patch_age.is_some()),
        (Constraint::OsVersion, Platform::Android, app.minimum_android_version.is_some()),
        (Constraint::OsVersion, Platform::Apple, app.minimum_apple_version.is_some()),
        (Constraint::AppVersion, Platform::Android, app.minimum_version_code.is_some()),
        (Constraint::AppVersion, Platform::Android, app.minimum_app_version.is_some()),
        (Constraint::AppVersion, Platform::Apple, app.minimum_app_version.is_some()),
        (Constraint::RiskMetric, Platform::Apple, app.maximum_risk_metric.is_some()),
        (Constraint::EnvironmentRefused, Platform::Android, !app.refused_signals.is_empty()),
        (Constraint::EnvironmentRefused, Platform::Apple, !app.refused_signals.is_empty()),
        (Constraint::EnvironmentWarned, Platform::Android, !app.warned_signals.is_empty()),
        (Constraint::EnvironmentWarned, Platform::Apple, !app.warned_signals.is_empty()),
    ];
    let idle: BTreeSet<_> = asked
        .into_iter()
        .filter(|(constraint, platform, is_asked)| {
            *is_asked
                && platforms(app).contains(platform)
                && policy.enforcement(app, *constraint, *platform) == Enforcement::Ignore
        })
        .map(|(constraint, ..)| constraint.label())
        .collect();
    for label in idle {
        sentences.push(format!(
            "Something is asked for that `{label}` looks at, but `{label}` is ignored. Enforce it, or ask for nothing."
        ));
    }
}

/// What is required of Google Play's verdict, while a device may leave the verdict out.
fn droppable_verdict(policy: &AppraisalPolicy, app: &AppPolicy, sentences: &mut Vec<String>) {
    let required = |one: Constraint| policy.enforcement(app, one, Platform::Android) == Enforcement::Require;
    if app.android.is_empty() || required(Constraint::PlayIntegrityPresent) {
        return;
    }
    let mut verdicts = Constraint::ALL.iter().filter(|one| one.is_negotiable() && one.is_of_play_integrity());
    if let Some(constraint) = verdicts.find(|one| required(**one)) {
        sentences.push(format!(
            "`{}` is required, but a device that sends no verdict passes without: require `play-integrity-present` too.",
            constraint.label()
        ));
    }
}

fn identities(policy: &AppraisalPolicy, app: &AppPolicy, sentences: &mut Vec<String>) {
    for identity in &app.android {
        let different: BTreeSet<_> = identity.signing_digests.iter().collect();
        if different.len() < identity.signing_digests.len() {
            sentences.push(format!(
                "A signing digest of {} stands twice. If two were meant, one is missing.",
                identity.package
            ));
        }
    }
    for other in policy.apps().filter(|other| other.client_id != app.client_id) {
        let name = &other.client_id;
        for identity in shared(app, other) {
            sentences.push(match (app.mode, other.mode) {
                (AppMode::Development, AppMode::Production) => format!(
                    "This app is in development and has an identity of the app for users {name}: {identity}. Users' \
                     builds can enrol under the laxer rules of developers; give development builds their own."
                ),
                // Told once, at the app in development.
                (AppMode::Production, AppMode::Development) => continue,
                _ => format!(
                    "The app {name} has the same identity: {identity}. An installation can choose whose rules it \
                     is judged by."
                ),
            });
        }
    }
}

fn shared(app: &AppPolicy, other: &AppPolicy) -> Vec<String> {
    let apple = app.apple.iter().filter(|own| other.apple.contains(own)).map(|own| own.app_id().to_owned());
    let android = app.android.iter().filter(|own| {
        other.android.iter().any(|one| {
            one.package == own.package
                && one.signing_digests.iter().any(|digest| own.signing_digests.contains(digest))
        })
    });
    apple.chain(android.map(|own| own.package.clone())).collect()
}

fn cohorts(policy: &AppraisalPolicy, app: &AppPolicy, sentences: &mut Vec<String>) {
    for cohort in &app.cohorts {
        let changes = cohort.enforcements.iter().any(|(constraint, platform, own)| {
            let here =
                platforms(app).into_iter().filter(|one| platform.is_none_or(|platform| platform == *one));
            let mut here = here.filter(|platform| constraint.platforms().contains(platform));
            here.any(|platform| policy.enforcement(app, constraint, platform) != own)
        });
        if !changes {
            sentences.push(format!(
                "The cohort {} asks for what holds for everybody anyway, or for what the app's platforms do not \
                 have. Remove it.",
                cohort.name
            ));
        }
        if cohort.percentage == 100 {
            sentences.push(format!(
                "Every instance belongs to the cohort {}: move its constraints to the app.",
                cohort.name
            ));
        }
    }
}

/// Opt-outs that no app makes use of.
fn idle_opt_outs(policy: &AppraisalPolicy, mistakes: &mut Vec<Mistake>) {
    let danger = policy.danger();
    let lists = [
        (OptOut::WeakDevices, "weak_devices", &danger.weak_devices),
        (OptOut::WeakKeys, "weak_keys", &danger.weak_keys),
    ];
    for (opt_out, key, named) in lists {
        for constraint in named.iter().filter(|constraint| constraint.opt_out() == Some(opt_out)) {
            let default = constraint.default_enforcement();
            let is_used = policy.apps().any(|app| {
                let cohorts = app.cohorts.iter().map(|cohort| &cohort.enforcements);
                let mut all = cohorts.chain([&app.enforcements]).flat_map(|enforcements| enforcements.iter());
                all.any(|(one, _, enforcement)| one == *constraint && enforcement < default)
            });
            if !is_used {
                let label = constraint.label();
                let sentence = format!(
                    "[danger] {key} names `{label}`, which no app enforces less than by default. Remove it."
                );
                mistakes.push(Mistake { client_id: None, sentence });
            }
        }
    }
}
