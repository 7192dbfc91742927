//! Register tiles of the dense product: 12 x 2 registers.

use super::Avx512;
use crate::arch::avx2::transpose_f64;
use crate::arch::gemm::{Vector, dispatch, strip, strip_beside};
use crate::arch::{GemmKernel, PackKernel, Side, Strip};
use std::arch::x86_64::*;

/// Rows of the tile. 12 x 2 registers of sums, 2 of B, and A broadcast from memory: 24 independent sums cover an FMA's
/// latency of 4 cycles at 1 per cycle (Zen 4) or 2 (server Intel), and 14 loads feed 24 FMAs.
const MR: usize = 12;

/// Measured on Zen 4: a B beyond L2 is faster packed.
const DIRECT_B_BYTES: usize = 1 << 20;

/// Measured on Zen 4: no limit up to 1024 rows.
const DIRECT_B_ROWS: usize = usize::MAX;

#[derive(Debug, Clone, Copy)]
struct F32x16(__m512);

impl Vector for F32x16 {
    type Element = f32;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F and LANES elements.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees AVX-512F and LANES elements.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, len: usize) -> Self {
        // SAFETY: the caller guarantees AVX-512F and `len` elements; masked lanes are not accessed.
        Self(unsafe { _mm512_maskz_loadu_ps((1 << len) - 1, from) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, len: usize) {
        // SAFETY: the caller guarantees AVX-512F and `len` elements; masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_ps(to, (1 << len) - 1, self.0) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
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
struct F64x8(__m512d);

impl Vector for F64x8 {
    type Element = f64;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f64) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_set1_pd(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f64) -> Self {
        // SAFETY: the caller guarantees AVX-512F and LANES elements.
        Self(unsafe { _mm512_loadu_pd(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f64) {
        // SAFETY: the caller guarantees AVX-512F and LANES elements.
        unsafe { _mm512_storeu_pd(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f64, len: usize) -> Self {
        // SAFETY: the caller guarantees AVX-512F and `len` elements; masked lanes are not accessed.
        Self(unsafe { _mm512_maskz_loadu_pd((1 << len) - 1, from) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, len: usize) {
        // SAFETY: the caller guarantees AVX-512F and `len` elements; masked lanes are not accessed.
        unsafe { _mm512_mask_storeu_pd(to, (1 << len) - 1, self.0) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_mul_pd(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_fmadd_pd(self.0, factor.0, addend.0) })
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn part<V: Vector, const ROWS: usize, const PACKED: bool>(
    of: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
) {
    // SAFETY: this function has the instruction set of this module's vectors.
    unsafe { strip::<V, ROWS, PACKED>(of, a, b, c) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
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

impl GemmKernel<f32> for Avx512 {
    const MR: usize = MR;
    const NR: usize = 2 * F32x16::LANES;
    const LANES: usize = F32x16::LANES;
    const DIRECT_B_BYTES: usize = DIRECT_B_BYTES;
    const DIRECT_B_ROWS: usize = DIRECT_B_ROWS;

    #[inline(always)]
    fn gemm_strip(self, strip: Strip<f32>, a: &[f32], b: &[f32], c: &mut [f32]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { dispatch!(part, F32x16, [1 2 3 4 5 6 7 8 9 10 11 12], strip, (a, b, c)) }
    }

    #[inline(always)]
    fn gemm_strip_beside(self, strip: Strip<f32>, a: &[f32], b: &[f32], c: &mut [f32], side: &mut Side<'_, f32>) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { dispatch!(part_beside, F32x16, [12], strip, (a, b, c, side)) }
    }
}

impl GemmKernel<f64> for Avx512 {
    const MR: usize = MR;
    const NR: usize = 2 * F64x8::LANES;
    const LANES: usize = F64x8::LANES;
    const DIRECT_B_BYTES: usize = DIRECT_B_BYTES;
    const DIRECT_B_ROWS: usize = DIRECT_B_ROWS;

    #[inline(always)]
    fn gemm_strip(self, strip: Strip<f64>, a: &[f64], b: &[f64], c: &mut [f64]) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { dispatch!(part, F64x8, [1 2 3 4 5 6 7 8 9 10 11 12], strip, (a, b, c)) }
    }

    #[inline(always)]
    fn gemm_strip_beside(self, strip: Strip<f64>, a: &[f64], b: &[f64], c: &mut [f64], side: &mut Side<'_, f64>) {
        // SAFETY: the token `self` proves AVX-512F.
        unsafe { dispatch!(part_beside, F64x8, [12], strip, (a, b, c, side)) }
    }
}

impl PackKernel<f64> for Avx512 {
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
