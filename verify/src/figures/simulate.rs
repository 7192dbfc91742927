//! Runs: one setting, one seed.

use feature_contamination::Executor;
use feature_contamination::mlp::{Network, Toy, Training};
use serde::Serialize;

use super::COLUMNS;
use super::setting::{Setting, Sizes};
use crate::studies::{Cost, Observed, Task, TaskError};

/// The parameters of a run.
#[derive(Clone, Debug, Serialize)]
struct Run {
    setting: Setting,
    sizes: Sizes,
    seed: u64,
}

/// The task that draws data and start of `seed` and trains; it observes [`COLUMNS`] at the setting's schedule. Settings with
/// the same data, or the same shape, share them at a seed, so that runs are compared in pairs.
pub(super) fn task(sizes: &Sizes, setting: &Setting, seed: u64) -> Task {
    let cost = Cost { flops: sizes.flops(setting), bytes: sizes.bytes(setting) };
    Task::new("figure", Run { setting: setting.clone(), sizes: sizes.clone(), seed }, cost, train)
}

fn train(run: &Run, executor: Executor) -> Result<Observed, TaskError> {
    let Run { setting, sizes, seed } = run;
    let toy = Toy::draw(setting.labels, sizes.n, sizes.core, sizes.background, sizes.inputs, *seed)?;
    let network = Network::init(&sizes.architecture(setting), *seed)?;
    let optimizer = sizes.optimizer(setting);
    let mut training = Training::new(executor, network, toy.problem(), setting.loss, optimizer)?;
    let mut observed = Observed::default();
    for at in sizes.schedule(setting) {
        while training.iteration() < at {
            training.advance()?;
        }
        let [core, background] = training.feature_norms(sizes.core);
        let values = [training.train_loss()?, training.test_loss()?, core, background];
        for (name, value) in COLUMNS.iter().zip(values) {
            observed.series.entry((*name).to_owned()).or_default().push(value);
        }
    }
    Ok(observed)
}
