//! Instruction sets, the tokens that prove them, and the only place that detects them.

use crate::arch::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::arch::{avx2::Avx2, avx512::Avx512};
use crate::{Blocking, IsaError};
use std::fmt;
use std::str::FromStr;

/// The environment variable that forces an instruction set.
const FORCE: &str = "FC_ISA";

/// Instruction sets the kernels are written for, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Whatever the crate is compiled for (the GEMM, `matrixmultiply`'s, may detect more by itself).
    Portable,
    /// x86-64 with AVX2, FMA, BMI2 and POPCNT.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL, and all of [`Isa::Avx2`].
    Avx512,
}

impl Isa {
    /// All of them, worst first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        Self::ALL
            .into_iter()
            .find(|isa| isa.to_string() == name)
            .ok_or_else(|| IsaError::Unknown { name: name.to_owned() })
    }
}

/// A proof that the host runs an instruction set, as a value.
#[derive(Debug, Clone, Copy)]
pub enum Token {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Token {
    /// The one place that asks the host.
    fn detect(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Portable => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => has_avx2().then(|| {
                // SAFETY: `has_avx2` has just found every feature the token stands for.
                Self::Avx2(unsafe { Avx2::new_unchecked() })
            }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => (has_avx2() && has_avx512()).then(|| {
                // SAFETY: `has_avx2` and `has_avx512` have just found every feature the token stands for.
                Self::Avx512(unsafe { Avx512::new_unchecked() })
            }),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
        }
    }

    fn isa(self) -> Isa {
        match self {
            Self::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Runs the kernels with one instruction set, which it proves the host to have, and one table of block sizes.
///
/// Made once and copied about; no kernel detects anything by itself. A call runs on the thread it is made on, and on
/// others if [`Executor::with_threads`] allows it. The same arguments, instruction set and block sizes give the same bits,
/// whatever the number of threads.
#[derive(Debug, Clone, Copy)]
pub struct Executor {
    token: Token,
    blocking: Blocking,
    threads: usize,
}

impl Executor {
    /// The best instruction set of this host, or the one that the environment variable `FC_ISA` names.
    ///
    /// # Errors
    /// [`IsaError::Forced`] if `FC_ISA` is set to something that is no instruction set's name or that this host does
    /// not run.
    pub fn detect() -> Result<Self, IsaError> {
        Self::choose(std::env::var_os(FORCE).map(|value| value.to_string_lossy().into_owned()).as_deref())
    }

    /// [`Executor::detect`] given the value of `FC_ISA`.
    fn choose(forced: Option<&str>) -> Result<Self, IsaError> {
        let Some(value) = forced else {
            let best = Self::available().pop();
            return best.ok_or(IsaError::Unavailable { isa: Isa::Portable, available: Vec::new() });
        };
        let error = |reason| IsaError::Forced {
            value: value.to_owned(),
            reason,
            available: Self::available().iter().map(Self::isa).collect(),
        };
        let isa = value.parse().map_err(|_| error("no such instruction set is known (portable, avx2, avx512 are)"))?;
        Self::with_isa(isa).map_err(|_| error("this host lacks that instruction set"))
    }

    /// The given instruction set; the environment plays no role.
    ///
    /// # Errors
    /// [`IsaError::Unavailable`] if this host does not run it.
    pub fn with_isa(isa: Isa) -> Result<Self, IsaError> {
        let unavailable =
            || IsaError::Unavailable { isa, available: Self::available().iter().map(Self::isa).collect() };
        Self::if_available(isa).ok_or_else(unavailable)
    }

    fn if_available(isa: Isa) -> Option<Self> {
        Some(Self { token: Token::detect(isa)?, blocking: Blocking::for_isa(isa), threads: 1 })
    }

    /// One executor for each instruction set this host runs, the portable one first and the best last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Isa::ALL.into_iter().filter_map(Self::if_available).collect()
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.token.isa()
    }

    /// The block sizes in use.
    #[must_use]
    pub fn blocking(&self) -> Blocking {
        self.blocking
    }

    /// The same instruction set with other block sizes.
    #[must_use]
    pub fn with_blocking(self, blocking: Blocking) -> Self {
        Self { blocking, ..self }
    }

    /// Threads that a call may use, the one it is made on included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The same executor with up to `threads` threads a call; 0 counts as 1, which is what it starts with.
    ///
    /// No result depends on it, and a call too small to be worth another thread uses none. The threads belong to the
    /// [`Workspace`](crate::Workspace) of the call. For one call at a time on an idle machine; many calls side by side
    /// are better off with a thread each.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse::<Isa>().unwrap(), isa);
        }
        let error = "AVX9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("AVX9") && error.contains("portable, avx2, avx512"), "{error}");
        assert_eq!(format!("{:>8}|", Isa::Avx2), "    avx2|");
    }

    #[test]
    fn forced_is_followed_or_refused() {
        let available: Vec<Isa> = Executor::available().iter().map(Executor::isa).collect();
        assert_eq!(available[0], Isa::Portable);
        assert_eq!(Executor::choose(None).unwrap().isa(), *available.last().unwrap());
        for isa in Isa::ALL {
            let forced = Executor::choose(Some(&isa.to_string()));
            if available.contains(&isa) {
                assert_eq!(forced.unwrap().isa(), isa);
                assert_eq!(Executor::with_isa(isa).unwrap().isa(), isa);
            } else {
                let error = forced.unwrap_err().to_string();
                assert!(error.contains("FC_ISA") && error.contains(&isa.to_string()), "{error}");
                assert!(Executor::with_isa(isa).is_err());
            }
        }
        for wrong in ["", "AVX512", "sse2", " avx2"] {
            let error = Executor::choose(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains(&format!("FC_ISA={wrong}:")) && error.contains("portable"), "{error}");
        }
    }

    #[test]
    fn executors_cross_threads() {
        fn check<T: Copy + Send + Sync + 'static>() {}
        check::<Executor>();
    }
}
