//! Checkpoints that are cut, flipped, of another format, another run or another program, or no checkpoints at all.

use std::path::Path;
use std::time::Duration;

use feature_contamination_verify::run::{
    CHECKPOINT, Checkpoint, Ending, Options, PREVIOUS, Progress, RESULT, RunConfig, RunFailure, Stop, run_in,
};

use crate::harness::Folder;
use crate::subject::{
    KINDS, RUN, Reference, SweepReference, config, ids, ok, refused, sweep_config, verify, with_run, with_sweep,
};
use crate::suite::{Job, Tries};

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("checkpoint cut or flipped: the one before it", |tries| damaged(tries, true)),
        Job::new("checkpoint cut or flipped, none before it: refused", |tries| damaged(tries, false)),
        Job::new("checkpoint of another format, run or program: the one before it", |tries| foreign(tries, true)),
        Job::new("checkpoint of another format, run or program, none before it: refused", |tries| {
            foreign(tries, false)
        }),
        Job::new("checkpoint with a right checksum and a wrong content: the one before it", |tries| wrong(tries, true)),
        Job::new("checkpoint with a right checksum and a wrong content, none before it: refused", |tries| {
            wrong(tries, false)
        }),
        Job::new("checkpoint damaged in a sweep: recorded, the others go on, retry", in_a_sweep),
    ]
}

/// Runs a configuration in this process and stops at the step `at`, or at the end.
fn run_to(out: &Path, text: &str, seed: u64, at: u64) {
    let config = RunConfig::parse(text).unwrap();
    let stop = Stop::default();
    let progress = |progress: &Progress<'_>| {
        if progress.step == at {
            stop.set();
        }
    };
    let options = Options { checkpoint_every: Duration::from_secs(3600), progress: &progress, ..Options::default() };
    // A lock that was taken here is also that of a child between its fork and its program: of another thread's, for a moment.
    let ending = loop {
        match run_in(out, &config, seed, &options, &stop) {
            Err(RunFailure::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
            ending => break ending.unwrap(),
        }
    };
    assert_eq!(ending, Ending::Interrupted { step: at });
}

/// Leaves the checkpoints of two recorded steps in `out`.
pub fn leave_two(folder: &Folder, reference: &Reference, first: u64, second: u64) {
    for step in [first, second] {
        run_to(&folder.path("out"), &reference.text, 1, step);
    }
}

/// A run with two whole checkpoints, or with the newest alone.
fn interrupted(reference: &Reference, before: bool) -> Folder {
    let folder = with_run(&reference.text);
    leave_two(&folder, reference, 6, 12);
    if !before {
        std::fs::remove_file(folder.path("out").join(PREVIOUS)).unwrap();
    }
    folder
}

fn references() -> Vec<Reference> {
    KINDS.iter().map(|(kind, _)| Reference::of(config(kind, 60))).collect()
}

/// Puts bytes in the newest checkpoint's place; they must be refused with these words, and the one before it used where there is
/// one. Where there is none nothing is changed, and the whole one put back completes the run.
fn replaced(reference: &Reference, before: bool, bytes: &[u8], words: &[&str]) -> Result<u64, String> {
    let folder = interrupted(reference, before);
    let path = folder.path("out").join(CHECKPOINT);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    if !before {
        let there = folder.tree("out");
        refused(&verify(&folder, &RUN), &[words, &[CHECKPOINT, "remove it to begin anew"]].concat())?;
        let mut now = folder.tree("out");
        now.remove("lock");
        if there.iter().any(|(name, content)| name != "lock" && now.get(name) != Some(content)) {
            return Err("the folder was changed".to_owned());
        }
        std::fs::write(&path, whole).unwrap();
        return reference.finish(&folder).map(|()| 1);
    }
    let outcome = verify(&folder, &RUN);
    ok(&outcome)?;
    let line = outcome.err.lines().find(|line| line.contains("going on from")).unwrap_or_default();
    if !words.iter().chain(&[CHECKPOINT, PREVIOUS, "step 6"]).all(|word| line.contains(word)) {
        return Err(format!("does not say {words:?}: {outcome:?}"));
    }
    reference.check(&folder).map(|()| 1)
}

fn damaged(tries: &mut Tries, before: bool) {
    let references = references();
    for at in 0..tries.count(4, 40) as u64 {
        let reference = &references[at as usize % references.len()];
        let whole = std::fs::read(interrupted(reference, before).path("out").join(CHECKPOINT)).unwrap();
        let place = (tries.random(&[at, 1]) * whole.len() as f64) as usize;
        let bit = (tries.random(&[at, 2]) * 8.0) as u32;
        let mut bytes = whole.clone();
        let what = match at % 4 {
            0 => {
                bytes.truncate(place);
                format!("cut to {place} bytes")
            }
            1 => {
                bytes.truncate(whole.len() - 1 - place % 8);
                "without its last bytes".to_owned()
            }
            2 => {
                bytes[place..].fill(0);
                format!("zeros from byte {place} on")
            }
            _ => {
                bytes[place] ^= 1 << bit;
                format!("bit {bit} of byte {place} flipped")
            }
        };
        // A checkpoint that ends in zeros may stay what it is.
        if bytes != whole {
            tries.attempt(|| what, || replaced(reference, before, &bytes, &[]));
        }
    }
}

/// A checkpoint of other words, with a checksum that is right.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn foreign(tries: &mut Tries, before: bool) {
    let reference = Reference::of(config("AdamW", 60));
    let whole = std::fs::read(interrupted(&reference, before).path("out").join(CHECKPOINT)).unwrap();
    let of_another = |text: &str, seed| {
        let folder = Folder::new();
        run_to(&folder.path("out"), text, seed, 12);
        std::fs::read(folder.path("out").join(CHECKPOINT)).unwrap()
    };
    let changed = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = Checkpoint::decode(&whole).unwrap();
        change(&mut checkpoint);
        checkpoint.encode()
    };
    let format = |format: u8| {
        let mut bytes = whole.clone();
        bytes[8] = format;
        resealed(bytes)
    };
    let cases: [(&str, Vec<u8>, &[&str]); 13] = [
        ("an older format", format(0), &["is of format 0; this program reads 1"]),
        ("a newer format", format(9), &["is of format 9; this program reads 1"]),
        ("another seed", of_another(&reference.text, 2), &["is of seed 2, and this run has seed 1"]),
        (
            "another network",
            of_another(&reference.text.replace("m = 10", "m = 11"), 1),
            &["is of another configuration: [network] m = 11 there, m = 10 here"],
        ),
        ("another kind of run", of_another(&config("fused SGD", 60), 1), &["is of another configuration"]),
        ("another version", changed(&|c| c.origin.version = "0.0.9".to_owned()), &["was written at version \"0.0.9\""]),
        ("another commit", changed(&|c| c.origin.commit = "0ff".to_owned()), &["was written at commit \"0ff\""]),
        ("another instruction set", changed(&|c| c.origin.isa = "none".to_owned()), &["instruction set \"none\""]),
        ("no bytes", vec![], &["has 0 bytes and is no checkpoint"]),
        ("a text", b"step = 12\n".repeat(99), &["is no checkpoint of this program"]),
        ("an archive", b"PK\x03\x04 and so on".to_vec(), &["is no checkpoint of this program"]),
        ("line ends that a transfer has changed", changed_line_ends(&whole), &["is no checkpoint of this program"]),
        ("twice itself", whole.repeat(2), &["bytes and should have"]),
    ];
    for (what, bytes, words) in cases {
        tries.attempt(|| what.to_owned(), || replaced(&reference, before, &bytes, words));
    }
}

fn changed_line_ends(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed.retain(|&byte| byte != b'\r');
    changed
}

/// What its checksum, run and program say is this run's, and is not: refused with the reason, and never used.
fn wrong(tries: &mut Tries, before: bool) {
    let reference = Reference::of(config("momentum", 60));
    let whole = std::fs::read(interrupted(&reference, before).path("out").join(CHECKPOINT)).unwrap();
    type Change = fn(&mut Checkpoint);
    let cases: [(&str, Change, &str); 6] = [
        ("a step too many", |c| c.step += 1, "has a state of step 12, not 13"),
        ("a record too few", |c| drop(c.rows.pop()), "has records that are not those"),
        ("a record of fewer numbers than the first", |c| c.rows[1].truncate(2), "ends too early"),
        ("a step beyond the end", |c| c.step = u64::MAX, "has records that are not those"),
        ("an array too few", |c| drop(c.state.arrays.pop()), "does not fit"),
        ("an array of another name", |c| c.state.arrays[1].0 = "weights".to_owned(), "does not fit"),
    ];
    for (what, change, words) in cases {
        let mut checkpoint = Checkpoint::decode(&whole).unwrap();
        change(&mut checkpoint);
        tries.attempt(|| what.to_owned(), || replaced(&reference, before, &checkpoint.encode(), &[words]));
    }
}

/// The run with no whole checkpoint fails by itself, the others go on, and `retry` begins it anew.
fn in_a_sweep(tries: &mut Tries) {
    let reference = SweepReference::of(sweep_config(3));
    for at in 0..tries.count(2, 6) {
        tries.attempt(
            || format!("run {at}"),
            || {
                let folder = with_sweep(&reference.text);
                let run = format!("s/runs/{}", ids(&folder)[at % 6]);
                folder.write(&format!("{run}/{CHECKPOINT}"), "none");
                let outcome = verify(&folder, &["sweep", "run", "s"]);
                if (outcome.status, outcome.out.as_str()) != (Some(1), "5 of 6 runs complete, 1 failed\n") {
                    return Err(format!("{outcome:?}"));
                }
                if folder.path(&run).join(RESULT).exists() || !outcome.err.contains("is no checkpoint") {
                    return Err(format!("{outcome:?}"));
                }
                ok(&verify(&folder, &["sweep", "retry", "s"]))?;
                reference.finish(&folder).map(|()| 1)
            },
        );
    }
}
