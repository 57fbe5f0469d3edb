//! The protected resources as the settings describe them, in the check's own words.

use std::collections::HashMap;

use countersign_core::request::Origin;
use countersign_core::token::result::{Protection, Tier};
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::{
    Assurance, CredentialKind, Mode, NoncePolicy, PathCase, PathMatch, Resource, Route, StepUp, TokenBinding,
};

use crate::routes::metadata_url;
use crate::settings::{self, BodyBinding, KeyProtection, NonceDemand, ResourceSettings, RouteSettings};

/// The resource of these settings; they were checked before.
pub(super) fn resource_of(settings: &ResourceSettings) -> Resource {
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
            .authorization_servers
            .iter()
            .map(|server| server.issuer.as_str().to_owned())
            .collect(),
        path_case: match settings.path_case {
            None => PathCase::Unknown,
            Some(settings::PathCase::Sensitive) => PathCase::Sensitive,
            Some(settings::PathCase::Insensitive) => PathCase::Insensitive,
        },
        replay_domain: String::new(),
        routes: settings.routes.iter().map(route_of).collect(),
    }
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
