//! Writes the KeyDescription of Android Key Attestation, versions 1 to 500, right or wrong: an authorization list
//! is tags and bytes, and any of them can be replaced before it is encoded.

use crate::asn1;

/// Tags of an AuthorizationList (KeyMint HAL, `KeyCreationResult.aidl`) that phones of this crate write.
pub mod tag {
    /// SET OF INTEGER: 2 sign, 3 verify, 7 attest key.
    pub const PURPOSE: u32 = 1;
    /// INTEGER: 1 RSA, 3 EC, 4 ML-DSA.
    pub const ALGORITHM: u32 = 2;
    /// INTEGER, bits.
    pub const KEY_SIZE: u32 = 3;
    /// SET OF INTEGER: 0 none, 4 SHA-256.
    pub const DIGEST: u32 = 5;
    /// INTEGER: 1 P-256, 2 P-384, 4 Curve25519.
    pub const EC_CURVE: u32 = 10;
    /// INTEGER; version 500 only.
    pub const ML_DSA_VARIANT: u32 = 11;
    /// INTEGER.
    pub const RSA_PUBLIC_EXPONENT: u32 = 200;
    /// NULL.
    pub const NO_AUTH_REQUIRED: u32 = 503;
    /// NULL: the key belongs to every application; of old versions.
    pub const ALL_APPLICATIONS: u32 = 600;
    /// INTEGER, milliseconds; software list.
    pub const CREATION_DATE_TIME: u32 = 701;
    /// INTEGER: 0 generated, 1 derived, 2 imported, 4 securely imported.
    pub const ORIGIN: u32 = 702;
    /// NULL; versions 1 and 2.
    pub const ROLLBACK_RESISTANT: u32 = 703;
    /// RootOfTrust.
    pub const ROOT_OF_TRUST: u32 = 704;
    /// INTEGER such as 160000.
    pub const OS_VERSION: u32 = 705;
    /// INTEGER such as 202609.
    pub const OS_PATCH_LEVEL: u32 = 706;
    /// OCTET STRING with an AttestationApplicationId; software list.
    pub const APPLICATION_ID: u32 = 709;
    /// OCTET STRING; for apps of the device's owner.
    pub const MODEL: u32 = 717;
    /// INTEGER such as 20260905; from version 3.
    pub const VENDOR_PATCH_LEVEL: u32 = 718;
    /// INTEGER such as 20260905; from version 3.
    pub const BOOT_PATCH_LEVEL: u32 = 719;
    /// OCTET STRING; software list, from version 400.
    pub const MODULE_HASH: u32 = 724;
}

/// Where a key lives, and where its description was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityLevel {
    /// In software: worth nothing.
    Software,
    /// In the trusted execution environment of the main processor.
    TrustedEnvironment,
    /// In a chip of its own.
    StrongBox,
}

impl SecurityLevel {
    /// The word in the subjects of certificates.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Software => "Software",
            Self::TrustedEnvironment => "TEE",
            Self::StrongBox => "StrongBox",
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::Software => 0,
            Self::TrustedEnvironment => 1,
            Self::StrongBox => 2,
        }
    }
}

/// What verified boot found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootState {
    /// The maker's system.
    Verified,
    /// A system signed with a key that the owner put in.
    SelfSigned,
    /// Anything.
    Unverified,
    /// A system that failed its check.
    Failed,
    /// A number that the standard does not know.
    Unknown(u8),
}

impl BootState {
    const fn number(self) -> u64 {
        match self {
            Self::Verified => 0,
            Self::SelfSigned => 1,
            Self::Unverified => 2,
            Self::Failed => 3,
            Self::Unknown(number) => number as u64,
        }
    }
}

/// RootOfTrust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootOfTrust {
    /// SHA-256 of the key that verified the system.
    pub verified_boot_key: [u8; 32],
    /// Whether the bootloader is locked.
    pub device_locked: bool,
    /// What verified boot found.
    pub verified_boot_state: BootState,
    /// Digest of the system; absent before version 3.
    pub verified_boot_hash: Option<[u8; 32]>,
}

impl RootOfTrust {
    /// The DER of it.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with_locked(asn1::boolean(self.device_locked))
    }

    /// The same with `device_locked` in other bytes.
    pub(crate) fn encode_with_locked(&self, device_locked: Vec<u8>) -> Vec<u8> {
        let head = [
            asn1::octet_string(&self.verified_boot_key),
            device_locked,
            asn1::enumerated(self.verified_boot_state.number()),
        ];
        asn1::sequence(head.into_iter().chain(self.verified_boot_hash.map(|hash| asn1::octet_string(&hash))))
    }
}

/// AttestationApplicationId: what the system says about the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationId {
    /// Names and versions of all packages that share the user id.
    pub packages: Vec<(String, u64)>,
    /// SHA-256 of the signing certificates.
    pub signing_digests: Vec<[u8; 32]>,
}

impl ApplicationId {
    /// The DER of it.
    pub fn encode(&self) -> Vec<u8> {
        asn1::sequence([
            asn1::set_of(self.packages.iter().map(|(package, version)| {
                asn1::sequence([asn1::octet_string(package.as_bytes()), asn1::integer(*version)])
            })),
            asn1::set_of(self.signing_digests.iter().map(|digest| asn1::octet_string(digest))),
        ])
    }
}

/// AuthorizationList: items `[tag] EXPLICIT`, kept in ascending order unless pushed out of it on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationList(Vec<(u32, Vec<u8>)>);

impl AuthorizationList {
    /// Puts `item` (DER) under `tag`, in its place in the order; replaces the one that is there.
    pub fn set(&mut self, tag: u32, item: Vec<u8>) {
        match self.0.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(at) => self.0[at].1 = item,
            Err(at) => self.0.insert(at, (tag, item)),
        }
    }

    /// Takes out what stands under `tag`.
    pub fn remove(&mut self, tag: u32) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(present, _)| *present == tag)?;
        Some(self.0.remove(at).1)
    }

    /// Puts `item` at the end, wherever its tag belongs and however often it is there.
    pub fn push_as_is(&mut self, tag: u32, item: Vec<u8>) {
        self.0.push((tag, item));
    }

    /// Turns the order around.
    pub fn reverse(&mut self) {
        self.0.reverse();
    }

    /// The DER of what stands under `tag`.
    pub fn item(&self, tag: u32) -> Option<&[u8]> {
        self.0.iter().find(|(present, _)| *present == tag).map(|(_, item)| item.as_slice())
    }

    fn encode(&self) -> Vec<u8> {
        asn1::sequence(self.0.iter().map(|(tag, item)| asn1::explicit(*tag, item)))
    }
}

/// KeyDescription, the value of the extension 1.3.6.1.4.1.11129.2.1.17.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDescription {
    /// 1, 2, 3, 4, 100, 200, 300, 400 or 500.
    pub attestation_version: u64,
    /// Where the description was made.
    pub attestation_security_level: SecurityLevel,
    /// The version of Keymaster or KeyMint.
    pub key_mint_version: u64,
    /// Where the key lives.
    pub key_mint_security_level: SecurityLevel,
    /// What the verifier asked for.
    pub attestation_challenge: Vec<u8>,
    /// Empty for all but system apps.
    pub unique_id: Vec<u8>,
    /// What the system says.
    pub software_enforced: AuthorizationList,
    /// What the hardware says.
    pub hardware_enforced: AuthorizationList,
}

impl KeyDescription {
    /// The DER of it.
    pub fn encode(&self) -> Vec<u8> {
        asn1::sequence([
            asn1::integer(self.attestation_version),
            asn1::enumerated(self.attestation_security_level.number()),
            asn1::integer(self.key_mint_version),
            asn1::enumerated(self.key_mint_security_level.number()),
            asn1::octet_string(&self.attestation_challenge),
            asn1::octet_string(&self.unique_id),
            self.software_enforced.encode(),
            self.hardware_enforced.encode(),
        ])
    }
}

/// The Keymaster version that goes with an attestation version; KeyMint counts both alike.
pub const fn key_mint_version(attestation_version: u64) -> u64 {
    match attestation_version {
        version @ 1..=3 => version + 1,
        4 => 41,
        version => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        core::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    /// The hardware list of a genuine Pixel 9 Pro, without its identifiers.
    #[test]
    fn a_hardware_list_equals_a_genuine_one() {
        let root_of_trust = RootOfTrust {
            verified_boot_key: [0; 32],
            device_locked: true,
            verified_boot_state: BootState::Verified,
            verified_boot_hash: Some(unhex(
                "06A23925B6547EC124086CA5EDDD35C35F58CE6EB68A13AFDFD4195C41C61ED4",
            )),
        };
        let mut list = AuthorizationList::default();
        list.set(tag::BOOT_PATCH_LEVEL, asn1::integer(20_251_105));
        list.set(tag::PURPOSE, asn1::set_of([asn1::integer(2)]));
        list.set(tag::ROOT_OF_TRUST, root_of_trust.encode());
        list.set(tag::NO_AUTH_REQUIRED, asn1::null());
        list.set(tag::ORIGIN, asn1::integer(0));
        list.set(tag::OS_VERSION, asn1::integer(160_000));
        let genuine = [
            "3077A1053103020102BF8377020500BF853E03020100BF85404C304A0420",
            &"0".repeat(64),
            "0101FF0A0100042006A23925B6547EC124086CA5EDDD35C35F58CE6EB68A13AFDFD4195C41C61ED4",
            "BF8541050203027100BF854F060204013501E1",
        ];
        assert_eq!(hex(&list.encode()), genuine.concat());
    }

    #[test]
    fn an_application_id_equals_a_genuine_one() {
        let id = ApplicationId {
            packages: vec![("com.google.android.attestation".to_owned(), 1)],
            signing_digests: vec![unhex("103938EE4537E59E8EE792F654504FB8346FC6B346D0BBC4415FC339FCFC8EC1")],
        };
        assert_eq!(
            hex(&id.encode()),
            "304B31253023041E636F6D2E676F6F676C652E616E64726F69642E6174746573746174696F6E020101312204201039\
             38EE4537E59E8EE792F654504FB8346FC6B346D0BBC4415FC339FCFC8EC1"
        );
    }

    #[test]
    fn setting_a_tag_twice_replaces_it_and_keeps_the_order() {
        let mut list = AuthorizationList::default();
        list.set(tag::ORIGIN, asn1::integer(0));
        list.set(tag::PURPOSE, asn1::set_of([asn1::integer(2)]));
        list.set(tag::ORIGIN, asn1::integer(2));
        assert_eq!(list.encode(), [0x30, 14, 0xa1, 5, 0x31, 3, 2, 1, 2, 0xbf, 0x85, 0x3e, 3, 2, 1, 2]);
        assert_eq!(list.remove(tag::ORIGIN), Some(asn1::integer(2)));
        assert_eq!(list.remove(tag::ORIGIN), None);
    }

    #[test]
    fn keymaster_versions_go_with_their_attestation_versions() {
        let pairs = [(1, 2), (2, 3), (3, 4), (4, 41), (100, 100), (400, 400), (500, 500)];
        for (attestation, key_mint) in pairs {
            assert_eq!(key_mint_version(attestation), key_mint);
        }
    }
}
