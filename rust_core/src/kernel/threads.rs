//! Shares of work, on one thread or several.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does the work of every share, each on one of up to `threads` threads, of which this is one.
///
/// Shares do not see each other, so the number of threads changes no answer. A thread that the system
/// refuses leaves its shares to the others.
pub(crate) fn share_out<S>(
    threads: usize,
    shares: impl ExactSizeIterator<Item = S> + Send,
    work: impl Fn(S) + Sync,
) {
    let others = threads.min(shares.len()).saturating_sub(1);
    let queue = Mutex::new(shares);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(share) = next() {
            work(share);
        }
    };
    thread::scope(|scope| {
        for _ in 0..others {
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// How many of `threads` threads are worth while for quick work on so many loads: to start one takes
/// roughly as long as a hundred thousand of them.
pub(crate) fn worth(threads: usize, loads: usize) -> usize {
    threads.clamp(1, 1 + loads / (1 << 17))
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use super::{share_out, worth};

    #[test]
    fn every_share_is_done_once_on_no_more_threads_than_shares() {
        for (threads, shares) in [(1, 4), (2, 4), (3, 3), (8, 3), (0, 2), (2, 0)] {
            let (done, seen) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
            // No share ends before all threads have one.
            let expected = threads.clamp(1, shares.max(1));
            let barrier = Barrier::new(expected);
            share_out(threads, 0..shares, |share| {
                let id = thread::current().id();
                if !seen.lock().unwrap().contains(&id) {
                    seen.lock().unwrap().push(id);
                    barrier.wait();
                }
                done.lock().unwrap().push(share);
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert!(done.into_iter().eq(0..shares));
            assert_eq!(seen.into_inner().unwrap().len(), expected.min(shares));
        }
    }

    #[test]
    fn quick_work_has_another_thread_for_every_131072_loads() {
        let most = (1 << 17) - 1;
        assert_eq!([0, 1, 9].map(|threads| worth(threads, most)), [1, 1, 1]);
        assert_eq!([0, 1, 2, 9].map(|threads| worth(threads, 2 * most + 2)), [1, 1, 2, 3]);
    }
}
