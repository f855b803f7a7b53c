//! Whom the worker listens to.

use std::collections::BTreeMap;

use super::WorkerMachine;
use crate::model::fence::Epoch;
use crate::protocol::message::RejectReason;

/// So many beats another store's coordinator has to have heard after the last one that was answered by the present one.
const SILENT_BEATS: u64 = 3;
/// Stores whose coordinators were listened to before, of which is remembered what was seen.
const FORMER: usize = 8;

/// What is remembered of a store to whose coordinator the worker does not listen any more.
#[derive(Debug)]
pub(super) struct Former {
    epoch: Epoch,
    seen: BTreeMap<u64, Option<RejectReason>>,
    settled: u64,
}

impl WorkerMachine {
    /// Whether to listen to a coordinator of that epoch: to the first one, and to later lives of its store.
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

    /// Whether that is the epoch of another store.
    pub(super) fn is_strange(&self, epoch: Epoch) -> bool {
        self.epoch.is_some_and(|known| known.instance != epoch.instance)
    }

    /// The same for a message that echoes a beat. It may also come from another store: the namespace has one coordinator, so when that is at
    /// work the other one is not. An echo of a beat of ours shows that it is, if the present one has been silent since; any other message may
    /// have been on its way for long.
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
            // Of those that were forgotten it is not known what was seen of them.
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
