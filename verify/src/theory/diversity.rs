//! Background whose mean is drawn anew for every example: how much of it is learned. Derived: diversity.

use super::normal::{cdf, pdf};

/// Places at which the mean's law is taken: the midpoint rule on a smooth function.
const NODES: usize = 400;

/// Core features y·U[0, 1], `d_core` of them, and `d_bg` background features b + U[−½, ½] whose mean b, the same for all of
/// an example, is uniform on `mean` ± `spread`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diversity {
    /// Number of core features.
    pub d_core: usize,
    /// Number of background features.
    pub d_bg: usize,
    /// Mean of b.
    pub mean: f64,
    /// Half-width of the range of b.
    pub spread: f64,
}

impl Diversity {
    /// β′/C′ of a neuron with core sum C = Σ_core μ v = 1 and background sum β = Σ_bg v: how fast they grow before the hinge
    /// gates, one over the other.
    ///
    /// Given b and the label, s is Gaussian with mean ±1 + βb and variance S² = (4/d_core + β²/d_bg)/12, so that with P_±(b)
    /// = Φ((±1 + βb)/S) and φ_± alike
    /// C′ ∝ d_core/4 E[P₊ + P₋] + E[φ₊ − φ₋]/(12 S),
    /// β′ ∝ d_bg E[b (P₊ − P₋)] + β E[φ₊ − φ₋]/(12 S).
    fn relative_growth(&self, beta: f64) -> f64 {
        let (d_core, d_bg) = (self.d_core as f64, self.d_bg as f64);
        let deviation = ((4.0 / d_core + beta * beta / d_bg) / 12.0).sqrt();
        let (mut both, mut asymmetry, mut edge) = (0.0, 0.0, 0.0);
        for node in 0..NODES {
            let b = self.mean + self.spread * ((2 * node + 1) as f64 / NODES as f64 - 1.0);
            let [own, other] = [1.0, -1.0].map(|core| (core + beta * b) / deviation);
            both += (cdf(own) + cdf(other)) / NODES as f64;
            asymmetry += b * (cdf(own) - cdf(other)) / NODES as f64;
            edge += (pdf(own) - pdf(other)) / (12.0 * deviation * NODES as f64);
        }
        (d_bg * asymmetry + beta * edge) / (0.25 * d_core * both + edge)
    }

    /// Σ_bg μ v / Σ_core μ v at which growth is self-similar, background weighed with μ = ½: the root of β′/C′ = β. Zero for a
    /// mean of 0, where no side is preferred.
    ///
    /// `mean ≥ 0`.
    pub fn contamination(&self) -> f64 {
        if self.mean == 0.0 {
            return 0.0;
        }
        // The background grows faster than its share near 0, and slower once it opens the gate for both classes.
        let (mut low, mut high) = (0.0, 1e3);
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            if self.relative_growth(middle) > middle { low = middle } else { high = middle }
        }
        0.5 * low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::balance::balance_root;
    use feature_contamination::DataModel;

    /// Without diversity this is the balance law: Σ_bg/Σ_core = (1 − p)B / ((1 + p)C), whose root leaves out φ.
    #[test]
    fn without_spread_it_is_the_balance_law() {
        for d0 in [32, 64, 256] {
            let p = balance_root(&DataModel::uniform(d0 / 2, d0 / 2));
            let law = Diversity { d_core: d0 / 2, d_bg: d0 / 2, mean: 0.5, spread: 0.0 }.contamination();
            let error = (law - (1.0 - p) / (1.0 + p)).abs();
            assert!(error < 0.005, "d0 = {d0}: {law}, balance law {}", (1.0 - p) / (1.0 + p));
        }
    }

    /// Many features: sharp gates, and the root of w (w² − L²)/4 = (mean + spread)/4 in w = C/β for a range that
    /// holds [−w, −L] and not [−w, w].
    #[test]
    fn many_features_have_sharp_gates() {
        for spread in [1.0, 2.0, 4.0] {
            let law = Diversity { d_core: 1 << 20, d_bg: 1 << 20, mean: 0.5, spread }.contamination();
            let (w, low, high) = (0.5 / law, spread - 0.5, spread + 0.5);
            assert!(w > low && w < high);
            // d_bg ∫_{low}^{w} b db / (2 spread) · w = d_core/4 · (1 + P(b > w) − P(b < −w)), P(b < −w) = 0.
            let both = 1.0 + (high - w) / (2.0 * spread);
            let (left, right) = (w * (w * w - low * low) / (4.0 * spread), 0.25 * both);
            // The midpoint rule's step is spread/200.
            assert!((left / right - 1.0).abs() < 0.05, "spread {spread}: {left}, {right}");
        }
    }

    #[test]
    fn contamination_falls_with_the_spread_and_is_none_for_a_mean_of_0() {
        let at = |mean, spread| Diversity { d_core: 16, d_bg: 16, mean, spread }.contamination();
        let ladder: Vec<f64> = [0.0, 0.5, 1.0, 2.0, 4.0].map(|spread| at(0.5, spread)).into();
        assert!(ladder.is_sorted_by(|a, b| a > b), "{ladder:?}");
        assert_eq!(at(0.0, 3.0), 0.0);
    }
}
