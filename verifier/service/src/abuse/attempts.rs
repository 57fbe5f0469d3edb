//! Requests that were refused or observed, the newest of them, in memory alone: whoever has to know who tries what.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::check::{Class, Decided};

use crate::settings::AttemptSettings;

/// Of so many records, one may be of the same network.
const SHARE: usize = 20;

/// One request that did not pass as attested. No token stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) time: Timestamp,
    /// The address, or its network where the settings say that no more is kept.
    pub(crate) source: Option<Box<str>>,
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) resource: Box<str>,
    pub(crate) route: Option<Box<str>>,
    /// App, instance and version of the result that came, if the service signed it.
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) app_version: Option<Box<str>>,
    /// Whether that instance signed this request; else somebody else may have caught its result.
    pub(crate) is_proven: bool,
    pub(crate) reason: &'static str,
    pub(crate) class: Class,
    pub(crate) verdict: &'static str,
}

/// Which attempts are asked for; everything that is named must be met.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptFilter {
    pub(crate) since: Option<Timestamp>,
    pub(crate) before: Option<Timestamp>,
    pub(crate) source: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) app_version: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) verdict: Option<String>,
}

/// The network of an address: IPv4 by its /24, IPv6 by its /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

/// The newest attempts. Memory is bounded: when it is full the oldest is forgotten, and a network that has had its share
/// forgets its own, so that one flood does not push out everybody else.
#[derive(Debug)]
pub(crate) struct Attempts {
    entries: usize,
    kept: u64,
    truncates: bool,
    kept_attempts: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    by_number: BTreeMap<u64, (Option<Network>, Attempt)>,
    by_network: HashMap<Network, VecDeque<u64>>,
}

impl Network {
    pub(crate) fn of(source: IpAddr) -> Self {
        Self(match source.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & 0xffff_ff00).into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 80 << 80).into(),
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 48 })
    }
}

impl Attempt {
    /// The record of a decision; `None` of one that is none.
    pub(super) fn of(decided: &Decided<'_>, truncates: bool) -> Option<Self> {
        let reason = decided.outcome.reason()?;
        let source = decided.source.map(|source| match truncates {
            true => Network::of(source).to_string().into(),
            false => source.to_canonical().to_string().into(),
        });
        Some(Self {
            time: decided.time,
            source,
            user_agent: decided.user_agent.map(Into::into),
            resource: decided.resource.into(),
            route: decided.route.map(|route| route.path.as_str().into()),
            client_id: decided.result.map(|result| result.client_id.as_str().into()),
            instance: decided.result.map(|result| result.instance),
            app_version: decided.result.and_then(|result| result.app_version.as_deref()).map(Into::into),
            is_proven: decided.is_proven,
            reason: reason.reason(),
            class: decided.class,
            verdict: decided.outcome.name(),
        })
    }
}

impl AttemptFilter {
    fn takes(&self, attempt: &Attempt) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        let instance = attempt.instance.filter(|_| self.instance.is_some()).map(|id| id.to_base64url());
        self.since.is_none_or(|since| attempt.time >= since)
            && self.before.is_none_or(|before| attempt.time < before)
            && is(&self.source, attempt.source.as_deref())
            && is(&self.resource, Some(&attempt.resource))
            && is(&self.route, attempt.route.as_deref())
            && is(&self.client_id, attempt.client_id.as_deref())
            && is(&self.instance, instance.as_deref())
            && is(&self.app_version, attempt.app_version.as_deref())
            && is(&self.reason, Some(attempt.reason))
            && is(&self.class, Some(attempt.class.name()))
            && is(&self.verdict, Some(attempt.verdict))
    }
}

impl Attempts {
    pub(crate) fn new(settings: &AttemptSettings) -> Self {
        Self {
            entries: settings.entries,
            kept: settings.kept.as_seconds(),
            truncates: settings.truncate_addresses,
            kept_attempts: Mutex::default(),
        }
    }

    /// Whether no more of an address is told than its network.
    pub(super) const fn truncates(&self) -> bool {
        self.truncates
    }

    /// Records a decision, if it was a refusal or would have been one.
    pub(super) fn record(&self, decided: &Decided<'_>) {
        if let Some(attempt) = Attempt::of(decided, self.truncates) {
            self.insert(decided.source.map(Network::of), attempt);
        }
    }

    fn insert(&self, network: Option<Network>, attempt: Attempt) {
        let now = attempt.time;
        let kept = &mut *self.lock();
        kept.forget_before(now.minus(self.kept));
        if let Some(network) = network
            && kept.by_network.get(&network).is_some_and(|own| own.len() >= self.share())
            && let Some(oldest) = kept.by_network.get(&network).and_then(|own| own.front().copied())
        {
            kept.remove(oldest);
        }
        while kept.by_number.len() >= self.entries {
            let Some(oldest) = kept.by_number.keys().next().copied() else { break };
            kept.remove(oldest);
        }
        kept.last += 1;
        let number = kept.last;
        kept.by_number.insert(number, (network, attempt));
        if let Some(network) = network {
            kept.by_network.entry(network).or_default().push_back(number);
        }
    }

    /// At most `limit` attempts that `filter` takes, the newest first, each with its number; with `before`, those whose
    /// number is lower.
    pub(crate) fn list(
        &self,
        filter: &AttemptFilter,
        before: Option<u64>,
        limit: u32,
        now: Timestamp,
    ) -> Vec<(u64, Attempt)> {
        let kept = &mut *self.lock();
        kept.forget_before(now.minus(self.kept));
        let older = kept.by_number.range(..before.unwrap_or(u64::MAX)).rev();
        let taken = older.filter(|(_, (_, attempt))| filter.takes(attempt));
        taken.take(limit as usize).map(|(number, (_, attempt))| (*number, attempt.clone())).collect()
    }

    fn share(&self) -> usize {
        (self.entries / SHARE).max(1)
    }

    /// A panic elsewhere while the lock was held leaves at worst a number without its record.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept_attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Numbers grow with time, but for a clock that steps back: what it left behind is forgotten a little later.
    fn forget_before(&mut self, time: Timestamp) {
        while let Some((number, (_, attempt))) = self.by_number.first_key_value() {
            if attempt.time >= time {
                return;
            }
            let number = *number;
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some((Some(network), _)) = self.by_number.remove(&number) else { return };
        if let Some(own) = self.by_network.get_mut(&network) {
            // The oldest of its network, however it came to be removed.
            own.pop_front();
            if own.is_empty() {
                self.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::TimeSpan;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn attempts(entries: usize) -> Attempts {
        let kept = TimeSpan::from_seconds(3600);
        Attempts::new(&AttemptSettings { entries, kept, truncate_addresses: false })
    }

    fn record(attempts: &Attempts, source: [u8; 4], reason: &'static str, now: Timestamp) {
        let source = IpAddr::from(source);
        let attempt = Attempt {
            time: now,
            source: Some(source.to_string().into()),
            user_agent: None,
            resource: "api".into(),
            route: None,
            client_id: None,
            instance: None,
            app_version: None,
            is_proven: false,
            reason,
            class: Class::Invalid,
            verdict: "refused",
        };
        attempts.insert(Some(Network::of(source)), attempt);
    }

    fn all(attempts: &Attempts, now: Timestamp) -> Vec<(u64, Attempt)> {
        attempts.list(&AttemptFilter::default(), None, 500, now)
    }

    #[test]
    fn one_flood_does_not_push_out_everybody_else() {
        let attempts = attempts(100);
        record(&attempts, [192, 0, 2, 1], "replayed", NOW);
        for flood in 0..10_000_u32 {
            record(&attempts, [203, 0, 113, (flood % 250) as u8], "proof_signature", NOW);
        }
        let all = all(&attempts, NOW);
        assert_eq!(all.len(), 6, "five of the flood's network, and the other");
        assert_eq!(all.first().map(|(number, _)| *number), Some(10_001), "the newest first");
        assert_eq!(all.last().map(|(_, attempt)| attempt.reason), Some("replayed"));
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let attempts = attempts(100);
        for flood in 0..10_000_u32 {
            let [_, _, high, low] = flood.to_be_bytes();
            record(&attempts, [10, high, low, 1], "proof_signature", NOW);
            let kept = attempts.lock();
            assert!(kept.by_number.len() <= 100 && kept.by_network.len() <= 100);
        }
    }

    #[test]
    fn addresses_are_forgotten_when_their_time_is_over() {
        let attempts = attempts(100);
        record(&attempts, [192, 0, 2, 1], "replayed", NOW);
        record(&attempts, [192, 0, 2, 1], "replayed", NOW.plus(10));
        assert_eq!(all(&attempts, NOW.plus(3600)).len(), 2);
        assert_eq!(all(&attempts, NOW.plus(3601)).len(), 1);
        assert_eq!(all(&attempts, NOW.plus(7200)).len(), 0);
        assert!(attempts.lock().by_network.is_empty());
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        let attempts = attempts(100);
        for host in 0..5 {
            record(&attempts, [192, 0, host, 1], "replayed", NOW);
        }
        let filter = AttemptFilter::default();
        let numbers = |page: Vec<(u64, Attempt)>| page.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        assert_eq!(numbers(attempts.list(&filter, None, 3, NOW)), [5, 4, 3]);
        assert_eq!(numbers(attempts.list(&filter, Some(3), 3, NOW)), [2, 1]);
        let filter = AttemptFilter { source: Some("192.0.1.1".to_owned()), ..filter };
        assert_eq!(numbers(attempts.list(&filter, None, 3, NOW)), [2]);
    }

    #[test]
    fn a_network_is_24_bits_or_48_in_whatever_spelling() {
        let network = |text: &str| Network::of(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2::3"), "2001:db8:1::/48");
    }
}
