//! How long does drawing a batch take? Group `rng_1t`: ours on every instruction set; `scalar`, xoshiro256++ of
//! `rand_xoshiro` as one calls it; and `scalar-pairs`, the same by hand with two variates to a word.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use feature_contamination_benches::executors;
use feature_contamination_kernels::MatMut;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn rng_1t(criterion: &mut Criterion) {
    let (rows, cols) = (4096, 64);
    let mut out = vec![0.0f32; rows * cols];
    let mut group = criterion.benchmark_group("rng_1t");
    group.throughput(Throughput::Elements((rows * cols) as u64));
    for (id, executor) in executors() {
        group.bench_function(BenchmarkId::new(id, "4096x64"), |bencher| {
            bencher.iter(|| {
                let out = MatMut::from_row_major(black_box(&mut out), rows, cols).unwrap();
                executor.fill_uniform(black_box(1), (0.0, 1.0), None, out).unwrap();
            });
        });
    }
    group.bench_function(BenchmarkId::new("scalar", "4096x64"), |bencher| {
        bencher.iter(|| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(black_box(1));
            black_box(&mut out).fill_with(|| rng.random::<f32>());
        });
    });
    group.bench_function(BenchmarkId::new("scalar-pairs", "4096x64"), |bencher| {
        bencher.iter(|| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(black_box(1));
            let unit = |bits: u32| (bits >> 8) as f32 * (1.0 / (1u32 << 24) as f32);
            for pair in black_box(&mut out).as_chunks_mut::<2>().0 {
                let bits = rng.next_u64();
                *pair = [unit(bits as u32), unit((bits >> 32) as u32)];
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = rng_1t
}
criterion_main!(benches);
