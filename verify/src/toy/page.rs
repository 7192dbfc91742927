//! Page, figure and JSON of `verify toy`.

use serde_json::json;

use super::file::{CURVES, ToyFile};
use super::{Match, Outcome};
use crate::claims::draw::{figure as new_figure, level, linear, log, panel, series};
use crate::report::model::{Figure, Mark, Point};
use crate::report::text::{duration, escape, grouped, number};

/// Version of `match.json`.
const SCHEMA_VERSION: u32 = 1;

/// The curves in words.
const NAMES: [&str; 4] = ["train loss", "test loss", "core", "background"];

/// The setting in words.
pub(super) fn setting(file: &ToyFile) -> String {
    let config = &file.config;
    let momentum = if config.optimizer.eq_ignore_ascii_case("sgd") {
        format!(" (momentum {})", config.momentum)
    } else {
        String::new()
    };
    format!(
        "{} loss, {}{momentum}, {}, {} layers{}, output {}, {} data; n = {}, features {} + {}, inputs {}, hidden {}, seed {}",
        config.loss.to_lowercase(),
        config.optimizer.to_lowercase(),
        config.activation.to_lowercase(),
        config.layers,
        if config.bias { "" } else { " without biases" },
        if config.freeze_output { "frozen" } else { "trained" },
        if config.nonlinear { "non-linear" } else { "linear" },
        config.n,
        config.core_dim,
        config.bg_dim,
        config.input_dim,
        config.hidden_dim,
        config.seed
    )
}

/// Losses, norms, and how near they come to the file's.
pub(super) fn figure(outcome: &Outcome<'_>) -> Figure {
    let ours = |column: usize| {
        let points = outcome.rows.iter().map(|row| Point::at(row.iteration as f64, row.values[column])).collect();
        series(format!("{}, here", NAMES[column]), Mark::Line, column, points)
    };
    let last = outcome.rows.last().map_or(0, |row| row.iteration);
    let theirs = |column: usize| {
        let points = outcome.file.iterations.iter().zip(&outcome.file.curves[column].values);
        let points = points.take_while(|&(&i, _)| i <= last).map(|(&i, &value)| Point::at(i as f64, value)).collect();
        series(format!("{}, file", NAMES[column]), Mark::Points, column, points)
    };
    let ratios = |column: usize| {
        let points = outcome.matches[column].ratios.iter();
        let points = points.map(|&(iteration, ratio)| Point::at(iteration as f64, ratio)).collect();
        series(NAMES[column], Mark::Line, column, points)
    };
    let x = || linear("iteration");
    let curves = |[a, b]: [usize; 2]| vec![ours(a), ours(b), theirs(a), theirs(b)];
    let mut near: Vec<_> = (0..CURVES.len()).map(ratios).collect();
    near.push(level("tolerance", Mark::Dotted, 6, 1.0, 0.0, last as f64));
    new_figure(
        "toy",
        "The authors' script, number for number",
        "Lines: computed here. Markers: the file's own curves. Right: |difference| / tolerance, which must not pass 1.",
        vec![
            panel("", x(), log("mean loss"), curves([0, 1])),
            panel("", x(), linear("mean norm of first-layer weights"), curves([2, 3])),
            panel("", x(), log("|difference| / tolerance"), near),
        ],
    )
}

/// `match.json`.
pub(super) fn json(outcome: &Outcome<'_>) -> String {
    let curves: Vec<_> = CURVES
        .iter()
        .zip(&outcome.matches)
        .map(|(name, found)| {
            json!({
                "curve": name, "matches": found.holds(), "worst_ratio": found.ratio, "iteration": found.iteration,
                "relative_difference": found.difference, "relative_tolerance": found.tolerance, "points": found.points,
            })
        })
        .collect();
    let value = json!({
        "schema_version": SCHEMA_VERSION, "file": outcome.name, "setting": setting(outcome.file),
        "iterations": outcome.iterations, "path": outcome.path, "elapsed_seconds": outcome.seconds,
        "commit": env!("FC_COMMIT"), "curves": curves,
    });
    format!("{value:#}\n")
}

/// `index.html`.
pub(super) fn html(outcome: &Outcome<'_>, figure: &Figure, svg: &str) -> String {
    let badge = |good: bool| match good {
        true => "<span class=\"badge holds\">✓ matches</span>",
        false => "<span class=\"badge violated\">✗ differs</span>",
    };
    let row = |(name, found): (&&str, &Match)| {
        format!(
            "<tr><td><code>{name}</code></td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>\
             <td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>\n",
            badge(found.holds()),
            number(found.ratio, 3),
            grouped(&found.iteration.to_string()),
            number(found.difference, 3),
            number(found.tolerance, 3),
            found.points
        )
    };
    let rows: String = CURVES.iter().zip(&outcome.matches).map(row).collect();
    let (class, verdict) = match outcome.is_match() {
        true => ("holds", "✓ every curve matches"),
        false => ("violated", "✗ not every curve matches"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name}: {verdict}</title>\n\
         <style>\n{css}</style>\n</head>\n<body>\n<header>\n<h1>The authors' script, number for number</h1>\n\
         <p>A run of the paper's numerical experiment was repeated from the initial parameters and the data in \
         <code>{name}</code>, and its curves are held against those in the file.</p>\n\
         <p class=\"summary {class}\">{verdict}</p>\n\
         <ul class=\"facts\"><li><b>setting</b> {setting}</li><li><b>iterations</b> {iterations}</li>\
         <li><b>took</b> {took}</li><li><b>computed by</b> {path}</li><li><b>commit</b> <code>{commit}</code></li></ul>\n\
         </header>\n<main>\n<h2>Match</h2>\n\
         <p>A point matches if it differs from the file's by at most 10<sup>−5</sup> relative, or by five times the \
         largest relative change of the curve up to that iteration when the script's own start is moved by \
         10<sup>−7</sup>, whichever is larger. The worst point of each curve:</p>\n\
         <div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>Curve</th><th>Verdict</th>\
         <th class=\"num\">|difference| / tolerance</th><th class=\"num\">at iteration</th>\
         <th class=\"num\">difference, relative</th><th class=\"num\">tolerance, relative</th>\
         <th class=\"num\">points</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n\
         <figure>\n<div class=\"canvas\" tabindex=\"0\">\n{svg}</div>\n<figcaption>{caption} <small>\
         (<a href=\"figures/toy.svg\">figure</a>, <a href=\"trajectory.csv\">data</a>, <a href=\"match.json\">match</a>)\
         </small></figcaption>\n</figure>\n</main>\n</body>\n</html>\n",
        name = escape(&outcome.name),
        css = include_str!("../report/page.css"),
        setting = escape(&setting(outcome.file)),
        iterations = grouped(&outcome.iterations.to_string()),
        took = duration(outcome.seconds),
        path = escape(&outcome.path),
        commit = escape(env!("FC_COMMIT")),
        caption = escape(&figure.caption),
    )
}
