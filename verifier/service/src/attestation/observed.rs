//! Counting what an app that is only observed let pass, so that it is known before the app is enforced.

use countersign_verifier::policy::{Appraisal, Enforcement, Outcome, Tier};

use crate::service::Service;

impl Service {
    /// Counts the constraints for which the device would have been refused.
    pub(super) fn count_observed(&self, appraisal: &Appraisal) {
        if appraisal.enforced_tier() != Some(Tier::Contraindicated) {
            return;
        }
        let required = |outcome: &&Outcome| outcome.enforcement == Enforcement::Require;
        for outcome in appraisal.objections().filter(required) {
            self.metrics.observed_refusal(appraisal.client_id(), outcome.constraint.label());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_verifier::policy::{AppPolicy, AppraisalPolicy};

    use crate::trust::Trust;
    use crate::virtual_world::{CLIENT, World, android, iphone, session, trust};

    /// The usual policy, with a minimum patch level that no phone has, observed or not.
    fn strict(observe: bool) -> Trust {
        let usual = trust();
        let app = AppPolicy {
            observe,
            minimum_os_patch: "2199-01".parse().ok(),
            ..usual.policy.app(CLIENT).unwrap().clone()
        };
        let policy =
            AppraisalPolicy::new("strict/1").with_app(app).with_danger(usual.policy.danger().clone());
        let mut strict = Trust::new(policy).unwrap();
        strict.revocation = usual.revocation;
        strict
    }

    #[tokio::test]
    async fn who_would_be_refused_passes_and_is_counted_by_app_and_constraint() {
        let world = World::new().await;
        world.service().trust.store(Arc::new(strict(true)));
        world.enrol(&mut android()).await;
        world.enrol(&mut iphone()).await;
        let metrics = world.service().metrics.to_prometheus();
        let counted = format!(
            "countersign_observed_refusals_total{{client_id=\"{CLIENT}\",constraint=\"os-patch-level\"}} 1\n"
        );
        assert!(metrics.contains(&counted), "{metrics}");
        assert_eq!(metrics.matches("countersign_observed_refusals_total{").count(), 1);
    }

    #[tokio::test]
    async fn who_is_refused_is_not_counted_as_observed() {
        let world = World::new().await;
        world.service().trust.store(Arc::new(strict(false)));
        let envelope = android().enrol(&world.call(), &session("first"));
        assert!(world.service().attest(None, &envelope).await.is_err());
        assert!(!world.service().metrics.to_prometheus().contains("countersign_observed_refusals_total{"));
    }
}
