//! What faults are tried on: runs and sweeps, with what they leave when nothing goes wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use feature_contamination_verify::run::{CHECKPOINT, Checkpoint, PREVIOUS, RESULT, SERIES};

use crate::harness::{Folder, Outcome, outcome};

/// Latent coordinates in single precision, by the fused passes.
const FRESH: &str = "[model]\nd_core = 4\nd_bg = 4\nd = 64\n[network]\nm = 16\n[optimizer]\nbatch = 64\n\
                     [observables]\nper_octave = 0\nevery = RECORD\neval_samples = 64\n[schedule]\nsteps = STEPS\n";
/// A fixed set of examples.
const FIXED: &str = "[model]\nsampling = \"fixed\"\nd_core = 4\nd_bg = 3\nd = 24\n[network]\nm = 10\n\
                     [observables]\nper_octave = 0\nevery = RECORD\n[schedule]\nsteps = STEPS\n[optimizer]\nbatch = 70\n";

/// Every kind of run with steps that take some 0.2 s, and what is changed in the configuration.
pub const KINDS: [(&str, u64); 7] = [
    ("fused SGD", 12_000),
    ("double precision", 8_000),
    ("ambient coordinates", 2_000),
    ("momentum", 12_000),
    ("lazy hinge", 300_000),
    ("AdamW", 10_000),
    ("deep Adam", 4_000),
];

/// The configuration of a kind with so many steps, some ten of them recorded.
pub fn config(kind: &str, steps: u64) -> String {
    let text = match kind {
        "fused SGD" => FRESH.to_owned(),
        "double precision" => FRESH.replace("[network]", "[network]\nprecision = \"f64\""),
        "ambient coordinates" => FRESH.replace("[network]", "[network]\ncoordinates = \"ambient\""),
        "momentum" => format!("{FIXED}loss = \"mse\"\n"),
        "lazy hinge" => format!("{FIXED}loss = \"hinge\"\n").replace("[network]", "[network]\noutput = \"frozen\""),
        "AdamW" => format!("{FIXED}name = \"adamw\"\nlearning_rate = 0.01\n"),
        "deep Adam" => format!("{FIXED}name = \"adam\"\nlearning_rate = 0.01\n")
            .replace("[network]", "[network]\nlayers = 4\nactivation = \"tanh\""),
        other => panic!("no kind {other}"),
    };
    text.replace("STEPS", &steps.to_string()).replace("RECORD", &(steps / 10).max(1).to_string())
}

/// A few milliseconds each.
pub fn sweep_config(steps: u64) -> String {
    FRESH.replace("STEPS", &steps.to_string()).replace("RECORD", &(steps / 10).max(1).to_string())
        + "[grid]\n\"network.m\" = [8, 12, 16]\n\"optimizer.batch\" = [32, 64]\n"
}

/// The arguments of a run of `run.toml` in `out`.
pub const RUN: [&str; 7] = ["run", "--config", "run.toml", "--out", "out", "--threads", "1"];

/// `verify` outside of any scheduler's job, in a folder.
pub fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = folder.command(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLURM_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `verify` to its end.
pub fn verify(folder: &Folder, args: &[&str]) -> Outcome {
    outcome(command(folder, args))
}

/// Starts `verify`, whose words nobody waits for.
pub fn spawn(folder: &Folder, args: &[&str]) -> Child {
    command(folder, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A folder with a configuration in `run.toml`.
pub fn with_run(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("run.toml", text);
    folder
}

/// A folder with a sweep's file in `sweep.toml`, planned in `s`.
pub fn with_sweep(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("sweep.toml", text);
    ok(&verify(&folder, &["sweep", "plan", "--config", "sweep.toml", "--out", "s"])).unwrap();
    folder
}

/// Names of a sweep's runs.
pub fn ids(folder: &Folder) -> Vec<String> {
    let manifest = folder.json("s/manifest.json");
    manifest["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Status 0 and no panic.
pub fn ok(outcome: &Outcome) -> Result<(), String> {
    match outcome.status == Some(0) && !outcome.err.contains("panicked") {
        true => Ok(()),
        false => Err(format!("{outcome:?}")),
    }
}

/// One clear error with these words: status 2, nothing on standard output, and one line that begins with the program's name, which
/// is the last one on standard error.
pub fn refused(outcome: &Outcome, words: &[&str]) -> Result<(), String> {
    let lines: Vec<&str> = outcome.err.lines().filter(|line| line.starts_with("verify: ")).collect();
    let last = outcome.err.lines().last().unwrap_or_default();
    let clear = outcome.status == Some(2)
        && outcome.out.is_empty()
        && lines.last() == Some(&last)
        && last.len() < 900
        && !outcome.err.contains("panicked");
    match clear && words.iter().all(|word| last.contains(word)) {
        true => Ok(()),
        false => Err(format!("no clear error with {words:?}: {outcome:?}")),
    }
}

/// What a run that nothing happened to leaves in `series.csv`.
pub struct Reference {
    pub text: String,
    pub series: Vec<u8>,
}

impl Reference {
    pub fn of(text: String) -> Self {
        let folder = with_run(&text);
        ok(&verify(&folder, &RUN)).unwrap();
        Self { series: read(&folder.path("out").join(SERIES)).unwrap(), text }
    }

    /// Goes on until the run is complete, and holds what it has left against what nothing happened to.
    pub fn finish(&self, folder: &Folder) -> Result<(), String> {
        ok(&verify(folder, &RUN))?;
        self.check(folder)
    }

    /// Holds a complete run against what nothing happened to.
    pub fn check(&self, folder: &Folder) -> Result<(), String> {
        if read(&folder.path("out").join(SERIES))? != self.series {
            return Err("series.csv has other bytes".to_owned());
        }
        nothing_is_left(&folder.path("out"), &["figures", "index.html", RESULT, SERIES, "series.json"])
    }
}

/// What a sweep that nothing happened to leaves: the merged table, the records, the sidecar.
pub struct SweepReference {
    pub text: String,
    merged: [Vec<u8>; 3],
}

impl SweepReference {
    pub fn of(text: String) -> Self {
        let folder = with_sweep(&text);
        ok(&verify(&folder, &["sweep", "run", "s"])).unwrap();
        Self { merged: merged(&folder).unwrap(), text }
    }

    pub fn finish(&self, folder: &Folder) -> Result<(), String> {
        ok(&verify(folder, &["sweep", "run", "s", "--threads", "2"]))?;
        self.check(folder)
    }

    pub fn check(&self, folder: &Folder) -> Result<(), String> {
        if merged(folder)? != self.merged {
            return Err("the merged tables have other bytes".to_owned());
        }
        for id in ids(folder) {
            nothing_is_left(&folder.path(&format!("s/runs/{id}")), &[RESULT, SERIES])?;
        }
        Ok(())
    }
}

fn merged(folder: &Folder) -> Result<[Vec<u8>; 3], String> {
    ok(&verify(folder, &["sweep", "merge", "s", "--out", "m.csv"]))?;
    Ok([read(&folder.path("m.csv"))?, read(&folder.path("m.npz"))?, read(&folder.path("m.json"))?])
}

/// Whether a folder has exactly these entries. A temporary file of a page that a kill cut short may stay: its name has the
/// process's number.
fn nothing_is_left(path: &Path, expected: &[&str]) -> Result<(), String> {
    let mut names: Vec<String> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with(".index.html.tmp-") && !name.starts_with(".series.json.tmp-"));
    names.sort();
    if names == expected { Ok(()) } else { Err(format!("{} has {names:?}", path.display())) }
}

/// How far a run has come that is safe: the step of its newest whole checkpoint, or `u64::MAX` if its result is there.
pub fn safe_step(out: &Path) -> u64 {
    if out.join(RESULT).is_file() {
        return u64::MAX;
    }
    let step = |name| Checkpoint::decode(&std::fs::read(out.join(name)).ok()?).ok().map(|checkpoint| checkpoint.step);
    step(CHECKPOINT).max(step(PREVIOUS)).unwrap_or(0)
}

/// How far every run of a sweep has come.
pub fn safe_steps(folder: &Folder) -> BTreeMap<String, u64> {
    ids(folder).into_iter().map(|id| (id.clone(), safe_step(&folder.path(&format!("s/runs/{id}"))))).collect()
}

/// A program of this machine, if it is there.
pub fn tool(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}
