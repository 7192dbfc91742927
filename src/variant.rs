//! Departures from the paper's assumptions, and a general, slower simulator that carries them out.
//!
//! A run whose [`RunSpec::variant`](crate::RunSpec::variant) is set leaves the same [`Trajectory`] as a plain one, so that
//! whatever judges plain runs judges it unchanged. Two dense products a step and plain loops stand where the plain
//! simulator has fused passes; without a switch it gives the plain simulator's trajectory to rounding (a test).

use feature_contamination_kernels::{Activation, Executor, MatMut, MatRef, ShapeError, Workspace};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::data::{Domain, Draw, Purpose};
use crate::error::SpecError;
use crate::mlp::Loss;
use crate::network::{draw_signs, gaussian_rows};
use crate::precision::Real;
use crate::rng::{BLOCK_ROWS, Stream, stream};
use crate::simulate::{Activations, LossSums, Observer, SimulateError, fill};
use crate::spec::{Coordinates, EVAL_CHUNK, Labels, RunSpec};
use crate::trajectory::{Evaluation, Record, Trajectory};

/// What is otherwise than in the paper; [`Variant::default`] departs in nothing.
///
/// With `x = M x̃` and the output `h(x) = Σ_k a_k act(⟨w_k,x⟩ + b_k)`, a step is, on a batch of `N`,
///
/// ```text
/// g_k = (κ a_k/N) Σ_i −∂ℓ/∂h(h(x_i), y_i) act'(⟨w_k,x_i⟩ + b_k) x_i,
/// u_k ← β u_k + g_k − λ w_k,   w_k ← w_k + η ρ u_k,
/// ```
///
/// and likewise for `b_k`, and for `a_k` with a rate of its own. `κ` and `ρ` are 1 unless `rescaled`. Derived: which
/// assumption matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    /// The loss `ℓ` that is trained on; risks are mean hinge losses whatever it is.
    pub loss: Loss,
    /// `β`, as PyTorch's SGD has it: decay is part of the gradient, and nothing damps it.
    pub momentum: f64,
    /// `η_a/η`: the output weights are trained at this multiple of the step size, and decay with it; 0 freezes them. A
    /// neuron's own label is the sign that its output weight starts with.
    pub output_rate: f64,
    /// Neurons have biases, trained like the other weights from 0. No observable but activations and outputs has them in it.
    pub biases: bool,
    /// The dictionary.
    pub dictionary: Dictionary,
    /// Probability that training sees an example's label inverted; risks and activations are by the true one.
    pub label_noise: f64,
    /// `Pr[y = +1]`, in training and evaluation.
    pub positive: f64,
    /// The loss is divided by `|∂ℓ/∂h|` at `h = 0` and by `1 − 2 label_noise`, and the step size multiplied by `1 − β`: in
    /// time so rescaled the first gradient is the plain run's.
    pub rescaled: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            loss: Loss::Hinge,
            momentum: 0.0,
            output_rate: 0.0,
            biases: false,
            dictionary: Dictionary::Orthonormal,
            label_noise: 0.0,
            positive: 0.5,
            rescaled: false,
        }
    }
}

/// The features' directions, unit vectors `m_j`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Dictionary {
    /// `⟨m_i,m_j⟩ = 0`, as in the paper.
    Orthonormal,
    /// Independent and uniform on the unit sphere of so many dimensions: overlaps of mean 0 and deviation
    /// `dimensions^(−1/2)`.
    Random {
        /// Dimensions, at least 1.
        dimensions: usize,
    },
    /// `⟨m_i,m_j⟩` is one number for every pair.
    Equal {
        /// That number, at least 0 and below 1.
        overlap: f64,
    },
}

impl Dictionary {
    /// `M`, `[r × d₀]`, row-major, in coordinates of a space that holds every `m_j`; `None` for the identity.
    ///
    /// Equal overlaps `o`: `M = √(1−o) I + c 11ᵀ`, the symmetric root of `(1−o) I + o 11ᵀ`, with
    /// `c = (√(1+(d₀−1)o) − √(1−o))/d₀`.
    pub fn matrix(self, seed: u64, d0: usize) -> Option<Vec<f64>> {
        match self {
            Self::Orthonormal => None,
            Self::Random { dimensions } => {
                let mut rng = stream(seed, Stream::Dictionary, 0, 1);
                let mut m: Vec<f64> = (0..dimensions * d0).map(|_| StandardNormal.sample(&mut rng)).collect();
                for j in 0..d0 {
                    let norm = m.iter().skip(j).step_by(d0).map(|x| x * x).sum::<f64>().sqrt();
                    m.iter_mut().skip(j).step_by(d0).for_each(|x| *x /= norm);
                }
                Some(m)
            }
            Self::Equal { overlap } => {
                let diagonal = (1.0 - overlap).sqrt();
                let common = ((1.0 + (d0 as f64 - 1.0) * overlap).sqrt() - diagonal) / d0 as f64;
                let entry = |at: usize| if at / d0 == at % d0 { diagonal + common } else { common };
                Some((0..d0 * d0).map(entry).collect())
            }
        }
    }
}

/// `G = MᵀM`, `[d₀ × d₀]`.
fn gram(m: &[f64], d0: usize) -> Vec<f64> {
    let mut gram = vec![0.0; d0 * d0];
    for row in m.chunks_exact(d0) {
        for (out, &a) in gram.chunks_exact_mut(d0).zip(row) {
            out.iter_mut().zip(row).for_each(|(g, b)| *g += a * b);
        }
    }
    gram
}

impl Variant {
    /// `|∂ℓ/∂h|` at `h = 0`.
    pub fn slope(&self) -> f64 {
        pull(self.loss, 0.0)
    }

    /// By how much slower than the plain run's the first steps are on average, beyond the first `1/(1−β)` of them:
    /// `(1−β)/(|∂ℓ/∂h|(1−2 label_noise))`. [`Variant::rescaled`] makes up for it.
    pub fn slowdown(&self) -> f64 {
        (1.0 - self.momentum) / (self.slope() * (1.0 - 2.0 * self.label_noise))
    }

    /// `κ` and `ρ`.
    fn scales(&self) -> (f64, f64) {
        if self.rescaled {
            (1.0 / (self.slope() * (1.0 - 2.0 * self.label_noise)), 1.0 - self.momentum)
        } else {
            (1.0, 1.0)
        }
    }

    /// What an example of margin `y h` adds to a gradient on average over the label noise, in units of what it adds at
    /// `h = 0`: `1[y h < 1]` for the hinge.
    fn weight(&self, margin: f64) -> f64 {
        let noise = self.label_noise;
        let mean = (1.0 - noise) * pull(self.loss, margin) - noise * pull(self.loss, -margin);
        mean / (self.slope() * (1.0 - 2.0 * noise))
    }

    /// Checks every field, and that the run is one that this simulator carries out.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what would be right.
    pub(crate) fn validate(&self, spec: &RunSpec) -> Result<(), SpecError> {
        let within = |field: &str, value: f64, low: f64, high: f64| {
            if (low..high).contains(&value) {
                return Ok(());
            }
            Err(SpecError::new(format!("variant.{field}"), value, format!("at least {low} and below {high}")))
        };
        within("momentum", self.momentum, 0.0, 1.0)?;
        within("output_rate", self.output_rate, 0.0, f64::INFINITY)?;
        within("label_noise", self.label_noise, 0.0, 0.5)?;
        within("positive", self.positive, 0.5, 1.0)?;
        match self.dictionary {
            Dictionary::Orthonormal => {}
            Dictionary::Equal { overlap } => within("dictionary.overlap", overlap, 0.0, 1.0)?,
            Dictionary::Random { dimensions } => {
                if dimensions == 0 || dimensions as u64 > spec.d {
                    let expected = format!("at least 1 and at most d = {}", spec.d);
                    return Err(SpecError::new("variant.dictionary.dimensions", dimensions, expected));
                }
            }
        }
        if spec.coordinates != Coordinates::Latent {
            return Err(SpecError::new("coordinates", "ambient", "latent where a variant is set"));
        }
        if spec.labels != Labels::True {
            return Err(SpecError::new("labels", "shuffled", "true where a variant is set"));
        }
        if spec.probe {
            return Err(SpecError::new("probe", "true", "false where a variant is set"));
        }
        Ok(())
    }
}

/// `−y ∂ℓ/∂h` at the margin `y h`: how hard an example pulls.
fn pull(loss: Loss, margin: f64) -> f64 {
    -loss.derivative(margin, 1.0)
}

/// Carries out a run that has a variant, `spec` being valid.
pub(crate) fn simulate_in<T: Real>(
    spec: &RunSpec,
    variant: &Variant,
    executor: Executor,
) -> Result<Trajectory, SimulateError> {
    let mut run = State::<T>::new(spec, variant, executor);
    let initial: Vec<f32> = run.latent().iter().map(|&v| v.into() as f32).collect();
    let mut observer = Observer::<T>::new(spec, executor, &initial);
    let mut records = Vec::with_capacity(spec.record_steps.len());
    for &step in &spec.record_steps {
        while run.step < step {
            run.advance()?;
        }
        records.push(run.record(&mut observer)?);
    }
    while run.step < spec.steps {
        run.advance()?;
    }
    Ok(Trajectory { spec: spec.clone(), signs: run.signs, initial, records })
}

/// A network in training.
struct State<'s, T> {
    spec: &'s RunSpec,
    variant: &'s Variant,
    executor: Executor,
    /// `sign a_k` at the start.
    signs: Vec<i8>,
    a: Vec<f64>,
    /// `v_k = Mᵀ w_k`, and `b_k` behind it if there are biases: `[m × width]`.
    weights: Vec<T>,
    width: usize,
    /// Velocities of both.
    velocity: Vec<f64>,
    output_velocity: Vec<f64>,
    gram: Option<Vec<T>>,
    /// Steps taken.
    step: u64,
    /// Mean of [`Variant::weight`] over the batch last seen.
    active: Option<f64>,
    batch: Batch<T>,
    workspace: Workspace,
}

/// Examples, and what the network makes of them.
#[derive(Default)]
struct Batch<T> {
    drawn: Vec<f32>,
    /// `[rows × width]`.
    x: Vec<T>,
    labels: Vec<i8>,
    /// Pre-activations `[rows × m]`, and then what each example adds to each neuron's gradient.
    pre: Vec<T>,
    output: Vec<f64>,
}

impl<'s, T: Real> State<'s, T> {
    fn new(spec: &'s RunSpec, variant: &'s Variant, executor: Executor) -> Self {
        let (m, d0) = (spec.m, spec.data.d0());
        let width = d0 + usize::from(variant.biases);
        let signs = draw_signs(spec.seed, m);
        let scale = 1.0 / (spec.d as f64).sqrt();
        let dictionary = variant.dictionary.matrix(spec.seed, d0);
        let dimensions = dictionary.as_ref().map_or(d0, |m| m.len() / d0);
        let start = gaussian_rows(spec.seed, Stream::Init, m, dimensions, scale);
        let mut weights = vec![T::ZERO; m * width];
        for (v, w) in weights.chunks_exact_mut(width).zip(start.chunks_exact(dimensions)) {
            match &dictionary {
                None => v.iter_mut().zip(w).for_each(|(v, &w)| *v = T::nearest(f64::from(w as f32))),
                Some(dictionary) => {
                    // v = Mᵀ w.
                    let mut sums = vec![0.0; d0];
                    for (row, w) in dictionary.chunks_exact(d0).zip(w) {
                        sums.iter_mut().zip(row).for_each(|(sum, m)| *sum += w * m);
                    }
                    v.iter_mut().zip(&sums).for_each(|(v, &sum)| *v = T::nearest(sum));
                }
            }
        }
        let gram = dictionary.map(|m| gram(&m, d0).into_iter().map(T::nearest).collect());
        Self {
            a: signs.iter().map(|&sign| f64::from(sign) / m as f64).collect(),
            velocity: vec![0.0; m * width],
            output_velocity: vec![0.0; m],
            batch: Batch::default(),
            workspace: Workspace::new(),
            step: 0,
            active: None,
            spec,
            variant,
            executor,
            signs,
            weights,
            width,
            gram,
        }
    }

    /// `V`, `[m × d₀]`, without the biases.
    fn latent(&self) -> Vec<T> {
        let d0 = self.spec.data.d0();
        self.weights.chunks_exact(self.width).flat_map(|row| &row[..d0]).copied().collect()
    }

    /// Draws `rows` examples; pre-activations and outputs follow.
    fn forward(&mut self, draw: Draw, rows: usize) -> Result<(), SimulateError> {
        let (spec, d0, m, width) = (self.spec, self.spec.data.d0(), self.spec.m, self.width);
        let Batch { drawn, x, labels, pre, output } = &mut self.batch;
        drawn.resize(rows * d0, 0.0);
        labels.resize(rows, 0);
        fill(&spec.data, self.executor, draw, drawn, labels, &mut self.workspace)?;
        if self.variant.positive > 0.5 {
            favour(spec, self.variant.positive, draw, drawn, labels);
        }
        x.clear();
        for row in drawn.chunks_exact(d0) {
            x.extend(row.iter().map(|&x| T::nearest(f64::from(x))));
            x.extend(self.variant.biases.then_some(T::ONE));
        }
        pre.resize(rows * m, T::ZERO);
        self.executor.gemm(
            T::ONE,
            MatRef::from_row_major(x, rows, width)?,
            MatRef::from_row_major(&self.weights, m, width)?.t(),
            T::ZERO,
            MatMut::from_row_major(pre, rows, m)?,
            &mut self.workspace,
        )?;
        let relu = spec.activation == Activation::Relu;
        output.clear();
        output.extend(pre.chunks_exact(m).map(|pre| {
            let act = |s: f64| if relu && s < 0.0 { 0.0 } else { s };
            pre.iter().zip(&self.a).map(|(&s, a)| a * act(s.into())).sum::<f64>()
        }));
        if !output.iter().all(|h| h.is_finite()) {
            return Err(SimulateError::NonFinite { step: self.step });
        }
        Ok(())
    }

    /// The batch of this step; returns the mean weight of its examples.
    fn see(&mut self) -> Result<f64, SimulateError> {
        let seed = self.spec.seed;
        let draw = Draw { seed, purpose: Purpose::Train, domain: Domain::Id, step: self.step, first_row: 0 };
        self.forward(draw, self.spec.batch)?;
        let margins = self.batch.labels.iter().zip(&self.batch.output).map(|(&y, &h)| f64::from(y) * h);
        let active = margins.map(|margin| self.variant.weight(margin)).sum::<f64>() / self.spec.batch as f64;
        self.active = Some(active);
        Ok(active)
    }

    fn advance(&mut self) -> Result<(), SimulateError> {
        self.see()?;
        if !self.spec.frozen {
            self.descend()?;
        }
        self.step += 1;
        Ok(())
    }

    fn descend(&mut self) -> Result<(), ShapeError> {
        let (spec, variant) = (self.spec, self.variant);
        let (n, m, d0, width) = (spec.batch, spec.m, spec.data.d0(), self.width);
        let relu = spec.activation == Activation::Relu;
        let (kappa, rho) = variant.scales();
        let Batch { x, labels, pre, output, .. } = &mut self.batch;
        if variant.label_noise > 0.0 {
            misread(spec, variant.label_noise, self.step, labels);
        }
        // −∂ℓ/∂h of every example, 1[s ≥ 0] times it in the place of every pre-activation.
        let mut outward = vec![0.0; m];
        for ((pre, &y), &h) in pre.chunks_exact_mut(m).zip(&*labels).zip(&*output) {
            let force = f64::from(y) * pull(variant.loss, f64::from(y) * h);
            let pass = T::nearest(force);
            for (s, sum) in pre.iter_mut().zip(&mut outward) {
                let gated = relu && *s < T::ZERO;
                *sum += if gated { 0.0 } else { force * (*s).into() };
                *s = if gated { T::ZERO } else { pass };
            }
        }
        let mut gradient = vec![T::ZERO; m * width];
        self.executor.gemm(
            T::nearest(kappa / n as f64),
            MatRef::from_row_major(pre, n, m)?.t(),
            MatRef::from_row_major(x, n, width)?,
            T::ZERO,
            MatMut::from_row_major(&mut gradient, m, width)?,
            &mut self.workspace,
        )?;
        if let Some(gram) = &self.gram {
            // x = M x̃, so that Mᵀ x = G x̃; a bias has no direction.
            let latent: Vec<T> = gradient.chunks_exact(width).flat_map(|row| &row[..d0]).copied().collect();
            self.executor.gemm(
                T::ONE,
                MatRef::from_row_major(&latent, m, d0)?,
                MatRef::from_row_major(gram, d0, d0)?,
                T::ZERO,
                MatMut::from_slice_with_strides(&mut gradient, m, d0, width, 1)?,
                &mut self.workspace,
            )?;
        }
        let (rate, decay, beta) = (rho * spec.learning_rate, spec.weight_decay, variant.momentum);
        let rows = self.weights.chunks_exact_mut(width).zip(self.velocity.chunks_exact_mut(width));
        for ((rows, gradient), a) in rows.zip(gradient.chunks_exact(width)).zip(&self.a) {
            for ((w, u), &g) in rows.0.iter_mut().zip(rows.1).zip(gradient) {
                let value: f64 = (*w).into();
                *u = beta * *u + a * g.into() - decay * value;
                *w = T::nearest(value + rate * *u);
            }
        }
        if variant.output_rate > 0.0 {
            for ((a, u), sum) in self.a.iter_mut().zip(&mut self.output_velocity).zip(&outward) {
                *u = beta * *u + kappa * sum / n as f64 - decay * *a;
                *a += variant.output_rate * rate * *u;
            }
        }
        Ok(())
    }

    fn record(&mut self, observer: &mut Observer<'_, T>) -> Result<Record, SimulateError> {
        let active = match self.active {
            Some(active) => active,
            None => self.see()?,
        };
        let latent = self.latent();
        if !latent.iter().all(|v| v.is_finite()) || !self.a.iter().all(|a| a.is_finite()) {
            return Err(SimulateError::NonFinite { step: self.step });
        }
        let (id, activations) = self.evaluate(Domain::Id)?;
        let (ood, _) = self.evaluate(Domain::Ood)?;
        Ok(observer.assemble(&self.signs, &latent, (self.step, active), (id, activations), ood))
    }

    /// Risk, accuracy and activations on the fresh evaluation data of this step.
    fn evaluate(&mut self, domain: Domain) -> Result<(Evaluation, Activations), SimulateError> {
        let (spec, m) = (self.spec, self.spec.m);
        let samples = match domain {
            Domain::Id => spec.eval_samples,
            Domain::Ood => spec.ood_samples(),
        };
        let relu = spec.activation == Activation::Relu;
        let mut losses = LossSums::default();
        let mut activations = Activations::none(m);
        for first_row in (0..samples).step_by(EVAL_CHUNK) {
            let rows = EVAL_CHUNK.min(samples - first_row);
            let draw = Draw { seed: spec.seed, purpose: Purpose::Evaluate, domain, step: self.step, first_row };
            self.forward(draw, rows)?;
            let Batch { labels, pre, output, .. } = &self.batch;
            for ((pre, &y), &h) in pre.chunks_exact(m).zip(labels).zip(output) {
                let margin = f64::from(y) * h;
                losses.add(margin);
                let (class, weight) = (usize::from(y > 0), self.variant.weight(margin));
                activations.totals[class] += 1;
                let sums = activations.counts[class].iter_mut().zip(&mut activations.gated[class]);
                for ((count, gated), &s) in sums.zip(pre) {
                    let fires = !(relu && s < T::ZERO);
                    *count += u64::from(fires);
                    *gated += if fires { weight } else { 0.0 };
                }
            }
        }
        Ok((losses.finish(), activations))
    }
}

/// Turns examples of the label −1 into their mirror images of the label +1, so many that `Pr[y = +1] = positive`.
fn favour(spec: &RunSpec, positive: f64, draw: Draw, x: &mut [f32], labels: &mut [i8]) {
    let (d0, d_core) = (spec.data.d0(), spec.data.core.count);
    let name = match draw.purpose {
        Purpose::Train => Stream::TrainClass,
        Purpose::Evaluate => Stream::EvalClass,
    };
    let turned = 2.0 * positive - 1.0;
    let blocks = x.chunks_mut(BLOCK_ROWS * d0).zip(labels.chunks_mut(BLOCK_ROWS)).enumerate();
    for (index, (x, labels)) in blocks {
        let mut rng = stream(draw.seed, name, draw.step, (draw.first_row / BLOCK_ROWS + index) as u64);
        for (x, y) in x.chunks_exact_mut(d0).zip(labels) {
            if rng.random::<f64>() < turned && *y < 0 {
                *y = 1;
                x[..d_core].iter_mut().for_each(|x| *x = -*x);
            }
        }
    }
}

/// Inverts labels with probability `noise`.
fn misread(spec: &RunSpec, noise: f64, step: u64, labels: &mut [i8]) {
    for (block, labels) in labels.chunks_mut(BLOCK_ROWS).enumerate() {
        let mut rng = stream(spec.seed, Stream::LabelNoise, step, block as u64);
        labels.iter_mut().for_each(|y| *y = if rng.random::<f64>() < noise { -*y } else { *y });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Precision, simulate};

    fn executor() -> Executor {
        Executor::detect().unwrap()
    }

    /// A small run whose hinge gates within its steps, with weight decay.
    fn small() -> RunSpec {
        RunSpec {
            batch: 150,
            learning_rate: 4.0,
            weight_decay: 0.01,
            steps: 30,
            record_steps: vec![0, 1, 10, 30],
            eval_samples: 700,
            ..RunSpec::uniform(5, 4, 50, 9)
        }
    }

    fn with(variant: Variant) -> RunSpec {
        RunSpec { variant: Some(variant), ..small() }
    }

    #[test]
    fn without_a_switch_it_is_the_plain_run() {
        for precision in [Precision::Single, Precision::Double] {
            for activation in [Activation::Relu, Activation::Identity] {
                for frozen in [false, true] {
                    let plain = RunSpec { precision, activation, frozen, ..small() };
                    let general = RunSpec { variant: Some(Variant::default()), ..plain.clone() };
                    let (a, b) = (simulate(&plain, executor()).unwrap(), simulate(&general, executor()).unwrap());
                    assert_eq!((&a.signs, &a.initial), (&b.signs, &b.initial));
                    let tolerance = if precision == Precision::Single { 1e-5 } else { 1e-13 };
                    let close = |a: f64, b: f64| assert!((a - b).abs() < tolerance, "{a} {b}");
                    let all = |a: &[f64], b: &[f64]| {
                        assert_eq!(a.len(), b.len());
                        a.iter().zip(b).for_each(|(&a, &b)| close(a, b));
                    };
                    for (a, b) in a.records.iter().zip(&b.records) {
                        let (p, q) = (&a.neurons, &b.neurons);
                        all(&p.core, &q.core);
                        all(&p.background, &q.background);
                        all(&p.variance, &q.variance);
                        all(&p.squared_range, &q.squared_range);
                        assert_eq!((&p.own, &p.other), (&q.own, &q.other), "no example lies on a threshold");
                        all(&p.own_gated, &q.own_gated);
                        all(&p.other_gated, &q.other_gated);
                        for (a, b) in [(a.id, b.id), (a.ood, b.ood)] {
                            assert_eq!((a.samples, a.accuracy), (b.samples, b.accuracy));
                            all(&[a.risk, a.risk_variance, a.margin], &[b.risk, b.risk_variance, b.margin]);
                            close(a.max_margin, b.max_margin);
                        }
                        close(a.active_fraction, b.active_fraction);
                        close(a.max_abs_core, b.max_abs_core);
                        close(a.max_abs_background, b.max_abs_background);
                        close(a.core_displacement.0, b.core_displacement.0);
                        close(a.background_displacement.1, b.background_displacement.1);
                        assert_eq!(a.step, b.step);
                    }
                    // The test means something where the hinge gates.
                    assert!(frozen || a.records[3].active_fraction < 1.0);
                }
            }
        }
    }

    /// The run in ambient coordinates, `w ∈ R^r` with `x = M x̃`, read off the page.
    struct Page {
        m: Vec<f64>,
        w: Vec<Vec<f64>>,
        b: Vec<f64>,
        a: Vec<f64>,
        velocity: Vec<Vec<f64>>,
        b_velocity: Vec<f64>,
        a_velocity: Vec<f64>,
    }

    impl Page {
        fn new(spec: &RunSpec, variant: &Variant) -> Self {
            let d0 = spec.data.d0();
            let identity = || (0..d0 * d0).map(|at| if at / d0 == at % d0 { 1.0 } else { 0.0 }).collect();
            let m: Vec<f64> = variant.dictionary.matrix(spec.seed, d0).unwrap_or_else(identity);
            let r = m.len() / d0;
            let start = gaussian_rows(spec.seed, Stream::Init, spec.m, r, 1.0 / (spec.d as f64).sqrt());
            Self {
                w: start.chunks(r).map(<[f64]>::to_vec).collect(),
                b: vec![0.0; spec.m],
                a: draw_signs(spec.seed, spec.m).iter().map(|&s| f64::from(s) / spec.m as f64).collect(),
                velocity: vec![vec![0.0; r]; spec.m],
                b_velocity: vec![0.0; spec.m],
                a_velocity: vec![0.0; spec.m],
                m,
            }
        }

        fn step(&mut self, spec: &RunSpec, variant: &Variant, step: u64) {
            let (n, d0, r) = (spec.batch, spec.data.d0(), self.w[0].len());
            let (mut x, mut y) = (vec![0.0; n * d0], vec![0; n]);
            let draw = Draw { seed: spec.seed, purpose: Purpose::Train, domain: Domain::Id, step, first_row: 0 };
            spec.data.fill(executor(), draw, &mut x, &mut y).unwrap();
            favour(spec, variant.positive, draw, &mut x, &mut y);
            misread(spec, variant.label_noise, step, &mut y);
            let (mut gw, mut gb, mut ga) = (vec![vec![0.0; r]; spec.m], vec![0.0; spec.m], vec![0.0; spec.m]);
            for (latent, &y) in x.chunks(d0).zip(&y) {
                let dot = |row: &[f64], v: &[f32]| row.iter().zip(v).map(|(a, &b)| a * f64::from(b)).sum::<f64>();
                let x: Vec<f64> = self.m.chunks(d0).map(|row| dot(row, latent)).collect();
                let s = |k: usize| self.w[k].iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() + self.b[k];
                let h: f64 = (0..spec.m).map(|k| self.a[k] * s(k).max(0.0)).sum();
                let y = f64::from(y);
                // −∂ℓ/∂h.
                let force = match variant.loss {
                    Loss::Hinge => {
                        if y * h < 1.0 {
                            y
                        } else {
                            0.0
                        }
                    }
                    Loss::Logistic => y / (1.0 + (y * h).exp()),
                    Loss::Mse => 2.0 * (y - h),
                };
                for k in (0..spec.m).filter(|&k| s(k) >= 0.0) {
                    ga[k] += force * s(k) / n as f64;
                    gb[k] += force * self.a[k] / n as f64;
                    gw[k].iter_mut().zip(&x).for_each(|(g, x)| *g += force * self.a[k] * x / n as f64);
                }
            }
            let (mut kappa, mut rate) = (1.0, spec.learning_rate);
            if variant.rescaled {
                let slope = match variant.loss {
                    Loss::Hinge => 1.0,
                    Loss::Logistic => 0.5,
                    Loss::Mse => 2.0,
                };
                kappa = 1.0 / slope / (1.0 - 2.0 * variant.label_noise);
                rate *= 1.0 - variant.momentum;
            }
            let update = |w: &mut f64, u: &mut f64, g: f64, rate: f64| {
                *u = variant.momentum * *u + kappa * g - spec.weight_decay * *w;
                *w += rate * *u;
            };
            for k in 0..spec.m {
                for ((w, velocity), &g) in self.w[k].iter_mut().zip(&mut self.velocity[k]).zip(&gw[k]).take(r) {
                    update(w, velocity, g, rate);
                }
                if variant.biases {
                    update(&mut self.b[k], &mut self.b_velocity[k], gb[k], rate);
                }
                if variant.output_rate > 0.0 {
                    update(&mut self.a[k], &mut self.a_velocity[k], ga[k], variant.output_rate * rate);
                }
            }
        }
    }

    #[test]
    fn every_switch_is_the_one_on_the_page() {
        let plain = Variant::default;
        let variants = [
            Variant { loss: Loss::Logistic, ..plain() },
            Variant { loss: Loss::Mse, rescaled: true, ..plain() },
            Variant { momentum: 0.8, rescaled: true, ..plain() },
            Variant { momentum: 0.5, biases: true, ..plain() },
            Variant { output_rate: 0.3, ..plain() },
            Variant { output_rate: 1.0, momentum: 0.3, ..plain() },
            Variant { biases: true, ..plain() },
            Variant { dictionary: Dictionary::Random { dimensions: 20 }, ..plain() },
            Variant { dictionary: Dictionary::Random { dimensions: 7 }, biases: true, ..plain() },
            Variant { dictionary: Dictionary::Equal { overlap: 0.2 }, ..plain() },
            Variant { label_noise: 0.2, rescaled: true, ..plain() },
            Variant { positive: 0.8, ..plain() },
            Variant {
                loss: Loss::Logistic,
                momentum: 0.4,
                output_rate: 0.1,
                biases: true,
                dictionary: Dictionary::Equal { overlap: 0.1 },
                label_noise: 0.1,
                positive: 0.6,
                rescaled: true,
            },
        ];
        for variant in variants {
            let spec = RunSpec { precision: Precision::Double, ..with(variant.clone()) };
            spec.validate().unwrap();
            let d0 = spec.data.d0();
            let mut run = State::<f64>::new(&spec, &variant, executor());
            let mut page = Page::new(&spec, &variant);
            for step in 0..=spec.steps {
                for k in 0..spec.m {
                    let row = &run.weights[k * run.width..];
                    for (j, entry) in row.iter().enumerate().take(d0) {
                        let v: f64 = page.w[k].iter().zip(page.m[j..].iter().step_by(d0)).map(|(w, m)| w * m).sum();
                        // The plain start is rounded to single precision; else rounding alone.
                        assert!((v - entry).abs() < 1e-7, "{variant:?} step {step}: {v} ≠ {entry}");
                    }
                    assert!(!variant.biases || (row[d0] - page.b[k]).abs() < 1e-7, "{variant:?}");
                    assert!((run.a[k] - page.a[k]).abs() < 1e-7, "{variant:?}");
                }
                run.advance().unwrap();
                page.step(&spec, &variant, step);
            }
            let moved = |switch: bool, moved: bool| assert_eq!(switch, moved, "{variant:?}");
            moved(variant.output_rate > 0.0, run.a[0].abs() != 1.0 / spec.m as f64);
            assert!(run.active.unwrap() < 0.99, "{variant:?}: the loss must let go for the test to mean something");
        }
    }

    #[test]
    fn dictionaries_have_unit_columns_with_the_overlaps_that_are_asked_for() {
        let d0 = 12;
        let equal = gram(&Dictionary::Equal { overlap: 0.3 }.matrix(1, d0).unwrap(), d0);
        for (at, g) in equal.iter().enumerate() {
            let expected = if at / d0 == at % d0 { 1.0 } else { 0.3 };
            assert!((g - expected).abs() < 1e-14);
        }
        let dimensions = 50;
        let squares: Vec<f64> = (0..40)
            .map(|seed| {
                let random = gram(&Dictionary::Random { dimensions }.matrix(seed, d0).unwrap(), d0);
                assert!((0..d0).all(|j| (random[j * d0 + j] - 1.0).abs() < 1e-14));
                random.iter().map(|g| g * g).sum::<f64>() - d0 as f64
            })
            .collect();
        let mean = squares.iter().sum::<f64>() / (40 * d0 * (d0 - 1)) as f64;
        // 40 · 66 pairs, each square of relative deviation √2.
        assert!((mean * dimensions as f64 - 1.0).abs() < 5.0 * 2f64.sqrt() / (40.0 * 66.0_f64).sqrt(), "{mean}");
        assert_eq!(Dictionary::Orthonormal.matrix(1, d0), None);
    }

    #[test]
    fn classes_and_labels_have_the_frequencies_that_are_asked_for() {
        let spec = small();
        let (n, d0) = (64 * 300, spec.data.d0());
        let (mut x, mut y) = (vec![0.0; n * d0], vec![0; n]);
        let draw = Draw { seed: 3, purpose: Purpose::Train, domain: Domain::Id, step: 0, first_row: 0 };
        spec.data.fill(executor(), draw, &mut x, &mut y).unwrap();
        favour(&spec, 0.7, draw, &mut x, &mut y);
        let share = |y: &[i8]| y.iter().filter(|&&y| y > 0).count() as f64 / n as f64;
        // Five standard errors of 1/(2√n).
        assert!((share(&y) - 0.7).abs() < 0.02, "{}", share(&y));
        for (x, &y) in x.chunks(d0).zip(&y) {
            assert!(x[..5].iter().all(|&x| x * f32::from(y) >= 0.0) && x[5..].iter().all(|&x| x >= 0.0));
        }
        let mut read = y.clone();
        misread(&spec, 0.1, 5, &mut read);
        let wrong = y.iter().zip(&read).filter(|(a, b)| a != b).count() as f64 / n as f64;
        assert!((wrong - 0.1).abs() < 0.011, "{wrong}");
    }

    /// Draws at other steps, and of the rows of another share, are other draws: they do not repeat.
    #[test]
    fn classes_and_misread_labels_are_drawn_anew_at_every_step_and_for_every_block() {
        let spec = small();
        let turned = |step: u64, first_row: usize| {
            let (mut x, mut y) = (vec![0.0; 64 * spec.data.d0()], vec![-1; 64]);
            let draw = Draw { seed: 3, purpose: Purpose::Evaluate, domain: Domain::Id, step, first_row };
            favour(&spec, 0.75, draw, &mut x, &mut y);
            y
        };
        let misread = |step: u64| {
            let mut y = vec![1; 128];
            misread(&spec, 0.5, step, &mut y);
            y
        };
        assert_eq!((turned(3, 0), misread(3)), (turned(3, 0), misread(3)));
        // Half of 64: two draws are the same with probability 2^-64.
        assert_ne!(turned(3, 0), turned(4, 0));
        assert_ne!(turned(3, 0), turned(3, 64));
        assert_ne!(misread(3), misread(4));
        assert_ne!(misread(3)[..64], misread(3)[64..]);
    }

    /// `Variant::weight` by hand: of hinge and logistic loss, with and without noise, whose wrong labels pull the other way.
    #[test]
    fn an_examples_weight_is_what_it_adds_on_average_beside_one_at_the_start() {
        let weight = |loss, label_noise, margin| Variant { loss, label_noise, ..Variant::default() }.weight(margin);
        for noise in [0.0, 0.1, 0.3] {
            for loss in Loss::ALL {
                assert!((weight(loss, noise, 0.0) - 1.0).abs() < 1e-15, "{loss:?}, {noise}");
            }
            // Beyond the hinge a right label pulls no more; a wrong one does, and pulls back.
            assert!((weight(Loss::Hinge, noise, 2.0) + noise / (1.0 - 2.0 * noise)).abs() < 1e-15);
            assert!((weight(Loss::Hinge, noise, -2.0) - (1.0 - noise) / (1.0 - 2.0 * noise)).abs() < 1e-15);
            let (right, wrong) = (1.0 / (1.0 + 1.5f64.exp()), 1.0 / (1.0 + (-1.5f64).exp()));
            let expected = 2.0 * ((1.0 - noise) * right - noise * wrong) / (1.0 - 2.0 * noise);
            assert!((weight(Loss::Logistic, noise, 1.5) - expected).abs() < 1e-14, "{noise}");
        }
    }

    /// Before anything gates, the expected step of logistic loss and of noisy labels is the hinge's times a number.
    #[test]
    fn rescaled_first_steps_are_the_plain_ones() {
        let plain =
            RunSpec { d: 1 << 20, batch: 1 << 15, steps: 3, record_steps: vec![0, 3], learning_rate: 0.1, ..small() };
        let core = |variant: Option<Variant>| {
            let run = simulate(&RunSpec { variant, ..plain.clone() }, executor()).unwrap();
            [0, 1].map(|record| run.aligned_core(&run.records[record]))
        };
        let [started, expected] = core(None);
        let rescaled = |variant: Variant| core(Some(Variant { rescaled: true, ..variant }))[1].clone();
        for (variant, slowdown) in [
            (Variant { loss: Loss::Logistic, ..Variant::default() }, 2.0),
            (Variant { loss: Loss::Mse, ..Variant::default() }, 0.5),
            (Variant { label_noise: 0.1, ..Variant::default() }, 1.25),
        ] {
            assert!((variant.slowdown() - slowdown).abs() < 1e-12, "{variant:?}");
            for ((a, b), start) in rescaled(variant.clone()).iter().zip(&expected).zip(&started) {
                // Margins are a few hundredths by then, and so is what a smooth loss lets go. Of the growth: in a sum that
                // began below 0 little may be left of both.
                assert!((a - b).abs() < 0.05 * (b - start), "{variant:?}: {a} {b} from {start}");
            }
        }
    }

    #[test]
    fn bad_variants_name_the_field() {
        let error = |variant: Variant| with(variant).validate().unwrap_err().to_string();
        let plain = Variant::default;
        assert!(error(Variant { momentum: 1.0, ..plain() }).contains("variant.momentum = 1"));
        assert!(error(Variant { momentum: f64::NAN, ..plain() }).contains("variant.momentum"));
        assert!(error(Variant { output_rate: -1.0, ..plain() }).contains("variant.output_rate"));
        assert!(error(Variant { label_noise: 0.5, ..plain() }).contains("variant.label_noise"));
        assert!(error(Variant { positive: 0.3, ..plain() }).contains("variant.positive"));
        let overlap = Dictionary::Equal { overlap: 1.0 };
        assert!(error(Variant { dictionary: overlap, ..plain() }).contains("variant.dictionary.overlap"));
        let random = Dictionary::Random { dimensions: 51 };
        assert!(error(Variant { dictionary: random, ..plain() }).contains("variant.dictionary.dimensions"));
        for spec in [
            RunSpec { coordinates: Coordinates::Ambient, ..with(plain()) },
            RunSpec { labels: Labels::Shuffled, ..with(plain()) },
            RunSpec { probe: true, ..with(plain()) },
        ] {
            assert!(spec.validate().is_err());
        }
        assert!(crate::simulate::Training::<f32>::new(&with(plain()), executor()).is_err());
    }

    #[test]
    fn a_run_that_blows_up_says_so() {
        let spec = RunSpec {
            learning_rate: 1e30,
            weight_decay: 0.0,
            ..with(Variant { loss: Loss::Mse, ..Variant::default() })
        };
        assert!(matches!(simulate(&spec, executor()), Err(SimulateError::NonFinite { .. })));
    }
}
