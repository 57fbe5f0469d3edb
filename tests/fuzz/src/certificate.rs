//! Certificate files, certificates and the KeyDescription in them.

use std::collections::BTreeSet;

use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::certificate_file;
use countersign_verifier::certificate_summary::CertificateSummary;
use countersign_verifier::chain::MAX_CERTIFICATES;
use countersign_verifier::evidence::android_key::UnverifiedKeyDescription;
use countersign_virtual_device::certificate::pem;
use countersign_virtual_device::google_authority::KEY_DESCRIPTION;
use countersign_virtual_device::{Provisioning, SecurityLevel, asn1};

use super::{choose, chosen, corpus, world};

/// What leaves room for the rest of a certificate of 16 KiB, in bytes.
const MAX_KEY_DESCRIPTION: usize = 16 * 1024 - 512;

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    match choice {
        0 => {
            if let Ok(certificates) = certificate_file::certificates(data) {
                assert!(!certificates.is_empty() && certificates.len() <= MAX_CERTIFICATES);
                for certificate in &certificates {
                    let _ = CertificateSummary::of(certificate);
                }
            }
            let mut anchors = TrustAnchors::embedded();
            let _ = anchors.danger_add_android_key_roots(data);
        }
        1 => {
            let summary = CertificateSummary::of(data);
            let description = UnverifiedKeyDescription::read(data);
            assert!(summary.is_ok() || description.is_err(), "a description without a certificate");
        }
        // The extension alone, in a certificate that is otherwise sound and of a length that is read.
        _ if data.len() > MAX_KEY_DESCRIPTION => {}
        _ => {
            let certificate = in_certificate(data);
            assert!(CertificateSummary::of(&certificate).is_ok(), "the certificate around it is sound");
            if let Ok(Some(_)) = UnverifiedKeyDescription::read(&certificate) {
                let longer = in_certificate(&[data, &[0]].concat());
                assert!(UnverifiedKeyDescription::read(&longer).is_err(), "a byte after the end");
            }
        }
    }
}

/// Unsigned: reading does not look.
fn in_certificate(key_description: &[u8]) -> Vec<u8> {
    let names = asn1::sequence([]);
    let key = asn1::sequence([
        asn1::sequence([
            asn1::tlv(&[6], b"\x2a\x86\x48\xce\x3d\x02\x01"),
            asn1::tlv(&[6], b"\x2a\x86\x48\xce\x3d\x03\x01\x07"),
        ]),
        asn1::bit_string(0, &world::android().instance_key().to_p256_sec1().expect("P-256")),
    ]);
    let algorithm = asn1::sequence([asn1::tlv(&[6], b"\x2a\x86\x48\xce\x3d\x04\x03\x02")]);
    let extension = asn1::sequence([asn1::oid(KEY_DESCRIPTION), asn1::octet_string(key_description)]);
    let tbs = asn1::sequence([
        asn1::explicit(0, &asn1::integer(2)),
        asn1::integer(1),
        algorithm.clone(),
        names.clone(),
        asn1::sequence([asn1::time(world::NOW), asn1::time(world::NOW)]),
        names,
        key,
        asn1::explicit(3, &asn1::sequence([extension])),
    ]);
    asn1::sequence([tbs, algorithm, asn1::bit_string(0, &[1])])
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for mut phone in [
        world::android(),
        world::android().provisioning(Provisioning::Factory).security_level(SecurityLevel::StrongBox),
        world::android().attestation_version(3),
    ] {
        let chain = phone.attest(&world::CHALLENGE, world::NOW);
        seeds.push(chosen(0, chain.iter().map(|one| pem(one)).collect::<String>().as_bytes()));
        seeds.push(chosen(0, &chain.concat()));
        seeds.extend(chain.iter().map(|one| chosen(1, one)));
    }
    seeds.extend(key_descriptions().iter().map(|description| chosen(2, description)));
    seeds.extend(corpus::chains().iter().map(|chain| chosen(0, chain)));
    seeds.extend(key_descriptions_of_corpus().iter().map(|description| chosen(2, description)));
    seeds
}

/// KeyDescriptions of virtual phones, as the extension holds them.
pub(crate) fn key_descriptions() -> Vec<Vec<u8>> {
    let phones =
        [1u64, 3, 4, 100, 200, 300, 400, 500].map(|version| world::android().attestation_version(version));
    phones
        .into_iter()
        .map(|mut phone| {
            let chain = phone.attest(&world::CHALLENGE, world::NOW);
            extension_of(&chain[0]).expect("a leaf has a KeyDescription")
        })
        .collect()
}

/// The first KeyDescription in each chain of the corpus, each once.
pub(crate) fn key_descriptions_of_corpus() -> BTreeSet<Vec<u8>> {
    corpus::chains().iter().filter_map(|chain| extension_of(chain)).collect()
}

/// Finds the extension by its name, in a certificate that we made.
fn extension_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let name = asn1::oid(KEY_DESCRIPTION);
    let at = certificate.windows(name.len()).position(|window| window == name)? + name.len();
    let (tag, length) = (certificate.get(at)?, *certificate.get(at + 1)?);
    let (start, length) = match length {
        0x81 => (at + 3, usize::from(*certificate.get(at + 2)?)),
        0x82 => {
            (at + 4, usize::from(u16::from_be_bytes([*certificate.get(at + 2)?, *certificate.get(at + 3)?])))
        }
        short => (at + 2, usize::from(short)),
    };
    (*tag == 4).then(|| certificate.get(start..start + length).map(<[u8]>::to_vec))?
}
