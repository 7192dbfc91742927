//! What `benches/torch_step.py` measured.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::measurement::{Shape, json};
use crate::report::ReportError;

/// Version of the file that this program reads.
const SCHEMA_VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Torch {
    schema_version: u32,
    /// PyTorch's version.
    pub(super) torch: String,
    /// Python's.
    pub(super) python: String,
    /// Processor.
    pub(super) cpu: String,
    /// What PyTorch says it may use: `AVX2`, `AVX512`.
    pub(super) capability: String,
    /// When it was measured, UTC.
    pub(super) date: String,
    /// Results.
    pub(super) results: Vec<Step>,
}

/// One form of the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    /// `in-place`, `autograd`, `compile`.
    pub(super) form: String,
    /// `N x d₀ x m`, as in `step_1t`.
    pub(super) shape: String,
    /// Threads.
    pub(super) threads: u32,
    /// Median time of a step, seconds.
    pub(super) median_seconds: f64,
    /// Its 95 % interval, seconds.
    pub(super) interval_seconds: [f64; 2],
    /// Steps timed.
    pub(super) steps: u64,
}

/// Reads it.
///
/// # Errors
/// If it does not read as it should, naming file and field.
pub(super) fn read(path: &Path) -> Result<Torch, ReportError> {
    let malformed = |message: String| ReportError::Malformed { path: path.to_owned(), message };
    let torch: Torch = json(path)?;
    if torch.schema_version != SCHEMA_VERSION {
        return Err(malformed(format!(
            "schema_version is {}; this program reads {SCHEMA_VERSION}",
            torch.schema_version
        )));
    }
    if torch.results.is_empty() {
        return Err(malformed("results must not be empty".to_owned()));
    }
    for (at, step) in torch.results.iter().enumerate() {
        let wrong = |field: &str, right: &str| malformed(format!("results[{at}].{field} must be {right}"));
        if !["in-place", "autograd", "compile"].contains(&step.form.as_str()) {
            return Err(wrong("form", "in-place, autograd or compile"));
        }
        let shape = Shape::parse(&step.shape);
        if shape.is_none_or(|shape| shape.sizes.len() != 3 || shape.transposed || shape.percent != 100) {
            return Err(wrong("shape", "three sizes, such as 1000x256x256"));
        }
        let [low, high] = step.interval_seconds;
        if !(low > 0.0 && low <= step.median_seconds && step.median_seconds <= high && high.is_finite()) {
            return Err(wrong("median_seconds", "positive and in interval_seconds"));
        }
        if !(1..=4096).contains(&step.threads) {
            return Err(wrong("threads", "between 1 and 4096"));
        }
    }
    Ok(torch)
}

impl Torch {
    /// The fastest form at a shape and a number of threads.
    pub(super) fn best(&self, shape: &str, threads: u32) -> Option<&Step> {
        let all = self.results.iter().filter(|step| step.shape == shape && step.threads == threads);
        all.min_by(|a, b| a.median_seconds.total_cmp(&b.median_seconds))
    }
}
