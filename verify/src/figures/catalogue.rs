//! The figures: their settings, panels and captions. Axes are those of the authors' script: losses and feature correlations
//! over iterations.

use feature_contamination::mlp::{Activation, Labels, Loss, Method};

use super::reading::{BACKGROUND, CORE, ID, OOD, Reading, growth_text, linear_text, pair_text, verdict_text};
use super::results::{BAND, Results};
use super::setting::{self, SGD, Setting};
use crate::claims::draw::{BLACK, figure, linear, panel, series};
use crate::report::model::{Axis, Figure, Mark, Panel, Series};

/// A figure: which settings it shows, and how.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: &'static str,
    pub title: &'static str,
    /// What the paper shows or says.
    pub paper: &'static str,
    /// What explains it, beyond the paper.
    pub note: Option<&'static str>,
    pub settings: fn() -> Vec<Setting>,
    panels: fn(&Results) -> Vec<Panel>,
    text: fn(&Results, &[Reading]) -> String,
}

/// All figures, in the order of the page.
pub(super) const ALL: [Entry; 6] = [
    Entry {
        name: "theory",
        title: "The theory's setting: losses and feature correlations",
        paper: "Hinge loss, SGD, linear data, frozen output layer: the ReLU network learns background features beside the core \
                ones and its OOD loss stays high; a linear network learns the core alone.",
        note: None,
        settings: || pair(Setting::THEORY),
        panels: |results| pair_panels(results, &Setting::THEORY),
        text: |results, _| pair_text(results, &Setting::THEORY),
    },
    Entry {
        name: "default",
        title: "The script's default: logistic loss, AdamW, sphere data, trained output",
        paper: "The effect is not bound to the theory's setting: with labels that are no linear function of the core features, \
                another loss, an adaptive optimiser and a trained output layer, the background is learned as well.",
        note: None,
        settings: || pair(Setting::DEFAULT),
        panels: |results| pair_panels(results, &Setting::DEFAULT),
        text: |results, _| pair_text(results, &Setting::DEFAULT),
    },
    Entry {
        name: "linear-data",
        title: "The default on linear data",
        paper: "The same network, loss and optimiser on data that a linear network can fit.",
        note: None,
        settings: || pair(LINEAR_DATA),
        panels: |results| pair_panels(results, &LINEAR_DATA),
        text: |results, _| pair_text(results, &LINEAR_DATA),
    },
    Entry {
        name: "activations",
        title: "Six activations",
        paper: "Non-linear activations other than ReLU learn the background too: GELU, sigmoid and tanh.",
        note: Some(
            "Derived: eq. (7) with act′ for the indicator. The background's gradient is (1/m) E[(1_{y=own} − 1_{y=other}) act′(s) \
             z_j]. The derivatives of tanh and sigmoid are even functions. In the linear data the classes' core features are \
             mirror images, so that as long as the background is a small part of the pre-activation s, act′(s) has the same \
             law in both classes and the difference vanishes, as for the identity; ReLU, GELU and LeakyReLU have derivatives \
             that tell s from −s. The sphere's classes differ in radius and are no mirror images.",
        ),
        settings: || BASES.iter().flat_map(|base| Activation::ALL.map(|activation| base.with(activation))).collect(),
        panels: activation_panels,
        text: |_, readings| {
            let label = |setting: &Setting| setting::activation(setting.activation).to_owned();
            let mut out = String::new();
            for (base, name) in BASES.iter().zip(["Theory's setting", "Default"]) {
                let of_base: Vec<Reading> =
                    readings.iter().filter(|reading| reading.setting.with(base.activation) == *base).cloned().collect();
                let (growth, linear) = (growth_text(&of_base, label), linear_text(&of_base));
                out.push_str(&format!("{name}: {growth}; {linear}. {}", verdict_text(&of_base, label)));
            }
            out
        },
    },
    Entry {
        name: "optimisers",
        title: "Three losses and three optimisers",
        paper: "The background is learned with hinge, logistic and squared loss, and with SGD, Adam and AdamW.",
        note: None,
        settings: || grid().flat_map(pair).collect(),
        panels: grid_panels,
        text: |_, readings| {
            let label =
                |setting: &Setting| format!("{} and {}", setting::method(setting.method), setting::loss(setting.loss));
            let growth = growth_text(readings, label);
            format!("ReLU: {growth}; {}. {}", linear_text(readings), verdict_text(readings, label))
        },
    },
    Entry {
        name: "depth",
        title: "Three and four layers",
        paper: "Deeper ReLU networks learn the background in their first layer, too.",
        note: None,
        settings: || DEPTHS.into_iter().flat_map(|layers| pair(deep(layers))).collect(),
        panels: depth_panels,
        text: |_, readings| {
            let label = |setting: &Setting| format!("{} layers", setting.layers);
            let growth = growth_text(readings, label);
            format!("ReLU: {growth}; {}. {}", linear_text(readings), verdict_text(readings, label))
        },
    },
];

const LINEAR_DATA: Setting = Setting { labels: Labels::Linear, ..Setting::DEFAULT };
const BASES: [Setting; 2] = [Setting::THEORY, Setting::DEFAULT];
const METHODS: [Method; 3] = [SGD, Method::Adam, Method::AdamW];
const LOSSES: [Loss; 3] = [Loss::Hinge, Loss::Logistic, Loss::Mse];
const DEPTHS: [usize; 2] = [3, 4];

fn pair(setting: Setting) -> Vec<Setting> {
    let control = setting.control();
    vec![setting, control]
}

fn deep(layers: usize) -> Setting {
    Setting { layers, ..Setting::DEFAULT }
}

fn grid() -> impl Iterator<Item = Setting> {
    METHODS.into_iter().flat_map(|method| LOSSES.map(|loss| Setting { method, loss, ..LINEAR_DATA }))
}

/// Draws a figure and says what is in it.
pub(super) fn draw(entry: &Entry, results: &Results) -> (Figure, Vec<Reading>) {
    let readings: Vec<Reading> =
        (entry.settings)().iter().filter_map(|setting| Reading::of(results, setting)).collect();
    let mut text = (entry.text)(results, &readings);
    // The texts of pairs have no verdict in them.
    if readings.len() == 2 {
        text.push_str(&verdict_text(&readings, |setting| setting::activation(setting.activation).to_owned()));
    }
    let [lo, hi] = BAND.map(|q| 100.0 * q);
    let lines = match results.sizes.seeds {
        1 => "Lines: one seed.".to_owned(),
        seeds => format!("Lines: medians of {seeds} seeds; bands: their {lo:.0} % to {hi:.0} % quantiles."),
    };
    (figure(entry.name, entry.title, text + &lines, (entry.panels)(results)), readings)
}

/// A setting's column over iterations: its band, and its median with a name for the legend.
fn curve(results: &Results, setting: &Setting, column: usize, name: &str, color: usize, mark: Mark) -> Vec<Series> {
    let points = results.of(setting).map(|group| group.band(column)).unwrap_or_default();
    vec![series("", Mark::Band, color, points.clone()), series(name, mark, color, points)]
}

/// A linear axis from 0 to the greatest value of these columns in these settings, so that panels can be compared.
fn shared_axis(results: &Results, settings: &[Setting], columns: &[usize], label: &str) -> Axis {
    let bands = settings.iter().filter_map(|setting| results.of(setting));
    let points = bands.flat_map(|group| columns.iter().flat_map(|&column| group.band(column)));
    let most = points.map(|point| point.hi).fold(0.0, f64::max);
    Axis { range: (most > 0.0).then_some([0.0, most]), ..linear(label) }
}

fn iterations() -> Axis {
    linear("iterations")
}

const CORRELATION: &str = "mean feature correlation";

/// The script's two panels: what they show, its columns, the vertical axis.
const KINDS: [(&str, [usize; 2], &str); 2] =
    [("losses", [ID, OOD], "mean loss"), ("feature correlations", [CORE, BACKGROUND], CORRELATION)];

/// The columns in the script's words.
const WORDS: [&str; 4] = ["ID loss", "OOD loss", "core", "background"];

/// Losses and correlations of a setting, and of its linear network below.
fn pair_panels(results: &Results, setting: &Setting) -> Vec<Panel> {
    let settings = pair(setting.clone());
    let axis = |columns: [usize; 2], label| shared_axis(results, &settings, &columns, label);
    let rows = settings.iter().flat_map(|setting| {
        let name =
            if setting.is_control() { "linear network (control)" } else { setting::activation(setting.activation) };
        KINDS.map(|(what, columns, label)| {
            let curves = columns.map(|column| curve(results, setting, column, WORDS[column], column, Mark::Line));
            panel(format!("{name}: {what}"), iterations(), axis(columns, label), curves.concat())
        })
    });
    rows.collect()
}

fn activation_panels(results: &Results) -> Vec<Panel> {
    let colors = [0, 1, 2, 3, 4, BLACK];
    let rows = BASES.iter().zip(["theory's setting", "default"]).flat_map(|(base, name)| {
        [BACKGROUND, CORE].map(|column| {
            let curves = Activation::ALL.into_iter().zip(colors).flat_map(|(activation, color)| {
                let name = setting::activation(activation);
                curve(results, &base.with(activation), column, name, color, Mark::Line)
            });
            let what = WORDS[column];
            let label = format!("mean {what} correlation");
            panel(format!("{name}: {what}"), iterations(), linear(&label), curves.collect())
        })
    });
    rows.collect()
}

fn grid_panels(results: &Results) -> Vec<Panel> {
    let cells = grid().map(|setting| {
        let control = setting.control();
        let curves = [
            curve(results, &setting, CORE, "core, ReLU", 2, Mark::Line),
            curve(results, &setting, BACKGROUND, "background, ReLU", 3, Mark::Line),
            curve(results, &control, BACKGROUND, "background, linear network", BLACK, Mark::Dashed),
        ];
        let title = format!("{}, {} loss", setting::method(setting.method), setting::loss(setting.loss));
        panel(title, iterations(), linear(CORRELATION), curves.concat())
    });
    cells.collect()
}

fn depth_panels(results: &Results) -> Vec<Panel> {
    let rows = DEPTHS.into_iter().flat_map(|layers| {
        let (own, control) = (deep(layers), deep(layers).control());
        KINDS.map(|(what, columns, label)| {
            let curves = columns.map(|column| {
                let name = WORDS[column];
                let own = curve(results, &own, column, &format!("{name}, ReLU"), column, Mark::Line);
                let name = format!("{name}, linear network");
                [own, curve(results, &control, column, &name, column, Mark::Dashed)].concat()
            });
            panel(format!("{layers} layers: {what}"), iterations(), linear(label), curves.concat())
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_linear_network_and_names_are_apart() {
        for (i, entry) in ALL.iter().enumerate() {
            let settings = (entry.settings)();
            assert!(settings.iter().all(|setting| settings.contains(&setting.control())), "{}", entry.name);
            assert!(settings.iter().any(|setting| !setting.is_control()), "{}", entry.name);
            for (k, setting) in settings.iter().enumerate() {
                assert!(settings[..k].iter().all(|other| other.id() != setting.id()), "{}", setting.id());
            }
            assert!(ALL[..i].iter().all(|other| other.name != entry.name) && entry.name != "all");
        }
    }
}
