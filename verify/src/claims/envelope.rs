//! The envelope that no gradient can leave.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, linear, panel, series};
use super::{Assumption, Claim, Judgement};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::bounds;

/// Derived: envelope.
pub struct Envelope;

const SOURCE: &str = "Derived: envelope";

impl Claim for Envelope {
    fn id(&self) -> &'static str {
        "envelope"
    }

    fn title(&self) -> &'static str {
        "Envelope of every weight"
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn statement(&self) -> &'static str {
        "With α = sign a_k and g_t = (1−ηλ)^t, surely and at every step: α(v_kj − g_t v_kj⁽⁰⁾) lies in \
         [0, (1−g_t)/(λm)] for every core feature and in ±(1−g_t)/(λm) for every background feature, since y x̃_j = z_j ≥ 0 \
         on the core and |x̃_j| ≤ 1."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::features(settings)
    }

    fn judge(&self, _: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features] = ladders else { return Ok(Judgement::default()) };
        let runs: Vec<&Trajectory> = features.runs().map(Arc::as_ref).collect();
        let rule = Rule::at_most(
            1.0,
            "the statement is sure; what it may be passed by is the rounding that the weights' own single precision \
             commits over the steps, bounded in advance, and 1 is that bound",
        );
        let check = |quantity: &str, excess: &dyn Fn(&Trajectory) -> f64| {
            let worst = runs.iter().map(|run| excess(run)).fold(f64::NEG_INFINITY, maximum);
            check(quantity, SOURCE, Estimate::sure(worst), None, rule)
        };
        let weights: usize = runs.iter().map(|run| run.spec.m * run.spec.data.d0() * run.records.len()).sum();
        Ok(Judgement {
            checks: vec![
                check(
                    "excess of core weights over the exact envelope / rounding bound (worst weight, every record)",
                    &|run| excess(run, true),
                ),
                check(
                    "excess of background weights over the exact envelope / rounding bound (worst weight, every record)",
                    &|run| excess(run, false),
                ),
            ],
            assumptions: vec![Assumption {
                text: format!("Core features on [0, 1], background on [−1, 1] ({weights} recorded weights checked)"),
                met: true,
            }],
            figures: vec![figure_of(features)],
        })
    }
}

/// The larger, and NaN if either is: a NaN must not be lost in a maximum.
fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// By how much the worst weight of any record passes the exact envelope, in units of the rounding bound; 0 if none does.
/// The start, where bounds and displacements are 0, is left out.
fn excess(run: &Trajectory, core: bool) -> f64 {
    let outside = run.records.iter().filter(|record| record.step > 0).map(|record| {
        let bounds = bounds_at(run, record);
        let ([low, high], (least, greatest)) = if core {
            (bounds.core, record.core_displacement)
        } else {
            (bounds.background, record.background_displacement)
        };
        // The bounds contain the rounding: 1 is where they are.
        1.0 + maximum(low - least, greatest - high) / bounds.rounding
    });
    outside.fold(0.0, maximum)
}

fn bounds_at(run: &Trajectory, record: &Record) -> bounds::Envelope {
    let largest = run.initial.iter().fold(0.0, |largest, &v| maximum(largest, f64::from(v.abs())));
    bounds::envelope(&run.spec, record.step, largest)
}

fn figure_of(features: &Measured) -> Figure {
    let panels = features.rungs.last().and_then(|rung| rung.runs.first()).map(|run| {
        let unit = ladders::feature_unit(&run.spec);
        // In units of η t/m at one unit of time, 1/d₀.
        let scale = run.spec.data.d0() as f64;
        let curve = |value: &dyn Fn(&Record) -> f64| -> Vec<Point> {
            run.records.iter().map(|r| Point::at(r.step as f64 / unit, scale * value(r))).collect()
        };
        let width = |r: &Record| bounds_at(run, r).core[1];
        let axes = |title: &str, series| {
            panel(title, linear("time t / (m/(ηd₀))"), linear("d₀ · α(v − g v⁽⁰⁾), extreme weights"), series)
        };
        vec![
            axes(
                "core",
                vec![
                    series("bounds", Mark::Dotted, BLACK, curve(&width)),
                    series("", Mark::Dotted, BLACK, curve(&|_| 0.0)),
                    series("greatest", Mark::Line, 0, curve(&|r| r.core_displacement.1)),
                    series("least", Mark::Line, 1, curve(&|r| r.core_displacement.0)),
                ],
            ),
            axes(
                "background",
                vec![
                    series("bounds", Mark::Dotted, BLACK, curve(&width)),
                    series("", Mark::Dotted, BLACK, curve(&|r| -width(r))),
                    series("greatest", Mark::Line, 0, curve(&|r| r.background_displacement.1)),
                    series("least", Mark::Line, 1, curve(&|r| r.background_displacement.0)),
                ],
            ),
        ]
    });
    figure(
        "envelope",
        "The envelope and the weights within",
        "The extreme displacements over all neurons and features of one run at the largest size, and the bounds.",
        panels.unwrap_or_default(),
    )
}
