//! The command line: `verify [FLAGS]` and `verify report DIR`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use feature_contamination::{Executor, RunSpec, SpecError};

use crate::claims::{self, Claim};
use crate::controls::{self, Control};
use crate::execute::{RunError, run_all};
use crate::judge::{judge_claim, judge_control};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::model::{Host, Report, SCHEMA_VERSION, Verdict};
use crate::report::{self, ReportError};
use crate::settings::{PROFILES, Settings, SettingsError};
use crate::stats::StatsError;
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
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Worker threads, one run each; all cores if left out. Results do not depend on it.
    #[arg(long, value_name = "N")]
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
    },
}

/// Why the program stops with status 2. One line each.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A flag or its value is wrong.
    #[error("{0}")]
    Usage(String),
    /// No such claim.
    #[error("--claim {given}: no such claim; did you mean {nearest}? (--list shows them all)")]
    Claim {
        /// What was given.
        given: String,
        /// The nearest right name.
        nearest: &'static str,
    },
    /// Settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A run that the settings ask for is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too large for this machine.
    #[error(
        "these sizes need about {needed:.1} GiB of memory and {available:.1} GiB are free: take smaller sizes or fewer --threads"
    )]
    Memory {
        /// Estimate, GiB.
        needed: f64,
        /// Free, GiB.
        available: f64,
    },
    /// Too long for anyone.
    #[error(
        "these sizes would take about {days:.0} days (the largest run takes {steps} steps): take smaller sizes or a larger \
         learning_rate"
    )]
    Time {
        /// Estimate, days.
        days: f64,
        /// Steps of the longest run.
        steps: u64,
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
    /// The report cannot be written or read.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Runs the program on the arguments, the program's name first.
///
/// # Errors
/// Whatever ends the program with status 2.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<ExitCode, CliError> {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return Err(CliError::Usage(one_line(&error.to_string()))),
        Err(help) => {
            say(&help.to_string());
            return Ok(ExitCode::SUCCESS);
        }
    };
    if let Some(Command::Report { dir }) = args.command {
        report::regenerate(&dir)?;
        say(&format!("{}\n", dir.join("index.html").display()));
        return Ok(ExitCode::SUCCESS);
    }
    let claims = choose(&args.claims)?;
    let controls: Vec<&Control> =
        controls::ALL.iter().filter(|control| claims.iter().any(|claim| claim.id() == control.claim)).collect();
    if args.list {
        list(&claims, &controls);
        return Ok(ExitCode::SUCCESS);
    }
    let threads = match args.threads {
        Some(0) => return Err(CliError::Usage("--threads 0: must be at least 1".to_owned())),
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut settings = match &args.config {
        Some(path) => Settings::load(path, args.profile.as_deref())?,
        None => Settings::profile(args.profile.as_deref().unwrap_or("quick"))?,
    };
    if let Some(seed) = args.seed {
        settings.seed = seed;
    }
    settings.validate()?;
    let executor = Executor::detect()?;
    report::check_writable(&args.out)?;

    let start = Instant::now();
    let (report, trajectories) = verify(&settings, &claims, &controls, executor, threads, start)?;
    report::write(&report, Some(&trajectories), &settings.to_toml(), &args.out)?;
    summarise(&report);
    say(&format!("report: {}\n", args.out.join("index.html").display()));
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Plan, simulate, judge.
fn verify(
    settings: &Settings,
    claims: &[&'static dyn Claim],
    controls: &[&Control],
    executor: Executor,
    threads: usize,
    start: Instant,
) -> Result<(Report, Vec<u8>), CliError> {
    let mut plan = Plan::default();
    let claim_ladders: Vec<_> = claims.iter().map(|claim| claim.plan(settings)).collect();
    let control_ladders: Vec<_> = controls.iter().map(|control| control.plan(settings)).collect();
    for ladders in claim_ladders.iter().chain(&control_ladders) {
        plan.add(ladders);
    }
    for spec in plan.specs() {
        spec.validate()?;
    }
    check_memory(plan.specs(), threads)?;
    check_time(plan.specs(), threads)?;

    let progress = Progress::new(plan.specs());
    let results = run_all(plan.specs(), executor, threads, &|spec| progress.done(spec))?;
    progress.finish();

    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        profile: settings.profile.clone(),
        seed: settings.seed,
        commit: env!("FC_COMMIT").to_owned(),
        host: Host { cpu: cpu_name(), isa: executor.isa().to_string(), threads },
        elapsed_seconds: 0.0,
        claims: vec![],
        controls: vec![],
    };
    // Every ladder was added to the plan, so that every one resolves.
    for (claim, ladders) in claims.iter().zip(&claim_ladders) {
        let ladders = plan.resolve(ladders, &results).unwrap_or_default();
        let judged = judge_claim(*claim, settings, &ladders);
        report.claims.push(judged.map_err(|source| CliError::Statistic { claim: claim.id(), source })?);
    }
    for (control, ladders) in controls.iter().zip(&control_ladders) {
        let ladders = plan.resolve(ladders, &results).unwrap_or_default();
        let judged = judge_control(control, settings, &ladders);
        report.controls.push(judged.map_err(|source| CliError::Statistic { claim: control.claim, source })?);
    }
    report.elapsed_seconds = start.elapsed().as_secs_f64();
    Ok((report, trajectories::csv(&results)))
}

fn choose(ids: &[String]) -> Result<Vec<&'static dyn Claim>, CliError> {
    let all = claims::all();
    for id in ids {
        if !all.iter().any(|claim| claim.id() == id) {
            let similarity = |claim: &&&dyn Claim| strsim::jaro_winkler(claim.id(), id);
            let nearest = all.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
            return Err(CliError::Claim { given: id.clone(), nearest: nearest.map_or("thm1", |claim| claim.id()) });
        }
    }
    Ok(all.into_iter().filter(|claim| ids.is_empty() || ids.iter().any(|id| id == claim.id())).collect())
}

fn list(claims: &[&'static dyn Claim], controls: &[&Control]) {
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
        say(&format!(
            "{:<12} {:<14} {} ({holding} of {} checks hold)\n",
            claim.verdict,
            claim.id,
            claim.title,
            claim.checks.len()
        ));
        for check in claim.checks.iter().filter(|check| check.verdict != Verdict::Holds) {
            say(&format!(
                "{:<12} {:<14} {}: {:.4} in [{:.4}, {:.4}], bounds [{:.4}, {:.4}]\n",
                "",
                check.verdict.to_string(),
                check.quantity,
                check.measured,
                check.interval[0],
                check.interval[1],
                check.accept[0],
                check.accept[1]
            ));
        }
        for assumption in claim.assumptions.iter().filter(|assumption| !assumption.met) {
            say(&format!("{:<12} {:<14} {}\n", "", "not met", assumption.text));
        }
    }
    let caught = report.controls.iter().filter(|control| control.caught).count();
    say(&format!("controls: {caught} of {} caught\n", report.controls.len()));
    for control in report.controls.iter().filter(|control| !control.caught) {
        say(&format!(
            "{:<12} {:<14} {} of {}: {}\n",
            "not caught", control.verdict, control.id, control.claim, control.change
        ));
    }
    say(&format!("{:.1} s\n", report.elapsed_seconds));
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
        .take_while(|line| !line.starts_with("Usage:"))
        .map(|line| line.trim_start_matches("tip: ").to_owned())
        .fold(first, |text, line| format!("{text}; {line}"))
}

fn check_memory(specs: &[RunSpec], threads: usize) -> Result<(), CliError> {
    const GIB: f64 = (1u64 << 30) as f64;
    let mut sizes: Vec<f64> = specs.iter().map(RunSpec::memory_bytes).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let kept: f64 = specs.iter().map(RunSpec::record_bytes).sum();
    let needed = (sizes.iter().take(threads).sum::<f64>() + kept) / GIB;
    match available_memory() {
        Some(available) if needed > available / GIB => Err(CliError::Memory { needed, available: available / GIB }),
        _ => Ok(()),
    }
}

/// Refuses what would not end within a month, a run's steps and a slow core's 10 GFLOP/s taken together.
fn check_time(specs: &[RunSpec], threads: usize) -> Result<(), CliError> {
    const STEP_SECONDS: f64 = 1e-6;
    let seconds: f64 = specs.iter().map(|spec| spec.flops() / 1e10 + spec.steps as f64 * STEP_SECONDS).sum();
    let days = seconds / threads as f64 / 86_400.0;
    let steps = specs.iter().map(|spec| spec.steps).max().unwrap_or(0);
    if days > 30.0 { Err(CliError::Time { days, steps }) } else { Ok(()) }
}

/// Memory that the system says is free, in bytes, where it says so.
fn available_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Whether progress is drawn as a bar.
pub(crate) fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}
