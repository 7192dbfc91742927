//! SGD with momentum, Adam and AdamW, operation for operation those of PyTorch.

use feature_contamination_kernels::{Executor, Pass};
use serde::{Deserialize, Serialize};

use super::Real;
use crate::error::SpecError;
use crate::snapshot::Field;

/// Adam's β₁, β₂ and ε.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// How a step follows from a gradient g at weights w.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "name")]
pub enum Method {
    /// g ← g + λ w; b ← μ b + g (b = g at first); w ← w − η b.
    Sgd {
        /// μ.
        momentum: f64,
    },
    /// g ← g + λ w; then Adam's step, without bias: w ← w − η m̂ / (√v̂ + ε), β = (0.9, 0.999), ε = 1e-8.
    Adam,
    /// w ← (1 − ηλ) w, then Adam's step.
    AdamW,
}

/// An optimiser's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// The method.
    pub method: Method,
    /// η.
    pub learning_rate: f64,
    /// λ; decays biases too.
    pub weight_decay: f64,
}

impl Optimizer {
    /// # Errors
    /// A rate that is not positive, a decay below 0, a momentum outside \[0, 1).
    pub fn validate(&self) -> Result<(), SpecError> {
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(SpecError::new("learning_rate", self.learning_rate, "a positive number"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(SpecError::new("weight_decay", self.weight_decay, "a number not below 0"));
        }
        match self.method {
            Method::Sgd { momentum } if !(0.0..1.0).contains(&momentum) => {
                Err(SpecError::new("momentum", momentum, "at least 0 and below 1"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a step commutes with rotations of the inputs, so that a network may be trained in any orthonormal
    /// coordinates. Derived: theory, section 3 (latent reduction).
    pub fn is_rotation_equivariant(&self) -> bool {
        matches!(self.method, Method::Sgd { .. })
    }
}

/// What an optimiser remembers of the trained parameters.
#[derive(Debug)]
pub struct State<T> {
    optimizer: Optimizer,
    /// Steps taken.
    steps: u64,
    /// One entry a tensor, made at the first step.
    memory: Vec<Memory<T>>,
}

#[derive(Debug)]
enum Memory<T> {
    /// Weights and velocity in double precision. A small step onto a weight of single precision is rounded alike again and
    /// again while the weight keeps its exponent; in the few latent coordinates that would show after 10⁴ steps.
    Sgd {
        weights: Vec<f64>,
        velocity: Vec<f64>,
    },
    Adam {
        first: Vec<T>,
        second: Vec<T>,
    },
}

impl<T: Real> State<T> {
    /// Before the first step.
    pub fn new(optimizer: Optimizer) -> Self {
        Self { optimizer, steps: 0, memory: Vec::new() }
    }

    /// Makes the memory of tensors w, whose start it may be.
    pub(super) fn prepare<'a>(&mut self, tensors: impl Iterator<Item = (&'a mut [T], &'a [T])>) {
        self.memory.extend(tensors.skip(self.memory.len()).map(|(w, _)| Memory::new(self.optimizer, w)));
    }

    /// One step of tensors w with gradients g, the same tensors in the same order at every step.
    pub fn step<'a>(&mut self, executor: Executor, tensors: impl Iterator<Item = (&'a mut [T], &'a [T])>) {
        self.steps += 1;
        for (index, (w, g)) in tensors.enumerate() {
            if index == self.memory.len() {
                self.memory.push(Memory::new(self.optimizer, w));
            }
            match &mut self.memory[index] {
                Memory::Sgd { weights, velocity } => executor.run(Sgd::new(self.optimizer, w, g, weights, velocity)),
                Memory::Adam { first, second } => {
                    executor.run(Adam::new(self.optimizer, self.steps, w, g, first, second));
                }
            }
        }
    }
}

impl State<f32> {
    /// Lists what the next step depends on.
    pub(super) fn visit(&mut self, visit: &mut dyn FnMut(&str, Field<'_>)) {
        let mut steps = [self.steps];
        visit("optimizer.steps", Field::U64(&mut steps));
        self.steps = steps[0];
        for (index, memory) in self.memory.iter_mut().enumerate() {
            match memory {
                Memory::Sgd { weights, velocity } => {
                    visit(&format!("optimizer.{index}.weights"), Field::F64(weights));
                    visit(&format!("optimizer.{index}.velocity"), Field::F64(velocity));
                }
                Memory::Adam { first, second } => {
                    visit(&format!("optimizer.{index}.first"), Field::F32(first));
                    visit(&format!("optimizer.{index}.second"), Field::F32(second));
                }
            }
        }
    }
}

impl<T: Real> Memory<T> {
    fn new(optimizer: Optimizer, w: &[T]) -> Self {
        match optimizer.method {
            Method::Sgd { .. } => {
                Self::Sgd { weights: w.iter().map(|&w| w.into()).collect(), velocity: vec![0.0; w.len()] }
            }
            Method::Adam | Method::AdamW => {
                Self::Adam { first: vec![T::ZERO; w.len()], second: vec![T::ZERO; w.len()] }
            }
        }
    }
}

/// A constant as single precision has it, with which the authors compute.
fn rounded<T: Real>(x: f64) -> f64 {
    T::of(x).into()
}

struct Sgd<'a, T> {
    learning_rate: f64,
    weight_decay: f64,
    momentum: f64,
    w: &'a mut [T],
    g: &'a [T],
    weights: &'a mut [f64],
    velocity: &'a mut [f64],
}

impl<'a, T: Real> Sgd<'a, T> {
    fn new(optimizer: Optimizer, w: &'a mut [T], g: &'a [T], weights: &'a mut [f64], velocity: &'a mut [f64]) -> Self {
        let momentum = match optimizer.method {
            Method::Sgd { momentum } => momentum,
            Method::Adam | Method::AdamW => 0.0,
        };
        Self {
            learning_rate: rounded::<T>(optimizer.learning_rate),
            weight_decay: rounded::<T>(optimizer.weight_decay),
            // The first velocity is 0, so that the first step is −η g whatever the momentum.
            momentum: rounded::<T>(momentum),
            w,
            g,
            weights,
            velocity,
        }
    }
}

impl<T: Real> Pass for Sgd<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { learning_rate, weight_decay, momentum, w, g, weights, velocity } = self;
        for (((w, &g), master), v) in w.iter_mut().zip(g).zip(weights).zip(velocity) {
            let g: f64 = g.into();
            *v = momentum * *v + (g + weight_decay * *master);
            *master -= learning_rate * *v;
            *w = T::of(*master);
        }
    }
}

struct Adam<'a, T> {
    /// λ if it is coupled, else 0.
    coupled_decay: T,
    /// 1 − ηλ if decay is decoupled, else 1.
    keep: T,
    /// η / (1 − β₁^t).
    rate: T,
    /// √(1 − β₂^t).
    correction: T,
    w: &'a mut [T],
    g: &'a [T],
    first: &'a mut [T],
    second: &'a mut [T],
}

impl<'a, T: Real> Adam<'a, T> {
    fn new(
        optimizer: Optimizer,
        step: u64,
        w: &'a mut [T],
        g: &'a [T],
        first: &'a mut [T],
        second: &'a mut [T],
    ) -> Self {
        let [beta1, beta2] = BETAS.map(|beta| 1.0 - beta.powf(step as f64));
        let (coupled, decoupled) = match optimizer.method {
            Method::Adam => (optimizer.weight_decay, 0.0),
            Method::AdamW | Method::Sgd { .. } => (0.0, optimizer.weight_decay),
        };
        Self {
            coupled_decay: T::of(coupled),
            keep: T::of(1.0 - optimizer.learning_rate * decoupled),
            rate: T::of(optimizer.learning_rate / beta1),
            correction: T::of(beta2.sqrt()),
            w,
            g,
            first,
            second,
        }
    }
}

impl<T: Real> Pass for Adam<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { coupled_decay, keep, rate, correction, w, g, first, second } = self;
        let [gain1, gain2] = BETAS.map(|beta| T::of(1.0 - beta));
        let (beta2, epsilon) = (T::of(BETAS[1]), T::of(EPSILON));
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(first).zip(second) {
            let kept = keep * *w;
            // Rounded where PyTorch rounds: v forgets a step's error after a thousand more alone.
            let g = kept.mul_add(coupled_decay, g);
            *m = gain1.mul_add(g - *m, *m);
            *v = (gain2 * g).mul_add(g, beta2 * *v);
            *w = kept - rate * *m / (v.sqrt() / correction + epsilon);
        }
    }
}
