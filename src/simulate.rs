//! Training, and the observables along the way.

use feature_contamination_kernels::{Executor, Mask, MatMut, MatRef, ShapeError, Workspace};
use rand::Rng;

use crate::data::{DataModel, Domain, Draw, Purpose, draw_labels};
use crate::error::SpecError;
use crate::network::Network;
use crate::precision::{Precision, Real};
use crate::probe::{Drift, probe};
use crate::rng::{BLOCK_ROWS, Stream, stream};
use crate::snapshot::{Field, Snapshot, SnapshotError, Stateful};
use crate::spec::{EVAL_CHUNK, Labels, RunSpec};
use crate::trajectory::{Evaluation, Frequencies, NeuronRecord, Record, Trajectory};
use crate::variant;

/// Why a run ended without a trajectory.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulateError {
    /// The run is not well-formed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A weight or an output left the finite numbers.
    #[error("weights or outputs became non-finite at step {step}: take a smaller learning_rate")]
    NonFinite {
        /// The step.
        step: u64,
    },
    /// Shapes that do not fit: a defect of this crate, reported and not panicked on.
    #[error("internal: {0}")]
    Kernel(#[from] ShapeError),
}

/// Carries out a run, on the threads of `executor`; the trajectory does not depend on how many they are.
///
/// # Errors
/// The spec is not valid, or an output becomes non-finite.
pub fn simulate(spec: &RunSpec, executor: Executor) -> Result<Trajectory, SimulateError> {
    if let Some(variant) = &spec.variant {
        spec.validate()?;
        return match spec.precision {
            Precision::Single => variant::simulate_in::<f32>(spec, variant, executor),
            Precision::Double => variant::simulate_in::<f64>(spec, variant, executor),
        };
    }
    match spec.precision {
        Precision::Single => simulate_in::<f32>(spec, executor),
        Precision::Double => simulate_in::<f64>(spec, executor),
    }
}

fn simulate_in<T: Real>(spec: &RunSpec, executor: Executor) -> Result<Trajectory, SimulateError> {
    let mut run = Training::<T>::new(spec, executor)?;
    let initial: Vec<f32> = run.latent_weights()?.into_iter().map(|v| v.into() as f32).collect();
    let mut observer = Observer::new(spec, executor, &initial);
    let mut drift = spec.probe.then(|| Drift::new(spec, executor));
    let mut records = Vec::with_capacity(spec.record_steps.len());
    for &step in &spec.record_steps {
        let target = step;
        #[cfg(feature = "mutations")]
        let target = crate::mutation::recorded(target);
        while run.step < target {
            advance(&mut run, drift.as_mut())?;
        }
        let (mut record, latent) = observer.observe(&mut run, step)?;
        if let Some(sum) = drift.as_ref().filter(|_| step < spec.steps).map(|drift| drift.sum.clone()) {
            advance(&mut run, drift.as_mut())?;
            let after = run.latent_weights()?;
            record.probe = Some(probe(spec, executor, &run.network, sum, (&initial, &latent, &after), step)?);
        }
        records.push(record);
    }
    while run.step < spec.steps {
        run.advance()?;
    }
    #[cfg(feature = "mutations")]
    crate::mutation::records(&mut records);
    Ok(Trajectory { spec: spec.clone(), signs: run.network.signs, initial, records })
}

/// One step, and the expected one on top of `drift`.
fn advance<T: Real>(run: &mut Training<'_, T>, drift: Option<&mut Drift<'_, T>>) -> Result<(), SimulateError> {
    if let Some(drift) = drift {
        let latent = run.latent_weights()?;
        drift.add(&run.network, &latent, run.step)?;
    }
    run.advance()
}

/// A network in training, in the precision of `T`: the state that a step changes, and the buffers it needs.
pub struct Training<'s, T> {
    spec: &'s RunSpec,
    executor: Executor,
    /// The network.
    pub network: Network<T>,
    /// Steps taken.
    pub step: u64,
    /// The batch as it is drawn.
    batch: Vec<f32>,
    /// The same in this precision, where it is another.
    wide_batch: Vec<T>,
    ambient_batch: Vec<T>,
    labels: Vec<i8>,
    output: Vec<T>,
    /// `s_i = y_i 1[y_i h(x_i) < 1]`.
    residual: Vec<i8>,
    mask: Mask,
    gradient: Vec<T>,
    workspace: Workspace,
    /// Hinge-active fraction of the batch last seen.
    active: Option<f64>,
}

impl<'s, T: Real> Training<'s, T> {
    /// The run at step 0.
    ///
    /// # Errors
    /// The spec is not valid, or has a variant, which [`simulate`] carries out.
    pub fn new(spec: &'s RunSpec, executor: Executor) -> Result<Self, SimulateError> {
        spec.validate()?;
        if spec.variant.is_some() {
            return Err(SpecError::new("variant", "set", "none for this simulator").into());
        }
        let network = Network::init(spec)?;
        let (n, width) = (spec.batch, network.width);
        Ok(Self {
            batch: vec![0.0; n * spec.data.d0()],
            wide_batch: vec![],
            ambient_batch: vec![T::ZERO; if network.dictionary.is_some() { n * width } else { 0 }],
            labels: vec![0; n],
            output: vec![T::ZERO; n],
            residual: vec![0; n],
            mask: Mask::new(n, spec.m),
            gradient: vec![T::ZERO; spec.m * width],
            workspace: Workspace::new(),
            active: None,
            spec,
            executor,
            network,
            step: 0,
        })
    }

    /// One step of SGD: `w_k ← (1 − ηλ) w_k + (η a_k/N) Σ_i s_i 1[⟨w_k,x_i⟩ ≥ 0] x_i` on the batch of this step.
    /// A frozen run only counts it. Paper: section 2 (SGD).
    ///
    /// # Errors
    /// An output is non-finite.
    pub fn advance(&mut self) -> Result<(), SimulateError> {
        if self.spec.frozen {
            // Of all that the batch says, a record asks for the active fraction, and only of the last one.
            self.active = None;
            self.step += 1;
            return Ok(());
        }
        self.forward(self.step)?;
        let (n, m, width) = (self.spec.batch, self.network.m, self.network.width);
        let batch = match self.network.dictionary {
            Some(_) => &self.ambient_batch,
            None => T::batch(&self.batch, &mut self.wide_batch),
        };
        T::backward(
            self.executor,
            MatRef::from_row_major(batch, n, width)?,
            &self.residual,
            &self.mask,
            MatMut::from_row_major(&mut self.gradient, m, width)?,
            &mut self.workspace,
        )?;
        #[cfg(feature = "mutations")]
        crate::mutation::gradient(&mut self.gradient, batch, &self.residual, width, self.spec.data.core.count);
        let keep = T::nearest(self.spec.decay_factor());
        let rate = self.spec.learning_rate / n as f64;
        #[cfg(feature = "mutations")]
        let (keep, rate) = crate::mutation::rates(keep, rate, self.step);
        let update = |((weights, gradient), a): ((&mut [T], &[T]), &[T])| {
            let rows = weights.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
            for ((w, g), &a) in rows.zip(a) {
                let scale = T::nearest(rate * a.into());
                w.iter_mut().zip(g).for_each(|(w, &g)| *w = keep * *w + scale * g);
            }
            Ok::<(), SimulateError>(())
        };
        let rows = self.executor.share(m, 1, UPDATE_NS * (m * width) as f64, &self.workspace);
        let (weights, gradient) = (&mut self.network.weights, &self.gradient);
        let shares = weights.chunks_mut(rows * width).zip(gradient.chunks(rows * width));
        self.executor.for_each(shares.zip(self.network.a.chunks(rows)), update, &mut self.workspace)?;
        self.step += 1;
        Ok(())
    }

    /// Everything that later steps and records depend on, besides the spec: bit for bit, a run of the same spec and
    /// instruction set that takes it over goes on as this one does.
    pub fn state(&mut self) -> Snapshot {
        self.save()
    }

    /// Takes over the [state](Training::state) of a run of the same spec. On an error nothing has changed.
    ///
    /// # Errors
    /// The state is that of another kind of run.
    pub fn restore(&mut self, state: &Snapshot) -> Result<(), SnapshotError> {
        self.load(state)
    }

    /// Hinge-active fraction of the last step's batch; before the first step, of the first batch.
    ///
    /// # Errors
    /// An output is non-finite.
    pub fn active_fraction(&mut self) -> Result<f64, SimulateError> {
        if let Some(active) = self.active {
            return Ok(active);
        }
        self.forward(self.step.saturating_sub(1))
    }

    /// `V = W M`, `[m × d₀]`, the weights in latent coordinates.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn latent_weights(&mut self) -> Result<Vec<T>, SimulateError> {
        let Some(dictionary) = &self.network.dictionary else {
            return Ok(self.network.weights.clone());
        };
        let (m, d, d0) = (self.network.m, self.network.width, self.spec.data.d0());
        let mut latent = vec![T::ZERO; m * d0];
        self.executor.gemm(
            T::ONE,
            MatRef::from_row_major(&self.network.weights, m, d)?,
            MatRef::from_row_major(dictionary, d, d0)?,
            T::ZERO,
            MatMut::from_row_major(&mut latent, m, d0)?,
            &mut self.workspace,
        )?;
        Ok(latent)
    }

    /// Draws the batch of a step; outputs, mask and residuals follow. Returns the hinge-active fraction.
    fn forward(&mut self, step: u64) -> Result<f64, SimulateError> {
        let spec = self.spec;
        let (n, m, width, d0) = (spec.batch, spec.m, self.network.width, spec.data.d0());
        let draw = Draw { seed: spec.seed, purpose: Purpose::Train, domain: Domain::Id, step, first_row: 0 };
        fill(&spec.data, self.executor, draw, &mut self.batch, &mut self.labels, &mut self.workspace)?;
        #[cfg(feature = "mutations")]
        crate::mutation::labels(&mut self.labels);
        if spec.labels == Labels::Shuffled {
            for (block, labels) in self.labels.chunks_mut(BLOCK_ROWS).enumerate() {
                draw_labels(stream(spec.seed, Stream::ShuffledLabels, step, block as u64).next_u64(), labels);
            }
        }
        let latent = T::batch(&self.batch, &mut self.wide_batch);
        let batch = match &self.network.dictionary {
            None => latent,
            Some(dictionary) => {
                // X = X̃ Mᵀ.
                self.executor.gemm(
                    T::ONE,
                    MatRef::from_row_major(latent, n, d0)?,
                    MatRef::from_row_major(dictionary, width, d0)?.t(),
                    T::ZERO,
                    MatMut::from_row_major(&mut self.ambient_batch, n, width)?,
                    &mut self.workspace,
                )?;
                &self.ambient_batch
            }
        };
        T::forward(
            self.executor,
            self.network.activation,
            MatRef::from_row_major(batch, n, width)?,
            MatRef::from_row_major(&self.network.weights, m, width)?,
            &self.network.a,
            &mut self.output,
            &mut self.mask,
            &mut self.workspace,
        )?;
        if !self.output.iter().all(|h| h.is_finite()) {
            return Err(SimulateError::NonFinite { step });
        }
        for ((s, &y), &h) in self.residual.iter_mut().zip(&self.labels).zip(&self.output) {
            *s = if T::from(y) * h < T::ONE { y } else { 0 };
        }
        #[cfg(feature = "mutations")]
        crate::mutation::residual(&mut self.residual, &self.labels);
        let active = self.residual.iter().filter(|&&s| s != 0).count() as f64 / n as f64;
        self.active = Some(active);
        Ok(active)
    }
}

impl<T: Real> Stateful for Training<'_, T> {
    fn visit(&mut self, visit: &mut dyn FnMut(&str, Field<'_>)) {
        // Before the first batch there is no fraction; −1 is none.
        let (mut step, mut active) = ([self.step], [self.active.unwrap_or(-1.0)]);
        visit("step", Field::U64(&mut step));
        visit("active_fraction", Field::F64(&mut active));
        visit("weights", T::field(&mut self.network.weights));
        self.step = step[0];
        self.active = Some(active[0]).filter(|active| *active >= 0.0);
    }
}

/// Nanoseconds that drawing a feature takes at least, and updating a weight (Zen 4, measured): what shares are worth a
/// thread.
const DRAW_NS: f64 = 0.15;
const UPDATE_NS: f64 = 0.1;

/// [`DataModel::fill`], shared out by whole blocks of rows, whose variates have addresses of their own.
pub(crate) fn fill(
    data: &DataModel,
    executor: Executor,
    draw: Draw,
    x: &mut [f32],
    labels: &mut [i8],
    workspace: &mut Workspace,
) -> Result<(), ShapeError> {
    let rows = executor.share(labels.len(), BLOCK_ROWS, DRAW_NS * x.len() as f64, workspace);
    let shares = labels.chunks_mut(rows).zip(x.chunks_mut(rows * data.d0())).enumerate();
    let fill = |(index, (labels, x)): (usize, (&mut [i8], &mut [f32]))| {
        data.fill(executor, Draw { first_row: draw.first_row + index * rows, ..draw }, x, labels)
    };
    executor.for_each(shares, fill, workspace)
}

/// Turns weights into the observables of a [`Record`]. What it draws is addressed by the step: no record depends on others.
pub struct Observer<'s, T> {
    spec: &'s RunSpec,
    executor: Executor,
    initial: Vec<f32>,
    /// Weight of each feature in `Σ_core μ v` or `Σ_bg μ v`.
    mean: Vec<f64>,
    variance: Vec<f64>,
    squared_range: Vec<f64>,
    batch: Vec<f32>,
    wide_batch: Vec<T>,
    labels: Vec<i8>,
    output: Vec<T>,
    mask: Mask,
}

impl<'s, T: Real> Observer<'s, T> {
    /// For a run of `spec` that began at `initial`, `v⁽⁰⁾` in latent coordinates, \[m × d₀\].
    pub fn new(spec: &'s RunSpec, executor: Executor, initial: &[f32]) -> Self {
        let data = &spec.data;
        let moments: Vec<_> = data.core.moments().into_iter().chain(data.background.moments()).collect();
        let weights = spec.background_weights.as_ref().unwrap_or(&data.background);
        let mean = data.core.moments().iter().chain(&weights.moments()).map(|m| m.mean()).collect();
        let range = |group: &crate::FeatureGroup| -> Vec<f64> {
            (0..group.count).map(|j| group.law(j).support()).map(|(low, high)| (high - low).powi(2)).collect()
        };
        let chunk = spec.eval_samples.min(EVAL_CHUNK);
        Self {
            spec,
            executor,
            initial: initial.to_vec(),
            mean,
            variance: moments.iter().map(|m| m.variance()).collect(),
            squared_range: [range(&data.core), range(&data.background)].concat(),
            batch: vec![0.0; chunk * data.d0()],
            wide_batch: vec![],
            labels: vec![0; chunk],
            output: vec![T::ZERO; chunk],
            mask: Mask::new(chunk, spec.m),
        }
    }

    /// The observables of `run` now, without a probe.
    ///
    /// # Errors
    /// A weight or an output is non-finite.
    pub fn record(&mut self, run: &mut Training<'_, T>) -> Result<Record, SimulateError> {
        let step = run.step;
        Ok(self.observe(run, step)?.0)
    }

    /// The observables of `run` under the name of `step`, and the latent weights.
    fn observe(&mut self, run: &mut Training<'_, T>, step: u64) -> Result<(Record, Vec<T>), SimulateError> {
        let latent = run.latent_weights()?;
        if !latent.iter().all(|v| v.is_finite()) {
            return Err(SimulateError::NonFinite { step });
        }
        let active = run.active_fraction()?;
        let record = self.record_at(&run.network, &latent, (step, active), &mut run.workspace)?;
        Ok((record, latent))
    }

    fn record_at(
        &mut self,
        network: &Network<T>,
        latent: &[T],
        (step, active_fraction): (u64, f64),
        workspace: &mut Workspace,
    ) -> Result<Record, SimulateError> {
        let id = self.evaluate(network, latent, step, Domain::Id, workspace)?;
        let (ood, _) = self.evaluate(network, latent, step, Domain::Ood, workspace)?;
        Ok(self.assemble(&network.signs, latent, (step, active_fraction), id, ood))
    }

    /// The record of `step` from its weights, `[m × d₀]`, and from what was seen on the evaluation data.
    pub(crate) fn assemble(
        &self,
        signs: &[i8],
        latent: &[T],
        (step, active_fraction): (u64, f64),
        (id, active): (Evaluation, Activations),
        ood: Evaluation,
    ) -> Record {
        let mut neurons = self.sums(latent);
        // active[class][neuron] with class 0 for y = −1, 1 for y = +1.
        let by_class =
            |other: bool| signs.iter().enumerate().map(move |(k, &sign)| (usize::from((sign > 0) ^ other), k));
        neurons.own = Frequencies::measured(by_class(false).map(|(y, k)| (active.counts[y][k], active.totals[y])));
        neurons.other = Frequencies::measured(by_class(true).map(|(y, k)| (active.counts[y][k], active.totals[y])));
        let gated = |(y, k): (usize, usize)| active.gated[y][k] / (active.totals[y] as f64).max(1.0);
        neurons.own_gated = by_class(false).map(gated).collect();
        neurons.other_gated = by_class(true).map(gated).collect();
        let [core, background] = self.extremes(signs, latent, step);
        Record {
            step,
            neurons,
            id,
            ood,
            active_fraction,
            max_abs_core: core.max_abs,
            max_abs_background: background.max_abs,
            core_displacement: core.displacement,
            background_displacement: background.displacement,
            probe: None,
        }
    }

    /// `Σ_core μv`, `Σ_bg μv`, `Σ σ²v²` and `Σ range²v²` of every neuron.
    fn sums(&self, latent: &[T]) -> NeuronRecord {
        let (d0, d_core) = (self.spec.data.d0(), self.spec.data.core.count);
        let mut record = NeuronRecord::default();
        for v in latent.chunks_exact(d0) {
            let weighed = |range: std::ops::Range<usize>| -> f64 {
                v[range.clone()].iter().zip(&self.mean[range]).map(|(&v, mu)| v.into() * mu).sum()
            };
            let squared = |by: &[f64]| -> f64 { v.iter().zip(by).map(|(&v, by)| v.into().powi(2) * by).sum() };
            record.core.push(weighed(0..d_core));
            record.background.push(weighed(d_core..d0));
            record.variance.push(squared(&self.variance));
            record.squared_range.push(squared(&self.squared_range));
        }
        record
    }

    fn extremes(&self, signs: &[i8], latent: &[T], step: u64) -> [Extremes; 2] {
        let (d0, d_core) = (self.spec.data.d0(), self.spec.data.core.count);
        let decay = self.spec.decay(step);
        let mut extremes = [Extremes::default(), Extremes::default()];
        let rows = latent.chunks_exact(d0).zip(self.initial.chunks_exact(d0));
        for ((v, start), &sign) in rows.zip(signs) {
            for (j, (&v, &start)) in v.iter().zip(start).enumerate() {
                let displacement = f64::from(sign) * (v.into() - decay * f64::from(start));
                extremes[usize::from(j >= d_core)].include(v.into(), displacement);
            }
        }
        extremes
    }

    /// Risk, accuracy and activation counts on the fresh evaluation data of this step.
    fn evaluate(
        &mut self,
        network: &Network<T>,
        latent: &[T],
        step: u64,
        domain: Domain,
        workspace: &mut Workspace,
    ) -> Result<(Evaluation, Activations), SimulateError> {
        let (spec, d0) = (self.spec, self.spec.data.d0());
        let samples = match domain {
            Domain::Id => spec.eval_samples,
            Domain::Ood => spec.ood_samples(),
        };
        let mut losses = LossSums::default();
        let mut active = Activations::none(spec.m);
        let mut counts = vec![0u32; spec.m];
        for first_row in (0..samples).step_by(EVAL_CHUNK) {
            let rows = EVAL_CHUNK.min(samples - first_row);
            let (x, labels) = (&mut self.batch[..rows * d0], &mut self.labels[..rows]);
            let draw = Draw { seed: spec.seed, purpose: Purpose::Evaluate, domain, step, first_row };
            fill(&spec.data, self.executor, draw, x, labels, workspace)?;
            self.mask.resize(rows, spec.m);
            T::forward(
                self.executor,
                network.activation,
                MatRef::from_row_major(T::batch(x, &mut self.wide_batch), rows, d0)?,
                MatRef::from_row_major(latent, spec.m, d0)?,
                &network.a,
                &mut self.output[..rows],
                &mut self.mask,
                workspace,
            )?;
            for (&y, &h) in labels.iter().zip(&self.output) {
                if !h.is_finite() {
                    return Err(SimulateError::NonFinite { step });
                }
                losses.add(f64::from(y) * h.into());
            }
            if domain == Domain::Id {
                for (class, y) in [-1, 1].into_iter().enumerate() {
                    let words = |chosen: &dyn Fn(i8, T) -> bool| -> Vec<u64> {
                        labels
                            .chunks(BLOCK_ROWS)
                            .zip(self.output.chunks(BLOCK_ROWS))
                            .map(|(labels, outputs)| {
                                let rows = labels.iter().zip(outputs).enumerate();
                                rows.fold(0, |word, (r, (&l, &h))| word | u64::from(chosen(l, h)) << r)
                            })
                            .collect()
                    };
                    let of_class = words(&|label, _| label == y);
                    active.totals[class] += of_class.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
                    let gated = words(&|label, h| label == y && T::from(y) * h < T::ONE);
                    self.mask.active_counts(&of_class, &mut counts)?;
                    active.counts[class].iter_mut().zip(&counts).for_each(|(sum, &c)| *sum += u64::from(c));
                    self.mask.active_counts(&gated, &mut counts)?;
                    active.gated[class].iter_mut().zip(&counts).for_each(|(sum, &c)| *sum += f64::from(c));
                }
            }
        }
        Ok((losses.finish(), active))
    }
}

/// How often each neuron was active, by class.
pub(crate) struct Activations {
    pub(crate) counts: [Vec<u64>; 2],
    /// The same on examples in the hinge's linear part, `y h < 1`; in general, of the examples' weights in the gradient.
    pub(crate) gated: [Vec<f64>; 2],
    pub(crate) totals: [u64; 2],
}

impl Activations {
    pub(crate) fn none(m: usize) -> Self {
        Self { counts: [vec![0; m], vec![0; m]], gated: [vec![0.0; m], vec![0.0; m]], totals: [0; 2] }
    }
}

/// Extremes over a block of features.
struct Extremes {
    max_abs: f64,
    displacement: (f64, f64),
}

impl Default for Extremes {
    fn default() -> Self {
        Self { max_abs: 0.0, displacement: (f64::INFINITY, f64::NEG_INFINITY) }
    }
}

impl Extremes {
    fn include(&mut self, v: f64, displacement: f64) {
        self.max_abs = self.max_abs.max(v.abs());
        self.displacement = (self.displacement.0.min(displacement), self.displacement.1.max(displacement));
    }
}

/// Running sums of the hinge loss. Losses are of order 1, so their plain sums of squares lose nothing that shows.
#[derive(Default)]
pub(crate) struct LossSums {
    samples: u64,
    loss: f64,
    squared: f64,
    margin: f64,
    correct: u64,
    max_margin: f64,
}

impl LossSums {
    pub(crate) fn add(&mut self, margin: f64) {
        let loss = (1.0 - margin).max(0.0);
        self.max_margin = if self.samples == 0 { margin } else { self.max_margin.max(margin) };
        self.samples += 1;
        self.loss += loss;
        self.squared += loss * loss;
        self.margin += margin;
        self.correct += u64::from(margin > 0.0);
    }

    pub(crate) fn finish(self) -> Evaluation {
        let n = self.samples as f64;
        let risk = self.loss / n;
        Evaluation {
            samples: self.samples,
            risk,
            risk_variance: ((self.squared - n * risk * risk) / (n - 1.0).max(1.0)).max(0.0),
            accuracy: self.correct as f64 / n,
            margin: self.margin / n,
            max_margin: self.max_margin,
        }
    }
}
