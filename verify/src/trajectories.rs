//! Raw observables of every run as one tidy table, `series/trajectories.csv`.

use std::fmt::Write;
use std::sync::Arc;

use feature_contamination::Trajectory;

use crate::plan::run_id;
use crate::stats::fit;

/// The table's columns: sums and probabilities are medians over neurons with the 10 % and 90 % quantiles, `core` times
/// the neuron's sign; risks are mean hinge losses; `time` is ηt.
pub const COLUMNS: &str = "run,seed,d0,d,m,step,time,core_median,core_q10,core_q90,background_median,background_q10,\
     background_q90,p_own_median,p_own_q10,p_own_q90,p_oth_median,p_oth_q10,p_oth_q90,id_risk,id_accuracy,id_margin,\
     ood_risk,ood_accuracy,ood_margin,id_samples,ood_samples,active_fraction,max_abs_core,max_abs_background";

/// The table of `runs`.
pub fn csv(runs: &[Arc<Trajectory>]) -> Vec<u8> {
    let mut text = format!("{COLUMNS}\n");
    for run in runs {
        let (spec, id) = (&run.spec, run_id(&run.spec));
        for record in &run.records {
            let time = spec.learning_rate * record.step as f64;
            // Writing to a String cannot fail.
            let _ = write!(text, "{id},{},{},{},{},{},{time}", spec.seed, spec.data.d0(), spec.d, spec.m, record.step);
            for values in
                [&run.aligned_core(record), &record.neurons.background, &record.neurons.own.p, &record.neurons.other.p]
            {
                for q in [0.5, 0.1, 0.9] {
                    let _ = write!(text, ",{}", fit::quantile(values, q).unwrap_or(f64::NAN));
                }
            }
            for e in [&record.id, &record.ood] {
                let _ = write!(text, ",{},{},{}", e.risk, e.accuracy, e.margin);
            }
            let _ = writeln!(
                text,
                ",{},{},{},{},{}",
                record.id.samples,
                record.ood.samples,
                record.active_fraction,
                record.max_abs_core,
                record.max_abs_background
            );
        }
    }
    text.into_bytes()
}
