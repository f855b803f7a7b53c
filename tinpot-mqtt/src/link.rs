//! One status out of two lanes.

use std::sync::{Mutex, PoisonError};

use tinpot_core::{Lane, Link};
use tokio::sync::watch;

/// How one lane is. `None` while it is up.
type Trouble = Option<String>;

/// Up when both lanes are; closed for good.
#[derive(Debug)]
pub(crate) struct Board {
    lanes: Mutex<[Trouble; 2]>,
    link: watch::Sender<Link>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let link = watch::channel(Link::Down { reason: String::new() }).0;
        Self { lanes: Mutex::new([Some(String::new()), Some(String::new())]), link }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn up(&self, lane: Lane) {
        self.set(lane, None);
    }

    pub(crate) fn down(&self, lane: Lane, reason: String) {
        self.set(lane, Some(reason));
    }

    fn set(&self, lane: Lane, trouble: Trouble) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes[lane as usize] = trouble;
        let now = match &*lanes {
            [None, None] => Link::Up,
            troubles => Link::Down {
                // The control lane's first; a lane that has nothing to tell yet lets the other speak.
                reason: troubles
                    .iter()
                    .flatten()
                    .find(|why| !why.is_empty())
                    .cloned()
                    .unwrap_or_default(),
            },
        };
        self.link.send_if_modified(|link| {
            let changes = *link != Link::Closed && *link != now;
            if changes {
                *link = now;
            }
            changes
        });
    }

    /// Answers whether it was open.
    pub(crate) fn close(&self) -> bool {
        self.link.send_if_modified(|link| std::mem::replace(link, Link::Closed) != Link::Closed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.link.borrow() == Link::Closed
    }

    /// Why `lane` is down now; empty when nobody knows, or when it is not.
    pub(crate) fn reason(&self, lane: Lane) -> String {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes[lane as usize].clone().unwrap_or_default()
    }
}
