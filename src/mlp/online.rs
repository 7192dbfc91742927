//! Training on batches that are given, towards targets of any number of outputs.

use feature_contamination_kernels::{Executor, MatRef};

use super::Loss;
use super::network::{Dense, Gradients, Network, zero_gradients};
use super::optimizer::{Optimizer, State};
use super::train::{TrainError, tensors};
use crate::error::SpecError;

/// A network in training on L = (1/N) Σ_i Σ_c ℓ(h_c(x_i), r_ic), a batch (x, r) a step.
pub struct Online {
    executor: Executor,
    network: Network<f32>,
    loss: Loss,
    gradients: Gradients<f32>,
    state: State<f32>,
    passes: Dense<f32>,
    output: Vec<f32>,
    delta: Vec<f32>,
    steps: u64,
}

impl Online {
    /// Before the first step.
    ///
    /// # Errors
    /// Settings of the optimiser that are none, a network without hidden layer or outputs.
    pub fn new(
        executor: Executor,
        network: Network<f32>,
        loss: Loss,
        optimizer: Optimizer,
    ) -> Result<Self, TrainError> {
        optimizer.validate()?;
        if network.layers.len() < 2 || network.outputs() == 0 {
            return Err(SpecError::new("network", network.layers.len(), "two layers or more, with outputs").into());
        }
        Ok(Self {
            executor,
            loss,
            gradients: zero_gradients(&network),
            network,
            state: State::new(optimizer),
            passes: Dense::new(),
            output: vec![],
            delta: vec![],
            steps: 0,
        })
    }

    /// The network, now.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// One step on the batch `x`, \[N × inputs\], with `targets`, \[N × outputs\].
    ///
    /// # Errors
    /// Shapes that do not fit; an output is not finite.
    pub fn step(&mut self, x: &[f32], targets: &[f32]) -> Result<(), TrainError> {
        let (n, outputs) = (self.rows(x)?, self.network.outputs());
        if targets.len() != n * outputs {
            return Err(SpecError::new("targets", targets.len(), format!("{n} rows of {outputs}")).into());
        }
        self.forward(x, n)?;
        let scale = 1.0 / n as f32;
        self.delta.clear();
        self.delta.extend(self.output.iter().zip(targets).map(|(&h, &target)| scale * self.loss.derivative(h, target)));
        let rows = MatRef::from_row_major(x, n, self.network.layers[0].inputs)?;
        self.passes.backward(self.executor, &self.network, rows, &self.delta, &mut self.gradients)?;
        self.state.step(self.executor, tensors(&mut self.network, &self.gradients, None));
        self.steps += 1;
        Ok(())
    }

    /// h of every row of `x`, \[N × outputs\].
    ///
    /// # Errors
    /// Shapes that do not fit; an output is not finite.
    pub fn outputs(&mut self, x: &[f32]) -> Result<&[f32], TrainError> {
        let n = self.rows(x)?;
        self.forward(x, n)?;
        Ok(&self.output)
    }

    fn rows(&self, x: &[f32]) -> Result<usize, SpecError> {
        let inputs = self.network.layers[0].inputs;
        if x.is_empty() || !x.len().is_multiple_of(inputs) {
            return Err(SpecError::new("x", x.len(), format!("rows of {inputs} inputs, one at least")));
        }
        Ok(x.len() / inputs)
    }

    fn forward(&mut self, x: &[f32], n: usize) -> Result<(), TrainError> {
        self.output.resize(n * self.network.outputs(), 0.0);
        let rows = MatRef::from_row_major(x, n, self.network.layers[0].inputs)?;
        self.passes.forward(self.executor, &self.network, rows, &mut self.output)?;
        if self.output.iter().all(|h| h.is_finite()) {
            Ok(())
        } else {
            Err(TrainError::NonFinite { iteration: self.steps })
        }
    }
}
