//! Borrowed matrices with any non-negative strides.

use crate::ShapeError;
use crate::error::Operand;
use std::marker::PhantomData;

/// A matrix one reads: entry (i, j) is `data[i * row_stride + j * col_stride]`.
///
/// Strides count elements. They may be 0 (the same row or column again) and may overlap; all that is checked, at
/// construction, is that every entry lies in the slice.
#[derive(Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

// Not derived: a view is copied whatever its elements are.
impl<T> Clone for MatRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MatRef<'_, T> {}

/// A matrix one writes: entry (i, j) is `data[i * row_stride + j * col_stride]`, and no two entries share a place.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// Checks that every entry lies in a slice of `len` elements.
fn check_bounds(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<(), ShapeError> {
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let last = (rows - 1)
        .checked_mul(row_stride)
        .zip((cols - 1).checked_mul(col_stride))
        .and_then(|(down, right)| down.checked_add(right));
    match last {
        Some(last) if last < len => Ok(()),
        _ => Err(ShapeError::OutOfBounds { rows, cols, row_stride, col_stride, len }),
    }
}

fn check_row_major(len: usize, rows: usize, cols: usize) -> Result<(), ShapeError> {
    if rows.checked_mul(cols) == Some(len) { Ok(()) } else { Err(ShapeError::Length { rows, cols, len }) }
}

/// Whether two entries have one place: i r + j c = i' r + j' c for some (i, j) ≠ (i', j').
///
/// With g = gcd(r, c), the smallest step down that a step to the right undoes is c/g rows against r/g columns, so
/// entries coincide if and only if both fit into the matrix.
fn aliases(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    if rows == 0 || cols == 0 {
        return false;
    }
    if rows == 1 || cols == 1 {
        return (rows > 1 && row_stride == 0) || (cols > 1 && col_stride == 0);
    }
    if row_stride == 0 || col_stride == 0 {
        return true;
    }
    let g = gcd(row_stride, col_stride);
    col_stride / g < rows && row_stride / g < cols
}

impl<'a, T> MatRef<'a, T> {
    /// Row-major `rows` × `cols` matrix that fills `data` exactly.
    ///
    /// # Errors
    /// [`ShapeError::Length`] if `data` has another number of elements.
    pub fn from_row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        check_row_major(data.len(), rows, cols)?;
        Ok(Self { data, rows, cols, row_stride: cols, col_stride: 1 })
    }

    /// Matrix with the given strides, in elements.
    ///
    /// # Errors
    /// [`ShapeError::OutOfBounds`] if an entry would lie outside `data`.
    pub fn from_slice_with_strides(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, ShapeError> {
        check_bounds(data.len(), rows, cols, row_stride, col_stride)?;
        Ok(Self { data, rows, cols, row_stride, col_stride })
    }

    /// The transpose, over the same elements.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The elements the view was made from; entry (i, j) is at `i * row_stride + j * col_stride`.
    #[must_use]
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Rows `first` to `first + rows`, which the matrix has.
    pub(crate) fn row_range(self, first: usize, rows: usize) -> Self {
        debug_assert!(first + rows <= self.rows);
        // A matrix without entries may have no elements either.
        let data = if self.is_empty() { self.data } else { &self.data[first * self.row_stride..] };
        Self { data, rows, ..self }
    }
}

/// A block of a matrix, to write. Blocks of the same matrix that have no entry in common may be written at the same time,
/// though their entries lie between one another's.
#[derive(Debug)]
pub(crate) struct BlockMut<'a, T> {
    /// Entry (0, 0); entry (i, j) is `i * row_stride + j * col_stride` after it.
    start: *mut T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: a block is a mutable borrow of its entries, which no other block of the matrix has.
unsafe impl<T: Send> Send for BlockMut<'_, T> {}

impl<T: Copy> BlockMut<'_, T> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The `width` columns from `j` on, or `None` if they are not contiguous.
    pub(crate) fn columns(&mut self, j: usize, width: usize) -> Option<Columns<'_, T>> {
        assert!(width <= self.cols && j <= self.cols - width);
        let (rows, row_stride) = (self.rows, self.row_stride);
        let columns = Columns { start: self.start.wrapping_add(j), rows, width, row_stride, block: PhantomData };
        (self.col_stride == 1).then_some(columns)
    }

    /// Entries (i, j), (i, j + 1), … ← `values`.
    #[inline(always)]
    pub(crate) fn write(&mut self, i: usize, j: usize, values: &[T]) {
        assert!(i < self.rows && values.len() <= self.cols && j <= self.cols - values.len());
        let to = self.start.wrapping_add(i * self.row_stride + j * self.col_stride);
        // SAFETY: the assert puts the entries inside the block, so inside the matrix, whose constructor has checked that
        // each has its own place in the slice; that is borrowed as long as the block, and no other block has these
        // entries. `values` is borrowed, so none of them lies in it.
        unsafe {
            if self.col_stride == 1 {
                to.copy_from_nonoverlapping(values.as_ptr(), values.len());
            } else {
                for (j, &value) in values.iter().enumerate() {
                    to.wrapping_add(j * self.col_stride).write(value);
                }
            }
        }
    }
}

/// Some columns of a block, contiguous.
pub(crate) struct Columns<'a, T> {
    start: *mut T,
    rows: usize,
    width: usize,
    row_stride: usize,
    block: PhantomData<&'a mut [T]>,
}

impl<T> Columns<'_, T> {
    /// Entry (0, 0); entry (i, j) is `i * row_stride + j` after it and may be written, i < `rows`, j < `width`.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn row_stride(&self) -> usize {
        self.row_stride
    }
}

impl<T: Copy> MatRef<'_, T> {
    /// Entry (`row`, `col`), or `None` outside the matrix.
    #[must_use]
    pub fn get(&self, row: usize, col: usize) -> Option<T> {
        (row < self.rows && col < self.cols).then(|| self.data[row * self.row_stride + col * self.col_stride])
    }
}

impl<'a, T> MatMut<'a, T> {
    /// Row-major `rows` × `cols` matrix that fills `data` exactly.
    ///
    /// # Errors
    /// [`ShapeError::Length`] if `data` has another number of elements.
    pub fn from_row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self, ShapeError> {
        check_row_major(data.len(), rows, cols)?;
        Ok(Self { data, rows, cols, row_stride: cols, col_stride: 1 })
    }

    /// Matrix with the given strides, in elements.
    ///
    /// # Errors
    /// [`ShapeError::OutOfBounds`] if an entry would lie outside `data`, [`ShapeError::Aliasing`] if two entries would
    /// lie at one place.
    pub fn from_slice_with_strides(
        data: &'a mut [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, ShapeError> {
        check_bounds(data.len(), rows, cols, row_stride, col_stride)?;
        if aliases(rows, cols, row_stride, col_stride) {
            return Err(ShapeError::Aliasing { rows, cols, row_stride, col_stride });
        }
        Ok(Self { data, rows, cols, row_stride, col_stride })
    }

    /// The transpose, over the same elements.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The same matrix for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut {
            data: self.data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
        }
    }

    /// The same matrix to read.
    #[must_use]
    pub fn as_ref(&self) -> MatRef<'_, T> {
        MatRef {
            data: self.data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
        }
    }

    /// Whether all elements of a row come before those of the next.
    pub(crate) fn rows_lie_apart(&self) -> bool {
        self.rows <= 1 || self.is_empty() || (self.cols - 1) * self.col_stride < self.row_stride
    }

    /// The matrix in pieces of `rows` rows, the last one of those that are left. Rows lie apart.
    pub(crate) fn row_chunks(self, rows: usize) -> impl ExactSizeIterator<Item = Self> + use<'a, T> {
        debug_assert!(self.rows_lie_apart());
        let Self { data: mut rest, rows: all, cols, row_stride, col_stride } = self;
        (0..all.div_ceil(rows)).map(move |chunk| {
            let left = all - chunk * rows;
            // What follows the last entry of the last row is nobody's, and may be less than a stride.
            let len = if rows < left { rest.len().min(rows * row_stride) } else { rest.len() };
            let (data, others) = std::mem::take(&mut rest).split_at_mut(len);
            rest = others;
            Self { data, rows: rows.min(left), cols, row_stride, col_stride }
        })
    }

    /// The matrix in pieces of `rows` × `cols` entries, less at the end of a row or column of pieces, each with its first
    /// row and column; to write, by several threads at once.
    pub(crate) fn blocks(
        self,
        rows: usize,
        cols: usize,
    ) -> impl ExactSizeIterator<Item = (usize, usize, BlockMut<'a, T>)> + use<'a, T> {
        let whole = BlockMut {
            start: self.data.as_mut_ptr(),
            rows: self.rows,
            cols: self.cols,
            row_stride: self.row_stride,
            col_stride: self.col_stride,
            matrix: PhantomData,
        };
        let across = self.cols.div_ceil(cols);
        (0..self.rows.div_ceil(rows) * across).map(move |index| {
            let whole = &whole;
            let (i, j) = (index / across * rows, index % across * cols);
            let start = whole.start.wrapping_add(i * whole.row_stride + j * whole.col_stride);
            (i, j, BlockMut { start, rows: rows.min(whole.rows - i), cols: cols.min(whole.cols - j), ..*whole })
        })
    }

    /// The elements the view was made from; entry (i, j) is at `i * row_stride + j * col_stride`.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [T] {
        self.data
    }
}

macro_rules! accessors {
    ($view:ident) => {
        impl<T> $view<'_, T> {
            /// Number of rows.
            #[must_use]
            pub fn rows(&self) -> usize {
                self.rows
            }

            /// Number of columns.
            #[must_use]
            pub fn cols(&self) -> usize {
                self.cols
            }

            /// Elements from one row to the next.
            #[must_use]
            pub fn row_stride(&self) -> usize {
                self.row_stride
            }

            /// Elements from one column to the next.
            #[must_use]
            pub fn col_stride(&self) -> usize {
                self.col_stride
            }

            /// Whether there are no entries.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.rows == 0 || self.cols == 0
            }

            pub(crate) fn operand(&self, name: &'static str) -> Operand {
                Operand::matrix(name, self.rows, self.cols)
            }
        }
    };
}

accessors!(MatRef);
accessors!(MatMut);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The alias test in closed form against a search over all pairs of entries.
    #[test]
    fn aliasing_is_exact() {
        let (mut yes, mut no) = (0, 0);
        for rows in 0..5 {
            for cols in 0..5 {
                for row_stride in 0..9 {
                    for col_stride in 0..9 {
                        let places: HashSet<usize> =
                            (0..rows).flat_map(|i| (0..cols).map(move |j| i * row_stride + j * col_stride)).collect();
                        let expected = places.len() < rows * cols;
                        assert_eq!(
                            aliases(rows, cols, row_stride, col_stride),
                            expected,
                            "{rows}x{cols} strides {row_stride},{col_stride}"
                        );
                        if expected { yes += 1 } else { no += 1 }
                    }
                }
            }
        }
        assert!(yes > 100 && no > 100);
    }

    #[test]
    fn bounds_are_exact_and_do_not_overflow() {
        let data = [0.0_f32; 12];
        assert!(MatRef::from_slice_with_strides(&data, 3, 4, 4, 1).is_ok());
        assert!(MatRef::from_slice_with_strides(&data[..11], 3, 4, 4, 1).is_err());
        assert!(MatRef::from_slice_with_strides(&data, 3, 2, 5, 1).is_ok());
        assert!(MatRef::from_slice_with_strides(&data, 3, 3, 5, 1).is_err());
        for (rows, cols, row_stride, col_stride) in [
            (2, 2, usize::MAX, 1),
            (3, 1, usize::MAX / 2 + 1, 1),
            (2, 2, usize::MAX, usize::MAX),
            (usize::MAX, 2, 1, 1),
        ] {
            let error = MatRef::from_slice_with_strides(&data, rows, cols, row_stride, col_stride).unwrap_err();
            assert!(matches!(error, ShapeError::OutOfBounds { .. }), "{error}");
        }
        // A stride that no step uses may be anything; so may all strides of an empty matrix.
        assert!(MatRef::from_slice_with_strides(&data, 1, 12, usize::MAX, 1).is_ok());
        assert!(MatRef::from_slice_with_strides(&data[..0], 0, 7, 3, 1).is_ok());
        assert!(MatRef::from_row_major(&data, usize::MAX, 2).is_err());
        assert!(MatRef::from_row_major(&data, 3, 5).unwrap_err().to_string().contains("3 x 5"));
        assert!(MatMut::from_row_major(&mut [0.0_f32; 3], 2, 2).is_err());
    }

    #[test]
    fn chunks_of_rows_hold_the_rows() {
        for (rows, cols, row_stride, col_stride) in
            [(7, 3, 3, 1), (7, 3, 8, 2), (1, 3, 1, 9), (5, 1, 2, 9), (4, 0, 0, 1)]
        {
            for chunk in 1..9 {
                let mut data: Vec<usize> = (0..60).collect();
                let whole = MatMut::from_slice_with_strides(&mut data, rows, cols, row_stride, col_stride).unwrap();
                assert!(whole.rows_lie_apart());
                let mut row = 0;
                for chunk in whole.row_chunks(chunk) {
                    for i in 0..chunk.rows() {
                        let place = |j| row * row_stride + j * col_stride;
                        assert!((0..cols).all(|j| chunk.as_ref().get(i, j) == Some(place(j))));
                        row += 1;
                    }
                }
                assert_eq!(row, rows);
            }
        }
        let mut data = [0; 60];
        for (rows, cols, row_stride, col_stride) in [(3, 3, 1, 3), (2, 3, 3, 2)] {
            let view = MatMut::from_slice_with_strides(&mut data, rows, cols, row_stride, col_stride).unwrap();
            assert!(!view.rows_lie_apart());
        }
    }

    #[test]
    fn transpose_and_get() {
        let data: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let a = MatRef::from_row_major(&data, 2, 3).unwrap();
        assert_eq!(a.get(1, 2), Some(5.0));
        assert_eq!(a.t().get(2, 1), Some(5.0));
        assert_eq!(a.t().get(1, 2), None);
        assert_eq!((a.t().rows(), a.t().cols(), a.t().row_stride(), a.t().col_stride()), (3, 2, 1, 3));
    }
}
