//! The edge of the settings, for a question: nothing listens, nothing is written, and without a word to the contrary
//! nothing is fetched.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::time::Timestamp;
use countersign_edge::{EdgeRuntime, JwksSource};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::trust::KeyOwner;

use super::{edge_of, jwks_source, jwks_sources};
use crate::clock::Clock;
use crate::keys::{self, ServiceKeys};
use crate::settings::{EitherSettings, Settings};
use crate::store::Store;

/// Later than every time that is asked about.
const FOREVER: Timestamp = Timestamp::from_unix_seconds(u64::MAX);

/// Where keys are taken from that an edge fetches.
pub(crate) struct KeysAtHand {
    /// Files, by issuer; they go before what the settings name.
    pub(crate) sets: HashMap<String, PathBuf>,
    /// Whether what is at a URL is fetched.
    pub(crate) fetch: bool,
}

/// An edge with what could be had here.
pub(crate) struct Offline {
    pub(crate) edge: Arc<EdgeRuntime>,
    /// Whether the registry's bans are in force.
    pub(crate) knows_bans: bool,
    /// What could not be had, and what that means.
    pub(crate) notes: Vec<String>,
}

/// Makes the edge.
///
/// # Errors
/// A sentence: what the settings or `at_hand` name cannot be used.
pub(crate) async fn edge(settings: &EitherSettings, at_hand: KeysAtHand) -> Result<Offline, String> {
    let mut notes = Vec::new();
    let now = Clock::system().now();
    let (service, nonces) = match settings {
        EitherSettings::Service(settings) => match own_keys(settings, &mut notes) {
            Some(keys) => (JwksSource::fixed(keys.public_jwks().to_string()), Some(keys.nonces)),
            None => (nothing(), None),
        },
        EitherSettings::Edge(settings) => {
            let service = &settings.attestation_service;
            (jwks_source(&service.jwks()), nonce_keys(&settings.nonce_keys, &mut notes))
        }
    };
    let issuer = settings.issuer().as_str();
    let mut sources = jwks_sources(settings.resources());
    sources.insert(issuer.to_owned(), service);
    if let Some(unknown) = at_hand.sets.keys().find(|issuer| !sources.contains_key(*issuer)) {
        return Err(format!("--jwks-of: the settings know no issuer {unknown}"));
    }
    for source in sources.values_mut().filter(|_| !at_hand.fetch) {
        if is_fetched(source) {
            *source = nothing();
        }
    }
    for (issuer, file) in at_hand.sets {
        if !file.is_file() {
            return Err(format!("--jwks-of: {} does not exist", file.display()));
        }
        sources.insert(issuer, JwksSource::file(file));
    }
    let nonces = nonces.unwrap_or_else(strange_nonces);
    if settings.bounds().1.is_some() {
        notes.push("the shared store is not asked: what other edges have seen is not known here".to_owned());
    }
    let edge = edge_of(settings.resources(), settings.bounds(), issuer, nonces);
    let edge = edge.map_err(|error| error.to_string())?;
    let sources = sources.into_iter().map(|(owner, source)| {
        let owner = if owner == issuer {
            KeyOwner::AttestationService(owner)
        } else {
            KeyOwner::AuthorizationServer(owner)
        };
        (owner, source)
    });
    let mut runtime = EdgeRuntime::new(edge, sources).map_err(|error| error.to_string())?;
    for resource in settings.resources().iter().filter(|resource| resource.takes_api_keys()) {
        match &resource.api_keys {
            Some(file) if file.is_file() => {
                runtime =
                    runtime.with_api_keys(resource.name.as_str(), file).map_err(|error| error.to_string())?;
            }
            _ => notes.push(format!("the API keys of {} are not here", resource.name)),
        }
    }
    // At this time all is due, so that what does not come is told at the step that needs it, whatever time is asked
    // about ...
    let edge = Arc::new(runtime.with_clock(|| Timestamp::EPOCH));
    let failed = edge.refresh().await;
    // ... and who has come does not come again: a key that is not in his set is unknown.
    for owner in edge.edge().key_owners().filter(|owner| !failed.contains(owner)) {
        match &owner {
            KeyOwner::AttestationService(issuer) => {
                edge.edge().service(issuer).into_iter().for_each(|keys| keys.fetched(FOREVER));
            }
            KeyOwner::AuthorizationServer(issuer) => {
                edge.edge().authorization_server(issuer).into_iter().for_each(|keys| keys.fetched(FOREVER));
            }
        }
    }
    let bans = match settings {
        EitherSettings::Service(settings) => bans(settings, &mut notes).await,
        // The registry is the service's.
        EitherSettings::Edge(_) => None,
    };
    let knows_bans = bans.is_some();
    let list = bans.unwrap_or_else(|| DenyList { issuer: issuer.to_owned(), ..empty() });
    // The question may be about any time; bans are as the registry has them now.
    edge.edge().replace_deny_list(DenyList { issued_at: now, expires_at: FOREVER, ..list });
    Ok(Offline { edge, knows_bans, notes })
}

fn own_keys(settings: &Settings, notes: &mut Vec<String>) -> Option<ServiceKeys> {
    let directory = &settings.keys.directory;
    if !directory.is_dir() {
        notes.push("the keys of the service are not here: nonces cannot be recognised".to_owned());
        return None;
    }
    let opened = ServiceKeys::open(directory, true, Clock::system().now());
    opened
        .map_err(|error| {
            notes.push(format!("{error}; so nonces cannot be recognised, nor results without --jwks-of"))
        })
        .ok()
}

/// The keys of an edge's nonces, if they are here. None are made.
fn nonce_keys(file: &Path, notes: &mut Vec<String>) -> Option<MacKeyRing> {
    if !file.is_file() {
        notes.push("the keys of the edge's nonces are not here: nonces cannot be recognised".to_owned());
        return None;
    }
    let keys = keys::nonce_keys(file, Clock::system().now());
    keys.map_err(|error| notes.push(format!("{error}; so nonces cannot be recognised"))).ok()
}

/// Bans as the registry has them, if it is here.
async fn bans(settings: &Settings, notes: &mut Vec<String>) -> Option<DenyList> {
    if !settings.store.path.is_file() {
        return None;
    }
    let read = async {
        let store = Store::open(&settings.store.path).await?;
        let bans = store.bans(Clock::system().now()).await;
        store.close().await;
        bans
    };
    match read.await {
        Ok(bans) => Some(DenyList {
            issuer: settings.issuer.as_str().to_owned(),
            sequence: bans.sequence,
            instances: bans.instances.into_iter().collect(),
            subjects: bans.subjects.into_iter().collect(),
            ..empty()
        }),
        Err(error) => {
            notes.push(format!("the registry cannot be read, so bans are not known: {error}"));
            None
        }
    }
}

fn empty() -> DenyList {
    DenyList {
        issuer: String::new(),
        sequence: 0,
        issued_at: Timestamp::EPOCH,
        expires_at: Timestamp::EPOCH,
        instances: Default::default(),
        key_ids: Default::default(),
        subjects: Default::default(),
    }
}

/// Keys that nobody has given a nonce out with.
fn strange_nonces() -> MacKeyRing {
    MacKeyRing::new(MacKey::new(0, [0; 32]), Vec::new())
}

/// Whether a network is needed.
const fn is_fetched(source: &JwksSource) -> bool {
    matches!(source, JwksSource::Url(_) | JwksSource::Discovery(_))
}

/// A key set that never comes.
fn nothing() -> JwksSource {
    JwksSource::fixed("")
}
