//! Versions, ages, sources and numbers that a policy asks for, in words.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{AppPolicy, AppraisalPolicy, Constraint, Enforcement, PlayIntegrityRules};
use serde::Serialize;
use time::OffsetDateTime;

use super::description::platforms;

/// Something that is asked for, and what follows where it is not met.
#[derive(Debug, Serialize)]
pub(super) struct Minimum {
    pub(super) what: String,
    pub(super) constraint: &'static str,
    pub(super) enforcement: Enforcement,
}

/// What an app asks for, in a fixed order.
pub(super) fn minimums(policy: &AppraisalPolicy, app: &AppPolicy, now: Timestamp) -> Vec<Minimum> {
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
        let play = app.play_integrity;
        add(
            Platform::Android,
            Constraint::PlayDeviceIntegrity,
            (play != PlayIntegrityRules::default()).then(|| {
                format!(
                    "where Google Play gives its verdict, integrity \"{}\" at least",
                    play.minimum_device_integrity.name()
                )
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
fn android_version(number: u64) -> String {
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
    match units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

fn date(time: Timestamp) -> String {
    let seconds = i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| "never".to_owned(), |time| time.date().to_string())
}
