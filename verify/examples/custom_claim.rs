//! A claim of one's own: stated, run, judged and reported, with a figure.
//!
//! `cargo run --release -p feature-contamination-verify --example custom_claim -- --out reports/custom`

use std::process::ExitCode;

use feature_contamination::{RunSpec, Trajectory};
use feature_contamination_verify::claims::check::Rule;
use feature_contamination_verify::claims::draw::{figure, linear, median, panel, series};
use feature_contamination_verify::claims::measure::{check_rungs, means, points};
use feature_contamination_verify::claims::{Claim, Judgement};
use feature_contamination_verify::plan::{Ladder, Measured};
use feature_contamination_verify::report::model::Mark;
use feature_contamination_verify::settings::Settings;
use feature_contamination_verify::stats::StatsError;
use feature_contamination_verify::{cli, ladders};

struct CoreLeads;

#[rustfmt::skip]
impl Claim for CoreLeads {
    fn id(&self) -> &'static str { "core-leads" }
    fn title(&self) -> &'static str { "Core outgrows background" }
    fn source(&self) -> &'static str { "Derived: (1+p) C against (1−p) B" }
    fn statement(&self) -> &'static str { "At T₁ the median neuron's core sum exceeds its background sum." }

    fn plan(&self, settings: &Settings) -> Vec<Ladder<RunSpec>> {
        ladders::features(settings)
    }

    fn judge(&self, settings: &Settings, ladders: &[Measured]) -> Result<Judgement, StatsError> {
        // One number a run; Student's interval over seeds at every size; bounds with their reason.
        let ratio = |run: &Trajectory| {
            run.at(ladders::t1(settings, &run.spec)).map_or(f64::NAN, |record| {
                median(&run.aligned_core(record)) / median(&record.neurons.background)
            })
        };
        let ratios = means(&ladders[0], ratio)?;
        let rule = Rule::within(1.0, f64::INFINITY, "more core than background is a ratio above 1");
        let check = check_rungs("core / background at T₁", self.source(), &ladders[0], &ratios, None, rule);

        let measured = series("measured, with interval", Mark::Points, 0, points(&ladders[0], &ratios));
        let axes = panel("", linear("features d₀"), linear("core / background at T₁"), vec![measured]);
        let figure = figure("core-leads", "Core over background", "Median neuron, mean over seeds.", vec![axes]);
        Ok(Judgement { checks: vec![check], figures: vec![figure], ..Judgement::default() })
    }
}

fn main() -> ExitCode {
    cli::main(&[&CoreLeads])
}
