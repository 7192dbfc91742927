//! What a report has an entry of: a claim or a study.

use std::sync::Arc;

use feature_contamination::RunSpec;

use crate::claims::{self, Claim, Judgement};
use crate::execute::Results;
use crate::plan::{Ladder, Measured, Plan};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::studies::{self, Observed, Study, Task};

/// A statement that is judged on runs of the model, or on tasks of its own.
#[derive(Clone, Copy)]
pub enum Statement {
    /// On runs.
    Claim(&'static dyn Claim),
    /// On tasks.
    Study(&'static dyn Study),
}

impl Statement {
    /// Every claim, then every study: the order of the report.
    pub fn all() -> Vec<Self> {
        claims::all().into_iter().map(Self::Claim).chain(studies::all().into_iter().map(Self::Study)).collect()
    }

    /// Short name, as `--claim` takes it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Claim(claim) => claim.id(),
            Self::Study(study) => study.id(),
        }
    }

    /// Title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Claim(claim) => claim.title(),
            Self::Study(study) => study.title(),
        }
    }

    /// `Paper: …` or `Derived: …`.
    pub fn source(self) -> &'static str {
        match self {
            Self::Claim(claim) => claim.source(),
            Self::Study(study) => study.source(),
        }
    }

    /// The statement in words.
    pub fn statement(self) -> &'static str {
        match self {
            Self::Claim(claim) => claim.statement(),
            Self::Study(study) => study.statement(),
        }
    }

    /// It with the runs or tasks it needs.
    pub fn plan(self, settings: &Settings) -> Planned {
        match self {
            Self::Claim(claim) => Planned::Claim(claim, claim.plan(settings)),
            Self::Study(study) => Planned::Study(study, study.plan(settings)),
        }
    }
}

/// A statement with its runs or tasks.
pub enum Planned {
    /// Runs.
    Claim(&'static dyn Claim, Vec<Ladder<RunSpec>>),
    /// Tasks.
    Study(&'static dyn Study, Vec<Ladder<Task>>),
}

impl Planned {
    /// The statement.
    pub fn statement(&self) -> Statement {
        match *self {
            Self::Claim(claim, _) => Statement::Claim(claim),
            Self::Study(study, _) => Statement::Study(study),
        }
    }

    /// Puts its runs or tasks on the plan.
    pub fn add_to(&self, plan: &mut Plan) {
        match self {
            Self::Claim(_, ladders) => plan.add(ladders),
            Self::Study(_, ladders) => plan.add_tasks(ladders),
        }
    }

    /// Its judgement on the results of a plan that it was added to.
    ///
    /// # Errors
    /// A statistic could not be computed.
    pub fn judge(&self, settings: &Settings, plan: &Plan, results: &Results) -> Result<Judgement, StatsError> {
        // What was added resolves.
        match self {
            Self::Claim(claim, ladders) => {
                let measured: Vec<Measured> = plan.resolve(ladders, &results.runs).unwrap_or_default();
                claim.judge(settings, &measured)
            }
            Self::Study(study, ladders) => {
                let observed: Vec<Ladder<Arc<Observed>>> =
                    plan.resolve_tasks(ladders, &results.tasks).unwrap_or_default();
                study.judge(settings, &observed)
            }
        }
    }
}
