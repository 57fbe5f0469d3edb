//! The byte formats of Apple's App Attest: authenticator data, attestation object and assertion.

use std::convert::Infallible;

use minicbor::{Encoder, encode::Error};
use sha2::{Digest, Sha256};

/// Authenticator data: what nonce and signature cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorData {
    /// SHA-256 of the App ID.
    pub rp_id_hash: [u8; 32],
    /// 0x40: attested credential data follow (set in assertions too, where none do); 0x80: extensions follow.
    pub flags: u8,
    /// 0 at attestation, then one more with each assertion.
    pub counter: u32,
    /// In attestations only.
    pub credential: Option<AttestedCredential>,
    /// The bytes after all that; on iOS 27 a CBOR map.
    pub extensions: Vec<u8>,
}

/// Attested credential data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedCredential {
    /// Names the environment.
    pub aaguid: [u8; 16],
    /// The length that is written before the credential id.
    pub id_length: u16,
    /// The key id.
    pub id: Vec<u8>,
    /// The key's uncompressed point, 65 bytes, from which the COSE_Key is written.
    pub point: [u8; 65],
}

impl AuthenticatorData {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.rp_id_hash.to_vec();
        out.push(self.flags);
        out.extend_from_slice(&self.counter.to_be_bytes());
        if let Some(credential) = &self.credential {
            out.extend_from_slice(&credential.aaguid);
            out.extend_from_slice(&credential.id_length.to_be_bytes());
            out.extend_from_slice(&credential.id);
            out.extend_from_slice(&credential.cose_key());
        }
        out.extend_from_slice(&self.extensions);
        out
    }
}

impl AttestedCredential {
    /// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}` in Apple's order.
    fn cose_key(&self) -> Vec<u8> {
        cbor(|encoder| {
            encoder.map(5)?.i8(1)?.i8(2)?.i8(3)?.i8(-7)?.i8(-1)?.i8(1)?;
            encoder.i8(-2)?.bytes(&self.point[1..33])?.i8(-3)?.bytes(&self.point[33..])?;
            Ok(())
        })
    }
}

/// The attestation object that `attestKey` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationObject {
    /// `apple-appattest`.
    pub format: String,
    /// Leaf and intermediate.
    pub x5c: Vec<Vec<u8>>,
    /// The receipt; absent only in forgeries.
    pub receipt: Option<Vec<u8>>,
    /// Authenticator data; absent only in forgeries.
    pub authenticator_data: Option<Vec<u8>>,
    /// Members `fmt` that stand before the true one; empty but in forgeries.
    pub formats_before: Vec<String>,
}

impl AttestationObject {
    /// The CBOR of it, in Apple's order.
    pub fn encode(&self) -> Vec<u8> {
        cbor(|encoder| {
            let members = 2 + self.formats_before.len() + usize::from(self.authenticator_data.is_some());
            encoder.map(members as u64)?;
            for format in self.formats_before.iter().chain([&self.format]) {
                encoder.str("fmt")?.str(format)?;
            }
            encoder
                .str("attStmt")?
                .map(1 + u64::from(self.receipt.is_some()))?
                .str("x5c")?
                .array(self.x5c.len() as u64)?;
            for certificate in &self.x5c {
                encoder.bytes(certificate)?;
            }
            if let Some(receipt) = &self.receipt {
                encoder.str("receipt")?.bytes(receipt)?;
            }
            if let Some(data) = &self.authenticator_data {
                encoder.str("authData")?.bytes(data)?;
            }
            Ok(())
        })
    }
}

/// The CBOR of an assertion, as `generateAssertion` returns it.
pub fn encode_assertion(signature: &[u8], authenticator_data: &[u8]) -> Vec<u8> {
    cbor(|encoder| {
        encoder.map(2)?.str("signature")?.bytes(signature)?;
        encoder.str("authenticatorData")?.bytes(authenticator_data)?;
        Ok(())
    })
}

/// The extensions of iOS 27: bundle version, and validation category in the four bytes that devices write.
pub fn encode_extensions(bundle_version: &str, category: u32) -> Vec<u8> {
    cbor(|encoder| {
        encoder.map(2)?.str("apple_bundle_version_01")?.str(bundle_version)?;
        encoder.str("apple_validation_category_01")?.bytes(&category.to_le_bytes())?;
        Ok(())
    })
}

/// SHA-256(authData || clientDataHash): the nonce of the leaf, and what an assertion signs.
pub fn nonce(authenticator_data: &[u8], client_data_hash: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(authenticator_data).chain_update(client_data_hash).finalize().into()
}

fn cbor(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder).expect("writing into a Vec cannot fail");
    encoder.into_writer()
}

#[cfg(test)]
mod tests {
    use minicbor::Decoder;

    use super::*;

    #[test]
    fn extensions_equal_those_of_a_genuine_device() {
        let genuine = "a2776170706c655f62756e646c655f76657273696f6e5f30316131781c6170706c655f76616c69646174696f6e5f\
                       63617465676f72795f30314401000000";
        let written: String = encode_extensions("1", 1).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, genuine);
    }

    #[test]
    fn authenticator_data_lie_where_the_vendor_says() {
        let credential = AttestedCredential {
            aaguid: *b"appattestdevelop",
            id_length: 32,
            id: vec![9; 32],
            point: [4; 65],
        };
        let data = AuthenticatorData {
            rp_id_hash: [1; 32],
            flags: 0x40,
            counter: 0x0102_0304,
            credential: Some(credential),
            extensions: Vec::new(),
        };
        let bytes = data.encode();
        assert_eq!(bytes.len(), 164);
        assert_eq!(bytes[32..37], [0x40, 1, 2, 3, 4]);
        assert_eq!(&bytes[37..53], b"appattestdevelop");
        assert_eq!(bytes[53..55], [0, 32]);
        assert_eq!(bytes[55..87], [9; 32]);
        assert_eq!(bytes[87..97], [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20]);
        assert_eq!(AuthenticatorData { credential: None, ..data }.encode().len(), 37);
    }

    #[test]
    fn an_assertion_has_the_two_members_of_the_vendor() {
        let bytes = encode_assertion(&[1], &[2]);
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.map().unwrap(), Some(2));
        assert_eq!(decoder.str().unwrap(), "signature");
        assert_eq!(decoder.bytes().unwrap(), [1]);
        assert_eq!(decoder.str().unwrap(), "authenticatorData");
        assert_eq!(decoder.bytes().unwrap(), [2]);
    }
}
