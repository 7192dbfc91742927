//! Micro-kernels in plain Rust, left to the compiler's vectoriser.

use super::{Algorithm, BitTile, PackKernel, ReluKernel, Row, table_entries};
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
    // 2 x 16 sums are 8 of the 16 registers of SSE2, the least an x86-64 has; x takes 4 more and v 2.
    const NEURONS: usize = 2;
    const SAMPLES: usize = 16;

    #[inline(always)]
    fn forward_tile<const RELU: bool>(
        self,
        depth: usize,
        x: &[f32],
        v: &[f32],
        a: &[f32],
        h: &mut [f32],
        mut bits: BitTile<'_>,
    ) {
        const NEURONS: usize = Portable::NEURONS;
        const SAMPLES: usize = Portable::SAMPLES;
        let (x, v) = (x[..depth * SAMPLES].as_chunks::<SAMPLES>().0, v[..depth * NEURONS].as_chunks::<NEURONS>().0);
        let mut z = [[0.0_f32; SAMPLES]; NEURONS];
        for (x, v) in x.iter().zip(v) {
            // The row of sums is copied out and back, whole, so that the vectoriser keeps it in registers.
            for (z, &v) in z.iter_mut().zip(v) {
                let row = *z;
                *z = std::array::from_fn(|i| row[i] + v * x[i]);
            }
        }
        for (k, (z, &a)) in z.iter().zip(a).enumerate() {
            let mut word = if RELU { 0 } else { u64::MAX };
            for ((i, &z), h) in z.iter().enumerate().zip(&mut h[..SAMPLES]) {
                if RELU {
                    word |= u64::from(z >= 0.0) << i;
                    // A NaN is not < 0 and goes on into h.
                    *h += a * if z < 0.0 { 0.0 } else { z };
                } else {
                    *h += a * z;
                }
            }
            bits.put(k, word);
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
    fn add_subsets<const G: usize>(self, groups: usize, words: &[u64], tables: &[f32], sums: &mut [f32]) {
        let tables = &tables.as_chunks::<LINE>().0[..groups * table_entries(G)];
        for (sum, &word) in sums.as_chunks_mut::<LINE>().0.iter_mut().zip(words) {
            for (group, table) in tables.chunks_exact(table_entries(G)).enumerate() {
                let entry = &table[(word >> (G * group)) as usize & ((1 << G) - 1)];
                for (sum, entry) in sum.iter_mut().zip(entry) {
                    *sum += entry;
                }
            }
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
