//! One bit per (sample, neuron): which neurons each sample activates.

use crate::ShapeError;
use crate::error::Operand;

/// Samples per word, that is per block.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// b\[i, k\] ∈ {0, 1}, samples i × neurons k.
///
/// Bit r of `words()[block * neurons + neuron]` belongs to sample 64 · block + r: the words of one block of samples are
/// contiguous over neurons. Bits past the last sample are 0.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    words: Vec<u64>,
    samples: usize,
    neurons: usize,
    /// True only if all bits are known to be 1, as after the identity's forward pass; that changes no bit, only how they
    /// are used.
    full: bool,
}

// Not derived: whether the bits are known to be 1 is not what a mask is.
impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        (&self.words, self.samples, self.neurons) == (&other.words, other.samples, other.neurons)
    }
}

impl Eq for Mask {}

impl Mask {
    /// All bits 0.
    #[must_use]
    pub fn new(samples: usize, neurons: usize) -> Self {
        let mut mask = Self::default();
        mask.resize(samples, neurons);
        mask
    }

    /// Takes another shape, all bits 0. Allocates only if it never was as large.
    pub fn resize(&mut self, samples: usize, neurons: usize) {
        self.words.clear();
        self.words.resize(samples.div_ceil(BLOCK) * neurons, 0);
        self.samples = samples;
        self.neurons = neurons;
        self.full = false;
    }

    /// Remembers that all bits are 1, which the caller has seen to.
    pub(crate) fn mark_full(&mut self) {
        self.full = true;
    }

    /// [`Mask::resize`] for a caller that overwrites every word: what they hold is unspecified.
    pub(crate) fn resize_unspecified(&mut self, samples: usize, neurons: usize) {
        self.words.resize(samples.div_ceil(BLOCK) * neurons, 0);
        self.samples = samples;
        self.neurons = neurons;
        self.full = false;
    }

    /// Takes another shape, all bits 1 and known to be. Nothing is written if that is what the mask already is.
    pub(crate) fn resize_full(&mut self, samples: usize, neurons: usize) {
        if self.full && (self.samples, self.neurons) == (samples, neurons) {
            return;
        }
        self.resize_unspecified(samples, neurons);
        self.words.fill(u64::MAX);
        if !samples.is_multiple_of(BLOCK) {
            self.words[samples / BLOCK * neurons..].fill((1 << (samples % BLOCK)) - 1);
        }
        self.full = true;
    }

    /// Whether all bits are known to be 1. No bits are looked at: they may all be 1 without being known to be.
    pub(crate) fn is_known_full(&self) -> bool {
        self.full
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.neurons
    }

    /// The words, \[block\]\[neuron\].
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The bit of (`sample`, `neuron`).
    ///
    /// # Panics
    /// If either is out of range.
    #[must_use]
    pub fn get(&self, sample: usize, neuron: usize) -> bool {
        assert!(
            sample < self.samples && neuron < self.neurons,
            "bit ({sample}, {neuron}) of a {} x {} mask",
            self.samples,
            self.neurons
        );
        self.words[sample / BLOCK * self.neurons + neuron] >> (sample % BLOCK) & 1 == 1
    }

    /// Sets the bit of (`sample`, `neuron`).
    ///
    /// # Panics
    /// If either is out of range.
    pub fn set(&mut self, sample: usize, neuron: usize, active: bool) {
        assert!(
            sample < self.samples && neuron < self.neurons,
            "bit ({sample}, {neuron}) of a {} x {} mask",
            self.samples,
            self.neurons
        );
        let word = &mut self.words[sample / BLOCK * self.neurons + neuron];
        let bit = 1 << (sample % BLOCK);
        if active {
            *word |= bit
        } else {
            *word &= !bit
        }
        self.full &= active;
    }

    /// out\[k\] = #{ i : selected i, b\[i, k\] = 1 }.
    ///
    /// `labels` has one word per block of 64 samples, bit r of word b set if sample 64 b + r is selected; bits past the
    /// last sample do not matter. `out` has one entry per neuron and is overwritten.
    ///
    /// # Errors
    /// [`ShapeError::Mismatch`] if `labels` or `out` has the wrong length.
    pub fn active_counts(&self, labels: &[u64], out: &mut [u32]) -> Result<(), ShapeError> {
        let mismatch = |name, len, rule| ShapeError::Mismatch {
            operation: "active_counts",
            left: Operand::matrix("the mask", self.samples, self.neurons),
            right: Operand::vector(name, len),
            rule,
        };
        if labels.len() != self.samples.div_ceil(BLOCK) {
            return Err(mismatch("labels", labels.len(), "one word per 64 samples, rounded up"));
        }
        if out.len() != self.neurons {
            return Err(mismatch("out", out.len(), "one count per neuron"));
        }
        out.fill(0);
        if self.neurons == 0 {
            return Ok(());
        }
        for (words, &label) in self.words.chunks_exact(self.neurons).zip(labels) {
            for (count, &word) in out.iter_mut().zip(words) {
                *count += (word & label).count_ones();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_block_major() {
        let mut mask = Mask::new(70, 3);
        mask.set(0, 1, true);
        mask.set(65, 2, true);
        assert_eq!(mask.words(), [0, 1, 0, 0, 0, 2]);
        assert!(mask.get(65, 2) && !mask.get(64, 2));
        mask.set(65, 2, false);
        assert!(!mask.get(65, 2));
        mask.resize(3, 2);
        assert_eq!(mask.words(), [0, 0]);
        mask.resize(0, 2);
        assert!(mask.words().is_empty());
    }

    #[test]
    fn counts_are_those_of_a_loop() {
        let (samples, neurons) = (150, 7);
        let mut mask = Mask::new(samples, neurons);
        let mut labels = vec![u64::MAX << 13, 0x0f0f_1234_5678_9abc, u64::MAX];
        for i in 0..samples {
            for k in 0..neurons {
                mask.set(i, k, (i * 7 + k * 13) % 5 < 2);
            }
        }
        let mut counts = vec![99; neurons];
        mask.active_counts(&labels, &mut counts).unwrap();
        for (k, &count) in counts.iter().enumerate() {
            let selected = |i: &usize| labels[i / 64] >> (i % 64) & 1 == 1;
            assert_eq!(count as usize, (0..samples).filter(selected).filter(|&i| mask.get(i, k)).count());
        }
        assert!(counts.iter().any(|&c| c > 0));
        assert!(mask.active_counts(&labels, &mut counts[1..]).unwrap_err().to_string().contains("150 x 7"));
        labels.pop();
        assert!(mask.active_counts(&labels, &mut counts).is_err());
        Mask::new(64, 0).active_counts(&[1], &mut []).unwrap();
    }
}
