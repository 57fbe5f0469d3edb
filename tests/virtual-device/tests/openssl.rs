//! What the virtual phones make, verified by the OpenSSL command where it is installed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use countersign_core::time::Timestamp;
use countersign_virtual_device::{
    AndroidAttack, AppleAuthority, GoogleAuthority, IphoneAttack, Provisioning, SecurityLevel, Seed,
    VirtualAndroid, VirtualIphone, certificate::pem,
};
use minicbor::Decoder;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

fn seed() -> Seed {
    Seed::from_text("openssl")
}

/// Runs `openssl`; `None`, and a line that says so, where there is none.
fn openssl(arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: openssl cannot be run ({error})");
            None
        }
    }
}

/// Whether `openssl verify` finds the chain (leaf first, root not among it) valid at the given time.
fn verify(name: &str, root: &str, chain: &[Vec<u8>]) -> Option<Result<(), String>> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    let file = |file: &str, content: String| {
        let path = directory.join(file);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let root = file("root.pem", root.to_owned());
    let leaf = file("leaf.pem", pem(&chain[0]));
    let between = file("between.pem", chain[1..].iter().map(|der| pem(der)).collect());
    let at = NOW.as_unix_seconds().to_string();
    let output = openssl(&[
        "verify",
        "-attime",
        &at,
        "-ignore_critical",
        "-CAfile",
        &root,
        "-untrusted",
        &between,
        &leaf,
    ])?;
    Some(if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

/// x5c of an attestation object.
fn x5c(object: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(object);
    decoder.map().unwrap();
    for _ in 0..3 {
        decoder.skip().unwrap();
    }
    decoder.map().unwrap();
    decoder.skip().unwrap();
    let count = decoder.array().unwrap().unwrap();
    (0..count).map(|_| decoder.bytes().unwrap().to_vec()).collect()
}

#[test]
fn honest_chains_verify() {
    let apple = AppleAuthority::from_seed(&seed());
    let chain = x5c(&VirtualIphone::new(&apple, &seed()).attest(&[7; 32], NOW).object);
    let Some(verdict) = verify("apple", &apple.root_certificate_pem(), &chain) else { return };
    assert_eq!(verdict, Ok(()));

    let google = GoogleAuthority::from_seed(&seed());
    for provisioning in [Provisioning::Remote, Provisioning::Factory] {
        for level in [SecurityLevel::TrustedEnvironment, SecurityLevel::StrongBox] {
            let mut phone =
                VirtualAndroid::new(&google, &seed()).provisioning(provisioning).security_level(level);
            let mut chain = phone.attest(b"challenge", NOW);
            chain.pop();
            let name = format!("android-{provisioning:?}-{level:?}");
            assert_eq!(verify(&name, &google.root_certificate_pem(), &chain), Some(Ok(())), "{name}");
        }
    }
}

#[test]
fn chains_that_break_x509_are_refused() {
    let apple = AppleAuthority::from_seed(&seed());
    for attack in [
        IphoneAttack::ExpiredLeaf,
        IphoneAttack::LeafNotYetValid,
        IphoneAttack::IntermediateExpired,
        IphoneAttack::IntermediateNotYetValid,
        IphoneAttack::IntermediateNotCa,
        IphoneAttack::LeafIssuedByLeaf,
        IphoneAttack::LeafInPlaceOfIntermediate,
        IphoneAttack::LeafSignedByRoot,
        IphoneAttack::LeafSelfSigned,
        IphoneAttack::OtherRootSameNames,
        IphoneAttack::LeafSignatureBit,
        IphoneAttack::IntermediateSignatureBit,
        IphoneAttack::X5cLeafOnly,
    ] {
        let chain = x5c(&VirtualIphone::new(&apple, &seed()).attack(attack).attest(&[7; 32], NOW).object);
        let name = format!("apple-{attack:?}");
        let Some(verdict) = verify(&name, &apple.root_certificate_pem(), &chain) else { return };
        assert!(verdict.is_err(), "{name}");
    }
    let google = GoogleAuthority::from_seed(&seed());
    for attack in [
        AndroidAttack::FakeGoogleRoot,
        AndroidAttack::FakeTestRoot,
        AndroidAttack::LeafSelfSigned,
        AndroidAttack::IntermediateNotCa,
        AndroidAttack::ExpiredRemoteCertificate,
        AndroidAttack::NotYetValid,
        AndroidAttack::SwappedIntermediates,
        AndroidAttack::SwappedIntermediateSameName,
        AndroidAttack::LeafOnly,
        AndroidAttack::MissingIntermediate,
        AndroidAttack::LeafSignatureBit,
        AndroidAttack::ExtendedChain,
    ] {
        let chain = VirtualAndroid::new(&google, &seed()).attack(attack).attest(b"challenge", NOW);
        let name = format!("android-{attack:?}");
        assert!(verify(&name, &google.root_certificate_pem(), &chain).unwrap().is_err(), "{name}");
    }
}

#[test]
fn the_root_is_printed_with_its_warning() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("printed-root.pem");
    fs::write(&path, GoogleAuthority::from_seed(&seed()).root_certificate_pem()).unwrap();
    let Some(output) = openssl(&["x509", "-in", &path.to_string_lossy(), "-noout", "-subject"]) else {
        return;
    };
    assert!(String::from_utf8_lossy(&output.stdout).contains("never trust"), "{output:?}");
}
