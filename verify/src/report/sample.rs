//! A report to test on, with all kinds of marks, axes and verdicts. Its numbers are made up.

use super::model::*;

fn axis(label: &str, log: bool, range: Option<[f64; 2]>) -> Axis {
    Axis { label: label.into(), log, range, names: Vec::new() }
}

fn series(name: &str, mark: Mark, color: usize, points: Vec<Point>) -> Series {
    Series { name: name.into(), mark, color, points }
}

fn curve(f: impl Fn(f64) -> f64, from: f64, to: f64, count: usize) -> Vec<Point> {
    let x = |i: usize| from * (to / from).powf(i as f64 / (count - 1) as f64);
    (0..count).map(|i| Point::at(x(i), f(x(i)))).collect()
}

fn with_error(points: Vec<Point>, relative: f64) -> Vec<Point> {
    points.into_iter().map(|p| Point { lo: p.y * (1.0 - relative), hi: p.y * (1.0 + relative), ..p }).collect()
}

/// A wave that stands for noise.
fn noise(i: usize) -> f64 {
    ((i * i * 31 + i * 17) % 97) as f64 / 97.0 - 0.5
}

fn check(quantity: &str, verdict: Verdict, measured: f64, half: f64, accept: [f64; 2], tolerate: [f64; 2]) -> Check {
    let interval = [measured - half, measured + half];
    Check {
        quantity: quantity.into(),
        source: "Paper: Thm 1 (activation asymmetry)".into(),
        verdict,
        measured,
        predicted: Some(measured * 1.01),
        interval,
        confidence: if half > 0.0 { 0.99 } else { 1.0 },
        accept,
        tolerate,
        margin: (interval[0] - accept[0]).min(accept[1] - interval[1]),
        reason: "An o(1) quantity must fall along the ladder: the upper limit of its exponent lies below 0.".into(),
    }
}

fn growth() -> Figure {
    let asymmetry = |y: &str, range| Panel {
        title: String::new(),
        x: axis("time ηt in units of m/(η√d)", true, None),
        y: axis(y, false, range),
        series: vec![],
    };
    let own = |t: f64| 0.5 + 0.5 * (t / (t + 2.0));
    let mut probabilities = asymmetry("activation probability", Some([0.0, 1.0]));
    probabilities.title = "Activation".into();
    probabilities.series = vec![
        series("p_own, median over neurons", Mark::Line, 0, curve(own, 0.1, 1000.0, 40)),
        series("p_oth, median over neurons", Mark::Line, 1, curve(|t| 1.05 - own(t), 0.1, 1000.0, 40)),
        series("balance law, root p = 0.0950", Mark::Dotted, 6, vec![Point::at(0.1, 0.095), Point::at(1000.0, 0.095)]),
    ];
    let mut features = asymmetry("Σ μ_j⟨w_k, m_j⟩", None);
    features.title = "Learned features".into();
    features.x.log = false;
    let quartiles = |k: f64| {
        curve(|t| k * t, 1.0, 1000.0, 40).into_iter().map(|p| Point { lo: 0.8 * p.y, hi: 1.25 * p.y, ..p }).collect()
    };
    features.series = vec![
        series("core, quartiles", Mark::Band, 0, quartiles(0.001)),
        series("background, quartiles", Mark::Band, 1, quartiles(0.0006)),
        series("core, median", Mark::Line, 0, curve(|t| 0.001 * t, 1.0, 1000.0, 40)),
        series("core, mean-field", Mark::Dashed, 0, curve(|t| 0.00103 * t, 1.0, 1000.0, 40)),
        series("background, median", Mark::Line, 1, curve(|t| 0.0006 * t, 1.0, 1000.0, 40)),
        series("background, mean-field", Mark::Dashed, 1, curve(|t| 0.00062 * t, 1.0, 1000.0, 40)),
    ];
    let mut risks = asymmetry("risk", None);
    risks.title = "Risks, in distribution and out of it".into();
    risks.y.log = true;
    risks.series = vec![
        series("R_ID", Mark::Line, 2, curve(|t| 1.0 / (1.0 + t * t), 0.1, 1000.0, 30)),
        series("R_OOD", Mark::Line, 3, curve(|t| 1.0 - 0.1 * t / (1.0 + t), 0.1, 1000.0, 30)),
        series("threshold", Mark::Dotted, 6, vec![Point::at(0.1, 0.5), Point::at(1000.0, 0.5)]),
    ];
    Figure {
        id: "growth-d064".into(),
        title: "Growth of core and background features at d0 = 64".into(),
        caption:
            "Left: own examples activate a neuron ever more, the others less, down to the balance law's p. Middle: \
                  both kinds of features grow, at the predicted rates. Right: R_ID vanishes, R_OOD does not."
                .into(),
        panels: vec![probabilities, features, risks],
    }
}

fn ladder() -> Figure {
    let rungs = |f: &dyn Fn(f64) -> f64| curve(f, 4096.0, 1_048_576.0, 5);
    Figure {
        id: "t0-against-d".into(),
        title: "T_0 against the ambient dimension, and with a title that is so long that it has to be broken into two \
                lines"
            .into(),
        caption: "Both axes logarithmic: the slope is −1/2.".into(),
        panels: vec![Panel {
            title: String::new(),
            x: axis("ambient dimension d", true, None),
            y: axis("T_0 in steps", true, None),
            series: vec![
                series(
                    "measured with 99 % interval over eight seeds and all neurons that win at initialisation, which is \
                     a very long name for a series but has to be readable in full all the same",
                    Mark::Points,
                    0,
                    with_error(rungs(&|d| 3000.0 / d.sqrt() * 12.0), 0.15),
                ),
                series("fit, slope −0.497", Mark::Line, 2, rungs(&|d| 3100.0 / d.sqrt() * 12.0)),
                series("τ(d0)·m/(η√d)", Mark::Dashed, 0, rungs(&|d| 2900.0 / d.sqrt() * 12.0)),
            ],
        }],
    }
}

fn plane() -> Figure {
    let neurons = |x: f64, y: f64| {
        (0..300).map(|i| Point::at(x + 0.4 * noise(i), y + 0.3 * noise(i * 7 + 3))).collect::<Vec<_>>()
    };
    let panel = |title: &str, shift: f64| Panel {
        title: title.into(),
        x: axis("core Σ μ_j v_kj", false, None),
        y: axis("background Σ μ_j v_kj", false, Some([-0.2, 1.0])),
        series: vec![
            series("a_k > 0", Mark::Cloud, 0, neurons(0.8, shift)),
            series("a_k < 0", Mark::Cloud, 1, neurons(-0.8, shift)),
            series("predicted constants of Thm 2", Mark::Points, 6, vec![Point::at(0.8, 0.6), Point::at(-0.8, 0.6)]),
        ],
    };
    Figure {
        id: "plane".into(),
        title: "Neurons in the (core, background) plane at T_1".into(),
        caption: "ReLU networks (left) take up the background; linear ones (right) do not. <script>alert(1)</script>"
            .into(),
        panels: vec![panel("ReLU", 0.6), panel("identity", 0.0)],
    }
}

fn palette() -> Figure {
    let lines = |log: bool, mark: Mark, from: usize| {
        (from..from + 7)
            .map(|i| {
                let points = curve(|x| (1.0 + i as f64) * x * if log { x } else { 1.0 }, 1.0, 20.0, 9);
                series(&format!("series {i}"), mark, i, with_error(points, 0.1))
            })
            .collect()
    };
    let panel = |log: bool, mark, from| Panel {
        title: format!("{mark:?}"),
        x: axis("x", log, None),
        y: axis("y", log, None),
        series: lines(log, mark, from),
    };
    Figure {
        id: "palette".into(),
        title: "All colours and marks".into(),
        caption: "Nothing to see but the palette.".into(),
        panels: vec![
            panel(false, Mark::Points, 0),
            panel(true, Mark::Line, 0),
            panel(true, Mark::Dashed, 0),
            panel(false, Mark::Dotted, 0),
            panel(true, Mark::Points, 7),
            panel(false, Mark::Cloud, 7),
        ],
    }
}

fn task(id: &str, border: &str) -> TaskSummary {
    TaskSummary {
        id: id.into(),
        ladder: "pixels".into(),
        kind: "digits".into(),
        parameters: serde_json::json!({ "border": border, "seed": 3 }),
    }
}

fn run(id: &str, d: u64) -> RunSummary {
    RunSummary {
        id: id.into(),
        ladder: "d".into(),
        seed: 11_400_714_819_323_198_485,
        d_core: 32,
        d_bg: 32,
        d,
        m: 256,
        activation: "relu".into(),
        batch: 4096,
        learning_rate: 0.05,
        weight_decay: 1.25e-5,
        steps: 20_000,
        eval_samples: 16_384,
        c: 8.0,
        b: 8.0,
    }
}

/// The report.
pub(super) fn report() -> Report {
    use Verdict::{Holds, Inconclusive, Violated};
    let infinite = f64::INFINITY;
    let mut frequent =
        check("fraction of neurons with p_own ≥ 0.99", Holds, 0.983, 0.006, [0.5, infinite], [0.5, infinite]);
    frequent.predicted = None;
    let asymmetry = vec![
        check("exponent of max p_oth on d0 from T_0 on", Holds, -0.482, 0.03, [-infinite, 0.0], [-infinite, -0.1]),
        frequent,
        check("exponent of T_0 on d", Holds, -0.497, 0.011, [-0.55, -0.45], [-0.5, -0.48]),
        check("max |v_kj| over its envelope", Holds, 0.87, 0.0, [0.0, 1.0], [0.0, 1.0]),
    ];
    let mut broken =
        check("R_OOD at T_2, smallest of the ladder", Inconclusive, 0.55, 0.08, [0.5, infinite], [0.5, infinite]);
    broken.source = "Derived: <b>balance law</b> & bounds".into();
    let mut lost = check(
        "accuracy that could not be measured",
        Inconclusive,
        f64::NAN,
        0.0,
        [-infinite, infinite],
        [-infinite, infinite],
    );
    (lost.predicted, lost.margin) = (None, f64::NEG_INFINITY);
    let linear = vec![check("max background |⟨w_k, m_j⟩|·√d", Violated, 12_345.6, 800.0, [0.0, 40.0], [0.0, 40.0])];
    let claim = |id: &str, title: &str, statement: &str, verdict, checks: Vec<Check>, figures| ClaimReport {
        id: id.into(),
        title: title.into(),
        source: "Paper: Thm 1 (activation asymmetry)".into(),
        statement: statement.into(),
        verdict,
        measured: checks[0].measured,
        predicted: checks[0].predicted,
        interval: checks[0].interval,
        margin: checks[0].margin,
        checks,
        assumptions: vec![
            Assumption { text: "balance condition: C = 8.000 ≥ B = 8.000".into(), met: true },
            Assumption { text: "d ≥ d0^2.5: 4096 < 32768".into(), met: verdict == Holds },
        ],
        runs: vec![run("3f9ac1d2", 4096), run("b77e01aa", 65_536), run("0c55d9fe", 1_048_576)],
        tasks: vec![task("5d01", "full"), task("77aa", "border")],
        figures,
    };
    let control = |id: &str, claim: &str, change: &str, verdict, checks| ControlReport {
        id: id.into(),
        claim: claim.into(),
        change: change.into(),
        expected: Violated,
        verdict,
        caught: verdict == Violated,
        checks,
    };
    let against =
        check("exponent of max p_oth on d0 from T_0 on", Violated, 0.012, 0.004, [-infinite, 0.0], [-infinite, 0.0]);
    Report {
        schema_version: SCHEMA_VERSION,
        profile: "quick".into(),
        seed: 2024,
        commit: "4f2a9c1e7b".into(),
        host: Host { cpu: "AMD EPYC 7763 <64-Core>".into(), isa: "avx2+fma".into(), threads: 2 },
        elapsed_seconds: 41.73,
        claims: vec![
            claim(
                "thm1",
                "Theorem 1: activation asymmetry",
                "There is T_0 = Θ̃(m/(η√d)) such that w.h.p. Θ(m) neurons have p_own = 1 − o(1) and p_oth = o(1) for all \
                 t ≥ T_0.",
                Holds,
                asymmetry,
                vec![growth(), ladder()],
            ),
            claim(
                "thm3",
                "Theorem 3: risks in distribution and out of it",
                "By T_2 = Θ̃(m/(η d0)): R_ID ≤ o(1), R_OOD = Θ(1).",
                Inconclusive,
                vec![broken, lost],
                vec![plane()],
            ),
            claim(
                "thm4",
                "Theorem 4: linear networks",
                "With the identity for ReLU, all else equal, at T_1: |⟨w_k, m_j⟩| ≤ Õ(1/√d) for every k and every j ∈ S_bg.",
                Violated,
                linear,
                vec![palette()],
            ),
        ],
        controls: vec![
            control("identity", "thm1", "identity activation in place of ReLU", Violated, vec![against]),
            control("ood_equals_id", "thm3", "OOD distribution equal to the ID one", Holds, vec![]),
        ],
        appendix: vec![Table {
            id: "coverage".into(),
            title: "Coverage".into(),
            caption: "How often an interval misses.".into(),
            command: "-- coverage".into(),
            commit: "4f2a9c1e7b".into(),
            columns: vec!["method".into(), "miss rate".into()],
            rows: vec![vec!["Student, \"exact\"".into(), "5.0e-2".into()], vec!["<none>".into(), "—".into()]],
        }],
    }
}
