//! The balance law: the root to which `p_oth` settles.

use feature_contamination::{RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, log, median, panel, series};
use super::measure::{means, points};
use super::{Assumption, Claim, Judgement};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::balance::balance_root;

/// Derived: balance law.
pub struct BalanceRoot;

const SOURCE: &str = "Derived: balance law";

/// From this many features on, the law's Gaussian step is checked: below, a pre-activation is a sum of too few terms.
const SMALLEST: f64 = 32.0;

impl Claim for BalanceRoot {
    fn id(&self) -> &'static str {
        "balance-law"
    }

    fn title(&self) -> &'static str {
        "Balance law of self-similar growth"
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn statement(&self) -> &'static str {
        "After T₀ growth is self-similar: core weights grow as (1 + p)μ, background weights as (1 − p)μ, and p_oth = p is \
         the root of p = Φ(−[(1+p)C − (1−p)B] / √((1+p)² Σ_core μ²σ² + (1−p)² Σ_bg μ²σ²)). At C = B it falls as \
         √(log d₀/d₀); no constant is fitted."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::self_similar(settings)
    }

    fn judge(&self, _: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features] = ladders else { return Ok(Judgement::default()) };
        let p_oth = |run: &Trajectory| {
            let medians: Vec<f64> = run.records.iter().map(|record| median(&record.neurons.other.p)).collect();
            medians.iter().sum::<f64>() / medians.len() as f64
        };
        let estimates = means(features, p_oth)?;
        let mut checks = vec![];
        let mut predictions = vec![];
        for (rung, estimate) in features.rungs.iter().zip(&estimates) {
            let Some(run) = rung.runs.first() else { continue };
            let p = balance_root(&run.spec.data);
            predictions.push(Point::at(rung.size, p));
            if rung.size >= SMALLEST {
                let scaled = Estimate {
                    value: estimate.value / p,
                    interval: estimate.interval.map(|x| x / p),
                    confidence: estimate.confidence,
                };
                checks.push(check(
                    format!("p_oth over the law's root at d₀ = {} (median neuron, mean over T₁/2 ≤ t ≤ T₁)", rung.size),
                    SOURCE,
                    scaled,
                    Some(1.0),
                    Rule::within(
                        0.95,
                        1.05,
                        "the law drops terms of relative order 1/d₀ (non-Gaussian shape) and what is left of the start; \
                         3 % at d₀ = 32, and as much again for the interval",
                    ),
                ));
            }
        }
        let balance = features.runs().map(|run| run.spec.data.b() / run.spec.data.c()).fold(0.0, f64::max);
        Ok(Judgement {
            checks,
            assumptions: vec![
                Assumption {
                    text: format!("The ladder reaches {SMALLEST} features, from where on the law is checked"),
                    met: features.rungs.iter().any(|rung| rung.size >= SMALLEST),
                },
                Assumption {
                    text: format!("Every example is in the hinge's linear part up to T₁ (here B/C ≤ {balance:.3})"),
                    met: features.runs().all(|run| run.records.iter().all(|record| record.active_fraction == 1.0)),
                },
            ],
            figures: vec![figure(
                "balance-law",
                "The balance law",
                "Median neuron's p_oth while growth is self-similar, with Student's interval, and the law's root. No \
                 constant is fitted.",
                vec![panel(
                    "",
                    log("features d₀"),
                    log("p_oth (median neuron)"),
                    vec![
                        series("balance law", Mark::Dashed, BLACK, predictions),
                        series("measured", Mark::Points, 0, points(features, &estimates)),
                    ],
                )],
            )],
        })
    }
}
