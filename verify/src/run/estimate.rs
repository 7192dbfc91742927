//! What a configuration means: sizes, the theory's times, memory, and the time that it takes, before it is run.

use std::time::Instant;

use feature_contamination::{Executor, mlp};

use super::config::{Plan, RunConfig, Sampling, Seeds};
use super::engine::{Engine, with_engine};
use super::result::columns;
use super::{CommandError, RunFailure};
use crate::machine::available_memory;
use crate::report::text::{duration, number};
use crate::theory::balance::SelfSimilar;

/// Time that the steps of a calibration may take, seconds.
const CALIBRATION: f64 = 0.25;

/// The program itself with what a page takes, bytes: measured, 5 and 3 MiB.
const PROGRAM_BYTES: f64 = 16.0 * 1024.0 * 1024.0;

/// Memory and time of one run.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// An upper estimate of the memory held at once, bytes.
    pub memory_bytes: f64,
    /// Size of a checkpoint at the end, bytes; two are kept, and while one is written a third is there.
    pub checkpoint_bytes: f64,
    /// A step, seconds, measured.
    pub step_seconds: f64,
    /// A record, seconds, measured.
    pub record_seconds: f64,
    /// The whole run, seconds.
    pub seconds: f64,
}

/// An upper estimate of the memory of one run, bytes: the program, the training, the records, and a checkpoint as it is
/// written.
pub fn memory_bytes(config: &RunConfig, plan: &Plan) -> f64 {
    let training = match plan {
        // A row a record is kept, and not every neuron's observables; those of one, and the start, are held for a while.
        Plan::Fresh(spec) => {
            let neurons = spec.m as f64;
            let one = 160.0 * neurons + 8.0 * neurons * spec.data.d0() as f64;
            spec.memory_bytes() - spec.record_bytes() + one
        }
        Plan::Fixed(spec) => spec.memory_bytes(),
    };
    let records = (plan.record_steps().len() * columns(config.model.sampling).len()) as f64 * 8.0;
    PROGRAM_BYTES + 2.0 * training + 4.0 * records
}

/// A run's time in arithmetic operations, all it does beside them counted as such: what runs are compared by.
pub fn work(plan: &Plan) -> f64 {
    match plan {
        Plan::Fresh(spec) => {
            let (steps, records) = (spec.steps as f64, spec.record_steps.len() as f64);
            let drawn = steps * spec.batch as f64 + records * (spec.eval_samples + spec.ood_samples()) as f64;
            // A variate, and what a step does whatever its size, as on a slow core of 10 GFLOP/s.
            spec.flops() + 50.0 * drawn * spec.data.d0() as f64 + 1e4 * steps
        }
        Plan::Fixed(spec) => (spec.step_flops() + 1e4) * spec.steps as f64,
    }
}

/// Refuses what does not fit into the memory that is free, for so many runs at once.
///
/// # Errors
/// Too large, in one line.
pub fn check_memory(config: &RunConfig, plan: &Plan, at_once: usize) -> Result<(), CommandError> {
    const GIB: f64 = (1u64 << 30) as f64;
    let needed = memory_bytes(config, plan) * at_once as f64;
    match available_memory() {
        Some(available) if needed > available => Err(CommandError::Memory {
            needed: needed / GIB,
            available: available / GIB,
            runs: if at_once == 1 { "a run".to_owned() } else { format!("{at_once} runs at once") },
        }),
        _ => Ok(()),
    }
}

/// Measures a few steps and a record of the run at its first seed.
///
/// # Errors
/// The run fails within these steps.
pub fn measure(config: &RunConfig, executor: Executor) -> Result<Estimate, RunFailure> {
    let plan = config.plan(config.seeds.list().first().copied().unwrap_or(1))?;
    with_engine(&plan, executor, |engine| {
        let start = Instant::now();
        engine.record()?;
        let record_seconds = start.elapsed().as_secs_f64();
        let state: usize = engine.state().arrays.iter().map(|(name, array)| 8 * array.len() + name.len() + 11).sum();
        let step_seconds = step_seconds(engine, plan.steps())?;
        super::check_finite(&engine.state(), engine.step())?;
        let records = plan.record_steps().len() as f64;
        Ok(Estimate {
            memory_bytes: memory_bytes(config, &plan),
            checkpoint_bytes: state as f64 + records * 8.0 * columns(config.model.sampling).len() as f64 + 4096.0,
            step_seconds,
            record_seconds,
            seconds: step_seconds * plan.steps() as f64 + record_seconds * records,
        })
    })
}

/// The mean of as many steps as fit, the first ones, which touch new memory, apart where there are others.
fn step_seconds(engine: &mut dyn Engine, steps: u64) -> Result<f64, RunFailure> {
    let start = Instant::now();
    let (mut counted, mut from) = (0u32, start);
    for step in 0..steps.min(10_000) {
        engine.advance()?;
        counted += 1;
        if start.elapsed().as_secs_f64() > CALIBRATION {
            break;
        }
        if step == 1 {
            (counted, from) = (0, Instant::now());
        }
    }
    Ok(from.elapsed().as_secs_f64() / f64::from(counted.max(1)))
}

/// Sizes in binary units.
pub(crate) fn size(bytes: f64) -> String {
    match bytes {
        b if b < 1024.0 * 1024.0 => format!("{} KiB", number(b / 1024.0, 2)),
        b if b < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", number(b / (1024.0 * 1024.0), 3)),
        b => format!("{} GiB", number(b / (1024.0 * 1024.0 * 1024.0), 3)),
    }
}

/// `C` and `B`.
fn balance(plan: &Plan) -> (f64, f64) {
    match plan {
        Plan::Fresh(spec) => (spec.data.c(), spec.data.b()),
        // Means of ½; the sphere's core features have none.
        Plan::Fixed(spec) => {
            let core = if spec.rule == mlp::Labels::Linear { spec.d_core as f64 / 4.0 } else { 0.0 };
            (core, spec.d_bg as f64 / 4.0)
        }
    }
}

/// What a configuration means, line by line, and what there is to say against it.
pub(super) fn describe(config: &RunConfig, plan: &Plan, threads: usize, estimate: Option<Estimate>) -> String {
    let (c, b) = balance(plan);
    let row = |name: &str, text: String| format!("{name:<12}{text}\n");
    let [core, bg] = [config.model.d_core, config.model.d_bg];
    let kind = match config.model.sampling {
        Sampling::Fresh => "fresh examples at every step",
        Sampling::Fixed => "a fixed set of examples",
    };
    let compare = if (c - b).abs() <= 1e-12 * b {
        "C = B: at the balance condition's edge"
    } else if c > b {
        "C > B: the balance condition holds"
    } else {
        "C < B: the balance condition does not hold"
    };
    let mut text = row("model", format!("{kind}; d0 = {core} + {bg} = {}, d = {}", core + bg, config.model.d));
    text += &row("balance", format!("C = {}, B = {}; {compare}", number(c, 4), number(b, 4)));
    let records = plan.record_steps().len();
    let mut notes: Vec<String> = Vec::new();
    match plan {
        Plan::Fresh(spec) => {
            let decay = number(spec.weight_decay, 4);
            text += &row("network", format!("2 layers, m = {}, {:?}", spec.m, spec.activation).to_lowercase());
            text += &row(
                "optimiser",
                format!("SGD, hinge, N = {}, η = {}, λ = {decay}", spec.batch, number(spec.learning_rate, 4)),
            );
            let times = config.times(spec.learning_rate);
            let [t0, t1, t2] = times.map(|steps| number(steps, 6));
            text += &row("times", format!("T0 = {t0}, T1 = {t1}, T2 = {t2} steps: 8 m/(η√d), 8 and 24 m/(ηd0)"));
            let law = SelfSimilar::finite_size(&spec.data);
            let margin = match law.t2(spec) {
                Some(step) => format!("mean margin 1 at about step {}", number(step, 3)),
                None => "a margin that never reaches 1".to_owned(),
            };
            text += &row("predicted", format!("p_oth = {} after T0, {margin} (balance law)", number(law.p_other, 3)));
            text += &row("steps", format!("{}, {records} records of {} examples", spec.steps, spec.eval_samples));
            if c < b * (1.0 - 1e-12) {
                notes.push("C < B: Thm 1 does not hold there".to_owned());
            }
            if (spec.d as f64) < (spec.data.d0() as f64).powf(2.5) * 0.99 {
                notes.push("d is below d0^2.5, which the theorems ask for".to_owned());
            }
            if spec.m < spec.data.d0() {
                notes.push("m is below d0; the theorems ask for m of at least its order".to_owned());
            }
            if times[1] < 32.0 {
                let unit = number(times[1] / 8.0, 2);
                notes.push(format!("{unit} steps are the unit of time m/(ηd0): take a smaller learning_rate"));
            }
            if (spec.steps as f64) < times[0] {
                notes.push("the run ends before T0".to_owned());
            }
        }
        Plan::Fixed(spec) => {
            let network = &spec.architecture;
            text += &row(
                "network",
                format!(
                    "{} layers, m = {}, {:?}, {} biases, output {:?}",
                    network.layers,
                    network.hidden,
                    network.activation,
                    if network.bias { "with" } else { "without" },
                    config.network.output
                )
                .to_lowercase(),
            );
            text += &row(
                "optimiser",
                format!(
                    "{}, {} loss, {} examples, η = {}, λ = {}",
                    match spec.optimizer.method {
                        mlp::Method::Sgd { momentum } => format!("SGD with momentum {}", number(momentum, 4)),
                        mlp::Method::Adam => "Adam".to_owned(),
                        mlp::Method::AdamW => "AdamW".to_owned(),
                    },
                    format!("{:?}", spec.loss).to_lowercase(),
                    spec.examples,
                    number(spec.optimizer.learning_rate, 4),
                    number(spec.optimizer.weight_decay, 4)
                ),
            );
            text += &row("steps", format!("{}, {records} records", spec.steps));
        }
    }
    let runs = config.seeds.list().len();
    let seeds = match &config.seeds {
        Seeds::Count(1) => "1".to_owned(),
        Seeds::Count(count) => format!("1 to {count}"),
        Seeds::List(list) => format!("{list:?}").trim_matches(['[', ']']).to_owned(),
    };
    text += &row("seeds", format!("{seeds}: {runs} run{}", if runs == 1 { "" } else { "s" }));
    if let Some(estimate) = estimate {
        let checkpoint = size(3.0 * estimate.checkpoint_bytes);
        text += &row(
            "memory",
            format!("at most {} a run; up to {checkpoint} of disk for its checkpoints", size(estimate.memory_bytes)),
        );
        let at_once = threads.min(runs).max(1) as f64;
        let all = estimate.seconds * (runs as f64 / at_once).ceil();
        let together = if runs == 1 { String::new() } else { format!(", all of them about {}", duration(all)) };
        text += &row(
            "time",
            format!(
                "about {} a run{together} on {threads} thread{} (measured: {:.2e} s a step, {:.2e} s a record)",
                duration(estimate.seconds),
                if threads == 1 { "" } else { "s" },
                estimate.step_seconds,
                estimate.record_seconds
            ),
        );
        if all > 30.0 * 86_400.0 {
            notes.push("that is more than a month".to_owned());
        }
    }
    notes.iter().for_each(|note| text += &row("note", note.clone()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (RunConfig, Plan) {
        let config = RunConfig::parse(text).unwrap();
        let plan = config.plan(1).unwrap();
        (config, plan)
    }

    #[test]
    fn memory_is_asked_for_as_many_runs_as_are_under_way() {
        let (config, plan) = config("");
        check_memory(&config, &plan, 1).unwrap();
        if available_memory().is_some() {
            // No machine has the memory of so many.
            let error = check_memory(&config, &plan, usize::MAX / 2).unwrap_err().to_string();
            assert!(error.contains("runs at once would need up to"), "{error}");
        }
    }

    #[test]
    fn the_time_of_all_runs_is_that_of_as_many_rounds_as_they_take() {
        let (config, plan) = config("seeds = 5");
        let estimate = Estimate {
            memory_bytes: 1e6,
            checkpoint_bytes: 1e4,
            step_seconds: 0.1,
            record_seconds: 0.2,
            seconds: 60.0,
        };
        // Two at once: three rounds.
        let text = describe(&config, &plan, 2, Some(estimate));
        let said = format!("about {} a run, all of them about {}", duration(60.0), duration(180.0));
        assert!(text.contains(&said), "no {said:?} in {text}");
    }
}
