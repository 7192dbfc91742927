//! Faults, tried and counted: runs and sweeps that are killed, at random and at every call that makes a file last, or that find
//! the disk full, the folder closed, their checkpoints damaged, the clock wrong, or another process there. Whatever happened,
//! the same command must go on to the same bytes.
//!
//! ```console
//! $ cargo test -p feature-contamination-verify --test faults              # a few of each, a minute
//! $ FC_FAULTS=full cargo test -p feature-contamination-verify --test faults  # the counts in docs/reliability.md
//! $ cargo test -p feature-contamination-verify --test faults -- disk      # kinds with this in their names
//! ```
//! `FC_FAULTS_SEED` moves the random moments. What needs a tool (`strace`, `faketime`) or a right (mounts) that is not there is
//! skipped, and counted as skipped.

#[cfg(target_os = "linux")]
mod checkpoints;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "../cli/harness.rs"]
mod harness;
#[cfg(target_os = "linux")]
mod inject;
#[cfg(target_os = "linux")]
mod kill;
#[cfg(target_os = "linux")]
mod subject;
#[cfg(target_os = "linux")]
mod suite;
#[cfg(target_os = "linux")]
mod together;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let jobs = [kill::jobs(), inject::jobs(), disk::jobs(), checkpoints::jobs(), clock::jobs(), together::jobs()];
    suite::run(jobs.into_iter().flatten().collect())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("faults: they are tried on Linux only");
}
