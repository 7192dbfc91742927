//! C ← α A B + β C: packed, cache-blocked, for any strides.
//!
//! The loops are those of Goto and van de Geijn (2008), numbered as BLIS numbers them. A packed block of B (`kc` ×
//! `nc`) stays in L3, a packed block of A (`mc` × `kc`) and a panel of B (`kc` × NR) in L2 and L1, and a tile of C
//! (MR × NR) in registers.

use crate::arch::portable::Portable;
use crate::arch::{Algorithm, GemmKernel, Tile};
use crate::error::Operand;
use crate::isa::{Executor, Token};
use crate::pack::pack_panels;
use crate::{Blocking, MatMut, MatRef, ShapeError, Workspace};

impl Executor {
    /// C ← α A B + β C.
    ///
    /// `a`: \[m × k\], `b`: \[k × n\], `c`: \[m × n\], of any strides. With β = 0, C is written and never read; with α
    /// = 0 or k = 0, A and B are not read. Sizes of 0 are allowed.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit; C is then untouched.
    pub fn gemm(
        &self,
        alpha: f32,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        beta: f32,
        mut c: MatMut<'_, f32>,
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
        if alpha == 0.0 || a.cols() == 0 {
            scale(beta, &mut c);
            return Ok(());
        }
        let gemm = Gemm { alpha, a, b, beta, c, blocking: self.blocking(), ws };
        match self.token() {
            Token::Portable(Portable) => gemm.run_matrixmultiply(),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.run(gemm),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.run(gemm),
        }
        Ok(())
    }
}

/// C ← β C, not reading C if β = 0.
fn scale(beta: f32, c: &mut MatMut<'_, f32>) {
    let (rows, cols, row_stride, col_stride) = (c.rows(), c.cols(), c.row_stride(), c.col_stride());
    let data = c.data_mut();
    for i in 0..rows {
        for j in 0..cols {
            let entry = &mut data[i * row_stride + j * col_stride];
            *entry = if beta == 0.0 { 0.0 } else { beta * *entry };
        }
    }
}

/// Arguments of a product whose shapes fit, none of them empty.
pub(crate) struct Gemm<'a> {
    alpha: f32,
    a: MatRef<'a, f32>,
    b: MatRef<'a, f32>,
    beta: f32,
    c: MatMut<'a, f32>,
    blocking: Blocking,
    ws: &'a mut Workspace,
}

impl Gemm<'_> {
    fn run_matrixmultiply(mut self) {
        let (m, k, n) = (self.a.rows(), self.a.cols(), self.b.cols());
        // A stride no step uses may be too large for an `isize`.
        let stride = |steps: usize, stride: usize| if steps > 1 { stride as isize } else { 1 };
        let (a, b) = (self.a, self.b);
        let (c_row_stride, c_col_stride) = (stride(m, self.c.row_stride()), stride(n, self.c.col_stride()));
        // SAFETY: the views' constructors have checked that every entry at these strides lies in its slice and, for C,
        // that no two entries share a place; `Executor::gemm` has checked that the shapes fit. Strides that are used
        // are less than a slice's length, so they fit an `isize`.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                self.alpha,
                a.data().as_ptr(),
                stride(m, a.row_stride()),
                stride(k, a.col_stride()),
                b.data().as_ptr(),
                stride(k, b.row_stride()),
                stride(n, b.col_stride()),
                self.beta,
                self.c.data_mut().as_mut_ptr(),
                c_row_stride,
                c_col_stride,
            );
        }
    }
}

impl<A: GemmKernel> Algorithm<A> for Gemm<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        // The tile writes rows of contiguous columns. If only C's columns are contiguous, compute Cᵀ ← α Bᵀ Aᵀ + β Cᵀ.
        let unit_cols = self.c.col_stride() == 1 || self.c.cols() == 1;
        let unit_rows = self.c.row_stride() == 1 || self.c.rows() == 1;
        let flip = !unit_cols && unit_rows;
        let Self { alpha, a, b, beta, c, blocking, ws } = self;
        let (a, b, mut c) = if flip { (b.t(), a.t(), c.t()) } else { (a, b, c) };
        let (m, k, n) = (a.rows(), a.cols(), b.cols());
        let direct = unit_cols || unit_rows;
        let (row_stride, col_stride) = (c.row_stride(), c.col_stride());
        let c = c.data_mut();
        let b = b.t();

        let mc = blocking.gemm_mc.clamp(1, m).next_multiple_of(A::MR);
        let nc = blocking.gemm_nc.clamp(1, n).next_multiple_of(A::NR);
        let kc = blocking.gemm_kc.clamp(1, k);
        let a_pack = ws.a.take(mc * kc);
        let b_pack = ws.b.take(nc * kc);
        let scratch = ws.tile.take(A::MR * A::NR);

        // LOOP 5: blocks of nc columns of B and C.
        for jc in (0..n).step_by(nc) {
            let nb = nc.min(n - jc);
            // LOOP 4: blocks of kc along the common dimension. The first one applies beta.
            for pc in (0..k).step_by(kc) {
                let kb = kc.min(k - pc);
                let beta = if pc == 0 { beta } else { 1.0 };
                let b_pack = &mut b_pack[..nb.div_ceil(A::NR) * A::NR * kb];
                pack_panels(arch, b, (jc, nb), (pc, kb), A::NR, b_pack);
                // LOOP 3: blocks of mc rows of A and C.
                for ic in (0..m).step_by(mc) {
                    let mb = mc.min(m - ic);
                    let a_pack = &mut a_pack[..mb.div_ceil(A::MR) * A::MR * kb];
                    pack_panels(arch, a, (ic, mb), (pc, kb), A::MR, a_pack);
                    // LOOP 2: panels of NR columns.
                    for (jr, b_panel) in b_pack.chunks_exact(A::NR * kb).enumerate() {
                        let (j, cols) = (jc + jr * A::NR, A::NR.min(nb - jr * A::NR));
                        // LOOP 1: panels of MR rows.
                        for (ir, a_panel) in a_pack.chunks_exact(A::MR * kb).enumerate() {
                            let (i, rows) = (ic + ir * A::MR, A::MR.min(mb - ir * A::MR));
                            let c = &mut c[i * row_stride + j * col_stride..];
                            let tile = Tile { depth: kb, alpha, beta, row_stride, rows, cols };
                            if direct {
                                arch.gemm_tile(tile, a_panel, b_panel, c);
                                continue;
                            }
                            let tile = Tile { beta: 0.0, row_stride: A::NR, ..tile };
                            arch.gemm_tile(tile, a_panel, b_panel, scratch);
                            for (i, row) in scratch.chunks_exact(A::NR).take(rows).enumerate() {
                                for (j, &value) in row[..cols].iter().enumerate() {
                                    let entry = &mut c[i * row_stride + j * col_stride];
                                    *entry = if beta == 0.0 { value } else { value + beta * *entry };
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
