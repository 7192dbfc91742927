//! The two engines under one face: the theory's model on fresh examples, and networks of any depth on a fixed set.

use feature_contamination::mlp::{self, Network, Toy};
use feature_contamination::precision::Real;
use feature_contamination::simulate::{Observer, Training};
use feature_contamination::{Coordinates, Executor, Precision, RunSpec, Snapshot, SnapshotError};

use super::RunFailure;
use super::config::{FixedSpec, Plan};
use crate::stats::fit;

/// A training, step by step.
pub(super) trait Engine {
    /// One step.
    fn advance(&mut self) -> Result<(), RunFailure>;
    /// The observables now, in the order of the columns.
    fn record(&mut self) -> Result<Vec<f64>, RunFailure>;
    /// Steps taken.
    fn step(&self) -> u64;
    /// What the rest depends on.
    fn state(&mut self) -> Snapshot;
    /// Takes a state over.
    fn restore(&mut self, state: &Snapshot) -> Result<(), SnapshotError>;
    /// What is computed how, in words.
    fn path(&self) -> String;
}

/// Calls `run` with the engine of a plan, before the first step.
pub(super) fn with_engine<R>(
    plan: &Plan,
    executor: Executor,
    run: impl FnOnce(&mut dyn Engine) -> Result<R, RunFailure>,
) -> Result<R, RunFailure> {
    match plan {
        Plan::Fresh(spec) => match spec.precision {
            Precision::Single => run(&mut Fresh::<f32>::new(spec, executor)?),
            Precision::Double => run(&mut Fresh::<f64>::new(spec, executor)?),
        },
        Plan::Fixed(spec) => run(&mut Fixed::new(spec, executor)?),
    }
}

struct Fresh<'s, T> {
    spec: &'s RunSpec,
    training: Training<'s, T>,
    observer: Observer<'s, T>,
}

impl<'s, T: Real> Fresh<'s, T> {
    fn new(spec: &'s RunSpec, executor: Executor) -> Result<Self, RunFailure> {
        let mut training = Training::new(spec, executor)?;
        let single = |v: T| {
            let v: f64 = v.into();
            v as f32
        };
        let initial: Vec<f32> = training.latent_weights()?.into_iter().map(single).collect();
        Ok(Self { spec, training, observer: Observer::new(spec, executor, &initial) })
    }
}

impl<T: Real> Engine for Fresh<'_, T> {
    fn advance(&mut self) -> Result<(), RunFailure> {
        Ok(self.training.advance()?)
    }

    fn record(&mut self) -> Result<Vec<f64>, RunFailure> {
        let record = self.observer.record(&mut self.training)?;
        let signs = &self.training.network.signs;
        let aligned: Vec<f64> =
            record.neurons.core.iter().zip(signs).map(|(core, &sign)| f64::from(sign) * core).collect();
        let mut row = vec![record.step as f64, self.spec.learning_rate * record.step as f64];
        for values in [&aligned, &record.neurons.background, &record.neurons.own.p, &record.neurons.other.p] {
            row.extend([0.5, 0.1, 0.9].map(|q| fit::quantile(values, q).unwrap_or(f64::NAN)));
        }
        for evaluation in [&record.id, &record.ood] {
            row.extend([evaluation.risk, evaluation.accuracy, evaluation.margin]);
        }
        row.extend([record.active_fraction, record.max_abs_core, record.max_abs_background]);
        Ok(row)
    }

    fn step(&self) -> u64 {
        self.training.step
    }

    fn state(&mut self) -> Snapshot {
        self.training.state()
    }

    fn restore(&mut self, state: &Snapshot) -> Result<(), SnapshotError> {
        self.training.restore(state)
    }

    fn path(&self) -> String {
        let coordinates = match self.spec.coordinates {
            Coordinates::Latent => "latent",
            Coordinates::Ambient => "ambient",
        };
        let passes = match self.spec.precision {
            Precision::Single => "fused passes",
            Precision::Double => "passes in double precision",
        };
        format!("{passes} in {} {coordinates} coordinates", self.spec.width())
    }
}

struct Fixed {
    d_core: usize,
    training: mlp::Training,
}

impl Fixed {
    fn new(spec: &FixedSpec, executor: Executor) -> Result<Self, RunFailure> {
        let toy = Toy::draw(spec.rule, spec.examples, spec.d_core, spec.d_bg, spec.architecture.inputs, spec.seed)?;
        let network = Network::init(&spec.architecture, spec.seed)?;
        let training = mlp::Training::new(executor, network, toy.problem(), spec.loss, spec.optimizer)?;
        Ok(Self { d_core: spec.d_core, training })
    }
}

impl Engine for Fixed {
    fn advance(&mut self) -> Result<(), RunFailure> {
        Ok(self.training.advance()?)
    }

    fn record(&mut self) -> Result<Vec<f64>, RunFailure> {
        let step = self.training.iteration() as f64;
        let (train, test) = (self.training.train_loss()?, self.training.test_loss()?);
        let [core, background] = self.training.feature_norms(self.d_core);
        Ok(vec![step, train, test, core, background])
    }

    fn step(&self) -> u64 {
        self.training.iteration()
    }

    fn state(&mut self) -> Snapshot {
        self.training.state()
    }

    fn restore(&mut self, state: &Snapshot) -> Result<(), SnapshotError> {
        self.training.restore(state)
    }

    fn path(&self) -> String {
        self.training.path()
    }
}
