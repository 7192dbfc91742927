//! Where reports go, and where they do not.

use std::fs;
use std::path::Path;

use crate::harness::Folder;

const RUN: [&str; 4] = ["--config", "tiny.toml", "--claim", "envelope"];

fn refused(folder: &Folder, out: &str, words: &[&str]) {
    let before = folder.tree("");
    let outcome = folder.verify(&[&RUN[..], &["--out", out]].concat());
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
    assert_eq!(folder.tree(""), before, "{outcome:?}");
}

fn accepted(folder: &Folder, out: &str) {
    let outcome = folder.verify(&[&RUN[..], &["--out", out]].concat());
    outcome.ok();
    assert!(
        outcome.out.ends_with(&format!("report: {}\n", Path::new(out).join("index.html").display())),
        "{outcome:?}"
    );
    for name in ["index.html", "report.json", "settings.toml", "figures/envelope.svg", "series/envelope.csv"] {
        assert!(folder.path(out).join(name).is_file(), "{name} in {out}");
    }
    assert_no_leftovers(folder);
}

fn assert_no_leftovers(folder: &Folder) {
    for name in folder.tree("").keys() {
        assert!(!name.contains(".tmp-") && !name.contains(".old-"), "{name} is left");
    }
}

#[test]
fn the_default_is_reports_latest_in_the_working_directory() {
    let folder = Folder::with_tiny();
    let outcome = folder.verify(&RUN);
    outcome.ok();
    let page = Path::new("reports").join("latest").join("index.html");
    assert!(outcome.out.ends_with(&format!("report: {}\n", page.display())), "{outcome:?}");
    assert!(folder.path("reports/latest/report.json").is_file());
    let mut top: Vec<_> = folder.tree("").into_keys().filter(|name| !name.contains(['/', '\\'])).collect();
    top.sort();
    assert_eq!(top, ["reports", "tiny.toml"]);
}

#[test]
fn new_nested_empty_and_earlier_folders_are_written_to() {
    let folder = Folder::with_tiny();
    fs::create_dir(folder.path("empty")).unwrap();
    for out in ["new", "new", "a/b/c", "empty", "slash/", "new/../beside", "with space", "näme"] {
        accepted(&folder, out);
    }
    let absolute = folder.path("absolute");
    accepted(&folder, absolute.to_str().unwrap());
}

#[test]
fn a_report_replaces_an_earlier_one_with_all_its_files() {
    let folder = Folder::with_tiny();
    folder.verify(&["--config", "tiny.toml", "--claim", "thm2", "--out", "out"]);
    assert!(folder.path("out/figures/thm2-growth.svg").is_file());
    accepted(&folder, "out");
    assert!(!folder.path("out/figures/thm2-growth.svg").exists());
    assert!(!folder.path("out/series/thm2-growth.csv").exists());
}

#[test]
fn places_that_cannot_be_written_are_refused() {
    let folder = Folder::with_tiny();
    folder.write("file", "mine");
    refused(&folder, "file", &["file", "folder"]);
    refused(&folder, "file/below", &["file/below"]);
    refused(&folder, "file/deep/below", &["file"]);
    refused(&folder, ".", &["current folder"]);
    refused(&folder, "..", &["current folder"]);
    refused(&folder, &"x".repeat(300), &["xxx"]);
    if cfg!(target_os = "linux") {
        refused(&folder, "/proc/nothing", &["/proc"]);
        refused(&folder, "/dev/null", &["/dev/null", "folder"]);
    }
    // Before any work is done, and even with work that would be refused later.
    let outcome = folder.verify(&["--out", "file"]);
    assert!(outcome.error().contains("file"), "{outcome:?}");
}

#[test]
fn folders_of_others_stay_untouched() {
    let folder = Folder::with_tiny();
    folder.write("thesis/chapter.tex", "mine");
    refused(&folder, "thesis", &["thesis", "chapter.tex", "empty or new folder"]);
    folder.write("site/index.html", "mine");
    refused(&folder, "site", &["site", "empty or new folder"]);
    accepted(&folder, "out");
    folder.write("out/notes.txt", "mine");
    refused(&folder, "out", &["notes.txt"]);
}

#[test]
fn a_folder_that_only_looks_like_a_report_stays_untouched() {
    let folder = Folder::with_tiny();
    folder.write("other/report.json", "{\"of\": \"another program\"}");
    folder.write("other/index.html", "mine");
    refused(&folder, "other", &["other", "report.json"]);
}

#[test]
fn files_that_somebody_put_into_a_report_stay_untouched() {
    let folder = Folder::with_tiny();
    accepted(&folder, "out");
    folder.write("out/figures/of-my-own.png", "mine");
    refused(&folder, "out", &["of-my-own.png"]);
}

#[test]
fn a_refused_run_leaves_no_folders_and_the_earlier_report() {
    let folder = Folder::with_tiny();
    accepted(&folder, "out");
    folder.write("bad.toml", "[training]\nbatch = 0\n");
    let before = folder.tree("");
    for out in ["out", "a/b/c", "reports/latest"] {
        folder.verify(&["--config", "bad.toml", "--out", out]).error();
        assert_eq!(folder.tree(""), before);
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_stay_links() {
    let folder = Folder::with_tiny();
    fs::create_dir(folder.path("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path("link")).unwrap();
    accepted(&folder, "link");
    assert!(folder.path("link").is_symlink());
    assert!(folder.path("real/report.json").is_file());
    std::os::unix::fs::symlink("nowhere", folder.path("dangling")).unwrap();
    refused(&folder, "dangling", &["dangling"]);
}

#[test]
fn a_control_character_in_a_name_does_not_break_the_line() {
    let folder = Folder::with_tiny();
    let outcome = folder.verify(&["--config", "no\nsuch.toml"]);
    assert!(outcome.error().contains("no"), "{outcome:?}");
}
