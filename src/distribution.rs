//! Distributions of one latent feature, with their exact moments.

use rand::{Rng, RngExt};
use rand_distr::Distribution as _;
use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::rng::unit_f32;

/// The law of one latent coordinate: `z = low + (high − low) u`, with `u` on `[0, 1]` of the named shape.
///
/// `high < low` mirrors the shape: `low = 0, high = −1` gives `z = −u`, the shift of the background in the paper.
/// Paper: Definition 1 (data).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "lowercase", deny_unknown_fields)]
pub enum Distribution {
    /// `u` uniform on `[0, 1]`.
    Uniform {
        /// Value at `u = 0`.
        low: f64,
        /// Value at `u = 1`.
        high: f64,
    },
    /// `u ~ Beta(alpha, beta)`, density ∝ `u^(alpha−1) (1−u)^(beta−1)`.
    Beta {
        /// First shape parameter, > 0.
        alpha: f64,
        /// Second shape parameter, > 0.
        beta: f64,
        /// Value at `u = 0`.
        #[serde(default)]
        low: f64,
        /// Value at `u = 1`.
        #[serde(default = "one")]
        high: f64,
    },
    /// `u = 1` with probability `p`, else 0.
    Bernoulli {
        /// Probability of `high`, in `[0, 1]`.
        p: f64,
        /// Value at `u = 0`.
        #[serde(default)]
        low: f64,
        /// Value at `u = 1`.
        #[serde(default = "one")]
        high: f64,
    },
    /// `z = value`, always.
    Point {
        /// The value.
        value: f64,
    },
}

fn one() -> f64 {
    1.0
}

/// Moments of one latent coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// `μ_p = E z^p` for `p = 1, 2, 3`.
    pub raw: [f64; 3],
    /// `E |z − μ₁|³`, for the Berry–Esseen bound.
    pub abs_central_3: f64,
}

impl Moments {
    /// `μ = E z`.
    pub fn mean(&self) -> f64 {
        self.raw[0]
    }

    /// `σ² = E z² − μ²`.
    pub fn variance(&self) -> f64 {
        // A point mass rounds to something like −1e-17.
        (self.raw[1] - self.raw[0] * self.raw[0]).max(0.0)
    }
}

impl Distribution {
    /// Uniform on `[0, 1]`, the paper's numerical experiments' choice.
    pub const UNIT: Self = Self::Uniform { low: 0.0, high: 1.0 };
    /// Uniform on `[−1, 0]`, the shifted background of the paper's numerical experiments.
    pub const NEGATIVE_UNIT: Self = Self::Uniform { low: 0.0, high: -1.0 };

    /// `(low, high)`: the values at `u = 0` and `u = 1`.
    pub fn ends(&self) -> (f64, f64) {
        match *self {
            Self::Uniform { low, high } | Self::Beta { low, high, .. } | Self::Bernoulli { low, high, .. } => {
                (low, high)
            }
            Self::Point { value } => (value, value),
        }
    }

    /// The smallest and the largest value it takes.
    pub fn support(&self) -> (f64, f64) {
        let (low, high) = self.ends();
        (low.min(high), low.max(high))
    }

    /// Moments `E z^p = Σ_i C(p,i) low^(p−i) (high−low)^i E u^i`, from the exact moments of the shape.
    pub fn moments(&self) -> Moments {
        let unit = match *self {
            Self::Uniform { .. } => [1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0],
            Self::Beta { alpha: a, beta: b, .. } => {
                let first = a / (a + b);
                let second = first * (a + 1.0) / (a + b + 1.0);
                [first, second, second * (a + 2.0) / (a + b + 2.0)]
            }
            Self::Bernoulli { p, .. } => [p; 3],
            Self::Point { .. } => [0.0; 3],
        };
        let (low, high) = self.ends();
        let w = high - low;
        let [u1, u2, u3] = unit;
        Moments {
            raw: [
                low + w * u1,
                low * low + 2.0 * low * w * u1 + w * w * u2,
                low.powi(3) + 3.0 * low * low * w * u1 + 3.0 * low * w * w * u2 + w.powi(3) * u3,
            ],
            abs_central_3: w.abs().powi(3) * self.unit_abs_central_3(),
        }
    }

    /// `E |u − E u|³` of the shape on `[0, 1]`.
    fn unit_abs_central_3(&self) -> f64 {
        match *self {
            Self::Uniform { .. } => 1.0 / 32.0,
            Self::Beta { alpha, beta, .. } => beta_abs_central_3(alpha, beta),
            Self::Bernoulli { p, .. } => p * (1.0 - p) * ((1.0 - p).powi(2) + p * p),
            Self::Point { .. } => 0.0,
        }
    }

    /// Fills `out` with independent draws. `f32` values never leave [`Distribution::support`].
    pub fn fill(&self, rng: &mut impl Rng, out: &mut [f32]) {
        let (low, high) = self.ends();
        let (low, width) = (low as f32, (high - low) as f32);
        match *self {
            Self::Uniform { .. } => {
                let mut pairs = out.chunks_exact_mut(2);
                for pair in &mut pairs {
                    let bits = rng.next_u64();
                    pair[0] = low + width * unit_f32(bits as u32);
                    pair[1] = low + width * unit_f32((bits >> 32) as u32);
                }
                for z in pairs.into_remainder() {
                    *z = low + width * unit_f32(rng.next_u64() as u32);
                }
            }
            Self::Beta { alpha, beta, .. } => {
                // Parameters are checked by `validate`; what it lets through, the sampler takes.
                if let Ok(law) = rand_distr::Beta::new(alpha, beta) {
                    out.fill_with(|| low + width * law.sample(rng) as f32);
                }
            }
            Self::Bernoulli { p, .. } => {
                let high = high as f32;
                out.fill_with(|| if rng.random::<f64>() < p { high } else { low });
            }
            Self::Point { value } => out.fill(value as f32),
        }
    }

    /// Checks parameters and that the values lie in `[min, max]`.
    ///
    /// # Errors
    /// Names `field` and what would be right.
    pub fn validate(&self, field: &str, min: f64, max: f64) -> Result<(), SpecError> {
        let (low, high) = self.ends();
        let (name_low, name_high) = match self {
            Self::Point { .. } => ("value", "value"),
            _ => ("low", "high"),
        };
        for (name, value) in [(name_low, low), (name_high, high)] {
            if !(min..=max).contains(&value) {
                return Err(SpecError::new(format!("{field}.{name}"), value, format!("a number in [{min}, {max}]")));
            }
        }
        if !matches!(self, Self::Point { .. }) && low == high {
            return Err(SpecError::new(format!("{field}.high"), high, "different from low (use shape \"point\")"));
        }
        match *self {
            Self::Beta { alpha, beta, .. } => {
                for (name, value) in [("alpha", alpha), ("beta", beta)] {
                    // Below 0.01 the sampler underflows; above 1e6 the law is a point mass in f32.
                    if !(0.01..=1e6).contains(&value) {
                        return Err(SpecError::new(format!("{field}.{name}"), value, "a number in [0.01, 1e6]"));
                    }
                }
            }
            Self::Bernoulli { p, .. } if !(0.0..=1.0).contains(&p) => {
                return Err(SpecError::new(format!("{field}.p"), p, "a probability in [0, 1]"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// `E |u − m|³` for `u ~ Beta(a, b)` by the tanh-sinh rule on either side of the mean, relative error below 1e-9 over
/// the parameters allowed: the rule's nodes crowd the ends, where the density may be singular.
fn beta_abs_central_3(a: f64, b: f64) -> f64 {
    let mean = a / (a + b);
    // The density is normalised by the same rule, so that no log-gamma is needed.
    let (mut mass, mut third) = (0.0, 0.0);
    for (from, to) in [(0.0, mean), (mean, 1.0)] {
        let steps = 400;
        for i in -steps..=steps {
            let t = f64::from(i) * 6.0 / f64::from(steps);
            let g = std::f64::consts::FRAC_PI_2 * t.sinh();
            // Distances from both ends, each without cancellation.
            let left = (to - from) / (1.0 + (-2.0 * g).exp());
            let right = (to - from) / (1.0 + (2.0 * g).exp());
            let (u, v) = (from + left, (1.0 - to) + right);
            if u <= 0.0 || v <= 0.0 {
                continue;
            }
            let weight = (to - from) * t.cosh() / g.cosh().powi(2);
            let scale = (a - 1.0) * (u / mean).ln() + (b - 1.0) * (v / (1.0 - mean)).ln();
            let density = weight * scale.exp();
            if density.is_finite() {
                mass += density;
                third += density * (u - mean).abs().powi(3);
            }
        }
    }
    third / mass
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, stream};

    const SHAPES: [Distribution; 8] = [
        Distribution::UNIT,
        Distribution::NEGATIVE_UNIT,
        Distribution::Uniform { low: 0.25, high: 0.75 },
        Distribution::Uniform { low: -1.0, high: 1.0 },
        Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 },
        Distribution::Beta { alpha: 0.5, beta: 0.5, low: 0.0, high: -1.0 },
        Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 },
        Distribution::Point { value: 0.7 },
    ];

    #[test]
    fn moments_match_closed_forms() {
        let uniform = Distribution::UNIT.moments();
        assert_eq!(uniform.raw, [0.5, 1.0 / 3.0, 0.25]);
        assert!((uniform.variance() - 1.0 / 12.0).abs() < 1e-15);
        let beta = Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 }.moments();
        assert!((beta.mean() - 2.0 / 7.0).abs() < 1e-15);
        assert!((beta.variance() - 10.0 / (49.0 * 8.0)).abs() < 1e-15);
        let mirrored = Distribution::NEGATIVE_UNIT.moments();
        assert_eq!(mirrored.raw, [-0.5, 1.0 / 3.0, -0.25]);
        assert_eq!(Distribution::Point { value: 0.7 }.moments().variance(), 0.0);
    }

    #[test]
    fn beta_third_absolute_moment_agrees_with_the_uniform_and_the_arcsine_law() {
        assert!((beta_abs_central_3(1.0, 1.0) * 32.0 - 1.0).abs() < 1e-9);
        // Arcsine: u = (1 + cos θ)/2, so E|u − 1/2|³ = (1/8) E|cos θ|³ = (1/8)(4/3π).
        let arcsine = 4.0 / (3.0 * std::f64::consts::PI) / 8.0;
        assert!((beta_abs_central_3(0.5, 0.5) / arcsine - 1.0).abs() < 1e-9);
    }

    #[test]
    fn draws_have_the_stated_moments_and_support() {
        for (i, law) in SHAPES.iter().enumerate() {
            let n = 200_001;
            let mut z = vec![0.0f32; n];
            law.fill(&mut stream(11, Stream::EvalCore, i as u64, 0), &mut z);
            let moments = law.moments();
            let (min, max) = law.support();
            assert!(z.iter().all(|&z| (min as f32..=max as f32).contains(&z)), "{law:?}");
            for p in 1..=3 {
                let mean = z.iter().map(|&z| f64::from(z).powi(p)).sum::<f64>() / n as f64;
                // |z| ≤ 1, so a standard error is at most n^(−1/2); five of them.
                let tolerance = 5.0 / (n as f64).sqrt();
                assert!((mean - moments.raw[p as usize - 1]).abs() < tolerance, "{law:?} p = {p}: {mean}");
            }
            let third = z.iter().map(|&z| (f64::from(z) - moments.mean()).abs().powi(3)).sum::<f64>() / n as f64;
            assert!((third - moments.abs_central_3).abs() < 5.0 / (n as f64).sqrt(), "{law:?}");
        }
    }

    #[test]
    fn bad_parameters_name_the_field() {
        let error = |law: Distribution| law.validate("core", 0.0, 1.0).unwrap_err().to_string();
        assert!(error(Distribution::Uniform { low: 0.0, high: 1.5 }).contains("core.high"));
        assert!(error(Distribution::Uniform { low: f64::NAN, high: 1.0 }).contains("core.low"));
        assert!(error(Distribution::Uniform { low: 0.5, high: 0.5 }).contains("point"));
        assert!(error(Distribution::Beta { alpha: -1.0, beta: 1.0, low: 0.0, high: 1.0 }).contains("core.alpha"));
        assert!(error(Distribution::Bernoulli { p: 1.1, low: 0.0, high: 1.0 }).contains("core.p"));
        assert!(error(Distribution::Point { value: 2.0 }).contains("core.value"));
        assert!(SHAPES.iter().all(|law| law.validate("z", -1.0, 1.0).is_ok()));
    }
}
