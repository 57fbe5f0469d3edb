//! The edge of this process: the protected resources of the settings, decided by the verifier's check.

mod client_certificates;
mod resources;
mod store_metrics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_edge::{EdgeRuntime, JwksSource, Limits, OsRandomness, SetupError};
use countersign_verifier::check::Edge;
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::trust::KeyOwner;
use tokio::sync::watch;

use client_certificates::client_certificates_of;
pub(crate) use resources::cors_of;
use resources::{anomaly_rules_of, introspection_source, resource_of};
pub(crate) use store_metrics::store_metrics;

use crate::abuse::EdgeWitness;
use crate::clock::Clock;
use crate::keys::ServiceKeys;
use crate::service::Service;
use crate::settings::{ResourceSettings, Settings};
use crate::store::{Bans, StoreError};

/// How often bans are read from the registry (protocol section 9).
pub(crate) const DENY_LIST_INTERVAL: Duration = Duration::from_secs(10);
/// How long a deny list is good, in seconds: an edge that cannot get a newer one for this long lets nothing pass.
const DENY_LIST_LIFETIME: u64 = 600;

/// Starts the edge for the resources of the settings: fetches keys, and keeps them fresh.
pub(crate) async fn start(
    settings: &Settings,
    keys: &ServiceKeys,
    clock: &Clock,
    witness: EdgeWitness,
) -> Result<Arc<EdgeRuntime>, SetupError> {
    let service = settings.issuer.as_str().to_owned();
    let mut servers: HashMap<String, JwksSource> = HashMap::new();
    for server in settings.resources.iter().flat_map(ResourceSettings::jwt_servers) {
        let source = match &server.jwks {
            None => JwksSource::discovery(server.issuer.as_str()),
            Some(url) if url.contains("://") => JwksSource::url(url),
            Some(file) => JwksSource::file(file),
        };
        servers.insert(server.issuer.as_str().to_owned(), source);
    }
    let mut edge = Edge::new(
        settings
            .resources
            .iter()
            .map(|resource| (resource.name.clone(), resource_of(resource, settings.shared_store.as_ref())))
            .collect(),
        [service.clone()],
        servers.keys().cloned(),
        keys.nonces.clone(),
        Box::new(OsRandomness),
        true,
        Limits {
            proofs: settings.limits.replay_entries,
            failures: settings.limits.failures_per_10s,
            callers: settings.limits.rate_entries,
            ..Limits::default()
        },
    );
    for resource in &settings.resources {
        edge = edge.with_anomaly_rules(&resource.name, anomaly_rules_of(resource));
    }
    let edge = edge.with_witness(witness);
    for resource in &settings.resources {
        edge.replace_client_certificates(&resource.name, client_certificates_of(resource)?);
    }
    let own = JwksSource::fixed(keys.public_jwks().to_string());
    let servers = servers.into_iter().map(|(issuer, source)| (KeyOwner::AuthorizationServer(issuer), source));
    let sources = servers.chain([(KeyOwner::AttestationService(service), own)]);
    let clock = clock.clone();
    let mut runtime = EdgeRuntime::new(edge, sources)?
        .with_clock(move || clock.now())
        .with_max_stale(Duration::from_secs(settings.limits.stale_keys.as_seconds()));
    for resource in &settings.resources {
        if let Some((_, asked)) = resource.opaque_token_server() {
            let source = introspection_source(asked)
                .map_err(|error| SetupError::ClientSecret(asked.client_secret_file.clone(), error))?;
            runtime = runtime.with_introspection(resource.name.as_str(), source)?;
        }
    }
    for resource in settings.resources.iter().filter(|resource| resource.takes_api_keys()) {
        if let Some(file) = &resource.api_keys {
            runtime = runtime.with_api_keys(resource.name.as_str(), file)?;
        }
    }
    if let Some(store) = &settings.shared_store {
        runtime = runtime.with_shared_store(store.opened().map_err(SetupError::SharedStore)?);
    }
    Ok(runtime.start().await)
}

/// Keeps the edge's deny list as the registry has it. While the registry cannot be read the last list stays, until
/// it expires and nothing passes.
pub(crate) async fn watch_bans(
    service: Arc<Service>,
    edge: Arc<EdgeRuntime>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        match service.deny_list().await {
            Ok(list) => edge.edge().replace_deny_list(list),
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
