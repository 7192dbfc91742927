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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use feature_contamination::mlp::Activation;

    use super::super::COLUMNS;
    use super::super::setting::Sizes;
    use super::*;
    use crate::studies::Observed;

    /// The ends of a run: ID and OOD loss, core and background over their start, which is 2.
    type Ends = [f64; 4];

    /// Runs of the theory's setting and of its linear network with these ends, one a seed.
    fn results(relu: &[Ends], linear: &[Ends]) -> Results {
        let sizes = Sizes { seeds: relu.len() as u64, ..Sizes::QUICK };
        let records = sizes.schedule(&Setting::THEORY).len();
        let run = |ends: &Ends| {
            let series = |column: usize| {
                let (start, end) = if column < CORE { (1.0, ends[column]) } else { (2.0, 2.0 * ends[column]) };
                let values = (0..records).map(|at| if at + 1 == records { end } else { start });
                (COLUMNS[column].to_owned(), values.collect())
            };
            Arc::new(Observed { series: (0..4).map(series).collect(), ..Observed::default() })
        };
        let runs = relu.iter().chain(linear).map(run).collect();
        Results::new(sizes, vec![Setting::THEORY, Setting::THEORY.control()], runs)
    }

    fn reading(relu: &[Ends], linear: &[Ends]) -> Reading {
        Reading::of(&results(relu, linear), &Setting::THEORY).unwrap()
    }

    const LINEAR: [Ends; 3] = [[0.1, 0.2, 4.0, 0.5], [0.1, 0.2, 4.0, 0.25], [0.1, 0.2, 4.0, 0.5]];
    /// As the paper says, in every seed.
    const SEEN: [Ends; 3] = [[0.1, 0.9, 6.0, 3.0], [0.2, 0.8, 8.0, 2.0], [0.3, 0.9, 7.0, 4.0]];

    fn seeds(count: usize) -> Count {
        Count { seeds: count, of: 3 }
    }

    #[test]
    fn a_reading_has_the_numbers_of_its_runs() {
        let reading = reading(&SEEN, &LINEAR);
        let close = |spread: Spread, expected: [f64; 3]| {
            let found = [spread.median, spread.least, spread.most];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}, {expected:?}");
        };
        close(reading.background, [3.0, 2.0, 4.0]);
        close(reading.core, [7.0, 6.0, 8.0]);
        close(reading.id_loss, [0.2, 0.1, 0.3]);
        close(reading.ood_loss, [0.9, 0.8, 0.9]);
        let comparison = reading.comparison.as_ref().unwrap();
        // 3/0.5, 2/0.25 and 4/0.5; seed by seed.
        close(comparison.background, [8.0, 6.0, 8.0]);
        close(comparison.gap, [0.6, 0.6, 0.8]);
        close(comparison.linear_gap, [0.1, 0.1, 0.1]);
        assert_eq!((reading.grows, comparison.more_background, comparison.wider_gap), (seeds(3), seeds(3), seeds(3)));
        let control = Reading::of(&results(&SEEN, &LINEAR), &Setting::THEORY.control()).unwrap();
        assert!(control.comparison.is_none() && control.seen().is_none() && control.grows == seeds(0));
    }

    /// Each of the three things by itself makes the statement one that is not seen, and is the one that is said.
    #[test]
    fn the_statement_is_seen_if_all_three_things_come_out_in_every_seed() {
        let text = |relu: &[Ends], linear: &[Ends]| {
            let results = results(relu, linear);
            let all = [Setting::THEORY, Setting::THEORY.control()].map(|of| Reading::of(&results, &of).unwrap());
            verdict_text(&all, |_| "ReLU".to_owned())
        };
        assert_eq!(reading(&SEEN, &LINEAR).seen(), Some(true));
        assert!(reading(&SEEN, &LINEAR).against().is_empty());
        assert!(text(&SEEN, &LINEAR).contains("statement is seen in all 3 seeds with ReLU"));

        // In one seed the background shrinks, if less than the linear network's.
        let mut shrinks = SEEN;
        shrinks[1][BACKGROUND] = 0.75;
        let of = reading(&shrinks, &LINEAR);
        assert_eq!((of.seen(), of.grows), (Some(false), seeds(2)));
        assert_eq!(of.against(), ["background 3 × its start, grown in 2 of 3 seeds"]);
        let said = text(&shrinks, &LINEAR);
        assert!(
            said.contains("does not end above its start in every seed; yet in all 3 seeds it ends above"),
            "{said}"
        );

        // In one the linear network learns more of it.
        let mut linear = LINEAR;
        linear[2][BACKGROUND] = 5.0;
        let of = reading(&SEEN, &linear);
        assert_eq!(of.comparison.as_ref().unwrap().more_background, seeds(2));
        assert_eq!((of.seen(), of.against().len()), (Some(false), 1));
        assert!(of.against()[0].contains("the linear network's, above it in 2 of 3 seeds"), "{:?}", of.against());
        assert!(text(&SEEN, &linear).starts_with("Not in every seed with ReLU: background"));

        // In one the shift costs the linear network more.
        let mut linear = LINEAR;
        linear[0][OOD] = 1.9;
        let of = reading(&SEEN, &linear);
        assert_eq!(of.comparison.as_ref().unwrap().wider_gap, seeds(2));
        assert_eq!(of.seen(), Some(false));
        assert_eq!(of.against(), ["OOD − ID loss 0.6 beside the linear network's 0.1, wider in 2 of 3 seeds"]);

        // In one the background shrinks, and in one the shift costs less: it is not said that only one thing is missing.
        let said = text(&shrinks, &linear);
        assert!(said.starts_with("Not in every seed with ReLU: ") && said.contains("; OOD − ID loss"), "{said}");
    }

    #[test]
    fn bands_are_quantiles_and_lines_medians() {
        let results = results(&SEEN, &LINEAR);
        let group = results.of(&Setting::THEORY).unwrap();
        let last = *group.band(BACKGROUND).last().unwrap();
        assert_eq!((last.x, last.y), (2000.0, 6.0));
        // The 10 % quantile of 4, 6 and 8 is a fifth of the way from the first to the second.
        assert!((last.lo - 4.4).abs() < 1e-12 && (last.hi - 7.6).abs() < 1e-12, "{last:?}");
        assert_eq!(results.of(&Setting::THEORY.with(Activation::Gelu)).map(|group| group.runs.len()), None);
    }
}
