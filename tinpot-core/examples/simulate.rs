//! Runs simulated histories, as `cargo xtask simulate` does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tinpot_core::testing::simulation::{Profile, Report, Scenario, replay, run};

const USAGE: &str = "\
Runs simulated histories of a cluster and checks the promises of protocol.md in each.

  --seeds N      how many histories; 100
  --start S      the seed of the first; 0
  --profile P    which kinds of trouble (see below); by default each seed chooses
  --workers N    how many workers; 5
  --sealed YES   yes: frames are sealed in every history; no: in none; by default in every fourth
  --minutes N    how long things go wrong in each history; 10
  --threads N    how many at once; as many as there are cores
  --traces       print the trace hash of each history
  --replay SEED  print what happens in the history of that seed, line by line
";

struct Arguments {
    seeds: u64,
    start: u64,
    scenario: Scenario,
    threads: usize,
    traces: bool,
    replay: Option<u64>,
    shown: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let profiles: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
            eprintln!("{error}\n\n{USAGE}\nProfiles: {}", profiles.join(", "));
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = arguments.replay {
        return match replay(seed, &arguments.scenario, |line| println!("{line}")) {
            Ok(report) => {
                println!("{report:#?}");
                ExitCode::SUCCESS
            }
            Err(violation) => {
                eprintln!("{violation}");
                ExitCode::FAILURE
            }
        };
    }
    many(&arguments)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let scenario = Scenario::default();
    let mut arguments = Arguments {
        seeds: 100,
        start: 0,
        scenario,
        threads,
        traces: false,
        replay: None,
        shown: Vec::new(),
    };
    while let Some(word) = words.next() {
        if word == "--traces" {
            arguments.traces = true;
            continue;
        }
        let known = [
            "--seeds",
            "--start",
            "--profile",
            "--sealed",
            "--workers",
            "--minutes",
            "--threads",
            "--replay",
        ];
        if !known.contains(&word.as_str()) {
            return Err(format!("unknown option {word:?}"));
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        if word == "--profile" {
            let named = Profile::ALL.into_iter().find(|profile| profile.name() == value);
            let profile = named.ok_or_else(|| format!("unknown profile {value:?}"))?;
            arguments.scenario = arguments.scenario.profile(profile);
        } else if word == "--sealed" {
            if !["yes", "no"].contains(&value.as_str()) {
                return Err(format!("--sealed needs yes or no, not {value:?}"));
            }
            arguments.scenario = arguments.scenario.sealed(value == "yes");
        } else {
            let number: u64 =
                value.parse().map_err(|_| format!("{word} needs a number, not {value:?}"))?;
            match word.as_str() {
                "--seeds" => arguments.seeds = number,
                "--start" => arguments.start = number,
                "--workers" => arguments.scenario = arguments.scenario.workers(number as usize),
                "--minutes" => {
                    let length = Duration::from_secs(60 * number);
                    arguments.scenario = arguments.scenario.length(length);
                }
                "--threads" => arguments.threads = (number as usize).max(1),
                _ => arguments.replay = Some(number),
            }
        }
        if matches!(word.as_str(), "--profile" | "--sealed" | "--workers" | "--minutes") {
            arguments.shown.extend([word, value]);
        }
    }
    Ok(arguments)
}

/// Runs all seeds on all threads. After a violation, no further seed is started.
fn many(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let done = Mutex::new((Vec::<(u64, Report)>::new(), Vec::<(u64, String)>::new()));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= arguments.seeds {
                return;
            }
            let seed = arguments.start + place;
            let result = catch_unwind(AssertUnwindSafe(|| run(seed, &arguments.scenario)));
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match result {
                Ok(Ok(report)) => done.0.push((seed, report)),
                Ok(Err(violation)) => done.1.push((seed, violation.to_string())),
                Err(_) => done.1.push((seed, format!("seed {seed}: panicked, see above"))),
            }
            if !done.1.is_empty() {
                failed.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(work);
        }
    });
    let (mut reports, violations) =
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_unstable_by_key(|(seed, _)| *seed);
    if arguments.traces {
        for (seed, report) in &reports {
            println!("{seed} {:016x}", report.trace);
        }
    }
    summary(&reports, started.elapsed(), arguments.threads);
    for (seed, violation) in &violations {
        let mut command = format!("cargo xtask simulate --replay {seed}");
        arguments.shown.iter().for_each(|word| command.extend([" ", word]));
        println!("{violation}\n   its history: {command}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(reports: &[(u64, Report)], wall: Duration, threads: usize) {
    let mut total = Report::default();
    for (_, report) in reports {
        total.simulated += report.simulated;
        total.events += report.events;
        total.frames += report.frames;
        total.commits += report.commits;
        total.starts += report.starts;
        total.calls += report.calls;
        total.refused_calls += report.refused_calls;
        total.lines += report.lines;
        total.held = total.held.max(report.held);
        for (status, count) in &report.ended {
            *total.ended.entry(status).or_default() += count;
        }
        for (fault, count) in &report.faults {
            *total.faults.entry(fault).or_default() += count;
        }
    }
    let listed = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let parts: Vec<String> =
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        parts.join(", ")
    };
    let (simulated, wall) = (total.simulated.as_secs_f64(), wall.as_secs_f64());
    println!(
        "{} histories, {:.1} simulated hours, in {wall:.1} s",
        reports.len(),
        simulated / 3600.0
    );
    println!(
        "simulated time per wall second: {:.0} on {threads} threads, {:.0} on each",
        simulated / wall,
        simulated / wall / threads as f64
    );
    println!(
        "{} events, {} frames, {} commits, {} starts, {} calls ({} refused), {} lines, {} held at most",
        total.events,
        total.frames,
        total.commits,
        total.starts,
        total.calls,
        total.refused_calls,
        total.lines,
        total.held
    );
    println!("executions: {}", listed(&total.ended));
    println!("trouble: {}", listed(&total.faults));
}
