//! The answers that a coordinator gives to every message, unless a scene switches them off.

use std::time::Duration;

use tinpot_core::protocol::{BeatAck, Fence, LogAck, Message, Recorded, ResultAck};
use tinpot_core::transport::Lane;

use super::{Heard, Stage};
use crate::miss::Play;

/// The answers that are given. All are by default.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// Beats are acknowledged.
    pub(crate) beats: bool,
    /// Results and releases are acknowledged.
    pub(crate) reports: bool,
    /// Log lines are acknowledged.
    pub(crate) logs: bool,
    /// The lists of the next acknowledgement of a beat.
    pub(crate) drop: Vec<Fence>,
    pub(crate) cancel: Vec<Fence>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { beats: true, reports: true, logs: true, drop: Vec::new(), cancel: Vec::new() }
    }
}

impl Stage {
    /// Answers a message.
    pub(super) async fn answer(&mut self, heard: &Heard) -> Play {
        match &heard.message {
            Message::Beat(beat) if self.answers.beats => {
                // A beat that names another epoch gets nothing but its acknowledgement.
                let is_ours = beat.epoch == Some(self.epoch);
                self.acknowledge_beat(beat.seq, is_ours).await
            }
            Message::Result(result) if self.answers.reports => self.acknowledge(result.fence).await,
            Message::Released(released) if self.answers.reports => {
                self.acknowledge(released.fence).await
            }
            Message::Log(log) if self.answers.logs => {
                let seq = self.rules.lines(log.fence).last();
                self.acknowledge_lines(log.fence, seq).await
            }
            _ => Ok(()),
        }
    }

    /// Acknowledges a beat.
    pub(crate) async fn acknowledge_beat(&mut self, seq: u64, with_lists: bool) -> Play {
        let (mut drop, mut cancel) = (Vec::new(), Vec::new());
        if with_lists {
            drop = std::mem::take(&mut self.answers.drop);
            cancel = std::mem::take(&mut self.answers.cancel);
        }
        for fence in &drop {
            self.rules.tell(*fence);
            self.rules.close(*fence);
        }
        let ack = BeatAck {
            epoch: self.epoch,
            seq_echo: seq,
            settled: self.settled,
            lease: Some(self.lease),
            beat_interval: Some(self.beat),
            drop,
            cancel,
        };
        self.send(vec![Message::BeatAck(ack)]).await
    }

    /// Acknowledges beats again, with a long lease from now on.
    pub(crate) async fn relax(&mut self) -> Play {
        self.answers.beats = true;
        (self.lease, self.beat) = (Duration::from_secs(60), Duration::from_millis(500));
        self.acknowledge_beat(self.last_beat, true).await
    }

    /// Acknowledges the report of an attempt, which the worker then forgets.
    pub(crate) async fn acknowledge(&mut self, fence: Fence) -> Play {
        self.acknowledge_as(fence, Recorded::Recorded).await
    }

    pub(crate) async fn acknowledge_as(&mut self, fence: Fence, recorded: Recorded) -> Play {
        self.rules.close(fence);
        let ack = ResultAck { epoch: self.epoch, fence, recorded };
        self.send(vec![Message::ResultAck(ack)]).await
    }

    /// Acknowledges the lines of an attempt up to this one.
    pub(crate) async fn acknowledge_lines(&mut self, fence: Fence, seq: u64) -> Play {
        self.rules.lines(fence).ack(seq);
        self.send_on(Lane::Logs, vec![Message::LogAck(LogAck { fence, seq })]).await
    }
}
