//! What commands have in common that run until they are told to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Exit, complain};

/// Runs `work` on threads of its own; `who` is who cannot start without them.
pub(super) fn on_threads(who: &str, work: impl Future<Output = Exit>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format!("{who} cannot start its threads: {error}"));
            return Exit::Failure;
        }
    };
    let exit = runtime.block_on(work);
    // A file system that does not answer keeps whoever reads from it, and not the end of the process.
    runtime.shutdown_background();
    exit
}

/// The signals that such a command listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on no signal is lost; `None` after a complaint.
    pub(super) fn listen() -> Option<Self> {
        let (Ok(terminate), Ok(interrupt), Ok(hang_up)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            complain("the system refuses to tell this process of signals, so it could not end in order");
            return None;
        };
        Some(Self { terminate, interrupt, hang_up })
    }

    /// Calls `reload` for each SIGHUP, until SIGTERM or SIGINT.
    pub(super) async fn until_the_end(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => reload(),
            }
        }
        tracing::info!("ending; requests that are under way have ten seconds");
    }
}
