//! The size of the output of an attempt.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts the output of an attempt.
#[derive(Debug)]
pub struct OutputMeter {
    limit: AtomicU64,
    written: AtomicU64,
    is_beyond: Notify,
}

impl Default for OutputMeter {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(0),
            is_beyond: Notify::new(),
        }
    }
}

impl OutputMeter {
    /// Begins to count again, with a limit in bytes.
    pub fn begin(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }

    /// Returns how many of `bytes` still fit in the limit.
    pub fn admit(&self, bytes: usize) -> usize {
        let limit = self.limit.load(Ordering::Relaxed);
        let before = self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        let room = limit.saturating_sub(before);
        if (bytes as u64) <= room {
            return bytes;
        }
        self.is_beyond.notify_one();
        usize::try_from(room).unwrap_or(bytes)
    }

    /// Returns true if there was more output than the limit.
    pub fn is_exceeded(&self) -> bool {
        self.written.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed)
    }

    /// Resolves when there was more output than the limit.
    pub async fn exceeded(&self) {
        // A notification of an earlier attempt may be left.
        while !self.is_exceeded() {
            self.is_beyond.notified().await;
        }
    }
}
