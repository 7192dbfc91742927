//! The register tile of the dense product, written once for every vector type.

use super::{Side, Strip};
use crate::Element;
use crate::workspace::LINE_BYTES;
use std::marker::PhantomData;

/// A register of `LANES` elements.
///
/// # Safety
/// (of every method) The host runs the instruction set of the type, and the caller is compiled with it.
pub(crate) trait Vector: Copy {
    type Element: Element;
    const LANES: usize;

    unsafe fn splat(value: Self::Element) -> Self;

    /// `from` points to LANES elements.
    unsafe fn load(from: *const Self::Element) -> Self;

    /// `to` points to LANES elements.
    unsafe fn store(self, to: *mut Self::Element);

    /// `from` points to `len` < LANES elements; the other lanes are 0.
    unsafe fn load_first(from: *const Self::Element, len: usize) -> Self;

    /// `to` points to `len` < LANES elements.
    unsafe fn store_first(self, to: *mut Self::Element, len: usize);

    unsafe fn mul(self, other: Self) -> Self;

    /// self · factor + addend.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// Asks for the cache line that holds `at`, which may point anywhere.
    unsafe fn prefetch(at: *const Self::Element);
}

/// C ← α A B + β C for `strip.rows` = ROWS rows, a tile of up to two registers of columns at a time.
///
/// With `PACKED`, A's rows are next to one another.
///
/// # Safety
/// The host runs the instruction set of `V`, and the caller is compiled with it.
#[inline(always)]
pub(super) unsafe fn strip<V: Vector, const ROWS: usize, const PACKED: bool>(
    strip: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { strip_with::<V, ROWS, PACKED>(strip, a, b, c, || ()) }
}

/// [`strip`], and beside it what `side` is for.
///
/// # Safety
/// As for [`strip`].
#[inline(always)]
pub(super) unsafe fn strip_beside<V: Vector, const ROWS: usize, const PACKED: bool>(
    strip: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
    side: &mut Side<'_, V::Element>,
) {
    assert!(side.copies == 0 || side.rows == ROWS);
    // Every few steps of a tile of full width.
    let times = (strip.depth / UNROLL * (strip.cols / (2 * V::LANES))).max(1);
    // A copy, which stays in registers.
    let mut side = Side { places: PhantomData, ..*side };
    // SAFETY: the caller guarantees the instruction set, and the assert the rows.
    unsafe {
        if side.copies > 0 {
            let rate = side.copies.div_ceil(times);
            strip_with::<V, ROWS, PACKED>(strip, a, b, c, || side.copy_next::<V, ROWS>(rate));
            side.copy_next::<V, ROWS>(side.copies);
        } else {
            let rate = (side.runs * side.lines).div_ceil(times).min(UNROLL);
            strip_with::<V, ROWS, PACKED>(strip, a, b, c, || side.ask_next::<V>(rate));
        }
    }
}

/// [`strip`], with a call of `aside` every few steps of a tile of full width.
///
/// # Safety
/// As for [`strip`].
#[inline(always)]
unsafe fn strip_with<V: Vector, const ROWS: usize, const PACKED: bool>(
    strip: Strip<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
    mut aside: impl FnMut(),
) {
    let Strip { depth, rows, cols, a_strides: (a_row, a_step), b_step, b_panel, c_row, .. } = strip;
    let width = 2 * V::LANES;
    let (full, rest) = (cols / width, cols % width);
    assert!(rows == ROWS && depth > 0 && cols > 0 && (!PACKED || a_row == 1));
    assert!((ROWS - 1) * a_row + (depth - 1) * a_step < a.len());
    assert!(full == 0 || (full - 1) * b_panel + (depth - 1) * b_step + width <= b.len());
    assert!(rest == 0 || full * b_panel + (depth - 1) * b_step + rest.next_multiple_of(V::LANES) <= b.len());
    assert!((ROWS - 1) * c_row + cols <= c.len());
    let (a, mut b, mut c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the caller guarantees the instruction set. The asserts place A's rows, and B's and C's columns of every
    // tile, inside their slices; the last advance may lead out of them, where nothing is accessed.
    unsafe {
        for _ in 0..full {
            tile::<V, ROWS, 2, PACKED>(&strip, a, b, c, 0, &mut aside);
            (b, c) = (b.wrapping_add(b_panel), c.wrapping_add(width));
        }
        match rest {
            0 => {}
            rest if rest > V::LANES => tile::<V, ROWS, 2, PACKED>(&strip, a, b, c, rest % V::LANES, || ()),
            rest => tile::<V, ROWS, 1, PACKED>(&strip, a, b, c, rest % V::LANES, || ()),
        }
    }
}

impl<T: Element> Side<'_, T> {
    /// Asks for `times` lines, or as many as are left.
    ///
    /// # Safety
    /// The host runs the instruction set of `V`, and the caller is compiled with it.
    #[inline(always)]
    unsafe fn ask_next<V: Vector<Element = T>>(&mut self, times: usize) {
        for _ in 0..times {
            if self.runs > 0 {
                // SAFETY: the caller guarantees the instruction set; a prefetch accesses nothing, wherever it points.
                unsafe { V::prefetch(self.at) };
                self.advance();
            }
        }
    }

    /// Makes `times` copies, or as many as are left, and asks for what is copied later.
    ///
    /// # Safety
    /// The host runs the instruction set of `V`, and the caller is compiled with it. The panel has ROWS rows.
    #[inline(always)]
    unsafe fn copy_next<V: Vector<Element = T>, const ROWS: usize>(&mut self, times: usize) {
        for _ in 0..times {
            if self.copies == 0 {
                return;
            }
            // SAFETY: the caller guarantees the instruction set; a prefetch accesses nothing, wherever it points. `copy` has
            // checked that `copies` steps of ROWS elements can be read and written.
            unsafe {
                for i in (0..ROWS).step_by(LINE_BYTES / size_of::<T>()) {
                    V::prefetch(self.at.wrapping_add(i));
                }
                // The rows may begin in one line and end in another.
                V::prefetch(self.at.wrapping_add(ROWS - 1));
                self.to.copy_from_nonoverlapping(self.from, ROWS);
            }
            self.advance();
            (self.from, self.to) = (self.from.wrapping_add(self.line), self.to.wrapping_add(ROWS));
            self.copies -= 1;
        }
    }

    /// Goes on to the next line.
    #[inline(always)]
    fn advance(&mut self) {
        self.at = self.at.wrapping_add(self.line);
        self.left -= 1;
        if self.left == 0 {
            (self.left, self.runs) = (self.lines, self.runs.wrapping_sub(1));
            self.at = self.at.wrapping_add(self.run);
        }
    }
}

/// One tile of [`strip`], of VECTORS registers of columns; of the last one `rest` lanes, or all if it is 0.
///
/// # Safety
/// As for [`strip`]. A, B and C can be accessed at ROWS rows, VECTORS registers of columns (of C, only those lanes) and
/// `strip.depth` > 0 steps.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize, const PACKED: bool>(
    strip: &Strip<V::Element>,
    a: *const V::Element,
    mut b: *const V::Element,
    c: *mut V::Element,
    rest: usize,
    mut aside: impl FnMut(),
) {
    let &Strip { depth, alpha, beta, a_strides: (a_row, a_step), b_step, c_row, .. } = strip;
    let a_row = if PACKED { 1 } else { a_row };
    // SAFETY: the caller guarantees the instruction set.
    let mut sums = unsafe { [[V::splat(V::Element::ZERO); VECTORS]; ROWS] };
    let a_rows: [*const V::Element; ROWS] = std::array::from_fn(|i| a.wrapping_add(i * a_row));
    let mut offset = 0;
    let mut step = || {
        // SAFETY: called `depth` times, so the caller's guarantee covers what is read. The last advance may lead out of
        // the slices, where nothing is read; hence `wrapping_add`.
        unsafe {
            let b_row: [V; VECTORS] = std::array::from_fn(|v| V::load(b.add(v * V::LANES)));
            for (a, sums) in a_rows.iter().zip(&mut sums) {
                let a = V::splat(*a.add(offset));
                for (sum, b) in sums.iter_mut().zip(b_row) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        (offset, b) = (offset + a_step, b.wrapping_add(b_step));
    };
    // C is needed only at the end; by then it has come from memory. A row at a time, lest the loads of A and B wait
    // for all of it.
    let ask_for = |row: *mut V::Element| {
        for j in (0..VECTORS * V::LANES).step_by(LINE_BYTES / size_of::<V::Element>()) {
            // SAFETY: the caller guarantees the instruction set; a prefetch accesses nothing, wherever it points.
            unsafe { V::prefetch(row.wrapping_add(j)) };
        }
    };
    let mut asked_c = c;
    let mut groups = depth / UNROLL;
    if groups < ROWS {
        for i in 0..ROWS {
            ask_for(c.wrapping_add(i * c_row));
        }
    } else {
        groups -= ROWS;
        for _ in 0..ROWS {
            ask_for(asked_c);
            asked_c = asked_c.wrapping_add(c_row);
            aside();
            for _ in 0..UNROLL {
                step();
            }
        }
    }
    for _ in 0..groups {
        aside();
        for _ in 0..UNROLL {
            step();
        }
    }
    for _ in 0..depth % UNROLL {
        step();
    }

    // SAFETY: the caller guarantees the instruction set and access to what is loaded and stored.
    unsafe {
        let (alpha, beta_vector) = (V::splat(alpha), V::splat(beta));
        for (i, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let c = c.add(i * c_row + v * V::LANES);
                let mut sum = alpha.mul(sum);
                if v + 1 < VECTORS || rest == 0 {
                    if beta != V::Element::ZERO {
                        sum = beta_vector.mul_add(V::load(c), sum);
                    }
                    sum.store(c);
                } else {
                    // Masked stores take some 20 cycles on Zen in AVX2: for tiles at the edge only.
                    if beta != V::Element::ZERO {
                        sum = beta_vector.mul_add(V::load_first(c, rest), sum);
                    }
                    sum.store_first(c, rest);
                }
            }
        }
    }
}

/// Steps of the inner loop between two tests for its end.
const UNROLL: usize = 4;

/// Expands to the call of `$part::<$vector, rows, packed>` that fits a strip: every count of rows that is listed.
macro_rules! dispatch {
    ($part:ident, $vector:ty, $rows:tt, $strip:ident, ($($argument:ident),*)) => {
        dispatch!(@arms $part, $vector, $rows, $strip, ($strip, $($argument),*))
    };
    (@arms $part:ident, $vector:ty, [$($rows:literal)*], $strip:ident, $arguments:tt) => {
        match ($strip.rows, $strip.a_strides.0 == 1) {
            $(($rows, true) => $part::<$vector, $rows, true> $arguments,)*
            $(($rows, false) => $part::<$vector, $rows, false> $arguments,)*
            (rows, _) => unreachable!("a strip of {rows} rows"),
        }
    };
}
pub(super) use dispatch;
