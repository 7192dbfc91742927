//! Clocks that are wrong, jump, or differ from the files'.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::harness::{Folder, outcome, wait};
use crate::subject::{
    RUN, Reference, SweepReference, command, config, ids, ok, safe_steps, spawn, sweep_config, verify, with_run,
    with_sweep,
};
use crate::suite::{Job, Tries};

pub fn jobs() -> Vec<Job> {
    vec![
        // First: it waits for a minute, while the others are tried.
        Job::new("lock of another machine's holder that died: sweep and run", elsewhere),
        Job::new("clock in the past or future, and back: run and sweep", wrong),
        Job::new("clock that jumps under way: run and sweep", jumping),
        Job::new("files of the past or future: run and sweep", files),
    ]
}

const YEARS: u64 = 100 * 366 * 86_400;

/// The library that gives a program another clock.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

/// Wall clocks jump; the steady clock of a system that runs does not.
fn faked(folder: &Folder, args: &[&str], clock: &str) -> std::process::Command {
    let mut command = command(folder, args);
    if let Some(library) = library() {
        folder.write("clock", clock);
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", folder.path("clock"));
        command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    }
    command
}

fn can_fake(tries: &mut Tries) -> bool {
    if library().is_none() {
        tries.skip("needs faketime");
    }
    library().is_some()
}

/// Begun in one century, killed, gone on with in another.
fn wrong(tries: &mut Tries) {
    if !can_fake(tries) {
        return;
    }
    let clocks = ["+30y", "-30y", "2000-01-01 00:00:00", "2037-12-31 23:59:59"];
    let run = Reference::of(config("fused SGD", 6000));
    let sweep = SweepReference::of(sweep_config(1000));
    for (at, clock) in clocks.into_iter().enumerate() {
        tries.attempt(
            || format!("run, {clock}"),
            || {
                let folder = with_run(&run.text);
                let args = [&RUN[..], &["--checkpoint-every", "0.002"]].concat();
                let mut child =
                    faked(&folder, &args, clock).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                wait_for(&folder, &["out/checkpoint.bin".to_owned()], &mut child);
                let _ = child.kill();
                child.wait().unwrap();
                ok(&outcome(faked(&folder, &RUN, clocks[(at + 1) % 4])))?;
                run.finish(&folder).map(|()| 1)
            },
        );
        tries.attempt(
            || format!("sweep, {clock}"),
            || {
                let folder = with_sweep(&sweep.text);
                let args = ["sweep", "run", "s", "--checkpoint-every", "0.002"];
                let mut child =
                    faked(&folder, &args, clock).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                let any: Vec<String> = ids(&folder).iter().map(|id| format!("s/runs/{id}/checkpoint.bin")).collect();
                wait_for(&folder, &any, &mut child);
                let _ = child.kill();
                child.wait().unwrap();
                for args in [&["sweep", "status", "s"][..], &["sweep", "retry", "s"], &["sweep", "run", "s"]] {
                    ok(&outcome(faked(&folder, args, clocks[(at + 1) % 4])))?;
                }
                sweep.finish(&folder).map(|()| 1)
            },
        );
    }
}

/// Until one of the files is there, or the process has ended.
fn wait_for(folder: &Folder, names: &[String], child: &mut std::process::Child) {
    while !names.iter().any(|name| folder.path(name).exists()) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn jumping(tries: &mut Tries) {
    if !can_fake(tries) {
        return;
    }
    let run = Reference::of(config("momentum", 12_000));
    let sweep = SweepReference::of(sweep_config(2000));
    for at in 0..tries.count(1, 4) {
        let jumps = ["+0", "+40y", "-40y", "+1s", "-1s"];
        let jump = |folder: &Folder, args: &[&str]| {
            let mut child = faked(folder, args, "+0").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut count = 0;
            while child.try_wait().unwrap().is_none() {
                count += 1;
                folder.write("clock", jumps[(count + at) % jumps.len()]);
                std::thread::sleep(Duration::from_millis(15));
                assert!(count < 4000, "does not end");
            }
            match child.wait().unwrap().code() {
                Some(0) => Ok(count as u64),
                status => Err(format!("status {status:?}")),
            }
        };
        tries.attempt(
            || format!("run {at}"),
            || {
                let folder = with_run(&run.text);
                let count = jump(&folder, &[&RUN[..], &["--checkpoint-every", "0.005"]].concat())?;
                run.check(&folder).map(|()| count)
            },
        );
        tries.attempt(
            || format!("sweep {at}"),
            || {
                let folder = with_sweep(&sweep.text);
                let count = jump(&folder, &["sweep", "run", "s", "--threads", "1", "--checkpoint-every", "0.005"])?;
                sweep.check(&folder).map(|()| count)
            },
        );
    }
}

/// Gives every file below a folder a time.
fn date(path: &Path, time: SystemTime) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| date(&entry.unwrap().path(), time));
    }
    let file = std::fs::File::open(path).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(time).set_accessed(time)).unwrap();
}

fn files(tries: &mut Tries) {
    let run = Reference::of(config("AdamW", 60));
    let sweep = SweepReference::of(sweep_config(1500));
    let times = [SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(YEARS)];
    for (at, time) in times.into_iter().enumerate() {
        tries.attempt(
            || format!("run, {time:?}"),
            || {
                let folder = with_run(&run.text);
                crate::checkpoints::leave_two(&folder, &run, 6, 12);
                date(&folder.path("out"), time);
                run.finish(&folder)?;
                date(&folder.path("out"), time);
                run.finish(&folder).map(|()| 2)
            },
        );
        tries.attempt(
            || format!("sweep, {time:?}"),
            || {
                let folder = with_sweep(&sweep.text);
                let mut child = spawn(&folder, &["sweep", "run", "s", "--checkpoint-every", "0.002"]);
                std::thread::sleep(Duration::from_millis(60));
                let _ = child.kill();
                assert!(wait(&mut child));
                date(&folder.path("s"), time);
                let safe = safe_steps(&folder);
                ok(&verify(&folder, &["sweep", "status", "s"]))?;
                if at == 0 {
                    ok(&verify(&folder, &["sweep", "retry", "s"]))?;
                }
                if safe_steps(&folder) != safe {
                    return Err("what was safe has changed".to_owned());
                }
                sweep.finish(&folder)?;
                date(&folder.path("s"), time);
                sweep.finish(&folder).map(|()| 2)
            },
        );
    }
}

/// The record of a machine of which nothing more is heard: waited for by this process's own clock, whatever the file's time,
/// and then succeeded.
fn elsewhere(tries: &mut Tries) {
    if !tries.is_full() {
        return tries.skip("takes a minute: FC_FAULTS=full");
    }
    let record = "{\"host\":\"gone\",\"machine\":\"another boot\",\"pid\":1,\"beat\":7}";
    let sweep = SweepReference::of(sweep_config(3));
    let run = Reference::of(config("momentum", 4));
    let (first, second) = (with_sweep(&sweep.text), with_run(&run.text));
    let id = ids(&first)[3].clone();
    first.write(&format!("s/runs/{id}/lock"), record);
    date(&first.path("s"), SystemTime::now() + Duration::from_secs(YEARS));
    second.write("out/lock", record);
    date(&second.path("out"), SystemTime::UNIX_EPOCH);
    let mut children = [spawn(&first, &["sweep", "run", "s", "--threads", "2"]), spawn(&second, &RUN)];
    let start = std::time::Instant::now();
    let statuses = children.each_mut().map(|child| {
        while start.elapsed() < Duration::from_secs(100) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        (child.wait().unwrap().code(), start.elapsed())
    });
    let lasted = |(status, time): (Option<i32>, Duration)| match (status, time >= Duration::from_secs(59)) {
        (Some(0), true) => Ok(()),
        _ => Err(format!("status {status:?} after {time:?}")),
    };
    tries.attempt(
        || "sweep".to_owned(),
        || {
            lasted(statuses[0])?;
            sweep.finish(&first).map(|()| 1)
        },
    );
    tries.attempt(
        || "run".to_owned(),
        || {
            lasted((statuses[1].0, statuses[1].1.max(statuses[0].1)))?;
            run.finish(&second).map(|()| 1)
        },
    );
}
