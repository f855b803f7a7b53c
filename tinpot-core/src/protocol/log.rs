//! Log lines across a lossy lane: a window of chunks, resent from the first that is not
//! acknowledged (go-back-N).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::tick::Tick;
use crate::model::log::LogChunk;

/// The sender of one attempt's log, on the worker.
#[derive(Debug)]
pub struct LogSender {
    window_bytes: usize,
    unacknowledged: VecDeque<Arc<LogChunk>>,
    bytes: usize,
    /// The time at which the first chunk in flight was sent last. Later chunks do not reset it:
    /// otherwise a lost chunk would never be missed while lines keep coming.
    sent_at: Tick,
}

impl LogSender {
    /// Creates a sender that keeps at most about `window_bytes` in flight.
    pub fn new(window_bytes: usize) -> Self {
        Self { window_bytes, unacknowledged: VecDeque::new(), bytes: 0, sent_at: Tick(0) }
    }

    /// Returns the number of bytes that may be sent now.
    pub fn room_bytes(&self) -> usize {
        self.window_bytes.saturating_sub(self.bytes)
    }

    /// Records a chunk that is being sent.
    pub fn sent(&mut self, now: Tick, chunk: Arc<LogChunk>) {
        self.bytes += chunk.size_bytes();
        if self.unacknowledged.is_empty() {
            self.sent_at = now;
        }
        self.unacknowledged.push_back(chunk);
    }

    /// Removes the acknowledged chunks: the coordinator has stored every line up to `seq`.
    pub fn acknowledged(&mut self, now: Tick, seq: u64) {
        while let Some(chunk) = self.unacknowledged.front()
            && chunk.last_seq() <= seq
        {
            self.bytes -= chunk.size_bytes();
            self.unacknowledged.pop_front();
            self.sent_at = now;
        }
    }

    /// Returns when the chunks in flight count as lost; `None` if none are in flight.
    pub fn resend_at(&self, interval: Duration) -> Option<Tick> {
        (!self.unacknowledged.is_empty()).then(|| self.sent_at + interval)
    }

    /// Returns all chunks in flight, to be resent.
    pub fn resend(&mut self, now: Tick) -> impl Iterator<Item = &Arc<LogChunk>> {
        self.sent_at = now;
        self.unacknowledged.iter()
    }

    /// Returns true if every chunk that was sent is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }
}

/// The receiver of one attempt's log, on the coordinator.
#[derive(Debug, Default)]
pub struct LogReceiver {
    last_seq: u64,
}

impl LogReceiver {
    /// Creates a receiver that has every line up to `last_seq`.
    pub fn after(last_seq: u64) -> Self {
        Self { last_seq }
    }

    /// Returns the new lines of a chunk. `None` if there are none, or if lines before the chunk are
    /// missing: those will be resent.
    pub fn receive(&mut self, chunk: Arc<LogChunk>) -> Option<LogChunk> {
        let next = self.last_seq.saturating_add(1);
        if chunk.first_seq > next {
            return None;
        }
        let new = if chunk.first_seq == next && !chunk.lines.is_empty() {
            Arc::unwrap_or_clone(chunk)
        } else {
            chunk.after(self.last_seq)?
        };
        self.last_seq = new.last_seq();
        Some(new)
    }

    /// Returns the last line received without a gap before it, which is the one to acknowledge.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, prop, proptest};

    use std::sync::Arc;
    use std::time::Duration;

    use super::{LogReceiver, LogSender};
    use crate::model::log::{Level, LogChunk, Stream};
    use crate::model::time::Timestamp;
    use crate::protocol::tick::Tick;

    fn chunk(first_seq: u64, lines: u64) -> Arc<LogChunk> {
        let lines = (first_seq..first_seq + lines).map(|seq| format!("line {seq}")).collect();
        let (stream, level) = (Stream::Stdout, Level::Info);
        Arc::new(LogChunk::new(first_seq, Timestamp(0), stream, level, lines))
    }

    #[test]
    fn a_gap_is_not_taken_and_a_repeat_is_cut() {
        let mut receiver = LogReceiver::default();
        assert_eq!(receiver.receive(chunk(4, 2)), None);
        assert_eq!(receiver.receive(chunk(1, 3)).as_ref(), Some(&*chunk(1, 3)));
        assert_eq!(receiver.receive(chunk(2, 4)).as_ref(), Some(&*chunk(4, 2)));
        assert_eq!(receiver.receive(chunk(1, 5)), None);
        assert_eq!(receiver.last_seq(), 5);
    }

    #[test]
    fn a_lost_line_is_noticed_while_lines_keep_arriving() {
        let interval = Duration::from_secs(1);
        let at = |millis| Tick(0) + Duration::from_millis(millis);
        let mut sender = LogSender::new(1_000);
        for number in 0..10 {
            sender.sent(at(number * 200), chunk(number + 1, 1));
        }
        assert_eq!(sender.resend_at(interval), Some(at(1_000)));
        assert_eq!(sender.resend(at(2_000)).count(), 10);
        sender.sent(at(2_500), chunk(11, 1));
        assert_eq!(sender.resend_at(interval), Some(at(3_000)));
        // The chunk that is now the first has a timeout of its own.
        sender.acknowledged(at(2_600), 4);
        assert_eq!(sender.resend_at(interval), Some(at(3_600)));
        sender.acknowledged(at(2_700), 11);
        assert_eq!(sender.resend_at(interval), None);
    }

    proptest! {
        /// Checks that the log is complete and in order, with any loss, repetition and reordering,
        /// once every chunk was sent often enough.
        #[test]
        fn a_lossy_lane_loses_nothing(
            sizes in prop::collection::vec(1_u64..5, 1..30),
            lost in prop::collection::vec(prop::bool::weighted(0.4), 200),
            order in Just((0..200).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let mut sender = LogSender::new(1_000);
            let mut receiver = LogReceiver::default();
            let (mut next, mut round, mut kept) = (1, 0, Vec::new());
            let mut sizes = sizes.into_iter();
            let mut pending = sizes.next();
            while pending.is_some() || !sender.is_empty() {
                let now = Tick(round as u64);
                let mut wire: Vec<Arc<LogChunk>> = sender.resend(now).cloned().collect();
                while let Some(size) = pending && sender.room_bytes() > 0 {
                    wire.push(chunk(next, size));
                    sender.sent(now, chunk(next, size));
                    next += size;
                    pending = sizes.next();
                }
                wire.sort_by_key(|chunk| order[chunk.first_seq as usize % order.len()]);
                for chunk in wire {
                    round += 1;
                    if round < lost.len() && lost[round] {
                        continue;
                    }
                    kept.extend(receiver.receive(chunk).into_iter().flat_map(|chunk| chunk.lines));
                    if round >= lost.len() || !lost[lost.len() - 1 - round] {
                        sender.acknowledged(now, receiver.last_seq());
                    }
                }
            }
            let expected: Vec<String> = (1..next).map(|seq| format!("line {seq}")).collect();
            assert_eq!(kept, expected);
        }
    }
}
