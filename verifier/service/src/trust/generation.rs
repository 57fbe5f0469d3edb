//! Which policy, roots and status list something was judged under.

use std::fmt;

use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::crypto::sha256_of;
use countersign_verifier::policy::AppraisalPolicy;
use countersign_verifier::revocation::RevocationList;

/// Names a set of policy, roots and status list: SHA-256 of all that a verdict depends on, and of this program's
/// version, whose rules are part of it. The age of the status list is not: it says nothing about a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation([u8; 32]);

impl Generation {
    pub(super) fn of(
        policy: &AppraisalPolicy,
        anchors: &TrustAnchors,
        revocation: Option<&RevocationList>,
    ) -> Self {
        // Their `Debug` forms name every part of them, so a part that is added later cannot be forgotten here.
        let parts = [
            env!("CARGO_PKG_VERSION").to_owned(),
            format!("{policy:?}"),
            format!("{anchors:?}"),
            format!("{:?}", revocation.map(RevocationList::digest)),
        ];
        let hashes: Vec<[u8; 32]> = parts.iter().map(|part| sha256_of(&[part.as_bytes()])).collect();
        Self(sha256_of(&hashes.iter().map(<[u8; 32]>::as_slice).collect::<Vec<_>>()))
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::time::Timestamp;
    use countersign_verifier::policy::AppPolicy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn list(json: &str, as_of: Timestamp) -> RevocationList {
        RevocationList::parse(json.as_bytes(), as_of).unwrap()
    }

    #[test]
    fn whatever_a_verdict_depends_on_makes_another_generation() {
        let anchors = TrustAnchors::embedded();
        let policy = AppraisalPolicy::new("shop/1");
        let empty = list(r#"{"entries":{}}"#, NOW);
        let first = Generation::of(&policy, &anchors, Some(&empty));
        let mut app = AppPolicy::new("shop");
        app.observe = true;
        for other in [
            Generation::of(&policy, &anchors, None),
            Generation::of(&policy, &anchors, Some(&list(r#"{"entries":{"1":{"status":"REVOKED"}}}"#, NOW))),
            Generation::of(&AppraisalPolicy::new("shop/2"), &anchors, Some(&empty)),
            Generation::of(&policy.clone().with_app(app), &anchors, Some(&empty)),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_age_of_the_status_list_does_not() {
        let (anchors, policy) = (TrustAnchors::embedded(), AppraisalPolicy::new("shop/1"));
        let of = |as_of| Generation::of(&policy, &anchors, Some(&list(r#"{"entries":{}}"#, as_of)));
        assert_eq!(of(NOW), of(NOW.plus(3600)));
    }
}
