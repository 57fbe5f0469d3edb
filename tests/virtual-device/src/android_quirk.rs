//! What genuine phones get wrong without a lie: departures from the standards that a verifier meets in the field.

use countersign_core::time::Timestamp;

use crate::{
    asn1,
    certificate::{DAY, Link, SignatureHash},
    google_authority::Provisioning,
    key_description::{KeyDescription, tag},
};

macro_rules! quirks {
    ($($variant:ident $name:literal $description:literal,)+) => {
        /// A departure from the standards that genuine phones are known for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum AndroidQuirk {
            $(#[doc = $description] $variant,)+
        }

        impl AndroidQuirk {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name that the project has for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What is wrong, in one line.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)+
                }
            }
        }
    };
}

quirks! {
    ExpiredFactory "expired-factory-certificate" "the factory's certificates expired yesterday",
    FirstGeneration "first-generation-certificate" "the chip's certificate of 2016 says that it is no CA",
    NullParameters "signature-parameters" "the leaf's ECDSA signature has parameters of NULL",
    WritesDefaults "explicit-default" "the leaf's extensions say that they are not critical",
    UnsortedSets "unsorted-set" "the key's purposes stand in the order of the request",
    CreationTimeInMicroseconds "creation-time-in-microseconds" "the key's creation time is in microseconds",
    PatchLevelsWithoutDay "patch-level-without-day" "patch levels of vendor and boot name no day",
    PatchLevelsZero "patch-level-not-a-date" "patch levels of vendor and boot are zero",
    PatchLevelsNoNumber "patch-level-not-a-date" "the vendor's patch level is text",
}

impl AndroidQuirk {
    /// How a phone with this quirk came by its keys, where only one way has it.
    pub(crate) const fn provisioning(self) -> Option<Provisioning> {
        match self {
            Self::ExpiredFactory | Self::FirstGeneration => Some(Provisioning::Factory),
            _ => None,
        }
    }

    /// Before the key description is encoded.
    pub(crate) fn key_description(self, description: &mut KeyDescription) {
        let hardware = &mut description.hardware_enforced;
        match self {
            Self::UnsortedSets => {
                let purposes = [asn1::integer(3), asn1::integer(2)].concat();
                hardware.set(tag::PURPOSE, asn1::tlv(&[0x31], &purposes));
            }
            Self::CreationTimeInMicroseconds => {
                let microseconds = asn1::integer(1_790_000_000_000_000);
                description.software_enforced.set(tag::CREATION_DATE_TIME, microseconds);
            }
            Self::PatchLevelsWithoutDay => {
                hardware.set(tag::VENDOR_PATCH_LEVEL, asn1::integer(202_608));
                hardware.set(tag::BOOT_PATCH_LEVEL, asn1::integer(202_609));
            }
            Self::PatchLevelsZero => {
                hardware.set(tag::VENDOR_PATCH_LEVEL, asn1::integer(0));
                hardware.set(tag::BOOT_PATCH_LEVEL, asn1::integer(0));
            }
            Self::PatchLevelsNoNumber => {
                hardware.set(tag::VENDOR_PATCH_LEVEL, asn1::octet_string(b"2026-09-05"));
            }
            _ => {}
        }
    }

    /// Before the certificates are signed.
    pub(crate) fn links(self, now: Timestamp, links: &mut [Link]) {
        match self {
            Self::ExpiredFactory => {
                for link in &mut links[1..3] {
                    link.certificate.not_after = now.minus(DAY);
                }
            }
            Self::FirstGeneration => {
                links[1].certificate.set_ca(false);
                links[1].certificate.not_before = START_OF_2016;
            }
            Self::NullParameters => links[0].hash = SignatureHash::Sha256WithNull,
            Self::WritesDefaults => links[0].certificate.writes_defaults = true,
            _ => {}
        }
    }
}

/// 2016-01-01.
pub(crate) const START_OF_2016: Timestamp = Timestamp::from_unix_seconds(1_451_606_400);
