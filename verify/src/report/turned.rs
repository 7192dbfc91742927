//! Which controls and which defects of the simulator turn a check: one that nothing turns may be unable to fail.

use super::model::{Check, ClaimReport, Report, Verdict};
use super::text::{escape, html};

/// The table of the appendix with a row for every check of a claim, in their order: claim, check, how many defects turn it,
/// and which.
const DEFECTS: &str = "mutations-checks";

/// What turns one check.
pub(super) struct Turned<'a> {
    /// Names of the report's controls in which it is violated.
    controls: Vec<&'a str>,
    /// The defects at which it is violated, in words, separated by semicolons; `None` if they were not tried on it.
    defects: Option<&'a str>,
}

/// What turns each check of `claim`.
pub(super) fn of<'a>(report: &'a Report, claim: &ClaimReport) -> Vec<Turned<'a>> {
    // Checks are known by their place: their words name sizes, which differ between ladders.
    let tried = report.appendix.iter().filter(|table| table.id == DEFECTS).flat_map(|table| &table.rows);
    let tried: Vec<&Vec<String>> = tried.filter(|row| row.first() == Some(&claim.id)).collect();
    let tried = if tried.len() == claim.checks.len() { tried } else { vec![] };
    let controls = report.controls.iter().filter(|control| control.claim == claim.id);
    let controls: Vec<_> = controls.filter(|control| control.checks.len() == claim.checks.len()).collect();
    let turned = |index: usize| Turned {
        controls: controls
            .iter()
            .filter(|control| control.checks[index].verdict == Verdict::Violated)
            .map(|control| control.id.as_str())
            .collect(),
        defects: tried.get(index).and_then(|row| row.get(3)).map(String::as_str),
    };
    (0..claim.checks.len()).map(turned).collect()
}

impl Turned<'_> {
    fn is_by_something(&self) -> bool {
        !self.controls.is_empty() || self.defects.is_some_and(|defects| !defects.is_empty())
    }

    /// As a line below the check; empty if there was nothing to turn it.
    pub(super) fn html(&self) -> String {
        let mut by: Vec<String> = self.controls.iter().map(|id| format!("<code>{}</code>", escape(id))).collect();
        by.extend(self.defects.filter(|defects| !defects.is_empty()).map(|defects| {
            let count = defects.split("; ").count();
            format!("<abbr title=\"{}\">{count} defect{}</abbr>", html(defects), if count == 1 { "" } else { "s" })
        }));
        if by.is_empty() { String::new() } else { format!("<small>Turned by {}.</small>", by.join(", ")) }
    }
}

/// The checks that neither a control of the report nor a defect of its appendix turns, with their claims.
pub fn unturned(report: &Report) -> Vec<(&ClaimReport, &Check)> {
    let checks = report.claims.iter().flat_map(|claim| {
        let checks = claim.checks.iter().zip(of(report, claim));
        checks.filter(|(_, turned)| !turned.is_by_something()).map(move |(check, _)| (claim, check))
    });
    checks.collect()
}

/// How many checks are turned, in words; empty where there are no controls.
pub(super) fn summary(report: &Report) -> String {
    let all: usize = report.claims.iter().map(|claim| claim.checks.len()).sum();
    if report.controls.is_empty() {
        return String::new();
    }
    let missing = unturned(report);
    let names: Vec<String> = missing
        .iter()
        .map(|(claim, check)| format!("<li>{}: {}</li>\n", escape(&claim.id), html(&check.quantity)))
        .collect();
    let list = if names.is_empty() {
        String::new()
    } else {
        format!("<details><summary>The others</summary>\n<ul>\n{}</ul></details>\n", names.concat())
    };
    format!(
        "<p>{} of {all} checks are turned: violated in a control, or where the simulator is broken on purpose (appendix).</p>\n{list}",
        all - missing.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Every check of the committed report is turned.
    #[test]
    fn nothing_in_the_reference_report_is_unable_to_fail() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference");
        let report = crate::report::read(folder.as_ref()).unwrap();
        let names: Vec<String> =
            unturned(&report).iter().map(|(claim, check)| format!("{}: {}", claim.id, check.quantity)).collect();
        assert_eq!(names, Vec::<String>::new());
    }

    #[test]
    fn controls_and_defects_turn_the_check_in_their_place() {
        let mut report = sample::report();
        let claim = report.claims[0].clone();
        // A control with other checks than the claim's says nothing of them.
        assert_eq!(unturned(&report).len(), report.claims.iter().map(|claim| claim.checks.len()).sum::<usize>());
        let control = &mut report.controls[0];
        control.checks.clone_from(&claim.checks);
        control.checks[1].verdict = Verdict::Violated;
        let row = |defects: &str| ["thm1", "a check", "", defects].map(str::to_owned).to_vec();
        report.appendix[0].id = DEFECTS.to_owned();
        report.appendix[0].rows = vec![row(""), row("one; another"), row("one"), row("")];
        let turned = of(&report, &claim);
        let by: Vec<(usize, bool)> = turned.iter().map(|t| (t.controls.len(), t.is_by_something())).collect();
        assert_eq!(by, [(0, false), (1, true), (0, true), (0, false)]);
        assert_eq!(
            turned[1].html(),
            "<small>Turned by <code>identity</code>, <abbr title=\"one; another\">2 defects</abbr>.</small>"
        );
        assert_eq!(turned[0].html(), "");
        let open: Vec<&str> =
            unturned(&report).iter().filter(|(c, _)| c.id == "thm1").map(|(_, check)| &*check.quantity).collect();
        assert_eq!(open, [&*claim.checks[0].quantity, &*claim.checks[3].quantity]);
        assert!(summary(&report).contains("<p>2 of 7 checks"), "{}", summary(&report));
    }
}
