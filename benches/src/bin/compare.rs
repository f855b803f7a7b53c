//! Ours and the peers, measured in turn on the same machine: one table with medians and ratios.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tinpot_benches::process::{resident_mb, tree_mb};
use tinpot_benches::system::{Kind, System};
use tinpot_benches::table::{Numbers, markdown, medians};
use tinpot_benches::{load, sse};

const RESULTS: &str = "target/bench/compare.json";

#[derive(Debug, Parser)]
#[command(about, version)]
struct Arguments {
    /// The number of rounds; systems take turns within a round.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The systems to measure.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Requests of the latency measurement.
    #[arg(long, default_value_t = 2000)]
    requests: usize,
    /// Seconds of the throughput measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Executions of the end-to-end measurement.
    #[arg(long, default_value_t = 5000)]
    executions: usize,
    /// Lines of the log measurement.
    #[arg(long, default_value_t = 100_000)]
    lines: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let all = [Kind::Standalone, Kind::Mosquitto, Kind::Durable, Kind::Celery, Kind::Dramatiq];
    let kinds = if arguments.only.is_empty() { all.to_vec() } else { arguments.only.clone() };
    eprintln!("load average before: {}", load_average());
    let mut rounds = Vec::new();
    let mut failed = false;
    for round in 1..=arguments.rounds {
        let mut of_round = BTreeMap::new();
        for &kind in &kinds {
            let mut numbers = Numbers::new();
            // One system that fails must not cost the numbers of the others.
            if let Err(error) = measure(kind, &arguments, &mut numbers) {
                eprintln!("round {round}, {}: {error}", kind.title());
                failed = true;
            }
            eprintln!("round {round}, {}: {numbers:?}", kind.title());
            of_round.insert(kind, numbers);
        }
        rounds.push(of_round);
    }
    let medians = medians(&rounds);
    println!("{}", markdown(&medians));
    let by_title = |systems: &BTreeMap<Kind, Numbers>| -> BTreeMap<&str, Numbers> {
        systems.iter().map(|(kind, numbers)| (kind.title(), numbers.clone())).collect()
    };
    let results = json!({
        "medians": by_title(&medians),
        "rounds": rounds.iter().map(by_title).collect::<Vec<_>>(),
        "load_average_after": load_average(),
    });
    let saved =
        fs::create_dir_all("target/bench").and_then(|()| fs::write(RESULTS, results.to_string()));
    match saved {
        Ok(()) => eprintln!("every number: {RESULTS}"),
        Err(error) => eprintln!("{RESULTS}: {error}"),
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One system alone on the machine: start, look at its memory, measure, stop.
fn measure(kind: Kind, arguments: &Arguments, numbers: &mut Numbers) -> io::Result<()> {
    let mut system = System::start(kind)?;
    thread::sleep(Duration::from_secs(2));
    let worker = system.worker;
    numbers.extend(resident_mb(system.api).map(|mb| ("api_mb", mb)));
    numbers.extend(worker.and_then(resident_mb).map(|mb| ("worker_mb", mb)));
    numbers.insert("all_mb", tree_mb(system.api) + worker.map_or(0.0, tree_mb));

    let noop = load::sync_execute("noop");
    let latency = load::latency(system.address, &noop, arguments.requests)?;
    numbers.insert("sync_p50_ms", latency.p50_ms);
    numbers.insert("sync_p99_ms", latency.p99_ms);
    let duration = Duration::from_secs(arguments.seconds);
    let per_second = load::throughput(system.address, &noop, 16, duration)?;
    numbers.insert("sync_many_per_second", per_second);

    let lines = sse::lines(system.address, "lines", arguments.lines)?;
    numbers.insert("lines_received", lines.received as f64);
    numbers.insert("lines_in_order", f64::from(u8::from(lines.in_order)));
    numbers.insert("lines_per_second", lines.per_second());

    if let Some(answer) = system.own_client("round_trip", arguments.requests)? {
        numbers.extend(answer["p50_ms"].as_f64().map(|n| ("round_trip_p50_ms", n)));
        numbers.extend(answer["p99_ms"].as_f64().map(|n| ("round_trip_p99_ms", n)));
    }
    if let Some(answer) = system.own_client("end_to_end", arguments.executions)? {
        numbers.extend(answer["per_second"].as_f64().map(|n| ("end_to_end_per_second", n)));
    }
    if kind.is_ours() {
        // Last, because it leaves a queue behind, which the workers are busy with.
        let submit = load::execute("noop");
        let accepted = load::throughput(system.address, &submit, 16, duration)?;
        numbers.insert("accepted_per_second", accepted);
    }
    Ok(())
}

/// A machine that is busy with something else measures something else.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
