//! What an anomaly rule says: which signal, from which point on, within which time, and what is done about it.

/// Most distinct values that a rule may call usual: it remembers each of them.
pub const MAX_THRESHOLD: u32 = 64;
/// Longest window, in seconds: a day.
pub const MAX_WINDOW: u64 = 86_400;
/// Shortest window, in seconds.
const MIN_WINDOW: u64 = 10;

/// What is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// One result, and so one session key, from more address prefixes (/24, /48) than the threshold: a key that left its
    /// phone, or a farm behind changing addresses.
    SessionKeyManyAddresses,
    /// One instance with the access tokens of more users than the threshold: a phone that logs in to bought accounts.
    InstanceManySubjects,
    /// One user on more instances than the threshold: an account that is shared or sold.
    SubjectManyInstances,
    /// The refused part of a version's requests lies by so many percentage points above what is usual for that version: a
    /// modified copy of it is about, or its last release is broken.
    RefusalRatioJump,
}

impl Signal {
    /// A stable name for settings, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionKeyManyAddresses => "session_key_many_addresses",
            Self::InstanceManySubjects => "instance_many_subjects",
            Self::SubjectManyInstances => "subject_many_instances",
            Self::RefusalRatioJump => "refusal_ratio_jump",
        }
    }

    /// The name of refusals for it.
    pub(in crate::check) const fn reason(self) -> &'static str {
        match self {
            Self::SessionKeyManyAddresses => "anomaly_session_key_many_addresses",
            Self::InstanceManySubjects => "anomaly_instance_many_subjects",
            Self::SubjectManyInstances => "anomaly_subject_many_instances",
            Self::RefusalRatioJump => "anomaly_refusal_ratio_jump",
        }
    }
}

/// What is done when a signal is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It is told.
    #[default]
    Observe,
    /// And the adaptive rate limits of the instance are halved, as after a window of failures.
    Tighten,
    /// And requests of the key or instance are refused until the window ends, as by a rate limit.
    Refuse,
}

impl Action {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Tighten => "tighten",
            Self::Refuse => "refuse",
        }
    }
}

/// A rule that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyRule {
    signal: Signal,
    threshold: u32,
    window: u64,
    action: Action,
}

/// Why there can be no such rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnomalyRuleError {
    /// The threshold is 0 or above [`MAX_THRESHOLD`]; of a ratio, not within 1 to 99.
    Threshold,
    /// The window is shorter than ten seconds or longer than [`MAX_WINDOW`].
    Window,
    /// A ratio speaks of a version, which honest people have too: it is only observed.
    Action,
}

impl AnomalyRule {
    /// A rule: `threshold` is the most that is usual, within `window` seconds.
    ///
    /// # Errors
    /// [`AnomalyRuleError`] if there can be no such rule.
    pub const fn new(
        signal: Signal,
        threshold: u32,
        window: u64,
        action: Action,
    ) -> Result<Self, AnomalyRuleError> {
        let is_ratio = matches!(signal, Signal::RefusalRatioJump);
        if threshold == 0 || threshold > if is_ratio { 99 } else { MAX_THRESHOLD } {
            return Err(AnomalyRuleError::Threshold);
        }
        if window < MIN_WINDOW || window > MAX_WINDOW {
            return Err(AnomalyRuleError::Window);
        }
        if is_ratio && !matches!(action, Action::Observe) {
            return Err(AnomalyRuleError::Action);
        }
        Ok(Self { signal, threshold, window, action })
    }

    /// What it watches for.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// The most that is usual.
    pub const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Seconds within which it counts.
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// What it does.
    pub const fn action(&self) -> Action {
        self.action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_would_remember_without_bound_or_punish_a_version_is_none() {
        let rule = |signal, threshold, window, action| AnomalyRule::new(signal, threshold, window, action);
        let keys = Signal::SessionKeyManyAddresses;
        assert!(rule(keys, 64, 86_400, Action::Refuse).is_ok());
        assert_eq!(rule(keys, 65, 600, Action::Observe), Err(AnomalyRuleError::Threshold));
        assert_eq!(rule(keys, 0, 600, Action::Observe), Err(AnomalyRuleError::Threshold));
        assert_eq!(rule(keys, 5, 86_401, Action::Observe), Err(AnomalyRuleError::Window));
        assert_eq!(rule(keys, 5, 9, Action::Observe), Err(AnomalyRuleError::Window));
        let ratio = Signal::RefusalRatioJump;
        assert!(rule(ratio, 99, 600, Action::Observe).is_ok());
        assert_eq!(rule(ratio, 100, 600, Action::Observe), Err(AnomalyRuleError::Threshold));
        assert_eq!(rule(ratio, 20, 600, Action::Refuse), Err(AnomalyRuleError::Action));
    }
}
