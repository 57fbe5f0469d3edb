//! Android key attestation cases.

use countersign_core::token::result::Protection;
use countersign_verifier::boot_keys::{BootKey, BootKeys};
use countersign_verifier::certificate_file;
use countersign_verifier::evidence::android_key;
use countersign_verifier::evidence::{Claims, EvidenceError, VerifiedEvidence};
use countersign_verifier::leniency::Leniency;
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
    match verified(case, &policy, None) {
        Some(verified) => Verdict::of(verified, &policy, case.verify_at()),
        None => Verdict::Unverified("certificate_file"),
    }
}

/// What the chain says, if its file can be read.
fn verified(
    case: &Case,
    policy: &AppraisalPolicy,
    own_challenge: Option<Vec<u8>>,
) -> Option<Result<VerifiedEvidence, EvidenceError>> {
    let certificates = certificate_file::certificates(&case.evidence()).ok()?;
    let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    Some(attested(case, policy, &certificates, own_challenge))
}

/// What a chain says in the circumstances of the case.
fn attested(
    case: &Case,
    policy: &AppraisalPolicy,
    certificates: &[&[u8]],
    own_challenge: Option<Vec<u8>>,
) -> Result<VerifiedEvidence, EvidenceError> {
    let anchors = policy.danger().trust_anchors().expect("the synthetic root is a root");
    let status_list = case.member("status_list").as_str().map(|file| {
        RevocationList::parse(&case.read(file), case.verify_at())
            .expect("the collection's status lists are well-formed")
    });
    let challenge =
        case.member("challenge_hex").as_str().or_else(|| described(case)["challenge_hex"].as_str());
    // Two chains that cannot be read have no known challenge; they must be refused for what they are.
    let challenge = own_challenge.unwrap_or_else(|| hex(challenge.unwrap_or("00")));
    let now = case.verify_at();
    android_key::verify(certificates, &challenge, &anchors, status_list.as_ref(), now)
}

/// The same for certificates in the place of the case's own.
pub(crate) fn attested_by(case: &Case, certificates: &[&[u8]]) -> Result<VerifiedEvidence, EvidenceError> {
    attested(case, &policy(case), certificates, None)
}

/// What genuine chains need to be tolerated, beside the dates of the factory; every other one needs nothing.
const QUIRKS: &[(Leniency, &[&str])] = &[
    (
        Leniency::FirstGenerationCertificate,
        &[
            "google-sony-xperia10-iii-sdk33-tee_ec",
            "graphene-alp-l29",
            "graphene-bbf100-1",
            "graphene-exodus-1",
            "graphene-h3113",
            "graphene-htc-2q55100",
            "graphene-pixel-2",
            "graphene-sm-g960u",
        ],
    ),
    (
        Leniency::UnsortedSet,
        &["procivis-strongbox", "graphene-alp-l29", "graphene-cph1909", "graphene-motorola-one-vision"],
    ),
    (Leniency::CreationTimeInMicroseconds, &["graphene-cph1909", "graphene-motorola-one-vision"]),
    (
        Leniency::PatchLevelWithoutDay,
        &[
            "google-blueline-sdk28-sb_rsa_none_userauth",
            "google-blueline-sdk28-tee_ec_none",
            "google-blueline-sdk28-tee_rsa_none",
            "gaka-ec-tee",
            "graphene-lm-q720",
            "graphene-mi-9",
            "graphene-oneplus-a6013",
            "graphene-pixel-3",
            "graphene-moto-g-7",
        ],
    ),
    (Leniency::PatchLevelNotADate, &["graphene-sm-g975f", "graphene-sm-t510"]),
];

/// What the manifest does not ask of genuine chains: that they need the documented leniencies and no others, and what
/// else is read from some of them.
pub(crate) fn other_findings(case: &Case) -> Vec<String> {
    if ["mut-", "syn-"].iter().any(|made| case.id().starts_with(made)) {
        return another_system(case);
    }
    let policy = policy(case);
    // The manifest does not know the challenge of this one.
    let challenge = (case.id() == "graphene-alp-l29").then(|| b"sample".to_vec());
    let Some(Ok(evidence)) = verified(case, &policy, challenge) else { return Vec::new() };
    let Claims::AndroidKey(claims) = evidence.claims() else { return Vec::new() };
    let mut failures = Vec::new();
    for leniency in Leniency::ALL.iter().filter(|one| **one != Leniency::ExpiredFactoryCertificate) {
        let chains = QUIRKS.iter().find(|(known, _)| known == leniency).map_or(&[][..], |(_, chains)| chains);
        if claims.leniencies.contains(*leniency) != chains.contains(&case.id()) {
            failures.push(format!("{case}: {} is needed, or not, against the table", leniency.name()));
        }
    }
    let info = claims.provisioning_info.as_ref();
    let said = match case.id() {
        "google-caiman-sdk36-tee_ec_rkp" => Some((Some(64), Some("Google"))),
        "warden-samsung-s921b" => Some((Some(128), Some("samsung"))),
        "google-akita-sdk34-tee_ec_none" => Some((Some(8), None)),
        "warden-pixel-6" | "graphene-pixel-4a" => None,
        _ => return failures,
    };
    if info.map(|info| (info.certificates_issued, info.manufacturer.as_deref())) != said {
        failures.push(format!("{case}: the provisioning info is {info:?}"));
    }
    failures
}

/// A synthetic phone with another system is refused, unless the list names its key and the app the system.
fn another_system(case: &Case) -> Vec<String> {
    if case.id() != "syn-self-signed-boot" {
        return Vec::new();
    }
    let mut policy = policy(case);
    let mut app = policy.app(CLIENT).expect("the policy's one app").clone();
    let Some(Ok(evidence)) = verified(case, &policy, None) else {
        return vec![format!("{case}: unverified")];
    };
    let Claims::AndroidKey(claims) = evidence.claims() else { return vec![format!("{case}: of what kind?")] };
    let root_of_trust = claims.hardware_enforced.root_of_trust.as_ref().expect("a root of trust");
    let key = &root_of_trust.verified_boot_key;
    let entry = |name: &str| BootKey {
        verified_boot_key: key.as_slice().try_into().expect("32 bytes"),
        name: name.to_owned(),
        models: vec!["Pixel 9".to_owned()],
    };
    app.boot_keys = vec!["GrapheneOS".to_owned()];
    policy = policy.with_app(app);
    let verdict = |system: &str| {
        let keys = BootKeys::new(vec![entry(system)]).expect("one key");
        Verdict::of(Ok(evidence.clone()), &policy.clone().with_boot_keys(keys), case.verify_at())
    };
    if verdict("GrapheneOS").is_accepted() && !verdict("OtherOS").is_accepted() {
        Vec::new()
    } else {
        vec![format!("{case}: {} with its key, {} with another's", verdict("GrapheneOS"), verdict("OtherOS"))]
    }
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
