//! The log pump of a worker, in simulated time.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::address::Lane;
use crate::model::fence::Fence;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::time::Timestamp;
use crate::protocol::{Frame, Log, LogSender, Message};
use crate::testing::simulation::clock::NEVER;
use crate::testing::simulation::events::{Happening, Host};
use crate::testing::simulation::world::{Checked, World};

/// A small window, so that it is sometimes full.
const WINDOW_BYTES: usize = 600;

/// The log of one attempt on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) fence: Fence,
    /// The number of the last line written so far.
    last_seq: u64,
    waiting: VecDeque<LogChunk>,
    sender: LogSender,
    /// True if the attempt has ended.
    finished: bool,
    /// True if the coordinator wants no more of it.
    abandoned: bool,
}

impl Entry {
    pub(super) fn new(fence: Fence) -> Self {
        Self {
            fence,
            last_seq: 0,
            waiting: VecDeque::new(),
            sender: LogSender::new(WINDOW_BYTES),
            finished: false,
            abandoned: false,
        }
    }
}

/// Returns the line with that number, to compare with the stored one.
pub(in super::super) fn line(fence: Fence, seq: u64) -> String {
    format!("{fence}:{seq}")
}

impl World {
    pub(super) fn attempt_writes(&mut self, index: usize, fence: Fence) -> Checked {
        let node = &mut self.workers[index];
        let Some(entry) = node.entries.iter_mut().find(|entry| entry.fence == fence) else {
            return Ok(());
        };
        if entry.finished || entry.abandoned {
            return Ok(());
        }
        let first_seq = entry.last_seq + 1;
        entry.last_seq += 1 + self.random.number() % 4;
        let lines = (first_seq..=entry.last_seq).map(|seq| line(fence, seq)).collect();
        let (time, stream, level) = (Timestamp(self.now), Stream::Stdout, Level::Info);
        entry.waiting.push_back(LogChunk::new(first_seq, time, stream, level, lines));
        self.pump(index)
    }

    /// Ends the log of an attempt and returns the number of its last line.
    pub(super) fn end_of_lines(&mut self, index: usize, fence: Fence) -> u64 {
        let entries = &mut self.workers[index].entries;
        let Some(entry) = entries.iter_mut().find(|entry| entry.fence == fence) else { return 0 };
        entry.finished = true;
        entry.last_seq
    }

    pub(super) fn take_log_acks(&mut self, index: usize, frame: &Frame) -> Checked {
        let node = &mut self.workers[index];
        let now = node.clock.tick(self.now);
        for message in &frame.messages {
            let Message::LogAck(ack) = message else { continue };
            let Some(entry) = node.entries.iter_mut().find(|entry| entry.fence == ack.fence) else {
                continue;
            };
            self.checks.log_acknowledged(ack.fence, ack.seq, &self.store)?;
            entry.sender.acknowledged(now, ack.seq);
            if ack.seq == u64::MAX {
                entry.abandoned = true;
                entry.waiting.clear();
            }
        }
        self.pump(index)
    }

    /// Sends what the window allows.
    pub(super) fn pump(&mut self, index: usize) -> Checked {
        let interval = self.plan.config.resend_interval;
        let node = &mut self.workers[index];
        let now = node.clock.tick(self.now);
        let mut messages = Vec::new();
        let mut wake = None;
        node.entries.retain_mut(|entry| {
            let fence = entry.fence;
            if entry.sender.resend_at(interval).is_some_and(|at| at <= now) {
                let again = entry.sender.resend(now).cloned();
                messages.extend(again.map(|chunk| Message::Log(Log { fence, chunk })));
            }
            while entry.sender.room_bytes() > 0
                && let Some(chunk) = entry.waiting.pop_front()
            {
                let chunk = Arc::new(chunk);
                entry.sender.sent(now, chunk.clone());
                messages.push(Message::Log(Log { fence, chunk }));
            }
            wake = wake.into_iter().chain(entry.sender.resend_at(interval)).min();
            !(entry.finished && entry.waiting.is_empty() && entry.sender.is_empty())
        });
        if let Some(tick) = wake {
            let wake = node.clock.moment(tick).max(self.now + 1);
            if wake < node.wake_logs || node.wake_logs <= self.now {
                node.wake_logs = wake;
                let life = node.life;
                if wake < NEVER {
                    self.happens(wake, Host::Worker(index), life, Happening::WakeLogs);
                }
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        self.send_from(index, Lane::Logs, messages)
    }
}
