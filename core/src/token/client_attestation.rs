//! The client attestation: a JWT by which the attestation service vouches for an instance key
//! (draft-ietf-oauth-attestation-based-client-auth), and with our member `countersign` the result of the OAuth flavour.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::jose::{Jws, JwsError, UnsignedJwt, non_empty, seconds, typ, write_seconds};
use super::keys::{Algorithm, Jwk, KeyError, PublicKey, Thumbprint};
use super::result::{InstanceId, MAX_LIFETIME, Protection, ResultClaims, Tier, VouchedBy};
use super::trust_vector::TrustVector;
use crate::encoding::from_base64url_array;
use crate::time::Timestamp;

/// A client attestation: for the authorization server (`result` absent), or for resources.
#[derive(Clone, Debug)]
pub struct ClientAttestation<'a> {
    /// `iss`: the attestation service. The draft does not ask for it; edges select the key set by it.
    pub issuer: &'a str,
    /// `sub`: the OAuth `client_id`.
    pub client_id: &'a str,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `cnf.jwk`: the instance key.
    pub instance_key: &'a PublicKey,
    /// The member `countersign`, with which the JWT serves at a resource.
    pub result: Option<&'a ResultClaims>,
}

impl ClientAttestation<'_> {
    /// The JWT that the service signs with the ES256 key `key_id` (the `kid` of its JWKS).
    pub fn to_unsigned(&self, key_id: &str) -> UnsignedJwt {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'static str,
            typ: &'static str,
            kid: &'a str,
        }
        #[derive(Serialize)]
        struct Confirmation {
            jwk: Jwk,
        }
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            sub: &'a str,
            iat: u64,
            exp: u64,
            cnf: Confirmation,
            #[serde(skip_serializing_if = "Option::is_none")]
            countersign: Option<CountersignMember<'a>>,
        }
        UnsignedJwt::new(
            &Header { alg: Algorithm::Esp256.jose(), typ: typ::CLIENT_ATTESTATION, kid: key_id },
            &Claims {
                iss: self.issuer,
                sub: self.client_id,
                iat: self.issued_at.as_unix_seconds(),
                exp: self.expires_at.as_unix_seconds(),
                cnf: Confirmation { jwk: self.instance_key.to_jwk() },
                countersign: self.result.map(CountersignMember),
            },
        )
    }
}

/// The result's claims under their JWT names.
struct CountersignMember<'a>(&'a ResultClaims);

impl Serialize for CountersignMember<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Member<'a> {
            tier: u8,
            instance: String,
            instance_jkt: String,
            protection: u8,
            vouched_by: u8,
            evidence_time: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            app_version: Option<&'a str>,
            policy: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            labels: &'a [String],
            trust_vector: &'a TrustVector,
        }
        let claims = self.0;
        Member {
            tier: claims.tier.number(),
            instance: claims.instance.to_base64url(),
            instance_jkt: claims.instance_jkt.to_base64url(),
            protection: claims.protection.number(),
            vouched_by: claims.vouched_by.number(),
            evidence_time: claims.evidence_time.as_unix_seconds(),
            app_version: claims.app_version.as_deref(),
            policy: &claims.policy,
            labels: &claims.labels,
            trust_vector: &claims.trust_vector,
        }
        .serialize(serializer)
    }
}

/// Why a JWT is no client attestation that serves at a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAttestationError {
    /// Not a strictly encoded JWS.
    Encoding(JwsError),
    /// `typ` is another one.
    Typ,
    /// `alg` is not ES256, with which the service signs.
    Algorithm,
    /// No `kid`.
    KeyId,
    /// A required claim is missing or of the wrong type, or a restriction is present that the service never sets.
    Claims,
    /// It lives longer than [`MAX_LIFETIME`], or not at all: the one for the authorization server does.
    Lifetime,
    /// `cnf` is not one P-256 key under `jwk`.
    Confirmation(KeyError),
    /// No member `countersign`: it is meant for the authorization server.
    NoResult,
    /// The member `countersign` is malformed, or speaks of another key than `cnf`.
    Result,
}

impl ClientAttestationError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Typ => "client_attestation_typ",
            Self::Algorithm => "client_attestation_alg",
            Self::KeyId => "client_attestation_kid",
            Self::Claims => "client_attestation_claims",
            Self::Lifetime => "client_attestation_lifetime",
            Self::Confirmation(_) => "client_attestation_cnf",
            Self::NoResult => "client_attestation_without_result",
            Self::Result => "client_attestation_result",
        }
    }
}

/// A client attestation for a resource, taken apart.
pub struct DecodedClientAttestation<'a> {
    /// The signed JWT; its `kid` names the service's key.
    pub jws: Jws<'a>,
    /// What it claims, not authentic before the JWT verifies. `confirmation` is the instance key.
    pub claims: ResultClaims,
}

impl<'a> DecodedClientAttestation<'a> {
    /// Takes a client attestation apart: `typ`, `alg`, `kid`, every claim's type, that it lives at most
    /// [`MAX_LIFETIME`], and that result and `cnf` speak of the same key.
    ///
    /// # Errors
    /// The first deviation.
    pub fn decode(token: &'a str) -> Result<Self, ClientAttestationError> {
        use ClientAttestationError as Error;

        let jws = Jws::decode(token).map_err(Error::Encoding)?;
        if !jws.is_typ(typ::CLIENT_ATTESTATION) {
            return Err(Error::Typ);
        }
        if jws.algorithm() != Algorithm::Esp256.jose() {
            return Err(Error::Algorithm);
        }
        if jws.key_id().is_none_or(str::is_empty) {
            return Err(Error::KeyId);
        }
        // What would narrow its use is set by nobody; whoever sets it must not be misunderstood.
        if ["nbf", "aud"].iter().any(|member| jws.claims.contains_key(*member)) {
            return Err(Error::Claims);
        }
        let text = |name| non_empty(&jws.claims, name).ok_or(Error::Claims);
        let time = |name| seconds(&jws.claims, name).ok_or(Error::Claims);
        let (issuer, client_id) = (text("iss")?, text("sub")?);
        let (issued_at, expires_at) = (time("iat")?, time("exp")?);
        let Some(member) = jws.claims.get("countersign") else { return Err(Error::NoResult) };
        let lifetime = expires_at.as_unix_seconds().checked_sub(issued_at.as_unix_seconds());
        if !matches!(lifetime, Some(1..=MAX_LIFETIME)) {
            return Err(Error::Lifetime);
        }
        let confirmation = confirmation(&jws.claims).map_err(Error::Confirmation)?;
        let member = member.as_object().ok_or(Error::Result)?;
        let frame = Frame { issuer, client_id, issued_at, expires_at, confirmation };
        let claims = frame.with(member).ok_or(Error::Result)?;
        if claims.instance_jkt != confirmation.thumbprint() {
            return Err(Error::Result);
        }
        Ok(Self { jws, claims })
    }
}

/// The claims that every client attestation has.
struct Frame {
    issuer: String,
    client_id: String,
    issued_at: Timestamp,
    expires_at: Timestamp,
    confirmation: PublicKey,
}

impl Frame {
    /// The whole result, with the member `countersign`. Members that are not known say nothing that must be
    /// understood: whatever must be is a change of the JWT's `typ`.
    fn with(self, member: &Map<String, Value>) -> Option<ResultClaims> {
        let number = |name| u8::try_from(member.get(name)?.as_u64()?).ok();
        let optional = |name| match member.get(name) {
            None => Some(None),
            Some(_) => non_empty(member, name).map(Some),
        };
        let labels = match member.get("labels") {
            None => Vec::new(),
            Some(labels) => labels
                .as_array()?
                .iter()
                .map(|label| label.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        };
        let Self { issuer, client_id, issued_at, expires_at, confirmation } = self;
        Some(ResultClaims {
            issuer,
            client_id,
            issued_at,
            expires_at,
            confirmation,
            tier: Tier::from_number(number("tier")?)?,
            instance: InstanceId::from_base64url(member.get("instance")?.as_str()?).ok()?,
            instance_jkt: Thumbprint::from_bytes(
                from_base64url_array(member.get("instance_jkt")?.as_str()?).ok()?,
            ),
            protection: Protection::from_number(number("protection")?)?,
            vouched_by: VouchedBy::from_number(number("vouched_by")?)?,
            evidence_time: seconds(member, "evidence_time")?,
            app_version: optional("app_version")?,
            policy: member.get("policy")?.as_str()?.to_owned(),
            labels,
            trust_vector: TrustVector::from_json(member.get("trust_vector")?.as_object()?)?,
        })
    }
}

/// `cnf` of exactly one member, `jwk` (RFC 7800 section 3.2), holding a public P-256 key.
fn confirmation(claims: &Map<String, Value>) -> Result<PublicKey, KeyError> {
    let cnf = claims.get("cnf").and_then(Value::as_object).ok_or(KeyError::Malformed)?;
    let jwk = cnf.get("jwk").and_then(Value::as_object).filter(|_| cnf.len() == 1);
    let key = PublicKey::from_jwk(jwk.ok_or(KeyError::Malformed)?)?;
    if key.algorithm() == Algorithm::Esp256 { Ok(key) } else { Err(KeyError::UnsupportedType) }
}

/// The proof of possession that goes with a client attestation in the draft's normal mode.
#[derive(Clone, Debug, Serialize)]
pub struct ClientAttestationPop<'a> {
    /// `aud`: the authorization server's issuer, or the resource identifier.
    #[serde(rename = "aud")]
    pub audience: &'a str,
    /// `jti`: at least 96 random bits.
    #[serde(rename = "jti")]
    pub token_id: &'a str,
    /// `iat`.
    #[serde(rename = "iat", serialize_with = "write_seconds")]
    pub issued_at: Timestamp,
    /// `challenge`: the latest one the server gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<&'a str>,
}

impl ClientAttestationPop<'_> {
    /// The JWT that the instance key signs.
    pub fn to_unsigned(&self) -> UnsignedJwt {
        #[derive(Serialize)]
        struct Header {
            alg: &'static str,
            typ: &'static str,
        }
        UnsignedJwt::new(&Header { alg: Algorithm::Esp256.jose(), typ: typ::CLIENT_ATTESTATION_POP }, self)
    }
}

/// Why a JWT is no proof of possession for a client attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAttestationPopError {
    /// Not a strictly encoded JWS.
    Encoding(JwsError),
    /// `typ` is another one.
    Typ,
    /// `alg` is not ES256, the instance key's.
    Algorithm,
    /// A required claim is missing or of the wrong type, or a restriction is present that is not understood.
    Claims,
}

impl ClientAttestationPopError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Typ => "client_attestation_pop_typ",
            Self::Algorithm => "client_attestation_pop_alg",
            Self::Claims => "client_attestation_pop_claims",
        }
    }
}

/// A proof of possession taken apart. It says nothing of the request that it came with.
pub struct DecodedClientAttestationPop<'a> {
    /// The signed JWT; the client attestation's `cnf` key verifies it.
    pub jws: Jws<'a>,
    /// `aud`.
    pub audience: String,
    /// `jti`.
    pub token_id: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `challenge`.
    pub challenge: Option<String>,
}

impl<'a> DecodedClientAttestationPop<'a> {
    /// Takes a proof of possession apart. One audience as a string, as the draft has it; `iss`, which older drafts
    /// asked for, is ignored.
    ///
    /// # Errors
    /// The first deviation.
    pub fn decode(token: &'a str) -> Result<Self, ClientAttestationPopError> {
        use ClientAttestationPopError as Error;

        let jws = Jws::decode(token).map_err(Error::Encoding)?;
        if !jws.is_typ(typ::CLIENT_ATTESTATION_POP) {
            return Err(Error::Typ);
        }
        if jws.algorithm() != Algorithm::Esp256.jose() {
            return Err(Error::Algorithm);
        }
        if ["nbf", "exp"].iter().any(|member| jws.claims.contains_key(*member)) {
            return Err(Error::Claims);
        }
        let text = |name| non_empty(&jws.claims, name).ok_or(Error::Claims);
        let challenge = if jws.claims.contains_key("challenge") { Some(text("challenge")?) } else { None };
        Ok(Self {
            audience: text("aud")?,
            token_id: text("jti")?,
            issued_at: seconds(&jws.claims, "iat").ok_or(Error::Claims)?,
            challenge,
            jws,
        })
    }
}
