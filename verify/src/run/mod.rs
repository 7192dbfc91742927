//! Runs of one's own: `verify run`, `verify config` and `verify reproduce`.
//!
//! A [`RunConfig`] and a seed are a run; [`run_in`] carries it out in a folder of its own and survives whatever ends the
//! program: a checkpoint holds everything that the rest of the run depends on, and the run goes on from it bit for bit as if
//! nothing had happened. A run is complete exactly when its `result.json` is there.

mod checkpoint;
pub mod command;
mod config;
mod engine;
pub mod estimate;
mod page;
pub mod reproduce;
mod result;
mod stop;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use feature_contamination::{Executor, SimulateError, Snapshot, SpecError, mlp::TrainError};

use crate::durable;
pub use crate::durable::DurableError;
pub use checkpoint::{CHECKPOINT, Checkpoint, PREVIOUS, has_checkpoint};
pub use config::{
    DEFAULTS, FixedSpec, MAX_RECORDS, MethodName, Model, NetworkConfig, Observables, OptimizerConfig, Output, Plan,
    RunConfig, Sampling, Schedule, Seeds, Steps, Time,
};
pub(crate) use result::number;
pub use result::{Column, RESULT, RunResult, SCHEMA_VERSION, SERIES, Series, columns, is_complete};
pub use stop::Stop;

use crate::lock::{Attempt, Holder, RunLock, beating};
use crate::report::ReportError;
use crate::settings::SettingsError;
use checkpoint::{Origin, Store};
use engine::Engine;

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
    #[error("{folder}: another process is at this run; wait for it, or end it")]
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
    run_on(Executor::detect()?, folder, config, seed, options, stop)
}

/// [`run_in`] on a given instruction set.
fn run_on(
    executor: Executor,
    folder: &Path,
    config: &RunConfig,
    seed: u64,
    options: &Options<'_>,
    stop: &Stop,
) -> Result<Ending, RunFailure> {
    durable::create_folder(folder)?;
    let (waiting, over) = (|holder: &Holder| (options.warn)(&holder.awaited(folder)), || stop.is_set());
    let lock = match RunLock::wait(folder, &waiting, &over).map_err(DurableError::new("lock", folder))? {
        Attempt::Mine(lock) => lock,
        Attempt::Held(_) | Attempt::Doubtful(_) => {
            return Err(RunFailure::Busy { folder: folder.display().to_string() });
        }
    };
    // A counter that cannot be written does no harm on this machine, and on others the worst is a run done twice.
    let beat = || _ = lock.beat();
    let ended = beating(beat, || run_locked(executor, folder, config, seed, options, stop));
    match ended {
        // A folder with a result needs no lock any more, be the result this run's or another's.
        Ok(Ending::Complete(_) | Ending::Already(_)) | Err(RunFailure::Result(_)) => lock.remove(),
        _ => lock.release(),
    }
    ended
}

/// [`run_in`] on a given instruction set, in a folder whose lock the caller holds.
pub(crate) fn run_locked(
    executor: Executor,
    folder: &Path,
    config: &RunConfig,
    seed: u64,
    options: &Options<'_>,
    stop: &Stop,
) -> Result<Ending, RunFailure> {
    let (config, plan) = (config.resolved()?, config.plan(seed)?);
    let columns = columns(config.model.sampling);
    let origin = Origin {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("FC_COMMIT").to_owned(),
        isa: executor.isa().to_string(),
        seed,
        config: config.canonical()?,
    };
    if folder.join(RESULT).exists() {
        let result = RunResult::read(folder).map_err(RunFailure::Result)?;
        result
            .is_of(&origin)
            .map_err(|reason| RunFailure::Result(format!("{} {reason}", folder.join(RESULT).display())))?;
        // Left by a program that was killed between writing the result and removing them.
        Store::remove(folder)?;
        return Ok(Ending::Already(Box::new(result)));
    }
    engine::with_engine(&plan, executor.with_threads(options.threads), |engine| {
        let mut take_up = |checkpoint| take_up(checkpoint, &plan, columns.len(), engine);
        let (mut store, checkpoint) =
            Store::open(folder, &origin, options.warn, &mut take_up)?.map_err(RunFailure::Checkpoint)?;
        let mut run = checkpoint.unwrap_or_else(|| Checkpoint {
            origin: origin.clone(),
            step: 0,
            elapsed_seconds: 0.0,
            interruptions: 0,
            rows: vec![],
            state: Snapshot::default(),
        });
        if drive(engine, &plan, &mut run, &mut store, options, stop)? {
            let series = Series::of(config.model.sampling, run.rows);
            let result = RunResult::of(&origin, config, executor, options.threads, engine.path(), &series)
                .after(run.interruptions, run.elapsed_seconds);
            // What the result speaks of first; the folder's sync makes both names last.
            durable::write_unsynced(folder, SERIES, series.csv().as_bytes())?;
            durable::write(folder, RESULT, result.json().as_bytes())?;
            Store::remove(folder)?;
            return Ok(Ending::Complete(Box::new(result)));
        }
        Ok(Ending::Interrupted { step: run.step })
    })
}

/// Removes what a program that was killed after the run was complete may have left in its folder, whose lock the caller holds.
///
/// # Errors
/// The file system refuses.
pub(crate) fn tidy(folder: &Path) -> Result<(), DurableError> {
    Store::remove(folder)
}

/// Puts the engine where a checkpoint was taken.
///
/// # Errors
/// Why it cannot be, as the end of a sentence that begins with the file's name.
fn take_up(
    mut checkpoint: Checkpoint,
    plan: &Plan,
    columns: usize,
    engine: &mut dyn Engine,
) -> Result<Checkpoint, String> {
    let due = plan.record_steps().partition_point(|&step| step <= checkpoint.step);
    let whole = |row: &Vec<f64>| if row.len() == columns { row[0] } else { f64::NAN };
    let steps = checkpoint.rows.iter().map(whole);
    if checkpoint.step > plan.steps() || !steps.eq(plan.record_steps()[..due].iter().map(|&step| step as f64)) {
        return Err(format!("has records that are not those of this run up to step {}", checkpoint.step));
    }
    engine.restore(&std::mem::take(&mut checkpoint.state)).map_err(|error| format!("does not fit: {error}"))?;
    if engine.step() != checkpoint.step {
        return Err(format!("has a state of step {}, not {}", engine.step(), checkpoint.step));
    }
    checkpoint.interruptions += 1;
    Ok(checkpoint)
}

/// Steps and records until the end, or until the run should stop and its checkpoint is written; whether it is the end.
fn drive(
    engine: &mut dyn Engine,
    plan: &Plan,
    run: &mut Checkpoint,
    store: &mut Store<'_>,
    options: &Options<'_>,
    stop: &Stop,
) -> Result<bool, RunFailure> {
    /// Time between two words on the progress.
    const TOLD_EVERY: Duration = Duration::from_millis(100);
    let (steps, before, start) = (plan.steps(), run.elapsed_seconds, Instant::now());
    let (mut saved, mut saved_at, mut told) = (None, start, None);
    loop {
        let step = engine.step();
        run.step = step;
        let now = Instant::now();
        if plan.record_steps().get(run.rows.len()) == Some(&step) {
            run.rows.push(engine.record().map_err(|error| explained(error, engine))?);
            told = None;
        }
        if told.is_none_or(|told| now >= told + TOLD_EVERY) {
            let row = run.rows.last().map_or(&[][..], Vec::as_slice);
            (options.progress)(&Progress { seed: run.origin.seed, step, steps, row });
            told = Some(now);
        }
        run.elapsed_seconds = before + start.elapsed().as_secs_f64();
        if step == steps {
            return Ok(true);
        }
        let stopped = stop.is_set();
        let due = now.saturating_duration_since(saved_at) >= options.checkpoint_every;
        if (stopped || due) && saved != Some(step) {
            run.state = engine.state();
            check_finite(&run.state, step)?;
            store.save(run)?;
            (saved, saved_at) = (Some(step), Instant::now());
        }
        if stopped {
            return Ok(false);
        }
        engine.advance().map_err(|error| explained(error, engine))?;
    }
}

/// A non-finite number's error with what it was that left the finite numbers first.
fn explained(error: RunFailure, engine: &mut dyn Engine) -> RunFailure {
    let RunFailure::NonFinite { step, .. } = error else { return error };
    let state = engine.state();
    if let Err(error) = check_finite(&state, step) {
        return error;
    }
    let largest = state.arrays.iter().map(|(_, array)| array.max_abs()).fold(0.0, f64::max);
    let cause = format!(
        "an output became infinite or NaN at finite weights, the largest number of the state being {largest:.1e}: take a \
         smaller optimizer.learning_rate"
    );
    RunFailure::NonFinite { step, cause }
}

/// Refuses a state with an infinity or a NaN in it.
fn check_finite(state: &Snapshot, step: u64) -> Result<(), RunFailure> {
    match state.arrays.iter().find(|(_, array)| !array.is_finite()) {
        None => Ok(()),
        Some((name, _)) => {
            let cause = format!("{name} became infinite or NaN: take a smaller optimizer.learning_rate");
            Err(RunFailure::NonFinite { step, cause })
        }
    }
}

/// Why `verify run`, `verify config` or `verify reproduce` stops with status 2. One line each.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The file is no configuration.
    #[error(transparent)]
    Config(#[from] SettingsError),
    /// A value of it is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too large for this machine.
    #[error(
        "{runs} would need up to {needed:.1} GiB of memory and {available:.1} GiB are free: take a smaller network.m, \
         optimizer.batch or model.d, or fewer --threads"
    )]
    Memory {
        /// How many runs, in words.
        runs: String,
        /// Estimate, GiB.
        needed: f64,
        /// Free, GiB.
        available: f64,
    },
    /// The short trial of a configuration failed.
    #[error("{}: in a trial, {source}", file.display())]
    Trial {
        /// The configuration.
        file: PathBuf,
        /// What happened.
        source: Box<RunFailure>,
    },
    /// The folder is somebody's.
    #[error("--out: {} holds {name:?}, which no run wrote; name an empty or new folder", out.display())]
    Occupied {
        /// The folder.
        out: PathBuf,
        /// What it holds.
        name: String,
    },
    /// The run failed.
    #[error("seed {seed}: {source}")]
    Run {
        /// Its seed.
        seed: u64,
        /// What happened.
        source: Box<RunFailure>,
    },
    /// Some runs failed, the others have gone on.
    #[error("{failed} of {of} runs failed; seed {seed}: {source}")]
    Runs {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
        /// The first one's seed.
        seed: u64,
        /// What happened to it.
        source: Box<RunFailure>,
    },
    /// Before a run could begin.
    #[error(transparent)]
    Failure(#[from] RunFailure),
    /// A result does not read.
    #[error("{0}")]
    Result(String),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] DurableError),
    /// The page could not be drawn.
    #[error(transparent)]
    Page(ReportError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
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
