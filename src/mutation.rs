//! Defects on purpose, to see which claims notice them. Compiled with the feature `mutations` only: a program built
//! without it has none of this.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::data::{Domain, Draw, Purpose};
use crate::precision::Real;

/// One defect of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The background's part of the gradient has the wrong sign.
    BackgroundSign,
    /// The gradient is masked by `1[s < 0]`.
    MaskComplement,
    /// Weight decay is dropped.
    NoDecay,
    /// The step is half as large.
    HalfStep,
    /// The labels of every fourth example are read the wrong way round.
    LabelsMisread,
    /// `a_k = ±2/m`.
    OutputScale,
    /// Every step sees the first step's batch.
    StaleBatch,
    /// The shift out of distribution is not applied.
    NoShift,
    /// Records are of one step before.
    RecordEarly,
    /// The last features are the core, and the first the background.
    FeatureOrder,
    /// Every example counts, whatever its margin.
    HingeIgnored,
    /// The start is `N(0, 1/√d)`: a standard deviation taken for a variance.
    StartScale,
    /// All background features of an example are one number.
    SharedBackground,
}

impl Mutation {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::BackgroundSign,
        Self::MaskComplement,
        Self::NoDecay,
        Self::HalfStep,
        Self::LabelsMisread,
        Self::OutputScale,
        Self::StaleBatch,
        Self::NoShift,
        Self::RecordEarly,
        Self::FeatureOrder,
        Self::HingeIgnored,
        Self::StartScale,
        Self::SharedBackground,
    ];

    /// What is broken, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::BackgroundSign => "sign of the background's gradient flipped",
            Self::MaskComplement => "gradient masked by 1[s < 0] and not 1[s ≥ 0]",
            Self::NoDecay => "weight decay dropped",
            Self::HalfStep => "step size halved",
            Self::LabelsMisread => "labels of every fourth example inverted",
            Self::OutputScale => "output weights ±2/m and not ±1/m",
            Self::StaleBatch => "the first batch at every step",
            Self::NoShift => "shift out of distribution not applied",
            Self::RecordEarly => "records one step early",
            Self::FeatureOrder => "core features in the background's place",
            Self::HingeIgnored => "hinge never gates an example",
            Self::StartScale => "start of variance 1/√d and not 1/d",
            Self::SharedBackground => "one number for all background features of an example",
        }
    }
}

/// Index into [`Mutation::ALL`], one more; 0 for none.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// Makes the whole process's simulations have this defect, or none. Not while one is under way.
pub fn set(mutation: Option<Mutation>) {
    let index = mutation.and_then(|mutation| Mutation::ALL.iter().position(|&other| other == mutation));
    ACTIVE.store(index.map_or(0, |index| index + 1), Ordering::SeqCst);
}

fn is(mutation: Mutation) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    active > 0 && Mutation::ALL[active - 1] == mutation
}

/// `(1 − ηλ, η)`.
pub(crate) fn rates<T: Real>(keep: T, rate: f64) -> (T, f64) {
    (if is(Mutation::NoDecay) { T::ONE } else { keep }, if is(Mutation::HalfStep) { 0.5 * rate } else { rate })
}

/// The gradient `Σ_i s_i 1[⟨w_k,x_i⟩ ≥ 0] x_i`, `[m × width]`, of a batch in latent coordinates.
pub(crate) fn gradient<T: Real>(gradient: &mut [T], batch: &[T], residual: &[i8], width: usize, d_core: usize) {
    if is(Mutation::BackgroundSign) {
        for row in gradient.chunks_exact_mut(width) {
            row[d_core..].iter_mut().for_each(|g| *g = T::nearest(-(*g).into()));
        }
    }
    if is(Mutation::MaskComplement) {
        let mut total = vec![0.0; width];
        for (x, &s) in batch.chunks_exact(width).zip(residual) {
            total.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(s) * x.into());
        }
        for row in gradient.chunks_exact_mut(width) {
            row.iter_mut().zip(&total).for_each(|(g, &total)| *g = T::nearest(total - (*g).into()));
        }
    }
}

pub(crate) fn labels(labels: &mut [i8]) {
    if is(Mutation::LabelsMisread) {
        labels.iter_mut().step_by(4).for_each(|y| *y = -*y);
    }
}

pub(crate) fn residual(residual: &mut [i8], labels: &[i8]) {
    if is(Mutation::HingeIgnored) {
        residual.copy_from_slice(labels);
    }
}

pub(crate) fn draw(draw: Draw) -> Draw {
    match draw.purpose {
        Purpose::Train if is(Mutation::StaleBatch) => Draw { step: 0, ..draw },
        Purpose::Evaluate if is(Mutation::NoShift) => Draw { domain: Domain::Id, ..draw },
        _ => draw,
    }
}

/// Rows of features, in their place.
pub(crate) fn features(x: &mut [f32], d0: usize, d_core: usize) {
    for row in x.chunks_exact_mut(d0) {
        if is(Mutation::FeatureOrder) {
            row.reverse();
        }
        if is(Mutation::SharedBackground) {
            let z = row[d_core];
            row[d_core..].fill(z);
        }
    }
}

/// The step to stop at for the record of `step`.
pub(crate) fn recorded(step: u64) -> u64 {
    if is(Mutation::RecordEarly) { step.saturating_sub(1) } else { step }
}

/// `a` and the scale of the start.
pub(crate) fn scales<T: Real>(mut a: Vec<T>, start: f64) -> (Vec<T>, f64) {
    if is(Mutation::OutputScale) {
        a.iter_mut().for_each(|a| *a = T::nearest(2.0 * (*a).into()));
    }
    (a, if is(Mutation::StartScale) { start.sqrt() } else { start })
}
