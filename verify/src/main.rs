//! `verify`: see [`feature_contamination_verify::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    feature_contamination_verify::cli::main_of(&feature_contamination_verify::statement::Statement::all())
}
