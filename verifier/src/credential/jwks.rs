//! JSON Web Key Sets (RFC 7517 section 5), read strictly: every key is bound to the algorithms of its kind.

use base64ct::{Base64UrlUnpadded, Encoding};
use countersign_core::encoding::from_base64url_array;
use countersign_core::token::jose::strict_object;
use countersign_core::token::keys::{Algorithm, PublicKey};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use crate::crypto::VerifyingKey;

/// Longest key set, in bytes.
pub const MAX_JWKS: usize = 256 * 1024;
/// Most keys in one set.
pub const MAX_KEYS: usize = 64;
/// Longest `kid`, in bytes.
pub const MAX_KEY_ID: usize = 256;

/// Why a key set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksError {
    /// Larger than [`MAX_JWKS`], or more than [`MAX_KEYS`] keys.
    TooLarge,
    /// Not a JSON object with an array `keys` of objects.
    Malformed,
    /// Two usable keys with one `kid`.
    DuplicateKeyId,
    /// A key of a kind that we use, with its private part: somebody published a secret.
    PrivateKey,
}

impl JwksError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "jwks_too_large",
            Self::Malformed => "jwks_malformed",
            Self::DuplicateKeyId => "jwks_duplicate_kid",
            Self::PrivateKey => "jwks_private_key",
        }
    }
}

/// One usable key of a set.
pub struct JwksKey {
    /// `kid`; without one the key is used only if it is the set's single key.
    pub key_id: Option<String>,
    /// The key as our tokens use it, if it is P-256 or Ed25519.
    pub public_key: Option<PublicKey>,
    /// The JOSE algorithms that this key verifies: those of its kind, or the one its `alg` names.
    algorithms: Vec<jsonwebtoken::Algorithm>,
    verifier: Verifier,
}

/// What verifies with a key.
enum Verifier {
    /// P-256 and Ed25519: parsed once, not for each token.
    Parsed(VerifyingKey),
    /// The other kinds.
    Library(DecodingKey),
}

impl JwksKey {
    /// Verifies a compact JWS signature segment over its signing input; `algorithm` must be one of the key's.
    pub fn verifies(&self, algorithm: &str, signing_input: &str, signature: &str) -> bool {
        let Some(algorithm) = algorithm_of(algorithm).filter(|name| self.algorithms.contains(name)) else {
            return false;
        };
        let message = signing_input.as_bytes();
        match &self.verifier {
            Verifier::Parsed(key) => from_base64url_array::<64>(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Verifier::Library(key) => {
                matches!(jsonwebtoken::crypto::verify(signature, message, key, algorithm), Ok(true))
            }
        }
    }
}

/// The usable keys of a set. Keys of unknown kinds and of `use` other than `sig` are left out, as RFC 7517 asks.
pub struct Jwks {
    keys: Vec<JwksKey>,
}

impl Jwks {
    /// Reads a key set.
    ///
    /// # Errors
    /// As [`JwksError`]; the set is used whole or not at all.
    pub fn decode(json: &[u8]) -> Result<Self, JwksError> {
        if json.len() > MAX_JWKS {
            return Err(JwksError::TooLarge);
        }
        let document = strict_object(json).map_err(|_| JwksError::Malformed)?;
        let members = document.get("keys").and_then(Value::as_array).ok_or(JwksError::Malformed)?;
        if members.len() > MAX_KEYS {
            return Err(JwksError::TooLarge);
        }
        let mut keys: Vec<JwksKey> = Vec::new();
        for member in members {
            let object = member.as_object().ok_or(JwksError::Malformed)?;
            let Some(key) = decode_key(object)? else { continue };
            if key.key_id.is_some() && keys.iter().any(|other| other.key_id == key.key_id) {
                return Err(JwksError::DuplicateKeyId);
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// All usable keys.
    pub fn keys(&self) -> &[JwksKey] {
        &self.keys
    }

    /// The key that a token's `kid` names; a token without `kid` may only mean a set's single key.
    pub fn find(&self, key_id: Option<&str>) -> Option<&JwksKey> {
        match (key_id, self.keys.as_slice()) {
            (Some(key_id), keys) => keys.iter().find(|key| key.key_id.as_deref() == Some(key_id)),
            (None, [key]) => Some(key),
            (None, _) => None,
        }
    }
}

fn decode_key(object: &Map<String, Value>) -> Result<Option<JwksKey>, JwksError> {
    use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, PS256, RS256};

    let text = |name: &str| object.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|usage| usage != "sig") {
        return Ok(None);
    }
    if let Some(operations) = object.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|operation| operation == "verify")
    {
        return Ok(None);
    }
    let (kind, public_key, verifier): (&[jsonwebtoken::Algorithm], _, _) = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let (Some(n), Some(e)) = (text("n"), text("e")) else { return Err(JwksError::Malformed) };
            // RFC 7518 section 3.3: at least 2048 bits.
            let modulus = Base64UrlUnpadded::decode_vec(n).map_err(|_| JwksError::Malformed)?;
            if !(256..=1024).contains(&modulus.len()) {
                return Ok(None);
            }
            (&[RS256, PS256], None, DecodingKey::from_rsa_components(n, e).map(Verifier::Library))
        }
        (Some("EC"), Some("P-384")) => {
            let (Some(x), Some(y)) = (text("x"), text("y")) else { return Err(JwksError::Malformed) };
            (&[ES384], None, DecodingKey::from_ec_components(x, y).map(Verifier::Library))
        }
        (Some("EC"), Some("P-256")) | (Some("OKP"), Some("Ed25519")) => {
            use countersign_core::token::keys::KeyError;
            let key = PublicKey::from_jwk(object).map_err(|error| match error {
                KeyError::PrivateKey => JwksError::PrivateKey,
                _ => JwksError::Malformed,
            })?;
            let kind = match key.algorithm() {
                Algorithm::Esp256 => &[ES256],
                Algorithm::Ed25519 => &[EdDSA],
            };
            (kind, Some(key), Ok(Verifier::Parsed(VerifyingKey::new(key))))
        }
        _ => return Ok(None),
    };
    if ["d", "p", "q"].iter().any(|member| object.contains_key(*member)) {
        return Err(JwksError::PrivateKey);
    }
    let algorithms = match object.get("alg") {
        None => kind.to_vec(),
        Some(name) => match name.as_str().and_then(algorithm_of).filter(|name| kind.contains(name)) {
            Some(algorithm) => vec![algorithm],
            None => return Ok(None),
        },
    };
    let key_id = match object.get("kid") {
        None => None,
        Some(Value::String(key_id)) if key_id.len() <= MAX_KEY_ID => Some(key_id.clone()),
        Some(_) => return Err(JwksError::Malformed),
    };
    let verifier = verifier.map_err(|_| JwksError::Malformed)?;
    Ok(Some(JwksKey { key_id, public_key, algorithms, verifier }))
}

/// The algorithms that we know, by exact name; `Ed25519` is RFC 9864's name for what RFC 8037 calls `EdDSA`.
fn algorithm_of(name: &str) -> Option<jsonwebtoken::Algorithm> {
    use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    Some(match name {
        "ES256" => ES256,
        "ES384" => ES384,
        "EdDSA" | "Ed25519" => EdDSA,
        "RS256" => RS256,
        "PS256" => PS256,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn decode(keys: &str) -> Result<Vec<Option<String>>, JwksError> {
        let jwks = Jwks::decode(format!(r#"{{"keys":[{keys}]}}"#).as_bytes())?;
        Ok(jwks.keys.into_iter().map(|key| key.key_id).collect())
    }

    #[test]
    fn usable_keys_are_kept_and_others_left_out() {
        let with = |member: &str| ED.replace("\"kid\"", &format!("{member},\"kid\""));
        assert_eq!(decode(ED), Ok(vec![Some("a".to_owned())]));
        assert_eq!(decode(&with(r#""alg":"Ed25519""#)), Ok(vec![Some("a".to_owned())]));
        for left_out in [
            with(r#""use":"enc""#),
            with(r#""key_ops":["sign"]"#),
            with(r#""alg":"ES256""#),
            with(r#""alg":"none""#),
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            r#"{"kty":"EC","crv":"secp256k1","x":"","y":""}"#.to_owned(),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(),
        ] {
            assert_eq!(decode(&left_out), Ok(vec![]), "{left_out}");
        }
    }

    #[test]
    fn a_set_is_used_whole_or_not_at_all() {
        assert_eq!(decode(&format!("{ED},{ED}")), Err(JwksError::DuplicateKeyId));
        assert_eq!(decode(&ED.replace("\"kid\"", "\"d\":\"x\",\"kid\"")), Err(JwksError::PrivateKey));
        assert_eq!(decode(&ED.replace("11qY", "")), Err(JwksError::Malformed));
        assert_eq!(decode(&ED.replace("\"a\"", "1")), Err(JwksError::Malformed));
        assert_eq!(
            decode(&ED.replace("\"kid\"", "\"crv\":\"P-256\",\"kid\"")),
            Err(JwksError::Malformed),
            "twice"
        );
        assert_eq!(decode("1"), Err(JwksError::Malformed));
        assert_eq!(Jwks::decode(b"[]").err(), Some(JwksError::Malformed));
        assert_eq!(Jwks::decode(&vec![b' '; MAX_JWKS + 1]).err(), Some(JwksError::TooLarge));
        assert_eq!(decode(&vec!["{}"; MAX_KEYS + 1].join(",")), Err(JwksError::TooLarge));
    }

    #[test]
    fn without_a_kid_only_a_single_key_is_meant() {
        let one = Jwks::decode(format!(r#"{{"keys":[{ED}]}}"#).as_bytes()).unwrap();
        assert!(one.find(None).is_some() && one.find(Some("a")).is_some() && one.find(Some("A")).is_none());
        let two = ED.replace("\"a\"", "\"b\"");
        let two = Jwks::decode(format!(r#"{{"keys":[{ED},{two}]}}"#).as_bytes()).unwrap();
        assert!(two.find(None).is_none());
    }
}
