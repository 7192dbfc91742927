//! Scratch memory that outlives a call.

use crate::arch::Row;

/// Floats of one cache line, and of one AVX-512 register.
pub(crate) const LINE: usize = 16;

/// Bytes of one cache line.
pub(crate) const LINE_BYTES: usize = LINE * size_of::<f32>();

#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

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

/// Reusable, cache-line aligned scratch memory of the kernels.
///
/// A call grows it to what it needs; a later call of the same or smaller sizes allocates nothing (the portable `gemm`
/// excepted, which leaves its memory to `matrixmultiply`). It carries no result from one call to the next: any
/// workspace serves any call.
#[derive(Debug, Clone, Default)]
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
}

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
        lines * size_of::<Line>()
            + self.words.capacity() * size_of::<u64>()
            + self.bits.capacity()
            + self.rows.capacity() * size_of::<Row>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
