//! From settings to runs: the ladders that claims are judged on, and the distinct runs behind them.

use std::collections::HashMap;
use std::sync::Arc;

use feature_contamination::{RunSpec, Trajectory};

/// Sizes along one factor, with replicates; `T` is a [`RunSpec`] before and a trajectory after the simulation.
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
    let hash = canonical(spec)
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// The distinct runs of a report.
#[derive(Default)]
pub struct Plan {
    specs: Vec<RunSpec>,
    index: HashMap<String, usize>,
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
}
