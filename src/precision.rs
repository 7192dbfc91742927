//! The arithmetic of a run: single precision, fast, or double, to see what single is worth.

use feature_contamination_kernels::{Activation, Element, Executor, Mask, MatMut, MatRef, ShapeError, Workspace};
use serde::{Deserialize, Serialize};

use crate::snapshot::Field;

/// The precision of weights, outputs and gradients.
///
/// Both start from the same weights and see the same data, each an `f32`; what differs is rounding alone, and the
/// examples that it carries across a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// `f32`, with the fused kernels.
    #[default]
    #[serde(rename = "f32")]
    Single,
    /// `f64`, several times slower.
    #[serde(rename = "f64")]
    Double,
}

impl Precision {
    /// The distance from 1 to the next number, `2^−23` or `2^−52`: twice the relative error of one rounding.
    pub fn epsilon(self) -> f64 {
        match self {
            Self::Single => f64::from(f32::EPSILON),
            Self::Double => f64::EPSILON,
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Single => size_of::<f32>(),
            Self::Double => size_of::<f64>(),
        }
    }
}

/// `f32` or `f64`, with the passes of a network in it.
pub trait Real: Element {
    /// The nearest number.
    fn nearest(value: f64) -> Self;

    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The batch in this precision: itself, or a copy in `wide`.
    fn batch<'a>(batch: &'a [f32], wide: &'a mut Vec<Self>) -> &'a [Self];

    /// An array as one of a [`Snapshot`](crate::Snapshot).
    fn field(values: &mut [Self]) -> Field<'_>;

    /// [`Executor::forward`] in this precision.
    ///
    /// # Errors
    /// The shapes do not fit.
    #[expect(clippy::too_many_arguments)] // the equation has these operands
    fn forward(
        executor: Executor,
        activation: Activation,
        x: MatRef<'_, Self>,
        v: MatRef<'_, Self>,
        a: &[Self],
        h: &mut [Self],
        mask: &mut Mask,
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError>;

    /// [`Executor::backward`] in this precision.
    ///
    /// # Errors
    /// The shapes do not fit.
    fn backward(
        executor: Executor,
        x: MatRef<'_, Self>,
        s: &[i8],
        mask: &Mask,
        g: MatMut<'_, Self>,
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError>;
}

macro_rules! real {
    ($type:ty, $field:ident, $forward:ident, $backward:ident, |$batch:ident, $wide:ident| $in_precision:expr) => {
        impl Real for $type {
            fn nearest(value: f64) -> Self {
                value as Self
            }

            fn is_finite(self) -> bool {
                Self::is_finite(self)
            }

            fn batch<'a>($batch: &'a [f32], $wide: &'a mut Vec<Self>) -> &'a [Self] {
                $in_precision
            }

            fn field(values: &mut [Self]) -> Field<'_> {
                Field::$field(values)
            }

            fn forward(
                executor: Executor,
                activation: Activation,
                x: MatRef<'_, Self>,
                v: MatRef<'_, Self>,
                a: &[Self],
                h: &mut [Self],
                mask: &mut Mask,
                workspace: &mut Workspace,
            ) -> Result<(), ShapeError> {
                executor.$forward(activation, x, v, a, h, mask, workspace)
            }

            fn backward(
                executor: Executor,
                x: MatRef<'_, Self>,
                s: &[i8],
                mask: &Mask,
                g: MatMut<'_, Self>,
                workspace: &mut Workspace,
            ) -> Result<(), ShapeError> {
                executor.$backward(x, s, mask, g, workspace)
            }
        }
    };
}

real!(f32, F32, forward, backward, |batch, _wide| batch);
real!(f64, F64, forward_dense, backward_dense, |batch, wide| {
    wide.clear();
    wide.extend(batch.iter().map(|&x| f64::from(x)));
    wide
});
