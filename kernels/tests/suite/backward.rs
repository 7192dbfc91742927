use crate::support::{
    Guarded, LAYOUTS, Layout, Random, compare, compare_exactly, for_each_isa, gamma, same_bits_on_threads,
};
use feature_contamination_kernels::{Activation, Blocking, Executor, Mask, Workspace, reference};

struct Problem {
    x: Guarded,
    s: Vec<i8>,
    mask: Mask,
    layout: Layout,
}

impl Problem {
    /// A random mask, and signs of which `percent` in 100 are not 0.
    fn new(
        (n, m, d0): (usize, usize, usize),
        (x, g): (Layout, Layout),
        percent: usize,
        random: &mut Random,
        mut entry: impl FnMut(&mut Random) -> f32,
    ) -> Self {
        let mut mask = Mask::new(n, m);
        for i in 0..n {
            for k in 0..m {
                mask.set(i, k, random.next() & 1 == 1);
            }
        }
        Self {
            x: Guarded::new(x, n, d0, || entry(random)),
            s: (0..n).map(|_| random.sign(percent)).collect(),
            mask,
            layout: g,
        }
    }

    fn run(&self, executor: Executor, ws: &mut Workspace) -> Vec<f32> {
        let g = self.run_once(executor, ws);
        let bits = |g: &[f32]| g.iter().map(|g| g.to_bits()).collect::<Vec<_>>();
        same_bits_on_threads(executor, &bits(&g), |executor, ws| bits(&self.run_once(executor, ws)));
        g
    }

    fn run_once(&self, executor: Executor, ws: &mut Workspace) -> Vec<f32> {
        let mut g = Guarded::new(self.layout, self.mask.neurons(), self.x.cols, || f32::NAN);
        executor.backward(self.x.view(), &self.s, &self.mask, g.view_mut(), ws).unwrap();
        g.check_guards().unwrap();
        g.entries()
    }

    fn active(&self) -> Vec<bool> {
        let m = self.mask.neurons();
        (0..self.x.rows).flat_map(|i| (0..m).map(move |k| self.mask.get(i, k))).collect()
    }

    fn check(&self, executor: Executor, ws: &mut Workspace, exact: bool) -> usize {
        let got = self.run(executor, ws);
        let (m, active) = (self.mask.neurons(), self.active());
        let want = reference::backward(self.x.view(), &self.s, &active, m);
        let result = if exact {
            compare_exactly(&got, &want)
        } else {
            let abs: Vec<f32> = self.x.entries().iter().map(|x| x.abs()).collect();
            let x = feature_contamination_kernels::MatRef::from_row_major(&abs, self.x.rows, self.x.cols).unwrap();
            let s: Vec<i8> = self.s.iter().map(|s| s.abs()).collect();
            let terms = s.iter().filter(|&&s| s != 0).count();
            compare(&got, &want, &reference::backward(x, &s, &active, m), gamma(terms))
        };
        if let Err(message) = result {
            let (n, d0) = (self.x.rows, self.x.cols);
            panic!("{} {:?} N {n} m {m} d0 {d0}: {message}", executor.isa(), executor.blocking());
        }
        1
    }
}

const ROWS: (Layout, Layout) = (Layout::RowMajor, Layout::RowMajor);

/// The executor with every group size, and with the one it chooses.
fn groups(executor: Executor) -> impl Iterator<Item = Executor> {
    (0..=7).map(move |backward_group| executor.with_blocking(Blocking { backward_group, ..executor.blocking() }))
}

#[test]
fn every_edge_exactly() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(21), Workspace::new(), 0);
        for executor in groups(executor) {
            for n in 1..=66 {
                let (m, d0) = (1 + n % 5, [1, 15, 16, 17, 33][n % 5]);
                for percent in [100, 50] {
                    let problem = Problem::new((n, m, d0), ROWS, percent, &mut random, Random::integer);
                    cases += problem.check(executor, &mut ws, true);
                }
            }
            for n in [126, 127, 128, 129, 191, 192, 193, 300] {
                for m in [1, 2, 7, 40] {
                    for percent in [100, 90, 10, 0] {
                        let problem = Problem::new((n, m, 18), ROWS, percent, &mut random, Random::integer);
                        cases += problem.check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

/// Every count of features up to three blocks of 16.
#[test]
fn every_feature_tail() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(22), Workspace::new(), 0);
        for d0 in 1..=49 {
            for g in LAYOUTS {
                let problem = Problem::new((70, 6, d0), (Layout::RowMajor, g), 80, &mut random, Random::integer);
                cases += problem.check(executor, &mut ws, true);
            }
        }
        cases
    });
}

#[test]
fn layouts_to_rounding() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(23), Workspace::new(), 0);
        for x in LAYOUTS {
            for g in LAYOUTS {
                for (n, m, d0) in [(1, 1, 1), (64, 3, 16), (65, 17, 31), (200, 90, 40)] {
                    for percent in [100, 60] {
                        let problem = Problem::new((n, m, d0), (x, g), percent, &mut random, |r| r.real());
                        cases += problem.check(executor, &mut ws, false);
                    }
                }
            }
        }
        cases
    });
}

/// Sizes as in training.
#[test]
fn large() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(24), Workspace::new(), 0);
        for (n, m, d0) in [(500, 64, 64), (300, 600, 33)] {
            for percent in [100, 30] {
                let problem = Problem::new((n, m, d0), ROWS, percent, &mut random, |r| r.real());
                cases += problem.check(executor, &mut ws, false);
                let problem = Problem::new((n, m, d0), ROWS, percent, &mut random, Random::integer);
                cases += problem.check(executor, &mut ws, true);
            }
        }
        cases
    });
}

/// The signs of long runs of samples 0, so that whole words drop out and words that are left share one.
#[test]
fn runs_of_inactive_samples() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(25), Workspace::new(), 0);
        for (start, end) in [(0, 64), (0, 63), (1, 64), (30, 250), (64, 128), (63, 129), (0, 299), (0, 300), (299, 300)]
        {
            let mut problem = Problem::new((300, 20, 20), ROWS, 100, &mut random, Random::integer);
            problem.s[start..end].fill(0);
            cases += problem.check(executor, &mut ws, true);
        }
        cases
    });
}

/// Passes over 1, 2 and all of the feature blocks.
#[test]
fn blocks_of_features() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(30), Workspace::new(), 0);
        for backward_sums_bytes in [0, 2 * 64 * 9, 1 << 20] {
            let executor = executor.with_blocking(Blocking { backward_sums_bytes, ..executor.blocking() });
            for d0 in [1, 16, 17, 32, 33, 48, 80, 81] {
                for x in LAYOUTS {
                    let problem = Problem::new((130, 9, d0), (x, x), 80, &mut random, Random::integer);
                    cases += problem.check(executor, &mut ws, true);
                }
            }
        }
        cases
    });
}

/// A sample that is not selected may hold anything.
#[test]
fn unselected_samples_are_not_added() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(26), Workspace::new(), 0);
        for executor in groups(executor) {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut problem = Problem::new((150, 12, 20), ROWS, 90, &mut random, Random::integer);
                for i in (0..150).step_by(7) {
                    for j in 0..20 {
                        let place = problem.x.place(i, j);
                        problem.x.buffer[place] = bad;
                    }
                    // By its sign, or by the bits of all but two neurons.
                    if i % 2 == 0 {
                        problem.s[i] = 0;
                    } else {
                        (0..12).for_each(|k| problem.mask.set(i, k, k == 3 || k == 5));
                    }
                }
                let got = problem.run(executor, &mut ws);
                assert!(got.chunks(20).enumerate().all(|(k, g)| k == 3 || k == 5 || g.iter().all(|g| g.is_finite())));
                cases += problem.check(executor, &mut ws, true);
            }
        }
        cases
    });
}

#[test]
fn sizes_of_zero() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(27), Workspace::new(), 0);
        for sizes in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)] {
            cases += Problem::new(sizes, ROWS, 100, &mut random, Random::integer).check(executor, &mut ws, true);
        }
        cases
    });
}

#[test]
fn same_arguments_same_bits() {
    for_each_isa(|executor| {
        let (mut random, mut used) = (Random(28), Workspace::new());
        let problem = Problem::new((333, 77, 65), ROWS, 70, &mut random, |r| r.real());
        let first = problem.run(executor, &mut Workspace::new());
        Problem::new((500, 100, 100), ROWS, 80, &mut random, |_| f32::NAN).run(executor, &mut used);
        let again = problem.run(executor, &mut used);
        assert!(first.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()));
        1
    });
}

/// The mask of a forward pass goes straight into the backward one: with exact data, G is the derivative of sum_i s_i
/// h_i / a_k.
#[test]
fn follows_forward() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(29), Workspace::new(), 0);
        for act in [Activation::Relu, Activation::Identity] {
            let (n, m, d0) = (150, 21, 19);
            let x = Guarded::new(Layout::RowMajor, n, d0, || random.integer());
            let v = Guarded::new(Layout::RowMajor, m, d0, || random.integer());
            let a: Vec<f32> = (0..m).map(|k| if k % 3 == 0 { 1.0 } else { -1.0 }).collect();
            let mut h = vec![0.0; n];
            let mut mask = Mask::default();
            executor.forward(act, x.view(), v.view(), &a, &mut h, &mut mask, &mut ws).unwrap();
            let s = (0..n).map(|_| random.sign(70)).collect();
            let problem = Problem { x, s, mask, layout: Layout::RowMajor };
            let active = reference::forward(act, problem.x.view(), v.view(), &a).active;
            let want = reference::backward(problem.x.view(), &problem.s, &active, m);
            compare_exactly(&problem.run(executor, &mut ws), &want).unwrap();
            cases += 1;
        }
        cases
    });
}

/// A mask that the identity's forward pass has filled takes a path of its own, one filled bit by bit does not, and one bit
/// less is noticed.
#[test]
fn a_full_mask() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(30), Workspace::new(), 0);
        for (n, m, d0) in [(1, 1, 1), (63, 2, 17), (64, 5, 16), (200, 33, 40), (70, 1, 9), (0, 3, 2)] {
            for x in LAYOUTS {
                for g in LAYOUTS {
                    let mut problem = Problem::new((n, m, d0), (x, g), 70, &mut random, Random::integer);
                    (0..n * m).for_each(|place| problem.mask.set(place / m, place % m, true));
                    cases += problem.check(executor, &mut ws, true);
                    let by_hand = problem.mask.clone();
                    let v = Guarded::new(Layout::RowMajor, m, d0, || random.integer());
                    let (a, mut h) = (vec![1.0; m], vec![0.0; n]);
                    let identity = Activation::Identity;
                    executor
                        .forward(identity, problem.x.view(), v.view(), &a, &mut h, &mut problem.mask, &mut ws)
                        .unwrap();
                    assert_eq!(by_hand, problem.mask);
                    cases += problem.check(executor, &mut ws, true);
                    let mut real = Problem::new((n, m, d0), (x, g), 70, &mut random, |r| r.real());
                    real.mask = problem.mask.clone();
                    cases += real.check(executor, &mut ws, false);
                    if n > 0 {
                        problem.mask.set(n - 1, m - 1, true);
                        cases += problem.check(executor, &mut ws, true);
                        problem.mask.set(n / 2, m / 2, false);
                        problem.s[n / 2] = 1;
                        cases += problem.check(executor, &mut ws, true);
                        problem.mask.set(n / 2, m / 2, true);
                        cases += problem.check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

/// A sample with s = 0 is not read, be it finite or not, when the mask is full.
#[test]
fn a_full_mask_does_not_read_what_has_no_sign() {
    for_each_isa(|executor| {
        let (mut random, mut ws) = (Random(31), Workspace::new());
        let mut problem = Problem::new((9, 3, 4), ROWS, 100, &mut random, Random::integer);
        let place = problem.x.place(5, 1);
        let (v, mut h) = (Guarded::new(Layout::RowMajor, 3, 4, || 1.0), [0.0; 9]);
        let mask = &mut problem.mask;
        executor.forward(Activation::Identity, problem.x.view(), v.view(), &[1.0; 3], &mut h, mask, &mut ws).unwrap();
        problem.x.buffer[place] = f32::NAN;
        problem.s[5] = 0;
        problem.check(executor, &mut ws, true)
    });
}
