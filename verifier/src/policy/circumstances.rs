//! What is known beside the evidence when a device is appraised, and how the constraints read it.

use countersign_core::environment::Environment;
use countersign_core::time::Timestamp;

use super::Finding;
use super::app::AppPolicy;
use super::app_version::{AppVersion, claimed_version};
use super::constraint::Constraint;
use super::history::History;
use crate::evidence::{EvidenceSet, Platform};

/// What is known beside the evidence. The default is that nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// What the device reports of its own environment.
    pub environment: Environment,
    /// The app's version, as the app says; empty where it says nothing.
    pub app_version: &'a str,
    /// What was seen of this instance before; None at its first enrolment.
    pub history: Option<&'a History>,
    /// How many instances, this one included, were attested with the same attestation certificate.
    pub instances_of_certificate: Option<u32>,
    /// The risk metric of the instance's latest receipt.
    pub risk_metric: Option<u64>,
    /// Hardware vouched for the instance's key before; what comes now stands beside that.
    pub key_attested_before: bool,
    /// A Play Integrity token came, and Google could not be asked what it says.
    pub play_integrity_unreachable: bool,
    /// The time as of which the status list is that evidence was verified with; None where its age does not count.
    pub revocation_as_of: Option<Timestamp>,
    /// SHA-256 thumbprint of the instance key: which cohorts the instance belongs to follows from it.
    pub cohort_key: Option<[u8; 32]>,
}

/// The constraints that need no evidence, or more than one piece of it.
pub(super) fn findings(
    circumstances: &Circumstances<'_>,
    evidence: Option<&EvidenceSet>,
    app: &AppPolicy,
    platform: Platform,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = vec![
        environment_refused(circumstances.environment, app),
        environment_warned(circumstances.environment, app),
        app_version(circumstances, evidence, app),
    ];
    // Also where a renewal brings no evidence: nobody could say that what vouched for it was not revoked since.
    if let (Platform::Android, Some(as_of)) = (platform, circumstances.revocation_as_of) {
        findings.push(revocation_fresh(as_of, app, now));
    }
    findings
}

fn revocation_fresh(as_of: Timestamp, app: &AppPolicy, now: Timestamp) -> Finding {
    let (age, oldest) = (now.seconds_since(as_of), app.maximum_revocation_age);
    let hours = |seconds: u64| seconds / 3600;
    Finding::new(
        Constraint::RevocationFresh,
        age <= oldest,
        format!("The status list is {} hours old, the oldest accepted {} hours.", hours(age), hours(oldest)),
    )
}

fn environment_refused(environment: Environment, app: &AppPolicy) -> Finding {
    let seen = environment.intersection(app.refused_signals);
    let explanation = if seen.is_empty() {
        "The device reports no environment signal that the policy refuses.".to_owned()
    } else {
        format!("The device reports what the policy refuses: {seen}.")
    };
    Finding::new(Constraint::EnvironmentRefused, seen.is_empty(), explanation)
}

fn environment_warned(environment: Environment, app: &AppPolicy) -> Finding {
    let seen = environment.intersection(app.warned_signals);
    let explanation = if seen.is_empty() {
        "The device reports no environment signal that the policy warns of.".to_owned()
    } else {
        format!("The device reports what the policy warns of: {seen}.")
    };
    Finding::new(Constraint::EnvironmentWarned, seen.is_empty(), explanation)
}

fn app_version(
    circumstances: &Circumstances<'_>,
    evidence: Option<&EvidenceSet>,
    app: &AppPolicy,
) -> Finding {
    let attested = evidence.and_then(AppVersion::attested);
    let finding = |satisfied, explanation| Finding::new(Constraint::AppVersion, satisfied, explanation);
    match (&attested, app.minimum_app_version.as_deref(), app.minimum_version_code) {
        (Some(AppVersion::Code(code)), _, Some(minimum)) => finding(
            *code >= minimum,
            format!("The app's version code is {code}, the oldest accepted {minimum}."),
        ),
        (Some(AppVersion::Text(version)), Some(minimum), _) => finding(
            claimed_version(version) >= claimed_version(minimum),
            format!("The app's version is {version}, the oldest accepted {minimum}."),
        ),
        // Without an attested version the app's own word counts: an old app that lies about its age is a changed
        // app, and that is another constraint's business.
        (_, Some(minimum), _) => finding(
            claimed_version(circumstances.app_version) >= claimed_version(minimum),
            format!(
                "The app says that its version is {}, the oldest accepted is {minimum}.",
                said(circumstances)
            ),
        ),
        // A renewal without evidence: the last evidence was asked for its version code, and counts on.
        (None, None, Some(_)) if evidence.is_none() => {
            finding(true, "No evidence came that would tell the app's version code.".to_owned())
        }
        (None, None, Some(minimum)) => {
            finding(false, format!("The app's version code is unknown, the oldest accepted {minimum}."))
        }
        (_, None, _) => finding(true, "Any version of the app is accepted.".to_owned()),
    }
}

fn said<'a>(circumstances: &Circumstances<'a>) -> &'a str {
    if circumstances.app_version.is_empty() { "unknown" } else { circumstances.app_version }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    /// Whether a constraint holds for a renewal that brings no evidence; None where it is not asked.
    fn holds(constraint: Constraint, circumstances: &Circumstances<'_>, app: &AppPolicy) -> Option<bool> {
        let findings = findings(circumstances, None, app, Platform::Android, NOW);
        findings.into_iter().find(|finding| finding.constraint == constraint).map(|finding| finding.satisfied)
    }

    #[test]
    fn a_status_list_counts_until_it_is_older_than_the_policy_takes() {
        let app = AppPolicy { maximum_revocation_age: 3600, ..AppPolicy::new("app") };
        let as_of =
            |age| Circumstances { revocation_as_of: Some(NOW.minus(age)), ..Circumstances::default() };
        for (age, expected) in [(0, true), (3600, true), (3601, false)] {
            assert_eq!(holds(Constraint::RevocationFresh, &as_of(age), &app), Some(expected), "{age}");
        }
        assert_eq!(holds(Constraint::RevocationFresh, &Circumstances::default(), &app), None);
        let on_apple = findings(&as_of(9999), None, &app, Platform::Apple, NOW);
        assert!(on_apple.iter().all(|finding| finding.constraint != Constraint::RevocationFresh));
    }

    #[test]
    fn the_age_of_a_status_list_is_told_in_hours() {
        let app = AppPolicy { maximum_revocation_age: 7200, ..AppPolicy::new("app") };
        let told = revocation_fresh(NOW.minus(3 * 3600), &app, NOW).explanation;
        assert_eq!(told, "The status list is 3 hours old, the oldest accepted 2 hours.");
    }

    #[test]
    fn a_renewal_without_evidence_is_not_asked_for_a_version_code_and_is_for_its_version() {
        let code = AppPolicy { minimum_version_code: Some(7), ..AppPolicy::new("app") };
        assert_eq!(holds(Constraint::AppVersion, &Circumstances::default(), &code), Some(true));
        let text = AppPolicy { minimum_app_version: Some("2.0".to_owned()), ..AppPolicy::new("app") };
        for (said, expected) in [("2.0", true), ("10.0", true), ("1.9", false), ("", false)] {
            let circumstances = Circumstances { app_version: said, ..Circumstances::default() };
            assert_eq!(holds(Constraint::AppVersion, &circumstances, &text), Some(expected), "{said:?}");
        }
    }

    #[test]
    fn what_an_app_says_of_its_version_is_told_as_its_word() {
        let app = AppPolicy { minimum_app_version: Some("2.0".to_owned()), ..AppPolicy::new("app") };
        let told = |version| {
            let circumstances = Circumstances { app_version: version, ..Circumstances::default() };
            app_version(&circumstances, None, &app).explanation
        };
        assert_eq!(told("1.9"), "The app says that its version is 1.9, the oldest accepted is 2.0.");
        assert_eq!(told(""), "The app says that its version is unknown, the oldest accepted is 2.0.");
    }
}
