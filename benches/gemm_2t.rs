//! How fast are dense products on two threads? Group `gemm_f32_2t`: the shapes of `gemm_f32_1t` over 0.2 GFLOP, and the same peers
//! with their own threads.

use criterion::Criterion;
use products::{Shape, products};

mod products;

const SHAPES: [Shape; 5] = [
    (512, 512, 512, false),
    (4096, 1024, 64, false),
    (2048, 2048, 2048, false),
    (1024, 64, 4096, true),
    (4096, 128, 4096, true),
];

fn gemm_f32_2t(criterion: &mut Criterion) {
    products::<f32>(criterion, "gemm_f32_2t", 2, &SHAPES, matrixmultiply::sgemm);
}

fn main() {
    products::main(2, &[gemm_f32_2t]);
}
