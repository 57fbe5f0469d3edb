//! Cohorts: stricter or milder enforcement for a part of an app's instances, to see what it does before all feel it.

use super::constraint::Enforcements;
use crate::crypto::sha256_of;

/// A part of an app's instances, always the same ones for the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// Its name; another name draws other instances.
    pub name: String,
    /// How many of a hundred instances belong to it.
    pub percentage: u8,
    /// What is enforced otherwise for them, over all else.
    pub enforcements: Enforcements,
}

impl Cohort {
    /// Whether the instance with this key thumbprint belongs to it. An instance that belongs at one percentage belongs
    /// at every higher one.
    pub fn contains(&self, key: &[u8; 32]) -> bool {
        is_within(&sha256_of(&[self.name.as_bytes(), &[0], key]), self.percentage)
    }
}

/// Whether the member with this hash is one of `percentage` in a hundred. Who is one at one percentage is one at every
/// higher one.
pub(crate) const fn is_within(hash: &[u8; 32], percentage: u8) -> bool {
    let [a, b, c, d, ..] = *hash;
    (u32::from_be_bytes([a, b, c, d]) as u64) * 100 < (percentage as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(name: &str, percentage: u8) -> Cohort {
        Cohort { name: name.to_owned(), percentage, enforcements: Enforcements::default() }
    }

    fn members(cohort: &Cohort) -> Vec<u16> {
        let key = |number: u16| sha256_of(&[&number.to_be_bytes()]);
        (0..2000).filter(|number| cohort.contains(&key(*number))).collect()
    }

    #[test]
    fn a_percentage_is_about_that_many_of_a_hundred() {
        assert_eq!((members(&cohort("strict", 0)).len(), members(&cohort("strict", 100)).len()), (0, 2000));
        let tenth = members(&cohort("strict", 10)).len();
        assert!((140..=260).contains(&tenth), "{tenth}");
    }

    #[test]
    fn who_belongs_at_one_percentage_belongs_at_every_higher_one() {
        let (tenth, half) = (members(&cohort("strict", 10)), members(&cohort("strict", 50)));
        assert!(tenth.iter().all(|member| half.contains(member)));
        assert_ne!(tenth, members(&cohort("other", 10)));
    }
}
