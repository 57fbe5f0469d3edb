//! A demo authorization server. It knows who logs in without asking, and does one thing properly: it binds access
//! tokens (RFC 9068) to the instance key in the client attestation, as `cnf.jkt`. A thief of the token cannot use it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use countersign_core::encoding::base64url;
use countersign_core::token::field::CLIENT_ATTESTATION;
use countersign_core::token::jose::{Jws, typ};
use countersign_core::token::keys::PublicKey;
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::issue::jwks;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Trouble;
use crate::world::{APP, OAUTH_CLIENT, wall_clock};

const KEY_ID: &str = "login-1";
/// How long access tokens live, in seconds.
const LIFETIME: u64 = 3600;

struct AuthorizationServer {
    issuer: String,
    /// The API that its tokens are for.
    resource: String,
    key: SigningKey,
    /// The attestation service that it trusts, and its keys.
    attester: (String, Jwks),
}

/// Starts the server and returns its URL.
///
/// # Errors
/// There is no port, no randomness, or no attestation service.
pub(crate) async fn start(
    client: &Client,
    attestation_service: &str,
    resource: &str,
) -> Result<String, Trouble> {
    let keys = client.get(format!("{attestation_service}/.well-known/jwks.json")).send().await?;
    let keys = Jwks::decode(&keys.error_for_status()?.bytes().await?).map_err(|error| error.reason())?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| "the system gives no randomness")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let server = AuthorizationServer {
        issuer: issuer.clone(),
        resource: resource.to_owned(),
        // All but one in 2^32 secrets are a key.
        key: SigningKey::from_slice(&secret)?,
        attester: (attestation_service.to_owned(), keys),
    };
    let router =
        Router::new().route("/jwks", get(key_set)).route("/token", post(token)).with_state(Arc::new(server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(issuer)
}

async fn key_set(State(server): State<Arc<AuthorizationServer>>) -> Response {
    let point = server.key.verifying_key().to_sec1_point(false);
    match PublicKey::from_p256_sec1(point.as_bytes()) {
        Ok(key) => Json(jwks([(KEY_ID, &key)])).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The demo grant: the body is the user's name, and nobody doubts it. A real server authenticates the user here, and
/// demands the proof of possession that goes with the attestation.
async fn token(State(server): State<Arc<AuthorizationServer>>, headers: HeaderMap, user: String) -> Response {
    let attestation = headers.get(CLIENT_ATTESTATION).and_then(|value| value.to_str().ok());
    match attestation.and_then(|attestation| server.attested_key(attestation)) {
        Some(key) => server.access_token(&user, &key).into_response(),
        None => (StatusCode::UNAUTHORIZED, "invalid_client_attestation").into_response(),
    }
}

impl AuthorizationServer {
    /// The instance key that a client attestation confirms, if the attestation service signed it and it is current.
    fn attested_key(&self, attestation: &str) -> Option<PublicKey> {
        let (issuer, keys) = &self.attester;
        let jws = Jws::decode(attestation).ok()?;
        let (_, signature) = attestation.rsplit_once('.')?;
        let text = |name: &str| jws.claims.get(name).and_then(Value::as_str);
        let expires_at = jws.claims.get("exp")?.as_u64()?;
        let holds = jws.is_typ(typ::CLIENT_ATTESTATION)
            && keys.find(jws.key_id())?.verifies(jws.algorithm(), jws.signing_input, signature)
            && text("iss") == Some(issuer)
            && text("sub") == Some(APP)
            && wall_clock().as_unix_seconds() < expires_at;
        let key = jws.claims.get("cnf")?.get("jwk")?.as_object()?;
        if holds { PublicKey::from_jwk(key).ok() } else { None }
    }

    fn access_token(&self, user: &str, key: &PublicKey) -> String {
        let now = wall_clock().as_unix_seconds();
        let mut id = [0; 16];
        // A token without an id of its own would still be bound to its key.
        let _ = getrandom::fill(&mut id);
        let header = json!({ "typ": typ::ACCESS_TOKEN, "alg": "ES256", "kid": KEY_ID });
        let claims = json!({
            "iss": self.issuer, "aud": self.resource, "sub": user, "client_id": OAUTH_CLIENT, "jti": base64url(&id),
            "iat": now, "exp": now + LIFETIME, "cnf": { "jkt": key.thumbprint().to_base64url() },
        });
        let segment = |json: Value| base64url(json.to_string().as_bytes());
        let input = format!("{}.{}", segment(header), segment(claims));
        let signature: Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }
}
