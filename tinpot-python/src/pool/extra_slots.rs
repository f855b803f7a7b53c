//! Places for others while attempts wait for their children: an attempt that waits keeps its interpreter, so one more is needed.

use std::sync::Arc;

use super::fleet::Fleet;

/// An attempt that waits for a child; it goes on when this is dropped.
#[derive(Debug)]
pub(super) struct ExtraSlot {
    fleet: Arc<Fleet>,
}

impl ExtraSlot {
    pub(super) fn new(fleet: &Arc<Fleet>) -> Self {
        fleet.add_slot();
        Self { fleet: fleet.clone() }
    }
}

impl Drop for ExtraSlot {
    fn drop(&mut self) {
        self.fleet.remove_slot();
    }
}
