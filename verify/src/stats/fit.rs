//! Summaries, and the fit of a power law to a ladder of sizes.

use super::student::student_quantile;
use super::{StatsError, check_confidence, check_values};

/// `x̄ = Σ x / n`.
///
/// # Errors
/// An empty sample, or a value that is not finite.
pub fn mean(sample: &[f64]) -> Result<f64, StatsError> {
    if sample.is_empty() {
        return Err(StatsError::TooFew { what: "values", have: 0, need: 1 });
    }
    check_values("value", sample, "finite", f64::is_finite)?;
    Ok(sample.iter().sum::<f64>() / sample.len() as f64)
}

/// `s² = Σ (x − x̄)² / (n − 1)`, in two passes.
///
/// # Errors
/// Fewer than two values, or one that is not finite.
pub fn sample_variance(sample: &[f64]) -> Result<f64, StatsError> {
    if sample.len() < 2 {
        return Err(StatsError::TooFew { what: "values", have: sample.len(), need: 2 });
    }
    let center = mean(sample)?;
    Ok(sample.iter().map(|x| (x - center).powi(2)).sum::<f64>() / (sample.len() - 1) as f64)
}

/// `x_(1+⌊h⌋) + (h − ⌊h⌋)(x_(2+⌊h⌋) − x_(1+⌊h⌋))`, `h = (n − 1) q`: linear between order statistics.
///
/// `q = 0` is the least value and `q = 1` the greatest, so it serves as a minimum and maximum that a NaN does not
/// pass through unseen. Infinite values are let through. Source: Hyndman and Fan 1996, definition 7.
///
/// # Errors
/// An empty sample, a NaN in it, or `q` outside of `[0, 1]`.
pub fn quantile(sample: &[f64], q: f64) -> Result<f64, StatsError> {
    if sample.is_empty() {
        return Err(StatsError::TooFew { what: "values", have: 0, need: 1 });
    }
    if !(0.0..=1.0).contains(&q) {
        return Err(StatsError::OutOfRange { name: "q", value: q, expected: "in [0, 1]" });
    }
    check_values("value", sample, "a number", |x| !x.is_nan())?;
    let h = (sample.len() - 1) as f64 * q;
    let index = h.floor() as usize;
    let mut scratch = sample.to_vec();
    let (_, &mut low, above) = scratch.select_nth_unstable_by(index, f64::total_cmp);
    let fraction = h - index as f64;
    if fraction == 0.0 {
        return Ok(low);
    }
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Ok(if low == high { low } else { low + fraction * (high - low) })
}

/// [`quantile`] at `q = ½`.
///
/// # Errors
/// An empty sample, or a NaN in it.
pub fn median(sample: &[f64]) -> Result<f64, StatsError> {
    quantile(sample, 0.5)
}

/// `ln quantity = intercept + slope · ln size + residual`, fitted by [`power_law`].
#[derive(Clone, Debug, PartialEq)]
pub struct PowerLaw {
    /// The exponent.
    pub slope: f64,
    /// `ln` of the constant: the fitted quantity at size 1.
    pub intercept: f64,
    /// Student-t interval of the exponent.
    pub interval: [f64; 2],
    /// Confidence of the interval.
    pub confidence: f64,
    /// Standard error of the exponent.
    pub standard_error: f64,
    /// Residuals of `ln quantity`, in the order of the input.
    pub residuals: Vec<f64>,
    /// `R² = 1 − Σ residual² / Σ (ln quantity − mean)²`; 1 for an exact fit.
    pub r_squared: f64,
}

impl PowerLaw {
    /// `exp(intercept) size^slope`.
    pub fn at(&self, size: f64) -> f64 {
        (self.intercept + self.slope * size.ln()).exp()
    }
}

/// Ordinary least squares of `y = ln quantity` on `x = ln size`: slope `Σ (x−x̄)(y−ȳ)/Σ (x−x̄)²`, with the interval
/// slope `± t_{n−2} √(Σ residual² / (n − 2) / Σ (x−x̄)²)`.
///
/// Replicates of a size are points of their own. The interval assumes independent normal residuals of one variance
/// about a straight line. Where the line is curved, the residuals contain the lack of fit, which widens the interval
/// and is no longer independent: the slope is then the mean slope over the ladder, the interval says that no exponent
/// is exact, and the residuals show a pattern. Replicates on few sizes hide that, since they bring degrees of freedom
/// without bringing sizes; where curvature matters, fit one median a size, or look at [`PowerLaw::residuals`]. An
/// exact fit has an interval of length 0 up to rounding.
///
/// # Errors
/// Lists of different lengths, fewer than 3 points, fewer than 2 distinct sizes, a value that is not positive and
/// finite, `confidence` outside of `(0, 1)`.
pub fn power_law(sizes: &[f64], quantities: &[f64], confidence: f64) -> Result<PowerLaw, StatsError> {
    check_confidence(confidence)?;
    if sizes.len() != quantities.len() {
        return Err(StatsError::Lengths { sizes: sizes.len(), quantities: quantities.len() });
    }
    if sizes.len() < 3 {
        return Err(StatsError::TooFew { what: "points", have: sizes.len(), need: 3 });
    }
    let positive = |x: f64| x > 0.0 && x.is_finite();
    check_values("size", sizes, "positive and finite", positive)?;
    check_values("quantity", quantities, "positive and finite", positive)?;
    let logs = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| x.ln()).collect() };
    let (x, y) = (logs(sizes), logs(quantities));
    let (x_mean, y_mean) = (mean(&x)?, mean(&y)?);
    let square = |values: &[f64], center: f64| -> f64 { values.iter().map(|v| (v - center).powi(2)).sum() };
    let (spread, total) = (square(&x, x_mean), square(&y, y_mean));
    if spread <= 0.0 {
        return Err(StatsError::TooFew { what: "distinct sizes", have: 1, need: 2 });
    }
    let slope = x.iter().zip(&y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / spread;
    let intercept = y_mean - slope * x_mean;
    let residuals: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (y - y_mean) - slope * (x - x_mean)).collect();
    let unexplained = square(&residuals, 0.0);
    let degrees = (x.len() - 2) as f64;
    let standard_error = (unexplained / degrees / spread).sqrt();
    let half = student_quantile(degrees, confidence)? * standard_error;
    let r_squared = if unexplained == 0.0 { 1.0 } else { 1.0 - unexplained / total };
    Ok(PowerLaw {
        slope,
        intercept,
        interval: [slope - half, slope + half],
        confidence,
        standard_error,
        residuals,
        r_squared,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sampling::{Sampler, assert_coverage};

    #[test]
    fn quantiles_of_a_sample() {
        let sample = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&sample), Ok(2.5));
        assert_eq!(quantile(&sample, 0.0), Ok(1.0));
        assert_eq!(quantile(&sample, 1.0), Ok(4.0));
        assert!((quantile(&sample, 0.1).unwrap() - 1.3).abs() < 1e-15);
        assert_eq!(median(&[7.0]), Ok(7.0));
        assert_eq!(median(&[f64::INFINITY, f64::INFINITY]), Ok(f64::INFINITY));
        assert!(median(&[]).is_err());
        assert!(quantile(&sample, 1.5).is_err() && quantile(&sample, f64::NAN).is_err());
        for place in 0..3 {
            let mut with_nan = [1.0; 3];
            with_nan[place] = f64::NAN;
            assert!(matches!(median(&with_nan), Err(StatsError::BadValue { index, .. }) if index == place));
            assert!(mean(&with_nan).is_err() && sample_variance(&with_nan).is_err());
        }
    }

    #[test]
    fn variance_does_not_cancel() {
        let sample = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
        assert_eq!(sample_variance(&sample), Ok(30.0));
    }

    /// Anscombe's first data set (1973) with its published fit, on logarithmic scales.
    #[test]
    fn published_regression() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0].map(f64::exp);
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68].map(f64::exp);
        let fit = power_law(&x, &y, 0.95).unwrap();
        assert!((fit.slope - 0.500_090_909).abs() < 1e-8);
        assert!((fit.intercept - 3.000_090_909).abs() < 1e-8);
        assert!((fit.standard_error - 0.117_905_5).abs() < 1e-7);
        assert!((fit.r_squared - 0.666_542_5).abs() < 1e-7);
        assert!((fit.interval[0] - 0.233_370_1).abs() < 1e-6 && (fit.interval[1] - 0.766_811_7).abs() < 1e-6);
        assert!(fit.residuals.iter().sum::<f64>().abs() < 1e-12);
        assert!((fit.residuals[0] - 0.039).abs() < 1e-3);
    }

    #[test]
    fn exact_fits() {
        let sizes = [16.0_f64, 32.0, 64.0, 128.0];
        let fit = power_law(&sizes, &sizes.map(|x| 3.0 * x.powf(-0.5)), 0.99).unwrap();
        assert!((fit.slope + 0.5).abs() < 1e-14 && (fit.at(100.0) - 0.3).abs() < 1e-14);
        assert!(fit.interval[1] - fit.interval[0] < 1e-12 && fit.r_squared > 1.0 - 1e-12);
        let constant = power_law(&sizes, &[2.0; 4], 0.99).unwrap();
        assert_eq!((constant.slope, constant.r_squared, constant.interval), (0.0, 1.0, [0.0, 0.0]));
    }

    #[test]
    fn slope_interval_covers_its_confidence() {
        let mut sampler = Sampler::new(4);
        let sizes: Vec<f64> = [16.0, 32.0, 64.0, 128.0].iter().flat_map(|&size| [size; 3]).collect();
        let trials = 10_000;
        let hits = (0..trials)
            .filter(|_| {
                let quantities: Vec<f64> =
                    sizes.iter().map(|size| 5.0 * size.powf(0.7) * (0.2 * sampler.normal()).exp()).collect();
                let [low, high] = power_law(&sizes, &quantities, 0.95).unwrap().interval;
                (low..=high).contains(&0.7)
            })
            .count();
        assert_coverage("slope", hits, trials, 0.95, false);
    }

    #[test]
    fn curvature_widens_the_interval() {
        let sizes = [16.0_f64, 32.0, 64.0, 128.0, 256.0];
        let curved = power_law(&sizes, &sizes.map(|x| (x.ln().ln() - x.ln()).exp()), 0.95).unwrap();
        assert!(curved.interval[1] - curved.interval[0] > 0.02, "{curved:?}");
        assert!(curved.interval[0] > -1.0, "the local exponent is above −1 everywhere on the ladder");
    }

    #[test]
    fn bad_ladders_are_errors() {
        assert!(power_law(&[1.0, 2.0], &[1.0, 2.0], 0.95).is_err());
        assert!(power_law(&[1.0, 2.0, 3.0], &[1.0, 2.0], 0.95).is_err());
        assert!(power_law(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0], 0.95).is_err());
        let next = f64::from_bits(1e300_f64.to_bits() + 1);
        assert!(power_law(&[1e300, next, 1e300], &[1.0, 2.0, 3.0], 0.95).is_err());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(power_law(&[1.0, 2.0, bad], &[1.0, 2.0, 3.0], 0.95).is_err());
            assert!(power_law(&[1.0, 2.0, 4.0], &[1.0, bad, 3.0], 0.95).is_err());
        }
        assert!(power_law(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0], 1.0).is_err());
    }
}
