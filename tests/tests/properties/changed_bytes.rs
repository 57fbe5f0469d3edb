//! Any change of any one byte of what is accepted is refused, except of bytes that nobody signs. Which those are
//! stands here with the reason, and the test fails if there are more of them, or fewer.

use std::collections::BTreeSet;
use std::ops::Range;

use countersign_core::challenge::{Challenge, Scope};
use countersign_core::encoding::from_base64url;
use countersign_core::token::result::InstanceId;
use countersign_tests::world::{ISSUER, NOW, World, android, iphone, seed, session};
use countersign_verifier::boot_keys::BootKey;
use countersign_verifier::check::Decision;
use countersign_verifier::check::deny_list::{DenyList, SubjectDigest};
use countersign_verifier::check::trust::service_keys;
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use countersign_verifier::evidence::app_attest::receipt::{Receipt, ReceiptSubject, ReceiptType};
use countersign_verifier::evidence::play_integrity::{ClassicKeys, decrypt};
use countersign_verifier::evidence::{android_key, app_attest, play_integrity};
use countersign_verifier::policy::AppleApp;
use countersign_verifier::trust_bundle::{
    BundleContent, BundledRoots, BundledStatusList, NotedBootKey, RootKind, TrustBundle,
};
use countersign_virtual_device::{AppExtensions, AppleAuthority, GoogleAuthority, Provisioning, VirtualPlay};

use crate::scene::{Scene, Sent};

const CHALLENGE: [u8; 32] = [7; 32];

/// Bytes that nobody signs, and why that does no harm.
struct Unsigned {
    why: &'static str,
    place: Range<usize>,
}

/// The places where some other value of the byte is accepted too.
fn survivors(bytes: &[u8], accepted: impl Fn(&[u8]) -> bool) -> BTreeSet<usize> {
    assert!(accepted(bytes), "what nobody changed is accepted");
    let mut changed = bytes.to_vec();
    let mut survivors = BTreeSet::new();
    for (at, byte) in bytes.iter().enumerate() {
        let values = [byte ^ 0x01, byte ^ 0x80, byte ^ 0x20, 0x00];
        for value in values.into_iter().filter(|value| value != byte) {
            changed[at] = value;
            if accepted(&changed) {
                survivors.insert(at);
                break;
            }
        }
        changed[at] = *byte;
    }
    survivors
}

/// Nothing survives outside of what is listed, and something in everything that is.
fn only(listed: &[Unsigned], survivors: &BTreeSet<usize>) {
    let unexplained: Vec<_> =
        survivors.iter().filter(|at| !listed.iter().any(|unsigned| unsigned.place.contains(at))).collect();
    assert!(unexplained.is_empty(), "changes are accepted at {unexplained:?}");
    for Unsigned { why, place } in listed {
        assert!(survivors.iter().any(|at| place.contains(at)), "no longer so: {why}");
    }
}

/// Where `part` stands in `whole`, once.
fn place_of(part: &[u8], whole: &[u8]) -> Range<usize> {
    let mut places = whole.windows(part.len()).enumerate().filter(|(_, window)| *window == part);
    let (at, _) = places.next().expect("it is there");
    assert!(places.next().is_none(), "it is there once");
    at..at + part.len()
}

#[test]
fn an_app_attest_attestation() {
    let world = World::new();
    let extensions = AppExtensions { bundle_version: "7".to_owned(), category: 4, flag: true };
    for phone in [iphone(), iphone().ios_27(extensions)] {
        let attestation = phone.attest(&CHALLENGE, NOW);
        let survivors = survivors(&attestation.object, |object| {
            let (key_id, anchors) = (&attestation.key_id, &world.anchors);
            world.accepts(app_attest::verify_attestation(object, key_id, &CHALLENGE, anchors, NOW))
        });
        let name = place_of(b"\x67receipt", &attestation.object);
        // Two bytes of head and the content, up to the next member.
        let content = name.end..place_of(b"\x68authData", &attestation.object).start;
        only(
            &[
                Unsigned {
                    why: "the receipt has a signature of its own, which is verified where it is used, and never for the attestation",
                    place: content,
                },
                Unsigned {
                    why: "a member by another name is one that we do not know, and then there is no receipt",
                    place: name,
                },
            ],
            &survivors,
        );
    }
}

#[test]
fn an_app_attest_assertion() {
    let world = World::new();
    let mut phone = iphone();
    let (key, assertion) = (phone.app_attest_key(), phone.assert(&CHALLENGE));
    let survivors = survivors(&assertion, |assertion| {
        world.accepts(app_attest::verify_assertion(assertion, &key, &CHALLENGE, 0, NOW))
    });
    only(&[], &survivors);
}

#[test]
fn an_android_chain() {
    let world = World::new();
    for provisioning in [Provisioning::Remote, Provisioning::Factory] {
        let chain = android().provisioning(provisioning).attest(&CHALLENGE, NOW);
        let lengths: Vec<_> = chain.iter().map(Vec::len).collect();
        let whole = chain.concat();
        let survivors = survivors(&whole, |bytes| {
            let mut rest = bytes;
            let chain: Vec<&[u8]> = lengths
                .iter()
                .map(|length| {
                    let (certificate, after) = rest.split_at(*length);
                    rest = after;
                    certificate
                })
                .collect();
            let list = Some(&world.revocation);
            world.accepts(android_key::verify(&chain, &CHALLENGE, &world.anchors, list, NOW))
        });
        let root = whole.len() - lengths[lengths.len() - 1]..whole.len();
        only(
            &[Unsigned {
                why: "the root that a device sends is replaced by ours with the same key: no more of it is read than that it names itself",
                place: root,
            }],
            &survivors,
        );
    }
}

#[test]
fn an_android_chain_without_its_root() {
    let world = World::new();
    let mut chain = android().attest(&CHALLENGE, NOW);
    chain.pop();
    let last = chain.pop().unwrap();
    let survivors = survivors(&last, |last| {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).chain([last]).collect();
        world.accepts(android_key::verify(&chain, &CHALLENGE, &world.anchors, Some(&world.revocation), NOW))
    });
    only(&[], &survivors);
}

/// The text of a classic token, which is one JWE around one JWS.
#[test]
fn a_play_integrity_token() {
    let play = VirtualPlay::from_seed(&seed()).app("com.example.app", 1, [8; 32]);
    let keys = ClassicKeys::new(play.decryption_key(), &play.verification_key()).unwrap();
    let token = play.classic_token(&CHALLENGE, NOW);
    let survivors = survivors(token.as_bytes(), |token| {
        let Ok(token) = core::str::from_utf8(token) else { return false };
        decrypt(token, &keys).is_ok_and(|payload| play_integrity::verify(payload, &CHALLENGE, NOW).is_ok())
    });
    only(&[], &survivors);
}

#[test]
fn a_receipt() {
    let world = World::new();
    let phone = iphone();
    let (app, key) = (AppleApp::from_app_id(phone.app_id()), phone.app_attest_key());
    let environment = AppAttestEnvironment::Production;
    let subject = ReceiptSubject { rp_id_hash: app.rp_id_hash(), public_key: &key, environment };
    let receipt = phone.exchanged_receipt(3, NOW);
    let verify = |bytes: &[u8]| Receipt::verify(bytes, ReceiptType::Receipt, subject, &world.anchors, NOW);
    let honest = verify(&receipt).unwrap();
    let survivors = survivors(&receipt, |bytes| {
        verify(bytes).is_ok_and(|receipt| {
            assert_eq!(receipt, honest, "whatever else is changed, it says the same");
            true
        })
    });
    let root = AppleAuthority::from_seed(&seed()).root_certificate_der();
    only(
        &[Unsigned {
            why: "the root that a receipt carries is replaced by ours with the same key",
            place: place_of(&root, &receipt),
        }],
        &survivors,
    );
}

#[test]
fn a_trust_bundle_and_the_status_list_in_it() {
    let google = GoogleAuthority::from_seed(&seed()).root_certificate_der();
    let key =
        BootKey { verified_boot_key: [5; 32], name: "Another".to_owned(), models: vec!["1".to_owned()] };
    let content = BundleContent {
        version: 7,
        issued_at: NOW,
        expires_at: Some(NOW.plus(600)),
        roots: vec![BundledRoots { kind: RootKind::AndroidKey, replace: false, certificates: vec![google] }],
        status_list: Some(BundledStatusList {
            as_of: NOW.minus(60),
            json: br#"{"entries":{"a1":{"status":"REVOKED"},"b2":{"status":"SUSPENDED"}}}"#.to_vec(),
        }),
        boot_keys: vec![NotedBootKey { key, note: "its own page".to_owned() }],
    };
    let signer = session();
    let unsigned = content.to_unsigned(&signer.public_key());
    let bundle = unsigned.with_signature(&signer.sign(&unsigned.to_be_signed()));
    let survivors =
        survivors(&bundle, |bundle| TrustBundle::verify(bundle, &signer.public_key(), NOW).is_ok());
    only(&[], &survivors);
}

#[test]
fn envelopes() {
    let world = World::new();
    let phones = [iphone().into(), android().into()];
    for mut phone in phones as [countersign_virtual_device::VirtualPhone; 2] {
        let envelope = phone.enrol(&world.call(), &session());
        only(&[], &survivors(&envelope, |envelope| world.admits(envelope)));
    }
}

#[test]
fn a_challenge() {
    let world = World::new();
    let challenge = world.call().challenge;
    let scope = Scope::Challenge { issuer: ISSUER };
    let survivors = survivors(challenge.as_bytes(), |bytes| {
        let challenge = Challenge::from_bytes(bytes);
        challenge.is_ok_and(|challenge| world.challenge_keys.verify(&challenge, scope, 1200, NOW).is_ok())
    });
    only(&[], &survivors);
}

#[test]
fn a_deny_list() {
    let list = DenyList {
        issuer: ISSUER.to_owned(),
        sequence: 7,
        issued_at: NOW,
        expires_at: NOW.plus(600),
        instances: [[1; 16], [2; 16]].map(InstanceId::from_bytes).into(),
        key_ids: [b"old".to_vec()].into(),
        subjects: [SubjectDigest::of("https://as.example", "user")].into(),
    };
    let unsigned = list.to_unsigned("key-1");
    let message = unsigned.with_signature(&session().sign(&unsigned.to_be_signed()));
    let set = countersign_verifier::issue::jwks([("key-1", &session().public_key())]).to_string();
    let keys = service_keys(&Jwks::decode(set.as_bytes()).unwrap());
    let survivors = survivors(&message, |list| DenyList::verify(list, ISSUER, &keys, None, NOW).is_ok());
    only(&[], &survivors);
}

/// The three fields of a request as text: also another spelling of the same bytes is refused.
#[test]
fn the_fields_of_a_request() {
    let scene = Scene::new(4096);
    let sent = scene.sent();
    let permits = |sent: &Sent| matches!(scene.check(sent), Decision::Permit(_));
    let with = |field: usize, value: String| {
        let mut fields = [sent.authorization.clone(), sent.result.clone(), sent.proof.clone()];
        fields[field] = value;
        let [authorization, result, proof] = fields;
        // Without an address, whose budget of failures would end the comparison.
        Sent { authorization, result, proof, source: None }
    };
    for (field, text) in [&sent.authorization, &sent.result, &sent.proof].into_iter().enumerate() {
        for at in 0..text.len() {
            for other in ["A", "_", "-", "w", ".", "=", " ", ",", "é", ""] {
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                if changed == *text {
                    continue;
                }
                // RFC 9110 section 11.1: the name of the scheme has no case, and nothing else is accepted.
                assert!(!permits(&with(field, changed)), "character {at} of field {field} as {other:?}");
            }
        }
    }
    assert!(permits(&sent), "none of them used up the proof: {:?}", scene.check(&sent));
    assert!(from_base64url(&sent.proof).is_ok());
}
