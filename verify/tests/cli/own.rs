//! A model and ladders of one's own, from a configuration file.

use crate::harness::{Folder, Outcome, tiny};

const EXAMPLE: &str = include_str!("../../examples/own_model.toml");

/// The tiny configuration with more behind it.
fn with(more: &str) -> (Folder, Outcome) {
    let folder = Folder::new();
    folder.write("own.toml", tiny(&[]) + more);
    let outcome = folder.verify(&["--config", "own.toml", "--claim", "mine"]);
    (folder, outcome)
}

fn refused(more: &str, words: &[&str]) {
    let (folder, outcome) = with(more);
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
    assert!(!folder.path("reports").exists());
}

const LADDER: &str = "[[ladder]]\nname = \"mine\"\nfactor = \"d0\"\nsizes = [4, 8]\nreplicates = 2\n";
const CHECK: &str = "[[ladder.check]]\nobservable = \"background\"\nat = \"t1\"\nof = \"value\"\n";

#[test]
fn a_ladder_is_judged_by_the_bounds_in_the_file() {
    // Student's interval of two replicates is thousands of deviations wide.
    for (bounds, verdict, status) in
        [("low = -1e9\nhigh = 1e9\n", "holds", 0), ("low = 1e9\nreason = \"because\"\n", "violated", 1)]
    {
        let (folder, outcome) = with(&format!("{LADDER}{CHECK}{bounds}"));
        assert_eq!(outcome.status, Some(status), "{outcome:?}");
        let report = folder.json("reports/latest/report.json");
        let [claim] = &report["claims"].as_array().unwrap()[..] else { panic!("{report}") };
        assert_eq!((&claim["id"], &claim["verdict"]), (&"mine".into(), &verdict.into()));
        assert!(claim["measured"].is_f64() && claim["predicted"].is_f64());
        let reason = if status == 0 { "stated in the configuration file" } else { "because" };
        assert_eq!(claim["checks"][0]["reason"], reason);
        // Measured and predicted, at two sizes, in six panels.
        assert_eq!(folder.text("reports/latest/series/own-mine.csv").lines().count(), 1 + 2 * 2 * 6);
        assert!(folder.text("reports/latest/settings.toml").contains("[[ladder]]"));
        // The settings it leaves give the same report.
        folder.verify(&["--config", "reports/latest/settings.toml", "--claim", "mine", "--out", "again"]);
        assert_eq!(folder.json("again/report.json")["claims"], report["claims"]);
    }
}

#[test]
fn the_file_says_what_is_judged() {
    let folder = Folder::new();
    folder.write("own.toml", format!("claims = [\"mine\", \"envelope\"]\n{}{LADDER}", tiny(&[])));
    let listed = folder.verify(&["--config", "own.toml", "--list"]);
    assert!(listed.ok().out.contains("mine") && listed.out.contains("envelope") && !listed.out.contains("thm1"));
    folder.verify(&["--config", "own.toml", "--claim", "mine"]).ok();
    assert_eq!(folder.json("reports/latest/report.json")["claims"].as_array().unwrap().len(), 1, "a flag goes first");
    folder.verify(&["--config", "own.toml"]);
    assert_eq!(folder.json("reports/latest/report.json")["claims"].as_array().unwrap().len(), 2);
    folder.write("bad.toml", format!("claims = [\"mien\"]\n{}{LADDER}", tiny(&[])));
    let outcome = folder.verify(&["--config", "bad.toml"]);
    assert!(outcome.error().contains("claims = mien") && outcome.err.contains("did you mean mine?"), "{outcome:?}");
}

#[test]
fn bad_ladders_name_the_field() {
    let change = |from: &str, to: &str| LADDER.replace(from, to);
    refused(&change("mine", "thm1"), &["ladder.name", "thm1"]);
    refused(&change("mine", "A b"), &["ladder.name", "a-z"]);
    refused(&format!("{LADDER}{LADDER}"), &["ladder.name", "no other ladder"]);
    refused(&change("\"d0\"", "\"d1\""), &["ladder.factor", "d1", "d0"]);
    refused(&change("[4, 8]", "[8, 4]"), &["ladder mine: sizes", "ascending"]);
    refused(&change("[4, 8]", "[]"), &["ladder mine: sizes"]);
    refused(&change("[4, 8]", "[4.5, 8]"), &["ladder mine: sizes", "whole numbers"]);
    refused(&change("[4, 8]", "[1, 8]"), &["ladder mine: sizes"]);
    refused(&change("\"d0\"", "\"d\""), &["ladder mine: sizes", "from 8"]);
    refused(&change("\"d0\"", "\"B/C\"").replace("[4, 8]", "[0, 8]"), &["ladder mine: sizes", "positive"]);
    refused(&change("replicates = 2", "replicates = 1"), &["ladder mine: replicates", "between 2"]);
    refused(&change("sizes", "size"), &["ladder.size", "did you mean `sizes`?"]);
    refused(&change("sizes = [4, 8]\n", ""), &["ladder", "sizes"]);
    let check = |from: &str, to: &str| format!("{LADDER}{}", CHECK.replace(from, to));
    refused(&check("\"background\"", "\"backgroud\""), &["ladder.check.observable", "did you mean `background`?"]);
    refused(&check("\"t1\"", "\"t3\""), &["ladder.check.at", "t3"]);
    refused(&format!("{LADDER}{CHECK}low = 1.0\nhigh = 1.0\n"), &["ladder mine: check.high", "above low = 1"]);
    refused(&format!("{LADDER}{CHECK}low = nan\n"), &["ladder mine: check.low"]);
    refused(&format!("{LADDER}{}", CHECK.repeat(11)), &["ladder.check", "11 checks", "at most 10"]);
    let one = change("[4, 8]", "[8]");
    refused(&format!("{one}{}", CHECK.replace("value", "exponent")), &["ladder mine: sizes", "two or more"]);
}

#[test]
fn the_example_runs() {
    // Smaller, so that it is quick.
    let mut text = EXAMPLE.replace("replicates = 6", "replicates = 2").replace("\"thm2\", ", "");
    text = text.replace("[16, 32, 64]", "[16, 24]").replace("[0.5, 1.0, 2.0]", "[0.5, 2.0]");
    text += "\n[training]\nbatch = 64\nsteps_per_unit = 4.0\n[measure]\neval_samples = 256\n";
    let folder = Folder::new();
    folder.write("own_model.toml", text);
    let outcome = folder.verify(&["--config", "own_model.toml"]);
    assert!(matches!(outcome.status, Some(0 | 1)), "{outcome:?}");
    let report = folder.json("reports/latest/report.json");
    let claims = report["claims"].as_array().unwrap();
    let ids: Vec<&str> = claims.iter().map(|claim| claim["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["sparse-background", "balance"]);
    assert_eq!(claims[0]["checks"].as_array().unwrap().len(), 3);
    // The file as it is, without running it.
    folder.write("whole.toml", EXAMPLE);
    assert!(folder.verify(&["--config", "whole.toml", "--list"]).ok().out.contains("thm2"));
}
