//! The gated phase: departure, T₂, and the levels that core, background and both risks settle at.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::Rule;
use super::draw::{figure, linear, log, median, over_time, panel, series};
use super::measure::{check_rungs, means};
use super::{Assumption, Claim, Judgement};
use crate::ladders;
use crate::machine::cores;
use crate::parallel::parallel;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Check, Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::gated::gated;

/// Derived: gated phase.
pub struct GatedPhase;

const SOURCE: &str = "Derived: gated phase";

/// The hinge has begun to gate when `E max(y h − 1, 0)`, by which the risk departs from `1 − E y h`, passes this.
const DEPARTURE: f64 = 0.002;

type Observable<'a> = &'a dyn Fn(&Trajectory, &Record) -> f64;

const CORE: Observable = &|run, record| median(&run.aligned_core(record));
const BACKGROUND: Observable = &|_, record| median(&record.neurons.background);
const ID_RISK: Observable = &|_, record| record.id.risk;
const OOD_RISK: Observable = &|_, record| record.ood.risk;
const MARGIN: Observable = &|_, record| record.id.margin;
const EXCESS: Observable = &|_, record| record.id.risk - 1.0 + record.id.margin;

impl Claim for GatedPhase {
    fn id(&self) -> &'static str {
        "gated-phase"
    }

    fn title(&self) -> &'static str {
        "Through the gated phase"
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn statement(&self) -> &'static str {
        "Beyond the first examples with y h ≥ 1 every neuron follows the expected gradient less E[x̃_j 1(s_k ≥ 0) 1(y h ≥ 1) | \
         y], with the output as two bundles, y h = L − ω(X): the own class's neurons, linear, and the other class's, which \
         switch together with the one variable X. Departure, T₂, the final sums and both risks follow; no constant is fitted."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::gated(settings)
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features] = ladders else { return Ok(Judgement::default()) };
        let predictions = predict(features);
        let predicted = |run: &Trajectory| predictions.iter().find(|(r, _)| std::ptr::eq(&**r, run)).map(|(_, p)| p);
        let one: Vec<Point> = features.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
        let check = |quantity: &str, value: &dyn Fn(&Trajectory) -> f64, rule: Rule| {
            let ratios = means(features, |run| value(run) / predicted(run).map_or(f64::NAN, value))?;
            Ok::<Check, StatsError>(check_rungs(quantity, SOURCE, features, &ratios, Some(&one), rule))
        };
        let t2 = |run: &Trajectory| ladders::t2(settings, &run.spec);
        let at_t2 = |value: Observable<'static>| {
            move |run: &Trajectory| run.at(t2(run)).map_or(f64::NAN, |record| value(run, record))
        };
        // Over the last quarter, so that the batches' noise averages out.
        let at_end = |value: Observable<'static>| {
            move |run: &Trajectory| {
                let records = run.from(run.spec.steps - run.spec.steps / 4 + 1);
                records.iter().map(|record| value(run, record)).sum::<f64>() / records.len() as f64
            }
        };
        let sums = Rule::within(
            0.98,
            1.02,
            "what the closure leaves out is the shape of the margin, of relative order 1/d₀ in Pr[y h < 1]; decay and hinge \
             hold the margin where that probability balances, and its deviation, 0.58/√d₀, turns 1/d₀ = 1/16 into 1 %; as \
             much for the interval",
        );
        let id_risk = Rule::within(
            0.85,
            1.15,
            "the relative order 1/d₀ = 1/16 of the margin's shape, in a mean over its tail, and as much and a half for the \
             interval",
        );
        let ood_risk = Rule::within(
            0.98,
            1.02,
            "1 − E y h with a margin of at most 1/4: 4 % of it, two background sums each wrong by 2 %, is 1 %; as much for \
             the interval",
        );
        let times = Rule::within(
            0.96,
            1.04,
            "near T₂ the margin, right to 1 %, grows at half its first pace or more, which makes 2 % of the time; as much \
             for the interval",
        );
        let checks = vec![
            check(
                "time at which E max(y h − 1, 0) passes 0.002, over its prediction",
                &|run| crossing(run, DEPARTURE, EXCESS),
                times,
            )?,
            check(
                "time at which the mean margin reaches 1, over its prediction",
                &|run| crossing(run, 1.0, MARGIN),
                times,
            )?,
            check("y Σ_core μ⟨w,m⟩ at T₂ over its prediction (median neurons)", &at_t2(CORE), sums)?,
            check("Σ_bg μ⟨w,m⟩ at T₂ over its prediction (median neurons)", &at_t2(BACKGROUND), sums)?,
            check("R_ID at T₂ over its prediction", &at_t2(ID_RISK), id_risk)?,
            check("R_OOD at T₂ over its prediction", &at_t2(OOD_RISK), ood_risk)?,
            check("y Σ_core μ⟨w,m⟩ over its prediction, 3T₂/2 < t ≤ 2T₂ (median neurons)", &at_end(CORE), sums)?,
            check("Σ_bg μ⟨w,m⟩ over its prediction, 3T₂/2 < t ≤ 2T₂ (median neurons)", &at_end(BACKGROUND), sums)?,
            check("R_ID over its prediction, 3T₂/2 < t ≤ 2T₂", &at_end(ID_RISK), id_risk)?,
            check("R_OOD over its prediction, 3T₂/2 < t ≤ 2T₂", &at_end(OOD_RISK), ood_risk)?,
        ];
        Ok(Judgement {
            checks,
            assumptions: vec![Assumption {
                text: "d₀ ≥ 16: below, 1/d₀ is no small number".to_owned(),
                met: features.rungs.iter().all(|rung| rung.size >= 16.0),
            }],
            figures: vec![time_figure(features, &predicted)],
        })
    }
}

/// Every run beside its own prediction, made on as many threads as there are cores.
fn predict(ladder: &Measured) -> Vec<(Arc<Trajectory>, Trajectory)> {
    let runs: Vec<&Arc<Trajectory>> = ladder.runs().collect();
    parallel(runs.len(), cores(), |index| (Arc::clone(runs[index]), gated(runs[index])))
}

/// The step at which `value` first passes `level` upward, between records by a straight line; NaN if it never does.
fn crossing(run: &Trajectory, level: f64, value: Observable) -> f64 {
    let at = |record: &Record| value(run, record);
    let pair = run.records.windows(2).find(|pair| at(&pair[0]) < level && at(&pair[1]) >= level);
    pair.map_or(f64::NAN, |pair| {
        let (from, to) = (pair[0].step as f64, pair[1].step as f64);
        from + (to - from) * (level - at(&pair[0])) / (at(&pair[1]) - at(&pair[0]))
    })
}

fn time_figure<'a>(features: &Measured, predicted: &dyn Fn(&Trajectory) -> Option<&'a Trajectory>) -> Figure {
    let (mut sums, mut id, mut ood) = (vec![], vec![], vec![]);
    for (rung_index, rung) in features.rungs.iter().enumerate() {
        let Some((run, prediction)) = rung.runs.first().and_then(|run| Some((run, predicted(run)?))) else { continue };
        let unit = ladders::feature_unit(&run.spec);
        let pair = |name: &str, color: usize, value: Observable| {
            let points = |run: &Trajectory| over_time(run, |step| step as f64 / unit, |record| value(run, record));
            [
                series(format!("{name}, predicted"), Mark::Dashed, color, points(prediction)),
                series(name, Mark::Points, color, points(run)),
            ]
        };
        let name = format!("d₀ = {}", rung.size);
        if rung_index + 1 == features.rungs.len() {
            sums.extend(pair(&format!("core, {name}"), 0, CORE));
            sums.extend(pair(&format!("background, {name}"), 1, BACKGROUND));
        }
        id.extend(pair(&name, rung_index, ID_RISK));
        ood.extend(pair(&name, rung_index, OOD_RISK));
    }
    let time = || linear("time t / (m/(ηd₀))");
    figure(
        "gated-phase",
        "Through the gated phase to the final levels",
        "One run a size, measured (markers) and predicted from the same start without a fitted constant (dashed). The hinge \
         begins to gate near t = 15; core and background level off where the examples that are left balance the decay.",
        vec![
            panel("median sums", time(), linear("Σ μ⟨w,m⟩ (median neuron)"), sums),
            panel("in distribution", time(), log("ID risk"), id),
            panel("shifted background", time(), linear("OOD risk"), ood),
        ],
    )
}
