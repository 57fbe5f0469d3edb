//! Security patch levels as dates.

use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A security patch level: year and month, with the day where the partition names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchLevel {
    year: u16,
    month: u8,
    day: Option<u8>,
}

impl PatchLevel {
    /// From the number in an authorization list: YYYYMM or YYYYMMDD. Phones also write 0 and other numbers that
    /// are no date; those are None, unknown.
    pub fn from_number(number: u64) -> Option<Self> {
        let (year_month, day) = match number {
            100_000..=999_999 => (number, None),
            10_000_000..=99_999_999 => (number / 100, Some(number % 100)),
            _ => return None,
        };
        let day = match day {
            None => None,
            Some(day @ 1..=31) => Some(u8::try_from(day).ok()?),
            Some(_) => return None,
        };
        Self::new(u16::try_from(year_month / 100).ok()?, u8::try_from(year_month % 100).ok()?, day)
    }

    fn new(year: u16, month: u8, day: Option<u8>) -> Option<Self> {
        let plausible = (2008..=2199).contains(&year) && (1..=12).contains(&month);
        plausible.then_some(Self { year, month, day })
    }

    /// Whether this is `minimum` or later. A day counts only where both name one.
    pub fn is_at_least(self, minimum: Self) -> bool {
        match (self.year, self.month).cmp(&(minimum.year, minimum.month)) {
            core::cmp::Ordering::Equal => match (self.day, minimum.day) {
                (Some(day), Some(minimum)) => day >= minimum,
                _ => true,
            },
            order => order.is_gt(),
        }
    }
}

impl fmt::Display for PatchLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)?;
        self.day.map_or(Ok(()), |day| write!(f, "-{day:02}"))
    }
}

/// The text is not `YYYY-MM` or `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPatchLevel;

/// Reads `YYYY-MM` or `YYYY-MM-DD`, as policies write it.
impl FromStr for PatchLevel {
    type Err = NotAPatchLevel;

    fn from_str(text: &str) -> Result<Self, NotAPatchLevel> {
        let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        match text.chars().map(shape).collect::<String>().as_str() {
            "0000-00" | "0000-00-00" => digits.parse().ok().and_then(Self::from_number).ok_or(NotAPatchLevel),
            _ => Err(NotAPatchLevel),
        }
    }
}

impl Serialize for PatchLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PatchLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a patch level"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_date_are_unknown() {
        assert_eq!(
            PatchLevel::from_number(202_408).map(|level| level.to_string()),
            Some("2024-08".to_owned())
        );
        let day = PatchLevel::from_number(20_240_805).map(|level| level.to_string());
        assert_eq!(day, Some("2024-08-05".to_owned()));
        for number in [0, 1, 202_400, 202_413, 20_240_800, 20_240_832, 20_241_305, 999_999, u64::MAX] {
            assert_eq!(PatchLevel::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn a_month_is_compared_with_a_day() {
        let level = |text: &str| text.parse::<PatchLevel>().unwrap();
        assert!(level("2025-01").is_at_least(level("2025-01-05")));
        assert!(level("2025-01-05").is_at_least(level("2025-01")));
        assert!(!level("2025-01-01").is_at_least(level("2025-01-05")));
        assert!(!level("2024-12-31").is_at_least(level("2025-01")));
        assert!(level("2025-02").is_at_least(level("2025-01-31")));
        for refused in ["", "2025", "2025-1", "2025-13", "2025-01-00", "2025-01-05 ", "20250105"] {
            assert_eq!(refused.parse::<PatchLevel>(), Err(NotAPatchLevel), "{refused}");
        }
    }
}
