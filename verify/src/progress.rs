//! Progress of the simulation: a bar with the time left on a terminal, plain lines elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use feature_contamination::RunSpec;
use indicatif::{ProgressBar, ProgressStyle};

/// Progress over a set of runs, weighed by their arithmetic.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    total: u64,
    done: AtomicU64,
    runs: usize,
    finished: AtomicU64,
}

impl Progress {
    /// Nothing done yet.
    pub fn new(specs: &[RunSpec]) -> Self {
        let total = specs.iter().map(weight).sum();
        let bar = crate::cli::on_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(format!("0/{} runs", specs.len()));
            bar
        });
        let progress = Self {
            bar,
            start: Instant::now(),
            total,
            done: AtomicU64::new(0),
            runs: specs.len(),
            finished: AtomicU64::new(0),
        };
        if progress.bar.is_none() {
            eprintln!("simulating {} runs", specs.len());
        }
        progress
    }

    /// A run has ended.
    pub fn done(&self, spec: &RunSpec) {
        let weight = weight(spec);
        let before = self.done.fetch_add(weight, Ordering::Relaxed);
        let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.bar {
            bar.inc(weight);
            bar.set_message(format!("{finished}/{} runs", self.runs));
            return;
        }
        // A line for every tenth of the work.
        let tenth = |work: u64| 10 * work / self.total.max(1);
        let after = before + weight;
        if tenth(after) > tenth(before) {
            let left = self.start.elapsed().as_secs_f64() * (self.total - after.min(self.total)) as f64 / after as f64;
            eprintln!("{finished}/{} runs, {} %, about {left:.0} s left", self.runs, 100 * after / self.total.max(1));
        }
    }

    /// All runs have ended.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A run's arithmetic in MFLOP, at least 1.
fn weight(spec: &RunSpec) -> u64 {
    (spec.flops() / 1e6) as u64 + 1
}
