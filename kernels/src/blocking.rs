//! Tuning tables: how much of each operand a kernel works on at a time, and why.

use crate::Isa;

/// Which operands of a product are copied together before they are read. No choice changes a bit of the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Packing {
    /// By shape and strides, as was measured to be fast.
    #[default]
    Measured,
    /// Both, A by blocks of rows.
    Blocks,
    /// Both; A, if its columns are contiguous and B's block is small, a panel of rows at a time, each copied during the work
    /// on the one before.
    Panels,
    /// Neither, except a B whose columns are not contiguous.
    Never,
}

/// Block sizes of the packed kernels.
///
/// Results depend on them only by rounding. An executor has a table for its instruction set; a test gives tiny ones so
/// that small matrices cross every block edge. Sizes need not be multiples of anything: a kernel rounds them up to its
/// tile, and 0 counts as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// GEMM: rows of A packed at a time.
    pub gemm_mc: usize,
    /// GEMM: common dimension packed at a time.
    pub gemm_kc: usize,
    /// GEMM: columns of B packed at a time.
    pub gemm_nc: usize,
    /// GEMM: which operands are packed.
    pub gemm_packing: Packing,
    /// Forward: bytes of packed v that a pass over the samples uses.
    pub forward_v_bytes: usize,
    /// Backward: samples per subset-sum table, 1 to 6; 0 lets the number of neurons decide.
    pub backward_group: usize,
    /// Backward: bytes of sums (neurons × features) that a pass over the samples uses.
    pub backward_sums_bytes: usize,
    /// Nanoseconds of work that are worth another thread.
    pub share_ns: usize,
}

impl Blocking {
    /// The table for `isa`.
    #[must_use]
    pub fn for_isa(isa: Isa) -> Self {
        match isa {
            // One table so far. On Zen 4 (32 KiB of L1, 1 MiB of L2 a core), mc from 240 to 960 and kc from 128 to 512
            // differ by 5 % at 512 x 512 x 512 and 1000 x 256 x 256, on AVX2 and AVX-512; these are the best or near it.
            Isa::Portable | Isa::Avx2 | Isa::Avx512 => Self::ZEN_4,
        }
    }

    const ZEN_4: Self = Self {
        // With kc below, the packed block of A takes 480 KiB, half of L2. A multiple of 6 and of 12 rows.
        gemm_mc: 240,
        // C is read and written once per kc: long ones spare its traffic. Micro-panels then take kc (MR + NR) 4 bytes,
        // 44 KiB for 6 x 16 and 88 KiB for 12 x 32; what L1 does not keep streams from L2, at most 14 loads for 24 FMAs.
        gemm_kc: 512,
        // With kc above, the packed block of B takes 4 MiB of L3.
        gemm_nc: 2048,
        gemm_packing: Packing::Measured,
        // Half of L2, so that the panel of x and h stay there too.
        forward_v_bytes: 512 << 10,
        backward_group: 0,
        // Half of L2, so that a block of samples and its mask stay there too.
        backward_sums_bytes: 512 << 10,
        // A thread that spins is reached and heard from in 0.4 µs, but one that sleeps takes the caller 8 µs to wake and
        // comes after 25 to 60 µs, when the caller may be through (measured on a virtual machine). With 20 µs, an isolated
        // call is a fifth slower at the worst, and each of a series is faster.
        share_ns: 20_000,
    };
}
