//! What the kernels compute, written as directly as possible in `f64`: the oracle of their tests.
//!
//! Slow on purpose. Shapes are asserted, not returned as errors.

use crate::fill::{centre_and_scale, split_mix};
use crate::{Activation, Element, MatRef};

/// C ← α A B + β C in `f64`, C given and returned row-major \[m × n\]; with β = 0 the values of `c` play no role, with
/// α = 0 those of A and B play none.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn gemm<T: Element>(alpha: T, a: MatRef<'_, T>, b: MatRef<'_, T>, beta: T, c: &[T]) -> Vec<f64> {
    let (alpha, beta): (f64, f64) = (alpha.into(), beta.into());
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    assert_eq!(b.rows(), k);
    assert_eq!(c.len(), m * n);
    let mut out = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let product: f64 = if alpha == 0.0 { 0.0 } else { (0..k).map(|p| at(a, i, p) * at(b, p, j)).sum() };
            let scaled = if beta == 0.0 { 0.0 } else { beta * c[i * n + j].into() };
            out.push(if alpha == 0.0 { scaled } else { alpha * product + scaled });
        }
    }
    out
}

/// What [`forward`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// z\[i, k\] = ⟨v_k, x_i⟩, row-major \[N × m\].
    pub pre_activations: Vec<f64>,
    /// h_i = Σ_k a_k act(z_ik), length N.
    pub h: Vec<f64>,
    /// b\[i, k\] = \[not z_ik < 0\], row-major \[N × m\]; all true for the identity.
    pub active: Vec<bool>,
}

/// h_i = Σ_k a_k act(⟨v_k, x_i⟩) with its pre-activations and activation pattern, in `f64`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn forward<T: Element>(act: Activation, x: MatRef<'_, T>, v: MatRef<'_, T>, a: &[T]) -> Forward {
    let (n, d0, m) = (x.rows(), x.cols(), v.rows());
    assert_eq!(v.cols(), d0);
    assert_eq!(a.len(), m);
    let mut out = Forward {
        pre_activations: Vec::with_capacity(n * m),
        h: Vec::with_capacity(n),
        active: Vec::with_capacity(n * m),
    };
    for i in 0..n {
        let mut h = 0.0;
        for (k, &a_k) in a.iter().enumerate() {
            let z: f64 = (0..d0).map(|j| at(v, k, j) * at(x, i, j)).sum();
            let (value, active) = match act {
                Activation::Identity => (z, true),
                // A NaN is not less than 0: active, and goes on into h.
                Activation::Relu if z < 0.0 => (0.0, false),
                Activation::Relu => (z, true),
            };
            h += a_k.into() * value;
            out.pre_activations.push(z);
            out.active.push(active);
        }
        out.h.push(h);
    }
    out
}

/// G_k = Σ_i s_i b_ik x_i in `f64`, row-major \[m × d0\]; `active` is b, row-major \[N × m\]. A sample with s_i b_ik =
/// 0 is not read: 0 · ∞ does not occur.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn backward<T: Element>(x: MatRef<'_, T>, s: &[i8], active: &[bool], m: usize) -> Vec<f64> {
    let (n, d0) = (x.rows(), x.cols());
    assert_eq!(s.len(), n);
    assert_eq!(active.len(), n * m);
    let mut g = vec![0.0; m * d0];
    for i in 0..n {
        for k in 0..m {
            if s[i] != 0 && active[i * m + k] {
                for j in 0..d0 {
                    g[k * d0 + j] += f64::from(s[i]) * at(x, i, j);
                }
            }
        }
    }
    g
}

/// out\[i, j\] = s_i centre + s_i scale k_ij in `f32`, row-major \[rows × cols\], every operation rounded by itself: the
/// definition of [`crate::Executor::fill_uniform`], which gives the same bits. `s_i` is 1 throughout for `None`.
///
/// centre = (low + high) / 2 and scale = (high − low) / 2^32, reduced if a draw would lie past an end. Generator l of
/// eight, an xoshiro256++, starts from the words 4 l, …, 4 l + 3 of SplitMix64 from state `seed`. Its step number i ⌈cols /
/// 16⌉ + ⌊j / 16⌋ gives row i its columns j with j mod 16 = 2 l, by the low 32 bits as a signed k, and 2 l + 1, by the high
/// ones.
///
/// # Panics
/// If `s` has not one entry per row.
#[must_use]
pub fn fill_uniform(seed: u64, (low, high): (f32, f32), s: Option<&[i8]>, (rows, cols): (usize, usize)) -> Vec<f32> {
    assert!(s.is_none_or(|s| s.len() == rows));
    let (centre, scale) = centre_and_scale(low, high);
    let mut generators: [[u64; 4]; 8] =
        std::array::from_fn(|l| std::array::from_fn(|word| split_mix(seed, (4 * l + word) as u64)));
    let mut out = vec![0.0; rows * cols];
    for i in 0..rows {
        let sign = s.map_or(1.0, |s| f32::from(s[i]));
        for j0 in (0..cols).step_by(16) {
            for (l, generator) in generators.iter_mut().enumerate() {
                let bits = xoshiro256_plus_plus(generator);
                for (j, k) in [(j0 + 2 * l, bits as i32), (j0 + 2 * l + 1, (bits >> 32) as i32)] {
                    if j < cols {
                        out[i * cols + j] = sign * centre + sign * scale * k as f32;
                    }
                }
            }
        }
    }
    out
}

/// The next output of xoshiro256++, as its authors write it down.
fn xoshiro256_plus_plus(s: &mut [u64; 4]) -> u64 {
    let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
    let t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3].rotate_left(45);
    result
}

fn at<T: Element>(a: MatRef<'_, T>, i: usize, j: usize) -> f64 {
    a.data()[i * a.row_stride() + j * a.col_stride()].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_by_hand() {
        let a = [1.0, 2.0, 3.0, 4.0];
        let b = [5.0, 6.0, 7.0, 8.0];
        let (a, b) = (MatRef::from_row_major(&a, 2, 2).unwrap(), MatRef::from_row_major(&b, 2, 2).unwrap());
        assert_eq!(gemm(2.0, a, b, -1.0, &[1.0, 0.0, 0.0, 1.0]), [37.0, 44.0, 86.0, 99.0]);
        assert_eq!(gemm(1.0, a, b.t(), 0.0, &[f32::NAN; 4]), [17.0, 23.0, 39.0, 53.0]);
        assert_eq!(gemm(0.0, a, b, 2.0, &[1.0; 4]), [2.0; 4]);

        let x = [1.0, -1.0, 0.5, 0.5];
        let v = [1.0, 1.0, 2.0, -1.0, -1.0, 0.0];
        let (x, v) = (MatRef::from_row_major(&x, 2, 2).unwrap(), MatRef::from_row_major(&v, 3, 2).unwrap());
        let relu = forward(Activation::Relu, x, v, &[1.0, -1.0, 1.0]);
        assert_eq!(relu.pre_activations, [0.0, 3.0, -1.0, 1.0, 0.5, -0.5]);
        assert_eq!(relu.active, [true, true, false, true, true, false]);
        assert_eq!(relu.h, [-3.0, 0.5]);
        let linear = forward(Activation::Identity, x, v, &[1.0, -1.0, 1.0]);
        assert_eq!(linear.h, [-4.0, 0.0]);
        assert!(linear.active.iter().all(|&b| b));

        let g = backward(x, &[1, -1], &relu.active, 3);
        assert_eq!(g, [0.5, -1.5, 0.5, -1.5, 0.0, 0.0]);
        assert_eq!(backward(x, &[0, 1], &relu.active, 3), [0.5, 0.5, 0.5, 0.5, 0.0, 0.0]);
    }
}
