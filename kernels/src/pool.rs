//! Threads that help the caller with a job, and cost little when there is little to do.
//!
//! A job is a closure that the caller runs and that any worker may run at the same time. It takes its share of the work
//! from a common queue, so that it does not matter who comes, nor when: a worker that has not joined by the time the
//! caller is through is not waited for. What is computed must not depend on who computes it, and does not.
//!
//! Between jobs a worker spins for a short while, then sleeps. Measured on a virtual machine with two cores of Zen 4: a
//! spinning worker is reached and heard from in 0.4 µs; a sleeping one starts 25 to 60 µs after it is woken, and waking
//! it takes the caller 8 µs, the price of the system call. [`SPIN`] is of the size of that delay: if the next job comes
//! sooner, spinning was right, and if not, it has cost about as much as sleeping at once would have.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread spins for what it waits for before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Bits of [`Shared::state`]: whether workers may join the job ...
const OPEN: u64 = 1;
/// ... one worker that has joined it and not left ...
const WORKER: u64 = 2;
/// ... and the number of the job, in the upper half.
const JOB: u64 = 1 << 32;

/// The worker threads of one owner. Dropping it ends and joins them.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    threads: usize,
}

struct Shared {
    /// Number of the job · [`JOB`] + workers at it · [`WORKER`] + [`OPEN`].
    state: AtomicU64,
    /// The job; dangles unless `state` is open or has workers.
    job: UnsafeCell<*const (dyn Fn() + Sync)>,
    stop: AtomicBool,
    /// Workers that run.
    started: AtomicUsize,
    /// Workers that sleep, or are about to: a hint.
    asleep: AtomicUsize,
    /// The caller, if it sleeps until the last worker has left.
    waiting: Mutex<Option<Thread>>,
    /// What the first worker that panicked in this job panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spin: Duration,
}

// SAFETY: all fields but `job` are `Send` and `Sync` by themselves. What `job` points to is `Sync`. The pointer is written by
// `Pool::run` alone, which has the pool to itself and writes while the state is closed and without workers; workers read
// it only after they have joined, and the compare-exchange by which they join acquires what opening the state released.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).field("asleep", &self.asleep).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller's being one of them; of fewer if the system gives no more.
    pub(crate) fn new(threads: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(std::ptr::from_ref(&|| ())),
            stop: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            waiting: Mutex::new(None),
            panic: Mutex::new(None),
            // With more threads than cores, one that spins may keep off the one it waits for.
            spin: if threads > cores { Duration::ZERO } else { SPIN },
        });
        let workers = (1..threads).map_while(|index| {
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("kernels-{index}"));
            builder.spawn(move || shared.work()).ok()
        });
        let workers: Vec<_> = workers.collect();
        // What it allocates to start a thread is allocated by now, and the first job finds all awake.
        while shared.started.load(Ordering::Acquire) < workers.len() {
            thread::yield_now();
        }
        Self { workers, shared, threads }
    }

    /// The threads that were asked for.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Whether all workers spin, so that a job reaches them at once. A hint: they may fall asleep any moment.
    pub(crate) fn is_awake(&self) -> bool {
        self.shared.asleep.load(Ordering::Relaxed) == 0
    }

    /// Calls `job` here, and on every worker that comes before the call here returns; waits for those.
    ///
    /// `&mut self` rules out a job within a job, and two callers at once.
    ///
    /// # Panics
    /// If `job` does, here or on a worker: with what it panicked with, once no thread is at it any more. The pool can be
    /// used again.
    pub(crate) fn run(&mut self, job: &(dyn Fn() + Sync)) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `Finish` below keeps the borrow of `job` alive until no worker can call it
        // any more, also if `job` panics here.
        let job_for_workers =
            unsafe { std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync)>(job) };
        // SAFETY: the state is closed and without workers (it starts so, and `Finish` leaves it so), so no worker reads
        // the cell; `&mut self` keeps other callers away.
        unsafe { *shared.job.get() = job_for_workers };
        let number = shared.state.load(Ordering::Relaxed) / JOB;
        // Releases the cell to those who join.
        shared.state.store(number.wrapping_add(1).wrapping_mul(JOB) | OPEN, Ordering::Release);
        let finish = Finish(shared);
        for worker in &self.workers {
            // Without a system call if the worker does not sleep.
            worker.thread().unpark();
        }
        job();
        drop(finish);
        if let Some(panic) = lock(&shared.panic).take() {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its jobs, and has none of its own.
            let _ = worker.join();
        }
    }
}

/// Closes the job and waits for the workers that have joined it.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let Self(shared) = *self;
        // Acquires, here and below, what a worker that has left did before.
        let idle = |state: u64| state % JOB / WORKER == 0;
        if idle(shared.state.fetch_and(!OPEN, Ordering::AcqRel)) {
            return;
        }
        let done = || idle(shared.state.load(Ordering::Acquire));
        if !shared.spin_until(done) {
            *lock(&shared.waiting) = Some(thread::current());
            while !done() {
                thread::park();
            }
            *lock(&shared.waiting) = None;
        }
        if thread::panicking() {
            // The caller's panic goes on, and is the one that is heard of.
            *lock(&shared.panic) = None;
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self) {
        self.started.fetch_add(1, Ordering::Release);
        let mut seen = 0;
        loop {
            let changed = || self.state.load(Ordering::Relaxed) / JOB != seen || self.stop.load(Ordering::Acquire);
            if !self.spin_until(changed) {
                self.asleep.fetch_add(1, Ordering::Relaxed);
                while !changed() {
                    thread::park();
                }
                self.asleep.fetch_sub(1, Ordering::Relaxed);
            }
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            let join = |state| (state & OPEN != 0).then_some(state + WORKER);
            let state = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, join);
            if state.is_ok() {
                // SAFETY: this thread has joined an open job, so `run` has written the pointer before and waits for
                // this thread to leave before its borrow ends.
                let job = unsafe { &**self.job.get() };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                    lock(&self.panic).get_or_insert(panic);
                }
                let state = self.state.fetch_sub(WORKER, Ordering::AcqRel) - WORKER;
                if state.is_multiple_of(JOB) {
                    // The last one, of a closed job. The caller may sleep; if it is about to, it will see the state. It
                    // may also be on with the next job, and be woken in vain: so its name is left in place.
                    if let Some(caller) = &*lock(&self.waiting) {
                        caller.unpark();
                    }
                }
            }
            let (Ok(state) | Err(state)) = state;
            seen = state / JOB;
        }
    }

    /// Spins until `done`, at most [`Shared::spin`]; whether it was.
    fn spin_until(&self, done: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        loop {
            // Some 25 ns each on Zen 4, as much as reading the clock.
            for _ in 0..16 {
                if done() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.spin {
                return false;
            }
        }
    }
}

/// No code panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a job of `items` parts, each counted once.
    fn count(pool: &mut Pool, items: usize, sum: &AtomicUsize) {
        let next = AtomicUsize::new(0);
        pool.run(&|| {
            loop {
                let item = next.fetch_add(1, Ordering::Relaxed);
                if item >= items {
                    break;
                }
                sum.fetch_add(item + 1, Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn many_tiny_jobs() {
        for threads in [1, 2, 3, 4, 7, 20] {
            let mut pool = Pool::new(threads);
            for round in 0..2000 {
                let (items, sum) = (round % 9, AtomicUsize::new(0));
                count(&mut pool, items, &sum);
                assert_eq!(sum.into_inner(), items * (items + 1) / 2);
                // Asleep, about to sleep, or spinning.
                if round % 500 == 0 {
                    thread::sleep(SPIN * (round / 500) as u32);
                }
            }
        }
    }

    #[test]
    fn pools_of_several_callers_do_not_meet() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut pool = Pool::new(3);
                    for _ in 0..500 {
                        let sum = AtomicUsize::new(0);
                        count(&mut pool, 10, &sum);
                        assert_eq!(sum.into_inner(), 55);
                    }
                });
            }
        });
    }

    /// A job that needs all threads of the pool at once gets them.
    #[test]
    fn every_worker_comes() {
        for threads in [2, 4] {
            let mut pool = Pool::new(threads);
            for _ in 0..50 {
                let arrived = AtomicUsize::new(0);
                pool.run(&|| {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    while arrived.load(Ordering::Acquire) < threads {
                        thread::yield_now();
                    }
                });
                assert_eq!(arrived.into_inner(), threads);
            }
        }
    }

    #[test]
    fn a_panic_is_passed_on_once_and_the_pool_lives() {
        let mut pool = Pool::new(3);
        let caller = thread::current().id();
        for by_caller in [true, false, true, false] {
            let arrived = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|| {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    while arrived.load(Ordering::Acquire) < 3 {
                        thread::yield_now();
                    }
                    if (thread::current().id() == caller) == by_caller {
                        std::panic::panic_any(by_caller);
                    }
                });
            }));
            assert_eq!(result.unwrap_err().downcast_ref(), Some(&by_caller));
            let sum = AtomicUsize::new(0);
            count(&mut pool, 10, &sum);
            assert_eq!(sum.into_inner(), 55);
        }
    }

    #[test]
    fn dropping_ends_the_workers() {
        for threads in [1, 2, 8] {
            let mut pool = Pool::new(threads);
            let shared = Arc::downgrade(&pool.shared);
            count(&mut pool, 3, &AtomicUsize::new(0));
            drop(pool);
            assert!(shared.upgrade().is_none());
            drop(Pool::new(threads));
        }
    }
}
