//! The edge of this process: the protected resources of the settings, decided by the verifier's check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::request::Origin;
use countersign_core::token::result::{Protection, Tier};
use countersign_edge::{EdgeRuntime, JwksSource, Limits, OsRandomness, SetupError};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{
    Assurance, CredentialKind, Edge, Mode, NoncePolicy, Resource, Route, StepUp, TokenBinding,
};
use reqwest::Url;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::keys::ServiceKeys;
use crate::routes::metadata_url;
use crate::service::Service;
use crate::settings::{
    self, BodyBinding, KeyProtection, NonceDemand, ResourceSettings, RouteSettings, Settings,
};
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
) -> Result<Arc<EdgeRuntime>, SetupError> {
    let service = settings.issuer.as_str().to_owned();
    let mut servers: HashMap<String, JwksSource> = HashMap::new();
    for server in settings.resources.iter().flat_map(|resource| &resource.authorization_servers) {
        let source = if server.jwks.contains("://") {
            JwksSource::url(server.jwks.as_str())
        } else {
            JwksSource::file(server.jwks.as_str())
        };
        servers.insert(server.issuer.as_str().to_owned(), source);
    }
    let edge = Edge::new(
        settings.resources.iter().map(|resource| (resource.name.clone(), resource_of(resource))).collect(),
        [service.clone()],
        servers.keys().cloned(),
        keys.nonces.clone(),
        Box::new(OsRandomness),
        true,
        Limits {
            proofs: settings.limits.replay_entries,
            failures: settings.limits.failures_per_10s,
            ..Limits::default()
        },
    );
    let own = JwksSource::fixed(keys.public_jwks().to_string());
    let servers = servers.into_iter().map(|(issuer, source)| (KeyOwner::AuthorizationServer(issuer), source));
    let sources = servers.chain([(KeyOwner::AttestationService(service), own)]);
    let clock = clock.clone();
    let mut runtime = EdgeRuntime::new(edge, sources)?.with_clock(move || clock.now());
    for resource in settings.resources.iter().filter(|resource| resource.takes_api_keys()) {
        if let Some(file) = &resource.api_keys {
            runtime = runtime.with_api_keys(resource.name.as_str(), file)?;
        }
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

fn resource_of(settings: &ResourceSettings) -> Resource {
    let identifier = settings.identifier.as_str();
    let origin = match &settings.origin {
        Some(origin) => origin.as_str().to_owned(),
        None => Url::parse(identifier).map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
    };
    let mut clients: HashMap<String, Vec<OAuthClient>> = HashMap::new();
    for server in &settings.authorization_servers {
        for (app, ids) in &server.clients {
            let issuer = server.issuer.as_str();
            let client = |id: &String| OAuthClient { issuer: issuer.to_owned(), client_id: id.clone() };
            clients.entry(app.clone()).or_default().extend(ids.iter().map(client));
        }
    }
    for app in &settings.apps {
        clients.entry(app.clone()).or_default();
    }
    Resource {
        identifier: identifier.to_owned(),
        origin: Origin::parse(&origin).expect("the settings were checked: this is an origin"),
        metadata_url: metadata_url(identifier),
        clients,
        authorization_servers: settings
            .authorization_servers
            .iter()
            .map(|server| server.issuer.as_str().to_owned())
            .collect(),
        replay_domain: String::new(),
        routes: settings.routes.iter().map(route_of).collect(),
    }
}

fn route_of(settings: &RouteSettings) -> Route {
    Route {
        path: settings.path.clone(),
        methods: settings.methods.clone(),
        mode: match settings.mode {
            settings::Mode::Observe => Mode::Observe,
            settings::Mode::Warn => Mode::Warn,
            settings::Mode::Require => Mode::Require,
        },
        credentials: settings
            .credentials
            .iter()
            .map(|kind| match kind {
                settings::CredentialKind::Jwt => CredentialKind::Jwt,
                settings::CredentialKind::ApiKey => CredentialKind::ApiKey,
            })
            .collect(),
        token_binding: match settings.token_binding {
            settings::TokenBinding::Instance => TokenBinding::Instance,
            settings::TokenBinding::FirstUse => TokenBinding::FirstUse,
            settings::TokenBinding::DangerClientOnly => TokenBinding::DangerClientOnly,
        },
        nonce: match settings.nonce {
            NonceDemand::Off => NoncePolicy::Off,
            NonceDemand::Offered => NoncePolicy::Offered,
            NonceDemand::Required => NoncePolicy::Required,
        },
        tier: match settings.tier {
            settings::Tier::Affirming => Tier::Affirming,
            settings::Tier::Warning => Tier::Warning,
        },
        protection: settings
            .protection
            .iter()
            .map(|protection| match protection {
                KeyProtection::Tee => Protection::Tee,
                KeyProtection::Strongbox => Protection::Strongbox,
                KeyProtection::SecureEnclave => Protection::SecureEnclave,
            })
            .collect(),
        max_evidence_age: settings.max_evidence_age.map(settings::TimeSpan::as_seconds),
        assurance: match settings.assurance {
            settings::Assurance::Session => Assurance::Session,
            settings::Assurance::Hardware => Assurance::Hardware,
        },
        danger_unbound_pop: settings.danger_unbound_pop,
        danger_unbound_query: settings.danger_unbound_query,
        content_required: settings.body == BodyBinding::Required,
        scopes: settings.scopes.clone(),
        step_up: StepUp {
            acr_values: settings.acr_values.clone(),
            max_age: settings.max_age.map(settings::TimeSpan::as_seconds),
        },
    }
}
