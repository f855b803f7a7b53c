//! The minimum Rust version that Cargo.toml states still compiles the crates that users depend on.

use std::env;
use std::fs;
use std::process::Command;

use crate::run::{execute, output, target_folder};

/// The crates that a program depends on.
const CRATES: &[&str] = &[
    "tinpot-access",
    "tinpot-bundle",
    "tinpot-conformance",
    "tinpot-contain",
    "tinpot-core",
    "tinpot-http",
    "tinpot-metrics",
    "tinpot-otel",
    "tinpot-http-transport",
    "tinpot-mqtt",
    "tinpot-process",
    "tinpot-python",
    "tinpot-serve",
    "tinpot-sqlite",
    "tinpot-tower",
    "tinpot-venv",
];

/// Crates that state a newer version of their own.
const NEWER: &[&str] = &["tinpot-zmq"];

/// Compiles with that version, or with the oldest newer one that can be had. With `TINPOT_MSRV` set,
/// only that version counts.
pub(crate) fn check() -> Result<String, String> {
    let mut report = vec![check_with("Cargo.toml", CRATES)?];
    for name in NEWER {
        report.push(format!("{name}: {}", check_with(&format!("{name}/Cargo.toml"), &[name])?));
    }
    Ok(report.join("\n"))
}

/// Compiles crates with the version that a manifest states.
fn check_with(manifest: &str, crates: &[&str]) -> Result<String, String> {
    let wanted = stated(manifest)?;
    let installed = output("rustup", &["toolchain", "list"]).unwrap_or_default();
    let exact = installed.lines().any(|line| line.starts_with(&wanted));
    if exact || env::var_os("TINPOT_MSRV").is_some() {
        // Its own folder: another compiler would rebuild what the other steps have built.
        let mut check = Command::new("cargo");
        check.arg(format!("+{wanted}")).args(["check", "--quiet", "--locked"]);
        check.args(crates.iter().flat_map(|name| ["-p", name]));
        execute(check.env("CARGO_TARGET_DIR", target_folder().join("msrv")))?;
        return Ok(format!("compiled with {wanted}"));
    }
    let current = output("rustc", &["--version"])?;
    Ok(format!("{wanted} is not installed; every step compiled with {}", current.trim()))
}

/// Reads `rust-version` of a manifest.
fn stated(path: &str) -> Result<String, String> {
    let manifest = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    let version = line.and_then(|rest| rest.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| format!("{path} states no rust-version"))
}
