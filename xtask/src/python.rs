//! `cargo xtask ci python-lint`: formatting, lints and types of the Python code.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package, with the settings and the versions of the linters.
const PACKAGE: &str = "tinpot-python/python";
/// The virtual environment of the linters.
const ENVIRONMENT: &str = "target/python-lint";
/// The Python code outside of the package that is formatted and linted, too.
const OTHERS: &[&str] = &[
    "examples/actions",
    "examples/multi_worker",
    "tests/actions",
    "tinpot-python/tests/conformance",
    "tinpot-python/tests/conformance_shared",
];
/// The code that is type-checked. Each part is a run of its own with these search paths.
const TYPED: &[(&[&str], &[&str])] = &[
    (&[PACKAGE], &["tinpot", "tinpot_child.py", "tests/typing_cases.py"]),
    (&[PACKAGE, "examples/actions"], &["examples/actions"]),
];

/// Formats, lints and type-checks without changing a file.
pub(crate) fn check() -> Result<String, String> {
    let programs = install()?;
    let settings = Path::new(PACKAGE).join("pyproject.toml");
    for arguments in [&["format", "--check"][..], &["check"]] {
        let mut ruff = Command::new(programs.join("ruff"));
        ruff.args(arguments).arg("--quiet").arg("--config").arg(&settings);
        // Its cache would lie next to the sources.
        run(ruff.arg("--no-cache").arg(PACKAGE).args(OTHERS))?;
    }
    for (paths, checked) in TYPED {
        let mut mypy = Command::new(programs.join("mypy"));
        let paths = env::join_paths(*paths).map_err(|error| error.to_string())?;
        mypy.arg("--config-file").arg(&settings).env("MYPYPATH", paths);
        mypy.arg("--cache-dir").arg(Path::new(ENVIRONMENT).join("mypy-cache"));
        for name in *checked {
            let inside = Path::new(PACKAGE).join(name);
            mypy.arg(if inside.exists() { inside } else { PathBuf::from(name) });
        }
        run(&mut mypy)?;
    }
    Ok("formatted, without lints, and typed".to_owned())
}

/// Installs the linters into a virtual environment, unless the pinned versions are there already.
fn install() -> Result<PathBuf, String> {
    let requirements = Path::new(PACKAGE).join("requirements-lint.txt");
    let installed = Path::new(ENVIRONMENT).join("installed.txt");
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    let wanted = fs::read_to_string(&requirements).map_err(|error| failed(&requirements, error))?;
    if fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear", ENVIRONMENT]))?;
        let mut pip = Command::new(Path::new(ENVIRONMENT).join("bin/python"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]);
        run(pip.arg("--requirement").arg(&requirements))?;
        fs::write(&installed, &wanted).map_err(|error| failed(&installed, error))?;
    }
    Ok(Path::new(ENVIRONMENT).join("bin"))
}

/// Runs a program to its end, with its output on the terminal.
fn run(command: &mut Command) -> Result<(), String> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("   {status}: {line}")),
        Err(error) => Err(format!("   cannot start `{line}`: {error}")),
    }
}
