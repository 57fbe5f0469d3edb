//! Assertions of App Attest that must not be believed.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use sha2::{Digest, Sha256};

use crate::{
    app_attest::{AuthenticatorData, encode_assertion, encode_extensions, nonce},
    hostile::attacks,
    seed::Seed,
};

attacks! {
    /// A lie in an assertion. Those about the counter suppose that the verifier has seen the assertion before.
    AssertionAttack {
        SingleHash Unverifiable "the signature is over data that were hashed once instead of twice",
        RawSignature Unverifiable "the signature is 64 bytes r and s, not DER",
        EmptySignature Unverifiable "the signature is empty",
        SignatureBit Unverifiable "one bit of the signature is flipped",
        OtherKey Unverifiable "the signature is of another App Attest key",
        OtherClientData Unverifiable "the signature is over another clientDataHash",
        CounterReplay Unverifiable "the counter is the one of the assertion before",
        CounterLower Unverifiable "the counter is below the one of the assertion before",
        CounterZero Unverifiable "the counter is zero",
        CounterAfterSigning Unverifiable "the counter was raised after signing",
        OtherApp Contraindicated "the assertion is of another app",
        CategoryDevelopment Contraindicated "the validation category says development",
        ExtensionsGarbage Unverifiable "what follows the counter is not CBOR, though signed",
        DataShort Unverifiable "the authenticator data have 36 bytes",
        TrailingBytes Unverifiable "bytes follow the assertion",
        Truncated Unverifiable "the assertion is cut short",
        NotCbor Unverifiable "the assertion is JSON",
    }
}

impl AssertionAttack {
    /// The assertion that the phone would make of `data`, with this lie in it.
    pub(crate) fn forge(
        self,
        mut data: AuthenticatorData,
        client_data_hash: &[u8],
        key: &SigningKey,
        seed: &Seed,
    ) -> Vec<u8> {
        match self {
            Self::CounterReplay => data.counter = data.counter.saturating_sub(1),
            Self::CounterLower => data.counter = data.counter.saturating_sub(2),
            Self::CounterZero => data.counter = 0,
            Self::OtherApp => data.rp_id_hash = Sha256::digest(b"ABCDE12345.com.example.other").into(),
            Self::CategoryDevelopment => data.extensions = encode_extensions("1", 3),
            Self::ExtensionsGarbage => data.extensions = vec![0xff, 0x00, 0x13],
            _ => {}
        }
        let mut bytes = data.encode();
        if self == Self::DataShort {
            bytes.truncate(36);
        }
        let message = match self {
            // ECDSA hashes once more, so that this signature is over SHA-256(data) only.
            Self::SingleHash => [bytes.as_slice(), client_data_hash].concat(),
            Self::OtherClientData => nonce(&bytes, &Sha256::digest(client_data_hash)).to_vec(),
            _ => nonce(&bytes, client_data_hash).to_vec(),
        };
        let signature: Signature = match self {
            Self::OtherKey => seed.p256_key("another app attest key").sign(&message),
            _ => key.sign(&message),
        };
        let mut signature = match self {
            Self::RawSignature => signature.to_bytes().to_vec(),
            Self::EmptySignature => Vec::new(),
            _ => signature.to_der().as_bytes().to_vec(),
        };
        match self {
            Self::SignatureBit => super::iphone::flip_last_bit(&mut signature),
            Self::CounterAfterSigning => bytes[35] = bytes[35].wrapping_add(1),
            _ => {}
        }
        let mut assertion = encode_assertion(&signature, &bytes);
        match self {
            Self::TrailingBytes => assertion.extend([0xf6, 0xf6]),
            Self::Truncated => assertion.truncate(assertion.len() - 10),
            Self::NotCbor => assertion = br#"{"signature":""}"#.to_vec(),
            _ => {}
        }
        assertion
    }
}
