//! Clients that are generated from the description of the API, one per language.
//!
//! Generated code is not committed. The step `workers` generates and compiles each client, and runs
//! actions of a real server with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{execute, target_folder};

const GO: &str = "clients/go";
const TYPESCRIPT: &str = "clients/typescript";
const CHECK: &str = "clients/check.py";

/// Tests each client with the server that `program` starts.
pub(crate) fn check(here: &Path, python: &Path, program: &Path) -> Result<(), String> {
    for command in [typescript(here)?, go(here)?] {
        let mut check = Command::new(python);
        execute(check.arg(CHECK).args(command).env("TINPOT", program))?;
    }
    Ok(())
}

/// Generates and compiles the client in TypeScript. Returns its command.
fn typescript(here: &Path) -> Result<Vec<PathBuf>, String> {
    let install = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    for arguments in [&install[..], &["run", "--silent", "build"]] {
        execute(Command::new("npm").args(["--prefix", TYPESCRIPT]).args(arguments))?;
    }
    Ok(vec!["node".into(), here.join(TYPESCRIPT).join("dist/run.js")])
}

/// Generates and compiles the client in Go. Returns its command.
fn go(here: &Path) -> Result<Vec<PathBuf>, String> {
    let program = here.join(target_folder()).join("workers").join("go-client");
    for arguments in [&["generate", "./..."][..], &["vet", "./..."], &["build", "-o"]] {
        let mut go = Command::new("go");
        go.current_dir(GO).args(arguments);
        if arguments[0] == "build" {
            go.arg(&program).arg(".");
        }
        execute(&mut go)?;
    }
    Ok(vec![program])
}
