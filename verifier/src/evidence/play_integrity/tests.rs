//! Rules of tokens and payloads, each by the lie that breaks it.
#![allow(clippy::unwrap_used)]

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::jose::JwsError;
use countersign_virtual_device::{Expected, PlayIntegrityAttack, Seed, VirtualPlay};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const HASH: [u8; 32] = [7; 32];

fn play() -> VirtualPlay {
    VirtualPlay::from_seed(&Seed::from_text("play integrity")).app("com.example.app", 42, [8; 32])
}

fn keys() -> ClassicKeys {
    ClassicKeys::new(play().decryption_key(), &play().verification_key()).unwrap()
}

fn classic(play: &VirtualPlay) -> Result<VerifiedEvidence, EvidenceError> {
    verify(decrypt(&play.classic_token(&HASH, NOW), &keys())?, &HASH, NOW)
}

fn standard(play: &VirtualPlay) -> Result<VerifiedEvidence, EvidenceError> {
    let answer = play.decode(&play.standard_token(&HASH, NOW)).unwrap();
    verify(from_decode_answer(answer.as_bytes())?, &HASH, NOW)
}

/// What becomes of a good answer of Google after this change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<PlayIntegrityClaims, EvidenceError> {
    let answer = play().decode(&play().standard_token(&HASH, NOW)).unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    change(&mut answer["tokenPayloadExternal"]);
    let payload = from_decode_answer(answer.to_string().as_bytes())?;
    verify(payload, &HASH, NOW).map(|evidence| claims(&evidence).clone())
}

fn claims(evidence: &VerifiedEvidence) -> &PlayIntegrityClaims {
    match evidence.claims() {
        Claims::PlayIntegrity(claims) => claims,
        other => panic!("not Play Integrity: {other:?}"),
    }
}

fn error(of: Result<VerifiedEvidence, EvidenceError>) -> PlayIntegrityError {
    match of {
        Err(EvidenceError::PlayIntegrity(error)) => error,
        other => panic!("not refused by Play Integrity: {other:?}"),
    }
}

#[test]
fn both_kinds_of_token_say_the_same() {
    let (classic, standard) = (classic(&play()).unwrap(), standard(&play()).unwrap());
    for (evidence, request) in [(&classic, RequestKind::Classic), (&standard, RequestKind::Standard)] {
        assert_eq!(evidence.kind(), EvidenceKind::PlayIntegrity);
        assert_eq!(evidence.evidence_time(), NOW);
        assert_eq!(evidence.attested_key().as_p256(), None, "it attests no key");
        assert_eq!(evidence.protection(), Protection::Software);
        let claims = claims(evidence);
        assert_eq!(claims.request, request);
        assert_eq!(claims.requested_at, NOW);
        assert_eq!(claims.request_package, "com.example.app");
        assert_eq!(claims.package.as_deref(), Some("com.example.app"));
        assert_eq!(claims.certificate_digests, [[8; 32]]);
        assert_eq!(claims.version_code, Some(42));
        assert_eq!(claims.app_recognition, AppRecognition::PlayRecognized);
        assert_eq!(claims.device_recognition.len(), 3);
        assert_eq!(claims.sdk_version, Some(36));
        assert_eq!(claims.recent_activity, Some(DeviceActivity::Level1));
        assert_eq!(claims.licensing, AppLicensing::Licensed);
        assert_eq!(claims.apps_detected, Some(vec![DetectedApps::KnownInstalled]));
        assert_eq!(claims.play_protect, Some(PlayProtect::NoIssues));
    }
}

#[test]
fn every_lie_that_cannot_be_verified_is_an_error_and_every_bad_verdict_a_claim() {
    for attack in PlayIntegrityAttack::ALL {
        let unverifiable = attack.expected() == Expected::Unverifiable;
        let verdict = classic(&play().attack(*attack));
        assert_eq!(verdict.is_err(), unverifiable, "{}: {:?}", attack.name(), verdict.err());
        if attack.is_in_the_payload() {
            let verdict = standard(&play().attack(*attack));
            assert_eq!(verdict.is_err(), unverifiable, "{} decoded: {:?}", attack.name(), verdict.err());
        }
    }
}

/// Each lie is refused for what it is, and not by accident for something before it.
#[test]
fn lies_are_refused_for_their_own_reason() {
    use PlayIntegrityAttack as A;
    use PlayIntegrityError as E;
    for (attack, expected) in [
        (A::OtherWrappingKey, E::WrongKey),
        (A::WrappedKeyBit, E::WrongKey),
        (A::OtherSigner, E::Signature),
        (A::EmbeddedKey, E::Signature),
        (A::SignatureBit, E::Signature),
        (A::DerSignature, E::Signature),
        (A::ZeroSignature, E::Signature),
        (A::NoSignature, E::Jws(JwsError::Segments)),
        (A::AlgNone, E::SignatureAlgorithm),
        (A::AlgNoneByCase, E::SignatureAlgorithm),
        (A::AlgHs256, E::SignatureAlgorithm),
        (A::AlgEs384, E::SignatureAlgorithm),
        (A::VerdictCritical, E::Jws(JwsError::Critical)),
        (A::VerdictDuplicateAlg, E::Jws(JwsError::DuplicateMember)),
        (A::BareVerdict, E::Parts),
        (A::FourParts, E::Parts),
        (A::SixParts, E::Parts),
        (A::Direct, E::Parts),
        (A::JsonSerialisation, E::Parts),
        (A::EmptyCiphertext, E::Parts),
        (A::DirectWithKey, E::KeyManagement),
        (A::SmallerWrapping, E::KeyManagement),
        (A::GcmWrapping, E::KeyManagement),
        (A::AlgByCase, E::KeyManagement),
        (A::AlgIsNumber, E::KeyManagement),
        (A::NoAlg, E::KeyManagement),
        (A::CbcEncryption, E::ContentEncryption),
        (A::SmallerEncryption, E::ContentEncryption),
        (A::NoEnc, E::ContentEncryption),
        (A::EphemeralKey, E::ForeignParameter),
        (A::Critical, E::Critical),
        (A::DuplicateAlg, E::DuplicateHeaderMember),
        (A::HeaderIsList, E::Header),
        (A::HeaderRewritten, E::Decryption),
        (A::VectorBit, E::Decryption),
        (A::CiphertextBit, E::Decryption),
        (A::TagBit, E::Decryption),
        (A::ShortTag, E::Length),
        (A::LongVector, E::Length),
        (A::ShortKey, E::Length),
        (A::PaddedPart, E::Base64),
        (A::TrailingBits, E::Base64),
        (A::LeadingSpace, E::Base64),
        (A::Oversized, E::TooLong),
        (A::PayloadNotJson, E::Jws(JwsError::Json)),
        (A::PayloadIsList, E::Jws(JwsError::Json)),
        (A::PayloadTrailingData, E::Jws(JwsError::Json)),
        (A::PayloadTooDeep, E::Jws(JwsError::Json)),
        (A::PayloadDuplicateMember, E::Jws(JwsError::DuplicateMember)),
        (A::NoRequestDetails, E::MissingRequestDetails),
        (A::NoRequestPackage, E::MissingRequestDetails),
        (A::NoTime, E::MissingRequestDetails),
        (A::NegativeTime, E::MalformedPayload),
        (A::FractionalTime, E::MalformedPayload),
        (A::SignedTime, E::MalformedPayload),
        (A::EmptyTime, E::MalformedPayload),
        (A::OverflowingTime, E::MalformedPayload),
        (A::HugeTime, E::FromTheFuture),
        (A::BindingIsNumber, E::MalformedPayload),
        (A::TestingIsText, E::MalformedPayload),
        (A::VerdictIsText, E::MalformedPayload),
        (A::DeviceIsList, E::MalformedPayload),
        (A::DigestIsShort, E::MalformedPayload),
        (A::OverlongList, E::MalformedPayload),
        (A::Unbound, E::Unbound),
        (A::OtherBinding, E::BindingMismatch),
        (A::EmptyBinding, E::BindingMismatch),
        (A::BindingPrefix, E::BindingMismatch),
        (A::SecondBinding, E::BindingMismatch),
    ] {
        assert_eq!(error(classic(&play().attack(attack))), expected, "{}", attack.name());
    }
}

/// Section 8 of RFC 8725bis and CVEs of the field: compression and work factors that a token chooses.
#[test]
fn a_token_that_asks_for_decompression_or_a_work_factor_is_refused_before_any_key_is_used() {
    for (attack, expected) in [
        (PlayIntegrityAttack::Zip, PlayIntegrityError::Compressed),
        (PlayIntegrityAttack::PasswordRounds, PlayIntegrityError::ForeignParameter),
        (PlayIntegrityAttack::PasswordWrapping, PlayIntegrityError::KeyManagement),
    ] {
        let token = play().attack(attack).classic_token(&HASH, NOW);
        assert_eq!(Jwe::decode(&token).err(), Some(expected));
    }
}

#[test]
fn a_testing_response_is_refused() {
    let refused = classic(&play().attack(PlayIntegrityAttack::TestingResponse));
    assert_eq!(error(refused), PlayIntegrityError::TestingResponse);
    let not_testing = play().saying("testingDetails", json!({"isTestingResponse": false}));
    assert!(classic(&not_testing).is_ok());
}

#[test]
fn a_stale_timestamp_is_refused_and_one_from_the_future_too() {
    let payload = |made_at| decrypt(&play().classic_token(&HASH, made_at), &keys()).unwrap();
    assert!(verify(payload(NOW.minus(MAX_AGE)), &HASH, NOW).is_ok());
    assert!(verify(payload(NOW.plus(MAX_AHEAD)), &HASH, NOW).is_ok());
    let stale = verify(payload(NOW.minus(MAX_AGE + 1)), &HASH, NOW);
    assert_eq!(error(stale), PlayIntegrityError::TooOld);
    let ahead = verify(payload(NOW.plus(MAX_AHEAD + 1)), &HASH, NOW);
    assert_eq!(error(ahead), PlayIntegrityError::FromTheFuture);
}

#[test]
fn an_unevaluated_app_names_nothing() {
    let evidence = classic(&play().attack(PlayIntegrityAttack::AppUnevaluated)).unwrap();
    assert_eq!(claims(&evidence).app_recognition, AppRecognition::Unevaluated);
    assert_eq!(claims(&evidence).package, None);
    assert!(claims(&evidence).certificate_digests.is_empty());
}

#[test]
fn a_missing_verdict_list_vouches_for_nothing() {
    for attack in [PlayIntegrityAttack::NoDeviceVerdict, PlayIntegrityAttack::NoDeviceIntegrity] {
        let evidence = classic(&play().attack(attack)).unwrap();
        assert!(claims(&evidence).device_recognition.is_empty());
    }
}

#[test]
fn words_that_came_later_are_unknown_and_members_that_came_later_ignored() {
    let claims = changed(|payload| {
        payload["deviceIntegrity"]["deviceRecognitionVerdict"] = json!(["MEETS_FUTURE_INTEGRITY"]);
        payload["environmentDetails"]["locationSpoofingRiskVerdict"] = json!({"deep": [1, {"er": 2}]});
        payload["newDetails"] = json!(1.5);
    });
    assert_eq!(claims.unwrap().device_recognition, [DeviceRecognition::Unknown]);
}

#[test]
fn null_is_as_good_as_absent_and_another_type_is_refused() {
    assert!(changed(|payload| payload["deviceIntegrity"]["deviceAttributes"] = json!(null)).is_ok());
    for (object, member, value) in [
        ("deviceIntegrity", "deviceAttributes", json!([36])),
        ("deviceIntegrity", "deviceRecall", json!({"values": {"bitFirst": "true"}})),
        ("deviceIntegrity", "recentDeviceActivity", json!({"deviceActivityLevel": 4})),
        ("appIntegrity", "versionCode", json!("4x")),
        ("appIntegrity", "packageName", json!("p".repeat(257))),
        ("environmentDetails", "appAccessRiskVerdict", json!({"appsDetected": [7]})),
        ("environmentDetails", "playProtectVerdict", json!(["NO_ISSUES"])),
        ("accountDetails", "appLicensingVerdict", json!(true)),
    ] {
        let refused = changed(|payload| payload[object][member] = value);
        assert_eq!(refused, Err(PlayIntegrityError::MalformedPayload.into()), "{member}");
    }
}

#[test]
fn device_recall_is_read() {
    let claims = changed(|payload| {
        payload["deviceIntegrity"]["deviceRecall"] =
            json!({"values": {"bitFirst": true, "bitThird": true}, "writeDates": {"yyyymmFirst": 202601}});
    });
    let expected = DeviceRecall { bits: [true, false, true], written: [Some(202_601), None, None] };
    assert_eq!(claims.unwrap().device_recall, Some(expected));
}

#[test]
fn a_nonce_may_come_back_padded_and_a_request_hash_may_not() {
    let padded = format!("{}=", base64url(&HASH));
    let nonce = changed(|payload| {
        payload["requestDetails"]["requestHash"] = json!(null);
        payload["requestDetails"]["nonce"] = json!(padded);
    });
    assert!(nonce.is_ok());
    let hash = changed(|payload| payload["requestDetails"]["requestHash"] = json!(padded));
    assert_eq!(hash, Err(PlayIntegrityError::BindingMismatch.into()));
}

#[test]
fn an_empty_binding_hash_binds_nothing() {
    let payload = decrypt(&play().classic_token(&[], NOW), &keys()).unwrap();
    assert_eq!(verify(payload, &[], NOW), Err(EvidenceError::EmptyChallenge));
}

#[test]
fn answers_of_google_are_bounded_and_strict() {
    let read = |json: &str| from_decode_answer(json.as_bytes());
    assert_eq!(read("{}"), Err(PlayIntegrityError::NoPayload));
    assert_eq!(read(r#"{"error":{"code":400}}"#), Err(PlayIntegrityError::NoPayload));
    assert_eq!(read(r#"{"tokenPayloadExternal":[]}"#), Err(PlayIntegrityError::NoPayload));
    assert_eq!(read(r#"{"tokenPayloadExternal":{}}"#), Err(PlayIntegrityError::MissingRequestDetails));
    let twice = r#"{"tokenPayloadExternal":{},"tokenPayloadExternal":{}}"#;
    assert_eq!(read(twice), Err(PlayIntegrityError::Json(JwsError::DuplicateMember)));
    assert_eq!(read(""), Err(PlayIntegrityError::Json(JwsError::Json)));
    assert_eq!(read(&" ".repeat(MAX_DECODE_ANSWER + 1)), Err(PlayIntegrityError::TooLong));
}

#[test]
fn only_a_32_byte_key_and_a_p256_key_open_tokens() {
    let verification_key = play().verification_key();
    for length in [0, 16, 24, 31, 33, 64] {
        let refused = ClassicKeys::new(&vec![1; length], &verification_key);
        assert_eq!(refused.err(), Some(ClassicKeyError::DecryptionKey), "{length}");
    }
    let mut off_curve = verification_key.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let point = &verification_key[verification_key.len() - 65..];
    for key in [&off_curve[..], point, &verification_key[..90], &[]] {
        assert_eq!(ClassicKeys::new(&[1; 32], key).err(), Some(ClassicKeyError::VerificationKey));
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", keys()), "ClassicKeys(..)");
}

#[test]
fn the_outside_of_a_token_is_read_without_keys() {
    let token = play().classic_token(&HASH, NOW);
    let outside = UnverifiedToken::read(&token).unwrap();
    assert_eq!(outside.algorithm.as_deref(), Some("A256KW"));
    assert_eq!(outside.encryption.as_deref(), Some("A256GCM"));
    assert_eq!((outside.length, outside.objection), (token.len(), None));
    let zipped = play().attack(PlayIntegrityAttack::Zip).classic_token(&HASH, NOW);
    assert_eq!(UnverifiedToken::read(&zipped).unwrap().objection, Some("play_integrity_jwe_zip"));
    assert_eq!(UnverifiedToken::read("a.b.c"), Err(PlayIntegrityError::Parts));
}

#[test]
fn every_byte_of_a_token_counts() {
    let token = play().classic_token(&HASH, NOW);
    let keys = keys();
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).unwrap();
        assert!(decrypt(&altered, &keys).is_err(), "character {at}");
    }
}

/// A token of that length with a strict header, which no key opens.
fn token_of_length(length: usize) -> String {
    let header = base64url(br#"{"alg":"A256KW", "enc":"A256GCM"}"#);
    let ends = (format!("{header}.{}.{}.", base64url(&[1; 40]), base64url(&[1; 12])), base64url(&[1; 16]));
    let ciphertext = "A".repeat(length - ends.0.len() - ends.1.len() - 1);
    format!("{}{ciphertext}.{}", ends.0, ends.1)
}

#[test]
fn a_token_has_16_kibibytes_at_most() {
    for (length, expected) in [
        (16_384, None),
        (16_385, Some(PlayIntegrityError::TooLong)),
        (16_500, Some(PlayIntegrityError::TooLong)),
    ] {
        let token = token_of_length(length);
        assert_eq!(token.len(), length);
        assert_eq!(Jwe::decode(&token).err(), expected, "{length}");
        assert_eq!(UnverifiedToken::read(&token).err(), expected, "{length}");
    }
}

#[test]
fn a_header_has_1024_characters_at_most() {
    let header = |length: usize| {
        let json = format!("{{\"alg\":\"A256KW\",\"pad\":\"{}\"}}", "a".repeat(length * 3 / 4 - 25));
        let encoded = base64url(json.as_bytes());
        assert_eq!(encoded.len(), length);
        classic::decode_header(&encoded).map(drop)
    };
    assert_eq!(header(1024), Ok(()));
    for length in [1026, 1028, 2048] {
        assert_eq!(header(length), Err(PlayIntegrityError::Header), "{length}");
    }
}

#[test]
fn an_answer_of_google_has_32_kibibytes_at_most() {
    let answer = play().decode(&play().standard_token(&HASH, NOW)).unwrap();
    let of_length = |length: usize| {
        let padded = format!("{answer}{}", " ".repeat(length - answer.len()));
        from_decode_answer(padded.as_bytes()).map(drop)
    };
    assert_eq!(of_length(32_768), Ok(()));
    assert_eq!(of_length(32_769), Err(PlayIntegrityError::TooLong));
}
