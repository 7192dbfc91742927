//! Random numbers in named streams, addressed and never consumed in common.
//!
//! A draw's place is `(seed, stream, step, block)`, so its value does not depend on the number of threads, on what was
//! recorded before, or on where a run was interrupted.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Rows of a batch that share one generator.
pub const BLOCK_ROWS: usize = 64;

/// What a stream is for. The discriminants are part of the definition of every run's bits: they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Signs of the output weights.
    Signs = 1,
    /// First-layer weights in latent coordinates.
    Init = 2,
    /// The part of the first-layer weights orthogonal to the dictionary.
    Complement = 3,
    /// The dictionary.
    Dictionary = 4,
    /// Labels and core features of the training batches.
    TrainCore = 5,
    /// Background features of the training batches.
    TrainBackground = 6,
    /// Labels that carry no information, for the shuffled-label control.
    ShuffledLabels = 7,
    /// Labels and core features of the evaluation data.
    EvalCore = 8,
    /// In-distribution background features of the evaluation data.
    EvalBackground = 9,
    /// Out-of-distribution background features of the evaluation data.
    EvalBackgroundOod = 10,
    /// Which training examples another class prior turns round.
    TrainClass = 11,
    /// The same of the evaluation data.
    EvalClass = 12,
    /// Which labels training misreads.
    LabelNoise = 13,
    /// Initial parameters of networks of any depth, a block a layer.
    Mlp = 16,
    /// Core features of fixed data sets.
    FixedCore = 17,
    /// Background features of fixed data sets: block 0 to train on, block 1 to test on.
    FixedBackground = 18,
    /// The order of images, of which the first are trained on.
    ImageOrder = 32,
    /// Borders of images.
    ImageBorder = 33,
}

/// The generator at `(seed, stream, step, block)`.
///
/// The four words are absorbed one by one through the SplitMix64 finaliser, a bijection of 64 bits, and the result
/// seeds xoshiro256++.
pub fn stream(seed: u64, stream: Stream, step: u64, block: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(derive(seed, &[stream as u64, step, block]))
}

/// The key of the vectorised uniform variates at `(seed, stream, step, block)`: not the one of [`stream`], whose generator
/// would else be the first of those that the key seeds.
pub fn fill_key(seed: u64, stream: Stream, step: u64, block: u64) -> u64 {
    derive(seed, &[stream as u64, step, block, 1])
}

/// A seed of its own for the place `words` under `seed`, as independent of its neighbours as a hash of 64 bits makes it.
pub fn derive(seed: u64, words: &[u64]) -> u64 {
    words.iter().fold(mix(seed), |key, &word| mix(key ^ mix(word)))
}

/// The SplitMix64 step: Weyl increment, then the finaliser (Steele, Lea and Flood 2014).
fn mix(word: u64) -> u64 {
    let z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `u = ⌊bits / 2^8⌋ / 2^24`, a uniform variate on `[0, 1)` from 32 bits.
#[inline]
pub(crate) fn unit_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn mix_is_splitmix64() {
        // The first outputs of SplitMix64 from state 0, as published with the generator.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn every_part_of_the_address_matters() {
        let first = |s: u64, st: Stream, t: u64, b: u64| stream(s, st, t, b).next_u64();
        let base = first(1, Stream::Init, 2, 3);
        assert_eq!(base, first(1, Stream::Init, 2, 3));
        assert_ne!(base, first(2, Stream::Init, 2, 3));
        assert_ne!(base, first(1, Stream::Signs, 2, 3));
        assert_ne!(base, first(1, Stream::Init, 3, 2));
        assert_ne!(base, first(1, Stream::Init, 2, 4));
    }

    #[test]
    fn the_two_generators_of_a_place_have_nothing_in_common() {
        let key = fill_key(1, Stream::Init, 2, 3);
        assert_ne!(key, derive(1, &[Stream::Init as u64, 2, 3]));
        assert_ne!(key, fill_key(1, Stream::Init, 3, 2));
        let variates: Vec<u64> = (0..8).map(|_| stream(1, Stream::Init, 2, 3).next_u64()).collect();
        let mut first_lane = Xoshiro256PlusPlus::seed_from_u64(key);
        assert!(variates.iter().all(|&v| v != first_lane.next_u64()));
    }

    #[test]
    fn unit_f32_stays_in_the_half_open_interval() {
        assert_eq!(unit_f32(0), 0.0);
        assert!(unit_f32(u32::MAX) < 1.0);
    }
}
