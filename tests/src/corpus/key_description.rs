//! KeyDescriptions that no secure hardware writes, under signatures that are genuine.

use countersign_virtual_device::asn1;
use countersign_virtual_device::key_description::{KeyDescription, tag};

use super::case::Expected::{self, Contraindicated, Encoding, Invalid};

type Encode = fn(KeyDescription) -> Vec<u8>;

const MALFORMED: Expected = Invalid("evidence_malformed_key_description");
/// What a reader of BER would read all the same.
const NOT_DER: Expected = Encoding("evidence_malformed_key_description");
const UNORDERED: Expected = Invalid("evidence_unordered_key_description");

/// Name, verdict, what is wrong, and how it is made of what the phone honestly says.
pub(super) const CASES: &[(&str, Expected, &str, Encode)] = &[
    ("der-long-length", NOT_DER, "a length has a byte more than it needs", |description| {
        let honest = description.encode();
        [&[0x30, 0x83, 0], &honest[2..]].concat()
    }),
    (
        "der-indefinite-length",
        NOT_DER,
        "the key description has the indefinite length of BER",
        |description| [&[0x30, 0x80], content(&description.encode()), &[0, 0]].concat(),
    ),
    (
        "der-constructed-challenge",
        NOT_DER,
        "the challenge is an OCTET STRING in parts, which BER allows",
        |description| {
            let challenge = asn1::tlv(&[0x24], &asn1::octet_string(&description.attestation_challenge));
            with_member(&description, 4, challenge)
        },
    ),
    ("der-challenge-bit-string", MALFORMED, "the challenge is a BIT STRING", |description| {
        with_member(&description, 4, asn1::bit_string(0, &description.attestation_challenge))
    }),
    ("der-level-as-integer", NOT_DER, "the security level is an INTEGER", |description| {
        with_member(&description, 1, asn1::integer(1))
    }),
    ("der-level-negative", MALFORMED, "the security level is negative", |description| {
        with_member(&description, 1, vec![0x0a, 1, 0xff])
    }),
    ("der-version-negative", MALFORMED, "the attestation version is negative", |description| {
        with_member(&description, 0, vec![2, 1, 0xff])
    }),
    ("der-version-of-nine-bytes", MALFORMED, "the attestation version needs nine bytes", |description| {
        with_member(&description, 0, asn1::tlv(&[2], &[1, 0, 0, 0, 0, 0, 0, 0, 0]))
    }),
    ("der-set-for-sequence", NOT_DER, "the key description is a SET", |description| {
        asn1::tlv(&[0x31], content(&description.encode()))
    }),
    ("der-member-missing", MALFORMED, "there is no hardware list", |description| {
        let mut members = members(&description);
        members.pop();
        asn1::sequence(members)
    }),
    ("der-member-too-many", NOT_DER, "a third list follows the hardware list", |description| {
        let mut members = members(&description);
        members.extend(members.last().cloned());
        asn1::sequence(members)
    }),
    ("der-two-descriptions", MALFORMED, "two key descriptions stand in one extension", |description| {
        description.encode().repeat(2)
    }),
    ("der-empty", MALFORMED, "the key description is empty", |_| asn1::sequence([])),
    ("der-nothing", MALFORMED, "the extension is empty", |_| Vec::new()),
    (
        "software-list-out-of-order",
        Encoding("evidence_unordered_key_description"),
        "the software list is in descending order",
        |mut description| {
            description.software_enforced.reverse();
            description.encode()
        },
    ),
    (
        "application-id-twice",
        UNORDERED,
        "the application id stands twice, first another app and then ours",
        |mut description| {
            let ours = description.software_enforced.remove(tag::APPLICATION_ID).unwrap_or_default();
            description.software_enforced.remove(tag::MODULE_HASH);
            description.software_enforced.push_as_is(tag::APPLICATION_ID, another_app());
            description.software_enforced.push_as_is(tag::APPLICATION_ID, ours);
            description.encode()
        },
    ),
    (
        "root-of-trust-twice",
        UNORDERED,
        "the root of trust stands twice, first unlocked and then locked",
        |mut description| {
            let list = &mut description.hardware_enforced;
            let honest = list.item(tag::ROOT_OF_TRUST).unwrap_or_default().to_vec();
            let after =
                [tag::OS_VERSION, tag::OS_PATCH_LEVEL, tag::VENDOR_PATCH_LEVEL, tag::BOOT_PATCH_LEVEL];
            let kept: Vec<_> =
                after.iter().map(|tag| (*tag, list.remove(*tag).unwrap_or_default())).collect();
            list.set(tag::ROOT_OF_TRUST, unlocked(&honest));
            list.push_as_is(tag::ROOT_OF_TRUST, honest);
            kept.into_iter().for_each(|(tag, item)| list.push_as_is(tag, item));
            description.encode()
        },
    ),
    (
        "origin-twice",
        UNORDERED,
        "the origin stands twice, first imported and then generated",
        |mut description| {
            let list = &mut description.hardware_enforced;
            let after = [
                tag::ROOT_OF_TRUST,
                tag::OS_VERSION,
                tag::OS_PATCH_LEVEL,
                tag::VENDOR_PATCH_LEVEL,
                tag::BOOT_PATCH_LEVEL,
            ];
            let kept: Vec<_> =
                after.iter().map(|tag| (*tag, list.remove(*tag).unwrap_or_default())).collect();
            list.set(tag::ORIGIN, asn1::integer(2));
            list.push_as_is(tag::ORIGIN, asn1::integer(0));
            kept.into_iter().for_each(|(tag, item)| list.push_as_is(tag, item));
            description.encode()
        },
    ),
    ("purposes-as-sequence", NOT_DER, "the purposes are a SEQUENCE", |mut description| {
        description.hardware_enforced.set(tag::PURPOSE, asn1::sequence([asn1::integer(2)]));
        description.encode()
    }),
    ("boot-state-as-integer", NOT_DER, "the boot state is an INTEGER", |mut description| {
        let mut honest = description.hardware_enforced.item(tag::ROOT_OF_TRUST).unwrap_or_default().to_vec();
        if let Some(state) = honest.iter().position(|byte| *byte == 0x0a) {
            honest[state] = 2;
        }
        description.hardware_enforced.set(tag::ROOT_OF_TRUST, honest);
        description.encode()
    }),
    ("lock-of-two-bytes", MALFORMED, "deviceLocked has two bytes", |mut description| {
        let honest = description.hardware_enforced.item(tag::ROOT_OF_TRUST).unwrap_or_default();
        let mut longer = honest.to_vec();
        if let Some(at) = longer.windows(3).position(|bytes| bytes == [1, 1, 0xff]) {
            longer.splice(at..at + 3, [1, 2, 0xff, 0xff]);
            longer[1] += 1;
        }
        description.hardware_enforced.set(tag::ROOT_OF_TRUST, longer);
        description.encode()
    }),
    ("item-with-two-values", MALFORMED, "a tag of the hardware list holds two values", |mut description| {
        let both = [asn1::integer(0), asn1::integer(2)].concat();
        description.hardware_enforced.set(tag::ORIGIN, both);
        description.encode()
    }),
    ("item-empty", MALFORMED, "a tag of the hardware list holds no value", |mut description| {
        description.hardware_enforced.set(tag::ORIGIN, Vec::new());
        description.encode()
    }),
    (
        "application-id-goes-on",
        NOT_DER,
        "bytes follow the application id within its OCTET STRING",
        |mut description| {
            let honest = description.software_enforced.item(tag::APPLICATION_ID).unwrap_or_default().to_vec();
            let longer = [content(&honest), &[5, 0]].concat();
            description.software_enforced.set(tag::APPLICATION_ID, asn1::octet_string(&longer));
            description.encode()
        },
    ),
    (
        "application-id-in-hardware-list",
        Contraindicated(&["app-identity"]),
        "the application id stands in the hardware list only, where no system writes it",
        |mut description| {
            let ours = description.software_enforced.remove(tag::APPLICATION_ID).unwrap_or_default();
            description.hardware_enforced.set(tag::APPLICATION_ID, ours);
            description.encode()
        },
    ),
    (
        "lists-swapped",
        Contraindicated(&[
            "app-identity",
            "boot-state",
            "device-locked",
            "os-patch-level",
            "key-origin",
            "key-purpose",
            "key-algorithm",
            "key-curve",
            "key-digest",
        ]),
        "what the system says and what the hardware says have changed places",
        |mut description| {
            core::mem::swap(&mut description.software_enforced, &mut description.hardware_enforced);
            description.encode()
        },
    ),
    (
        "everything-in-software-list",
        Contraindicated(&[
            "boot-state",
            "device-locked",
            "os-patch-level",
            "key-origin",
            "key-purpose",
            "key-algorithm",
            "key-curve",
            "key-digest",
        ]),
        "all that the hardware should say stands in the software list",
        |mut description| {
            let hardware = core::mem::take(&mut description.hardware_enforced);
            for tag in [
                tag::PURPOSE,
                tag::ALGORITHM,
                tag::KEY_SIZE,
                tag::DIGEST,
                tag::EC_CURVE,
                tag::NO_AUTH_REQUIRED,
                tag::ORIGIN,
                tag::ROOT_OF_TRUST,
                tag::OS_VERSION,
                tag::OS_PATCH_LEVEL,
            ] {
                description.software_enforced.set(tag, hardware.item(tag).unwrap_or_default().to_vec());
            }
            description.encode()
        },
    ),
    (
        "purposes-empty",
        Contraindicated(&["key-purpose"]),
        "the set of the key's purposes is empty",
        |mut description| {
            description.hardware_enforced.set(tag::PURPOSE, asn1::set_of([]));
            description.encode()
        },
    ),
    (
        "no-digest",
        Contraindicated(&["key-digest"]),
        "the key may be used with no digest",
        |mut description| {
            description.hardware_enforced.remove(tag::DIGEST);
            description.encode()
        },
    ),
    (
        "patch-level-zero",
        Contraindicated(&["os-patch-level"]),
        "the patch level is zero",
        |mut description| {
            description.hardware_enforced.set(tag::OS_PATCH_LEVEL, asn1::integer(0));
            description.encode()
        },
    ),
    (
        "patch-level-missing",
        Contraindicated(&["os-patch-level"]),
        "there is no patch level",
        |mut description| {
            description.hardware_enforced.remove(tag::OS_PATCH_LEVEL);
            description.encode()
        },
    ),
    (
        "patch-level-month-before",
        Contraindicated(&["os-patch-level"]),
        "the patches are a month too old",
        |mut description| {
            description.hardware_enforced.set(tag::OS_PATCH_LEVEL, asn1::integer(202_412));
            description.encode()
        },
    ),
    (
        "key-of-rsa-size",
        Contraindicated(&["key-curve"]),
        "the description names no curve and a size of 521 bits",
        |mut description| {
            description.hardware_enforced.remove(tag::EC_CURVE);
            description.hardware_enforced.set(tag::KEY_SIZE, asn1::integer(521));
            description.encode()
        },
    ),
];

/// The eight members, DER each.
fn members(description: &KeyDescription) -> Vec<Vec<u8>> {
    let encoded = description.encode();
    let mut rest = content(&encoded);
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (member, after) = rest.split_at(rest.len() - after_first(rest).len());
        members.push(member.to_vec());
        rest = after;
    }
    members
}

fn with_member(description: &KeyDescription, index: usize, member: Vec<u8>) -> Vec<u8> {
    let mut members = members(description);
    members[index] = member;
    asn1::sequence(members)
}

/// The content of the first item; what we write has tags of one byte here.
fn content(der: &[u8]) -> &[u8] {
    let (head, length) = head(der);
    &der[head..head + length]
}

fn after_first(der: &[u8]) -> &[u8] {
    let (head, length) = head(der);
    &der[head + length..]
}

/// Lengths of head and content.
fn head(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length = der[2..2 + bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            (2 + bytes, length)
        }
    }
}

/// The same root of trust with the boot loader unlocked.
fn unlocked(root_of_trust: &[u8]) -> Vec<u8> {
    let mut unlocked = root_of_trust.to_vec();
    let locked = [1, 1, 0xff];
    if let Some(at) = unlocked.windows(3).position(|bytes| bytes == locked) {
        unlocked[at + 2] = 0;
    }
    unlocked
}

fn another_app() -> Vec<u8> {
    let package = asn1::sequence([asn1::octet_string(b"com.example.other"), asn1::integer(1)]);
    asn1::octet_string(&asn1::sequence([
        asn1::set_of([package]),
        asn1::set_of([asn1::octet_string(&[8; 32])]),
    ]))
}
