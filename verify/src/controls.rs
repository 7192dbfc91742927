//! Controls: the same claim on runs in which it is false. A check that cannot fail proves nothing.

use feature_contamination::{Activation, Distribution, Labels, RunSpec};

use crate::plan::Ladder;
use crate::settings::Settings;
use crate::statement::{Planned, Statement};
use crate::studies::{Task, digits, distillation, diversity};

/// One control.
pub struct Control {
    /// Short name.
    pub id: &'static str,
    /// The claim it controls.
    pub claim: &'static str,
    /// What is changed, in words.
    pub change: &'static str,
    /// How it is changed.
    apply: Apply,
}

/// How a control comes by its runs or tasks.
enum Apply {
    /// Every run of the claim, changed.
    Runs(fn(&mut RunSpec)),
    /// The same, given where on its ladder the run stands: 0 at the smallest size, 1 at the largest, the logarithm counting.
    Along(fn(&mut RunSpec, f64)),
    /// The study's tasks on the controls' ladders, changed: its plan otherwise.
    Tasks(fn(&Settings) -> Vec<Ladder<Task>>),
}
use Apply::{Along, Runs, Tasks};

impl Control {
    /// The claim or study that it controls.
    pub fn of(&self) -> Option<Statement> {
        Statement::all().into_iter().find(|statement| statement.id() == self.claim)
    }

    /// Its runs on the controls' ladders, or its tasks, changed. `None` if the claim that it names is none.
    pub fn plan(&self, settings: &Settings) -> Option<Planned> {
        let settings = settings.for_controls();
        match (self.of()?, &self.apply) {
            (Statement::Claim(claim), Apply::Runs(apply)) => {
                let mut ladders = claim.plan(&settings);
                ladders.iter_mut().flat_map(|ladder| &mut ladder.rungs).flat_map(|rung| &mut rung.runs).for_each(apply);
                Some(Planned::Claim(claim, ladders))
            }
            (Statement::Claim(claim), Apply::Along(apply)) => {
                let mut ladders = claim.plan(&settings);
                for ladder in &mut ladders {
                    let sizes = || ladder.rungs.iter().map(|rung| rung.size.ln());
                    let (low, high) =
                        (sizes().fold(f64::INFINITY, f64::min), sizes().fold(f64::NEG_INFINITY, f64::max));
                    for rung in &mut ladder.rungs {
                        let place = (rung.size.ln() - low) / (high - low).max(f64::MIN_POSITIVE);
                        rung.runs.iter_mut().for_each(|run| apply(run, place));
                    }
                }
                Some(Planned::Claim(claim, ladders))
            }
            (Statement::Study(study), Apply::Tasks(plan)) => Some(Planned::Study(study, plan(&settings))),
            _ => None,
        }
    }
}

/// Every control.
pub const ALL: &[Control] = &[
    Control {
        id: "identity",
        claim: "thm1",
        change: "identity activation: every neuron is always active",
        apply: Runs(identity),
    },
    Control {
        id: "c-below-b",
        claim: "thm1",
        change: "C < B: a quarter of the features are core, so p_oth tends to (B − C)/(B + C) = 1/2 and not to 0",
        apply: Runs(c_below_b),
    },
    Control {
        id: "frozen",
        claim: "thm1",
        change: "frozen network: the weights stay as they start",
        apply: Runs(frozen),
    },
    Control {
        id: "identity",
        claim: "thm2",
        change: "identity activation: the background's gradient has mean 0",
        apply: Runs(identity),
    },
    Control {
        id: "symmetric-background",
        claim: "thm2",
        change: "background uniform on [−1, 1]: its mean is 0, so asymmetric activation gives it no gradient",
        apply: Runs(symmetric_background),
    },
    Control {
        id: "shuffled-labels",
        claim: "thm2",
        change: "labels shuffled in training: the core features carry no information either",
        apply: Runs(shuffled_labels),
    },
    Control {
        id: "frozen",
        claim: "thm2",
        change: "frozen network: the weights stay as they start",
        apply: Runs(frozen),
    },
    Control {
        id: "ood-is-id",
        claim: "thm3",
        change: "the background is not shifted: the OOD risk is the ID risk, and vanishes with it",
        apply: Runs(|spec| spec.data.background_ood = spec.data.background.clone()),
    },
    Control {
        id: "shuffled-labels",
        claim: "thm3",
        change: "labels shuffled in training: the ID risk stays near 1",
        apply: Runs(shuffled_labels),
    },
    Control {
        id: "relu",
        claim: "thm4",
        change: "ReLU in place of the identity: the background is learned",
        apply: Runs(|spec| spec.activation = Activation::Relu),
    },
    Control {
        id: "frozen",
        claim: "thm4",
        change: "frozen network: no background is learned, and no core either",
        apply: Runs(frozen),
    },
    Control {
        id: "fixed-start",
        claim: "scaling",
        change: "the start has deviation 2⁻¹⁰ in every run and does not shrink with d: nor does T₀",
        apply: Runs(|spec| spec.d = (1 << 20) + 1),
    },
    Control {
        id: "hidden-factor",
        claim: "scaling",
        change: "the step size is trebled along every ladder beside the factor that it varies, so that no power is the expected one",
        apply: Along(|spec, place| spec.learning_rate *= 3f64.powf(place)),
    },
    Control {
        id: "identity",
        claim: "balance-law",
        change: "identity activation: every neuron is always active",
        apply: Runs(identity),
    },
    Control {
        id: "identity",
        claim: "phase-transition",
        change: "identity activation: every neuron is always active, whatever B/C",
        apply: Runs(identity),
    },
    Control {
        id: "frozen",
        claim: "phase-transition",
        change: "frozen network: neurons fire at random, whatever B/C",
        apply: Runs(frozen),
    },
    Control {
        id: "exchanged",
        claim: "phase-transition",
        change: "as many core features as background ones are said to be, and the other way round: B/C is C/B",
        apply: Runs(exchanged),
    },
    Control {
        id: "symmetric-background",
        claim: "mechanism",
        change: "background uniform on [−1, 1]: asymmetric activation, but no mean for it to act on",
        apply: Runs(symmetric_background),
    },
    Control {
        id: "frozen",
        claim: "mechanism",
        change: "frozen network: the weights stay as they start",
        apply: Runs(frozen),
    },
    Control {
        id: "two-features",
        claim: "mean-field",
        change: "one core and one background feature, each 0 or 1: a pre-activation takes four values, far from Gaussian",
        apply: Runs(two_features),
    },
    Control {
        id: "two-features",
        claim: "gated-phase",
        change: "one core and one background feature, each 0 or 1: the output takes four values, far from Gaussian",
        apply: Runs(two_features),
    },
    Control {
        id: "shuffled-labels",
        claim: "envelope",
        change: "labels shuffled in training: core increments no longer have one sign",
        apply: Runs(shuffled_labels),
    },
    Control {
        id: "signed-background",
        claim: "sandwich",
        change: "background uniform on [−1, 1]: a feature that is negative half of the time can lower its own mean",
        apply: Runs(symmetric_background),
    },
    Control {
        id: "other-means",
        claim: "berry-esseen",
        change: "background uniform on [−1, 1], its means still said to be those of [0, 1]: M_y is not the mean of s",
        apply: Runs(symmetric_background),
    },
    Control {
        id: "shuffled-labels",
        claim: "batch-noise",
        change: "labels shuffled in training: the step is not the gradient on examples with their labels",
        apply: Runs(shuffled_labels),
    },
    Control { id: "frozen", claim: "batch-noise", change: "frozen network: no step is taken", apply: Runs(frozen) },
    Control {
        id: "linear-student",
        claim: "distillation",
        change: "a linear student in the ReLU student's place: it generalises as the teacher does",
        apply: Tasks(distillation::linear_student),
    },
    Control {
        id: "relu-student",
        claim: "distillation",
        change: "a ReLU student in the linear student's place",
        apply: Tasks(distillation::relu_student),
    },
    Control {
        id: "ood-is-id",
        claim: "distillation",
        change: "the background is not shifted: no student loses anything",
        apply: Tasks(distillation::ood_is_id),
    },
    Control {
        id: "symmetric-background",
        claim: "distillation",
        change: "background uniform on [−1, 1] in training: its mean is 0, so that nothing pushes the neurons",
        apply: Tasks(distillation::symmetric_background),
    },
    Control {
        id: "one-neuron",
        claim: "distillation",
        change: "networks of one neuron: no student can hold the teacher's representation, in distribution or out of it",
        apply: Tasks(distillation::one_neuron),
    },
    Control {
        id: "background-teacher",
        claim: "distillation",
        change: "students fitted to a map of the background and not of the core: what they learn says nothing of the label",
        apply: Tasks(distillation::background_teacher),
    },
    Control {
        id: "identity",
        claim: "diversity",
        change: "identity activation: no background is learned at any spread, and no neuron fires for one class",
        apply: Tasks(diversity::identity),
    },
    Control {
        id: "no-diversity",
        claim: "diversity",
        change: "every example's background has the mean ½, whatever the ladder says",
        apply: Tasks(diversity::uniform),
    },
    Control {
        id: "mean-zero",
        claim: "digits",
        change: "a tint of the same variance and of mean 0 in the place of the tint",
        apply: Tasks(digits::mean_zero),
    },
    Control {
        id: "identity",
        claim: "digits",
        change: "identity activation: every neuron is always active",
        apply: Tasks(digits::identity),
    },
    Control {
        id: "not-shifted",
        claim: "digits",
        change: "the tint is not turned round: networks are tested in the border of training",
        apply: Tasks(digits::not_shifted),
    },
    Control {
        id: "exchanged",
        claim: "digits",
        change: "networks that never saw a border in the place of those trained on a tint, and these in the place of all others",
        apply: Tasks(digits::exchanged),
    },
];

fn two_features(spec: &mut RunSpec) {
    // The same times in steps, which go by η d₀, and the same ηλ.
    let scale = spec.data.d0() as f64 / 2.0;
    spec.learning_rate *= scale;
    spec.weight_decay /= scale;
    for group in [&mut spec.data.core, &mut spec.data.background, &mut spec.data.background_ood] {
        group.count = 1;
    }
    let coin = Distribution::Bernoulli { p: 0.3, low: 0.0, high: 1.0 };
    spec.data.core.laws = vec![coin];
    spec.data.background.laws = vec![coin];
}

fn identity(spec: &mut RunSpec) {
    spec.activation = Activation::Identity;
}

fn frozen(spec: &mut RunSpec) {
    spec.frozen = true;
}

fn shuffled_labels(spec: &mut RunSpec) {
    spec.labels = Labels::Shuffled;
}

fn c_below_b(spec: &mut RunSpec) {
    let d0 = spec.data.d0();
    spec.data.core.count = d0.div_ceil(4);
    spec.data.background.count = d0 - spec.data.core.count;
    spec.data.background_ood.count = spec.data.background.count;
}

fn exchanged(spec: &mut RunSpec) {
    std::mem::swap(&mut spec.data.core.count, &mut spec.data.background.count);
    spec.data.background_ood.count = spec.data.background.count;
}

fn symmetric_background(spec: &mut RunSpec) {
    // Weighed with the means of the run that it controls: its own are 0, and would make Σ_bg μv vanish by definition.
    spec.background_weights = Some(spec.data.background.clone());
    let symmetric = Distribution::Uniform { low: -1.0, high: 1.0 };
    spec.data.background.laws = vec![symmetric];
    spec.data.background_ood.laws = vec![symmetric];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn every_control_has_a_claim_and_a_valid_plan_and_every_claim_has_a_control() {
        let settings = Settings::profile("quick").unwrap();
        for control in ALL {
            let planned = control.plan(&settings).unwrap_or_else(|| panic!("{} of {}", control.id, control.claim));
            let mut plan = Plan::default();
            planned.add_to(&mut plan);
            assert!(!plan.jobs().is_empty(), "{} of {}", control.id, control.claim);
            for spec in plan.specs() {
                spec.validate().unwrap();
            }
        }
        for claim in Statement::all() {
            assert!(ALL.iter().any(|control| control.claim == claim.id()), "{} has no control", claim.id());
        }
    }

    #[test]
    fn a_control_differs_from_its_claim_in_every_run() {
        let settings = Settings::profile("quick").unwrap();
        for control in ALL {
            let plain = control.of().unwrap().plan(&settings.for_controls());
            let (changed, plain) = match (control.plan(&settings).unwrap(), plain) {
                (Planned::Claim(_, changed), Planned::Claim(_, plain)) => (changed, plain),
                (Planned::Study(_, changed), Planned::Study(_, plain)) => {
                    let texts = |ladders: &[Ladder<Task>]| -> Vec<String> {
                        ladders.iter().flat_map(Ladder::runs).map(Task::canonical).collect()
                    };
                    let (changed, plain) = (texts(&changed), texts(&plain));
                    // A student exchanged leaves the others alone.
                    assert!(changed.len() == plain.len() && changed != plain, "{} of {}", control.id, control.claim);
                    continue;
                }
                _ => panic!("{} of {}", control.id, control.claim),
            };
            for (changed, plain) in changed.iter().zip(&plain) {
                for (place, (a, b)) in changed.runs().zip(plain.runs()).enumerate() {
                    let alike = match control.id {
                        // Thm 4 draws a ReLU run beside the linear ones, which its ReLU control leaves alone.
                        "relu" => b.activation == Activation::Relu,
                        // A factor begins at 1 at the smallest size, and half of the features is half of them.
                        "hidden-factor" => place < plain.rungs[0].runs.len(),
                        "exchanged" => b.data.core.count == b.data.background.count,
                        _ => false,
                    };
                    assert_eq!(a == b, alike, "{} of {}", control.id, control.claim);
                }
            }
        }
    }
}
