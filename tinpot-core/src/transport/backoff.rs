//! Pauses between attempts to reconnect.

use std::time::Duration;

use uuid::Uuid;

/// The first pause. Short, since most outages are a restart of the broker.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause, so that a fleet is back within seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double from attempt to attempt, from 50 ms to 5 s, with jitter, so that a fleet does
/// not reconnect in step.
#[derive(Clone, Debug)]
pub struct ReconnectBackoff {
    next: Duration,
}

impl Default for ReconnectBackoff {
    fn default() -> Self {
        Self::new()
    }
}

impl ReconnectBackoff {
    /// Returns a backoff that starts with the shortest pause.
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// Starts with the shortest pause again.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Returns the pause before the next attempt: between half of the current step and all of it.
    pub fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        let fraction = f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX);
        step / 2 + (step / 2).mul_f64(fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, LONGEST, ReconnectBackoff};

    #[test]
    fn pauses_grow_to_their_bound_and_start_again() {
        let mut backoff = ReconnectBackoff::new();
        assert!(backoff.pause() <= FIRST);
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert!(pauses[19] >= LONGEST / 2, "{pauses:?}");
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
