//! The report: what it says ([`model`]), its figures ([`figure`]), its page ([`html`]), and the folder it is kept in.

mod appendix;
mod axis;
mod exponents;
pub mod figure;
pub(crate) mod folder;
pub mod html;
mod image;
pub mod map;
pub mod model;
mod path;
pub(crate) mod series;
pub(crate) mod text;
mod theory_page;
pub mod turned;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

pub use appendix::{write_file, write_tables};
use folder::Staging;
use model::{Figure, Report, SCHEMA_VERSION};
use serde::Deserialize;

/// What can go wrong with a report. Each message is one line that names the place and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output folder is not one that a report may replace.
    #[error("{} {reason}", path.display())]
    Occupied {
        /// The output folder.
        path: PathBuf,
        /// Why not, and what would be right.
        reason: String,
    },
    /// A file of a report does not read as one.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        message: String,
    },
    /// A report of another version.
    #[error("{}: schema_version is {found}; this program reads {SCHEMA_VERSION}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A folder of tables has none.
    #[error("{} holds no table of the instrument, such as coverage.json; `verify coverage` and its like write them", path.display())]
    NoTables {
        /// The folder.
        path: PathBuf,
    },
    /// A figure's id would not do as the name of its files.
    #[error("{}: figure id {id:?} {reason}", path.display())]
    FigureId {
        /// The file that names it.
        path: PathBuf,
        /// The id.
        id: String,
        /// What would be right.
        reason: &'static str,
    },
    /// A figure could not be drawn.
    #[error("cannot draw figure {figure:?}: {message}")]
    Draw {
        /// Its id.
        figure: String,
        /// What plotters said.
        message: String,
    },
}

impl ReportError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

const JSON: &str = "report.json";
const PAGE: &str = "index.html";
const THEORY: &str = "theory.html";
const SETTINGS: &str = "settings.toml";
const TRAJECTORIES: &str = "series/trajectories.csv";
const EXPONENTS: &str = "series/exponents.csv";

/// Writes a result folder: `index.html`, `theory.html`, `figures/*.svg`, `report.json`, `series/*.csv`, `settings.toml`.
///
/// `trajectories` is the text of `series/trajectories.csv`. The folder appears whole or not at all: it is written
/// beside its place and moved there. An earlier report is replaced; anything else that is there is left alone, and
/// missing parents are made. Non-finite predictions are left out, as are non-finite ranges of axes.
///
/// # Errors
/// If `dir` is something else than an empty folder or a report, if the file system refuses, if a figure's id is not
/// fit for a file name, or if a number that must be finite is not. Nothing is changed then.
pub fn write(report: &Report, trajectories: Option<&[u8]>, settings_toml: &str, dir: &Path) -> Result<(), ReportError> {
    let report = &without_non_finite(report);
    check_ids(report, Path::new(JSON))?;
    let malformed = |error: serde_json::Error| ReportError::Malformed { path: JSON.into(), message: error.to_string() };
    let mut json = serde_json::to_string_pretty(report).map_err(malformed)?;
    json.push('\n');
    // What is written reads back, or is not written.
    parse(&json, Path::new(JSON))?;

    let mut files: Vec<(String, Cow<[u8]>)> = Vec::new();
    for figure in figures(report) {
        files.push((format!("figures/{}.svg", figure.id), Cow::Owned(figure::svg(figure)?.into_bytes())));
        files.push((format!("series/{}.csv", figure.id), Cow::Owned(series::write(figure).into_bytes())));
    }
    for table in &report.appendix {
        if map::is_map(table) {
            files.push((
                format!("figures/{}.svg", appendix::file_stem(table)),
                Cow::Owned(map::svg(table).into_bytes()),
            ));
        }
        let name = format!("series/{}.csv", appendix::file_stem(table));
        files.push((name, Cow::Owned(appendix::csv(table).into_bytes())));
    }
    if !exponents::rows(report).is_empty() {
        files.push((EXPONENTS.to_owned(), Cow::Owned(exponents::csv(report).into_bytes())));
    }
    if let Some(trajectories) = trajectories {
        files.push((TRAJECTORIES.to_owned(), Cow::Borrowed(trajectories)));
    }
    files.push((SETTINGS.to_owned(), Cow::Borrowed(settings_toml.as_bytes())));
    files.push((JSON.to_owned(), Cow::Owned(json.into_bytes())));
    files.push((THEORY.to_owned(), Cow::Owned(theory_page::page().into_bytes())));
    files.push((PAGE.to_owned(), Cow::Owned(html::render(report, trajectories.is_some()).into_bytes())));

    let staging = Staging::new(dir, &folder::CLAIMS)?;
    for (name, content) in &files {
        staging.write(name, content)?;
    }
    staging.move_in()
}

/// Whether [`write()`] could write this folder: finds out by making and removing its temporary one.
///
/// # Errors
/// Those of [`write()`].
pub fn check_writable(dir: &Path) -> Result<(), ReportError> {
    Staging::new(dir, &folder::CLAIMS).map(drop)
}

/// Reads a result folder back: `report.json` and the figures' points from `series/*.csv`.
///
/// # Errors
/// If a file is missing or does not read as it should, naming the file.
pub fn read(dir: &Path) -> Result<Report, ReportError> {
    let path = dir.join(JSON);
    let json = std::fs::read_to_string(&path).map_err(ReportError::io("read", &path))?;
    let mut report = parse(&json, &path)?;
    check_ids(&report, &path)?;
    for figure in report.claims.iter_mut().flat_map(|claim| &mut claim.figures) {
        let path = dir.join("series").join(format!("{}.csv", figure.id));
        let csv = std::fs::read(&path).map_err(ReportError::io("read", &path))?;
        series::read(figure, &csv, &path)?;
    }
    Ok(report)
}

/// Draws the page and the figures of a result folder anew from its `report.json` and `series/*.csv`.
///
/// # Errors
/// Those of [`read`], or if the file system refuses; each file is replaced whole or not at all.
pub fn regenerate(dir: &Path) -> Result<Report, ReportError> {
    let report = read(dir)?;
    let mut files = Vec::new();
    for figure in figures(&report) {
        files.push((format!("figures/{}.svg", figure.id), figure::svg(figure)?));
    }
    for table in report.appendix.iter().filter(|table| map::is_map(table)) {
        files.push((format!("figures/{}.svg", appendix::file_stem(table)), map::svg(table)));
    }
    files.push((THEORY.to_owned(), theory_page::page()));
    files.push((PAGE.to_owned(), html::render(&report, dir.join(TRAJECTORIES).exists())));
    for (name, content) in &files {
        folder::replace(&dir.join(name), content.as_bytes())?;
    }
    Ok(report)
}

/// Puts the tables of the folder `tables` into a saved report's appendix, each in the place of the one of its name, and draws
/// the report anew. They were measured apart from it and say from which commit; everything else stays as it was.
///
/// # Errors
/// Those of [`read`] and of [`write()`], if `tables` has none, or one that does not read as a table. Nothing is changed then.
pub fn renew_appendix(dir: &Path, tables: &Path) -> Result<(), ReportError> {
    let mut report = read(dir)?;
    let new = appendix::read_tables(tables)?;
    if new.is_empty() {
        return Err(ReportError::NoTables { path: tables.to_owned() });
    }
    report.appendix = appendix::merged(report.appendix, new);
    let text = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(ReportError::io("read", &path))
    };
    let trajectories = dir.join(TRAJECTORIES).exists().then(|| text(TRAJECTORIES)).transpose()?;
    write(&report, trajectories.as_ref().map(String::as_bytes), &text(SETTINGS)?, dir)
}

fn figures(report: &Report) -> impl Iterator<Item = &Figure> {
    report.claims.iter().flat_map(|claim| &claim.figures)
}

fn parse(json: &str, path: &Path) -> Result<Report, ReportError> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
    }
    let malformed = |error: serde_json::Error| ReportError::Malformed {
        path: path.to_owned(),
        message: format!("does not read as a report: {error}"),
    };
    // The version first: another one may differ in everything else.
    let Version { schema_version } = serde_json::from_str(json).map_err(malformed)?;
    if schema_version != SCHEMA_VERSION {
        return Err(ReportError::Schema { path: path.to_owned(), found: schema_version });
    }
    serde_json::from_str(json).map_err(malformed)
}

/// The figures' ids become names of files: nothing in them may lead out of the folder, or to another's file.
fn check_ids(report: &Report, path: &Path) -> Result<(), ReportError> {
    let mut seen = vec!["trajectories"];
    for Figure { id, .. } in figures(report) {
        let reason = if !(1..=100).contains(&id.len()) {
            "must have 1 to 100 characters"
        } else if !id.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            "may have nothing but a-z, 0-9 and '-' in it"
        } else if seen.contains(&id.as_str()) || id.starts_with("appendix-") {
            "is taken already"
        } else {
            seen.push(id);
            continue;
        };
        return Err(ReportError::FigureId { path: path.to_owned(), id: id.clone(), reason });
    }
    Ok(())
}

/// The report with non-finite predictions and ranges left out: JSON could not hold them.
fn without_non_finite(report: &Report) -> Report {
    let finite = |x: &f64| x.is_finite();
    let mut report = report.clone();
    let checks = report.controls.iter_mut().flat_map(|control| &mut control.checks);
    for check in checks.chain(report.claims.iter_mut().flat_map(|claim| &mut claim.checks)) {
        check.predicted = check.predicted.filter(finite);
    }
    for claim in &mut report.claims {
        claim.predicted = claim.predicted.filter(finite);
        for panel in claim.figures.iter_mut().flat_map(|figure| &mut figure.panels) {
            for axis in [&mut panel.x, &mut panel.y] {
                axis.range = axis.range.filter(|range| range.iter().all(finite));
            }
        }
    }
    report
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
