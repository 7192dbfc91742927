//! The page.

use super::Bench;
use super::figures::{function_name, shape_name};
use super::machine::date;
use super::measurement::{GROUPS, Measurement, Work};
use super::results::{OURS, PEERS, Results, Value, geometric_mean, torch_ratio};
use crate::report::html::{document, figure_block, mark, table};
use crate::report::text::{duration, escape, html, number};

/// Results of one run lie no further apart than this.
const ONE_RUN_SECONDS: u64 = 3600;

/// `index.html`.
pub(super) fn render(bench: &Bench) -> String {
    let (summary, class) = summary(bench);
    let results = &bench.results;
    let figure = |id: &str| bench.figures.iter().find(|figure| figure.id == id).map(figure_block).unwrap_or_default();
    let group = |id: &str| group_section(results, id);
    let mut main = String::new();
    main.push_str(
        "<h2 id=\"targets\">Targets</h2>\n<p>They stood in the code before the measurement. A target is reached if the \
                   ratio of the medians is.</p>\n",
    );
    main.push_str(&target_table(bench));
    main.push_str(READING);
    main.push_str("<section class=\"claim\" id=\"products\"><h2>Dense products</h2>\n");
    for (ids, group_id) in [
        (&["roofline-gemm-f32", "ratios-gemm-f32"][..], "gemm_f32_1t"),
        (&["ratios-gemm-f32-2t"], "gemm_f32_2t"),
        (&["roofline-gemm-f64", "ratios-gemm-f64"], "gemm_f64_1t"),
    ] {
        main.extend(ids.iter().map(|id| figure(id)));
        main.push_str(&group(group_id));
    }
    main.push_str("</section>\n<section class=\"claim\" id=\"passes\"><h2>Fused passes</h2>\n");
    main.extend([figure("roofline-passes"), group("forward_1t"), group("backward_1t")]);
    main.push_str("</section>\n<section class=\"claim\" id=\"step\"><h2>Step of training</h2>\n");
    main.extend([figure("step"), group("step_1t"), group("step_2t"), torch_section(results)]);
    main.push_str("</section>\n<section class=\"claim\" id=\"threads\"><h2>Two threads over one</h2>\n");
    main.extend([figure("threads"), threads_table(results)]);
    main.push_str("</section>\n<section class=\"claim\" id=\"rng\"><h2>Random numbers</h2>\n");
    main.push_str(&group("rng_1t"));
    main.push_str("</section>\n<section class=\"claim\" id=\"machine\"><h2>Machine, versions, peak</h2>\n");
    main.extend([group("peak_1t"), machine_table(bench)]);
    main.push_str("</section>\n");

    let (from, to) = bench.span();
    let mut header = format!(
        "<h1>Kernels beside their peers and the machine's peak</h1>\n\
         <p>What <code>cargo bench</code> measured: dense products, the fused passes and the training step of this project, \
         other libraries at the same shapes, and the rate of fused multiply-adds that a core reaches at all.</p>\n\
         <p class=\"summary {class}\">{summary}</p>\n<ul class=\"facts\">{}<li><b>measured</b> {}</li>\
         <li><b>compiler</b> {}</li></ul>\n",
        bench.machine.facts.iter().take(1).map(fact).collect::<String>(),
        escape(&span(from, to)),
        escape(&bench.packages.first().map(|package| package.version.clone()).unwrap_or_default()),
    );
    if to - from > ONE_RUN_SECONDS {
        header.push_str(&format!(
            "<p class=\"summary inconclusive\">The results lie {} apart: ratios of results from different runs may be of \
             different states of the machine. <code>cargo bench</code> measures all in one run.</p>\n",
            duration((to - from) as f64)
        ));
    }
    let footer = format!(
        "<h2 id=\"made\">How this was made</h2>\n<pre><code>cargo bench\npython3 benches/torch_step.py > torch.json   # where \
         PyTorch is installed\ncargo run --release --bin verify -- bench-report --torch torch.json</code></pre>\n\
         <p>Files: <a href=\"bench.json\">bench.json</a> and <a href=\"series/measurements.csv\">series/measurements.csv</a> \
         hold all that was measured; beside each figure are its drawing and its data.</p>\n{}",
        if bench.others.is_empty() {
            String::new()
        } else {
            format!("<p class=\"soft\">Also in that folder, and not shown: {}.</p>\n", escape(&bench.others.join(", ")))
        }
    );
    document("Kernels beside their peers", &header, &main, &footer)
}

const READING: &str = "<h2 id=\"reading\">How to read this</h2>\n\
    <p>Times are medians of criterion's samples with the interval it gives them; the interval of a ratio holds every ratio \
    of two times within theirs, and so errs on the wide side. Rates count the operations of the dense product that a \
    result stands for: 2 M N K for a product, 2 N m d<sub>0</sub> for a pass, 4 N m d<sub>0</sub> for a step. Shapes are \
    M×N×K (T: A is stored transposed), and N×d<sub>0</sub>×m for passes and steps. Ratios to peers are the peer's time over \
    ours: above 1, ours is faster.</p>\n";

fn summary(bench: &Bench) -> (String, &'static str) {
    let outcomes: Vec<_> = bench.targets.iter().flat_map(|target| &target.outcomes).collect();
    let count = |reached| outcomes.iter().filter(|outcome| outcome.reached == reached).count();
    let (reached, missed, open) = (count(Some(true)), count(Some(false)), count(None));
    let mut text = format!("{reached} of {} measured targets reached", reached + missed);
    if open > 0 {
        text.push_str(&format!(", {open} not measured"));
    }
    match (missed, open) {
        (0, 0) => (format!("✓ {text}"), "holds"),
        (0, _) => (format!("? {text}"), "inconclusive"),
        _ => (format!("✗ {text}"), "violated"),
    }
}

fn fact((name, value): &(String, String)) -> String {
    format!("<li><b>{}</b> {}</li>", escape(name), escape(value))
}

/// From when to when, the day said once.
fn span(from: u64, to: u64) -> String {
    let (from, to) = (date(from), date(to));
    match from.split_once(' ').zip(to.split_once(' ')) {
        _ if from == to => from,
        Some(((day, time), (last, end))) if day == last => format!("{day} {}–{end}", time.trim_end_matches(" UTC")),
        _ => format!("{from} – {to}"),
    }
}

/// Two decimals, three where it matters.
fn ratio(x: f64) -> String {
    if x < 10.0 { format!("{x:.3}") } else { number(x, 4) }
}

fn interval([low, high]: [f64; 2], text: impl Fn(f64) -> String) -> String {
    format!("<small>[{}, {}]</small>", text(low), text(high))
}

/// A cell with a ratio; `least` is what it should be.
fn ratio_cell(value: Option<Value>, least: f64) -> String {
    match value {
        None => "<td class=\"num\">—</td>".to_owned(),
        Some(value) => {
            let class = if value.value < least { " less" } else { "" };
            format!("<td class=\"num{class}\">{}{}</td>", ratio(value.value), interval(value.interval, ratio))
        }
    }
}

fn target_table(bench: &Bench) -> String {
    let rows: String = bench
        .targets
        .iter()
        .map(|target| {
            let text = |x: f64| if target.unit.is_empty() { ratio(x) } else { format!("{x:.1}") };
            let outcomes: String = target
                .outcomes
                .iter()
                .map(|outcome| {
                    let badge = match outcome.reached {
                        Some(reached) => mark(reached, "reached", "not reached"),
                        None => "<span class=\"badge inconclusive\">? not measured</span>".to_owned(),
                    };
                    let value = outcome.measured.map_or_else(String::new, |value| {
                        format!("<b>{}</b> {badge}{}", text(value.value), interval(value.interval, text))
                    });
                    let badge = if value.is_empty() { badge } else { value };
                    format!("<td class=\"wide\">{badge}<small>{}</small></td>", html(&shape_note(outcome.note.trim_start_matches("not measured"))))
                })
                .collect();
            let unit = if target.unit.is_empty() { String::new() } else { format!("<small>{}</small>", escape(target.unit)) };
            format!(
                "<tr><td class=\"wide\">{}<small><code>{}</code></small></td><td class=\"num\">≥ {}{unit}</td>{outcomes}</tr>\n",
                html(&shape_note(&target.quantity)),
                target.group,
                number(target.least, 4),
            )
        })
        .collect();
    let heads: String = OURS[..2].iter().map(|ours| format!("<th>{}</th>", escape(&function_name(ours)))).collect();
    table(&format!("<th>Quantity</th><th class=\"num\">Target</th>{heads}"), &rows)
}

/// The words of a note, shapes as one says them.
fn shape_note(note: &str) -> String {
    let is_shape = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('x');
    let word = |word: &str| match word.strip_suffix(',') {
        Some(word) if is_shape(word) => shape_name(word) + ",",
        None if is_shape(word) => shape_name(word),
        _ => word.to_owned(),
    };
    note.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A time in a unit that suits it.
fn time_text(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{} ns", number(ns, 4)),
        ns if ns < 1e6 => format!("{} µs", number(ns / 1e3, 4)),
        ns if ns < 1e9 => format!("{} ms", number(ns / 1e6, 4)),
        ns => format!("{} s", number(ns / 1e9, 4)),
    }
}

/// A group: its medians, its ratios, or the command that measures it.
fn group_section(results: &Results, id: &str) -> String {
    let Some(group) = GROUPS.iter().find(|group| group.id == id) else { return String::new() };
    let heading = format!("<h3 id=\"{id}\">{} <code>{id}</code></h3>\n", escape(group.title));
    let measurements: Vec<&Measurement> = results.group(id).collect();
    let times = measurements.iter().map(|found| found.measured_at);
    let Some((from, to)) = times.clone().min().zip(times.max()) else {
        return format!(
            "{heading}<p class=\"soft\">Not measured; this measures it: <code>cargo bench -- {id}</code></p>\n"
        );
    };
    let (per, unit) = match group.work {
        Work::Numbers => ("Numbers a nanosecond", ""),
        _ => ("GFLOP/s", " of peak"),
    };
    let functions = results.functions(id);
    let rows: String = results
        .parameters(id)
        .into_iter()
        .map(|parameter| {
            let cells: String = functions
                .iter()
                .map(|function| match results.find(id, function, parameter) {
                    None => "<td class=\"num\">—</td>".to_owned(),
                    Some(found) => {
                        let fraction = results
                            .fraction(found)
                            .map(|fraction| format!("<small>{:.1} %{unit}</small>", 100.0 * fraction.value));
                        format!(
                            "<td class=\"num\"><b>{}</b><small>{}</small>{}{}</td>",
                            number(found.rate(), 4),
                            time_text(found.median_ns),
                            interval(found.interval_ns, time_text),
                            fraction.unwrap_or_default()
                        )
                    }
                })
                .collect();
            format!("<tr><td class=\"word\">{}</td>{cells}</tr>\n", escape(&shape_name(parameter)))
        })
        .collect();
    let heads: String = functions
        .iter()
        .map(|function| format!("<th class=\"num\">{}</th>", escape(&function_name(function))))
        .collect();
    let levels = measurements.iter().map(|found| found.confidence);
    let (least, most) = (levels.clone().fold(1.0, f64::min), levels.fold(0.0, f64::max));
    let level = |level: f64| format!("{} %", number(100.0 * level, 3));
    let level = if least == most { level(least) } else { format!("{} to {}", level(least), level(most)) };
    let samples = measurements.iter().map(|found| found.samples).min().unwrap_or(0);
    format!(
        "{heading}{}<details><summary>{per}, median times and their {level} intervals</summary>\n{}\
         <p class=\"soft\">Measured {}; medians of at least {samples} samples.</p>\n</details>\n",
        ratio_table(results, id),
        table(&format!("<th>Shape</th>{heads}"), &rows),
        escape(&span(from, to))
    )
}

/// Each other function's time over ours, by shape, with geometric means.
fn ratio_table(results: &Results, id: &str) -> String {
    let functions = results.functions(id);
    let (ours, peers): (Vec<&str>, Vec<&str>) = functions.into_iter().partition(|function| OURS.contains(function));
    if ours.is_empty() || peers.is_empty() || id == "peak_1t" {
        return String::new();
    }
    let pairs: Vec<(&str, &str)> = ours.iter().flat_map(|ours| peers.iter().map(move |peer| (*ours, *peer))).collect();
    let products = peers.iter().any(|peer| PEERS.contains(peer));
    let best = |ours: &str, shape: &str| {
        let best = results.best_peer(id, &[], shape)?;
        results.speedup((id, &best.function), (id, ours), shape)
    };
    let parameters = results.parameters(id);
    // Columns: for every one of ours the peers, and the best of them.
    let mut columns: Vec<(String, Vec<Option<Value>>)> = Vec::new();
    for name in &ours {
        for (_, peer) in pairs.iter().filter(|pair| pair.0 == *name) {
            let values = parameters.iter().map(|shape| results.speedup((id, peer), (id, name), shape)).collect();
            columns.push((
                format!("{}<small>{}</small>", escape(&function_name(peer)), escape(&function_name(name))),
                values,
            ));
        }
        if products {
            let values = parameters.iter().map(|shape| best(name, shape)).collect();
            columns.push((format!("best peer<small>{}</small>", escape(&function_name(name))), values));
        }
    }
    let mut rows = String::new();
    for (at, parameter) in
        parameters.iter().enumerate().filter(|(at, _)| columns.iter().any(|(_, values)| values[*at].is_some()))
    {
        let cells: String = columns.iter().map(|(_, values)| ratio_cell(values[at], 1.0)).collect();
        rows.push_str(&format!("<tr><td class=\"word\">{}</td>{cells}</tr>\n", escape(&shape_name(parameter))));
    }
    if parameters.len() > 1 {
        let means: String = columns
            .iter()
            .map(|(_, values)| ratio_cell(geometric_mean(&values.iter().flatten().copied().collect::<Vec<_>>()), 1.0))
            .collect();
        rows.push_str(&format!("<tr class=\"mean\"><td class=\"word\">geometric mean</td>{means}</tr>\n"));
    }
    let heads: String = columns.iter().map(|(head, _)| format!("<th class=\"num\">{head}</th>")).collect();
    format!("<p>Time of each over ours:</p>\n{}", table(&format!("<th>Shape</th>{heads}"), &rows))
}

fn threads_table(results: &Results) -> String {
    let mut rows = String::new();
    for (one, two) in [("gemm_f32_1t", "gemm_f32_2t"), ("step_1t", "step_2t")] {
        for shape in results.parameters(two) {
            let cells: String = OURS[..2]
                .iter()
                .map(|ours| ratio_cell(results.speedup((one, ours), (two, ours), shape), 1.0))
                .collect();
            rows.push_str(&format!(
                "<tr><td class=\"word\">{}<small><code>{two}</code></small></td>{cells}</tr>\n",
                escape(&shape_name(shape))
            ));
        }
    }
    if rows.is_empty() {
        return "<p class=\"soft\">Not measured; this measures it: <code>cargo bench -- _2t</code></p>\n".to_owned();
    }
    let heads: String =
        OURS[..2].iter().map(|ours| format!("<th class=\"num\">{}</th>", escape(&function_name(ours)))).collect();
    format!("<p>Time of one thread over that of two:</p>\n{}", table(&format!("<th>Shape</th>{heads}"), &rows))
}

fn torch_section(results: &Results) -> String {
    let heading = "<h3 id=\"torch\">The same step in PyTorch</h3>\n";
    let Some(torch) = &results.torch else {
        return format!(
            "{heading}<p class=\"soft\">Not given; where PyTorch is installed, this measures it: \
             <code>python3 benches/torch_step.py > torch.json</code>, and <code>--torch torch.json</code> shows it.</p>\n"
        );
    };
    const FORMS: [&str; 3] = ["in-place", "autograd", "compile"];
    let mut keys: Vec<(u32, &str)> = torch.results.iter().map(|step| (step.threads, step.shape.as_str())).collect();
    keys.sort_unstable();
    keys.dedup();
    let rows: String =
        keys.into_iter()
            .map(|(threads, shape)| {
                let forms: String = FORMS
                    .iter()
                    .map(|form| {
                        let step = torch.results.iter().find(|step| {
                            (step.threads, step.shape.as_str(), step.form.as_str()) == (threads, shape, form)
                        });
                        step.map_or_else(
                            || "<td class=\"num\">—</td>".to_owned(),
                            |step| {
                                let ends = step.interval_seconds.map(|end| 1e9 * end);
                                format!(
                                    "<td class=\"num\">{}{}</td>",
                                    time_text(1e9 * step.median_seconds),
                                    interval(ends, time_text)
                                )
                            },
                        )
                    })
                    .collect();
                let group = format!("step_{threads}t");
                let ours: String = OURS[..2]
                    .iter()
                    .map(|ours| ratio_cell(torch_ratio(results, &group, ours, shape, threads), 1.0))
                    .collect();
                format!(
                    "<tr><td class=\"word\">{}</td><td class=\"num\">{threads}</td>{forms}{ours}</tr>\n",
                    escape(&shape_name(shape))
                )
            })
            .collect();
    let forms: String = FORMS.iter().map(|form| format!("<th class=\"num\">{form}</th>")).collect();
    let ours: String = OURS[..2]
        .iter()
        .map(|ours| format!("<th class=\"num\">best form<small>over {}</small></th>", escape(&function_name(ours))))
        .collect();
    format!(
        "{heading}<p>Median times of PyTorch {}, and the fastest form's over ours. It drew a fresh batch in every step, as ours \
         does. Measured {}, {}, {}, Python {}.</p>\n{}",
        escape(&torch.torch),
        escape(&torch.date),
        escape(&torch.cpu),
        escape(&torch.capability),
        escape(&torch.python),
        table(&format!("<th>Shape</th><th class=\"num\">Threads</th>{forms}{ours}"), &rows)
    )
}

fn machine_table(bench: &Bench) -> String {
    let facts: String = bench
        .machine
        .facts
        .iter()
        .map(|(name, value)| format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value)))
        .collect();
    let packages: String = bench
        .packages
        .iter()
        .map(|package| {
            format!(
                "<tr><td class=\"word\">{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(&package.name),
                escape(&package.version),
                escape(&package.features)
            )
        })
        .collect();
    format!(
        "<h3>The machine that made this report</h3>\n{}<h3>Versions</h3>\n<p>As this program was built with them; the peers \
         stand beside the benchmarks in the same lock file.</p>\n{}",
        table("<th>What</th><th>Value</th>", &facts),
        table("<th>Package</th><th>Version</th><th>Features</th>", &packages)
    )
}
