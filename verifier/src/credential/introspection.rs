//! What an authorization server says about an opaque token (RFC 7662 section 2.2), read as strictly as a JWT.

use std::fmt;
use std::hash::{Hash, Hasher};

use countersign_core::time::Timestamp;
use countersign_core::token::jose::strict_object;
use countersign_core::token::result::InstanceId;
use serde_json::Value;
use zeroize::Zeroizing;

use super::claims::{confirmation, has_audience, optional_text, scopes, text, time};
use super::jwt::{AccessToken, AccessTokenError};

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Seconds that an answer is believed unless told otherwise: as long as a revoked token may pass.
pub const DEFAULT_MAX_AGE: u64 = 60;

/// Whose opaque tokens a resource takes, and what answers about them must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// The authorization server's issuer.
    pub issuer: String,
    /// How long an answer is believed at most, in seconds; never beyond the token's `exp`. A revoked token passes this
    /// long. 0 counts as 1.
    pub max_age: u64,
    /// For a server whose answers leave `exp` out: how long its tokens live at most, in seconds. `None`: such answers
    /// are refused.
    pub max_lifetime: Option<u64>,
    /// Takes answers without `aud`: a token that was made for another API of the same server passes. An `aud` that is
    /// there must contain the resource all the same.
    pub danger_missing_audience: bool,
}

impl Introspection {
    /// The opaque tokens of `issuer`, by the strict rules: `exp` and `aud` must be told, and an answer is believed for
    /// [`DEFAULT_MAX_AGE`].
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            max_age: DEFAULT_MAX_AGE,
            max_lifetime: None,
            danger_missing_audience: false,
        }
    }
}

/// An opaque token to ask about. Its characters are wiped after use, and no `Debug` shows them.
#[derive(Clone)]
pub struct OpaqueToken {
    characters: Zeroizing<String>,
    digest: [u8; 32],
    presented_by: InstanceId,
}

impl OpaqueToken {
    pub(crate) fn new(characters: &str, digest: [u8; 32], presented_by: InstanceId) -> Self {
        Self { characters: Zeroizing::new(characters.to_owned()), digest, presented_by }
    }

    /// The token itself, for the question to its server.
    pub fn expose(&self) -> &str {
        &self.characters
    }

    /// SHA-256 of its characters.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub(crate) const fn presented_by(&self) -> &InstanceId {
        &self.presented_by
    }
}

impl PartialEq for OpaqueToken {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for OpaqueToken {}

impl Hash for OpaqueToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken")
    }
}

/// What an authorization server said about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is active; whether its time has come or gone is the caller's to see.
    Active(Box<AccessToken>),
    /// It is not, and nobody says why.
    Inactive,
    /// It is active, and not for us: another server's, for another resource, or bound in a way that cannot be checked.
    Refused(AccessTokenError),
}

/// The answer is not one: our trouble or the server's, and no fault of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// Longer than [`MAX_ANSWER`].
    TooLong,
    /// Not one JSON object without duplicate members.
    Json,
    /// `active` is missing, or not a boolean.
    Active,
}

impl AnswerError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "introspection_too_long",
            Self::Json => "introspection_json",
            Self::Active => "introspection_active",
        }
    }
}

impl Answer {
    /// Reads an answer that came at `now` for the resource `audience`.
    ///
    /// # Errors
    /// [`AnswerError`] if it says nothing about the token.
    pub fn decode(
        answer: &[u8],
        rules: &Introspection,
        audience: &str,
        now: Timestamp,
    ) -> Result<Self, AnswerError> {
        if answer.len() > MAX_ANSWER {
            return Err(AnswerError::TooLong);
        }
        let members = strict_object(answer).map_err(|_| AnswerError::Json)?;
        match members.get("active") {
            // Nothing else counts then (RFC 7662 section 2.2).
            Some(Value::Bool(false)) => return Ok(Self::Inactive),
            Some(Value::Bool(true)) => {}
            _ => return Err(AnswerError::Active),
        }
        Ok(match active(&members, rules, audience, now) {
            Ok(token) => Self::Active(Box::new(token)),
            Err(error) => Self::Refused(error),
        })
    }
}

fn active(
    members: &serde_json::Map<String, Value>,
    rules: &Introspection,
    audience: &str,
    now: Timestamp,
) -> Result<AccessToken, AccessTokenError> {
    if optional_text(members, "iss")?.is_some_and(|issuer| issuer != rules.issuer) {
        return Err(AccessTokenError::UnknownIssuer);
    }
    let may_be_missing = rules.danger_missing_audience && !members.contains_key("aud");
    if !may_be_missing && !has_audience(members.get("aud"), audience) {
        return Err(AccessTokenError::Audience);
    }
    // Endpoints know refresh tokens, too, which are the client's own affair.
    if optional_text(members, "token_use")?.is_some_and(|usage| usage != "access_token") {
        return Err(AccessTokenError::Typ);
    }
    let confirmation = confirmation(members)?;
    // RFC 9449 section 6.2: it says which key, or the token is bound to none.
    match optional_text(members, "token_type")? {
        None => {}
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
        Some(kind) if kind.eq_ignore_ascii_case("dpop") && confirmation.jkt.is_some() => {}
        Some(_) => return Err(AccessTokenError::Typ),
    }
    let issued_at = time(members, "iat")?;
    let expires_at = match (time(members, "exp")?, rules.max_lifetime) {
        (Some(end), _) => end,
        // From when it was made, where that is told: else each question would make it live longer.
        (None, Some(longest)) => issued_at.unwrap_or(now).min(now).plus(longest),
        (None, None) => return Err(AccessTokenError::Claims),
    };
    let issued_at = issued_at.unwrap_or(Timestamp::from_unix_seconds(0));
    if expires_at <= issued_at {
        return Err(AccessTokenError::Claims);
    }
    Ok(AccessToken {
        issuer: rules.issuer.clone(),
        subject: optional_text(members, "sub")?,
        client_id: text(members, "client_id")?,
        scopes: scopes(members)?,
        expires_at,
        not_before: time(members, "nbf")?.unwrap_or(issued_at).max(issued_at),
        confirmation,
        acr: optional_text(members, "acr")?,
        auth_time: time(members, "auth_time")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const AUDIENCE: &str = "https://api.example";

    fn rules() -> Introspection {
        Introspection::new("https://as.example")
    }

    fn honest() -> Value {
        json!({
            "active": true, "client_id": "app", "sub": "user", "scope": "read write", "aud": AUDIENCE,
            "exp": 1_800_000_600u64, "iat": 1_799_999_990u64, "token_type": "DPoP",
            "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "acr": "gold", "auth_time": 1_799_999_000u64,
        })
    }

    fn decode(answer: &Value, rules: &Introspection) -> Result<Answer, AnswerError> {
        Answer::decode(answer.to_string().as_bytes(), rules, AUDIENCE, NOW)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut answer = honest();
        answer[name] = value;
        answer
    }

    fn without(name: &str) -> Value {
        let mut answer = honest();
        answer.as_object_mut().unwrap().remove(name);
        answer
    }

    fn token(answer: &Value, rules: &Introspection) -> AccessToken {
        match decode(answer, rules) {
            Ok(Answer::Active(token)) => *token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_active_token_has_the_claims_that_a_jwt_has() {
        let token = token(&honest(), &rules());
        assert_eq!((token.issuer.as_str(), token.client_id.as_str()), ("https://as.example", "app"));
        assert_eq!((token.subject.as_deref(), token.acr.as_deref()), (Some("user"), Some("gold")));
        assert_eq!(
            (token.scopes, token.confirmation.jkt.is_some()),
            (vec!["read".into(), "write".into()], true)
        );
        assert_eq!(token.expires_at, NOW.plus(600));
        assert_eq!(token.not_before, NOW.minus(10));
        assert_eq!(token.auth_time, Some(NOW.minus(1000)));
    }

    #[test]
    fn what_an_inactive_token_was_counts_for_nothing() {
        assert_eq!(decode(&with("active", false.into()), &rules()), Ok(Answer::Inactive));
        assert_eq!(decode(&json!({"active": false}), &rules()), Ok(Answer::Inactive));
    }

    #[test]
    fn active_is_a_boolean_and_nothing_that_looks_like_one() {
        for active in [json!("true"), json!(1), json!(null), json!({}), json!(["true"])] {
            assert_eq!(
                decode(&with("active", active.clone()), &rules()),
                Err(AnswerError::Active),
                "{active}"
            );
        }
        assert_eq!(decode(&without("active"), &rules()), Err(AnswerError::Active));
        let twice = br#"{"active":false,"active":true}"#;
        for nonsense in
            [&twice[..], b"", b"[]", b"true", b"<html>", b"{\"active\":true}{}", b"{\"active\":true"]
        {
            let refused = Answer::decode(nonsense, &rules(), AUDIENCE, NOW);
            assert_eq!(refused, Err(AnswerError::Json), "{}", String::from_utf8_lossy(nonsense));
        }
        let long = format!("{}{}", honest(), " ".repeat(MAX_ANSWER));
        assert_eq!(Answer::decode(long.as_bytes(), &rules(), AUDIENCE, NOW), Err(AnswerError::TooLong));
    }

    #[test]
    fn an_answer_for_another_server_or_resource_is_refused() {
        let refused = |answer: &Value| decode(answer, &rules());
        for iss in ["https://as.example/", "https://evil.example"] {
            let error = AccessTokenError::UnknownIssuer;
            assert_eq!(refused(&with("iss", iss.into())), Ok(Answer::Refused(error)), "{iss}");
        }
        assert!(matches!(refused(&with("iss", "https://as.example".into())), Ok(Answer::Active(_))));
        let error = Ok(Answer::Refused(AccessTokenError::Audience));
        for aud in [json!("https://other.example"), json!([]), json!([AUDIENCE, 1]), json!(null), json!("")] {
            assert_eq!(refused(&with("aud", aud.clone())), error, "{aud}");
        }
        assert_eq!(refused(&without("aud")), error);
        assert!(matches!(refused(&with("aud", json!(["x", AUDIENCE]))), Ok(Answer::Active(_))));
    }

    #[test]
    fn a_missing_audience_passes_under_danger_and_another_one_does_not() {
        let rules = Introspection { danger_missing_audience: true, ..rules() };
        assert!(matches!(decode(&without("aud"), &rules), Ok(Answer::Active(_))));
        for aud in [json!("https://other.example"), json!(null), json!([])] {
            let refused = decode(&with("aud", aud.clone()), &rules);
            assert_eq!(refused, Ok(Answer::Refused(AccessTokenError::Audience)), "{aud}");
        }
    }

    #[test]
    fn claims_of_the_wrong_type_are_refused() {
        for (name, value) in [
            ("exp", json!("1800000600")),
            ("exp", json!(1_800_000_600.5)),
            ("exp", json!(-1)),
            ("exp", json!(1_799_999_990u64)),
            ("iat", json!("0")),
            ("nbf", json!(null)),
            ("client_id", json!("")),
            ("client_id", json!(["app"])),
            ("sub", json!(7)),
            ("sub", json!("")),
            ("scope", json!(["read"])),
            ("iss", json!(1)),
            ("acr", json!(1)),
            ("auth_time", json!("now")),
            ("token_type", json!(1)),
        ] {
            let refused = decode(&with(name, value.clone()), &rules());
            assert_eq!(refused, Ok(Answer::Refused(AccessTokenError::Claims)), "{name} {value}");
        }
        for name in ["client_id", "exp"] {
            let refused = decode(&without(name), &rules());
            assert_eq!(refused, Ok(Answer::Refused(AccessTokenError::Claims)), "{name}");
        }
    }

    #[test]
    fn a_token_without_an_end_ends_when_the_settings_say() {
        let rules = Introspection { max_lifetime: Some(900), ..rules() };
        let mut of_unknown_age = without("exp");
        of_unknown_age.as_object_mut().unwrap().remove("iat");
        assert_eq!(token(&of_unknown_age, &rules).expires_at, NOW.plus(900));
        assert_eq!(token(&honest(), &rules).expires_at, NOW.plus(600), "the server knows better");
    }

    #[test]
    fn asking_again_and_again_does_not_make_a_token_without_an_end_live_longer() {
        let rules = Introspection { max_lifetime: Some(900), ..rules() };
        let end = NOW.minus(10).plus(900);
        for later in [0, 60, 600, 86_400] {
            let answer = without("exp").to_string();
            match Answer::decode(answer.as_bytes(), &rules, AUDIENCE, NOW.plus(later)) {
                Ok(Answer::Active(token)) => assert_eq!(token.expires_at, end, "{later}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn where_no_user_is_named_there_is_none() {
        assert_eq!(token(&without("sub"), &rules()).subject, None);
    }

    #[test]
    fn a_refresh_token_is_no_access_token() {
        for (name, value) in
            [("token_use", "refresh_token"), ("token_type", "N_A"), ("token_type", "refresh")]
        {
            let refused = decode(&with(name, value.into()), &rules());
            assert_eq!(refused, Ok(Answer::Refused(AccessTokenError::Typ)), "{name} {value}");
        }
    }

    #[test]
    fn a_confirmation_that_cannot_be_checked_is_refused() {
        for cnf in [json!({}), json!({"jkt": "short"}), json!({"kid": "a"}), json!("jkt"), json!(null)] {
            let refused = decode(&with("cnf", cnf.clone()), &rules());
            assert_eq!(refused, Ok(Answer::Refused(AccessTokenError::Confirmation)), "{cnf}");
        }
        let dpop_without_a_key = decode(&without("cnf"), &rules());
        assert_eq!(dpop_without_a_key, Ok(Answer::Refused(AccessTokenError::Typ)));
    }

    #[test]
    fn no_debug_shows_a_token() {
        assert!(
            !format!("{:?}", OpaqueToken::new("secret", [0; 32], InstanceId::from_bytes([0; 16])))
                .contains("secret")
        );
    }
}
