//! The two lists of a KeyDescription: what secure hardware enforces, and what Android enforces.

use der::{Tag, TagNumber};
use serde::Serialize;

use super::enumerations::{BootState, Digest, EcCurve, KeyAlgorithm, KeyOrigin, KeyPurpose, MlDsaVariant};
use super::patch_level::PatchLevel;
use crate::asn1::{Members, NotDer, unsigned};
use crate::evidence::EvidenceError;
use crate::leniency::{Leniencies, Leniency};

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

/// The members of one authorization list that matter here. Those that identify a device (710 to 716, 723) are
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
    /// 11: its parameter set, if it is an ML-DSA key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ml_dsa_variant: Option<MlDsaVariant>,
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
    /// 717: the model of the device, which only apps of its owner may ask for; at most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
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
const KNOWN: [u32; 31] = [
    4, 6, 7, 8, 200, 203, 303, 305, 400, 401, 402, 405, 502, 504, 505, 506, 507, 508, 509, 601, 703, 710,
    711, 712, 713, 714, 715, 716, 720, 723, 724,
];

impl AuthorizationList {
    /// Reads the members of a list. Tags ascend strictly, so none stands twice. The order inside a SET may be that of
    /// the request ([`Leniency::UnsortedSet`]): nothing hangs on it.
    pub(super) fn decode(mut members: Members<'_>, leniencies: &mut Leniencies) -> Result<Self, SchemaError> {
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
            list.read(number, Members::of(content)?, leniencies)?;
        }
        Ok(list)
    }

    fn read(&mut self, tag: u32, mut value: Members<'_>, leniencies: &mut Leniencies) -> Result<(), NotDer> {
        match tag {
            1 => self.purposes = set_of(&mut value, KeyPurpose::from_number, leniencies)?,
            2 => self.algorithm = Some(KeyAlgorithm::from_number(value.unsigned()?)),
            3 => self.key_size = Some(value.unsigned()?),
            5 => self.digests = set_of(&mut value, Digest::from_number, leniencies)?,
            10 => self.ec_curve = Some(EcCurve::from_number(value.unsigned()?)),
            11 => self.ml_dsa_variant = Some(MlDsaVariant::from_number(value.unsigned()?)),
            503 => self.no_auth_required = value.content(Tag::Null)?.is_empty(),
            600 => {
                value.any()?;
                self.all_applications = true;
            }
            701 => self.creation_time = Some(seconds(value.unsigned()?, leniencies)),
            702 => self.origin = Some(KeyOrigin::from_number(value.unsigned()?)),
            704 => self.root_of_trust = Some(RootOfTrust::decode(value.sequence()?)?),
            705 => self.os_version = Some(value.unsigned()?),
            706 => self.os_patch_level = patch_level(Some(value.unsigned()?), leniencies),
            709 => {
                let application = ApplicationId::decode(value.content(Tag::OctetString)?, leniencies)?;
                self.application_id = Some(application);
            }
            717 => self.model = name(value.content(Tag::OctetString)?),
            718 => self.vendor_patch_level = partition_patch_level(&mut value, leniencies)?,
            719 => self.boot_patch_level = partition_patch_level(&mut value, leniencies)?,
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
    fn decode(bytes: &[u8], leniencies: &mut Leniencies) -> Result<Self, NotDer> {
        let mut members = Members::of_sequence(bytes)?;
        let mut infos = Members::of(members.content(Tag::Set)?)?;
        let mut digests = Members::of(members.content(Tag::Set)?)?;
        members.finish()?;
        leniencies.note_if(!infos.are_sorted()? || !digests.are_sorted()?, Leniency::UnsortedSet);
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
fn set_of<T>(
    value: &mut Members<'_>,
    from_number: fn(u64) -> T,
    leniencies: &mut Leniencies,
) -> Result<Vec<T>, NotDer> {
    let mut members = Members::of(value.content(Tag::Set)?)?;
    leniencies.note_if(!members.are_sorted()?, Leniency::UnsortedSet);
    let mut values = Vec::new();
    while !members.is_finished() {
        values.push(from_number(members.unsigned()?));
    }
    Ok(values)
}

/// The patch level of a partition: YYYYMMDD by the schema, YYYYMM on many phones, and on some no number at all.
fn partition_patch_level(
    value: &mut Members<'_>,
    leniencies: &mut Leniencies,
) -> Result<Option<PatchLevel>, NotDer> {
    let number = match value.any()? {
        (Tag::Integer, content) => unsigned(content).ok(),
        _ => None,
    };
    let level = patch_level(number, leniencies);
    leniencies.note_if(level.is_some_and(|level| !level.names_a_day()), Leniency::PatchLevelWithoutDay);
    Ok(level)
}

/// [`Leniency::PatchLevelNotADate`]: whatever is no date is unknown, and no minimum is met by it.
fn patch_level(number: Option<u64>, leniencies: &mut Leniencies) -> Option<PatchLevel> {
    let level = number.and_then(PatchLevel::from_number);
    leniencies.note_if(level.is_none(), Leniency::PatchLevelNotADate);
    level
}

/// creationDateTime in seconds. [`Leniency::CreationTimeInMicroseconds`]: the schema says milliseconds, some devices
/// write microseconds; the two are 30000 years apart.
fn seconds(creation_date_time: u64, leniencies: &mut Leniencies) -> u64 {
    const YEAR_5138_IN_MILLISECONDS: u64 = 100_000_000_000_000;
    if creation_date_time < YEAR_5138_IN_MILLISECONDS {
        return creation_date_time / 1000;
    }
    leniencies.note(Leniency::CreationTimeInMicroseconds);
    creation_date_time / 1_000_000
}

/// A name for people and for comparison; None if it is not one.
fn name(bytes: &[u8]) -> Option<String> {
    const LONGEST: usize = 64;
    let text = core::str::from_utf8(bytes).ok()?;
    let plausible = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    plausible.then(|| text.to_owned())
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Result<AuthorizationList, SchemaError> {
        AuthorizationList::decode(Members::of(bytes).unwrap(), &mut Leniencies::default())
    }

    /// The leniencies that a list needs.
    fn needed(bytes: &[u8]) -> Vec<Leniency> {
        let mut leniencies = Leniencies::default();
        AuthorizationList::decode(Members::of(bytes).unwrap(), &mut leniencies).unwrap();
        leniencies.iter().collect()
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

    fn integer(value: u64) -> Vec<u8> {
        let bytes = [&[0][..], &value.to_be_bytes()].concat();
        let leading = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
        [&[2, (bytes.len() - leading) as u8], &bytes[leading..]].concat()
    }

    #[test]
    fn a_partitions_patch_level_that_is_no_date_is_unknown_and_no_error() {
        let zero_day = integer(20_190_700);
        for value in [&[2, 1, 0][..], &[4, 0], &[2, 1, 0xff], &zero_day] {
            for tag in [718, 719] {
                let list = list(&tagged(tag, value)).unwrap();
                assert_eq!((list.vendor_patch_level, list.boot_patch_level), (None, None), "{value:?}");
                assert_eq!(needed(&tagged(tag, value)), [Leniency::PatchLevelNotADate], "{value:?}");
            }
        }
    }

    #[test]
    fn only_a_partitions_patch_level_may_be_something_else_than_a_number() {
        for tag in [701, 705, 706] {
            for value in [&[4, 0][..], &[2, 1, 0xff], &[5, 0]] {
                assert_eq!(list(&tagged(tag, value)), Err(SchemaError::Malformed), "{tag}: {value:?}");
            }
        }
        assert_eq!(needed(&tagged(706, &[2, 1, 0])), [Leniency::PatchLevelNotADate]);
    }

    #[test]
    fn a_partitions_patch_level_without_a_day_is_a_month() {
        let month = tagged(718, &integer(201_808));
        let level = list(&month).unwrap().vendor_patch_level;
        assert_eq!(level.map(|level| level.to_string()), Some("2018-08".to_owned()));
        assert_eq!(needed(&month), [Leniency::PatchLevelWithoutDay]);
        assert_eq!(needed(&tagged(718, &integer(20_180_805))), []);
        assert_eq!(needed(&tagged(706, &integer(201_808))), []);
    }

    #[test]
    fn creation_time_is_read_in_both_of_its_units() {
        let (milliseconds, microseconds) =
            (tagged(701, &integer(1_572_669_193_167)), tagged(701, &integer(1_572_669_193_167_227)));
        for bytes in [&milliseconds, &microseconds] {
            assert_eq!(list(bytes).unwrap().creation_time, Some(1_572_669_193));
        }
        assert_eq!(needed(&milliseconds), []);
        assert_eq!(needed(&microseconds), [Leniency::CreationTimeInMicroseconds]);
    }

    #[test]
    fn a_set_may_be_out_of_order_and_a_list_may_not() {
        let unsorted = tagged(1, &[0x31, 6, 2, 1, 3, 2, 1, 2]);
        assert_eq!(list(&unsorted).unwrap().purposes, [KeyPurpose::Verify, KeyPurpose::Sign]);
        assert_eq!(needed(&unsorted), [Leniency::UnsortedSet]);
        assert_eq!(needed(&tagged(1, &[0x31, 6, 2, 1, 2, 2, 1, 3])), []);
        let lists = [tagged(5, &[0x31, 3, 2, 1, 4]), unsorted].concat();
        assert_eq!(list(&lists), Err(SchemaError::Unordered));
    }

    #[test]
    fn an_ml_dsa_key_names_its_parameters() {
        let bytes = [tagged(2, &[2, 1, 4]), tagged(11, &[2, 1, 1])].concat();
        let list = list(&bytes).unwrap();
        assert_eq!(list.algorithm, Some(KeyAlgorithm::MlDsa));
        assert_eq!(list.ml_dsa_variant, Some(MlDsaVariant::MlDsa65));
        assert!(list.unknown_tags.is_empty());
    }

    #[test]
    fn a_model_is_a_short_text() {
        let model = |bytes: &[u8]| {
            let value = [&[4, bytes.len() as u8], bytes].concat();
            list(&tagged(717, &value)).unwrap().model
        };
        assert_eq!(model(b"Pixel 9"), Some("Pixel 9".to_owned()));
        for no_name in [&b""[..], b"\xff", b"a\nb", &[b'a'; 65]] {
            assert_eq!(model(no_name), None, "{no_name:?}");
        }
    }

    #[test]
    fn the_two_units_of_a_creation_time_part_in_the_year_5138() {
        for (written, expected, noted) in
            [(99_999_999_999_999, 99_999_999_999, false), (100_000_000_000_000, 100_000_000, true)]
        {
            let mut leniencies = Leniencies::default();
            assert_eq!(seconds(written, &mut leniencies), expected);
            assert_eq!(leniencies.contains(Leniency::CreationTimeInMicroseconds), noted, "{written}");
        }
    }

    #[test]
    fn either_set_of_an_application_may_be_out_of_order_and_that_is_noted() {
        use countersign_virtual_device::asn1;
        let info = |name: &[u8]| asn1::sequence([asn1::octet_string(name), asn1::integer(1)]);
        let set = |members: [Vec<u8>; 2]| asn1::tlv(&[0x31], &members.concat());
        let noted = |infos: [&[u8]; 2], digests: [&[u8]; 2]| {
            let infos = set(infos.map(info));
            let bytes = asn1::sequence([infos, set(digests.map(asn1::octet_string))]);
            let mut leniencies = Leniencies::default();
            let application = ApplicationId::decode(&bytes, &mut leniencies).unwrap();
            assert_eq!((application.packages.len(), application.signature_digests.len()), (2, 2));
            leniencies.contains(Leniency::UnsortedSet)
        };
        assert!(!noted([b"a", b"b"], [b"1", b"2"]));
        assert!(noted([b"b", b"a"], [b"1", b"2"]));
        assert!(noted([b"a", b"b"], [b"2", b"1"]));
    }

    #[test]
    fn what_a_list_does_not_say_is_left_out_when_it_is_shown() {
        let shown = |list: &AuthorizationList| {
            serde_json::to_value(list).unwrap().as_object().unwrap().contains_key("all_applications")
        };
        assert!(!shown(&AuthorizationList::default()));
        assert!(shown(&AuthorizationList { all_applications: true, ..AuthorizationList::default() }));
    }
}
