//! `verify reproduce`: a run again, held against its result.

use std::path::{Path, PathBuf};
use std::time::Duration;

use feature_contamination::Executor;

use super::command::{Ended, INTERRUPTED, interval, say};
use super::{CommandError, Ending, Options, RESULT, RunFailure, RunResult, Series, Stop, estimate, run_on};
use crate::flags::threads;
use crate::machine::cores;

/// Relative difference that is rounding in any case, and the multiple of what rounding does on this machine, for a result of
/// an instruction set that is not here: those of `verify toy`.
const RELATIVE: f64 = 1e-5;
const ROUNDINGS: f64 = 5.0;

/// Arguments of `verify reproduce`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReproduceArgs {
    /// The result: a run's folder, or the result.json in it.
    result: PathBuf,
    /// Threads; all cores if left out. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// Folder for checkpoints, from which the same command goes on; a temporary one if left out.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Time between checkpoints.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = interval, allow_negative_numbers = true)]
    checkpoint_every: Duration,
}

/// Runs a result's configuration and seed again; exit status 1 if it comes out otherwise.
///
/// On the result's instruction set every bit must be the same. Where this machine has another, a number may differ by 10⁻⁵
/// relative or by five times the largest difference, up to its step, between two instruction sets of this machine.
///
/// # Errors
/// The result does not read, or the run fails.
pub fn run(args: &ReproduceArgs) -> Result<Ended, CommandError> {
    let folder = match args.result.file_name().is_some_and(|name| name == RESULT) {
        true => args.result.parent().unwrap_or(Path::new("")).to_owned(),
        false => args.result.clone(),
    };
    let result = RunResult::read(&folder).map_err(CommandError::Result)?;
    let then = result.series(&folder).map_err(CommandError::Result)?;
    let name = folder.join(RESULT).display().to_string();
    let plan = result.config.plan(result.seed).map_err(|error| CommandError::Result(format!("{name}: {error}")))?;
    estimate::check_memory(&result.config, &plan, 1)?;
    let stop = Stop::on_signals().map_err(CommandError::Signals)?;
    let scratch = Scratch::new(args.work.clone());
    let again = |executor: Executor| -> Result<Option<Series>, CommandError> {
        let warn = |line: &str| say(&format!("verify: {line}"));
        let options = Options {
            threads: args.threads.unwrap_or_else(cores),
            checkpoint_every: args.checkpoint_every,
            progress: &|_| (),
            warn: &warn,
        };
        let folder = scratch.path.join(executor.isa().to_string());
        let failed = |source| CommandError::Run { seed: result.seed, source: Box::new(source) };
        match run_on(executor, &folder, &result.config, result.seed, &options, &stop).map_err(failed)? {
            Ending::Complete(now) | Ending::Already(now) => {
                Ok(Some(now.series(&folder).map_err(CommandError::Result)?))
            }
            Ending::Interrupted { step } => {
                let kept =
                    if args.work.is_some() { "the same command goes on from there" } else { "--work would keep it" };
                say(&format!("verify: stopped by {} at step {step}; {kept}", stop.cause()));
                Ok(None)
            }
        }
    };
    let stopped = Ended { status: INTERRUPTED, summary: String::new() };
    let available = Executor::available();
    let same = available.iter().find(|executor| executor.isa().to_string() == result.isa);
    let best = Executor::detect().map_err(RunFailure::from)?;
    let Some(now) = again(same.copied().unwrap_or(best))? else { return Ok(stopped) };
    let (allowed, how) = match same {
        Some(_) => (None, format!("bit for bit, on {}", result.isa)),
        None => {
            let other = available.into_iter().find(|executor| executor.isa() != best.isa());
            let yardstick = match other {
                Some(other) => match again(other)? {
                    Some(series) => series,
                    None => return Ok(stopped),
                },
                None => now.clone(),
            };
            (
                Some(rounding(&now, &yardstick)),
                format!("to rounding: the result is of {}, this is {}", result.isa, best.isa()),
            )
        }
    };
    let mut summary = String::new();
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("FC_COMMIT"));
    if (result.version.as_str(), result.commit.as_str()) != (version, commit) {
        summary += &format!(
            "the result is of version {} at commit {}, this is version {version} at commit {commit}\n",
            result.version, result.commit
        );
    }
    Ok(match compare(&then, &now, allowed.as_deref()) {
        Ok(()) => {
            summary +=
                &format!("{name}: reproduced {how}; {} records of {} numbers\n", now.rows.len(), now.columns.len());
            Ended { status: 0, summary }
        }
        Err(difference) => {
            summary += &format!("{name}: not reproduced ({how}): {difference}\n");
            Ended { status: 1, summary }
        }
    })
}

/// max(10⁻⁵ |value|, 5 × the largest difference so far between two instruction sets) of every number.
fn rounding(now: &Series, yardstick: &Series) -> Vec<Vec<f64>> {
    let mut largest = vec![0.0f64; now.columns.len()];
    let rows = now.rows.iter().zip(&yardstick.rows);
    rows.map(|(a, b)| {
        let allowed = |((largest, a), b): ((&mut f64, &f64), &f64)| {
            *largest = largest.max((a - b).abs());
            (RELATIVE * a.abs()).max(ROUNDINGS * *largest)
        };
        largest.iter_mut().zip(a).zip(b).map(allowed).collect()
    })
    .collect()
}

/// Whether two series are the same, bit for bit or to what is `allowed`.
fn compare(then: &Series, now: &Series, allowed: Option<&[Vec<f64>]>) -> Result<(), String> {
    if then.columns != now.columns || then.rows.len() != now.rows.len() {
        return Err(format!(
            "it has {} records of {} numbers, and now there are {} of {}",
            then.rows.len(),
            then.columns.len(),
            now.rows.len(),
            now.columns.len()
        ));
    }
    for (index, (a, b)) in then.rows.iter().zip(&now.rows).enumerate() {
        if a.len() != b.len() {
            return Err(format!("record {index} has {} numbers, and now there are {}", a.len(), b.len()));
        }
        for (at, (&a, &b)) in a.iter().zip(b).enumerate() {
            let same = match allowed {
                None => a.to_bits() == b.to_bits(),
                Some(allowed) => (a - b).abs() <= allowed[index][at],
            };
            if !same {
                let step = then.rows[index].first().copied().unwrap_or(0.0);
                return Err(format!("at step {step} {} was {a:?} and is {b:?}", then.columns[at]));
            }
        }
    }
    Ok(())
}

/// A folder to run in; removed at the end if it is a temporary one.
struct Scratch {
    path: PathBuf,
    temporary: bool,
}

impl Scratch {
    fn new(work: Option<PathBuf>) -> Self {
        let temporary = work.is_none();
        let path =
            work.unwrap_or_else(|| std::env::temp_dir().join(format!("verify-reproduce-{}", std::process::id())));
        Self { path, temporary }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        let rows = values.iter().enumerate().map(|(step, &x)| vec![step as f64, x]).collect();
        Series { columns: vec!["step".to_owned(), "x".to_owned()], rows }
    }

    #[test]
    fn the_last_bit_counts() {
        let a = series(&[0.1, 0.2]);
        assert_eq!(compare(&a, &a, None), Ok(()));
        let b = series(&[0.1, f64::from_bits(0.2f64.to_bits() + 1)]);
        let error = compare(&a, &b, None).unwrap_err();
        assert!(error.contains("step 1") && error.contains("x was 0.2"), "{error}");
        assert!(compare(&series(&[0.0]), &series(&[-0.0]), None).is_err());
        assert!(compare(&a, &series(&[0.1]), None).is_err());
    }

    #[test]
    fn rounding_is_what_two_instruction_sets_differ_by() {
        let (now, yardstick) = (series(&[1.0, 2.0, 3.0]), series(&[1.0, 2.01, 3.0]));
        let allowed = rounding(&now, &yardstick);
        let of = |i: usize| allowed[i][1];
        assert!((of(0) - 1e-5).abs() < 1e-12 && (of(1) - 0.05).abs() < 1e-9 && of(2) == of(1));
        assert_eq!(compare(&series(&[1.0, 2.04, 2.96]), &now, Some(&allowed)), Ok(()));
        assert!(compare(&series(&[1.001, 2.0, 3.0]), &now, Some(&allowed)).is_err());
        assert!(compare(&series(&[1.0, f64::NAN, 3.0]), &now, Some(&allowed)).is_err());
    }
}
