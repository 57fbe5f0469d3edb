//! The binding hash: what ties platform evidence to one challenge, one service, one client and its keys.

use minicbor::Encoder;
use sha2::{Digest, Sha256};

use crate::cbor::Never;
use crate::token::keys::PublicKey;

/// What evidence or a signature over the binding hash is for; evidence for one purpose never serves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// First enrolment, or enrolment with fresh evidence.
    Enrol,
    /// Renewal of the result with a new session key.
    Renew,
    /// Possession of the session key, proven by its own signature.
    Possess,
}

impl Purpose {
    /// The name under the hash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Renew => "renew",
            Self::Possess => "possess",
        }
    }
}

/// What the hash covers. Which keys are set follows from the purpose and the platform:
///
/// | purpose | instance key | session key | stands in |
/// | --- | --- | --- | --- |
/// | enrol | none | none | Android `attestationChallenge`, before the key is born |
/// | enrol | set | none | App Attest `clientDataHash` |
/// | renew | set | set | App Attest assertion; challenge of a fresh Android key |
/// | possess | set | set | signature of the session key |
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The purpose.
    pub purpose: Purpose,
    /// Issuer URL of the attestation service, byte-exact.
    pub issuer: &'a str,
    /// The service's challenge, decoded.
    pub challenge: &'a [u8],
    /// The OAuth `client_id`, byte-exact.
    pub client_id: &'a str,
    /// The durable key of the installation.
    pub instance_key: Option<&'a PublicKey>,
    /// The short-lived key of the requests.
    pub session_key: Option<&'a PublicKey>,
}

impl Binding<'_> {
    /// SHA-256, 32 bytes, of the deterministic CBOR array of all members; used raw, without a second hash.
    pub fn hash(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(256);
        let written = self.encode(&mut Encoder::new(&mut bytes));
        debug_assert!(written.is_ok());
        Sha256::digest(&bytes).into()
    }

    fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), minicbor::encode::Error<Never>> {
        e.array(7)?.str("countersign-binding/1")?.str(self.purpose.as_str())?.str(self.issuer)?;
        e.bytes(self.challenge)?.str(self.client_id)?;
        for key in [self.instance_key, self.session_key] {
            match key {
                Some(key) => key.encode_cose(e),
                None => e.null().map(drop)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_key() -> PublicKey {
        PublicKey::from_ed25519(ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes())
            .unwrap()
    }

    #[test]
    fn every_member_changes_the_hash() {
        let key = session_key();
        let base = Binding {
            purpose: Purpose::Renew,
            issuer: "https://attest.example",
            challenge: &[1; 32],
            client_id: "app",
            instance_key: None,
            session_key: Some(&key),
        };
        let others = [
            Binding { purpose: Purpose::Possess, ..base },
            Binding { issuer: "https://attest.example/", ..base },
            Binding { challenge: &[2; 32], ..base },
            Binding { client_id: "App", ..base },
            Binding { instance_key: Some(&key), ..base },
            Binding { session_key: None, ..base },
            // The same key in the other place is another binding.
            Binding { instance_key: Some(&key), session_key: None, ..base },
        ];
        for other in others {
            assert_ne!(other.hash(), base.hash(), "{other:?}");
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let binding = Binding {
            purpose: Purpose::Enrol,
            issuer: "https://attest.example",
            challenge: &[7; 4],
            client_id: "app",
            instance_key: None,
            session_key: None,
        };
        let mut bytes = Vec::new();
        binding.encode(&mut Encoder::new(&mut bytes)).unwrap();
        let value: serde_cbor::Value = serde_cbor::from_slice(&bytes).unwrap();
        let text = |text: &str| serde_cbor::Value::Text(text.to_owned());
        let expected = serde_cbor::Value::Array(vec![
            text("countersign-binding/1"),
            text("enrol"),
            text("https://attest.example"),
            serde_cbor::Value::Bytes(vec![7; 4]),
            text("app"),
            serde_cbor::Value::Null,
            serde_cbor::Value::Null,
        ]);
        assert_eq!(value, expected);
        crate::cbor::deterministic(&bytes).unwrap();
    }
}
