//! Settings files as people write them, good and bad.

use std::fs;

use tempfile::TempDir;

use super::*;

const RESOURCE: &str = r#"
[[resource]]
name = "api"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "https://login.example/jwks"
clients = { "app" = ["mobile"] }
[[resource.route]]
path = "/"
"#;

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "").unwrap();
    directory
}

fn read(text: &str) -> Result<Settings, String> {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file)
        .map_err(|problems| problems.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

#[test]
fn one_line_is_enough_and_every_default_is_the_documented_one() {
    let settings = read("issuer = 'https://attest.example'").unwrap();
    assert_eq!(settings.lifetime.result.as_seconds(), 600);
    assert_eq!(settings.lifetime.client_attestation.as_seconds(), 3600);
    assert!(settings.listen.public.ip().is_loopback() && settings.listen.admin.ip().is_loopback());
    assert!(!settings.listen.danger_plaintext);
    assert!(settings.store.path.is_absolute());
}

#[test]
fn a_route_without_a_word_more_is_strict() {
    let settings = read(&format!("issuer = 'https://attest.example'\n{RESOURCE}")).unwrap();
    let route = &settings.resources[0].routes[0];
    assert_eq!(
        (route.mode, route.token_binding, route.tier, route.nonce),
        (Mode::Require, TokenBinding::Instance, Tier::Affirming, NonceDemand::Off)
    );
}

#[test]
fn every_problem_of_a_bad_file_is_named_at_once() {
    let text = r#"issuer = "http://attest.example"
policy = "missing.toml"
[listen]
public = "0.0.0.0:8080"
admin = "localhost"
[lifetime]
result = "20m"
audit = "soon"
[[resource]]
name = "Main API"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "jwks.json"
clients = {}
[[resource.route]]
path = "v1/*"
mode = "strict"
"#;
    let found = read(text).unwrap_err();
    for line in [1, 2, 4, 5, 7, 8, 10, 14, 15, 17, 18] {
        assert!(found.contains(&format!("settings.toml:{line}: ")), "line {line} in\n{found}");
    }
    assert_eq!(found.lines().count(), 11, "{found}");
}

#[test]
fn plain_http_to_other_machines_needs_the_danger_word() {
    for listener in ["public", "admin"] {
        let text = |danger: bool| {
            format!(
                "issuer = 'https://a.example'\n[listen]\n{listener} = '0.0.0.0:80'\ndanger_plaintext = {danger}\n"
            )
        };
        assert!(read(&text(false)).unwrap_err().contains("settings.toml:3: 0.0.0.0:80 can be reached"));
        assert!(read(&text(true)).is_ok());
    }
}

#[test]
fn instances_are_kept_for_a_day_at_least_and_ten_years_at_most() {
    let text = |span: &str| format!("issuer = 'https://a.example'\n[lifetime]\ninstances = '{span}'\n");
    assert!(read(&text("1d")).is_ok() && read(&text("3650d")).is_ok());
    for wrong in ["23h", "3651d"] {
        assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: `instances` is"), "{wrong}");
    }
}

#[test]
fn evidence_is_kept_as_long_as_the_records_unless_it_is_told_to_be_shorter() {
    let text = |lines: &str| format!("issuer = 'https://a.example'\n[lifetime]\n{lines}\n");
    let kept = |lines: &str| read(&text(lines)).unwrap().lifetime.evidence().as_seconds() / 86_400;
    assert_eq!((kept(""), kept("audit = '90d'"), kept("audit = '90d'\nevidence = '7d'")), (30, 90, 7));
    let longer = read(&text("evidence = '31d'")).unwrap_err();
    assert!(longer.contains("settings.toml:3: `evidence` is 31d, and the records"), "{longer}");
    assert!(read(&text("evidence = '10s'")).unwrap_err().contains("settings.toml:3: `evidence` is 10s"));
    // What is not written is not blamed.
    assert!(!read(&text("audit = '10s'")).unwrap_err().contains("`evidence`"));
}

#[test]
fn the_trail_of_acts_is_kept_for_a_day_at_least_and_ten_years_at_most() {
    let text = |span: &str| format!("issuer = 'https://a.example'\n[lifetime]\nacts = '{span}'\n");
    assert!(read(&text("1d")).is_ok() && read(&text("3650d")).is_ok());
    for wrong in ["23h", "3651d"] {
        assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: `acts` is"), "{wrong}");
    }
}

#[test]
fn a_body_cannot_be_demanded_behind_a_gateway_that_sends_none() {
    let text = |gateway: &str| {
        format!(
            "issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\ngateway = '{gateway}'\n{RESOURCE}body = 'required'\n"
        )
    };
    assert!(read(&text("nginx")).unwrap_err().contains("sends no bodies"));
    assert!(read(&text("envoy-http")).is_ok());
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let text =
        format!("issuer = 'https://a.example'\n{RESOURCE}[[resource.route]]\npath = '/'\nmode = 'observe'\n");
    assert!(read(&text).unwrap_err().contains("settings.toml:12: `/` has a route for all methods already"));
}

#[test]
fn an_edge_listener_needs_its_gateway_and_a_resource() {
    let found = read("issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\n").unwrap_err();
    assert_eq!(found.matches("settings.toml:3: ").count(), 2, "{found}");
}

#[test]
fn relative_paths_start_from_the_directory_of_the_file() {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    fs::write(&file, "issuer = 'https://a.example'\n[keys]\ndirectory = 'k'\n").unwrap();
    assert_eq!(Settings::load(&file).unwrap().keys.directory, directory.path().join("k"));
}

#[test]
fn api_keys_stand_in_one_file_for_each_resource_that_asks_for_them() {
    let resource = |name: &str, more: &str, credentials: &str| {
        format!(
            "[[resource]]\nname = '{name}'\nidentifier = 'https://{name}.example'\napps = ['app']\n{more}\n\
             [[resource.route]]\npath = '/'\ncredentials = {credentials}\n"
        )
    };
    let text = |resources: &[String]| read(&format!("issuer = 'https://a.example'\n{}", resources.concat()));
    let (file, keys) = ("api_keys = 'api-keys.json'", "['api_key']");
    let settings = text(&[resource("a", file, keys)]).unwrap();
    assert!(settings.resources[0].api_keys.as_ref().unwrap().is_absolute());
    assert!(settings.resources[0].has_app("app") && !settings.resources[0].has_app("other"));
    let refused = |resources: &[String]| text(resources).unwrap_err();
    assert!(refused(&[resource("a", "", keys)]).contains("write where they are kept"));
    assert!(refused(&[resource("a", file, "[]")]).contains("no route asks for API keys"));
    assert!(
        refused(&[resource("a", file, keys), resource("b", file, keys)])
            .contains("a key is for one resource")
    );
    let both = "['api_key', 'jwt']";
    assert!(refused(&[resource("a", file, both)]).contains("no authorization server is named"));
}

#[test]
fn a_users_authentication_can_be_demanded_only_where_access_tokens_tell_of_it() {
    let text = |more: &str| read(&format!("issuer = 'https://a.example'\n{RESOURCE}{more}\n"));
    let settings = text("acr_values = ['phr']\nmax_age = '5m'").unwrap();
    let route = &settings.resources[0].routes[0];
    assert_eq!(
        (route.acr_values.as_slice(), route.max_age.unwrap().as_seconds()),
        (&["phr".to_owned()][..], 300)
    );
    assert!(text("max_age = '5m'\ncredentials = []").unwrap_err().contains("only an access token tells"));
    for value in ["", "a b", "a\\\"", "a,b"] {
        let found = text(&format!("acr_values = [\"{value}\"]")).unwrap_err();
        assert!(found.contains("one word of visible ASCII"), "{found}");
    }
}

#[test]
fn a_template_is_said_to_be_one() {
    let text = |route: &str| {
        let resource = RESOURCE.replace("path = \"/\"", route);
        read(&format!("issuer = 'https://a.example'\n{resource}"))
    };
    let settings = text("path = '/pets/{id}'\nmatch = 'template'").unwrap();
    assert_eq!(settings.resources[0].routes[0].path_match, PathMatch::Template);
    assert!(text("path = '/pets/{id}'").unwrap_err().contains("braces stand for themselves"));
    for path in ["/{a}{b}", "/{", "/{}"] {
        let found = text(&format!("path = '{path}'\nmatch = 'template'")).unwrap_err();
        assert!(found.contains("this is no template"), "{found}");
    }
    assert!(text("path = '/a'\n[[resource.route]]\npath = '/a'\nmatch = 'template'").is_ok());
}

#[test]
fn a_resource_needs_a_route_or_a_document() {
    let resource = RESOURCE.replace("[[resource.route]]\npath = \"/\"", "");
    let found = read(&format!("issuer = 'https://a.example'\n{resource}")).unwrap_err();
    assert!(found.contains("it has no route"), "{found}");
}

#[test]
fn the_operations_of_a_document_are_routes_beside_those_of_the_settings() {
    let directory = directory();
    let file = directory.path().join("settings.toml");
    let read = |document: &str, more: &str| {
        fs::write(directory.path().join("api.yaml"), document).unwrap();
        let resource = RESOURCE.replace("identifier", "openapi = 'api.yaml'\nidentifier");
        fs::write(&file, format!("issuer = 'https://a.example'\n{more}\n{resource}")).unwrap();
        Settings::load(&file).map_err(|problems| problems.to_string())
    };
    let document = |members: &str| format!("openapi: 3.1.0\npaths:\n  /pets/{{id}}:\n    put: {members}\n");
    let settings = read(&document("{}"), "").unwrap();
    let paths: Vec<&str> = settings.resources[0].routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/", "/pets/{id}"]);
    assert!(settings.resources[0].openapi.as_ref().unwrap().is_absolute());
    let found = read(&document("{x-attestation: {tier: gold}}"), "").unwrap_err();
    assert!(found.contains("settings.toml:6: ") && found.contains("api.yaml:4: PUT /pets/{id}: "), "{found}");
    let nginx = "[listen]\nedge = '127.0.0.1:8081'\ngateway = 'nginx'";
    let found = read(&document("{x-attestation: {body: required}}"), nginx).unwrap_err();
    assert!(found.contains("PUT /pets/{id}: the gateway in [listen] sends no bodies"), "{found}");
    assert!(read("swagger: '2.0'", "").unwrap_err().contains("Swagger 2.0"));
    fs::remove_file(directory.path().join("api.yaml")).unwrap();
    let found = Settings::load(&file).unwrap_err().to_string();
    assert!(found.contains("the file does not exist"), "{found}");
}
