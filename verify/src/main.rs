//! `verify`: see [`feature_contamination_verify::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feature_contamination_verify::cli::main(&feature_contamination_verify::claims::all())
}
