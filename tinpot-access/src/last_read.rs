//! The stamp of the records when they were last read.

use std::sync::atomic::{AtomicU64, Ordering};

use tinpot_core::access::Records;

/// The [stamp](Records::stamp) of records before a snapshot of them was last brought up to date.
#[derive(Debug)]
pub(crate) struct LastRead(AtomicU64);

impl Default for LastRead {
    /// Never: no records have this stamp.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl LastRead {
    /// Returns false if the records have changed since. True if the store cannot tell.
    pub(crate) fn is_current(&self, records: &dyn Records) -> bool {
        records.stamp().is_none_or(|stamp| stamp == self.0.load(Ordering::Acquire))
    }

    /// Notes the stamp that the records had before they were read: what has changed meanwhile
    /// differs from it, even if it was read, too.
    pub(crate) fn note(&self, stamp: Option<u64>) {
        if let Some(stamp) = stamp {
            self.0.store(stamp, Ordering::Release);
        }
    }
}
