//! `cargo xtask ci publish`: what would be uploaded, as a stranger would build it.
//!
//! `cargo publish --dry-run` packs and resolves all crates in order. Compiling each package in a
//! target directory of its own, as its verification does, would take most of an hour on two cores.
//! The packages are unpacked into one workspace instead and checked with the directory that the
//! other steps have filled.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::run::{execute, target_folder};

/// The crates that are not published.
const PRIVATE: &[&str] = &["tinpot-benches", "tinpot-examples", "tinpot-tests", "xtask"];
/// The settings of the workspace's own profile that dependencies were compiled with.
const PROFILE: &str = "[profile.dev]\ndebug = \"line-tables-only\"\n\n\
                       [profile.dev.package.\"*\"]\ndebug = false\n";

/// The files that each package must have, for its page and for distributions.
const FILES: &[&str] = &["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Packs every crate that can be published, and checks what was packed.
pub(crate) fn check() -> Result<String, String> {
    let target = target_folder();
    let (packed, unpacked) = (target.join("package"), target.join("unpacked"));
    clear(&packed)?;
    let mut publish = Command::new("cargo");
    publish.args([
        "publish",
        "--dry-run",
        "--workspace",
        "--no-verify",
        "--allow-dirty",
        "--quiet",
    ]);
    execute(&mut publish)?;
    // The dry run keeps no package.
    let mut package = Command::new("cargo");
    package.args(["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"]);
    execute(package.args(PRIVATE.iter().flat_map(|name| ["--exclude", name])))?;
    let packages = unpack(&packed, &unpacked)?;
    let mut check = Command::new("cargo");
    check.args(["check", "--workspace", "--quiet"]).current_dir(&unpacked);
    let target =
        fs::canonicalize(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    execute(check.env("CARGO_TARGET_DIR", target))?;
    Ok(format!("{} packages: {}", packages.len(), packages.join(", ")))
}

/// Unpacks the packages into a workspace in which each stands for the published one.
fn unpack(packed: &Path, folder: &Path) -> Result<Vec<String>, String> {
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    clear(folder)?;
    let mut packages = Vec::new();
    for entry in fs::read_dir(packed).map_err(|error| failed(packed, error))? {
        let file = entry.map_err(|error| failed(packed, error))?.path();
        if file.extension().is_some_and(|extension| extension == "crate") {
            execute(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder))?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let missing = FILES.iter().find(|wanted| !folder.join(&name).join(wanted).exists());
            if let Some(missing) = missing {
                return Err(format!("   the package {name} has no {missing}"));
            }
            packages.push(name);
        }
    }
    packages.sort();
    let members: Vec<String> = packages.iter().map(|name| format!("{name:?}")).collect();
    let patches = packages.iter().filter_map(|name| {
        let (crate_name, _) = name.rsplit_once('-')?;
        Some(format!("{crate_name} = {{ path = {name:?} }}\n"))
    });
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n{}\n{PROFILE}",
        members.join(", "),
        patches.collect::<String>()
    );
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).map_err(|error| failed(&folder.join(name), error))
    };
    write("Cargo.toml", manifest)?;
    let lock = fs::read_to_string("Cargo.lock").map_err(|error| format!("Cargo.lock: {error}"))?;
    write("Cargo.lock", lock)?;
    Ok(packages)
}

/// Makes an empty folder.
fn clear(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
