//! Anomaly signals: what no single request shows, since each of them is good.
//!
//! They count requests that passed everything else, and refusals that an instance brought about itself: nobody raises one
//! in another's name with requests that he caught or made up. What they remember is bounded by [`MAX_KEYS`] and
//! [`MAX_THRESHOLD`].

mod distinct;
mod ratio;
mod rule;

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::time::Timestamp;
use countersign_core::token::result::{InstanceId, ResultClaims};

pub use rule::{Action, AnomalyRule, AnomalyRuleError, MAX_THRESHOLD, MAX_WINDOW, Signal};

use self::distinct::{Distinct, Noted};
use self::ratio::{Jump, Ratios};
use super::budget;
use super::decision::{Credential, Permit};
use super::edge::Edge;
use super::limits::{AddressPrefix, prefix_of};
use crate::crypto::sha256_of;

/// Keys, instances or users that one rule remembers, times two. Whoever has not been seen for longest is forgotten first.
pub const MAX_KEYS: usize = 8_192;
/// Versions of apps that one rule remembers, times two.
const MAX_VERSIONS: usize = 256;
/// What counts as one place that addresses come from: a phone changes within it as it moves.
const PLACE: AddressPrefix = AddressPrefix { ipv4: 24, ipv6: 48 };

/// A signal that was raised, with what raised it.
#[derive(Clone, Copy, Debug)]
pub struct Anomaly<'a> {
    /// When.
    pub time: Timestamp,
    /// The resource's name, as the settings have it.
    pub resource: &'a str,
    /// Which signal.
    pub signal: Signal,
    /// What the rule does about it.
    pub action: Action,
    /// What was counted: distinct values, or the percentage of refusals.
    pub count: u32,
    /// What it was measured against: the rule's threshold, or the percentage that would have been usual.
    pub usual: u32,
    /// Whose request raised it. Of a ratio, the app's version matters alone.
    pub result: &'a ResultClaims,
    /// Where that request came from. It is personal data.
    pub source: Option<IpAddr>,
    /// When the window ends, and with it what the rule does.
    pub until: Timestamp,
}

/// The rules of one resource with what they remember.
pub(super) struct Anomalies(Vec<Watched>);

struct Watched {
    rule: AnomalyRule,
    memory: Memory,
}

enum Memory {
    Distinct(Distinct),
    Ratios(Ratios),
}

impl Edge {
    /// Watches the resource called `resource` by `rules`, in the place of those that it had. Without rules, nothing is
    /// remembered and nothing is spent.
    #[must_use]
    pub fn with_anomaly_rules(mut self, resource: &str, rules: Vec<AnomalyRule>) -> Self {
        match rules.is_empty() {
            true => self.anomalies.remove(resource),
            false => self.anomalies.insert(resource.to_owned(), Arc::new(Anomalies::new(rules))),
        };
        self
    }

    /// A request passed everything else.
    ///
    /// # Errors
    /// The signal that refuses it, and for how many seconds.
    pub(super) fn note_permit(
        &self,
        resource: &str,
        permit: &Permit,
        source: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), (Signal, u64)> {
        if self.anomalies.is_empty() {
            return Ok(());
        }
        let Some(Anomalies(watched)) = self.anomalies.get(resource).map(Arc::as_ref) else { return Ok(()) };
        let claims = permit.attestation();
        let mut refused = None;
        for Watched { rule, memory } in watched {
            let distinct = match memory {
                Memory::Ratios(ratios) => {
                    if let Some(jump) =
                        ratios.note(&claims.client_id, claims.app_version.as_deref(), false, now)
                    {
                        self.raise_jump(rule, resource, claims, source, now, jump);
                    }
                    continue;
                }
                Memory::Distinct(distinct) => distinct,
            };
            let Some((key, value)) = pair(rule.signal(), permit, source) else { continue };
            let (until, is_known) = match distinct.note(key, value, now) {
                Noted::Usual => continue,
                Noted::Raised { until } => {
                    let count = rule.threshold().saturating_add(1);
                    let usual = rule.threshold();
                    self.raise(rule, resource, (count, usual), claims, source, now, until);
                    (until, false)
                }
                Noted::Standing { until, is_known } => (until, is_known),
            };
            // A user with one device too many goes on with the others: only the instance beyond the threshold is refused.
            let is_spared = rule.signal() == Signal::SubjectManyInstances && is_known;
            if rule.action() == Action::Refuse && !is_spared && refused.is_none() {
                refused = Some((rule.signal(), until.seconds_since(now).max(1)));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// A request was refused or observed that the instance of `claims` signed.
    pub(super) fn note_refusal(
        &self,
        resource: &str,
        claims: &ResultClaims,
        source: Option<IpAddr>,
        now: Timestamp,
    ) {
        if self.anomalies.is_empty() {
            return;
        }
        let Some(Anomalies(watched)) = self.anomalies.get(resource).map(Arc::as_ref) else { return };
        for Watched { rule, memory } in watched {
            let Memory::Ratios(ratios) = memory else { continue };
            if let Some(jump) = ratios.note(&claims.client_id, claims.app_version.as_deref(), true, now) {
                self.raise_jump(rule, resource, claims, source, now, jump);
            }
        }
    }

    fn raise_jump(
        &self,
        rule: &AnomalyRule,
        resource: &str,
        result: &ResultClaims,
        source: Option<IpAddr>,
        now: Timestamp,
        jump: Jump,
    ) {
        self.raise(rule, resource, (jump.percent, jump.usual_percent), result, source, now, jump.until);
    }

    #[expect(clippy::too_many_arguments, reason = "each is one member of what is told")]
    fn raise(
        &self,
        rule: &AnomalyRule,
        resource: &str,
        (count, usual): (u32, u32),
        result: &ResultClaims,
        source: Option<IpAddr>,
        now: Timestamp,
        until: Timestamp,
    ) {
        let (signal, action) = (rule.signal(), rule.action());
        if action == Action::Tighten {
            self.instance_failures.tighten(budget::key_of_instance(&result.instance), now);
        }
        if let Some(witness) = &self.witness {
            witness.anomaly(&Anomaly {
                time: now,
                resource,
                signal,
                action,
                count,
                usual,
                result,
                source,
                until,
            });
        }
    }
}

impl Anomalies {
    fn new(rules: Vec<AnomalyRule>) -> Self {
        let watched = |rule: AnomalyRule| {
            let memory = match rule.signal() {
                Signal::RefusalRatioJump => {
                    Memory::Ratios(Ratios::new(MAX_VERSIONS, rule.threshold(), rule.window()))
                }
                _ => Memory::Distinct(Distinct::new(MAX_KEYS, rule.threshold(), rule.window())),
            };
            Watched { rule, memory }
        };
        Self(rules.into_iter().map(watched).collect())
    }

    pub(super) fn has_rules_of(&self, other: &Self) -> bool {
        self.0.iter().map(|watched| &watched.rule).eq(other.0.iter().map(|watched| &watched.rule))
    }
}

/// Of whom a signal counts what; `None` where the request does not tell.
fn pair(signal: Signal, permit: &Permit, source: Option<IpAddr>) -> Option<([u8; 16], [u8; 16])> {
    let instance = |id: &InstanceId| *id.as_bytes();
    let subject = || {
        let token = permit.credential().and_then(Credential::access_token)?;
        let issuer = token.issuer.as_bytes();
        Some(name_of(&[&(issuer.len() as u64).to_be_bytes(), issuer, token.subject.as_ref()?.as_bytes()]))
    };
    let claims = permit.attestation();
    match signal {
        Signal::SessionKeyManyAddresses => {
            Some((name_of(&[&permit.result.digest]), name_of(&[&prefix_of(source?, PLACE)])))
        }
        Signal::InstanceManySubjects => Some((instance(&claims.instance), subject()?)),
        Signal::SubjectManyInstances => Some((subject()?, instance(&claims.instance))),
        Signal::RefusalRatioJump => None,
    }
}

/// Half a SHA-256: tells names apart without keeping them.
fn name_of(parts: &[&[u8]]) -> [u8; 16] {
    let whole = sha256_of(parts);
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}
