//! `cargo xtask ci debian`: the Debian package, made with dpkg-deb of files that are there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{execute, output, target_folder};
use crate::wheel;

/// The scripts of the package, and the texts with places to fill.
const DEBIAN: &str = "deploy/debian";
const UNITS: &str = "deploy/systemd";
/// The test, which needs root.
const TEST: &str = "xtask/dist/test_deb.sh";
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];
const SETTINGS: &[&str] = &["etc/tinpot/coordinator.toml", "etc/tinpot/worker.toml"];
/// The path of the program in the units, and in the package.
const LOCAL_PROGRAM: &str = "/usr/local/bin/tinpot";
const PROGRAM: &str = "/usr/bin/tinpot";

/// Builds a package of the debug program, and installs and removes it in a copy of this system.
pub(crate) fn check() -> Result<String, String> {
    execute(Command::new("cargo").args(["build", "--quiet", "-p", "tinpot-cli", "--bins"]))?;
    let target = target_folder();
    let package = build(&target.join("debug/tinpot"), &target.join("debian"), "none")?;
    execute(Command::new("dpkg-deb").arg("--info").arg(&package))?;
    if output("id", &["-u"])?.trim() != "0" {
        return Ok("built; installing it needs root, and was not tested".to_owned());
    }
    if output("unshare", &["--mount", "true"]).is_err() {
        return Ok("built; installing it needs a mount namespace, and was not tested".to_owned());
    }
    execute(Command::new("sh").arg(TEST).arg(&package))?;
    Ok("installed, updated, removed and purged".to_owned())
}

/// Builds the package of a program below a folder. Returns its path.
///
/// compression: as `dpkg-deb` names it.
pub(crate) fn build(program: &Path, folder: &Path, compression: &str) -> Result<PathBuf, String> {
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    let stage = Stage { root: root.clone() };
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    stage.add("usr/bin/tinpot", &read(program)?, 0o755)?;
    execute(Command::new("strip").arg(stage.root.join("usr/bin/tinpot")))?;
    for name in ["tinpot-coordinator.service", "tinpot-worker.service"] {
        let unit = String::from_utf8_lossy(&read(&Path::new(UNITS).join(name))?).into_owned();
        if !unit.contains(LOCAL_PROGRAM) {
            return Err(format!("   {name} does not start {LOCAL_PROGRAM}"));
        }
        let unit = unit.replace(LOCAL_PROGRAM, PROGRAM);
        stage.add(&format!("usr/lib/systemd/system/{name}"), unit.as_bytes(), 0o644)?;
    }
    for path in SETTINGS {
        let name = Path::new(path).file_name().unwrap_or_default();
        stage.add(path, &read(&Path::new(UNITS).join(name))?, 0o640)?;
    }
    let documents = "usr/share/doc/tinpot";
    stage.add(
        &format!("{documents}/copyright"),
        &read(&Path::new(DEBIAN).join("copyright"))?,
        0o644,
    )?;
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        stage.add(&format!("{documents}/{name}"), &read(Path::new(name))?, 0o644)?;
    }
    completions(program, &stage.root, "usr/share")?;
    let pages = stage.root.join("usr/share/man/man1");
    manual(program, &pages)?;
    execute(Command::new("gzip").args(["-9", "--no-name", "--recursive"]).arg(&pages))?;
    control(&stage)?;
    let version = wheel::workspace_version()?;
    let architecture = output("dpkg", &["--print-architecture"])?;
    let package = folder.join(format!("tinpot_{version}_{}.deb", architecture.trim()));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", &format!("-Z{compression}"), "--build"]);
    execute(build.arg(&stage.root).arg(&package))?;
    Ok(package)
}

/// Writes the completions of the shells below a folder, at the places where these look.
pub(crate) fn completions(program: &Path, root: &Path, share: &str) -> Result<(), String> {
    for (shell, path) in [
        ("bash", "bash-completion/completions/tinpot"),
        ("zsh", "zsh/vendor-completions/_tinpot"),
        ("fish", "fish/vendor_completions.d/tinpot.fish"),
    ] {
        let text = output(&program.to_string_lossy(), &["completions", shell])?;
        let stage = Stage { root: root.to_owned() };
        stage.add(&format!("{share}/{path}"), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Writes the manual pages of all commands into a folder.
pub(crate) fn manual(program: &Path, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    output(&program.to_string_lossy(), &["manual", &folder.to_string_lossy()])?;
    let pages = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let count = pages.count();
    if count < 20 { Err(format!("   only {count} manual pages")) } else { Ok(()) }
}

/// Writes the files that describe the package.
fn control(stage: &Stage) -> Result<(), String> {
    let folder = Path::new(DEBIAN);
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    for script in SCRIPTS {
        stage.add(&format!("DEBIAN/{script}"), read(script)?.as_bytes(), 0o755)?;
    }
    let settings: String = SETTINGS.iter().map(|path| format!("/{path}\n")).collect();
    stage.add("DEBIAN/conffiles", settings.as_bytes(), 0o644)?;
    let root = stage.root.to_string_lossy();
    let size = output("du", &["-sk", "--apparent-size", &root])?;
    let architecture = output("dpkg", &["--print-architecture"])?;
    let text = read("control")?
        .replace("{VERSION}", &wheel::workspace_version()?)
        .replace("{ARCHITECTURE}", architecture.trim())
        .replace("{SIZE}", size.split_whitespace().next().unwrap_or("0"))
        .replace("{DEPENDS}", &format!("adduser, libc6 (>= {}), libgcc-s1", libc_version(stage)?));
    stage.add("DEBIAN/control", text.as_bytes(), 0o644)
}

/// Returns the oldest C library with all symbols of the program.
fn libc_version(stage: &Stage) -> Result<String, String> {
    let program = stage.root.join("usr/bin/tinpot");
    let symbols = output("objdump", &["-T", &program.to_string_lossy()])?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let text = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let (major, minor) = text.split_once('.')?;
        let minor = minor.split('.').next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let newest = versions.max().ok_or("   the program names no C library")?;
    Ok(format!("{}.{}", newest.0, newest.1))
}

/// The files of the package before it is made.
struct Stage {
    root: PathBuf,
}

impl Stage {
    /// Adds a file with its folders, for all to read.
    fn add(&self, path: &str, content: &[u8], mode: u32) -> Result<(), String> {
        let path = self.root.join(path);
        let failed = |error| format!("{}: {error}", path.display());
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(failed)?;
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&self.root)) {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(failed)?;
        }
        fs::write(&path, content).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)
    }
}
