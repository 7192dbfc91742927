//! `verify sweep status` and `verify sweep retry`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::SweepError;
use super::grid;
use super::manifest::{Manifest, RUNS, Run, folder};
use super::state::{ERROR, State};
use crate::lock::{Attempt, LOCK, RunLock, Watch};

/// Most runs of a state that the table names.
const NAMED: usize = 20;

/// What has become of every run of a sweep.
#[derive(Debug)]
pub struct Status<'m> {
    /// Runs in each of [`State::NAMES`].
    pub counts: Vec<(&'static str, usize)>,
    /// Every run.
    pub runs: Vec<RunStatus<'m>>,
}

/// What has become of a run.
#[derive(Debug, Serialize)]
pub struct RunStatus<'m> {
    /// Its name.
    pub id: &'m str,
    /// Its seed.
    pub seed: u64,
    /// What tells its point from the others.
    pub point: serde_json::Map<String, serde_json::Value>,
    /// What has become of it.
    #[serde(flatten)]
    pub state: State,
}

impl<'m> Status<'m> {
    /// Looks at every run's folder.
    ///
    /// # Errors
    /// One cannot be looked at.
    pub fn of(dir: &Path, manifest: &'m Manifest) -> Result<Self, SweepError> {
        let mut runs = Vec::with_capacity(manifest.ids.len());
        for (run, state) in states(dir, manifest)? {
            let values = &manifest.points[run.point];
            let json = |value| serde_json::to_value(value).unwrap_or_default();
            let point = manifest.fields.iter().cloned().zip(values.iter().map(json)).collect();
            runs.push(RunStatus { id: run.id, seed: run.seed, point, state });
        }
        let count = |place| runs.iter().filter(|run| run.state.place() == place).count();
        let counts = State::NAMES.iter().enumerate().map(|(place, &name)| (name, count(place))).collect();
        Ok(Self { counts, runs })
    }

    /// All of it as JSON.
    pub fn json(&self) -> String {
        let counts: serde_json::Map<String, serde_json::Value> =
            self.counts.iter().map(|&(name, count)| (name.to_owned(), count.into())).collect();
        // Numbers and strings to memory have no way to fail.
        serde_json::to_string_pretty(&serde_json::json!({ "counts": counts, "runs": self.runs })).unwrap_or_default()
    }

    /// The counts, and the runs that somebody may want to look after.
    pub fn table(&self, manifest: &Manifest) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{count:>8}  {name}");
        }
        let _ = writeln!(text, "{:>8}  runs", self.runs.len());
        for (place, name) in State::NAMES.iter().enumerate() {
            if matches!(*name, "complete" | "waiting") {
                continue;
            }
            let named: Vec<(usize, &RunStatus<'_>)> =
                self.runs.iter().enumerate().filter(|(_, run)| run.state.place() == place).collect();
            for (index, run) in named.iter().take(NAMED) {
                let point = &manifest.points[index / manifest.seeds.len()];
                let point = grid::describe(&manifest.fields, point);
                let comma = if point.is_empty() { "" } else { ", " };
                let _ = write!(text, "{name} {}: {point}{comma}seed {}", run.id, run.seed);
                let _ = match &run.state {
                    State::Failed { reason } => writeln!(text, ": {reason}"),
                    State::Running { by: Some(by) } => writeln!(text, ": {by}"),
                    State::Stale { by: Some(by) } => writeln!(text, ": {by} is gone"),
                    _ => writeln!(text),
                };
            }
            if named.len() > NAMED {
                let _ = writeln!(text, "… and {} more {name}: --json has all", named.len() - NAMED);
            }
        }
        text
    }
}

/// Every run with its state.
///
/// # Errors
/// A folder cannot be looked at.
pub fn states<'m>(dir: &Path, manifest: &'m Manifest) -> Result<Vec<(Run<'m>, State)>, SweepError> {
    let begun = begun(dir)?;
    let state = |run: Run<'m>| {
        let folder = folder(dir, run.id);
        let state = match begun.contains(OsStr::new(run.id)) {
            true => State::of(&folder).map_err(SweepError::io("look at", &folder))?,
            false => State::Waiting,
        };
        Ok((run, state))
    };
    manifest.runs().map(state).collect()
}

/// Names of the runs' folders that are there: one look, where most of many are not.
///
/// # Errors
/// The folder of them cannot be read.
pub fn begun(dir: &Path) -> Result<HashSet<OsString>, SweepError> {
    let runs = dir.join(RUNS);
    let entries = fs::read_dir(&runs).map_err(SweepError::io("read", &runs))?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(SweepError::io("read", &runs))).collect()
}

/// What [`retry`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Failed runs that begin anew.
    pub failed: usize,
    /// Stale runs that go on from their checkpoints.
    pub stale: usize,
}

/// Makes failed runs begin anew at the next `verify sweep run`, and stale ones go on from their checkpoints without anybody's
/// death being waited for.
///
/// # Errors
/// A folder cannot be read or written.
pub fn retry(dir: &Path, manifest: &Manifest) -> Result<Retried, SweepError> {
    let mut retried = Retried::default();
    // Who asks for it has looked at the status: another machine's silence is taken for death at once.
    let watch = Watch::new(std::time::Duration::ZERO);
    for (run, state) in states(dir, manifest)? {
        let failed = matches!(state, State::Failed { .. });
        if !failed && !matches!(state, State::Stale { .. }) {
            continue;
        }
        let folder = folder(dir, run.id);
        let lock = match RunLock::acquire(&folder, &watch).map_err(SweepError::io("lock", &folder))? {
            Attempt::Mine(lock) => lock,
            Attempt::Held(_) | Attempt::Doubtful(_) => continue,
        };
        if failed {
            clear(&folder)?;
            retried.failed += 1;
        } else {
            retried.stale += 1;
        }
        lock.release();
    }
    Ok(retried)
}

/// Removes a run's files, the lock and the error apart, and the error last, so that a clearing that is cut short is one that is
/// yet to be done. Nothing below the folder is touched, and no link followed.
fn clear(folder: &Path) -> Result<(), SweepError> {
    for entry in fs::read_dir(folder).map_err(SweepError::io("read", folder))? {
        let entry = entry.map_err(SweepError::io("read", folder))?;
        let (name, path) = (entry.file_name(), entry.path());
        let kind = entry.file_type().map_err(SweepError::io("look at", &path))?;
        if name != LOCK && name != ERROR && !kind.is_dir() {
            fs::remove_file(&path).map_err(SweepError::io("remove", &path))?;
        }
    }
    let error = folder.join(ERROR);
    fs::remove_file(&error).map_err(SweepError::io("remove", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Holder;
    use crate::run::{CHECKPOINT, PREVIOUS};
    use crate::scratch::{Scratch, names};
    use crate::sweep::grid::Sweep;
    use crate::sweep::state::Failure;

    /// A planned sweep of two runs.
    fn sweep() -> (Scratch, Manifest) {
        let dir = Scratch::new();
        let manifest = Manifest::plan(Sweep::parse("seeds = 2\n[grid]").unwrap()).unwrap().manifest;
        manifest.write(dir.path()).unwrap();
        manifest.runs().for_each(|run| fs::create_dir(folder(dir.path(), run.id)).unwrap());
        (dir, manifest)
    }

    #[test]
    fn a_failed_run_begins_anew_without_anything_of_before() {
        let (dir, manifest) = sweep();
        let run = manifest.runs().next().unwrap();
        let own = folder(dir.path(), run.id);
        for name in [CHECKPOINT, PREVIOUS, ".checkpoint.bin.tmp"] {
            fs::write(own.join(name), "").unwrap();
        }
        let failure = Failure {
            id: run.id.to_owned(),
            seed: run.seed,
            error: "step 3".to_owned(),
            version: String::new(),
            commit: String::new(),
            by: String::new(),
        };
        failure.write(&own).unwrap();
        assert_eq!(retry(dir.path(), &manifest).unwrap(), Retried { failed: 1, stale: 0 });
        assert_eq!(names(&own), [LOCK]);
        assert!(states(dir.path(), &manifest).unwrap().iter().all(|(_, state)| *state == State::Waiting));
    }

    /// Whoever asks for a retry has seen that the other machine is silent: nobody waits for it a second time.
    #[test]
    fn another_machines_stale_run_goes_on_at_once() {
        let (dir, manifest) = sweep();
        let own = folder(dir.path(), manifest.runs().nth(1).unwrap().id);
        let mut holder = serde_json::to_value(Holder::this()).unwrap();
        holder["machine"] = "another".into();
        fs::write(own.join(LOCK), serde_json::to_vec(&holder).unwrap()).unwrap();
        let ago = std::time::SystemTime::now() - 2 * crate::lock::PATIENCE;
        fs::File::options().write(true).open(own.join(LOCK)).unwrap().set_modified(ago).unwrap();
        fs::write(own.join(CHECKPOINT), "").unwrap();
        assert_eq!(retry(dir.path(), &manifest).unwrap(), Retried { failed: 0, stale: 1 });
        let states: Vec<State> = states(dir.path(), &manifest).unwrap().into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, [State::Waiting, State::Interrupted]);
        assert!(own.join(CHECKPOINT).is_file());
    }
}
