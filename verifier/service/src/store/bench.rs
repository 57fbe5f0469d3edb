//! For the tests of the store: a database, and devices that are admitted to it.

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::DecodedEnrolment;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, DecodeFailure, PlatformKey, RegisteredInstance, Service as Checks,
    Signals, Verdict,
};
use countersign_virtual_device::{ServiceCall, VirtualPhone};
use tempfile::TempDir;

use super::*;
use crate::keys::ServiceKeys;
use crate::trust::Trust;
use crate::virtual_world::{self, CLIENT, ISSUER, START as NOW, session};

/// A store, and what it takes to be admitted to it.
pub(super) struct Bench {
    pub(super) directory: TempDir,
    pub(super) path: PathBuf,
    pub(super) store: Store,
    pub(super) keys: ServiceKeys,
    pub(super) trust: Trust,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/registry.sqlite");
        let store = Store::open(&path).await.unwrap();
        let keys = ServiceKeys::open(&directory.path().join("keys"), false, NOW).unwrap();
        Self { directory, path, store, keys, trust: virtual_world::trust() }
    }

    pub(super) fn challenge(&self, number: u8) -> Challenge {
        let scope = countersign_core::challenge::Scope::Challenge { issuer: ISSUER };
        self.keys.challenges.issue(scope, NOW, &[number; 16])
    }

    pub(super) fn call(&self, client_id: &'static str) -> ServiceCall<'static> {
        let challenge = self.challenge(255);
        ServiceCall { issuer: ISSUER, client_id, challenge, app_version: "1.0", environment: 0, now: NOW }
    }

    pub(super) fn admit(&self, envelope: &[u8], registered: Option<&RegisteredInstance>) -> Admission {
        let checks = Checks {
            issuer: ISSUER,
            challenge_keys: &self.keys.challenges,
            anchors: &self.trust.anchors,
            revocation: None,
            development_keys: &|_| None,
            policy: &self.trust.policy,
        };
        let decoded = DecodedEnrolment::decode(envelope).unwrap();
        let authentic = AuthenticEnrolment::verify(decoded, registered, &checks, NOW).unwrap();
        let offline = authentic.verify_evidence(&checks, NOW).unwrap();
        match offline.complete(Err(DecodeFailure::NotAsked), NOW).unwrap().appraise(
            &self.trust.policy,
            Signals::default(),
            NOW,
        ) {
            Verdict::Admitted(admission) => *admission,
            Verdict::Refused(appraisal) => panic!("{appraisal:?}"),
        }
    }

    pub(super) fn admitted(&self, phone: &mut VirtualPhone) -> Admission {
        self.admit(&phone.enrol(&self.call(CLIENT), &session("s")), None)
    }

    pub(super) async fn commit(
        &self,
        challenge: u8,
        request: u8,
        change: InstanceChange,
        admission: &Admission,
    ) -> Result<Committed, CommitError> {
        let decision = decision();
        let commit = Commit {
            challenge: &self.challenge(challenge),
            challenge_expires: NOW.plus(1200),
            request: [request; 32],
            change,
            admission,
            sharing: None,
            generation: self.trust.generation(),
            decision: &decision,
            now: NOW,
        };
        self.store.commit(&commit).await
    }

    pub(super) async fn enrol(
        &self,
        challenge: u8,
        id: u8,
        phone: &mut VirtualPhone,
    ) -> Result<Committed, CommitError> {
        let admission = self.admitted(phone);
        self.commit(challenge, challenge, InstanceChange::Enrol(id_of(id)), &admission).await
    }

    /// Renews as the stored instance was when `phone` was seen last.
    pub(super) async fn renew(
        &self,
        challenge: u8,
        phone: &mut VirtualPhone,
        registered: &RegisteredInstance,
    ) -> Result<Committed, CommitError> {
        let envelope = phone.renew(&self.call(CLIENT), registered.id, &session("s"));
        let admission = self.admit(&envelope, Some(registered));
        let previous_counter = counter_of(registered);
        let change = InstanceChange::Renew { id: registered.id, previous_counter };
        self.commit(challenge, challenge, change, &admission).await
    }

    pub(super) async fn registered(&self, id: u8) -> RegisteredInstance {
        self.store.instance(&id_of(id)).await.unwrap().unwrap().registered
    }
}

pub(super) fn counter_of(registered: &RegisteredInstance) -> Option<u32> {
    match registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => Some(counter),
        _ => None,
    }
}

pub(super) fn id_of(number: u8) -> InstanceId {
    InstanceId::from_bytes([number; 16])
}

pub(super) fn decision() -> Decision {
    Decision {
        reference: Reference::from_random([1, 2, 3, 4, 5]),
        time: NOW,
        client_id: Some(CLIENT.to_owned()),
        instance: None,
        verdict: "affirming".to_owned(),
        reasons: vec!["ok".to_owned()],
        claims: serde_json::json!({ "os": "26.0" }),
        appraisal: serde_json::Value::Null,
    }
}
