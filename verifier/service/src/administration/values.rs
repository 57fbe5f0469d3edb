//! What an administrator may write, each with its rule; the same on the command line and over HTTP.

use std::fmt;
use std::str::FromStr;

use countersign_core::encoding::from_base64url_array;
use countersign_core::time::Timestamp;
use countersign_core::token::result::Tier;
use countersign_verifier::policy::{AppMode, AppraisalPolicy};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::document::formats;

/// Longest reason of a ban, in bytes.
const MAX_REASON: usize = 500;
/// Longest issuer, subject or client identifier, in bytes.
const MAX_TEXT: usize = 512;
/// Longest name of a key, in bytes.
const MAX_NAME: usize = 64;
/// Most apps that one development key may vouch for.
const MAX_CLIENTS: usize = 16;
/// Longest life of a development key, in seconds: a year.
const MAX_DEVELOPMENT_LIFE: u64 = 366 * 86_400;
/// Longest life of an admin key that ends, in seconds: ten years.
const MAX_ADMIN_LIFE: u64 = 3653 * 86_400;
/// Longest life of an API key, in seconds: two years.
const MAX_API_KEY_LIFE: u64 = 731 * 86_400;

/// What was written breaks the rule of its kind. Displayed as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// What it was written as.
    pub(crate) member: &'static str,
    /// The rule.
    pub(crate) rule: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.member, self.rule)
    }
}

const fn invalid(member: &'static str, rule: &'static str) -> Invalid {
    Invalid { member, rule }
}

/// The reason of a ban: for other administrators, never for the device.
pub(crate) fn ban_reason(text: &str) -> Result<&str, Invalid> {
    let fits = text.len() <= MAX_REASON && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or(invalid("reason", "has at most 500 bytes, on one line"))
}

/// The name of an admin key, or the identifier of a development key.
pub(crate) fn name<'t>(member: &'static str, text: &'t str) -> Result<&'t str, Invalid> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(is_fit)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    fits.then_some(text).ok_or(invalid(
        member,
        "has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or digit",
    ))
}

/// `iss` of a user's access tokens.
pub(crate) fn issuer(text: &str) -> Result<&str, Invalid> {
    plain("issuer", text)
}

/// `sub` of a user's access tokens.
pub(crate) fn subject(text: &str) -> Result<&str, Invalid> {
    plain("subject", text)
}

/// The apps that a development key may vouch for: each is one of the policy's development apps.
pub(crate) fn client_ids(texts: &[String], policy: &AppraisalPolicy) -> Result<(), Invalid> {
    if !(1..=MAX_CLIENTS).contains(&texts.len()) {
        return Err(invalid("client_ids", "names 1 to 16 apps"));
    }
    texts.iter().try_for_each(|client| development_app(client, policy))
}

/// An app that is meant for developers.
fn development_app(client_id: &str, policy: &AppraisalPolicy) -> Result<(), Invalid> {
    plain("client_ids", client_id)?;
    match policy.app(client_id) {
        Some(app) if app.mode == AppMode::Development => Ok(()),
        Some(_) => Err(invalid(
            "client_ids",
            "names an app that is meant for users; development keys vouch for apps with `mode = \"development\"` \
             in the policy alone",
        )),
        None => Err(invalid("client_ids", "names an app that is not in the policy")),
    }
}

fn plain<'t>(member: &'static str, text: &'t str) -> Result<&'t str, Invalid> {
    let fits = (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or(invalid(member, "has 1 to 512 bytes without control characters"))
}

/// A point in time: seconds since the epoch, a date, or a time such as `2026-06-02T00:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TimeText")]
pub(crate) struct Time(pub(crate) Timestamp);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a time is seconds since 1970, a date such as 2026-06-02, or 2026-06-02T00:00:00Z"
)]
enum TimeText {
    Seconds(u64),
    Text(String),
}

impl TryFrom<TimeText> for Time {
    type Error = &'static str;

    fn try_from(text: TimeText) -> Result<Self, Self::Error> {
        match text {
            TimeText::Seconds(seconds) => Self::from_str(&seconds.to_string()),
            TimeText::Text(text) => Self::from_str(&text),
        }
    }
}

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "a time is seconds since 1970, a date such as 2026-06-02, or 2026-06-02T00:00:00Z";
        /// The end of the year 9999.
        const LAST: u64 = 253_402_300_799;
        let midnight = format!("{text}T00:00:00Z");
        let written = match text.len() {
            10 if text.contains('-') => midnight.as_str(),
            _ => text,
        };
        let seconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok()
        } else {
            let time = OffsetDateTime::parse(written, &Rfc3339).ok();
            time.and_then(|time| u64::try_from(time.unix_timestamp()).ok())
        };
        seconds
            .filter(|seconds| *seconds <= LAST)
            .map(|seconds| Self(Timestamp::from_unix_seconds(seconds)))
            .ok_or(RULE)
    }
}

/// When a key ends: a time, or how long from now, such as `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// At this time.
    At(Timestamp),
    /// So many seconds from now.
    After(u64),
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(span) = formats::time_span(text) {
            return Ok(Self::After(span.as_secs()));
        }
        Time::from_str(text)
            .map(|Time(time)| Self::At(time))
            .map_err(|_| "write a date, or a span such as 90d")
    }
}

impl Expiry {
    /// When a development key ends: it always does, within a year.
    pub(crate) fn of_development_key(self, now: Timestamp) -> Result<Timestamp, Invalid> {
        let rule = "is later than now, and at most 366 days away";
        self.within(now, MAX_DEVELOPMENT_LIFE).ok_or(invalid("expires", rule))
    }

    /// When an admin key ends.
    pub(crate) fn of_admin_key(self, now: Timestamp) -> Result<Timestamp, Invalid> {
        self.within(now, MAX_ADMIN_LIFE)
            .ok_or(invalid("expires", "is later than now, and at most ten years away"))
    }

    /// When an API key ends: it always does, within two years.
    pub(crate) fn of_api_key(self, now: Timestamp) -> Result<Timestamp, Invalid> {
        let rule = "is later than now, and at most 731 days away";
        self.within(now, MAX_API_KEY_LIFE).ok_or(invalid("expires", rule))
    }

    fn within(self, now: Timestamp, longest: u64) -> Option<Timestamp> {
        let end = match self {
            Self::At(time) => time,
            Self::After(seconds) => now.plus(seconds),
        };
        (end > now && end <= now.plus(longest)).then_some(end)
    }
}

/// How many entries a page has at most: 1 to 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Limit(pub(crate) u32);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        (1..=500).contains(&limit).then_some(Self(limit)).ok_or("a page has 1 to 500 entries")
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u32>().map_err(|_| "a page has 1 to 500 entries").and_then(Self::try_from)
    }
}

/// Where a list goes on: what the page before ended with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Cursor(String);

impl Cursor {
    /// A place behind an identifier of `N` bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> Result<[u8; N], Invalid> {
        from_base64url_array(&self.0).map_err(|_| Self::invalid())
    }

    /// A place behind a number.
    pub(crate) fn number(&self) -> Result<i64, Invalid> {
        let is_number = !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| self.0.parse().ok()).flatten().ok_or(Self::invalid())
    }

    const fn invalid() -> Invalid {
        invalid("cursor", "is the `next` of the page before, unchanged")
    }
}

impl FromStr for Cursor {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// The tier of an instance's last evidence, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TierName {
    /// Nothing to object to.
    Affirming,
    /// Accepted with an objection.
    Warning,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Affirming => Self::Affirming,
            TierName::Warning => Self::Warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    #[test]
    fn a_time_is_written_in_three_ways_and_no_other() {
        for text in ["1780272000", "2026-06-01", "2026-06-01T00:00:00Z", "2026-06-01T02:00:00+02:00"] {
            assert_eq!(Time::from_str(text), Ok(Time(Timestamp::from_unix_seconds(1_780_272_000))), "{text}");
        }
        for wrong in [
            "",
            "-1",
            "soon",
            "2026-6-1",
            "2026-13-01",
            "99999999999999",
            "18446744073709551616",
            " 1",
            "1e9",
        ] {
            assert!(Time::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_development_key_ends_within_a_year() {
        let ends = |text: &str| Expiry::from_str(text).unwrap().of_development_key(NOW);
        assert_eq!(ends("90d"), Ok(NOW.plus(90 * 86_400)));
        assert_eq!(ends(&NOW.plus(1).as_unix_seconds().to_string()), Ok(NOW.plus(1)));
        for wrong in ["367d", "2020-01-01", "2300-01-01", &NOW.as_unix_seconds().to_string()] {
            assert!(ends(wrong).is_err(), "{wrong}");
        }
        assert!(Expiry::from_str("never").is_err());
    }

    #[test]
    fn names_issuers_and_reasons_have_bounds() {
        assert!(name("name", "ops.on-call_2").is_ok());
        for wrong in ["", "-x", ".x", "a b", "command line", "x'; --", "ä", &"x".repeat(65)] {
            assert!(name("name", wrong).is_err(), "{wrong}");
        }
        assert!(subject("auth0|user").is_ok() && subject("").is_err() && subject("a\nb").is_err());
        assert!(issuer(&"x".repeat(512)).is_ok() && issuer(&"x".repeat(513)).is_err());
        assert!(ban_reason("").is_ok() && ban_reason("two\nlines").is_err());
        assert!(ban_reason(&"x".repeat(501)).is_err());
    }

    #[test]
    fn a_page_is_neither_empty_nor_huge() {
        for wrong in ["0", "501", "-1", "4294967296", "", "ten"] {
            assert!(Limit::from_str(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Limit::from_str("500"), Ok(Limit(500)));
    }

    #[test]
    fn a_cursor_is_what_the_page_before_gave() {
        let cursor = |text: &str| Cursor(text.to_owned());
        assert_eq!(cursor("12").number(), Ok(12));
        for wrong in ["", "-1", "+1", "1 OR 1=1", "99999999999999999999", "0x10"] {
            assert!(cursor(wrong).number().is_err(), "{wrong}");
        }
        for wrong in ["", "' OR 1=1 --", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert!(cursor(wrong).bytes::<16>().is_err(), "{wrong}");
        }
    }
}
