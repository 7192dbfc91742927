//! The points of a figure as CSV: columns `panel, series, x, y, lo, hi`.

use std::path::Path;

use super::ReportError;
use super::model::{Figure, Panel, Point};

const COLUMNS: [&str; 6] = ["panel", "series", "x", "y", "lo", "hi"];

/// The points of a figure's series as CSV. Panels and series go by their names; those without one, or with one that
/// came before, by a number.
pub(crate) fn write(figure: &Figure) -> String {
    let mut out = COLUMNS.join(",") + "\n";
    for (panel, panel_key) in figure.panels.iter().zip(panel_keys(figure)) {
        for (series, series_key) in panel.series.iter().zip(series_keys(panel)) {
            for Point { x, y, lo, hi } in &series.points {
                let numbers = [x, y, lo, hi].map(|x| number(*x)).join(",");
                out.push_str(&format!("{},{},{numbers}\n", quoted(&panel_key), quoted(&series_key)));
            }
        }
    }
    out
}

/// Reads the points of a figure's series back from the file that `write` made, replacing what it has.
pub(super) fn read(figure: &mut Figure, csv: &[u8], path: &Path) -> Result<(), ReportError> {
    let malformed = |message: String| ReportError::Malformed { path: path.to_owned(), message };
    let mut keys = Vec::new();
    for (panel, panel_key) in figure.panels.iter().zip(panel_keys(figure)) {
        keys.push((panel_key, series_keys(panel)));
    }
    for series in figure.panels.iter_mut().flat_map(|panel| &mut panel.series) {
        series.points.clear();
    }
    let mut rows = csv::Reader::from_reader(csv);
    let header = rows.headers().map_err(|error| malformed(error.to_string()))?;
    if header != COLUMNS.as_slice() {
        return Err(malformed(format!("the columns must be {}", COLUMNS.join(","))));
    }
    for (at, row) in rows.records().enumerate() {
        let row = row.map_err(|error| malformed(error.to_string()))?;
        let column = |i: usize| row.get(i).unwrap_or_default();
        let number = |i: usize| {
            let text = column(i).trim();
            text.parse::<f64>()
                .map_err(|_| malformed(format!("row {}, column {}: {text:?} is not a number", at + 1, COLUMNS[i])))
        };
        let panel = keys.iter().position(|(key, _)| key == column(0));
        let series = panel.and_then(|panel| keys[panel].1.iter().position(|key| key == column(1)));
        let (Some(panel), Some(series)) = (panel, series) else {
            return Err(malformed(format!(
                "row {}: report.json has no series {:?} in panel {:?} of this figure",
                at + 1,
                column(1),
                column(0)
            )));
        };
        let point = Point { x: number(2)?, y: number(3)?, lo: number(4)?, hi: number(5)? };
        figure.panels[panel].series[series].points.push(point);
    }
    Ok(())
}

fn panel_keys(figure: &Figure) -> Vec<String> {
    keys(figure.panels.iter().map(|panel| panel.title.as_str()), "panel")
}

fn series_keys(panel: &Panel) -> Vec<String> {
    keys(panel.series.iter().map(|series| series.name.as_str()), "series")
}

/// The names, made distinct.
fn keys<'a>(names: impl Iterator<Item = &'a str>, unnamed: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (i, name) in names.enumerate() {
        let name = if name.is_empty() { format!("{unnamed} {}", i + 1) } else { name.to_owned() };
        let mut key = name.clone();
        for copy in 2.. {
            if !keys.contains(&key) {
                break;
            }
            key = format!("{name} #{copy}");
        }
        keys.push(key);
    }
    keys
}

/// A number in the fewest digits that read back the same.
fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() || (1e-5..1e16).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
