//! What the statements at finite size speak of, measured on fresh examples neuron by neuron and feature by feature.
//!
//! Plain loops in double precision, but for what is asked for at every step: they share nothing with the kernels but the
//! draws, so that they check them too.

use feature_contamination_kernels::{Activation, Executor, Mask, MatMut, MatRef, ShapeError, Workspace};

use crate::data::{Domain, Draw, Purpose};
use crate::network::Network;
use crate::precision::Real;
use crate::spec::{EVAL_CHUNK, RunSpec};

/// Sums over the `n` evaluation examples of a record, and the step that training took next.
///
/// `s = ⟨v_k, x̃⟩`, `s₋ⱼ = s − v_kj x̃_j`; classes are `y = −1`, `+1` in this order; arrays are `[m × d₀]`, row-major.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Examples of each class.
    pub totals: [u64; 2],
    /// `Σ_i z_ij 1[s_i ≥ 0]` over the examples of a class.
    pub gated: [Vec<f64>; 2],
    /// Number of the examples of a class with `s₋ⱼ ≥ |v_kj|`: active whatever `z_j ∈ [0, 1]` is.
    pub surely: [Vec<f64>; 2],
    /// Number of the examples of a class with `s₋ⱼ ≥ −|v_kj|`: active for some `z_j ∈ [0, 1]`.
    pub possibly: [Vec<f64>; 2],
    /// `Σ_j |v_kj|³ E|z_j − μ_j|³` of every neuron.
    pub third: Vec<f64>,
    /// `(1/n) Σ_i y_i 1[y_i h(x_i) < 1] 1[s_i ≥ 0] x̃_ij`, what a step adds to `α v_kj` in units of `η/m`; `α = sign a_k`.
    pub expected: Vec<f64>,
    /// `α (v⁽ᵗ⁺¹⁾ − (1−ηλ) v⁽ᵗ⁾) m/η`, what the step after this record added.
    pub taken: Vec<f64>,
    /// `Σ_{s<t} (1−ηλ)^(t−1−s) ĝ_s`, `ĝ_s` the mean as in `expected` over [`drift_samples`] fresh examples at the weights
    /// before step `s`: what all steps add on average.
    pub drift_expected: Vec<f64>,
    /// `α (v⁽ᵗ⁾ − (1−ηλ)^t v⁽⁰⁾) m/η`, what all steps added.
    pub drift_taken: Vec<f64>,
}

/// Fresh examples a step for [`Probe::drift_expected`].
pub fn drift_samples(spec: &RunSpec) -> usize {
    2 * spec.batch
}

/// The running sum behind [`Probe::drift_expected`]. By the kernels: it is taken at every step.
pub(crate) struct Drift<'s, T> {
    spec: &'s RunSpec,
    executor: Executor,
    pub(crate) sum: Vec<f64>,
    x: Vec<f32>,
    wide: Vec<T>,
    labels: Vec<i8>,
    output: Vec<T>,
    residual: Vec<i8>,
    mask: Mask,
    gradient: Vec<T>,
    workspace: Workspace,
}

impl<'s, T: Real> Drift<'s, T> {
    pub(crate) fn new(spec: &'s RunSpec, executor: Executor) -> Self {
        let (n, m, d0) = (drift_samples(spec), spec.m, spec.data.d0());
        Self {
            spec,
            executor,
            sum: vec![0.0; m * d0],
            x: vec![0.0; n * d0],
            wide: vec![],
            labels: vec![0; n],
            output: vec![T::ZERO; n],
            residual: vec![0; n],
            mask: Mask::new(n, m),
            gradient: vec![T::ZERO; m * d0],
            workspace: Workspace::new(),
        }
    }

    /// Adds the expected step at the weights before step `step`, `[m × d₀]` in latent coordinates.
    pub(crate) fn add(&mut self, network: &Network<T>, latent: &[T], step: u64) -> Result<(), ShapeError> {
        let (n, m, d0) = (self.labels.len(), self.spec.m, self.spec.data.d0());
        let draw = Draw { seed: self.spec.seed, purpose: Purpose::Evaluate, domain: Domain::Id, step, first_row: 0 };
        self.spec.data.fill(self.executor, draw, &mut self.x, &mut self.labels)?;
        let x = T::batch(&self.x, &mut self.wide);
        T::forward(
            self.executor,
            network.activation,
            MatRef::from_row_major(x, n, d0)?,
            MatRef::from_row_major(latent, m, d0)?,
            &network.a,
            &mut self.output,
            &mut self.mask,
            &mut self.workspace,
        )?;
        for ((s, &y), &h) in self.residual.iter_mut().zip(&self.labels).zip(&self.output) {
            *s = if T::from(y) * h < T::ONE { y } else { 0 };
        }
        T::backward(
            self.executor,
            MatRef::from_row_major(x, n, d0)?,
            &self.residual,
            &self.mask,
            MatMut::from_row_major(&mut self.gradient, m, d0)?,
            &mut self.workspace,
        )?;
        let keep = self.spec.decay_factor();
        self.sum.iter_mut().zip(&self.gradient).for_each(|(sum, &g)| *sum = keep * *sum + g.into() / n as f64);
        Ok(())
    }
}

/// The probe of the weights `before` a step, `[m × d₀]`, which the step turned into `after`; a run has `initial` ones.
pub(crate) fn probe<T: Real>(
    spec: &RunSpec,
    executor: Executor,
    network: &Network<T>,
    drift_expected: Vec<f64>,
    (initial, before, after): (&[f32], &[T], &[T]),
    step: u64,
) -> Result<Probe, ShapeError> {
    let (m, d0, d_core) = (spec.m, spec.data.d0(), spec.data.core.count);
    let exact = |weights: &[T]| -> Vec<f64> { weights.iter().map(|&v| v.into()).collect() };
    let weights = exact(before);
    let empty = || [vec![0.0; m * d0], vec![0.0; m * d0]];
    let (mut gated, mut surely, mut possibly) = (empty(), empty(), empty());
    let (mut totals, mut expected) = ([0; 2], vec![0.0; m * d0]);
    let (mut x, mut labels) = (vec![0.0; EVAL_CHUNK * d0], vec![0; EVAL_CHUNK]);
    let (mut row, mut z, mut pre) = (vec![0.0; d0], vec![0.0; d0], vec![0.0; m]);
    for first_row in (0..spec.eval_samples).step_by(EVAL_CHUNK) {
        let rows = EVAL_CHUNK.min(spec.eval_samples - first_row);
        let draw = Draw { seed: spec.seed, purpose: Purpose::Evaluate, domain: Domain::Id, step, first_row };
        spec.data.fill(executor, draw, &mut x[..rows * d0], &mut labels[..rows])?;
        for (x, &y) in x.chunks_exact(d0).zip(&labels[..rows]) {
            let label = f64::from(y);
            for (j, ((row, z), &x)) in row.iter_mut().zip(&mut z).zip(x).enumerate() {
                *row = f64::from(x);
                *z = if j < d_core { label * *row } else { *row };
            }
            let mut output = 0.0;
            for ((pre, v), &sign) in pre.iter_mut().zip(weights.chunks_exact(d0)).zip(&network.signs) {
                *pre = v.iter().zip(&row).map(|(v, x)| v * x).sum();
                output += f64::from(sign) / m as f64
                    * if network.activation == Activation::Relu { pre.max(0.0) } else { *pre };
            }
            let hinge = if label * output < 1.0 { label } else { 0.0 };
            let class = usize::from(y > 0);
            totals[class] += 1;
            for (k, &s) in pre.iter().enumerate() {
                let of = k * d0..(k + 1) * d0;
                let gate = if s >= 0.0 { 1.0 } else { 0.0 };
                let pass = if network.activation == Activation::Relu { gate * hinge } else { hinge };
                let v = &weights[of.clone()];
                let (gated, surely) = (&mut gated[class][of.clone()], &mut surely[class][of.clone()]);
                let (possibly, expected) = (&mut possibly[class][of.clone()], &mut expected[of]);
                for j in 0..d0 {
                    let rest = s - v[j] * row[j];
                    gated[j] += gate * z[j];
                    surely[j] += if rest >= v[j].abs() { 1.0 } else { 0.0 };
                    possibly[j] += if rest >= -v[j].abs() { 1.0 } else { 0.0 };
                    expected[j] += pass * row[j];
                }
            }
        }
    }
    let samples = spec.eval_samples as f64;
    expected.iter_mut().for_each(|sum| *sum /= samples);
    let moments: Vec<_> = spec.data.core.moments().into_iter().chain(spec.data.background.moments()).collect();
    let third = weights
        .chunks_exact(d0)
        .map(|v| v.iter().zip(&moments).map(|(v, moments)| v.abs().powi(3) * moments.abs_central_3).sum())
        .collect();
    let unit = m as f64 / spec.learning_rate;
    let added = |from: &[f64], to: &[f64], decay: f64| -> Vec<f64> {
        let moved = from.iter().zip(to).map(|(from, to)| to - decay * from);
        moved.enumerate().map(|(at, moved)| f64::from(network.signs[at / d0]) * unit * moved).collect()
    };
    let initial: Vec<f64> = initial.iter().map(|&v| f64::from(v)).collect();
    Ok(Probe {
        totals,
        gated,
        surely,
        possibly,
        third,
        expected,
        taken: added(&weights, &exact(after), spec.decay_factor()),
        drift_expected,
        drift_taken: added(&initial, &weights, spec.decay(step)),
    })
}

#[cfg(test)]
mod tests {
    use crate::{Distribution, Executor, Labels, RunSpec, simulate};

    fn spec() -> RunSpec {
        RunSpec {
            batch: 128,
            eval_samples: 3000,
            steps: 41,
            record_steps: vec![0, 7, 40, 41],
            weight_decay: 0.01,
            probe: true,
            ..RunSpec::uniform(5, 4, 90, 6)
        }
    }

    #[test]
    fn a_probe_changes_nothing_else() {
        let executor = Executor::detect().unwrap();
        let strip = |spec: &RunSpec| {
            let mut records = simulate(spec, executor).unwrap().records;
            records.iter_mut().for_each(|record| record.probe = None);
            format!("{records:?}")
        };
        let plain = RunSpec { probe: false, ..spec() };
        assert_eq!(strip(&spec()), strip(&plain));
    }

    #[test]
    fn features_that_are_one_count_the_kernels_activations() {
        let mut spec = spec();
        let one = Distribution::Point { value: 1.0 };
        (spec.data.core.laws, spec.data.background.laws) = (vec![one], vec![one]);
        let run = simulate(&spec, Executor::detect().unwrap()).unwrap();
        let probed: Vec<_> = run.records.iter().filter_map(|record| Some((record, record.probe.as_ref()?))).collect();
        assert_eq!(probed.len(), 3, "every record but the last");
        for (record, probe) in probed {
            assert_eq!(probe.totals.iter().sum::<u64>(), 3000);
            for k in 0..6 {
                let own = usize::from(run.signs[k] > 0);
                for (class, frequencies) in [(own, &record.neurons.own), (1 - own, &record.neurons.other)] {
                    assert_eq!(probe.totals[class], frequencies.trials[k]);
                    for at in k * 9..(k + 1) * 9 {
                        // Given the label, s is certain: no rounding turns its sign here.
                        assert_eq!(probe.gated[class][at], frequencies.successes(k) as f64);
                        assert!(probe.surely[class][at] <= probe.gated[class][at]);
                        assert!(probe.gated[class][at] <= probe.possibly[class][at]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_step_is_its_batchs_gradient() {
        // With every example in the batch alike and the hinge open, batch and fresh examples have one gradient.
        let mut spec = spec();
        let half = Distribution::Point { value: 0.5 };
        (spec.data.core.laws, spec.data.background.laws) = (vec![half], vec![half]);
        (spec.batch, spec.learning_rate) = (1 << 16, 0.01);
        let run = simulate(&spec, Executor::detect().unwrap()).unwrap();
        let probe = run.records[1].probe.as_ref().unwrap();
        for (taken, expected) in probe.taken.iter().zip(&probe.expected) {
            // The shares of the two labels differ, by a few standard errors of 1/(2√n).
            assert!((taken - expected).abs() < 0.5 * 5.0 / 3000_f64.sqrt(), "{taken} {expected}");
        }
        assert!(probe.expected.iter().any(|g| *g > 0.2));
        // Both sums start at 0; after seven steps they are those of seven steps.
        let first = run.records[0].probe.as_ref().unwrap();
        assert!(first.drift_expected.iter().chain(&first.drift_taken).all(|&sum| sum == 0.0));
        let seven = 7.0 * 0.5 * 5.0 / 3000_f64.sqrt();
        assert!(probe.drift_taken.iter().zip(&probe.drift_expected).all(|(a, b)| (a - b).abs() < seven));
        assert!(probe.drift_expected.iter().any(|g| *g > 7.0 * 0.2));
        let frozen = simulate(&RunSpec { frozen: true, ..spec.clone() }, Executor::detect().unwrap()).unwrap();
        let probe = frozen.records[1].probe.as_ref().unwrap();
        for (at, (taken, v)) in probe.taken.iter().zip(&frozen.initial).enumerate() {
            let sign = f64::from(frozen.signs[at / 9]);
            assert!((taken - sign * f64::from(*v) * 6.0 * 0.01).abs() < 1e-6, "m λ α v");
        }
        let shuffled = simulate(&RunSpec { labels: Labels::Shuffled, ..spec }, Executor::detect().unwrap()).unwrap();
        let probe = shuffled.records[1].probe.as_ref().unwrap();
        assert!(probe.taken.iter().zip(&probe.expected).any(|(taken, expected)| (taken - expected).abs() > 0.1));
    }
}
