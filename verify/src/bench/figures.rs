//! The figures of the page.

use super::measurement::{Measurement, Shape};
use super::results::{OURS, PEERS, Results, Value, torch_ratio};
use crate::report::model::{Axis, Figure, Mark, Panel, Point, Series};

/// Distance of the markers that stand at the same name, in names.
const BESIDE: f64 = 0.15;

/// A function as one says it.
pub(super) fn function_name(function: &str) -> String {
    match function {
        "ours-avx512" => "ours, AVX-512".to_owned(),
        "ours-avx2" => "ours, AVX2".to_owned(),
        "ours-portable" => "ours, portable".to_owned(),
        "gemm-x86-v4" => "gemm (x86-v4)".to_owned(),
        "dense" => "dense products".to_owned(),
        other => other.to_owned(),
    }
}

/// A parameter as one says it.
pub(super) fn shape_name(parameter: &str) -> String {
    let (sizes, part) = parameter.split_once('-').unwrap_or((parameter, ""));
    let part = part.strip_suffix("pct").map(|percent| format!(", {percent} % active")).unwrap_or_default();
    format!("{}{part}", sizes.replace('x', "×").replace('T', " T"))
}

/// Colour and marker of a function; the same in every figure.
fn color(function: &str) -> usize {
    match function {
        "ours-avx512" => 0,
        "ours-avx2" => 1,
        "matrixmultiply" | "dense" | "scalar" => 2,
        "faer" => 3,
        "gemm-x86-v4" => 4,
        "ours-portable" => 5,
        _ => 7,
    }
}

/// A panel with these shapes downwards.
struct Names<'a> {
    shapes: Vec<&'a str>,
    series: Vec<Series>,
}

impl<'a> Names<'a> {
    fn new(shapes: Vec<&'a str>) -> Self {
        Self { shapes, series: Vec::new() }
    }

    /// A series of what has a value.
    fn add(&mut self, name: &str, color: usize, value: impl Fn(&str) -> Option<Value>) {
        let point = |(at, shape): (usize, &&str)| {
            let Value { value, interval: [lo, hi] } = value(shape)?;
            Some(Point { x: at as f64, y: value, lo, hi })
        };
        let points: Vec<Point> = self.shapes.iter().enumerate().filter_map(point).collect();
        if !points.is_empty() {
            self.series.push(Series { name: name.to_owned(), mark: Mark::Points, color, points });
        }
    }

    /// The panel, its series beside each other, with dotted lines at values that have a name.
    fn panel(mut self, title: &str, label: &str, log: bool, from: Option<f64>, lines: &[(f64, &str)]) -> Panel {
        let count = self.series.len() as f64;
        for (i, series) in self.series.iter_mut().enumerate() {
            let aside = BESIDE * (i as f64 - 0.5 * (count - 1.0));
            series.points.iter_mut().for_each(|point| point.x += aside);
        }
        let most = self.series.iter().flat_map(|series| &series.points).map(|point| point.hi);
        let most = most.chain(lines.iter().map(|line| line.0)).fold(0.0, f64::max);
        for &(value, name) in lines {
            let ends = [-0.5, self.shapes.len() as f64 - 0.5];
            self.series.push(Series {
                name: name.to_owned(),
                mark: Mark::Dotted,
                color: 6,
                points: ends.map(|x| Point::at(x, value)).to_vec(),
            });
        }
        let names = self.shapes.iter().map(|shape| shape_name(shape)).collect();
        Panel {
            title: title.to_owned(),
            x: Axis { label: String::new(), log: false, range: None, names },
            y: Axis { label: label.to_owned(), log, range: from.map(|from| [from, most]), names: Vec::new() },
            series: self.series,
        }
    }
}

/// The panel of a group: fractions of the peak.
fn roofline(results: &Results, group: &str, title: &str) -> Option<Panel> {
    let whole = |shape: &&str| Shape::parse(shape).is_some_and(|shape| shape.percent == 100);
    let mut names = Names::new(results.parameters(group).into_iter().filter(whole).collect());
    for function in results.functions(group) {
        names.add(&function_name(function), color(function), |shape| {
            results.fraction(results.find(group, function, shape)?)
        });
    }
    let line = [(1.0, "FMA peak of a core")];
    (!names.series.is_empty()).then(|| names.panel(title, "fraction of the FMA peak", false, Some(0.0), &line))
}

/// The panel of an instruction set: how many times faster it is than each peer.
fn ratios(results: &Results, group: &str, ours: &str) -> Option<Panel> {
    let mut names = Names::new(results.parameters(group));
    for peer in PEERS {
        names.add(&format!("over {}", function_name(peer)), color(peer), |shape| {
            results.speedup((group, peer), (group, ours), shape)
        });
    }
    let title = function_name(ours);
    (!names.series.is_empty()).then(|| names.panel(&title, "peer's time over ours", true, None, &[(1.0, "equal")]))
}

/// The panel of a pair of groups: two threads over one.
fn threads(results: &Results, one: &str, two: &str, title: &str) -> Option<Panel> {
    let mut names = Names::new(results.parameters(two));
    for function in results.functions(two) {
        names.add(&function_name(function), color(function), |shape| {
            results.speedup((one, function), (two, function), shape)
        });
    }
    let lines = [(1.0, "equal")];
    (!names.series.is_empty()).then(|| names.panel(title, "time of 1 thread over that of 2", false, Some(0.0), &lines))
}

/// The steps on one and on two threads, and PyTorch's.
fn steps(results: &Results) -> Option<Panel> {
    let mut shapes = results.parameters("step_1t");
    shapes.extend(
        results
            .parameters("step_2t")
            .into_iter()
            .filter(|shape| results.group("step_1t").all(|found| found.parameter != *shape)),
    );
    let mut names = Names::new(shapes);
    let rate = |found: &Measurement| {
        let [low, high] = found.interval_ns.map(|end| found.work as f64 / end);
        Value { value: found.rate(), interval: [high, low] }
    };
    for (group, threads, hollow) in [("step_1t", 1, 0), ("step_2t", 2, 7)] {
        let plural = if threads == 1 { "" } else { "s" };
        for ours in OURS {
            let name = format!("{}, {threads} thread{plural}", function_name(ours));
            names.add(&name, color(ours) + hollow, |shape| results.find(group, ours, shape).map(rate));
        }
        names.add(&format!("best form in PyTorch, {threads} thread{plural}"), 4 + hollow, |shape| {
            let ours = results
                .group(group)
                .find(|found| found.parameter == shape && OURS.contains(&found.function.as_str()))?;
            let ratio = torch_ratio(results, group, &ours.function, shape, threads)?;
            let torch = |ratio: f64, time: f64| ours.work as f64 / (ratio * time);
            let [low, high] = ours.interval_ns;
            let ends = [torch(ratio.interval[1], low), torch(ratio.interval[0], high)];
            Some(Value { value: torch(ratio.value, ours.median_ns), interval: ends })
        });
    }
    let peak = results.peak("", "f32").map(|peak| (peak.value, "FMA peak of a core"));
    let label = "GFLOP/s-equivalent (4 N m d_0 a step)";
    (!names.series.is_empty()).then(|| names.panel("", label, false, Some(0.0), peak.as_slice()))
}

/// All figures that there are results for.
pub(super) fn all(results: &Results) -> Vec<Figure> {
    let mut out = Vec::new();
    let mut figure = |id: &str, title: &str, caption: &str, panels: Vec<Option<Panel>>| {
        let panels: Vec<Panel> = panels.into_iter().flatten().collect();
        if !panels.is_empty() {
            out.push(Figure { id: id.to_owned(), title: title.to_owned(), caption: caption.to_owned(), panels });
        }
    };
    let roof = "Medians with their intervals. Ours are held against the peak of their own instruction set, all others \
                against the higher one.";
    for (id, element, one, two) in
        [("f32", "f32", "gemm_f32_1t", "gemm_f32_2t"), ("f64", "f64", "gemm_f64_1t", "gemm_f64_2t")]
    {
        figure(
            &format!("roofline-gemm-{id}"),
            &format!("Dense products, {element}: fraction of the FMA peak of a core"),
            &format!("{roof} Two threads may reach 2. T: A is stored transposed."),
            vec![roofline(results, one, "1 thread"), roofline(results, two, "2 threads")],
        );
        figure(
            &format!("ratios-gemm-{id}"),
            &format!("Dense products, {element}, 1 thread: how many times faster than each peer"),
            "To the right of the dotted line ours are faster. The intervals hold every ratio of two times within theirs.",
            OURS[..2].iter().map(|ours| ratios(results, one, ours)).collect(),
        );
    }
    figure(
        "ratios-gemm-f32-2t",
        "Dense products, f32, 2 threads: how many times faster than each peer",
        "To the right of the dotted line ours are faster; every peer has two threads too.",
        OURS[..2].iter().map(|ours| ratios(results, "gemm_f32_2t", ours)).collect(),
    );
    figure(
        "roofline-passes",
        "Fused passes: fraction of the FMA peak of a core",
        &format!(
            "{roof} The backward pass counts the 2 N m d_0 operations of the product it stands for; by tables of subset \
             sums it makes fewer, and so can lie above the peak."
        ),
        vec![roofline(results, "forward_1t", "Forward"), roofline(results, "backward_1t", "Backward")],
    );
    figure(
        "step",
        "A step of training: operations of the dense step it stands for, in a second",
        "Forward, hinge, backward, update and the drawing of a fresh batch.",
        vec![steps(results)],
    );
    figure(
        "threads",
        "Two threads over one",
        "Times of the same code on one and on two threads.",
        vec![
            threads(results, "gemm_f32_1t", "gemm_f32_2t", "Dense products, f32"),
            threads(results, "step_1t", "step_2t", "Step of training"),
        ],
    );
    out
}
