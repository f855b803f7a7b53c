//! `cargo xtask ci spelling`: typos in sources and pages, by the program `typos`.

use std::path::Path;
use std::process::Command;

use crate::run::{execute, target_folder};
use crate::venv;

/// The pinned version of the program. Its settings are in `_typos.toml`.
const REQUIREMENTS: &str = "xtask/requirements-spelling.txt";

/// Reads every file of the repository that a person writes.
pub(crate) fn check() -> Result<String, String> {
    let programs = venv::install(&target_folder().join("spelling"), Path::new(REQUIREMENTS))?;
    execute(Command::new(programs.join("typos")).args(["--format", "brief"]))?;
    Ok("no typos".to_owned())
}
