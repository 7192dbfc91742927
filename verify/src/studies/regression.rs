//! Linear least squares in double precision: linear probes, and how linear a function is.

use feature_contamination::SpecError;

/// The affine map x ↦ ⟨w, x⟩ + b that minimises (1/N) Σ_i (⟨w, x_i⟩ + b − t_i)² + ρ |w|².
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// w.
    pub weights: Vec<f64>,
    /// b.
    pub intercept: f64,
}

/// ρ over the mean variance of the inputs: far below what a fit from thousands of examples can tell, and enough for the
/// problem to have one solution when inputs are linearly dependent.
const RIDGE: f64 = 1e-6;

impl Affine {
    /// Fits `x`, \[N × width\], to `targets`, \[N\], by Cholesky's factorisation of the normal equations of centred inputs.
    ///
    /// # Errors
    /// Shapes that do not fit, no examples, or values that are not finite.
    pub fn fit(x: &[f32], width: usize, targets: &[f64]) -> Result<Self, SpecError> {
        let n = targets.len();
        if n == 0 || width == 0 || x.len() != n * width {
            return Err(SpecError::new("x", x.len(), format!("{n} rows of {width}, one at least")));
        }
        let rows = || x.chunks_exact(width);
        let mut mean = vec![0.0; width];
        for row in rows() {
            mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / n as f64);
        }
        let target_mean = targets.iter().sum::<f64>() / n as f64;
        // Lower triangle of the covariance, and the covariances with the target.
        let (mut gram, mut moment, mut centred) = (vec![0.0; width * width], vec![0.0; width], vec![0.0; width]);
        for (row, &target) in rows().zip(targets) {
            centred.iter_mut().zip(row.iter().zip(&mean)).for_each(|(c, (&x, mean))| *c = f64::from(x) - mean);
            for (i, &c) in centred.iter().enumerate() {
                moment[i] += c * (target - target_mean) / n as f64;
                gram[i * width..=i * width + i].iter_mut().zip(&centred).for_each(|(g, &d)| *g += c * d / n as f64);
            }
        }
        let trace: f64 = (0..width).map(|i| gram[i * width + i]).sum();
        // Inputs that do not vary say nothing: with any positive ridge, w = 0.
        let ridge = if trace > 0.0 { RIDGE * trace / width as f64 } else { 1.0 };
        (0..width).for_each(|i| gram[i * width + i] += ridge);
        let weights = solve(&mut gram, moment, width)
            .ok_or_else(|| SpecError::new("x", "not finite or too large", "finite numbers"))?;
        let intercept = target_mean - weights.iter().zip(&mean).map(|(w, mean)| w * mean).sum::<f64>();
        Ok(Self { weights, intercept })
    }

    /// Its value at every row.
    pub fn values(&self, x: &[f32]) -> Vec<f64> {
        let at =
            |row: &[f32]| self.weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum::<f64>() + self.intercept;
        x.chunks_exact(self.weights.len()).map(at).collect()
    }
}

/// 1 − R² of the best affine fit of `targets`, \[N\], by `x`, \[N × width\]: 0 for an affine function; NaN for a constant.
///
/// # Errors
/// Those of [`Affine::fit`].
pub fn nonlinearity(x: &[f32], width: usize, targets: &[f64]) -> Result<f64, SpecError> {
    let fit = Affine::fit(x, width, targets)?;
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let rest: f64 = fit.values(x).iter().zip(targets).map(|(value, target)| (value - target).powi(2)).sum();
    Ok(rest / targets.iter().map(|target| (target - mean).powi(2)).sum::<f64>())
}

/// x with A x = b, A positive definite, \[n × n\], of which the lower triangle is read and overwritten; `None` if it is not.
fn solve(a: &mut [f64], mut b: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if i > j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > 0.0 && rest.is_finite() {
                a[i * n + i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - dot) / a[i * n + i];
    }
    b.iter().all(|x| x.is_finite()).then_some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that no short linear recurrence makes.
    fn rows(n: usize, width: usize) -> Vec<f32> {
        (0..n * width).map(|i| ((i * i * 7 + i * 31) % 1009) as f32 / 1009.0).collect()
    }

    #[test]
    fn an_affine_function_is_found_and_has_no_nonlinearity() {
        let x = rows(200, 3);
        let targets: Vec<f64> =
            x.chunks(3).map(|x| 2.0 * f64::from(x[0]) - 0.5 * f64::from(x[1]) + 0.25 * f64::from(x[2]) - 3.0).collect();
        let fit = Affine::fit(&x, 3, &targets).unwrap();
        for (found, expected) in fit.weights.iter().chain([&fit.intercept]).zip([2.0, -0.5, 0.25, -3.0]) {
            // The ridge's share: RIDGE relative.
            assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
        }
        assert!(nonlinearity(&x, 3, &targets).unwrap() < 1e-8);
    }

    #[test]
    fn the_gradient_vanishes_at_the_fit() {
        let (x, n) = (rows(150, 4), 150);
        let targets: Vec<f64> = (0..n).map(|i| ((i * 53) % 97) as f64 / 97.0).collect();
        let fit = Affine::fit(&x, 4, &targets).unwrap();
        let rest: Vec<f64> = fit.values(&x).iter().zip(&targets).map(|(value, target)| value - target).collect();
        assert!(rest.iter().sum::<f64>().abs() / (n as f64) < 1e-12);
        for j in 0..4 {
            let along = x.chunks(4).zip(&rest).map(|(x, rest)| f64::from(x[j]) * rest).sum::<f64>() / n as f64;
            assert!(along.abs() < 2e-6, "feature {j}: {along}");
        }
        let share = nonlinearity(&x, 4, &targets).unwrap();
        assert!(share > 0.5 && share <= 1.0, "{share}");
    }

    #[test]
    fn dependent_and_constant_inputs_have_a_fit_and_bad_ones_an_error() {
        let x: Vec<f32> = rows(60, 1).into_iter().flat_map(|x| [x, 2.0 * x, 1.0]).collect();
        let targets: Vec<f64> = x.chunks(3).map(|x| f64::from(x[0])).collect();
        let fit = Affine::fit(&x, 3, &targets).unwrap();
        assert!((fit.values(&x)[7] - targets[7]).abs() < 1e-4);
        assert!(nonlinearity(&x, 3, &[1.0; 60]).unwrap().is_nan());
        assert_eq!(Affine::fit(&[1.0; 4], 1, &[2.0; 4]).unwrap(), Affine { weights: vec![0.0], intercept: 2.0 });
        assert!(Affine::fit(&x, 3, &targets[1..]).is_err());
        assert!(Affine::fit(&[f32::NAN; 60], 1, &targets).is_err());
    }
}
