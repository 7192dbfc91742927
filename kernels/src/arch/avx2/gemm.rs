//! Register tiles of the dense product: 6 x 2 registers.

use super::Avx2;
use crate::arch::gemm::{Vector, dispatch, strip, strip_beside};
use crate::arch::{GemmKernel, PackKernel, Side, Strip};
use std::arch::x86_64::*;

/// Rows of the tile. 6 x 2 registers of sums, 2 of B and 2 for A's broadcasts are all 16; 12 independent sums cover an
/// FMA's latency of 4 or 5 cycles at 2 per cycle.
const MR: usize = 6;

/// Measured on Zen 4: a larger B is faster packed.
const DIRECT_B_BYTES: usize = 64 << 10;

/// Measured on Zen 4: at 128 rows a B of 64 KiB is faster read directly, at 1024 rows packed.
const DIRECT_B_ROWS: usize = 256;

#[derive(Debug, Clone, Copy)]
struct F32x8(__m256);

impl Vector for F32x8 {
    type Element = f32;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA and LANES elements.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees AVX2 and FMA and LANES elements.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, len: usize) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA and `len` elements; masked lanes are not accessed.
        Self(unsafe { _mm256_maskload_ps(from, lanes_32(len)) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, len: usize) {
        // SAFETY: the caller guarantees AVX2 and FMA and `len` elements; masked lanes are not accessed.
        unsafe { _mm256_maskstore_ps(to, lanes_32(len), self.0) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        #[allow(unused_unsafe)] // safe in newer versions of the standard library than `rust-version`
        // SAFETY: a prefetch accesses nothing, wherever it points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct F64x4(__m256d);

impl Vector for F64x4 {
    type Element = f64;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_set1_pd(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA and LANES elements.
        Self(unsafe { _mm256_loadu_pd(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller guarantees AVX2 and FMA and LANES elements.
        unsafe { _mm256_storeu_pd(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f64, len: usize) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA and `len` elements; masked lanes are not accessed.
        Self(unsafe { _mm256_maskload_pd(from, lanes_64(len)) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, len: usize) {
        // SAFETY: the caller guarantees AVX2 and FMA and `len` elements; masked lanes are not accessed.
        unsafe { _mm256_maskstore_pd(to, lanes_64(len), self.0) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_mul_pd(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the caller guarantees AVX2 and FMA.
        Self(unsafe { _mm256_fmadd_pd(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const f64) {
        #[allow(unused_unsafe)] // safe in newer versions of the standard library than `rust-version`
        // SAFETY: a prefetch accesses nothing, wherever it points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
}

/// The first `len` of 8 lanes, as sign bits.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes_32(len: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// The first `len` of 4 lanes, as sign bits.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes_64(len: usize) -> __m256i {
    _mm256_cmpgt_epi64(_mm256_set1_epi64x(len as i64), _mm256_setr_epi64x(0, 1, 2, 3))
}

#[target_feature(enable = "avx2,fma")]
fn part<V: Vector, const ROWS: usize, const PACKED: bool>(
    of: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
) {
    // SAFETY: this function has the instruction set of this module's vectors.
    unsafe { strip::<V, ROWS, PACKED>(of, a, b, c) }
}

#[target_feature(enable = "avx2,fma")]
fn part_beside<V: Vector, const ROWS: usize, const PACKED: bool>(
    of: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
    side: &mut Side<'_, V::Element>,
) {
    // SAFETY: this function has the instruction set of this module's vectors.
    unsafe { strip_beside::<V, ROWS, PACKED>(of, a, b, c, side) }
}

impl GemmKernel<f32> for Avx2 {
    const MR: usize = MR;
    const NR: usize = 2 * F32x8::LANES;
    const LANES: usize = F32x8::LANES;
    const DIRECT_B_BYTES: usize = DIRECT_B_BYTES;
    const DIRECT_B_ROWS: usize = DIRECT_B_ROWS;

    #[inline(always)]
    fn gemm_strip(self, strip: Strip<f32>, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { dispatch!(part, F32x8, [1 2 3 4 5 6], strip, (a, b, c)) }
    }

    #[inline(always)]
    fn gemm_strip_beside(self, strip: Strip<f32>, a: &[f32], b: &[f32], c: &mut [f32], side: &mut Side<'_, f32>) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { dispatch!(part_beside, F32x8, [6], strip, (a, b, c, side)) }
    }
}

impl GemmKernel<f64> for Avx2 {
    const MR: usize = MR;
    const NR: usize = 2 * F64x4::LANES;
    const LANES: usize = F64x4::LANES;
    const DIRECT_B_BYTES: usize = DIRECT_B_BYTES;
    const DIRECT_B_ROWS: usize = DIRECT_B_ROWS;

    #[inline(always)]
    fn gemm_strip(self, strip: Strip<f64>, a: &[f64], b: &[f64], c: &mut [f64]) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { dispatch!(part, F64x4, [1 2 3 4 5 6], strip, (a, b, c)) }
    }

    #[inline(always)]
    fn gemm_strip_beside(self, strip: Strip<f64>, a: &[f64], b: &[f64], c: &mut [f64], side: &mut Side<'_, f64>) {
        // SAFETY: the token `self` proves AVX2 and FMA.
        unsafe { dispatch!(part_beside, F64x4, [6], strip, (a, b, c, side)) }
    }
}

impl PackKernel<f64> for Avx2 {
    #[inline(always)]
    fn prefetch(self, at: *const f64) {
        #[allow(unused_unsafe)] // safe in newer versions of the standard library than `rust-version`
        // SAFETY: the token `self` proves SSE; a prefetch accesses nothing, wherever it points.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }

    #[inline(always)]
    fn transpose<const R: usize>(self, a: &[f64], row_stride: usize, cols: usize, out: &mut [f64], width: usize) {
        // SAFETY: the token `self` proves AVX2.
        unsafe { transpose_f64::<R>(a, row_stride, cols, out, width) }
    }
}

/// out\[j · width + i\] ← a\[i · row_stride + j\] for i < R ≤ 8, j < `cols`: 4 x 4 at a time, transposed in registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::arch) fn transpose_f64<const R: usize>(
    a: &[f64],
    row_stride: usize,
    cols: usize,
    out: &mut [f64],
    width: usize,
) {
    if cols == 0 {
        return;
    }
    assert!((R - 1) * row_stride + cols <= a.len() && (cols - 1) * width + R <= out.len());
    for j in (0..cols).step_by(4) {
        let mut i = 0;
        while j + 4 <= cols && i + 4 <= R {
            let at = |r: usize| a.as_ptr().wrapping_add((i + r) * row_stride + j);
            // SAFETY: rows i to i + 3 lie below R and columns j to j + 3 below `cols`; the assert places them inside
            // `a`.
            let rows: [__m256d; 4] = std::array::from_fn(|r| unsafe { _mm256_loadu_pd(at(r)) });
            let (even_01, odd_01) = (_mm256_unpacklo_pd(rows[0], rows[1]), _mm256_unpackhi_pd(rows[0], rows[1]));
            let (even_23, odd_23) = (_mm256_unpacklo_pd(rows[2], rows[3]), _mm256_unpackhi_pd(rows[2], rows[3]));
            let columns = [
                _mm256_permute2f128_pd::<0x20>(even_01, even_23),
                _mm256_permute2f128_pd::<0x20>(odd_01, odd_23),
                _mm256_permute2f128_pd::<0x31>(even_01, even_23),
                _mm256_permute2f128_pd::<0x31>(odd_01, odd_23),
            ];
            for (c, column) in columns.into_iter().enumerate() {
                let out = out.as_mut_ptr().wrapping_add((j + c) * width + i);
                // SAFETY: entries i to i + 3 < R of column j + c < `cols`, which the assert places inside `out`.
                unsafe { _mm256_storeu_pd(out, column) };
            }
            i += 4;
        }
        for j in j..cols.min(j + 4) {
            for i in i..R {
                out[j * width + i] = a[i * row_stride + j];
            }
        }
    }
}
