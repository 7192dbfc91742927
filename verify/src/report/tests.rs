use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::model::{Axis, Figure, Mark, Panel, Point, Report, Series, Verdict};
use super::{ReportError, check_writable, figure, html, read, regenerate, renew_appendix, sample, write, write_tables};
use crate::scratch::Scratch;

fn write_sample(dir: &Path) {
    write(&sample::report(), Some(b"run,step\na,1\n"), "seed = 2024\n", dir).unwrap();
}

/// Panics where two reports begin to differ. NaN is not equal to itself; its name is.
#[track_caller]
fn assert_same(a: &Report, b: &Report) {
    let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
    // Numbers that differ in the last digit: serde_json lacks its feature `float_roundtrip`.
    for (at, (a, b)) in a.lines().zip(b.lines()).enumerate() {
        assert_eq!(a, b, "line {at}");
    }
    assert_eq!(a.len(), b.len());
}

/// A one-line message that has all of these words in it.
#[track_caller]
fn assert_says<T: std::fmt::Debug>(result: Result<T, ReportError>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    assert!(!message.contains('\n') && words.iter().all(|word| message.contains(word)), "{message}");
}

/// Panics unless the tags of an XML text are balanced and its attributes and entities well formed.
#[track_caller]
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        assert_entities(&rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        assert_entities(tag);
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{xml}");
        } else {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let attributes = attributes.strip_suffix('/').unwrap_or(attributes);
            let quotes: Vec<&str> = attributes.split('"').collect();
            assert!(quotes.len() % 2 == 1, "{tag}");
            assert!(quotes.chunks_exact(2).all(|pair| pair[0].ends_with('=')), "{tag}");
            let names: Vec<&str> = quotes.chunks_exact(2).map(|pair| pair[0].trim()).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{tag}");
            if !tag.ends_with('/') {
                open.push(name.trim_end_matches('/'));
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && !rest.contains('>'), "{open:?}");
    assert!(!xml.chars().any(|c| c.is_control() && c != '\n' || ('\u{e000}'..='\u{f8ff}').contains(&c)), "{xml}");
}

#[track_caller]
fn assert_entities(text: &str) {
    for entity in text.split('&').skip(1) {
        let name = entity.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "apos", "#39"].contains(&name), "&{name}");
    }
}

fn figure_of(panels: Vec<Panel>) -> Figure {
    Figure { id: "f".into(), title: "Title".into(), caption: "Caption".into(), panels }
}

fn panel(log: bool, range: Option<[f64; 2]>, series: Vec<Series>) -> Panel {
    let axis = |label: &str| Axis { label: label.into(), log, range, names: Vec::new() };
    Panel { title: String::new(), x: axis("abscissa"), y: axis("ordinate"), series }
}

const MARKS: [Mark; 8] =
    [Mark::Points, Mark::Cloud, Mark::Line, Mark::Dashed, Mark::Dotted, Mark::Band, Mark::Greys, Mark::Signed];

#[test]
fn a_report_reads_back_as_it_was() {
    let scratch = Scratch::new();
    let dir = scratch.join("a/b/report");
    write_sample(&dir);
    assert_same(&read(&dir).unwrap(), &sample::report());
    let json = fs::read_to_string(dir.join("report.json")).unwrap();
    assert!(json.contains("\"NaN\"") && json.contains("\"-inf\""));
    assert_eq!(fs::read_to_string(dir.join("settings.toml")).unwrap(), "seed = 2024\n");
    assert_eq!(fs::read_to_string(dir.join("series/trajectories.csv")).unwrap(), "run,step\na,1\n");
    let csv = fs::read_to_string(dir.join("series/plane.csv")).unwrap();
    assert!(csv.starts_with("panel,series,x,y,lo,hi\nReLU,a_k > 0,"));
    assert_eq!(scratch.names(), ["a"]);
}

#[test]
fn tables_are_put_into_a_saved_report_and_nothing_else_is_changed() {
    let scratch = Scratch::new();
    let (dir, tables) = (scratch.join("report"), scratch.join("tables"));
    write_sample(&dir);
    let mut expected = sample::report();
    let mut alarms = expected.appendix[0].clone();
    alarms.id = "false-alarms".into();
    let mut map = alarms.clone();
    map.id = "robustness".into();
    // Shown in the tables' order, in whichever they come.
    expected.appendix.extend([alarms, map]);
    write_tables(&expected.appendix[2..], &tables).unwrap();
    renew_appendix(&dir, &tables).unwrap();
    expected.appendix[0].rows.truncate(1);
    write_tables(&expected.appendix[..2], &tables).unwrap();
    fs::remove_file(tables.join("robustness.json")).unwrap();
    renew_appendix(&dir, &tables).unwrap();
    assert_same(&read(&dir).unwrap(), &expected);
    // As if it had been written so at once.
    let at_once = scratch.join("at once");
    write(&expected, Some(b"run,step\na,1\n"), "seed = 2024\n", &at_once).unwrap();
    let files =
        ["report.json", "settings.toml", "index.html", "series/trajectories.csv", "series/appendix-false-alarms.csv"];
    for file in files {
        assert_eq!(fs::read(dir.join(file)).unwrap(), fs::read(at_once.join(file)).unwrap(), "{file}");
    }
    assert_says(renew_appendix(&dir, &scratch.join("none")), &["none", "coverage.json"]);
    fs::write(tables.join("coverage.json"), "{}").unwrap();
    assert_says(renew_appendix(&dir, &tables), &["coverage.json"]);
    assert_same(&read(&dir).unwrap(), &expected);
}

#[test]
fn points_read_back_whatever_they_and_their_series_are_called() {
    let scratch = Scratch::new();
    let odd = [0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, -0.0, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16];
    let points: Vec<Point> = odd.iter().map(|&x| Point { x, y: -x, lo: x / 3.0, hi: x }).collect();
    let names = ["", "", "same", "same", "same #2", "series 1", "a,\"b\"\n\r c", " x ", "panel 1"];
    let series = |name: &&str| Series { name: (*name).into(), mark: Mark::Line, color: 0, points: points.clone() };
    let mut report = sample::report();
    let panels = ["", "", "p", "p"]
        .map(|title| Panel { title: title.into(), ..panel(false, None, names.iter().map(series).collect()) });
    report.claims[0].figures = vec![figure_of(panels.into())];
    write(&report, None, "", &scratch.join("r")).unwrap();
    assert_same(&read(&scratch.join("r")).unwrap(), &report);
    assert!(!fs::read_to_string(scratch.join("r/index.html")).unwrap().contains("trajectories.csv"));
}

#[test]
fn non_finite_predictions_and_ranges_are_left_out() {
    let scratch = Scratch::new();
    let mut report = sample::report();
    report.claims[0].predicted = Some(f64::NAN);
    report.claims[0].checks[0].predicted = Some(f64::INFINITY);
    report.controls[0].checks[0].predicted = Some(f64::NEG_INFINITY);
    report.claims[0].figures[0].panels[0].y.range = Some([0.0, f64::INFINITY]);
    write(&report, None, "", &scratch.join("r")).unwrap();
    let back = read(&scratch.join("r")).unwrap();
    assert_eq!((back.claims[0].predicted, back.claims[0].checks[0].predicted), (None, None));
    assert_eq!(back.controls[0].checks[0].predicted, None);
    assert_eq!(back.claims[0].figures[0].panels[0].y.range, None);

    report.claims[0].runs[0].c = f64::NAN;
    assert_says(write(&report, None, "", &scratch.join("s")), &["report.json", "expected f64"]);
    assert_eq!(scratch.names(), ["r"]);
}

#[test]
fn an_earlier_report_is_replaced_and_nothing_else() {
    let scratch = Scratch::new();
    let dir = scratch.join("r");
    fs::create_dir(&dir).unwrap();
    check_writable(&dir).unwrap();
    write_sample(&dir);
    fs::write(dir.join("series/earlier.csv"), "").unwrap();
    check_writable(&dir).unwrap();
    write_sample(&dir);
    assert!(!dir.join("series/earlier.csv").exists());

    fs::write(dir.join("thesis.tex"), "years").unwrap();
    assert_says(check_writable(&dir), &["thesis.tex", "no report wrote"]);
    assert_says(write(&sample::report(), None, "", &dir), &["thesis.tex", "empty or new folder"]);
    assert_eq!(fs::read_to_string(dir.join("thesis.tex")).unwrap(), "years");

    fs::create_dir_all(scratch.join("figures-only/figures")).unwrap();
    assert_says(check_writable(&scratch.join("figures-only")), &["no report.json"]);
    fs::write(scratch.join("file"), "").unwrap();
    assert_says(check_writable(&scratch.join("file")), &["is a file"]);
    assert_says(check_writable(&scratch.join("file/below")), &["file/below"]);
    assert_says(check_writable(&std::env::current_dir().unwrap()), &["current folder"]);
    assert_says(check_writable(Path::new("/")), &["/"]);
    assert_eq!(scratch.names(), ["figures-only", "file", "r"]);
}

#[test]
#[cfg(unix)]
fn links_are_followed() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(scratch.join("there"), scratch.join("link")).unwrap();
    assert_says(check_writable(&scratch.join("link")), &["link"]);
    fs::create_dir(scratch.join("there")).unwrap();
    write_sample(&scratch.join("link"));
    assert!(scratch.join("there/report.json").exists() && scratch.join("link").is_symlink());
}

#[test]
fn nothing_is_left_behind_upon_an_error() {
    let scratch = Scratch::new();
    check_writable(&scratch.join("a/b/c")).unwrap();
    assert!(scratch.names().is_empty());

    write_sample(&scratch.join("r"));
    let before = fs::read(scratch.join("r/report.json")).unwrap();
    for id in ["../x", "", "A", "a/b", "a.b", "é", "trajectories", "plane"] {
        let mut report = sample::report();
        report.claims[0].figures[0].id = id.into();
        assert_says(write(&report, None, "", &scratch.join("r")), &["figure id", id]);
        assert_says(write(&report, None, "", &scratch.join("a/b")), &["figure id", id]);
    }
    // An error half way: the name of a folder taken by a file.
    let staging = super::folder::Staging::new(&scratch.join("a/b"), &super::folder::CLAIMS).unwrap();
    staging.write("figures", b"").unwrap();
    assert_says(staging.write("figures/x.svg", b""), &["figures"]);
    drop(staging);
    // And at the very end: the place is taken in the meantime.
    let staging = super::folder::Staging::new(&scratch.join("c"), &super::folder::CLAIMS).unwrap();
    fs::create_dir(scratch.join("c")).unwrap();
    fs::write(scratch.join("c/x"), "").unwrap();
    assert_says(staging.move_in(), &["c"]);
    assert_eq!(scratch.names(), ["c", "r"]);
    assert_eq!(fs::read(scratch.join("r/report.json")).unwrap(), before);
}

#[test]
fn a_damaged_folder_is_refused_by_name() {
    let scratch = Scratch::new();
    let dir = scratch.join("r");
    assert_says(read(&dir), &["report.json", "cannot read"]);
    write_sample(&dir);
    let json = fs::read_to_string(dir.join("report.json")).unwrap();
    let damage = |name: &str, content: &str, words: &[&str]| {
        let before = fs::read(dir.join(name)).unwrap();
        fs::write(dir.join(name), content).unwrap();
        assert_says(read(&dir), &[words, &[name]].concat());
        assert_says(regenerate(&dir), &[words, &[name]].concat());
        fs::write(dir.join(name), before).unwrap();
    };
    damage("report.json", "{", &["line 1"]);
    damage("report.json", "{\"schema_version\": 1}", &["missing field"]);
    damage("report.json", &json.replace("\"schema_version\": 1", "\"schema_version\": 7"), &["schema_version is 7"]);
    damage("report.json", &json.replace("\"plane\"", "\"../../plane\""), &["../../plane", "a-z"]);
    damage("report.json", &json.replace("\"NaN\"", "\"soup\""), &["soup"]);
    damage("series/plane.csv", "x,y\n1,2\n", &["panel,series,x,y,lo,hi"]);
    damage("series/plane.csv", "panel,series,x,y,lo,hi\nReLU,a_k > 0,1,2,3,four\n", &["row 1", "hi", "four"]);
    damage("series/plane.csv", "panel,series,x,y,lo,hi\nReLU,nobody,1,2,3,4\n", &["row 1", "nobody"]);
    damage("series/plane.csv", "panel,series,x,y,lo,hi\nReLU,1\n", &["record 1"]);
    fs::remove_file(dir.join("series/plane.csv")).unwrap();
    assert_says(read(&dir), &["series/plane.csv", "cannot read"]);
}

#[test]
fn page_and_figures_are_drawn_anew() {
    let scratch = Scratch::new();
    let dir = scratch.join("r");
    write_sample(&dir);
    let page = fs::read(dir.join("index.html")).unwrap();
    fs::write(dir.join("index.html"), "").unwrap();
    fs::remove_dir_all(dir.join("figures")).unwrap();
    regenerate(&dir).unwrap();
    assert_eq!(fs::read(dir.join("index.html")).unwrap(), page);
    assert_eq!(fs::read_dir(dir.join("figures")).unwrap().count(), 4);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 6);
}

#[test]
fn the_page_is_well_formed_and_stands_alone() {
    let page = html::page(&sample::report());
    let body = page.split_once("<body>").unwrap().1.replace("<br>", "").replace("</body>\n</html>\n", "");
    assert_well_formed(&body);
    assert!(!page.contains("<script") && !page.contains("<b>balance"));
    assert_eq!(page.matches("http").count(), page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    let attributes = |name: &str| -> Vec<&str> {
        body.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
    };
    let ids = attributes("id");
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len(), "{ids:?}");
    for link in attributes("href") {
        assert!(link.strip_prefix('#').is_none_or(|id| distinct.contains(id)), "{link}");
    }
    for text in ["1 of 3 claims hold, 1 violated, 1 inconclusive; only 1 of 2 controls caught", "? inconclusive", "−∞"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("verify -- --profile quick --seed 2024 --claim thm1<"));
    assert!(page.contains("Parameters of 3 runs") && page.contains("Parameters of 2 digits tasks"));
    assert!(page.contains("<th>border</th><th>seed</th>") && page.contains("<td>full</td><td>3</td>"));
}

#[test]
fn hostile_strings_are_escaped_everywhere() {
    fn poison(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text)
                if !["NaN", "inf", "-inf"].contains(&text.as_str())
                    && !MARKS.iter().any(|mark| format!("{mark:?}").to_lowercase() == *text)
                    && !["holds", "violated", "inconclusive"].contains(&text.as_str()) =>
            {
                *text = format!("<script>'\"&\u{1}\u{e001}</svg>]]>{text}");
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(poison),
            serde_json::Value::Object(map) => map.values_mut().for_each(poison),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(sample::report()).unwrap();
    poison(&mut value);
    let report: Report = serde_json::from_value(value).unwrap();
    let page = html::page(&report);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    let body = page.split_once("<body>").unwrap().1.replace("<br>", "").replace("</body>\n</html>\n", "");
    assert_well_formed(&body.replace('\u{e001}', ""));
    for figure in super::figures(&report) {
        assert_well_formed(&figure::svg(figure).unwrap().replacen('\u{e001}', "", 100));
    }
}

#[test]
fn every_outcome_has_its_summary() {
    let mut report = sample::report();
    for claim in &mut report.claims {
        claim.verdict = Verdict::Holds;
    }
    report.controls[1].caught = true;
    report.profile = "my own <profile>".into();
    let page = html::page(&report);
    assert!(page.contains("<p class=\"summary holds\">✓ all 3 claims hold; all 2 controls were caught</p>"));
    assert!(page.contains("--config settings.toml --seed 2024 --claim thm1<") && !page.contains("<profile>"));
    report.claims[0].verdict = Verdict::Inconclusive;
    assert!(html::page(&report).contains("<p class=\"summary inconclusive\">? 2 of 3 claims hold, 1 inconclusive;"));
    (report.claims, report.controls) = (Vec::new(), Vec::new());
    assert!(html::page(&report).contains("no claims were judged; no controls were run"));
}

#[test]
fn figures_are_well_formed_name_their_series_and_do_not_change() {
    let report = sample::report();
    for figure in super::figures(&report) {
        let svg = figure::svg(figure).unwrap();
        assert_well_formed(&svg);
        assert_eq!(svg, figure::svg(figure).unwrap());
        assert!(svg.contains("role=\"img\"") && svg.contains("fill=\"#ffffff\""));
        for series in figure.panels.iter().flat_map(|panel| &panel.series) {
            assert!(svg.contains(&super::text::escape(&series.name)), "{}", series.name);
        }
    }
}

#[test]
fn odd_data_make_figures_all_the_same() {
    let infinite = f64::INFINITY;
    let odd: [&[Point]; 12] = [
        &[],
        &[Point { x: 1.0, y: 2.0, lo: 1.0, hi: 3.0 }],
        &[Point { x: 1.0, y: 2.0, lo: -infinite, hi: infinite }, Point::at(2.0, 2.0)],
        &[Point::at(f64::NAN, f64::NAN), Point::at(infinite, 1.0), Point::at(1.0, -infinite)],
        &[Point::at(0.0, 0.0), Point::at(-1.0, -1.0)],
        &[Point::at(0.0, 0.0)],
        &[Point::at(3.0, 3.0), Point::at(3.0, 3.0), Point::at(3.0, 3.0)],
        &[Point::at(-1e300, 1e300), Point::at(1e300, -1e300)],
        &[Point::at(f64::MIN, f64::MAX), Point::at(f64::MAX, f64::MIN)],
        &[Point::at(1e-300, 1e300), Point::at(1e300, 1e-300)],
        &[Point::at(1e15, 1e15 + 1.0), Point::at(1e15 + 1.0, 1e15)],
        &[Point::at(1.0, 1.0), Point::at(f64::NAN, 2.0), Point::at(3.0, 3.0), Point::at(4.0, f64::NAN)],
    ];
    for points in odd {
        for log in [false, true] {
            for range in [None, Some([0.0, 1.0]), Some([0.5, 4.0]), Some([2.0, 1.0]), Some([f64::NAN, 1.0])] {
                let (lines, images) = MARKS.split_at(6);
                let series = |(i, &mark): (usize, &Mark)| Series {
                    name: format!("series {mark:?}"),
                    mark,
                    color: 5 * i + usize::MAX / 2,
                    points: points.to_vec(),
                };
                for marks in [lines, images] {
                    let series = marks.iter().enumerate().map(series).collect();
                    let svg = figure::svg(&figure_of(vec![panel(log, range, series)])).unwrap();
                    assert_well_formed(&svg);
                    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                    for mark in marks {
                        assert!(svg.contains(&format!(">series {mark:?}</text>")), "{mark:?} {points:?}");
                    }
                    assert_inside(&svg);
                }
            }
        }
    }
    for panels in 0..8 {
        let svg = figure::svg(&figure_of(vec![panel(false, None, Vec::new()); panels])).unwrap();
        assert_well_formed(&svg);
        assert_inside(&svg);
    }
}

/// Panics if a coordinate lies off the picture.
#[track_caller]
fn assert_inside(svg: &str) {
    let view: Vec<f64> = svg
        .split("viewBox=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .split(' ')
        .map(|x| x.parse().unwrap())
        .collect();
    for points in svg.split(" points=\"").skip(1) {
        for pair in points.split('"').next().unwrap().split_whitespace() {
            let (x, y) = pair.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=view[2]).contains(&x) && (0.0..=view[3]).contains(&y), "{pair} of {view:?}");
        }
    }
}
