//! The mean-field trajectory of every neuron, before the hinge gates.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::Rule;
use super::draw::{figure, linear, median, over_time, panel, series};
use super::measure::{check_rungs, means};
use super::{Claim, Judgement, before_the_hinge};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::mean_field::{gating_onset, mean_field};

/// Derived: mean-field trajectory.
pub struct MeanField;

const SOURCE: &str = "Derived: mean-field trajectory";

impl Claim for MeanField {
    fn id(&self) -> &'static str {
        "mean-field"
    }

    fn title(&self) -> &'static str {
        "Mean-field trajectories"
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn statement(&self) -> &'static str {
        "Before the hinge gates any example, every neuron follows from its own start the expected gradient with Gaussian \
         pre-activations, E[z_j 1(s ≥ 0) | y] ≈ μ_j Φ(M_y/S) + c σ_j² (v_kj/S) φ(M_y/S), c = y for core and 1 for \
         background features; no constant is fitted."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::features(settings)
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features] = ladders else { return Ok(Judgement::default()) };
        // Every run beside its own prediction; the prediction is made once.
        let predictions: Vec<(Arc<Trajectory>, Trajectory)> =
            features.runs().map(|run| (Arc::clone(run), mean_field(run))).collect();
        let predicted = |run: &Trajectory| predictions.iter().find(|(r, _)| std::ptr::eq(&**r, run)).map(|(_, p)| p);
        let rule = Rule::within(
            0.98,
            1.02,
            "1 % for the Gaussian step and as much for the interval: with d₀ = 16 uniform features and Gaussian weights the \
             kurtosis of a pre-activation is about −0.2, which moves an activation probability by at most 0.005",
        );
        let t1 = |run: &Trajectory| ladders::t1(settings, &run.spec);
        // The last record before the prediction has a thousandth of the examples gated.
        let onset = |run: &Trajectory| {
            let prediction = predicted(run)?;
            let gated = gating_onset(prediction, 0.001).unwrap_or(u64::MAX);
            run.records.iter().map(|record| record.step).rfind(|&step| step < gated)
        };
        let check =
            |quantity: &str, step: &dyn Fn(&Trajectory) -> Option<u64>, value: &dyn Fn(&Trajectory, &Record) -> f64| {
                let at = |run: &Trajectory, step: Option<u64>| {
                    step.and_then(|step| run.at(step)).map_or(f64::NAN, |record| value(run, record))
                };
                let ratios =
                    means(features, |run| at(run, step(run)) / predicted(run).map_or(f64::NAN, |p| at(p, step(run))))?;
                let one: Vec<Point> = features.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
                Ok::<_, StatsError>(check_rungs(quantity, SOURCE, features, &ratios, Some(&one), rule))
            };
        let core = |run: &Trajectory, record: &Record| median(&run.aligned_core(record));
        let background = |_: &Trajectory, record: &Record| median(&record.neurons.background);
        let at_t1 = |run: &Trajectory| Some(t1(run));
        let checks = vec![
            check("y Σ_core μ⟨w,m⟩ at T₁ over its prediction (median neurons)", &at_t1, &core)?,
            check("Σ_bg μ⟨w,m⟩ at T₁ over its prediction (median neurons)", &at_t1, &background)?,
            check(
                "y Σ_core μ⟨w,m⟩ at the last record before the hinge gates, over its prediction (median neurons)",
                &onset,
                &core,
            )?,
            check(
                "Σ_bg μ⟨w,m⟩ at the last record before the hinge gates, over its prediction (median neurons)",
                &onset,
                &background,
            )?,
        ];
        Ok(Judgement {
            checks,
            assumptions: vec![before_the_hinge(settings, features)],
            figures: vec![error_figure(features, &predicted)],
        })
    }
}

fn error_figure<'a>(
    features: &Measured,
    predicted: &dyn Fn(&Trajectory) -> Option<&'a Trajectory>,
) -> crate::report::model::Figure {
    let mut core = vec![];
    let mut background = vec![];
    let mut other = vec![];
    for (color, rung) in features.rungs.iter().enumerate() {
        let Some((run, prediction)) = rung.runs.first().and_then(|run| Some((run, predicted(run)?))) else { continue };
        let unit = ladders::feature_unit(&run.spec);
        let name = format!("d₀ = {}", rung.size);
        let ratio = |value: &dyn Fn(&Trajectory, &Record) -> f64| {
            let mut points = over_time(run, |step| step as f64 / unit, |record| value(run, record));
            let other = over_time(prediction, |step| step as f64, |record| value(prediction, record));
            for (point, other) in points.iter_mut().zip(other) {
                point.y /= other.y;
                (point.lo, point.hi) = (point.y, point.y);
            }
            points.retain(|point| point.x >= 1.0);
            points
        };
        core.push(series(&name, Mark::Line, color, ratio(&|run, record| median(&run.aligned_core(record)))));
        background.push(series(&name, Mark::Line, color, ratio(&|_, record| median(&record.neurons.background))));
        other.push(series(&name, Mark::Line, color, ratio(&|_, record| median(&record.neurons.other.p))));
    }
    let axes = |title: &str, series| {
        let mut y = linear("measured / predicted");
        y.range = Some([0.8, 1.1]);
        panel(title, linear("time t / (m/(ηd₀))"), y, series)
    };
    figure(
        "mean-field",
        "Measured over predicted",
        "Ratio of the medians over neurons, one run a size. The prediction assumes that the hinge gates no example; where \
         it begins to, near t = 14, the ratio departs from 1. Right: the median neuron's activation on the other class, \
         measured on the evaluation examples, whose noise shows.",
        vec![axes("core", core), axes("background", background), axes("p_oth", other)],
    )
}
