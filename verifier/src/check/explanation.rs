//! A decision with its reasons, step by step, for whoever asks why a request is refused. It is the check itself that
//! is followed, so that what is told is what an edge does.

use countersign_core::request::split_query;
use countersign_core::time::Timestamp;

use super::decision::{Decision, Lookup};
use super::edge::Edge;
use super::reason::Reason;
use super::request::Request;
use super::route::Route;
use super::steps::{Context, Spoken, Stop, caps};
use super::trace::{Step, Trace};

/// What an edge decides, and what each step found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The decision, as [`Edge::check`] makes it.
    pub decision: Decision,
    /// The step that it was made at: the first that refused, or that lacked something; `None` if all passed, also where
    /// a shared store has the last word.
    pub decided_at: Option<Step>,
    /// Each step with what came of it, in the order of their numbers. Those behind the refusing one tell what else
    /// would have been found, as far as that can be said.
    pub steps: Vec<(Step, Outcome)>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was found.
    Passed,
    /// It refuses, for the first of these; the others were found with it.
    Refused(Vec<Reason>),
    /// It lacks something that a network gives, or the body.
    Needs(Lookup),
    /// It was not come to.
    NotReached,
}

impl Edge {
    /// Decides about `request` as [`Self::check`] does, and tells why. A request that passes is remembered as any
    /// other, and passes once: ask an edge of your own, not one that serves.
    pub fn explain(&self, resource: &str, request: &Request<'_>, now: Timestamp) -> Explanation {
        let mut followed = Followed::new(false);
        let decision = self.traced_check(resource, request, now, &mut followed);
        match &decision {
            // What a shared store answers is not the steps' own.
            Decision::Permit(_) | Decision::Pending(_) => {}
            Decision::Needs(lookup) => followed.ended(Stop::Needs(lookup.clone())),
            Decision::Refusal(refusal) | Decision::Observed { refusal, .. } => {
                followed.ended(Stop::Refuse(refusal.reason));
            }
        }
        let decided_at = followed.found.first().map(|(step, _)| *step);
        let is_refused = matches!(decision, Decision::Refusal(_) | Decision::Observed { .. });
        // From replay on there is nothing independent left to find.
        let followed = match decided_at {
            Some(step) if is_refused && step < Step::Replay => {
                self.follow(resource, request, now).filter(|thorough| thorough.agrees(&followed))
            }
            _ => None,
        }
        .unwrap_or(followed);
        Explanation { decision, decided_at, steps: followed.outcomes() }
    }

    /// The route that a request at the resource called `resource` is for, if there is one.
    pub fn route_of(&self, resource: &str, request: &Request<'_>) -> Option<&Route> {
        let protected = self.resources.get(resource)?;
        let (path, _) = split_query(request.path_and_query);
        caps(request, path).ok()?;
        protected.route(request.method, path).ok()
    }

    /// Follows the check of a request that is refused, beyond its first fault.
    fn follow(&self, resource: &str, request: &Request<'_>, now: Timestamp) -> Option<Followed> {
        let protected = self.resources.get(resource)?;
        let route = self.route_of(resource, request)?;
        let (path, query) = split_query(request.path_and_query);
        let resource = &protected.resource;
        let context = Context { edge: self, protected, resource, route, request, path, query, now };
        let mut followed = Followed::new(true);
        if let Err(stop) = context.decide(&mut Spoken::default(), &mut followed) {
            followed.ended(stop);
        }
        Some(followed)
    }
}

/// How far a check came, and what it found.
struct Followed {
    /// Goes on after a refusal, up to replay.
    is_thorough: bool,
    at: Step,
    entered: Vec<Step>,
    found: Vec<(Step, Finding)>,
    has_ended: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Finding {
    Reason(Reason),
    Lookup(Lookup),
}

impl Followed {
    fn new(is_thorough: bool) -> Self {
        let at = Step::Request;
        Self { is_thorough, at, entered: vec![at], found: Vec::new(), has_ended: false }
    }

    /// Takes down how the check ended, unless it ended itself because of what it had found.
    fn ended(&mut self, stop: Stop) {
        if self.has_ended {
            return;
        }
        let (step, finding) = match stop {
            Stop::Ask(_) => return,
            // Asked for last; it is the binding that needs it.
            Stop::Needs(Lookup::Content) => (Step::RequestBinding, Finding::Lookup(Lookup::Content)),
            Stop::Needs(lookup) => (self.at, Finding::Lookup(lookup)),
            Stop::Refuse(reason) | Stop::Wait(reason, _) => (self.at, Finding::Reason(reason)),
        };
        self.found.push((step, finding));
    }

    /// Whether the first fault is the one that `strict` was refused for.
    fn agrees(&self, strict: &Self) -> bool {
        self.found.first() == strict.found.first()
    }

    fn outcomes(&self) -> Vec<(Step, Outcome)> {
        Step::ALL.into_iter().map(|step| (step, self.outcome(step))).collect()
    }

    fn outcome(&self, step: Step) -> Outcome {
        let mut findings =
            self.found.iter().filter(|(at, _)| *at == step).map(|(_, finding)| finding).peekable();
        match findings.peek() {
            Some(Finding::Lookup(lookup)) => Outcome::Needs(lookup.clone()),
            Some(Finding::Reason(_)) => Outcome::Refused(
                findings
                    .filter_map(|finding| match finding {
                        Finding::Reason(reason) => Some(*reason),
                        Finding::Lookup(_) => None,
                    })
                    .collect(),
            ),
            // The proof was read, and then the nonce ended it.
            None if step == Step::Time && self.at == Step::Nonce => Outcome::NotReached,
            None if self.entered.contains(&step) => Outcome::Passed,
            None => Outcome::NotReached,
        }
    }
}

impl Trace for Followed {
    fn enter(&mut self, step: Step) -> Result<(), Stop> {
        if step == Step::Replay
            && let Some((_, Finding::Reason(first))) = self.found.first()
        {
            self.has_ended = true;
            return Err(Stop::Refuse(*first));
        }
        self.at = step;
        self.entered.push(step);
        Ok(())
    }

    fn refuse(&mut self, reason: Reason) -> Result<(), Reason> {
        if !self.is_thorough {
            return Err(reason);
        }
        self.found.push((self.at, Finding::Reason(reason)));
        Ok(())
    }
}
