//! `FC_ISA`, in processes of its own: this test binary, run again for one test.

use feature_contamination_kernels::{Executor, Isa};
use std::process::Command;

/// Not a test by itself: says what `Executor::detect` finds in the environment that [`detect_with`] gives it.
#[test]
fn print_detected() {
    match Executor::detect() {
        Ok(executor) => println!("\ndetected {}", executor.isa()),
        Err(error) => println!("\nrefused {error}"),
    }
}

fn detect_with(value: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "forced_isa::print_detected", "--nocapture"]).env_remove("FC_ISA");
    if let Some(value) = value {
        command.env("FC_ISA", value);
    }
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let said = output.lines().find(|line| line.starts_with("detected ") || line.starts_with("refused "));
    said.unwrap_or_else(|| panic!("the child said nothing: {output}")).to_owned()
}

#[test]
fn forces_or_refuses() {
    let available: Vec<Isa> = Executor::available().iter().map(Executor::isa).collect();
    assert_eq!(detect_with(None), format!("detected {}", available.last().unwrap()));
    for isa in Isa::ALL {
        let said = detect_with(Some(&isa.to_string()));
        if available.contains(&isa) {
            assert_eq!(said, format!("detected {isa}"));
        } else {
            assert!(said.starts_with("refused") && said.contains(&format!("FC_ISA={isa}")), "{said}");
        }
    }
    for unknown in ["neon", "", "AVX2"] {
        let said = detect_with(Some(unknown));
        assert!(said.starts_with("refused") && said.contains(&format!("FC_ISA={unknown}:")), "{said}");
        assert!(available.iter().all(|isa| said.contains(&isa.to_string())), "{said}");
    }
}
