//! The claims: statements with the runs they need and the rule that judges them.
//!
//! A claim's checks compare intervals with bounds that stand in its code, with their reason, before anything is run.
//! Judging is a pure function of trajectories: it touches no random number and no network.

pub mod balance_law;
pub mod check;
pub mod draw;
pub mod envelope;
pub mod finite_size;
pub mod gated;
pub mod mean_field;
pub mod measure;
pub mod mechanism;
pub mod own;
pub mod phase_transition;
pub mod scaling;
pub mod thm1;
pub mod thm2;
pub mod thm3;
pub mod thm4;

use std::sync::Arc;

use feature_contamination::{RunSpec, Trajectory};

use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Assumption, Check, Figure};
use crate::settings::Settings;
use crate::stats::StatsError;

/// A statement that runs can refute.
///
/// ```
/// use feature_contamination::{RunSpec, Trajectory};
/// use feature_contamination_verify::claims::check::Rule;
/// use feature_contamination_verify::claims::draw::median;
/// use feature_contamination_verify::claims::measure::{check_rungs, means};
/// use feature_contamination_verify::claims::{Claim, Judgement};
/// use feature_contamination_verify::ladders;
/// use feature_contamination_verify::plan::{Ladder, Measured};
/// use feature_contamination_verify::settings::Settings;
/// use feature_contamination_verify::stats::StatsError;
///
/// struct MyClaim;
///
/// impl Claim for MyClaim {
///     fn id(&self) -> &'static str { "my-claim" }
///     fn title(&self) -> &'static str { "Core outgrows background" }
///     fn source(&self) -> &'static str { "Derived: by hand" }
///     fn statement(&self) -> &'static str { "At T₁ the median neuron's core sum exceeds its background sum." }
///
///     fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
///         ladders::features(settings)                       // runs that other claims need too are shared
///     }
///
///     fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
///         let ratio = |run: &Trajectory| {
///             run.at(ladders::t1(settings, &run.spec)).map_or(f64::NAN, |record| {
///                 median(&run.aligned_core(record)) / median(&record.neurons.background)
///             })
///         };
///         let ratios = means(&ladders[0], ratio)?;          // Student's interval over seeds, every size
///         let rule = Rule::within(1.0, f64::INFINITY, "more core than background is a ratio above 1");
///         let check = check_rungs("core / background at T₁", self.source(), &ladders[0], &ratios, None, rule);
///         Ok(Judgement { checks: vec![check], ..Judgement::default() })
///     }
/// }
/// ```
pub trait Claim: Sync {
    /// Short name, as `--claim` takes it: lower-case letters, digits and hyphens.
    fn id(&self) -> &'static str;
    /// Title.
    fn title(&self) -> &'static str;
    /// `Paper: …` or `Derived: …`.
    fn source(&self) -> &'static str;
    /// The statement.
    fn statement(&self) -> &'static str;
    /// The runs it needs. Equal runs of different claims are carried out once.
    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>>;
    /// Its checks on the finished runs, in the shape of its plan.
    ///
    /// # Errors
    /// A statistic could not be computed from these runs, such as an exponent from one size.
    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError>;
}

/// What a claim makes of its runs.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Checks, one or more.
    pub checks: Vec<Check>,
    /// Assumptions, met or not.
    pub assumptions: Vec<Assumption>,
    /// Figures.
    pub figures: Vec<Figure>,
}

/// Every claim, in the order of the report.
pub fn all() -> [&'static dyn Claim; 14] {
    [
        &thm1::ActivationAsymmetry,
        &thm2::LearnedFeatures,
        &thm3::Risks,
        &thm4::LinearNetworks,
        &scaling::Scaling,
        &balance_law::BalanceRoot,
        &phase_transition::PhaseTransition,
        &mechanism::Mechanism,
        &mean_field::MeanField,
        &gated::GatedPhase,
        &envelope::Envelope,
        &finite_size::Sandwich,
        &finite_size::BerryEsseen,
        &finite_size::BatchNoise,
    ]
}

/// That the hinge gates next to no example up to T₁: of those let through, a neuron gains what the law says, and of a
/// thousandth that is not, it would have gained at most twice the mean, 0.2 % of a step.
fn before_the_hinge(settings: &Settings, ladder: &Measured) -> Assumption {
    let records = ladder.runs().flat_map(|run: &Arc<Trajectory>| {
        let t1 = ladders::t1(settings, &run.spec);
        run.records.iter().filter(move |record| record.step <= t1)
    });
    let gated = records.map(|record| 1.0 - record.active_fraction).fold(0.0, f64::max);
    Assumption {
        text: format!(
            "At most a thousandth of the examples of any batch recorded up to T₁ is gated by the hinge (here {gated:.5})"
        ),
        met: gated <= 1e-3,
    }
}

/// What Thms 1–3 assume of data and network, checked on the runs. Paper: section 2.
fn paper_assumptions(ladders: &[&Measured]) -> Vec<Assumption> {
    let specs = || ladders.iter().flat_map(|ladder| ladder.runs()).map(|run| &run.spec);
    let all = |text: String, met: &dyn Fn(&RunSpec) -> bool| Assumption { text, met: specs().all(met) };
    let range = |of: &dyn Fn(&RunSpec) -> f64| {
        let (low, high) =
            specs().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let number = |x: f64| format!("{x:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
        if high - low < 1e-3 { number(low) } else { format!("{} to {}", number(low), number(high)) }
    };
    vec![
        all(
            format!("Balance: C = Σ_core μ² ≥ B = Σ_bg μ² (here B/C = {})", range(&|s| s.data.b() / s.data.c())),
            &|s| s.data.is_balanced(),
        ),
        all(
            format!(
                "d ≥ Ω(d₀^2.5) with constant 1/4: only the scale of the start depends on d (here d/d₀^2.5 = {})",
                range(&|s| s.d as f64 / (s.data.d0() as f64).powf(2.5))
            ),
            &|s| s.d as f64 >= 0.25 * (s.data.d0() as f64).powf(2.5),
        ),
        all(
            format!("m from Ω(d₀) to O(d): d₀/2 ≤ m ≤ d (here m/d₀ = {})", range(&|s| s.m as f64 / s.data.d0() as f64)),
            &|s| 2 * s.m >= s.data.d0() && s.m as u64 <= s.d,
        ),
        all(
            format!(
                "λ = O(d₀/m^1.01) with constant 1/20: beyond, the decay and not the data sets the weights (here λ m^1.01/d₀ = {})",
                range(&|s| s.weight_decay * (s.m as f64).powf(1.01) / s.data.d0() as f64)
            ),
            &|s| s.weight_decay <= 0.05 * s.data.d0() as f64 / (s.m as f64).powf(1.01),
        ),
        all("Moments: every feature's mean is at least 0.05 in modulus".to_owned(), &|s| {
            s.data.core.moments().iter().chain(&s.data.background.moments()).all(|m| m.mean().abs() >= 0.05)
        }),
        all(
            format!(
                "N = poly(d), as far as it matters: over t steps the batches' noise leaves at most σ√(t/N)·η/m in a weight, \
                 σ ≤ 1, below a tenth of the growth ηtμ/2m (here the ratio 2/(μ√(tN)) = {})",
                range(&noise_ratio)
            ),
            &|s| noise_ratio(s) <= 0.1,
        ),
    ]
}

/// `2/(μ√(tN))`: noise of all batches over the growth of the feature with the smallest mean.
fn noise_ratio(spec: &RunSpec) -> f64 {
    let moments = spec.data.core.moments();
    let smallest = moments.iter().map(|m| m.mean().abs()).fold(f64::INFINITY, f64::min);
    2.0 / (smallest * (spec.steps as f64 * spec.batch as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statement;
    use feature_contamination::Precision;

    #[test]
    fn ids_are_distinct_file_names() {
        let all = Statement::all();
        let ids: std::collections::BTreeSet<_> = all.iter().map(|claim| claim.id()).collect();
        assert_eq!(ids.len(), all.len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')));
    }

    /// Two of 2048 are let through, three are not, and none counts after T₁.
    #[test]
    fn a_thousandth_may_be_gated_before_the_hinge() {
        let mut settings = Settings::profile("quick").unwrap();
        settings.ladder_law.d0 = vec![8];
        let spec = ladders::self_similar(&settings)[0].rungs[0].runs[0].clone();
        let executor = feature_contamination::Executor::detect().unwrap();
        let run = feature_contamination::simulate(&spec, executor).unwrap();
        let met = |gated: f64, late: u64| {
            let mut run = run.clone();
            let last = run.records.last_mut().unwrap();
            (last.active_fraction, last.step) = (1.0 - gated / 2048.0, last.step + late);
            let rung = crate::plan::Rung { size: 8.0, runs: vec![Arc::new(run)] };
            before_the_hinge(&settings, &Ladder { factor: "d0", rungs: vec![rung] }).met
        };
        assert!(met(2.0, 0) && !met(3.0, 0) && met(3.0, 1));
    }

    fn is_source(source: &str) -> bool {
        source.starts_with("Paper: ") || source.starts_with("Derived: ")
    }

    /// Every claim and study judged on ladders so small that their verdicts mean nothing.
    fn judged(precision: Precision) -> Vec<(&'static str, Judgement)> {
        let mut settings = Settings::profile("quick").unwrap();
        settings.training.precision = precision;
        settings.ladder_d0.d0 = vec![4, 8];
        settings.ladder_law.d0 = vec![32, 64];
        settings.ladder_gated.d0 = vec![4, 8];
        settings.ladder_gated.batch = 64;
        settings.ladder_m.m = vec![4, 8];
        settings.ladder_d.d = vec![1 << 12, 1 << 14];
        settings.ladder_linear.d = vec![64, 128];
        settings.ladder_linear.batch = vec![64, 64];
        settings.ladder_time.d0 = vec![4, 8];
        settings.ladder_time.m = vec![4, 8];
        settings.ladder_time.d = vec![1 << 12, 1 << 14];
        settings.ladder_time.steps_per_unit = vec![4, 8];
        settings.ladder_balance.d0 = vec![4, 8];
        settings.ladder_balance.eval_samples = 64;
        settings.training.batch = 64;
        settings.measure.eval_samples = 64;
        let distillation = &mut settings.distillation;
        (distillation.m, distillation.batch, distillation.steps) = (vec![4, 8], 32, 8);
        (distillation.eval_samples, distillation.replicates) = (64, 2);
        let diversity = &mut settings.diversity;
        (diversity.spread, diversity.m, diversity.batch, diversity.late) = (vec![0.0, 1.0], 4, 32, 2.0);
        (diversity.eval_samples, diversity.replicates) = (64, 2);
        settings.digits.neurons = 8;
        settings.digits.steps = 40;
        settings.digits.replicates = 2;
        let executor = feature_contamination::Executor::detect().unwrap();
        let judged = Statement::all().into_iter().map(|statement| {
            let planned = statement.plan(&settings);
            let mut plan = crate::plan::Plan::default();
            planned.add_to(&mut plan);
            let results = crate::execute::run_all(&plan, executor, 2, &|_| ()).unwrap();
            (statement.id(), planned.judge(&settings, &plan, &results).unwrap())
        });
        judged.collect()
    }

    #[test]
    fn checks_are_as_many_as_the_error_is_shared_among_and_say_their_source_and_reason() {
        assert!(Statement::all().iter().all(|claim| is_source(claim.source())));
        let mut checks = 0;
        for (id, judgement) in judged(Precision::Single) {
            assert!(!judgement.checks.is_empty() && !judgement.figures.is_empty(), "{id}");
            for check in &judgement.checks {
                assert!(is_source(&check.source) && !check.reason.is_empty(), "{}", check.quantity);
                assert!(check.confidence == 1.0 || check.confidence == check::CONFIDENCE, "{}", check.quantity);
            }
            checks += judgement.checks.len();
        }
        assert!(checks + check::OWN_CHECKS <= check::MAX_CHECKS, "{checks} checks");
    }

    /// What a claim measures does not depend on the precision, and so nor does its verdict.
    #[test]
    fn double_precision_gives_the_same_verdicts() {
        for ((id, single), (_, double)) in judged(Precision::Single).into_iter().zip(judged(Precision::Double)) {
            for (a, b) in single.checks.iter().zip(&double.checks) {
                assert_eq!((&a.quantity, a.verdict), (&b.quantity, b.verdict), "{id}");
                // An excess over rounding is rounding itself.
                let close = (a.measured - b.measured).abs() <= 1e-2 * a.measured.abs().max(b.measured.abs());
                // Ladders so small do not show every event.
                let missing = a.measured.is_nan() && b.measured.is_nan();
                assert!(
                    close || missing || id == "envelope",
                    "{id}: {}: {} and {}",
                    a.quantity,
                    a.measured,
                    b.measured
                );
            }
        }
    }
}
