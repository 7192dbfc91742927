//! The studies: statements on networks or data that no [`RunSpec`](feature_contamination::RunSpec) describes, with the tasks
//! they need and the rule that judges them.
//!
//! A study stands beside a [`Claim`](crate::claims::Claim): it has checks, figures and controls like one, and is reported in
//! the same way. What a claim's runs are to it, tasks are to a study: pure functions of their parameters, carried out on the
//! same threads, each distinct one once.

pub mod digits;
pub mod distillation;
pub mod diversity;
mod regression;

use std::collections::BTreeMap;
use std::sync::Arc;

use feature_contamination::Executor;
use serde::Serialize;

use crate::claims::Judgement;
use crate::plan::{Ladder, fnv};
use crate::settings::Settings;
use crate::stats::StatsError;

/// A statement that tasks can refute.
pub trait Study: Sync {
    /// Short name, as `--claim` takes it: lower-case letters, digits and hyphens.
    fn id(&self) -> &'static str;
    /// Title.
    fn title(&self) -> &'static str;
    /// `Paper: …` or `Derived: …`.
    fn source(&self) -> &'static str;
    /// The statement.
    fn statement(&self) -> &'static str;
    /// The tasks it needs. Equal tasks of different studies are carried out once.
    fn plan(&self, settings: &Settings) -> Vec<Ladder<Task>>;
    /// Its checks on what the tasks observed, in the shape of its plan.
    ///
    /// # Errors
    /// A statistic could not be computed from it.
    fn judge(&self, settings: &Settings, ladders: &[Ladder<Arc<Observed>>]) -> Result<Judgement, StatsError>;
}

/// Every study, in the order of the report, where they come after the claims.
pub fn all() -> [&'static dyn Study; 3] {
    [&distillation::Distillation, &diversity::Diversity, &digits::Digits]
}

/// Why a task failed.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// What a task takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Arithmetic, or what takes as long.
    pub flops: f64,
    /// Memory while it runs.
    pub bytes: f64,
}

/// A pure function of its parameters, carried out on one thread.
#[derive(Clone)]
pub struct Task {
    kind: &'static str,
    parameters: serde_json::Value,
    cost: Cost,
    work: Arc<dyn Fn(Executor) -> Result<Observed, TaskError> + Send + Sync>,
}

impl Task {
    /// `work(parameters)`; `kind` says what `work` is, so that tasks of equal kind and equal parameters are one.
    pub fn new<P: Serialize + Send + Sync + 'static>(
        kind: &'static str,
        parameters: P,
        cost: Cost,
        work: fn(&P, Executor) -> Result<Observed, TaskError>,
    ) -> Self {
        // Serialising a struct of numbers, strings and vectors to memory has no way to fail.
        let value = serde_json::to_value(&parameters).unwrap_or_default();
        Self { kind, parameters: value, cost, work: Arc::new(move |executor| work(&parameters, executor)) }
    }

    /// Its kind and parameters: equal texts are equal tasks.
    pub fn canonical(&self) -> String {
        format!("{} {}", self.kind, self.parameters)
    }

    /// Its name: FNV-1a (64 bits) of its canonical text, in hexadecimal.
    pub fn id(&self) -> String {
        format!("{:016x}", fnv(&self.canonical()))
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its parameters.
    pub fn parameters(&self) -> &serde_json::Value {
        &self.parameters
    }

    /// What it takes.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Carries it out.
    ///
    /// # Errors
    /// Whatever the work says.
    pub fn run(&self, executor: Executor) -> Result<Observed, TaskError> {
        (self.work)(executor)
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.canonical())
    }
}

/// What a task observed: numbers and series of numbers, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Single numbers.
    pub numbers: BTreeMap<String, f64>,
    /// Series: one number a neuron, a step, an example.
    pub series: BTreeMap<String, Vec<f64>>,
}

impl Observed {
    /// The number of that name; NaN, of which every check is *inconclusive*, if there is none.
    pub fn number(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or(f64::NAN)
    }

    /// The series of that name; empty if there is none.
    pub fn series(&self, name: &str) -> &[f64] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// An interval over replicates that are one and the same has no width, and every check on it is sure of itself.
    #[test]
    fn replicates_are_apart() {
        let settings = Settings::profile("quick").unwrap();
        for study in all() {
            for ladder in study.plan(&settings) {
                for rung in &ladder.rungs {
                    let seeds: BTreeSet<String> =
                        rung.runs.iter().map(|task| task.parameters()["seed"].to_string()).collect();
                    let id = study.id();
                    assert!(
                        rung.runs.len() > 1 && seeds.len() == rung.runs.len(),
                        "{id}, {} = {}",
                        ladder.factor,
                        rung.size
                    );
                }
            }
        }
    }
}
