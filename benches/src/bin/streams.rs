//! The cost of many watchers of one execution, and of reading the parts of a long log.
//!
//! ```sh
//! streams watch --streams 1000 --rate 1000 --seconds 20
//! streams log --lines 300000
//! ```
//!
//! The coordinator, its SQLite store and a worker are a process of their own, of which CPU and memory are measured; the watchers are in this one.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tinpot_benches::http::{Client, Request};
use tinpot_benches::process::{Process, processor_seconds, resident_mb};
use tinpot_benches::stats::median;
use tinpot_core::{Context, Coordinator, FunctionExecutor, Level, MemoryNetwork, Stream, Worker};
use tinpot_http::{Anonymous, HttpConfig};
use tinpot_sqlite::SqliteStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Many streams on one execution that prints.
    Watch {
        #[arg(long, default_value_t = 1_000)]
        streams: usize,
        /// Lines a second.
        #[arg(long, default_value_t = 1_000)]
        rate: u64,
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Pages of a long log, and searches in it.
    Log {
        #[arg(long, default_value_t = 300_000)]
        lines: u64,
        /// The number of timed runs of each.
        #[arg(long, default_value_t = 11)]
        rounds: usize,
    },
    /// The server by itself: what the program calls itself with.
    #[command(hide = true)]
    Serve { store: PathBuf },
}

#[derive(Deserialize, JsonSchema)]
struct Print {
    lines: u64,
    /// Lines a second; 0 for as fast as they go.
    rate: u64,
}

fn main() -> Result<(), AnyError> {
    let runtime = tokio::runtime::Runtime::new()?;
    match Arguments::parse().mode {
        Mode::Serve { store } => runtime.block_on(serve(store)),
        Mode::Watch { streams, rate, seconds } => runtime.block_on(watch(streams, rate, seconds)),
        Mode::Log { lines, rounds } => log(lines, rounds),
    }
}

async fn serve(store: PathBuf) -> Result<(), AnyError> {
    let network = MemoryNetwork::new();
    let store = Arc::new(SqliteStore::builder(store).build());
    let coordinator = Coordinator::builder(network.transport()).store(store).start().await?;
    let executor = FunctionExecutor::builder().action("print", print).build()?;
    let _worker = Worker::builder(network.transport()).executor(executor).start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let router =
        tinpot_http::router(coordinator, HttpConfig::default().authenticator(Anonymous::default()));
    // As the programs serve it.
    axum::serve(listener, router.into_make_service()).await?;
    Ok(())
}

/// Lines as a deployment prints them: half of them in colours.
async fn print(context: Context, Print { lines, rate }: Print) -> Result<u64, String> {
    const PORTION: u64 = 10;
    let started = tokio::time::Instant::now();
    let mut printed = 0;
    while printed < lines {
        let portion = (printed..lines.min(printed + PORTION)).map(|number| match number % 2 {
            0 => format!("2026-11-21 12:00:00 \u{1b}[32mINFO\u{1b}[0m host-{}: package {number} is installed", number % 97),
            _ => format!("2026-11-21 12:00:00 host-{}: step {number} took {} ms", number % 89, number % 1013),
        });
        let portion: Vec<String> = portion.collect();
        printed += portion.len() as u64;
        context.logs().write(Stream::Stdout, Level::Info, portion).await;
        if rate > 0 {
            let due = started + Duration::from_secs_f64(printed as f64 / rate as f64);
            tokio::time::sleep_until(due).await;
        }
    }
    Ok(printed)
}

struct Server {
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(folder.path().join("tinpot.db"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let process = Process(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { process, address, _folder: folder })
    }

    fn get(&self, path: &str) -> io::Result<Value> {
        let answer = Client::connect(self.address)?.send(&Request::get(path))?;
        serde_json::from_slice(&answer.body).map_err(io::Error::other)
    }

    fn print(&self, way: &str, lines: u64, rate: u64) -> io::Result<String> {
        let body = format!(r#"{{"parameters":{{"lines":{lines},"rate":{rate}}}}}"#);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let request = Request::post(&format!("/api/actions/print/{way}"), &body);
            let answer = Client::connect(self.address)?.send(&request)?;
            let json: Value = serde_json::from_slice(&answer.body).map_err(io::Error::other)?;
            if let Some(id) = json["execution_id"].as_str() {
                return Ok(id.to_owned());
            }
            // The worker may not be known yet.
            if Instant::now() > deadline {
                return Err(io::Error::other(json.to_string()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Seconds of CPU that it has taken.
    fn cpu(&self) -> io::Result<f64> {
        processor_seconds(self.process.id())
    }

    fn memory(&self) -> f64 {
        resident_mb(self.process.id()).unwrap_or_default()
    }
}

async fn watch(streams: usize, rate: u64, seconds: u64) -> Result<(), AnyError> {
    let server = Server::start()?;
    let idle = server.memory();
    let lines = rate * (seconds + 5);
    let id = server.print("execute", lines, rate)?;
    let received: Arc<[AtomicU64]> = (0..streams).map(|_| AtomicU64::new(0)).collect();
    let mut watchers = Vec::new();
    for number in 0..streams {
        let mut connection = TcpStream::connect(server.address).await?;
        let request = format!("GET /api/stream?log={id} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let received = received.clone();
        watchers.push(tokio::spawn(count(connection, received, number)));
    }
    let total = || received.iter().map(|lines| lines.load(Ordering::Relaxed)).sum::<u64>();
    // Not what it costs to come, but what it costs to stay.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, lines_before, started) = (server.cpu()?, total(), Instant::now());
    let mut memory: f64 = 0.0;
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = memory.max(server.memory());
    }
    let took = started.elapsed().as_secs_f64();
    let (cpu, delivered) = ((server.cpu()? - cpu) / took, (total() - lines_before) as f64 / took);
    for watcher in watchers {
        watcher.await??;
    }
    let whole = received.iter().filter(|got| got.load(Ordering::Relaxed) == lines).count();
    println!("{streams} streams on one execution that prints {rate} lines/s, for {took:.0} s:");
    println!("  {cpu:.2} cores, {memory:.0} MB ({idle:.0} MB without streams)");
    println!(
        "  {delivered:.0} lines/s delivered; {whole} of {streams} streams have all {lines} lines"
    );
    if whole == streams { Ok(()) } else { Err("lines are missing".into()) }
}

/// Counts lines until the execution has ended.
async fn count(
    mut connection: TcpStream,
    received: Arc<[AtomicU64]>,
    number: usize,
) -> io::Result<()> {
    const LINE: &[u8] = b",\"seq\":";
    const END: &[u8] = b"{\"type\":\"complete\"";
    let (line, end) = (memchr::memmem::Finder::new(LINE), memchr::memmem::Finder::new(END));
    let mut buffer = vec![0; 32 * 1024];
    let mut kept = 0;
    loop {
        let read = connection.read(&mut buffer[kept..]).await?;
        if read == 0 {
            return Err(io::Error::other("a stream ended before its execution"));
        }
        let filled = kept + read;
        let mut from = 0;
        let mut lines = 0;
        while let Some(at) = line.find(&buffer[from..filled]) {
            lines += 1;
            from += at + LINE.len();
        }
        received[number].fetch_add(lines, Ordering::Relaxed);
        if end.find(&buffer[..filled]).is_some() {
            return Ok(());
        }
        // What is looked for may be cut at the end of what came.
        let start = from.max(filled.saturating_sub(END.len() - 1));
        buffer.copy_within(start..filled, 0);
        kept = filled - start;
    }
}

fn log(lines: u64, rounds: usize) -> Result<(), AnyError> {
    let server = Server::start()?;
    let id = server.print("sync_execute", lines, 0)?;
    let rows = [
        ("first page of 1,000 lines", "logs?limit=1000".to_owned()),
        ("last 1,000 lines", "logs?tail=true&limit=1000".to_owned()),
        ("1,000 lines from the middle", format!("logs?before={}&limit=1000", lines / 2)),
        ("errors, of which there are none", "logs?level=error".to_owned()),
        ("search: one hit", format!("logs/search?q=package%20{}%20is&context=2", lines - 2)),
        ("search: no hit", "logs/search?q=not%20in%20there".to_owned()),
        ("search: a hit in every second line", "logs/search?q=INFO%20host&context=2".to_owned()),
        (
            "search: regular expression",
            "logs/search?q=took%20(99%7C98)%5Cd%20ms%24&regex=true".to_owned(),
        ),
    ];
    println!("a log of {lines} lines, median of {rounds}:");
    for (what, query) in rows {
        let path = format!("/api/executions/{id}/{query}");
        let mut times = Vec::new();
        let mut found = Value::Null;
        for _ in 0..rounds {
            let started = Instant::now();
            found = server.get(&path)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let count = match &found["total"] {
            Value::Number(total) => format!("{total} found"),
            _ => format!("{} lines", found["lines"].as_array().map_or(0, Vec::len)),
        };
        println!("  {what:<36} {:>8.1} ms  {count}", median(&times));
    }
    println!("  {:.0} MB", server.memory());
    Ok(())
}
