//! Representation distillation: a student fitted to a linear map of the core features. Derived: representation distillation.

use std::sync::Arc;

use feature_contamination::data::{Domain, Draw, Purpose};
use feature_contamination::dictionary::random_orthonormal;
use feature_contamination::mlp::{Activation, Architecture, Loss, Method, Network, Online, Optimizer};
use feature_contamination::{DataModel, Distribution, Executor, FeatureGroup, rng};
use serde::Serialize;

use super::regression::Affine;
use super::{Cost, Observed, Study, Task, TaskError};
use crate::claims::Judgement;
use crate::claims::check::Rule;
use crate::claims::draw::{BLACK, figure, level, linear, log, number, panel, series};
use crate::claims::measure::{check_rungs, means};
use crate::plan::{Ladder, Rung};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;

/// Where core features begin: below 0, so that some point the other label's way and no probe is right every time.
const CORE_LOW: f64 = -0.5;

/// The study.
pub struct Distillation;

/// What a network is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    /// The teacher's representation.
    Teacher,
    /// The same map of the background features: a teacher that knows nothing of the label.
    Background,
    /// The labels.
    Labels,
}

/// A network trained on fresh batches.
#[derive(Clone, Debug, Serialize)]
struct Spec {
    seed: u64,
    data: DataModel,
    /// Dimension of the teacher's representation.
    outputs: usize,
    target: Target,
    activation: Activation,
    m: usize,
    /// Ambient dimension: weights of the first layer start with deviation 1/√d.
    d: u64,
    batch: usize,
    steps: u64,
    learning_rate: f64,
    eval_samples: usize,
}

impl Spec {
    fn cost(&self) -> Cost {
        let (n, m, d0, outputs) = (self.batch as f64, self.m as f64, self.data.d0() as f64, self.outputs as f64);
        let rows = self.eval_samples as f64 * self.records().len() as f64;
        // Activations are passed over a few times, and drawing a number takes as long as some products.
        let flops = (self.steps as f64 * n + rows) * (6.0 * m * (d0 + outputs) + 20.0 * m + 20.0 * d0);
        let rows = n.max(self.eval_samples as f64);
        Cost { flops, bytes: 8.0 * (rows * (2.0 * m + 3.0 * d0 + 4.0 * outputs) + 4.0 * m * (d0 + outputs)) }
    }

    /// Steps at which it is looked at: powers of 2, and the last.
    fn records(&self) -> Vec<u64> {
        let powers = (1..63).map(|power| 1 << power).take_while(|&step| step < self.steps);
        powers.chain([self.steps]).collect()
    }

    fn task(self) -> Task {
        let cost = self.cost();
        Task::new("distillation", self, cost, run)
    }
}

/// Examples: features, labels, and what the teacher makes of them.
struct Sample {
    x: Vec<f32>,
    y: Vec<f64>,
    /// \[N × outputs\].
    representation: Vec<f32>,
    /// What the network is to be fitted to, \[N × its outputs\].
    targets: Vec<f32>,
}

/// Draws `n` examples and passes their core features through `teacher`, \[d_core × outputs\].
fn sample(spec: &Spec, executor: Executor, teacher: &[f64], n: usize, draw: Draw) -> Result<Sample, TaskError> {
    let (d0, d_core) = (spec.data.d0(), spec.data.core.count);
    let (mut x, mut labels) = (vec![0.0; n * d0], vec![0; n]);
    spec.data.fill(executor, draw, &mut x, &mut labels)?;
    let map = |features: &[f32]| {
        let column = |c: usize| teacher[c..].iter().step_by(spec.outputs);
        let along = |c: usize| features.iter().zip(column(c)).map(|(&x, t)| f64::from(x) * t).sum::<f64>() as f32;
        (0..spec.outputs).map(along).collect::<Vec<f32>>()
    };
    let representation: Vec<f32> = x.chunks_exact(d0).flat_map(|row| map(&row[..d_core])).collect();
    let targets = match spec.target {
        Target::Teacher => representation.clone(),
        Target::Background => x.chunks_exact(d0).flat_map(|row| map(&row[d_core..])).collect(),
        Target::Labels => labels.iter().map(|&y| f32::from(y)).collect(),
    };
    Ok(Sample { x, y: labels.iter().map(|&y| f64::from(y)).collect(), representation, targets })
}

/// The share of `values` with the sign of its label.
fn accuracy(values: &[f64], y: &[f64]) -> f64 {
    values.iter().zip(y).filter(|(value, y)| *value * *y > 0.0).count() as f64 / y.len() as f64
}

/// The mean square of what `values` are off the labels: 1 for a probe that always answers 0.
fn square_loss(values: &[f64], y: &[f64]) -> f64 {
    values.iter().zip(y).map(|(value, y)| (value - y).powi(2)).sum::<f64>() / y.len() as f64
}

/// Σ_i |h_i − r_i|² / Σ_i |r_i|².
fn error(outputs: &[f32], targets: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let off: f64 = outputs.iter().zip(targets).map(|(&h, &r)| square(f64::from(h) - f64::from(r))).sum();
    off / targets.iter().map(|&r| square(r.into())).sum::<f64>()
}

/// Trains the network and probes it. Observed, at every record: relative errors, and accuracies and square losses of a linear
/// probe on its outputs, fitted to ID examples of its own; at the end besides, those of a probe on the teacher, and the share of
/// Σ_k |a_k| |β_k| that neurons with β_k = Σ_bg v_kj > 0 have.
fn run(spec: &Spec, executor: Executor) -> Result<Observed, TaskError> {
    let (d0, d_core) = (spec.data.d0(), spec.data.core.count);
    let teacher = random_orthonormal(spec.seed, d_core, spec.outputs)?;
    let architecture = Architecture {
        inputs: d0,
        hidden: spec.m,
        layers: 2,
        activation: spec.activation,
        bias: false,
        frozen_output: false,
    };
    let outputs = match spec.target {
        Target::Teacher | Target::Background => spec.outputs,
        Target::Labels => 1,
    };
    let mut network = Network::init_to(&architecture, outputs, spec.seed)?;
    // Uniform on ±1/√d₀ has deviation 1/√(3d₀).
    let scale = (3.0 * d0 as f64 / spec.d as f64).sqrt() as f32;
    network.layers[0].weight.iter_mut().for_each(|w| *w *= scale);
    let optimizer =
        Optimizer { method: Method::Sgd { momentum: 0.9 }, learning_rate: spec.learning_rate, weight_decay: 0.0 };
    let mut online = Online::new(executor, network, Loss::Mse, optimizer)?;

    let draw = |purpose, domain, step| Draw { seed: spec.seed, purpose, domain, step, first_row: 0 };
    let evaluation =
        |domain, step| sample(spec, executor, &teacher, spec.eval_samples, draw(Purpose::Evaluate, domain, step));
    let (probed, id, ood) = (evaluation(Domain::Id, 0)?, evaluation(Domain::Id, 1)?, evaluation(Domain::Ood, 1)?);
    let mut observed = Observed::default();
    let mut record = |online: &mut Online, step: u64| -> Result<(), TaskError> {
        let probe = Affine::fit(online.outputs(&probed.x)?, outputs, &probed.y)?;
        let mut push = |name: &str, value: f64| observed.series.entry(name.to_owned()).or_default().push(value);
        push("step", step as f64);
        for (domain, sample) in [("id", &id), ("ood", &ood)] {
            let h = online.outputs(&sample.x)?;
            push(&format!("{domain}-error"), error(h, &sample.targets));
            let values = probe.values(h);
            push(&format!("{domain}-accuracy"), accuracy(&values, &sample.y));
            push(&format!("{domain}-loss"), square_loss(&values, &sample.y));
        }
        Ok(())
    };
    let mut records = spec.records().into_iter().peekable();
    for step in 0..spec.steps {
        let batch = sample(spec, executor, &teacher, spec.batch, draw(Purpose::Train, Domain::Id, step))?;
        online.step(&batch.x, &batch.targets)?;
        if records.next_if_eq(&(step + 1)).is_some() {
            record(&mut online, step + 1)?;
        }
    }
    let probe = Affine::fit(&probed.representation, spec.outputs, &probed.y)?;
    for (domain, sample) in [("id", &id), ("ood", &ood)] {
        let values = probe.values(&sample.representation);
        observed.numbers.insert(format!("{domain}-teacher-accuracy"), accuracy(&values, &sample.y));
        observed.numbers.insert(format!("{domain}-teacher-loss"), square_loss(&values, &sample.y));
    }
    let [first, output] = &online.network().layers[..] else { return Ok(observed) };
    let (mut upward, mut total) = (0.0, 0.0);
    for (k, v) in first.weight.chunks_exact(d0).enumerate() {
        let sum: f64 = v[d_core..].iter().map(|&v| f64::from(v)).sum();
        let a = output.weight[k..].iter().step_by(spec.m).map(|&a| f64::from(a).powi(2)).sum::<f64>().sqrt();
        (upward, total) = (upward + a * sum.max(0.0), total + a * sum.abs());
    }
    observed.numbers.insert("background-up".to_owned(), upward / total);
    Ok(observed)
}

/// A series' last value.
fn last(observed: &Observed, name: &str) -> f64 {
    observed.series(name).last().copied().unwrap_or(f64::NAN)
}

/// Square loss that a probe on the network has beyond one on the teacher, on the same examples.
fn lost(observed: &Observed, domain: &str) -> f64 {
    last(observed, &format!("{domain}-loss")) - observed.number(&format!("{domain}-teacher-loss"))
}

/// Ladders in the number of neurons of the ReLU student, the linear student and the ReLU network on labels, after `change`
/// of each spec, given the ladder. Replicate `r` has the same random numbers in all of them.
fn ladders(settings: &Settings, change: impl Fn(usize, &mut Spec)) -> Vec<Ladder<Task>> {
    let of = &settings.distillation;
    let kinds = [
        (Target::Teacher, Activation::Relu),
        (Target::Teacher, Activation::Identity),
        (Target::Labels, Activation::Relu),
    ];
    let ladder = |(index, (target, activation)): (usize, (Target, Activation))| {
        let spec = |m: usize, r: u64| {
            let mut spec = Spec {
                seed: rng::derive(settings.seed, &[0xd157, r]),
                data: DataModel {
                    core: FeatureGroup::same(of.d_core, Distribution::Uniform { low: CORE_LOW, high: 1.0 }),
                    ..DataModel::uniform(of.d_core, of.d_bg)
                },
                outputs: of.outputs,
                target,
                activation,
                m,
                d: of.d,
                batch: of.batch,
                steps: of.steps,
                learning_rate: of.learning_rate,
                eval_samples: of.eval_samples,
            };
            change(index, &mut spec);
            spec
        };
        let rung = |&m: &usize| Rung { size: m as f64, runs: (0..of.replicates).map(|r| spec(m, r).task()).collect() };
        Ladder { factor: "m", rungs: of.m.iter().map(rung).collect() }
    };
    kinds.into_iter().enumerate().map(ladder).collect()
}

/// Control: the ReLU student is linear.
pub(crate) fn linear_student(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |index, spec| {
        if index == 0 {
            spec.activation = Activation::Identity;
        }
    })
}

/// Control: the linear student is a ReLU network.
pub(crate) fn relu_student(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |index, spec| {
        if index == 1 {
            spec.activation = Activation::Relu;
        }
    })
}

/// Control: the background is not shifted.
pub(crate) fn ood_is_id(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |_, spec| spec.data.background_ood = spec.data.background.clone())
}

/// Control: the background has mean 0 in training.
pub(crate) fn symmetric_background(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |_, spec| spec.data.background.laws = vec![Distribution::Uniform { low: -1.0, high: 1.0 }])
}

/// Control: the background in the core's place in what students are fitted to.
pub(crate) fn background_teacher(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |_, spec| {
        if spec.target == Target::Teacher {
            spec.target = Target::Background;
        }
    })
}

/// Control: networks of one hidden neuron.
pub(crate) fn one_neuron(settings: &Settings) -> Vec<Ladder<Task>> {
    ladders(settings, |_, spec| spec.m = 1)
}

impl Study for Distillation {
    fn id(&self) -> &'static str {
        "distillation"
    }

    fn title(&self) -> &'static str {
        "Representation distillation: a linear teacher's representation, fitted by a ReLU student"
    }

    fn source(&self) -> &'static str {
        "Derived: representation distillation"
    }

    fn statement(&self) -> &'static str {
        "A ReLU student that fits the teacher's representation closely on ID data does not have its OOD generalisation: under \
         the shift most of the representation is gone, and a linear probe on it loses what one on the teacher keeps. A linear \
         student has it. No label is used."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<Task>> {
        ladders(settings, |_, _| ())
    }

    fn judge(&self, _: &Settings, ladders: &[Ladder<Arc<Observed>>]) -> Result<Judgement, StatsError> {
        let [relu, straight, labels] = ladders else { return Ok(Judgement::default()) };
        let check = |quantity: &str,
                     ladder: &Ladder<Arc<Observed>>,
                     value: &dyn Fn(&Observed) -> f64,
                     predicted: Option<f64>,
                     rule| {
            let predicted: Option<Vec<Point>> =
                predicted.map(|y| ladder.rungs.iter().map(|rung| Point::at(rung.size, y)).collect());
            let estimates = means(ladder, value)?;
            Ok::<_, StatsError>(check_rungs(quantity, self.source(), ladder, &estimates, predicted.as_deref(), rule))
        };
        let close = "its ID fit is close: less than a twentieth of the representation is not fitted";
        let same = "a probe on it is as good as one on the teacher, to a fiftieth of the loss of one that answers 0";
        let checks = vec![
            check(
                "ReLU student, ID error over |r|²",
                relu,
                &|o| last(o, "id-error"),
                None,
                Rule::at_most(0.05, close),
            )?,
            check(
                "ReLU student, OOD error over |r|²",
                relu,
                &|o| last(o, "ood-error"),
                Some(1.0),
                Rule::within(
                    0.5,
                    f64::INFINITY,
                    "half of the representation is lost, ten times what the ID fit may leave; 1 if all is below its threshold",
                ),
            )?,
            check(
                "square loss of a probe, ID: on the ReLU student less on the teacher",
                relu,
                &|o| lost(o, "id"),
                Some(0.0),
                Rule::within(-0.02, 0.02, same),
            )?,
            check(
                "square loss of a probe, OOD: on the ReLU student less on the teacher",
                relu,
                &|o| lost(o, "ood"),
                None,
                Rule::within(0.2, f64::INFINITY, "ten times what the two may differ by ID"),
            )?,
            check(
                "ReLU student, share of Σ_k |a_k| |β_k|, β_k = Σ_bg v_kj, with β_k > 0",
                relu,
                &|o| o.number("background-up"),
                Some(1.0),
                Rule::within(
                    0.9,
                    f64::INFINITY,
                    "every neuron is pushed upward whatever its output weights; a background without mean leaves one half",
                ),
            )?,
            check(
                "linear student, OOD error over |r|²",
                straight,
                &|o| last(o, "ood-error"),
                Some(0.0),
                Rule::at_most(0.05, "as close as the ID fit has to be"),
            )?,
            check(
                "square loss of a probe, OOD: on the linear student less on the teacher",
                straight,
                &|o| lost(o, "ood"),
                Some(0.0),
                Rule::within(-0.02, 0.02, same),
            )?,
            check(
                "ln of the square loss of a probe on the ReLU network that learned labels, OOD over ID",
                labels,
                &|o| (last(o, "ood-loss") / last(o, "id-loss")).ln(),
                None,
                Rule::within(
                    2f64.ln(),
                    f64::INFINITY,
                    "ln 2: labels contaminate as well (Thm 3), the shift doubles the loss",
                ),
            )?,
        ];
        Ok(Judgement { checks, figures: vec![scatter(relu, straight, labels)?], ..Judgement::default() })
    }
}

/// OOD against ID accuracy of every network at every record; errors in training, of the widest networks.
fn scatter(
    relu: &Ladder<Arc<Observed>>,
    straight: &Ladder<Arc<Observed>>,
    labels: &Ladder<Arc<Observed>>,
) -> Result<Figure, StatsError> {
    let cloud = |ladder: &Ladder<Arc<Observed>>| -> Vec<Point> {
        let points = |o: &Arc<Observed>| -> Vec<Point> {
            let pairs = o.series("id-accuracy").iter().zip(o.series("ood-accuracy"));
            pairs.map(|(&id, &ood)| Point::at(id, ood)).collect()
        };
        ladder.runs().flat_map(points).collect()
    };
    let teacher =
        straight.runs().map(|o| Point::at(o.number("id-teacher-accuracy"), o.number("ood-teacher-accuracy"))).collect();
    let accuracy = panel(
        "accuracy of a linear probe",
        linear("in distribution (ID)"),
        linear("under the shift (OOD)"),
        vec![
            series("ID = OOD", Mark::Dotted, BLACK, vec![Point::at(0.5, 0.5), Point::at(1.0, 1.0)]),
            series("ReLU on labels", Mark::Cloud, 4, cloud(labels)),
            series("ReLU student", Mark::Cloud, 1, cloud(relu)),
            series("linear student", Mark::Cloud, 0, cloud(straight)),
            series("teacher", Mark::Points, 2, teacher),
        ],
    );
    let over_time = |ladder: &Ladder<Arc<Observed>>, name: &str| -> Result<Vec<Point>, StatsError> {
        let Some(rung) = ladder.rungs.last() else { return Ok(vec![]) };
        let steps = rung.runs.first().map_or(&[][..], |o| o.series("step"));
        let at = |index: usize| {
            let values = || rung.runs.iter().filter_map(|o| o.series(name).get(index).copied());
            let mean = values().sum::<f64>() / rung.runs.len() as f64;
            let (lo, hi) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), x| (lo.min(x), hi.max(x)));
            Point { x: steps[index], y: mean, lo, hi }
        };
        Ok((0..steps.len()).map(at).collect())
    };
    let mut drawn = vec![];
    for (name, ladder, color) in [("ReLU student", relu, 1), ("linear student", straight, 0)] {
        for (domain, mark, key) in [("OOD", Mark::Line, "ood-error"), ("ID", Mark::Dashed, "id-error")] {
            let points = over_time(ladder, key)?;
            drawn.push(series("", Mark::Band, color, points.clone()));
            drawn.push(series(format!("{name}, {domain}"), mark, color, points));
        }
    }
    let last_step = relu.runs().next().map_or(1.0, |o| last(o, "step"));
    drawn.push(level("bounds of the claim", Mark::Dotted, BLACK, 0.5, 2.0, last_step));
    drawn.push(level("", Mark::Dotted, BLACK, 0.05, 2.0, last_step));
    let errors = panel("error over the representation's square", log("steps"), log("error"), drawn);
    let mean = |ladder: &Ladder<Arc<Observed>>, value: &dyn Fn(&Observed) -> f64| {
        let values: Vec<f64> = ladder.runs().map(|o| value(o)).collect();
        number(values.iter().sum::<f64>() / values.len() as f64, 2)
    };
    let ood = |o: &Observed| last(o, "ood-accuracy");
    Ok(figure(
        "distillation",
        "Students of one teacher",
        format!(
            "Left: every network of every width and seed at 2, 4, 8, … steps, by the accuracy of a linear probe in distribution and \
             under the shift. Linear students stay on the line; ReLU students leave it as they fit, and so does the same network on \
             labels. Mean OOD accuracy at the end: teacher {}, linear student {}, ReLU student {}, ReLU on labels {}. A ReLU student's \
             shifted outputs are so small that their sign, seed by seed, is a matter of the probe's intercept: its accuracy is \
             anything from 1/2 to the teacher's and above, and no check rests on it. Right: the widest students' errors, mean and \
             range over seeds. The ReLU student's ID error falls while its OOD error stays near 1, all that there is.",
            mean(straight, &|o| o.number("ood-teacher-accuracy")),
            mean(straight, &ood),
            mean(relu, &ood),
            mean(labels, &ood),
        ),
        vec![accuracy, errors],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Verdict;

    fn spec(outputs: usize, activation: Activation) -> Spec {
        Spec {
            seed: 5,
            data: DataModel {
                core: FeatureGroup::same(6, Distribution::Uniform { low: CORE_LOW, high: 1.0 }),
                ..DataModel::uniform(6, 6)
            },
            outputs,
            target: Target::Teacher,
            activation,
            m: 16,
            d: 500,
            batch: 64,
            steps: 150,
            learning_rate: 0.05,
            eval_samples: 512,
        }
    }

    #[test]
    fn the_teacher_is_an_isometry_of_the_core_features() {
        let (executor, spec) = (Executor::detect().unwrap(), spec(6, Activation::Relu));
        let teacher = random_orthonormal(spec.seed, 6, 6).unwrap();
        let draw = |domain| Draw { seed: 5, purpose: Purpose::Evaluate, domain, step: 0, first_row: 0 };
        let [id, ood] = [Domain::Id, Domain::Ood].map(|d| sample(&spec, executor, &teacher, 100, draw(d)).unwrap());
        let square = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        for (x, r) in id.x.chunks(12).zip(id.representation.chunks(6)) {
            assert!((square(&x[..6]) - square(r)).abs() < 1e-5);
        }
        // The shift leaves it alone, and so it does the labels.
        assert_eq!((&id.representation, &id.y), (&ood.representation, &ood.y));
        assert_ne!(id.x, ood.x);
        assert_eq!(error(&id.representation, &id.representation), 0.0);
        assert_eq!(error(&vec![0.0; 600], &id.representation), 1.0);
        assert_eq!(accuracy(&[0.5, -1.0, 0.0, 2.0], &[1.0, 1.0, 1.0, 1.0]), 0.5);
    }

    /// Weights start with deviation 1/√d: of a million times as many dimensions the outputs are a thousandth.
    #[test]
    fn the_start_is_as_small_as_the_ambient_dimension_makes_it() {
        let error_of = |d: u64| {
            let spec = Spec { d, steps: 1, learning_rate: 1e-12, ..spec(3, Activation::Relu) };
            (last(&run(&spec, Executor::detect().unwrap()).unwrap(), "id-error") - 1.0).abs()
        };
        // |h − r|²/|r|² − 1 is −2⟨h, r⟩/|r|² and little else.
        let (few, many) = (error_of(1 << 10), error_of(1 << 30));
        assert!(few < 0.5 && (few / many - 1024.0).abs() < 300.0, "{few}, {many}");
    }

    /// A probe that was fitted to the examples that it is judged on is right about as many as it has weights.
    #[test]
    fn probes_are_judged_on_examples_that_they_have_not_seen() {
        let losses = |outputs: usize| {
            let spec = Spec { eval_samples: outputs + 1, ..spec(outputs, Activation::Identity) };
            last(&run(&spec, Executor::detect().unwrap()).unwrap(), "id-loss")
        };
        assert!(losses(6) > 0.1, "{}", losses(6));
    }

    /// Runs by hand: every number is one that only its own check should see.
    #[test]
    fn every_check_looks_at_its_own_student_and_domain() {
        let observed = |[id_error, ood_error, id_loss, ood_loss, up]: [f64; 5]| {
            let series = [
                ("step", 2.0, 4.0),
                ("id-error", 1.0, id_error),
                ("ood-error", 1.0, ood_error),
                ("id-loss", 1.0, id_loss),
                ("ood-loss", 1.0, ood_loss),
                ("id-accuracy", 0.5, 0.9),
                ("ood-accuracy", 0.5, 0.8),
            ];
            let numbers = [
                ("id-teacher-loss", 0.3),
                ("ood-teacher-loss", 0.4),
                ("id-teacher-accuracy", 0.9),
                ("ood-teacher-accuracy", 0.9),
                ("background-up", up),
            ];
            Arc::new(Observed {
                numbers: numbers.map(|(name, x)| (name.to_owned(), x)).into(),
                series: series.map(|(name, first, last)| (name.to_owned(), vec![first, last])).into(),
            })
        };
        let ladder = |values| Ladder { factor: "m", rungs: vec![Rung { size: 8.0, runs: vec![observed(values); 3] }] };
        let [relu, straight] = [[0.02, 0.875, 0.3125, 1.4, 0.95], [0.01, 0.03, 0.3, 0.4125, 0.5]].map(ladder);
        let judged = |ladders: [&Ladder<Arc<Observed>>; 3]| {
            let settings = Settings::profile("quick").unwrap();
            let checks = Distillation.judge(&settings, &ladders.map(Clone::clone)).unwrap().checks;
            let measured: Vec<f64> = checks.iter().map(|check| check.measured).collect();
            (measured, checks.iter().map(|check| check.verdict).collect::<Vec<_>>())
        };
        let (measured, verdicts) = judged([&relu, &straight, &relu]);
        let labels = (1.4f64 / 0.3125).ln();
        for (found, expected) in measured.iter().zip([0.02, 0.875, 0.0125, 1.0, 0.95, 0.03, 0.0125, labels]) {
            assert!((found - expected).abs() < 1e-12, "{measured:?}");
        }
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Holds), "{verdicts:?}");
        // The students in each other's place: of the checks, the two on the ID fit stand, and the one on labels.
        let (_, verdicts) = judged([&straight, &relu, &relu]);
        let stand: Vec<bool> = verdicts.iter().map(|verdict| *verdict == Verdict::Holds).collect();
        assert_eq!(stand, [true, false, true, false, false, false, false, true]);
    }

    #[test]
    fn students_of_either_kind_fit_and_one_generalises() {
        let executor = Executor::detect().unwrap();
        let observed = |activation| run(&spec(3, activation), executor).unwrap();
        let (relu, straight) = (observed(Activation::Relu), observed(Activation::Identity));
        assert_eq!(relu.series("step"), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0]);
        for student in [&relu, &straight] {
            assert!(last(student, "id-error") < 0.1, "{student:?}");
            assert_eq!(student.number("id-teacher-loss"), straight.number("id-teacher-loss"));
        }
        assert!(last(&straight, "ood-error") < 0.1, "{straight:?}");
        assert!(last(&relu, "ood-error") > 3.0 * last(&relu, "id-error"), "{relu:?}");
        // The background is above 0, and so is its push.
        assert!(relu.number("background-up") > 0.7, "{relu:?}");
        assert_eq!(observed(Activation::Relu), relu);
    }
}
