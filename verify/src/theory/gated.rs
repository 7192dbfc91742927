//! The mean-field trajectory through the gated phase: beyond the first examples with `y h ≥ 1`.
//!
//! What the hinge gates no longer contributes, so the expected gradient is that of [`super::mean_field`] less
//!
//! ```text
//! E[x̃_j 1(s_k ≥ 0) 1(g ≥ 1) | y],   g = y h
//! ```
//!
//! and couples the neurons through the margin `g`. **Two bundles close the equations.** Where `g ≥ 1` the neurons of the
//! example's class are on, so that their output is nearly its linear part; those of the other class are nearly parallel, and
//! switch on together. With `Φ_k = Pr[s_k ≥ 0]` and `ζ = x̃ − E[x̃ | y]`, for `y = +1` (for `y = −1` exchange the two)
//!
//! ```text
//! u  = Σ_{sign a_k = +1} Φ_k v_k/m       u' = Σ_{sign a_l = −1} Φ_l v_l/m
//! g  = L − ω(X),   L = (1/m) Σ_{sign a_k = +1} E max(s_k, 0) + ⟨u, ζ⟩,   X = ⟨u', ζ⟩
//! ω(x) = (1/m) Σ_{sign a_l = −1} E[max(s_l, 0) | X = x]
//! ```
//!
//! and `L`, `X`, `s_k` are taken as jointly Gaussian given `y`, `s_k` independent of `L` given `X` unless it is on for
//! certain. Everything is then an integral over the one variable `X`. With `Ā(x) = Pr[g ≥ 1 | X = x]`, `ℓ(x)` the density of
//! `L` at `1 + ω(x)` given `X = x`, and Stein's identity `E[ζ_j F] = σ_j² E ∂F/∂ζ_j` for `F = 1(s_k ≥ 0) 1(g ≥ 1)`,
//!
//! ```text
//! E[x̃_j F] = E[x̃_j] Q + σ_j² {v_kj D_s + u_j D_L − u'_j D_X}
//! Q   = E[1(s_k ≥ 0) Ā(X)]        D_s = E[δ(s_k) Ā(X)]
//! D_L = E[1(s_k ≥ 0) ℓ(X)]        D_X = E[1(s_k ≥ 0) ℓ(X) ω'(X)]
//! ```
//!
//! so that a step changes every neuron along five directions and costs `O(m d₀)`, a hundredth or less of a step of SGD.
//! Steps are SGD's own. Before the hinge gates, `Ā = 0` and the trajectory is the mean field's, bit for bit. The risk is
//! `E max(1−g, 0) = 1 − E g + E max(g−1, 0)` with `E g` of every neuron by itself. The derivation, its accuracy and where
//! it breaks are in `docs/theory.md`. Derived: gated phase.

use feature_contamination::{Activation, Evaluation, Trajectory};

use super::mean_field::{Features, MeanField, Withheld};
use super::normal::{Gate, cdf, pdf};
use super::output::dot;

/// The mean-field prediction of a run from the same start, hinge included: risks, margins and active fractions hold
/// beyond the onset of gating.
///
/// Observables as those of [`mean_field`](super::mean_field::mean_field), with `risk = E max(1 − y h, 0)` and its variance
/// over examples. Derived: gated phase.
pub fn gated(trajectory: &Trajectory) -> Trajectory {
    let Trajectory { spec, signs, initial, .. } = trajectory;
    let mut field = MeanField::new(spec, signs, initial);
    let mut records = Vec::with_capacity(spec.record_steps.len());
    let mut active_fraction = None;
    let mut step = 0;
    for &target in &spec.record_steps {
        while step < target {
            let hinge = Hinge::new(&field, &field.id, true);
            // The active fraction is that of the batch behind the last step.
            active_fraction = Some(1.0 - hinge.fraction());
            field.advance(hinge.withheld(&field).as_ref());
            step += 1;
        }
        let [id, ood] = [&field.id, &field.ood].map(|features| Hinge::new(&field, features, false));
        let active = active_fraction.unwrap_or(1.0 - id.fraction());
        records.push(field.record(step, active, [id.evaluation(), ood.evaluation()]));
    }
    Trajectory { spec: spec.clone(), signs: signs.clone(), initial: initial.clone(), records }
}

const LABELS: [f64; 2] = [1.0, -1.0];

/// Spacing of the nodes in units of `X`'s deviation, and how far out they reach.
const SPACING: f64 = 1.0 / 8.0;
const REACH: f64 = 8.0;
const NODES: usize = (2.0 * REACH / SPACING) as usize + 1;

/// Nodes and weights of Gauss and Hermite for `E f(ε)`, `ε ~ N(0, 1)`: exact to degree 13. Source: Abramowitz and Stegun,
/// table 25.10, scaled.
const HERMITE: [(f64, f64); 7] = [
    (-3.750_439_717_725_742, 5.482_688_559_722_18e-4),
    (-2.366_759_410_734_541, 0.030_757_123_967_586_5),
    (-1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (0.0, 0.457_142_857_142_857_1),
    (1.154_405_394_739_968, 0.240_123_178_605_012_7),
    (2.366_759_410_734_541, 0.030_757_123_967_586_5),
    (3.750_439_717_725_742, 5.482_688_559_722_18e-4),
];

/// Deviations from its threshold beyond which a neuron counts as on, or off: `Φ(−5) = 3e-7`.
const CERTAIN: f64 = 5.0;

fn node(index: usize) -> f64 {
    SPACING * index as f64 - REACH
}

/// `s_k` given the label: `mean + slope X/dev(X) + rest ε`.
#[derive(Clone, Copy)]
struct Form {
    mean: f64,
    slope: f64,
    rest: f64,
}

/// A density over `X` and its integral from the right, at the nodes.
struct Density {
    at: Vec<f64>,
    beyond: Vec<f64>,
}

impl Density {
    fn new(at: Vec<f64>) -> Self {
        let mut beyond = vec![0.0; NODES];
        for i in (0..NODES - 1).rev() {
            // The cubic through four neighbours; the density is 0 beyond the ends.
            let outer = |i: Option<usize>| i.and_then(|i| at.get(i)).copied().unwrap_or(0.0);
            let cell = 13.0 * (at[i] + at[i + 1]) - outer(i.checked_sub(1)) - outer(Some(i + 2));
            beyond[i] = beyond[i + 1] + SPACING / 24.0 * cell;
        }
        Self { at, beyond }
    }

    fn total(&self) -> f64 {
        self.beyond[0]
    }

    /// Cell and place in it, 0 to 1.
    fn cell(x: f64) -> (usize, f64) {
        let place = ((x + REACH) / SPACING).clamp(0.0, (NODES - 1) as f64);
        let cell = (place as usize).min(NODES - 2);
        (cell, place - cell as f64)
    }

    fn value(&self, (cell, u): (usize, f64)) -> f64 {
        self.at[cell] + u * (self.at[cell + 1] - self.at[cell])
    }

    /// `∫_x^∞`, by Hermite's cubic.
    fn from(&self, (cell, u): (usize, f64)) -> f64 {
        let (a, b) = (self.beyond[cell], self.beyond[cell + 1]);
        let (slope_a, slope_b) = (-SPACING * self.at[cell], -SPACING * self.at[cell + 1]);
        let v = 1.0 - u;
        a * v * v * (1.0 + 2.0 * u) + slope_a * u * v * v + b * u * u * (1.0 + 2.0 * v) - slope_b * u * u * v
    }
}

/// The margin's law on examples of one class.
struct Class {
    /// `u` of the own bundle and `u'` of the other one.
    own: Vec<f64>,
    other: Vec<f64>,
    /// `Ā(x) φ(x)`.
    gated: Density,
    /// `ℓ(x) φ(x)`.
    level: Density,
    /// `ℓ(x) ω'(x) φ(x)`, the derivative by `X` itself.
    kink: Density,
    /// `E g`, `Var g` and `Pr[g > 0]`.
    mean: f64,
    variance: f64,
    positive: f64,
    /// `E max(g − 1, 0)` and `E max(g − 1, 0)²`.
    excess: f64,
    squared_excess: f64,
    /// Every neuron's pre-activation.
    forms: Vec<Form>,
}

/// What the hinge gates.
struct Hinge {
    /// `y = +1` and `y = −1`; none while nothing of the class is gated.
    classes: [Option<Class>; 2],
    relu: bool,
}

/// `ω` and `ω'` (by `X/dev(X)`) at the nodes.
struct Bundle {
    output: Vec<f64>,
    slope: Vec<f64>,
}

impl Bundle {
    /// Of neurons that are passed on with weight `a` each.
    fn new(forms: impl Iterator<Item = Form>, a: f64) -> Self {
        let (mut output, mut slope) = (vec![0.0; NODES], vec![0.0; NODES]);
        // Where a neuron is on for certain it adds a line: its coefficients, as differences from node to node.
        let mut lines = vec![(0.0, 0.0); NODES + 1];
        for form in forms {
            let Form { mean, slope: rise, rest } = form;
            let on = |i: usize| mean + rise * node(i) >= CERTAIN * rest;
            let off = |i: usize| mean + rise * node(i) <= -CERTAIN * rest;
            let find = |change: &dyn Fn(usize) -> bool| {
                // Monotone in i, from false to true.
                let (mut low, mut high) = (0, NODES);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    if change(middle) { high = middle } else { low = middle + 1 }
                }
                low
            };
            let (from, to) = if rise >= 0.0 {
                let (from, to) = (find(&|i| !off(i)), find(&on));
                lines[to] = (lines[to].0 + mean, lines[to].1 + rise);
                (from, to)
            } else {
                let (from, to) = (find(&|i| !on(i)), find(&off));
                lines[0] = (lines[0].0 + mean, lines[0].1 + rise);
                lines[from] = (lines[from].0 - mean, lines[from].1 - rise);
                (from, to)
            };
            for i in from..to {
                let center = mean + rise * node(i);
                let gate = Gate::new(center, rest);
                output[i] += a * gate.rectified_mean(center, rest);
                slope[i] += a * gate.probability * rise;
            }
        }
        let (mut mean, mut rise) = (0.0, 0.0);
        for i in 0..NODES {
            mean += lines[i].0;
            rise += lines[i].1;
            output[i] += a * (mean + rise * node(i));
            slope[i] += a * rise;
        }
        Self { output, slope }
    }
}

/// Means `Σ_core μ v` and `Σ_bg μ v` and variance of every neuron's pre-activation.
struct PreActivations {
    core: Vec<f64>,
    background: Vec<f64>,
    variance: Vec<f64>,
}

impl PreActivations {
    fn new(field: &MeanField, features: &Features) -> Self {
        let zero = || vec![0.0; field.m];
        let mut sums = Self { core: zero(), background: zero(), variance: zero() };
        for (j, row) in field.weights.chunks_exact(field.m).enumerate() {
            let (mu, variance) = (features.mean[j], features.variance[j]);
            let mean = if j < field.d_core { &mut sums.core } else { &mut sums.background };
            for ((mean, square), v) in mean.iter_mut().zip(&mut sums.variance).zip(row) {
                *mean += mu * v;
                *square += variance * v * v;
            }
        }
        sums
    }
}

impl Class {
    /// The law; none if `only_gated` and nothing is.
    fn new(field: &MeanField, features: &Features, sums: &PreActivations, y: f64, only_gated: bool) -> Option<Self> {
        let m = field.m;
        let relu = field.spec.activation == Activation::Relu;
        let is_own = |k: usize| f64::from(field.signs[k]) == y;
        let mean = |k: usize| y * sums.core[k] + sums.background[k];
        // The part of g that is linear, with its mean, and the bundle that switches.
        let (mut own, mut other, mut linear_mean, mut bundle_mean) = (vec![0.0; m], vec![0.0; m], 0.0, 0.0);
        for k in 0..m {
            if !relu {
                own[k] = y * f64::from(field.signs[k]) / m as f64;
                linear_mean += own[k] * mean(k);
                continue;
            }
            let deviation = sums.variance[k].sqrt();
            let gate = Gate::new(mean(k), deviation);
            let (weights, sum) = if is_own(k) { (&mut own, &mut linear_mean) } else { (&mut other, &mut bundle_mean) };
            weights[k] = gate.probability / m as f64;
            *sum += gate.rectified_mean(mean(k), deviation) / m as f64;
        }
        let direction =
            |weights: &[f64]| -> Vec<f64> { field.weights.chunks_exact(m).map(|row| dot(row, weights)).collect() };
        let product = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).zip(&features.variance).map(|((a, b), variance)| a * b * variance).sum()
        };
        let own = direction(&own);
        let own_variance = product(&own, &own);
        // g ≤ L: nothing is gated while L stays clear of 1.
        if only_gated && linear_mean + REACH * own_variance.sqrt() < 1.0 {
            return None;
        }
        let other = direction(&other);
        let deviation = product(&other, &other).sqrt();
        let by_deviation = |x: f64| if deviation > 0.0 { x / deviation } else { 0.0 };
        let mut with = vec![0.0; m];
        for ((row, u), variance) in field.weights.chunks_exact(m).zip(&other).zip(&features.variance) {
            let to = by_deviation(variance * u);
            with.iter_mut().zip(row).for_each(|(with, v)| *with += to * v);
        }
        let form = |mean: f64, variance: f64, slope: f64| Form {
            mean,
            slope,
            rest: (variance - slope * slope).max(0.0).sqrt(),
        };
        let forms: Vec<Form> = (0..m).map(|k| form(mean(k), sums.variance[k], with[k])).collect();
        let linear = form(linear_mean, own_variance, by_deviation(product(&own, &other)));
        let bundle = Bundle::new((0..m).filter(|&k| relu && !is_own(k)).map(|k| forms[k]), 1.0 / m as f64);
        let (mut gated, mut level, mut kink) = (vec![], vec![], vec![]);
        let (mut excess, mut squared_excess, mut square, mut positive) = (0.0, 0.0, 0.0, 0.0);
        for (i, (&omega, &slope)) in bundle.output.iter().zip(&bundle.slope).enumerate() {
            let weight = pdf(node(i));
            let center = linear.mean + linear.slope * node(i) - omega;
            let gate = Gate::new(center - 1.0, linear.rest);
            let over = gate.rectified_mean(center - 1.0, linear.rest);
            gated.push(weight * gate.probability);
            level.push(weight * gate.density);
            kink.push(weight * gate.density * by_deviation(slope));
            excess += SPACING * weight * over;
            // E max(s, 0)² = (M² + S²) Φ + M S φ.
            squared_excess += SPACING * weight * ((center - 1.0) * over + linear.rest.powi(2) * gate.probability);
            square += SPACING * weight * (center * center + linear.rest.powi(2));
            positive += SPACING * weight * Gate::new(center, linear.rest).probability;
        }
        let mean = linear_mean - bundle_mean;
        let variance = (square - mean * mean).max(0.0);
        let [gated, level, kink] = [gated, level, kink].map(Density::new);
        Some(Self { own, other, gated, level, kink, mean, variance, positive, excess, squared_excess, forms })
    }
}

impl Hinge {
    fn new(field: &MeanField, features: &Features, only_gated: bool) -> Self {
        let sums = PreActivations::new(field, features);
        let classes = LABELS.map(|y| Class::new(field, features, &sums, y, only_gated));
        Self { classes, relu: field.spec.activation == Activation::Relu }
    }

    /// `Pr[g ≥ 1]`.
    fn fraction(&self) -> f64 {
        self.mean(|class| class.gated.total())
    }

    /// Mean over the classes.
    fn mean(&self, of: impl Fn(&Class) -> f64) -> f64 {
        0.5 * self.classes.iter().flatten().map(of).sum::<f64>()
    }

    /// What the hinge takes from a step; `None` while nothing is gated.
    fn withheld(self, field: &MeanField) -> Option<Withheld> {
        if self.classes.iter().all(Option::is_none) {
            return None;
        }
        let zero = || vec![0.0; field.m];
        let (mut stretch, mut core, mut background) = (zero(), zero(), zero());
        let mut along = vec![];
        for (class, y) in self.classes.into_iter().zip(LABELS) {
            let Some(class) = class else { continue };
            let (mut to_own, mut to_other) = (zero(), zero());
            for (k, &form) in class.forms.iter().enumerate() {
                let gates = class.of(form, self.relu).shaped(field.gate(k, y), form);
                stretch[k] += y * gates.at_zero;
                core[k] += gates.share;
                background[k] += y * gates.share;
                to_own[k] = y * gates.at_level;
                to_other[k] = -y * gates.at_kink;
            }
            along.extend([(class.own, to_own), (class.other, to_other)]);
        }
        Some(Withheld { stretch, core, background, along })
    }

    /// Risk and its like on the domain of this law, which must be there for both classes.
    fn evaluation(&self) -> Evaluation {
        let margin = self.mean(|class| class.mean);
        let risk = 1.0 - margin + self.mean(|class| class.excess);
        // (1−g)² = max(1−g, 0)² + max(g−1, 0)².
        let second = self.mean(|class| class.variance + (1.0 - class.mean).powi(2) - class.squared_excess);
        // Nearer to 0 the own bundle is not linear.
        let decided = self.classes.iter().flatten().all(|class| class.mean >= 3.0 * class.variance.sqrt());
        Evaluation {
            samples: 0,
            risk,
            risk_variance: (second - risk * risk).max(0.0),
            accuracy: if decided { self.mean(|class| class.positive) } else { f64::NAN },
            margin,
            max_margin: f64::NAN,
        }
    }
}

/// Expectations over one class's examples for one neuron.
#[derive(Clone, Copy, Default)]
struct Gates {
    /// `Q = Pr[s ≥ 0, g ≥ 1]`.
    share: f64,
    /// `D_s`.
    at_zero: f64,
    /// `D_L`.
    at_level: f64,
    /// `D_X`.
    at_kink: f64,
}

impl Gates {
    /// With the probability of being on, and the density at the threshold, that `gate` has in place of the normal law's.
    fn shaped(self, gate: Gate, form: Form) -> Self {
        let normal = Gate::new(form.mean, form.slope.hypot(form.rest));
        let ratio = |shaped: f64, normal: f64| if normal > 0.0 { shaped / normal } else { 1.0 };
        let on = ratio(gate.probability, normal.probability);
        Self {
            share: on * self.share,
            at_zero: ratio(gate.density, normal.density) * self.at_zero,
            at_level: on * self.at_level,
            at_kink: on * self.at_kink,
        }
    }
}

impl Class {
    fn of(&self, form: Form, relu: bool) -> Gates {
        let Form { mean, slope, rest } = form;
        let deviation = slope.hypot(rest);
        // On for certain, or off.
        if !relu || mean >= CERTAIN * deviation {
            return Gates {
                share: self.gated.total(),
                at_zero: 0.0,
                at_level: self.level.total(),
                at_kink: self.kink.total(),
            };
        }
        let mut gates = Gates::default();
        if mean <= -CERTAIN * deviation {
            return gates;
        }
        if slope.abs() > rest {
            // The threshold in X, spread by ε.
            for (epsilon, weight) in HERMITE {
                let cell = Density::cell(-(mean + rest * epsilon) / slope);
                let beyond = |density: &Density| {
                    let right = density.from(cell);
                    weight * if slope > 0.0 { right } else { density.total() - right }
                };
                gates.share += beyond(&self.gated);
                gates.at_level += beyond(&self.level);
                gates.at_kink += beyond(&self.kink);
                gates.at_zero += weight * self.gated.value(cell) / slope.abs();
            }
        } else {
            // The gate varies slowly with X: every other node will do.
            for i in (0..NODES).step_by(2) {
                let z = (mean + slope * node(i)) / rest;
                let (on, weight) = (cdf(z), 2.0 * SPACING);
                gates.share += weight * on * self.gated.at[i];
                gates.at_level += weight * on * self.level.at[i];
                gates.at_kink += weight * on * self.kink.at[i];
                gates.at_zero += weight * pdf(z) / rest * self.gated.at[i];
            }
        }
        gates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::median;
    use crate::stats::sampling::Sampler;
    use crate::theory::growth_time;
    use crate::theory::mean_field::{gating_onset, mean_field};
    use feature_contamination::{Executor, Record, RunSpec, simulate};

    fn start(spec: &RunSpec, seed: u64) -> Trajectory {
        let mut sampler = Sampler::new(seed);
        let scale = 1.0 / (spec.d as f64).sqrt();
        Trajectory {
            spec: spec.clone(),
            signs: (0..spec.m).map(|k| if k % 2 == 0 { 1 } else { -1 }).collect(),
            initial: (0..spec.m * spec.data.d0()).map(|_| (scale * sampler.normal()) as f32).collect(),
            records: vec![],
        }
    }

    /// `d₀` features in halves, sixteen steps in `m/(ηd₀)`.
    fn spec(d0: usize, m: usize) -> RunSpec {
        let d = (d0 as f64).powf(2.5) as u64;
        RunSpec {
            learning_rate: m as f64 / (16 * d0) as f64,
            weight_decay: 0.01 * d0 as f64 / m as f64,
            ..RunSpec::uniform(d0 / 2, d0 / 2, d, m)
        }
    }

    #[test]
    fn before_the_hinge_gates_it_is_the_mean_field() {
        let mut spec = spec(16, 20);
        (spec.steps, spec.record_steps) = (150, vec![0, 1, 40, 100, 150]);
        let start = start(&spec, 3);
        let (mut field, gated) = (mean_field(&start).records, gated(&start).records);
        assert_eq!(field.len(), gated.len());
        for (a, b) in field.iter_mut().zip(&gated) {
            // Only the tail beyond 1 is left, of less than 1e-6.
            let step = a.step;
            let gap = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "step {step}: {a} {b}");
            gap(a.active_fraction, b.active_fraction);
            for (a, b) in [(&a.id, &b.id), (&a.ood, &b.ood)] {
                gap(a.margin, b.margin);
                gap(a.risk, b.risk);
            }
            // Once the own bundle is on.
            assert!(step < 40 || (b.id.risk_variance / a.id.risk_variance - 1.0).abs() < 0.05, "step {step}");
            if a.step <= 100 {
                assert_eq!(a.neurons.core, b.neurons.core);
                assert_eq!(a.neurons.background, b.neurons.background);
                assert_eq!(a.neurons.other.p, b.neurons.other.p);
            }
        }
    }

    #[test]
    fn a_frozen_network_stays_and_a_linear_one_is_gated_by_the_normal_law() {
        let mut linear = spec(16, 12);
        (linear.activation, linear.steps, linear.record_steps) = (Activation::Identity, 800, vec![0, 800]);
        let start = start(&linear, 5);
        let frozen = Trajectory { spec: RunSpec { frozen: true, ..linear.clone() }, ..start.clone() };
        let records = gated(&frozen).records;
        assert_eq!(records[0].neurons.core, records[1].neurons.core);

        let mut field = MeanField::new(&linear, &start.signs, &start.initial);
        (0..500).for_each(|_| field.advance(None));
        let hinge = Hinge::new(&field, &field.id, true);
        let class = hinge.classes[0].as_ref().unwrap();
        let rest: f64 = class.own.iter().map(|u| u * u / 12.0).sum::<f64>().sqrt();
        let gate = Gate::new(class.mean - 1.0, rest);
        assert!((class.variance.sqrt() / rest - 1.0).abs() < 1e-9);
        assert!((class.gated.total() / gate.probability - 1.0).abs() < 1e-6);
        assert!((class.excess / gate.rectified_mean(class.mean - 1.0, rest) - 1.0).abs() < 1e-6);
        let gates = class.of(class.forms[0], false);
        assert!((gates.at_level / gate.density - 1.0).abs() < 1e-6 && gates.at_kink == 0.0 && gates.at_zero == 0.0);
    }

    /// `E[x̃_j 1(s_k ≥ 0) 1(g ≥ 1) | y]` against samples, for every neuron along its own weights and along both bundles.
    #[test]
    fn what_the_hinge_withholds_agrees_with_monte_carlo() {
        let (d0, m, samples) = (16, 24, 400_000);
        let spec = spec(d0, m);
        let start = start(&spec, 11);
        let mut field = MeanField::new(&spec, &start.signs, &start.initial);
        (0..18 * 16).for_each(|_| field.advance(None));
        for (y, class) in LABELS.into_iter().zip(Hinge::new(&field, &field.id, true).classes) {
            let class = class.unwrap();
            let mut sampler = Sampler::new(12);
            let (mut share, mut sums) = (vec![0.0; m], vec![0.0; m * d0]);
            let mut excess = 0.0;
            for _ in 0..samples {
                let x: Vec<f64> =
                    (0..d0).map(|j| if j < d0 / 2 { y * sampler.uniform() } else { sampler.uniform() }).collect();
                let s: Vec<f64> = (0..m).map(|k| (0..d0).map(|j| field.weights[j * m + k] * x[j]).sum()).collect();
                let g: f64 = (0..m).map(|k| y * f64::from(start.signs[k]) * s[k].max(0.0) / m as f64).sum();
                excess += (g - 1.0).max(0.0);
                for k in (0..m).filter(|&k| g >= 1.0 && s[k] >= 0.0) {
                    share[k] += 1.0;
                    (0..d0).for_each(|j| sums[k * d0 + j] += x[j]);
                }
            }
            let n = f64::from(samples);
            let fraction = class.gated.total();
            assert!((0.05..0.6).contains(&fraction), "{fraction}");
            assert!((excess / n / class.excess - 1.0).abs() < 0.03, "{} {}", excess / n, class.excess);
            for k in 0..m {
                let form = class.forms[k];
                let gates = class.of(form, true).shaped(field.gate(k, y), form);
                // Sixteen features: 1.5 % of the gated examples for shape and independence.
                let tolerance = 0.015 * fraction;
                assert!((share[k] / n - gates.share).abs() < tolerance, "{k}: {} {}", share[k] / n, gates.share);
                let predicted: Vec<f64> = (0..d0)
                    .map(|j| {
                        let mean = if j < d0 / 2 { 0.5 * y } else { 0.5 };
                        let along = field.weights[j * m + k] * gates.at_zero + class.own[j] * gates.at_level
                            - class.other[j] * gates.at_kink;
                        mean * gates.share + along / 12.0
                    })
                    .collect();
                for (j, predicted) in predicted.iter().enumerate() {
                    let measured = sums[k * d0 + j] / n;
                    assert!((measured - predicted).abs() < tolerance, "{k}, {j}: {measured} {predicted}");
                }
            }
        }
    }

    #[test]
    fn densities_integrate() {
        let normal = Density::new((0..NODES).map(|i| pdf(node(i))).collect());
        for x in [-9.0, -3.3, -0.01, 0.7, 2.0, 7.99, 9.0] {
            let cell = Density::cell(x);
            // Fourth order in the spacing.
            assert!((normal.from(cell) - cdf(-x)).abs() < 1e-5, "{x}");
            assert!((normal.value(cell) - pdf(x)).abs() < 1e-3, "{x}");
        }
    }

    #[test]
    fn a_bundle_is_the_sum_of_its_neurons() {
        let forms = [(0.3, 1.0, 0.2), (-0.4, -0.7, 0.1), (0.1, 0.02, 0.5), (-2.0, 0.0, 0.1), (1.0, 0.0, 0.0)]
            .map(|(mean, slope, rest)| Form { mean, slope, rest });
        let bundle = Bundle::new(forms.into_iter(), 0.25);
        for i in 0..NODES {
            let (mut output, mut slope) = (0.0, 0.0);
            for form in forms {
                let center = form.mean + form.slope * node(i);
                let gate = Gate::new(center, form.rest);
                output += 0.25 * gate.rectified_mean(center, form.rest);
                slope += 0.25 * gate.probability * form.slope;
            }
            assert!((bundle.output[i] - output).abs() < 1e-6 && (bundle.slope[i] - slope).abs() < 1e-6, "{i}");
        }
    }

    #[test]
    fn meets_the_simulation_through_the_gated_phase() {
        let mut spec = RunSpec { batch: 4096, eval_samples: 32_768, ..spec(32, 64) };
        spec.steps = 48 * 16;
        spec.record_steps = [14, 16, 18, 20, 24, 32, 40, 48].map(|unit| unit * 16).to_vec();
        let simulated = simulate(&spec, Executor::detect().unwrap()).unwrap();
        let predicted = gated(&simulated);
        assert_eq!(gating_onset(&mean_field(&simulated), 0.01), gating_onset(&predicted, 0.01));
        // Before and after what the mean field is valid for: its margin goes on past 1.6.
        assert!(growth_time(&spec, spec.steps) > 0.0 && mean_field(&simulated).records[7].id.margin > 1.6);
        let medians = |run: &Trajectory, record: &Record| {
            [median(&run.aligned_core(record)).unwrap(), median(&record.neurons.background).unwrap()]
        };
        for (s, p) in simulated.records.iter().zip(&predicted.records) {
            for (s, p) in medians(&simulated, s).into_iter().zip(medians(&predicted, p)) {
                assert!((s / p - 1.0).abs() < 0.01, "{s} {p}");
            }
            let report = format!("step {}: {:?} {:?}", s.step, s.id, p.id);
            assert!((s.id.margin / p.id.margin - 1.0).abs() < 0.005, "{report}");
            assert!((s.id.risk / p.id.risk - 1.0).abs() < 0.06, "{report}");
            assert!((s.id.risk_variance / p.id.risk_variance - 1.0).abs() < 0.2, "{report}");
            assert!((s.ood.risk / p.ood.risk - 1.0).abs() < 0.01, "{report}");
            assert!(s.id.accuracy > 0.999 && p.id.accuracy > 0.999);
            assert!((s.active_fraction - p.active_fraction).abs() < 0.03, "{report}");
        }
    }
}
