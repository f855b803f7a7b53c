//! `cargo xtask ci workers`: the worker libraries of other languages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use crate::clients;
use crate::run::{execute, output, target_folder};
use crate::venv;

const PYTHON: &str = "workers/python";
const MOOR: &str = "workers/moor-python";
const GO: &str = "workers/go";
const TYPESCRIPT: &str = "workers/typescript";
const SUITE: &str = "workers/suite/suite.py";
const MUTANTS: &str = "workers/python/tests/mutants.py";
/// The Python code that is type-checked, with `workers/python/src` and `workers/suite` as paths.
const TYPED: &[&str] = &[
    "workers/python/src",
    "workers/python/tests/test_scenes.py",
    "workers/python/tests/test_vectors.py",
    "workers/python/tests/test_worker.py",
    MUTANTS,
    "workers/python/examples/conformance.py",
    "workers/python/examples/hello.py",
    SUITE,
];

/// The time that a scene waits for a message: machines of a CI are slow.
const PATIENCE: &str = "60";

/// Tests each library by itself, and then all of them against a broker and a coordinator, and in
/// the scenes of the protocol.
pub(crate) fn check() -> Result<String, String> {
    let here = env::current_dir().map_err(|error| error.to_string())?;
    let python = python(&here)?;
    moor(&here)?;
    let go = go(&here)?;
    typescript()?;
    clients::check(&here, &python, &program(&here)?)?;
    let worker = |path: &str| here.join(path).to_string_lossy().into_owned();
    let interpreter = python.to_string_lossy().into_owned();
    let commands = [
        vec![interpreter, worker("workers/python/examples/conformance.py")],
        vec![go.to_string_lossy().into_owned()],
        vec!["node".to_owned(), worker("workers/typescript/dist/examples/conformance.js")],
    ];
    // Most of the time they wait.
    let suites: Vec<_> = commands
        .iter()
        .cloned()
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
    // One after the other, and after the suites: they take processor time, and have short leases.
    let own = here.join(target_folder()).join("debug/examples/conformance_worker");
    let own = vec![own.to_string_lossy().into_owned()];
    failures.extend(commands.iter().chain([&own]).filter_map(|it| conformance(&here, it).err()));
    failures.extend(mutants(&python, &here).err());
    if failures.is_empty() {
        let passed =
            "workers in Python, Go, TypeScript and Rust pass suite and scenes; clients run actions";
        return Ok(passed.to_owned());
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

/// Checks and tests the library in Python for mooR's servers: with servers that it plays itself,
/// and with a coordinator.
fn moor(here: &Path) -> Result<(), String> {
    let environment = target_folder().join("workers-moor");
    let programs = venv::install(&environment, &Path::new(MOOR).join("requirements-test.txt"))?;
    let (environment, programs) = (here.join(environment), here.join(programs));
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(MOOR).env("PYTHONDONTWRITEBYTECODE", "1").args(arguments);
        command
    };
    execute(&mut run("ruff", &["format", "--check", "--quiet", "--no-cache"]))?;
    execute(&mut run("ruff", &["check", "--quiet", "--no-cache"]))?;
    let mut mypy = run("mypy", &["--strict", "src", "tests", "examples"]);
    execute(mypy.arg("--cache-dir").arg(environment.join("mypy-cache")))?;
    execute(run("python", &["-m", "pytest", "--quiet"]).env("TINPOT", program(here)?))
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
    let mut command = Command::new(python);
    command.arg(SUITE).args(worker).env("TINPOT", program(here)?);
    run_to_end(here, &mut command, &format!("the suite fails with {}", worker.join(" ")))
}

/// Plays the scenes of the protocol with one worker.
fn conformance(here: &Path, worker: &[String]) -> Result<(), String> {
    let mut command = Command::new(program(here)?);
    command.args(["conformance", "worker", "--patience", PATIENCE, "--"]).args(worker);
    run_to_end(here, &mut command, &format!("scenes fail with {}", worker.join(" ")))
}

/// Plays scenes with workers that break the protocol on purpose.
fn mutants(python: &Path, here: &Path) -> Result<(), String> {
    let mut command = Command::new(python);
    command.arg(here.join(MUTANTS)).env("TINPOT", program(here)?);
    run_to_end(here, &mut command, "scenes do not notice a broken worker")
}

fn program(here: &Path) -> Result<PathBuf, String> {
    let program = here.join(target_folder()).join("debug").join("tinpot");
    match fs::metadata(&program) {
        Ok(_) => Ok(program),
        Err(error) => Err(format!("   {}: {error}", program.display())),
    }
}

/// Runs a command, and shows its output if it fails.
fn run_to_end(here: &Path, command: &mut Command, failure: &str) -> Result<(), String> {
    let ran = with_library(here, command).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("   cannot start {command:?}: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let texts = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Err(format!("   {failure}:\n{}", texts.concat()))
}
