//! Checks the trajectories of [`feature_contamination`] against the paper's theorems and sharper predictions.

pub mod report;
pub mod stats;
pub mod theory;
