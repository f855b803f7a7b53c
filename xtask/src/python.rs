//! `cargo xtask ci python-lint`: formatting, lints and types of the Python code.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{execute, target_folder};
use crate::venv;

/// The package, with the settings and the versions of the linters.
const PACKAGE: &str = "tinpot-python/python";
/// The Python code outside of the package that is formatted and linted, too.
const OTHERS: &[&str] = &[
    "clients",
    "deploy/compose/actions",
    "docs/protocol/vectors",
    "examples/actions",
    "examples/multi_worker",
    "examples/notebooks",
    "tests/actions",
    "tinpot-python/tests/conformance",
    "tinpot-python/tests/conformance_shared",
    "xtask/deploy",
    "xtask/wheel",
];
/// The folder with the version and the settings of pyright.
const PYRIGHT: &str = "xtask/pyright";
/// The code that mypy checks. Each part is a run of its own with these search paths.
const TYPED: &[(&[&str], &[&str])] = &[
    (&[PACKAGE], &["tinpot", "tinpot_child.py", "tests/typing_cases.py", "tests/typing_client.py"]),
    (&[PACKAGE, "examples/actions"], &["examples/actions"]),
    (&[PACKAGE], &["deploy/compose/actions"]),
];

/// Formats, lints and type-checks without changing a file.
pub(crate) fn check() -> Result<String, String> {
    let environment = target_folder().join("python-lint");
    let requirements = Path::new(PACKAGE).join("requirements-lint.txt");
    let programs = venv::install(&environment, &requirements)?;
    let settings = Path::new(PACKAGE).join("pyproject.toml");
    for arguments in [&["format", "--check"][..], &["check"]] {
        let mut ruff = Command::new(programs.join("ruff"));
        ruff.args(arguments).arg("--quiet").arg("--config").arg(&settings);
        // Its cache would lie next to the sources.
        execute(ruff.arg("--no-cache").arg(PACKAGE).args(OTHERS))?;
    }
    for (paths, checked) in TYPED {
        let mut mypy = Command::new(programs.join("mypy"));
        let paths = env::join_paths(*paths).map_err(|error| error.to_string())?;
        mypy.arg("--config-file").arg(&settings).env("MYPYPATH", paths);
        mypy.arg("--cache-dir").arg(environment.join("mypy-cache"));
        for name in *checked {
            let inside = Path::new(PACKAGE).join(name);
            mypy.arg(if inside.exists() { inside } else { PathBuf::from(name) });
        }
        execute(&mut mypy)?;
    }
    // A second type checker reads overloads and generics in its own way, and is that of most editors.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--prefix", PYRIGHT, "--no-audit", "--no-fund", "--loglevel=error"]);
    execute(&mut npm)?;
    let mut pyright = Command::new(Path::new(PYRIGHT).join("node_modules/.bin/pyright"));
    pyright.arg("--project").arg(PYRIGHT).arg("--pythonpath").arg(programs.join("python"));
    execute(&mut pyright)?;
    Ok("formatted, without lints, and typed".to_owned())
}
