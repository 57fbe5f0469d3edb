//! Who follows a check step by step. Nobody does at an edge that serves; then nothing of this is in the program.

use super::reason::Reason;
use super::steps::Stop;

/// A step of the decision, in the numbers of docs/protocol.md section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// 1: caps, method, path, and which route it is.
    Request = 1,
    /// 2: one flavour, one credential, nothing twice.
    Parse,
    /// 3: failure budget of the source address.
    FailureBudget,
    /// 4: what the route asks for has come.
    Presence,
    /// 5: signature and life of the result.
    Result,
    /// 6: deny list.
    DenyList,
    /// 7: the proof is of this result, and of this time.
    Time,
    /// 8: the nonce; judged before the time, which it replaces.
    Nonce,
    /// 9: signature of the proof.
    ProofSignature,
    /// 10: the proof is for this request.
    RequestBinding,
    /// 11: the app is one of the resource's.
    App,
    /// 12: the credential, and whose it is.
    Credential,
    /// 13: what the route demands of device, token and user.
    RoutePolicy,
    /// 14: replay.
    Replay,
    /// 15: rate limits of the route.
    RateLimits,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 15] = [
        Self::Request,
        Self::Parse,
        Self::FailureBudget,
        Self::Presence,
        Self::Result,
        Self::DenyList,
        Self::Time,
        Self::Nonce,
        Self::ProofSignature,
        Self::RequestBinding,
        Self::App,
        Self::Credential,
        Self::RoutePolicy,
        Self::Replay,
        Self::RateLimits,
    ];

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, in a few words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "method, path, route",
            Self::Parse => "header fields",
            Self::FailureBudget => "failure budget",
            Self::Presence => "presence",
            Self::Result => "attestation result",
            Self::DenyList => "deny list",
            Self::Time => "proof and its time",
            Self::Nonce => "nonce",
            Self::ProofSignature => "proof signature",
            Self::RequestBinding => "request binding",
            Self::App => "app",
            Self::Credential => "credential",
            Self::RoutePolicy => "route policy",
            Self::Replay => "replay",
            Self::RateLimits => "rate limits",
        }
    }
}

/// Follows a check. It cannot make a request pass that a step refuses: to go on after a refusal, it has to end the check
/// before [`Step::Replay`], where a request begins to leave traces.
pub(super) trait Trace {
    /// A step begins.
    fn enter(&mut self, step: Step) -> Result<(), Stop>;
    /// The step refuses for `reason`. An error ends the check; `Ok` goes on for what else there is to find.
    fn refuse(&mut self, reason: Reason) -> Result<(), Reason>;
}

/// Nobody follows.
pub(super) struct Untraced;

impl Trace for Untraced {
    #[inline(always)]
    fn enter(&mut self, _: Step) -> Result<(), Stop> {
        Ok(())
    }

    #[inline(always)]
    fn refuse(&mut self, reason: Reason) -> Result<(), Reason> {
        Err(reason)
    }
}
