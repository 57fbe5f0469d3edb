//! Platform evidence, as it reads.

use countersign_verifier::evidence::android_key::UnverifiedKeyDescription;
use countersign_verifier::evidence::app_attest::{UnverifiedAssertion, UnverifiedAttestation};
use countersign_verifier::revocation::serial_hex;
use serde_json::json;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::finding::Finding;

const JUDGE: &str = "Nothing of it was verified; `countersign appraise` judges it.";

/// OBJECT IDENTIFIER 1.2.840.113549.1.7.2, id-signedData (RFC 5652).
const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// An App Attest attestation object or assertion.
pub(super) fn app_attest(bytes: &[u8]) -> Option<Finding> {
    if let Ok(object) = UnverifiedAttestation::read(bytes) {
        let mut finding = Finding::new("App Attest attestation object", json!(object)).note(JUDGE);
        for certificate in &object.certificates {
            finding = finding.part(summary(certificate));
        }
        return Some(finding);
    }
    if let Ok(assertion) = UnverifiedAssertion::read(bytes) {
        return Some(Finding::new("App Attest assertion", json!(assertion)).note(JUDGE));
    }
    broken(bytes)
}

/// What was meant to be App Attest's, by the names in it, and why it cannot be read.
fn broken(bytes: &[u8]) -> Option<Finding> {
    let holds = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    if holds(&SIGNED_DATA) && bytes.first() == Some(&0x30) {
        let sentence = "It may be an App Attest receipt; what is in it, Apple answers for.";
        return Some(Finding::new("CMS signed data", json!({ "bytes": bytes.len() })).note(sentence));
    }
    let (what, error) = if holds(b"attStmt") || holds(b"authData") {
        ("App Attest attestation object", UnverifiedAttestation::read(bytes).err()?)
    } else if holds(b"authenticatorData") {
        ("App Attest assertion", UnverifiedAssertion::read(bytes).err()?)
    } else {
        return None;
    };
    let sentence = format!("It cannot be read: {}", error.explanation());
    Some(Finding::new(what, json!({ "bytes": bytes.len() })).note(sentence))
}

/// A certificate chain, and what its certificates say of an Android key.
pub(super) fn chain(certificates: &[Vec<u8>]) -> Option<Finding> {
    let descriptions: Vec<_> = certificates.iter().map(|der| UnverifiedKeyDescription::read(der)).collect();
    let described = descriptions.iter().filter(|description| matches!(description, Ok(Some(_)))).count();
    let what = if described > 0 { "Android key attestation chain" } else { "certificate chain" };
    let mut finding = Finding::new(what, json!({ "certificates": certificates.len() })).note(JUDGE);
    if described > 1 {
        finding = finding
            .note("SEVERAL certificates carry a KeyDescription: the chain was extended by an attested key.");
    }
    for (certificate, description) in certificates.iter().zip(descriptions) {
        let mut part = summary(certificate);
        match description {
            Ok(Some(description)) => part = part.part(Finding::new("KeyDescription", json!(description))),
            Ok(None) => {}
            Err(error) => {
                part = part.note(format!(
                    "The certificate or its KeyDescription cannot be read: {}.",
                    error.reason()
                ))
            }
        }
        finding = finding.part(part);
    }
    if certificates.is_empty() { None } else { Some(finding) }
}

fn summary(der: &[u8]) -> Finding {
    let Ok(certificate) = Certificate::from_der(der) else {
        return Finding::new("certificate", json!({ "bytes": der.len() }))
            .note("It is not DER of a certificate.");
    };
    let tbs = certificate.tbs_certificate();
    let facts = json!({
        "subject": tbs.subject().to_string(),
        "issuer": tbs.issuer().to_string(),
        "serial": serial_hex(tbs.serial_number().as_bytes()),
        "not_before": tbs.validity().not_before.to_unix_duration().as_secs(),
        "not_after": tbs.validity().not_after.to_unix_duration().as_secs(),
    });
    Finding::new("certificate", facts)
}
