//! What happens to an installation on an iPhone: the whole attester over the ports of this folder, with a device that
//! is played and a service in memory that checks envelopes. For tests alone.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails")]

#[allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    reason = "shared with the core's tests, which use more of it"
)]
#[path = "../../../core/tests/attester/service.rs"]
mod service;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_core::attester::{Fetch, Now};
use countersign_core::time::Timestamp;

use self::service::{CLIENT_ID, ISSUER, START, Service};
use super::app_attest::AppAttest;
use super::fakes::{FakeAppAttest, FakeFramework, LOCKED, wait};
use super::secure_enclave::{SecureEnclave, Tag};
use crate::attester::Attester;
use crate::error::{CountersignError, StorageError, TransportError};
use crate::port::{Clock, Parts, Ports, Storage, Timer, Transport};
use crate::record::{ApiResource, Configuration, DevicePlatform, KeyProtection, ServiceAnswer, ServiceCall};

/// One device with one app, and the service that it talks to.
#[derive(Clone, Default)]
struct Iphone {
    keychain: FakeFramework,
    app_attest: FakeAppAttest,
    world: Arc<World>,
}

struct World {
    service: Mutex<Service>,
    stored: Mutex<Option<Vec<u8>>>,
    uptime: Mutex<Duration>,
}

impl Default for World {
    fn default() -> Self {
        Self { service: Mutex::new(Service::new()), stored: Mutex::default(), uptime: Mutex::default() }
    }
}

impl Iphone {
    /// A start of the app.
    fn start(&self) -> Arc<Attester> {
        let configuration = Configuration {
            issuer: ISSUER.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            resources: vec![ApiResource {
                origin: "https://api.example".to_owned(),
                identifier: "https://api.example".to_owned(),
            }],
            app_version: "1.0".to_owned(),
            platform: DevicePlatform::Apple { production: true },
            pinned_keys: None,
            expected_app: None,
            danger_plaintext: false,
        };
        let tag = Tag::new("example.app", ISSUER, CLIENT_ID);
        let ports = Ports {
            keys: Arc::new(SecureEnclave::new(self.keychain.clone(), tag)),
            evidence: Arc::new(AppAttest::new(self.app_attest.clone())),
            transport: self.world.clone(),
            storage: self.world.clone(),
            timer: self.world.clone(),
        };
        let parts = Parts { clock: self.world.clone(), ..Parts::new(ports) };
        Attester::from_parts(configuration, parts).unwrap()
    }

    fn pass(&self, seconds: u64) {
        *self.world.uptime.lock().unwrap() += Duration::from_secs(seconds);
        let mut service = self.world.service.lock().unwrap();
        service.now = service.now.plus(seconds);
    }

    fn instances(&self) -> usize {
        self.world.service.lock().unwrap().instances.len()
    }
}

#[async_trait::async_trait]
impl Transport for World {
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError> {
        let content_type = call.content_type.map(|_| "application/cbor");
        let call = Fetch { post: call.post, url: call.url, content_type, body: call.body };
        let answer = self.service.lock().unwrap().answer(&call).ok_or(TransportError::Unreached)?;
        Ok(ServiceAnswer { status: answer.status, retry_after: answer.retry_after, body: answer.body })
    }
}

#[async_trait::async_trait]
impl Storage for World {
    async fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.stored.lock().unwrap().clone())
    }

    async fn store(&self, state: Vec<u8>) -> Result<(), StorageError> {
        *self.stored.lock().unwrap() = Some(state);
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> Now {
        let uptime = *self.uptime.lock().unwrap();
        Now { wall: Timestamp::from_unix_seconds(START + uptime.as_secs()), uptime }
    }
}

#[async_trait::async_trait]
impl Timer for World {
    /// Short pauses pass at once, and move the clock; deadlines never come.
    async fn sleep(&self, millis: u64) {
        if millis >= 10_000 {
            std::future::pending::<()>().await;
        }
        *self.uptime.lock().unwrap() += Duration::from_millis(millis);
    }
}

#[test]
fn a_first_start_attests_one_key_and_keeps_another_in_the_enclave() {
    let iphone = Iphone::default();
    let attester = iphone.start();
    wait(attester.refresh()).unwrap();
    assert_eq!(attester.standing().protection, Some(KeyProtection::SecureEnclave));
    assert_eq!(iphone.app_attest.state().attestations.len(), 1);
    assert_eq!(iphone.keychain.labels().len(), 1);
}

#[test]
fn a_renewal_asserts_and_attests_nothing() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    // The app was updated or started anew, long after.
    iphone.pass(24 * 60 * 60);
    wait(iphone.start().refresh()).unwrap();
    let app_attest = iphone.app_attest.state();
    assert_eq!((app_attest.attestations.len(), app_attest.assertions), (1, 1));
    assert_eq!(iphone.instances(), 1);
}

#[test]
fn an_app_installed_again_enrols_and_leaves_no_key_of_the_earlier_one() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    let earlier = iphone.keychain.labels();
    // The state and the App Attest keys go with the app; the keychain stays.
    *iphone.world.stored.lock().unwrap() = None;
    iphone.app_attest.state().keys.clear();
    wait(iphone.start().refresh()).unwrap();
    assert_eq!(iphone.keychain.labels().len(), 1);
    assert_ne!(iphone.keychain.labels(), earlier);
    assert_eq!(iphone.instances(), 2);
}

#[test]
fn a_state_without_its_keys_enrols_anew_at_the_next_renewal() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    // Another phone, with what should not have come along.
    let other = Iphone { world: iphone.world.clone(), ..Iphone::default() };
    // Its enclave makes other keys.
    other.keychain.state().keys_made = 100;
    other.pass(24 * 60 * 60);
    // Each key is found missing in its turn, and one call begins anew once.
    let attester = other.start();
    assert_eq!(wait(attester.refresh()), Err(CountersignError::PlatformUnavailable));
    other.pass(60);
    wait(attester.refresh()).unwrap();
    assert_eq!(other.keychain.labels().len(), 1);
    assert_eq!(other.instances(), 2);
}

#[test]
fn a_lost_app_attest_key_costs_one_enrolment() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    iphone.app_attest.state().keys.clear();
    iphone.pass(24 * 60 * 60);
    wait(iphone.start().refresh()).unwrap();
    let app_attest = iphone.app_attest.state();
    assert_eq!((app_attest.attestations.len(), app_attest.assertions), (2, 0));
    assert_eq!(iphone.keychain.state().keys_made, 1, "the instance key is as good as before");
}

#[test]
fn an_instance_key_that_the_enclave_no_longer_opens_is_replaced() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    iphone.keychain.state().items.values_mut().for_each(|key| key.is_dead = true);
    iphone.pass(24 * 60 * 60);
    wait(iphone.start().refresh()).unwrap();
    assert_eq!(iphone.keychain.labels().len(), 1);
    assert_eq!(iphone.instances(), 2);
}

#[test]
fn an_outage_of_apples_server_costs_no_key() {
    let iphone = Iphone::default();
    iphone.app_attest.state().outages = 5;
    // Each time the app is started anew.
    while wait(iphone.start().refresh()) == Err(CountersignError::PlatformUnavailable) {
        iphone.pass(60);
    }
    let app_attest = iphone.app_attest.state();
    assert_eq!(app_attest.keys.len(), 1);
    assert_eq!(app_attest.attestations.len(), 6);
    assert_eq!(iphone.instances(), 1);
    assert!(app_attest.attestations.iter().all(|call| *call == app_attest.attestations[0]));
}

#[test]
fn a_locked_device_loses_nothing() {
    let iphone = Iphone::default();
    wait(iphone.start().refresh()).unwrap();
    iphone.pass(24 * 60 * 60);
    iphone.keychain.state().finding = Some(LOCKED);
    let attester = iphone.start();
    assert_eq!(wait(attester.refresh()), Err(CountersignError::PlatformUnavailable));
    iphone.keychain.state().finding = None;
    iphone.pass(300);
    wait(attester.refresh()).unwrap();
    assert_eq!(iphone.instances(), 1);
}

#[test]
fn a_device_without_app_attest_is_told_so() {
    let iphone = Iphone::default();
    iphone.app_attest.state().unsupported = true;
    assert_eq!(wait(iphone.start().refresh()), Err(CountersignError::DeviceUnsupported));
}

#[test]
fn a_device_without_an_enclave_is_told_so() {
    let iphone = Iphone::default();
    iphone.keychain.state().making = Some(super::system_error::SystemError::os_status(-4));
    assert_eq!(wait(iphone.start().refresh()), Err(CountersignError::DeviceUnsupported));
}
