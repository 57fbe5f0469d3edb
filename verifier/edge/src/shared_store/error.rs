//! Why the shared store gave no answer, and how often what came of a question.

use std::sync::atomic::{AtomicU64, Ordering};

use countersign_verifier::check::pending::StoreAnswer;

/// Why the shared store gave no answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no connection; nothing was asked.
    Disconnected,
    /// Too many questions are under way; nothing was asked.
    Busy,
    /// No answer in time. What was asked may have been written.
    TimedOut,
    /// The connection broke off, or none came about.
    Connection,
    /// User name or password is wrong, or they may not do what is needed.
    Authentication,
    /// Its memory is full, and it keeps what it has, as it should.
    Full,
    /// It may throw away what it was told to keep.
    Evicts,
    /// It takes no writes: a replica, or one that is still loading.
    ReadOnly,
    /// It answered with an error of another kind.
    Refused,
    /// It answered with something that is no answer to the question.
    Answer,
}

impl StoreError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Disconnected => "store_disconnected",
            Self::Busy => "store_busy",
            Self::TimedOut => "store_timed_out",
            Self::Connection => "store_connection",
            Self::Authentication => "store_authentication",
            Self::Full => "store_full",
            Self::Evicts => "store_evicts",
            Self::ReadOnly => "store_read_only",
            Self::Refused => "store_refused",
            Self::Answer => "store_answer",
        }
    }

    /// What an operator can do about it.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Authentication => {
                "the shared store does not accept this user name and password, or they may not run scripts"
            }
            Self::Full => "the shared store is full; give it more memory",
            Self::Evicts => {
                "the shared store may throw away proofs that must be remembered; set `maxmemory-policy noeviction`"
            }
            Self::ReadOnly => "the shared store takes no writes; is it a replica, or still loading?",
            Self::TimedOut => "the shared store does not answer in time",
            _ => "the shared store cannot be used; it is tried again",
        }
    }

    /// What an error of the client library means; its text is dropped, which may hold what was sent.
    pub(super) fn of(error: &redis::RedisError) -> Self {
        use redis::{ErrorKind, ServerErrorKind};
        match (error.kind(), error.code()) {
            (_, Some("OOM")) => Self::Full,
            (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => Self::Authentication,
            (_, Some("READONLY" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS")) => Self::ReadOnly,
            (ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm), _) => {
                Self::Authentication
            }
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => Self::Refused,
            (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => Self::Answer,
            _ if error.is_timeout() => Self::TimedOut,
            _ => Self::Connection,
        }
    }
}

/// The names of everything that can come of a question, for metrics.
pub const STORE_OUTCOMES: [&str; 14] = [
    "fresh",
    "replayed",
    "used_elsewhere",
    "limited",
    StoreError::Disconnected.reason(),
    StoreError::Busy.reason(),
    StoreError::TimedOut.reason(),
    StoreError::Connection.reason(),
    StoreError::Authentication.reason(),
    StoreError::Full.reason(),
    StoreError::Evicts.reason(),
    StoreError::ReadOnly.reason(),
    StoreError::Refused.reason(),
    StoreError::Answer.reason(),
];

/// How often each of [`STORE_OUTCOMES`] came.
#[derive(Debug, Default)]
pub(super) struct Outcomes([AtomicU64; STORE_OUTCOMES.len()]);

impl Outcomes {
    pub(super) fn count(&self, answer: Result<StoreAnswer, StoreError>) {
        let name = match answer {
            Ok(StoreAnswer::Fresh) => "fresh",
            Ok(StoreAnswer::Replayed) => "replayed",
            Ok(StoreAnswer::UsedElsewhere) => "used_elsewhere",
            Ok(StoreAnswer::Limited { .. }) => "limited",
            Ok(_) => return,
            Err(error) => error.reason(),
        };
        for (known, count) in STORE_OUTCOMES.iter().zip(&self.0) {
            if *known == name {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        STORE_OUTCOMES.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_under_its_own_name() {
        let outcomes = Outcomes::default();
        outcomes.count(Ok(StoreAnswer::Replayed));
        outcomes.count(Err(StoreError::Answer));
        outcomes.count(Err(StoreError::Answer));
        let counted: Vec<_> = outcomes.read().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("replayed", 1), ("store_answer", 2)]);
    }
}
