//! A storm of wrong passwords: the latency of other requests meanwhile.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::server::Server;
use super::{AnyError, Line};
use crate::http::{Client, Request};
use crate::stats::percentile;

const CLIENTS: usize = 32;
const TIME: Duration = Duration::from_secs(6);

/// Measures a storm from many networks, each with a guess for another account.
pub fn measure(program: &Path) -> Result<Vec<Line>, AnyError> {
    let server = Server::start(program, true, &["--limit-rate=100000"])?;
    let token = server.token("root")?;
    let request = Request::get("/api/actions").bearer(&token);
    let others = || -> Result<[f64; 2], AnyError> {
        let mut client = Client::connect(server.address)?;
        let (mut times, end) = (Vec::new(), Instant::now() + TIME);
        while Instant::now() < end {
            let begin = Instant::now();
            let status = client.send(&request)?.status;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            if status != 200 {
                return Err(format!("status {status}").into());
            }
        }
        Ok([percentile(&mut times, 0.5), percentile(&mut times, 0.99)])
    };
    let [calm_p50, calm_p99] = others()?;
    let (stop, number) = (AtomicBool::new(false), AtomicU32::new(0));
    let (checked, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let guess = || -> Result<(), AnyError> {
        let mut client = Client::connect(server.address)?;
        while !stop.load(Ordering::Relaxed) {
            let n = number.fetch_add(1, Ordering::Relaxed);
            let address = Ipv4Addr::from(0xc612_0000_u32.wrapping_add(n << 8));
            let body = format!(r#"{{"user":"ghost-{n}","password":"a wrong password"}}"#);
            let request = Request::post("/api/auth/login", &body);
            let request = request.header("x-forwarded-for", &address.to_string());
            match client.send(&request)?.status {
                401 | 403 => checked.fetch_add(1, Ordering::Relaxed),
                _ => refused.fetch_add(1, Ordering::Relaxed),
            };
        }
        Ok(())
    };
    let [p50, p99] = thread::scope(|scope| {
        let guesses: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(guess)).collect();
        thread::sleep(Duration::from_secs(1));
        let measured = others();
        stop.store(true, Ordering::Relaxed);
        for guess in guesses {
            guess.join().map_err(|_| "a client has panicked")??;
        }
        measured
    })?;
    let seconds = (TIME + Duration::from_secs(1)).as_secs_f64();
    let rate = |count: AtomicU64| count.into_inner() as f64 / seconds;
    let measured = format!(
        "+{:.1} ms ({p99:.1} after {calm_p99:.1}; p50 {p50:.2} after {calm_p50:.2})",
        p99 - calm_p99
    );
    Ok(vec![
        Line::new("a storm of wrong passwords: p99 of other requests", "+20 ms", "+5 ms", measured),
        Line::new(
            "the same: passwords checked, and attempts sent away",
            "20/s",
            "35/s",
            format!("{:.0}/s, {:.0}/s", rate(checked), rate(refused)),
        ),
    ])
}
