//! Predictions and bounds: no simulation, no random numbers.
//!
//! What is predicted has no fitted constant; what is bounded holds at every finite size. Whatever takes a
//! [`DataModel`](feature_contamination::DataModel) or a [`RunSpec`] expects one that its `validate` accepts, and
//! whatever takes a [`Trajectory`](feature_contamination::Trajectory) one of such a run.

pub mod balance;
pub mod bounds;
pub mod diversity;
pub mod gated;
pub mod inversion;
pub mod mean_field;
pub mod normal;
pub mod output;

use feature_contamination::RunSpec;

/// `τ_t = Σ_{s<t} η (1−ηλ)^s = (1 − (1−ηλ)^t)/λ`, and `ηt` without decay: the weight that a unit gradient has built
/// up by `t` steps.
///
/// A time, not a step count.
pub fn growth_time(spec: &RunSpec, step: u64) -> f64 {
    let (eta, lambda, t) = (spec.learning_rate, spec.weight_decay, step as f64);
    if lambda == 0.0 { eta * t } else { -(t * (-eta * lambda).ln_1p()).exp_m1() / lambda }
}

/// `t` with `τ_t = time` ([`growth_time`]), not rounded to a whole step; `None` if decay keeps it from ever being
/// reached.
pub fn steps_to_reach(spec: &RunSpec, time: f64) -> Option<f64> {
    let (eta, lambda) = (spec.learning_rate, spec.weight_decay);
    if lambda == 0.0 {
        return Some(time / eta);
    }
    (lambda * time < 1.0).then(|| (-lambda * time).ln_1p() / (-eta * lambda).ln_1p())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_time_is_the_sum_of_its_steps() {
        for weight_decay in [0.0, 1e-12, 0.02, 0.9] {
            let spec = RunSpec { learning_rate: 0.7, weight_decay, ..RunSpec::uniform(4, 4, 64, 8) };
            let sum: f64 = (0..50).map(|s| 0.7 * spec.decay(s)).sum();
            let time = growth_time(&spec, 50);
            assert!((time / sum - 1.0).abs() < 1e-12, "λ = {weight_decay}: {time} {sum}");
            let steps = steps_to_reach(&spec, growth_time(&spec, 9)).unwrap();
            assert!((steps - 9.0).abs() < 1e-3, "λ = {weight_decay}: {steps}");
        }
        let spec = RunSpec { weight_decay: 0.5, ..RunSpec::uniform(4, 4, 64, 8) };
        assert_eq!(steps_to_reach(&spec, 2.0), None);
    }
}
