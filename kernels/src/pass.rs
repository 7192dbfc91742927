//! Elementwise passes of the caller's own, compiled for the instruction set in use.

use crate::arch::Algorithm;
use crate::isa::{Executor, Token};

/// A loop over slices, in plain Rust, that is worth the host's vectors.
///
/// Results go out through what the pass borrows. The compiler contracts and reorders nothing, so every instruction set
/// gives the same bits.
pub trait Pass {
    /// Runs it. Implementations, and what they call, are `#[inline(always)]`: only what is inlined is compiled with the
    /// features of the instruction set.
    fn run(self);
}

impl Executor {
    /// Runs `pass`, compiled for the instruction set in use.
    pub fn run<P: Pass>(&self, pass: P) {
        let compiled = Compiled(pass);
        match self.token() {
            Token::Portable(token) => token.run(compiled),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.run(compiled),
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.run(compiled),
        }
    }
}

struct Compiled<P>(P);

impl<A, P: Pass> Algorithm<A> for Compiled<P> {
    #[inline(always)]
    fn run(self, _: A) {
        self.0.run();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ratios<'a>(&'a [f32], &'a mut [f32]);

    impl Pass for Ratios<'_> {
        #[inline(always)]
        fn run(self) {
            for (x, out) in self.0.iter().zip(self.1) {
                *out = (*x * *x + 1.0) / (*x - 0.3).sqrt();
            }
        }
    }

    #[test]
    fn every_isa_gives_the_same_bits() {
        let x: Vec<f32> = (0..1003).map(|i| 0.31 + i as f32 * 0.017).collect();
        let mut expected = vec![0.0; x.len()];
        Ratios(&x, &mut expected).run();
        let executors = Executor::available();
        assert!(!executors.is_empty());
        for executor in executors {
            let mut out = vec![0.0; x.len()];
            executor.run(Ratios(&x, &mut out));
            assert_eq!(out, expected, "{}", executor.isa());
        }
    }
}
