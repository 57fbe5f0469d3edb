//! The result: what the attestation service says of one client instance, for at most ten minutes.

use minicbor::{Decoder, Encoder};
use serde::Serialize;

use super::cose::{Header, Sign1, Unsigned, typ};
use super::keys::{Algorithm, PublicKey, Thumbprint};
use super::trust_vector::TrustVector;
use crate::cbor::{self, CborError, Never};
use crate::time::Timestamp;

/// Longest life of a result, in seconds.
pub const MAX_LIFETIME: u64 = 600;

/// Claim keys of the result. Those from -66499 to -66001 are critical: whoever does not know one refuses.
mod claim {
    pub(super) const ISS: i64 = 1;
    pub(super) const SUB: i64 = 2;
    pub(super) const EXP: i64 = 4;
    pub(super) const IAT: i64 = 6;
    pub(super) const CNF: i64 = 8;
    pub(super) const TIER: i64 = -66001;
    pub(super) const INSTANCE: i64 = -66002;
    pub(super) const INSTANCE_JKT: i64 = -66003;
    pub(super) const PROTECTION: i64 = -66004;
    pub(super) const VOUCHED_BY: i64 = -66005;
    pub(super) const EVIDENCE_TIME: i64 = -66006;
    pub(super) const APP_VERSION: i64 = -66501;
    pub(super) const POLICY: i64 = -66502;
    pub(super) const LABELS: i64 = -66503;
    pub(super) const TRUST_VECTOR: i64 = -66504;
}

/// Whether a claim key belongs to the block that must be understood.
pub(crate) const fn is_critical(key: i64) -> bool {
    -66499 <= key && key <= -66001
}

/// How far an appraisal trusts an instance (AR4SI tiers). `contraindicated` (96) is never issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// 32: something of note was found, which the policy lets pass.
    Warning,
    /// 2: all that the policy demands was found.
    Affirming,
}

/// Where the instance key lives, as far as evidence or the attested app says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// 0: in the app's memory or files.
    Software,
    /// 1: in a trusted execution environment.
    Tee,
    /// 2: in a StrongBox secure element.
    Strongbox,
    /// 3: in Apple's Secure Enclave.
    SecureEnclave,
}

/// Who says that the instance key is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VouchedBy {
    /// 1: the platform attested this very key.
    Platform,
    /// 2: an attested app named it in its client data.
    AttestedApp,
    /// 3: a developer registered it; never in production.
    Developer,
}

macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal),+ }) => {
        impl $name {
            /// The number on the wire.
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }

            /// The value of a number on the wire; `None` for any other number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
numbered!(Tier { Affirming = 2, Warning = 32 });
numbered!(Protection { Software = 0, Tee = 1, Strongbox = 2, SecureEnclave = 3 });
numbered!(VouchedBy { Platform = 1, AttestedApp = 2, Developer = 3 });

/// Identifier of one client instance: 16 random bytes, made by the service, another one for each `client_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// An identifier from its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The identifier as it stands in URLs, JSON and header fields: base64url, 22 characters.
    pub fn to_base64url(&self) -> String {
        crate::encoding::base64url(&self.0)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Anything but unpadded base64url of 16 bytes.
    pub fn from_base64url(text: &str) -> Result<Self, crate::encoding::InvalidBase64Url> {
        crate::encoding::from_base64url_array(text).map(Self)
    }
}

/// The claims of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultClaims {
    /// `iss`: the attestation service's issuer URL.
    pub issuer: String,
    /// `sub`: the OAuth `client_id` of the app.
    pub client_id: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`: at most [`MAX_LIFETIME`] seconds after `issued_at`.
    pub expires_at: Timestamp,
    /// `cnf`: the key whose signature makes a proof; in the compact flavour the session key (Ed25519).
    pub confirmation: PublicKey,
    /// The appraisal's tier.
    pub tier: Tier,
    /// The client instance.
    pub instance: InstanceId,
    /// Thumbprint of the instance key, to be compared with an access token's `cnf.jkt`.
    pub instance_jkt: Thumbprint,
    /// Where the instance key lives.
    pub protection: Protection,
    /// Who says so.
    pub vouched_by: VouchedBy,
    /// When platform evidence was last verified.
    pub evidence_time: Timestamp,
    /// The app's version, where known.
    pub app_version: Option<String>,
    /// Id and version of the policy that appraised.
    pub policy: String,
    /// Labels that the policy chose to show to edges.
    pub labels: Vec<String>,
    /// What the appraisal found, in the field's vocabulary; never worse than `tier`.
    pub trust_vector: TrustVector,
}

/// A result taken apart: its claims, and the message whose signature is still to be verified.
pub struct DecodedResult<'a> {
    /// The signed message; its `kid` names the service's key.
    pub message: Sign1<'a>,
    /// What it claims, not authentic before the message verifies.
    pub claims: ResultClaims,
}

impl ResultClaims {
    /// The message that the service signs with the Ed25519 key `key_id` (the `kid` of its JWKS).
    pub fn to_unsigned(&self, key_id: &str) -> Unsigned {
        let header =
            Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: typ::RESULT };
        let mut payload = Vec::with_capacity(320);
        let written = self.encode(&mut Encoder::new(&mut payload));
        debug_assert!(written.is_ok());
        Unsigned::new(&header, payload)
    }

    fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        let optional = u64::from(self.app_version.is_some()) + u64::from(!self.labels.is_empty());
        e.map(13 + optional)?;
        e.i64(claim::ISS)?.str(&self.issuer)?.i64(claim::SUB)?.str(&self.client_id)?;
        e.i64(claim::EXP)?.u64(self.expires_at.as_unix_seconds())?;
        e.i64(claim::IAT)?.u64(self.issued_at.as_unix_seconds())?;
        e.i64(claim::CNF)?.map(1)?.u8(1)?;
        self.confirmation.encode_cose(e);
        e.i64(claim::TIER)?.u8(self.tier.number())?;
        e.i64(claim::INSTANCE)?.bytes(self.instance.as_bytes())?;
        e.i64(claim::INSTANCE_JKT)?.bytes(self.instance_jkt.as_bytes())?;
        e.i64(claim::PROTECTION)?.u8(self.protection.number())?;
        e.i64(claim::VOUCHED_BY)?.u8(self.vouched_by.number())?;
        e.i64(claim::EVIDENCE_TIME)?.u64(self.evidence_time.as_unix_seconds())?;
        if let Some(version) = &self.app_version {
            e.i64(claim::APP_VERSION)?.str(version)?;
        }
        e.i64(claim::POLICY)?.str(&self.policy)?;
        if !self.labels.is_empty() {
            e.i64(claim::LABELS)?.array(self.labels.len() as u64)?;
            for label in &self.labels {
                e.str(label)?;
            }
        }
        e.i64(claim::TRUST_VECTOR)?;
        self.trust_vector.encode(e)
    }
}

impl<'a> DecodedResult<'a> {
    /// Takes a result apart: shape, `typ`, `kid` and every claim's type, and that `exp - iat` is at most
    /// [`MAX_LIFETIME`]. Whether it is authentic and current is the caller's next question.
    ///
    /// # Errors
    /// The first deviation; an unknown critical claim is one.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let message = Sign1::decode(bytes)?;
        let header = message.header();
        if header.typ != typ::RESULT || header.algorithm != Algorithm::Ed25519 {
            return Err(CborError::Unexpected);
        }
        if header.key_id.is_none() {
            return Err(CborError::Missing);
        }
        let claims = decode_claims(&mut Decoder::new(message.payload()))?;
        let lifetime = claims.expires_at.as_unix_seconds().checked_sub(claims.issued_at.as_unix_seconds());
        match lifetime {
            Some(1..=MAX_LIFETIME) => Ok(Self { message, claims }),
            _ => Err(CborError::Unexpected),
        }
    }
}

fn decode_claims(d: &mut Decoder<'_>) -> Result<ResultClaims, CborError> {
    let members = d.map()?.ok_or(CborError::Unexpected)?;
    let (mut issuer, mut client_id, mut expires_at, mut issued_at) = (None, None, None, None);
    let (mut confirmation, mut tier, mut instance, mut instance_jkt) = (None, None, None, None);
    let (mut protection, mut vouched_by, mut evidence_time) = (None, None, None);
    let (mut app_version, mut policy, mut labels) = (None, None, Vec::new());
    let mut trust_vector = TrustVector::default();
    for _ in 0..members {
        match d.i64()? {
            claim::ISS => issuer = Some(d.str()?.to_owned()),
            claim::SUB => client_id = Some(d.str()?.to_owned()),
            claim::EXP => expires_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
            claim::IAT => issued_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
            claim::CNF => confirmation = Some(decode_confirmation(d)?),
            claim::TIER => tier = Some(number(d, Tier::from_number)?),
            claim::INSTANCE => instance = Some(InstanceId(cbor::bytes_array(d)?)),
            claim::INSTANCE_JKT => instance_jkt = Some(Thumbprint::from_bytes(cbor::bytes_array(d)?)),
            claim::PROTECTION => protection = Some(number(d, Protection::from_number)?),
            claim::VOUCHED_BY => vouched_by = Some(number(d, VouchedBy::from_number)?),
            claim::EVIDENCE_TIME => evidence_time = Some(Timestamp::from_unix_seconds(d.u64()?)),
            claim::APP_VERSION => app_version = Some(d.str()?.to_owned()),
            claim::POLICY => policy = Some(d.str()?.to_owned()),
            claim::LABELS => {
                for _ in 0..d.array()?.ok_or(CborError::Unexpected)? {
                    labels.push(d.str()?.to_owned());
                }
            }
            claim::TRUST_VECTOR => trust_vector = TrustVector::decode(d)?,
            unknown if is_critical(unknown) => return Err(CborError::UnknownCritical),
            _ => d.skip()?,
        }
    }
    let missing = CborError::Missing;
    Ok(ResultClaims {
        issuer: issuer.ok_or(missing)?,
        client_id: client_id.ok_or(missing)?,
        issued_at: issued_at.ok_or(missing)?,
        expires_at: expires_at.ok_or(missing)?,
        confirmation: confirmation.ok_or(missing)?,
        tier: tier.ok_or(missing)?,
        instance: instance.ok_or(missing)?,
        instance_jkt: instance_jkt.ok_or(missing)?,
        protection: protection.ok_or(missing)?,
        vouched_by: vouched_by.ok_or(missing)?,
        evidence_time: evidence_time.ok_or(missing)?,
        app_version,
        policy: policy.ok_or(missing)?,
        labels,
        trust_vector,
    })
}

/// `cnf` of exactly one member, COSE_Key (RFC 8747 section 3.2), holding an Ed25519 key.
fn decode_confirmation(d: &mut Decoder<'_>) -> Result<PublicKey, CborError> {
    if d.map()? != Some(1) || d.u8()? != 1 {
        return Err(CborError::Unexpected);
    }
    match PublicKey::decode_cose(d) {
        Ok(key) if key.algorithm() == Algorithm::Ed25519 => Ok(key),
        _ => Err(CborError::Unexpected),
    }
}

fn number<T>(d: &mut Decoder<'_>, from_number: impl Fn(u8) -> Option<T>) -> Result<T, CborError> {
    from_number(d.u8()?).ok_or(CborError::Unexpected)
}
