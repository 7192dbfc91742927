//! A workspace that has seen a size makes the next call of that size free of allocation.

use feature_contamination_kernels::{Activation, Blocking, Executor, Isa, Mask, MatMut, MatRef, Workspace};
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
    let (n, m, d0) = (150, 70, 40);
    let x: Vec<f32> = (0..n * d0).map(|i| (i % 7) as f32 - 3.0).collect();
    let v: Vec<f32> = (0..m * d0).map(|i| (i % 5) as f32 - 2.0).collect();
    let s: Vec<i8> = (0..n).map(|i| (i % 3) as i8 - 1).collect();
    let a = vec![1.0; m];
    let (mut h, mut g, mut c) = (vec![0.0; n], vec![0.0; m * d0], vec![0.0; n * m]);
    let executors = Executor::available().into_iter().flat_map(|executor| {
        // Every share worth a thread.
        let blocking = Blocking { share_ns: 0, ..executor.blocking() };
        [1, 2, 3].map(|threads| executor.with_blocking(blocking).with_threads(threads))
    });
    for executor in executors {
        let (mut ws, mut mask) = (Workspace::new(), Mask::default());
        let mut before = usize::MAX;
        for call in 0..20 {
            let start = ALLOCATIONS.load(Ordering::Relaxed);
            let x = MatRef::from_row_major(&x, n, d0).unwrap();
            let v = MatRef::from_row_major(&v, m, d0).unwrap();
            executor.forward(Activation::Relu, x, v, &a, &mut h, &mut mask, &mut ws).unwrap();
            executor.backward(x, &s, &mask, MatMut::from_row_major(&mut g, m, d0).unwrap(), &mut ws).unwrap();
            // The portable product is `matrixmultiply`'s, which allocates by itself.
            if executor.isa() != Isa::Portable {
                let c = MatMut::from_slice_with_strides(&mut c[..2 * 35 * 40], 35, 40, 80, 2).unwrap();
                let a = MatRef::from_slice_with_strides(x.data(), 35, d0, d0, 1).unwrap();
                let b = MatRef::from_slice_with_strides(v.data(), d0, 40, 1, d0).unwrap();
                executor.gemm(1.0, a, b, 0.0, c, &mut ws).unwrap();
            }
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - start;
            let threads = executor.threads();
            assert_eq!(
                allocations == 0,
                call > 0,
                "{}, {threads} threads: {allocations} in call {call}",
                executor.isa()
            );
            before = before.min(ws.capacity_bytes());
            assert_eq!(before, ws.capacity_bytes());
        }
    }
    println!("test second_call_allocates_nothing ... ok");
}
