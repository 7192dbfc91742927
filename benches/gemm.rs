//! How fast are dense products? Groups `gemm_f32_1t` and `gemm_f64_1t`: ours on every instruction set, `matrixmultiply`, `faer`, and `gemm`
//! with its feature `x86-v4`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use feature_contamination_benches::{executors, numbers};
use feature_contamination_kernels::{Element, MatMut, MatRef, Workspace};

/// `M`, `N`, `K`, and whether A is stored transposed.
type Shape = (usize, usize, usize, bool);

const F32_SHAPES: [Shape; 13] = [
    (16, 16, 16, false),
    (32, 32, 32, false),
    (64, 64, 64, false),
    (128, 128, 128, false),
    (256, 256, 256, false),
    (512, 512, 512, false),
    (1024, 256, 64, false),
    (4096, 1024, 64, false),
    (1000, 256, 256, false),
    (2048, 2048, 2048, false),
    (256, 64, 4096, true),
    (1024, 64, 4096, true),
    (4096, 128, 4096, true),
];

const F64_SHAPES: [Shape; 5] = [
    (256, 256, 256, false),
    (1024, 1024, 1024, false),
    (4096, 64, 256, false),
    (4096, 64, 256, true),
    (256, 64, 4096, true),
];

/// `matrixmultiply`'s product of an element type.
type Product<T> =
    unsafe fn(usize, usize, usize, T, *const T, isize, isize, *const T, isize, isize, T, *mut T, isize, isize);

fn gemm_f32_1t(criterion: &mut Criterion) {
    products::<f32>(criterion, "gemm_f32_1t", &F32_SHAPES, matrixmultiply::sgemm);
}

fn gemm_f64_1t(criterion: &mut Criterion) {
    products::<f64>(criterion, "gemm_f64_1t", &F64_SHAPES, matrixmultiply::dgemm);
}

fn products<T: Element + From<f32> + faer::traits::ComplexField>(
    criterion: &mut Criterion,
    group: &str,
    shapes: &[Shape],
    matrixmultiply: Product<T>,
) {
    let mut group = criterion.benchmark_group(group);
    let numbers = |len| numbers(len).into_iter().map(T::from).collect::<Vec<T>>();
    for &(m, n, k, transposed) in shapes {
        let name = format!("{m}x{n}x{k}{}", if transposed { "T" } else { "" });
        let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![T::ZERO; m * n]);
        let (a_rows, a_cols) = if transposed { (1, m) } else { (k, 1) };
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for (id, executor) in executors() {
            let mut workspace = Workspace::new();
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
                faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, T::ONE, faer::Par::Seq);
            });
        });
        group.bench_function(BenchmarkId::new("gemm-x86-v4", &name), |bencher| {
            bencher.iter(|| {
                let (a, b, c) = (black_box(&a).as_ptr(), black_box(&b).as_ptr(), black_box(&mut c).as_mut_ptr());
                let (rsa, csa, n_stride) = (a_rows as isize, a_cols as isize, n as isize);
                let threads = gemm::Parallelism::None;
                // SAFETY: the three pointers are to slices of m·k, k·n and m·n elements, and the strides, those of
                // columns before those of rows, are theirs.
                unsafe {
                    #[rustfmt::skip]
                    gemm::gemm(
                        m, n, k, c, 1, n_stride, false, a, csa, rsa, b, 1, n_stride, T::ZERO, T::ONE, false, false, false, threads,
                    );
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = gemm_f32_1t, gemm_f64_1t
}
criterion_main!(benches);
