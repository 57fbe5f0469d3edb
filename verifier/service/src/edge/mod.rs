//! The edge of this process: the protected resources of the settings, decided by the verifier's check.

mod client_certificates;
mod in_force;
pub(crate) mod offline;
mod resources;
mod standalone;
mod store_metrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::challenge::MacKeyRing;
use countersign_edge::{EdgeRuntime, JwksSource, Limits, OsRandomness, SetupError};
use countersign_verifier::check::Edge;
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::trust::KeyOwner;
use tokio::sync::watch;

use client_certificates::client_certificates_of;
pub(crate) use in_force::{EdgeInForce, Edition};
use resources::{anomaly_rules_of, introspection_source, resource_of};
pub use standalone::{EdgeStartError, RunningEdge, StandaloneEdge};
pub(crate) use store_metrics::store_metrics;

use crate::abuse::EdgeWitness;
use crate::clock::Clock;
use crate::service::Service;
use crate::settings::{LimitSettings, ResourceSettings, Settings, SharedStoreSettings};
use crate::store::{Bans, StoreError};

/// How often bans are read from the registry (protocol section 9).
pub(crate) const DENY_LIST_INTERVAL: Duration = Duration::from_secs(10);
/// How long a deny list is good, in seconds: an edge that cannot get a newer one for this long lets nothing pass.
const DENY_LIST_LIFETIME: u64 = 600;

/// The edge beside the service, for the resources of the settings, not yet started.
pub(crate) fn beside_service(
    settings: &Settings,
    service_keys: JwksSource,
    nonces: MacKeyRing,
    clock: &Clock,
    witness: EdgeWitness,
) -> Result<EdgeRuntime, SetupError> {
    let service = (settings.issuer.as_str().to_owned(), service_keys);
    let bounds = (&settings.limits, settings.shared_store.as_ref());
    assemble(&settings.resources, bounds, service, nonces, clock, witness)
}

/// An edge for `resources` that trusts the results of one attestation service, its issuer with its keys. Without a
/// current deny list it lets nothing pass.
fn assemble(
    resources: &[ResourceSettings],
    (limits, store): (&LimitSettings, Option<&SharedStoreSettings>),
    (service, service_keys): (String, JwksSource),
    nonces: MacKeyRing,
    clock: &Clock,
    witness: EdgeWitness,
) -> Result<EdgeRuntime, SetupError> {
    let edge = edge_of(resources, (limits, store), &service, nonces)?.with_witness(witness);
    let servers = jwks_sources(resources)
        .into_iter()
        .map(|(issuer, source)| (KeyOwner::AuthorizationServer(issuer), source));
    let sources = servers.chain([(KeyOwner::AttestationService(service), service_keys)]);
    let clock = clock.clone();
    let mut runtime = EdgeRuntime::new(edge, sources)?
        .with_clock(move || clock.now())
        .with_max_stale(Duration::from_secs(limits.stale_keys.as_seconds()));
    for resource in resources {
        if let Some((_, asked)) = resource.opaque_token_server() {
            let source = introspection_source(asked)
                .map_err(|error| SetupError::ClientSecret(asked.client_secret_file.clone(), error))?;
            runtime = runtime.with_introspection(resource.name.as_str(), source)?;
        }
    }
    for resource in resources.iter().filter(|resource| resource.takes_api_keys()) {
        if let Some(file) = &resource.api_keys {
            runtime = runtime.with_api_keys(resource.name.as_str(), file)?;
        }
    }
    if let Some(store) = store {
        runtime = runtime.with_shared_store(store.opened().map_err(SetupError::SharedStore)?);
    }
    Ok(runtime)
}

/// Where a key set is: a URL, or else a file.
fn jwks_source(place: &str) -> JwksSource {
    if place.contains("://") { JwksSource::url(place) } else { JwksSource::file(place) }
}

/// The edge for these resources, before any key has come.
fn edge_of(
    resources: &[ResourceSettings],
    (limits, store): (&LimitSettings, Option<&SharedStoreSettings>),
    service: &str,
    nonces: MacKeyRing,
) -> Result<Edge, SetupError> {
    let mut edge = Edge::new(
        resources.iter().map(|resource| (resource.name.clone(), resource_of(resource, store))).collect(),
        [service.to_owned()],
        jwks_sources(resources).into_keys(),
        nonces,
        Box::new(OsRandomness),
        true,
        Limits {
            proofs: limits.replay_entries,
            failures: limits.failures_per_10s,
            callers: limits.rate_entries,
            ..Limits::default()
        },
    );
    for resource in resources {
        edge = edge.with_anomaly_rules(&resource.name, anomaly_rules_of(resource));
        edge.replace_client_certificates(&resource.name, client_certificates_of(resource)?);
    }
    Ok(edge)
}

/// Where the keys of each authorization server are, by its issuer.
fn jwks_sources(resources: &[ResourceSettings]) -> HashMap<String, JwksSource> {
    let mut servers = HashMap::new();
    for server in resources.iter().flat_map(ResourceSettings::jwt_servers) {
        let source = match &server.jwks {
            None => JwksSource::discovery(server.issuer.as_str()),
            Some(place) => jwks_source(place),
        };
        servers.insert(server.issuer.as_str().to_owned(), source);
    }
    servers
}

/// Keeps the edge's deny list as the registry has it. While the registry cannot be read the last list stays, until
/// it expires and nothing passes.
pub(crate) async fn watch_bans(
    service: Arc<Service>,
    edge: Arc<EdgeInForce>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        match service.deny_list().await {
            Ok(list) => edge.runtime().edge().replace_deny_list(list),
            Err(error) => {
                service.metrics.store_error(error.reason());
                tracing::error!(%error, "bans cannot be read");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(DENY_LIST_INTERVAL) => {}
            // A ban of this process counts at once; the others come from the command line.
            () = service.bans_changed.notified() => {}
            _ = stopped.changed() => return,
        }
    }
}

impl Service {
    /// The deny list as the registry has it now.
    pub(crate) async fn deny_list(&self) -> Result<DenyList, StoreError> {
        let now = self.clock.now();
        let Bans { sequence, instances, left_out, unreadable, subjects } = self.store.bans(now).await?;
        if self.metrics.deny_list_left_out(left_out) != left_out {
            tracing::error!(
                left_out,
                "so many withdrawn instances find no room on the deny list: edges take the results that they have until \
                 those end, within ten minutes"
            );
        }
        // Told again when there are more or fewer, not every time.
        if self.metrics.deny_list_unreadable(unreadable) != unreadable && unreadable > 0 {
            tracing::error!(
                unreadable,
                "banned, withdrawn or erased instances whose identifier is damaged are not on the deny list; restore \
                 the database from a backup"
            );
        }
        Ok(DenyList {
            issuer: self.settings.issuer.as_str().to_owned(),
            sequence,
            issued_at: now,
            expires_at: now.plus(DENY_LIST_LIFETIME),
            instances: instances.into_iter().collect(),
            key_ids: Default::default(),
            subjects: subjects.into_iter().collect(),
        })
    }
}
