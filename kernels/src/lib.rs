//! Cache-blocked SIMD GEMM and fused ReLU kernels.
//!
//! Operations on matrices with any strides, each written once and run with the best instruction set of the host
//! (AVX-512, AVX2 with FMA, or portable Rust); `f32`, the first one also `f64`:
//!
//! * [`Executor::gemm`]: C ← α A B + β C.
//! * [`Executor::forward`]: h_i = Σ_k a_k act(⟨v_k, x_i⟩) and the activation pattern as bits; pre-activations are never
//!   stored.
//! * [`Executor::backward`]: G_k = Σ_i s_i b_ik x_i from those bits and signs s_i ∈ {−1, 0, 1}.
//! * [`Executor::fill_uniform`]: uniform variates, the same bits on every instruction set.
//! * [`Executor::forward_dense`], [`Executor::backward_dense`]: the two passes as products, in `f32` or `f64`.
//!
//! Elementwise passes of one's own are compiled for the same instruction sets by [`Executor::run`].
//!
//! [`mod@reference`] has the first three in naive `f64`, and the scalar definition of the last.
//!
//! ```
//! use feature_contamination_kernels::{Activation, Executor, Mask, MatMut, MatRef, Workspace};
//!
//! let executor = Executor::detect()?;
//! let (mut mask, mut ws) = (Mask::default(), Workspace::new());
//! let x = MatRef::from_row_major(&[1.0, -1.0, 0.5, 0.5], 2, 2)?; // two samples
//! let v = MatRef::from_row_major(&[1.0, 1.0, 2.0, -1.0, -1.0, 0.0], 3, 2)?; // three neurons
//! let mut h = [0.0; 2];
//! executor.forward(Activation::Relu, x, v, &[1.0, -1.0, 1.0], &mut h, &mut mask, &mut ws)?;
//! assert_eq!(h, [-3.0, 0.5]);
//! assert!(mask.get(0, 0), "a pre-activation of 0 is active");
//!
//! let mut g = [0.0; 6];
//! executor.backward(x, &[1, -1], &mask, MatMut::from_row_major(&mut g, 3, 2)?, &mut ws)?;
//! assert_eq!(g, [0.5, -1.5, 0.5, -1.5, 0.0, 0.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks, missing_docs)]

mod arch;
mod blocking;
mod dense;
mod element;
mod error;
mod fill;
mod gemm;
mod isa;
mod mask;
mod pack;
mod pass;
mod pool;
pub mod reference;
mod relu;
mod view;
mod workspace;

pub use blocking::{Blocking, Packing};
pub use element::Element;
pub use error::{IsaError, Operand, ShapeError};
pub use isa::{Executor, Isa};
pub use mask::Mask;
pub use pass::Pass;
pub use relu::Activation;
pub use view::{MatMut, MatRef};
pub use workspace::Workspace;
