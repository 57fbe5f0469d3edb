//! Authenticator data: the fixed head, the attested credential, and the extension map that newer systems append.

use countersign_core::token::keys::PublicKey;
use minicbor::Decoder;
use minicbor::data::Type;
use serde::{Serialize, Serializer};

use super::statement::text_map;
use crate::evidence::EvidenceError;

/// Flag: attested credential data follow. Assertions set it without having any.
const ATTESTED_CREDENTIAL: u8 = 0x40;

const PRODUCTION: &[u8; 16] = b"appattest\0\0\0\0\0\0\0";
const DEVELOPMENT: &[u8; 16] = b"appattestdevelop";

/// Where the key was attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AppAttestEnvironment {
    /// Apple's production service.
    Production,
    /// The sandbox of development builds.
    Development,
    /// An AAGUID that is neither.
    Unknown,
}

/// How the app came onto the device: Apple's validation category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidationCategory(pub u32);

impl ValidationCategory {
    /// From TestFlight.
    pub const TEST_FLIGHT: Self = Self(2);
    /// From the App Store.
    pub const APP_STORE: Self = Self(4);

    /// A name for people.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "operating-system",
            2 => "test-flight",
            3 => "development",
            4 => "app-store",
            5 => "enterprise-or-ad-hoc",
            6 => "developer-id",
            7..=9 => "restricted",
            10 => "other",
            _ => "unknown",
        }
    }
}

impl Serialize for ValidationCategory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} ({})", self.0, self.name()))
    }
}

/// The head that attestations and assertions share: 37 bytes, then whatever follows.
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: [u8; 32],
    flags: u8,
    pub(super) counter: u32,
    pub(super) rest: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let (rp_id_hash, rest) = take::<32>(bytes)?;
        let ([flags], rest) = take::<1>(rest)?;
        let (counter, rest) = take::<4>(rest)?;
        Ok(Self { rp_id_hash, flags, counter: u32::from_be_bytes(counter), rest })
    }
}

/// AAGUID, credential identifier and COSE key of an attestation.
pub(super) struct AttestedCredential<'a> {
    pub(super) environment: AppAttestEnvironment,
    pub(super) id: &'a [u8],
    pub(super) key: PublicKey,
}

impl<'a> AttestedCredential<'a> {
    /// The credential, and the extensions behind it. Whether extensions follow is told by the bytes: devices
    /// append them with and without the flag (0x80) that should announce them, and they are signed either way.
    pub(super) fn decode(data: &AuthenticatorData<'a>) -> Result<(Self, Extensions), EvidenceError> {
        if data.flags & ATTESTED_CREDENTIAL == 0 {
            return Err(EvidenceError::MalformedAuthenticatorData);
        }
        let (aaguid, rest) = take::<16>(data.rest)?;
        let (length, rest) = take::<2>(rest)?;
        let (id, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(length)))
            .ok_or(EvidenceError::MalformedAuthenticatorData)?;
        let mut decoder = Decoder::new(rest);
        let key = cose_key(&mut decoder)?;
        let extensions = rest.get(decoder.position()..).unwrap_or_default();
        let environment = match &aaguid {
            PRODUCTION => AppAttestEnvironment::Production,
            DEVELOPMENT => AppAttestEnvironment::Development,
            _ => AppAttestEnvironment::Unknown,
        };
        Ok((Self { environment, id, key }, Extensions::decode(extensions)?))
    }
}

/// The members of the extension map that we know; others are ignored, as Apple adds undocumented ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) validation_category: Option<ValidationCategory>,
    pub(super) bundle_version: Option<String>,
}

impl Extensions {
    /// Reads the map that `bytes` are, or nothing if there are none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut extensions = Self::default();
        if bytes.is_empty() {
            return Ok(extensions);
        }
        let mut decoder = Decoder::new(bytes);
        text_map(&mut decoder, |key, decoder| {
            match key {
                "apple_validation_category_01" => {
                    extensions.validation_category = Some(ValidationCategory(category(decoder)?));
                }
                "apple_bundle_version_01" => {
                    extensions.bundle_version = Some(bundle_version(decoder.str()?)?);
                }
                _ => decoder.skip()?,
            }
            Ok(())
        })
        .map_err(|_| EvidenceError::MalformedAuthenticatorExtensions)?;
        if decoder.position() != bytes.len() {
            return Err(EvidenceError::MalformedAuthenticatorExtensions);
        }
        Ok(extensions)
    }
}

/// Documented as an integer, written by devices as four bytes, little endian.
fn category(decoder: &mut Decoder<'_>) -> Result<u32, EvidenceError> {
    match decoder.datatype()? {
        Type::Bytes => {
            let bytes = decoder.bytes()?;
            bytes.try_into().map(u32::from_le_bytes).map_err(|_| EvidenceError::MalformedCbor)
        }
        _ => Ok(decoder.u32()?),
    }
}

fn bundle_version(text: &str) -> Result<String, EvidenceError> {
    const LONGEST: usize = 255;
    if text.len() > LONGEST { Err(EvidenceError::MalformedCbor) } else { Ok(text.to_owned()) }
}

/// A COSE_Key for ES256: kty EC2, alg -7, crv P-256, x, y, and nothing else.
fn cose_key(decoder: &mut Decoder<'_>) -> Result<PublicKey, EvidenceError> {
    let (x, y) = coordinates(decoder).map_err(|_| EvidenceError::MalformedAuthenticatorData)?;
    PublicKey::from_p256_coordinates(x, y).map_err(|_| EvidenceError::MalformedKey)
}

/// Reads the five members of the key, each once, in any order.
fn coordinates(decoder: &mut Decoder<'_>) -> Result<([u8; 32], [u8; 32]), minicbor::decode::Error> {
    const EC2: i64 = 2;
    const ES256: i64 = -7;
    const P256: i64 = 1;
    let unexpected = || minicbor::decode::Error::message("unexpected");
    let (mut kty, mut alg, mut crv, mut x, mut y) = (None, None, None, None, None);
    for _ in 0..decoder.map()?.ok_or_else(unexpected)? {
        let repeated = match decoder.i64()? {
            1 => kty.replace(decoder.i64()?).is_some(),
            3 => alg.replace(decoder.i64()?).is_some(),
            -1 => crv.replace(decoder.i64()?).is_some(),
            -2 => x.replace(decoder.bytes()?.try_into().map_err(|_| unexpected())?).is_some(),
            -3 => y.replace(decoder.bytes()?.try_into().map_err(|_| unexpected())?).is_some(),
            _ => return Err(unexpected()),
        };
        if repeated {
            return Err(unexpected());
        }
    }
    match (kty, alg, crv, x, y) {
        (Some(EC2), Some(ES256), Some(P256), Some(x), Some(y)) => Ok((x, y)),
        _ => Err(unexpected()),
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), EvidenceError> {
    bytes
        .split_first_chunk::<N>()
        .map(|(head, rest)| (*head, rest))
        .ok_or(EvidenceError::MalformedAuthenticatorData)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: Result<Extensions, EvidenceError> = Err(EvidenceError::MalformedAuthenticatorExtensions);

    /// A map of `members`, each a key and its encoded value.
    fn extensions(members: &[(&str, &[u8])]) -> Result<Extensions, EvidenceError> {
        let mut bytes = vec![0xa0 | members.len() as u8];
        for (key, value) in members {
            bytes.extend([0x78, key.len() as u8]);
            bytes.extend(key.as_bytes());
            bytes.extend(*value);
        }
        Extensions::decode(&bytes)
    }

    #[test]
    fn the_category_is_read_in_both_of_its_encodings() {
        for value in [&[0x44, 4, 0, 0, 0][..], &[0x04], &[0x1a, 0, 0, 0, 4]] {
            let read = extensions(&[("apple_validation_category_01", value)]);
            let category = read.map(|extensions| extensions.validation_category);
            assert_eq!(category, Ok(Some(ValidationCategory::APP_STORE)), "{value:?}");
        }
    }

    #[test]
    fn a_category_of_another_type_is_refused() {
        let values: [&[u8]; 6] = [
            &[0x40],
            &[0x41, 4],
            &[0x45, 4, 0, 0, 0, 0],
            &[0x61, b'4'],
            &[0x20],
            &[0x1b, 1, 0, 0, 0, 0, 0, 0, 0],
        ];
        for value in values {
            assert_eq!(extensions(&[("apple_validation_category_01", value)]), MALFORMED, "{value:?}");
        }
    }

    #[test]
    fn unknown_members_are_ignored_and_repeated_ones_refused() {
        assert_eq!(extensions(&[("apple_cd_hash_type_01", &[0x41, 2])]), Ok(Extensions::default()));
        let twice: [(&str, &[u8]); 2] =
            [("apple_validation_category_01", &[2]), ("apple_validation_category_01", &[4])];
        assert_eq!(extensions(&twice), MALFORMED);
    }

    #[test]
    fn what_follows_must_be_one_map() {
        assert_eq!(Extensions::decode(&[]), Ok(Extensions::default()));
        for bytes in [&[0x00][..], &[0xa0, 0x00], &[0xff], &[0xa1]] {
            assert_eq!(Extensions::decode(bytes), MALFORMED, "{bytes:?}");
        }
    }

    #[test]
    fn a_short_head_is_refused() {
        for length in 0..37 {
            assert!(AuthenticatorData::decode(&vec![0x40; length]).is_err(), "{length}");
        }
        assert!(AuthenticatorData::decode(&[0x40; 37]).is_ok());
    }

    /// What an attestation of a made-up key says.
    fn attestation(flags: u8) -> Vec<u8> {
        use countersign_virtual_device::app_attest::{AttestedCredential, AuthenticatorData};
        let key = countersign_virtual_device::Seed::from_text("authenticator data").p256_key("key");
        let credential = AttestedCredential {
            aaguid: *PRODUCTION,
            id_length: 4,
            id: vec![1, 2, 3, 4],
            point: *key.verifying_key().to_sec1_point(false).as_bytes().as_array().unwrap(),
        };
        let data = AuthenticatorData {
            rp_id_hash: [7; 32],
            flags,
            counter: 0,
            credential: Some(credential),
            extensions: Vec::new(),
        };
        data.encode()
    }

    #[test]
    fn a_credential_that_is_not_announced_is_none() {
        let read = |flags| {
            let bytes = attestation(flags);
            let data = AuthenticatorData::decode(&bytes)?;
            AttestedCredential::decode(&data).map(|(credential, _)| credential.id.to_vec())
        };
        assert_eq!(read(0x40), Ok(vec![1, 2, 3, 4]));
        assert_eq!(read(0xc0), Ok(vec![1, 2, 3, 4]));
        for flags in [0x00, 0x01, 0x80, 0xbf] {
            assert_eq!(read(flags), Err(EvidenceError::MalformedAuthenticatorData), "{flags:#x}");
        }
    }

    #[test]
    fn a_bundle_version_has_255_bytes_at_most() {
        for (length, expected) in [(255, true), (256, false), (300, false)] {
            assert_eq!(bundle_version(&"1".repeat(length)).is_ok(), expected, "{length}");
        }
    }

    #[test]
    fn every_category_has_the_name_that_apple_gave_it() {
        let names: Vec<_> = (0..=11).map(|number| ValidationCategory(number).name()).collect();
        let expected = [
            "unknown",
            "operating-system",
            "test-flight",
            "development",
            "app-store",
            "enterprise-or-ad-hoc",
            "developer-id",
            "restricted",
            "restricted",
            "restricted",
            "other",
            "unknown",
        ];
        assert_eq!(names, expected);
    }
}
