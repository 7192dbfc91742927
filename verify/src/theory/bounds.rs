//! Bounds that hold at every finite size, each with its constant: a violation is a defect of the code or of the bound.

use feature_contamination::{DataModel, Distribution, RunSpec};

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
    berry_esseen_of(mean, variance, third)
}

/// `|p − Φ| ≤ ε` as [`berry_esseen`] has it, from the sums `M_y`, `S²` and `Σ_j |v_j|³ E|z_j − μ_j|³` of a neuron.
pub fn berry_esseen_of(mean: f64, variance: f64, third: f64) -> BerryEsseen {
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

/// `t` with `Pr[Σ_i (X_i − E X_i) ≥ t] ≤ e^(−log)` for independent `X_i` with `X_i − E X_i ≤ reach` and variances that
/// add up to `variance`: `t = ML/3 + √((ML/3)² + 2VL)`, the root of `t²/(2V + 2Mt/3) = L`.
///
/// For the other side with `E X_i − X_i ≤ reach`. Source: Bernstein's inequality; Boucheron, Lugosi and Massart, 2.10.
pub fn bernstein(variance: f64, reach: f64, log: f64) -> f64 {
    let linear = reach * log / 3.0;
    linear + (linear * linear + 2.0 * variance * log).sqrt()
}

/// By how much a sum of steps and the sum of the expected ones may differ in one coordinate, in units of `η/m`: exceeded
/// with probability at most `2e^(−log)`.
///
/// The sum is `Σ_s w_s (γ_s − ĝ_s)`, `0 ≤ w_s ≤ 1`, with `squares = Σ_s w_s²` (1 for a single step); `γ_s` is the mean
/// of `X = y 1[hinge] 1[s ≥ 0] x̃_j` over the batch of `N` examples, `ĝ_s` over `n` fresh ones, so that given the weights
/// before step `s` the difference has mean 0 and is a sum of independent terms: a martingale. For a core feature `X` is 0
/// or `z ∈ [a, b]`, an interval of length `ℓ = max(b, 0) − min(a, 0)`: Azuma–Hoeffding, `ℓ √(L/2 (1/N + 1/n) Σw²)`. For
/// a background feature it is 0 or `±z`, of length `2 max(|a|, |b|)`, but of variance at most `E z²`: Freedman's form of
/// [`bernstein`], if that is less. Derived: batch noise.
pub fn batch_noise(law: &Distribution, core: bool, (batch, samples): (usize, usize), squares: f64, log: f64) -> f64 {
    let (low, high) = law.support();
    let length = if core { high.max(0.0) - low.min(0.0) } else { 2.0 * low.abs().max(high.abs()) };
    let (n, samples) = (batch as f64, samples as f64);
    let spread = (1.0 / n + 1.0 / samples) * squares;
    let hoeffding = length * (0.5 * log * spread).sqrt();
    hoeffding.min(bernstein(law.moments().raw[1] * spread, length / n.min(samples), log))
}

/// `Σ_{s<t} (1−ηλ)^(2(t−1−s))`: the squares of what decay leaves of `t` steps.
pub fn squared_decays(spec: &RunSpec, step: u64) -> f64 {
    let keep = spec.decay_factor().powi(2);
    if keep == 1.0 { step as f64 } else { (1.0 - keep.powf(step as f64)) / (1.0 - keep) }
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
    use feature_contamination::{Executor, Precision, simulate};

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
        let unit = Distribution::UNIT;
        // Core: √(2/2 (1/100 + 1/300)) = 0.115470.
        assert!((batch_noise(&unit, true, (100, 300), 1.0, 2.0) - 0.115_470_05).abs() < 1e-8);
        // Background, in the limit of large samples √(2/3 · 8 · 2/10⁶) = 0.0032660, and Hoeffding's 0.0056569.
        assert!((batch_noise(&unit, false, (1_000_000, 1_000_000), 1.0, 8.0) / 0.003_266_0 - 1.0).abs() < 5e-3);
        // A coin that is always 1 has E z² = 1: Hoeffding is the better one.
        let sure = Distribution::Point { value: 1.0 };
        assert!((batch_noise(&sure, false, (100, 100), 4.0, 2.0) - 4.0 * 0.02_f64.sqrt()).abs() < 1e-12);
        let spec = RunSpec { learning_rate: 0.5, weight_decay: 1.0, ..RunSpec::uniform(4, 4, 64, 8) };
        assert_eq!(squared_decays(&spec, 3), 1.0 + 0.25 + 0.0625);
        assert_eq!(squared_decays(&RunSpec { weight_decay: 0.0, ..spec }, 3), 3.0);
    }

    #[test]
    fn bernstein_bounds_exact_binomial_tails() {
        for (n, p) in [(200_u64, 0.1), (1000, 0.5), (1000, 0.004)] {
            for log in [3.0, 12.0, 20.0] {
                let t = bernstein(n as f64 * p * (1.0 - p), 1.0 - p, log);
                let count = (n as f64 * p + t).ceil();
                // Pr[Bin(n, p) ≥ k] = I_p(k, n − k + 1).
                let (tail, _) = crate::stats::beta::regularized_beta(count, n as f64 - count + 1.0, p, 1.0 - p);
                assert!(tail <= (-log).exp(), "{n} {p} {log}: {tail}");
                // Nor is it far off: the exponent is more than a third of what it could be.
                assert!(tail.ln() > -3.0 * log, "{n} {p} {log}: {tail}");
            }
        }
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
