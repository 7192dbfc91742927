//! SIGKILL at random moments.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::harness::{Folder, wait};
use crate::subject::{
    KINDS, RUN, Reference, SweepReference, config, safe_step, safe_steps, spawn, sweep_config, verify, with_run,
    with_sweep,
};
use crate::suite::{Job, Tries};

/// Kills of one run at most, before it is left to complete.
const KILLS: u64 = 4;

pub fn jobs() -> Vec<Job> {
    let runs = KINDS
        .map(|(kind, steps)| Job::new(format!("kill at random: run, {kind}"), move |tries| run(tries, kind, steps)));
    runs.into_iter().chain([Job::new("kill at random: sweep", sweep)]).collect()
}

/// Waits so long, or until the process has ended; whether it was killed.
fn kill_after(child: &mut Child, pause: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < pause {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let alive = child.try_wait().unwrap().is_none();
    if alive {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    alive
}

/// Starts a run and waits until its trial is over.
fn begun(folder: &Folder) -> Child {
    let args = [&RUN[..], &["--checkpoint-every", "0.004"]].concat();
    let mut child = spawn(folder, &args);
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    // Read to the end by somebody, so that the run never waits for a reader.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    child
}

fn run(tries: &mut Tries, kind: &str, steps: u64) {
    let reference = Reference::of(config(kind, steps));
    let folder = with_run(&reference.text);
    let mut child = begun(&folder);
    let start = Instant::now();
    assert!(wait(&mut child));
    let whole = start.elapsed().as_secs_f64();
    for at in 0..tries.count(2, 18) as u64 {
        let pause = |kill| Duration::from_secs_f64(whole * tries.random(&[at, kill]));
        let pauses: Vec<Duration> = (0..KILLS).map(pause).collect();
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_run(&reference.text);
                let (mut kills, mut safe) = (0, 0);
                for pause in pauses {
                    let mut child = begun(&folder);
                    if !kill_after(&mut child, pause) {
                        break;
                    }
                    kills += 1;
                    let now = safe_step(&folder.path("out"));
                    if now < safe {
                        return Err(format!("step {safe} was safe, and after a kill step {now} is"));
                    }
                    safe = now;
                }
                reference.finish(&folder).map(|()| kills)
            },
        );
    }
}

fn sweep(tries: &mut Tries) {
    let reference = SweepReference::of(sweep_config(1500));
    let args = ["sweep", "run", "s", "--threads", "2", "--checkpoint-every", "0.004"];
    let folder = with_sweep(&reference.text);
    let start = Instant::now();
    assert_eq!(verify(&folder, &args).status, Some(0));
    let whole = start.elapsed().as_secs_f64();
    for at in 0..tries.count(4, 30) as u64 {
        let pause = |kill| Duration::from_secs_f64(whole * tries.random(&[at, kill]));
        let pauses: Vec<Duration> = (0..KILLS).map(pause).collect();
        tries.attempt(
            || format!("try {at}"),
            || {
                let folder = with_sweep(&reference.text);
                let (mut kills, mut safe) = (0, safe_steps(&folder));
                for pause in pauses {
                    let mut child = spawn(&folder, &args);
                    if !kill_after(&mut child, pause) {
                        break;
                    }
                    kills += 1;
                    let now = safe_steps(&folder);
                    if let Some((id, step)) = safe.iter().find(|(id, step)| now[*id] < **step) {
                        return Err(format!("run {id}: step {step} was safe, and after a kill step {} is", now[id]));
                    }
                    safe = now;
                }
                reference.finish(&folder).map(|()| kills)
            },
        );
    }
}
