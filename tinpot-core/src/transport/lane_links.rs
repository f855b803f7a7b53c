//! One link status out of two lanes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Link;
use crate::model::address::Lane;
use crate::watcher::Watcher;

/// The reason why one lane is down; `None` while it is up.
type Reason = Option<String>;

/// The status of a transport that connects each lane on its own: up while both lanes are, closed
/// for good.
#[derive(Debug)]
pub struct LaneLinks {
    lanes: Mutex<[Reason; 2]>,
    link: watch::Sender<Link>,
}

impl Default for LaneLinks {
    fn default() -> Self {
        Self::new()
    }
}

impl LaneLinks {
    /// Returns a status with both lanes down, without a reason yet.
    pub fn new() -> Self {
        let link = watch::Sender::new(Link::Down { reason: String::new() });
        Self { lanes: Mutex::new([Some(String::new()), Some(String::new())]), link }
    }

    /// Returns the status as it changes.
    pub fn subscribe(&self) -> Watcher<Link> {
        self.link.subscribe().into()
    }

    /// Records that `lane` is up.
    pub fn up(&self, lane: Lane) {
        self.set(lane, None);
    }

    /// Records that `lane` is down, and why.
    pub fn down(&self, lane: Lane, reason: String) {
        self.set(lane, Some(reason));
    }

    /// Records that it is not known whether `lane` still works, if it is up.
    pub(crate) fn doubt(&self, lane: Lane) {
        let is_up = self.lock()[lane as usize].is_none();
        if is_up {
            self.down(lane, String::new());
        }
    }

    /// Sets the status to `Closed`, which nothing changes any more.
    pub fn close(&self) {
        self.link.send_replace(Link::Closed);
    }

    /// Returns true after [`close`](Self::close).
    pub fn is_closed(&self) -> bool {
        *self.link.borrow() == Link::Closed
    }

    /// Returns why `lane` is down; empty if that is not known, or if the lane is up.
    pub fn reason(&self, lane: Lane) -> String {
        self.lock()[lane as usize].clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, [Reason; 2]> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, lane: Lane, reason: Reason) {
        let mut lanes = self.lock();
        lanes[lane as usize] = reason;
        let lanes = &*lanes;
        // Under the lock of the lanes, so that two changes are not published in the wrong order.
        self.link.send_if_modified(|link| {
            let now = match lanes {
                [None, None] => Link::Up,
                // The reason of the control lane comes first; a lane without a reason leaves it to
                // the other, and then to what was said last.
                reasons => {
                    let known = reasons.iter().flatten().find(|reason| !reason.is_empty());
                    let last = match &*link {
                        Link::Down { reason } => Some(reason),
                        _ => None,
                    };
                    Link::Down { reason: known.or(last).cloned().unwrap_or_default() }
                }
            };
            let changes = *link != Link::Closed && *link != now;
            if changes {
                *link = now;
            }
            changes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::LaneLinks;
    use crate::model::address::Lane;
    use crate::transport::Link;

    #[test]
    fn the_link_is_up_while_both_lanes_are() {
        let links = LaneLinks::new();
        let status = links.subscribe();
        links.up(Lane::Logs);
        assert!(!status.current().is_up());
        links.up(Lane::Control);
        assert!(status.current().is_up());
        links.down(Lane::Logs, "cut".to_owned());
        assert_eq!(status.current(), Link::Down { reason: "cut".to_owned() });
        assert_eq!(
            (links.reason(Lane::Logs), links.reason(Lane::Control)),
            ("cut".into(), "".into())
        );
        links.close();
        links.up(Lane::Logs);
        assert_eq!(status.current(), Link::Closed);
    }
}
