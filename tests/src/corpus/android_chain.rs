//! Chains of Android key attestation whose certificates are issued otherwise than Google issues them.

use const_oid::ObjectIdentifier;
use countersign_virtual_device::Seed;
use countersign_virtual_device::asn1;
use countersign_virtual_device::certificate::{
    Certificate, DAY, Extension, IssuerKey, Link, SignatureHash, p256_public_key_info, sign_chain,
};

use super::android_key::{Input, case, challenge, phone, unsigned_chain};
use super::case::Case;
use super::case::Expected::Invalid;
use super::{NOW, google};

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// Below the arc of enterprises that have no number.
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.0.1");

/// Chains whose certificates the attacker could have issued otherwise.
pub(super) fn cases() -> Vec<Case<Input>> {
    type Change = fn(&mut Vec<Link>);
    let changes: [(&str, &str, &str, Change); 14] = [
        ("ca-expired", "the certificate above the chip's has expired", "chain_expired", |links| {
            links[2].certificate.not_after = NOW.minus(DAY);
        }),
        ("upper-ca-expired", "the certificate below the root has expired", "chain_expired", |links| {
            links[3].certificate.not_after = NOW.minus(DAY);
        }),
        (
            "upper-ca-not-yet-valid",
            "the certificate below the root is not valid yet",
            "chain_not_yet_valid",
            |links| {
                links[3].certificate.not_before = NOW.plus(DAY);
            },
        ),
        ("path-too-long", "an authority that may have none below it has one", "chain_path_length", |links| {
            links[2].certificate.set_path_length(0);
        }),
        (
            "ca-without-key-usage",
            "an authority may sign, but no certificates",
            "chain_not_authority",
            |links| {
                links[2].certificate.set_key_usage(0x80);
            },
        ),
        (
            "chip-without-basic-constraints",
            "the chip's certificate does not say whether it is a CA",
            "chain_not_authority",
            |links| {
                links[1].certificate.remove_extension(BASIC_CONSTRAINTS);
            },
        ),
        (
            "unknown-critical-extension",
            "the chip's certificate has a critical extension that nobody knows",
            "chain_unknown_critical_extension",
            |links| {
                let value = asn1::null();
                let unknown = Extension { id: UNKNOWN, critical: true, value };
                links[1].certificate.extensions.push(unknown);
            },
        ),
        (
            "basic-constraints-twice",
            "the chip's certificate says twice that it is a CA",
            "chain_malformed_certificate",
            |links| {
                links[1].certificate.extensions.push(Extension::basic_constraints(true, None));
            },
        ),
        (
            "leaf-issuer-renamed",
            "the leaf names another issuer than the one who signed it",
            "chain_name_mismatch",
            |links| {
                links[0].certificate.issuer = links[3].certificate.subject.clone();
            },
        ),
        (
            "leaf-signed-by-upper-ca",
            "the leaf names the chip and is signed by the authority above it",
            "certificate_signature_invalid",
            |links| {
                links[0].key = links[2].key.clone();
            },
        ),
        (
            "leaf-signed-by-unknown",
            "the leaf is signed by a key that nobody certified",
            "certificate_signature_invalid",
            |links| {
                links[0].key = IssuerKey::P256(Seed::from_text("unknown").p256_key("key"));
            },
        ),
        (
            "chip-signed-by-unknown",
            "the chip's certificate is signed by a key that nobody certified",
            "certificate_signature_invalid",
            |links| {
                links[1].key = IssuerKey::P256(Seed::from_text("unknown").p256_key("key"));
            },
        ),
        (
            "below-root-signed-by-unknown",
            "the certificate below the genuine root is signed by a key that nobody certified",
            "certificate_signature_invalid",
            |links| {
                links[3].key = IssuerKey::P384(Seed::from_text("unknown").p384_key("key"));
            },
        ),
        (
            "serial-empty",
            "the chip's certificate has a serial number without a byte",
            "chain_malformed_certificate",
            |links| {
                links[1].certificate.serial.clear();
            },
        ),
    ];
    let mut cases: Vec<_> = changes
        .map(|(id, summary, reason, change)| {
            let description = phone().key_description(&challenge(id), NOW).encode();
            let mut links = unsigned_chain(&phone(), description);
            change(&mut links);
            case(id, Invalid(reason), summary, sign_chain(&links))
        })
        .into();
    cases.push(case(
        "root-reissued",
        Invalid("chain_unknown_root"),
        "a self-signed certificate with the root's name, serial number and key identifier, and another key",
        {
            let id = "root-reissued";
            let mut links = unsigned_chain(&phone(), phone().key_description(&challenge(id), NOW).encode());
            let key = IssuerKey::P384(Seed::from_text("unknown").p384_key("root"));
            let [.., below, root] = links.as_mut_slice() else {
                unreachable!("a chain has five certificates")
            };
            root.certificate.subject_public_key_info = key.subject_public_key_info();
            (below.key, root.key) = (key.clone(), key);
            sign_chain(&links)
        },
    ));
    cases.push(case(
        "key-certifies-key",
        Invalid("evidence_misplaced_key_description"),
        "a further leaf, issued by a genuinely attested key that says that it is a CA",
        {
            let id = "key-certifies-key";
            let issuing = Seed::from_text("issuing").p256_key("key");
            let info = p256_public_key_info(&issuing.verifying_key().to_sec1_bytes());
            let description = phone().key_description(b"another challenge", NOW).encode();
            let mut links = google().chain(&phone().chip(), info, description, NOW);
            let leaf = Certificate { issuer: links[0].certificate.subject.clone(), ..forged_leaf(id) };
            let key = IssuerKey::P256(issuing);
            links.insert(0, Link { certificate: leaf, key, hash: SignatureHash::Sha256 });
            sign_chain(&links)
        },
    ));
    cases
}

/// A leaf with everything that the phone would say of its key, not yet signed.
fn forged_leaf(id: &str) -> Certificate {
    unsigned_chain(&phone(), phone().key_description(&challenge(id), NOW).encode()).remove(0).certificate
}
