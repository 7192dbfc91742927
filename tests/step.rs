//! The training step against a slow, obvious one in `f64`, and what every run must satisfy.

use feature_contamination::data::{Domain, Draw, Purpose};
use feature_contamination::precision::Real;
use feature_contamination::simulate::Training;
use feature_contamination::{
    Activation, Coordinates, DataModel, Distribution, Executor, FeatureGroup, Isa, Labels, Network, Precision, RunSpec,
    Trajectory, simulate,
};
use feature_contamination_kernels::Blocking;
use quickcheck::{Arbitrary, Gen, QuickCheck};

fn executor() -> Executor {
    Executor::detect().unwrap()
}

/// A small run whose hinge gates within its steps, with weight decay.
fn small() -> RunSpec {
    RunSpec {
        batch: 100,
        learning_rate: 4.0,
        weight_decay: 0.01,
        steps: 30,
        record_steps: vec![0, 1, 10, 30],
        eval_samples: 200,
        ..RunSpec::uniform(5, 4, 50, 9)
    }
}

/// `w_k ← (1 − ηλ) w_k + (η a_k/N) Σ_i y_i 1[y_i h(x_i) < 1] act'(⟨w_k,x_i⟩) x_i`, read off the page.
fn obvious_step(spec: &RunSpec, signs: &[i8], weights: &mut [f64], step: u64) {
    let (n, m, d0) = (spec.batch, spec.m, spec.data.d0());
    let (mut x, mut y) = (vec![0.0; n * d0], vec![0; n]);
    let draw = Draw { seed: spec.seed, purpose: Purpose::Train, domain: Domain::Id, step, first_row: 0 };
    spec.data.fill(executor(), draw, &mut x, &mut y).unwrap();
    let mut next: Vec<f64> = weights.iter().map(|w| (1.0 - spec.learning_rate * spec.weight_decay) * w).collect();
    for (x, &y) in x.chunks(d0).zip(&y) {
        let dot = |k: usize| (0..d0).map(|j| weights[k * d0 + j] * f64::from(x[j])).sum::<f64>();
        let active = |s: f64| spec.activation == Activation::Identity || s >= 0.0;
        let s: Vec<f64> = (0..m).map(dot).collect();
        let a = |k: usize| f64::from(signs[k]) / m as f64;
        let h: f64 = (0..m).map(|k| if active(s[k]) { a(k) * s[k] } else { 0.0 }).sum();
        if f64::from(y) * h < 1.0 {
            for k in (0..m).filter(|&k| active(s[k])) {
                for j in 0..d0 {
                    next[k * d0 + j] += spec.learning_rate * a(k) / n as f64 * f64::from(y) * f64::from(x[j]);
                }
            }
        }
    }
    weights.copy_from_slice(&next);
}

#[test]
fn the_step_is_the_one_on_the_page_on_every_isa() {
    for executor in Executor::available() {
        for activation in [Activation::Relu, Activation::Identity] {
            // 30 steps of weights below 1, some ten roundings each.
            compare_with_the_page::<f32>(&RunSpec { activation, ..small() }, executor, 2e-6);
            compare_with_the_page::<f64>(&RunSpec { activation, ..small() }, executor, 1e-14);
        }
    }
}

fn compare_with_the_page<T: Real>(spec: &RunSpec, executor: Executor, tolerance: f64) {
    let mut run = Training::<T>::new(spec, executor).unwrap();
    let mut expected: Vec<f64> = run.network.weights.iter().map(|&w| w.into()).collect();
    for step in 0..spec.steps {
        obvious_step(spec, &run.network.signs.clone(), &mut expected, step);
        run.advance().unwrap();
        // A pre-activation or margin within rounding of its threshold may gate differently: one example then moves a
        // weight by at most η/(mN). None does here (the seed is fixed), so rounding alone remains.
        for (&w, &e) in run.network.weights.iter().zip(&expected) {
            let w: f64 = w.into();
            assert!((w - e).abs() < tolerance, "{} {:?} step {step}: {w} ≠ {e}", executor.isa(), spec.activation);
        }
    }
    assert!(run.active_fraction().unwrap() < 1.0, "the hinge must gate for the test to mean something");
}

/// The same run in both precisions: from the same start, on the same data.
#[test]
fn single_and_double_precision_agree_to_rounding() {
    for coordinates in [Coordinates::Latent, Coordinates::Ambient] {
        let spec = RunSpec { batch: 2000, d: 300, m: 32, coordinates, ..small() };
        let single = simulate(&spec, executor()).unwrap();
        let double = simulate(&RunSpec { precision: Precision::Double, ..spec }, executor()).unwrap();
        assert_eq!(single.initial.len(), double.initial.len());
        assert!(single.initial.iter().zip(&double.initial).all(|(a, b)| (a - b).abs() < 1e-6));
        for (a, b) in single.records.iter().zip(&double.records) {
            // As between the coordinates: a few examples may be carried across a threshold.
            assert!(close(&a.neurons.core, &b.neurons.core, 2e-3));
            assert!(close(&a.neurons.background, &b.neurons.background, 2e-3));
            assert!((a.id.risk - b.id.risk).abs() < 1e-3 && (a.ood.risk - b.ood.risk).abs() < 1e-3);
        }
    }
}

fn bits(trajectory: &Trajectory) -> String {
    // Debug prints the shortest text that gives the same bits back.
    format!("{:?}", trajectory.records)
}

#[test]
fn equal_seeds_give_equal_bits_and_different_seeds_do_not() {
    fn property(seed: u64) -> bool {
        let spec = RunSpec { seed, ..small() };
        let first = bits(&simulate(&spec, executor()).unwrap());
        let second = std::thread::spawn(move || bits(&simulate(&spec, executor()).unwrap())).join().unwrap();
        let other = bits(&simulate(&RunSpec { seed: seed.wrapping_add(1), ..small() }, executor()).unwrap());
        first == second && first != other
    }
    QuickCheck::new().tests(20).quickcheck(property as fn(u64) -> bool);
}

/// However many threads a run has, and however small what each of them does.
#[test]
fn threads_change_no_bit() {
    let small = RunSpec {
        batch: 300,
        m: 70,
        eval_samples: 2500,
        ..RunSpec { steps: 12, record_steps: vec![0, 5, 12], ..small() }
    };
    let specs = [
        small.clone(),
        RunSpec { activation: Activation::Identity, ..small.clone() },
        RunSpec { labels: Labels::Shuffled, ..small.clone() },
        RunSpec { coordinates: Coordinates::Ambient, ..small.clone() },
        RunSpec { data: DataModel::uniform(40, 37), d: 200, ..small.clone() },
        RunSpec { precision: Precision::Double, ..small },
    ];
    for executor in Executor::available() {
        for spec in &specs {
            let alone = simulate(spec, executor).unwrap();
            let blocking = Blocking { share_ns: 0, ..executor.blocking() };
            for threads in [1, 2, 3, 4, 7] {
                let shared = simulate(spec, executor.with_blocking(blocking).with_threads(threads)).unwrap();
                assert_eq!(alone.initial, shared.initial);
                assert_eq!(bits(&alone), bits(&shared), "{} {threads} threads {spec:?}", executor.isa());
            }
        }
    }
}

#[test]
fn what_is_recorded_does_not_change_the_run() {
    let dense = RunSpec { record_steps: (0..=30).collect(), ..small() };
    let dense = simulate(&dense, executor()).unwrap();
    let sparse = simulate(&small(), executor()).unwrap();
    let last = |t: &Trajectory| format!("{:?}", t.records.last().unwrap());
    assert_eq!(last(&dense), last(&sparse));
}

/// Random small models: sizes, distributions, rates.
#[derive(Clone, Debug)]
struct AnyRun(RunSpec);

impl Arbitrary for AnyRun {
    fn arbitrary(g: &mut Gen) -> Self {
        let laws = [
            Distribution::UNIT,
            Distribution::Beta { alpha: 2.0, beta: 3.0, low: 0.0, high: 1.0 },
            Distribution::Bernoulli { p: 0.4, low: 0.0, high: 1.0 },
            Distribution::Point { value: 0.5 },
            Distribution::Uniform { low: 0.2, high: 0.9 },
        ];
        let seed = u64::arbitrary(g);
        let mut between = |low: usize, high: usize| low + usize::arbitrary(g) % (high - low + 1);
        let (d_core, d_bg, m) = (between(1, 9), between(1, 9), between(1, 40));
        let d = (d_core + d_bg + between(0, 60)) as u64;
        let (core, background) = (laws[between(0, 4)], laws[between(0, 4)]);
        let (rate, decay) = (between(1, 20) as f64 / 4.0, between(0, 4) as f64 / 50.0);
        let data = DataModel {
            core: FeatureGroup::same(d_core, core),
            background: FeatureGroup::same(d_bg, background),
            background_ood: FeatureGroup::same(d_bg, Distribution::NEGATIVE_UNIT),
        };
        Self(RunSpec {
            seed,
            data,
            m,
            learning_rate: rate,
            weight_decay: decay,
            batch: between(1, 200),
            steps: 40,
            record_steps: vec![0, 1, 7, 40],
            eval_samples: 70,
            ..RunSpec::uniform(d_core, d_bg, d, m)
        })
    }
}

/// Derived: envelope. Core increments have the sign of `a_k` and each is at most `η/m`; so are background increments in
/// modulus. Rounding: a step commits at most two roundings of a weight of modulus at most `W`, `2 · 2^−24 W` a step.
#[test]
fn every_run_stays_in_the_envelope() {
    fn property(AnyRun(spec): AnyRun) -> bool {
        let trajectory = simulate(&spec, executor()).unwrap();
        trajectory.records.iter().all(|record| {
            let g = spec.decay(record.step);
            let bound = if spec.weight_decay == 0.0 {
                spec.learning_rate * record.step as f64 / spec.m as f64
            } else {
                (1.0 - g) / (spec.weight_decay * spec.m as f64)
            };
            let largest = record.max_abs_core.max(record.max_abs_background).max(1.0);
            let rounding = 4.0 * (record.step as f64 + 1.0) * f64::from(f32::EPSILON) * largest;
            record.core_displacement.0 >= -rounding
                && record.core_displacement.1 <= bound + rounding
                && record.background_displacement.0 >= -bound - rounding
                && record.background_displacement.1 <= bound + rounding
        })
    }
    QuickCheck::new().tests(200).quickcheck(property as fn(AnyRun) -> bool);
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// Derived: latent reduction. Rounding may gate one example differently, which moves a weight by `η/(mN)` and
/// `Σ_core μ v` by at most `d_core η/(mN)`; over the run a few such events are allowed.
#[test]
fn ambient_and_latent_trajectories_agree() {
    fn property(AnyRun(spec): AnyRun) -> bool {
        let latent = simulate(&spec, executor()).unwrap();
        let ambient = simulate(&RunSpec { coordinates: Coordinates::Ambient, ..spec.clone() }, executor()).unwrap();
        let event = spec.learning_rate * spec.data.d0() as f64 / (spec.m * spec.batch) as f64;
        latent.records.iter().zip(&ambient.records).all(|(a, b)| {
            let tolerance = if a.step == 0 { 1e-5 } else { 1e-4 + 2.0 * event };
            close(&a.neurons.core, &b.neurons.core, tolerance)
                && close(&a.neurons.background, &b.neurons.background, tolerance)
        })
    }
    QuickCheck::new().tests(60).quickcheck(property as fn(AnyRun) -> bool);
}

/// The same at a size where a single gating event is far below the tolerance.
#[test]
fn ambient_and_latent_agree_to_rounding_on_a_larger_run() {
    let spec = RunSpec { batch: 2000, d: 300, m: 32, ..small() };
    let latent = simulate(&spec, executor()).unwrap();
    let ambient = simulate(&RunSpec { coordinates: Coordinates::Ambient, ..spec }, executor()).unwrap();
    for (a, b) in latent.records.iter().zip(&ambient.records) {
        assert!(
            close(&a.neurons.core, &b.neurons.core, 2e-3) && close(&a.neurons.background, &b.neurons.background, 2e-3)
        );
        assert!((a.id.risk - b.id.risk).abs() < 1e-3 && (a.ood.risk - b.ood.risk).abs() < 1e-3);
    }
}

/// Derived: scale-freeness. Before the hinge gates, `√d v` in the time `ηt√d/m` depends on none of m, η, d. With factors
/// that are powers of two and no decay, the runs scaled in η and d differ in exponents alone: they agree to the bit. In m
/// the order of summation may differ.
#[test]
fn the_dynamics_before_the_gate_are_scale_free() {
    fn property(seed: u64) -> bool {
        let run = |d: u64, learning_rate: f64, m: usize| {
            let spec = RunSpec {
                seed,
                batch: 128,
                learning_rate,
                steps: 24,
                record_steps: vec![0, 3, 24],
                eval_samples: 256,
                ..RunSpec::uniform(6, 6, d, m)
            };
            simulate(&spec, executor()).unwrap()
        };
        let base = run(1 << 14, 0.5, 64);
        // v⁽⁰⁾ and every increment η/m by 4, by 1/4; then twice the neurons at the same η/m, the first half of them.
        let scaled = [
            (run(1 << 10, 2.0, 64), 4.0, 0.0),
            (run(1 << 18, 0.125, 64), 0.25, 0.0),
            (run(1 << 14, 1.0, 128), 1.0, 1e-6),
        ];
        scaled.iter().all(|(scaled, factor, tolerance)| {
            base.records.iter().zip(&scaled.records).all(|(a, b)| {
                assert!(a.active_fraction == 1.0 && b.active_fraction == 1.0);
                let back = |v: &[f64]| -> Vec<f64> { v[..64].iter().map(|v| v / factor).collect() };
                // Rounding may turn one of the 256 examples near its threshold.
                let p_tolerance = if *tolerance == 0.0 { 0.0 } else { 0.02 };
                close(&a.neurons.core, &back(&b.neurons.core), *tolerance)
                    && close(&a.neurons.background, &back(&b.neurons.background), *tolerance)
                    && close(&a.neurons.own.p, &b.neurons.own.p[..64], p_tolerance)
                    && close(&a.neurons.other.p, &b.neurons.other.p[..64], p_tolerance)
            })
        })
    }
    QuickCheck::new().tests(10).quickcheck(property as fn(u64) -> bool);
}

#[test]
fn controls_do_what_they_say() {
    let frozen = simulate(&RunSpec { frozen: true, ..small() }, executor()).unwrap();
    assert_eq!(frozen.records[0].neurons.core, frozen.records[3].neurons.core);
    let shuffled = simulate(&RunSpec { labels: Labels::Shuffled, weight_decay: 0.0, ..small() }, executor()).unwrap();
    let trained = simulate(&RunSpec { weight_decay: 0.0, ..small() }, executor()).unwrap();
    assert!(shuffled.records[3].id.risk > 2.0 * trained.records[3].id.risk);
    let weights = FeatureGroup::same(4, Distribution::Point { value: 1.0 });
    let weighed = simulate(&RunSpec { background_weights: Some(weights), ..small() }, executor()).unwrap();
    let plain = simulate(&small(), executor()).unwrap();
    for (a, b) in weighed.records[3].neurons.background.iter().zip(&plain.records[3].neurons.background) {
        assert!((a - 2.0 * b).abs() < 1e-12);
    }
}

#[test]
fn a_diverging_run_says_at_which_step() {
    let spec = RunSpec { learning_rate: 1e42, weight_decay: 0.0, ..small() };
    let error = simulate(&spec, executor()).map(|t| t.records.len()).unwrap_err().to_string();
    assert!(error.contains("non-finite at step"), "{error}");
}

#[test]
fn observables_are_what_their_names_say() {
    let spec = RunSpec { steps: 5, record_steps: vec![5], eval_samples: 3000, ..small() };
    let trajectory = simulate(&spec, executor()).unwrap();
    let mut run = Training::<f32>::new(&spec, executor()).unwrap();
    (0..5).for_each(|_| run.advance().unwrap());
    let (record, d0) = (&trajectory.records[0], spec.data.d0());
    for (domain, samples) in [(Domain::Id, 3000), (Domain::Ood, 750)] {
        let (mut x, mut y) = (vec![0.0; samples * d0], vec![0; samples]);
        let draw = Draw { seed: spec.seed, purpose: Purpose::Evaluate, domain, step: 5, first_row: 0 };
        spec.data.fill(executor(), draw, &mut x, &mut y).unwrap();
        let s = |row: &[f32], k: usize| -> f64 {
            row.iter().zip(&run.network.weights[k * d0..]).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
        };
        let margins: Vec<f64> = x
            .chunks(d0)
            .zip(&y)
            .map(|(row, &y)| {
                f64::from(y) * (0..spec.m).map(|k| f64::from(run.network.a[k]) * s(row, k).max(0.0)).sum::<f64>()
            })
            .collect();
        let evaluation = if domain == Domain::Id { &record.id } else { &record.ood };
        let mean = |f: &dyn Fn(f64) -> f64| margins.iter().map(|&m| f(m)).sum::<f64>() / samples as f64;
        assert!((evaluation.risk - mean(&|m| (1.0 - m).max(0.0))).abs() < 1e-5);
        assert!((evaluation.margin - mean(&|m| m)).abs() < 1e-5);
        assert!((evaluation.accuracy - mean(&|m| f64::from(u8::from(m > 0.0)))).abs() < 1e-3);
        if domain == Domain::Id {
            for k in 0..spec.m {
                let count = |own: bool| {
                    let label = if own { trajectory.signs[k] } else { -trajectory.signs[k] };
                    x.chunks(d0).zip(&y).filter(|&(row, &y)| y == label && s(row, k) >= 0.0).count() as i64
                };
                // One example in rounding distance of 0 is allowed.
                assert!((record.neurons.own.successes(k) as i64 - count(true)).abs() <= 1);
                assert!((record.neurons.other.successes(k) as i64 - count(false)).abs() <= 1);
            }
        }
    }
    let network = Network::<f32>::init(&spec).unwrap();
    assert_eq!(network.signs, trajectory.signs);
    assert!(Executor::available().iter().any(|e| e.isa() == Isa::Portable));
}

#[test]
fn activation_frequencies_are_counts_over_the_evaluation_data() {
    let spec = small();
    let (m, d0, n) = (spec.m, spec.data.d0(), spec.eval_samples);
    let trajectory = simulate(&spec, executor()).unwrap();
    let record = trajectory.records.last().unwrap();
    let mut run = Training::<f32>::new(&spec, executor()).unwrap();
    (0..spec.steps).for_each(|_| run.advance().unwrap());
    let weights = run.latent_weights().unwrap();
    let (mut x, mut y) = (vec![0.0; n * d0], vec![0; n]);
    let draw = Draw { seed: spec.seed, purpose: Purpose::Evaluate, domain: Domain::Id, step: spec.steps, first_row: 0 };
    spec.data.fill(executor(), draw, &mut x, &mut y).unwrap();
    // [neuron][own or other][all or in the hinge's linear part]
    let mut counts = vec![[[0u32; 2]; 2]; m];
    for (x, &y) in x.chunks(d0).zip(&y) {
        let s = |k: usize| (0..d0).map(|j| f64::from(weights[k * d0 + j]) * f64::from(x[j])).sum::<f64>();
        let h: f64 = (0..m).map(|k| f64::from(trajectory.signs[k]) / m as f64 * s(k).max(0.0)).sum();
        for k in (0..m).filter(|&k| s(k) >= 0.0) {
            let counts = &mut counts[k][usize::from(y != trajectory.signs[k])];
            counts[0] += 1;
            counts[1] += u32::from(f64::from(y) * h < 1.0);
        }
    }
    let total = |label: i8| f64::from(y.iter().map(|&y| u32::from(y == label)).sum::<u32>());
    let neurons = &record.neurons;
    for (k, [own, other]) in counts.iter().enumerate() {
        let (owns, others) = (total(trajectory.signs[k]), total(-trajectory.signs[k]));
        assert!((neurons.own.p[k] - f64::from(own[0]) / owns).abs() < 1e-12);
        assert!((neurons.other.p[k] - f64::from(other[0]) / others).abs() < 1e-12);
        assert!((neurons.own_gated[k] - f64::from(own[1]) / owns).abs() < 1e-12);
        assert!((neurons.other_gated[k] - f64::from(other[1]) / others).abs() < 1e-12);
    }
    let sum = |pick: fn(&[[u32; 2]; 2]) -> u32| counts.iter().map(pick).sum::<u32>();
    assert!(sum(|c| c[0][1]) > 0 && sum(|c| c[0][1]) < sum(|c| c[0][0]), "the hinge must gate some and not all");
}

/// The fraction is of the batch of the last step also where a frozen run does not look at it before it is asked.
#[test]
fn a_frozen_run_tells_the_active_fraction_of_its_last_batch() {
    for labels in [Labels::True, Labels::Shuffled] {
        let trained = small();
        let mut run = Training::<f32>::new(&trained, executor()).unwrap();
        (0..trained.steps).for_each(|_| run.advance().unwrap());
        let weights = run.network.weights;
        // Steps so small that no weight changes.
        let still = RunSpec { labels, learning_rate: 1e-30, weight_decay: 0.0, ..small() };
        let frozen = RunSpec { frozen: true, ..still.clone() };
        let (mut still, mut frozen) =
            (Training::<f32>::new(&still, executor()).unwrap(), Training::<f32>::new(&frozen, executor()).unwrap());
        still.network.weights.clone_from(&weights);
        frozen.network.weights.clone_from(&weights);
        let mut seen = vec![];
        for _ in 0..6 {
            let (a, b) = (still.active_fraction().unwrap(), frozen.active_fraction().unwrap());
            assert_eq!(a, b, "step {}, labels {labels:?}", frozen.step);
            seen.push(a);
            still.advance().unwrap();
            frozen.advance().unwrap();
        }
        assert!(still.network.weights == weights && frozen.network.weights == weights);
        assert_eq!(seen[0], seen[1], "before the first step it is that of the first batch");
        assert!(seen[1..].windows(2).any(|pair| pair[0] != pair[1]), "{seen:?}");
    }
}
