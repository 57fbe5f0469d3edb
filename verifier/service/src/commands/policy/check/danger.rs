//! What stands in a policy's `danger`, and what follows from it.

use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use countersign_verifier::policy::{Constraint, Danger};
use serde::Serialize;

/// An opt-out that the policy uses.
#[derive(Debug, Serialize)]
pub(super) struct OptOutInUse {
    /// Its key in the file.
    pub(super) key: &'static str,
    pub(super) value: String,
    /// What it lets in.
    pub(super) consequence: &'static str,
}

/// Every opt-out that is used.
pub(super) fn opt_outs(danger: &Danger) -> Vec<OptOutInUse> {
    // Taken apart, so that an opt-out which is added has to be told of here.
    let Danger {
        app_attest_roots,
        android_key_roots,
        app_attest_environments,
        self_signed_boot_keys,
        weak_devices,
        weak_keys,
    } = danger;
    let environments: Vec<_> = app_attest_environments.iter().map(|one| environment(*one)).collect();
    let all = [
        (
            "app_attest_roots",
            files(app_attest_roots),
            "Whoever holds the key of such a root can be any iPhone or Mac with any app.",
        ),
        (
            "android_key_roots",
            files(android_key_roots),
            "Whoever holds the key of such a root can be any Android device with any app.",
        ),
        (
            "app_attest_environments",
            environments.join(", "),
            "Builds that the app's developers run from Xcode are taken for the app, without any review or store.",
        ),
        (
            "self_signed_boot_keys",
            self_signed_boot_keys.iter().map(|key| hex(key)).collect::<Vec<_>>().join(", "),
            "Whoever can sign systems with such a key decides what these devices say of themselves.",
        ),
        (
            "weak_devices",
            labels(weak_devices),
            "Rooted, unlocked or emulated devices can pass, and say whatever they like in everything else.",
        ),
        (
            "weak_keys",
            labels(weak_keys),
            "Somebody else can hold the key, or vouch for it: a request then proves no single device.",
        ),
    ];
    let used = all.into_iter().filter(|(_, value, _)| !value.is_empty());
    used.map(|(key, value, consequence)| OptOutInUse { key, value, consequence }).collect()
}

fn files(files: &[Vec<u8>]) -> String {
    match files.len() {
        0 => String::new(),
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

const fn environment(environment: AppAttestEnvironment) -> &'static str {
    match environment {
        AppAttestEnvironment::Production => "production",
        AppAttestEnvironment::Development => "development",
        _ => "unknown",
    }
}

fn labels(constraints: &[Constraint]) -> String {
    constraints.iter().map(|constraint| constraint.label()).collect::<Vec<_>>().join(", ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
