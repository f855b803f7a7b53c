//! The shared parts of the end-to-end tests: programs and a broker as processes, an HTTP client,
//! and waiting for conditions.

mod api;
mod broker;
mod cluster;
mod follower;
mod full_disk;
mod nginx;
mod power_loss;
mod preload;
mod program;
mod prometheus;
mod proxy;
mod random;
pub mod soak;
mod wall_clock;

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

pub use self::api::Api;
pub use self::broker::Mosquitto;
pub use self::cluster::{
    Durable, QUICK, coordinator, coordinator_with_broker, wait_for_workers, worker,
};
pub use self::follower::{Followed, Follower};
pub use self::full_disk::FullDisk;
pub use self::nginx::Nginx;
pub use self::power_loss::PowerLoss;
pub use self::program::{Program, run_example};
pub use self::prometheus::{Prometheus, check_metrics};
pub use self::proxy::{Direction, Fault, Proxy};
pub use self::random::Random;
pub use self::soak::Soak;
pub use self::wall_clock::WallClock;

/// The longest that anything here is waited for: slow machines are slow, and nothing waits this long unless something is wrong.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `look` gives a value, and panics with what it saw last when it never does.
pub fn wait_for<T, W: Debug>(what: &str, mut look: impl FnMut() -> Result<T, W>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if begin.elapsed() > DEADLINE => {
                panic!("waited for {what}; last seen: {seen:?}")
            }
            Err(_) => std::thread::park_timeout(Duration::from_millis(10)),
        }
    }
}

/// Returns a port that is free now, and that stays free while a server restarts: the system gives
/// outgoing connections those from 32768 on.
pub fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    // Other processes of tests begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let port = 15_000 + (number % 17_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The lines of a file that actions write to; none when it is not there yet.
pub fn marks(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Returns true if a process exists and is not a zombie.
pub fn is_alive(id: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next())
        .is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The process ids that the action `family` writes down: itself, its child, and its child's child.
pub fn family(file: &Path) -> Vec<i32> {
    wait_for("three processes", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let ids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        if ids.len() == 3 { Ok(ids) } else { Err(ids) }
    })
}

/// Waits until none of these processes is alive.
pub fn wait_for_deaths(ids: &[i32]) {
    wait_for("the end of all of them", || match ids.iter().find(|id| is_alive(**id)) {
        None => Ok(()),
        alive => Err(alive),
    });
}

/// The directory of the actions that these tests run.
pub fn actions() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/actions")
}
