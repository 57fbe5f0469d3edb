//! Virtual devices against the smallest service that answers: enough to see that the ports are played well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    cell::RefCell,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use countersign_core::{
    attester::{
        Answer, AttesterError, Currency, Fetch, Now, Platform, ProofRequest, Resource, ResultKeys, Settings,
        Unreached,
    },
    binding::Purpose,
    challenge::{MacKey, MacKeyRing, Scope},
    encoding::base64url,
    enrolment::{DecodedEnrolment, Enrolment, EnrolmentAnswer, Evidence},
    request::Origin,
    time::Timestamp,
    token::{
        keys::PureRust,
        result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy},
        trust_vector::TrustVector,
    },
};
use countersign_virtual_device::{
    AndroidAttack, AppleAuthority, GoogleAuthority, Seed, SessionKey, VirtualAndroid, VirtualDevice,
    VirtualIphone, VirtualPhone, device::Progress,
};

const ISSUER: &str = "https://attest.example";
const START: u64 = 1_790_000_000;

fn now(seconds: u64) -> Now {
    Now { wall: Timestamp::from_unix_seconds(START + seconds), uptime: Duration::from_secs(seconds) }
}

fn seed() -> Seed {
    Seed::from_text("device")
}

fn service_key() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("service"))
}

fn settings() -> Settings {
    Settings {
        issuer: ISSUER.to_owned(),
        client_id: "app".to_owned(),
        resources: vec![Resource {
            origin: Origin::parse("https://api.example").unwrap(),
            identifier: "https://api.example".to_owned(),
        }],
        app_version: "1.0".to_owned(),
        platform: Platform::Development,
        result_keys: ResultKeys::Pinned(vec![("service-1".to_owned(), service_key().public_key())]),
        danger_plaintext: false,
    }
}

fn iphone() -> VirtualDevice {
    let phone = VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed());
    VirtualDevice::new(phone, settings(), &seed()).unwrap()
}

fn android() -> VirtualDevice {
    let phone = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed());
    VirtualDevice::new(phone, settings(), &seed()).unwrap()
}

/// Answers challenges, and every envelope whose signatures hold. Keeps what it was sent.
#[derive(Default)]
struct Service {
    seconds: u64,
    received: RefCell<Vec<Enrolment>>,
}

impl Service {
    fn at(seconds: u64) -> Self {
        Self { seconds, ..Self::default() }
    }

    fn answer(&self, call: &Fetch) -> Result<Answer, Unreached> {
        let time = now(self.seconds).wall;
        let challenge = MacKeyRing::new(MacKey::new(1, [3; 32]), Vec::new()).issue(
            Scope::Challenge { issuer: ISSUER },
            time,
            &[self.received.borrow().len() as u8; 16],
        );
        let path = call.url.strip_prefix(ISSUER).unwrap();
        if path == "/v1/challenge" {
            let body = format!(
                r#"{{"attestation_challenge":"{}","expires_in":1200,"server_time":{time}}}"#,
                challenge.to_base64url()
            );
            return Ok(Answer { status: 200, retry_after: None, body: body.into_bytes() });
        }
        assert!(path.starts_with("/v1/instances"), "{path}");
        let decoded = DecodedEnrolment::decode(&call.body).unwrap();
        let enrolment = decoded.enrolment;
        decoded.message.verify(&enrolment.instance_key, &PureRust).unwrap();
        enrolment.verify_possession(&PureRust).unwrap();
        let claims = ResultClaims {
            issuer: ISSUER.to_owned(),
            client_id: "app".to_owned(),
            issued_at: time,
            expires_at: time.plus(600),
            confirmation: enrolment.session_key,
            tier: Tier::Affirming,
            instance: InstanceId::from_bytes([9; 16]),
            instance_jkt: enrolment.instance_key.thumbprint(),
            protection: Protection::Tee,
            vouched_by: VouchedBy::Platform,
            evidence_time: time,
            app_version: None,
            policy: "test".to_owned(),
            labels: Vec::new(),
            trust_vector: TrustVector::default(),
        };
        let unsigned = claims.to_unsigned("service-1");
        let result = unsigned.with_signature(&service_key().sign(&unsigned.to_be_signed()));
        let answer = EnrolmentAnswer {
            instance_id: InstanceId::from_bytes([9; 16]).to_base64url(),
            result: base64url(&result),
            client_attestation_as: "a.b.c".to_owned(),
            client_attestation_rs: "a.b.c".to_owned(),
            renew_after: 300,
            server_time: time.as_unix_seconds(),
            next_challenge: challenge.to_base64url(),
        };
        let status = if enrolment.purpose() == Purpose::Enrol { 201 } else { 200 };
        self.received.borrow_mut().push(enrolment);
        Ok(Answer { status, retry_after: None, body: serde_json::to_vec(&answer).unwrap() })
    }

    fn kinds(&self) -> Vec<(Purpose, Vec<&'static str>)> {
        let kinds = |enrolment: &Enrolment| enrolment.evidence.iter().map(Evidence::kind).collect();
        self.received.borrow().iter().map(|enrolment| (enrolment.purpose(), kinds(enrolment))).collect()
    }
}

fn obtain(
    device: &mut VirtualDevice,
    seconds: u64,
) -> Result<Vec<(Purpose, Vec<&'static str>)>, AttesterError> {
    let service = Service::at(seconds);
    device.obtain_blocking(now(seconds), |call| service.answer(call))?;
    Ok(service.kinds())
}

#[test]
fn an_iphone_enrols_and_renews() {
    let mut device = iphone();
    assert_eq!(obtain(&mut device, 0).unwrap(), [(Purpose::Enrol, vec!["app-attest"])]);
    assert_eq!(device.attester().currency(now(1)), Currency::Current);
    assert_eq!(obtain(&mut device, 400).unwrap(), [(Purpose::Renew, vec!["app-attest-assertion"])]);
}

#[test]
fn an_android_phone_enrols_and_renews_with_fresh_evidence_once_a_day() {
    let mut device = android();
    assert_eq!(obtain(&mut device, 0).unwrap(), [(Purpose::Enrol, vec!["android-key"])]);
    assert_eq!(obtain(&mut device, 400).unwrap(), [(Purpose::Renew, vec![])]);
    assert_eq!(obtain(&mut device, 2 * 86_400).unwrap(), [(Purpose::Renew, vec!["android-key"])]);
}

/// The service answers at once, so that one poll is enough and no runtime is needed.
#[test]
fn a_device_enrols_over_calls_that_do_not_block() {
    let mut device = iphone();
    let service = Service::at(0);
    let mut context = Context::from_waker(Waker::noop());
    let outcome = pin!(device.obtain(|| now(0), async |call| service.answer(&call))).poll(&mut context);
    assert_eq!(outcome, Poll::Ready(Ok(())));
    assert_eq!(service.kinds(), [(Purpose::Enrol, vec!["app-attest"])]);
}

#[test]
fn a_request_is_proven_after_enrolment_and_not_before() {
    let mut device = android();
    let request = ProofRequest {
        method: "GET",
        uri: "https://api.example/orders",
        credential: Some("token"),
        content: None,
        nonce: None,
        environment: None,
    };
    assert!(device.prove(&request, now(0)).is_err());
    obtain(&mut device, 0).unwrap();
    let first = device.prove(&request, now(1)).unwrap();
    assert_ne!(device.prove(&request, now(1)).unwrap().proof, first.proof);
}

#[test]
fn after_a_restart_the_instance_is_renewed() {
    for mut device in [iphone(), android()] {
        obtain(&mut device, 0).unwrap();
        device.restart();
        assert_eq!(device.attester().currency(now(1)), Currency::Missing);
        assert_eq!(obtain(&mut device, 1).unwrap()[0].0, Purpose::Renew);
    }
}

#[test]
fn a_lost_instance_key_leads_to_a_new_enrolment_with_another_key() {
    for mut device in [iphone(), android()] {
        obtain(&mut device, 0).unwrap();
        let before = device.phone().instance_key();
        device.lose_instance_key();
        assert_eq!(obtain(&mut device, 400).unwrap().last().unwrap().0, Purpose::Enrol);
        assert_ne!(device.phone().instance_key(), before);
    }
}

#[test]
fn a_lost_app_attest_key_leads_to_a_new_enrolment_with_the_same_instance_key() {
    let mut device = iphone();
    obtain(&mut device, 0).unwrap();
    let before = device.phone().instance_key();
    device.lose_app_attest_key();
    let sent = obtain(&mut device, 400).unwrap();
    assert_eq!(sent.last().unwrap(), &(Purpose::Enrol, vec!["app-attest"]));
    assert_eq!(device.phone().instance_key(), before);
}

#[test]
fn state_restored_on_another_phone_enrols_anew() {
    let mut device = android();
    obtain(&mut device, 0).unwrap();
    let other = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &Seed::from_text("new phone"));
    let mut restored = device.restored_on(other, &seed()).unwrap();
    assert_eq!(obtain(&mut restored, 10).unwrap().last().unwrap(), &(Purpose::Enrol, vec!["android-key"]));
}

#[test]
fn an_outage_of_app_attest_is_waited_for_with_the_same_key() {
    let mut device = iphone();
    device.app_attest_outages(1);
    let service = Service::at(0);
    let mut progress = device.begin(now(0));
    let mut seconds = 0;
    let mut waits = 0;
    loop {
        progress = match progress {
            Progress::Call { id, call } => device.answered(id, service.answer(&call), now(seconds)),
            Progress::Waiting(until) => {
                waits += 1;
                seconds = until.as_secs() + 1;
                device.tick(now(seconds))
            }
            Progress::Failed(_) => {
                waits += 1;
                seconds += 120;
                device.begin(now(seconds))
            }
            Progress::Ready => break,
        };
        assert!(waits < 5, "it goes on after the outage");
    }
    assert!(waits > 0);
    assert_eq!(service.kinds(), [(Purpose::Enrol, vec!["app-attest"])]);
}

#[test]
fn a_phone_that_lies_sends_its_lie() {
    let honest = {
        let service = Service::at(0);
        android().obtain_blocking(now(0), |call| service.answer(call)).unwrap();
        service.received.take()
    };
    let mut device = android();
    device.change_phone(|phone| match phone {
        VirtualPhone::Android(phone) => phone.attack(AndroidAttack::Rooted).into(),
        iphone => iphone,
    });
    let service = Service::at(0);
    device.obtain_blocking(now(0), |call| service.answer(call)).unwrap();
    assert_ne!(service.received.take()[0].evidence, honest[0].evidence);
}

#[test]
fn without_an_answer_there_is_no_result() {
    let mut device = iphone();
    assert!(device.obtain_blocking(now(0), |_| Err(Unreached)).is_err());
    assert_eq!(device.attester().currency(now(0)), Currency::Missing);
}

#[test]
fn the_same_seed_makes_the_same_enrolment() {
    let enrolment = || {
        let service = Service::at(0);
        let mut device = iphone();
        device.obtain_blocking(now(0), |call| service.answer(call)).unwrap();
        service.received.take()
    };
    assert_eq!(enrolment(), enrolment());
}

#[test]
fn a_saved_device_renews_in_the_next_process() {
    for (mut device, phone) in [
        (iphone(), VirtualPhone::from(VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed()))),
        (android(), VirtualPhone::from(VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed()))),
    ] {
        let service = Service::default();
        device.obtain_blocking(now(0), |call| service.answer(call)).unwrap();
        let other_seed = Seed::from_text("next process");
        let mut restored = VirtualDevice::restore(phone, settings(), &other_seed, &device.save()).unwrap();
        restored.obtain_blocking(now(1), |call| service.answer(call)).unwrap();
        let received = service.received.borrow();
        let [enrolment, renewal] = &received[..] else { panic!("{} envelopes", received.len()) };
        assert_eq!((enrolment.purpose(), renewal.purpose()), (Purpose::Enrol, Purpose::Renew));
        assert_eq!(enrolment.instance_key, renewal.instance_key);
        assert!(enrolment.session_key != renewal.session_key);
    }
}

#[test]
fn a_damaged_or_foreign_save_is_refused() {
    let restore = |phone: VirtualPhone, saved: &[u8]| {
        VirtualDevice::restore(phone, settings(), &seed(), saved).map(drop).map_err(|error| error.reason())
    };
    let iphone_again =
        || VirtualPhone::from(VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed()));
    let saved = iphone().save();
    assert_eq!(restore(iphone_again(), &saved), Ok(()));
    assert_eq!(restore(iphone_again(), &android().save()), Err("saved_device_of_other_platform"));
    for end in 0..saved.len() {
        assert_eq!(restore(iphone_again(), &saved[..end]), Err("saved_device_malformed"), "{end}");
    }
    assert_eq!(restore(iphone_again(), &[&saved[..], &[0]].concat()), Err("saved_device_malformed"));
}
