//! `cargo xtask ci workers`: the worker libraries of other languages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use crate::run::{execute, output, target_folder};
use crate::venv;

const PYTHON: &str = "workers/python";
const GO: &str = "workers/go";
const TYPESCRIPT: &str = "workers/typescript";
const SUITE: &str = "workers/suite/suite.py";
/// The Python code that is type-checked, with `workers/python/src` and `workers/suite` as paths.
const TYPED: &[&str] = &[
    "workers/python/src",
    "workers/python/tests/test_scenes.py",
    "workers/python/tests/test_vectors.py",
    "workers/python/tests/test_worker.py",
    "workers/python/examples/conformance.py",
    "workers/python/examples/hello.py",
    SUITE,
];

/// Tests each library by itself, and then all of them against a broker and a coordinator.
pub(crate) fn check() -> Result<String, String> {
    let here = env::current_dir().map_err(|error| error.to_string())?;
    let python = python(&here)?;
    let go = go(&here)?;
    typescript()?;
    let worker = |path: &str| here.join(path).to_string_lossy().into_owned();
    let interpreter = python.to_string_lossy().into_owned();
    let commands = [
        vec![interpreter, worker("workers/python/examples/conformance.py")],
        vec![go.to_string_lossy().into_owned()],
        vec!["node".to_owned(), worker("workers/typescript/dist/examples/conformance.js")],
    ];
    // Most of the time they wait.
    let suites: Vec<_> = commands
        .into_iter()
        .map(|command| {
            let (python, here) = (python.clone(), here.clone());
            thread::spawn(move || suite(&python, &here, &command))
        })
        .collect();
    let mut failures = Vec::new();
    for suite in suites {
        match suite.join() {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => failures.push("a suite panicked".to_owned()),
        }
    }
    if failures.is_empty() {
        return Ok("workers in Python, Go and TypeScript pass the suite".to_owned());
    }
    Err(failures.join("\n"))
}

/// Returns the version of Go if it is 1.24 or newer.
pub(crate) fn go_version() -> Option<String> {
    let version = output("go", &["env", "GOVERSION"]).ok()?;
    let version = version.trim().trim_start_matches("go").to_owned();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    ((numbers.next()?, numbers.next()?) >= (1, 24)).then_some(version)
}

/// Checks and tests the library in Python. Returns the interpreter that has its dependencies.
fn python(here: &Path) -> Result<PathBuf, String> {
    let environment = target_folder().join("workers");
    let programs = venv::install(&environment, &Path::new(PYTHON).join("requirements-test.txt"))?;
    // The suite changes the directory of the worker, not the way to its interpreter.
    let programs = here.join(programs);
    for arguments in [&["format", "--check"][..], &["check"]] {
        // It looks for the library's own modules from here.
        let mut ruff = Command::new(programs.join("ruff"));
        ruff.current_dir(PYTHON).args(arguments).args(["--quiet", "--no-cache"]);
        execute(ruff.args(["--config", "pyproject.toml", ".", "../suite"]))?;
    }
    let paths = env::join_paths([Path::new(PYTHON).join("src"), "workers/suite".into()]);
    let mut mypy = Command::new(programs.join("mypy"));
    mypy.env("MYPYPATH", paths.map_err(|error| error.to_string())?).arg("--strict");
    execute(mypy.arg("--cache-dir").arg(environment.join("mypy-cache")).args(TYPED))?;
    let python = programs.join("python");
    let mut tests = Command::new(&python);
    tests.args(["-m", "unittest", "discover", "--quiet", "--start-directory"]);
    execute(with_library(here, &mut tests).arg(Path::new(PYTHON).join("tests")))?;
    Ok(python)
}

/// Lets a program find the library in Python.
fn with_library<'a>(here: &Path, command: &'a mut Command) -> &'a mut Command {
    let library = here.join(PYTHON).join("src");
    command.env("PYTHONPATH", library).env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Checks and tests the library in Go. Returns the worker of the suite.
fn go(here: &Path) -> Result<PathBuf, String> {
    let worker = here.join(target_folder()).join("workers").join("go-worker");
    let unformatted = output("gofmt", &["-l", GO])?;
    if !unformatted.is_empty() {
        return Err(format!("   these files differ from `gofmt`:\n{unformatted}"));
    }
    // The vectors are outside of the module, so a cached result may be of other vectors.
    for arguments in [&["vet", "./..."][..], &["test", "-count=1", "./..."], &["build", "-o"]] {
        let mut go = Command::new("go");
        go.current_dir(GO).args(arguments);
        if arguments[0] == "build" {
            go.arg(&worker).arg("./examples/conformance");
        }
        execute(&mut go)?;
    }
    Ok(worker)
}

/// Compiles and tests the library in TypeScript.
fn typescript() -> Result<(), String> {
    for arguments in [&["ci", "--no-audit", "--no-fund", "--loglevel=error"][..], &["test"]] {
        execute(Command::new("npm").args(["--prefix", TYPESCRIPT]).args(arguments))?;
    }
    Ok(())
}

/// Runs the suite with one worker. Its output is shown if it fails.
fn suite(python: &Path, here: &Path, worker: &[String]) -> Result<(), String> {
    let program = here.join(target_folder()).join("debug").join("tinpot");
    if let Err(error) = fs::metadata(&program) {
        return Err(format!("   {}: {error}", program.display()));
    }
    let mut command = Command::new(python);
    command.arg(SUITE).args(worker).env("TINPOT", &program).stdin(Stdio::null());
    let ran = with_library(here, &mut command).output();
    let ran = ran.map_err(|error| format!("   cannot start {SUITE}: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let texts = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("   the suite fails with {}:\n{}", worker.join(" "), texts.concat()))
}
