//! Work that blocks, on threads of its own: a key store may take seconds, and whoever polls may be the app's main thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_channel::oneshot;

use super::jvm::Fault;

/// Most pieces of work at once. A key store that does not answer holds its thread; it does not get all threads there are.
const MAX_THREADS: usize = 4;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Runs `work` on a thread. If nobody waits for its outcome any more, `undo` gets it, on the same thread.
///
/// # Errors
/// [`Fault::Refused`] if there is no thread to be had, and if `work` panicked.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    undo: impl FnOnce(T) + Send + 'static,
) -> Result<T, Fault> {
    let place = Place::take().ok_or(Fault::Refused)?;
    let (sender, receiver) = oneshot::channel();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Refused));
        // Before the outcome is known: whoever waited for it finds the place free.
        drop(place);
        if let Err(Ok(undelivered)) = sender.send(outcome) {
            // Nobody is left to be told.
            drop(catch_unwind(AssertUnwindSafe(|| undo(undelivered))));
        }
    };
    let started = thread::Builder::new().name("countersign".to_owned()).spawn(body);
    started.map_err(|_| Fault::Refused)?;
    receiver.await.unwrap_or(Err(Fault::Refused))
}

/// One of the places for threads; given back when dropped.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |taken: usize| (taken < MAX_THREADS).then(|| taken + 1);
        // Lazily: a place that was never taken must not be given back.
        THREADS.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok().then(|| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::AcqRel);
    }
}
