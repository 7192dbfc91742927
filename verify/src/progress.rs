//! Progress of the simulation: a bar with the time left on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::Job;

/// Progress over a set of runs, weighed by their arithmetic.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    total: u64,
    runs: usize,
    /// Runs that have ended, and their weight; locked while a line is written, so that lines come in order.
    ended: Mutex<(usize, u64)>,
}

impl Progress {
    /// Nothing done yet.
    pub fn new(jobs: &[Job<'_>]) -> Self {
        let total = jobs.iter().map(|&job| weight(job)).sum();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(format!("0/{} runs", jobs.len()));
            bar
        });
        if bar.is_none() {
            say(&format!("simulating {} runs", jobs.len()));
        }
        Self { bar, start: Instant::now(), total, runs: jobs.len(), ended: Mutex::new((0, 0)) }
    }

    /// A run has ended.
    pub fn done(&self, job: Job<'_>) {
        let weight = weight(job);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (ended.1, ended.1 + weight);
        *ended = (ended.0 + 1, after);
        let message = format!("{}/{} runs", ended.0, self.runs);
        if let Some(bar) = &self.bar {
            bar.inc(weight);
            bar.set_message(message);
            return;
        }
        // A line for every tenth of the work.
        let percent = |work: u64| 100 * work / self.total.max(1);
        if percent(after) / 10 > percent(before) / 10 {
            let left = self.start.elapsed().as_secs_f64() * (self.total - after.min(self.total)) as f64 / after as f64;
            say(&format!("{message}, {} %, about {left:.0} s left", percent(after)));
        }
    }

    /// All runs have ended.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line on standard error; a reader that has gone away is no error of ours.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A run's arithmetic in MFLOP, at least 1.
fn weight(job: Job<'_>) -> u64 {
    (job.flops() / 1e6) as u64 + 1
}
