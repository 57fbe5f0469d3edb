//! What authorization servers answer: about an opaque token, and about themselves.

use countersign_verifier::credential::introspection::{Answer, Introspection, MAX_ANSWER};
use countersign_verifier::credential::server_metadata::{ServerMetadata, metadata_urls};

use super::world::{self, NOW};
use super::{choose, chosen};

const SERVER: &str = "https://as.example";
const RESOURCE: &str = "https://api.example";
/// From this choice on it is metadata; below, the choice says which rules an answer is read by.
const METADATA: u8 = 4;

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    match choice {
        0..METADATA => {
            let Some((now, data)) = world::time(data) else { return };
            let rules = Introspection {
                max_lifetime: (choice & 1 != 0).then_some(600),
                danger_missing_audience: choice & 2 != 0,
                ..Introspection::new(SERVER)
            };
            let answer = Answer::decode(data, &rules, RESOURCE, now);
            assert_eq!(answer, Answer::decode(data, &rules, RESOURCE, now), "the same answer says the same");
            let Ok(Answer::Active(token)) = answer else { return };
            // Said without the decoder's own code.
            assert!(data.len() <= MAX_ANSWER);
            let said: serde_json::Value = serde_json::from_slice(data).expect("JSON");
            assert_eq!(said["active"], true, "nothing else is active");
            assert_eq!(token.issuer, SERVER);
            assert!(said.get("iss").is_none_or(|issuer| issuer == SERVER), "another server's");
            let ours = match &said["aud"] {
                serde_json::Value::Array(all) => all.iter().any(|one| one == RESOURCE),
                one => one == RESOURCE,
            };
            assert!(ours || (rules.danger_missing_audience && said.get("aud").is_none()), "another API's");
            let end = said["exp"].as_u64();
            assert!(end.is_some() || rules.max_lifetime.is_some(), "a token without an end");
            assert!(end.is_none_or(|end| end == token.expires_at.as_unix_seconds()));
            assert!(token.expires_at > token.not_before || said.get("nbf").is_some());
            assert_eq!(said["client_id"], token.client_id.as_str());
            assert_eq!(said.get("cnf").is_some(), token.confirmation != Default::default(), "no key is lost");
        }
        _ => {
            if let Ok(metadata) = ServerMetadata::decode(data, SERVER) {
                let said: serde_json::Value = serde_json::from_slice(data).expect("JSON");
                assert_eq!(said["issuer"], SERVER);
                assert_eq!(said["jwks_uri"].as_str(), metadata.jwks_uri.as_deref());
                assert_eq!(
                    said["introspection_endpoint"].as_str(),
                    metadata.introspection_endpoint.as_deref()
                );
            }
            let Ok(issuer) = std::str::from_utf8(data) else { return };
            for url in metadata_urls(issuer) {
                let origin = |url: &str| url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                assert_eq!(origin(&url), origin(issuer), "asked where the issuer is, and nowhere else");
                assert!(!url.contains(['?', '#']));
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let jkt = world::phones()[0].instance_key().thumbprint().to_base64url();
    let end = NOW.plus(300).as_unix_seconds();
    let bound = serde_json::json!({
        "active": true, "iss": SERVER, "aud": [RESOURCE], "client_id": "client", "sub": "user", "exp": end,
        "iat": NOW.as_unix_seconds(), "token_type": "DPoP", "scope": "read write", "cnf": {"jkt": jkt},
        "acr": "gold", "auth_time": NOW.as_unix_seconds(),
    });
    let endless = serde_json::json!({"active": true, "client_id": "client"});
    let certificate = serde_json::json!({
        "active": true, "aud": RESOURCE, "client_id": "client", "exp": end, "token_use": "access_token",
        "token_type": "bearer", "cnf": {"x5t#S256": jkt},
    });
    let metadata = serde_json::json!({
        "issuer": SERVER, "jwks_uri": "https://as.example/keys",
        "introspection_endpoint": "https://as.example/introspect",
    });
    let answer =
        |choice, json: &serde_json::Value| chosen(choice, &[&[0; 4], json.to_string().as_bytes()].concat());
    vec![
        answer(0, &bound),
        answer(0, &certificate),
        answer(3, &endless),
        answer(0, &serde_json::json!({"active": false})),
        chosen(METADATA, metadata.to_string().as_bytes()),
        chosen(METADATA, b"https://as.example/tenant/1/"),
    ]
}
