//! `verify sweep run`: the runs of one's share, one a thread.

use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use feature_contamination::Executor;

use super::SweepError;
use super::manifest::{Manifest, RUNS, Run, folder};
use super::state::{ERROR, Failure};
use super::status::begun;
use crate::durable;
use crate::lock::{Attempt, Holder, LOCK, RunLock, Watch, beating};
use crate::run::{self, Ending, Options, RunConfig, RunFailure, Stop};

/// Which runs of a manifest a process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every `of`-th, from `index` on.
    Every {
        /// `0 ≤ index < of`.
        index: usize,
        /// How many processes share the sweep.
        of: usize,
    },
    /// Whatever nobody else is at.
    Any,
}

impl Share {
    /// The share of a Slurm job array's task, from its environment; `None` outside of an array.
    ///
    /// An array of equally spaced numbers, wherever it begins, shares the runs out. Of any other, like `--array=1,5,6`, no task
    /// can tell its place, so that each takes whatever nobody else is at.
    ///
    /// # Errors
    /// A variable that is no number.
    pub fn of_slurm(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SweepError> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                SweepError::Usage(format!("{name} = {text:?}: must be a whole number; give --index and --of instead"))
            }),
        };
        let Some(id) = number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
        let count = number("SLURM_ARRAY_TASK_COUNT")?;
        let min = number("SLURM_ARRAY_TASK_MIN")?;
        let max = number("SLURM_ARRAY_TASK_MAX")?;
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1);
        let (Some(count), Some(min), Some(max)) = (count, min, max) else { return Ok(Some(Self::Any)) };
        let even = |span: usize| step > 0 && span.is_multiple_of(step);
        Ok(Some(match (max.checked_sub(min), id.checked_sub(min)) {
            (Some(span), Some(at)) if even(span) && even(at) && span / step + 1 == count && at <= span => {
                Self::Every { index: at / step, of: count }
            }
            _ => Self::Any,
        }))
    }

    fn has(self, run: usize) -> bool {
        match self {
            Self::Every { index, of } => run % of == index,
            Self::Any => true,
        }
    }
}

/// How a share is carried out.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Instruction set.
    pub executor: Executor,
    /// Which runs.
    pub share: Share,
    /// Threads, one run each.
    pub threads: usize,
    /// Time between a run's checkpoints.
    pub checkpoint_every: Duration,
    /// The wish to stop.
    pub stop: &'a Stop,
    /// Told one line of what should be known.
    pub tell: &'a (dyn Fn(&str) + Sync),
    /// Told how far the share is, whenever a run ends.
    pub progress: &'a (dyn Fn(&Tally) + Sync),
}

/// What has become of the runs of a share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs of the share.
    pub total: usize,
    /// Complete before.
    pub skipped: usize,
    /// Completed now.
    pub completed: usize,
    /// Failed, now or before.
    pub failed: usize,
    /// Stopped with a checkpoint, now.
    pub interrupted: usize,
    /// Other processes are at them.
    pub elsewhere: usize,
}

impl Tally {
    /// Runs that this share need not come back to.
    pub fn ended(&self) -> usize {
        self.skipped + self.completed + self.failed + self.elsewhere
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} runs complete", self.skipped + self.completed, self.total)?;
        for (count, what) in [
            (self.skipped, "of them before"),
            (self.failed, "failed"),
            (self.interrupted, "interrupted"),
            (self.elsewhere, "with other processes"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// What came of one run.
enum Outcome {
    Skipped,
    Completed,
    Failed,
    Interrupted,
    /// Somebody's; to be asked again at the end.
    Elsewhere,
    /// Another machine's, of whom nobody knows whether it lives; to be asked again.
    Doubtful,
}

/// What the threads share.
struct Shop<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    work: Work<'a>,
    watch: Watch,
    /// Configurations that are needed again, by point.
    configs: Mutex<HashMap<usize, Arc<RunConfig>>>,
    tally: Mutex<Tally>,
    /// The locks that are held, whose counters move on.
    held: Mutex<HashMap<usize, RunLock>>,
    /// What ends the whole: the file system's errors.
    fatal: Mutex<Option<SweepError>>,
}

/// Carries out a share of a sweep: skips what is complete, goes on with what was interrupted, records what fails and goes on
/// with the others.
///
/// # Errors
/// The file system's: a full disk or a folder that cannot be written. The runs under way have kept their last checkpoints; the
/// call can be repeated.
pub fn run(dir: &Path, manifest: &Manifest, work: Work<'_>) -> Result<Tally, SweepError> {
    let begun = begun(dir)?;
    let share: Vec<Run<'_>> = manifest.runs().filter(|run| work.share.has(run.index)).collect();
    let (done, mut open): (Vec<_>, Vec<_>) =
        share.iter().partition(|run| begun.contains(std::ffi::OsStr::new(run.id)) && is_done(&folder(dir, run.id)));
    if let Share::Any = work.share {
        // Processes that all take anything begin at different places.
        let count = open.len().max(1);
        open.rotate_left(std::process::id() as usize % count);
    }
    let tally = Tally { total: share.len(), skipped: done.len(), ..Tally::default() };
    let shop = Shop {
        dir,
        manifest,
        work,
        watch: Watch::default(),
        configs: Mutex::default(),
        tally: Mutex::new(tally),
        held: Mutex::default(),
        fatal: Mutex::default(),
    };
    // A counter that cannot be written does no harm on this machine, and on others the worst is a run done twice.
    let beat = || lock(&shop.held).values().for_each(|held| _ = held.beat());
    beating(beat, || {
        // Again for what others held: they may have died meanwhile.
        while !open.is_empty() && !shop.is_over() {
            let (again, progress) = shop.round(&open);
            let doubtful = again.iter().any(|(_, doubtful)| *doubtful);
            open = again.into_iter().map(|(run, _)| run).collect();
            if !doubtful && !progress {
                break;
            }
            if doubtful && !progress {
                shop.pause(Duration::from_secs(1));
            }
        }
    });
    if let Some(error) = lock(&shop.fatal).take() {
        return Err(error);
    }
    // The names of the runs' folders, whose content is safe already.
    durable::sync_folder(&dir.join(RUNS))?;
    let mut tally = lock(&shop.tally).clone();
    if !work.stop.is_set() {
        tally.elsewhere = open.len();
    }
    Ok(tally)
}

impl<'a> Shop<'a> {
    fn is_over(&self) -> bool {
        self.work.stop.is_set() || lock(&self.fatal).is_some()
    }

    /// Sleeps, unless all is over.
    fn pause(&self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time && !self.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tries each of these runs once. Returns those that others hold, each with whether that is in doubt, and whether any run
    /// was taken.
    fn round(&self, open: &[Run<'a>]) -> (Vec<(Run<'a>, bool)>, bool) {
        let next = AtomicUsize::new(0);
        let (again, taken) = (Mutex::new(vec![]), AtomicUsize::new(0));
        let work = || {
            while let Some(&run) = open.get(next.fetch_add(1, Ordering::Relaxed))
                && !self.is_over()
            {
                match self.attempt(run) {
                    Ok(Outcome::Elsewhere) => lock(&again).push((run, false)),
                    Ok(Outcome::Doubtful) => lock(&again).push((run, true)),
                    Ok(outcome) => {
                        taken.fetch_add(1, Ordering::Relaxed);
                        let mut tally = lock(&self.tally);
                        match outcome {
                            Outcome::Skipped => tally.skipped += 1,
                            Outcome::Completed => tally.completed += 1,
                            Outcome::Failed => tally.failed += 1,
                            _ => tally.interrupted += 1,
                        }
                        (self.work.progress)(&tally);
                    }
                    Err(error) => {
                        lock(&self.fatal).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.work.threads.clamp(1, open.len().max(1)) {
                scope.spawn(work);
            }
        });
        let again = again.into_inner().unwrap_or_else(PoisonError::into_inner);
        (again, taken.into_inner() > 0)
    }

    /// One run, if nobody else is at it.
    fn attempt(&self, run: Run<'a>) -> Result<Outcome, SweepError> {
        let config = self.config(run.point)?;
        let folder = folder(self.dir, run.id);
        // Not durable by itself: the run's first file makes it so.
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SweepError::io("create", &folder)(error)),
        }
        let lock = match RunLock::acquire(&folder, &self.watch).map_err(SweepError::io("lock", &folder))? {
            Attempt::Mine(lock) => lock,
            Attempt::Held(_) => return Ok(Outcome::Elsewhere),
            Attempt::Doubtful(_) => return Ok(Outcome::Doubtful),
        };
        // Only now is it known that nobody else is about to complete it.
        if run::is_complete(&folder) {
            run::tidy(&folder)?;
            lock.remove();
            return Ok(Outcome::Skipped);
        }
        if fs::symlink_metadata(folder.join(ERROR)).is_ok() {
            lock.release();
            return Ok(Outcome::Failed);
        }
        self::lock(&self.held).insert(run.index, lock);
        let ended = self.carry_out(&config, run, &folder);
        let lock = self::lock(&self.held).remove(&run.index);
        let result = match ended {
            Ok(Ending::Complete(_) | Ending::Already(_)) => Ok(Outcome::Completed),
            Ok(Ending::Interrupted { .. }) => Ok(Outcome::Interrupted),
            Err(RunFailure::File(error)) => Err(SweepError::Durable(error)),
            Err(RunFailure::Isa(error)) => Err(SweepError::Isa(error)),
            Err(failure) => self.record(run, &folder, &failure.to_string()).map(|()| Outcome::Failed),
        };
        match (&result, lock) {
            (Ok(Outcome::Completed), Some(lock)) => lock.remove(),
            (_, Some(lock)) => lock.release(),
            _ => {}
        }
        result
    }

    fn carry_out(&self, config: &RunConfig, run: Run<'a>, folder: &Path) -> Result<Ending, RunFailure> {
        let warn = |line: &str| (self.work.tell)(&format!("run {}: {line}", run.id));
        let options =
            Options { threads: 1, checkpoint_every: self.work.checkpoint_every, warn: &warn, ..Options::default() };
        let carry_out = || run::run_locked(self.work.executor, folder, config, run.seed, &options, self.work.stop);
        // A defect that one point shows is not to end the others.
        catch_unwind(AssertUnwindSafe(carry_out)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(RunFailure::Internal(format!("panicked: {}", words.unwrap_or_default())))
        })
    }

    /// The configuration of a point, which the next seed wants, too.
    fn config(&self, point: usize) -> Result<Arc<RunConfig>, SweepError> {
        if let Some(config) = lock(&self.configs).get(&point) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.manifest.config(point)?);
        let mut configs = lock(&self.configs);
        if configs.len() >= 64 {
            configs.clear();
        }
        configs.insert(point, Arc::clone(&config));
        Ok(config)
    }

    fn record(&self, run: Run<'a>, folder: &Path, error: &str) -> Result<(), SweepError> {
        (self.work.tell)(&format!("run {} failed: {error}", run.id));
        let failure = Failure {
            id: run.id.to_owned(),
            seed: run.seed,
            error: error.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("FC_COMMIT").to_owned(),
            by: Holder::this().to_string(),
        };
        Ok(failure.write(folder)?)
    }
}

/// Whether a run is complete and nothing is left to tidy: the lock goes last.
fn is_done(folder: &Path) -> bool {
    run::is_complete(folder) && fs::symlink_metadata(folder.join(LOCK)).is_err()
}

/// The lock of a mutex; a thread that panicked with it left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::sweep::grid::Sweep;

    fn share(variables: &[(&str, &str)]) -> Result<Option<Share>, SweepError> {
        Share::of_slurm(|name| {
            let short = name.strip_prefix("SLURM_ARRAY_TASK_")?;
            variables.iter().find(|(name, _)| *name == short).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn tasks_of_an_even_array_share_the_runs() {
        // The variables that Slurm sets for --array=0-7, 1-8, 3-12:3, 5 and 10-20:5.
        for (array, step, count) in [
            (&[0, 1, 2, 3, 4, 5, 6, 7][..], 1, 8),
            (&[1, 2, 3, 4, 5, 6, 7, 8], 1, 8),
            (&[3, 6, 9, 12], 3, 4),
            (&[5], 1, 1),
            (&[10, 15, 20], 5, 3),
        ] {
            let mut taken = vec![];
            for id in array {
                let text = |number: usize| number.to_string();
                let (id, count, step) = (text(*id), text(count), text(step));
                let (min, max) = (text(array[0]), text(array[array.len() - 1]));
                let variables = [("ID", &*id), ("COUNT", &count), ("MIN", &min), ("MAX", &max), ("STEP", &step)];
                let share = share(&variables).unwrap().unwrap();
                assert!(matches!(share, Share::Every { .. }), "{variables:?}");
                taken.extend((0..100).filter(|&run| share.has(run)));
            }
            taken.sort_unstable();
            assert_eq!(taken, (0..100).collect::<Vec<_>>(), "{array:?}");
        }
    }

    /// Other machines take a holder for dead whose counter stands still.
    #[test]
    fn the_counters_of_runs_under_way_move_on() {
        let dir = Scratch::new();
        let text = "[model]\nd_core = 4\nd_bg = 4\n[network]\nm = 8\n[optimizer]\nbatch = 64\n[schedule]\nsteps = \
                    100000000\n[observables]\nper_octave = 0\neval_samples = 64\n[grid]\n";
        let manifest = Manifest::plan(Sweep::parse(text).unwrap()).unwrap().manifest;
        manifest.write(dir.path()).unwrap();
        let (own, stop) = (folder(dir.path(), &manifest.ids[0]), Stop::default());
        let work = Work {
            executor: Executor::detect().unwrap(),
            share: Share::Every { index: 0, of: 1 },
            threads: 1,
            checkpoint_every: Duration::from_secs(3600),
            stop: &stop,
            tell: &|_| (),
            progress: &|_| (),
        };
        let moved = std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                let moved = crate::lock::tests::moves_on(&own);
                stop.set();
                moved
            });
            assert_eq!(run(dir.path(), &manifest, work).unwrap().interrupted, 1);
            moved.join().unwrap()
        });
        assert!(moved);
    }

    #[test]
    fn tasks_of_other_arrays_take_what_is_free() {
        // --array=1,5,6 and 0-9,20: the step that Slurm says is 1.
        for (id, count, min, max) in [("5", "3", "1", "6"), ("20", "11", "0", "20"), ("1", "2", "1", "5")] {
            let variables = [("ID", id), ("COUNT", count), ("MIN", min), ("MAX", max), ("STEP", "1")];
            assert_eq!(share(&variables).unwrap(), Some(Share::Any), "{variables:?}");
        }
        assert_eq!(share(&[("ID", "4")]).unwrap(), Some(Share::Any));
        assert_eq!(share(&[("ID", "4"), ("COUNT", "2"), ("MIN", "7"), ("MAX", "1")]).unwrap(), Some(Share::Any));
        assert_eq!(
            share(&[("ID", "4"), ("COUNT", "2"), ("MIN", "3"), ("MAX", "4"), ("STEP", "0")]).unwrap(),
            Some(Share::Any)
        );
        assert_eq!(share(&[]).unwrap(), None);
        assert!(share(&[("ID", "-1")]).unwrap_err().to_string().contains("SLURM_ARRAY_TASK_ID = \"-1\""));
    }
}
