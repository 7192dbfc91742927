//! Sweeps: many runs from one file, shared out over threads, processes and machines.
//!
//! [`grid`] reads the file, [`manifest`] names every run and is written once, [`work`] carries runs out under locks
//! ([`crate::lock`]), [`state`] tells what has become of each by its folder alone, [`merge`] makes one table. There is no scheduler and no
//! server: processes share a folder, and whatever ends any of them, the others and the next ones go on.

pub mod grid;
pub mod manifest;
pub mod merge;
mod npz;
pub mod state;
pub mod status;
pub mod work;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Subcommand;
use feature_contamination::Executor;
use indicatif::{ProgressBar, ProgressStyle};

use crate::flags::threads;
use crate::machine::{available_memory, cores};
use crate::report::ReportError;
use crate::report::text::duration;
use crate::run::command::{INTERRUPTED, interval};
use crate::run::{DurableError, Stop, estimate};
use grid::Sweep;
use manifest::{Manifest, Planned};
use status::Status;
use work::{Share, Tally, Work};

/// Why a sweep cannot be planned, carried out or merged. One line each.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A flag or a variable of the scheduler is wrong.
    #[error("{0}")]
    Usage(String),
    /// A file is wrong.
    #[error("{0}")]
    File(String),
    /// The sweep's folder is somebody else's.
    #[error("{0}")]
    Folder(String),
    /// A point of the grid is wrong.
    #[error("{0}")]
    Point(String),
    /// A file could not be read or written.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The merged table could not be written.
    #[error("--out: {0}")]
    Out(ReportError),
    /// The instruction set asked for is not there.
    #[error(transparent)]
    Isa(#[from] feature_contamination_kernels::IsaError),
}

impl SweepError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let error = DurableError::new(action, path);
        move |source| Self::Durable(error(source))
    }
}

/// `verify sweep …`.
#[derive(Debug, Subcommand)]
pub enum SweepCommand {
    /// Write the manifest of a sweep: every run of the grid, checked and named. One that is there is never replaced.
    Plan {
        /// The keys of a run's file, and a [grid] of what varies.
        #[arg(long, value_name = "SWEEP.toml")]
        config: PathBuf,
        /// Folder of the sweep.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Carry out the runs of a sweep, or a share of them. Resumable, and as many processes as there are may do it at once.
    ///
    /// In a Slurm job array each task takes its share by itself. Exit status: 0, nothing is left for this process to do; 1,
    /// the same, but runs have failed; 2, an error; 3, a signal (SIGTERM, SIGINT, SIGUSR1) stopped it: checkpoints are
    /// written, and the same command goes on.
    Run {
        /// Folder of the sweep.
        dir: PathBuf,
        /// Take every K-th run, from the I-th on, counted from 0.
        #[arg(long, value_name = "I", requires = "of")]
        index: Option<usize>,
        /// Into how many shares the runs are divided.
        #[arg(long, value_name = "K", requires = "index")]
        of: Option<usize>,
        /// Threads, one run each; all cores, or those of the Slurm job, if left out. Results do not depend on it.
        #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
        threads: Option<usize>,
        /// Time between the checkpoints of a run; one is written on SIGINT, SIGTERM and SIGUSR1 besides.
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = interval, allow_negative_numbers = true)]
        checkpoint_every: Duration,
    },
    /// Say what has become of every run.
    Status {
        /// Folder of the sweep.
        dir: PathBuf,
        /// All of it, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let failed runs begin anew, and stale ones go on from their checkpoints, at the next `sweep run`.
    Retry {
        /// Folder of the sweep.
        dir: PathBuf,
    },
    /// Make one table of all results: FILE.csv, one row a run with what it observed at the end; FILE.npz, every record;
    /// FILE.json, units and meaning.
    Merge {
        /// Folder of the sweep.
        dir: PathBuf,
        /// The table.
        #[arg(long, value_name = "FILE.csv")]
        out: PathBuf,
        /// Leave out runs that have no result, instead of refusing.
        #[arg(long)]
        partial: bool,
    },
}

/// Carries out a command; its exit status.
///
/// # Errors
/// Whatever ends the program with status 2.
pub fn run(command: SweepCommand, say: &dyn Fn(&str)) -> Result<ExitCode, SweepError> {
    match command {
        SweepCommand::Plan { config, out } => {
            let planned = Manifest::plan(Sweep::load(&config)?)?;
            let new = planned.manifest.write(&out)?;
            say(&summary(&planned, new, &out)?);
        }
        SweepCommand::Run { dir, index, of, threads, checkpoint_every } => {
            let variable = |name: &str| std::env::var(name).ok();
            let share = match (index, of) {
                (Some(index), Some(of)) if index < of => Share::Every { index, of },
                (Some(index), Some(of)) => {
                    return Err(SweepError::Usage(format!("--index {index}: must be below --of {of}")));
                }
                _ => Share::of_slurm(variable)?.unwrap_or(Share::Every { index: 0, of: 1 }),
            };
            let threads = threads.unwrap_or_else(|| given_cores(variable));
            return carry_out(&dir, share, threads, checkpoint_every, say);
        }
        SweepCommand::Status { dir, json } => {
            let manifest = Manifest::load(&dir)?;
            let status = Status::of(&dir, &manifest)?;
            match json {
                true => say(&(status.json() + "\n")),
                false => say(&status.table(&manifest)),
            }
        }
        SweepCommand::Retry { dir } => {
            let retried = status::retry(&dir, &Manifest::load(&dir)?)?;
            say(&format!("{} failed runs begin anew, {} stale ones go on\n", retried.failed, retried.stale));
        }
        SweepCommand::Merge { dir, out, partial } => {
            let sidecar = merge::merge(&dir, &Manifest::load(&dir)?, &out, partial, cores())?;
            say(&format!("{}: {} of {} runs\n", out.display(), sidecar.runs, sidecar.planned));
            for (what, kinds) in [("instruction sets", &sidecar.isas), ("commits", &sidecar.commits)] {
                if kinds.len() > 1 {
                    let names: Vec<String> = kinds.iter().map(|(name, count)| format!("{name} ({count})")).collect();
                    eprintln_line(&format!("the results are of different {what}: {}", names.join(", ")));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line on standard error; a reader that has gone away is no error of ours.
fn eprintln_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What a plan comes to. The time is that of a trial of the longest run, the others' in proportion.
fn summary(planned: &Planned, new: bool, out: &Path) -> Result<String, SweepError> {
    /// What a run costs besides: its files, made safe.
    const FILES: f64 = 0.003;
    let Planned { manifest, longest, longest_runs } = planned;
    let (points, seeds, runs) = (manifest.points.len(), manifest.seeds.len(), manifest.ids.len());
    let time = if available_memory().is_some_and(|available| manifest.memory_bytes > available) {
        "more than this machine has free".to_owned()
    } else {
        let here = cores();
        match estimate::measure(&manifest.config(*longest)?, Executor::detect()?) {
            Ok(trial) => {
                let seconds = trial.seconds * longest_runs + FILES * runs as f64;
                let shared = duration(seconds / here.min(runs) as f64);
                format!("all of them about {} on one core, {shared} on the {here} of this machine", duration(seconds))
            }
            // Of the run's own making: it will be recorded, and the others go on.
            Err(error) => format!("and that of grid point {} fails at once: {error}", longest + 1),
        }
    };
    Ok(format!(
        "{}: {points} points of the grid × {seeds} seeds = {runs} runs{}\nthe largest run takes up to {}, {time}\n",
        out.display(),
        if new { "" } else { ", as planned before" },
        estimate::size(manifest.memory_bytes),
    ))
}

/// Threads that this process may keep busy: what the Slurm job was given, where it is one, at most what there is.
fn given_cores(variable: impl Fn(&str) -> Option<String>) -> usize {
    let there = cores();
    let given = ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"].iter().find_map(|name| variable(name)?.parse().ok());
    given.map_or(there, |given: usize| given.clamp(1, there))
}

fn carry_out(
    dir: &Path,
    share: Share,
    threads: usize,
    checkpoint_every: Duration,
    say: &dyn Fn(&str),
) -> Result<ExitCode, SweepError> {
    let manifest = Manifest::load(dir)?;
    let executor = Executor::detect()?;
    let threads = match available_memory().map(|available| (available / manifest.memory_bytes) as usize) {
        Some(0) => {
            let needed = estimate::size(manifest.memory_bytes);
            return Err(SweepError::Usage(format!("the largest run takes up to {needed}, and less is free here")));
        }
        Some(fit) if fit < threads => {
            eprintln_line(&format!("{fit} runs at once instead of {threads}: the memory that is free holds no more"));
            fit
        }
        _ => threads,
    };
    let stop = Stop::on_signals().map_err(SweepError::io("handle signals for", dir))?;
    let bar = Bar::new();
    let (tell, progress) = (|line: &str| bar.tell(line), |tally: &Tally| bar.show(tally));
    let work = Work { executor, share, threads, checkpoint_every, stop: &stop, tell: &tell, progress: &progress };
    let tally = work::run(dir, &manifest, work);
    bar.clear();
    let tally = tally?;
    say(&format!("{tally}\n"));
    if stop.is_set() {
        eprintln_line(&format!("stopped by {}; the same command goes on", stop.cause()));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(u8::from(tally.failed > 0)))
}

/// Progress: a bar on a terminal, a line now and then elsewhere.
struct Bar {
    bar: Option<ProgressBar>,
    start: Instant,
    /// When the last line was written.
    last: Mutex<Instant>,
}

impl Bar {
    /// Between lines where there is no terminal.
    const PAUSE: Duration = Duration::from_secs(10);

    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left");
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, start: Instant::now(), last: Mutex::new(Instant::now()) }
    }

    fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln_line(line)),
            None => eprintln_line(line),
        }
    }

    fn show(&self, tally: &Tally) {
        if let Some(bar) = &self.bar {
            bar.set_length(tally.total as u64);
            bar.set_position(tally.ended() as u64);
            bar.set_message(tally.to_string());
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() < Self::PAUSE {
            return;
        }
        *last = Instant::now();
        let (now, left) = (tally.completed + tally.failed, tally.total - tally.ended());
        let seconds = self.start.elapsed().as_secs_f64() * left as f64 / now.max(1) as f64;
        eprintln_line(&format!("{tally}; about {} left", duration(seconds)));
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slurm_job_keeps_as_many_cores_busy_as_it_was_given() {
        let of = |variables: &[(&str, &str)]| {
            given_cores(|name| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), cores());
        assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "1")]), 1);
        assert_eq!(of(&[("SLURM_CPUS_ON_NODE", "1")]), 1);
        // What the task was given, and not the whole node's.
        assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "1"), ("SLURM_CPUS_ON_NODE", "64")]), 1);
        assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "100000")]), cores());
        assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "0")]), 1);
        assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "many")]), cores());
    }
}
