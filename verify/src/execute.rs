//! Runs carried out in parallel, one thread each, the longest first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use feature_contamination::{Executor, RunSpec, SimulateError, Trajectory, simulate};

use crate::plan::run_id;

/// A run that could not be carried out, named.
#[derive(Debug, thiserror::Error)]
#[error("run {} (d0 = {}, d = {}, m = {}, seed {}): {source}", run_id(spec), spec.data.d0(), spec.d, spec.m, spec.seed)]
pub struct RunError {
    /// Its parameters.
    pub spec: Box<RunSpec>,
    /// What happened.
    pub source: Box<SimulateError>,
}

/// Carries out `specs` on `threads` threads; `done` is told of every run that ends. Results are in the order of
/// `specs` and do not depend on `threads`.
///
/// # Errors
/// The first run that fails; runs under way are finished, no further one is begun.
pub fn run_all(
    specs: &[RunSpec],
    executor: Executor,
    threads: usize,
    done: &(dyn Fn(&RunSpec) + Sync),
) -> Result<Vec<Arc<Trajectory>>, RunError> {
    let mut order: Vec<usize> = (0..specs.len()).collect();
    // The longest first, so that no thread is left alone with a long one at the end.
    order.sort_by(|&a, &b| specs[b].flops().total_cmp(&specs[a].flops()));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<Option<Result<Trajectory, SimulateError>>>> = Mutex::new(vec![None; specs.len()]);
    let work = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let result = simulate(&specs[index], executor);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
            done(&specs[index]);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, specs.len().max(1)) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut trajectories = Vec::with_capacity(specs.len());
    for (result, spec) in results.into_iter().zip(specs) {
        match result {
            Some(Ok(trajectory)) => trajectories.push(Arc::new(trajectory)),
            Some(Err(source)) => return Err(RunError { spec: Box::new(spec.clone()), source: Box::new(source) }),
            // Not begun, because another run failed: that one's error is returned.
            None => {}
        }
    }
    Ok(trajectories)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<RunSpec> {
        (0..9)
            .map(|seed| RunSpec {
                seed,
                steps: 3 * seed,
                record_steps: vec![0, 3 * seed],
                batch: 64,
                eval_samples: 64,
                ..RunSpec::uniform(3, 3, 32, 8)
            })
            .map(|mut spec| {
                spec.record_steps.dedup();
                spec
            })
            .collect()
    }

    #[test]
    fn results_are_in_order_and_do_not_depend_on_threads() {
        let executor = Executor::detect().unwrap();
        let run = |threads| run_all(&specs(), executor, threads, &|_| ()).unwrap();
        let (one, two) = (run(1), run(2));
        for (spec, (a, b)) in specs().iter().zip(one.iter().zip(&two)) {
            assert_eq!(a.spec, *spec);
            assert_eq!(format!("{:?}", a.records), format!("{:?}", b.records));
        }
    }

    #[test]
    fn the_failing_run_is_named() {
        let mut specs = specs();
        specs[4].m = 0;
        let error = run_all(&specs, Executor::detect().unwrap(), 2, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("seed 4") && error.contains("m = 0: must be at least 1"), "{error}");
    }
}
