//! The kinds of faults in turn, on two threads, and the table.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use feature_contamination::rng;

/// Kinds that are tried at once.
const THREADS: usize = 2;

/// A kind of fault.
pub struct Job {
    pub name: String,
    pub run: Box<dyn Fn(&mut Tries) + Send + Sync>,
}

impl Job {
    pub fn new(name: impl Into<String>, run: impl Fn(&mut Tries) + Send + Sync + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// What was tried of a kind, and what came of it.
#[derive(Debug)]
pub struct Tries {
    name: String,
    full: bool,
    seed: u64,
    tried: u64,
    survived: u64,
    /// Faults that struck: kills that found a process alive, calls that were made to fail.
    faults: u64,
    skipped: Vec<String>,
    failures: Vec<String>,
}

impl Tries {
    /// One number or the other, by how much is to be tried.
    pub fn count(&self, few: usize, full: usize) -> usize {
        if self.full { full } else { few }
    }

    /// Whether all is to be tried.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// A number in `[0, 1)` that belongs to the place `at` of this kind, whatever else is tried.
    pub fn random(&self, at: &[u64]) -> f64 {
        let name = self.name.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(131).wrapping_add(byte.into()));
        (rng::derive(self.seed ^ name, at) >> 11) as f64 / 2f64.powi(53)
    }

    /// One try: how many faults struck, or what did not survive them.
    pub fn attempt(&mut self, what: impl FnOnce() -> String, attempt: impl FnOnce() -> Result<u64, String>) {
        self.tried += 1;
        let result = catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            Err(words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        });
        match result {
            Ok(faults) => {
                self.survived += 1;
                self.faults += faults;
            }
            Err(error) => self.failures.push(format!("{}: {}: {error}", self.name, what())),
        }
    }

    /// What cannot be tried here, and why.
    pub fn skip(&mut self, why: impl Into<String>) {
        self.skipped.push(why.into());
    }
}

/// Tries every kind whose name has what the first argument says, prints the table, and fails if anything did not survive.
pub fn run(jobs: Vec<Job>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    let full = match std::env::var("FC_FAULTS").as_deref() {
        Ok("full") => true,
        Ok("few") | Err(_) => false,
        Ok(other) => {
            eprintln!("faults: FC_FAULTS = {other:?}: must be few or full");
            return ExitCode::from(2);
        }
    };
    let seed = std::env::var("FC_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let jobs: Vec<Job> = jobs.into_iter().filter(|job| job.name.contains(&filter)).collect();
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let results: Mutex<Vec<(usize, Tries)>> = Mutex::default();
    let work = || {
        while let Some((index, job)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
        {
            let mut tries = Tries {
                name: job.name.clone(),
                full,
                seed,
                tried: 0,
                survived: 0,
                faults: 0,
                skipped: vec![],
                failures: vec![],
            };
            let begun = Instant::now();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.run)(&mut tries))) {
                let words = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "panicked".to_owned());
                tries.failures.push(format!("{}: could not be tried: {words}", job.name));
            }
            eprintln!(
                "faults: {}: {} of {} survived, {:.1} s",
                job.name,
                tries.survived,
                tries.tried,
                begun.elapsed().as_secs_f64()
            );
            results.lock().unwrap().push((index, tries));
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    let results: Vec<Tries> = results.into_iter().map(|(_, tries)| tries).collect();
    print(&results);
    let sum = |count: fn(&Tries) -> u64| results.iter().map(count).sum::<u64>();
    let skipped = results.iter().map(|tries| tries.skipped.len()).sum::<usize>();
    println!(
        "\nfaults: {} tries, {} faults, {} survived, {skipped} kinds skipped, seed {seed}, {:.0} s",
        sum(|tries| tries.tried),
        sum(|tries| tries.faults),
        sum(|tries| tries.survived),
        start.elapsed().as_secs_f64()
    );
    for tries in &results {
        tries.skipped.iter().for_each(|why| println!("skipped: {}: {why}", tries.name));
    }
    let failures: Vec<&String> = results.iter().flat_map(|tries| &tries.failures).collect();
    failures.iter().take(20).for_each(|failure| println!("FAILED: {failure}"));
    if !failures.is_empty() || results.iter().all(|tries| tries.tried == 0) && skipped == 0 {
        println!("faults: {} did not survive, or nothing was tried", failures.len());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn print(results: &[Tries]) {
    println!("\n| kind | tries | faults | survived |\n|---|---:|---:|---:|");
    for tries in results {
        println!("| {} | {} | {} | {} |", tries.name, tries.tried, tries.faults, tries.survived);
    }
}
