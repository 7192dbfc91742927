//! How fast are dense products on one thread? Groups `gemm_f32_1t` and `gemm_f64_1t`: ours on every instruction set, `matrixmultiply`,
//! `faer`, and `gemm` with its feature `x86-v4`.

use criterion::Criterion;
use products::{Shape, products};

mod products;

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

fn gemm_f32_1t(criterion: &mut Criterion) {
    products::<f32>(criterion, "gemm_f32_1t", 1, &F32_SHAPES, matrixmultiply::sgemm);
}

fn gemm_f64_1t(criterion: &mut Criterion) {
    products::<f64>(criterion, "gemm_f64_1t", 1, &F64_SHAPES, matrixmultiply::dgemm);
}

fn main() {
    products::main(1, &[gemm_f32_1t, gemm_f64_1t]);
}
