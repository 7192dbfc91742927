//! Micro-kernels for AVX2 with FMA and BMI2: 16 registers of 8 floats.

use super::{Algorithm, BitTile, PackKernel, ReluKernel, Row, table_entries};
use crate::workspace::LINE;
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
/// Neurons of the forward tile. 6 x 2 registers of sums, 2 of x and 2 for v's broadcasts are all 16.
const NEURONS: usize = 6;
/// Registers of samples in the forward tile.
const SV: usize = 2;

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
    const NEURONS: usize = NEURONS;
    const SAMPLES: usize = SV * LANES;

    #[inline(always)]
    fn forward_tile<const RELU: bool>(
        self,
        depth: usize,
        x: &[f32],
        v: &[f32],
        a: &[f32],
        h: &mut [f32],
        bits: BitTile<'_>,
    ) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { forward_tile::<RELU>(depth, x, v, a, h, bits) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { subset_sums::<G>(x, rows, width, tables) }
    }

    // Inlined, its loop loses its registers to the caller and reloads pointers, and it is loads that limit it. The
    // compiler heeds `never` here, in a function without `target_feature`.
    #[inline(never)]
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
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
fn forward_tile<const RELU: bool>(depth: usize, x: &[f32], v: &[f32], a: &[f32], h: &mut [f32], mut bits: BitTile<'_>) {
    assert!(x.len() >= depth * SV * LANES && v.len() >= depth * NEURONS);
    assert!(h.len() >= SV * LANES);

    let mut z = [[_mm256_setzero_ps(); SV]; NEURONS];
    let (mut x, mut v) = (x.as_ptr(), v.as_ptr());
    for _ in 0..depth {
        // SAFETY: `x` has advanced by fewer than `depth` rows of SV * LANES and `v` by fewer than `depth` rows of
        // NEURONS; the first assert gives them `depth` rows.
        unsafe {
            let x_row: [__m256; SV] = std::array::from_fn(|s| _mm256_loadu_ps(x.add(s * LANES)));
            for (k, z) in z.iter_mut().enumerate() {
                let v = _mm256_set1_ps(*v.add(k));
                for (z, x) in z.iter_mut().zip(x_row) {
                    *z = _mm256_fmadd_ps(v, x, *z);
                }
            }
            (x, v) = (x.add(SV * LANES), v.add(NEURONS));
        }
    }

    let zero = _mm256_setzero_ps();
    let h = h.as_mut_ptr();
    // SAFETY: the second assert gives `h` SV * LANES elements.
    let mut sums: [__m256; SV] = std::array::from_fn(|s| unsafe { _mm256_loadu_ps(h.add(s * LANES)) });
    for (k, z) in z.into_iter().enumerate() {
        if k >= a.len() {
            break;
        }
        let a = _mm256_set1_ps(a[k]);
        let mut word = 0;
        for (s, (z, sum)) in z.into_iter().zip(&mut sums).enumerate() {
            if RELU {
                // Ordered, so that a NaN is inactive; the maximum returns its second operand if that is a NaN.
                let active = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(z, zero));
                word |= (active as u64) << (s * LANES);
                *sum = _mm256_fmadd_ps(a, _mm256_max_ps(zero, z), *sum);
            } else {
                *sum = _mm256_fmadd_ps(a, z, *sum);
            }
        }
        bits.put(k, if RELU { word } else { u64::MAX });
    }
    for (s, sum) in sums.into_iter().enumerate() {
        // SAFETY: the second assert gives `h` SV * LANES elements.
        unsafe { _mm256_storeu_ps(h.add(s * LANES), sum) };
    }
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
fn add_subsets<const G: usize>(groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
    assert!(tables.len() >= groups * table_entries(G) * LINE);
    assert!(G * groups < 64 + G);
    let tables = tables.as_ptr();
    let mut add = |groups: usize| {
        for (sum, &word) in sums.as_chunks_mut::<LINE>().0.iter_mut().zip(words) {
            // SAFETY: `sum` has LINE elements.
            let (mut low, mut high) =
                unsafe { (_mm256_loadu_ps(sum.as_ptr()), _mm256_loadu_ps(sum.as_ptr().add(LANES))) };
            for t in 0..groups {
                let entry = t * table_entries(G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
                // SAFETY: `entry` is below groups * table_entries(G), and the assert gives the tables that many entries.
                unsafe {
                    let table = tables.add(entry * LINE);
                    low = _mm256_add_ps(low, _mm256_loadu_ps(table));
                    high = _mm256_add_ps(high, _mm256_loadu_ps(table.add(LANES)));
                }
            }
            // SAFETY: `sum` has LINE elements.
            unsafe {
                _mm256_storeu_ps(sum.as_mut_ptr(), low);
                _mm256_storeu_ps(sum.as_mut_ptr().add(LANES), high);
            }
        }
    };
    let full = const { 64_usize.div_ceil(G) };
    if groups == full { add(full) } else { add(groups) }
}
