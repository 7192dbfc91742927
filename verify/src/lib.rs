//! Checks the trajectories of [`feature_contamination`] against the paper's theorems and sharper predictions.
//!
//! The way of the data: claims name the runs they need ([`plan`], [`ladders`]); each distinct run is simulated once
//! ([`execute`]); judging is pure ([`claims`], with predictions from [`theory`] and intervals from [`stats`]); the report is
//! made from what is saved ([`mod@report`]). Statements on other networks or other data are [`studies`], whose tasks go the
//! same way. [`mod@bench`] is apart: a page on the kernels' speed.

pub mod bench;
pub mod claims;
pub mod cli;
pub mod controls;
pub mod durable;
pub mod execute;
pub mod figures;
mod flags;
pub mod images;
pub mod instrument;
pub mod judge;
pub mod ladders;
pub mod lock;
mod machine;
mod parallel;
pub mod plan;
mod progress;
pub mod report;
pub mod run;
#[cfg(test)]
mod scratch;
pub mod settings;
pub mod statement;
pub mod stats;
pub mod studies;
pub mod sweep;
pub mod theory;
pub mod toy;
pub mod trajectories;
