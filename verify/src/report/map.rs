//! The map of claims and switches, drawn from its table.
//!
//! A claim's cell has colour and glyph, so that it reads in grey print and to the colour-blind; a number has a place on its
//! column's scale beside its figures.

use super::model::Table;
use super::text::{self, Script, escape, pieces};

/// Id of the table.
pub const ID: &str = "robustness";

/// The columns of numbers, in order, behind two of names and those of the claims.
pub const NUMBERS: [&str; 7] = [
    "p_own at T₁",
    "p_oth at T₁",
    "p_oth by the balance law",
    "core at T₁ over its prediction",
    "background at T₁ over its prediction",
    "R_ID at T₂",
    "R_OOD at T₂",
];

/// The scale of a column: where 0 and 1 of its width are, on a logarithmic scale or not.
struct Scale {
    from: f64,
    to: f64,
    log: bool,
    /// What the claims allow, shaded.
    band: Option<[f64; 2]>,
    /// A line at a prediction that is the same in every row.
    line: Option<f64>,
    /// Which column has the prediction of each row.
    law: Option<usize>,
}

const RATIO: Scale = Scale { from: 0.2, to: 5.0, log: true, band: Some([0.5, 2.0]), line: Some(1.0), law: None };

/// A scale for each of [`NUMBERS`] that is drawn.
const SCALES: [(usize, Scale); 6] = [
    (0, Scale { from: 0.0, to: 1.0, log: false, band: Some([0.9, 1.0]), line: None, law: None }),
    (1, Scale { from: 0.0, to: 0.6, log: false, band: Some([0.0, 0.25]), line: None, law: Some(2) }),
    (3, RATIO),
    (4, RATIO),
    (5, Scale { from: 0.005, to: 1.5, log: true, band: None, line: None, law: None }),
    (6, Scale { from: 0.0, to: 1.5, log: false, band: None, line: None, law: None }),
];

impl Scale {
    /// Place of a value on `[0, 1]`, beyond it for what lies outside.
    fn place(&self, value: f64) -> f64 {
        if self.log {
            if value <= 0.0 { f64::NEG_INFINITY } else { (value / self.from).ln() / (self.to / self.from).ln() }
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }
}

const ROW: f64 = 25.0;
const GROUP: f64 = 88.0;
const CELL: f64 = 53.0;
const NUMBER: f64 = 122.0;
/// Width of a number's scale.
const AXIS: f64 = 68.0;
const GAP: f64 = 18.0;
const MARGIN: f64 = 14.0;
const HEADER: f64 = 122.0;
const FONT: f64 = 12.5;
const SMALL: f64 = 10.5;

const INK: &str = "#222222";
const SOFT: &str = "#666666";
const LINE: &str = "#bbbbbb";

/// How a verdict is shown: tint of the cell, colour of the glyph.
fn colours(word: &str) -> Option<(&'static str, &'static str)> {
    match word {
        "holds" => Some(("#d9e9f5", "#0072b2")),
        "open" => Some(("#f7eccb", "#8a6200")),
        "violated" => Some(("#f3cfbb", "#b03a00")),
        _ => None,
    }
}

/// Whether a table is a map that [`svg`] draws.
pub fn is_map(table: &Table) -> bool {
    table.id == ID && table.columns.len() > 2 + NUMBERS.len() && table.columns.ends_with(&NUMBERS.map(str::to_owned))
}

/// The map of a table whose columns are a group, a switch, claims, and [`NUMBERS`]; empty for any other.
pub fn svg(table: &Table) -> String {
    if !is_map(table) {
        return String::new();
    }
    let claims = &table.columns[2..table.columns.len() - NUMBERS.len()];
    let names = table.rows.iter().map(|row| text::width(&row[1])).fold(0.0, f64::max) * FONT;
    let cells = MARGIN + GROUP + names + 12.0;
    let numbers = cells + CELL * claims.len() as f64 + GAP;
    let width = numbers + NUMBER * SCALES.len() as f64 + MARGIN;
    let top = 44.0 + HEADER;
    let bottom = top + ROW * table.rows.len() as f64;
    let height = bottom + 92.0;
    let mut out = Canvas { out: String::new() };

    out.text(&table.title, (width / 2.0, 22.0), Style { size: 16.0, bold: true, anchor: "middle", ..TEXT });
    for (i, claim) in claims.iter().enumerate() {
        let at = (cells + CELL * (i as f64 + 0.5) + 4.0, top - 8.0);
        out.text(claim_name(claim), at, Style { turn: -55.0, ..TEXT });
    }
    for (i, (index, scale)) in SCALES.iter().enumerate() {
        let x = numbers + NUMBER * i as f64;
        let lines = text::wrap(NUMBERS[*index], 9.0);
        for (line, words) in lines.iter().rev().enumerate() {
            out.text(words, (x, top - 26.0 - 15.0 * line as f64), TEXT);
        }
        let ends = [(x, scale.from, "start"), (x + AXIS, scale.to, "end")];
        for (x, value, anchor) in ends {
            out.text(&value.to_string(), (x, top - 7.0), Style { size: SMALL, fill: SOFT, anchor, ..TEXT });
        }
    }

    let first = table.rows.first();
    for (r, row) in table.rows.iter().enumerate() {
        let (y, middle) = (top + ROW * r as f64, top + ROW * (r as f64 + 0.5));
        let begins = r == 0 || table.rows[r - 1][0] != row[0];
        if begins {
            out.line((MARGIN, y), (width - MARGIN, y), LINE, 1.0);
            out.text(&row[0], (MARGIN, middle), Style { bold: true, ..TEXT });
        }
        out.text(&row[1], (MARGIN + GROUP, middle), Style { bold: row[0].is_empty(), ..TEXT });
        for (i, cell) in row[2..2 + claims.len()].iter().enumerate() {
            out.verdict(cell, (cells + CELL * i as f64, y));
        }
        for (i, (index, scale)) in SCALES.iter().enumerate() {
            let column = |index: usize| &row[2 + claims.len() + index];
            let law = scale.law.and_then(|law| parse(column(law))).map(|(law, _)| law);
            let reference = first.and_then(|first| parse(&first[2 + claims.len() + index])).map(|(value, _)| value);
            let reference = if scale.line.is_some() || scale.law.is_some() { scale.line } else { reference };
            out.number(column(*index), scale, (numbers + NUMBER * i as f64, y), law, reference);
        }
    }
    out.line((MARGIN, bottom), (width - MARGIN, bottom), LINE, 1.0);
    out.legend((MARGIN, bottom + 22.0));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} \
         {height:.0}\" role=\"img\" aria-label=\"{}\" font-family=\"Helvetica, Arial, Liberation Sans, DejaVu Sans, \
         sans-serif\">\n<desc>{}</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
        escape(&table.title),
        escape(&table.caption),
        out.out
    )
}

/// A claim's name in a head.
fn claim_name(id: &str) -> &str {
    match id {
        "thm1" => "Thm 1, asymmetry",
        "thm2" => "Thm 2, features",
        "thm3" => "Thm 3, risks",
        "thm4" => "Thm 4, linear",
        "scaling" => "scaling of T₀–T₂",
        "mechanism" => "eq. (7), mechanism",
        other => other,
    }
}

/// `0.95 [0.94, 0.96]`: a value with its interval; `None` for a dash.
fn parse(cell: &str) -> Option<(f64, Option<[f64; 2]>)> {
    let plain = cell.replace('−', "-");
    let (value, interval) = plain.split_once(" [").map_or((&*plain, None), |(value, rest)| (value, Some(rest)));
    let interval = interval.and_then(|rest| {
        let (low, high) = rest.strip_suffix(']')?.split_once(", ")?;
        Some([low.parse().ok()?, high.parse().ok()?])
    });
    Some((value.trim().parse().ok()?, interval))
}

#[derive(Clone, Copy)]
struct Style {
    size: f64,
    bold: bool,
    fill: &'static str,
    anchor: &'static str,
    /// Degrees, clockwise.
    turn: f64,
}

const TEXT: Style = Style { size: FONT, bold: false, fill: INK, anchor: "start", turn: 0.0 };

struct Canvas {
    out: String,
}

impl Canvas {
    /// A line of text, its middle at the height of `at`.
    fn text(&mut self, text: &str, at: (f64, f64), style: Style) {
        let (x, y) = (at.0, at.1 + 0.35 * style.size);
        let turn = if style.turn == 0.0 {
            String::new()
        } else {
            format!(" transform=\"rotate({} {x:.1} {y:.1})\"", style.turn)
        };
        let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
        let mut words = String::new();
        let mut depth = 0.0;
        for (script, piece) in pieces(text) {
            let to = match script {
                Script::Normal => 0.0,
                Script::Sub => 0.24 * style.size,
                Script::Super => -0.36 * style.size,
            };
            let size = if script == Script::Normal { style.size } else { text::SCRIPT_SIZE * style.size };
            words += &format!("<tspan dy=\"{:.1}\" font-size=\"{size:.1}\">{}</tspan>", to - depth, escape(&piece));
            depth = to;
        }
        self.out += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{}\" fill=\"{}\"{weight}{turn}>{words}</text>\n",
            style.anchor, style.fill
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        self.out += &format!(
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{stroke}\" stroke-width=\"{width}\" fill=\"none\"/>\n",
            from.0, from.1, to.0, to.1
        );
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        self.out +=
            &format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>\n");
    }

    /// Disc, ring or cross.
    fn glyph(&mut self, word: &str, (x, y): (f64, f64), colour: &str) {
        match word {
            "holds" => self.out += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\" fill=\"{colour}\"/>\n"),
            "open" => {
                self.out += &format!(
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
                );
            }
            _ => {
                for side in [-4.5, 4.5] {
                    self.line((x - 4.5, y - side), (x + 4.5, y + side), colour, 2.6);
                }
            }
        }
    }

    /// A claim's verdict, and how many of its checks hold if not all do.
    fn verdict(&mut self, cell: &str, (x, y): (f64, f64)) {
        let (word, count) = cell.split_once(' ').unwrap_or((cell, ""));
        let Some((tint, colour)) = colours(word) else {
            let text = if word == "diverged" { "∞" } else { "–" };
            self.text(text, (x + 0.5 * CELL, y + 0.5 * ROW), Style { anchor: "middle", fill: SOFT, ..TEXT });
            return;
        };
        self.rect((x + 1.0, y + 1.0), (CELL - 2.0, ROW - 2.0), tint);
        let all = count.split_once('/').is_none_or(|(holding, all)| holding == all);
        let at = if all { 0.5 * CELL } else { 12.0 };
        self.glyph(word, (x + at, y + 0.5 * ROW), colour);
        if !all {
            self.text(count, (x + CELL - 4.0, y + 0.5 * ROW), Style { size: SMALL, anchor: "end", ..TEXT });
        }
    }

    /// A value on its scale, and its figures.
    fn number(&mut self, cell: &str, scale: &Scale, (x, y): (f64, f64), law: Option<f64>, reference: Option<f64>) {
        let middle = y + 0.5 * ROW;
        let Some((value, interval)) = parse(cell) else {
            self.text("–", (x + AXIS + 8.0, middle), Style { fill: SOFT, ..TEXT });
            return;
        };
        let place = |value: f64| x + AXIS * scale.place(value).clamp(0.0, 1.0);
        if let Some([low, high]) = scale.band {
            self.rect((place(low), y + 3.0), (place(high) - place(low), ROW - 6.0), "#ececec");
        }
        self.line((x, middle), (x + AXIS, middle), LINE, 1.0);
        if let Some(reference) = reference {
            self.line((place(reference), y + 2.0), (place(reference), y + ROW - 2.0), SOFT, 1.0);
        }
        if let Some(law) = law {
            let at = place(law);
            self.line((at, y + 4.0), (at, y + ROW - 4.0), "#b03a00", 2.0);
        }
        if let Some([low, high]) = interval {
            self.line((place(low), middle), (place(high), middle), INK, 2.0);
        }
        let beyond = scale.place(value);
        if (0.0..=1.0).contains(&beyond) {
            self.out += &format!("<circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"3.4\" fill=\"{INK}\"/>\n", place(value));
        } else {
            // An arrow beyond the end.
            let (tip, back) = if beyond < 0.0 { (x - 3.0, x + 4.0) } else { (x + AXIS + 3.0, x + AXIS - 4.0) };
            let (up, down) = (middle - 4.0, middle + 4.0);
            self.out += &format!("<path d=\"M{tip:.1} {middle:.1}L{back:.1} {up:.1}V{down:.1}Z\" fill=\"{INK}\"/>\n");
        }
        self.text(&figures(value), (x + AXIS + 8.0, middle), TEXT);
    }

    fn legend(&mut self, (left, y): (f64, f64)) {
        let mut x = left;
        let verdicts = [
            ("holds", "every check holds", ""),
            ("open", "some check is inconclusive, none violated; ", "4/6"),
            ("violated", "some check is violated; ", "4/6"),
        ];
        for (word, says, count) in verdicts {
            let Some((tint, colour)) = colours(word) else { continue };
            self.rect((x, y - 0.5 * ROW + 2.0), (30.0, ROW - 4.0), tint);
            self.glyph(word, (x + 15.0, y), colour);
            let says = if count.is_empty() { says.to_owned() } else { format!("{says}{count} hold") };
            self.text(&says, (x + 37.0, y), TEXT);
            x += 37.0 + text::width(&says) * FONT + 22.0;
        }
        self.text("– has features of its own", (x, y), TEXT);
        let (mut x, y) = (left, y + 30.0);
        self.line((x, y), (x + 30.0, y), INK, 2.0);
        self.out += &format!("<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.4\" fill=\"{INK}\"/>\n", x + 15.0);
        let mut entry = |canvas: &mut Self, says: &str, next: f64| {
            canvas.text(says, (x + 37.0, y), TEXT);
            x += 37.0 + text::width(says) * FONT + 22.0;
            x + next
        };
        let at = entry(self, "mean over replicates, with its interval at 95 %", 15.0);
        self.line((at, y - 9.0), (at, y + 9.0), SOFT, 1.0);
        let at = entry(self, "prediction, or (risks) the paper's setting", 15.0);
        self.line((at, y - 8.0), (at, y + 8.0), "#b03a00", 2.0);
        let at = entry(self, "balance law", 0.0);
        self.rect((at, y - 8.0), (30.0, 16.0), "#ececec");
        entry(self, "what Thms 1 and 2 ask of a neuron", 0.0);
    }
}

/// Three significant digits, two for what is small.
fn figures(value: f64) -> String {
    let digits = match value.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 0.1 => 2,
        _ => 3,
    };
    format!("{value:.digits$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 11]]) -> Table {
        let columns = ["of", "switch", "thm1", "mean-field"].into_iter().chain(NUMBERS).map(str::to_owned).collect();
        Table {
            id: ID.to_owned(),
            title: "Which <assumption> matters".to_owned(),
            caption: String::new(),
            command: String::new(),
            commit: String::new(),
            columns,
            rows: rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect(),
        }
    }

    #[test]
    fn verdicts_have_glyphs_and_numbers_places() {
        let map = table(&[
            [
                "",
                "paper",
                "holds 5/5",
                "open 3/4",
                "1.000 [1.000, 1.000]",
                "0.110",
                "0.105",
                "1.00",
                "1.0",
                "0.01",
                "0.9",
            ],
            ["loss", "x", "violated 2/5", "—", "0.5", "0.3", "0.105", "−0.2 [−0.3, −0.1]", "9.0", "1.0", "—"],
            ["loss", "y", "diverged", "diverged", "—", "—", "—", "—", "—", "—", "—"],
        ]);
        let svg = svg(&map);
        let count = |what: &str| svg.matches(what).count();
        // One filled disc and one ring, each also in the legend; one cross of two strokes there and here.
        assert_eq!((count("r=\"5.5\""), count("r=\"4.5\""), count("stroke-width=\"2.6\"")), (2, 2, 4));
        assert!(svg.contains(">3/4<") && svg.contains(">2/5<") && !svg.contains(">5/5<"));
        assert!(svg.contains("∞") && svg.contains(">−0.20<") && svg.contains("&lt;assumption&gt;"));
        // Eleven values of two rows less one dash, two of them beyond their scales, and the legend's.
        assert_eq!(count("r=\"3.4\""), 6 + 5 - 2 + 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn scales_lead_from_left_to_right() {
        let linear = Scale { from: 1.0, to: 3.0, log: false, band: None, line: None, law: None };
        assert_eq!([1.0, 2.0, 3.0, 4.0].map(|x| linear.place(x)), [0.0, 0.5, 1.0, 1.5]);
        let places = [0.2, 1.0, 5.0].map(|x| RATIO.place(x));
        assert!(places.iter().zip([0.0, 0.5, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{places:?}");
        assert_eq!(RATIO.place(0.0), f64::NEG_INFINITY);
    }

    /// What lies beyond a scale is an arrow at its end, whose tip, the first place of its path, points outward.
    #[test]
    fn values_stand_at_their_places_with_interval_and_law() {
        let drawn = |cell: &str, law: Option<f64>| {
            let scale = Scale { from: 0.0, to: 1.0, log: false, band: None, line: None, law: None };
            let mut canvas = Canvas { out: String::new() };
            canvas.number(cell, &scale, (100.0, 0.0), law, None);
            canvas.out
        };
        let middle = 0.5 * ROW;
        // A quarter of 68 units from 100 on.
        assert!(drawn("0.25", None).contains(&format!("<circle cx=\"117.0\" cy=\"{middle:.1}\"")));
        assert!(drawn("0.25 [0, 0.5]", None).contains(&format!("M100.0 {middle:.1}L134.0 {middle:.1}")));
        assert!(drawn("0.25", Some(0.75)).contains("M151.0 4.0L151.0 "));
        assert!(drawn("2", None).contains(&format!("<path d=\"M171.0 {middle:.1}L164.0 ")));
        assert!(drawn("−1", None).contains(&format!("<path d=\"M97.0 {middle:.1}L104.0 ")));
    }

    /// The red line is the balance law's column, row by row.
    #[test]
    fn the_law_of_a_row_is_its_own() {
        let row = |p_oth: &'static str, law: &'static str| {
            ["", "paper", "holds 5/5", "open 3/4", "1.000", p_oth, law, "1.00", "1.0", "0.01", "0.9"]
        };
        let lines = |p_oth, law| -> Vec<String> {
            let svg = svg(&table(&[row(p_oth, law)]));
            let red = "stroke=\"#b03a00\" stroke-width=\"2\"";
            let line = |line: &str| line.contains(red).then(|| line.split_whitespace().nth(1).unwrap().to_owned());
            svg.lines().filter_map(line).collect()
        };
        // The row's and the legend's.
        assert_eq!(lines("0.1", "0.3").len(), 2);
        assert_eq!(lines("0.1", "0.3"), lines("0.5", "0.3"));
        assert_ne!(lines("0.1", "0.3"), lines("0.1", "0.4"));
        assert_eq!(lines("0.1", "—").len(), 1);
    }

    #[test]
    fn other_tables_have_no_map() {
        let mut other = table(&[]);
        other.id = "coverage".to_owned();
        assert_eq!(svg(&other), "");
        let mut short = table(&[]);
        short.columns.truncate(5);
        assert_eq!(svg(&short), "");
    }

    #[test]
    fn cells_read_back() {
        assert_eq!(parse("0.950 [0.940, 0.960]"), Some((0.95, Some([0.94, 0.96]))));
        assert_eq!(parse("−1.5 [−2, −1]"), Some((-1.5, Some([-2.0, -1.0]))));
        assert_eq!((parse("—"), parse("diverged")), (None, None));
    }
}
