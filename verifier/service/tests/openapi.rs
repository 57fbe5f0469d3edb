//! `countersign openapi` and `countersign settings check` over the OpenAPI document of the examples, as a person uses
//! them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn countersign(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/openapi/api.yaml")
}

/// A folder with the example, changed, and settings that use it.
fn folder(change: impl FnOnce(String) -> String, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let document = change(fs::read_to_string(example()).unwrap());
    fs::write(folder.path().join("api.yaml"), document).unwrap();
    fs::write(folder.path().join("policy.toml"), "id = 'shop/1'\n").unwrap();
    fs::write(folder.path().join("keys.json"), "{}").unwrap();
    let settings = format!(
        "issuer = 'https://attest.example'\n[[resource]]\nname = 'shop'\nidentifier = 'https://api.example'\n\
         openapi = 'api.yaml'\napi_keys = 'keys.json'\napps = ['app']\n[[resource.authorization_server]]\n\
         issuer = 'https://login.example'\njwks = 'https://login.example/jwks'\nclients = {{ app = ['mobile'] }}\n{more}"
    );
    fs::write(folder.path().join("countersign.toml"), settings).unwrap();
    folder
}

fn in_folder(folder: &tempfile::TempDir, file: &str) -> String {
    folder.path().join(file).display().to_string()
}

#[test]
fn the_example_is_clean_and_each_change_for_the_worse_is_found() {
    let output = countersign(&["openapi", "audit", &example().display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for (good, bad, rule) in [
        ("body: required", "body: offered", "body_unbound"),
        ("accept: [authentication_none]", "accept: [danger]", "authentication_none"),
        ("tier: affirming", "mode: warn", "attestation_not_enforced"),
        ("login: [pets, \"pets:write\"]", "login: []", "scopes_missing"),
        ("https://api.example/v1", "v1", "unusable"),
    ] {
        let folder = folder(|text| text.replace(good, bad), "");
        let output = countersign(&["openapi", "audit", &in_folder(&folder, "api.yaml"), "--format", "json"]);
        assert_eq!(output.status.code(), Some(1), "{bad}");
        let audit: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rules: Vec<&Value> =
            audit["findings"].as_array().unwrap().iter().map(|one| &one["rule"]).collect();
        assert!(rules.contains(&&Value::from(rule)), "{bad}: {rules:?}");
        let table = stdout(&countersign(&["openapi", "audit", &in_folder(&folder, "api.yaml")]));
        assert!(table.contains(rule), "{table}");
    }
}

#[test]
fn what_is_allowed_on_the_command_line_is_no_finding() {
    let folder = folder(|text| text.replace("body: required", "body: offered"), "");
    let file = in_folder(&folder, "api.yaml");
    let exit = |allow: &str| countersign(&["openapi", "audit", &file, "--allow", allow]).status.code();
    assert_eq!(exit("body_unbound"), Some(0));
    assert_eq!(exit("body_unbound:POST /orders"), Some(0));
    assert_eq!(exit("body_unbound:PUT /orders"), Some(1));
    assert_eq!(exit("everything"), Some(3));
}

#[test]
fn a_document_that_cannot_be_read_ends_with_2() {
    let folder = folder(|_| "swagger: '2.0'\n".to_owned(), "");
    let output = countersign(&["openapi", "audit", &in_folder(&folder, "api.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("api.yaml:1: this is Swagger 2.0"));
    assert_eq!(countersign(&["openapi", "audit", "/nonexistent.yaml"]).status.code(), Some(2));
}

#[test]
fn with_settings_the_document_is_judged_as_its_resource_uses_it() {
    let audit = |folder: &tempfile::TempDir, resource: &str| {
        let (document, settings) = (in_folder(folder, "api.yaml"), in_folder(folder, "countersign.toml"));
        countersign(&["openapi", "audit", &document, "--settings", &settings, "--resource", resource])
    };
    assert_eq!(audit(&folder(|text| text, ""), "shop").status.code(), Some(0));
    assert_eq!(audit(&folder(|text| text, ""), "other").status.code(), Some(2));
    let beside = audit(&folder(|text| text, "[[resource.route]]\npath = '/'\n"), "shop");
    assert!(stdout(&beside).contains("beside_document"), "{}", stdout(&beside));
    assert_eq!(beside.status.code(), Some(1));
}

#[test]
fn settings_check_shows_the_routes_that_came_of_the_document() {
    let folder = folder(|text| text, "");
    let output = countersign(&["settings", "check", &in_folder(&folder, "countersign.toml")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |start: &str| {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"))
    };
    assert!(line("DELETE").contains("/v1/pets/{id}") && line("DELETE").contains("pets:write"));
    assert!(line("POST").contains("assurance: \"hardware\"") && line("POST").contains("api_key"));
    assert!(line("GET").contains("/v1/catalogue") && line("GET").contains("credentials: []"));
}

#[test]
fn the_schema_of_the_extension_is_printed() {
    let output = countersign(&["openapi", "schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "x-attestation");
}
