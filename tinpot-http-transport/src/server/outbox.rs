//! Records that wait for one client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// Records that wait for one client. The protocol keeps few in flight, so only a client that does
/// not read reaches this.
const RECORDS: usize = 4096;
/// Bytes that wait for one client; one record always finds room.
const BYTES: usize = 16 * 1024 * 1024;
/// Bytes that wait for all clients of one lane; beyond, only clients for whom nothing waits get a
/// record.
const ALL_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that are written at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The records that wait for one client. A full one drops records: it never holds up a sender.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// Notified when there is something to read, or no more ever.
    filled: Notify,
    /// Notified when all was taken.
    emptied: Notify,
    /// Bytes that wait for all clients.
    all_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Bytes>,
    bytes: usize,
    is_closed: bool,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        let (filled, emptied) = (Notify::new(), Notify::new());
        Self { queue: Mutex::default(), filled, emptied, all_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record; false if it was dropped. A warning counts those, at powers of two.
    pub(super) fn push(&self, client: &str, record: &Bytes) -> bool {
        let size = record.len();
        let mut queue = self.lock();
        if queue.is_closed {
            return false;
        }
        let all = self.all_bytes.load(Ordering::Relaxed);
        let fits =
            queue.records.len() < RECORDS && queue.bytes + size <= BYTES && all + size <= ALL_BYTES;
        if !fits && !queue.records.is_empty() {
            queue.dropped += 1;
            if queue.dropped.is_power_of_two() {
                let dropped = queue.dropped;
                tracing::warn!(client, dropped, "a worker does not read: its frames are dropped");
            }
            return false;
        }
        queue.bytes += size;
        self.all_bytes.fetch_add(size, Ordering::Relaxed);
        queue.records.push_back(record.clone());
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Takes what waits, about 64 KiB at once. `None` if nothing waits, and nothing will.
    pub(super) async fn next(&self) -> Option<Bytes> {
        loop {
            let filled = self.filled.notified();
            {
                let mut queue = self.lock();
                if let Some(chunk) = self.take(&mut queue) {
                    return Some(chunk);
                }
                if queue.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Takes what waits now.
    pub(super) fn try_next(&self) -> Option<Bytes> {
        self.take(&mut self.lock())
    }

    fn take(&self, queue: &mut Queue) -> Option<Bytes> {
        let first = queue.records.pop_front()?;
        let is_alone = first.len() >= CHUNK_BYTES || queue.records.is_empty();
        let chunk = if is_alone {
            first
        } else {
            let mut chunk = BytesMut::from(&*first);
            while let Some(record) = queue.records.front()
                && chunk.len() + record.len() <= CHUNK_BYTES
            {
                chunk.extend_from_slice(record);
                queue.records.pop_front();
            }
            chunk.freeze()
        };
        queue.bytes -= chunk.len();
        self.all_bytes.fetch_sub(chunk.len(), Ordering::Relaxed);
        if queue.records.is_empty() {
            self.emptied.notify_waiters();
        }
        Some(chunk)
    }

    /// Refuses records from now on; those that wait can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Resolves when nothing waits.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().records.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.lock().bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use super::{ALL_BYTES, BYTES, Outbox, RECORDS};

    #[tokio::test]
    async fn a_client_that_does_not_read_loses_records_instead_of_memory() {
        let all = Arc::new(AtomicUsize::new(0));
        let slow = Outbox::new(all.clone());
        let taken = (0..2 * RECORDS).filter(|_| slow.push("slow", &Bytes::from_static(b"x")));
        assert_eq!(taken.count(), RECORDS);
        let large = Outbox::new(all.clone());
        let megabyte = Bytes::from(vec![0; 1024 * 1024]);
        let taken = (0..64).filter(|_| large.push("large", &megabyte)).count();
        assert_eq!(taken, BYTES / megabyte.len());
        // One record always finds room, also if all together have none.
        all.fetch_add(ALL_BYTES, Ordering::Relaxed);
        let quick = Outbox::new(all.clone());
        assert!(quick.push("quick", &megabyte));
        assert!(!quick.push("quick", &megabyte));
        all.fetch_sub(ALL_BYTES, Ordering::Relaxed);
        assert!(quick.next().await.is_some_and(|chunk| chunk.len() == megabyte.len()));
        slow.close();
        let mut read = 0;
        while let Some(chunk) = slow.next().await {
            read += chunk.len();
        }
        assert_eq!(read, RECORDS);
        drop((slow, large, quick));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
