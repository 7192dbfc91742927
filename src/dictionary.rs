//! Random orthonormal dictionaries.

use rand_distr::{Distribution, StandardNormal};

use crate::error::SpecError;
use crate::rng::{Stream, stream};

/// `M ∈ R^{d×d₀}`, row-major, uniform (Haar) among matrices with orthonormal columns. Paper: Definition 1 (data).
///
/// `M = H₁ H₂ ⋯ H_{d₀} D`, cut to its first `d₀` columns: the Householder reflections of the QR decomposition of a Gaussian matrix. Reflection `j` acts on coordinates `j…d` and comes from a Gaussian vector there,
/// which is how the remaining columns are distributed once earlier reflections are taken out; `D` holds the signs that
/// make R's diagonal positive (Stewart 1980; Mezzadri 2007). Cost `O(d d₀²)`, in `f64`.
///
/// # Errors
/// `d < d₀`.
pub fn random_orthonormal(seed: u64, d: usize, d0: usize) -> Result<Vec<f64>, SpecError> {
    if d < d0 {
        return Err(SpecError::new("d", d, format!("at least d0 = {d0}")));
    }
    let mut rng = stream(seed, Stream::Dictionary, 0, 0);
    // Reflection j: I − 2 u uᵀ with unit u, zero above coordinate j; kept with its sign.
    let reflections: Vec<(Vec<f64>, f64)> = (0..d0)
        .map(|j| {
            let mut u: Vec<f64> = (j..d).map(|_| StandardNormal.sample(&mut rng)).collect();
            let norm = u.iter().map(|x| x * x).sum::<f64>().sqrt();
            // Sign chosen against cancellation: R_jj = −sign(u₀)‖u‖ before D.
            let sign = if u[0] >= 0.0 { 1.0 } else { -1.0 };
            u[0] += sign * norm;
            let length = u.iter().map(|x| x * x).sum::<f64>().sqrt();
            u.iter_mut().for_each(|x| *x /= length);
            (u, -sign)
        })
        .collect();
    let mut columns = vec![0.0; d * d0];
    for (j, column) in columns.chunks_exact_mut(d).enumerate() {
        column[j] = reflections[j].1;
        // H_i for i > j leaves e_j alone.
        for (i, (u, _)) in reflections[..=j].iter().enumerate().rev() {
            let tail = &mut column[i..];
            let twice = 2.0 * tail.iter().zip(u).map(|(x, u)| x * u).sum::<f64>();
            tail.iter_mut().zip(u).for_each(|(x, u)| *x -= twice * u);
        }
    }
    let mut m = vec![0.0; d * d0];
    for (j, column) in columns.chunks_exact(d).enumerate() {
        for (row, x) in column.iter().enumerate() {
            m[row * d0 + j] = *x;
        }
    }
    Ok(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_orthonormal() {
        for (d, d0) in [(1, 1), (5, 5), (40, 7), (301, 64)] {
            let m = random_orthonormal(3, d, d0).unwrap();
            for a in 0..d0 {
                for b in 0..d0 {
                    let dot: f64 = (0..d).map(|row| m[row * d0 + a] * m[row * d0 + b]).sum();
                    let expected = if a == b { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-13, "{d}×{d0}: ⟨m_{a}, m_{b}⟩ = {dot}");
                }
            }
        }
    }

    #[test]
    fn entries_have_mean_zero_and_variance_one_over_d() {
        // Haar columns: E M = 0, E M² = 1/d. 400 draws, entry (0, 0) and (d−1, d0−1).
        let (d, d0, draws) = (6, 3, 4000);
        for index in [0, d * d0 - 1] {
            let x: Vec<f64> = (0..draws).map(|seed| random_orthonormal(seed, d, d0).unwrap()[index]).collect();
            let mean = x.iter().sum::<f64>() / draws as f64;
            let square = x.iter().map(|x| x * x).sum::<f64>() / draws as f64;
            // Standard errors: (1/√6)/√4000 = 0.0065 and below 0.005; five of them.
            assert!(mean.abs() < 0.033, "mean {mean}");
            assert!((square - 1.0 / d as f64).abs() < 0.025, "mean square {square}");
        }
    }
}
