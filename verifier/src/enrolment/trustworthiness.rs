//! What evidence was worth, in the terms of AR4SI.

use countersign_core::token::result::Tier;
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};

use crate::policy::{self, Appraisal};

/// What evidence was worth when it was appraised, or what a result says of an instance: the two differ where later
/// evidence says less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trustworthiness {
    /// The tier.
    pub tier: Tier,
    /// What was found.
    pub trust_vector: TrustVector,
    /// The failed constraints that the policy lets edges know, by label.
    pub labels: Vec<String>,
}

impl Trustworthiness {
    /// What an appraisal found; None if it refused.
    pub fn of(appraisal: &Appraisal) -> Option<Self> {
        let tier = match appraisal.tier() {
            policy::Tier::Affirming => Tier::Affirming,
            policy::Tier::Warning => Tier::Warning,
            policy::Tier::Contraindicated => return None,
        };
        Some(Self { tier, trust_vector: *appraisal.trust_vector(), labels: appraisal.labels().to_vec() })
    }

    /// No more than `other` was worth: the lower tier, the worse of each claim, the labels of both.
    #[must_use]
    pub fn limited_by(mut self, other: &Self) -> Self {
        self.tier = self.tier.min(other.tier);
        self.trust_vector = self.trust_vector.worsened_by(&other.trust_vector);
        let missing: Vec<_> =
            other.labels.iter().filter(|label| !self.labels.contains(label)).cloned().collect();
        self.labels.extend(missing);
        self
    }

    /// Evidence is due: of what matters to security nobody knows how it is today (AR4SI value 36).
    pub(super) fn grown_old(mut self) -> Self {
        self.tier = Tier::Warning;
        self.trust_vector.worsen(TrustClaim::Configuration, 36);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trustworthiness(tier: Tier, configuration: i8, labels: &[&str]) -> Trustworthiness {
        let mut trust_vector = TrustVector::default();
        trust_vector.worsen(TrustClaim::Configuration, configuration);
        Trustworthiness { tier, trust_vector, labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }

    #[test]
    fn neither_side_raises_what_the_other_was_worth() {
        let good = trustworthiness(Tier::Affirming, 2, &["a"]);
        let bad = trustworthiness(Tier::Warning, 36, &["b", "a"]);
        assert_eq!(good.clone().limited_by(&bad), trustworthiness(Tier::Warning, 36, &["a", "b"]));
        assert_eq!(bad.clone().limited_by(&good), bad);
    }

    #[test]
    fn old_evidence_warns() {
        let old = trustworthiness(Tier::Affirming, 2, &["a"]).grown_old();
        assert_eq!(old, trustworthiness(Tier::Warning, 36, &["a"]));
    }
}
