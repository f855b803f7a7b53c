//! A runner as a worker: its calls become messages of the protocol, and messages become answers.
//!
//! A peer has no clock, channels or I/O: the task in `link.rs` performs its effects. It decides
//! nothing that the coordinator decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Accept, Beat, BeatAck, Cancel, Dispatch, Epoch, Fence, Hello, Log, LogSender, Message, Probe,
    Recorded, Released, ReleasedHow, ResultAck, ResultReport, Tick,
};
use tinpot_core::{Json, LogChunk, Outcome, WorkerId};

use super::lines::{Line, LineNumbers};

/// The runtime of runs that MiniTower's runner can run.
pub(super) const RUNTIME: &str = "script";
/// The time after which an unanswered message is sent again.
const RESEND: Duration = Duration::from_secs(1);
/// The longest time between two beats while a request for a run is open.
const BEAT: Duration = Duration::from_secs(5);
/// The lines in flight, in bytes. A runner that sends more has to wait.
const WINDOW_BYTES: usize = 1024 * 1024;
/// The time for which the last lines of an attempt are sent again after its result.
const LAST_LINES: Duration = Duration::from_secs(10);
/// The beats that are remembered, and the attempts that were given back.
const BEATS: usize = 1_024;
const RELEASES: usize = 64;

/// Names a call, whose answer comes later.
pub(super) type Ticket = u64;

/// A call of a runner.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// Asks for a run.
    Lease,
    /// Reports that the program starts.
    Start(Fence),
    /// Renews the lease.
    Heartbeat(Fence),
    /// Sends lines.
    Logs(Fence, Vec<Line>),
    /// Reports the end.
    Result(Fence, Outcome),
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A run, and when its lease ends.
    Leased(Box<Dispatch>, Tick),
    /// There is no run.
    Nothing,
    /// The runner has an attempt already.
    Busy,
    /// The attempt goes on until then, or is to be cancelled.
    Goes { until: Tick, cancel: bool },
    /// The lines are stored, or the result is recorded.
    Done,
    /// The attempt does not belong to the runner any more.
    Gone,
    /// Too many lines are in flight.
    Full,
}

/// An effect that the task has to perform, in order.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all effects are messages: a box would be one allocation for each"
)]
pub(super) enum Effect {
    Send(Message),
    Answer(Ticket, Answer),
}

/// An attempt that began before its peer: in an earlier process of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adopted {
    pub(super) fence: Fence,
    pub(super) started: bool,
    pub(super) numbers: LineNumbers,
}

/// A runner.
#[derive(Debug)]
pub(super) struct RunnerPeer {
    id: WorkerId,
    queue: String,
    lease: Duration,
    wait: Duration,
    epoch: Option<Epoch>,
    introduced: bool,
    drained: bool,
    last_beat: u64,
    beats: VecDeque<(u64, Tick)>,
    asking: Option<Asking>,
    held: Option<Held>,
    /// Attempts that were given back and never ran, and when that was said.
    released: BTreeMap<Fence, Tick>,
    /// The largest fence that was dispatched in this epoch.
    seen: Option<Fence>,
}

/// An open request for a run.
#[derive(Debug)]
struct Asking {
    ticket: Ticket,
    until: Tick,
    beat_at: Tick,
}

#[derive(Debug)]
struct Held {
    fence: Fence,
    phase: Phase,
    cancel: bool,
    /// The time at which the last beat was sent that the coordinator has acknowledged.
    renewed: Tick,
    /// Heartbeats that wait for the acknowledgement of a beat.
    heartbeats: Vec<(u64, Ticket)>,
    numbers: LineNumbers,
    lines: LogSender,
    /// Batches of lines that wait until the line with that number is stored.
    batches: Vec<(u64, Ticket)>,
}

#[derive(Debug)]
enum Phase {
    /// The runner knows it, and has not started.
    Given,
    Running {
        since: Tick,
    },
    /// The result is not acknowledged.
    Ended {
        report: Box<ResultReport>,
        sent_at: Tick,
        tickets: Vec<Ticket>,
    },
    /// The result is settled. Only lines may be left.
    Settled {
        at: Tick,
    },
}

impl RunnerPeer {
    /// Creates a runner in this environment, with a lease. A request for a run waits this long.
    pub(super) fn new(id: WorkerId, queue: String, lease: Duration, wait: Duration) -> Self {
        Self {
            id,
            queue,
            lease,
            wait,
            epoch: None,
            introduced: false,
            drained: false,
            last_beat: 0,
            beats: VecDeque::new(),
            asking: None,
            held: None,
            released: BTreeMap::new(),
            seen: None,
        }
    }

    /// Returns when [`tick`](Self::tick) must be called.
    pub(super) fn wake_at(&self) -> Option<Tick> {
        let asking = self.asking.as_ref().map(|asking| asking.until.min(asking.beat_at));
        let held = self.held.as_ref().and_then(|held| held.wake_at(self.lease));
        let released = self.released.values().min().map(|at| *at + RESEND);
        [asking, held, released].into_iter().flatten().min()
    }

    /// Returns true if it holds the attempt.
    pub(super) fn holds(&self, fence: Fence) -> bool {
        self.held.as_ref().is_some_and(|held| held.fence == fence)
    }

    /// Takes over an attempt that began before this peer. It is that of the runner, says the store.
    pub(super) fn adopt(&mut self, now: Tick, adopted: Adopted) {
        let fence = adopted.fence;
        // What it has had and given up may still stand in the store for a moment.
        let had = self.epoch == Some(fence.epoch) && self.seen.is_some_and(|seen| seen >= fence);
        if had || self.released.contains_key(&fence) || self.holds(fence) {
            return;
        }
        let phase = if adopted.started { Phase::Running { since: now } } else { Phase::Given };
        self.held = Some(Held { numbers: adopted.numbers, ..Held::new(fence, phase, now) });
    }

    /// Serves another environment from now on.
    pub(super) fn serve(&mut self, queue: String) {
        if self.queue != queue {
            (self.queue, self.introduced) = (queue, false);
        }
    }

    /// Handles a call.
    pub(super) fn call(&mut self, now: Tick, ticket: Ticket, call: Call, out: &mut Vec<Effect>) {
        match call {
            Call::Lease => self.asks(now, ticket, out),
            Call::Start(fence) => self.starts(now, ticket, fence, out),
            Call::Heartbeat(fence) => self.lives(now, ticket, fence, out),
            Call::Logs(fence, lines) => self.writes(now, ticket, fence, lines, out),
            Call::Result(fence, outcome) => self.ends(now, ticket, fence, outcome, out),
        }
    }

    /// Handles an answer that did not reach the runner: a run that it was given goes back.
    pub(super) fn unheard(&mut self, now: Tick, answer: &Answer, out: &mut Vec<Effect>) {
        if let Answer::Leased(dispatch, _) = answer
            && let Some(held) =
                self.held.take_if(|held| held.fence == dispatch.fence && held.is_given())
        {
            self.release(now, held.fence, out);
        }
    }

    fn asks(&mut self, now: Tick, ticket: Ticket, out: &mut Vec<Effect>) {
        if let Some(earlier) = self.asking.take() {
            out.push(Effect::Answer(earlier.ticket, Answer::Nothing));
        }
        match &self.held {
            Some(held) if held.is_given() => {
                // The runner does not know of it, or has forgotten it.
                let fence = held.fence;
                self.held = None;
                self.release(now, fence, out);
            }
            Some(held) if held.is_settled() => self.held = None,
            // The coordinator has given it up, or will: nothing is granted before.
            Some(held) if held.renewed + patience(self.lease) <= now => self.held = None,
            Some(_) => return out.push(Effect::Answer(ticket, Answer::Busy)),
            None => {}
        }
        self.introduce(out);
        self.beat(now, 1, out);
        let beat_at = now + self.beat_interval();
        self.asking = Some(Asking { ticket, until: now + self.wait, beat_at });
    }

    fn starts(&mut self, now: Tick, ticket: Ticket, fence: Fence, out: &mut Vec<Effect>) {
        let lease = self.lease;
        let Some(held) = self.held_as(fence) else {
            return out.push(Effect::Answer(ticket, Answer::Gone));
        };
        if held.is_given() {
            held.phase = Phase::Running { since: now };
            out.push(Effect::Send(Message::Accept(Accept { fence, running: true })));
        }
        let goes = Answer::Goes { until: held.renewed + lease, cancel: held.cancel };
        out.push(Effect::Answer(ticket, goes));
    }

    fn lives(&mut self, now: Tick, ticket: Ticket, fence: Fence, out: &mut Vec<Effect>) {
        if self.held_as(fence).is_none() {
            return out.push(Effect::Answer(ticket, Answer::Gone));
        }
        self.introduce(out);
        let seq = self.beat(now, 0, out);
        if let Some(held) = self.held_as(fence) {
            held.heartbeats.push((seq, ticket));
        }
    }

    fn writes(
        &mut self,
        now: Tick,
        ticket: Ticket,
        fence: Fence,
        lines: Vec<Line>,
        out: &mut Vec<Effect>,
    ) {
        let Some(held) = self.held_as(fence) else {
            return out.push(Effect::Answer(ticket, Answer::Gone));
        };
        if held.lines.room_bytes() == 0 {
            return out.push(Effect::Answer(ticket, Answer::Full));
        }
        for chunk in held.numbers.take(lines) {
            held.lines.sent(now, chunk.clone());
            out.push(log(fence, chunk));
        }
        match held.lines.is_empty() {
            true => out.push(Effect::Answer(ticket, Answer::Done)),
            false => held.batches.push((held.numbers.last(), ticket)),
        }
    }

    fn ends(
        &mut self,
        now: Tick,
        ticket: Ticket,
        fence: Fence,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(held) = self.held.as_mut().filter(|held| held.fence == fence) else {
            return out.push(Effect::Answer(ticket, Answer::Gone));
        };
        let ran = match &mut held.phase {
            Phase::Given => Duration::ZERO,
            Phase::Running { since } => now.since(*since),
            Phase::Ended { tickets, .. } => return tickets.push(ticket),
            Phase::Settled { .. } => return out.push(Effect::Answer(ticket, Answer::Done)),
        };
        let ran_us = u64::try_from(ran.as_micros()).unwrap_or(u64::MAX);
        let last_log_seq = held.numbers.last();
        let report = ResultReport { fence, outcome, last_log_seq, ran_us, killed: false };
        out.push(Effect::Send(Message::Result(report.clone())));
        let report = Box::new(report);
        held.phase = Phase::Ended { report, sent_at: now, tickets: vec![ticket] };
    }

    /// Returns the attempt if the runner may still go on with it.
    fn held_as(&mut self, fence: Fence) -> Option<&mut Held> {
        self.held.as_mut().filter(|held| held.fence == fence && !held.has_ended())
    }

    fn beat_interval(&self) -> Duration {
        BEAT.min(self.lease / 3)
    }

    /// Introduces the runner, unless the coordinator knows it.
    fn introduce(&mut self, out: &mut Vec<Effect>) {
        if std::mem::replace(&mut self.introduced, true) {
            return;
        }
        out.push(Effect::Send(Message::Hello(Hello {
            name: self.id.name().to_owned(),
            queues: vec![self.queue.clone()],
            groups: Vec::new(),
            slots: u32::from(!self.drained),
            offer: ActionSet::default().runtime(RUNTIME),
            clean_slate: Vec::new(),
            epoch: self.epoch,
            version: String::new(),
            started_at: None,
            // Its frames are in order, and its beats may begin again under the same id.
            seq: 0,
            pull: true,
            lease: Some(self.lease),
            teams: Vec::new(),
            granted: Box::default(),
        })));
    }

    /// Sends a beat that asks for `free` attempts, and returns its number.
    fn beat(&mut self, now: Tick, free: u32, out: &mut Vec<Effect>) -> u64 {
        self.last_beat += 1;
        let seq = self.last_beat;
        self.beats.push_back((seq, now));
        if self.beats.len() > BEATS {
            self.beats.pop_front();
        }
        let held = self.held.iter().filter(|held| !held.is_settled()).map(|held| held.fence);
        let (held, epoch) = (held.collect(), self.epoch);
        out.push(Effect::Send(Message::Beat(Beat { seq, free, held, epoch })));
        seq
    }

    /// Gives back an attempt that never ran.
    fn release(&mut self, now: Tick, fence: Fence, out: &mut Vec<Effect>) {
        if self.released.len() >= RELEASES {
            self.released.pop_first();
        }
        self.released.insert(fence, now);
        let how = ReleasedHow::NeverRan;
        out.push(Effect::Send(Message::Released(Released { fence, how })));
    }

    /// Handles a message from the coordinator.
    pub(super) fn receive(&mut self, now: Tick, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::BeatAck(ack) => self.acknowledged(now, ack, out),
            Message::Dispatch(dispatch) => self.dispatched(now, dispatch, out),
            Message::Cancel(cancel) => self.cancelled(now, cancel, out),
            Message::Probe(probe) => self.probed(now, probe, out),
            Message::ResultAck(ack) => self.settled(now, ack, out),
            Message::LogAck(ack) => self.stored(now, ack.fence, ack.seq, out),
            Message::WhoIsThere(who) if !self.is_past(who.epoch) => self.asked(now, out),
            Message::Drain(drain) if self.epoch == Some(drain.epoch) => {
                (self.drained, self.introduced) = (true, false);
                self.introduce(out);
            }
            _ => {}
        }
    }

    fn is_past(&self, epoch: Epoch) -> bool {
        self.epoch
            .is_some_and(|known| known.instance == epoch.instance && known.number > epoch.number)
    }

    /// Answers the question who it is, if it has anything to do now.
    fn asked(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.introduced = false;
        if self.asking.is_some() || self.held.is_some() {
            self.introduce(out);
            self.beat(now, u32::from(self.asking.is_some()), out);
        }
    }

    fn acknowledged(&mut self, now: Tick, ack: BeatAck, out: &mut Vec<Effect>) {
        let sent = self.beats.iter().find(|(seq, _)| *seq == ack.seq_echo).map(|(_, at)| *at);
        let Some(sent_at) = sent.filter(|_| !self.is_past(ack.epoch)) else { return };
        let is_new = self.epoch != Some(ack.epoch);
        if is_new {
            (self.epoch, self.seen, self.drained) = (Some(ack.epoch), None, false);
            if self.asking.is_some() {
                // Only a beat that names the epoch asks for anything.
                self.beat(now, 1, out);
            }
        }
        let lease = self.lease;
        let Some(held) = &mut self.held else { return };
        if ack.drop.contains(&held.fence) {
            let Some(held) = self.held.take() else { return };
            return held.answer_all(Answer::Gone, out);
        }
        held.cancel |= ack.cancel.contains(&held.fence);
        held.renewed = held.renewed.max(sent_at);
        let goes = Answer::Goes { until: held.renewed + lease, cancel: held.cancel };
        held.heartbeats.retain(|(seq, ticket)| {
            let waits = *seq > ack.seq_echo;
            if !waits {
                out.push(Effect::Answer(*ticket, goes.clone()));
            }
            waits
        });
    }

    fn dispatched(&mut self, now: Tick, dispatch: Dispatch, out: &mut Vec<Effect>) {
        let fence = dispatch.fence;
        if let Some(held) = self.held.as_ref().filter(|held| held.fence == fence) {
            return held.repeat(out);
        }
        if self.released.contains_key(&fence) {
            return self.release(now, fence, out);
        }
        if self.is_past(fence.epoch) || self.seen.is_some_and(|seen| seen >= fence) {
            return;
        }
        self.seen = Some(fence);
        let sent = self.beats.iter().find(|(seq, _)| *seq == dispatch.seq_echo).map(|(_, at)| *at);
        // Much of the lease has to be left.
        let sent_at = sent.filter(|at| now.since(*at) < self.lease / 2);
        let (Some(asking), Some(sent_at), None) = (&self.asking, sent_at, &self.held) else {
            return self.release(now, fence, out);
        };
        let ticket = asking.ticket;
        self.asking = None;
        self.held = Some(Held::new(fence, Phase::Given, sent_at));
        out.push(Effect::Send(Message::Accept(Accept { fence, running: false })));
        self.beat(now, 0, out);
        let until = sent_at + self.lease;
        out.push(Effect::Answer(ticket, Answer::Leased(Box::new(dispatch), until)));
    }

    fn cancelled(&mut self, now: Tick, cancel: Cancel, out: &mut Vec<Effect>) {
        if let Some(held) = self.held.as_mut().filter(|held| held.fence == cancel.fence) {
            held.cancel = true;
            return held.repeat(out);
        }
        // What an earlier process was given may run still: its runner says so when it calls.
        let is_new = self.epoch == Some(cancel.fence.epoch)
            && self.seen.is_none_or(|seen| seen < cancel.fence);
        if is_new {
            self.seen = Some(cancel.fence);
        }
        if is_new || self.released.contains_key(&cancel.fence) {
            self.release(now, cancel.fence, out);
        }
    }

    fn probed(&mut self, now: Tick, probe: Probe, out: &mut Vec<Effect>) {
        if let Some(held) = self.held.as_ref().filter(|held| held.fence == probe.fence) {
            held.repeat(out);
        } else if self.released.contains_key(&probe.fence) {
            self.release(now, probe.fence, out);
        }
    }

    fn settled(&mut self, now: Tick, ack: ResultAck, out: &mut Vec<Effect>) {
        self.released.remove(&ack.fence);
        let Some(held) = self.held.as_mut().filter(|held| held.fence == ack.fence) else { return };
        let Phase::Ended { tickets, .. } = &mut held.phase else { return };
        let answer = match ack.recorded {
            Recorded::Recorded | Recorded::Duplicate => Answer::Done,
            Recorded::Stale => Answer::Gone,
        };
        let answers = std::mem::take(tickets).into_iter();
        out.extend(answers.map(|ticket| Effect::Answer(ticket, answer.clone())));
        held.phase = Phase::Settled { at: now };
    }

    fn stored(&mut self, now: Tick, fence: Fence, seq: u64, out: &mut Vec<Effect>) {
        let Some(held) = self.held.as_mut().filter(|held| held.fence == fence) else { return };
        held.lines.acknowledged(now, seq);
        // No lines are wanted any more: the attempt is over.
        let answer = if seq == u64::MAX { Answer::Gone } else { Answer::Done };
        held.batches.retain(|(last, ticket)| {
            let waits = *last > seq;
            if !waits {
                out.push(Effect::Answer(*ticket, answer.clone()));
            }
            waits
        });
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if let Some(asking) = self.asking.take_if(|asking| asking.until <= now) {
            // What was granted meanwhile finds no open request, and goes back.
            self.beat(now, 0, out);
            out.push(Effect::Answer(asking.ticket, Answer::Nothing));
        }
        let interval = self.beat_interval();
        if self.asking.as_ref().is_some_and(|asking| asking.beat_at <= now) {
            self.beat(now, 1, out);
            if let Some(asking) = &mut self.asking {
                asking.beat_at = now + interval;
            }
        }
        let due: Vec<Fence> = self
            .released
            .iter()
            .filter(|(_, at)| **at + RESEND <= now)
            .map(|(fence, _)| *fence)
            .collect();
        for fence in due {
            self.release(now, fence, out);
        }
        let lease = self.lease;
        if let Some(held) = self.held.take_if(|held| held.is_given() && held.renewed + lease <= now)
        {
            // It has not started, and starts no more: `start` finds nothing.
            self.release(now, held.fence, out);
            held.answer_all(Answer::Gone, out);
        }
        let Some(held) = &mut self.held else { return };
        held.resend(now, out);
        if held.is_over(now) {
            self.held = None;
        }
    }
}

impl Held {
    fn new(fence: Fence, phase: Phase, renewed: Tick) -> Self {
        Self {
            fence,
            phase,
            cancel: false,
            renewed,
            heartbeats: Vec::new(),
            numbers: LineNumbers::default(),
            lines: LogSender::new(WINDOW_BYTES),
            batches: Vec::new(),
        }
    }

    fn is_given(&self) -> bool {
        matches!(self.phase, Phase::Given)
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled { .. })
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. } | Phase::Settled { .. })
    }

    /// Returns true if nothing of it is left to send.
    fn is_over(&self, now: Tick) -> bool {
        match self.phase {
            Phase::Settled { at } => self.lines.is_empty() || at + LAST_LINES <= now,
            _ => false,
        }
    }

    fn wake_at(&self, lease: Duration) -> Option<Tick> {
        let phase = match &self.phase {
            Phase::Given => Some(self.renewed + lease),
            Phase::Running { .. } => None,
            Phase::Ended { sent_at, .. } => Some(*sent_at + RESEND),
            Phase::Settled { at } => Some(*at + LAST_LINES),
        };
        phase.into_iter().chain(self.lines.resend_at(RESEND)).min()
    }

    /// Says again what it said last of itself.
    fn repeat(&self, out: &mut Vec<Effect>) {
        let (fence, running) = (self.fence, !self.is_given());
        out.push(Effect::Send(match &self.phase {
            Phase::Given | Phase::Running { .. } => Message::Accept(Accept { fence, running }),
            Phase::Ended { report, .. } => Message::Result((**report).clone()),
            Phase::Settled { .. } => return,
        }));
    }

    fn resend(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if let Phase::Ended { report, sent_at, .. } = &mut self.phase
            && *sent_at + RESEND <= now
        {
            *sent_at = now;
            out.push(Effect::Send(Message::Result((**report).clone())));
        }
        if self.lines.resend_at(RESEND).is_some_and(|at| at <= now) {
            let fence = self.fence;
            out.extend(self.lines.resend(now).map(|chunk| log(fence, chunk.clone())));
        }
    }

    /// Answers every call that waits.
    fn answer_all(self, answer: Answer, out: &mut Vec<Effect>) {
        let ended = match self.phase {
            Phase::Ended { tickets, .. } => tickets,
            _ => Vec::new(),
        };
        let waiting = self.heartbeats.into_iter().chain(self.batches).map(|(_, ticket)| ticket);
        let all = waiting.chain(ended);
        out.extend(all.map(|ticket| Effect::Answer(ticket, answer.clone())));
    }
}

/// Returns the time after a beat at which the coordinator gives up a runner with this lease.
fn patience(lease: Duration) -> Duration {
    (lease * 3 / 2).max(lease + Duration::from_secs(10))
}

fn log(fence: Fence, chunk: Arc<LogChunk>) -> Effect {
    Effect::Send(Message::Log(Log { fence, chunk }))
}

/// Returns the result of a run that completed.
pub(super) fn completed() -> Outcome {
    Outcome::Succeeded(Json::null())
}

#[cfg(test)]
mod tests;
