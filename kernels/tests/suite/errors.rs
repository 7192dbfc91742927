//! Arguments that do not fit: an error that names both shapes, and nothing written.

use crate::support::for_each_isa;
use feature_contamination_kernels::{Activation, Mask, MatMut, MatRef, ShapeError, Workspace};

const DATA: [f32; 64] = [1.0; 64];

fn matrix(rows: usize, cols: usize) -> MatRef<'static, f32> {
    MatRef::from_row_major(&DATA[..rows * cols], rows, cols).unwrap()
}

fn expect(result: Result<(), ShapeError>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "\"{message}\" lacks \"{part}\"");
    }
}

#[test]
fn gemm() {
    for_each_isa(|executor| {
        let mut ws = Workspace::new();
        let mut cases = 0;
        let mut check = |a, b, (rows, cols), parts: &[&str]| {
            let mut c = vec![7.0; rows * cols];
            let view = MatMut::from_row_major(&mut c, rows, cols).unwrap();
            expect(executor.gemm(1.0, a, b, 0.0, view, &mut ws), parts);
            assert!(c.iter().all(|&c| c == 7.0));
            cases += 1;
        };
        check(matrix(2, 3), matrix(4, 5), (2, 5), &["gemm", "a is 2 x 3", "b is 4 x 5"]);
        check(matrix(2, 3), matrix(3, 5), (3, 5), &["gemm", "a is 2 x 3", "c is 3 x 5"]);
        check(matrix(2, 3), matrix(3, 5), (2, 4), &["gemm", "b is 3 x 5", "c is 2 x 4"]);
        check(matrix(2, 3), matrix(3, 5), (5, 2), &["gemm", "c is 5 x 2"]);
        cases
    });
}

#[test]
fn forward() {
    for_each_isa(|executor| {
        let mut ws = Workspace::new();
        let mut cases = 0;
        let mut check = |x, v, m, n, parts: &[&str]| {
            let (mut h, mut mask) = (vec![7.0; n], Mask::new(3, 4));
            mask.set(1, 1, true);
            let before = mask.clone();
            expect(executor.forward(Activation::Relu, x, v, &DATA[..m], &mut h, &mut mask, &mut ws), parts);
            assert!(h.iter().all(|&h| h == 7.0) && mask == before);
            cases += 1;
        };
        check(matrix(5, 3), matrix(2, 4), 2, 5, &["forward", "x is 5 x 3", "v is 2 x 4"]);
        check(matrix(5, 3), matrix(2, 3), 3, 5, &["forward", "v is 2 x 3", "a has length 3"]);
        check(matrix(5, 3), matrix(2, 3), 2, 4, &["forward", "x is 5 x 3", "h has length 4"]);
        cases
    });
}

#[test]
fn backward() {
    for_each_isa(|executor| {
        let mut ws = Workspace::new();
        let mut cases = 0;
        let mut check = |s: &[i8], (samples, neurons), (rows, cols), parts: &[&str]| {
            let mut g = vec![7.0; rows * cols];
            let view = MatMut::from_row_major(&mut g, rows, cols).unwrap();
            expect(executor.backward(matrix(5, 3), s, &Mask::new(samples, neurons), view, &mut ws), parts);
            assert!(g.iter().all(|&g| g == 7.0));
            cases += 1;
        };
        let s = [1, -1, 0, 1, 1];
        check(&s[1..], (5, 2), (2, 3), &["backward", "x is 5 x 3", "s has length 4"]);
        check(&s, (6, 2), (2, 3), &["backward", "x is 5 x 3", "mask is 6 x 2"]);
        check(&s, (5, 2), (3, 3), &["backward", "mask is 5 x 2", "g is 3 x 3"]);
        check(&s, (5, 2), (2, 4), &["backward", "x is 5 x 3", "g is 2 x 4"]);
        check(&[1, -1, 0, 2, 1], (5, 2), (2, 3), &["s[3] is 2"]);
        check(&[1, -1, 0, 1, -128], (5, 2), (2, 3), &["s[4] is -128"]);
        cases
    });
}
