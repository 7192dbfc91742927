//! Micro-kernels, one module per instruction set, behind the traits that the algorithms are generic over.
//!
//! A type that implements them is a zero-sized proof that the host runs its instruction set; only [`crate::isa`] makes
//! one. Methods check the lengths of what they get once per tile or strip; that is what makes them safe to call.

use crate::mask::BLOCK;
use crate::view::Columns;
use crate::workspace::{LINE, LINE_BYTES, Line};
use std::marker::PhantomData;

pub(crate) mod fill;
#[cfg(target_arch = "x86_64")]
mod gemm;
pub(crate) mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

/// What to do with a strip of C, a row of tiles: C ← α A B + β C over `depth` > 0, for `rows` × `cols` entries, and where
/// they are.
#[derive(Debug, Clone, Copy)]
// Without x86-64 there is no GEMM tile: the product is then `matrixmultiply`'s.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct Strip<T> {
    pub(crate) depth: usize,
    pub(crate) alpha: T,
    pub(crate) beta: T,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Elements of A from one row to the next, and from one step of the depth to the next.
    pub(crate) a_strides: (usize, usize),
    /// Elements of B from one step of the depth to the next; columns are contiguous.
    pub(crate) b_step: usize,
    /// Elements of B from one tile to the next.
    pub(crate) b_panel: usize,
    /// Elements of C from one row to the next; columns are contiguous.
    pub(crate) c_row: usize,
}

/// What is done for the next panel of rows of A while a strip is computed, a little after every few steps.
///
/// Its lines are asked for from `lines_at` on, or else its rows are copied together, to\[p\]\[i\] ← A's row i, step p, and
/// its lines asked for AHEAD steps before.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct Side<'a, T> {
    /// Where A is asked for next, \[runs\]\[line\]: how many lines are left of the run, and of each after it.
    at: *const T,
    left: usize,
    lines: usize,
    runs: usize,
    /// Elements from a line to the next, and what is added to that from a run to the next, modulo the size of an address.
    line: usize,
    run: usize,
    /// Copies left, of `rows` elements each, from `from` to `to`.
    copies: usize,
    rows: usize,
    from: *const T,
    to: *mut T,
    places: PhantomData<&'a mut [T]>,
}

/// Steps between what is asked for of a panel and what is copied.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
const AHEAD: usize = 32;

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
impl<'a, T> Side<'a, T> {
    /// To ask for the lines of `rows` rows and `steps` steps of A, from the first entry of `a` on, if rows or steps are
    /// next to one another.
    #[inline(always)]
    pub(crate) fn ask(a: &'a [T], (rows, a_row): (usize, usize), (steps, a_step): (usize, usize)) -> Option<Self> {
        let per_line = LINE_BYTES / size_of::<T>();
        let side = Self {
            at: a.as_ptr(),
            left: 0,
            lines: 0,
            runs: 0,
            line: 0,
            run: 0,
            copies: 0,
            rows,
            from: a.as_ptr(),
            to: std::ptr::null_mut(),
            places: PhantomData,
        };
        if a_step == 1 {
            let lines = steps.div_ceil(per_line);
            let run = a_row.wrapping_sub(lines * per_line);
            Some(Self { left: lines, lines, runs: rows, line: per_line, run, ..side })
        } else if a_row == 1 {
            // The lines of the last rows first: the others may have come with the rows before.
            let run = (steps * a_step + per_line).wrapping_neg();
            let at = side.at.wrapping_add(rows - 1);
            Some(Self { at, left: steps, lines: steps, runs: rows.div_ceil(per_line), line: a_step, run, ..side })
        } else {
            None
        }
    }

    /// To copy `rows` rows, which are next to one another, and `steps` steps of A, from the first entry of `a` on, to `to`.
    #[inline(always)]
    pub(crate) fn copy(a: &'a [T], rows: usize, (steps, a_step): (usize, usize), to: &'a mut [T]) -> Self {
        assert!(steps > 0 && (steps - 1) * a_step + rows <= a.len() && steps * rows <= to.len());
        // Columns a large power of two apart share few sets of L2 (1024 KiB, 8 ways, on Zen 4): half of the places there.
        let places = (512 << 10) / (size_of::<T>() * a_step.max(1));
        let asked = AHEAD.min(places).min(steps - 1);
        Self {
            at: a.as_ptr().wrapping_add(asked * a_step),
            left: steps - asked,
            lines: steps,
            // The panel after this one follows it.
            runs: 2,
            line: a_step,
            run: rows.wrapping_sub(steps * a_step),
            copies: steps,
            rows,
            from: a.as_ptr(),
            to: to.as_mut_ptr(),
            places: PhantomData,
        }
    }
}

/// A row of x with its sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Where the row starts in its slice.
    pub(crate) start: usize,
    /// 1 or −1.
    pub(crate) sign: f32,
}

/// Transposition of a few rows, for packing.
pub(crate) trait PackKernel<T: Copy = f32>: Copy {
    /// Asks for the cache line that holds `at`, which may point anywhere.
    #[inline(always)]
    fn prefetch(self, _at: *const T) {}

    /// out\[j · width + i\] ← a\[i · row_stride + j\] for i < R, j < `cols`.
    fn transpose<const R: usize>(self, a: &[T], row_stride: usize, cols: usize, out: &mut [T], width: usize) {
        for i in 0..R {
            let row = &a[i * row_stride..][..cols];
            for (out, &value) in out[i..].iter_mut().step_by(width).zip(row) {
                *out = value;
            }
        }
    }
}

/// Register tile of the dense product.
pub(crate) trait GemmKernel<T: Copy>: PackKernel<T> {
    /// Rows of the tile: A is packed as \[depth\]\[MR\].
    const MR: usize;
    /// Columns of the tile, a multiple of LANES: B is packed as \[depth\]\[NR\].
    const NR: usize;
    /// Columns that are read of B together.
    const LANES: usize;
    /// A B of at most so many bytes whose columns are contiguous is read where it lies ...
    const DIRECT_B_BYTES: usize;
    /// ... if A has at most so many rows, so that it is not read too often.
    const DIRECT_B_ROWS: usize;

    /// C ← α A B + β C for `strip.rows` ≤ MR times `strip.cols` entries, at least one; with β = 0, C is not read.
    ///
    /// `a`, `b` and `c` start at the strip's first entries. Of B, columns are read up to the next multiple of LANES. The
    /// rest of C is neither read nor written.
    fn gemm_strip(self, strip: Strip<T>, a: &[T], b: &[T], c: &mut [T]);

    /// [`GemmKernel::gemm_strip`] of MR rows, and what `side` is for. What that copies, of MR rows too, is complete then.
    fn gemm_strip_beside(self, strip: Strip<T>, a: &[T], b: &[T], c: &mut [T], side: &mut Side<'_, T>);
}

/// Entries from one subset-sum table of 2^G to the next: one more than it has.
///
/// Most neurons are active on most samples or on few, so the first and the last entry of every table are read most. At a
/// distance of 2^G entries, 2 or 4 KiB, those of all tables would share one or two of the 64 sets of 8 lines of L1.
pub(crate) const fn table_entries(group: usize) -> usize {
    (1 << group) + 1
}

/// Look-ups a neuron that `groups` tables of 2^G are rounded up to: quarters of those of a whole block of 64 samples.
///
/// For each quarter there is a loop without branches. The tables that are too many are looked up at entry 0.
pub(crate) const fn padded_groups(group: usize, groups: usize) -> usize {
    let full = BLOCK.div_ceil(group);
    let padded = groups.next_multiple_of(full.div_ceil(4));
    if padded < full { padded } else { full }
}

/// LINE sums of each of some neurons: where they are read and where they are written.
pub(crate) struct Sums<'a> {
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    neurons: usize,
    places: PhantomData<&'a mut [f32]>,
}

impl<'a> Sums<'a> {
    /// Sums that start at 0 if they are the `first`, else with what `sums` holds, \[neurons\]\[16\], and that end there
    /// or else in 16 columns of G.
    pub(crate) fn new(sums: &'a mut [f32], first: bool, columns: Option<Columns<'a, f32>>) -> Self {
        static ZERO: Line = Line([0.0; LINE]);
        let (neurons, sums) = (sums.len() / LINE, sums.as_mut_ptr());
        let (from, from_stride) = if first { (ZERO.0.as_ptr(), 0) } else { (sums.cast_const(), LINE) };
        let (to, to_stride) = columns.map_or((sums, LINE), |columns| {
            assert!(columns.rows() >= neurons && columns.width() == LINE);
            (columns.start(), columns.row_stride())
        });
        Self { from, from_stride, to, to_stride, neurons, places: PhantomData }
    }

    pub(crate) fn neurons(&self) -> usize {
        self.neurons
    }

    /// Where the sums of `neuron` < `neurons` are read, LINE floats. They are written after that or not at all.
    #[inline(always)]
    pub(crate) fn from(&self, neuron: usize) -> *const f32 {
        self.from.wrapping_add(neuron * self.from_stride)
    }

    /// Where the sums of `neuron` < `neurons` are written, LINE floats.
    #[inline(always)]
    pub(crate) fn to(&mut self, neuron: usize) -> *mut f32 {
        self.to.wrapping_add(neuron * self.to_stride)
    }
}

/// Register tile of the fused forward pass, and subset sums of the backward one.
pub(crate) trait ReluKernel: PackKernel {
    /// Neurons of a register, a multiple of 8.
    const LANES: usize;
    /// Registers of neurons of the widest tile.
    const VECTORS: usize;
    /// Samples of the tile, a divisor of the 64 of a block.
    const SAMPLES: usize;

    /// sums_i ← sums_i + a ReLU(z_i), lane by lane, z_ik = ⟨v_k, x_i⟩, and the bits \[not z_ik < 0\], for SAMPLES samples i
    /// and `neurons` neurons k.
    ///
    /// `x`: row i from i · `row_stride` on. `v`: \[depth\]\[VECTORS · LANES\], `a`: \[VECTORS · LANES\], both filled up with 0;
    /// VECTORS, that of the trait or less, is ⌈`neurons` / LANES⌉. `sums`: \[SAMPLES\]\[LANES\]. `bits`:
    /// \[VECTORS\]\[64\]\[LANES / 8\] bytes, bit r of a sample's bytes for lane r, from the tile's first sample on.
    #[expect(clippy::too_many_arguments)] // the equation has these operands
    fn forward_tile(
        self,
        depth: usize,
        x: &[f32],
        row_stride: usize,
        v: &[f32],
        a: &[f32],
        neurons: usize,
        sums: &mut [f32],
        bits: &mut [u8],
    );

    /// The sum of LANES elements.
    fn reduce(self, lanes: &[f32]) -> f32;

    /// Bit i of words_k ← bit k of sample i. `bits`: \[64\]\[LANES / 8\] bytes, `words`: \[≤ LANES\].
    fn transpose_bits(self, bits: &[u8], words: &mut [u64]);

    /// Table t ← all subset sums of sign · x of the rows G t … G t + G − 1, entry e that of the rows whose bit is set
    /// in e.
    ///
    /// A row is the `width` ≤ 16 elements of `x` from its start on, filled up with 0. `tables`: \[⌈rows /
    /// G⌉\]\[[`table_entries`]\]\[16\]. Of the last table only the entries its rows can make are written.
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]);

    /// sums_k ← sums_k + Σ_t tables\[t\]\[bits G t … G t + G − 1 of words_k\], t < [`padded_groups`]\(G, `groups`\).
    ///
    /// `words`: \[neurons\], `tables`: \[padded groups\]\[[`table_entries`]\]\[16\].
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: Sums<'_>);

    /// The bits of `word` that `select` selects, moved together to the low end.
    fn extract_bits(self, word: u64, select: u64) -> u64;
}

/// An algorithm to be compiled once per instruction set `A`.
pub(crate) trait Algorithm<A> {
    /// Runs it. Implementations are `#[inline(always)]`, so that all of it is compiled with the features of the caller.
    fn run(self, arch: A);
}
