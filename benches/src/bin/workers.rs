//! Measures the worker libraries: no-op actions of a worker in each language over mosquitto, with
//! plain and with sealed frames, next to the worker of `tinpot worker`.
//!
//! Broker, coordinator and worker are processes of their own; the executions come over HTTP. Only
//! one worker runs at a time. `cargo xtask ci workers` builds the workers.
//!
//! ```sh
//! cargo run --release -p tinpot-benches --bin workers -- --rounds 5
//! ```

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tinpot_benches::http::{Client, Request};
use tinpot_benches::process::{Process, free_port, processor_seconds};
use tinpot_benches::stats::median;
use tinpot_benches::{load, system};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The number of rounds; the workers take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// HTTP connections, each with one execution at a time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Slots of a worker of a library. The worker in Rust has a process per slot, and two slots.
    #[arg(long, default_value_t = 16)]
    slots: usize,
    /// The workers to measure; all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Language>,
    /// The program `tinpot`.
    #[arg(long, default_value = "target/release/tinpot")]
    program: PathBuf,
    /// The interpreter with the requirements of the library in Python.
    #[arg(long, default_value = "target/workers/bin/python")]
    python: PathBuf,
    /// The program of `workers/go/examples/conformance`.
    #[arg(long, default_value = "target/workers/go-worker")]
    go: PathBuf,
    /// The compiled `workers/typescript/examples/conformance.ts`.
    #[arg(long, default_value = "workers/typescript/dist/examples/conformance.js")]
    typescript: PathBuf,
}

/// A language with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Python,
    Go,
    Typescript,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Go => "go",
            Self::Typescript => "typescript",
        }
    }

    /// The action that does nothing.
    fn action(self) -> &'static str {
        if self == Self::Rust { "noop" } else { "count" }
    }

    /// The command of its worker, which has its settings in variables of the environment.
    fn command(self, arguments: &Arguments) -> io::Result<Command> {
        let started = |program: &Path, rest: &[&Path]| -> io::Result<Command> {
            let mut command = Command::new(program);
            for path in rest {
                command.arg(absolute(path)?);
            }
            Ok(command)
        };
        let mut command = match self {
            Self::Rust => {
                let mut command = started(&absolute(&arguments.program)?, &[])?;
                command.arg("worker").env("ACTIONS_DIR", absolute("benches/actions")?);
                command
            }
            Self::Python => {
                let example = Path::new("workers/python/examples/conformance.py");
                let mut command = started(&absolute(&arguments.python)?, &[example])?;
                command.env("PYTHONPATH", absolute("workers/python/src")?);
                command
            }
            Self::Go => started(&absolute(&arguments.go)?, &[])?,
            Self::Typescript => started(Path::new("node"), &[&arguments.typescript])?,
        };
        let slots = if self == Self::Rust { 2 } else { arguments.slots };
        command.env("CONCURRENCY", slots.to_string()).env("RUST_LOG", "warn");
        Ok(command)
    }
}

fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let measured = Language::value_variants();
    let measured: Vec<Language> = measured
        .iter()
        .copied()
        .filter(|one| arguments.only.is_empty() || arguments.only.contains(one))
        .collect();
    let place = Place::start(&arguments)?;
    let mut found = vec![[(); 2].map(|()| (Vec::new(), Vec::new())); measured.len()];
    for round in 0..arguments.rounds {
        for (language, numbers) in measured.iter().zip(&mut found) {
            // Neither is always the first.
            for sealed in [round % 2 == 1, round % 2 == 0] {
                let (rate, processor) = place.measure(&arguments, *language, sealed)?;
                let name = worker_name(*language, sealed);
                eprintln!("round {round}, {name}: {rate:.0}/s, {processor:.1} µs each");
                let (rates, processors) = &mut numbers[usize::from(sealed)];
                rates.push(rate);
                processors.push(processor);
            }
        }
    }
    println!("| worker | plain | sealed | sealing | worker, plain | worker, sealed | sealing |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (language, [plain, sealed]) in measured.iter().zip(&found) {
        let rates = row(&plain.0, &sealed.0, "/s", |plain, sealed| 1.0 - sealed / plain);
        let processor = row(&plain.1, &sealed.1, " µs", |plain, sealed| sealed / plain - 1.0);
        println!("| {} | {rates} | {processor} |", language.name());
    }
    Ok(())
}

/// Three cells: the medians of plain and sealed frames, and what sealing costs in the same round.
fn row(plain: &[f64], sealed: &[f64], unit: &str, cost: impl Fn(f64, f64) -> f64) -> String {
    let costs = plain.iter().zip(sealed).map(|(plain, sealed)| cost(*plain, *sealed));
    let cost = median(&costs.collect::<Vec<f64>>()) * 100.0;
    format!("{:.0}{unit} | {:.0}{unit} | {cost:.0} %", median(plain), median(sealed))
}

/// A broker and a coordinator, which takes plain and sealed frames.
struct Place {
    address: SocketAddr,
    broker: String,
    _coordinator: Process,
    _mosquitto: Process,
    folder: tempfile::TempDir,
}

impl Place {
    fn start(arguments: &Arguments) -> Result<Self, AnyError> {
        let (broker_port, port) = (free_port()?, free_port()?);
        let mosquitto = system::start_mosquitto(broker_port)?;
        let broker = format!("mqtt://127.0.0.1:{broker_port}");
        // Workers join a coordinator with a file. The disk is not what is measured here.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        let store = folder.path().join("tinpot.db");
        let mut command = Command::new(absolute(&arguments.program)?);
        command.arg("coordinator").current_dir(&folder).env("RUST_LOG", "error");
        command.env("MQTT_BROKER", &broker).env("PORT", port.to_string());
        command.env("TINPOT_STORE", &store).env("TINPOT_FRAMES", "allow");
        let coordinator = Process::start(&mut command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let place =
            Self { address, broker, _coordinator: coordinator, _mosquitto: mosquitto, folder };
        place.wait_for(&Request::get("/health"))?;
        for language in Language::value_variants() {
            for sealed in [false, true] {
                fs::create_dir(place.folder_of(*language, sealed))?;
            }
            let mut command = Command::new(absolute(&arguments.program)?);
            let pattern = worker_name(*language, true);
            command.args(["workers", "join-token", "--names", &pattern]).arg("--store").arg(&store);
            let made = command.current_dir(&place.folder).output()?;
            if !made.status.success() {
                let text = String::from_utf8_lossy(&made.stderr);
                return Err(format!("no token to join with: {text}").into());
            }
            fs::write(place.folder_of(*language, true).join("token"), made.stdout)?;
        }
        Ok(place)
    }

    fn folder_of(&self, language: Language, sealed: bool) -> PathBuf {
        self.folder.path().join(worker_name(language, sealed))
    }

    /// Starts a worker. Returns the executions per second, and the microseconds of processor time
    /// that each takes in the process of the worker.
    fn measure(
        &self,
        arguments: &Arguments,
        language: Language,
        sealed: bool,
    ) -> Result<(f64, f64), AnyError> {
        let mut command = language.command(arguments)?;
        command.current_dir(self.folder_of(language, sealed)).stderr(Stdio::null());
        command.env("MQTT_BROKER", &self.broker).env("WORKER_NAME", worker_name(language, sealed));
        if sealed {
            command.env("TINPOT_JOIN_TOKEN_FILE", "token");
        }
        let worker = Process::start(&mut command)?;
        let request = load::sync_execute(language.action());
        self.wait_for(&request)?;
        let duration = Duration::from_secs(arguments.seconds);
        let (before, started) = (processor_seconds(worker.id())?, Instant::now());
        let rate = load::throughput(self.address, &request, arguments.clients, duration)?;
        // The rate of the warm-up is taken to be that of the measurement.
        let executions = rate * started.elapsed().as_secs_f64();
        let processor = (processor_seconds(worker.id())? - before) * 1e6 / executions;
        Ok((rate, processor))
    }

    /// Sends a request until it is answered: an action is unknown before its worker has come.
    fn wait_for(&self, request: &Request) -> Result<(), AnyError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = Client::connect(self.address).and_then(|mut client| client.send(request));
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("not ready in time: {answer:?}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn worker_name(language: Language, sealed: bool) -> String {
    format!("{}-{}", language.name(), if sealed { "sealed" } else { "plain" })
}
