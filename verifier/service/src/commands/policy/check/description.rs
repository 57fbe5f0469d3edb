//! What a policy says, gathered for people and machines alike.

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{
    AndroidApp, AppMode, AppPolicy, AppleApp, AppraisalPolicy, Constraint, Enforcement,
};
use serde::Serialize;

use super::danger::{OptOutInUse, opt_outs};
use super::minimums::{Minimum, minimums};
use super::mistakes::{Mistake, likely_mistakes};

/// A policy in words.
#[derive(Debug, Serialize)]
pub(super) struct Description {
    /// Name and version.
    pub(super) policy: String,
    pub(super) apps: Vec<AppDescription>,
    /// Everything that is accepted although it should not be, for all apps.
    pub(super) danger: Vec<OptOutInUse>,
    pub(super) mistakes: Vec<Mistake>,
}

/// One app of it.
#[derive(Debug, Serialize)]
pub(super) struct AppDescription {
    pub(super) client_id: String,
    /// `production` or `development`.
    pub(super) mode: &'static str,
    pub(super) observed: bool,
    pub(super) identities: Vec<Identity>,
    /// Where enforcement differs from the defaults.
    pub(super) differences: Vec<Difference>,
    /// What is enforced as by default.
    pub(super) defaults: Defaults,
    pub(super) minimums: Vec<Minimum>,
    pub(super) refused_signals: String,
    pub(super) warned_signals: String,
    pub(super) cohorts: Vec<CohortDescription>,
    /// Constraints whose failure edges are told.
    pub(super) labels: Vec<&'static str>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result_lifetime: Option<u64>,
}

/// Who may enrol.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    pub(super) platform: &'static str,
    /// App ID or package.
    pub(super) name: String,
    /// SHA-256 of the signing certificates, in hex; empty on Apple's platforms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) signing_digests: Vec<String>,
}

/// A constraint that is enforced otherwise than expected.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) constraint: &'static str,
    pub(super) platforms: Vec<&'static str>,
    pub(super) enforcement: Enforcement,
    /// What it would be: the default or, in a cohort, what holds for the app's other instances.
    pub(super) instead_of: Enforcement,
    pub(super) why: &'static str,
}

/// How many constraints are enforced as by default.
#[derive(Debug, Default, Serialize)]
pub(super) struct Defaults {
    pub(super) required: usize,
    pub(super) warned: usize,
    pub(super) ignored: usize,
}

/// A part of the app's instances.
#[derive(Debug, Serialize)]
pub(super) struct CohortDescription {
    pub(super) name: String,
    pub(super) percentage: u8,
    pub(super) differences: Vec<Difference>,
}

impl Description {
    /// Of the whole policy, or of one app and the opt-outs.
    pub(super) fn of(policy: &AppraisalPolicy, only: Option<&str>, now: Timestamp) -> Self {
        let is_meant = |app: &&AppPolicy| only.is_none_or(|only| app.client_id == only);
        Self {
            policy: policy.id().to_owned(),
            apps: policy.apps().filter(is_meant).map(|app| describe(policy, app, now)).collect(),
            danger: opt_outs(policy.danger()),
            mistakes: likely_mistakes(policy, only, now),
        }
    }
}

/// The platforms that an app has an identity on; both for one that only developers' keys vouch for.
pub(super) fn platforms(app: &AppPolicy) -> Vec<Platform> {
    let both = app.apple.is_empty() && app.android.is_empty();
    let pairs = [(Platform::Apple, !app.apple.is_empty()), (Platform::Android, !app.android.is_empty())];
    pairs.into_iter().filter(|(_, has)| both || *has).map(|(platform, _)| platform).collect()
}

pub(super) const fn platform_name(platform: Platform) -> &'static str {
    match platform {
        Platform::Apple => "Apple",
        Platform::Android => "Android",
        _ => "development",
    }
}

fn describe(policy: &AppraisalPolicy, app: &AppPolicy, now: Timestamp) -> AppDescription {
    let enforced = |constraint, platform| policy.enforcement(app, constraint, platform);
    let differences = differences(app, enforced, |constraint, _| constraint.default_enforcement());
    let mut defaults = Defaults::default();
    let unchanged = Constraint::ALL.iter().filter(|constraint| {
        let applies = constraint.platforms().iter().any(|platform| platforms(app).contains(platform));
        applies && differences.iter().all(|difference| difference.constraint != constraint.label())
    });
    for constraint in unchanged {
        match constraint.default_enforcement() {
            Enforcement::Require => defaults.required += 1,
            Enforcement::Warn => defaults.warned += 1,
            Enforcement::Ignore => defaults.ignored += 1,
        }
    }
    AppDescription {
        client_id: app.client_id.clone(),
        mode: match app.mode {
            AppMode::Production => "production",
            AppMode::Development => "development",
        },
        observed: app.observe,
        identities: app.apple.iter().map(apple).chain(app.android.iter().map(android)).collect(),
        differences,
        defaults,
        minimums: minimums(policy, app, now),
        refused_signals: app.refused_signals.to_string(),
        warned_signals: app.warned_signals.to_string(),
        cohorts: app
            .cohorts
            .iter()
            .map(|cohort| CohortDescription {
                name: cohort.name.clone(),
                percentage: cohort.percentage,
                differences: self::differences(
                    app,
                    |constraint, platform| {
                        let own = cohort.enforcements.stated(constraint, platform);
                        own.map_or_else(
                            || enforced(constraint, platform),
                            |own| policy.danger().enforcement(constraint, own),
                        )
                    },
                    enforced,
                ),
            })
            .collect(),
        labels: app.exported_labels.iter().map(|constraint| constraint.label()).collect(),
        result_lifetime: app.result_lifetime,
    }
}

/// Where two ways of enforcing differ for an app, the platforms with the same difference together.
pub(super) fn differences(
    app: &AppPolicy,
    enforced: impl Fn(Constraint, Platform) -> Enforcement,
    instead_of: impl Fn(Constraint, Platform) -> Enforcement,
) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for constraint in Constraint::ALL.iter().copied() {
        for platform in
            platforms(app).into_iter().filter(|platform| constraint.platforms().contains(platform))
        {
            let pair = (enforced(constraint, platform), instead_of(constraint, platform));
            let same = |one: &&mut Difference| {
                one.constraint == constraint.label() && (one.enforcement, one.instead_of) == pair
            };
            match found.iter_mut().find(same) {
                _ if pair.0 == pair.1 => {}
                Some(difference) => difference.platforms.push(platform_name(platform)),
                None => found.push(Difference {
                    constraint: constraint.label(),
                    platforms: vec![platform_name(platform)],
                    enforcement: pair.0,
                    instead_of: pair.1,
                    why: constraint.rationale(),
                }),
            }
        }
    }
    found
}

fn apple(identity: &AppleApp) -> Identity {
    Identity { platform: "Apple", name: identity.app_id().to_owned(), signing_digests: Vec::new() }
}

fn android(identity: &AndroidApp) -> Identity {
    let hex = |digest: &[u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Identity {
        platform: "Android",
        name: identity.package.clone(),
        signing_digests: identity.signing_digests.iter().map(hex).collect(),
    }
}
