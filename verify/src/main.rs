//! `verify`: see [`feature_contamination_verify::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feature_contamination_verify::cli::run(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("verify: {error}");
        ExitCode::from(2)
    })
}
