//! Micro-kernels for AVX-512 (F, BW, DQ, VL) with BMI2: 32 registers of 16 floats.

use super::{Algorithm, GemmKernel, ReluKernel, Tile};
use crate::workspace::LINE;
use std::arch::x86_64::*;

/// Proof that the host runs AVX-512 F, BW, DQ, VL and all that [`super::avx2::Avx2`] proves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The host runs AVX-512 F, BW, DQ, VL and AVX2, FMA, BMI1, BMI2, POPCNT.
    pub(crate) unsafe fn new_unchecked() -> Self {
        Self(())
    }

    /// Runs `algorithm`, compiled with the features this token proves.
    pub(crate) fn run(self, algorithm: impl Algorithm<Self>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,popcnt")]
        fn with_features(token: Avx512, algorithm: impl Algorithm<Avx512>) {
            algorithm.run(token);
        }
        // SAFETY: the token `self` proves these features.
        unsafe { with_features(self, algorithm) }
    }
}

/// Rows of the GEMM tile. 12 x 2 registers of sums, 2 of B, and A broadcast from memory: 24 independent sums cover an FMA's
/// latency of 4 cycles at 1 per cycle (Zen 4) or 2 (server Intel), and 14 loads feed 24 FMAs.
const MR: usize = 12;
/// Registers in a row of the GEMM tile.
const NV: usize = 2;
/// Neurons of the forward tile. 8 x 3 sums, 3 registers of x, v broadcast: 11 loads feed 24 FMAs.
const NEURONS: usize = 8;
/// Registers of samples in the forward tile.
const SV: usize = 3;

impl GemmKernel for Avx512 {
    const MR: usize = MR;
    const NR: usize = NV * LINE;

    #[inline(always)]
    fn gemm_tile(self, tile: Tile, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { gemm_tile(tile, a, b, c) }
    }
}

impl ReluKernel for Avx512 {
    const NEURONS: usize = NEURONS;
    const SAMPLES: usize = SV * LINE;

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
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { forward_tile::<RELU>(depth, x, v, a, h, bits) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, rows: &[f32], tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { subset_sums::<G>(rows, tables) }
    }

    #[inline(always)]
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { add_subsets::<G>(groups, words, tables, sums) }
    }

    #[inline(always)]
    fn extract_bits(self, word: u64, select: u64) -> u64 {
        // SAFETY: the token `self` proves BMI2.
        unsafe { _pext_u64(word, select) }
    }
}

/// The lanes of register `v` that lie below `len`.
fn lanes(len: usize, v: usize) -> __mmask16 {
    match len.saturating_sub(v * LINE) {
        rest @ 0..LINE => (1 << rest) - 1,
        _ => !0,
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn gemm_tile(tile: Tile, a: &[f32], b: &[f32], c: &mut [f32]) {
    let Tile { depth, alpha, beta, row_stride, rows, cols } = tile;
    assert!(a.len() >= depth * MR && b.len() >= depth * NV * LINE);
    assert!((1..=MR).contains(&rows) && (1..=NV * LINE).contains(&cols) && (rows - 1) * row_stride + cols <= c.len());

    let mut sums = [[_mm512_setzero_ps(); NV]; MR];
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    for _ in 0..depth {
        // SAFETY: `a` has advanced by fewer than `depth` rows of MR and `b` by fewer than `depth` rows of NV * LINE; the first
        // assert gives them `depth` rows.
        unsafe {
            let b_row: [__m512; NV] = std::array::from_fn(|v| _mm512_loadu_ps(b.add(v * LINE)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(i));
                for (sum, b) in sums.iter_mut().zip(b_row) {
                    *sum = _mm512_fmadd_ps(a, b, *sum);
                }
            }
            (a, b) = (a.add(MR), b.add(NV * LINE));
        }
    }

    let (alpha, beta_vector) = (_mm512_set1_ps(alpha), _mm512_set1_ps(beta));
    let lanes: [__mmask16; NV] = std::array::from_fn(|v| lanes(cols, v));
    for (i, sums) in sums.into_iter().enumerate() {
        if i >= rows {
            break;
        }
        for (v, (sum, lanes)) in sums.into_iter().zip(lanes).enumerate() {
            let c = c.as_mut_ptr().wrapping_add(i * row_stride + v * LINE);
            let sum = _mm512_mul_ps(alpha, sum);
            // SAFETY: the lanes that are loaded and stored belong to columns below `cols` of row `i` < `rows`, which the second
            // assert places inside `c`; masked lanes are not accessed.
            unsafe {
                let sum =
                    if beta == 0.0 { sum } else { _mm512_fmadd_ps(beta_vector, _mm512_maskz_loadu_ps(lanes, c), sum) };
                _mm512_mask_storeu_ps(c, lanes, sum);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn forward_tile<const RELU: bool>(depth: usize, x: &[f32], v: &[f32], a: &[f32], h: &mut [f32], bits: &mut [u64]) {
    assert!(x.len() >= depth * SV * LINE && v.len() >= depth * NEURONS);
    assert!(h.len() >= SV * LINE);

    let mut z = [[_mm512_setzero_ps(); SV]; NEURONS];
    let (mut x, mut v) = (x.as_ptr(), v.as_ptr());
    for _ in 0..depth {
        // SAFETY: `x` has advanced by fewer than `depth` rows of SV * LINE and `v` by fewer than `depth` rows of NEURONS; the
        // first assert gives them `depth` rows.
        unsafe {
            let x_row: [__m512; SV] = std::array::from_fn(|s| _mm512_loadu_ps(x.add(s * LINE)));
            for (k, z) in z.iter_mut().enumerate() {
                let v = _mm512_set1_ps(*v.add(k));
                for (z, x) in z.iter_mut().zip(x_row) {
                    *z = _mm512_fmadd_ps(v, x, *z);
                }
            }
            (x, v) = (x.add(SV * LINE), v.add(NEURONS));
        }
    }

    let zero = _mm512_setzero_ps();
    let h = h.as_mut_ptr();
    // SAFETY: the second assert gives `h` SV * LINE elements.
    let mut sums: [__m512; SV] = std::array::from_fn(|s| unsafe { _mm512_loadu_ps(h.add(s * LINE)) });
    for (k, z) in z.into_iter().enumerate() {
        if k >= a.len() || k >= bits.len() {
            break;
        }
        let a = _mm512_set1_ps(a[k]);
        let mut word = 0;
        for (s, (z, sum)) in z.into_iter().zip(&mut sums).enumerate() {
            if RELU {
                // Ordered, so that a NaN is inactive; the maximum returns its second operand if that is a NaN.
                word |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(z, zero)) << (s * LINE);
                *sum = _mm512_fmadd_ps(a, _mm512_max_ps(zero, z), *sum);
            } else {
                *sum = _mm512_fmadd_ps(a, z, *sum);
            }
        }
        bits[k] = if RELU { word } else { u64::MAX };
    }
    for (s, sum) in sums.into_iter().enumerate() {
        // SAFETY: the second assert gives `h` SV * LINE elements.
        unsafe { _mm512_storeu_ps(h.add(s * LINE), sum) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn subset_sums<const G: usize>(rows: &[f32], tables: &mut [f32]) {
    let rows = rows.as_chunks::<LINE>().0;
    assert!(tables.len() >= (rows.len().div_ceil(G) << G) * LINE);
    for (t, rows) in rows.chunks(G).enumerate() {
        let table = tables[(t << G) * LINE..][..LINE << G].as_mut_ptr();
        // SAFETY: entry 0 lies in the slice of 2^G entries that `table` points to.
        unsafe { _mm512_storeu_ps(table, _mm512_setzero_ps()) };
        for (j, row) in rows.iter().enumerate() {
            // SAFETY: `row` has LINE elements.
            let row = unsafe { _mm512_loadu_ps(row.as_ptr()) };
            for e in 0..1 << j {
                // SAFETY: e and e + 2^j are below 2^(j + 1) <= 2^G, the entries that `table` points to.
                unsafe {
                    let sum = _mm512_add_ps(_mm512_loadu_ps(table.add(e * LINE)), row);
                    _mm512_storeu_ps(table.add((e + (1 << j)) * LINE), sum);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_subsets<const G: usize>(groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
    assert!(tables.len() >= (groups << G) * LINE);
    assert!(G * groups < 64 + G);
    for (sum, &word) in sums.as_chunks_mut::<LINE>().0.iter_mut().zip(words) {
        // SAFETY: `sum` has LINE elements.
        let mut total = unsafe { _mm512_loadu_ps(sum.as_ptr()) };
        for t in 0..groups {
            let entry = (t << G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
            // SAFETY: `entry` is below groups * 2^G, and the assert gives the tables that many entries.
            total = _mm512_add_ps(total, unsafe { _mm512_loadu_ps(tables.as_ptr().add(entry * LINE)) });
        }
        // SAFETY: `sum` has LINE elements.
        unsafe { _mm512_storeu_ps(sum.as_mut_ptr(), total) };
    }
}
