//! The exchange of receipts against a program on loopback that plays Apple. Nothing here was run against Apple.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use base64ct::{Base64, Encoding};
use countersign_core::encoding::from_base64url;
use countersign_core::token::result::Tier;
use countersign_verifier::evidence::app_attest::receipt::UnverifiedReceipt;
use countersign_verifier::policy::{AppPolicy, AppleApp};
use countersign_virtual_device::{AppleAuthority, ReceiptAttack, VirtualIphone, VirtualPhone};
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier;

use super::*;
use crate::settings::AppAttestSettings;
use crate::store::{Actor, Store};
use crate::virtual_world::{World, device_check_key, iphone, seed, session, trust, write_device_check_key};

const DAY: u64 = 86_400;

/// Plays Apple: answers one request after the other as it was told, and remembers what it was asked.
#[derive(Clone)]
struct FakeApple {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    endpoints: Endpoints,
}

type Answer = (StatusCode, Vec<u8>);

struct Asked {
    path: String,
    authorization: String,
    body: Vec<u8>,
}

impl FakeApple {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints = Endpoints {
            production: format!("http://{address}/production"),
            development: format!("http://{address}/development"),
        };
        let fake = Self { answers: Arc::default(), asked: Arc::default(), endpoints };
        let answer = |State(fake): State<Self>, uri: Uri, headers: HeaderMap, body: axum::body::Bytes| async move {
            let authorization = headers["authorization"].to_str().unwrap().to_owned();
            let asked = Asked { path: uri.path().to_owned(), authorization, body: body.to_vec() };
            fake.asked.lock().unwrap().push(asked);
            let answer = fake.answers.lock().unwrap().pop_front();
            answer.unwrap_or((StatusCode::IM_A_TEAPOT, Vec::new()))
        };
        let router = Router::new().fallback(post(answer)).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    fn will_answer(&self, status: u16, body: impl Into<Vec<u8>>) {
        let answer = (StatusCode::from_u16(status).unwrap(), body.into());
        self.answers.lock().unwrap().push_back(answer);
    }

    /// The exchange that speaks to it, with a key of its own.
    fn refresher(&self) -> Arc<dyn ReceiptRefresher> {
        let directory = tempfile::tempdir().unwrap();
        let settings = app_attest_settings(directory.path());
        Arc::new(AppleReceiptExchange::new(&settings, self.endpoints.clone()).unwrap())
    }

    fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn app_attest_settings(directory: &Path) -> AppAttestSettings {
    let key_file = directory.join("key.p8");
    write_device_check_key(&key_file);
    AppAttestSettings { key_file, key_id: "KEY7654321".to_owned(), team_id: "ABCDE12345".to_owned() }
}

/// A service that keeps receipts, an enrolled iPhone, and the one that plays Apple.
struct Scene {
    world: World,
    apple: FakeApple,
    refresher: Arc<dyn ReceiptRefresher>,
    instance: InstanceId,
    phone: VirtualPhone,
}

impl Scene {
    async fn new() -> Self {
        let (world, apple) = (World::with_receipts().await, FakeApple::new().await);
        let mut phone = iphone();
        let instance = world.enrol(&mut phone).await;
        world.wait(3600); // the first exchange is spread over an hour
        Self { world, refresher: apple.refresher(), apple, instance, phone }
    }

    async fn round(&self) -> Round {
        exchange_due(self.world.running.service(), &self.refresher).await.unwrap()
    }

    /// The phone that made the App Attest key of the instance.
    fn holder(&self) -> VirtualIphone {
        let VirtualPhone::Iphone(holder) = &self.phone else { panic!("an iPhone") };
        holder.clone()
    }

    /// The receipt that Apple would give in exchange.
    fn exchanged(&self, metric: u64) -> String {
        Base64::encode_string(&self.holder().exchanged_receipt(metric, self.world.now()))
    }

    async fn metric(&self) -> Option<u64> {
        self.store().risk_metric(&self.instance).await.unwrap()
    }

    fn store(&self) -> &Store {
        &self.world.service().store
    }

    /// Seconds until the receipt is due.
    async fn due_in(&self) -> u64 {
        let far = self.world.now().plus(80 * DAY);
        let kept = self.store().due_receipts(far, 10).await.unwrap();
        assert_eq!(kept.len(), 1);
        kept[0].due.seconds_since(self.world.now())
    }

    fn metrics(&self) -> String {
        self.world.service().metrics.to_prometheus()
    }
}

/// The same phone as [`iphone`].
fn apple_phone() -> VirtualIphone {
    VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed()).app("ABCDE12345", "com.example.app")
}

#[tokio::test]
async fn an_exchange_sends_receipt_and_token_and_keeps_what_comes() {
    let scene = Scene::new().await;
    scene.apple.will_answer(200, scene.exchanged(4));
    assert_eq!(scene.round().await, Round { due: 1, interrupted: false });
    assert_eq!(scene.metric().await, Some(4));
    assert!((DAY..=DAY + 3600).contains(&scene.due_in().await), "not before Apple allows it");
    assert!(scene.metrics().contains("countersign_receipt_exchanges_total{outcome=\"exchanged\"} 1"));

    let asked = scene.apple.asked.lock().unwrap().remove(0);
    assert_eq!(asked.path, "/production");
    let sent = Base64::decode_vec(str::from_utf8(&asked.body).unwrap()).unwrap();
    let sent = UnverifiedReceipt::read(&sent).unwrap();
    assert_eq!((sent.receipt_type, sent.risk_metric), (ReceiptType::Attest, None));

    let (message, signature) = asked.authorization.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&from_base64url(signature).unwrap()).unwrap();
    device_check_key().verifying_key().verify(message.as_bytes(), &signature).unwrap();
    let part = |index: usize| -> serde_json::Value {
        serde_json::from_slice(&from_base64url(message.split('.').nth(index).unwrap()).unwrap()).unwrap()
    };
    assert_eq!((part(0)["alg"].as_str(), part(0)["kid"].as_str()), (Some("ES256"), Some("KEY7654321")));
    assert_eq!(part(1)["iss"], "ABCDE12345");
    assert_eq!(part(1)["iat"], scene.world.now().as_unix_seconds());
}

#[tokio::test]
async fn what_was_exchanged_is_sent_at_the_next_exchange() {
    let scene = Scene::new().await;
    for metric in [1, 2] {
        scene.apple.will_answer(200, scene.exchanged(metric));
        scene.round().await;
        assert_eq!(scene.metric().await, Some(metric));
        scene.world.wait(DAY + 3600);
    }
    let asked = scene.apple.asked.lock().unwrap();
    let second = Base64::decode_vec(str::from_utf8(&asked[1].body).unwrap()).unwrap();
    assert_eq!(UnverifiedReceipt::read(&second).unwrap().risk_metric, Some(1));
    assert_ne!(asked[0].authorization, asked[1].authorization, "a token lives for minutes");
}

#[tokio::test]
async fn a_changed_metric_reaches_the_next_renewal() {
    let mut scene = Scene::new().await;
    let instance = scene.instance;
    let mut strict = trust();
    let mut app = AppPolicy::new(crate::virtual_world::CLIENT);
    app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
    app.maximum_risk_metric = Some(3);
    strict.policy = strict.policy.with_app(app);
    scene.world.service().trust.store(Arc::new(strict));

    for (metric, tier) in [(3, Tier::Affirming), (4, Tier::Warning), (0, Tier::Affirming)] {
        scene.apple.will_answer(200, scene.exchanged(metric));
        scene.round().await;
        let envelope = scene.phone.renew(&scene.world.call(), instance, &session("next"));
        let answer = scene.world.service().attest(Some(instance), &envelope).await.unwrap();
        let result = from_base64url(&answer.result).unwrap();
        let claims = countersign_core::token::result::DecodedResult::decode(&result).unwrap().claims;
        assert_eq!(claims.tier, tier, "{metric}");
        scene.world.wait(DAY + 3600);
    }
}

#[tokio::test]
async fn failures_wait_longer_each_time_and_change_nothing() {
    let scene = Scene::new().await;
    let hour = 3600;
    for (status, least, most) in [
        (503, 60, 75),
        (429, 120, 150),
        (500, 240, 300),
        (304, 6 * hour, 8 * hour),
        (401, 16 * hour, 24 * hour + 6 * hour),
        (400, 7 * DAY - DAY, 9 * DAY),
        (404, 7 * DAY, 9 * DAY),
    ] {
        scene.apple.will_answer(status, "no");
        scene.round().await;
        let due = scene.due_in().await;
        assert!((least..=most).contains(&due), "{status}: {due}");
        assert_eq!(scene.metric().await, None);
        scene.world.wait(due);
    }
    for outcome in ["exchange_unavailable", "exchange_too_early", "exchange_unauthorised", "exchange_refused"]
    {
        assert!(scene.metrics().contains(&format!("{{outcome=\"{outcome}\"}}")), "{outcome}");
    }
}

#[tokio::test]
async fn nothing_that_is_no_receipt_of_the_same_key_is_kept() {
    let scene = Scene::new().await;
    let now = scene.world.now();
    let lying =
        |attack| Base64::encode_string(&scene.holder().receipt_attack(attack).exchanged_receipt(0, now));
    let answers = [
        String::new(),
        "not base64 at all!".to_owned(),
        "AAAA".to_owned(),
        "A".repeat(1 << 20),
        Base64::encode_string(&scene.holder().of_somebody_else().exchanged_receipt(0, now)),
        lying(ReceiptAttack::SignatureBit),
        lying(ReceiptAttack::OtherRootSameNames),
        lying(ReceiptAttack::OtherApp),
        lying(ReceiptAttack::OtherType),
        lying(ReceiptAttack::Old),
        lying(ReceiptAttack::OtherEnvironment),
    ];
    for answer in answers {
        let start: String = answer.chars().take(20).collect();
        scene.apple.will_answer(200, answer);
        let kept = scene.store().due_receipts(scene.world.now(), 1).await.unwrap().remove(0);
        let outcome = exchange(scene.world.service(), &*scene.refresher, &kept).await.unwrap();
        assert!(matches!(outcome, Err(Failure::Unusable(_))), "{start}: {outcome:?}");
        assert_eq!(scene.metric().await, None);
        scene.store().defer_receipt(&kept, scene.world.now(), 0).await.unwrap();
    }
}

#[tokio::test]
async fn an_unreachable_apple_ends_the_round() {
    let scene = Scene::new().await;
    let gone = Endpoints { production: "http://127.0.0.1:1/".to_owned(), ..scene.apple.endpoints.clone() };
    let directory = tempfile::tempdir().unwrap();
    let refresher: Arc<dyn ReceiptRefresher> =
        Arc::new(AppleReceiptExchange::new(&app_attest_settings(directory.path()), gone).unwrap());
    let round = exchange_due(scene.world.running.service(), &refresher).await.unwrap();
    assert_eq!(round, Round { due: 1, interrupted: true });
    assert_eq!(scene.round().await, Round { due: 0, interrupted: false }, "it waits its time");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let scene = Scene::new().await;
    scene.apple.will_answer(307, "elsewhere");
    scene.round().await;
    assert_eq!((scene.apple.times_asked(), scene.metric().await), (1, None));
}

#[tokio::test]
async fn due_times_survive_a_restart() {
    let scene = Scene::new().await;
    scene.apple.will_answer(503, "");
    scene.round().await;
    let due = scene.due_in().await;
    let again = Store::open(&scene.world.service().settings.store.path).await.unwrap();
    let at = |seconds| again.due_receipts(scene.world.now().plus(seconds), 10);
    assert!(at(due - 1).await.unwrap().is_empty());
    let kept = at(due).await.unwrap();
    assert_eq!((kept.len(), kept[0].failures), (1, 1));
}

#[tokio::test]
async fn receipts_that_cannot_be_exchanged_any_more_are_left_alone_and_forgotten() {
    let scene = Scene::new().await;
    scene.store().set_banned(&scene.instance, true, scene.world.now()).await.unwrap();
    assert_eq!(scene.round().await.due, 0, "banned");
    scene.store().set_banned(&scene.instance, false, scene.world.now()).await.unwrap();
    scene.world.wait(90 * DAY);
    assert_eq!(scene.round().await.due, 0, "expired");
    assert_eq!(scene.store().forget_expired_receipts(scene.world.now()).await.unwrap(), 0, "gone already");
    assert_eq!(scene.apple.times_asked(), 0);
}

#[tokio::test]
async fn an_erased_instance_leaves_no_receipt() {
    let scene = Scene::new().await;
    assert!(scene.due_in().await < DAY);
    let by = Actor::command_line(scene.world.now());
    assert!(scene.store().erase_instance(&scene.instance, &by).await.unwrap());
    let path = &scene.world.service().settings.store.path;
    let database = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM receipt").fetch_one(&database).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn without_a_key_to_ask_with_no_receipt_is_kept() {
    let world = World::new().await;
    world.enrol(&mut iphone()).await;
    let all = world.service().store.due_receipts(world.now().plus(DAY), 10).await.unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn a_receipt_that_was_not_verified_is_not_kept() {
    let world = World::with_receipts().await;
    let mut phone: VirtualPhone = apple_phone().receipt_attack(ReceiptAttack::OtherKey).into();
    world.enrol(&mut phone).await;
    assert!(world.service().store.due_receipts(world.now().plus(DAY), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_metric_of_an_earlier_key_does_not_count_for_the_next() {
    let mut scene = Scene::new().await;
    scene.apple.will_answer(200, scene.exchanged(9));
    scene.round().await;
    assert_eq!(scene.metric().await, Some(9));
    assert_eq!(scene.world.enrol(&mut scene.phone).await, scene.instance);
    assert_eq!(scene.metric().await, None);
}

/// The phone enrols anew while Apple is being asked about the receipt of its earlier key.
#[tokio::test]
async fn what_comes_of_an_earlier_keys_receipt_concerns_no_receipt_of_the_next_key() {
    for status in [503, 200] {
        let mut scene = Scene::new().await;
        let earlier = scene.store().due_receipts(scene.world.now(), 1).await.unwrap().remove(0);
        let answer = scene.exchanged(9);
        assert_eq!(scene.world.enrol(&mut scene.phone).await, scene.instance);
        let due = scene.due_in().await;
        scene.apple.will_answer(status, answer);
        let outcome = exchange(scene.world.service(), &*scene.refresher, &earlier).await.unwrap();
        assert_eq!(outcome.is_ok(), status == 200);
        let kept = scene.store().due_receipts(scene.world.now().plus(80 * DAY), 1).await.unwrap().remove(0);
        assert_ne!(kept.key, earlier.key);
        assert_eq!((scene.due_in().await, kept.failures, scene.metric().await), (due, 0, None), "{status}");
    }
}

#[tokio::test]
async fn an_old_request_sent_again_does_not_bring_back_the_receipt_of_an_earlier_key() {
    let world = World::with_receipts().await;
    let mut phone = iphone();
    let first = phone.enrol(&world.call(), &session("first"));
    let answer = world.service().attest(None, &first).await.unwrap();
    let instance = InstanceId::from_base64url(&answer.instance_id).unwrap();
    let second = phone.enrol(&world.call(), &session("second"));
    world.service().attest(None, &second).await.unwrap();
    let due = async || world.service().store.due_receipts(world.now().plus(DAY), 10).await.unwrap();
    let kept = due().await;
    assert_eq!((kept.len(), kept[0].instance), (1, instance));
    let _ = world.service().attest(None, &first).await;
    assert_eq!(due().await, kept, "the key that is in use is watched on");
}

#[test]
fn a_key_file_that_others_can_read_or_that_holds_no_key_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let settings = app_attest_settings(directory.path());
    let new = || AppleReceiptExchange::new(&settings, Endpoints::default());
    assert!(new().is_ok());
    std::fs::set_permissions(&settings.key_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(new().unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&settings.key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&settings.key_file, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        .unwrap();
    assert!(new().unwrap_err().to_string().contains("holds no P-256 key"));
    std::fs::remove_file(&settings.key_file).unwrap();
    assert!(new().unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn nothing_secret_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let exchange =
        AppleReceiptExchange::new(&app_attest_settings(directory.path()), Endpoints::default()).unwrap();
    let shown = format!("{exchange:?}");
    assert!(shown.contains("https://data.appattest.apple.com/") && !shown.contains("KEY7654321"), "{shown}");
}
