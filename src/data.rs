//! The data model: labels, core and background features. Paper: Definition 1 (data).

use serde::{Deserialize, Serialize};

use crate::distribution::{Distribution, Moments};
use crate::rng::{BLOCK_ROWS, Stream, stream};
use crate::spec::SpecError;
use rand::Rng;

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

    fn fill(&self, rng: &mut impl Rng, out: &mut [f32]) {
        match self.laws.as_slice() {
            [law] => law.fill(rng, out),
            laws => {
                for (z, law) in out.iter_mut().zip(laws.iter().cycle()) {
                    law.fill(rng, std::slice::from_mut(z));
                }
            }
        }
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
    /// 64. Evaluation draws of both domains share labels and core features.
    pub fn fill(&self, draw: Draw, x: &mut [f32], labels: &mut [i8]) {
        let Draw { seed, purpose, domain, step, first_row } = draw;
        debug_assert_eq!(first_row % BLOCK_ROWS, 0);
        debug_assert_eq!(x.len(), labels.len() * self.d0());
        let (core_stream, background_stream) = match (purpose, domain) {
            (Purpose::Train, _) => (Stream::TrainCore, Stream::TrainBackground),
            (Purpose::Evaluate, Domain::Id) => (Stream::EvalCore, Stream::EvalBackground),
            (Purpose::Evaluate, Domain::Ood) => (Stream::EvalCore, Stream::EvalBackgroundOod),
        };
        let background = match domain {
            Domain::Id => &self.background,
            Domain::Ood => &self.background_ood,
        };
        let rows = labels.chunks_mut(BLOCK_ROWS).zip(x.chunks_mut(BLOCK_ROWS * self.d0()));
        for (index, (labels, x)) in rows.enumerate() {
            let block = (first_row / BLOCK_ROWS + index) as u64;
            let mut core_rng = stream(seed, core_stream, step, block);
            let mut background_rng = stream(seed, background_stream, step, block);
            draw_labels(core_rng.next_u64(), labels);
            for (row, &y) in x.chunks_exact_mut(self.d0()).zip(&*labels) {
                let (core, rest) = row.split_at_mut(self.core.count);
                self.core.fill(&mut core_rng, core);
                for z in core {
                    *z *= f32::from(y);
                }
                background.fill(&mut background_rng, rest);
            }
        }
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

    #[test]
    fn blocks_do_not_depend_on_how_many_are_drawn() {
        let model = DataModel::uniform(3, 2);
        let (mut x, mut y) = (vec![0.0; 150 * 5], vec![0; 150]);
        model.fill(draw(Domain::Id, 7, 0), &mut x, &mut y);
        let (mut x2, mut y2) = (vec![0.0; 86 * 5], vec![0; 86]);
        model.fill(draw(Domain::Id, 7, 64), &mut x2, &mut y2);
        assert_eq!(x[64 * 5..], x2[..]);
        assert_eq!(y[64..], y2[..]);
    }

    #[test]
    fn the_shift_changes_the_background_only() {
        let model = DataModel::uniform(3, 2);
        let (mut id, mut ood, mut y) = (vec![0.0; 64 * 5], vec![0.0; 64 * 5], vec![0; 64]);
        model.fill(draw(Domain::Id, 1, 0), &mut id, &mut y);
        model.fill(draw(Domain::Ood, 1, 0), &mut ood, &mut y);
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
        let mut z = [0.0; 3];
        group.fill(&mut stream(1, Stream::EvalCore, 0, 0), &mut z);
        assert_eq!(z, [0.5, 1.0, 0.5]);
        assert_eq!(group.squared_mean(), 1.5);
    }
}
