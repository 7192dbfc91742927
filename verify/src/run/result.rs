//! What a run leaves: `series.csv`, one row a record, and `result.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use feature_contamination::Executor;

use super::checkpoint::{Origin, difference};
use super::config::{RunConfig, Sampling};
use crate::machine::cpu_name;

/// The file whose presence makes a run complete.
pub const RESULT: &str = "result.json";
/// The table of the records.
pub const SERIES: &str = "series.csv";

/// Version of `result.json` and `series.csv`.
pub const SCHEMA_VERSION: u32 = 1;

/// A column of `series.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Unit, `1` for none.
    pub unit: String,
    /// What it is.
    pub meaning: String,
}

/// `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub commit: String,
    /// Instruction set that computed.
    pub isa: String,
    /// Processor.
    pub cpu: String,
    /// Threads of the last stretch.
    pub threads: usize,
    /// How often the run was interrupted.
    pub interruptions: u64,
    /// Time of all stretches, seconds.
    pub elapsed_seconds: f64,
    /// What was computed how, in words.
    pub path: String,
    /// The seed.
    pub seed: u64,
    /// The configuration, with every rule carried out.
    pub config: RunConfig,
    /// Rows of `series.csv`.
    pub rows: u64,
    /// CRC-32 of `series.csv`, in hexadecimal.
    pub series_crc32: String,
    /// The last row by its columns' names.
    pub last: BTreeMap<String, f64>,
}

/// The columns of a run's series, by the kind of sampling alone.
pub fn columns(sampling: Sampling) -> Vec<Column> {
    let column = |(name, unit, meaning): &(&str, &str, &str)| Column {
        name: (*name).to_owned(),
        unit: (*unit).to_owned(),
        meaning: (*meaning).to_owned(),
    };
    match sampling {
        Sampling::Fresh => FRESH.iter().map(column).collect(),
        Sampling::Fixed => FIXED.iter().map(column).collect(),
    }
}

const FRESH: [(&str, &str, &str); 23] = [
    ("step", "steps", "steps taken, t"),
    ("time", "1", "ηt"),
    (
        "core_median",
        "1",
        "median over neurons of sign(a) Σ_core μ v, the core feature sum in the direction of the own label",
    ),
    ("core_q10", "1", "its 10 % quantile"),
    ("core_q90", "1", "its 90 % quantile"),
    ("background_median", "1", "median over neurons of Σ_bg μ v, the background feature sum"),
    ("background_q10", "1", "its 10 % quantile"),
    ("background_q90", "1", "its 90 % quantile"),
    ("p_own_median", "1", "median over neurons of the probability to be active on an example of the own label"),
    ("p_own_q10", "1", "its 10 % quantile"),
    ("p_own_q90", "1", "its 90 % quantile"),
    ("p_oth_median", "1", "median over neurons of the probability to be active on an example of the other label"),
    ("p_oth_q10", "1", "its 10 % quantile"),
    ("p_oth_q90", "1", "its 90 % quantile"),
    ("id_risk", "1", "mean hinge loss in distribution, on fresh examples"),
    ("id_accuracy", "1", "fraction of them on the right side"),
    ("id_margin", "1", "their mean margin y h"),
    ("ood_risk", "1", "mean hinge loss with the shifted background"),
    ("ood_accuracy", "1", "fraction of these on the right side"),
    ("ood_margin", "1", "their mean margin y h"),
    ("active_fraction", "1", "fraction of the step's batch with an active hinge, y h < 1"),
    ("max_abs_core", "1", "greatest |v| of a core feature"),
    ("max_abs_background", "1", "greatest |v| of a background feature"),
];

const FIXED: [(&str, &str, &str); 5] = [
    ("step", "steps", "steps taken"),
    ("train_loss", "1", "mean loss over the training examples before the last step; at step 0 before any"),
    ("test_loss", "1", "mean loss over the test examples, whose background is shifted"),
    (
        "core_norm",
        "1",
        "mean over first-layer neurons of the norm of the weights' part in the span of the core features",
    ),
    ("background_norm", "1", "the same in the span of the background features"),
];

/// Whether a folder has a complete run.
pub fn is_complete(folder: &Path) -> bool {
    folder.join(RESULT).is_file()
}

impl RunResult {
    /// The result of a series, not interrupted and in no time.
    pub(super) fn of(
        origin: &Origin,
        config: RunConfig,
        executor: Executor,
        threads: usize,
        path: String,
        series: &Series,
    ) -> Self {
        let last = series.rows.last().cloned().unwrap_or_default();
        Self {
            schema_version: SCHEMA_VERSION,
            version: origin.version.clone(),
            commit: origin.commit.clone(),
            isa: executor.isa().to_string(),
            cpu: cpu_name(),
            threads,
            interruptions: 0,
            elapsed_seconds: 0.0,
            path,
            seed: origin.seed,
            config,
            rows: series.rows.len() as u64,
            series_crc32: format!("{:08x}", crc32fast::hash(series.csv().as_bytes())),
            last: series.columns.iter().cloned().zip(last).collect(),
        }
    }

    pub(super) fn after(self, interruptions: u64, elapsed_seconds: f64) -> Self {
        Self { interruptions, elapsed_seconds, ..self }
    }

    /// The text of the file.
    pub(super) fn json(&self) -> String {
        // A struct of finite numbers and strings to memory has no way to fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether it is that of a run's configuration and seed.
    pub(super) fn is_of(&self, origin: &Origin) -> Result<(), String> {
        let config = self.config.canonical().map_err(|error| format!("has a configuration that is none: {error}"))?;
        if let Some(difference) = difference(&origin.config, &config) {
            return Err(format!("is of another configuration: {difference}; name another folder"));
        }
        if self.seed != origin.seed {
            return Err(format!(
                "is of seed {}, and this run has seed {}; name another folder",
                self.seed, origin.seed
            ));
        }
        Ok(())
    }

    /// `<folder>/result.json`.
    ///
    /// # Errors
    /// It cannot be read, or is no result of this version, in one line that names it.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(RESULT);
        let name = path.display();
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {name}: {error}"))?;
        Self::parse(&text).map_err(|message| format!("{name}: {message}"))
    }

    /// The result that a text says.
    ///
    /// # Errors
    /// It is no result of this version, as the end of a line that begins with the file's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let malformed = |error: serde_json::Error| format!("does not read as a result: {error}");
        // The version first: another one may differ in everything else.
        let Version { schema_version } = serde_json::from_str(text).map_err(malformed)?;
        if schema_version != SCHEMA_VERSION {
            return Err(format!("schema_version is {schema_version}; this program reads {SCHEMA_VERSION}"));
        }
        serde_json::from_str(text).map_err(malformed)
    }

    /// `<folder>/series.csv`, as this result says that it is.
    ///
    /// # Errors
    /// It cannot be read, or is not the one that was written with the result, in one line that names it.
    pub fn series(&self, folder: &Path) -> Result<Series, String> {
        let path = folder.join(SERIES);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let found = format!("{:08x}", crc32fast::hash(&bytes));
        if found != self.series_crc32 {
            let expected = &self.series_crc32;
            return Err(format!("{}: its CRC-32 is {found}, and {RESULT} says {expected}", path.display()));
        }
        Series::parse(&bytes).map_err(|message| format!("{}: {message}", path.display()))
    }
}

/// A table of records.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, in the order of steps.
    pub rows: Vec<Vec<f64>>,
}

impl Series {
    /// The records of a run.
    pub(super) fn of(sampling: Sampling, rows: Vec<Vec<f64>>) -> Self {
        Self { columns: columns(sampling).into_iter().map(|column| column.name).collect(), rows }
    }

    /// The table as CSV, every number in the fewest digits that read back the same.
    pub fn csv(&self) -> String {
        let mut text = self.columns.join(",") + "\n";
        for row in &self.rows {
            let numbers: Vec<String> = row.iter().map(|x| number(*x)).collect();
            text += &(numbers.join(",") + "\n");
        }
        text
    }

    /// The table that [`Series::csv`] wrote.
    ///
    /// # Errors
    /// A row or number that is none.
    pub fn parse(csv: &[u8]) -> Result<Self, String> {
        let mut reader = csv::Reader::from_reader(csv);
        let columns: Vec<String> =
            reader.headers().map_err(|error| error.to_string())?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for (index, record) in reader.records().enumerate() {
            let record = record.map_err(|error| error.to_string())?;
            let number =
                |text: &str| text.parse::<f64>().map_err(|_| format!("row {}: {text:?} is not a number", index + 1));
            rows.push(record.iter().map(number).collect::<Result<_, _>>()?);
        }
        Ok(Self { columns, rows })
    }
}

/// A number in the fewest digits that read back the same.
pub(crate) fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() || (1e-5..1e16).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}
