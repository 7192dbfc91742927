use crate::support::{Guarded, LAYOUTS, Layout, Random, compare, compare_exactly, for_each_isa, gamma};
use feature_contamination_kernels::{Blocking, Executor, MatMut, MatRef, Workspace, reference};

struct Problem {
    alpha: f32,
    a: Guarded,
    b: Guarded,
    beta: f32,
    c: Guarded,
}

impl Problem {
    fn new(
        (m, n, k): (usize, usize, usize),
        layouts: [Layout; 3],
        (alpha, beta): (f32, f32),
        mut entry: impl FnMut() -> f32,
    ) -> Self {
        Self {
            alpha,
            a: Guarded::new(layouts[0], m, k, &mut entry),
            b: Guarded::new(layouts[1], k, n, &mut entry),
            beta,
            // A NaN in C must not show if beta = 0.
            c: Guarded::new(layouts[2], m, n, || if beta == 0.0 { f32::NAN } else { entry() }),
        }
    }

    fn run(&self, executor: Executor, ws: &mut Workspace) -> Vec<f32> {
        let mut c = self.c.clone();
        executor.gemm(self.alpha, self.a.view(), self.b.view(), self.beta, c.view_mut(), ws).unwrap();
        c.check_guards().unwrap();
        c.entries()
    }

    fn check(&self, executor: Executor, ws: &mut Workspace, exact: bool) -> usize {
        let got = self.run(executor, ws);
        let c = self.c.entries();
        let want = reference::gemm(self.alpha, self.a.view(), self.b.view(), self.beta, &c);
        let result = if exact {
            compare_exactly(&got, &want)
        } else {
            compare(&got, &want, &self.magnitude(), gamma(self.a.cols))
        };
        if let Err(message) = result {
            let (m, n, k) = (self.a.rows, self.b.cols, self.a.cols);
            panic!(
                "{} {:?} {m} x {n} x {k}, {} A B + {} C: {message}",
                executor.isa(),
                executor.blocking(),
                self.alpha,
                self.beta
            );
        }
        1
    }

    /// |alpha| |A| |B| + |beta| |C|.
    fn magnitude(&self) -> Vec<f64> {
        let abs = |m: &Guarded| m.entries().iter().map(|e| e.abs()).collect::<Vec<f32>>();
        let (a, b, c) = (abs(&self.a), abs(&self.b), abs(&self.c));
        let a = MatRef::from_row_major(&a, self.a.rows, self.a.cols).unwrap();
        let b = MatRef::from_row_major(&b, self.b.rows, self.b.cols).unwrap();
        reference::gemm(self.alpha.abs(), a, b, self.beta.abs(), &c)
    }
}

const ROWS: [Layout; 3] = [Layout::RowMajor; 3];

/// Block sizes so small that a few rows cross every edge.
fn tiny(mc: usize, kc: usize, nc: usize) -> Blocking {
    Blocking {
        gemm_mc: mc,
        gemm_kc: kc,
        gemm_nc: nc,
        ..Blocking::for_isa(feature_contamination_kernels::Isa::Portable)
    }
}

/// Every m and n up to beyond the largest register tile (12 x 32) and, for the smaller ones, several tiles.
#[test]
fn every_tile_edge_exactly() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(1), Workspace::new(), 0);
        for m in 1..=13 {
            for n in 1..=33 {
                for k in [0, 1, 2, 3, 5] {
                    for scales in [(1.0, 0.0), (2.0, -1.0)] {
                        cases +=
                            Problem::new((m, n, k), ROWS, scales, || random.integer()).check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

#[test]
fn every_tile_edge_in_every_layout_of_c() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(2), Workspace::new(), 0);
        for c in LAYOUTS {
            for m in 1..=33 {
                for n in [1, 2, 5, 6, 7, 12, 13, 16, 17, 31, 32, 33] {
                    let layouts = [Layout::RowMajor, Layout::RowMajor, c];
                    for scales in [(1.0, 0.0), (1.0, 1.0)] {
                        let problem = Problem::new((m, n, 4), layouts, scales, || random.integer());
                        cases += problem.check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

#[test]
fn depths_round_the_blocks() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(3), Workspace::new(), 0);
        let kc = executor.blocking().gemm_kc;
        for k in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, kc - 1, kc, kc + 1, 2 * kc - 1, 2 * kc, 2 * kc + 1] {
            for scales in [(1.0, 0.0), (-0.5, 0.25)] {
                cases += Problem::new((13, 35, k), ROWS, scales, || random.real()).check(executor, &mut ws, false);
                cases += Problem::new((13, 35, k), ROWS, scales, || random.integer()).check(executor, &mut ws, true);
            }
        }
        cases
    });
}

#[test]
fn tiny_blocks() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(4), Workspace::new(), 0);
        for blocking in [tiny(1, 1, 1), tiny(0, 0, 0), tiny(12, 4, 32), tiny(24, 3, 64), tiny(7, 5, 1), tiny(1, 8, 100)]
        {
            let executor = executor.with_blocking(blocking);
            for (m, n, k) in [(1, 1, 1), (12, 32, 4), (13, 33, 5), (24, 64, 8), (25, 65, 9), (11, 31, 3), (40, 70, 17)]
            {
                for scales in [(1.0, 0.0), (2.0, 1.0), (1.0, -2.0)] {
                    cases += Problem::new((m, n, k), ROWS, scales, || random.integer()).check(executor, &mut ws, true);
                    cases += Problem::new((m, n, k), ROWS, scales, || random.real()).check(executor, &mut ws, false);
                }
            }
        }
        cases
    });
}

#[test]
fn every_layout() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(5), Workspace::new(), 0);
        let executor = executor.with_blocking(tiny(24, 16, 64));
        for a in LAYOUTS {
            for b in LAYOUTS {
                for c in LAYOUTS {
                    for sizes in [(1, 1, 1), (1, 40, 17), (29, 1, 18), (29, 70, 1), (25, 67, 35)] {
                        for scales in [(1.0, 0.0), (0.5, 1.0), (-1.0, 0.5)] {
                            let problem = Problem::new(sizes, [a, b, c], scales, || random.integer());
                            cases += problem.check(executor, &mut ws, true);
                            let problem = Problem::new(sizes, [a, b, c], scales, || random.real());
                            cases += problem.check(executor, &mut ws, false);
                        }
                    }
                }
            }
        }
        cases
    });
}

#[test]
fn beyond_the_default_blocks() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(6), Workspace::new(), 0);
        let Blocking { gemm_mc, gemm_kc, gemm_nc, .. } = executor.blocking();
        for (sizes, layouts) in [
            ((gemm_mc + 1, 37, gemm_kc + 3), ROWS),
            ((gemm_mc + 1, 37, gemm_kc + 3), [Layout::ColMajor; 3]),
            ((3, gemm_nc + 1, 5), ROWS),
            ((gemm_nc + 1, 3, 5), ROWS),
            ((200, 200, 200), [Layout::RowMajor, Layout::ColMajor, Layout::ColMajor]),
        ] {
            cases += Problem::new(sizes, layouts, (1.0, 0.5), || random.real()).check(executor, &mut ws, false);
            cases += Problem::new(sizes, layouts, (1.0, 0.0), || random.integer()).check(executor, &mut ws, true);
        }
        cases
    });
}

#[test]
fn stride_zero_repeats_a_row_or_column() {
    for_each_isa(|executor| {
        let mut ws = Workspace::new();
        let row = [1.0, 2.0, 3.0];
        let a = MatRef::from_slice_with_strides(&row, 20, 3, 0, 1).unwrap();
        let b = MatRef::from_slice_with_strides(&row, 3, 40, 1, 0).unwrap();
        let mut c = [f32::NAN; 800];
        executor.gemm(1.0, a, b, 0.0, MatMut::from_row_major(&mut c, 20, 40).unwrap(), &mut ws).unwrap();
        assert_eq!(c, [14.0; 800]);
        1
    });
}

#[test]
fn scales_of_zero_do_not_read() {
    for_each_isa(|executor| {
        let (mut ws, mut cases) = (Workspace::new(), 0);
        for layout in LAYOUTS {
            // alpha = 0: A and B play no role. k = 0: there are none.
            for (k, alpha) in [(5, 0.0), (0, 1.0), (0, 0.0)] {
                for beta in [0.0, 2.0] {
                    let mut problem = Problem::new((14, 34, k), [layout; 3], (alpha, beta), || f32::NAN);
                    if beta != 0.0 {
                        problem.c = Guarded::new(layout, 14, 34, || 1.5);
                    }
                    assert_eq!(problem.run(executor, &mut ws), vec![1.5 * beta; 14 * 34]);
                    cases += 1;
                }
            }
        }
        cases
    });
}

#[test]
fn sizes_of_zero() {
    for_each_isa(|executor| {
        let (mut ws, mut cases) = (Workspace::new(), 0);
        for layout in LAYOUTS {
            for sizes in [(0, 3, 4), (3, 0, 4), (0, 0, 0), (0, 3, 0)] {
                cases += Problem::new(sizes, [layout; 3], (1.0, 0.0), || 1.0).check(executor, &mut ws, true);
            }
        }
        cases
    });
}

/// An infinity or a NaN reaches the entries it belongs to, and no others.
#[test]
fn non_finite_entries() {
    for_each_isa(|executor| {
        let (mut random, mut ws, mut cases) = (Random(7), Workspace::new(), 0);
        let executor = executor.with_blocking(tiny(12, 8, 32));
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for at in 0..13 {
                let mut problem = Problem::new((13, 33, 11), ROWS, (1.0, 1.0), || random.real());
                let (a, b, c) =
                    (problem.a.place(at, at % 11), problem.b.place(at % 11, 2 * at), problem.c.place(at, 7));
                match at % 3 {
                    0 => problem.a.buffer[a] = bad,
                    1 => problem.b.buffer[b] = bad,
                    _ => problem.c.buffer[c] = bad,
                }
                cases += problem.check(executor, &mut ws, false);
            }
        }
        cases
    });
}

/// Neither what the workspace holds nor where the operands lie changes a bit.
#[test]
fn same_arguments_same_bits() {
    for_each_isa(|executor| {
        let (mut random, mut used) = (Random(8), Workspace::new());
        let problem = Problem::new((61, 47, 300), ROWS, (0.7, 0.3), || random.real());
        let first = problem.run(executor, &mut Workspace::new());
        Problem::new((100, 100, 400), ROWS, (1.0, 0.0), || f32::NAN).run(executor, &mut used);
        for layouts in [ROWS, [Layout::PaddedRows; 3]] {
            let mut moved = Problem::new((61, 47, 300), layouts, (0.7, 0.3), || 0.0);
            for (to, from) in [(&mut moved.a, &problem.a), (&mut moved.b, &problem.b), (&mut moved.c, &problem.c)] {
                for i in 0..from.rows {
                    for j in 0..from.cols {
                        let place = to.place(i, j);
                        to.buffer[place] = from.buffer[from.place(i, j)];
                    }
                }
            }
            let again = moved.run(executor, &mut used);
            assert!(first.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
        1
    });
}
