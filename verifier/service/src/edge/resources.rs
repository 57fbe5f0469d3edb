//! The protected resources as the settings describe them, in the check's own words.

use std::collections::HashMap;

use countersign_core::request::Origin;
use countersign_core::token::result::{Protection, Tier};
use countersign_edge::{ClientAuthentication, ClientSecret, ClientSecretError, Cors, IntrospectionSource};
use countersign_verifier::check::anomaly::AnomalyRule;
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::{
    Assurance, CredentialKind, Mode, NoncePolicy, PathCase, PathMatch, ReplayPolicy, Resource, Route, StepUp,
    TokenBinding, WhenStoreFails,
};
use countersign_verifier::credential::introspection::Introspection;

use crate::routes::metadata_url;
use crate::settings::{
    self, AuthorizationServerSettings, BodyBinding, IntrospectionSettings, KeyProtection, NonceDemand,
    ReplayDemand, ResourceSettings, RouteSettings, SharedStoreSettings,
};

/// The resource of these settings; they were checked before.
pub(super) fn resource_of(settings: &ResourceSettings, shared: Option<&SharedStoreSettings>) -> Resource {
    let identifier = settings.identifier.as_str();
    let origin = settings.origin_text();
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
            .jwt_servers()
            .map(|server| server.issuer.as_str().to_owned())
            .collect(),
        introspection: settings.opaque_token_server().map(|(server, asked)| introspection_of(server, asked)),
        path_case: match settings.path_case {
            None => PathCase::Unknown,
            Some(settings::PathCase::Sensitive) => PathCase::Sensitive,
            Some(settings::PathCase::Insensitive) => PathCase::Insensitive,
        },
        replay_domain: shared.map(|store| store.key_prefix.clone()).unwrap_or_default(),
        routes: settings
            .routes
            .iter()
            .map(|route| Route { shared_store: shared.map(|_| when_store_fails(route)), ..route_of(route) })
            .collect(),
    }
}

fn when_store_fails(route: &RouteSettings) -> WhenStoreFails {
    match route.when_store_fails.unwrap_or_default() {
        settings::WhenStoreFails::Closed => WhenStoreFails::Closed,
        settings::WhenStoreFails::Local => WhenStoreFails::Local,
    }
}

/// Which pages may call which resource, by its name.
pub(super) fn cors_of(resources: &[ResourceSettings]) -> HashMap<String, Cors> {
    let cors = |resource: &ResourceSettings| {
        let cors =
            resource.cors.as_ref()?.cors().expect("the settings were checked: these are origins and paths");
        Some((resource.name.clone(), cors))
    };
    resources.iter().filter_map(cors).collect()
}

/// What is watched for across its requests.
pub(super) fn anomaly_rules_of(settings: &ResourceSettings) -> Vec<AnomalyRule> {
    settings
        .anomalies
        .iter()
        .map(|rule| rule.rule().expect("the settings were checked: each rule can be kept"))
        .collect()
}

/// What answers about the opaque tokens of this server must hold.
fn introspection_of(server: &AuthorizationServerSettings, asked: &IntrospectionSettings) -> Introspection {
    Introspection {
        max_age: asked.max_age.as_seconds(),
        max_lifetime: asked.max_token_lifetime.map(settings::TimeSpan::as_seconds),
        danger_missing_audience: asked.danger_missing_audience,
        ..Introspection::new(server.issuer.as_str())
    }
}

/// Whom to ask about opaque tokens, and as whom.
pub(super) fn introspection_source(
    asked: &IntrospectionSettings,
) -> Result<IntrospectionSource, ClientSecretError> {
    let secret = ClientSecret::file(&asked.client_secret_file)?;
    let source =
        IntrospectionSource::new(&asked.client_id, secret).with_authentication(match asked.authentication {
            settings::ClientAuthentication::ClientSecretBasic => ClientAuthentication::SecretBasic,
            settings::ClientAuthentication::ClientSecretPost => ClientAuthentication::SecretPost,
        });
    Ok(match &asked.endpoint {
        Some(endpoint) => source.at(endpoint.as_str()),
        None => source,
    })
}

fn route_of(settings: &RouteSettings) -> Route {
    Route {
        path: settings.path.clone(),
        path_match: match settings.path_match {
            settings::PathMatch::Prefix => PathMatch::Prefix,
            settings::PathMatch::Template => PathMatch::Template,
        },
        methods: settings.methods.clone(),
        mode: match settings.mode {
            settings::Mode::Observe => Mode::Observe,
            settings::Mode::Warn => Mode::Warn,
            settings::Mode::Require => Mode::Require,
        },
        percentage: settings.percent,
        credentials: settings
            .credentials
            .iter()
            .map(|kind| match kind {
                settings::CredentialKind::Jwt => CredentialKind::Jwt,
                settings::CredentialKind::Opaque => CredentialKind::Opaque,
                settings::CredentialKind::ApiKey => CredentialKind::ApiKey,
                settings::CredentialKind::ClientCertificate => CredentialKind::ClientCertificate,
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
        replay: match settings.replay {
            ReplayDemand::Strict => ReplayPolicy::Strict,
            ReplayDemand::Windowed => ReplayPolicy::Windowed,
        },
        limits: settings
            .limits
            .iter()
            .map(|limit| limit.limit().expect("the settings were checked: each limit can be kept"))
            .collect(),
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
        shared_store: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const RESOURCE: &str = "
[[resource]]
name = 'api'
identifier = 'https://api.example'
apps = ['app']
[[resource.route]]
path = '/'
credentials = []
[[resource.route]]
path = '/local'
credentials = []
replay = 'windowed'
";

    fn resource(store: &str, local: &str) -> Resource {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), "").unwrap();
        let head =
            "issuer = 'https://attest.example'\n[listen]\nedge = '127.0.0.1:8081'\ngateway = 'nginx'\n";
        let text = format!("{head}{store}{RESOURCE}{local}");
        let settings = Settings::parse(&directory.path().join("settings.toml"), &text).unwrap();
        resource_of(&settings.resources[0], settings.shared_store.as_ref())
    }

    #[test]
    fn with_a_shared_store_every_route_asks_it_and_nonces_are_of_its_domain() {
        let asked = |resource: &Resource| -> Vec<_> {
            resource.routes.iter().map(|route| route.shared_store).collect()
        };
        let alone = resource("", "");
        assert_eq!((asked(&alone), alone.replay_domain.as_str()), (vec![None, None], ""));
        let store = "[shared_store]\nurl = 'redis://127.0.0.1:6379'\nkey_prefix = 'ours:'\n";
        let shared = resource(store, "when_store_fails = 'local'");
        let expected = vec![Some(WhenStoreFails::Closed), Some(WhenStoreFails::Local)];
        assert_eq!((asked(&shared), shared.replay_domain.as_str()), (expected, "ours:"));
    }
}
