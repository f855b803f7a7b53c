//! The load generator by itself, for any server with the same API.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tinpot_benches::{load, sse};

#[derive(Debug, Parser)]
#[command(about, version)]
struct Arguments {
    /// The address of the server.
    #[arg(long, default_value = "127.0.0.1:8000", global = true)]
    address: SocketAddr,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// One connection, one request after the other.
    Latency {
        /// An action without required parameters.
        #[arg(long, default_value = "noop")]
        action: String,
        /// The number of timed requests.
        #[arg(long, default_value_t = 2000)]
        requests: usize,
    },
    /// Many connections, all busy.
    Throughput {
        /// An action without required parameters.
        #[arg(long, default_value = "noop")]
        action: String,
        /// The number of connections.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// The duration in seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// The log stream of one execution.
    Sse {
        /// An action that prints as many lines as its parameter `count` says.
        #[arg(long, default_value = "lines")]
        action: String,
        /// The number of lines.
        #[arg(long, default_value_t = 100_000)]
        lines: u64,
    },
}

fn main() -> io::Result<()> {
    let Arguments { address, mode } = Arguments::parse();
    match mode {
        Mode::Latency { action, requests } => {
            let latency = load::latency(address, &load::sync_execute(&action), requests)?;
            println!("p50 {:.3} ms, p99 {:.3} ms", latency.p50_ms, latency.p99_ms);
        }
        Mode::Throughput { action, connections, seconds } => {
            let request = load::sync_execute(&action);
            let duration = Duration::from_secs(seconds);
            println!("{:.0}/s", load::throughput(address, &request, connections, duration)?);
        }
        Mode::Sse { action, lines } => {
            let got = sse::lines(address, &action, lines)?;
            let order = if got.in_order { "in order" } else { "WITH GAPS OR OUT OF ORDER" };
            println!(
                "{} of {lines} lines, {order}, {:.2} s, {:.0}/s",
                got.received,
                got.took.as_secs_f64(),
                got.per_second()
            );
        }
    }
    Ok(())
}
