//! `cargo xtask bench`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::run::{Step, run};

const HELP: &str = "\
Run the benchmarks. Stop what else the machine does first; benches/README.md says how to read them.

Usage: cargo xtask bench [STEP]... [-- COMPARE_OPTIONS]

Steps (all of them when none is named):
  criterion    The criterion benchmarks
  build        Cold build of a program that depends on tinpot-core alone
  cli          What the command `tinpot` costs by itself
  history      What a durable coordinator pays for a million executions in its history, and in its queue
  compare      Ours and the peers in one run: one table with medians and ratios

What follows `--` goes to the `compare` program: `cargo xtask bench compare -- --help`.
";

/// Runs the benchmarks that are named.
pub(crate) fn bench(arguments: &[String]) -> Result<bool, String> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (names, options) = arguments.split_at(end);
    if names.iter().any(|name| name == "--help" || name == "-h") {
        print!("{HELP}");
        return Ok(true);
    }
    let options = options.get(1..).unwrap_or_default();
    let mut steps = vec![
        Step::new("criterion", "criterion benchmarks")
            .command("cargo bench --package tinpot-benches --benches"),
        Step::new("build", "cold build of a program that depends on tinpot-core alone")
            .check(cold_build),
        Step::new("cli", "the command `tinpot` by itself")
            .command("cargo build --release --package tinpot-cli")
            .command("cargo build --release --package tinpot-benches --bin cli")
            .command("target/release/cli"),
        Step::new("history", "a million executions in the history, and in the queue")
            .command("cargo build --release --package tinpot-benches --bins")
            .command("target/release/history"),
        Step::new("compare", "ours and the peers, side by side")
            .command("cargo build --release --package tinpot-examples --examples")
            .command("cargo build --release --package tinpot-benches --bins")
            .command(&format!("target/release/compare {}", options.join(" "))),
    ];
    if let Some(wrong) = names.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
        let known: Vec<_> = steps.iter().map(|step| step.name).collect();
        return Err(format!("unknown step `{wrong}`; the steps are: {}", known.join(", ")));
    }
    steps.retain(|step| names.is_empty() || names.iter().any(|name| name == step.name));
    Ok(run("cargo xtask bench", &steps, false))
}

/// Times `cargo build` of the smallest program on tinpot-core, with nothing compiled before.
///
/// The sources of the dependencies are fetched first: a download says something about the network.
fn cold_build() -> Result<String, String> {
    let folder = Path::new("target/bench/cold-build");
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(told)?;
    }
    fs::create_dir_all(folder.join("src")).map_err(told)?;
    let manifest = "[package]\nname = \"cold-build\"\nedition = \"2024\"\n\n[workspace]\n\n\
                    [dependencies]\ntinpot-core = { path = \"../../../tinpot-core\" }\n";
    fs::write(folder.join("Cargo.toml"), manifest).map_err(told)?;
    fs::write(folder.join("src/main.rs"), "fn main() {}\n").map_err(told)?;
    fs::copy("Cargo.lock", folder.join("Cargo.lock")).map_err(told)?;
    let cargo = |arguments: &[&str]| {
        let status = Command::new("cargo")
            .args(arguments)
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", "target")
            .status()
            .map_err(told)?;
        if status.success() { Ok(()) } else { Err(format!("   cargo {arguments:?}: {status}")) }
    };
    cargo(&["fetch"])?;
    let started = Instant::now();
    cargo(&["build", "--offline"])?;
    let seconds = started.elapsed().as_secs_f64();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    fs::write("target/bench/cold-build.json", format!("{{\"seconds\":{seconds:.1}}}\n"))
        .map_err(told)?;
    Ok(format!("cold build of tinpot-core alone: {seconds:.1} s on {cores} cores"))
}
