//! A step of training allocates nothing once the first has been taken.

use feature_contamination::simulate::Training;
use feature_contamination::{Activation, Coordinates, Executor, Isa, Labels, RunSpec};
use feature_contamination_kernels::Blocking;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to `System`, under the caller's guarantees.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's guarantees are those `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's guarantees are those `System` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let base = RunSpec { batch: 150, learning_rate: 4.0, steps: 30, ..RunSpec::uniform(5, 4, 50, 9) };
    let specs = [
        RunSpec { activation: Activation::Relu, ..base.clone() },
        RunSpec { activation: Activation::Identity, ..base.clone() },
        RunSpec { labels: Labels::Shuffled, ..base.clone() },
        RunSpec { coordinates: Coordinates::Ambient, ..base },
    ];
    let executors = Executor::available().into_iter().flat_map(|executor| {
        // Every share worth a thread.
        let blocking = Blocking { share_ns: 0, ..executor.blocking() };
        [1, 2, 3].map(|threads| executor.with_blocking(blocking).with_threads(threads))
    });
    for executor in executors {
        for spec in &specs {
            // The portable product, which ambient coordinates need, is another crate's and allocates by itself.
            if executor.isa() == Isa::Portable && spec.coordinates == Coordinates::Ambient {
                continue;
            }
            let mut run = Training::<f32>::new(spec, executor).unwrap();
            let mut least = 1.0_f64;
            run.advance().unwrap();
            // Far enough for the hinge to gate, so that masks are compacted.
            let start = ALLOCATIONS.load(Ordering::Relaxed);
            for _ in 1..spec.steps {
                run.advance().unwrap();
                least = least.min(run.active_fraction().unwrap());
            }
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - start;
            let run = (executor.threads(), spec.activation, spec.labels, spec.coordinates);
            assert_eq!(allocations, 0, "{}: {run:?}", executor.isa());
            assert!(
                least < 1.0 || spec.labels == Labels::Shuffled,
                "the hinge must gate for the test to mean something"
            );
        }
    }
    println!("test steps_after_the_first_allocate_nothing ... ok");
}
