//! Runs and tasks carried out in parallel, one thread each, the longest first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use feature_contamination::{Executor, RunSpec, SimulateError, Trajectory, simulate};

use crate::plan::{Job, Plan, run_id};
use crate::studies::{Observed, Task, TaskError};

/// What could not be carried out, named.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A run of the model.
    #[error("run {} (d0 = {}, d = {}, m = {}, seed {}): {source}", run_id(spec), spec.data.d0(), spec.d, spec.m, spec.seed)]
    Run {
        /// Its parameters.
        spec: Box<RunSpec>,
        /// What happened.
        source: Box<SimulateError>,
    },
    /// A task of a study.
    #[error("task {} ({}): {source}", task.id(), task.canonical())]
    Task {
        /// The task.
        task: Box<Task>,
        /// What happened.
        source: TaskError,
    },
}

/// What came of a plan.
pub struct Results {
    /// In the order of [`Plan::specs`].
    pub runs: Vec<Arc<Trajectory>>,
    /// In the order of [`Plan::tasks`].
    pub tasks: Vec<Arc<Observed>>,
}

enum Outcome {
    Run(Arc<Trajectory>),
    Task(Arc<Observed>),
}

/// Carries out a plan on `threads` threads; `done` is told of every job that ends. Results do not depend on `threads`.
///
/// # Errors
/// The first job that fails; jobs under way are finished, no further one is begun.
pub fn run_all(
    plan: &Plan,
    executor: Executor,
    threads: usize,
    done: &(dyn Fn(Job<'_>) + Sync),
) -> Result<Results, RunError> {
    let jobs = plan.jobs();
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    // The longest first, so that no thread is left alone with a long one at the end.
    order.sort_by(|&a, &b| jobs[b].flops().total_cmp(&jobs[a].flops()));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let outcomes: Mutex<Vec<Option<Result<Outcome, RunError>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let work = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let outcome = match jobs[index] {
                Job::Run(spec) => simulate(spec, executor)
                    .map(|trajectory| Outcome::Run(Arc::new(trajectory)))
                    .map_err(|source| RunError::Run { spec: Box::new(spec.clone()), source: Box::new(source) }),
                Job::Task(task) => task
                    .run(executor)
                    .map(|observed| Outcome::Task(Arc::new(observed)))
                    .map_err(|source| RunError::Task { task: Box::new(task.clone()), source }),
            };
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
            done(jobs[index]);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = Results { runs: Vec::with_capacity(plan.specs().len()), tasks: Vec::new() };
    // One that was not begun is left out, because another failed: that one's error is returned.
    for outcome in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
        match outcome? {
            Outcome::Run(trajectory) => results.runs.push(trajectory),
            Outcome::Task(observed) => results.tasks.push(observed),
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::plan::{Ladder, Rung};
    use crate::studies::Cost;

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

    /// The square of a number, and an error for one that has no reason to be squared.
    fn task(number: u64) -> Task {
        let cost = Cost { flops: number as f64, bytes: 0.0 };
        Task::new("square", number, cost, |&number, _| {
            if number == 13 {
                return Err("13 is not squared".into());
            }
            Ok(Observed { numbers: [("square".to_owned(), (number * number) as f64)].into(), ..Observed::default() })
        })
    }

    fn plan(specs: Vec<RunSpec>, tasks: Vec<Task>) -> (Plan, [Ladder<Task>; 1]) {
        let mut plan = Plan::default();
        plan.add(&[Ladder { factor: "x", rungs: vec![Rung { size: 1.0, runs: specs }] }]);
        let ladders = [Ladder { factor: "x", rungs: vec![Rung { size: 1.0, runs: tasks }] }];
        plan.add_tasks(&ladders);
        (plan, ladders)
    }

    #[test]
    fn results_are_in_order_and_do_not_depend_on_threads() {
        let executor = Executor::detect().unwrap();
        // One task twice.
        let (plan, ladders) = plan(specs(), [5, 900, 2, 5].map(task).into());
        let run = |threads| run_all(&plan, executor, threads, &|_| ()).unwrap();
        let (one, two) = (run(1), run(2));
        for (spec, (a, b)) in specs().iter().zip(one.runs.iter().zip(&two.runs)) {
            assert_eq!(a.spec, *spec);
            assert_eq!(format!("{:?}", a.records), format!("{:?}", b.records));
        }
        assert_eq!(one.tasks, two.tasks);
        assert_eq!(one.tasks.len(), 3);
        let observed = &plan.resolve_tasks(&ladders, &one.tasks).unwrap()[0];
        let squares: Vec<f64> = observed.runs().map(|observed| observed.number("square")).collect();
        assert_eq!(squares, [25.0, 810_000.0, 4.0, 25.0]);
        assert!(one.tasks[0].number("root").is_nan() && one.tasks[0].series("digits").is_empty());
    }

    #[test]
    fn the_failing_run_is_named() {
        let mut specs = specs();
        specs[4].m = 0;
        let error = |plan: &Plan| {
            run_all(plan, Executor::detect().unwrap(), 2, &|_| ()).err().map(|error| error.to_string()).unwrap()
        };
        let run = error(&plan(specs, vec![task(3)]).0);
        assert!(run.contains("seed 4") && run.contains("m = 0: must be at least 1"), "{run}");
        let task_error = error(&plan(self::specs(), [3, 13].map(task).into()).0);
        assert!(task_error.contains("square 13") && task_error.contains("13 is not squared"), "{task_error}");
    }
}
