//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::client::Request;
use super::clock::Moment;
use crate::id::ExecutionId;
use crate::protocol::{Fence, Frame};
use crate::transport::Lane;

/// A process that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Coordinator(usize),
    Worker(usize),
}

/// Something that happens at one moment. `life` says of which start of a process it speaks: it means nothing to the next.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives. It is for a life only as far as it is addressed to one.
    Frame {
        to: Host,
        lane: Lane,
        frame: Box<Frame>,
    },
    /// A coordinator looks at what has come.
    Turn {
        coordinator: usize,
        life: u64,
    },
    WakeCoordinator {
        coordinator: usize,
        life: u64,
    },
    /// The store has an answer.
    Committed {
        coordinator: usize,
        life: u64,
    },
    Ask {
        coordinator: usize,
        life: u64,
        request: Request,
    },
    WakeWorker {
        worker: usize,
        life: u64,
    },
    /// Nothing of an attempt is alive any more.
    AttemptEnds {
        worker: usize,
        life: u64,
        fence: Fence,
    },
    Submit {
        submission: usize,
    },
    Cancel {
        execution: Option<ExecutionId>,
        force: bool,
    },
    Fault(Fault),
    /// What went wrong is over.
    Repair(Repair),
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    CrashCoordinator,
    CrashWorker(usize),
    Cut(usize),
    FillStore,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Repair {
    StartCoordinator(usize),
    StartWorker(usize),
    Heal(usize),
    EmptyStore,
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
