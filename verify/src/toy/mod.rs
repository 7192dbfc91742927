//! `verify toy`: the authors' script again, from the start, the data and the curves that a file of it holds.

mod compare;
mod file;
pub(crate) mod npz;
mod page;

use std::path::{Path, PathBuf};
use std::time::Instant;

use feature_contamination::Executor;
use feature_contamination::mlp::{Examples, Problem, TrainError, Training};

use crate::report::ReportError;
use crate::report::folder::{Kind, Staging};
use compare::Match;
use file::ToyFile;
use npz::Npz;

pub use file::CURVES;

/// What the command leaves.
const FOLDER: Kind = Kind {
    json: "match.json",
    entries: &["index.html", "trajectory.csv", "match.json", "figures", ".DS_Store"],
    kept: &[],
};

/// Arguments of `verify toy`.
#[derive(Clone, Debug, clap::Args)]
pub struct ToyArgs {
    /// Start, data and curves of the authors' script.
    #[arg(long, value_name = "FILE.npz")]
    from: PathBuf,
    /// Folder of page, figure and trajectory.csv.
    #[arg(long, value_name = "DIR", default_value = "reports/toy")]
    out: PathBuf,
    /// Iterations; the file's if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    iterations: Option<u64>,
    /// Record iterations 0, K, 2K, … and the last one; the file's if left out.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    record_every: Option<u64>,
    /// Threads of every step; results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = crate::flags::threads, allow_negative_numbers = true)]
    threads: usize,
}

/// Why `verify toy` stops with status 2. One line each.
#[derive(Debug, thiserror::Error)]
pub enum ToyError {
    /// The file is not what it should be.
    #[error("{file}: {message}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A flag asks for what cannot be.
    #[error("{0}")]
    Flag(String),
    /// Training stopped.
    #[error("{file}: {source}")]
    Train {
        /// The file.
        file: String,
        /// What happened.
        source: Box<TrainError>,
    },
    /// The instruction set asked for is not there.
    #[error(transparent)]
    Isa(#[from] feature_contamination_kernels::IsaError),
    /// The folder cannot be written.
    #[error("--out: {0}")]
    Out(#[from] ReportError),
}

impl ToyError {
    fn new(file: &str, message: impl Into<String>) -> Self {
        // One line that can be read, whatever a library or a file says.
        let message: String = message.into();
        let message = message.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self::File { file: file.to_owned(), message }
    }
}

/// One row of `trajectory.csv`.
#[derive(Clone, Copy, Debug)]
struct Row {
    iteration: u64,
    /// In the order of [`CURVES`].
    values: [f64; 4],
}

/// A finished run, compared.
struct Outcome<'a> {
    name: String,
    file: &'a ToyFile,
    iterations: u64,
    rows: Vec<Row>,
    matches: Vec<Match>,
    path: String,
    seconds: f64,
}

impl Outcome<'_> {
    fn is_match(&self) -> bool {
        self.matches.iter().all(Match::holds)
    }
}

/// Whether the bytes of a `.npz` file are what [`run`] starts from; `name` stands for the file in the message.
///
/// # Errors
/// Whatever is wrong with them, in one line.
pub fn check(name: &str, bytes: &[u8]) -> Result<(), ToyError> {
    ToyFile::of(&mut Npz::of(name, bytes)?).map(drop)
}

/// Trains, compares, writes; returns whether every point matches and what to say of it.
///
/// # Errors
/// Bad input, or a folder that cannot be written; nothing is written then.
pub fn run(args: &ToyArgs) -> Result<(bool, String), ToyError> {
    let file = ToyFile::read(&args.from)?;
    let iterations = args.iterations.unwrap_or(file.config.iterations);
    check_time(&file, iterations).map_err(|message| match args.iterations {
        Some(_) => ToyError::Flag(format!("--iterations {message}")),
        None => ToyError::new(&args.from.display().to_string(), format!("config: iterations = {message}")),
    })?;
    let schedule = schedule(&file, iterations, args.record_every)?;
    let executor = Executor::detect()?.with_threads(args.threads);
    Staging::new(&args.out, &FOLDER)?;

    let start = Instant::now();
    let failed = |source| ToyError::Train { file: args.from.display().to_string(), source: Box::new(source) };
    let (rows, path) = train(&file, executor, iterations, &schedule).map_err(failed)?;
    let outcome = Outcome {
        name: args.from.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        file: &file,
        iterations,
        matches: compare::curves(&file, &rows),
        rows,
        path,
        seconds: start.elapsed().as_secs_f64(),
    };
    write(&outcome, &args.out)?;
    Ok((outcome.is_match(), summary(&outcome, &args.out)))
}

/// Refuses what would not end within a month.
fn check_time(file: &ToyFile, iterations: u64) -> Result<(), String> {
    let config = &file.config;
    let [n, inputs, hidden] = [config.n, config.input_dim, config.hidden_dim].map(|size| size as f64);
    let flops = 6.0 * n * hidden * (inputs + (config.layers - 2) as f64 * hidden);
    let days = iterations as f64 * (flops / 1e10 + 1e-6) / 86_400.0;
    if days <= 30.0 {
        return Ok(());
    }
    Err(format!("{iterations}: would take about {days:.0e} days; must be fewer"))
}

/// The iterations to record, ascending: the file's, or every so many, and the last one.
fn schedule(file: &ToyFile, iterations: u64, every: Option<u64>) -> Result<Vec<u64>, ToyError> {
    const MOST: u64 = 1_000_000;
    let mut schedule: Vec<u64> = match every {
        Some(every) if iterations.div_ceil(every) > MOST => {
            let least = iterations.div_ceil(MOST);
            return Err(ToyError::Flag(format!(
                "--record-every {every}: must be at least {least}, for {MOST} records"
            )));
        }
        Some(every) => (0..iterations).step_by(usize::try_from(every).unwrap_or(usize::MAX)).collect(),
        None => file.iterations.iter().copied().filter(|&i| i < iterations).collect(),
    };
    if schedule.last() != Some(&(iterations - 1)) {
        schedule.push(iterations - 1);
    }
    if !schedule.iter().any(|i| file.iterations.binary_search(i).is_ok()) {
        let first = file.iterations[0];
        return Err(ToyError::Flag(format!(
            "no iteration that would be recorded is among the file's, of which the first is {first}: nothing to compare"
        )));
    }
    Ok(schedule)
}

fn train(
    file: &ToyFile,
    executor: Executor,
    iterations: u64,
    schedule: &[u64],
) -> Result<(Vec<Row>, String), TrainError> {
    let problem = Problem {
        train: Examples { x: &file.train_x, y: &file.y },
        test: Examples { x: &file.test_x, y: &file.y },
        dictionary: &file.transform,
    };
    let mut training = Training::new(executor, file.network.clone(), problem, file.loss, file.optimizer)?;
    let mut rows = Vec::with_capacity(schedule.len());
    let mut due = schedule.iter().copied().peekable();
    for iteration in 0..iterations {
        training.advance()?;
        if due.next_if_eq(&iteration).is_some() {
            let [core, background] = training.feature_norms(file.config.core_dim);
            let values = [training.train_loss()?, training.test_loss()?, core, background];
            rows.push(Row { iteration, values });
        }
    }
    Ok((rows, training.path()))
}

fn write(outcome: &Outcome<'_>, dir: &Path) -> Result<(), ToyError> {
    let figure = page::figure(outcome);
    let svg = crate::report::figure::svg(&figure)?;
    let mut csv = format!("iteration,{}\n", CURVES.join(","));
    for row in &outcome.rows {
        let values = row.values.map(|x| format!("{x:e}")).join(",");
        csv.push_str(&format!("{},{values}\n", row.iteration));
    }
    let staging = Staging::new(dir, &FOLDER)?;
    staging.write("trajectory.csv", csv.as_bytes())?;
    staging.write("match.json", page::json(outcome).as_bytes())?;
    staging.write("figures/toy.svg", svg.as_bytes())?;
    staging.write("index.html", page::html(outcome, &figure, &svg).as_bytes())?;
    Ok(staging.move_in()?)
}

fn summary(outcome: &Outcome<'_>, dir: &Path) -> String {
    let mut text = format!("{}: {}\n", outcome.name, page::setting(outcome.file));
    text += &format!("{} iterations in {:.2} s, {}\n", outcome.iterations, outcome.seconds, outcome.path);
    for (name, found) in CURVES.iter().zip(&outcome.matches) {
        let verdict = if found.holds() { "matches" } else { "differs" };
        text += &format!(
            "{name:<16} {verdict}: |difference| is at most {:.3} of the tolerance (iteration {}: {:.2e} of {:.2e} relative)\n",
            found.ratio, found.iteration, found.difference, found.tolerance
        );
    }
    let points = outcome.matches.first().map_or(0, |found| found.points);
    let all = if outcome.is_match() { "every curve matches" } else { "not every curve matches" };
    text += &format!("{all} at the file's {points} iterations that were recorded\n");
    text + &format!("report: {}\n", dir.join("index.html").display())
}
