//! Development tasks: `cargo xtask help` lists them.
//!
//! Standard library only, so that it compiles in a second and never delays what it starts.

mod bench;
mod ci;
mod dependencies;
mod licences;
mod mutants;
mod run;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
Development tasks of Tinpot.

Usage: cargo xtask <COMMAND> [OPTIONS]

Commands:
  test       Set up what the tests need, then run everything of `ci`
  ci         Format, lints, docs, dependency rules, tests, doctests, examples
  bench      Benchmarks, and the same work on other systems beside ours
  simulate   Whole clusters in simulated time, with every fault at once
  mutants    The protocol broken on purpose: the simulator has to see it
  help       Print this text

`cargo xtask <COMMAND> --help` explains one command.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Err(error) = run::enter_workspace() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let result = match command.as_str() {
        "test" => ci::test(rest),
        "ci" => ci::ci(rest),
        "bench" => bench::bench(rest),
        "mutants" => mutants::mutants(rest),
        "simulate" => simulate(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        other => Err(format!(
            "unknown command `{other}`; the commands are: test, ci, bench, simulate, mutants, help"
        )),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(usage) => {
            eprintln!("error: {usage}");
            ExitCode::from(2)
        }
    }
}

/// Builds the simulator, optimised, and hands it the arguments.
fn simulate(arguments: &[String]) -> Result<bool, String> {
    let status = std::process::Command::new("cargo")
        .args(ci::SIMULATE.split_whitespace())
        .arg("--")
        .args(arguments)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    Ok(status.success())
}
