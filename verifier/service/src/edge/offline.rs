//! The edge of the settings, for a question: nothing listens, nothing is written, and without a word to the contrary
//! nothing is fetched.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::time::Timestamp;
use countersign_edge::{EdgeRuntime, JwksSource};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::trust::KeyOwner;

use super::{edge_of, jwks_sources};
use crate::clock::Clock;
use crate::keys::ServiceKeys;
use crate::settings::Settings;
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
pub(crate) async fn edge(settings: &Settings, at_hand: KeysAtHand) -> Result<Offline, String> {
    let mut notes = Vec::new();
    let now = Clock::system().now();
    let own = own_keys(settings, &mut notes);
    let mut sources = jwks_sources(&settings.resources);
    if let Some(unknown) = at_hand
        .sets
        .keys()
        .find(|issuer| !sources.contains_key(*issuer) && *issuer != settings.issuer.as_str())
    {
        return Err(format!("--jwks-of: the settings know no issuer {unknown}"));
    }
    for source in sources.values_mut().filter(|_| !at_hand.fetch) {
        if !matches!(source, JwksSource::File(_)) {
            *source = nothing();
        }
    }
    let service = match &own {
        Some(keys) => JwksSource::fixed(keys.public_jwks().to_string()),
        None => nothing(),
    };
    sources.insert(settings.issuer.as_str().to_owned(), service);
    for (issuer, file) in at_hand.sets {
        if !file.is_file() {
            return Err(format!("--jwks-of: {} does not exist", file.display()));
        }
        sources.insert(issuer, JwksSource::file(file));
    }
    let nonces = own.map_or_else(strange_nonces, |keys| keys.nonces);
    if settings.shared_store.is_some() {
        notes.push("the shared store is not asked: what other edges have seen is not known here".to_owned());
    }
    let bounds = (&settings.limits, settings.shared_store.as_ref());
    let edge = edge_of(&settings.resources, bounds, settings.issuer.as_str(), nonces);
    let edge = edge.map_err(|error| error.to_string())?;
    let service = settings.issuer.as_str().to_owned();
    let sources = sources.into_iter().map(|(issuer, source)| {
        let owner = if issuer == service {
            KeyOwner::AttestationService(issuer)
        } else {
            KeyOwner::AuthorizationServer(issuer)
        };
        (owner, source)
    });
    let mut runtime = EdgeRuntime::new(edge, sources).map_err(|error| error.to_string())?;
    for resource in settings.resources.iter().filter(|resource| resource.takes_api_keys()) {
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
    let bans = bans(settings, &mut notes).await;
    let knows_bans = bans.is_some();
    let list = bans.unwrap_or_else(|| DenyList { issuer: settings.issuer.as_str().to_owned(), ..empty() });
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

/// A key set that never comes.
fn nothing() -> JwksSource {
    JwksSource::fixed("")
}
