//! The page and the figure of finished runs.

use serde_json::json;

use super::config::{Plan, RunConfig, Sampling};
use super::result::{Column, RunResult, Series};
use crate::claims::draw::{figure as new_figure, linear, log, panel, series, unit};
use crate::report::model::{Axis, Figure, Mark, Panel, Point};
use crate::report::text::{duration, escape, grouped, html, number};
use crate::theory::balance::SelfSimilar;
use feature_contamination::data::Domain;
use feature_contamination::{Activation, Labels};

/// A finished run.
pub(super) struct Finished {
    pub(super) result: RunResult,
    pub(super) series: Series,
}

impl Finished {
    /// A column over the steps; without the start on a logarithmic axis.
    fn points(&self, name: &str, bounds: Option<[&str; 2]>, log: bool) -> Vec<Point> {
        let column = |name: &str| self.series.columns.iter().position(|column| column == name);
        let Some((y, step)) = column(name).zip(column("step")) else { return vec![] };
        let bounds = bounds.and_then(|[lo, hi]| column(lo).zip(column(hi)));
        let rows = self.series.rows.iter().filter(|row| !log || row[step] > 0.0);
        rows.map(|row| {
            let (lo, hi) = bounds.map_or((row[y], row[y]), |(lo, hi)| (row[lo], row[hi]));
            Point { x: row[step], y: row[y], lo, hi }
        })
        .collect()
    }
}

/// Sidecar of `series.csv`: units and meaning of its columns.
pub(super) fn sidecar(columns: &[Column], file: &str) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| json!({ "name": column.name, "unit": column.unit, "meaning": column.meaning }))
        .collect();
    format!("{:#}\n", json!({ "file": file, "columns": columns }))
}

/// The figure of the runs, one line a run, with the balance law beside it where it speaks of them.
pub(super) fn figure(config: &RunConfig, plan: &Plan, runs: &[Finished]) -> Figure {
    let log_steps = config.observables.per_octave > 0;
    let x = || if log_steps { log("steps") } else { linear("steps") };
    // Name, column, colour, and the columns of the band that a single run has.
    type Line<'a> = (&'a str, &'a str, usize, Option<[&'a str; 2]>);
    let draw = |y: Axis, lines: &[Line<'_>], laws: Vec<(&str, usize, Vec<Point>)>| -> Panel {
        let mut all = Vec::new();
        for &(name, column, color, band) in lines {
            for (index, run) in runs.iter().enumerate() {
                if runs.len() == 1 && band.is_some() {
                    all.push(series("", Mark::Band, color, run.points(column, band, log_steps)));
                }
                let name = if index == 0 { name } else { "" };
                all.push(series(name, Mark::Line, color, run.points(column, None, log_steps)));
            }
        }
        all.extend(laws.into_iter().map(|(name, color, points)| series(name, Mark::Dashed, color, points)));
        panel("", x(), y, all)
    };
    let what = if runs.len() == 1 {
        "Medians over neurons with the 10 % and 90 % quantiles as a band.".to_owned()
    } else {
        format!("Medians over neurons, a line a seed, {} seeds.", runs.len())
    };
    match (config.model.sampling, plan) {
        (Sampling::Fresh, Plan::Fresh(spec)) => {
            let speaks = spec.activation == Activation::Relu && spec.labels == Labels::True;
            let law = SelfSimilar::finite_size(&spec.data);
            let until = law.t2(spec).unwrap_or(f64::INFINITY);
            let predicted = |value: &dyn Fn(u64) -> f64| -> Vec<Point> {
                let steps = spec.record_steps.iter().filter(|&&step| speaks && step > 0 && step as f64 <= until);
                steps.map(|&step| Point::at(step as f64, value(step))).collect()
            };
            let feature = draw(
                linear("feature sum"),
                &[
                    ("core", "core_median", 0, Some(["core_q10", "core_q90"])),
                    ("background", "background_median", 1, Some(["background_q10", "background_q90"])),
                ],
                vec![
                    ("", 0, predicted(&|step| law.core(spec, step))),
                    ("", 1, predicted(&|step| law.background(spec, step))),
                ],
            );
            let activation = draw(
                unit("Pr[neuron active]"),
                &[
                    ("own class", "p_own_median", 2, Some(["p_own_q10", "p_own_q90"])),
                    ("other class", "p_oth_median", 3, Some(["p_oth_q10", "p_oth_q90"])),
                ],
                vec![("", 2, predicted(&|_| law.p_own)), ("", 3, predicted(&|_| law.p_other))],
            );
            let risk = |domain| move |step: u64| 1.0 - law.margin(spec, domain, step);
            let risks = draw(
                linear("mean hinge loss"),
                &[("ID", "id_risk", 4, None), ("OOD", "ood_risk", 5, None)],
                vec![("", 4, predicted(&risk(Domain::Id))), ("", 5, predicted(&risk(Domain::Ood)))],
            );
            let law = match speaks {
                true => " Dashed: the balance law, which speaks of the time after T0 and before the hinge gates.",
                false => "",
            };
            new_figure("run", "Features, activation, risks", format!("{what}{law}"), vec![feature, activation, risks])
        }
        _ => {
            let losses =
                draw(log("mean loss"), &[("train", "train_loss", 0, None), ("test", "test_loss", 1, None)], vec![]);
            let norms = draw(
                linear("mean norm of first-layer weights"),
                &[("core", "core_norm", 2, None), ("background", "background_norm", 3, None)],
                vec![],
            );
            let seeds = if runs.len() == 1 { String::new() } else { format!(" A line a seed, {} seeds.", runs.len()) };
            let caption = format!("Losses, and how much of either kind of feature the first layer has learned.{seeds}");
            new_figure("run", "Losses and features", caption, vec![losses, norms])
        }
    }
}

/// `index.html`.
pub(super) fn page(config: &RunConfig, columns: &[Column], runs: &[Finished], figure: &Figure, svg: &str) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let names: Vec<&str> = columns.iter().skip(1).map(|column| column.name.as_str()).collect();
    let heads: String =
        names.iter().map(|name| format!("<th class=\"num\"><code>{}</code></th>", escape(name))).collect();
    let rows: String = runs
        .iter()
        .map(|run| {
            let cells: String = names
                .iter()
                .map(|name| {
                    let value = run.result.last.get(*name).copied().unwrap_or(f64::NAN);
                    format!("<td class=\"num\">{}</td>", number(value, 4))
                })
                .collect();
            format!(
                "<tr><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>{cells}</tr>\n",
                run.result.seed,
                duration(run.result.elapsed_seconds),
                run.result.interruptions
            )
        })
        .collect();
    let meanings: String = columns
        .iter()
        .map(|column| {
            let (name, unit, meaning) = (escape(&column.name), escape(&column.unit), html(&column.meaning));
            format!("<tr><td><code>{name}</code></td><td>{unit}</td><td class=\"wide\">{meaning}</td></tr>\n")
        })
        .collect();
    let config = config.canonical().unwrap_or_default();
    let steps = first.series.rows.last().and_then(|row| row.first()).copied().unwrap_or(0.0);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>A run of one's own</title>\n\
         <style>\n{css}</style>\n</head>\n<body>\n<header>\n<h1>A run of one's own</h1>\n\
         <ul class=\"facts\"><li><b>seeds</b> {seeds}</li><li><b>steps</b> {steps}</li>\
         <li><b>computed by</b> {path}</li><li><b>instruction set</b> {isa}</li><li><b>processor</b> {cpu}</li>\
         <li><b>version</b> {version}</li><li><b>commit</b> <code>{commit}</code></li></ul>\n\
         </header>\n<main>\n\
         <figure>\n<div class=\"canvas\" tabindex=\"0\">\n{svg}</div>\n<figcaption>{caption} <small>\
         (<a href=\"figures/run.svg\">figure</a>, <a href=\"series.csv\">data</a>, <a href=\"series.json\">its columns</a>)\
         </small></figcaption>\n</figure>\n<h2>At the end</h2>\n\
         <div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th class=\"num\">seed</th><th class=\"num\">took</th>\
         <th class=\"num\">interruptions</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n\
         <details><summary>What the columns mean</summary>\n<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>\
         <th>Column</th><th>Unit</th><th>Meaning</th></tr></thead>\n<tbody>\n{meanings}</tbody></table></div></details>\n\
         <h2>Repeat exactly this</h2>\n<p>At this commit and on this instruction set, with the lines below in \
         <code>run.toml</code>:</p>\n<pre><code>verify run --config run.toml --seed {seed}</code></pre>\n<p>A result is held \
         against a new run by <code>verify reproduce</code> and its folder.</p>\n<pre><code>{config}</code></pre>\n\
         </main>\n</body>\n</html>\n",
        css = include_str!("../report/page.css"),
        seeds = runs.iter().map(|run| run.result.seed.to_string()).collect::<Vec<_>>().join(", "),
        seed = first.result.seed,
        steps = grouped(&format!("{steps:.0}")),
        path = escape(&first.result.path),
        isa = escape(&first.result.isa),
        cpu = escape(&first.result.cpu),
        version = escape(&first.result.version),
        commit = escape(&first.result.commit),
        caption = html(&figure.caption),
        config = escape(&config),
    )
}
