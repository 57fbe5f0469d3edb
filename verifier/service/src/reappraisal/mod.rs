//! Re-appraisal: when policy, roots, boot keys or status list change, the evidence that instances stand on is verified
//! and appraised again, in the background and at each renewal that comes first.
//!
//! Each instance remembers under which generation it was judged last, so that a restart goes on where the last
//! process ended. An instance whose evidence is not good enough any more is withdrawn: it gets no more results until
//! fresh evidence passes, or until a later generation takes the verdict back, and edges refuse the result that it has.

mod judgement;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::Signals;
use tokio::sync::{Mutex, Notify, watch};

use self::judgement::Case;
use crate::attestation;
use crate::service::Service;
use crate::store::{
    DevelopmentKeyRecord, DevelopmentKeyRefusal, InstanceRecord, InstanceRows, Settlement, Standing,
    StoreError, StoredEvidence,
};
use crate::trust::Trust;

/// How many instances are judged before anything is written, and others get their turn.
const BATCH: u32 = 64;
/// How often instances of an older generation are looked for without being told: commits that were under way when
/// the generation changed.
const INTERVAL: Duration = Duration::from_secs(60);

/// What a service needs for re-appraisals, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Reappraisal {
    changed: Notify,
    one_at_a_time: Mutex<()>,
    /// Instances with a damaged identifier, as told last.
    nameless: AtomicU64,
}

impl Reappraisal {
    /// Starts one soon.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// What is stored of an instance beside its row; of a development key, or why that vouches for it no more.
type KnownBeside = (Vec<StoredEvidence>, Signals<'static>, Option<Result<PublicKey, DevelopmentKeyRefusal>>);

/// What a re-appraisal of all came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Instances that were judged again.
    pub(crate) judged: u64,
    /// That are withdrawn now and were not before.
    pub(crate) withdrawn: u64,
    /// That were withdrawn and are not any more.
    pub(crate) restored: u64,
    /// That have another tier now.
    pub(crate) tier_changed: u64,
    /// Of which no evidence is kept.
    pub(crate) without_evidence: u64,
    /// Of which something that is stored cannot be read.
    pub(crate) unreadable: u64,
}

impl Summary {
    fn count(&mut self, settlement: &Settlement) {
        self.judged += 1;
        self.without_evidence += u64::from(settlement.standing == Standing::Unknown);
        let counter = match settlement.decision.as_ref().map(|decision| decision.verdict.as_str()) {
            Some("withdrawn") => &mut self.withdrawn,
            Some("restored") => &mut self.restored,
            Some(_) => &mut self.tier_changed,
            None => return,
        };
        *counter += 1;
    }
}

/// Judges instances again whenever there are some to judge.
pub(crate) async fn watch(service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            done = service.reappraise_all() => {
                if let Err(error) = done {
                    service.metrics.store_error(error.reason());
                    tracing::error!(%error, "instances cannot be appraised again; it is tried again within a minute");
                }
            }
            _ = stopped.changed() => return,
        }
        tokio::select! {
            () = service.reappraisal.changed.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopped.changed() => return,
        }
    }
}

impl Service {
    /// Judges every instance that was judged under another generation, in batches.
    pub(crate) async fn reappraise_all(&self) -> Result<Summary, StoreError> {
        let _alone = self.reappraisal.one_at_a_time.lock().await;
        let mut summary = Summary::default();
        let mut warned = false;
        loop {
            // Of each batch, so that a change in between counts at once.
            let trust = self.trust.load_full();
            let InstanceRows { records, unreadable, .. } =
                self.store.outdated(&trust.generation(), BATCH).await?;
            if records.is_empty() && unreadable.is_empty() {
                break;
            }
            let settled = self.settle(&trust, records, &mut summary).await?
                + self.withdraw_unreadable(&trust, &unreadable, &mut summary).await?;
            if !warned && summary.withdrawn > 0 {
                warned = self.warn_of_many(&summary).await?;
            }
            // All of them were changed by somebody else meanwhile: not a loop to go round at once.
            if settled == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        let nameless = self.store.outdated_without_name(&self.trust.load().generation()).await?;
        // Told again when there are more or fewer, not every minute.
        if self.reappraisal.nameless.swap(nameless, Ordering::Relaxed) != nameless && nameless > 0 {
            tracing::error!(
                nameless,
                "instances whose identifier is damaged are not appraised again; restore the database from a backup"
            );
        }
        if summary.judged > 0 {
            let (instances, withdrawn) = self.store.withdrawn_count().await?;
            self.metrics.withdrawn_instances(withdrawn);
            let Summary { judged, withdrawn, restored, tier_changed, without_evidence, unreadable } = summary;
            tracing::info!(
                judged,
                withdrawn,
                restored,
                tier_changed,
                without_evidence,
                unreadable,
                instances,
                policy = self.trust.load().policy.id(),
                "instances were appraised again"
            );
        }
        Ok(summary)
    }

    /// Judges one instance now, which is to be renewed.
    pub(crate) async fn reappraise(
        &self,
        trust: &Arc<Trust>,
        record: InstanceRecord,
    ) -> Result<Option<InstanceRecord>, StoreError> {
        let id = record.registered.id;
        self.settle(trust, vec![record], &mut Summary::default()).await?;
        // As it is now, whoever has judged it.
        self.store.instance(&id).await
    }

    /// Judges these instances and writes what came of it; returns how many were settled.
    async fn settle(
        &self,
        trust: &Arc<Trust>,
        records: Vec<InstanceRecord>,
        summary: &mut Summary,
    ) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut cases = Vec::with_capacity(records.len());
        let mut unreadable = Vec::new();
        for record in records {
            match self.known_of(trust, &record, now).await {
                Ok((evidence, signals, development_key)) => {
                    cases.push((record, evidence, signals, development_key));
                }
                // One that cannot be read does not keep the others from being judged.
                Err(error @ StoreError::DamagedRow { .. }) => {
                    self.tell_of_unreadable(&record.registered.id, &error, summary);
                    unreadable.push(record);
                }
                Err(error) => return Err(error),
            }
        }
        let judge = {
            let trust = Arc::clone(trust);
            move || -> Vec<Settlement> {
                let judged = cases.iter().map(|(record, evidence, signals, development_key)| {
                    let case =
                        Case { record, evidence, signals: *signals, development_key: *development_key };
                    judgement::judge(&case, &trust, now, attestation::fresh_reference)
                });
                let unreadable = unreadable
                    .iter()
                    .map(|record| judgement::unreadable(record, now, attestation::fresh_reference));
                judged.chain(unreadable).collect()
            }
        };
        // Signatures are verified here: not on the threads that answer requests.
        let Ok(settlements) = tokio::task::spawn_blocking(judge).await else { return Ok(0) };
        let settled = self.store.settle(&settlements, &trust.generation(), now).await?;
        let mut listed = false;
        for settlement in settlements.iter().filter(|one| settled.contains(&one.instance)) {
            summary.count(settlement);
            if let Some(decision) = &settlement.decision {
                self.metrics.reappraisal(&decision.verdict);
                listed |= matches!(decision.verdict.as_str(), "withdrawn" | "restored");
                tracing::info!(
                    reference = %decision.reference,
                    verdict = decision.verdict,
                    reasons = decision.reasons.join(","),
                    "appraised again"
                );
            }
        }
        if listed {
            self.tell_edge().await?;
        }
        Ok(settled.len())
    }

    /// What is stored of an instance beside its row.
    async fn known_of(
        &self,
        trust: &Trust,
        record: &InstanceRecord,
        now: Timestamp,
    ) -> Result<KnownBeside, StoreError> {
        let evidence = self.store.evidence_of(&record.registered.id).await?;
        // How old the status list is says nothing of a device, and must not withdraw everybody.
        let signals = Signals { revocation_as_of: None, ..self.signals(trust, Some(record)).await? };
        let development_key = self.development_key_of(record, &evidence, now).await?;
        Ok((evidence, signals, development_key))
    }

    /// Withdraws instances whose row cannot be read: what nobody can judge does not stand, and its last result ends
    /// through the deny list like that of every other withdrawal. Returns how many were settled.
    async fn withdraw_unreadable(
        &self,
        trust: &Trust,
        ids: &[InstanceId],
        summary: &mut Summary,
    ) -> Result<usize, StoreError> {
        let (now, generation) = (self.clock.now(), trust.generation());
        let mut settled = 0;
        let mut listed = false;
        for id in ids {
            let Some(reference) = attestation::fresh_reference() else { continue };
            let decision = judgement::withdrawal_of_unreadable(*id, None, now, reference);
            let Some(newly) = self.store.withdraw_unreadable(id, &decision, &generation).await? else {
                continue;
            };
            let error = self.store.damaged_instance(id);
            self.tell_of_unreadable(id, &error, summary);
            summary.judged += 1;
            if newly {
                summary.withdrawn += 1;
                self.metrics.reappraisal(&decision.verdict);
            }
            listed |= newly;
            settled += 1;
        }
        if listed {
            self.tell_edge().await?;
        }
        Ok(settled)
    }

    fn tell_of_unreadable(&self, id: &InstanceId, error: &StoreError, summary: &mut Summary) {
        summary.unreadable += 1;
        self.metrics.unreadable_instance();
        tracing::error!(instance = id.to_base64url(), %error, "an instance cannot be appraised again and is withdrawn");
    }

    /// The development key that vouched for an instance, or why that does so no more.
    async fn development_key_of(
        &self,
        record: &InstanceRecord,
        evidence: &[StoredEvidence],
        now: Timestamp,
    ) -> Result<Option<Result<PublicKey, DevelopmentKeyRefusal>>, StoreError> {
        let mut named = evidence.iter().filter_map(|one| one.recorded.as_ref().ok()?.development_key_id());
        let Some(id) = named.next() else { return Ok(None) };
        let key = self.store.development_key(id).await?;
        let vouching = |key: DevelopmentKeyRecord| {
            key.vouches_for(&record.registered.client_id, now).map(|()| key.public_key)
        };
        Ok(key.map(vouching))
    }

    /// The edge of this process learns of it now; others when they fetch the deny list.
    async fn tell_edge(&self) -> Result<(), StoreError> {
        if let Some(edge) = &self.edge {
            edge.runtime().edge().replace_deny_list(self.deny_list().await?);
        }
        Ok(())
    }

    /// Says loudly if very many are withdrawn, and whether it did. They are withdrawn all the same: a revocation does
    /// not become wrong by being large, and a policy does what it says.
    async fn warn_of_many(&self, summary: &Summary) -> Result<bool, StoreError> {
        let (instances, _) = self.store.withdrawn_count().await?;
        let alarm = &self.settings.trust.withdrawal_alarm;
        let many = summary.withdrawn >= u64::from(alarm.instances)
            && summary.withdrawn.saturating_mul(100) >= instances.saturating_mul(u64::from(alarm.percent));
        if many {
            self.metrics.mass_withdrawal();
            tracing::error!(
                withdrawn = summary.withdrawn,
                instances,
                policy = self.trust.load().policy.id(),
                "a change of policy, roots or status list withdraws a large part of all instances; if that is not \
                 meant, take the change back: they are restored then"
            );
        }
        Ok(many)
    }
}
