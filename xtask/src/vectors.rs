//! `cargo xtask vectors` and `cargo xtask ci vectors`: the test vectors of sealed frames.
//!
//! The programs next to the vectors check them with libraries that Tinpot does not use, so that a
//! worker in another language can rely on them.

use std::path::Path;
use std::process::Command;

use crate::run::{execute, output, target_folder};
use crate::venv;

const FOLDER: &str = "docs/protocol/vectors";
const VECTORS: &str = "docs/protocol/vectors/frames-1.json";
/// The pinned version of Python's cryptography.
const REQUIREMENTS: &str = "xtask/requirements-vectors.txt";

/// Checks that the vectors are those that the code makes, and that Python and Node agree with them.
pub(crate) fn check() -> Result<String, String> {
    if read()? != made()? {
        return Err(format!("{VECTORS} is not what the code makes: run `cargo xtask vectors`"));
    }
    let programs = venv::install(&target_folder().join("vectors"), Path::new(REQUIREMENTS))?;
    for (program, script) in [(programs.join("python"), "check.py"), ("node".into(), "check.mjs")] {
        let mut command = Command::new(program);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        execute(command.arg(Path::new(FOLDER).join(script)).arg(VECTORS))?;
    }
    Ok("Rust, Python and Node agree".to_owned())
}

/// Writes the vectors.
pub(crate) fn write() -> Result<bool, String> {
    std::fs::write(VECTORS, made()?).map_err(|error| format!("{VECTORS}: {error}"))?;
    Ok(true)
}

fn read() -> Result<String, String> {
    std::fs::read_to_string(VECTORS).map_err(|error| format!("{VECTORS}: {error}"))
}

fn made() -> Result<String, String> {
    output("cargo", &["run", "--quiet", "-p", "tinpot-access", "--example", "vectors"])
}
