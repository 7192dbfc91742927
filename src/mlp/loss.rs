//! Losses of an output h and a label y ∈ {−1, +1}.

use super::real::Real;
use serde::{Deserialize, Serialize};

/// A loss, averaged over the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// ln(1 + e^{−y h}), computed as it stands, as the authors do: in `f32`, what e^{−y h} has below half a unit in the
    /// last place of 1 is lost.
    Logistic,
    /// max(1 − y h, 0).
    Hinge,
    /// (h − y)².
    Mse,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Logistic, Self::Hinge, Self::Mse];

    /// ℓ(h, y).
    pub fn value<T: Real>(self, h: T, y: T) -> T {
        match self {
            Self::Logistic => {
                let s = -y * h;
                // Beyond, 1 + e^s is e^s to rounding, and soon infinite.
                if s > T::of(80.0) { s } else { (T::ONE + s.exp()).ln() }
            }
            Self::Hinge => {
                let slack = T::ONE - y * h;
                // Not the other way round: of NaN comes NaN.
                if slack <= T::ZERO { T::ZERO } else { slack }
            }
            Self::Mse => (h - y) * (h - y),
        }
    }

    /// ∂ℓ/∂h. At y h = 1, the hinge's is −y, as PyTorch's `clamp` has it.
    #[inline(always)]
    pub fn derivative<T: Real>(self, h: T, y: T) -> T {
        match self {
            Self::Logistic => {
                let e = (-y * h).exp();
                -y * (e / (T::ONE + e))
            }
            Self::Hinge => {
                if y * h <= T::ONE {
                    -y
                } else {
                    T::ZERO
                }
            }
            Self::Mse => T::of(2.0) * (h - y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        assert_eq!(Loss::Hinge.value(0.25f64, 1.0), 0.75);
        assert_eq!(Loss::Hinge.value(2.0f64, 1.0), 0.0);
        assert_eq!(Loss::Hinge.value(2.0f64, -1.0), 3.0);
        assert_eq!(Loss::Mse.value(0.5f64, -1.0), 2.25);
        assert_eq!(Loss::Logistic.value(0.0f64, -1.0), 2.0f64.ln());
        assert_eq!(Loss::Logistic.value(1000.0f32, -1.0), 1000.0);
        assert!(Loss::ALL.iter().all(|loss| loss.value(f64::NAN, 1.0).is_nan()));
    }

    #[test]
    fn derivatives_are_those_of_the_values() {
        for loss in Loss::ALL {
            for y in [-1.0, 1.0] {
                for h in [-3.0, -0.4, 0.3, 2.5] {
                    let e = 1e-6;
                    let slope = (loss.value(h + e, y) - loss.value(h - e, y)) / (2.0 * e);
                    assert!((loss.derivative(h, y) - slope).abs() < 1e-8, "{loss:?} at h = {h}, y = {y}");
                }
            }
        }
        // On the hinge's kink it still pulls; just beyond it does not.
        for y in [-1.0f32, 1.0] {
            assert_eq!([y, y * (1.0 + f32::EPSILON)].map(|h| Loss::Hinge.derivative(h, y)), [-y, 0.0]);
        }
        // Far from the boundary the logistic derivative ends at 0 and ∓1, and is finite.
        assert!(Loss::Logistic.derivative(500.0f32, 1.0).abs() < 1e-30);
        assert_eq!(Loss::Logistic.derivative(-500.0f32, 1.0), -1.0);
    }
}
