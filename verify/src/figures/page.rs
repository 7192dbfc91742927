//! Page and JSON of `verify figure`.

use std::path::Path;

use serde::Serialize;

use super::catalogue::Entry;
use super::reading::{Reading, Spread};
use super::results::Results;
use super::setting::{self, Sizes};
use super::{COLUMNS, FigureArgs};
use crate::report::html::{anchor, document, figure_block, mark, table};
use crate::report::model::Figure;
use crate::report::text::{duration, escape, grouped, html as text, number};

/// Version of `figures.json`.
const SCHEMA_VERSION: u32 = 1;

/// A figure that was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub entry: &'static Entry,
    pub figure: Figure,
    pub readings: Vec<Reading>,
}

/// All that the page says.
#[derive(Debug)]
pub(super) struct Made<'a> {
    /// The name that was asked for.
    pub name: &'a str,
    pub args: &'a FigureArgs,
    pub results: &'a Results,
    pub drawn: Vec<Drawn>,
    pub isa: String,
    pub threads: usize,
    pub seconds: f64,
}

impl Made<'_> {
    /// Comparisons with a linear network, each once, and in how many of them the statement is seen in every seed.
    fn seen(&self) -> [usize; 2] {
        let mut known = Vec::new();
        let mut seen = 0;
        for reading in self.drawn.iter().flat_map(|drawn| &drawn.readings) {
            if let Some(yes) = reading.seen().filter(|_| !known.contains(&&reading.setting)) {
                known.push(&reading.setting);
                seen += usize::from(yes);
            }
        }
        [seen, known.len()]
    }

    /// The command that makes a figure as it is here.
    fn command(&self, name: &str) -> String {
        let mut command = format!("cargo run --release --bin verify -- figure {name}");
        if self.args.quick {
            command.push_str(" --quick");
        }
        for (flag, value) in [("--seeds", self.args.seeds), ("--iterations", self.args.iterations)] {
            command.extend(value.map(|value| format!(" {flag} {value}")));
        }
        command
    }
}

/// `figures.json`.
pub(super) fn json(made: &Made<'_>) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct One<'a> {
        name: &'a str,
        paper: &'a str,
        readings: &'a [Reading],
        figure: &'a Figure,
    }
    #[derive(Serialize)]
    struct Json<'a> {
        schema_version: u32,
        command: String,
        commit: &'a str,
        isa: &'a str,
        threads: usize,
        elapsed_seconds: f64,
        sizes: &'a Sizes,
        columns: [&'a str; 4],
        figures: Vec<One<'a>>,
    }
    let mut json = serde_json::to_vec_pretty(&Json {
        schema_version: SCHEMA_VERSION,
        command: made.command(made.name),
        commit: env!("FC_COMMIT"),
        isa: &made.isa,
        threads: made.threads,
        elapsed_seconds: made.seconds,
        sizes: &made.results.sizes,
        columns: COLUMNS,
        figures: made
            .drawn
            .iter()
            .map(|Drawn { entry, figure, readings }| One { name: entry.name, paper: entry.paper, readings, figure })
            .collect(),
    })?;
    json.push(b'\n');
    Ok(json)
}

/// `index.html`.
pub(super) fn html(made: &Made<'_>) -> String {
    let sizes = &made.results.sizes;
    let [seen, of] = made.seen();
    let (class, symbol) = if seen == of { ("holds", "✓") } else { ("inconclusive", "?") };
    let contents: String = made
        .drawn
        .iter()
        .map(|Drawn { entry, .. }| {
            format!("<li><a href=\"#{}\">{}</a></li>\n", anchor("figure-of", entry.name), text(entry.title))
        })
        .collect();
    let header = format!(
        "<h1>The paper's numerical figures, over many seeds</h1>\n\
         <p>Networks were trained as the authors' script does, each from several random draws of data and start, and each \
         beside a linear network on the same data. A <em>feature correlation</em> is the norm of a first-layer neuron's \
         weights along the core or the background features, averaged over the neurons. The background carries no \
         information on the label.</p>\n\
         <p class=\"summary {class}\">{symbol} the paper's statement is seen in every seed in {seen} of {of} settings</p>\n\
         <ul class=\"facts\"><li><b>seeds</b> {}</li><li><b>examples</b> {}</li><li><b>features</b> {} + {}</li>\
         <li><b>inputs</b> {}</li><li><b>hidden neurons</b> {}</li><li><b>took</b> {}</li></ul>\n",
        sizes.seeds,
        grouped(&sizes.n.to_string()),
        sizes.core,
        sizes.background,
        sizes.inputs,
        sizes.hidden,
        duration(made.seconds),
    );
    let figures: String = made.drawn.iter().map(|drawn| section(made, drawn)).collect();
    let main = format!(
        "<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ul>\n<li><a href=\"#reading\">How to read this</a></li>\n\
         {contents}<li><a href=\"#made\">How this was made</a></li>\n</ul>\n</nav>\n{READING}{figures}"
    );
    let footer = format!(
        "<h2 id=\"made\">How this was made</h2>\n<pre><code>{}</code></pre>\n\
         <p>Files: <a href=\"figures.json\">figures.json</a> has every number of the tables, \
         <a href=\"series/runs.csv\">series/runs.csv</a> every curve of every run; beside each figure are its drawing and its \
         data.</p>\n<ul class=\"facts\"><li><b>commit</b> <code>{}</code></li><li><b>instruction set</b> {}</li>\
         <li><b>threads</b> {}</li><li><b>schema</b> {SCHEMA_VERSION}</li></ul>\n",
        escape(&made.command(made.name)),
        escape(env!("FC_COMMIT")),
        escape(&made.isa),
        made.threads,
    );
    document("The paper's numerical figures, over many seeds", &header, &main, &footer)
}

const READING: &str = "<h2 id=\"reading\">How to read this</h2>\n\
    <p>Data: 1,000 fixed examples in the full size. <em>Linear</em>: core features y · U[0, 1]; <em>sphere</em>: core features \
    uniform on the sphere of radius 1 for y = 1, and of radius 2 for y = −1, which no linear function tells apart. Background \
    features are U[0, 1] in training (ID) and −U[0, 1] in the test (OOD), with the same core features. Learning rate and \
    weight decay are 10<sup>−3</sup>, SGD has momentum 0.9; every step takes all examples. The script runs 20,000 steps; where \
    curves bend long before, fewer are drawn here, and <code>--iterations 20000</code> draws all. Horizontal axes count steps; the \
    ID loss is that of the step's beginning, as in the script.</p>\n\
    <p>The paper's statement counts as <em>seen</em> in a setting if three things come out in every seed: the background \
    correlation ends above its start; it ends above that of the linear network trained on the same data; and the OOD loss \
    ends further above the ID loss than the linear network's. If one of them were as likely as not in a seed, it would come \
    out in all of n seeds with probability 2<sup>−n</sup>. How large an effect is, is for the numbers to say: tables give the \
    median over the seeds with the least and the greatest value.</p>\n";

fn section(made: &Made<'_>, Drawn { entry, figure, readings }: &Drawn) -> String {
    format!(
        "<section class=\"claim\" id=\"{}\">\n<h2>{}</h2>\n<blockquote>{}</blockquote>\n{}{}<h3>Numbers</h3>\n{}\
         <h3>Repeat exactly this</h3>\n<pre><code>{}</code></pre>\n</section>\n",
        anchor("figure-of", entry.name),
        text(entry.title),
        text(entry.paper),
        figure_block(figure),
        entry.note.map(|note| format!("<p>{}</p>\n", text(note))).unwrap_or_default(),
        numbers(readings),
        escape(&made.command(entry.name)),
    )
}

fn numbers(readings: &[Reading]) -> String {
    let rows: String = readings.iter().map(row).collect();
    table(
        "<th>Network and setting</th><th>Paper's statement</th><th class=\"num\">Background,<br>end / start</th>\
         <th class=\"num\">over the linear<br>network's</th><th class=\"num\">Core,<br>end / start</th>\
         <th class=\"num\">ID loss</th><th class=\"num\">OOD loss</th>",
        &rows,
    )
}

fn row(reading: &Reading) -> String {
    let badge = match reading.seen() {
        Some(true) => mark(true, "seen", ""),
        Some(false) => {
            format!(
                "<span class=\"badge inconclusive\">not in every seed</span><small>{}</small>",
                text(&reading.against().join("; "))
            )
        }
        None => format!("control<small>background grows in {}</small>", reading.grows.words()),
    };
    let alone = match reading.decay_alone {
        Some(alone) if reading.comparison.is_none() => format!("<small>decay alone {}</small>", number(alone, 3)),
        _ => String::new(),
    };
    let versus = reading
        .comparison
        .as_ref()
        .map_or_else(|| "<td class=\"num\">—</td>".to_owned(), |comparison| cell(comparison.background, ""));
    format!(
        "<tr><td class=\"name\">{}<small>{}; {} iterations</small></td><td class=\"wide\">{badge}</td>{}{versus}{}{}{}</tr>\n",
        setting::activation(reading.setting.activation),
        escape(&reading.setting.words()),
        grouped(&reading.iterations.to_string()),
        cell(reading.background, &alone),
        cell(reading.core, ""),
        cell(reading.id_loss, ""),
        cell(reading.ood_loss, ""),
    )
}

fn cell(spread: Spread, note: &str) -> String {
    format!(
        "<td class=\"num\">{}<small>{} – {}</small>{note}</td>",
        number(spread.median, 3),
        number(spread.least, 3),
        number(spread.most, 3)
    )
}

/// What the command says on standard output.
pub(super) fn summary(made: &Made<'_>, dir: &Path) -> String {
    let mut out = String::new();
    for Drawn { entry, figure, .. } in &made.drawn {
        out.push_str(&format!("{}: {}\n", entry.name, figure.caption));
    }
    let [seen, of] = made.seen();
    out.push_str(&format!(
        "the paper's statement is seen in every seed in {seen} of {of} settings, in {:.1} s\n",
        made.seconds
    ));
    out + &format!("report: {}\n", dir.join("index.html").display())
}
