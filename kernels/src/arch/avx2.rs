//! Micro-kernels for AVX2 with FMA and BMI2: 16 registers of 8 floats.

use super::{Algorithm, GemmKernel, ReluKernel, Tile};
use crate::workspace::LINE;
use std::arch::x86_64::*;

/// Proof that the host runs AVX2, FMA, BMI1, BMI2 and POPCNT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

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
/// Rows of the GEMM tile. 6 x 2 registers of sums, 2 of B and 2 for A's broadcasts are all 16; 12 independent sums cover an
/// FMA's latency of 4 or 5 cycles at 2 per cycle.
const MR: usize = 6;
/// Registers in a row of the GEMM tile.
const NV: usize = 2;
/// Neurons of the forward tile: the same tile, v in place of A.
const NEURONS: usize = 6;
/// Registers of samples in the forward tile.
const SV: usize = 2;

impl GemmKernel for Avx2 {
    const MR: usize = MR;
    const NR: usize = NV * LANES;

    #[inline(always)]
    fn gemm_tile(self, tile: Tile, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { gemm_tile(tile, a, b, c) }
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
        bits: &mut [u64],
    ) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { forward_tile::<RELU>(depth, x, v, a, h, bits) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, rows: &[f32], tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { subset_sums::<G>(rows, tables) }
    }

    #[inline(always)]
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

#[inline]
#[target_feature(enable = "avx2,fma")]
fn gemm_tile(tile: Tile, a: &[f32], b: &[f32], c: &mut [f32]) {
    let Tile { depth, alpha, beta, row_stride, rows, cols } = tile;
    assert!(a.len() >= depth * MR && b.len() >= depth * NV * LANES);
    assert!((1..=MR).contains(&rows) && (1..=NV * LANES).contains(&cols) && (rows - 1) * row_stride + cols <= c.len());

    let mut sums = [[_mm256_setzero_ps(); NV]; MR];
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    for _ in 0..depth {
        // SAFETY: `a` has advanced by fewer than `depth` rows of MR and `b` by fewer than `depth` rows of NV * LANES; the first
        // assert gives them `depth` rows.
        unsafe {
            let b_row: [__m256; NV] = std::array::from_fn(|v| _mm256_loadu_ps(b.add(v * LANES)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*a.add(i));
                for (sum, b) in sums.iter_mut().zip(b_row) {
                    *sum = _mm256_fmadd_ps(a, b, *sum);
                }
            }
            (a, b) = (a.add(MR), b.add(NV * LANES));
        }
    }

    let (alpha, beta_vector) = (_mm256_set1_ps(alpha), _mm256_set1_ps(beta));
    let lanes: [__m256i; NV] = std::array::from_fn(|v| lanes(cols, v));
    for (i, sums) in sums.into_iter().enumerate() {
        if i >= rows {
            break;
        }
        for (v, (sum, lanes)) in sums.into_iter().zip(lanes).enumerate() {
            let c = c.as_mut_ptr().wrapping_add(i * row_stride + v * LANES);
            let sum = _mm256_mul_ps(alpha, sum);
            // SAFETY: the lanes that are loaded and stored belong to columns below `cols` of row `i` < `rows`, which the second
            // assert places inside `c`; masked lanes are not accessed.
            unsafe {
                let sum =
                    if beta == 0.0 { sum } else { _mm256_fmadd_ps(beta_vector, _mm256_maskload_ps(c, lanes), sum) };
                _mm256_maskstore_ps(c, lanes, sum);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn forward_tile<const RELU: bool>(depth: usize, x: &[f32], v: &[f32], a: &[f32], h: &mut [f32], bits: &mut [u64]) {
    assert!(x.len() >= depth * SV * LANES && v.len() >= depth * NEURONS);
    assert!(h.len() >= SV * LANES);

    let mut z = [[_mm256_setzero_ps(); SV]; NEURONS];
    let (mut x, mut v) = (x.as_ptr(), v.as_ptr());
    for _ in 0..depth {
        // SAFETY: `x` has advanced by fewer than `depth` rows of SV * LANES and `v` by fewer than `depth` rows of NEURONS; the
        // first assert gives them `depth` rows.
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
        if k >= a.len() || k >= bits.len() {
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
        bits[k] = if RELU { word } else { u64::MAX };
    }
    for (s, sum) in sums.into_iter().enumerate() {
        // SAFETY: the second assert gives `h` SV * LANES elements.
        unsafe { _mm256_storeu_ps(h.add(s * LANES), sum) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn subset_sums<const G: usize>(rows: &[f32], tables: &mut [f32]) {
    let rows = rows.as_chunks::<LINE>().0;
    assert!(tables.len() >= (rows.len().div_ceil(G) << G) * LINE);
    for (t, rows) in rows.chunks(G).enumerate() {
        let table = tables[(t << G) * LINE..][..LINE << G].as_mut_ptr();
        for half in [0, LANES] {
            // SAFETY: entry 0 lies in the slice of 2^G entries that `table` points to.
            unsafe { _mm256_storeu_ps(table.add(half), _mm256_setzero_ps()) };
            for (j, row) in rows.iter().enumerate() {
                // SAFETY: `row` has LINE elements.
                let row = unsafe { _mm256_loadu_ps(row.as_ptr().add(half)) };
                for e in 0..1 << j {
                    // SAFETY: e and e + 2^j are below 2^(j + 1) <= 2^G, the entries that `table` points to.
                    unsafe {
                        let sum = _mm256_add_ps(_mm256_loadu_ps(table.add(e * LINE + half)), row);
                        _mm256_storeu_ps(table.add((e + (1 << j)) * LINE + half), sum);
                    }
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_subsets<const G: usize>(groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
    assert!(tables.len() >= (groups << G) * LINE);
    assert!(G * groups < 64 + G);
    for (sum, &word) in sums.as_chunks_mut::<LINE>().0.iter_mut().zip(words) {
        // SAFETY: `sum` has LINE elements.
        let (mut low, mut high) = unsafe { (_mm256_loadu_ps(sum.as_ptr()), _mm256_loadu_ps(sum.as_ptr().add(LANES))) };
        for t in 0..groups {
            let entry = (t << G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
            // SAFETY: `entry` is below groups * 2^G, and the assert gives the tables that many entries.
            unsafe {
                let table = tables.as_ptr().add(entry * LINE);
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
}
