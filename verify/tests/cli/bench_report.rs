//! `verify bench-report`.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Folder, Outcome};

/// Writes the three files of a result as criterion does: five samples round `ns`, the median in the middle.
fn result(folder: &Folder, group: &str, function: &str, parameter: &str, elements: u64, ns: f64) {
    let dir = format!("criterion/{group}/{function}/{parameter}/new");
    let benchmark = json!({
        "group_id": group, "function_id": function, "value_str": parameter, "throughput": {"Elements": elements},
        "full_id": format!("{group}/{function}/{parameter}"), "directory_name": dir, "title": dir,
    });
    let interval = json!({"confidence_level": 0.95, "lower_bound": 0.99 * ns, "upper_bound": 1.01 * ns});
    let estimates = json!({"median": {"confidence_interval": interval, "point_estimate": ns, "standard_error": 0.0}});
    let iters = [1.0, 2.0, 3.0, 4.0, 5.0];
    let times: Vec<f64> = [0.99, 1.01, 1.0, 0.98, 1.02].iter().zip(iters).map(|(x, count)| x * ns * count).collect();
    folder.write(&format!("{dir}/benchmark.json"), benchmark.to_string());
    folder.write(&format!("{dir}/estimates.json"), estimates.to_string());
    folder.write(
        &format!("{dir}/sample.json"),
        json!({"sampling_mode": "Linear", "iters": iters, "times": times}).to_string(),
    );
}

/// `M x N x K` multiplied.
fn volume(parameter: &str) -> u64 {
    let sizes = parameter.split('-').next().unwrap().trim_end_matches('T');
    sizes.split('x').map(|size| size.parse::<u64>().unwrap()).product()
}

const OURS: [&str; 2] = ["ours-avx512", "ours-avx2"];
const PEERS: [&str; 3] = ["matrixmultiply", "faer", "gemm-x86-v4"];
const STEPS: [&str; 2] = ["1000x256x256", "4096x64x1024"];
const F32: [&str; 13] = [
    "16x16x16",
    "32x32x32",
    "64x64x64",
    "128x128x128",
    "256x256x256",
    "512x512x512",
    "1024x256x64",
    "4096x1024x64",
    "1000x256x256",
    "2048x2048x2048",
    "256x64x4096T",
    "1024x64x4096T",
    "4096x128x4096T",
];
const F64: [&str; 4] = ["256x256x256", "1024x1024x1024", "4096x64x256", "4096x64x256T"];

/// A machine whose core makes 100 operations a nanosecond in f32 and 50 in f64, and kernels that reach every target.
fn measured() -> Folder {
    let folder = Folder::new();
    for isa in ["avx512", "avx2"] {
        result(&folder, "peak_1t", isa, "f32", 1_000_000, 10_000.0);
        result(&folder, "peak_1t", isa, "f64", 1_000_000, 20_000.0);
    }
    let rate = |group: &str, function: &str, parameter: &str, factor: u64, rate: f64| {
        let work = factor * volume(parameter);
        result(&folder, group, function, parameter, work, work as f64 / rate);
    };
    for ours in OURS {
        F32.iter().for_each(|shape| rate("gemm_f32_1t", ours, shape, 2, 95.0));
        F32.iter().for_each(|shape| rate("gemm_f32_2t", ours, shape, 2, 180.0));
        F64.iter().for_each(|shape| rate("gemm_f64_1t", ours, shape, 2, 48.0));
        for (shape, forward, backward) in [(STEPS[0], 98.0, 310.0), (STEPS[1], 94.0, 380.0)] {
            rate("forward_1t", ours, shape, 2, forward);
            rate("backward_1t", ours, shape, 2, backward);
            rate("step_1t", ours, shape, 4, 170.0);
            rate("step_2t", ours, shape, 4, 320.0);
        }
        rate("backward_1t", ours, "4096x64x1024-10pct", 2, 380.0 * 7.0);
        rate("rng_1t", ours, "4096x64", 1, 9.0);
    }
    for (peer, speed) in PEERS.into_iter().zip([0.80, 0.90, 0.85]) {
        F32.iter().for_each(|shape| rate("gemm_f32_1t", peer, shape, 2, 95.0 * speed));
        F32.iter().for_each(|shape| rate("gemm_f32_2t", peer, shape, 2, 180.0 * speed));
        F64.iter().for_each(|shape| rate("gemm_f64_1t", peer, shape, 2, 48.0 * speed));
    }
    STEPS.iter().for_each(|shape| rate("forward_1t", "dense", shape, 2, 70.0));
    rate("rng_1t", "scalar", "4096x64", 1, 1.0);
    folder.write("torch.json", torch(&[("in-place", STEPS[0], 2, 2.5), ("autograd", STEPS[1], 2, 4.0)]));
    folder
}

/// PyTorch's file, with times as multiples of those of the steps above.
fn torch(results: &[(&str, &str, u32, f64)]) -> String {
    let results: Vec<Value> = results
        .iter()
        .map(|(form, shape, threads, factor)| {
            let seconds = 4e-9 * volume(shape) as f64 / 320.0 * factor;
            let interval = [0.9 * seconds, 1.1 * seconds];
            json!({"form": form, "shape": shape, "threads": threads, "median_seconds": seconds,
                   "interval_seconds": interval, "steps": 100})
        })
        .collect();
    json!({"schema_version": 1, "torch": "2.9.0+cpu", "python": "3.12.1", "cpu": "A <CPU>", "capability": "AVX512",
           "date": "2026-01-31 12:00 UTC", "results": results})
    .to_string()
}

const REPORT: [&str; 5] = ["bench-report", "--criterion", "criterion", "--out", "out"];

fn report(folder: &Folder, more: &[&str]) -> Outcome {
    folder.verify(&[&REPORT, more].concat())
}

/// The report is refused, with an error that says all of `words`; nothing appears or changes.
fn refused(folder: &Folder, args: &[&str], words: &[&str]) {
    let before = folder.tree("");
    let outcome = folder.verify(args);
    let line = outcome.error();
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line:?}");
    }
    assert_eq!(folder.tree(""), before, "{outcome:?}");
}

fn target<'a>(json: &'a Value, quantity: &str) -> &'a Value {
    let targets = json["targets"].as_array().unwrap();
    let found = targets.iter().find(|target| target["quantity"].as_str().unwrap().contains(quantity));
    found.unwrap_or_else(|| panic!("no target {quantity}"))
}

#[test]
fn all_that_was_measured_is_on_the_page() {
    let folder = measured();
    let outcome = report(&folder, &["--torch", "torch.json"]);
    assert_eq!(outcome.ok().out, "targets: 36 reached, 0 not reached, 0 not measured\nreport: out/index.html\n");
    assert_eq!(outcome.err, "");
    let page = folder.text("out/index.html");
    for words in [
        "36 of 36 measured targets reached",
        "gemm (x86-v4)",
        "256×64×4096 T",
        "4096×64×1024, 10 % active",
        "geometric mean",
        "A &lt;CPU&gt;",
        "2.9.0+cpu",
        "rustc 1.",
        "private-gemm-x86",
        "94.0 % of peak",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("Not measured") && !page.contains("not reached<") && !page.contains("not measured<"));
    // It needs nothing but itself.
    for outside in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count());
    for id in ["roofline-gemm-f32", "roofline-gemm-f64", "roofline-passes", "ratios-gemm-f32", "step", "threads"] {
        assert!(page.contains(&format!("figures/{id}.svg")) && page.contains(&format!("id=\"figure-{id}\"")), "{id}");
        assert!(folder.text(&format!("out/figures/{id}.svg")).starts_with("<svg"));
        assert!(folder.text(&format!("out/series/{id}.csv")).lines().count() > 3);
    }
    let rows = folder.text("out/series/measurements.csv");
    let json = folder.json("out/bench.json");
    assert_eq!(rows.lines().count(), 1 + json["measurements"].as_array().unwrap().len());
    assert!(rows.contains("forward_1t,ours-avx512,1000x256x256,131072000,"));
}

#[test]
fn figures_follow_from_the_files() {
    let folder = measured();
    report(&folder, &["--torch", "torch.json"]).ok();
    let json = folder.json("out/bench.json");
    for (quantity, value) in [
        ("product f32, 1 thread, over the best peer at every shape", 1.0 / 0.9),
        ("product f64, 1 thread, over the best peer, geometric mean", 1.0 / 0.9),
        ("product f32, 2 threads over 1", 180.0 / 95.0),
        ("product f32, 2 threads, over the best peer", 1.0 / 0.9),
        ("forward pass at d_0 = 64", 0.94),
        ("forward pass at d_0 ≥ 256", 0.98),
        ("all active, 1000x256x256", 3.1),
        ("all active, 4096x64x1024, over the FMA peak", 3.8),
        ("10 % active over all active", 7.0),
        ("uniform numbers", 9.0),
        ("step, 1 thread, 4096x64x1024", 170.0),
        ("step, 2 threads over 1, 1000x256x256", 320.0 / 170.0),
        ("1000x256x256, over the best form in PyTorch", 2.5),
        ("4096x64x1024, over the best form in PyTorch", 4.0),
    ] {
        for outcome in target(&json, quantity)["outcomes"].as_array().unwrap() {
            let measured = &outcome["measured"];
            let close = |x: &Value, y: f64| (x.as_f64().unwrap() / y - 1.0).abs() < 1e-9;
            assert!(close(&measured["value"], value), "{quantity}: {outcome}");
            let (low, high) = (measured["interval"][0].as_f64().unwrap(), measured["interval"][1].as_f64().unwrap());
            assert!(low < value && value < high && outcome["reached"] == true, "{quantity}: {outcome}");
        }
    }
    let row = |row: &&Value| row["group"] == "forward_1t" && row["function"] == "dense" && row["parameter"] == STEPS[0];
    let dense = json["measurements"].as_array().unwrap().iter().find(row).unwrap();
    assert!((dense["fraction_of_peak"].as_f64().unwrap() - 0.7).abs() < 1e-9, "{dense}");
    assert_eq!(dense["samples"], 5);
}

#[test]
fn a_slower_kernel_misses_its_target() {
    let folder = measured();
    result(&folder, "forward_1t", "ours-avx2", STEPS[1], 2 * volume(STEPS[1]), 2.0 * volume(STEPS[1]) as f64 / 92.0);
    let outcome = report(&folder, &["--torch", "torch.json"]);
    assert!(outcome.ok().out.starts_with("targets: 35 reached, 1 not reached, 0 not measured\n"), "{outcome:?}");
    let json = folder.json("out/bench.json");
    let outcomes = &target(&json, "forward pass at d_0 = 64")["outcomes"];
    assert_eq!((&outcomes[0]["reached"], &outcomes[1]["reached"]), (&json!(true), &json!(false)));
    assert!(folder.text("out/index.html").contains("✗ not reached"));
}

#[test]
fn what_was_not_measured_is_said_with_the_command_that_measures_it() {
    let folder = Folder::new();
    result(&folder, "rng_1t", "ours-avx2", "4096x64", 262_144, 30_000.0);
    let outcome = report(&folder, &[]);
    assert!(outcome.ok().out.starts_with("targets: 0 reached, 0 not reached, 36 not measured\n"), "{outcome:?}");
    let page = folder.text("out/index.html");
    for group in
        ["gemm_f32_1t", "gemm_f32_2t", "gemm_f64_1t", "forward_1t", "backward_1t", "step_1t", "step_2t", "peak_1t"]
    {
        assert!(page.contains(&format!("cargo bench -- {group}")), "{group}");
    }
    assert!(!page.contains("cargo bench -- rng_1t") && page.contains("torch_step.py"));
    // One peer of three, one shape of thirteen: no verdict from that.
    let folder = measured();
    fs::remove_dir_all(folder.path("criterion/gemm_f32_1t/faer/16x16x16")).unwrap();
    fs::remove_dir_all(folder.path("criterion/gemm_f64_1t/ours-avx512/256x256x256")).unwrap();
    report(&folder, &[]).ok();
    let json = folder.json("out/bench.json");
    for (quantity, shape) in [("product f32, 1 thread", "16x16x16"), ("product f64, 1 thread", "256x256x256")] {
        let outcome = &target(&json, quantity)["outcomes"][0];
        assert!(outcome["reached"].is_null() && outcome["note"].as_str().unwrap().contains(shape), "{outcome}");
    }
}

#[test]
fn foreign_benchmarks_and_criterions_own_pages_are_left_out() {
    let folder = measured();
    for name in ["report/index.html", "rng_1t/report/index.html", "rng_1t/scalar/report/index.html", "fft/a/b/new/x"] {
        folder.write(&format!("criterion/{name}"), "");
    }
    report(&folder, &[]).ok();
    assert!(folder.text("out/index.html").contains("Also in that folder, and not shown: fft."));
}

#[test]
fn folders_without_results_are_refused() {
    let folder = Folder::new();
    let args = |dir: &'static str| ["bench-report", "--criterion", dir, "--out", "out"];
    refused(&folder, &["bench-report"], &["--criterion", "target/criterion"]);
    refused(&folder, &args("missing"), &["--criterion", "missing"]);
    folder.write("file", "");
    refused(&folder, &args("file"), &["file"]);
    fs::create_dir(folder.path("empty")).unwrap();
    refused(&folder, &args("empty"), &["empty", "cargo bench"]);
    folder.write("other/fft/a/b/new/estimates.json", "{}");
    refused(&folder, &args("other"), &["other", "cargo bench"]);
    fs::create_dir_all(folder.path("criterion/rng_1t/scalar/4096x64")).unwrap();
    refused(&folder, &REPORT, &["4096x64", "benchmark.json"]);
}

#[test]
fn spoilt_results_are_refused_by_file() {
    let folder = measured();
    let dir = "criterion/forward_1t/ours-avx2/1000x256x256/new";
    let spoil = |name: &str, content: &[u8], words: &[&str]| {
        let path = format!("{dir}/{name}");
        let kept = folder.text(&path);
        folder.write(&path, content);
        refused(&folder, &REPORT, &[&[name, "1000x256x256"], words].concat());
        folder.write(&path, kept);
    };
    for name in ["benchmark.json", "estimates.json", "sample.json"] {
        for content in [&b""[..], b"{", b"null", b"[]", b"{}", b"NaN", b"\xff\xfe", b"\"\""] {
            spoil(name, content, &[]);
        }
        spoil(name, "[".repeat(200_000).as_bytes(), &[]);
        let path = folder.path(dir).join(name);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        refused(&folder, &REPORT, &[name]);
        fs::create_dir(&path).unwrap();
        refused(&folder, &REPORT, &[name]);
        fs::remove_dir(&path).unwrap();
        fs::write(&path, kept).unwrap();
    }

    let median = |point: &str, low: &str, high: &str, level: &str| {
        format!(
            "{{\"median\": {{\"point_estimate\": {point}, \"confidence_interval\": \
             {{\"confidence_level\": {level}, \"lower_bound\": {low}, \"upper_bound\": {high}}}}}}}"
        )
    };
    for (point, low, high, level, words) in [
        ("NaN", "1", "2", "0.95", ""),
        ("null", "1", "2", "0.95", ""),
        ("\"1\"", "1", "2", "0.95", ""),
        ("1e999", "1", "2", "0.95", ""),
        ("1", "null", "2", "0.95", ""),
        ("1", "1", "1e999", "0.95", ""),
        ("0", "0", "0", "0.95", "positive"),
        ("-3", "-4", "-2", "0.95", "positive"),
        ("3", "4", "5", "0.95", "interval"),
        ("3", "2", "1", "0.95", "interval"),
        ("3", "2", "4", "1", "confidence_level"),
        ("3", "2", "4", "-0.95", "confidence_level"),
    ] {
        spoil("estimates.json", median(point, low, high, level).as_bytes(), &[words]);
    }
    spoil("estimates.json", b"{\"mean\": {}}", &["median"]);
    // A median that the samples do not have.
    spoil("estimates.json", median("3", "2", "4", "0.95").as_bytes(), &[]);
    for content in [
        "{\"iters\": [], \"times\": []}",
        "{\"iters\": [1, 2], \"times\": [1]}",
        "{\"iters\": [0], \"times\": [1]}",
        "{\"iters\": [1], \"times\": [-1]}",
    ] {
        spoil("sample.json", content.as_bytes(), &["positive"]);
    }

    let benchmark = |field: &str, value: Value| {
        let mut benchmark = folder.json(&format!("{dir}/benchmark.json"));
        benchmark[field] = value;
        benchmark.to_string()
    };
    for (field, value, words) in [
        ("group_id", json!("forward_2t"), "folder"),
        ("function_id", json!(null), "folder"),
        ("function_id", json!("<script>"), "folder"),
        ("value_str", json!("1000x256x257"), "folder"),
        ("throughput", json!(null), "throughput"),
        ("throughput", json!({"Bytes": 1}), "throughput"),
        ("throughput", json!({"Elements": 0}), "throughput"),
        ("throughput", json!({"Elements": 7}), "131072000"),
        ("throughput", json!({"Elements": -7}), ""),
    ] {
        spoil("benchmark.json", benchmark(field, value).as_bytes(), &[words]);
    }
    report(&folder, &[]).ok();
}

#[test]
fn names_that_are_no_shapes_or_lead_elsewhere_are_refused() {
    for (group, function, parameter, words) in [
        ("forward_1t", "dense", "big", "1024x256x64"),
        ("forward_1t", "dense", "1x2x3-0pct", "1024x256x64"),
        ("forward_1t", "dense", "4294967296x4294967296x4294967296", "1024x256x64"),
        ("rng_1t", "scalar", "1x2x3", "4096x64"),
        ("peak_1t", "avx2", "f16", "f32 or f64"),
        ("rng_1t", "<img onerror=x>", "4096x64", "letters"),
        ("rng_1t", "a,b", "4096x64", "letters"),
    ] {
        let folder = Folder::new();
        result(&folder, group, function, parameter, 1, 10.0);
        refused(&folder, &REPORT, &["benchmark.json", words]);
    }
}

#[test]
fn spoilt_files_of_pytorch_are_refused() {
    let folder = measured();
    let spoil = |content: &str, words: &[&str]| {
        folder.write("bad.json", content);
        refused(
            &folder,
            &[&REPORT[..], &["--torch", "bad.json"]].concat(),
            &[&["--torch", "bad.json"], words].concat(),
        );
    };
    refused(&folder, &[&REPORT[..], &["--torch", "missing.json"]].concat(), &["--torch", "missing.json"]);
    for content in ["", "{}", "[]", "null", "{\"schema_version\": 1}"] {
        spoil(content, &[]);
    }
    let good: Value = serde_json::from_str(&folder.text("torch.json")).unwrap();
    let edit = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        bad.to_string()
    };
    spoil(&edit("/schema_version", json!(2)), &["schema_version is 2"]);
    spoil(&edit("/results", json!([])), &["results"]);
    for (field, value) in [
        ("form", json!("eager")),
        ("shape", json!("<b>")),
        ("shape", json!("1000x256")),
        ("threads", json!(0)),
        ("median_seconds", json!(-1.0)),
        ("median_seconds", json!(null)),
        ("interval_seconds", json!([1.0, 2.0, 3.0])),
    ] {
        spoil(&edit(&format!("/results/1/{field}"), value), &[]);
    }
    spoil(&edit("/results/1/threads", json!(0)), &["results[1].threads"]);
    spoil(&folder.text("torch.json").replace("\"steps\":100", "\"steps\":NaN"), &[]);
}

#[test]
fn only_an_earlier_page_of_its_own_is_replaced() {
    let folder = measured();
    for _ in 0..2 {
        report(&folder, &[]).ok();
    }
    let names = folder.tree("");
    assert!(!names.keys().any(|name| name.contains(".tmp-") || name.contains(".old-")), "{:?}", names.keys());
    folder.write("out/notes.txt", "mine");
    refused(&folder, &REPORT, &["--out", "notes.txt"]);
    folder.write("thesis/chapter.tex", "mine");
    refused(&folder, &["bench-report", "--criterion", "criterion", "--out", "thesis"], &["thesis", "chapter.tex"]);
    // A report on claims is none of ours, nor is ours one of those.
    folder.write("claims/report.json", "{\"schema_version\": 1}");
    refused(&folder, &["bench-report", "--criterion", "criterion", "--out", "claims"], &["claims", "report.json"]);
    fs::remove_file(folder.path("out/notes.txt")).unwrap();
    folder.write("tiny.toml", crate::harness::tiny(&[]));
    refused(&folder, &["--config", "tiny.toml", "--claim", "envelope", "--out", "out"], &["out", "bench.json"]);
    // The one place where all are: a report on claims keeps the page in its `bench`, the paper's figures in its `experiments`,
    // and nothing else there.
    let claims = ["--config", "tiny.toml", "--claim", "envelope", "--out", "both"];
    folder.verify(&claims).ok();
    folder.verify(&["bench-report", "--criterion", "criterion", "--out", "both/bench"]).ok();
    folder.write("both/experiments/figures.json", "{\"schema_version\": 1}");
    let kept = ["both/bench", "both/experiments"].map(|kept| folder.tree(kept));
    folder.verify(&claims).ok();
    assert_eq!(["both/bench", "both/experiments"].map(|kept| folder.tree(kept)), kept);
    folder.write("both/bench/bench.json", "{}");
    refused(&folder, &claims, &["both", "bench"]);
    // The default.
    let outcome = folder.verify(&["bench-report", "--criterion", "criterion"]);
    assert!(outcome.ok().out.ends_with("report: reports/bench/index.html\n"), "{outcome:?}");
}
