//! Pipes that close, signals, and two programs at once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::harness::{Folder, outcome, tiny, wait};

const RUN: [&str; 6] = ["--config", "tiny.toml", "--claim", "envelope", "--out", "out"];

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::with_tiny();
    for args in [&["--list"][..], &["--help"], &RUN] {
        let mut child = folder.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let err = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert!(wait(&mut child));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    assert!(folder.path("out/index.html").is_file());
}

#[test]
fn a_reader_of_progress_that_goes_away_is_no_error() {
    let folder = Folder::with_tiny();
    let mut child = folder.command(&RUN).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert!(wait(&mut child));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(folder.path("out/index.html").is_file());

    let mut child = folder.command(&["--threads", "0"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert!(wait(&mut child));
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

/// A run of minutes over the report in `out`, under way.
fn long_run(folder: &Folder) -> Child {
    folder.write("long.toml", tiny(&[("training.steps_per_unit", "1e6")]));
    let mut child = folder
        .command(&["--config", "long.toml", "--claim", "envelope", "--out", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("simulating"), "{line}");
    child
}

#[test]
fn a_killed_run_leaves_the_earlier_report_whole() {
    let folder = Folder::with_tiny();
    folder.verify(&RUN).ok();
    let before = folder.tree("out");
    let mut child = long_run(&folder);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    assert_ne!(child.wait().unwrap().code(), Some(0));
    assert_eq!(folder.tree("out"), before);
    assert_eq!(top(&folder), ["long.toml", "out", "tiny.toml"]);
    folder.verify(&RUN).ok();
}

#[cfg(unix)]
#[test]
fn a_terminated_or_interrupted_run_leaves_the_earlier_report_whole() {
    // A signal that this process ignores, as jobs in a shell's background do with INT, is ignored by its children too.
    for (signal, _) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1)].into_iter().filter(|&(_, number)| !ignored(number)) {
        let folder = Folder::with_tiny();
        folder.verify(&RUN).ok();
        let before = folder.tree("out");
        let mut child = long_run(&folder);
        let status = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        assert!(wait(&mut child), "{signal}");
        assert_ne!(child.wait().unwrap().code(), Some(0));
        assert_eq!(folder.tree("out"), before);
        assert_eq!(top(&folder), ["long.toml", "out", "tiny.toml"]);
    }
}

/// Whether this process ignores a signal, where the system says so.
#[cfg(unix)]
fn ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[test]
fn a_killed_first_run_leaves_nothing() {
    let folder = Folder::new();
    let mut child = long_run(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(top(&folder), ["long.toml"]);
}

fn top(folder: &Folder) -> Vec<String> {
    folder.tree("").into_keys().filter(|name| !name.contains(['/', '\\'])).collect()
}

#[test]
fn another_working_directory_changes_nothing() {
    let folder = Folder::with_tiny();
    folder.verify(&RUN).ok();
    folder.write("sub/dir/file", "");
    let mut command = folder.command(&["--config", "../../tiny.toml", "--claim", "envelope", "--out", "../beside"]);
    command.current_dir(folder.path("sub/dir"));
    outcome(command).ok();
    assert_eq!(folder.tree("out/series"), folder.tree("sub/beside/series"));
    assert_eq!(folder.tree("sub/dir").len(), 1);
}
