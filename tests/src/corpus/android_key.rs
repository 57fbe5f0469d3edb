//! Chains of Android key attestation.

use countersign_core::time::Timestamp;
use countersign_virtual_device::android::VirtualAndroid;
use countersign_virtual_device::certificate::{DAY, Link, p256_public_key_info, serial_hex, sign_chain};
use countersign_virtual_device::{
    AndroidAttack, AppleAuthority, Provisioning, SecurityLevel, Seed, VirtualIphone,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::case::Expected::{Accept, Contraindicated, Encoding, Invalid};
use super::case::{Bytes, Case, Expected};
use super::cbor::attestation_parts;
use super::{
    NOW, android_chain,
    app_attest::{HOUR, sha256},
    google, key_description, seed, verdicts,
};

const PACKAGE: &str = "com.example.app";
/// Long enough for every remotely provisioned certificate to expire, and those from the factory too.
const TEN_YEARS: u64 = 3650 * DAY;

/// What the family is judged by.
#[derive(Serialize)]
pub(super) struct Policy {
    package: &'static str,
    /// SHA-256 of the only certificate that may sign the app.
    signing_digests: [Bytes; 1],
    /// Key and description at least in the TEE, and in the same hardware; a StrongBox only with its chain.
    minimum_security_level: &'static str,
    verified_boot_state: &'static str,
    device_locked: bool,
    /// Year and month.
    minimum_os_patch_level: u32,
    key: &'static str,
    dates: &'static str,
    status_list: &'static str,
}

pub(super) fn policy() -> Policy {
    Policy {
        package: PACKAGE,
        signing_digests: [Bytes(signing_digest().to_vec())],
        minimum_security_level: "TrustedEnvironment",
        verified_boot_state: "Verified",
        device_locked: true,
        minimum_os_patch_level: 202_501,
        key: "generated in the hardware, EC P-256, purpose SIGN (VERIFY may be there) and nothing else, digest SHA-256, of one app",
        dates: "those of the leaf never count; those of factory-provisioned certificates end never; all others count",
        status_list: "whatever is listed is refused, in every status",
    }
}

#[derive(Serialize)]
pub(super) struct Input {
    /// DER certificates, leaf first.
    chain: Vec<Bytes>,
    challenge: Bytes,
    /// In the form of android.googleapis.com/attestation/status.
    status_list: Value,
    /// Seconds since 1970.
    verify_at: u64,
}

pub(super) fn cases() -> Vec<Case<Input>> {
    let mut cases = honest();
    // What only a stricter policy than the family's would refuse is nothing to agree upon.
    let refused = verdicts::ANDROID_KEY.iter().filter(|(_, expected)| *expected != Accept);
    cases.extend(refused.map(|(attack, expected)| {
        let id = attack.name();
        let mut phone = phone().attack(*attack);
        case(&id, *expected, attack.description(), phone.attest(&challenge(&id), NOW))
    }));
    cases.extend(of_the_factory());
    cases.extend(of_strongbox());
    cases.extend(circumstances());
    cases.extend(android_chain::cases());
    cases.extend(status_lists());
    cases.extend(key_description::CASES.iter().map(|(id, expected, summary, encode)| {
        let extension = encode(phone().key_description(&challenge(id), NOW));
        case(id, *expected, summary, with_key_description(&phone(), extension))
    }));
    cases
}

/// `honest-remote-tee` and `honest-factory-tee` of other phones.
pub(super) fn crowd(phones: usize) -> Vec<Case<Input>> {
    let of_phone = |name: &str, provisioning, number| {
        let id = format!("{name}~{number}");
        let phone = VirtualAndroid::new(&google(), &Seed::from_text(&id)).app(PACKAGE, 1, signing_digest());
        let chain = phone.provisioning(provisioning).attest(&challenge(&id), NOW);
        case(&id, Accept, "an honest chain", chain)
    };
    let remote = (0..phones).map(|number| of_phone("honest-remote-tee", Provisioning::Remote, number));
    let factory = (0..phones).map(|number| of_phone("honest-factory-tee", Provisioning::Factory, number));
    remote.chain(factory).collect()
}

pub(super) fn phone() -> VirtualAndroid {
    VirtualAndroid::new(&google(), &seed()).app(PACKAGE, 1, signing_digest())
}

fn factory() -> VirtualAndroid {
    phone().provisioning(Provisioning::Factory)
}

fn signing_digest() -> [u8; 32] {
    Seed::from_text(PACKAGE).bytes("signing certificate of the corpus")
}

/// The challenge of a case: every case has its own.
pub(super) fn challenge(id: &str) -> [u8; 32] {
    sha256(format!("challenge of the corpus for {id}"))
}

pub(super) fn case(id: &str, expected: Expected, summary: &str, chain: Vec<Vec<u8>>) -> Case<Input> {
    case_at(id, expected, summary, chain, NOW)
}

fn case_at(
    id: &str,
    expected: Expected,
    summary: &str,
    chain: Vec<Vec<u8>>,
    verify_at: Timestamp,
) -> Case<Input> {
    Case::new(id, expected, summary, input(id, chain, json!({"entries": {}}), verify_at))
}

fn input(id: &str, chain: Vec<Vec<u8>>, status_list: Value, verify_at: Timestamp) -> Input {
    Input {
        chain: chain.into_iter().map(Bytes).collect(),
        challenge: Bytes(challenge(id).to_vec()),
        status_list,
        verify_at: verify_at.as_unix_seconds(),
    }
}

fn honest() -> Vec<Case<Input>> {
    let phones = [
        ("honest-remote-tee", "an honest chain of a TEE, remotely provisioned", phone()),
        ("honest-factory-tee", "an honest chain of a TEE, provisioned at the factory", factory()),
        (
            "honest-remote-strongbox",
            "an honest chain of a StrongBox, remotely provisioned",
            phone().security_level(SecurityLevel::StrongBox),
        ),
        (
            "honest-factory-strongbox",
            "an honest chain of a StrongBox, provisioned at the factory",
            factory().security_level(SecurityLevel::StrongBox),
        ),
        ("honest-keymaster-2", "an honest chain of attestation version 2", factory().attestation_version(2)),
        ("honest-keymaster-4", "an honest chain of attestation version 3", factory().attestation_version(3)),
        ("honest-keymaster-41", "an honest chain of attestation version 4", factory().attestation_version(4)),
        (
            "honest-keymint-100",
            "an honest chain of attestation version 100",
            phone().attestation_version(100),
        ),
        (
            "honest-keymint-200",
            "an honest chain of attestation version 200",
            phone().attestation_version(200),
        ),
        (
            "honest-keymint-300",
            "an honest chain of attestation version 300",
            phone().attestation_version(300),
        ),
        (
            "honest-shared-user-id",
            "an honest chain of an app that shares its user id with another",
            phone().sharing_user_id_with("com.example.sibling", 3),
        ),
        ("honest-sign-and-verify", "a key that signs and verifies", phone().purposes(&[2, 3])),
        (
            "honest-several-digests",
            "a key that may be used with several digests",
            phone().digests(&[4, 5, 6]),
        ),
        (
            "honest-oldest-patches",
            "the oldest patches that the policy accepts",
            phone().system(150_000, 202_501),
        ),
        ("honest-other-phone", "an honest chain of another phone", phone().of_somebody_else()),
    ];
    let mut cases: Vec<_> = phones
        .map(|(id, summary, mut phone)| case(id, Accept, summary, phone.attest(&challenge(id), NOW)))
        .into();
    let times = [
        (
            "honest-factory-expired",
            "a factory chain that has expired, as they may",
            factory(),
            NOW.plus(TEN_YEARS),
        ),
        (
            "honest-first-second",
            "the first second of a remotely provisioned certificate",
            phone(),
            NOW.minus(5 * DAY),
        ),
        (
            "honest-last-second",
            "the last second of a remotely provisioned certificate",
            phone(),
            NOW.plus(9 * DAY),
        ),
    ];
    cases.extend(times.map(|(id, summary, mut phone, at)| {
        case_at(id, Accept, summary, phone.attest(&challenge(id), NOW), at)
    }));
    cases
}

/// Lies in chains from the factory, for which less of RFC 5280 holds.
fn of_the_factory() -> Vec<Case<Input>> {
    use AndroidAttack as A;
    [
        (A::FakeGoogleRoot, Invalid("chain_unknown_root")),
        (A::FakeTestRoot, Invalid("chain_unknown_root")),
        (A::LeafSelfSigned, Invalid("certificate_signature_invalid")),
        (A::SwappedIntermediates, Invalid("chain_name_mismatch")),
        (A::SwappedIntermediateSameName, Invalid("certificate_signature_invalid")),
        (A::ExtendedChain, Invalid("evidence_misplaced_key_description")),
        (A::KeyDescriptionAboveLeaf, Invalid("evidence_misplaced_key_description")),
        (A::SecondKeyDescriptionInIntermediate, Invalid("evidence_misplaced_key_description")),
        (A::IntermediateNotCa, Invalid("chain_not_authority")),
        (A::NotYetValid, Invalid("chain_not_yet_valid")),
        (A::MissingIntermediate, Invalid("chain_name_mismatch")),
        (A::PaddedSerial, Invalid("chain_malformed_certificate")),
        (A::LeafSignatureBit, Invalid("certificate_signature_invalid")),
        (A::WrongChallenge, Invalid("evidence_challenge_mismatch")),
        (A::Rooted, Contraindicated(&["boot-state", "device-locked"])),
        (A::SoftwareLevel, Contraindicated(&["security-level"])),
    ]
    .map(|(attack, expected)| {
        let id = format!("factory-{}", attack.name());
        let chain = factory().attack(attack).attest(&challenge(&id), NOW);
        case(&id, expected, &format!("of the factory: {}", attack.description()), chain)
    })
    .into()
}

/// Lies about the level in chains of a StrongBox.
fn of_strongbox() -> Vec<Case<Input>> {
    use AndroidAttack as A;
    [
        (A::SoftwareLevel, Contraindicated(&["security-level"])),
        (A::KeyMintSoftware, Contraindicated(&["security-level"])),
        (A::AttestationSoftware, Contraindicated(&["security-level"])),
        (A::LevelMismatch, Contraindicated(&["security-level"])),
        (A::SelfSignedBoot, Contraindicated(&["boot-state"])),
        (A::Unlocked, Contraindicated(&["device-locked"])),
    ]
    .map(|(attack, expected)| {
        let id = format!("strongbox-{}", attack.name());
        let phone = phone().security_level(SecurityLevel::StrongBox);
        let chain = phone.attack(attack).attest(&challenge(&id), NOW);
        case(&id, expected, &format!("of a StrongBox: {}", attack.description()), chain)
    })
    .into()
}

/// Genuine chains where they do not belong.
fn circumstances() -> Vec<Case<Input>> {
    let expired = Invalid("chain_expired");
    let early = Invalid("chain_not_yet_valid");
    let identity = Contraindicated(&["app-identity"]);
    let mismatch = Invalid("evidence_challenge_mismatch");
    let attest = |mut phone: VirtualAndroid, id: &str| phone.attest(&challenge(id), NOW);
    let app = |package: &str| phone().app(package, 1, signing_digest());
    vec![
        case(
            "replayed",
            mismatch,
            "a genuine chain for another challenge",
            attest(phone(), "an earlier enrolment"),
        ),
        case_at(
            "remote-an-hour-late",
            expired,
            "the remotely provisioned certificate expired an hour ago",
            attest(phone(), "remote-an-hour-late"),
            NOW.plus(9 * DAY + HOUR),
        ),
        case_at(
            "remote-an-hour-early",
            early,
            "the remotely provisioned certificate is valid in an hour",
            attest(phone(), "remote-an-hour-early"),
            NOW.minus(5 * DAY + HOUR),
        ),
        case_at(
            "remote-years-late",
            expired,
            "a remotely provisioned chain ten years later",
            attest(phone(), "remote-years-late"),
            NOW.plus(TEN_YEARS),
        ),
        case_at(
            "factory-before-its-time",
            early,
            "a factory chain before it was made",
            attest(factory(), "factory-before-its-time"),
            NOW.minus(801 * DAY),
        ),
        case(
            "package-goes-on",
            identity,
            "a package whose name begins with ours",
            attest(app("com.example.app.evil"), "package-goes-on"),
        ),
        case(
            "package-cut",
            identity,
            "a package whose name ours begins with",
            attest(app("com.example"), "package-cut"),
        ),
        case(
            "package-in-other-case",
            identity,
            "our package name in capital letters",
            attest(app("COM.EXAMPLE.APP"), "package-in-other-case"),
        ),
        case(
            "package-with-zero",
            identity,
            "our package name, a zero byte and more",
            attest(app("com.example.app\0.evil"), "package-with-zero"),
        ),
        case("root-twice", Invalid("chain_misplaced_anchor"), "the root stands twice", {
            let mut chain = attest(phone(), "root-twice");
            chain.extend(chain.last().cloned());
            chain
        }),
        case(
            "leaf-of-another-phone",
            Invalid("chain_name_mismatch"),
            "the leaf of one phone over the chain of another",
            {
                let mut chain = attest(phone().of_somebody_else(), "leaf-of-another-phone");
                chain[0] = attest(phone(), "leaf-of-another-phone").remove(0);
                chain
            },
        ),
        case(
            "intermediates-swapped",
            Invalid("evidence_misplaced_provisioning_info"),
            "two certificates of the chain have changed places",
            {
                let mut chain = attest(phone(), "intermediates-swapped");
                chain.swap(1, 2);
                chain
            },
        ),
        case(
            "chain-of-app-attest",
            Invalid("chain_unknown_root"),
            "the certificates of an App Attest attestation",
            {
                let iphone = VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed());
                attestation_parts(&iphone.attest(&challenge("chain-of-app-attest"), NOW).object).certificates
            },
        ),
        case(
            "certificate-garbage",
            Invalid("chain_malformed_certificate"),
            "a certificate of the chain is no DER",
            {
                let mut chain = attest(phone(), "certificate-garbage");
                chain[1] = b"no DER at all".to_vec();
                chain
            },
        ),
        case(
            "certificate-empty",
            Invalid("chain_malformed_certificate"),
            "a certificate of the chain is empty",
            {
                let mut chain = attest(phone(), "certificate-empty");
                chain[0].clear();
                chain
            },
        ),
        case(
            "certificate-indefinite-length",
            Encoding("chain_malformed_certificate"),
            "the leaf has the indefinite length of BER",
            {
                let mut chain = attest(phone(), "certificate-indefinite-length");
                chain[0] = [&[0x30, 0x80], &chain[0][4..], &[0, 0]].concat();
                chain
            },
        ),
    ]
}

pub(super) fn unsigned_chain(phone: &VirtualAndroid, key_description: Vec<u8>) -> Vec<Link> {
    let point = phone.instance_key().to_p256_sec1().expect("instance keys are P-256");
    google().chain(&phone.chip(), p256_public_key_info(&point), key_description, NOW)
}

fn with_key_description(phone: &VirtualAndroid, key_description: Vec<u8>) -> Vec<Vec<u8>> {
    sign_chain(&unsigned_chain(phone, key_description))
}

/// Status lists that name a certificate of the chain, or seem to.
fn status_lists() -> Vec<Case<Input>> {
    type Written = fn(&str) -> String;
    let as_it_is: Written = str::to_owned;
    let padded: Written = |serial| format!("00{serial}");
    let revoked = Invalid("evidence_revoked");
    let rows: [(&str, &str, Expected, usize, Written, &str); 9] = [
        ("revoked-chip", "the chip's certificate is revoked", revoked, 1, as_it_is, "REVOKED"),
        ("revoked-ca", "the certificate above the chip's is revoked", revoked, 2, as_it_is, "REVOKED"),
        ("revoked-upper-ca", "the certificate below the root is revoked", revoked, 3, as_it_is, "REVOKED"),
        ("suspended-chip", "the chip's certificate is suspended", revoked, 1, as_it_is, "SUSPENDED"),
        (
            "unknown-status",
            "the chip's certificate has a status that nobody knows",
            revoked,
            1,
            as_it_is,
            "LOST",
        ),
        (
            "revoked-in-capitals",
            "the list writes the serial number in capital letters",
            revoked,
            1,
            |serial| serial.to_uppercase(),
            "REVOKED",
        ),
        (
            "revoked-padded",
            "the list writes the serial number with leading zeros",
            revoked,
            1,
            padded,
            "REVOKED",
        ),
        (
            "honest-other-revoked",
            "somebody else's certificate is revoked",
            Accept,
            1,
            |serial| format!("{serial}0"),
            "REVOKED",
        ),
        (
            "honest-prefix-revoked",
            "a serial number that ours begins with is revoked",
            Accept,
            1,
            |serial| serial[..8].to_owned(),
            "REVOKED",
        ),
    ];
    rows.map(|(id, summary, expected, index, written, status)| {
        let chain = phone().attest(&challenge(id), NOW);
        let serial = written(&serial_hex(&chain[index]).expect("an honest chain has serial numbers"));
        let list = json!({"entries": {serial: {"status": status, "reason": "KEY_COMPROMISE"}}});
        Case::new(id, expected, summary, input(id, chain, list, NOW))
    })
    .into()
}

#[cfg(test)]
mod tests {
    use countersign_virtual_device::GoogleAuthority;

    use super::*;

    #[test]
    fn the_phones_are_of_the_authority_whose_root_is_in_the_file() {
        let root = GoogleAuthority::from_seed(&seed()).root_certificate_der();
        assert_eq!(phone().attest(b"challenge", NOW).last(), Some(&root));
    }
}
