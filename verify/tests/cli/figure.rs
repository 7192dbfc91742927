//! `verify figure`: the paper's figures at tiny sizes.

use crate::harness::{Folder, Outcome};

fn run(folder: &Folder, args: &[&str]) -> Outcome {
    folder.verify(&[&["figure"], args, &["--out", "out"]].concat())
}

/// Rows of a CSV file without its head.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_figure_has_its_page_its_drawing_and_its_numbers() {
    let folder = Folder::new();
    let outcome = run(&folder, &["theory", "--quick", "--seeds", "2", "--threads", "1"]);
    assert!(outcome.ok().out.contains("theory: ReLU: the ID loss ends at"), "{outcome:?}");
    let csv = folder.text("out/series/runs.csv");
    assert_eq!(csv.lines().next(), Some("setting,seed,iteration,id_loss,ood_loss,core_norm,background_norm"));
    let rows = rows(&csv);
    let json = folder.json("out/figures.json");
    assert_eq!(json["figures"].as_array().unwrap().len(), 1);
    let readings = json["figures"][0]["readings"].as_array().unwrap();
    assert_eq!(readings.len(), 2);
    for (setting, reading) in
        ["linear-hinge-sgd-relu-2-frozen", "linear-hinge-sgd-identity-2-frozen"].iter().zip(readings)
    {
        // The table's numbers are those of the runs.
        let of =
            |seed: &str| -> Vec<&Vec<String>> { rows.iter().filter(|r| r[0] == *setting && r[1] == seed).collect() };
        let growth = |seed: &str| -> f64 {
            let runs = of(seed);
            assert_eq!((runs.len(), runs[0][2].as_str(), runs[40][2].as_str()), (41, "0", "2000"));
            runs[40][6].parse::<f64>().unwrap() / runs[0][6].parse::<f64>().unwrap()
        };
        let (a, b) = (growth("1"), growth("2"));
        let found = reading["background"]["median"].as_f64().unwrap();
        assert!((found - 0.5 * (a + b)).abs() < 1e-4 * found, "{found} of {a}, {b}");
        let grows = reading["grows"]["seeds"].as_u64().unwrap();
        assert_eq!(grows, u64::from(a > 1.0) + u64::from(b > 1.0));
    }
    assert!(readings[1]["comparison"].is_null());
    let page = folder.text("out/index.html");
    for part in ["<svg", "Numbers", "figure theory --quick --seeds 2", "linear network", "figures/theory.svg"] {
        assert!(page.contains(part), "no {part:?} in the page");
    }
    // Nothing from elsewhere.
    assert!(!page.contains("src=") && !page.contains("href=\"http") && !page.contains("url("));
    assert!(folder.text("out/figures/theory.svg").starts_with("<svg"));
    assert_eq!(folder.text("out/series/theory.csv").lines().next(), Some("panel,series,x,y,lo,hi"));
}

#[test]
fn all_figures_come_in_seconds_and_do_not_depend_on_threads() {
    let made = |threads: &str| {
        let folder = Folder::new();
        run(&folder, &["all", "--quick", "--seeds", "2", "--iterations", "30", "--threads", threads]).ok();
        let mut tree = folder.tree("out");
        // The time that it took is in these.
        for name in ["figures.json", "index.html"] {
            assert!(tree.remove(name).is_some());
        }
        tree
    };
    let one = made("1");
    assert_eq!(one, made("3"));
    for name in ["theory", "default", "linear-data", "activations", "optimisers", "depth"] {
        assert!(one.contains_key(&format!("figures/{name}.svg")), "{name}");
        assert!(one.contains_key(&format!("series/{name}.csv")), "{name}");
    }
}

#[test]
fn figures_are_listed() {
    let outcome = Folder::new().verify(&["figure", "--list"]);
    let lines: Vec<&str> = outcome.ok().out.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("theory ") && lines[3].starts_with("activations "), "{lines:?}");
}

/// One line, and nothing is written.
fn refused(args: &[&str], words: &[&str]) {
    let folder = Folder::new();
    folder.write("theirs/thesis.tex", "x");
    let before = folder.tree("");
    let outcome = folder.verify(&[&["figure"], args].concat());
    for word in words {
        assert!(outcome.error().contains(word), "no {word:?} in {outcome:?}");
    }
    assert_eq!(folder.tree(""), before);
}

#[test]
fn bad_input_is_one_line_and_leaves_nothing() {
    refused(&["activation"], &["\"activation\"", "did you mean activations?", "theory", "depth"]);
    refused(&["optimizers"], &["did you mean optimisers?"]);
    refused(&["al"], &["did you mean all?"]);
    refused(&[""], &["did you mean"]);
    refused(&[], &["NAME"]);
    refused(&["theory", "--out", "theirs"], &["--out", "thesis.tex"]);
    for flag in ["--seeds", "--iterations", "--threads"] {
        for value in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            refused(&["theory", flag, value], &[flag, value]);
        }
    }
    refused(&["theory", "--iterations", "1000000000000"], &["--iterations 1000000000000", "days"]);
}
