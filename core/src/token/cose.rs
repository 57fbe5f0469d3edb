//! COSE_Sign1 (RFC 9052 section 4.2) as every compact message of ours uses it: untagged, payload embedded,
//! unprotected map empty, external_aad empty, `alg` fixed by the key, `typ` (RFC 9596) always present.

use minicbor::{Decoder, Encoder};

use super::keys::{Algorithm, InvalidSignature, PublicKey, SIGNATURE_LENGTH, VerifySignature};
use crate::cbor::{self, CborError, Never};

/// Media types of our COSE messages, as they stand in `typ`.
pub mod typ {
    /// The result that the attestation service issues.
    pub const RESULT: &str = "application/vnd.countersign.result+cwt";
    /// The proof that a device signs for one request.
    pub const PROOF: &str = "application/vnd.countersign.proof+cwt";
    /// The envelope of an enrolment or a renewal.
    pub const ENROLMENT: &str = "application/attestation-enrolment+cbor";
    /// The list of instances and keys that edges refuse before their results expire.
    pub const DENY_LIST: &str = "application/attestation-denylist+cwt";
}

/// Bytes that the Sig_structure adds to protected header and payload: array head, context, empty external_aad.
pub const SIG_STRUCTURE_OVERHEAD: usize = 1 + 11 + 1;

const CONTEXT: &[u8] = b"\x84\x6aSignature1";

/// The protected header: exactly `alg`, `typ`, and `kid` where the message type has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// `alg` (1).
    pub algorithm: Algorithm,
    /// `kid` (4): the bytes of the JWKS `kid`, for messages that the service signs.
    pub key_id: Option<&'a [u8]>,
    /// `typ` (16): the media type, compared exactly.
    pub typ: &'a str,
}

/// A COSE_Sign1 that was taken apart; nothing in it is authentic before [`Sign1::verify`] has passed.
#[derive(Clone, Copy)]
pub struct Sign1<'a> {
    header: Header<'a>,
    /// The encoded byte strings, heads included, as they recur in the Sig_structure.
    protected_item: &'a [u8],
    payload_item: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Takes one COSE_Sign1 apart, strictly; the payload must itself be one deterministic item.
    ///
    /// # Errors
    /// Any deviation from the shape in the module's head, and any `alg` other than ESP256 and Ed25519.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut decoder = cbor::deterministic(bytes)?;
        if decoder.array()? != Some(4) {
            return Err(CborError::Unexpected);
        }
        let (protected, protected_item) = bytes_item(&mut decoder)?;
        if decoder.map()? != Some(0) {
            return Err(CborError::Unexpected);
        }
        let (payload, payload_item) = bytes_item(&mut decoder)?;
        let signature = decoder.bytes()?;
        if signature.len() != SIGNATURE_LENGTH {
            return Err(CborError::Unexpected);
        }
        cbor::deterministic(payload)?;
        Ok(Self { header: Header::decode(protected)?, protected_item, payload_item, payload, signature })
    }

    /// The protected header.
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The payload's bytes: one deterministic CBOR item.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature, 64 bytes.
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Writes the Sig_structure (RFC 9052 section 4.4) into `buffer` and returns the written part; `None` if
    /// the buffer is shorter than the message plus [`SIG_STRUCTURE_OVERHEAD`].
    pub fn to_be_signed<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let parts = [CONTEXT, self.protected_item, b"\x40", self.payload_item];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut rest = buffer.get_mut(..length)?;
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        buffer.get(..length)
    }

    /// Verifies the signature with `key`, whose algorithm the header must name.
    ///
    /// # Errors
    /// [`InvalidSignature`] also when `alg` is not the key's.
    pub fn verify(&self, key: &PublicKey, verifier: &impl VerifySignature) -> Result<(), InvalidSignature> {
        if self.header.algorithm != key.algorithm() {
            return Err(InvalidSignature);
        }
        let mut buffer =
            vec![0; SIG_STRUCTURE_OVERHEAD + self.protected_item.len() + self.payload_item.len()];
        let message = self.to_be_signed(&mut buffer).ok_or(InvalidSignature)?;
        verifier.verify(key, message, self.signature)
    }
}

impl<'a> Header<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut decoder = cbor::deterministic(bytes)?;
        let members = decoder.map()?.ok_or(CborError::Unexpected)?;
        let (mut algorithm, mut key_id, mut typ) = (None, None, None);
        for _ in 0..members {
            match decoder.i64()? {
                1 => {
                    algorithm = Some(match decoder.i64()? {
                        -9 => Algorithm::Esp256,
                        -19 => Algorithm::Ed25519,
                        _ => return Err(CborError::Unexpected),
                    });
                }
                4 => key_id = Some(decoder.bytes()?),
                16 => typ = Some(decoder.str()?),
                // Also `crit` (2): we understand no extension, so a message that needs one is not for us.
                _ => return Err(CborError::UnknownCritical),
            }
        }
        Ok(Self {
            algorithm: algorithm.ok_or(CborError::Missing)?,
            key_id,
            typ: typ.ok_or(CborError::Missing)?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut encoder = Encoder::new(&mut bytes);
        let written: Result<_, minicbor::encode::Error<Never>> = (|| {
            encoder.map(2 + u64::from(self.key_id.is_some()))?.u8(1)?.i64(self.algorithm.cose())?;
            if let Some(key_id) = self.key_id {
                encoder.u8(4)?.bytes(key_id)?;
            }
            encoder.u8(16)?.str(self.typ).map(drop)
        })();
        debug_assert!(written.is_ok());
        bytes
    }
}

/// A message that waits for its signature, so that the key may live in hardware and answer later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    protected: Vec<u8>,
    payload: Vec<u8>,
}

impl Unsigned {
    /// A message of `header` and `payload` (one deterministic CBOR item).
    pub fn new(header: &Header<'_>, payload: Vec<u8>) -> Self {
        Self { protected: header.encode(), payload }
    }

    /// The Sig_structure: what the key signs.
    pub fn to_be_signed(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(SIG_STRUCTURE_OVERHEAD + self.protected.len() + self.payload.len() + 12);
        bytes.extend_from_slice(CONTEXT);
        let mut encoder = Encoder::new(&mut bytes);
        let written: Result<_, minicbor::encode::Error<Never>> = encoder
            .bytes(&self.protected)
            .and_then(|e| e.bytes(&[]))
            .and_then(|e| e.bytes(&self.payload).map(drop));
        debug_assert!(written.is_ok());
        bytes
    }

    /// The finished COSE_Sign1.
    pub fn with_signature(&self, signature: &[u8; SIGNATURE_LENGTH]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.protected.len() + self.payload.len() + SIGNATURE_LENGTH + 12);
        let mut encoder = Encoder::new(&mut bytes);
        let written: Result<_, minicbor::encode::Error<Never>> = encoder
            .array(4)
            .and_then(|e| e.bytes(&self.protected))
            .and_then(|e| e.map(0))
            .and_then(|e| e.bytes(&self.payload))
            .and_then(|e| e.bytes(signature).map(drop));
        debug_assert!(written.is_ok());
        bytes
    }
}

/// Reads a byte string: its content, and the whole item with its head.
fn bytes_item<'a>(decoder: &mut Decoder<'a>) -> Result<(&'a [u8], &'a [u8]), CborError> {
    let start = decoder.position();
    let content = decoder.bytes()?;
    let item = decoder.input().get(start..decoder.position()).ok_or(CborError::Unexpected)?;
    Ok((content, item))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::token::keys::PureRust;

    fn signed(header: &Header<'_>, payload: &[u8]) -> Vec<u8> {
        let unsigned = Unsigned::new(header, payload.to_vec());
        let signature = SigningKey::from_bytes(&[7; 32]).sign(&unsigned.to_be_signed()).to_bytes();
        unsigned.with_signature(&signature)
    }

    fn key() -> PublicKey {
        PublicKey::from_ed25519(SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes()).unwrap()
    }

    const HEADER: Header<'static> =
        Header { algorithm: Algorithm::Ed25519, key_id: Some(b"kid"), typ: typ::RESULT };

    #[test]
    fn what_is_signed_reads_the_same_in_coset() {
        use coset::CborSerializable;
        let message = signed(&HEADER, &[0xa1, 0x01, 0x02]);
        let theirs = coset::CoseSign1::from_slice(&message).unwrap();
        assert_eq!(theirs.protected.header.key_id, b"kid");
        assert_eq!(theirs.payload.as_deref(), Some(&[0xa1, 0x01, 0x02][..]));
        theirs
            .verify_signature(&[], |signature, message| {
                PureRust.verify(&key(), message, signature).unwrap();
                Ok::<_, ()>(())
            })
            .unwrap();
        assert_eq!(Sign1::decode(&message).unwrap().verify(&key(), &PureRust), Ok(()));
    }

    #[test]
    fn a_changed_byte_never_verifies() {
        let message = signed(&HEADER, &[0xa1, 0x01, 0x02]);
        for index in 0..message.len() {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[index] ^= 1 << bit;
                let verified = Sign1::decode(&changed).is_ok_and(|m| m.verify(&key(), &PureRust).is_ok());
                assert!(!verified, "bit {bit} of byte {index}");
            }
        }
    }

    #[test]
    fn only_fully_specified_algorithms_are_read() {
        // ES256 without its curve, EdDSA, ES384, ES512, PS256, RS256, HMAC, none, text, missing.
        for alg in [
            &[0x26][..],
            &[0x27],
            &[0x38, 0x22],
            &[0x38, 0x23],
            &[0x38, 0x24],
            &[0x39, 0x01, 0x00],
            &[0x05],
            &[0x00],
        ] {
            let header = [&[0xa2, 0x01], alg, &[0x10, 0x61, b'a']].concat();
            assert_eq!(Header::decode(&header), Err(CborError::Unexpected), "{alg:?}");
        }
        let text = [&[0xa2, 0x01, 0x65], &b"ES256"[..], &[0x10, 0x61, b'a']].concat();
        assert_eq!(Header::decode(&text), Err(CborError::Unexpected));
        assert_eq!(Header::decode(&[0xa1, 0x10, 0x61, b'a']), Err(CborError::Missing));
        assert_eq!(Header::decode(&[]), Err(CborError::Truncated));
        // A key in the header, in any of its forms: kcwt, kccs, x5chain, x5u; and claims beside the payload.
        for label in [13u8, 14, 15] {
            let header = [0xa3, 0x01, 0x32, label, 0xa0, 0x10, 0x61, b'a'];
            assert_eq!(Header::decode(&header), Err(CborError::UnknownCritical), "{label}");
        }
        let chain = [0xa3, 0x01, 0x32, 0x10, 0x61, b'a', 0x18, 0x21, 0x40];
        assert_eq!(Header::decode(&chain), Err(CborError::UnknownCritical));
    }

    #[test]
    fn a_signature_has_64_bytes() {
        let unsigned = Unsigned::new(&HEADER, vec![0xa1, 0x01, 0x02]);
        let message = unsigned.with_signature(&[1; 64]);
        assert!(Sign1::decode(&message).is_ok());
        let head = message.len() - 66;
        for length in [0, 63, 65, 72] {
            let mut bytes = message[..head].to_vec();
            Encoder::new(&mut bytes).bytes(&vec![1; length]).unwrap();
            assert_eq!(Sign1::decode(&bytes).err(), Some(CborError::Unexpected), "{length}");
        }
    }

    #[test]
    fn another_shape_is_refused() {
        let message = signed(&HEADER, &[0xa1, 0x01, 0x02]);
        let with_head = |head: u8| [&[head], &message[..]].concat();
        assert_eq!(Sign1::decode(&with_head(0xd2)).err(), Some(CborError::Tag));
        assert_eq!(Sign1::decode(&[&message[..], &[0]].concat()).err(), Some(CborError::TrailingBytes));
        let unprotected = message.iter().position(|byte| *byte == 0xa0).unwrap();
        let mut extra = message.clone();
        extra.splice(unprotected..=unprotected, [0xa1, 0x04, 0x41, 0x6b]);
        assert_eq!(Sign1::decode(&extra).err(), Some(CborError::Unexpected));
        // A detached payload, an Ed25519 label on a P-256 verification, a `crit` header.
        assert!(Sign1::decode(&[0x84, 0x40, 0xa0, 0xf6, 0x40]).is_err());
        let p256 = Header { algorithm: Algorithm::Esp256, ..HEADER };
        let other = signed(&p256, &[0x01]);
        assert_eq!(Sign1::decode(&other).unwrap().verify(&key(), &PureRust), Err(InvalidSignature));
        let crit = [0xa2, 0x01, 0x32, 0x02, 0x81, 0x04];
        assert_eq!(Header::decode(&crit), Err(CborError::UnknownCritical));
    }
}
