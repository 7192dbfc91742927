//! The fixed data sets of the paper's numerical experiments.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::train::{Examples, Problem};
use crate::dictionary::random_orthonormal;
use crate::error::SpecError;
use crate::rng::{Stream, stream};

/// How the core features make the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Labels {
    /// Core features y · U[0, 1].
    Linear,
    /// Core features uniform on the sphere of radius 1 for y = 1, 2 for y = −1.
    Sphere,
}

/// `n` examples x = z Q, the first half with y = 1: core features z by [`Labels`], background features U[0, 1] to train on
/// and −U[0, 1] to test on, with the same core features. Q is a random matrix with orthonormal rows or, if there are more
/// features than inputs, orthonormal columns, as in the authors' script. Paper: section 9 of the theory.
#[derive(Clone, Debug, PartialEq)]
pub struct Toy {
    /// Inputs of an example.
    pub inputs: usize,
    /// Core features; they come first.
    pub core: usize,
    /// Training inputs, \[n × inputs\].
    pub train_x: Vec<f32>,
    /// Test inputs, \[n × inputs\].
    pub test_x: Vec<f32>,
    /// Labels of both, ±1.
    pub y: Vec<f32>,
    /// Q, \[core + background × inputs\], rows or columns orthonormal, whichever are fewer.
    pub transform: Vec<f32>,
}

impl Toy {
    /// Draws the data.
    ///
    /// # Errors
    /// No examples, no features or no inputs.
    pub fn draw(
        labels: Labels,
        n: usize,
        core: usize,
        background: usize,
        inputs: usize,
        seed: u64,
    ) -> Result<Self, SpecError> {
        for (field, value) in [("n", n), ("core", core), ("background", background), ("inputs", inputs)] {
            if value == 0 {
                return Err(SpecError::new(field, value, "at least 1"));
            }
        }
        let features = core + background;
        let columns = random_orthonormal(seed, inputs.max(features), inputs.min(features))?;
        let entry = |j: usize, i: usize| match features <= inputs {
            true => columns[i * features + j],
            false => columns[j * inputs + i],
        };
        let y: Vec<f32> = (0..n).map(|i| if i < n / 2 { 1.0 } else { -1.0 }).collect();
        let mut rng = stream(seed, Stream::FixedCore, 0, 0);
        let mut core_rows = Vec::with_capacity(n * core);
        for &y in &y {
            match labels {
                Labels::Linear => core_rows.extend((0..core).map(|_| f64::from(y) * rng.random::<f64>())),
                Labels::Sphere => {
                    let row: Vec<f64> = (0..core).map(|_| StandardNormal.sample(&mut rng)).collect();
                    let length = row.iter().map(|x: &f64| x * x).sum::<f64>().sqrt();
                    let radius = if y > 0.0 { 1.0 } else { 2.0 };
                    core_rows.extend(row.iter().map(|x| radius * x / length));
                }
            }
        }
        let set = |sign: f64, block: u64| -> Vec<f32> {
            let mut rng = stream(seed, Stream::FixedBackground, 0, block);
            let rows = core_rows.chunks_exact(core).flat_map(|row| {
                let background = (0..background).map(|_| sign * rng.random::<f64>());
                let z: Vec<f64> = row.iter().copied().chain(background).collect();
                let x = |i| z.iter().enumerate().map(|(j, z)| entry(j, i) * z).sum::<f64>() as f32;
                (0..inputs).map(x).collect::<Vec<_>>()
            });
            rows.collect()
        };
        let (train_x, test_x) = (set(1.0, 0), set(-1.0, 1));
        let transform = (0..features).flat_map(|j| (0..inputs).map(move |i| entry(j, i) as f32)).collect();
        Ok(Self { inputs, core, train_x, test_x, y, transform })
    }

    /// The data as a problem to train on.
    pub fn problem(&self) -> Problem<'_> {
        Problem {
            train: Examples { x: &self.train_x, y: &self.y },
            test: Examples { x: &self.test_x, y: &self.y },
            dictionary: &self.transform,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of the examples, Q x.
    fn features(toy: &Toy, x: &[f32]) -> Vec<Vec<f64>> {
        let along = |x: &[f32], m: &[f32]| x.iter().zip(m).map(|(&x, &m)| f64::from(x) * f64::from(m)).sum();
        x.chunks_exact(toy.inputs)
            .map(|x| toy.transform.chunks_exact(toy.inputs).map(|m| along(x, m)).collect())
            .collect()
    }

    #[test]
    fn features_are_what_they_are_said_to_be() {
        for labels in [Labels::Linear, Labels::Sphere] {
            let toy = Toy::draw(labels, 101, 5, 3, 20, 7).unwrap();
            assert_eq!(toy.y.iter().filter(|&&y| y > 0.0).count(), 50);
            let (train, test) = (features(&toy, &toy.train_x), features(&toy, &toy.test_x));
            for ((train, test), &y) in train.iter().zip(&test).zip(&toy.y) {
                let (core, background) = train.split_at(5);
                match labels {
                    Labels::Linear => assert!(core.iter().all(|z| (-1e-6..1.0).contains(&(z * f64::from(y))))),
                    Labels::Sphere => {
                        let radius = core.iter().map(|z| z * z).sum::<f64>().sqrt();
                        assert!((radius - if y > 0.0 { 1.0 } else { 2.0 }).abs() < 1e-6);
                    }
                }
                assert!(background.iter().all(|z| (-1e-6..1.0).contains(z)));
                assert!(test[5..].iter().all(|z| (-1.0..1e-6).contains(z)));
                assert!(core.iter().zip(test).all(|(a, b)| (a - b).abs() < 1e-6));
                assert!(background.iter().zip(&test[5..]).any(|(a, b)| (a + b).abs() > 1e-3));
            }
            let mean: f64 = train.iter().map(|z| z[5]).sum::<f64>() / 101.0;
            // Standard error of the mean of 101 uniform variates: 0.029; five of them.
            assert!((mean - 0.5).abs() < 0.15, "{mean}");
        }
    }

    #[test]
    fn more_features_than_inputs_have_orthonormal_columns() {
        let toy = Toy::draw(Labels::Linear, 40, 7, 5, 4, 3).unwrap();
        for i in 0..4 {
            for j in 0..4 {
                let product: f64 = toy.transform.chunks_exact(4).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-6, "{i}, {j}: {product}");
            }
        }
        // z Q, z within its cube: |x_i| is at most the sum of a column's sizes.
        for x in toy.train_x.chunks_exact(4) {
            for (i, x) in x.iter().enumerate() {
                let most: f32 = toy.transform.chunks_exact(4).map(|row| row[i].abs()).sum();
                assert!(x.abs() <= most * 1.000_001);
            }
        }
        // As many features as inputs: both.
        assert!(Toy::draw(Labels::Sphere, 4, 2, 2, 4, 3).is_ok());
    }

    #[test]
    fn bad_sizes_name_the_field() {
        let error = |n, core, background, inputs| {
            Toy::draw(Labels::Linear, n, core, background, inputs, 1).unwrap_err().to_string()
        };
        assert!(error(0, 1, 1, 2).contains("n = 0"));
        assert!(error(1, 0, 1, 2).contains("core = 0"));
        assert!(error(1, 1, 0, 2).contains("background = 0"));
        assert!(error(1, 2, 1, 0).contains("inputs = 0"));
    }
}
