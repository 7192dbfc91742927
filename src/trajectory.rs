//! What a run leaves: the paper's observables at the recorded steps.
//!
//! Theory fills the same types, so that prediction and measurement are drawn and compared without glue.

use crate::probe::Probe;
use crate::spec::RunSpec;

/// The observables of one run.
#[derive(Clone, Debug)]
pub struct Trajectory {
    /// The run.
    pub spec: RunSpec,
    /// `sign a_k`, ±1, of every neuron: the label of the class it votes for.
    pub signs: Vec<i8>,
    /// `v⁽⁰⁾`, `[m × d₀]`, row-major, in latent coordinates.
    pub initial: Vec<f32>,
    /// Observables at each of `spec.record_steps`.
    pub records: Vec<Record>,
}

impl Trajectory {
    /// The record at `step`, if there is one.
    pub fn at(&self, step: u64) -> Option<&Record> {
        self.records.binary_search_by_key(&step, |record| record.step).ok().map(|index| &self.records[index])
    }

    /// `α Σ_core μ_j v_kj` of every neuron, `α = sign a_k`: the core sum in the direction of the neuron's own label.
    pub fn aligned_core(&self, record: &Record) -> Vec<f64> {
        record.neurons.core.iter().zip(&self.signs).map(|(core, &sign)| f64::from(sign) * core).collect()
    }

    /// The records from `step` on.
    pub fn from(&self, step: u64) -> &[Record] {
        &self.records[self.records.partition_point(|record| record.step < step)..]
    }
}

/// The observables after one step.
#[derive(Clone, Debug)]
pub struct Record {
    /// Steps taken, `t`.
    pub step: u64,
    /// Every neuron's observables.
    pub neurons: NeuronRecord,
    /// On fresh examples in distribution.
    pub id: Evaluation,
    /// On labels and core features of the first quarter of them, with the shifted background.
    pub ood: Evaluation,
    /// Fraction of the batch of this step whose hinge was active, `y h < 1`; at the start, of the first batch.
    pub active_fraction: f64,
    /// `max_{k, j core} |v_kj|`.
    pub max_abs_core: f64,
    /// `max_{k, j background} |v_kj|`.
    pub max_abs_background: f64,
    /// Least and greatest of `α (v_kj − g_t v_kj⁽⁰⁾)` over neurons and core features, `α = sign a_k`, `g_t = (1−ηλ)^t`:
    /// what the gradients have added.
    pub core_displacement: (f64, f64),
    /// The same over background features.
    pub background_displacement: (f64, f64),
    /// What the statements at finite size speak of, where the run asks for it.
    pub probe: Option<Probe>,
}

/// Observables of every neuron, one entry each.
#[derive(Clone, Debug, Default)]
pub struct NeuronRecord {
    /// `Σ_core μ_j v_kj`. Paper: Thm 2 (learned features).
    pub core: Vec<f64>,
    /// `Σ_bg μ_j v_kj`. Paper: Thm 2 (learned features).
    pub background: Vec<f64>,
    /// `S² = Σ_j σ_j² v_kj²`, the variance of the pre-activation given the label.
    pub variance: Vec<f64>,
    /// `Σ_j (b_j − a_j)² v_kj²`, with feature `j` on `[a_j, b_j]`: the scale of Hoeffding's bound.
    pub squared_range: Vec<f64>,
    /// `Pr[neuron active]` on examples of its own label, `p_own`. Paper: Thm 1 (activation asymmetry).
    pub own: Frequencies,
    /// `Pr[neuron active]` on examples of the other label, `p_oth`.
    pub other: Frequencies,
    /// `Pr[neuron active, y h < 1]` on examples of its own label: what drives the gradient once the hinge gates.
    pub own_gated: Vec<f64>,
    /// The same on examples of the other label.
    pub other_gated: Vec<f64>,
}

/// Probabilities, measured or predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frequencies {
    /// One probability a neuron.
    pub p: Vec<f64>,
    /// Trials behind each when measured, so that `p · trials` is a count; 0 everywhere when predicted.
    pub trials: Vec<u64>,
}

impl Frequencies {
    /// From successes out of trials; 0/0 is written as 0.
    pub fn measured(counts: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let (p, trials) = counts
            .into_iter()
            .map(|(successes, trials)| (if trials == 0 { 0.0 } else { successes as f64 / trials as f64 }, trials))
            .unzip();
        Self { p, trials }
    }

    /// From theory.
    pub fn predicted(p: Vec<f64>) -> Self {
        let trials = vec![0; p.len()];
        Self { p, trials }
    }

    /// Successes of neuron `k`, exact for measured frequencies.
    pub fn successes(&self, k: usize) -> u64 {
        (self.p[k] * self.trials[k] as f64).round() as u64
    }
}

/// Risk and accuracy on fresh examples of one domain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Number of examples; 0 when predicted.
    pub samples: u64,
    /// Mean hinge loss `E max(1 − y h, 0)`.
    pub risk: f64,
    /// Variance of the hinge loss over examples (divisor `n − 1`).
    pub risk_variance: f64,
    /// Fraction with `y h > 0`.
    pub accuracy: f64,
    /// Mean margin `E[y h]`.
    pub margin: f64,
    /// Greatest margin `y h` seen.
    pub max_margin: f64,
}
