//! What criterion leaves: `<group>/<function>/<parameter>/new/{benchmark,estimates,sample}.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::report::ReportError;

/// What a unit of a group's work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// `factor` floating-point operations for each element of the product of the shape's three sizes.
    Flop(u64),
    /// Floating-point operations; the parameter is the element type.
    Peak,
    /// Numbers drawn.
    Numbers,
}

/// A criterion group of this project.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) work: Work,
}

/// The groups that the page shows, in its order.
pub(super) const GROUPS: [Group; 9] = [
    Group { id: "gemm_f32_1t", title: "Dense product, f32, one thread", work: Work::Flop(2) },
    Group { id: "gemm_f32_2t", title: "Dense product, f32, two threads", work: Work::Flop(2) },
    Group { id: "gemm_f64_1t", title: "Dense product, f64, one thread", work: Work::Flop(2) },
    Group { id: "forward_1t", title: "Forward pass, one thread", work: Work::Flop(2) },
    Group { id: "backward_1t", title: "Backward pass, one thread", work: Work::Flop(2) },
    Group { id: "step_1t", title: "Step of training, one thread", work: Work::Flop(4) },
    Group { id: "step_2t", title: "Step of training, two threads", work: Work::Flop(4) },
    Group { id: "rng_1t", title: "Drawing uniform numbers, one thread", work: Work::Numbers },
    Group { id: "peak_1t", title: "Peak of a core", work: Work::Peak },
];

/// The sizes that a parameter names: `1024x256x64`, `256x64x4096T`, `4096x64x1024-10pct`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    /// A is stored transposed.
    pub(super) transposed: bool,
    /// Product of the sizes.
    pub(super) volume: u64,
    /// The sizes.
    pub(super) sizes: Vec<u64>,
    /// Active examples in percent.
    pub(super) percent: u64,
}

impl Shape {
    /// The shape that a parameter names; `None` if it names none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, percent) = match text.split_once('-') {
            None => (text, 100),
            Some((text, part)) => {
                let percent = part.strip_suffix("pct")?.parse().ok().filter(|percent| (1..100).contains(percent))?;
                (text, percent)
            }
        };
        let (text, transposed) = text.strip_suffix('T').map_or((text, false), |text| (text, true));
        let digits = |size: &str| !size.is_empty() && size.bytes().all(|c| c.is_ascii_digit());
        let size = |size: &str| size.parse::<u64>().ok().filter(|&value| value > 0 && digits(size));
        let sizes: Vec<u64> = text.split('x').map(size).collect::<Option<_>>()?;
        let volume = sizes.iter().try_fold(1u64, |volume, size| volume.checked_mul(*size))?;
        ((2..=3).contains(&sizes.len()) && volume < 1 << 50).then_some(Self { transposed, volume, sizes, percent })
    }
}

/// One benchmark's result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Measurement {
    /// Criterion group.
    pub(super) group: String,
    /// Function of the group: whose code it is.
    pub(super) function: String,
    /// Parameter: the shape.
    pub(super) parameter: String,
    /// Work of one call: floating-point operations, in `rng_1t` numbers.
    pub(super) work: u64,
    /// Median time of a call, nanoseconds.
    pub(super) median_ns: f64,
    /// Its confidence interval, nanoseconds.
    pub(super) interval_ns: [f64; 2],
    /// Confidence level of the interval.
    pub(super) confidence: f64,
    /// Samples that the median is of.
    pub(super) samples: usize,
    /// When it was measured, seconds since 1970 (UTC): the time of its file.
    pub(super) measured_at: u64,
}

impl Measurement {
    /// Work a nanosecond, `10⁹` of it a second: GFLOP/s.
    pub(super) fn rate(&self) -> f64 {
        self.work as f64 / self.median_ns
    }
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    confidence_level: f64,
    lower_bound: f64,
    upper_bound: f64,
}

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// Reads a criterion folder: the results of the groups of this project, by group, function and shape; and the names of
/// folders in it that hold other things.
///
/// # Errors
/// If there is no result in it, or if one does not read as it should, naming the file.
pub(super) fn read(dir: &Path) -> Result<(Vec<Measurement>, Vec<String>), ReportError> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (group_name, group_path) in folders(dir)? {
        let Some(group) = GROUPS.iter().find(|group| group.id == group_name) else {
            // Criterion's own overview, where it is switched on.
            if group_name != "report" {
                others.push(group_name);
            }
            continue;
        };
        for (function, function_path) in folders(&group_path)? {
            if function == "report" {
                continue;
            }
            for (parameter, path) in folders(&function_path)? {
                if parameter != "report" {
                    found.push(measurement(group, &function, &parameter, &path.join("new"))?);
                }
            }
        }
    }
    if found.is_empty() {
        let message = "holds no results of this project's benchmarks; `cargo bench` makes them".to_owned();
        return Err(ReportError::Malformed { path: dir.to_owned(), message });
    }
    found.sort_by_key(|measurement: &Measurement| {
        let group = GROUPS.iter().position(|group| group.id == measurement.group);
        (group, Shape::parse(&measurement.parameter), measurement.parameter.clone(), measurement.function.clone())
    });
    Ok((found, others))
}

/// The folders in a folder, sorted by name.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, ReportError> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).map_err(ReportError::io("read", dir))? {
        let path = entry.map_err(ReportError::io("read", dir))?.path();
        if path.is_dir() {
            out.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    out.sort();
    Ok(out)
}

fn malformed(path: &Path, message: impl Into<String>) -> ReportError {
    ReportError::Malformed { path: path.to_owned(), message: message.into() }
}

/// A JSON file of criterion's.
pub(super) fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ReportError> {
    let text = fs::read_to_string(path).map_err(ReportError::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| malformed(path, error.to_string()))
}

fn measurement(group: &Group, function: &str, parameter: &str, dir: &Path) -> Result<Measurement, ReportError> {
    let path = dir.join("benchmark.json");
    let benchmark: Benchmark = json(&path)?;
    let named = [Some(benchmark.group_id), benchmark.function_id, benchmark.value_str];
    if named != [group.id, function, parameter].map(|name| Some(name.to_owned())) {
        return Err(malformed(&path, format!("must be of {}/{function}/{parameter}, as its folder says", group.id)));
    }
    let name = |text: &str| text.len() <= 60 && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if !name(function) || !name(parameter) {
        return Err(malformed(&path, "its ids must have letters, digits, '-', '_' and '.' alone, 60 at most"));
    }
    let work = benchmark.throughput.and_then(|throughput| throughput.elements).filter(|&elements| elements > 0);
    let work = work.ok_or_else(|| malformed(&path, "throughput must be a positive number of Elements"))?;
    let expected = match group.work {
        Work::Peak if !["f32", "f64"].contains(&parameter) => {
            return Err(malformed(&path, format!("the parameter must be f32 or f64, not {parameter}")));
        }
        Work::Peak => work,
        Work::Flop(_) | Work::Numbers => {
            let shape = Shape::parse(parameter);
            let sizes = if group.work == Work::Numbers { 2 } else { 3 };
            let shape = shape.filter(|shape| shape.sizes.len() == sizes).ok_or_else(|| {
                malformed(
                    &path,
                    format!("the parameter must be {sizes} sizes, such as 1024x256x64 or 4096x64, not {parameter}"),
                )
            })?;
            if let Work::Flop(factor) = group.work { factor * shape.volume } else { shape.volume }
        }
    };
    if work != expected {
        return Err(malformed(&path, format!("throughput is {work} Elements; {parameter} makes {expected}")));
    }

    let path = dir.join("estimates.json");
    let Estimates { median } = json(&path)?;
    let Interval { confidence_level, lower_bound, upper_bound } = median.confidence_interval;
    let (low, middle, high) = (lower_bound, median.point_estimate, upper_bound);
    if !(low > 0.0 && low <= middle && middle <= high && high.is_finite()) {
        return Err(malformed(
            &path,
            format!("the median must be positive and in its interval: {middle} in [{low}, {high}]"),
        ));
    }
    if !(confidence_level > 0.0 && confidence_level < 1.0) {
        return Err(malformed(&path, format!("confidence_level must lie between 0 and 1, not {confidence_level}")));
    }
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(ReportError::io("read", &path));
    let measured_at = modified?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());

    let path = dir.join("sample.json");
    let Sample { iters, times } = json(&path)?;
    if iters.len() != times.len() || iters.is_empty() || !iters.iter().chain(&times).all(|x| *x > 0.0) {
        return Err(malformed(&path, "iters and times must be equally many positive numbers"));
    }
    let mut each: Vec<f64> = times.iter().zip(&iters).map(|(time, count)| time / count).collect();
    each.sort_by(f64::total_cmp);
    let again = 0.5 * (each[(each.len() - 1) / 2] + each[each.len() / 2]);
    if (again - middle).abs() > 1e-6 * middle {
        return Err(malformed(&path, format!("its median is {again} ns; estimates.json says {middle}")));
    }
    Ok(Measurement {
        group: group.id.to_owned(),
        function: function.to_owned(),
        parameter: parameter.to_owned(),
        work,
        median_ns: middle,
        interval_ns: [low, high],
        confidence: confidence_level,
        samples: times.len(),
        measured_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_name_shapes() {
        let shape = Shape::parse("256x64x4096T").unwrap();
        assert_eq!((shape.sizes.as_slice(), shape.transposed, shape.percent), (&[256, 64, 4096][..], true, 100));
        assert_eq!(Shape::parse("4096x64x1024-10pct").unwrap().percent, 10);
        assert_eq!(Shape::parse("4096x64").unwrap().volume, 262_144);
        for wrong in ["", "x", "1x2x", "1x2x3x4", "12", "0x1x1", "+1x2x3", "1x2x3-pct", "1x2x3-10", "1x2x3TT", "-1x2x3"]
        {
            assert_eq!(Shape::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Shape::parse("18446744073709551615x2x2"), None);
    }

    #[test]
    fn shapes_are_sorted_by_size_with_transposed_ones_last() {
        let mut names = ["256x64x4096T", "1024x256x64", "16x16x16", "512x512x512"];
        names.sort_by_key(|name| Shape::parse(name));
        assert_eq!(names, ["16x16x16", "1024x256x64", "512x512x512", "256x64x4096T"]);
    }
}
