//! Runs from beginning to end.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use feature_contamination::mlp::{Dense, Network, Toy, Training};
use feature_contamination::{Array, Executor, Trajectory, rng, simulate};
use feature_contamination_kernels::MatRef;

use super::*;
use crate::report::model::Mark;
use crate::scratch::{Scratch, names};
use crate::stats::fit::quantile;

/// One of every kind, small; every step is recorded, so that a run can be stopped at any.
fn configurations() -> Vec<(&'static str, RunConfig)> {
    let fresh = "[model]\nd_core = 4\nd_bg = 3\nd = 60\n[optimizer]\nbatch = 96\nweight_decay = 0.01\n[schedule]\nsteps = 40\n\
                 [observables]\nevery = 1\neval_samples = 128\n[network]\nm = 10\n";
    let fixed = "[model]\nsampling = \"fixed\"\nd_core = 4\nd_bg = 3\nd = 24\n[schedule]\nsteps = 40\n\
                 [observables]\nevery = 1\n[network]\nm = 10\n";
    let adam = "[optimizer]\nbatch = 70\nlearning_rate = 0.01\nname = ";
    [
        ("latent", fresh.to_owned()),
        ("ambient", fresh.to_owned() + "coordinates = \"ambient\""),
        ("linear", fresh.to_owned() + "activation = \"identity\""),
        ("double", fresh.to_owned() + "precision = \"f64\""),
        ("lazy", format!("{fixed}output = \"frozen\"\n[optimizer]\nbatch = 70\nloss = \"hinge\"")),
        ("momentum", format!("{fixed}[optimizer]\nbatch = 70\nloss = \"mse\"")),
        ("adam", format!("{fixed}activation = \"gelu\"\n{adam}\"adam\"")),
        ("adamw", format!("{fixed}{adam}\"adamw\"")),
        ("deep", format!("{fixed}layers = 4\nactivation = \"tanh\"\nbias = false\n{adam}\"adamw\"")),
    ]
    .map(|(name, text)| (name, RunConfig::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))))
    .into()
}

/// Runs, stopping after the records at `stops`, ascending; how often it was interrupted.
fn stopped_at(folder: &Path, config: &RunConfig, stops: &[u64], options: Options<'_>) -> u64 {
    let mut interruptions = 0;
    loop {
        let stop = Stop::default();
        let begun = Mutex::new(None);
        let progress = |progress: &Progress<'_>| {
            // Not where it began: it would never come further.
            let first = *begun.lock().unwrap().get_or_insert(progress.step);
            if stops.contains(&progress.step) && (progress.step > first || interruptions == 0) {
                stop.set();
            }
        };
        match run_in(folder, config, 3, &Options { progress: &progress, ..options }, &stop).unwrap() {
            Ending::Complete(result) => {
                assert_eq!(result.interruptions, interruptions);
                return interruptions;
            }
            Ending::Interrupted { step } => {
                assert!(stops.contains(&step) && !is_complete(folder));
                interruptions += 1;
            }
            Ending::Already(_) => panic!("complete although it was not"),
        }
    }
}

fn bytes(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join(SERIES)).unwrap()
}

#[test]
fn runs_that_are_stopped_again_and_again_leave_the_same_bytes() {
    for (number, (name, config)) in configurations().into_iter().enumerate() {
        let (whole, parts) = (Scratch::new(), Scratch::new());
        assert_eq!(stopped_at(whole.path(), &config, &[], Options::default()), 0);
        let stops: Vec<u64> = (0..40).filter(|&step| rng::derive(number as u64, &[step]).is_multiple_of(5)).collect();
        // Every checkpoint but those of the stops comes at its time, which is always.
        let options = Options { checkpoint_every: Duration::ZERO, threads: 1 + number % 3, ..Options::default() };
        let interruptions = stopped_at(parts.path(), &config, &stops, options);
        assert!(interruptions >= 3, "{name}: {interruptions}");
        assert_eq!(bytes(whole.path()), bytes(parts.path()), "{name}");
        assert_eq!(names(parts.path()), [RESULT, SERIES], "{name}");
        let result = RunResult::read(parts.path()).unwrap();
        let series = result.series(parts.path()).unwrap();
        assert_eq!((series.rows.len(), result.rows), (41, 41));
        assert_eq!(result.config, config.resolved().unwrap());
        assert!(series.rows.iter().flatten().all(|x| x.is_finite()), "{name}");
        assert!(result.last.iter().all(|(column, value)| {
            let at = series.columns.iter().position(|c| c == column).unwrap();
            series.rows[40][at].to_bits() == value.to_bits()
        }));
    }
}

#[test]
fn a_complete_run_is_not_done_again_and_no_other_takes_its_folder() {
    let folder = Scratch::new();
    let (_, config) = configurations().remove(0);
    let run = |config: &RunConfig, seed| run_in(folder.path(), config, seed, &Options::default(), &Stop::default());
    let Ok(Ending::Complete(first)) = run(&config, 1) else { panic!("not complete") };
    // As a program leaves it that is killed before it removes them.
    std::fs::write(folder.path().join(CHECKPOINT), b"old").unwrap();
    std::fs::write(folder.path().join(format!(".{CHECKPOINT}.tmp")), b"half of").unwrap();
    assert_eq!(run(&config, 1).unwrap(), Ending::Already(first));
    assert_eq!(names(folder.path()), [RESULT, SERIES]);
    let error = run(&config, 2).unwrap_err().to_string();
    assert!(error.contains("result.json is of seed 1, and this run has seed 2"), "{error}");
    let mut other = config.clone();
    other.network.m = 11;
    let error = run(&other, 1).unwrap_err().to_string();
    assert!(error.contains("[network] m = 10 there, m = 11 here"), "{error}");
    std::fs::write(folder.path().join(RESULT), b"{}").unwrap();
    assert!(run(&config, 1).unwrap_err().to_string().contains("does not read as a result"));
    let bytes = bytes(folder.path());
    std::fs::write(folder.path().join(SERIES), &bytes[1..]).unwrap();
    std::fs::write(folder.path().join(RESULT), RunResult::json(&first_of(&config))).unwrap();
    let result = RunResult::read(folder.path()).unwrap();
    assert!(result.series(folder.path()).unwrap_err().contains("CRC-32"));
}

fn first_of(config: &RunConfig) -> RunResult {
    let folder = Scratch::new();
    match run_in(folder.path(), config, 1, &Options::default(), &Stop::default()) {
        Ok(Ending::Complete(result)) => *result,
        other => panic!("{other:?}"),
    }
}

fn series_of(config: &RunConfig, seed: u64) -> Series {
    let folder = Scratch::new();
    run_in(folder.path(), config, seed, &Options::default(), &Stop::default()).unwrap();
    RunResult::read(folder.path()).unwrap().series(folder.path()).unwrap()
}

/// Every column by its name, from the trajectory that the theory's simulator makes of the same run.
#[test]
fn columns_of_fresh_examples_hold_what_their_names_say() {
    let (_, config) = configurations().remove(0);
    let Plan::Fresh(spec) = config.plan(3).unwrap() else { panic!("fresh examples") };
    let run: Trajectory = simulate(&spec, Executor::detect().unwrap()).unwrap();
    let series = series_of(&config, 3);
    assert_eq!(series.rows.len(), run.records.len());
    for (row, record) in series.rows.iter().zip(&run.records) {
        let (step, [id, ood]) = (record.step as f64, [record.id, record.ood]);
        let mut expected = vec![("step".to_owned(), step), ("time".to_owned(), step * spec.learning_rate)];
        for (name, values) in [
            ("core", &run.aligned_core(record)),
            ("background", &record.neurons.background),
            ("p_own", &record.neurons.own.p),
            ("p_oth", &record.neurons.other.p),
        ] {
            for (end, q) in [("median", 0.5), ("q10", 0.1), ("q90", 0.9)] {
                expected.push((format!("{name}_{end}"), quantile(values, q).unwrap()));
            }
        }
        for (name, of) in [("id", id), ("ood", ood)] {
            for (what, x) in [("risk", of.risk), ("accuracy", of.accuracy), ("margin", of.margin)] {
                expected.push((format!("{name}_{what}"), x));
            }
        }
        expected.push(("active_fraction".to_owned(), record.active_fraction));
        expected.push(("max_abs_core".to_owned(), record.max_abs_core));
        expected.push(("max_abs_background".to_owned(), record.max_abs_background));
        let found: Vec<(String, f64)> = series.columns.iter().cloned().zip(row.iter().copied()).collect();
        assert_eq!(found, expected);
    }
    // Own and other, ID and OOD are apart, so that the test means something.
    let last = &run.records[40];
    assert!(last.id.risk < last.ood.risk && last.neurons.own.p != last.neurons.other.p);
}

/// Every column by its name, from the data and the network of the seed.
#[test]
fn columns_of_a_fixed_set_hold_what_their_names_say() {
    let executor = Executor::detect().unwrap();
    for (name, config) in configurations().split_off(4) {
        let Plan::Fixed(spec) = config.plan(3).unwrap() else { panic!("a fixed set") };
        let toy = Toy::draw(spec.rule, 70, 4, 3, 24, 3).unwrap();
        let network = Network::init(&spec.architecture, 3).unwrap();
        let loss = |x: &[f32]| {
            let mut h = vec![0.0; 70];
            Dense::new().forward(executor, &network, MatRef::from_row_major(x, 70, 24).unwrap(), &mut h).unwrap();
            h.iter().zip(&toy.y).map(|(&h, &y)| f64::from(spec.loss.value(h, y))).sum::<f64>() / 70.0
        };
        let mut training = Training::new(executor, network.clone(), toy.problem(), spec.loss, spec.optimizer).unwrap();
        let [core, background] = training.feature_norms(4);
        let series = series_of(&config, 3);
        assert_eq!(series.columns, ["step", "train_loss", "test_loss", "core_norm", "background_norm"]);
        let (row, expected) = (&series.rows[0], [0.0, loss(&toy.train_x), loss(&toy.test_x), core, background]);
        // Products in other coordinates round otherwise.
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {row:?}, {expected:?}");
        assert!((row[1] - row[2]).abs() > 1e-4, "{name}");
        // And 40 steps later, of which the training's own tests tell.
        (0..40).for_each(|_| training.advance().unwrap());
        let losses = [training.train_loss().unwrap(), training.test_loss().unwrap()];
        let [core, background] = training.feature_norms(4);
        assert_eq!(series.rows[40], [40.0, losses[0], losses[1], core, background], "{name}");
    }
}

/// Every dashed line of a run's page follows the measured one of its colour, and no other one's.
#[test]
fn predictions_on_the_page_are_those_of_what_they_stand_beside() {
    let text = "[model]\nd_core = 16\nd_bg = 16\nd = 1073741824\n[network]\nm = 64\n[optimizer]\nbatch = 512\n[schedule]\n\
                steps = \"T1\"\n[observables]\neval_samples = 2048\n";
    let config = RunConfig::parse(text).unwrap();
    let folder = Scratch::new();
    run_in(folder.path(), &config, 1, &Options::default(), &Stop::default()).unwrap();
    let result = RunResult::read(folder.path()).unwrap();
    let series = result.series(folder.path()).unwrap();
    let figure = page::figure(&config, &config.plan(1).unwrap(), &[page::Finished { result, series }]);
    assert_eq!(figure.panels.len(), 3);
    for panel in &figure.panels {
        let ends = |mark: Mark| -> Vec<(usize, f64)> {
            let of = panel.series.iter().filter(|series| series.mark == mark);
            of.map(|series| (series.color, series.points.last().unwrap().y)).collect()
        };
        let (measured, predicted) = (ends(Mark::Line), ends(Mark::Dashed));
        assert_eq!((measured.len(), predicted.len()), (2, 2));
        let apart = (measured[0].1 - measured[1].1).abs();
        for (color, x) in predicted {
            let beside = measured.iter().find(|(of, _)| *of == color).unwrap().1;
            assert!((x - beside).abs() < 0.25 * apart, "{}: {x} beside {beside}, {apart} apart", panel.y.label);
        }
        // The band is the line's own.
        for band in panel.series.iter().filter(|series| series.mark == Mark::Band) {
            assert!(band.points.iter().all(|point| point.lo <= point.y && point.y <= point.hi));
        }
    }
}

/// The time of a run is that of all its stretches.
#[test]
fn the_time_before_an_interruption_counts() {
    let folder = Scratch::new();
    let (_, config) = configurations().remove(4);
    let stop = Stop::default();
    stop.set();
    run_in(folder.path(), &config, 1, &Options::default(), &stop).unwrap();
    let path = folder.path().join(CHECKPOINT);
    let checkpoint = Checkpoint::decode(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, Checkpoint { elapsed_seconds: 1e6, ..checkpoint }.encode()).unwrap();
    let ending = run_in(folder.path(), &config, 1, &Options::default(), &Stop::default()).unwrap();
    let Ending::Complete(result) = ending else { panic!("not complete") };
    assert!((1e6..1.1e6).contains(&result.elapsed_seconds), "{}", result.elapsed_seconds);
}

/// Between two checkpoints lies the time that was asked for, however fast the steps are.
#[test]
fn checkpoints_come_no_more_often_than_asked_for() {
    const EVERY: Duration = Duration::from_millis(40);
    let folder = Scratch::new();
    let (_, config) = configurations().remove(4);
    let seen = Mutex::new(std::collections::BTreeSet::new());
    let progress = |_: &Progress<'_>| {
        if let Ok(bytes) = std::fs::read(folder.path().join(CHECKPOINT)) {
            seen.lock().unwrap().insert(Checkpoint::decode(&bytes).unwrap().step);
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let start = Instant::now();
    let options = Options { checkpoint_every: EVERY, progress: &progress, ..Options::default() };
    run_in(folder.path(), &config, 1, &options, &Stop::default()).unwrap();
    let most = (start.elapsed().as_secs_f64() / EVERY.as_secs_f64()) as usize;
    let seen = seen.into_inner().unwrap();
    assert!(!seen.is_empty() && seen.len() <= most, "{seen:?} in {:?}", start.elapsed());
}

#[test]
fn one_process_at_a_time() {
    let folder = Scratch::new();
    let (_, config) = configurations().remove(0);
    let lock = RunLock::wait(folder.path(), &|_| (), &|| false).unwrap();
    assert!(matches!(lock, Attempt::Mine(_)));
    let error = run_in(folder.path(), &config, 1, &Options::default(), &Stop::default()).unwrap_err();
    assert!(matches!(error, RunFailure::Busy { .. }), "{error}");
}

/// Other machines take a holder for dead whose counter stands still.
#[test]
fn the_counter_of_a_run_under_way_moves_on() {
    let folder = Scratch::new();
    let (_, mut config) = configurations().remove(0);
    (config.schedule.steps, config.observables.every) = (Steps::Number(100_000_000), 0);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let moved = scope.spawn(|| {
            let moved = crate::lock::tests::moves_on(folder.path());
            stop.set();
            moved
        });
        let ending = run_in(folder.path(), &config, 3, &Options::default(), &stop).unwrap();
        assert!(matches!(ending, Ending::Interrupted { .. }), "{ending:?}");
        assert!(moved.join().unwrap());
    });
}

#[test]
fn a_stop_before_the_first_step_leaves_a_checkpoint_of_it() {
    let folder = Scratch::new();
    let (_, config) = configurations().remove(4);
    let stop = Stop::default();
    stop.set();
    let ending = run_in(folder.path(), &config, 1, &Options::default(), &stop).unwrap();
    assert_eq!(ending, Ending::Interrupted { step: 0 });
    assert!(names(folder.path()).contains(&CHECKPOINT.to_owned()));
    let ending = run_in(folder.path(), &config, 1, &Options::default(), &Stop::default()).unwrap();
    assert!(matches!(ending, Ending::Complete(result) if result.interruptions == 1));
}

/// Weights overflow: the step and the cause are said, no checkpoint has a number that is none, and the run that goes on from
/// the last one ends alike.
#[test]
fn a_number_that_is_none_stops_the_run_at_its_step() {
    let fresh = "[optimizer]\nlearning_rate = 1e300\nweight_decay = 0.0\n[network]\nm = 8\n[schedule]\nsteps = 50\n\
                 [observables]\nevery = 10\nper_octave = 0\neval_samples = 64\n";
    let fixed = "[model]\nsampling = \"fixed\"\n[optimizer]\nlearning_rate = 1e20\nloss = \"mse\"\n[network]\nm = 8\n\
                 [schedule]\nsteps = 50\n";
    for text in [fresh, fixed] {
        let folder = Scratch::new();
        let config = RunConfig::parse(text).unwrap();
        let options = Options { checkpoint_every: Duration::ZERO, ..Options::default() };
        let run = || run_in(folder.path(), &config, 1, &options, &Stop::default()).unwrap_err();
        let error = run();
        let RunFailure::NonFinite { step, ref cause } = error else { panic!("{error}") };
        assert!(step <= 50 && cause.contains("learning_rate"), "{error}");
        assert!(!is_complete(folder.path()));
        let checkpoint = Checkpoint::decode(&std::fs::read(folder.path().join(CHECKPOINT)).unwrap()).unwrap();
        assert!(checkpoint.step <= step && checkpoint.state.arrays.iter().all(|(_, array)| array.is_finite()));
        assert_eq!(run().to_string(), error.to_string());
    }
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_names_it() {
    let folder = Scratch::new();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let (_, config) = configurations().remove(0);
    let inside = folder.path().join("file/run");
    let error = run_in(&inside, &config, 1, &Options::default(), &Stop::default()).unwrap_err().to_string();
    assert!(error.contains("file/run") && error.contains("cannot create"), "{error}");
}

/// A checkpoint under a right checksum whose content does not fit the run is refused; it does not panic.
#[test]
fn checkpoints_that_do_not_fit_are_refused() {
    for (name, config) in configurations() {
        let folder = Scratch::new();
        let stop = Stop::default();
        let progress = |progress: &Progress<'_>| {
            if progress.step == 20 {
                stop.set();
            }
        };
        let options = Options { progress: &progress, ..Options::default() };
        assert_eq!(run_in(folder.path(), &config, 1, &options, &stop).unwrap(), Ending::Interrupted { step: 20 });
        let path = folder.path().join(CHECKPOINT);
        let whole = Checkpoint::decode(&std::fs::read(&path).unwrap()).unwrap();
        let with = |change: &dyn Fn(&mut Checkpoint)| {
            let mut checkpoint = whole.clone();
            change(&mut checkpoint);
            std::fs::write(&path, checkpoint.encode()).unwrap();
            let _ = std::fs::remove_file(folder.path().join(RESULT));
            run_in(folder.path(), &config, 1, &Options::default(), &Stop::default())
        };
        let refused = |change: &dyn Fn(&mut Checkpoint), words: &str| {
            let error = with(change).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        };
        refused(&|c| drop(c.state.arrays.pop()), "does not fit");
        refused(&|c| c.state.arrays.clear(), "does not fit");
        refused(&|c| c.step = 19, "records");
        refused(&|c| c.step = u64::MAX, "records");
        refused(&|c| drop(c.rows.pop()), "records");
        refused(&|c| c.rows.iter_mut().for_each(|row| row.truncate(3)), "records");
        // Numbers that no step leaves: whatever comes of it, it is no panic.
        for fill in [u64::MAX, 1 << 63] {
            let _ = with(&|c| {
                for (name, array) in &mut c.state.arrays {
                    match array {
                        Array::F32(values) => values.fill(f32::from_bits(fill as u32)),
                        Array::F64(values) => values.fill(f64::from_bits(fill)),
                        Array::U64(values) if name != "step" && name != "iteration" => values.fill(fill),
                        Array::U64(_) => {}
                        Array::I8(values) => values.fill(fill as i8),
                    }
                }
            });
        }
        assert!(matches!(with(&|_| ()).unwrap(), Ending::Complete(_)), "{name}");
    }
}

/// What is not promised: across instruction sets results are the same to rounding, not bit for bit.
#[test]
fn instruction_sets_agree_to_rounding() {
    // A sum of at most N + d₀ + m terms rounds by at most as many halves of a unit in the last place of its terms' absolute
    // sum, in each of 40 steps; no example of these runs is so near a threshold that this carries it across.
    let bound = 40.0 * f64::from(96 + 24 + 10u8) * f64::from(f32::EPSILON) / 2.0;
    let mut widest = 0.0f64;
    for (name, config) in configurations() {
        let series: Vec<Series> = Executor::available()
            .into_iter()
            .map(|executor| {
                let folder = Scratch::new();
                run_on(executor, folder.path(), &config, 3, &Options::default(), &Stop::default()).unwrap();
                let result = RunResult::read(folder.path()).unwrap();
                assert_eq!(result.isa, executor.isa().to_string());
                result.series(folder.path()).unwrap()
            })
            .collect();
        for other in &series[1..] {
            for (a, b) in series[0].rows.iter().flatten().zip(other.rows.iter().flatten()) {
                widest = widest.max((a - b).abs() / (1.0 + a.abs()));
            }
        }
        assert!(widest <= bound, "{name}: {widest:e}, allowed {bound:e}");
    }
}
