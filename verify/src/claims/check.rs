//! From an interval and bounds that were stated in advance to a verdict.

use crate::report::model::{Check, Verdict};

/// The chance that chance alone turns a check of a report, any of them: at most 1 %, shared out evenly (Bonferroni).
pub const FAMILY_ERROR: f64 = 0.01;

/// The most checks that a report may have; `FAMILY_ERROR / MAX_CHECKS` is each one's share. A test counts the built-in ones.
///
/// From 30 to 120 the share falls from 1/3000 to 1/12000, and Student's intervals of six replicates grow by a third, of
/// twelve by a fifth.
pub const MAX_CHECKS: usize = 120;

/// Those of them that the ladders of a configuration file may have.
pub const OWN_CHECKS: usize = 10;

/// Confidence level of every check's interval.
pub const CONFIDENCE: f64 = 1.0 - FAMILY_ERROR / MAX_CHECKS as f64;

/// A measured quantity.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Point estimate; NaN where there is none.
    pub value: f64,
    /// Interval at level `confidence`.
    pub interval: [f64; 2],
    /// Level; 1 for a sure quantity.
    pub confidence: f64,
}

impl Estimate {
    /// A quantity without chance in it.
    pub fn sure(value: f64) -> Self {
        Self { value, interval: [value; 2], confidence: 1.0 }
    }

    /// A quantity that could not be estimated: every check of it is *inconclusive*.
    pub fn missing() -> Self {
        Self { value: f64::NAN, interval: [f64::NAN; 2], confidence: CONFIDENCE }
    }
}

/// Bounds with their reason, stated where the claim is, before anything is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// *Holds* if the interval lies strictly within.
    pub accept: [f64; 2],
    /// *Violated* if the interval lies outside; `tolerate ⊆ accept`, smaller only where the claim is an open one.
    pub tolerate: [f64; 2],
    /// Why these bounds.
    pub reason: &'static str,
}

impl Rule {
    /// The quantity lies in `(low, high)`.
    pub fn within(low: f64, high: f64, reason: &'static str) -> Self {
        Self { accept: [low, high], tolerate: [low, high], reason }
    }

    /// The quantity is at most `high`.
    pub fn at_most(high: f64, reason: &'static str) -> Self {
        Self::within(f64::NEG_INFINITY, high, reason)
    }

    /// An exponent is negative: holds if the interval lies below 0, violated if it lies above `−weakest`, the slowest
    /// decay that these sizes could show.
    pub fn decays(weakest: f64, reason: &'static str) -> Self {
        Self { accept: [f64::NEG_INFINITY, 0.0], tolerate: [f64::NEG_INFINITY, -weakest], reason }
    }

    /// The verdict on an estimate and its margin: the distance from the interval to the nearest bound of `accept`,
    /// positive inside, infinite where there is no bound.
    pub fn judge(&self, estimate: Estimate) -> (Verdict, f64) {
        let [low, high] = estimate.interval;
        // Written so that NaN is neither inside nor outside.
        let above = |bound: f64, x: f64| bound == f64::NEG_INFINITY || x > bound;
        let below = |bound: f64, x: f64| bound == f64::INFINITY || x < bound;
        let verdict = if low.is_nan() || high.is_nan() {
            Verdict::Inconclusive
        } else if above(self.accept[0], low) && below(self.accept[1], high) {
            Verdict::Holds
        } else if !above(self.tolerate[0], high) || !below(self.tolerate[1], low) {
            Verdict::Violated
        } else {
            Verdict::Inconclusive
        };
        let (to_low, to_high) = (low - self.accept[0], self.accept[1] - high);
        let margin = if to_low.is_nan() || to_high.is_nan() { f64::NAN } else { to_low.min(to_high) };
        (verdict, margin)
    }
}

/// A check: `quantity`, its estimate and prediction, against `rule`. `source` is `Paper: …` or `Derived: …`.
pub fn check(
    quantity: impl Into<String>,
    source: &str,
    estimate: Estimate,
    predicted: Option<f64>,
    rule: Rule,
) -> Check {
    let (verdict, margin) = rule.judge(estimate);
    Check {
        quantity: quantity.into(),
        source: source.to_owned(),
        verdict,
        measured: estimate.value,
        predicted: predicted.filter(|p| p.is_finite()),
        interval: estimate.interval,
        confidence: estimate.confidence,
        accept: rule.accept,
        tolerate: rule.tolerate,
        margin,
        reason: rule.reason.to_owned(),
    }
}

/// The worst of the verdicts: one *violated* makes all violated, else one *inconclusive* makes all inconclusive.
pub fn worst<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Verdict {
    checks
        .into_iter()
        .map(|check| check.verdict)
        .max_by_key(|&verdict| severity(verdict))
        .unwrap_or(Verdict::Inconclusive)
}

/// How bad a verdict is: 0 for *holds*, 2 for *violated*.
pub(super) fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Holds => 0,
        Verdict::Inconclusive => 1,
        Verdict::Violated => 2,
    }
}

/// The check that decides: the worst verdict, and among equals the smallest margin relative to the width of the bounds
/// or, where they are one-sided, to the bound or the value.
pub fn deciding(checks: &[Check]) -> Option<&Check> {
    let relative = |check: &Check| {
        let width = check.accept[1] - check.accept[0];
        let scale = if width.is_finite() {
            width
        } else {
            check.accept.iter().chain([&check.measured]).filter(|x| x.is_finite()).fold(0.0, |s: f64, x| s.max(x.abs()))
        };
        check.margin / scale
    };
    checks.iter().min_by(|a, b| severity(b.verdict).cmp(&severity(a.verdict)).then(relative(a).total_cmp(&relative(b))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rule: Rule, low: f64, high: f64) -> Verdict {
        rule.judge(Estimate { value: f64::midpoint(low, high), interval: [low, high], confidence: 0.99 }).0
    }

    #[test]
    fn a_band_holds_inside_fails_outside_and_is_open_between() {
        let band = Rule::within(-1.0, 1.0, "");
        assert_eq!(verdict(band, -0.5, 0.5), Verdict::Holds);
        assert_eq!(verdict(band, 1.5, 2.0), Verdict::Violated);
        assert_eq!(verdict(band, -3.0, -1.0), Verdict::Violated);
        assert_eq!(verdict(band, 0.5, 1.5), Verdict::Inconclusive);
        assert_eq!(verdict(band, -2.0, 2.0), Verdict::Inconclusive);
        assert_eq!(verdict(band, f64::NAN, f64::NAN), Verdict::Inconclusive);
        assert_eq!(verdict(band, 0.0, f64::NAN), Verdict::Inconclusive);
        assert_eq!(verdict(band, f64::NEG_INFINITY, f64::INFINITY), Verdict::Inconclusive);
    }

    #[test]
    fn decay_needs_an_interval_below_zero_and_fails_on_a_flat_one() {
        let decays = Rule::decays(0.1, "");
        assert_eq!(verdict(decays, -0.6, -0.2), Verdict::Holds);
        assert_eq!(verdict(decays, -0.09, -0.01), Verdict::Holds);
        assert_eq!(verdict(decays, 0.0, 0.0), Verdict::Violated);
        assert_eq!(verdict(decays, -0.05, 0.05), Verdict::Violated);
        assert_eq!(verdict(decays, -0.5, 0.1), Verdict::Inconclusive);
    }

    #[test]
    fn margins_are_signed() {
        let estimate = |low, high| Estimate { value: low, interval: [low, high], confidence: 1.0 };
        assert_eq!(Rule::within(0.0, 10.0, "").judge(estimate(2.0, 3.0)).1, 2.0);
        assert_eq!(Rule::within(0.0, 10.0, "").judge(estimate(-2.0, 3.0)).1, -2.0);
        assert_eq!(Rule::at_most(1.0, "").judge(estimate(0.25, 0.5)).1, 0.5);
    }

    #[test]
    fn the_worst_check_decides() {
        let sure = |x: f64| check("x", "Derived: test", Estimate::sure(x), None, Rule::within(0.0, 1.0, ""));
        let checks = [sure(0.5), sure(0.9), sure(2.0), sure(0.01)];
        assert_eq!(worst(&checks), Verdict::Violated);
        assert_eq!(deciding(&checks).map(|c| c.measured), Some(2.0));
        assert_eq!(deciding(&checks[..2]).map(|c| c.measured), Some(0.9));
        assert_eq!(worst(&[]), Verdict::Inconclusive);
    }
}
