//! From settings to runs: the ladders that claims are judged on, and the distinct runs behind them.

use std::collections::HashMap;
use std::sync::Arc;

use feature_contamination::{RunSpec, Trajectory};

use crate::studies::{Observed, Task};

/// Sizes along one factor, with replicates; `T` is a [`RunSpec`] or a [`Task`] before the simulation, and a trajectory or what
/// was observed after it.
#[derive(Clone, Debug)]
pub struct Ladder<T> {
    /// The factor that varies: `d0`, `d`, `m`, `η`, `B/C`.
    pub factor: &'static str,
    /// Rungs, ascending in size.
    pub rungs: Vec<Rung<T>>,
}

/// The replicates at one size.
#[derive(Clone, Debug)]
pub struct Rung<T> {
    /// Value of the factor.
    pub size: f64,
    /// One run a seed.
    pub runs: Vec<T>,
}

impl<T> Ladder<T> {
    /// Every run of the ladder.
    pub fn runs(&self) -> impl Iterator<Item = &T> {
        self.rungs.iter().flat_map(|rung| &rung.runs)
    }

    /// The factor as it is written in formulas.
    pub fn symbol(&self) -> &'static str {
        if self.factor == "d0" { "d₀" } else { self.factor }
    }

    /// The ladder with every run replaced; `None` if `f` has none for some run.
    pub fn try_map<U>(&self, mut f: impl FnMut(&T) -> Option<U>) -> Option<Ladder<U>> {
        let rung =
            |rung: &Rung<T>| Some(Rung { size: rung.size, runs: rung.runs.iter().map(&mut f).collect::<Option<_>>()? });
        Some(Ladder { factor: self.factor, rungs: self.rungs.iter().map(rung).collect::<Option<_>>()? })
    }
}

/// A ladder of finished runs.
pub type Measured = Ladder<Arc<Trajectory>>;

/// A run's canonical text: equal texts are equal runs.
pub fn canonical(spec: &RunSpec) -> String {
    // Serialising a struct of numbers, strings and vectors to memory has no way to fail.
    serde_json::to_string(spec).unwrap_or_default()
}

/// A run's name: FNV-1a (64 bits) of its canonical text, in hexadecimal.
pub fn run_id(spec: &RunSpec) -> String {
    format!("{:016x}", fnv(&canonical(spec)))
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Work for one thread.
#[derive(Clone, Copy, Debug)]
pub enum Job<'a> {
    /// A run of the model.
    Run(&'a RunSpec),
    /// A task of a study.
    Task(&'a Task),
}

impl Job<'_> {
    /// Its arithmetic, roughly.
    pub fn flops(self) -> f64 {
        match self {
            Self::Run(spec) => spec.flops(),
            Self::Task(task) => task.cost().flops,
        }
    }

    /// Memory while it runs.
    pub fn memory_bytes(self) -> f64 {
        match self {
            Self::Run(spec) => spec.memory_bytes(),
            Self::Task(task) => task.cost().bytes,
        }
    }

    /// Memory that its result keeps; that of a task is too little to count.
    pub fn kept_bytes(self) -> f64 {
        match self {
            Self::Run(spec) => spec.record_bytes(),
            Self::Task(_) => 0.0,
        }
    }

    /// The time that a slow core takes, for a run with its random numbers and its steps.
    pub fn seconds(self) -> f64 {
        let arithmetic = self.flops() / 1e10;
        match self {
            Self::Run(spec) => {
                let (steps, records) = (spec.steps as f64, spec.record_steps.len() as f64);
                let drawn = steps * spec.batch as f64 + records * (spec.eval_samples + spec.ood_samples()) as f64;
                arithmetic + 5e-9 * drawn * spec.data.d0() as f64 + 1e-6 * steps
            }
            Self::Task(_) => arithmetic,
        }
    }

    /// What its cost depends on, in words.
    pub fn size(self) -> String {
        match self {
            Self::Run(spec) => format!(
                "d0 = {}, m = {}, batch = {}, eval_samples = {}, {} steps, {} records",
                spec.data.d0(),
                spec.m,
                spec.batch,
                spec.eval_samples,
                spec.steps,
                spec.record_steps.len()
            ),
            Self::Task(task) => task.canonical(),
        }
    }
}

/// The distinct runs and tasks of a report.
#[derive(Default)]
pub struct Plan {
    specs: Vec<RunSpec>,
    index: HashMap<String, usize>,
    tasks: Vec<Task>,
    task_index: HashMap<String, usize>,
}

impl Plan {
    /// Adds the runs of ladders, each distinct one once.
    pub fn add(&mut self, ladders: &[Ladder<RunSpec>]) {
        for spec in ladders.iter().flat_map(Ladder::runs) {
            self.index.entry(canonical(spec)).or_insert_with(|| {
                self.specs.push(spec.clone());
                self.specs.len() - 1
            });
        }
    }

    /// Adds the tasks of ladders, each distinct one once.
    pub fn add_tasks(&mut self, ladders: &[Ladder<Task>]) {
        for task in ladders.iter().flat_map(Ladder::runs) {
            self.task_index.entry(task.canonical()).or_insert_with(|| {
                self.tasks.push(task.clone());
                self.tasks.len() - 1
            });
        }
    }

    /// All work, the runs first.
    pub fn jobs(&self) -> Vec<Job<'_>> {
        self.specs.iter().map(Job::Run).chain(self.tasks.iter().map(Job::Task)).collect()
    }

    /// The distinct tasks, in the order they were first asked for.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The distinct runs, in the order they were first asked for.
    pub fn specs(&self) -> &[RunSpec] {
        &self.specs
    }

    /// The ladders with their finished runs, `results` being in the order of [`Plan::specs`].
    ///
    /// `None` if a run was not planned.
    pub fn resolve(&self, ladders: &[Ladder<RunSpec>], results: &[Arc<Trajectory>]) -> Option<Vec<Measured>> {
        let find = |spec: &RunSpec| results.get(*self.index.get(&canonical(spec))?).cloned();
        ladders.iter().map(|ladder| ladder.try_map(find)).collect()
    }

    /// The ladders with what their tasks observed, `results` being in the order of [`Plan::tasks`].
    ///
    /// `None` if a task was not planned.
    pub fn resolve_tasks(
        &self,
        ladders: &[Ladder<Task>],
        results: &[Arc<Observed>],
    ) -> Option<Vec<Ladder<Arc<Observed>>>> {
        let find = |task: &Task| results.get(*self.task_index.get(&task.canonical())?).cloned();
        ladders.iter().map(|ladder| ladder.try_map(find)).collect()
    }
}
