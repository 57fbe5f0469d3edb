//! How the constraints read App Attest.

use super::Finding;
use super::app::AppPolicy;
use super::constraint::Constraint;
use super::danger::Danger;
use crate::evidence::app_attest::{AppAttestClaims, AppAttestEnvironment};

pub(super) fn findings(claims: &AppAttestClaims, app: &AppPolicy, danger: &Danger) -> Vec<Finding> {
    // An assertion does not name its environment; the attestation of its key did.
    let environment = claims.environment.map(|environment| environment_finding(environment, danger));
    [app_identity(claims, app)]
        .into_iter()
        .chain(environment)
        .chain([validation_category(claims, app)])
        .collect()
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
