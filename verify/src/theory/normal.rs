//! The standard normal distribution, and the expectations of a rectified normal variable.

use statrs::function::erf::erfc;

/// `1/√(2π)`.
const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// `φ(x) = exp(−x²/2)/√(2π)`.
pub fn pdf(x: f64) -> f64 {
    INV_SQRT_TAU * (-0.5 * x * x).exp()
}

/// `Φ(x) = Pr[Z ≤ x] = ½ erfc(−x/√2)`.
///
/// Relative error below 2e-10 in both tails, down to 1e-300: that of statrs' erfc (libm's has 1e-15).
pub fn cdf(x: f64) -> f64 {
    0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// What a neuron with pre-activation `s ~ N(M, S²)` passes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// `Pr[s ≥ 0] = Φ(M/S)`; for `S = 0`, `1[M ≥ 0]`: a neuron at 0 is active.
    pub probability: f64,
    /// Density of `s` at 0, `φ(M/S)/S`; 0 for `S = 0`.
    pub density: f64,
}

impl Gate {
    /// Of `N(mean, deviation²)`.
    pub fn new(mean: f64, deviation: f64) -> Self {
        if deviation > 0.0 {
            let x = mean / deviation;
            Self { probability: cdf(x), density: pdf(x) / deviation }
        } else {
            Self { probability: if mean >= 0.0 { 1.0 } else { 0.0 }, density: 0.0 }
        }
    }

    /// `E max(s, 0) = M Φ(M/S) + S φ(M/S)`.
    pub fn rectified_mean(&self, mean: f64, deviation: f64) -> f64 {
        // Far out at the left the two terms cancel, and rounding could leave a negative number.
        (mean * self.probability + deviation * deviation * self.density).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_meet_published_values() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.0, 0.158_655_253_931_457_07),
            (-1.959_963_984_540_054, 0.025),
            (-5.0, 2.866_515_718_791_939e-7),
            (-10.0, 7.619_853_024_160_526e-24),
            (-20.0, 2.753_624_118_606_233_7e-89),
            (-37.0, 5.725_571_222_524_577e-300),
            (9.0, 1.0),
        ] {
            assert!((cdf(x) / expected - 1.0).abs() < 2e-10, "Φ({x}) = {:e}", cdf(x));
        }
        assert_eq!((cdf(f64::INFINITY), cdf(f64::NEG_INFINITY)), (1.0, 0.0));
        assert!(cdf(f64::NAN).is_nan());
    }

    #[test]
    fn density_is_the_derivative() {
        for x in [-6.0, -1.0, 0.0, 2.0_f64] {
            let h = 1e-3;
            let slope = (cdf(x - 2.0 * h) - 8.0 * cdf(x - h) + 8.0 * cdf(x + h) - cdf(x + 2.0 * h)) / (12.0 * h);
            assert!((slope / pdf(x) - 1.0).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn rectified_means() {
        let rectified = |mean: f64, deviation: f64| Gate::new(mean, deviation).rectified_mean(mean, deviation);
        // φ(5) − 5 Φ(−5) = 5.34616553383281…e-8; times S.
        assert!((rectified(-10.0, 2.0) / (2.0 * 5.346_165_533_832_815e-8) - 1.0).abs() < 1e-8);
        assert!((rectified(0.0, 3.0) - 3.0 * pdf(0.0)).abs() < 1e-9);
        assert!((rectified(50.0, 1.0) - 50.0).abs() < 1e-12);
        assert!(rectified(-60.0, 1.0) >= 0.0);
        // Without spread: 1[s ≥ 0] s, active at 0.
        assert_eq!((rectified(2.0, 0.0), rectified(-2.0, 0.0)), (2.0, 0.0));
        assert_eq!(Gate::new(0.0, 0.0).probability, 1.0);
    }
}
