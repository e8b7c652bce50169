//! Tells the program which compiler built it: `shmtls bench` writes that beside its figures.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.unwrap_or_else(|| "an unknown rustc".into());
    println!("cargo::rustc-env=SHMTLS_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
