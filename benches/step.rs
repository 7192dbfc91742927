//! How long does a step of training take, drawing its batch included? Groups `step_1t` and `step_2t`, on one thread and two.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use feature_contamination::RunSpec;
use feature_contamination::simulate::Training;
use feature_contamination_benches::{SHAPES, executors};

fn steps(criterion: &mut Criterion) {
    for (n, d0, m) in SHAPES {
        // Two threads right after one: a neighbour on the same host that comes or goes between them would spoil their ratio.
        for threads in [1, 2] {
            let mut group = criterion.benchmark_group(format!("step_{threads}t"));
            // So small a step that no example leaves the hinge's linear part while it is measured.
            let spec =
                RunSpec { batch: n, learning_rate: 1e-6, ..RunSpec::uniform(d0 / 2, d0 - d0 / 2, 4 * d0 as u64, m) };
            group.throughput(Throughput::Elements(4 * (n * d0 * m) as u64));
            for (id, executor) in executors() {
                let mut training = Training::<f32>::new(&spec, executor.with_threads(threads)).unwrap();
                group.bench_function(BenchmarkId::new(id, format!("{n}x{d0}x{m}")), |bencher| {
                    bencher.iter(|| training.advance().unwrap());
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1500));
    targets = steps
}
criterion_main!(benches);
