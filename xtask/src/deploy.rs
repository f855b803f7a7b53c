//! `cargo xtask ci deploy`: the Dockerfile, the Compose files and the systemd units, without Docker.
//!
//! The rules are Python, for its readers of YAML and JSON Schema. They know the product's settings
//! from the reference pages, which the tests of the command keep current.

use std::path::Path;
use std::process::Command;

use crate::run::{execute, target_folder};
use crate::venv;

/// The rules, and the tests that they refuse broken files.
const RULES: &str = "xtask/deploy";
/// The pinned versions of the readers.
const REQUIREMENTS: &str = "xtask/requirements-deploy.txt";

/// Tests the rules, then applies them to the files.
pub(crate) fn check() -> Result<String, String> {
    let programs = venv::install(&target_folder().join("deploy"), Path::new(REQUIREMENTS))?;
    let python = || {
        let mut python = Command::new(programs.join("python"));
        // Its cache would lie next to the sources.
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python
    };
    execute(python().args(["-m", "unittest", "discover", "--quiet", "--start-directory", RULES]))?;
    execute(python().arg(Path::new(RULES).join("check.py")).arg("."))?;
    Ok("Dockerfiles, Compose files and units".to_owned())
}
