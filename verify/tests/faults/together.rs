//! Several processes at once on one folder.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::harness::{Folder, Outcome};
use crate::subject::{
    RUN, Reference, SweepReference, command, config, ids, ok, read, safe_steps, spawn, sweep_config, verify, with_run,
    with_sweep,
};
use crate::suite::{Job, Tries};

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("three processes at once: run", run),
        Job::new("three processes at once: sweep", sweep),
        Job::new("three processes at once, killed and succeeded: sweep", killed),
        Job::new("lock of a holder killed a moment ago: run", succeeded),
        Job::new("three processes at once: sweep plan", plan),
        Job::new("two processes at once: sweep merge", merge),
    ]
}

/// The same command so many times at once.
fn together(folder: &Folder, count: usize, args: &[&str]) -> Vec<Outcome> {
    let start = |_| command(folder, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<Child> = (0..count).map(start).collect();
    let end = |child: Child| {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    };
    children.into_iter().map(end).collect()
}

/// One carries it out; the others say that somebody is at it, or that it is complete.
fn run(tries: &mut Tries) {
    let reference = Reference::of(config("fused SGD", 4000));
    for at in 0..tries.count(2, 12) {
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_run(&reference.text);
                let all = together(&folder, 3, &RUN);
                let mut carried_out = 0;
                for outcome in &all {
                    match outcome.status {
                        Some(0) if !outcome.out.contains("complete already") => carried_out += 1,
                        Some(0) => {}
                        Some(2) if outcome.err.contains("another process is at this run") => {}
                        _ => return Err(format!("{outcome:?}")),
                    }
                }
                if carried_out != 1 {
                    return Err(format!("it was carried out {carried_out} times: {all:?}"));
                }
                reference.finish(&folder).map(|()| 2)
            },
        );
    }
}

/// `before` in "N of T runs complete, M of them before, …".
fn number(out: &str, before: &str) -> u64 {
    let words = out.split(before).next().filter(|_| out.contains(before)).unwrap_or("0");
    words.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn sweep(tries: &mut Tries) {
    let reference = SweepReference::of(sweep_config(600));
    for at in 0..tries.count(2, 20) {
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_sweep(&reference.text);
                let mut done = 0;
                for outcome in together(&folder, 3, &["sweep", "run", "s", "--threads", "2"]) {
                    ok(&outcome)?;
                    done += number(&outcome.out, " of 6 runs complete") - number(&outcome.out, " of them before");
                }
                if done != 6 {
                    return Err(format!("6 runs were carried out {done} times"));
                }
                reference.finish(&folder).map(|()| 2)
            },
        );
    }
}

/// Processes that are killed and started again while others are at the same sweep.
fn killed(tries: &mut Tries) {
    let reference = SweepReference::of(sweep_config(2500));
    let args = ["sweep", "run", "s", "--threads", "2", "--checkpoint-every", "0.004"];
    for at in 0..tries.count(2, 12) as u64 {
        let pauses: Vec<Duration> =
            (0..6).map(|kill| Duration::from_secs_f64(0.08 * tries.random(&[at, kill]))).collect();
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_sweep(&reference.text);
                let mut children: Vec<Child> = (0..3).map(|_| spawn(&folder, &args)).collect();
                let (mut kills, mut safe) = (0, safe_steps(&folder));
                for (index, pause) in pauses.into_iter().enumerate() {
                    std::thread::sleep(pause);
                    let child = &mut children[index % 3];
                    kills += u64::from(child.try_wait().unwrap().is_none());
                    let _ = child.kill();
                    child.wait().unwrap();
                    // The others go on meanwhile: what was safe is what they had at least.
                    let now = safe_steps(&folder);
                    if safe.iter().any(|(id, step)| now[id] < *step) {
                        return Err(format!("what was safe is lost: {safe:?}, {now:?}"));
                    }
                    safe = now;
                    *child = spawn(&folder, &args);
                }
                for child in children {
                    let output = child.wait_with_output().unwrap();
                    if output.status.code() != Some(0) {
                        return Err(format!("{output:?}"));
                    }
                }
                reference.finish(&folder).map(|()| kills)
            },
        );
    }
}

/// The next process takes the folder over at once, and says nothing of another one.
fn succeeded(tries: &mut Tries) {
    let reference = Reference::of(config("fused SGD", 20_000));
    for at in 0..tries.count(2, 12) {
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_run(&reference.text);
                let mut child = spawn(&folder, &[&RUN[..], &["--checkpoint-every", "0.01"]].concat());
                while !folder.path("out/checkpoint.bin").exists() && child.try_wait().unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let busy = verify(&folder, &RUN);
                let alive = child.try_wait().unwrap().is_none();
                // It may be at its page already, or may just have ended.
                let complete = busy.out.contains("complete already");
                if alive && !complete && !busy.err.contains("another process is at this run") {
                    return Err(format!("{busy:?}"));
                }
                let _ = child.kill();
                child.wait().unwrap();
                reference.finish(&folder).map(|()| u64::from(alive && !complete))
            },
        );
    }
}

fn plan(tries: &mut Tries) {
    let text = sweep_config(3);
    let expected = read(&with_sweep(&text).path("s/manifest.json")).unwrap();
    for at in 0..tries.count(1, 8) {
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = Folder::new();
                folder.write("sweep.toml", &text);
                let all = together(&folder, 3, &["sweep", "plan", "--config", "sweep.toml", "--out", "s"]);
                for outcome in &all {
                    match outcome.status {
                        Some(0) => {}
                        Some(2) if outcome.err.contains("another process is planning there") => {}
                        _ => return Err(format!("{outcome:?}")),
                    }
                }
                match all.iter().any(|outcome| outcome.status == Some(0))
                    && read(&folder.path("s/manifest.json"))? == expected
                {
                    true => Ok(2),
                    false => Err(format!("no manifest, or another: {all:?}")),
                }
            },
        );
    }
}

fn merge(tries: &mut Tries) {
    let reference = SweepReference::of(sweep_config(600));
    let folder = with_sweep(&reference.text);
    reference.finish(&folder).unwrap();
    assert_eq!(ids(&folder).len(), 6);
    for at in 0..tries.count(4, 30) {
        tries.attempt(
            || format!("try {at}"),
            || {
                for outcome in together(&folder, 2, &["sweep", "merge", "s", "--out", "m.csv"]) {
                    ok(&outcome)?;
                }
                reference.check(&folder).map(|()| 1)
            },
        );
    }
}
