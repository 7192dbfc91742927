//! The span of a dictionary, and coordinates in it.

use feature_contamination_kernels::{Executor, MatMut, MatRef, ShapeError, Workspace};

/// An orthonormal basis of a subspace of the inputs, `[rank × inputs]`, row-major.
#[derive(Clone, Debug)]
pub struct Basis {
    /// Number of inputs.
    pub inputs: usize,
    /// The vectors.
    pub rows: Vec<f64>,
}

impl Basis {
    /// A basis of the span of `rows`, `[any × inputs]`, by Gram and Schmidt's process, done twice over for
    /// orthogonality to rounding. Vectors that earlier ones give to 10⁻⁵ of their length add nothing.
    pub fn of(rows: &[f32], inputs: usize) -> Self {
        let mut basis = Self { inputs, rows: Vec::new() };
        for row in rows.chunks_exact(inputs.max(1)) {
            let mut rest: Vec<f64> = row.iter().map(|&x| x.into()).collect();
            let length = norm(&rest);
            for _ in 0..2 {
                for vector in basis.rows.chunks_exact(inputs) {
                    let part = dot(&rest, vector);
                    rest.iter_mut().zip(vector).for_each(|(r, v)| *r -= part * v);
                }
            }
            let left = norm(&rest);
            if left > 1e-5 * length {
                basis.rows.extend(rest.iter().map(|r| r / left));
            }
        }
        basis
    }

    /// Dimension of the span.
    pub fn rank(&self) -> usize {
        self.rows.len() / self.inputs.max(1)
    }

    /// Z = X Bᵀ, `[any × rank]`, for X = `x`, `[any × inputs]`; with X Bᵀ B to check it by.
    ///
    /// # Errors
    /// None that a caller can cause.
    fn project(&self, executor: Executor, x: &[f32]) -> Result<(Vec<f64>, Vec<f64>), ShapeError> {
        let (inputs, rank) = (self.inputs, self.rank());
        let n = x.len() / inputs.max(1);
        let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        let basis = MatRef::from_row_major(&self.rows, rank, inputs)?;
        let (mut z, mut back, mut workspace) = (vec![0.0; n * rank], vec![0.0; n * inputs], Workspace::new());
        let x = MatRef::from_row_major(&x, n, inputs)?;
        executor.gemm(1.0, x, basis.t(), 0.0, MatMut::from_row_major(&mut z, n, rank)?, &mut workspace)?;
        let z_view = MatRef::from_row_major(&z, n, rank)?;
        executor.gemm(1.0, z_view, basis, 0.0, MatMut::from_row_major(&mut back, n, inputs)?, &mut workspace)?;
        Ok((z, back))
    }

    /// X Bᵀ, `[any × rank]`: the part of X = `x`, `[any × inputs]`, that lies in the span.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn part(&self, executor: Executor, x: &[f32]) -> Result<Vec<f64>, ShapeError> {
        Ok(self.project(executor, x)?.0)
    }

    /// Z with X = Z B if every row of X = `x` lies in the span to rounding: no entry of x − z B beyond 8 ε ‖x‖, ε that
    /// of `f32`. A product x = z Q in single precision stays below that; what is left out then changes a
    /// pre-activation less than the rounding of the pre-activation itself.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn coordinates(&self, executor: Executor, x: &[f32]) -> Result<Option<Vec<f64>>, ShapeError> {
        let (z, back) = self.project(executor, x)?;
        let inputs = self.inputs.max(1);
        let inside = x.chunks_exact(inputs).zip(back.chunks_exact(inputs)).all(|(x, back)| {
            let length = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let allowed = 8.0 * f64::from(f32::EPSILON) * length;
            x.iter().zip(back).all(|(&x, back)| (f64::from(x) - back).abs() <= allowed)
        });
        Ok(inside.then_some(z))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dictionary::random_orthonormal;

    fn rows(rank: usize, inputs: usize) -> Vec<f32> {
        let columns = random_orthonormal(3, inputs, rank).unwrap();
        (0..rank).flat_map(|j| (0..inputs).map(move |i| (i, j))).map(|(i, j)| columns[i * rank + j] as f32).collect()
    }

    #[test]
    fn a_basis_is_orthonormal_and_drops_what_adds_nothing() {
        let mut q = rows(5, 40);
        let combined: Vec<f32> = (0..40).map(|i| q[i] + 2.0 * q[80 + i]).collect();
        q.extend(combined);
        q.extend([0.0; 40]);
        let basis = Basis::of(&q, 40);
        assert_eq!(basis.rank(), 5);
        for (i, a) in basis.rows.chunks_exact(40).enumerate() {
            for (j, b) in basis.rows.chunks_exact(40).enumerate() {
                assert!((dot(a, b) - if i == j { 1.0 } else { 0.0 }).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn what_lies_in_the_span_has_coordinates_and_nothing_else() {
        let executor = Executor::detect().unwrap();
        let q = rows(5, 40);
        let basis = Basis::of(&q, 40);
        let z: Vec<f32> = (0..35).map(|i| ((i * 7) % 11) as f32 / 11.0 - 0.4).collect();
        let mut x = vec![0.0f32; 7 * 40];
        for (x, z) in x.chunks_exact_mut(40).zip(z.chunks_exact(5)) {
            for (row, &z) in q.chunks_exact(40).zip(z) {
                x.iter_mut().zip(row).for_each(|(x, &q)| *x += z * q);
            }
        }
        let found = basis.coordinates(executor, &x).unwrap().unwrap();
        for (found, z) in found.iter().zip(&z) {
            assert!((found - f64::from(*z)).abs() < 1e-6);
        }
        x[100] += 1e-4;
        assert!(basis.coordinates(executor, &x).unwrap().is_none());
        assert_eq!(Basis::of(&rows(40, 40), 40).rank(), 40);
    }
}
