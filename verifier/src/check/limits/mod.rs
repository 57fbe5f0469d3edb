//! Rate limits (step 15): how often an instance, a user, an address, an app, or everybody may call a route.
//!
//! They come after the replay insert, so that a request which is sent again never draws on the quota of whom it was
//! copied from; and so nobody who is not attested names a quota at all.

mod gcra;
mod key;
mod rate;
mod table;

use std::net::IpAddr;

use countersign_core::time::Timestamp;
use countersign_core::token::result::ResultClaims;

pub use gcra::{Gcra, Wait, micros};
pub(super) use key::prefix_of;
pub use key::{Charge, LimitKey};
pub use rate::{
    AddressPrefix, InvalidRate, MAX_MEMORY, MAX_PER_SECOND, Per, Rate, RateLimit, RateLimitError,
};
pub(crate) use table::LimitTable;

use super::budget;
use super::decision::Credential;
use super::edge::Edge;
use super::reason::Reason;
use super::route::Route;
use super::steps::Stop;

/// A request that has passed everything else, and now draws on the limits of its route.
#[derive(Clone, Copy)]
pub(super) struct Draw<'a> {
    pub(super) route: &'a Route,
    pub(super) result: &'a ResultClaims,
    pub(super) credential: Option<&'a Credential>,
    pub(super) source: Option<IpAddr>,
    pub(super) now: Timestamp,
}

/// A limit is used up.
pub(super) struct Limited {
    pub(super) per: Per,
    pub(super) wait: Wait,
}

impl From<Limited> for Stop {
    fn from(Limited { per, wait }: Limited) -> Self {
        Self::Wait(Reason::RateLimit(per), wait.as_seconds())
    }
}

impl Edge {
    /// Step 15: draws on each quota of the route, or on none.
    pub(super) fn draw(&self, draw: Draw<'_>) -> Result<(), Limited> {
        if draw.route.limits.is_empty() {
            return Ok(());
        }
        let drawn = self.quotas.draw(self.charges(draw), micros(draw.now));
        drawn.map_err(|(per, wait)| Limited { per, wait })
    }

    /// The quotas that a request draws on, in the order of the route's limits.
    pub(super) fn charges<'a>(&'a self, draw: Draw<'a>) -> impl Iterator<Item = Charge> + Clone + 'a {
        draw.route.limits.iter().map(move |limit| Charge {
            per: limit.per(),
            key: draw.quota(limit),
            gcra: limit.gcra().tightened(self.steps_tightened(limit, draw)),
        })
    }

    /// How often the limit was tightened for this caller.
    fn steps_tightened(&self, limit: &RateLimit, draw: Draw<'_>) -> u32 {
        match (limit.per(), draw.source) {
            _ if !limit.is_adaptive() => 0,
            (Per::Instance, _) => {
                let instance = budget::key_of_instance(&draw.result.instance);
                self.instance_failures.steps_tightened(instance, draw.now)
            }
            (Per::Address, Some(source)) => {
                self.source_failures.steps_tightened(budget::key_of_source(source), draw.now)
            }
            _ => 0,
        }
    }
}

impl Draw<'_> {
    fn quota(&self, limit: &RateLimit) -> LimitKey {
        let result = self.result;
        let instance = result.instance.as_bytes().as_slice();
        // None without a token, or with one that no user stands behind.
        let user = self.credential.and_then(Credential::access_token);
        let user = user.and_then(|token| Some([token.issuer.as_bytes(), token.subject.as_ref()?.as_bytes()]));
        match (limit.per(), user, self.source) {
            (Per::Instance, ..) => LimitKey::new(limit, [b"", instance]),
            (Per::Subject, Some(user), _) => LimitKey::new(limit, user),
            (Per::Subject, None, _) => LimitKey::new(limit, [b"", instance]),
            (Per::Address, _, Some(source)) => {
                LimitKey::new(limit, [b"", &prefix_of(source, limit.prefix())])
            }
            (Per::Client, ..) => {
                LimitKey::new(limit, [result.issuer.as_bytes(), result.client_id.as_bytes()])
            }
            (Per::Address, ..) | (Per::Route, ..) => LimitKey::new(limit, [b"", b""]),
        }
    }
}
