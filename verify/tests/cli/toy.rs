//! `verify toy`: a small file of the authors' script is met, and spoilt ones are refused.
//!
//! `fixtures/toy.npz` comes from PyTorch: `python fixtures/make_toy.py toy.npz '{"n": 24, "core_dim": 3, "bg_dim": 3,
//! "input_dim": 8, "hidden_dim": 6, "iterations": 41}'`, the default setting at small sizes. `fixtures/toy_wide.npz` has more
//! features than inputs, and kinks everywhere: `{"loss": "hinge", "optimizer": "adam", "activation": "leakyrelu", "n": 40,
//! "core_dim": 5, "bg_dim": 5, "input_dim": 8, "hidden_dim": 44, "iterations": 101}`.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::harness::{Folder, Outcome};

const FILE: &[u8] = include_bytes!("../fixtures/toy.npz");

/// The arrays of the file.
fn arrays() -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(FILE)).unwrap();
    (0..archive.len())
        .map(|i| {
            let mut entry = archive.by_index(i).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn archive(arrays: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An array as numpy writes it.
fn npy(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(body);
    bytes
}

fn floats(shape: &str, values: &[f32]) -> Vec<u8> {
    npy("'<f4'", shape, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

fn text(text: &str) -> Vec<u8> {
    let body: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    npy(&format!("'<U{}'", text.chars().count()), "()", &body)
}

/// The settings of the file.
fn config() -> String {
    let (_, bytes) = arrays().into_iter().find(|(name, _)| name == "config.npy").unwrap();
    bytes[128..].as_chunks::<4>().0.iter().map(|c| char::from(c[0])).collect()
}

/// The file with an array replaced, added or, with `None`, left out.
fn with(name: &str, bytes: Option<Vec<u8>>) -> Vec<u8> {
    let mut arrays = arrays();
    arrays.retain(|(known, _)| *known != format!("{name}.npy"));
    arrays.extend(bytes.map(|bytes| (format!("{name}.npy"), bytes)));
    archive(&arrays)
}

/// The file with a part of its settings replaced.
fn with_config(from: &str, to: &str) -> Vec<u8> {
    let config = config();
    assert!(config.contains(from), "no {from} in {config}");
    with("config", Some(text(&config.replace(from, to))))
}

/// The file is refused with an error that names it and says all of `words`, and nothing is written.
fn refused_with(file: impl AsRef<[u8]>, args: &[&str], words: &[&str]) {
    let folder = Folder::new();
    folder.write("file.npz", file);
    let before = folder.tree("");
    let outcome = folder.verify(&[&["toy", "--from", "file.npz", "--out", "new/out"], args].concat());
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
    assert_eq!(folder.tree(""), before, "{outcome:?}");
}

fn refused(file: impl AsRef<[u8]>, words: &[&str]) {
    refused_with(file, &[], &[&["file.npz"], words].concat());
}

fn run(folder: &Folder, args: &[&str]) -> Outcome {
    folder.verify(&[&["toy", "--from", "toy.npz", "--out", "out"], args].concat())
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("toy.npz", FILE);
    folder
}

/// The first column of `trajectory.csv`.
fn iterations(folder: &Folder) -> Vec<u64> {
    let csv = folder.text("out/trajectory.csv");
    let rows = csv.lines().skip(1).map(|row| {
        assert!(row.split(',').skip(1).all(|x| x.parse::<f64>().unwrap() > 0.0), "{row}");
        row.split(',').next().unwrap().parse().unwrap()
    });
    rows.collect()
}

#[test]
fn a_run_of_the_authors_script_is_met() {
    let folder = folder();
    let outcome = run(&folder, &[]);
    assert_eq!(outcome.ok().err, "");
    assert!(outcome.out.contains("every curve matches"), "{outcome:?}");
    let csv = folder.text("out/trajectory.csv");
    assert_eq!(csv.lines().next(), Some("iteration,train_loss,test_loss,core_norm,background_norm"));
    assert_eq!(iterations(&folder), [0, 10, 20, 30, 40]);
    let matches = folder.json("out/match.json");
    assert_eq!(matches["curves"].as_array().unwrap().len(), 4);
    for curve in matches["curves"].as_array().unwrap() {
        assert_eq!((&curve["matches"], &curve["points"]), (&true.into(), &5.into()));
        assert!(curve["worst_ratio"].as_f64().unwrap() <= 1.0);
    }
    let page = folder.text("out/index.html");
    for name in ["train_loss", "test_loss", "core_norm", "background_norm", "every curve matches", "<svg"] {
        assert!(page.contains(name), "no {name:?} in the page");
    }
    assert!(folder.text("out/figures/toy.svg").starts_with("<svg"));
    // Again, over the same folder, on more threads, with the same numbers.
    run(&folder, &["--threads", "4"]).ok();
    assert_eq!(folder.text("out/trajectory.csv"), csv);
}

#[test]
fn more_features_than_inputs_are_met() {
    let folder = Folder::new();
    folder.write("toy.npz", include_bytes!("../fixtures/toy_wide.npz"));
    let outcome = run(&folder, &[]);
    assert!(outcome.ok().out.contains("every curve matches at the file's 11 iterations"), "{outcome:?}");
    assert!(outcome.out.contains("in 8 coordinates"), "{outcome:?}");
}

#[test]
fn every_instruction_set_meets_it() {
    for isa in ["portable", "avx2", "avx512"] {
        let folder = folder();
        let mut command = folder.command(&["toy", "--from", "toy.npz", "--out", "out"]);
        command.env("FC_ISA", isa);
        let outcome = crate::harness::outcome(command);
        if !outcome.err.contains("this host lacks") {
            outcome.ok();
        }
    }
}

#[test]
fn a_curve_that_differs_is_said_and_gives_status_1() {
    for name in ["train_loss", "test_loss", "core_norm", "background_norm"] {
        let folder = Folder::new();
        let (_, mut bytes) = arrays().into_iter().find(|(known, _)| *known == format!("{name}.npy")).unwrap();
        // The last point, by a thousandth.
        let last = bytes.len() - 8;
        let value = f64::from_le_bytes(bytes[last..].try_into().unwrap()) * 1.001;
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        folder.write("toy.npz", with(name, Some(bytes)));
        let outcome = run(&folder, &[]);
        assert_eq!(outcome.status, Some(1), "{outcome:?}");
        let line = outcome.out.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains("differs") && line.contains("iteration 40"), "{line}");
        assert!(folder.text("out/index.html").contains("not every curve matches"));
    }
}

#[test]
fn iterations_and_records_can_be_chosen() {
    let folder = folder();
    run(&folder, &["--iterations", "21"]).ok();
    assert_eq!(iterations(&folder), [0, 10, 20]);
    run(&folder, &["--record-every", "15"]).ok();
    assert_eq!(iterations(&folder), [0, 15, 30, 40]);
    run(&folder, &["--iterations", "50", "--record-every", "20"]).ok();
    assert_eq!(iterations(&folder), [0, 20, 40, 49]);
    run(&folder, &["--iterations", "45"]).ok();
    assert_eq!(iterations(&folder), [0, 10, 20, 30, 40, 44]);
    run(&folder, &["--iterations", "1"]).ok();
    assert_eq!(iterations(&folder), [0]);
    for flag in ["--iterations", "--record-every", "--threads"] {
        for value in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            refused_with(FILE, &[flag, value], &[flag, value]);
        }
    }
    refused_with(FILE, &["--iterations", "1000000000000000"], &["days", "--iterations"]);
    refused_with(FILE, &["--iterations", "9000000", "--record-every", "1"], &["--record-every", "at least 9"]);
}

#[test]
fn a_folder_of_somebody_elses_is_left_alone() {
    let folder = folder();
    folder.write("out/thesis.tex", "x");
    let before = folder.tree("");
    let outcome = run(&folder, &[]);
    assert!(outcome.error().contains("--out") && outcome.error().contains("thesis.tex"), "{outcome:?}");
    assert_eq!(folder.tree(""), before);
}

#[test]
fn files_that_are_no_archives() {
    refused("", &["archive"]);
    refused("PK\x03\x04", &["archive"]);
    refused(npy("'<f4'", "(1,)", &[0; 4]), &["archive"]);
    for cut in [1, 20, 200, FILE.len() / 2, FILE.len() - 10] {
        refused(&FILE[..FILE.len() - cut], &["archive"]);
    }
    let outcome = Folder::new().verify(&["toy", "--from", "missing.npz", "--out", "out"]);
    assert!(outcome.error().contains("missing.npz"), "{outcome:?}");
    let folder = Folder::new();
    folder.write("dir/x", "");
    let outcome = folder.verify(&["toy", "--from", "dir", "--out", "out"]);
    assert!(outcome.error().contains("dir"), "{outcome:?}");
    assert!(Folder::new().verify(&["toy"]).error().contains("--from"));
}

#[test]
fn no_damage_to_a_file_is_passed_over_in_silence_or_ends_in_a_panic() {
    // A byte of the compressed data at a time: a checksum, the format or the comparison finds it, or it changed nothing
    // that is read.
    for place in (0..FILE.len()).step_by(97) {
        let mut bytes = FILE.to_vec();
        bytes[place] ^= 0x55;
        let folder = Folder::new();
        folder.write("toy.npz", bytes);
        let outcome = run(&folder, &[]);
        if outcome.status != Some(0) {
            outcome.error();
        }
    }
}

#[test]
fn missing_arrays_are_named() {
    let arrays = arrays();
    assert_eq!(arrays.len(), 18);
    for (name, _) in arrays {
        let name = name.trim_end_matches(".npy");
        refused(with(name, None), &[name, "missing"]);
    }
}

#[test]
fn wrong_shapes_types_and_values_are_named() {
    for (name, bytes, words) in [
        ("y", floats("(23,)", &[1.0; 23]), &["[23]", "[24]"][..]),
        ("y", floats("(24, 1)", &[1.0; 24]), &["[24, 1]"]),
        ("y", floats("()", &[1.0]), &["[]"]),
        ("y", floats("(24,)", &[1.0; 23]), &["ends before"]),
        ("y", floats("(24,)", &[1.0; 25]), &["goes on after"]),
        ("y", floats("(24,)", &[0.5; 24]), &["0.5", "-1 or 1"]),
        ("y", floats("(24,)", &[f32::NAN; 24]), &["NaN", "finite"]),
        ("train_x", floats("(24, 8)", &[f32::INFINITY; 192]), &["inf", "finite"]),
        ("train_x", floats("(8, 24)", &[0.0; 192]), &["[8, 24]"]),
        ("train_x", floats("(18446744073709551615, 8)", &[]), &["[24, 8]"]),
        ("train_x", npy("'<f4'", "(99999999999999999999, 8)", &[]), &["header"]),
        ("test_x", npy("'|O'", "(24, 8)", b"\x80\x03cos\nsystem\n"), &["|O", "<f4"]),
        ("test_x", npy("'>f4'", "(24, 8)", &[0; 768]), &[">f4", "<f4"]),
        ("test_x", npy("'<c8'", "(24, 8)", &[0; 1536]), &["<c8"]),
        ("test_x", npy("[('a', '<f4')]", "(24, 8)", &[0; 768]), &["records"]),
        ("test_x", b"\x93NUMPX\x01\x00".to_vec(), &["header"]),
        ("test_x", b"\x93NUMPY\x01\x00\xff\xff".to_vec(), &["header"]),
        ("test_x", b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), &["header"]),
        ("test_x", vec![], &["ends before"]),
        ("transform", floats("(5, 8)", &[0.0; 40]), &["[5, 8]", "[6, 8]"]),
        ("init_fcs_0_weight", floats("(6, 7)", &[0.0; 42]), &["[6, 7]", "[6, 8]"]),
        ("init_fcs_1_weight", floats("(6,)", &[0.0; 6]), &["[6]", "[1, 6]"]),
        ("init_fcs_1_bias", floats("(2,)", &[0.0; 2]), &["[2]", "[1]"]),
        ("init_fcs_2_weight", floats("(1,)", &[0.0]), &["layers = 2"]),
        ("iteration", floats("(5,)", &[0.0, 10.0, 20.0, 30.0, 41.0]), &["iterations = 41"]),
        ("iteration", floats("(5,)", &[0.0, 10.0, 10.0, 30.0, 40.0]), &["ascending"]),
        ("iteration", floats("(5,)", &[0.0, 10.0, 20.5, 30.0, 40.0]), &["whole"]),
        ("iteration", floats("(5,)", &[-1.0, 10.0, 20.0, 30.0, 40.0]), &["from 0"]),
        ("iteration", floats("(0,)", &[]), &["[0]"]),
        ("iteration", floats("(1000000000000,)", &[]), &["1000000000000"]),
        ("train_loss", floats("(4,)", &[1.0; 4]), &["[4]", "[5]"]),
        ("train_loss", floats("(5,)", &[f32::NAN; 5]), &["NaN"]),
        ("train_loss", floats("(5,)", &[-1.0; 5]), &["-1", "below 0"]),
        ("rounding_train_loss", floats("(5,)", &[-1.0; 5]), &["-1", "below 0"]),
        ("config", floats("()", &[1.0]), &["text"]),
        ("config", npy("'<U99999999999'", "()", &[]), &["99999999999"]),
        ("config", npy("'<U1'", "()", &[0xff; 4]), &["no character"]),
        ("config", npy("'|O'", "()", b"\x80\x03cos\nsystem\n"), &["text"]),
        ("config", text("{"), &["settings"]),
        ("config", text("[]"), &["settings"]),
        ("config", text(&format!("{{\"{}\": 1}}", "x".repeat(60_000))), &["settings"]),
    ] {
        refused(with(name, Some(bytes)), &[&[name], words].concat());
    }
}

#[test]
fn settings_that_are_none_are_named() {
    for (from, to, words) in [
        ("\"loss\": \"logistic\"", "\"loss\": \"huber\"", &["loss", "huber", "hinge"][..]),
        ("\"optimizer\": \"adamw\"", "\"optimizer\": \"lion\"", &["optimizer", "lion", "adamw"]),
        ("\"activation\": \"relu\"", "\"activation\": \"swish\"", &["activation", "swish", "tanh"]),
        ("\"layers\": 2", "\"layers\": 1", &["layers = 1", "at least 2"]),
        ("\"layers\": 2", "\"layers\": 3", &["init_fcs_1_weight", "[6, 6]"]),
        ("\"layers\": 2", "\"layers\": -2", &["config"]),
        ("\"lr\": 0.001", "\"lr\": -1.0", &["learning_rate", "positive"]),
        ("\"lr\": 0.001", "\"lr\": NaN", &["config"]),
        ("\"lr\": 0.001", "\"lr\": 1e999", &["config"]),
        ("\"lr\": 0.001, ", "", &["lr"]),
        ("\"lr\": 0.001", "\"lr\": 0.001, \"lr_decay\": 0.1", &["lr_decay"]),
        ("\"weight_decay\": 0.001", "\"weight_decay\": -0.1", &["weight_decay"]),
        ("\"momentum\": 0.9", "\"momentum\": \"fast\"", &["config"]),
        ("\"n\": 24", "\"n\": 0", &["n = 0"]),
        ("\"n\": 24", "\"n\": 25", &["train_x", "[24, 8]", "[25, 8]"]),
        ("\"n\": 24", "\"n\": 18446744073709551615", &["memory"]),
        ("\"hidden_dim\": 6", "\"hidden_dim\": 1000000000", &["memory"]),
        ("\"input_dim\": 8", "\"input_dim\": 0", &["input_dim = 0"]),
        ("\"core_dim\": 3", "\"core_dim\": 0", &["core_dim = 0"]),
        ("\"iterations\": 41", "\"iterations\": 0", &["iterations = 0"]),
        ("\"iterations\": 41", "\"iterations\": 18446744073709551615", &["days"]),
        ("\"freeze_output\": false", "\"freeze_output\": 3", &["config"]),
    ] {
        refused(with_config(from, to), words);
    }
}

#[test]
fn what_unpacks_to_far_more_than_it_says_is_not_unpacked() {
    // 200 MB of zeros behind the header of a small array, some 200 kB in the archive.
    let mut bomb = floats("(24,)", &[1.0; 24]);
    bomb.resize(200_000_000, 0);
    refused(with("y", Some(bomb)), &["y", "goes on after"]);
}

#[test]
fn a_run_that_leaves_the_finite_numbers_says_so() {
    refused(with_config("\"lr\": 0.001", "\"lr\": 1e300"), &["iteration", "learning_rate"]);
}
