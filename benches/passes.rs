//! What does fusing the passes gain? Groups `forward_1t` and `backward_1t`: ours on every instruction set, and `dense`, the
//! same result from `matrixmultiply` products with the pre-activations stored.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use feature_contamination_benches::{SHAPES, executors, numbers};
use feature_contamination_kernels::{Activation, Mask, MatMut, MatRef, Workspace};

fn forward_1t(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward_1t");
    for (n, d0, m) in SHAPES {
        let name = format!("{n}x{d0}x{m}");
        let (x, v, a, mut h) = (numbers(n * d0), numbers(m * d0), numbers(m), vec![0.0f32; n]);
        group.throughput(Throughput::Elements(2 * (n * d0 * m) as u64));
        for (id, executor) in executors() {
            let (mut mask, mut workspace) = (Mask::new(n, m), Workspace::new());
            group.bench_function(BenchmarkId::new(id, &name), |bencher| {
                bencher.iter(|| {
                    let x = MatRef::from_row_major(black_box(&x), n, d0).unwrap();
                    let v = MatRef::from_row_major(black_box(&v), m, d0).unwrap();
                    executor.forward(Activation::Relu, x, v, &a, &mut h, &mut mask, &mut workspace).unwrap();
                    black_box(&mut h);
                });
            });
        }
        let mut s = vec![0.0f32; n * m];
        let mut active = vec![0u8; n * m];
        group.bench_function(BenchmarkId::new("dense", &name), |bencher| {
            bencher.iter(|| {
                pre_activations(black_box(&x), black_box(&v), &mut s, (n, d0, m));
                for ((h, s), active) in h.iter_mut().zip(s.chunks_exact(m)).zip(active.chunks_exact_mut(m)) {
                    for (active, s) in active.iter_mut().zip(s) {
                        *active = u8::from(*s >= 0.0);
                    }
                    *h = s.iter().zip(&a).map(|(s, a)| a * s.max(0.0)).sum();
                }
                black_box((&mut h, &mut active));
            });
        });
    }
    group.finish();
}

fn backward_1t(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("backward_1t");
    for (n, d0, m) in SHAPES {
        for (active, part) in [(n, ""), (n / 10, "-10pct")] {
            let name = format!("{n}x{d0}x{m}{part}");
            let (x, v, a, mut h) = (numbers(n * d0), numbers(m * d0), numbers(m), vec![0.0f32; n]);
            let mut g = vec![0.0f32; m * d0];
            // Signs alternate, and the active examples are spread evenly.
            let signs: Vec<i8> = (0..n)
                .map(|i| match (i * active / n != (i + 1) * active / n, i % 2 == 0) {
                    (false, _) => 0,
                    (true, even) => {
                        if even {
                            1
                        } else {
                            -1
                        }
                    }
                })
                .collect();
            group.throughput(Throughput::Elements(2 * (n * d0 * m) as u64));
            for (id, executor) in executors() {
                let (mut mask, mut workspace) = (Mask::new(n, m), Workspace::new());
                let x = MatRef::from_row_major(&x, n, d0).unwrap();
                let v = MatRef::from_row_major(&v, m, d0).unwrap();
                executor.forward(Activation::Relu, x, v, &a, &mut h, &mut mask, &mut workspace).unwrap();
                group.bench_function(BenchmarkId::new(id, &name), |bencher| {
                    bencher.iter(|| {
                        let g = MatMut::from_row_major(black_box(&mut g), m, d0).unwrap();
                        executor.backward(black_box(x), &signs, &mask, g, &mut workspace).unwrap();
                    });
                });
            }
            if active < n {
                continue;
            }
            // The masked signs as a matrix, made anew every time as training must, then Gᵀ = Xᵀ B.
            let mut s = vec![0.0f32; n * m];
            pre_activations(&x, &v, &mut s, (n, d0, m));
            let mut b = vec![0.0f32; n * m];
            group.bench_function(BenchmarkId::new("dense", &name), |bencher| {
                bencher.iter(|| {
                    for ((b, s), &sign) in b.chunks_exact_mut(m).zip(black_box(&s).chunks_exact(m)).zip(&signs) {
                        for (b, s) in b.iter_mut().zip(s) {
                            *b = if *s >= 0.0 { f32::from(sign) } else { 0.0 };
                        }
                    }
                    let (bp, xp, gp) = (b.as_ptr(), x.as_ptr(), g.as_mut_ptr());
                    // SAFETY: b is [n × m], read transposed; x is [n × d0]; g is [m × d0]; all row-major.
                    unsafe {
                        matrixmultiply::sgemm(
                            m,
                            n,
                            d0,
                            1.0,
                            bp,
                            1,
                            m as isize,
                            xp,
                            d0 as isize,
                            1,
                            0.0,
                            gp,
                            d0 as isize,
                            1,
                        );
                    }
                    black_box(&mut g);
                });
            });
        }
    }
    group.finish();
}

/// `S = X Vᵀ`, `[n × m]`.
fn pre_activations(x: &[f32], v: &[f32], s: &mut [f32], (n, d0, m): (usize, usize, usize)) {
    assert!(x.len() == n * d0 && v.len() == m * d0 && s.len() == n * m);
    let stride = d0 as isize;
    // SAFETY: the lengths were checked above; v is read transposed.
    unsafe {
        matrixmultiply::sgemm(
            n,
            d0,
            m,
            1.0,
            x.as_ptr(),
            stride,
            1,
            v.as_ptr(),
            1,
            stride,
            0.0,
            s.as_mut_ptr(),
            m as isize,
            1,
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = forward_1t, backward_1t
}
fn main() {
    // SAFETY: no other thread has been started yet.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", "1") };
    benches();
    Criterion::default().configure_from_args().final_summary();
}
