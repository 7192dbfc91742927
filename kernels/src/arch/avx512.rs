//! Micro-kernels for AVX-512 (F, BW, DQ, VL) with BMI2: 32 registers of 16 floats.

use super::{Algorithm, PackKernel, ReluKernel, Row, Sums, avx2, padded_groups, table_entries};
use crate::mask::BLOCK;
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

/// Registers of neurons in the widest forward tile. 8 x 3 sums and 3 registers of v, x broadcast: 11 loads feed 24 FMAs.
const VECTORS: usize = 3;
/// Samples of the forward tile.
const SAMPLES: usize = 8;

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
    const LANES: usize = LINE;
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
        // SAFETY: the token `self` proves AVX-512F.
        unsafe {
            const { assert!(VECTORS == 3) };
            match neurons.div_ceil(LINE) {
                1 => forward_tile::<1>(depth, x, row_stride, v, a, neurons, sums, bits),
                2 => forward_tile::<2>(depth, x, row_stride, v, a, neurons, sums, bits),
                _ => forward_tile::<3>(depth, x, row_stride, v, a, neurons, sums, bits),
            }
        }
    }

    #[inline(always)]
    fn reduce(self, lanes: &[f32]) -> f32 {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { reduce(lanes) }
    }

    #[inline(always)]
    fn transpose_bits(self, bits: &[u8], words: &mut [u64]) {
        // SAFETY: the token `self` proves AVX-512 F and BW.
        unsafe { transpose_bits(bits, words) }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { subset_sums::<G>(x, rows, width, tables) }
    }

    // Inlined, its loop loses its registers to the caller and reloads pointers, and it is loads that limit it. The
    // compiler heeds `never` here, in a function without `target_feature`.
    #[inline(never)]
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: Sums<'_>) {
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
#[expect(clippy::too_many_arguments)] // those of `ReluKernel::forward_tile`
fn forward_tile<const V: usize>(
    depth: usize,
    x: &[f32],
    row_stride: usize,
    v: &[f32],
    a: &[f32],
    neurons: usize,
    sums: &mut [f32],
    bits: &mut [u8],
) {
    assert!(x.len() >= (SAMPLES - 1) * row_stride + depth && v.len() >= depth * V * LINE);
    assert!(a.len() >= V * LINE && sums.len() >= SAMPLES * LINE);
    assert!(bits.len() >= 2 * ((V - 1) * BLOCK + SAMPLES));

    let mut z = [[_mm512_setzero_ps(); V]; SAMPLES];
    let x: [*const f32; SAMPLES] = std::array::from_fn(|i| x.as_ptr().wrapping_add(i * row_stride));
    let mut v = v.as_ptr();
    for p in 0..depth {
        // SAFETY: the first assert gives each of the rows of `x` `depth` elements, and `v` as many rows of V * LINE, of
        // which it has advanced by `p`.
        unsafe {
            let v_row: [__m512; V] = std::array::from_fn(|r| _mm512_loadu_ps(v.add(r * LINE)));
            for (z, x) in z.iter_mut().zip(x) {
                let x = _mm512_set1_ps(*x.add(p));
                for (z, v) in z.iter_mut().zip(v_row) {
                    *z = _mm512_fmadd_ps(x, v, *z);
                }
            }
            v = v.add(V * LINE);
        }
    }

    let zero = _mm512_setzero_ps();
    let valid: [__mmask16; V] = std::array::from_fn(|r| lanes(neurons, r));
    // SAFETY: the second assert gives `a` V * LINE elements.
    let a: [__m512; V] = std::array::from_fn(|r| unsafe { _mm512_loadu_ps(a.as_ptr().add(r * LINE)) });
    for (i, z) in z.into_iter().enumerate() {
        // SAFETY: the second assert gives `sums` SAMPLES * LINE elements, of which these are LINE.
        let mut sum = unsafe { _mm512_loadu_ps(sums.as_ptr().add(i * LINE)) };
        for r in 0..V {
            // Not less, so that a NaN is active and goes on into the sum.
            let active = _mm512_mask_cmp_ps_mask::<_CMP_NLT_UQ>(valid[r], z[r], zero);
            sum = _mm512_mask3_fmadd_ps(a[r], z[r], sum, active);
            // SAFETY: the last assert gives `bits` the two bytes of sample `i` < SAMPLES of register `r` < V.
            unsafe { bits.as_mut_ptr().add(2 * (r * BLOCK + i)).cast::<u16>().write_unaligned(active) };
        }
        // SAFETY: as of the load.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr().add(i * LINE), sum) };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reduce(lanes: &[f32]) -> f32 {
    assert!(lanes.len() >= LINE);
    // SAFETY: the assert gives `lanes` LINE elements.
    _mm512_reduce_add_ps(unsafe { _mm512_loadu_ps(lanes.as_ptr()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose_bits(bits: &[u8], words: &mut [u64]) {
    assert!(bits.len() >= 2 * BLOCK);
    // SAFETY: the assert gives `bits` 128 bytes.
    let [low, high] = [0, 64].map(|at| unsafe { _mm512_loadu_si512(bits.as_ptr().add(at).cast()) });
    // The first and the second byte of every sample, the top bit of which the mask of a vector's signs takes.
    let join = |low, high| {
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(low)), _mm512_cvtepi16_epi8(high))
    };
    let bytes = [join(low, high), join(_mm512_srli_epi16::<8>(low), _mm512_srli_epi16::<8>(high))];
    for (mut bytes, words) in bytes.into_iter().zip(words.chunks_mut(8)) {
        if let Ok(words) = <&mut [u64; 8]>::try_from(&mut *words) {
            for word in words.iter_mut().rev() {
                *word = _mm512_movepi8_mask(bytes);
                bytes = _mm512_add_epi8(bytes, bytes);
            }
        } else {
            for (k, word) in words.iter_mut().enumerate() {
                *word = _mm512_test_epi8_mask(bytes, _mm512_set1_epi8(1 << k));
            }
        }
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
#[target_feature(enable = "avx512f")]
fn add_quarters<const G: usize, const QUARTERS: usize>(words: &[u64], tables: &[f32], mut sums: Sums<'_>) {
    let groups = const { padded_groups(G, QUARTERS * padded_groups(G, 1)) };
    assert!(words.len() == sums.neurons() && tables.len() >= groups * table_entries(G) * LINE);
    let tables = tables.as_ptr();
    for (k, &word) in words.iter().enumerate() {
        // SAFETY: k is below `sums.neurons()`, so that LINE floats are there to be read.
        let mut total = unsafe { _mm512_loadu_ps(sums.from(k)) };
        for t in 0..groups {
            let entry = t * table_entries(G) + ((word >> (G * t)) as usize & ((1 << G) - 1));
            // SAFETY: `entry` is below groups * table_entries(G), and the assert gives the tables that many entries.
            total = _mm512_add_ps(total, unsafe { _mm512_loadu_ps(tables.add(entry * LINE)) });
        }
        // SAFETY: as of the load, to be written.
        unsafe { _mm512_storeu_ps(sums.to(k), total) };
    }
}
