//! Platform evidence, as it reads.

use countersign_verifier::evidence::android_key::UnverifiedKeyDescription;
use countersign_verifier::evidence::app_attest::{UnverifiedAssertion, UnverifiedAttestation};
use countersign_verifier::revocation::serial_hex;
use serde_json::json;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::finding::Finding;

const JUDGE: &str = "Nothing of it was verified; `countersign appraise` judges it.";

/// An App Attest attestation object or assertion.
pub(super) fn app_attest(bytes: &[u8]) -> Option<Finding> {
    if let Ok(object) = UnverifiedAttestation::read(bytes) {
        let mut finding = Finding::new("App Attest attestation object", json!(object)).note(JUDGE);
        for certificate in &object.certificates {
            finding = finding.part(summary(certificate));
        }
        return Some(finding);
    }
    let assertion = UnverifiedAssertion::read(bytes).ok()?;
    Some(Finding::new("App Attest assertion", json!(assertion)).note(JUDGE))
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
