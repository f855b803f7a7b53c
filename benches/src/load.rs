//! Load on `sync_execute`: how long one takes, and how many a second.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Client, Request};
use crate::stats::percentile;

/// Requests that are sent before the clock starts: caches, connections and pools fill up.
const WARM_UP_REQUESTS: usize = 200;
const WARM_UP: Duration = Duration::from_secs(1);

/// Durations of requests that were sent one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Half of the requests took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 in 100 requests took no longer, in milliseconds.
    pub p99_ms: f64,
}

/// The request that runs an action without parameters and waits for its result.
pub fn sync_execute(action: &str) -> Request {
    Request::post(&format!("/api/actions/{action}/sync_execute"), r#"{"parameters":{}}"#)
}

/// The request that only submits.
pub fn execute(action: &str) -> Request {
    Request::post(&format!("/api/actions/{action}/execute"), r#"{"parameters":{}}"#)
}

/// Sends `count` requests over one connection, each after the answer to the one before.
pub fn latency(address: SocketAddr, request: &Request, count: usize) -> io::Result<Latency> {
    let mut client = Client::connect(address)?;
    for _ in 0..WARM_UP_REQUESTS {
        succeed(&mut client, request)?;
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        succeed(&mut client, request)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Latency { p50_ms: percentile(&mut times, 0.5), p99_ms: percentile(&mut times, 0.99) })
}

/// Keeps `connections` busy and returns the answers per second.
///
/// A thread per connection, blocked nearly always: a request costs it one wake-up and two system calls.
pub fn throughput(
    address: SocketAddr,
    request: &Request,
    connections: usize,
    duration: Duration,
) -> io::Result<f64> {
    let stop = AtomicBool::new(false);
    let answers = AtomicU64::new(0);
    let work = || -> io::Result<()> {
        let mut client = Client::connect(address)?;
        while !stop.load(Ordering::Relaxed) {
            succeed(&mut client, request)?;
            answers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        thread::sleep(WARM_UP);
        let (before, started) = (answers.load(Ordering::Relaxed), Instant::now());
        thread::sleep(duration);
        let counted = answers.load(Ordering::Relaxed) - before;
        let elapsed = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| io::Error::other("a load thread panicked"))??;
        }
        Ok(counted as f64 / elapsed.as_secs_f64())
    })
}

/// An error answer that comes fast must not look like speed.
fn succeed(client: &mut Client, request: &Request) -> io::Result<()> {
    let response = client.send(request)?;
    let says = |word: &[u8]| response.body.windows(word.len()).any(|part| part == word);
    let succeeded = || says(br#""SUCCESS""#) || says(br#""submitted""#);
    if response.status == 200 && succeeded() {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&response.body);
    Err(io::Error::other(format!("status {}: {body}", response.status)))
}
