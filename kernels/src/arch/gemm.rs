//! The register tile of the dense product, written once for every vector type.

use super::Tile;
use crate::Element;
use crate::workspace::LINE_BYTES;

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

/// C ← α A B + β C for `tile.rows` = ROWS rows and up to VECTORS registers of columns.
///
/// With `PACKED`, A's rows are next to one another.
///
/// # Safety
/// The host runs the instruction set of `V`, and the caller is compiled with it.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize, const PACKED: bool>(
    tile: Tile<V::Element>,
    a: &[V::Element],
    b: &[V::Element],
    c: &mut [V::Element],
) {
    let Tile { depth, alpha, beta, rows, cols, a_strides: (a_row, a_step), b_step, c_row } = tile;
    let width = cols.next_multiple_of(V::LANES);
    assert!(rows == ROWS && depth > 0 && width == VECTORS * V::LANES && (!PACKED || a_row == 1));
    assert!((ROWS - 1) * a_row + (depth - 1) * a_step < a.len());
    assert!((depth - 1) * b_step + width <= b.len());
    assert!((ROWS - 1) * c_row + cols <= c.len());
    let a_row = if PACKED { 1 } else { a_row };
    let c = c.as_mut_ptr();

    // C is needed only at the end; by then it has come from memory.
    for i in 0..ROWS {
        for j in (0..VECTORS * V::LANES).step_by(LINE_BYTES / size_of::<V::Element>()) {
            // SAFETY: the caller guarantees the instruction set; a prefetch accesses nothing, wherever it points.
            unsafe { V::prefetch(c.wrapping_add(i * c_row + j)) };
        }
    }

    // SAFETY: the caller guarantees the instruction set.
    let mut sums = unsafe { [[V::splat(V::Element::ZERO); VECTORS]; ROWS] };
    let a_rows: [*const V::Element; ROWS] = std::array::from_fn(|i| a.as_ptr().wrapping_add(i * a_row));
    let (mut offset, mut b) = (0, b.as_ptr());
    let mut step = || {
        // SAFETY: called `depth` times: `a` has advanced by fewer than `depth` steps and `b` as well, so the second
        // assert places A's rows inside its slice and the third one B's registers. The last advance may lead out of the
        // slices, where nothing is read; hence `wrapping_add`.
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
    for _ in 0..depth / UNROLL {
        for _ in 0..UNROLL {
            step();
        }
    }
    for _ in 0..depth % UNROLL {
        step();
    }

    // SAFETY: the caller guarantees the instruction set. What is loaded and stored lies in columns below `cols` of row
    // `i` < ROWS, which the last assert places inside `c`.
    unsafe {
        let (alpha, beta_vector) = (V::splat(alpha), V::splat(beta));
        let rest = cols % V::LANES;
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

/// Expands to the call of `$part::<$vector, rows, vectors, packed>` that fits a tile: every count of rows up to $rows,
/// one or two registers of columns.
macro_rules! dispatch {
    ($part:ident, $vector:ty, $full:literal, [$($rows:literal)*], $tile:ident, $a:ident, $b:ident, $c:ident) => {{
        let wide = $tile.cols > <$vector as Vector>::LANES;
        match ($tile.rows, wide, $tile.a_strides.0 == 1) {
            ($full, true, true) => $part::<$vector, $full, 2, true>($tile, $a, $b, $c),
            ($full, false, true) => $part::<$vector, $full, 1, true>($tile, $a, $b, $c),
            $(($rows, true, _) => $part::<$vector, $rows, 2, false>($tile, $a, $b, $c),)*
            $(($rows, false, _) => $part::<$vector, $rows, 1, false>($tile, $a, $b, $c),)*
            (rows, _, _) => unreachable!("a tile of {rows} rows"),
        }
    }};
}
pub(super) use dispatch;
