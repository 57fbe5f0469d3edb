//! What a path may be, at each of its edges: chains of made-up certificates with one thing wrong.

use countersign_virtual_device::Seed;
use countersign_virtual_device::certificate::{
    Certificate as Content, Extension, IssuerKey, Link, SignatureHash, sign_chain,
};
use der::asn1::ObjectIdentifier;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const START_OF_2018: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const KEY_CERT_SIGN: u8 = 0x04;
const DIGITAL_SIGNATURE: u8 = 0x80;

const STRICT: Rules =
    Rules { leaf: Leaf::Issued, issuer_dates: Dates::Both, authorities: Authorities::Strict };
const FACTORY: Rules = Rules {
    leaf: Leaf::MadeOnDevice,
    issuer_dates: Dates::NotBefore,
    authorities: Authorities::FactoryProvisioned,
};

fn key(number: usize) -> IssuerKey {
    IssuerKey::P256(Seed::from_text("a path").p256_key(&number.to_string()))
}

/// A Name with the number in it.
fn name(number: usize) -> Vec<u8> {
    let common_name = ObjectIdentifier::new_unwrap("2.5.4.3");
    countersign_virtual_device::certificate::name(&[(
        common_name,
        countersign_virtual_device::asn1::utf8(&number.to_string()),
    )])
}

/// The certificate of key `subject` by key `issuer`, with the key of authorities or of leaves in its extensions.
fn link(subject: usize, issuer: usize) -> Link {
    let is_leaf = subject == 0;
    let certificate = Content {
        serial: vec![1],
        issuer: name(issuer),
        subject: name(subject),
        not_before: NOW.minus(1000),
        not_after: NOW.plus(1000),
        subject_public_key_info: key(subject).subject_public_key_info(),
        extensions: vec![
            Extension::basic_constraints(!is_leaf, None),
            Extension::key_usage(if is_leaf { DIGITAL_SIGNATURE } else { KEY_CERT_SIGN }),
        ],
        writes_defaults: false,
    };
    Link { certificate, key: key(issuer), hash: SignatureHash::Sha256 }
}

/// `length` certificates, leaf first: each is issued by the key of the next number, the last one by the root's.
fn chain(length: usize) -> Vec<Link> {
    (0..length).map(|number| link(number, number + 1)).collect()
}

/// The anchor above a chain of that length.
fn anchor_above(length: usize) -> Anchor {
    Anchor::bundled(&sign_chain(&[link(length, length)])[0]).unwrap()
}

/// Reads and verifies a chain under the anchor that is above it.
fn verify(links: &[Link], rules: Rules) -> Result<Leniencies, ChainError> {
    verify_at(links, rules, NOW)
}

fn verify_at(links: &[Link], rules: Rules, now: Timestamp) -> Result<Leniencies, ChainError> {
    let (chain, anchors, verified) =
        (sign_chain(links), [anchor_above(links.len())], VerifiedLinks::default());
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    Path::find(&chain, &anchors, &verified)?.verify(rules, now)
}

/// A chain of three, its middle certificate changed.
fn with_issuer(change: impl FnOnce(&mut Content)) -> Vec<Link> {
    let mut links = chain(3);
    change(&mut links[1].certificate);
    links
}

/// A chain of three, its leaf changed.
fn with_leaf(change: impl FnOnce(&mut Content)) -> Vec<Link> {
    let mut links = chain(3);
    change(&mut links[0].certificate);
    links
}

#[test]
fn ten_certificates_are_a_chain_and_eleven_are_none() {
    assert!(verify(&chain(2), STRICT).is_ok());
    assert!(verify(&chain(10), STRICT).is_ok());
    for length in [0, 1, 11, 12] {
        assert_eq!(verify(&chain(length), STRICT).err(), Some(ChainError::Length), "{length}");
    }
}

#[test]
fn certificates_that_were_read_elsewhere_are_counted_too() {
    let (anchors, verified) = ([anchor_above(11)], VerifiedLinks::default());
    let signed = sign_chain(&chain(11));
    let certificates: Vec<_> = signed.iter().map(|one| Certificate::decode(one).unwrap()).collect();
    assert_eq!(Path::of(certificates, &anchors, &verified).err(), Some(ChainError::Length));
}

#[test]
fn a_cross_certificate_of_an_anchors_key_is_not_taken_for_the_root() {
    let mut links = chain(3);
    // The anchor's key in a certificate that names, and is signed by, somebody else.
    links.push(link(3, 9));
    let (signed, anchors, verified) = (sign_chain(&links), [anchor_above(3)], VerifiedLinks::default());
    let signed: Vec<&[u8]> = signed.iter().map(Vec::as_slice).collect();
    assert_eq!(Path::find(&signed, &anchors, &verified).err(), Some(ChainError::UnknownRoot));
}

#[test]
fn a_root_that_is_sent_is_replaced_by_the_anchor_with_its_key() {
    let mut links = chain(3);
    links.push(link(3, 3));
    let (signed, anchors, verified) = (sign_chain(&links), [anchor_above(3)], VerifiedLinks::default());
    let signed: Vec<&[u8]> = signed.iter().map(Vec::as_slice).collect();
    let path = Path::find(&signed, &anchors, &verified).unwrap();
    assert_eq!(path.certificates.len(), 3);
    assert!(path.verify(STRICT, NOW).is_ok());
}

#[test]
fn the_signature_of_a_leaf_is_verified_every_time_and_not_remembered() {
    let (signed, anchors, verified) = (sign_chain(&chain(3)), [anchor_above(3)], VerifiedLinks::default());
    let signed: Vec<&[u8]> = signed.iter().map(Vec::as_slice).collect();
    let path = Path::find(&signed, &anchors, &verified).unwrap();
    assert!(path.verify(STRICT, NOW).is_ok());
    let [leaf, issuer, next] = &path.certificates[..] else { panic!("three certificates") };
    assert!(verified.contains(issuer, next.public_key));
    assert!(!verified.contains(leaf, issuer.public_key));
}

#[test]
fn a_certificate_is_valid_from_its_first_second_to_its_last() {
    let links = with_issuer(|one| (one.not_before, one.not_after) = (NOW.minus(10), NOW.plus(10)));
    assert!(verify_at(&links, STRICT, NOW.minus(10)).is_ok());
    assert!(verify_at(&links, STRICT, NOW.plus(10)).is_ok());
    assert_eq!(verify_at(&links, STRICT, NOW.minus(11)), Err(ChainError::NotYetValid { index: 1 }));
    assert_eq!(verify_at(&links, STRICT, NOW.plus(11)), Err(ChainError::Expired { index: 1 }));
}

#[test]
fn the_dates_of_a_leaf_count_unless_the_device_made_it() {
    let early = with_leaf(|leaf| (leaf.not_before, leaf.not_after) = (NOW.plus(1), NOW.plus(2)));
    let late = with_leaf(|leaf| (leaf.not_before, leaf.not_after) = (NOW.minus(2), NOW.minus(1)));
    for rules in [FACTORY, Rules { leaf: Leaf::MadeOnDevice, ..STRICT }] {
        for links in [&early, &late] {
            assert_eq!(verify(links, rules), Ok(Leniencies::default()));
        }
    }
    // That keys from the factory outlive their certificates excuses no leaf that the vendor's servers made.
    for rules in [STRICT, Rules { issuer_dates: Dates::NotBefore, ..STRICT }] {
        assert_eq!(verify(&early, rules), Err(ChainError::NotYetValid { index: 0 }));
        assert_eq!(verify(&late, rules), Err(ChainError::Expired { index: 0 }));
    }
}

#[test]
fn an_expired_factory_certificate_is_tolerated_by_name_and_one_from_the_future_is_not() {
    let expired = with_issuer(|one| one.not_after = NOW.minus(1));
    assert!(verify(&expired, FACTORY).unwrap().contains(Leniency::ExpiredFactoryCertificate));
    let last_second = with_issuer(|one| one.not_after = NOW);
    assert_eq!(verify(&last_second, FACTORY), Ok(Leniencies::default()));
    let future = with_issuer(|one| one.not_before = NOW.plus(1));
    assert_eq!(verify(&future, FACTORY), Err(ChainError::NotYetValid { index: 1 }));
}

#[test]
fn a_leaf_that_is_an_authority_is_refused_where_rules_are_strict() {
    let links = with_leaf(|leaf| leaf.set_ca(true));
    assert_eq!(verify(&links, STRICT), Err(ChainError::LeafIsAuthority));
    assert_eq!(verify(&links, FACTORY), Ok(Leniencies::default()));
}

#[test]
fn an_authority_may_have_as_many_certificates_below_it_as_it_says() {
    let limited = |index: usize, limit: u64| {
        let mut links = chain(4);
        links[index].certificate.set_path_length(limit);
        links
    };
    // RFC 5280 section 4.2.1.9: the leaf does not count.
    for (index, limit) in [(1, 0), (2, 1), (3, 2), (3, 9)] {
        assert!(verify(&limited(index, limit), STRICT).is_ok(), "{index} {limit}");
    }
    for (index, limit) in [(2, 0), (3, 0), (3, 1)] {
        let links = limited(index, limit);
        assert_eq!(verify(&links, STRICT), Err(ChainError::PathLength { index }), "{index} {limit}");
        assert_eq!(verify(&links, FACTORY), Ok(Leniencies::default()), "{index} {limit}");
    }
}

#[test]
fn an_authority_that_may_not_sign_certificates_is_none_where_rules_are_strict() {
    let links = with_issuer(|one| one.set_key_usage(DIGITAL_SIGNATURE));
    assert_eq!(verify(&links, STRICT), Err(ChainError::NotAuthority { index: 1 }));
    assert_eq!(verify(&links, FACTORY), Ok(Leniencies::default()));
}

#[test]
fn a_critical_extension_that_means_nothing_is_refused_where_rules_are_strict() {
    let name_constraints = ObjectIdentifier::new_unwrap("2.5.29.30");
    let unknown = Extension { critical: true, ..Extension::new(name_constraints, vec![0x30, 0]) };
    let links = with_issuer(|one| one.extensions.push(unknown));
    assert_eq!(verify(&links, STRICT), Err(ChainError::UnknownCriticalExtension { index: 1 }));
    assert_eq!(verify(&links, FACTORY), Ok(Leniencies::default()));
}

#[test]
fn a_certificate_of_the_first_generation_is_from_before_2018_and_directly_above_the_leaf() {
    let no_authority = |index: usize, not_before: Timestamp| {
        let mut links = chain(3);
        links[index].certificate.set_ca(false);
        links[index].certificate.not_before = not_before;
        links
    };
    let tolerated = verify(&no_authority(1, START_OF_2018.minus(1)), FACTORY).unwrap();
    assert!(tolerated.contains(Leniency::FirstGenerationCertificate));
    for (index, not_before, rules) in [
        (1, START_OF_2018, FACTORY),
        (2, START_OF_2018.minus(1), FACTORY),
        (1, START_OF_2018.minus(1), STRICT),
    ] {
        let verdict = verify(&no_authority(index, not_before), rules);
        assert_eq!(verdict, Err(ChainError::NotAuthority { index }), "{index} {not_before:?}");
    }
}

#[test]
fn an_authority_without_basic_constraints_is_none() {
    let links = with_issuer(|one| one.remove_extension(ObjectIdentifier::new_unwrap("2.5.29.19")));
    for rules in [STRICT, FACTORY] {
        assert_eq!(verify(&links, rules), Err(ChainError::NotAuthority { index: 1 }));
    }
}
