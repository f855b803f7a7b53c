//! Budgets: events per second.

use std::time::Duration;

use crate::protocol::tick::Tick;

const SECOND: Duration = Duration::from_secs(1);

/// A number of events that may happen in each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    per_second: u32,
    left: u32,
    since: Tick,
}

impl Budget {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, since: Tick(0) }
    }

    /// Returns true if one more event may happen now, and counts it.
    pub(super) fn take(&mut self, now: Tick) -> bool {
        if now.since(self.since) >= SECOND {
            (self.since, self.left) = (now, self.per_second);
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }

    /// Returns true if nothing of it was used for a second.
    pub(super) fn is_idle(&self, now: Tick) -> bool {
        now.since(self.since) >= SECOND
    }
}
