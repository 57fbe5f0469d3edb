//! The words of Google's verdicts. A word that is not known here is kept as unknown and never counts in favour.

use serde::{Serialize, Serializer};

macro_rules! verdicts {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A word that came later than this version.
            Unknown,
        }

        impl $name {
            /// The word as Google writes it; `UNKNOWN` for one that is not known here.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown => "UNKNOWN",
                }
            }

            /// The verdict of this word.
            pub(super) fn from_word(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    )+};
}

verdicts! {
    /// `appRecognitionVerdict`: whether app and certificate are what Google Play distributes.
    AppRecognition {
        /// They are.
        PlayRecognized "PLAY_RECOGNIZED",
        /// Certificate or package are not what Google Play has.
        UnrecognizedVersion "UNRECOGNIZED_VERSION",
        /// Not evaluated: the device is not trustworthy enough, or Google Play has no part in it.
        Unevaluated "UNEVALUATED",
    }
    /// A word of `deviceRecognitionVerdict`. The list is absent where no word applies.
    DeviceRecognition {
        /// Passes basic checks; the boot loader may be unlocked. From Android 13 on only a Google root of key
        /// attestation is asked for.
        MeetsBasicIntegrity "MEETS_BASIC_INTEGRITY",
        /// A certified device. From Android 13 on, with hardware-backed proof that the boot loader is locked.
        MeetsDeviceIntegrity "MEETS_DEVICE_INTEGRITY",
        /// From Android 13 on: device integrity, and security updates in the last year. Before: hardware-backed
        /// proof of boot integrity alone.
        MeetsStrongIntegrity "MEETS_STRONG_INTEGRITY",
        /// An emulator with Google Play services.
        MeetsVirtualIntegrity "MEETS_VIRTUAL_INTEGRITY",
    }
    /// `appLicensingVerdict`: whether the user got the app from Google Play.
    AppLicensing {
        /// The user did.
        Licensed "LICENSED",
        /// The user did not.
        Unlicensed "UNLICENSED",
        /// Not evaluated.
        Unevaluated "UNEVALUATED",
    }
    /// `deviceActivityLevel`: integrity tokens that this app asked for on this device in the last hour.
    DeviceActivity {
        /// The fewest: at most 10 standard or 5 classic requests.
        Level1 "LEVEL_1",
        /// At most 25 standard or 10 classic ones.
        Level2 "LEVEL_2",
        /// At most 50 standard or 15 classic ones.
        Level3 "LEVEL_3",
        /// More.
        Level4 "LEVEL_4",
        /// Not evaluated.
        Unevaluated "UNEVALUATED",
    }
    /// `playProtectVerdict`: what Google Play Protect found on the device.
    PlayProtect {
        /// On, and nothing found.
        NoIssues "NO_ISSUES",
        /// On, and not scanned yet.
        NoData "NO_DATA",
        /// Off.
        PossibleRisk "POSSIBLE_RISK",
        /// On, and potentially harmful apps found.
        MediumRisk "MEDIUM_RISK",
        /// On, and dangerous apps found.
        HighRisk "HIGH_RISK",
        /// Not evaluated.
        Unevaluated "UNEVALUATED",
    }
    /// A word of `appsDetected`: what other apps on the device can do. Known ones come from Google Play or the
    /// system's maker.
    DetectedApps {
        /// Known apps are installed.
        KnownInstalled "KNOWN_INSTALLED",
        /// A known app can capture the screen.
        KnownCapturing "KNOWN_CAPTURING",
        /// A known app can control the device.
        KnownControlling "KNOWN_CONTROLLING",
        /// A known app can draw over others.
        KnownOverlays "KNOWN_OVERLAYS",
        /// Unknown apps are installed.
        UnknownInstalled "UNKNOWN_INSTALLED",
        /// An unknown app can capture the screen.
        UnknownCapturing "UNKNOWN_CAPTURING",
        /// An unknown app can control the device.
        UnknownControlling "UNKNOWN_CONTROLLING",
        /// An unknown app can draw over others.
        UnknownOverlays "UNKNOWN_OVERLAYS",
    }
}
