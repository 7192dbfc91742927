//! The mean-field trajectory: every neuron from its own start, under the expected gradient.
//!
//! Before the hinge gates any example, the expected gradient of a neuron depends on that neuron alone. With `s = ⟨v_k,
//! x̃⟩` taken as Gaussian given the label, mean `M_y = y Σ_core μ v + Σ_bg μ v` and variance `S² = Σ σ² v²`,
//!
//! ```text
//! E[z_j 1[s ≥ 0] | y] = μ_j P_y + c σ_j² v_kj f_y,   c = y for core, 1 for background
//! P_y = Φ(M_y/S),    f_y = φ(M_y/S)/S
//! ```
//!
//! (in both, `M_y/S` is corrected for skewness and kurtosis of `s`, [`Gate::shaped`]: a neuron that starts out nearly silent
//! for both classes sits in the far tail, where a normal law is wrong by a third and more), and a step of SGD is
//!
//! ```text
//! core:        α v_kj ← (1−ηλ) α v_kj + (η/2m) {μ_j (P₊ + P₋) + σ_j² v_kj (f₊ − f₋)}
//! background:  α v_kj ← (1−ηλ) α v_kj + (η/2m) {μ_j (P₊ − P₋) + σ_j² v_kj (f₊ − f₋)}
//! ```
//!
//! It holds for background means of either sign or 0. With `S = 0` the gate is `1[M ≥ 0]`, as in the network. For the
//! identity `P = 1` and `f = 0`: the core grows by `(η/m) μ_j` a step, the background not at all. With shuffled labels
//! the signs `y_i` are independent of the example and the expected gradient is 0: decay only. A frozen network stays.
//! Steps are SGD's own, so that time is not discretised a second time. Derived: mean-field trajectory.
//!
//! **Where it stops being valid.** When the hinge gates: once some examples have `y h ≥ 1` they no longer contribute,
//! the true trajectory grows more slowly, and everything from there on is an upper envelope rather than a prediction.
//! The [`Record::active_fraction`] of the prediction says so before: [`gating_onset`]. Batch noise is left out: it
//! moves each `v_kj` by a standard deviation of at most `(η/m) √(t E z²/N)` about its mean.

use feature_contamination::{
    Activation, Distribution, Evaluation, FeatureGroup, Frequencies, Labels, NeuronRecord, Record, RunSpec, Trajectory,
};

use super::balance::third_cumulant;
use super::normal::Gate;
use super::output::{Network, OutputLaw};

/// The mean-field prediction of a run, from the same start: its spec, signs and initial weights.
///
/// Observables are those of the simulation, with `trials = 0` and `samples = 0`; in [`Evaluation`] the margin is
/// `E[y h]`, `risk = 1 − E[y h]`, which is the hinge risk as long as no example has `y h > 1` and is too small (and
/// in the end negative) after; `risk_variance` is the variance of `y h`; the accuracy is that of the law of the
/// output, [`OutputLaw`], where its mean is at least three standard deviations from 0, and NaN elsewhere;
/// `max_margin` is NaN.
pub fn mean_field(trajectory: &Trajectory) -> Trajectory {
    let Trajectory { spec, signs, initial, .. } = trajectory;
    let mut field = MeanField::new(spec, signs, initial);
    let mut records = Vec::with_capacity(spec.record_steps.len());
    let mut active_fraction = None;
    let mut step = 0;
    for &target in &spec.record_steps {
        while step < target {
            // The active fraction is that of the batch behind the last step.
            if step + 1 == target {
                active_fraction = Some(field.active_fraction());
            }
            field.advance(None);
            step += 1;
        }
        let active = active_fraction.unwrap_or_else(|| field.active_fraction());
        let evaluations = [field.evaluation(&field.id), field.evaluation(&field.ood)];
        records.push(field.record(step, active, evaluations));
    }
    Trajectory { spec: spec.clone(), signs: signs.clone(), initial: initial.clone(), records }
}

/// The first recorded step of a prediction at which more than `fraction` of the examples have `y h ≥ 1`.
///
/// Up to there the prediction is meant to hold. `None` if it holds throughout.
pub fn gating_onset(prediction: &Trajectory, fraction: f64) -> Option<u64> {
    prediction.records.iter().find(|record| 1.0 - record.active_fraction > fraction).map(|record| record.step)
}

/// Moments of the features of one domain, core first.
pub(super) struct Features {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    pub third: Vec<f64>,
    pub fourth: Vec<f64>,
}

impl Features {
    fn new(core: &FeatureGroup, background: &FeatureGroup) -> Self {
        let fourth = |group: &FeatureGroup| -> Vec<f64> {
            let laws: Vec<f64> = group.laws.iter().map(fourth_cumulant).collect();
            (0..group.count).map(|j| laws[j % laws.len()]).collect()
        };
        let moments: Vec<_> = core.moments().into_iter().chain(background.moments()).collect();
        Self {
            mean: moments.iter().map(|m| m.mean()).collect(),
            variance: moments.iter().map(|m| m.variance()).collect(),
            // Rounding must not make a symmetric law skewed.
            third: moments.iter().map(third_cumulant).map(|k| if k.abs() < 1e-15 { 0.0 } else { k }).collect(),
            fourth: [fourth(core), fourth(background)].concat(),
        }
    }
}

/// `κ₄ = E (z − μ)⁴ − 3σ⁴`.
fn fourth_cumulant(law: &Distribution) -> f64 {
    let (low, high) = law.ends();
    (high - low).powi(4)
        * match *law {
            Distribution::Uniform { .. } => -1.0 / 120.0,
            Distribution::Beta { alpha: a, beta: b, .. } => {
                let n = a + b;
                let variance = a * b / (n * n * (n + 1.0));
                let excess = 6.0 * ((a - b).powi(2) * (n + 1.0) - a * b * (n + 2.0)) / (a * b * (n + 2.0) * (n + 3.0));
                excess * variance * variance
            }
            Distribution::Bernoulli { p, .. } => {
                let variance = p * (1.0 - p);
                variance * (1.0 - 6.0 * variance)
            }
            Distribution::Point { .. } => 0.0,
        }
}

/// `M_core`, `M_bg`, `S²`, the third cumulants and the fourth of every neuron.
#[derive(Default)]
struct Sums {
    core: Vec<f64>,
    background: Vec<f64>,
    variance: Vec<f64>,
    core_third: Vec<f64>,
    background_third: Vec<f64>,
    fourth: Vec<f64>,
}

/// What the hinge takes from the gradient of every neuron, in units of `α η/2m`: a term in `σ_j² v_kj`, one in `μ_j` for
/// core and one for background features, and terms in `σ_j² u_j`. Derived: gated phase ([`super::gated`]).
pub(super) struct Withheld {
    pub stretch: Vec<f64>,
    pub core: Vec<f64>,
    pub background: Vec<f64>,
    /// Directions `u`, and what of each every neuron loses.
    pub along: Vec<(Vec<f64>, Vec<f64>)>,
}

/// The weights under the mean-field dynamics.
pub(super) struct MeanField<'a> {
    pub spec: &'a RunSpec,
    pub signs: &'a [i8],
    pub m: usize,
    pub d_core: usize,
    pub id: Features,
    pub ood: Features,
    /// `v_kj⁽⁰⁾` at `[j × m + k]`: a feature's weights side by side.
    start: Vec<f64>,
    /// `v_kj`, likewise.
    pub weights: Vec<f64>,
    sums: Sums,
}

impl<'a> MeanField<'a> {
    pub fn new(spec: &'a RunSpec, signs: &'a [i8], initial: &[f32]) -> Self {
        let (m, data) = (signs.len(), &spec.data);
        let d0 = data.d0();
        let id = Features::new(&data.core, &data.background);
        let ood = Features::new(&data.core, &data.background_ood);
        let mut weights = vec![0.0; m * d0];
        for (k, row) in initial.chunks_exact(d0).take(m).enumerate() {
            for (j, &v) in row.iter().enumerate() {
                weights[j * m + k] = f64::from(v);
            }
        }
        let (start, d_core) = (weights.clone(), data.core.count);
        let mut field = Self { spec, signs, m, d_core, id, ood, start, weights, sums: Sums::default() };
        field.sum();
        field
    }

    /// Renews the sums over features.
    fn sum(&mut self) {
        let m = self.m;
        for sum in [
            &mut self.sums.core,
            &mut self.sums.background,
            &mut self.sums.variance,
            &mut self.sums.core_third,
            &mut self.sums.background_third,
            &mut self.sums.fourth,
        ] {
            sum.clear();
            sum.resize(m, 0.0);
        }
        for (j, row) in self.weights.chunks_exact(m).enumerate() {
            let (mu, variance, third, fourth) =
                (self.id.mean[j], self.id.variance[j], self.id.third[j], self.id.fourth[j]);
            let (mean, cumulant) = if j < self.d_core {
                (&mut self.sums.core, &mut self.sums.core_third)
            } else {
                (&mut self.sums.background, &mut self.sums.background_third)
            };
            let squares = self.sums.variance.iter_mut().zip(&mut self.sums.fourth);
            for ((mean, (square, quartic)), v) in mean.iter_mut().zip(squares).zip(row) {
                let v_squared = v * v;
                *mean += mu * v;
                *square += variance * v_squared;
                *quartic += fourth * (v_squared * v_squared);
            }
            if third != 0.0 {
                cumulant.iter_mut().zip(row).for_each(|(sum, v)| *sum += third * v * v * v);
            }
        }
    }

    /// `(P_y, f_y)` of neuron `k` for `y = ±1`.
    pub fn gate(&self, k: usize, y: f64) -> Gate {
        if self.spec.activation == Activation::Identity {
            return Gate { probability: 1.0, density: 0.0 };
        }
        let mean = y * self.sums.core[k] + self.sums.background[k];
        let deviation = self.sums.variance[k].sqrt();
        let third = y * self.sums.core_third[k] + self.sums.background_third[k];
        Gate::shaped(mean, deviation, third, self.sums.fourth[k])
    }

    /// One step, less what the hinge withholds from it.
    pub fn advance(&mut self, withheld: Option<&Withheld>) {
        if self.spec.frozen {
            return;
        }
        let m = self.m;
        let keep = self.spec.decay_factor();
        let rate = match self.spec.labels {
            Labels::True => self.spec.learning_rate / (2.0 * m as f64),
            Labels::Shuffled => 0.0,
        };
        // v ← (keep + σ² · stretch) v + μ · drive.
        let (mut stretch, mut core_drive, mut background_drive) = (vec![0.0; m], vec![0.0; m], vec![0.0; m]);
        for k in 0..m {
            let (plus, minus) = (self.gate(k, 1.0), self.gate(k, -1.0));
            let signed = rate * f64::from(self.signs[k]);
            stretch[k] = signed * (plus.density - minus.density);
            core_drive[k] = signed * (plus.probability + minus.probability);
            background_drive[k] = signed * (plus.probability - minus.probability);
            if let Some(withheld) = withheld {
                stretch[k] -= signed * withheld.stretch[k];
                core_drive[k] -= signed * withheld.core[k];
                background_drive[k] -= signed * withheld.background[k];
            }
        }
        for (j, row) in self.weights.chunks_exact_mut(m).enumerate() {
            let (mu, variance) = (self.id.mean[j], self.id.variance[j]);
            let drive = if j < self.d_core { &core_drive } else { &background_drive };
            for ((v, stretch), drive) in row.iter_mut().zip(&stretch).zip(drive) {
                *v = (keep + variance * stretch) * *v + mu * drive;
            }
            for (direction, losses) in withheld.iter().flat_map(|withheld| &withheld.along) {
                let to = rate * variance * direction[j];
                for ((v, loss), &sign) in row.iter_mut().zip(losses).zip(self.signs) {
                    *v -= f64::from(sign) * to * loss;
                }
            }
        }
        self.sum();
    }

    /// The law of `y h` given `y`.
    fn margin_law(&self, features: &Features, y: f64) -> OutputLaw {
        let signed = |values: &[f64]| -> Vec<f64> {
            values.iter().enumerate().map(|(j, x)| if j < self.d_core { y * x } else { *x }).collect()
        };
        let a: Vec<f64> = self.signs.iter().map(|&sign| f64::from(sign) / self.m as f64).collect();
        let law = Network {
            a: &a,
            weights: &self.weights,
            mean: &signed(&features.mean),
            variance: &features.variance,
            third: &signed(&features.third),
            relu: self.spec.activation == Activation::Relu,
        }
        .law();
        if y < 0.0 { law.negated() } else { law }
    }

    /// `Pr[y h < 1]` on the labels that training sees.
    fn active_fraction(&self) -> f64 {
        let laws = [1.0, -1.0].map(|y| self.margin_law(&self.id, y));
        let gated = laws.map(|law| match self.spec.labels {
            Labels::True => law.above(1.0),
            Labels::Shuffled => 0.5 * (law.above(1.0) + law.negated().above(1.0)),
        });
        1.0 - 0.5 * (gated[0] + gated[1])
    }

    pub fn evaluation(&self, features: &Features) -> Evaluation {
        let [plus, minus] = [1.0, -1.0].map(|y| self.margin_law(features, y));
        let margin = 0.5 * (plus.mean + minus.mean);
        // Nearer to 0 the shape of the law matters, and a bundle of parallel neurons that switch off together is not
        // normal.
        let decided = [plus, minus].iter().all(|law| law.mean.abs() >= 3.0 * law.variance.sqrt());
        Evaluation {
            samples: 0,
            risk: 1.0 - margin,
            risk_variance: 0.5 * (plus.variance + minus.variance) + (0.5 * (plus.mean - minus.mean)).powi(2),
            accuracy: if decided { 0.5 * (plus.above(0.0) + minus.above(0.0)) } else { f64::NAN },
            margin,
            max_margin: f64::NAN,
        }
    }

    pub fn record(&self, step: u64, active_fraction: f64, [id, ood]: [Evaluation; 2]) -> Record {
        let m = self.m;
        let probability = |own: f64| {
            let p = (0..m).map(|k| self.gate(k, own * f64::from(self.signs[k])).probability).collect();
            Frequencies::predicted(p)
        };
        let (own, other) = (probability(1.0), probability(-1.0));
        let data = &self.spec.data;
        // Background sums are weighed as the run's are.
        let weights = self.spec.background_weights.as_ref().unwrap_or(&data.background).moments();
        let mut background = vec![0.0; m];
        let mut squared_range = vec![0.0; m];
        let mut extremes = [(0.0_f64, f64::INFINITY, f64::NEG_INFINITY); 2];
        let decay = self.spec.decay(step);
        for (j, (row, start)) in self.weights.chunks_exact(m).zip(self.start.chunks_exact(m)).enumerate() {
            let law = if j < self.d_core { data.core.law(j) } else { data.background.law(j - self.d_core) };
            let (low, high) = law.support();
            let range = (high - low).powi(2);
            squared_range.iter_mut().zip(row).for_each(|(sum, v)| *sum += range * v * v);
            if j >= self.d_core {
                let mu = weights[j - self.d_core].mean();
                background.iter_mut().zip(row).for_each(|(sum, v)| *sum += mu * v);
            }
            let (max_abs, least, greatest) = &mut extremes[usize::from(j >= self.d_core)];
            for ((&v, start), &sign) in row.iter().zip(start).zip(self.signs) {
                let displacement = f64::from(sign) * (v - decay * start);
                *max_abs = max_abs.max(v.abs());
                *least = least.min(displacement);
                *greatest = greatest.max(displacement);
            }
        }
        let [core, bg] = extremes;
        Record {
            step,
            neurons: NeuronRecord {
                core: self.sums.core.clone(),
                background,
                variance: self.sums.variance.clone(),
                squared_range,
                // As if the neuron's gate and the hinge's were independent; exact before the hinge gates.
                own_gated: own.p.iter().map(|p| p * active_fraction).collect(),
                other_gated: other.p.iter().map(|p| p * active_fraction).collect(),
                own,
                other,
            },
            id,
            ood,
            active_fraction,
            max_abs_core: core.0,
            max_abs_background: bg.0,
            core_displacement: (core.1, core.2),
            background_displacement: (bg.1, bg.2),
            probe: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::median;
    use crate::stats::sampling::Sampler;
    use crate::theory::balance::SelfSimilar;
    use crate::theory::growth_time;
    use feature_contamination::data::Domain;
    use feature_contamination::{DataModel, Distribution, Executor, FeatureGroup, simulate};

    /// A run's start, without its records.
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

    /// `(z, x̃)`-moments replaced by samples: SGD of section 2 of the paper in f64, naively, with a large batch.
    fn brute_force(start: &Trajectory, samples: usize, seed: u64) -> Vec<f64> {
        let Trajectory { spec, signs, initial, .. } = start;
        let (m, d0, d_core) = (spec.m, spec.data.d0(), spec.data.core.count);
        let mut sampler = Sampler::new(seed);
        let mut v: Vec<f64> = initial.iter().map(|&v| f64::from(v)).collect();
        let mut x = vec![0.0; d0];
        for _ in 0..spec.steps {
            let mut gradient = vec![0.0; v.len()];
            for i in 0..samples {
                let y = if i % 2 == 0 { 1.0 } else { -1.0 };
                for (j, x) in x.iter_mut().enumerate() {
                    let law = if j < d_core { spec.data.core.law(j) } else { spec.data.background.law(j - d_core) };
                    let (low, high) = law.ends();
                    let u = match law {
                        Distribution::Bernoulli { p, .. } => f64::from(u8::from(sampler.uniform() < *p)),
                        _ => sampler.uniform(),
                    };
                    *x = (low + (high - low) * u) * if j < d_core { y } else { 1.0 };
                }
                for (v, gradient) in v.chunks_exact(d0).zip(gradient.chunks_exact_mut(d0)) {
                    if v.iter().zip(&x).map(|(v, x)| v * x).sum::<f64>() >= 0.0 {
                        gradient.iter_mut().zip(&x).for_each(|(g, x)| *g += y * x);
                    }
                }
            }
            for (k, (v, gradient)) in v.chunks_exact_mut(d0).zip(gradient.chunks_exact(d0)).enumerate() {
                let rate = spec.learning_rate * f64::from(signs[k]) / (m * samples) as f64;
                v.iter_mut().zip(gradient).for_each(|(v, g)| *v = spec.decay_factor() * *v + rate * g);
            }
        }
        v
    }

    #[test]
    fn growth_agrees_with_brute_force() {
        let negative = FeatureGroup::same(6, Distribution::Uniform { low: 0.25, high: -1.0 });
        let symmetric = FeatureGroup::same(6, Distribution::Uniform { low: -1.0, high: 1.0 });
        let skewed = FeatureGroup::same(6, Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 });
        for (name, background) in [
            ("uniform", FeatureGroup::same(6, Distribution::UNIT)),
            ("negative", negative),
            ("symmetric", symmetric),
            ("skewed", skewed),
        ] {
            let mut spec = RunSpec::uniform(8, 6, 400, 6);
            spec.data.background = background;
            (spec.learning_rate, spec.weight_decay) = (0.06, 0.5);
            (spec.steps, spec.record_steps) = (25, vec![25]);
            let start = start(&spec, 7);
            let v = brute_force(&start, 40_000, 8);
            let prediction = &mean_field(&start).records[0].neurons;
            // What the core can have gained: the scale of the errors.
            let reach = growth_time(&spec, 25) / 6.0;
            for (k, v) in v.chunks_exact(14).enumerate() {
                let mu = |j: usize| spec.data.core.law(j).moments().mean();
                let core: f64 = (0..8).map(|j| mu(j) * v[j]).sum();
                let mu = |j: usize| spec.data.background.law(j - 8).moments().mean();
                let background: f64 = (8..14).map(|j| mu(j) * v[j]).sum();
                // Fourteen features are not many for a normal approximation.
                let tolerance = 0.015 * reach * spec.data.c();
                assert!((core - prediction.core[k]).abs() < tolerance, "{name}: {core}, {}", prediction.core[k]);
                let predicted = prediction.background[k];
                assert!((background - predicted).abs() < tolerance, "{name}: {background}, {predicted}");
            }
        }
    }

    #[test]
    fn scale_is_free() {
        // The same η t √d / m with m, η and d changed: √d v is unchanged.
        let mut spec = RunSpec::uniform(8, 8, 1024, 12);
        (spec.learning_rate, spec.steps, spec.record_steps) = (0.05, 40, vec![0, 10, 40]);
        let first = start(&spec, 3);
        let (d, m) = (4096, 24);
        let learning_rate = spec.learning_rate * (m as f64 / 12.0) / 2.0;
        let spec = RunSpec { d, m, learning_rate, ..spec };
        let mut second = start(&spec, 3);
        second.initial = first.initial.iter().chain(&first.initial).map(|v| v / 2.0).collect();
        let (first, second) = (mean_field(&first), mean_field(&second));
        for (a, b) in first.records.iter().zip(&second.records) {
            for k in 0..12 {
                assert!((a.neurons.core[k] - 2.0 * b.neurons.core[k + 12]).abs() < 1e-9);
                assert!((a.neurons.background[k] - 2.0 * b.neurons.background[k]).abs() < 1e-9);
                assert!((a.neurons.other.p[k] - b.neurons.other.p[k]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn controls_have_their_own_laws() {
        let mut spec = RunSpec::uniform(6, 4, 256, 8);
        (spec.learning_rate, spec.weight_decay) = (0.1, 0.2);
        (spec.steps, spec.record_steps) = (30, vec![0, 30]);
        let start = start(&spec, 5);
        let with = |spec: RunSpec| mean_field(&Trajectory { spec, ..start.clone() }).records;
        let decay = spec.decay(30);

        let shuffled = with(RunSpec { labels: Labels::Shuffled, ..spec.clone() });
        let frozen = with(RunSpec { frozen: true, ..spec.clone() });
        let linear = with(RunSpec { activation: Activation::Identity, ..spec.clone() });
        let grown = growth_time(&spec, 30) / 8.0 * spec.data.c();
        for k in 0..8 {
            let (core, background) = (frozen[0].neurons.core[k], frozen[0].neurons.background[k]);
            assert!((shuffled[1].neurons.core[k] - decay * core).abs() < 1e-12);
            assert_eq!(frozen[1].neurons.core[k], core);
            let signed = f64::from(start.signs[k]) * grown;
            assert!((linear[1].neurons.core[k] - decay * core - signed).abs() < 1e-12);
            assert!((linear[1].neurons.background[k] - decay * background).abs() < 1e-12);
            assert_eq!((linear[1].neurons.own.p[k], linear[1].neurons.other.p[k]), (1.0, 1.0));
        }
        // The identity's output is linear: its margin is Σ a_k M_k, of either class the same but for the background.
        let margin: f64 = linear[1].neurons.core.iter().zip(&start.signs).map(|(c, &s)| f64::from(s) * c / 8.0).sum();
        assert!((linear[1].id.margin - margin).abs() < 1e-12 && (linear[1].ood.margin - margin).abs() < 1e-12);
    }

    #[test]
    fn point_masses_have_no_spread() {
        let mut spec = RunSpec::uniform(6, 4, 256, 8);
        let half = Distribution::Point { value: 0.5 };
        (spec.data.core.laws, spec.data.background.laws) = (vec![half], vec![half]);
        spec.data.background_ood.laws = vec![Distribution::Point { value: -0.5 }];
        (spec.steps, spec.record_steps) = (50, vec![50]);
        let record = &mean_field(&start(&spec, 5)).records[0];
        assert!(record.neurons.own.p.iter().chain(&record.neurons.other.p).all(|&p| p == 0.0 || p == 1.0));
        assert!(record.neurons.variance.iter().all(|&v| v == 0.0) && record.id.margin.is_finite());
    }

    #[test]
    fn late_growth_is_self_similar() {
        for (d_core, d_bg) in [(32, 32), (24, 40), (40, 24)] {
            let mut spec = RunSpec::uniform(d_core, d_bg, 1 << 20, 16);
            (spec.steps, spec.record_steps) = (4000, vec![3900, 4000]);
            let records = mean_field(&start(&spec, 6)).records;
            let law = SelfSimilar::finite_size(&spec.data);
            let gained = |f: fn(&Record) -> &Vec<f64>, k: usize| (f(&records[1])[k] - f(&records[0])[k]).abs();
            for k in 0..16 {
                let core = gained(|r| &r.neurons.core, k) / (law.core(&spec, 4000) - law.core(&spec, 3900));
                let background =
                    gained(|r| &r.neurons.background, k) / (law.background(&spec, 4000) - law.background(&spec, 3900));
                assert!((core - 1.0).abs() < 1e-3 && (background - 1.0).abs() < 1e-3, "{core} {background}");
                let p = records[1].neurons.other.p[k];
                // The law with the kurtosis, which it leaves out: κ₄ = −1/120 a feature, weights w = rate/(μ d).
                let quartic = |rate: f64, count: usize| count as f64 * (rate / (0.5 * count as f64)).powi(4);
                let fourth = -(quartic(law.core_rate, d_core) + quartic(law.background_rate, d_bg)) / 120.0;
                let expected =
                    Gate::shaped(law.background_rate - law.core_rate, law.deviation_rate, 0.0, fourth).probability;
                assert!((p / expected - 1.0).abs() < 0.02, "{d_core}, {d_bg}: {p} {expected}");
            }
            for domain in [Domain::Id, Domain::Ood] {
                let margin = |record: &Record| if domain == Domain::Id { record.id.margin } else { record.ood.margin };
                let rate = law.margin(&spec, domain, 4000) - law.margin(&spec, domain, 3900);
                assert!(((margin(&records[1]) - margin(&records[0])) / rate - 1.0).abs() < 2e-3, "{domain:?}");
            }
        }
    }

    #[test]
    fn meets_the_simulation_until_the_hinge_gates() {
        let data = DataModel::uniform(32, 32);
        let mut spec = RunSpec { data, batch: 16_384, eval_samples: 16_384, ..RunSpec::uniform(32, 32, 32_768, 256) };
        let t2 = SelfSimilar::finite_size(&spec.data).t2(&spec).unwrap();
        spec.learning_rate = t2 / 150.0;
        (spec.steps, spec.record_steps) = (145, vec![20, 60, 100, 130, 140, 145]);
        let simulated = simulate(&spec, Executor::detect().unwrap()).unwrap();
        let predicted = mean_field(&simulated);
        let onset = gating_onset(&predicted, 0.01).unwrap();
        assert!((130..=145).contains(&onset), "{onset}");
        let signed = |values: &[f64]| {
            let own: Vec<f64> = values.iter().zip(&simulated.signs).map(|(x, &sign)| f64::from(sign) * x).collect();
            median(&own).unwrap()
        };
        for (s, p) in simulated.records.iter().zip(&predicted.records) {
            let step = s.step;
            if step <= onset {
                let core = signed(&p.neurons.core) / signed(&s.neurons.core) - 1.0;
                let background = median(&p.neurons.background).unwrap() / median(&s.neurons.background).unwrap() - 1.0;
                println!("step {step}: core {:+.3} %, background {:+.3} %", 100.0 * core, 100.0 * background);
                assert!(core.abs() < 0.01 && background.abs() < 0.01, "step {step}: {core} {background}");
                assert!((s.id.margin - p.id.margin).abs() < 0.005 && (s.ood.risk - p.ood.risk).abs() < 0.005);
                assert!((s.id.risk_variance / p.id.risk_variance - 1.0).abs() < 0.1 || step > 130);
                assert!((median(&s.neurons.other.p).unwrap() - median(&p.neurons.other.p).unwrap()).abs() < 0.006);
                assert!(s.id.accuracy > 0.999 && p.id.accuracy > 0.999);
            }
            let active = (s.active_fraction - p.active_fraction).abs();
            assert!(active < 0.01, "step {step}: {} {}", s.active_fraction, p.active_fraction);
        }
    }
}
