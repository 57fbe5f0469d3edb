//! The small X.509 path checker for attestation chains: leaf first, every certificate issued by the next, the
//! last one by an anchor. Genuine Android chains break RFC 5280 in known ways, so the rules of a path are data
//! here (`Rules`), and each leniency has a name.

use countersign_core::time::Timestamp;

use crate::anchors::Anchor;
use crate::certificate::{BasicConstraints, Certificate};
use crate::crypto::{CertificateSignatureError, has_standard_parameters, is_ml_dsa};
use crate::leniency::{Leniencies, Leniency};
use crate::verified_links::{VerifiedLinks, verify_link};

/// Most certificates in one chain; the longest genuine ones have five.
pub const MAX_CERTIFICATES: usize = 10;

/// Why a chain was not accepted. `index` counts from the leaf, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// More than [`MAX_CERTIFICATES`], or fewer than a leaf and the certificate that issued it.
    Length,
    /// A certificate is not DER of its type, too long, or followed by further bytes.
    MalformedCertificate {
        /// Which certificate.
        index: usize,
    },
    /// The chain does not end in the key of a trust anchor.
    UnknownRoot,
    /// The key of a trust anchor stands below the end of the chain. What the certificate next to the anchor says
    /// decides how a chain is judged, so nothing may be slipped in between.
    MisplacedAnchor {
        /// Which certificate.
        index: usize,
    },
    /// The issuer's name is not the subject's name of the next certificate.
    NameMismatch {
        /// Which certificate.
        index: usize,
    },
    /// The signature of a certificate was not accepted.
    Signature {
        /// Which certificate.
        index: usize,
        /// Why.
        error: CertificateSignatureError,
    },
    /// A certificate is not valid yet.
    NotYetValid {
        /// Which certificate.
        index: usize,
    },
    /// A certificate has expired, where that counts.
    Expired {
        /// Which certificate.
        index: usize,
    },
    /// A certificate above the leaf is not marked as a certification authority, or may not sign certificates.
    NotAuthority {
        /// Which certificate.
        index: usize,
    },
    /// More certificates below an authority than its path length allows.
    PathLength {
        /// Which certificate.
        index: usize,
    },
    /// A critical extension that means nothing here.
    UnknownCriticalExtension {
        /// Which certificate.
        index: usize,
    },
    /// The leaf is marked as a certification authority.
    LeafIsAuthority,
    /// A certificate is signed with ML-DSA, which is not verified here yet.
    MlDsa {
        /// Which certificate.
        index: usize,
    },
}

impl ChainError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Length => "chain_length",
            Self::MalformedCertificate { .. } => "chain_malformed_certificate",
            Self::UnknownRoot => "chain_unknown_root",
            Self::MisplacedAnchor { .. } => "chain_misplaced_anchor",
            Self::NameMismatch { .. } => "chain_name_mismatch",
            Self::Signature { error, .. } => error.reason(),
            Self::NotYetValid { .. } => "chain_not_yet_valid",
            Self::Expired { .. } => "chain_expired",
            Self::NotAuthority { .. } => "chain_not_authority",
            Self::PathLength { .. } => "chain_path_length",
            Self::UnknownCriticalExtension { .. } => "chain_unknown_critical_extension",
            Self::LeafIsAuthority => "chain_leaf_is_authority",
            Self::MlDsa { .. } => "chain_ml_dsa_unsupported",
        }
    }
}

/// What a kind of evidence demands of its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) leaf: Leaf,
    pub(crate) issuer_dates: Dates,
    pub(crate) authorities: Authorities,
}

/// Who made the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// The vendor's servers: it is held to its dates and to DER like every other certificate.
    Issued,
    /// The device. Its dates are those of a clock that may be wrong and vouch for nothing, and the leniencies
    /// [`Leniency::SignatureParameters`] and [`Leniency::ExplicitDefault`] apply.
    MadeOnDevice,
}

/// Which dates of a certificate count. Those of the anchor never do: it is trusted by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dates {
    /// Not yet valid refuses, expired does not: keys burnt in at the factory cannot be renewed.
    NotBefore,
    /// Both.
    Both,
}

/// What the certificates between leaf and anchor must say about themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorities {
    /// CA:TRUE, keyCertSign if keyUsage is present, path length respected, no unknown critical extension; and
    /// the leaf is no authority.
    Strict,
    /// CA:TRUE, except for [`is_first_generation_attestation_certificate`].
    FactoryProvisioned,
}

/// A chain taken apart, its end found among the anchors. Nothing in it is verified yet.
#[derive(Debug)]
pub(crate) struct Path<'c, 't> {
    /// Leaf first, without a root.
    pub(crate) certificates: Vec<Certificate<'c>>,
    pub(crate) anchor: &'t Anchor,
    /// Whether the anchor was found by the signature that it made: that link needs no second check.
    is_last_link_verified: bool,
    verified_links: &'t VerifiedLinks,
}

impl<'c, 't> Path<'c, 't> {
    /// Decodes `chain` (DER, leaf first) and finds its anchor, as [`Self::of`].
    pub(crate) fn find(
        chain: &[&'c [u8]],
        anchors: &'t [Anchor],
        verified_links: &'t VerifiedLinks,
    ) -> Result<Self, ChainError> {
        if chain.len() > MAX_CERTIFICATES {
            return Err(ChainError::Length);
        }
        let mut certificates = Vec::with_capacity(chain.len());
        for (index, bytes) in chain.iter().enumerate() {
            let certificate = Certificate::decode(bytes);
            certificates.push(certificate.map_err(|_| ChainError::MalformedCertificate { index })?);
        }
        Self::of(certificates, anchors, verified_links)
    }

    /// Finds the anchor of decoded certificates (leaf first) by public key: the last one is either self-issued with
    /// an anchor's key, and then the anchor takes its place, or issued by an anchor.
    pub(crate) fn of(
        mut certificates: Vec<Certificate<'c>>,
        anchors: &'t [Anchor],
        verified_links: &'t VerifiedLinks,
    ) -> Result<Self, ChainError> {
        if certificates.len() > MAX_CERTIFICATES {
            return Err(ChainError::Length);
        }
        // Its own reason, before a root that signs in the same way is called unknown.
        if let Some(index) = certificates.iter().position(|one| is_ml_dsa(one.signature_algorithm)) {
            return Err(ChainError::MlDsa { index });
        }
        let last = certificates.last().ok_or(ChainError::Length)?;
        let presented = anchors.iter().find(|anchor| anchor.public_key() == last.public_key);
        let (anchor, is_last_link_verified) = match presented {
            Some(anchor) if last.is_self_issued() => {
                certificates.pop();
                (anchor, false)
            }
            _ => (issuer_of(last, anchors, verified_links).ok_or(ChainError::UnknownRoot)?, true),
        };
        if certificates.len() < 2 {
            return Err(ChainError::Length);
        }
        let is_anchor = |certificate: &Certificate<'_>| {
            anchors.iter().any(|anchor| anchor.public_key() == certificate.public_key)
        };
        if let Some(index) = certificates.iter().position(is_anchor) {
            return Err(ChainError::MisplacedAnchor { index });
        }
        Ok(Self { certificates, anchor, is_last_link_verified, verified_links })
    }

    /// Verifies names, encoding, constraints and dates, then every signature from the anchor down to the leaf. Returns
    /// the leniencies that the path needed, all of which its rules allow.
    pub(crate) fn verify(&self, rules: Rules, now: Timestamp) -> Result<Leniencies, ChainError> {
        let mut leniencies = Leniencies::default();
        let issuers = || {
            let next = self.certificates.iter().skip(1).map(|issuer| (issuer.subject, issuer.public_key));
            next.chain([(self.anchor.subject(), self.anchor.public_key())])
        };
        for (index, (certificate, (issuer_name, _))) in self.certificates.iter().zip(issuers()).enumerate() {
            if certificate.issuer != issuer_name {
                return Err(ChainError::NameMismatch { index });
            }
            check_encoding(certificate, index, rules.leaf, &mut leniencies)?;
            check_dates(certificate, index, rules, now, &mut leniencies)?;
            check_constraints(certificate, index, rules.authorities, &mut leniencies)?;
        }
        let links: Vec<_> = self.certificates.iter().zip(issuers()).enumerate().collect();
        let verified = usize::from(self.is_last_link_verified);
        for (index, (certificate, (_, issuer_key))) in links.into_iter().rev().skip(verified) {
            let signature = match index {
                0 => verify_link(certificate, issuer_key),
                _ => self.verified_links.verify(certificate, issuer_key),
            };
            signature.map_err(|error| ChainError::Signature { index, error })?;
        }
        Ok(leniencies)
    }
}

/// The anchor that issued a certificate. Several may bear its issuer's name: one whose signature is known already is
/// found without trying the others.
fn issuer_of<'t>(
    certificate: &Certificate<'_>,
    anchors: &'t [Anchor],
    verified_links: &VerifiedLinks,
) -> Option<&'t Anchor> {
    let named = || anchors.iter().filter(|anchor| anchor.subject() == certificate.issuer);
    let known = named().find(|anchor| verified_links.contains(certificate, anchor.public_key()));
    known.or_else(|| named().find(|anchor| verified_links.verify(certificate, anchor.public_key()).is_ok()))
}

/// What the `der` crate does not see, because it is tolerated in one place: a leaf that a device made.
fn check_encoding(
    certificate: &Certificate<'_>,
    index: usize,
    leaf: Leaf,
    leniencies: &mut Leniencies,
) -> Result<(), ChainError> {
    let tolerated = index == 0 && leaf == Leaf::MadeOnDevice;
    let standard = has_standard_parameters(certificate.signature_algorithm)
        .map_err(|error| ChainError::Signature { index, error })?;
    if !standard && !tolerated {
        return Err(ChainError::Signature { index, error: CertificateSignatureError::Parameters });
    }
    if certificate.has_explicit_default() && !tolerated {
        return Err(ChainError::MalformedCertificate { index });
    }
    leniencies.note_if(!standard, Leniency::SignatureParameters);
    leniencies.note_if(certificate.has_explicit_default(), Leniency::ExplicitDefault);
    Ok(())
}

fn check_dates(
    certificate: &Certificate<'_>,
    index: usize,
    rules: Rules,
    now: Timestamp,
    leniencies: &mut Leniencies,
) -> Result<(), ChainError> {
    let dates = match (index, rules.leaf) {
        (0, Leaf::MadeOnDevice) => return Ok(()),
        (0, Leaf::Issued) => Dates::Both,
        _ => rules.issuer_dates,
    };
    let (not_before, not_after) =
        certificate.validity().map_err(|_| ChainError::MalformedCertificate { index })?;
    if now.as_unix_seconds() < not_before {
        return Err(ChainError::NotYetValid { index });
    }
    if now.as_unix_seconds() > not_after {
        if dates == Dates::Both {
            return Err(ChainError::Expired { index });
        }
        leniencies.note(Leniency::ExpiredFactoryCertificate);
    }
    Ok(())
}

fn check_constraints(
    certificate: &Certificate<'_>,
    index: usize,
    authorities: Authorities,
    leniencies: &mut Leniencies,
) -> Result<(), ChainError> {
    let malformed = |_| ChainError::MalformedCertificate { index };
    let strict = authorities == Authorities::Strict;
    if strict && certificate.has_unknown_critical_extension() {
        return Err(ChainError::UnknownCriticalExtension { index });
    }
    let constraints = certificate.basic_constraints().map_err(malformed)?;
    if index == 0 {
        return match constraints {
            BasicConstraints::Authority { .. } if strict => Err(ChainError::LeafIsAuthority),
            _ => Ok(()),
        };
    }
    match constraints {
        BasicConstraints::Authority { path_length } if strict => {
            if !certificate.may_sign_certificates().map_err(malformed)? {
                return Err(ChainError::NotAuthority { index });
            }
            let below = index - 1;
            match path_length {
                Some(limit) if limit < below as u64 => Err(ChainError::PathLength { index }),
                _ => Ok(()),
            }
        }
        BasicConstraints::Authority { .. } => Ok(()),
        _ if !strict
            && is_first_generation_attestation_certificate(certificate, index).map_err(malformed)? =>
        {
            leniencies.note(Leniency::FirstGenerationCertificate);
            Ok(())
        }
        _ => Err(ChainError::NotAuthority { index }),
    }
}

/// [`Leniency::FirstGenerationCertificate`]: the certificates that Google issued in 2016 to the keys
/// which sign leaves say CA:FALSE. They are tolerated directly above the leaf of a factory chain, by their date.
/// An app cannot use this to extend a chain: the certificate of its own key carries a KeyDescription, and one
/// anywhere but in the leaf refuses the chain.
fn is_first_generation_attestation_certificate(
    certificate: &Certificate<'_>,
    index: usize,
) -> Result<bool, crate::asn1::NotDer> {
    const START_OF_2018: u64 = 1_514_764_800;
    Ok(index == 1 && certificate.validity()?.0 < START_OF_2018)
}

#[cfg(test)]
mod tests;
