//! Scaling exponents of T₀, T₁ and T₂ as events.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, level, linear, log, median, panel, power_law, series};
use super::measure::{event, exponent, paired_exponent, residuals};
use super::{Claim, Judgement, paper_assumptions};
use crate::ladders;
use crate::plan::{Ladder, Measured, Rung};
use crate::report::model::{Axis, Check, Mark, Panel, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::balance::balance_root;
use crate::theory::normal::Gate;

/// Derived: time is scale-free.
pub struct Scaling;

const SCALE_FREE: &str = "Derived: time is scale-free";

/// The median neuron fires on this fraction of its own class: `p_own` has settled.
const OWN: f64 = 0.99;
/// `p_oth`, mean over neurons, has come down to this multiple of the balance law's root: `p_oth` has settled.
const SETTLED: f64 = 1.5;
/// The median neuron's core sum: half of what brings the mean margin near 1.
const CORE: f64 = 0.5;
/// The median neuron's background sum.
const BACKGROUND: f64 = 0.5;
/// The ID risk, a quarter of what it starts with.
const RISK: f64 = 0.25;

/// An ID risk at which the hinge gates neither class yet, however unequal their numbers of neurons are.
const HALF_RISK: f64 = 0.5;

/// Something that happens at a step of a run.
#[derive(Clone, Copy)]
struct Event {
    name: &'static str,
    says: &'static str,
    /// The step, by the first so many neurons: the same ones on every rung of a ladder whose rungs share their random
    /// numbers.
    at: fn(&Trajectory, usize) -> f64,
}

const T0_OWN: Event = Event {
    name: "T₀ (p_own)",
    says: "T₀ (median p_own reaches 0.99)",
    at: |run, neurons| event(run, OWN, |record| median(&activation(run, record, neurons, 1.0))),
};
const T0_OTHER: Event = Event {
    name: "T₀ (p_oth)",
    says: "T₀ (mean p_oth falls to 1.5 times the balance law's root)",
    at: |run, neurons| {
        let root = balance_root(&run.spec.data);
        event(run, -SETTLED * root, |record| -mean(&activation(run, record, neurons, -1.0)))
    },
};
const T1_CORE: Event = Event {
    name: "T₁ (core)",
    says: "T₁ (median y Σ_core μ⟨w,m⟩ reaches 1/2)",
    at: |run, neurons| event(run, CORE, |record| median(&run.aligned_core(record)[..neurons])),
};
const T1_BACKGROUND: Event = Event {
    name: "T₁ (background)",
    says: "T₁ (median Σ_bg μ⟨w,m⟩ reaches 1/2)",
    at: |run, neurons| event(run, BACKGROUND, |record| median(&record.neurons.background[..neurons])),
};
const T2: Event =
    Event { name: "T₂", says: "T₂ (R_ID falls to 1/4)", at: |run, _| event(run, -RISK, |record| -record.id.risk) };
/// In place of [`T2`] along `m`.
const T2_HALF: Event = Event {
    name: T2.name,
    says: "T₂ (R_ID falls to 1/2)",
    at: |run, _| event(run, -HALF_RISK, |record| -record.id.risk),
};
const EVENTS: [Event; 5] = [T0_OWN, T0_OTHER, T1_CORE, T1_BACKGROUND, T2];

/// `Φ(M/S)` of the first `neurons`, the probability that a neuron is active on its own label (`own = 1`) or the other
/// (−1), from its weights: a frequency would bring noise into the time of the event.
fn activation(run: &Trajectory, record: &Record, neurons: usize, own: f64) -> Vec<f64> {
    let sums = &record.neurons;
    (0..neurons)
        .map(|k| {
            let mean = own * f64::from(run.signs[k]) * sums.core[k] + sums.background[k];
            Gate::new(mean, sums.variance[k].sqrt()).probability
        })
        .collect()
}

/// Mean. At the start most neurons fire on nearly all examples of a label or on hardly any, and a median
/// between the two heaps jumps.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What an event does along a factor.
struct Expected {
    event: Event,
    /// Index of the ladder.
    ladder: usize,
    exponent: f64,
    rule: Rule,
}

const STEPS: &str = "exact as steps become small; on the coarsest rung the event is at about 40 steps, half a step is 1.3 %, \
                     and over a factor of 4 moves the exponent by 0.01; from fewer than 10⁴ examples by then the batches' \
                     noise is some per cent of the sums";
const STEPS_D: &str = "exact as steps become small; at the largest d the event is at about 10 steps, half a step is 5 %, and over a \
                       factor of 256 moves the exponent by 0.01; as much again for the interval, and room for a few examples \
                       a step";
const LATE: &str = "exact as steps become small and the start with 1/√d; on the coarsest rung the event is at 60 steps or \
                    more, half a step is below 1 %, and over a factor of 4 moves the exponent by 0.006; as much again for \
                    the batches' noise, and for its interval";
const SIGNS: &str = "as T₁; of m random signs one class has a fraction ½(1 ± δ), δ of deviation 1/√m, which the mean risk does \
                     not feel until the hinge gates a class, so that it is looked at where it is 1/2; but a neuron that starts \
                     firing on neither class is missing, some per cent of 32 neurons, and of other runs' neurons others; 5 % \
                     over a factor of 4 is 0.036, and twice as much again for the interval";

fn expectations() -> Vec<Expected> {
    let (onset_m, onset_rate, onset_d0, onset_d, m, rate, d, d0) = (0, 1, 2, 3, 4, 5, 6, 7);
    let row = |event, ladder, exponent, low: f64, high: f64, reason| Expected {
        event,
        ladder,
        exponent,
        rule: Rule::within(low, high, reason),
    };
    let own = "p_own settles when growth μηt/2m of d₀ features outruns a start of deviation √(Σσ²/d), after m/(η√(d d₀)): \
               −1/2; ±0.2 for the logarithm in how far 0.99 lies in the tail, and for half a step in five";
    let other = "p_oth settles when the start is forgotten, after m/(η√d): not above 0, up to a power of log d₀, log d₀ \
                 itself being an exponent of 0.27 from 16 to 128; and not as early as p_own";
    let start = "d sets the start alone, which T₀ forgets: m/(η√d), at d = 4096 a tenth of T₁, and no more \
                 than that is lost; 10 % over a factor of 256 is an exponent of 0.02, and as much again for the interval";
    let sums = "m/(ηd₀), with constants 2/(1 ± p) in which p falls with d₀: ±0.06 over these sizes; 0.15 is what Thm 2's \
                constants are given";
    let risk = "m/(ηd₀), up to a power of log d₀: (log d₀)^(±1) is an exponent of ±0.27 from 16 to 128";
    vec![
        row(T0_OWN, onset_m, 1.0, 0.95, 1.05, STEPS),
        row(T0_OTHER, onset_m, 1.0, 0.95, 1.05, STEPS),
        row(T0_OWN, onset_rate, -1.0, -1.05, -0.95, STEPS),
        row(T0_OTHER, onset_rate, -1.0, -1.05, -0.95, STEPS),
        row(T0_OWN, onset_d, -0.5, -0.55, -0.45, STEPS_D),
        row(T0_OTHER, onset_d, -0.5, -0.55, -0.45, STEPS_D),
        row(T0_OWN, onset_d0, -0.5, -0.7, -0.3, own),
        row(T0_OTHER, onset_d0, 0.0, -0.5, 0.27, other),
        row(T1_CORE, m, 1.0, 0.98, 1.02, LATE),
        row(T1_BACKGROUND, m, 1.0, 0.98, 1.02, LATE),
        row(T2_HALF, m, 1.0, 0.9, 1.1, SIGNS),
        row(T1_CORE, rate, -1.0, -1.02, -0.98, LATE),
        row(T1_BACKGROUND, rate, -1.0, -1.02, -0.98, LATE),
        row(T2, rate, -1.0, -1.02, -0.98, LATE),
        row(T1_CORE, d, 0.0, -0.05, 0.05, start),
        row(T1_BACKGROUND, d, 0.0, -0.05, 0.05, start),
        row(T2, d, 0.0, -0.05, 0.05, start),
        row(T1_CORE, d0, -1.0, -1.15, -0.85, sums),
        row(T1_BACKGROUND, d0, -1.0, -1.15, -0.85, sums),
        row(T2, d0, -1.0, -1.27, -0.73, risk),
    ]
}

impl Claim for Scaling {
    fn id(&self) -> &'static str {
        "scaling"
    }

    fn title(&self) -> &'static str {
        "Scaling of T₀, T₁ and T₂"
    }

    fn source(&self) -> &'static str {
        "Paper: Thms 1–3 (T₀, T₁ and T₂)"
    }

    fn statement(&self) -> &'static str {
        "As measured events and one factor at a time, T₀ = Θ̃(m/(η√d)), T₁ = Θ(m/(ηd₀)) and T₂ = Θ̃(m/(ηd₀)): exponents 1 \
         in m and −1 in η for all, of T₀ −1/2 in d, of T₁ and T₂ 0 in d and −1 in d₀. T₀ is two events: p_own settles \
         after about m/(η√(d d₀)) steps, p_oth after about m/(η√d)."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        [ladders::onset(settings), ladders::dimension(settings), ladders::learning(settings)].concat()
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        if ladders.len() != 8 {
            return Ok(Judgement::default());
        }
        let mut checks: Vec<Check> = vec![];
        let mut missed = 0;
        // By factor: the ladders, and their residuals.
        let factors = ["m", "η", "d", "d0"];
        let mut measured: [Panel; 4] = factors.map(|factor| empty(factor, log("step of the event")));
        let mut rests: [Panel; 4] = factors.map(|factor| empty(factor, linear("residual of ln(step)")));
        for Expected { event, ladder: index, exponent: expected, rule } in expectations() {
            let ladder = &ladders[index];
            // Along d0 the rungs do not share their random numbers.
            let paired = ladder.factor != "d0";
            let neurons = ladder.runs().map(|run| run.signs.len()).min().unwrap_or(0);
            let at = |run: &Trajectory| (event.at)(run, neurons);
            missed += ladder.runs().filter(|run| at(run).is_nan()).count();
            let fitted = if paired { paired_exponent(ladder, at) } else { exponent(ladder, at) }?;
            let quantity = format!("exponent in {} of {}", ladder.symbol(), event.says);
            let source = if expected == 0.0 || event.name.starts_with("T₀") { SCALE_FREE } else { self.source() };
            checks.push(check(quantity, source, fitted, Some(expected), rule));
            let Some(place) = factors.iter().position(|&factor| factor == ladder.factor) else { continue };
            let color = EVENTS.iter().position(|other| other.name == event.name).unwrap_or(BLACK);
            // The replicates' spread is common to the rungs of a paired ladder: intervals of means would mislead.
            let mean_step = |rung: &Rung<Arc<Trajectory>>| {
                let steps: Vec<f64> = rung.runs.iter().map(|run| at(run)).collect();
                Point::at(rung.size, mean(&steps))
            };
            let steps: Vec<Point> = ladder.rungs.iter().map(mean_step).collect();
            let law = power_law(&steps, Estimate::sure(expected));
            measured[place].series.push(series(event.name, Mark::Points, color, steps));
            measured[place].series.push(series(format!("{}, expected slope", event.name), Mark::Dashed, color, law));
            let rest = residuals(ladder, fitted.value, paired, at);
            rests[place].series.push(series(event.name, Mark::Cloud, color, rest));
        }
        let [t0, t2] = [settings.times.t0, settings.times.t2];
        checks.push(check(
            format!("runs in which an event has not happened, T₀ by {t0} m/(η√d), T₁ and T₂ by {t2} m/(ηd₀)"),
            self.source(),
            Estimate::sure(missed as f64),
            Some(0.0),
            Rule::at_most(0.5, "the constants of the theorems' Θ, as the other claims read them: none may be late"),
        ));
        for panel in &mut rests {
            let xs = || panel.series.iter().flat_map(|series| &series.points).map(|point| point.x);
            let (from, to) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
            panel.series.push(level("fit", Mark::Dotted, BLACK, 0.0, from, to));
        }
        let learning: Vec<&Measured> = ladders[4..].iter().collect();
        Ok(Judgement {
            checks,
            assumptions: paper_assumptions(&learning),
            figures: vec![
                figure(
                    "scaling",
                    "T₀, T₁ and T₂ against size",
                    "Steps at which the events happen, mean over replicates, and the expected power through them. One factor varies at a time; along d₀ the dimension is one for T₀, and d₀^2.5 for \
                     T₁ and T₂.",
                    measured.to_vec(),
                ),
                figure(
                    "scaling-residuals",
                    "Residuals of the fitted powers",
                    "Every replicate's ln(step) less the fitted power, with an intercept for each replicate where rungs share \
                     their random numbers (m, η, d). A pattern would say that no power is exact.",
                    rests.to_vec(),
                ),
            ],
        })
    }
}

fn empty(factor: &str, y: Axis) -> Panel {
    let label = match factor {
        "m" => "neurons m",
        "η" => "step size η",
        "d" => "ambient dimension d",
        _ => "features d₀",
    };
    panel(if factor == "d0" { "d₀" } else { factor }, log(label), y, vec![])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_exponent_inside() {
        for Expected { event, exponent, rule, .. } in expectations() {
            assert!(rule.accept[0] < exponent && exponent < rule.accept[1], "{}", event.says);
        }
    }

    #[test]
    fn ladders_are_where_the_expectations_look_for_them() {
        let settings = Settings::profile("quick").unwrap();
        let factors: Vec<&str> = Scaling.plan(&settings).iter().map(|ladder| ladder.factor).collect();
        assert_eq!(factors, ["m", "η", "d0", "d", "m", "η", "d", "d0"]);
        for Expected { event, ladder, .. } in expectations() {
            assert_eq!(event.name.starts_with("T₀"), ladder < 4, "{}", event.says);
        }
    }
}
