//! Intervals and fits: pure functions of counts and samples, without random numbers.
//!
//! Every function states its formula, what it assumes, and what it does with bad input: an error, never a panic and
//! never a number that looks like an answer.

pub mod beta;
pub mod fit;
pub mod interval;
pub mod normal;
pub mod paired;
pub(crate) mod sampling;
pub mod student;

pub use fit::{PowerLaw, mean, median, power_law, quantile, sample_variance};
pub use interval::{
    bonferroni, chernoff, clopper_pearson, empirical_bernstein, hoeffding, median_interval, pooled_intervals,
    quantile_interval, student_interval,
};

/// Input that a statistic is not defined on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// A number out of its range.
    #[error("{name} = {value}: must be {expected}")]
    OutOfRange {
        /// The argument.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// More successes than trials.
    #[error("{successes} successes in {trials} trials")]
    Counts {
        /// Successes.
        successes: u64,
        /// Trials.
        trials: u64,
    },
    /// A sample that is too small.
    #[error("{have} {what}: at least {need} are needed")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// How many there are.
        have: usize,
        /// How many it takes.
        need: usize,
    },
    /// A NaN, an infinity, or a number not above 0 where a logarithm is taken.
    #[error("{what} {index} is {value}: must be {expected}")]
    BadValue {
        /// What the values are.
        what: &'static str,
        /// Place of the first bad one.
        index: usize,
        /// Its value.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// Two lists of different lengths.
    #[error("{sizes} sizes and {quantities} quantities: there must be as many of one as of the other")]
    Lengths {
        /// Length of one.
        sizes: usize,
        /// Length of the other.
        quantities: usize,
    },
}

/// The first value for which `good` is false is an error.
fn check_values(
    what: &'static str,
    values: &[f64],
    expected: &'static str,
    good: impl Fn(f64) -> bool,
) -> Result<(), StatsError> {
    match values.iter().position(|&value| !good(value)) {
        None => Ok(()),
        Some(index) => Err(StatsError::BadValue { what, index, value: values[index], expected }),
    }
}

/// `confidence` strictly between 0 and 1.
fn check_confidence(confidence: f64) -> Result<(), StatsError> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok(())
    } else {
        Err(StatsError::OutOfRange { name: "confidence", value: confidence, expected: "strictly between 0 and 1" })
    }
}
