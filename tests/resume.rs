//! A training that is saved, thrown away and restored, at whatever step, goes on bit for bit as if nothing had happened.

use feature_contamination::data::FeatureGroup;
use feature_contamination::mlp::{
    Activation, Architecture, Labels as Rule, Loss, Method, Network, Optimizer, Toy, Training as MlpTraining,
};
use feature_contamination::precision::Real;
use feature_contamination::rng::derive;
use feature_contamination::simulate::{Observer, Training};
use feature_contamination::{
    Activation as Act, Array, Coordinates, Distribution, Executor, Labels, Precision, RunSpec, Snapshot,
};

const METHODS: [Method; 4] =
    [Method::Sgd { momentum: 0.0 }, Method::Sgd { momentum: 0.9 }, Method::Adam, Method::AdamW];

/// Bits of every number, so that 0 is not −0 and NaN is itself.
fn bits(snapshot: &Snapshot) -> Vec<(String, Vec<u64>)> {
    let bits = |array: &Array| -> Vec<u64> {
        match array {
            Array::F32(values) => values.iter().map(|x| u64::from(x.to_bits())).collect(),
            Array::F64(values) => values.iter().map(|x| x.to_bits()).collect(),
            Array::U64(values) => values.clone(),
            Array::I8(values) => values.iter().map(|&x| x as u64).collect(),
        }
    };
    snapshot.arrays.iter().map(|(name, array)| (name.clone(), bits(array))).collect()
}

/// Whether a run is stopped before `step`: now and then, at steps that depend on `case`.
fn stops(case: u64, step: u64) -> bool {
    derive(case, &[step]).is_multiple_of(23)
}

struct Case {
    architecture: Architecture,
    loss: Loss,
    optimizer: Optimizer,
    steps: u64,
}

/// State and losses of every step, and the path, with stops as `case` has them, or without.
fn train(toy: &Toy, case: &Case, executor: Executor, stops_of: Option<u64>) -> (Vec<Vec<u64>>, Snapshot, String, u64) {
    let begin = || {
        let network = Network::init(&case.architecture, 3).unwrap();
        MlpTraining::new(executor, network, toy.problem(), case.loss, case.optimizer).unwrap()
    };
    let (mut training, mut trace, mut stopped) = (begin(), Vec::new(), 0);
    for step in 0..case.steps {
        if stops_of.is_some_and(|number| stops(number, step)) {
            let state = training.state();
            training = begin();
            training.restore(&state).unwrap();
            stopped += 1;
        }
        training.advance().unwrap();
        let [core, background] = training.feature_norms(toy.core);
        let mut values = vec![core, background];
        if step % 7 == 0 {
            values.extend([training.train_loss().unwrap(), training.test_loss().unwrap()]);
        }
        trace.push(values.iter().map(|x| x.to_bits()).collect());
    }
    (trace, training.state(), training.path(), stopped)
}

#[test]
fn every_network_and_optimizer_goes_on_bit_for_bit() {
    // 70 examples: a block of the lazy passes and a part of one.
    let toy = Toy::draw(Rule::Linear, 70, 4, 3, 24, 5).unwrap();
    let mut paths = std::collections::BTreeSet::new();
    let mut number = 0;
    for activation in Activation::ALL {
        for (layers, bias, frozen_output) in [(2, true, true), (2, true, false), (2, false, true), (3, true, false)] {
            for method in METHODS {
                for loss in Loss::ALL {
                    let case = Case {
                        architecture: Architecture { inputs: 24, hidden: 9, layers, activation, bias, frozen_output },
                        loss,
                        optimizer: Optimizer { method, learning_rate: 0.02, weight_decay: 0.001 },
                        steps: 60,
                    };
                    number += 1;
                    let executor = Executor::detect().unwrap();
                    let whole = train(&toy, &case, executor, None);
                    let parts = train(&toy, &case, executor, Some(number));
                    assert_eq!(whole.0, parts.0, "case {number}, {}", whole.2);
                    assert_eq!(bits(&whole.1), bits(&parts.1), "case {number}, {}", whole.2);
                    paths.insert(whole.2);
                }
            }
        }
    }
    let passes = |name: &str| paths.iter().filter(|path| path.starts_with(name)).count();
    // In all inputs, in the span, and in the span with weights in all inputs, by every kind of passes.
    assert!(passes("dense products") >= 2 && passes("fused passes") >= 2 && passes("lazy") >= 1, "{paths:?}");
    assert!(paths.iter().any(|path| path.contains("weights in")), "{paths:?}");
}

/// The lazy passes look at everything, at little, and give way to plain ones for 64 steps: stops in each of these.
#[test]
fn lazy_passes_go_on_bit_for_bit_wherever_they_are_stopped() {
    let toy = Toy::draw(Rule::Linear, 150, 5, 5, 40, 9).unwrap();
    let mut stopped = 0;
    for executor in Executor::available() {
        for (index, learning_rate) in [3e-4, 3e-3, 0.05, 1.0].into_iter().enumerate() {
            for bias in [false, true] {
                let method = Method::Sgd { momentum: 0.9 };
                let case = Case {
                    architecture: Architecture {
                        inputs: 40,
                        hidden: 20,
                        layers: 2,
                        activation: Activation::Relu,
                        bias,
                        frozen_output: true,
                    },
                    loss: Loss::Hinge,
                    optimizer: Optimizer { method, learning_rate, weight_decay: 1e-3 },
                    steps: 400,
                };
                let whole = train(&toy, &case, executor, None);
                let parts = train(&toy, &case, executor, Some(1000 + index as u64));
                assert!(whole.2.starts_with("lazy"), "{}", whole.2);
                assert_eq!(whole.0, parts.0, "{} at {learning_rate}", executor.isa());
                assert_eq!(bits(&whole.1), bits(&parts.1));
                stopped += parts.3;
            }
        }
    }
    assert!(stopped > 100, "stopped {stopped} times only");
}

fn simulate<T: Real>(spec: &RunSpec, executor: Executor, stops_of: Option<u64>) -> (Vec<String>, Snapshot) {
    let mut run = Training::<T>::new(spec, executor).unwrap();
    let initial: Vec<f32> = run.latent_weights().unwrap().into_iter().map(|v| v.into() as f32).collect();
    let mut observer = Observer::<T>::new(spec, executor, &initial);
    let mut records = Vec::new();
    for step in 0..=spec.steps {
        if stops_of.is_some_and(|number| stops(number, step)) {
            let state = run.state();
            run = Training::new(spec, executor).unwrap();
            run.restore(&state).unwrap();
            observer = Observer::new(spec, executor, &initial);
        }
        records.push(format!("{:?}", observer.record(&mut run).unwrap()));
        if step < spec.steps {
            run.advance().unwrap();
        }
    }
    (records, run.state())
}

#[test]
fn every_kind_of_simulation_goes_on_bit_for_bit() {
    let skewed = Distribution::Beta { alpha: 2.0, beta: 5.0, low: 0.0, high: 1.0 };
    let mut base = RunSpec { steps: 60, batch: 96, eval_samples: 128, ..RunSpec::uniform(5, 4, 60, 12) };
    base.weight_decay = 0.01;
    let mut mixed = base.clone();
    mixed.data.core = FeatureGroup { count: 5, laws: vec![skewed, Distribution::UNIT] };
    let mut number = 0;
    for base in [base, mixed] {
        for coordinates in [Coordinates::Latent, Coordinates::Ambient] {
            for activation in [Act::Relu, Act::Identity] {
                for labels in [Labels::True, Labels::Shuffled] {
                    for precision in [Precision::Single, Precision::Double] {
                        number += 1;
                        let spec = RunSpec { coordinates, activation, labels, precision, ..base.clone() };
                        let run = |executor, stops_of| match precision {
                            Precision::Single => simulate::<f32>(&spec, executor, stops_of),
                            Precision::Double => simulate::<f64>(&spec, executor, stops_of),
                        };
                        let executor = Executor::detect().unwrap();
                        let (whole, parts) = (run(executor, None), run(executor, Some(number)));
                        assert_eq!(whole.0, parts.0, "{spec:?}");
                        assert_eq!(bits(&whole.1), bits(&parts.1), "{spec:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_records_are_those_of_simulate() {
    let spec = RunSpec {
        steps: 12,
        record_steps: (0..=12).collect(),
        batch: 96,
        eval_samples: 128,
        ..RunSpec::uniform(5, 4, 60, 12)
    };
    let executor = Executor::detect().unwrap();
    let trajectory = feature_contamination::simulate(&spec, executor).unwrap();
    let whole: Vec<String> = trajectory.records.iter().map(|record| format!("{record:?}")).collect();
    assert_eq!(whole, simulate::<f32>(&spec, executor, Some(1)).0);
}

#[test]
fn a_state_of_another_training_is_refused_and_changes_nothing() {
    let executor = Executor::detect().unwrap();
    let spec = RunSpec::uniform(4, 4, 64, 8);
    let other = RunSpec::uniform(4, 4, 64, 9);
    let mut run = Training::<f32>::new(&spec, executor).unwrap();
    run.advance().unwrap();
    let before = run.state();
    let foreign = Training::<f32>::new(&other, executor).unwrap().state();
    let error = run.restore(&foreign).unwrap_err().to_string();
    assert!(error.contains("\"weights\" of 72 f32") && error.contains("of 64 f32"), "{error}");
    let double = Training::<f64>::new(&spec, executor).unwrap().state();
    assert!(run.restore(&double).is_err());
    assert!(run.restore(&Snapshot::default()).unwrap_err().to_string().contains("no further array"));
    let mut longer = before.clone();
    longer.arrays.push(("more".to_owned(), Array::U64(vec![])));
    assert!(run.restore(&longer).is_err());
    let mut renamed = before.clone();
    renamed.arrays[2].0 = "velocities".to_owned();
    let error = run.restore(&renamed).unwrap_err().to_string();
    assert!(error.contains("\"velocities\"") && error.contains("\"weights\""), "{error}");
    assert_eq!(bits(&run.state()), bits(&before));
}
