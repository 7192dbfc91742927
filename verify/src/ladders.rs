//! The ladders of runs that claims are judged on, from the settings.

use feature_contamination::{Activation, Coordinates, DataModel, Distribution, FeatureGroup, Labels, RunSpec, rng};

use crate::plan::{Ladder, Rung};
use crate::settings::{Factor, OwnLadder, Rate, Settings};

/// `T0 = t0 · m/(η√d)`, in steps. Paper: Thm 1 (activation asymmetry).
pub fn t0(settings: &Settings, spec: &RunSpec) -> u64 {
    let unit = spec.m as f64 / (spec.learning_rate * (spec.d as f64).sqrt());
    steps(settings.times.t0 * unit)
}

/// `T1 = t1 · m/(η d₀)`, in steps. Paper: Thm 2 (learned features).
pub fn t1(settings: &Settings, spec: &RunSpec) -> u64 {
    steps(settings.times.t1 * feature_unit(spec))
}

/// `T2 = t2 · m/(η d₀)`, in steps. Paper: Thm 3 (ID and OOD risks).
pub fn t2(settings: &Settings, spec: &RunSpec) -> u64 {
    steps(settings.times.t2 * feature_unit(spec))
}

/// `m/(η d₀)`, in steps: the unit of time in which features grow.
pub fn feature_unit(spec: &RunSpec) -> f64 {
    spec.m as f64 / (spec.learning_rate * spec.data.d0() as f64)
}

/// The whole number of steps nearest to `x`, at least 1.
fn steps(x: f64) -> u64 {
    x.round().max(1.0) as u64
}

/// Features `d₀`, up to T2.
pub fn features(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_d0;
    let rungs = ladder.d0.iter().map(|&d0| {
        let shape = Shape::with_features(settings, d0);
        let replicates = between(&ladder.d0, d0, ladder.replicates_smallest, ladder.replicates);
        rung(d0 as f64, replicates, settings, |seed| up_to_t2(settings, shape, seed))
    });
    vec![Ladder { factor: "d0", rungs: rungs.collect() }]
}

/// How many runs there are at `size`, from `first` at the smallest of `sizes` to `last` at the largest: as a power of the size.
fn between(sizes: &[usize], size: usize, first: u64, last: u64) -> u64 {
    let (smallest, largest) = (sizes.first().map_or(1.0, |&s| s as f64), sizes.last().map_or(1.0, |&s| s as f64));
    let place = (size as f64 / smallest).ln() / (largest / smallest).ln();
    (first as f64 * (last as f64 / first as f64).powf(place)).round() as u64
}

/// Neurons `m`, up to T2.
pub fn neurons(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_m;
    let rungs = ladder.m.iter().map(|&m| {
        let shape = Shape { m, ..Shape::of_model(settings) };
        let replicates = between(&ladder.m, m, ladder.replicates_smallest, ladder.replicates);
        rung(m as f64, replicates, settings, |seed| up_to_t2(settings, shape, seed))
    });
    vec![Ladder { factor: "m", rungs: rungs.collect() }]
}

/// Ambient dimension `d` at one step size, up to T0, recorded closely; the replicates are paired.
pub fn dimension(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let largest = settings.ladder_d.d.iter().max().copied().unwrap_or(1) as f64;
    let m = settings.network.m as f64;
    // T0 = t0 m/(η√d) = steps_to_t0 at the largest d.
    let rate = settings.times.t0 * m / (f64::from(settings.ladder_d.steps_to_t0) * largest.sqrt());
    let rungs = settings.ladder_d.d.iter().map(|&d| {
        let shape = Shape { d, ..Shape::of_model(settings) };
        paired_rung(d as f64, settings.ladder_d.replicates, settings, |seed| {
            let mut spec = base(settings, shape, seed);
            if settings.training.learning_rate == Rate::Rule(crate::settings::Auto::Auto) {
                spec.learning_rate = rate;
            }
            let t0 = t0(settings, &spec);
            schedule(settings, &mut spec, t0, &[], 3);
            spec
        })
    });
    vec![Ladder { factor: "d", rungs: rungs.collect() }]
}

/// The linear network along `d`, up to T1, the batch growing with `d`.
pub fn linear(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_linear;
    let rungs = ladder.d.iter().zip(&ladder.batch).map(|(&d, &batch)| {
        let shape = Shape { d, ..Shape::of_model(settings) };
        rung(d as f64, ladder.replicates, settings, |seed| {
            let mut spec = base(settings, shape, seed);
            spec.activation = Activation::Identity;
            spec.batch = batch;
            let t1 = t1(settings, &spec);
            schedule(settings, &mut spec, t1, &[], 1);
            spec
        })
    });
    vec![Ladder { factor: "d", rungs: rungs.collect() }]
}

/// Features `d₀` with so small a start (`d = 2^40`) that growth is self-similar from early on, up to T1, its second half
/// recorded closely.
pub fn self_similar(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_law;
    let rungs = ladder.d0.iter().map(|&d0| {
        let shape = Shape { d: 1 << 40, ..Shape::with_features(settings, d0) };
        rung(d0 as f64, ladder.replicates, settings, |seed| {
            let mut spec = base(settings, shape, seed);
            spec.steps = t1(settings, &spec);
            spec.record_steps = (8..=16).map(|i| spec.steps / 16 * i + spec.steps % 16 * i / 16).collect();
            spec.record_steps.dedup();
            spec
        })
    });
    vec![Ladder { factor: "d0", rungs: rungs.collect() }]
}

/// Features `d₀` through the gated phase: up to 2 T2, recorded every T2/24 from T2/3 to T2 and every T2/8 from there.
pub fn gated(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_gated;
    let rungs = ladder.d0.iter().map(|&d0| {
        let shape = Shape::with_features(settings, d0);
        rung(d0 as f64, ladder.replicates, settings, |seed| {
            let mut spec = base(settings, shape, seed);
            spec.batch = ladder.batch;
            let t2 = t2(settings, &spec);
            let twenty_fourths = (8..=24).chain((27..=48).step_by(3));
            // Step counts beyond 64 bits are refused later.
            let step = |i: u64| (t2 / 24).saturating_mul(i).saturating_add(t2 % 24 * i / 24);
            spec.record_steps = std::iter::once(0).chain(twenty_fourths.map(step)).collect();
            spec.steps = t2.saturating_mul(2);
            spec.record_steps.dedup();
            spec
        })
    });
    vec![Ladder { factor: "d0", rungs: rungs.collect() }]
}

/// The model, probed at the start, T0, T1, halfway to T2 and T2, and one step beyond: the statements hold at every size.
pub fn finite_size(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let shape = Shape::of_model(settings);
    let rung = rung((shape.d_core + shape.d_bg) as f64, 2, settings, |seed| {
        let mut spec = base(settings, shape, seed);
        let (t0, t1, t2) = (t0(settings, &spec), t1(settings, &spec), t2(settings, &spec));
        spec.record_steps = [0, t0, t1, t1.midpoint(t2), t2].into_iter().filter(|&step| step <= t2).collect();
        spec.record_steps.sort_unstable();
        spec.record_steps.dedup();
        // A rate that validation refuses makes these times infinite.
        spec.steps = t2.saturating_add(1);
        spec.probe = true;
        spec
    });
    vec![Ladder { factor: "d0", rungs: vec![rung] }]
}

/// `η` of one step size for a whole ladder: the settings' own if they fix one, else `rule`.
fn one_rate(settings: &Settings, rule: f64) -> f64 {
    match settings.training.learning_rate {
        Rate::Fixed(rate) => rate,
        Rate::Rule(_) => rule,
    }
}

/// The middle of a list, where the other factors stand while one varies.
fn middle<T: Copy>(list: &[T]) -> Option<T> {
    list.get(list.len() / 2).copied()
}

/// T0 along `m`, `η` and `d0`, one factor at a time, up to T0 and recorded closely, as [`dimension`] is along `d`. The
/// coarsest rung has four times `ladder_d.steps_to_t0` steps; along `d0`, where rungs do not share their random numbers, as
/// many, but four times as many neurons, and the dimension of the largest.
pub fn onset(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let times = &settings.ladder_time;
    let model = Shape { m: middle(&times.m).unwrap_or(1), ..Shape::of_model(settings) };
    let rate = |m: usize, d: u64| {
        let steps = 4.0 * f64::from(settings.ladder_d.steps_to_t0);
        one_rate(settings, settings.times.t0 * m as f64 / (steps * (d as f64).sqrt()))
    };
    let run = |shape: Shape, rate: f64, seed: u64| {
        let mut spec = timed(settings, shape, rate, seed);
        // The weights tell when T0 is.
        spec.eval_samples = 64;
        let t0 = t0(settings, &spec);
        schedule(settings, &mut spec, t0, &[], 3);
        spec
    };
    let smallest = times.m.first().copied().unwrap_or(1);
    let in_m = times.m.iter().map(|&m| {
        let shape = Shape { m, ..model };
        paired_rung(m as f64, times.replicates, settings, |seed| run(shape, rate(smallest, model.d), seed))
    });
    let in_rate = finer(settings).map(|finer| {
        let rate = rate(model.m, model.d) / finer;
        paired_rung(rate, times.replicates, settings, |seed| run(model, rate, seed))
    });
    let largest = settings.ladder_d0.d0.last().copied().unwrap_or(2);
    let (m, d) = (model.m.saturating_mul(4), Shape::with_features(settings, largest).d);
    let in_d0 = settings.ladder_d0.d0.iter().map(|&d0| {
        let shape = Shape { m, d, ..Shape::with_features(settings, d0) };
        rung(d0 as f64, times.replicates, settings, |seed| run(shape, 4.0 * rate(m, d), seed))
    });
    vec![
        Ladder { factor: "m", rungs: in_m.collect() },
        Ladder { factor: "η", rungs: in_rate.collect() },
        Ladder { factor: "d0", rungs: in_d0.collect() },
    ]
}

/// T1 and T2 along `m`, `η`, `d` and `d0`, one factor at a time, up to the time T2 and recorded closely from an eighth of
/// it on.
pub fn learning(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let times = &settings.ladder_time;
    let model = Shape { m: middle(&times.m).unwrap_or(1), ..Shape::of_model(settings) };
    let coarsest = f64::from(times.steps_per_unit.first().copied().unwrap_or(1));
    let rate = |m: usize, d0: usize, steps: f64| one_rate(settings, m as f64 / (steps * d0 as f64));
    let run = |shape: Shape, rate: f64, seed: u64| {
        let mut spec = timed(settings, shape, rate, seed);
        let last = t2(settings, &spec);
        schedule(settings, &mut spec, last, &[], 3);
        spec.record_steps.retain(|&step| step >= last / 8);
        spec
    };
    let smallest = times.m.first().copied().unwrap_or(1);
    let in_m = times.m.iter().map(|&m| {
        let shape = Shape { m, ..model };
        let rate = rate(smallest, model.d0(), coarsest);
        paired_rung(m as f64, times.replicates, settings, |seed| run(shape, rate, seed))
    });
    let in_rate = finer(settings).map(|finer| {
        let rate = rate(model.m, model.d0(), coarsest) / finer;
        paired_rung(rate, times.replicates, settings, |seed| run(model, rate, seed))
    });
    let in_d = times.d.iter().map(|&d| {
        let shape = Shape { d, ..model };
        let steps = middle(&times.steps_per_unit).map_or(1.0, f64::from);
        paired_rung(d as f64, times.replicates, settings, |seed| run(shape, rate(model.m, model.d0(), steps), seed))
    });
    let (m, largest) = (model.m, times.d0.last().copied().unwrap_or(1));
    let in_d0 = times.d0.iter().map(|&d0| {
        let shape = Shape { m, ..Shape::with_features(settings, d0) };
        rung(d0 as f64, times.replicates, settings, |seed| run(shape, rate(m, largest, coarsest), seed))
    });
    vec![
        Ladder { factor: "m", rungs: in_m.collect() },
        Ladder { factor: "η", rungs: in_rate.collect() },
        Ladder { factor: "d", rungs: in_d.collect() },
        Ladder { factor: "d0", rungs: in_d0.collect() },
    ]
}

/// The last of [`learning`], along `d0`.
pub fn learning_in_features(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    learning(settings).pop().into_iter().collect()
}

/// By how much each step size is below the coarsest, the largest first, so that `η` ascends.
fn finer(settings: &Settings) -> impl Iterator<Item = f64> {
    let list = &settings.ladder_time.steps_per_unit;
    let coarsest = f64::from(list.first().copied().unwrap_or(1));
    list.iter().rev().map(move |&steps| f64::from(steps) / coarsest)
}

/// A run of the ladders of events.
fn timed(settings: &Settings, shape: Shape, rate: f64, seed: u64) -> RunSpec {
    let mut spec = base(settings, shape, seed);
    spec.learning_rate = rate;
    spec.batch = settings.ladder_time.batch_per_feature.saturating_mul(shape.d0());
    spec.eval_samples = settings.ladder_time.eval_samples;
    spec
}

/// Kinds of features on which the phase transition is looked at.
pub struct Mixture {
    /// Name.
    pub name: &'static str,
    core: &'static [Distribution],
    background: &'static [Distribution],
}

/// Uniform, skewed, discrete, and unequal ones.
pub const MIXTURES: [Mixture; 4] = [
    Mixture { name: "uniform", core: &[Distribution::UNIT], background: &[Distribution::UNIT] },
    Mixture { name: "Beta(2, 5)", core: &[SKEWED], background: &[SKEWED] },
    Mixture { name: "coins, Pr[1] = 0.3", core: &[COIN], background: &[COIN] },
    Mixture {
        name: "mixed, unequal means",
        core: &[Distribution::UNIT, Distribution::Uniform { low: 0.2, high: 1.0 }],
        background: &[COIN, Distribution::Uniform { low: 0.0, high: 0.8 }],
    },
];

const SKEWED: Distribution = Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 };
const COIN: Distribution = Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 };

/// Mean of `μ²` over laws.
fn mean_square(laws: &[Distribution]) -> f64 {
    laws.iter().map(|law| law.moments().mean().powi(2)).sum::<f64>() / laws.len() as f64
}

impl Mixture {
    /// `d0` features with `B/C` as near to `ratio` as whole numbers let it be, the shift mirroring the background at 0.
    pub fn data(&self, d0: usize, ratio: f64) -> DataModel {
        let (core, background) = (mean_square(self.core), mean_square(self.background));
        let d_core = (d0 as f64 * background / (background + ratio * core)).round() as usize;
        let d_core = d_core.clamp(1, d0.saturating_sub(1).max(1));
        let d_bg = d0.saturating_sub(d_core);
        let mirrored = self.background.iter().map(|law| match *law {
            Distribution::Uniform { low, high } => Distribution::Uniform { low: -low, high: -high },
            Distribution::Beta { alpha, beta, low, high } => Distribution::Beta { alpha, beta, low: -low, high: -high },
            Distribution::Bernoulli { p, low, high } => Distribution::Bernoulli { p, low: -low, high: -high },
            Distribution::Point { value } => Distribution::Point { value: -value },
        });
        DataModel {
            core: FeatureGroup { count: d_core, laws: self.core.to_vec() },
            background: FeatureGroup { count: d_bg, laws: self.background.to_vec() },
            background_ood: FeatureGroup { count: d_bg, laws: mirrored.collect() },
        }
    }
}

/// `B/C` at which `d0` varies, with its name: below the transition, at it, above. Exact for multiples of 8.
pub const SIDES: [(f64, &str); 3] = [(3.0 / 5.0, "3/5"), (1.0, "1"), (5.0 / 3.0, "5/3")];

/// The phase transition: first, along `B/C` at the largest `d0`, a ladder for each of [`MIXTURES`]; then, along `d0`,
/// uniform features at each of [`SIDES`].
pub fn balance(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let ladder = &settings.ladder_balance;
    let largest = ladder.d0.last().copied().unwrap_or(4);
    let rung_of = |size: f64, replicates: u64, data: DataModel| {
        rung(size, replicates, settings, |seed| {
            let shape = Shape { d_core: data.core.count, d_bg: data.background.count, d: 1 << 40, m: ladder.m };
            let mut spec = base(settings, shape, seed);
            let steps = f64::from(ladder.steps);
            let rule = 0.5 * settings.times.t1 * ladder.m as f64 / (steps * data.d0() as f64);
            spec.learning_rate = one_rate(settings, rule);
            spec.data = data.clone();
            spec.batch = ladder.batch;
            spec.eval_samples = ladder.eval_samples;
            spec.steps = (t1(settings, &spec) / 2).max(4);
            spec.record_steps = [2, 3, 4].map(|i| spec.steps / 4 * i).to_vec();
            spec
        })
    };
    let transitions = MIXTURES.iter().map(|mixture| {
        let rungs = ladder.ratio.iter().map(|&ratio| {
            let data = mixture.data(largest, ratio);
            rung_of(data.b() / data.c(), ladder.replicates, data)
        });
        Ladder { factor: "B/C", rungs: rungs.collect() }
    });
    let sides = SIDES.iter().map(|&(ratio, _)| {
        let of = |&d0: &usize| rung_of(d0 as f64, ladder.replicates_d0, MIXTURES[0].data(d0, ratio));
        let rungs = ladder.d0.iter().map(of);
        Ladder { factor: "d0", rungs: rungs.collect() }
    });
    transitions.chain(sides).collect()
}

/// A `[[ladder]]` of one's own, up to T2.
pub fn own(settings: &Settings, own: &OwnLadder) -> Ladder<RunSpec> {
    let model = Shape::of_model(settings);
    let rungs = own.sizes.iter().map(|&size| {
        let mut settings = settings.clone();
        let shape = match own.factor {
            Factor::D0 => Shape::with_features(&settings, size as usize),
            Factor::M => Shape { m: size as usize, ..model },
            Factor::D => Shape { d: size as u64, ..model },
            Factor::Ratio => {
                let d0 = model.d0();
                let (core, background) = (mean_square(&settings.model.core), mean_square(&settings.model.background));
                let d_core = (d0 as f64 * background / (background + size * core)).round() as usize;
                let d_core = d_core.clamp(1, d0.saturating_sub(1).max(1));
                Shape { d_core, d_bg: d0 - d_core, ..model }
            }
            Factor::Batch => {
                settings.training.batch = size as usize;
                model
            }
            Factor::StepsPerUnit => {
                settings.training.steps_per_unit = size;
                model
            }
        };
        rung(size, own.replicates, &settings, |seed| up_to_t2(&settings, shape, seed))
    });
    Ladder { factor: own.factor.symbol(), rungs: rungs.collect() }
}

#[derive(Clone, Copy)]
struct Shape {
    d_core: usize,
    d_bg: usize,
    d: u64,
    m: usize,
}

impl Shape {
    fn d0(&self) -> usize {
        self.d_core.saturating_add(self.d_bg)
    }

    fn of_model(settings: &Settings) -> Self {
        let model = &settings.model;
        Self { d_core: model.d_core, d_bg: model.d_bg, d: model.d, m: settings.network.m }
    }

    /// The model's proportions at `d0` features, `d = d0^d_exponent`.
    fn with_features(settings: &Settings, d0: usize) -> Self {
        let model = &settings.model;
        let scale = d0 as f64 / (model.d_core + model.d_bg) as f64;
        let d_core = (model.d_core as f64 * scale).round() as usize;
        Self {
            d_core,
            d_bg: d0.saturating_sub(d_core),
            d: (d0 as f64).powf(settings.ladder_d0.d_exponent).ceil() as u64,
            m: (settings.network.m as f64 * scale).round() as usize,
        }
    }
}

/// A rung's replicates, each with a seed of its own: no two rungs, reports or replicates share their random numbers.
fn rung(size: f64, replicates: u64, settings: &Settings, spec: impl Fn(u64) -> RunSpec) -> Rung<RunSpec> {
    let seed = |r| rng::derive(settings.seed, &[size.to_bits(), r]);
    Rung { size, runs: (0..replicates).map(|r| spec(seed(r))).collect() }
}

/// A rung of a paired ladder: replicate `r` has the same random numbers at every size.
fn paired_rung(size: f64, replicates: u64, settings: &Settings, spec: impl Fn(u64) -> RunSpec) -> Rung<RunSpec> {
    Rung { size, runs: (0..replicates).map(|r| spec(rng::derive(settings.seed, &[r]))).collect() }
}

/// Up to T2, with T0, T1 and T2 recorded.
fn up_to_t2(settings: &Settings, shape: Shape, seed: u64) -> RunSpec {
    let mut spec = base(settings, shape, seed);
    let marks = [t0(settings, &spec), t1(settings, &spec)];
    let last = t2(settings, &spec);
    schedule(settings, &mut spec, last, &marks, 1);
    spec
}

fn base(settings: &Settings, shape: Shape, seed: u64) -> RunSpec {
    let Shape { d_core, d_bg, d, m } = shape;
    let (neurons, d0) = (m as f64, (d_core + d_bg) as f64);
    let training = &settings.training;
    let fixed_or = |rate: Rate, rule: f64| match rate {
        Rate::Fixed(value) => value,
        Rate::Rule(_) => rule,
    };
    RunSpec {
        seed,
        data: settings.data(d_core, d_bg),
        d,
        coordinates: Coordinates::Latent,
        precision: training.precision,
        m,
        activation: Activation::Relu,
        batch: training.batch,
        learning_rate: fixed_or(training.learning_rate, neurons / (training.steps_per_unit * d0)),
        weight_decay: fixed_or(training.weight_decay, training.decay * d0 / neurons.powf(1.01)),
        steps: 0,
        record_steps: vec![],
        eval_samples: settings.measure.eval_samples,
        labels: Labels::True,
        frozen: false,
        background_weights: None,
        probe: false,
        variant: None,
    }
}

/// Records 0, geometric steps (`density` times `records_per_octave` an octave), `marks`, and `last`.
fn schedule(settings: &Settings, spec: &mut RunSpec, last: u64, marks: &[u64], density: u32) {
    let ratio = (f64::from(settings.measure.records_per_octave) * f64::from(density)).recip().exp2();
    let geometric = std::iter::successors(Some(1.0), |x| Some(x * ratio)).map(|x: f64| x.round() as u64);
    let mut records: Vec<u64> = std::iter::once(0)
        .chain(geometric.take_while(|&step| step < last))
        .chain(marks.iter().copied().filter(|&mark| mark < last))
        .chain([last])
        .collect();
    records.sort_unstable();
    records.dedup();
    spec.steps = last;
    spec.record_steps = records;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sizes_have_more_replicates_but_in_controls() {
        let of = |ladder: &Ladder<RunSpec>| -> Vec<usize> { ladder.rungs.iter().map(|rung| rung.runs.len()).collect() };
        let quick = Settings::profile("quick").unwrap();
        assert_eq!(of(&features(&quick)[0]), [16, 12, 8, 6]);
        assert_eq!(of(&neurons(&quick)[0]), [20, 15, 11, 8]);
        let balance = balance(&quick);
        assert!(balance[..MIXTURES.len()].iter().all(|ladder| of(ladder) == [4; 4]));
        assert!(balance[MIXTURES.len()..].iter().all(|ladder| of(ladder) == [16; 3]));
        let controls = quick.for_controls();
        assert_eq!(of(&features(&controls)[0]), [6; 3]);
        assert_eq!(of(&neurons(&controls)[0]), [6; 2]);
    }

    #[test]
    fn one_factor_at_a_time() {
        let settings = Settings::profile("quick").unwrap();
        for ladders in [onset(&settings), learning(&settings)] {
            for ladder in ladders {
                assert!(ladder.rungs.is_sorted_by(|a, b| a.size < b.size), "{}", ladder.factor);
                let differ = |f: fn(&RunSpec) -> f64| {
                    let first = f(ladder.runs().next().unwrap());
                    ladder.runs().any(|spec| f(spec) != first)
                };
                for (factor, varies) in [
                    ("m", differ(|spec| spec.m as f64)),
                    ("η", differ(|spec| spec.learning_rate)),
                    ("d0", differ(|spec| spec.data.d0() as f64)),
                ] {
                    assert_eq!(varies, factor == ladder.factor, "{factor} along {}", ladder.factor);
                }
                // The paper's d goes with d0.
                assert!(!differ(|spec| spec.d as f64) || ["d", "d0"].contains(&ladder.factor));
            }
        }
    }

    #[test]
    fn mixtures_have_the_ratio_that_is_asked_for() {
        for mixture in MIXTURES {
            for ratio in [0.5, 0.6, 1.0, 2.0, 3.0] {
                let data = mixture.data(64, ratio);
                data.validate().unwrap();
                assert!((data.b() / data.c() / ratio - 1.0).abs() < 0.08, "{}: {ratio}", mixture.name);
                for (id, ood) in data.background.moments().iter().zip(data.background_ood.moments()) {
                    assert!((id.mean() + ood.mean()).abs() < 1e-12 && ood.mean() < 0.0);
                }
            }
        }
    }

    #[test]
    fn runs_across_the_transition_are_valid() {
        let mut settings = Settings::profile("quick").unwrap();
        settings.ladder_balance.d0 = vec![4, 8];
        let ladders = balance(&settings);
        assert_eq!(ladders.len(), MIXTURES.len() + SIDES.len());
        for spec in ladders.iter().flat_map(Ladder::runs) {
            spec.validate().unwrap();
            assert_eq!(spec.record_steps.last(), Some(&spec.steps));
        }
    }
}
