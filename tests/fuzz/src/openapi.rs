//! OpenAPI documents, YAML and JSON, up to the routes that are made of them.

use countersign_core::request::check_path;
use countersign_service::fuzzing::openapi_routes;

use super::{choose, chosen};

const ORIGIN: &str = "https://api.example";
/// Most bytes of a document here: what aliases make of it is bounded, and takes long enough.
const MAX_DOCUMENT: usize = 64 * 1024;

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > MAX_DOCUMENT {
        return;
    }
    let is_json = choice & 1 != 0;
    let read = openapi_routes(if is_json { "api.json" } else { "api.yaml" }, text, ORIGIN);
    let routes = match read {
        Ok(routes) => routes,
        // Every problem can be told.
        Err(problems) => return assert!(!problems.to_string().is_empty()),
    };
    assert!(!routes.is_empty(), "a document without an operation");
    for route in &routes {
        assert_eq!(check_path(&route.path), Ok(()), "no request has this path");
        assert_eq!(route.methods.len(), 1, "an operation is one method");
    }
    if is_json {
        let document: serde_json::Value = serde_json::from_str(text).expect("JSON is JSON for everybody");
        for path in
            document["paths"].as_object().expect("paths").keys().filter(|path| !path.starts_with("x-"))
        {
            let item = &document["paths"][path];
            let gets = item.get("get").is_some();
            let has = routes.iter().any(|route| route.path.ends_with(path) && route.methods == ["GET"]);
            assert!(!gets || has, "an operation has no route");
        }
    }
}

const YAML: &str = r##"openapi: "3.1.0"
info: {title: Pets, version: "1"}
servers: [{url: "https://api.example/v1"}]
security: [{oauth: [read]}]
x-attestation: {mode: enforce}
paths:
  /pets:
    get: &get
      tags: [pets]
      responses: {"200": {description: ok}}
    post:
      security: [{oauth: [write]}]
      requestBody: {content: {application/json: {}}}
      x-attestation: {single-use: true}
  /pets/{id}:
    $ref: "#/components/pathItems/pet"
components:
  pathItems:
    pet: {get: *get}
  securitySchemes:
    oauth: {type: oauth2, flows: {}}
"##;

const JSON: &str = r##"{"openapi": "3.0.3", "paths": {"/a%20b/{c}": {"get": {"tags": ["\ud83d\ude00"]}, "head": {}},
    "/d": {"$ref": "#/paths/~1a%2520b~1{c}"}}, "servers": [{"url": "/"}]}"##;

pub fn seeds() -> Vec<Vec<u8>> {
    let bare = "openapi: 3.1.0\npaths:\n  /a:\n    get:\n      security: []\n  /b/{c}: {put: }\n";
    let block = "openapi: '3.1.0'\npaths:\n  ? /a\n  : !!map\n    get:\n      description: >-\n        folded\n        | text\n";
    let aliases = "openapi: 3.1.0\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\npaths: {/a: {get: {}}}\n";
    let mut seeds: Vec<_> =
        [YAML, JSON, bare, block, aliases].iter().map(|text| chosen(0, text.as_bytes())).collect();
    seeds.push(chosen(1, JSON.as_bytes()));
    seeds.push(chosen(
        1,
        br#"{"openapi":"3.1.0","paths":{"/a":{"get":{},"x-attestation":{"mode":"report"}}}}"#,
    ));
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_both_kinds_become_routes() {
        for (name, text) in [("api.json", JSON), ("api.yaml", "openapi: 3.1.0\npaths: {/a: {get: {}}}\n")] {
            let routes = openapi_routes(name, text, ORIGIN);
            assert!(
                routes.is_ok(),
                "{}",
                routes.err().map(|problems| problems.to_string()).unwrap_or_default()
            );
        }
    }
}
