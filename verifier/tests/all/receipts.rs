//! Receipts of App Attest by virtual iPhones: honest ones, every lie, every byte.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::chain::ChainError;
use countersign_verifier::crypto::CertificateSignatureError;
use countersign_verifier::evidence::app_attest::receipt::{
    CLOCK_SKEW, FIRST_USE_WINDOW, MAX_RECEIPT_LENGTH, Receipt, ReceiptError, ReceiptSubject, ReceiptType,
    UnverifiedReceipt,
};
use countersign_verifier::evidence::app_attest::{AppAttestClaims, AppAttestEnvironment, verify_attestation};
use countersign_verifier::evidence::{Claims, EvidenceError};
use countersign_verifier::policy::AppleApp;
use countersign_virtual_device::receipt::ReceiptForm;
use countersign_virtual_device::{Environment, ReceiptAttack, VirtualIphone};

use crate::world::{CHALLENGE, NOW, anchors, iphone};

fn attest(phone: &VirtualIphone) -> Result<AppAttestClaims, EvidenceError> {
    let attestation = phone.attest(&CHALLENGE, NOW);
    let verified = verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &anchors(), NOW)?;
    match verified.claims() {
        Claims::AppAttest(claims) => Ok((**claims).clone()),
        other => panic!("claims of another kind: {other:?}"),
    }
}

/// What is said of the receipt in the attestation of a phone.
fn verdict(phone: &VirtualIphone) -> Result<Receipt, ReceiptError> {
    attest(phone).unwrap().receipt_verdict.unwrap()
}

fn exchanged(phone: &VirtualIphone, bytes: &[u8], now: Timestamp) -> Result<Receipt, ReceiptError> {
    verify(bytes, ReceiptType::Receipt, phone.app_id(), &phone.app_attest_key(), now)
}

fn verify(
    bytes: &[u8],
    receipt_type: ReceiptType,
    app_id: &str,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Receipt, ReceiptError> {
    let app = AppleApp::from_app_id(app_id);
    let subject = ReceiptSubject {
        rp_id_hash: app.rp_id_hash(),
        public_key: key,
        environment: AppAttestEnvironment::Production,
    };
    Receipt::verify(bytes, receipt_type, subject, &anchors(), now)
}

#[test]
fn the_receipt_of_an_honest_attestation_is_verified() {
    let receipt = verdict(&iphone()).unwrap();
    assert_eq!(receipt.app_id(), "ABCDE12345.com.example.app");
    assert_eq!(receipt.receipt_type(), ReceiptType::Attest);
    assert_eq!(receipt.environment(), Some(AppAttestEnvironment::Production));
    assert_eq!(receipt.risk_metric(), None, "there is none before the first exchange");
    assert_eq!(receipt.exchangeable_from(), NOW, "the first exchange may happen at once");
    assert_eq!(receipt.expiration_time(), NOW.plus(90 * 86_400));
}

#[test]
fn an_exchanged_receipt_brings_a_risk_metric_and_the_time_of_the_next_exchange() {
    let phone = iphone();
    let receipt = exchanged(&phone, &phone.exchanged_receipt(3, NOW), NOW).unwrap();
    assert_eq!((receipt.receipt_type(), receipt.risk_metric()), (ReceiptType::Receipt, Some(3)));
    assert_eq!(receipt.exchangeable_from(), NOW.plus(86_400));
}

#[test]
fn the_sandbox_of_app_attest_writes_receipts_of_its_own() {
    let receipt = verdict(&iphone().environment(Environment::Development)).unwrap();
    assert_eq!(receipt.environment(), Some(AppAttestEnvironment::Development));
}

#[test]
fn no_lie_in_a_receipt_is_believed_and_none_harms_the_attestation() {
    for attack in ReceiptAttack::ALL {
        let verdict = verdict(&iphone().receipt_attack(*attack));
        assert!(verdict.is_err(), "{}", attack.name());
    }
}

#[test]
fn no_lie_in_an_exchanged_receipt_is_believed() {
    for attack in ReceiptAttack::ALL.iter().filter(|attack| **attack != ReceiptAttack::Missing) {
        let phone = iphone().receipt_attack(*attack);
        let receipt = phone.exchanged_receipt(1, NOW);
        assert!(exchanged(&phone, &receipt, NOW).is_err(), "{}", attack.name());
    }
}

#[test]
fn a_lie_is_refused_for_what_it_is() {
    let cases = [
        (ReceiptAttack::Missing, ReceiptError::Missing),
        (ReceiptAttack::Empty, ReceiptError::MalformedEnvelope),
        (ReceiptAttack::Oversize, ReceiptError::TooLong),
        (ReceiptAttack::OtherVersion, ReceiptError::MalformedEnvelope),
        (ReceiptAttack::RevocationLists, ReceiptError::MalformedEnvelope),
        (ReceiptAttack::OtherRootSameNames, ReceiptError::Chain(ChainError::UnknownRoot)),
        (
            ReceiptAttack::OtherAuthorityUnderRoot,
            ReceiptError::Chain(ChainError::Signature {
                index: 1,
                error: CertificateSignatureError::Invalid,
            }),
        ),
        (ReceiptAttack::SignerOfAnotherPurpose, ReceiptError::NotAReceiptSigner),
        (ReceiptAttack::SignerExpired, ReceiptError::Chain(ChainError::Expired { index: 0 })),
        (ReceiptAttack::SignerIsCa, ReceiptError::Chain(ChainError::LeafIsAuthority)),
        (ReceiptAttack::IntermediateNotCa, ReceiptError::Chain(ChainError::NotAuthority { index: 1 })),
        (ReceiptAttack::IntermediateMissing, ReceiptError::SuperfluousCertificate),
        (ReceiptAttack::NoCertificates, ReceiptError::UnknownSigner),
        (ReceiptAttack::ExtraCertificate, ReceiptError::SuperfluousCertificate),
        (ReceiptAttack::NoSigner, ReceiptError::SignerCount),
        (ReceiptAttack::TwoSigners, ReceiptError::SignerCount),
        (ReceiptAttack::OtherSerial, ReceiptError::UnknownSigner),
        (ReceiptAttack::SignatureBit, ReceiptError::InvalidSignature),
        (ReceiptAttack::SignedByAnotherKey, ReceiptError::InvalidSignature),
        (ReceiptAttack::PayloadAltered, ReceiptError::InvalidSignature),
        (ReceiptAttack::OtherDigest, ReceiptError::UnsupportedAlgorithm),
        (ReceiptAttack::UnsignedAttributes, ReceiptError::MalformedEnvelope),
        (ReceiptAttack::AttributesAltered, ReceiptError::InvalidSignature),
        (ReceiptAttack::AttributesOfOtherContent, ReceiptError::DigestMismatch),
        (ReceiptAttack::AttributesWithoutDigest, ReceiptError::MalformedSignedAttributes),
        (ReceiptAttack::AttributesTwice, ReceiptError::MalformedSignedAttributes),
        (ReceiptAttack::AttributesOfOtherType, ReceiptError::MalformedSignedAttributes),
        (ReceiptAttack::FieldTwice, ReceiptError::MalformedPayload),
        (ReceiptAttack::PayloadTrailingBytes, ReceiptError::MalformedPayload),
        (ReceiptAttack::OtherApp, ReceiptError::OtherApp),
        (ReceiptAttack::OtherKey, ReceiptError::OtherKey),
        (ReceiptAttack::OtherEnvironment, ReceiptError::OtherEnvironment),
        (ReceiptAttack::OtherType, ReceiptError::OtherType),
        (ReceiptAttack::Old, ReceiptError::NotFresh),
        (ReceiptAttack::FromTheFuture, ReceiptError::CreatedInFuture),
        (ReceiptAttack::Expired, ReceiptError::Expired),
    ];
    for (attack, error) in cases {
        assert_eq!(verdict(&iphone().receipt_attack(attack)).err(), Some(error), "{}", attack.name());
    }
}

#[test]
fn signed_attributes_in_the_order_in_which_they_were_signed_are_accepted() {
    let phone = iphone().receipt_form(ReceiptForm::SignedAttributes);
    assert!(exchanged(&phone, &phone.exchanged_receipt(1, NOW), NOW).is_ok());
}

#[test]
fn a_receipt_in_der_is_accepted_too() {
    let phone = iphone().receipt_form(ReceiptForm::Der);
    assert!(exchanged(&phone, &phone.exchanged_receipt(1, NOW), NOW).is_ok());
}

#[test]
fn a_receipt_is_used_for_the_first_time_within_its_window() {
    let phone = iphone();
    let receipt = phone.exchanged_receipt(1, NOW);
    let at = |now| exchanged(&phone, &receipt, now).err();
    assert_eq!(at(NOW.plus(FIRST_USE_WINDOW)), None);
    assert_eq!(at(NOW.plus(FIRST_USE_WINDOW + 1)), Some(ReceiptError::NotFresh));
    assert_eq!(at(NOW.minus(CLOCK_SKEW)), None);
    assert_eq!(at(NOW.minus(CLOCK_SKEW + 1)), Some(ReceiptError::CreatedInFuture));
}

#[test]
fn the_receipt_of_somebody_else_with_the_same_app_is_refused() {
    let (phone, somebody) = (iphone(), iphone().of_somebody_else());
    let receipt = somebody.exchanged_receipt(0, NOW);
    assert!(exchanged(&somebody, &receipt, NOW).is_ok());
    assert_eq!(exchanged(&phone, &receipt, NOW), Err(ReceiptError::OtherKey));
}

#[test]
fn virtual_receipts_are_refused_without_their_root() {
    let phone = iphone();
    let app = AppleApp::from_app_id(phone.app_id());
    let key = phone.app_attest_key();
    let subject = ReceiptSubject {
        rp_id_hash: app.rp_id_hash(),
        public_key: &key,
        environment: AppAttestEnvironment::Production,
    };
    let receipt = phone.exchanged_receipt(1, NOW);
    let verdict = Receipt::verify(&receipt, ReceiptType::Receipt, subject, &TrustAnchors::embedded(), NOW);
    assert_eq!(verdict, Err(ReceiptError::Chain(ChainError::UnknownRoot)));
}

/// Bytes that nobody signs: those of the root's certificate that are neither its name nor its key (it is known by
/// those), and an AlgorithmIdentifier may leave its NULL out.
#[test]
fn a_changed_byte_changes_nothing_or_refuses_the_receipt() {
    let phone = iphone();
    let mut bytes = phone.exchanged_receipt(1, NOW);
    let genuine = exchanged(&phone, &bytes, NOW).unwrap();
    let root = phone.authority().root_certificate_der();
    let root_at = bytes.windows(root.len()).position(|window| window == root).unwrap();
    // Inside the certificates, which other tests change bit by bit, every seventh byte will do.
    let signer_at = bytes.windows(4).position(|window| window == [0xa0, 0x80, 0x30, 0x82]).unwrap();
    let certificates = signer_at..root_at + root.len();
    for at in (0..bytes.len()).filter(|at| !certificates.contains(at) || at % 7 == 0) {
        bytes[at] ^= 0x01;
        let verdict = exchanged(&phone, &bytes, NOW);
        bytes[at] ^= 0x01;
        if let Ok(receipt) = verdict {
            assert!((root_at..root_at + root.len()).contains(&at), "byte {at} of {}", bytes.len());
            assert_eq!(receipt, genuine, "byte {at}");
        }
    }
}

#[test]
fn every_prefix_is_refused_without_panic() {
    let phone = iphone();
    let bytes = phone.exchanged_receipt(1, NOW);
    for end in 0..bytes.len() {
        assert!(exchanged(&phone, &bytes[..end], NOW).is_err(), "{end}");
    }
}

#[test]
fn the_longest_receipt_is_bounded() {
    let phone = iphone();
    let long = vec![0x30; MAX_RECEIPT_LENGTH + 1];
    assert_eq!(exchanged(&phone, &long, NOW), Err(ReceiptError::TooLong));
    assert_eq!(UnverifiedReceipt::read(&long), Err(ReceiptError::TooLong));
    assert_eq!(exchanged(&phone, &long[1..], NOW), Err(ReceiptError::MalformedEnvelope));
    assert_eq!(UnverifiedReceipt::read(&long[1..]), Err(ReceiptError::MalformedEnvelope));
}

#[test]
fn what_a_receipt_says_can_be_read_without_believing_it() {
    let phone = iphone().receipt_attack(ReceiptAttack::SignatureBit);
    let read = UnverifiedReceipt::read(&phone.exchanged_receipt(7, NOW)).unwrap();
    assert_eq!((read.risk_metric, read.app_id.as_str()), (Some(7), "ABCDE12345.com.example.app"));
    assert_eq!(read.key.as_p256(), Some(&phone.app_attest_key()));
    assert_eq!(read.certificates.len(), 3);
}

#[test]
fn debug_output_names_no_app() {
    let receipt = verdict(&iphone()).unwrap();
    let shown = format!("{receipt:?}");
    assert!(shown.starts_with("Receipt") && !shown.contains("com.example"), "{shown}");
}
