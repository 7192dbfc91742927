//! What a setting's runs say of the paper's statement, in numbers and in words.
//!
//! The statement, seed by seed: the background correlation ends above its start, and above the linear network's from the
//! same data; and the OOD loss ends further above the ID loss than the linear network's does. If one of the three were as
//! likely as not, it would come out in all of n seeds with probability 2⁻ⁿ.

use serde::Serialize;

use super::results::{Group, Results};
use super::setting::{self, Setting};
use crate::report::text::number;
use crate::stats::{median, quantile};

/// Columns of the curves, [`super::COLUMNS`].
pub(super) const ID: usize = 0;
pub(super) const OOD: usize = 1;
pub(super) const CORE: usize = 2;
pub(super) const BACKGROUND: usize = 3;

/// Median and range over seeds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let at = |q| quantile(values, q).unwrap_or(f64::NAN);
        Self { median: median(values).unwrap_or(f64::NAN), least: at(0.0), most: at(1.0) }
    }
}

/// In how many seeds something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    pub seeds: usize,
    pub of: usize,
}

impl Count {
    fn of(values: impl Iterator<Item = bool>) -> Self {
        let mut count = Self { seeds: 0, of: 0 };
        for value in values {
            count.of += 1;
            count.seeds += usize::from(value);
        }
        count
    }

    pub fn all(self) -> bool {
        self.seeds == self.of
    }

    pub fn words(self) -> String {
        match self.seeds {
            0 if self.of > 1 => format!("none of {} seeds", self.of),
            seeds if seeds == self.of && seeds > 1 => format!("all {seeds} seeds"),
            seeds => format!("{seeds} of {} seed{}", self.of, if self.of == 1 { "" } else { "s" }),
        }
    }
}

/// A setting beside its linear network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    /// Background at the end over the linear network's.
    pub background: Spread,
    /// Seeds in which the background ends above the linear network's.
    pub more_background: Count,
    /// OOD loss − ID loss at the end.
    pub gap: Spread,
    /// The linear network's.
    pub linear_gap: Spread,
    /// Seeds in which the gap is wider than the linear network's.
    pub wider_gap: Count,
}

/// A setting, read.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reading {
    pub setting: Setting,
    pub iterations: u64,
    /// Background correlation, end over start.
    pub background: Spread,
    /// Seeds in which it has grown.
    pub grows: Count,
    /// Core correlation, end over start.
    pub core: Spread,
    pub id_loss: Spread,
    pub ood_loss: Spread,
    /// What weight decay alone would leave of a weight, of its start.
    pub decay_alone: Option<f64>,
    /// Beside the linear network; `None` for that itself.
    pub comparison: Option<Comparison>,
}

impl Reading {
    pub fn of(results: &Results, setting: &Setting) -> Option<Self> {
        let group = results.of(setting)?;
        let ratio = |column: usize| -> Vec<f64> {
            group.end(column).iter().zip(group.start(column)).map(|(end, start)| end / start).collect()
        };
        let background = ratio(BACKGROUND);
        let control = (!setting.is_control()).then(|| results.of(&setting.control())).flatten();
        Some(Self {
            iterations: results.sizes.iterations(setting),
            background: Spread::of(&background),
            grows: Count::of(background.iter().map(|&ratio| ratio > 1.0)),
            core: Spread::of(&ratio(CORE)),
            id_loss: Spread::of(&group.end(ID)),
            ood_loss: Spread::of(&group.end(OOD)),
            decay_alone: results.sizes.decay_alone(setting),
            comparison: control.map(|control| Comparison::of(group, control)),
            setting: setting.clone(),
        })
    }

    /// Whether the paper's statement is seen in every seed; `None` for the linear network.
    pub fn seen(&self) -> Option<bool> {
        let comparison = self.comparison.as_ref()?;
        Some(self.grows.all() && comparison.more_background.all() && comparison.wider_gap.all())
    }

    /// Whether nothing speaks against the statement but that the background has not grown in every seed.
    fn shrinks_less(&self) -> bool {
        let more = |comparison: &Comparison| comparison.more_background.all() && comparison.wider_gap.all();
        !self.grows.all() && self.comparison.as_ref().is_some_and(more)
    }

    /// What speaks against the statement.
    pub fn against(&self) -> Vec<String> {
        let Some(comparison) = &self.comparison else { return vec![] };
        let size = |spread: Spread| number(spread.median, 3);
        let mut out = Vec::new();
        if !self.grows.all() {
            out.push(format!("background {} × its start, grown in {}", size(self.background), self.grows.words()));
        }
        if !comparison.more_background.all() {
            let (size, count) = (size(comparison.background), comparison.more_background);
            out.push(format!("background {size} × the linear network's, above it in {}", count.words()));
        }
        if !comparison.wider_gap.all() {
            out.push(format!(
                "OOD − ID loss {} beside the linear network's {}, wider in {}",
                size(comparison.gap),
                size(comparison.linear_gap),
                comparison.wider_gap.words()
            ));
        }
        out
    }
}

impl Comparison {
    fn of(group: &Group, control: &Group) -> Self {
        let pairs = |a: Vec<f64>, b: Vec<f64>, by: fn(f64, f64) -> f64| -> Vec<f64> {
            a.into_iter().zip(b).map(|(a, b)| by(a, b)).collect()
        };
        let background = pairs(group.end(BACKGROUND), control.end(BACKGROUND), |a, b| a / b);
        let gap = |group: &Group| pairs(group.end(OOD), group.end(ID), |ood, id| ood - id);
        let (own, linear) = (gap(group), gap(control));
        Self {
            more_background: Count::of(background.iter().map(|&ratio| ratio > 1.0)),
            background: Spread::of(&background),
            wider_gap: Count::of(own.iter().zip(&linear).map(|(own, linear)| own > linear)),
            gap: Spread::of(&own),
            linear_gap: Spread::of(&linear),
        }
    }
}

/// What a linear network's background did, with its size.
fn linear_words(reading: &Reading) -> String {
    let size = number(reading.background.median, 3);
    let alone = match reading.decay_alone {
        Some(alone) => format!(" (weight decay alone leaves {})", number(alone, 3)),
        None => String::new(),
    };
    match reading.grows.seeds {
        0 => format!("stays below its start, at {size} ×{alone}"),
        _ if reading.grows.all() => format!("grows too, to {size} ×{alone}"),
        _ => format!("ends at {size} × its start{alone}, above it in {}", reading.grows.words()),
    }
}

/// A network beside the linear one, in sentences.
pub(super) fn pair_text(results: &Results, setting: &Setting) -> String {
    let (Some(own), Some(linear)) = (Reading::of(results, setting), Reading::of(results, &setting.control())) else {
        return String::new();
    };
    let name = setting::activation(setting.activation);
    let n = |x: f64| number(x, 2);
    format!(
        "{name}: the ID loss ends at {}, the OOD loss at {}; the core correlation ends at {} × its start, the background's at \
         {} ×. Linear network: ID loss {}, OOD loss {}; its core ends at {} ×, and its background {}. ",
        n(own.id_loss.median),
        n(own.ood_loss.median),
        number(own.core.median, 3),
        number(own.background.median, 3),
        n(linear.id_loss.median),
        n(linear.ood_loss.median),
        number(linear.core.median, 3),
        linear_words(&linear),
    )
}

/// Where the statement is seen in every seed and where not, and why not; `label` names a setting.
pub(super) fn verdict_text(readings: &[Reading], label: impl Fn(&Setting) -> String) -> String {
    let judged: Vec<&Reading> = readings.iter().filter(|reading| reading.comparison.is_some()).collect();
    let every = judged.first().map(|reading| Count { seeds: reading.grows.of, ..reading.grows }.words());
    let every = every.unwrap_or_default();
    let names = |chosen: &[&Reading], size: bool| {
        let name = |reading: &&Reading| match size {
            true => format!("{} ({} ×)", label(&reading.setting), number(reading.background.median, 3)),
            false => label(&reading.setting),
        };
        chosen.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let (seen, not): (Vec<&Reading>, Vec<&Reading>) =
        judged.into_iter().partition(|reading| reading.seen() == Some(true));
    let (less, other): (Vec<&Reading>, Vec<&Reading>) = not.into_iter().partition(|reading| reading.shrinks_less());
    let mut out = String::new();
    if !seen.is_empty() {
        out.push_str(&format!("The paper's statement is seen in {every} with {}. ", names(&seen, false)));
    }
    if !less.is_empty() {
        out.push_str(&format!(
            "With {} the background does not end above its start in every seed; yet in {every} it ends above the linear \
             network's, and the gap between OOD and ID loss is the wider one. ",
            names(&less, true)
        ));
    }
    match other.as_slice() {
        [] => {}
        [one] => {
            let against = one.against().join("; ");
            out.push_str(&format!("Not in every seed with {}: {against}. ", label(&one.setting)));
        }
        many => out.push_str(&format!(
            "Not in every seed with {}: the table says which of the three things fails. ",
            names(many, true)
        )),
    }
    out
}

/// The least and the greatest growth of the background, with whose it is.
pub(super) fn growth_text(readings: &[Reading], label: impl Fn(&Setting) -> String) -> String {
    let judged = || readings.iter().filter(|reading| reading.comparison.is_some());
    let by = |a: &&Reading, b: &&Reading| a.background.median.total_cmp(&b.background.median);
    match judged().min_by(by).zip(judged().max_by(by)) {
        Some((least, most)) => format!(
            "the background ends at {} ({}) to {} ({}) × its start",
            number(least.background.median, 3),
            label(&least.setting),
            number(most.background.median, 3),
            label(&most.setting)
        ),
        None => String::new(),
    }
}

/// What the linear networks' backgrounds do.
pub(super) fn linear_text(readings: &[Reading]) -> String {
    let linear: Vec<&Reading> = readings.iter().filter(|reading| reading.comparison.is_none()).collect();
    match linear.as_slice() {
        [one] => format!("the linear network's background {}", linear_words(one)),
        many => {
            let sizes = || many.iter().map(|reading| reading.background.median);
            format!(
                "linear networks' backgrounds end at {} to {} × their start",
                number(sizes().fold(f64::INFINITY, f64::min), 3),
                number(sizes().fold(f64::NEG_INFINITY, f64::max), 3)
            )
        }
    }
}
