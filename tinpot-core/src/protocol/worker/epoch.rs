//! The epochs that the worker follows.

use std::collections::BTreeMap;

use super::WorkerMachine;
use crate::model::fence::Epoch;
use crate::protocol::message::RejectReason;

/// The number of beats that another store's coordinator must have received after the last one that
/// the present coordinator acknowledged.
const SILENT_BEATS: u64 = 3;
/// The number of former stores in memory.
const FORMER: usize = 8;

/// A store whose coordinator the worker does not follow any more.
#[derive(Debug)]
pub(super) struct Former {
    epoch: Epoch,
    seen: BTreeMap<u64, Option<RejectReason>>,
    settled: u64,
}

impl WorkerMachine {
    /// Returns true if the worker follows the epoch.
    pub(super) fn follows(&self, epoch: Epoch) -> bool {
        self.epoch == Some(epoch)
    }

    /// Returns true if the epoch is earlier than the one of the same store that the worker follows.
    pub(super) fn is_past(&self, epoch: Epoch) -> bool {
        self.epoch.is_some_and(|known| known.is_after(epoch))
    }

    /// Follows the epoch of a message that echoes a beat if it is the first one, a later one of the
    /// same store, or one of another store that has taken over. Returns true if the worker follows
    /// it now.
    ///
    /// An epoch is only a number, which any client of the broker can send to all workers. The echo
    /// of a recent beat shows that its sender receives what this worker sends to the coordinator.
    /// A namespace has one coordinator, so if another store's is at work, the present one is not:
    /// it is followed if the present one has been silent since. Any other message may have been in
    /// flight for a long time.
    pub(super) fn adopt_echo(&mut self, epoch: Epoch, echo: u64) -> bool {
        let is_ours = self.beats.iter().any(|(seq, _)| *seq == echo);
        if self.follows(epoch) {
            if is_ours {
                self.last_echo = self.last_echo.max(echo);
            }
            return true;
        }
        if is_ours && self.epoch.is_none_or(|known| epoch.is_after(known)) {
            self.epoch = Some(epoch);
            self.seen.clear();
            self.settled = 0;
            self.last_echo = self.last_echo.max(echo);
            return true;
        }
        let Some(known) = self.epoch.filter(|known| known.instance != epoch.instance) else {
            return false;
        };
        if !is_ours || echo < self.last_echo + SILENT_BEATS {
            return false;
        }
        let place = self.former.iter().position(|former| former.epoch.instance == epoch.instance);
        let former = match place {
            Some(place) if self.former[place].epoch > epoch => return false,
            Some(place) => self.former.remove(place),
            // Earlier former stores are not in memory, so this may be one of them.
            None if self.former.len() >= FORMER => return false,
            None => Former { epoch, seen: BTreeMap::new(), settled: 0 },
        };
        let seen = std::mem::take(&mut self.seen);
        self.former.push(Former { epoch: known, seen, settled: self.settled });
        (self.seen, self.settled) = match former.epoch == epoch {
            true => (former.seen, former.settled),
            false => (BTreeMap::new(), 0),
        };
        self.epoch = Some(epoch);
        self.last_echo = echo;
        true
    }
}
