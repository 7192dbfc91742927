//! Tells the program which commit it was built from, and by which compiler.

use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|status| !status.is_empty());
    println!("cargo::rustc-env=FC_COMMIT={commit}{}", if changed { "-dirty" } else { "" });
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok().filter(|output| output.status.success());
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo::rustc-env=FC_RUSTC={}", version.unwrap_or_else(|| "rustc, version unknown".to_owned()));
    // The commit changes with the log of HEAD; whether the tree is changed, with the sources.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    for path in ["src", "../src", "../kernels/src", "../Cargo.toml", "Cargo.toml", "build.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
}
