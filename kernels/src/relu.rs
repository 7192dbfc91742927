//! The two passes of a two-layer ReLU network that are not dense products.
//!
//! # Forward
//! h_i = Σ_k a_k act(⟨v_k, x_i⟩). Only h and one bit per (sample, neuron) are needed afterwards, so activation, the sum
//! over neurons and the bits are made of the pre-activations while they are in registers; the N × m matrix of them is
//! never stored. A register holds neurons, so that of all operands only v, the smaller one, is packed; the rows of x are
//! read where they lie, one element for all lanes. The bits come out sample by sample, and are transposed to words by
//! blocks of 64 samples. The identity's sum over neurons is taken first: h_i = ⟨x_i, Σ_k a_k v_k⟩.
//!
//! # Backward
//! G_k = Σ_i s_i b_ik x_i with s_i ∈ {−1, 0, 1} and b_ik ∈ {0, 1} is no product but a sum of selected rows. Samples
//! with s_i = 0 are dropped first. Of the others, G at a time, all 2^G subset sums of the signed rows are tabulated,
//! each by one addition to a smaller one; then one look-up and one addition per neuron account for G samples. This is
//! the method of the four Russians (Arlazarov, Dinic, Kronrod and Faradzev 1970). For m neurons and a block of 16
//! features it takes N m / G + 2^G N / G vector additions in place of N m. The identity's mask is all 1, all G_k are one
//! sum, and that is made once.

use crate::arch::{Algorithm, ReluKernel, Row, Sums, table_entries};
use crate::error::Operand;
use crate::gemm::FLOPS_PER_NS;
use crate::isa::{Executor, Token};
use crate::mask::BLOCK;
use crate::pack::pack_panels;
use crate::view::BlockMut;
use crate::workspace::{Aligned, LINE};
use crate::{Blocking, Mask, MatMut, MatRef, ShapeError, Workspace};

/// The activation function of the hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// max(0, z). Its derivative at 0 is taken as 1: a neuron is active if z ≥ 0. Paper: section 2.
    Relu,
    /// z, active everywhere.
    Identity,
}

impl Executor {
    /// h_i = Σ_k a_k act(⟨v_k, x_i⟩), and bit (i, k) of `mask` = \[⟨v_k, x_i⟩ ≥ 0\] (1 for the identity).
    ///
    /// `x`: \[N × d0\] samples, `v`: \[m × d0\] neurons, of any strides (row-major is fast), `a`: \[m\], `h`: \[N\],
    /// overwritten. `mask` takes the shape \[N × m\]. For ReLU a pre-activation that is NaN, not being
    /// less than 0, counts as active and makes h_i NaN. Sizes
    /// of 0 are allowed: without neurons h = 0, without features every pre-activation is 0.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit; nothing is then written.
    #[expect(clippy::too_many_arguments)] // the equation has these operands
    pub fn forward(
        &self,
        act: Activation,
        x: MatRef<'_, f32>,
        v: MatRef<'_, f32>,
        a: &[f32],
        h: &mut [f32],
        mask: &mut Mask,
        ws: &mut Workspace,
    ) -> Result<(), ShapeError> {
        check_forward(x, v, a, h)?;
        h.fill(0.0);
        // Without features every pre-activation is 0, whatever the activation.
        if act == Activation::Identity || x.cols() == 0 {
            mask.resize_full(x.rows(), v.rows());
            let linear = Linear { x, v, a, h, ws };
            match self.token() {
                Token::Portable(token) => token.run(linear),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(token) => token.run(linear),
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(token) => token.run(linear),
            }
            return Ok(());
        }
        mask.resize_unspecified(x.rows(), v.rows());
        let (n, d0, m) = (x.rows(), x.cols(), v.rows());
        let neurons = (self.blocking().forward_v_bytes / (size_of::<f32>() * d0)).clamp(1, m.max(1));
        let neurons = neurons.next_multiple_of(WIDEST_PANEL);
        // Whole words of samples a thread.
        let shares = self.shares(2.0 * n as f64 * d0 as f64 * m as f64 / FLOPS_PER_NS);
        let share = n.div_ceil(BLOCK).div_ceil(shares) * BLOCK;
        // Taken out, so that all threads can read the packed neurons while the workspace lends each its memory.
        let mut buffer = std::mem::take(&mut ws.b);
        let packed = buffer.take(neurons * (d0 + 1));
        // Blocks of neurons, as many as L2 holds.
        for k0 in (0..m).step_by(neurons) {
            let neurons = neurons.min(m - k0);
            let pack = PackNeurons { v, a, k0, neurons, buffer: &mut *packed };
            match self.token() {
                Token::Portable(token) => token.run(pack),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(token) => token.run(pack),
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(token) => token.run(pack),
            }
            let run = |x, h, words, ws: &mut Workspace| {
                let forward = Forward { x, packed: &*packed, m, k0, neurons, h, words, ws };
                match self.token() {
                    Token::Portable(token) => token.run(forward),
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx2(token) => token.run(forward),
                    #[cfg(target_arch = "x86_64")]
                    Token::Avx512(token) => token.run(forward),
                }
            };
            let words = mask.words_mut();
            if share >= n {
                run(x, &mut *h, words, ws);
            } else {
                let items = h.chunks_mut(share).zip(words.chunks_mut(share / BLOCK * m)).enumerate();
                ws.share_out(self, items, |(i, (h, words)), ws| run(x.row_range(i * share, h.len()), h, words, ws));
            }
        }
        ws.b = buffer;
        Ok(())
    }

    /// G_k = Σ_i s_i b_ik x_i.
    ///
    /// `x`: \[N × d0\] samples, of any strides (row-major is fast), `s`: \[N\], each −1, 0 or 1, `mask`: b, \[N × m\],
    /// `g`: \[m × d0\], of any strides, overwritten. A sample with s_i b_ik = 0 adds nothing to G_k, be it finite or
    /// not. Sizes of 0 are allowed.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if the shapes do not fit, [`ShapeError::Sign`] if some s_i is none of −1, 0, 1; nothing
    /// is then written.
    pub fn backward(
        &self,
        x: MatRef<'_, f32>,
        s: &[i8],
        mask: &Mask,
        g: MatMut<'_, f32>,
        ws: &mut Workspace,
    ) -> Result<(), ShapeError> {
        check_backward(x, s, mask, &g)?;
        if g.is_empty() {
            return Ok(());
        }
        if mask.is_known_full() {
            let sum = SignedSum { x, s, g, ws };
            match self.token() {
                Token::Portable(token) => token.run(sum),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(token) => token.run(sum),
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(token) => token.run(sum),
            }
            return Ok(());
        }
        let (m, d0) = (mask.neurons(), x.cols());
        let group = match self.blocking().backward_group {
            0 => group_size(m),
            forced => forced.min(6),
        };
        // Taken out, so that all threads can read them while the workspace lends each its memory.
        let (mut rows, mut compacted) = (std::mem::take(&mut ws.rows), std::mem::take(&mut ws.words));
        // Room for any number of active samples, so that a later call with more of them, or the first with fewer than all,
        // allocates nothing.
        rows.clear();
        rows.reserve(s.len());
        compacted.clear();
        compacted.reserve(mask.words().len());
        let signs = s.iter().enumerate().filter(|&(_, &s)| s != 0);
        rows.extend(signs.map(|(i, &s)| Row { start: i * x.row_stride(), sign: f32::from(s) }));
        let words = if rows.len() == s.len() {
            mask.words()
        } else {
            self.compact(mask, s, &mut compacted);
            &compacted
        };
        let run = |(k0, j0, g), ws: &mut Workspace| {
            let backward = Backward { x, m, group, rows: &rows, words, k0, j0, g, blocking: self.blocking(), ws };
            match self.token() {
                Token::Portable(token) => token.run(backward),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(token) => token.run(backward),
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(token) => token.run(backward),
            }
        };
        let shares = self.shares(2.0 * rows.len() as f64 * m as f64 * d0 as f64 / (3.0 * FLOPS_PER_NS));
        let (share_m, share_d0) = share_sums(shares, (m, d0), group);
        let mut blocks = g.blocks(share_m, share_d0);
        if blocks.len() == 1 {
            blocks.by_ref().for_each(|block| run(block, ws));
        } else {
            ws.share_out(self, blocks, run);
        }
        (ws.rows, ws.words) = (rows, compacted);
        Ok(())
    }
}

/// Whether the arguments of a forward pass fit one another.
pub(crate) fn check_forward<T>(x: MatRef<'_, T>, v: MatRef<'_, T>, a: &[T], h: &[T]) -> Result<(), ShapeError> {
    let mismatch =
        |left: Operand, right: Operand, rule| Err(ShapeError::Mismatch { operation: "forward", left, right, rule });
    if x.cols() != v.cols() {
        return mismatch(x.operand("x"), v.operand("v"), "v has as many columns as x");
    }
    if a.len() != v.rows() {
        return mismatch(v.operand("v"), Operand::vector("a", a.len()), "a has one entry per row of v");
    }
    if h.len() != x.rows() {
        return mismatch(x.operand("x"), Operand::vector("h", h.len()), "h has one entry per row of x");
    }
    Ok(())
}

/// Whether the arguments of a backward pass fit one another.
pub(crate) fn check_backward<T>(x: MatRef<'_, T>, s: &[i8], mask: &Mask, g: &MatMut<'_, T>) -> Result<(), ShapeError> {
    let mismatch =
        |left: Operand, right: Operand, rule| Err(ShapeError::Mismatch { operation: "backward", left, right, rule });
    let mask_operand = Operand::matrix("mask", mask.samples(), mask.neurons());
    if s.len() != x.rows() {
        return mismatch(x.operand("x"), Operand::vector("s", s.len()), "s has one entry per row of x");
    }
    if mask.samples() != x.rows() {
        return mismatch(x.operand("x"), mask_operand, "mask has one sample per row of x");
    }
    if g.rows() != mask.neurons() {
        return mismatch(mask_operand, g.operand("g"), "g has one row per neuron of mask");
    }
    if g.cols() != x.cols() {
        return mismatch(x.operand("x"), g.operand("g"), "g has as many columns as x");
    }
    if let Some(index) = s.iter().position(|s| !(-1..=1).contains(s)) {
        return Err(ShapeError::Sign { index, value: s[index] });
    }
    Ok(())
}

/// The identity's h_i = ⟨x_i, Σ_k a_k v_k⟩, (N + m) d0 products in place of N m d0; `h` is all 0.
struct Linear<'a> {
    x: MatRef<'a, f32>,
    v: MatRef<'a, f32>,
    a: &'a [f32],
    h: &'a mut [f32],
    ws: &'a mut Workspace,
}

impl<A> Algorithm<A> for Linear<'_> {
    #[inline(always)]
    fn run(self, _: A) {
        let Self { x, v, a, h, ws } = self;
        let d0 = x.cols();
        if a.is_empty() || d0 == 0 {
            return;
        }
        let collapsed = ws.b.take(d0);
        collapsed.fill(0.0);
        for (k, a) in a.iter().enumerate() {
            let row = &v.data()[k * v.row_stride()..];
            if v.col_stride() == 1 {
                collapsed.iter_mut().zip(&row[..d0]).for_each(|(sum, v)| *sum += a * v);
            } else {
                collapsed.iter_mut().enumerate().for_each(|(j, sum)| *sum += a * row[j * v.col_stride()]);
            }
        }
        for (i, h) in h.iter_mut().enumerate() {
            let row = &x.data()[i * x.row_stride()..];
            if x.col_stride() == 1 {
                // Sums side by side, which the compiler may not make of one.
                let (x, x_rest) = row[..d0].as_chunks::<LINE>();
                let (u, u_rest) = collapsed.as_chunks::<LINE>();
                let mut sums = [0.0; LINE];
                for (x, u) in x.iter().zip(u) {
                    sums = std::array::from_fn(|lane| sums[lane] + x[lane] * u[lane]);
                }
                *h = sums.iter().sum::<f32>() + x_rest.iter().zip(u_rest).map(|(x, u)| x * u).sum::<f32>();
            } else {
                *h = collapsed.iter().enumerate().map(|(j, u)| row[j * x.col_stride()] * u).sum();
            }
        }
    }
}

/// Packs neurons `k0..k0 + neurons` for the forward tile.
struct PackNeurons<'a> {
    v: MatRef<'a, f32>,
    a: &'a [f32],
    k0: usize,
    neurons: usize,
    buffer: &'a mut [f32],
}

impl<A: ReluKernel> Algorithm<A> for PackNeurons<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        let Self { v, a, k0, neurons, buffer } = self;
        NeuronBlock::pack(arch, v, a, (k0, neurons), buffer);
    }
}

/// The share of one block of packed neurons in a forward pass of ReLU, d0 > 0: h of these samples and their words.
struct Forward<'a> {
    x: MatRef<'a, f32>,
    packed: &'a [f32],
    /// Neurons of the mask.
    m: usize,
    /// The block's first neuron, and how many it has.
    k0: usize,
    neurons: usize,
    h: &'a mut [f32],
    /// The mask's words of these samples, of all neurons.
    words: &'a mut [u64],
    ws: &'a mut Workspace,
}

impl<A: ReluKernel> Algorithm<A> for Forward<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        let Self { x, packed, m, k0, neurons, h, words, ws } = self;
        let d0 = x.cols();
        let block = NeuronBlock::packed::<A>(packed, d0, neurons);
        let mut scratch = ForwardScratch::new::<A>(neurons, d0, &mut ws.a, &mut ws.tile, &mut ws.bits);
        // Blocks of 64 samples, one word of each neuron's mask.
        for ((b, h), words) in h.chunks_mut(BLOCK).enumerate().zip(words.chunks_exact_mut(m)) {
            block.forward(arch, x, b * BLOCK, h, &mut words[k0..k0 + neurons], &mut scratch);
        }
    }
}

/// What a block of samples needs while it is worked on.
struct ForwardScratch<'a> {
    /// Rows that cannot be read where they lie, \[BLOCK\]\[d0\].
    rows: &'a mut [f32],
    /// Σ_k a_k ReLU(z_ik), lane by lane, \[BLOCK\]\[LANES\].
    sums: &'a mut [f32],
    /// The activation pattern, sample by sample, \[neurons / LANES\]\[BLOCK\]\[LANES / 8\].
    bits: &'a mut [u8],
}

impl<'a> ForwardScratch<'a> {
    #[inline(always)]
    fn new<A: ReluKernel>(
        neurons: usize,
        d0: usize,
        rows: &'a mut Aligned,
        sums: &'a mut Aligned,
        bits: &'a mut Vec<u8>,
    ) -> Self {
        bits.resize(bits.len().max(neurons.next_multiple_of(A::LANES) / 8 * BLOCK), 0);
        Self { rows: rows.take(BLOCK * d0), sums: sums.take(BLOCK * A::LANES), bits }
    }
}

/// Neurons of the widest panel of any instruction set, a multiple of every other's.
const WIDEST_PANEL: usize = 48;

/// Neurons packed for the forward tile: panels of VECTORS registers, the last ones narrower.
struct NeuronBlock<'a> {
    d0: usize,
    neurons: usize,
    /// \[panel\]\[d0\]\[the panel's width\]
    v: &'a [f32],
    /// \[neurons\], filled up with 0
    a: &'a [f32],
}

impl<'a> NeuronBlock<'a> {
    /// Neurons `k0..k0 + neurons`, packed into `buffer`, which has at least (d0 + 1) places for each register's neurons.
    #[inline(always)]
    fn pack<A: ReluKernel>(arch: A, v: MatRef<'_, f32>, a: &[f32], (k0, neurons): (usize, usize), buffer: &mut [f32]) {
        let d0 = v.cols();
        let padded = neurons.next_multiple_of(A::LANES);
        let (v_pack, a_pack) = buffer.split_at_mut(padded * d0);
        let a_pack = &mut a_pack[..padded];
        a_pack[..neurons].copy_from_slice(&a[k0..k0 + neurons]);
        a_pack[neurons..].fill(0.0);
        for (k, count) in panels::<A>(neurons) {
            let width = count.next_multiple_of(A::LANES);
            pack_panels(arch, v, (k0 + k, count), (0, d0), width, &mut v_pack[k * d0..][..width * d0]);
        }
    }

    /// What [`NeuronBlock::pack`] has put into `buffer`.
    #[inline(always)]
    fn packed<A: ReluKernel>(buffer: &'a [f32], d0: usize, neurons: usize) -> Self {
        const { assert!(WIDEST_PANEL.is_multiple_of(A::VECTORS * A::LANES)) };
        let padded = neurons.next_multiple_of(A::LANES);
        let (v, a) = buffer.split_at(padded * d0);
        Self { d0, neurons, v, a: &a[..padded] }
    }

    /// h_i ← h_i + Σ_k a_k ReLU(⟨v_k, x_i⟩) over the block's neurons, for the `h.len()` ≤ 64 rows of `x` from `i0` on, and
    /// their bits.
    #[inline(always)]
    fn forward<A: ReluKernel>(
        &self,
        arch: A,
        x: MatRef<'_, f32>,
        i0: usize,
        h: &mut [f32],
        words: &mut [u64],
        scratch: &mut ForwardScratch<'_>,
    ) {
        const { assert!(BLOCK.is_multiple_of(A::SAMPLES)) };
        let (d0, samples) = (self.d0, h.len());
        let x_from = &x.data()[i0 * x.row_stride()..];
        // Rows of whole tiles are read where they lie if they are contiguous; the others are copied together, with 0 for
        // those that a tile lacks.
        let in_place = if x.col_stride() == 1 { samples / A::SAMPLES * A::SAMPLES } else { 0 };
        for (i, row) in (in_place..samples.next_multiple_of(A::SAMPLES)).zip(scratch.rows.chunks_exact_mut(d0)) {
            for (j, value) in row.iter_mut().enumerate() {
                *value = if i < samples { x_from[i * x.row_stride() + j * x.col_stride()] } else { 0.0 };
            }
        }

        let sums = &mut scratch.sums[..samples.next_multiple_of(A::SAMPLES) * A::LANES];
        sums.fill(0.0);
        let register_bytes = BLOCK * A::LANES / 8;
        // Panels of neurons.
        for (k, count) in panels::<A>(self.neurons) {
            let width = count.next_multiple_of(A::LANES);
            let (v, a) = (&self.v[k * d0..][..width * d0], &self.a[k..][..width]);
            // Tiles of samples.
            for (tile, sums) in sums.chunks_exact_mut(A::SAMPLES * A::LANES).enumerate() {
                let i = tile * A::SAMPLES;
                let (x, row_stride) = if i < in_place {
                    (&x_from[i * x.row_stride()..], x.row_stride())
                } else {
                    (&scratch.rows[(i - in_place) * d0..], d0)
                };
                let bits = &mut scratch.bits[k / A::LANES * register_bytes + i * A::LANES / 8..];
                arch.forward_tile(d0, x, row_stride, v, a, count, sums, bits);
            }
        }
        for (h, sums) in h.iter_mut().zip(sums.chunks_exact(A::LANES)) {
            *h += arch.reduce(sums);
        }
        for (words, bits) in words.chunks_mut(A::LANES).zip(scratch.bits.chunks_exact(register_bytes)) {
            arch.transpose_bits(bits, words);
        }
        if samples < BLOCK {
            words.iter_mut().for_each(|word| *word &= (1 << samples) - 1);
        }
    }
}

/// The panels of `neurons` neurons, each by its first and its number: as wide as the widest tile, but for the last ones,
/// so that none is of one register if that can be avoided.
#[inline(always)]
fn panels<A: ReluKernel>(neurons: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let rest = (neurons - first).div_ceil(A::LANES);
        let registers = if rest == A::VECTORS + 1 { rest.div_ceil(2) } else { rest.min(A::VECTORS) };
        let panel = (first, (registers * A::LANES).min(neurons - first));
        first += panel.1;
        (panel.1 > 0).then_some(panel)
    })
}

/// One block of G: of the neurons from `k0` on and the features from `j0` on, as many as `g` has.
struct Backward<'a> {
    x: MatRef<'a, f32>,
    /// Neurons of the mask.
    m: usize,
    /// Samples per table.
    group: usize,
    /// The samples that count.
    rows: &'a [Row],
    /// Their bits, block-major as a mask's.
    words: &'a [u64],
    k0: usize,
    j0: usize,
    g: BlockMut<'a, f32>,
    blocking: Blocking,
    ws: &'a mut Workspace,
}

impl<A: ReluKernel> Algorithm<A> for Backward<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        match self.group {
            1 => self.run_with::<A, 1>(arch),
            2 => self.run_with::<A, 2>(arch),
            3 => self.run_with::<A, 3>(arch),
            4 => self.run_with::<A, 4>(arch),
            5 => self.run_with::<A, 5>(arch),
            _ => self.run_with::<A, 6>(arch),
        }
    }
}

/// How to cut G, \[m × d0\], in up to `shares` blocks: rows and columns of a block, columns a multiple of 16.
///
/// A block of features costs its tables, which every block of neurons builds anew, and the look-ups of its neurons, in the
/// units of [`group_size`]; the most expensive block counts.
fn share_sums(shares: usize, (m, d0): (usize, usize), group: usize) -> (usize, usize) {
    let feature_blocks = d0.div_ceil(LINE);
    let cut = |across: usize| (m.div_ceil(shares / across), feature_blocks.div_ceil(across));
    let cost = |&(neurons, blocks): &(usize, usize)| blocks * (8 * (1 << group) + 5 * neurons);
    let best = (1..=shares.min(feature_blocks)).map(cut).min_by_key(cost);
    best.map_or((m, d0), |(neurons, blocks)| (neurons, blocks * LINE))
}

/// Samples per table for `neurons` neurons: the G that minimises the time of 64 samples and 16 features, ⌈64 / G⌉ (2 ·
/// 2^G + 1.25 m) cycles. Storing a table's entry of 64 bytes takes 2, a look-up 1.25 (Zen 4, measured, AVX-512 and AVX2
/// alike).
///
/// The tables of G ≤ 5 (26 KiB) fit L1. Those of 6 (44 KiB) do not, and repay it from about 512 neurons on.
fn group_size(neurons: usize) -> usize {
    let largest = if neurons < 512 { 5 } else { 6 };
    let quarter_cycles = |&g: &usize| BLOCK.div_ceil(g) * (8 * (1 << g) + 5 * neurons);
    (1..=largest).min_by_key(quarter_cycles).unwrap_or(largest)
}

impl Backward<'_> {
    #[inline(always)]
    fn run_with<A: ReluKernel, const G: usize>(self, arch: A) {
        let Self { x, m: all, rows, words, k0, j0: first, mut g, blocking, ws, .. } = self;
        let (m, d0) = (g.rows(), g.cols());

        let tables = ws.a.take(BLOCK.div_ceil(G) * table_entries(G) * LINE);
        let gathered = ws.tile.take(BLOCK * LINE);
        let feature_blocks = blocking.backward_sums_bytes / (m * LINE * size_of::<f32>());
        let features = LINE * feature_blocks.clamp(1, d0.div_ceil(LINE));
        let sums = ws.b.take(m * features);

        // Blocks of features, as many as keep their sums over all neurons in L2.
        for j0 in (0..d0).step_by(features) {
            let features = features.min(d0 - j0);
            let sums = &mut sums[..m * features.next_multiple_of(LINE)];
            if rows.is_empty() {
                sums.fill(0.0);
            }
            let blocks = rows.len().div_ceil(BLOCK);
            // Blocks of 64 samples, read once.
            for (b, (rows, words)) in rows.chunks(BLOCK).zip(words.chunks_exact(all)).enumerate() {
                let words = &words[k0..k0 + m];
                let groups = rows.len().div_ceil(G);
                // Blocks of 16 features, whose tables stay in L1.
                for (block, sums) in sums.chunks_exact_mut(m * LINE).enumerate() {
                    let j = block * LINE;
                    let width = LINE.min(features - j);
                    let x_from = &x.data()[(first + j0 + j) * x.col_stride()..];
                    if x.col_stride() == 1 || width == 1 {
                        arch.subset_sums::<G>(x_from, rows, width, tables);
                    } else {
                        let gathered_rows = gather(x_from, x.col_stride(), rows, width, gathered);
                        arch.subset_sums::<G>(gathered, &gathered_rows[..rows.len()], width, tables);
                    }
                    // The look-ups past the last sample find 0.
                    for table in tables.chunks_exact_mut(table_entries(G) * LINE).skip(groups) {
                        table[..LINE].fill(0.0);
                    }
                    let direct = if b + 1 == blocks && width == LINE { g.columns(j0 + j, LINE) } else { None };
                    arch.add_subsets::<G>(groups, words, tables, Sums::new(sums, b == 0, direct));
                }
            }
            // What has not been written by the last samples.
            for (block, sums) in sums.chunks_exact(m * LINE).enumerate() {
                let j0 = j0 + block * LINE;
                let width = LINE.min(d0 - j0);
                if width == LINE && !rows.is_empty() && g.columns(j0, LINE).is_some() {
                    continue;
                }
                for (k, sum) in sums.as_chunks::<LINE>().0.iter().enumerate() {
                    g.write(k, j0, &sum[..width]);
                }
            }
        }
    }
}

/// The backward pass of a mask that is all 1, as the identity network's is: every G_k is Σ_i s_i x_i, computed once.
struct SignedSum<'a> {
    x: MatRef<'a, f32>,
    s: &'a [i8],
    g: MatMut<'a, f32>,
    ws: &'a mut Workspace,
}

impl<A> Algorithm<A> for SignedSum<'_> {
    #[inline(always)]
    fn run(self, _: A) {
        let Self { x, s, mut g, ws } = self;
        let (d0, row_stride, col_stride) = (x.cols(), g.row_stride(), g.col_stride());
        let sums = ws.b.take(d0);
        sums.fill(0.0);
        for (i, &s) in s.iter().enumerate().filter(|&(_, &s)| s != 0) {
            let (row, sign) = (&x.data()[i * x.row_stride()..], f32::from(s));
            // The product is exact, so only the sum rounds.
            if x.col_stride() == 1 {
                sums.iter_mut().zip(&row[..d0]).for_each(|(sum, x)| *sum += sign * x);
            } else {
                sums.iter_mut().enumerate().for_each(|(j, sum)| *sum += sign * row[j * x.col_stride()]);
            }
        }
        let rows = g.rows();
        let g = g.data_mut();
        for k in 0..rows {
            let g = &mut g[k * row_stride..];
            if col_stride == 1 {
                g[..d0].copy_from_slice(sums);
            } else {
                sums.iter().enumerate().for_each(|(j, &sum)| g[j * col_stride] = sum);
            }
        }
    }
}

impl Executor {
    fn compact(&self, mask: &Mask, s: &[i8], out: &mut Vec<u64>) {
        let compact = Compact { mask, s, out };
        match self.token() {
            Token::Portable(token) => token.run(compact),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.run(compact),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.run(compact),
        }
    }
}

/// The arguments of [`compact`].
struct Compact<'a> {
    mask: &'a Mask,
    s: &'a [i8],
    out: &'a mut Vec<u64>,
}

impl<A: ReluKernel> Algorithm<A> for Compact<'_> {
    #[inline(always)]
    fn run(self, arch: A) {
        compact(arch, self.mask, self.s, self.out);
    }
}

/// The mask without the samples whose sign is 0, the others moved together; block-major as the mask.
#[inline(always)]
fn compact<A: ReluKernel>(arch: A, mask: &Mask, s: &[i8], out: &mut Vec<u64>) {
    let m = mask.neurons();
    let active = s.iter().filter(|&&s| s != 0).count();
    out.clear();
    out.resize(active.div_ceil(BLOCK) * m, 0);
    let mut filled = 0;
    for (s, words) in s.chunks(BLOCK).zip(mask.words().chunks_exact(m)) {
        let select = s.iter().enumerate().fold(0, |select, (i, &s)| select | u64::from(s != 0) << i);
        let (row, shift) = (filled / BLOCK, filled % BLOCK);
        filled += select.count_ones() as usize;
        if select == 0 {
            continue;
        }
        for (out, &word) in out[row * m..].iter_mut().zip(words) {
            *out |= arch.extract_bits(word, select) << shift;
        }
        if filled > (row + 1) * BLOCK {
            for (out, &word) in out[(row + 1) * m..].iter_mut().zip(words) {
                *out |= arch.extract_bits(word, select) >> (BLOCK - shift);
            }
        }
    }
}

/// Copies the first `width` features of `rows`, which are `col_stride` apart in `x`, together; 16 places a row. Returns
/// where they are now.
#[inline(always)]
fn gather(x: &[f32], col_stride: usize, rows: &[Row], width: usize, out: &mut [f32]) -> [Row; BLOCK] {
    let mut gathered = [Row { start: 0, sign: 0.0 }; BLOCK];
    for (r, (row, out)) in rows.iter().zip(out.as_chunks_mut::<LINE>().0).enumerate() {
        for (j, out) in out[..width].iter_mut().enumerate() {
            *out = x[row.start + j * col_stride];
        }
        gathered[r] = Row { start: r * LINE, sign: row.sign };
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::portable::Portable;

    #[test]
    fn compaction_keeps_order() {
        for n in [1, 63, 64, 65, 130, 200, 300] {
            for keep in [1, 2, 3, 7, 100] {
                let m = 3;
                let mut mask = Mask::new(n, m);
                for i in 0..n {
                    for k in 0..m {
                        mask.set(i, k, (i * i + k) % 3 == 0);
                    }
                }
                let s: Vec<i8> = (0..n).map(|i| if i % keep == 0 || keep == 100 { 1 } else { 0 }).collect();
                let active: Vec<usize> = (0..n).filter(|&i| s[i] != 0).collect();
                let mut words = vec![7];
                compact(Portable, &mask, &s, &mut words);
                let mut expected = Mask::new(active.len(), m);
                for (row, &i) in active.iter().enumerate() {
                    for k in 0..m {
                        expected.set(row, k, mask.get(i, k));
                    }
                }
                assert_eq!(words, expected.words());
            }
        }
    }

    #[test]
    fn groups_grow_with_the_neurons() {
        let sizes: Vec<usize> = [1, 8, 64, 256, 1024].into_iter().map(group_size).collect();
        assert_eq!(sizes, [2, 3, 4, 5, 6]);
    }
}
