//! The appraisal of a verified envelope, and what follows from it for the instance.

use countersign_core::environment::Environment;
use countersign_core::time::Timestamp;
use countersign_core::token::result::{Protection, VouchedBy};

use super::{ANDROID_EVIDENCE_LIFETIME, Admission, PlatformKey, Trustworthiness, Verdict, VerifiedEnrolment};
use crate::evidence::{Claims, EvidenceKind, EvidenceSet, Platform, VerifiedEvidence};
use crate::policy::{Appraisal, AppraisalPolicy, Circumstances, History, PlayHistory};

/// What the service knows of an instance that neither envelope nor registry say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals<'a> {
    /// What was seen of the instance that holds the key which enrols: it stays the instance that it was. A renewal's
    /// history is that of the registered instance.
    pub history: Option<&'a History>,
    /// As [`Circumstances::instances_of_certificate`].
    pub instances_of_certificate: Option<u32>,
    /// As [`Circumstances::risk_metric`].
    pub risk_metric: Option<u64>,
    /// As [`Circumstances::revocation_as_of`].
    pub revocation_as_of: Option<Timestamp>,
}

impl VerifiedEnrolment<'_> {
    /// Appraises the evidence and what the device reports of itself; without evidence the last appraisal counts on, or
    /// less, once evidence is due.
    pub fn appraise(self, policy: &AppraisalPolicy, signals: Signals<'_>, now: Timestamp) -> Verdict {
        let history_before =
            self.registered.map(|registered| &registered.history).or(signals.history).cloned();
        let appraisal = self.appraisal(policy, signals, history_before.as_ref(), now);
        let Some(found) = Trustworthiness::of(&appraisal) else {
            return Verdict::Refused(Box::new(appraisal));
        };
        let (evidence, mut issued) = self.evidence_and_issued(found);
        let (platform_key, evidence_time) = (self.platform_key(), self.evidence_time());
        if self.evidence_is_due(&platform_key, evidence_time, now) {
            issued = issued.grown_old();
        }
        let (protection, vouched_by) = self.protection();
        let history = self.history(history_before.as_ref(), &appraisal);
        let attestation_key = self.attestation_key();
        let Self { enrolment, recorded, .. } = self;
        let result_lifetime = policy.app(&enrolment.client_id).and_then(|app| app.result_lifetime);
        Verdict::Admitted(Box::new(Admission {
            client_id: enrolment.client_id,
            instance_key: enrolment.instance_key,
            session_key: enrolment.session_key,
            platform_key,
            protection,
            vouched_by,
            evidence_time,
            evidence,
            issued,
            history,
            attestation_key,
            recorded_evidence: recorded,
            history_before,
            environment: Environment(enrolment.environment),
            result_lifetime,
            app_version: enrolment.app_version,
            policy: policy.id().to_owned(),
            appraisal,
        }))
    }

    /// What the policy says of the evidence, or of the device's report alone.
    fn appraisal(
        &self,
        policy: &AppraisalPolicy,
        signals: Signals<'_>,
        history: Option<&History>,
        now: Timestamp,
    ) -> Appraisal {
        let Self { enrolment, registered, .. } = self;
        let circumstances = Circumstances {
            environment: Environment(enrolment.environment),
            app_version: &enrolment.app_version,
            history,
            instances_of_certificate: signals.instances_of_certificate,
            risk_metric: signals.risk_metric,
            key_attested_before: self.key_attested_before(),
            play_integrity_unreachable: self.play_integrity_unreachable,
            revocation_as_of: signals.revocation_as_of,
            cohort_key: Some(*enrolment.instance_key.thumbprint().as_bytes()),
        };
        match &self.evidence {
            Some(evidence) => policy.appraise(&enrolment.client_id, evidence, &circumstances, now),
            None => {
                let platform = registered.map_or(Platform::Development, |one| one.platform_key.platform());
                policy.appraise_report(&enrolment.client_id, platform, &circumstances, now)
            }
        }
    }

    fn key_attested_before(&self) -> bool {
        self.registered.is_some_and(|registered| registered.platform_key == PlatformKey::AndroidKey)
    }

    /// The evidence that vouches for the instance key: a verdict of Google Play alone says nothing of a key that
    /// hardware vouched for.
    fn vouching(&self) -> Option<&VerifiedEvidence> {
        let primary = self.evidence.as_ref().map(EvidenceSet::primary)?;
        let beside_hardware = self.key_attested_before() && primary.kind() == EvidenceKind::PlayIntegrity;
        (!beside_hardware).then_some(primary)
    }

    /// What is to be stored of the evidence, and what is issued for it, before its age counts. Evidence that says less
    /// than what vouched before cannot raise what that was worth; what the device reports today says nothing of the
    /// evidence, and counts for this result alone.
    fn evidence_and_issued(&self, found: Trustworthiness) -> (Trustworthiness, Trustworthiness) {
        // An assertion says less than the attestation of its key.
        let is_full =
            self.vouching().is_some_and(|evidence| evidence.kind() != EvidenceKind::AppAttestAssertion);
        match self.registered.filter(|_| !is_full) {
            Some(registered) => {
                let before = registered.trustworthiness.clone();
                let issued = found.limited_by(&before);
                (before, issued)
            }
            None => (found.clone(), found),
        }
    }

    /// When what vouches was verified.
    fn evidence_time(&self) -> Timestamp {
        match (self.vouching(), self.registered) {
            (Some(evidence), _) => evidence.evidence_time(),
            (None, Some(registered)) => registered.evidence_time,
            // Made only by `complete`, which demands evidence of whoever is not registered.
            (None, None) => Timestamp::EPOCH,
        }
    }

    /// An assertion is due with each renewal, Android's evidence once a day. Where Google Play alone vouches nothing
    /// comes here that is due.
    fn evidence_is_due(&self, platform_key: &PlatformKey, evidence_time: Timestamp, now: Timestamp) -> bool {
        match platform_key {
            PlatformKey::AppAttest { .. } => self.vouching().is_none(),
            _ => now.seconds_since(evidence_time) > ANDROID_EVIDENCE_LIFETIME,
        }
    }

    /// How the platform will vouch at the next renewal.
    fn platform_key(&self) -> PlatformKey {
        let Some(evidence) = self.vouching() else {
            let registered = self.registered.map(|registered| registered.platform_key.clone());
            return registered.unwrap_or(PlatformKey::DevelopmentKey);
        };
        match evidence.claims() {
            Claims::AppAttest(_) => match evidence.attested_key().as_p256() {
                Some(key) => PlatformKey::AppAttest { key: *key, counter: evidence.counter().unwrap_or(0) },
                // Attestations and assertions alike name their key.
                None => PlatformKey::DevelopmentKey,
            },
            Claims::AndroidKey(_) => PlatformKey::AndroidKey,
            Claims::PlayIntegrity(_) => PlatformKey::PlayIntegrity,
            Claims::DevelopmentKey(_) => PlatformKey::DevelopmentKey,
        }
    }

    /// Where the instance key lives and who says so. That is settled at enrolment: a renewal attests another key.
    fn protection(&self) -> (Protection, VouchedBy) {
        match (self.registered, self.vouching()) {
            (Some(registered), _) => (registered.protection, registered.vouched_by),
            (None, Some(evidence)) => match evidence.claims() {
                Claims::AndroidKey(_) => (evidence.protection(), VouchedBy::Platform),
                Claims::AppAttest(_) => (apple_protection(self.enrolment.protection), VouchedBy::AttestedApp),
                // The app that Google recognised vouches for the key; where it lives nobody says who could know.
                Claims::PlayIntegrity(_) => (Protection::Software, VouchedBy::AttestedApp),
                Claims::DevelopmentKey(_) => (Protection::Software, VouchedBy::Developer),
            },
            (None, None) => (Protection::Software, VouchedBy::Developer),
        }
    }

    /// What was seen of the instance until now. Google's verdict is remembered with what the policy made of it.
    fn history(&self, before: Option<&History>, appraisal: &Appraisal) -> History {
        let before = before.cloned().unwrap_or_default();
        let Some(evidence) = &self.evidence else { return before };
        let mut history = before.after(evidence);
        history.play_integrity = PlayHistory::of(evidence, appraisal).or(history.play_integrity);
        history
    }

    fn attestation_key(&self) -> Option<[u8; 32]> {
        self.evidence.iter().flat_map(EvidenceSet::all).find_map(|evidence| match evidence.claims() {
            Claims::AndroidKey(claims) => Some(claims.attestation_key),
            _ => None,
        })
    }
}

/// What an app says of its key, as far as Apple's devices have it: a StrongBox they do not.
const fn apple_protection(said: Protection) -> Protection {
    match said {
        Protection::SecureEnclave => Protection::SecureEnclave,
        Protection::Software | Protection::Tee | Protection::Strongbox => Protection::Software,
    }
}
