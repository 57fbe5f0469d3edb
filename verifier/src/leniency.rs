//! Where genuine phones depart from the letter of a standard, and what is tolerated of that: each by name, and in the
//! claims of the evidence that needed it. `docs/android-quirks.md` says which phones, and why it is harmless.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

macro_rules! leniencies {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// A departure from a standard that is tolerated. Names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Leniency {
            $($(#[$doc])* $variant,)*
        }

        impl Leniency {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

leniencies! {
    /// A certificate above the leaf of a factory chain has expired.
    ExpiredFactoryCertificate "expired-factory-certificate",
    /// The certificate above the leaf of a factory chain, from before 2018, says CA:FALSE.
    FirstGenerationCertificate "first-generation-certificate",
    /// The leaf's signature algorithm is ECDSA with parameters of NULL, or RSA without them.
    SignatureParameters "signature-parameters",
    /// An extension of the leaf says `critical = FALSE`, which DER leaves out.
    ExplicitDefault "explicit-default",
    /// The members of a SET OF in the key description are not in DER's order.
    UnsortedSet "unsorted-set",
    /// The key's creation time is in microseconds.
    CreationTimeInMicroseconds "creation-time-in-microseconds",
    /// The vendor's or boot partition's patch level names no day.
    PatchLevelWithoutDay "patch-level-without-day",
    /// A patch level is no date: it counts as unknown.
    PatchLevelNotADate "patch-level-not-a-date",
}

impl Serialize for Leniency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The leniencies that a piece of evidence needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Leniencies(BTreeSet<Leniency>);

impl Leniencies {
    pub(crate) fn note(&mut self, leniency: Leniency) {
        self.0.insert(leniency);
    }

    /// Notes it if `needed`.
    pub(crate) fn note_if(&mut self, needed: bool, leniency: Leniency) {
        if needed {
            self.note(leniency);
        }
    }

    /// Whether none was needed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one was needed.
    pub fn contains(&self, leniency: Leniency) -> bool {
        self.0.contains(&leniency)
    }

    /// All that were needed.
    pub fn iter(&self) -> impl Iterator<Item = Leniency> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leniency_is_documented_and_every_documented_one_exists() {
        let documented: Vec<&str> = include_str!("../../docs/android-quirks.md")
            .lines()
            .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
            .collect();
        let names: Vec<_> = Leniency::ALL.iter().map(|leniency| leniency.name()).collect();
        assert_eq!(documented, names);
    }
}
