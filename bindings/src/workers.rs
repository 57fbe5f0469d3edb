//! Threads for work that blocks. A key store takes seconds, or never comes back, and whoever polls may be the app's main
//! thread. Whoever can make an app call its key store again and again, as an API that always asks for the instance key
//! can, must not get all the threads and the memory there are.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_channel::oneshot;

/// Most pieces of work that wait for a thread. More is no burst of an app's requests.
const MAX_WAITING: usize = 256;

/// At most so many threads, each for as long as there is work. What finds them all busy waits for its turn.
pub(crate) struct Workers {
    most: usize,
    state: Mutex<State>,
}

struct State {
    threads: usize,
    waiting: VecDeque<Box<dyn Job>>,
}

/// A piece of work.
trait Job: Send {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;
    /// Does it. Does not panic.
    fn run(self: Box<Self>);
}

struct Piece<T, W, U> {
    work: W,
    undo: U,
    outcome: oneshot::Sender<T>,
}

impl<T, W, U> Job for Piece<T, W, U>
where
    T: Send,
    W: FnOnce(&dyn Fn() -> bool) -> T + Send,
    U: FnOnce(T) + Send,
{
    fn is_wanted(&self) -> bool {
        !self.outcome.is_canceled()
    }

    fn run(self: Box<Self>) {
        let Self { work, undo, outcome } = *self;
        let is_wanted = || !outcome.is_canceled();
        let Ok(done) = catch_unwind(AssertUnwindSafe(|| work(&is_wanted))) else { return };
        if let Err(undelivered) = outcome.send(done) {
            // Nobody is left to be told.
            drop(catch_unwind(AssertUnwindSafe(|| undo(undelivered))));
        }
    }
}

impl Workers {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, state: Mutex::new(State { threads: 0, waiting: VecDeque::new() }) }
    }

    /// Does `work` on a thread, and lets it ask whether somebody still waits for it. Work that has to wait for
    /// its turn, and that nobody waits for any more when it comes, is not begun; if nobody waits when it is done, `undo` gets its outcome, on the same thread.
    /// Nothing if there is no thread to be had, or too much waits for one, and if `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> Option<T> {
        let (outcome, done) = oneshot::channel();
        self.begin(Box::new(Piece { work, undo, outcome }));
        done.await.ok()
    }

    fn begin(&'static self, job: Box<dyn Job>) {
        let mut state = self.state();
        if state.threads >= self.most {
            // Those who have given up keep nobody out.
            state.waiting.retain(|waiting| waiting.is_wanted());
            if state.waiting.len() < MAX_WAITING {
                state.waiting.push_back(job);
            }
            return;
        }
        state.threads += 1;
        drop(state);
        let started = thread::Builder::new().name("countersign".to_owned()).spawn(|| self.work_off(job));
        if started.is_err() {
            self.state().threads -= 1;
        }
    }

    /// The life of a thread.
    fn work_off(&self, first: Box<dyn Job>) {
        let mut next = Some(first);
        while let Some(job) = next {
            job.run();
            let mut state = self.state();
            state.waiting.retain(|waiting| waiting.is_wanted());
            next = state.waiting.pop_front();
            state.threads -= usize::from(next.is_none());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt;

    /// Polls until it is over: what is waited for here ends by other threads.
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        loop {
            match (&mut future).now_or_never() {
                Some(done) => return done,
                None => thread::yield_now(),
            }
        }
    }

    /// Says that it has begun, and ends when it is told to.
    fn hang(begins: &mpsc::Sender<()>, ends: &mpsc::Receiver<()>) {
        begins.send(()).unwrap();
        let _ = ends.recv();
    }

    #[test]
    fn no_more_threads_than_allowed_and_the_rest_is_done_in_turn() {
        static WORKERS: Workers = Workers::new(2);
        static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
        let work = |_: &dyn Fn() -> bool| {
            let others = AT_ONCE.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            AT_ONCE.fetch_sub(1, Ordering::SeqCst);
            others
        };
        let mut all: Vec<_> = (0..100).map(|_| Box::pin(WORKERS.run(work, drop))).collect();
        // All begin before anybody looks at an outcome.
        let done: Vec<_> = all.iter_mut().map(|one| one.now_or_never()).collect();
        for (one, done) in all.into_iter().zip(done) {
            assert!(done.unwrap_or_else(|| wait(one)).unwrap() < 2);
        }
    }

    #[test]
    fn a_flood_behind_a_key_store_that_hangs_is_turned_away() {
        static WORKERS: Workers = Workers::new(1);
        let ((begins, begun), (end, ends)) = (mpsc::channel(), mpsc::channel());
        let mut hangs = Box::pin(WORKERS.run(move |_| hang(&begins, &ends), drop));
        assert!((&mut hangs).now_or_never().is_none());
        begun.recv().unwrap();
        let flood = || Box::pin(WORKERS.run(|_| (), drop));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| flood()).collect();
        assert!(waiting.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(wait(flood()), None);
        // Those whose patience has ended make room.
        drop(waiting);
        let mut last = flood();
        assert!((&mut last).now_or_never().is_none());
        drop(end);
        assert_eq!((wait(hangs), wait(last)), (Some(()), Some(())));
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun_and_what_was_begun_is_undone() {
        static WORKERS: Workers = Workers::new(1);
        static WAS_BEGUN: AtomicBool = AtomicBool::new(false);
        let ((begins, begun), (end, ends)) = (mpsc::channel(), mpsc::channel());
        let (undoes, undone) = mpsc::channel();
        let work = move |_: &dyn Fn() -> bool| hang(&begins, &ends);
        let mut hangs = Box::pin(WORKERS.run(work, move |()| undoes.send(()).unwrap()));
        assert!((&mut hangs).now_or_never().is_none());
        begun.recv().unwrap();
        let mut given_up = Box::pin(WORKERS.run(|_| WAS_BEGUN.store(true, Ordering::SeqCst), drop));
        assert!((&mut given_up).now_or_never().is_none());
        drop((hangs, given_up, end));
        undone.recv().unwrap();
        assert_eq!(wait(WORKERS.run(|is_wanted| is_wanted(), drop)), Some(true));
        assert!(!WAS_BEGUN.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_costs_its_own_outcome_and_no_thread() {
        static WORKERS: Workers = Workers::new(1);
        assert_eq!(wait(WORKERS.run(|_| -> u8 { panic!("as a test wants") }, drop)), None);
        assert_eq!(wait(WORKERS.run(|_| 1, drop)), Some(1));
    }
}
