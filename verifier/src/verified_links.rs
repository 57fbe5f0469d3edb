//! The signatures between certificates that have verified before, so that a vendor's intermediate, which stands in
//! every chain, is not verified with every chain.

use std::fmt;

use crate::cache::Generations;
use crate::certificate::Certificate;
use crate::crypto::{CertificateSignatureError, sha256_of, verify_certificate};

/// How many links one generation of the cache holds: never more than twice as many are remembered.
const CAPACITY: usize = 128;

/// Remembers that a signature verified, by SHA-256 of everything that this depends on. That is arithmetic and stays
/// true: it knows no time, no anchors and no other certificate. Names, dates, constraints, revocation and the
/// way to an anchor are looked at every time.
///
/// Whoever holds the anchors holds this. A clone starts empty, and what is remembered makes no difference: two
/// are always equal, and `Debug` shows nothing of it.
pub(crate) struct VerifiedLinks(Generations<[u8; 32], ()>);

impl VerifiedLinks {
    /// Verifies the signature of a certificate, which is not a leaf, by the issuer's key (encoded
    /// SubjectPublicKeyInfo). Only what verified is remembered.
    pub(crate) fn verify(
        &self,
        certificate: &Certificate<'_>,
        issuer_key: &[u8],
    ) -> Result<(), CertificateSignatureError> {
        let link = digest(certificate, issuer_key);
        if self.0.find(&link).is_some() {
            return Ok(());
        }
        verify_link(certificate, issuer_key)?;
        self.0.insert(link, ());
        Ok(())
    }

    /// Whether this very signature has verified before.
    pub(crate) fn contains(&self, certificate: &Certificate<'_>, issuer_key: &[u8]) -> bool {
        self.0.find(&digest(certificate, issuer_key)).is_some()
    }
}

/// Verifies the signature of a certificate by the issuer's key without remembering it: leaves are all different.
pub(crate) fn verify_link(
    certificate: &Certificate<'_>,
    issuer_key: &[u8],
) -> Result<(), CertificateSignatureError> {
    verify_certificate(certificate.signature_algorithm, issuer_key, certificate.tbs, certificate.signature)
}

/// SHA-256 over all that [`verify_certificate`] is given, each part behind its length so that none can run into the
/// next.
fn digest(certificate: &Certificate<'_>, issuer_key: &[u8]) -> [u8; 32] {
    let parts = [issuer_key, certificate.signature_algorithm, certificate.tbs, certificate.signature];
    let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
    let [key, algorithm, tbs, signature] = parts;
    let [key_length, algorithm_length, tbs_length, signature_length] = &lengths;
    sha256_of(&[key_length, key, algorithm_length, algorithm, tbs_length, tbs, signature_length, signature])
}

impl Default for VerifiedLinks {
    fn default() -> Self {
        Self(Generations::new(CAPACITY))
    }
}

impl Clone for VerifiedLinks {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for VerifiedLinks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for VerifiedLinks {}

impl fmt::Debug for VerifiedLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedLinks")
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::time::Timestamp;
    use countersign_virtual_device::{GoogleAuthority, Seed, VirtualAndroid};

    use super::*;

    /// A chain up to its root, DER.
    fn chain(seed: &str) -> Vec<Vec<u8>> {
        let seed = Seed::from_text(seed);
        let mut phone = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed), &seed);
        phone.attest(b"challenge", Timestamp::from_unix_seconds(1_790_000_000))
    }

    /// An intermediate, and the certificate of its issuer.
    fn link(chain: &[Vec<u8>]) -> (Certificate<'_>, Certificate<'_>) {
        (Certificate::decode(&chain[2]).unwrap(), Certificate::decode(&chain[3]).unwrap())
    }

    #[test]
    fn what_verified_is_known_and_verifies_again() {
        let (links, chain) = (VerifiedLinks::default(), chain("links"));
        let (certificate, issuer) = link(&chain);
        assert!(!links.contains(&certificate, issuer.public_key));
        for _ in 0..2 {
            assert_eq!(links.verify(&certificate, issuer.public_key), Ok(()));
            assert!(links.contains(&certificate, issuer.public_key));
        }
        assert_eq!(links.0.len(), 1);
    }

    #[test]
    fn the_same_certificate_under_another_issuers_key_is_not_accepted() {
        let (links, chain, others) = (VerifiedLinks::default(), chain("links"), chain("others"));
        let (certificate, issuer) = link(&chain);
        let (_, other) = link(&others);
        assert_ne!(issuer.public_key, other.public_key);
        assert_eq!(links.verify(&certificate, issuer.public_key), Ok(()));
        for _ in 0..2 {
            let refused = links.verify(&certificate, other.public_key);
            assert_eq!(refused, Err(CertificateSignatureError::Invalid));
        }
        assert_eq!(links.0.len(), 1, "nothing forged is remembered");
    }

    #[test]
    fn no_changed_byte_of_a_known_certificate_is_accepted() {
        let (links, chain) = (VerifiedLinks::default(), chain("links"));
        let (certificate, issuer) = link(&chain);
        assert_eq!(links.verify(&certificate, issuer.public_key), Ok(()));
        let mut altered = chain[2].clone();
        for at in 0..altered.len() {
            altered[at] ^= 1;
            if let Ok(forged) = Certificate::decode(&altered) {
                assert!(!links.contains(&forged, issuer.public_key), "byte {at}");
                assert!(links.verify(&forged, issuer.public_key).is_err(), "byte {at}");
            }
            altered[at] ^= 1;
        }
        assert_eq!(links.0.len(), 1, "nothing forged is remembered");
    }

    #[test]
    fn a_byte_that_moves_to_the_neighbouring_part_makes_another_link() {
        let chain = chain("links");
        let (certificate, issuer) = link(&chain);
        let split_at = |at: usize| {
            let mut split = certificate.clone();
            (split.tbs, split.signature) = chain[2].split_at(at);
            digest(&split, issuer.public_key)
        };
        let (one, other) = (split_at(5), split_at(6));
        assert_ne!(one, other);
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let links = VerifiedLinks::default();
        for number in 0..1000_u32 {
            links.0.insert(sha256_of(&[&number.to_be_bytes()]), ());
            assert!(links.0.len() <= 2 * CAPACITY);
        }
    }

    #[test]
    fn a_clone_starts_empty_and_makes_no_difference() {
        let (links, chain) = (VerifiedLinks::default(), chain("links"));
        let (certificate, issuer) = link(&chain);
        assert_eq!(links.verify(&certificate, issuer.public_key), Ok(()));
        let clone = links.clone();
        assert_eq!(clone.0.len(), 0);
        assert_eq!(clone, links);
        assert_eq!(format!("{clone:?}"), format!("{links:?}"), "a generation is the hash of this");
    }
}
