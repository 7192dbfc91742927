//! The element types of dense products.

use crate::gemm::Gemm;
use crate::isa::Token;
use crate::workspace::Aligned;
use std::ops::{Add, Mul};

/// An element type of [`Executor::gemm`](crate::Executor::gemm): `f32` or `f64`.
pub trait Element:
    sealed::Dispatch
    + Copy
    + Default
    + PartialOrd
    + Into<f64>
    + From<i8>
    + Add<Output = Self>
    + Mul<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

pub(crate) mod sealed {
    use super::{Aligned, Gemm, Token};

    /// What differs between the element types.
    pub trait Dispatch: Sized {
        /// The first `len` elements of `buffer`, which hold anything.
        fn take(buffer: &mut Aligned, len: usize) -> &mut [Self];

        /// Rows of the register tile of `token`; of any tile, where it is not ours.
        fn tile_rows(token: Token) -> usize;

        /// Runs the product with the instruction set of `token`.
        fn run(gemm: Gemm<'_, Self>, token: Token);

        /// C ← α A B + β C as `matrixmultiply` has it; strides of rows stand before those of columns.
        ///
        /// # Safety
        /// Every entry of \[m × k\], \[k × n\] and \[m × n\] at these strides can be read, of C written, and no two
        /// entries of C share a place.
        unsafe fn matrixmultiply(
            sizes: [usize; 3],
            alpha: Self,
            a: (*const Self, isize, isize),
            b: (*const Self, isize, isize),
            beta: Self,
            c: (*mut Self, isize, isize),
        );
    }
}

macro_rules! element {
    ($type:ty, $take:ident, $matrixmultiply:path) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
        }

        impl sealed::Dispatch for $type {
            fn take(buffer: &mut Aligned, len: usize) -> &mut [Self] {
                buffer.$take(len)
            }

            fn tile_rows(token: Token) -> usize {
                match token {
                    Token::Portable(_) => 16,
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx2(_) => <crate::arch::avx2::Avx2 as crate::arch::GemmKernel<Self>>::MR,
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx512(_) => <crate::arch::avx512::Avx512 as crate::arch::GemmKernel<Self>>::MR,
                }
            }

            fn run(gemm: Gemm<'_, Self>, token: Token) {
                match token {
                    Token::Portable(_) => gemm.run_matrixmultiply(),
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx2(token) => token.run(gemm),
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx512(token) => token.run(gemm),
                }
            }

            unsafe fn matrixmultiply(
                [m, k, n]: [usize; 3],
                alpha: Self,
                a: (*const Self, isize, isize),
                b: (*const Self, isize, isize),
                beta: Self,
                c: (*mut Self, isize, isize),
            ) {
                // SAFETY: the caller's guarantees are those that are asked for.
                unsafe { $matrixmultiply(m, k, n, alpha, a.0, a.1, a.2, b.0, b.1, b.2, beta, c.0, c.1, c.2) }
            }
        }
    };
}

element!(f32, take, matrixmultiply::sgemm);
element!(f64, take_f64, matrixmultiply::dgemm);
