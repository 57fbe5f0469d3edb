//! What a policy says, gathered for people and machines alike.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{
    AndroidApp, AppMode, AppPolicy, AppleApp, AppraisalPolicy, Constraint, Enforcement,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::danger::{OptOutInUse, opt_outs};
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

/// Something that is asked for, and what follows where it is not met.
#[derive(Debug, Serialize)]
pub(super) struct Minimum {
    pub(super) what: String,
    pub(super) constraint: &'static str,
    pub(super) enforcement: Enforcement,
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

fn minimums(policy: &AppraisalPolicy, app: &AppPolicy, now: Timestamp) -> Vec<Minimum> {
    let mut minimums = Vec::new();
    let mut add = |platform, constraint: Constraint, what: Option<String>| {
        let enforcement = policy.enforcement(app, constraint, platform);
        minimums.extend(what.map(|what| Minimum { what, constraint: constraint.label(), enforcement }));
    };
    if platforms(app).contains(&Platform::Apple) {
        let version = app.minimum_apple_version.as_ref();
        add(
            Platform::Apple,
            Constraint::OsVersion,
            version.map(|version| {
                format!(
                    "Apple's system {version} or newer; an attestation that does not tell its system fails"
                )
            }),
        );
        let version = app.minimum_app_version.as_ref();
        add(Platform::Apple, Constraint::AppVersion, version.map(|version| {
            format!("the app's version {version} or newer, on Apple's platforms as attested where the system tells")
        }));
        let sources: Vec<_> = app.validation_categories.iter().map(|category| category.name()).collect();
        add(
            Platform::Apple,
            Constraint::ValidationCategory,
            Some(format!(
                "the app comes from one of: {}; looked at where the system tells (iOS 27 on)",
                if sources.is_empty() { "nowhere".to_owned() } else { sources.join(", ") }
            )),
        );
        let metric = app.maximum_risk_metric;
        add(
            Platform::Apple,
            Constraint::RiskMetric,
            metric.map(|metric| format!("at most {metric} keys that Apple counted on the device in 30 days")),
        );
    }
    if platforms(app).contains(&Platform::Android) {
        let version = app.minimum_android_version;
        add(
            Platform::Android,
            Constraint::OsVersion,
            version.map(|version| format!("Android {} or newer", android_version(version))),
        );
        let patch = app.minimum_os_patch;
        add(
            Platform::Android,
            Constraint::OsPatchLevel,
            patch.map(|level| format!("Android's patch level {level} or later")),
        );
        let age = app.maximum_os_patch_age;
        add(
            Platform::Android,
            Constraint::OsPatchAge,
            age.map(|days| {
                format!(
                    "Android's patch level at most {days} days old; today that is {} or later",
                    date(now.minus(days * 86_400))
                )
            }),
        );
        let age = app.maximum_revocation_age;
        add(
            Platform::Android,
            Constraint::RevocationFresh,
            Some(format!("a status list that is at most {} old", span(age))),
        );
        let issued = app.maximum_certificates_issued;
        add(
            Platform::Android,
            Constraint::CertificatesIssued,
            issued.map(|issued| format!("at most {issued} certificates issued to the device in 30 days")),
        );
        let shared = app.maximum_instances_per_certificate;
        for (keys, most) in [("remotely provisioned", shared.remote), ("factory", shared.factory)] {
            add(
                Platform::Android,
                Constraint::AttestationKeySharing,
                most.map(|most| format!("at most {most} instances on one {keys} attestation key")),
            );
        }
        let systems = (!app.boot_keys.is_empty()).then(|| app.boot_keys.join(", "));
        add(
            Platform::Android,
            Constraint::BootState,
            systems.map(|systems| {
                format!("the vendor's system, or under a locked boot loader one of: {systems}")
            }),
        );
        let code = app.minimum_version_code;
        add(
            Platform::Android,
            Constraint::AppVersion,
            code.map(|code| format!("the app's version code {code} or higher on Android, as attested")),
        );
        let version = app.minimum_app_version.as_ref().filter(|_| code.is_none());
        add(
            Platform::Android,
            Constraint::AppVersion,
            version
                .map(|version| format!("the app's version {version} or newer on Android, as the app says")),
        );
        add(
            Platform::Android,
            Constraint::SecurityLevel,
            Some(match app.minimum_protection {
                Protection::Strongbox => "the key in a StrongBox on Android".to_owned(),
                _ => "the key in a TEE or a StrongBox on Android".to_owned(),
            }),
        );
    }
    minimums
}

/// 80100 as 8.1.
pub(super) fn android_version(number: u64) -> String {
    let [major, minor, patch] = [number / 10_000, number / 100 % 100, number % 100];
    match (minor, patch) {
        (0, 0) => major.to_string(),
        (_, 0) => format!("{major}.{minor}"),
        _ => format!("{major}.{minor}.{patch}"),
    }
}

/// Seconds in the greatest unit that tells them whole.
pub(super) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    match units.iter().find(|(unit, _)| seconds > 0 && seconds % unit == 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

fn date(time: Timestamp) -> String {
    let seconds = i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| "never".to_owned(), |time| time.date().to_string())
}
