//! Thm 4, linear networks.

use feature_contamination::{Activation, RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, linear, log, median, over_time, panel, power_law, series};
use super::measure::{check_rungs, exponent, means, points, predictions};
use super::{Claim, Judgement, paper_assumptions};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark};
use crate::settings::Settings;
use crate::stats::StatsError;

/// Paper: Thm 4 (linear networks).
pub struct LinearNetworks;

const PAPER: &str = "Paper: Thm 4 (linear networks)";

impl Claim for LinearNetworks {
    fn id(&self) -> &'static str {
        "thm4"
    }

    fn title(&self) -> &'static str {
        "Linear networks do not learn the background"
    }

    fn source(&self) -> &'static str {
        PAPER
    }

    fn statement(&self) -> &'static str {
        "With the identity in place of ReLU, all else equal, with high probability |⟨w_k,m_j⟩| ≤ Õ(1/√d) at T₁ for every \
         neuron k and every background feature j: the background weights stay of the size they start with."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        let linear = ladders::linear(settings);
        // Beside it, for the figure, one ReLU run a size.
        let mut relu = linear.clone();
        for rung in relu.iter_mut().flat_map(|ladder| &mut ladder.rungs) {
            rung.runs.truncate(1);
            rung.runs.iter_mut().for_each(|spec| spec.activation = Activation::Relu);
        }
        [linear, relu].concat()
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [dimension, relu] = ladders else { return Ok(Judgement::default()) };
        let at_t1 = |run: &Trajectory| run.at(ladders::t1(settings, &run.spec)).cloned();
        let largest = |run: &Trajectory| at_t1(run).map_or(f64::NAN, |record| record.max_abs_background);
        let in_d = exponent(dimension, largest)?;
        let every = |quantity: &str,
                     source: &str,
                     value: &dyn Fn(&Trajectory) -> f64,
                     predicted: &dyn Fn(&Trajectory) -> f64,
                     rule: Rule| {
            let (means, predicted) = (means(dimension, value)?, predictions(dimension, predicted));
            Ok::<_, StatsError>(check_rungs(quantity, source, dimension, &means, Some(&predicted), rule))
        };
        let core = |run: &Trajectory| {
            let unit = run.spec.learning_rate * ladders::t1(settings, &run.spec) as f64 / run.spec.m as f64;
            at_t1(run).map_or(f64::NAN, |record| median(&run.aligned_core(&record)) / (unit * run.spec.data.c()))
        };
        let checks = vec![
            check(
                "exponent in d of max |⟨w_k,m_j⟩| over neurons and background features at T₁",
                PAPER,
                in_d,
                Some(-0.5),
                Rule::at_most(
                    -0.4,
                    "Õ(1/√d) is an exponent of at most −1/2, up to logarithms: a factor (log d)^(3/4) adds 0.07 from 2¹² to \
                     2²⁰, log d itself 0.1",
                ),
            ),
            every(
                "max |⟨w_k,m_j⟩| √d / √(2 ln(2 m d_bg)) at T₁",
                PAPER,
                &|run| largest(run) / start_scale(&run.spec),
                &|run| run.spec.decay(run.spec.steps),
                Rule::within(
                    0.0,
                    2.0,
                    "√(2 ln(2 m d_bg)/d) is where the largest of the m·d_bg Gaussian starting weights lies; the factor 2 \
                     is for batch noise",
                ),
            )?,
            every(
                "y Σ_core μ⟨w,m⟩ at T₁ over ηT₁C/m (median neuron)",
                "Derived: a linear neuron's core grows at twice the rate",
                &core,
                &|run| decayed(&run.spec),
                Rule::within(
                    0.5,
                    1.5,
                    "the linear network must have learned the core, else the bound says nothing: every example moves every \
                     neuron, until the hinge gates",
                ),
            )?,
        ];
        Ok(Judgement {
            checks,
            assumptions: paper_assumptions(&[dimension]),
            figures: vec![figure_of(dimension, relu, in_d, &largest)?],
        })
    }
}

/// `√(2 ln(2 m d_bg)/d)`.
fn start_scale(spec: &RunSpec) -> f64 {
    let count = 2.0 * spec.m as f64 * spec.data.background.count as f64;
    (2.0 * count.ln() / spec.d as f64).sqrt()
}

/// `(1 − g_t)/(ηλt)`, what weight decay leaves of steady growth; 1 without decay.
fn decayed(spec: &RunSpec) -> f64 {
    let rate = spec.learning_rate * spec.weight_decay * spec.steps as f64;
    if rate == 0.0 { 1.0 } else { (1.0 - spec.decay(spec.steps)) / rate }
}

fn figure_of(
    dimension: &Measured,
    relu: &Measured,
    in_d: Estimate,
    largest: &dyn Fn(&Trajectory) -> f64,
) -> Result<Figure, StatsError> {
    let linear_points = points(dimension, &means(dimension, largest)?);
    let relu_points = predictions(relu, largest);
    let start = predictions(dimension, |run| start_scale(&run.spec));
    let mut curves = vec![];
    for (name, ladder, color) in [("linear", dimension, 0), ("ReLU", relu, 1)] {
        if let Some(run) = ladder.rungs.last().and_then(|rung| rung.runs.first()) {
            let unit = ladders::feature_unit(&run.spec);
            let x = |step: u64| step as f64 / unit;
            curves.push(series(
                format!("{name}, background"),
                Mark::Line,
                color,
                over_time(run, x, |r| median(&r.neurons.background)),
            ));
            curves.push(series(
                format!("{name}, core"),
                Mark::Dashed,
                color,
                over_time(run, x, |r| median(&run.aligned_core(r))),
            ));
        }
    }
    Ok(figure(
        "thm4-background",
        "The background in linear and ReLU networks",
        "Left: core and background of one run each at the largest d, median neuron. Right: the largest background weight at \
         T₁; in the linear network it stays at the scale of the start and falls as d^(−1/2), in the ReLU network it does not.",
        vec![
            panel("over time", linear("time t / (m/(ηd₀))"), linear("Σ μ⟨w,m⟩ (median neuron)"), curves),
            panel(
                "at T₁",
                log("ambient dimension d"),
                log("max |⟨w_k,m_j⟩|, background"),
                vec![
                    series("fit, linear", Mark::Line, 0, power_law(&linear_points, in_d)),
                    series("linear", Mark::Points, 0, linear_points),
                    series("largest at the start, √(2 ln(2 m d_bg)/d)", Mark::Dashed, BLACK, start),
                    series("ReLU", Mark::Points, 1, relu_points),
                ],
            ),
        ],
    ))
}
