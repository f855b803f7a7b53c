//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::client::Request;
use super::clock::Moment;
use super::trouble::{Fault, Repair};
use crate::model::address::Lane;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::protocol::{Frame, Read};

/// A process that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Coordinator(usize),
    Worker(usize),
}

/// Something that happens at one moment.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives; `again`: it has arrived before, in that life of the process.
    Frame {
        to: Host,
        lane: Lane,
        frame: Box<Frame>,
        again: Option<u64>,
    },
    /// Something happens to one life of a process, and means nothing to the next.
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
    Fault(Fault),
    /// What went wrong is over.
    Repair(Repair),
}

/// Something that happens to one life of a process.
#[derive(Debug)]
pub(super) enum Happening {
    /// It looks at what has come.
    Turn,
    /// Its timer is over.
    Wake,
    /// The broker can be reached again.
    LinkUp,
    /// The store has an answer to the control loop.
    Committed,
    /// The store has an answer to a read that began after this number of commits.
    Reads(Box<Read>, u64),
    /// The store has an answer to the log pipeline.
    Appended,
    /// Time for the log pipeline or pump to look at its deadlines.
    WakeLogs,
    Asked(Request),
    /// Nothing of an attempt is alive any more.
    AttemptEnds(Fence),
    /// An attempt makes its next calls, or ends after the last.
    AttemptCalls(Fence),
    /// An attempt writes lines.
    AttemptWrites(Fence),
    /// The log pump of a worker that has said goodbye has waited long enough.
    Exit,
}

/// A queue of events: the earliest first, and among those of one moment the one that was put in first.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Moment, order and place, from the highest bits down.
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

    /// The next event, if it is due by `end`.
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
