//! How often chance turns a verdict: the claims of a profile, judged for many seeds.
//!
//! An alarm is false if the claim is true, so that only claims are judged here and no controls. One seed costs what the
//! claims' runs cost; nothing of it can be left out, since the alarm of a smaller profile is another profile's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use feature_contamination::Executor;
use serde::{Deserialize, Serialize};

use super::{cell, table};
use crate::claims::check::FAMILY_ERROR;
use crate::cli::CliError;
use crate::execute::run_all;
use crate::judge::judge_claim;
use crate::parallel::parallel;
use crate::plan::{Plan, fnv};
use crate::report::model::{Table, Verdict};
use crate::report::{self, ReportError};
use crate::settings::Settings;
use crate::statement::{Planned, Statement};
use crate::stats::interval;

/// What one seed came to: `seeds/<profile>-<seed>.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Seed {
    /// What it was made with: another program or profile has other alarms.
    commit: String,
    settings: String,
    elapsed_seconds: f64,
    checks: Vec<Outcome>,
    /// Claims with an assumption that their runs do not meet.
    unmet: Vec<String>,
}

/// A check's verdict.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    claim: String,
    /// Place among the claim's checks, by which it is known: its text names the size that decides.
    index: usize,
    quantity: String,
    verdict: Verdict,
    #[serde(with = "crate::report::model::numbers")]
    interval: [f64; 2],
    #[serde(with = "crate::report::model::number")]
    margin: f64,
}

impl Outcome {
    /// How far the interval is from turning the check open, in half-widths of its own: infinite for a sure quantity.
    fn headroom(&self) -> f64 {
        2.0 * self.margin / (self.interval[1] - self.interval[0])
    }
}

/// `A..B`, `A < B`.
///
/// # Errors
/// Anything else.
pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range
        .filter(|range: &Range<u64>| range.start < range.end && i64::try_from(range.end).is_ok())
        .ok_or_else(|| "must be two whole numbers A..B with A below B: seeds A to B - 1".to_owned())
}

/// Judges the claims of `profile` for every seed of `seeds` whose file is not in `out` yet; the table of all of `seeds`,
/// and whether the rate of alarms may be what is promised.
///
/// # Errors
/// A run fails, a statistic refuses, or a file cannot be written.
pub fn run(seeds: Range<u64>, profile: &str, threads: usize, out: &Path) -> Result<(Table, bool), CliError> {
    let executor = Executor::detect()?;
    let mut settings = Settings::profile(profile)?;
    settings.seed = 0;
    let made_with = format!("{:016x}", fnv(&settings.to_toml()));
    let mut results = vec![];
    for seed in seeds.clone() {
        let path = out.join("seeds").join(format!("{profile}-{seed}.json"));
        let kept = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Seed>(&text).ok());
        if let Some(kept) = kept.filter(|kept| kept.commit == env!("FC_COMMIT") && kept.settings == made_with) {
            results.push(kept);
            continue;
        }
        settings.seed = seed;
        let result = judge(&settings, made_with.clone(), executor, threads)?;
        let malformed =
            |error: serde_json::Error| ReportError::Malformed { path: path.clone(), message: error.to_string() };
        let mut json = serde_json::to_string_pretty(&result).map_err(malformed)?;
        json.push('\n');
        report::write_file(&path, json.as_bytes()).map_err(CliError::Out)?;
        eprintln!("seed {seed}: {:.1} s, {}", result.elapsed_seconds, in_words(&result));
        results.push(result);
    }
    summary(&results, &seeds, profile)
}

fn judge(settings: &Settings, made_with: String, executor: Executor, threads: usize) -> Result<Seed, CliError> {
    let start = Instant::now();
    let claims: Vec<Planned> = Statement::all().into_iter().map(|statement| statement.plan(settings)).collect();
    let mut plan = Plan::default();
    claims.iter().for_each(|planned| planned.add_to(&mut plan));
    let results = run_all(&plan, executor, threads, &|_| ())?;
    let (mut checks, mut unmet) = (vec![], vec![]);
    let judged = parallel(claims.len(), threads, |index| {
        judge_claim(&claims[index], settings, &plan, &results)
            .map_err(|source| CliError::Statistic { claim: claims[index].statement().id(), source })
    });
    for judged in judged {
        let judged = judged?;
        if judged.assumptions.iter().any(|assumption| !assumption.met) {
            unmet.push(judged.id.clone());
        }
        checks.extend(judged.checks.into_iter().enumerate().map(|(index, check)| Outcome {
            claim: judged.id.clone(),
            index,
            quantity: check.quantity,
            verdict: check.verdict,
            interval: check.interval,
            margin: check.margin,
        }));
    }
    Ok(Seed {
        commit: env!("FC_COMMIT").to_owned(),
        settings: made_with,
        elapsed_seconds: start.elapsed().as_secs_f64(),
        checks,
        unmet,
    })
}

fn in_words(seed: &Seed) -> String {
    let count = |verdict| seed.checks.iter().filter(|check| check.verdict == verdict).count();
    let (violated, open) = (count(Verdict::Violated), count(Verdict::Inconclusive));
    if violated + open + seed.unmet.len() == 0 {
        return format!("all {} checks hold", seed.checks.len());
    }
    format!(
        "{violated} of {} checks violated, {open} inconclusive, {} claims with an unmet assumption",
        seed.checks.len(),
        seed.unmet.len()
    )
}

fn summary(seeds: &[Seed], range: &Range<u64>, profile: &str) -> Result<(Table, bool), CliError> {
    let total = seeds.len() as u64;
    let refused = |source| CliError::Statistic { claim: "false-alarms", source };
    let row = |claim: &str, quantity: &str, violated: u64, open: u64, headroom: f64| {
        let [low, high] = interval::clopper_pearson(violated, total, 0.95).map_err(refused)?;
        let [_, high_open] = interval::clopper_pearson(open, total, 0.95).map_err(refused)?;
        Ok::<_, CliError>(vec![
            claim.to_owned(),
            quantity.to_owned(),
            violated.to_string(),
            cell(low, 3),
            cell(high, 3),
            open.to_string(),
            cell(high_open, 3),
            if headroom.is_finite() { cell(headroom, 2) } else { "—".to_owned() },
        ])
    };
    let any =
        |verdict| seeds.iter().filter(|seed| seed.checks.iter().any(|check| check.verdict == verdict)).count() as u64;
    let alarms = any(Verdict::Violated);
    let mut rows = vec![row("any", "any check of the report", alarms, any(Verdict::Inconclusive), f64::INFINITY)?];
    let mut checks: BTreeMap<(&str, usize), (&str, u64, u64, f64)> = BTreeMap::new();
    for check in seeds.iter().flat_map(|seed| &seed.checks) {
        // Up to the size that decides, which differs from seed to seed.
        let quantity = check.quantity.rsplit_once("; every ").map_or(check.quantity.as_str(), |(quantity, _)| quantity);
        let entry = checks.entry((&check.claim, check.index)).or_insert((quantity, 0, 0, f64::INFINITY));
        entry.1 += u64::from(check.verdict == Verdict::Violated);
        entry.2 += u64::from(check.verdict == Verdict::Inconclusive);
        entry.3 = entry.3.min(check.headroom());
    }
    for ((claim, _), (quantity, violated, open, headroom)) in checks {
        rows.push(row(claim, quantity, violated, open, headroom)?);
    }
    let unmet = seeds.iter().filter(|seed| !seed.unmet.is_empty()).count();
    let [low, high] = interval::clopper_pearson(alarms, total, 0.95).map_err(refused)?;
    let hours = seeds.iter().map(|seed| seed.elapsed_seconds).sum::<f64>() / 3600.0;
    let table = table(
        "false-alarms",
        "False alarms",
        format!(
            "The claims of the {profile} profile, without the controls, for {total} seeds, whose times add up to {hours:.1} \
             hours. The claims are held to be true, so that a violated check is a false alarm; bounds and confidence are \
             such that any check of a report is turned with probability at most {FAMILY_ERROR}. Here {alarms} reports of \
             {total} had a violated check: a rate of {} to {} at 95 % (Clopper–Pearson). An inconclusive check is no alarm, \
             but no answer either: the least margin is how near the interval came to a bound at any seed, in half-widths \
             of its own. An assumption was not met at {unmet} seeds.",
            cell(low, 2),
            cell(high, 2),
        ),
        format!("-- false-alarms --profile {profile} --seeds {}..{}", range.start, range.end),
        &[
            "claim",
            "check",
            "violated",
            "rate at least",
            "rate at most",
            "inconclusive",
            "its rate at most",
            "least margin, half-widths",
        ],
        rows,
    );
    Ok((table, low <= FAMILY_ERROR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range() {
        assert_eq!(seeds("3..10"), Ok(3..10));
        for bad in ["3", "3..3", "4..3", "a..b", "-1..2", "0..18446744073709551615", "3..=4"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn alarms_are_counted_by_report_and_by_check() {
        use Verdict::{Holds, Inconclusive, Violated};
        let seed = |verdicts: [Verdict; 3]| Seed {
            commit: String::new(),
            settings: String::new(),
            elapsed_seconds: 1.0,
            checks: verdicts
                .into_iter()
                .enumerate()
                .map(|(i, verdict)| Outcome {
                    claim: if i < 2 { "a" } else { "b" }.to_owned(),
                    index: i % 2,
                    quantity: format!("q{i}; every d₀, d₀ = {i} deciding"),
                    verdict,
                    interval: [0.0, if i == 2 { 0.0 } else { 4.0 }],
                    margin: if verdict == Holds { 3.0 } else { -1.0 },
                })
                .collect(),
            unmet: vec![],
        };
        let results = [seed([Holds; 3]), seed([Violated, Violated, Holds]), seed([Holds, Inconclusive, Holds])];
        let (table, good) = summary(&results, &(0..3), "quick").unwrap();
        let counts: Vec<[&str; 5]> =
            table.rows.iter().map(|row| [&*row[0], &*row[1], &*row[2], &*row[5], &*row[7]]).collect();
        assert_eq!(
            counts,
            [
                ["any", "any check of the report", "1", "1", "—"],
                ["a", "q0", "1", "0", "-5.0e-1"],
                ["a", "q1", "1", "1", "-5.0e-1"],
                ["b", "q2", "0", "0", "—"]
            ]
        );
        // One of three: at least 0.8 %, which does not refute 1 %; three of three do.
        assert!(good);
        let all = [seed([Violated; 3]), seed([Violated; 3]), seed([Violated; 3])];
        assert!(!summary(&all, &(0..3), "quick").unwrap().1);
    }
}
