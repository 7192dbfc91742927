//! Theory, claims, controls and the report.

pub mod report;
