//! The time of expiries and waits.

use std::fmt;
use std::time::Duration;

use tinpot_core::Timestamp;

/// A source of time, so that tests need no waits.
///
/// Pass it to a directory with [`DirectoryBuilder::clock`](crate::DirectoryBuilder::clock).
///
/// ```
/// use tinpot_access::Clock;
/// use tinpot_core::Timestamp;
///
/// /// A clock for tests that stands still.
/// #[derive(Debug)]
/// struct Noon;
///
/// impl Clock for Noon {
///     fn now(&self) -> Timestamp {
///         Timestamp(1_800_000_000_000_000)
///     }
/// }
///
/// assert_eq!(Noon.now(), Noon.now());
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The clock of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Returns the time after this duration, or the last one that there is.
pub(crate) fn after(at: Timestamp, duration: Duration) -> Timestamp {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Timestamp(at.0.saturating_add(micros))
}

/// Returns the duration from one time to a later one; zero if it is not later.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(to.0.saturating_sub(from.0))
}
