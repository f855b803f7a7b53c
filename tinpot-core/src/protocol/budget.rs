//! Budgets: numbers of events per window of time.

use std::time::Duration;

use super::tick::Tick;

const SECOND: Duration = Duration::from_secs(1);

/// A number of events that may happen in each window of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    events: u32,
    window: Duration,
    left: u32,
    since: Tick,
}

impl Budget {
    /// Allows this many events in each second.
    pub(crate) fn per_second(events: u32) -> Self {
        Self::new(events, SECOND)
    }

    /// Allows this many events in each window.
    pub(crate) fn new(events: u32, window: Duration) -> Self {
        Self { events, window, left: events, since: Tick(0) }
    }

    /// Returns true if one more event may happen now, and counts it.
    pub(crate) fn take(&mut self, now: Tick) -> bool {
        if now.since(self.since) >= self.window {
            (self.since, self.left) = (now, self.events);
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }

    /// Returns true if the last window with an event began at least a window ago.
    pub(crate) fn is_idle(&self, now: Tick) -> bool {
        now.since(self.since) >= self.window
    }
}
