//! The balance law across its phase transition at `B = C`.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::{CONFIDENCE, Estimate, Rule, check};
use super::draw::{BLACK, figure, level, linear, log, median, panel, power_law, series};
use super::measure::{check_rungs, exponent, other_activations, points, pooled_means};
use super::{Assumption, Claim, Judgement};
use crate::ladders::{self, MIXTURES, SIDES};
use crate::plan::{Ladder, Measured, Rung};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::{StatsError, interval};
use crate::theory::balance::{Grown, balance_root};
use crate::theory::bounds::hoeffding_silence;

/// Derived: balance law and its phase transition.
pub struct PhaseTransition;

const LAW: &str = "Derived: balance law and its phase transition";
const EXACT: &str = "Derived: balance law at finite size";
const PAPER: &str = "Paper: Thm 1 (activation asymmetry)";

/// Probabilities below this are not looked at one by one.
const SEEN: f64 = 0.05;

/// `B/C` this near to 1 is at the transition: features come in whole numbers.
const NEAR: f64 = 0.1;

/// Active examples that a run must be expected to count for its frequency to be fitted.
const COUNTS: f64 = 20.0;

/// What is predicted and measured at one size.
struct Place {
    /// `p_oth`, exactly: mean over the records.
    exact: f64,
    /// `R_OOD` at the time when the mean ID margin would reach 1: `1 − ` the ratio of the two margins.
    risk: f64,
    /// Examples of the other label.
    examples: u64,
    /// Those that fire, a neuron being the mean of all.
    active: f64,
}

impl Claim for PhaseTransition {
    fn id(&self) -> &'static str {
        "phase-transition"
    }

    fn title(&self) -> &'static str {
        "Phase transition at B = C"
    }

    fn source(&self) -> &'static str {
        LAW
    }

    fn statement(&self) -> &'static str {
        "The paper's condition C ≥ B, C = Σ_core μ², B = Σ_bg μ², is tight: p_oth vanishes as d₀ grows if B ≤ C, and tends to \
         (B − C)/(B + C) if B > C, where Thm 1 fails. With the true law of a pre-activation and the steps summed up as they \
         come, p_oth and the OOD risk are what the balance law says for uniform, skewed, discrete and unequal features alike; \
         no constant is fitted."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::balance(settings)
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        if ladders.len() != MIXTURES.len() + SIDES.len() {
            return Ok(Judgement::default());
        }
        let places: Vec<Vec<Place>> =
            ladders.iter().map(|ladder| ladder.rungs.iter().filter_map(place).collect()).collect();
        let (transitions, sides) = ladders.split_at(MIXTURES.len());
        let (at_transitions, at_sides) = places.split_at(MIXTURES.len());
        let mut checks = vec![];

        // Examples of several places add up, and so do the counts that the law expects.
        let pooled = |places: &[&Place], by: f64| {
            let examples: u64 = places.iter().map(|place| place.examples).sum();
            let active = places.iter().map(|place| place.active).sum::<f64>();
            frequency(examples, active, by, CONFIDENCE)
        };
        let expected = |places: &[&Place]| {
            let examples: u64 = places.iter().map(|place| place.examples).sum();
            places.iter().map(|place| place.exact * place.examples as f64).sum::<f64>() / examples as f64
        };
        for (mixture, places) in MIXTURES.iter().zip(at_transitions) {
            let places: Vec<&Place> = places.iter().collect();
            checks.push(check(
                format!("p_oth over its exact law, all B/C together: {}", mixture.name),
                EXACT,
                pooled(&places, expected(&places))?,
                Some(1.0),
                Rule::within(
                    0.97,
                    1.03,
                    "the law has no error but the neurons' spread in the first step, of relative order 1/t², and the \
                     covariance of the batches' noise with the gate: below 1 %; 2 % for the interval",
                ),
            ));
        }

        // Every point by itself.
        let every = Measured {
            factor: "B/C",
            rungs: transitions.iter().flat_map(|ladder| ladder.rungs.iter().cloned()).collect(),
        };
        let every_place: Vec<&Place> = at_transitions.iter().flatten().collect();
        let chosen = |keep: &dyn Fn(usize) -> bool| {
            let indices: Vec<usize> = (0..every_place.len()).filter(|&i| keep(i)).collect();
            let rungs = indices.iter().map(|&i| every.rungs[i].clone()).collect();
            let places: Vec<&Place> = indices.iter().map(|&i| every_place[i]).collect();
            (Measured { factor: "B/C", rungs }, places)
        };
        let (seen, seen_places) = chosen(&|i| every_place[i].exact >= SEEN);
        let one: Vec<Point> = seen.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
        checks.push(check_rungs(
            "p_oth over its exact law where that is at least 1/20, every kind of features",
            EXACT,
            &seen,
            &estimates(&seen_places, |place| place.exact)?,
            Some(&one),
            Rule::within(
                0.8,
                1.25,
                "as all together; with 10⁴ examples a point, the interval is up to 15 % wide where p is 1/20",
            ),
        ));

        // At the transition and below it, all kinds of features together.
        let (_, balanced) = chosen(&|i| (every.rungs[i].size - 1.0).abs() <= NEAR);
        checks.push(check(
            "p_oth over its exact law at B = C, every kind of features together",
            EXACT,
            pooled(&balanced, expected(&balanced))?,
            Some(1.0),
            Rule::within(
                0.85,
                1.15,
                "the law is right to 1 %; of 4·10⁴ examples a tenth fires, which leaves an interval of ±8 %",
            ),
        ));
        let (_, vanishing) = chosen(&|i| every.rungs[i].size < 1.0 - NEAR);
        let (below, law_below) = (pooled(&vanishing, 1.0)?, expected(&vanishing));
        checks.push(check(
            "p_oth less its exact law at B < C, every kind of features together",
            EXACT,
            Estimate { value: below.value - law_below, interval: below.interval.map(|p| p - law_below), ..below },
            Some(0.0),
            Rule::within(
                -0.003,
                0.003,
                "the law has 0.004 at d₀ = 64 and B/C = 0.7: silence fails here, and so does twice the law; at larger d₀ it \
                 has none to speak of, and a thirtieth of what it has at B = C fails",
            ),
        ));

        // Above the transition.
        let (failing, failing_places) = chosen(&|i| every.rungs[i].size > 1.0 + NEAR);
        let level_of = |ratio: f64| ((ratio - 1.0) / (ratio + 1.0)).max(0.0);
        let levels: Vec<f64> = failing.rungs.iter().map(|rung| level_of(rung.size)).collect();
        let over_level: Vec<Estimate> = estimates(&failing_places, |_| 1.0)?
            .into_iter()
            .zip(&levels)
            .map(|(e, level)| Estimate { value: e.value / level, interval: e.interval.map(|p| p / level), ..e })
            .collect();
        let law: Vec<Point> = failing_places
            .iter()
            .zip(failing.rungs.iter().zip(&levels))
            .map(|(place, (rung, level))| Point::at(rung.size, place.exact / level))
            .collect();
        checks.push(check_rungs(
            "p_oth over (B − C)/(B + C), every kind of features, B > C",
            LAW,
            &failing,
            &over_level,
            Some(&law),
            Rule::within(
                0.9,
                1.7,
                "Thm 1 fails: the law's root lies above (B − C)/(B + C) as long as that is below 1/2, and tends to it; 0.9 \
                 for B/C a little above 3 and for skewed features; at d₀ = 64 and B/C = 3/2 it is 0.3 for 0.2, and a neuron \
                 blind to the label has 1/2",
            ),
        ));

        // Along d₀.
        let p_oth = |run: &Trajectory| {
            let (examples, active) = other_activations([run]);
            active / examples as f64
        };
        for ((ratio, side), (ladder, places)) in SIDES.iter().zip(sides.iter().zip(at_sides)) {
            // A run in which nothing is expected to be counted has no logarithm.
            let counted = |place: &Place, runs: usize| place.exact * place.examples as f64 / runs as f64 >= COUNTS;
            let rungs = ladder.rungs.iter().zip(places);
            let (kept, exact): (Vec<_>, Vec<_>) = rungs
                .filter(|(rung, place)| counted(place, rung.runs.len()))
                .map(|(rung, place)| (rung.clone(), (rung.size, place.exact)))
                .unzip();
            let kept = Measured { factor: ladder.factor, rungs: kept };
            let fitted = if kept.rungs.len() < 2 { Estimate::missing() } else { exponent(&kept, p_oth)? };
            let rule = if *ratio < 1.0 {
                Rule::at_most(
                    -1.0,
                    "p decays exponentially, an exponent that falls without end: the law's is below −2 from d₀ = 16 on; a power \
                     law like that at B = C has −1/3",
                )
            } else if *ratio == 1.0 {
                Rule::at_most(
                    -0.2,
                    "o(1) is a negative exponent; the law's is −1/3 at B = C, and still −0.18 at B/C = 1.2, where p does not \
                     vanish",
                )
            } else {
                Rule::within(
                    -0.2,
                    0.1,
                    "p tends to (B − C)/(B + C) = 1/4 from above; at d₀ = 16 less than a third of that is left of the way, an \
                     exponent above ln(3/4)/ln 4 = −0.2 from there on",
                )
            };
            checks.push(check(format!("exponent in d₀ of p_oth at B/C = {side}"), LAW, fitted, slope(&exact), rule));
        }
        for ((_, side), ladder) in SIDES.iter().zip(sides) {
            checks.push(check(
                format!("exponent in d₀ of Hoeffding's bound on 1 − p_own at B/C = {side}"),
                PAPER,
                exponent(ladder, |run| median(&silence(run)))?,
                None,
                Rule::decays(
                    0.1,
                    "o(1) on either side: a neuron fires on its own class, whose core and background both push, even where \
                     p_oth does not vanish",
                ),
            ));
        }

        // The OOD risk.
        let risk = |run: &Trajectory| {
            let sum = |of: fn(&Record) -> f64| run.records.iter().map(of).sum::<f64>();
            1.0 - sum(|record| record.ood.margin) / sum(|record| record.id.margin)
        };
        let risks = pooled_means(&every, risk)?;
        let differences: Vec<Estimate> = risks
            .iter()
            .zip(&every_place)
            .map(|(e, place)| Estimate {
                value: e.value - place.risk,
                interval: e.interval.map(|risk| risk - place.risk),
                ..*e
            })
            .collect();
        let none: Vec<Point> = every.rungs.iter().map(|rung| Point::at(rung.size, 0.0)).collect();
        checks.push(check_rungs(
            "R_OOD when the mean ID margin would reach 1, less its exact law, every kind of features",
            EXACT,
            &every,
            &differences,
            Some(&none),
            Rule::within(
                -0.03,
                0.03,
                "the OOD margin of a neuron's class nearly cancels, (1+p)C − (1−p)B against (1+p)C + (1−p)B, and takes over \
                 the 1 % of p's law; 0.02 for the interval",
            ),
        ));

        let records = ladders.iter().flat_map(Ladder::runs).flat_map(|run| &run.records);
        let gated = records.map(|record| 1.0 - record.active_fraction).fold(0.0, f64::max);
        Ok(Judgement {
            checks,
            assumptions: vec![Assumption {
                text: format!("At most a hundredth of the examples is gated by the hinge (here {gated:.4})"),
                met: gated <= 0.01,
            }],
            figures: vec![
                transition_figure(settings, transitions, at_transitions, &risks)?,
                sides_figure(sides, at_sides)?,
            ],
        })
    }
}

/// Prediction and measurement at a rung.
fn place(rung: &Rung<Arc<Trajectory>>) -> Option<Place> {
    let run = rung.runs.first()?;
    let steps: Vec<u64> = run.records.iter().map(|record| record.step).collect();
    let grown = Grown::after(&run.spec, &steps);
    let mean = |of: fn(&Grown) -> f64| grown.iter().map(of).sum::<f64>() / grown.len() as f64;
    let (examples, active) = other_activations(rung.runs.iter().map(|run| &**run));
    Some(Place {
        exact: mean(|g| g.p_other),
        risk: 1.0 - mean(|g| g.margin_rate_ood) / mean(|g| g.margin_rate),
        examples,
        active,
    })
}

/// `p_oth` over `by`, with Chernoff's intervals, which hold for all places at once (Bonferroni).
fn estimates(places: &[&Place], by: impl Fn(&Place) -> f64) -> Result<Vec<Estimate>, StatsError> {
    let confidence = interval::bonferroni(CONFIDENCE, places.len() as u64);
    places.iter().map(|place| frequency(place.examples, place.active, by(place), confidence)).collect()
}

/// `active/examples/by` with Chernoff's interval. *Missing* without examples: no neuron lives.
fn frequency(examples: u64, active: f64, by: f64, confidence: f64) -> Result<Estimate, StatsError> {
    if examples == 0 {
        return Ok(Estimate::missing());
    }
    let p = active / examples as f64;
    let interval = interval::chernoff(examples, p, confidence)?;
    Ok(Estimate { value: p / by, interval: interval.map(|p| p / by), confidence: CONFIDENCE })
}

/// Hoeffding's bound on `1 − p_own` of every neuron at the last record.
fn silence(run: &Trajectory) -> Vec<f64> {
    let Some(record) = run.records.last() else { return vec![] };
    let neurons = &record.neurons;
    (0..run.signs.len())
        .map(|k| {
            let mean = f64::from(run.signs[k]) * neurons.core[k] + neurons.background[k];
            hoeffding_silence(mean, neurons.squared_range[k])
        })
        .collect()
}

/// Slope of `ln y` on `ln x`, by least squares.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let (x, y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    (spread > 0.0).then(|| logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread)
}

fn transition_figure(
    settings: &Settings,
    transitions: &[Measured],
    places: &[Vec<Place>],
    risks: &[Estimate],
) -> Result<Figure, StatsError> {
    let d0 = settings.ladder_balance.d0.last().copied().unwrap_or(4);
    let (mut left, mut right) = (vec![], vec![]);
    let mut risks = risks.iter();
    for (color, (mixture, (ladder, places))) in MIXTURES.iter().zip(transitions.iter().zip(places)).enumerate() {
        let refs: Vec<&Place> = places.iter().collect();
        let law = |of: fn(&Place) -> f64| -> Vec<Point> {
            ladder.rungs.iter().zip(places).map(|(rung, place)| Point::at(rung.size, of(place))).collect()
        };
        left.push(series(format!("exact law, {}", mixture.name), Mark::Dashed, color, law(|place| place.exact)));
        left.push(series(mixture.name, Mark::Points, color, points(ladder, &estimates(&refs, |_| 1.0)?)));
        right.push(series(format!("exact law, {}", mixture.name), Mark::Dashed, color, law(|place| place.risk)));
        let own: Vec<Estimate> = risks.by_ref().take(ladder.rungs.len()).copied().collect();
        right.push(series(mixture.name, Mark::Points, color, points(ladder, &own)));
    }
    let sizes = || transitions.iter().flat_map(|ladder| &ladder.rungs).map(|rung| rung.size);
    let (from, to) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
    let fine = |value: &dyn Fn(f64) -> f64| -> Vec<Point> {
        (0..=80).map(|i| from * (to / from).powf(f64::from(i) / 80.0)).map(|r| Point::at(r, value(r))).collect()
    };
    let limit = fine(&|r| ((r - 1.0) / (r + 1.0)).max(0.0));
    left.push(series("d₀ → ∞", Mark::Dotted, BLACK, limit.clone()));
    // Then p_own = 1 and p_oth = p push the OOD margins of the two classes together: (1 + p)C − (1 − p)B = 0 above.
    let limit_risk = fine(&|r| {
        let p = ((r - 1.0) / (r + 1.0)).max(0.0);
        let (core, background) = (1.0 + p, (1.0 - p) * r);
        1.0 - (core - background).max(0.0) / (core + background - (background - core).max(0.0))
    });
    right.push(series("d₀ → ∞", Mark::Dotted, BLACK, limit_risk));
    Ok(figure(
        "phase-transition",
        &format!("The balance law across B = C at d₀ = {d0}"),
        "Left: the probability that a neuron fires on the other label, with Chernoff's interval, and its exact law without a \
         fitted constant. As d₀ grows it vanishes for B ≤ C and tends to (B − C)/(B + C) for B > C (dotted). Right: the \
         risk under the shift when the mean margin in distribution would reach 1: with little background the network would \
         generalise, from B = C on it does not.",
        vec![
            panel("activation", log("B/C"), linear("p_oth"), left),
            panel("risk under the shift", log("B/C"), linear("R_OOD"), right),
        ],
    ))
}

fn sides_figure(sides: &[Measured], places: &[Vec<Place>]) -> Result<Figure, StatsError> {
    let (mut other, mut own) = (vec![], vec![]);
    for (color, ((_, side), (ladder, places))) in SIDES.iter().zip(sides.iter().zip(places)).enumerate() {
        let refs: Vec<&Place> = places.iter().collect();
        let name = format!("B/C = {side}");
        let at = |value: &dyn Fn(usize) -> f64| -> Vec<Point> {
            ladder.rungs.iter().enumerate().map(|(i, rung)| Point::at(rung.size, value(i))).collect()
        };
        let root = at(&|i| ladder.rungs[i].runs.first().map_or(f64::NAN, |run| balance_root(&run.spec.data)));
        other.push(series(&name, Mark::Points, color, points(ladder, &estimates(&refs, |_| 1.0)?)));
        other.push(series(format!("exact law, {name}"), Mark::Dashed, color, at(&|i| places[i].exact)));
        other.push(series(format!("Gaussian law, {name}"), Mark::Dotted, color, root));
        let digits = pooled_means(ladder, |run| -median(&silence(run)).log10())?;
        let digits = points(ladder, &digits);
        own.push(series(&name, Mark::Points, color, digits.clone()));
        own.push(series(format!("slope 1, {name}"), Mark::Dashed, color, power_law(&digits, Estimate::sure(1.0))));
    }
    let sizes: Vec<f64> = sides.iter().flat_map(|ladder| &ladder.rungs).map(|rung| rung.size).collect();
    let (from, to) = (sizes.iter().copied().fold(f64::INFINITY, f64::min), sizes.iter().copied().fold(0.0, f64::max));
    other.push(level("(B − C)/(B + C) at B/C = 5/3", Mark::Dotted, BLACK, 0.25, from, to));
    Ok(figure(
        "phase-sides",
        "Both activation probabilities below, at and above B = C",
        "Uniform features. Left: p_oth vanishes exponentially below the transition, as √(log d₀/d₀) at it, and not at all \
         above. The Gaussian law leaves out the shape of the tail, which shows where p is small. Right: decimal digits by \
         which Hoeffding's bound puts 1 − p_own below 1, in proportion to d₀ on either side.",
        vec![
            panel("other class", log("features d₀"), log("p_oth"), other),
            panel("own class", log("features d₀"), log("−log₁₀ of the bound on 1 − p_own"), own),
        ],
    ))
}
