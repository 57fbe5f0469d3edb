//! Platform evidence: App Attest objects and assertions, certificate chains.

use countersign_core::encoding::base64url;
use countersign_verifier::certificate_file;
use countersign_verifier::certificate_summary::CertificateSummary;
use countersign_verifier::evidence::android_key::UnverifiedKeyDescription;
use countersign_verifier::evidence::app_attest::receipt::UnverifiedReceipt;
use countersign_verifier::evidence::app_attest::{
    UnverifiedAssertion, UnverifiedAttestation, ValidationCategory,
};
use countersign_verifier::evidence::{AttestedKey, EvidenceError};

use super::explanation::{Check, Explanation, Value, members};
use super::fault::Fault;

/// OBJECT IDENTIFIER 1.2.840.113549.1.7.2, id-signedData, as DER.
const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// Explains the CBOR map of an attestation object or assertion.
pub(super) fn explain_app_attest(bytes: &[u8]) -> Result<Explanation, Fault> {
    match (attestation(bytes), assertion(bytes)) {
        (Ok(says), _) => Ok(Explanation {
            kind: "app-attest",
            what: "An App Attest attestation object: Apple vouches for a new key of an app.",
            parts: vec![("says".to_owned(), says)],
            checks: vec![
                Check::not_verified("chain", "`countersign appraise --kind app-attest` verifies it"),
                Check::not_verified(
                    "nonce",
                    "that needs the clientDataHash: --challenge or --client-data-hash there",
                ),
            ],
            ..Explanation::default()
        }),
        (_, Ok(says)) => Ok(Explanation {
            kind: "app-attest-assertion",
            what: "An App Attest assertion: a signature by an attested key of an app.",
            parts: vec![("says".to_owned(), says)],
            checks: vec![Check::not_verified(
                "signature",
                "`countersign appraise --kind app-attest-assertion` verifies it with the attested key",
            )],
            ..Explanation::default()
        }),
        (Err(attestation), Err(assertion)) => {
            let is_assertion = bytes.windows(17).any(|window| window == b"authenticatorData");
            Err(if is_assertion { assertion } else { attestation })
        }
    }
}

/// Explains PEM or DER certificates, and DER that is something else.
pub(super) fn explain_der(bytes: &[u8]) -> Result<Explanation, Fault> {
    if bytes.get(..24).unwrap_or_default().windows(SIGNED_DATA.len()).any(|window| window == SIGNED_DATA) {
        return explain_receipt(bytes);
    }
    let seems = "certificates";
    let certificates = certificate_file::certificates(bytes).map_err(|error| Fault {
        seems,
        reason: error.reason(),
        at: "the file around the certificates".to_owned(),
    })?;
    if let Some(index) = certificates.iter().position(|der| CertificateSummary::of(der).is_err()) {
        return Err(Fault {
            seems,
            reason: "chain_malformed_certificate",
            at: format!("certificate {index} of {}, counted from 0", certificates.len()),
        });
    }
    let described =
        certificates.iter().filter(|der| !matches!(UnverifiedKeyDescription::read(der), Ok(None))).count();
    let (kind, what, cure) = if described > 1 {
        (
            "android-key",
            "An Android key attestation with SEVERAL key descriptions: an attested key has extended the chain.",
            "`countersign appraise --kind android-key` refuses it",
        )
    } else if described == 1 {
        (
            "android-key",
            "An Android key attestation: a certificate chain whose leaf describes a key.",
            "`countersign appraise --kind android-key` verifies it",
        )
    } else {
        (
            "certificates",
            "X.509 certificates; none of them describes an Android key.",
            "nothing here verifies it",
        )
    };
    Ok(Explanation {
        kind,
        what,
        parts: vec![("certificates".to_owned(), chain(&certificates))],
        checks: vec![
            Check::not_verified("chain", cure),
            Check::not_verified("revocation", "see Google's status list by the serial numbers"),
        ],
        ..Explanation::default()
    })
}

fn explain_receipt(bytes: &[u8]) -> Result<Explanation, Fault> {
    let receipt = UnverifiedReceipt::read(bytes).map_err(|error| Fault {
        seems: "an App Attest receipt",
        reason: error.reason(),
        at: error.explanation(),
    })?;
    let says = members([
        ("type", name(&receipt.receipt_type)),
        ("app_id", receipt.app_id.into()),
        ("environment", receipt.environment.map(|environment| name(&environment)).into()),
        ("key", key(&receipt.key)),
        ("client_hash", Value::hex(&receipt.client_hash)),
        ("token", format!("{} bytes, for Apple alone", receipt.token_length).into()),
        ("created", Some(receipt.creation_time).into()),
        ("risk_metric", receipt.risk_metric.map(Value::from).into()),
        ("exchangeable_from", receipt.not_before.into()),
        ("expires", Some(receipt.expiration_time).into()),
        ("certificates", chain(&receipt.certificates)),
    ]);
    Ok(Explanation {
        kind: "app-attest-receipt",
        what: "An App Attest receipt: Apple's word on a key, to be exchanged for one with a risk metric.",
        parts: vec![("says".to_owned(), says)],
        checks: vec![Check::not_verified(
            "signature",
            "`countersign appraise --kind app-attest` verifies it within its attestation object",
        )],
        ..Explanation::default()
    })
}

/// What an attestation object says.
pub(super) fn attestation(object: &[u8]) -> Result<Value, Fault> {
    let claimed = UnverifiedAttestation::read(object)
        .map_err(|error| fault("an App Attest attestation object", error))?;
    Ok(members([
        ("rp_id_hash", Value::hex(&claimed.rp_id_hash)),
        ("environment", name(&claimed.environment)),
        ("counter", u64::from(claimed.counter).into()),
        ("key_id", base64url(&claimed.credential_id).into()),
        ("key", key(&claimed.key)),
        ("validation_category", category(claimed.validation_category)),
        ("bundle_version", claimed.bundle_version.into()),
        ("receipt", claimed.receipt_length.map(|length| format!("{length} bytes")).into()),
        ("certificates", chain(&claimed.certificates)),
    ]))
}

/// What an assertion says.
pub(super) fn assertion(assertion: &[u8]) -> Result<Value, Fault> {
    let claimed =
        UnverifiedAssertion::read(assertion).map_err(|error| fault("an App Attest assertion", error))?;
    Ok(members([
        ("rp_id_hash", Value::hex(&claimed.rp_id_hash)),
        ("counter", u64::from(claimed.counter).into()),
        ("validation_category", category(claimed.validation_category)),
        ("bundle_version", claimed.bundle_version.into()),
    ]))
}

/// What the certificates of a chain say, and the key description where there is one.
pub(super) fn chain(certificates: &[Vec<u8>]) -> Value {
    Value::List(certificates.iter().map(|der| certificate(der)).collect())
}

fn certificate(der: &[u8]) -> Value {
    let Ok(summary) = CertificateSummary::of(der) else {
        return Value::text("not a certificate");
    };
    let description = match UnverifiedKeyDescription::read(der) {
        Ok(None) => None,
        Ok(Some(description)) => serde_json::to_value(description).ok().map(Value::Json),
        Err(error) => Some(Value::Text(format!("{}: {}", error.reason(), error.explanation()))),
    };
    let (from, until) = summary.validity.unzip();
    members([
        ("subject", summary.subject.into()),
        ("issuer", summary.issuer.into()),
        ("serial", summary.serial.into()),
        ("from", from.into()),
        ("until", until.into()),
        ("key", summary.key.into()),
        ("authority", Value::Flag(summary.is_authority)),
        ("key_description", description.into()),
    ])
}

fn category(category: Option<ValidationCategory>) -> Value {
    category.map(|category| Value::Named(category.name().to_owned(), category.0.into())).into()
}

fn key(key: &AttestedKey) -> Value {
    match key {
        AttestedKey::P256(key) => Value::hex(&key.to_p256_sec1().unwrap_or([0; 65])),
        _ => name(key),
    }
}

fn name(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).map(Value::Json).unwrap_or_else(|_| "unknown".into())
}

fn fault(seems: &'static str, error: EvidenceError) -> Fault {
    Fault { seems, reason: error.reason(), at: error.explanation() }
}
