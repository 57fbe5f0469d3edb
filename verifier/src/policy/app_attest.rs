//! How the constraints read App Attest.

use super::Finding;
use super::app::AppPolicy;
use super::app_version::claimed_version;
use super::constraint::Constraint;
use super::danger::Danger;
use crate::evidence::app_attest::{AppAttestClaims, AppAttestEnvironment};

pub(super) fn findings(claims: &AppAttestClaims, app: &AppPolicy, danger: &Danger) -> Vec<Finding> {
    // An assertion does not name its environment; the attestation of its key did.
    let environment = claims.environment.map(|environment| environment_finding(environment, danger));
    [app_identity(claims, app)]
        .into_iter()
        .chain(environment)
        .chain([validation_category(claims, app), validation_category_present(claims)])
        .chain(os_version(claims, app))
        .chain(receipt(claims))
        .collect()
}

/// What Apple counts on the device. Unknown until the first receipt was exchanged, and for ever where nobody asks.
pub(super) fn risk_metric(metric: Option<u64>, app: &AppPolicy) -> Option<Finding> {
    let finding =
        |satisfied, explanation: String| Some(Finding::new(Constraint::RiskMetric, satisfied, explanation));
    match (metric, app.maximum_risk_metric) {
        (None, None) => None,
        (Some(metric), None) => finding(true, format!("Apple's risk metric is {metric}; any is accepted.")),
        (None, Some(_)) => finding(true, "Apple's risk metric is not known yet.".to_owned()),
        (Some(metric), Some(maximum)) => finding(
            metric <= maximum,
            format!("Apple's risk metric is {metric}, the highest accepted {maximum}."),
        ),
    }
}

fn app_identity(claims: &AppAttestClaims, app: &AppPolicy) -> Finding {
    match app.apple.iter().find(|apple| *apple.rp_id_hash() == claims.rp_id_hash) {
        Some(apple) => Finding::new(Constraint::AppIdentity, true, format!("The app is {}.", apple.app_id())),
        None => Finding::new(Constraint::AppIdentity, false, "The app is none of those that were expected."),
    }
}

fn environment_finding(environment: AppAttestEnvironment, danger: &Danger) -> Finding {
    let explanation = match environment {
        AppAttestEnvironment::Production => "The key was attested in the production environment.",
        AppAttestEnvironment::Development => "The key was attested in the development environment.",
        AppAttestEnvironment::Unknown => "The key was attested in an unknown environment.",
    };
    Finding::new(Constraint::Environment, danger.accepts(environment), explanation)
}

fn validation_category(claims: &AppAttestClaims, app: &AppPolicy) -> Finding {
    let (satisfied, explanation) = match claims.validation_category {
        None => (true, "The system does not tell where the app came from.".to_owned()),
        Some(category) => {
            let satisfied = app.validation_categories.contains(&category);
            (satisfied, format!("The app's validation category is {} ({}).", category.0, category.name()))
        }
    };
    Finding::new(Constraint::ValidationCategory, satisfied, explanation)
}

/// iOS 26 and older never tell.
fn validation_category_present(claims: &AppAttestClaims) -> Finding {
    let (present, explanation) = match claims.validation_category {
        Some(_) => (true, "The system tells where the app came from."),
        None => (false, "The system does not tell where the app came from."),
    };
    Finding::new(Constraint::ValidationCategoryPresent, present, explanation)
}

/// The system's version, which attestations tell and assertions do not: what an attestation was worth counts on.
fn os_version(claims: &AppAttestClaims, app: &AppPolicy) -> Option<Finding> {
    let minimum = app.minimum_apple_version.as_deref()?;
    let is_attestation = claims.environment.is_some();
    let (satisfied, explanation) = match claims.os_version.as_deref() {
        Some(version) => (
            claimed_version(version) >= claimed_version(minimum),
            format!("The system's version is {version}, the oldest accepted {minimum}."),
        ),
        None if is_attestation => {
            (false, format!("The system's version is unknown, the oldest accepted {minimum}."))
        }
        None => return None,
    };
    Some(Finding::new(Constraint::OsVersion, satisfied, explanation))
}

fn receipt(claims: &AppAttestClaims) -> Option<Finding> {
    let (satisfied, explanation) = match claims.receipt_verdict.as_ref()? {
        Ok(_) => (true, "The receipt is for this key and signed by Apple.".to_owned()),
        Err(error) => (false, error.explanation()),
    };
    Some(Finding::new(Constraint::Receipt, satisfied, explanation))
}
