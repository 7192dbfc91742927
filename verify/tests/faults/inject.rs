//! A kill, or an error, at every call that makes, fills, renames, syncs or removes a file, by `strace`'s injection.
//!
//! The n-th call of a kind is struck, n = 1, 2, … until there is no n-th: once following the process and its threads, of which
//! each has a count of its own, and once in the first thread alone, so that its calls are struck, too, however many another
//! makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, Outcome, outcome};
use crate::subject::{
    RUN, Reference, SweepReference, config, ids, ok, refused, safe_steps, sweep_config, tool, verify, with_run,
    with_sweep,
};
use crate::suite::{Job, Tries};

/// Calls that change files. `flock` is none, but what every run begins with.
const CALLS: [&str; 7] = ["openat", "write", "fsync", "rename", "unlink", "mkdir", "flock"];
/// No process makes more calls of a kind than this.
const MOST: usize = 400;

pub fn jobs() -> Vec<Job> {
    let mut jobs = vec![
        Job::new("kill at every fsync and rename: run", |tries| kill(tries, &Run::new())),
        Job::new("kill at every fsync and rename, one folder: run", kill_on),
        Job::new("kill at every call on a file: sweep", |tries| {
            kill(tries, &Sweep::new(&["run", "s", "--threads", "1"], true))
        }),
        Job::new("kill at every call on a file: sweep plan", |tries| kill(tries, &Plan::new())),
        Job::new("kill at every fsync and rename: sweep merge", |tries| {
            kill(tries, &Sweep::complete(&["merge", "s", "--out", "m.csv"]))
        }),
        Job::new("kill at every call on a file: sweep retry", |tries| kill(tries, &Failed::new())),
    ];
    for error in ["ENOSPC", "EIO"] {
        jobs.push(Job::new(format!("{error} at every call on a file: run"), move |tries| {
            errors(tries, error, &Run::new())
        }));
        jobs.push(Job::new(format!("{error} at every call on a file: sweep"), move |tries| {
            errors(tries, error, &Sweep::new(&["run", "s", "--threads", "1"], true));
        }));
    }
    jobs.push(Job::new("ENOSPC from a call on: sweep", |tries| {
        errors(tries, "ENOSPC+", &Sweep::new(&["run", "s", "--threads", "1"], true));
    }));
    jobs.push(Job::new("EIO at every read: sweep", |tries| {
        reads(tries, &Sweep::new(&["run", "s", "--threads", "1"], true))
    }));
    jobs
}

/// A command that is struck, and what must come of it.
trait Subject {
    /// A folder in which the command is about to be given.
    fn folder(&self) -> Folder;
    fn args(&self) -> Vec<String>;
    /// Calls that are struck, and whether also the first thread alone.
    fn calls(&self) -> (&'static [&'static str], bool);
    /// The files and folders whose calls are struck; all, if there is none.
    fn paths(&self, folder: &Folder) -> Vec<PathBuf>;
    /// Goes on without faults, and holds what is there in the end against what nothing happened to.
    fn finish(&self, folder: &Folder) -> Result<(), String>;
}

/// `<folder>/<name>` and its temporary file for each name, and the folder itself.
fn files(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    let own = names.iter().flat_map(|name| [folder.join(name), folder.join(format!(".{name}.tmp"))]);
    own.chain([folder.to_owned()]).collect()
}

const OF_A_RUN: [&str; 6] =
    ["lock", "checkpoint.bin", "checkpoint.previous.bin", "series.csv", "result.json", "error.json"];

/// A checkpoint after every step.
struct Run {
    reference: Reference,
}

impl Run {
    fn new() -> Self {
        Self { reference: Reference::of(config("momentum", 4)) }
    }
}

impl Subject for Run {
    fn folder(&self) -> Folder {
        with_run(&self.reference.text)
    }

    fn args(&self) -> Vec<String> {
        [&RUN[..], &["--checkpoint-every", "0"]].concat().into_iter().map(str::to_owned).collect()
    }

    fn calls(&self) -> (&'static [&'static str], bool) {
        // A trial of a quarter of a second goes before each: the sweep has the other calls.
        (&["fsync", "rename"], true)
    }

    fn paths(&self, _: &Folder) -> Vec<PathBuf> {
        // Nothing but files that are to last is synced or renamed, and names of the page's have the process's number.
        vec![]
    }

    fn finish(&self, folder: &Folder) -> Result<(), String> {
        self.reference.finish(folder)
    }
}

/// A command of a sweep of two runs of three steps.
struct Sweep {
    reference: SweepReference,
    args: Vec<String>,
    complete: bool,
}

impl Sweep {
    fn new(args: &[&str], checkpoints: bool) -> Self {
        let mut all: Vec<String> = ["sweep"].iter().chain(args).map(|word| (*word).to_owned()).collect();
        if checkpoints {
            all.extend(["--checkpoint-every", "0"].map(str::to_owned));
        }
        let text = sweep_config(3).replace("[8, 12, 16]", "[8]");
        Self { reference: SweepReference::of(text), args: all, complete: false }
    }

    fn complete(args: &[&str]) -> Self {
        Self { complete: true, ..Self::new(args, false) }
    }
}

impl Subject for Sweep {
    fn folder(&self) -> Folder {
        let folder = with_sweep(&self.reference.text);
        if self.complete {
            ok(&verify(&folder, &["sweep", "run", "s"])).unwrap();
        }
        folder
    }

    fn args(&self) -> Vec<String> {
        self.args.clone()
    }

    fn calls(&self) -> (&'static [&'static str], bool) {
        if self.complete { (&["fsync", "rename"], true) } else { (&CALLS, true) }
    }

    fn paths(&self, folder: &Folder) -> Vec<PathBuf> {
        if self.complete {
            return vec![];
        }
        let mut paths = files(&folder.path("s"), &["manifest.json", "lock"]);
        paths.push(folder.path("s/runs"));
        for id in ids(folder) {
            paths.extend(files(&folder.path(&format!("s/runs/{id}")), &OF_A_RUN));
        }
        paths
    }

    fn finish(&self, folder: &Folder) -> Result<(), String> {
        self.reference.finish(folder)
    }
}

/// The manifest alone.
struct Plan {
    text: String,
    manifest: Vec<u8>,
}

impl Plan {
    fn new() -> Self {
        let text = sweep_config(3);
        let folder = with_sweep(&text);
        Self { manifest: std::fs::read(folder.path("s/manifest.json")).unwrap(), text }
    }
}

impl Subject for Plan {
    fn folder(&self) -> Folder {
        let folder = Folder::new();
        folder.write("sweep.toml", &self.text);
        folder
    }

    fn args(&self) -> Vec<String> {
        ["sweep", "plan", "--config", "sweep.toml", "--out", "s"].map(str::to_owned).into()
    }

    fn calls(&self) -> (&'static [&'static str], bool) {
        // It has one thread that writes.
        (&CALLS, false)
    }

    fn paths(&self, folder: &Folder) -> Vec<PathBuf> {
        let mut paths = files(&folder.path("s"), &["manifest.json", "lock", "runs"]);
        paths.push(folder.path(""));
        paths
    }

    fn finish(&self, folder: &Folder) -> Result<(), String> {
        let args = self.args();
        ok(&verify(folder, &args.iter().map(String::as_str).collect::<Vec<_>>()))?;
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path("s")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        match std::fs::read(folder.path("s/manifest.json")).is_ok_and(|text| text == self.manifest)
            && names == ["manifest.json", "runs"]
        {
            true => Ok(()),
            false => Err(format!("another manifest, or more beside it: {names:?}")),
        }
    }
}

/// A sweep whose runs have failed, and whose reason goes away: what `retry` clears.
struct Failed;

impl Failed {
    fn new() -> Self {
        Self
    }
}

impl Subject for Failed {
    fn folder(&self) -> Folder {
        let folder = with_sweep(&sweep_config(3));
        for id in ids(&folder) {
            let failure = format!(
                "{{\"id\": \"{id}\", \"seed\": 1, \"error\": \"tried\", \"version\": \"0\", \"commit\": \"0\", \"by\": \"a test\"}}"
            );
            folder.write(&format!("s/runs/{id}/error.json"), failure);
            folder.write(&format!("s/runs/{id}/checkpoint.bin"), "none that is whole");
        }
        folder
    }

    fn args(&self) -> Vec<String> {
        ["sweep", "retry", "s"].map(str::to_owned).into()
    }

    fn calls(&self) -> (&'static [&'static str], bool) {
        (&["openat", "write", "unlink"], false)
    }

    fn paths(&self, folder: &Folder) -> Vec<PathBuf> {
        ids(folder).iter().flat_map(|id| files(&folder.path(&format!("s/runs/{id}")), &OF_A_RUN)).collect()
    }

    fn finish(&self, folder: &Folder) -> Result<(), String> {
        ok(&verify(folder, &["sweep", "retry", "s"]))?;
        let run = verify(folder, &["sweep", "run", "s"]);
        ok(&run)?;
        match run.out == "6 of 6 runs complete\n" {
            true => Ok(()),
            false => Err(format!("{run:?}")),
        }
    }
}

/// Gives a command under `strace`; what came of it, and whether the fault struck.
fn struck(folder: &Folder, subject: &dyn Subject, inject: &str, follow: bool) -> (Outcome, bool) {
    let trace = folder.path("trace");
    let mut command = Command::new("strace");
    if follow {
        command.arg("-f");
    }
    command.arg("-qq").arg("-o").arg(&trace).args(["-e", &format!("inject={inject}")]);
    for path in subject.paths(folder) {
        // As the program names it, and as the system names what is open.
        if let Ok(relative) = path.strip_prefix(folder.path(""))
            && !relative.as_os_str().is_empty()
        {
            command.arg("-P").arg(relative);
        }
        command.arg("-P").arg(path);
    }
    command.arg(env!("CARGO_BIN_EXE_verify")).args(subject.args()).current_dir(folder.path(""));
    command.env_remove("FC_ISA").env_remove("RUST_BACKTRACE");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLURM_")) {
        command.env_remove(name);
    }
    let outcome = outcome(command);
    let text = std::fs::read_to_string(&trace).unwrap_or_default();
    let _ = std::fs::remove_file(trace);
    let by_signal = outcome.status.is_none();
    (outcome, by_signal || text.contains("(INJECTED)"))
}

/// Whether `strace` is there and may be used.
fn can_inject(tries: &mut Tries) -> bool {
    let works = tool("strace").is_some_and(|strace| {
        Command::new(strace).args(["-o", "/dev/null", "true"]).output().is_ok_and(|output| output.status.success())
    });
    if !works {
        tries.skip("needs strace, and the right to trace");
    }
    works
}

/// Tries the n-th of every call, with a folder of its own for each, until there is no n-th.
fn every(
    tries: &mut Tries,
    subject: &dyn Subject,
    calls: &[&str],
    action: &str,
    judge: impl Fn(&Folder, &Outcome) -> Result<(), String>,
) {
    let (plus, action) = (if action.ends_with('+') { "+" } else { "" }, action.trim_end_matches('+'));
    let both: &[bool] = if subject.calls().1 { &[true, false] } else { &[true] };
    for call in calls {
        for &follow in both {
            // A few: n = 1, 2, 4, 8, …
            let mut n = 1;
            while n < MOST {
                let folder = subject.folder();
                let (outcome, fault) = struck(&folder, subject, &format!("{call}:{action}:when={n}{plus}"), follow);
                if !fault {
                    // The command itself is tried, too: nothing happened to it.
                    if outcome.status != Some(0) {
                        tries.attempt(|| format!("{call} {n}, no fault"), || Err(format!("{outcome:?}")));
                    }
                    break;
                }
                tries.attempt(
                    || format!("{call} {n}{plus}, follow {follow}"),
                    || {
                        judge(&folder, &outcome)?;
                        subject.finish(&folder).map(|()| 1)
                    },
                );
                n = if tries.is_full() { n + 1 } else { 2 * n };
            }
        }
    }
}

fn kill(tries: &mut Tries, subject: &dyn Subject) {
    if !can_inject(tries) {
        return;
    }
    let calls = subject.calls().0;
    every(tries, subject, calls, "signal=SIGKILL", |_, outcome| match outcome.status {
        None => Ok(()),
        Some(_) => Err(format!("was not killed: {outcome:?}")),
    });
}

/// The n-th call of the command that goes on where the (n − 1)-th killed the one before it.
fn kill_on(tries: &mut Tries) {
    if !can_inject(tries) {
        return;
    }
    let subject = Run::new();
    for call in ["fsync", "rename"] {
        tries.attempt(
            || call.to_owned(),
            || {
                let folder = subject.folder();
                for n in 1..MOST {
                    let (outcome, fault) = struck(&folder, &subject, &format!("{call}:signal=SIGKILL:when={n}"), true);
                    if !fault {
                        ok(&outcome)?;
                        return subject.finish(&folder).map(|()| n as u64 - 1);
                    }
                }
                Err("it never came to its end".to_owned())
            },
        );
    }
}

/// An error of the system is one clear line and status 2, or, where nothing depends on the call, nothing at all.
fn errors(tries: &mut Tries, error: &str, subject: &dyn Subject) {
    if !can_inject(tries) {
        return;
    }
    let words = match error {
        "EIO" => "Input/output error",
        _ => "No space left on device",
    };
    // No disk is full for a removal, and a lock knows neither.
    let calls: &[&str] = match error {
        "EIO" => &["openat", "write", "fsync", "rename", "unlink", "mkdir"],
        _ => &["openat", "write", "fsync", "rename", "mkdir"],
    };
    let calls: Vec<&str> = calls.iter().copied().filter(|call| subject.calls().0.contains(call)).collect();
    every(tries, subject, &calls, &format!("error={error}"), |_, outcome| match outcome.status {
        Some(0) => ok(outcome),
        _ => refused(outcome, &[words]),
    });
}

/// Of a sweep with two checkpoints a run, every read fails once.
fn reads(tries: &mut Tries, sweep: &Sweep) {
    if !can_inject(tries) {
        return;
    }
    let mut n = 1;
    while n < MOST {
        let folder = sweep.folder();
        // Killed in the middle of the second run's steps, so that there is something to go on from.
        struck(&folder, sweep, "rename:signal=SIGKILL:when=12", true);
        let before = safe_steps(&folder);
        let (outcome, fault) = struck(&folder, sweep, &format!("read:error=EIO:when={n}"), true);
        if !fault {
            break;
        }
        tries.attempt(
            || format!("read {n}"),
            || {
                match outcome.status {
                    Some(0) => ok(&outcome)?,
                    _ => refused(&outcome, &["Input/output error"])?,
                }
                let now = safe_steps(&folder);
                if let Some((id, step)) = before.iter().find(|(id, step)| now[*id] < **step) {
                    return Err(format!("run {id}: step {step} was safe, and now step {} is", now[id]));
                }
                sweep.finish(&folder).map(|()| 1)
            },
        );
        n = if tries.is_full() { n + 1 } else { 2 * n };
    }
}
