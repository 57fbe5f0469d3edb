//! A developer's own key, which vouches for a build on a simulator where no hardware does.

use core::fmt;

use countersign_core::{enrolment::Evidence, token::keys::PublicKey};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use crate::seed::Seed;

/// A development key: its half that stays with the developer, and the identifier it is registered under.
#[derive(Clone)]
pub struct DevelopmentKey {
    id: String,
    key: SigningKey,
}

impl DevelopmentKey {
    /// The key of this seed, registered under `id`.
    pub fn from_seed(seed: &Seed, id: impl Into<String>) -> Self {
        Self { id: id.into(), key: seed.p256_key("development key") }
    }

    /// What is registered.
    ///
    /// # Panics
    /// Never: a point of P-256 has this encoding.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_p256_sec1(self.key.verifying_key().to_sec1_point(false).as_bytes())
            .expect("a P-256 key has an uncompressed point")
    }

    /// Vouches for what is bound in `message`.
    pub fn evidence(&self, message: &[u8; 32]) -> Evidence {
        let signature: Signature = self.key.sign(message);
        Evidence::DevelopmentKey { key_id: self.id.clone(), signature: signature.to_bytes().into() }
    }
}

impl fmt::Debug for DevelopmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DevelopmentKey").field(&self.id).finish()
    }
}
