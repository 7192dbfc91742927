//! The command line: `verify [FLAGS]`, and its subcommands.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use feature_contamination::{Executor, SpecError};

use crate::bench::{self, BenchError};
use crate::claims::Claim;
use crate::claims::own::Own;
use crate::controls::{self, Control};
use crate::execute::{RunError, run_all};
use crate::figures::{self, FigureArgs, FigureError};
use crate::flags::{nearest, seed, threads};
use crate::instrument::{self, false_alarms, robustness};
use crate::judge::{judge_claim, judge_control};
use crate::machine::{available_memory, cores, cpu_name};
use crate::parallel::parallel;
use crate::plan::{Job, Plan};
use crate::progress::Progress;
use crate::report::model::{ControlReport, Host, Report, SCHEMA_VERSION, Table, Verdict};
use crate::report::{self, ReportError};
use crate::run::command::{ConfigArgs, RunArgs};
use crate::run::reproduce::ReproduceArgs;
use crate::run::{self, CommandError};
use crate::settings::{PROFILES, Rate, Settings, SettingsError};
use crate::statement::{Planned, Statement};
use crate::stats::StatsError;
use crate::sweep::{self, SweepCommand, SweepError};
use crate::toy::{self, ToyArgs, ToyError};
use crate::trajectories;

/// Check the theorems of the feature-contamination paper against simulated trajectories.
///
/// Exit status: 0, every claim holds and every control was caught; 1, a claim does not hold or a control was not caught;
/// 2, an error.
#[derive(Debug, Parser)]
#[command(name = "verify", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Sizes, seeds and times: quick (under a minute on two cores) or full.
    #[arg(long, value_name = "NAME", value_parser = PROFILES)]
    profile: Option<String>,
    /// Judge this claim and its controls only; may be repeated.
    #[arg(long = "claim", value_name = "ID")]
    claims: Vec<String>,
    /// List claims and controls and stop.
    #[arg(long)]
    list: bool,
    /// Seed of the report.
    #[arg(long, value_name = "S", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Worker threads, one run each; all cores if left out. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Folder of the report.
    #[arg(long, value_name = "DIR", default_value = "reports/latest")]
    out: PathBuf,
    /// Settings over the profile's; its keys are those of verify/src/profiles/quick.toml.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw page and figures again from a saved report, without simulating.
    Report {
        /// Folder of the report.
        dir: PathBuf,
        /// Folder of tables of the instrument (reports/instrument) to put into its appendix, each in the place of the one of
        /// its name.
        #[arg(long, value_name = "DIR")]
        appendix: Option<PathBuf>,
    },
    /// Make a page of what `cargo bench` measured, beside its targets. Exit status 0 whether they are reached or not.
    BenchReport {
        /// Folder that criterion wrote.
        #[arg(long, value_name = "DIR", default_value = "target/criterion")]
        criterion: PathBuf,
        /// What benches/torch_step.py wrote.
        #[arg(long, value_name = "FILE.json")]
        torch: Option<PathBuf>,
        /// Folder of the page.
        #[arg(long, value_name = "DIR", default_value = "reports/bench")]
        out: PathBuf,
    },
    /// Repeat a run of the authors' script from a file of it and compare; exit status 1 if a curve differs.
    Toy(ToyArgs),
    /// Carry out a run of one's own, at one seed or several, and survive interruptions.
    ///
    /// On SIGINT, SIGTERM or SIGUSR1 it writes a checkpoint and ends with exit status 3; the same command then goes on, bit for
    /// bit as if it had not been interrupted, or says that the run is complete. Exit status: 0, complete; 2, an error; 3,
    /// interrupted.
    Run(RunArgs),
    /// Write a configuration file for `verify run`, or say what one means.
    Config(ConfigArgs),
    /// Carry out a finished run again and compare; exit status 1 if it comes out otherwise.
    ///
    /// On the result's instruction set every bit must be the same, on another every number to rounding.
    Reproduce(ReproduceArgs),
    /// Plan, carry out and merge many runs of one's own: a grid in a file, on one machine or a cluster's scheduler.
    Sweep {
        #[command(subcommand)]
        command: SweepCommand,
    },
    /// Draw the paper's numerical figures over many seeds, each beside a linear network.
    Figure(FigureArgs),
    /// Measure how often the intervals miss, and hold the quantiles against published values.
    ///
    /// Exit status 1 if a method misses more often than it may.
    Coverage {
        /// Simulated intervals of each method and sample.
        #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
        replicates: u64,
        /// Seed of the samples.
        #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed)]
        seed: u64,
        /// Folder of the tables.
        #[arg(long, value_name = "DIR", default_value = "reports/instrument")]
        out: PathBuf,
    },
    /// Judge a profile's claims, without the controls, for many seeds, and count what chance turned.
    ///
    /// Resumable: every seed leaves a small file in DIR/seeds, and those that this program has left for these settings are
    /// not done again. Exit status 1 if more was turned than the family-wise error allows, beyond doubt.
    FalseAlarms {
        /// Seeds A to B - 1.
        #[arg(long, value_name = "A..B", value_parser = false_alarms::seeds)]
        seeds: std::ops::Range<u64>,
        /// The profile.
        #[arg(long, value_name = "NAME", default_value = "quick", value_parser = PROFILES)]
        profile: String,
        /// Worker threads, one run each; all cores if left out.
        #[arg(long, value_name = "N", value_parser = threads)]
        threads: Option<usize>,
        /// Folder of the seeds' files and of the table.
        #[arg(long, value_name = "DIR", default_value = "reports/instrument")]
        out: PathBuf,
    },
    /// Judge the claims on training with one of the paper's assumptions given up at a time: a map, and not a pass or a fail.
    Robustness(InstrumentArgs),
    /// Break the simulator on purpose, in one way after another, and see which claims notice.
    ///
    /// Exit status 1 if a defect goes unnoticed, or a claim notices none.
    #[cfg(feature = "mutations")]
    Mutations(InstrumentArgs),
}

/// Flags of a table that takes runs.
#[derive(Debug, clap::Args)]
struct InstrumentArgs {
    /// Seed of the runs.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// Worker threads, one run each; all cores if left out.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// Folder of the tables and figures.
    #[arg(long, value_name = "DIR", default_value = "reports/instrument")]
    out: PathBuf,
}

/// Why the program stops with status 2. One line each.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A flag or its value is wrong.
    #[error("{0}")]
    Usage(String),
    /// No such claim.
    #[error("{place} {given}: no such claim; did you mean {nearest}? There are {all}")]
    Claim {
        /// Flag or key.
        place: &'static str,
        /// What was given.
        given: String,
        /// The nearest right name.
        nearest: &'static str,
        /// Every right name.
        all: String,
    },
    /// Settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A run that the settings ask for is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too large for this machine.
    #[error(
        "these sizes need about {needed:.1e} GiB of memory and {available:.1} GiB are free; the largest run has {largest}: \
         take smaller sizes or fewer --threads"
    )]
    Memory {
        /// Estimate, GiB.
        needed: f64,
        /// Free, GiB.
        available: f64,
        /// The run that needs most.
        largest: String,
    },
    /// Too long for anyone.
    #[error("these sizes would take about {days:.0e} days; the longest run has {longest}: take smaller ones")]
    Time {
        /// Estimate, days.
        days: f64,
        /// The run that takes longest.
        longest: String,
    },
    /// The instruction set asked for is not there.
    #[error(transparent)]
    Isa(#[from] feature_contamination_kernels::IsaError),
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A statistic could not be computed.
    #[error("claim {claim}: {source}")]
    Statistic {
        /// The claim.
        claim: &'static str,
        /// What happened.
        source: StatsError,
    },
    /// The report cannot be written.
    #[error("--out: {0}")]
    Out(ReportError),
    /// The report cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The page on the benchmarks cannot be made.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The authors' script could not be repeated.
    #[error(transparent)]
    Toy(#[from] ToyError),
    /// A run of one's own.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A sweep could not be planned, carried out or merged.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// A figure could not be made.
    #[error("figure: {0}")]
    Figure(#[from] FigureError),
}

/// The whole program, for these claims; see [`main_of`].
pub fn main(claims: &[&'static dyn Claim]) -> ExitCode {
    main_of(&claims.iter().map(|&claim| Statement::Claim(claim)).collect::<Vec<_>>())
}

/// The whole program, for these claims and studies: its exit status, and on standard error the one line that says why it
/// is 2.
///
/// They are [`Statement::all`] in `verify`; a program of one's own gives its own and has every flag and subcommand besides.
/// Controls are run for those that have some in [`controls::ALL`].
pub fn main_of(statements: &[Statement]) -> ExitCode {
    run(std::env::args_os(), statements).unwrap_or_else(|error| {
        // One line, whatever is in a file's name; a reader that has gone away is no reason to panic.
        let line = error.to_string().replace(char::is_control, " ");
        let _ = writeln!(std::io::stderr(), "verify: {line}");
        ExitCode::from(2)
    })
}

/// Runs the program on the arguments, the program's name first.
///
/// # Errors
/// Whatever ends the program with status 2.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>, statements: &[Statement]) -> Result<ExitCode, CliError> {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return Err(CliError::Usage(one_line(&error.to_string()))),
        Err(help) => {
            say(&help.to_string());
            return Ok(ExitCode::SUCCESS);
        }
    };
    match args.command {
        Some(Command::Report { dir, appendix }) => {
            match appendix {
                Some(tables) => report::renew_appendix(&dir, &tables)?,
                None => drop(report::regenerate(&dir)?),
            }
            say(&format!("{}\n", dir.join("index.html").display()));
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::BenchReport { criterion, torch, out }) => {
            let [reached, missed, open] = bench::report(&criterion, torch.as_deref(), &out)?;
            say(&format!("targets: {reached} reached, {missed} not reached, {open} not measured\n"));
            say(&format!("report: {}\n", out.join("index.html").display()));
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Toy(args)) => {
            let (matches, summary) = toy::run(&args)?;
            say(&summary);
            return Ok(ExitCode::from(u8::from(!matches)));
        }
        Some(Command::Run(args)) => return ended(run::command::run(&args)?),
        Some(Command::Config(args)) => {
            say(&run::command::config(&args)?);
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Reproduce(args)) => return ended(run::reproduce::run(&args)?),
        Some(Command::Sweep { command }) => return Ok(sweep::run(command, &say)?),
        Some(Command::Figure(args)) => {
            say(&figures::run(&args)?);
            return Ok(ExitCode::SUCCESS);
        }
        Some(Command::Coverage { replicates, seed, out }) => {
            let (tables, good) = instrument::statistics(seed, replicates)
                .map_err(|source| CliError::Statistic { claim: "coverage", source })?;
            return write_tables(&tables, good, &out);
        }
        Some(Command::FalseAlarms { seeds, profile, threads, out }) => {
            let threads = threads.unwrap_or_else(cores);
            let (table, good) = false_alarms::run(seeds, &profile, threads, &out)?;
            return write_tables(&[table], good, &out);
        }
        Some(Command::Robustness(InstrumentArgs { seed, threads, out })) => {
            let settings = robustness::settings(seed)?;
            let (threads, command) = (threads.unwrap_or_else(cores), format!("-- robustness --seed {seed}"));
            let tables = robustness::measure(&settings, robustness::SWITCHES, threads, command)?;
            report::write_tables(&tables, &out).map_err(CliError::Out)?;
            say(&format!("report: {}\n", out.join("index.html").display()));
            return Ok(ExitCode::SUCCESS);
        }
        #[cfg(feature = "mutations")]
        Some(Command::Mutations(InstrumentArgs { seed, threads, out })) => {
            let matrix = instrument::mutations::measure(seed, threads.unwrap_or_else(cores))?;
            let gaps = matrix.gaps();
            gaps.iter().for_each(|gap| say(&format!("{gap}\n")));
            return write_tables(&matrix.tables(), gaps.is_empty(), &out);
        }
        None => {}
    }
    let mut settings = match &args.config {
        Some(path) => Settings::load(path, args.profile.as_deref())?,
        None => Settings::profile(args.profile.as_deref().unwrap_or("quick"))?,
    };
    if let Some(seed) = args.seed {
        settings.seed = seed;
    }
    settings.validate()?;
    let own = Own::all(&settings).into_iter().map(Statement::Claim);
    let statements: Vec<Statement> = statements.iter().copied().chain(own).collect();
    let claims = if args.claims.is_empty() {
        choose(&statements, "claims =", &settings.claims)?
    } else {
        choose(&statements, "--claim", &args.claims)?
    };
    let controls: Vec<&Control> =
        controls::ALL.iter().filter(|control| claims.iter().any(|claim| claim.id() == control.claim)).collect();
    if args.list {
        list(&claims, &controls);
        return Ok(ExitCode::SUCCESS);
    }
    let threads = args.threads.unwrap_or_else(cores);
    let executor = Executor::detect()?;
    report::check_writable(&args.out).map_err(CliError::Out)?;

    let start = Instant::now();
    // A report from a profile alone is repeated by its name, any other by its settings.
    let pristine = Settings { seed: settings.seed, ..Settings::profile(&settings.profile)? };
    let source = match &args.config {
        Some(path) if settings != pristine => {
            format!("{} with {}", settings.profile, path.file_name().unwrap_or_default().to_string_lossy())
        }
        _ => settings.profile.clone(),
    };
    let (report, trajectories) = verify(&settings, &source, &claims, &controls, executor, threads, start)?;
    report::write(&report, Some(&trajectories), &settings.to_toml(), &args.out).map_err(CliError::Out)?;
    summarise(&report);
    say(&format!("report: {}\n", args.out.join("index.html").display()));
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Says how a run of one's own ended.
fn ended(ended: run::command::Ended) -> Result<ExitCode, CliError> {
    say(&ended.summary);
    Ok(ExitCode::from(ended.status))
}

/// Writes the tables of the instrument; status 1 if they are not good.
fn write_tables(tables: &[Table], good: bool, out: &std::path::Path) -> Result<ExitCode, CliError> {
    report::write_tables(tables, out).map_err(CliError::Out)?;
    say(&format!("{}: {}\n", if good { "as promised" } else { "not as promised" }, out.join("index.html").display()));
    Ok(ExitCode::from(u8::from(!good)))
}

/// Plan, simulate, judge.
fn verify(
    settings: &Settings,
    source: &str,
    claims: &[Statement],
    controls: &[&Control],
    executor: Executor,
    threads: usize,
    start: Instant,
) -> Result<(Report, Vec<u8>), CliError> {
    let claims: Vec<Planned> = claims.iter().map(|claim| claim.plan(settings)).collect();
    // One that names a claim that is none was not chosen.
    let controls: Vec<(&Control, Planned)> =
        controls.iter().filter_map(|&control| Some((control, control.plan(settings)?))).collect();
    let mut plan = Plan::default();
    claims.iter().chain(controls.iter().map(|(_, planned)| planned)).for_each(|planned| planned.add_to(&mut plan));
    for spec in plan.specs() {
        spec.validate().map_err(|error| by_rule(settings, error))?;
    }
    let jobs = plan.jobs();
    check_memory(&jobs, threads)?;
    check_time(&jobs, threads)?;

    let progress = Progress::new(&jobs);
    let results = run_all(&plan, executor, threads, &|job| progress.done(job))?;
    progress.finish();

    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        profile: source.to_owned(),
        seed: settings.seed,
        commit: env!("FC_COMMIT").to_owned(),
        host: Host { cpu: cpu_name(), isa: executor.isa().to_string(), threads },
        elapsed_seconds: 0.0,
        claims: vec![],
        controls: vec![],
        appendix: instrument::kept(),
    };
    let refused = |planned: &Planned| {
        let claim = planned.statement().id();
        move |source| CliError::Statistic { claim, source }
    };
    let judged = parallel(claims.len(), threads, |index| {
        let planned = &claims[index];
        judge_claim(planned, settings, &plan, &results).map_err(refused(planned))
    });
    report.claims = judged.into_iter().collect::<Result<_, _>>()?;
    let judged = parallel(controls.len(), threads, |index| {
        let (control, planned) = &controls[index];
        judge_control(control, planned, settings, &plan, &results).map_err(refused(planned))
    });
    report.controls = judged.into_iter().collect::<Result<_, _>>()?;
    report.elapsed_seconds = start.elapsed().as_secs_f64();
    Ok((report, trajectories::csv(&results.runs)))
}

fn choose(all: &[Statement], place: &'static str, ids: &[String]) -> Result<Vec<Statement>, CliError> {
    for id in ids {
        if !all.iter().any(|claim| claim.id() == id) {
            let names: Vec<&'static str> = all.iter().map(|claim| claim.id()).collect();
            return Err(CliError::Claim {
                place,
                given: id.clone(),
                nearest: nearest(names.iter().copied(), id).unwrap_or("thm1"),
                all: names.join(", "),
            });
        }
    }
    Ok(all.iter().copied().filter(|claim| ids.is_empty() || ids.iter().any(|id| id == claim.id())).collect())
}

fn list(claims: &[Statement], controls: &[&Control]) {
    for claim in claims {
        say(&format!("{:<14} {} ({})\n", claim.id(), claim.title(), claim.source()));
        for control in controls.iter().filter(|control| control.claim == claim.id()) {
            say(&format!("{:<14}   control {}: {}\n", "", control.id, control.change));
        }
    }
}

fn summarise(report: &Report) {
    for claim in &report.claims {
        let holding = claim.checks.iter().filter(|check| check.verdict == Verdict::Holds).count();
        let (verdict, id, title) = (claim.verdict, &claim.id, &claim.title);
        say(&format!("{verdict:<12} {id:<12} {title} ({holding} of {} checks hold)\n", claim.checks.len()));
        for check in claim.checks.iter().filter(|check| check.verdict != Verdict::Holds) {
            let [low, high] = check.interval;
            say(&format!("    {}: {}\n", check.verdict, check.quantity));
            let measured = if low.is_nan() || high.is_nan() {
                "no estimate".to_owned()
            } else {
                format!("{:.4}, interval [{low:.4}, {high:.4}]", check.measured)
            };
            say(&format!("        {measured}, {}\n", bounds(check.accept)));
        }
        for assumption in claim.assumptions.iter().filter(|assumption| !assumption.met) {
            say(&format!("    assumption not met: {}\n", assumption.text));
        }
    }
    for control in report.controls.iter().filter(|control| !control.caught) {
        let ControlReport { id, claim, verdict, change, .. } = control;
        say(&format!("control {id} of {claim} not caught ({verdict}, expected violated): {change}\n"));
    }
    let holding = report.claims.iter().filter(|claim| claim.verdict == Verdict::Holds).count();
    let caught = report.controls.iter().filter(|control| control.caught).count();
    say(&format!(
        "{holding} of {} claims hold, {caught} of {} controls caught, in {:.1} s\n",
        report.claims.len(),
        report.controls.len(),
        report.elapsed_seconds
    ));
}

/// Bounds in words.
fn bounds([low, high]: [f64; 2]) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => format!("must lie between {low} and {high}"),
        (false, true) => format!("must lie below {high}"),
        (true, false) => format!("must lie above {low}"),
        (false, false) => "no bounds".to_owned(),
    }
}

/// Writes to standard output; a reader that has gone away is no error of ours.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The first line of clap's message with its tip.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(|line| line.trim_start_matches("tip: ").to_owned())
        .fold(
            first,
            |text, line| if text.ends_with(':') { format!("{text} {line}") } else { format!("{text}; {line}") },
        )
}

/// An error in a rate that the settings leave to its rule, in terms of what the rule takes.
fn by_rule(settings: &Settings, error: SpecError) -> SpecError {
    let training = &settings.training;
    match (error.field.as_str(), training.learning_rate, training.weight_decay) {
        ("weight_decay", _, Rate::Rule(_)) => SpecError::new(
            "training.decay",
            training.decay,
            format!("smaller: it makes weight_decay = {}, which must be {}", error.value, error.expected),
        ),
        ("learning_rate", Rate::Rule(_), _) => SpecError::new(
            "training.steps_per_unit",
            training.steps_per_unit,
            format!("such that learning_rate = m/(steps_per_unit d0), here {}, is {}", error.value, error.expected),
        ),
        _ => error,
    }
}

fn check_memory(jobs: &[Job<'_>], threads: usize) -> Result<(), CliError> {
    const GIB: f64 = (1u64 << 30) as f64;
    let mut order = jobs.to_vec();
    order.sort_by(|a, b| b.memory_bytes().total_cmp(&a.memory_bytes()));
    let running: f64 = order.iter().take(threads).map(|job| job.memory_bytes()).sum();
    let kept: f64 = jobs.iter().map(|job| job.kept_bytes()).sum();
    match (available_memory(), order.first()) {
        (Some(available), Some(job)) if running + kept > available => {
            Err(CliError::Memory { needed: (running + kept) / GIB, available: available / GIB, largest: job.size() })
        }
        _ => Ok(()),
    }
}

/// Refuses what would not end within a month on slow cores.
fn check_time(jobs: &[Job<'_>], threads: usize) -> Result<(), CliError> {
    let total: f64 = jobs.iter().map(|job| job.seconds()).sum();
    let days = total / threads.min(jobs.len()).min(cores()).max(1) as f64 / 86_400.0;
    match jobs.iter().max_by(|a, b| a.seconds().total_cmp(&b.seconds())) {
        Some(longest) if days > 30.0 => Err(CliError::Time { days, longest: longest.size() }),
        _ => Ok(()),
    }
}
