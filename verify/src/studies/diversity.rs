//! Conjecture 1: what the diversity of the training background does. Paper: Conjecture 1; Derived: diversity.

use std::sync::Arc;

use feature_contamination::data::{Domain, Draw, Purpose};
use feature_contamination::mlp::{Activation, Architecture, Loss, Method, Network, Online, Optimizer};
use feature_contamination::rng;
use feature_contamination::{DataModel, Distribution, Executor, FeatureGroup};
use serde::Serialize;

use super::regression::nonlinearity;
use super::{Cost, Observed, Study, Task, TaskError};
use crate::claims::Judgement;
use crate::claims::check::{Estimate, Rule, check};
use crate::claims::draw::{BLACK, figure, linear, median, panel, series, unit};
use crate::claims::measure::{check_rungs, means, points};
use crate::plan::{Ladder, Rung};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::diversity::Diversity as Law;

/// Mean of the background's mean where the range is not symmetric about 0: that of U[0, 1]. The shifted background has
/// minus this.
const MEAN: f64 = 0.5;

/// The study.
pub struct Diversity;

/// A two-layer network of the paper, trained on a background whose mean is drawn anew for every example.
#[derive(Clone, Debug, Serialize)]
struct Spec {
    seed: u64,
    d_core: usize,
    d_bg: usize,
    /// Mean of the background's mean, and half-width of its range.
    mean: f64,
    spread: f64,
    activation: Activation,
    m: usize,
    /// Ambient dimension: weights start with deviation 1/√d.
    d: u64,
    batch: usize,
    learning_rate: f64,
    weight_decay: f64,
    /// Steps at which it is looked at, under the names of [`TIMES`].
    records: [u64; 2],
    eval_samples: usize,
}

/// T1, before the hinge gates, and long after T2.
const TIMES: [&str; 2] = ["early", "late"];

impl Spec {
    fn cost(&self) -> Cost {
        let (n, m, d0) = (self.batch as f64, self.m as f64, (self.d_core + self.d_bg) as f64);
        let eval = 4.0 * self.eval_samples as f64;
        let flops = (self.records[1] as f64 * n + eval) * (4.0 * m * d0 + 20.0 * m + 20.0 * d0) + 4.0 * eval * d0 * d0;
        let rows = n.max(self.eval_samples as f64);
        Cost { flops, bytes: 8.0 * (rows * (2.0 * m + 3.0 * d0) + 4.0 * m * d0) }
    }

    fn task(self) -> Task {
        let cost = self.cost();
        Task::new("diversity", self, cost, run)
    }

    /// Examples with a background around means uniform on `mean` ± `spread`.
    fn sample(
        &self,
        executor: Executor,
        [mean, spread]: [f64; 2],
        n: usize,
        purpose: Purpose,
        step: u64,
    ) -> Result<(Vec<f32>, Vec<f32>), TaskError> {
        let around = FeatureGroup::same(self.d_bg, Distribution::Uniform { low: -0.5, high: 0.5 });
        let data = DataModel {
            background: around.clone(),
            background_ood: around,
            ..DataModel::uniform(self.d_core, self.d_bg)
        };
        let d0 = data.d0();
        let (mut x, mut labels) = (vec![0.0; n * d0], vec![0; n]);
        let draw = Draw { seed: self.seed, purpose, domain: Domain::Id, step, first_row: 0 };
        data.fill(executor, draw, &mut x, &mut labels)?;
        // The means are the background of examples of their own.
        let means = DataModel {
            background: FeatureGroup::same(1, Distribution::Uniform { low: mean - spread, high: mean + spread }),
            ..DataModel::uniform(1, 1)
        };
        let (mut drawn, mut unused) = (vec![0.0; 2 * n], vec![0; n]);
        let seed = rng::derive(self.seed, &[1]);
        means.fill(executor, Draw { seed, ..draw }, &mut drawn, &mut unused)?;
        for (row, b) in x.chunks_exact_mut(d0).zip(drawn.chunks_exact(2)) {
            row[self.d_core..].iter_mut().for_each(|x| *x += b[1]);
        }
        Ok((x, labels.iter().map(|&y| f32::from(y)).collect()))
    }
}

/// Trains the network. Observed at both times: medians over neurons of Σ_core μ v (times the neuron's sign), Σ_bg μ v with μ =
/// ½ and p_own − p_oth; risk, accuracy and 1 − R² of the best affine fit of the output, on examples like those of training
/// (`id`) and under the shift (`ood`), which is the same for every range.
fn run(spec: &Spec, executor: Executor) -> Result<Observed, TaskError> {
    let d0 = spec.d_core + spec.d_bg;
    let architecture = Architecture {
        inputs: d0,
        hidden: spec.m,
        layers: 2,
        activation: spec.activation,
        bias: false,
        frozen_output: true,
    };
    let mut network = Network::init(&architecture, spec.seed)?;
    // Uniform on ±1/√d₀ has deviation 1/√(3d₀).
    let scale = (3.0 * d0 as f64 / spec.d as f64).sqrt() as f32;
    network.layers[0].weight.iter_mut().for_each(|w| *w *= scale);
    let optimizer = Optimizer {
        method: Method::Sgd { momentum: 0.0 },
        learning_rate: spec.learning_rate,
        weight_decay: spec.weight_decay,
    };
    let mut online = Online::new(executor, network, Loss::Hinge, optimizer)?;
    let (training, shifted) = ([spec.mean, spec.spread], [-MEAN, 0.0]);
    let mut observed = Observed::default();
    let mut steps = 0;
    for (time, record) in TIMES.into_iter().zip(spec.records) {
        while steps < record {
            let (x, y) = spec.sample(executor, training, spec.batch, Purpose::Train, steps)?;
            online.step(&x, &y)?;
            steps += 1;
        }
        let mut put = |name: &str, value: f64| observed.numbers.insert(format!("{time}-{name}"), value);
        for (domain, means) in [("id", training), ("ood", shifted)] {
            let (x, y) = spec.sample(executor, means, spec.eval_samples, Purpose::Evaluate, 0)?;
            let h: Vec<f64> = online.outputs(&x)?.iter().map(|&h| h.into()).collect();
            let margins = || h.iter().zip(&y).map(|(h, &y)| h * f64::from(y));
            let mean = |sum: f64| sum / y.len() as f64;
            put(&format!("{domain}-risk"), mean(margins().map(|margin| (1.0 - margin).max(0.0)).sum()));
            put(&format!("{domain}-accuracy"), mean(margins().filter(|&margin| margin > 0.0).count() as f64));
            put(&format!("{domain}-nonlinearity"), nonlinearity(&x, d0, &h)?);
            if domain == "id" {
                put("gate", gate(online.network(), &x, &y));
            }
        }
        let neurons = neurons(online.network());
        let sum = |v: &[f32]| 0.5 * v.iter().map(|&v| f64::from(v)).sum::<f64>();
        put("core", median(&neurons.iter().map(|(sign, v)| sign * sum(&v[..spec.d_core])).collect::<Vec<_>>()));
        put("background", median(&neurons.iter().map(|(_, v)| sum(&v[spec.d_core..])).collect::<Vec<_>>()));
    }
    Ok(observed)
}

/// sign a_k and v_k of every neuron.
fn neurons(network: &Network<f32>) -> Vec<(f64, &[f32])> {
    let (first, output) = (&network.layers[0], &network.layers[1]);
    let signs = output.weight.iter().map(|&a| f64::from(a).signum());
    signs.zip(first.weight.chunks_exact(first.inputs)).collect()
}

/// The median over neurons of p_own − p_oth; a linear neuron, whose derivative never changes, has 0.
fn gate(network: &Network<f32>, x: &[f32], y: &[f32]) -> f64 {
    if network.activation == Activation::Identity {
        return 0.0;
    }
    let asymmetry = |(sign, v): &(f64, &[f32])| {
        let (mut active, mut count) = ([0.0; 2], [0.0; 2]);
        for (row, &y) in x.chunks_exact(v.len()).zip(y) {
            let own = usize::from(f64::from(y) == *sign);
            count[own] += 1.0;
            active[own] += f64::from(u8::from(v.iter().zip(row).map(|(v, x)| v * x).sum::<f32>() >= 0.0));
        }
        active[1] / count[1] - active[0] / count[0]
    };
    median(&neurons(network).iter().map(asymmetry).collect::<Vec<_>>())
}

/// Ladders in the spread, about ½ and about 0, after `change` of each spec. Replicate `r` has the same random numbers at
/// every spread.
fn ladders(settings: &Settings, change: impl Fn(&mut Spec)) -> Vec<Ladder<Task>> {
    let of = &settings.diversity;
    let d0 = (of.d_core + of.d_bg) as f64;
    // η = m/(steps_per_unit d₀), so that times are in m/(η d₀).
    let unit = f64::from(of.steps_per_unit);
    let ladder = |mean: f64| {
        let spec = |spread: f64, r: u64| {
            let mut spec = Spec {
                seed: rng::derive(settings.seed, &[0xd1fe, r]),
                d_core: of.d_core,
                d_bg: of.d_bg,
                mean,
                spread,
                activation: Activation::Relu,
                m: of.m,
                d: d0.powf(2.5) as u64,
                batch: of.batch,
                learning_rate: of.m as f64 / (unit * d0),
                weight_decay: settings.training.decay * d0 / (of.m as f64).powf(1.01),
                records: [1.0, of.late].map(|t1| (t1 * settings.times.t1 * unit).round() as u64),
                eval_samples: of.eval_samples,
            };
            change(&mut spec);
            spec
        };
        let rung =
            |&spread: &f64| Rung { size: spread, runs: (0..of.replicates).map(|r| spec(spread, r).task()).collect() };
        Ladder { factor: "spread", rungs: of.spread.iter().map(rung).collect() }
    };
    [MEAN, 0.0].map(ladder).into()
}

/// Control: identity activation.
pub(crate) fn identity(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |spec| spec.activation = Activation::Identity)
}

/// Control: no diversity, whatever the ladder says, and a background whose mean is ½ in either ladder.
pub(crate) fn uniform(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |spec| (spec.mean, spec.spread) = (MEAN, 0.0))
}

/// Σ_bg μ v / Σ_core μ v of the median neurons.
fn contamination(observed: &Observed, time: &str) -> f64 {
    observed.number(&format!("{time}-background")) / observed.number(&format!("{time}-core"))
}

/// OOD less ID risk.
fn drop(observed: &Observed, time: &str) -> f64 {
    observed.number(&format!("{time}-ood-risk")) - observed.number(&format!("{time}-id-risk"))
}

/// Mean over the replicates of `value` at the greatest spread less `factor` times the one at the smallest.
fn change(
    ladder: &Ladder<Arc<Observed>>,
    factor: f64,
    value: impl Fn(&Observed) -> f64,
) -> Result<Estimate, StatsError> {
    let (Some(least), Some(most)) = (ladder.rungs.first(), ladder.rungs.last()) else { return Ok(Estimate::missing()) };
    let pairs = least.runs.iter().zip(&most.runs).map(|pair| Arc::new((Arc::clone(pair.0), Arc::clone(pair.1))));
    let paired = Ladder { factor: "pairs", rungs: vec![Rung { size: 1.0, runs: pairs.collect() }] };
    let estimates =
        means(&paired, |(least, most): &(Arc<Observed>, Arc<Observed>)| value(most) - factor * value(least))?;
    Ok(estimates.first().copied().unwrap_or_else(Estimate::missing))
}

impl Study for Diversity {
    fn id(&self) -> &'static str {
        "diversity"
    }

    fn title(&self) -> &'static str {
        "Conjecture 1: a more diverse training background lessens the contamination"
    }

    fn source(&self) -> &'static str {
        "Derived: diversity"
    }

    fn statement(&self) -> &'static str {
        "If the background's mean is drawn for every example from a range about ½ that grows, the background is learned less, as \
         a law without a fitted constant says; the OOD drop shrinks, and the output becomes more linear under the shift. The \
         neurons do not: each goes on firing for one class. About 0, nothing is learned at any spread."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<Task>> {
        ladders(settings, |_| ())
    }

    fn judge(&self, settings: &Settings, ladders: &[Ladder<Arc<Observed>>]) -> Result<Judgement, StatsError> {
        let [about_half, about_zero] = ladders else { return Ok(Judgement::default()) };
        let of = &settings.diversity;
        let law = |spread: f64| Law { d_core: of.d_core, d_bg: of.d_bg, mean: MEAN, spread }.contamination();
        let early = means(about_half, |o| contamination(o, "early"))?;
        let over = |(rung, estimate): (&Rung<_>, &Estimate)| {
            let law = law(rung.size);
            Estimate { value: estimate.value / law, interval: estimate.interval.map(|x| x / law), ..*estimate }
        };
        let ratios: Vec<Estimate> = about_half.rungs.iter().zip(&early).map(over).collect();
        let ones: Vec<Point> = about_half.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
        let half = "less than half of what it is without diversity, examples and start being the same";
        let falls = |quantity: &str, value: &dyn Fn(&Observed) -> f64| {
            let rule = Rule::at_most(0.0, half);
            Ok::<_, StatsError>(check(quantity, self.source(), change(about_half, 0.5, value)?, None, rule))
        };
        let symmetric = means(about_zero, |o| contamination(o, "early"))?;
        let gates = means(about_half, |o| o.number("late-gate"))?;
        let zeros: Vec<Point> = about_zero.rungs.iter().map(|rung| Point::at(rung.size, 0.0)).collect();
        let checks = vec![
            check_rungs(
                "Σ_bg μv / Σ_core μv at T₁, over the law",
                self.source(),
                about_half,
                &ratios,
                Some(&ones),
                Rule::within(
                    0.9,
                    1.1,
                    "the law leaves out the start and what the hinge withholds by T₁, some hundredths; from a spread of 1/2 on a \
                     law without diversity is off by more",
                ),
            ),
            falls("OOD less ID risk, late: at the greatest spread less half of that without", &|o| drop(o, "late"))?,
            falls(
                "1 − R² of the output under the shift, at T₁: at the greatest spread less half of that without",
                &|o| o.number("early-ood-nonlinearity"),
            )?,
            check_rungs(
                "p_own − p_oth, late",
                self.source(),
                about_half,
                &gates,
                None,
                Rule::within(
                    0.5,
                    f64::INFINITY,
                    "a linear neuron has 0; more than half way to one that fires for its class alone",
                ),
            ),
            check_rungs(
                "mean 0: Σ_bg μv / Σ_core μv at T₁",
                self.source(),
                about_zero,
                &symmetric,
                Some(&zeros),
                Rule::within(
                    -0.1,
                    0.1,
                    "a background without mean has no gradient; a tenth leaves room for the batches' noise",
                ),
            ),
        ];
        Ok(Judgement { checks, figures: vec![curves(about_half, about_zero, &law)?], ..Judgement::default() })
    }
}

/// Contamination, OOD drop and linearity along the spread.
fn curves(
    about_half: &Ladder<Arc<Observed>>,
    about_zero: &Ladder<Arc<Observed>>,
    law: &dyn Fn(f64) -> f64,
) -> Result<Figure, StatsError> {
    let drawn = |name: &str, ladder: &Ladder<Arc<Observed>>, color: usize, value: &dyn Fn(&Observed) -> f64| {
        Ok::<_, StatsError>(series(name, Mark::Points, color, points(ladder, &means(ladder, value)?)))
    };
    let greatest = about_half.rungs.last().map_or(1.0, |rung| rung.size);
    let predicted =
        (0..=80).map(|i| greatest * f64::from(i) / 80.0).map(|spread| Point::at(spread, law(spread))).collect();
    let x = || linear("half-width of the range of the background's mean");
    let learned = panel(
        "background learned",
        x(),
        linear("Σ_bg μv / Σ_core μv, median neuron"),
        vec![
            drawn("about ½, at T₁", about_half, 0, &|o| contamination(o, "early"))?,
            series("law", Mark::Dashed, 0, predicted),
            drawn("about ½, late", about_half, 1, &|o| contamination(o, "late"))?,
            drawn("about 0, at T₁", about_zero, 2, &|o| contamination(o, "early"))?,
        ],
    );
    let risks = panel(
        "what the shift costs",
        x(),
        linear("OOD less ID risk"),
        vec![
            drawn("about ½, at T₁", about_half, 0, &|o| drop(o, "early"))?,
            drawn("about ½, late", about_half, 1, &|o| drop(o, "late"))?,
            drawn("about 0, late", about_zero, 2, &|o| drop(o, "late"))?,
            series("", Mark::Dotted, BLACK, vec![Point::at(0.0, 0.0), Point::at(greatest, 0.0)]),
        ],
    );
    let linearity = panel(
        "how linear it is, about ½",
        x(),
        unit("1 − R² of the best affine fit; p_own − p_oth"),
        vec![
            drawn("1 − R² of the output, OOD, at T₁", about_half, 0, &|o| o.number("early-ood-nonlinearity"))?,
            drawn("1 − R² on its own examples, at T₁", about_half, 4, &|o| o.number("early-id-nonlinearity"))?,
            drawn("1 − R² on its own examples, late", about_half, 1, &|o| o.number("late-id-nonlinearity"))?,
            drawn("p_own − p_oth, late", about_half, 3, &|o| o.number("late-gate"))?,
        ],
    );
    Ok(figure(
        "diversity",
        "Along the diversity of the training background",
        "The mean of the background is uniform on a range about ½ or about 0, drawn for every example. The background is learned the less the \
         wider the range about ½ is, as the law says, and the shift costs less. Under the shift the output becomes linear. On \
         examples like those of training it first becomes less linear, since a background below 0 shuts neurons of both \
         classes; and no neuron becomes linear: each fires for its class.",
        vec![learned, risks, linearity],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mean: f64, spread: f64, activation: Activation) -> Spec {
        Spec {
            seed: 5,
            d_core: 8,
            d_bg: 8,
            mean,
            spread,
            activation,
            m: 16,
            d: 1024,
            batch: 128,
            learning_rate: 16.0 / (8.0 * 16.0),
            weight_decay: 0.0,
            records: [48, 96],
            eval_samples: 512,
        }
    }

    #[test]
    fn a_mean_is_an_examples_own_and_all_its_backgrounds() {
        let executor = Executor::detect().unwrap();
        let sample = |mean, spread, step| {
            spec(0.5, 1.0, Activation::Relu).sample(executor, [mean, spread], 400, Purpose::Train, step).unwrap()
        };
        let (x, y) = sample(0.5, 0.0, 3);
        for (row, y) in x.chunks(16).zip(&y) {
            assert!(row[..8].iter().all(|x| (0.0..=1.0).contains(&(x * y))));
            assert!(row[8..].iter().all(|x| (0.0..=1.0).contains(x)));
        }
        let (diverse, labels) = sample(0.5, 2.0, 3);
        assert_eq!(labels, y);
        let mut means = vec![];
        for (row, plain) in diverse.chunks(16).zip(x.chunks(16)) {
            assert_eq!(row[..8], plain[..8]);
            let shift = row[8] - plain[8];
            assert!(row[8..].iter().zip(&plain[8..]).all(|(x, plain)| (x - plain - shift).abs() < 1e-5));
            means.push(f64::from(shift));
        }
        assert!(means.iter().all(|b| b.abs() <= 2.0));
        // Uniform on ±2: the standard error of the mean of 400 is 0.058, of the mean square 0.06; five of them.
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 400.0;
        assert!(mean(&mut means.iter().copied()).abs() < 0.29);
        assert!((mean(&mut means.iter().map(|b| b * b)) - 4.0 / 3.0).abs() < 0.3);
        assert_ne!(sample(0.5, 2.0, 4).0, diverse);
    }

    /// The means are drawn from random numbers of their own: they tell nothing of the features beside them.
    #[test]
    fn a_mean_is_independent_of_the_features_and_of_the_label() {
        let executor = Executor::detect().unwrap();
        const N: usize = 4096;
        let sample =
            |spread| spec(0.5, 1.0, Activation::Relu).sample(executor, [0.5, spread], N, Purpose::Train, 3).unwrap();
        let ((plain, labels), (diverse, _)) = (sample(0.0), sample(1.0));
        let mean: Vec<f64> =
            diverse.chunks(16).zip(plain.chunks(16)).map(|(x, plain)| f64::from(x[8] - plain[8])).collect();
        let correlation = |of: &dyn Fn(usize) -> f64| {
            let centre = |values: Vec<f64>| {
                let middle = values.iter().sum::<f64>() / N as f64;
                values.into_iter().map(|x| x - middle).collect::<Vec<f64>>()
            };
            let (a, b) = (centre(mean.clone()), centre((0..N).map(of).collect()));
            let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
        };
        // Of independent ones the deviation is 1/64; five of them.
        assert!(correlation(&|i| labels[i].into()).abs() < 5.0 / 64.0);
        for j in 0..16 {
            let found = correlation(&|i| f64::from(plain[16 * i + j]).abs());
            assert!(found.abs() < 5.0 / 64.0, "feature {j}: {found}");
        }
    }

    #[test]
    fn weights_decay_as_the_task_says() {
        let executor = Executor::detect().unwrap();
        let core = |weight_decay| {
            let spec = Spec { weight_decay, ..spec(0.5, 0.0, Activation::Relu) };
            run(&spec, executor).unwrap().number("early-core")
        };
        // A decay of 1/12 a step leaves little of 48 steps' growth.
        assert!(core(2.0 / 3.0) < 0.5 * core(0.0), "{}, {}", core(2.0 / 3.0), core(0.0));
    }

    #[test]
    fn what_is_observed_is_what_it_is_said_to_be() {
        let executor = Executor::detect().unwrap();
        let relu = run(&spec(0.5, 0.0, Activation::Relu), executor).unwrap();
        assert_eq!(relu, run(&spec(0.5, 0.0, Activation::Relu), executor).unwrap());
        assert!(contamination(&relu, "early") > 0.3 && relu.number("late-gate") > 0.3, "{relu:?}");
        assert!(drop(&relu, "late") > 0.1, "{relu:?}");
        let straight = run(&spec(0.5, 0.0, Activation::Identity), executor).unwrap();
        assert!(straight.number("early-ood-nonlinearity") < 1e-6 && straight.number("late-gate") == 0.0);
        assert!(contamination(&straight, "late").abs() < 0.2, "{straight:?}");
    }

    #[test]
    fn changes_are_paired() {
        let observed = |x: f64| Arc::new(Observed { numbers: [("x".to_owned(), x)].into(), ..Observed::default() });
        let rung = |size: f64, values: [f64; 3]| Rung { size, runs: values.map(observed).into() };
        let ladder = Ladder {
            factor: "spread",
            rungs: vec![rung(0.0, [2.0, 40.0, 6.0]), rung(1.0, [9.0; 3]), rung(4.0, [1.0, 20.0, 3.0])],
        };
        let estimate = change(&ladder, 0.5, |o| o.number("x")).unwrap();
        assert_eq!((estimate.value, estimate.interval), (0.0, [0.0; 2]));
    }
}
