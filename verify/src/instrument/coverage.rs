//! Coverage of every interval method: how often an interval misses the truth, beside how often it may.
//!
//! Where the outcomes can be counted, coverage is computed and not simulated: a count has finitely many values, the mean
//! of a two-point sample depends on a count, and so does the place of a quantile among order statistics. Student's
//! intervals are simulated, and their quantile is checked by a quadrature that uses neither beta functions nor itself.

use crate::claims::check::CONFIDENCE;
use crate::stats::sampling::Sampler;
use crate::stats::{self, StatsError, fit, interval, normal, paired, student};

/// What an interval method says of its coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It is the nominal level.
    Exact,
    /// It is the nominal level or more.
    AtLeast,
    /// Nothing: the sample is not what the method assumes. Shown, not judged.
    Nothing,
}

/// How an interval method did in one case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// The sample.
    pub case: String,
    /// `δ = 1 − confidence`: how often the interval may miss.
    pub nominal: f64,
    /// What the method promises.
    pub promise: Promise,
    /// How often it missed.
    pub missed: f64,
    /// Simulated intervals; `None` where the probability was computed.
    pub replicates: Option<u64>,
    /// Clopper–Pearson interval of the miss rate at [`SIMULATION_CONFIDENCE`]; twice the value where it was computed.
    pub interval: [f64; 2],
}

/// Confidence of the binomial interval of one simulated miss rate: with some fifteen of them in a table, one in a
/// thousand tables shows a correct method as wrong.
pub const SIMULATION_CONFIDENCE: f64 = 1.0 - 1e-3 / 15.0;

/// Relative error of a computed miss rate: sums of 10⁴ terms, and quantiles good to 1e-11 where the density is steep.
const COMPUTED: f64 = 1e-6;

impl Row {
    /// Whether the promise was kept, as far as the row can tell; `true` where nothing is promised.
    pub fn kept(&self) -> bool {
        let [low, high] = self.interval;
        let slack = if self.replicates.is_none() { COMPUTED } else { 0.0 };
        let not_more = low <= self.nominal * (1.0 + slack);
        let not_less = high >= self.nominal * (1.0 - slack);
        match self.promise {
            Promise::Exact => not_more && not_less,
            Promise::AtLeast => not_more,
            Promise::Nothing => true,
        }
    }

    fn computed(method: &'static str, case: String, nominal: f64, promise: Promise, missed: f64) -> Self {
        Self { method, case, nominal, promise, missed, replicates: None, interval: [missed; 2] }
    }
}

/// The levels that are tried: 95 %, and the one that checks have.
pub const LEVELS: [f64; 2] = [0.95, CONFIDENCE];

/// Every method in every case, simulated ones with `replicates` intervals each.
///
/// # Errors
/// A statistic refuses, which would be a defect.
pub fn measure(seed: u64, replicates: u64) -> Result<Vec<Row>, StatsError> {
    let mut rows = vec![];
    for level in LEVELS {
        for trials in [10, 768, 16_384] {
            rows.push(clopper_pearson(trials, level)?);
        }
        for p in [0.01, 0.3] {
            rows.push(bounded_mean("Hoeffding", 1000, p, level, |n, mean, _| {
                interval::hoeffding(n, mean, 1.0, level)
            })?);
            rows.push(bounded_mean("empirical Bernstein", 1000, p, level, |n, mean, variance| {
                interval::empirical_bernstein(n, mean, variance, 1.0, level)
            })?);
        }
        for (n, q) in [(25, 0.5), (25, 0.9), (128, 0.5)] {
            rows.push(quantile(n, q, level)?);
        }
        for n in [2, 6, 12] {
            rows.push(student_by_quadrature(n, level)?);
        }
    }
    rows.push(student_by_quadrature(6, 1.0 - 1e-9)?);
    for (index, level) in LEVELS.into_iter().enumerate() {
        let mut sampler = Sampler::new(feature_contamination::rng::derive(seed, &[index as u64]));
        rows.extend(simulated(&mut sampler, level, replicates)?);
    }
    Ok(rows)
}

/// Greatest miss rate of Clopper–Pearson's interval over the probability: it is greatest where one interval begins or
/// ends, so that those points are tried, from outside.
fn clopper_pearson(trials: u64, level: f64) -> Result<Row, StatsError> {
    let intervals: Vec<[f64; 2]> =
        (0..=trials).map(|k| interval::clopper_pearson(k, trials, level)).collect::<Result<_, _>>()?;
    // Some hundreds of ends are enough of many; both tails among them.
    let stride = (intervals.len() / 400).max(1);
    let ends = intervals
        .iter()
        .enumerate()
        .filter(|(k, _)| k % stride == 0 || *k < 8)
        .flat_map(|(_, &[low, high])| [low * (1.0 - 1e-9), high + (1.0 - high).min(high) * 1e-9]);
    let worst = ends
        .filter(|p| (0.0..1.0).contains(p) && *p > 0.0)
        .map(|p| {
            let covered = |k: usize| (intervals[k][0]..=intervals[k][1]).contains(&p);
            missed_by_count(trials as usize, p, covered)
        })
        .fold(0.0, f64::max);
    let case = format!("{trials} trials, worst probability");
    Ok(Row::computed("Clopper–Pearson", case, 1.0 - level, Promise::AtLeast, worst))
}

/// Miss rate for the mean of `n` variables that are 1 with probability `p`, else 0: a function of their number.
fn bounded_mean(
    method: &'static str,
    n: usize,
    p: f64,
    level: f64,
    interval: impl Fn(u64, f64, f64) -> Result<[f64; 2], StatsError>,
) -> Result<Row, StatsError> {
    let covered: Vec<bool> = (0..=n)
        .map(|k| {
            let mean = k as f64 / n as f64;
            let variance = mean * (1.0 - mean) * n as f64 / (n - 1) as f64;
            let [low, high] = interval(n as u64, mean, variance)?;
            Ok((low..=high).contains(&p))
        })
        .collect::<Result<_, StatsError>>()?;
    let missed = missed_by_count(n, p, |k| covered[k]);
    Ok(Row::computed(method, format!("{n} coins, Pr[1] = {p}"), 1.0 - level, Promise::AtLeast, missed))
}

/// Miss rate for the `q`-quantile of any continuous law: `k` of `n` values lie below it, `k` binomial.
fn quantile(n: usize, q: f64, level: f64) -> Result<Row, StatsError> {
    let covered: Vec<bool> = (0..=n)
        .map(|k| {
            let sample: Vec<f64> = (0..n).map(|i| if i < k { -1.0 } else { 1.0 }).collect();
            let [low, high] = interval::quantile_interval(&sample, q, level)?;
            Ok(low < 0.0 && high > 0.0)
        })
        .collect::<Result<_, StatsError>>()?;
    let missed = missed_by_count(n, q, |k| covered[k]);
    let case = format!("{q}-quantile of {n} values, any continuous law");
    Ok(Row::computed("order statistics", case, 1.0 - level, Promise::AtLeast, missed))
}

/// `Pr[not covered(K)]`, `K ~ Bin(n, p)`, `0 < p < 1`: the terms from the mode outwards, by their ratios.
fn missed_by_count(n: usize, p: f64, covered: impl Fn(usize) -> bool) -> f64 {
    let mode = (((n + 1) as f64 * p) as usize).min(n);
    let odds = p / (1.0 - p);
    let mut terms = vec![0.0; n + 1];
    terms[mode] = 1.0;
    for k in mode..n {
        terms[k + 1] = terms[k] * odds * (n - k) as f64 / (k + 1) as f64;
    }
    for k in (0..mode).rev() {
        terms[k] = terms[k + 1] / odds * (k + 1) as f64 / (n - k) as f64;
    }
    let total: f64 = terms.iter().sum();
    let missed: f64 = terms.iter().enumerate().filter(|&(k, _)| !covered(k)).map(|(_, term)| term).sum();
    missed / total
}

/// `Pr[|T| > t] = ∫ 2 Pr[Z > t √(w/ν)] f(w) dw`, `W ~ χ²_ν`: Student's interval for `n = ν + 1` normal replicates.
///
/// With `w = e^(2x)` the integrand falls doubly exponentially at the right and exponentially at the left, so that the
/// trapezoidal rule is exact to rounding.
fn student_by_quadrature(n: usize, level: f64) -> Result<Row, StatsError> {
    let nu = (n - 1) as f64;
    let t = student::student_quantile(nu, level)?;
    let (mut missed, mut total) = (0.0, 0.0);
    for i in 0..=20_000 {
        let x = -40.0 + f64::from(i) * 44.0 / 20_000.0;
        let root: f64 = x.exp();
        let density = (nu * x - 0.5 * root * root).exp();
        total += density;
        missed += density * 2.0 * normal::normal_upper_tail(t * root / nu.sqrt());
    }
    let case = format!("{n} normal replicates, by quadrature");
    Ok(Row::computed("Student", case, 1.0 - level, Promise::Exact, missed / total))
}

/// The methods whose coverage is simulated.
fn simulated(sampler: &mut Sampler, level: f64, replicates: u64) -> Result<Vec<Row>, StatsError> {
    let mut rows = vec![];
    let mut row = |method, case: &str, promise, mut covers: Box<dyn FnMut() -> Result<bool, StatsError> + '_>| {
        let mut misses = 0;
        for _ in 0..replicates {
            misses += u64::from(!covers()?);
        }
        let interval = interval::clopper_pearson(misses, replicates, SIMULATION_CONFIDENCE)?;
        rows.push(Row {
            method,
            case: case.to_owned(),
            nominal: 1.0 - level,
            promise,
            missed: misses as f64 / replicates as f64,
            replicates: Some(replicates),
            interval,
        });
        Ok::<_, StatsError>(())
    };
    let within = |[low, high]: [f64; 2], truth: f64| (low..=high).contains(&truth);
    let normal = |sampler: &mut Sampler, n: usize| (0..n).map(|_| sampler.normal()).collect::<Vec<f64>>();

    for (case, n) in [("6 normal replicates", 6), ("12 normal replicates", 12)] {
        row(
            "Student",
            case,
            Promise::Exact,
            Box::new(|| Ok(within(interval::student_interval(&normal(sampler, n), level)?, 0.0))),
        )?;
    }
    row(
        "Student",
        "6 exponential replicates (not normal)",
        Promise::Nothing,
        Box::new(|| {
            let sample: Vec<f64> = (0..6).map(|_| -(1.0 - sampler.uniform()).ln()).collect();
            Ok(within(interval::student_interval(&sample, level)?, 1.0))
        }),
    )?;
    row(
        "Bonferroni",
        "Student's intervals of 4 rungs of 6, which share half of their variance",
        Promise::AtLeast,
        Box::new(|| {
            let confidence = stats::bonferroni(level, 4);
            let common = normal(sampler, 6);
            for _ in 0..4 {
                let sample: Vec<f64> = common.iter().map(|shared| shared + sampler.normal()).collect();
                if !within(interval::student_interval(&sample, confidence)?, 0.0) {
                    return Ok(false);
                }
            }
            Ok(true)
        }),
    )?;
    let sizes: Vec<f64> = [16.0, 32.0, 64.0, 128.0].iter().flat_map(|&size| [size; 6]).collect();
    row(
        "exponent, least squares",
        "4 sizes, 6 log-normal replicates each",
        Promise::Exact,
        Box::new(|| {
            let quantities: Vec<f64> =
                sizes.iter().map(|size: &f64| 5.0 * size.powf(0.7) * (0.2 * sampler.normal()).exp()).collect();
            Ok(within(fit::power_law(&sizes, &quantities, level)?.interval, 0.7))
        }),
    )?;
    row(
        "exponent, paired",
        "3 sizes, 6 log-normal replicates with factors of their own",
        Promise::Exact,
        Box::new(|| {
            let blocks: Vec<Vec<(f64, f64)>> = (0..6)
                .map(|_| {
                    let factor = sampler.normal().exp();
                    let quantity = |size: f64, noise: f64| factor * size.powf(-0.5) * (0.1 * noise).exp();
                    [16.0, 64.0, 256.0].map(|size| (size, quantity(size, sampler.normal()))).to_vec()
                })
                .collect();
            Ok(within(paired::exponent(&blocks, level)?.1, -0.5))
        }),
    )?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_is_kept() {
        for row in measure(1, 20_000).unwrap() {
            assert!(row.kept(), "{row:?}");
        }
    }

    #[test]
    fn a_broken_promise_shows() {
        // Intervals a fifth too short, or for one replicate more than there are.
        let short = |n, mean, variance| {
            let [low, high] = interval::empirical_bernstein(n, mean, variance, 1.0, 0.95)?;
            Ok([mean - 0.2 * (mean - low), mean + 0.2 * (high - mean)])
        };
        assert!(!bounded_mean("", 1000, 0.3, 0.95, short).unwrap().kept());
        let row = student_by_quadrature(6, 0.95).unwrap();
        assert!(row.kept() && !Row { interval: [row.missed * 1.01; 2], ..row }.kept());
    }

    #[test]
    fn counts_by_hand() {
        // Bin(3, 1/4): 27, 27, 9, 1 of 64.
        assert!((missed_by_count(3, 0.25, |k| k == 1) - 37.0 / 64.0).abs() < 1e-15);
        assert_eq!(missed_by_count(1, 0.5, |_| false), 1.0);
    }
}
