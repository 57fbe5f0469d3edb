//! Development keys: what they vouch for, and for how long.

use std::sync::Arc;

use countersign_core::binding::Purpose;
use countersign_core::enrolment::{Enrolment, Evidence};
use countersign_core::token::result::{Protection, VouchedBy};
use countersign_verifier::enrolment::{EnrolmentError, PlatformKey};
use countersign_verifier::policy::{AppMode, AppPolicy, AppraisalPolicy};
use countersign_virtual_device::SessionKey;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

use super::*;
use crate::store::{Actor, DevelopmentKeyRecord, DevelopmentKeyRefusal};
use crate::virtual_world::{CLIENT, ISSUER, World, session};

const DEV: &str = "dev";
const DAY: u64 = 86_400;

/// A developer's laptop: its instance key, and the development key that vouches.
struct Laptop {
    instance: SigningKey,
    development: SigningKey,
}

impl Laptop {
    fn new() -> Self {
        let key = |byte| SigningKey::from_slice(&[byte; 32]).unwrap();
        Self { instance: key(21), development: key(22) }
    }

    /// The envelope of an enrolment, or of a renewal of `instance`; without `key_id` it has no evidence.
    fn envelope(
        &self,
        world: &World,
        client_id: &str,
        instance: Option<InstanceId>,
        session: &SessionKey,
        key_id: Option<&str>,
    ) -> Vec<u8> {
        let mut enrolment = Enrolment {
            instance,
            issuer: ISSUER.to_owned(),
            challenge: world.call().challenge,
            client_id: client_id.to_owned(),
            instance_key: public(&self.instance),
            session_key: session.public_key(),
            possession: [0; 64],
            evidence: Vec::new(),
            environment: 0,
            app_version: "1.0".to_owned(),
            protection: Protection::Software,
        };
        enrolment.possession = session.sign(&enrolment.possession_hash());
        let with_session = instance.is_some();
        let purpose = if with_session { Purpose::Renew } else { Purpose::Enrol };
        let hash = enrolment.binding(purpose, true, with_session).hash();
        let evidence = |key_id: &str| Evidence::DevelopmentKey {
            key_id: key_id.to_owned(),
            signature: sign(&self.development, &hash),
        };
        enrolment.evidence.extend(key_id.map(evidence));
        let unsigned = enrolment.to_unsigned();
        unsigned.with_signature(&sign(&self.instance, &unsigned.to_be_signed()))
    }

    async fn register(&self, world: &World, id: &str, clients: &[&str]) {
        let key = DevelopmentKeyRecord {
            id: id.to_owned(),
            public_key: public(&self.development),
            client_ids: clients.iter().map(|client| (*client).to_owned()).collect(),
            created: world.now(),
            expires: world.now().plus(DAY),
            revoked: None,
        };
        let by = Actor::command_line(world.now());
        world.service().store.add_development_key(&key, &by).await.unwrap();
    }
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

fn sign(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    let signature: p256::ecdsa::Signature = key.sign(message);
    signature.to_bytes().into()
}

/// A service with an app for developers and one for users.
async fn world() -> World {
    let world = World::new().await;
    set_mode(&world, AppMode::Development);
    world
}

fn set_mode(world: &World, mode: AppMode) {
    let mut app = AppPolicy::new(DEV);
    app.mode = mode;
    let policy = AppraisalPolicy::new("test/1").with_app(app).with_app(AppPolicy::new(CLIENT));
    world.service().trust.store(Arc::new(Trust::new(policy).unwrap()));
}

async fn enrol(world: &World, client_id: &str, key_id: &str) -> Result<EnrolmentAnswer, Cause> {
    let envelope = Laptop::new().envelope(world, client_id, None, &session("first"), Some(key_id));
    world.service().attest(None, &envelope).await.map_err(|denial| denial.cause)
}

async fn renew(world: &World, id: InstanceId, key_id: Option<&str>) -> Result<EnrolmentAnswer, Cause> {
    let envelope = Laptop::new().envelope(world, DEV, Some(id), &session("second"), key_id);
    world.service().attest(Some(id), &envelope).await.map_err(|denial| denial.cause)
}

async fn enrolled(world: &World) -> InstanceId {
    Laptop::new().register(world, "laptop", &[DEV]).await;
    let answer = enrol(world, DEV, "laptop").await.unwrap();
    InstanceId::from_base64url(&answer.instance_id).unwrap()
}

#[tokio::test]
async fn a_registered_key_enrols_and_renews_a_development_app() {
    let world = world().await;
    let id = enrolled(&world).await;
    let record = world.service().store.instance(&id).await.unwrap().unwrap();
    assert_eq!(record.registered.platform_key, PlatformKey::DevelopmentKey);
    assert_eq!(
        (record.registered.vouched_by, record.registered.protection),
        (VouchedBy::Developer, Protection::Software)
    );
    assert!(renew(&world, id, Some("laptop")).await.is_ok());
}

#[tokio::test]
async fn a_key_that_nobody_registered_vouches_for_nothing() {
    let world = world().await;
    let unknown = Cause::Enrolment(EnrolmentError::UnknownDevelopmentKey);
    assert_eq!(enrol(&world, DEV, "laptop").await.err(), Some(unknown.clone()));
    let id = enrolled(&world).await;
    for other in ["Laptop", "laptop ", "' OR '1'='1", "*"] {
        assert_eq!(enrol(&world, DEV, other).await.err(), Some(unknown.clone()), "{other}");
    }
    assert_eq!(renew(&world, id, Some("other")).await.err(), Some(unknown));
}

#[tokio::test]
async fn a_key_of_another_developer_is_not_taken_for_the_registered_one() {
    let world = world().await;
    enrolled(&world).await;
    let mut imitator = Laptop::new();
    imitator.development = SigningKey::from_slice(&[23; 32]).unwrap();
    let envelope = imitator.envelope(&world, DEV, None, &session("first"), Some("laptop"));
    let cause = world.service().attest(None, &envelope).await.err().unwrap().cause;
    let invalid = countersign_verifier::evidence::EvidenceError::InvalidSignature;
    assert_eq!(cause, Cause::Enrolment(EnrolmentError::Evidence(invalid)));
}

#[tokio::test]
async fn an_expired_key_neither_enrols_nor_renews() {
    let world = world().await;
    let id = enrolled(&world).await;
    let expired = Some(Cause::DevelopmentKey(DevelopmentKeyRefusal::Expired));
    world.wait(DAY - 1);
    assert!(renew(&world, id, Some("laptop")).await.is_ok());
    world.wait(1);
    assert_eq!(renew(&world, id, Some("laptop")).await.err(), expired);
    assert_eq!(enrol(&world, DEV, "laptop").await.err(), expired);
    assert_eq!(expired.map(|cause| (cause.reason(), cause.cure())), Some(("development_key_expired", None)));
}

#[tokio::test]
async fn a_revoked_key_neither_enrols_nor_renews() {
    let world = world().await;
    let id = enrolled(&world).await;
    let by = Actor::command_line(world.now());
    assert_eq!(
        world.service().store.revoke_development_key("laptop", &by, fresh_reference).await,
        Ok(Some(1))
    );
    let revoked = Some(Cause::DevelopmentKey(DevelopmentKeyRefusal::Revoked));
    assert_eq!(renew(&world, id, Some("laptop")).await.err(), revoked);
    assert_eq!(enrol(&world, DEV, "laptop").await.err(), revoked);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_not_given_again_after_a_revocation() {
    let world = world().await;
    Laptop::new().register(&world, "laptop", &[DEV]).await;
    let envelope = Laptop::new().envelope(&world, DEV, None, &session("first"), Some("laptop"));
    assert!(world.service().attest(None, &envelope).await.is_ok());
    assert!(world.service().attest(None, &envelope).await.is_ok());
    let by = Actor::command_line(world.now());
    world.service().store.revoke_development_key("laptop", &by, fresh_reference).await.unwrap();
    let cause = world.service().attest(None, &envelope).await.err().unwrap().cause;
    assert_eq!(cause, Cause::Withdrawn);
}

#[tokio::test]
async fn revoking_a_key_withdraws_at_once_what_it_vouched_for_and_nothing_else() {
    let world = world().await;
    let id = enrolled(&world).await;
    let mut colleague = Laptop::new();
    colleague.instance = SigningKey::from_slice(&[31; 32]).unwrap();
    colleague.development = SigningKey::from_slice(&[32; 32]).unwrap();
    colleague.register(&world, "colleague", &[DEV]).await;
    let envelope = colleague.envelope(&world, DEV, None, &session("first"), Some("colleague"));
    let answer = world.service().attest(None, &envelope).await.unwrap();
    let other = InstanceId::from_base64url(&answer.instance_id).unwrap();
    let before = world.service().deny_list().await.unwrap();
    assert!(before.instances.is_empty());

    // As the command does it, beside the running service.
    let by = Actor::command_line(world.now());
    let path = &world.service().settings.store.path;
    let beside = crate::store::Store::open(path).await.unwrap();
    assert_eq!(beside.revoke_development_key("laptop", &by, fresh_reference).await, Ok(Some(1)));
    beside.close().await;

    let list = world.service().deny_list().await.unwrap();
    assert!(list.sequence > before.sequence);
    assert!(list.instances.contains(&id) && !list.instances.contains(&other));
    let record = world.service().store.instance(&id).await.unwrap().unwrap();
    assert_eq!(record.withdrawn.unwrap().reasons, ["development_key_revoked"]);
    assert_eq!(world.service().store.decisions_of("withdrawn").await, 1);
    assert_eq!(renew(&world, id, None).await.err(), Some(Cause::Withdrawn));
}

#[tokio::test]
async fn a_renewal_that_races_with_the_revocation_of_its_key_does_not_lift_the_withdrawal() {
    let world = world().await;
    let id = enrolled(&world).await;
    let trust = world.service().trust.load_full();
    let body = Laptop::new().envelope(&world, DEV, Some(id), &session("second"), Some("laptop"));
    let call =
        Call { service: world.service(), trust: &trust, body: &body, addressed: Some(id), now: world.now() };
    let mut known = Known::default();
    let judged = call.judged(&mut known).await.unwrap();
    let by = Actor::command_line(world.now());
    world.service().store.revoke_development_key("laptop", &by, fresh_reference).await.unwrap();
    let cause = call.conclude(judged, 0, &mut known).await.map(drop).unwrap_err();
    assert_eq!(cause, Cause::DevelopmentKey(DevelopmentKeyRefusal::Revoked));
    assert!(world.service().store.instance(&id).await.unwrap().unwrap().withdrawn.is_some());
}

#[tokio::test]
async fn an_instance_of_a_developer_does_not_renew_without_its_key() {
    let world = world().await;
    let id = enrolled(&world).await;
    assert_eq!(renew(&world, id, None).await.err(), Some(Cause::DevelopmentKeyMissing));
}

#[tokio::test]
async fn a_key_vouches_for_the_apps_that_it_was_registered_for() {
    let world = world().await;
    Laptop::new().register(&world, "laptop", &["another-dev"]).await;
    let other = Some(Cause::DevelopmentKey(DevelopmentKeyRefusal::OtherClient));
    assert_eq!(enrol(&world, DEV, "laptop").await.err(), other);
}

#[tokio::test]
async fn an_app_for_users_takes_no_development_key() {
    let world = world().await;
    // Registered while the app was for developers, or past the check of the command.
    Laptop::new().register(&world, "laptop", &[DEV, CLIENT]).await;
    assert_eq!(enrol(&world, CLIENT, "laptop").await.err(), Some(Cause::Policy));
    let answer = enrol(&world, DEV, "laptop").await.unwrap();
    set_mode(&world, AppMode::Production);
    let id = InstanceId::from_base64url(&answer.instance_id).unwrap();
    let refused = Some(Cause::Enrolment(EnrolmentError::DevelopmentInstance));
    assert_eq!(renew(&world, id, Some("laptop")).await.err(), refused);
}

#[tokio::test]
async fn what_is_wrong_with_a_key_stands_in_the_record_and_not_in_the_answer() {
    let world = world().await;
    enrolled(&world).await;
    world.wait(DAY);
    let envelope = Laptop::new().envelope(&world, DEV, None, &session("first"), Some("laptop"));
    let denial = world.service().attest(None, &envelope).await.err().unwrap();
    let reference = denial.reference.unwrap();
    let decision = world.service().store.decision(reference.as_str()).await.unwrap().unwrap();
    assert_eq!(decision.reasons, ["development_key_expired"]);
    assert_eq!(decision.client_id.as_deref(), Some(DEV));
}

#[tokio::test]
async fn a_key_that_has_expired_is_the_reason_when_its_instances_are_appraised_again() {
    let world = world().await;
    let id = enrolled(&world).await;
    world.wait(DAY);
    let mut app = AppPolicy::new(DEV);
    app.mode = AppMode::Development;
    let policy = AppraisalPolicy::new("test/2").with_app(app);
    world.service().trust.store(Arc::new(Trust::new(policy).unwrap()));
    world.service().reappraise_all().await.unwrap();
    let record = world.service().store.instance(&id).await.unwrap().unwrap();
    assert_eq!(record.withdrawn.unwrap().reasons, ["development_key_expired"]);
}
