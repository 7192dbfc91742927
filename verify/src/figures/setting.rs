//! The settings of the authors' script that figures vary, and how large they are.

use feature_contamination::mlp::{Activation, Architecture, Labels, Loss, Method, Optimizer};
use serde::Serialize;

/// What is trained how, on which data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Setting {
    pub labels: Labels,
    pub loss: Loss,
    pub method: Method,
    pub activation: Activation,
    pub layers: usize,
    pub frozen_output: bool,
}

impl Setting {
    /// The setting of the paper's theorems: hinge, SGD, linear data, frozen output.
    pub const THEORY: Self = Self {
        labels: Labels::Linear,
        loss: Loss::Hinge,
        method: SGD,
        activation: Activation::Relu,
        layers: 2,
        frozen_output: true,
    };

    /// What the authors' script has at its head.
    pub const DEFAULT: Self = Self {
        labels: Labels::Sphere,
        loss: Loss::Logistic,
        method: Method::AdamW,
        activation: Activation::Relu,
        layers: 2,
        frozen_output: false,
    };

    pub fn with(&self, activation: Activation) -> Self {
        Self { activation, ..self.clone() }
    }

    /// The same with a linear network.
    pub fn control(&self) -> Self {
        self.with(Activation::Identity)
    }

    pub fn is_control(&self) -> bool {
        self.activation == Activation::Identity
    }

    /// A name without spaces: the key into `series/runs.csv`.
    pub fn id(&self) -> String {
        format!(
            "{}-{}-{}-{}-{}{}",
            if self.labels == Labels::Linear { "linear" } else { "sphere" },
            loss(self.loss).to_lowercase(),
            method(self.method).to_lowercase(),
            activation(self.activation).to_lowercase(),
            self.layers,
            if self.frozen_output { "-frozen" } else { "" }
        )
    }

    pub fn words(&self) -> String {
        format!(
            "{} loss, {}, {} data, {} layers, output {}",
            loss(self.loss),
            method(self.method),
            if self.labels == Labels::Linear { "linear" } else { "sphere" },
            self.layers,
            if self.frozen_output { "frozen" } else { "trained" }
        )
    }
}

/// The script's SGD.
pub(super) const SGD: Method = Method::Sgd { momentum: 0.9 };

pub(super) fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "ReLU",
        Activation::Gelu => "GELU",
        Activation::LeakyRelu => "LeakyReLU",
        Activation::Sigmoid => "sigmoid",
        Activation::Tanh => "tanh",
        Activation::Identity => "identity",
    }
}

pub(super) fn loss(loss: Loss) -> &'static str {
    match loss {
        Loss::Logistic => "logistic",
        Loss::Hinge => "hinge",
        Loss::Mse => "MSE",
    }
}

pub(super) fn method(method: Method) -> &'static str {
    match method {
        Method::Sgd { .. } => "SGD",
        Method::Adam => "Adam",
        Method::AdamW => "AdamW",
    }
}

/// Sizes that all figures share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sizes {
    /// Training examples, and as many to test on.
    pub n: usize,
    pub core: usize,
    pub background: usize,
    pub inputs: usize,
    pub hidden: usize,
    /// Iterations with a frozen output, with a trained one, and of networks of more than two layers.
    pub iterations: [u64; 3],
    /// Random draws of data and start; seeds 1, 2, ….
    pub seeds: u64,
}

/// η and λ of the script.
const RATE: f64 = 1e-3;

impl Sizes {
    /// The paper's sizes. A frozen output of ±1/256 makes for slow learning, so that it takes the script's 20,000
    /// iterations; a trained one has an ID loss near 0 long before 4,000, a deep network's before 500.
    pub const PAPER: Self = Self {
        n: 1000,
        core: 32,
        background: 32,
        inputs: 256,
        hidden: 256,
        iterations: [20_000, 4_000, 500],
        seeds: 6,
    };

    /// All figures in some seconds.
    pub const QUICK: Self =
        Self { n: 200, core: 8, background: 8, inputs: 32, hidden: 32, iterations: [2_000, 400, 200], seeds: 3 };

    pub fn iterations(&self, setting: &Setting) -> u64 {
        let [frozen, trained, deep] = self.iterations;
        match setting.layers {
            2 if setting.frozen_output => frozen,
            2 => trained,
            _ => deep,
        }
    }

    /// The iterations recorded, 0 among them: N (k/40)², so that the early ones are seen too.
    pub fn schedule(&self, setting: &Setting) -> Vec<u64> {
        const RECORDS: u64 = 40;
        let iterations = self.iterations(setting) as f64;
        let mut schedule: Vec<u64> =
            (0..=RECORDS).map(|k| (iterations * (k as f64 / RECORDS as f64).powi(2)).round() as u64).collect();
        schedule.dedup();
        schedule
    }

    pub fn architecture(&self, setting: &Setting) -> Architecture {
        Architecture {
            inputs: self.inputs,
            hidden: self.hidden,
            layers: setting.layers,
            activation: setting.activation,
            bias: true,
            frozen_output: setting.frozen_output,
        }
    }

    pub fn optimizer(&self, setting: &Setting) -> Optimizer {
        Optimizer { method: setting.method, learning_rate: RATE, weight_decay: RATE }
    }

    /// Arithmetic of a run in FLOP, roughly: products over what the code runs them over.
    pub fn flops(&self, setting: &Setting) -> f64 {
        let [n, hidden, inputs] = [self.n, self.hidden, self.inputs].map(|size| size as f64);
        let features = inputs.min((self.core + self.background) as f64);
        let fused = setting.layers == 2
            && matches!(setting.activation, Activation::Relu | Activation::LeakyRelu | Activation::Identity);
        let sgd = matches!(setting.method, Method::Sgd { .. });
        let width = if sgd || fused { features } else { inputs };
        let step = n * hidden * (4.0 * width + (setting.layers - 2) as f64 * 6.0 * hidden + 60.0)
            + if sgd { 0.0 } else { hidden * inputs * (4.0 * features + 20.0) };
        // Laziness computes next to nothing.
        let lazy = sgd
            && setting.frozen_output
            && setting.loss == Loss::Hinge
            && setting.activation == Activation::Relu
            && setting.layers == 2;
        self.iterations(setting) as f64 * step * if lazy { 0.1 } else { 1.0 }
    }

    /// Memory of a run: data twice over, activations and slopes, weights with gradients and moments, in single and double
    /// precision.
    pub fn bytes(&self, setting: &Setting) -> f64 {
        let [n, hidden, inputs, layers] = [self.n, self.hidden, self.inputs, setting.layers].map(|size| size as f64);
        8.0 * (4.0 * n * inputs + layers * (2.0 * n * hidden + 6.0 * hidden * hidden) + 6.0 * hidden * inputs)
    }

    /// What weight decay alone leaves of a weight after the setting's iterations; `None` for Adam, whose coupled decay is a
    /// gradient like any other. Derived: the optimiser's recursion without gradient.
    pub fn decay_alone(&self, setting: &Setting) -> Option<f64> {
        let (mut weight, mut velocity) = (1.0f64, 0.0);
        let momentum = match setting.method {
            Method::Adam => return None,
            Method::AdamW => 0.0,
            Method::Sgd { momentum } => momentum,
        };
        for _ in 0..self.iterations(setting) {
            velocity = momentum * velocity + RATE * weight;
            weight -= RATE * velocity;
        }
        Some(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_iterations_and_the_optimiser_of_the_script() {
        let deep = Setting { layers: 3, frozen_output: true, ..Setting::DEFAULT };
        let sizes = Sizes::PAPER;
        assert_eq!([Setting::THEORY, Setting::DEFAULT, deep].map(|of| sizes.iterations(&of)), [20_000, 4_000, 500]);
        let schedule = sizes.schedule(&Setting::DEFAULT);
        assert!(schedule[..3] == [0, 3, 10] && schedule.last() == Some(&4_000) && schedule.is_sorted(), "{schedule:?}");
        let optimizer = sizes.optimizer(&Setting::THEORY);
        assert_eq!(
            optimizer,
            Optimizer { method: Method::Sgd { momentum: 0.9 }, learning_rate: 1e-3, weight_decay: 1e-3 }
        );
    }

    /// A weight without gradient, by the optimisers' own formulas.
    #[test]
    fn decay_alone_is_what_the_recursion_leaves() {
        let sizes = Sizes { iterations: [2_000, 2_000, 2_000], ..Sizes::PAPER };
        let alone = |method| sizes.decay_alone(&Setting { method, ..Setting::DEFAULT });
        assert!((alone(Method::AdamW).unwrap() - (1.0f64 - 1e-6).powi(2_000)).abs() < 1e-12);
        // With momentum the steps are ten times as long, the first ones, of which 9 are missing in the end, apart.
        let slow = alone(SGD).unwrap();
        assert!((slow - (1.0f64 - 1e-5).powi(1_991)).abs() < 1e-5, "{slow}");
        assert_eq!(alone(Method::Adam), None);
    }
}
