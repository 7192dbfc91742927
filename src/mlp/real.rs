//! The numbers networks are made of, and the functions of them that activations and losses need.

use feature_contamination_kernels::Element;
use std::ops::{AddAssign, Div, MulAssign, Neg, Sub, SubAssign};

/// `f32`, in which networks are trained, or `f64`, in which gradients are checked.
///
/// The functions of `f32` are straight-line arithmetic that a compiler turns into vectors; they are accurate to about
/// 2 units in the last place where their result is not near underflow. Those of `f64` are the mathematics library's.
pub trait Real:
    Element + PartialOrd + Sub<Output = Self> + Div<Output = Self> + Neg<Output = Self> + AddAssign + SubAssign + MulAssign
{
    /// The nearest number.
    fn of(x: f64) -> Self;
    /// x a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// e^x.
    fn exp(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// erf x = 2/√π ∫₀ˣ e^{−t²} dt.
    fn erf(self) -> Self;
    /// d/ds s Φ(s) = Φ(s) + s φ(s).
    fn gelu_slope(self) -> Self;
    /// ln x; not vectorised.
    fn ln(self) -> Self;
}

impl Real for f64 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }
    fn exp(self) -> Self {
        self.exp()
    }
    fn tanh(self) -> Self {
        self.tanh()
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn gelu_slope(self) -> Self {
        use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
        let density = 0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI * (-0.5 * self * self).exp();
        0.5 * (1.0 + libm::erf(self * FRAC_1_SQRT_2)) + self * density
    }
    fn ln(self) -> Self {
        self.ln()
    }
}

impl Real for f32 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }

    /// e^x = 2^n e^r with n the integer nearest to x / ln 2; e^r by the polynomial of Cephes' `expf`. Clamped to
    /// [e^−87, e^88], within the normal numbers.
    #[inline(always)]
    fn exp(self) -> Self {
        // 1.5 · 2^23: adding it leaves an integer in the low bits of the significand.
        const SHIFT: f32 = 12_582_912.0;
        let x = if self < -87.0 { -87.0 } else { self };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        // ln 2 in two parts, the first of few bits, so that its product with n is exact.
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let p = 1.987_569_1e-4;
        let p = p * r + 1.398_199_9e-3;
        let p = p * r + 8.333_452e-3;
        let p = p * r + 4.166_579_6e-2;
        let p = p * r + 1.666_666_5e-1;
        let p = p * r + 5e-1;
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        (p * (r * r) + r + 1.0) * scale
    }

    /// Near 0 the odd polynomial of Cephes' `tanhf`, elsewhere 1 − 2 / (1 + e^{2|x|}) with the sign of x.
    #[inline(always)]
    fn tanh(self) -> Self {
        let x = self.abs();
        let z = self * self;
        let p = -5.704_988_7e-3;
        let p = p * z + 2.063_909e-2;
        let p = p * z - 5.373_971_6e-2;
        let p = p * z + 1.333_144_2e-1;
        let p = p * z - 3.333_328e-1;
        let near = p * z * self + self;
        let far = (1.0 - 2.0 / (1.0 + Real::exp(2.0 * x))).copysign(self);
        if x < 0.625 { near } else { far }
    }

    /// Up to 1 the odd polynomial of Cephes' `erff`, beyond 1 − erfc |x| with the polynomials of its `erfcf`.
    #[inline(always)]
    fn erf(self) -> Self {
        let x = self.abs();
        let z = self * self;
        let p = 7.853_861_4e-5;
        let p = p * z - 8.010_193_6e-4;
        let p = p * z + 5.188_327_7e-3;
        let p = p * z - 2.685_381_2e-2;
        let p = p * z + 1.128_358_5e-1;
        let p = p * z - 3.761_262_6e-1;
        let p = p * z + std::f32::consts::FRAC_2_SQRT_PI;
        let near = p * self;
        let q = 1.0 / if x < 1.0 { 1.0 } else { x };
        let y = q * q;
        let p = 2.326_82e-2;
        let p = p * y - 1.387_039_4e-1;
        let p = p * y + 3.687_424_7e-1;
        let p = p * y - 5.824_733e-1;
        let p = p * y + 6.210_004_6e-1;
        let p = p * y - 4.944_515_3e-1;
        let p = p * y + 3.404_88e-1;
        let p = p * y - 2.741_127e-1;
        let below_two = p * y + 5.638_259_4e-1;
        let p = -1.047_766_4e1;
        let p = p * y + 1.297_719_9e1;
        let p = p * y - 7.495_519;
        let p = p * y + 2.921_019;
        let p = p * y - 1.015_265_3;
        let p = p * y + 4.218_463_3e-1;
        let p = p * y - 2.820_767_5e-1;
        let beyond_two = p * y + 5.641_895e-1;
        let p = if x < 2.0 { below_two } else { beyond_two };
        let far = (1.0 - Real::exp(-z) * q * p).copysign(self);
        if x < 1.0 { near } else { far }
    }

    /// As PyTorch has it, from oneDNN: with r = s/√2, ½ + r e^{−r²}/√π + ½ erf r, and erf by formula 7.1.26 of Abramowitz and
    /// Stegun, off by up to 1.5 · 10⁻⁷. That error is the same at every step: with a better erf a network under Adam leaves
    /// PyTorch's curves.
    #[inline(always)]
    fn gelu_slope(self) -> Self {
        let r = self * std::f32::consts::FRAC_1_SQRT_2;
        let gauss = Real::exp(-r * r);
        let t = 1.0 / r.abs().mul_add(0.327_591_1, 1.0);
        let p = t.mul_add(1.061_405_4, -1.453_152);
        let p = p.mul_add(t, 1.421_413_8);
        let p = p.mul_add(t, -0.284_496_74);
        let p = p.mul_add(t, 0.254_829_6);
        let erf = (-gauss * t).mul_add(p, 1.0).copysign(r);
        erf.mul_add(0.5, r * (0.5 * std::f32::consts::FRAC_2_SQRT_PI * gauss) + 0.5)
    }

    fn ln(self) -> Self {
        self.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error of `f` in units of its result's last place, over a fine grid.
    fn worst_ulps(f: fn(f32) -> f32, exact: fn(f64) -> f64, from: f64, to: f64) -> f64 {
        let steps = 200_000;
        let mut worst = 0.0f64;
        for i in 0..=steps {
            let x = (from + (to - from) * f64::from(i) / f64::from(steps)) as f32;
            let expected = exact(f64::from(x));
            let ulp = f64::from((expected as f32).abs().next_up()) - f64::from((expected as f32).abs());
            let error = (f64::from(f(x)) - expected).abs() / ulp;
            assert!(!error.is_nan(), "at {x}");
            worst = worst.max(error);
        }
        worst
    }

    #[test]
    fn functions_of_f32_are_accurate() {
        for (name, ulps) in [
            ("exp", worst_ulps(Real::exp, f64::exp, -86.0, 87.0)),
            ("tanh", worst_ulps(Real::tanh, f64::tanh, -12.0, 12.0)),
            ("tanh near 0", worst_ulps(Real::tanh, f64::tanh, -0.01, 0.7)),
            ("erf", worst_ulps(Real::erf, libm::erf, -5.0, 5.0)),
            ("erf near 0", worst_ulps(Real::erf, libm::erf, -0.01, 1.1)),
        ] {
            assert!(ulps < 3.0, "{name}: {ulps} units in the last place");
        }
    }

    /// The formula's error, and rounding.
    #[test]
    fn the_slope_of_gelu_in_f32_is_off_by_what_its_formula_is() {
        let error = |x: f32| (f64::from(Real::gelu_slope(x)) - Real::gelu_slope(f64::from(x))).abs();
        let worst = (-100_000..=100_000).map(|i| error(6e-5 * i as f32)).fold(0.0, f64::max);
        assert!((0.75e-7..3e-7).contains(&worst), "{worst}");
        assert_eq!(Real::gelu_slope(1e30f32), 1.0);
        assert!(Real::gelu_slope(-1e30f32).abs() < 1e-30 && Real::gelu_slope(f32::NAN).is_nan());
    }

    #[test]
    fn functions_of_f32_at_the_ends() {
        assert_eq!(Real::exp(0.0f32), 1.0);
        assert!(Real::exp(1e30f32).is_finite() && Real::exp(-1e30f32) > 0.0);
        for x in [-1e30f32, 1e30] {
            assert_eq!((Real::tanh(x), Real::erf(x)), (x.signum(), x.signum()));
        }
        assert_eq!((Real::tanh(0.0f32), Real::erf(0.0f32)), (0.0, 0.0));
        assert!(Real::exp(f32::NAN).is_nan() && Real::tanh(f32::NAN).is_nan() && Real::erf(f32::NAN).is_nan());
    }
}
