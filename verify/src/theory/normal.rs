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

    /// Of a sum of many terms, normal up to its third and fourth cumulants: `Pr[s ≥ 0] = Φ(w(M/S))`, density
    /// `φ(w) w'/S`.
    ///
    /// `w(x) = x + γ/6 (x² − 1) − κ/24 (x³ − 3x) + γ²/36 (4x³ − 7x)`, `γ` the skewness and `κ` the excess kurtosis: Cornish
    /// and Fisher's transform to the normal, right to the order `1/n` for `n` like terms. Beyond 5 deviations `w − x` keeps
    /// its value, so that a polynomial does not turn the tail round. Unlike Edgeworth's series it stays a probability.
    /// Four deviations out a sum of 12 uniform terms has 8.5e-6, this law 1.2e-5, the normal law 3.2e-5.
    pub fn shaped(mean: f64, deviation: f64, third: f64, fourth: f64) -> Self {
        if deviation <= 0.0 || (third == 0.0 && fourth == 0.0) {
            return Self::new(mean, deviation);
        }
        let (x, variance) = (mean / deviation, deviation * deviation);
        let (skewness, kurtosis) = (third / (variance * deviation), fourth / (variance * variance));
        let (z, square) = (x.clamp(-5.0, 5.0), skewness * skewness);
        let shift = skewness / 6.0 * (z * z - 1.0) - kurtosis / 24.0 * z * (z * z - 3.0)
            + square / 36.0 * z * (4.0 * z * z - 7.0);
        let slope = if z == x {
            skewness / 3.0 * z - kurtosis / 8.0 * (z * z - 1.0) + square / 36.0 * (12.0 * z * z - 7.0)
        } else {
            0.0
        };
        let w = x + shift;
        Self { probability: cdf(w), density: (pdf(w) * (1.0 + slope) / deviation).max(0.0) }
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

    /// `Pr[u₁ + … + u_n ≥ x]`, uniform terms: Irwin and Hall's `1/n! Σ_k (−1)^k C(n, k) (n − x − k)₊^n`.
    fn uniform_sum_above(n: i32, x: f64) -> f64 {
        let (mut sum, mut binomial, mut factorial) = (0.0, 1.0, 1.0);
        for k in 0..n {
            sum += binomial * (f64::from(n) - x - f64::from(k)).max(0.0).powi(n);
            binomial *= -f64::from(n - k) / f64::from(k + 1);
            factorial *= f64::from(k + 1);
        }
        sum / factorial
    }

    #[test]
    fn shape_mends_the_tails_of_uniform_sums() {
        let (n, variance) = (12, 1.0);
        // −1/120 is the fourth cumulant of one term.
        let gate = |mean: f64| Gate::shaped(mean, variance, 0.0, -f64::from(n) / 120.0);
        for mean in [-4.0, -3.0, -2.0, -1.0, -0.3, 1.0, 3.0_f64] {
            let exact = uniform_sum_above(n, 6.0 - mean);
            let (shaped, normal) = (gate(mean).probability / exact - 1.0, cdf(mean) / exact - 1.0);
            println!("{mean}: {shaped:+.4} {normal:+.4}");
            assert!(shaped.abs() < 0.2 * normal.abs() || shaped.abs() < 5e-4, "{mean}: {shaped} {normal}");
            let h = 1e-4;
            let slope = (gate(mean + h).probability - gate(mean - h).probability) / (2.0 * h);
            assert!((gate(mean).density / slope - 1.0).abs() < 1e-4, "{mean}");
        }
    }

    #[test]
    fn shape_stays_a_probability() {
        for third in [-0.8, 0.0, 0.8] {
            for fourth in [-0.9, 0.0, 0.9] {
                for mean in [-40.0, -5.0, -1.0, 0.0, 2.0, 5.0, 40.0] {
                    let gate = Gate::shaped(mean, 1.0, third, fourth);
                    assert!((0.0..=1.0).contains(&gate.probability) && gate.density >= 0.0);
                    assert!(mean.abs() < 40.0 || (gate.probability > 0.5) == (mean > 0.0));
                }
            }
        }
        assert_eq!(Gate::shaped(-1.0, 2.0, 0.0, 0.0), Gate::new(-1.0, 2.0));
        assert_eq!(Gate::shaped(0.0, 0.0, 1.0, 1.0), Gate::new(0.0, 0.0));
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
