//! The bound on plain frames of unknown workers.

use std::collections::HashSet;
use std::time::Duration;

use crate::model::id::WorkerId;
use crate::protocol::{Budget, Tick};

/// The maximum number of unknown workers that are heard in each window of time: a flood of them must
/// not delay others. A worker that is not heard comes again, with its next beat.
const WORKERS: u32 = 500;
const WINDOW: Duration = Duration::from_millis(500);
/// The time for which a worker that was heard is heard again without being counted: it is asked who
/// it is, and answers.
const MEMORY: Duration = Duration::from_secs(10);

/// The unknown workers that are heard.
#[derive(Debug)]
pub(super) struct Newcomers {
    budget: Budget,
    /// Those that were heard since a time, and before it.
    recent: [HashSet<WorkerId>; 2],
    since: Tick,
}

impl Default for Newcomers {
    fn default() -> Self {
        let budget = Budget::new(WORKERS, WINDOW);
        Self { budget, recent: Default::default(), since: Tick(0) }
    }
}

impl Newcomers {
    /// Returns true if a plain frame of an unknown worker may be taken. Remembers at most 20,000
    /// workers.
    pub(super) fn hear(&mut self, now: Tick, worker: &WorkerId) -> bool {
        if now.since(self.since) >= MEMORY {
            self.since = now;
            self.recent.swap(0, 1);
            self.recent[0].clear();
        }
        if self.recent.iter().any(|heard| heard.contains(worker)) {
            return true;
        }
        let is_heard = self.budget.take(now);
        if is_heard {
            self.recent[0].insert(worker.clone());
        }
        is_heard
    }
}
