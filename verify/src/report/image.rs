//! Images in figures: pixels as SVG paths, one a colour.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::{Mark, Panel, Point, Series};

/// Shades on either side of the middle: as many as an eye tells apart, and few enough that equal pixels share a path.
const SHADES: f64 = 32.0;

/// Whether a panel is a row of images.
pub(super) fn is_row(panel: &Panel) -> bool {
    panel.series.first().is_some_and(|series| series.mark.is_image())
}

/// The values at the ends of the colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Scale {
    /// The range of the panel's vertical axis, or else of its values, symmetric about 0 for images in two colours.
    pub(super) fn of(panel: &Panel) -> Self {
        if let Some([low, high]) = panel.y.range.filter(|[low, high]| low < high && (high - low).is_finite()) {
            return Self { low, high };
        }
        let values = || panel.series.iter().flat_map(|series| &series.points).map(|p| p.lo).filter(|x| x.is_finite());
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let signed = panel.series.first().is_some_and(|series| series.mark == Mark::Signed);
        let most = low.abs().max(high.abs());
        match signed {
            true if most > 0.0 && most.is_finite() => Self { low: -most, high: most },
            false if low < high => Self { low, high },
            _ => Self { low: -1.0, high: 1.0 },
        }
    }

    /// The shade of a value, from −32 at the lower end to 32 at the upper; values beyond have the ends' shades.
    fn shade(self, value: f64) -> i32 {
        let place = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        (SHADES * (2.0 * place - 1.0)).round() as i32
    }
}

/// A shade's colour: white to black, or blue (low) over white to red (high), which the colour-blind can tell apart.
fn color(mark: Mark, shade: i32) -> String {
    let place = f64::from(shade) / SHADES;
    let mix = |far: [f64; 3], share: f64| far.map(|far| (255.0 + (far - 255.0) * share).round() as u8);
    let [r, g, b] = match mark {
        Mark::Signed if place < 0.0 => mix([5.0, 72.0, 140.0], -place),
        Mark::Signed => mix([178.0, 24.0, 43.0], place),
        _ => mix([17.0; 3], f64::midpoint(place, 1.0)),
    };
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The image with its upper left corner and edge in painted units, framed. Pixels that have no place or value are left out.
pub(super) fn svg(series: &Series, scale: Scale, (left, top): (f64, f64), edge: f64) -> String {
    let whole = |x: f64| (0.0..4096.0).contains(&x).then_some(x as u32);
    let place = |p: &Point| Some((whole(p.y)?, whole(p.x)?)).filter(|_| p.lo.is_finite());
    let mut pixels: Vec<((u32, u32), i32)> =
        series.points.iter().filter_map(|p| Some((place(p)?, scale.shade(p.lo)))).collect();
    pixels.sort_unstable();
    pixels.dedup_by_key(|pixel| pixel.0);
    let across = pixels.iter().map(|((row, column), _)| row.max(column) + 1).max().unwrap_or(1);
    // Neighbours of one shade in a row are one rectangle.
    let mut paths: BTreeMap<i32, String> = BTreeMap::new();
    let mut rest = pixels.as_slice();
    while let Some(&((row, column), shade)) = rest.first() {
        let run = rest.iter().zip(column..).take_while(|(pixel, column)| **pixel == ((row, *column), shade)).count();
        // Writing to a string does not fail.
        let _ = write!(paths.entry(shade).or_default(), "M{column} {row}h{run}v1h-{run}z");
        rest = &rest[run..];
    }
    let mut out = format!(
        "<g transform=\"translate({left:.0} {top:.0}) scale({:.3})\" shape-rendering=\"crispEdges\">\n",
        edge / f64::from(across)
    );
    for (shade, path) in paths {
        let _ = writeln!(out, "<path fill=\"{}\" d=\"{path}\"/>", color(series.mark, shade));
    }
    let _ = writeln!(out, "</g>\n{}", frame((left, top), (edge, edge)));
    out
}

/// The bar of colours from the lower end, at the bottom, to the upper.
pub(super) fn bar(mark: Mark, scale: Scale, (left, top): (f64, f64), (width, height): (f64, f64)) -> String {
    let steps = 2 * SHADES as u32 + 1;
    let mut out = String::from("<g shape-rendering=\"crispEdges\">\n");
    for step in 0..steps {
        let value = scale.high - (scale.high - scale.low) * f64::from(step) / f64::from(steps - 1);
        let (from, to) = [step, step + 1].map(|s| (top + height * f64::from(s) / f64::from(steps)).round()).into();
        let fill = color(mark, scale.shade(value));
        let _ = writeln!(
            out,
            "<rect x=\"{left:.0}\" y=\"{from}\" width=\"{width:.0}\" height=\"{}\" fill=\"{fill}\"/>",
            to - from
        );
    }
    out + "</g>\n" + &frame((left, top), (width, height)) + "\n"
}

fn frame((left, top): (f64, f64), (width, height): (f64, f64)) -> String {
    format!(
        "<rect x=\"{left:.0}\" y=\"{top:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" fill=\"none\" stroke=\"#666666\" \
         stroke-width=\"8\"/>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Axis;

    fn panel(mark: Mark, points: Vec<Point>, range: Option<[f64; 2]>) -> Panel {
        let axis = |range| Axis { label: String::new(), log: false, range, names: vec![] };
        let series = vec![Series { name: "a".into(), mark, color: 0, points }];
        Panel { title: String::new(), x: axis(None), y: axis(range), series }
    }

    #[test]
    fn the_scale_is_the_axis_or_what_the_values_need() {
        let pixels = vec![Point::pixel(0, 0, -1.0), Point::pixel(1, 0, 3.0)];
        assert_eq!(Scale::of(&panel(Mark::Signed, pixels.clone(), None)), Scale { low: -3.0, high: 3.0 });
        assert_eq!(Scale::of(&panel(Mark::Greys, pixels.clone(), None)), Scale { low: -1.0, high: 3.0 });
        assert_eq!(Scale::of(&panel(Mark::Greys, pixels, Some([0.0, 1.0]))), Scale { low: 0.0, high: 1.0 });
        assert_eq!(Scale::of(&panel(Mark::Signed, vec![], None)), Scale { low: -1.0, high: 1.0 });
    }

    #[test]
    fn neighbours_of_one_shade_are_one_rectangle_and_what_has_no_place_is_left_out() {
        let pixels = vec![
            Point::pixel(1, 0, 1.0),
            Point::pixel(0, 0, 1.0),
            Point::pixel(0, 1, -1.0),
            Point::pixel(1, 1, 9.0),
            Point::pixel(2, 1, f64::NAN),
            Point { x: -1.0, ..Point::pixel(0, 0, 0.0) },
        ];
        let panel = panel(Mark::Signed, pixels, Some([-1.0, 1.0]));
        let svg = svg(&panel.series[0], Scale::of(&panel), (0.0, 0.0), 20.0);
        assert!(svg.contains("scale(10.000)"), "{svg}");
        assert!(svg.contains("<path fill=\"#05488c\" d=\"M0 1h1v1h-1z\"/>"), "{svg}");
        assert!(svg.contains("<path fill=\"#b2182b\" d=\"M0 0h2v1h-2zM1 1h1v1h-1z\"/>"), "{svg}");
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn colours_part_at_zero() {
        assert_eq!(color(Mark::Signed, 0), "#ffffff");
        assert_eq!([color(Mark::Greys, -32), color(Mark::Greys, 32)], ["#ffffff", "#111111"]);
    }
}
