//! Claims that access tokens of both kinds have, read the same way: from a JWT (RFC 9068) and from what an
//! authorization server says about an opaque token (RFC 7662).

use countersign_core::encoding::from_base64url_array;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Thumbprint;
use serde_json::{Map, Value};

use super::jwt::{AccessTokenError, Confirmation};

/// A member that is a text which says something.
pub(super) fn text(claims: &Map<String, Value>, name: &str) -> Result<String, AccessTokenError> {
    match claims.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(AccessTokenError::Claims),
    }
}

/// As [`text()`]; `None` where there is no such member.
pub(super) fn optional_text(
    claims: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, AccessTokenError> {
    claims.contains_key(name).then(|| text(claims, name)).transpose()
}

/// Whole seconds since the epoch; `None` where there is no such member.
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, AccessTokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            value.as_u64().map(Timestamp::from_unix_seconds).map(Some).ok_or(AccessTokenError::Claims)
        }
    }
}

/// `scope`, split at its spaces (RFC 6749 section 3.3).
pub(super) fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, AccessTokenError> {
    match claims.get("scope") {
        None => Ok(Vec::new()),
        Some(Value::String(scope)) => {
            Ok(scope.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect())
        }
        Some(_) => Err(AccessTokenError::Claims),
    }
}

/// `aud` is the resource, or an array of strings that contains it; compared whole, never by substring.
pub(super) fn has_audience(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => {
            many.iter().all(Value::is_string) && many.iter().any(|one| one == audience)
        }
        _ => false,
    }
}

/// `cnf` (RFC 7800), of whose members each must be one that can be checked.
pub(super) fn confirmation(claims: &Map<String, Value>) -> Result<Confirmation, AccessTokenError> {
    let mut confirmation = Confirmation::default();
    let members = match claims.get("cnf") {
        None => return Ok(confirmation),
        Some(Value::Object(members)) if !members.is_empty() => members,
        Some(_) => return Err(AccessTokenError::Confirmation),
    };
    for (name, value) in members {
        let hash = value.as_str().and_then(|text| from_base64url_array(text).ok());
        let hash = hash.ok_or(AccessTokenError::Confirmation)?;
        match name.as_str() {
            "jkt" => confirmation.jkt = Some(Thumbprint::from_bytes(hash)),
            "x5t#S256" => confirmation.certificate = Some(hash),
            _ => return Err(AccessTokenError::Confirmation),
        }
    }
    Ok(confirmation)
}
