//! Everything that the program must refuse: one line, status 2, nothing left behind.

use crate::harness::{Folder, Outcome, tiny};

/// Runs `verify --config bad.toml` with further arguments, its content being `config`; nothing may appear or change.
fn refused(config: impl AsRef<[u8]>, args: &[&str]) -> Outcome {
    let folder = Folder::new();
    folder.write("bad.toml", config);
    let before = folder.tree("");
    let outcome = folder.verify(&[&["--config", "bad.toml"], args].concat());
    assert_eq!(folder.tree(""), before, "{outcome:?}");
    outcome
}

/// The error says all of `words`.
fn says(outcome: &Outcome, words: &[&str]) {
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
}

/// The tiny configuration with `changes` is refused with an error that says all of `words`.
fn value_refused(changes: &[(&str, &str)], args: &[&str], words: &[&str]) {
    says(&refused(tiny(changes), args), words);
}

fn flags_refused(args: &[&str], words: &[&str]) {
    let folder = Folder::with_tiny();
    let before = folder.tree("");
    let outcome = folder.verify(&[&["--config", "tiny.toml"], args].concat());
    says(&outcome, words);
    assert_eq!(folder.tree(""), before, "{outcome:?}");
}

#[test]
fn unknown_names_on_the_command_line() {
    flags_refused(&["--claim", "thm-1"], &["--claim", "thm-1", "thm1", "envelope"]);
    flags_refused(&["--claim", "balance"], &["balance-law"]);
    flags_refused(&["--claim", "thm1", "--claim", "envelop"], &["envelop", "envelope"]);
    flags_refused(&["--claim", ""], &["--claim"]);
    flags_refused(&["--profile", "quik"], &["--profile", "quik", "quick", "full"]);
    flags_refused(&["--profile", ""], &["--profile", "quick", "full"]);
    flags_refused(&["--sead", "1"], &["--sead", "--seed"]);
    flags_refused(&["--thread", "1"], &["--thread", "--threads"]);
    flags_refused(&["--outt", "x"], &["--outt", "--out"]);
    flags_refused(&["-x"], &["-x"]);
    let folder = Folder::new();
    says(&folder.verify(&["repot", "x"]), &["repot", "report"]);
    says(&folder.verify(&["nonsense"]), &["nonsense"]);
}

#[test]
fn wrong_values_of_flags_name_the_flag() {
    flags_refused(&["--threads", "0"], &["--threads", "at least 1"]);
    flags_refused(&["--threads", "two"], &["--threads", "two"]);
    flags_refused(&["--threads", "1.5"], &["--threads", "1.5"]);
    flags_refused(&["--threads", "99999999999999999999"], &["--threads"]);
    flags_refused(&["--seed", "one"], &["--seed", "one"]);
    flags_refused(&["--seed", "1.0"], &["--seed", "1.0"]);
    flags_refused(&["--seed", "18446744073709551616"], &["--seed"]);
    flags_refused(&["--seed", ""], &["--seed"]);
    flags_refused(&["--seed", "1", "--seed", "2"], &["--seed"]);
    flags_refused(&["--seed"], &["--seed"]);
    flags_refused(&["--out", ""], &["--out"]);
    says(&Folder::new().verify(&["report"]), &["<DIR>"]);
    says(&Folder::new().verify(&["report", "a", "b"]), &["b"]);
}

#[test]
fn a_negative_number_names_the_flag_that_it_was_given_to() {
    flags_refused(&["--threads", "-1"], &["--threads", "-1"]);
    flags_refused(&["--seed", "-1"], &["--seed", "-1"]);
}

#[test]
fn configuration_files_that_are_none() {
    let folder = Folder::new();
    folder.write("folder/file", "");
    says(&folder.verify(&["--config", "missing.toml"]), &["missing.toml"]);
    says(&folder.verify(&["--config", "folder"]), &["folder"]);
    says(&folder.verify(&["--config", "folder/file/x.toml"]), &["folder/file/x.toml"]);
    says(&refused([0xff, 0xfe, b'=', 0x00], &[]), &["bad.toml", "UTF-8"]);
    says(&refused("seed", &[]), &["bad.toml"]);
    says(&refused("= 1", &[]), &["bad.toml"]);
    says(&refused("seed = 1\nseed = 2\n", &[]), &["bad.toml", "duplicate"]);
    says(&refused("{\"seed\": 1}", &[]), &["bad.toml"]);
    says(&refused("a = ".to_owned() + &"[".repeat(100_000), &[]), &["bad.toml"]);
    says(&refused("[a".to_owned() + &".a".repeat(100_000) + "]", &[]), &["bad.toml"]);
    says(&refused("a = ".to_owned() + &"{a = ".repeat(10_000), &[]), &["bad.toml"]);
}

#[test]
fn syntax_errors_say_the_line() {
    says(&refused("seed = 1\n[training]\nbatch = \n", &[]), &["bad.toml", "line 3"]);
    says(&refused("seed = 1\n\nseed = 2\n", &[]), &["bad.toml", "line 3"]);
    says(&refused("[training]\nlearning_rate = 1e400\n", &[]), &["bad.toml", "line 2"]);
}

#[test]
fn misspelt_keys_name_the_nearest_at_every_level() {
    for (config, wrong, right) in [
        ("sed = 1\n", "sed", "seed"),
        ("[trainin]\nbatch = 3\n", "trainin", "training"),
        ("[Training]\nbatch = 3\n", "Training", "training"),
        ("[model]\nd_cor = 3\n", "d_cor", "d_core"),
        ("[network]\nn = 3\n", "`n`", "`m`"),
        ("[training]\nlearningrate = 3\n", "learningrate", "learning_rate"),
        ("[times]\nt3 = 3\n", "t3", "t"),
        ("[measure]\neval_sample = 3\n", "eval_sample", "eval_samples"),
        ("[ladder_d0]\ndexponent = 3.0\n", "dexponent", "d_exponent"),
        ("[ladder_m]\nreplicate = 3\n", "replicate", "replicates"),
        ("[ladder_d]\nsteps_to_t = 3\n", "steps_to_t", "steps_to_t0"),
        ("[ladder_linear]\nbatches = [3]\n", "batches", "batch"),
        ("[ladder_law]\nd00 = [3]\n", "d00", "d0"),
        ("[controls]\nmm = [3]\n", "mm", "m"),
        ("[model]\ncore = [{shape = \"unifrom\", low = 0, high = 1}]\n", "unifrom", "`uniform`"),
        ("[model]\ncore = [{shape = \"uniform\", lo = 0, high = 1}]\n", "lo", "`low`"),
        ("[model]\nbackground = [{shape = \"beta\", alhpa = 1, beta = 1}]\n", "alhpa", "`alpha`"),
        ("[model]\nbackground_ood = [{shape = \"bernoulli\", prob = 1}]\n", "prob", "`p`"),
        ("[model]\ncore = [{shape = \"point\", val = 1}]\n", "val", "`value`"),
    ] {
        says(&refused(config, &[]), &["bad.toml", "did you mean", wrong, right]);
    }
}

#[test]
fn the_line_of_a_misspelt_key_is_the_right_one() {
    says(&refused("# batchs of rows\n[training]\n\nbatchs = 3\n", &[]), &["line 4"]);
    says(&refused("[ladder_d0]\nreplicates = 3\n[ladder_m]\nreplicate = 3\n", &[]), &["line 4"]);
    says(&refused("profile = \"quick\" # x\n[times]\nx = 3.0\n", &[]), &["line 3"]);
}

#[test]
fn wrong_types_name_the_key() {
    for (path, value) in [
        ("seed", "\"one\""),
        ("seed", "1.5"),
        ("seed", "-1"),
        ("profile", "3"),
        ("training", "3"),
        ("model.d_core", "-4"),
        ("model.d_core", "4.0"),
        ("model.core", "\"uniform\""),
        ("model.core", "{shape = \"uniform\", low = 0, high = 1}"),
        ("model.core", "[1]"),
        ("network.m", "\"many\""),
        ("network.m", "1979-05-27"),
        ("training.batch", "1e3"),
        ("training.batch", "-64"),
        ("training.learning_rate", "\"slow\""),
        ("training.weight_decay", "true"),
        ("times.t0", "\"8\""),
        ("measure.records_per_octave", "4294967296"),
        ("ladder_d0.d0", "8"),
        ("ladder_d0.d0", "[4, \"8\"]"),
        ("ladder_m.replicates", "2.0"),
    ] {
        let key = path.rsplit('.').next().unwrap();
        // The file's name has none of the keys in it.
        let (section, _) = path.split_once('.').unwrap_or(("", path));
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let outcome = refused(format!("{header}{key} = {value}\n"), &[]);
        let line = outcome.error();
        assert!(line.contains(key), "{path} = {value}: no {key:?} in {line:?}");
    }
}

#[test]
fn parameters_of_shapes_that_are_missing_are_named() {
    for (law, words) in [
        ("{}", ["core", "shape"]),
        ("{shape = \"uniform\"}", ["core", "low"]),
        ("{shape = \"uniform\", low = 0}", ["core", "high"]),
        ("{shape = \"beta\", alpha = 1}", ["core", "beta"]),
        ("{shape = \"bernoulli\"}", ["core", "`p`"]),
        ("{shape = \"point\"}", ["core", "value"]),
    ] {
        says(&refused(format!("[model]\ncore = [{law}]\n"), &[]), &words);
    }
}

#[test]
fn sizes_that_no_run_can_have() {
    value_refused(&[("model.d", "7")], &[], &["d = 7", "at least", "8"]);
    value_refused(&[("model.d_core", "0")], &[], &["d_core = 0", "at least 1"]);
    value_refused(&[("model.d_bg", "0")], &[], &["d_bg = 0", "at least 1"]);
    value_refused(&[("network.m", "0")], &[], &["m = 0", "at least 1"]);
    value_refused(&[("training.batch", "0")], &[], &["batch = 0", "at least 1"]);
    value_refused(&[("measure.eval_samples", "0")], &[], &["eval_samples = 0"]);
    value_refused(&[("measure.records_per_octave", "0")], &[], &["records_per_octave = 0"]);
    value_refused(&[("ladder_d.steps_to_t0", "0")], &[], &["steps_to_t0 = 0"]);
}

#[test]
fn too_few_evaluation_samples_are_refused_before_anything_is_run() {
    // A quarter of them has the shifted background, and a variance needs two.
    for value in ["1", "2", "4"] {
        value_refused(&[("measure.eval_samples", value)], &[], &["eval_samples"]);
    }
}

#[test]
fn rates_out_of_range() {
    for value in ["0", "0.0", "-0.5", "nan", "inf", "-inf"] {
        value_refused(&[("training.learning_rate", value)], &[], &["learning_rate", "positive"]);
    }
    for value in ["-0.1", "nan", "inf"] {
        value_refused(&[("training.weight_decay", value)], &[], &["weight_decay", "not below 0"]);
        value_refused(&[("training.decay", value)], &[], &["decay", "not below 0"]);
    }
    for (rate, decay) in [("1.0", "1.0"), ("2.0", "0.5"), ("0.1", "1e3")] {
        let changes = [("training.learning_rate", rate), ("training.weight_decay", decay)];
        value_refused(&changes, &[], &["weight_decay", "below 1/learning_rate"]);
    }
    for value in ["0", "-1.0", "nan", "inf"] {
        value_refused(&[("training.steps_per_unit", value)], &[], &["training.steps_per_unit", "positive"]);
        value_refused(&[("ladder_d0.d_exponent", value)], &[], &["ladder_d0.d_exponent"]);
        for key in ["times.t0", "times.t1", "times.t2"] {
            value_refused(&[(key, value)], &[], &[key, "positive"]);
        }
    }
    value_refused(&[("times.t1", "30.0")], &[], &["times.t2 = 24", "t1 = 30"]);
}

#[test]
fn distributions_out_of_range() {
    for (law, words) in [
        ("{shape = \"uniform\", low = 0.0, high = 1.5}", ["core.high = 1.5", "[0, 1]"]),
        ("{shape = \"uniform\", low = -0.1, high = 1.0}", ["core.low = -0.1", "[0, 1]"]),
        ("{shape = \"uniform\", low = nan, high = 1.0}", ["core.low = NaN", "[0, 1]"]),
        ("{shape = \"uniform\", low = 0.5, high = 0.5}", ["core.high = 0.5", "point"]),
        ("{shape = \"beta\", alpha = 0.0, beta = 1.0}", ["core.alpha = 0", "0.01"]),
        ("{shape = \"beta\", alpha = 1.0, beta = -1.0}", ["core.beta = -1", "0.01"]),
        ("{shape = \"beta\", alpha = 1.0, beta = inf}", ["core.beta = inf", "0.01"]),
        ("{shape = \"beta\", alpha = 1.0, beta = 1.0, high = 2.0}", ["core.high = 2", "[0, 1]"]),
        ("{shape = \"bernoulli\", p = 1.1}", ["core.p = 1.1", "[0, 1]"]),
        ("{shape = \"bernoulli\", p = nan}", ["core.p = NaN", "[0, 1]"]),
        ("{shape = \"bernoulli\", p = 0.5, low = -1.0}", ["core.low = -1", "[0, 1]"]),
        ("{shape = \"point\", value = 2.0}", ["core.value = 2", "[0, 1]"]),
        ("{shape = \"point\", value = nan}", ["core.value = NaN", "[0, 1]"]),
    ] {
        value_refused(&[("model.core", &format!("[{law}]"))], &[], &words);
    }
    for group in ["core", "background", "background_ood"] {
        value_refused(&[(&format!("model.{group}"), "[]")], &[], &[group, "at least one"]);
    }
    for group in ["background", "background_ood"] {
        let law = "[{shape = \"uniform\", low = 0.0, high = -1.5}]";
        value_refused(&[(&format!("model.{group}"), law)], &[], &[&format!("{group}.high = -1.5"), "[-1, 1]"]);
        // The second of a list is looked at as well.
        let law = "[{shape = \"point\", value = 0.5}, {shape = \"point\", value = 1.5}]";
        value_refused(&[(&format!("model.{group}"), law)], &[], &[&format!("{group}.value = 1.5")]);
    }
}

#[test]
fn ladders_that_are_none() {
    for key in [
        "ladder_d0.d0",
        "ladder_m.m",
        "ladder_d.d",
        "ladder_linear.d",
        "ladder_law.d0",
        "ladder_gated.d0",
        "ladder_time.d0",
        "ladder_time.m",
        "ladder_time.d",
        "ladder_time.steps_per_unit",
        "ladder_balance.d0",
        "ladder_balance.ratio",
        "controls.d0",
        "controls.m",
    ] {
        for value in ["[]", "[8]", "[16, 8]", "[8, 8]"] {
            value_refused(&[(key, value)], &[], &[key, "ascending"]);
        }
    }
    value_refused(&[("ladder_linear.batch", "[64]")], &[], &["ladder_linear.batch", "2"]);
    value_refused(&[("ladder_linear.batch", "[64, 0]")], &[], &["batch = 0"]);
    value_refused(&[("ladder_time.steps_per_unit", "[0, 4]")], &[], &["ladder_time.steps_per_unit = 0", "at least 1"]);
    value_refused(&[("ladder_balance.ratio", "[0.0, 1.0]")], &[], &["ladder_balance.ratio = 0", "positive"]);
    value_refused(&[("ladder_balance.d0", "[2, 8]")], &[], &["ladder_balance.d0 = 2", "at least 4"]);
    for section in [
        "ladder_d0",
        "ladder_m",
        "ladder_d",
        "ladder_linear",
        "ladder_law",
        "ladder_gated",
        "ladder_time",
        "ladder_balance",
        "digits",
        "controls",
    ] {
        let key = format!("{section}.replicates");
        for value in ["0", "1", "10001"] {
            value_refused(&[(&key, value)], &[], &[&key, "between 2 and 10000"]);
        }
    }
    for key in ["ladder_d0.replicates_smallest", "ladder_m.replicates_smallest", "ladder_balance.replicates_d0"] {
        value_refused(&[(key, "1")], &[], &[key, "between 2 and 10000"]);
    }
}

#[test]
fn networks_on_digits_that_are_none() {
    value_refused(&[("digits.neurons", "1")], &[], &["digits.neurons = 1", "at least 2"]);
    value_refused(&[("digits.steps", "0")], &[], &["digits.steps = 0", "at least 1"]);
    value_refused(&[("digits.learning_rate", "0.0")], &[], &["digits.learning_rate = 0", "positive"]);
    value_refused(&[("digits.momentum", "1.0")], &[], &["digits.momentum = 1", "below 1"]);
}

#[test]
fn a_rung_that_no_run_can_have_names_its_ladder() {
    value_refused(&[("ladder_d0.d0", "[0, 4]")], &["--claim", "thm3"], &["ladder_d0.d0"]);
    value_refused(&[("ladder_d0.d0", "[1, 4]")], &["--claim", "thm3"], &["ladder_d0.d0"]);
    value_refused(&[("ladder_m.m", "[0, 4]")], &["--claim", "thm2"], &["ladder_m.m"]);
    value_refused(&[("ladder_d.d", "[1, 64]")], &["--claim", "thm1"], &["ladder_d.d"]);
    value_refused(&[("ladder_d0.d_exponent", "0.1")], &["--claim", "thm3"], &["ladder_d0.d_exponent"]);
}

#[test]
fn what_does_not_fit_in_memory_is_estimated() {
    for (key, value, claim) in [
        ("ladder_d0.d0", "[4, 1000000]", "thm3"),
        ("ladder_m.m", "[4, 1000000000000]", "thm1"),
        ("ladder_m.m", "[4, 9223372036854775807]", "thm1"),
        ("ladder_linear.batch", "[64, 9223372036854775807]", "thm4"),
        ("training.batch", "1000000000000", "envelope"),
        ("network.m", "9223372036854775807", "envelope"),
    ] {
        value_refused(&[(key, value)], &["--claim", claim], &["GiB", "memory"]);
    }
    // Beyond what can be counted, and so refused for whatever is found first.
    for (key, claim) in [("ladder_d0.d0", "thm3"), ("ladder_law.d0", "balance-law"), ("controls.d0", "thm2")] {
        value_refused(&[(key, "[4, 9223372036854775807]")], &["--claim", claim], &[]);
    }
    let d0 = [("model.d_core", "9223372036854775807"), ("model.d_bg", "9223372036854775807")];
    refused(tiny(&d0), &[]).error();
}

#[test]
fn what_would_never_end_is_refused() {
    for (changes, claim) in [
        (vec![("training.steps_per_unit", "1e12")], "envelope"),
        (vec![("training.learning_rate", "1e-300")], "envelope"),
        (vec![("times.t2", "1e15")], "thm3"),
        (vec![("times.t1", "1e15"), ("times.t2", "1e15")], "thm2"),
        (vec![("times.t1", "1e300"), ("times.t2", "1e300")], "thm2"),
        (vec![("times.t1", "1e15"), ("times.t2", "1e15")], "thm4"),
        (vec![("measure.eval_samples", "9223372036854775807")], "envelope"),
    ] {
        let outcome = refused(tiny(&changes), &["--claim", claim]);
        says(&outcome, &["days"]);
    }
}

#[test]
fn step_counts_beyond_64_bits_are_refused() {
    value_refused(&[("times.t1", "1e19"), ("times.t2", "1e19")], &["--claim", "balance-law"], &[]);
    value_refused(&[("training.steps_per_unit", "1e300")], &["--claim", "balance-law"], &[]);
}

#[test]
fn more_threads_than_runs_make_no_run_shorter() {
    value_refused(&[("training.steps_per_unit", "1e12")], &["--claim", "envelope", "--threads", "4000"], &["days"]);
    let many =
        refused(tiny(&[("training.steps_per_unit", "1e12")]), &["--claim", "envelope", "--threads", "1000000000"]);
    many.error();
}

#[test]
fn absurd_densities_of_records_are_refused() {
    for claim in ["thm1", "thm3"] {
        let change = [("measure.records_per_octave", "4294967295")];
        value_refused(&change, &["--claim", claim], &["records_per_octave"]);
    }
}

#[test]
fn very_large_and_very_small_numbers_are_written_short() {
    for (key, value) in
        [("training.weight_decay", "1e300"), ("training.learning_rate", "1e308"), ("times.t2", "1e-300")]
    {
        let outcome = refused(tiny(&[(key, value)]), &[]);
        assert!(outcome.error().len() < 200, "{outcome:?}");
    }
}

#[test]
fn a_run_that_leaves_the_finite_numbers_says_which_and_when() {
    for args in [&["--claim", "thm1"][..], &["--claim", "thm4", "--out", "a/b/c"], &["--threads", "1"]] {
        let config = tiny(&[("training.learning_rate", "1e45"), ("training.weight_decay", "0.0")]);
        let outcome = refused(config, args);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(2), ""), "{outcome:?}");
        // Lines of progress come before.
        let lines: Vec<_> = outcome.err.lines().filter(|line| line.starts_with("verify: ")).collect();
        let [line] = lines[..] else { panic!("{outcome:?}") };
        assert_eq!(outcome.err.lines().last(), Some(line));
        for word in ["run ", "step ", "non-finite", "seed ", "learning_rate"] {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
}

#[test]
fn an_unknown_profile_in_the_file() {
    says(&refused("profile = \"medium\"\n", &[]), &["profile", "medium", "quick", "full"]);
    says(&refused("profile = \"\"\n", &[]), &["profile", "quick", "full"]);
    // A flag does not make it known: the report would name a profile that there is not.
    value_refused(&[("profile", "\"medium\"")], &["--profile", "quick", "--claim", "envelope"], &["profile", "medium"]);
}
