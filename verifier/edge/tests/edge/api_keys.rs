//! API keys through the layer, and the file that they stand in, changed under it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use countersign_core::request::sha256;
use countersign_edge::{
    ApiKeyFileError, ApiKeyId, ApiKeys, BuildError, CountersignBuilder, CountersignLayer, CredentialKind,
    JwksSource, Route, SetupError,
};
use countersign_verifier::credential::api_key::{ApiKeysError, RANDOM_LENGTH};
use tempfile::TempDir;

use crate::api::{below, builder, request, send, send_plain};
use crate::scene::{NOW, RESOURCE, SERVICE, SERVICE_SEED, Scene, Sent, key_set};

/// A file with one key.
struct KeyFile {
    directory: TempDir,
    keys: ApiKeys,
    key: String,
}

impl KeyFile {
    fn new() -> Self {
        let (directory, mut keys) = (tempfile::tempdir().unwrap(), ApiKeys::default());
        let key = keys.issue(&[1; RANDOM_LENGTH], "app", vec!["read".into()], NOW, NOW.plus(60)).unwrap();
        let file = Self { directory, keys, key: key.to_string() };
        file.write(&file.keys.to_json());
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("api-keys.json")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
        self.mode(0o600);
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The same file, in which the key is revoked.
    fn revoked(&self) -> String {
        let mut keys = self.keys.clone();
        assert!(keys.revoke(ApiKeyId::from_text("010101010101").unwrap(), NOW));
        keys.to_json()
    }

    fn sent(&self, scene: &Scene) -> Sent {
        let ath = Some(sha256(self.key.as_bytes()));
        let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.ath = ath);
        Sent { authorization: None, api_key: Some(self.key.clone()), ..sent }
    }
}

fn keys_only() -> CountersignBuilder {
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .app("app")
        .clock(|| NOW)
        .route(Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") })
}

async fn status(layer: &CountersignLayer, sent: &Sent) -> u16 {
    send_plain(&below(layer), sent).await.status.as_u16()
}

#[tokio::test]
async fn a_key_passes_without_any_authorization_server_and_is_hidden_from_logs() {
    let (scene, file) = (Scene::new(), KeyFile::new());
    let layer = keys_only().api_keys(file.path()).start().await.unwrap();
    let got = send_plain(&below(&layer), &file.sent(&scene)).await;
    let echo = got.echo();
    assert!(echo["subject"].is_null());
    assert!(!echo["debug"].as_str().unwrap().contains(&file.key), "marked as sensitive");
}

#[tokio::test]
async fn a_revoked_key_is_refused_once_the_file_has_been_read_again() {
    let (scene, file) = (Scene::new(), KeyFile::new());
    let layer = keys_only().api_keys(file.path()).start().await.unwrap();
    assert_eq!(status(&layer, &file.sent(&scene)).await, 200);
    file.write(&file.revoked());
    layer.runtime().reload_api_keys().await;
    assert_eq!(status(&layer, &file.sent(&scene)).await, 401);
}

#[tokio::test]
async fn a_file_that_turns_bad_neither_lifts_a_revocation_nor_refuses_the_good_keys() {
    let (scene, file) = (Scene::new(), KeyFile::new());
    let layer = keys_only().api_keys(file.path()).start().await.unwrap();
    let good = file.keys.to_json();
    for nonsense in ["", "{}", "null", &good[..good.len() - 2], &good.replace("\"app\"", "\"\"")] {
        file.write(nonsense);
        layer.runtime().reload_api_keys().await;
        assert_eq!(status(&layer, &file.sent(&scene)).await, 200, "{nonsense}");
    }
    file.write(&file.revoked());
    layer.runtime().reload_api_keys().await;
    file.write(&good);
    file.mode(0o644);
    layer.runtime().reload_api_keys().await;
    assert_eq!(status(&layer, &file.sent(&scene)).await, 401, "others could have written it");
    fs::remove_file(file.path()).unwrap();
    layer.runtime().reload_api_keys().await;
    assert_eq!(status(&layer, &file.sent(&scene)).await, 401);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_the_start() {
    let file = KeyFile::new();
    let error = async || keys_only().api_keys(file.path()).start().await.expect_err("refused");
    let of_file = |error| BuildError::Setup(SetupError::ApiKeys(file.path(), error));
    for mode in [0o640, 0o604, 0o620, 0o777] {
        file.mode(mode);
        assert_eq!(error().await, of_file(ApiKeyFileError::Exposed), "{mode:o}");
    }
    file.write("[]");
    assert_eq!(error().await, of_file(ApiKeyFileError::Keys(ApiKeysError::Malformed)));
    fs::remove_file(file.path()).unwrap();
    assert_eq!(error().await, of_file(ApiKeyFileError::Unreadable(ErrorKind::NotFound)));
}

#[tokio::test]
async fn routes_that_ask_for_keys_and_files_of_keys_belong_together() {
    let file = KeyFile::new();
    let refused = async |builder: CountersignBuilder| builder.start().await.expect_err("refused");
    assert_eq!(refused(keys_only()).await, BuildError::NoApiKeys);
    let nobody = SetupError::NoApiKeysWanted("api".into());
    assert_eq!(refused(builder().api_keys(file.path())).await, BuildError::Setup(nobody));
    let no_app = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .route(Route { credentials: vec![CredentialKind::ApiKey], ..Route::new("/") })
        .api_keys(file.path());
    assert_eq!(refused(no_app).await, BuildError::NoClient);
}

#[tokio::test]
async fn two_lines_of_the_field_are_refused() {
    let (scene, file) = (Scene::new(), KeyFile::new());
    let layer = keys_only().api_keys(file.path()).start().await.unwrap();
    let mut twice = request(&file.sent(&scene), axum::body::Body::empty());
    twice.headers_mut().append("X-API-Key", file.key.parse().unwrap());
    assert_eq!(send(&below(&layer), twice).await.status.as_u16(), 400);
}
