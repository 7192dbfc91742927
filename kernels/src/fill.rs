//! Uniform variates, many at a time and the same bits on every instruction set.
//!
//! Eight generators xoshiro256++ (Blackman and Vigna 2021) run side by side, one in each 64-bit lane, each seeded by the
//! next four outputs of one SplitMix64 (Steele, Lea and Flood 2014), as their authors recommend. One step of all gives
//! eight words, read as sixteen signed halves: the next 16 draws k. All is integer work up to a conversion, one product
//! and one sum, each rounded to nearest by itself (no FMA), so no instruction set can differ.
//!
//! A matrix is filled row by row, and a row starts with a fresh step: the draws that its last step has too many are
//! dropped, so that a row's stores never straddle two steps.

use crate::arch::Algorithm;
use crate::arch::fill::{FillKernel, LANES};
use crate::error::Operand;
use crate::isa::{Executor, Token};
use crate::workspace::LINE;
use crate::{MatMut, ShapeError};

impl Executor {
    /// out\[i, j\] = s_i z_ij, z_ij independent and uniform between `low` and `high`.
    ///
    /// `s`: one sign per row of `out`, or `None` for 1 throughout. `out`: \[rows × cols\], of any strides, overwritten.
    /// z = (low + high) / 2 + (high − low) / 2^32 k with k uniform on {−2^31, …, 2^31 − 1}, in `f32`, never past either
    /// end; `high` < `low` mirrors it. The bits depend on the arguments alone, not on the instruction set:
    /// [`crate::reference::fill_uniform`] defines them. Row i is the same whatever the number of rows. Sizes of 0 are
    /// allowed.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if `s` has another length than `out` has rows; nothing is then written.
    pub fn fill_uniform(
        &self,
        seed: u64,
        (low, high): (f32, f32),
        s: Option<&[i8]>,
        out: MatMut<'_, f32>,
    ) -> Result<(), ShapeError> {
        if let Some(s) = s.filter(|s| s.len() != out.rows()) {
            return Err(ShapeError::Mismatch {
                operation: "fill_uniform",
                left: out.operand("out"),
                right: Operand::vector("s", s.len()),
                rule: "s has one entry per row of out",
            });
        }
        if out.is_empty() {
            return Ok(());
        }
        let (centre, scale) = centre_and_scale(low, high);
        let fill = Fill { seed, centre, scale, s, out };
        match self.token() {
            Token::Portable(token) => token.run(fill),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.run(fill),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.run(fill),
        }
        Ok(())
    }
}

/// (low + high) / 2 and (high − low) / 2^32, the latter reduced until rounding takes no draw past an end.
///
/// Rounding is monotonic, so the draws at the ends decide for all. Most intervals need no reduction, others one of a few
/// units in the last place; one of few representable numbers may shrink to its centre.
pub(crate) fn centre_and_scale(low: f32, high: f32) -> (f32, f32) {
    let centre = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
    let full = ((f64::from(high) - f64::from(low)) / (1_u64 << 32) as f64) as f32;
    let inside = |scale: f32| {
        [i32::MIN, i32::MAX].into_iter().all(|k| (low.min(high)..=low.max(high)).contains(&(centre + scale * k as f32)))
    };
    let reduced = (0..24).map(|i| full * (1.0 - f32::EPSILON * (1 << i) as f32));
    let scale = std::iter::once(full).chain(reduced).find(|&scale| inside(scale));
    (centre, scale.unwrap_or(0.0))
}

/// The word of SplitMix64 from state `seed` that `index` others precede.
pub(crate) fn split_mix(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Arguments of a fill whose shapes fit, `out` not empty.
struct Fill<'a> {
    seed: u64,
    centre: f32,
    scale: f32,
    s: Option<&'a [i8]>,
    out: MatMut<'a, f32>,
}

impl<A: FillKernel> Algorithm<A> for Fill<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        let Self { seed, centre, scale, s, mut out } = self;
        let (mut rows, mut cols) = (out.rows(), out.cols());
        let (row_stride, col_stride) = (out.row_stride(), out.col_stride());
        // Rows of whole steps that follow one another are one row, which spares what a row costs.
        if s.is_none() && (row_stride, col_stride) == (cols, 1) && cols.is_multiple_of(LINE) {
            (rows, cols) = (1, rows * cols);
        }
        // Of four words of SplitMix64, at most one is 0: no lane starts in the one state that xoshiro256++ never leaves.
        let words: [[u64; LANES]; 4] =
            std::array::from_fn(|word| std::array::from_fn(|lane| split_mix(seed, (4 * lane + word) as u64)));
        let mut state = arch.load(&words);
        let out = out.data_mut();
        for i in 0..rows {
            let sign = s.map_or(1.0, |s| f32::from(s[i]));
            let (centre, scale) = (sign * centre, sign * scale);
            let row = &mut out[i * row_stride..];
            if col_stride == 1 {
                let (full, tail) = row[..cols].as_chunks_mut::<LINE>();
                for out in full {
                    *out = arch.next(&mut state, centre, scale);
                }
                if !tail.is_empty() {
                    tail.copy_from_slice(&arch.next(&mut state, centre, scale)[..tail.len()]);
                }
            } else {
                for j0 in (0..cols).step_by(LINE) {
                    let values = arch.next(&mut state, centre, scale);
                    for (j, &value) in (j0..cols).zip(&values) {
                        row[j * col_stride] = value;
                    }
                }
            }
        }
    }
}
