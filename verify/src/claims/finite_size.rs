//! Statements that hold at every finite size, with their constants: a violation is a defect of the code or of the statement.
//!
//! Each compares what was measured on fresh examples with a bound, for every neuron, feature, class and recorded step at
//! once. What chance may add to the bound is a tail inequality at each comparison's share of the check's error; the
//! check is on the worst comparison, in units of what it may be.

use feature_contamination::probe::drift_samples;
use feature_contamination::{Distribution, Probe, Record, RunSpec, Trajectory};

use super::check::{CONFIDENCE, Estimate, FAMILY_ERROR, MAX_CHECKS, Rule, check};
use super::draw::{BLACK, figure, linear, panel, series};
use super::{Assumption, Claim, Judgement};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::{StatsError, bonferroni, clopper_pearson};
use crate::theory::bounds::{batch_noise, bernstein, berry_esseen_of, envelope, squared_decays};
use crate::theory::growth_time;

/// Derived: gradient sandwich.
pub struct Sandwich;
/// Derived: Berry–Esseen.
pub struct BerryEsseen;
/// Derived: batch noise.
pub struct BatchNoise;

/// Every point of a cloud is one of this many comparisons; a prime, so that all features have their turn.
const DRAWN: usize = 17;

/// Features are drawn in single precision, whatever weights have.
const DRAWN_ROUNDOFF: f64 = 0.5 * f32::EPSILON as f64;

impl Claim for Sandwich {
    fn id(&self) -> &'static str {
        "sandwich"
    }

    fn title(&self) -> &'static str {
        "Gradient sandwich"
    }

    fn source(&self) -> &'static str {
        "Derived: gradient sandwich"
    }

    fn statement(&self) -> &'static str {
        "For every neuron k, feature j and label y, at any weights: μ_j Pr[s₋ⱼ ≥ |v_kj|] ≤ E[z_j 1(s ≥ 0)] ≤ \
         μ_j Pr[s₋ⱼ ≥ −|v_kj|] given y, where s = ⟨v_k,x̃⟩ and s₋ⱼ is its sum without j: z_j ∈ [0, 1] can turn the sign of s \
         only where |s₋ⱼ| ≤ |v_kj|, and is independent of s₋ⱼ."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::finite_size(settings)
    }

    fn judge(&self, _: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [runs] = ladders else { return Ok(Judgement::default()) };
        let count = comparisons(runs, |run| 4 * run.spec.m * run.spec.data.d0());
        let log = log_share(count);
        let (mut lower, mut upper) = (Worst::default(), Worst::default());
        let mut points = [vec![], vec![]];
        for (run, record, probe) in probes(runs) {
            let laws = Laws::of(run);
            for class in 0..2 {
                for (at, &gated) in probe.gated[class].iter().enumerate() {
                    let law = &laws.0[at % laws.0.len()];
                    // Given the other features, Σ z_j over the examples counted is a sum of so many independent draws.
                    let allowed = |count: f64| bernstein(count * law.variance, law.reach, log) + count * DRAWN_ROUNDOFF;
                    let (surely, possibly) = (probe.surely[class][at], probe.possibly[class][at]);
                    lower.add(law.mean * surely - gated, allowed(surely));
                    upper.add(gated - law.mean * possibly, allowed(possibly));
                    if at % DRAWN == 0 && is_last(run, record) {
                        let n = probe.totals[class] as f64;
                        points[0].push(Point::at(law.mean * surely / n, gated / n));
                        points[1].push(Point::at(law.mean * possibly / n, gated / n));
                    }
                }
            }
        }
        let rule = Rule::at_most(
            1.0,
            "1 is what chance may add: Bernstein's inequality with the feature's own variance, given the other features, at \
             this comparison's share of the error",
        );
        let [below, above] = points;
        Ok(Judgement {
            checks: vec![
                worst_of("μ_j Pr[s₋ⱼ ≥ |v_kj|] above E[z_j 1(s ≥ 0)]", self.source(), &lower, count, rule),
                worst_of("E[z_j 1(s ≥ 0)] above μ_j Pr[s₋ⱼ ≥ −|v_kj|]", self.source(), &upper, count, rule),
            ],
            assumptions: vec![unit_features(runs)],
            figures: vec![cloud(
                "sandwich",
                "The gradient between its bounds",
                "E[z_j 1(s ≥ 0)] given the label against its bounds, one neuron and feature in seventeen, the last probe of every \
                 run. Lower bounds lie at the left of the diagonal and upper ones at its right, up to chance.",
                ("bound", "E[z_j 1(s ≥ 0)]"),
                vec![("lower bound", below), ("upper bound", above)],
            )],
        })
    }
}

impl Claim for BerryEsseen {
    fn id(&self) -> &'static str {
        "berry-esseen"
    }

    fn title(&self) -> &'static str {
        "Activation probabilities are normal ones, with an explicit error"
    }

    fn source(&self) -> &'static str {
        "Derived: Berry–Esseen"
    }

    fn statement(&self) -> &'static str {
        "For every neuron and label y, at any weights: |Pr[s ≥ 0 | y] − Φ(M_y/S)| ≤ 0.56 Σ_j |v_kj|³ E|z_j−μ_j|³ / S³, with \
         M_y = y Σ_core μ_j v_kj + Σ_bg μ_j v_kj and S² = Σ_j σ_j² v_kj². The constant is Shevtsova's (2010) for independent \
         summands of unlike laws."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::finite_size(settings)
    }

    fn judge(&self, _: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [runs] = ladders else { return Ok(Judgement::default()) };
        let count = comparisons(runs, |run| 2 * run.spec.m);
        let confidence = bonferroni(CONFIDENCE, count as u64);
        let mut worst = Worst::default();
        let mut points = vec![];
        for (run, record, probe) in probes(runs) {
            let neurons = &record.neurons;
            for k in 0..run.spec.m {
                for (frequencies, side) in [(&neurons.own, 1.0), (&neurons.other, -1.0)] {
                    let mean = side * f64::from(run.signs[k]) * neurons.core[k] + neurons.background[k];
                    let bound = berry_esseen_of(mean, neurons.variance[k], probe.third[k]);
                    let [low, high] = clopper_pearson(frequencies.successes(k), frequencies.trials[k], confidence)?;
                    worst.add((low - bound.normal).max(bound.normal - high), bound.error);
                    points.push(Point::at(bound.error, (frequencies.p[k] - bound.normal).abs()));
                }
            }
        }
        let rule = Rule::at_most(
            1.0,
            "1 is the theorem's bound; the distance is from the nearest end of Clopper–Pearson's interval at this \
             comparison's share of the error, so that no normal approximation judges one",
        );
        Ok(Judgement {
            checks: vec![worst_of("|Pr[s ≥ 0 | y] − Φ(M_y/S)| over its bound", self.source(), &worst, count, rule)],
            assumptions: vec![],
            figures: vec![cloud(
                "berry-esseen",
                "Distance from the normal law, and its bound",
                "Every neuron, both labels, every probe; the frequency's own error included. The theorem holds below the \
                 diagonal; that the cloud lies far below says how good the Gaussian step of the predictions is.",
                ("Berry–Esseen bound", "|p − Φ(M/S)|"),
                vec![("neurons", points)],
            )],
        })
    }
}

impl Claim for BatchNoise {
    fn id(&self) -> &'static str {
        "batch-noise"
    }

    fn title(&self) -> &'static str {
        "Steps are expected gradients, up to the batches' noise"
    }

    fn source(&self) -> &'static str {
        "Derived: batch noise"
    }

    fn statement(&self) -> &'static str {
        "At every neuron and feature, what a step adds to α v_kj m/η is the mean of y 1[y h < 1] 1[s ≥ 0] x̃_j up to \
         √(½ L (1/N + 1/n)) for core and √(2 E z² L (1/N + 1/n)) + O(L/N) for background features, if that mean is taken over n \
         fresh examples; and the steps from the start to t add up to the expected ones up to the same times √t, since batches \
         are fresh and their noise is a martingale. L is the logarithm of twice the comparisons over the error."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::finite_size(settings)
    }

    fn judge(&self, _: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [runs] = ladders else { return Ok(Judgement::default()) };
        let count = comparisons(runs, |run| run.spec.m * run.spec.data.d0());
        // Two sides.
        let log = log_share(2 * count);
        // Of one step and of all of them; core and background.
        let mut worst: [[Worst; 2]; 2] = Default::default();
        let mut points = [vec![], vec![]];
        for (run, record, probe) in probes(runs) {
            let (laws, spec) = (Laws::of(run), &run.spec);
            let (d0, d_core) = (laws.0.len(), spec.data.core.count);
            let (unit, roundoff) = (spec.m as f64 / spec.learning_rate, 0.5 * spec.precision.epsilon());
            let start = run.initial.iter().fold(0.0, |largest: f64, &v| largest.max(f64::from(v.abs())));
            let largest = record.max_abs_core.max(record.max_abs_background);
            let sums = [
                (
                    &probe.taken,
                    &probe.expected,
                    (spec.batch, spec.eval_samples),
                    1.0,
                    // The step's own, as in `bounds::envelope`, and the sum's: N roundings of what is at most N.
                    roundoff * (3.0 * largest * unit + 5.0 + spec.batch as f64),
                ),
                (
                    &probe.drift_taken,
                    &probe.drift_expected,
                    (spec.batch, drift_samples(spec)),
                    squared_decays(spec, record.step),
                    envelope(spec, record.step, start).rounding * unit
                        + roundoff * (spec.batch + drift_samples(spec)) as f64 * growth_time(spec, record.step)
                            / spec.learning_rate,
                ),
            ];
            for ((taken, expected, sizes, squares, rounding), worst) in sums.into_iter().zip(&mut worst) {
                let noise =
                    |(j, law): (usize, &Law<'_>)| batch_noise(law.law, j < d_core, sizes, squares, log) + rounding;
                let allowed: Vec<f64> = laws.0.iter().enumerate().map(noise).collect();
                for (at, (taken, expected)) in taken.iter().zip(expected).enumerate() {
                    let j = at % d0;
                    worst[usize::from(j >= d_core)].add((taken - expected).abs(), allowed[j]);
                }
            }
            if is_last(run, record) {
                let both = probe.drift_expected.iter().zip(&probe.drift_taken).enumerate().step_by(DRAWN);
                for (at, (&expected, &taken)) in both {
                    points[usize::from(at % d0 >= d_core)].push(Point::at(expected, taken));
                }
            }
        }
        let rule = Rule::at_most(
            1.0,
            "1 is what chance may add: Azuma and Hoeffding's inequality, or Freedman's where it is the smaller, for a \
             martingale of means of bounded variables, at this comparison's share of the error",
        );
        let [of_core, of_background] = points;
        let names = [
            ["one step against the expected one, core", "one step against the expected one, background"],
            ["all steps against the expected ones, core", "all steps against the expected ones, background"],
        ];
        let checks = names.iter().flatten().zip(worst.iter().flatten());
        Ok(Judgement {
            checks: checks.map(|(name, worst)| worst_of(name, self.source(), worst, count, rule)).collect(),
            assumptions: vec![],
            figures: vec![cloud(
                "batch-noise",
                "What all steps added and what they were expected to",
                "One neuron and feature in seventeen, the last probe of every run, in units of η/m: what the steps added to the \
                 weight, decay apart, against the sum of the means over fresh examples at every step's weights.",
                ("sum of expected steps", "sum of steps taken"),
                vec![("core", of_core), ("background", of_background)],
            )],
        })
    }
}

/// A feature's law and its moments.
struct Law<'r> {
    law: &'r Distribution,
    mean: f64,
    variance: f64,
    /// `max |z − μ|`.
    reach: f64,
}

struct Laws<'r>(Vec<Law<'r>>);

impl<'r> Laws<'r> {
    fn of(run: &'r Trajectory) -> Self {
        let data = &run.spec.data;
        let group = |group: &'r feature_contamination::FeatureGroup| (0..group.count).map(|j| group.law(j));
        let law = |law: &'r Distribution| {
            let (moments, (low, high)) = (law.moments(), law.support());
            let mean = moments.mean();
            Law { law, mean, variance: moments.variance(), reach: (mean - low).max(high - mean) }
        };
        Self(group(&data.core).chain(group(&data.background)).map(law).collect())
    }
}

/// The greatest of what was measured over what is allowed, 0 if nothing is above 0; NaN if anything is.
#[derive(Default)]
struct Worst(f64);

impl Worst {
    fn add(&mut self, excess: f64, allowed: f64) {
        let ratio = if excess <= 0.0 { 0.0 } else { excess / allowed };
        self.0 = if ratio.is_nan() || self.0.is_nan() { f64::NAN } else { self.0.max(ratio) };
    }
}

fn worst_of(quantity: &str, source: &str, worst: &Worst, count: usize, rule: Rule) -> crate::report::model::Check {
    let estimate = Estimate { value: worst.0, interval: [worst.0; 2], confidence: CONFIDENCE };
    check(
        format!("{quantity}, in units of what is allowed: worst of {count} comparisons"),
        source,
        estimate,
        None,
        rule,
    )
}

/// Every probe with its run and record.
fn probes(runs: &Measured) -> impl Iterator<Item = (&Trajectory, &Record, &Probe)> {
    runs.runs()
        .flat_map(|run| run.records.iter().filter_map(move |record| Some((&**run, record, record.probe.as_ref()?))))
}

fn comparisons(runs: &Measured, of: impl Fn(&Trajectory) -> usize) -> usize {
    probes(runs).map(|(run, _, _)| of(run)).sum()
}

/// `ln(comparisons/δ)`, `δ` a check's share of the family's error.
fn log_share(comparisons: usize) -> f64 {
    (comparisons.max(1) as f64 * MAX_CHECKS as f64 / FAMILY_ERROR).ln()
}

fn is_last(run: &Trajectory, record: &Record) -> bool {
    run.records.last().is_some_and(|last| last.step == record.step)
}

fn unit_features(runs: &Measured) -> Assumption {
    let within = |law: &Distribution| law.support().0 >= 0.0 && law.support().1 <= 1.0;
    Assumption {
        text: "Every feature lies in [0, 1] in distribution".to_owned(),
        met: runs.runs().all(|run| Laws::of(run).0.iter().all(|law| within(law.law))),
    }
}

/// Clouds of points with the diagonal.
fn cloud(id: &str, title: &str, caption: &str, axes: (&str, &str), clouds: Vec<(&str, Vec<Point>)>) -> Figure {
    let ends = clouds
        .iter()
        .flat_map(|(_, points)| points)
        .fold((0.0_f64, 0.0_f64), |(low, high), point| (low.min(point.x), high.max(point.x)));
    let mut drawn: Vec<_> = clouds
        .into_iter()
        .enumerate()
        .map(|(color, (name, points))| series(name, Mark::Cloud, color, points))
        .collect();
    drawn.push(series("equal", Mark::Dotted, BLACK, [ends.0, ends.1].map(|x| Point::at(x, x)).to_vec()));
    figure(id, title, caption, vec![panel("", linear(axes.0), linear(axes.1), drawn)])
}
