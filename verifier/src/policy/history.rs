//! Continuity: what was seen of an instance before, and that nothing of it goes back.
//!
//! Somebody who holds an old, vulnerable system or app can sign in its name for ever; somebody who has seen this
//! device up to date will not take its word once it claims to be older.

use serde::{Deserialize, Serialize};

use super::Finding;
use super::app_version::{AppVersion, claimed_version};
use super::appraisal::Appraisal;
use super::constraint::Constraint;
use crate::evidence::android_key::{AndroidKeyClaims, PatchLevel};
use crate::evidence::{Claims, EvidenceKind, EvidenceSet, Hex};

/// The highest versions and levels that were seen of an instance, and the keys that never change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Version of Android, 160000 for 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_version: Option<u64>,
    /// Version of iOS or macOS, where an attestation told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apple_version: Option<String>,
    /// Patch level of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_patch_level: Option<PatchLevel>,
    /// Patch level of the vendor's partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_patch_level: Option<PatchLevel>,
    /// Patch level of the boot partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_patch_level: Option<PatchLevel>,
    /// The app's version code on Android.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_code: Option<u64>,
    /// The app's bundle version on Apple's platforms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_version: Option<String>,
    /// The verified boot key, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_boot_key: Option<String>,
    /// Google Play's last verdict, for an instance whose key hardware vouches for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play_integrity: Option<PlayHistory>,
}

/// Google Play's last verdict on an instance. Tokens come less often than renewals; in between the last one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayHistory {
    /// When it was verified, seconds since the epoch.
    pub time: u64,
    /// The constraints that it did not satisfy, by label.
    pub failed: Vec<String>,
}

impl PlayHistory {
    /// What to remember of an appraisal of `evidence`; None if no verdict was among it.
    pub(crate) fn of(evidence: &EvidenceSet, appraisal: &Appraisal) -> Option<Self> {
        let verdict = evidence.of_kind(EvidenceKind::PlayIntegrity)?;
        let outcomes = appraisal.outcomes().iter();
        let failed =
            outcomes.filter(|outcome| !outcome.satisfied && outcome.constraint.is_of_play_integrity());
        Some(Self {
            time: verdict.evidence_time().as_unix_seconds(),
            failed: failed.map(|outcome| outcome.constraint.label().to_owned()).collect(),
        })
    }
}

impl History {
    /// What is known after `evidence` was accepted: the higher of each pair; unknown takes nothing away. The boot key is
    /// the one that was seen first: where a policy only warns of another, it warns as long as there is another.
    #[must_use]
    pub fn after(&self, evidence: &EvidenceSet) -> Self {
        self.joined(&Self::of(evidence))
    }

    /// What both say, where `self` came first: the higher of each pair, the first boot key, and Google Play's later
    /// verdict. Two renewals at the same time both count, in whatever order they are stored.
    #[must_use]
    pub fn joined(&self, seen: &Self) -> Self {
        let verdicts = self.play_integrity.iter().chain(&seen.play_integrity);
        Self {
            android_version: self.android_version.max(seen.android_version),
            apple_version: newer(self.apple_version.as_ref(), seen.apple_version.clone()),
            os_patch_level: later(self.os_patch_level, seen.os_patch_level),
            vendor_patch_level: later(self.vendor_patch_level, seen.vendor_patch_level),
            boot_patch_level: later(self.boot_patch_level, seen.boot_patch_level),
            version_code: self.version_code.max(seen.version_code),
            bundle_version: newer(self.bundle_version.as_ref(), seen.bundle_version.clone()),
            verified_boot_key: self.verified_boot_key.clone().or_else(|| seen.verified_boot_key.clone()),
            play_integrity: verdicts.max_by_key(|verdict| verdict.time).cloned(),
        }
    }

    /// What one set of evidence says.
    fn of(evidence: &EvidenceSet) -> Self {
        let mut seen = Self::default();
        match AppVersion::attested(evidence) {
            Some(AppVersion::Code(code)) => seen.version_code = Some(code),
            Some(AppVersion::Text(version)) => seen.bundle_version = Some(version),
            None => {}
        }
        for evidence in evidence.all() {
            match evidence.claims() {
                Claims::AndroidKey(claims) => seen.read(claims),
                Claims::AppAttest(claims) => seen.apple_version.clone_from(&claims.os_version),
                Claims::PlayIntegrity(_) | Claims::DevelopmentKey(_) => {}
            }
        }
        seen
    }

    fn read(&mut self, claims: &AndroidKeyClaims) {
        let hardware = &claims.hardware_enforced;
        self.android_version = hardware.os_version;
        self.os_patch_level = hardware.os_patch_level;
        self.vendor_patch_level = hardware.vendor_patch_level;
        self.boot_patch_level = hardware.boot_patch_level;
        // Phones report no bytes, or zeros, when nothing was verified.
        let key = hardware.root_of_trust.as_ref().map(|root_of_trust| &root_of_trust.verified_boot_key);
        let key = key.filter(|key| key.iter().any(|byte| *byte != 0));
        self.verified_boot_key = key.map(|key| Hex(key).to_string());
    }
}

/// Whether the evidence continues what was seen before. Without a history, or where either side is silent, it does.
pub(super) fn findings(history: Option<&History>, evidence: &EvidenceSet) -> Vec<Finding> {
    let Some(before) = history else { return Vec::new() };
    let now = History::of(evidence);
    vec![
        os_version(before, &now),
        patch_levels(before, &now),
        app_version(before, &now),
        boot_key(before, &now),
    ]
}

fn os_version(before: &History, now: &History) -> Finding {
    let android = is_not_below(before.android_version, now.android_version);
    let apple = match (&before.apple_version, &now.apple_version) {
        (Some(before), Some(now)) => claimed_version(now) >= claimed_version(before),
        _ => true,
    };
    finding(Constraint::OsVersionContinuity, android && apple, "system's version")
}

fn patch_levels(before: &History, now: &History) -> Finding {
    let pairs = [
        (before.os_patch_level, now.os_patch_level),
        (before.vendor_patch_level, now.vendor_patch_level),
        (before.boot_patch_level, now.boot_patch_level),
    ];
    let continues = pairs.into_iter().all(|pair| match pair {
        (Some(before), Some(now)) => now.is_at_least(before),
        _ => true,
    });
    finding(Constraint::PatchLevelContinuity, continues, "patch levels")
}

fn app_version(before: &History, now: &History) -> Finding {
    let code = is_not_below(before.version_code, now.version_code);
    let bundle = match (&before.bundle_version, &now.bundle_version) {
        (Some(before), Some(now)) => claimed_version(now) >= claimed_version(before),
        _ => true,
    };
    finding(Constraint::AppVersionContinuity, code && bundle, "app's version")
}

fn boot_key(before: &History, now: &History) -> Finding {
    let same = match (&before.verified_boot_key, &now.verified_boot_key) {
        (Some(before), Some(now)) => before == now,
        _ => true,
    };
    let explanation = if same {
        "The key that signed the system is the one that was seen before."
    } else {
        "Another key signed the system than was seen before: keys do not survive such a change."
    };
    Finding::new(Constraint::BootKeyContinuity, same, explanation)
}

fn finding(constraint: Constraint, continues: bool, what: &str) -> Finding {
    let explanation = if continues {
        format!("The {what} did not go back.")
    } else {
        format!("The {what} went back behind what was seen of this instance before.")
    };
    Finding::new(constraint, continues, explanation)
}

fn is_not_below(before: Option<u64>, now: Option<u64>) -> bool {
    !matches!((before, now), (Some(before), Some(now)) if now < before)
}

fn later(before: Option<PatchLevel>, now: Option<PatchLevel>) -> Option<PatchLevel> {
    match (before, now) {
        // A day that was seen once stays seen, though the same month comes without one.
        (Some(before), Some(now)) => {
            let forgets_the_day = before.is_at_least(now) && before.names_a_day();
            Some(if now.is_at_least(before) && !forgets_the_day { now } else { before })
        }
        _ => now.or(before),
    }
}

fn newer(before: Option<&String>, now: Option<String>) -> Option<String> {
    match (before, now) {
        (Some(before), Some(now)) if claimed_version(before) > claimed_version(&now) => Some(before.clone()),
        (before, now) => now.or_else(|| before.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_was_ever_seen_is_kept() {
        let kept = |before: Option<&str>, now: Option<&str>| {
            newer(before.map(str::to_owned).as_ref(), now.map(str::to_owned))
        };
        assert_eq!(kept(Some("1.10"), Some("1.9")).as_deref(), Some("1.10"));
        assert_eq!(kept(Some("1.9"), Some("1.10")).as_deref(), Some("1.10"));
        assert_eq!(kept(Some("1.0"), Some("1")).as_deref(), Some("1"), "of two that are the same the later");
        assert_eq!(kept(Some("1"), None).as_deref(), Some("1"));
        assert_eq!(kept(None, Some("1")).as_deref(), Some("1"));
        assert_eq!(kept(None, None), None);
    }
}
