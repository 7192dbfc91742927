//! The configuration of a run of one's own: a TOML file, checked, and its canonical text.

use std::path::Path;

use feature_contamination::mlp::{self, Architecture, Loss, Method, Optimizer};
use feature_contamination::{
    Activation, Coordinates, DataModel, Distribution, FeatureGroup, Labels, Precision, RunSpec, SpecError,
};
use serde::{Deserialize, Serialize};

use crate::settings::{self, Rate, SettingsError, describe, overlay, syntax};

/// The defaults of either sampling, with every key explained.
pub const DEFAULTS: [(&str, &str); 2] = [("fresh", include_str!("fresh.toml")), ("fixed", include_str!("fixed.toml"))];

/// Most records of a run, the start's and the end's among them.
pub const MAX_RECORDS: u64 = 100_000;

/// `T0 = 8 m/(η√d)`, `T1 = 8 m/(ηd₀)` and `T2 = 24 m/(ηd₀)` steps, the constants of the quick profile.
const TIMES: [f64; 3] = [8.0, 8.0, 24.0];

/// Steps in the unit of time `m/(ηd₀)`, and the constant of the weight decay, where the rates are left to their rules.
const STEPS_PER_UNIT: f64 = 16.0;
const DECAY: f64 = 0.01;

/// What a run computes, its seed apart. The keys are explained in `fresh.toml` and `fixed.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct RunConfig {
    /// The seeds that `verify run` takes in turn; no part of [`RunConfig::canonical`].
    #[serde(default, skip_serializing_if = "Seeds::is_default")]
    pub seeds: Seeds,
    pub model: Model,
    pub network: NetworkConfig,
    pub optimizer: OptimizerConfig,
    pub schedule: Schedule,
    pub observables: Observables,
}

/// Seeds `1, 2, …, N`, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of seeds or a list of seeds, not negative")]
pub enum Seeds {
    /// So many, from 1.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

impl Default for Seeds {
    fn default() -> Self {
        Self::Count(1)
    }
}

impl Seeds {
    /// The seeds, in order.
    pub fn list(&self) -> Vec<u64> {
        match self {
            Self::Count(count) => (1..=*count).collect(),
            Self::List(list) => list.clone(),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self) -> Result<(), SpecError> {
        const MOST: u64 = 1_000_000;
        match self {
            Self::Count(count) if !(1..=MOST).contains(count) => {
                Err(SpecError::new("seeds", count, format!("between 1 and {MOST}, or a list of seeds")))
            }
            Self::List(list) => {
                let mut sorted = list.clone();
                sorted.sort_unstable();
                if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(SpecError::new("seeds", format!("{list:?}"), "one seed or more, each of them once"));
                }
                match sorted.last() {
                    Some(&last) if i64::try_from(last).is_err() => {
                        Err(SpecError::new("seeds", last, format!("at most {}", i64::MAX)))
                    }
                    _ => Ok(()),
                }
            }
            Self::Count(_) => Ok(()),
        }
    }
}

/// Where the examples of a step come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// New ones at every step: the theory's model, a [`RunSpec`].
    Fresh,
    /// All of a fixed set: the paper's numerical experiments, [`mlp::Training`].
    Fixed,
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct Model {
    pub sampling: Sampling,
    pub d_core: usize,
    pub d_bg: usize,
    pub d: u64,
    pub rule: mlp::Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<Vec<Distribution>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Vec<Distribution>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background_ood: Option<Vec<Distribution>>,
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct NetworkConfig {
    pub m: usize,
    pub layers: usize,
    pub activation: mlp::Activation,
    pub bias: bool,
    pub output: Output,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

/// What becomes of the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// It stays at ±1/m.
    Frozen,
    /// It is trained like the others.
    Trained,
}

/// `[optimizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct OptimizerConfig {
    pub name: MethodName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    pub loss: Loss,
    pub batch: usize,
    pub learning_rate: Rate,
    pub weight_decay: Rate,
}

/// The optimiser's method, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    /// Stochastic gradient descent, with momentum.
    Sgd,
    /// Adam with coupled weight decay.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

/// `[schedule]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct Schedule {
    pub steps: Steps,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number of steps, or \"T0\", \"T1\" or \"T2\"")]
pub enum Steps {
    /// After so many steps.
    Number(u64),
    /// At a time of the theory.
    Until(Time),
}

/// The times of the theorems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Time {
    /// Paper: Thm 1 (activation asymmetry).
    T0,
    /// Paper: Thm 2 (learned features).
    T1,
    /// Paper: Thm 3 (ID and OOD risks).
    T2,
}

/// `[observables]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented defaults are the documentation, and the only one")]
pub struct Observables {
    pub per_octave: u32,
    pub every: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_samples: Option<usize>,
}

/// The engine's own description of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// The theory's model.
    Fresh(Box<RunSpec>),
    /// A fixed set.
    Fixed(FixedSpec),
}

/// A run on a fixed set of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedSpec {
    /// How the core features make the label.
    pub rule: mlp::Labels,
    /// Examples, and as many to test on.
    pub examples: usize,
    /// Core features.
    pub d_core: usize,
    /// Background features.
    pub d_bg: usize,
    /// The network.
    pub architecture: Architecture,
    /// Loss.
    pub loss: Loss,
    /// Optimiser.
    pub optimizer: Optimizer,
    /// Steps to take.
    pub steps: u64,
    /// Steps after which the observables are recorded, ascending.
    pub record_steps: Vec<u64>,
    /// Seed of data and start.
    pub seed: u64,
}

impl Plan {
    /// Steps to take.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Fresh(spec) => spec.steps,
            Self::Fixed(spec) => spec.steps,
        }
    }

    /// Steps after which the observables are recorded, ascending, the last step among them.
    pub fn record_steps(&self) -> &[u64] {
        match self {
            Self::Fresh(spec) => &spec.record_steps,
            Self::Fixed(spec) => &spec.record_steps,
        }
    }
}

impl RunConfig {
    /// The configuration of a file; what it leaves out has its default.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a key or value that is wrong.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let wrong = |message| SettingsError::Parse { path: path.to_owned(), message };
        Self::parse(&settings::read(path)?).map_err(wrong)
    }

    /// The configuration that a text says; what it leaves out has its default. Its values are checked.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        Self::over_defaults(&table, text)
    }

    /// [`RunConfig::parse`] of a table that has been read already.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn from_table(table: &toml::Table) -> Result<Self, String> {
        Self::over_defaults(table, "")
    }

    fn over_defaults(user: &toml::Table, text: &str) -> Result<Self, String> {
        let in_section = |section: &str, key: &str| user.get(section).and_then(|table| table.get(key)?.as_str());
        let sampling = in_section("model", "sampling").unwrap_or("fresh");
        let Some((_, defaults)) = DEFAULTS.iter().find(|(name, _)| *name == sampling) else {
            return Err(SpecError::new("model.sampling", format!("{sampling:?}"), "\"fresh\" or \"fixed\"").to_string());
        };
        let mut merged: toml::Table = toml::from_str(defaults).map_err(|error| syntax(defaults, &error))?;
        // SGD's default momentum is no other method's.
        if in_section("optimizer", "name").is_some_and(|name| name != "sgd")
            && let Some(toml::Value::Table(optimizer)) = merged.get_mut("optimizer")
        {
            optimizer.remove("momentum");
        }
        overlay(&mut merged, user);
        // Parsed from text again, so that the error carries the key; the place in the user's file is found by it.
        let merged = toml::to_string(&merged).map_err(|error| error.to_string())?;
        let config: Self = toml::from_str(&merged).map_err(|error| describe(text, &merged, &error))?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    /// Checks every value, and that there is an engine for their combination.
    ///
    /// # Errors
    /// Names the first key that is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.seeds.validate()?;
        self.plan(1).map(drop)
    }

    /// The configuration with every rule carried out: rates and steps are numbers, and the seeds are left out.
    ///
    /// # Errors
    /// Those of [`RunConfig::validate`].
    pub fn resolved(&self) -> Result<Self, SpecError> {
        let (learning_rate, weight_decay) = self.rates()?;
        let plan = self.plan(1)?;
        let mut config = self.clone();
        config.seeds = Seeds::default();
        config.optimizer.learning_rate = Rate::Fixed(learning_rate);
        config.optimizer.weight_decay = Rate::Fixed(weight_decay);
        config.schedule.steps = Steps::Number(plan.steps());
        Ok(config)
    }

    /// The canonical text: every key, rules carried out, seeds left out. Equal texts are equal runs at equal seeds.
    ///
    /// # Errors
    /// Those of [`RunConfig::validate`].
    pub fn canonical(&self) -> Result<String, SpecError> {
        // A struct of numbers, strings and tables to memory has no way to fail.
        Ok(toml::to_string(&self.resolved()?).unwrap_or_default())
    }

    /// The run at one seed, in the terms of its engine.
    ///
    /// # Errors
    /// Those of [`RunConfig::validate`].
    pub fn plan(&self, seed: u64) -> Result<Plan, SpecError> {
        let (learning_rate, weight_decay) = self.rates()?;
        let Self { model, network, optimizer, .. } = self;
        for (field, value) in [
            ("model.d_core", model.d_core),
            ("model.d_bg", model.d_bg),
            ("network.m", network.m),
            ("optimizer.batch", optimizer.batch),
        ] {
            // The products of any two are whole numbers of 64 bits.
            if !(1..=1 << 31).contains(&value) {
                return Err(SpecError::new(field, value, "between 1 and 2^31"));
            }
        }
        let d0 = model.d_core + model.d_bg;
        if model.d < d0 as u64 || i64::try_from(model.d).is_err() {
            return Err(SpecError::new("model.d", model.d, format!("at least d0 = d_core + d_bg = {d0}, below 2^63")));
        }
        let steps = self.steps(learning_rate)?;
        let record_steps = self.record_steps(steps)?;
        match model.sampling {
            Sampling::Fresh => self.fresh(seed, learning_rate, weight_decay, steps, record_steps),
            Sampling::Fixed => self.fixed(seed, learning_rate, weight_decay, steps, record_steps),
        }
    }

    fn fresh(
        &self,
        seed: u64,
        learning_rate: f64,
        weight_decay: f64,
        steps: u64,
        record_steps: Vec<u64>,
    ) -> Result<Plan, SpecError> {
        let Self { model, network, optimizer, observables, .. } = self;
        let only = |field: &str, value: &dyn std::fmt::Debug, right: &str| {
            let value = format!("{value:?}").to_lowercase();
            Err(SpecError::new(field, value, format!("{right} with model.sampling = \"fresh\" (\"fixed\" has others)")))
        };
        if model.rule != mlp::Labels::Linear {
            return only("model.rule", &model.rule, "\"linear\"");
        }
        if network.layers != 2 {
            return only("network.layers", &network.layers, "2");
        }
        let activation = match network.activation {
            mlp::Activation::Relu => Activation::Relu,
            mlp::Activation::Identity => Activation::Identity,
            other => return only("network.activation", &other, "\"relu\" or \"identity\""),
        };
        if network.bias {
            return only("network.bias", &network.bias, "false");
        }
        if network.output != Output::Frozen {
            return only("network.output", &network.output, "\"frozen\"");
        }
        if optimizer.name != MethodName::Sgd {
            return only("optimizer.name", &optimizer.name, "\"sgd\"");
        }
        if optimizer.momentum.is_some_and(|momentum| momentum != 0.0) {
            return only("optimizer.momentum", &optimizer.momentum.unwrap_or_default(), "0");
        }
        if optimizer.loss != Loss::Hinge {
            return only("optimizer.loss", &optimizer.loss, "\"hinge\"");
        }
        let missing = |field: &str| SpecError::new(field, "nothing", "given with model.sampling = \"fresh\"");
        let group = |field: &str, laws: &Option<Vec<Distribution>>, count| {
            Ok::<_, SpecError>(FeatureGroup { count, laws: laws.clone().ok_or_else(|| missing(field))? })
        };
        let spec = RunSpec {
            seed,
            data: DataModel {
                core: group("model.core", &model.core, model.d_core)?,
                background: group("model.background", &model.background, model.d_bg)?,
                background_ood: group("model.background_ood", &model.background_ood, model.d_bg)?,
            },
            d: model.d,
            coordinates: network.coordinates.ok_or_else(|| missing("network.coordinates"))?,
            precision: network.precision.ok_or_else(|| missing("network.precision"))?,
            m: network.m,
            activation,
            batch: optimizer.batch,
            learning_rate,
            weight_decay,
            steps,
            record_steps,
            eval_samples: observables.eval_samples.ok_or_else(|| missing("observables.eval_samples"))?,
            labels: model.labels.ok_or_else(|| missing("model.labels"))?,
            frozen: false,
            background_weights: None,
            probe: false,
            variant: None,
        };
        if !(8..=1 << 31).contains(&spec.eval_samples) {
            let expected = "between 8 and 2^31; a quarter of them has the shifted background";
            return Err(SpecError::new("observables.eval_samples", spec.eval_samples, expected));
        }
        spec.validate().map_err(in_section)?;
        addressable(spec.memory_bytes())?;
        Ok(Plan::Fresh(Box::new(spec)))
    }

    fn fixed(
        &self,
        seed: u64,
        learning_rate: f64,
        weight_decay: f64,
        steps: u64,
        record_steps: Vec<u64>,
    ) -> Result<Plan, SpecError> {
        let Self { model, network, optimizer, observables, .. } = self;
        let given = [
            ("model.labels", model.labels.is_some()),
            ("model.core", model.core.is_some()),
            ("model.background", model.background.is_some()),
            ("model.background_ood", model.background_ood.is_some()),
            ("network.coordinates", network.coordinates.is_some()),
            ("network.precision", network.precision.is_some()),
            ("observables.eval_samples", observables.eval_samples.is_some()),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(SpecError::new(field, "a value", "left out with model.sampling = \"fixed\""));
        }
        let method = match (optimizer.name, optimizer.momentum) {
            (MethodName::Sgd, momentum) => Method::Sgd { momentum: momentum.unwrap_or(0.0) },
            (MethodName::Adam, None) => Method::Adam,
            (MethodName::AdamW, None) => Method::AdamW,
            (_, Some(momentum)) => {
                return Err(SpecError::new("optimizer.momentum", momentum, "left out: only \"sgd\" has one"));
            }
        };
        let inputs = usize::try_from(model.d).unwrap_or(usize::MAX);
        let spec = FixedSpec {
            rule: model.rule,
            examples: optimizer.batch,
            d_core: model.d_core,
            d_bg: model.d_bg,
            architecture: Architecture {
                inputs,
                hidden: network.m,
                layers: network.layers,
                activation: network.activation,
                bias: network.bias,
                frozen_output: network.output == Output::Frozen,
            },
            loss: optimizer.loss,
            optimizer: Optimizer { method, learning_rate, weight_decay },
            steps,
            record_steps,
            seed,
        };
        spec.architecture.validate().map_err(in_section)?;
        spec.optimizer.validate().map_err(in_section)?;
        addressable(spec.memory_bytes())?;
        Ok(Plan::Fixed(spec))
    }

    /// η and λ.
    fn rates(&self) -> Result<(f64, f64), SpecError> {
        let (m, d0) = (self.network.m as f64, self.model.d_core as f64 + self.model.d_bg as f64);
        let rate = |field: &str, rate: Rate, rule: f64| match (rate, self.model.sampling) {
            (Rate::Fixed(value), _) => Ok(value),
            (Rate::Rule(_), Sampling::Fresh) => Ok(rule),
            (Rate::Rule(_), Sampling::Fixed) => {
                Err(SpecError::new(field, "\"auto\"", "a number with model.sampling = \"fixed\""))
            }
        };
        Ok((
            rate("optimizer.learning_rate", self.optimizer.learning_rate, m / (STEPS_PER_UNIT * d0))?,
            rate("optimizer.weight_decay", self.optimizer.weight_decay, DECAY * d0 / m.powf(1.01))?,
        ))
    }

    /// T0, T1 and T2 in steps, whole numbers from 1 on, at step size `rate`.
    pub fn times(&self, rate: f64) -> [f64; 3] {
        let (m, d0) = (self.network.m as f64, self.model.d_core as f64 + self.model.d_bg as f64);
        let units = [m / (rate * (self.model.d as f64).sqrt()), m / (rate * d0), m / (rate * d0)];
        std::array::from_fn(|i| (TIMES[i] * units[i]).round().max(1.0))
    }

    fn steps(&self, rate: f64) -> Result<u64, SpecError> {
        let until = match self.schedule.steps {
            Steps::Number(steps) => return Ok(steps),
            Steps::Until(time) => time,
        };
        let name = format!("{:?}", format!("{until:?}"));
        if self.model.sampling == Sampling::Fixed {
            return Err(SpecError::new("schedule.steps", name, "a number with model.sampling = \"fixed\""));
        }
        let steps = self.times(rate)[until as usize];
        if !(1.0..2f64.powi(53)).contains(&steps) {
            return Err(SpecError::new("schedule.steps", name, format!("a number: at this step size it is {steps:e}")));
        }
        Ok(steps as u64)
    }

    /// 0, the steps that are asked for, and the last one.
    fn record_steps(&self, last: u64) -> Result<Vec<u64>, SpecError> {
        let Observables { per_octave, every, .. } = self.observables;
        if per_octave > 1000 {
            return Err(SpecError::new("observables.per_octave", per_octave, "at most 1000"));
        }
        let regular = last.checked_div(every).unwrap_or(0);
        if regular > MAX_RECORDS - 66_000 {
            let least = last.div_ceil(MAX_RECORDS - 66_000);
            return Err(SpecError::new("observables.every", every, format!("at least {least}, or 0 for none")));
        }
        let ratio = if per_octave > 0 { f64::from(per_octave).recip().exp2() } else { f64::INFINITY };
        let geometric = std::iter::successors(Some(1.0), |x| Some(x * ratio)).skip(usize::from(per_octave == 0));
        let geometric = geometric.map(|x: f64| x.round() as u64).take_while(|&step| step < last);
        let mut steps: Vec<u64> = vec![0, last];
        steps.extend(geometric);
        steps.extend((1..=regular).map(|i| i * every));
        steps.sort_unstable();
        steps.dedup();
        Ok(steps)
    }
}

impl FixedSpec {
    /// An upper estimate of the memory that the run holds at once, in bytes.
    pub fn memory_bytes(&self) -> f64 {
        let Architecture { inputs, hidden, layers, .. } = self.architecture;
        let [n, inputs, hidden, layers] = [self.examples, inputs, hidden, layers].map(|size| size as f64);
        let features = self.d_core as f64 + self.d_bg as f64;
        // Both sets, as drawn, in training's coordinates and twice over in double precision while these are found; the
        // dictionary, its basis and the products of both.
        let data =
            4.0 * 4.0 * n * inputs + 16.0 * n * inputs + (4.0 + 24.0) * features * inputs + 8.0 * features * features;
        // Weights, gradients, moments in double precision and weights as they are kept in all coordinates.
        let weights = hidden * inputs + (layers - 2.0) * hidden * hidden + (layers + 1.0) * hidden;
        // Activations and slopes of every hidden layer, and rows that are scaled.
        let passes = 4.0 * (2.0 * n * hidden * (layers - 1.0) + n * (inputs + 1.0)) + n * hidden / 4.0;
        data + 48.0 * weights + passes
    }

    /// Floating-point operations of a step: three products with every layer's weights.
    pub fn step_flops(&self) -> f64 {
        let Architecture { inputs, hidden, layers, .. } = self.architecture;
        let [n, inputs, hidden, layers] = [self.examples, inputs, hidden, layers].map(|size| size as f64);
        6.0 * n * hidden * (inputs + (layers - 2.0) * hidden)
    }
}

/// A run's own field with the section that has it here.
fn in_section(error: SpecError) -> SpecError {
    let section = match error.field.split('.').next().unwrap_or_default() {
        "d" | "d_core" | "d_bg" | "core" | "background" | "background_ood" => "model.",
        "m" | "layers" => "network.",
        "hidden" => return SpecError { field: "network.m".to_owned(), ..error },
        "inputs" => return SpecError { field: "model.d".to_owned(), ..error },
        "batch" | "learning_rate" | "weight_decay" | "momentum" => "optimizer.",
        "eval_samples" => "observables.",
        _ => "",
    };
    SpecError { field: format!("{section}{}", error.field), ..error }
}

/// Sizes beyond any machine's memory are refused before they are multiplied as whole numbers.
fn addressable(bytes: f64) -> Result<(), SpecError> {
    if bytes < 2f64.powi(46) {
        return Ok(());
    }
    let expected = "smaller: no machine has so much memory";
    Err(SpecError::new(
        "model, network, optimizer",
        format!("sizes that need {:.0e} GiB", bytes / 2f64.powi(30)),
        expected,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_say_which_sampling_they_are_for() {
        for (name, text) in DEFAULTS {
            let config = RunConfig::parse(text).unwrap();
            assert_eq!(config, RunConfig::parse(&format!("[model]\nsampling = \"{name}\"")).unwrap());
            assert_eq!(RunConfig::parse(&config.canonical().unwrap()).unwrap(), config.resolved().unwrap());
        }
        assert_eq!(RunConfig::parse("").unwrap(), RunConfig::parse(DEFAULTS[0].1).unwrap());
    }

    #[test]
    fn equal_runs_have_equal_texts() {
        let text = |text: &str| RunConfig::parse(text).unwrap().canonical().unwrap();
        assert_eq!(text(""), text("seeds = 7"));
        assert_eq!(text(""), text("[schedule]\nsteps = 384\n[optimizer]\nlearning_rate = 0.25"));
        assert_eq!(text(""), text("[network]\nm = 256"));
        assert_ne!(text(""), text("[network]\nm = 257"));
        assert!(!text("seeds = [5, 6]").contains("seeds"));
    }

    #[test]
    fn records_are_ascending_from_the_start_to_the_end() {
        let records = |every: u64, per_octave: u32, steps: u64| {
            let text =
                format!("[schedule]\nsteps = {steps}\n[observables]\nevery = {every}\nper_octave = {per_octave}");
            RunConfig::parse(&text).unwrap().plan(1).unwrap().record_steps().to_vec()
        };
        assert_eq!(records(0, 0, 10), [0, 10]);
        assert_eq!(records(4, 0, 10), [0, 4, 8, 10]);
        assert_eq!(records(5, 1, 10), [0, 1, 2, 4, 5, 8, 10]);
        assert_eq!(records(0, 3, 0), [0]);
        assert!(records(1, 1000, 34_000).len() as u64 <= MAX_RECORDS);
    }

    #[test]
    fn every_wrong_value_is_named_with_what_would_be_right() {
        let fixed = "[model]\nsampling = \"fixed\"\n";
        for (text, words) in [
            ("[model]\nsampling = \"all\"", &["model.sampling", "fresh", "fixed"][..]),
            ("[model]\nd_core = 0", &["model.d_core = 0"]),
            ("[model]\nd = 63", &["model.d = 63", "at least d0 = d_core + d_bg = 64"]),
            ("[model]\nrule = \"sphere\"", &["model.rule", "linear", "fixed"]),
            ("[model]\ncore = []", &["model.core.laws"]),
            ("[model]\ncore = [{shape = \"uniform\", low = 0, high = 3}]", &["model.core.high"]),
            ("[network]\nm = 0", &["network.m = 0"]),
            ("[network]\nlayers = 3", &["network.layers = 3", "must be 2", "fixed"]),
            ("[network]\nactivation = \"gelu\"", &["network.activation", "relu", "identity", "fixed"]),
            ("[network]\nactivation = \"rely\"", &["did you mean `relu`?", "line 2"]),
            ("[network]\nbias = true", &["network.bias"]),
            ("[network]\noutput = \"trained\"", &["network.output"]),
            ("[optimizer]\nname = \"adam\"", &["optimizer.name"]),
            ("[optimizer]\nmomentum = 0.5", &["optimizer.momentum"]),
            ("[optimizer]\nloss = \"mse\"", &["optimizer.loss"]),
            ("[optimizer]\nlearning_rate = -1.0", &["optimizer.learning_rate = -1"]),
            ("[optimizer]\nlearning_rate = \"slow\"", &["learning_rate", "auto"]),
            ("[optimizer]\nweight_decay = 9.0", &["optimizer.weight_decay"]),
            ("[optimizer]\nlearningrate = 9.0", &["did you mean `learning_rate`?"]),
            ("[schedule]\nsteps = \"T3\"", &["steps", "T0"]),
            ("[observables]\neval_samples = 7", &["observables.eval_samples = 7", "between 8"]),
            ("[schedule]\nsteps = 1000000\n[observables]\nevery = 1", &["observables.every = 1", "at least 30"]),
            ("seeds = 0", &["seeds = 0"]),
            ("seeds = []", &["seeds"]),
            ("seeds = [3, 3]", &["seeds", "once"]),
            ("sed = 3", &["did you mean `seeds`?"]),
            ("[network]\nm = 2147483648\n[optimizer]\nbatch = 2147483648", &["memory"]),
            (&format!("{fixed}core = []"), &["model.core", "left out"]),
            (&format!("{fixed}[network]\nprecision = \"f64\""), &["network.precision", "left out"]),
            (&format!("{fixed}[network]\nlayers = 1"), &["network.layers = 1", "at least 2"]),
            (&format!("{fixed}[observables]\neval_samples = 9"), &["observables.eval_samples", "left out"]),
            (&format!("{fixed}[optimizer]\nname = \"adam\"\nmomentum = 0.5"), &["optimizer.momentum", "left out"]),
            (&format!("{fixed}[optimizer]\nmomentum = 1.5"), &["optimizer.momentum = 1.5", "below 1"]),
            (&format!("{fixed}[optimizer]\nlearning_rate = \"auto\""), &["optimizer.learning_rate", "number"]),
            (&format!("{fixed}[schedule]\nsteps = \"T1\""), &["schedule.steps", "number"]),
        ] {
            let error = RunConfig::parse(text).expect_err(text);
            assert!(!error.contains('\n') && words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }

    /// Step size, decay and times of the theory by hand, at sizes of which no two are the same.
    #[test]
    fn rules_are_those_that_the_defaults_explain() {
        let text = "[model]\nd_core = 10\nd_bg = 6\nd = 10000\n[network]\nm = 32\n[schedule]\nsteps = ";
        let steps = |time: &str| {
            let config = RunConfig::parse(&format!("{text}\"{time}\"")).unwrap().resolved().unwrap();
            // m/(16 d0), and 0.01 d0/m^1.01.
            assert_eq!(config.optimizer.learning_rate, Rate::Fixed(32.0 / 256.0));
            let Rate::Fixed(decay) = config.optimizer.weight_decay else { panic!("not carried out") };
            assert!((decay - 0.16 / 32.0 * (-0.05f64).exp2()).abs() < 1e-15, "{decay}");
            config.schedule.steps
        };
        // 8 m/(η√d) = 20.48; 8 and 24 m/(ηd0).
        assert_eq!(["T0", "T1", "T2"].map(steps), [20, 128, 384].map(Steps::Number));
    }

    #[test]
    fn every_key_comes_to_its_place_in_the_engines_terms() {
        let laws = |low: f64, high: f64| format!("[{{shape = \"uniform\", low = {low:?}, high = {high:?}}}]");
        let (core, background, shifted) = (laws(0.0, 1.0), laws(0.0, 0.5), laws(-0.25, 0.0));
        let fresh = format!(
            "[model]\nd_core = 3\nd_bg = 2\nd = 99\ncore = {core}\nbackground = {background}\nbackground_ood = \
             {shifted}\nlabels = \"shuffled\"\n[network]\nm = 7\nactivation = \"identity\"\nprecision = \"f64\"\n\
             [optimizer]\nbatch = 65\nlearning_rate = 0.5\nweight_decay = 0.25\n[schedule]\nsteps = 11\n\
             [observables]\neval_samples = 77\n"
        );
        let Plan::Fresh(spec) = RunConfig::parse(&fresh).unwrap().plan(5).unwrap() else { panic!("not fresh") };
        let uniform = |low, high| Distribution::Uniform { low, high };
        assert_eq!(spec.data.core, FeatureGroup::same(3, uniform(0.0, 1.0)));
        assert_eq!(spec.data.background, FeatureGroup::same(2, uniform(0.0, 0.5)));
        assert_eq!(spec.data.background_ood, FeatureGroup::same(2, uniform(-0.25, 0.0)));
        assert_eq!((spec.seed, spec.d, spec.m, spec.batch, spec.steps), (5, 99, 7, 65, 11));
        assert_eq!((spec.learning_rate, spec.weight_decay, spec.eval_samples), (0.5, 0.25, 77));
        assert_eq!((spec.labels, spec.activation), (Labels::Shuffled, Activation::Identity));
        assert_eq!((spec.precision, spec.coordinates), (Precision::Double, Coordinates::Latent));

        let fixed = "[model]\nsampling = \"fixed\"\nd_core = 3\nd_bg = 2\nd = 99\nrule = \"sphere\"\n[network]\nm = 7\n\
                     layers = 3\nactivation = \"tanh\"\nbias = false\noutput = \"OUTPUT\"\n[optimizer]\nbatch = 65\n\
                     loss = \"mse\"\nmomentum = 0.75\nlearning_rate = 0.5\nweight_decay = 0.25\n[schedule]\nsteps = 11\n";
        for (output, frozen_output) in [("frozen", true), ("trained", false)] {
            let config = RunConfig::parse(&fixed.replace("OUTPUT", output)).unwrap();
            let Plan::Fixed(spec) = config.plan(5).unwrap() else { panic!("not a fixed set") };
            let record_steps = spec.record_steps.clone();
            assert_eq!(
                spec,
                FixedSpec {
                    rule: mlp::Labels::Sphere,
                    examples: 65,
                    d_core: 3,
                    d_bg: 2,
                    architecture: Architecture {
                        inputs: 99,
                        hidden: 7,
                        layers: 3,
                        activation: mlp::Activation::Tanh,
                        bias: false,
                        frozen_output,
                    },
                    loss: Loss::Mse,
                    optimizer: Optimizer {
                        method: Method::Sgd { momentum: 0.75 },
                        learning_rate: 0.5,
                        weight_decay: 0.25
                    },
                    steps: 11,
                    record_steps,
                    seed: 5,
                }
            );
        }
    }

    #[test]
    fn adam_has_no_momentum() {
        let config = RunConfig::parse("[model]\nsampling = \"fixed\"\n[optimizer]\nname = \"adam\"").unwrap();
        assert_eq!(config.optimizer.momentum, None);
        let Plan::Fixed(spec) = config.plan(3).unwrap() else { panic!("not a fixed set") };
        assert_eq!((spec.optimizer.method, spec.seed), (Method::Adam, 3));
    }
}
