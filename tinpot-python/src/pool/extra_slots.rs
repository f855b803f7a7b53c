//! Extra slots while attempts wait for their children: a waiting attempt keeps its interpreter, so
//! that another one is needed.

use std::sync::Arc;

use super::fleet::Fleet;

/// An extra slot for an attempt that waits for a child. It is removed when this is dropped.
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
