use crate::support::{
    Guarded, LAYOUTS, Layout, Random, Scalar, compare, compare_exactly, for_each_isa, gamma_in, same_bits_on_threads,
};
use feature_contamination_kernels::{Blocking, Executor, MatMut, MatRef, Packing, Workspace, reference};

/// Every test once for each element type.
macro_rules! in_f32_and_f64 {
    ($($test:ident)*) => {
        mod f32 {
            $(
                #[test]
                fn $test() {
                    super::$test::<f32>();
                }
            )*
        }

        mod f64 {
            $(
                #[test]
                fn $test() {
                    super::$test::<f64>();
                }
            )*
        }
    };
}

in_f32_and_f64! {
    every_tile_edge_exactly
    every_tile_edge_in_every_layout_of_c
    depths_round_the_blocks
    tiny_blocks
    every_layout
    beyond_the_default_blocks
    stride_zero_repeats_a_row_or_column
    scales_of_zero_do_not_read
    sizes_of_zero
    non_finite_entries
    same_arguments_same_bits
    same_bits_however_packed
    panels_in_turn
}

struct Problem<T> {
    alpha: T,
    a: Guarded<T>,
    b: Guarded<T>,
    beta: T,
    c: Guarded<T>,
}

impl<T: Scalar> Problem<T> {
    fn new(
        (m, n, k): (usize, usize, usize),
        layouts: [Layout; 3],
        (alpha, beta): (f32, f32),
        mut entry: impl FnMut() -> T,
    ) -> Self {
        let (alpha, beta) = (T::from_f32(alpha), T::from_f32(beta));
        Self {
            alpha,
            a: Guarded::new(layouts[0], m, k, &mut entry),
            b: Guarded::new(layouts[1], k, n, &mut entry),
            beta,
            // A NaN in C must not show if beta = 0.
            c: Guarded::new(layouts[2], m, n, || if beta == T::ZERO { T::NAN } else { entry() }),
        }
    }

    fn run(&self, executor: Executor, ws: &mut Workspace) -> Vec<T> {
        let c = self.run_once(executor, ws);
        let bits = |c: &[T]| c.iter().map(|c| c.bits()).collect::<Vec<_>>();
        same_bits_on_threads(executor, &bits(&c), |executor, ws| bits(&self.run_once(executor, ws)));
        c
    }

    fn run_once(&self, executor: Executor, ws: &mut Workspace) -> Vec<T> {
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
            compare(&got, &want, &self.magnitude(), gamma_in::<T>(self.a.cols))
        };
        if let Err(message) = result {
            let (m, n, k) = (self.a.rows, self.b.cols, self.a.cols);
            panic!(
                "{} {:?} {m} x {n} x {k}, {:?} A B + {:?} C: {message}",
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
        let abs = |m: &Guarded<T>| m.entries().into_iter().map(abs_of).collect::<Vec<T>>();
        let (a, b, c) = (abs(&self.a), abs(&self.b), abs(&self.c));
        let a = MatRef::from_row_major(&a, self.a.rows, self.a.cols).unwrap();
        let b = MatRef::from_row_major(&b, self.b.rows, self.b.cols).unwrap();
        reference::gemm(abs_of(self.alpha), a, b, abs_of(self.beta), &c)
    }
}

fn abs_of<T: Scalar>(value: T) -> T {
    if value.into() < 0.0 { T::from(-1) * value } else { value }
}

const PACKINGS: [Packing; 4] = [Packing::Measured, Packing::Blocks, Packing::Panels, Packing::Never];

/// Every instruction set, with every way to pack.
fn for_each_plan(mut suite: impl FnMut(Executor) -> usize) {
    for_each_isa(|executor| {
        PACKINGS
            .into_iter()
            .map(|gemm_packing| suite(executor.with_blocking(Blocking { gemm_packing, ..executor.blocking() })))
            .sum()
    });
}

const ROWS: [Layout; 3] = [Layout::RowMajor; 3];

/// Block sizes so small that a few rows cross every edge.
fn tiny(executor: Executor, (gemm_mc, gemm_kc, gemm_nc): (usize, usize, usize)) -> Executor {
    executor.with_blocking(Blocking { gemm_mc, gemm_kc, gemm_nc, ..executor.blocking() })
}

/// Every m and n up to beyond the largest register tile (12 x 32) and, for the smaller ones, several tiles.
fn every_tile_edge_exactly<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(1), Workspace::new(), 0);
        for m in 1..=13 {
            for n in 1..=33 {
                for k in [0, 1, 2, 3, 5] {
                    for scales in [(1.0, 0.0), (2.0, -1.0)] {
                        cases += Problem::<T>::new((m, n, k), ROWS, scales, || random.integer())
                            .check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

fn every_tile_edge_in_every_layout_of_c<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(2), Workspace::new(), 0);
        for c in LAYOUTS {
            for m in 1..=33 {
                for n in [1, 2, 5, 6, 7, 12, 13, 16, 17, 31, 32, 33] {
                    let layouts = [Layout::RowMajor, Layout::RowMajor, c];
                    for scales in [(1.0, 0.0), (1.0, 1.0)] {
                        let problem = Problem::<T>::new((m, n, 4), layouts, scales, || random.integer());
                        cases += problem.check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

fn depths_round_the_blocks<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(3), Workspace::new(), 0);
        let kc = executor.blocking().gemm_kc;
        for k in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, kc - 1, kc, kc + 1, 2 * kc - 1, 2 * kc, 2 * kc + 1] {
            for scales in [(1.0, 0.0), (-0.5, 0.25)] {
                cases += Problem::<T>::new((13, 35, k), ROWS, scales, || random.real()).check(executor, &mut ws, false);
                cases +=
                    Problem::<T>::new((13, 35, k), ROWS, scales, || random.integer()).check(executor, &mut ws, true);
            }
        }
        cases
    });
}

fn tiny_blocks<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(4), Workspace::new(), 0);
        for blocks in [(1, 1, 1), (0, 0, 0), (12, 4, 32), (24, 3, 64), (7, 5, 1), (1, 8, 100)] {
            let executor = tiny(executor, blocks);
            for (m, n, k) in [(1, 1, 1), (12, 32, 4), (13, 33, 5), (24, 64, 8), (25, 65, 9), (11, 31, 3), (40, 70, 17)]
            {
                for scales in [(1.0, 0.0), (2.0, 1.0), (1.0, -2.0)] {
                    cases +=
                        Problem::<T>::new((m, n, k), ROWS, scales, || random.integer()).check(executor, &mut ws, true);
                    cases +=
                        Problem::<T>::new((m, n, k), ROWS, scales, || random.real()).check(executor, &mut ws, false);
                }
            }
        }
        cases
    });
}

fn every_layout<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(5), Workspace::new(), 0);
        let executor = tiny(executor, (24, 16, 64));
        for a in LAYOUTS {
            for b in LAYOUTS {
                for c in LAYOUTS {
                    for sizes in [(1, 1, 1), (1, 40, 17), (29, 1, 18), (29, 70, 1), (25, 67, 35)] {
                        for scales in [(1.0, 0.0), (0.5, 1.0), (-1.0, 0.5)] {
                            let problem = Problem::<T>::new(sizes, [a, b, c], scales, || random.integer());
                            cases += problem.check(executor, &mut ws, true);
                            let problem = Problem::<T>::new(sizes, [a, b, c], scales, || random.real());
                            cases += problem.check(executor, &mut ws, false);
                        }
                    }
                }
            }
        }
        cases
    });
}

fn beyond_the_default_blocks<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(6), Workspace::new(), 0);
        let Blocking { gemm_mc, gemm_kc, gemm_nc, .. } = executor.blocking();
        for (sizes, layouts) in [
            ((gemm_mc + 1, 37, gemm_kc + 3), ROWS),
            ((gemm_mc + 1, 37, gemm_kc + 3), [Layout::ColMajor; 3]),
            ((3, gemm_nc + 1, 5), ROWS),
            ((gemm_nc + 1, 3, 5), ROWS),
            ((200, 200, 200), [Layout::RowMajor, Layout::ColMajor, Layout::ColMajor]),
        ] {
            cases += Problem::<T>::new(sizes, layouts, (1.0, 0.5), || random.real()).check(executor, &mut ws, false);
            cases += Problem::<T>::new(sizes, layouts, (1.0, 0.0), || random.integer()).check(executor, &mut ws, true);
        }
        cases
    });
}

fn stride_zero_repeats_a_row_or_column<T: Scalar>() {
    for_each_plan(|executor| {
        let mut ws = Workspace::new();
        let row = [1, 2, 3].map(T::from);
        let a = MatRef::from_slice_with_strides(&row, 20, 3, 0, 1).unwrap();
        let b = MatRef::from_slice_with_strides(&row, 3, 40, 1, 0).unwrap();
        let mut c = [T::NAN; 800];
        executor.gemm(T::ONE, a, b, T::ZERO, MatMut::from_row_major(&mut c, 20, 40).unwrap(), &mut ws).unwrap();
        assert_eq!(c, [T::from(14); 800]);
        1
    });
}

fn scales_of_zero_do_not_read<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut ws, mut cases) = (Workspace::new(), 0);
        for layout in LAYOUTS {
            // alpha = 0: A and B play no role. k = 0: there are none.
            for (k, alpha) in [(5, 0.0), (0, 1.0), (0, 0.0)] {
                for beta in [0.0, 2.0] {
                    let mut problem = Problem::<T>::new((14, 34, k), [layout; 3], (alpha, beta), || T::NAN);
                    if beta != 0.0 {
                        problem.c = Guarded::new(layout, 14, 34, || T::from_f32(1.5));
                    }
                    assert_eq!(problem.run(executor, &mut ws), vec![T::from_f32(1.5 * beta); 14 * 34]);
                    cases += 1;
                }
            }
        }
        cases
    });
}

fn sizes_of_zero<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut ws, mut cases) = (Workspace::new(), 0);
        for layout in LAYOUTS {
            for sizes in [(0, 3, 4), (3, 0, 4), (0, 0, 0), (0, 3, 0)] {
                cases += Problem::<T>::new(sizes, [layout; 3], (1.0, 0.0), || T::ONE).check(executor, &mut ws, true);
            }
        }
        cases
    });
}

/// An infinity or a NaN reaches the entries it belongs to, and no others.
fn non_finite_entries<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(7), Workspace::new(), 0);
        let executor = tiny(executor, (12, 8, 32));
        for bad in [T::INFINITY, T::from(-1) * T::INFINITY, T::NAN] {
            for at in 0..13 {
                let mut problem = Problem::<T>::new((13, 33, 11), ROWS, (1.0, 1.0), || random.real());
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

/// What is packed changes no bit.
fn same_bits_however_packed<T: Scalar>() {
    for_each_isa(|executor| {
        let mut random = Random(9);
        let a_layouts = [Layout::RowMajor, Layout::ColMajor];
        for a in a_layouts {
            let layouts = [a, Layout::RowMajor, Layout::RowMajor];
            let problem = Problem::<T>::new((61, 147, 300), layouts, (0.7, 0.3), || random.real());
            let [first, rest @ ..] = PACKINGS.map(|gemm_packing| {
                let executor = executor.with_blocking(Blocking { gemm_packing, ..executor.blocking() });
                problem.run(executor, &mut Workspace::new()).into_iter().map(Scalar::bits).collect::<Vec<u64>>()
            });
            assert!(rest.iter().all(|bits| *bits == first));
        }
        a_layouts.len()
    });
}

/// Panels of rows that are copied while the panel before is in use: of all heights, over several blocks of steps, with more
/// and with fewer steps than there is time for.
fn panels_in_turn<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut ws, mut cases) = (Random(10), Workspace::new(), 0);
        for kc in [1, 7, 40, 512] {
            let executor = tiny(executor, (24, kc, 64));
            for a in [Layout::ColMajor, Layout::PaddedCols] {
                for m in [5, 6, 12, 13, 24, 31, 48] {
                    for (n, k) in [(3, 81), (16, 80), (40, 83), (64, 41)] {
                        let layouts = [a, Layout::RowMajor, Layout::RowMajor];
                        let problem = Problem::<T>::new((m, n, k), layouts, (1.0, 1.0), || random.integer());
                        cases += problem.check(executor, &mut ws, true);
                    }
                }
            }
        }
        cases
    });
}

/// Neither what the workspace holds nor where the operands lie changes a bit.
fn same_arguments_same_bits<T: Scalar>() {
    for_each_plan(|executor| {
        let (mut random, mut used) = (Random(8), Workspace::new());
        let problem = Problem::<T>::new((61, 47, 300), ROWS, (0.7, 0.3), || random.real());
        let first = problem.run(executor, &mut Workspace::new());
        Problem::<T>::new((100, 100, 400), ROWS, (1.0, 0.0), || T::NAN).run(executor, &mut used);
        for layouts in [ROWS, [Layout::PaddedRows; 3]] {
            let mut moved = Problem::<T>::new((61, 47, 300), layouts, (0.7, 0.3), || T::ZERO);
            for (to, from) in [(&mut moved.a, &problem.a), (&mut moved.b, &problem.b), (&mut moved.c, &problem.c)] {
                for i in 0..from.rows {
                    for j in 0..from.cols {
                        let place = to.place(i, j);
                        to.buffer[place] = from.buffer[from.place(i, j)];
                    }
                }
            }
            let again = moved.run(executor, &mut used);
            assert!(first.iter().zip(&again).all(|(a, b)| a.bits() == b.bits()));
        }
        1
    });
}
