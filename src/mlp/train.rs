//! Training on a fixed set of examples, all of them at every step.

use feature_contamination_kernels::{Executor, MatMut, MatRef, Pass, ShapeError, Workspace};

use super::Loss;
use super::fused::Fused;
use super::lazy::Lazy;
use super::network::{Dense, Gradients, Network, zero_gradients};
use super::optimizer::{Optimizer, State};
use super::span::Basis;
use crate::error::SpecError;
use crate::snapshot::{Field, Snapshot, SnapshotError, Stateful};

/// Why training could not begin or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A setting or the shape of some data.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An output left the finite numbers.
    #[error("outputs became non-finite at iteration {iteration}: take a smaller learning_rate")]
    NonFinite {
        /// The iteration.
        iteration: u64,
    },
    /// Shapes that do not fit: a defect of this crate, reported and not panicked on.
    #[error("internal: {0}")]
    Kernel(#[from] ShapeError),
}

/// Examples with their labels.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// Inputs, \[N × inputs\].
    pub x: &'a [f32],
    /// Labels, −1 or 1, \[N\].
    pub y: &'a [f32],
}

/// What a network is trained and tested on.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The examples to train on.
    pub train: Examples<'a>,
    /// Those to test on.
    pub test: Examples<'a>,
    /// Directions m_j of the inputs, \[features × inputs\], of which examples may be combinations.
    pub dictionary: &'a [f32],
}

/// Examples in the coordinates of training, a column of ones behind them if the passes want one.
struct Points {
    x: Vec<f32>,
    /// Entries of a row.
    width: usize,
    /// Rows without the column of ones.
    inputs: usize,
    y: Vec<f32>,
    output: Vec<f32>,
}

impl Points {
    fn new(x: &[f32], inputs: usize, y: &[f32], ones: bool) -> Self {
        let rows = x.chunks_exact(inputs);
        let x = if ones { rows.flat_map(|row| row.iter().copied().chain([1.0])).collect() } else { x.to_vec() };
        Self { x, width: inputs + usize::from(ones), inputs, y: y.to_vec(), output: vec![0.0; y.len()] }
    }

    fn rows(&self) -> Result<MatRef<'_, f32>, ShapeError> {
        MatRef::from_slice_with_strides(&self.x, self.y.len(), self.inputs, self.width, 1)
    }

    /// With the column of ones, if there is one.
    fn extended(&self) -> Result<MatRef<'_, f32>, ShapeError> {
        MatRef::from_row_major(&self.x, self.y.len(), self.width)
    }

    fn loss(&self, loss: Loss) -> f64 {
        let sum: f64 = self.output.iter().zip(&self.y).map(|(&h, &y)| f64::from(loss.value(h, y))).sum();
        sum / self.y.len() as f64
    }
}

/// First-layer weights in the coordinates of the inputs, for optimisers that see these.
pub(super) struct Ambient {
    /// W, \[m × inputs\].
    weight: Vec<f32>,
    gradient: Vec<f32>,
    /// B, \[rank × inputs\].
    basis: Vec<f32>,
    inputs: usize,
    workspace: Workspace,
}

impl Ambient {
    /// V = W Bᵀ, \[m × rank\].
    fn latent(&mut self, executor: Executor, v: &mut [f32], rank: usize) -> Result<(), ShapeError> {
        let m = v.len() / rank;
        executor.gemm(
            1.0,
            MatRef::from_row_major(&self.weight, m, self.inputs)?,
            MatRef::from_row_major(&self.basis, rank, self.inputs)?.t(),
            0.0,
            MatMut::from_row_major(v, m, rank)?,
            &mut self.workspace,
        )
    }

    /// ∂L/∂W = ∂L/∂V B.
    fn pull_back(&mut self, executor: Executor, gradient: &[f32], rank: usize) -> Result<(), ShapeError> {
        let m = gradient.len() / rank;
        executor.gemm(
            1.0,
            MatRef::from_row_major(gradient, m, rank)?,
            MatRef::from_row_major(&self.basis, rank, self.inputs)?,
            0.0,
            MatMut::from_row_major(&mut self.gradient, m, self.inputs)?,
            &mut self.workspace,
        )
    }
}

enum Engine {
    Dense(Dense<f32>),
    Fused { passes: Fused, left: f32, lazy: Option<Box<Lazy>> },
}

/// A network in training.
///
/// If all examples lie in the span of the dictionary, x = z B with B an orthonormal basis of it, products run over z.
/// SGD then trains V = W Bᵀ and lets the rest of W go, which only shrinks and moves no output; Adam and AdamW keep W, and
/// run over z in the fused passes alone.
/// Two-layer networks with an activation that is linear on either side of 0 take the fused passes; with ReLU, the hinge, a
/// frozen output and SGD, of these only what a step can have changed.
/// Derived: theory, section 3 (latent reduction).
pub struct Training {
    executor: Executor,
    loss: Loss,
    /// The network in the coordinates of the points.
    network: Network<f32>,
    gradients: Gradients<f32>,
    state: State<f32>,
    ambient: Option<Ambient>,
    /// ⟨m_j, b_i⟩, \[features × inputs of the network\]; the dictionary itself in its own coordinates.
    features: Vec<f64>,
    train: Points,
    test: Points,
    delta: Vec<f32>,
    engine: Engine,
    iteration: u64,
}

impl Training {
    /// Before the first step from `network`, which reads the problem's inputs.
    ///
    /// # Errors
    /// Settings or shapes that do not fit.
    pub fn new(
        executor: Executor,
        mut network: Network<f32>,
        problem: Problem<'_>,
        loss: Loss,
        optimizer: Optimizer,
    ) -> Result<Self, TrainError> {
        optimizer.validate()?;
        let inputs = check(&network, problem)?;
        let n = problem.train.y.len();
        let basis = Basis::of(problem.dictionary, inputs);
        let rank = basis.rank();
        let equivariant = optimizer.is_rotation_equivariant();
        // Adam divides a gradient by its own size, so that what rounding leaves of the data outside of the span shows after some
        // hundred steps of a smooth network; it is left out only where the fused passes gain by it.
        let cheaper = match equivariant {
            true => rank < inputs,
            false => Fused::serves(&network).is_some() && rank * (n + inputs) < n * inputs,
        };
        let coordinates = match cheaper && rank > 0 {
            true => basis.coordinates(executor, problem.train.x)?.zip(basis.coordinates(executor, problem.test.x)?),
            false => None,
        };
        let ones = Fused::serves(&network).is_some() && network.layers[0].bias.is_some();
        let single = |x: &[f64]| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
        let points = |x: &[f32], width, y| Points::new(x, width, y, ones);
        let mut ambient = None;
        let (train, test, features) = match coordinates {
            None => {
                let features = problem.dictionary.iter().map(|&q| q.into()).collect();
                let [train, test] = [problem.train, problem.test].map(|set| points(set.x, inputs, set.y));
                (train, test, features)
            }
            Some((train, test)) => {
                let first = &mut network.layers[0];
                let latent = single(&basis.part(executor, &first.weight)?);
                let weight = std::mem::replace(&mut first.weight, latent);
                first.inputs = rank;
                if !equivariant {
                    let gradient = vec![0.0; weight.len()];
                    let (basis, workspace) = (single(&basis.rows), Workspace::new());
                    ambient = Some(Ambient { weight, gradient, basis, inputs, workspace });
                }
                let train = points(&single(&train), rank, problem.train.y);
                let test = points(&single(&test), rank, problem.test.y);
                (train, test, basis.part(executor, problem.dictionary)?)
            }
        };
        let engine = match Fused::serves(&network) {
            Some(left) => {
                let lazy = loss == Loss::Hinge && left == 0.0 && network.frozen_output && equivariant;
                let lazy = lazy
                    .then(|| Box::new(Lazy::new(&train.x, train.width, problem.train.y, network.layers[0].outputs())));
                Engine::Fused { passes: Fused::default(), left, lazy }
            }
            None => Engine::Dense(Dense::new()),
        };
        let gradients = zero_gradients(&network);
        let mut state = State::new(optimizer);
        state.prepare(tensors(&mut network, &gradients, ambient.as_mut()));
        Ok(Self {
            executor,
            loss,
            gradients,
            state,
            ambient,
            features,
            delta: vec![0.0; n],
            train,
            test,
            engine,
            network,
            iteration: 0,
        })
    }

    /// One step on all training examples. [`Training::train_loss`] is then the loss before it.
    ///
    /// # Errors
    /// An output is not finite.
    pub fn advance(&mut self) -> Result<(), TrainError> {
        let Self { executor, ref mut network, ref mut gradients, ref mut train, ref mut delta, .. } = *self;
        if let Engine::Fused { lazy: Some(lazy), .. } = &mut self.engine {
            if !lazy.gradient(executor, network, train.extended()?, gradients)? {
                return Err(TrainError::NonFinite { iteration: self.iteration });
            }
        } else {
            forward(executor, &mut self.engine, network, train)?;
            if !train.output.iter().all(|h| h.is_finite()) {
                return Err(TrainError::NonFinite { iteration: self.iteration });
            }
            executor.run(Slopes { loss: self.loss, output: &train.output, y: &train.y, delta });
            match &mut self.engine {
                Engine::Dense(passes) => passes.backward(executor, network, train.rows()?, delta, gradients)?,
                Engine::Fused { passes, left, .. } => {
                    passes.backward(executor, network, *left, train.extended()?, delta, gradients)?;
                }
            }
        }
        let rank = network.layers[0].inputs;
        if let Some(ambient) = &mut self.ambient {
            ambient.pull_back(executor, &gradients[0].weight, rank)?;
        }
        self.state.step(executor, tensors(network, gradients, self.ambient.as_mut()));
        if let Some(ambient) = &mut self.ambient {
            ambient.latent(executor, &mut network.layers[0].weight, rank)?;
        }
        self.iteration += 1;
        Ok(())
    }

    /// Everything that later steps and losses depend on, besides the problem and the settings: bit for bit, a training made
    /// of the same ones, on the same instruction set, that takes it over goes on as this one does.
    pub fn state(&mut self) -> Snapshot {
        self.save()
    }

    /// Takes over the [state](Training::state) of a training on the same problem with the same settings. On an error nothing
    /// has changed.
    ///
    /// # Errors
    /// The state is that of another kind of training.
    pub fn restore(&mut self, state: &Snapshot) -> Result<(), SnapshotError> {
        let array = |name: &str| state.arrays.iter().find(|(own, _)| own == name).map(|(_, array)| array);
        if let (Some(iteration), Some(steps)) = (array("iteration"), array("optimizer.steps"))
            && iteration != steps
        {
            let found = "another number of optimizer.steps than of iterations".to_owned();
            return Err(SnapshotError { found, expected: "the same".to_owned() });
        }
        self.load(state)?;
        if let Engine::Fused { lazy: Some(lazy), .. } = &mut self.engine {
            lazy.restore_mask();
        }
        Ok(())
    }

    /// Steps taken.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The mean loss over the training examples, before the last step; at the start before any.
    ///
    /// # Errors
    /// It is not finite.
    pub fn train_loss(&mut self) -> Result<f64, TrainError> {
        if self.iteration == 0 {
            forward(self.executor, &mut self.engine, &self.network, &mut self.train)?;
        } else if let Engine::Fused { lazy: Some(lazy), .. } = &mut self.engine {
            // Of the outputs, a step looks only at those that it needs.
            let mut output = std::mem::take(&mut self.train.output);
            lazy.outputs(self.executor, &self.network, self.train.extended()?, &mut output)?;
            self.train.output = output;
        }
        self.finite(self.train.loss(self.loss))
    }

    /// The mean loss over the test examples, now.
    ///
    /// # Errors
    /// An output is not finite.
    pub fn test_loss(&mut self) -> Result<f64, TrainError> {
        forward(self.executor, &mut self.engine, &self.network, &mut self.test)?;
        self.finite(self.test.loss(self.loss))
    }

    fn finite(&self, loss: f64) -> Result<f64, TrainError> {
        if loss.is_finite() { Ok(loss) } else { Err(TrainError::NonFinite { iteration: self.iteration }) }
    }

    /// Means over the neurons of the first layer of (Σ_j ⟨w_k, m_j⟩²)^½, j over the first `core` features and over the
    /// others: how much of them it has learnt.
    pub fn feature_norms(&self, core: usize) -> [f64; 2] {
        let layer = &self.network.layers[0];
        let mut sums = [0.0; 2];
        for w in layer.weight.chunks_exact(layer.inputs) {
            let mut squares = [0.0; 2];
            for (j, m) in self.features.chunks_exact(layer.inputs).enumerate() {
                let along: f64 = w.iter().zip(m).map(|(&w, m)| f64::from(w) * m).sum();
                squares[usize::from(j >= core)] += along * along;
            }
            sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square.sqrt());
        }
        sums.map(|sum| sum / layer.outputs() as f64)
    }

    /// The network as it is now, in the coordinates of the products: the inputs' own if the problem names no dictionary.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// What is computed how, in words.
    pub fn path(&self) -> String {
        let passes = match self.engine {
            Engine::Dense(_) => "dense products",
            Engine::Fused { lazy: None, .. } => "fused passes",
            Engine::Fused { lazy: Some(_), .. } => "lazy fused passes",
        };
        let width = self.network.layers[0].inputs;
        match &self.ambient {
            Some(ambient) => format!("{passes} in {width} coordinates, weights in {}", ambient.inputs),
            None => format!("{passes} in {width} coordinates"),
        }
    }
}

impl Stateful for Training {
    fn visit(&mut self, visit: &mut dyn FnMut(&str, Field<'_>)) {
        let mut iteration = [self.iteration];
        visit("iteration", Field::U64(&mut iteration));
        self.iteration = iteration[0];
        for (index, layer) in self.network.layers.iter_mut().enumerate() {
            visit(&format!("layers.{index}.weight"), Field::F32(&mut layer.weight));
            if let Some(bias) = &mut layer.bias {
                visit(&format!("layers.{index}.bias"), Field::F32(bias));
            }
        }
        if let Some(ambient) = &mut self.ambient {
            visit("ambient.weight", Field::F32(&mut ambient.weight));
        }
        self.state.visit(visit);
        match &mut self.engine {
            Engine::Fused { lazy: Some(lazy), .. } => lazy.visit(visit),
            // Of the last step; the training loss is theirs.
            _ => visit("output", Field::F32(&mut self.train.output)),
        }
    }
}

/// The number of inputs, if everything fits it.
fn check(network: &Network<f32>, problem: Problem<'_>) -> Result<usize, SpecError> {
    let inputs = network.layers.first().map_or(0, |layer| layer.inputs);
    if inputs == 0 || network.layers.len() < 2 {
        return Err(SpecError::new("network", network.layers.len(), "two layers or more, with inputs"));
    }
    let outputs = network.layers[1..].iter().map(|layer| layer.inputs).chain([1]);
    for (index, (layer, outputs)) in network.layers.iter().zip(outputs).enumerate() {
        let biases = layer.bias.as_ref().map_or(outputs, Vec::len);
        if layer.weight.len() != layer.inputs * outputs || biases != outputs || outputs == 0 {
            let found = format!("{} weights", layer.weight.len());
            return Err(SpecError::new(
                format!("network.layers[{index}]"),
                found,
                format!("{} x {outputs} with {outputs} biases or none", layer.inputs),
            ));
        }
    }
    for (name, set) in [("train", problem.train), ("test", problem.test)] {
        if set.y.is_empty() || set.x.len() != set.y.len() * inputs {
            let found = format!("{} inputs and {} labels", set.x.len(), set.y.len());
            return Err(SpecError::new(name, found, format!("{inputs} inputs a label, and one label at least")));
        }
    }
    if !problem.dictionary.len().is_multiple_of(inputs) {
        let expected = format!("features of {inputs} inputs");
        return Err(SpecError::new("dictionary", format!("{} entries", problem.dictionary.len()), expected));
    }
    Ok(inputs)
}

/// The outputs of all points.
fn forward(
    executor: Executor,
    engine: &mut Engine,
    network: &Network<f32>,
    points: &mut Points,
) -> Result<(), ShapeError> {
    let mut output = std::mem::take(&mut points.output);
    let done = match engine {
        Engine::Dense(passes) => passes.forward(executor, network, points.rows()?, &mut output),
        Engine::Fused { passes, left, .. } => passes.forward(executor, network, *left, points.extended()?, &mut output),
    };
    points.output = output;
    done
}

/// What is trained with its gradient, layer by layer; the first layer's weights are the ambient ones if there are any.
pub(super) fn tensors<'a>(
    network: &'a mut Network<f32>,
    gradients: &'a Gradients<f32>,
    ambient: Option<&'a mut Ambient>,
) -> impl Iterator<Item = (&'a mut [f32], &'a [f32])> {
    let trained = network.trained();
    let mut first = ambient.map(|ambient| (ambient.weight.as_mut_slice(), ambient.gradient.as_slice()));
    network.layers[..trained].iter_mut().zip(gradients).flat_map(move |(layer, gradient)| {
        let weight = first.take().unwrap_or((&mut layer.weight, &gradient.weight));
        [Some(weight), layer.bias.as_deref_mut().zip(gradient.bias.as_deref())].into_iter().flatten()
    })
}

/// δ_i = ℓ′(h_i, y_i) / N.
struct Slopes<'a> {
    loss: Loss,
    output: &'a [f32],
    y: &'a [f32],
    delta: &'a mut [f32],
}

impl Pass for Slopes<'_> {
    #[inline(always)]
    fn run(self) {
        let scale = 1.0 / self.y.len() as f32;
        for ((delta, &h), &y) in self.delta.iter_mut().zip(self.output).zip(self.y) {
            *delta = scale * self.loss.derivative(h, y);
        }
    }
}
