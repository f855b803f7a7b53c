//! `cargo xtask wheel` and `cargo xtask ci wheel`: the wheel for `pip install`, and its tests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{execute, output, target_folder};
use crate::venv;

const HELP: &str = "\
Build the wheel: the program and the Python package, for `pip install FILE`.

Usage: cargo xtask wheel [--debug] [--sdist]

The file is in target/wheels. Its platform is that of this machine.

Options:
  --debug   A debug build, which is large and slow, but quick to make
  --sdist   The source distribution as well
";

/// The pinned versions of the tools, and of those that the tests need.
const TOOLS: &str = "xtask/requirements-wheel.txt";
const TEST_TOOLS: &str = "xtask/requirements-wheel-tests.txt";
/// The check of the contents.
const CHECK: &str = "xtask/wheel/check.py";
/// The tests of the package, and those that need an installed wheel.
const TESTS: &str = "tinpot-python/python/tests";
const INSTALLED_TESTS: &str = "tinpot-python/python/tests/installed";
/// The largest wheel of a release, in bytes.
pub(crate) const MAX_BYTES: u64 = 15_000_000;
/// The versions of Python to test with, where they are installed: the oldest, and the newest known.
const PYTHONS: &[&str] = &["3.9", "3.13"];

/// Builds the wheel.
pub(crate) fn wheel(arguments: &[String]) -> Result<bool, String> {
    let (mut profile, mut with_sdist) = ("release", false);
    for argument in arguments {
        match argument.as_str() {
            "--debug" => profile = "dev",
            "--sdist" => with_sdist = true,
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(true);
            }
            other => {
                return Err(format!("unknown option `{other}`; see `cargo xtask wheel --help`"));
            }
        }
    }
    let folder = target_folder().join("wheels");
    let wheel = build(profile, &folder)?;
    check_contents(&wheel, (profile != "dev").then_some(MAX_BYTES))?;
    if with_sdist {
        println!("{}", sdist(&folder)?.display());
    }
    Ok(true)
}

/// Builds a wheel into a folder, which has no other one then. Returns its path.
pub(crate) fn build(profile: &str, folder: &Path) -> Result<PathBuf, String> {
    let programs = tools()?;
    let folder = absolute(folder)?;
    clear(&folder, ".whl")?;
    let mut maturin = Command::new(programs.join("maturin"));
    maturin.args(["build", "--quiet", "--locked", "--profile", profile, "--out"]).arg(&folder);
    execute(&mut maturin)?;
    only(&folder, ".whl")
}

/// Builds the source distribution into a folder. Returns its path.
pub(crate) fn sdist(folder: &Path) -> Result<PathBuf, String> {
    let programs = tools()?;
    let folder = absolute(folder)?;
    clear(&folder, ".tar.gz")?;
    execute(Command::new(programs.join("maturin")).args(["sdist", "--out"]).arg(&folder))?;
    only(&folder, ".tar.gz")
}

/// Checks the files that would be uploaded.
pub(crate) fn check_files(
    wheel: &Path,
    sdist: &Path,
    max_bytes: Option<u64>,
) -> Result<(), String> {
    let programs = tools()?;
    execute(Command::new(programs.join("twine")).args(["check", "--strict"]).args([wheel, sdist]))?;
    execute(Command::new(programs.join("check-wheel-contents")).arg(wheel))?;
    audit(&programs.join("auditwheel"), wheel)?;
    check_contents(wheel, max_bytes)
}

/// Checks that the program in a wheel runs on all systems that the name of the wheel promises.
fn audit(auditwheel: &Path, wheel: &Path) -> Result<(), String> {
    let name = wheel.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let promised = name.rsplit('-').next().unwrap_or_default();
    if !promised.contains("linux") {
        println!("not audited: {promised}");
        return Ok(());
    }
    let said = output(&auditwheel.to_string_lossy(), &["show", &wheel.to_string_lossy()])?;
    match is_audited(promised, &said) {
        true => Ok(()),
        false => Err(format!("   {name} is not what auditwheel finds:\n{}", said.trim())),
    }
}

/// Returns true if auditwheel finds one of the platforms of a wheel, which dots separate.
fn is_audited(promised: &str, said: &str) -> bool {
    // Its lines are wrapped.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = said.split("following platform tag: \"").nth(1).unwrap_or_default();
    let found = found.split('"').next().unwrap_or_default();
    !found.is_empty() && promised.split('.').any(|platform| platform == found)
}

/// Checks the files in a wheel, and its size.
fn check_contents(wheel: &Path, max_bytes: Option<u64>) -> Result<(), String> {
    let mut check = Command::new(tools()?.join("python"));
    check.env("PYTHONDONTWRITEBYTECODE", "1").arg(CHECK).arg(wheel).arg(version()?);
    execute(check.args(max_bytes.map(|bytes| bytes.to_string())))
}

/// Builds a wheel of the debug program, checks its contents, and tests it where it is installed.
pub(crate) fn check() -> Result<String, String> {
    let folder = target_folder().join("wheel-test");
    let wheel = build("dev", &folder)?;
    let sdist = sdist(&folder)?;
    check_files(&wheel, &sdist, None)?;
    resolves(&sdist, &folder)?;
    let mut tested = Vec::new();
    for (version, python) in pythons() {
        test(&wheel, &folder.join(format!("python-{version}")), &python)?;
        tested.push(version);
    }
    Ok(format!("installed and tested with Python {}", tested.join(", ")))
}

/// Checks that the source distribution is complete: cargo finds every crate in it.
fn resolves(sdist: &Path, folder: &Path) -> Result<(), String> {
    let unpacked = folder.join("sdist");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)
            .map_err(|error| format!("{}: {error}", unpacked.display()))?;
    }
    fs::create_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    let mut tar = Command::new("tar");
    execute(tar.arg("-xzf").arg(sdist).args(["--strip-components=1", "-C"]).arg(&unpacked))?;
    let unpacked = absolute(&unpacked)?;
    // Not `--locked`: its workspace has fewer crates, and cargo removes what only the others need.
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--quiet", "--offline", "--depth", "1", "-p", "tinpot-cli"]);
    execute(tree.current_dir(&unpacked))?;
    let missing = ["tinpot-ui/dist/index.html", "LICENSE-MIT", "LICENSE-APACHE"]
        .into_iter()
        .find(|file| !unpacked.join(file).exists());
    if let Some(file) = missing {
        return Err(format!("   the source distribution has no {file}"));
    }
    // Packages of npm are there once the UI was built.
    let modules = unpacked.join("tinpot-ui/web/node_modules");
    match modules.exists() {
        true => {
            Err("   the source distribution has files of tinpot-ui/web/node_modules".to_owned())
        }
        false => Ok(()),
    }
}

/// Installs the wheel into a new environment, without an index, and runs the tests there.
fn test(wheel: &Path, environment: &Path, python: &str) -> Result<(), String> {
    let programs = venv::install_with(python, environment, Path::new(TEST_TOOLS))?;
    let python = programs.join("python");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]);
    execute(pip.args(["--no-deps", "--force-reinstall"]).arg(wheel))?;
    // Neither the sources nor settings of the user may stand in for what was installed.
    let isolated = |words: &[&str]| {
        let mut command = Command::new(&python);
        command.env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1").args(words);
        command
    };
    execute(&mut isolated(&[
        "-I",
        "-c",
        "import tinpot; assert 'site-packages' in tinpot.__file__",
    ]))?;
    execute(&mut isolated(&["-m", "pytest", "-q", "-p", "no:cacheprovider", INSTALLED_TESTS]))?;
    for tests in ["test_client.py", "test_proxy.py"] {
        let unit_tests = ["-m", "unittest", "discover", "--quiet", "-s", TESTS, "-p", tests];
        execute(&mut isolated(&unit_tests))?;
    }
    Ok(())
}

/// Returns the interpreters to test with, by version: `python3`, and the others that there are.
fn pythons() -> Vec<(String, String)> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version_of = |python: &str| {
        let version = output(python, &["-c", script]).ok()?;
        Some((version.trim().to_owned(), python.to_owned()))
    };
    let mut found: Vec<_> = version_of("python3").into_iter().collect();
    for wanted in PYTHONS {
        let is_new = found.iter().all(|(version, _)| version != wanted);
        let candidates = [format!("python{wanted}")].into_iter().chain(of_pyenv(wanted));
        if is_new && let Some(one) = candidates.into_iter().find_map(|python| version_of(&python)) {
            found.push(one);
        }
    }
    found
}

/// Returns the interpreters of a version that pyenv has, which are not on the path.
fn of_pyenv(version: &str) -> Vec<String> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let entries = versions.into_iter().flatten().flatten();
    let of_version = format!("{version}.");
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&of_version))
        .map(|entry| entry.path().join("bin/python").to_string_lossy().into_owned())
        .collect()
}

fn tools() -> Result<PathBuf, String> {
    absolute(&venv::install(&target_folder().join("wheel-tools"), Path::new(TOOLS))?)
}

/// Returns the version of the workspace as Python writes it.
pub(crate) fn version() -> Result<String, String> {
    Ok(of_python(&workspace_version()?))
}

/// Returns the version of the workspace.
pub(crate) fn workspace_version() -> Result<String, String> {
    let manifest =
        fs::read_to_string("Cargo.toml").map_err(|error| format!("Cargo.toml: {error}"))?;
    let package = manifest.split("[workspace.package]").nth(1).unwrap_or_default();
    let text = package.split("version = \"").nth(1).and_then(|rest| rest.split('"').next());
    text.map(str::to_owned).ok_or_else(|| "Cargo.toml has no version".to_owned())
}

/// Returns a version in the spelling of Python: `0.2.0-rc.1` is `0.2.0rc1`.
fn of_python(version: &str) -> String {
    let Some((release, rest)) = version.split_once('-') else { return version.to_owned() };
    let (kind, number) = rest.split_once('.').unwrap_or((rest, "0"));
    let kind = match kind {
        "alpha" => "a",
        "beta" => "b",
        other => other,
    };
    format!("{release}{kind}{number}")
}

/// Removes the files of a folder that end so.
fn clear(folder: &Path, ending: &str) -> Result<(), String> {
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for path in ending_so(folder, ending)? {
        fs::remove_file(&path).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// Returns the one file of a folder that ends so.
fn only(folder: &Path, ending: &str) -> Result<PathBuf, String> {
    let mut found = ending_so(folder, ending)?;
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        _ => Err(format!("   {} does not have one file *{ending}", folder.display())),
    }
}

fn ending_so(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect())
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{is_audited, of_python};

    #[test]
    fn the_platform_of_a_wheel_is_the_one_that_was_audited() {
        let said =
            "\nx.whl is consistent with the\nfollowing platform tag: \"manylinux_2_34_x86_64\".\n";
        for (promised, is_fine) in [
            ("manylinux_2_34_x86_64", true),
            ("manylinux_2_17_x86_64", false),
            ("manylinux_2_17_x86_64.manylinux2014_x86_64", false),
            ("manylinux_2_34_x86_64.manylinux_2_35_x86_64", true),
        ] {
            assert_eq!(is_audited(promised, said), is_fine, "{promised}");
        }
        assert!(!is_audited("manylinux_2_34_x86_64", "nothing"));
    }

    #[test]
    fn versions_are_spelled_as_python_does() {
        for (ours, theirs) in [
            ("0.1.0", "0.1.0"),
            ("0.2.0-rc.1", "0.2.0rc1"),
            ("1.0.0-alpha.2", "1.0.0a2"),
            ("1.0.0-beta", "1.0.0b0"),
        ] {
            assert_eq!(of_python(ours), theirs);
        }
    }
}
