//! The cost of the command `tinpot` itself: processor time and elapsed time of whole processes,
//! against a server on this machine.
//!
//! ```sh
//! cli --program target/release/tinpot --rounds 41
//! ```

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};
use tinpot_benches::process::Process;
use tinpot_benches::stats::median;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// An action that does nothing, so that what is left is the way to it and back.
const ACTIONS: &str = "from tinpot import action\n\n\n@action\ndef noop():\n    pass\n";
/// Each is timed, in turn; a `true` that does nothing shows what any process costs here.
const CASES: &[(&str, &[&str])] = &[
    ("--help", &["--help"]),
    ("run of a no-op", &["run", "noop"]),
    ("run of a no-op, with an option", &["run", "noop", "--quiet"]),
    ("run of a no-op, detached", &["run", "noop", "--detach"]),
    ("run NAME --help", &["run", "noop", "--help"]),
    ("actions list", &["actions", "list"]),
];

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The command.
    #[arg(long, default_value = "target/release/tinpot")]
    program: PathBuf,
    /// The number of timed runs of each; they take turns.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
}

fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("noop.py"), ACTIONS)?;
    let mut server = Command::new(&arguments.program);
    server.args(["dev", "--port", "0"]).arg(folder.path());
    let mut server = Process(server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let output = server.0.stdout.take().ok_or("the server has no output")?;
    let mut lines = BufReader::new(output).lines();
    let url = loop {
        let line = lines.next().ok_or("the server has ended: see above")??;
        if let Some((_, url)) = line.split_once("listens on ") {
            break url.trim().to_owned();
        }
    };
    let reading = std::thread::spawn(move || lines.for_each(drop));
    let mut costs = vec![(Vec::new(), Vec::new()); CASES.len() + 1];
    // The first of each is not counted: it brings the files into memory.
    for round in 0..=arguments.rounds {
        for (index, (cpu, wall)) in costs.iter_mut().enumerate() {
            let (program, words) = match CASES.get(index) {
                Some((_, words)) => (arguments.program.as_path(), *words),
                None => (Path::new("true"), &[][..]),
            };
            let cost = cost(program, words, &url)?;
            if round > 0 {
                cpu.push(cost.0.as_secs_f64() * 1e3);
                wall.push(cost.1.as_secs_f64() * 1e3);
            }
        }
    }
    drop(server);
    let _ = reading.join();
    println!("| | processor time | on the wall |\n| --- | --- | --- |");
    let mut all = serde_json::Map::new();
    let names = CASES.iter().map(|(name, _)| format!("`tinpot`: {name}"));
    for (name, (cpu, wall)) in names.chain(["`true`".to_owned()]).zip(&costs) {
        let (cpu, wall) = (median(cpu), median(wall));
        println!("| {name} | {cpu:.1} ms | {wall:.1} ms |");
        all.insert(name, json!({"cpu_ms": cpu, "wall_ms": wall}));
    }
    std::fs::create_dir_all("target/bench")?;
    std::fs::write("target/bench/cli.json", format!("{}\n", Value::Object(all)))?;
    Ok(())
}

/// Processor time and time on the wall of one process, from its start to its end; it has to go well.
fn cost(program: &Path, words: &[&str], url: &str) -> Result<(Duration, Duration), AnyError> {
    let mut command = Command::new(program);
    command.args(words).env("TINPOT_SERVER", url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (before, begin) = (children()?, Instant::now());
    let status = command.status()?;
    let (wall, after) = (begin.elapsed(), children()?);
    if !status.success() {
        return Err(format!("{} {words:?}: {status}", program.display()).into());
    }
    Ok((after.saturating_sub(before), wall))
}

/// Processor time of all processes that were started here and have ended.
fn children() -> Result<Duration, AnyError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
