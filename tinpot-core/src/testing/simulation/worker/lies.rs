//! A worker that says anything about other workers, in its own name. Nothing of it may have an effect.

use std::sync::Arc;

use crate::model::address::{Address, Lane};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::WorkerId;
use crate::model::json::Json;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use crate::protocol::{
    Accept, Beat, BeatAck, Frame, Hello, Log, Message, Reject, RejectReason, Released, ReleasedHow,
    ResultReport, SecretGet, WhoIsThere,
};
use crate::testing::simulation::events::Host;
use crate::testing::simulation::world::{Checked, World, broken};

/// The number of the epochs that liars make up; no store is opened as often.
const MADE_UP: u32 = 1_000_000;

impl World {
    /// Lets a worker lie about the attempts and the death of another one, and about epochs.
    pub(in super::super) fn lie(&mut self) -> Checked {
        let liar = self.random.below(self.workers.len());
        let victim = self.random.below(self.workers.len());
        let node = &self.workers[liar];
        if liar == victim || !node.up || node.gone || node.ending.is_some() {
            return Ok(());
        }
        self.count("lie");
        self.tell(|| format!("w{liar} lies about w{victim}"));
        let running = self.workers[victim].running.len();
        let fence = match running {
            0 => None,
            _ => Some(self.workers[victim].running[self.random.below(running)].fence),
        };
        match self.random.below(6) {
            0 => {
                let dead = self.workers.iter().map(|node| node.machine.id().clone()).collect();
                self.lie_to_coordinators(liar, Lane::Control, self.declares_dead(liar, dead))
            }
            1 => {
                let (epoch, held) = (Some(self.made_up()), Vec::new());
                let beat = Message::Beat(Beat { seq: u64::MAX, free: 9, held, epoch });
                self.lie_to_coordinators(liar, Lane::Control, beat)
            }
            2 => self.lie_to_workers(liar),
            3 => {
                let Some(fence) = fence else { return Ok(()) };
                let lines = vec!["a lie".to_owned(); 2];
                let first_seq = 1 + self.random.number() % 8;
                let (stream, level) = (Stream::Stdout, Level::Info);
                let chunk = LogChunk::new(first_seq, Timestamp(1), stream, level, lines);
                let log = Message::Log(Log { fence, chunk: Arc::new(chunk) });
                self.lie_to_coordinators(liar, Lane::Logs, log)
            }
            _ => {
                let Some(fence) = fence else { return Ok(()) };
                let report = self.false_report(fence);
                self.lie_to_coordinators(liar, Lane::Control, report)
            }
        }
    }

    fn made_up(&mut self) -> Epoch {
        let number = MADE_UP + self.random.number() as u32 / 2;
        Epoch { instance: self.store.synced.instance, number }
    }

    fn false_report(&mut self, fence: Fence) -> Message {
        match self.random.below(5) {
            0 => Message::Accept(Accept { fence, running: true }),
            1 => Message::Reject(Reject { fence, why: RejectReason::Busy }),
            2 => Message::Released(Released { fence, how: ReleasedHow::NeverRan }),
            3 => Message::SecretGet(SecretGet { fence, name: "token".into() }),
            _ => {
                let outcome = Outcome::Succeeded(Json::null());
                let (last_log_seq, ran_us) = (u64::MAX, u64::MAX);
                let killed = false;
                Message::Result(ResultReport { fence, outcome, last_log_seq, ran_us, killed })
            }
        }
    }

    fn declares_dead(&self, liar: usize, clean_slate: Vec<WorkerId>) -> Message {
        let node = &self.workers[liar];
        let (groups, version, started_at) = Default::default();
        Message::Hello(Hello {
            name: format!("w{liar}"),
            queues: super::lives::queues_of(liar),
            groups,
            slots: node.machine.slots() as u32,
            offer: (*self.offer_of(liar, 0)).clone(),
            clean_slate,
            epoch: node.machine.epoch(),
            version,
            started_at,
            pull: self.plan.pulls(liar),
            lease: self.plan.own_lease(liar),
            ..Hello::default()
        })
    }

    fn lie_to_coordinators(&mut self, liar: usize, lane: Lane, message: Message) -> Checked {
        let from = Some(self.workers[liar].machine.id().clone());
        let frame = Frame { from, to: None, messages: vec![message] };
        self.send(Host::Worker(liar), &Address::Coordinator, lane, frame)
    }

    /// Claims to be a coordinator of a later epoch, where every worker hears it.
    fn lie_to_workers(&mut self, liar: usize) -> Checked {
        let epoch = self.made_up();
        let ack = BeatAck {
            epoch,
            seq_echo: u64::from(MADE_UP) + self.random.number() % 4,
            settled: u64::MAX,
            lease: None,
            beat_interval: None,
            drop: Vec::new(),
            cancel: Vec::new(),
        };
        let messages = vec![Message::WhoIsThere(WhoIsThere { epoch }), Message::BeatAck(ack)];
        let frame = Frame { from: None, to: None, messages };
        self.send(Host::Worker(liar), &Address::AllWorkers, Lane::Control, frame)
    }

    /// Checks I19: a worker follows only epochs of a store that was opened.
    pub(super) fn follows_the_truth(&self, index: usize) -> Checked {
        match self.workers[index].machine.epoch() {
            Some(epoch) if epoch.number >= MADE_UP => {
                broken("I19", format!("w{index} follows {epoch}, which a worker made up"))
            }
            _ => Ok(()),
        }
    }
}
