//! Runs the soak: see `cargo xtask soak --help`.

use std::process::ExitCode;

use tinpot_tests::{Random, Soak, soak};

const USAGE: &str = "soak [--minutes N] [--executions N] [--seed N]";

fn arguments() -> Result<Soak, String> {
    let mut minutes = 10.0;
    let (mut executions, mut seed) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let wrong = |what: &str| format!("{name} must be {what}, not {value:?}");
        match name.as_str() {
            "--minutes" => {
                minutes = value
                    .parse()
                    .ok()
                    .filter(|minutes| (0.1..=10_000.0).contains(minutes))
                    .ok_or_else(|| wrong("a number of minutes from 0.1"))?;
            }
            "--executions" => {
                executions = Some(value.parse().map_err(|_| wrong("a whole number"))?);
            }
            "--seed" => seed = Some(value.parse().map_err(|_| wrong("a whole number"))?),
            _ => return Err(format!("{name} is unknown; usage: {USAGE}")),
        }
    }
    Ok(Soak {
        minutes,
        executions: executions.unwrap_or((minutes * 1000.0) as usize),
        seed: seed.unwrap_or_else(Random::any_seed),
    })
}

fn main() -> ExitCode {
    let soak = match arguments() {
        Ok(soak) => soak,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{soak:?}");
    let directory = tempfile::tempdir().expect("a directory");
    match soak::run(&soak, directory.path()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            eprintln!("logs, database and side effects: {}", directory.keep().display());
            ExitCode::FAILURE
        }
    }
}
