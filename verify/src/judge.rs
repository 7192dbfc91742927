//! From a claim's judgement to its entry in the report.

use feature_contamination::{Activation, RunSpec};

use crate::claims::check::{deciding, worst};
use crate::controls::Control;
use crate::execute::Results;
use crate::plan::{Ladder, Plan, run_id};
use crate::report::model::{ClaimReport, ControlReport, RunSummary, TaskSummary, Verdict};
use crate::settings::Settings;
use crate::statement::Planned;
use crate::stats::StatsError;
use crate::studies::Task;

/// Judges a claim or a study on the results of its plan: the worst of its checks, and *inconclusive* where an assumption is
/// not met.
///
/// # Errors
/// A statistic could not be computed.
pub fn judge_claim(
    planned: &Planned,
    settings: &Settings,
    plan: &Plan,
    results: &Results,
) -> Result<ClaimReport, StatsError> {
    let claim = planned.statement();
    let judgement = planned.judge(settings, plan, results)?;
    let met = judgement.assumptions.iter().all(|assumption| assumption.met);
    let verdict = if met { worst(&judgement.checks) } else { Verdict::Inconclusive };
    let decider = deciding(&judgement.checks);
    let (mut runs, mut tasks) = (vec![], vec![]);
    match planned {
        Planned::Claim(_, ladders) => runs = summaries(ladders, summary),
        Planned::Study(_, ladders) => tasks = summaries(ladders, task_summary),
    }
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
        runs,
        tasks,
        figures: judgement.figures,
    })
}

/// Judges a control, `planned` being its plan: the claim's checks on the changed runs, assumptions set aside, since the
/// change breaks them on purpose. It is caught if they say *violated*.
///
/// # Errors
/// A statistic could not be computed.
pub fn judge_control(
    control: &Control,
    planned: &Planned,
    settings: &Settings,
    plan: &Plan,
    results: &Results,
) -> Result<ControlReport, StatsError> {
    let checks = planned.judge(&settings.for_controls(), plan, results)?.checks;
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

fn summaries<T, S>(ladders: &[Ladder<T>], summary: fn(&T, &str) -> S) -> Vec<S> {
    ladders.iter().flat_map(|ladder| ladder.runs().map(|run| summary(run, ladder.factor))).collect()
}

fn task_summary(task: &Task, factor: &str) -> TaskSummary {
    TaskSummary {
        id: task.id(),
        ladder: factor.to_owned(),
        kind: task.kind().to_owned(),
        parameters: task.parameters().clone(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Judgement;
    use crate::claims::check::{Estimate, Rule, check};
    use crate::execute::run_all;
    use crate::plan::Rung;
    use crate::studies::{Cost, Observed, Study};
    use feature_contamination::Executor;
    use std::sync::Arc;

    /// The squares of 1 and 2 add up to 5.
    struct Squares;

    impl Study for Squares {
        fn id(&self) -> &'static str {
            "squares"
        }
        fn title(&self) -> &'static str {
            "Squares"
        }
        fn source(&self) -> &'static str {
            "Derived: by hand"
        }
        fn statement(&self) -> &'static str {
            "The squares of 1 and 2 add up to 5."
        }
        fn plan(&self, _: &Settings) -> Vec<Ladder<Task>> {
            let square = |&number: &f64, _| {
                Ok(Observed { numbers: [("square".to_owned(), number * number)].into(), ..Observed::default() })
            };
            let task = |number: f64| Task::new("square", number, Cost { flops: 1.0, bytes: 0.0 }, square);
            vec![Ladder { factor: "x", rungs: vec![Rung { size: 1.0, runs: vec![task(1.0), task(2.0)] }] }]
        }
        fn judge(&self, _: &Settings, ladders: &[Ladder<Arc<Observed>>]) -> Result<Judgement, StatsError> {
            let sum = ladders.iter().flat_map(Ladder::runs).map(|observed| observed.number("square")).sum();
            let rule = Rule::within(4.5, 5.5, "it is 5");
            let check = check("sum", self.source(), Estimate::sure(sum), Some(5.0), rule);
            Ok(Judgement { checks: vec![check], ..Judgement::default() })
        }
    }

    #[test]
    fn a_study_is_reported_like_a_claim() {
        let settings = Settings::profile("quick").unwrap();
        let planned = Planned::Study(&Squares, Squares.plan(&settings));
        let mut plan = Plan::default();
        planned.add_to(&mut plan);
        let results = run_all(&plan, Executor::detect().unwrap(), 1, &|_| ()).unwrap();
        let report = judge_claim(&planned, &settings, &plan, &results).unwrap();
        assert_eq!((report.id.as_str(), report.verdict, report.measured), ("squares", Verdict::Holds, 5.0));
        assert!(report.runs.is_empty());
        let parameters: Vec<_> = report.tasks.iter().map(|task| (task.kind.as_str(), &task.parameters)).collect();
        assert_eq!(parameters, [("square", &1.0.into()), ("square", &2.0.into())]);
    }
}
