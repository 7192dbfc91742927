//! Dense products beside their peers, for `gemm.rs` and `gemm_2t.rs`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use feature_contamination_benches::{executors, numbers};
use feature_contamination_kernels::{Element, MatMut, MatRef, Workspace};

/// `M`, `N`, `K`, and whether A is stored transposed.
pub type Shape = (usize, usize, usize, bool);

/// `matrixmultiply`'s product of an element type.
pub type Product<T> =
    unsafe fn(usize, usize, usize, T, *const T, isize, isize, *const T, isize, isize, T, *mut T, isize, isize);

/// A group of products on `threads` threads: ours on every instruction set, `matrixmultiply`, `faer`, and `gemm` with its feature
/// `x86-v4`. On how many threads `matrixmultiply` runs is [`main`]'s choice.
pub fn products<T: Element + From<f32> + faer::traits::ComplexField>(
    criterion: &mut Criterion,
    group: &str,
    threads: usize,
    shapes: &[Shape],
    matrixmultiply: Product<T>,
) {
    let mut group = criterion.benchmark_group(group);
    let (par, parallelism) = match threads {
        1 => (faer::Par::Seq, gemm::Parallelism::None),
        _ => (faer::Par::rayon(threads), gemm::Parallelism::Rayon(threads)),
    };
    let numbers = |len| numbers(len).into_iter().map(T::from).collect::<Vec<T>>();
    for &(m, n, k, transposed) in shapes {
        let name = format!("{m}x{n}x{k}{}", if transposed { "T" } else { "" });
        let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![T::ZERO; m * n]);
        let (a_rows, a_cols) = if transposed { (1, m) } else { (k, 1) };
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for (id, executor) in executors() {
            let (executor, mut workspace) = (executor.with_threads(threads), Workspace::new());
            group.bench_function(BenchmarkId::new(id, &name), |bencher| {
                bencher.iter(|| {
                    let a = MatRef::from_slice_with_strides(black_box(&a), m, k, a_rows, a_cols).unwrap();
                    let b = MatRef::from_row_major(black_box(&b), k, n).unwrap();
                    let c = MatMut::from_row_major(black_box(&mut c), m, n).unwrap();
                    executor.gemm(T::ONE, a, b, T::ZERO, c, &mut workspace).unwrap();
                });
            });
        }
        group.bench_function(BenchmarkId::new("matrixmultiply", &name), |bencher| {
            bencher.iter(|| {
                let (a, b, c) = (black_box(&a).as_ptr(), black_box(&b).as_ptr(), black_box(&mut c).as_mut_ptr());
                let (rsa, csa, n_stride) = (a_rows as isize, a_cols as isize, n as isize);
                // SAFETY: the three pointers are to slices of m·k, k·n and m·n elements, and the strides are theirs.
                unsafe { matrixmultiply(m, k, n, T::ONE, a, rsa, csa, b, n_stride, 1, T::ZERO, c, n_stride, 1) };
            });
        });
        group.bench_function(BenchmarkId::new("faer", &name), |bencher| {
            bencher.iter(|| {
                let a = black_box(&a);
                let a = match transposed {
                    true => faer::MatRef::from_column_major_slice(a, m, k),
                    false => faer::MatRef::from_row_major_slice(a, m, k),
                };
                let b = faer::MatRef::from_row_major_slice(black_box(&b), k, n);
                let c = faer::MatMut::from_row_major_slice_mut(black_box(&mut c), m, n);
                faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, T::ONE, par);
            });
        });
        group.bench_function(BenchmarkId::new("gemm-x86-v4", &name), |bencher| {
            bencher.iter(|| {
                let (a, b, c) = (black_box(&a).as_ptr(), black_box(&b).as_ptr(), black_box(&mut c).as_mut_ptr());
                let (rsa, csa, n_stride) = (a_rows as isize, a_cols as isize, n as isize);
                // SAFETY: the three pointers are to slices of m·k, k·n and m·n elements, and the strides, those of
                // columns before those of rows, are theirs.
                unsafe {
                    #[rustfmt::skip]
                    gemm::gemm(
                        m, n, k, c, 1, n_stride, false, a, csa, rsa, b, 1, n_stride, T::ZERO, T::ONE, false, false, false, parallelism,
                    );
                }
            });
        });
    }
    group.finish();
}

/// A whole benchmark program, in which `matrixmultiply` runs on `threads` threads.
pub fn main(threads: usize, targets: &[fn(&mut Criterion)]) {
    // SAFETY: no other thread has been started yet.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) };
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1200))
        .configure_from_args();
    targets.iter().for_each(|target| target(&mut criterion));
    criterion.final_summary();
}
