//! Scratch memory that outlives a call.

use crate::arch::Row;
use crate::pool::Pool;
use crate::{Blocking, Executor};
use std::sync::{Mutex, PoisonError};

/// Floats of one cache line, and of one AVX-512 register.
pub(crate) const LINE: usize = 16;

/// Bytes of one cache line.
pub(crate) const LINE_BYTES: usize = LINE * size_of::<f32>();

#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; LINE]);

/// A buffer of `f32` that starts on a cache line and only ever grows.
#[derive(Debug, Clone, Default)]
pub struct Aligned(Vec<Line>);

impl Aligned {
    /// The first `len` elements; what they hold is unspecified (old values, or 0).
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line::default());
        }
        &mut as_floats(&mut self.0)[..len]
    }

    /// [`Aligned::take`] of `f64`.
    pub(crate) fn take_f64(&mut self, len: usize) -> &mut [f64] {
        let floats = self.take(2 * len);
        // SAFETY: two `f32` take the bytes of an `f64`, the buffer starts on a cache line, and either type has a value
        // for any bits.
        unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast::<f64>(), len) }
    }
}

fn as_floats(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: `Line` is `repr(C)` around an array of LINE floats whose size, 64 bytes, is a multiple of its alignment,
    // so it has no padding and `lines` is `lines.len() * LINE` initialised floats in a row, borrowed mutably as long as
    // the result is.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), lines.len() * LINE) }
}

/// Reusable, cache-line aligned scratch memory of the kernels, and the threads that help with a call.
///
/// A call grows it to what it needs; a later call of the same or smaller sizes allocates nothing (the portable `gemm`
/// excepted, which leaves its memory to `matrixmultiply`). It carries no result from one call to the next: any
/// workspace serves any call.
///
/// The threads start with the first call that is worth them, of an executor that has more than one
/// ([`Executor::with_threads`]), sleep when there is nothing to do, and end with the workspace.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Packed A (gemm), packed x panel (forward), subset-sum tables (backward).
    pub(crate) a: Aligned,
    /// Packed B (gemm), packed v (forward), feature block of G (backward).
    pub(crate) b: Aligned,
    /// One tile of C (gemm), partial sums of h (forward), gathered entries of x (backward).
    pub(crate) tile: Aligned,
    /// Pre-activations or masked signs of some samples (dense passes).
    pub(crate) dense: Aligned,
    /// Compacted mask (backward).
    pub(crate) words: Vec<u64>,
    /// Activation pattern of a block of samples, sample by sample (forward).
    pub(crate) bits: Vec<u8>,
    /// Samples that count (backward).
    pub(crate) rows: Vec<Row>,
    /// One for each part of a call that is shared out.
    parts: Vec<Workspace>,
    pool: Option<Pool>,
}

/// Nanoseconds of work that are worth another thread if all are known to spin: five times what it takes to reach one and
/// hear from it.
const SHARE_AWAKE_NS: usize = 2_000;

impl Workspace {
    /// An empty workspace; nothing is allocated yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held at present.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        let lines = [&self.a, &self.b, &self.tile, &self.dense].map(|buffer| buffer.0.capacity()).iter().sum::<usize>();
        let parts: usize = self.parts.iter().map(Self::capacity_bytes).sum();
        parts
            + lines * size_of::<Line>()
            + self.words.capacity() * size_of::<u64>()
            + self.bits.capacity()
            + self.rows.capacity() * size_of::<Row>()
    }

    /// Calls `job` for every item, by all threads, with a workspace an item.
    pub(crate) fn share_out<I: ExactSizeIterator<Item: Send> + Send>(
        &mut self,
        executor: &Executor,
        items: I,
        job: impl Fn(I::Item, &mut Self) + Sync,
    ) {
        let threads = executor.threads();
        if self.pool.as_ref().is_none_or(|pool| pool.threads() != threads) {
            self.pool = Some(Pool::new(threads));
        }
        if self.parts.len() < items.len() {
            self.parts.resize_with(items.len(), Self::default);
        }
        // The workspace goes with the item, not with the thread: what is allocated does not depend on who comes.
        let items = Mutex::new(items.zip(&mut self.parts));
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let job = || {
            while let Some((item, ws)) = next() {
                job(item, ws);
            }
        };
        match &mut self.pool {
            Some(pool) => pool.run(&job),
            None => job(),
        }
    }
}

impl Executor {
    /// In how many parts to share out a call that takes one thread `nanoseconds`: at most one a thread, and 1 unless
    /// every part outweighs what it costs to have a thread come.
    ///
    /// Equal calls get equal answers, so that the first one allocates all that later ones need.
    pub(crate) fn shares(&self, nanoseconds: f64) -> usize {
        self.threads().min((nanoseconds / self.blocking().share_ns as f64) as usize).max(1)
    }

    /// How many of `len` things a thread gets if work that takes one thread `nanoseconds` is shared out: a multiple of
    /// `unit`; all of them if the work is too little to be worth another thread.
    ///
    /// For [`Executor::for_each`]. The answer varies with how soon threads can be there: results must not depend on it.
    #[must_use]
    pub fn share(&self, len: usize, unit: usize, nanoseconds: f64, ws: &Workspace) -> usize {
        let awake = ws.pool.as_ref().is_some_and(|pool| pool.threads() == self.threads() && pool.is_awake());
        let share_ns = if awake { self.blocking().share_ns.min(SHARE_AWAKE_NS) } else { self.blocking().share_ns };
        let blocking = Blocking { share_ns, ..self.blocking() };
        len.div_ceil(unit.max(1)).div_ceil(self.with_blocking(blocking).shares(nanoseconds)).max(1) * unit.max(1)
    }

    /// Calls `job` once for every item, in any order, on as many threads as the executor has.
    ///
    /// Returns when all is done. Meant for a few items of about equal size, such as `chunks_mut` of [`Executor::share`];
    /// a single one stays on this thread.
    ///
    /// # Errors
    /// One of those that `job` returned; the other items may or may not have been done.
    ///
    /// # Panics
    /// If `job` does, once no thread is at it any more.
    pub fn for_each<I, E>(
        &self,
        mut items: I,
        job: impl Fn(I::Item) -> Result<(), E> + Sync,
        ws: &mut Workspace,
    ) -> Result<(), E>
    where
        I: ExactSizeIterator<Item: Send> + Send,
        E: Send,
    {
        if self.threads() == 1 || items.len() <= 1 {
            return items.try_for_each(job);
        }
        let failed = Mutex::new(Ok(()));
        ws.share_out(self, items, |item, _| {
            if let Err(error) = job(item) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_once_and_errors_come_back() {
        let mut ws = Workspace::new();
        for threads in [1, 2, 3] {
            let executor = Executor::available()[0].with_threads(threads);
            for len in [0, 1, 2, 100] {
                for bad in [usize::MAX, 0, 57] {
                    let mut done = vec![0; len];
                    let job = |(i, done): (usize, &mut [usize])| {
                        done[0] += i;
                        if i == bad { Err(i) } else { Ok(()) }
                    };
                    let result = executor.for_each(done.chunks_mut(1).enumerate(), job, &mut ws);
                    assert_eq!(result, if bad < len { Err(bad) } else { Ok(()) });
                    assert!(result.is_err() || done.iter().enumerate().all(|(i, &done)| done == i));
                }
            }
        }
    }

    #[test]
    fn shares_are_whole_units_and_worth_a_thread() {
        let (ws, executor) = (Workspace::new(), Executor::available()[0].with_threads(3));
        assert_eq!(executor.share(1000, 64, 1e9, &ws), 384);
        assert_eq!(executor.share(1000, 64, 2.5 * executor.blocking().share_ns as f64, &ws), 512);
        assert_eq!(executor.share(1000, 64, 1.5 * executor.blocking().share_ns as f64, &ws), 1024);
        assert_eq!(executor.share(0, 64, 0.0, &ws), 64);
        assert_eq!(executor.with_threads(0).share(10, 1, f64::INFINITY, &ws), 10);
    }

    #[test]
    fn aligned_and_kept() {
        let mut buffer = Aligned::default();
        for len in [0, 1, 15, 16, 17, 1000, 3] {
            let floats = buffer.take(len);
            assert_eq!(floats.len(), len);
            assert_eq!(floats.as_ptr().addr() % 64, 0);
            floats.fill(1.0);
        }
        assert_eq!(buffer.0.len(), 1000_usize.div_ceil(LINE));
    }
}
