//! How often a route may be called.

use countersign_verifier::check::limits::{
    AddressPrefix, MAX_PER_SECOND, Per, Rate, RateLimit, RateLimitError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{Problems, formats};
use crate::settings::values::InvalidText;

/// Most limits of one route.
const MAX_LIMITS: usize = 8;

/// Whose requests one quota counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitPer {
    /// One installation of an app.
    Instance,
    /// One user, on whatever devices.
    Subject,
    /// One source address (IPv6: its /64). The gateway must tell it: all requests without one share a quota.
    Address,
    /// One attested app, all its installations together.
    Client,
    /// The route, all its callers together.
    Route,
}

/// A number of requests in a unit of time: `10/s`, `60/min`, `1000/h` or `5000/day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::RATE))]
pub struct RateText(Rate);

impl TryFrom<String> for RateText {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        text.parse().map(Self).map_err(|_| InvalidText)
    }
}

impl From<RateText> for String {
    fn from(RateText(rate): RateText) -> Self {
        rate.to_string()
    }
}

/// How often a route may be called by one caller of a kind.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitSettings {
    /// Whose requests are counted together.
    pub per: LimitPer,
    /// How many requests pass in the long run, such as `60/min`.
    pub rate: RateText,
    /// How many may come at once after a rest. Default: the number in `rate`, so that who keeps to it in each minute
    /// (or second, hour, day) never waits.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Halves rate and burst for an instance or address that keeps being refused for forged requests, and again, down
    /// to an eighth; twenty quiet minutes take one step back. Default: off, since an address may be shared.
    #[serde(default)]
    pub adaptive: bool,
    /// With `per = "address"`: how many bits of an IPv4 address count, 8 to 32. Default: all 32.
    #[serde(default)]
    pub ipv4_prefix: Option<u8>,
    /// With `per = "address"`: how many bits of an IPv6 address count, 16 to 64. Default: 64, which one host has.
    #[serde(default)]
    pub ipv6_prefix: Option<u8>,
}

impl RateLimitSettings {
    /// The limit in the check's own words.
    ///
    /// # Errors
    /// The field that is wrong, and what to do about it.
    pub fn limit(&self) -> Result<RateLimit, (&'static str, String)> {
        let RateText(rate) = self.rate;
        let per = match self.per {
            LimitPer::Instance => Per::Instance,
            LimitPer::Subject => Per::Subject,
            LimitPer::Address => Per::Address,
            LimitPer::Client => Per::Client,
            LimitPer::Route => Per::Route,
        };
        let explained = |error| {
            match error {
            RateLimitError::TooFast => {
                ("rate", format!("{rate} is more than can be counted; write at most {MAX_PER_SECOND}/s"))
            }
            RateLimitError::BurstBelowRate => (
                "burst",
                format!(
                    "a burst below one second's requests would hold the rate down to it; write at least {}",
                    rate.per_second()
                ),
            ),
            RateLimitError::BurstTooLarge => (
                "burst",
                "used up, this burst would take more than 30 days to come back; write a smaller one".to_owned(),
            ),
            RateLimitError::Prefix => (
                "per",
                "8 to 32 bits of an IPv4 address and 16 to 64 of an IPv6 address can count: a host has a /64 to \
                 choose from"
                    .to_owned(),
            ),
            _ => (
                "adaptive",
                "only limits per instance or address can be adaptive: of an app, a user or a route, one caller could \
                 lock out the others; remove this line"
                    .to_owned(),
            ),
        }
        };
        let limit = RateLimit::new(per, rate, self.burst.unwrap_or(rate.requests())).map_err(explained)?;
        let limit = match (self.ipv4_prefix, self.ipv6_prefix) {
            (None, None) => limit,
            _ if per != Per::Address => {
                return Err(("per", "prefixes are of addresses; write `per = \"address\"`".to_owned()));
            }
            (ipv4, ipv6) => {
                let whole = AddressPrefix::default();
                let prefix =
                    AddressPrefix { ipv4: ipv4.unwrap_or(whole.ipv4), ipv6: ipv6.unwrap_or(whole.ipv6) };
                limit.with_prefix(prefix).map_err(explained)?
            }
        };
        if self.adaptive { limit.adaptive().map_err(explained) } else { Ok(limit) }
    }
}

/// Checks the limits of the route at `at`; `has_users` if each of its callers is a user.
pub(super) fn check(limits: &[RateLimitSettings], has_users: bool, at: &str, problems: &mut Problems) {
    if limits.len() > MAX_LIMITS {
        problems.at(&format!("{at}/limits"), format!("a route has {MAX_LIMITS} limits at most"));
    }
    for (index, limit) in limits.iter().enumerate() {
        let at = format!("{at}/limits/{index}");
        if let Err((field, message)) = limit.limit() {
            problems.at(&format!("{at}/{field}"), message);
        }
        if limit.per == LimitPer::Subject && !has_users {
            problems.at(
                &format!("{at}/per"),
                "requests to this route may come without a user; write `credentials = [\"jwt\"]`, or `per = \
                 \"instance\"`",
            );
        }
        let is_same = |other: &RateLimitSettings| other.per == limit.per && other.rate == limit.rate;
        if limits.iter().take(index).any(is_same) {
            problems.at(&at, "an earlier limit of this route says the same; remove one");
        }
    }
}
