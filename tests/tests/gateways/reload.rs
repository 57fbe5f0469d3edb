//! Settings that are read again while requests go on: nonsense changes nothing, and new rules forget nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use countersign_service::settings::EdgeSettings;
use countersign_service::{RunningEdge, StandaloneEdge};

use crate::http::Sent;
use crate::proxy::settings_text;
use crate::world::World;

const LIMITED: &str = "
[[resource.route]]
path = '/v1/limited'
limits = [{ per = 'instance', rate = '1/min', burst = 2 }]
";
const PROXY: &str = "[[proxy]]";

/// An edge whose settings stand in a file.
struct Desk {
    world: World,
    file: PathBuf,
    running: RunningEdge,
    proxy: SocketAddr,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new("nginx").await;
        let file = world.directory.path().join("edge.toml");
        std::fs::write(&file, text(&world)).unwrap();
        let settings = EdgeSettings::load(&file).unwrap();
        let running = StandaloneEdge::start_with(settings, world.clock()).await.unwrap();
        let proxy = running.proxy_address("api").unwrap();
        Self { world, file, running, proxy }
    }

    /// Has other settings read; whether they are in force.
    async fn reload(&self, text: impl AsRef<[u8]>) -> Result<(), String> {
        std::fs::write(&self.file, text).unwrap();
        self.reload_file().await
    }

    async fn reload_file(&self) -> Result<(), String> {
        self.running.reload_settings(&self.file).await.map_err(|error| error.to_string())
    }

    async fn status(&self, sent: &Sent) -> u16 {
        sent.send(self.proxy).await.status
    }

    /// The status that a new request of the phone gets.
    async fn status_of(&self, target: &str) -> u16 {
        self.status(&self.world.proven("GET", target)).await
    }

    async fn metric(&self, name: &str) -> u64 {
        let got = Sent::new("GET", "/metrics").send(self.running.address("admin").unwrap()).await;
        let text = String::from_utf8(got.body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }

    async fn failures(&self) -> u64 {
        self.metric("countersign_settings_reload_failures_total").await
    }

    async fn as_of(&self) -> u64 {
        self.metric("countersign_settings_as_of_seconds").await
    }
}

fn text(world: &World) -> String {
    let text = settings_text(world, world.upstream.address, "");
    format!("{}\n[limits]\nfailures_per_10s = 100000\n", with_routes(&text, LIMITED))
}

fn with_routes(text: &str, routes: &str) -> String {
    text.replace(PROXY, &format!("{routes}{PROXY}"))
}

fn make_pipe(file: &Path) {
    std::fs::remove_file(file).unwrap();
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nonsense_under_load_changes_no_answer_and_is_counted() {
    let desk = Desk::new().await;
    let good = text(&desk.world);
    let (begun, over, answers) = (desk.as_of().await, AtomicBool::new(false), AtomicUsize::new(0));
    let forged = desk.world.proven("GET", "/v1/account").without("Attestation-Result");
    let forged = forged.with("Attestation-Result", "forged");
    let load = async {
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            // As many proofs as the phone has identifiers for; the others without end.
            if rounds < 40 {
                assert_eq!(desk.status_of("/v1/account").await, 200);
            }
            assert_eq!(desk.status(&Sent::new("GET", "/v1/account")).await, 401);
            assert_eq!(desk.status(&forged).await, 400);
            assert_eq!(desk.status(&Sent::new("GET", "/nowhere")).await, 404);
            rounds += 1;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let nonsense = async {
        let mut failures = 0;
        for nonsense in [
            b"".to_vec(),
            b"\xff\xfe\x00".to_vec(),
            b"[[[".to_vec(),
            b"x".repeat(2 * 1024 * 1024),
            good.replace("mode = 'observe'", "mode = 'nothing'").into_bytes(),
            good.replace("path = '/v1/scope'", "path = 'v1/scope'").into_bytes(),
            good.replace("'login.jwks'", "'missing.jwks'").into_bytes(),
            with_routes(&good, "[[resource.route]]\npath = '/v1'\n").into_bytes(),
            format!("{good}\nunknown = 1\n").into_bytes(),
        ] {
            let seen = answers.load(Ordering::Relaxed);
            assert!(desk.reload(&nonsense).await.is_err());
            failures += 1;
            assert_eq!((desk.failures().await, desk.as_of().await), (failures, begun));
            // The load goes on in between.
            while answers.load(Ordering::Relaxed) == seen {
                tokio::task::yield_now().await;
            }
        }
        std::fs::remove_file(&desk.file).unwrap();
        assert!(desk.reload_file().await.is_err());
        std::fs::write(&desk.file, "").unwrap();
        make_pipe(&desk.file);
        assert!(desk.reload_file().await.is_err(), "nobody writes to this pipe");
        assert_eq!(desk.failures().await, failures + 2);
        std::fs::remove_file(&desk.file).unwrap();
        desk.world.wait(1);
        assert_eq!(desk.reload(&good).await, Ok(()));
        assert_eq!((desk.failures().await, desk.as_of().await), (failures + 2, begun + 1));
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load, nonsense);
    assert_eq!(desk.status_of("/v1/account").await, 200);
}

#[tokio::test]
async fn a_problem_is_told_as_the_check_of_settings_tells_it() {
    let desk = Desk::new().await;
    let wrong = text(&desk.world).replace("mode = 'observe'", "mode = 'nothing'");
    let told = desk.reload(&wrong).await.unwrap_err();
    let checked = EdgeSettings::load(&desk.file).unwrap_err().to_string();
    assert_eq!(told, checked);
    assert!(told.contains("edge.toml:") && told.contains("nothing"), "{told}");
}

#[tokio::test]
async fn a_proof_used_before_a_reload_is_a_replay_after_it() {
    let desk = Desk::new().await;
    let (sent, other) = (desk.world.proven("GET", "/v1/account"), desk.world.proven("GET", "/v1/account"));
    assert_eq!(desk.status(&sent).await, 200);
    let changed = with_routes(&text(&desk.world), "[[resource.route]]\npath = '/v1/account'\n");
    assert_eq!(desk.reload(&changed).await, Ok(()));
    let again = sent.send(desk.proxy).await;
    assert_eq!(again.status, 401, "{again:?}");
    assert_eq!(desk.status(&other).await, 200);
}

#[tokio::test]
async fn a_quota_spent_before_a_reload_stays_spent() {
    let desk = Desk::new().await;
    for status in [200, 200, 429] {
        assert_eq!(desk.status_of("/v1/limited").await, status);
    }
    for route in ["/v1/a", "/v1/b"] {
        let changed = with_routes(&text(&desk.world), &format!("[[resource.route]]\npath = '{route}'\n"));
        assert_eq!(desk.reload(&changed).await, Ok(()));
        assert_eq!(desk.status_of("/v1/limited").await, 429);
    }
    // Without the limit it is not asked for, and with it again nothing has come back.
    assert_eq!(desk.reload(text(&desk.world).replace(LIMITED, "")).await, Ok(()));
    assert_eq!(desk.status_of("/v1/limited").await, 200);
    assert_eq!(desk.reload(text(&desk.world)).await, Ok(()));
    assert_eq!(desk.status_of("/v1/limited").await, 429);
}

#[tokio::test]
async fn a_nonce_given_out_before_a_reload_is_good_after_it() {
    let desk = Desk::new().await;
    let field = "dpop-nonce";
    let refused = desk.world.proven_by_instance_key("GET", "/v1/nonce", None).send(desk.proxy).await;
    assert_eq!(desk.reload(text(&desk.world)).await, Ok(()));
    let sent = desk.world.proven_by_instance_key("GET", "/v1/nonce", Some(refused.one(field)));
    assert_eq!(desk.status(&sent).await, 200);
}

#[tokio::test]
async fn a_route_made_stricter_is_strict_from_then_on() {
    let desk = Desk::new().await;
    assert_eq!(desk.status_of("/v1/account").await, 200);
    let strict = text(&desk.world).replacen("path = '/v1'\n", "path = '/v1'\nscopes = ['pay']\n", 1);
    assert_eq!(desk.reload(&strict).await, Ok(()));
    assert_eq!(desk.status_of("/v1/account").await, 403);
    let observed = desk.status_of("/v1/observed").await;
    let strict = strict.replace("mode = 'observe'", "scopes = ['pay']");
    assert_eq!(desk.reload(&strict).await, Ok(()));
    assert_eq!((observed, desk.status_of("/v1/observed").await), (200, 403));
    assert_eq!(desk.reload(text(&desk.world)).await, Ok(()));
    assert_eq!(desk.status_of("/v1/account").await, 200);
}

#[tokio::test]
async fn an_authorization_server_with_other_keys_or_clients_is_trusted_for_those_alone() {
    let desk = Desk::new().await;
    assert_eq!(desk.status_of("/v1/account").await, 200);
    let other = text(&desk.world).replace("['mobile']", "['desktop']");
    assert_eq!(desk.reload(&other).await, Ok(()));
    assert_ne!(desk.status_of("/v1/account").await, 200);
    // The keys of the old place are not those of the new one.
    std::fs::write(desk.world.directory.path().join("other.jwks"), r#"{"keys":[]}"#).unwrap();
    let other = text(&desk.world).replace("'login.jwks'", "'other.jwks'");
    assert_eq!(desk.reload(&other).await, Ok(()));
    assert_eq!(desk.status_of("/v1/account").await, 503);
    assert_eq!(desk.reload(text(&desk.world)).await, Ok(()));
    assert_eq!(desk.status_of("/v1/account").await, 200);
}

#[tokio::test]
async fn a_resource_that_disappears_is_refused_and_a_new_one_is_known() {
    let desk = Desk::new().await;
    let gateway = desk.running.address("edge").unwrap();
    let asked = |resource: &str| {
        let sent = desk.world.proven("GET", "/v1/account");
        Sent { target: format!("/edge/check/{resource}/v1/account"), ..sent }
    };
    let metadata = "/.well-known/oauth-protected-resource";
    assert_eq!(asked("api").send(gateway).await.status, 200);
    assert_eq!(asked("other").send(gateway).await.status, 500);
    assert_eq!(desk.status(&Sent::new("GET", metadata)).await, 200);
    let text = text(&desk.world);
    let (without_proxy, _) = text.split_once(PROXY).unwrap();
    let renamed = without_proxy.replace("name = 'api'", "name = 'other'");
    assert_eq!(desk.reload(&renamed).await, Ok(()));
    assert_eq!(asked("other").send(gateway).await.status, 200);
    assert_eq!(asked("api").send(gateway).await.status, 500);
    // Its proxy has no right to be there any more, and listens until the next start.
    assert_eq!(desk.status_of("/v1/account").await, 404);
    assert_eq!(desk.status_of("/v1/observed").await, 404);
    assert_ne!(desk.status(&Sent::new("GET", metadata)).await, 200);
    assert_eq!(desk.reload(&text).await, Ok(()));
    assert_eq!(desk.status_of("/v1/account").await, 200);
}

#[tokio::test]
async fn while_the_service_is_away_a_reload_keeps_its_keys_and_deny_list() {
    let mut desk = Desk::new().await;
    desk.world.end_service().await;
    let strict = text(&desk.world).replacen("path = '/v1'\n", "path = '/v1'\nscopes = ['pay']\n", 1);
    assert_eq!(desk.reload(&strict).await, Ok(()));
    assert_eq!(desk.status_of("/v1/warned").await, 200);
    assert_eq!(desk.status_of("/v1/limited").await, 200);
    assert_eq!(desk.status_of("/v1/account").await, 403);
    assert_eq!(Sent::new("GET", "/readyz").send(desk.running.address("admin").unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_listener_that_moves_in_the_file_stays_until_the_next_start() {
    let desk = Desk::new().await;
    let moved = text(&desk.world)
        .replace("admin = '127.0.0.1:0'", "admin = '127.0.0.1:1'")
        .replace("nonce_keys = 'edge-keys/edge.jwks'", "nonce_keys = 'other/edge.jwks'");
    assert_eq!(desk.reload(&moved).await, Ok(()));
    assert_eq!(desk.failures().await, 0);
    assert!(!desk.world.directory.path().join("other").exists());
    assert_eq!(desk.status_of("/v1/account").await, 200);
}
