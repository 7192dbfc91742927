//! Activation functions of the hidden layers.

use super::real::Real;
use serde::{Deserialize, Serialize};

/// An activation function. The derivative at a kink is the left one, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(s, 0).
    Relu,
    /// s Φ(s) = s (1 + erf(s/√2)) / 2, exactly.
    Gelu,
    /// max(s, 0) + 0.1 min(s, 0).
    LeakyRelu,
    /// 1 / (1 + e^{−s}).
    Sigmoid,
    /// tanh s.
    Tanh,
    /// s.
    Identity,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Relu, Self::Gelu, Self::LeakyRelu, Self::Sigmoid, Self::Tanh, Self::Identity];

    /// The slope left of 0 of an activation that is linear on either side of 0, with slope 1 to the right.
    pub(super) fn left_slope(self) -> Option<f64> {
        match self {
            Self::Relu => Some(0.0),
            Self::LeakyRelu => Some(0.1),
            Self::Identity => Some(1.0),
            Self::Gelu | Self::Sigmoid | Self::Tanh => None,
        }
    }

    /// act(s) and act′(s).
    pub fn at<T: Real>(self, s: T) -> (T, T) {
        match self {
            Self::Relu => Relu.at(s),
            Self::Gelu => Gelu.at(s),
            Self::LeakyRelu => LeakyRelu.at(s),
            Self::Sigmoid => Sigmoid.at(s),
            Self::Tanh => Tanh.at(s),
            Self::Identity => Identity.at(s),
        }
    }
}

/// An activation as a type, so that a loop over it is compiled for it alone.
pub(super) trait Function: Copy {
    /// act(s) and act′(s).
    fn at<T: Real>(self, s: T) -> (T, T);
}

/// Calls `$body` with `$function` bound to the [`Function`] of an [`Activation`].
macro_rules! with_function {
    ($activation:expr, $function:ident => $body:expr) => {
        match $activation {
            $crate::mlp::Activation::Relu => {
                let $function = $crate::mlp::activation::Relu;
                $body
            }
            $crate::mlp::Activation::Gelu => {
                let $function = $crate::mlp::activation::Gelu;
                $body
            }
            $crate::mlp::Activation::LeakyRelu => {
                let $function = $crate::mlp::activation::LeakyRelu;
                $body
            }
            $crate::mlp::Activation::Sigmoid => {
                let $function = $crate::mlp::activation::Sigmoid;
                $body
            }
            $crate::mlp::Activation::Tanh => {
                let $function = $crate::mlp::activation::Tanh;
                $body
            }
            $crate::mlp::Activation::Identity => {
                let $function = $crate::mlp::activation::Identity;
                $body
            }
        }
    };
}
pub(super) use with_function;

#[derive(Clone, Copy)]
pub(super) struct Relu;
#[derive(Clone, Copy)]
pub(super) struct Gelu;
#[derive(Clone, Copy)]
pub(super) struct LeakyRelu;
#[derive(Clone, Copy)]
pub(super) struct Sigmoid;
#[derive(Clone, Copy)]
pub(super) struct Tanh;
#[derive(Clone, Copy)]
pub(super) struct Identity;

impl Function for Relu {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        if s > T::ZERO { (s, T::ONE) } else { (T::ZERO * s, T::ZERO) }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        let half = T::of(0.5);
        let cdf = half * (T::ONE + (s * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf());
        (s * cdf, s.gelu_slope())
    }
}

impl Function for LeakyRelu {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        let slope = if s > T::ZERO { T::ONE } else { T::of(0.1) };
        (slope * s, slope)
    }
}

impl Function for Sigmoid {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        let p = T::ONE / (T::ONE + (-s).exp());
        (p, p * (T::ONE - p))
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        let t = s.tanh();
        (t, T::ONE - t * t)
    }
}

impl Function for Identity {
    #[inline(always)]
    fn at<T: Real>(self, s: T) -> (T, T) {
        (s, T::ONE)
    }
}
