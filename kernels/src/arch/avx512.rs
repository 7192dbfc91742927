//! Micro-kernels for AVX-512 (F, BW, DQ, VL) with BMI2: 32 registers of 16 floats.

use super::{Algorithm, BitTile, PackKernel, ReluKernel, Row, avx2, table_entries};
use crate::workspace::LINE;
use std::arch::x86_64::*;

mod gemm;

/// Proof that the host runs AVX-512 F, BW, DQ, VL and all that [`super::avx2::Avx2`] proves.
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

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

/// Neurons of the forward tile. 8 x 3 sums, 3 registers of x, v broadcast: 11 loads feed 24 FMAs.
const NEURONS: usize = 8;
/// Registers of samples in the forward tile.
const SV: usize = 3;

impl PackKernel<f32> for Avx512 {
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
        unsafe { avx2::transpose::<R>(a, row_stride, cols, out, width) }
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
        bits: BitTile<'_>,
    ) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { forward_tile::<RELU>(depth, x, v, a, h, bits) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { subset_sums::<G>(x, rows, width, tables) }
    }

    // Inlined, its loop loses its registers to the caller and reloads pointers, and it is loads that limit it. The
    // compiler heeds `never` here, in a function without `target_feature`.
    #[inline(never)]
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
fn forward_tile<const RELU: bool>(depth: usize, x: &[f32], v: &[f32], a: &[f32], h: &mut [f32], bits: BitTile<'_>) {
    // The last samples may need fewer registers.
    match bits.valid.count_ones() {
        0..=16 => part_of_forward_tile::<RELU, 1>(depth, x, v, a, h, bits),
        17..=32 => part_of_forward_tile::<RELU, 2>(depth, x, v, a, h, bits),
        _ => part_of_forward_tile::<RELU, SV>(depth, x, v, a, h, bits),
    }
}

/// The leading `VECTORS` registers of samples of a tile.
#[inline]
#[target_feature(enable = "avx512f")]
fn part_of_forward_tile<const RELU: bool, const VECTORS: usize>(
    depth: usize,
    x: &[f32],
    v: &[f32],
    a: &[f32],
    h: &mut [f32],
    mut bits: BitTile<'_>,
) {
    const { assert!(VECTORS <= SV) };
    assert!(x.len() >= depth * SV * LINE && v.len() >= depth * NEURONS);
    assert!(h.len() >= SV * LINE);

    let mut z = [[_mm512_setzero_ps(); VECTORS]; NEURONS];
    let (mut x, mut v) = (x.as_ptr(), v.as_ptr());
    for _ in 0..depth {
        // SAFETY: `x` has advanced by fewer than `depth` rows of SV * LINE and `v` by fewer than `depth` rows of
        // NEURONS; the first assert gives them `depth` rows.
        unsafe {
            let x_row: [__m512; VECTORS] = std::array::from_fn(|s| _mm512_loadu_ps(x.add(s * LINE)));
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
    let mut sums: [__m512; VECTORS] = std::array::from_fn(|s| unsafe { _mm512_loadu_ps(h.add(s * LINE)) });
    for (k, z) in z.into_iter().enumerate() {
        if k >= a.len() {
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
        bits.put(k, if RELU { word } else { u64::MAX });
    }
    for (s, sum) in sums.into_iter().enumerate() {
        // SAFETY: the second assert gives `h` SV * LINE elements.
        unsafe { _mm512_storeu_ps(h.add(s * LINE), sum) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn subset_sums<const G: usize>(x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
    let tables = tables.as_chunks_mut::<LINE>().0;
    assert!(tables.len() >= rows.len().div_ceil(G) * table_entries(G));
    let lanes = lanes(width, 0);
    let (full, rest) = rows.as_chunks::<G>();
    let (table, last_table) = tables.split_at_mut(full.len() * table_entries(G));
    for (rows, table) in full.iter().zip(table.chunks_exact_mut(table_entries(G))) {
        subset_table(x, rows, lanes, table);
    }
    // Fewer than G rows are left.
    match *rest {
        [a] => subset_table(x, &[a], lanes, last_table),
        [a, b] => subset_table(x, &[a, b], lanes, last_table),
        [a, b, c] => subset_table(x, &[a, b, c], lanes, last_table),
        [a, b, c, d] => subset_table(x, &[a, b, c, d], lanes, last_table),
        [a, b, c, d, e] => subset_table(x, &[a, b, c, d, e], lanes, last_table),
        _ => debug_assert!(rest.is_empty()),
    }
}

/// Rows of which all subset sums stay in registers. With 4 they would still fit; measured on Zen 4, 3 are up to 5 %
/// faster where tables count (64 neurons), and as fast elsewhere.
const LOW: usize = 3;

/// table\[e\] ← the sum of the rows whose bit is set in e, for all e below 2^rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn subset_table<const R: usize>(x: &[f32], rows: &[Row; R], lanes: __mmask16, table: &mut [[f32; LINE]]) {
    let width = 16 - lanes.leading_zeros() as usize;
    let load = |row: &Row| {
        let x = &x[row.start..][..width];
        // SAFETY: the lanes that are loaded lie below `width`, the length of the slice; masked lanes are not accessed.
        _mm512_mul_ps(_mm512_set1_ps(row.sign), unsafe { _mm512_maskz_loadu_ps(lanes, x.as_ptr()) })
    };
    let (low, high) = rows.split_at(LOW.min(R));
    let mut sums = [_mm512_setzero_ps(); 1 << LOW];
    for (j, row) in low.iter().enumerate() {
        let row = load(row);
        for e in 0..1 << j {
            sums[e + (1 << j)] = _mm512_add_ps(sums[e], row);
        }
    }
    // Every subset of the high rows gives one copy of the sums, moved by its own sum.
    for subset in 0..1 << high.len() {
        let mut shift = _mm512_setzero_ps();
        for (j, row) in high.iter().enumerate() {
            if subset >> j & 1 == 1 {
                shift = _mm512_add_ps(shift, load(row));
            }
        }
        for (sum, entry) in sums.iter().zip(&mut table[subset << low.len()..][..1 << low.len()]) {
            let sum = if subset == 0 { *sum } else { _mm512_add_ps(*sum, shift) };
            // SAFETY: an entry has LINE elements.
            unsafe { _mm512_storeu_ps(entry.as_mut_ptr(), sum) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_subsets<const G: usize>(groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
    assert!(tables.len() >= groups * table_entries(G) * LINE);
    assert!(G * groups < 64 + G);
    let tables = tables.as_ptr();
    let mut add = |groups: usize| {
        for (sum, &word) in sums.as_chunks_mut::<LINE>().0.iter_mut().zip(words) {
            // SAFETY: `sum` has LINE elements.
            let mut total = unsafe { _mm512_loadu_ps(sum.as_ptr()) };
            for t in 0..groups {
                let entry = t * table_entries(G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
                // SAFETY: `entry` is below groups * table_entries(G), and the assert gives the tables that many entries.
                total = _mm512_add_ps(total, unsafe { _mm512_loadu_ps(tables.add(entry * LINE)) });
            }
            // SAFETY: `sum` has LINE elements.
            unsafe { _mm512_storeu_ps(sum.as_mut_ptr(), total) };
        }
    };
    let full = const { 64_usize.div_ceil(G) };
    if groups == full { add(full) } else { add(groups) }
}
