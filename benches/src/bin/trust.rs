//! The price of trust: what attacks cost others, what identity costs, and how fast a right ends.
//!
//! ```sh
//! trust
//! trust --only half-open,passwords
//! ```

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tinpot_benches::trust::{
    AnyError, audit, decisions, half_open, idle, lists, passwords, revoked, strangers,
};

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The command.
    #[arg(long, default_value = "target/release/tinpot")]
    program: PathBuf,
    /// The folder of the files of stores in this process.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Executions of which a part is listed.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Only these measurements, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    Decisions,
    Lists,
    Strangers,
    HalfOpen,
    Passwords,
    Revoked,
    Audit,
    Idle,
}

fn main() -> Result<(), AnyError> {
    let Arguments { program, folder, rows, only } = Arguments::parse();
    // Each half-open connection is a file here, too.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    std::fs::create_dir_all(&folder)?;
    let folder = tempfile::tempdir_in(folder)?;
    let runtime = tokio::runtime::Runtime::new()?;
    println!("| | must | aim | measured |\n| --- | --- | --- | --- |");
    for measurement in Measurement::value_variants() {
        if !only.is_empty() && !only.contains(measurement) {
            continue;
        }
        let lines = match measurement {
            Measurement::Decisions => runtime.block_on(decisions::measure()),
            Measurement::Lists => runtime.block_on(lists::measure(folder.path(), rows)),
            Measurement::Strangers => runtime.block_on(strangers::measure(20_000)),
            Measurement::HalfOpen => half_open::measure(&program, 10_000),
            Measurement::Passwords => passwords::measure(&program),
            Measurement::Revoked => revoked::measure(&program),
            Measurement::Audit => runtime.block_on(audit::measure(folder.path(), 5, 20_000)),
            Measurement::Idle => idle::measure(&program, 3),
        };
        match lines {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            // The others are measured nevertheless.
            Err(error) => eprintln!("{measurement:?}: {error}"),
        }
    }
    Ok(())
}
