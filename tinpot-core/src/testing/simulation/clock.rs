//! The clocks of processes, each with its own origin and rate.

use crate::protocol::Tick;

/// Simulated time in microseconds since the beginning of the history. No process can see it.
pub(super) type Moment = u64;

/// A moment that never comes.
pub(super) const NEVER: Moment = u64::MAX;

/// The rate of a perfect clock, in parts per million.
pub(super) const TRUE_RATE: u64 = 1_000_000;

/// The clock that a process sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Moment,
    rate: u64,
}

impl Clock {
    /// Returns a clock that starts now and counts `rate` microseconds per second.
    pub(super) fn new(started: Moment, rate: u64) -> Self {
        Self { started, rate }
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Stops the clock for `slept`.
    pub(super) fn sleep(&mut self, slept: Moment) {
        self.started += slept;
    }

    pub(super) fn tick(&self, at: Moment) -> Tick {
        Tick(at.saturating_sub(self.started) * self.rate / TRUE_RATE)
    }

    /// Returns the first moment at which the clock shows `tick` or more.
    pub(super) fn moment(&self, tick: Tick) -> Moment {
        match tick.0.checked_mul(TRUE_RATE) {
            Some(scaled) => self.started + scaled.div_ceil(self.rate),
            None => NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, NEVER};
    use crate::protocol::Tick;

    #[test]
    fn the_moment_of_a_tick_is_the_first_that_shows_it() {
        for rate in [800_000, 999_999, 1_000_000, 1_200_000] {
            let clock = Clock::new(17, rate);
            for tick in (0..5_000).chain([60_000_000, 7_777_777_777]) {
                let moment = clock.moment(Tick(tick));
                assert!(clock.tick(moment) >= Tick(tick), "{rate} {tick}");
                assert!(moment == 17 || clock.tick(moment - 1) < Tick(tick), "{rate} {tick}");
            }
            assert_eq!(clock.moment(Tick(u64::MAX)), NEVER);
        }
    }
}
