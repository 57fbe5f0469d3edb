//! The DPoP proof (RFC 9449), with two members of ours: what the instance key signs for one request.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::jose::{Jws, JwsError, UnsignedJwt, non_empty, seconds, typ, write_seconds};
use super::keys::{Jwk, KeyError, PublicKey};
use crate::encoding::{base64url, from_base64url_array};
use crate::time::Timestamp;

/// Longest `jti`, in bytes: it is kept until it cannot come again.
const MAX_TOKEN_ID: usize = 256;

/// A DPoP proof (RFC 9449 section 4.2) with our two optional members for query and body.
#[derive(Clone, Debug, Serialize)]
pub struct DpopProof<'a> {
    /// `jti`: at least 96 random bits.
    #[serde(rename = "jti")]
    pub token_id: &'a str,
    /// `htm`.
    #[serde(rename = "htm")]
    pub method: &'a str,
    /// `htu`: the target URI without query and fragment.
    #[serde(rename = "htu")]
    pub target: &'a str,
    /// `iat`.
    #[serde(rename = "iat", serialize_with = "write_seconds")]
    pub issued_at: Timestamp,
    /// `nonce`: the latest one the server gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// `ath`: SHA-256 of the access token.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "hash")]
    pub ath: Option<[u8; 32]>,
    /// `countersign_query`: SHA-256 of the raw query.
    #[serde(rename = "countersign_query", skip_serializing_if = "Option::is_none", serialize_with = "hash")]
    pub query: Option<[u8; 32]>,
    /// `countersign_content`: SHA-256 of the body.
    #[serde(
        rename = "countersign_content",
        skip_serializing_if = "Option::is_none",
        serialize_with = "hash"
    )]
    pub content: Option<[u8; 32]>,
}

impl DpopProof<'_> {
    /// The JWT that `key` signs; its header carries the public key.
    pub fn to_unsigned(&self, key: &PublicKey) -> UnsignedJwt {
        #[derive(Serialize)]
        struct Header {
            alg: &'static str,
            typ: &'static str,
            jwk: Jwk,
        }
        UnsignedJwt::new(&Header { alg: key.algorithm().jose(), typ: typ::DPOP, jwk: key.to_jwk() }, self)
    }
}

/// Why a JWT is no DPoP proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DpopError {
    /// Not a strictly encoded JWS.
    Encoding(JwsError),
    /// `typ` is another one.
    Typ,
    /// `alg` is not that of the key, or one that we do not take.
    Algorithm,
    /// `jwk` is missing, private, or no key that we take.
    Key(KeyError),
    /// A required claim is missing or of the wrong type.
    Claims,
}

impl DpopError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Typ => "dpop_typ",
            Self::Algorithm => "dpop_alg",
            Self::Key(_) => "dpop_jwk",
            Self::Claims => "dpop_claims",
        }
    }
}

/// A DPoP proof taken apart: steps 3 to 7 of RFC 9449 section 4.3, but for the signature itself.
pub struct DecodedDpop<'a> {
    /// The signed JWT; `key` verifies it, and says nothing by itself.
    pub jws: Jws<'a>,
    /// `jwk`: the key that it says to be signed with.
    pub key: PublicKey,
    /// `jti`.
    pub token_id: String,
    /// `htm`.
    pub method: String,
    /// `htu`.
    pub target: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `nonce`.
    pub nonce: Option<String>,
    /// `ath`.
    pub ath: Option<[u8; 32]>,
    /// `countersign_query`.
    pub query: Option<[u8; 32]>,
    /// `countersign_content`.
    pub content: Option<[u8; 32]>,
}

impl<'a> DecodedDpop<'a> {
    /// Takes a DPoP proof apart: header, key, and every claim's type.
    ///
    /// # Errors
    /// The first deviation.
    pub fn decode(token: &'a str) -> Result<Self, DpopError> {
        let jws = Jws::decode(token).map_err(DpopError::Encoding)?;
        if !jws.is_typ(typ::DPOP) {
            return Err(DpopError::Typ);
        }
        let jwk = jws.header.get("jwk").and_then(Value::as_object);
        let key =
            PublicKey::from_jwk(jwk.ok_or(DpopError::Key(KeyError::Malformed))?).map_err(DpopError::Key)?;
        if jws.algorithm() != key.algorithm().jose() {
            return Err(DpopError::Algorithm);
        }
        let claims = &jws.claims;
        let text = |name| non_empty(claims, name).ok_or(DpopError::Claims);
        let token_id = text("jti")?;
        if token_id.len() > MAX_TOKEN_ID {
            return Err(DpopError::Claims);
        }
        Ok(Self {
            key,
            token_id,
            method: text("htm")?,
            target: text("htu")?,
            issued_at: seconds(claims, "iat").ok_or(DpopError::Claims)?,
            nonce: if claims.contains_key("nonce") { Some(text("nonce")?) } else { None },
            ath: optional_hash(claims, "ath")?,
            query: optional_hash(claims, "countersign_query")?,
            content: optional_hash(claims, "countersign_content")?,
            jws,
        })
    }
}

fn optional_hash(claims: &Map<String, Value>, name: &str) -> Result<Option<[u8; 32]>, DpopError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let hash = value.as_str().and_then(|text| from_base64url_array(text).ok());
    hash.map(Some).ok_or(DpopError::Claims)
}

fn hash<S: Serializer>(hash: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.as_ref().map(|hash| base64url(hash)).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dpop_proof_carries_the_public_key_only() {
        let key = PublicKey::from_ed25519(
            ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes(),
        )
        .unwrap();
        let proof = DpopProof {
            token_id: "id",
            method: "GET",
            target: "https://api.example/a",
            issued_at: Timestamp::from_unix_seconds(1),
            nonce: None,
            ath: Some([0; 32]),
            query: None,
            content: None,
        };
        let token = proof.to_unsigned(&key).with_signature(&[0; 64]);
        let jws = Jws::decode(&token).unwrap();
        let jwk = jws.header["jwk"].as_object().unwrap();
        assert_eq!(PublicKey::from_jwk(jwk), Ok(key));
        assert_eq!(jws.claims["ath"], base64url(&[0; 32]));
        assert!(!jws.claims.contains_key("nonce") && jws.is_typ("dpop+jwt"));
    }
}
