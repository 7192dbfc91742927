//! The report: what it says ([`model`]), and how it is written.

pub mod model;
