//! Defects on purpose, to see which claims notice them. Compiled with the feature `mutations` only: a program built
//! without it has none of this.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::data::{Domain, Draw, Purpose};
use crate::precision::Real;
use crate::trajectory::Record;

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
    /// `a_k = ±1/√m`: the other usual parametrisation.
    OutputRoot,
    /// The step grows as `√t`: a schedule that was left on.
    Schedule,
    /// Only the first 32 neurons are updated: a loop over tiles without its rest.
    FirstNeurons,
    /// Only the first eight features of either kind are learned: the same along rows.
    FirstFeatures,
    /// The shift is applied in distribution as well.
    ShiftEverywhere,
    /// How often neurons fire is what it was at the first record.
    StaleActivity,
}

impl Mutation {
    /// Every one.
    pub const ALL: [Self; 19] = [
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
        Self::OutputRoot,
        Self::Schedule,
        Self::FirstNeurons,
        Self::FirstFeatures,
        Self::ShiftEverywhere,
        Self::StaleActivity,
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
            Self::OutputRoot => "output weights ±1/√m and not ±1/m",
            Self::Schedule => "step size grows as √t",
            Self::FirstNeurons => "neurons beyond the 32nd are never updated",
            Self::FirstFeatures => "features beyond the eighth of either kind are never learned",
            Self::ShiftEverywhere => "shift applied to the examples in distribution as well",
            Self::StaleActivity => "activation frequencies of the first record in every one",
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

/// `(1 − ηλ, η)` of step `t`, counted from 0.
pub(crate) fn rates<T: Real>(keep: T, rate: f64, step: u64) -> (T, f64) {
    let factor = if is(Mutation::HalfStep) {
        0.5
    } else if is(Mutation::Schedule) {
        (step as f64 + 1.0).sqrt()
    } else {
        1.0
    };
    (if is(Mutation::NoDecay) { T::ONE } else { keep }, factor * rate)
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
    if is(Mutation::FirstNeurons) {
        gradient.chunks_exact_mut(width).skip(32).for_each(|row| row.fill(T::nearest(0.0)));
    }
    if is(Mutation::FirstFeatures) {
        for row in gradient.chunks_exact_mut(width) {
            let (core, background) = row.split_at_mut(d_core);
            [core, background].into_iter().flat_map(|row| row.iter_mut().skip(8)).for_each(|g| *g = T::nearest(0.0));
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
        Purpose::Evaluate if is(Mutation::ShiftEverywhere) => Draw { domain: Domain::Ood, ..draw },
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

/// The records of a run.
pub(crate) fn records(records: &mut [Record]) {
    if is(Mutation::StaleActivity)
        && let Some((first, later)) = records.split_first_mut()
    {
        for neurons in later.iter_mut().map(|record| &mut record.neurons) {
            neurons.own.clone_from(&first.neurons.own);
            neurons.other.clone_from(&first.neurons.other);
            neurons.own_gated.clone_from(&first.neurons.own_gated);
            neurons.other_gated.clone_from(&first.neurons.other_gated);
        }
    }
}

/// `a` and the scale of the start.
pub(crate) fn scales<T: Real>(mut a: Vec<T>, start: f64) -> (Vec<T>, f64) {
    let factor = if is(Mutation::OutputScale) {
        2.0
    } else if is(Mutation::OutputRoot) {
        (a.len() as f64).sqrt()
    } else {
        1.0
    };
    a.iter_mut().for_each(|a| *a = T::nearest(factor * (*a).into()));
    (a, if is(Mutation::StartScale) { start.sqrt() } else { start })
}
