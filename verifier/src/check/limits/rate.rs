//! What a limit says: whose requests it counts, how many pass, and how many at once.

use std::str::FromStr;

use super::gcra::{Gcra, SECOND};
use crate::check::route::Route;
use crate::crypto::sha256_of;

/// Most requests per second that a limit can tell apart: each takes at least 100 microseconds.
pub const MAX_PER_SECOND: u64 = 10_000;
/// Longest time in which a used-up limit fills again, in seconds: thirty days.
pub const MAX_MEMORY: u64 = 30 * 86_400;

/// Whose requests one quota counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Per {
    /// One installation of an app.
    Instance,
    /// One user: `sub` of the access token, by its issuer. Where no user is known, each instance is one.
    Subject,
    /// One source address, or all that share its prefix. Where none is known, all such requests are one.
    Address,
    /// One attested app, all its installations together.
    Client,
    /// The route, all its callers together.
    Route,
}

/// How much of a source address counts, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPrefix {
    /// Of an IPv4 address, 8 to 32.
    pub ipv4: u8,
    /// Of an IPv6 address, 16 to 64: a host has a whole /64 to choose from, so nothing longer would hold it.
    pub ipv6: u8,
}

impl Default for AddressPrefix {
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

/// So many requests in a unit of time; written as `10/s`, `60/min`, `1000/h` or `5000/day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: u32,
    seconds: u64,
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRate;

impl Rate {
    /// Requests in a unit; the burst of a limit that names none.
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// Requests in a second, rounded up.
    pub const fn per_second(self) -> u64 {
        (self.requests as u64).div_ceil(self.seconds)
    }

    /// Rounded up, so that never more pass than are written.
    const fn emission_interval(self) -> u64 {
        (self.seconds * SECOND).div_ceil(self.requests as u64)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (requests, unit) = text.split_once('/').ok_or(InvalidRate)?;
        let seconds = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            "day" => 86_400,
            _ => return Err(InvalidRate),
        };
        // `parse` takes a sign.
        if !requests.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRate);
        }
        match requests.parse() {
            Ok(requests) if requests != 0 => Ok(Self { requests, seconds }),
            _ => Err(InvalidRate),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.seconds {
            1 => "s",
            60 => "min",
            3600 => "h",
            _ => "day",
        };
        write!(f, "{}/{unit}", self.requests)
    }
}

/// A limit of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    per: Per,
    gcra: Gcra,
    prefix: AddressPrefix,
    is_adaptive: bool,
    /// Tells the quotas of this limit from those of all others: the same at every edge with the same settings.
    scope: [u8; 32],
}

/// Why a limit cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitError {
    /// More than [`MAX_PER_SECOND`].
    TooFast,
    /// Time is read in whole seconds, so a burst of less than one second's requests would lower the rate to it.
    BurstBelowRate,
    /// Used up, it would take longer than [`MAX_MEMORY`] to fill again.
    BurstTooLarge,
    /// A prefix of an address is out of range.
    Prefix,
    /// Only instances and addresses are tightened: of an app, a user or a route, one caller could lock out the others.
    NotAdaptive,
}

impl RateLimit {
    /// `rate` for each of `per`, and `burst` at once.
    ///
    /// # Errors
    /// [`RateLimitError`] if it could not be kept as it is written.
    pub fn new(per: Per, rate: Rate, burst: u32) -> Result<Self, RateLimitError> {
        if rate.per_second() > MAX_PER_SECOND {
            return Err(RateLimitError::TooFast);
        }
        if u64::from(burst) < rate.per_second() {
            return Err(RateLimitError::BurstBelowRate);
        }
        let gcra = Gcra::new(rate.emission_interval(), burst);
        if gcra.memory() > MAX_MEMORY * SECOND {
            return Err(RateLimitError::BurstTooLarge);
        }
        Ok(Self { per, gcra, prefix: AddressPrefix::default(), is_adaptive: false, scope: [0; 32] })
    }

    /// The same limit with addresses counted by `prefix`.
    ///
    /// # Errors
    /// [`RateLimitError::Prefix`] if it is out of range.
    pub fn with_prefix(self, prefix: AddressPrefix) -> Result<Self, RateLimitError> {
        if !(8..=32).contains(&prefix.ipv4) || !(16..=64).contains(&prefix.ipv6) {
            return Err(RateLimitError::Prefix);
        }
        Ok(Self { prefix, ..self })
    }

    /// The same limit, halved for whom spends his budget of refusals (twenty in ten seconds, by default), and halved
    /// again, down to an eighth. Twenty quiet minutes take one step back.
    ///
    /// # Errors
    /// [`RateLimitError::NotAdaptive`] if it counts neither instances nor addresses.
    pub fn adaptive(self) -> Result<Self, RateLimitError> {
        match self.per {
            Per::Instance | Per::Address => Ok(Self { is_adaptive: true, ..self }),
            Per::Subject | Per::Client | Per::Route => Err(RateLimitError::NotAdaptive),
        }
    }

    /// Whose requests it counts together.
    pub const fn per(&self) -> Per {
        self.per
    }

    /// Rate and burst, before anything is tightened.
    pub const fn gcra(&self) -> Gcra {
        self.gcra
    }

    /// How much of an address counts.
    pub const fn prefix(&self) -> AddressPrefix {
        self.prefix
    }

    /// Whether repeated refusals tighten it.
    pub const fn is_adaptive(&self) -> bool {
        self.is_adaptive
    }

    pub(super) const fn scope(&self) -> &[u8; 32] {
        &self.scope
    }

    /// Binds it to the route of `resource` (its identifier) whose limit it is.
    pub(in crate::check) fn bind(&mut self, resource: &str, route: &Route) {
        let methods = route.methods.join(",");
        let interval = self.gcra.emission_interval().to_be_bytes();
        let tolerance = self.gcra.burst_tolerance().to_be_bytes();
        let [resource, path, methods] = [resource, route.path.as_str(), &methods].map(str::as_bytes);
        let kind = [self.per as u8, self.prefix.ipv4, self.prefix.ipv6];
        self.scope = sha256_of(&[resource, &[0], path, &[0], methods, &[0], &kind, &interval, &tolerance]);
    }
}

impl Per {
    /// A stable name for logs, metrics and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Subject => "subject",
            Self::Address => "address",
            Self::Client => "client",
            Self::Route => "route",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn refused(text: &str, burst: u32) -> Option<RateLimitError> {
        RateLimit::new(Per::Instance, rate(text), burst).err()
    }

    #[test]
    fn a_rate_is_written_as_it_is_read() {
        for (text, interval) in [
            ("10/s", SECOND / 10),
            ("60/min", SECOND),
            ("1000/h", 3_600_000),
            ("86400/day", SECOND),
            ("7/s", 142_858),
        ] {
            assert_eq!((rate(text).to_string(), rate(text).emission_interval()), (text.to_owned(), interval));
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "60",
            "/min",
            "0/s",
            "60/m",
            "60/ min",
            "+60/min",
            "-1/s",
            "1.5/s",
            "60/min/s",
            "4294967296/s",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
    }

    #[test]
    fn a_limit_that_would_not_hold_as_it_is_written_is_refused() {
        assert_eq!(refused("10000/s", 10_000), None);
        assert_eq!(refused("10001/s", 10_001), Some(RateLimitError::TooFast));
        assert_eq!(refused("100/s", 99), Some(RateLimitError::BurstBelowRate));
        assert_eq!(refused("61/min", 1), Some(RateLimitError::BurstBelowRate));
        assert_eq!(refused("60/min", 0), Some(RateLimitError::BurstBelowRate));
        assert_eq!((refused("1/day", 30), refused("1/day", 31)), (None, Some(RateLimitError::BurstTooLarge)));
    }

    #[test]
    fn nothing_is_tightened_that_many_share() {
        for per in [Per::Subject, Per::Client, Per::Route] {
            let limit = RateLimit::new(per, rate("1/s"), 1).unwrap();
            assert_eq!(limit.adaptive(), Err(RateLimitError::NotAdaptive), "{per:?}");
        }
    }

    #[test]
    fn a_prefix_that_a_host_could_walk_out_of_is_refused() {
        let limit = || RateLimit::new(Per::Address, rate("1/s"), 1).unwrap();
        for (ipv4, ipv6) in [(33, 64), (7, 64), (32, 65), (32, 15), (32, 128)] {
            assert_eq!(limit().with_prefix(AddressPrefix { ipv4, ipv6 }), Err(RateLimitError::Prefix));
        }
        assert!(limit().with_prefix(AddressPrefix { ipv4: 24, ipv6: 48 }).is_ok());
    }

    #[test]
    fn each_route_and_limit_has_quotas_of_its_own() {
        let scope = |resource: &str, path: &str, per, text: &str| {
            let mut limit = RateLimit::new(per, rate(text), 60).unwrap();
            limit.bind(resource, &Route::new(path));
            limit.scope
        };
        let one = scope("https://a", "/v1", Per::Instance, "60/min");
        assert_eq!(one, scope("https://a", "/v1", Per::Instance, "60/min"));
        for other in [
            scope("https://b", "/v1", Per::Instance, "60/min"),
            scope("https://a", "/v2", Per::Instance, "60/min"),
            scope("https://a", "/v1", Per::Subject, "60/min"),
            scope("https://a", "/v1", Per::Instance, "60/h"),
        ] {
            assert_ne!(one, other);
        }
    }
}
