//! Versions of apps, attested and claimed.

use crate::evidence::{Claims, EvidenceSet, VerifiedEvidence};

/// The app's version as evidence has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AppVersion {
    /// Android's version code.
    Code(u64),
    /// Apple's bundle version.
    Text(String),
}

impl AppVersion {
    /// The version that the evidence tells, if it tells one; the latest, where a key's attestation is read together
    /// with its last assertion. Where packages share a user id it is not told which of them the app is.
    pub(super) fn attested(evidence: &EvidenceSet) -> Option<Self> {
        let by_time = |evidence: &&VerifiedEvidence| evidence.evidence_time();
        let mut pieces: Vec<_> = evidence.all().collect();
        pieces.sort_by_key(by_time);
        pieces.into_iter().rev().find_map(|evidence| match evidence.claims() {
            Claims::AppAttest(claims) => claims.bundle_version.clone().map(Self::Text),
            Claims::AndroidKey(claims) => {
                match claims.software_enforced.application_id.as_ref()?.packages.as_slice() {
                    [package] => package.version.map(Self::Code),
                    _ => None,
                }
            }
            Claims::PlayIntegrity(claims) => claims.version_code.map(Self::Code),
            Claims::DevelopmentKey(_) => None,
        })
    }
}

/// A dotted version for comparison: its numbers in order, missing ones zero, what is no number zero. `1.10` is newer
/// than `1.9`, `1.2-beta` the same as `1.2`.
pub(super) fn claimed_version(version: &str) -> [u64; 4] {
    let mut numbers = [0; 4];
    for (number, part) in numbers.iter_mut().zip(version.split('.')) {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        *number = digits.parse().unwrap_or(0);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::claimed_version;

    #[test]
    fn versions_compare_by_their_numbers() {
        let ascending = ["", "0.9", "1", "1.0.1", "1.2-beta.9", "1.9", "1.10", "2.0.0.1"];
        for pair in ascending.windows(2) {
            assert!(claimed_version(pair[0]) < claimed_version(pair[1]), "{pair:?}");
        }
        assert_eq!(claimed_version("1.0"), claimed_version("1"));
    }

    #[test]
    fn what_is_no_version_is_the_oldest() {
        assert_eq!(claimed_version("latest"), [0; 4]);
        assert_eq!(claimed_version("99999999999999999999"), [0; 4]);
    }
}
