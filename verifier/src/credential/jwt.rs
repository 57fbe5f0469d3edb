//! JWT access tokens (RFC 9068), verified by `jsonwebtoken` behind the core's strict reading.

use countersign_core::time::Timestamp;
use countersign_core::token::jose::{Jws, JwsError, typ};
use countersign_core::token::keys::Thumbprint;
use serde_json::Value;

use super::claims::{confirmation, has_audience, optional_text, scopes, text, time};
use super::jwks::Jwks;

/// Clocks of authorization server and edge may differ by this many seconds.
const CLOCK_SKEW: u64 = 60;

/// The claims of an access token that an edge decides by, whether they stand in it (RFC 9068) or its authorization server
/// tells them (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// `iss`.
    pub issuer: String,
    /// `sub`: the user. Every JWT names one; what is said about an opaque token may not, where there is no user.
    pub subject: Option<String>,
    /// `client_id`.
    pub client_id: String,
    /// `scope`, split at its spaces.
    pub scopes: Vec<String>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `nbf`, else `iat`.
    pub not_before: Timestamp,
    /// `cnf`: every member must hold.
    pub confirmation: Confirmation,
    /// `acr`: how the user was authenticated (RFC 9470 section 6.2).
    pub acr: Option<String>,
    /// `auth_time`: when the user was authenticated.
    pub auth_time: Option<Timestamp>,
}

/// What a token is bound to (RFC 7800 `cnf`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt` (RFC 9449): thumbprint of the key that must prove possession.
    pub jkt: Option<Thumbprint>,
    /// `x5t#S256` (RFC 8705): SHA-256 of the client certificate that must be presented.
    pub certificate: Option<[u8; 32]>,
}

impl AccessToken {
    /// Whether the token is good at `now`: `nbf <= now + 60` and `now < exp`.
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.not_before <= now.plus(CLOCK_SKEW) && now < self.expires_at
    }
}

/// Why an access token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessTokenError {
    /// Not a strictly encoded JWS.
    Encoding(JwsError),
    /// `typ` is not `at+jwt`: an ID token, an attestation or a proof is no access token.
    Typ,
    /// `iss` is not one of the resource's authorization servers.
    UnknownIssuer,
    /// No key of that `kid` is in the issuer's set as we hold it.
    UnknownKey,
    /// The signature does not verify, or `alg` is not the key's.
    Signature,
    /// A required claim is missing or of the wrong type, or `exp` is not after `iat`.
    Claims,
    /// `aud` does not contain the resource identifier.
    Audience,
    /// `cnf` is malformed or has a member that we do not know; what we cannot check does not hold.
    Confirmation,
}

impl AccessTokenError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Typ => "access_token_typ",
            Self::UnknownIssuer => "access_token_unknown_issuer",
            Self::UnknownKey => "access_token_unknown_key",
            Self::Signature => "access_token_signature",
            Self::Claims => "access_token_claims",
            Self::Audience => "access_token_audience",
            Self::Confirmation => "access_token_cnf",
        }
    }
}

/// An access token taken apart, before its issuer is known to have signed it.
pub(crate) struct UnverifiedAccessToken<'a> {
    token: &'a str,
    jws: Jws<'a>,
}

impl<'a> UnverifiedAccessToken<'a> {
    /// Takes the token apart and checks `typ` (RFC 9068 section 4).
    pub(crate) fn decode(token: &'a str) -> Result<Self, AccessTokenError> {
        let jws = Jws::decode(token).map_err(AccessTokenError::Encoding)?;
        if !jws.is_typ(typ::ACCESS_TOKEN) {
            return Err(AccessTokenError::Typ);
        }
        Ok(Self { token, jws })
    }

    /// The issuer it names; selects the key set, nothing more.
    pub(crate) fn issuer(&self) -> &str {
        self.jws.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// Verifies signature, issuer, audience and the claims' types. Time is the caller's: it changes, these do not.
    pub(crate) fn verify(
        self,
        issuer: &str,
        jwks: &Jwks,
        audience: &str,
    ) -> Result<AccessToken, AccessTokenError> {
        if self.issuer() != issuer {
            return Err(AccessTokenError::UnknownIssuer);
        }
        let key = jwks.find(self.jws.key_id()).ok_or(AccessTokenError::UnknownKey)?;
        let signature = self.token.rsplit_once('.').map(|(_, signature)| signature).unwrap_or_default();
        if !key.verifies(self.jws.algorithm(), self.jws.signing_input, signature) {
            return Err(AccessTokenError::Signature);
        }
        let claims = &self.jws.claims;
        if !has_audience(claims.get("aud"), audience) {
            return Err(AccessTokenError::Audience);
        }
        let issued_at = time(claims, "iat")?.ok_or(AccessTokenError::Claims)?;
        let expires_at = time(claims, "exp")?.ok_or(AccessTokenError::Claims)?;
        if expires_at <= issued_at {
            return Err(AccessTokenError::Claims);
        }
        text(claims, "jti")?;
        Ok(AccessToken {
            issuer: issuer.to_owned(),
            subject: Some(text(claims, "sub")?),
            client_id: text(claims, "client_id")?,
            scopes: scopes(claims)?,
            expires_at,
            not_before: time(claims, "nbf")?.unwrap_or(issued_at).max(issued_at),
            confirmation: confirmation(claims)?,
            acr: optional_text(claims, "acr")?,
            auth_time: time(claims, "auth_time")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example";
    const AUDIENCE: &str = "https://api.example";

    fn jwks() -> Jwks {
        // The key pair of RFC 8037 appendix A.1.
        let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        Jwks::decode(key.as_bytes()).unwrap()
    }

    fn sign(header: Value, claims: Value) -> String {
        use aws_lc_rs::signature::Ed25519KeyPair;
        use countersign_core::encoding::{base64url, from_base64url};
        let seed = from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let input = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        format!("{input}.{}", base64url(key.sign(input.as_bytes()).as_ref()))
    }

    fn header() -> Value {
        serde_json::json!({"alg": "Ed25519", "typ": "at+jwt", "kid": "k"})
    }

    fn claims() -> Value {
        serde_json::json!({
            "iss": ISSUER, "sub": "user", "client_id": "app", "aud": AUDIENCE, "jti": "1",
            "iat": 1_800_000_000u64, "exp": 1_800_000_600u64, "scope": "read write",
            "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        })
    }

    fn verdict(header: Value, claims: Value) -> Result<AccessToken, AccessTokenError> {
        UnverifiedAccessToken::decode(&sign(header, claims))?.verify(ISSUER, &jwks(), AUDIENCE)
    }

    fn with(mut claims: Value, name: &str, value: Value) -> Value {
        claims[name] = value;
        claims
    }

    fn without(mut claims: Value, name: &str) -> Value {
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    #[test]
    fn a_token_of_the_profile_passes() {
        let token = verdict(header(), claims()).unwrap();
        assert_eq!(token.scopes, ["read", "write"]);
        assert!(token.confirmation.jkt.is_some());
        let at = |seconds| token.is_current(Timestamp::from_unix_seconds(seconds));
        assert!(at(1_799_999_940) && at(1_800_000_599));
        assert!(!at(1_799_999_939) && !at(1_800_000_600));
    }

    #[test]
    fn algorithm_and_type_confusion_are_refused() {
        for alg in ["none", "None", "HS256", "ES256", "RS256", "ed25519", ""] {
            let refused = verdict(with(header(), "alg", alg.into()), claims());
            assert_eq!(refused, Err(AccessTokenError::Signature), "{alg}");
        }
        for typ in ["JWT", "dpop+jwt", "oauth-client-attestation+jwt", ""] {
            assert_eq!(
                verdict(with(header(), "typ", typ.into()), claims()),
                Err(AccessTokenError::Typ),
                "{typ}"
            );
        }
        assert_eq!(verdict(without(header(), "typ"), claims()), Err(AccessTokenError::Typ));
        assert_eq!(
            verdict(with(header(), "kid", "other".into()), claims()),
            Err(AccessTokenError::UnknownKey)
        );
    }

    #[test]
    fn another_audience_or_issuer_is_refused() {
        for aud in [
            serde_json::json!("https://api.example/"),
            serde_json::json!("https://api.example.evil"),
            serde_json::json!(["https://other.example"]),
            serde_json::json!([AUDIENCE, 1]),
            serde_json::json!({}),
        ] {
            assert_eq!(
                verdict(header(), with(claims(), "aud", aud.clone())),
                Err(AccessTokenError::Audience),
                "{aud}"
            );
        }
        assert!(verdict(header(), with(claims(), "aud", serde_json::json!(["x", AUDIENCE]))).is_ok());
        let other = with(claims(), "iss", "https://as.example/".into());
        assert_eq!(verdict(header(), other), Err(AccessTokenError::UnknownIssuer));
    }

    #[test]
    fn every_required_claim_is_required_with_its_type() {
        for name in ["sub", "client_id", "jti", "iat", "exp"] {
            assert_eq!(verdict(header(), without(claims(), name)), Err(AccessTokenError::Claims), "{name}");
        }
        for (name, value) in [
            ("exp", serde_json::json!("1800000600")),
            ("exp", serde_json::json!(1800000600.5)),
            ("exp", serde_json::json!(-1)),
            ("iat", serde_json::json!(null)),
            ("nbf", serde_json::json!("0")),
            ("sub", serde_json::json!("")),
            ("scope", serde_json::json!(["read"])),
        ] {
            assert_eq!(
                verdict(header(), with(claims(), name, value.clone())),
                Err(AccessTokenError::Claims),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_confirmation_that_cannot_be_checked_is_refused() {
        for cnf in [
            serde_json::json!({}),
            serde_json::json!({"jkt": "short"}),
            serde_json::json!({"kid": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            serde_json::json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "jwk": {}}),
            serde_json::json!("jkt"),
        ] {
            let refused = verdict(header(), with(claims(), "cnf", cnf.clone()));
            assert_eq!(refused, Err(AccessTokenError::Confirmation), "{cnf}");
        }
    }
}
