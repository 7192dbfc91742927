//! The step of the uniform fill on every instruction set: integer work and an exact conversion, the same bits on all.

use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
use crate::workspace::LINE;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Generators side by side: the 16 halves of a step fill one cache line.
pub(crate) const LANES: usize = 8;

/// Eight generators xoshiro256++ in step.
pub(crate) trait FillKernel: Copy {
    /// The states of all lanes, in registers.
    type State;

    /// The states, \[word\]\[lane\].
    fn load(self, words: &[[u64; LANES]; 4]) -> Self::State;

    /// Takes a step and returns centre + scale k, k being the low half of lane 0 as a signed number, its high half, the
    /// low half of lane 1 and so on; conversion, product and sum rounded one by one.
    fn next(self, state: &mut Self::State, centre: f32, scale: f32) -> [f32; LINE];
}

impl FillKernel for Portable {
    type State = [[u64; LANES]; 4];

    #[inline(always)]
    fn load(self, words: &[[u64; LANES]; 4]) -> Self::State {
        *words
    }

    #[inline(always)]
    fn next(self, [s0, s1, s2, s3]: &mut Self::State, centre: f32, scale: f32) -> [f32; LINE] {
        let mut out = [0.0; LINE];
        for lane in 0..LANES {
            let bits = s0[lane].wrapping_add(s3[lane]).rotate_left(23).wrapping_add(s0[lane]);
            let shifted = s1[lane] << 17;
            s2[lane] ^= s0[lane];
            s3[lane] ^= s1[lane];
            s1[lane] ^= s2[lane];
            s0[lane] ^= s3[lane];
            s2[lane] ^= shifted;
            s3[lane] = s3[lane].rotate_left(45);
            out[2 * lane] = centre + scale * bits as i32 as f32;
            out[2 * lane + 1] = centre + scale * (bits >> 32) as i32 as f32;
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
impl FillKernel for Avx2 {
    type State = [[__m256i; 2]; 4];

    #[inline(always)]
    fn load(self, words: &[[u64; LANES]; 4]) -> Self::State {
        load_halves(words)
    }

    #[inline(always)]
    fn next(self, state: &mut Self::State, centre: f32, scale: f32) -> [f32; LINE] {
        // SAFETY: the token `self` proves AVX2.
        unsafe { next_avx2(state, centre, scale) }
    }
}

// In pairs of 256-bit registers like AVX2, with the rotations and three-way logic of AVX-512: Zen 4 spreads these over
// its four pipes better than 512-bit instructions, each of which holds one for two cycles (measured, by 15 %).
#[cfg(target_arch = "x86_64")]
impl FillKernel for Avx512 {
    type State = [[__m256i; 2]; 4];

    #[inline(always)]
    fn load(self, words: &[[u64; LANES]; 4]) -> Self::State {
        load_halves(words)
    }

    #[inline(always)]
    fn next(self, state: &mut Self::State, centre: f32, scale: f32) -> [f32; LINE] {
        // SAFETY: the token `self` proves AVX-512 F and VL, and AVX2.
        unsafe { next_avx512(state, centre, scale) }
    }
}

/// The state of lanes 0 to 3 and that of lanes 4 to 7, word by word.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn load_halves(words: &[[u64; LANES]; 4]) -> [[__m256i; 2]; 4] {
    words.map(|word| {
        let [a, b, c, d, e, f, g, h] = word;
        // SAFETY: arrays of 4 words of 64 bits and a register of 256 have the same size, and every value is valid in both.
        [[a, b, c, d], [e, f, g, h]].map(|half| unsafe { std::mem::transmute::<[u64; 4], __m256i>(half) })
    })
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn next_avx2([s0, s1, s2, s3]: &mut [[__m256i; 2]; 4], centre: f32, scale: f32) -> [f32; LINE] {
    let rotate_23 = |x| _mm256_or_si256(_mm256_slli_epi64::<23>(x), _mm256_srli_epi64::<41>(x));
    let rotate_45 = |x| _mm256_or_si256(_mm256_slli_epi64::<45>(x), _mm256_srli_epi64::<19>(x));
    let mut out = [0.0; LINE];
    for (half, out) in out.as_chunks_mut::<{ LINE / 2 }>().0.iter_mut().enumerate() {
        let (s0, s1, s2, s3) = (&mut s0[half], &mut s1[half], &mut s2[half], &mut s3[half]);
        let bits = _mm256_add_epi64(rotate_23(_mm256_add_epi64(*s0, *s3)), *s0);
        let shifted = _mm256_slli_epi64::<17>(*s1);
        *s2 = _mm256_xor_si256(*s2, *s0);
        *s3 = _mm256_xor_si256(*s3, *s1);
        *s1 = _mm256_xor_si256(*s1, *s2);
        *s0 = _mm256_xor_si256(*s0, *s3);
        *s2 = _mm256_xor_si256(*s2, shifted);
        *s3 = rotate_45(*s3);
        affine(bits, centre, scale, out);
    }
    out
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512vl")]
fn next_avx512([s0, s1, s2, s3]: &mut [[__m256i; 2]; 4], centre: f32, scale: f32) -> [f32; LINE] {
    /// The truth table of the exclusive or of three.
    const XOR: i32 = 0x96;
    let mut out = [0.0; LINE];
    for (half, out) in out.as_chunks_mut::<{ LINE / 2 }>().0.iter_mut().enumerate() {
        let (s0, s1, s2, s3) = (&mut s0[half], &mut s1[half], &mut s2[half], &mut s3[half]);
        let bits = _mm256_add_epi64(_mm256_rol_epi64::<23>(_mm256_add_epi64(*s0, *s3)), *s0);
        let (old_s0, old_s1) = (*s0, *s1);
        *s1 = _mm256_ternarylogic_epi64::<XOR>(old_s1, *s2, old_s0);
        *s2 = _mm256_ternarylogic_epi64::<XOR>(*s2, old_s0, _mm256_slli_epi64::<17>(old_s1));
        *s0 = _mm256_ternarylogic_epi64::<XOR>(old_s0, *s3, old_s1);
        *s3 = _mm256_rol_epi64::<45>(_mm256_xor_si256(*s3, old_s1));
        affine(bits, centre, scale, out);
    }
    out
}

/// out ← centre + scale k, k being the 32-bit elements of `bits`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn affine(bits: __m256i, centre: f32, scale: f32, out: &mut [f32; LINE / 2]) {
    let product = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_cvtepi32_ps(bits));
    // SAFETY: `out` has 8 elements.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_add_ps(_mm256_set1_ps(centre), product)) };
}
