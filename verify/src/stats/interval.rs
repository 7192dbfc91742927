//! Confidence intervals.

use super::beta::{inverse_regularized_beta, regularized_beta};
use super::fit::{mean, sample_variance};
use super::student::student_quantile;
use super::{StatsError, check_confidence, check_values};

/// Clopper–Pearson: `[p_L, p_U]` with `Pr[Bin(n, p_L) ≥ k] = Pr[Bin(n, p_U) ≤ k] = (1 − confidence)/2`.
///
/// `k` successes in `n` independent trials of one probability. Exact: the coverage is at least `confidence` for every
/// `p` and `n`. `k = 0` has the lower end 0, `k = n` the upper end 1, and `n = 0` gives `[0, 1]`. Some 10 µs, less for
/// `k` = 0 or `n`. Source: Clopper and Pearson 1934.
///
/// # Errors
/// More successes than trials; `confidence` outside of `(0, 1)`.
pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    if successes > trials {
        return Err(StatsError::Counts { successes, trials });
    }
    let tail = 0.5 * (1.0 - confidence);
    let (k, n) = (successes as f64, trials as f64);
    // Pr[Bin(n, p) ≥ k] = I_p(k, n − k + 1).
    let lower = |k: f64| inverse_regularized_beta(k, n - k + 1.0, tail);
    let low = if successes == 0 { 0.0 } else { lower(k) };
    let high = if successes == trials {
        1.0
    } else if successes == 0 {
        // 1 − tail^(1/n), without cancellation.
        -(tail.ln() / n).exp_m1()
    } else {
        1.0 - lower(n - k)
    };
    Ok([low, high])
}

/// `x̄ ± [√(2 V ln(4/δ)/n) + 7 (b − a) ln(4/δ) / (3 (n − 1))]`, `δ = 1 − confidence`.
///
/// Empirical Bernstein, for the mean of `n ≥ 2` independent variables in an interval of length `range = b − a`, with
/// sample variance `V` (divisor `n − 1`). Valid at every `n`; two-sided by a union over the sides. Where the range is
/// what was seen and not what is possible, it proves nothing. Source: Maurer and Pontil 2009, Theorem 4.
///
/// # Errors
/// `n < 2`, a negative or non-finite variance or range, a non-finite mean, `confidence` outside of `(0, 1)`.
pub fn empirical_bernstein(
    n: u64,
    mean: f64,
    variance: f64,
    range: f64,
    confidence: f64,
) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    if n < 2 {
        return Err(StatsError::TooFew { what: "samples", have: n as usize, need: 2 });
    }
    check_moments(mean, variance, range)?;
    let log = (4.0 / (1.0 - confidence)).ln();
    let n = n as f64;
    let half = (2.0 * variance * log / n).sqrt() + 7.0 * range * log / (3.0 * (n - 1.0));
    Ok([mean - half, mean + half])
}

/// `x̄ ± (b − a) √(ln(2/δ) / 2n)`, `δ = 1 − confidence`.
///
/// For the mean of `n ≥ 1` independent variables, each in an interval of length `range = b − a`. Source: Hoeffding
/// 1963, Theorem 2.
///
/// # Errors
/// `n = 0`, a negative or non-finite range, a non-finite mean, `confidence` outside of `(0, 1)`.
pub fn hoeffding(n: u64, mean: f64, range: f64, confidence: f64) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    if n == 0 {
        return Err(StatsError::TooFew { what: "samples", have: 0, need: 1 });
    }
    check_moments(mean, 0.0, range)?;
    let half = range * ((2.0 / (1.0 - confidence)).ln() / (2.0 * n as f64)).sqrt();
    Ok([mean - half, mean + half])
}

/// `{p : n kl(x̄ ‖ p) ≤ ln(2/α)}`, `kl(a ‖ b) = a ln(a/b) + (1−a) ln((1−a)/(1−b))`, for the mean of `n` independent
/// variables in `[0, 1]` that need not have the same law.
///
/// Valid at every `n` by Chernoff's bound, which for such sums is that of coins with the mean probability. Nearly as
/// short as the normal interval at `√(2 ln(2/α))` deviations, also where `x̄` is near 0 or 1. Source: Hoeffding 1963,
/// theorem 1.
///
/// # Errors
/// `n = 0`, `x̄` outside of `[0, 1]`, `confidence` outside of `(0, 1)`.
pub fn chernoff(n: u64, mean: f64, confidence: f64) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    if n == 0 {
        return Err(StatsError::TooFew { what: "samples", have: 0, need: 1 });
    }
    if !(0.0..=1.0).contains(&mean) {
        return Err(StatsError::OutOfRange { name: "mean", value: mean, expected: "in [0, 1]" });
    }
    let budget = (2.0 / (1.0 - confidence)).ln() / n as f64;
    let term = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a * (a / b).ln() };
    let within = |p: f64| term(mean, p) + term(1.0 - mean, 1.0 - p) <= budget;
    // The divergence grows away from the mean on either side.
    let edge = |mut outside: f64| {
        let mut inside = mean;
        for _ in 0..200 {
            let middle = f64::midpoint(inside, outside);
            if middle == inside || middle == outside {
                break;
            }
            if within(middle) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        outside
    };
    Ok([edge(0.0), edge(1.0)])
}

fn check_moments(mean: f64, variance: f64, range: f64) -> Result<(), StatsError> {
    if !mean.is_finite() {
        return Err(StatsError::OutOfRange { name: "mean", value: mean, expected: "finite" });
    }
    for (name, value) in [("variance", variance), ("range", range)] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(StatsError::OutOfRange { name, value, expected: "finite and not below 0" });
        }
    }
    Ok(())
}

/// `x̄ ± t_{n−1} s/√n`.
///
/// For the mean of `n ≥ 2` independent replicates with one normal distribution; for others it holds as `n` grows.
/// Equal replicates give an interval of length 0.
///
/// # Errors
/// Fewer than two replicates, one that is not finite, `confidence` outside of `(0, 1)`.
pub fn student_interval(replicates: &[f64], confidence: f64) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    check_values("replicate", replicates, "finite", f64::is_finite)?;
    let (center, variance) = (mean(replicates)?, sample_variance(replicates)?);
    let n = replicates.len() as f64;
    let half = student_quantile(n - 1.0, confidence)? * (variance / n).sqrt();
    Ok([center - half, center + half])
}

/// `x̄_i ± t_{n−g} s/√n_i` for every group, `s² = Σ_i Σ_r (x_ir − x̄_i)²/(n − g)`, `n` values in `g` groups: means and
/// intervals with one variance for all.
///
/// For normal values of one variance it is exact for each group, and much shorter than [`student_interval`] where groups
/// are small and the confidence is high.
///
/// # Errors
/// No degree of freedom, an empty group, a value that is not finite, `confidence` outside of `(0, 1)`.
pub fn pooled_intervals(groups: &[Vec<f64>], confidence: f64) -> Result<Vec<(f64, [f64; 2])>, StatsError> {
    let n: usize = groups.iter().map(Vec::len).sum();
    if n <= groups.len() {
        return Err(StatsError::TooFew { what: "values", have: n, need: groups.len() + 1 });
    }
    let means = groups.iter().map(|group| mean(group)).collect::<Result<Vec<f64>, _>>()?;
    let squares = |(group, mean): (&Vec<f64>, &f64)| group.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let degrees = (n - groups.len()) as f64;
    let deviation = (groups.iter().zip(&means).map(squares).sum::<f64>() / degrees).sqrt();
    let t = student_quantile(degrees, confidence)?;
    let interval = |(group, &mean): (&Vec<f64>, &f64)| {
        let half = t * deviation / (group.len() as f64).sqrt();
        (mean, [mean - half, mean + half])
    };
    Ok(groups.iter().zip(&means).map(interval).collect())
}

/// `1 − (1 − confidence)/n`: the confidence of each of `n` statements that together have `confidence`.
///
/// Bonferroni's union bound; nothing is assumed of their dependence. `n = 0` is taken as 1.
pub fn bonferroni(confidence: f64, comparisons: u64) -> f64 {
    1.0 - (1.0 - confidence) / comparisons.max(1) as f64
}

/// `[x_(l), x_(u)]` for the `q`-quantile of a distribution, from the order statistics of an independent sample.
///
/// `l` is the largest with `Pr[Bin(n, q) < l] ≤ δ/2`, `u` the smallest with `Pr[Bin(n, q) ≥ u] ≤ δ/2`, `δ = 1 −
/// confidence`. The coverage is at least `confidence` for every distribution, discrete ones too. Where no order
/// statistic is far enough out the end is infinite. Source: David and Nagaraja, Order Statistics, section 7.1.
///
/// # Errors
/// An empty sample, a NaN, `q` or `confidence` outside of `(0, 1)`.
pub fn quantile_interval(sample: &[f64], q: f64, confidence: f64) -> Result<[f64; 2], StatsError> {
    check_confidence(confidence)?;
    if !(q > 0.0 && q < 1.0) {
        return Err(StatsError::OutOfRange { name: "q", value: q, expected: "strictly between 0 and 1" });
    }
    if sample.is_empty() {
        return Err(StatsError::TooFew { what: "values", have: 0, need: 1 });
    }
    check_values("value", sample, "a number", |x| !x.is_nan())?;
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - confidence);
    let n = sorted.len();
    // Pr[Bin(n, q) ≥ k] = I_q(k, n − k + 1) for 1 ≤ k ≤ n; its complement is Pr[Bin(n, q) < k].
    let tails = |k: usize| regularized_beta(k as f64, (n - k + 1) as f64, q, 1.0 - q);
    let ranks: Vec<usize> = (1..=n).collect();
    let lower = ranks.partition_point(|&k| tails(k).1 <= tail);
    let upper = ranks.partition_point(|&k| tails(k).0 > tail);
    let low = if lower == 0 { f64::NEG_INFINITY } else { sorted[lower - 1] };
    let high = sorted.get(upper).copied().unwrap_or(f64::INFINITY);
    Ok([low, high])
}

/// [`quantile_interval`] of the median.
///
/// # Errors
/// As there.
pub fn median_interval(sample: &[f64], confidence: f64) -> Result<[f64; 2], StatsError> {
    quantile_interval(sample, 0.5, confidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sampling::{Sampler, assert_coverage};

    /// `Pr[Bin(n, p) = k]` for small `n`.
    fn binomial(n: u64, k: u64, p: f64) -> f64 {
        let choose: f64 = (1..=k).map(|i| (n - k + i) as f64 / i as f64).product();
        choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
    }

    #[test]
    fn clopper_pearson_meets_published_values() {
        for (k, n, confidence, expected) in [
            (0, 10, 0.95, [0.0, 0.308_497_1]),
            (5, 10, 0.95, [0.187_086_0, 0.812_914_0]),
            (10, 10, 0.95, [0.691_502_9, 1.0]),
            (1, 20, 0.95, [0.001_265_1, 0.248_732_8]),
            (0, 0, 0.95, [0.0, 1.0]),
        ] {
            let interval = clopper_pearson(k, n, confidence).unwrap();
            for (end, expected) in interval.iter().zip(expected) {
                assert!((end - expected).abs() < 5e-8, "{k}/{n}: {interval:?}");
            }
        }
    }

    #[test]
    fn clopper_pearson_solves_its_equations_in_far_tails() {
        for (k, n) in [(1u64, 1u64), (1, 2), (3, 40), (20, 40), (39, 40)] {
            for confidence in [0.9, 0.999, 1.0 - 1e-9] {
                let [low, high] = clopper_pearson(k, n, confidence).unwrap();
                let tail = 0.5 * (1.0 - confidence);
                let above: f64 = (k..=n).map(|i| binomial(n, i, low)).sum();
                assert!((above / tail - 1.0).abs() < 1e-10, "{k}/{n} {confidence}: {above} {tail}");
                if k < n {
                    let below: f64 = (0..=k).map(|i| binomial(n, i, high)).sum();
                    // 1 − high is known to 1e-16 absolutely.
                    assert!((below / tail - 1.0).abs() < 1e-10 + 1e-15 / (1.0 - high), "{k}/{n} {confidence}");
                }
            }
        }
        for (k, n) in [(1u64, 16_777_216u64), (500_000, 1_000_000), (16_777_215, 16_777_216)] {
            for confidence in [0.95, 1.0 - 1e-12] {
                let [low, high] = clopper_pearson(k, n, confidence).unwrap();
                let [low2, high2] = clopper_pearson(n - k, n, confidence).unwrap();
                let p = k as f64 / n as f64;
                assert!(low < p && p < high, "{k}/{n}: [{low}, {high}]");
                assert!((low - (1.0 - high2)).abs() < 1e-15 && (high - (1.0 - low2)).abs() < 1e-15);
                let tail = 0.5 * (1.0 - confidence);
                let above = regularized_beta(k as f64, (n - k + 1) as f64, low, 1.0 - low).0;
                assert!((above / tail - 1.0).abs() < 1e-8, "{k}/{n} {confidence}: {above}");
            }
        }
    }

    #[test]
    fn clopper_pearson_covers_at_least_its_confidence() {
        // Exact coverage, by summing over the outcomes, on a grid of probabilities.
        let (n, confidence) = (30, 0.95);
        let intervals: Vec<_> = (0..=n).map(|k| clopper_pearson(k, n, confidence).unwrap()).collect();
        for i in 1..400 {
            let p = f64::from(i) / 400.0;
            let covered = |[low, high]: [f64; 2]| (low..=high).contains(&p);
            let coverage: f64 = (0..=n).filter(|&k| covered(intervals[k as usize])).map(|k| binomial(n, k, p)).sum();
            assert!(coverage >= confidence - 1e-12, "p = {p}: {coverage}");
        }
    }

    #[test]
    fn student_interval_covers_its_confidence() {
        let mut sampler = Sampler::new(1);
        for (n, confidence) in [(2, 0.95), (5, 0.95), (12, 0.99)] {
            let trials = 20_000;
            let hits = (0..trials)
                .filter(|_| {
                    let sample: Vec<f64> = (0..n).map(|_| 3.0 + 2.0 * sampler.normal()).collect();
                    let [low, high] = student_interval(&sample, confidence).unwrap();
                    (low..=high).contains(&3.0)
                })
                .count();
            assert_coverage(&format!("Student, n = {n}"), hits, trials, confidence, false);
        }
    }

    #[test]
    fn bounded_means_are_covered() {
        let mut sampler = Sampler::new(2);
        let (trials, confidence) = (4000, 0.95);
        // A rare large loss: the case where intervals from the sample variance alone fail.
        for p in [0.01, 0.3] {
            let (mut bernstein, mut by_range) = (0, 0);
            for _ in 0..trials {
                let sample: Vec<f64> = (0..200).map(|_| if sampler.uniform() < p { 2.0 } else { 0.0 }).collect();
                let (center, variance) = (mean(&sample).unwrap(), sample_variance(&sample).unwrap());
                let [low, high] = empirical_bernstein(200, center, variance, 2.0, confidence).unwrap();
                bernstein += usize::from((low..=high).contains(&(2.0 * p)));
                let [low, high] = hoeffding(200, center, 2.0, confidence).unwrap();
                by_range += usize::from((low..=high).contains(&(2.0 * p)));
            }
            assert_coverage("empirical Bernstein", bernstein, trials, confidence, true);
            assert_coverage("Hoeffding", by_range, trials, confidence, true);
        }
    }

    #[test]
    fn bounded_means_by_hand() {
        let half = |[low, high]: [f64; 2]| 0.5 * (high - low);
        // ln(4/0.05) = 4.382027, ln(2/0.05) = 3.688879.
        let bernstein = half(empirical_bernstein(101, 0.5, 0.04, 1.0, 0.95).unwrap());
        assert!((bernstein - ((2.0 * 0.04 * 4.382_027_f64 / 101.0).sqrt() + 7.0 * 4.382_027 / 300.0)).abs() < 1e-7);
        let by_range = half(hoeffding(50, 0.5, 1.0, 0.95).unwrap());
        assert!((by_range - 0.036_888_79_f64.sqrt()).abs() < 1e-7);
    }

    #[test]
    fn order_statistics_of_the_median() {
        let sample: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        // Published ranks for the median: (6, 15) of 20, (2, 9) of 10, none of 5 at 95 %.
        assert_eq!(median_interval(&sample, 0.95).unwrap(), [6.0, 15.0]);
        assert_eq!(median_interval(&sample[10..], 0.95).unwrap(), [2.0, 9.0]);
        assert_eq!(median_interval(&sample[15..], 0.95).unwrap(), [f64::NEG_INFINITY, f64::INFINITY]);
        assert_eq!(quantile_interval(&sample, 0.99, 0.95).unwrap()[1], f64::INFINITY);
    }

    #[test]
    fn quantile_intervals_cover_at_least_their_confidence() {
        let mut sampler = Sampler::new(3);
        let trials = 10_000;
        for (q, discrete) in [(0.5, false), (0.9, false), (0.5, true)] {
            let hits = (0..trials)
                .filter(|_| {
                    let draw = |u: f64| if discrete { (3.0 * u).floor() } else { -(1.0 - u).ln() };
                    let sample: Vec<f64> = (0..25).map(|_| draw(sampler.uniform())).collect();
                    let truth = if discrete { 1.0 } else { -(1.0_f64 - q).ln() };
                    let [low, high] = quantile_interval(&sample, q, 0.9).unwrap();
                    (low..=high).contains(&truth)
                })
                .count();
            assert_coverage(&format!("{q}-quantile"), hits, trials, 0.9, true);
        }
    }

    #[test]
    fn chernoff_covers_means_of_unequal_variables() {
        let mut sampler = Sampler::new(12);
        let (trials, n) = (4000, 60);
        let hits = (0..trials)
            .filter(|_| {
                // Halves of coins, and coins of probabilities 0.02 and 0.3.
                let sum: f64 = (0..n)
                    .map(|i| match i % 3 {
                        0 => 0.5 * f64::from(u8::from(sampler.uniform() < 0.2)),
                        1 => f64::from(u8::from(sampler.uniform() < 0.02)),
                        _ => f64::from(u8::from(sampler.uniform() < 0.3)),
                    })
                    .sum();
                let [low, high] = chernoff(n, sum / n as f64, 0.9).unwrap();
                (low..=high).contains(&0.14)
            })
            .count();
        assert_coverage("Chernoff", hits, trials, 0.9, true);
        // Nothing seen: (1 − p)^n = α/2.
        let [low, high] = chernoff(100, 0.0, 0.95).unwrap();
        assert!(low == 0.0 && (high - (1.0 - 0.025_f64.powf(0.01))).abs() < 1e-12);
        let [low, high] = chernoff(1_000_000, 0.3, 0.95).unwrap();
        let normal = (2.0 * 40.0_f64.ln() * 0.21 / 1e6).sqrt();
        assert!(((high - low) / (2.0 * normal) - 1.0).abs() < 1e-3);
        assert!(
            chernoff(0, 0.5, 0.9).is_err() && chernoff(5, 1.5, 0.9).is_err() && chernoff(5, f64::NAN, 0.9).is_err()
        );
    }

    #[test]
    fn pooled_intervals_cover_every_group() {
        let mut sampler = Sampler::new(13);
        let trials = 4000;
        let mut hits = 0;
        for _ in 0..trials {
            let groups: Vec<Vec<f64>> =
                [2, 3, 2].iter().map(|&n| (0..n).map(|_| 5.0 + 2.0 * sampler.normal()).collect()).collect();
            let [low, high] = pooled_intervals(&groups, 0.9).unwrap()[1].1;
            hits += usize::from((low..=high).contains(&5.0));
        }
        assert_coverage("pooled Student", hits, trials, 0.9, false);
        // One group is Student's own interval.
        let values = vec![1.0, 2.0, 4.0];
        let (mean, interval) = pooled_intervals(std::slice::from_ref(&values), 0.95).unwrap()[0];
        let student = student_interval(&values, 0.95).unwrap();
        assert!((mean - 7.0 / 3.0).abs() < 1e-15 && (interval[0] - student[0]).abs() < 1e-12);
        assert!(pooled_intervals(&[vec![1.0], vec![2.0]], 0.95).is_err());
        assert!(pooled_intervals(&[vec![1.0, 2.0], vec![]], 0.95).is_err());
        assert!(pooled_intervals(&[vec![1.0, f64::NAN]], 0.95).is_err());
    }

    #[test]
    fn bonferroni_splits_the_error() {
        assert!((bonferroni(0.95, 50) - 0.999).abs() < 1e-15);
        assert_eq!(bonferroni(0.95, 1), bonferroni(0.95, 0));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert_eq!(clopper_pearson(3, 2, 0.95), Err(StatsError::Counts { successes: 3, trials: 2 }));
        for confidence in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(clopper_pearson(1, 2, confidence).is_err());
            assert!(hoeffding(1, 0.0, 1.0, confidence).is_err());
            assert!(student_interval(&[1.0, 2.0], confidence).is_err());
            assert!(median_interval(&[1.0], confidence).is_err());
        }
        assert!(empirical_bernstein(1, 0.0, 0.0, 1.0, 0.95).is_err());
        assert!(empirical_bernstein(9, 0.0, -1.0, 1.0, 0.95).is_err());
        assert!(empirical_bernstein(9, f64::NAN, 1.0, 1.0, 0.95).is_err());
        assert!(hoeffding(0, 0.0, 1.0, 0.95).is_err());
        assert!(hoeffding(5, 0.0, f64::INFINITY, 0.95).is_err());
        assert!(student_interval(&[1.0], 0.95).is_err());
        assert!(student_interval(&[1.0, f64::NAN], 0.95).is_err());
        assert_eq!(student_interval(&[2.0, 2.0, 2.0], 0.95), Ok([2.0, 2.0]));
        assert!(median_interval(&[], 0.95).is_err());
        assert!(median_interval(&[0.0, f64::NAN], 0.95).is_err());
        assert!(quantile_interval(&[0.0], 1.0, 0.95).is_err());
    }
}
