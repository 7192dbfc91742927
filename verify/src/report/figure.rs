//! A figure as SVG.
//!
//! plotters paints the shapes; the layout is done here, because without font files plotters cannot measure texts.
//! Widths are guessed generously (`text::width`), and everything is placed from them.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle};

use super::ReportError;
use super::axis::{self, Scale};
use super::image;
use super::model::{Figure, Mark, Panel, Point, Series};
use super::path::{self, Place};
use super::text::{self, SCRIPT_SIZE};

/// Painted units a pixel: the painter's coordinates are whole numbers.
const UNITS: f64 = 10.0;
const FONTS: &str = "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif";
const TITLE: f64 = 16.0;
const LABEL: f64 = 13.0;
const TICK: f64 = 12.0;
/// Distance of lines of text, in font sizes.
const LEADING: f64 = 1.3;
const PLOT_HEIGHT: f64 = 300.0;
/// Height of a named place.
const NAME_HEIGHT: f64 = 34.0;
/// Length of a line in the legend.
const SAMPLE: f64 = 36.0;
/// Radius of a marker.
const MARKER: f64 = 4.0;
/// Radius of a cloud's markers.
const CLOUD: f64 = 2.0;
/// Distance of the markers along a line.
const MARKER_DISTANCE: f64 = 46.0;
const BAND_OPACITY: f64 = 0.22;
/// Width of a figure with images.
const IMAGES_WIDTH: f64 = 960.0;
/// Room for the scale of a row of images.
const SCALE_WIDTH: f64 = 96.0;
/// Largest edge of an image, and the gap between images.
const IMAGE: f64 = 112.0;
const IMAGE_GAP: f64 = 12.0;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FRAME: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe3, 0xe3, 0xe3);
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

/// Okabe and Ito's colours, which colour-blind readers can tell apart, without the yellow that white paper swallows.
/// Black is last, for bounds; further series begin anew with hollow markers.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// Draws a figure: panels side by side, at most three in a row, with their legends below.
///
/// Values that have no place (not finite, or not positive on a logarithmic axis) are left out; lines break there.
/// The same figure gives the same text, which has no ids and can stand in a page beside others.
///
/// # Errors
/// [`ReportError::Draw`] if plotters cannot paint.
pub fn svg(figure: &Figure) -> Result<String, ReportError> {
    let images = figure.panels.iter().any(image::is_row);
    let columns = match figure.panels.len() {
        0 => 1,
        _ if images => 1,
        4 => 2,
        n => n.min(3),
    };
    let cell = if images { IMAGES_WIDTH } else { [720.0, 500.0, 400.0][columns - 1] };
    let size = cell * columns as f64;
    let mut canvas = Canvas { out: String::new() };
    let draw_error = |message| ReportError::Draw { figure: figure.id.clone(), message };

    let mut y = 10.0;
    let title = text::wrap(&figure.title, (size - 40.0) / TITLE / 1.1);
    y = canvas.lines(&title, TextAt::new(size / 2.0, y, TITLE).bold()).map_err(draw_error)?;
    let shared = shared_legend(&figure.panels);
    for (i, row) in figure.panels.chunks(columns).enumerate() {
        let gap = if i == 0 { 4.0 } else { 20.0 };
        if let [panel] = row
            && image::is_row(panel)
        {
            y = canvas.images(panel, size, y + gap).map_err(draw_error)?;
            continue;
        }
        y = canvas.row(row, cell, y + gap, shared.is_none()).map_err(draw_error)?;
    }
    if let Some(entries) = shared {
        let lines_marked = figure.panels.iter().all(lines_marked);
        y = canvas.legend(&entries, lines_marked, (14.0, size - 14.0), y + 8.0).map_err(draw_error)?;
    }
    if figure.panels.is_empty() {
        let note = ["Nothing to draw".to_owned()];
        y = canvas.lines(&note, TextAt::new(size / 2.0, y + 4.0, LABEL)).map_err(draw_error)?;
    }
    Ok(canvas.finish(figure, size, y + 10.0))
}

/// The panels' common legend, if each says the same as far as it goes.
fn shared_legend(panels: &[Panel]) -> Option<Vec<&Series>> {
    let longest = panels.iter().map(legend_entries).max_by_key(Vec::len)?;
    let known = |entry: &&Series| longest.iter().any(|other| same_entry(entry, other));
    (panels.len() > 1 && panels.iter().all(|panel| legend_entries(panel).iter().all(known))).then_some(longest)
}

/// The series that the legend names, equal ones once.
fn legend_entries(panel: &Panel) -> Vec<&Series> {
    let mut entries: Vec<&Series> = Vec::new();
    for series in panel.series.iter().filter(|series| !series.name.trim().is_empty() && !series.mark.is_image()) {
        if !entries.iter().any(|entry| same_entry(entry, series)) {
            entries.push(series);
        }
    }
    entries
}

/// Whether lines carry markers, which tell them apart in grey print; beside measured points they would mislead.
fn lines_marked(panel: &Panel) -> bool {
    panel.series.iter().all(|series| series.mark != Mark::Points)
}

fn same_entry(a: &Series, b: &Series) -> bool {
    (&a.name, a.mark, a.color) == (&b.name, b.mark, b.color)
}

/// The values that an axis has to hold.
fn extent(series: &Series, x: bool) -> impl Iterator<Item = f64> + '_ {
    series.points.iter().flat_map(move |point| {
        let ends = match series.mark {
            Mark::Band => [point.lo, point.hi, point.lo],
            Mark::Points => [point.y, point.lo, point.hi],
            Mark::Cloud | Mark::Line | Mark::Dashed | Mark::Dotted => [point.y; 3],
            Mark::Greys | Mark::Signed => [f64::NAN; 3],
        };
        if x { [point.x; 3] } else { ends }
    })
}

/// An axis's label, with the power of ten that its ticks leave out.
fn axis_label(label: &str, scale: &Scale) -> String {
    match scale.exponent {
        0 => label.to_owned(),
        exponent if label.trim().is_empty() => format!("×10^{{{exponent}}}"),
        exponent => format!("{label} (×10^{{{exponent}}})"),
    }
}

/// A panel with its scales, texts broken into lines, and the room they take.
struct Layout<'a> {
    panel: &'a Panel,
    x: Scale,
    y: Scale,
    title: Vec<String>,
    /// Label of the axis along the bottom.
    below: Vec<String>,
    /// Label of the axis at the left.
    beside: Vec<String>,
    left: f64,
    right: f64,
    height: f64,
    /// Whether the panel's x goes downwards, by names.
    down: bool,
}

impl<'a> Layout<'a> {
    fn new(panel: &'a Panel, cell: f64) -> Self {
        let values = |x: bool| panel.series.iter().flat_map(move |series| extent(series, x));
        let down = !panel.x.names.is_empty();
        let height = if down { (NAME_HEIGHT * panel.x.names.len() as f64).max(80.0) } else { PLOT_HEIGHT };
        let (side, base) = if down { (&panel.x, &panel.y) } else { (&panel.y, &panel.x) };
        let beside = Scale::new(side, values(down), |ticks| axis::fit_across(ticks, height, TICK));
        let beside_label = text::wrap(&axis_label(&side.label, &beside), height / LABEL);
        let tick_width = beside.ticks.iter().map(|tick| text::width(&tick.1)).fold(0.0, f64::max) * TICK;
        let left = (14.0 + beside_label.len() as f64 * LABEL * LEADING + tick_width + 8.0).min(0.5 * cell);
        // The last label of the horizontal axis may stand out by half.
        let right = 22.0;
        let width = cell - left - right;
        let below = Scale::new(base, values(!down), |ticks| axis::fit_along(ticks, width, TICK));
        let below_label = text::wrap(&axis_label(&base.label, &below), width / LABEL);
        let title = text::wrap(&panel.title, (cell - 20.0) / LABEL / 1.1);
        let (x, y) = if down { (beside, below) } else { (below, beside) };
        Self { panel, x, y, title, below: below_label, beside: beside_label, left, right, height, down }
    }
}

/// Where a text stands and how.
#[derive(Clone, Copy)]
struct TextAt {
    x: f64,
    y: f64,
    size: f64,
    anchor: HPos,
    bold: bool,
    rotated: bool,
}

impl TextAt {
    /// Centred.
    fn new(x: f64, y: f64, size: f64) -> Self {
        Self { x, y, size, anchor: HPos::Center, bold: false, rotated: false }
    }

    fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// What painting gives; an error says why it failed.
type Painted<T> = Result<T, String>;

/// The rectangle that a panel's unit square is painted on; x goes to the right and y upwards, or x downwards and y to the
/// right.
#[derive(Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    down: bool,
}

impl Frame {
    fn at(&self, (x, y): Place) -> Place {
        if self.down {
            return (self.left + y * (self.right - self.left), self.top + x * (self.bottom - self.top));
        }
        (self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top))
    }
}

/// The figure so far, in painted units.
struct Canvas {
    out: String,
}

impl Canvas {
    /// Paints into a group of its own, with these attributes.
    fn group(&mut self, attributes: &str, paint: impl FnOnce(&mut SVGBackend) -> Painted<()>) -> Painted<()> {
        let mut painted = String::new();
        let mut painter = SVGBackend::with_string(&mut painted, (1, 1));
        paint(&mut painter)?;
        painter.present().map_err(|error| error.to_string())?;
        drop(painter);
        // The painter's own <svg> is left out.
        let body =
            painted.find('>').zip(painted.rfind("</svg>")).and_then(|(open, close)| painted.get(open + 1..close));
        let body = body.ok_or("plotters wrote no SVG")?.trim();
        if !body.is_empty() {
            self.out.push_str(&format!("<g{attributes}>\n{body}\n</g>\n"));
        }
        Ok(())
    }

    /// A line of text, its middle at `at.y`.
    fn text(&mut self, text: &str, at: TextAt) -> Painted<()> {
        let style = if at.bold { FontStyle::Bold } else { FontStyle::Normal };
        // plotters divides font sizes by 1.24.
        let font = FontDesc::new(FontFamily::Name(FONTS), (at.size * UNITS * 1.24).round(), style);
        let font = if at.rotated { font.transform(FontTransform::Rotate270) } else { font };
        let style = TextStyle { font, color: INK.to_backend_color(), pos: Pos::new(at.anchor, VPos::Center) };
        self.group("", |painter| {
            painter.draw_text(&scripts::mark(text), &style, units((at.x, at.y))).map_err(|error| error.to_string())
        })
    }

    /// Lines of text, the first below `at.y`; gives the lower end of the last.
    fn lines(&mut self, lines: &[String], at: TextAt) -> Painted<f64> {
        let step = at.size * LEADING;
        for (i, line) in lines.iter().enumerate() {
            self.text(line, TextAt { y: at.y + (i as f64 + 0.5) * step, ..at })?;
        }
        Ok(at.y + lines.len() as f64 * step)
    }

    /// Panels beside each other, the row's upper end at `y`; gives its lower end.
    fn row(&mut self, panels: &[Panel], cell: f64, y: f64, legends: bool) -> Painted<f64> {
        let layouts: Vec<Layout> = panels.iter().map(|panel| Layout::new(panel, cell)).collect();
        let title_lines = layouts.iter().map(|layout| layout.title.len()).max().unwrap_or(0);
        let label_lines = layouts.iter().map(|layout| layout.below.len()).max().unwrap_or(0);
        let top = y + title_lines as f64 * LABEL * LEADING + 10.0;
        let bottom = top + layouts.iter().map(|layout| layout.height).fold(0.0, f64::max);
        let below = bottom + 26.0 + label_lines as f64 * LABEL * LEADING;
        let mut end = below;
        for (i, layout) in layouts.iter().enumerate() {
            let x = i as f64 * cell;
            let frame = Frame { left: x + layout.left, right: x + cell - layout.right, top, bottom, down: layout.down };
            self.panel(layout, frame, (x, y))?;
            if legends {
                let entries = legend_entries(layout.panel);
                let lines_marked = lines_marked(layout.panel);
                end = end.max(self.legend(&entries, lines_marked, (x + 16.0, x + cell - 10.0), below + 8.0)?);
            }
        }
        Ok(end)
    }

    /// A row of images with their names and the scale of their values, its upper end at `y`; gives its lower end.
    fn images(&mut self, panel: &Panel, width: f64, y: f64) -> Painted<f64> {
        let left = 14.0;
        let title = text::wrap(&panel.title, (width - 2.0 * left) / LABEL / 1.1);
        let at = TextAt { anchor: HPos::Left, ..TextAt::new(left, y, LABEL).bold() };
        let top = self.lines(&title, at)? + 6.0;
        let count = panel.series.len().max(1) as f64;
        let edge = ((width - 2.0 * left - SCALE_WIDTH + IMAGE_GAP) / count - IMAGE_GAP).min(IMAGE);
        let scale = image::Scale::of(panel);
        let mut end = top + edge;
        for (i, series) in panel.series.iter().enumerate() {
            let x = left + i as f64 * (edge + IMAGE_GAP);
            self.out.push_str(&image::svg(series, scale, (x * UNITS, top * UNITS), edge * UNITS));
            let name = text::wrap(&series.name, edge / TICK / 0.9);
            end = end.max(self.lines(&name, TextAt::new(x + edge / 2.0, top + edge + 3.0, TICK))?);
        }
        // The scale stands right of the last image.
        let x = left + count * (edge + IMAGE_GAP) + 8.0;
        let mark = panel.series.first().map_or(Mark::Greys, |series| series.mark);
        self.out.push_str(&image::bar(mark, scale, (x * UNITS, top * UNITS), (12.0 * UNITS, edge * UNITS)));
        let ends = [(scale.high, 0.0), (f64::midpoint(scale.low, scale.high), 0.5), (scale.low, 1.0)];
        for (value, place) in ends {
            let at = TextAt::new(x + 18.0, top + TICK / 2.0 + place * (edge - TICK), TICK);
            self.text(&text::number(value, 2), TextAt { anchor: HPos::Left, ..at })?;
        }
        for (i, line) in text::wrap(&panel.y.label, edge / TICK).iter().enumerate() {
            let x = x + 62.0 + i as f64 * TICK * LEADING;
            self.text(line, TextAt { rotated: true, ..TextAt::new(x, top + edge / 2.0, TICK) })?;
        }
        Ok(end)
    }

    fn panel(&mut self, layout: &Layout, frame: Frame, corner: Place) -> Painted<()> {
        let centre = (frame.left + frame.right) / 2.0;
        let (below, beside) = if layout.down { (&layout.y, &layout.x) } else { (&layout.x, &layout.y) };
        // Places on the two axes as places of the panel.
        let along = |place: f64| if layout.down { (0.0, place) } else { (place, 0.0) };
        let across = |place: f64| if layout.down { (place, 0.0) } else { (0.0, place) };
        self.lines(&layout.title, TextAt::new(centre, corner.1, LABEL).bold())?;
        self.group("", |painter| {
            for (place, _) in &layout.x.ticks {
                line(painter, &[frame.at((*place, 0.0)), frame.at((*place, 1.0))], GRID, 1.0)?;
            }
            for (place, _) in &layout.y.ticks {
                line(painter, &[frame.at((0.0, *place)), frame.at((1.0, *place))], GRID, 1.0)?;
            }
            Ok(())
        })?;
        for series in &layout.panel.series {
            self.series(series, layout, frame)?;
        }
        self.group("", |painter| {
            let corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)];
            line(painter, &corners.map(|corner| frame.at(corner)), FRAME, 1.0)?;
            let major = |ticks: &[(f64, String)]| ticks.iter().map(|tick| (tick.0, 5.0)).collect::<Vec<_>>();
            let minor = |ticks: &[f64]| ticks.iter().map(|tick| (*tick, 2.5)).collect::<Vec<_>>();
            for (place, length) in [major(&below.ticks), minor(&below.minor)].concat() {
                let (x, y) = (frame.at(along(place)).0, frame.bottom);
                line(painter, &[(x, y), (x, y + length)], FRAME, 1.0)?;
            }
            for (place, length) in [major(&beside.ticks), minor(&beside.minor)].concat() {
                let (x, y) = (frame.left, frame.at(across(place)).1);
                line(painter, &[(x - length, y), (x, y)], FRAME, 1.0)?;
            }
            Ok(())
        })?;
        for (place, label) in &below.ticks {
            self.text(label, TextAt::new(frame.at(along(*place)).0, frame.bottom + 15.0, TICK))?;
        }
        for (place, label) in &beside.ticks {
            let at = TextAt::new(frame.left - 8.0, frame.at(across(*place)).1, TICK);
            self.text(label, TextAt { anchor: HPos::Right, ..at })?;
        }
        self.lines(&layout.below, TextAt::new(centre, frame.bottom + 24.0, LABEL))?;
        for (i, label) in layout.beside.iter().enumerate() {
            let x = corner.0 + 12.0 + (i as f64 + 0.5) * LABEL * LEADING;
            self.text(label, TextAt { rotated: true, ..TextAt::new(x, (frame.top + frame.bottom) / 2.0, LABEL) })?;
        }
        Ok(())
    }

    fn series(&mut self, series: &Series, layout: &Layout, frame: Frame) -> Painted<()> {
        let color = ink(series);
        let places: Vec<Option<Place>> =
            series.points.iter().map(|point| Some((layout.x.place(point.x)?, layout.y.place(point.y)?))).collect();
        let visible = |place: &Place| (0.0..=1.0).contains(&place.0) && (0.0..=1.0).contains(&place.1);
        match series.mark {
            Mark::Band => self.group("", |painter| {
                for area in areas(&series.points, layout) {
                    let corners: Vec<(i32, i32)> =
                        path::clip_area(area).into_iter().map(|corner| units(frame.at(corner))).collect();
                    if corners.len() > 2 {
                        fill(painter, corners, color, BAND_OPACITY)?;
                    }
                }
                Ok(())
            }),
            Mark::Line | Mark::Dashed | Mark::Dotted => {
                self.group(&stroke(series), |painter| {
                    for piece in path::clip_line(&places) {
                        let piece: Vec<Place> = piece.into_iter().map(|place| frame.at(place)).collect();
                        line(painter, &piece, color, line_width(series.mark))?;
                    }
                    Ok(())
                })?;
                let lone =
                    |i: usize| (i == 0 || places[i - 1].is_none()) && places.get(i + 1).is_none_or(Option::is_none);
                // Each series' markers start at a distance of its own.
                let mut room = 12.0 * (series.color % PALETTE.len()) as f64;
                let mut last: Option<Place> = None;
                self.group("", |painter| {
                    for (i, place) in places.iter().enumerate() {
                        let Some(place) = place.filter(visible) else { continue };
                        let at = frame.at(place);
                        room -= last.map_or(0.0, |last| (at.0 - last.0).hypot(at.1 - last.1));
                        last = Some(at);
                        if series.mark == Mark::Line && (lone(i) || (room <= 0.0 && lines_marked(layout.panel))) {
                            marker(painter, series.color, at, MARKER)?;
                            room = MARKER_DISTANCE;
                        } else if lone(i) {
                            cloud(painter, series.color, at)?;
                        }
                    }
                    Ok(())
                })
            }
            // Images have rows of their own.
            Mark::Greys | Mark::Signed => Ok(()),
            Mark::Cloud => self.group("", |painter| {
                for place in places.iter().flatten().filter(|place| visible(place)) {
                    cloud(painter, series.color, frame.at(*place))?;
                }
                Ok(())
            }),
            Mark::Points => {
                self.group("", |painter| {
                    for (point, place) in series.points.iter().zip(&places) {
                        let Some(place) = place.filter(|place| (0.0..=1.0).contains(&place.0)) else { continue };
                        let ends = layout.y.place_end(point.lo).zip(layout.y.place_end(point.hi));
                        if let Some((low, high)) = ends.filter(|_| point.lo < point.hi) {
                            error_bar(painter, frame, place.0, (low, high), color)?;
                        }
                    }
                    Ok(())
                })?;
                self.group("", |painter| {
                    for place in places.iter().flatten().filter(|place| visible(place)) {
                        marker(painter, series.color, frame.at(*place), MARKER)?;
                    }
                    Ok(())
                })
            }
        }
    }

    /// The legend from `left` to `right`, its upper end at `y`; gives its lower end.
    fn legend(&mut self, entries: &[&Series], lines_marked: bool, (left, right): (f64, f64), y: f64) -> Painted<f64> {
        let step = TICK * LEADING + 2.0;
        let (mut x, mut y, mut end) = (left, y, y);
        for entry in entries {
            let lines = text::wrap(&entry.name, (right - left - SAMPLE - 8.0) / TICK);
            let width = lines.iter().map(|line| text::width(line)).fold(0.0, f64::max) * TICK;
            if x > left && x + SAMPLE + 8.0 + width > right {
                (x, y) = (left, end);
            }
            self.sample(entry, lines_marked, (x, y + step / 2.0))?;
            for (i, line) in lines.iter().enumerate() {
                let at = TextAt::new(x + SAMPLE + 8.0, y + (i as f64 + 0.5) * step, TICK);
                self.text(line, TextAt { anchor: HPos::Left, ..at })?;
            }
            end = end.max(y + lines.len() as f64 * step);
            // On a grid, so that entries below each other align.
            let column = (right - left) / 12.0;
            x = left + ((x - left + SAMPLE + 8.0 + width + 12.0) / column).ceil() * column;
        }
        Ok(end)
    }

    /// A series as it looks, in the legend.
    fn sample(&mut self, series: &Series, lines_marked: bool, (x, y): Place) -> Painted<()> {
        let color = ink(series);
        let middle = (x + SAMPLE / 2.0, y);
        match series.mark {
            Mark::Band => self.group("", |painter| {
                let corners = [(x, y - 6.0), (x + SAMPLE, y - 6.0), (x + SAMPLE, y + 6.0), (x, y + 6.0)];
                fill(painter, corners.map(units).to_vec(), color, BAND_OPACITY)
            }),
            Mark::Line | Mark::Dashed | Mark::Dotted => {
                self.group(&stroke(series), |painter| {
                    line(painter, &[(x, y), (x + SAMPLE, y)], color, line_width(series.mark))
                })?;
                self.group("", |painter| match series.mark {
                    Mark::Line if lines_marked => marker(painter, series.color, middle, MARKER),
                    _ => Ok(()),
                })
            }
            Mark::Greys | Mark::Signed => Ok(()),
            Mark::Cloud => self.group("", |painter| {
                for (dx, dy) in [(-9.0, 2.0), (-2.0, -3.0), (3.0, 3.0), (9.0, -1.0)] {
                    cloud(painter, series.color, (middle.0 + dx, middle.1 + dy))?;
                }
                Ok(())
            }),
            Mark::Points => self.group("", |painter| {
                if series.points.iter().any(|point| point.lo < point.hi) {
                    let frame = Frame { left: x, right: x + SAMPLE, top: y - 7.0, bottom: y + 7.0, down: false };
                    error_bar(painter, frame, 0.5, (0.0, 1.0), color)?;
                }
                marker(painter, series.color, middle, MARKER)
            }),
        }
    }

    /// The whole figure, `width` by `height` pixels.
    fn finish(self, figure: &Figure, width: f64, height: f64) -> String {
        let (wide, high) = units((width, height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {wide} {high}\" role=\"img\" aria-label=\"{}\">\n<desc>{}</desc>\n\
             <rect width=\"{wide}\" height=\"{high}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            text::escape(&figure.title),
            text::escape(&description(figure)),
            scripts::set(&self.out)
        )
    }
}

/// The figure in words, for those who cannot see it.
fn description(figure: &Figure) -> String {
    let mut out = figure.caption.clone();
    for panel in &figure.panels {
        let title = if panel.title.is_empty() { "Panel" } else { &panel.title };
        if image::is_row(panel) {
            let names: Vec<&str> = panel.series.iter().map(|series| series.name.as_str()).collect();
            out.push_str(&format!("\n{title}: images, {}; {}.", panel.y.label, names.join(", ")));
            continue;
        }
        let names: Vec<&str> = legend_entries(panel).iter().map(|series| series.name.as_str()).collect();
        out.push_str(&format!("\n{title}: {} against {}; {}.", panel.y.label, panel.x.label, names.join(", ")));
    }
    out
}

fn units((x, y): Place) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

fn ink(series: &Series) -> RGBColor {
    PALETTE[series.color % PALETTE.len()]
}

fn line_width(mark: Mark) -> f64 {
    if mark == Mark::Dotted { 2.2 } else { 1.8 }
}

/// The attributes of a line's group.
fn stroke(series: &Series) -> String {
    let dashes = match series.mark {
        Mark::Dashed => {
            [" stroke-dasharray=\"80 50\"", " stroke-dasharray=\"130 45 25 45\"", " stroke-dasharray=\"45 30\""]
                [series.color % 3]
        }
        Mark::Dotted => " stroke-dasharray=\"1 48\" stroke-linecap=\"round\"",
        _ => "",
    };
    format!(" stroke-linejoin=\"round\"{dashes}")
}

fn line(painter: &mut SVGBackend, points: &[Place], color: RGBColor, width: f64) -> Painted<()> {
    let mut points: Vec<(i32, i32)> = points.iter().map(|point| units(*point)).collect();
    points.dedup();
    let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: (width * UNITS) as u32 };
    painter.draw_path(points, &style).map_err(|error| error.to_string())
}

fn fill(painter: &mut SVGBackend, corners: Vec<(i32, i32)>, color: RGBColor, opacity: f64) -> Painted<()> {
    painter.fill_polygon(corners, &color.mix(opacity)).map_err(|error| error.to_string())
}

/// A bar with caps from low to high at `x`, cut at the frame.
fn error_bar(painter: &mut SVGBackend, frame: Frame, x: f64, (low, high): Place, color: RGBColor) -> Painted<()> {
    if low > 1.0 || high < 0.0 {
        return Ok(());
    }
    line(painter, &[frame.at((x, low.max(0.0))), frame.at((x, high.min(1.0)))], color, 1.3)?;
    for end in [low, high].into_iter().filter(|end| (0.0..=1.0).contains(end)) {
        let (x, y) = frame.at((x, end));
        let cap = if frame.down { [(x, y - 3.5), (x, y + 3.5)] } else { [(x - 3.5, y), (x + 3.5, y)] };
        line(painter, &cap, color, 1.3)?;
    }
    Ok(())
}

/// The corners of the shape that goes with a colour, round the origin; none for the circle.
fn shape(color: usize) -> &'static [Place] {
    const SQUARE: &[Place] = &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)];
    const UP: &[Place] = &[(0.0, -1.25), (1.15, 0.85), (-1.15, 0.85)];
    const DIAMOND: &[Place] = &[(0.0, -1.35), (1.15, 0.0), (0.0, 1.35), (-1.15, 0.0)];
    const DOWN: &[Place] = &[(0.0, 1.25), (1.15, -0.85), (-1.15, -0.85)];
    const PLUS: &[Place] = &[
        (-0.42, -1.25),
        (0.42, -1.25),
        (0.42, -0.42),
        (1.25, -0.42),
        (1.25, 0.42),
        (0.42, 0.42),
        (0.42, 1.25),
        (-0.42, 1.25),
        (-0.42, 0.42),
        (-1.25, 0.42),
        (-1.25, -0.42),
        (-0.42, -0.42),
    ];
    const STAR: &[Place] = &[
        (0.0, -1.4),
        (0.38, -0.45),
        (1.33, -0.43),
        (0.57, 0.15),
        (0.82, 1.13),
        (0.0, 0.55),
        (-0.82, 1.13),
        (-0.57, 0.15),
        (-1.33, -0.43),
        (-0.38, -0.45),
    ];
    [&[], SQUARE, UP, DIAMOND, DOWN, PLUS, STAR][color % PALETTE.len()]
}

/// A marker in the shape and colour of a series, with a white rim; hollow from the second round of colours on.
fn marker(painter: &mut SVGBackend, color: usize, at: Place, radius: f64) -> Painted<()> {
    let ink = PALETTE[color % PALETTE.len()];
    let (inside, rim, width) = if color < PALETTE.len() { (ink, PAPER, 0.8) } else { (PAPER, ink, 1.5) };
    let rim_style = ShapeStyle { color: rim.to_rgba(), filled: false, stroke_width: (width * UNITS) as u32 };
    let corners: Vec<Place> = shape(color).iter().map(|p| (at.0 + radius * p.0, at.1 + radius * p.1)).collect();
    let Some(first) = corners.first().copied() else {
        let radius = (radius * UNITS) as u32;
        painter.draw_circle(units(at), radius, &inside, true).map_err(|error| error.to_string())?;
        return painter.draw_circle(units(at), radius, &rim_style, false).map_err(|error| error.to_string());
    };
    fill(painter, corners.iter().map(|corner| units(*corner)).collect(), inside, 1.0)?;
    line(painter, &[corners, vec![first]].concat(), rim, width)
}

/// A small marker of a cloud.
fn cloud(painter: &mut SVGBackend, color: usize, at: Place) -> Painted<()> {
    let ink = PALETTE[color % PALETTE.len()];
    let corners: Vec<(i32, i32)> =
        shape(color).iter().map(|p| units((at.0 + CLOUD * p.0, at.1 + CLOUD * p.1))).collect();
    if corners.is_empty() {
        let radius = (CLOUD * UNITS) as u32;
        return painter.draw_circle(units(at), radius, &ink.mix(0.6), true).map_err(|error| error.to_string());
    }
    fill(painter, corners, ink, 0.6)
}

/// The areas of a band between gaps, before cutting.
fn areas(points: &[Point], layout: &Layout) -> Vec<Vec<Place>> {
    let ends = |point: &Point| {
        let (x, low, high) = (layout.x.place(point.x)?, layout.y.place_end(point.lo)?, layout.y.place_end(point.hi)?);
        Some(((x, low), (x, high)))
    };
    let ends: Vec<_> = points.iter().map(ends).collect();
    ends.split(Option::is_none)
        .map(|run| {
            let lower = run.iter().flatten().map(|pair| pair.0);
            lower.chain(run.iter().rev().flatten().map(|pair| pair.1)).collect()
        })
        .collect()
}

/// Sub- and superscripts: plotters escapes markup, so its place is held by private characters until the end.
mod scripts {
    use super::super::text::{Script, pieces, printable};
    use super::SCRIPT_SIZE;

    const KINDS: [Script; 3] = [Script::Normal, Script::Sub, Script::Super];
    const END: char = '\u{e010}';
    const START: char = '\u{e011}';

    fn private(from: usize, to: usize) -> char {
        char::from_u32(0xe000 + (3 * from + to) as u32).unwrap_or(END)
    }

    /// A text with private characters where its pieces start and end.
    pub(super) fn mark(text: &str) -> String {
        let mut from = 0;
        let mut out = START.to_string();
        for (script, piece) in pieces(text) {
            let to = KINDS.iter().position(|kind| *kind == script).unwrap_or(0);
            let piece =
                piece.chars().map(|c| if ('\u{e000}'..=START).contains(&c) { '\u{fffd}' } else { printable(c) });
            if from == 0 && to == 0 {
                out.extend(piece);
            } else {
                out.push(private(from, to));
                out.extend(piece);
                out.push(END);
            }
            from = to;
        }
        out
    }

    /// The private characters replaced by elements, and the line breaks that plotters puts round texts left out.
    pub(super) fn set(svg: &str) -> String {
        // Depth of the line, in font sizes of the text.
        let depth = [0.0, 0.22, -0.36];
        let mut out = svg.replace(&format!("\n{START}"), "").replace("\n</text>", "</text>").replace(END, "</tspan>");
        for from in 0..3 {
            for to in 0..3 {
                let size = if to == 0 { 1.0 } else { SCRIPT_SIZE };
                let font = if to == 0 { String::new() } else { format!(" font-size=\"{SCRIPT_SIZE}em\"") };
                let dy = (depth[to] - depth[from]) / size;
                out = out.replace(private(from, to), &format!("<tspan dy=\"{dy:.3}em\"{font}>"));
            }
        }
        out
    }
}
