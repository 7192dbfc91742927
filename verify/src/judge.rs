//! From a claim's judgement to its entry in the report.

use feature_contamination::{Activation, RunSpec};

use crate::claims::Claim;
use crate::claims::check::{deciding, worst};
use crate::controls::Control;
use crate::plan::{Measured, run_id};
use crate::report::model::{ClaimReport, ControlReport, RunSummary, Verdict};
use crate::settings::Settings;
use crate::stats::StatsError;

/// Judges a claim on its finished runs: the worst of its checks, and *inconclusive* where an assumption is not met.
///
/// # Errors
/// A statistic could not be computed.
pub fn judge_claim(claim: &dyn Claim, settings: &Settings, ladders: &[Measured]) -> Result<ClaimReport, StatsError> {
    let judgement = claim.judge(settings, ladders)?;
    let met = judgement.assumptions.iter().all(|assumption| assumption.met);
    let verdict = if met { worst(&judgement.checks) } else { Verdict::Inconclusive };
    let decider = deciding(&judgement.checks);
    let runs = ladders.iter().flat_map(|ladder| ladder.runs().map(|run| summary(&run.spec, ladder.factor)));
    Ok(ClaimReport {
        id: claim.id().to_owned(),
        title: claim.title().to_owned(),
        source: claim.source().to_owned(),
        statement: claim.statement().to_owned(),
        verdict,
        measured: decider.map_or(f64::NAN, |check| check.measured),
        predicted: decider.and_then(|check| check.predicted),
        interval: decider.map_or([f64::NAN; 2], |check| check.interval),
        margin: decider.map_or(f64::NAN, |check| check.margin),
        checks: judgement.checks,
        assumptions: judgement.assumptions,
        runs: runs.collect(),
        figures: judgement.figures,
    })
}

/// Judges a control: the claim's checks on the changed runs, assumptions set aside, since the change breaks them on
/// purpose. It is caught if they say *violated*.
///
/// # Errors
/// A statistic could not be computed.
pub fn judge_control(
    control: &Control,
    settings: &Settings,
    ladders: &[Measured],
) -> Result<ControlReport, StatsError> {
    let settings = settings.for_controls();
    let checks = match control.of() {
        Some(claim) => claim.judge(&settings, ladders)?.checks,
        None => vec![],
    };
    let verdict = worst(&checks);
    Ok(ControlReport {
        id: control.id.to_owned(),
        claim: control.claim.to_owned(),
        change: control.change.to_owned(),
        expected: Verdict::Violated,
        verdict,
        caught: verdict == Verdict::Violated,
        checks,
    })
}

fn summary(spec: &RunSpec, factor: &str) -> RunSummary {
    RunSummary {
        id: run_id(spec),
        ladder: factor.to_owned(),
        seed: spec.seed,
        d_core: spec.data.core.count,
        d_bg: spec.data.background.count,
        d: spec.d,
        m: spec.m,
        activation: activation_name(spec.activation).to_owned(),
        batch: spec.batch,
        learning_rate: spec.learning_rate,
        weight_decay: spec.weight_decay,
        steps: spec.steps,
        eval_samples: spec.eval_samples,
        c: spec.data.c(),
        b: spec.data.b(),
    }
}

/// The activation's name, as in files.
pub(crate) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Identity => "identity",
    }
}
