//! The law of the network's output `h` given the label.
//!
//! Given `y` the features are independent, `x̃ = E x̃ + ζ`, and `h = Σ_k a_k act(s_k)`, `s_k = Σ_j v_kj x̃_j`. For
//! Gaussian `ζ` with variances `σ_j²` the expansion of `h` in Hermite polynomials begins with
//!
//! ```text
//! h = E h + Σ_j u_j ζ_j + ½ Σ_ij H_ij (ζ_i ζ_j − δ_ij σ_j²) + …
//! E h  = Σ_k a_k [M_k Φ(M_k/S_k) + S_k φ(M_k/S_k)]
//! u_j  = E ∂h/∂x̃_j      = Σ_k a_k Φ(M_k/S_k) v_kj
//! H_ij = E ∂²h/∂x̃_i∂x̃_j = Σ_k a_k φ(M_k/S_k)/S_k v_ki v_kj
//! ```
//!
//! The terms are uncorrelated, so that
//!
//! ```text
//! Var h = Σ_j σ_j² u_j² + ½ Σ_ij σ_i² σ_j² H_ij² + (orders 3 and on, left out)
//! κ₃ h  = Σ_j κ₃_j u_j³ + 3 Σ_ij σ_i² σ_j² u_i H_ij u_j + (terms cubic in H, left out)
//! ```
//!
//! In distribution nearly every neuron of the class is in its linear range, the first term of each sum has almost
//! everything, and the variance is right to 1 or 2 %. It is too small by a third where all neurons are parallel and 1.3
//! deviations below their threshold, and there the law is not normal either. Derived: law of the output.

use super::normal::{Gate, cdf, pdf};

/// Mean, variance and third cumulant of a sum of many small effects, taken as normal up to its skewness.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputLaw {
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
    /// Third cumulant.
    pub third: f64,
}

impl OutputLaw {
    /// The law of `−h`.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { mean: -self.mean, third: -self.third, ..self }
    }

    /// `Pr[h > level] = Φ(x) + γ/6 (x² − 1) φ(x)`, `x = (mean − level)/deviation`, `γ` the skewness.
    ///
    /// The Edgeworth expansion to first order, kept in `[0, 1]`.
    #[must_use]
    pub fn above(&self, level: f64) -> f64 {
        let deviation = self.variance.sqrt();
        if deviation <= 0.0 {
            return if self.mean > level { 1.0 } else { 0.0 };
        }
        let x = (self.mean - level) / deviation;
        (cdf(x) + self.third / (6.0 * deviation.powi(3)) * (x * x - 1.0) * pdf(x)).clamp(0.0, 1.0)
    }
}

/// Neurons and features, as the law of the output sees them.
pub(crate) struct Network<'a> {
    /// Output weights `a_k`.
    pub a: &'a [f64],
    /// `v_kj` at `[j × m + k]`: a feature's weights side by side.
    pub weights: &'a [f64],
    /// `E[x̃_j | y]`.
    pub mean: &'a [f64],
    /// `σ_j²`.
    pub variance: &'a [f64],
    /// Third cumulant of `x̃_j` given `y`.
    pub third: &'a [f64],
    /// ReLU, or else the identity.
    pub relu: bool,
}

impl Network<'_> {
    /// The law of `h` given `y`, in `O(m d₀²)`.
    pub(crate) fn law(&self) -> OutputLaw {
        let m = self.a.len();
        let rows = || self.weights.chunks_exact(m);
        let (mut mean, mut square) = (vec![0.0; m], vec![0.0; m]);
        for ((row, &mu), &variance) in rows().zip(self.mean).zip(self.variance) {
            for ((mean, square), v) in mean.iter_mut().zip(&mut square).zip(row) {
                *mean += mu * v;
                *square += variance * v * v;
            }
        }
        let mut law = OutputLaw::default();
        // a_k Φ_k and a_k φ_k/S_k.
        let (mut slope, mut curvature) = (vec![0.0; m], vec![0.0; m]);
        for k in 0..m {
            let (center, deviation) = (mean[k], square[k].sqrt());
            if self.relu {
                let gate = Gate::new(center, deviation);
                law.mean += self.a[k] * gate.rectified_mean(center, deviation);
                slope[k] = self.a[k] * gate.probability;
                curvature[k] = self.a[k] * gate.density;
            } else {
                law.mean += self.a[k] * center;
                slope[k] = self.a[k];
            }
        }
        let gradient: Vec<f64> = rows().map(|row| dot(row, &slope)).collect();
        for ((u, &variance), &third) in gradient.iter().zip(self.variance).zip(self.third) {
            law.variance += variance * u * u;
            law.third += third * u.powi(3);
        }
        if self.relu {
            let mut weighed = vec![0.0; m];
            for (i, row) in rows().enumerate() {
                weighed.iter_mut().zip(row).zip(&curvature).for_each(|((out, v), b)| *out = v * b);
                for (j, other) in rows().enumerate().skip(i) {
                    // Off-diagonal entries count twice.
                    let weight = self.variance[i] * self.variance[j] * if i == j { 1.0 } else { 2.0 };
                    let hessian = dot(&weighed, other);
                    law.variance += 0.5 * weight * hessian * hessian;
                    law.third += 3.0 * weight * gradient[i] * hessian * gradient[j];
                }
            }
        }
        law
    }
}

/// `Σ_k x_k y_k` in eight interleaved partial sums, which vectorises.
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let (x_chunks, y_chunks) = (x.chunks_exact(8), y.chunks_exact(8));
    let tail: f64 = x_chunks.remainder().iter().zip(y_chunks.remainder()).map(|(x, y)| x * y).sum();
    let mut lanes = [0.0; 8];
    for (x, y) in x_chunks.zip(y_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sampling::Sampler;

    #[test]
    fn law_agrees_with_monte_carlo() {
        // Neurons along a common direction with independent deviations, near their thresholds: the hard case.
        let (m, d0, samples) = (24, 16, 200_000);
        let mut sampler = Sampler::new(9);
        for (spread, offset, tolerance) in [(0.3, 0.4, 0.02), (0.1, 0.2, 0.02), (1.0, -0.05, 0.04), (0.1, -0.1, 0.4)] {
            let direction: Vec<f64> = (0..d0).map(|_| 0.5 + 0.2 * sampler.normal()).collect();
            let a: Vec<f64> = (0..m).map(|k| if k % 2 == 0 { 1.0 } else { -1.0 } / m as f64).collect();
            let weights: Vec<f64> = (0..d0 * m)
                .map(|i| if i % m % 2 == 0 { direction[i / m] } else { 0.2 } + spread * sampler.normal())
                .collect();
            let mean = vec![offset; d0];
            let variance = vec![1.0 / 12.0; d0];
            let third = vec![0.0; d0];
            let network =
                Network { a: &a, weights: &weights, mean: &mean, variance: &variance, third: &third, relu: true };
            let law = network.law();
            let (mut sum, mut square, mut cube, mut above) = (0.0, 0.0, 0.0, 0);
            let level = law.mean + 2.0 * law.variance.sqrt();
            for _ in 0..samples {
                let x: Vec<f64> = (0..d0).map(|_| offset - 0.5 + sampler.uniform()).collect();
                let s = |k: usize| -> f64 { (0..d0).map(|j| weights[j * m + k] * x[j]).sum() };
                let h: f64 = (0..m).map(|k| a[k] * s(k).max(0.0)).sum();
                let centered = h - law.mean;
                sum += centered;
                square += centered * centered;
                cube += centered.powi(3);
                above += usize::from(h > level);
            }
            let n = f64::from(samples);
            let deviation = law.variance.sqrt();
            let (mean, variance, third) = (sum / n, square / n, cube / n);
            let report = format!("spread {spread}, offset {offset}: {mean:e} {variance:e} {third:e}; {law:?}");
            assert!(mean.abs() < 0.01 * deviation, "{report}");
            assert!((law.variance / variance - 1.0).abs() < tolerance, "{report}");
            if tolerance > 0.1 {
                // What the doc says of neurons below their threshold.
                assert!(law.variance < variance, "{report}");
                continue;
            }
            assert!((third - law.third).abs() < 0.15 * deviation.powi(3), "{report}");
            let fraction = f64::from(above as u32) / n;
            assert!((fraction - law.above(level)).abs() < 0.006, "{report} {fraction} {}", law.above(level));
        }
    }

    #[test]
    fn linear_networks_are_exact() {
        let network = Network {
            a: &[0.5, -0.5],
            weights: &[1.0, 2.0, 3.0, 1.0],
            mean: &[1.0, 2.0],
            variance: &[0.5, 2.0],
            third: &[0.1, 0.0],
            relu: false,
        };
        // u = (−½, 1).
        let law = network.law();
        assert!((law.mean - 1.5).abs() < 1e-15 && (law.variance - 2.125).abs() < 1e-15);
        assert!((law.third + 0.0125).abs() < 1e-15);
        assert_eq!(law.negated().mean, -law.mean);
    }

    #[test]
    fn certain_outputs_are_above_or_not() {
        let law = OutputLaw { mean: 1.0, variance: 0.0, third: 0.0 };
        assert_eq!((law.above(0.5), law.above(1.0)), (1.0, 0.0));
    }

    #[test]
    fn dot_sums_the_remainder_too() {
        let x: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(dot(&x, &x), 2109.0);
        assert_eq!(dot(&x[..3], &x[..3]), 5.0);
    }
}
