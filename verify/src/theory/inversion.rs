//! The law of a pre-activation, exactly: inversion of its characteristic function.
//!
//! A sum `s = Σ_j w_j z_j + ε` of independent features and a normal `ε ~ N(0, b²)` has the characteristic function
//! `f(t) = exp(−b²t²/2) Π_j f_j(w_j t)`, and with `ψ_j(u) = E[z_j e^{iuz_j}]`
//!
//! ```text
//! Pr[s ≥ 0]       = ½    + (1/π) ∫₀^∞ Im f(t)/t dt
//! E[z_j 1[s ≥ 0]] = μ_j/2 + (1/π) ∫₀^∞ Im[f(t) ψ_j(w_j t)/f_j(w_j t)]/t dt
//! ```
//!
//! (Gil-Pelaez 1951; the second is the first of `z_j`'s tilted measure). **The midpoint rule is exact here** but for where
//! it is cut off: at the points `t = (k + ½)h` the sum `(2/π) Σ_k sin((k + ½)hs)/(k + ½)` is the square wave of `s` with
//! half-period `2π/h`, which is `sign s` as long as `|s| < 2π/h`. So `h` is taken from the range of `s`, or from where its
//! tail is below 1e-20, and the sum is cut off where `|f|` has fallen below 1e-15. An atom of `s` at 0 counts by half.
//! Sums on a lattice (coins of equal weight) have an `f` that does not fall; the `ε` that batch noise brings makes it.
//! Derived: balance law at finite size.

use feature_contamination::Distribution;

/// Relative size of `f` at which sums are cut off.
const NEGLIGIBLE: f64 = 1e-15;
/// Points at most: beyond, the sum is on a lattice and has no blur.
const MOST_POINTS: usize = 1 << 14;
/// Deviations from the mean beyond which a sum of bounded features is not looked for: `exp(−9.6²/2) = 1e-20`.
const REACH: f64 = 9.6;

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Complex(f64, f64);

impl Complex {
    fn times(self, other: Self) -> Self {
        Self(self.0 * other.0 - self.1 * other.1, self.0 * other.1 + self.1 * other.0)
    }

    fn scaled(self, by: f64) -> Self {
        Self(self.0 * by, self.1 * by)
    }

    fn squared_modulus(self) -> f64 {
        self.0 * self.0 + self.1 * self.1
    }

    /// `self^n`.
    fn power(self, mut n: usize) -> Self {
        let (mut result, mut square) = (Self(1.0, 0.0), self);
        while n > 0 {
            if n & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            n >>= 1;
        }
        result
    }
}

/// `E e^{iuz}` and `E[z e^{iuz}]` of one feature's law.
#[derive(Clone, Debug)]
pub struct Characteristic {
    form: Form,
    mean: f64,
    variance: f64,
    support: (f64, f64),
}

#[derive(Clone, Debug)]
enum Form {
    /// `e^{iuc} sin(ur)/(ur)`.
    Uniform { center: f64, radius: f64 },
    /// `Σ p e^{iuz}` over `(z, p)`.
    Nodes(Vec<(f64, f64)>),
}

impl Characteristic {
    /// Of a law. The uniform law, coins and points are exact; a Beta law is a sum over the nodes of the tanh-sinh rule,
    /// to 1e-12 for the frequencies that sums of a few features have.
    pub fn new(law: &Distribution) -> Self {
        let (low, high) = law.ends();
        let form = match *law {
            Distribution::Uniform { .. } => {
                Form::Uniform { center: f64::midpoint(low, high), radius: 0.5 * (high - low) }
            }
            Distribution::Bernoulli { p, .. } => Form::Nodes(vec![(low, 1.0 - p), (high, p)]),
            Distribution::Point { value } => Form::Nodes(vec![(value, 1.0)]),
            Distribution::Beta { alpha, beta, .. } => {
                let nodes = beta_nodes(alpha, beta);
                Form::Nodes(nodes.into_iter().map(|(u, p)| (low + (high - low) * u, p)).collect())
            }
        };
        let moments = law.moments();
        Self { form, mean: moments.mean(), variance: moments.variance(), support: law.support() }
    }

    /// `μ = E z`.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// `σ² = Var z`.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// `(E e^{iuz}, E[z e^{iuz}])`.
    fn at(&self, u: f64) -> (Complex, Complex) {
        match &self.form {
            &Form::Uniform { center, radius } => {
                let x = u * radius;
                // sinc and its derivative, by their series where the quotients cancel.
                let (sinc, slope) = if x.abs() < 1e-3 {
                    (1.0 - x * x / 6.0, -x / 3.0 + x.powi(3) / 30.0)
                } else {
                    let (sin, cos) = x.sin_cos();
                    (sin / x, (cos - sin / x) / x)
                };
                let (sin, cos) = (u * center).sin_cos();
                let wave = Complex(cos, sin);
                // E[z e^{iuz}] = −i d/du E e^{iuz}.
                (wave.scaled(sinc), wave.times(Complex(center * sinc, -radius * slope)))
            }
            Form::Nodes(nodes) => {
                let mut sums = (Complex(0.0, 0.0), Complex(0.0, 0.0));
                for &(z, p) in nodes {
                    let (sin, cos) = (u * z).sin_cos();
                    sums.0 = Complex(sums.0.0 + p * cos, sums.0.1 + p * sin);
                    sums.1 = Complex(sums.1.0 + p * z * cos, sums.1.1 + p * z * sin);
                }
                sums
            }
        }
    }
}

/// Nodes and weights of `Beta(a, b)` on `[0, 1]`: the tanh-sinh rule, whose nodes crowd the ends.
fn beta_nodes(a: f64, b: f64) -> Vec<(f64, f64)> {
    let mut nodes = Vec::new();
    for i in -40..=40 {
        let t = f64::from(i) * 3.6 / 40.0;
        let g = std::f64::consts::FRAC_PI_2 * t.sinh();
        // u and 1 − u, each without cancellation; du = 2 u (1 − u) g' dt.
        let (u, v) = (1.0 / (1.0 + (-2.0 * g).exp()), 1.0 / (1.0 + (2.0 * g).exp()));
        let weight = (a * u.ln() + b * v.ln()).exp() * t.cosh();
        if weight.is_finite() {
            nodes.push((u, weight));
        }
    }
    let mass: f64 = nodes.iter().map(|(_, weight)| weight).sum();
    nodes.into_iter().map(|(u, weight)| (u, weight / mass)).filter(|&(_, p)| p > 1e-18).collect()
}

/// `count` features of one law, each with the same weight in the sum.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The law.
    pub law: &'a Characteristic,
    /// Number of features.
    pub count: usize,
    /// Weight `w`.
    pub weight: f64,
}

/// What a gate `1[s ≥ 0]` lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct Gated {
    /// `Pr[s ≥ 0]`, error below 1e-12.
    pub probability: f64,
    /// `E[z 1[s ≥ 0]]` of a feature of each block.
    pub features: Vec<f64>,
}

impl Gated {
    /// `E max(s, 0) = Σ_j w_j E[z_j 1[s ≥ 0]]`, for a sum without blur.
    pub fn rectified_mean(&self, blocks: &[Block<'_>]) -> f64 {
        blocks.iter().zip(&self.features).map(|(block, z)| block.count as f64 * block.weight * z).sum()
    }
}

/// `Pr[s ≥ 0]` and `E[z_j 1[s ≥ 0]]` for `s = Σ_blocks w Σ z + N(0, blur²)`.
///
/// Without any spread the gate is `1[s ≥ 0]` of the sum of means, as in the network.
pub fn gate(blocks: &[Block<'_>], blur: f64) -> Gated {
    let total = |f: &dyn Fn(&Block<'_>) -> f64| blocks.iter().map(|b| b.count as f64 * f(b)).sum::<f64>();
    let mean = total(&|b| b.weight * b.law.mean);
    let variance = total(&|b| b.weight * b.weight * b.law.variance) + blur * blur;
    if variance <= 0.0 {
        let open = if mean >= 0.0 { 1.0 } else { 0.0 };
        return Gated { probability: open, features: blocks.iter().map(|b| open * b.law.mean).collect() };
    }
    let deviation = variance.sqrt();
    let largest = total(&|b| {
        let (low, high) = b.law.support;
        (b.weight * low).abs().max((b.weight * high).abs())
    });
    // Nothing of s lies beyond; an unbounded blur has its own reach.
    let range = (largest + REACH * blur).min(mean.abs() + REACH * deviation) * 1.001;
    let h = std::f64::consts::TAU / range;
    let mut probability = 0.0;
    let mut features = vec![0.0; blocks.len()];
    let mut factors = Vec::with_capacity(blocks.len());
    let mut negligible = 0;
    for k in 0..MOST_POINTS {
        let place = k as f64 + 0.5;
        let t = place * h;
        let mut whole = Complex((-0.5 * (blur * t).powi(2)).exp(), 0.0);
        factors.clear();
        for block in blocks {
            let (f, psi) = block.law.at(block.weight * t);
            factors.push((f, psi));
            whole = whole.times(f.power(block.count));
        }
        probability += whole.1 / place;
        for (sum, (f, psi)) in features.iter_mut().zip(&factors) {
            // Im(whole · ψ/f).
            let modulus = f.squared_modulus();
            if modulus > 0.0 {
                let tilted = whole.times(*psi).times(Complex(f.0, -f.1)).scaled(modulus.recip());
                *sum += tilted.1 / place;
            }
        }
        // A factor's zero makes one point small and not the rest.
        negligible = if whole.squared_modulus() < NEGLIGIBLE * NEGLIGIBLE { negligible + 1 } else { 0 };
        if negligible == 4 {
            break;
        }
    }
    let pi = std::f64::consts::PI;
    Gated {
        probability: (0.5 + probability / pi).clamp(0.0, 1.0),
        features: features.iter().zip(blocks).map(|(sum, b)| 0.5 * b.law.mean + sum / pi).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sampling::Sampler;
    use crate::theory::normal;

    fn law(law: Distribution) -> Characteristic {
        Characteristic::new(&law)
    }

    /// `Pr[U_1 + … + U_n ≤ x]`. Source: Irwin 1927, Hall 1927.
    fn irwin_hall(n: i32, x: f64) -> f64 {
        let mut sum = 0.0;
        let mut binomial = 1.0;
        for k in 0..=n {
            if f64::from(k) >= x {
                break;
            }
            sum += if k % 2 == 0 { 1.0 } else { -1.0 } * binomial * (x - f64::from(k)).powi(n);
            binomial *= f64::from(n - k) / f64::from(k + 1);
        }
        (1..=n).fold(sum, |sum, k| sum / f64::from(k))
    }

    #[test]
    fn sums_of_uniforms_have_the_law_of_irwin_and_hall() {
        let (uniform, one) = (law(Distribution::UNIT), law(Distribution::Point { value: 1.0 }));
        for x in [0.5, 1.0, 2.0, 3.5, 4.0, 5.0, 7.5] {
            let blocks = [Block { law: &uniform, count: 8, weight: 1.0 }, Block { law: &one, count: 1, weight: -x }];
            let gated = gate(&blocks, 0.0);
            let tail = 1.0 - irwin_hall(8, x);
            assert!((gated.probability - tail).abs() < 1e-12, "{x}: {} {tail}", gated.probability);
            // E[U 1[U + S₇ ≥ x]] = ∫ u (1 − IH₇(x − u)) du, by Simpson's rule.
            let n = 2000;
            let first: f64 = (0..=n)
                .map(|i| {
                    let u = f64::from(i) / f64::from(n);
                    let weight = if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
                    weight * u * (1.0 - irwin_hall(7, x - u))
                })
                .sum::<f64>()
                / f64::from(3 * n);
            assert!((gated.features[0] - first).abs() < 1e-11, "{x}: {} {first}", gated.features[0]);
            assert!((gated.features[1] - tail).abs() < 1e-12);
            let excess = 8.0 * first - x * tail;
            assert!((gated.rectified_mean(&blocks) - excess).abs() < 1e-10);
        }
    }

    #[test]
    fn coins_have_the_binomial_law() {
        let (coin, half) =
            (law(Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 }), law(Distribution::Point { value: 0.5 }));
        // Pr[X ≥ k], X ~ Bin(12, 0.3): s = X − k + ½ has no atom within 10 blurs of 0.
        let mut tail = 0.0;
        for k in (0..=12_i32).rev() {
            let choose = (1..=k).fold(1.0, |c, i| c * f64::from(12 - k + i) / f64::from(i));
            tail += choose * 0.3_f64.powi(k) * 0.7_f64.powi(12 - k);
            let blocks = [
                Block { law: &coin, count: 12, weight: 1.0 },
                Block { law: &half, count: 1, weight: 1.0 - 2.0 * f64::from(k) },
            ];
            let p = gate(&blocks, 0.05).probability;
            assert!((p - tail).abs() < 1e-12, "{k}: {p} {tail}");
        }
    }

    #[test]
    fn beta_laws() {
        // Beta(1, 1) is uniform; the arcsine law has E e^{iuz} = e^{iu/2} J₀(u/2), J₀(1) = 0.765197686557967.
        let (flat, uniform) =
            (law(Distribution::Beta { alpha: 1.0, beta: 1.0, low: 0.0, high: -1.0 }), law(Distribution::NEGATIVE_UNIT));
        for u in [0.0, 0.3, -2.0, 9.0] {
            let ((f, psi), (g, chi)) = (flat.at(u), uniform.at(u));
            for (a, b) in [(f.0, g.0), (f.1, g.1), (psi.0, chi.0), (psi.1, chi.1)] {
                assert!((a - b).abs() < 1e-11, "{u}: {a} {b}");
            }
        }
        let arcsine = law(Distribution::Beta { alpha: 0.5, beta: 0.5, low: 0.0, high: 1.0 }).at(2.0).0;
        assert!((arcsine.squared_modulus().sqrt() - 0.765_197_686_557_966_6).abs() < 1e-9, "{arcsine:?}");
        // Moments: f = 1 + iuμ − …, ψ(0) = μ.
        let skewed = law(Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 });
        assert!((skewed.at(0.0).1.0 - 2.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn tails_deviate_from_normal_ones_by_the_kurtosis() {
        let uniform = law(Distribution::UNIT);
        for n in [8, 32, 4096] {
            let r: f64 = 1.0 + 3.0 / (n as f64).sqrt();
            let blocks =
                [Block { law: &uniform, count: n, weight: -r }, Block { law: &uniform, count: n, weight: 1.0 }];
            let x = (1.0 - r) * 0.5 * (n as f64 * 12.0 / (1.0 + r * r)).sqrt();
            let ratio = gate(&blocks, 0.0).probability / normal::cdf(x);
            // Edgeworth: −κ₄/24 (x³ − 3x) φ(x) with κ₄ = −1.2 (1 + r⁴)/(1 + r²)²/n; the next term is smaller by 1/n.
            let kurtosis = -1.2 * (1.0 + r.powi(4)) / (1.0 + r * r).powi(2) / n as f64;
            let edgeworth = -kurtosis / 24.0 * (x.powi(3) - 3.0 * x) * normal::pdf(x) / normal::cdf(x);
            assert!(
                edgeworth < 0.0 && (ratio - 1.0 - edgeworth).abs() < 8.0 * edgeworth.powi(2),
                "{n}: {ratio} {edgeworth}"
            );
        }
    }

    #[test]
    fn agrees_with_monte_carlo_on_a_mixture() {
        let laws = [
            law(Distribution::UNIT),
            law(Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 }),
            law(Distribution::Uniform { low: 0.2, high: -1.0 }),
        ];
        let blocks = [
            Block { law: &laws[0], count: 3, weight: -0.8 },
            Block { law: &laws[1], count: 4, weight: 0.7 },
            Block { law: &laws[2], count: 2, weight: -0.5 },
        ];
        let gated = gate(&blocks, 0.1);
        let (mut sampler, samples) = (Sampler::new(3), 400_000);
        let (mut open, mut sums) = (0.0, [0.0; 3]);
        for _ in 0..samples {
            let mut s = 0.1 * sampler.normal();
            let mut first = [0.0; 3];
            for (b, block) in blocks.iter().enumerate() {
                for j in 0..block.count {
                    let u = sampler.uniform();
                    let z = [u, f64::from(u8::from(u < 0.3)), 0.2 - 1.2 * u][b];
                    s += block.weight * z;
                    if j == 0 {
                        first[b] = z;
                    }
                }
            }
            if s >= 0.0 {
                open += 1.0;
                sums.iter_mut().zip(first).for_each(|(sum, z)| *sum += z);
            }
        }
        let n = f64::from(samples);
        // Five standard errors of numbers in [−1, 1].
        assert!((gated.probability - open / n).abs() < 2.5 / n.sqrt(), "{} {}", gated.probability, open / n);
        for (a, b) in gated.features.iter().zip(sums) {
            assert!((a - b / n).abs() < 2.5 / n.sqrt(), "{a} {}", b / n);
        }
    }

    #[test]
    fn point_masses_step() {
        let half = law(Distribution::Point { value: 0.5 });
        let block = |weight| [Block { law: &half, count: 3, weight }];
        assert_eq!(gate(&block(1.0), 0.0), Gated { probability: 1.0, features: vec![0.5] });
        assert_eq!(gate(&block(-1.0), 0.0), Gated { probability: 0.0, features: vec![0.0] });
    }
}
