//! What Apple's frameworks say when a call fails, and how the end of a call reaches whoever waits for it.

use std::sync::{Mutex, PoisonError};

use futures_channel::oneshot;

/// An `NSError` or `CFError` without its texts: those may hold paths and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemError {
    pub(super) domain: Domain,
    pub(super) code: i64,
}

/// Whose numbers the code of an error is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// `DCErrorDomain`.
    DeviceCheck,
    /// `NSOSStatusErrorDomain`: the codes of the Security framework.
    OsStatus,
    /// Anybody else.
    Other,
}

impl Domain {
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "com.apple.devicecheck.error" => Self::DeviceCheck,
            "NSOSStatusErrorDomain" => Self::OsStatus,
            _ => Self::Other,
        }
    }
}

impl SystemError {
    /// A call that failed without saying why.
    pub(super) const UNEXPLAINED: Self = Self { domain: Domain::Other, code: 0 };

    /// An `OSStatus`, as functions of the Security framework return it.
    pub(super) const fn os_status(code: i32) -> Self {
        Self { domain: Domain::OsStatus, code: code as i64 }
    }

    /// The `OSStatus`, if it is one.
    pub(super) fn as_os_status(self) -> Option<i64> {
        (self.domain == Domain::OsStatus).then_some(self.code)
    }
}

/// What a completion block does: it passes the outcome on to the one future that waits for it. The system promises to
/// call each block once; nothing here relies on that.
pub(super) struct Completion<T>(Mutex<Option<oneshot::Sender<Result<T, SystemError>>>>);

/// A completion and the future of its outcome. A block that is released uncalled ends the wait as
/// [`SystemError::UNEXPLAINED`]; one that is kept and never called leaves it waiting, until whoever waits drops it.
pub(super) fn completion<T>() -> (Completion<T>, impl Future<Output = Result<T, SystemError>>) {
    let (sender, receiver) = oneshot::channel();
    let outcome = async { receiver.await.unwrap_or(Err(SystemError::UNEXPLAINED)) };
    (Completion(Mutex::new(Some(sender))), outcome)
}

impl<T> Completion<T> {
    /// Passes on what the block was called with. An error counts, whatever comes with it; neither value nor error is
    /// an error too. Calls after the first, and a result that nobody waits for any more, are dropped.
    pub(super) fn complete(&self, value: Option<T>, error: Option<SystemError>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let outcome = match (value, error) {
                (_, Some(error)) => Err(error),
                (Some(value), None) => Ok(value),
                (None, None) => Err(SystemError::UNEXPLAINED),
            };
            // Nobody may be waiting any more: nothing is left to tell.
            drop(sender.send(outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const REFUSED: SystemError = SystemError { domain: Domain::DeviceCheck, code: 2 };

    /// The outcome for a block that does this and is then released.
    fn completed(block: impl FnOnce(&Completion<u8>)) -> Option<Result<u8, SystemError>> {
        let (completion, outcome) = completion();
        block(&completion);
        drop(completion);
        outcome.now_or_never()
    }

    #[test]
    fn the_first_call_of_a_block_counts() {
        let twice = completed(|completion| {
            completion.complete(Some(1), None);
            completion.complete(Some(2), None);
            completion.complete(None, Some(REFUSED));
        });
        assert_eq!(twice, Some(Ok(1)));
    }

    #[test]
    fn an_error_counts_whatever_comes_with_it() {
        assert_eq!(completed(|completion| completion.complete(Some(1), Some(REFUSED))), Some(Err(REFUSED)));
        assert_eq!(completed(|completion| completion.complete(None, Some(REFUSED))), Some(Err(REFUSED)));
    }

    #[test]
    fn neither_value_nor_error_is_an_error() {
        let neither = completed(|completion| completion.complete(None, None));
        assert_eq!(neither, Some(Err(SystemError::UNEXPLAINED)));
    }

    #[test]
    fn a_block_released_uncalled_ends_the_wait() {
        assert_eq!(completed(|_| ()), Some(Err(SystemError::UNEXPLAINED)));
    }

    #[test]
    fn a_block_may_be_called_after_the_wait_was_given_up() {
        let (completion, outcome) = completion::<u8>();
        assert_eq!(outcome.now_or_never(), None);
        completion.complete(Some(1), None);
        completion.complete(None, None);
    }

    #[test]
    fn domains_are_told_apart_by_their_exact_names() {
        assert_eq!(Domain::from_name("com.apple.devicecheck.error"), Domain::DeviceCheck);
        assert_eq!(Domain::from_name("NSOSStatusErrorDomain"), Domain::OsStatus);
        for other in ["", "com.apple.devicecheck", "NSPOSIXErrorDomain", "CryptoTokenKit"] {
            assert_eq!(Domain::from_name(other), Domain::Other);
        }
        assert_eq!(SystemError::os_status(-25300).as_os_status(), Some(-25300));
        assert_eq!(REFUSED.as_os_status(), None);
    }
}
