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
    /// Follows the epoch if it is the first one or a later one of the same store. Returns true if
    /// the worker follows it now.
    pub(super) fn adopt(&mut self, epoch: Epoch) -> bool {
        match self.epoch {
            Some(known) if known.instance != epoch.instance => return false,
            Some(known) if known.number >= epoch.number => return known == epoch,
            _ => {}
        }
        self.epoch = Some(epoch);
        self.seen.clear();
        self.settled = 0;
        true
    }

    /// Returns true if the epoch is one of another store.
    pub(super) fn is_strange(&self, epoch: Epoch) -> bool {
        self.epoch.is_some_and(|known| known.instance != epoch.instance)
    }

    /// Does the same as [`adopt`](Self::adopt) for a message that echoes a beat, which may also
    /// come from another store. A namespace has one coordinator, so if another store's is at work,
    /// the present one is not. An echo of a recent beat proves that it is at work, if the present
    /// one has been silent since. Any other message may have been in flight for a long time.
    pub(super) fn adopt_echo(&mut self, epoch: Epoch, echo: u64) -> bool {
        let is_ours = self.beats.iter().any(|(seq, _)| *seq == echo);
        if self.adopt(epoch) {
            if is_ours {
                self.last_echo = self.last_echo.max(echo);
            }
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
