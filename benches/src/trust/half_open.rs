//! Connections that never send a whole request: the latency of `/health` meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::server::Server;
use super::{AnyError, Line};
use crate::http::{Client, Request};
use crate::stats::percentile;

/// Measures with this many half-open connections.
pub fn measure(program: &Path, connections: usize) -> Result<Vec<Line>, AnyError> {
    let server = Server::start(program, false, &[])?;
    let mut open = Vec::with_capacity(connections);
    let mut times = Vec::new();
    let mut health = || -> Result<(), AnyError> {
        let begin = Instant::now();
        let answer = Client::connect(server.address)?.send(&Request::get("/health"))?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        if answer.status == 200 { Ok(()) } else { Err(format!("status {}", answer.status).into()) }
    };
    for number in 0..connections {
        let mut stream = TcpStream::connect(server.address)?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: ")?;
        open.push(stream);
        if number % 100 == 0 {
            health()?;
        }
    }
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        health()?;
    }
    let (p99, worst) = (percentile(&mut times, 0.99), percentile(&mut times, 1.0));
    let what = format!("{connections} half-open connections: `/health` on a new connection, p99");
    Ok(vec![Line::new(what, "100 ms", "10 ms", format!("{p99:.2} ms; at most {worst:.1} ms"))])
}
