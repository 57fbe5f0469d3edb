//! Apple App Attest: the attestation of a new key. Assertions by that key are verified by [`verify_assertion`].
//!
//! The numbered steps are those of Apple's "Validating apps that connect to your server".

mod assertion;
mod authenticator_data;
pub mod receipt;
mod statement;
mod unverified;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::Protection;
use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};
use serde::{Serialize, Serializer};

use super::{AttestedKey, Claims, EvidenceError, EvidenceKind, Hex, VerifiedEvidence};
use crate::anchors::TrustAnchors;
use crate::asn1::{Members, NotDer};
use crate::certificate::Certificate;
use crate::chain::{Authorities, Dates, Leaf, Path, Rules};
use crate::crypto::{sha256, sha256_of};

pub use self::assertion::verify_assertion;
pub use self::authenticator_data::{AppAttestEnvironment, ValidationCategory};
use self::authenticator_data::{AttestedCredential, AuthenticatorData};
use self::receipt::{Receipt, ReceiptError, ReceiptSubject, ReceiptType};
use self::statement::AttestationObject;
pub use self::unverified::{UnverifiedAssertion, UnverifiedAttestation};

/// Longest attestation object or assertion read, in bytes; genuine ones are below 8 KiB.
pub const MAX_LENGTH: usize = 64 * 1024;

const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.2");
const KEY_ACCESS_CONTROL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.6");
const OS_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.7");

/// All dates count, except the anchor's: leaves live for days, the intermediate for years.
const RULES: Rules =
    Rules { leaf: Leaf::Issued, issuer_dates: Dates::Both, authorities: Authorities::Strict };

/// What App Attest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppAttestClaims {
    /// SHA-256 of the App ID, `<team>.<bundle>`.
    #[serde(serialize_with = "super::hex")]
    pub rp_id_hash: [u8; 32],
    /// The key identifier: SHA-256 of the public key's uncompressed point.
    #[serde(serialize_with = "super::hex")]
    pub key_id: [u8; 32],
    /// The environment; None in assertions, which do not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<AppAttestEnvironment>,
    /// How the app was distributed, from iOS 27 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_category: Option<ValidationCategory>,
    /// The app's bundle version, from iOS 27 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_version: Option<String>,
    /// The version of the operating system, as an undocumented extension of the leaf has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The access rules of the key in the Secure Enclave, as the leaf has them. On macOS 27 they tell whether the
    /// Mac runs with full security; Apple's constant for that is not known here, so nothing is concluded from it.
    #[serde(serialize_with = "super::optional_hex", skip_serializing_if = "Option::is_none")]
    pub key_access_control: Option<Vec<u8>>,
    /// The receipt as it came; serialised as its length and hash.
    #[serde(serialize_with = "receipt_digest", skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Vec<u8>>,
    /// What the receipt says, or why it was not accepted: that does not make the attestation any less authentic.
    /// None in assertions, which carry no receipt.
    #[serde(serialize_with = "receipt_verdict", skip_serializing_if = "Option::is_none")]
    pub receipt_verdict: Option<Result<Receipt, ReceiptError>>,
    /// The anchor that the chain ended in; None in assertions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
}

/// Verifies the attestation of a new App Attest key. `client_data_hash` is what the app handed to `attestKey`;
/// by Apple's interface 32 bytes, but any length is taken as it is.
///
/// # Errors
/// [`EvidenceError`]. Which app it is and in which environment are claims, to be appraised.
pub fn verify_attestation(
    object: &[u8],
    key_id: &[u8; 32],
    client_data_hash: &[u8],
    anchors: &TrustAnchors,
    now: Timestamp,
) -> Result<VerifiedEvidence, EvidenceError> {
    let object = AttestationObject::decode(object)?;
    let data = AuthenticatorData::decode(object.authenticator_data)?;
    let (credential, extensions) = AttestedCredential::decode(&data)?;

    // 1. The certificates lead to the App Attest root and are valid now.
    let path = Path::find(&object.certificates, anchors.app_attest(), anchors.verified_links())?;
    path.verify(RULES, now)?;
    let leaf = path.certificates.first().ok_or(EvidenceError::MissingNonce)?;

    // 2. and 3. The nonce is the hash of the authenticator data and the client data hash.
    let nonce = sha256_of(&[object.authenticator_data, client_data_hash]);

    // 4. It is the one in the leaf.
    if nonce_of(leaf)? != nonce {
        return Err(EvidenceError::NonceMismatch);
    }

    // 5. The key identifier is the hash of the leaf's public key.
    let AttestedKey::P256(key) = AttestedKey::from_spki(leaf.public_key)? else {
        return Err(EvidenceError::UnsupportedKey);
    };
    if key_id_of(&key)? != *key_id {
        return Err(EvidenceError::KeyIdMismatch);
    }

    // 6. The App ID's hash is a claim: `rp_id_hash`.

    // 7. The counter is zero.
    if data.counter != 0 {
        return Err(EvidenceError::CounterNotZero);
    }

    // 8. The environment is a claim: `environment`.

    // 9. The credential identifier is the key identifier. Apple's list ends here; that the COSE key is the
    // leaf's is demanded as well, so that no reader can take the one for the other.
    if credential.id != key_id {
        return Err(EvidenceError::CredentialIdMismatch);
    }
    if credential.key != key {
        return Err(EvidenceError::CredentialKeyMismatch);
    }

    let subject = ReceiptSubject {
        rp_id_hash: &data.rp_id_hash,
        public_key: &key,
        environment: credential.environment,
    };
    let receipt_verdict = match object.receipt {
        Some(receipt) => Receipt::verify(receipt, ReceiptType::Attest, subject, anchors, now),
        None => Err(ReceiptError::Missing),
    };

    Ok(VerifiedEvidence {
        kind: EvidenceKind::AppAttest,
        evidence_time: now,
        attested_key: AttestedKey::P256(key),
        protection: Protection::SecureEnclave,
        counter: Some(0),
        claims: Claims::AppAttest(Box::new(AppAttestClaims {
            rp_id_hash: data.rp_id_hash,
            key_id: *key_id,
            environment: Some(credential.environment),
            validation_category: extensions.validation_category,
            bundle_version: extensions.bundle_version,
            os_version: os_version_of(leaf),
            key_access_control: key_access_control_of(leaf),
            receipt: object.receipt.map(<[u8]>::to_vec),
            receipt_verdict: Some(receipt_verdict),
            anchor: Some(path.anchor.name().to_owned()),
        })),
    })
}

/// The key identifier inside an attestation object, unverified: for a person who has only the object.
///
/// # Errors
/// [`EvidenceError`] if it cannot be read.
pub fn claimed_key_id(object: &[u8]) -> Result<[u8; 32], EvidenceError> {
    let object = AttestationObject::decode(object)?;
    let data = AuthenticatorData::decode(object.authenticator_data)?;
    let (credential, _) = AttestedCredential::decode(&data)?;
    credential.id.try_into().map_err(|_| EvidenceError::CredentialIdMismatch)
}

/// SHA-256 of the uncompressed point.
fn key_id_of(key: &PublicKey) -> Result<[u8; 32], EvidenceError> {
    key.to_p256_sec1().map(|point| sha256(&point)).ok_or(EvidenceError::UnsupportedKey)
}

/// The nonce in the leaf: `SEQUENCE { [1] { OCTET STRING (32) } }` and nothing else.
fn nonce_of(leaf: &Certificate<'_>) -> Result<[u8; 32], EvidenceError> {
    let extension = leaf.extension(&NONCE).ok_or(EvidenceError::MissingNonce)?;
    let read = || -> Result<[u8; 32], NotDer> {
        let mut outer = Members::of_sequence(extension)?;
        let mut tagged = Members::of(outer.content(context(1))?)?;
        outer.finish()?;
        let nonce = tagged.content(Tag::OctetString)?.try_into().map_err(|_| NotDer)?;
        tagged.finish()?;
        Ok(nonce)
    };
    read().map_err(|_| EvidenceError::MalformedNonce)
}

/// `[1400] OCTET STRING` of the leaf's system extension. Undocumented, so anything unexpected is just unknown.
fn os_version_of(leaf: &Certificate<'_>) -> Option<String> {
    const LONGEST: usize = 32;
    let mut members = Members::of_sequence(leaf.extension(&OS_VERSION)?).ok()?;
    while !members.is_finished() {
        let (tag, content) = members.any().ok()?;
        if tag == context(1400) {
            let version = crate::asn1::only(content, Tag::OctetString).ok()?;
            let printable = version.iter().all(u8::is_ascii_graphic) && version.len() <= LONGEST;
            return core::str::from_utf8(version).ok().filter(|_| printable).map(str::to_owned);
        }
    }
    None
}

/// The value of the leaf's extension for the access rules of the key, unless it is unreasonably long.
fn key_access_control_of(leaf: &Certificate<'_>) -> Option<Vec<u8>> {
    const LONGEST: usize = 512;
    leaf.extension(&KEY_ACCESS_CONTROL).filter(|rules| rules.len() <= LONGEST).map(<[u8]>::to_vec)
}

fn receipt_digest<S: Serializer>(receipt: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    let receipt = receipt.as_deref().unwrap_or_default();
    serializer.collect_str(&format_args!("{} bytes, sha-256 {}", receipt.len(), Hex(&sha256(receipt))))
}

fn receipt_verdict<S: Serializer>(
    verdict: &Option<Result<Receipt, ReceiptError>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match verdict {
        Some(Ok(receipt)) => receipt.serialize(serializer),
        Some(Err(error)) => serializer.serialize_str(error.reason()),
        None => serializer.serialize_none(),
    }
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

#[cfg(test)]
mod tests {
    use countersign_virtual_device::certificate::{
        Certificate as Content, Extension, IssuerKey, SignatureHash, name,
    };
    use countersign_virtual_device::{AppleAuthority, Seed, VirtualIphone, asn1};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    /// What `read` makes of a leaf with this extension.
    fn read_from_leaf<T>(
        id: ObjectIdentifier,
        value: Vec<u8>,
        read: impl FnOnce(&Certificate<'_>) -> T,
    ) -> T {
        let key = IssuerKey::P256(Seed::from_text("a leaf").p256_key("key"));
        let content = Content {
            serial: vec![1],
            issuer: name(&[]),
            subject: name(&[]),
            not_before: NOW,
            not_after: NOW,
            subject_public_key_info: key.subject_public_key_info(),
            extensions: vec![Extension::new(id, value)],
            writes_defaults: false,
        };
        read(&Certificate::decode(&content.sign(&key, SignatureHash::Sha256)).unwrap())
    }

    #[test]
    fn a_systems_version_is_up_to_32_printable_characters_or_unknown() {
        let version = |text: &[u8]| {
            let members =
                [asn1::explicit(1399, &asn1::integer(1)), asn1::explicit(1400, &asn1::octet_string(text))];
            read_from_leaf(OS_VERSION, asn1::sequence(members), os_version_of)
        };
        assert_eq!(version(b"18.6.2"), Some("18.6.2".to_owned()));
        assert_eq!(version(&[b'1'; 32]), Some("1".repeat(32)));
        for unknown in [&[b'1'; 33][..], b"18 6", b"18\n", b"\xff", "18\u{a0}".as_bytes()] {
            assert_eq!(version(unknown), None, "{unknown:?}");
        }
        let without = asn1::sequence([asn1::explicit(1399, &asn1::octet_string(b"18"))]);
        assert_eq!(read_from_leaf(OS_VERSION, without, os_version_of), None);
    }

    #[test]
    fn the_access_rules_of_a_key_are_kept_as_they_are_unless_they_are_too_long() {
        let rules = |length| read_from_leaf(KEY_ACCESS_CONTROL, vec![0x30; length], key_access_control_of);
        assert_eq!(rules(3), Some(vec![0x30; 3]));
        assert_eq!(rules(512), Some(vec![0x30; 512]));
        assert_eq!(rules(513), None);
        assert_eq!(read_from_leaf(NONCE, vec![0x30], key_access_control_of), None);
    }

    #[test]
    fn a_person_is_told_the_key_that_an_object_claims() {
        let seed = Seed::from_text("claimed");
        let phone = VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed);
        let attestation = phone.attest(&[7; 32], NOW);
        assert_eq!(claimed_key_id(&attestation.object), Ok(attestation.key_id));
        assert!(claimed_key_id(&attestation.object[1..]).is_err());
    }
}
