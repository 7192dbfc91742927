//! `verify report DIR`.

use std::fs;

use crate::harness::{Folder, Outcome};

/// A folder with a report in `out`.
fn saved() -> Folder {
    let folder = Folder::with_tiny();
    folder.verify(&["--config", "tiny.toml", "--claim", "thm2", "--claim", "envelope", "--out", "out"]);
    assert!(folder.path("out/report.json").is_file());
    folder
}

/// Regenerates the report in `out` after a change that spoils it; nothing further may change.
fn refused(spoil: impl Fn(&Folder), words: &[&str]) -> Outcome {
    let folder = saved();
    spoil(&folder);
    let before = folder.tree("");
    let outcome = folder.verify(&["report", "out"]);
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
    assert_eq!(folder.tree(""), before, "{outcome:?}");
    outcome
}

#[test]
fn a_saved_report_is_drawn_again_the_same() {
    let folder = saved();
    let before = folder.tree("out");
    let outcome = folder.verify(&["report", "out"]);
    assert!(outcome.ok().out.contains("index.html"), "{outcome:?}");
    assert_eq!(outcome.err, "");
    assert_eq!(folder.tree("out"), before);

    fs::remove_file(folder.path("out/index.html")).unwrap();
    fs::remove_dir_all(folder.path("out/figures")).unwrap();
    folder.verify(&["report", "out"]).ok();
    assert_eq!(folder.tree("out"), before);
}

#[test]
fn a_report_can_be_drawn_from_anywhere_and_after_a_move() {
    let folder = saved();
    let before = folder.tree("out");
    fs::rename(folder.path("out"), folder.path("moved")).unwrap();
    fs::remove_file(folder.path("moved/index.html")).unwrap();
    let moved = folder.path("moved");
    Folder::new().verify(&["report", moved.to_str().unwrap()]).ok();
    assert_eq!(folder.tree("moved"), before);
    // From within.
    let mut command = folder.command(&["report", "."]);
    command.current_dir(&moved);
    crate::harness::outcome(command).ok();
    assert_eq!(folder.tree("moved"), before);
}

#[test]
fn a_change_in_the_figures_data_is_drawn() {
    let folder = saved();
    let before = folder.text("out/figures/envelope.svg");
    let csv = folder.text("out/series/envelope.csv");
    let kept: Vec<_> = csv.lines().collect();
    folder.write("out/series/envelope.csv", kept[..kept.len() - 1].join("\n") + "\n");
    folder.verify(&["report", "out"]).ok();
    assert_ne!(folder.text("out/figures/envelope.svg"), before);
}

#[test]
fn folders_without_a_report_are_refused() {
    let folder = Folder::with_tiny();
    for dir in ["missing", "tiny.toml", "."] {
        let outcome = folder.verify(&["report", dir]);
        assert!(outcome.error().contains("report.json"), "{outcome:?}");
    }
    folder.verify(&["report", ""]).error();
    refused(|folder| fs::remove_file(folder.path("out/report.json")).unwrap(), &["report.json"]);
    refused(|folder| fs::remove_dir_all(folder.path("out/series")).unwrap(), &["series", ".csv"]);
    refused(|folder| fs::remove_file(folder.path("out/series/envelope.csv")).unwrap(), &["envelope.csv"]);
}

#[test]
fn spoilt_reports_are_refused() {
    let json = |content: &'static [u8]| move |folder: &Folder| folder.write("out/report.json", content);
    for content in [&b""[..], b"{", b"[]", b"null", b"{}", b"{\"schema_version\": 1}", b"{\"schema_version\": \"1\"}"] {
        refused(json(content), &["report.json"]);
    }
    refused(json(b"\xff\xfe"), &["report.json", "UTF-8"]);
    let nested = |folder: &Folder| folder.write("out/report.json", "[".repeat(200_000));
    refused(nested, &["report.json"]);

    let csv = |content: &'static [u8]| move |folder: &Folder| folder.write("out/series/envelope.csv", content);
    refused(csv(b""), &["envelope.csv", "panel,series,x,y,lo,hi"]);
    refused(csv(b"a,b\n1,2\n"), &["envelope.csv", "columns"]);
    refused(csv(b"panel,series,x,y,lo,hi\nnope,nope,1,2,3,4\n"), &["envelope.csv", "row 1", "nope"]);
    let edit = |from: &'static str, to: &'static str| {
        move |folder: &Folder| {
            let text = folder.text("out/report.json");
            assert!(text.contains(from), "{from}");
            folder.write("out/report.json", text.replace(from, to));
        }
    };
    // A name must not lead out of the folder.
    refused(edit("\"id\": \"thm2-growth\"", "\"id\": \"../../evil\""), &["report.json", "../../evil"]);
    refused(edit("\"id\": \"thm2-growth\"", "\"id\": \"thm2-ladder\""), &["report.json", "thm2-ladder"]);
}

#[test]
fn reports_of_another_version_are_refused() {
    for (version, words) in [("0", "schema_version is 0"), ("2", "schema_version is 2")] {
        let other = |folder: &Folder| {
            let mut report = folder.json("out/report.json");
            report["schema_version"] = version.parse::<u32>().unwrap().into();
            folder.write("out/report.json", report.to_string());
        };
        refused(other, &["report.json", words, "reads 1"]);
    }
}

#[test]
fn what_a_report_says_cannot_get_into_the_page_as_markup() {
    let folder = saved();
    let mut report = folder.json("out/report.json");
    let evil = "<script>alert(1)</script>";
    for field in ["title", "source", "statement"] {
        report["claims"][0][field] = evil.into();
    }
    report["profile"] = evil.into();
    report["commit"] = evil.into();
    report["host"]["cpu"] = evil.into();
    folder.write("out/report.json", report.to_string());
    folder.verify(&["report", "out"]).ok();
    assert!(!folder.text("out/index.html").contains("<script"));
}
