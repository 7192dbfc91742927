//! `verify`: see [`feature_contamination_verify::cli`].

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    feature_contamination_verify::cli::run(std::env::args_os()).unwrap_or_else(|error| {
        // One line, whatever is in a file's name; a reader that has gone away is no reason to panic.
        let line = error.to_string().replace(char::is_control, " ");
        let _ = writeln!(std::io::stderr(), "verify: {line}");
        ExitCode::from(2)
    })
}
