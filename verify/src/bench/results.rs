//! Results side by side: ratios, fractions of the peak, and the targets that stood before anything was measured.

use serde::Serialize;

use super::measurement::{GROUPS, Measurement, Shape, Work};
use super::torch::Torch;

/// The functions that are ours, best first.
pub(super) const OURS: [&str; 3] = ["ours-avx512", "ours-avx2", "ours-portable"];
/// The peers of the dense products.
pub(super) const PEERS: [&str; 3] = ["matrixmultiply", "faer", "gemm-x86-v4"];

/// A quantity with an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Value {
    /// From the medians.
    pub(super) value: f64,
    /// From the ends of their intervals.
    pub(super) interval: [f64; 2],
}

impl Value {
    fn sure(value: f64) -> Self {
        Self { value, interval: [value; 2] }
    }

    /// `self / other`; the interval holds whatever both are within theirs.
    fn over(self, other: Self) -> Self {
        let [low, high] = self.interval;
        Self { value: self.value / other.value, interval: [low / other.interval[1], high / other.interval[0]] }
    }
}

/// `(Π values)^(1/n)`, interval end by end.
pub(super) fn geometric_mean(values: &[Value]) -> Option<Value> {
    let mean =
        |end: fn(&Value) -> f64| (values.iter().map(|value| end(value).ln()).sum::<f64>() / values.len() as f64).exp();
    (!values.is_empty()).then(|| Value {
        value: mean(|value| value.value),
        interval: [mean(|value| value.interval[0]), mean(|value| value.interval[1])],
    })
}

/// Everything measured.
#[derive(Debug)]
pub(super) struct Results {
    /// By group, shape and function.
    pub(super) measurements: Vec<Measurement>,
    /// PyTorch's, if given.
    pub(super) torch: Option<Torch>,
}

impl Results {
    pub(super) fn group<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Measurement> {
        self.measurements.iter().filter(move |measurement| measurement.group == id)
    }

    pub(super) fn find(&self, group: &str, function: &str, parameter: &str) -> Option<&Measurement> {
        self.group(group).find(|found| found.function == function && found.parameter == parameter)
    }

    /// The parameters of a group, each once, in order.
    pub(super) fn parameters<'a>(&'a self, group: &str) -> Vec<&'a str> {
        let mut out: Vec<&str> = self.group(group).map(|found| found.parameter.as_str()).collect();
        out.dedup();
        out
    }

    /// The functions of a group: ours, then the known peers, then others by name.
    pub(super) fn functions<'a>(&'a self, group: &str) -> Vec<&'a str> {
        let mut out: Vec<&str> = self.group(group).map(|found| found.function.as_str()).collect();
        out.sort_by_key(|function| {
            (OURS.iter().chain(&PEERS).position(|known| known == function).unwrap_or(9), *function)
        });
        out.dedup();
        out
    }

    /// Time of `a` over time of `b`: how many times faster `b` is.
    pub(super) fn speedup(&self, a: (&str, &str), b: (&str, &str), parameter: &str) -> Option<Value> {
        Some(time(self.find(a.0, a.1, parameter)?).over(time(self.find(b.0, b.1, parameter)?)))
    }

    /// The fastest peer of the dense products at a shape, if all of `peers` were measured.
    pub(super) fn best_peer(&self, group: &str, peers: &[&str], parameter: &str) -> Option<&Measurement> {
        let found: Option<Vec<_>> = peers.iter().map(|peer| self.find(group, peer, parameter)).collect();
        found?;
        let all =
            self.group(group).filter(|found| found.parameter == parameter && PEERS.contains(&found.function.as_str()));
        all.min_by(|a, b| a.median_ns.total_cmp(&b.median_ns))
    }

    /// The FMA peak that a function is held against, work a nanosecond: of its own instruction set if it names one,
    /// of the machine's best if not.
    pub(super) fn peak(&self, function: &str, element: &str) -> Option<Value> {
        let rate = |found: &Measurement| Value::sure(found.work as f64).over(time(found));
        match function.strip_prefix("ours-").filter(|isa| *isa != "portable") {
            Some(isa) => self.find("peak_1t", isa, element).map(rate),
            None => {
                let all = self.group("peak_1t").filter(|found| found.parameter == element).map(rate);
                all.max_by(|a, b| a.value.total_cmp(&b.value))
            }
        }
    }

    /// What a measurement reaches of the peak of one core; `None` if it does not count operations, or counts those of
    /// examples that it leaves out.
    pub(super) fn fraction(&self, found: &Measurement) -> Option<Value> {
        let group = GROUPS.iter().find(|group| group.id == found.group)?;
        let Work::Flop(_) = group.work else { return None };
        Shape::parse(&found.parameter).filter(|shape| shape.percent == 100)?;
        let element = if found.group.contains("f64") { "f64" } else { "f32" };
        let rate = Value::sure(found.work as f64).over(time(found));
        Some(rate.over(self.peak(&found.function, element)?))
    }
}

pub(super) fn time(found: &Measurement) -> Value {
    Value { value: found.median_ns, interval: found.interval_ns }
}

/// A target: what a quantity must at least be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Target {
    /// What is measured.
    pub(super) quantity: String,
    /// Its group.
    pub(super) group: &'static str,
    /// What it must at least be.
    pub(super) least: f64,
    /// Unit of that; empty for ratios.
    pub(super) unit: &'static str,
    /// What was measured, on every instruction set.
    pub(super) outcomes: Vec<Outcome>,
}

/// What was measured for a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// Whose: `ours-avx512`, `ours-avx2`.
    pub(super) function: &'static str,
    /// The quantity; for several shapes, where it is least.
    pub(super) measured: Option<Value>,
    /// The shape, or what is missing.
    pub(super) note: String,
    /// Whether the median's value is at least what it must be; `None` if it was not measured.
    pub(super) reached: Option<bool>,
}

/// Shapes that a target on products needs at least; it is on every shape that was measured.
const F32_SHAPES: [&str; 13] = [
    "16x16x16",
    "32x32x32",
    "64x64x64",
    "128x128x128",
    "256x256x256",
    "512x512x512",
    "1024x256x64",
    "4096x1024x64",
    "1000x256x256",
    "2048x2048x2048",
    "256x64x4096T",
    "1024x64x4096T",
    "4096x128x4096T",
];
const F64_SHAPES: [&str; 4] = ["256x256x256", "1024x1024x1024", "4096x64x256", "4096x64x256T"];
/// The passes and the step.
const SHAPES: [&str; 2] = ["1000x256x256", "4096x64x1024"];
/// Work from which on two threads must pay, in operations.
const TWO_THREADS_FROM: u64 = 200_000_000;

/// The value at each shape, or the first shape that lacks one.
type Values<'a> = Result<Vec<(&'a str, Value)>, String>;

fn collect<'a>(shapes: impl IntoIterator<Item = &'a str>, value: impl Fn(&str) -> Option<Value>) -> Values<'a> {
    let values: Vec<_> = shapes.into_iter().map(|shape| (shape, value(shape))).collect();
    if values.iter().all(|(_, value)| value.is_none()) {
        return Err("not measured".to_owned());
    }
    let complete = |(shape, value): (&'a str, Option<Value>)| {
        value.map(|value| (shape, value)).ok_or_else(|| format!("not complete: {shape}"))
    };
    values.into_iter().map(complete).collect()
}

/// A quantity and a note on it, or why there is none.
type Measured = Result<(Value, String), String>;

fn least(values: Values) -> Measured {
    let values = values?;
    let count = values.len();
    let least = values.into_iter().min_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let (shape, value) = least.ok_or("not measured")?;
    Ok((value, if count > 1 { format!("least of {count} shapes, {shape}") } else { String::new() }))
}

fn mean(values: Values) -> Measured {
    let values: Vec<Value> = values?.into_iter().map(|(_, value)| value).collect();
    let mean = geometric_mean(&values).ok_or("not measured")?;
    Ok((mean, format!("over {} shapes", values.len())))
}

/// The targets, with what was measured.
pub(super) fn targets(results: &Results) -> Vec<Target> {
    let mut out = Vec::new();
    let mut target = |group, quantity: &str, least: f64, unit, measure: &dyn Fn(&str) -> Measured| {
        let outcomes = OURS[..2].iter().map(|&function| match measure(function) {
            Ok((value, note)) => Outcome { function, measured: Some(value), note, reached: Some(value.value >= least) },
            Err(note) => Outcome { function, measured: None, note, reached: None },
        });
        out.push(Target { quantity: quantity.to_owned(), group, least, unit, outcomes: outcomes.collect() });
    };
    // Every shape that is asked for, and every other one that was measured.
    let all = |group: &'static str, asked: &[&'static str]| {
        let mut shapes = results.parameters(group);
        shapes.extend(asked.iter().filter(|shape| results.group(group).all(|found| found.parameter != **shape)));
        shapes
    };

    for (group, element, asked) in [("gemm_f32_1t", "f32", &F32_SHAPES[..]), ("gemm_f64_1t", "f64", &F64_SHAPES)] {
        let against_best = |ours: &str| {
            collect(all(group, asked), |shape| {
                let best = results.best_peer(group, &PEERS, shape)?;
                results.speedup((group, &best.function), (group, ours), shape)
            })
        };
        let quantity = format!("product {element}, 1 thread, over the best peer at every shape");
        target(group, &quantity, 0.97, "", &|ours| least(against_best(ours)));
        let quantity = format!("product {element}, 1 thread, over the best peer, geometric mean");
        target(group, &quantity, 1.03, "", &|ours| mean(against_best(ours)));
    }

    let group = "gemm_f32_2t";
    let large = || {
        let work = |shape: &&str| {
            results.group(group).any(|found| found.parameter == **shape && found.work > TWO_THREADS_FROM)
        };
        results.parameters(group).into_iter().filter(move |shape| work(shape))
    };
    target(group, "product f32, 2 threads over 1, shapes over 0.2 GFLOP", 1.8, "", &|ours| {
        least(collect(large(), |shape| results.speedup(("gemm_f32_1t", ours), (group, ours), shape)))
    });
    target(group, "product f32, 2 threads, over the best peer, shapes over 0.2 GFLOP", 1.0, "", &|ours| {
        least(collect(large(), |shape| {
            let best = results.best_peer(group, &PEERS[1..], shape)?;
            results.speedup((group, &best.function), (group, ours), shape)
        }))
    });

    let fraction = |group: &str, ours: &str, shape: &str| results.fraction(results.find(group, ours, shape)?);
    let group = "forward_1t";
    let sized = |fits: fn(u64) -> bool| {
        let size = move |shape: &&str| Shape::parse(shape).is_some_and(|shape| fits(shape.sizes[1]));
        results.parameters(group).into_iter().filter(size)
    };
    target(group, "forward pass at d_0 = 64, fraction of the FMA peak", 0.93, "", &|ours| {
        least(collect(sized(|d0| d0 == 64), |shape| fraction(group, ours, shape)))
    });
    target(group, "forward pass at d_0 ≥ 256, fraction of the FMA peak", 0.97, "", &|ours| {
        least(collect(sized(|d0| d0 >= 256), |shape| fraction(group, ours, shape)))
    });

    let group = "backward_1t";
    for (shape, factor) in SHAPES.into_iter().zip([3.0, 3.7]) {
        let quantity = format!("backward pass, all active, {shape}, over the FMA peak");
        target(group, &quantity, factor, "", &|ours| least(collect([shape], |shape| fraction(group, ours, shape))));
    }
    target(group, "backward pass, 10 % active over all active, 4096x64x1024", 6.0, "", &|ours| {
        least(collect([SHAPES[1]], |shape| {
            let part = results.find(group, ours, &format!("{shape}-10pct"))?;
            Some(time(results.find(group, ours, shape)?).over(time(part)))
        }))
    });
    target("rng_1t", "uniform numbers, 4096x64, over the scalar generator", 8.0, "", &|ours| {
        least(collect(["4096x64"], |shape| results.speedup(("rng_1t", "scalar"), ("rng_1t", ours), shape)))
    });

    for shape in SHAPES {
        target("step_1t", &format!("step, 1 thread, {shape}, equivalent"), 165.0, "GFLOP/s", &|ours| {
            least(collect([shape], |shape| {
                let step = results.find("step_1t", ours, shape)?;
                Some(Value::sure(step.work as f64).over(time(step)))
            }))
        });
    }
    for shape in SHAPES {
        target("step_2t", &format!("step, 2 threads over 1, {shape}"), 1.8, "", &|ours| {
            least(collect([shape], |shape| results.speedup(("step_1t", ours), ("step_2t", ours), shape)))
        });
    }
    for (shape, factor) in SHAPES.into_iter().zip([2.0, 3.2]) {
        target("step_2t", &format!("step, 2 threads, {shape}, over the best form in PyTorch"), factor, "", &|ours| {
            least(collect([shape], |shape| torch_ratio(results, "step_2t", ours, shape, 2)))
        });
    }
    out
}

/// The fastest form in PyTorch over ours.
pub(super) fn torch_ratio(results: &Results, group: &str, ours: &str, shape: &str, threads: u32) -> Option<Value> {
    let best = results.torch.as_ref()?.best(shape, threads)?;
    let torch = Value { value: 1e9 * best.median_seconds, interval: best.interval_seconds.map(|end| 1e9 * end) };
    Some(torch.over(time(results.find(group, ours, shape)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(group: &str, function: &str, parameter: &str, work: u64, ns: f64) -> Measurement {
        Measurement {
            group: group.to_owned(),
            function: function.to_owned(),
            parameter: parameter.to_owned(),
            work,
            median_ns: ns,
            interval_ns: [0.9 * ns, 1.2 * ns],
            confidence: 0.95,
            samples: 20,
            measured_at: 0,
        }
    }

    fn outcome<'a>(targets: &'a [Target], quantity: &str) -> &'a Outcome {
        let target = targets.iter().find(|target| target.quantity.starts_with(quantity));
        &target.unwrap_or_else(|| panic!("no target {quantity}")).outcomes[0]
    }

    #[test]
    fn ratios_are_of_the_times_and_their_intervals_hold_both() {
        let measurements = vec![
            measurement("forward_1t", "ours-avx512", "8x64x8", 8192, 100.0),
            measurement("forward_1t", "dense", "8x64x8", 8192, 250.0),
            measurement("peak_1t", "avx512", "f32", 1000, 10.0),
            measurement("peak_1t", "avx2", "f32", 1000, 8.0),
        ];
        let results = Results { measurements, torch: None };
        let ratio = results.speedup(("forward_1t", "dense"), ("forward_1t", "ours-avx512"), "8x64x8").unwrap();
        assert!((ratio.value - 2.5).abs() < 1e-12);
        assert!((ratio.interval[0] - 225.0 / 120.0).abs() < 1e-12 && (ratio.interval[1] - 300.0 / 90.0).abs() < 1e-12);
        // 81.92 of 100 a nanosecond, and of the better of the two for code without an instruction set in its name.
        assert!((results.fraction(&results.measurements[0]).unwrap().value - 0.8192).abs() < 1e-12);
        assert!((results.fraction(&results.measurements[1]).unwrap().value - 8192.0 / 250.0 / 125.0).abs() < 1e-12);
        let targets = targets(&results);
        assert_eq!(outcome(&targets, "forward pass at d_0 = 64").reached, Some(false));
        assert_eq!(outcome(&targets, "forward pass at d_0 ≥ 256").reached, None);
    }

    #[test]
    fn a_target_on_every_shape_needs_every_shape_and_every_peer() {
        let mut measurements = Vec::new();
        for shape in F64_SHAPES {
            let work = 2 * Shape::parse(shape).unwrap().volume;
            measurements.push(measurement("gemm_f64_1t", "ours-avx512", shape, work, 100.0));
            for (peer, ns) in PEERS.into_iter().zip([120.0, 104.0, 110.0]) {
                measurements.push(measurement("gemm_f64_1t", peer, shape, work, ns));
            }
        }
        let judged = |measurements: &[Measurement]| {
            let targets = targets(&Results { measurements: measurements.to_vec(), torch: None });
            let find = |quantity: &str| outcome(&targets, quantity).clone();
            (
                find("product f64, 1 thread, over the best peer at every shape"),
                find("product f64, 1 thread, over the best peer, geometric mean"),
            )
        };
        let (every, mean) = judged(&measurements);
        assert_eq!((every.reached, mean.reached), (Some(true), Some(true)));
        assert!((mean.measured.unwrap().value - 1.04).abs() < 1e-12);
        // One shape where a peer is faster decides the first and lowers the second.
        measurements[1].median_ns = 96.0;
        let (every, mean) = judged(&measurements);
        assert_eq!((every.reached, mean.reached), (Some(false), Some(false)));
        assert!(every.note.contains(F64_SHAPES[0]) && (every.measured.unwrap().value - 0.96).abs() < 1e-12);
        for lost in [0, 2] {
            let mut some = measurements.clone();
            some.remove(lost);
            let (every, mean) = judged(&some);
            assert_eq!((every.reached, mean.reached), (None, None));
            assert!(every.note.contains(F64_SHAPES[0]), "{every:?}");
        }
    }

    #[test]
    fn targets_without_results_are_not_measured() {
        let targets = targets(&Results { measurements: Vec::new(), torch: None });
        assert!(targets.iter().flat_map(|target| &target.outcomes).all(|outcome| outcome.reached.is_none()));
        assert_eq!(targets.len(), 18);
    }
}
