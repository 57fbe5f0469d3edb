//! Work that blocks, on threads of its own: a key store may take seconds, and whoever polls may be the app's main thread.

use super::jvm::Fault;
use crate::workers::Workers;

/// A key store that does not answer holds its thread; it does not get all threads there are.
static WORKERS: Workers = Workers::new(4);

/// Runs `work` on a thread. If nobody waits for its outcome any more, `undo` gets it, on the same thread.
///
/// # Errors
/// [`Fault::Refused`] if there is no thread to be had, or too much waits for one, and if `work` panicked.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    undo: impl FnOnce(T) + Send + 'static,
) -> Result<T, Fault> {
    // A fault leaves nothing to be undone.
    let undo = |done: Result<T, Fault>| drop(done.map(undo));
    WORKERS.run(|_| work(), undo).await.unwrap_or(Err(Fault::Refused))
}
