//! The two-layer network `h(x) = Σ_k a_k act(⟨w_k, x⟩)` and its initialisation. Paper: section 2 (network).

use feature_contamination_kernels::Activation;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::SpecError;
use crate::precision::Real;
use crate::rng::{Stream, stream};
use crate::spec::{Coordinates, RunSpec};
use crate::{dictionary, rng::BLOCK_ROWS};

/// The network of a run, in the precision of `T`.
#[derive(Clone, Debug)]
pub struct Network<T> {
    /// Activation function.
    pub activation: Activation,
    /// Number of neurons `m`.
    pub m: usize,
    /// Width of the first layer's weights: `d₀` latent, `d` ambient.
    pub width: usize,
    /// `sign a_k`, ±1, uniform and frozen.
    pub signs: Vec<i8>,
    /// `a_k = sign a_k / m`.
    pub a: Vec<T>,
    /// First-layer weights `[m × width]`, row-major.
    pub weights: Vec<T>,
    /// `M`, `[d × d₀]` row-major, in ambient coordinates.
    pub dictionary: Option<Vec<T>>,
}

impl<T: Real> Network<T> {
    /// The network at step 0: `a_k` uniform on `{±1/m}`, `w_k ~ N(0, I_d/d)`.
    ///
    /// Both coordinates and precisions start from the same latent draw `v ~ N(0, I_{d₀}/d)`, in `f32`; the ambient weights are
    /// `w = M v + (I − M Mᵀ) g`, `g ~ N(0, I_d/d)` independent of `v`, which has the law `N(0, I_d/d)` and `Mᵀ w = v`.
    ///
    /// # Errors
    /// `d < d₀` in ambient coordinates.
    pub fn init(spec: &RunSpec) -> Result<Self, SpecError> {
        let (m, d0) = (spec.m, spec.data.d0());
        let signs = draw_signs(spec.seed, m);
        let a: Vec<T> = signs.iter().map(|&sign| T::nearest(f64::from(sign) / m as f64)).collect();
        let scale = 1.0 / (spec.d as f64).sqrt();
        #[cfg(feature = "mutations")]
        let (a, scale) = crate::mutation::scales(a, scale);
        let mut latent = gaussian_rows(spec.seed, Stream::Init, m, d0, scale);
        latent.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        let mut network =
            Self { activation: spec.activation, m, width: d0, signs, a, weights: vec![], dictionary: None };
        match spec.coordinates {
            Coordinates::Latent => network.weights = latent.iter().map(|&v| T::nearest(v)).collect(),
            Coordinates::Ambient => {
                let d = spec.width();
                let dictionary = dictionary::random_orthonormal(spec.seed, d, d0)?;
                let mut w = gaussian_rows(spec.seed, Stream::Complement, m, d, scale);
                for (w, v) in w.chunks_exact_mut(d).zip(latent.chunks_exact(d0)) {
                    // w ← w + M (v − Mᵀ w).
                    let mut correction = v.to_vec();
                    for (w, row) in w.iter().zip(dictionary.chunks_exact(d0)) {
                        correction.iter_mut().zip(row).for_each(|(c, m)| *c -= w * m);
                    }
                    for (w, row) in w.iter_mut().zip(dictionary.chunks_exact(d0)) {
                        *w += row.iter().zip(&correction).map(|(m, c)| m * c).sum::<f64>();
                    }
                }
                network.width = d;
                network.weights = w.iter().map(|&w| T::nearest(w)).collect();
                network.dictionary = Some(dictionary.iter().map(|&m| T::nearest(m)).collect());
            }
        }
        Ok(network)
    }
}

pub(crate) fn draw_signs(seed: u64, m: usize) -> Vec<i8> {
    let mut signs = vec![0; m];
    for (block, signs) in signs.chunks_mut(BLOCK_ROWS).enumerate() {
        crate::data::draw_labels(stream(seed, Stream::Signs, 0, block as u64).next_u64(), signs);
    }
    signs
}

/// `[rows × width]` of `N(0, scale²)`, a stream a row.
pub(crate) fn gaussian_rows(seed: u64, name: Stream, rows: usize, width: usize, scale: f64) -> Vec<f64> {
    (0..rows)
        .flat_map(|row| {
            let mut rng = stream(seed, name, 0, row as u64);
            (0..width).map(move |_| scale * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_have_variance_one_over_d_in_both_coordinates() {
        let spec = RunSpec::uniform(8, 8, 100, 500);
        let ambient = RunSpec { coordinates: Coordinates::Ambient, ..spec.clone() };
        for (spec, name) in [(spec, "latent"), (ambient, "ambient")] {
            let weights = Network::<f32>::init(&spec).unwrap().weights;
            let n = weights.len() as f64;
            let mean_square = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
            // Var(w²) = 2/d²: standard error √(2/n)/d, five of them.
            assert!((mean_square * 100.0 - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{name}: {mean_square}");
        }
    }

    #[test]
    fn ambient_weights_project_on_the_latent_ones() {
        let spec = RunSpec::uniform(3, 2, 50, 4);
        let latent = Network::<f32>::init(&spec).unwrap();
        let ambient = Network::<f32>::init(&RunSpec { coordinates: Coordinates::Ambient, ..spec }).unwrap();
        assert_eq!(latent.signs, ambient.signs);
        let dictionary = ambient.dictionary.unwrap();
        for k in 0..4 {
            for j in 0..5 {
                let v: f32 = (0..50).map(|i| ambient.weights[k * 50 + i] * dictionary[i * 5 + j]).sum();
                assert!((v - latent.weights[k * 5 + j]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn signs_are_both_and_balanced() {
        let signs = draw_signs(1, 4096);
        let sum: i32 = signs.iter().map(|&s| i32::from(s)).sum();
        assert!(sum.abs() < 5 * 64, "sum of 4096 signs: {sum}");
    }
}
