//! Fully connected networks of any depth: the paper's numerical experiments on a fixed data set (`toy.py`), and training on
//! fresh batches towards targets of any number of outputs ([`Online`]). Paper: section 9 of the theory.
//!
//! [`Toy`] is the data, [`Network::init`] the start, [`Training`] the way: three losses, SGD, Adam and AdamW, six
//! activations, any depth, with or without biases, the output layer trained or frozen, operation for operation as PyTorch
//! has them. How it is computed, by dense products or fused passes, in all inputs or in the span of the dictionary, is
//! the code's decision and changes nothing but rounding.

pub mod activation;
mod data;
mod fused;
mod lazy;
pub mod loss;
pub mod network;
pub mod online;
pub mod optimizer;
mod real;
pub mod span;
pub mod train;

pub use activation::Activation;
pub use data::{Labels, Toy};
pub use loss::Loss;
pub use network::{Architecture, Dense, Gradients, Linear, Network};
pub use online::Online;
pub use optimizer::{Method, Optimizer};
pub use real::Real;
pub use train::{Examples, Problem, TrainError, Training};
