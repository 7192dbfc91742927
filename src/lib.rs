//! The data model, two-layer networks and SGD of Zhang et al., "Feature Contamination: Neural Networks Learn
//! Uncorrelated Features and Fail to Generalize" (ICML 2024).
//!
//! A run is described by a [`RunSpec`], carried out by [`simulate()`], and leaves a [`Trajectory`]: the observables of
//! the paper at chosen steps. Nothing here knows a theorem; what is predicted and judged lives in the `verify` crate.
//!
//! ```
//! use feature_contamination::{Executor, RunSpec, simulate};
//!
//! let spec = RunSpec { steps: 20, record_steps: vec![0, 20], ..RunSpec::uniform(8, 8, 1024, 32) };
//! let trajectory = simulate(&spec, Executor::detect()?)?;
//! assert_eq!(trajectory.records.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Conventions: feature `j < d_core` is a core feature, the others are background; a matrix is row-major; step counts
//! `t` and times `ηt` are never mixed, and a name says which it is.

pub mod data;
pub mod dictionary;
pub mod distribution;
pub mod error;
pub mod mlp;
#[cfg(feature = "mutations")]
pub mod mutation;
pub mod network;
pub mod precision;
pub mod probe;
pub mod rng;
pub mod simulate;
pub mod snapshot;
pub mod spec;
pub mod trajectory;
pub mod variant;

pub use data::{DataModel, FeatureGroup};
pub use distribution::{Distribution, Moments};
pub use error::SpecError;
pub use feature_contamination_kernels::{Activation, Executor, Isa};
pub use network::Network;
pub use precision::Precision;
pub use probe::Probe;
pub use simulate::{SimulateError, simulate};
pub use snapshot::{Array, Snapshot, SnapshotError};
pub use spec::{Coordinates, Labels, RunSpec};
pub use trajectory::{Evaluation, Frequencies, NeuronRecord, Record, Trajectory};
pub use variant::{Dictionary, Variant};
