//! Android key attestation cases.

use countersign_core::token::result::Protection;
use countersign_verifier::certificate_file;
use countersign_verifier::evidence::android_key;
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppraisalPolicy, Constraint, Danger, Enforcement};
use countersign_verifier::revocation::RevocationList;
use serde_json::Value;

use crate::case::{CLIENT, Case, Verdict, hex};

/// Constraints on the key itself. The collection holds RSA keys and keys for other uses, which genuine devices
/// attest all the same; at enrolment they are required.
const NOT_JUDGED: [Constraint; 4] =
    [Constraint::KeyAlgorithm, Constraint::KeyCurve, Constraint::KeyPurpose, Constraint::KeyDigest];

pub(crate) fn chain(case: &Case) -> Verdict {
    let policy = policy(case);
    let anchors = policy.danger().trust_anchors().expect("the synthetic root is a root");
    let Ok(certificates) = certificate_file::certificates(&case.evidence()) else {
        return Verdict::Unverified("certificate_file");
    };
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    let status_list = case.member("status_list").as_str().map(|file| {
        RevocationList::parse(&case.read(file), case.verify_at())
            .expect("the collection's status lists are well-formed")
    });
    let challenge =
        case.member("challenge_hex").as_str().or_else(|| described(case)["challenge_hex"].as_str());
    // Two chains that cannot be read have no known challenge; they must be refused for what they are.
    let challenge = hex(challenge.unwrap_or("00"));
    let now = case.verify_at();
    let verified = android_key::verify(&certificates, &challenge, &anchors, status_list.as_ref(), now);
    Verdict::of(verified, &policy, now)
}

fn policy(case: &Case) -> AppraisalPolicy {
    let mut app = AppPolicy::new(CLIENT);
    app.android.push(application(case));
    if case.member("required_level").as_str() == Some("STRONGBOX") {
        app.minimum_protection = Protection::Strongbox;
    }
    for constraint in NOT_JUDGED {
        app.enforcements.set(constraint, None, Enforcement::Ignore);
    }
    let danger = Danger {
        android_key_roots: case.synthetic_root().into_iter().collect(),
        weak_keys: NOT_JUDGED.to_vec(),
        ..Danger::default()
    };
    AppraisalPolicy::new("vectors/1").with_app(app).with_danger(danger)
}

/// The application that the case expects, else the one that the evidence names; a variant replaces either part.
fn application(case: &Case) -> AndroidApp {
    let own = case.member("application");
    let expected = if own.is_null() { &described(case)["application"] } else { own };
    let package = case.member("package").as_str().or_else(|| expected["packages"][0]["name"].as_str());
    let digests = match case.member("signature_digest").as_str() {
        Some(digest) => vec![digest],
        None => expected["signature_digests_sha256"]
            .as_array()
            .map(|digests| digests.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default(),
    };
    AndroidApp {
        package: package.unwrap_or_default().to_owned(),
        signing_digests: digests
            .into_iter()
            .map(|hex_digest| hex(hex_digest).try_into().expect("32 bytes"))
            .collect(),
    }
}

/// What the manifest says that the evidence says.
fn described(case: &Case) -> &Value {
    case.member("key_description")
}
