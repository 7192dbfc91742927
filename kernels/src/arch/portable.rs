//! Micro-kernels in plain Rust, left to the compiler's vectoriser.

use super::{Algorithm, PackKernel, ReluKernel, Row, Sums, table_entries};
use crate::mask::BLOCK;
use crate::workspace::LINE;

/// Proof of nothing: every host runs these.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Portable {
    pub(crate) fn run(self, algorithm: impl Algorithm<Self>) {
        algorithm.run(self);
    }
}

impl<T: Copy> PackKernel<T> for Portable {}

impl ReluKernel for Portable {
    // 2 x 16 sums are 8 of the 16 registers of SSE2, the least an x86-64 has; v takes 4 more and x 2.
    const LANES: usize = 16;
    const VECTORS: usize = 1;
    const SAMPLES: usize = 2;

    #[inline(always)]
    fn forward_tile(
        self,
        depth: usize,
        x: &[f32],
        row_stride: usize,
        v: &[f32],
        a: &[f32],
        neurons: usize,
        sums: &mut [f32],
        bits: &mut [u8],
    ) {
        const LANES: usize = Portable::LANES;
        let mut z = [[0.0_f32; LANES]; Portable::SAMPLES];
        let rows: [&[f32]; Portable::SAMPLES] = std::array::from_fn(|i| &x[i * row_stride..][..depth]);
        for (p, v) in v[..depth * LANES].as_chunks::<LANES>().0.iter().enumerate() {
            // The row of sums is copied out and back, whole, so that the vectoriser keeps it in registers.
            for (z, x) in z.iter_mut().zip(rows) {
                let row = *z;
                *z = std::array::from_fn(|k| row[k] + x[p] * v[k]);
            }
        }
        let bits = bits[..LANES / 8 * Portable::SAMPLES].as_chunks_mut::<{ LANES / 8 }>().0;
        for ((z, sums), bits) in z.iter().zip(sums.as_chunks_mut::<LANES>().0).zip(bits) {
            let mut active = 0_u16;
            for (k, ((z, a), sum)) in z.iter().zip(a).zip(sums).enumerate().take(neurons) {
                // A NaN is not < 0 and goes on into the sum.
                let inactive = *z < 0.0;
                active |= u16::from(!inactive) << k;
                *sum += a * if inactive { 0.0 } else { *z };
            }
            *bits = active.to_le_bytes();
        }
    }

    #[inline(always)]
    fn reduce(self, lanes: &[f32]) -> f32 {
        lanes.iter().sum()
    }

    #[inline(always)]
    fn transpose_bits(self, bits: &[u8], words: &mut [u64]) {
        words.fill(0);
        let bits = bits[..BLOCK * Self::LANES / 8].as_chunks::<{ Self::LANES / 8 }>().0;
        for (i, &bits) in bits.iter().enumerate() {
            let bits = u16::from_le_bytes(bits);
            for (k, word) in words.iter_mut().enumerate() {
                *word |= u64::from(bits >> k & 1) << i;
            }
        }
    }

    #[inline(always)]
    fn subset_sums<const G: usize>(self, x: &[f32], rows: &[Row], width: usize, tables: &mut [f32]) {
        let tables = tables.as_chunks_mut::<LINE>().0;
        for (rows, table) in rows.chunks(G).zip(tables.chunks_exact_mut(table_entries(G))) {
            table[0] = [0.0; LINE];
            for (j, row) in rows.iter().enumerate() {
                let mut signed = [0.0; LINE];
                for (signed, x) in signed.iter_mut().zip(&x[row.start..][..width]) {
                    *signed = row.sign * x;
                }
                let (without, with) = table.split_at_mut(1 << j);
                for (with, without) in with.iter_mut().zip(without) {
                    for ((with, without), signed) in with.iter_mut().zip(without).zip(signed) {
                        *with = *without + signed;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], mut sums: Sums<'_>) {
        assert_eq!(words.len(), sums.neurons());
        let tables = &tables.as_chunks::<LINE>().0[..groups * table_entries(G)];
        for (k, &word) in words.iter().enumerate() {
            // SAFETY: k is below `sums.neurons()`, so that LINE floats are there to be read.
            let mut total = unsafe { *sums.from(k).cast::<[f32; LINE]>() };
            for (group, table) in tables.chunks_exact(table_entries(G)).enumerate() {
                let entry = &table[(word >> (G * group)) as usize & ((1 << G) - 1)];
                for (total, entry) in total.iter_mut().zip(entry) {
                    *total += entry;
                }
            }
            // SAFETY: as of the read, to be written.
            unsafe { *sums.to(k).cast::<[f32; LINE]>() = total };
        }
    }

    #[inline(always)]
    fn extract_bits(self, word: u64, select: u64) -> u64 {
        let (mut left, mut out, mut place) = (select, 0, 0);
        while left != 0 {
            out |= (word >> left.trailing_zeros() & 1) << place;
            place += 1;
            left &= left - 1;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_what_is_selected() {
        assert_eq!(Portable.extract_bits(0b1011_0101, 0b1111_0000), 0b1011);
        assert_eq!(Portable.extract_bits(u64::MAX, 1 << 63 | 1), 0b11);
        assert_eq!(Portable.extract_bits(0x1234, u64::MAX), 0x1234);
        assert_eq!(Portable.extract_bits(u64::MAX, 0), 0);
    }
}
