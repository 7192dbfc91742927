//! How fast are dense products? Group `gemm_f32_1t`: ours on every instruction set, `matrixmultiply`, `faer`, and `gemm`
//! with its feature `x86-v4`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use feature_contamination_benches::{executors, numbers};
use feature_contamination_kernels::{MatMut, MatRef, Workspace};

/// `M × N × K`; with `true`, A is stored transposed.
const SHAPES: [(usize, usize, usize, bool); 13] = [
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

fn gemm_f32_1t(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm_f32_1t");
    for (m, n, k, transposed) in SHAPES {
        let name = format!("{m}x{n}x{k}{}", if transposed { "T" } else { "" });
        let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0f32; m * n]);
        let (a_rows, a_cols) = if transposed { (1, m) } else { (k, 1) };
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for (id, executor) in executors() {
            let mut workspace = Workspace::new();
            group.bench_function(BenchmarkId::new(id, &name), |bencher| {
                bencher.iter(|| {
                    let a = MatRef::from_slice_with_strides(black_box(&a), m, k, a_rows, a_cols).unwrap();
                    let b = MatRef::from_row_major(black_box(&b), k, n).unwrap();
                    let c = MatMut::from_row_major(black_box(&mut c), m, n).unwrap();
                    executor.gemm(1.0, a, b, 0.0, c, &mut workspace).unwrap();
                });
            });
        }
        group.bench_function(BenchmarkId::new("matrixmultiply", &name), |bencher| {
            bencher.iter(|| {
                let (a, b, c) = (black_box(&a).as_ptr(), black_box(&b).as_ptr(), black_box(&mut c).as_mut_ptr());
                let (rsa, csa, n_stride) = (a_rows as isize, a_cols as isize, n as isize);
                // SAFETY: the three pointers are to slices of m·k, k·n and m·n elements, and the strides are theirs.
                unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, rsa, csa, b, n_stride, 1, 0.0, c, n_stride, 1) };
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
                faer::linalg::matmul::matmul(c, faer::Accum::Replace, a, b, 1.0, faer::Par::Seq);
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
                        m, n, k, c, 1, n_stride, false, a, csa, rsa, b, 1, n_stride, 0.0, 1.0, false, false, false, threads,
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
    targets = gemm_f32_1t
}
criterion_main!(benches);
