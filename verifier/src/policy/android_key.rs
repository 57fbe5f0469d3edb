//! How the constraints read Android key attestation. Only what secure hardware enforces counts, except for the
//! application's identity, which Android itself asserts.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;

use super::Finding;
use super::app::{AndroidApp, AppPolicy};
use super::circumstances::Circumstances;
use super::constraint::Constraint;
use super::danger::Danger;
use crate::boot_keys::BootKeys;
use crate::evidence::android_key::{
    AndroidKeyClaims, ApplicationId, AuthorizationList, BootState, Digest, EcCurve, KeyAlgorithm, KeyOrigin,
    KeyPurpose, Provisioning, RootOfTrust, SecurityLevel,
};
use crate::evidence::{AttestedKey, VerifiedEvidence};
use crate::leniency::Leniency;

/// What a policy says of an app's Android devices.
#[derive(Clone, Copy)]
pub(super) struct Rules<'p> {
    pub(super) app: &'p AppPolicy,
    pub(super) boot_keys: &'p BootKeys,
    pub(super) danger: &'p Danger,
}

pub(super) fn findings(
    claims: &AndroidKeyClaims,
    evidence: &VerifiedEvidence,
    rules: Rules<'_>,
    circumstances: &Circumstances<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let (app, hardware) = (rules.app, &claims.hardware_enforced);
    vec![
        app_identity(claims, app),
        security_level(claims, evidence.protection(), app),
        strongbox_in_chain(claims),
        boot_state(hardware, rules),
        device_locked(hardware),
        os_patch_level(hardware, app),
        os_patch_age(hardware, app, now),
        os_version(hardware, app),
        key_origin(hardware),
        key_purpose(hardware),
        key_algorithm(hardware, evidence.attested_key()),
        key_curve(hardware, evidence.attested_key()),
        key_digest(hardware),
        application_bound(claims),
        known_tags(claims),
        remote_provisioning(claims.provisioning),
        certificates_issued(claims, app),
        attestation_key_sharing(claims, app, circumstances),
        leniencies(claims),
        revocation_checked(claims),
    ]
}

fn app_identity(claims: &AndroidKeyClaims, app: &AppPolicy) -> Finding {
    let finding =
        |satisfied, explanation: String| Finding::new(Constraint::AppIdentity, satisfied, explanation);
    let Some(application) = &claims.software_enforced.application_id else {
        return finding(false, "The key names no application.".to_owned());
    };
    match app.android.iter().find(|android| is_application(application, android)) {
        Some(android) => finding(true, format!("The app is {} with an expected signer.", android.package)),
        None => {
            let expected_package = |android: &AndroidApp| has_package(application, android);
            let wrong = if app.android.iter().any(expected_package) { "signer" } else { "package" };
            finding(false, format!("The app's {wrong} is none of those that were expected."))
        }
    }
}

/// The package is among those that share the user id, and every signer is expected.
fn is_application(application: &ApplicationId, android: &AndroidApp) -> bool {
    let expected = |digest: &Vec<u8>| android.signing_digests.iter().any(|known| known[..] == digest[..]);
    has_package(application, android)
        && !application.signature_digests.is_empty()
        && application.signature_digests.iter().all(expected)
}

fn has_package(application: &ApplicationId, android: &AndroidApp) -> bool {
    application.packages.iter().any(|package| package.name == android.package)
}

fn security_level(claims: &AndroidKeyClaims, protection: Protection, app: &AppPolicy) -> Finding {
    let (attestation, key) = (claims.attestation_security_level, claims.keymint_security_level);
    let enough = match app.minimum_protection {
        Protection::Strongbox => protection == Protection::Strongbox,
        _ => matches!(protection, Protection::Tee | Protection::Strongbox),
    };
    Finding::new(
        Constraint::SecurityLevel,
        enough && attestation == key,
        format!("The attestation was made in {attestation}, the key lives in {key}."),
    )
}

fn strongbox_in_chain(claims: &AndroidKeyClaims) -> Finding {
    let claimed = [claims.attestation_security_level, claims.keymint_security_level]
        .contains(&SecurityLevel::StrongBox);
    let explanation = match (claimed, claims.strongbox_in_chain) {
        (false, _) => "Nothing claims to be in a StrongBox.",
        (true, true) => "The chain says that the attestation key is in a StrongBox.",
        (true, false) => "The key or its attestation claims a StrongBox, but the chain is not of one.",
    };
    Finding::new(Constraint::StrongboxInChain, !claimed || claims.strongbox_in_chain, explanation)
}

fn boot_state(hardware: &AuthorizationList, rules: Rules<'_>) -> Finding {
    let (satisfied, explanation) = match &hardware.root_of_trust {
        None => (false, "Secure hardware does not report what booted.".to_owned()),
        Some(root_of_trust) if root_of_trust.verified_boot_state == BootState::SelfSigned => {
            self_signed(root_of_trust, hardware.model.as_deref(), rules)
        }
        Some(root_of_trust) => {
            let state = root_of_trust.verified_boot_state;
            (state == BootState::Verified, format!("The verified boot state is {state}."))
        }
    };
    Finding::new(Constraint::BootState, satisfied, explanation)
}

/// Another system than the vendor's, under a locked boot loader: without the lock, anything can be booted next.
fn self_signed(root_of_trust: &RootOfTrust, model: Option<&str>, rules: Rules<'_>) -> (bool, String) {
    if !root_of_trust.device_locked {
        return (false, "The system is not the vendor's, and the boot loader is not locked.".to_owned());
    }
    if rules.danger.self_signed_boot_keys.contains(&root_of_trust.verified_boot_key) {
        return (
            true,
            "The verified boot state is self-signed, with a key that the policy accepts.".to_owned(),
        );
    }
    let Some(entry) = rules.boot_keys.signer_of(root_of_trust) else {
        return (false, "The verified boot state is self-signed, with a key that is not known.".to_owned());
    };
    let system = &entry.name;
    // Systems have a key for each model, so the key says the model already. Only where secure hardware attests another
    // one is something wrong.
    if let Some(model) =
        model.filter(|model| !entry.models.is_empty() && !entry.models.iter().any(|m| m == model))
    {
        return (false, format!("The system is signed as {system} for another model than {model}."));
    }
    match rules.app.boot_keys.contains(system) {
        true => (true, format!("The system is {system}, under a locked boot loader; the app accepts it.")),
        false => (false, format!("The system is {system}, which the app does not accept.")),
    }
}

fn device_locked(hardware: &AuthorizationList) -> Finding {
    let locked = hardware.root_of_trust.as_ref().is_some_and(|root_of_trust| root_of_trust.device_locked);
    let explanation =
        if locked { "The boot loader is locked." } else { "The boot loader is not known to be locked." };
    Finding::new(Constraint::DeviceLocked, locked, explanation)
}

fn os_patch_level(hardware: &AuthorizationList, app: &AppPolicy) -> Finding {
    let (satisfied, explanation) = match (hardware.os_patch_level, app.minimum_os_patch) {
        (Some(level), Some(minimum)) => (
            level.is_at_least(minimum),
            format!("The patch level is {level}, the oldest accepted {minimum}."),
        ),
        (None, Some(minimum)) => {
            (false, format!("The patch level is unknown, the oldest accepted {minimum}."))
        }
        (_, None) => (true, "Any patch level is accepted.".to_owned()),
    };
    Finding::new(Constraint::OsPatchLevel, satisfied, explanation)
}

/// Measured when the device is appraised, so a phone that gets no more updates falls out by itself.
fn os_patch_age(hardware: &AuthorizationList, app: &AppPolicy, now: Timestamp) -> Finding {
    let (satisfied, explanation) = match (hardware.os_patch_level, app.maximum_os_patch_age) {
        (Some(level), Some(maximum)) => {
            let age = level.age_in_days(now);
            (
                age <= maximum,
                format!("The patch level {level} is {age} days old, the oldest accepted {maximum}."),
            )
        }
        (None, Some(maximum)) => {
            (false, format!("The patch level is unknown, the oldest accepted is {maximum} days old."))
        }
        (_, None) => (true, "A patch level of any age is accepted.".to_owned()),
    };
    Finding::new(Constraint::OsPatchAge, satisfied, explanation)
}

fn os_version(hardware: &AuthorizationList, app: &AppPolicy) -> Finding {
    let (satisfied, explanation) = match (hardware.os_version, app.minimum_android_version) {
        (Some(version), Some(minimum)) => (
            version >= minimum,
            format!("The version of Android is {version}, the oldest accepted {minimum}."),
        ),
        (None, Some(minimum)) => {
            (false, format!("The version of Android is unknown, the oldest accepted {minimum}."))
        }
        (_, None) => (true, "Any version of Android is accepted.".to_owned()),
    };
    Finding::new(Constraint::OsVersion, satisfied, explanation)
}

fn key_origin(hardware: &AuthorizationList) -> Finding {
    Finding::new(
        Constraint::KeyOrigin,
        hardware.origin == Some(KeyOrigin::Generated),
        format!("The key's origin in secure hardware is {}.", named(hardware.origin)),
    )
}

fn key_purpose(hardware: &AuthorizationList) -> Finding {
    let purposes = &hardware.purposes;
    let only_signing =
        purposes.iter().all(|purpose| matches!(purpose, KeyPurpose::Sign | KeyPurpose::Verify));
    Finding::new(
        Constraint::KeyPurpose,
        only_signing && purposes.contains(&KeyPurpose::Sign),
        format!("The key's purposes are {}.", listed(purposes)),
    )
}

fn key_algorithm(hardware: &AuthorizationList, key: &AttestedKey) -> Finding {
    let explanation = match (hardware.algorithm, hardware.ml_dsa_variant) {
        (Some(KeyAlgorithm::MlDsa), Some(variant)) => {
            format!("The key's algorithm is {variant}, for which there are no proofs yet.")
        }
        (algorithm, _) => format!("The key's algorithm is {}.", named(algorithm)),
    };
    let satisfied = hardware.algorithm == Some(KeyAlgorithm::Ec) && key.as_p256().is_some();
    Finding::new(Constraint::KeyAlgorithm, satisfied, explanation)
}

fn key_curve(hardware: &AuthorizationList, key: &AttestedKey) -> Finding {
    Finding::new(
        Constraint::KeyCurve,
        hardware.ec_curve == Some(EcCurve::P256) && key.as_p256().is_some(),
        format!("The key's curve is {}.", named(hardware.ec_curve)),
    )
}

fn key_digest(hardware: &AuthorizationList) -> Finding {
    Finding::new(
        Constraint::KeyDigest,
        hardware.digests.contains(&Digest::Sha256),
        format!("The key's digests are {}.", listed(&hardware.digests)),
    )
}

fn application_bound(claims: &AndroidKeyClaims) -> Finding {
    let bound = !claims.hardware_enforced.all_applications && !claims.software_enforced.all_applications;
    let explanation = if bound { "The key belongs to one app." } else { "Every app can use the key." };
    Finding::new(Constraint::ApplicationBound, bound, explanation)
}

fn known_tags(claims: &AndroidKeyClaims) -> Finding {
    let lists = [&claims.hardware_enforced, &claims.software_enforced];
    let unknown: Vec<_> = lists.iter().flat_map(|list| &list.unknown_tags).collect();
    let explanation = if unknown.is_empty() {
        "Every tag of the key description is known.".to_owned()
    } else {
        format!("The key description has unknown tags: {}.", listed(&unknown))
    };
    Finding::new(Constraint::KnownTags, unknown.is_empty(), explanation)
}

fn remote_provisioning(provisioning: Provisioning) -> Finding {
    let explanation = match provisioning {
        Provisioning::Factory => "The attestation key was provisioned at the factory.",
        Provisioning::Remote => "The attestation key was provisioned remotely.",
        Provisioning::Unknown => "The chain does not say how the attestation key was provisioned.",
    };
    Finding::new(Constraint::RemoteProvisioning, provisioning == Provisioning::Remote, explanation)
}

/// What the provisioning server does not say is unknown, and speaks against nobody; what it says and cannot be read
/// does.
fn certificates_issued(claims: &AndroidKeyClaims, app: &AppPolicy) -> Finding {
    let issued = claims.provisioning_info.as_ref().map(|info| info.certificates_issued);
    let (satisfied, explanation) = match (issued, app.maximum_certificates_issued) {
        (_, None) => (true, "Any number of issued certificates is accepted.".to_owned()),
        (Some(Some(issued)), Some(maximum)) => (
            issued <= maximum,
            format!(
                "The device was issued {issued} certificates in 30 days, at most {maximum} are accepted."
            ),
        ),
        (Some(None), Some(_)) => {
            (false, "The provisioning info does not say how many certificates were issued.".to_owned())
        }
        (None, Some(_)) => (true, "The chain has no provisioning info.".to_owned()),
    };
    Finding::new(Constraint::CertificatesIssued, satisfied, explanation)
}

fn attestation_key_sharing(
    claims: &AndroidKeyClaims,
    app: &AppPolicy,
    circumstances: &Circumstances<'_>,
) -> Finding {
    let limits = app.maximum_instances_per_certificate;
    let maximum = match claims.provisioning {
        Provisioning::Factory => limits.factory,
        Provisioning::Remote | Provisioning::Unknown => limits.remote,
    };
    let (satisfied, explanation) = match (circumstances.instances_of_certificate, maximum) {
        (Some(instances), Some(maximum)) => (
            instances <= maximum,
            format!(
                "Instances that the attestation key vouches for: {instances}, at most {maximum} are accepted."
            ),
        ),
        (None, Some(_)) => (true, "How many instances share the attestation key is unknown.".to_owned()),
        (_, None) => (true, "Any number of instances may share the attestation key.".to_owned()),
    };
    Finding::new(Constraint::AttestationKeySharing, satisfied, explanation)
}

fn leniencies(claims: &AndroidKeyClaims) -> Finding {
    let names: Vec<_> = claims.leniencies.iter().map(Leniency::name).collect();
    let explanation = match names.as_slice() {
        [] => "The evidence is as the standards have it.".to_owned(),
        names => format!("The evidence departs from the standards in known ways: {}.", names.join(", ")),
    };
    Finding::new(Constraint::Leniencies, names.is_empty(), explanation)
}

fn revocation_checked(claims: &AndroidKeyClaims) -> Finding {
    let explanation = if claims.revocation_checked {
        "No certificate of the chain is on the status list."
    } else {
        "No status list was at hand: whether a certificate was revoked is unknown."
    };
    Finding::new(Constraint::RevocationChecked, claims.revocation_checked, explanation)
}

fn named(value: Option<impl core::fmt::Display>) -> String {
    value.map_or_else(|| "not stated".to_owned(), |value| value.to_string())
}

fn listed(values: &[impl core::fmt::Display]) -> String {
    match values {
        [] => "none".to_owned(),
        _ => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_what_hardware_says_of_it_must_both_be_of_p256() {
        let seed = countersign_virtual_device::Seed::from_text("a key");
        let point = seed.p256_key("key").verifying_key().to_sec1_point(false);
        let p256 = countersign_core::token::keys::PublicKey::from_p256_sec1(point.as_bytes()).unwrap();
        let keys = [AttestedKey::P256(p256), AttestedKey::Other("P-384".to_owned()), AttestedKey::Absent];
        for (algorithm, curve, expected) in [
            (Some(KeyAlgorithm::Ec), Some(EcCurve::P256), [true, false, false]),
            (Some(KeyAlgorithm::Rsa), Some(EcCurve::P384), [false; 3]),
            (None, None, [false; 3]),
        ] {
            let hardware = AuthorizationList { algorithm, ec_curve: curve, ..AuthorizationList::default() };
            let accepted = |key: &AttestedKey| key_algorithm(&hardware, key).satisfied;
            assert_eq!(keys.each_ref().map(accepted), expected, "{algorithm:?}");
            let accepted = |key: &AttestedKey| key_curve(&hardware, key).satisfied;
            assert_eq!(keys.each_ref().map(accepted), expected, "{curve:?}");
        }
    }

    #[test]
    fn what_hardware_does_not_state_is_said_to_be_missing() {
        let nothing = AuthorizationList::default();
        assert_eq!(key_origin(&nothing).explanation, "The key's origin in secure hardware is not stated.");
        assert_eq!(key_digest(&nothing).explanation, "The key's digests are none.");
        let signs = AuthorizationList { purposes: vec![KeyPurpose::Sign, KeyPurpose::Verify], ..nothing };
        assert_eq!(key_purpose(&signs).explanation, "The key's purposes are sign, verify.");
    }
}
