//! New rules for an edge that goes on: what it has been told and has seen outlives the rules.

use std::sync::Arc;

use super::edge::Edge;
use super::trust::{IssuerKeys, KeyOwner};

impl Edge {
    /// Takes the place of `earlier`, before the first request. From now on both share what has been seen and told: proofs,
    /// first uses, failures, quotas, anomalies under the same rules, nonce keys and the deny list. So a proof passes once at both of them together, and
    /// what is spent at one is spent at the other, however long requests are under way at `earlier`.
    ///
    /// The keys of an issuer are shared too where `keeps_keys` says that they come from the same source as before. What
    /// rules decided is not handed over: access tokens are verified again.
    ///
    /// The sizes of what is shared stay those of `earlier`.
    pub fn succeed(&mut self, earlier: &Self, keeps_keys: impl Fn(&KeyOwner) -> bool) {
        self.nonce_keys = Arc::clone(&earlier.nonce_keys);
        self.deny_list = Arc::clone(&earlier.deny_list);
        self.first_uses = Arc::clone(&earlier.first_uses);
        self.replay = Arc::clone(&earlier.replay);
        self.source_failures = Arc::clone(&earlier.source_failures);
        self.instance_failures = Arc::clone(&earlier.instance_failures);
        self.instance_requests = Arc::clone(&earlier.instance_requests);
        self.refused_tokens = Arc::clone(&earlier.refused_tokens);
        // One that had no limits has counted nothing, and has no room to.
        if earlier.counts_quotas {
            self.quotas = Arc::clone(&earlier.quotas);
            self.counts_quotas = true;
        }
        for (resource, anomalies) in &mut self.anomalies {
            // What was counted by other rules says nothing.
            let before = earlier.anomalies.get(resource).filter(|before| before.has_rules_of(anomalies));
            if let Some(before) = before {
                *anomalies = Arc::clone(before);
            }
        }
        let kept = share(&mut self.services, &earlier.services, |issuer| {
            keeps_keys(&KeyOwner::AttestationService(issuer.to_owned()))
        });
        // A verified result names the edition of the keys that verified it: editions of other keys say nothing.
        if kept == self.services.len() {
            self.results = Arc::clone(&earlier.results);
        }
        share(&mut self.servers, &earlier.servers, |issuer| {
            keeps_keys(&KeyOwner::AuthorizationServer(issuer.to_owned()))
        });
    }
}

/// How many of `mine` are shared now.
fn share<K>(
    mine: &mut [Arc<IssuerKeys<K>>],
    earlier: &[Arc<IssuerKeys<K>>],
    keeps_keys: impl Fn(&str) -> bool,
) -> usize {
    let mut shared = 0;
    for keys in mine {
        let before = earlier.iter().find(|before| before.issuer == keys.issuer);
        if let Some(before) = before.filter(|before| keeps_keys(&before.issuer)) {
            *keys = Arc::clone(before);
            shared += 1;
        }
    }
    shared
}
