//! What a `.npz` file of the authors' script holds: settings, start, data, curves.

use std::io::{Read, Seek};
use std::path::Path;

use feature_contamination::mlp::{Activation, Linear, Loss, Method, Network, Optimizer};
use serde::Deserialize;

use super::ToyError;
use super::npz::Npz;

/// The curves, in the order of the columns of `trajectory.csv`.
pub const CURVES: [&str; 4] = ["train_loss", "test_loss", "core_norm", "background_norm"];

/// Most numbers that data, activations and parameters of a run may have together: 4 GiB in single precision.
const MAX_NUMBERS: f64 = (1u64 << 30) as f64;

/// The script's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub loss: String,
    pub optimizer: String,
    pub momentum: f64,
    pub activation: String,
    pub layers: usize,
    #[serde(default = "yes")]
    pub bias: bool,
    pub freeze_output: bool,
    pub nonlinear: bool,
    pub lr: f64,
    pub weight_decay: f64,
    pub n: usize,
    pub core_dim: usize,
    pub bg_dim: usize,
    pub input_dim: usize,
    pub hidden_dim: usize,
    pub iterations: u64,
    pub seed: u64,
}

/// The script itself has biases always.
fn yes() -> bool {
    true
}

/// One curve of the file.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its points.
    pub values: Vec<f64>,
    /// The largest change of each point when the start is moved by rounding.
    pub rounding: Vec<f64>,
}

/// A file, checked.
#[derive(Clone, Debug)]
pub struct ToyFile {
    pub config: Config,
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// The network at its start.
    pub network: Network<f32>,
    pub train_x: Vec<f32>,
    pub test_x: Vec<f32>,
    pub y: Vec<f32>,
    pub transform: Vec<f32>,
    /// Iterations of the curves' points, ascending.
    pub iterations: Vec<u64>,
    /// In the order of [`CURVES`].
    pub curves: [Curve; 4],
}

impl ToyFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Whatever is wrong with it, in one line.
    pub fn read(path: &Path) -> Result<Self, ToyError> {
        Self::of(&mut Npz::open(path)?)
    }

    /// Checks what an archive holds.
    ///
    /// # Errors
    /// Whatever is wrong with it, in one line.
    pub fn of<R: Read + Seek>(npz: &mut Npz<R>) -> Result<Self, ToyError> {
        let text = npz.text("config")?;
        let config: Config = serde_json::from_str(&text)
            .map_err(|error| npz.error(format!("config does not read as settings: {error}")))?;
        let (loss, activation, method) = choose(&config, npz)?;
        let optimizer = Optimizer { method, learning_rate: config.lr, weight_decay: config.weight_decay };
        optimizer.validate().map_err(|error| npz.error(format!("config: {error}")))?;
        check_sizes(&config).map_err(|message| npz.error(message))?;
        let (n, inputs, hidden) = (config.n, config.input_dim, config.hidden_dim);

        let single = |values: Vec<f64>| -> Vec<f32> { values.into_iter().map(|x| x as f32).collect() };
        let train_x = single(npz.numbers("train_x", &[n, inputs])?);
        let test_x = single(npz.numbers("test_x", &[n, inputs])?);
        let y = single(npz.numbers("y", &[n])?);
        if let Some(at) = y.iter().position(|y| y.abs() != 1.0) {
            return Err(npz.error(format!("y has {} as entry {at}; must be -1 or 1", y[at])));
        }
        let transform = single(npz.numbers("transform", &[config.core_dim + config.bg_dim, inputs])?);
        let mut layers = Vec::new();
        for layer in 0..config.layers {
            let from = if layer == 0 { inputs } else { hidden };
            let to = if layer + 1 == config.layers { 1 } else { hidden };
            let weight = single(npz.numbers(&format!("init_fcs_{layer}_weight"), &[to, from])?);
            let bias = format!("init_fcs_{layer}_bias");
            let bias = if config.bias { Some(single(npz.numbers(&bias, &[to])?)) } else { None };
            layers.push(Linear { inputs: from, weight, bias });
        }
        let further = format!("init_fcs_{}_weight", config.layers);
        if npz.has(&further) {
            return Err(npz.error(format!("has {further}, but config says layers = {}", config.layers)));
        }
        if !config.bias && npz.has("init_fcs_0_bias") {
            return Err(npz.error("has init_fcs_0_bias, but config says bias = false"));
        }
        let network = Network { layers, activation, frozen_output: config.freeze_output };

        let iterations = npz.vector("iteration")?;
        let whole = |&i: &f64| i >= 0.0 && i.fract() == 0.0 && i < config.iterations as f64;
        if !iterations.iter().all(whole) || !iterations.is_sorted_by(|a, b| a < b) {
            return Err(npz.error(format!(
                "iteration must have whole numbers, ascending, from 0 to below iterations = {}",
                config.iterations
            )));
        }
        let mut curves = Vec::new();
        for name in CURVES {
            let values = npz.numbers(name, &[iterations.len()])?;
            let rounding = npz.numbers(&format!("rounding_{name}"), &[iterations.len()])?;
            for (array, values) in [(name.to_owned(), &values), (format!("rounding_{name}"), &rounding)] {
                if let Some(at) = values.iter().position(|&x| x < 0.0) {
                    return Err(npz.error(format!("{array} has {} as entry {at}; must not be below 0", values[at])));
                }
            }
            curves.push(Curve { values, rounding });
        }
        let curves = <[Curve; 4]>::try_from(curves).map_err(|_| npz.error("curves are missing"))?;
        let iterations = iterations.into_iter().map(|i| i as u64).collect();
        Ok(Self { config, loss, optimizer, network, train_x, test_x, y, transform, iterations, curves })
    }
}

/// Loss, activation and method by their names, upper or lower case, as the script takes them.
fn choose<R: Read + Seek>(config: &Config, npz: &Npz<R>) -> Result<(Loss, Activation, Method), ToyError> {
    let unknown = |field: &str, value: &str, known: &str| {
        let value: String = value.chars().take(40).collect();
        npz.error(format!("config: {field} = {value:?}: must be {known}"))
    };
    let loss = match config.loss.to_lowercase().as_str() {
        "logistic" => Loss::Logistic,
        "hinge" => Loss::Hinge,
        "mse" => Loss::Mse,
        _ => return Err(unknown("loss", &config.loss, "logistic, hinge or mse")),
    };
    let activation = match config.activation.to_lowercase().as_str() {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu,
        "leakyrelu" | "leaky_relu" => Activation::LeakyRelu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "identity" => Activation::Identity,
        _ => return Err(unknown("activation", &config.activation, "relu, gelu, leakyrelu, sigmoid, tanh or identity")),
    };
    let method = match config.optimizer.to_lowercase().as_str() {
        "sgd" => Method::Sgd { momentum: config.momentum },
        "adam" => Method::Adam,
        "adamw" => Method::AdamW,
        _ => return Err(unknown("optimizer", &config.optimizer, "sgd, adam or adamw")),
    };
    Ok((loss, activation, method))
}

fn check_sizes(config: &Config) -> Result<(), String> {
    let sizes = [
        ("n", config.n, 1),
        ("core_dim", config.core_dim, 1),
        ("bg_dim", config.bg_dim, 1),
        ("input_dim", config.input_dim, 1),
        ("hidden_dim", config.hidden_dim, 1),
        ("layers", config.layers, 2),
    ];
    for (field, value, least) in sizes {
        if value < least {
            return Err(format!("config: {field} = {value}: must be at least {least}"));
        }
    }
    if config.iterations == 0 {
        return Err("config: iterations = 0: must be at least 1".to_owned());
    }
    let [n, core, bg, inputs, hidden, layers] = sizes.map(|(_, value, _)| value as f64);
    // Data twice over, activations and slopes, weights with gradients and moments.
    let numbers = 4.0 * n * inputs
        + (core + bg) * inputs
        + layers * (2.0 * n * hidden + 6.0 * hidden * hidden)
        + 6.0 * hidden * inputs;
    if numbers > MAX_NUMBERS {
        return Err(format!(
            "config: these sizes need {numbers:.1e} numbers in memory; must be {MAX_NUMBERS:.1e} at most"
        ));
    }
    Ok(())
}
