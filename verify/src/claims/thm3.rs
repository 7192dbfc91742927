//! Thm 3, ID and OOD risks.

use std::sync::Arc;

use feature_contamination::data::Domain;
use feature_contamination::{Evaluation, Record, RunSpec, Trajectory};

use super::check::{CONFIDENCE, Estimate, Rule, check};
use super::draw::{figure, linear, log, mean_over_time, number, panel, power_law, series, unit};
use super::measure::{check_rungs, exponent, means, points, predictions};
use super::{Claim, Judgement, paper_assumptions};
use crate::ladders;
use crate::plan::{Ladder, Measured, Rung};
use crate::report::model::{Figure, Mark};
use crate::settings::Settings;
use crate::stats::{StatsError, interval};
use crate::theory::balance::SelfSimilar;

/// Paper: Thm 3 (ID and OOD risks).
pub struct Risks;

const PAPER: &str = "Paper: Thm 3 (ID and OOD risks)";

impl Claim for Risks {
    fn id(&self) -> &'static str {
        "thm3"
    }

    fn title(&self) -> &'static str {
        "ID and OOD risks"
    }

    fn source(&self) -> &'static str {
        PAPER
    }

    fn statement(&self) -> &'static str {
        "By T₂ = Θ̃(m/(ηd₀)), with high probability, the risk in distribution is R_ID ≤ o(1) and the risk under the shift \
         of the background is R_OOD = Θ(1), the risk being the mean hinge loss max(1 − y h(x), 0)."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::features(settings)
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features] = ladders else { return Ok(Judgement::default()) };
        let at_t2 = |run: &Trajectory| run.at(ladders::t2(settings, &run.spec)).cloned();
        let id = |run: &Trajectory| at_t2(run).map_or(f64::NAN, |record| record.id.risk);
        let ood = |run: &Trajectory| at_t2(run).map_or(f64::NAN, |record| record.ood.risk);
        let (id_means, ood_means) = (means(features, id)?, means(features, ood)?);
        // While growth is self-similar the two margins keep their ratio, and T₂ is when the ID margin reaches 1.
        let law = |run: &Trajectory| {
            let phase = SelfSimilar::leading(&run.spec.data);
            1.0 - phase.margin_rate(Domain::Ood) / phase.margin_rate(Domain::Id)
        };
        let largest = features.rungs.last().map_or(Ok(Estimate::missing()), |rung| worst_risk(rung, &at_t2))?;
        let checks = vec![
            check(
                "exponent in d₀ of R_ID at T₂",
                PAPER,
                exponent(features, id)?,
                None,
                Rule::decays(
                    0.1,
                    "o(1) is a negative exponent; one above −0.1 could not be told from none at these sizes",
                ),
            ),
            check(
                "R_ID at T₂ at the largest d₀ (every replicate, empirical Bernstein)",
                PAPER,
                largest,
                None,
                Rule::at_most(0.1, "a tenth of the risk at the start, which is 1: vanishing and not merely falling"),
            ),
            check(
                "exponent in d₀ of R_OOD at T₂",
                PAPER,
                exponent(features, ood)?,
                Some(exponent(features, law)?.value),
                Rule::within(-0.15, 0.15, "Θ(1) is exponent 0; ±0.15 is a factor 1.4 over a factor 8 in size"),
            ),
            check_rungs(
                "R_OOD at T₂",
                PAPER,
                features,
                &ood_means,
                Some(&predictions(features, law)),
                Rule::within(0.5, 2.0, "Θ(1): within a factor 2 of 1, the risk of a network that says nothing"),
            ),
        ];
        Ok(Judgement {
            checks,
            assumptions: paper_assumptions(&[features]),
            figures: vec![time_figure(features), ladder_figure(features, &id_means, &ood_means, &law, &id, &ood)?],
        })
    }
}

/// The mean risk of the replicate whose interval reaches highest, intervals holding for all of them at once: empirical
/// Bernstein, each at its share of the error.
///
/// The loss lies in `[0, 1 + H]`, `H ≥ |h|`: every example has `|x̃_j| ≤ 1` and `Σ_k |a_k| = 1`, so
/// `|h| ≤ max_k ‖v_k‖₁ ≤ d_core max|v_core| + d_bg max|v_bg| = H`.
fn worst_risk(
    rung: &Rung<Arc<Trajectory>>,
    at_t2: &dyn Fn(&Trajectory) -> Option<Record>,
) -> Result<Estimate, StatsError> {
    let confidence = interval::bonferroni(CONFIDENCE, rung.runs.len() as u64);
    let mut worst = Estimate::missing();
    for run in &rung.runs {
        let Some(record) = at_t2(run) else { return Ok(Estimate::missing()) };
        let data = &run.spec.data;
        let largest =
            data.core.count as f64 * record.max_abs_core + data.background.count as f64 * record.max_abs_background;
        let Evaluation { samples, risk, risk_variance, .. } = record.id;
        let interval = interval::empirical_bernstein(samples, risk, risk_variance, 1.0 + largest, confidence)?;
        if worst.value.is_nan() || interval[1] > worst.interval[1] {
            worst = Estimate { value: risk, interval, confidence: CONFIDENCE };
        }
    }
    Ok(worst)
}

fn time_figure(features: &Measured) -> Figure {
    let time = "time t / (m/(ηd₀))";
    let mut panels = vec![];
    for rung in [features.rungs.first(), features.rungs.last()].into_iter().flatten() {
        let Some(run) = rung.runs.first() else { continue };
        let unit_of_time = ladders::feature_unit(&run.spec);
        let x = |step: u64| step as f64 / unit_of_time;
        let curve = |value: fn(&Record) -> f64| mean_over_time(rung, x, value);
        panels.push(panel(
            format!("d₀ = {}", rung.size),
            linear(time),
            unit("risk, accuracy (0 to 1)"),
            vec![
                series("ID risk", Mark::Line, 0, curve(|r| r.id.risk)),
                series("OOD risk", Mark::Line, 1, curve(|r| r.ood.risk)),
                series("ID accuracy", Mark::Dashed, 2, curve(|r| r.id.accuracy)),
                series("OOD accuracy", Mark::Dashed, 3, curve(|r| r.ood.accuracy)),
            ],
        ));
    }
    figure(
        "thm3-risks",
        "Risk and accuracy over time",
        "Mean over replicates. The theorem speaks of risk: in distribution it vanishes, under the shift it stays of order 1. \
         Accuracy under the shift can stay high all the same: the outputs keep their sign and lose their size.",
        panels,
    )
}

fn ladder_figure(
    features: &Measured,
    id_means: &[Estimate],
    ood_means: &[Estimate],
    law: &dyn Fn(&Trajectory) -> f64,
    id: &dyn Fn(&Trajectory) -> f64,
    ood: &dyn Fn(&Trajectory) -> f64,
) -> Result<Figure, StatsError> {
    let (id_points, ood_points) = (points(features, id_means), points(features, ood_means));
    let predicted = predictions(features, law);
    let id_fit = exponent(features, id)?;
    let ood_fit = exponent(features, ood)?;
    Ok(figure(
        "thm3-ladder",
        "Risks at T₂ against the number of features",
        format!(
            "Fitted exponents: {} in distribution, {} under the shift. Dashed: the balance law's R_OOD at the time \
             when the mean margin reaches 1.",
            number(id_fit.value, 2),
            number(ood_fit.value, 3)
        ),
        vec![panel(
            "",
            log("features d₀"),
            log("risk at T₂ (mean hinge loss)"),
            vec![
                series("fit, OOD", Mark::Line, 1, power_law(&ood_points, ood_fit)),
                series("OOD", Mark::Points, 1, ood_points),
                series("balance law, OOD", Mark::Dashed, 1, predicted),
                series("fit, ID", Mark::Line, 0, power_law(&id_points, id_fit)),
                series("ID", Mark::Points, 0, id_points),
            ],
        )],
    ))
}
