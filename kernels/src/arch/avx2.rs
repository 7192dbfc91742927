//! Micro-kernels for AVX2 with FMA and BMI2: 16 registers of 8 floats.

use super::{Algorithm, PackKernel, ReluKernel, Row, Sums, padded_groups, table_entries};
use crate::mask::BLOCK;
use crate::workspace::LINE;
use std::arch::asm;
use std::arch::x86_64::*;

mod gemm;

pub(super) use gemm::transpose_f64;

/// Proof that the host runs AVX2, FMA, BMI1, BMI2 and POPCNT.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The host runs AVX2, FMA, BMI1, BMI2 and POPCNT.
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }

    /// Runs `algorithm`, compiled with the features this token proves.
    pub(crate) fn run(self, algorithm: impl Algorithm<Self>) {
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,popcnt")]
        fn with_features(token: Avx2, algorithm: impl Algorithm<Avx2>) {
            algorithm.run(token);
        }
        // SAFETY: the token `self` proves these features.
        unsafe { with_features(self, algorithm) }
    }
}

/// Floats of a register.
const LANES: usize = 8;
/// Registers of neurons in the widest forward tile. 4 x 3 registers of sums, 3 of v and 1 for x's broadcasts are all 16.
const VECTORS: usize = 3;
/// Samples of the forward tile.
const SAMPLES: usize = 4;

impl PackKernel<f32> for Avx2 {
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        #[allow(unused_unsafe)] // safe in newer versions of the standard library than `rust-version`
        // SAFETY: the token `self` proves SSE; a prefetch accesses nothing, wherever it points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }

    #[inline(always)]
    fn transpose<const R: usize>(self, a: &[f32], row_stride: usize, cols: usize, out: &mut [f32], width: usize) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { transpose::<R>(a, row_stride, cols, out, width) }
    }
}

impl ReluKernel for Avx2 {
    const LANES: usize = LANES;
    const VECTORS: usize = VECTORS;
    const SAMPLES: usize = SAMPLES;

    #[inline(always)]
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
    ) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe {
            const { assert!(VECTORS == 3) };
            match (neurons.div_ceil(LANES), neurons.is_multiple_of(LANES)) {
                (0 | 1, false) => forward_tile::<1, false>(depth, x, row_stride, v, a, neurons, sums, bits),
                (0 | 1, true) => forward_tile::<1, true>(depth, x, row_stride, v, a, neurons, sums, bits),
                (2, false) => forward_tile::<2, false>(depth, x, row_stride, v, a, neurons, sums, bits),
                (2, true) => forward_tile::<2, true>(depth, x, row_stride, v, a, neurons, sums, bits),
                (_, false) => forward_tile::<3, false>(depth, x, row_stride, v, a, neurons, sums, bits),
                (_, true) => forward_tile::<3, true>(depth, x, row_stride, v, a, neurons, sums, bits),
            }
        }
    }

    #[inline(always)]
    fn reduce(self, lanes: &[f32]) -> f32 {
        // SAFETY: the token `self` proves AVX2.
        unsafe { reduce(lanes) }
    }

    #[inline(always)]
    fn transpose_bits(self, bits: &[u8], words: &mut [u64]) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { transpose_bits(bits, words) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { subset_sums::<G>(x, rows, width, tables) }
    }

    // Inlined, its loop loses its registers to the caller and reloads pointers, and it is loads that limit it. The
    // compiler heeds `never` here, in a function without `target_feature`.
    #[inline(never)]
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: Sums<'_>) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { add_subsets::<G>(groups, words, tables, sums) }
    }

    #[inline(always)]
    fn extract_bits(self, word: u64, select: u64) -> u64 {
        // SAFETY: the token `self` proves BMI2.
        unsafe { _pext_u64(word, select) }
    }
}

/// The lanes of register `v` that lie below `len`, as sign bits.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes(len: usize, v: usize) -> __m256i {
    let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(len.saturating_sub(v * LANES).min(LANES) as i32), index)
}

/// out\[j · width + i\] ← a\[i · row_stride + j\] for i < R ≤ 8, j < `cols`: 4 columns at a time, transposed in
/// registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transpose<const R: usize>(a: &[f32], row_stride: usize, cols: usize, out: &mut [f32], width: usize) {
    const { assert!(R == 4 || R == 6 || R == 8) };
    if cols == 0 {
        return;
    }
    assert!((R - 1) * row_stride + cols <= a.len() && (cols - 1) * width + R <= out.len());
    let (blocks, rest) = (cols / 4, cols % 4);
    for j in (0..4 * blocks).step_by(4) {
        let mut rows = [_mm256_setzero_ps(); 4];
        for (i, row) in rows.iter_mut().enumerate() {
            // Rows i and i + 4 side by side, so that what is left is to transpose 4 x 4 within each half of a register.
            let low = a.as_ptr().wrapping_add(i * row_stride + j);
            let high = low.wrapping_add(4 * row_stride);
            // SAFETY: columns j to j + 3 lie below `cols`, row i below 4, and row i + 4 is loaded only if it lies below
            // R; the assert places them inside `a`.
            unsafe {
                *row = _mm256_castps128_ps256(_mm_loadu_ps(low));
                if i + 4 < R {
                    *row = _mm256_insertf128_ps::<1>(*row, _mm_loadu_ps(high));
                }
            }
        }
        let (low_01, high_01) = (_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[0], rows[1]));
        let (low_23, high_23) = (_mm256_unpacklo_ps(rows[2], rows[3]), _mm256_unpackhi_ps(rows[2], rows[3]));
        let columns = [
            _mm256_shuffle_ps::<0x44>(low_01, low_23),
            _mm256_shuffle_ps::<0xee>(low_01, low_23),
            _mm256_shuffle_ps::<0x44>(high_01, high_23),
            _mm256_shuffle_ps::<0xee>(high_01, high_23),
        ];
        for (c, column) in columns.into_iter().enumerate() {
            let out = out.as_mut_ptr().wrapping_add((j + c) * width);
            // SAFETY: R elements are stored from column j + c < `cols` on, which the assert places inside `out`.
            unsafe {
                if R == 8 {
                    _mm256_storeu_ps(out, column);
                } else {
                    _mm_storeu_ps(out, _mm256_castps256_ps128(column));
                }
                if R == 6 {
                    _mm_storel_pd(out.add(4).cast(), _mm_castps_pd(_mm256_extractf128_ps::<1>(column)));
                }
            }
        }
    }
    for j in cols - rest..cols {
        for i in 0..R {
            out[j * width + i] = a[i * row_stride + j];
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(clippy::too_many_arguments)] // those of `ReluKernel::forward_tile`
fn forward_tile<const V: usize, const FULL: bool>(
    depth: usize,
    x: &[f32],
    row_stride: usize,
    v: &[f32],
    a: &[f32],
    neurons: usize,
    sums: &mut [f32],
    bits: &mut [u8],
) {
    assert!(x.len() >= (SAMPLES - 1) * row_stride + depth && v.len() >= depth * V * LANES);
    assert!(a.len() >= V * LANES && sums.len() >= SAMPLES * LANES);
    assert!(bits.len() >= (V - 1) * BLOCK + SAMPLES);

    let mut z = [[_mm256_setzero_ps(); V]; SAMPLES];
    let x: [*const f32; SAMPLES] = std::array::from_fn(|i| x.as_ptr().wrapping_add(i * row_stride));
    let mut v = v.as_ptr();
    let steps = if V == VECTORS { depth / STEPS * STEPS } else { 0 };
    for p in (0..steps).step_by(STEPS) {
        // SAFETY: the first assert gives each of the rows of `x` `depth` elements, and `v` as many rows of V * LANES, of
        // which it has advanced by `p`.
        unsafe {
            widest_steps(&mut z, x, p, v);
            v = v.add(STEPS * V * LANES);
        }
    }
    for p in steps..depth {
        // SAFETY: as above.
        unsafe {
            let v_row: [__m256; V] = std::array::from_fn(|r| _mm256_loadu_ps(v.add(r * LANES)));
            for (z, x) in z.iter_mut().zip(x) {
                let x = _mm256_broadcast_ss(&*x.add(p));
                for (z, v) in z.iter_mut().zip(v_row) {
                    *z = _mm256_fmadd_ps(x, v, *z);
                }
            }
            v = v.add(V * LANES);
        }
    }

    let zero = _mm256_setzero_ps();
    let valid: [__m256; V] = std::array::from_fn(|r| _mm256_castsi256_ps(lanes(neurons, r)));
    // SAFETY: the second assert gives `a` V * LANES elements.
    let a: [__m256; V] = std::array::from_fn(|r| unsafe { _mm256_loadu_ps(a.as_ptr().add(r * LANES)) });
    for (i, z) in z.into_iter().enumerate() {
        // SAFETY: the second assert gives `sums` SAMPLES * LANES elements, of which these are LANES.
        let mut sum = unsafe { _mm256_loadu_ps(sums.as_ptr().add(i * LANES)) };
        for r in 0..V {
            // Not less, so that a NaN is active and goes on into the sum.
            let mut active = _mm256_cmp_ps::<_CMP_NLT_UQ>(z[r], zero);
            if !FULL {
                active = _mm256_and_ps(active, valid[r]);
            }
            sum = _mm256_fmadd_ps(a[r], _mm256_and_ps(z[r], active), sum);
            // SAFETY: the last assert gives `bits` the byte of sample `i` < SAMPLES of register `r` < V.
            unsafe { *bits.as_mut_ptr().add(r * BLOCK + i) = _mm256_movemask_ps(active) as u8 };
        }
        // SAFETY: as of the load.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr().add(i * LANES), sum) };
    }
}

/// Steps of the depth that [`widest_steps`] takes: one is 2 % slower.
const STEPS: usize = 4;

/// The instructions of the step number `u` of [`widest_steps`].
macro_rules! step {
    ($u:literal) => {
        concat!(
            "vmovups {v0}, [{v} + 96 * ",
            $u,
            "]\n",
            "vmovups {v1}, [{v} + 96 * ",
            $u,
            " + 32]\n",
            "vmovups {v2}, [{v} + 96 * ",
            $u,
            " + 64]\n",
            step!("x0", "z00", "z01", "z02", $u),
            step!("x1", "z10", "z11", "z12", $u),
            step!("x2", "z20", "z21", "z22", $u),
            step!("x3", "z30", "z31", "z32", $u),
        )
    };
    ($x:literal, $z0:literal, $z1:literal, $z2:literal, $u:literal) => {
        concat!(
            "vbroadcastss {x}, [{",
            $x,
            "} + 4 * {p} + 4 * ",
            $u,
            "]\n",
            "vfmadd231ps {",
            $z0,
            "}, {x}, {v0}\n",
            "vfmadd231ps {",
            $z1,
            "}, {x}, {v1}\n",
            "vfmadd231ps {",
            $z2,
            "}, {x}, {v2}\n",
        )
    };
}

/// z_ir ← z_ir + Σ_u x_i\[p + u\] v_ur, u < STEPS, in the widest tile, V = VECTORS.
///
/// In assembly, because the compiler loads the next x before it is done with the one before, has no register left, and
/// keeps one of the sums in memory instead, which halves the speed.
///
/// # Safety
/// Each row of `x` has STEPS elements from `p` on, and `v` starts STEPS * VECTORS * LANES elements.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn widest_steps<const V: usize>(
    z: &mut [[__m256; V]; SAMPLES],
    x: [*const f32; SAMPLES],
    p: usize,
    v: *const f32,
) {
    let [z0, z1, z2, z3] = z.each_mut().map(|z| z.first_chunk_mut::<VECTORS>());
    let (Some([z00, z01, z02]), Some([z10, z11, z12]), Some([z20, z21, z22]), Some([z30, z31, z32])) = (z0, z1, z2, z3)
    else {
        unreachable!("V = VECTORS");
    };
    // SAFETY: it reads STEPS elements from `x[i][p]` and STEPS * VECTORS * LANES from `v` on, which the caller vouches for,
    // and writes nothing; the caller has the features.
    unsafe {
        asm!(
            step!(0),
            step!(1),
            step!(2),
            step!(3),
            v = in(reg) v,
            p = in(reg) p,
            x0 = in(reg) x[0],
            x1 = in(reg) x[1],
            x2 = in(reg) x[2],
            x3 = in(reg) x[3],
            x = out(ymm_reg) _,
            v0 = out(ymm_reg) _,
            v1 = out(ymm_reg) _,
            v2 = out(ymm_reg) _,
            z00 = inout(ymm_reg) *z00,
            z01 = inout(ymm_reg) *z01,
            z02 = inout(ymm_reg) *z02,
            z10 = inout(ymm_reg) *z10,
            z11 = inout(ymm_reg) *z11,
            z12 = inout(ymm_reg) *z12,
            z20 = inout(ymm_reg) *z20,
            z21 = inout(ymm_reg) *z21,
            z22 = inout(ymm_reg) *z22,
            z30 = inout(ymm_reg) *z30,
            z31 = inout(ymm_reg) *z31,
            z32 = inout(ymm_reg) *z32,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn reduce(lanes: &[f32]) -> f32 {
    assert!(lanes.len() >= LANES);
    // SAFETY: the assert gives `lanes` LANES elements.
    let sum = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
    let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn transpose_bits(bits: &[u8], words: &mut [u64]) {
    assert!(bits.len() >= BLOCK);
    // SAFETY: the assert gives `bits` 64 bytes.
    let [mut low, mut high] = [0, 32].map(|at| unsafe { _mm256_loadu_si256(bits.as_ptr().add(at).cast()) });
    // The mask of a vector's signs takes the top bit of every sample's byte.
    let mut all = [0; LANES];
    for word in all.iter_mut().rev() {
        *word = u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32;
        (low, high) = (_mm256_add_epi8(low, low), _mm256_add_epi8(high, high));
    }
    words.iter_mut().zip(all).for_each(|(word, all)| *word = all);
}

#[inline]
#[target_feature(enable = "avx2")]
fn subset_sums<const G: usize>(x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
    let tables = tables.as_chunks_mut::<LINE>().0;
    assert!(tables.len() >= rows.len().div_ceil(G) * table_entries(G));
    assert!(width <= LINE);
    let (full, rest) = rows.as_chunks::<G>();
    let (table, last_table) = tables.split_at_mut(full.len() * table_entries(G));
    for (rows, table) in full.iter().zip(table.chunks_exact_mut(table_entries(G))) {
        subset_table(x, rows, width, table);
    }
    // Fewer than G rows are left.
    match *rest {
        [a] => subset_table(x, &[a], width, last_table),
        [a, b] => subset_table(x, &[a, b], width, last_table),
        [a, b, c] => subset_table(x, &[a, b, c], width, last_table),
        [a, b, c, d] => subset_table(x, &[a, b, c, d], width, last_table),
        [a, b, c, d, e] => subset_table(x, &[a, b, c, d, e], width, last_table),
        _ => debug_assert!(rest.is_empty()),
    }
}

/// The rows of which all subset sums fit into registers, half a row at a time: 8 of 16.
const LOW: usize = 3;

/// table\[e\] ← the sum of the rows whose bit is set in e, for all e below 2^rows.
#[inline]
#[target_feature(enable = "avx2")]
fn subset_table<const R: usize>(x: &[f32], rows: &[Row; R], width: usize, table: &mut [[f32; LINE]]) {
    let (low, high) = rows.split_at(LOW.min(R));
    for half in 0..2 {
        let lanes = lanes(width, half);
        let load = |row: &Row| {
            let x = &x[row.start..][..width];
            // SAFETY: the lanes that are loaded lie below `width`, the length of the slice; masked lanes are not
            // accessed.
            let x = unsafe { _mm256_maskload_ps(x.as_ptr().wrapping_add(half * LANES), lanes) };
            _mm256_mul_ps(_mm256_set1_ps(row.sign), x)
        };
        let mut sums = [_mm256_setzero_ps(); 1 << LOW];
        for (j, row) in low.iter().enumerate() {
            let row = load(row);
            for e in 0..1 << j {
                sums[e + (1 << j)] = _mm256_add_ps(sums[e], row);
            }
        }
        // Every subset of the high rows gives one copy of the sums, moved by its own sum.
        for subset in 0..1 << high.len() {
            let mut shift = _mm256_setzero_ps();
            for (j, row) in high.iter().enumerate() {
                if subset >> j & 1 == 1 {
                    shift = _mm256_add_ps(shift, load(row));
                }
            }
            for (sum, entry) in sums.iter().zip(&mut table[subset << low.len()..][..1 << low.len()]) {
                let sum = if subset == 0 { *sum } else { _mm256_add_ps(*sum, shift) };
                // SAFETY: an entry has LINE elements, LANES of them from `half * LANES` on.
                unsafe { _mm256_storeu_ps(entry.as_mut_ptr().add(half * LANES), sum) };
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_subsets<const G: usize>(groups: usize, words: &[u64], tables: &[f32], sums: Sums<'_>) {
    const { assert!(padded_groups(G, 1) * 4 >= BLOCK.div_ceil(G)) };
    match groups.div_ceil(const { padded_groups(G, 1) }) {
        0 | 1 => add_quarters::<G, 1>(words, tables, sums),
        2 => add_quarters::<G, 2>(words, tables, sums),
        3 => add_quarters::<G, 3>(words, tables, sums),
        _ => add_quarters::<G, 4>(words, tables, sums),
    }
}

/// [`add_subsets`] of QUARTERS quarters of the tables of 64 samples.
#[inline]
#[target_feature(enable = "avx2")]
fn add_quarters<const G: usize, const QUARTERS: usize>(words: &[u64], tables: &[f32], mut sums: Sums<'_>) {
    let groups = const { padded_groups(G, QUARTERS * padded_groups(G, 1)) };
    assert!(words.len() == sums.neurons() && tables.len() >= groups * table_entries(G) * LINE);
    let tables = tables.as_ptr();
    for (k, &word) in words.iter().enumerate() {
        // SAFETY: k is below `sums.neurons()`, so that LINE floats are there to be read.
        let (mut low, mut high) = unsafe { (_mm256_loadu_ps(sums.from(k)), _mm256_loadu_ps(sums.from(k).add(LANES))) };
        for t in 0..groups {
            let entry = t * table_entries(G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
            // SAFETY: `entry` is below groups * table_entries(G), and the assert gives the tables that many entries.
            unsafe {
                let table = tables.add(entry * LINE);
                low = _mm256_add_ps(low, _mm256_loadu_ps(table));
                high = _mm256_add_ps(high, _mm256_loadu_ps(table.add(LANES)));
            }
        }
        // SAFETY: as of the load, to be written.
        unsafe {
            _mm256_storeu_ps(sums.to(k), low);
            _mm256_storeu_ps(sums.to(k).add(LANES), high);
        }
    }
}
