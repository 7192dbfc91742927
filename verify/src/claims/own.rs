//! Ladders of one's own, from a configuration file: observables against sizes beside their predictions, judged by bounds
//! that the file states.

use std::sync::Arc;

use feature_contamination::{Record, RunSpec, Trajectory};

use super::check::{Estimate, Rule, check};
use super::draw::{BLACK, figure, linear, log, median, panel, series};
use super::measure::{check_rungs, exponent, means, points, predictions};
use super::{Claim, Judgement};
use crate::ladders;
use crate::plan::{Ladder, Measured};
use crate::report::model::{Axis, Check, Figure, Mark, Point};
use crate::settings::{At, Observable, Of, OwnCheck, OwnLadder, Settings};
use crate::stats::StatsError;
use crate::theory::gated::gated;

/// What every ladder of one's own shows, checked or not.
const SHOWN: [(Observable, At); 6] = [
    (Observable::Core, At::T1),
    (Observable::Background, At::T1),
    (Observable::POwn, At::T1),
    (Observable::POth, At::T1),
    (Observable::IdRisk, At::T2),
    (Observable::OodRisk, At::T2),
];

/// A `[[ladder]]` of a configuration file.
pub struct Own {
    ladder: OwnLadder,
    id: &'static str,
    title: &'static str,
    statement: &'static str,
    /// Each check's bounds with their reason.
    rules: Vec<Rule>,
}

const SOURCE: &str = "Derived: gated phase";

impl Own {
    /// The claims of a file's ladders. What they say lives as long as the program, as claims' words do.
    pub fn all(settings: &Settings) -> Vec<&'static dyn Claim> {
        let of = |ladder: &OwnLadder| -> &'static dyn Claim { Box::leak(Box::new(Self::new(ladder.clone()))) };
        settings.ladder.iter().map(of).collect()
    }

    fn new(ladder: OwnLadder) -> Self {
        let leak = |text: String| -> &'static str { text.leak() };
        let says: Vec<String> =
            ladder.check.iter().map(|check| format!("{} {}", quantity(check), bounds(check))).collect();
        let label = ladder.factor.label();
        let statement = match &ladder.statement {
            Some(statement) => statement.clone(),
            None if says.is_empty() => {
                format!("Observables along {label} beside their predictions; nothing is claimed.")
            }
            None => format!("Along {label}: {}.", says.join("; ")),
        };
        let rule = |check: &OwnCheck| {
            let reason = check.reason.clone().unwrap_or_else(|| "stated in the configuration file".to_owned());
            Rule::within(check.low.unwrap_or(f64::NEG_INFINITY), check.high.unwrap_or(f64::INFINITY), leak(reason))
        };
        Self {
            id: leak(ladder.name.clone()),
            title: leak(ladder.title.clone().unwrap_or_else(|| ladder.name.clone())),
            statement: leak(statement),
            rules: ladder.check.iter().map(rule).collect(),
            ladder,
        }
    }
}

impl Claim for Own {
    fn id(&self) -> &'static str {
        self.id
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn source(&self) -> &'static str {
        SOURCE
    }

    fn statement(&self) -> &'static str {
        self.statement
    }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        vec![ladders::own(settings, &self.ladder)]
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        let [ladder] = ladders else { return Ok(Judgement::default()) };
        let predicted: Vec<(Arc<Trajectory>, Trajectory)> =
            ladder.runs().map(|run| (Arc::clone(run), gated(run))).collect();
        let prediction = |run: &Trajectory| predicted.iter().find(|(r, _)| std::ptr::eq(&**r, run)).map(|(_, p)| p);
        let places = Places { settings, ladder, prediction: &prediction };
        let checks = self.ladder.check.iter().zip(&self.rules).map(|(check, rule)| places.check(check, *rule));
        let mut judgement = Judgement { checks: checks.collect::<Result<_, _>>()?, ..Judgement::default() };
        judgement.figures = vec![self.figure(&places)?];
        if judgement.checks.is_empty() {
            // Nothing is claimed, and so nothing can fail.
            let sure = Rule::at_most(0.5, "nothing is claimed");
            judgement.checks.push(check("claims made and broken", SOURCE, Estimate::sure(0.0), None, sure));
        }
        Ok(judgement)
    }
}

impl Own {
    fn figure(&self, places: &Places<'_>) -> Result<Figure, StatsError> {
        let checked = self.ladder.check.iter().map(|check| (check.observable, check.at));
        let mut shown = SHOWN.to_vec();
        for place in checked {
            if !shown.contains(&place) {
                shown.push(place);
            }
        }
        let panels = shown.into_iter().map(|(observable, at)| {
            let measured = points(places.ladder, &means(places.ladder, |run| places.measured(run, observable, at))?);
            let predicted = predictions(places.ladder, |run| places.predicted(run, observable, at));
            let y = |label: &str| -> Axis {
                let positive = |points: &[Point]| points.iter().all(|point| point.y > 0.0 && point.lo > 0.0);
                if positive(&measured) && positive(&predicted) { log(label) } else { linear(label) }
            };
            let axis = y(observable.says());
            let all = vec![
                series("predicted", Mark::Dashed, BLACK, predicted),
                series("measured, with interval", Mark::Points, 0, measured),
            ];
            Ok(panel(format!("at {}", at.says()), log(self.ladder.factor.label()), axis, all))
        });
        Ok(figure(
            &format!("own-{}", self.id),
            self.title,
            "Means over replicates with Student's interval, and the prediction through the gated phase from each run's own start \
             (the first replicate's), without a fitted constant. Sums and probabilities are medians over neurons.",
            panels.collect::<Result<_, StatsError>>()?,
        ))
    }
}

/// A ladder's runs beside their predictions.
struct Places<'a> {
    settings: &'a Settings,
    ladder: &'a Measured,
    prediction: &'a dyn Fn(&Trajectory) -> Option<&'a Trajectory>,
}

impl Places<'_> {
    fn measured(&self, run: &Trajectory, observable: Observable, at: At) -> f64 {
        value(self.settings, run, observable, at)
    }

    fn predicted(&self, run: &Trajectory, observable: Observable, at: At) -> f64 {
        (self.prediction)(run).map_or(f64::NAN, |predicted| value(self.settings, predicted, observable, at))
    }

    fn check(&self, check: &OwnCheck, rule: Rule) -> Result<Check, StatsError> {
        let OwnCheck { observable, at, of, .. } = *check;
        let measured = |run: &Trajectory| self.measured(run, observable, at);
        let predicted = |run: &Trajectory| self.predicted(run, observable, at);
        let quantity = quantity(check);
        if of == Of::Exponent {
            let expected = exponent(self.ladder, predicted)?;
            let measured = exponent(self.ladder, measured)?;
            return Ok(super::check::check(quantity, SOURCE, measured, Some(expected.value), rule));
        }
        let (estimates, law) = if of == Of::Ratio {
            let ones = self.ladder.rungs.iter().map(|rung| Point::at(rung.size, 1.0)).collect();
            (means(self.ladder, |run| measured(run) / predicted(run))?, ones)
        } else {
            (means(self.ladder, measured)?, predictions(self.ladder, predicted))
        };
        Ok(check_rungs(&quantity, SOURCE, self.ladder, &estimates, Some(&law), rule))
    }
}

fn value(settings: &Settings, run: &Trajectory, observable: Observable, at: At) -> f64 {
    let step = match at {
        At::T0 => ladders::t0(settings, &run.spec),
        At::T1 => ladders::t1(settings, &run.spec),
        At::T2 => ladders::t2(settings, &run.spec),
    };
    let of = |record: &Record| match observable {
        Observable::POwn => median(&record.neurons.own.p),
        Observable::POth => median(&record.neurons.other.p),
        Observable::Core => median(&run.aligned_core(record)),
        Observable::Background => median(&record.neurons.background),
        Observable::IdRisk => record.id.risk,
        Observable::OodRisk => record.ood.risk,
        Observable::IdMargin => record.id.margin,
        Observable::OodMargin => record.ood.margin,
    };
    run.at(step).map_or(f64::NAN, of)
}

fn quantity(check: &OwnCheck) -> String {
    let what = format!("{} at {}", check.observable.says(), check.at.says());
    match check.of {
        Of::Value => what,
        Of::Ratio => format!("{what} over its prediction"),
        Of::Exponent => format!("exponent of {what}"),
    }
}

fn bounds(check: &OwnCheck) -> String {
    match (check.low, check.high) {
        (Some(low), Some(high)) => format!("between {low} and {high}"),
        (Some(low), None) => format!("above {low}"),
        (None, Some(high)) => format!("below {high}"),
        (None, None) => "of any value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Verdict;

    fn settings(ladder: &str) -> Settings {
        let text = format!(
            "[training]\nbatch = 256\nsteps_per_unit = 8.0\n[measure]\neval_samples = 1024\n[[ladder]]\nname = \"mine\"\n\
             replicates = 3\n{ladder}"
        );
        let base = toml::Table::try_from(Settings::profile("quick").unwrap()).unwrap();
        let mut merged = base;
        for (key, value) in toml::from_str::<toml::Table>(&text).unwrap() {
            match (merged.get_mut(&key), value) {
                (Some(toml::Value::Table(base)), toml::Value::Table(over)) => base.extend(over),
                (_, value) => drop(merged.insert(key, value)),
            }
        }
        let settings: Settings = toml::Value::Table(merged).try_into().unwrap();
        settings.validate().unwrap();
        settings
    }

    fn judged(ladder: &str) -> Judgement {
        judged_runs(ladder).2
    }

    fn judged_runs(ladder: &str) -> (Settings, Vec<Measured>, Judgement) {
        let settings = settings(ladder);
        let claim = Own::all(&settings)[0];
        let ladders = claim.plan(&settings);
        let mut plan = crate::plan::Plan::default();
        plan.add(&ladders);
        let executor = feature_contamination::Executor::detect().unwrap();
        let runs = crate::execute::run_all(&plan, executor, 2, &|_| ()).unwrap().runs;
        let measured = plan.resolve(&ladders, &runs).unwrap();
        let judgement = claim.judge(&settings, &measured).unwrap();
        (settings, measured, judgement)
    }

    #[test]
    fn predictions_stand_beside_measurements_along_every_factor() {
        for (factor, sizes) in [
            ("d0", "[16, 24]"),
            ("m", "[64, 96]"),
            ("d", "[4096, 8192]"),
            ("B/C", "[0.6, 1.0]"),
            ("batch", "[128, 256]"),
            ("steps_per_unit", "[4, 8]"),
        ] {
            let judgement = judged(&format!(
                "factor = \"{factor}\"\nsizes = {sizes}\n[[ladder.check]]\nobservable = \"core\"\nat = \"t1\"\nof = \
                 \"ratio\"\nlow = 0.8\nhigh = 1.25\n[[ladder.check]]\nobservable = \"background\"\nat = \"t1\"\nof = \
                 \"value\"\nhigh = 0.0\n"
            ));
            let [core, background] = &judgement.checks[..] else { panic!("{factor}") };
            assert!((core.measured - 1.0).abs() < 0.1, "{factor}: {core:?}");
            assert_eq!(core.predicted, Some(1.0));
            let predicted = background.predicted.unwrap();
            assert!((background.measured / predicted - 1.0).abs() < 0.1, "{factor}: {background:?}");
            // The background is learned, which the file's bound denies.
            assert_eq!(background.verdict, Verdict::Violated, "{factor}");
            let figure = &judgement.figures[0];
            assert_eq!(figure.panels.len(), 6);
            for panel in &figure.panels {
                assert!(panel.series.iter().all(|series| series.points.len() == 2), "{factor}: {}", panel.y.label);
            }
        }
    }

    #[test]
    fn an_observable_is_the_one_of_its_name_at_the_time_that_is_asked_for() {
        let settings = settings("factor = \"m\"\nsizes = [32]\n");
        let ladders = Own::all(&settings)[0].plan(&settings);
        let spec = ladders[0].runs().next().unwrap();
        let run = feature_contamination::simulate(spec, feature_contamination::Executor::detect().unwrap()).unwrap();
        // Of the model: 8 m/(η√d), and 8 and 24 m/(ηd₀), η d₀/m being 1/8.
        let d0 = spec.data.d0() as f64;
        let steps = [8.0 * 8.0 * d0 / (spec.d as f64).sqrt(), 64.0, 192.0];
        for (at, step) in [At::T0, At::T1, At::T2].into_iter().zip(steps) {
            let record = run.at(step.round() as u64).unwrap();
            for (observable, expected) in [
                (Observable::POwn, median(&record.neurons.own.p)),
                (Observable::POth, median(&record.neurons.other.p)),
                (Observable::Core, median(&run.aligned_core(record))),
                (Observable::Background, median(&record.neurons.background)),
                (Observable::IdRisk, record.id.risk),
                (Observable::OodRisk, record.ood.risk),
                (Observable::IdMargin, record.id.margin),
                (Observable::OodMargin, record.ood.margin),
            ] {
                assert_eq!(value(&settings, &run, observable, at), expected, "{observable:?} at {at:?}");
            }
        }
        let t2 = run.at(192).unwrap();
        assert!(t2.id.risk < t2.ood.risk && t2.id.margin > t2.ood.margin);
    }

    /// Measured over predicted, run by run, and not the other way round.
    #[test]
    fn a_ratio_is_over_its_prediction() {
        let (settings, ladders, judgement) = judged_runs(
            "factor = \"m\"\nsizes = [8]\n[[ladder.check]]\nobservable = \"p_oth\"\nat = \"t2\"\nof = \"ratio\"\nhigh = \
             9.0\n",
        );
        let of = |run: &Trajectory| value(&settings, run, Observable::POth, At::T2);
        let expected = ladders[0].runs().map(|run| of(run) / of(&gated(run))).sum::<f64>() / 3.0;
        assert!((expected - 1.0).abs() > 0.01, "{expected}: take another place");
        assert!((judgement.checks[0].measured - expected).abs() < 1e-12, "{}", judgement.checks[0].measured);
    }

    #[test]
    fn a_statement_has_the_bounds_of_the_file() {
        let check = |bounds: &str| {
            format!("[[ladder.check]]\nobservable = \"ood_risk\"\nat = \"t2\"\nof = \"ratio\"\n{bounds}")
        };
        for (bounds, words) in [
            ("low = 0.5\n", "above 0.5"),
            ("high = 0.5\n", "below 0.5"),
            ("low = 0.5\nhigh = 2.0\n", "between 0.5 and 2"),
            ("", "of any value"),
        ] {
            let settings = settings(&format!("factor = \"m\"\nsizes = [32, 64]\n{}", check(bounds)));
            let statement = Own::all(&settings)[0].statement();
            assert_eq!(statement, format!("Along neurons m: R_OOD at T₂ over its prediction {words}."));
        }
    }

    #[test]
    fn exponents_are_fitted_and_predicted() {
        let judgement = judged(
            "factor = \"d0\"\nsizes = [16, 64]\n[[ladder.check]]\nobservable = \"background\"\nat = \"t1\"\nof = \
             \"exponent\"\nlow = -0.6\nhigh = 0.6\nreason = \"because\"\n[[ladder.check]]\nobservable = \"ood_margin\"\nat = \
             \"t0\"\nof = \"value\"\n",
        );
        let check = &judgement.checks[0];
        // Sums of few examples to 2 %, over a factor of 4.
        assert!((check.measured - check.predicted.unwrap()).abs() < 0.03 && check.reason == "because", "{check:?}");
        assert_eq!(judgement.figures[0].panels.len(), 7, "one more for what is checked elsewhere");
    }

    #[test]
    fn a_ladder_without_checks_claims_nothing() {
        let judgement = judged("factor = \"m\"\nsizes = [32, 64]\n");
        assert_eq!(judgement.checks.len(), 1);
        assert_eq!(judgement.checks[0].verdict, Verdict::Holds);
    }
}
