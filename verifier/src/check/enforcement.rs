//! What a refusal does to the request: by its route's mode, and for a percentage of instances alone.

use std::net::IpAddr;

use countersign_core::token::result::InstanceId;

use super::budget::key_of_source;
use super::decision::Decision;
use super::refusal::Refusal;
use super::route::{Mode, Resource, Route};
use crate::crypto::sha256_of;
use crate::policy::is_within;

/// Whom a request is from, as far as it got: what a percentage is drawn by.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    /// The instance of its result, where that is authentic. Whether the proof beside it is, is not asked.
    pub(super) instance: Option<InstanceId>,
    pub(super) source: Option<IpAddr>,
}

impl Caller {
    /// Whether one of `percentage` in a hundred is this one: always the same ones for the same route, and who is among
    /// them at one percentage is among them at every higher one. Who shows no instance is drawn by the address, and
    /// who has none either is outside: a percentage is for finding out what would break, and refusing everybody behind a
    /// gateway that tells no addresses is what it is there to prevent.
    fn is_drawn(self, resource: &Resource, route: &Route) -> bool {
        if route.percentage >= 100 {
            return true;
        }
        let source = self.source.map(|source| key_of_source(source).to_be_bytes());
        let (kind, member): (&[u8], &[u8]) = match (&self.instance, &source) {
            (Some(instance), _) => (b"instance", instance.as_bytes()),
            (None, Some(source)) => (b"address", source),
            (None, None) => return false,
        };
        let [resource, path] = [resource.identifier.as_bytes(), route.path.as_bytes()];
        is_within(&sha256_of(&[resource, &[0], path, &[0], kind, &[0], member]), route.percentage)
    }
}

/// What `route` does with a request that it refuses.
pub(super) fn mode(resource: &Resource, route: Option<&Route>, caller: Caller) -> Mode {
    match route {
        Some(route) if route.mode == Mode::Require && !caller.is_drawn(resource, route) => Mode::Observe,
        Some(route) => route.mode,
        None => Mode::Require,
    }
}

/// The decision about a request that is refused for `refusal`.
pub(super) const fn decision(mode: Mode, refusal: Refusal) -> Decision {
    match mode {
        Mode::Observe => Decision::Observed { refusal, told: false },
        Mode::Warn => Decision::Observed { refusal, told: true },
        Mode::Require => Decision::Refusal(refusal),
    }
}
