//! Settings: a profile, a configuration file over it, and flags over both.

use std::io::Read;
use std::path::{Path, PathBuf};

use feature_contamination::{DataModel, Distribution, FeatureGroup, Precision, SpecError};
use serde::{Deserialize, Serialize};

use crate::claims::check::OWN_CHECKS;
use crate::flags::nearest;

/// Everything that decides what is simulated. The keys are explained in `profiles/quick.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented profile is the documentation, and the only one")]
pub struct Settings {
    pub profile: String,
    pub seed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    pub model: Model,
    pub network: NetworkSettings,
    pub training: Training,
    pub times: Times,
    pub measure: Measure,
    pub ladder_d0: LadderD0,
    pub ladder_m: LadderM,
    pub ladder_d: LadderD,
    pub ladder_linear: LadderLinear,
    pub ladder_law: LadderLaw,
    pub ladder_gated: LadderGated,
    pub ladder_time: LadderTime,
    pub ladder_balance: LadderBalance,
    pub distillation: Distillation,
    pub diversity: Diversity,
    pub digits: Digits,
    pub controls: Controls,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<OwnLadder>,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "the commented profile is the documentation, and the only one")]
        pub struct $name { $(pub $field: $type),* }
    };
}

section!(
    /// `[model]`.
    Model {
        d_core: usize,
        d_bg: usize,
        d: u64,
        core: Vec<Distribution>,
        background: Vec<Distribution>,
        background_ood: Vec<Distribution>,
    }
);
section!(
    /// `[network]`.
    NetworkSettings { m: usize }
);
section!(
    /// `[training]`.
    Training {
        batch: usize,
        steps_per_unit: f64,
        decay: f64,
        learning_rate: Rate,
        weight_decay: Rate,
        precision: Precision,
    }
);
section!(
    /// `[times]`.
    Times { t0: f64, t1: f64, t2: f64 }
);
section!(
    /// `[measure]`.
    Measure { eval_samples: usize, records_per_octave: u32 }
);
section!(
    /// `[ladder_d0]`.
    LadderD0 { d0: Vec<usize>, d_exponent: f64, replicates: u64, replicates_smallest: u64 }
);
section!(
    /// `[ladder_m]`.
    LadderM { m: Vec<usize>, replicates: u64, replicates_smallest: u64 }
);
section!(
    /// `[ladder_d]`.
    LadderD { d: Vec<u64>, steps_to_t0: u32, replicates: u64 }
);
section!(
    /// `[ladder_linear]`.
    LadderLinear { d: Vec<u64>, batch: Vec<usize>, replicates: u64 }
);
section!(
    /// `[ladder_law]`.
    LadderLaw { d0: Vec<usize>, replicates: u64 }
);
section!(
    /// `[ladder_gated]`.
    LadderGated { d0: Vec<usize>, batch: usize, replicates: u64 }
);
section!(
    /// `[ladder_time]`.
    LadderTime {
        d0: Vec<usize>,
        m: Vec<usize>,
        d: Vec<u64>,
        steps_per_unit: Vec<u32>,
        batch_per_feature: usize,
        eval_samples: usize,
        replicates: u64,
    }
);
section!(
    /// `[ladder_balance]`.
    LadderBalance {
        d0: Vec<usize>,
        ratio: Vec<f64>,
        m: usize,
        batch: usize,
        steps: u32,
        eval_samples: usize,
        replicates: u64,
        replicates_d0: u64,
    }
);
section!(
    /// `[distillation]`.
    Distillation {
        d_core: usize,
        d_bg: usize,
        d: u64,
        outputs: usize,
        m: Vec<usize>,
        batch: usize,
        steps: u64,
        learning_rate: f64,
        eval_samples: usize,
        replicates: u64,
    }
);
section!(
    /// `[diversity]`.
    Diversity {
        d_core: usize,
        d_bg: usize,
        spread: Vec<f64>,
        m: usize,
        batch: usize,
        steps_per_unit: u32,
        late: f64,
        eval_samples: usize,
        replicates: u64,
    }
);
section!(
    /// `[digits]`.
    Digits { neurons: usize, steps: u64, learning_rate: f64, momentum: f64, replicates: u64 }
);
section!(
    /// `[controls]`.
    Controls { d0: Vec<usize>, m: Vec<usize>, replicates: u64 }
);

/// A `[[ladder]]` of one's own; explained in `examples/own_model.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented example is the documentation, and the only one")]
pub struct OwnLadder {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    pub factor: Factor,
    pub sizes: Vec<f64>,
    pub replicates: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<OwnCheck>,
}

/// A `[[ladder.check]]` of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the commented example is the documentation, and the only one")]
pub struct OwnCheck {
    pub observable: Observable,
    pub at: At,
    pub of: Of,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What varies along a ladder of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Features; `m` and `d` go with them as in `[ladder_d0]`.
    D0,
    /// Neurons.
    M,
    /// Ambient dimension.
    D,
    /// `B/C`, by the numbers of core and background features.
    #[serde(rename = "B/C")]
    Ratio,
    /// Examples a step.
    Batch,
    /// Steps in one unit of time, which set the step size.
    StepsPerUnit,
}

impl Factor {
    /// As it is written in formulas.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::D0 => "d0",
            Self::M => "m",
            Self::D => "d",
            Self::Ratio => "B/C",
            Self::Batch => "N",
            Self::StepsPerUnit => "steps per unit",
        }
    }

    /// The label of an axis.
    pub fn label(self) -> &'static str {
        match self {
            Self::D0 => "features d₀",
            Self::M => "neurons m",
            Self::D => "ambient dimension d",
            Self::Ratio => "B/C",
            Self::Batch => "examples a step, N",
            Self::StepsPerUnit => "steps in a unit m/(ηd₀)",
        }
    }
}

/// What is looked at: probabilities and sums are medians over neurons, risks mean hinge losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observable {
    /// `Pr[active]` on the own label.
    POwn,
    /// `Pr[active]` on the other label.
    POth,
    /// `y Σ_core μ⟨w,m⟩`.
    Core,
    /// `Σ_bg μ⟨w,m⟩`.
    Background,
    /// Risk in distribution.
    IdRisk,
    /// Risk under the shift.
    OodRisk,
    /// Mean margin in distribution.
    IdMargin,
    /// Mean margin under the shift.
    OodMargin,
}

impl Observable {
    /// In formulas.
    pub fn says(self) -> &'static str {
        match self {
            Self::POwn => "p_own (median neuron)",
            Self::POth => "p_oth (median neuron)",
            Self::Core => "y Σ_core μ⟨w,m⟩ (median neuron)",
            Self::Background => "Σ_bg μ⟨w,m⟩ (median neuron)",
            Self::IdRisk => "R_ID",
            Self::OodRisk => "R_OOD",
            Self::IdMargin => "mean margin in distribution",
            Self::OodMargin => "mean margin under the shift",
        }
    }
}

/// When: at one of `[times]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "they are the times of the theorems")]
pub enum At {
    T0,
    T1,
    T2,
}

impl At {
    /// In formulas.
    pub fn says(self) -> &'static str {
        match self {
            Self::T0 => "T₀",
            Self::T1 => "T₁",
            Self::T2 => "T₂",
        }
    }
}

/// What of it is held against the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Itself, at every size.
    Value,
    /// Itself over its prediction, at every size.
    Ratio,
    /// Its exponent in the size.
    Exponent,
}

/// A number, or `"auto"` for the rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or \"auto\"")]
pub enum Rate {
    /// Fixed.
    Fixed(f64),
    /// By the rule.
    Rule(Auto),
}

/// The word `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// `"auto"`.
    Auto,
}

/// Names of the profiles.
pub const PROFILES: [&str; 2] = ["quick", "full"];

/// Why settings cannot be used. One line each.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No such profile.
    #[error("profile = {0:?}: must be one of quick, full")]
    Profile(String),
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key or value is wrong.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Place, reason, and the nearest right name.
        message: String,
    },
    /// A value is out of range.
    #[error(transparent)]
    Value(#[from] SpecError),
}

/// Most bytes of a configuration file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read, is no text, or larger than any configuration.
pub(crate) fn read(path: &Path) -> Result<String, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let wrong = |message| SettingsError::Parse { path: path.to_owned(), message };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("has more than {MAX_FILE_BYTES} bytes; a configuration has a few thousand")));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))
}

impl Settings {
    /// The settings of a profile.
    ///
    /// # Errors
    /// No profile has that name.
    pub fn profile(name: &str) -> Result<Self, SettingsError> {
        let text = match name {
            "quick" => include_str!("profiles/quick.toml"),
            "full" => include_str!("profiles/full.toml"),
            _ => return Err(SettingsError::Profile(name.to_owned())),
        };
        toml::from_str(text)
            .map_err(|error| SettingsError::Parse { path: format!("{name}.toml").into(), message: one_line(&error) })
    }

    /// The settings of a configuration file; what it leaves out comes from `profile`, or else from the profile that it
    /// names, or else from quick.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a key or value that is wrong.
    pub fn load(path: &Path, profile: Option<&str>) -> Result<Self, SettingsError> {
        Self::parse(&read(path)?, path, profile)
    }

    /// [`Settings::load`] of a text; `path` stands for its file in messages.
    ///
    /// # Errors
    /// It is not TOML, or has a key or value that is wrong.
    pub fn parse(text: &str, path: &Path, profile: Option<&str>) -> Result<Self, SettingsError> {
        let parse_error = |message| SettingsError::Parse { path: path.to_owned(), message };
        let user: toml::Table = toml::from_str(text).map_err(|error| parse_error(syntax(text, &error)))?;
        let named = user.get("profile").and_then(toml::Value::as_str);
        if let Some(named) = named.filter(|named| !PROFILES.contains(named)) {
            return Err(SettingsError::Profile(named.to_owned()));
        }
        let base = Self::profile(profile.or(named).unwrap_or("quick"))?;
        let mut merged = toml::Table::try_from(&base).map_err(|error| parse_error(error.to_string()))?;
        overlay(&mut merged, &user);
        // Parsed from text again, so that the error carries the key; the place in the user's file is found by it.
        let merged = toml::to_string(&merged).map_err(|error| parse_error(error.to_string()))?;
        let settings: Self = toml::from_str(&merged).map_err(|error| parse_error(describe(text, &merged, &error)))?;
        // The flag's profile, if that is another than the file's: it is where the values come from.
        Ok(Self { profile: base.profile, ..settings })
    }

    /// The settings as a configuration file.
    pub fn to_toml(&self) -> String {
        // A struct of numbers, strings and tables to memory has no way to fail.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The data model with `d_core` and `d_bg` features.
    pub fn data(&self, d_core: usize, d_bg: usize) -> DataModel {
        let group = |count, laws: &[Distribution]| FeatureGroup { count, laws: laws.to_vec() };
        DataModel {
            core: group(d_core, &self.model.core),
            background: group(d_bg, &self.model.background),
            background_ood: group(d_bg, &self.model.background_ood),
        }
    }

    /// The settings with the ladders of the controls.
    pub fn for_controls(&self) -> Self {
        let mut settings = self.clone();
        settings.ladder_d0.d0.clone_from(&self.controls.d0);
        settings.ladder_m.m.clone_from(&self.controls.m);
        settings.ladder_law.d0.clone_from(&self.controls.d0);
        settings.ladder_gated.d0.clone_from(&self.controls.d0);
        // What is false shows in a few examples.
        settings.measure.eval_samples = settings.measure.eval_samples.div_ceil(4).max(8);
        // The rungs that cost least: few steps where d is large, small batches where it is small.
        let d = &mut settings.ladder_d.d;
        d.drain(..d.len().saturating_sub(2));
        settings.ladder_linear.d.truncate(2);
        settings.ladder_linear.batch.truncate(2);
        let time = &mut settings.ladder_time;
        time.d0.truncate(2);
        time.m.truncate(2);
        time.d.truncate(2);
        time.steps_per_unit.truncate(2);
        time.replicates = 4;
        // Where there is least background, at C = B or next to it, and where there is most.
        let balance = &mut settings.ladder_balance;
        balance.d0.truncate(2);
        let near = balance.ratio.iter().copied().min_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()));
        let ends = [balance.ratio.first().copied(), near, balance.ratio.last().copied()];
        balance.ratio = ends.into_iter().flatten().collect();
        balance.ratio.dedup();
        // An exponent from two sizes wants some runs at each.
        balance.replicates = 6;
        balance.replicates_d0 = 6;
        balance.eval_samples = balance.eval_samples.div_ceil(4).max(8);
        // The narrowest students, and enough of them: what they make of a label differs from one teacher to another. The smallest
        // and the largest spread; what is false there is far off.
        settings.distillation.m.truncate(1);
        settings.distillation.replicates = self.distillation.replicates.min(10);
        settings.digits.replicates = self.digits.replicates.min(24);
        let spread = &mut settings.diversity.spread;
        let last = spread.pop();
        spread.truncate(1);
        spread.extend(last);
        for replicates in [
            &mut settings.diversity.replicates,
            &mut settings.ladder_d0.replicates,
            &mut settings.ladder_d0.replicates_smallest,
            &mut settings.ladder_m.replicates,
            &mut settings.ladder_m.replicates_smallest,
            &mut settings.ladder_d.replicates,
            &mut settings.ladder_linear.replicates,
            &mut settings.ladder_law.replicates,
            &mut settings.ladder_gated.replicates,
        ] {
            *replicates = self.controls.replicates;
        }
        settings
    }

    /// Checks what no single run can: times, ladders, replicates.
    ///
    /// # Errors
    /// Names the key and what would be right.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let positive = |field: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(SpecError::new(field, value, "a positive number"))
            }
        };
        positive("training.steps_per_unit", self.training.steps_per_unit)?;
        if !(self.training.decay >= 0.0 && self.training.decay.is_finite()) {
            return Err(SpecError::new("training.decay", self.training.decay, "a number not below 0").into());
        }
        positive("times.t0", self.times.t0)?;
        positive("times.t1", self.times.t1)?;
        positive("times.t2", self.times.t2)?;
        if self.times.t2 < self.times.t1 {
            return Err(SpecError::new("times.t2", self.times.t2, format!("at least t1 = {}", self.times.t1)).into());
        }
        positive("ladder_d.steps_to_t0", f64::from(self.ladder_d.steps_to_t0))?;
        if !(1..=1000).contains(&self.measure.records_per_octave) {
            let expected = "between 1 and 1000";
            return Err(SpecError::new("measure.records_per_octave", self.measure.records_per_octave, expected).into());
        }
        // A quarter of them has the shifted background, and a variance needs two.
        at_least("measure.eval_samples", self.measure.eval_samples, 8, "")?;
        at_least("model.d_core", self.model.d_core, 1, "")?;
        at_least("model.d_bg", self.model.d_bg, 1, "")?;
        at_least("network.m", self.network.m, 1, "")?;
        at_least("training.batch", self.training.batch, 1, "")?;
        at_least("ladder_gated.batch", self.ladder_gated.batch, 1, "")?;
        let d0 = (self.model.d_core as u64).saturating_add(self.model.d_bg as u64);
        let sum = " (d0 = model.d_core + model.d_bg)";
        at_least("model.d", self.model.d, d0, sum)?;
        ladder("ladder_d0.d0", &self.ladder_d0.d0)?;
        for (field, sizes) in [
            ("ladder_d0.d0", &self.ladder_d0.d0),
            ("ladder_law.d0", &self.ladder_law.d0),
            ("ladder_gated.d0", &self.ladder_gated.d0),
            ("ladder_time.d0", &self.ladder_time.d0),
            ("controls.d0", &self.controls.d0),
        ] {
            for &size in sizes {
                let share = size as f64 / d0 as f64;
                let d_core = (self.model.d_core as f64 * share).round() as usize;
                if d_core == 0 || d_core >= size || (self.network.m as f64 * share).round() < 1.0 {
                    let expected = "large enough for a core feature, a background feature and a neuron in the proportions \
                                    d_core : d_bg : m of the model";
                    return Err(SpecError::new(field, size, expected).into());
                }
                let exponent = self.ladder_d0.d_exponent;
                if field != "ladder_law.d0" && !(exponent >= 1.0 && (size as f64).powf(exponent) < 2f64.powi(63)) {
                    let expected = format!("at least 1, and such that d = d0^d_exponent < 2^63 at {field} = {size}");
                    return Err(SpecError::new("ladder_d0.d_exponent", exponent, expected).into());
                }
            }
        }
        for (field, sizes) in [
            ("ladder_d.d", &self.ladder_d.d),
            ("ladder_linear.d", &self.ladder_linear.d),
            ("ladder_time.d", &self.ladder_time.d),
        ] {
            sizes.iter().try_for_each(|&d| at_least(field, d, d0, sum))?;
        }
        for (field, sizes) in [
            ("ladder_m.m", &self.ladder_m.m),
            ("ladder_time.m", &self.ladder_time.m),
            ("controls.m", &self.controls.m),
            ("ladder_linear.batch", &self.ladder_linear.batch),
        ] {
            sizes.iter().try_for_each(|&size| at_least(field, size, 1, ""))?;
        }
        ladder("ladder_m.m", &self.ladder_m.m)?;
        ladder("ladder_d.d", &self.ladder_d.d)?;
        ladder("ladder_linear.d", &self.ladder_linear.d)?;
        ladder("ladder_law.d0", &self.ladder_law.d0)?;
        ladder("ladder_gated.d0", &self.ladder_gated.d0)?;
        ladder("ladder_time.d0", &self.ladder_time.d0)?;
        ladder("ladder_time.m", &self.ladder_time.m)?;
        ladder("ladder_time.d", &self.ladder_time.d)?;
        ladder("ladder_time.steps_per_unit", &self.ladder_time.steps_per_unit)?;
        at_least("ladder_time.steps_per_unit", self.ladder_time.steps_per_unit[0], 1, "")?;
        at_least("ladder_time.batch_per_feature", self.ladder_time.batch_per_feature, 1, "")?;
        at_least("ladder_time.eval_samples", self.ladder_time.eval_samples, 8, "")?;
        ladder("ladder_balance.d0", &self.ladder_balance.d0)?;
        // A feature of each kind of a mixture of two, core and background.
        at_least("ladder_balance.d0", self.ladder_balance.d0[0], 4, "")?;
        ladder("ladder_balance.ratio", &self.ladder_balance.ratio)?;
        self.ladder_balance.ratio.iter().try_for_each(|&ratio| positive("ladder_balance.ratio", ratio))?;
        at_least("ladder_balance.m", self.ladder_balance.m, 1, "")?;
        at_least("ladder_balance.batch", self.ladder_balance.batch, 1, "")?;
        at_least("ladder_balance.steps", self.ladder_balance.steps, 8, "")?;
        at_least("ladder_balance.eval_samples", self.ladder_balance.eval_samples, 8, "")?;
        let of = &self.distillation;
        ladder("distillation.m", &of.m)?;
        positive("distillation.learning_rate", of.learning_rate)?;
        for (field, value, least) in [
            ("distillation.d_core", of.d_core, 1),
            ("distillation.d_bg", of.d_bg, 1),
            ("distillation.outputs", of.outputs, 1),
            ("distillation.m", of.m[0], 1),
            ("distillation.batch", of.batch, 1),
            ("distillation.eval_samples", of.eval_samples, 8),
        ] {
            at_least(field, value, least, "")?;
        }
        at_least("distillation.d", of.d, 1, "")?;
        at_least("distillation.steps", of.steps, 2, "")?;
        if of.outputs > of.d_core {
            let expected = format!("at most d_core = {}: the teacher's directions are orthonormal", of.d_core);
            return Err(SpecError::new("distillation.outputs", of.outputs, expected).into());
        }
        let of = &self.diversity;
        ladder("diversity.spread", &of.spread)?;
        if of.spread[0] != 0.0 || !of.spread.iter().all(|spread| spread.is_finite()) {
            return Err(SpecError::new("diversity.spread", format!("{:?}", of.spread), "finite, the first 0").into());
        }
        for (field, value, least) in [
            ("diversity.d_core", of.d_core, 1),
            ("diversity.d_bg", of.d_bg, 1),
            ("diversity.m", of.m, 2),
            ("diversity.batch", of.batch, 1),
            ("diversity.eval_samples", of.eval_samples, 8),
        ] {
            at_least(field, value, least, "")?;
        }
        at_least("diversity.steps_per_unit", of.steps_per_unit, 1, "")?;
        if !(of.late > 1.0 && of.late.is_finite()) {
            return Err(SpecError::new("diversity.late", of.late, "a number above 1, in units of T1").into());
        }
        // One for each class.
        at_least("digits.neurons", self.digits.neurons, 2, "")?;
        at_least("digits.steps", self.digits.steps, 1, "")?;
        positive("digits.learning_rate", self.digits.learning_rate)?;
        if !(0.0..1.0).contains(&self.digits.momentum) {
            return Err(SpecError::new("digits.momentum", self.digits.momentum, "at least 0 and below 1").into());
        }
        ladder("controls.d0", &self.controls.d0)?;
        ladder("controls.m", &self.controls.m)?;
        if self.ladder_linear.batch.len() != self.ladder_linear.d.len() {
            return Err(SpecError::new(
                "ladder_linear.batch",
                format!("{:?}", self.ladder_linear.batch),
                format!("one batch size for each of the {} values of d", self.ladder_linear.d.len()),
            )
            .into());
        }
        for (field, replicates) in [
            ("ladder_d0.replicates", self.ladder_d0.replicates),
            ("ladder_d0.replicates_smallest", self.ladder_d0.replicates_smallest),
            ("ladder_m.replicates", self.ladder_m.replicates),
            ("ladder_m.replicates_smallest", self.ladder_m.replicates_smallest),
            ("ladder_d.replicates", self.ladder_d.replicates),
            ("ladder_linear.replicates", self.ladder_linear.replicates),
            ("ladder_law.replicates", self.ladder_law.replicates),
            ("ladder_gated.replicates", self.ladder_gated.replicates),
            ("ladder_time.replicates", self.ladder_time.replicates),
            ("ladder_balance.replicates", self.ladder_balance.replicates),
            ("ladder_balance.replicates_d0", self.ladder_balance.replicates_d0),
            ("distillation.replicates", self.distillation.replicates),
            ("diversity.replicates", self.diversity.replicates),
            ("digits.replicates", self.digits.replicates),
            ("controls.replicates", self.controls.replicates),
        ] {
            replicated(field, replicates)?;
        }
        for (index, own) in self.ladder.iter().enumerate() {
            own.validate(self, &self.ladder[..index])?;
        }
        let own: usize = self.ladder.iter().map(|ladder| ladder.check.len()).sum();
        if own > OWN_CHECKS {
            let expected =
                format!("at most {OWN_CHECKS} in all ladders: more could not share the report's error of 1 %");
            return Err(SpecError::new("ladder.check", format!("{own} checks"), expected).into());
        }
        Ok(())
    }
}

fn replicated(field: &str, replicates: u64) -> Result<(), SpecError> {
    if (2..=10_000).contains(&replicates) {
        return Ok(());
    }
    Err(SpecError::new(field, replicates, "between 2 and 10000, so that intervals can be made"))
}

impl OwnLadder {
    fn validate(&self, settings: &Settings, earlier: &[Self]) -> Result<(), SpecError> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            let expected = "1 to 40 characters, of a-z, 0-9 and '-'";
            return Err(SpecError::new("ladder.name", format!("{:?}", self.name), expected));
        }
        let taken = crate::statement::Statement::all().iter().any(|statement| statement.id() == self.name)
            || earlier.iter().any(|other| other.name == self.name);
        if taken {
            let expected = "a name that no claim and no other ladder has";
            return Err(SpecError::new("ladder.name", format!("{:?}", self.name), expected));
        }
        let field = |key: &str| format!("ladder {}: {key}", self.name);
        let shown = format!("{:?}", self.sizes);
        if self.sizes.is_empty() || !self.sizes.is_sorted_by(|a, b| a < b) {
            return Err(SpecError::new(field("sizes"), shown, "one or more sizes, ascending"));
        }
        let d0 = (settings.model.d_core + settings.model.d_bg) as f64;
        let whole = |least: f64, most: f64| {
            let fits = |&size: &f64| size.fract() == 0.0 && (least..most).contains(&size);
            if self.sizes.iter().all(fits) {
                return Ok(());
            }
            Err(SpecError::new(field("sizes"), &shown, format!("whole numbers from {least} and below {most:e}")))
        };
        match self.factor {
            Factor::D0 => {
                whole(2.0, 1e6)?;
                let d_core = |size: f64| (settings.model.d_core as f64 * size / d0).round();
                if !self.sizes.iter().all(|&size| d_core(size) >= 1.0 && d_core(size) < size) {
                    let expected = "large enough for a core and a background feature in the model's proportion";
                    return Err(SpecError::new(field("sizes"), shown, expected));
                }
            }
            Factor::M | Factor::Batch => whole(1.0, 1e9)?,
            Factor::D => whole(d0, 2f64.powi(53))?,
            Factor::Ratio | Factor::StepsPerUnit => {
                if !self.sizes.iter().all(|&size| size > 0.0 && size.is_finite()) {
                    return Err(SpecError::new(field("sizes"), shown, "positive numbers"));
                }
            }
        }
        replicated(&field("replicates"), self.replicates)?;
        for check in &self.check {
            if check.of == Of::Exponent && self.sizes.len() < 2 {
                return Err(SpecError::new(
                    field("sizes"),
                    shown,
                    "two or more sizes, ascending: an exponent needs them",
                ));
            }
            for (key, bound) in [("check.low", check.low), ("check.high", check.high)] {
                if let Some(bound) = bound.filter(|bound| !bound.is_finite()) {
                    return Err(SpecError::new(field(key), bound, "a number; leave it out for none"));
                }
            }
            if let (Some(low), Some(high)) = (check.low, check.high)
                && low >= high
            {
                return Err(SpecError::new(field("check.high"), high, format!("above low = {low}")));
            }
        }
        Ok(())
    }
}

fn at_least<T: PartialOrd + std::fmt::Display>(field: &str, value: T, least: T, which: &str) -> Result<(), SpecError> {
    if value >= least { Ok(()) } else { Err(SpecError::new(field, value, format!("at least {least}{which}"))) }
}

/// A ladder has two rungs or more, ascending: an exponent needs them.
fn ladder<T: PartialOrd + std::fmt::Debug>(field: &str, sizes: &[T]) -> Result<(), SpecError> {
    if sizes.len() >= 2 && sizes.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(SpecError::new(field, format!("{sizes:?}"), "two or more sizes, ascending"))
}

/// Puts `over` on top of `base`, table by table.
pub(crate) fn overlay(base: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => overlay(base, over),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// An error in the syntax of `text`, with its line.
pub(crate) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    format!("{}{}", line.map(|line| format!("line {line}: ")).unwrap_or_default(), one_line(error))
}

/// An error in the `merged` settings in one line: the line of the user's `text`, the key, what is wrong with it, and the
/// nearest right name for an unknown one.
pub(crate) fn describe(text: &str, merged: &str, error: &toml::de::Error) -> String {
    let mut message = one_line(error);
    if let Some((wrong, names)) =
        message.strip_prefix("unknown ").and_then(|rest| rest.split_once('`')?.1.rsplit_once("`, expected "))
    {
        let names = names.split('`').skip(1).step_by(2);
        message += &nearest(names, wrong).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    } else if let Some((reason, expected)) = message.rsplit_once(", expected ") {
        let expected = match expected {
            "usize" | "u64" | "u32" => "a whole number, not negative",
            "f64" => "a number",
            "a sequence" => "a list",
            "variant identifier" => "the name of a shape",
            "internally tagged enum Distribution" => "a table with a shape and its parameters",
            _ if expected.starts_with("struct ") => "a table",
            _ => expected,
        };
        message = format!("{reason}, expected {expected}");
    }
    let (section, key) = error.span().map(|span| key_at(merged, span.start)).unwrap_or_default();
    let line = line_of(text, section, key).map(|line| format!("line {line}: ")).unwrap_or_default();
    let name = [section, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
    format!("{line}{name}{}{message}", if name.is_empty() { "" } else { ": " })
}

/// A line's section if it begins one.
fn header(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('[').split(']').next().unwrap_or_default())
}

/// The key of a line, if it has one.
fn key(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.starts_with('#'))
}

/// Section and key at a place in a text that has one key a line.
fn key_at(text: &str, place: usize) -> (&str, &str) {
    let (mut section, mut end) = ("", 0);
    for line in text.split_inclusive('\n') {
        end += line.len();
        section = header(line).unwrap_or(section);
        if end > place {
            return (section, if header(line).is_some() { "" } else { key(line).unwrap_or_default() });
        }
    }
    (section, "")
}

/// The line of a key in a user's file; of the table that it stands in, where that is written in one line.
fn line_of(text: &str, section: &str, wanted: &str) -> Option<usize> {
    let mut current = "";
    let mut found = text.lines().enumerate().filter(|(_, line)| {
        let begins = header(line);
        current = begins.unwrap_or(current);
        current == section
            && (if wanted.is_empty() { begins.is_some() } else { begins.is_none() && key(line) == Some(wanted) })
    });
    if let Some((index, _)) = found.next() {
        // Of several tables of one name, which it is cannot be told.
        return found.next().is_none().then_some(index + 1);
    }
    let (outer, table) = section.rsplit_once('.')?;
    line_of(text, outer, table)
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings, SettingsError> {
        let scratch = crate::scratch::Scratch::new();
        let path = scratch.join("settings.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(&path, None)
    }

    #[test]
    fn profiles_parse_and_are_valid() {
        for name in PROFILES {
            let settings = Settings::profile(name).unwrap();
            assert_eq!(settings.profile, name);
            settings.validate().unwrap();
        }
    }

    #[test]
    fn settings_survive_the_round_trip() {
        let settings = Settings::profile("quick").unwrap();
        assert_eq!(load(&settings.to_toml()).unwrap(), settings);
    }

    #[test]
    fn a_file_changes_what_it_names_and_no_more() {
        let settings = load("seed = 7\n[training]\nbatch = 99\nlearning_rate = 0.5\n").unwrap();
        let mut expected = Settings::profile("quick").unwrap();
        expected.seed = 7;
        expected.training.batch = 99;
        expected.training.learning_rate = Rate::Fixed(0.5);
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_misspelt_key_names_the_nearest() {
        let error = load("[training]\nbatchs = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("did you mean `batch`?"), "{error}");
        let error = load("[trainin]\nbatch = 3\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `training`?"), "{error}");
        let error = load("[model]\ncore = [{shape = \"unifrom\", low = 0, high = 1}]\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `uniform`?"), "{error}");
        let error = load("[model]\ncore = [{shape = \"uniform\", low = 0, hgih = 1}]\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `high`?"), "{error}");
    }

    #[test]
    fn bad_values_name_the_key() {
        let error = |text: &str| load(text).and_then(|settings| settings.validate()).unwrap_err().to_string();
        assert!(error("[ladder_d0]\nd0 = [32, 16]").contains("ladder_d0.d0"));
        assert!(error("[ladder_d0]\nreplicates = 1").contains("ladder_d0.replicates"));
        assert!(error("[times]\nt1 = -1.0").contains("times.t1"));
        assert!(error("[training]\nlearning_rate = \"slow\"").contains("auto"));
        assert!(error("[training]\nbatch = -3").contains("batch") || error("[training]\nbatch = -3").contains("-3"));
        assert!(error("profile = \"medium\"").contains("quick, full"));
        assert!(error("[distillation]\noutputs = 17").contains("distillation.outputs"));
        assert!(error("[distillation]\nlearning_rate = 0").contains("distillation.learning_rate"));
        assert!(error("[diversity]\nspread = [0.5, 1.0]").contains("diversity.spread"));
        assert!(error("[diversity]\nspread = [0.0, inf]").contains("diversity.spread"));
        assert!(error("[diversity]\nlate = 1.0").contains("diversity.late"));
    }
}
