//! Android key attestation: a certificate chain whose leaf holds a new key and what the device says about it.

mod authorization_list;
mod enumerations;
mod key_description;
mod patch_level;
mod provisioning;
mod unverified;

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use der::asn1::ObjectIdentifier;
use serde::Serialize;
use subtle::ConstantTimeEq;

use super::{AttestedKey, Claims, EvidenceError, EvidenceKind, VerifiedEvidence};
use crate::anchors::TrustAnchors;
use crate::certificate::Certificate;
use crate::chain::{Authorities, ChainError, Dates, Leaf, Path, Rules};
use crate::crypto::sha256;
use crate::leniency::Leniencies;
use crate::revocation::{RevocationList, serial_hex};

pub use self::authorization_list::{ApplicationId, AuthorizationList, Package, RootOfTrust};
pub use self::enumerations::{
    BootState, Digest, EcCurve, KeyAlgorithm, KeyOrigin, KeyPurpose, MlDsaVariant, SecurityLevel,
};
use self::key_description::KeyDescription;
pub use self::patch_level::PatchLevel;
pub use self::provisioning::{Provisioning, ProvisioningInfo};
pub use self::unverified::UnverifiedKeyDescription;

/// KeyDescription.
const KEY_DESCRIPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.17");

/// Chains whose keys were burnt in at the factory: expiry means nothing, as nothing could be renewed.
const FACTORY: Rules = Rules {
    leaf: Leaf::MadeOnDevice,
    issuer_dates: Dates::NotBefore,
    authorities: Authorities::FactoryProvisioned,
};

/// Remotely provisioned chains, and whatever is not known to be from the factory: no leniency.
const REMOTE: Rules =
    Rules { leaf: Leaf::MadeOnDevice, issuer_dates: Dates::Both, authorities: Authorities::Strict };

/// What an Android key attestation says. Identifiers of the device (serial number, IMEI, unique id) are never kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AndroidKeyClaims {
    /// Version of the attestation format: 1 to 4, then 100, 200, … by KeyMint version.
    pub attestation_version: u64,
    /// Where the attestation was made.
    pub attestation_security_level: SecurityLevel,
    /// Version of Keymaster or KeyMint.
    pub keymint_version: u64,
    /// Where the key lives.
    pub keymint_security_level: SecurityLevel,
    /// What Android's system software enforces; worth as much as the verified boot state.
    pub software_enforced: AuthorizationList,
    /// What the secure hardware enforces.
    pub hardware_enforced: AuthorizationList,
    /// How the attestation key came onto the device.
    pub provisioning: Provisioning,
    /// What the provisioning server said of the device, if the chain has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_info: Option<ProvisioningInfo>,
    /// Whether the chain says that the attestation key belongs to a StrongBox.
    pub strongbox_in_chain: bool,
    /// SHA-256 of the SubjectPublicKeyInfo of the attestation key, which signed the leaf. Factory keys are shared by
    /// 100,000 phones and more, remotely provisioned ones belong to one app on one device for some days.
    #[serde(serialize_with = "super::hex")]
    pub attestation_key: [u8; 32],
    /// The anchor that the chain ended in.
    pub anchor: String,
    /// Serial numbers of the chain in hex, leaf first, as status lists name them.
    pub serials: Vec<String>,
    /// Whether a status list was consulted. None of the certificates was on it, or there would be no claims.
    pub revocation_checked: bool,
    /// The time as of which that list was.
    #[serde(serialize_with = "super::optional_unix_seconds", skip_serializing_if = "Option::is_none")]
    pub revocation_as_of: Option<Timestamp>,
    /// Departures from the standards that were tolerated.
    #[serde(skip_serializing_if = "Leniencies::is_empty")]
    pub leniencies: Leniencies,
}

/// Verifies a chain (DER, leaf first, with or without its root) for a key that was made with `challenge`.
///
/// The steps are numbered as in Google's "Verify hardware-backed key pairs with key attestation"; dates and the
/// position of the extension are judged as Google's own verifier library does, which is stricter than that page.
///
/// # Errors
/// [`EvidenceError`]. Security level, boot state, application and key parameters are claims, to be appraised.
pub fn verify(
    chain: &[&[u8]],
    challenge: &[u8],
    anchors: &TrustAnchors,
    revocation: Option<&RevocationList>,
    now: Timestamp,
) -> Result<VerifiedEvidence, EvidenceError> {
    if challenge.is_empty() {
        return Err(EvidenceError::EmptyChallenge);
    }

    // 1. and 2. The chain ends in a known root key; issuers, signatures and dates hold. What stands where is looked at
    // first: it costs nothing, and names an extended chain for what it is.
    let path = Path::find(chain, anchors.android_key(), anchors.verified_links())?;
    let extension = key_description(&path)?;
    let provisioning_info = ProvisioningInfo::of(&path)?;
    let provisioning = Provisioning::of(&path)?;
    let rules = if provisioning == Provisioning::Factory { FACTORY } else { REMOTE };
    let mut leniencies = path.verify(rules, now)?;

    // 3. No certificate of it is revoked or suspended.
    if let Some(list) = revocation {
        for (index, certificate) in path.certificates.iter().enumerate() {
            if let Some(status) = list.status(certificate.serial) {
                return Err(EvidenceError::Revoked { index, status });
            }
        }
    }

    // 4. and 5. The one KeyDescription, in the leaf.
    let description = KeyDescription::decode(extension, &mut leniencies)?;
    let [leaf, above_leaf, ..] = path.certificates.as_slice() else {
        return Err(ChainError::Length.into());
    };

    // 6. The challenge is ours.
    if !bool::from(description.challenge.ct_eq(challenge)) {
        return Err(EvidenceError::ChallengeMismatch);
    }

    // 7. Everything else in the description is a claim.
    let claims = AndroidKeyClaims {
        attestation_version: description.attestation_version,
        attestation_security_level: description.attestation_security_level,
        keymint_version: description.keymint_version,
        keymint_security_level: description.keymint_security_level,
        software_enforced: description.software_enforced,
        hardware_enforced: description.hardware_enforced,
        provisioning,
        provisioning_info,
        strongbox_in_chain: provisioning.names_a_strongbox(&path)?,
        attestation_key: sha256(above_leaf.public_key),
        anchor: path.anchor.name().to_owned(),
        serials: path.certificates.iter().map(|certificate| serial_hex(certificate.serial)).collect(),
        revocation_checked: revocation.is_some(),
        revocation_as_of: revocation.map(RevocationList::as_of),
        leniencies,
    };
    Ok(VerifiedEvidence {
        kind: EvidenceKind::AndroidKey,
        evidence_time: now,
        attested_key: AttestedKey::from_spki(leaf.public_key)?,
        protection: protection(&claims),
        counter: None,
        claims: Claims::AndroidKey(Box::new(claims)),
    })
}

/// SHA-256 of the SubjectPublicKeyInfo of the key that is said to have signed the leaf, as in
/// [`AndroidKeyClaims::attestation_key`], before anything is verified: to look up what is known of that key.
pub fn unverified_attestation_key(chain: &[Vec<u8>]) -> Option<[u8; 32]> {
    let above_leaf = Certificate::decode(chain.get(1)?).ok()?;
    Some(sha256(above_leaf.public_key))
}

/// The value of the leaf's KeyDescription, which must be the only one. One above the leaf means that an attested key
/// was used to issue a certificate: what such a leaf says was written by whoever holds that key, unless it is a key
/// for nothing else (purpose ATTEST_KEY), which secure hardware uses by itself. Neither is accepted.
fn key_description<'c>(path: &Path<'c, '_>) -> Result<&'c [u8], EvidenceError> {
    let mut found = path.certificates.iter().enumerate().filter_map(|(index, certificate)| {
        certificate.extension(&KEY_DESCRIPTION).map(|extension| (index, extension))
    });
    let first = found.next().ok_or(EvidenceError::MissingKeyDescription)?;
    match found.next().map_or(first, |second| second) {
        (0, extension) => Ok(extension),
        (index, extension) => {
            let description = KeyDescription::decode(extension, &mut Leniencies::default());
            let purposes = description.map(|description| description.hardware_enforced.purposes);
            Err(match purposes.as_deref() {
                Ok([KeyPurpose::Attest]) => EvidenceError::AttestKeyChain { index },
                _ => EvidenceError::MisplacedKeyDescription { index },
            })
        }
    }
}

/// The weaker of both levels; a StrongBox only if the chain says so too, because a broken TEE can claim anything.
fn protection(claims: &AndroidKeyClaims) -> Protection {
    match (claims.attestation_security_level, claims.keymint_security_level) {
        (SecurityLevel::StrongBox, SecurityLevel::StrongBox) if claims.strongbox_in_chain => {
            Protection::Strongbox
        }
        (
            SecurityLevel::StrongBox | SecurityLevel::TrustedEnvironment,
            SecurityLevel::StrongBox | SecurityLevel::TrustedEnvironment,
        ) => Protection::Tee,
        _ => Protection::Software,
    }
}
