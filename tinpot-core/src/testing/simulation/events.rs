//! The events to come, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::client::Request;
use super::clock::Moment;
use super::sealing::Parcel;
use super::trouble::{Fault, Repair};
use crate::model::address::Lane;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::protocol::seal::KeyId;
use crate::protocol::{Frame, Read};

/// A process that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Coordinator(usize),
    Worker(usize),
}

/// An event at one moment.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives. `again` is the start of the process in which it has arrived before.
    Frame {
        to: Host,
        lane: Lane,
        frame: Box<Frame>,
        again: Option<u64>,
    },
    /// The bytes of a frame that is not plain arrive.
    Parcel {
        to: Host,
        parcel: Parcel,
    },
    /// The operator has a worker replace its key.
    Rotate,
    /// A key ends that was replaced.
    KeyEnds(KeyId),
    /// The adversary acts.
    Adversary,
    /// Every worker has a session.
    Sessions,
    /// An event for one start of a process. Later starts ignore it.
    To(Host, u64, Happening),
    Submit {
        submission: usize,
    },
    Cancel {
        execution: Option<ExecutionId>,
        force: bool,
    },
    SetPaused {
        queue: &'static str,
        paused: bool,
    },
    /// An operator deploys actions.
    Deploy {
        number: usize,
    },
    Fault(Fault),
    /// A fault ends.
    Repair(Repair),
}

/// An event for one start of a process.
#[derive(Debug)]
pub(super) enum Happening {
    /// The process handles its inputs.
    Turn,
    /// Its timer fires.
    Wake,
    /// The broker can be reached again.
    LinkUp,
    /// The store answers the control loop.
    Committed,
    /// The store answers a read that began after this number of commits.
    Reads(Box<Read>, u64),
    /// The store answers the log pipeline.
    Appended,
    /// The log pipeline or pump checks its deadlines.
    WakeLogs,
    Asked(Request),
    /// The last process of an attempt has ended.
    AttemptEnds(Fence),
    /// An attempt makes its next calls, or ends after the last.
    AttemptCalls(Fence),
    /// An attempt writes lines.
    AttemptWrites(Fence),
    /// The log pump of a worker that has said goodbye stops waiting.
    Exit,
}

/// A queue of events, ordered by moment and then by insertion.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The moment, the order and the index, from the highest bits down.
    heap: BinaryHeap<Reverse<u128>>,
    places: Vec<Option<Event>>,
    free: Vec<u32>,
    order: u64,
}

const PLACE_BITS: u32 = 24;

impl Events {
    pub(super) fn push(&mut self, at: Moment, event: Event) {
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(event);
                place
            }
            None => {
                self.places.push(Some(event));
                self.places.len() as u32 - 1
            }
        };
        self.order += 1;
        let key = u128::from(at) << 64 | u128::from(self.order) << PLACE_BITS | u128::from(place);
        self.heap.push(Reverse(key));
    }

    /// Removes and returns the next event, if it is due by `end`.
    pub(super) fn pop(&mut self, end: Moment) -> Option<(Moment, Event)> {
        let Reverse(key) = *self.heap.peek()?;
        let at = (key >> 64) as Moment;
        if at > end {
            return None;
        }
        self.heap.pop();
        let place = (key & ((1 << PLACE_BITS) - 1)) as u32;
        self.free.push(place);
        self.places[place as usize].take().map(|event| (at, event))
    }
}
