//! What a run says and leaves.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Folder, outcome, tiny};

const CLAIMS: [&str; 17] = [
    "thm1",
    "thm2",
    "thm3",
    "thm4",
    "scaling",
    "balance-law",
    "phase-transition",
    "mechanism",
    "mean-field",
    "gated-phase",
    "envelope",
    "sandwich",
    "berry-esseen",
    "batch-noise",
    "distillation",
    "diversity",
    "digits",
];

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A report without what may differ between two runs of the same settings.
fn lasting(folder: &Folder, out: &str) -> Value {
    let mut report = folder.json(&format!("{out}/report.json"));
    report["elapsed_seconds"] = Value::Null;
    report["host"]["threads"] = Value::Null;
    report
}

#[test]
fn the_status_is_0_if_all_holds_and_1_if_not() {
    let folder = Folder::with_tiny();
    // The envelope is sure at any size; exponents from two small rungs are not.
    folder.verify(&["--config", "tiny.toml", "--claim", "envelope"]).ok();
    let outcome = folder.verify(&["--config", "tiny.toml", "--claim", "thm1", "--out", "one"]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(folder.path("one/index.html").is_file());
    assert!(outcome.out.contains("thm1") && outcome.out.contains("report: one"), "{outcome:?}");
}

#[test]
fn the_status_is_1_if_a_control_is_not_caught() {
    let folder = Folder::with_tiny();
    // Every claim holds, but no shuffling is seen in steps so few.
    let config = tiny(&[("times.t1", "0.001"), ("times.t2", "0.001"), ("times.t0", "0.001")]);
    folder.write("short.toml", config);
    let outcome = folder.verify(&["--config", "short.toml", "--claim", "envelope"]);
    let report = folder.json("reports/latest/report.json");
    let (claims, controls) = (report["claims"].as_array().unwrap(), report["controls"].as_array().unwrap());
    let green = claims.iter().all(|claim| claim["verdict"] == "holds") && controls.iter().all(|c| c["caught"] == true);
    assert_eq!(outcome.status, Some(i32::from(!green)), "{outcome:?}");
    for control in controls.iter().filter(|control| control["caught"] == false) {
        assert!(outcome.out.contains(control["id"].as_str().unwrap()), "{outcome:?}");
    }
}

#[test]
fn list_names_every_claim_and_control_and_runs_nothing() {
    let folder = Folder::new();
    let all = folder.verify(&["--list"]);
    all.ok();
    for id in CLAIMS {
        assert!(all.out.lines().any(|line| line.split_whitespace().next() == Some(id)), "{id} in {}", all.out);
    }
    assert!(all.out.matches("control ").count() >= 14, "{}", all.out);
    assert_eq!(all.err, "");
    let one = folder.verify(&["--list", "--claim", "thm4"]);
    one.ok();
    assert!(one.out.contains("thm4") && !one.out.contains("thm1"), "{}", one.out);
    assert!(folder.tree("").is_empty());
}

#[test]
fn help_and_version_go_to_standard_output() {
    let folder = Folder::new();
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let help = folder.verify(args);
        help.ok();
        for flag in ["--profile", "--claim", "--list", "--seed", "--threads", "--out", "--config", "report"] {
            assert!(help.out.contains(flag), "{flag} in {}", help.out);
        }
        assert_eq!(help.err, "");
    }
    assert!(folder.verify(&["--help"]).ok().out.contains("Exit status"));
    assert!(folder.verify(&["report", "--help"]).ok().out.contains("DIR"));
    let version = folder.verify(&["--version"]);
    assert_eq!(version.ok().out, format!("verify {}\n", env!("CARGO_PKG_VERSION")));
    assert!(folder.tree("").is_empty());
}

#[test]
fn the_report_has_the_documented_fields() {
    let folder = Folder::with_tiny();
    let outcome = folder.verify(&["--config", "tiny.toml", "--seed", "7", "--threads", "2", "--out", "out"]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let report = folder.json("out/report.json");
    let top =
        ["schema_version", "profile", "seed", "commit", "host", "elapsed_seconds", "claims", "controls", "appendix"];
    assert_eq!(keys(&report), BTreeSet::from(top));
    assert_eq!(keys(&report["host"]), BTreeSet::from(["cpu", "isa", "threads"]));
    assert_eq!((&report["seed"], &report["host"]["threads"]), (&7.into(), &2.into()));
    let verdicts = ["holds", "violated", "inconclusive"];

    let claims = report["claims"].as_array().unwrap();
    let ids: Vec<_> = claims.iter().map(|claim| claim["id"].as_str().unwrap()).collect();
    assert_eq!(ids, CLAIMS);
    let fields = [
        "id",
        "title",
        "source",
        "statement",
        "verdict",
        "measured",
        "predicted",
        "interval",
        "margin",
        "checks",
        "assumptions",
        "runs",
        "figures",
    ];
    for claim in claims {
        // What a study carries out are tasks.
        let mut found = keys(claim);
        let work = if found.remove("tasks") { "tasks" } else { "runs" };
        assert_eq!(found, BTreeSet::from(fields), "{}", claim["id"]);
        assert!(verdicts.contains(&claim["verdict"].as_str().unwrap()));
        assert_eq!(claim["interval"].as_array().unwrap().len(), 2);
        assert!(!claim[work].as_array().unwrap().is_empty());
        for figure in claim["figures"].as_array().unwrap() {
            let id = figure["id"].as_str().unwrap();
            let svg = folder.text(&format!("out/figures/{id}.svg"));
            assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{id}");
            assert!(folder.text(&format!("out/series/{id}.csv")).lines().count() > 1, "{id}");
        }
    }
    for control in report["controls"].as_array().unwrap() {
        let fields = ["id", "claim", "change", "expected", "verdict", "caught", "checks"];
        assert_eq!(keys(control), BTreeSet::from(fields));
        assert_eq!(control["expected"], "violated");
        assert_eq!(control["caught"], control["verdict"] == "violated");
        assert!(ids.contains(&control["claim"].as_str().unwrap()));
    }
    for id in ids {
        assert!(report["controls"].as_array().unwrap().iter().any(|control| control["claim"] == id), "{id}");
    }
    // Every run of the report is in the table of trajectories.
    let table = folder.text("out/series/trajectories.csv");
    let named: BTreeSet<_> = table.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    for run in claims.iter().flat_map(|claim| claim["runs"].as_array().unwrap()) {
        assert!(named.contains(run["id"].as_str().unwrap()), "{run}");
    }
    let columns = table.lines().next().unwrap().split(',').count();
    assert!(table.lines().all(|line| line.split(',').count() == columns));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let folder = Folder::with_tiny();
    folder.verify(&["--config", "tiny.toml", "--out", "out"]);
    let page = folder.text("out/index.html");
    for outside in ["src=\"http", "href=\"http", "<script", "<link", "@import", "url(http"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // What it links to is there.
    for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(page.contains(&format!("id=\"{anchor}\"")), "{link}"),
            None => {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                assert!(folder.path("out").join(file).is_file(), "{link}");
                let id = format!("id=\"{anchor}\"");
                assert!(anchor.is_empty() || folder.text(&format!("out/{file}")).contains(&id), "{link}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let folder = Folder::with_tiny();
    for threads in ["1", "2", "3"] {
        folder.verify(&["--config", "tiny.toml", "--threads", threads, "--out", threads]);
    }
    for other in ["2", "3"] {
        assert_eq!(lasting(&folder, "1"), lasting(&folder, other));
        for part in ["series", "figures"] {
            let (a, b) = (folder.tree(&format!("1/{part}")), folder.tree(&format!("{other}/{part}")));
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            assert!(a.len() > 5 && a == b, "{part} differ");
        }
        assert_eq!(folder.text("1/settings.toml"), folder.text(&format!("{other}/settings.toml")));
    }
}

#[test]
fn seeds_decide_the_results() {
    let folder = Folder::with_tiny();
    folder.write("seed.toml", tiny(&[("seed", "1")]));
    let run = |config: &str, seed: &[&str], out: &str| {
        folder.verify(&[&["--config", config, "--claim", "envelope", "--out", out], seed].concat()).ok();
        folder.text(&format!("{out}/series/trajectories.csv"))
    };
    let one = run("tiny.toml", &["--seed", "1"], "a");
    assert_eq!(one, run("seed.toml", &[], "b"));
    assert_ne!(one, run("tiny.toml", &["--seed", "2"], "c"));
    assert_ne!(one, run("seed.toml", &["--seed", "0"], "d"));
    // Runs have the same names in no two of them, but every claim has the same verdict here.
    assert_eq!(folder.json("c/report.json")["seed"], 2);
}

#[test]
fn the_saved_settings_repeat_the_report() {
    let folder = Folder::with_tiny();
    folder.verify(&["--config", "tiny.toml", "--seed", "5", "--claim", "thm2", "--out", "a"]);
    folder.verify(&["--config", "a/settings.toml", "--claim", "thm2", "--out", "b"]);
    let (mut a, mut b) = (lasting(&folder, "a"), lasting(&folder, "b"));
    // Its name may have the file's in it.
    a["profile"] = Value::Null;
    b["profile"] = Value::Null;
    assert_eq!(a, b);
    assert_eq!(folder.tree("a/series"), folder.tree("b/series"));
    assert_eq!(folder.text("a/settings.toml"), folder.text("b/settings.toml"));
}

#[test]
fn a_seed_that_is_taken_can_be_repeated_from_the_saved_settings() {
    let folder = Folder::with_tiny();
    let run = |seed: u64| {
        folder.verify(&["--config", "tiny.toml", "--seed", &seed.to_string(), "--claim", "envelope", "--out", "a"])
    };
    // TOML's integers end at 2^63 - 1; a greater seed may be refused, but not taken and lost.
    let (greatest, seed) = (run(u64::MAX), 1 << 63);
    if greatest.status == Some(2) {
        assert!(greatest.error().contains("--seed"), "{greatest:?}");
        run(seed - 1).ok();
    }
    folder.verify(&["--config", "a/settings.toml", "--claim", "envelope", "--out", "b"]).ok();
    assert_eq!(folder.tree("a/series"), folder.tree("b/series"));
}

#[test]
fn the_page_of_a_configuration_file_says_how_to_repeat_it() {
    let folder = Folder::with_tiny();
    folder.verify(&["--config", "tiny.toml", "--claim", "envelope", "--out", "out"]).ok();
    let page = folder.text("out/index.html");
    let command = page.split("<code>").find(|code| code.starts_with("cargo run")).unwrap();
    assert!(command.split("</code>").next().unwrap().contains("--config"), "{}", &command[..100]);
}

#[test]
fn the_report_names_the_profile_that_its_settings_are_from() {
    let folder = Folder::new();
    folder.write("named.toml", tiny(&[("profile", "\"quick\"")]));
    // The flag decides where the rest comes from.
    folder.verify(&["--config", "named.toml", "--profile", "full", "--claim", "envelope", "--out", "out"]).ok();
    let profile = folder.json("out/report.json")["profile"].clone();
    assert!(profile.as_str().unwrap().starts_with("full"), "{profile}");
}

#[test]
fn claims_may_be_repeated_and_come_in_the_order_of_the_report() {
    let folder = Folder::with_tiny();
    let claims = ["--claim", "envelope", "--claim", "thm4", "--claim", "envelope"];
    folder.verify(&[&["--config", "tiny.toml", "--out", "out"], &claims[..]].concat());
    let report = folder.json("out/report.json");
    let ids: Vec<_> = report["claims"].as_array().unwrap().iter().map(|claim| claim["id"].clone()).collect();
    assert_eq!(ids, ["thm4", "envelope"]);
    for control in report["controls"].as_array().unwrap() {
        assert!(["thm4", "envelope"].contains(&control["claim"].as_str().unwrap()));
    }
    // A claim's results do not depend on which others are judged.
    folder.verify(&["--config", "tiny.toml", "--claim", "thm4", "--out", "alone"]);
    assert_eq!(report["claims"][0], folder.json("alone/report.json")["claims"][0]);
}

#[test]
fn the_summary_says_the_verdict_of_every_claim() {
    let folder = Folder::with_tiny();
    let outcome = folder.verify(&["--config", "tiny.toml", "--out", "out"]);
    let report = folder.json("out/report.json");
    for claim in report["claims"].as_array().unwrap() {
        let line = outcome.out.lines().find(|line| line.split_whitespace().nth(1) == claim["id"].as_str());
        let line = line.unwrap_or_else(|| panic!("{} in {}", claim["id"], outcome.out));
        assert!(line.starts_with(claim["verdict"].as_str().unwrap()), "{line}");
    }
    let controls = report["controls"].as_array().unwrap();
    let caught = controls.iter().filter(|control| control["caught"] == true).count();
    assert!(outcome.out.contains(&format!("{caught} of {} controls caught", controls.len())), "{}", outcome.out);
    assert!(!outcome.out.contains('\u{1b}') && !outcome.out.contains("NaN"), "{}", outcome.out);
}

#[test]
fn progress_is_plain_lines_when_piped() {
    let folder = Folder::with_tiny();
    let outcome = folder.verify(&["--config", "tiny.toml", "--claim", "envelope"]);
    let lines: Vec<_> = outcome.ok().err.lines().collect();
    assert!(lines.len() > 2, "{outcome:?}");
    assert!(lines[0].starts_with("simulating ") && lines[0].ends_with(" runs"), "{outcome:?}");
    assert!(lines.last().unwrap().contains("100 %"), "{outcome:?}");
    assert!(!outcome.err.contains(['\u{1b}', '\r', '\u{8}']), "{outcome:?}");
    assert!(!outcome.out.contains("simulating"), "{outcome:?}");
}

#[test]
fn an_empty_file_is_the_profile() {
    // Seen in the settings alone: the profile itself would take too long here.
    let folder = Folder::new();
    folder.write("empty.toml", "");
    folder.write("comment.toml", "# nothing\n\n");
    for config in ["empty.toml", "comment.toml"] {
        // The file is read and found to be in order before the folder is looked at.
        let outcome = folder.verify(&["--config", config, "--out", config]);
        assert!(outcome.error().contains("is a file"), "{outcome:?}");
    }
}

#[test]
fn the_instruction_set_can_be_forced() {
    let folder = Folder::with_tiny();
    let run = |isa: &str| {
        let mut command = folder.command(&["--config", "tiny.toml", "--claim", "envelope", "--out", isa]);
        command.env("FC_ISA", isa);
        outcome(command)
    };
    run("portable").ok();
    assert_eq!(folder.json("portable/report.json")["host"]["isa"], "portable");

    #[cfg(target_arch = "x86_64")]
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let has_avx2 = false;
    let avx2 = run("avx2");
    if has_avx2 {
        avx2.ok();
        assert_eq!(folder.json("avx2/report.json")["host"]["isa"], "avx2");
    } else {
        assert!(avx2.error().contains("FC_ISA=avx2"));
    }

    let nonsense = run("nonsense");
    let line = nonsense.error();
    assert!(line.contains("FC_ISA=nonsense") && line.contains("portable"), "{line}");
    assert!(!folder.path("nonsense").exists());
}
