//! Raw observables of every run as one tidy table, `series/trajectories.csv`.

use std::fmt::Write;
use std::sync::Arc;

use feature_contamination::{Labels, Trajectory};

use crate::judge::activation_name;
use crate::plan::run_id;
use crate::stats::fit;

/// The table's columns. A run is named as in `report.json`; what a control changes shows in the columns up to `b`
/// (`C = Σ_core μ²`, `B = Σ_bg μ²`). `time` is ηt. Sums and probabilities are medians over neurons with the 10 % and 90 %
/// quantiles, `core` times the neuron's sign; risks are mean hinge losses.
pub const COLUMNS: &str = "run,seed,d0,d_core,d,m,activation,labels,frozen,c,b,step,time,core_median,core_q10,core_q90,\
     background_median,background_q10,background_q90,p_own_median,p_own_q10,p_own_q90,p_oth_median,p_oth_q10,p_oth_q90,\
     id_risk,id_accuracy,id_margin,ood_risk,ood_accuracy,ood_margin,id_samples,ood_samples,active_fraction,max_abs_core,\
     max_abs_background";

/// The table of `runs`, observables in single precision, which is what the weights have.
pub fn csv(runs: &[Arc<Trajectory>]) -> Vec<u8> {
    let mut text = format!("{COLUMNS}\n");
    let single = |text: &mut String, value: f64| {
        // Writing to a String cannot fail.
        let _ = write!(text, ",{}", value as f32);
    };
    for run in runs {
        let spec = &run.spec;
        let labels = match spec.labels {
            Labels::True => "true",
            Labels::Shuffled => "shuffled",
        };
        let parameters = format!(
            "{},{},{},{},{},{},{},{labels},{},{},{}",
            run_id(spec),
            spec.seed,
            spec.data.d0(),
            spec.data.core.count,
            spec.d,
            spec.m,
            activation_name(spec.activation),
            spec.frozen,
            spec.data.c(),
            spec.data.b()
        );
        for record in &run.records {
            let _ = write!(text, "{parameters},{}", record.step);
            single(&mut text, spec.learning_rate * record.step as f64);
            for values in
                [&run.aligned_core(record), &record.neurons.background, &record.neurons.own.p, &record.neurons.other.p]
            {
                for q in [0.5, 0.1, 0.9] {
                    single(&mut text, fit::quantile(values, q).unwrap_or(f64::NAN));
                }
            }
            for e in [&record.id, &record.ood] {
                for value in [e.risk, e.accuracy, e.margin] {
                    single(&mut text, value);
                }
            }
            let _ = write!(text, ",{},{}", record.id.samples, record.ood.samples);
            for value in [record.active_fraction, record.max_abs_core, record.max_abs_background] {
                single(&mut text, value);
            }
            text.push('\n');
        }
    }
    text.into_bytes()
}
