//! What a run is: every choice that its bits depend on, the executor's instruction set apart.

use feature_contamination_kernels::Activation;
use serde::{Deserialize, Serialize};

use crate::data::{DataModel, FeatureGroup};
use crate::error::SpecError;
use crate::precision::Precision;
use crate::variant::Variant;

/// Examples evaluated at a time: a multiple of 64, small enough to stay in the outer cache with their mask.
pub(crate) const EVAL_CHUNK: usize = 2048;

/// The coordinates a run is carried out in; the trajectory is the same.
///
/// `v_k = Mᵀ w_k` evolves by itself, so the latent run costs `O(N m d₀)` a step and the ambient one `O(N m d)`.
/// Derived: theory, section 3 (latent reduction).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coordinates {
    /// `v ∈ R^{m×d₀}`; `d` enters through the scale of `v⁽⁰⁾` alone.
    #[default]
    Latent,
    /// `w ∈ R^{m×d}` with a dictionary `M ∈ R^{d×d₀}` drawn uniformly among those with orthonormal columns.
    Ambient,
}

/// The labels that training sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// The label of the example.
    #[default]
    True,
    /// A fair coin, independent of the example: a control.
    Shuffled,
}

/// One run: data, network, training, and what is recorded.
///
/// The step is `w_k ← (1 − ηλ) w_k + (η a_k/N) Σ_i y_i 1[y_i h(x_i) < 1] 1[⟨w_k,x_i⟩ ≥ 0] x_i` on a fresh batch.
/// Paper: section 2 (network and SGD).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Seed of every stream.
    pub seed: u64,
    /// The data.
    pub data: DataModel,
    /// Ambient dimension `d ≥ d₀`; `v⁽⁰⁾ ~ N(0, I/d)`.
    pub d: u64,
    /// Coordinates of the computation.
    pub coordinates: Coordinates,
    /// Precision of the computation.
    pub precision: Precision,
    /// Number of neurons `m`.
    pub m: usize,
    /// ReLU, or the identity of Thm 4.
    #[serde(with = "activation")]
    pub activation: Activation,
    /// Batch size `N`.
    pub batch: usize,
    /// Step size `η`.
    pub learning_rate: f64,
    /// Weight decay `λ`.
    pub weight_decay: f64,
    /// Steps to take.
    pub steps: u64,
    /// Steps after which the observables are recorded, ascending, 0 for the start, none above `steps`.
    pub record_steps: Vec<u64>,
    /// Fresh examples at each record. The shifted background is put under the first quarter of them ([`RunSpec::ood_samples`]).
    pub eval_samples: usize,
    /// Labels that training sees.
    pub labels: Labels,
    /// Weights stay as they start: a control.
    pub frozen: bool,
    /// Distributions whose means weigh `Σ_bg μ_j v_kj`, where they differ from the data's. A background symmetric about
    /// 0 has `μ = 0`, so that its own weights would make the sum vanish by definition.
    pub background_weights: Option<FeatureGroup>,
    /// Measure a [`Probe`](crate::Probe) at every record before the last step: `O(m d₀)` an evaluated example, without
    /// the kernels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// What is otherwise than in the paper; a run that has one is carried out by a general simulator, several times slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

mod activation {
    //! Names of the activations in files.
    use super::Activation;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(activation: &Activation, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match activation {
            Activation::Relu => "relu",
            Activation::Identity => "identity",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Activation, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "relu" => Ok(Activation::Relu),
            "identity" => Ok(Activation::Identity),
            other => Err(D::Error::unknown_variant(other, &["relu", "identity"])),
        }
    }
}

impl RunSpec {
    /// A run on the uniform model with `η = 1`, no decay, `N = 1024`, and nothing recorded but the start.
    pub fn uniform(d_core: usize, d_bg: usize, d: u64, m: usize) -> Self {
        Self {
            seed: 1,
            data: DataModel::uniform(d_core, d_bg),
            d,
            coordinates: Coordinates::Latent,
            precision: Precision::Single,
            m,
            activation: Activation::Relu,
            batch: 1024,
            learning_rate: 1.0,
            weight_decay: 0.0,
            steps: 0,
            record_steps: vec![0],
            eval_samples: 1024,
            labels: Labels::True,
            frozen: false,
            background_weights: None,
            probe: false,
            variant: None,
        }
    }

    /// Examples with the shifted background at each record: risk and accuracy need fewer than activation frequencies do.
    pub fn ood_samples(&self) -> usize {
        self.eval_samples.div_ceil(4)
    }

    /// `1 − ηλ`, the factor by which a step shrinks the weights.
    pub fn decay_factor(&self) -> f64 {
        1.0 - self.learning_rate * self.weight_decay
    }

    /// `g_t = (1 − ηλ)^t`.
    pub fn decay(&self, step: u64) -> f64 {
        self.decay_factor().powf(step as f64)
    }

    /// Width of the weights and of a batch's rows: `d₀` or `d`.
    pub fn width(&self) -> usize {
        match self.coordinates {
            Coordinates::Latent => self.data.d0(),
            Coordinates::Ambient => usize::try_from(self.d).unwrap_or(usize::MAX),
        }
    }

    /// Floating-point operations of the whole run, for planning: `4 N m width` a step, `2 m d₀` an evaluated
    /// example.
    pub fn flops(&self) -> f64 {
        let step = 4.0 * self.batch as f64 * self.m as f64 * self.width() as f64;
        let weights = self.m as f64 * self.data.d0() as f64;
        let mut record = 2.0 * (self.eval_samples + self.ood_samples()) as f64 * weights;
        if self.probe {
            // A plain loop takes some ten times as long for a product.
            record += 100.0 * self.eval_samples as f64 * weights;
        }
        // The expected step, on twice as many examples.
        let step = if self.probe { 3.0 * step } else { step };
        // Products and loops in place of the fused passes.
        let slow = if self.variant.is_some() { 3.0 } else { 1.0 };
        slow * (step * self.steps as f64 + record * self.record_steps.len() as f64)
    }

    /// An upper estimate of the memory that the run holds at once, in bytes.
    pub fn memory_bytes(&self) -> f64 {
        let (n, m, d0, width) = (self.batch as f64, self.m as f64, self.data.d0() as f64, self.width() as f64);
        let eval = self.eval_samples.min(EVAL_CHUNK) as f64;
        let bytes = self.precision.bytes() as f64;
        // Batch (and its packed copy), weights, gradient and packed weights, outputs and masks.
        let training = bytes * (2.0 * n * width + 3.0 * m * width + 4.0 * n) + n * m / 8.0;
        let evaluation = bytes * (2.0 * eval * d0 + 4.0 * eval) + eval * m / 8.0;
        let ambient = match self.coordinates {
            Coordinates::Latent => 0.0,
            Coordinates::Ambient => bytes * (width * d0 + n * d0),
        };
        // The batches as they are drawn, and the pre-activations of 256 examples.
        let double = match self.precision {
            Precision::Single => 0.0,
            Precision::Double => 4.0 * (n + eval) * d0 + bytes * 256.0 * m,
        };
        // Pre-activations of batch and evaluation data, and velocities.
        let general = match &self.variant {
            None => 0.0,
            Some(_) => (bytes + 4.0) * n.max(eval) * (m + d0) + (8.0 + bytes) * m * d0,
        };
        training + evaluation + ambient + double + general + self.record_bytes()
    }

    /// An upper estimate of the memory of its trajectory, in bytes.
    pub fn record_bytes(&self) -> f64 {
        let m = self.m as f64;
        let weights = m * self.data.d0() as f64;
        let probe = if self.probe { 80.0 * weights } else { 0.0 };
        self.record_steps.len() as f64 * (80.0 * m + 256.0 + probe) + 4.0 * weights
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.data.validate()?;
        let d0 = self.data.d0();
        if self.d < d0 as u64 {
            return Err(SpecError::new("d", self.d, format!("at least d0 = d_core + d_bg = {d0}")));
        }
        for (field, value) in [("m", self.m), ("batch", self.batch), ("eval_samples", self.eval_samples)] {
            if value == 0 {
                return Err(SpecError::new(field, 0, "at least 1"));
            }
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(SpecError::new("learning_rate", self.learning_rate, "a positive number"));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(SpecError::new("weight_decay", self.weight_decay, "a number not below 0"));
        }
        let product = self.learning_rate * self.weight_decay;
        if product >= 1.0 {
            return Err(SpecError::new(
                "weight_decay",
                self.weight_decay,
                format!("below 1/learning_rate = {:?}, so that a step shrinks the weights", 1.0 / self.learning_rate),
            ));
        }
        if !self.record_steps.is_sorted_by(|a, b| a < b) {
            return Err(SpecError::new("record_steps", format!("{:?}", self.record_steps), "strictly ascending"));
        }
        if self.record_steps.last().is_some_and(|&last| last > self.steps) {
            return Err(SpecError::new("record_steps", format!("{:?}", self.record_steps), "at most steps"));
        }
        if let Some(variant) = &self.variant {
            variant.validate(self)?;
        }
        if let Some(weights) = &self.background_weights
            && (weights.count != self.data.background.count || weights.laws.is_empty())
        {
            return Err(SpecError::new(
                "background_weights.count",
                weights.count,
                format!("the number of background features, {}", self.data.background.count),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Distribution;

    #[test]
    fn each_bad_field_is_named() {
        let good = RunSpec::uniform(4, 4, 64, 8);
        assert_eq!(good.validate(), Ok(()));
        let cases: Vec<(RunSpec, &str)> = vec![
            (RunSpec { d: 7, ..good.clone() }, "d = 7: must be at least d0"),
            (RunSpec { data: DataModel::uniform(0, 4), ..good.clone() }, "d_core = 0"),
            (RunSpec { data: DataModel::uniform(4, 0), ..good.clone() }, "d_bg = 0"),
            (RunSpec { m: 0, ..good.clone() }, "m = 0"),
            (RunSpec { batch: 0, ..good.clone() }, "batch = 0"),
            (RunSpec { eval_samples: 0, ..good.clone() }, "eval_samples = 0"),
            (RunSpec { learning_rate: 0.0, ..good.clone() }, "learning_rate = 0"),
            (RunSpec { learning_rate: f64::NAN, ..good.clone() }, "learning_rate = NaN"),
            (RunSpec { weight_decay: -1.0, ..good.clone() }, "weight_decay = -1"),
            (RunSpec { weight_decay: 1.0, ..good.clone() }, "weight_decay = 1"),
            (RunSpec { record_steps: vec![3, 2], steps: 5, ..good.clone() }, "strictly ascending"),
            (RunSpec { record_steps: vec![0, 6], steps: 5, ..good.clone() }, "at most steps"),
            (
                RunSpec { background_weights: Some(FeatureGroup::same(3, Distribution::UNIT)), ..good.clone() },
                "background_weights.count = 3",
            ),
        ];
        for (spec, message) in cases {
            let error = spec.validate().expect_err(message).to_string();
            assert!(error.contains(message), "{error} does not say {message}");
        }
        let mut spec = good;
        spec.data.core.laws = vec![Distribution::Uniform { low: 0.0, high: 2.0 }];
        assert!(spec.validate().unwrap_err().to_string().contains("core.high = 2"));
    }
}
