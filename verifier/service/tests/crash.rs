//! The process is killed in the middle of enrolments, again and again: nothing that a device was told is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::{ChallengeAnswer, EnrolmentAnswer};
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, SessionKey, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};
use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;

const ISSUER: &str = "https://attest.example";
/// How often the process is killed, and after how many answered enrolments.
const KILLS: usize = 3;
const ANSWERED: usize = 25;
/// Devices that enrol at the same time.
const DEVICES: usize = 6;

/// An enrolment that was answered: the device, what it sent and what it was told.
struct Answered {
    phone: VirtualPhone,
    envelope: Vec<u8>,
    instance: InstanceId,
}

struct Served {
    child: Child,
    base: String,
}

impl Served {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["serve", "--log", "json"])
            .current_dir(directory)
            .env("RUST_LOG", "countersign_service::service=info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains("\"listener\":\"public\""));
        let line = line.expect("the service listens");
        let address = line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap();
        Self { base: format!("http://{address}"), child }
    }
}

impl Drop for Served {
    /// `Child::kill` is SIGKILL on Unix: no handler runs, nothing is flushed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prepare(directory: &Path, seed: &Seed) {
    fs::write(directory.join("apple.pem"), AppleAuthority::from_seed(seed).root_certificate_pem()).unwrap();
    fs::write(directory.join("google.pem"), GoogleAuthority::from_seed(seed).root_certificate_pem()).unwrap();
    let signer = "08".repeat(32);
    let policy = format!(
        "id = 'test/1'\n[danger]\napp_attest_roots = ['apple.pem']\nandroid_key_roots = ['google.pem']\n[[app]]\n\
         client_id = 'app'\n[[app.apple]]\nteam_id = 'ABCDE12345'\nbundle_id = 'com.example.app'\n[[app.android]]\n\
         package = 'com.example.app'\nsigning_digests = ['{signer}']\n"
    );
    fs::write(directory.join("policy.toml"), policy).unwrap();
    let settings = format!("issuer = '{ISSUER}'\n[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n");
    fs::write(directory.join("countersign.toml"), settings).unwrap();
}

fn phone(seed: &Seed, number: usize) -> VirtualPhone {
    let own = Seed::from_text(&format!("phone {number}"));
    if number.is_multiple_of(2) {
        VirtualIphone::new(&AppleAuthority::from_seed(seed), &own).app("ABCDE12345", "com.example.app").into()
    } else {
        VirtualAndroid::new(&GoogleAuthority::from_seed(seed), &own).app("com.example.app", 1, [8; 32]).into()
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_seconds(since.as_secs())
}

async fn challenge(client: &Client, base: &str) -> Option<ServiceCall<'static>> {
    let answer = client.post(format!("{base}/v1/challenge")).send().await.ok()?;
    let answer: ChallengeAnswer = answer.json().await.ok()?;
    let challenge = Challenge::from_base64url(&answer.attestation_challenge).ok()?;
    Some(ServiceCall {
        issuer: ISSUER,
        client_id: "app",
        challenge,
        app_version: "1.0",
        environment: 0,
        now: now(),
    })
}

async fn post(client: &Client, url: String, envelope: Vec<u8>) -> Option<(StatusCode, EnrolmentAnswer)> {
    let response =
        client.post(url).header("content-type", "application/cbor").body(envelope).send().await.ok()?;
    let status = response.status();
    Some((status, response.json().await.ok()?))
}

/// Enrols one phone after another until the service is gone.
async fn enrol_until_killed(
    base: String,
    seed: Seed,
    first: usize,
    answered: mpsc::UnboundedSender<Answered>,
) {
    let client = Client::new();
    for number in (first..).step_by(DEVICES) {
        let mut phone = phone(&seed, number);
        let Some(call) = challenge(&client, &base).await else { return };
        let envelope = phone.enrol(&call, &SessionKey::from_seed(&seed));
        let Some((status, answer)) = post(&client, format!("{base}/v1/instances"), envelope.clone()).await
        else {
            return;
        };
        assert_eq!(status, StatusCode::CREATED);
        let instance = InstanceId::from_base64url(&answer.instance_id).unwrap();
        answered.send(Answered { phone, envelope, instance }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_enrolment_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let seed = Seed::from_text("crash");
    prepare(directory.path(), &seed);
    let mut answered = Vec::new();
    for kill in 1..=KILLS {
        let served = Served::start(directory.path());
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for device in 0..DEVICES {
            let first = kill * 1_000_000 + device;
            tokio::spawn(enrol_until_killed(served.base.clone(), seed.clone(), first, sender.clone()));
        }
        drop(sender);
        while answered.len() < kill * ANSWERED {
            answered.push(receiver.recv().await.expect("devices enrol until the service is killed"));
        }
        drop(served);
        // What was answered in the last moment.
        while let Some(last) = receiver.recv().await {
            answered.push(last);
        }
    }

    let served = Served::start(directory.path());
    let client = Client::new();
    for Answered { phone, envelope, instance } in &mut answered {
        // The same bytes again: the challenge is known as used, and by whom.
        let (status, again) =
            post(&client, format!("{}/v1/instances", served.base), envelope.clone()).await.unwrap();
        assert_eq!((status, &again.instance_id), (StatusCode::CREATED, &instance.to_base64url()));
        // And the instance renews.
        let call = challenge(&client, &served.base).await.unwrap();
        let renewal = phone.renew(&call, *instance, &SessionKey::from_seed(&seed));
        let url = format!("{}/v1/instances/{}/results", served.base, instance.to_base64url());
        let (status, renewed) = post(&client, url, renewal).await.unwrap();
        assert_eq!((status, renewed.instance_id), (StatusCode::OK, instance.to_base64url()));
    }
}
