//! Virtual environments of Python for tools that are wheels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::execute;

/// Installs what a file of pinned requirements lists, unless that is done already. Returns the folder
/// of the programs.
pub(crate) fn install(environment: &Path, requirements: &Path) -> Result<PathBuf, String> {
    install_with("python3", environment, requirements)
}

/// Does the same with an interpreter of its own.
pub(crate) fn install_with(
    python: &str,
    environment: &Path,
    requirements: &Path,
) -> Result<PathBuf, String> {
    let installed = environment.join("installed.txt");
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    let wanted = fs::read_to_string(requirements).map_err(|error| failed(requirements, error))?;
    // Written last: an interrupted installation starts again.
    if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        execute(Command::new(python).args(["-m", "venv", "--clear"]).arg(environment))?;
        let mut pip = Command::new(environment.join("bin/python"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]);
        execute(pip.arg("--requirement").arg(requirements))?;
        fs::write(&installed, &wanted).map_err(|error| failed(&installed, error))?;
    }
    Ok(environment.join("bin"))
}
