//! Tuning tables: how much of each operand a kernel works on at a time, and why.

use crate::Isa;

/// Block sizes of the packed kernels.
///
/// Results depend on them only by rounding. An executor has a table for its instruction set; a test gives tiny ones so that small
/// matrices cross every block edge. Sizes need not be multiples of anything: a kernel rounds them up to its tile, and 0 counts
/// as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// GEMM: rows of A packed at a time.
    pub gemm_mc: usize,
    /// GEMM: common dimension packed at a time.
    pub gemm_kc: usize,
    /// GEMM: columns of B packed at a time.
    pub gemm_nc: usize,
    /// Forward: bytes of packed v that a pass over the samples uses.
    pub forward_v_bytes: usize,
    /// Backward: samples per subset-sum table, 1 to 6; 0 lets the number of neurons decide.
    pub backward_group: usize,
}

impl Blocking {
    /// The table for `isa`.
    #[must_use]
    pub fn for_isa(isa: Isa) -> Self {
        // Micro-panels of A and B live in L1 (32 KiB on Zen 4): kc (MR + NR) 4 bytes = 44 KiB for 12 x 32 and 22 KiB for 6 x 16,
        // of which B's stays while A's streams through. The packed block of A takes half of L2 (1 MiB): mc kc 4 bytes = 480
        // KiB. The packed block of B takes a share of L3: nc kc 4 bytes = 4 MiB.
        let (gemm_mc, gemm_nc) = match isa {
            Isa::Avx512 => (480, 4096),
            Isa::Avx2 | Isa::Portable => (480, 4096),
        };
        Self {
            gemm_mc,
            gemm_kc: 256,
            gemm_nc,
            // Half of L2, so that the panel of x and h stay there too.
            forward_v_bytes: 512 << 10,
            backward_group: 0,
        }
    }
}
