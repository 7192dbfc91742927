//! Every kernel, on every instruction set this host runs, against the naive `f64` reference.

mod backward;
mod dense;
mod errors;
mod fill;
mod forced_isa;
mod forward;
mod gemm;
mod properties;
mod support;
