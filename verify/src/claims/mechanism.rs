//! The mechanism, eq. (7): the background's gradient is what asymmetric activation makes it.

use std::sync::Arc;

use feature_contamination::{FeatureGroup, NeuronRecord, Record, RunSpec, Trajectory};

use super::check::{Estimate, Rule};
use super::draw::{BLACK, figure, linear, log, panel, series};
use super::measure::{check_rungs, means, pooled_means};
use super::{Assumption, Claim, Judgement};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark, Point, Series};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::stats::normal::normal_upper_quantile;
use crate::theory::balance::balance_root;
use crate::theory::growth_time;
use crate::theory::normal::{self, Gate};

/// Paper: eq. (7) (mechanism).
pub struct Mechanism;

const PAPER: &str = "Paper: eq. (7) (mechanism)";
const DERIVED: &str = "Derived: mechanism";

/// Fraction of examples that the hinge must let through for a record to be looked at.
const OPEN: f64 = 0.05;
/// From this fraction down the hinge gates.
const GATES: f64 = 0.999;

impl Claim for Mechanism {
    fn id(&self) -> &'static str {
        "mechanism"
    }

    fn title(&self) -> &'static str {
        "Asymmetric activation drives the background"
    }

    fn source(&self) -> &'static str {
        PAPER
    }

    fn statement(&self) -> &'static str {
        "For background features the negative gradient's projection on m_j, for every neuron at every time, is \
         (μ_j/2m)(p_own − p_oth), up to the correlation of z_j with the gate, (σ_j² v_kj/2m)(f_own − f_oth), f = φ(M/S)/S; \
         once the hinge gates, p counts the examples with y h < 1 alone, and μ_j is the mean on those, which is smaller by a \
         relative O(d₀^(−1/2))."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        // Records on the second are close enough to follow the hinge.
        [ladders::features(settings), ladders::learning_in_features(settings)].concat()
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features, close] = ladders else { return Ok(Judgement::default()) };
        let runs: Vec<(Arc<Trajectory>, Vec<Interval>)> =
            features.runs().chain(close.runs()).map(|run| (Arc::clone(run), intervals(settings, run))).collect();
        let of = |run: &Trajectory| {
            runs.iter().find(|(r, _)| std::ptr::eq(&**r, run)).map_or(&[][..], |(_, intervals)| intervals.as_slice())
        };
        let every = |quantity: &str, source: &str, value: &dyn Fn(&Trajectory) -> f64, predicted: f64, rule: Rule| {
            let predicted: Vec<Point> = features.rungs.iter().map(|rung| Point::at(rung.size, predicted)).collect();
            let estimates: Vec<Estimate> = means(features, value)?;
            Ok::<_, StatsError>(check_rungs(quantity, source, features, &estimates, Some(&predicted), rule))
        };
        let line = |run: &Trajectory| Line::through(of(run).iter().filter(|i| i.phase != Phase::Gated));
        let ratio = |phase: Phase| {
            move |intervals: &[Interval]| {
                let sum = |f: fn(&Interval) -> &Vec<f64>| -> f64 {
                    intervals.iter().filter(|i| i.phase == phase).flat_map(f).sum()
                };
                sum(|i| &i.measured) / sum(|i| &i.predicted)
            }
        };
        let (early, similar, gated) = (ratio(Phase::Early), ratio(Phase::SelfSimilar), ratio(Phase::Gated));
        let band = "3 %: probabilities between records are taken as straight (0.3 % at 3 records an octave), the correlation's \
                    Gaussian form is right to a third of its 3 % at d₀ = 16 (1 %), frequencies in the place of probabilities \
                    flatten the slope (below 0.1 %); as much again for the interval";
        let late = pooled_means(close, |run| gated(of(run)))?;
        let ones: Vec<Point> = close.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
        let checks = vec![
            every(
                "slope of the measured on the predicted gradient, all neurons and times before the hinge gates",
                PAPER,
                &|run| line(run).slope,
                1.0,
                Rule::within(0.97, 1.03, band),
            )?,
            every(
                "intercept of that line, in units of B/2m",
                PAPER,
                &|run| line(run).intercept,
                0.0,
                Rule::within(-0.03, 0.03, band),
            )?,
            every(
                "R² of that line",
                PAPER,
                &|run| line(run).r_squared,
                1.0,
                Rule::within(
                    0.95,
                    f64::INFINITY,
                    "a batch of N = 2048 puts a deviation of 2 √(½(1 + V_b/B²)/N) = 0.03 on the gradient of one step in \
                     units of B/2m, beside 0.3 of neurons and times before T₀: 1 − R² of 1 % where intervals are one step \
                     long, and less on",
                ),
            )?,
            every(
                "measured over predicted growth before T₀, sums over neurons and times",
                PAPER,
                &|run| early(of(run)),
                1.0,
                Rule::within(0.95, 1.05, "as the slope; from T₀'s few steps batch noise leaves another 2 %"),
            )?,
            every(
                "measured over predicted growth from T₀ until the hinge gates",
                PAPER,
                &|run| similar(of(run)),
                1.0,
                Rule::within(0.97, 1.03, band),
            )?,
            check_rungs(
                "measured over predicted growth where the hinge gates",
                DERIVED,
                close,
                &late,
                Some(&ones),
                Rule::within(
                    0.95,
                    1.05,
                    "as the slope; the mean on the examples let through is a Gaussian one, by which it is lowered by up to \
                     20 % at d₀ = 16, with a relative error of a tenth (2 %)",
                ),
            ),
        ];
        Ok(Judgement {
            checks,
            assumptions: vec![Assumption {
                text: "All background features have one variance, or weights in proportion to their means: what the \
                       correlation with the gate is computed from"
                    .to_owned(),
                met: features.runs().all(|run| run.spec.data.background.laws.len() == 1),
            }],
            figures: vec![scatter_figure(&runs[..features.runs().count()]), rate_figure(features, &of)],
        })
    }
}

/// When an interval between records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before T₀: the start is remembered.
    Early,
    /// From T₀ on, every example in the hinge's linear part.
    SelfSimilar,
    /// The hinge gates.
    Gated,
}

/// The mean gradient between two records, for every neuron, in units of `B/2m`.
struct Interval {
    phase: Phase,
    /// Middle, as a step.
    step: f64,
    measured: Vec<f64>,
    predicted: Vec<f64>,
}

/// `B`, with the means that the run's background sums are weighed by.
fn weight(run: &Trajectory) -> f64 {
    run.spec.background_weights.as_ref().unwrap_or(&run.spec.data.background).squared_mean()
}

/// The intervals between neighbouring records.
///
/// Measured: the background sum that `n` steps have added, `(b_n − (1−ηλ)^n b_0) 2m/(τ_n B)`, τ the growth time. Predicted:
/// the mean over these steps of [`right_side`], taken as straight in between: the steps start at 0, …, n − 1, so that
/// the first record weighs `½ + 1/2n` and the last `½ − 1/2n`.
fn intervals(settings: &Settings, run: &Trajectory) -> Vec<Interval> {
    let spec = &run.spec;
    let t0 = ladders::t0(settings, spec);
    let b = weight(run);
    let pairs = run.records.windows(2).filter(|pair| pair[1].active_fraction >= OPEN);
    pairs
        .map(|pair| {
            let (first, last) = (&pair[0], &pair[1]);
            let n = last.step - first.step;
            let phase = if last.active_fraction < GATES {
                Phase::Gated
            } else if last.step <= t0 {
                Phase::Early
            } else {
                Phase::SelfSimilar
            };
            let unit = growth_time(spec, n) * b / (2.0 * spec.m as f64);
            let keep = spec.decay(n);
            let sums = last.neurons.background.iter().zip(&first.neurons.background);
            let early = 0.5 + 0.5 / n as f64;
            let sides = right_side(run, first).into_iter().zip(right_side(run, last));
            Interval {
                phase,
                step: f64::midpoint(first.step as f64, last.step as f64),
                measured: sums.map(|(last, first)| (last - keep * first) / unit).collect(),
                predicted: sides.map(|(first, last)| early * first + (1.0 - early) * last).collect(),
            }
        })
        .collect()
}

/// `q p_own − p_oth + σ² (Σ_bg μ v/B)(f_own − f_oth)` of every neuron, each term on the examples that the hinge lets through.
///
/// The last term is the correlation of features with the neuron's gate, `Σ_bg μ_j Cov(z_j, 1[s ≥ 0])` of Gaussian `s`; `q`
/// is that with the hinge's, [`let_through`].
fn right_side(run: &Trajectory, record: &Record) -> Vec<f64> {
    let NeuronRecord { core, background, variance, own, other, own_gated, other_gated, .. } = &record.neurons;
    let data = &run.spec.data;
    let moments = data.background.moments();
    let sigma_squared = moments.iter().map(|m| m.variance()).sum::<f64>() / moments.len() as f64;
    let b = weight(run);
    let spread =
        |group: &FeatureGroup| -> f64 { group.moments().iter().map(|m| m.mean().powi(2) * m.variance()).sum() };
    let (v_core, v_background) = (spread(&data.core), spread(&data.background));
    let p = balance_root(data);
    let rho = 1.0 / (1.0 + ((1.0 + p) / (1.0 - p)).powi(2) * v_core / v_background).sqrt();
    (0..run.spec.m)
        .map(|k| {
            let density = |sign: f64| {
                let mean = sign * f64::from(run.signs[k]) * core[k] + background[k];
                Gate::new(mean, variance[k].sqrt()).density
            };
            let open = |gated: f64, p: f64| if p > 0.0 { gated / p } else { 1.0 };
            let (own_open, other_open) = (open(own_gated[k], own.p[k]), open(other_gated[k], other.p[k]));
            let densities = density(1.0) * own_open - density(-1.0) * other_open;
            let q = if v_background > 0.0 { let_through(own_open, rho * v_background.sqrt() / data.b()) } else { 1.0 };
            q * own_gated[k] - other_gated[k] + sigma_squared * background[k] / b * densities
        })
        .collect()
}

/// `q = 1 − ρ (√V_b/B) φ(x)/Φ(x)`, `Φ(x)` the fraction of examples that the hinge lets through: the mean of `Σ_bg μ z` on
/// these, over its mean `B` on all.
///
/// Given the label, `y h` and `Σ_bg μ z` are taken as jointly Gaussian with the correlation `ρ` of the self-similar
/// direction, in which `y h` is `(1+p) Σ_core μ z + (1−p) Σ_bg μ z` up to its scale. Derived: mechanism.
fn let_through(fraction: f64, deviation: f64) -> f64 {
    match normal_upper_quantile(1.0 - fraction) {
        Ok(x) => 1.0 - deviation * normal::pdf(x) / fraction,
        // All or none.
        Err(_) => 1.0,
    }
}

/// Least squares of the measured on the predicted.
struct Line {
    slope: f64,
    intercept: f64,
    r_squared: f64,
}

impl Line {
    fn through<'a>(intervals: impl Iterator<Item = &'a Interval>) -> Self {
        let points: Vec<(f64, f64)> =
            intervals.flat_map(|i| i.predicted.iter().copied().zip(i.measured.iter().copied())).collect();
        let n = points.len() as f64;
        let (x_mean, y_mean) =
            (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let sum = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| f(x - x_mean, y - y_mean)).sum::<f64>();
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        let slope = xy / xx;
        let unexplained = sum(&|x, y| (y - slope * x).powi(2));
        Self { slope, intercept: y_mean - slope * x_mean, r_squared: 1.0 - unexplained / yy }
    }
}

/// Points that a cloud shows at most.
const CLOUD: usize = 700;

fn scatter_figure(runs: &[(Arc<Trajectory>, Vec<Interval>)]) -> Figure {
    let named = [(Phase::Early, "before T₀"), (Phase::SelfSimilar, "from T₀ on"), (Phase::Gated, "the hinge gates")];
    let picked = [runs.first(), runs.last()].into_iter().flatten();
    let panels = picked.map(|(run, intervals)| {
        let clouds = named.iter().enumerate().map(|(color, &(phase, name))| {
            let points: Vec<Point> = intervals
                .iter()
                .filter(|interval| interval.phase == phase)
                .flat_map(|i| i.predicted.iter().zip(&i.measured).map(|(&x, &y)| Point::at(x, y)))
                .collect();
            // Every so many, neurons and times alike.
            let stride = points.len().div_ceil(CLOUD).max(1) | 1;
            series(name, Mark::Cloud, color, points.into_iter().step_by(stride).collect())
        });
        let mut all: Vec<Series> = clouds.collect();
        all.push(series("eq. (7)", Mark::Dashed, BLACK, vec![Point::at(-1.0, -1.0), Point::at(1.0, 1.0)]));
        let title = format!("d₀ = {}", run.spec.data.d0());
        let x = linear("q p_own − p_oth + correlation with the gate");
        panel(title, x, linear("gradient on the background / (B/2m)"), all)
    });
    figure(
        "mechanism",
        "The background's gradient and the asymmetry of activation",
        "Every dot is a neuron between two neighbouring records of one run: what its background sum gained a step, against \
         the right side of eq. (7) on the examples that the hinge lets through. No constant is fitted.",
        panels.collect(),
    )
}

fn rate_figure<'a>(features: &Measured, of: &dyn Fn(&Trajectory) -> &'a [Interval]) -> Figure {
    let mut rates = vec![];
    for (color, rung) in features.rungs.iter().enumerate() {
        let Some(run) = rung.runs.first() else { continue };
        let unit = ladders::feature_unit(&run.spec);
        let curve = |value: fn(&Interval) -> &Vec<f64>| -> Vec<Point> {
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            of(run).iter().map(|i| Point::at(i.step / unit, mean(value(i)))).filter(|p| p.x >= 0.05).collect()
        };
        let name = format!("d₀ = {}", rung.size);
        rates.push(series(&name, Mark::Points, color, curve(|i| &i.measured)));
        rates.push(series(format!("eq. (7), {name}"), Mark::Dashed, color, curve(|i| &i.predicted)));
    }
    figure(
        "mechanism-rates",
        "Growth rate of the background over time",
        "Mean over the neurons of one run a size: the background grows once activation is asymmetric, at the self-similar \
         rate 1 − p from T₀ on, and less and less as the hinge lets fewer examples through.",
        vec![panel("", log("time t / (m/(ηd₀))"), linear("gradient on the background / (B/2m)"), rates)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::mean_field::mean_field;

    /// The mean field's own trajectory satisfies the right side to the order of its steps.
    #[test]
    fn the_mean_field_has_the_slope_1() {
        let settings = Settings::profile("quick").unwrap();
        let mut spec = ladders::features(&settings)[0].rungs[1].runs[0].clone();
        spec.data = feature_contamination::DataModel::uniform(spec.data.core.count, spec.data.background.count);
        let initial = {
            let mut sampler = crate::stats::sampling::Sampler::new(4);
            let scale = (spec.d as f64).sqrt().recip();
            (0..spec.m * spec.data.d0()).map(|_| (scale * sampler.normal()) as f32).collect()
        };
        let signs = (0..spec.m).map(|k| if k % 2 == 0 { 1 } else { -1 }).collect();
        // Before the hinge gates, which the mean field leaves out.
        spec.steps = ladders::t1(&settings, &spec);
        spec.record_steps.retain(|&step| step <= spec.steps);
        let run = mean_field(&Trajectory { spec, signs, initial, records: vec![] });
        let intervals = intervals(&settings, &run);
        let line = Line::through(intervals.iter());
        assert!((line.slope - 1.0).abs() < 0.004 && line.intercept.abs() < 0.004, "{} {}", line.slope, line.intercept);
        // Straight lines between records err by up to 3 % of a gradient.
        assert!(line.r_squared > 1.0 - 0.03_f64.powi(2), "{}", line.r_squared);
        // Without the correlation the slope is off by as much as it is said to be.
        let p = &run.records.last().unwrap().neurons;
        let correlation = right_side(&run, run.records.last().unwrap())[0] - (p.own.p[0] - p.other.p[0]);
        assert!((-0.06..-0.005).contains(&correlation), "{correlation}");
    }

    #[test]
    fn the_mean_of_what_is_let_through_is_that_of_a_truncated_normal() {
        // E[u | w ≤ x] = −ρ φ(x)/Φ(x), by Monte Carlo at ρ = 0.6.
        let mut sampler = crate::stats::sampling::Sampler::new(8);
        let (mut count, mut sum, samples) = (0.0, 0.0, 200_000);
        for _ in 0..samples {
            let (u, v) = (sampler.normal(), sampler.normal());
            if 0.6 * u + 0.8 * v <= -0.3 {
                count += 1.0;
                sum += 1.0 + 0.2 * u;
            }
        }
        let q = let_through(count / f64::from(samples), 0.6 * 0.2);
        assert!((q - sum / count).abs() < 0.003, "{q} {}", sum / count);
        assert_eq!((let_through(1.0, 0.2), let_through(0.0, 0.2)), (1.0, 1.0));
    }
}
