//! The ladders of runs that claims are judged on, from the settings.

use feature_contamination::{Activation, Coordinates, Labels, RunSpec, rng};

use crate::plan::{Ladder, Rung};
use crate::settings::{Rate, Settings};

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
    let rungs = settings.ladder_d0.d0.iter().map(|&d0| {
        let shape = Shape::with_features(settings, d0);
        rung(d0 as f64, settings.ladder_d0.replicates, settings, |seed| up_to_t2(settings, shape, seed))
    });
    vec![Ladder { factor: "d0", rungs: rungs.collect() }]
}

/// Neurons `m`, up to T2.
pub fn neurons(settings: &Settings) -> Vec<Ladder<RunSpec>> {
    let rungs = settings.ladder_m.m.iter().map(|&m| {
        let shape = Shape { m, ..Shape::of_model(settings) };
        rung(m as f64, settings.ladder_m.replicates, settings, |seed| up_to_t2(settings, shape, seed))
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

#[derive(Clone, Copy)]
struct Shape {
    d_core: usize,
    d_bg: usize,
    d: u64,
    m: usize,
}

impl Shape {
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
