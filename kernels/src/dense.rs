//! The two passes of a two-layer network as dense products, for any element type.
//!
//! Several times slower than [`Executor::forward`] and [`Executor::backward`], which are `f32` alone: they serve to carry
//! out a step in `f64` and see what its single precision is worth.

use crate::mask::BLOCK;
use crate::relu::{check_backward, check_forward};
use crate::{Activation, Element, Executor, Mask, MatMut, MatRef, ShapeError, Workspace};

/// Samples whose pre-activations are held at once: their product amortises the packing of the neurons.
const SAMPLES: usize = 4 * BLOCK;

impl Executor {
    /// h_i = Σ_k a_k act(⟨v_k, x_i⟩), and bit (i, k) of `mask` = \[⟨v_k, x_i⟩ ≥ 0\] (1 for the identity), in the
    /// precision of `T`.
    ///
    /// Arguments and meaning are those of [`Executor::forward`].
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit; nothing is then written.
    #[expect(clippy::too_many_arguments)] // the equation has these operands
    pub fn forward_dense<T: Element>(
        &self,
        act: Activation,
        x: MatRef<'_, T>,
        v: MatRef<'_, T>,
        a: &[T],
        h: &mut [T],
        mask: &mut Mask,
        ws: &mut Workspace,
    ) -> Result<(), ShapeError> {
        check_forward(x, v, a, h)?;
        let (n, m) = (x.rows(), v.rows());
        mask.resize(n, m);
        h.fill(T::ZERO);
        if m == 0 {
            return Ok(());
        }
        // The product needs the workspace too.
        let mut buffer = std::mem::take(&mut ws.dense);
        let samples = SAMPLES.min(n);
        let z = T::take(&mut buffer, samples * m);
        for i0 in (0..n).step_by(SAMPLES) {
            let rows = SAMPLES.min(n - i0);
            let z = &mut z[..rows * m];
            let product = MatMut::from_row_major(z, rows, m)?;
            self.gemm(T::ONE, x.row_range(i0, rows), v.t(), T::ZERO, product, ws)?;
            let words = &mut mask.words_mut()[i0 / BLOCK * m..];
            for (i, (z, h)) in z.chunks_exact(m).zip(&mut h[i0..i0 + rows]).enumerate() {
                let words = &mut words[i / BLOCK * m..][..m];
                for ((&z, &a), word) in z.iter().zip(a).zip(words) {
                    let inactive = act == Activation::Relu && z < T::ZERO;
                    *word |= u64::from(!inactive) << (i % BLOCK);
                    // A NaN is not less than 0: active, and goes on into h.
                    let value = if inactive { T::ZERO } else { z };
                    *h = *h + a * value;
                }
            }
        }
        if act == Activation::Identity {
            mask.mark_full();
        }
        ws.dense = buffer;
        Ok(())
    }

    /// G_k = Σ_i s_i b_ik x_i in the precision of `T`.
    ///
    /// Arguments and meaning are those of [`Executor::backward`], but for a sample that is not finite: it makes every G_k
    /// NaN, since its products with 0 are taken.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit, [`ShapeError::Sign`] if some s_i is none of −1, 0, 1; nothing
    /// is then written.
    pub fn backward_dense<T: Element>(
        &self,
        x: MatRef<'_, T>,
        s: &[i8],
        mask: &Mask,
        mut g: MatMut<'_, T>,
        ws: &mut Workspace,
    ) -> Result<(), ShapeError> {
        check_backward(x, s, mask, &g)?;
        let (n, m) = (x.rows(), mask.neurons());
        let mut buffer = std::mem::take(&mut ws.dense);
        let samples = SAMPLES.min(n);
        let b = T::take(&mut buffer, samples * m);
        // Without samples one product of depth 0 makes G zero.
        for i0 in (0..n.max(1)).step_by(SAMPLES) {
            let rows = SAMPLES.min(n - i0);
            let b = &mut b[..rows * m];
            for (i, b) in b.chunks_exact_mut(m.max(1)).enumerate() {
                let words = &mask.words()[(i0 + i) / BLOCK * m..][..m];
                for (b, word) in b.iter_mut().zip(words) {
                    *b = if word >> (i % BLOCK) & 1 == 1 { s[i0 + i].into() } else { T::ZERO };
                }
            }
            let b = MatRef::from_row_major(b, rows, m)?.t();
            let beta = if i0 == 0 { T::ZERO } else { T::ONE };
            self.gemm(T::ONE, b, x.row_range(i0, rows), beta, g.reborrow(), ws)?;
        }
        ws.dense = buffer;
        Ok(())
    }
}
