//! `cargo xtask dist`: all files of a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{execute, output, target_folder};
use crate::{debian, wheel};

const HELP: &str = "\
Build the files of a release, with the profile `dist`: some minutes on two cores.

Usage: cargo xtask dist

target/release-files has then the wheel, the source distribution, an archive of the program with its
manual pages, completions and units, the Debian package, a list of what the program is made of
(CycloneDX), and SHA256SUMS. RELEASING.md says what to do with them.
";

const PROFILE: &str = "dist";
/// The largest program of a release, in bytes.
const MAX_PROGRAM_BYTES: u64 = 30_000_000;
/// The libraries that the program may need: those of every system with its C library.
const LIBRARIES: &[&str] = &["libc.so", "libm.so", "libgcc_s.so", "linux-vdso.so", "ld-linux"];

/// Builds the files.
pub(crate) fn dist(arguments: &[String]) -> Result<bool, String> {
    match arguments {
        [] => {}
        [one] if one == "--help" || one == "-h" => {
            print!("{HELP}");
            return Ok(true);
        }
        [other, ..] => {
            return Err(format!("unknown option `{other}`; see `cargo xtask dist --help`"));
        }
    }
    let folder = target_folder().join("release-files");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let wheel = wheel::build(PROFILE, &folder)?;
    let sdist = wheel::sdist(&folder)?;
    wheel::check_files(&wheel, &sdist, Some(wheel::MAX_BYTES))?;
    let program = target_folder().join(PROFILE).join("tinpot");
    check_program(&program)?;
    let work = target_folder().join("dist-work");
    let package = debian::build(&program, &work, "xz")?;
    let name = package.file_name().unwrap_or_default();
    copy(&package, &folder.join(name))?;
    let materials = materials(&wheel, &work)?;
    let archive = archive(&program, &materials, &work, &folder)?;
    copy(&materials, &folder.join(format!("{archive}.cdx.json")))?;
    sums(&folder)?;
    execute(Command::new("ls").arg("-l").arg(&folder))?;
    Ok(true)
}

/// Checks the size of the program, and the libraries that it needs.
fn check_program(program: &Path) -> Result<(), String> {
    let size = fs::metadata(program).map_err(|error| format!("{}: {error}", program.display()))?;
    if size.len() > MAX_PROGRAM_BYTES {
        return Err(format!(
            "   {} must have at most {MAX_PROGRAM_BYTES} bytes (got {})",
            program.display(),
            size.len()
        ));
    }
    let needed = output("ldd", &[&program.to_string_lossy()])?;
    let strange = needed.lines().find(|line| !LIBRARIES.iter().any(|name| line.contains(name)));
    strange.map_or(Ok(()), |line| Err(format!("   the program needs {}", line.trim())))
}

/// Takes the list of what the program is made of out of the wheel.
fn materials(wheel: &Path, work: &Path) -> Result<PathBuf, String> {
    let unpacked = work.join("wheel");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)
            .map_err(|error| format!("{}: {error}", unpacked.display()))?;
    }
    execute(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
    let info = format!("tinpot-{}.dist-info/sboms", wheel::version()?);
    let folder = unpacked.join(info);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files
        .find(|path| path.to_string_lossy().ends_with(".cyclonedx.json"))
        .ok_or_else(|| format!("   {} has no list in the form of CycloneDX", folder.display()))
}

/// Makes the archive of the program. Returns its name without an ending.
fn archive(program: &Path, materials: &Path, work: &Path, to: &Path) -> Result<String, String> {
    let host = output("rustc", &["--print", "host-tuple"])?;
    let name = format!("tinpot-{}-{}", wheel::workspace_version()?, host.trim());
    let root = work.join(&name);
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    fs::create_dir_all(root.join("systemd"))
        .map_err(|error| format!("{}: {error}", root.display()))?;
    copy(program, &root.join("tinpot"))?;
    copy(materials, &root.join("tinpot.cdx.json"))?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(Path::new(file), &root.join(file))?;
    }
    for entry in fs::read_dir("deploy/systemd").map_err(|error| error.to_string())?.flatten() {
        copy(&entry.path(), &root.join("systemd").join(entry.file_name()))?;
    }
    debian::completions(program, &root, "share")?;
    debian::manual(program, &root.join("share/man/man1"))?;
    let mut tar = Command::new("tar");
    // The same files make the same archive.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar.arg("-czf").arg(to.join(format!("{name}.tar.gz"))).arg("-C").arg(work).arg(&name);
    execute(&mut tar)?;
    Ok(name)
}

/// Writes the checksums of all files of a folder.
fn sums(folder: &Path) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let mut sums = Command::new("sha256sum");
    let found = sums.args(&names).current_dir(folder).output();
    let found = found.map_err(|error| format!("sha256sum: {error}"))?;
    if !found.status.success() {
        return Err(format!("   sha256sum: {}", found.status));
    }
    let path = folder.join("SHA256SUMS");
    fs::write(&path, found.stdout).map_err(|error| format!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to);
    copied.map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
