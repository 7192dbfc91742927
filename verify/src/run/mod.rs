//! Runs of one's own: `verify run`, `verify config` and `verify reproduce`.
//!
//! A [`RunConfig`] and a seed are a run; [`run_in`] carries it out in a folder of its own and survives whatever ends the
//! program: a checkpoint holds everything that the rest of the run depends on, and the run goes on from it bit for bit as if
//! nothing had happened. A run is complete exactly when its `result.json` is there.

mod config;
pub mod durable;
mod result;
mod stop;

use std::path::Path;
use std::time::Duration;

pub use config::{
    DEFAULTS, FixedSpec, MAX_RECORDS, MethodName, Model, NetworkConfig, Observables, OptimizerConfig, Output, Plan,
    RunConfig, Sampling, Schedule, Seeds, Steps, Time,
};
pub use durable::DurableError;
pub use result::{Column, RESULT, RunResult, SCHEMA_VERSION, SERIES, Series, columns, is_complete};
pub use stop::Stop;

use feature_contamination::{SimulateError, SpecError, mlp::TrainError};

/// The file that holds the lock of a run's folder.
pub const LOCK: &str = "lock";

/// How a run is carried out; nothing of it changes a bit of the result.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads of one run's products.
    pub threads: usize,
    /// Time between checkpoints; one is also written when a run stops.
    pub checkpoint_every: Duration,
    /// Told of the run's progress, after every record and every now and then between.
    pub progress: &'a (dyn Fn(&Progress<'_>) + Sync),
    /// Told, in one line, of what is no error but should be known: a checkpoint that was refused while the previous one is
    /// whole.
    pub warn: &'a (dyn Fn(&str) + Sync),
}

impl Default for Options<'_> {
    /// One thread, a checkpoint a minute, and nobody told.
    fn default() -> Self {
        Self { threads: 1, checkpoint_every: Duration::from_secs(60), progress: &|_| (), warn: &|_| () }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The run's seed.
    pub seed: u64,
    /// Steps taken.
    pub step: u64,
    /// Steps to take.
    pub steps: u64,
    /// The last record, in the order of the columns; empty before the first one.
    pub row: &'a [f64],
}

/// How a run ended without an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// Its result is there.
    Complete(Box<RunResult>),
    /// It was complete already.
    Already(Box<RunResult>),
    /// It was asked to stop; its checkpoint is there, after so many steps.
    Interrupted {
        /// Steps taken.
        step: u64,
    },
}

/// Why a run has no result. One line each.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// The configuration is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A number left the finite ones.
    #[error("step {step}: {cause}; the last good checkpoint is kept")]
    NonFinite {
        /// The step.
        step: u64,
        /// Which number, and what to do.
        cause: String,
    },
    /// The folder has a checkpoint, and none that this run can go on from.
    #[error("{0}")]
    Checkpoint(String),
    /// The folder has a result of another run, or one that does not read.
    #[error("{0}")]
    Result(String),
    /// Another process is at it.
    #[error("{folder}: another process is at this run")]
    Busy {
        /// The folder.
        folder: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] DurableError),
    /// The instruction set asked for is not there.
    #[error(transparent)]
    Isa(#[from] feature_contamination_kernels::IsaError),
    /// A defect of the program.
    #[error("internal: {0}")]
    Internal(String),
}

/// Carries out one run in a folder of its own, which is made if need be.
///
/// Goes on from the folder's checkpoint if there is one, bit for bit. Writes `series.csv` and, last of all, `result.json`, each
/// renamed into its place when it is whole; the checkpoints are removed then.
///
/// # Errors
/// See [`RunFailure`]. Whatever the error, what the folder had before is still there, and the call can be repeated.
pub fn run_in(
    folder: &Path,
    config: &RunConfig,
    seed: u64,
    options: &Options<'_>,
    stop: &Stop,
) -> Result<Ending, RunFailure> {
    let _ = (folder, config.plan(seed)?, options, stop);
    Err(RunFailure::Internal("not yet".to_owned()))
}

impl From<SimulateError> for RunFailure {
    fn from(error: SimulateError) -> Self {
        match error {
            SimulateError::Spec(error) => Self::Spec(error),
            SimulateError::NonFinite { step } => Self::NonFinite { step, cause: non_finite() },
            SimulateError::Kernel(error) => Self::Internal(error.to_string()),
        }
    }
}

impl From<TrainError> for RunFailure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Spec(error) => Self::Spec(error),
            TrainError::NonFinite { iteration } => Self::NonFinite { step: iteration, cause: non_finite() },
            TrainError::Kernel(error) => Self::Internal(error.to_string()),
        }
    }
}

fn non_finite() -> String {
    "weights or outputs became non-finite: take a smaller optimizer.learning_rate".to_owned()
}

#[cfg(test)]
mod tests;
