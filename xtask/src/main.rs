//! Development tasks: `cargo xtask help` lists them.
//!
//! Standard library only, so that it compiles in a second and never delays what it starts.

mod api;
mod bench;
mod ci;
mod clients;
mod debian;
mod dependencies;
mod deploy;
mod dist;
mod language;
mod layers;
mod licences;
mod messages;
mod msrv;
mod mutants;
mod publish;
mod python;
mod run;
mod spelling;
mod tools;
mod ui;
mod vectors;
mod venv;
mod wheel;
mod workers;

use std::process::ExitCode;

const USAGE: &str = "\
Development tasks of Tinpot.

Usage: cargo xtask <COMMAND> [OPTIONS]

Commands:
  test       Set up what the tests need, then run everything of `ci`
  ci         Format, lints, docs, dependency rules, tests, doctests, examples
  bench      Benchmarks, and the same work on other systems
  ui         Build the web UI: what is committed and embedded
  wheel      Build the wheel for `pip install`
  dist       Build all files of a release
  simulate   Whole clusters in simulated time, with every fault at once
  mutants    The protocol broken on purpose: the simulator has to see it
  vectors    Write the test vectors of sealed frames
  soak       Real programs, killed at random for ten minutes, then an audit of what was promised
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
        "ui" => ui::ui(rest),
        "mutants" => mutants::mutants(rest),
        "vectors" => vectors::write(),
        "wheel" => wheel::wheel(rest),
        "dist" => dist::dist(rest),
        "simulate" => hand_over(ci::SIMULATE, rest),
        "soak" => soak(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        other => Err(format!(
            "unknown command `{other}`; the commands are: test, ci, bench, ui, wheel, dist, simulate, mutants, vectors, soak, help"
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

/// The soak works with the examples as they are built for tests.
fn soak(arguments: &[String]) -> Result<bool, String> {
    Ok(hand_over("build --quiet --workspace --examples", &[])? && hand_over(ci::SOAK, arguments)?)
}

/// Has cargo build a program, and hands it the arguments.
fn hand_over(words: &str, arguments: &[String]) -> Result<bool, String> {
    let mut command = std::process::Command::new("cargo");
    command.args(words.split_whitespace());
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    Ok(status.success())
}
