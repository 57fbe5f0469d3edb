//! What outlives the process of a result: the two client attestations, which say of the instance key what the result
//! says of the session key. Nothing in it is secret: without a signature by the key store it proves nothing.

use core::fmt;

use minicbor::{Decoder, Encoder};

use super::answer::MAX_AHEAD;
use crate::cbor::{CborError, Never};
use crate::time::Timestamp;
use crate::token::MAX_JWT_FIELD;
use crate::token::result::{MAX_LIFETIME, Tier};

/// A result's word for the instance key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Vouching {
    /// The client attestation for resources.
    pub(super) attestation_rs: String,
    /// The client attestation for the authorization server.
    pub(super) attestation_as: String,
    pub(super) tier: Tier,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// The attestations go into header fields, and are printed nowhere.
impl fmt::Debug for Vouching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vouching({:?}, until {})", self.tier, self.expires_at)
    }
}

impl Vouching {
    /// Whether it serves at `server_now`. A clock that was set back behind its beginning says that nothing is known of
    /// the time, and ends it as its end does.
    pub(super) fn is_current(&self, server_now: Timestamp) -> bool {
        server_now.plus(MAX_AHEAD) >= self.issued_at
            && server_now.plus(super::EXPIRY_MARGIN) < self.expires_at
    }

    pub(super) fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        e.array(5)?.str(&self.attestation_rs)?.str(&self.attestation_as)?.u8(self.tier.number())?;
        e.u64(self.issued_at.as_unix_seconds())?.u64(self.expires_at.as_unix_seconds())?;
        Ok(())
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, CborError> {
        if d.array()? != Some(5) {
            return Err(CborError::Unexpected);
        }
        let (attestation_rs, attestation_as) = (d.str()?, d.str()?);
        if !is_jws(attestation_rs) || !is_jws(attestation_as) {
            return Err(CborError::Unexpected);
        }
        let tier = Tier::from_number(d.u8()?).ok_or(CborError::Unexpected)?;
        let (issued_at, expires_at) = (d.u64()?, d.u64()?);
        if !matches!(expires_at.checked_sub(issued_at), Some(1..=MAX_LIFETIME)) {
            return Err(CborError::Unexpected);
        }
        Ok(Self {
            attestation_rs: attestation_rs.to_owned(),
            attestation_as: attestation_as.to_owned(),
            tier,
            issued_at: Timestamp::from_unix_seconds(issued_at),
            expires_at: Timestamp::from_unix_seconds(expires_at),
        })
    }
}

/// Whether `text` has the form of a JWS, and can go into a header field as it is.
pub(super) fn is_jws(text: &str) -> bool {
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text.len() <= MAX_JWT_FIELD && text.split('.').count() == 3 && text.split('.').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_jws_becomes_a_header_field() {
        assert!(is_jws("aA0-_.b.c") && is_jws(&format!("a.b.{}", "c".repeat(MAX_JWT_FIELD - 4))));
        let endless = format!("a.b.{}", "c".repeat(MAX_JWT_FIELD - 3));
        for other in [
            "",
            "a",
            "a.b",
            "a.b.",
            ".b.c",
            "..",
            "a.b.c.d",
            "a.b.c\r\nX: y",
            "a.b.\u{e9}",
            "a.b.c=",
            &endless,
        ] {
            assert!(!is_jws(other), "{other:?}");
        }
    }
}
