//! What the benchmarks share: data and executors.

use feature_contamination_kernels::{Executor, Isa};

/// The optimised instruction sets that this host runs, with the ids they have in the results.
pub fn executors() -> Vec<(&'static str, Executor)> {
    let id = |executor: Executor| match executor.isa() {
        Isa::Portable => None,
        Isa::Avx2 => Some(("ours-avx2", executor)),
        Isa::Avx512 => Some(("ours-avx512", executor)),
    };
    Executor::available().into_iter().filter_map(id).collect()
}

/// `len` numbers spread over `[−½, ½)`, the same ones every time (a Weyl sequence).
pub fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1u32 << 24) as f32 - 0.5).collect()
}

/// `N × d₀ × m` of the passes and the step, as the results name them.
pub const SHAPES: [(usize, usize, usize); 5] =
    [(2048, 32, 128), (2048, 64, 256), (2048, 128, 512), (1000, 256, 256), (4096, 64, 1024)];
