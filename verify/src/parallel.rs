//! A loop on several threads.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `f(0), …, f(count − 1)`, on so many threads; each takes the next number when it is free.
pub(crate) fn parallel<T: Send>(count: usize, threads: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut own = vec![];
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return own;
            }
            own.push((index, f(index)));
        }
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, count.max(1))).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_order_whatever_the_number_of_threads() {
        for count in [0, 1, 2, 100] {
            for threads in [0, 1, 3, 200] {
                let squares: Vec<usize> = (0..count).map(|i| i * i).collect();
                assert_eq!(parallel(count, threads, |i| i * i), squares, "{count} on {threads}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "not 7")]
    fn a_panic_is_passed_on() {
        parallel(20, 2, |i| assert_ne!(i, 7, "not 7"));
    }
}
