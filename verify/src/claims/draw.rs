//! Shorthands for figures.

use feature_contamination::{Record, Trajectory};

use super::check::Estimate;
use crate::plan::Rung;
use crate::report::model::{Axis, Figure, Mark, Panel, Point, Series};
use crate::stats::fit;
use std::sync::Arc;

/// Index of black in the palette: bounds, laws and whatever belongs to no single series.
pub const BLACK: usize = 6;

/// A linear axis.
pub fn linear(label: &str) -> Axis {
    Axis { label: label.to_owned(), log: false, range: None, names: Vec::new() }
}

/// A logarithmic axis.
pub fn log(label: &str) -> Axis {
    Axis { label: label.to_owned(), log: true, range: None, names: Vec::new() }
}

/// A linear axis for probabilities and accuracies.
pub fn unit(label: &str) -> Axis {
    Axis { label: label.to_owned(), log: false, range: Some([0.0, 1.0]), names: Vec::new() }
}

/// A series.
pub fn series(name: impl Into<String>, mark: Mark, color: usize, points: Vec<Point>) -> Series {
    Series { name: name.into(), mark, color, points }
}

/// A panel.
pub fn panel(title: impl Into<String>, x: Axis, y: Axis, series: Vec<Series>) -> Panel {
    Panel { title: title.into(), x, y, series }
}

/// A figure.
pub fn figure(id: &str, title: &str, caption: impl Into<String>, panels: Vec<Panel>) -> Figure {
    Figure { id: id.to_owned(), title: title.to_owned(), caption: caption.into(), panels }
}

/// A horizontal line.
pub fn level(name: &str, mark: Mark, color: usize, y: f64, from: f64, to: f64) -> Series {
    series(name, mark, color, vec![Point::at(from, y), Point::at(to, y)])
}

/// An observable over time, `value` at each record with `x(step)` on the horizontal axis, records where `x` is 0 left out.
pub fn over_time(trajectory: &Trajectory, x: impl Fn(u64) -> f64, value: impl Fn(&Record) -> f64) -> Vec<Point> {
    trajectory
        .records
        .iter()
        .filter(|record| record.step > 0)
        .map(|record| Point::at(x(record.step), value(record)))
        .collect()
}

/// The mean over the replicates of a rung of an observable over time, with the replicates' range as the interval.
pub fn mean_over_time(
    rung: &Rung<Arc<Trajectory>>,
    x: impl Fn(u64) -> f64,
    value: impl Fn(&Record) -> f64,
) -> Vec<Point> {
    let runs: Vec<Vec<Point>> = rung.runs.iter().map(|run| over_time(run, &x, &value)).collect();
    let Some(first) = runs.first() else { return vec![] };
    first
        .iter()
        .enumerate()
        .map(|(index, point)| {
            let values = || runs.iter().filter_map(|run| run.get(index)).map(|point| point.y);
            Point {
                x: point.x,
                y: values().sum::<f64>() / runs.len() as f64,
                lo: values().fold(f64::INFINITY, f64::min),
                hi: values().fold(f64::NEG_INFINITY, f64::max),
            }
        })
        .collect()
}

/// The power law through points, least squares on logarithms, drawn over their range; empty where there is none.
pub fn power_law(points: &[Point], exponent: Estimate) -> Vec<Point> {
    let usable: Vec<_> = points.iter().filter(|p| p.x > 0.0 && p.y > 0.0).collect();
    let (x, y): (Vec<f64>, Vec<f64>) = usable.iter().map(|p| (p.x.ln(), p.y.ln())).unzip();
    if usable.len() < 2 || !exponent.value.is_finite() {
        return vec![];
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let intercept = mean(&y) - exponent.value * mean(&x);
    usable.iter().map(|p| Point::at(p.x, (intercept + exponent.value * p.x.ln()).exp())).collect()
}

/// A number with `digits` decimals and a minus sign that is one.
pub fn number(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").replace('-', "−")
}

/// Median over neurons; NaN for none.
pub fn median(values: &[f64]) -> f64 {
    fit::median(values).unwrap_or(f64::NAN)
}
