//! What a device sends to enrol or to renew, and what it gets back.
//!
//! The envelope is a COSE_Sign1 by the instance key: its signature is the key's proof of possession.

use minicbor::{Decoder, Encoder};
use serde::{Deserialize, Serialize};

use crate::binding::{Binding, Purpose};
use crate::cbor::{self, CborError, Never};
use crate::challenge::{Challenge, LENGTH as CHALLENGE_LENGTH};
use crate::token::cose::{Header, Sign1, Unsigned, typ};
use crate::token::keys::{Algorithm, InvalidSignature, PublicKey, SIGNATURE_LENGTH, VerifySignature};
use crate::token::result::{InstanceId, Protection};

/// Longest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 64 * 1024;
/// Longest issuer or `client_id`, in bytes.
pub const MAX_NAME: usize = 512;
/// Longest app version, in bytes.
pub const MAX_APP_VERSION: usize = 64;
/// Longest identifier of a development key, in bytes.
const MAX_KEY_ID: usize = 256;
/// Most certificates in one chain.
pub const MAX_CERTIFICATES: u64 = 10;

/// One piece of platform evidence, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A new App Attest key: the attestation object, and the key id (SHA-256 of the key).
    AppAttest {
        /// The CBOR that `attestKey` returned.
        attestation_object: Vec<u8>,
        /// 32 bytes.
        key_id: [u8; 32],
    },
    /// An assertion by the App Attest key that was registered at enrolment.
    AppAttestAssertion {
        /// The CBOR that `generateAssertion` returned.
        assertion: Vec<u8>,
    },
    /// An Android Key Attestation chain.
    AndroidKey {
        /// Certificates in DER, leaf first.
        chain: Vec<Vec<u8>>,
    },
    /// A Play Integrity token.
    PlayIntegrity {
        /// The token as Google Play returned it.
        token: String,
    },
    /// A signature over the binding hash by a key that an administrator registered for development.
    DevelopmentKey {
        /// Identifier of the registered key.
        key_id: String,
        /// ECDSA P-256, 64 bytes.
        signature: [u8; SIGNATURE_LENGTH],
    },
}

impl Evidence {
    /// The kind as it stands on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AppAttest { .. } => "app-attest",
            Self::AppAttestAssertion { .. } => "app-attest-assertion",
            Self::AndroidKey { .. } => "android-key",
            Self::PlayIntegrity { .. } => "play-integrity",
            Self::DevelopmentKey { .. } => "development-key",
        }
    }

    const fn platform(&self) -> u8 {
        match self {
            Self::AppAttest { .. } | Self::AppAttestAssertion { .. } => 0,
            Self::AndroidKey { .. } | Self::PlayIntegrity { .. } => 1,
            Self::DevelopmentKey { .. } => 2,
        }
    }
}

/// Prints the kind only: a Play Integrity token can be replayed, and a chain tells phones apart.
impl core::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Evidence({})", self.kind())
    }
}

/// What the envelope carries, the same at enrolment and renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The instance to renew; `None` enrols.
    pub instance: Option<InstanceId>,
    /// Issuer URL of the attestation service.
    pub issuer: String,
    /// The service's challenge.
    pub challenge: Challenge,
    /// The OAuth `client_id`.
    pub client_id: String,
    /// The durable key (P-256), which signs the envelope.
    pub instance_key: PublicKey,
    /// The key of the coming requests (Ed25519).
    pub session_key: PublicKey,
    /// Signature by the session key over the binding hash of purpose `possess`.
    pub possession: [u8; SIGNATURE_LENGTH],
    /// One platform's evidence, each kind at most once; may be empty at renewal.
    pub evidence: Vec<Evidence>,
    /// What the device sees of its own environment, as a set of bits.
    pub environment: u64,
    /// The app's version, as the app says.
    pub app_version: String,
    /// Where the instance key lives, as the app says. Counts only where the platform does not say it itself.
    pub protection: Protection,
}

impl Enrolment {
    /// Enrolment or renewal.
    pub const fn purpose(&self) -> Purpose {
        if self.instance.is_some() { Purpose::Renew } else { Purpose::Enrol }
    }

    /// The binding of these members for `purpose` with the keys that the table in [`Binding`] asks for.
    pub const fn binding(
        &self,
        purpose: Purpose,
        with_instance_key: bool,
        with_session_key: bool,
    ) -> Binding<'_> {
        Binding {
            purpose,
            issuer: self.issuer.as_str(),
            challenge: self.challenge.as_bytes(),
            client_id: self.client_id.as_str(),
            instance_key: if with_instance_key { Some(&self.instance_key) } else { None },
            session_key: if with_session_key { Some(&self.session_key) } else { None },
        }
    }

    /// The hash that the session key signs as proof of its possession.
    pub fn possession_hash(&self) -> [u8; 32] {
        self.binding(Purpose::Possess, true, true).hash()
    }

    /// Checks the session key's proof of possession.
    ///
    /// # Errors
    /// [`InvalidSignature`].
    pub fn verify_possession(&self, verifier: &impl VerifySignature) -> Result<(), InvalidSignature> {
        verifier.verify(&self.session_key, &self.possession_hash(), &self.possession)
    }

    /// The envelope that the instance key signs.
    pub fn to_unsigned(&self) -> Unsigned {
        let header = Header { algorithm: Algorithm::Esp256, key_id: None, typ: typ::ENROLMENT };
        let mut payload = Vec::with_capacity(8192);
        let written = self.encode(&mut Encoder::new(&mut payload));
        debug_assert!(written.is_ok());
        Unsigned::new(&header, payload)
    }

    fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        e.map(11 + u64::from(self.instance.is_some()))?;
        e.u8(1)?.str(self.purpose().as_str())?;
        e.u8(2)?.str(&self.issuer)?;
        e.u8(3)?.bytes(self.challenge.as_bytes())?;
        e.u8(4)?.str(&self.client_id)?;
        e.u8(5)?;
        self.instance_key.encode_cose(e);
        e.u8(6)?;
        self.session_key.encode_cose(e);
        e.u8(7)?.bytes(&self.possession)?;
        e.u8(8)?.array(self.evidence.len() as u64)?;
        for evidence in &self.evidence {
            encode_evidence(evidence, e)?;
        }
        e.u8(9)?.u64(self.environment)?;
        e.u8(10)?.str(&self.app_version)?;
        if let Some(instance) = &self.instance {
            e.u8(11)?.bytes(instance.as_bytes())?;
        }
        e.u8(12)?.u8(self.protection.number())?;
        Ok(())
    }
}

/// An envelope taken apart: what it says, and the message whose signature is still to be verified.
pub struct DecodedEnrolment<'a> {
    /// The signed message. At enrolment the key it carries verifies it; at renewal the registered key does.
    pub message: Sign1<'a>,
    /// What it says, not authentic before the message verifies.
    pub enrolment: Enrolment,
}

impl<'a> DecodedEnrolment<'a> {
    /// Takes an envelope apart: size, shape, `typ`, key types, and that the evidence is of one platform, each kind
    /// at most once.
    ///
    /// # Errors
    /// The first deviation.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(CborError::Unexpected);
        }
        let message = Sign1::decode(bytes)?;
        let header = message.header();
        if header.typ != typ::ENROLMENT || header.algorithm != Algorithm::Esp256 || header.key_id.is_some() {
            return Err(CborError::Unexpected);
        }
        Ok(Self { message, enrolment: decode_payload(&mut Decoder::new(message.payload()))? })
    }
}

/// What the service answers an enrolment or renewal with. Members of a later version are ignored, so that phones
/// with an older app keep working.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrolmentAnswer {
    /// The client instance, base64url of 16 bytes.
    pub instance_id: String,
    /// The compact result, base64url: the value of `Attestation-Result`.
    pub result: String,
    /// The client attestation JWT for the authorization server.
    pub client_attestation_as: String,
    /// The client attestation JWT for resources.
    pub client_attestation_rs: String,
    /// Seconds after which to renew.
    pub renew_after: u64,
    /// The service's clock, seconds since the epoch.
    pub server_time: u64,
    /// The challenge for the next renewal, base64url.
    pub next_challenge: String,
}

/// The answer to a request for a challenge; member names of the OAuth draft.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChallengeAnswer {
    /// The challenge, base64url.
    pub attestation_challenge: String,
    /// Seconds for which it is good.
    pub expires_in: u64,
    /// The service's clock, seconds since the epoch.
    pub server_time: u64,
}

/// The one thing that may cure a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// Ask for a new challenge and try again, later.
    Retry,
    /// Enrol anew with fresh keys and evidence.
    ReEnrol,
    /// Only another version of the app can pass.
    UpdateApp,
}

/// A refusal by the service (RFC 9457): public code, reference for support, cure; never the precise reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `type`: a stable URI of the public code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status once more.
    pub status: u16,
    /// One sentence for a person.
    pub title: String,
    /// Eight characters under which the service keeps every reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<String>,
    /// What may help, if anything does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cure: Option<Cure>,
}

fn encode_evidence(
    evidence: &Evidence,
    e: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<Never>> {
    match evidence {
        Evidence::AppAttest { attestation_object, key_id } => {
            e.array(3)?.str(evidence.kind())?.bytes(attestation_object)?.bytes(key_id)?;
        }
        Evidence::AppAttestAssertion { assertion } => {
            e.array(2)?.str(evidence.kind())?.bytes(assertion)?;
        }
        Evidence::AndroidKey { chain } => {
            e.array(2)?.str(evidence.kind())?.array(chain.len() as u64)?;
            for certificate in chain {
                e.bytes(certificate)?;
            }
        }
        Evidence::PlayIntegrity { token } => {
            e.array(2)?.str(evidence.kind())?.str(token)?;
        }
        Evidence::DevelopmentKey { key_id, signature } => {
            e.array(3)?.str(evidence.kind())?.str(key_id)?.bytes(signature)?;
        }
    }
    Ok(())
}

fn decode_payload(d: &mut Decoder<'_>) -> Result<Enrolment, CborError> {
    let members = d.map()?.ok_or(CborError::Unexpected)?;
    let (mut purpose, mut issuer, mut challenge, mut client_id) = (None, None, None, None);
    let (mut instance_key, mut session_key, mut possession, mut evidence) = (None, None, None, None);
    let (mut environment, mut app_version, mut instance, mut protection) = (None, None, None, None);
    for _ in 0..members {
        match d.u8()? {
            1 => purpose = Some(d.str()?),
            2 => issuer = Some(text(d, MAX_NAME)?),
            3 => {
                let bytes: [u8; CHALLENGE_LENGTH] = cbor::bytes_array(d)?;
                challenge = Some(Challenge::from_bytes(&bytes).map_err(|_| CborError::Unexpected)?);
            }
            4 => client_id = Some(text(d, MAX_NAME)?),
            5 => instance_key = Some(decode_key(d, Algorithm::Esp256)?),
            6 => session_key = Some(decode_key(d, Algorithm::Ed25519)?),
            7 => possession = Some(cbor::bytes_array(d)?),
            8 => evidence = Some(decode_evidence_list(d)?),
            9 => environment = Some(d.u64()?),
            10 => app_version = Some(text(d, MAX_APP_VERSION)?),
            11 => instance = Some(InstanceId::from_bytes(cbor::bytes_array(d)?)),
            12 => protection = Some(Protection::from_number(d.u8()?).ok_or(CborError::Unexpected)?),
            _ => return Err(CborError::UnknownCritical),
        }
    }
    let missing = CborError::Missing;
    let enrolment = Enrolment {
        instance,
        issuer: issuer.ok_or(missing)?,
        challenge: challenge.ok_or(missing)?,
        client_id: client_id.ok_or(missing)?,
        instance_key: instance_key.ok_or(missing)?,
        session_key: session_key.ok_or(missing)?,
        possession: possession.ok_or(missing)?,
        evidence: evidence.ok_or(missing)?,
        environment: environment.ok_or(missing)?,
        app_version: app_version.ok_or(missing)?,
        protection: protection.ok_or(missing)?,
    };
    // The purpose is said, and follows from the instance id: both must say the same.
    if purpose.ok_or(missing)? != enrolment.purpose().as_str() {
        return Err(CborError::Unexpected);
    }
    Ok(enrolment)
}

/// What is stored or logged is short, and breaks no line.
fn text(d: &mut Decoder<'_>, longest: usize) -> Result<String, CborError> {
    let text = d.str()?;
    if text.len() > longest || text.chars().any(char::is_control) {
        return Err(CborError::Unexpected);
    }
    Ok(text.to_owned())
}

fn decode_key(d: &mut Decoder<'_>, algorithm: Algorithm) -> Result<PublicKey, CborError> {
    match PublicKey::decode_cose(d) {
        Ok(key) if key.algorithm() == algorithm => Ok(key),
        _ => Err(CborError::Unexpected),
    }
}

fn decode_evidence_list(d: &mut Decoder<'_>) -> Result<Vec<Evidence>, CborError> {
    let mut list: Vec<Evidence> = Vec::new();
    for _ in 0..d.array()?.ok_or(CborError::Unexpected)? {
        let evidence = decode_evidence(d)?;
        let fits =
            |other: &Evidence| other.platform() == evidence.platform() && other.kind() != evidence.kind();
        if !list.iter().all(fits) {
            return Err(CborError::Unexpected);
        }
        list.push(evidence);
    }
    Ok(list)
}

fn decode_evidence(d: &mut Decoder<'_>) -> Result<Evidence, CborError> {
    let members = d.array()?.ok_or(CborError::Unexpected)?;
    Ok(match (d.str()?, members) {
        ("app-attest", 3) => {
            Evidence::AppAttest { attestation_object: d.bytes()?.to_vec(), key_id: cbor::bytes_array(d)? }
        }
        ("app-attest-assertion", 2) => Evidence::AppAttestAssertion { assertion: d.bytes()?.to_vec() },
        ("android-key", 2) => {
            let certificates = d.array()?.ok_or(CborError::Unexpected)?;
            if certificates > MAX_CERTIFICATES {
                return Err(CborError::Unexpected);
            }
            let chain = (0..certificates).map(|_| d.bytes().map(<[u8]>::to_vec));
            Evidence::AndroidKey { chain: chain.collect::<Result<_, _>>()? }
        }
        ("play-integrity", 2) => Evidence::PlayIntegrity { token: d.str()?.to_owned() },
        ("development-key", 3) => {
            Evidence::DevelopmentKey { key_id: text(d, MAX_KEY_ID)?, signature: cbor::bytes_array(d)? }
        }
        _ => return Err(CborError::Unexpected),
    })
}
