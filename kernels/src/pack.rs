//! Copies of matrix blocks in the order in which a register tile reads them.

use crate::arch::PackKernel;
use crate::{Element, MatRef};

/// Packs rows `row..row + rows` and columns `col..col + cols` of `a` as panels of `width` rows:
/// out\[panel\]\[col\]\[width\].
///
/// Rows that the last panel lacks are packed as 0. `out` holds ⌈rows / width⌉ · cols · width elements.
#[inline(always)]
pub(crate) fn pack_panels<T: Element, A: PackKernel<T>>(
    arch: A,
    a: MatRef<'_, T>,
    (row, rows): (usize, usize),
    (col, cols): (usize, usize),
    width: usize,
    out: &mut [T],
) {
    debug_assert!(row + rows <= a.rows() && col + cols <= a.cols());
    debug_assert_eq!(out.len(), rows.div_ceil(width) * cols * width);
    if cols == 0 {
        return;
    }
    let (row_stride, col_stride) = (a.row_stride(), a.col_stride());
    if row_stride == 1 && rows > width {
        pack_columns(arch, a, (row, rows), (col, cols), width, out);
        return;
    }
    for (panel, out) in out.chunks_exact_mut(cols * width).enumerate() {
        let first = row + panel * width;
        let height = width.min(row + rows - first);
        let data = &a.data()[first * row_stride + col * col_stride..];
        if row_stride == 1 {
            for (j, out) in out.chunks_exact_mut(width).enumerate() {
                let column = &data[j * col_stride..];
                if height == width {
                    out.copy_from_slice(&column[..width]);
                } else {
                    out[..height].copy_from_slice(&column[..height]);
                    out[height..].fill(T::ZERO);
                }
            }
        } else if col_stride == 1 {
            pack_rows(arch, data, row_stride, (height, cols), width, out);
        } else {
            if height < width {
                out.fill(T::ZERO);
            }
            for i in 0..height {
                for (j, out) in out[i..].iter_mut().step_by(width).enumerate() {
                    *out = data[i * row_stride + j * col_stride];
                }
            }
        }
    }
}

/// Panels of contiguous columns: a few columns at a time over all panels, so that what is read is read in long runs.
#[inline(always)]
fn pack_columns<T: Element, A: PackKernel<T>>(
    arch: A,
    a: MatRef<'_, T>,
    (row, rows): (usize, usize),
    (col, cols): (usize, usize),
    width: usize,
    out: &mut [T],
) {
    const COLUMNS: usize = 4;
    /// Columns between what is copied and what is asked for.
    const AHEAD: usize = 8;
    let (full, rest) = (rows / width, rows % width);
    for j in (0..cols).step_by(COLUMNS) {
        let columns = COLUMNS.min(cols - j);
        for panel in 0..full {
            for c in 0..columns {
                let from = &a.data()[row + panel * width + (col + j + c) * a.col_stride()..][..width];
                arch.prefetch(from.as_ptr().wrapping_add(AHEAD * a.col_stride()));
                out[(panel * cols + j + c) * width..][..width].copy_from_slice(from);
            }
        }
        if rest > 0 {
            for c in 0..columns {
                let from = &a.data()[row + full * width + (col + j + c) * a.col_stride()..][..rest];
                let out = &mut out[(full * cols + j + c) * width..][..width];
                out[..rest].copy_from_slice(from);
                out[rest..].fill(T::ZERO);
            }
        }
    }
}

/// One panel of `height` contiguous rows, filled up with 0 to `width`: by 8 rows, then by 6 or 4 or 1.
#[inline(always)]
fn pack_rows<T: Element, A: PackKernel<T>>(
    arch: A,
    a: &[T],
    row_stride: usize,
    (height, cols): (usize, usize),
    width: usize,
    out: &mut [T],
) {
    let mut i = 0;
    while i < height {
        let (a, out) = (&a[i * row_stride..], &mut out[i..]);
        i += match height - i {
            8.. => {
                arch.transpose::<8>(a, row_stride, cols, out, width);
                8
            }
            6.. => {
                arch.transpose::<6>(a, row_stride, cols, out, width);
                6
            }
            4.. => {
                arch.transpose::<4>(a, row_stride, cols, out, width);
                4
            }
            _ => {
                for (out, &value) in out.iter_mut().step_by(width).zip(&a[..cols]) {
                    *out = value;
                }
                1
            }
        };
    }
    if height < width {
        for out in out.chunks_exact_mut(width) {
            out[height..].fill(T::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Executor;
    use crate::arch::Algorithm;
    use crate::isa::Token;
    use std::fmt::Debug;
    use std::marker::PhantomData;

    /// Packs in every way and compares with the definition.
    struct Check<'a, T>(&'a mut usize, PhantomData<T>);

    impl<T: Element + From<i16> + Debug, A: PackKernel<T>> Algorithm<A> for Check<'_, T> {
        fn run(self, arch: A) {
            let data: Vec<T> = (0..2000).map(<T as From<i16>>::from).collect();
            for (row_stride, col_stride) in [(40, 1), (1, 40), (45, 2), (0, 1), (1, 0)] {
                for rows in 1..=20_usize {
                    for cols in [0, 1, 2, 4, 5, 8, 9, 15, 16] {
                        for width in [1, 2, 3, 4, 6, 8, 12, 16, 48] {
                            let ((row, col), panels) = ((2, 1), rows.div_ceil(width));
                            let a =
                                MatRef::from_slice_with_strides(&data, row + rows, col + cols, row_stride, col_stride)
                                    .unwrap();
                            let mut out = vec![<T as From<i16>>::from(-1); panels * cols * width];
                            pack_panels(arch, a, (row, rows), (col, cols), width, &mut out);
                            for (place, &out) in out.iter().enumerate() {
                                let (panel, j, i) = (place / (cols * width), place / width % cols, place % width);
                                let entry = a.get(row + panel * width + i, col + j);
                                let expected = if panel * width + i < rows { entry.unwrap() } else { T::ZERO };
                                assert_eq!(out, expected, "rows {rows} cols {cols} width {width}");
                                *self.0 += 1;
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn panels_hold_what_the_definition_says() {
        for executor in Executor::available() {
            let mut cases = 0;
            match executor.token() {
                Token::Portable(token) => {
                    token.run(Check::<f32>(&mut cases, PhantomData));
                    token.run(Check::<f64>(&mut cases, PhantomData));
                }
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(token) => {
                    token.run(Check::<f32>(&mut cases, PhantomData));
                    token.run(Check::<f64>(&mut cases, PhantomData));
                }
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(token) => {
                    token.run(Check::<f32>(&mut cases, PhantomData));
                    token.run(Check::<f64>(&mut cases, PhantomData));
                }
            }
            assert!(cases > 200_000, "{}: {cases} entries", executor.isa());
        }
    }
}
