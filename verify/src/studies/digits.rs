//! Real images: what networks make of a border that has nothing to do with the label.

use std::sync::Arc;

use feature_contamination::mlp::Activation;
use feature_contamination::rng::{Stream, derive};

use super::{Observed, Study, Task};
use crate::claims::Judgement;
use crate::claims::check::{CONFIDENCE, Estimate, Rule, check};
use crate::claims::draw::{BLACK, figure, level, linear, number, panel, series, unit};
use crate::images::border::{BORDER, Border, EDGE, INK, PIXELS};
use crate::images::training::{self, LEVELS, Spec, TRAINED_ON};
use crate::plan::{Ladder, Rung};
use crate::report::model::{Assumption, Axis, Figure, Mark, Panel, Point, Series};
use crate::settings::Settings;
use crate::stats::{StatsError, interval, mean};

/// Derived: real images.
pub struct Digits;

const PAPER: &str = "Paper: eq. (7)";
const DERIVED: &str = "Derived: real images";

/// The tints to train on: from the digits' mean grey to full ink.
const TINT: Border = Border::Tint { low: 0.0, high: INK };
/// Tints of the same variance and of mean 0.
const CENTRED: Border = Border::Tint { low: -INK / 2.0, high: INK / 2.0 };
/// Tints and textures.
const DIVERSE: Border = Border::Diverse { high: INK };

/// What networks are trained on, in the order of the plan.
const TRAININGS: [(&str, Border); 4] =
    [("no border", Border::None), ("tint", TINT), ("tint of mean 0", CENTRED), ("diverse", DIVERSE)];

/// A factor of risk that is more than nothing: a quarter.
const FACTOR: f64 = 1.25;

impl Study for Digits {
    fn id(&self) -> &'static str {
        "digits"
    }

    fn title(&self) -> &'static str {
        "Real images: handwritten digits"
    }

    fn source(&self) -> &'static str {
        DERIVED
    }

    fn statement(&self) -> &'static str {
        "A ReLU network that learns to tell odd from even handwritten digits learns the tint of a border, too, that carries no \
         information on the label: at first each neuron by its own activation asymmetry, as eq. (7) says. Where the tint is \
         turned round it errs more, and more than a network that never saw a border. If the tint's mean is 0, neurons do not \
         move along it at first, and the shift does less harm; and less if borders are diverse."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<Task>> {
        plan(settings, &|_| ())
    }

    fn judge(&self, _: &Settings, ladders: &[Ladder<Arc<Observed>>]) -> Result<Judgement, StatsError> {
        let [without, tint, centred, diverse] = ladders else { return Ok(Judgement::default()) };
        let [without, tint, centred, diverse] =
            [without, tint, centred, diverse].map(|ladder| ladder.runs().map(Arc::as_ref).collect::<Vec<_>>());
        let all = [&without, &tint, &centred, &diverse];
        let beside = |a: &[&Observed], b: &[&Observed], value: &dyn Fn(&Observed) -> f64| -> Result<_, StatsError> {
            estimate(&a.iter().zip(b).map(|(a, b)| value(a) - value(b)).collect::<Vec<_>>())
        };
        let each = |runs: &[&Observed], value: &dyn Fn(&Observed) -> f64| {
            estimate(&runs.iter().map(|run| value(run)).collect::<Vec<_>>())
        };
        let log_factor = |run: &Observed| (run.number("ood.risk") / run.number("id.risk")).ln();
        let log_errors = |run: &Observed| ((1.0 - run.number("ood.accuracy")) / (1.0 - run.number("id.accuracy"))).ln();
        let lost = |run: &Observed| run.number("id.accuracy") - run.number("ood.accuracy");
        let checks = vec![
            check(
                "early movement along the tint against eq. (7): correlation over neurons",
                PAPER,
                each(&tint, &correlation)?,
                Some(1.0),
                Rule::within(
                    0.7,
                    1.0 + 1e-9,
                    "eq. (7) explains half of the differences between neurons at least: r² ≥ 1/2",
                ),
            ),
            check(
                "early movement along the tint against eq. (7): slope",
                PAPER,
                each(&tint, &slope)?,
                Some(1.0),
                Rule::within(
                    0.25,
                    1.25,
                    "of the order that eq. (7) gives; less than 1, since a dark border opens the gates of both classes, \
                     which it leaves out",
                ),
            ),
            check(
                "the same slope where the tint's mean is 0, in units of the mean that it does not have",
                PAPER,
                each(&centred, &slope)?,
                Some(0.0),
                Rule::within(-0.25, 0.25, "eq. (7): no mean, no growth; ±1/4 is where the check above begins"),
            ),
            check(
                "share of living neurons that have moved along the tint, at the end",
                DERIVED,
                each(&tint, &moved_along)?,
                None,
                Rule::within(0.5, f64::INFINITY, "in a direction that is none, as many move against it as along"),
            ),
            check(
                "ln of the factor by which the shift raises the risk, tint over no border, paired by seed",
                DERIVED,
                beside(&tint, &without, &log_factor)?,
                None,
                Rule::within(FACTOR.ln(), f64::INFINITY, "ln 1.25: a quarter more risk, at least"),
            ),
            check(
                "ln of the factor by which the shift raises the errors, tint over no border, paired by seed",
                DERIVED,
                beside(&tint, &without, &log_errors)?,
                None,
                Rule::within(
                    0.0,
                    f64::INFINITY,
                    "it raises them, and more than those of a network that never saw a border",
                ),
            ),
            check(
                "ln of the factor of risk, tint over tint of mean 0, paired by seed",
                DERIVED,
                beside(&tint, &centred, &log_factor)?,
                None,
                Rule::within(
                    FACTOR.ln(),
                    f64::INFINITY,
                    "ln 1.25: it is the mean, by eq. (7), and not that a border varies",
                ),
            ),
            check(
                "ln of the factor of risk, tint over diverse, paired by seed",
                DERIVED,
                beside(&tint, &diverse, &log_factor)?,
                None,
                Rule::within(
                    0.0,
                    f64::INFINITY,
                    "diverse borders have a seventh of the mean tint, and the shift hurts less",
                ),
            ),
            check(
                "accuracy that an unseen border costs a network that never saw one",
                DERIVED,
                each(&without, &lost)?,
                Some(0.0),
                Rule::within(
                    -0.01,
                    0.01,
                    "its weights there stay as they started and cancel over neurons: a point of a hundred at most",
                ),
            ),
        ];
        let accuracies = all.map(|runs| each(runs, &|run| run.number("id.accuracy")));
        let lowest = accuracies.into_iter().collect::<Result<Vec<_>, _>>()?.iter().map(|e| e.value).fold(1.0, f64::min);
        let assumptions = vec![Assumption {
            text: format!(
                "The hidden layers are of use: 94 % of the held-out images in the border of training are told apart, in the mean \
                 over seeds, three of a hundred more than by a linear network (here {} % at least)",
                number(100.0 * lowest, 1)
            ),
            met: lowest >= 0.94,
        }];
        let figures = vec![
            task_figure(&tint, &diverse),
            features_figure(all),
            summary_figure(all)?,
            levels_figure(all)?,
            neurons_figure(&without, &tint, &centred),
        ];
        Ok(Judgement { checks, assumptions, figures })
    }
}

/// The networks trained on a tint with another one in the place of it.
pub fn mean_zero(settings: &Settings) -> Vec<Ladder<Task>> {
    plan(settings, &of_tint(|spec| spec.border = CENTRED))
}

/// Linear networks in the place of those trained on a tint.
pub fn identity(settings: &Settings) -> Vec<Ladder<Task>> {
    plan(settings, &of_tint(|spec| spec.activation = Activation::Identity))
}

/// The border of training in the place of the shifted one, for networks trained on a tint.
pub fn not_shifted(settings: &Settings) -> Vec<Ladder<Task>> {
    plan(settings, &of_tint(|spec| spec.shifted = spec.border))
}

/// Networks trained without a border in the place of those trained on a tint, and these in the place of all others.
pub fn exchanged(settings: &Settings) -> Vec<Ladder<Task>> {
    plan(settings, &|spec| spec.border = if spec.border == TINT { Border::None } else { TINT })
}

/// `change` of the networks trained on a tint.
fn of_tint(change: fn(&mut Spec)) -> impl Fn(&mut Spec) {
    move |spec| {
        if spec.border == TINT {
            change(spec);
        }
    }
}

/// The tasks, after `change` of each. Replicate r has the same images, start and variates everywhere.
fn plan(settings: &Settings, change: &dyn Fn(&mut Spec)) -> Vec<Ladder<Task>> {
    let digits = &settings.digits;
    let ladder = |(factor, border): (&'static str, Border)| {
        let task = |replicate: u64| {
            let mut spec = Spec {
                seed: derive(settings.seed, &[Stream::ImageOrder as u64, replicate]),
                border,
                shifted: TINT.mirrored(),
                activation: Activation::Relu,
                neurons: digits.neurons,
                steps: digits.steps,
                learning_rate: digits.learning_rate,
                momentum: digits.momentum,
            };
            change(&mut spec);
            let cost = spec.cost();
            Task::new("digits", spec, cost, training::run)
        };
        Ladder { factor, rungs: vec![Rung { size: border.mean(), runs: (0..digits.replicates).map(task).collect() }] }
    };
    TRAININGS.map(ladder).into()
}

/// Mean over seeds with Student's interval; *missing* if a value is not finite.
fn estimate(values: &[f64]) -> Result<Estimate, StatsError> {
    if !values.iter().all(|value| value.is_finite()) {
        return Ok(Estimate::missing());
    }
    let interval = interval::student_interval(values, CONFIDENCE)?;
    Ok(Estimate { value: mean(values)?, interval, confidence: CONFIDENCE })
}

/// Early movement of every neuron along the tint, predicted with the mean of [`TINT`] and measured.
fn early(run: &Observed) -> impl Iterator<Item = (f64, f64)> + '_ {
    let predicted = run.series("early.asymmetry").iter().map(|a| TINT.mean() * (BORDER as f64).sqrt() * a);
    predicted.zip(run.series("early.along").iter().copied())
}

/// Pearson's correlation of prediction and measurement.
fn correlation(run: &Observed) -> f64 {
    let n = early(run).count() as f64;
    let (x, y) = early(run).fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let sum = |f: &dyn Fn(f64, f64) -> f64| early(run).map(|p| f(p.0 - x, p.1 - y)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

/// Slope of measurement on prediction, least squares through 0.
fn slope(run: &Observed) -> f64 {
    early(run).map(|(x, y)| x * y).sum::<f64>() / early(run).map(|(x, _)| x * x).sum::<f64>()
}

/// Neurons that fire on a held-out image.
fn living(run: &Observed) -> impl Iterator<Item = usize> + '_ {
    let fires = run.series("own").iter().zip(run.series("oth")).enumerate();
    fires.filter(|(_, (own, oth))| **own + **oth > 0.0).map(|(k, _)| k)
}

/// Share of the living neurons that are further along the tint than they began.
fn moved_along(run: &Observed) -> f64 {
    let along = run.series("along");
    living(run).filter(|&k| along[k] > 0.0).count() as f64 / living(run).count() as f64
}

/// An image as a series.
fn pixels(name: String, mark: Mark, image: &[f64]) -> Series {
    // Three digits are more than a shade.
    let point =
        |(pixel, value): (usize, &f64)| Point::pixel(pixel % EDGE, pixel / EDGE, (value * 1000.0).round() / 1000.0);
    series(name, mark, 0, image.iter().enumerate().map(point).collect())
}

fn values(label: &str, range: [f64; 2]) -> Axis {
    Axis { range: Some(range), ..linear(label) }
}

/// What networks see.
fn task_figure(tint: &[&Observed], diverse: &[&Observed]) -> Figure {
    let row = |title: &str, run: Option<&&Observed>, name: &str| -> Option<Panel> {
        let run = run?;
        let images = run.series(name).chunks_exact(PIXELS).zip(run.series("examples.digit"));
        let images = images.map(|(image, digit)| {
            pixels(format!("{digit}: {}", if digit % 2.0 == 1.0 { "odd" } else { "even" }), Mark::Greys, image)
        });
        Some(panel(title, linear(""), values("input", [-INK, INK]), images.collect()))
    };
    let panels = [
        row("Trained on: tint", tint.first(), "examples.id"),
        row("Tested on: shifted", tint.first(), "examples.ood"),
        row("Trained on: diverse", diverse.first(), "examples.id"),
    ];
    figure(
        "digits-task",
        "Odd or even? Handwritten digits with a border",
        "The digits are 8 × 8 pixels, the border two pixels wide. What is in the border says nothing about the digit: a tint from the \
         digits' mean grey, an input of 0, to full ink, 0.7; shifted, the tint turned round; diverse, seven tints and \
         textures, none of them light all round. Digits: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten \
         Digits, UCI Machine Learning Repository, CC BY 4.0.",
        panels.into_iter().flatten().collect(),
    )
}

/// First-layer weights as images: early, means over living neurons of either sign and the largest of them; at the end, means.
fn features_figure(all: [&Vec<&Observed>; 4]) -> Figure {
    type Images = Vec<(String, Vec<f64>)>;
    let (mut rows, mut end) = (vec![], Images::new());
    for (runs, (name, _)) in all.into_iter().zip(TRAININGS) {
        let Some(run) = runs.first() else { continue };
        let weights = |name: &str, k: usize| run.series(name).get(k * PIXELS..(k + 1) * PIXELS).unwrap_or(&[]);
        let early = |k: usize| weights("early.weights", k);
        let size = |k: usize| early(k).iter().map(|w| w * w).sum::<f64>();
        let mean_of = |name: &str, neurons: &[usize]| -> Vec<f64> {
            let mut sums = vec![0.0; PIXELS];
            for &k in neurons {
                sums.iter_mut().zip(weights(name, k)).for_each(|(sum, w)| *sum += w / neurons.len() as f64);
            }
            sums
        };
        let classes = [("odd", 1.0), ("even", -1.0)].map(|(class, sign)| {
            let mut of: Vec<usize> = living(run).filter(|&k| run.series("sign")[k] == sign).collect();
            of.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
            (class, of)
        });
        let mut images = Images::new();
        for (class, of) in &classes {
            images.push((format!("mean, {class}"), mean_of("early.weights", of)));
            images.extend(of.iter().take(3).map(|&k| ((*class).to_owned(), early(k).to_vec())));
            end.push((format!("{name}, {class}"), mean_of("weights", of)));
        }
        rows.push((format!("Early: {name}"), images));
    }
    // One scale for what is to be compared; the largest weights may be beyond it.
    let most = |images: &mut dyn Iterator<Item = &(String, Vec<f64>)>| {
        let mut sizes: Vec<f64> = images.flat_map(|image| &image.1).map(|w| w.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.get(sizes.len() * 49 / 50).map_or(1.0, |most| (most * 10.0).ceil() / 10.0)
    };
    let row = |title: String, images: Images, most: f64| {
        let images = images.into_iter().map(|(name, image)| pixels(name, Mark::Signed, &image));
        panel(title, linear(""), values("weight", [-most, most]), images.collect())
    };
    let early_scale = most(&mut rows.iter().flat_map(|row| &row.1));
    let end_scale = most(&mut end.iter());
    let mut panels: Vec<Panel> = rows.into_iter().map(|(title, images)| row(title, images, early_scale)).collect();
    panels.push(row("At the end: means".to_owned(), end, end_scale));
    figure(
        "digits-features",
        "First-layer weights: the border can be seen",
        "One network of each kind, the same start and the same digits. Early, when the training risk has fallen below 1/2: the mean \
         over the living neurons that speak for odd or for even digits, and the three largest of them. Trained on a tint, neurons of \
         both classes take the border up with the same sign; without it, they keep there what they started with; with tints of \
         mean 0 no sign is common; with diverse ones textures show, and little tint. At the end the digits' weights are ten times as \
         large, and the means over neurons, on a scale of their own, still show the border.",
        panels,
    )
}

/// The level of the intervals in figures.
const POINTWISE: f64 = 0.95;

/// Mean over seeds with Student's interval at [`POINTWISE`].
fn point(x: f64, values: &[f64]) -> Result<Point, StatsError> {
    if !values.iter().all(|value| value.is_finite()) {
        return Ok(Point::at(x, f64::NAN));
    }
    let [lo, hi] = interval::student_interval(values, POINTWISE)?;
    Ok(Point { x, y: mean(values)?, lo, hi })
}

fn summary_figure(all: [&Vec<&Observed>; 4]) -> Result<Figure, StatsError> {
    let names: Vec<String> = TRAININGS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let of = |name: &str| -> Result<Vec<Point>, StatsError> {
        let place = |(x, runs): (usize, &Vec<&Observed>)| {
            point(x as f64, &runs.iter().map(|run| run.number(name)).collect::<Vec<_>>())
        };
        all.into_iter().enumerate().map(place).collect()
    };
    let trained = || Axis { names: names.clone(), ..linear("trained on") };
    Ok(figure(
        "digits-summary",
        "In distribution and under the shift",
        "Means over seeds with pointwise intervals of 95 %, on held-out images: in the border of training, and with the tint turned \
         round. Intervals cover the choice of images, starts and borders, not other writers.",
        vec![
            panel(
                "Accuracy",
                trained(),
                linear("accuracy"),
                vec![
                    series("in distribution", Mark::Points, 0, of("id.accuracy")?),
                    series("shifted", Mark::Points, 1, of("ood.accuracy")?),
                ],
            ),
            panel(
                "Risk",
                trained(),
                linear("risk (mean hinge loss)"),
                vec![
                    series("in distribution", Mark::Points, 0, of("id.risk")?),
                    series("shifted", Mark::Points, 1, of("ood.risk")?),
                ],
            ),
        ],
    ))
}

fn levels_figure(all: [&Vec<&Observed>; 4]) -> Result<Figure, StatsError> {
    let curves = |name: &str| -> Result<Vec<Series>, StatsError> {
        let mut curves = vec![];
        for (color, (runs, (training, _))) in all.into_iter().zip(TRAININGS).enumerate() {
            let at = |(place, &level): (usize, &f64)| {
                let values = runs.iter().map(|run| run.series(name).get(place).copied().unwrap_or(f64::NAN));
                point(level, &values.collect::<Vec<_>>())
            };
            let points: Vec<Point> = LEVELS.iter().enumerate().map(at).collect::<Result<_, _>>()?;
            curves.push(series("", Mark::Band, color, points.clone()));
            curves.push(series(training, Mark::Line, color, points));
        }
        Ok(curves)
    };
    Ok(figure(
        "digits-levels",
        "Under every tint",
        "All held-out images in a border of one tint, from light to dark; the networks trained on a tint have seen those from 0 to 0.7, \
         those trained on tints of mean 0 the ones from −0.35 to 0.35. Means over seeds with pointwise intervals of 95 %.",
        vec![
            panel("Accuracy", linear("tint of the border"), linear("accuracy"), curves("level.accuracy")?),
            panel("Risk", linear("tint of the border"), linear("risk (mean hinge loss)"), curves("level.risk")?),
        ],
    ))
}

/// Points that a cloud shows at most.
const CLOUD: usize = 700;

fn neurons_figure(without: &[&Observed], tint: &[&Observed], centred: &[&Observed]) -> Figure {
    // Every so many, seeds and neurons alike.
    let thin = |points: Vec<Point>| -> Vec<Point> {
        let stride = points.len().div_ceil(CLOUD).max(1) | 1;
        points.into_iter().step_by(stride).collect()
    };
    let moved =
        |runs: &[&Observed]| thin(runs.iter().flat_map(|run| early(run)).map(|(x, y)| Point::at(x, y)).collect());
    let frequencies = |runs: &[&Observed]| {
        let pairs = runs.iter().flat_map(|run| run.series("oth").iter().zip(run.series("own")));
        thin(pairs.map(|(&x, &y)| Point::at(x, y)).collect())
    };
    let measured = [("trained on: tint", 1, moved(tint)), ("trained on: tint of mean 0", 2, moved(centred))];
    let most = measured.iter().flat_map(|of| &of.2).map(|p| p.x.abs()).fold(0.0, f64::max);
    let mut left: Vec<Series> = measured.map(|(name, color, points)| series(name, Mark::Cloud, color, points)).into();
    left.push(series(
        "eq. (7), mean of the tint",
        Mark::Dashed,
        BLACK,
        vec![Point::at(-most, -most), Point::at(most, most)],
    ));
    left.push(level("eq. (7), mean 0", Mark::Dotted, BLACK, 0.0, -most, most));
    figure(
        "digits-neurons",
        "Neuron by neuron",
        format!(
            "Left: how far each neuron moves along the tint until the risk of the training images falls below 1/2, against eq. (7) with \
             its own activation asymmetry at every step, for the mean {} that the tint has or would have. Right: the asymmetry at \
             the end, on held-out images; odd and even is no linear task, and most neurons fire for some digits of either class. \
             Neurons of all seeds, {CLOUD} at most; {TRAINED_ON} images to train on.",
            number(TINT.mean(), 2)
        ),
        vec![
            panel("Early movement", linear("predicted by eq. (7)"), linear("movement along the tint"), left),
            panel(
                "Activation",
                unit("p_oth"),
                unit("p_own"),
                vec![
                    series("trained on: tint", Mark::Cloud, 1, frequencies(tint)),
                    series("trained on: no border", Mark::Cloud, 0, frequencies(without)),
                    series("no asymmetry", Mark::Dotted, BLACK, vec![Point::at(0.0, 0.0), Point::at(1.0, 1.0)]),
                ],
            ),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Verdict;

    /// A run by hand: risks and accuracies in the border of training and in the shifted one, and four neurons, the last of
    /// them dead.
    fn observed([id_risk, ood_risk, id_accuracy, ood_accuracy]: [f64; 4], along: [f64; 3]) -> Arc<Observed> {
        let numbers = [
            ("id.risk", id_risk),
            ("ood.risk", ood_risk),
            ("id.accuracy", id_accuracy),
            ("ood.accuracy", ood_accuracy),
        ];
        let [a, b, c] = along;
        let series = [
            ("early.asymmetry", vec![1.0, -1.0, 2.0, 0.0]),
            ("early.along", vec![a, b, c, 0.0]),
            ("along", vec![a, b, c, 9.0]),
            ("own", vec![1.0, 0.5, 0.0, 0.0]),
            ("oth", vec![0.5, 0.5, 0.5, 0.0]),
            ("sign", vec![1.0, 1.0, -1.0, -1.0]),
        ];
        Arc::new(Observed {
            numbers: numbers.map(|(name, x)| (name.to_owned(), x)).into(),
            series: series.map(|(name, values)| (name.to_owned(), values)).into(),
        })
    }

    /// Every number is one that only its own check should see.
    #[test]
    fn every_check_looks_at_its_own_networks_and_domain() {
        let ladder = |run: Arc<Observed>| Ladder { factor: "", rungs: vec![Rung { size: 0.0, runs: vec![run; 3] }] };
        // Half of what eq. (7) says: its prediction is the mean of the tint times √80 times the asymmetry.
        let half = 0.5 * 0.35 * 80f64.sqrt();
        let ladders = [
            observed([0.1, 0.125, 0.96, 0.955], [0.0; 3]),
            observed([0.1, 0.8, 0.96, 0.76], [half, -half, 2.0 * half]),
            observed([0.1, 0.25, 0.96, 0.88], [1.0, 1.0, 0.0]),
            observed([0.1, 0.2, 0.95, 0.9], [0.5; 3]),
        ]
        .map(ladder);
        let settings = Settings::profile("quick").unwrap();
        let judgement = Digits.judge(&settings, &ladders).unwrap();
        let expected = [
            1.0,
            0.5,
            0.0,
            2.0 / 3.0,
            (8.0f64 / 1.25).ln(),
            (6.0f64 / 1.125).ln(),
            (8.0f64 / 2.5).ln(),
            (8.0f64 / 2.0).ln(),
            0.005,
        ];
        assert_eq!(judgement.checks.len(), expected.len());
        for (check, expected) in judgement.checks.iter().zip(expected) {
            assert!((check.measured - expected).abs() < 1e-9, "{}: {}", check.quantity, check.measured);
            assert_eq!(check.verdict, Verdict::Holds, "{}", check.quantity);
        }
        let assumption = &judgement.assumptions[0];
        assert!(assumption.met && assumption.text.contains("here 95.0 % at least"), "{}", assumption.text);
        // Where nothing is shifted, nothing is lost.
        let [without, _, centred, diverse] = ladders;
        let tint = ladder(observed([0.1, 0.1, 0.96, 0.96], [half, -half, 2.0 * half]));
        let verdicts = Digits.judge(&settings, &[without, tint, centred, diverse]).unwrap().checks;
        let broken: Vec<usize> = (0..9).filter(|&at| verdicts[at].verdict == Verdict::Violated).collect();
        assert_eq!(broken, [4, 5, 6, 7]);
    }
}
