//! Bounds that hold at every finite size, each with its constant: a violation is a defect of the code or of the bound.

use feature_contamination::{DataModel, RunSpec};

use super::growth_time;
use super::normal::Gate;

/// The constant of the Berry–Esseen theorem for independent summands of unlike laws. Source: Shevtsova 2010.
pub const BERRY_ESSEEN: f64 = 0.56;

/// `|Pr[s ≥ 0 | y] − normal| ≤ error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BerryEsseen {
    /// `Φ(M_y/S)`.
    pub normal: f64,
    /// `0.56 Σ_j |v_j|³ E|z_j − μ_j|³ / S³`, at most 1.
    pub error: f64,
}

/// The normal approximation to `Pr[⟨v, x̃⟩ ≥ 0 | y]` in distribution, and the bound on its error.
///
/// `M_y = y Σ_core μ_j v_j + Σ_bg μ_j v_j`, `S² = Σ_j σ_j² v_j²`; `v` has `d₀` entries and `label` is ±1. The bound
/// is for `Pr[s ≤ x]` and, by continuity from the right of the normal law, for `Pr[s < x]`, so atoms of `s` at 0 do
/// not matter. `S = 0` makes `s = M_y` certain: error 0. Source: Berry–Esseen theorem, Shevtsova 2010.
pub fn berry_esseen(data: &DataModel, v: &[f32], label: i8) -> BerryEsseen {
    let moments = data.core.moments().into_iter().chain(data.background.moments());
    let (mut mean, mut variance, mut third) = (0.0, 0.0, 0.0);
    for (j, (moments, &v)) in moments.zip(v).enumerate() {
        let (v, sign) = (f64::from(v), if j < data.core.count { f64::from(label) } else { 1.0 });
        mean += sign * moments.mean() * v;
        variance += moments.variance() * v * v;
        third += moments.abs_central_3 * v.abs().powi(3);
    }
    let deviation = variance.sqrt();
    let error = if deviation > 0.0 { (BERRY_ESSEEN * third / deviation.powi(3)).min(1.0) } else { 0.0 };
    BerryEsseen { normal: Gate::new(mean, deviation).probability, error }
}

/// `Pr[s < 0] ≤ exp(−2 M² / R²)` for `M > 0`, else 1: a bound on the silence of a neuron, `1 − p_own` for `M = M_own`.
///
/// `M = E[s | y]`, `R² = Σ_j (b_j − a_j)² v_j²` with feature `j` in `[a_j, b_j]`; `R = 0` makes `s = M` certain. NaN
/// gives 1. Source: Hoeffding 1963, Theorem 2.
pub fn hoeffding_silence(mean: f64, squared_range: f64) -> f64 {
    if mean > 0.0 && squared_range >= 0.0 { (-2.0 * mean * mean / squared_range).exp() } else { 1.0 }
}

/// `Pr[s ≥ 0] ≤ exp(−2 M² / R²)` for `M < 0`, else 1: a bound on the activity of a neuron, `p_oth` for `M = M_oth`.
///
/// As [`hoeffding_silence`].
pub fn hoeffding_activity(mean: f64, squared_range: f64) -> f64 {
    hoeffding_silence(-mean, squared_range)
}

/// `ε` such that `Pr[|ḡ − E ḡ| ≥ ε] ≤ 1 − confidence` for one coordinate `ḡ` of one step's batch gradient.
///
/// `ε = L √(ln(2/δ)/2N)`, `L = range` the length of the interval that holds each summand `a_k y 1[…] x̃_j`: `1/m` for
/// core features, `2/m` for background features. For many coordinates and steps at once take their number into
/// `confidence` ([`bonferroni`](crate::stats::bonferroni)); given the past a batch is independent of the weights, so
/// the union over steps is valid. NaN for a `confidence` outside of `(0, 1)`. Source: Hoeffding 1963.
pub fn batch_noise(range: f64, batch: usize, confidence: f64) -> f64 {
    if confidence > 0.0 && confidence < 1.0 {
        range * ((2.0 / (1.0 - confidence)).ln() / (2.0 * batch as f64)).sqrt()
    } else {
        f64::NAN
    }
}

/// Where the gradients can have moved a weight by a given step: bounds of `α (v_kj − g_t v_kj⁽⁰⁾)`.
///
/// `α = sign a_k`, `g_t = (1−ηλ)^t`. Bounds are inclusive and contain the rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Envelope {
    /// `[−ρ, τ_t/m + ρ]`, `j` core.
    pub core: [f64; 2],
    /// `[−τ_t/m − ρ, τ_t/m + ρ]`, `j` background.
    pub background: [f64; 2],
    /// `ρ`, what `f32` weights may add to exact arithmetic.
    pub rounding: f64,
}

/// The envelope after `step` steps, for weights that start with `|v_kj⁽⁰⁾| ≤ max_abs_initial`.
///
/// In exact arithmetic a step is `α v ← (1−ηλ) α v + (η/m) γ` with `γ = (1/N) Σ_i 1[hinge] 1[⟨w,x_i⟩ ≥ 0] y_i x̃_ij`,
/// where for core features `y x̃ = z ∈ [0, 1]`, so `γ ∈ [0, 1]`, and for background features `|z| ≤ 1`, so
/// `γ ∈ [−1, 1]`. Summed up, `α (v − g_t v⁽⁰⁾)` lies in `[0, τ_t/m]` or `[−τ_t/m, τ_t/m]`, `τ_t = (1 − g_t)/λ`, and
/// `ηt` without decay ([`growth_time`]). That is sure, for every batch.
///
/// **Rounding.** Let `u = 2⁻²⁴`, or `2⁻⁵³` in double precision. (1) The gradient sum `Σ ± x_ij` commits no error that matters:
/// a sum of `n ≤ 2²⁴` terms of `[0, 1]`, in whatever order or tree, has every partial sum of `k` terms in `[0, k]`, since rounding is
/// monotone and `k` is representable; likewise in `[−k, k]` for terms of `[−1, 1]`. So the computed `γ` obeys the
/// same bounds. (2) Its factor `η a/N` is `fl(η/N · fl(1/m))` and its product with the sum rounds once more: relative
/// error within `3u`, up to second order. (3) `fl(1−ηλ)` and its product with `v` round once each, and the sum of the
/// two once. So one step makes an error of at most `e = 3u |v| + 4u η/m` to first order, `u |v| + 4u η/m` without
/// decay, where both roundings of the product are void. Errors are shrunk by `1−ηλ` a step like everything else, and
/// add up to at most `e τ_t/η` with `|v| ≤ |v⁽⁰⁾| + τ_t/m`. (4) What is recorded, `α (v − g_t v⁽⁰⁾)`, is computed in double
/// precision with `g_t` to the last place: four roundings `w = 2⁻⁵³` of at most `|v⁽⁰⁾| + τ_t/m`. Together
///
/// ```text
/// ρ = 1.01 (τ_t/η) u [c (max|v⁽⁰⁾| + τ_t/m) + 4 η/m] + 4 w (max|v⁽⁰⁾| + τ_t/m) + t 2⁻¹⁴⁹,     c = 3, or 1 if λ = 0
/// ```
///
/// with 1 % for the higher orders, whence `t u ≪ 1` is needed, and an absolute term for underflow. For latent
/// coordinates; ambient ones carry the rounding of products of length `d` besides. Without meaning for a frozen run,
/// which does not decay. Derived: envelope.
pub fn envelope(spec: &RunSpec, step: u64, max_abs_initial: f64) -> Envelope {
    let time = growth_time(spec, step);
    let reach = time / spec.m as f64;
    let roundings = if spec.weight_decay == 0.0 { 1.0 } else { 3.0 };
    let largest = max_abs_initial + reach;
    let per_step = roundings * largest + 4.0 * spec.learning_rate / spec.m as f64;
    let recording = 4.0 * (f64::EPSILON / 2.0) * largest;
    let underflow = step as f64 * f64::from(f32::from_bits(1));
    let roundoff = spec.precision.epsilon() / 2.0;
    let rounding = 1.01 * time / spec.learning_rate * roundoff * per_step + recording + underflow;
    Envelope { core: [-rounding, reach + rounding], background: [-reach - rounding, reach + rounding], rounding }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sampling::Sampler;
    use feature_contamination::{Distribution, Executor, Precision, simulate};

    /// `Pr[⟨v, x̃⟩ ≥ 0 | y]` for Bernoulli features, by adding up all outcomes.
    fn exact_probability(v: &[f32], d_core: usize, p: f64, label: i8) -> f64 {
        (0u32..1 << v.len())
            .map(|bits| {
                let active = |j: usize| bits >> j & 1 == 1;
                let sign = |j: usize| if j < d_core { f64::from(label) } else { 1.0 };
                let s: f64 = (0..v.len()).filter(|&j| active(j)).map(|j| sign(j) * f64::from(v[j])).sum();
                let weight: f64 = (0..v.len()).map(|j| if active(j) { p } else { 1.0 - p }).product();
                if s >= 0.0 { weight } else { 0.0 }
            })
            .sum()
    }

    #[test]
    fn berry_esseen_and_hoeffding_bound_exact_probabilities() {
        let (d_core, d0, p) = (7, 12, 0.3);
        let mut data = DataModel::uniform(d_core, d0 - d_core);
        let law = Distribution::Bernoulli { p, low: 0.0, high: 1.0 };
        (data.core.laws, data.background.laws) = (vec![law], vec![law]);
        let mut sampler = Sampler::new(12);
        let mut informative = 0;
        for trial in 0..100 {
            let shift = 0.02 * f64::from(trial);
            let v: Vec<f32> = (0..d0).map(|_| (sampler.normal() + shift) as f32).collect();
            for label in [1, -1] {
                let exact = exact_probability(&v, d_core, p, label);
                let bound = berry_esseen(&data, &v, label);
                assert!((exact - bound.normal).abs() <= bound.error, "{exact} {bound:?}");
                informative += usize::from(bound.error < 0.4);
                let signs = (0..d0).map(|j| if j < d_core { f64::from(label) } else { 1.0 });
                let mean: f64 = v.iter().zip(signs).map(|(&v, sign)| sign * p * f64::from(v)).sum();
                let squared_range: f64 = v.iter().map(|&v| f64::from(v).powi(2)).sum();
                assert!(1.0 - exact <= hoeffding_silence(mean, squared_range) + 1e-12);
                assert!(exact <= hoeffding_activity(mean, squared_range) + 1e-12);
            }
        }
        assert!(informative > 20, "{informative}");
    }

    #[test]
    fn certain_pre_activations_and_values_by_hand() {
        let mut data = DataModel::uniform(2, 1);
        let half = Distribution::Point { value: 0.5 };
        (data.core.laws, data.background.laws) = (vec![half], vec![half]);
        assert_eq!(berry_esseen(&data, &[1.0, 1.0, 1.0], -1), BerryEsseen { normal: 0.0, error: 0.0 });
        assert!((hoeffding_silence(1.0, 2.0) - (-1.0_f64).exp()).abs() < 1e-15);
        assert!((hoeffding_activity(-2.0, 4.0) - (-2.0_f64).exp()).abs() < 1e-15);
        assert_eq!(hoeffding_silence(1.0, 0.0), 0.0);
        assert_eq!(hoeffding_silence(0.0, 0.0), 1.0);
        assert_eq!(hoeffding_activity(f64::NAN, 1.0), 1.0);
    }

    #[test]
    fn batch_noise_by_hand() {
        // √(ln(2/0.05)/(2·100)) = 0.135810.
        assert!((batch_noise(2.0, 100, 0.95) - 0.271_620_3).abs() < 1e-6);
        assert!(batch_noise(2.0, 100, 1.0).is_nan());
    }

    #[test]
    fn rounding_allowance_covers_the_worst_gradients() {
        // The trainer's update in f32, with the greatest gradient, the least one, and random ones.
        let (m, batch, steps) = (7usize, 3000usize, 30_000u64);
        for weight_decay in [0.0, 0.01] {
            let mut spec = RunSpec { learning_rate: 0.3, weight_decay, batch, steps, ..RunSpec::uniform(4, 4, 64, m) };
            spec.record_steps = vec![steps];
            let keep = spec.decay_factor() as f32;
            let a = 1.0_f32 / m as f32;
            let scale = (spec.learning_rate / batch as f64 * f64::from(a)) as f32;
            let mut sampler = Sampler::new(13);
            let start = [0.123_456_7_f32, -0.7, 1e-3, -1e-9];
            for kind in 0..3 {
                for start in start {
                    let mut w = start;
                    for step in 1..=steps {
                        let sum = match kind {
                            0 => batch as f32,
                            1 => 0.0,
                            _ => (batch as f64 * sampler.uniform()) as f32,
                        };
                        w = keep * w + scale * sum;
                        if step % 1000 == 0 {
                            let bound = envelope(&spec, step, f64::from(start.abs()));
                            let moved = f64::from(w) - spec.decay(step) * f64::from(start);
                            assert!(
                                (bound.core[0]..=bound.core[1]).contains(&moved),
                                "λ = {weight_decay}, step {step}: {moved}, {bound:?}"
                            );
                            assert!(bound.rounding < 0.02 * bound.core[1], "{bound:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn simulated_weights_stay_in_the_envelope() {
        let both = [Precision::Single, Precision::Double].map(|precision| [0.0, 0.3].map(|decay| (precision, decay)));
        for (precision, weight_decay) in both.into_iter().flatten() {
            let mut spec = RunSpec { precision, ..RunSpec::uniform(6, 6, 300, 16) };
            (spec.learning_rate, spec.weight_decay, spec.batch, spec.eval_samples) = (0.5, weight_decay, 256, 64);
            (spec.steps, spec.record_steps) = (100, vec![0, 1, 3, 10, 30, 100]);
            let run = simulate(&spec, Executor::detect().unwrap()).unwrap();
            let start = run.initial.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
            for record in &run.records {
                let bound = envelope(&spec, record.step, f64::from(start));
                let inside = |(least, greatest): (f64, f64), [low, high]: [f64; 2]| low <= least && greatest <= high;
                assert!(inside(record.core_displacement, bound.core), "{:?} {bound:?}", record.core_displacement);
                assert!(inside(record.background_displacement, bound.background), "{bound:?}");
                let largest = if precision == Precision::Single { 1e-4 } else { 1e-13 };
                assert!(bound.rounding < largest, "{bound:?}");
            }
        }
    }
}
