//! Either phone behind one face: the evidence that it gives for a binding hash, and its instance key.

use countersign_core::{
    binding::{Binding, Purpose},
    encoding::base64url,
    enrolment::Evidence,
    time::Timestamp,
    token::{
        keys::{Jwk, PublicKey},
        result::Protection,
    },
};

use crate::{
    android::VirtualAndroid, iphone::VirtualIphone, key_description::SecurityLevel, saved::PhoneKeys,
};

/// A virtual phone of either platform.
#[derive(Clone)]
pub enum VirtualPhone {
    /// An iPhone.
    Iphone(VirtualIphone),
    /// An Android phone.
    Android(VirtualAndroid),
}

impl From<VirtualIphone> for VirtualPhone {
    fn from(phone: VirtualIphone) -> Self {
        Self::Iphone(phone)
    }
}

impl From<VirtualAndroid> for VirtualPhone {
    fn from(phone: VirtualAndroid) -> Self {
        Self::Android(phone)
    }
}

impl VirtualPhone {
    /// The public instance key.
    pub fn instance_key(&self) -> PublicKey {
        match self {
            Self::Iphone(phone) => phone.instance_key(),
            Self::Android(phone) => phone.instance_key(),
        }
    }

    /// Where the instance key lives.
    pub const fn protection(&self) -> Protection {
        match self {
            Self::Iphone(_) => Protection::SecureEnclave,
            Self::Android(phone) => match phone.level() {
                SecurityLevel::Software => Protection::Software,
                SecurityLevel::TrustedEnvironment => Protection::Tee,
                SecurityLevel::StrongBox => Protection::Strongbox,
            },
        }
    }

    /// Signs with the instance key: `r || s`, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Iphone(phone) => phone.sign(message),
            Self::Android(phone) => phone.sign(message),
        }
    }

    /// The private instance key as a JWK (RFC 7518 section 6.2), with which a program in another language plays the
    /// app's OAuth client. No genuine phone gives it out.
    pub fn private_instance_key(&self) -> serde_json::Value {
        let Jwk { kty, crv, x, y } = self.instance_key().to_jwk();
        let secret = base64url(&self.keys().instance_key.to_bytes());
        serde_json::json!({ "kty": kty, "crv": crv, "x": x, "y": y, "d": secret })
    }

    /// Its keys, to be saved.
    pub(crate) fn keys(&self) -> PhoneKeys {
        match self {
            Self::Iphone(phone) => phone.keys(),
            Self::Android(phone) => phone.keys(),
        }
    }

    /// Takes saved keys over; false if they are of the other platform.
    pub(crate) fn take_keys(&mut self, keys: PhoneKeys) -> bool {
        match (self, keys.app_attest.is_some()) {
            (Self::Iphone(phone), true) => phone.take_keys(keys),
            (Self::Android(phone), false) => phone.take_keys(keys),
            _ => return false,
        }
        true
    }

    /// A phone of the same model with the same app: genuine, and somebody else's.
    #[must_use]
    pub fn of_somebody_else(&self) -> Self {
        match self {
            Self::Iphone(phone) => Self::Iphone(phone.of_somebody_else()),
            Self::Android(phone) => Self::Android(phone.of_somebody_else()),
        }
    }

    /// Evidence for an enrolment. An Android phone makes its instance key anew on this occasion; an iPhone makes
    /// a new App Attest key, and has it vouch for the instance key that it has.
    pub fn evidence_of_enrolment(
        &mut self,
        issuer: &str,
        client_id: &str,
        challenge: &[u8],
        purpose: Purpose,
        now: Timestamp,
    ) -> Evidence {
        let instance_key = self.instance_key();
        let binding = Binding {
            purpose,
            issuer,
            challenge,
            client_id,
            instance_key: matches!(self, Self::Iphone(_)).then_some(&instance_key),
            session_key: None,
        };
        match self {
            Self::Iphone(phone) => {
                phone.generate_key();
                let attestation = phone.attest(&binding.hash(), now);
                Evidence::AppAttest { attestation_object: attestation.object, key_id: attestation.key_id }
            }
            Self::Android(phone) => Evidence::AndroidKey { chain: phone.attest(&binding.hash(), now) },
        }
    }

    /// Evidence for a renewal: an assertion, or the chain of a key that is thrown away.
    pub fn evidence_of_renewal(&mut self, binding: &Binding<'_>, now: Timestamp) -> Evidence {
        match self {
            Self::Iphone(phone) => Evidence::AppAttestAssertion { assertion: phone.assert(&binding.hash()) },
            Self::Android(phone) => {
                Evidence::AndroidKey { chain: phone.attest_throwaway(&binding.hash(), now) }
            }
        }
    }
}
