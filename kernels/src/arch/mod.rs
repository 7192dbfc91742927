//! Micro-kernels, one module per instruction set, behind the traits that the algorithms are generic over.
//!
//! A type that implements them is a zero-sized proof that the host runs its instruction set; only [`crate::isa`] makes one.
//! Methods check the lengths of what they get once per tile, so all of them are safe to call with any arguments.

pub(crate) mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

/// What to do with one tile of C: C ← α A B + β C over `depth`, for the first `rows` × `cols` entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    pub(crate) depth: usize,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Elements from one row of C to the next; columns are contiguous.
    pub(crate) row_stride: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// Register tile of the dense product.
pub(crate) trait GemmKernel: Copy {
    /// Rows of the tile: A is packed as \[depth\]\[MR\].
    const MR: usize;
    /// Columns of the tile: B is packed as \[depth\]\[NR\].
    const NR: usize;

    /// C ← α A B + β C for the leading `tile.rows` × `tile.cols` of one tile; with β = 0, C is not read.
    ///
    /// `a`: \[depth\]\[MR\], `b`: \[depth\]\[NR\], `c` starts at the tile's first entry. The rest of C is neither read nor written.
    fn gemm_tile(self, tile: Tile, a: &[f32], b: &[f32], c: &mut [f32]);
}

/// Register tile of the fused forward pass, and subset sums of the backward one.
pub(crate) trait ReluKernel: Copy {
    /// Neurons of the tile: v is packed as \[depth\]\[NEURONS\].
    const NEURONS: usize;
    /// Samples of the tile, at most 64: x is packed as \[depth\]\[SAMPLES\].
    const SAMPLES: usize;

    /// h_i ← h_i + Σ_k a_k act(⟨v_k, x_i⟩) over the tile's neurons k < `a.len()`, and bit i of `bits[k]` ← \[⟨v_k, x_i⟩ ≥ 0\].
    ///
    /// act is ReLU, or the identity (all bits 1) without `RELU`. `x`: \[depth\]\[SAMPLES\], `v`: \[depth\]\[NEURONS\], `h`:
    /// \[SAMPLES\], `a` and `bits`: \[≤ NEURONS\].
    fn forward_tile<const RELU: bool>(
        self,
        depth: usize,
        x: &[f32],
        v: &[f32],
        a: &[f32],
        h: &mut [f32],
        bits: &mut [u64],
    );

    /// Table t ← all subset sums of rows G t … G t + G − 1 of `rows`, entry e that of the rows whose bit is set in e.
    ///
    /// `rows`: \[any\]\[16\], `tables`: \[⌈rows / G⌉\]\[2^G\]\[16\]. Of the last table only the entries its rows can make are written.
    fn subset_sums<const G: usize>(self, rows: &[f32], tables: &mut [f32]);

    /// sums_k ← sums_k + Σ_t tables\[t\]\[bits G t … G t + G − 1 of words_k\], t < `groups`.
    ///
    /// `words`: \[any\], `tables`: \[groups\]\[2^G\]\[16\], `sums`: \[words\]\[16\].
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]);

    /// The bits of `word` that `select` selects, moved together to the low end.
    fn extract_bits(self, word: u64, select: u64) -> u64;
}

/// An algorithm to be compiled once per instruction set `A`.
pub(crate) trait Algorithm<A> {
    /// Runs it. Implementations are `#[inline(always)]`, so that all of it is compiled with the features of the caller.
    fn run(self, arch: A);
}
