//! The data model: labels, core and background features. Paper: Definition 1 (data).

use feature_contamination_kernels::{Executor, MatMut, MatRef, ShapeError};
use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::distribution::{Distribution, Moments};
use crate::error::SpecError;
use crate::rng::{BLOCK_ROWS, Stream, fill_key, stream};

/// `count` independent features; feature `j` of the group follows `laws[j mod laws.len()]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureGroup {
    /// Number of features.
    pub count: usize,
    /// Their distributions, dealt out in turn.
    pub laws: Vec<Distribution>,
}

impl FeatureGroup {
    /// `count` features of one distribution.
    pub fn same(count: usize, law: Distribution) -> Self {
        Self { count, laws: vec![law] }
    }

    /// Distribution of feature `j`.
    pub fn law(&self, j: usize) -> &Distribution {
        &self.laws[j % self.laws.len()]
    }

    /// Moments of every feature, in order.
    pub fn moments(&self) -> Vec<Moments> {
        let laws: Vec<Moments> = self.laws.iter().map(Distribution::moments).collect();
        (0..self.count).map(|j| laws[j % laws.len()]).collect()
    }

    /// `Σ_j μ_j²`.
    pub fn squared_mean(&self) -> f64 {
        self.moments().iter().map(|m| m.mean().powi(2)).sum()
    }

    /// Draws rows of `count` variates at `place` into `out`, each times its row's sign.
    ///
    /// Features that all are uniform with the same ends come from the vectorised generator, any others from the scalar
    /// one of the same place, continued in `rng`.
    fn fill(
        &self,
        executor: Executor,
        place: Place,
        mut rng: Xoshiro256PlusPlus,
        signs: Option<&[i8]>,
        mut out: MatMut<'_, f32>,
    ) -> Result<(), ShapeError> {
        if let [Distribution::Uniform { low, high }] = *self.laws.as_slice() {
            let Place { seed, stream, step, block } = place;
            return executor.fill_uniform(fill_key(seed, stream, step, block), (low as f32, high as f32), signs, out);
        }
        let (rows, cols, row_stride) = (out.rows(), out.cols(), out.row_stride());
        let data = out.data_mut();
        for i in 0..rows {
            let row = &mut data[i * row_stride..][..cols];
            match self.laws.as_slice() {
                [law] => law.fill(&mut rng, row),
                laws => {
                    for (z, law) in row.iter_mut().zip(laws.iter().cycle()) {
                        law.fill(&mut rng, std::slice::from_mut(z));
                    }
                }
            }
            if let Some(signs) = signs {
                let sign = f32::from(signs[i]);
                row.iter_mut().for_each(|z| *z *= sign);
            }
        }
        Ok(())
    }

    fn validate(&self, field: &str, min: f64, max: f64) -> Result<(), SpecError> {
        if self.laws.is_empty() {
            return Err(SpecError::new(format!("{field}.laws"), "[]", "at least one distribution"));
        }
        self.laws.iter().try_for_each(|law| law.validate(field, min, max))
    }
}

/// `x̃_j = y z_j` for core features, `x̃_j = z_j` for background features, `y` uniform on `{−1, +1}`.
///
/// In distribution (ID) the background follows `background`, out of distribution (OOD) `background_ood`; the core
/// features are the same. Paper: Definition 1 (data).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataModel {
    /// Features that decide the label, values in `[0, 1]`.
    pub core: FeatureGroup,
    /// Features independent of the label, values in `[−1, 1]` (the paper: `[0, 1]`).
    pub background: FeatureGroup,
    /// The background after the shift, values in `[−1, 1]` (the paper: `[−1, 0]`).
    pub background_ood: FeatureGroup,
}

/// Which background a draw has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// In distribution.
    Id,
    /// Out of distribution.
    Ood,
}

/// What a draw is used for; training and evaluation never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The batch of a step.
    Train,
    /// Evaluation at a step.
    Evaluate,
}

impl DataModel {
    /// `d_core` and `d_bg` features uniform on `[0, 1]`, background shifted to `[−1, 0]`: the paper's experiments.
    pub fn uniform(d_core: usize, d_bg: usize) -> Self {
        Self {
            core: FeatureGroup::same(d_core, Distribution::UNIT),
            background: FeatureGroup::same(d_bg, Distribution::UNIT),
            background_ood: FeatureGroup::same(d_bg, Distribution::NEGATIVE_UNIT),
        }
    }

    /// Number of features `d₀ = d_core + d_bg`.
    pub fn d0(&self) -> usize {
        self.core.count + self.background.count
    }

    /// `C = Σ_core μ_j²`. Paper: Definition 1 (balance condition).
    pub fn c(&self) -> f64 {
        self.core.squared_mean()
    }

    /// `B = Σ_bg μ_j²`. Paper: Definition 1 (balance condition).
    pub fn b(&self) -> f64 {
        self.background.squared_mean()
    }

    /// The balance condition `C ≥ B`, to rounding. Paper: Definition 1.
    pub fn is_balanced(&self) -> bool {
        self.c() >= self.b() * (1.0 - 1e-12)
    }

    /// Draws `labels.len()` rows into `x` (`[rows × d₀]`, row-major) and their labels (±1) into `labels`.
    ///
    /// The draw is addressed by `(seed, purpose, step, row / 64)` with rows counted from `first_row`, a multiple of
    /// 64; it is the same on every instruction set. Evaluation draws of both domains share labels and core features.
    ///
    /// # Errors
    /// `x` does not fit `labels`.
    pub fn fill(&self, executor: Executor, draw: Draw, x: &mut [f32], labels: &mut [i8]) -> Result<(), ShapeError> {
        MatRef::from_row_major(x, labels.len(), self.d0())?;
        #[cfg(feature = "mutations")]
        let draw = crate::mutation::draw(draw);
        let Draw { seed, purpose, domain, step, first_row } = draw;
        debug_assert_eq!(first_row % BLOCK_ROWS, 0);
        let (core_stream, background_stream) = match (purpose, domain) {
            (Purpose::Train, _) => (Stream::TrainCore, Stream::TrainBackground),
            (Purpose::Evaluate, Domain::Id) => (Stream::EvalCore, Stream::EvalBackground),
            (Purpose::Evaluate, Domain::Ood) => (Stream::EvalCore, Stream::EvalBackgroundOod),
        };
        let background = match domain {
            Domain::Id => &self.background,
            Domain::Ood => &self.background_ood,
        };
        let (d0, d_core) = (self.d0(), self.core.count);
        let rows = labels.chunks_mut(BLOCK_ROWS).zip(x.chunks_mut(BLOCK_ROWS * d0));
        for (index, (labels, x)) in rows.enumerate() {
            let block = (first_row / BLOCK_ROWS + index) as u64;
            let mut core_rng = stream(seed, core_stream, step, block);
            draw_labels(core_rng.next_u64(), labels);
            let rows = labels.len();
            let place = Place { seed, stream: core_stream, step, block };
            let core = MatMut::from_slice_with_strides(x, rows, d_core, d0, 1)?;
            self.core.fill(executor, place, core_rng, Some(labels), core)?;
            let place = Place { stream: background_stream, ..place };
            let rest = MatMut::from_slice_with_strides(&mut x[d_core..], rows, d0 - d_core, d0, 1)?;
            background.fill(executor, place, stream(seed, background_stream, step, block), None, rest)?;
        }
        #[cfg(feature = "mutations")]
        crate::mutation::features(x, d0, d_core);
        Ok(())
    }

    /// Checks counts and distributions.
    ///
    /// # Errors
    /// Names the field and what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (field, count) in [("d_core", self.core.count), ("d_bg", self.background.count)] {
            if count == 0 {
                return Err(SpecError::new(field, 0, "at least 1"));
            }
        }
        if self.background_ood.count != self.background.count {
            return Err(SpecError::new(
                "background_ood.count",
                self.background_ood.count,
                format!("the number of background features, {}", self.background.count),
            ));
        }
        self.core.validate("core", 0.0, 1.0)?;
        self.background.validate("background", -1.0, 1.0)?;
        self.background_ood.validate("background_ood", -1.0, 1.0)
    }
}

/// The address of a draw; see [`DataModel::fill`].
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Training or evaluation.
    pub purpose: Purpose,
    /// Which background.
    pub domain: Domain,
    /// The step.
    pub step: u64,
    /// First row, a multiple of 64.
    pub first_row: usize,
}

/// The address of one group's variates in one block of rows.
#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    stream: Stream,
    step: u64,
    block: u64,
}

/// Labels from the bits of a word, bit 1 for `+1`; at most 64.
pub(crate) fn draw_labels(word: u64, labels: &mut [i8]) {
    for (row, y) in labels.iter_mut().enumerate() {
        *y = if word >> row & 1 == 1 { 1 } else { -1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(domain: Domain, step: u64, first_row: usize) -> Draw {
        Draw { seed: 5, purpose: Purpose::Evaluate, domain, step, first_row }
    }

    fn fill(model: &DataModel, draw: Draw, x: &mut [f32], labels: &mut [i8]) {
        model.fill(Executor::detect().unwrap(), draw, x, labels).unwrap();
    }

    #[test]
    fn blocks_do_not_depend_on_how_many_are_drawn() {
        let model = DataModel::uniform(3, 2);
        let (mut x, mut y) = (vec![0.0; 150 * 5], vec![0; 150]);
        fill(&model, draw(Domain::Id, 7, 0), &mut x, &mut y);
        let (mut x2, mut y2) = (vec![0.0; 86 * 5], vec![0; 86]);
        fill(&model, draw(Domain::Id, 7, 64), &mut x2, &mut y2);
        assert_eq!(x[64 * 5..], x2[..]);
        assert_eq!(y[64..], y2[..]);
    }

    #[test]
    fn the_shift_changes_the_background_only() {
        let model = DataModel::uniform(3, 2);
        let (mut id, mut ood, mut y) = (vec![0.0; 64 * 5], vec![0.0; 64 * 5], vec![0; 64]);
        fill(&model, draw(Domain::Id, 1, 0), &mut id, &mut y);
        fill(&model, draw(Domain::Ood, 1, 0), &mut ood, &mut y);
        for ((a, b), &y) in id.chunks(5).zip(ood.chunks(5)).zip(&y) {
            assert_eq!(a[..3], b[..3]);
            assert!(a[..3].iter().all(|&x| x * f32::from(y) >= 0.0));
            assert!(a[3..].iter().all(|&z| (0.0..=1.0).contains(&z)));
            assert!(b[3..].iter().all(|&z| (-1.0..=0.0).contains(&z)));
        }
    }

    #[test]
    fn balance_of_the_uniform_model() {
        let model = DataModel::uniform(32, 32);
        assert_eq!((model.c(), model.b()), (8.0, 8.0));
        assert!(model.is_balanced());
        assert!(!DataModel::uniform(31, 33).is_balanced());
    }

    #[test]
    fn mixed_groups_deal_distributions_in_turn() {
        let half = Distribution::Point { value: 0.5 };
        let group = FeatureGroup { count: 3, laws: vec![half, Distribution::Point { value: 1.0 }] };
        let model = DataModel { background: group.clone(), ..DataModel::uniform(2, 3) };
        let (mut x, mut y) = ([0.0; 2 * 5], [0; 2]);
        fill(&model, draw(Domain::Id, 0, 0), &mut x, &mut y);
        assert_eq!((&x[2..5], &x[7..]), (&[0.5, 1.0, 0.5][..], &[0.5, 1.0, 0.5][..]));
        assert_eq!(group.squared_mean(), 1.5);
    }

    /// Uniform or not, one law or several: what is drawn does not depend on the instruction set, and the law is the one
    /// that is asked for.
    #[test]
    fn every_isa_draws_the_same_bits() {
        let laws = [
            Distribution::UNIT,
            Distribution::Uniform { low: 0.2, high: 0.9 },
            Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 },
            Distribution::Point { value: 0.5 },
        ];
        for core in [vec![laws[0]], vec![laws[1]], vec![laws[2]], laws.to_vec()] {
            for background in [vec![Distribution::NEGATIVE_UNIT], vec![laws[3], laws[1]]] {
                let group = |count, laws: &[_]| FeatureGroup { count, laws: laws.to_vec() };
                let model = DataModel {
                    core: group(17, &core),
                    background: group(6, &background),
                    background_ood: group(6, &background),
                };
                let (rows, d0) = (2000, 23);
                let (mut x, mut y) = (vec![f32::NAN; rows * d0], vec![0; rows]);
                fill(&model, draw(Domain::Id, 3, 0), &mut x, &mut y);
                for executor in Executor::available() {
                    let (mut other, mut labels) = (vec![f32::NAN; rows * d0], vec![0; rows]);
                    model.fill(executor, draw(Domain::Id, 3, 0), &mut other, &mut labels).unwrap();
                    assert_eq!(y, labels);
                    assert!(x.iter().zip(&other).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", executor.isa());
                }
                for j in 0..d0 {
                    let law = if j < 17 { model.core.law(j) } else { model.background.law(j - 17) };
                    let z = |i: usize| f64::from(x[i * d0 + j]) * if j < 17 { f64::from(y[i]) } else { 1.0 };
                    let (low, high) = law.support();
                    assert!((0..rows).all(|i| (low as f32..=high as f32).contains(&(z(i) as f32))), "{law:?}");
                    let mean = (0..rows).map(z).sum::<f64>() / rows as f64;
                    // Five standard errors.
                    let bound = 5.0 * (law.moments().variance() / rows as f64).sqrt() + 1e-6;
                    assert!((mean - law.moments().mean()).abs() < bound, "{law:?}: {mean}");
                }
            }
        }
    }
}
