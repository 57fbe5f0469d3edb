//! The most expensive inputs of allowed size, each beside the good one that the same code takes every day.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use countersign_core::encoding::base64url;
use countersign_core::enrolment::{DecodedEnrolment, Evidence, MAX_ENVELOPE};
use countersign_core::token::cose::Sign1;
use countersign_core::token::jose::Jws;
use countersign_core::token::{MAX_COMPACT_FIELD, MAX_JWT_FIELD};
use countersign_tests::world::{self, NOW, World, android, seed};
use countersign_verifier::evidence::android_key;
use countersign_virtual_device::VirtualPhone;
use countersign_virtual_device::asn1;
use countersign_virtual_device::certificate::{Extension, IssuerKey, Link, SignatureHash, sign_chain};

const CHALLENGE: [u8; 32] = [7; 32];

/// A pair of inputs to the same code.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Runs the code on the good input; true if it was accepted.
    pub(crate) good: Box<dyn Fn() -> bool>,
    /// Runs it on the worst input.
    pub(crate) worst: Box<dyn Fn() -> bool>,
    /// Bytes of the worst input: what may be allocated for it follows from that.
    pub(crate) length: usize,
    /// Whether the worst input is accepted: most are refused, and dear until they are.
    pub(crate) is_accepted: bool,
}

fn verifies(world: &World, chain: &[Vec<u8>]) -> bool {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    android_key::verify(&chain, &CHALLENGE, &world.anchors, Some(&world.revocation), NOW).is_ok()
}

fn iphone() -> VirtualPhone {
    world::iphone().into()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![chain_of_ten(), rsa_under_our_root()];
    cases.extend(envelopes());
    cases.extend(tokens());
    cases
}

/// What only somebody with a root's key could make: as many links as are allowed, each with the dearest key, and
/// as many extensions as are allowed with long names in them.
fn chain_of_ten() -> Case {
    let world = World::new();
    let good = android().attest(&CHALLENGE, NOW);
    let mut links = long_chain();
    for link in &mut links {
        // Names of 300 bytes each: 14 KiB of extensions, below the limit for one certificate.
        let names = asn1::sequence((0..3).map(|_| asn1::tlv(&[0x82], &[b'a'; 100])));
        for number in 0..24u8 {
            let id = format!("1.2.3.4.{number}").parse().unwrap();
            link.certificate.extensions.push(Extension::new(id, names.clone()));
        }
    }
    let worst = sign_chain(&links);
    let length = worst.iter().map(Vec::len).sum();
    let (for_good, for_worst) = (World::new(), world);
    Case {
        name: "Android chain of 10 on P-384, 24 long extensions each, under our root",
        good: Box::new(move || verifies(&for_good, &good)),
        worst: Box::new(move || verifies(&for_worst, &worst)),
        length,
        is_accepted: true,
    }
}

/// Leaf and nine authorities; the root that issued the last of them is not sent.
fn long_chain() -> Vec<Link> {
    let chip = countersign_virtual_device::google_authority::AttestingChip {
        seed: seed(),
        provisioning: countersign_virtual_device::Provisioning::Remote,
        security_level: countersign_virtual_device::SecurityLevel::TrustedEnvironment,
        certificates_issued: 8,
    };
    let point = android().instance_key().to_p256_sec1().unwrap();
    let key = countersign_virtual_device::certificate::p256_public_key_info(&point);
    let mut phone = android();
    let description = key_description(&phone.attest(&CHALLENGE, NOW)[0]);
    let mut links = world::google().chain(&chip, key, description, NOW);
    // The last one but the root stands for all that are put between: each issued by the next, on P-384.
    links.pop();
    let mut top = links.pop().unwrap();
    // Without the path length that Google's has.
    for extension in &mut top.certificate.extensions {
        if extension.id == Extension::basic_constraints(true, None).id {
            *extension = Extension::basic_constraints(true, None);
        }
    }
    for number in 0..7u8 {
        let own_key = IssuerKey::P384(seed().p384_key(&format!("authority {number}")));
        let below = links.last_mut().unwrap();
        below.key = own_key.clone();
        below.hash = SignatureHash::Sha384;
        let name = asn1::sequence([asn1::set_of([asn1::sequence([
            asn1::tlv(&[6], &[0x55, 4, 3]),
            asn1::printable(&format!("Authority {number}")),
        ])])]);
        below.certificate.issuer.clone_from(&name);
        let mut between = top.clone();
        between.certificate.subject = name;
        between.certificate.serial = vec![number + 1];
        between.certificate.subject_public_key_info = own_key.subject_public_key_info();
        links.push(between);
    }
    assert_eq!(links.len(), 10);
    links
}

/// The value of the KeyDescription extension of a leaf that a virtual phone made.
fn key_description(leaf: &[u8]) -> Vec<u8> {
    let name = asn1::oid(countersign_virtual_device::google_authority::KEY_DESCRIPTION);
    let at = leaf.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    assert_eq!(leaf[at..at + 2], [4, 0x82], "an OCTET STRING of more than 255 bytes");
    let length = usize::from(u16::from_be_bytes([leaf[at + 2], leaf[at + 3]]));
    leaf[at + 4..at + 4 + length].to_vec()
}

/// What anybody can make: ten certificates as long as they may be, with RSA-4096 keys, the last one with the name of
/// the root as its issuer, so that the signature has to be tried.
fn rsa_under_our_root() -> Case {
    let world = World::new();
    let good = android().attest(&CHALLENGE, NOW);
    let pair = RsaKeyPair::generate(KeySize::Rsa4096).unwrap();
    let key = rsa_public_key_info(&pair);
    let mut links = long_chain();
    let worst: Vec<Vec<u8>> = links
        .iter_mut()
        .map(|link| {
            link.certificate.subject_public_key_info.clone_from(&key);
            for number in 0..24u8 {
                let id = format!("1.2.3.4.{number}").parse().unwrap();
                link.certificate.extensions.push(Extension::new(id, vec![0x55; 600]));
            }
            rsa_signed(link, &pair)
        })
        .collect();
    let length = worst.iter().map(Vec::len).sum();
    let for_good = World::new();
    Case {
        name: "Android chain of RSA-4096 certificates of 15 KiB that nobody trusts",
        good: Box::new(move || verifies(&for_good, &good)),
        worst: Box::new(move || verifies(&world, &worst)),
        length,
        is_accepted: false,
    }
}

fn rsa_public_key_info(pair: &RsaKeyPair) -> Vec<u8> {
    let algorithm = asn1::sequence([asn1::tlv(&[6], b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), asn1::null()]);
    asn1::sequence([algorithm, asn1::bit_string(0, pair.public_key().as_ref())])
}

/// The certificate with its algorithm and signature exchanged for RSA's.
fn rsa_signed(link: &Link, pair: &RsaKeyPair) -> Vec<u8> {
    let certificate = &link.certificate;
    let algorithm = asn1::sequence([asn1::tlv(&[6], b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), asn1::null()]);
    let extensions = certificate
        .extensions
        .iter()
        .map(|extension| asn1::sequence([asn1::oid(extension.id), asn1::octet_string(&extension.value)]));
    let tbs = asn1::sequence([
        asn1::explicit(0, &asn1::integer(2)),
        asn1::tlv(&[0x02], &certificate.serial),
        algorithm.clone(),
        certificate.issuer.clone(),
        asn1::sequence([asn1::time(certificate.not_before), asn1::time(certificate.not_after)]),
        certificate.subject.clone(),
        certificate.subject_public_key_info.clone(),
        asn1::explicit(3, &asn1::sequence(extensions)),
    ]);
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &tbs, &mut signature).unwrap();
    asn1::sequence([tbs, algorithm, asn1::bit_string(0, &signature)])
}

/// Envelopes of 64 KiB, signed by a phone's own key as anybody's can.
fn envelopes() -> Vec<Case> {
    let world = World::new();
    let session = world::session();
    let honest = iphone().enrol(&world.call(), &session);
    let with = |evidence: Vec<Evidence>| {
        let phone = iphone();
        let mut enrolment = DecodedEnrolment::decode(&honest).unwrap().enrolment;
        enrolment.instance_key = phone.instance_key();
        enrolment.evidence = evidence;
        enrolment.possession = session.sign(&enrolment.possession_hash());
        let unsigned = enrolment.to_unsigned();
        unsigned.with_signature(&phone.sign(&unsigned.to_be_signed()))
    };
    let object = |attestation_object| with(vec![Evidence::AppAttest { attestation_object, key_id: [1; 32] }]);
    const ROOM: usize = MAX_ENVELOPE - 1024;
    let nested = [&b"\xa1\x61a"[..], &vec![0x81; ROOM - 4], &[0]].concat();
    let indefinite = [&b"\xa1\x61a"[..], &vec![0x9f; ROOM / 2], &vec![0xff; ROOM / 2 - 4]].concat();
    let alternating = [&b"\xa1\x61a"[..], &[0x82, 0x9f].repeat(ROOM / 2 - 2)].concat();
    let many = [&b"\xa1\x61a\x99"[..], &((ROOM - 8) as u16).to_be_bytes(), &vec![0; ROOM - 8]].concat();
    let tags = [&b"\xa1\x61a"[..], &vec![0xc1; ROOM - 4], &[0]].concat();
    let inputs = [
        ("envelope of 64 KiB, App Attest object nested as deep as it is long", object(nested)),
        ("envelope of 64 KiB, App Attest object of open arrays", object(indefinite)),
        ("envelope of 64 KiB, App Attest object of open arrays in closed ones", object(alternating)),
        ("envelope of 64 KiB, App Attest object of 64 thousand integers", object(many)),
        ("envelope of 64 KiB, App Attest object of 64 thousand tags", object(tags)),
        (
            "envelope of 64 KiB, ten certificates that are none",
            with(vec![Evidence::AndroidKey { chain: vec![vec![0x30; ROOM / 10]; 10] }]),
        ),
        ("64 KiB of arrays that are no envelope", arrays(MAX_ENVELOPE)),
    ];
    let case = |(name, worst): (&'static str, Vec<u8>)| {
        assert!(worst.len() <= MAX_ENVELOPE && worst.len() > MAX_ENVELOPE - 4096, "{name}: {}", worst.len());
        let (for_good, for_worst, good) = (World::new(), World::new(), honest.clone());
        Case {
            name,
            length: worst.len(),
            good: Box::new(move || for_good.admits(&good)),
            worst: Box::new(move || for_worst.admits(&worst)),
            is_accepted: false,
        }
    };
    inputs.into_iter().map(case).collect()
}

/// Deterministic CBOR with as many items as bytes.
fn arrays(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x99];
    bytes.extend_from_slice(&((length - 3) as u16).to_be_bytes());
    bytes.resize(length, 0x80);
    bytes
}

/// Fields as long as they may be, beside ones that pass; reading alone, which is what comes before any signature.
fn tokens() -> Vec<Case> {
    let good_token = {
        let header = base64url(br#"{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}"#);
        let claims = format!(
            r#"{{"iss":"https://as.example","sub":"248289761001","scope":"a b","x":"{}"}}"#,
            "y".repeat(200)
        );
        format!("{header}.{}.{}", base64url(claims.as_bytes()), base64url(&[1; 64]))
    };
    let worst_token = {
        let header = base64url(br#"{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}"#);
        let room = (MAX_JWT_FIELD - header.len() - 100) * 3 / 4;
        // Short members, nested as deep as is allowed.
        let members: Vec<String> = (0..room / 10).map(|number| format!(r#""{number:03x}":[]"#)).collect();
        let claims = format!(r#"{{"a":{{"a":{{"a":{{"a":{{"a":{{{}}}}}}}}}}}}}"#, members.join(","));
        format!("{header}.{}.{}", base64url(claims.as_bytes()), base64url(&[1; 64]))
    };
    assert!(worst_token.len() <= MAX_JWT_FIELD && Jws::decode(&worst_token).is_ok(), "{}", worst_token.len());
    let world = World::new();
    let session = world::session();
    let good_envelope = iphone().enrol(&world.call(), &session);
    let worst_field = arrays(MAX_COMPACT_FIELD * 3 / 4);
    let (good_length, length) = (good_token.len(), worst_token.len());
    assert!(good_length < length);
    vec![
        Case {
            name: "reading a JWT of 8 KiB, beside an enrolment",
            length,
            good: Box::new(move || world.admits(&good_envelope)),
            worst: Box::new(move || Jws::decode(&worst_token).is_ok()),
            is_accepted: true,
        },
        Case {
            name: "reading a compact field of 4 KiB, beside a JWT that is read every day",
            length: worst_field.len(),
            good: Box::new(move || Jws::decode(&good_token).is_ok()),
            worst: Box::new(move || Sign1::decode(&worst_field).is_ok()),
            is_accepted: false,
        },
    ]
}
