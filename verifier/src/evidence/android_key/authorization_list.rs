//! The two lists of a KeyDescription: what secure hardware enforces, and what Android enforces.

use der::{Tag, TagNumber};
use serde::Serialize;

use super::enumerations::{BootState, Digest, EcCurve, KeyAlgorithm, KeyOrigin, KeyPurpose};
use super::patch_level::PatchLevel;
use crate::asn1::{Members, NotDer, unsigned};
use crate::evidence::EvidenceError;

/// Why a KeyDescription is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaError {
    Malformed,
    Unordered,
}

impl From<NotDer> for SchemaError {
    fn from(NotDer: NotDer) -> Self {
        Self::Malformed
    }
}

impl From<SchemaError> for EvidenceError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Malformed => Self::MalformedKeyDescription,
            SchemaError::Unordered => Self::UnorderedKeyDescription,
        }
    }
}

/// The members of one authorization list that matter here. Those that identify a device (710 to 717, 723) are
/// skipped without a look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuthorizationList {
    /// 1: what the key may do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<KeyPurpose>,
    /// 2: its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyAlgorithm>,
    /// 3: its size in bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_size: Option<u64>,
    /// 5: the hashes it may be used with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// 10: its curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec_curve: Option<EcCurve>,
    /// 503: usable without the user being authenticated.
    #[serde(skip_serializing_if = "is_false")]
    pub no_auth_required: bool,
    /// 600: usable by every app on the device.
    #[serde(skip_serializing_if = "is_false")]
    pub all_applications: bool,
    /// 701: when the key was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<u64>,
    /// 702: how it came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<KeyOrigin>,
    /// 704: what booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_of_trust: Option<RootOfTrust>,
    /// 705: version of Android, 160000 for 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<u64>,
    /// 706: patch level of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_patch_level: Option<PatchLevel>,
    /// 709: the app that owns the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<ApplicationId>,
    /// 718: patch level of the vendor's partition. Phones write many wrong ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_patch_level: Option<PatchLevel>,
    /// 719: patch level of the boot partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_patch_level: Option<PatchLevel>,
    /// Tags that this version does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_tags: Vec<u32>,
}

/// What the boot loader handed to the secure hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootOfTrust {
    /// Hash of the key that the system was verified with.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub verified_boot_key: Vec<u8>,
    /// Whether the boot loader is locked.
    pub device_locked: bool,
    /// The outcome of verified boot.
    pub verified_boot_state: BootState,
    /// Hash of what booted; absent before version 3.
    #[serde(serialize_with = "crate::evidence::optional_hex", skip_serializing_if = "Option::is_none")]
    pub verified_boot_hash: Option<Vec<u8>>,
}

/// The packages that share the key's user id, and their signers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationId {
    /// The packages.
    pub packages: Vec<Package>,
    /// SHA-256 of each signing certificate.
    #[serde(serialize_with = "crate::evidence::hex_list")]
    pub signature_digests: Vec<Vec<u8>>,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version code; None if it is not a number that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Tags of the schema that carry nothing we look at.
const KNOWN: [u32; 33] = [
    4, 6, 7, 8, 11, 200, 203, 303, 305, 400, 401, 402, 405, 502, 504, 505, 506, 507, 508, 509, 601, 703, 710,
    711, 712, 713, 714, 715, 716, 717, 720, 723, 724,
];

impl AuthorizationList {
    /// Reads the members of a list. Tags ascend strictly, so none stands twice. The order inside a SET is not
    /// looked at: devices write sets in the order of the request, and nothing hangs on it.
    pub(super) fn decode(mut members: Members<'_>) -> Result<Self, SchemaError> {
        let mut list = Self::default();
        let mut previous = None;
        while !members.is_finished() {
            let (tag, content) = members.any()?;
            let Tag::ContextSpecific { constructed: true, number: TagNumber(number) } = tag else {
                return Err(SchemaError::Malformed);
            };
            if previous.is_some_and(|previous| previous >= number) {
                return Err(SchemaError::Unordered);
            }
            previous = Some(number);
            list.read(number, Members::of(content)?)?;
        }
        Ok(list)
    }

    fn read(&mut self, tag: u32, mut value: Members<'_>) -> Result<(), NotDer> {
        match tag {
            1 => self.purposes = set_of(&mut value, KeyPurpose::from_number)?,
            2 => self.algorithm = Some(KeyAlgorithm::from_number(value.unsigned()?)),
            3 => self.key_size = Some(value.unsigned()?),
            5 => self.digests = set_of(&mut value, Digest::from_number)?,
            10 => self.ec_curve = Some(EcCurve::from_number(value.unsigned()?)),
            503 => self.no_auth_required = value.content(Tag::Null)?.is_empty(),
            600 => {
                value.any()?;
                self.all_applications = true;
            }
            701 => self.creation_time = number(&mut value)?.map(seconds),
            702 => self.origin = Some(KeyOrigin::from_number(value.unsigned()?)),
            704 => self.root_of_trust = Some(RootOfTrust::decode(value.sequence()?)?),
            705 => self.os_version = number(&mut value)?,
            706 => self.os_patch_level = number(&mut value)?.and_then(PatchLevel::from_number),
            709 => self.application_id = Some(ApplicationId::decode(value.content(Tag::OctetString)?)?),
            718 => self.vendor_patch_level = number(&mut value)?.and_then(PatchLevel::from_number),
            719 => self.boot_patch_level = number(&mut value)?.and_then(PatchLevel::from_number),
            _ => {
                value.any()?;
                if !KNOWN.contains(&tag) {
                    self.unknown_tags.push(tag);
                }
            }
        }
        value.finish()
    }
}

impl RootOfTrust {
    fn decode(mut members: Members<'_>) -> Result<Self, NotDer> {
        let verified_boot_key = members.content(Tag::OctetString)?.to_vec();
        let device_locked = members.boolean()?;
        let verified_boot_state = BootState::from_number(members.enumerated()?);
        let verified_boot_hash = members.optional(Tag::OctetString)?.map(<[u8]>::to_vec);
        members.finish()?;
        Ok(Self { verified_boot_key, device_locked, verified_boot_state, verified_boot_hash })
    }
}

impl ApplicationId {
    fn decode(bytes: &[u8]) -> Result<Self, NotDer> {
        let mut members = Members::of_sequence(bytes)?;
        let mut infos = Members::of(members.content(Tag::Set)?)?;
        let mut digests = Members::of(members.content(Tag::Set)?)?;
        members.finish()?;
        let mut application = Self { packages: Vec::new(), signature_digests: Vec::new() };
        while !infos.is_finished() {
            let mut info = infos.sequence()?;
            let name = core::str::from_utf8(info.content(Tag::OctetString)?).map_err(|_| NotDer)?.to_owned();
            let version = unsigned(info.content(Tag::Integer)?).ok();
            info.finish()?;
            application.packages.push(Package { name, version });
        }
        while !digests.is_finished() {
            application.signature_digests.push(digests.content(Tag::OctetString)?.to_vec());
        }
        Ok(application)
    }
}

/// A SET OF INTEGER.
fn set_of<T>(value: &mut Members<'_>, from_number: fn(u64) -> T) -> Result<Vec<T>, NotDer> {
    let mut members = Members::of(value.content(Tag::Set)?)?;
    let mut values = Vec::new();
    while !members.is_finished() {
        values.push(from_number(members.unsigned()?));
    }
    Ok(values)
}

/// A number that devices are known to get wrong: whatever is not one is unknown, not an error.
fn number(value: &mut Members<'_>) -> Result<Option<u64>, NotDer> {
    match value.any()? {
        (Tag::Integer, content) => Ok(unsigned(content).ok()),
        _ => Ok(None),
    }
}

/// creationDateTime in seconds. Leniency *creation time in microseconds*: the schema says milliseconds, some
/// devices write microseconds; the two are 30000 years apart.
const fn seconds(creation_date_time: u64) -> u64 {
    const YEAR_5138_IN_MILLISECONDS: u64 = 100_000_000_000_000;
    if creation_date_time < YEAR_5138_IN_MILLISECONDS {
        creation_date_time / 1000
    } else {
        creation_date_time / 1_000_000
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Result<AuthorizationList, SchemaError> {
        AuthorizationList::decode(Members::of(bytes).unwrap())
    }

    /// `[number] EXPLICIT value`.
    fn tagged(number: u32, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        let mut bytes = match u8::try_from(number) {
            Ok(short @ 0..=30) => vec![0xa0 | short],
            _ if number < 128 => vec![0xbf, number as u8],
            _ => vec![0xbf, 0x80 | (number >> 7) as u8, (number & 0x7f) as u8],
        };
        bytes.push(length);
        bytes.extend(value);
        bytes
    }

    #[test]
    fn members_are_read_by_tag() {
        let bytes = [
            tagged(1, &[0x31, 3, 2, 1, 2]),
            tagged(2, &[2, 1, 3]),
            tagged(10, &[2, 1, 1]),
            tagged(702, &[2, 1, 0]),
            tagged(704, &[0x30, 11, 4, 1, 7, 1, 1, 0xff, 10, 1, 9, 4, 0]),
            tagged(706, &[2, 3, 0x03, 0x16, 0xa8]),
        ]
        .concat();
        let list = list(&bytes).unwrap();
        assert_eq!(list.purposes, [KeyPurpose::Sign]);
        assert_eq!(list.algorithm, Some(KeyAlgorithm::Ec));
        assert_eq!(list.ec_curve, Some(EcCurve::P256));
        assert_eq!(list.origin, Some(KeyOrigin::Generated));
        let root_of_trust = list.root_of_trust.unwrap();
        assert_eq!(root_of_trust.verified_boot_state, BootState::Unknown(9));
        assert!(root_of_trust.device_locked);
        assert_eq!(list.os_patch_level.map(|level| level.to_string()), Some("2024-08".to_owned()));
    }

    #[test]
    fn tags_ascend_and_none_stands_twice() {
        let (origin, algorithm) = (tagged(702, &[2, 1, 0]), tagged(2, &[2, 1, 3]));
        assert!(list(&[&algorithm[..], &origin].concat()).is_ok());
        assert_eq!(list(&[&origin[..], &algorithm].concat()), Err(SchemaError::Unordered));
        assert_eq!(list(&[&origin[..], &origin].concat()), Err(SchemaError::Unordered));
    }

    #[test]
    fn unknown_tags_are_kept_as_numbers() {
        assert_eq!(list(&tagged(999, &[5, 0])).map(|list| list.unknown_tags), Ok(vec![999]));
        assert_eq!(list(&tagged(714, &[4, 1, 7])).map(|list| list.unknown_tags), Ok(vec![]));
    }

    #[test]
    fn a_lock_that_is_true_only_in_ber_is_refused() {
        let bytes = tagged(704, &[0x30, 9, 4, 1, 7, 1, 1, 0x01, 10, 1, 0]);
        assert_eq!(list(&bytes), Err(SchemaError::Malformed));
    }

    #[test]
    fn bytes_after_a_value_are_refused() {
        assert_eq!(list(&tagged(702, &[2, 1, 0, 0])), Err(SchemaError::Malformed));
        assert_eq!(list(&tagged(999, &[5, 0, 5, 0])), Err(SchemaError::Malformed));
        assert_eq!(list(&tagged(999, &[])), Err(SchemaError::Malformed));
        assert_eq!(list(&[0x30, 0]), Err(SchemaError::Malformed));
    }

    #[test]
    fn wrong_patch_levels_are_unknown_and_not_an_error() {
        for value in [&[2, 1, 0][..], &[4, 0], &[2, 1, 0xff]] {
            assert_eq!(list(&tagged(718, value)).map(|list| list.vendor_patch_level), Ok(None), "{value:?}");
        }
    }

    #[test]
    fn creation_time_is_read_in_both_of_its_units() {
        assert_eq!(
            (seconds(1_572_669_193_000), seconds(1_572_669_193_000_000)),
            (1_572_669_193, 1_572_669_193)
        );
    }
}
