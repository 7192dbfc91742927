//! `verify run`, `verify config` and `verify reproduce`, as a user has them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{Folder, Outcome, outcome, wait};

/// A fraction of a second.
const SMALL: &str = "[model]\nd_core = 4\nd_bg = 4\nd = 64\n[network]\nm = 16\n[optimizer]\nbatch = 64\n\
                     [observables]\neval_samples = 256\n";
/// Some hundred thousand steps, recorded at every thousandth.
const LONG: &str = "[model]\nd_core = 4\nd_bg = 4\nd = 64\n[network]\nm = 16\n[optimizer]\nbatch = 64\n\
                    [schedule]\nsteps = 60000\n[observables]\nper_octave = 0\nevery = 1000\neval_samples = 256\n";
const FIXED: &str = "[model]\nsampling = \"fixed\"\nd = 80\n[network]\nm = 24\n[optimizer]\nbatch = 100\n\
                     [schedule]\nsteps = 300\n[observables]\nevery = 50\n";

fn run(folder: &Folder, args: &[&str]) -> Outcome {
    folder.verify(&[&["run", "--config", "run.toml", "--out", "out"], args].concat())
}

fn with(config: &str) -> Folder {
    let folder = Folder::new();
    folder.write("run.toml", config);
    folder
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_defaults_are_valid_and_explained() {
    let folder = Folder::new();
    for args in [&["config", "--print-default"][..], &["config", "--print-default", "fixed"]] {
        let text = folder.verify(args).ok().out.clone();
        assert!(text.lines().filter(|line| line.starts_with('#')).count() > 10, "{text}");
        folder.write("default.toml", &text);
        let said = folder.verify(&["config", "--check", "default.toml"]).ok().out.clone();
        for word in ["C = 8, B = 8", "d0 = 32 + 32 = 64", "m = 256", "memory", "time", "records"] {
            assert!(said.contains(word), "no {word} in {said}");
        }
        assert_eq!(said.contains("T0 = "), !text.contains("sampling = \"fixed\""), "{said}");
    }
    let help = folder.verify(&["run", "--help"]).ok().out.clone();
    assert!(help.contains("SIGUSR1") && help.contains("exit status 3"), "{help}");
}

#[test]
fn a_check_says_what_is_wrong() {
    let says = |config: &str, words: &[&str]| {
        let folder = with(config);
        let outcome = folder.verify(&["config", "--check", "run.toml"]);
        let text = if outcome.status == Some(0) { &outcome.out } else { outcome.error() };
        for word in words {
            assert!(text.contains(word), "no {word} in {text}");
        }
    };
    says("[model]\nd_core = 8\nd_bg = 24", &["C < B", "Thm 1 does not hold", "d0 = 8 + 24"]);
    says("[optimizer]\nlearning_rate = 100.0\nweight_decay = 0.0", &["smaller learning_rate"]);
    says("[model]\nd = 64", &["d is below d0^2.5"]);
    says("[network]\nm = 20", &["m is below d0"]);
    says("[schedule]\nsteps = 3", &["the run ends before T0"]);
    says("seeds = 5", &["seeds       1 to 5: 5 runs"]);
    says("[network]\nm = 0", &["run.toml: network.m = 0"]);
    says("[network]\nmm = 3", &["run.toml: line 2", "did you mean `m`?"]);
    says("[network]\nm = 1000000\n[optimizer]\nbatch = 1000000", &["GiB of memory"]);
    says("[optimizer]\nlearning_rate = 1e300\nweight_decay = 0.0", &["run.toml: in a trial, step", "learning_rate"]);
}

#[test]
fn a_run_leaves_result_series_and_page() {
    let folder = with(SMALL);
    let first = run(&folder, &["--seed", "5"]);
    let out = &first.ok().out;
    assert!(out.contains("seed 5: step ") && out.contains("OOD risk") && out.contains("out/index.html"), "{out}");
    assert!(first.err.contains("1 of 1 runs to do: at most") && first.err.contains("100 %"), "{}", first.err);
    let expected = ["figures", "index.html", "result.json", "series.csv", "series.json"];
    assert_eq!(names(&folder.path("out")), expected);
    let result = folder.json("out/result.json");
    for key in ["version", "commit", "isa", "threads", "seed", "config", "elapsed_seconds"] {
        assert!(!result[key].is_null(), "{key}");
    }
    assert_eq!((result["seed"].as_u64(), result["config"]["network"]["m"].as_u64()), (Some(5), Some(16)));
    let series = folder.text("out/series.csv");
    let columns: Vec<&str> = series.lines().next().unwrap().split(',').collect();
    let sidecar = folder.json("out/series.json");
    let named: Vec<&str> = sidecar["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns, named);
    assert!(series.lines().skip(1).all(|line| line.split(',').count() == columns.len()));
    let page = folder.text("out/index.html");
    assert!(page.contains("<svg") && page.contains("id_risk") && page.contains("m = 16"), "no figure or table");
    // Again: nothing is left to do, and nothing changes but the page's place in time.
    let before = folder.tree("out");
    let again = run(&folder, &["--seed", "5"]);
    assert!(again.ok().out.contains("complete already"), "{again:?}");
    assert_eq!(folder.tree("out"), before);
    // Another seed has no place there.
    assert!(run(&folder, &["--seed", "6"]).error().contains("is of seed 5"));
    assert_eq!(folder.tree("out"), before);
}

#[test]
fn several_seeds_have_a_folder_each_and_one_table() {
    let folder = with(&format!("seeds = [3, 1, 2]\n{SMALL}"));
    run(&folder, &["--threads", "2"]).ok();
    assert_eq!(
        names(&folder.path("out")),
        ["figures", "index.html", "seed-1", "seed-2", "seed-3", "series.csv", "series.json"]
    );
    let table = folder.text("out/series.csv");
    assert!(table.starts_with("seed,step,time,"));
    for seed in 1..=3 {
        let own = folder.text(&format!("out/seed-{seed}/series.csv"));
        let rows: Vec<String> = own.lines().skip(1).map(|line| format!("{seed},{line}")).collect();
        assert!(rows.iter().all(|row| table.lines().any(|line| line == row)));
        // Alone, with other threads: the same bytes.
        let alone = with(SMALL);
        run(&alone, &["--seed", &seed.to_string(), "--threads", "1"]).ok();
        assert_eq!(alone.text("out/series.csv"), own);
    }
}

#[test]
fn a_fixed_set_has_its_own_observables() {
    let folder = with(FIXED);
    let out = run(&folder, &[]).ok().out.clone();
    assert!(out.contains("train 0.") && out.contains("background"), "{out}");
    assert!(folder.text("out/series.csv").starts_with("step,train_loss,test_loss,core_norm,background_norm\n0,"));
    assert_eq!(folder.text("out/series.csv").lines().count(), 8);
}

#[cfg(unix)]
fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Starts the long run, waits until it is under way and `pause` longer, sends a signal; its status and its words.
#[cfg(unix)]
fn interrupted(folder: &Folder, name: &str, pause: Duration, args: &[&str]) -> (Option<i32>, String) {
    let args = [&["run", "--config", "run.toml", "--out", "out", "--threads", "1"], args].concat();
    let mut child = folder.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    // "1 of 1 runs to do".
    reader.read_line(&mut err).unwrap();
    std::thread::sleep(pause);
    if child.try_wait().unwrap().is_none() {
        signal(child.id(), name);
    }
    assert!(wait(&mut child));
    err += &std::io::read_to_string(reader).unwrap();
    (child.wait().unwrap().code(), err)
}

#[cfg(unix)]
#[test]
fn signals_leave_a_checkpoint_and_the_same_command_goes_on() {
    let (whole, folder) = (with(LONG), with(LONG));
    run(&whole, &[]).ok();
    for name in ["INT", "TERM", "USR1"] {
        let (status, err) = interrupted(&folder, name, Duration::from_millis(50), &[]);
        assert_eq!(status, Some(3), "SIG{name}: {err}");
        let words = [&format!("stopped by SIG{name}"), "of 60000", "the same command goes on"];
        assert!(words.iter().all(|word| err.contains(*word)), "{err}");
        assert!(folder.path("out/checkpoint.bin").is_file() && !folder.path("out/result.json").exists());
    }
    run(&folder, &[]).ok();
    assert_eq!(folder.text("out/series.csv"), whole.text("out/series.csv"));
    assert_eq!(folder.json("out/result.json")["interruptions"], 3);
    assert!(!folder.path("out/checkpoint.bin").exists());
}

#[cfg(unix)]
#[test]
fn killed_runs_go_on_from_their_last_checkpoint() {
    let (whole, folder) = (with(LONG), with(LONG));
    run(&whole, &[]).ok();
    let mut killed = 0;
    for pause in [3, 31, 7, 83, 59, 13, 41, 23] {
        let (status, err) =
            interrupted(&folder, "KILL", Duration::from_millis(pause), &["--checkpoint-every", "0.001"]);
        if status == Some(0) {
            break;
        }
        assert_eq!(status, None, "{err}");
        killed += 1;
    }
    assert!(killed >= 3, "{killed}");
    run(&folder, &[]).ok();
    assert_eq!(folder.text("out/series.csv"), whole.text("out/series.csv"));
}

#[cfg(unix)]
#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_used() {
    let (whole, folder) = (with(LONG), with(LONG));
    run(&whole, &[]).ok();
    let (status, err) = interrupted(&folder, "TERM", Duration::from_millis(80), &["--checkpoint-every", "0.005"]);
    assert_eq!(status, Some(3), "{err}");
    let path = folder.path("out/checkpoint.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let outcome = run(&folder, &[]);
    assert!(outcome.ok().err.contains("checkpoint.bin is damaged"), "{}", outcome.err);
    assert!(outcome.err.contains("going on from checkpoint.previous.bin"), "{}", outcome.err);
    assert_eq!(folder.text("out/series.csv"), whole.text("out/series.csv"));
    // None is whole: refused, and left as it is.
    let folder = with(LONG);
    interrupted(&folder, "TERM", Duration::from_millis(30), &[]);
    std::fs::write(folder.path("out/checkpoint.bin"), b"not one").unwrap();
    let before = folder.tree("out");
    let outcome = run(&folder, &[]);
    let line = outcome.err.lines().last().unwrap_or_default();
    assert!(outcome.status == Some(2) && line.contains("checkpoint.bin") && line.contains("remove it"), "{outcome:?}");
    assert_eq!(folder.tree("out"), before);
}

#[test]
fn folders_that_are_somebodys_are_left_alone() {
    let folder = with(SMALL);
    folder.write("out/thesis.tex", "\\documentclass{article}");
    assert!(run(&folder, &[]).error().contains("thesis.tex"));
    assert_eq!(names(&folder.path("out")), ["thesis.tex"]);
    folder.write("file", "");
    let outcome = folder.verify(&["run", "--config", "run.toml", "--out", "file/out"]);
    assert!(outcome.status == Some(2) && outcome.err.contains("file/out"), "{outcome:?}");
}

#[test]
fn what_is_wrong_is_one_line_and_status_2() {
    let folder = with(SMALL);
    for (args, word) in [
        (&["run"][..], "--config"),
        (&["run", "--config", "none.toml"], "none.toml"),
        (&["run", "--config", "run.toml", "--seed", "x"], "--seed"),
        (&["run", "--config", "run.toml", "--threads", "0"], "--threads"),
        (&["run", "--config", "run.toml", "--checkpoint-every", "-1"], "--checkpoint-every"),
        (&["config"], "--print-default"),
        (&["config", "--print-default", "old"], "fresh"),
        (&["config", "--check", "none.toml"], "none.toml"),
        (&["reproduce"], "<RESULT>"),
        (&["reproduce", "none"], "none/result.json"),
        (&["reproduce", "run.toml"], "run.toml"),
    ] {
        let outcome = folder.verify(args);
        assert!(outcome.error().contains(word), "{args:?}: {outcome:?}");
    }
    assert!(!folder.path("reports").exists());
}

#[test]
fn a_result_is_reproduced_bit_for_bit_or_said_not_to_be() {
    for config in [SMALL, FIXED] {
        let folder = with(config);
        run(&folder, &["--seed", "2"]).ok();
        let again = folder.verify(&["reproduce", "out"]);
        assert!(again.ok().out.contains("reproduced bit for bit"), "{again:?}");
        folder.verify(&["reproduce", "out/result.json", "--threads", "1"]).ok();
        // On an instruction set that this machine has not: to rounding, by the yardstick of those that it has.
        let result = folder.text("out/result.json");
        let isa = folder.json("out/result.json")["isa"].as_str().unwrap().to_owned();
        folder.write("out/result.json", result.replace(&format!("\"isa\": \"{isa}\""), "\"isa\": \"another\""));
        let again = folder.verify(&["reproduce", "out"]);
        assert!(again.ok().out.contains("to rounding: the result is of another"), "{again:?}");
        // Another seed's numbers are not the same.
        folder.write("out/result.json", result.replace("\"seed\": 2", "\"seed\": 3"));
        let again = folder.verify(&["reproduce", "out"]);
        assert_eq!(again.status, Some(1), "{again:?}");
        assert!(again.out.contains("not reproduced") && again.out.contains("at step 0"), "{again:?}");
        // A table that is not the result's.
        folder.write("out/result.json", &result);
        folder.write("out/series.csv", "step\n0\n");
        assert!(folder.verify(&["reproduce", "out"]).error().contains("CRC-32"));
    }
}

/// Forced to another instruction set, a run does not go on from the checkpoint: the rest would have other bits.
#[cfg(all(unix, target_arch = "x86_64"))]
#[test]
fn a_checkpoint_of_another_instruction_set_is_refused() {
    let folder = with(LONG);
    let (status, err) = interrupted(&folder, "TERM", Duration::from_millis(30), &[]);
    assert_eq!(status, Some(3), "{err}");
    let mut command = folder.command(&["run", "--config", "run.toml", "--out", "out"]);
    command.env("FC_ISA", "portable");
    let outcome = outcome(command);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.err.contains("instruction set") && outcome.err.contains("portable"), "{outcome:?}");
}

/// A result of another instruction set that this machine has is reproduced on that one, bit for bit.
#[cfg(all(unix, target_arch = "x86_64"))]
#[test]
fn a_result_is_reproduced_on_its_own_instruction_set() {
    let folder = with(SMALL);
    let mut command = folder.command(&["run", "--config", "run.toml", "--out", "out"]);
    command.env("FC_ISA", "portable");
    outcome(command).ok();
    let again = folder.verify(&["reproduce", "out"]);
    assert!(again.ok().out.contains("reproduced bit for bit, on portable"), "{again:?}");
}
