//! Phones and apps that try to enrol although they are not genuine.

use countersign_virtual_device::{AndroidAttack, IphoneAttack, SessionKey, VirtualPhone};

use crate::Trouble;
use crate::report::{By, Report};
use crate::world::World;

/// Android phones, each with one lie, and the reason for which it has to be refused.
const ANDROID: [(&str, AndroidAttack, &str); 9] = [
    ("Android: the app, re-signed by somebody else", AndroidAttack::OtherSigner, "app-identity"),
    ("Android: another app under our client_id", AndroidAttack::WrongPackage, "app-identity"),
    ("Android: rooted phone, boot loader unlocked", AndroidAttack::Rooted, "boot-state"),
    ("Android: a system that its owner signed", AndroidAttack::SelfSignedBoot, "boot-state"),
    ("Android: software key store", AndroidAttack::SoftwareLevel, "security-level"),
    ("Android: a key that was imported", AndroidAttack::ImportedKey, "key-origin"),
    (
        "Android: chain extended with an attested key",
        AndroidAttack::ExtendedChain,
        "evidence_misplaced_key_description",
    ),
    ("Android: root with Google's name and another key", AndroidAttack::FakeGoogleRoot, "chain_unknown_root"),
    (
        "Android: attestation made for another challenge",
        AndroidAttack::WrongChallenge,
        "evidence_challenge_mismatch",
    ),
];

/// iPhones, likewise.
const IPHONE: [(&str, IphoneAttack, &str); 5] = [
    ("iPhone:  the app, re-signed by another team", IphoneAttack::OtherApp, "app-identity"),
    ("iPhone:  development build", IphoneAttack::DevelopmentAsProduction, "environment"),
    (
        "iPhone:  root with Apple's name and another key",
        IphoneAttack::OtherRootSameNames,
        "chain_unknown_root",
    ),
    (
        "iPhone:  key that does not match the attestation",
        IphoneAttack::CoseKeyDiffers,
        "evidence_credential_key_mismatch",
    ),
    ("iPhone:  attestation made for another challenge", IphoneAttack::WrongNonce, "evidence_nonce_mismatch"),
];

/// Tries to enrol each of them.
///
/// # Errors
/// The service does not answer.
pub(crate) async fn try_all(world: &World, report: &mut Report) -> Result<(), Trouble> {
    for (what, attack, reason) in ANDROID {
        try_one(world, world.android("mallory").attack(attack), what, reason, report).await?;
    }
    let leaked = "Android: attestation key that leaked and was revoked";
    try_one(world, world.leaked_android(), leaked, "evidence_revoked", report).await?;
    for (what, attack, reason) in IPHONE {
        try_one(world, world.iphone("mallory").attack(attack), what, reason, report).await?;
    }
    Ok(())
}

async fn try_one(
    world: &World,
    phone: impl Into<VirtualPhone>,
    what: &str,
    reason: &str,
    report: &mut Report,
) -> Result<(), Trouble> {
    let session = SessionKey::from_seed(&world.seed("mallory's session"));
    let answered = world.attest(None, phone.into().enrol(&world.call().await?, &session)).await?;
    report.attack(what, By::Service, &answered, reason);
    Ok(())
}
