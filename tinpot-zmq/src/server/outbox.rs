//! Records that wait for one client.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use omq_tokio::Message;
use tokio::sync::Notify;

use crate::record::Batch;

/// Records that wait for one client. The protocol keeps few in flight, so only a client that does
/// not read reaches this.
const RECORDS: usize = 4096;
/// Bytes that wait for one client; one record always finds room.
const BYTES: usize = 16 * 1024 * 1024;
/// Bytes that wait for all clients of one lane; beyond, only clients for whom nothing waits get a
/// record.
const ALL_BYTES: usize = 256 * 1024 * 1024;

/// The records that wait for one client. A full one drops records: it never holds up a sender.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// Notified when there is something to read, or no more ever.
    filled: Notify,
    /// Bytes that wait for all clients.
    all_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<(Bytes, Bytes)>,
    bytes: usize,
    is_closed: bool,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        Self { queue: Mutex::default(), filled: Notify::new(), all_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record; false if it was dropped. A warning counts those, at powers of two.
    pub(super) fn push(&self, head: &Bytes, frame: &Bytes) -> bool {
        let size = head.len() + frame.len();
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
                let (dropped, topic) = (queue.dropped, String::from_utf8_lossy(&head[1..]));
                tracing::warn!(%topic, dropped, "a worker does not read: its frames are dropped");
            }
            return false;
        }
        queue.bytes += size;
        self.all_bytes.fetch_add(size, Ordering::Relaxed);
        queue.records.push_back((head.clone(), frame.clone()));
        drop(queue);
        self.filled.notify_one();
        true
    }

    /// Takes what waits, as one message. `None` if nothing waits, and nothing will.
    pub(super) async fn next(&self) -> Option<Message> {
        loop {
            let filled = self.filled.notified();
            {
                let mut queue = self.lock();
                if let Some(message) = self.take(&mut queue) {
                    return Some(message);
                }
                if queue.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    fn take(&self, queue: &mut Queue) -> Option<Message> {
        let (mut batch, mut taken) = (Batch::default(), 0);
        while let Some((head, frame)) = queue.records.front() {
            let size = head.len() + frame.len();
            if !batch.has_room(size) {
                break;
            }
            taken += size;
            if let Some((head, frame)) = queue.records.pop_front() {
                batch.push(head, frame);
            }
        }
        queue.bytes -= taken;
        self.all_bytes.fetch_sub(taken, Ordering::Relaxed);
        (!batch.is_empty()).then(|| batch.take())
    }

    /// Refuses records from now on; those that wait can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
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
        let (head, small) = (Bytes::from_static(b"Fworkers"), Bytes::from_static(b"x"));
        let slow = Outbox::new(all.clone());
        let taken = (0..2 * RECORDS).filter(|_| slow.push(&head, &small));
        assert_eq!(taken.count(), RECORDS);
        let large = Outbox::new(all.clone());
        let megabyte = Bytes::from(vec![0; 1024 * 1024]);
        let taken = (0..64).filter(|_| large.push(&head, &megabyte)).count();
        assert_eq!(taken, BYTES / (megabyte.len() + head.len()));
        // One record always finds room, also if all together have none.
        all.fetch_add(ALL_BYTES, Ordering::Relaxed);
        let quick = Outbox::new(all.clone());
        assert!(quick.push(&head, &megabyte));
        assert!(!quick.push(&head, &megabyte));
        all.fetch_sub(ALL_BYTES, Ordering::Relaxed);
        assert_eq!(quick.next().await.unwrap().len(), 2);
        slow.close();
        let mut read = 0;
        while let Some(message) = slow.next().await {
            read += message.len() / 2;
        }
        assert_eq!(read, RECORDS);
        drop((slow, large, quick));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
