//! Places for others while attempts wait for their children: an attempt that waits keeps its interpreter, so one more is needed.

use std::sync::Arc;

use super::fleet::Fleet;

/// An attempt that waits for a child; it goes on when this is dropped.
#[derive(Debug)]
pub(super) struct Parked {
    fleet: Arc<Fleet>,
}

impl Parked {
    pub(super) fn new(fleet: &Arc<Fleet>) -> Self {
        fleet.add_place();
        Self { fleet: fleet.clone() }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.fleet.take_place_away();
    }
}
