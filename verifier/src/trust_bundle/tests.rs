//! What is taken as a trust bundle, and above all what is not.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_core::token::cose::typ;
use countersign_virtual_device::{AppleAuthority, GoogleAuthority, Seed};

use super::*;
use crate::anchors::AnchorError;
use crate::boot_keys::{BootKey, BootKeysError};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn public(&self) -> PublicKey {
        PublicKey::from_ed25519(self.0.public_key().as_ref().try_into().unwrap()).unwrap()
    }

    fn signed(&self, message: &Unsigned) -> Vec<u8> {
        let signature = self.0.sign(&message.to_be_signed());
        message.with_signature(signature.as_ref().try_into().unwrap())
    }

    fn bundle(&self, content: &BundleContent) -> Vec<u8> {
        self.signed(&content.to_unsigned(&self.public()))
    }
}

fn boot_key(byte: u8) -> NotedBootKey {
    let key = BootKey {
        verified_boot_key: [byte; 32],
        name: "GrapheneOS".to_owned(),
        models: vec!["Pixel 9".to_owned()],
    };
    NotedBootKey { key, note: "from the project's own page".to_owned() }
}

fn android_root() -> Vec<u8> {
    GoogleAuthority::from_seed(&Seed::from_text("bundle")).root_certificate_der()
}

fn content() -> BundleContent {
    BundleContent {
        version: 7,
        issued_at: NOW,
        expires_at: Some(NOW.plus(86_400)),
        roots: vec![BundledRoots {
            kind: RootKind::AndroidKey,
            replace: false,
            certificates: vec![android_root()],
        }],
        status_list: Some(BundledStatusList {
            as_of: NOW.minus(3600),
            json: br#"{"entries":{"1":{"status":"REVOKED"}}}"#.to_vec(),
        }),
        boot_keys: vec![boot_key(1)],
    }
}

fn taken(content: &BundleContent) -> Result<TrustBundle, BundleError> {
    let signer = Signer::new(1);
    TrustBundle::verify(&signer.bundle(content), &signer.public(), NOW)
}

#[test]
fn a_bundle_says_what_was_put_in() {
    let bundle = taken(&content()).unwrap();
    assert_eq!(bundle.seen().version, 7);
    assert_eq!(bundle.revocation().map(|list| (list.len(), list.as_of())), Some((1, NOW.minus(3600))));
    assert!(bundle.boot_keys().names("GrapheneOS"));
    let bytes = Signer::new(1).bundle(&content());
    assert_eq!(BundleContent::claimed(&bytes), Ok(content()));
}

#[test]
fn a_bundle_of_nothing_changes_nothing() {
    let empty =
        BundleContent { expires_at: None, roots: vec![], status_list: None, boot_keys: vec![], ..content() };
    let bundle = taken(&empty).unwrap();
    assert_eq!(bundle.anchors(), TrustAnchors::embedded());
    assert!(bundle.revocation().is_none() && bundle.boot_keys().entries().is_empty());
}

#[test]
fn roots_stand_beside_the_embedded_ones_unless_the_bundle_says_otherwise() {
    let count = |content: &BundleContent| taken(content).unwrap().anchors().android_key().len();
    assert_eq!(count(&content()), 3);
    let mut replacing = content();
    replacing.roots[0].replace = true;
    assert_eq!(count(&replacing), 1);
    let anchors = taken(&replacing).unwrap().anchors();
    assert!(anchors.android_key()[0].name().starts_with("bundle:"));
    assert_eq!(anchors.app_attest(), TrustAnchors::embedded().app_attest(), "other kinds stay");
}

#[test]
fn only_the_trusted_key_signs_bundles() {
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let verify = |bytes: &[u8]| TrustBundle::verify(bytes, &signer.public(), NOW).err();
    assert_eq!(verify(&other.bundle(&content())), Some(BundleError::OtherKey));
    // Signed by another, under the name of the trusted one.
    let forged = other.signed(&content().to_unsigned(&signer.public()));
    assert_eq!(verify(&forged), Some(BundleError::Signature));
}

#[test]
fn every_changed_byte_is_refused() {
    let signer = Signer::new(1);
    let bytes = signer.bundle(&content());
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        assert!(TrustBundle::verify(&changed, &signer.public(), NOW).is_err(), "{position}");
    }
}

#[test]
fn what_is_not_signed_or_signed_for_something_else_is_no_bundle() {
    let signer = Signer::new(1);
    let key_id = signer.public().thumbprint().to_base64url();
    let other =
        Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: typ::DENY_LIST };
    let as_deny_list = signer.signed(&Unsigned::new(&other, content().to_bytes()));
    for bytes in [&as_deny_list[..], &content().to_bytes(), b"", b"{}"] {
        let refused = TrustBundle::verify(bytes, &signer.public(), NOW);
        assert!(matches!(refused, Err(BundleError::Encoding(_))), "{refused:?}");
    }
    assert_eq!(
        TrustBundle::verify(&vec![0; MAX_BUNDLE + 1], &signer.public(), NOW),
        Err(BundleError::TooLong)
    );
}

#[test]
fn a_bundle_has_its_time() {
    let at = |issued_at, expires_at| taken(&BundleContent { issued_at, expires_at, ..content() }).err();
    assert_eq!(at(NOW, Some(NOW)), Some(BundleError::Expired));
    assert_eq!(at(NOW, Some(NOW.plus(1))), None);
    assert_eq!(at(NOW.plus(60), None), None);
    assert_eq!(at(NOW.plus(61), None), Some(BundleError::FromTheFuture));
}

#[test]
fn a_version_never_goes_back_and_never_means_two_things() {
    let version = |version| taken(&BundleContent { version, ..content() }).unwrap().seen();
    let seen = version(7);
    assert_eq!(seen.may_be_followed_by(&version(7)), Ok(()));
    assert_eq!(seen.may_be_followed_by(&version(8)), Ok(()));
    assert_eq!(seen.may_be_followed_by(&version(6)), Err(BundleError::OlderVersion { seen: 7, version: 6 }));
    let other = taken(&BundleContent { boot_keys: vec![], ..content() }).unwrap().seen();
    assert_eq!(seen.may_be_followed_by(&other), Err(BundleError::SameVersion));
}

#[test]
fn a_bundle_with_one_part_that_cannot_be_used_is_refused_as_a_whole() {
    let apple = AppleAuthority::from_seed(&Seed::from_text("bundle")).root_certificate_der();
    let roots =
        |certificates: Vec<Vec<u8>>| BundledRoots { kind: RootKind::AppAttest, replace: true, certificates };
    let software: &[u8] = include_bytes!("../../data/test-only-android-software-root.der");
    let list = |json: &[u8], as_of| BundleContent {
        status_list: Some(BundledStatusList { as_of, json: json.to_vec() }),
        ..content()
    };
    let cases = [
        (BundleContent { roots: vec![roots(vec![])], ..content() }, "trust_bundle_empty_list"),
        (
            BundleContent { roots: vec![roots(vec![apple.clone()]), roots(vec![apple])], ..content() },
            "trust_bundle_roots",
        ),
        (
            BundleContent { roots: vec![roots(vec![b"no certificate".to_vec()])], ..content() },
            AnchorError::MalformedCertificate.reason(),
        ),
        (
            BundleContent { roots: vec![roots(vec![software.to_vec()])], ..content() },
            AnchorError::SoftwareRoot.reason(),
        ),
        (list(b"[]", NOW), "revocation_list_malformed"),
        (list(br#"{"entries":{}}"#, NOW), "trust_bundle_status_list_not_believed"),
        (
            list(br#"{"entries":{"1":{"status":"REVOKED"}}}"#, NOW.plus(3600)),
            "trust_bundle_status_list_not_believed",
        ),
        (
            BundleContent { boot_keys: vec![boot_key(1), boot_key(1)], ..content() },
            BootKeysError::Duplicate { index: 1 }.reason(),
        ),
        (
            BundleContent { boot_keys: vec![boot_key(0)], ..content() },
            BootKeysError::NoKey { index: 0 }.reason(),
        ),
    ];
    for (content, reason) in cases {
        assert_eq!(taken(&content).map_err(BundleError::reason), Err(reason));
    }
}

/// What becomes of a payload that the trusted key signed.
fn signed(payload: Vec<u8>) -> Result<TrustBundle, BundleError> {
    let signer = Signer::new(1);
    let key_id = signer.public().thumbprint().to_base64url();
    let header = Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: TYP };
    TrustBundle::verify(&signer.signed(&Unsigned::new(&header, payload)), &signer.public(), NOW)
}

#[test]
fn a_member_that_is_not_known_refuses_the_bundle() {
    // {1: 7, 2: 0, 7: true}
    let refused = signed(vec![0xa3, 1, 7, 2, 0, 7, 0xf5]);
    assert_eq!(refused, Err(BundleError::Encoding(CborError::UnknownCritical)));
}

#[test]
fn a_list_without_items_is_refused() {
    let boot_key = |models: &[u8]| {
        let mut key = vec![0xa3, 1, 0x58, 32];
        key.extend([1; 32]);
        key.extend([2, 0x61, b'A', 3]);
        key.extend(models);
        [&[0xa3, 1, 7, 2, 0, 6, 0x81][..], &key].concat()
    };
    assert!(signed(boot_key(&[0x81, 0x61, b'P'])).is_ok(), "one model");
    let empty = [
        // {1: 7, 2: 0, 4: []}, and the same with 6
        vec![0xa3, 1, 7, 2, 0, 4, 0x80],
        vec![0xa3, 1, 7, 2, 0, 6, 0x80],
        // 4: [{1: 2, 2: true, 3: []}]
        vec![0xa3, 1, 7, 2, 0, 4, 0x81, 0xa3, 1, 2, 2, 0xf5, 3, 0x80],
        boot_key(&[0x80]),
    ];
    for payload in empty {
        assert_eq!(signed(payload.clone()), Err(BundleError::EmptyList), "{payload:?}");
    }
}

#[test]
fn roots_without_their_certificates_are_refused() {
    // 4: [{1: 2, 2: true}]
    let refused = signed(vec![0xa3, 1, 7, 2, 0, 4, 0x81, 0xa2, 1, 2, 2, 0xf5]);
    assert_eq!(refused, Err(BundleError::Encoding(CborError::Missing)));
}
