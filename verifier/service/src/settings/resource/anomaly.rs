//! What is watched for across requests.

use countersign_verifier::check::anomaly::{Action, AnomalyRule, AnomalyRuleError, MAX_THRESHOLD, Signal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LimitPer, RouteSettings};
use crate::document::Problems;
use crate::settings::values::TimeSpan;

/// What is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalySignal {
    /// One session key from more networks (/24, /48) than `threshold`, by default 8 within 10 minutes. The gateway must tell
    /// addresses.
    SessionKeyManyAddresses,
    /// One instance with the tokens of more users than `threshold`, by default 3 within a day.
    InstanceManySubjects,
    /// One user on more instances than `threshold`, by default 5 within a day.
    SubjectManyInstances,
    /// The percentage of an app version's requests that are refused lies so many points above what is usual for it, by
    /// default 20 within 10 minutes.
    RefusalRatioJump,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyAction {
    /// It is counted and logged.
    #[default]
    Observe,
    /// And the instance's adaptive limits are halved.
    Tighten,
    /// And the key or instance is refused, as by a rate limit, until the window ends.
    Refuse,
}

/// What is watched for across the requests of a resource, and what is done about it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnomalySettings {
    /// What is watched for.
    pub signal: AnomalySignal,
    /// The most that is usual: 1 to 64, of a ratio 1 to 99 percentage points.
    #[serde(default)]
    pub threshold: Option<u32>,
    /// The time within which it is counted: ten seconds to a day.
    #[serde(default)]
    pub window: Option<TimeSpan>,
    /// What is done about it.
    #[serde(default)]
    pub action: AnomalyAction,
}

impl AnomalySettings {
    /// The rule in the check's own words.
    ///
    /// # Errors
    /// The field that is wrong, and what to do about it.
    pub fn rule(&self) -> Result<AnomalyRule, (&'static str, String)> {
        let (signal, threshold, window) = match self.signal {
            AnomalySignal::SessionKeyManyAddresses => (Signal::SessionKeyManyAddresses, 8, 600),
            AnomalySignal::InstanceManySubjects => (Signal::InstanceManySubjects, 3, 86_400),
            AnomalySignal::SubjectManyInstances => (Signal::SubjectManyInstances, 5, 86_400),
            AnomalySignal::RefusalRatioJump => (Signal::RefusalRatioJump, 20, 600),
        };
        let action = match self.action {
            AnomalyAction::Observe => Action::Observe,
            AnomalyAction::Tighten => Action::Tighten,
            AnomalyAction::Refuse => Action::Refuse,
        };
        let threshold = self.threshold.unwrap_or(threshold);
        let window = self.window.map_or(window, TimeSpan::as_seconds);
        AnomalyRule::new(signal, threshold, window, action).map_err(|error| match error {
            AnomalyRuleError::Threshold => (
                "threshold",
                format!("each value is remembered: write 1 to {MAX_THRESHOLD}, of a ratio 1 to 99 percentage points"),
            ),
            AnomalyRuleError::Window => ("window", "a window is ten seconds to a day long".to_owned()),
            _ => (
                "action",
                "a version is honest people's too, so its ratio is only observed; write \"observe\"".to_owned(),
            ),
        })
    }
}

/// Checks the rules of the resource at `at`.
pub(super) fn check(rules: &[AnomalySettings], routes: &[RouteSettings], at: &str, problems: &mut Problems) {
    let is_adaptive = |route: &RouteSettings| {
        route.limits.iter().any(|limit| limit.adaptive && limit.per == LimitPer::Instance)
    };
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("{at}/anomaly/{index}");
        if let Err((field, message)) = rule.rule() {
            problems.at(&format!("{at}/{field}"), message);
        }
        if rules.iter().take(index).any(|other| other.signal == rule.signal) {
            problems.at(&at, "an earlier rule watches for the same; remove one");
        }
        if rule.action == AnomalyAction::Tighten && !routes.iter().any(is_adaptive) {
            problems.at(
                &format!("{at}/action"),
                "no route has a limit that could be tightened; give one `limits = [{ per = \"instance\", …, adaptive = \
                 true }]`, or write another action",
            );
        }
    }
}
