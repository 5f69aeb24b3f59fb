//! One thread that reads, several that work on what it has read.
//!
//! The calling thread feeds; workers are started one by one as there is work for them, so that a small file
//! costs no thread: its only batch is worked on by the caller. The queue between them holds at most
//! [`QUEUE_BYTES`], or one batch that is larger alone, so that memory is bounded by the queue, a batch for each
//! worker, and the largest value.
//!
//! The first failure, of whichever side, ends everything: what waits in the queue is dropped, and the feeder is
//! told at its next batch. Locks: the queue's mutex, held for a push or a pop; nothing is locked under it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// Bytes that may wait for the workers: some dozens of batches.
const QUEUE_BYTES: usize = 8 << 20;

/// What is handed to a worker.
pub(super) trait Load: Send {
    /// Bytes that it takes while it waits.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct State<B> {
    waiting: VecDeque<B>,
    bytes: usize,
    /// Nothing comes any more.
    over: bool,
    failure: Option<String>,
}

#[derive(Debug)]
struct Queue<B> {
    state: Mutex<State<B>>,
    changed: Condvar,
}

impl<B: Load> Queue<B> {
    fn new() -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, over: false, failure: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, and leaves a batch; the failure, if there was one.
    fn push(&self, batch: B) -> Result<(), String> {
        let bytes = batch.bytes();
        let mut state = self.lock();
        while state.failure.is_none() && state.bytes > 0 && state.bytes + bytes > QUEUE_BYTES {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        state.bytes += bytes;
        state.waiting.push_back(batch);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for a batch; none when there will be none.
    fn pop(&self) -> Option<B> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(batch) = state.waiting.pop_front() {
                state.bytes -= batch.bytes();
                drop(state);
                self.changed.notify_all();
                return Some(batch);
            }
            if state.over {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing comes any more.
    fn close(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// The first failure counts.
    fn fail(&self, why: String) {
        let mut state = self.lock();
        state.failure.get_or_insert(why);
        state.waiting.clear();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
    }

    fn work(&self, take: &(impl Fn(B) -> Result<(), String> + Sync)) {
        while let Some(batch) = self.pop() {
            if let Err(why) = take(batch) {
                self.fail(why);
            }
        }
    }
}

/// Where the reading thread leaves its batches.
pub(super) struct Feeder<'scope, 'env, B, F> {
    scope: &'scope Scope<'scope, 'env>,
    queue: &'scope Queue<B>,
    take: &'scope F,
    /// Workers to start, and those started.
    most: usize,
    started: usize,
}

impl<B, F> Feeder<'_, '_, B, F>
where
    B: Load,
    F: Fn(B) -> Result<(), String> + Sync,
{
    /// Leaves a batch that more will follow.
    pub(super) fn give(&mut self, batch: B) -> Result<(), String> {
        if self.started < self.most {
            let (queue, take) = (self.queue, self.take);
            let thread = std::thread::Builder::new().name(format!("load-{}", self.started));
            match thread.spawn_scoped(self.scope, move || queue.work(take)) {
                Ok(_) => self.started += 1,
                // With fewer it takes longer.
                Err(_) => self.most = self.started,
            }
        }
        if self.started == 0 { (self.take)(batch) } else { self.queue.push(batch) }
    }

    /// Leaves the last batch.
    pub(super) fn finish(self, batch: B) -> Result<(), String> {
        if self.started == 0 { (self.take)(batch) } else { self.queue.push(batch) }
    }
}

/// Runs `feed` on this thread and `take` for each of its batches, on at most `workers` others. With one
/// worker batches are taken in order, else in any. Ends when all is done or something failed.
pub(super) fn with_workers<B, F, R>(
    workers: usize,
    take: F,
    feed: impl for<'scope, 'env> FnOnce(Feeder<'scope, 'env, B, F>) -> Result<R, String>,
) -> Result<R, String>
where
    B: Load,
    F: Fn(B) -> Result<(), String> + Sync,
{
    let queue = Queue::new();
    let result = std::thread::scope(|scope| {
        let feeder = Feeder { scope, queue: &queue, take: &take, most: workers.max(1), started: 0 };
        let result = feed(feeder);
        if let Err(why) = &result {
            queue.fail(why.clone());
        }
        queue.close();
        result
    });
    match queue.lock().failure.take() {
        Some(failure) => Err(failure),
        None => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    impl Load for usize {
        fn bytes(&self) -> usize {
            QUEUE_BYTES / 3
        }
    }

    #[test]
    fn all_batches_are_taken() {
        for workers in [1, 2, 7] {
            let sum = AtomicUsize::new(0);
            let take = |n: usize| {
                sum.fetch_add(n, Ordering::Relaxed);
                Ok(())
            };
            let fed = with_workers(workers, take, |mut feeder| {
                (1..100).try_for_each(|n| feeder.give(n))?;
                feeder.finish(100).map(|()| "done")
            });
            assert_eq!(fed, Ok("done"));
            assert_eq!(sum.load(Ordering::Relaxed), 5050, "{workers} workers");
        }
    }

    #[test]
    fn one_worker_keeps_the_order() {
        let seen = Mutex::new(Vec::new());
        let take = |n: usize| {
            seen.lock().unwrap().push(n);
            Ok(())
        };
        with_workers(1, take, |mut feeder| {
            (0..50).try_for_each(|n| feeder.give(n))?;
            feeder.finish(50)
        })
        .unwrap();
        assert!(seen.lock().unwrap().iter().copied().eq(0..51));
    }

    #[test]
    fn a_failure_of_either_side_ends_both() {
        for broken in [0, 1, 20] {
            let take = |n: usize| if n == broken { Err("worker".to_owned()) } else { Ok(()) };
            let fed: Result<(), String> = with_workers(3, take, |mut feeder| {
                // It never ends by itself.
                (0..).try_for_each(|n| feeder.give(n))
            });
            assert_eq!(fed, Err("worker".to_owned()));
        }
        let fed: Result<(), String> = with_workers(
            3,
            |_: usize| Ok(()),
            |mut feeder| {
                feeder.give(1)?;
                Err("feeder".to_owned())
            },
        );
        assert_eq!(fed, Err("feeder".to_owned()));
    }
}
