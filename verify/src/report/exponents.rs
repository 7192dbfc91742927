//! The table of scaling exponents: every check of a report that says "exponent in … of …".

use super::model::{Check, ClaimReport, Report};

/// An exponent.
pub(super) struct Row<'a> {
    /// The claim it is a check of.
    pub(super) claim: &'a ClaimReport,
    /// The check.
    pub(super) check: &'a Check,
    /// The factor that varies.
    pub(super) factor: &'a str,
    /// What scales with it.
    pub(super) quantity: &'a str,
}

/// The exponents of a report, in its order.
pub(super) fn rows(report: &Report) -> Vec<Row<'_>> {
    let checks = report.claims.iter().flat_map(|claim| claim.checks.iter().map(move |check| (claim, check)));
    checks
        .filter_map(|(claim, check)| {
            let (factor, quantity) = check.quantity.strip_prefix("exponent in ")?.split_once(" of ")?;
            Some(Row { claim, check, factor, quantity })
        })
        .collect()
}

/// The table as CSV. Numbers that are none, and bounds that are not there, are empty.
pub(super) fn csv(report: &Report) -> String {
    let number = |x: f64| if x.is_finite() { x.to_string() } else { String::new() };
    let mut out =
        "claim,factor,quantity,measured,lower,upper,confidence,expected,accept_from,accept_to,verdict\n".to_owned();
    for Row { claim, check, factor, quantity } in rows(report) {
        let numbers = [
            check.measured,
            check.interval[0],
            check.interval[1],
            check.confidence,
            check.predicted.unwrap_or(f64::NAN),
            check.accept[0],
            check.accept[1],
        ];
        let quantity = quantity.replace('"', "\"\"");
        out += &format!("{},{factor},\"{quantity}\",{},{}\n", claim.id, numbers.map(number).join(","), check.verdict);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn checks_that_name_an_exponent_are_rows() {
        let mut report = sample::report();
        let check = report.claims[0].checks[0].clone();
        let named = |quantity: &str, predicted| Check { quantity: quantity.to_owned(), predicted, ..check.clone() };
        report.claims.truncate(1);
        report.claims[0].checks = vec![
            named("exponent in d₀ of p_oth, \"greatest\" of all", Some(-0.5)),
            named("p_oth", None),
            named("exponent in m of T₀ (p_own)", None),
        ];
        let rows = rows(&report);
        let names: Vec<_> = rows.iter().map(|row| (row.factor, row.quantity)).collect();
        assert_eq!(names, [("d₀", "p_oth, \"greatest\" of all"), ("m", "T₀ (p_own)")]);
        let text = csv(&report);
        let mut table = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<_> = table.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        assert_eq!((&records[0][2], &records[0][7], &records[1][7]), ("p_oth, \"greatest\" of all", "-0.5", ""));
    }
}
