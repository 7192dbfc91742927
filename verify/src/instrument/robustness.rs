//! Which assumption matters: every claim judged with one of the paper's assumptions given up at a time.
//!
//! The claims are judged as they stand, by the bounds that they have, with assumptions set aside as for controls. What comes
//! out is a map, claims by switches, and not a pass or a fail: a statement of order may survive where a prediction without a
//! fitted constant does not. Docs: "Which assumption matters".

use feature_contamination::mlp::Loss;
use feature_contamination::{
    Dictionary, Distribution, Executor, FeatureGroup, Record, RunSpec, SimulateError, Trajectory, Variant,
};

use super::table;
use crate::claims::check::{deciding, worst};
use crate::claims::draw::{median, number};
use crate::claims::{self, Claim};
use crate::cli::CliError;
use crate::execute::{RunError, run_all};
use crate::ladders;
use crate::plan::{Ladder, Measured, Plan};
use crate::report::map::{ID, NUMBERS};
use crate::report::model::{Check, Table, Verdict};
use crate::settings::Settings;
use crate::stats::interval::student_interval;
use crate::theory::balance::balance_root;
use crate::theory::mean_field::mean_field;

/// Claims that say something of training. Those left out hold for any weights (`sandwich`, `berry-esseen`) or for any step
/// taken on a fresh batch (`batch-noise`), whatever trained the weights.
pub const CLAIMS: [&str; 11] = [
    "thm1",
    "thm2",
    "thm3",
    "thm4",
    "scaling",
    "balance-law",
    "phase-transition",
    "mechanism",
    "mean-field",
    "gated-phase",
    "envelope",
];

/// One assumption given up.
pub struct Switch {
    /// What it is about.
    group: &'static str,
    /// What is otherwise.
    name: &'static str,
    /// Another model or another coarseness, before runs are planned.
    settings: fn(&mut Settings),
    /// What is otherwise in every run.
    spec: fn(&mut RunSpec),
}

impl Switch {
    /// The phase transition has features of its own, which other features do not change.
    fn concerns(&self, claim: &str) -> bool {
        claim != "phase-transition" || self.group != FEATURES
    }

    /// The runs of a plan, changed.
    fn apply(&self, mut ladders: Vec<Ladder<RunSpec>>) -> Vec<Ladder<RunSpec>> {
        ladders.iter_mut().flat_map(|ladder| &mut ladder.rungs).flat_map(|rung| &mut rung.runs).for_each(self.spec);
        ladders
    }
}

const LOSS: &str = "loss";
const OPTIMISER: &str = "optimiser";
const NETWORK: &str = "network";
const DICTIONARY: &str = "dictionary";
const FEATURES: &str = "features";
const LABELS: &str = "labels";

const NOTHING: Switch = Switch { group: "", name: "the paper's setting", settings: as_they_are, spec: as_it_is };

/// Every switch, by group.
pub const SWITCHES: &[Switch] = &[
    NOTHING,
    Switch { spec: |spec| vary(spec, |v| v.loss = Loss::Logistic), ..of(LOSS, "logistic") },
    Switch {
        spec: |spec| vary(spec, |v| (v.loss, v.rescaled) = (Loss::Logistic, true)),
        ..of(LOSS, "logistic, time rescaled")
    },
    Switch { spec: |spec| vary(spec, |v| v.loss = Loss::Mse), ..of(LOSS, "squared") },
    Switch {
        spec: |spec| vary(spec, |v| (v.loss, v.rescaled) = (Loss::Mse, true)),
        ..of(LOSS, "squared, time rescaled")
    },
    Switch { spec: |spec| vary(spec, |v| v.momentum = 0.9), ..of(OPTIMISER, "momentum 0.9") },
    Switch {
        spec: |spec| vary(spec, |v| (v.momentum, v.rescaled) = (0.9, true)),
        ..of(OPTIMISER, "momentum 0.9, time rescaled")
    },
    Switch { settings: |settings| coarser(settings, 4), ..of(OPTIMISER, "step size × 4") },
    Switch { settings: |settings| coarser(settings, 16), ..of(OPTIMISER, "step size × 16") },
    Switch { spec: |spec| smaller_batch(spec, 8), ..of(OPTIMISER, "batch / 8") },
    Switch { spec: |spec| smaller_batch(spec, 64), ..of(OPTIMISER, "batch / 64") },
    Switch { spec: |spec| spec.batch = 1, ..of(OPTIMISER, "batch of 1") },
    Switch { spec: |spec| train_output(spec, |_, m| (m * m).recip()), ..of(NETWORK, "output trained, η_a = η/m²") },
    Switch {
        spec: |spec| train_output(spec, |d0, m| d0 / (4.0 * m * m)),
        ..of(NETWORK, "output trained, η_a = ηd₀/4m²")
    },
    Switch { spec: |spec| train_output(spec, |_, m| m.recip()), ..of(NETWORK, "output trained, η_a = η/m") },
    Switch { spec: |spec| train_output(spec, |_, _| 1.0), ..of(NETWORK, "output trained, η_a = η") },
    Switch { spec: |spec| vary(spec, |v| v.biases = true), ..of(NETWORK, "biases") },
    Switch { spec: |spec| random_dictionary(spec, 16), ..of(DICTIONARY, "random, 16 d₀ dimensions") },
    Switch { spec: |spec| random_dictionary(spec, 4), ..of(DICTIONARY, "random, 4 d₀ dimensions") },
    Switch { spec: |spec| random_dictionary(spec, 1), ..of(DICTIONARY, "random, d₀ dimensions") },
    Switch { spec: |spec| equal_overlaps(spec, 0.1), ..of(DICTIONARY, "every overlap 0.1/d₀") },
    Switch { spec: |spec| equal_overlaps(spec, 1.0), ..of(DICTIONARY, "every overlap 1/d₀") },
    Switch { settings: |settings| coins(settings, 0.5), ..of(FEATURES, "coins, Pr[1] = 0.5") },
    Switch { settings: |settings| coins(settings, 0.3), ..of(FEATURES, "coins, Pr[1] = 0.3, time rescaled") },
    Switch { settings: |settings| coins(settings, 0.1), ..of(FEATURES, "coins, Pr[1] = 0.1, time rescaled") },
    Switch {
        settings: |settings| {
            let law = |end: f64| Distribution::Beta { alpha: 0.25, beta: 1.0, low: 0.0, high: end };
            features(settings, law(1.0), law(1.0), law(-1.0));
            slower(settings, 0.2);
        },
        ..of(FEATURES, "heavy tail, Beta(1/4, 1), time rescaled")
    },
    Switch { settings: |settings| means(settings, 0.6, 0.4), ..of(FEATURES, "means 0.6 core, 0.4 background") },
    Switch { settings: |settings| means(settings, 0.4, 0.6), ..of(FEATURES, "means 0.4 core, 0.6 background") },
    Switch { spec: |spec| vary(spec, |v| v.label_noise = 0.05), ..of(LABELS, "5 % misread") },
    Switch { spec: |spec| vary(spec, |v| v.label_noise = 0.2), ..of(LABELS, "20 % misread") },
    Switch {
        spec: |spec| vary(spec, |v| (v.label_noise, v.rescaled) = (0.2, true)),
        ..of(LABELS, "20 % misread, time rescaled")
    },
    Switch { spec: |spec| vary(spec, |v| v.positive = 0.6), ..of(LABELS, "classes 60 : 40") },
    Switch { spec: |spec| vary(spec, |v| v.positive = 0.8), ..of(LABELS, "classes 80 : 20") },
];

const fn of(group: &'static str, name: &'static str) -> Switch {
    Switch { group, name, settings: as_they_are, spec: as_it_is }
}

fn as_they_are(_: &mut Settings) {}

fn as_it_is(_: &mut RunSpec) {}

fn vary(spec: &mut RunSpec, change: fn(&mut Variant)) {
    change(spec.variant.get_or_insert_with(Variant::default));
}

/// Trains the output weights at `rate(d₀, m)` times the step size. At `d₀/4m²` an output weight and a neuron's weights come to
/// change by the same factor in the same time, around T₁ and with uniform features.
fn train_output(spec: &mut RunSpec, rate: fn(f64, f64) -> f64) {
    let output_rate = rate(spec.data.d0() as f64, spec.m as f64);
    spec.variant.get_or_insert_with(Variant::default).output_rate = output_rate;
}

/// Features' directions uniform in `ratio · d₀` dimensions.
fn random_dictionary(spec: &mut RunSpec, ratio: usize) {
    let dictionary = Dictionary::Random { dimensions: ratio * spec.data.d0() };
    spec.variant.get_or_insert_with(Variant::default).dictionary = dictionary;
}

fn equal_overlaps(spec: &mut RunSpec, times_d0: f64) {
    let dictionary = Dictionary::Equal { overlap: times_d0 / spec.data.d0() as f64 };
    spec.variant.get_or_insert_with(Variant::default).dictionary = dictionary;
}

fn smaller_batch(spec: &mut RunSpec, factor: usize) {
    spec.batch = (spec.batch / factor).max(1);
}

/// Steps `factor` times as long, and as many fewer of them.
fn coarser(settings: &mut Settings, factor: u32) {
    let fewer = |steps: u32| (steps / factor).max(1);
    settings.training.steps_per_unit /= f64::from(factor);
    settings.ladder_d.steps_to_t0 = fewer(settings.ladder_d.steps_to_t0);
    // The rungs keep their ratio.
    let first = settings.ladder_time.steps_per_unit.first().copied().unwrap_or(1);
    settings.ladder_time.steps_per_unit.iter_mut().for_each(|steps| *steps = *steps / first * fewer(first));
    settings.ladder_balance.steps = fewer(settings.ladder_balance.steps).max(8);
}

fn features(settings: &mut Settings, core: Distribution, background: Distribution, shifted: Distribution) {
    let model = &mut settings.model;
    (model.core, model.background, model.background_ood) = (vec![core], vec![background], vec![shifted]);
}

fn coins(settings: &mut Settings, p: f64) {
    let coin = |end: f64| Distribution::Bernoulli { p, low: 0.0, high: end };
    features(settings, coin(1.0), coin(1.0), coin(-1.0));
    slower(settings, p);
}

/// Uniform features of these means on intervals of length 0.8.
fn means(settings: &mut Settings, core: f64, background: f64) {
    let about = |mean: f64, sign: f64| Distribution::Uniform { low: sign * (mean - 0.4), high: sign * (mean + 0.4) };
    features(settings, about(core, 1.0), about(background, 1.0), about(background, -1.0));
}

/// Features of mean `mean` in the place of 1/2: what grows, grows as `ηt μ²`, so that T₁ and T₂ come later by `(1/2μ)²`, and
/// T₀, when `ηtμ` exceeds the start, by `1/2μ`. As many steps, and as much decay by then.
fn slower(settings: &mut Settings, mean: f64) {
    let onset = 0.5 / mean;
    let factor = onset * onset;
    settings.times.t0 *= onset;
    settings.times.t1 *= factor;
    settings.times.t2 *= factor;
    // Of no claim here, but held to be after T₁.
    settings.diversity.late *= factor;
    settings.training.steps_per_unit /= factor;
    settings.training.decay /= factor;
    let steps = &mut settings.ladder_time.steps_per_unit;
    let first = steps.first().copied().unwrap_or(1);
    let fewer = (f64::from(first) / factor).round().max(1.0) as u32;
    steps.iter_mut().for_each(|steps| *steps = *steps / first * fewer);
}

/// The map's own ladders: two or three sizes, so far apart that every claim holds on them in the paper's setting.
pub fn settings(seed: u64) -> Result<Settings, CliError> {
    let mut settings = Settings::profile("quick")?;
    settings.seed = seed;
    settings.training.batch = 1024;
    settings.measure.eval_samples = 8192;
    settings.ladder_d0.d0 = vec![16, 48];
    settings.ladder_m.m = vec![32, 256];
    settings.ladder_d.d = vec![1 << 16, 1 << 20];
    settings.ladder_d.replicates = 10;
    settings.ladder_linear.d = vec![1 << 12, 1 << 15];
    settings.ladder_linear.batch = vec![512, 4096];
    settings.ladder_linear.replicates = 16;
    settings.ladder_law.d0 = vec![32, 64];
    settings.ladder_gated.d0 = vec![16, 32];
    let time = &mut settings.ladder_time;
    time.d0 = vec![16, 48];
    time.m = vec![32, 128];
    time.d = vec![1 << 12, 1 << 20];
    time.steps_per_unit = vec![8, 32];
    time.replicates = 12;
    Ok(settings)
}

/// What came of one switch.
struct Row {
    switch: &'static Switch,
    /// For every one of [`CLAIMS`], its checks; `None` where the switch does not concern it.
    checks: Vec<Option<Vec<Check>>>,
    /// [`NUMBERS`], each with its interval's ends over replicates where it has one.
    numbers: Vec<(f64, Option<[f64; 2]>)>,
    /// Why there is nothing, where runs ended early.
    failed: bool,
}

/// The map and the list of what turned its verdicts, by these settings for these switches.
///
/// # Errors
/// A run fails for another reason than that it diverges, or a statistic refuses.
pub fn measure(
    settings: &Settings,
    switches: &'static [Switch],
    threads: usize,
    command: String,
) -> Result<[Table; 2], CliError> {
    let executor = Executor::detect()?;
    let claims: Vec<&'static dyn Claim> =
        claims::all().into_iter().filter(|claim| CLAIMS.contains(&claim.id())).collect();
    let mut rows = vec![];
    for switch in switches {
        let start = std::time::Instant::now();
        let row = row(switch, settings, &claims, executor, threads)?;
        let verdicts = row.checks.iter().map(|checks| checks.as_ref().map_or("—".to_owned(), |checks| cell(checks)));
        let verdicts = if row.failed { "diverged".to_owned() } else { verdicts.collect::<Vec<_>>().join(", ") };
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{} {} ({seconds:.0} s): {verdicts}", switch.group, switch.name);
        rows.push(row);
    }
    Ok([map(&rows, &claims, command.clone()), list(&rows, &claims, command)])
}

fn row(
    switch: &'static Switch,
    settings: &Settings,
    claims: &[&'static dyn Claim],
    executor: Executor,
    threads: usize,
) -> Result<Row, CliError> {
    let mut settings = settings.clone();
    (switch.settings)(&mut settings);
    settings.validate()?;
    let planned: Vec<Option<Vec<Ladder<RunSpec>>>> =
        claims.iter().map(|claim| switch.concerns(claim.id()).then(|| switch.apply(claim.plan(&settings)))).collect();
    let features = switch.apply(ladders::features(&settings));
    let mut plan = Plan::default();
    plan.add(&features);
    planned.iter().flatten().for_each(|ladders| plan.add(ladders));
    let runs = match run_all(&plan, executor, threads, &|_| ()) {
        Ok(results) => results.runs,
        Err(RunError::Run { source, .. }) if matches!(*source, SimulateError::NonFinite { .. }) => {
            return Ok(Row { switch, checks: vec![], numbers: vec![], failed: true });
        }
        Err(error) => return Err(error.into()),
    };
    let judge = |(claim, ladders): (&&'static dyn Claim, &Option<Vec<_>>)| {
        let Some(ladders) = ladders else { return Ok(None) };
        let measured = plan.resolve(ladders, &runs).unwrap_or_default();
        let judged = claim.judge(&settings, &measured);
        Ok(Some(judged.map_err(|source| CliError::Statistic { claim: claim.id(), source })?.checks))
    };
    let checks = claims.iter().zip(&planned).map(judge).collect::<Result<_, CliError>>()?;
    let measured = plan.resolve(&features, &runs).unwrap_or_default();
    Ok(Row { switch, checks, numbers: numbers(&settings, &measured), failed: false })
}

/// [`NUMBERS`] at the largest size.
fn numbers(settings: &Settings, features: &[Measured]) -> Vec<(f64, Option<[f64; 2]>)> {
    let Some(rung) = features.first().and_then(|ladder| ladder.rungs.last()) else { return vec![] };
    let at = |run: &Trajectory, step: u64, value: &dyn Fn(&Record) -> f64| run.at(step).map_or(f64::NAN, value);
    let t1 = |run: &Trajectory| ladders::t1(settings, &run.spec);
    let t2 = |run: &Trajectory| ladders::t2(settings, &run.spec);
    let over = |value: &dyn Fn(&Trajectory) -> f64| {
        let values: Vec<f64> = rung.runs.iter().map(|run| value(run)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, student_interval(&values, 0.95).ok())
    };
    let predicted: Vec<Trajectory> = rung.runs.iter().map(|run| mean_field(run)).collect();
    let relative = |value: &dyn Fn(&Trajectory, &Record) -> f64| {
        let pairs = rung.runs.iter().zip(&predicted);
        let of = |run: &Trajectory| at(run, t1(run), &|record| value(run, record));
        let values: Vec<f64> = pairs.map(|(run, predicted)| of(run) / of(predicted)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, student_interval(&values, 0.95).ok())
    };
    vec![
        over(&|run| at(run, t1(run), &|record| median(&record.neurons.own.p))),
        over(&|run| at(run, t1(run), &|record| median(&record.neurons.other.p))),
        (rung.runs.first().map_or(f64::NAN, |run| law(&run.spec)), None),
        relative(&|run, record| median(&run.aligned_core(record))),
        relative(&|_, record| median(&record.neurons.background)),
        over(&|run| at(run, t2(run), &|record| record.id.risk)),
        over(&|run| at(run, t2(run), &|record| record.ood.risk)),
    ]
}

/// The balance law's root. A bias is a background feature that always is 1. Derived: which assumption matters.
fn law(spec: &RunSpec) -> f64 {
    let mut data = spec.data.clone();
    if spec.variant.as_ref().is_some_and(|variant| variant.biases) {
        let group: &mut FeatureGroup = &mut data.background;
        group.laws = (0..group.count).map(|j| *group.law(j)).chain([Distribution::Point { value: 1.0 }]).collect();
        group.count += 1;
    }
    balance_root(&data)
}

/// Verdict and number of checks that hold: `holds 6/6`.
fn cell(checks: &[Check]) -> String {
    let holding = checks.iter().filter(|check| check.verdict == Verdict::Holds).count();
    let word = match worst(checks) {
        Verdict::Holds => "holds",
        Verdict::Inconclusive => "open",
        Verdict::Violated => "violated",
    };
    format!("{word} {holding}/{}", checks.len())
}

/// `mean [low, high]` with so many decimals.
fn estimate((value, interval): (f64, Option<[f64; 2]>)) -> String {
    if !value.is_finite() {
        return "—".to_owned();
    }
    match interval {
        Some([low, high]) => format!("{} [{}, {}]", number(value, 4), number(low, 4), number(high, 4)),
        None => number(value, 4),
    }
}

fn map(rows: &[Row], claims: &[&'static dyn Claim], command: String) -> Table {
    let columns: Vec<&str> =
        ["of", "switch"].into_iter().chain(claims.iter().map(|claim| claim.id())).chain(NUMBERS).collect();
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.switch.group.to_owned(), row.switch.name.to_owned()];
        if row.failed {
            cells.resize(columns.len(), "diverged".to_owned());
            return cells;
        }
        cells.extend(row.checks.iter().map(|checks| checks.as_ref().map_or_else(|| "—".to_owned(), |c| self::cell(c))));
        cells.extend(row.numbers.iter().map(|&number| estimate(number)));
        cells
    });
    table(
        ID,
        "Which assumption matters",
        "Every claim on training with one of the paper's assumptions given up at a time, judged as it stands: its verdict, and \
         how many of its checks hold. Numbers are means over replicates at the largest size, with Student's interval at 95 %: \
         medians over neurons of p_own, p_oth and of both sums over their mean-field predictions at T₁, and the risks at \
         T₂. \"Time rescaled\" means that the first steps are made as long as the paper's by a factor that is derived \
         and not fitted. The claims on any weights (sandwich, Berry–Esseen) and on any step (batch noise) have nothing to lose \
         here; a dash stands where a claim has features of its own."
            .to_owned(),
        command,
        &columns,
        cells.collect(),
    )
}

fn list(rows: &[Row], claims: &[&'static dyn Claim], command: String) -> Table {
    let mut cells = vec![];
    for row in rows {
        for (claim, checks) in claims.iter().zip(&row.checks) {
            let Some(check) = checks.as_ref().and_then(|checks| deciding(checks)) else { continue };
            if check.verdict == Verdict::Holds {
                continue;
            }
            let [low, high] = check.interval.map(|end| number(end, 3));
            let [from, to] = check.accept.map(|end| if end.is_finite() { number(end, 3) } else { String::new() });
            let word = if check.verdict == Verdict::Violated { "violated" } else { "open" };
            cells.push(vec![
                [row.switch.group, row.switch.name].join(" ").trim().to_owned(),
                claim.id().to_owned(),
                word.to_owned(),
                check.quantity.clone(),
                if check.measured.is_finite() { number(check.measured, 3) } else { "none".to_owned() },
                format!("{low} to {high}"),
                check.predicted.map_or_else(String::new, |predicted| number(predicted, 3)),
                format!("{from} to {to}"),
            ]);
        }
    }
    table(
        "robustness-checks",
        "What turned the verdicts of the map",
        "For every claim that does not hold under a switch, the check that decides: the worst verdict, and among equals the \
         one farthest off."
            .to_owned(),
        command,
        &["switch", "claim", "verdict", "check", "measured", "interval", "predicted", "bounds"],
        cells,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So small that verdicts mean nothing.
    fn tiny() -> Settings {
        let mut settings = settings(1).unwrap();
        settings.training.batch = 64;
        settings.training.steps_per_unit = 4.0;
        settings.measure.eval_samples = 64;
        settings.measure.records_per_octave = 1;
        settings.network.m = 16;
        (settings.model.d_core, settings.model.d_bg) = (4, 4);
        settings.ladder_d0.d0 = vec![8, 12];
        (settings.ladder_d0.replicates, settings.ladder_d0.replicates_smallest) = (2, 2);
        settings.ladder_m.m = vec![8, 16];
        (settings.ladder_m.replicates, settings.ladder_m.replicates_smallest) = (2, 2);
        settings.ladder_d.steps_to_t0 = 8;
        settings.ladder_d.replicates = 2;
        settings.ladder_linear.d = vec![1 << 12, 1 << 13];
        settings.ladder_linear.batch = vec![64, 64];
        settings.ladder_linear.replicates = 2;
        settings.ladder_law.d0 = vec![32, 40];
        settings.ladder_law.replicates = 2;
        settings.ladder_gated.d0 = vec![8, 12];
        settings.ladder_gated.batch = 64;
        settings.ladder_gated.replicates = 2;
        settings.ladder_time.d0 = vec![8, 12];
        settings.ladder_time.m = vec![8, 16];
        settings.ladder_time.d = vec![1 << 12, 1 << 14];
        settings.ladder_time.steps_per_unit = vec![4, 8];
        settings.ladder_time.eval_samples = 64;
        settings.ladder_time.replicates = 2;
        settings.ladder_balance.d0 = vec![4, 8];
        settings.ladder_balance.eval_samples = 64;
        (settings.ladder_balance.replicates, settings.ladder_balance.replicates_d0) = (2, 2);
        settings.controls.d0 = vec![8, 12];
        settings
    }

    #[test]
    fn every_switch_gives_a_row_of_verdicts_and_numbers() {
        let [map, list] = measure(&tiny(), SWITCHES, 2, "-- robustness".to_owned()).unwrap();
        assert_eq!(map.rows.len(), SWITCHES.len());
        for (row, switch) in map.rows.iter().zip(SWITCHES) {
            assert_eq!(row.len(), map.columns.len(), "{}", switch.name);
            assert_eq!(row[1], switch.name);
            for (claim, cell) in CLAIMS.iter().zip(&row[2..]) {
                let words = ["holds ", "open ", "violated "];
                let judged = words.iter().any(|word| cell.starts_with(word)) && cell.contains('/');
                assert_eq!(judged, switch.concerns(claim), "{claim}, {}: {cell}", switch.name);
            }
            for cell in &row[2 + CLAIMS.len()..] {
                assert!(cell.starts_with(|c: char| c.is_ascii_digit() || c == '−'), "{}: {cell}", switch.name);
            }
        }
        assert!(!list.rows.is_empty() && list.rows.iter().all(|row| row.len() == list.columns.len()));
        for row in &list.rows {
            // A number with its sign; an end that is open has none.
            let number = |text: &str, open: f64| match text.replace('−', "-").replace('\u{202f}', "").parse() {
                Ok(x) => x,
                Err(_) => open,
            };
            let (from, to) = row[7].split_once(" to ").unwrap_or_else(|| panic!("{row:?}"));
            assert!(number(from, f64::NEG_INFINITY) <= number(to, f64::INFINITY), "{row:?}");
        }
    }

    #[test]
    fn a_cell_counts_the_checks_that_hold() {
        let check = |low: f64, high: f64| {
            let estimate = crate::claims::check::Estimate { value: low, interval: [low, high], confidence: 0.9 };
            crate::claims::check::check(
                "x",
                "Paper: Thm 1",
                estimate,
                None,
                crate::claims::check::Rule::at_most(1.0, "x"),
            )
        };
        let (holds, open, violated) = (check(0.0, 0.5), check(0.0, 2.0), check(2.0, 3.0));
        assert_eq!(cell(&[holds.clone(), holds.clone()]), "holds 2/2");
        assert_eq!(cell(&[holds.clone(), open.clone(), open.clone()]), "open 1/3");
        assert_eq!(cell(&[violated, holds, open]), "violated 1/3");
    }

    #[test]
    fn every_switch_but_the_first_changes_every_run() {
        let settings = settings(1).unwrap();
        let plain = ladders::features(&settings);
        for switch in SWITCHES {
            let mut changed = settings.clone();
            (switch.settings)(&mut changed);
            changed.validate().unwrap();
            let ladders = switch.apply(ladders::features(&changed));
            for (a, b) in ladders.iter().flat_map(Ladder::runs).zip(plain.iter().flat_map(Ladder::runs)) {
                a.validate().unwrap();
                assert_eq!(a == b, switch.name == NOTHING.name, "{}", switch.name);
                // Whatever is rescaled has as many steps.
                assert!(!switch.name.contains("rescaled") || a.steps == b.steps, "{}", switch.name);
            }
        }
    }

    /// What a switch does is what its name says, in numbers.
    #[test]
    fn switches_do_what_their_names_say() {
        let settings = settings(1).unwrap();
        let plain = ladders::features(&settings)[0].runs().next().unwrap().clone();
        let (m, d0) = (plain.m as f64, plain.data.d0());
        let changed = |name: &str| {
            let switch = SWITCHES.iter().find(|switch| switch.name == name).unwrap_or_else(|| panic!("{name}"));
            let mut changed = settings.clone();
            (switch.settings)(&mut changed);
            let spec = switch.apply(ladders::features(&changed))[0].runs().next().unwrap().clone();
            (spec, changed)
        };
        let variant = |name: &str| changed(name).0.variant.unwrap();
        let none = Variant::default();
        for (name, expected) in [
            ("logistic", Variant { loss: Loss::Logistic, ..none.clone() }),
            ("logistic, time rescaled", Variant { loss: Loss::Logistic, rescaled: true, ..none.clone() }),
            ("squared", Variant { loss: Loss::Mse, ..none.clone() }),
            ("squared, time rescaled", Variant { loss: Loss::Mse, rescaled: true, ..none.clone() }),
            ("momentum 0.9", Variant { momentum: 0.9, ..none.clone() }),
            ("momentum 0.9, time rescaled", Variant { momentum: 0.9, rescaled: true, ..none.clone() }),
            ("output trained, η_a = η/m²", Variant { output_rate: 1.0 / (m * m), ..none.clone() }),
            ("output trained, η_a = η/m", Variant { output_rate: 1.0 / m, ..none.clone() }),
            ("output trained, η_a = η", Variant { output_rate: 1.0, ..none.clone() }),
            ("biases", Variant { biases: true, ..none.clone() }),
            ("5 % misread", Variant { label_noise: 0.05, ..none.clone() }),
            ("20 % misread", Variant { label_noise: 0.2, ..none.clone() }),
            ("20 % misread, time rescaled", Variant { label_noise: 0.2, rescaled: true, ..none.clone() }),
            ("classes 60 : 40", Variant { positive: 0.6, ..none.clone() }),
            ("classes 80 : 20", Variant { positive: 0.8, ..none.clone() }),
        ] {
            assert_eq!(variant(name), expected, "{name}");
        }
        for (name, times) in
            [("random, 16 d₀ dimensions", 16), ("random, 4 d₀ dimensions", 4), ("random, d₀ dimensions", 1)]
        {
            assert_eq!(variant(name).dictionary, Dictionary::Random { dimensions: times * d0 }, "{name}");
        }
        for (name, share) in [("every overlap 0.1/d₀", 0.1), ("every overlap 1/d₀", 1.0)] {
            assert_eq!(variant(name).dictionary, Dictionary::Equal { overlap: share / d0 as f64 }, "{name}");
        }
        for (name, factor) in [("step size × 4", 4.0), ("step size × 16", 16.0)] {
            let (spec, _) = changed(name);
            assert!((spec.learning_rate / plain.learning_rate / factor - 1.0).abs() < 1e-12, "{name}");
        }
        for (name, batch) in [("batch / 8", plain.batch / 8), ("batch / 64", plain.batch / 64), ("batch of 1", 1)] {
            assert_eq!(changed(name).0.batch, batch, "{name}");
        }
        for (name, core, background) in
            [("means 0.6 core, 0.4 background", 0.6, 0.4), ("means 0.4 core, 0.6 background", 0.4, 0.6)]
        {
            let data = changed(name).0.data;
            let means = [&data.core, &data.background, &data.background_ood].map(|group| group.moments()[0].mean());
            let expected = [core, background, -background];
            assert!(means.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: {means:?}");
        }
        // Growth goes as ηtμ² and the start is left behind at ηtμ: of coins of 0.3, after 25/9 and 5/3 of the time.
        for (name, p) in [
            ("coins, Pr[1] = 0.5", 0.5),
            ("coins, Pr[1] = 0.3, time rescaled", 0.3),
            ("coins, Pr[1] = 0.1, time rescaled", 0.1),
            ("heavy tail, Beta(1/4, 1), time rescaled", 0.2),
        ] {
            let (spec, changed) = changed(name);
            let means =
                [&spec.data.core, &spec.data.background, &spec.data.background_ood].map(|g| g.moments()[0].mean());
            assert!(means.iter().zip([p, p, -p]).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: {means:?}");
            let (now, before) = (&changed.times, &settings.times);
            let times = [now.t0 / before.t0, now.t1 / before.t1, now.t2 / before.t2];
            let expected = [0.5 / p, (0.5 / p).powi(2), (0.5 / p).powi(2)];
            assert!(times.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{name}: {times:?}");
        }
    }

    /// Every number of a row, by hand from the runs at the largest size.
    #[test]
    fn numbers_are_those_of_their_columns() {
        let settings = tiny();
        let ladders = ladders::features(&settings);
        let mut plan = Plan::default();
        plan.add(&ladders);
        let runs = run_all(&plan, Executor::detect().unwrap(), 1, &|_| ()).unwrap().runs;
        let measured = plan.resolve(&ladders, &runs).unwrap();
        let found = numbers(&settings, &measured);
        let runs = &measured[0].rungs.last().unwrap().runs;
        let mean = |value: &dyn Fn(&Trajectory) -> f64| runs.iter().map(|run| value(run)).sum::<f64>() / 2.0;
        let t1 = |run: &Trajectory| run.at(ladders::t1(&settings, &run.spec)).unwrap().clone();
        let t2 = |run: &Trajectory| run.at(ladders::t2(&settings, &run.spec)).unwrap().clone();
        let expected = [
            mean(&|run| median(&t1(run).neurons.own.p)),
            mean(&|run| median(&t1(run).neurons.other.p)),
            balance_root(&runs[0].spec.data),
            mean(&|run| {
                median(&run.aligned_core(&t1(run))) / {
                    let predicted = mean_field(run);
                    median(&predicted.aligned_core(&t1(&predicted)))
                }
            }),
            mean(&|run| median(&t1(run).neurons.background) / median(&t1(&mean_field(run)).neurons.background)),
            mean(&|run| t2(run).id.risk),
            mean(&|run| t2(run).ood.risk),
        ];
        assert_eq!((found.len(), NUMBERS.len()), (expected.len(), expected.len()));
        for ((name, (value, interval)), expected) in NUMBERS.iter().zip(&found).zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{name}: {value}, by hand {expected}");
            assert!(interval.is_none_or(|[low, high]| low <= *value && *value <= high), "{name}");
        }
        // What could be taken for each other is apart.
        let distinct = |a: f64, b: f64| assert!((a - b).abs() > 1e-9, "{found:?}");
        distinct(found[0].0, found[1].0);
        distinct(found[3].0, 1.0);
        distinct(found[5].0, found[6].0);
        distinct(found[5].0, mean(&|run| t1(run).id.risk));
    }

    #[test]
    fn a_bias_is_a_background_feature_that_is_always_1() {
        let mut spec = RunSpec::uniform(32, 32, 1 << 15, 8);
        let plain = law(&spec);
        vary(&mut spec, |v| v.biases = true);
        let with_bias = law(&spec);
        // B + 1 = 9 above C = 8: the root rises towards (B + 1 − C)/(B + 1 + C).
        assert!((plain - 0.0950).abs() < 0.001 && with_bias > plain + 0.02, "{plain} {with_bias}");
    }
}
