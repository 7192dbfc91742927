//! Axes of figures: ranges from the data, and ticks that read well.

use super::model::Axis;
use super::text;

/// Values beyond this, or on logarithmic axes below its inverse, are left out, so that no sum or power overflows.
const LARGEST: f64 = 1e300;

/// Where values stand along an axis, and its ticks.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    log: bool,
    /// Ends, in decades on a logarithmic axis.
    low: f64,
    high: f64,
    /// Places in `[0, 1]` with their labels.
    pub(super) ticks: Vec<(f64, String)>,
    /// Places in `[0, 1]` of the unlabelled ticks.
    pub(super) minor: Vec<f64>,
    /// The labels are in units of ten to this power.
    pub(super) exponent: i32,
}

impl Scale {
    /// The scale of an axis over these values, with as many ticks as `fits` accepts the labels of.
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, fits: impl Fn(&[(f64, String)]) -> bool) -> Self {
        let mut scale = Self { log: axis.log, low: 0.0, high: 1.0, ticks: Vec::new(), minor: Vec::new(), exponent: 0 };
        if !axis.names.is_empty() {
            (scale.log, scale.low, scale.high) = (false, -0.5, axis.names.len() as f64 - 0.5);
            let place = |(i, name): (usize, &String)| (scale.fraction(i as f64), name.clone());
            scale.ticks = axis.names.iter().enumerate().map(place).collect();
            return scale;
        }
        let stated = axis.range.and_then(|[low, high]| Some((scale.value(low)?, scale.value(high)?)));
        let (mut low, mut high) = match stated {
            Some((low, high)) if low < high => (low, high),
            _ => scale.range(values),
        };
        // Room for the markers at the ends; ticks stay within what was asked for.
        (scale.low, scale.high) = (low - 0.04 * (high - low), high + 0.04 * (high - low));
        if stated.is_none() {
            (low, high) = (scale.low, scale.high);
        }
        for count in [7, 6, 5, 4, 3, 2] {
            if scale.log {
                scale.log_ticks(low, high, count);
            } else {
                scale.linear_ticks(low, high, count);
            }
            if fits(&scale.ticks) {
                break;
            }
        }
        scale
    }

    /// A value in the axis's own units: decades or itself; `None` if it has no place there.
    fn value(&self, x: f64) -> Option<f64> {
        if self.log {
            (LARGEST.recip()..=LARGEST).contains(&x).then(|| x.log10())
        } else {
            (x.abs() <= LARGEST).then_some(x)
        }
    }

    /// Where a value stands: 0 and 1 are the ends; `None` if it has no place.
    pub(super) fn place(&self, x: f64) -> Option<f64> {
        self.value(x).map(|x| self.fraction(x))
    }

    /// Where the end of an interval stands: off the end of the axis where it has no place of its own.
    pub(super) fn place_end(&self, x: f64) -> Option<f64> {
        if x.is_nan() {
            return None;
        }
        Some(self.place(x).unwrap_or(if x > 1.0 { 2.0 } else { -1.0 }))
    }

    fn fraction(&self, x: f64) -> f64 {
        (x - self.low) / (self.high - self.low)
    }

    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let (low, high) = values
            .filter_map(|x| self.value(x))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            return (0.0, 1.0);
        }
        let size = low.abs().max(high.abs());
        if high - low > 1e-9 * size && high - low > 1e-290 {
            return (low, high);
        }
        let pad = if self.log {
            0.3
        } else if size > 1e-280 {
            0.1 * size
        } else {
            1.0
        };
        (low - pad, high + pad)
    }

    fn linear_ticks(&mut self, low: f64, high: f64, count: usize) {
        let (step, ticks) = linear(low, high, count);
        let size = ticks.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
        let exponent = size.log10().floor();
        self.exponent = if size > 0.0 && !(-3.0..5.0).contains(&exponent) { exponent as i32 } else { 0 };
        self.ticks = labelled(step, &ticks, self.exponent).map(|(x, label)| (self.fraction(x), label)).collect();
    }

    fn log_ticks(&mut self, low: f64, high: f64, count: usize) {
        let decades: Vec<i32> = ((low - 1e-9).ceil() as i32..=(high + 1e-9).floor() as i32).collect();
        let all: Vec<(i32, i32)> =
            (low.floor() as i32..=high.floor() as i32).flat_map(|k| (1..10).map(move |digit| (digit, k))).collect();
        let place = |&(digit, k): &(i32, i32)| f64::from(k) + f64::from(digit).log10();
        let inside = |x: f64| (low - 1e-9..=high + 1e-9).contains(&x);
        self.minor = Vec::new();
        if decades.len() > 2 {
            // Whole decades, every one or every `stride`th.
            let least = decades.len().div_ceil(count) as i32;
            let stride =
                [1, 2, 3, 5, 10, 20, 50, 100, 200].into_iter().find(|stride| *stride >= least).unwrap_or(least);
            let plain = decades.iter().all(|k| (-3..=4).contains(k));
            let labels = decades.iter().filter(|k| k.rem_euclid(stride) == 0);
            self.ticks = labels.map(|&k| (self.fraction(f64::from(k)), decade(1, k, plain))).collect();
            self.minor = match stride {
                1 => all.iter().map(place).filter(|&x| inside(x)).map(|x| self.fraction(x)).collect(),
                2..=5 => decades.iter().map(|&k| self.fraction(f64::from(k))).collect(),
                _ => Vec::new(),
            };
            return;
        }
        let inner: Vec<&(i32, i32)> =
            all.iter().filter(|tick| matches!(tick.0, 1 | 2 | 5) && inside(place(tick))).collect();
        let plain = all.iter().all(|tick| (-3..=4).contains(&tick.1));
        if inner.len() > 2 {
            let digits = |digit| count >= inner.len() || digit == 1 || (digit != 2 && count > 2);
            let labels = inner.iter().filter(|tick| digits(tick.0));
            self.ticks = labels.map(|tick| (self.fraction(place(tick)), decade(tick.0, tick.1, plain))).collect();
            self.minor = all.iter().map(place).filter(|&x| inside(x)).map(|x| self.fraction(x)).collect();
            return;
        }
        // Less than a decade: even steps, unevenly spaced.
        let (step, ticks) = linear(10f64.powf(low), 10f64.powf(high), count.min(5));
        let exponent = if plain { 0 } else { low.floor() as i32 };
        self.ticks = labelled(step, &ticks, exponent)
            .filter_map(|(x, label)| self.place(x).map(|place| (place, label)))
            .filter(|(place, _)| (0.0..=1.0).contains(place))
            .map(|(place, label)| (place, if exponent == 0 { label } else { format!("{label}×10^{{{exponent}}}") }))
            .collect();
    }
}

/// `digit · 10^k` as a label.
fn decade(digit: i32, k: i32, plain: bool) -> String {
    if plain {
        let decimals = usize::try_from(-k).unwrap_or(0);
        format!("{:.decimals$}", f64::from(digit) * 10f64.powi(k))
    } else if digit == 1 {
        format!("10^{{{k}}}")
    } else {
        format!("{digit}×10^{{{k}}}")
    }
}

/// Multiples of a round step within `[low, high]`, at most about `count`, and the step.
fn linear(low: f64, high: f64, count: usize) -> (f64, Vec<f64>) {
    let raw = (high - low) / count as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|x| x * power).find(|x| *x >= raw).unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil();
    let ticks = (0..=count + 1).map(|i| (first + i as f64) * step).filter(|x| *x <= high + 1e-9 * step).collect();
    (step, ticks)
}

/// Labels with as many decimals as the step needs, in units of `10^exponent`.
fn labelled(step: f64, ticks: &[f64], exponent: i32) -> impl Iterator<Item = (f64, String)> {
    let decimals = (f64::from(exponent) - (step * 1.000_001).log10().floor()).clamp(0.0, 15.0) as usize;
    ticks.iter().map(move |&x| {
        // In two halves: ten to the power of 310 is none.
        let half = exponent / 2;
        let label = format!("{:.decimals$}", x / 10f64.powi(half) / 10f64.powi(exponent - half));
        let zero = label.chars().all(|c| matches!(c, '-' | '0' | '.'));
        (x, if zero { "0".to_owned() } else { label.replace('-', "−") })
    })
}

/// Whether labels beside each other along `length` do not touch, at this font size.
pub(super) fn fit_along(ticks: &[(f64, String)], length: f64, font: f64) -> bool {
    ticks.windows(2).all(|pair| {
        let half = |tick: &(f64, String)| 0.5 * font * text::width(&tick.1);
        (pair[1].0 - pair[0].0) * length > half(&pair[0]) + half(&pair[1]) + 0.7 * font
    })
}

/// Whether labels above each other along `length` do not touch, at this font size.
pub(super) fn fit_across(ticks: &[(f64, String)], length: f64, font: f64) -> bool {
    ticks.windows(2).all(|pair| (pair[1].0 - pair[0].0) * length > 1.9 * font)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(log: bool, range: Option<[f64; 2]>, values: &[f64]) -> Vec<String> {
        let axis = Axis { label: String::new(), log, range, names: Vec::new() };
        let scale = Scale::new(&axis, values.iter().copied(), |ticks| fit_along(ticks, 400.0, 12.0));
        assert!(scale.ticks.len() >= 2, "{values:?}: {:?}", scale.ticks);
        assert!(scale.ticks.iter().all(|(place, _)| (-1e-6..=1.000_001).contains(place)), "{:?}", scale.ticks);
        assert!(scale.ticks.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1), "{scale:?}");
        assert!(fit_along(&scale.ticks, 400.0, 12.0), "{:?}", scale.ticks);
        scale.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_read_well() {
        assert_eq!(labels(false, Some([0.0, 1.0]), &[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(zero));
        assert_eq!(
            labels(true, None, &[0.01, 100.0]),
            ["0.01", "0.10", "1", "10", "100"].map(|x| { if x == "0.10" { "0.1".to_owned() } else { x.to_owned() } })
        );
        assert_eq!(labels(true, None, &[1e3, 1e6]), ["10^{3}", "10^{4}", "10^{5}", "10^{6}"]);
        assert_eq!(labels(true, None, &[16.0, 256.0]), ["20", "50", "100", "200"]);
        assert_eq!(labels(true, None, &[0.2, 0.4]), ["0.20", "0.25", "0.30", "0.35", "0.40"].map(str::to_owned));
    }

    fn zero(label: &str) -> String {
        if label == "0.0" { "0".to_owned() } else { label.to_owned() }
    }

    #[test]
    fn odd_ranges_have_ticks() {
        for values in [
            &[][..],
            &[f64::NAN, f64::INFINITY],
            &[0.0],
            &[3.0],
            &[-3.0, -3.0],
            &[1e-300],
            &[5e-324, 1e-320],
            &[-1e300, 1e300],
            &[f64::MIN, f64::MAX],
            &[1e9, 1e9 + 1.0],
            &[1e15, 1e15 + 1.0],
            &[-0.001, 0.001],
            &[5e-324, f64::MAX],
            &[1e-300, 1e300],
            &[99.0, 101.0],
            &[0.9, 1.1],
            &[1.0, 1.000_001],
            &[1.0, 1.0 + 1e-12],
        ] {
            for log in [false, true] {
                labels(log, None, values);
                labels(log, Some([f64::NAN, 1.0]), values);
                labels(log, Some([1.0, 0.0]), values);
                labels(log, Some([0.0, 1.0]), values);
            }
        }
    }
}
