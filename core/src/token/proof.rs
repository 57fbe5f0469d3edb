//! The proof: what the session key signs for one request, bound to the result and to that request.

use minicbor::{Decoder, Encoder};

use super::cose::{Header, Sign1, Unsigned, typ};
use super::keys::Algorithm;
use super::result::is_critical;
use crate::cbor::{self, CborError, Never};
use crate::time::Timestamp;

/// Claim keys of the proof.
mod claim {
    pub(super) const AUD: i64 = 3;
    pub(super) const IAT: i64 = 6;
    pub(super) const CTI: i64 = 7;
    pub(super) const CNONCE: i64 = 39;
    pub(super) const RESULT: i64 = -66020;
    pub(super) const ATH: i64 = -66021;
    pub(super) const HTM: i64 = -66022;
    pub(super) const HTU: i64 = -66023;
    pub(super) const QUERY: i64 = -66024;
    pub(super) const CONTENT: i64 = -66025;
    pub(super) const ENVIRONMENT: i64 = -66520;
}

/// The claims of a proof. Hashes are SHA-256, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofClaims<'a> {
    /// `aud`: the RFC 9728 resource identifier.
    pub audience: &'a str,
    /// `iat` by the device's clock, corrected by what the service told it.
    pub issued_at: Timestamp,
    /// `cti`: 12 to 16 random bytes; unique per session key.
    pub token_id: &'a [u8],
    /// `cnonce`: the decoded nonce of the edge, when it gave one.
    pub nonce: Option<&'a [u8]>,
    /// Hash of the result's COSE bytes.
    pub result: [u8; 32],
    /// Hash of the credential's characters (access token or API key); present exactly when the request has one.
    pub ath: Option<[u8; 32]>,
    /// `htm`: the method, case-sensitive.
    pub method: &'a str,
    /// `htu`: the target URI without query and fragment.
    pub target: &'a str,
    /// Hash of the raw query; present exactly when the URI has a `?`.
    pub query: Option<[u8; 32]>,
    /// Hash of the body's bytes before content decoding.
    pub content: Option<[u8; 32]>,
    /// What the device sees of its own environment now, as a set of bits; it can only lower trust.
    pub environment: Option<u64>,
}

/// A proof taken apart: its claims, and the message whose signature is still to be verified.
#[derive(Clone, Copy)]
pub struct DecodedProof<'a> {
    /// The signed message; the result's `cnf` key verifies it.
    pub message: Sign1<'a>,
    /// What it claims, not authentic before the message verifies.
    pub claims: ProofClaims<'a>,
}

impl ProofClaims<'_> {
    /// The message that the session key signs.
    pub fn to_unsigned(&self) -> Unsigned {
        let header = Header { algorithm: Algorithm::Ed25519, key_id: None, typ: typ::PROOF };
        let mut payload = Vec::with_capacity(384);
        let written = self.encode(&mut Encoder::new(&mut payload));
        debug_assert!(written.is_ok());
        Unsigned::new(&header, payload)
    }

    fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        let optional = [
            self.nonce.is_some(),
            self.ath.is_some(),
            self.query.is_some(),
            self.content.is_some(),
            self.environment.is_some(),
        ];
        e.map(6 + optional.into_iter().map(u64::from).sum::<u64>())?;
        e.i64(claim::AUD)?.str(self.audience)?;
        e.i64(claim::IAT)?.u64(self.issued_at.as_unix_seconds())?;
        e.i64(claim::CTI)?.bytes(self.token_id)?;
        if let Some(nonce) = self.nonce {
            e.i64(claim::CNONCE)?.bytes(nonce)?;
        }
        e.i64(claim::RESULT)?.bytes(&self.result)?;
        if let Some(ath) = &self.ath {
            e.i64(claim::ATH)?.bytes(ath)?;
        }
        e.i64(claim::HTM)?.str(self.method)?;
        e.i64(claim::HTU)?.str(self.target)?;
        if let Some(query) = &self.query {
            e.i64(claim::QUERY)?.bytes(query)?;
        }
        if let Some(content) = &self.content {
            e.i64(claim::CONTENT)?.bytes(content)?;
        }
        if let Some(environment) = self.environment {
            e.i64(claim::ENVIRONMENT)?.u64(environment)?;
        }
        Ok(())
    }
}

impl<'a> DecodedProof<'a> {
    /// Takes a proof apart, without allocating: shape, `typ`, absent `kid`, and every claim's type and length.
    ///
    /// # Errors
    /// The first deviation; `iss`, `sub` and unknown critical claims are deviations.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let message = Sign1::decode(bytes)?;
        let header = message.header();
        if header.typ != typ::PROOF || header.algorithm != Algorithm::Ed25519 || header.key_id.is_some() {
            return Err(CborError::Unexpected);
        }
        Ok(Self { message, claims: decode_claims(&mut Decoder::new(message.payload()))? })
    }
}

fn decode_claims<'a>(d: &mut Decoder<'a>) -> Result<ProofClaims<'a>, CborError> {
    let members = d.map()?.ok_or(CborError::Unexpected)?;
    let (mut audience, mut issued_at, mut token_id, mut nonce) = (None, None, None, None);
    let (mut result, mut ath, mut method, mut target) = (None, None, None, None);
    let (mut query, mut content, mut environment) = (None, None, None);
    for _ in 0..members {
        match d.i64()? {
            claim::AUD => audience = Some(d.str()?),
            claim::IAT => issued_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
            claim::CTI => token_id = Some(d.bytes()?),
            claim::CNONCE => nonce = Some(d.bytes()?),
            claim::RESULT => result = Some(cbor::bytes_array(d)?),
            claim::ATH => ath = Some(cbor::bytes_array(d)?),
            claim::HTM => method = Some(d.str()?),
            claim::HTU => target = Some(d.str()?),
            claim::QUERY => query = Some(cbor::bytes_array(d)?),
            claim::CONTENT => content = Some(cbor::bytes_array(d)?),
            claim::ENVIRONMENT => environment = Some(d.u64()?),
            // Who the proof speaks for is said by the result alone (draft-ietf-spice-sd-cwt).
            1 | 2 => return Err(CborError::Unexpected),
            unknown if is_critical(unknown) => return Err(CborError::UnknownCritical),
            _ => d.skip()?,
        }
    }
    let missing = CborError::Missing;
    let token_id = token_id.ok_or(missing)?;
    if !(12..=16).contains(&token_id.len()) {
        return Err(CborError::Unexpected);
    }
    Ok(ProofClaims {
        audience: audience.ok_or(missing)?,
        issued_at: issued_at.ok_or(missing)?,
        token_id,
        nonce,
        result: result.ok_or(missing)?,
        ath,
        method: method.ok_or(missing)?,
        target: target.ok_or(missing)?,
        query,
        content,
        environment,
    })
}
