//! `verify bench-report`: a page on what criterion measured.

mod figures;
mod machine;
mod measurement;
mod page;
mod results;
mod torch;

use std::path::Path;

use serde::Serialize;

use crate::report::ReportError;
use crate::report::folder::{Kind, Staging};
use crate::report::model::Figure;
use crate::report::{figure, series};
use machine::{Machine, Package};
use results::{Results, Target};

const JSON: &str = "bench.json";
const SCHEMA_VERSION: u32 = 1;

/// A report on benchmarks.
const KIND: Kind = Kind { json: JSON, entries: &["index.html", "figures", JSON, "series", ".DS_Store"], kept: &[] };

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What was measured cannot be read.
    #[error("{flag}: {source}")]
    Input {
        /// The flag that names it.
        flag: &'static str,
        /// What happened.
        source: ReportError,
    },
    /// The page cannot be written.
    #[error("--out: {0}")]
    Out(ReportError),
}

/// All that the page says.
#[derive(Debug)]
struct Bench {
    results: Results,
    targets: Vec<Target>,
    figures: Vec<Figure>,
    machine: Machine,
    packages: Vec<Package>,
    /// Folders of other benchmarks.
    others: Vec<String>,
}

impl Bench {
    /// When the first and the last result were measured, seconds since 1970.
    fn span(&self) -> (u64, u64) {
        let times = self.results.measurements.iter().map(|measurement| measurement.measured_at);
        times.fold((u64::MAX, 0), |(from, to), time| (from.min(time), to.max(time)))
    }

    fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            measurement: &'a measurement::Measurement,
            fraction_of_peak: Option<f64>,
        }
        #[derive(Serialize)]
        struct Json<'a> {
            schema_version: u32,
            machine: &'a Machine,
            packages: &'a [Package],
            targets: &'a [Target],
            measurements: Vec<Row<'a>>,
            torch: Option<&'a torch::Torch>,
        }
        let row = |measurement| Row {
            measurement,
            fraction_of_peak: self.results.fraction(measurement).map(|fraction| fraction.value),
        };
        let mut json = serde_json::to_vec_pretty(&Json {
            schema_version: SCHEMA_VERSION,
            machine: &self.machine,
            packages: &self.packages,
            targets: &self.targets,
            measurements: self.results.measurements.iter().map(row).collect(),
            torch: self.results.torch.as_ref(),
        })?;
        json.push(b'\n');
        Ok(json)
    }

    fn csv(&self) -> String {
        let mut out =
            "group,function,parameter,work,median_ns,low_ns,high_ns,confidence,samples,measured_at,fraction_of_peak\n"
                .to_owned();
        for found in &self.results.measurements {
            let [low, high] = found.interval_ns;
            let fraction = self.results.fraction(found).map(|fraction| fraction.value.to_string()).unwrap_or_default();
            out.push_str(&format!(
                "{},{},{},{},{},{low},{high},{},{},{},{fraction}\n",
                found.group,
                found.function,
                found.parameter,
                found.work,
                found.median_ns,
                found.confidence,
                found.samples,
                found.measured_at
            ));
        }
        out
    }
}

/// Makes the page of a criterion folder, with what `benches/torch_step.py` wrote if that is given: `index.html`,
/// `figures/*.svg`, `bench.json`, `series/*.csv`. Returns how many targets were reached, how many not, and how many
/// were not measured.
///
/// # Errors
/// If something does not read as it should, naming the file, or if `out` is something else than an empty folder or
/// an earlier report on benchmarks. Nothing is changed then.
pub fn report(criterion: &Path, torch: Option<&Path>, out: &Path) -> Result<[usize; 3], BenchError> {
    let input = |flag| move |source| BenchError::Input { flag, source };
    let (measurements, others) = measurement::read(criterion).map_err(input("--criterion"))?;
    let torch = torch.map(torch::read).transpose().map_err(input("--torch"))?;
    let results = Results { measurements, torch };
    let bench = Bench {
        targets: results::targets(&results),
        figures: figures::all(&results),
        machine: Machine::look(),
        packages: machine::packages(),
        others,
        results,
    };
    write(&bench, out).map_err(BenchError::Out)?;
    let outcomes = || bench.targets.iter().flat_map(|target| &target.outcomes);
    Ok([Some(true), Some(false), None].map(|state| outcomes().filter(|outcome| outcome.reached == state).count()))
}

fn write(bench: &Bench, out: &Path) -> Result<(), ReportError> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for drawn in &bench.figures {
        files.push((format!("figures/{}.svg", drawn.id), figure::svg(drawn)?.into_bytes()));
        files.push((format!("series/{}.csv", drawn.id), series::write(drawn).into_bytes()));
    }
    files.push(("series/measurements.csv".to_owned(), bench.csv().into_bytes()));
    let malformed = |error: serde_json::Error| ReportError::Malformed { path: JSON.into(), message: error.to_string() };
    files.push((JSON.to_owned(), bench.json().map_err(malformed)?));
    files.push(("index.html".to_owned(), page::render(bench).into_bytes()));
    let staging = Staging::new(out, &KIND)?;
    for (name, content) in &files {
        staging.write(name, content)?;
    }
    staging.move_in()
}
