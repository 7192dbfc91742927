//! Estimates from ladders, each at the level [`CONFIDENCE`].

use feature_contamination::{Record, Trajectory};

use super::check::{CONFIDENCE, Estimate, Rule, check, severity};
use crate::plan::{Ladder, Measured, Rung};
use crate::report::model::{Check, Point};
use crate::report::text::number;
use crate::stats::{StatsError, fit, interval, paired};
use std::sync::Arc;

/// Exponent of `size` in `value(run)`, by least squares on logarithms, the replicates being points of their own.
/// *Missing* if some run's value is not a positive number.
///
/// # Errors
/// Fewer than two sizes.
pub fn exponent(ladder: &Measured, value: impl Fn(&Trajectory) -> f64) -> Result<Estimate, StatsError> {
    let (sizes, values): (Vec<f64>, Vec<f64>) =
        ladder.rungs.iter().flat_map(|rung| rung.runs.iter().map(|run| (rung.size, value(run)))).unzip();
    if !values.iter().all(|&value| value > 0.0 && value.is_finite()) {
        return Ok(Estimate::missing());
    }
    let law = fit::power_law(&sizes, &values, CONFIDENCE)?;
    Ok(Estimate { value: law.slope, interval: law.interval, confidence: CONFIDENCE })
}

/// [`exponent`] on a ladder whose replicates are paired: run `r` of every rung starts from the same random numbers.
///
/// # Errors
/// Fewer than two sizes.
pub fn paired_exponent(ladder: &Measured, value: impl Fn(&Trajectory) -> f64) -> Result<Estimate, StatsError> {
    let replicates = ladder.rungs.iter().map(|rung| rung.runs.len()).min().unwrap_or(0);
    let block = |r: usize| ladder.rungs.iter().map(|rung| (rung.size, value(&rung.runs[r]))).collect();
    let blocks: Vec<Vec<(f64, f64)>> = (0..replicates).map(block).collect();
    if !blocks.iter().flatten().all(|&(_, value)| value > 0.0 && value.is_finite()) {
        return Ok(Estimate::missing());
    }
    let (value, interval) = paired::exponent(&blocks, CONFIDENCE)?;
    Ok(Estimate { value, interval, confidence: CONFIDENCE })
}

/// Mean over the replicates at every rung, with Student's intervals, which hold for all rungs at once (Bonferroni).
/// *Missing* where some run's value is not finite.
///
/// # Errors
/// Fewer than two replicates.
pub fn means<T>(ladder: &Ladder<Arc<T>>, value: impl Fn(&T) -> f64) -> Result<Vec<Estimate>, StatsError> {
    let confidence = each_of(ladder);
    let mean = |rung: &Rung<Arc<T>>| {
        let values: Vec<f64> = rung.runs.iter().map(|run| value(run)).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(Estimate::missing());
        }
        let interval = interval::student_interval(&values, confidence)?;
        Ok(Estimate { value: values.iter().sum::<f64>() / values.len() as f64, interval, confidence: CONFIDENCE })
    };
    ladder.rungs.iter().map(mean).collect()
}

/// Fraction of neurons at every rung, `count(run)` of each run's `m`, pooled over the replicates, with Clopper–Pearson's
/// intervals, which hold for all rungs at once (Bonferroni): neurons start independently and, before the hinge gates,
/// move independently given the batches. Beyond, they share what the hinge withholds from all, which the mean field makes a
/// function of time.
///
/// # Errors
/// More counted than there are neurons.
pub fn fractions(ladder: &Measured, count: impl Fn(&Trajectory) -> usize) -> Result<Vec<Estimate>, StatsError> {
    let confidence = each_of(ladder);
    let fraction = |rung: &Rung<Arc<Trajectory>>| {
        let trials: u64 = rung.runs.iter().map(|run| run.spec.m as u64).sum();
        let successes: u64 = rung.runs.iter().map(|run| count(run) as u64).sum();
        let interval = interval::clopper_pearson(successes, trials, confidence)?;
        Ok(Estimate { value: successes as f64 / trials as f64, interval, confidence: CONFIDENCE })
    };
    ladder.rungs.iter().map(fraction).collect()
}

/// The confidence of each rung's interval, so that all hold at once with [`CONFIDENCE`].
fn each_of<T>(ladder: &Ladder<T>) -> f64 {
    interval::bonferroni(CONFIDENCE, ladder.rungs.len().max(1) as u64)
}

/// A prediction at every rung, from its first run.
pub fn predictions(ladder: &Measured, value: impl Fn(&Trajectory) -> f64) -> Vec<Point> {
    let at = |rung: &Rung<Arc<Trajectory>>| rung.runs.first().map(|run| Point::at(rung.size, value(run)));
    ladder.rungs.iter().filter_map(at).collect()
}

/// A check that every rung of a ladder must pass: the one that decides is shown, with its prediction. It is one of the worst
/// verdict; among these one that is *missing*, else that of the smallest margin.
pub fn check_rungs<T>(
    quantity: &str,
    source: &str,
    ladder: &Ladder<T>,
    estimates: &[Estimate],
    predicted: Option<&[Point]>,
    rule: Rule,
) -> Check {
    let missing = |index: usize| estimates[index].interval.iter().any(|x| x.is_nan());
    let key = |index: usize| {
        let (verdict, margin) = rule.judge(estimates[index]);
        (severity(verdict), missing(index), -margin)
    };
    let worse = |&a: &usize, &b: &usize| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2))
    };
    let Some(index) = (0..estimates.len()).max_by(worse) else {
        return check(quantity, source, Estimate::missing(), None, rule);
    };
    let name = ladder.symbol();
    let quantity = match ladder.rungs.get(index) {
        Some(rung) => format!("{quantity}; every {name}, {name} = {} deciding", number(rung.size, 3)),
        None => quantity.to_owned(),
    };
    let predicted = predicted.and_then(|points| points.get(index)).map(|point| point.y);
    check(quantity, source, estimates[index], predicted, rule)
}

/// Estimates over sizes as points with intervals.
pub fn points<T>(ladder: &Ladder<T>, estimates: &[Estimate]) -> Vec<Point> {
    ladder
        .rungs
        .iter()
        .zip(estimates)
        .map(|(rung, e)| Point { x: rung.size, y: e.value, lo: e.interval[0], hi: e.interval[1] })
        .collect()
}

/// The step at which `value` first reaches `level` from below, interpolated between records; NaN if it never does.
pub fn event(run: &Trajectory, level: f64, value: impl Fn(&Record) -> f64) -> f64 {
    let mut earlier: Option<(f64, f64)> = None;
    for record in &run.records {
        let (step, value) = (record.step as f64, value(record));
        if value >= level {
            let Some((from, below)) = earlier else { return step.max(1.0) };
            return (from + (step - from) * (level - below) / (value - below)).max(1.0);
        }
        earlier = Some((step, value));
    }
    f64::NAN
}

/// Residuals of `ln value` about the line of slope `exponent`, each replicate with its own intercept if the ladder is
/// `paired`, else all with one.
pub fn residuals(ladder: &Measured, exponent: f64, paired: bool, value: impl Fn(&Trajectory) -> f64) -> Vec<Point> {
    let points: Vec<(usize, f64, f64)> = ladder
        .rungs
        .iter()
        .flat_map(|rung| rung.runs.iter().enumerate().map(|(r, run)| (r, rung.size, value(run))))
        .filter(|&(_, size, value)| size > 0.0 && value > 0.0 && value.is_finite())
        .map(|(r, size, value)| (r, size, value.ln() - exponent * size.ln()))
        .collect();
    let intercept = |r: usize| {
        let of: Vec<f64> = points.iter().filter(|p| !paired || p.0 == r).map(|p| p.2).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    points.iter().map(|&(r, size, rest)| Point::at(size, rest - intercept(r))).collect()
}

/// Examples of the label that is not a neuron's own, and how many fire it, a neuron for each label being the mean of its
/// living neurons: over all records of the runs.
///
/// Living are those that fire on more than half of their own class; where `B > C` a part of them starts in a place from
/// which it stops firing for good. They are told by examples of the own label, so that, given weights and living, the mean
/// over them is one number in `[0, 1]` an example, independent between examples: what [`interval::chernoff`] asks for.
pub fn other_activations<'a>(runs: impl IntoIterator<Item = &'a Trajectory>) -> (u64, f64) {
    let (mut examples, mut active) = (0, 0.0);
    for run in runs {
        for record in &run.records {
            let (own, other) = (&record.neurons.own, &record.neurons.other);
            for sign in [-1, 1] {
                let living: Vec<usize> =
                    (0..run.signs.len()).filter(|&k| run.signs[k] == sign && own.p[k] > 0.5).collect();
                let Some(&first) = living.first() else { continue };
                let p = living.iter().map(|&k| other.p[k]).sum::<f64>() / living.len() as f64;
                examples += other.trials[first];
                active += p * other.trials[first] as f64;
            }
        }
    }
    (examples, active)
}

/// Mean over the replicates at every rung with Student's intervals from the replicates' variance about their rungs' means,
/// taken as one for the whole ladder, which hold for all rungs at once (Bonferroni). *Missing* where some run's value is
/// not finite.
///
/// # Errors
/// Fewer than two replicates at every rung.
pub fn pooled_means<T>(ladder: &Ladder<Arc<T>>, value: impl Fn(&T) -> f64) -> Result<Vec<Estimate>, StatsError> {
    let rungs: Vec<Vec<f64>> =
        ladder.rungs.iter().map(|rung| rung.runs.iter().map(|run| value(run)).collect()).collect();
    let intervals = interval::pooled_intervals(&rungs, each_of(ladder));
    if !rungs.iter().flatten().all(|value| value.is_finite()) {
        return Ok(vec![Estimate::missing(); rungs.len()]);
    }
    let estimates =
        intervals?.into_iter().map(|(value, interval)| Estimate { value, interval, confidence: CONFIDENCE });
    Ok(estimates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Verdict;

    fn decided(estimates: &[Estimate]) -> Check {
        let rung = |index: usize| Rung { size: index as f64, runs: vec![()] };
        let ladder = Ladder { factor: "m", rungs: (0..estimates.len()).map(rung).collect() };
        check_rungs("x", "Derived: test", &ladder, estimates, None, Rule::within(0.0, 1.0, ""))
    }

    #[test]
    fn the_worst_rung_decides_and_one_that_is_missing_hides_none_that_is_violated() {
        let sure = Estimate::sure;
        assert_eq!(decided(&[sure(0.5), sure(0.9), sure(0.4)]).measured, 0.9);
        assert_eq!(decided(&[sure(0.5), Estimate::missing(), sure(2.0)]).verdict, Verdict::Violated);
        let open = Estimate { value: 1.0, interval: [0.5, 1.5], confidence: 0.99 };
        let missing = decided(&[sure(0.5), Estimate::missing(), open]);
        assert!(missing.verdict == Verdict::Inconclusive && missing.measured.is_nan());
        assert_eq!(decided(&[]).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn the_deciding_size_reads_well() {
        let said = |size: f64| {
            let ladder = Ladder { factor: "B/C", rungs: vec![Rung { size, runs: vec![()] }] };
            check_rungs("x", "", &ladder, &[Estimate::sure(0.5)], None, Rule::within(0.0, 1.0, "")).quantity
        };
        assert_eq!(said(2.974_616_604_970_915_7), "x; every B/C, B/C = 2.97 deciding");
        assert_eq!(said(256.0), "x; every B/C, B/C = 256 deciding");
    }
}
