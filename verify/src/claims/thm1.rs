//! Thm 1, activation asymmetry.

use feature_contamination::{RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, level, linear, log, mean_over_time, median, number, panel, power_law, series, unit};
use super::measure::{check_rungs, event, exponent, fractions, means, paired_exponent, points, predictions};
use super::{Claim, Judgement, paper_assumptions};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::balance::balance_root;
use crate::theory::bounds::hoeffding_silence;

/// Paper: Thm 1 (activation asymmetry).
pub struct ActivationAsymmetry;

const PAPER: &str = "Paper: Thm 1 (activation asymmetry)";

/// A neuron counts as asymmetric if it fires on more than this fraction of its own class …
const OWN: f64 = 0.9;
/// … and on less than this fraction of the other one: half of what a neuron that ignores the label does.
const OTHER: f64 = 0.25;
/// T₀ as an event: the median neuron fires on this fraction of its own class.
const SETTLED: f64 = 0.99;

impl Claim for ActivationAsymmetry {
    fn id(&self) -> &'static str {
        "thm1"
    }

    fn title(&self) -> &'static str {
        "Activation asymmetry"
    }

    fn source(&self) -> &'static str {
        PAPER
    }

    fn statement(&self) -> &'static str {
        "There is T₀ = Θ̃(m/(η√d)) such that, with high probability, Θ(m) neurons have p_own = 1 − o(1) and p_oth = o(1) \
         for all t ≥ T₀, where p_own and p_oth are the probabilities that ⟨w_k, x⟩ ≥ 0 on examples of the neuron's own \
         label, sign a_k, and of the other one."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        [ladders::features(settings), ladders::neurons(settings), ladders::dimension(settings)].concat()
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features, neurons, dimension] = ladders else { return Ok(Judgement::default()) };
        let after = |run: &Trajectory| AfterT0::of(settings, run);
        let p_oth = exponent(features, |run| median(&after(run).other))?;
        let law = exponent(features, |run| balance_root(&run.spec.data))?;
        let miss = exponent(features, |run| median(&after(run).miss))?;
        let asymmetric = fractions(neurons, |run| after(run).asymmetric())?;
        let in_m = exponent(neurons, |run| after(run).asymmetric() as f64 / run.spec.m as f64)?;
        let in_d = paired_exponent(dimension, onset)?;
        let checks = vec![
            check(
                "exponent in d₀ of p_oth (median neuron, greatest value at any recorded t ≥ T₀)",
                PAPER,
                p_oth,
                Some(law.value),
                Rule::at_most(
                    -0.2,
                    "o(1) is a negative exponent; the balance law's is −1/3 at these sizes, and at B/C = 1.2, where p_oth does \
                     not vanish, it still is −0.18",
                ),
            ),
            check(
                "exponent in d₀ of Hoeffding's bound on 1 − p_own from the weights (median neuron, greatest at any \
                 recorded t ≥ T₀)",
                PAPER,
                miss,
                None,
                Rule::decays(
                    0.1,
                    "o(1) is a negative exponent; the bound on Pr[⟨w_k,x⟩ < 0] is used because the frequency itself is \
                     0 in any sample that fits in memory",
                ),
            ),
            check_rungs(
                "fraction of neurons with p_own > 0.9 and p_oth < 0.25 at every recorded t ≥ T₀",
                PAPER,
                neurons,
                &asymmetric,
                None,
                Rule::within(
                    0.5,
                    f64::INFINITY,
                    "Θ(m) neurons: a constant fraction, here at least one half; 0.25 is half the chance that a neuron \
                     blind to the label fires",
                ),
            ),
            check(
                "exponent in m of the fraction of asymmetric neurons",
                PAPER,
                in_m,
                Some(0.0),
                Rule::within(
                    -0.1,
                    0.1,
                    "Θ(m) is exponent 0; ±0.1 is a factor 1.2 over a factor 8 in size, 1.4 over 32",
                ),
            ),
            check(
                "exponent in d of T₀, the step at which the median p_own passes 0.99, at one step size",
                "Derived: time is scale-free",
                in_d,
                Some(-0.5),
                Rule::within(
                    -0.55,
                    -0.45,
                    "√d v in the time ηt√d/m does not depend on d, so T₀ ∝ d^(−1/2) exactly; ±0.05 leaves room for \
                     the step being finite and for batch noise",
                ),
            ),
        ];
        Ok(Judgement {
            checks,
            assumptions: paper_assumptions(&[features, neurons]),
            figures: vec![
                activation_figure(settings, features),
                ladder_figure(settings, features, p_oth, &after)?,
                onset_figure(neurons, &asymmetric, dimension, in_d)?,
            ],
        })
    }
}

/// The worst that each neuron did at the recorded steps from T₀ on.
struct AfterT0 {
    /// Least `p_own`.
    own: Vec<f64>,
    /// Greatest `p_oth`.
    other: Vec<f64>,
    /// Greatest bound on `1 − p_own` (Hoeffding, from the weights).
    miss: Vec<f64>,
}

impl AfterT0 {
    fn of(settings: &Settings, run: &Trajectory) -> Self {
        let records = run.from(ladders::t0(settings, &run.spec));
        let fold =
            |start: f64, pick: fn(f64, f64) -> f64, value: &dyn Fn(&feature_contamination::Record, usize) -> f64| {
                (0..run.spec.m).map(|k| records.iter().map(|r| value(r, k)).fold(start, pick)).collect::<Vec<f64>>()
            };
        Self {
            own: fold(f64::INFINITY, f64::min, &|r, k| r.neurons.own.p[k]),
            other: fold(f64::NEG_INFINITY, f64::max, &|r, k| r.neurons.other.p[k]),
            miss: fold(f64::NEG_INFINITY, f64::max, &|r, k| {
                let own_mean = f64::from(run.signs[k]) * r.neurons.core[k] + r.neurons.background[k];
                hoeffding_silence(own_mean, r.neurons.squared_range[k])
            }),
        }
    }

    /// Number of asymmetric neurons.
    fn asymmetric(&self) -> usize {
        self.own.iter().zip(&self.other).filter(|&(&own, &other)| own > OWN && other < OTHER).count()
    }
}

/// The step at which the median `p_own` passes [`SETTLED`].
fn onset(run: &Trajectory) -> f64 {
    event(run, SETTLED, |record| median(&record.neurons.own.p))
}

fn activation_figure(settings: &Settings, features: &Measured) -> Figure {
    let mut own = vec![];
    let mut other = vec![];
    for (color, rung) in features.rungs.iter().enumerate() {
        let Some(run) = rung.runs.first() else { continue };
        let unit = ladders::feature_unit(&run.spec);
        let x = |step: u64| step as f64 / unit;
        let name = format!("d₀ = {}", rung.size);
        own.push(series(&name, Mark::Line, color, mean_over_time(rung, x, |r| median(&r.neurons.own.p))));
        other.push(series(&name, Mark::Line, color, mean_over_time(rung, x, |r| median(&r.neurons.other.p))));
        let t0 = ladders::t0(settings, &run.spec) as f64 / unit;
        let p = balance_root(&run.spec.data);
        other.push(level(&format!("balance law, d₀ = {}", rung.size), Mark::Dashed, color, p, t0, settings.times.t2));
    }
    let time = "time t / (m/(ηd₀))";
    let mut p_oth_axis = linear("p_oth (median neuron)");
    p_oth_axis.range = Some([0.0, 0.5]);
    figure(
        "thm1-activation",
        "Activation probabilities over time",
        "Median over neurons, mean over replicates. On its own class the neuron comes to fire always; on the other one it \
         falls to the balance law's root p (dashed, from T₀ on), and below it once the hinge gates near t = 16.",
        vec![
            panel("own class", log(time), unit("p_own (median neuron)"), own),
            panel("other class", log(time), p_oth_axis, other),
        ],
    )
}

fn ladder_figure(
    settings: &Settings,
    features: &Measured,
    exponent: Estimate,
    after: &dyn Fn(&Trajectory) -> AfterT0,
) -> Result<Figure, StatsError> {
    let other = points(features, &means(features, |run| median(&after(run).other))?);
    let at_t1 =
        |run: &Trajectory| run.at(ladders::t1(settings, &run.spec)).map_or(f64::NAN, |r| median(&r.neurons.other.p));
    let at_t1 = points(features, &means(features, at_t1)?);
    let law = predictions(features, |run| balance_root(&run.spec.data));
    let miss = points(features, &means(features, |run| -median(&after(run).miss).log10())?);
    Ok(figure(
        "thm1-ladder",
        "p_oth and 1 − p_own against the number of features",
        "Left: the greatest p_oth from T₀ on, and its value at T₁, beside the balance law without a fitted constant. \
         Right: decimal digits by which Hoeffding's bound puts 1 − p_own below 1; they grow with d₀, so 1 − p_own falls \
         faster than any power.",
        vec![
            panel(
                "other class",
                log("features d₀"),
                log("p_oth (median neuron)"),
                vec![
                    series("fit", Mark::Line, 0, power_law(&other, exponent)),
                    series("greatest from T₀ on", Mark::Points, 0, other),
                    series("at T₁", Mark::Points, 1, at_t1),
                    series("balance law", Mark::Dashed, BLACK, law),
                ],
            ),
            panel(
                "own class",
                log("features d₀"),
                log("−log₁₀ of the bound on 1 − p_own"),
                vec![series("smallest from T₀ on", Mark::Points, 2, miss)],
            ),
        ],
    ))
}

fn onset_figure(
    neurons: &Measured,
    asymmetric: &[Estimate],
    dimension: &Measured,
    exponent: Estimate,
) -> Result<Figure, StatsError> {
    let steps = points(dimension, &means(dimension, onset)?);
    // The law's slope through the measured mean.
    let half = Estimate::sure(-0.5);
    let sizes: Vec<f64> = neurons.rungs.iter().map(|rung| rung.size).collect();
    let (from, to) = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(1.0));
    Ok(figure(
        "thm1-onset",
        "T₀ against the ambient dimension; the fraction of asymmetric neurons",
        format!(
            "Left: the step at which the median p_own passes 0.99, at one step size; fitted exponent {}, predicted −1/2. \
             Right: neurons that are asymmetric at every recorded step from T₀ on.",
            number(exponent.value, 3)
        ),
        vec![
            panel(
                "onset",
                log("ambient dimension d"),
                log("T₀ (steps)"),
                vec![
                    series("fit", Mark::Line, 0, power_law(&steps, exponent)),
                    series("slope −1/2", Mark::Dashed, BLACK, power_law(&steps, half)),
                    series("measured", Mark::Points, 0, steps),
                ],
            ),
            panel(
                "asymmetric neurons",
                log("neurons m"),
                unit("fraction of neurons"),
                vec![
                    series("measured", Mark::Points, 1, points(neurons, asymmetric)),
                    level("required", Mark::Dotted, BLACK, 0.5, from, to),
                ],
            ),
        ],
    ))
}
