//! The `verify` binary, driven as a user drives it: by its command line and its files.

mod bad_input;
mod bench_report;
mod figure;
mod folders;
mod harness;
mod own;
mod processes;
mod reports;
mod results;
mod run;
mod sweeps;
mod toy;
