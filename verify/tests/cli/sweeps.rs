//! `verify sweep`: many runs, shared out, killed, taken up again, and merged to the same bytes.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Folder, Outcome, outcome, wait};

/// Twelve runs of a few milliseconds each.
const SMALL: &str = "\
seeds = 2
[model]
d_core = 4
d_bg = 4
d = 182
[network]
m = 8
[optimizer]
batch = 64
weight_decay = 0.0
[schedule]
steps = 20
[observables]
per_octave = 2
eval_samples = 64
[grid]
\"network.m\" = [8, 12]
\"optimizer.batch\" = { from = 32, to = 128, count = 3, spacing = \"geometric\" }
";

/// One run of `steps` steps of some 50 µs.
fn long(steps: u64) -> String {
    SMALL
        .replace("seeds = 2", "seeds = 1")
        .replace("steps = 20", &format!("steps = {steps}"))
        .split("[grid]")
        .collect::<Vec<_>>()[0]
        .to_owned()
        + "[grid]\n"
}

/// `verify sweep …` outside of any scheduler's job.
fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = folder.command(&[&["sweep"], args].concat());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLURM_")) {
        command.env_remove(name);
    }
    command
}

fn sweep(folder: &Folder, args: &[&str]) -> Outcome {
    outcome(command(folder, args))
}

/// A folder with a planned sweep in `s`.
fn planned(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("sweep.toml", text);
    sweep(&folder, &["plan", "--config", "sweep.toml", "--out", "s"]).ok();
    folder
}

/// The three files of a merge.
fn merged(folder: &Folder, dir: &str) -> [Vec<u8>; 3] {
    sweep(folder, &["merge", dir, "--out", "merged/m.csv"]).ok();
    ["csv", "npz", "json"].map(|kind| std::fs::read(folder.path(&format!("merged/m.{kind}"))).unwrap())
}

/// The three files that one process with one thread makes of a sweep.
fn reference(text: &str) -> [Vec<u8>; 3] {
    let folder = planned(text);
    sweep(&folder, &["run", "s", "--threads", "1"]).ok();
    merged(&folder, "s")
}

fn ids(folder: &Folder) -> Vec<String> {
    let manifest = folder.json("s/manifest.json");
    manifest["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn complete(folder: &Folder) -> BTreeSet<usize> {
    let ids = ids(folder).into_iter().enumerate();
    ids.filter(|(_, id)| folder.path(&format!("s/runs/{id}/result.json")).is_file()).map(|(index, _)| index).collect()
}

fn count(folder: &Folder, state: &str) -> u64 {
    let status = sweep(folder, &["status", "s", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&status.ok().out).unwrap();
    json["counts"][state].as_u64().unwrap()
}

#[test]
fn a_sweep_is_planned_carried_out_and_merged() {
    let folder = planned(SMALL);
    let again = sweep(&folder, &["plan", "--config", "sweep.toml", "--out", "s"]);
    assert!(again.ok().out.contains("6 points of the grid × 2 seeds = 12 runs, as planned before"), "{again:?}");
    assert!(again.out.contains("the largest run takes up to"), "{again:?}");
    assert_eq!(count(&folder, "waiting"), 12);

    let run = sweep(&folder, &["run", "s", "--threads", "2"]);
    assert_eq!(run.ok().out, "12 of 12 runs complete\n");
    assert_eq!(count(&folder, "complete"), 12);
    let before = folder.tree("s");
    assert!(before.keys().all(|name| !name.ends_with("lock") && !name.ends_with("tmp")), "{:?}", before.keys());
    let run = sweep(&folder, &["run", "s"]);
    assert_eq!(run.ok().out, "12 of 12 runs complete, 12 of them before\n");
    assert_eq!(folder.tree("s"), before);

    let [csv, _, json] = merged(&folder, "s");
    let mut table = csv::Reader::from_reader(csv.as_slice());
    let header: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header[..4], ["run", "seed", "network.m", "optimizer.batch"]);
    let sidecar: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let named: Vec<&str> = sidecar["columns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(header, named);
    assert!(sidecar["columns"].as_array().unwrap().iter().all(|c| !c["meaning"].as_str().unwrap().is_empty()));
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(), ids(&folder));
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let varied: Vec<String> = rows.iter().map(|row| [&row[1], &row[2], &row[3]].join(" ")).collect();
    assert_eq!(varied[..5], ["1 8 32", "2 8 32", "1 8 64", "2 8 64", "1 8 128"]);
    for row in &rows {
        assert_eq!((&row[place("step")], &row[place("d0")]), ("20", "8"));
        // C = B = 4 · (1/2)².
        assert_eq!((&row[place("c")], &row[place("b")]), ("1", "1"));
        let risk: f64 = row[place("ood_risk")].parse().unwrap();
        assert!(risk > 0.0 && risk.is_finite());
    }
    // What the table has of a run is what the run's own result has.
    let result = folder.json(&format!("s/runs/{}/result.json", ids(&folder)[7]));
    assert_eq!(rows[7][place("ood_risk")].parse::<f64>().unwrap(), result["last"]["ood_risk"].as_f64().unwrap());
}

#[test]
fn another_plan_does_not_replace_a_manifest() {
    let folder = planned(SMALL);
    let before = folder.tree("s");
    folder.write("other.toml", SMALL.replace("[8, 12]", "[8, 13]"));
    let other = sweep(&folder, &["plan", "--config", "other.toml", "--out", "s"]);
    assert!(other.error().contains("s: has the manifest of another sweep"), "{other:?}");
    folder.write("mine/thesis.tex", "");
    let mine = sweep(&folder, &["plan", "--config", "sweep.toml", "--out", "mine"]);
    assert!(mine.error().contains("\"thesis.tex\" and no sweep"), "{mine:?}");
    assert_eq!(folder.tree("s"), before);
    assert_eq!(folder.tree("mine").len(), 1);
}

#[test]
fn a_wrong_point_is_named_with_its_field() {
    let folder = Folder::new();
    for (from, to, words) in [
        (
            "[8, 12]",
            "[8, 0]",
            &["sweep.toml", "grid point 4 (network.m = 0, optimizer.batch = 32)", "network.m = 0"][..],
        ),
        ("\"network.m\"", "\"network.mm\"", &["grid point 1 (network.mm = 8", "mm", "did you mean `m`?"]),
        ("[8, 12]", "[8, 8]", &["grid point 4", "the same run as grid point 1"]),
        ("[8, 12]", "[8, \"x\"]", &["grid point 4", "network.m"]),
        ("[8, 12]", "8", &["grid.\"network.m\" = 8: must be a list"]),
        ("[grid]", "[gird]", &["has no [grid]"]),
        ("batch = 64\n", "batch = \n", &["line 9"]),
    ] {
        folder.write("sweep.toml", SMALL.replace(from, to));
        let plan = sweep(&folder, &["plan", "--config", "sweep.toml", "--out", "s"]);
        let error = plan.error();
        // The file is named where its text is at fault.
        assert!(words.iter().filter(|word| **word != "sweep.toml").all(|word| error.contains(word)), "{error}");
        assert!(!folder.path("s").exists(), "{error}");
    }
}

#[test]
fn shares_threads_and_order_change_no_bit() {
    let expected = reference(SMALL);
    let folder = planned(SMALL);
    let shares = ["2", "0", "1"].map(|index| {
        let args = ["run", "s", "--index", index, "--of", "3", "--threads", "2"];
        command(&folder, &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    });
    for child in shares {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "4 of 4 runs complete\n");
    }
    assert!(merged(&folder, "s") == expected);
}

#[test]
fn processes_on_one_folder_share_the_runs() {
    let text = SMALL.replace("steps = 20", "steps = 500").replace("seeds = 2", "seeds = 4");
    let expected = reference(&text);
    let folder = planned(&text);
    let all: Vec<Child> = (0..4)
        .map(|_| {
            let mut command = command(&folder, &["run", "s", "--threads", "2"]);
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut done = 0;
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let out = String::from_utf8(output.stdout).unwrap();
        // "N of 24 runs complete, M of them before, …".
        let number = |after: &str| {
            let words = out.split(after).next().filter(|_| out.contains(after)).unwrap_or("0");
            words.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        done += number(" of 24 runs complete") - number(" of them before");
    }
    assert_eq!(done, 24, "a run was carried out twice, or not at all");
    assert!(merged(&folder, "s") == expected);
}

#[test]
fn a_task_of_a_job_array_takes_its_share() {
    let folder = planned(SMALL);
    let task = |variables: &[(&str, &str)]| {
        let mut command = command(&folder, &["run", "s"]);
        command.envs(variables.iter().map(|(name, value)| (format!("SLURM_{name}"), value)));
        outcome(command)
    };
    let array =
        [("ARRAY_TASK_COUNT", "4"), ("ARRAY_TASK_MIN", "10"), ("ARRAY_TASK_MAX", "16"), ("ARRAY_TASK_STEP", "2")];
    task(&[&array[..], &[("ARRAY_TASK_ID", "12")]].concat()).ok();
    assert_eq!(complete(&folder), BTreeSet::from([1, 5, 9]));
    let wrong = task(&[("ARRAY_TASK_ID", "x")]);
    assert!(wrong.error().contains("SLURM_ARRAY_TASK_ID = \"x\""), "{wrong:?}");
    // Flags go before the variables.
    let mut flags = command(&folder, &["run", "s", "--index", "0", "--of", "12"]);
    flags.env("SLURM_ARRAY_TASK_ID", "x");
    outcome(flags).ok();
    assert_eq!(complete(&folder), BTreeSet::from([0, 1, 5, 9]));
    // Of an array with gaps no task knows its place.
    let gaps = [("ARRAY_TASK_COUNT", "3"), ("ARRAY_TASK_MIN", "1"), ("ARRAY_TASK_MAX", "6"), ("ARRAY_TASK_ID", "5")];
    assert_eq!(task(&gaps).ok().out, "12 of 12 runs complete, 4 of them before\n");
}

#[test]
fn a_failing_run_is_recorded_and_the_others_go_on() {
    let text = SMALL.to_owned() + "\"optimizer.learning_rate\" = [0.1, 1e300]\n";
    let folder = planned(&text);
    let run = sweep(&folder, &["run", "s", "--threads", "2"]);
    assert_eq!((run.status, run.out.as_str()), (Some(1), "12 of 24 runs complete, 12 failed\n"));
    assert!(run.err.contains("became infinite or NaN: take a smaller optimizer.learning_rate"), "{run:?}");
    let again = sweep(&folder, &["run", "s"]);
    assert_eq!((again.status, again.out.as_str()), (Some(1), "12 of 24 runs complete, 12 of them before, 12 failed\n"));

    let status = sweep(&folder, &["status", "s"]);
    assert!(status.ok().out.contains("      12  failed\n"), "{status:?}");
    let lines: Vec<&str> = status.out.lines().filter(|line| line.starts_with("failed ")).collect();
    assert_eq!(lines.len(), 12);
    assert!(
        lines[0].contains("optimizer.learning_rate = 1e300, seed 1: step ") && lines[0].contains("infinite or NaN"),
        "{lines:?}"
    );

    let refused = sweep(&folder, &["merge", "s", "--out", "m.csv"]);
    assert!(refused.error().contains("s: 12 of 24 runs have no result (12 failed)"), "{refused:?}");
    assert!(!folder.path("m.csv").exists());
    let partial = sweep(&folder, &["merge", "s", "--out", "m.csv", "--partial"]);
    assert_eq!(partial.ok().out, "m.csv: 12 of 24 runs\n");
    assert_eq!(folder.text("m.csv").lines().count(), 13);
    let missing = folder.json("m.json")["missing"].clone();
    assert_eq!(missing.as_array().unwrap().len(), 12);
    assert!(missing[0]["reason"].as_str().unwrap().contains("infinite or NaN"));

    let retry = sweep(&folder, &["retry", "s"]);
    assert_eq!(retry.ok().out, "12 failed runs begin anew, 0 stale ones go on\n");
    assert_eq!((count(&folder, "failed"), count(&folder, "waiting")), (0, 12));
    assert_eq!(sweep(&folder, &["run", "s"]).status, Some(1));
}

/// Starts `verify sweep run s`, and returns when its only run has a new checkpoint.
fn under_way(folder: &Folder) -> Child {
    let run = folder.path(&format!("s/runs/{}", ids(folder)[0]));
    let written = || std::fs::metadata(run.join("checkpoint.bin")).and_then(|file| file.modified()).ok();
    let before = written();
    // The shell of the harness is replaced by the program, which so has the child's number.
    let mut command = command(folder, &["run", "s", "--checkpoint-every", "0.05"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while written() == before {
        assert!(start.elapsed() < Duration::from_secs(30), "no checkpoint");
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_checkpoints_and_nothing_is_lost() {
    let text = long(60_000);
    let expected = reference(&text);
    let folder = planned(&text);
    for signal in ["-TERM", "-INT", "-USR1"] {
        let child = under_way(&folder);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{signal}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(&format!("stopped by SIG{}; the same command goes on", &signal[1..])), "{err}");
        assert_eq!(count(&folder, "interrupted"), 1);
    }
    assert_eq!(sweep(&folder, &["run", "s"]).ok().out, "1 of 1 runs complete\n");
    let result = folder.json(&format!("s/runs/{}/result.json", ids(&folder)[0]));
    assert_eq!(result["interruptions"], 3);
    assert!(merged(&folder, "s") == expected);
}

#[test]
fn a_killed_process_leaves_a_stale_run_that_goes_on() {
    let text = long(60_000);
    let expected = reference(&text);
    let folder = planned(&text);
    let mut child = under_way(&folder);
    assert_eq!(count(&folder, "running"), 1);
    // Another process leaves it alone.
    let other = sweep(&folder, &["run", "s"]);
    assert_eq!(other.ok().out, "0 of 1 runs complete, 1 with other processes\n");
    child.kill().unwrap();
    assert!(wait(&mut child));
    let status = sweep(&folder, &["status", "s"]);
    assert!(
        status.ok().out.contains(&format!("process {} on ", child.id())) && status.out.contains(" is gone"),
        "{status:?}"
    );
    assert_eq!(count(&folder, "stale"), 1);
    let retry = sweep(&folder, &["retry", "s"]);
    assert_eq!(retry.ok().out, "0 failed runs begin anew, 1 stale ones go on\n");
    assert_eq!(count(&folder, "interrupted"), 1);
    let mut child = under_way(&folder);
    child.kill().unwrap();
    assert!(wait(&mut child));
    // Without retry, too.
    sweep(&folder, &["run", "s"]).ok();
    assert!(merged(&folder, "s") == expected);
}

#[test]
fn what_is_not_a_sweep_is_refused() {
    let folder = planned(SMALL);
    let manifest = folder.text("s/manifest.json");
    let id = &ids(&folder)[3];
    for (text, words) in [
        (String::new(), "does not read as a manifest"),
        (manifest[..manifest.len() / 2].to_owned(), "does not read as a manifest"),
        (manifest.replace("\"schema_version\": 1", "\"schema_version\": 2"), "schema_version is 2"),
        (manifest.replace(id, "../../../../../../../etc/passwd/x"), "was changed after it was written"),
        (manifest.replacen('8', "9", 1), "was changed after it was written"),
        ("{\"schema_version\": 1}".to_owned(), "missing field"),
    ] {
        folder.write("s/manifest.json", text);
        for args in [&["run", "s"][..], &["status", "s"], &["retry", "s"], &["merge", "s", "--out", "m.csv"]] {
            let outcome = sweep(&folder, args);
            assert!(outcome.error().contains("s/manifest.json: ") && outcome.error().contains(words), "{outcome:?}");
        }
    }
    for (args, words) in [
        (&["run", "t"][..], "t/manifest.json: is not there; make it with verify sweep plan"),
        (&["run", "s", "--index", "1"], "--of"),
        (&["run", "s", "--index", "3", "--of", "3"], "--index 3: must be below --of 3"),
        (&["run", "s", "--threads", "0"], "--threads"),
        (&["run", "s", "--checkpoint-every", "-1"], "--checkpoint-every"),
        (&["plan", "--config", "none.toml", "--out", "s"], "none.toml: cannot be read"),
    ] {
        let outcome = sweep(&folder, args);
        assert!(outcome.error().contains(words), "{outcome:?}");
    }
}

#[test]
fn a_result_is_merged_only_as_that_of_its_run() {
    let folder = planned(SMALL);
    sweep(&folder, &["run", "s"]).ok();
    for (out, words) in [("m.txt", "must end in .csv"), ("s/manifest.csv", "s/manifest.json: would be replaced")] {
        let outcome = sweep(&folder, &["merge", "s", "--out", out]);
        assert!(outcome.error().contains(words), "{outcome:?}");
    }
    let (a, b) = (&ids(&folder)[0], &ids(&folder)[5]);
    let file = |id: &str, name: &str| folder.path(&format!("s/runs/{id}/{name}"));
    let kept = std::fs::read(file(a, "result.json")).unwrap();
    std::fs::copy(file(b, "result.json"), file(a, "result.json")).unwrap();
    let swapped = sweep(&folder, &["merge", "s", "--out", "m.csv"]);
    assert!(swapped.error().contains(a) && swapped.error().contains("has the result of another run"), "{swapped:?}");
    std::fs::write(file(a, "result.json"), &kept).unwrap();
    std::fs::copy(file(b, "series.csv"), file(a, "series.csv")).unwrap();
    let swapped = sweep(&folder, &["merge", "s", "--out", "m.csv"]);
    assert!(swapped.error().contains("CRC-32"), "{swapped:?}");
    assert!(!folder.path("m.csv").exists());
}
