//! Random variates, for the coverage of intervals and for the tests of this crate.

/// xoshiro256++ (Blackman and Vigna 2019), seeded by SplitMix64.
pub(crate) struct Sampler([u64; 4]);

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform on `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Asserts that `hits` of `trials` have probability `nominal`, or at least that (`or_more`), within 4 standard errors.
#[cfg(test)]
pub(crate) fn assert_coverage(name: &str, hits: usize, trials: usize, nominal: f64, or_more: bool) {
    let error = 4.0 * (nominal * (1.0 - nominal) / trials as f64).sqrt();
    let coverage = hits as f64 / trials as f64;
    assert!(coverage >= nominal - error, "{name} covers {coverage}, nominal {nominal}");
    assert!(or_more || coverage <= nominal + error, "{name} covers {coverage}, nominal {nominal}");
}
