//! `cargo xtask ui`: builds the web UI, whose output is committed and embedded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::output;

/// The folder of the sources.
const WEB: &str = "tinpot-ui/web";
/// The folder of the committed build.
const DIST: &str = "tinpot-ui/dist";
/// The folder of a build that is only compared with the committed one.
const REBUILT: &str = "target/ui-dist";

const HELP: &str = "\
Build the web UI from tinpot-ui/web into tinpot-ui/dist, which is committed.

Usage: cargo xtask ui

Requires Node 20 or newer. Installs the packages of package-lock.json.
";

/// Builds the web UI.
pub(crate) fn ui(arguments: &[String]) -> Result<bool, String> {
    match arguments {
        [] => {}
        [help] if help == "--help" || help == "-h" => {
            print!("{HELP}");
            return Ok(true);
        }
        [other, ..] => return Err(format!("unknown argument `{other}`\n{HELP}")),
    }
    install()?;
    npm(&["run", "build"])?;
    Ok(true)
}

/// Checks the types, the format, the lint rules and the unit tests of the sources.
///
/// Also checks that the types of the API match its description, and that the committed build is that
/// of the sources.
pub(crate) fn check() -> Result<String, String> {
    install()?;
    npm(&["run", "schema", "--", "--check"])?;
    npm(&["run", "check"])?;
    npm(&["run", "lint"])?;
    npm(&["test"])?;
    let rebuilt = std::env::current_dir().map_err(|e| e.to_string())?.join(REBUILT);
    npm(&["run", "build", "--", "--outDir", &rebuilt.to_string_lossy(), "--emptyOutDir"])?;
    let (ours, made) = (files(Path::new(DIST))?, files(&rebuilt)?);
    let mut differences = Vec::new();
    for name in ours.iter().chain(made.iter().filter(|name| !ours.contains(name))) {
        let (one, other) = (fs::read(Path::new(DIST).join(name)), fs::read(rebuilt.join(name)));
        if !matches!((one, other), (Ok(one), Ok(other)) if one == other) {
            differences.push(format!("   {DIST}/{}", name.display()));
        }
    }
    if differences.is_empty() {
        return Ok(format!("{} files match the sources", ours.len()));
    }
    Err(format!(
        "these files differ from a build of the sources:\n{}\n   run `cargo xtask ui` and commit the changes",
        differences.join("\n")
    ))
}

/// Runs the tests that open pages of real servers in a browser.
pub(crate) fn browser() -> Result<String, String> {
    install()?;
    npm(&["run", "e2e"])?;
    Ok(String::new())
}

fn install() -> Result<(), String> {
    npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"])
}

fn npm(arguments: &[&str]) -> Result<(), String> {
    println!("$ npm {}", arguments.join(" "));
    let status = Command::new("npm").args(arguments).current_dir(WEB).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(format!("   {status}; repeat with: cd {WEB} && npm {}", arguments.join(" ")))
        }
        Err(error) => Err(format!("   cannot start npm: {error}")),
    }
}

/// Returns the files below a folder, relative to it and sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let failed = |error| format!("{}: {error}", next.display());
        for entry in fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the version of Node if it is 20 or newer.
pub(crate) fn node_version() -> Option<String> {
    output("npm", &["--version"]).ok()?;
    let version = output("node", &["--version"]).ok()?;
    let version = version.trim().trim_start_matches('v').to_owned();
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= 20).then_some(version)
}
