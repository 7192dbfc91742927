//! C ← α A B + β C: packed, cache-blocked, for any strides.
//!
//! The loops are those of Goto and van de Geijn (2008), numbered as BLIS numbers them. A packed block of B (`kc` ×
//! `nc`) stays in L3, a packed block of A (`mc` × `kc`) and a panel of B (`kc` × NR) in L2 and L1, and a tile of C
//! (MR × NR) in registers.
//!
//! Packing pays if what is packed is read often. Operands that are read a few times, or lie well, are read where they lie;
//! [`Plan`] says when. What is far away, a panel of rows of A that is read next, is asked for or copied together during the work on
//! the panel before. The sum of an entry runs over the common dimension in order, in blocks of `kc`, whatever is packed.

use crate::arch::{Algorithm, GemmKernel, Side, Strip};
use crate::error::Operand;
use crate::isa::Executor;
use crate::pack::pack_panels;
use crate::{Blocking, Element, MatMut, MatRef, Packing, ShapeError, Workspace};

impl Executor {
    /// C ← α A B + β C.
    ///
    /// `a`: \[m × k\], `b`: \[k × n\], `c`: \[m × n\], of any strides. With β = 0, C is written and never read; with α
    /// = 0 or k = 0, A and B are not read. Sizes of 0 are allowed.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit; C is then untouched.
    pub fn gemm<T: Element>(
        &self,
        alpha: T,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        beta: T,
        mut c: MatMut<'_, T>,
        ws: &mut Workspace,
    ) -> Result<(), ShapeError> {
        let mismatch =
            |left: Operand, right: Operand, rule| Err(ShapeError::Mismatch { operation: "gemm", left, right, rule });
        if a.cols() != b.rows() {
            return mismatch(a.operand("a"), b.operand("b"), "a has as many columns as b has rows");
        }
        if a.rows() != c.rows() {
            return mismatch(a.operand("a"), c.operand("c"), "c has as many rows as a");
        }
        if b.cols() != c.cols() {
            return mismatch(b.operand("b"), c.operand("c"), "c has as many columns as b");
        }
        if c.is_empty() {
            return Ok(());
        }
        if alpha == T::ZERO || a.cols() == 0 {
            scale(beta, &mut c);
            return Ok(());
        }
        let run = |a, b, c, ws: &mut Workspace| {
            T::run(Gemm { alpha, a, b, beta, c, blocking: self.blocking(), ws }, self.token());
        };
        // A product of 16 x 16 x 16 takes 150 ns, of which the divisions below would be some 10.
        if self.threads() == 1 {
            run(a, b, c, ws);
            return Ok(());
        }
        // Whole tiles of rows of C a thread; of columns, if these lie apart in memory and rows do not. How an entry is
        // summed depends on the common dimension alone, so no bit depends on where C is cut.
        let shares = self.shares(2.0 * a.rows() as f64 * a.cols() as f64 * b.cols() as f64 / FLOPS_PER_NS);
        let by_rows = c.rows_lie_apart();
        let (lines, unit) = (if by_rows { c.rows() } else { c.cols() }, T::tile_rows(self.token()));
        let share = lines.div_ceil(unit).div_ceil(shares) * unit;
        if shares == 1 || share >= lines || !(by_rows || c.reborrow().t().rows_lie_apart()) {
            run(a, b, c, ws);
        } else if by_rows {
            let items = c.row_chunks(share).enumerate();
            ws.share_out(self, items, |(i, c), ws| run(a.row_range(i * share, c.rows()), b, c, ws));
        } else {
            let items = c.t().row_chunks(share).enumerate();
            ws.share_out(self, items, |(i, c), ws| run(a, b.t().row_range(i * share, c.rows()).t(), c.t(), ws));
        }
        Ok(())
    }
}

/// Operations a nanosecond that a core of a present machine does, to tell how long a call takes.
pub(crate) const FLOPS_PER_NS: f64 = 100.0;

/// C ← β C, not reading C if β = 0.
fn scale<T: Element>(beta: T, c: &mut MatMut<'_, T>) {
    let (rows, cols, row_stride, col_stride) = (c.rows(), c.cols(), c.row_stride(), c.col_stride());
    let data = c.data_mut();
    for i in 0..rows {
        for j in 0..cols {
            let entry = &mut data[i * row_stride + j * col_stride];
            *entry = if beta == T::ZERO { T::ZERO } else { beta * *entry };
        }
    }
}

/// Arguments of a product whose shapes fit, none of them empty.
pub struct Gemm<'a, T> {
    alpha: T,
    a: MatRef<'a, T>,
    b: MatRef<'a, T>,
    beta: T,
    c: MatMut<'a, T>,
    blocking: Blocking,
    ws: &'a mut Workspace,
}

impl<T: Element> Gemm<'_, T> {
    pub(crate) fn run_matrixmultiply(mut self) {
        let (m, k, n) = (self.a.rows(), self.a.cols(), self.b.cols());
        // A stride no step uses may be too large for an `isize`.
        let stride = |steps: usize, stride: usize| if steps > 1 { stride as isize } else { 1 };
        let (a, b) = (self.a, self.b);
        let (c_row_stride, c_col_stride) = (stride(m, self.c.row_stride()), stride(n, self.c.col_stride()));
        // SAFETY: the views' constructors have checked that every entry at these strides lies in its slice and, for C,
        // that no two entries share a place; `Executor::gemm` has checked that the shapes fit. Strides that are used
        // are less than a slice's length, so they fit an `isize`.
        unsafe {
            T::matrixmultiply(
                [m, k, n],
                self.alpha,
                (a.data().as_ptr(), stride(m, a.row_stride()), stride(k, a.col_stride())),
                (b.data().as_ptr(), stride(k, b.row_stride()), stride(n, b.col_stride())),
                self.beta,
                (self.c.data_mut().as_mut_ptr(), c_row_stride, c_col_stride),
            );
        }
    }
}

impl<T: Element, A: GemmKernel<T>> Algorithm<A> for Gemm<'_, T> {
    #[inline(always)]
    fn run(self, arch: A) {
        // The tile writes rows of contiguous columns. If only C's columns are contiguous, compute Cᵀ ← α Bᵀ Aᵀ + β Cᵀ.
        let unit_cols = self.c.col_stride() == 1 || self.c.cols() == 1;
        let unit_rows = self.c.row_stride() == 1 || self.c.rows() == 1;
        let flip = !unit_cols && unit_rows;
        let Self { alpha, a, b, beta, c, blocking, ws } = self;
        let (a, b, mut c) = if flip { (b.t(), a.t(), c.t()) } else { (a, b, c) };
        let (m, k, n) = (a.rows(), a.cols(), b.cols());
        let contiguous = unit_cols || unit_rows;
        let (c_row, c_col) = (c.row_stride(), c.col_stride());
        let c = c.data_mut();
        let (a_row, a_step) = (a.row_stride(), a.col_stride());
        let b_step = b.row_stride();

        let kc = even(k, blocking.gemm_kc, 1);
        let nc = even(n, blocking.gemm_nc, A::NR);
        let Plan { a_from, ask, direct_b, rows_outer } =
            Plan::new::<T, A>(blocking.gemm_packing, &a, &b, (m, n, k), (nc, kc), contiguous);
        // Then the rows of A are not packed by blocks, and need not be worked on by blocks.
        let mc = if ask || a_from == Source::Panels { m } else { even(m, blocking.gemm_mc, A::MR) };
        let panel_len = A::MR * kc;
        let a_pack = match a_from {
            Source::Place => 0,
            Source::Panels => 2 * panel_len,
            Source::Blocks => mc * kc,
        };
        let a_pack = T::take(&mut ws.a, a_pack);
        let b_pack = T::take(&mut ws.b, if direct_b { A::NR * kc } else { nc * kc });
        let scratch = T::take(&mut ws.tile, if contiguous { 0 } else { A::MR * A::NR });
        // Of `Source::Panels`: at which row and step the panel starts that has been copied, and whether to the second half of
        // `a_pack`.
        let (mut copied, mut second) = (None, false);

        // LOOP 5: blocks of nc columns of B and C.
        let mut jc = 0;
        while jc < n {
            let nb = nc.min(n - jc);
            let panels = nb.div_ceil(A::NR);
            // LOOP 4: blocks of kc along the common dimension. The first one applies beta.
            let mut pc = 0;
            while pc < k {
                let kb = kc.min(k - pc);
                let beta = if pc == 0 { beta } else { T::ONE };
                let b_panel_len = A::NR * kb;
                // Of columns that lie where they can be read, only a last panel of odd width is packed.
                let direct_panels = match (direct_b, nb % A::LANES) {
                    (false, _) => 0,
                    (true, 0) => panels,
                    (true, _) => panels - 1,
                };
                let packed_cols = nb - (direct_panels * A::NR).min(nb);
                let b_pack = &mut b_pack[..packed_cols.div_ceil(A::NR) * b_panel_len];
                pack_panels(arch, b.t(), (jc + nb - packed_cols, packed_cols), (pc, kb), A::NR, b_pack);
                // LOOP 3: blocks of mc rows of A and C.
                let mut ic = 0;
                while ic < m {
                    let rows = Rows::new(mc.min(m - ic), A::MR);
                    if a_from == Source::Blocks {
                        for (first, count, panel) in rows.runs() {
                            let a_pack = &mut a_pack[panel * A::MR * kb..][..count.div_ceil(A::MR) * A::MR * kb];
                            pack_panels(arch, a, (ic + first, count), (pc, kb), A::MR, a_pack);
                        }
                    }
                    // Columns `first` to `end` of panels, all packed or all direct.
                    let columns = |first: usize, end: usize| {
                        let j = jc + first * A::NR;
                        let cols = nb.min(end * A::NR) - first * A::NR;
                        let (b, b_step, b_panel) = match first < direct_panels {
                            true => (&b.data()[pc * b_step + j..], b_step, A::NR),
                            false => (&b_pack[(first - direct_panels) * b_panel_len..], A::NR, b_panel_len),
                        };
                        (j, cols, b, b_step, b_panel)
                    };
                    // Rows `ir` times the panels of columns from `first` to `end`.
                    let mut strip = |ir: usize, first: usize, end: usize| {
                        let (row, rows) = rows.panel(ir);
                        let i = ic + row;
                        let (a, a_strides) = match a_from {
                            Source::Blocks => (&a_pack[ir * A::MR * kb..][..A::MR * kb], (1, A::MR)),
                            _ => (&a.data()[i * a_row + pc * a_step..], (a_row, a_step)),
                        };
                        let (j, cols, b, b_step, b_panel) = columns(first, end);
                        let c = &mut c[i * c_row + j * c_col..];
                        let strip = Strip { depth: kb, alpha, beta, rows, cols, a_strides, b_step, b_panel, c_row };
                        if contiguous {
                            arch.gemm_strip(strip, a, b, c);
                            return;
                        }
                        // A tile at a time by way of memory that is contiguous.
                        for panel in 0..cols.div_ceil(A::NR) {
                            let (b, c) = (&b[panel * b_panel..], &mut c[panel * A::NR * c_col..]);
                            let cols = A::NR.min(cols - panel * A::NR);
                            arch.gemm_strip(Strip { beta: T::ZERO, cols, c_row: A::NR, ..strip }, a, b, scratch);
                            for (i, row) in scratch.chunks_exact(A::NR).take(rows).enumerate() {
                                for (j, &value) in row[..cols].iter().enumerate() {
                                    let entry = &mut c[i * c_row + j * c_col];
                                    *entry = if beta == T::ZERO { value } else { value + beta * *entry };
                                }
                            }
                        }
                    };
                    // LOOPS 2 and 1: panels of NR columns and of MR rows.
                    let parts =
                        [(0, direct_panels), (direct_panels, panels)].into_iter().filter(|(first, end)| first < end);
                    if ask || a_from == Source::Panels {
                        for ir in 0..rows.panels {
                            let (row, height) = rows.panel(ir);
                            let at = |row: usize, step: usize| &a.data()[row * a_row + step * a_step..];
                            // The panel that comes next: after the last one of a block of steps, the first one of the next.
                            let next = match (ir + 1 < rows.panels, pc + kb < k) {
                                (true, _) => Some((rows.panel(ir + 1), pc, kb)),
                                (false, true) => Some((rows.panel(0), pc + kb, kc.min(k - pc - kb))),
                                (false, false) => None,
                            };
                            let next = next.filter(|_| height == A::MR);
                            let (a, a_strides, mut side) = match a_from {
                                Source::Panels => {
                                    let (this, other) = a_pack.split_at_mut(panel_len);
                                    let (this, other) = if second { (other, this) } else { (this, other) };
                                    if copied != Some((row, pc)) {
                                        pack_panels(arch, a, (row, height), (pc, kb), height, &mut this[..height * kb]);
                                    }
                                    let next = next.filter(|((_, rows), ..)| *rows == height);
                                    copied = next.map(|((row, _), step, _)| (row, step));
                                    second ^= next.is_some();
                                    let side = next.map(|((row, rows), step, steps)| {
                                        Side::copy(at(row, step), rows, (steps, a_step), other)
                                    });
                                    (&this[..height * kb], (1, height), side)
                                }
                                _ => {
                                    let side = next.and_then(|((row, rows), step, steps)| {
                                        Side::ask(at(row, step), (rows, a_row), (steps, a_step))
                                    });
                                    (at(row, pc), (a_row, a_step), side)
                                }
                            };
                            for (first, end) in parts.clone() {
                                let (j, cols, b, b_step, b_panel) = columns(first, end);
                                let c = &mut c[row * c_row + j..];
                                let (rows, depth) = (height, kb);
                                let strip = Strip { depth, alpha, beta, rows, cols, a_strides, b_step, b_panel, c_row };
                                match side.take() {
                                    Some(mut side) => arch.gemm_strip_beside(strip, a, b, c, &mut side),
                                    None => arch.gemm_strip(strip, a, b, c),
                                }
                            }
                        }
                    } else if rows_outer {
                        for ir in 0..rows.panels {
                            for (first, end) in parts.clone() {
                                strip(ir, first, end);
                            }
                        }
                    } else {
                        for jr in 0..panels {
                            for ir in 0..rows.panels {
                                strip(ir, jr, jr + 1);
                            }
                        }
                    }
                    ic += mc;
                }
                pc += kc;
            }
            jc += nc;
        }
    }
}

/// Rows in panels of at most MR.
///
/// All are full but the last, or, as a tile of few rows waits for its sums, the last two, which share what is left.
#[derive(Clone, Copy)]
struct Rows {
    rows: usize,
    most: usize,
    panels: usize,
    /// Panels of `most` rows.
    full: usize,
}

impl Rows {
    #[inline(always)]
    fn new(rows: usize, most: usize) -> Self {
        let panels = rows.div_ceil(most);
        let full = if panels * most == rows { panels } else { panels.saturating_sub(2) };
        Self { rows, most, panels, full }
    }

    /// The first row and the number of rows of a panel.
    #[inline(always)]
    fn panel(&self, panel: usize) -> (usize, usize) {
        if panel < self.full {
            return (panel * self.most, self.most);
        }
        let left = self.rows - self.full * self.most;
        let half = if self.panels - self.full == 2 { left.div_ceil(2) } else { left };
        match panel - self.full {
            0 => (self.full * self.most, half),
            _ => (self.full * self.most + half, left - half),
        }
    }

    /// Runs of rows to be packed together, with the panel each starts with: all full panels, and the others.
    #[inline(always)]
    fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let full = (self.full > 0).then_some((0, self.full * self.most, 0));
        full.into_iter().chain((self.full..self.panels).map(|panel| {
            let (first, rows) = self.panel(panel);
            (first, rows, panel)
        }))
    }
}

/// What is packed, and in which order tiles follow one another.
///
/// The figures are measured on Zen 4 with 32 KiB of L1 and 1 MiB of L2.
struct Plan {
    a_from: Source,
    /// The next panel of A is asked for while one is in use.
    ask: bool,
    /// B is read where it lies.
    direct_b: bool,
    /// For each panel of rows all panels of columns, not the other way round.
    rows_outer: bool,
}

/// How the rows of A are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Where they lie.
    Place,
    /// A panel at a time, each copied during the work on the one before, so that what is waited for is waited for meanwhile.
    Panels,
    /// From a packed block.
    Blocks,
}

impl Plan {
    /// `nc`, `kc`: sizes of a block of B. `contiguous`: the columns of C are.
    #[inline(always)]
    fn new<T: Element, A: GemmKernel<T>>(
        packing: Packing,
        a: &MatRef<'_, T>,
        b: &MatRef<'_, T>,
        (m, n, k): (usize, usize, usize),
        (nc, kc): (usize, usize),
        contiguous: bool,
    ) -> Self {
        let bytes = |elements: usize| elements * size_of::<T>();
        // What lies a multiple of a page apart shares a set of L1, of which it has 8 places.
        let pages_apart = |stride: usize| bytes(stride).is_multiple_of(4096);
        let few_panels = n <= 4 * A::NR;
        let (columns, rows) = (a.row_stride() == 1, a.col_stride() == 1);
        let direct_a = bytes(m * k) <= 16 << 10
            // Rows of contiguous elements: each is a stream.
            || (rows && !pages_apart(a.row_stride()))
            // Contiguous columns: every step reads another line, of which a narrow tile uses too little to read it anew
            // for every panel.
            || (columns && few_panels && (bytes(A::MR) >= 48 || !pages_apart(a.col_stride())));
        let direct_b =
            b.col_stride() == 1 && (m <= 4 * A::MR || (m <= A::DIRECT_B_ROWS && bytes(k * n) <= A::DIRECT_B_BYTES));
        // While B stays in L2, a panel of A may stay in L1, and rows of C are written in order.
        let rows_outer = bytes(nc * kc) <= 1 << 20;
        let packed_a = if columns && rows_outer && contiguous { Source::Panels } else { Source::Blocks };
        let (a_from, direct_b) = match packing {
            Packing::Measured => (if direct_a { Source::Place } else { packed_a }, direct_b),
            Packing::Blocks => (Source::Blocks, false),
            Packing::Panels => (packed_a, false),
            Packing::Never => (Source::Place, b.col_stride() == 1),
        };
        // What fits L2 comes fast enough, and short rows that follow one another come by themselves. Of contiguous columns, a
        // narrow tile would ask for most lines several times: 4 % slower at 256 x 64 x 4096 on AVX2.
        let far = bytes(m * k) > 1 << 20 && if columns { bytes(A::MR) >= 48 } else { bytes(kc) >= 1024 };
        let ask = (rows || columns)
            && (rows_outer && contiguous && a_from == Source::Place)
            && (far || packing == Packing::Never);
        Self { a_from, ask, direct_b, rows_outer }
    }
}

/// The size of a block: `len` in as few blocks as `most` allows, all of about one size, a multiple of `unit`.
#[inline(always)]
fn even(len: usize, most: usize, unit: usize) -> usize {
    // Without the divisions where one block is enough: a product of 16 x 16 x 16 takes as long as a few dozen of them.
    let len = if len <= most { len } else { len.div_ceil(len.div_ceil(most.max(1))) };
    len.next_multiple_of(unit)
}
