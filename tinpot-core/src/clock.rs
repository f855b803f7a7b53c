//! The only place where the shells read a clock for the machines.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::Tick;

/// A clock whose ticks include the time for which the machine is suspended, where the platform
/// reports it. So a lease also ends during a suspension.
///
/// It is built on tokio's clock, so that tests can pause it. It adds the time that `CLOCK_BOOTTIME`
/// has counted beyond `CLOCK_MONOTONIC` since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    suspended_before: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), suspended_before: suspended() }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(0) + self.start.elapsed() + suspended().saturating_sub(self.suspended_before)
    }

    /// Returns when tokio's clock will show `tick`, if the machine is not suspended before.
    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        let suspended = suspended().saturating_sub(self.suspended_before);
        // A tick beyond a century is "never".
        let from_start =
            tick.since(Tick(0)).saturating_sub(suspended).min(Duration::from_secs(3_000_000_000));
        self.start + from_start
    }
}

/// Waits until the deadline, or forever if there is none.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Returns the time for which the machine has been suspended since it booted.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn suspended() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // The monotonic clock is read first. So the time between the two reads can only make the
    // difference too large, by some microseconds, and never too small.
    let monotonic = clock_gettime(ClockId::Monotonic);
    let boottime = clock_gettime(ClockId::Boottime);
    let nanos =
        |time: rustix::time::Timespec| time.tv_sec as i128 * 1_000_000_000 + time.tv_nsec as i128;
    let difference = (nanos(boottime) - nanos(monotonic)).max(0);
    // Whole milliseconds: the time between the two reads must not look like a suspension.
    Duration::from_millis((difference / 1_000_000) as u64)
}

/// Returns zero: this platform does not report suspensions.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn suspended() -> Duration {
    Duration::ZERO
}
