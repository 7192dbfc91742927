//! A report as one page that needs nothing but itself.

use super::model::{
    Check, ClaimReport, ControlReport, Figure, Report, RunSummary, SCHEMA_VERSION, TaskSummary, Verdict,
};
use super::text::{duration, escape, grouped, html, number};
use super::turned::Turned;
use super::{THEORY, appendix, exponents, figure, theory_page, turned};

/// The profiles that the program brings; any other comes from a configuration file.
const PROFILES: [&str; 2] = ["quick", "full"];

/// Significant digits of measurements.
const DIGITS: usize = 4;

/// The page of a report: `index.html`. Styles and figures are inside, links go to the files beside it.
pub fn page(report: &Report) -> String {
    render(report, true)
}

/// The page, with or without a link to the trajectories.
pub(super) fn render(report: &Report, trajectories: bool) -> String {
    let verdict = if report.is_green() {
        Verdict::Holds
    } else if report.claims.iter().all(|claim| claim.verdict != Verdict::Violated)
        && report.controls.iter().all(|control| control.caught)
    {
        Verdict::Inconclusive
    } else {
        Verdict::Violated
    };
    let summary = summary(report);
    let title = format!("Feature contamination: {summary}");
    let claims: String = report.claims.iter().map(|claim| claim_section(report, claim, trajectories)).collect();
    let header = format!(
        "<h1>Feature contamination: theorems against simulated trajectories</h1>\n\
         <p>Two-layer networks were trained by SGD on data with core features, which carry the label, and background \
         features, which are independent of it. Below, each statement about what such networks learn is held \
         against what they did learn, with bounds that were fixed in advance.</p>\n\
         <p class=\"summary {verdict}\">{} {summary}</p>\n{}",
        symbol(verdict),
        facts(report),
    );
    let main = overview(report)
        + &contents(report)
        + READING
        + &exponent_table(report)
        + &claims
        + &appendix::section(&report.appendix);
    document(&title, &header, &main, &footer(report, trajectories))
}

/// A whole page with these parts.
pub(crate) fn document(title: &str, header: &str, main: &str, footer: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<header>\n{header}</header>\n<main>\n{main}</main>\n\
         <footer>\n{footer}</footer>\n</body>\n</html>\n",
        escape(title),
        include_str!("page.css"),
    )
}

const READING: &str = "<h2 id=\"reading\">How to read this</h2>\n\
    <p>A claim is split into checks. Each check measures a quantity, gives it a confidence interval, and compares that \
    with bounds. It <em>holds</em> if the interval lies within the bounds, is <em>violated</em> if all of it lies off \
    them (or off the narrower ones, where two are given), and <em>inconclusive</em> otherwise. The margin is the distance from the interval to the nearest \
    bound, positive inside. A claim is as good as its worst check, and inconclusive if an assumption is not met.</p>\n\
    <p>A finite run cannot confirm an order of growth; a ladder of sizes can refute one. A control is a run in which a \
    claim is made false on purpose: it is caught if the claim comes out violated there. Below a check stands what turns it: the controls in \
    which it is violated, and how many of the defects that the appendix lists.</p>\n";

fn summary(report: &Report) -> String {
    let claims = report.claims.len();
    let count = |verdict| report.claims.iter().filter(|claim| claim.verdict == verdict).count();
    let (violated, inconclusive) = (count(Verdict::Violated), count(Verdict::Inconclusive));
    let mut out = match claims {
        0 => "no claims were judged".to_owned(),
        1 if count(Verdict::Holds) == 1 => "the claim holds".to_owned(),
        _ if count(Verdict::Holds) == claims => format!("all {claims} claims hold"),
        _ => format!("{} of {claims} claims hold", count(Verdict::Holds)),
    };
    if violated > 0 {
        out.push_str(&format!(", {violated} violated"));
    }
    if inconclusive > 0 {
        out.push_str(&format!(", {inconclusive} inconclusive"));
    }
    let (controls, caught) = (report.controls.len(), report.controls.iter().filter(|control| control.caught).count());
    out.push_str(&match controls {
        0 => "; no controls were run".to_owned(),
        1 if caught == 1 => "; the control was caught".to_owned(),
        _ if caught == controls => format!("; all {controls} controls were caught"),
        _ => format!("; only {caught} of {controls} controls caught"),
    });
    out
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "✓",
        Verdict::Violated => "✗",
        Verdict::Inconclusive => "?",
    }
}

fn badge(verdict: Verdict) -> String {
    format!("<span class=\"badge {verdict}\">{} {verdict}</span>", symbol(verdict))
}

/// A badge that says yes or no.
pub(crate) fn mark(good: bool, yes: &str, no: &str) -> String {
    if good {
        format!("<span class=\"badge holds\">✓ {yes}</span>")
    } else {
        format!("<span class=\"badge violated\">✗ {no}</span>")
    }
}

fn facts(report: &Report) -> String {
    format!(
        "<ul class=\"facts\"><li><b>profile</b> {}</li><li><b>seed</b> {}</li><li><b>took</b> {}</li>\
         <li><b>commit</b> <code>{}</code></li></ul>\n",
        escape(&report.profile),
        report.seed,
        duration(report.elapsed_seconds),
        escape(&report.commit)
    )
}

pub(crate) fn anchor(kind: &str, id: &str) -> String {
    let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{kind}-{id}")
}

/// The tables of verdicts: of the claims, and of the controls.
fn overview(report: &Report) -> String {
    let claims: String = report
        .claims
        .iter()
        .map(|claim| {
            let deciding = deciding(claim);
            format!(
                "<tr><td class=\"name\"><a href=\"#{}\">{}</a><small>{}</small></td><td>{}</td><td class=\"wide\">{}</td>\
                 <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
                 </tr>\n",
                anchor("claim", &claim.id),
                html(&claim.title),
                html(&claim.source),
                badge(claim.verdict),
                deciding.map_or_else(|| "—".to_owned(), |check| html(&check.quantity)),
                number(claim.measured, DIGITS),
                predicted(claim.predicted),
                interval(claim.interval),
                number(claim.margin, 3)
            )
        })
        .collect();
    let controls: String = report
        .controls
        .iter()
        .map(|control| {
            let claim = report.claims.iter().find(|claim| claim.id == control.claim);
            let name = claim.map_or_else(
                || escape(&control.claim),
                |claim| format!("<a href=\"#{}\">{}</a>", anchor("controls", &claim.id), html(&claim.title)),
            );
            format!("<tr>{}<td class=\"name\">{name}</td>{}</tr>\n", control_name(control), control_outcome(control))
        })
        .collect();
    let mut out = "<h2 id=\"verdicts\">Verdicts</h2>\n".to_owned();
    out.push_str(&table(
        "<th>Claim</th><th>Verdict</th><th>Deciding quantity</th><th class=\"num\">Measured</th>\
         <th class=\"num\">Predicted</th><th class=\"num\">Interval</th><th class=\"num\">Margin</th>",
        &claims,
    ));
    out.push_str("<h3 id=\"controls\">Controls</h3>\n");
    out.push_str(&table(
        "<th>Control</th><th>Claim made false</th><th>Expected</th><th>Got</th><th>Outcome</th>",
        &controls,
    ));
    out.push_str(&turned::summary(report));
    out
}

pub(crate) fn table(head: &str, rows: &str) -> String {
    if rows.is_empty() {
        return "<p class=\"soft\">None.</p>\n".to_owned();
    }
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn control_name(control: &ControlReport) -> String {
    format!("<td class=\"wide\">{}<small><code>{}</code></small></td>", html(&control.change), escape(&control.id))
}

fn control_outcome(control: &ControlReport) -> String {
    format!(
        "<td>{}</td><td>{}</td><td>{}</td>",
        word(control.expected),
        word(control.verdict),
        mark(control.caught, "caught", "not caught")
    )
}

/// A verdict without a badge's judgement.
fn word(verdict: Verdict) -> String {
    format!("<span class=\"word\">{} {verdict}</span>", symbol(verdict))
}

/// The check whose figures the claim has made its own.
fn deciding(claim: &ClaimReport) -> Option<&Check> {
    let figures = |measured: f64, interval: [f64; 2], margin: f64| {
        [measured.to_bits(), interval[0].to_bits(), interval[1].to_bits(), margin.to_bits()]
    };
    let own = figures(claim.measured, claim.interval, claim.margin);
    claim.checks.iter().find(|check| figures(check.measured, check.interval, check.margin) == own)
}

fn predicted(value: Option<f64>) -> String {
    value.filter(|x| x.is_finite()).map_or_else(|| "—".to_owned(), |x| number(x, DIGITS))
}

fn interval([low, high]: [f64; 2]) -> String {
    if low.is_nan() || high.is_nan() {
        "—".to_owned()
    } else if low == high {
        "exact".to_owned()
    } else {
        format!("[{}, {}]", number(low, DIGITS), number(high, DIGITS))
    }
}

/// Bounds in words: where a check holds, and where it is violated if that is not everywhere else.
fn bounds(check: &Check) -> String {
    let (text, finite) = (|x| number(x, DIGITS), f64::is_finite);
    let [low, high] = check.accept;
    let holds = match (finite(low), finite(high)) {
        (true, true) if low == high => format!("= {}", text(low)),
        (true, true) => format!("[{}, {}]", text(low), text(high)),
        (true, false) => format!("≥ {}", text(low)),
        (false, true) => format!("≤ {}", text(high)),
        (false, false) => "anything".to_owned(),
    };
    if check.tolerate == check.accept {
        return holds;
    }
    let [low, high] = check.tolerate;
    let violated = match (finite(low), finite(high)) {
        (true, true) => format!("violated if all of it<br>is off [{}, {}]", text(low), text(high)),
        (true, false) => format!("violated if all<br>of it is &lt; {}", text(low)),
        (false, true) => format!("violated if all<br>of it is &gt; {}", text(high)),
        (false, false) => "never violated".to_owned(),
    };
    format!("{holds}<small>{violated}</small>")
}

/// The level of a check's interval.
fn confidence(check: &Check) -> String {
    match check.confidence {
        1.0 if check.interval[0] == check.interval[1] => String::new(),
        1.0 => "sure".to_owned(),
        level => format!("{} %", number(100.0 * level, 5)),
    }
}

/// `turned` in the order of `checks`, or empty.
fn check_table(checks: &[Check], turned: &[Turned<'_>]) -> String {
    let rows: String = checks
        .iter()
        .enumerate()
        .map(|(index, check)| {
            format!(
                "<tr><td>{}</td><td class=\"wide\">{}<small>{}</small><small>{}</small>{}</td><td class=\"num\">{}</td>\
                 <td class=\"num\">{}</td><td class=\"num\">{}<small>{}</small></td><td>{}</td>\
                 <td class=\"word\">{}</td><td class=\"num\">{}</td></tr>\n",
                badge(check.verdict),
                html(&check.quantity),
                html(&check.source),
                html(&check.reason),
                turned.get(index).map(Turned::html).unwrap_or_default(),
                number(check.measured, DIGITS),
                predicted(check.predicted),
                interval(check.interval),
                confidence(check),
                strip(check),
                bounds(check),
                number(check.margin, 3)
            )
        })
        .collect();
    table(
        "<th>Verdict</th><th>Quantity, source, reason for the bounds</th><th class=\"num\">Measured</th>\
         <th class=\"num\">Predicted</th><th class=\"num\">Interval</th><th>Picture</th><th>Holds in</th>\
         <th class=\"num\">Margin</th>",
        &rows,
    )
}

/// A check as a picture: accepted and tolerated range, interval, measurement and prediction along one line.
fn strip(check: &Check) -> String {
    let values: Vec<f64> = [check.accept, check.tolerate, check.interval]
        .concat()
        .into_iter()
        .chain([check.measured])
        .chain(check.predicted)
        .filter(|x| x.is_finite() && x.abs() < 1e300)
        .collect();
    let (least, most) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    if least > most {
        return String::new();
    }
    let log = least > 0.0 && most / least > 30.0;
    let scale = |x: f64| if log { x.max(f64::MIN_POSITIVE).ln() } else { x };
    let (low, span) = (scale(least), scale(most) - scale(least));
    let place = |x: f64| {
        let at =
            if span > 0.0 { (scale(x) - low) / span } else { 0.5 + (scale(x) - low).signum() * f64::from(x != least) };
        // Ends of infinite ranges are at the edges.
        (15.0 + 120.0 * at).clamp(0.0, 150.0)
    };
    let mut ranges = vec![("accept", check.accept)];
    if check.tolerate != check.accept {
        ranges.push(("tolerate", check.tolerate));
    }
    let ranges = ranges.into_iter().map(|(class, [low, high])| {
        let (from, to) = (place(low), place(high));
        format!("<rect class=\"{class}\" x=\"{from:.1}\" y=\"3\" width=\"{:.1}\" height=\"20\"/>", (to - from).max(1.5))
    });
    let mut out = "<svg class=\"strip\" viewBox=\"0 0 150 26\" aria-hidden=\"true\">".to_owned();
    out.extend(ranges);
    out.push_str("<path class=\"base\" d=\"M0 13h150\"/>");
    if let Some(x) = check.predicted.filter(|x| x.is_finite()) {
        out.push_str(&format!(
            "<path class=\"predicted\" d=\"M{:.1} 2v22\" stroke-width=\"2\" stroke-dasharray=\"4 2\"/>",
            place(x)
        ));
    }
    let [low, high] = check.interval;
    if low < high {
        out.push_str(&format!(
            "<path d=\"M{:.1} 13H{:.1}\" stroke=\"currentColor\" stroke-width=\"3\"/>",
            place(low),
            place(high)
        ));
    }
    if check.measured.is_finite() {
        out.push_str(&format!("<circle cx=\"{:.1}\" cy=\"13\" r=\"4\" fill=\"currentColor\"/>", place(check.measured)));
    }
    out + "</svg>"
}

/// What the pictures' parts mean.
fn key(checks: &[Check]) -> String {
    let part = |shape: &str, meaning: &str| {
        format!("<span><svg class=\"strip\" viewBox=\"0 0 32 16\" aria-hidden=\"true\">{shape}</svg>{meaning}</span>")
    };
    let mut out = [
        part(
            "<path d=\"M4 8H28\" stroke=\"currentColor\" stroke-width=\"3\"/>\
             <circle cx=\"16\" cy=\"8\" r=\"4\" fill=\"currentColor\"/>",
            "measured, interval",
        ),
        part("<path class=\"predicted\" d=\"M16 0v16\" stroke-width=\"2\" stroke-dasharray=\"4 2\"/>", "predicted"),
        part("<rect class=\"accept\" width=\"32\" height=\"16\"/>", "bounds"),
    ]
    .concat();
    if checks.iter().any(|check| check.tolerate != check.accept) {
        out.push_str(&part("<rect class=\"tolerate\" width=\"32\" height=\"16\"/>", "narrower bounds"));
    }
    format!("<p class=\"key\">{out}</p>\n")
}

/// The table of scaling exponents, if there are any.
fn exponent_table(report: &Report) -> String {
    let rows: String = exponents::rows(report)
        .iter()
        .map(|exponents::Row { claim, check, factor, quantity }| {
            format!(
                "<tr><td>{}</td><td class=\"wide\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
                 <td class=\"num\">{}</td><td>{}</td><td class=\"name\"><a href=\"#{}\">{}</a></td></tr>\n",
                html(factor),
                html(quantity),
                number(check.measured, DIGITS),
                interval(check.interval),
                predicted(check.predicted),
                badge(check.verdict),
                anchor("claim", &claim.id),
                html(&claim.title)
            )
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    let head = "<th>In</th><th>Quantity</th><th class=\"num\">Exponent</th><th class=\"num\">Interval</th>\
                <th class=\"num\">Expected</th><th>Verdict</th><th>Claim, with its figures</th>";
    format!(
        "<h2 id=\"exponents\">Scaling exponents</h2>\n<p>Slope of ln(quantity) on ln(factor) along each ladder, from the checks \
         below. <a href=\"series/exponents.csv\">As CSV</a>.</p>\n{}",
        table(head, &rows)
    )
}

fn contents(report: &Report) -> String {
    let claims: String = report
        .claims
        .iter()
        .map(|claim| format!("<li><a href=\"#{}\">{}</a></li>\n", anchor("claim", &claim.id), html(&claim.title)))
        .collect();
    let appendix = if report.appendix.is_empty() {
        ""
    } else {
        "<li><a href=\"#appendix\">Appendix: the instrument checked</a></li>\n"
    };
    let exponents =
        if exponents::rows(report).is_empty() { "" } else { "<li><a href=\"#exponents\">Scaling exponents</a></li>\n" };
    format!(
        "<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ul>\n<li><a href=\"#verdicts\">Verdicts</a></li>\n\
         <li><a href=\"#controls\">Controls</a></li>\n<li><a href=\"#reading\">How to read this</a></li>\n{exponents}{claims}{appendix}\
         <li><a href=\"{THEORY}\">The theory behind the checks</a></li>\n<li><a href=\"#made\">How this was made</a></li>\n</ul>\n</nav>\n"
    )
}

fn claim_section(report: &Report, claim: &ClaimReport, trajectories: bool) -> String {
    let assumptions: String = claim
        .assumptions
        .iter()
        .map(|assumption| {
            format!("<li>{}<span>{}</span></li>\n", mark(assumption.met, "met", "not met"), html(&assumption.text))
        })
        .collect();
    let assumptions = if assumptions.is_empty() {
        "<p class=\"soft\">None.</p>\n".to_owned()
    } else {
        format!("<ul class=\"assumptions\">\n{assumptions}</ul>\n")
    };
    let figures: String = claim.figures.iter().map(figure_block).collect();
    format!(
        "<section class=\"claim\" id=\"{anchor}\">\n<div class=\"head\"><h2>{title}</h2>{badge}</div>\n\
         <p class=\"soft\">{source} (<a href=\"{derivation}\">derivation</a>)</p>\n<blockquote>{statement}</blockquote>\n\
         <h3>Checks</h3>\n{key}{checks}\
         <h3>Assumptions</h3>\n{assumptions}{figures}\
         <h3 id=\"{controls_anchor}\">Controls of this claim</h3>\n{controls}\
         <h3>Runs</h3>\n{runs}\
         <h3>Repeat exactly this</h3>\n{repeat}</section>\n",
        anchor = anchor("claim", &claim.id),
        title = html(&claim.title),
        badge = badge(claim.verdict),
        source = html(&claim.source),
        derivation = theory_page::place_of(&claim.source),
        statement = html(&claim.statement),
        key = key(&claim.checks),
        checks = check_table(&claim.checks, &turned::of(report, claim)),
        controls_anchor = anchor("controls", &claim.id),
        controls = claim_controls(report, claim),
        runs = work(claim, trajectories),
        repeat = repeat(report, Some(&claim.id)),
    )
}

pub(crate) fn figure_block(figure: &Figure) -> String {
    let id = escape(&figure.id);
    let svg = figure::svg(figure).unwrap_or_else(|error| format!("<p>{}</p>\n", escape(&error.to_string())));
    format!(
        "<figure id=\"{}\">\n<div class=\"canvas{tall}\" tabindex=\"0\">\n{svg}</div>\n\
         <figcaption>{} <small>(<a href=\"figures/{id}.svg\">figure</a>, <a href=\"series/{id}.csv\">data</a>)</small>\
         </figcaption>\n</figure>\n",
        anchor("figure", &figure.id),
        html(&figure.caption),
        // Two rows of panels, or many names below each other.
        tall = if figure.panels.len() > 3 || figure.panels.iter().any(|panel| panel.x.names.len() > 4) {
            " tall"
        } else {
            ""
        },
    )
}

fn claim_controls(report: &Report, claim: &ClaimReport) -> String {
    let controls: Vec<&ControlReport> = report.controls.iter().filter(|control| control.claim == claim.id).collect();
    let rows: String = controls
        .iter()
        .map(|control| format!("<tr>{}{}</tr>\n", control_name(control), control_outcome(control)))
        .collect();
    let mut out = table("<th>Change</th><th>Expected</th><th>Got</th><th>Outcome</th>", &rows);
    for control in controls {
        out.push_str(&format!(
            "<details><summary>Checks of control <code>{}</code></summary>\n{}</details>\n",
            escape(&control.id),
            check_table(&control.checks, &[])
        ));
    }
    format!("<div class=\"controls\">\n{out}</div>\n")
}

/// The runs, and the tasks of a study, which has no runs.
fn work(claim: &ClaimReport, trajectories: bool) -> String {
    let tasks = task_tables(&claim.tasks);
    if claim.runs.is_empty() && !tasks.is_empty() { tasks } else { run_table(&claim.runs, trajectories) + &tasks }
}

fn run_table(runs: &[RunSummary], trajectories: bool) -> String {
    let rows: String = runs
        .iter()
        .map(|run| {
            let numbers: String = [
                run.seed.to_string(),
                run.d_core.to_string(),
                run.d_bg.to_string(),
                grouped(&run.d.to_string()),
                run.m.to_string(),
                grouped(&run.batch.to_string()),
                number(run.learning_rate, DIGITS),
                number(run.weight_decay, DIGITS),
                grouped(&run.steps.to_string()),
                grouped(&run.eval_samples.to_string()),
                number(run.c, DIGITS),
                number(run.b, DIGITS),
            ]
            .iter()
            .map(|cell| format!("<td class=\"num\">{cell}</td>"))
            .collect();
            format!(
                "<tr><td><code>{}</code></td><td class=\"word\">{}</td><td>{}</td>{numbers}</tr>\n",
                escape(&run.id),
                html(&run.ladder),
                escape(&run.activation)
            )
        })
        .collect();
    let heads: String = ["seed", "d_core", "d_bg", "d", "m", "batch", "η", "λ", "steps", "evaluated on", "C", "B"]
        .iter()
        .map(|head| format!("<th class=\"num\">{}</th>", html(head)))
        .collect();
    let table = table(&format!("<th>Run</th><th>Ladder</th><th>Activation</th>{heads}"), &rows);
    let files = if trajectories && !runs.is_empty() {
        "<p class=\"soft\">What each run recorded is in <a href=\"series/trajectories.csv\">series/trajectories.csv</a>, \
         under its name.</p>\n"
    } else {
        ""
    };
    let plural = if runs.len() == 1 { "" } else { "s" };
    format!(
        "<details class=\"runs\"><summary>Parameters of {} run{plural}</summary>\n{table}</details>\n{files}",
        runs.len(),
    )
}

/// The parameters of tasks, a table for each kind.
fn task_tables(tasks: &[TaskSummary]) -> String {
    let mut kinds: Vec<&str> = tasks.iter().map(|task| task.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let table_of = |kind: &str| {
        let of_kind = || tasks.iter().filter(|task| task.kind == kind);
        let mut names: Vec<&String> =
            of_kind().filter_map(|task| task.parameters.as_object()).flat_map(|o| o.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let cell = |value: Option<&serde_json::Value>| match value {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => escape(text),
            Some(value) => escape(&value.to_string()),
        };
        let row = |task: &TaskSummary| {
            let cells: String =
                names.iter().map(|&name| format!("<td>{}</td>", cell(task.parameters.get(name)))).collect();
            format!(
                "<tr><td><code>{}</code></td><td class=\"word\">{}</td>{cells}</tr>\n",
                escape(&task.id),
                html(&task.ladder)
            )
        };
        let rows: String = of_kind().map(row).collect();
        let heads: String = names.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
        let (count, table) = (of_kind().count(), table(&format!("<th>Task</th><th>Ladder</th>{heads}"), &rows));
        let plural = if count == 1 { "" } else { "s" };
        format!(
            "<details class=\"runs\"><summary>Parameters of {count} {} task{plural}</summary>\n{table}</details>\n",
            escape(kind)
        )
    };
    kinds.into_iter().map(table_of).collect()
}

/// The command that repeats a claim, or everything.
fn repeat(report: &Report, claim: Option<&str>) -> String {
    let from_file = !PROFILES.contains(&report.profile.as_str());
    let source = if from_file { "--config settings.toml".to_owned() } else { format!("--profile {}", report.profile) };
    let claim = claim.map(|id| format!(" --claim {}", escape(id))).unwrap_or_default();
    let note = if from_file {
        "<p class=\"soft\">The settings come from a configuration file; \
         <a href=\"settings.toml\">settings.toml</a> in this folder repeats them.</p>\n"
    } else {
        ""
    };
    format!(
        "<pre><code>cargo run --release --bin verify -- {source} --seed {}{claim}</code></pre>\n{note}",
        report.seed
    )
}

fn footer(report: &Report, trajectories: bool) -> String {
    let trajectories =
        if trajectories { "<a href=\"series/trajectories.csv\">series/trajectories.csv</a>, " } else { "" };
    format!(
        "<h2 id=\"made\">How this was made</h2>\n{}<p>Files: <a href=\"report.json\">report.json</a>, \
         {trajectories}<a href=\"settings.toml\">settings.toml</a>, and beside each figure its drawing and its data.</p>\n\
         <ul class=\"facts\"><li><b>commit</b> <code>{}</code></li><li><b>processor</b> {}</li>\
         <li><b>instruction set</b> {}</li><li><b>threads</b> {}</li><li><b>seed</b> {}</li><li><b>took</b> {}</li>\
         <li><b>schema</b> {SCHEMA_VERSION}</li></ul>\n",
        repeat(report, None),
        escape(&report.commit),
        escape(&report.host.cpu),
        escape(&report.host.isa),
        report.host.threads,
        report.seed,
        duration(report.elapsed_seconds)
    )
}
