//! Rate limits (step 15): how often an instance, a user, an address, an app, or everybody may call a route.
//!
//! They come after the replay insert, so that a request which is sent again never draws on the quota of whom it was
//! copied from; and so nobody who is not attested names a quota at all.

mod gcra;
mod key;
mod rate;
mod table;

use countersign_core::token::result::ResultClaims;

pub use gcra::{Gcra, Wait, micros};
pub use key::{Charge, LimitKey};
pub use rate::{
    AddressPrefix, InvalidRate, MAX_MEMORY, MAX_PER_SECOND, Per, Rate, RateLimit, RateLimitError,
};
pub(crate) use table::LimitTable;

use super::budget;
use super::decision::Credential;
use super::reason::Reason;
use super::steps::{Context, Stop};

impl Context<'_> {
    /// Step 15: draws on each quota of the route, or on none.
    pub(super) fn rate_limits(
        &self,
        result: &ResultClaims,
        credential: Option<&Credential>,
    ) -> Result<(), Stop> {
        if self.route.limits.is_empty() {
            return Ok(());
        }
        let drawn = self.edge.quotas.draw(self.charges(result, credential), micros(self.now));
        drawn.map_err(|(per, wait)| Stop::Wait(Reason::RateLimit(per), wait.as_seconds()))
    }

    /// The quotas that this request draws on, in the order of the route's limits.
    pub(super) fn charges<'a>(
        &'a self,
        result: &'a ResultClaims,
        credential: Option<&'a Credential>,
    ) -> impl Iterator<Item = Charge> + Clone + 'a {
        self.route.limits.iter().map(move |limit| Charge {
            per: limit.per(),
            key: self.quota(limit, result, credential),
            gcra: limit.gcra().tightened(self.steps_tightened(limit, result)),
        })
    }

    fn quota(&self, limit: &RateLimit, result: &ResultClaims, credential: Option<&Credential>) -> LimitKey {
        let instance = result.instance.as_bytes().as_slice();
        let app = [result.issuer.as_bytes(), result.client_id.as_bytes()];
        // None without a token, or with one that no user stands behind.
        let user = credential.and_then(Credential::access_token);
        let user = user.and_then(|token| Some([token.issuer.as_bytes(), token.subject.as_ref()?.as_bytes()]));
        match (limit.per(), user, self.request.source) {
            (Per::Instance, ..) => LimitKey::new(limit, [b"", instance]),
            (Per::Subject, Some(user), _) => LimitKey::new(limit, user),
            (Per::Subject, None, _) => LimitKey::new(limit, [b"", instance]),
            (Per::Address, _, Some(source)) => {
                LimitKey::new(limit, [b"", &key::prefix_of(source, limit.prefix())])
            }
            (Per::Client, ..) => LimitKey::new(limit, app),
            (Per::Address, ..) | (Per::Route, ..) => LimitKey::new(limit, [b"", b""]),
        }
    }

    /// How often the limit was tightened for this caller.
    fn steps_tightened(&self, limit: &RateLimit, result: &ResultClaims) -> u32 {
        match (limit.per(), self.request.source) {
            _ if !limit.is_adaptive() => 0,
            (Per::Instance, _) => {
                let instance = budget::key_of_instance(&result.instance);
                self.edge.instance_failures.steps_tightened(instance, self.now)
            }
            (Per::Address, Some(source)) => {
                self.edge.source_failures.steps_tightened(budget::key_of_source(source), self.now)
            }
            _ => 0,
        }
    }
}
