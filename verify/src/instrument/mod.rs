//! The instrument checked: what its intervals, its quantiles and its verdicts are worth, as tables of the appendix.
//!
//! The tables take longer than a report, so that they are made by commands of their own, kept under `tables/`, and shown
//! in every report with the commit they were made from.

pub mod coverage;
pub mod false_alarms;
#[cfg(feature = "mutations")]
pub mod mutations;
pub mod quantiles;
pub mod robustness;

use crate::report::model::Table;
use crate::stats::StatsError;

/// The tables that are kept.
pub fn kept() -> Vec<Table> {
    // Parsed by a test, so that a bad one cannot get this far.
    KEPT.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
}

const KEPT: &[&str] = &[
    include_str!("tables/coverage.json"),
    include_str!("tables/quantiles.json"),
    include_str!("tables/false-alarms.json"),
    include_str!("tables/mutations.json"),
    include_str!("tables/mutations-checks.json"),
    include_str!("tables/robustness.json"),
    include_str!("tables/robustness-checks.json"),
];

/// A number for a cell: `digits` significant ones.
fn cell(x: f64, digits: usize) -> String {
    if x == 0.0 { "0".to_owned() } else { format!("{x:.*e}", digits.saturating_sub(1)) }
}

fn table(id: &str, title: &str, caption: String, command: String, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table {
        id: id.to_owned(),
        title: title.to_owned(),
        caption,
        command,
        commit: env!("FC_COMMIT").to_owned(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows,
    }
}

/// The tables of [`coverage`] and [`quantiles`], and whether every promise was kept.
///
/// # Errors
/// A statistic refuses, which would be a defect.
pub fn statistics(seed: u64, replicates: u64) -> Result<(Vec<Table>, bool), StatsError> {
    let command = format!("-- coverage --seed {seed} --replicates {replicates}");
    let coverage = coverage::measure(seed, replicates)?;
    let quantiles = quantiles::measure();
    let good = coverage.iter().all(coverage::Row::kept) && quantiles.iter().all(|row| row.error < quantiles::TOLERANCE);
    let covered = coverage.iter().map(|row| {
        let [low, high] = row.interval;
        vec![
            row.method.to_owned(),
            row.case.clone(),
            cell(row.nominal, 4),
            match row.promise {
                coverage::Promise::Exact => "this often",
                coverage::Promise::AtLeast => "no more often",
                coverage::Promise::Nothing => "nothing",
            }
            .to_owned(),
            cell(row.missed, 4),
            row.replicates.map_or_else(|| "computed".to_owned(), |n| n.to_string()),
            cell(low, 4),
            cell(high, 4),
            match (row.promise, row.kept()) {
                (coverage::Promise::Nothing, _) => "—",
                (_, true) => "yes",
                (_, false) => "no",
            }
            .to_owned(),
        ]
    });
    let published = quantiles.iter().map(|row| {
        let statrs = if row.statrs.is_finite() { cell(row.statrs, 2) } else { "none".to_owned() };
        vec![row.law.clone(), cell(row.tail, 3), cell(row.value, 13), cell(row.error, 2), statrs]
    });
    let tables = vec![
        table(
            "coverage",
            "Coverage of the intervals",
            format!(
                "How often an interval misses the truth, beside how often it may: at 95 %, and at the level that checks \
                 have. What can be computed is; the rest is simulated, with the binomial interval of the miss rate at \
                 {} %. Where nothing is promised, the sample is not what the method assumes: six replicates \
                 of so skewed a law would turn a check far more often than its level says, so that what is averaged over \
                 replicates should be near to normal, as medians over neurons are.",
                100.0 * coverage::SIMULATION_CONFIDENCE
            ),
            command.clone(),
            &[
                "method",
                "sample",
                "nominal miss rate",
                "promised to miss",
                "missed",
                "replicates",
                "at least",
                "at most",
                "kept",
            ],
            covered.collect(),
        ),
        table(
            "quantiles",
            "Quantiles against published values",
            "Relative errors of the quantiles that the intervals use, and of the library's that they start from or stand in \
             for. Tail: the upper one for the normal law and Student's t, Pr[Bin(n, p) ≥ k] for the binomial limit p."
                .to_owned(),
            command,
            &["law", "tail", "value", "relative error", "relative error of statrs 0.19"],
            published.collect(),
        ),
    ];
    Ok((tables, good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_tables_are_whole_and_good() {
        let tables = kept();
        assert_eq!(tables.len(), KEPT.len());
        for table in &tables {
            assert!(!table.rows.is_empty(), "{}", table.id);
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{}", table.id);
            if let Some(kept) = table.columns.iter().position(|column| column == "kept") {
                assert!(table.rows.iter().all(|row| row[kept] != "no"), "{}", table.id);
            }
        }
    }
}
