//! `verify run` and `verify config`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use feature_contamination::Executor;
use indicatif::{ProgressBar, ProgressStyle};

use super::config::{Plan, RunConfig, Sampling, Seeds};
use super::page::{self, Finished};
use super::{
    CHECKPOINT, CommandError, Ending, Options, PREVIOUS, Progress, RESULT, RunFailure, SERIES, Series, Stop, columns,
    estimate, run_in,
};
use crate::durable;
use crate::flags::{seed, threads};
use crate::lock::LOCK;
use crate::machine::cores;
use crate::report::text::duration;
use crate::report::write_file;

/// Exit status of a run that was asked to stop and has written its checkpoint.
pub const INTERRUPTED: u8 = 3;

/// Arguments of `verify run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration; `verify config --print-default` writes one with every key explained.
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// This seed instead of the file's.
    #[arg(long, value_name = "S", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Folder of the result; of several seeds, each has a folder in it.
    #[arg(long, value_name = "DIR", default_value = "reports/run")]
    out: PathBuf,
    /// Threads; all cores if left out. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Time between checkpoints; one is written on SIGINT, SIGTERM and SIGUSR1 besides.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = interval, allow_negative_numbers = true)]
    checkpoint_every: Duration,
}

/// Arguments of `verify config`.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ConfigArgs {
    /// Write a configuration with every key explained: of fresh sampling, the theory's model, or of a fixed set.
    #[arg(long, value_name = "fresh|fixed", num_args = 0..=1, default_missing_value = "fresh", value_parser = ["fresh", "fixed"])]
    print_default: Option<String>,
    /// Say what a configuration means: sizes, C, B, T0, T1 and T2, memory, and the time it takes, after a short trial.
    #[arg(long, value_name = "FILE.toml")]
    check: Option<PathBuf>,
}

/// A time of 0 s or more.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let year = Duration::from_secs(366 * 86_400);
    seconds.filter(|time| *time <= year).ok_or_else(|| "must be a number of seconds, 0 or more".to_owned())
}

/// `verify config`: what to print.
///
/// # Errors
/// The file is no configuration.
pub fn config(args: &ConfigArgs) -> Result<String, CommandError> {
    if let Some(sampling) = &args.print_default {
        let text = super::DEFAULTS.iter().find(|(name, _)| name == sampling).map_or("", |(_, text)| text);
        return Ok(text.to_owned());
    }
    let path = args.check.clone().unwrap_or_default();
    let config = RunConfig::load(&path)?;
    let plan = config.plan(config.seeds.list().first().copied().unwrap_or(1))?;
    let threads = cores();
    let at_once = threads.min(config.seeds.list().len());
    estimate::check_memory(&config, &plan, at_once)?;
    let executor = Executor::detect().map_err(RunFailure::from)?.with_threads((threads / at_once).max(1));
    // A run that fails in its first steps is what the check is for.
    let (estimate, failed) = match estimate::measure(&config, executor) {
        Ok(estimate) => (Some(estimate), None),
        Err(error) => (None, Some(error)),
    };
    let text = estimate::describe(&config, &plan, threads, estimate);
    match failed {
        None => Ok(text),
        Some(error) => Err(CommandError::Trial { file: path, source: Box::new(error) }),
    }
}

/// How `verify run` ended, and what to say of it.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: u8,
    /// For standard output.
    pub summary: String,
}

/// `verify run`.
///
/// # Errors
/// Bad input, a folder that is somebody's, or a run that failed; what other seeds have done is kept.
pub fn run(args: &RunArgs) -> Result<Ended, CommandError> {
    let mut config = RunConfig::load(&args.config)?;
    if let Some(seed) = args.seed {
        config.seeds = Seeds::List(vec![seed]);
    }
    let seeds = config.seeds.list();
    let plan = config.plan(seeds.first().copied().unwrap_or(1))?;
    let threads = args.threads.unwrap_or_else(cores);
    let at_once = threads.min(seeds.len()).max(1);
    estimate::check_memory(&config, &plan, at_once)?;
    check_folder(&args.out)?;
    let stop = Stop::on_signals().map_err(CommandError::Signals)?;
    let folder = |seed: u64| match seeds.len() {
        1 => args.out.clone(),
        _ => args.out.join(format!("seed-{seed}")),
    };
    let open = seeds.iter().filter(|&&seed| !super::is_complete(&folder(seed))).count();
    if open > 0 {
        let executor = Executor::detect().map_err(RunFailure::from)?.with_threads((threads / at_once).max(1));
        let failed = |source| CommandError::Run { seed: seeds.first().copied().unwrap_or(1), source: Box::new(source) };
        let estimate = estimate::measure(&config, executor).map_err(failed)?;
        let time = estimate.seconds * (open as f64 / at_once as f64).ceil();
        let memory = estimate::size(estimate.memory_bytes * at_once as f64);
        say(&format!("{open} of {} runs to do: at most {memory} of memory, about {}", seeds.len(), duration(time)));
    }

    let board = Board::new(&config, &plan, &seeds);
    let progress = |progress: &Progress<'_>| board.tell(progress);
    let warn = |line: &str| board.line(&format!("verify: {line}"));
    let options = Options {
        threads: (threads / at_once).max(1),
        checkpoint_every: args.checkpoint_every,
        progress: &progress,
        warn: &warn,
    };
    let next = AtomicUsize::new(0);
    let endings: Mutex<BTreeMap<usize, Result<Ending, RunFailure>>> = Mutex::default();
    let work = || {
        while let Some((index, &seed)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, seeds.get(i)?)))
        {
            if stop.is_set() {
                break;
            }
            let ending = run_in(&folder(seed), &config, seed, &options, &stop);
            endings.lock().unwrap_or_else(PoisonError::into_inner).insert(index, ending);
        }
    };
    std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    board.finish();
    let endings = endings.into_inner().unwrap_or_else(PoisonError::into_inner);

    let (mut finished, mut already, mut reached, mut failures) = (Vec::new(), 0, Vec::new(), Vec::new());
    for (index, ending) in endings {
        let seed = seeds[index];
        match ending {
            Ok(Ending::Interrupted { step }) => reached.push(format!("seed {seed} at step {step} of {}", plan.steps())),
            Ok(Ending::Complete(result)) => finished.push((seed, result)),
            Ok(Ending::Already(result)) => {
                already += 1;
                finished.push((seed, result));
            }
            Err(error) => failures.push((seed, error)),
        }
    }
    let failed = failures.len();
    if let Some((seed, source)) = failures.into_iter().next() {
        let source = Box::new(source);
        return Err(match seeds.len() {
            1 => CommandError::Run { seed, source },
            of => CommandError::Runs { failed, of, seed, source },
        });
    }
    if finished.len() < seeds.len() {
        let left = seeds.len() - finished.len();
        let at = if reached.is_empty() { String::new() } else { format!(", {}", reached.join(", ")) };
        say(&format!(
            "verify: stopped by {}{at}; {left} of {} runs are left; the same command goes on from there",
            stop.cause(),
            seeds.len()
        ));
        return Ok(Ended { status: INTERRUPTED, summary: String::new() });
    }
    let mut runs = Vec::new();
    for (seed, result) in finished {
        let series = result.series(&folder(seed)).map_err(CommandError::Result)?;
        runs.push(Finished { result: *result, series });
    }
    write_page(&config, &plan, &runs, &args.out)?;
    Ok(Ended { status: 0, summary: summary(&config, &runs, already, &args.out) })
}

/// Page, figure, the columns' meaning, and of several seeds one table.
fn write_page(config: &RunConfig, plan: &Plan, runs: &[Finished], out: &Path) -> Result<(), CommandError> {
    let mut columns = columns(config.model.sampling);
    let figure = page::figure(config, plan, runs);
    let svg = crate::report::figure::svg(&figure).map_err(CommandError::Page)?;
    let html = page::page(config, &columns, runs, &figure, &svg);
    if runs.len() > 1 {
        let seed =
            super::Column { name: "seed".to_owned(), unit: "1".to_owned(), meaning: "seed of the run".to_owned() };
        columns.insert(0, seed);
        let rows = runs
            .iter()
            .flat_map(|run| run.series.rows.iter().map(|row| [&[run.result.seed as f64], row.as_slice()].concat()));
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let table = Series { columns: names, rows: rows.collect() };
        write_file(&out.join(SERIES), table.csv().as_bytes()).map_err(CommandError::Page)?;
    }
    // Two programs may be at the page at once: no run is at stake, and temporary names have the process's number.
    for (name, content) in
        [("figures/run.svg", svg), ("series.json", page::sidecar(&columns, SERIES)), ("index.html", html)]
    {
        write_file(&out.join(name), content.as_bytes()).map_err(CommandError::Page)?;
    }
    Ok(())
}

fn summary(config: &RunConfig, runs: &[Finished], already: usize, out: &Path) -> String {
    let mut text = String::new();
    if already == runs.len() {
        text += "complete already; nothing was left to do\n";
    }
    for run in runs {
        let row = run.series.rows.last().map_or(&[][..], Vec::as_slice);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "seed {}: step {}, {}", run.result.seed, row.first().unwrap_or(&0.0), live(config, row));
    }
    text + &format!("report: {}\n", out.join("index.html").display())
}

/// The observables of a record in a few words.
fn live(config: &RunConfig, row: &[f64]) -> String {
    let shown: &[(&str, &str)] = match config.model.sampling {
        Sampling::Fresh => &[
            ("core", "core_median"),
            ("background", "background_median"),
            ("p_oth", "p_oth_median"),
            ("ID risk", "id_risk"),
            ("OOD risk", "ood_risk"),
        ],
        Sampling::Fixed => {
            &[("train", "train_loss"), ("test", "test_loss"), ("core", "core_norm"), ("background", "background_norm")]
        }
    };
    let columns = columns(config.model.sampling);
    let value = |column: &str| columns.iter().position(|c| c.name == column).and_then(|at| row.get(at));
    let words = shown.iter().filter_map(|(name, column)| Some(format!("{name} {:.4}", value(column)?)));
    words.collect::<Vec<_>>().join("  ")
}

/// A folder is used if it is empty, new, or has nothing in it but what this command leaves.
fn check_folder(out: &Path) -> Result<(), CommandError> {
    const ENTRIES: [&str; 9] =
        [LOCK, CHECKPOINT, PREVIOUS, RESULT, SERIES, "series.json", "index.html", "figures", ".DS_Store"];
    let io = |error| CommandError::from(durable::DurableError::new("read", out)(error));
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    for entry in entries {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let temporary = name.strip_prefix('.').and_then(|name| Some(name.split_once(".tmp")?.0));
        let ours = ENTRIES.contains(&temporary.unwrap_or(&name))
            || name.strip_prefix("seed-").is_some_and(|seed| seed.parse::<u64>().is_ok());
        if !ours {
            return Err(CommandError::Occupied { out: out.to_owned(), name });
        }
    }
    Ok(())
}

/// A line on standard error; a reader that has gone away is no error of ours.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Progress over the seeds: a bar with a live line of the observables on a terminal, ten plain lines elsewhere.
struct Board<'a> {
    config: &'a RunConfig,
    bar: Option<ProgressBar>,
    start: Instant,
    total: u64,
    /// Steps of each seed, of those before this program began, and the last tenth that was told of.
    state: Mutex<(BTreeMap<u64, u64>, Option<u64>, u64)>,
}

impl<'a> Board<'a> {
    fn new(config: &'a RunConfig, plan: &Plan, seeds: &[u64]) -> Self {
        let total = plan.steps().saturating_mul(seeds.len() as u64).max(1);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {eta} left  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { config, bar, start: Instant::now(), total, state: Mutex::default() }
    }

    fn tell(&self, progress: &Progress<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.insert(progress.seed, progress.step);
        let done: u64 = state.0.values().sum();
        let first = *state.1.get_or_insert(done);
        let observables = live(self.config, progress.row);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("seed {} step {}  {observables}", progress.seed, progress.step));
            return;
        }
        let tenth = 10 * done / self.total;
        if tenth > state.2 {
            state.2 = tenth;
            let rate = (done - first) as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
            let left = if done > first { duration((self.total - done) as f64 / rate) } else { "some time".to_owned() };
            let (seed, step) = (progress.seed, progress.step);
            say(&format!("{} %, about {left} left; seed {seed} step {step}: {observables}", 100 * done / self.total));
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
