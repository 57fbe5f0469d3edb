//! The store that edges share.

use std::path::PathBuf;
use std::time::Duration;

use countersign_edge::{SharedStoreSettings as EdgeStore, StoreAddress, StoreAddressError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReplayDemand, ResourceSettings, existing_file};
use crate::document::Problems;

/// The Redis or Valkey that the edges of one replay domain share: a proof then passes once at all of them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharedStoreSettings {
    /// Where it is, without a password: `rediss://redis.internal:6379/0`; `redis://` on this machine alone.
    pub url: Option<String>,
    /// A file of mode 0600 that holds the URL, where it has a user name and password.
    pub url_file: Option<PathBuf>,
    /// How many milliseconds one question may take; then the route says what happens.
    #[schemars(range(min = 1, max = 5000))]
    pub deadline_ms: u64,
    /// Begins the name of every key in the store; edges with the same prefix share everything.
    #[schemars(length(min = 1, max = 100))]
    pub key_prefix: String,
    /// Speaks plain text to another machine: whoever sits between reads nonce keys, and can let proofs pass twice.
    pub danger_plaintext: bool,
    /// Uses a store that throws keys away when it is full: whoever fills it can use a proof again.
    pub danger_evicting: bool,
}

/// What a route does while the shared store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenStoreFails {
    /// Nothing passes: 503.
    #[default]
    Closed,
    /// This edge decides alone, and tells the API with `X-Attested-Replay: local`.
    Local,
}

impl Default for SharedStoreSettings {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            deadline_ms: 50,
            key_prefix: "countersign:".to_owned(),
            danger_plaintext: false,
            danger_evicting: false,
        }
    }
}

impl SharedStoreSettings {
    /// The same in the edge's words; reads the file of the URL.
    ///
    /// # Errors
    /// When the URL, or the file that holds it, cannot be used.
    pub fn opened(&self) -> Result<EdgeStore, StoreAddressError> {
        let address = match (&self.url, &self.url_file) {
            (Some(url), _) => self.address(url)?,
            (None, Some(file)) if self.danger_plaintext => StoreAddress::from_file_danger_plaintext(file)?,
            (None, Some(file)) => StoreAddress::from_file(file)?,
            (None, None) => return Err(StoreAddressError::NotAUrl),
        };
        let mut store = EdgeStore::new(address);
        store.deadline = Duration::from_millis(self.deadline_ms);
        store.key_prefix.clone_from(&self.key_prefix);
        store.danger_evicting = self.danger_evicting;
        Ok(store)
    }

    fn address(&self, url: &str) -> Result<StoreAddress, StoreAddressError> {
        if self.danger_plaintext { StoreAddress::new_danger_plaintext(url) } else { StoreAddress::new(url) }
    }
}

/// Checks what the schema cannot say about the store and the routes that ask it.
pub(super) fn check(
    store: Option<&SharedStoreSettings>,
    resources: &[ResourceSettings],
    has_edge: bool,
    problems: &mut Problems,
) {
    let Some(store) = store else {
        for (index, resource) in resources.iter().enumerate() {
            for (number, _) in
                resource.routes.iter().enumerate().filter(|(_, route)| route.when_store_fails.is_some())
            {
                problems.at(
                    &format!("/resource/{index}/route/{number}/when_store_fails"),
                    "there is no store that could fail; add [shared_store], or remove this line",
                );
            }
        }
        return;
    };
    match (&store.url, &store.url_file) {
        (Some(url), None) => {
            if let Err(error) = store.address(url) {
                problems.at("/shared_store/url", error.to_string());
            }
        }
        (None, Some(file)) => existing_file(file, "/shared_store/url_file", problems),
        (None, None) => {
            problems.at("/shared_store", "where is it? Write `url`, or `url_file` where it has a password")
        }
        (Some(_), Some(_)) => problems.at("/shared_store/url_file", "there is a `url` already; one is right"),
    }
    if !store.key_prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
        problems
            .at("/shared_store/key_prefix", "write visible ASCII without spaces, such as \"countersign:\"");
    }
    for (index, resource) in resources.iter().enumerate() {
        for (number, route) in resource.routes.iter().enumerate() {
            if route.when_store_fails == Some(WhenStoreFails::Local) && route.replay == ReplayDemand::Strict {
                problems.at(
                    &format!("/resource/{index}/route/{number}/when_store_fails"),
                    "while the store fails, each edge would let a proof pass once, and `replay = \"strict\"` says that \
                     it passes once at all of them; write `replay = \"windowed\"` if that does no harm here, or remove \
                     this line",
                );
            }
        }
    }
    if !has_edge {
        problems.at("/shared_store", "only an edge asks it; add `edge` to [listen], or remove this section");
    }
}
