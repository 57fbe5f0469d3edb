//! What documents become: routes, or problems with their lines.

use serde_json::{Value, json};

use super::*;
use crate::settings::{
    Assurance, BodyBinding, CredentialKind, Mode, NonceDemand, PathMatch, Tier, TokenBinding,
};

const ORIGIN: &str = "https://api.example";

/// A document with these paths, and schemes of every kind.
fn document(top: &str, paths: &str) -> String {
    format!(
        "openapi: 3.1.0\n{top}\npaths:\n{paths}\ncomponents:\n  securitySchemes:\n    \
         login: {{type: oauth2, flows: {{}}}}\n    \
         oidc: {{type: openIdConnect, openIdConnectUrl: 'https://login.example'}}\n    \
         bearer: {{type: http, scheme: Bearer}}\n    \
         key: {{type: apiKey, in: header, name: x-api-key}}\n    \
         query: {{type: apiKey, in: query, name: key}}\n    \
         other: {{type: apiKey, in: header, name: Api-Token}}\n    \
         basic: {{type: http, scheme: basic}}\n    \
         digest: {{type: http, scheme: digest}}\n    \
         far: {{$ref: 'https://elsewhere.example/schemes.yaml#/login'}}\n    \
         circle: {{$ref: '#/components/securitySchemes/circle2'}}\n    \
         circle2: {{$ref: '#/components/securitySchemes/circle'}}\n    \
         near: {{$ref: '#/components/securitySchemes/login'}}\n"
    )
}

fn read(text: &str) -> Result<Vec<RouteSettings>, String> {
    read_as("api.yaml", text)
}

fn read_as(name: &str, text: &str) -> Result<Vec<RouteSettings>, String> {
    let told = |problems: Problems| problems.to_string();
    let ApiDocument { operations, mut problems } = ApiDocument::parse(name, text).map_err(told)?;
    routes::examine(&operations, None, &mut problems);
    let routes = routes::of(&operations, ORIGIN, &mut problems);
    if problems.is_empty() { Ok(routes) } else { Err(problems.to_string()) }
}

/// The one route of `GET /a` with these members.
fn operation(members: &str) -> Result<RouteSettings, String> {
    read(&document("", &format!("  /a:\n    get: {members}"))).map(|mut routes| routes.remove(0))
}

fn refused(members: &str) -> String {
    operation(members).unwrap_err()
}

#[test]
fn an_operation_becomes_a_strict_template_route() {
    let text =
        document("servers: [{url: 'https://api.example/v1/'}]", "  /pets/{id}:\n    get: {}\n    put: {}");
    let routes = read(&text).unwrap();
    assert_eq!(routes.len(), 2);
    let route = &routes[1];
    assert_eq!((route.path.as_str(), route.path_match), ("/v1/pets/{id}", PathMatch::Template));
    assert_eq!((route.methods.as_slice(), route.mode), (&["PUT".to_owned()][..], Mode::Require));
    assert_eq!(route.credentials, [CredentialKind::Jwt], "what is not said opens nothing");
}

#[test]
fn json_is_read_as_yaml_is() {
    let text = json!({ "openapi": "3.0.3", "paths": { "/a": { "get": { "security": [] } } } }).to_string();
    assert_eq!(read_as("api.json", &text).unwrap()[0].credentials, []);
    assert!(read_as("api.json", "openapi: 3.1.0").unwrap_err().contains("api.json:1: this is not JSON"));
}

#[test]
fn requirements_become_kinds_and_scopes() {
    use CredentialKind::{ApiKey, Jwt};
    for (members, kinds, scopes) in [
        ("{security: [{login: [b, a]}]}", vec![Jwt], vec!["a", "b"]),
        ("{security: [{oidc: [a]}]}", vec![Jwt], vec!["a"]),
        ("{security: [{near: [a]}]}", vec![Jwt], vec!["a"]),
        ("{security: [{bearer: []}]}", vec![Jwt], vec![]),
        ("{security: [{key: []}]}", vec![ApiKey], vec![]),
        ("{security: [{login: [a]}, {key: []}]}", vec![Jwt, ApiKey], vec!["a"]),
        ("{security: [{login: [a]}, {oidc: [a]}]}", vec![Jwt], vec!["a"]),
        ("{security: [{login: [a, b]}, {oidc: [a]}]}", vec![Jwt], vec!["a"]),
        ("{security: []}", vec![], vec![]),
        ("{security: [{}, {login: []}]}", vec![], vec![]),
    ] {
        let route = operation(members).unwrap();
        assert_eq!(
            (route.credentials, route.scopes),
            (kinds, scopes.into_iter().map(str::to_owned).collect()),
            "{members}"
        );
    }
}

#[test]
fn the_security_of_the_document_is_that_of_operations_without_their_own() {
    let text = document("security: [{login: [a]}]", "  /a: {get: {}}\n  /b: {get: {security: []}}");
    let routes = read(&text).unwrap();
    assert_eq!((routes[0].scopes.len(), routes[1].credentials.len()), (1, 0));
}

#[test]
fn what_routes_cannot_express_is_refused_with_its_line() {
    for (members, sentence) in [
        (
            "{security: [{login: [a]}, {oidc: [b]}]}",
            "api.yaml:5: GET /a: the alternatives ask for different scopes",
        ),
        ("{security: [{login: [], key: []}]}", "two schemes at once"),
        ("{security: [{}, {login: [a]}]}", "may be left out"),
        ("{security: [{bearer: [admin]}]}", "roles of `bearer` are not checked"),
        ("{security: [{key: [admin]}]}", "roles of `key` are not checked"),
        ("{security: [{nobody: []}]}", "`nobody` is not in `components/securitySchemes`"),
        ("{security: [{login: a}]}", "a list of texts"),
        ("{security: [{login: ['a b']}]}", "is no scope"),
        ("{security: {login: []}}", "`security` is a list"),
        ("{security: [{basic: []}]}", "passwords are not taken with each request"),
        ("{security: [{digest: []}]}", "\"digest\" is not supported"),
        ("{security: [{query: []}]}", "what stands in a URL or cookie is logged"),
        ("{security: [{other: []}]}", "write `name: X-API-Key`"),
        ("{security: [{far: []}]}", "is outside of this file"),
        ("{security: [{circle: []}]}", "leads in a circle"),
    ] {
        let found = refused(members);
        assert!(found.contains(sentence), "{members}: {found}");
    }
}

#[test]
fn the_extension_says_what_routes_say() {
    let route = operation(
        "{x-attestation: {tier: warning, assurance: hardware, body: required, nonce: required, mode: warn, \
         token_binding: first_use, max_evidence_age: 10m, protection: [strongbox], acr_values: [phr]}}",
    )
    .unwrap();
    assert_eq!(
        (route.tier, route.assurance, route.body),
        (Tier::Warning, Assurance::Hardware, BodyBinding::Required)
    );
    assert_eq!(
        (route.nonce, route.mode, route.token_binding),
        (NonceDemand::Required, Mode::Warn, TokenBinding::FirstUse)
    );
    assert_eq!(route.max_evidence_age.map(|age| age.as_seconds()), Some(600));
}

#[test]
fn of_each_word_the_nearest_counts() {
    let text = document(
        "x-attestation: {tier: warning, body: required}",
        "  /a:\n    x-attestation: {tier: affirming, nonce: required}\n    get: {x-attestation: {nonce: offered}}\n  /b: {get: {}}",
    );
    let routes = read(&text).unwrap();
    assert_eq!(
        (routes[0].tier, routes[0].nonce, routes[0].body),
        (Tier::Affirming, NonceDemand::Offered, BodyBinding::Required)
    );
    assert_eq!((routes[1].tier, routes[1].nonce), (Tier::Warning, NonceDemand::Off));
}

#[test]
fn a_wrong_word_in_the_extension_is_named_with_its_line() {
    for (members, sentence) in [
        (
            "\n      x-attestation:\n        tier: affirming\n        bdoy: required",
            "api.yaml:8: GET /a: x-attestation: `bdoy` is not known here; did you mean `body`?",
        ),
        ("{x-attestation: {tier: gold}}", "`tier` is \"gold\""),
        ("{x-attestation: {max_evidence_age: 10}}", "a text in quotes"),
        ("{x-attestation: {max_evidence_age: soon}}", "write a time span"),
        ("{x-attestation: {credentials: []}}", "`credentials` is not known here"),
        ("{x-attestation: {path: /}}", "`path` is not known here"),
        ("{x-attestation: {audit: {accept: [danger]}}}", "`why` is missing"),
        ("{x-attestation: {audit: {accept: [all], why: x}}}", "write one of"),
        ("{x-attestation: {audit: {accept: [unusable], why: x}}}", "write one of"),
        ("{x-attestation: strict}", "the document is \"strict\""),
        ("{x-attestation: {max_age: 5m}, security: []}", "only an access token tells"),
    ] {
        let found = refused(members);
        assert!(found.contains(sentence), "{members}: {found}");
    }
}

#[test]
fn an_extension_that_nobody_would_look_at_is_a_missing_safeguard() {
    for (members, sentence) in [
        ("{responses: {'200': {x-attestation: {tier: affirming}}}}", "not here"),
        ("{x-Attestation: {tier: affirming}}", "did you mean `x-attestation`?"),
        ("{x-attestations: {tier: affirming}}", "did you mean `x-attestation`?"),
    ] {
        let found = refused(members);
        assert!(found.contains(sentence), "{members}: {found}");
    }
    let text = document("info: {x-attestation: {}}", "  /a: {get: {}}");
    assert!(read(&text).unwrap_err().contains("api.yaml:2: "));
}

#[test]
fn path_items_may_be_referred_to_within_the_file_alone() {
    let text = |target: &str| {
        document("", &format!("  /a: {{$ref: '{target}'}}\n  /b~c:\n    get: {{security: []}}"))
    };
    let routes = read(&text("#/paths/~1b~0c")).unwrap();
    assert_eq!((routes[0].path.as_str(), routes[0].credentials.len()), ("/a", 0));
    for (target, sentence) in [
        ("#/paths/~1a", "leads in a circle"),
        ("#/paths/~1none", "there is nothing at"),
        ("other.yaml#/a", "outside of this file"),
        ("https://elsewhere.example/a", "outside of this file"),
        ("/etc/passwd", "outside of this file"),
    ] {
        let found = read(&text(target)).unwrap_err();
        assert!(found.contains(sentence), "{target}: {found}");
    }
    let beside = document("", "  /a: {$ref: '#/paths/~1b', get: {security: []}}\n  /b: {get: {}}");
    assert!(read(&beside).unwrap_err().contains("`get` beside `$ref`"));
}

#[test]
fn a_path_that_no_request_has_or_two_servers_read_differently_is_refused() {
    for path in [
        "a", "/a?x={y}", "/a#b", "/a//b", "/a/../b", "/a%2Fb", "/a%2e", "/a;b", "/{a}{b}", "/{}", "/{a",
        "/ä", "/a%zz",
    ] {
        let text = document("", &format!("  '{path}': {{get: {{}}}}"));
        assert!(read(&text).unwrap_err().starts_with("api.yaml:4: "), "{path}");
    }
    assert!(read(&document("", "  '/a%20b/{c}.json': {get: {}}")).is_ok());
}

#[test]
fn two_templates_for_the_same_requests_are_refused() {
    for (one, other) in [("/a/{x}", "/a/{y}"), ("/a", "/%61"), ("/{x}.json", "/{y}.json")] {
        let text = document("", &format!("  '{one}': {{get: {{}}}}\n  '{other}': {{get: {{}}}}"));
        assert!(read(&text).unwrap_err().contains("api.yaml:5: "), "{one} {other}");
        let text = document("", &format!("  '{one}': {{get: {{}}}}\n  '{other}': {{put: {{}}}}"));
        assert!(read(&text).is_ok(), "{one} {other}");
    }
}

#[test]
fn templates_of_which_servers_may_take_either_demand_the_same() {
    let text = |more: &str| {
        document("", &format!("  '/{{kind}}/mine': {{get: {{}}}}\n  '/pets/{{id}}': {{get: {{{more}}}}}"))
    };
    assert!(read(&text("")).is_ok());
    assert!(read(&text("security: []")).unwrap_err().contains("servers differ in which one they take"));
}

#[test]
fn servers_give_base_paths_and_one_is_where_the_resource_is() {
    let paths = |servers: &str| {
        let text = document(&format!("servers: {servers}"), "  /a: {get: {}}");
        read(&text).map(|routes| routes.into_iter().map(|route| route.path).collect::<Vec<_>>().join(" "))
    };
    for (servers, wanted) in [
        ("[]", "/a"),
        ("[{url: /}]", "/a"),
        ("[{url: /v1}, {url: 'https://api.example/v2'}]", "/v1/a /v2/a"),
        ("[{url: 'https://api.example:443/v1'}, {url: 'https://staging.example'}]", "/v1/a"),
        (
            "[{url: 'https://{host}.example/{v}', variables: {host: {default: api}, v: {default: v3}}}]",
            "/v3/a",
        ),
    ] {
        assert_eq!(paths(servers).as_deref(), Ok(wanted), "{servers}");
    }
    for (servers, sentence) in [
        ("[{url: 'https://staging.example'}]", "no server is at https://api.example"),
        ("[{url: 'http://api.example'}]", "no server is at https://api.example"),
        ("[{url: 'https://{host}.example'}]", "cannot be used"),
        ("[{url: //api.example}]", "cannot be used"),
        ("[{url: v1}]", "cannot be used"),
        ("[{url: /v1//b}]", "cannot be used"),
        ("[{url: /v1?x}]", "cannot be used"),
    ] {
        let found = paths(servers).unwrap_err();
        assert!(found.contains(sentence), "{servers}: {found}");
    }
}

#[test]
fn other_versions_and_other_files_are_named() {
    for (text, sentence) in [
        ("swagger: '2.0'\npaths: {}", "Swagger 2.0"),
        ("openapi: 3.2.0\npaths: {}", "\"3.2.0\" is not read"),
        ("openapi: 3.1\npaths: {}", "a version in quotes"),
        ("name: x", "this is no OpenAPI document"),
        ("openapi: 3.1.0", "there are no `paths`"),
        ("openapi: 3.1.0\npaths: {}", "no operation"),
        ("openapi: 3.1.0\npaths: {/a: {GET: {}}}", "`GET` is not known here"),
        ("[1]", "this is no OpenAPI document"),
        (
            "openapi: 3.1.0\npaths:\n  /a: {get: {}}\n  /a: {get: {security: []}}",
            "api.yaml:4: `/a` stands twice",
        ),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.contains(sentence), "{text}: {found}");
    }
}

#[test]
fn a_document_with_too_many_operations_is_refused() {
    let paths: String = (0..2001).map(|number| format!("  /a{number}: {{get: {{}}}}\n")).collect();
    assert!(read(&document("", &paths)).unwrap_err().contains("more than 2000 operations"));
}

#[test]
fn the_demands_of_a_route_are_told_without_its_defaults() {
    let route =
        operation("{x-attestation: {tier: warning, nonce: 'off'}, security: [{login: [a]}]}").unwrap();
    assert_eq!(Value::Object(demands(&route)), json!({ "tier": "warning", "scopes": ["a"] }));
}
