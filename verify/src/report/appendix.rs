//! The tables of the appendix: in a report's page, on a page of their own, and as CSV.

use std::path::Path;

use super::html::table as html_table;
use super::map;
use super::model::Table;
use super::text::{escape, html};
use super::{ReportError, folder};

/// The tables' names, in the order in which they are shown.
const ORDER: [&str; 7] =
    ["coverage", "quantiles", "false-alarms", "mutations", "mutations-checks", "robustness", "robustness-checks"];

/// The appendix of a report; nothing without tables.
pub(super) fn section(tables: &[Table]) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let blocks: String = tables
        .iter()
        .map(|table| {
            let stem = file_stem(table);
            block(table, &format!("series/{stem}.csv"), &format!("figures/{stem}.svg"))
        })
        .collect();
    format!(
        "<section class=\"claim\" id=\"appendix\">\n<div class=\"head\"><h2>Appendix: the instrument checked</h2></div>\n\
         <p class=\"soft\">What the intervals, the quantiles and the verdicts above are worth. These tables take longer than \
         a report, and were made apart from it, each from the commit it names.</p>\n{blocks}</section>\n"
    )
}

/// A page of tables and nothing else.
fn page(tables: &[Table]) -> String {
    let blocks: String =
        tables.iter().map(|table| block(table, &format!("{}.csv", table.id), &format!("{}.svg", table.id))).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Feature contamination: the instrument checked</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n\
         <h1>The instrument checked</h1>\n</header>\n<main>\n{blocks}</main>\n</body>\n</html>\n",
        include_str!("page.css")
    )
}

fn block(table: &Table, csv: &str, svg: &str) -> String {
    let map = if map::is_map(table) {
        format!(
            "<figure>\n<div class=\"canvas tall\" tabindex=\"0\">\n{}</div>\n<figcaption><small><a href=\"{}\">figure</a>\
             </small></figcaption>\n</figure>\n",
            map::svg(table),
            escape(svg)
        )
    } else {
        String::new()
    };
    // A column of figures stands at the right.
    let figures: Vec<bool> = (0..table.columns.len())
        .map(|column| {
            let cells = || table.rows.iter().filter_map(|row| row.get(column));
            let plain = |cell: &str| matches!(cell, "—" | "none" | "computed" | "");
            cells().all(|cell| plain(cell) || cell.parse::<f64>().is_ok()) && !cells().all(|cell| plain(cell))
        })
        .collect();
    let class = |column: usize| match figures.get(column) {
        Some(true) => " class=\"num\"",
        _ => "",
    };
    let cells = |tag: &str, cells: &[String]| -> String {
        let cell = |(column, text): (usize, &String)| format!("<{tag}{}>{}</{tag}>", class(column), html(text));
        cells.iter().enumerate().map(cell).collect()
    };
    let rows: String = table.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<h3 id=\"table-{id}\">{title}</h3>\n<p>{caption}</p>\n{map}<details{open}><summary>{count} rows</summary>\n{table}\
         </details>\n<p class=\"soft\"><a href=\"{csv}\">{csv}</a>; made by <code>cargo run --release --bin verify {command}</code> \
         at commit <code>{commit}</code></p>\n",
        id = escape(&table.id),
        title = html(&table.title),
        caption = html(&table.caption),
        open = if table.rows.len() <= 40 && map.is_empty() { " open" } else { "" },
        count = table.rows.len(),
        table = html_table(&cells("th", &table.columns), &rows),
        csv = escape(csv),
        command = escape(&table.command),
        commit = escape(&table.commit),
    )
}

/// The stem of a table's file in a report's `series/`.
pub(super) fn file_stem(table: &Table) -> String {
    format!("appendix-{}", table.id)
}

/// A table as CSV.
pub(super) fn csv(table: &Table) -> String {
    let quoted = |cell: &String| {
        if cell.contains(['"', ',', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    let line = |cells: &Vec<String>| cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    std::iter::once(&table.columns).chain(&table.rows).map(line).collect()
}

/// Writes tables into a folder, as `<id>.json` and `<id>.csv` (and `<id>.svg` for the map), and `index.html` with all tables that the folder then has.
/// Each file is replaced whole or not at all; other files are left alone.
///
/// # Errors
/// The file system refuses, or a table that is there does not read as one.
pub fn write_tables(tables: &[Table], dir: &Path) -> Result<(), ReportError> {
    for table in tables {
        let mut json = serde_json::to_string_pretty(table).map_err(|error| malformed(dir, &error))?;
        json.push('\n');
        folder::replace(&dir.join(format!("{}.json", table.id)), json.as_bytes())?;
        folder::replace(&dir.join(format!("{}.csv", table.id)), csv(table).as_bytes())?;
        if map::is_map(table) {
            folder::replace(&dir.join(format!("{}.svg", table.id)), map::svg(table).as_bytes())?;
        }
    }
    let all = read_tables(dir)?;
    folder::replace(&dir.join(super::PAGE), page(&all).as_bytes())
}

/// The tables that a folder of them has, in their order.
///
/// # Errors
/// One does not read as a table.
pub(super) fn read_tables(dir: &Path) -> Result<Vec<Table>, ReportError> {
    let mut tables = vec![];
    for id in ORDER {
        let path = dir.join(format!("{id}.json"));
        if path.exists() {
            let text = std::fs::read_to_string(&path).map_err(ReportError::io("read", &path))?;
            tables.push(serde_json::from_str(&text).map_err(|error| malformed(&path, &error))?);
        }
    }
    Ok(tables)
}

/// `saved` with each of `tables` in the place of the one of its name, or added.
pub(super) fn merged(saved: Vec<Table>, tables: Vec<Table>) -> Vec<Table> {
    let mut all: Vec<Table> =
        saved.into_iter().filter(|table| tables.iter().all(|other| other.id != table.id)).collect();
    all.extend(tables);
    all.sort_by_key(|table| ORDER.iter().position(|&id| id == table.id).unwrap_or(ORDER.len()));
    all
}

fn malformed(path: &Path, error: &serde_json::Error) -> ReportError {
    ReportError::Malformed { path: path.to_owned(), message: format!("does not read as a table: {error}") }
}

/// Writes a file whole or not at all; makes its folder if need be.
///
/// # Errors
/// The file system refuses.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    folder::replace(path, content)
}
