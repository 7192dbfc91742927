//! What a report says: the types behind `report.json` and `series/*.csv`, the input of every page and figure.

use serde::{Deserialize, Serialize};

/// Version of `report.json`; raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The outcome of a claim or of one of its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The interval lies inside what the claim allows.
    Holds,
    /// The interval lies outside of it.
    Violated,
    /// The interval straddles the bound, or an assumption is not met.
    Inconclusive,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// A whole report: `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the profile, or of the configuration file's own.
    pub profile: String,
    /// Seed of the whole report.
    pub seed: u64,
    /// Commit that the program was built from, `-dirty` appended if the tree was changed; "unknown" outside a checkout.
    pub commit: String,
    /// The machine.
    pub host: Host,
    /// Wall-clock time of plan, simulation and judging, in seconds.
    pub elapsed_seconds: f64,
    /// The claims, in order.
    pub claims: Vec<ClaimReport>,
    /// The controls, in order.
    pub controls: Vec<ControlReport>,
    /// How the instrument itself was checked: tables of its own, measured apart from this report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appendix: Vec<Table>,
}

impl Report {
    /// Whether every claim holds and every control was caught.
    pub fn is_green(&self) -> bool {
        self.claims.iter().all(|claim| claim.verdict == Verdict::Holds)
            && self.controls.iter().all(|control| control.caught)
    }
}

/// A table of the appendix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// File stem of `appendix/<id>.csv`.
    pub id: String,
    /// Title.
    pub title: String,
    /// What it shows and how to read it.
    pub caption: String,
    /// The command that makes it.
    pub command: String,
    /// Commit that it was made from.
    pub commit: String,
    /// Heads of the columns, with units.
    pub columns: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
}

/// The machine a report was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Processor's name.
    pub cpu: String,
    /// Instruction set the kernels used.
    pub isa: String,
    /// Worker threads.
    pub threads: usize,
}

/// One claim, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimReport {
    /// Short name, as `--claim` takes it.
    pub id: String,
    /// Title.
    pub title: String,
    /// Where it comes from: `Paper: Thm 1 (activation asymmetry)` or `Derived: …`.
    pub source: String,
    /// The statement, in words and Unicode formulas.
    pub statement: String,
    /// Verdict of the whole claim: the worst of its checks, *inconclusive* if an assumption is not met.
    pub verdict: Verdict,
    /// Measured value of the deciding check: the worst verdict, and among equals the smallest relative margin.
    #[serde(with = "number")]
    pub measured: f64,
    /// Its predicted value, where theory has one.
    pub predicted: Option<f64>,
    /// Its confidence interval.
    #[serde(with = "numbers")]
    pub interval: [f64; 2],
    /// Its margin: distance from the interval to the nearest bound, positive inside.
    #[serde(with = "number")]
    pub margin: f64,
    /// Every check, the deciding one among them.
    pub checks: Vec<Check>,
    /// What the claim assumes.
    pub assumptions: Vec<Assumption>,
    /// The runs it was judged on.
    pub runs: Vec<RunSummary>,
    /// The tasks it was judged on, if it is a study.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskSummary>,
    /// Its figures.
    pub figures: Vec<Figure>,
}

/// One check of a claim: an interval against bounds that were stated in advance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is measured.
    pub quantity: String,
    /// `Paper: …` or `Derived: …`.
    pub source: String,
    /// Outcome.
    pub verdict: Verdict,
    /// Point estimate.
    #[serde(with = "number")]
    pub measured: f64,
    /// What theory says it is, where it says so.
    pub predicted: Option<f64>,
    /// Confidence interval (a sure quantity: twice the value).
    #[serde(with = "numbers")]
    pub interval: [f64; 2],
    /// Confidence level of the interval, in `(0, 1]`; 1 for a sure quantity.
    pub confidence: f64,
    /// The check holds if the interval lies within these bounds.
    #[serde(with = "numbers")]
    pub accept: [f64; 2],
    /// The check is violated if the interval misses these bounds, which lie within `accept`.
    #[serde(with = "numbers")]
    pub tolerate: [f64; 2],
    /// Distance from the interval to the nearest bound of `accept`, positive inside; infinite for none.
    #[serde(with = "number")]
    pub margin: f64,
    /// Why the bounds are what they are.
    pub reason: String,
}

/// An assumption of a claim and whether the runs meet it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumption {
    /// What is assumed, with the figures it was checked against.
    pub text: String,
    /// Whether the runs meet it.
    pub met: bool,
}

/// The parameters of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Name of the run, a hash of its parameters; the key into `series/trajectories.csv`.
    pub id: String,
    /// Ladder it stands on: the factor that varies.
    pub ladder: String,
    /// Seed.
    pub seed: u64,
    /// Number of core features.
    pub d_core: usize,
    /// Number of background features.
    pub d_bg: usize,
    /// Ambient dimension.
    pub d: u64,
    /// Number of neurons.
    pub m: usize,
    /// Activation function.
    pub activation: String,
    /// Batch size.
    pub batch: usize,
    /// Step size η.
    pub learning_rate: f64,
    /// Weight decay λ.
    pub weight_decay: f64,
    /// Steps taken.
    pub steps: u64,
    /// Fresh evaluation examples at each record.
    pub eval_samples: usize,
    /// `C = Σ_core μ²`.
    pub c: f64,
    /// `B = Σ_bg μ²`.
    pub b: f64,
}

/// The parameters of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSummary {
    /// Name of the task, a hash of its kind and parameters.
    pub id: String,
    /// Ladder it stands on: the factor that varies.
    pub ladder: String,
    /// What was done.
    pub kind: String,
    /// With which parameters.
    pub parameters: serde_json::Value,
}

/// One control: a run whose claim must come out violated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlReport {
    /// Short name.
    pub id: String,
    /// The claim that it controls.
    pub claim: String,
    /// What was changed.
    pub change: String,
    /// Always *violated*.
    pub expected: Verdict,
    /// What the claim's checks said.
    pub verdict: Verdict,
    /// Whether that is what was expected.
    pub caught: bool,
    /// The claim's checks on the changed runs.
    pub checks: Vec<Check>,
}

/// A figure: panels side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// File stem of `figures/<id>.svg` and `series/<id>.csv`.
    pub id: String,
    /// Title.
    pub title: String,
    /// What to see in it.
    pub caption: String,
    /// One or more coordinate systems.
    pub panels: Vec<Panel>,
}

/// A coordinate system with its series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Title, empty for none.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What is drawn, later over earlier.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Label with unit.
    pub label: String,
    /// Logarithmic or linear.
    pub log: bool,
    /// Range, from the data where `None`.
    pub range: Option<[f64; 2]>,
    /// Names of the places 0, 1, … of a horizontal axis that has no numbers. It is then drawn downwards, and the vertical
    /// one along the bottom, so that the names can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Markers, with error bars where `lo < hi`.
    Points,
    /// Small markers without error bars, for clouds of hundreds.
    Cloud,
    /// Solid line.
    Line,
    /// Dashed line: predictions.
    Dashed,
    /// Dotted line: bounds and thresholds.
    Dotted,
    /// Area between `lo` and `hi`.
    Band,
    /// An image in greys: a point a pixel, `x` its column, `y` its row from above, `lo` its value, high ones dark. A panel that
    /// begins with an image is a row of them, each with its name below; its vertical axis is the scale of the values.
    Greys,
    /// An image in two colours that part at 0.
    Signed,
}

impl Mark {
    /// Whether the series is an image.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Greys | Self::Signed)
    }
}

/// One series of a panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name in the legend, empty to leave it out of there.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Index into the palette; measurement and its prediction share one.
    pub color: usize,
    /// Points, kept in `series/<figure>.csv`.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// A point of a series. Non-finite values are left out of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Abscissa.
    pub x: f64,
    /// Ordinate.
    pub y: f64,
    /// Lower end of its interval; `y` for none.
    pub lo: f64,
    /// Upper end of its interval; `y` for none.
    pub hi: f64,
}

impl Point {
    /// A point without an interval.
    pub fn at(x: f64, y: f64) -> Self {
        Self { x, y, lo: y, hi: y }
    }

    /// A pixel of an image.
    pub fn pixel(column: usize, row: usize, value: f64) -> Self {
        Self { x: column as f64, y: row as f64, lo: value, hi: value }
    }
}

pub(crate) mod number {
    //! A number in JSON, with the infinities as strings: JSON has none.
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Number {
        Finite(f64),
        Name(String),
    }

    impl From<f64> for Number {
        fn from(x: f64) -> Self {
            if x.is_finite() { Self::Finite(x) } else { Self::Name(x.to_string()) }
        }
    }

    impl Number {
        pub(super) fn value<E: Error>(self) -> Result<f64, E> {
            match self {
                Self::Finite(x) => Ok(x),
                Self::Name(name) => name.parse().map_err(|_| E::custom(format!("{name:?} is not a number"))),
            }
        }
    }

    pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Number::from(*x).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Number::deserialize(deserializer)?.value()
    }
}

pub(crate) mod numbers {
    //! A pair of numbers in JSON; see [`super::number`].
    use super::number::Number;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(pair: &[f64; 2], serializer: S) -> Result<S::Ok, S::Error> {
        pair.map(Number::from).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
        let [low, high] = <[Number; 2]>::deserialize(deserializer)?;
        Ok([low.value()?, high.value()?])
    }
}
