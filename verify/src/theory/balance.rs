//! The self-similar phase: the balance law and the constants of Thm 2.
//!
//! After the activation asymmetry has set in and before the hinge gates any example, every neuron grows along a fixed
//! direction: background weights as `v_j = τ/(2m) w_j`, core weights as `α v_j = τ/(2m) w_j`, with `τ` the
//! [`growth_time`](super::growth_time) and `α = sign a_k`. The activation probabilities are those of that direction:
//!
//! ```text
//! core:        w_j = (p_own + p_oth) μ_j + κ σ_j² w_j        κ = (φ(x_own) − φ(x_oth)) / S
//! background:  w_j = (p_own − p_oth) μ_j + κ σ_j² w_j        S² = Σ σ² w²
//! x_own = (Σ_core μ w + Σ_bg μ w)/S,  x_oth = (−Σ_core μ w + Σ_bg μ w)/S
//! p_own = Φ(x_own),  p_oth = Φ(x_oth)
//! ```
//!
//! The second terms are the correlation of a feature with the gate, `Cov(z_j, 1[s ≥ 0])`. They are smaller than the
//! first by `σ² φ(x)/S = O(d₀^−½)`, so that the law for large `d₀` ([`SelfSimilar::leading`]) leaves them out and
//! takes `p_own = 1`; [`SelfSimilar::finite_size`] keeps them, and the skewness of `s`, which is of the same order.
//!
//! **One root.** With `r = (1+p)/(1−p)`, which increases from 1 to ∞ with `p`, `C = Σ_core μ²`, `B = Σ_bg μ²`,
//! `V_c = Σ_core μ²σ²`, `V_b = Σ_bg μ²σ²`, the leading law is `p = Φ(−g)`, `g = (rC − B)/√(r² V_c + V_b)`, and
//! `dg/dr = (C V_b + r B V_c)/(r² V_c + V_b)^{3/2} ≥ 0`. So `p − Φ(−g(p))` increases strictly, is not above 0 at
//! `p = 0` and not below 0 at `p = 1`: there is exactly one root, whatever the moments. Without variance `Φ(−g)` is a
//! step, and `p` is where it steps: `(B − C)/(B + C)` for `C < B`, else 0. That is also the limit of large `d₀`.
//! Derived: balance law.

use feature_contamination::data::Domain;
use feature_contamination::{DataModel, Distribution, FeatureGroup, RunSpec};

use super::inversion::{Block, Characteristic, Gated, gate};
use super::normal::Gate;
use super::steps_to_reach;

/// The self-similar phase of a data model, for a neuron of either sign. Derived: balance law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfSimilar {
    /// `p_own`, probability that a neuron is active on an example of its own label.
    pub p_own: f64,
    /// `p_oth`, the same for the other label: the root of the balance law.
    pub p_other: f64,
    /// `Σ_core μ w`: growth of `α Σ_core μ v` per unit of `τ/2m`; `(1+p) C` in the leading law. Paper: Thm 2 (learned
    /// features).
    pub core_rate: f64,
    /// `Σ_bg μ w`: growth of `Σ_bg μ v` per unit of `τ/2m`; `(1−p) B` in the leading law. Paper: Thm 2 (learned
    /// features).
    pub background_rate: f64,
    /// `Σ_bg μ' w` with the means after the shift.
    pub background_rate_ood: f64,
    /// `S = √(Σ σ² w²)`: growth of the standard deviation of a pre-activation given the label.
    pub deviation_rate: f64,
    /// The same after the shift.
    pub deviation_rate_ood: f64,
}

/// Sums over features with weights `ω_j = 1/(1 − κ σ_j²)`: those of the direction `w = r μ ω` (core), `μ ω`
/// (background).
struct Sums {
    core: f64,
    background: f64,
    core_variance: f64,
    background_variance: f64,
    core_third: f64,
    background_third: f64,
}

impl Sums {
    fn new(data: &DataModel, kappa: f64) -> Self {
        let mut sums = Self {
            core: 0.0,
            background: 0.0,
            core_variance: 0.0,
            background_variance: 0.0,
            core_third: 0.0,
            background_third: 0.0,
        };
        for moments in data.core.moments() {
            let (mu, variance) = (moments.mean(), moments.variance());
            let w = mu / (1.0 - kappa * variance);
            sums.core += mu * w;
            sums.core_variance += variance * w * w;
            sums.core_third += third_cumulant(&moments) * w.powi(3);
        }
        for moments in data.background.moments() {
            let (mu, variance) = (moments.mean(), moments.variance());
            let w = mu / (1.0 - kappa * variance);
            sums.background += mu * w;
            sums.background_variance += variance * w * w;
            sums.background_third += third_cumulant(&moments) * w.powi(3);
        }
        sums
    }

    /// `S` of the direction with core weight `c` and background weight `b`.
    fn deviation(&self, c: f64, b: f64) -> f64 {
        (c * c * self.core_variance + b * b * self.background_variance).sqrt()
    }
}

/// `κ₃ = E (z − μ)³ = μ₃ − 3 μ₁ μ₂ + 2 μ₁³`.
pub(crate) fn third_cumulant(moments: &feature_contamination::Moments) -> f64 {
    let [m1, m2, m3] = moments.raw;
    m3 - 3.0 * m1 * m2 + 2.0 * m1.powi(3)
}

/// The root in `[0, 1]` of an increasing function, by bisection to the last bit.
fn bisect(mut negative: impl FnMut(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    if !negative(low) {
        return low;
    }
    if negative(high) {
        return high;
    }
    // Halving the exponent first would reach tiny roots sooner; 1100 halvings reach the smallest double in any case.
    for _ in 0..1100 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if negative(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The root `p` of `p = Φ(−[(1+p)C − (1−p)B] / √((1+p)² Σ_core μ²σ² + (1−p)² Σ_bg μ²σ²))`.
///
/// The probability, in the limit of large `d₀`, that a neuron is active on an example of the other label. Exact to
/// rounding of Φ for every model, point masses included. Derived: balance law.
pub fn balance_root(data: &DataModel) -> f64 {
    let sums = Sums::new(data, 0.0);
    bisect(|p| {
        let (c, b) = (1.0 + p, 1.0 - p);
        p < Gate::new(b * sums.background - c * sums.core, sums.deviation(c, b)).probability
    })
}

impl SelfSimilar {
    /// The leading law: `p_own = 1`, no correlation of features with the gate. Derived: balance law.
    ///
    /// Relative error `O(d₀^−½)` of the rates; see [`SelfSimilar::finite_size`].
    pub fn leading(data: &DataModel) -> Self {
        let p = balance_root(data);
        Self::along(data, 0.0, 1.0 + p, 1.0 - p, 1.0, p)
    }

    /// The whole fixed point in the module's doc, with the probabilities of a skewed `s`.
    ///
    /// `Pr[s ≥ 0] = Φ(x) + γ/6 (x² − 1) φ(x)`, the Edgeworth expansion to first order with
    /// `γ = ± Σ_core κ₃ w³ + Σ_bg κ₃ w³ over S³`. For given `κ` the ratio `q = p_oth/p_own` is found by bisection
    /// (`q − p_oth(q)/p_own(q)` is not above 0 at 0 and not below at 1), and `κ` by damped iteration. Derived:
    /// balance law at finite size.
    pub fn finite_size(data: &DataModel) -> Self {
        let mut kappa = 0.0;
        let mut phase = Self::leading(data);
        for _ in 0..200 {
            let sums = Sums::new(data, kappa);
            let probabilities = |q: f64| {
                let (c, b) = (1.0 + q, 1.0 - q);
                let deviation = sums.deviation(c, b);
                let third = |sign: f64| sign * c.powi(3) * sums.core_third + b.powi(3) * sums.background_third;
                let of =
                    |sign: f64| skewed_probability(sign * c * sums.core + b * sums.background, deviation, third(sign));
                (of(1.0), of(-1.0))
            };
            let q = bisect(|q| {
                let (own, other) = probabilities(q);
                q * own < other
            });
            let (p_own, p_other) = probabilities(q);
            phase = Self::along(data, kappa, p_own + p_other, p_own - p_other, p_own, p_other);
            let s = phase.deviation_rate;
            let own = Gate::new(phase.core_rate + phase.background_rate, s).density;
            let other = Gate::new(phase.background_rate - phase.core_rate, s).density;
            let next = own - other;
            let change = next - kappa;
            kappa += 0.7 * change;
            if change.abs() <= 1e-14 * next.abs() {
                break;
            }
        }
        phase
    }

    /// The rates of the direction with core weight `c`, background weight `b`.
    fn along(data: &DataModel, kappa: f64, c: f64, b: f64, p_own: f64, p_other: f64) -> Self {
        let sums = Sums::new(data, kappa);
        let (mut mean_ood, mut variance_ood) = (0.0, 0.0);
        for (id, ood) in data.background.moments().iter().zip(data.background_ood.moments()) {
            let w = b * id.mean() / (1.0 - kappa * id.variance());
            mean_ood += ood.mean() * w;
            variance_ood += ood.variance() * w * w;
        }
        Self {
            p_own,
            p_other,
            core_rate: c * sums.core,
            background_rate: b * sums.background,
            background_rate_ood: mean_ood,
            deviation_rate: sums.deviation(c, b),
            deviation_rate_ood: (c * c * sums.core_variance + variance_ood).sqrt(),
        }
    }

    /// `½ {E max(s,0) | own} − ½ {E max(s,0) | other}` of the direction: growth of the mean margin `E[y h]` per unit
    /// of `τ/2m`, with as many neurons of one sign as of the other. Either class has the same. Derived: risks in the
    /// self-similar phase.
    pub fn margin_rate(&self, domain: Domain) -> f64 {
        let (background, s) = match domain {
            Domain::Id => (self.background_rate, self.deviation_rate),
            Domain::Ood => (self.background_rate_ood, self.deviation_rate_ood),
        };
        let rectified = |mean: f64| Gate::new(mean, s).rectified_mean(mean, s);
        0.5 * (rectified(background + self.core_rate) - rectified(background - self.core_rate))
    }

    /// `α Σ_core μ v = τ/2m · core rate` after `step` steps. Paper: Thm 2 (learned features).
    pub fn core(&self, spec: &RunSpec, step: u64) -> f64 {
        unit(spec, step) * self.core_rate
    }

    /// `Σ_bg μ v = τ/2m · background rate` after `step` steps. Paper: Thm 2 (learned features).
    pub fn background(&self, spec: &RunSpec, step: u64) -> f64 {
        unit(spec, step) * self.background_rate
    }

    /// `E[y h] = τ/2m · margin rate` after `step` steps, valid until the hinge gates. The start is neglected.
    pub fn margin(&self, spec: &RunSpec, domain: Domain, step: u64) -> f64 {
        unit(spec, step) * self.margin_rate(domain)
    }

    /// The step at which `E[y h]` would reach 1 in distribution, `τ = 2m / margin rate`: the constant of T2. `None` if
    /// it never does.
    ///
    /// Not rounded. The hinge gates the examples ahead of the mean before that, so that the true step is later.
    /// Paper: Thm 3 (ID and OOD risks).
    pub fn t2(&self, spec: &RunSpec) -> Option<f64> {
        let rate = self.margin_rate(Domain::Id);
        if rate > 0.0 { steps_to_reach(spec, 2.0 * spec.m as f64 / rate) } else { None }
    }
}

/// `τ/2m`.
fn unit(spec: &RunSpec, step: u64) -> f64 {
    super::growth_time(spec, step) / (2.0 * spec.m as f64)
}

/// Growth from a negligible start with exact gates: the balance law at finite size, time and batch.
///
/// The direction is not a fixed point's but what the steps have summed up to, and the gates are those of the true law of
/// a pre-activation ([`super::inversion`]), not of a normal one:
///
/// ```text
/// core:        w_j ← (1−ηλ) w_j + E[z_j 1[s ≥ 0] | own] + E[z_j 1[s ≥ 0] | other]     from w_j = μ_j after step 1
/// background:  w_j ← (1−ηλ) w_j + E[z_j 1[s ≥ 0] | own] − E[z_j 1[s ≥ 0] | other]     from w_j = 0
/// ```
///
/// At step 0 a neuron fires at random, so that its core moves by `μ_j` and its background by 0 in the median. That first
/// step is forgotten as `1/t` where `p_oth` is small and faster elsewhere, since more background raises `p_oth`, which
/// lowers the growth of background. Batches of `N` examples leave in a weight the noise `Σ_steps 4 Var[z_j 1[s ≥ 0]]/N`
/// (in units of `(η/2m)²`), which blurs the gate. Derived: balance law at finite size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grown {
    /// `p_own`.
    pub p_own: f64,
    /// `p_oth`.
    pub p_other: f64,
    /// `½ {E max(s,0) | own} − ½ {E max(s,0) | other}`, per unit of the growth time over `2m`: that of [`SelfSimilar::margin_rate`].
    pub margin_rate: f64,
    /// The same after the shift of the background.
    pub margin_rate_ood: f64,
}

/// Features of one law in one group.
struct Kind {
    law: Characteristic,
    second: f64,
    count: usize,
    core: bool,
    weight: f64,
    noise: f64,
}

/// The laws of a group with the number of its features that follow each.
fn kinds(group: &FeatureGroup) -> impl Iterator<Item = (&Distribution, usize)> {
    let laws = group.laws.len();
    group.laws.iter().enumerate().map(move |(i, law)| (law, (group.count + laws - 1 - i) / laws))
}

impl Grown {
    /// After each of `steps` (ascending, from 1 on) of a run whose start is negligible, before the hinge gates.
    ///
    /// Late steps are taken several at a time, 1/32 of the time past, which moves `p_oth` by less than 1e-3 of itself.
    pub fn after(spec: &RunSpec, steps: &[u64]) -> Vec<Self> {
        let keep = spec.decay_factor();
        let kind = |core: bool| {
            move |(law, count): (&Distribution, usize)| {
                let second = law.moments().raw[1];
                let law = Characteristic::new(law);
                let weight = if core { law.mean() } else { 0.0 };
                Kind { law, second, count, core, weight, noise: 0.0 }
            }
        };
        let data = &spec.data;
        let mut state: Vec<Kind> =
            kinds(&data.core).map(kind(true)).chain(kinds(&data.background).map(kind(false))).collect();
        let shifted: Vec<Characteristic> =
            kinds(&data.background_ood).map(|(law, _)| Characteristic::new(law)).collect();
        let mut done = 1;
        let mut grown = Vec::with_capacity(steps.len());
        for &step in steps {
            while done < step {
                let [own, other] = gates(&state);
                let stride = (done / 32).max(1).min(step - done);
                let decayed = keep.powi(i32::try_from(stride).unwrap_or(i32::MAX));
                let sum = if keep < 1.0 { (1.0 - decayed) / (1.0 - keep) } else { stride as f64 };
                let open = own.probability + other.probability;
                for (i, kind) in state.iter_mut().enumerate() {
                    let gain = own.features[i] + if kind.core { other.features[i] } else { -other.features[i] };
                    kind.weight = decayed * kind.weight + sum * gain;
                    let variance = 0.5 * kind.second * open - 0.25 * gain * gain;
                    kind.noise = decayed * decayed * kind.noise + sum * 4.0 * variance.max(0.0) / spec.batch as f64;
                }
                done += stride;
            }
            let [own, other] = gates(&state);
            let time = super::growth_time(spec, step) / spec.learning_rate;
            let rate = |domain: Domain| {
                let rectified = |y: f64| {
                    let blocks = blocks(&state, y, domain, &shifted);
                    gate(&blocks, blur(&state)).rectified_mean(&blocks)
                };
                0.5 * (rectified(1.0) - rectified(-1.0)) / time
            };
            grown.push(Self {
                p_own: own.probability,
                p_other: other.probability,
                margin_rate: rate(Domain::Id),
                margin_rate_ood: rate(Domain::Ood),
            });
        }
        grown
    }
}

/// The pre-activation on examples of the neuron's own label (`y = 1`) or the other (`y = −1`).
fn blocks<'a>(state: &'a [Kind], y: f64, domain: Domain, shifted: &'a [Characteristic]) -> Vec<Block<'a>> {
    let mut shifted = shifted.iter();
    let block = |kind: &'a Kind| {
        let moved = if kind.core { None } else { shifted.next() };
        let law = match domain {
            Domain::Id => &kind.law,
            Domain::Ood => moved.unwrap_or(&kind.law),
        };
        Block { law, count: kind.count, weight: if kind.core { y * kind.weight } else { kind.weight } }
    };
    state.iter().map(block).collect()
}

/// Deviation of what batch noise adds to a pre-activation.
fn blur(state: &[Kind]) -> f64 {
    state.iter().map(|kind| kind.count as f64 * kind.noise * kind.second).sum::<f64>().sqrt()
}

/// The gates on the own and on the other label.
fn gates(state: &[Kind]) -> [Gated; 2] {
    let blur = blur(state);
    [1.0, -1.0].map(|y| gate(&blocks(state, y, Domain::Id, &[]), blur))
}

/// `Pr[s ≥ 0]` for mean `M`, deviation `S` and third cumulant `K`: `Φ(x) + K/6S³ (x² − 1) φ(x)`, kept in `[0, 1]`.
fn skewed_probability(mean: f64, deviation: f64, third: f64) -> f64 {
    let gate = Gate::new(mean, deviation);
    if third == 0.0 || deviation <= 0.0 {
        return gate.probability;
    }
    let x = mean / deviation;
    (gate.probability + third / (6.0 * deviation.powi(2)) * (x * x - 1.0) * gate.density).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(core: Distribution, d_core: usize, background: Distribution, d_bg: usize) -> DataModel {
        DataModel {
            core: FeatureGroup::same(d_core, core),
            background: FeatureGroup::same(d_bg, background),
            ..DataModel::uniform(d_core, d_bg)
        }
    }

    #[test]
    fn roots_of_the_uniform_model() {
        for (d_core, d_bg, expected) in [
            (8, 8, 0.1508),
            (16, 16, 0.1205),
            (32, 32, 0.0950),
            (64, 64, 0.0740),
            (128, 128, 0.0571),
            (512, 512, 0.0332),
            (24, 40, 0.2889),
            (16, 48, 0.5000),
        ] {
            let p = balance_root(&DataModel::uniform(d_core, d_bg));
            assert!((p - expected).abs() < 5.1e-5, "{d_core}, {d_bg}: {p}");
        }
    }

    #[test]
    fn roots_solve_the_law_for_unequal_means_and_shapes() {
        let laws = vec![
            Distribution::Uniform { low: 0.25, high: 0.75 },
            Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 },
            Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 },
        ];
        for d_core in [5, 12, 30] {
            let mut data = DataModel::uniform(d_core, 17);
            data.core.laws.clone_from(&laws);
            data.background.laws = vec![laws[2], Distribution::Uniform { low: 0.2, high: -1.0 }];
            let p = balance_root(&data);
            let spread =
                |group: &FeatureGroup| -> f64 { group.moments().iter().map(|m| m.mean().powi(2) * m.variance()).sum() };
            let (c, b) = (1.0 + p, 1.0 - p);
            let deviation = (c * c * spread(&data.core) + b * b * spread(&data.background)).sqrt();
            let residual = p - Gate::new(b * data.b() - c * data.c(), deviation).probability;
            assert!(residual.abs() < 1e-12, "{residual}");
        }
    }

    #[test]
    fn core_in_excess_makes_p_decay_exponentially() {
        // ln p is about linear in d₀.
        let logs: Vec<f64> =
            [8, 16, 32, 64].iter().map(|&n| balance_root(&DataModel::uniform(3 * n, n)).ln()).collect();
        for pair in logs.windows(2) {
            let ratio = pair[1] / pair[0];
            assert!((1.6..=2.1).contains(&ratio), "{logs:?}");
        }
    }

    #[test]
    fn balance_makes_p_decay_slowly() {
        for n in [8, 64, 512, 4096, 32_768] {
            let d0 = 2.0 * n as f64;
            let constant = balance_root(&DataModel::uniform(n, n)) * (d0 / d0.ln()).sqrt();
            assert!((0.3..=0.5).contains(&constant), "{n}: {constant}");
        }
    }

    #[test]
    fn background_in_excess_keeps_p_up() {
        // (B − C)/(B + C) = 1/4.
        let p = |n: usize| balance_root(&DataModel::uniform(3 * n, 5 * n));
        assert!((p(8192) - 0.25).abs() < 2e-3 && p(8) > p(64) && p(64) > p(8192));
    }

    #[test]
    fn point_masses_step() {
        let half = Distribution::Point { value: 0.5 };
        assert_eq!(balance_root(&model(half, 5, half, 3)), 0.0);
        assert!(balance_root(&model(half, 4, half, 4)) < 1e-15);
        assert!((balance_root(&model(half, 3, half, 5)) - 0.25).abs() < 1e-15);
        // A background of point masses only: S vanishes with 1 − p.
        let p = balance_root(&model(Distribution::UNIT, 3, half, 5));
        assert!(p > 0.25 && p < 0.5, "{p}");
        let phase = SelfSimilar::finite_size(&model(half, 5, half, 3));
        assert_eq!((phase.p_own, phase.p_other), (1.0, 0.0));
    }

    #[test]
    fn the_sign_of_a_background_mean_does_not_matter() {
        let negative = model(Distribution::UNIT, 12, Distribution::NEGATIVE_UNIT, 12);
        let p = balance_root(&DataModel::uniform(12, 12));
        assert!((balance_root(&negative) - p).abs() < 1e-15);
        assert!(SelfSimilar::leading(&negative).background_rate > 0.0);
    }

    #[test]
    fn without_background_mean_nothing_of_it_grows() {
        let symmetric = model(Distribution::UNIT, 12, Distribution::Uniform { low: -1.0, high: 1.0 }, 12);
        for phase in [SelfSimilar::leading(&symmetric), SelfSimilar::finite_size(&symmetric)] {
            assert_eq!(phase.background_rate, 0.0);
            assert!(phase.p_other < 1e-3 && phase.p_own > 0.999);
        }
    }

    #[test]
    fn finite_size_approaches_the_leading_law() {
        let mut last = f64::INFINITY;
        for n in [8, 32, 128, 512] {
            let data = DataModel::uniform(n, n);
            let (leading, finite) = (SelfSimilar::leading(&data), SelfSimilar::finite_size(&data));
            let gap = leading.core_rate / finite.core_rate - 1.0;
            assert!(gap > 0.0 && gap < last, "{n}: {gap}");
            last = gap;
            // One variance for all: the direction, and with it p, is the same.
            assert!((leading.p_other / finite.p_other - 1.0).abs() < 1e-9);
            // The fixed point solves the equations of the module.
            let (s, own) = (finite.deviation_rate, finite.core_rate + finite.background_rate);
            let kappa = Gate::new(own, s).density - Gate::new(finite.background_rate - finite.core_rate, s).density;
            let core = (finite.p_own + finite.p_other) * data.c() / (1.0 - kappa / 12.0);
            assert!((finite.core_rate / core - 1.0).abs() < 1e-10);
        }
        assert!(last < 2e-3);
    }

    #[test]
    fn constants_of_the_second_theorem() {
        let mut spec = RunSpec::uniform(32, 32, 1 << 20, 100);
        spec.learning_rate = 0.5;
        let law = SelfSimilar::leading(&spec.data);
        // (ηt/2m)(1 ± p) · 8.
        assert!((law.core(&spec, 40) - 0.1 * 8.0 * 1.095_006).abs() < 1e-6);
        assert!((law.background(&spec, 40) - 0.1 * 8.0 * 0.904_994).abs() < 1e-6);
        let t2 = law.t2(&spec).unwrap();
        assert!((law.margin(&spec, Domain::Id, t2.round() as u64) - 1.0).abs() < 0.5 / t2);
        assert!(law.margin_rate(Domain::Ood) < 0.2 * law.margin_rate(Domain::Id));
        // Decay shortens the reach, and can keep the margin from 1.
        let decaying = |weight_decay: f64| law.t2(&RunSpec { weight_decay, ..spec.clone() });
        assert!(decaying(1e-4).unwrap() > t2);
        assert!((decaying(1e-9).unwrap() / t2 - 1.0).abs() < 1e-5);
        assert_eq!(decaying(0.1), None);
    }

    #[test]
    fn growth_comes_to_the_law_for_many_features() {
        // Relative deviation from the leading law falls like 1/√d₀ at C ≥ B.
        for (core, background) in [(1, 1), (3, 5)] {
            let deviations: Vec<f64> = [4, 16, 64]
                .iter()
                .map(|&n| {
                    let spec = RunSpec { batch: 1 << 20, ..RunSpec::uniform(core * n, background * n, 1 << 40, 16) };
                    let grown = Grown::after(&spec, &[1 << 14])[0];
                    assert!(grown.p_own > 0.999, "{grown:?}");
                    (grown.p_other / balance_root(&spec.data) - 1.0).abs()
                })
                .collect();
            assert!(
                deviations.is_sorted_by(|a, b| a > b) && deviations[2] < 0.01,
                "{core}:{background} {deviations:?}"
            );
        }
    }

    #[test]
    fn margins_agree_with_the_gaussian_ones() {
        let spec = RunSpec { batch: 1 << 20, ..RunSpec::uniform(32, 32, 1 << 40, 16) };
        let (grown, law) = (Grown::after(&spec, &[1 << 14])[0], SelfSimilar::finite_size(&spec.data));
        assert!((grown.margin_rate / law.margin_rate(Domain::Id) - 1.0).abs() < 2e-3, "{grown:?} {law:?}");
        let ood = grown.margin_rate_ood / law.margin_rate(Domain::Ood);
        assert!((ood - 1.0).abs() < 0.03, "{grown:?} {}", law.margin_rate(Domain::Ood));
    }

    #[test]
    fn several_steps_at_a_time_lose_nothing_and_the_first_step_is_forgotten() {
        let spec = RunSpec { batch: 1 << 20, ..RunSpec::uniform(16, 16, 1 << 40, 16) };
        let all: Vec<u64> = (1..=400).collect();
        let one = Grown::after(&spec, &all);
        let few = Grown::after(&spec, &[400])[0];
        assert!((one[399].p_other / few.p_other - 1.0).abs() < 1e-3, "{:?} {few:?}", one[399]);
        let late = Grown::after(&spec, &[1 << 14])[0].p_other;
        assert!((one[99].p_other / late - 1.0).abs() < 2e-3 && (one[9].p_other / late - 1.0).abs() < 0.1);
        // Where p is small the first step fades as 1/t only.
        let excess = RunSpec { data: DataModel::uniform(20, 12), ..spec };
        let at = |step| Grown::after(&excess, &[step])[0].p_other;
        let late = at(1 << 16);
        let (a, b) = (1.0 - at(100) / late, 1.0 - at(200) / late);
        assert!(a > 0.01 && (1.5..2.5).contains(&(a / b)), "{a} {b}");
    }

    #[test]
    fn features_are_dealt_out_in_turn() {
        let laws = vec![Distribution::UNIT, Distribution::NEGATIVE_UNIT, Distribution::Point { value: 0.5 }];
        let group = FeatureGroup { count: 8, laws };
        let counts: Vec<usize> = kinds(&group).map(|(_, count)| count).collect();
        let dealt = |i: usize| (0..8).filter(|&j| std::ptr::eq(group.law(j), &group.laws[i])).count();
        assert_eq!(counts, [dealt(0), dealt(1), dealt(2)]);
    }
}
