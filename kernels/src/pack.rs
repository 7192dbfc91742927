//! Copies of matrix blocks in the order in which a register tile reads them.

use crate::MatRef;

/// Packs rows `row..row + rows` and columns `col..col + cols` of `a` as panels of `width` rows: out\[panel\]\[col\]\[width\].
///
/// Rows that the last panel lacks are packed as 0. `out` holds ⌈rows / width⌉ · cols · width elements.
#[inline(always)]
pub(crate) fn pack_panels(
    a: MatRef<'_, f32>,
    (row, rows): (usize, usize),
    (col, cols): (usize, usize),
    width: usize,
    out: &mut [f32],
) {
    debug_assert!(row + rows <= a.rows() && col + cols <= a.cols());
    debug_assert_eq!(out.len(), rows.div_ceil(width) * cols * width);
    if cols == 0 {
        return;
    }
    let (row_stride, col_stride) = (a.row_stride(), a.col_stride());
    for (panel, out) in out.chunks_exact_mut(cols * width).enumerate() {
        let first = row + panel * width;
        let height = width.min(row + rows - first);
        let data = &a.data()[first * row_stride + col * col_stride..];
        if row_stride == 1 && height == width {
            for (j, out) in out.chunks_exact_mut(width).enumerate() {
                out.copy_from_slice(&data[j * col_stride..][..width]);
            }
            continue;
        }
        if height < width {
            out.fill(0.0);
        }
        for i in 0..height {
            let row = &data[i * row_stride..];
            if col_stride == 1 {
                for (out, &value) in out[i..].iter_mut().step_by(width).zip(&row[..cols]) {
                    *out = value;
                }
            } else {
                for (j, out) in out[i..].iter_mut().step_by(width).enumerate() {
                    *out = row[j * col_stride];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_what_the_definition_says() {
        let data: Vec<f32> = (0..40 * 17).map(|i| i as f32).collect();
        let mut cases = 0;
        for (row_stride, col_stride) in [(17, 1), (1, 17), (3, 19), (0, 1), (1, 0)] {
            for rows in 1..9 {
                for cols in [0, 1, 2, 5, 16] {
                    for width in [1, 2, 3, 4] {
                        let (row, col) = (2, 1);
                        let a = MatRef::from_slice_with_strides(&data, row + rows, col + cols, row_stride, col_stride)
                            .unwrap();
                        let panels = rows.div_ceil(width);
                        let mut out = vec![f32::NAN; panels * cols * width];
                        pack_panels(a, (row, rows), (col, cols), width, &mut out);
                        for panel in 0..panels {
                            for j in 0..cols {
                                for i in 0..width {
                                    let r = panel * width + i;
                                    let expected = if r < rows { a.get(row + r, col + j).unwrap() } else { 0.0 };
                                    assert_eq!(out[(panel * cols + j) * width + i], expected);
                                    cases += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(cases > 1000);
    }
}
