//! `verify sweep merge`: one table of all results, the same bytes whoever carried out what, where and in which order.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SweepError;
use super::grid;
use super::manifest::{Manifest, Run, folder};
use super::npz::{self, Array};
use super::state::State;
use super::status::states;
use crate::parallel::parallel;
use crate::report;
use crate::run::{Column, Plan, RunConfig, RunResult, Sampling, Series, columns, number};
use crate::settings::Rate;

/// Version of the sidecar.
const SCHEMA_VERSION: u32 = 1;
/// What tells a sidecar from somebody else's file.
const KIND: &str = "merged sweep";

/// The JSON beside a merged table: units, meaning, and where it came from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sidecar {
    /// [`SCHEMA_VERSION`].
    schema_version: u32,
    /// [`KIND`].
    kind: String,
    /// Runs in the table.
    pub runs: usize,
    /// Runs of the sweep.
    pub planned: usize,
    /// Runs that have no result, with their states.
    pub missing: Vec<Missing>,
    /// Columns of the CSV: one row a run.
    pub columns: Vec<Column>,
    /// Arrays of the `.npz`, all of one length: one entry a record.
    pub arrays: Vec<Column>,
    /// Versions of the program that made the results, and how many each.
    pub versions: BTreeMap<String, usize>,
    /// Commits that it was built from.
    pub commits: BTreeMap<String, usize>,
    /// Instruction sets that computed.
    pub isas: BTreeMap<String, usize>,
    /// What does not vary, as in the sweep's file.
    pub base: toml::Table,
}

/// A run without a result.
#[derive(Debug, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    id: String,
    /// Its state.
    state: String,
    /// Why, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The columns that every table has, before those that are observed. `C = Σ_core μ²`, `B = Σ_bg μ²`.
const PARAMETERS: [(&str, &str); 5] = [
    ("d0", "features, d_core + d_bg"),
    ("c", "C, the sum of squared means of the core features; empty for a fixed set"),
    ("b", "B, the sum of squared means of the background features; empty for a fixed set"),
    ("learning_rate", "the step size eta, its rule carried out"),
    ("weight_decay", "the weight decay lambda, its rule carried out"),
];

/// What every run of a point has in common.
struct Point {
    config: RunConfig,
    parameters: [f64; 5],
}

impl Point {
    fn of(manifest: &Manifest, index: usize) -> Result<Self, SweepError> {
        let wrong = |error: feature_contamination::SpecError| SweepError::Point(error.to_string());
        let config = manifest.config(index)?.resolved().map_err(wrong)?;
        let (d0, c, b) = match config.plan(manifest.seeds[0]).map_err(wrong)? {
            Plan::Fresh(spec) => (spec.data.d0(), spec.data.c(), spec.data.b()),
            Plan::Fixed(spec) => (spec.d_core + spec.d_bg, f64::NAN, f64::NAN),
        };
        let fixed = |rate| match rate {
            Rate::Fixed(rate) => rate,
            Rate::Rule(_) => f64::NAN,
        };
        let rates = (fixed(config.optimizer.learning_rate), fixed(config.optimizer.weight_decay));
        Ok(Self { parameters: [d0 as f64, c, b, rates.0, rates.1], config })
    }
}

/// Merges a sweep's results into `out`, a `.csv`, with `.npz` and `.json` beside it.
///
/// # Errors
/// Runs have no result and `partial` is not set, a result is not its folder's, or a file cannot be read or written.
pub fn merge(
    dir: &Path,
    manifest: &Manifest,
    out: &Path,
    partial: bool,
    threads: usize,
) -> Result<Sidecar, SweepError> {
    let [csv_name, npz_name, json_name] = names(out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    check_sidecar(&parent.join(&json_name))?;
    let (complete, missing): (Vec<_>, Vec<_>) =
        states(dir, manifest)?.into_iter().partition(|(_, state)| *state == State::Complete);
    if !missing.is_empty() && (!partial || complete.is_empty()) {
        return Err(incomplete(dir, manifest, &missing, partial));
    }
    let complete: Vec<Run<'_>> = complete.into_iter().map(|(run, _)| run).collect();

    let points = parallel(manifest.points.len(), threads, |index| Point::of(manifest, index));
    let points: Vec<Point> = points.into_iter().collect::<Result<_, _>>()?;
    let results = parallel(complete.len(), threads, |index| {
        let run = complete[index];
        read(&folder(dir, run.id), run, &points[run.point])
    });
    let results: Vec<_> = results.into_iter().collect::<Result<_, _>>()?;

    // The columns of whatever kinds of run there are, each once.
    let mut observed: Vec<Column> = vec![];
    for sampling in [Sampling::Fresh, Sampling::Fixed] {
        if complete.iter().any(|run| points[run.point].config.model.sampling == sampling) {
            let new = columns(sampling).into_iter().filter(|new| observed.iter().all(|old| old.name != new.name));
            let new: Vec<Column> = new.collect();
            observed.extend(new);
        }
    }
    let sidecar = Sidecar {
        schema_version: SCHEMA_VERSION,
        kind: KIND.to_owned(),
        runs: complete.len(),
        planned: manifest.ids.len(),
        missing: missing.into_iter().map(|(run, state)| Missing::of(run, state)).collect(),
        columns: table_columns(manifest, &observed),
        arrays: array_columns(&observed),
        versions: counts(results.iter().map(|(result, _)| &result.version)),
        commits: counts(results.iter().map(|(result, _)| &result.commit)),
        isas: counts(results.iter().map(|(result, _)| &result.isa)),
        base: manifest.base().clone(),
    };
    let table = table(manifest, &complete, &points, &results, &sidecar.columns)?;
    let arrays = arrays(&results, &observed)?;
    let json = serde_json::to_string_pretty(&sidecar).unwrap_or_default() + "\n";
    for (name, content) in [(csv_name, table), (npz_name, arrays), (json_name, json.into_bytes())] {
        report::write_file(&parent.join(name), &content).map_err(SweepError::Out)?;
    }
    Ok(sidecar)
}

/// `[FILE.csv, FILE.npz, FILE.json]`.
fn names(out: &Path) -> Result<[String; 3], SweepError> {
    let name = |path: PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    let names = match out.extension() {
        Some(extension) if extension == "csv" => {
            [name(out.to_owned()), name(out.with_extension("npz")), name(out.with_extension("json"))]
        }
        _ => [None, None, None],
    };
    match names {
        [Some(csv), Some(npz), Some(json)] => Ok([csv, npz, json]),
        _ => Err(SweepError::Usage(format!("--out {}: must end in .csv", out.display()))),
    }
}

/// The sidecar replaces a sidecar and nothing else: `--out DIR/manifest.csv` would have it replace the manifest.
fn check_sidecar(path: &Path) -> Result<(), SweepError> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SweepError::io("read", path)(error)),
        Ok(text) if serde_json::from_slice::<Kind>(&text).is_ok_and(|json| json.kind == KIND) => Ok(()),
        Ok(_) => Err(SweepError::File(format!(
            "{}: would be replaced, and is not what a merge left; give another --out",
            path.display()
        ))),
    }
}

fn incomplete(dir: &Path, manifest: &Manifest, missing: &[(Run<'_>, State)], partial: bool) -> SweepError {
    let counts: Vec<String> = State::NAMES
        .iter()
        .enumerate()
        .map(|(place, name)| (missing.iter().filter(|(_, state)| state.place() == place).count(), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let advice = match partial {
        true => "there is nothing to merge yet",
        false => "verify sweep status lists them, --partial merges the others",
    };
    SweepError::File(format!(
        "{}: {} of {} runs have no result ({}); {advice}",
        dir.display(),
        missing.len(),
        manifest.ids.len(),
        counts.join(", ")
    ))
}

impl Missing {
    fn of(run: Run<'_>, state: State) -> Self {
        let name = State::NAMES[state.place()].to_owned();
        let reason = match state {
            State::Failed { reason } => Some(reason),
            _ => None,
        };
        Self { id: run.id.to_owned(), state: name, reason }
    }
}

/// A run's result and its records, if they are this run's.
fn read(folder: &Path, run: Run<'_>, point: &Point) -> Result<(RunResult, Series), SweepError> {
    let result = RunResult::read(folder).map_err(SweepError::File)?;
    if result.seed != run.seed || result.config != point.config {
        return Err(SweepError::File(format!("{}: has the result of another run", folder.display())));
    }
    let series = result.series(folder).map_err(SweepError::File)?;
    Ok((result, series))
}

fn counts<'s>(names: impl Iterator<Item = &'s String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name.clone()).or_default() += 1);
    counts
}

fn column(name: &str, unit: &str, meaning: &str) -> Column {
    Column { name: name.to_owned(), unit: unit.to_owned(), meaning: meaning.to_owned() }
}

fn table_columns(manifest: &Manifest, observed: &[Column]) -> Vec<Column> {
    let mut all = vec![
        column("run", "", "the run's name, and that of its folder in runs/"),
        column("seed", "1", "seed of the run"),
    ];
    all.extend(
        manifest.fields.iter().map(|field| column(field, "", "varied: the field of this name in the sweep's file")),
    );
    all.extend(PARAMETERS.iter().map(|(name, meaning)| column(name, "1", meaning)));
    all.extend(
        observed
            .iter()
            .map(|observed| Column { meaning: format!("at the end: {}", observed.meaning), ..observed.clone() }),
    );
    all
}

fn array_columns(observed: &[Column]) -> Vec<Column> {
    let mut all = vec![column("row", "1", "row of the run in the CSV, from 0")];
    all.extend(observed.iter().cloned());
    all
}

/// The CSV: one row a run, its observables at the end.
fn table(
    manifest: &Manifest,
    runs: &[Run<'_>],
    points: &[Point],
    results: &[(RunResult, Series)],
    columns: &[Column],
) -> Result<Vec<u8>, SweepError> {
    let failed = |error: csv::Error| SweepError::File(format!("the table: {error}"));
    let mut csv = csv::Writer::from_writer(vec![]);
    csv.write_record(columns.iter().map(|column| &column.name)).map_err(failed)?;
    let observed = &columns[2 + manifest.fields.len() + PARAMETERS.len()..];
    for (run, (result, _)) in runs.iter().zip(results) {
        let mut row = vec![run.id.to_owned(), run.seed.to_string()];
        row.extend(manifest.points[run.point].iter().map(grid::text));
        row.extend(points[run.point].parameters.map(cell));
        row.extend(observed.iter().map(|column| result.last.get(&column.name).copied().map_or_else(String::new, cell)));
        csv.write_record(row).map_err(failed)?;
    }
    csv.into_inner().map_err(|error| failed(error.into_error().into()))
}

/// A number, or nothing if there is none.
fn cell(x: f64) -> String {
    if x.is_nan() { String::new() } else { number(x) }
}

/// The `.npz`: one entry a record of any run.
fn arrays(results: &[(RunResult, Series)], observed: &[Column]) -> Result<Vec<u8>, SweepError> {
    let total = results.iter().map(|(_, series)| series.rows.len()).sum();
    let mut rows: Vec<i64> = Vec::with_capacity(total);
    for (row, (_, series)) in results.iter().enumerate() {
        rows.extend(std::iter::repeat_n(row as i64, series.rows.len()));
    }
    let mut floats: Vec<Vec<f64>> = vec![];
    for column in observed {
        let mut values = Vec::with_capacity(total);
        for (_, series) in results {
            match series.columns.iter().position(|name| *name == column.name) {
                Some(place) => values.extend(series.rows.iter().map(|row| row.get(place).copied().unwrap_or(f64::NAN))),
                None => values.extend(std::iter::repeat_n(f64::NAN, series.rows.len())),
            }
        }
        floats.push(values);
    }
    let mut arrays = vec![("row", Array::Integers(&rows))];
    arrays.extend(observed.iter().zip(&floats).map(|(column, values)| (column.name.as_str(), Array::Floats(values))));
    let mut archive = Cursor::new(vec![]);
    npz::write(&mut archive, &arrays).map_err(|error| SweepError::File(format!("the series: {error}")))?;
    Ok(archive.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::run::SCHEMA_VERSION;
    use crate::sweep::grid::Sweep;

    fn manifest(text: &str) -> Manifest {
        Manifest::plan(Sweep::parse(text).unwrap()).unwrap().manifest
    }

    #[test]
    fn parameters_are_under_their_names() {
        let of = |text: &str| Point::of(&manifest(text), 0).unwrap().parameters.map(cell);
        let sizes = "[model]\nd_core = 8\nd_bg = 4\n[optimizer]\nlearning_rate = 0.5\nweight_decay = 0.125\n";
        // Means of 1/2: C = 8/4 and B = 4/4.
        assert_eq!(of(&format!("{sizes}[grid]")), ["12", "2", "1", "0.5", "0.125"]);
        let fixed = sizes.replace("[model]", "[model]\nsampling = \"fixed\"");
        assert_eq!(of(&format!("{fixed}[grid]")), ["12", "", "", "0.5", "0.125"]);
        assert_eq!(PARAMETERS.map(|(name, _)| name), ["d0", "c", "b", "learning_rate", "weight_decay"]);
    }

    /// A run of some records, all of which have a number of the run's own.
    fn result(sampling: Sampling, own: f64, records: usize) -> (RunResult, Series) {
        let columns: Vec<String> = columns(sampling).into_iter().map(|column| column.name).collect();
        let rows = (0..records).map(|step| vec![own + step as f64; columns.len()]).collect();
        let result = RunResult {
            schema_version: SCHEMA_VERSION,
            version: String::new(),
            commit: String::new(),
            isa: String::new(),
            cpu: String::new(),
            threads: 1,
            interruptions: 0,
            elapsed_seconds: 0.0,
            path: String::new(),
            seed: 1,
            config: RunConfig::parse("").unwrap(),
            rows: records as u64,
            series_crc32: String::new(),
            last: BTreeMap::new(),
        };
        (result, Series { columns, rows })
    }

    /// Every record beside the number of its run's row in the table, counted from 0; nothing where a run has no such column.
    #[test]
    fn records_are_beside_their_runs_rows() {
        let results =
            [result(Sampling::Fresh, 100.0, 3), result(Sampling::Fixed, 200.0, 1), result(Sampling::Fresh, 300.0, 2)];
        let observed = [column("step", "", ""), column("ood_risk", "", ""), column("test_loss", "", "")];
        let bytes = arrays(&results, &observed).unwrap();
        let vector = |name: &str| {
            let (mut array, mut archive) = (vec![], zip::ZipArchive::new(Cursor::new(&bytes)).unwrap());
            archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut array).unwrap();
            let header = 10 + usize::from(u16::from_le_bytes([array[8], array[9]]));
            array[header..].as_chunks::<8>().0.to_vec()
        };
        let floats = |name: &str| -> Vec<String> {
            vector(name).into_iter().map(|entry| cell(f64::from_le_bytes(entry))).collect()
        };
        assert_eq!(vector("row"), [0i64, 0, 0, 1, 2, 2].map(i64::to_le_bytes));
        assert_eq!(floats("step"), ["100", "101", "102", "200", "300", "301"]);
        assert_eq!(floats("ood_risk"), ["100", "101", "102", "", "300", "301"]);
        assert_eq!(floats("test_loss"), ["", "", "", "200", "", ""]);
    }
}
