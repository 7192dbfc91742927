//! Thm 2, learned features.

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, level, linear, log, median, over_time, panel, power_law, series, unit};
use super::measure::{check_rungs, exponent, fractions, means, points, predictions};
use super::{Claim, Judgement, paper_assumptions};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Figure, Mark, Point};
use crate::settings::Settings;
use crate::stats::StatsError;
use crate::theory::balance::SelfSimilar;
use crate::theory::mean_field::mean_field;

/// Paper: Thm 2 (learned features).
pub struct LearnedFeatures;

const PAPER: &str = "Paper: Thm 2 (learned features)";
/// A constant of Thm 2 may differ from what a neuron with `p_own = 1`, `p_oth = 0` has by this factor.
const FACTOR: f64 = 2.0;

impl Claim for LearnedFeatures {
    fn id(&self) -> &'static str {
        "thm2"
    }

    fn title(&self) -> &'static str {
        "Learned features"
    }

    fn source(&self) -> &'static str {
        PAPER
    }

    fn statement(&self) -> &'static str {
        "At T₁ = Θ(m/(ηd₀)), with high probability, Θ(m) neurons have Σ_core μ_j⟨w_k,m_j⟩ = y·Θ(1), y = sign a_k being \
         the neuron's own label, and Σ_bg μ_j⟨w_k,m_j⟩ = Θ(1): the background is learned beside the core, though it \
         carries no information on the label."
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        [ladders::features(settings), ladders::neurons(settings)].concat()
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [features, neurons] = ladders else { return Ok(Judgement::default()) };
        let core = |run: &Trajectory| at_t1(settings, run).map_or(f64::NAN, |r| median(&run.aligned_core(r)));
        let background = |run: &Trajectory| at_t1(settings, run).map_or(f64::NAN, |r| median(&r.neurons.background));
        let law = |run: &Trajectory| {
            let (phase, t1) = (SelfSimilar::leading(&run.spec.data), ladders::t1(settings, &run.spec));
            (phase.core(&run.spec, t1), phase.background(&run.spec, t1))
        };
        let unit_of = |run: &Trajectory| units(settings, &run.spec);
        let relative = |quantity: &str, value: &dyn Fn(&Trajectory) -> f64, law: &dyn Fn(&Trajectory) -> f64| {
            let rule = Rule::within(
                1.0 / FACTOR,
                FACTOR,
                "the constant of a neuron that fires always on its class and never on the other is ηT₁C/2m (core) and \
                 ηT₁B/2m (background); Θ(1) is read as within a factor 2 of it",
            );
            let predicted = predictions(features, law);
            let means = means(features, value)?;
            Ok::<_, StatsError>(check_rungs(quantity, PAPER, features, &means, Some(&predicted), rule))
        };
        let both = |run: &Trajectory| {
            let (core_unit, background_unit) = unit_of(run);
            let range = 1.0 / FACTOR..FACTOR;
            at_t1(settings, run).map_or(0, |record| {
                let sums = run.aligned_core(record).into_iter().zip(&record.neurons.background);
                sums.filter(|&(c, b)| range.contains(&(c / core_unit)) && range.contains(&(b / background_unit)))
                    .count()
            })
        };
        let learned = fractions(neurons, both)?;
        let in_m = exponent(neurons, |run| both(run) as f64 / run.spec.m as f64)?;

        let flat = "Θ(1) is exponent 0; the constants' own drift, (1 ± p)/2 with p falling, is within ±0.06 over these \
                    sizes, and ±0.15 is a factor 1.4 over a factor 8 in size";
        let checks = vec![
            check(
                "exponent in d₀ of y Σ_core μ⟨w,m⟩ at T₁ (median neuron)",
                PAPER,
                exponent(features, core)?,
                Some(exponent(features, |run| law(run).0)?.value),
                Rule::within(-0.15, 0.15, flat),
            ),
            check(
                "exponent in d₀ of Σ_bg μ⟨w,m⟩ at T₁ (median neuron)",
                PAPER,
                exponent(features, background)?,
                Some(exponent(features, |run| law(run).1)?.value),
                Rule::within(-0.15, 0.15, flat),
            ),
            relative(
                "y Σ_core μ⟨w,m⟩ at T₁ over ηT₁C/2m (median neuron)",
                &|run| core(run) / unit_of(run).0,
                &|run| law(run).0 / unit_of(run).0,
            )?,
            relative(
                "Σ_bg μ⟨w,m⟩ at T₁ over ηT₁B/2m (median neuron)",
                &|run| background(run) / unit_of(run).1,
                &|run| law(run).1 / unit_of(run).1,
            )?,
            check_rungs(
                "fraction of neurons with both sums within a factor 2 at T₁",
                PAPER,
                neurons,
                &learned,
                None,
                Rule::within(0.5, f64::INFINITY, "Θ(m) neurons: a constant fraction, here at least one half"),
            ),
            check(
                "exponent in m of the fraction of neurons that have learned both",
                PAPER,
                in_m,
                Some(0.0),
                Rule::within(
                    -0.1,
                    0.1,
                    "Θ(m) is exponent 0; ±0.1 is a factor 1.2 over a factor 8 in size, 1.4 over 32",
                ),
            ),
        ];
        Ok(Judgement {
            checks,
            assumptions: paper_assumptions(&[features, neurons]),
            figures: vec![
                growth_figure(settings, features),
                plane_figure(settings, features),
                ladder_figure(settings, features, neurons, &learned, &core, &background)?,
            ],
        })
    }
}

/// What a neuron with `p_own = 1`, `p_oth = 0` has at T₁: `(ηT₁C/2m, ηT₁B/2m)`, with the μ that the sums are weighed by.
fn units(settings: &Settings, spec: &RunSpec) -> (f64, f64) {
    let scale = spec.learning_rate * ladders::t1(settings, spec) as f64 / (2.0 * spec.m as f64);
    let b = spec.background_weights.as_ref().unwrap_or(&spec.data.background).squared_mean();
    (scale * spec.data.c(), scale * b)
}

fn at_t1<'a>(settings: &Settings, run: &'a Trajectory) -> Option<&'a Record> {
    run.at(ladders::t1(settings, &run.spec))
}

fn growth_figure(settings: &Settings, features: &Measured) -> Figure {
    let time = "time t / (m/(ηd₀))";
    // The earliest records would be drawn on top of each other.
    let late = |points: Vec<Point>| -> Vec<Point> { points.into_iter().filter(|p| p.x >= 1.0).collect() };
    let mut core = vec![];
    let mut background = vec![];
    for (color, rung) in features.rungs.iter().enumerate() {
        let Some(run) = rung.runs.first() else { continue };
        let unit = ladders::feature_unit(&run.spec);
        let x = |step: u64| step as f64 / unit;
        let name = format!("d₀ = {}", rung.size);
        let signed = |record: &Record| median(&run.aligned_core(record));
        core.push(series(&name, Mark::Points, color, late(over_time(run, x, signed))));
        background.push(series(&name, Mark::Points, color, late(over_time(run, x, |r| median(&r.neurons.background)))));
        // Before the hinge gates: the prediction is drawn as far as it speaks.
        let predicted = mean_field(run);
        let ungated = |points: Vec<Point>| -> Vec<Point> { points.into_iter().filter(|p| p.x <= 14.0).collect() };
        let signed = |record: &Record| median(&predicted.aligned_core(record));
        let label = format!("mean field, d₀ = {}", rung.size);
        core.push(series(&label, Mark::Dashed, color, ungated(over_time(&predicted, x, signed))));
        background.push(series(
            &label,
            Mark::Dashed,
            color,
            ungated(over_time(&predicted, x, |r| median(&r.neurons.background))),
        ));
    }
    for panel in [&mut core, &mut background] {
        panel.push(vertical("T₁", settings.times.t1, 0.0, 1.2));
    }
    figure(
        "thm2-growth",
        "Growth of core and background",
        "Median over neurons of one run a size, and the mean-field trajectory from the same start, without a fitted \
         constant, up to where the hinge begins to gate. The background grows with the core, a little slower.",
        vec![
            panel("core", linear(time), linear("y Σ_core μ⟨w,m⟩ (median neuron)"), core),
            panel("background", linear(time), linear("Σ_bg μ⟨w,m⟩ (median neuron)"), background),
        ],
    )
}

fn vertical(name: &str, x: f64, low: f64, high: f64) -> crate::report::model::Series {
    series(name, Mark::Dotted, BLACK, vec![Point::at(x, low), Point::at(x, high)])
}

fn plane_figure(settings: &Settings, features: &Measured) -> Figure {
    let panels = [features.rungs.first(), features.rungs.last()].into_iter().flatten().filter_map(|rung| {
        let run = rung.runs.first()?;
        let cloud = |record: &Record, sign: i8| -> Vec<Point> {
            (0..run.spec.m)
                .filter(|&k| run.signs[k] == sign)
                .map(|k| Point::at(record.neurons.core[k], record.neurons.background[k]))
                .collect()
        };
        let (start, record) = (run.records.first()?, at_t1(settings, run)?);
        let phase = SelfSimilar::leading(&run.spec.data);
        let (core, background) = (phase.core(&run.spec, record.step), phase.background(&run.spec, record.step));
        Some(panel(
            format!("d₀ = {}", rung.size),
            linear("Σ_core μ⟨w,m⟩"),
            linear("Σ_bg μ⟨w,m⟩"),
            vec![
                series("at the start", Mark::Cloud, BLACK, [cloud(start, 1), cloud(start, -1)].concat()),
                series("a_k > 0, at T₁", Mark::Cloud, 0, cloud(record, 1)),
                series("a_k < 0, at T₁", Mark::Cloud, 1, cloud(record, -1)),
                series("balance law", Mark::Points, 2, vec![Point::at(core, background), Point::at(-core, background)]),
            ],
        ))
    });
    figure(
        "thm2-neurons",
        "Neurons in the plane of core and background",
        "One run at the smallest and at the largest size. Neurons start near the origin; by T₁ each class's neurons have \
         moved to its side in core, and upward in background, whatever their class.",
        panels.collect(),
    )
}

fn ladder_figure(
    settings: &Settings,
    features: &Measured,
    neurons: &Measured,
    learned: &[Estimate],
    core: &dyn Fn(&Trajectory) -> f64,
    background: &dyn Fn(&Trajectory) -> f64,
) -> Result<Figure, StatsError> {
    let law = |pick: fn(&SelfSimilar, &RunSpec, u64) -> f64| {
        predictions(features, |run| {
            pick(&SelfSimilar::leading(&run.spec.data), &run.spec, ladders::t1(settings, &run.spec))
        })
    };
    let core_points = points(features, &means(features, core)?);
    let background_points = points(features, &means(features, background)?);
    let fit = |value: &dyn Fn(&Trajectory) -> f64| exponent(features, value);
    let sizes: Vec<f64> = neurons.rungs.iter().map(|rung| rung.size).collect();
    let (from, to) = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(1.0));
    Ok(figure(
        "thm2-ladder",
        "The constants of Thm 2 against size",
        "Left: both sums at T₁ with their fitted powers, and the balance law's constants. Right: the neurons that have \
         learned both, within a factor 2.",
        vec![
            panel(
                "median neuron at T₁",
                log("features d₀"),
                log("Σ μ⟨w,m⟩"),
                vec![
                    series("fit, core", Mark::Line, 0, power_law(&core_points, fit(core)?)),
                    series("core", Mark::Points, 0, core_points),
                    series("fit, background", Mark::Line, 1, power_law(&background_points, fit(background)?)),
                    series("background", Mark::Points, 1, background_points),
                    series("law, core", Mark::Dashed, 0, law(SelfSimilar::core)),
                    series("law, background", Mark::Dashed, 1, law(SelfSimilar::background)),
                ],
            ),
            panel(
                "neurons that have learned both",
                log("neurons m"),
                unit("fraction of neurons"),
                vec![
                    series("measured", Mark::Points, 2, points(neurons, learned)),
                    level("required", Mark::Dotted, BLACK, 0.5, from, to),
                ],
            ),
        ],
    ))
}
