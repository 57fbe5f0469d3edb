//! How the constraints read Play Integrity: beside key attestation as a second opinion, alone as all there is.

use countersign_core::time::Timestamp;

use super::Finding;
use super::app::{AndroidApp, AppPolicy};
use super::circumstances::Circumstances;
use super::constraint::{Constraint, Enforcement};
use crate::evidence::play_integrity::{
    AppLicensing, AppRecognition, DetectedApps, DeviceActivity, DeviceRecognition, PlayIntegrityClaims,
    PlayProtect,
};
use crate::evidence::{EvidenceKind, EvidenceSet, Platform};

/// Seconds for which Google Play's last verdict on an instance counts: devices send one every six hours, and may miss
/// a few.
pub const PLAY_INTEGRITY_LIFETIME: u64 = 24 * 3600;

/// First API level at which strong integrity says something of security updates: Android 13.
const STRONG_MEANS_UPDATED: u32 = 33;

/// What is asked of Google's verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayIntegrityRules {
    /// Least integrity of the device.
    pub minimum_device_integrity: DeviceIntegrity,
    /// Highest activity level that is not conspicuous.
    pub maximum_activity: DeviceActivityLimit,
}

impl Default for PlayIntegrityRules {
    fn default() -> Self {
        Self {
            minimum_device_integrity: DeviceIntegrity::Device,
            maximum_activity: DeviceActivityLimit::Level2,
        }
    }
}

/// How much Google vouches for a device, in the sense that its words have from Android 13 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceIntegrity {
    /// Basic checks; the boot loader may be unlocked.
    Basic,
    /// A certified device with a locked boot loader.
    Device,
    /// The same, with security updates in the last year.
    Strong,
}

impl DeviceIntegrity {
    /// The integrity of this name: `basic`, `device` or `strong`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "basic" => Some(Self::Basic),
            "device" => Some(Self::Device),
            "strong" => Some(Self::Strong),
            _ => None,
        }
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Device => "device",
            Self::Strong => "strong",
        }
    }

    /// The best that the verdict says. An emulator's word and unknown words say nothing. Strong integrity of Android
    /// 12 and before, or of an unknown version, is a locked boot loader without a word about updates.
    fn of(claims: &PlayIntegrityClaims) -> Option<Self> {
        let updated = claims.sdk_version.is_some_and(|version| version >= STRONG_MEANS_UPDATED);
        claims
            .device_recognition
            .iter()
            .filter_map(|recognition| match recognition {
                DeviceRecognition::MeetsBasicIntegrity => Some(Self::Basic),
                DeviceRecognition::MeetsDeviceIntegrity => Some(Self::Device),
                DeviceRecognition::MeetsStrongIntegrity if updated => Some(Self::Strong),
                DeviceRecognition::MeetsStrongIntegrity => Some(Self::Device),
                _ => None,
            })
            .max()
    }
}

/// The activity level up to which a device is not conspicuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceActivityLimit {
    /// `LEVEL_1`.
    Level1,
    /// `LEVEL_2`.
    Level2,
    /// `LEVEL_3`.
    Level3,
    /// `LEVEL_4`: any activity that was evaluated.
    Level4,
}

impl DeviceActivityLimit {
    /// The limit of this number, 1 to 4.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Level1),
            2 => Some(Self::Level2),
            3 => Some(Self::Level3),
            4 => Some(Self::Level4),
            _ => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Level1 => 1,
            Self::Level2 => 2,
            Self::Level3 => 3,
            Self::Level4 => 4,
        }
    }

    fn allows(self, activity: DeviceActivity) -> bool {
        let level = match activity {
            DeviceActivity::Level1 => 1,
            DeviceActivity::Level2 => 2,
            DeviceActivity::Level3 => 3,
            DeviceActivity::Level4 => 4,
            _ => return false,
        };
        level <= self.number()
    }
}

/// The findings on a verdict: beside hardware's word where it is not the primary evidence, or where hardware vouched
/// for the instance before.
pub(super) fn findings(
    claims: &PlayIntegrityClaims,
    is_primary: bool,
    circumstances: &Circumstances<'_>,
    app: &AppPolicy,
) -> Vec<Finding> {
    if is_primary && !circumstances.key_attested_before {
        lone_findings(claims, app)
    } else {
        accompanying_findings(claims, app)
    }
}

/// The findings on an Android device that sent no verdict, and whose key hardware vouches for: what the last one
/// found counts on, while it is recent.
pub(super) fn findings_without(
    evidence: Option<&EvidenceSet>,
    platform: Platform,
    circumstances: &Circumstances<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let has_key_attestation = evidence.is_some_and(|set| set.of_kind(EvidenceKind::AndroidKey).is_some());
    let has_verdict = evidence.is_some_and(|set| set.of_kind(EvidenceKind::PlayIntegrity).is_some());
    let is_vouched_for = has_key_attestation || circumstances.key_attested_before;
    if platform != Platform::Android || !is_vouched_for || has_verdict {
        return Vec::new();
    }
    let last = circumstances.history.and_then(|history| history.play_integrity.as_ref());
    let recent = last
        .filter(|last| now.seconds_since(Timestamp::from_unix_seconds(last.time)) <= PLAY_INTEGRITY_LIFETIME);
    let Some(recent) = recent else { return vec![absence(circumstances.play_integrity_unreachable)] };
    let constraints = recent.failed.iter().filter_map(|label| Constraint::from_label(label));
    let failed = constraints
        .map(|constraint| Finding::new(constraint, false, "Google Play's last verdict did not satisfy it."));
    let present =
        Finding::new(Constraint::PlayIntegrityPresent, true, "Google Play gave its verdict lately.");
    std::iter::once(present).chain(failed).collect()
}

/// The findings on a verdict that stands beside key attestation: the app is what both say it is, and whatever else
/// Google has against the device can lower the tier, but by default refuses nobody whom hardware vouches for.
fn accompanying_findings(claims: &PlayIntegrityClaims, app: &AppPolicy) -> Vec<Finding> {
    let mut findings = vec![
        Finding::new(Constraint::PlayIntegrityPresent, true, "Google Play gave its verdict."),
        app_identity(Constraint::PlayAppIdentity, claims, app, false),
    ];
    findings.extend(verdicts(claims, app));
    findings
}

/// The finding on key attestation that no verdict stands beside, and why.
fn absence(unreachable: bool) -> Finding {
    let explanation = if unreachable {
        "Google could not be asked for its verdict: the token counts as absent."
    } else {
        "Google Play gave no verdict."
    };
    Finding::new(Constraint::PlayIntegrityPresent, false, explanation)
}

/// The findings on a verdict that is all there is. The app must be named by it, and what it says of the app is required
/// unless the policy says otherwise; what it says of the device always is: without it nothing would be known.
fn lone_findings(claims: &PlayIntegrityClaims, app: &AppPolicy) -> Vec<Finding> {
    let mut findings = vec![
        app_identity(Constraint::AppIdentity, claims, app, true),
        Finding::new(
            Constraint::KeyAttestationPresent,
            false,
            "No hardware vouches for the key: Google Play alone vouches for app and device.",
        ),
    ];
    findings.extend(verdicts(claims, app).into_iter().map(|finding| match finding.constraint {
        Constraint::PlayAppRecognised => finding.by_default(Enforcement::Require),
        Constraint::PlayDeviceIntegrity => finding.at_least(Enforcement::Require),
        _ => finding,
    }));
    findings
}

fn verdicts(claims: &PlayIntegrityClaims, app: &AppPolicy) -> [Finding; 6] {
    [
        app_recognised(claims),
        device_integrity(claims, app),
        licensed(claims),
        play_protect(claims),
        app_access_risk(claims),
        recent_activity(claims, app),
    ]
}

/// Whatever of package and certificates is stated is expected; where the verdict is alone, both are stated. The
/// package that was requested alone proves nothing: it can be made up on the device.
fn app_identity(
    constraint: Constraint,
    claims: &PlayIntegrityClaims,
    app: &AppPolicy,
    is_alone: bool,
) -> Finding {
    let is_stated = claims.package.is_some() && !claims.certificate_digests.is_empty();
    let Some(android) = app.android.iter().find(|android| has_package(claims, android)) else {
        let explanation = "Google Play evaluated a package that is none of those that were expected.";
        return Finding::new(constraint, false, explanation);
    };
    let expected = |digest: &[u8; 32]| android.signing_digests.contains(digest);
    if !claims.certificate_digests.iter().all(expected) {
        let explanation = "Google Play found a signer that is none of those that were expected.";
        return Finding::new(constraint, false, explanation);
    }
    if is_stated {
        let explanation = format!("For Google Play the app is {} with an expected signer.", android.package);
        return Finding::new(constraint, true, explanation);
    }
    Finding::new(constraint, !is_alone, "Google Play does not say which app it is or who signed it.")
}

fn has_package(claims: &PlayIntegrityClaims, android: &AndroidApp) -> bool {
    claims.request_package == android.package
        && claims.package.as_ref().is_none_or(|package| *package == android.package)
}

fn app_recognised(claims: &PlayIntegrityClaims) -> Finding {
    Finding::new(
        Constraint::PlayAppRecognised,
        claims.app_recognition == AppRecognition::PlayRecognized,
        format!("Google Play's verdict on the app is {}.", claims.app_recognition),
    )
}

fn device_integrity(claims: &PlayIntegrityClaims, app: &AppPolicy) -> Finding {
    let minimum = app.play_integrity.minimum_device_integrity;
    let found = DeviceIntegrity::of(claims);
    let explanation = match found {
        Some(found) => {
            format!(
                "Google vouches for {} integrity, the least accepted is {}.",
                found.name(),
                minimum.name()
            )
        }
        None => "Google does not vouch for the device.".to_owned(),
    };
    Finding::new(Constraint::PlayDeviceIntegrity, found >= Some(minimum), explanation)
}

fn licensed(claims: &PlayIntegrityClaims) -> Finding {
    Finding::new(
        Constraint::PlayLicensed,
        claims.licensing == AppLicensing::Licensed,
        format!("Google Play's verdict on the licence is {}.", claims.licensing),
    )
}

/// Satisfied where the console does not ask for it, as the next two.
fn play_protect(claims: &PlayIntegrityClaims) -> Finding {
    let (satisfied, explanation) = match claims.play_protect {
        None => (true, "Play Protect's verdict was not asked for.".to_owned()),
        Some(verdict) => (
            matches!(verdict, PlayProtect::NoIssues | PlayProtect::NoData),
            format!("Play Protect's verdict is {verdict}."),
        ),
    };
    Finding::new(Constraint::PlayProtect, satisfied, explanation)
}

fn app_access_risk(claims: &PlayIntegrityClaims) -> Finding {
    let (satisfied, explanation) = match claims.apps_detected.as_deref() {
        None => (true, "What other apps can do was not asked for.".to_owned()),
        Some([]) => (false, "What other apps can do was not evaluated.".to_owned()),
        Some(detected) => {
            let risks = [
                DetectedApps::UnknownCapturing,
                DetectedApps::UnknownControlling,
                DetectedApps::UnknownOverlays,
                DetectedApps::Unknown,
            ];
            let words: Vec<_> = detected.iter().map(|apps| apps.word()).collect();
            (
                !detected.iter().any(|apps| risks.contains(apps)),
                format!("Google detected other apps: {}.", words.join(", ")),
            )
        }
    };
    Finding::new(Constraint::PlayAppAccessRisk, satisfied, explanation)
}

fn recent_activity(claims: &PlayIntegrityClaims, app: &AppPolicy) -> Finding {
    let limit = app.play_integrity.maximum_activity;
    let (satisfied, explanation) = match claims.recent_activity {
        None => (true, "The device's recent activity was not asked for.".to_owned()),
        Some(activity) => (
            limit.allows(activity),
            format!(
                "The device's recent activity is {activity}, the most accepted LEVEL_{}.",
                limit.number()
            ),
        ),
    };
    Finding::new(Constraint::PlayRecentActivity, satisfied, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::play_integrity::{AppLicensing, RequestKind};
    use crate::policy::history::{History, PlayHistory};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn claims(recognition: &[DeviceRecognition], sdk_version: Option<u32>) -> PlayIntegrityClaims {
        PlayIntegrityClaims {
            request: RequestKind::Standard,
            requested_at: NOW,
            request_package: "com.example.app".to_owned(),
            app_recognition: AppRecognition::PlayRecognized,
            package: None,
            certificate_digests: Vec::new(),
            version_code: None,
            device_recognition: recognition.to_vec(),
            legacy_device_recognition: Vec::new(),
            sdk_version,
            recent_activity: None,
            device_recall: None,
            licensing: AppLicensing::Licensed,
            apps_detected: None,
            play_protect: None,
        }
    }

    #[test]
    fn names_and_numbers_of_the_rules_are_found_again_and_no_others() {
        for (integrity, name) in [
            (DeviceIntegrity::Basic, "basic"),
            (DeviceIntegrity::Device, "device"),
            (DeviceIntegrity::Strong, "strong"),
        ] {
            assert_eq!((integrity.name(), DeviceIntegrity::from_name(name)), (name, Some(integrity)));
        }
        for (limit, number) in [
            (DeviceActivityLimit::Level1, 1),
            (DeviceActivityLimit::Level2, 2),
            (DeviceActivityLimit::Level3, 3),
            (DeviceActivityLimit::Level4, 4),
        ] {
            assert_eq!((limit.number(), DeviceActivityLimit::from_number(number)), (number, Some(limit)));
        }
        assert!(DeviceIntegrity::from_name("Strong").is_none());
        assert!([0, 5].into_iter().all(|number| DeviceActivityLimit::from_number(number).is_none()));
    }

    #[test]
    fn the_best_word_of_google_counts_and_strong_is_a_locked_boot_loader_before_android_13() {
        use DeviceRecognition as R;
        for (words, sdk_version, expected) in [
            (&[][..], Some(35), None),
            (&[R::MeetsVirtualIntegrity], Some(35), None),
            (&[R::MeetsBasicIntegrity], Some(35), Some(DeviceIntegrity::Basic)),
            (&[R::MeetsDeviceIntegrity], None, Some(DeviceIntegrity::Device)),
            (&[R::MeetsBasicIntegrity, R::MeetsDeviceIntegrity], None, Some(DeviceIntegrity::Device)),
            (&[R::MeetsStrongIntegrity], Some(33), Some(DeviceIntegrity::Strong)),
            (&[R::MeetsStrongIntegrity], Some(32), Some(DeviceIntegrity::Device)),
            (&[R::MeetsStrongIntegrity, R::MeetsBasicIntegrity], None, Some(DeviceIntegrity::Device)),
        ] {
            assert_eq!(
                DeviceIntegrity::of(&claims(words, sdk_version)),
                expected,
                "{words:?} {sdk_version:?}"
            );
        }
    }

    #[test]
    fn activity_is_allowed_up_to_the_limit_and_not_without_a_level() {
        let levels =
            [DeviceActivity::Level1, DeviceActivity::Level2, DeviceActivity::Level3, DeviceActivity::Level4];
        for number in 1..=4 {
            let limit = DeviceActivityLimit::from_number(number).unwrap();
            let allowed = levels.iter().filter(|level| limit.allows(**level)).count();
            assert_eq!(allowed, usize::from(number));
            assert!(limit.allows(levels[0]) && !limit.allows(DeviceActivity::Unevaluated));
        }
    }

    #[test]
    fn an_absent_verdict_is_missed_on_androids_with_attested_keys_alone() {
        let missed = |platform, key_attested_before| {
            let circumstances = Circumstances { key_attested_before, ..Circumstances::default() };
            !findings_without(None, platform, &circumstances, NOW).is_empty()
        };
        assert!(missed(Platform::Android, true));
        for (platform, key_attested_before) in
            [(Platform::Android, false), (Platform::Apple, true), (Platform::Apple, false)]
        {
            assert!(!missed(platform, key_attested_before), "{platform:?} {key_attested_before}");
        }
    }

    #[test]
    fn the_last_verdict_counts_for_a_day_with_what_it_did_not_satisfy() {
        let failed = |age| {
            let verdict = PlayHistory {
                time: NOW.minus(age).as_unix_seconds(),
                failed: vec!["play-licensed".to_owned(), "no-longer-known".to_owned()],
            };
            let history = History { play_integrity: Some(verdict), ..History::default() };
            let circumstances =
                Circumstances { history: Some(&history), key_attested_before: true, ..Default::default() };
            let findings = findings_without(None, Platform::Android, &circumstances, NOW);
            let failed = findings.iter().filter(|finding| !finding.satisfied);
            failed.map(|finding| finding.constraint).collect::<Vec<_>>()
        };
        assert_eq!(failed(PLAY_INTEGRITY_LIFETIME), [Constraint::PlayLicensed]);
        assert_eq!(failed(PLAY_INTEGRITY_LIFETIME + 1), [Constraint::PlayIntegrityPresent]);
    }
}
