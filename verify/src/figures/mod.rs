//! `verify figure`: the paper's numerical figures, over many seeds.

mod catalogue;
mod page;
mod reading;
mod results;
mod setting;
mod simulate;

use std::path::{Path, PathBuf};
use std::time::Instant;

use feature_contamination::Executor;

use crate::execute::{RunError, run_all};
use crate::flags::nearest;
use crate::plan::{Ladder, Plan, Rung};
use crate::progress::Progress;
use crate::report::folder::{Kind, Staging};
use crate::report::{ReportError, figure, series};
use catalogue::{ALL, Entry};
use page::{Drawn, Made};
use results::Results;
use setting::{Setting, Sizes};

/// What is recorded, in the order of the columns of `series/runs.csv`.
const COLUMNS: [&str; 4] = ["id_loss", "ood_loss", "core_norm", "background_norm"];

/// What the command leaves.
const FOLDER: Kind = Kind {
    json: "figures.json",
    entries: &["index.html", "figures", "figures.json", "series", ".DS_Store"],
    kept: &[],
};

/// Arguments of `verify figure`.
#[derive(Clone, Debug, clap::Args)]
pub struct FigureArgs {
    /// A figure's name, or all.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List the figures and stop.
    #[arg(long)]
    list: bool,
    /// Folder of the page and the figures.
    #[arg(long, value_name = "DIR", default_value = "reports/figures")]
    out: PathBuf,
    /// Random draws of data and start; 6 if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000), allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// Iterations of every run; if left out, 20,000 with a frozen output, 4,000 with a trained one, 500 of deep networks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    iterations: Option<u64>,
    /// Small networks, few iterations and seeds: a look at the page in seconds.
    #[arg(long)]
    quick: bool,
    /// Worker threads, one run each; all cores if left out. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = crate::flags::threads, allow_negative_numbers = true)]
    threads: Option<usize>,
}

/// Why `verify figure` stops with status 2. One line each.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// No such figure.
    #[error("{given:?} is no figure; did you mean {nearest}? There are {all}, and all")]
    Name {
        /// What was given.
        given: String,
        /// The nearest right name.
        nearest: &'static str,
        /// Every right name.
        all: String,
    },
    /// A flag asks for what cannot be.
    #[error("{0}")]
    Flag(String),
    /// A run stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The instruction set asked for is not there.
    #[error(transparent)]
    Isa(#[from] feature_contamination_kernels::IsaError),
    /// The folder cannot be written.
    #[error("--out: {0}")]
    Out(#[from] ReportError),
}

/// Makes the figures; returns what to say of them.
///
/// # Errors
/// Bad input, a run that stops, or a folder that cannot be written; nothing is written then.
pub fn run(args: &FigureArgs) -> Result<String, FigureError> {
    let name = match &args.name {
        Some(name) if !args.list => name,
        _ => return Ok(ALL.iter().map(|entry| format!("{:<15} {}\n", entry.name, entry.title)).collect()),
    };
    let entries = choose(name)?;
    let mut sizes = if args.quick { Sizes::QUICK } else { Sizes::PAPER };
    sizes.seeds = args.seeds.unwrap_or(sizes.seeds);
    sizes.iterations = args.iterations.map_or(sizes.iterations, |iterations| [iterations; 3]);
    let settings = distinct(&entries);
    let threads = args.threads.unwrap_or_else(crate::machine::cores);
    check_time(&sizes, &settings, threads)?;
    let executor = Executor::detect()?;
    Staging::new(&args.out, &FOLDER)?;

    let start = Instant::now();
    let tasks = settings.iter().flat_map(|setting| (1..=sizes.seeds).map(|seed| simulate::task(&sizes, setting, seed)));
    let mut plan = Plan::default();
    plan.add_tasks(&[Ladder { factor: "seed", rungs: vec![Rung { size: 1.0, runs: tasks.collect() }] }]);
    let progress = Progress::new(&plan.jobs());
    let runs = run_all(&plan, executor, threads, &|job| progress.done(job))?.tasks;
    progress.finish();
    let results = Results::new(sizes.clone(), settings, runs);
    let drawn = |entry: &&'static Entry| {
        let (figure, readings) = catalogue::draw(entry, &results);
        Drawn { entry, figure, readings }
    };
    let made = Made {
        name,
        args,
        results: &results,
        drawn: entries.iter().map(drawn).collect(),
        isa: executor.isa().to_string(),
        threads,
        seconds: start.elapsed().as_secs_f64(),
    };
    write(&made, &args.out)?;
    Ok(page::summary(&made, &args.out))
}

fn choose(name: &str) -> Result<Vec<&'static Entry>, FigureError> {
    if name == "all" {
        return Ok(ALL.iter().collect());
    }
    if let Some(entry) = ALL.iter().find(|entry| entry.name == name) {
        return Ok(vec![entry]);
    }
    let names: Vec<&'static str> = ALL.iter().map(|entry| entry.name).chain(["all"]).collect();
    Err(FigureError::Name {
        given: name.chars().take(40).collect(),
        nearest: nearest(names.iter().copied(), name).unwrap_or("all"),
        all: names[..names.len() - 1].join(", "),
    })
}

/// The settings of the figures, each once.
fn distinct(entries: &[&Entry]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for setting in entries.iter().flat_map(|entry| (entry.settings)()) {
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    settings
}

/// Refuses what would not end within a month.
fn check_time(sizes: &Sizes, settings: &[Setting], threads: usize) -> Result<(), FigureError> {
    let steps = |setting: &Setting| sizes.iterations(setting) as f64 * 1e-6;
    let seconds: f64 = settings.iter().map(|setting| sizes.flops(setting) / 1e10 + steps(setting)).sum();
    let runs = settings.len() as f64 * sizes.seeds as f64;
    let busy = (threads.min(crate::machine::cores()) as f64).min(runs);
    let days = seconds * sizes.seeds as f64 / busy / 86_400.0;
    if days <= 30.0 {
        return Ok(());
    }
    Err(FigureError::Flag(format!(
        "--iterations {}: would take about {days:.0e} days; must be fewer",
        sizes.iterations[0]
    )))
}

fn write(made: &Made<'_>, dir: &Path) -> Result<(), FigureError> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for Drawn { figure, .. } in &made.drawn {
        files.push((format!("figures/{}.svg", figure.id), figure::svg(figure)?.into_bytes()));
        files.push((format!("series/{}.csv", figure.id), series::write(figure).into_bytes()));
    }
    let malformed =
        |error: serde_json::Error| ReportError::Malformed { path: FOLDER.json.into(), message: error.to_string() };
    files.push(("series/runs.csv".to_owned(), made.results.csv().into_bytes()));
    files.push(("figures.json".to_owned(), page::json(made).map_err(malformed)?));
    files.push(("index.html".to_owned(), page::html(made).into_bytes()));
    let staging = Staging::new(dir, &FOLDER)?;
    for (name, content) in &files {
        staging.write(name, content)?;
    }
    Ok(staging.move_in()?)
}
