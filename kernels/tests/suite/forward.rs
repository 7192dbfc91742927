use crate::support::{
    Guarded, LAYOUTS, Layout, Random, compare, compare_exactly, for_each_isa, gamma, same_bits_on_threads,
};
use feature_contamination_kernels::{Activation, Blocking, Executor, Mask, Workspace, reference};

struct Problem {
    act: Activation,
    x: Guarded,
    v: Guarded,
    a: Guarded,
}

/// Scratch that goes from case to case, so that each meets what others left.
#[derive(Default)]
struct Scratch {
    mask: Mask,
    ws: Workspace,
}

impl Problem {
    fn new(
        act: Activation,
        (n, m, d0): (usize, usize, usize),
        (x, v): (Layout, Layout),
        mut entry: impl FnMut() -> f32,
    ) -> Self {
        Self {
            act,
            x: Guarded::new(x, n, d0, &mut entry),
            v: Guarded::new(v, m, d0, &mut entry),
            a: Guarded::vector(m, &mut entry),
        }
    }

    fn run(&self, executor: Executor, scratch: &mut Scratch) -> Vec<f32> {
        let h = self.run_once(executor, &mut scratch.mask, &mut scratch.ws);
        let bits = |h: &[f32], mask: Mask| (h.iter().map(|h| h.to_bits()).collect::<Vec<_>>(), mask);
        same_bits_on_threads(executor, &bits(&h, scratch.mask.clone()), |executor, ws| {
            let mut mask = Mask::default();
            bits(&self.run_once(executor, &mut mask, ws), mask)
        });
        let (n, m) = (self.x.rows, self.v.rows);
        assert_eq!((scratch.mask.samples(), scratch.mask.neurons()), (n, m));
        assert_eq!(scratch.mask.words().len(), n.div_ceil(64) * m);
        if n % 64 != 0 {
            let last = &scratch.mask.words()[n / 64 * m..];
            assert!(last.iter().all(|word| word >> (n % 64) == 0), "bits past the last sample");
        }
        h
    }

    fn run_once(&self, executor: Executor, mask: &mut Mask, ws: &mut Workspace) -> Vec<f32> {
        let mut h = Guarded::vector(self.x.rows, || f32::NAN);
        let (x, v, a) = (self.x.view(), self.v.view(), self.a.slice());
        executor.forward(self.act, x, v, a, h.slice_mut(), mask, ws).unwrap();
        h.check_guards().unwrap();
        h.entries()
    }

    fn describe(&self, executor: Executor) -> String {
        let (n, m, d0) = (self.x.rows, self.v.rows, self.x.cols);
        format!("{} {:?} N {n} m {m} d0 {d0}", executor.isa(), self.act)
    }

    /// On data whose sums are exact: h and every bit, those of pre-activations that are 0 included.
    fn check_exactly(&self, executor: Executor, scratch: &mut Scratch) -> usize {
        let h = self.run(executor, scratch);
        let want = reference::forward(self.act, self.x.view(), self.v.view(), self.a.slice());
        if let Err(message) = compare_exactly(&h, &want.h) {
            panic!("{}: h {message}", self.describe(executor));
        }
        let m = self.v.rows;
        for (place, &active) in want.active.iter().enumerate() {
            let (i, k) = (place / m, place % m);
            assert_eq!(scratch.mask.get(i, k), active, "{}: bit ({i}, {k})", self.describe(executor));
        }
        1
    }

    /// h to rounding, and the bits of pre-activations that rounding cannot move across 0. Returns how many bits were
    /// left out.
    fn check(&self, executor: Executor, scratch: &mut Scratch) -> usize {
        let h = self.run(executor, scratch);
        let want = reference::forward(self.act, self.x.view(), self.v.view(), self.a.slice());
        let (n, m, d0) = (self.x.rows, self.v.rows, self.x.cols);
        let (x, v, a) = (self.x.entries(), self.v.entries(), self.a.entries());
        let (mut magnitude, mut left_out) = (vec![0.0; n], 0);
        for i in 0..n {
            for k in 0..m {
                let terms = x[i * d0..][..d0].iter().zip(&v[k * d0..][..d0]);
                let size: f64 = terms.map(|(x, v)| f64::from((x * v).abs())).sum();
                magnitude[i] += f64::from(a[k].abs()) * size;
                if self.act == Activation::Relu && want.pre_activations[i * m + k].abs() <= gamma(d0) * size {
                    left_out += 1;
                } else {
                    let active = scratch.mask.get(i, k);
                    assert_eq!(active, want.active[i * m + k], "{}: bit ({i}, {k})", self.describe(executor));
                }
            }
        }
        if let Err(message) = compare(&h, &want.h, &magnitude, gamma(d0 + m)) {
            panic!("{}: h {message}", self.describe(executor));
        }
        left_out
    }
}

const ROWS: (Layout, Layout) = (Layout::RowMajor, Layout::RowMajor);
const ACTIVATIONS: [Activation; 2] = [Activation::Relu, Activation::Identity];

fn tiny(v_bytes: usize) -> Blocking {
    Blocking { forward_v_bytes: v_bytes, ..Blocking::for_isa(feature_contamination_kernels::Isa::Portable) }
}

/// Every number of samples up to two of the largest tiles (48) and two words, every number of neurons up to two tiles
/// (8).
#[test]
fn every_tile_edge_exactly() {
    for_each_isa(|executor| {
        let (mut random, mut scratch, mut cases) = (Random(11), Scratch::default(), 0);
        for act in ACTIVATIONS {
            for n in 1..=130 {
                for m in 1..=17 {
                    let d0 = [1, 2, 3, 5][(n + m) % 4];
                    let problem = Problem::new(act, (n, m, d0), ROWS, || random.integer());
                    cases += problem.check_exactly(executor, &mut scratch);
                }
            }
        }
        cases
    });
}

/// Small integers make many a pre-activation 0, and those are active.
#[test]
fn zero_is_active() {
    for_each_isa(|executor| {
        let (mut random, mut scratch, mut zeros) = (Random(12), Scratch::default(), 0);
        let problem = Problem::new(Activation::Relu, (200, 50, 2), ROWS, || random.integer());
        problem.check_exactly(executor, &mut scratch);
        let want = reference::forward(problem.act, problem.x.view(), problem.v.view(), problem.a.slice());
        for (place, z) in want.pre_activations.iter().enumerate() {
            if *z == 0.0 {
                zeros += 1;
                assert!(scratch.mask.get(place / 50, place % 50));
            }
        }
        assert!(zeros > 100);
        // Negative zeros too, all through.
        let problem = Problem::new(Activation::Relu, (65, 9, 4), ROWS, || -0.0);
        problem.check_exactly(executor, &mut scratch);
        zeros
    });
}

#[test]
fn depths_and_layouts() {
    for_each_isa(|executor| {
        let (mut random, mut scratch, mut cases, mut left_out) = (Random(13), Scratch::default(), 0, 0);
        for act in ACTIVATIONS {
            for x in LAYOUTS {
                for v in LAYOUTS {
                    for (n, m, d0) in [(1, 1, 1), (67, 11, 7), (50, 8, 16), (48, 16, 17), (129, 5, 33), (47, 9, 64)] {
                        let problem = Problem::new(act, (n, m, d0), (x, v), || random.integer());
                        cases += problem.check_exactly(executor, &mut scratch);
                        let problem = Problem::new(act, (n, m, d0), (x, v), || random.real());
                        left_out += problem.check(executor, &mut scratch);
                        cases += 1;
                    }
                }
            }
        }
        assert!(left_out < cases, "{left_out} pre-activations too close to 0");
        cases
    });
}

#[test]
fn blocks_of_neurons() {
    for_each_isa(|executor| {
        let (mut random, mut scratch, mut cases) = (Random(14), Scratch::default(), 0);
        for v_bytes in [0, 4 * 5 * 8, 4 * 5 * 30] {
            let executor = executor.with_blocking(tiny(v_bytes));
            for m in [1, 7, 8, 9, 15, 16, 17, 31, 65] {
                let problem = Problem::new(Activation::Relu, (100, m, 5), ROWS, || random.integer());
                cases += problem.check_exactly(executor, &mut scratch);
                let problem = Problem::new(Activation::Relu, (100, m, 5), ROWS, || random.real());
                problem.check(executor, &mut scratch);
            }
        }
        cases
    });
}

/// Sizes as in training, and block sizes as they are by default.
#[test]
fn large() {
    for_each_isa(|executor| {
        let (mut random, mut scratch) = (Random(15), Scratch::default());
        for (n, m, d0) in [(300, 256, 64), (100, 600, 257)] {
            let problem = Problem::new(Activation::Relu, (n, m, d0), ROWS, || random.real());
            let left_out = problem.check(executor, &mut scratch);
            assert!(left_out < n * m / 1000, "{left_out} pre-activations too close to 0");
            let problem = Problem::new(Activation::Relu, (n, m, d0), ROWS, || random.integer());
            problem.check_exactly(executor, &mut scratch);
        }
        4
    });
}

#[test]
fn sizes_of_zero() {
    for_each_isa(|executor| {
        let (mut scratch, mut cases) = (Scratch::default(), 0);
        for act in ACTIVATIONS {
            for sizes in [(0, 3, 2), (3, 0, 2), (70, 5, 0), (0, 0, 0), (3, 0, 0)] {
                cases += Problem::new(act, sizes, ROWS, || 1.0).check_exactly(executor, &mut scratch);
            }
        }
        cases
    });
}

/// A sample that is not finite spoils its own h and bits, and no other's; so with a neuron.
#[test]
fn non_finite_entries() {
    for_each_isa(|executor| {
        let (mut random, mut scratch, mut cases) = (Random(16), Scratch::default(), 0);
        for act in ACTIVATIONS {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, 1, 47, 48, 63, 64, 69] {
                    // Positive entries: an infinite one makes no NaN.
                    let mut problem = Problem::new(act, (70, 13, 6), ROWS, || random.integer::<f32>().abs() + 1.0);
                    let (x, v) = (problem.x.place(at, at % 6), problem.v.place(at % 13, at % 6));
                    problem.x.buffer[x] = bad;
                    cases += problem.check_exactly(executor, &mut scratch);
                    problem.x.buffer[x] = 1.0;
                    problem.v.buffer[v] = bad;
                    cases += problem.check_exactly(executor, &mut scratch);
                }
            }
        }
        cases
    });
}

#[test]
fn same_arguments_same_bits() {
    for_each_isa(|executor| {
        let (mut random, mut used) = (Random(17), Scratch::default());
        let problem = Problem::new(Activation::Relu, (137, 77, 65), ROWS, || random.real());
        let mut fresh = Scratch::default();
        let first = problem.run(executor, &mut fresh);
        Problem::new(Activation::Relu, (500, 100, 100), ROWS, || f32::NAN).run(executor, &mut used);
        let again = problem.run(executor, &mut used);
        assert!(first.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(fresh.mask, used.mask);
        1
    });
}
