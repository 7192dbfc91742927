//! Exponents from paired ladders: replicate `r` of every size starts from the same random numbers.

use super::{StatsError, student};

/// Slope `β` of `ln quantity = a_r + β ln size + residual` with an intercept `a_r` for every replicate, and its interval
/// `β̂ ± t_{n−R−1} √(Σ residual² / (n − R − 1) / Σ (x − x̄_r)²)`.
///
/// What a replicate's random numbers do to all its sizes alike is taken out by its intercept, so that it widens nothing.
/// `blocks[r]` holds the pairs `(size, quantity)` of replicate `r`. Residuals are assumed normal, independent, of one
/// variance.
///
/// # Errors
/// No degree of freedom is left, a single size, a value that is not positive and finite, a confidence outside (0, 1).
pub fn exponent(blocks: &[Vec<(f64, f64)>], confidence: f64) -> Result<(f64, [f64; 2]), StatsError> {
    let points: usize = blocks.iter().map(Vec::len).sum();
    if points < blocks.len() + 2 {
        return Err(StatsError::TooFew { what: "points", have: points, need: blocks.len() + 2 });
    }
    for (index, &(size, quantity)) in blocks.iter().flatten().enumerate() {
        for (what, value) in [("size", size), ("quantity", quantity)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(StatsError::BadValue { what, index, value, expected: "positive and finite" });
            }
        }
    }
    // Centred in every block, so that the intercepts are gone.
    let centred: Vec<(f64, f64)> = blocks
        .iter()
        .flat_map(|block| {
            let n = block.len() as f64;
            let x_mean = block.iter().map(|(x, _)| x.ln()).sum::<f64>() / n;
            let y_mean = block.iter().map(|(_, y)| y.ln()).sum::<f64>() / n;
            block.iter().map(move |(x, y)| (x.ln() - x_mean, y.ln() - y_mean))
        })
        .collect();
    let spread: f64 = centred.iter().map(|(x, _)| x * x).sum();
    if spread == 0.0 {
        return Err(StatsError::TooFew { what: "distinct sizes", have: 1, need: 2 });
    }
    let slope = centred.iter().map(|(x, y)| x * y).sum::<f64>() / spread;
    let unexplained: f64 = centred.iter().map(|(x, y)| (y - slope * x).powi(2)).sum();
    let degrees = (points - blocks.len() - 1) as f64;
    let half = student::student_quantile(degrees, confidence)? * (unexplained / degrees / spread).sqrt();
    Ok((slope, [slope - half, slope + half]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intercepts_are_taken_out() {
        let block = |a: f64| [1.0, 10.0, 100.0].map(|x: f64| (x, a * x.powf(-0.5))).to_vec();
        let (slope, interval) = exponent(&[block(1.0), block(7.0), block(0.01)], 0.99).unwrap();
        assert!((slope + 0.5).abs() < 1e-14);
        assert!(interval[1] - interval[0] < 1e-12);
    }

    #[test]
    fn the_interval_is_students() {
        // y = ±0.1 about slope 1 on x = −1, 0, 1 in one block: residuals (0.1, −0.2, 0.1), Σ residual² = 0.06, one degree
        // of freedom, Σ (x − x̄)² = 2, so the standard error is √0.03 and t at 95 % is 12.7062.
        let block = vec![(-1.0, -0.9), (0.0, -0.2), (1.0, 1.1)];
        let block = block.into_iter().map(|(x, y): (f64, f64)| (x.exp(), y.exp())).collect();
        let (slope, interval) = exponent(&[block], 0.95).unwrap();
        assert!((slope - 1.0).abs() < 1e-12);
        assert!((interval[1] - slope - 12.706_204_7 * 0.03f64.sqrt()).abs() < 1e-6, "{interval:?}");
    }

    #[test]
    fn what_cannot_be_fitted_is_an_error() {
        assert!(exponent(&[vec![(1.0, 1.0), (2.0, 1.0)]], 0.95).is_err());
        assert!(exponent(&[vec![(1.0, 1.0); 4]], 0.95).is_err());
        assert!(exponent(&[vec![(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]], 0.95).is_err());
        assert!(exponent(&[], 0.95).is_err());
    }
}
