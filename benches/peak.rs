//! How fast can this core multiply and add at all? Group `peak_1t`: fused multiply-adds from registers alone, enough of
//! them side by side to hide their latency. What the other groups reach is a fraction of this.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// FMAs in a row, of which 12 depend on none of the others: 2 a cycle, 4 cycles of latency each.
const CHAINS: usize = 12;
const STEPS: usize = 10_000;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, STEPS};
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! peak {
        ($name:ident, $features:literal, $set:ident, $fma:ident) => {
            /// `CHAINS · STEPS` fused multiply-adds of whole registers.
            #[target_feature(enable = $features)]
            pub fn $name() {
                let (a, b) = ($set(black_box(0.5)), $set(black_box(0.25)));
                let mut sums = [$set(black_box(1.0)); CHAINS];
                for _ in 0..STEPS {
                    for sum in &mut sums {
                        *sum = $fma(*sum, a, b);
                    }
                }
                black_box(sums);
            }
        };
    }
    peak!(avx2_f32, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps);
    peak!(avx2_f64, "avx2,fma", _mm256_set1_pd, _mm256_fmadd_pd);
    peak!(avx512_f32, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps);
    peak!(avx512_f64, "avx512f", _mm512_set1_pd, _mm512_fmadd_pd);
}

fn peak_1t(criterion: &mut Criterion) {
    #[cfg(target_arch = "x86_64")]
    {
        use criterion::Throughput;
        use feature_contamination_benches::executors;
        use feature_contamination_kernels::Isa;

        let mut group = criterion.benchmark_group("peak_1t");
        for (_, executor) in executors() {
            let (kernels, register): ([unsafe fn(); 2], u64) = match executor.isa() {
                Isa::Portable => continue,
                Isa::Avx2 => ([x86::avx2_f32, x86::avx2_f64], 32),
                Isa::Avx512 => ([x86::avx512_f32, x86::avx512_f64], 64),
            };
            for ((kernel, name), size) in kernels.into_iter().zip(["f32", "f64"]).zip([4, 8]) {
                group.throughput(Throughput::Elements(2 * (CHAINS * STEPS) as u64 * register / size));
                group.bench_function(BenchmarkId::new(executor.isa().to_string(), name), |bencher| {
                    // SAFETY: the executor proves that the host runs its instruction set.
                    bencher.iter(|| unsafe { kernel() });
                });
            }
        }
        group.finish();
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (criterion, BenchmarkId::new("", ""), CHAINS, STEPS);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = peak_1t
}
criterion_main!(benches);
