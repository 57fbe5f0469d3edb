//! Who is told of every decision: a port for records, metrics and alarms. The check itself keeps none.

use std::net::IpAddr;

use countersign_core::time::Timestamp;
use countersign_core::token::result::ResultClaims;

use super::anomaly::Anomaly;
use super::class::Class;
use super::decision::Permit;
use super::edge::Edge;
use super::reason::Reason;
use super::request::Request;
use super::route::{Mode, Route};
use super::steps::Spoken;

/// Hears of every decision, on the thread of the request: it must neither block nor take long.
pub trait Witness: Send + Sync {
    /// A request was decided. One that needs a lookup is not yet.
    fn decided(&self, decided: &Decided<'_>);

    /// A signal was raised: once for its cause, until its window ends.
    fn anomaly(&self, _anomaly: &Anomaly<'_>) {}
}

impl Witness for Box<dyn Witness> {
    fn decided(&self, decided: &Decided<'_>) {
        (**self).decided(decided);
    }

    fn anomaly(&self, anomaly: &Anomaly<'_>) {
        (**self).anomaly(anomaly);
    }
}

/// How a request was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Permitted,
    /// It passed without identity, since its route only watches.
    Observed(Reason),
    /// It was refused.
    Refused(Reason),
}

impl Outcome {
    /// A stable name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permit",
            Self::Observed(_) => "observed",
            Self::Refused(_) => "refused",
        }
    }

    /// Why it did not pass as attested.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Permitted => None,
            Self::Observed(reason) | Self::Refused(reason) => Some(reason),
        }
    }
}

/// A decision with what is known of the request. No token and no header value stands in it but the user agent.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// When.
    pub time: Timestamp,
    /// The resource's name, as the settings have it.
    pub resource: &'a str,
    /// The route, if one matched.
    pub route: Option<&'a Route>,
    /// The client's address, where it is known. It is personal data.
    pub source: Option<IpAddr>,
    /// `User-Agent` as the client says it and the gateway passes it on: at most 200 visible characters.
    pub user_agent: Option<&'a str>,
    /// What the attestation service says of the instance, once its signature was verified. Others may have caught it, so
    /// it says who sent the request only if `is_proven`.
    pub result: Option<&'a ResultClaims>,
    /// Whether the instance signed this very request. Replayed, it may come from somebody else even so.
    pub is_proven: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Into which class it falls.
    pub class: Class,
}

/// What a decision is told with, beside itself: where the request went, as far as that was found out, and who sent it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) resource: &'a str,
    pub(super) route: Option<&'a Route>,
    pub(super) source: Option<IpAddr>,
    pub(super) user_agent: Option<&'a str>,
}

impl Edge {
    /// Tells `witness` of every decision from now on, in the place of the last one.
    #[must_use]
    pub fn with_witness(mut self, witness: impl Witness + 'static) -> Self {
        self.witness = Some(Box::new(witness));
        self
    }

    /// A request has passed everything: the last word is the anomaly rules'.
    ///
    /// # Errors
    /// The rule that refuses it, and for how many seconds.
    pub(super) fn passed(
        &self,
        seen: Seen<'_>,
        permit: &Permit,
        now: Timestamp,
    ) -> Result<(), (Reason, u64)> {
        self.note_permit(seen.resource, permit, seen.source, now)
            .map_err(|(signal, seconds)| (Reason::Anomaly(signal), seconds))?;
        self.tell(Decided {
            time: now,
            resource: seen.resource,
            route: seen.route,
            source: seen.source,
            user_agent: seen.user_agent,
            result: Some(permit.attestation()),
            is_proven: true,
            outcome: Outcome::Permitted,
            class: Class::Verified,
        });
        Ok(())
    }

    /// A request is refused or observed.
    pub(super) fn failed(&self, seen: Seen<'_>, spoken: &Spoken, reason: Reason, mode: Mode, now: Timestamp) {
        let outcome = match mode {
            Mode::Observe | Mode::Warn => Outcome::Observed(reason),
            Mode::Require => Outcome::Refused(reason),
        };
        let class = reason.class(spoken.has_credential);
        if let Some(result) = &spoken.result
            && spoken.is_proven
            && class != Class::Undecided
        {
            self.note_refusal(seen.resource, &result.claims, seen.source, now);
        }
        self.tell(Decided {
            time: now,
            resource: seen.resource,
            route: seen.route,
            source: seen.source,
            user_agent: seen.user_agent,
            result: spoken.result.as_ref().map(|result| &result.claims),
            is_proven: spoken.is_proven,
            outcome,
            class,
        });
    }

    /// What a request calls itself, kept for later where anybody is told of it.
    pub(super) fn heard_user_agent(&self, request: &Request<'_>) -> Option<Box<str>> {
        self.witness.as_ref().and(request.fields.user_agent.as_str()).map(Into::into)
    }

    fn tell(&self, decided: Decided<'_>) {
        if let Some(witness) = &self.witness {
            witness.decided(&decided);
        }
    }
}
