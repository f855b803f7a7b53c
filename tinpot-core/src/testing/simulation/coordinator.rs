//! The process of a coordinator: its control loop around the machine, in simulated time.

mod credit;
mod lives;
mod logs;
mod reads;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::credit::Credits;
pub(super) use self::logs::Pipeline;
pub(super) use self::reads::secret_of;
use super::checks::changes_nothing;
use super::client::Request;
use super::clock::{Clock, Moment, NEVER};
use super::events::{Event, Happening, Host};
use super::world::{Checked, World, broken};
use crate::coordinator::{
    Answer, Core, LogHolder, Output, Registry, RequestedCancel, Step, Ticket,
};
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::seal::CoordinatorSessions;
use crate::protocol::{CoordinatorEffect, CoordinatorMachine, Frame, Message, Tick};

/// The same bound as in the control loop.
const TURN_INPUTS: usize = 256;
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// An input that the coordinator has not handled yet.
#[derive(Debug)]
enum Input {
    Frame(Frame),
    /// A frame that has arrived before, in that epoch.
    Again(Frame, u64),
    /// The worker of the next frame has not introduced itself in its session.
    ExpectHello(WorkerId),
    Request(Request),
    Answer(Answer),
    LinkUp,
}

/// One process. Every start of it is a new epoch.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) clock: Clock,
    /// The time that its wall clock showed at its start.
    started: u64,
    wake: Moment,
    core: Core,
    /// The sessions of this start, if frames are sealed.
    pub(super) sessions: Option<CoordinatorSessions>,
    inbox: VecDeque<Input>,
    /// The moment at which it began to wait for the store.
    committing: Option<Moment>,
    outputs: Vec<Output>,
    outbox: Vec<(Address, Vec<Message>)>,
    /// Messages that wait until then to share a frame with others.
    lazy: Vec<(WorkerId, Moment, Vec<Message>)>,
    /// Requests without an answer.
    open: Vec<Ticket>,
    registry: Arc<Registry>,
    logs: Pipeline,
    /// The fraction of frames that do not reach it.
    pub(super) deaf: f64,
    /// The events that happen when it resumes, if it is paused.
    pub(super) paused: Option<Vec<Happening>>,
    /// The end of its last pause that was longer than a heartbeat interval.
    at_work_since: Tick,
    /// The time of the last tick of its machine.
    ticked: Tick,
    /// The number of turns that ended with nothing to do.
    rests: u64,
    credits: Credits,
}

impl Process {
    /// Closes a request that was answered. `taken_back` is the execution of a submission that had
    /// been accepted and was taken back.
    pub(super) fn close(&mut self, ticket: Ticket, taken_back: Option<ExecutionId>) {
        taken_back.inspect(|id| self.registry.refuse(*id));
        self.open.retain(|open| *open != ticket);
    }

    /// Notes that the frame after it is of a worker that has not introduced itself.
    pub(super) fn expect_hello(&mut self, worker: WorkerId) {
        self.inbox.push_back(Input::ExpectHello(worker));
    }

    pub(super) fn machine(&self) -> &CoordinatorMachine {
        self.core.machine()
    }

    /// Returns the machine, the wall clock at its last tick, and the number of rests; `None` while
    /// something is due or held back.
    pub(super) fn at_rest(&mut self, now: Moment) -> Option<(&CoordinatorMachine, u64, u64)> {
        let due = self.core.wake_at().is_some_and(|at| at <= self.clock.tick(now));
        if due || self.core.store_failing() {
            return None;
        }
        self.rests += 1;
        Some((self.core.machine(), self.started + self.ticked.0, self.rests))
    }

    /// Returns the time since its last long pause, by its own clock.
    pub(super) fn at_work(&self) -> Duration {
        self.ticked.since(self.at_work_since)
    }

    /// Returns the attempts whose log has not ended.
    pub(super) fn open_logs(&self) -> BTreeSet<Fence> {
        self.registry.open_logs()
    }

    /// Returns the number of commits in this epoch.
    pub(super) fn commits(&self) -> u64 {
        self.core.commits()
    }
}

impl World {
    pub(super) fn at_coordinator(
        &mut self,
        index: usize,
        life: u64,
        happening: Happening,
    ) -> Checked {
        let process = &mut self.coordinators[index];
        if !process.up || process.life != life {
            if let Happening::Asked(request) = happening {
                self.disconnected(request.ticket());
            }
            return Ok(());
        }
        if let Happening::Asked(request) = happening {
            process.open.push(request.ticket());
            process.inbox.push_back(Input::Request(request));
            return self.turn(index);
        }
        if let Some(later) = &mut process.paused {
            later.push(happening);
            return Ok(());
        }
        match happening {
            Happening::Turn => self.turn(index),
            Happening::Wake if process.wake <= self.now => self.turn(index),
            Happening::LinkUp => {
                process.inbox.push_back(Input::LinkUp);
                self.turn(index)
            }
            Happening::Committed => self.committed(index),
            Happening::Reads(read, commits) => self.read(index, *read, commits),
            Happening::Appended => self.appended(index),
            Happening::WakeLogs => self.log_turn(index),
            _ => Ok(()),
        }
    }

    /// Takes in a frame that has arrived.
    pub(super) fn take_frame(
        &mut self,
        index: usize,
        lane: Lane,
        frame: Frame,
        again: Option<u64>,
    ) -> Checked {
        let process = &mut self.coordinators[index];
        match (lane, again) {
            (Lane::Logs, _) => {
                process.logs.inbox.push_back(frame);
                return self.log_turn(index);
            }
            (_, Some(life)) => process.inbox.push_back(Input::Again(frame, life)),
            (_, None) => process.inbox.push_back(Input::Frame(frame)),
        }
        self.turn(index)
    }

    /// Returns the time that the wall clock of the process shows.
    pub(super) fn wall(&self, index: usize) -> Timestamp {
        let process = &self.coordinators[index];
        Timestamp(process.started + process.clock.tick(self.now).0)
    }

    /// Runs one turn of the control loop, unless it waits for the store.
    pub(super) fn turn(&mut self, index: usize) -> Checked {
        let (wall, plain) = (self.wall(index), self.plain);
        let process = &mut self.coordinators[index];
        if process.committing.is_some() || process.paused.is_some() || !process.up {
            return Ok(());
        }
        let now = process.clock.tick(self.now);
        for _ in 0..TURN_INPUTS {
            let input = process.inbox.pop_front();
            let core = &mut process.core;
            match input {
                Some(Input::Frame(frame)) => {
                    let Some(from) = frame.from else { continue };
                    for message in frame.messages {
                        process.note_beat(&from, &message);
                        process.core.receive(now, &from, plain.has(&from), message);
                        process.spends_credit(&self.plan)?;
                    }
                }
                Some(Input::ExpectHello(worker)) => core.expect_hello(&worker),
                Some(Input::Again(frame, life)) => {
                    let Some(from) = frame.from else { continue };
                    let before = core.effects().len();
                    for message in frame.messages {
                        process.note_beat(&from, &message);
                        process.core.receive(now, &from, plain.has(&from), message);
                        process.spends_credit(&self.plan)?;
                    }
                    if life == process.life {
                        changes_nothing(&process.core.effects()[before..])?;
                    }
                }
                Some(Input::Request(Request::Submit { execution, commits, ticket })) => {
                    core.submit(now, execution, commits, None, ticket);
                }
                Some(Input::Request(Request::Cancel { id, force, ticket })) => {
                    core.cancel(now, id, RequestedCancel { by: None, force }, ticket);
                }
                Some(Input::Request(Request::SetPaused { queue, paused, ticket })) => {
                    core.set_paused(now, queue, paused, ticket);
                }
                Some(Input::Request(Request::Deploy { actions, ticket })) => {
                    core.deploy(now, &actions, ticket);
                }
                Some(Input::Request(Request::Drain { worker, ticket })) => {
                    core.drain_worker(now, &worker, ticket);
                }
                Some(Input::Answer(answer)) => core.answer(now, answer),
                Some(Input::LinkUp) => core.link_up(),
                None => break,
            }
            process.spends_credit(&self.plan)?;
        }
        if now.since(process.ticked) >= self.plan.config.beat_interval {
            process.at_work_since = now;
        }
        process.ticked = now;
        process.core.tick(now, wall);
        self.commit(index)
    }

    /// Starts a commit, or goes on if there is nothing to commit: persist before send.
    fn commit(&mut self, index: usize) -> Checked {
        let wall = self.wall(index);
        let process = &mut self.coordinators[index];
        process.spends_credit(&self.plan)?;
        process.effects_taken();
        for effect in process.core.effects() {
            if let CoordinatorEffect::Persist(transition) = effect {
                self.checks.decided(transition, wall)?;
            }
        }
        if !process.core.stage() {
            process.core.committed();
            return self.finish_turn(index);
        }
        self.perform(index)?;
        let process = &mut self.coordinators[index];
        process.committing = Some(self.now);
        let longest = if self.random.chance(self.plan.slow_commit_chance) {
            self.plan.slow_commit
        } else {
            self.plan.commit
        };
        let (after, life) = (self.random.duration(longest), self.coordinators[index].life);
        self.after(after, Event::To(Host::Coordinator(index), life, Happening::Committed));
        Ok(())
    }

    /// Handles the store's answer to a commit.
    pub(super) fn committed(&mut self, index: usize) -> Checked {
        let crash = self.plan.crash_at_commit;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        if self.store.full {
            self.count("commit refused");
            self.tell(|| format!("c{index} cannot commit: the store is full"));
            let process = &mut self.coordinators[index];
            process.committing = None;
            let now = process.clock.tick(self.now);
            process.at_work_since = now;
            let error = Error::new(ErrorKind::StorageFull, "no space left on device");
            process.core.hold(now, &error);
            let held = process.core.held();
            self.report.held = self.report.held.max(held as u64);
            return self.finish_turn(index);
        }
        if !self.sync(index)? {
            // Another coordinator has opened this store: like the control loop, this one stops.
            self.tell(|| format!("c{index} stops: the store contradicts it"));
            return self.crash_coordinator(index);
        }
        self.coordinators[index].committing = None;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        self.coordinators[index].core.committed();
        self.finish_turn(index)
    }

    /// Syncs the pending transitions, so that they survive a crash. Returns `false` if a later
    /// coordinator has opened the store.
    fn sync(&mut self, index: usize) -> Checked<bool> {
        let wall = self.wall(index);
        let process = &self.coordinators[index];
        let life = process.core.machine().epoch();
        if let Err(error) = self.store.check(life, process.core.batch()) {
            return match self.store.is_latest(life) {
                true => broken("I2", format!("the store refuses: {error}")),
                false => Ok(false),
            };
        }
        self.report.commits += 1;
        for place in 0..self.coordinators[index].core.batch().len() {
            let transition = &self.coordinators[index].core.batch()[place];
            if self.is_told() {
                let line = format!("c{index} commits {transition:?}");
                self.tell(|| line);
            }
            let transition = self.coordinators[index].core.batch()[place].clone();
            self.offers(&transition)?;
            let transition = &transition;
            self.checks.commits(transition, &self.store, wall)?;
            if let Transition::Grant { execution, worker, .. } = transition
                && let Some(execution) = self.store.execution(*execution)
            {
                self.deploys.granted(worker, execution)?;
                self.teams.granted(worker, execution)?;
            }
            self.store.apply(transition, wall);
            if let Transition::Grant { execution, worker, .. } = transition {
                self.plain.granted(worker, *execution, &self.store)?;
                self.granted_to_the_living(worker)?;
            }
            let detail = digest(&self.coordinators[index].core.batch()[place]);
            self.trace(2, detail);
        }
        Ok(true)
    }

    fn finish_turn(&mut self, index: usize) -> Checked {
        self.perform(index)?;
        self.log_turn(index)?;
        self.flush(index)?;
        self.proceed(index)
    }

    /// Performs the effects that may be performed now.
    fn perform(&mut self, index: usize) -> Checked {
        let lazily = self.plan.config.resend_interval / 2;
        let process = &mut self.coordinators[index];
        let until = process.clock.moment(process.clock.tick(self.now) + lazily);
        let mut outputs = std::mem::take(&mut process.outputs);
        std::mem::swap(&mut outputs, process.core.outputs());
        for output in outputs.drain(..) {
            let process = &mut self.coordinators[index];
            match output {
                Output::Granted { execution, fence, attempt, worker, team } => {
                    let holder = LogHolder { worker, team };
                    process.registry.open_log(execution, fence, attempt, holder);
                }
                Output::Refused { .. } => {}
                Output::Send(Address::Worker(to), message @ Message::ResultAck(_)) => {
                    let lazy = &mut process.lazy;
                    match lazy.iter_mut().find(|(address, ..)| *address == to) {
                        Some((.., messages)) => messages.push(message),
                        None => lazy.push((to, until, vec![message])),
                    }
                }
                Output::Send(to, message) => push(&mut process.outbox, to, message),
                Output::LogEnds { execution, fence, last_seq } => {
                    process
                        .logs
                        .ends
                        .extend(process.registry.begin_end(execution, fence, last_seq));
                }
                Output::Committed(transition) => process.registry.committed(transition),
                Output::Reply(ticket, response) => self.answered(index, ticket, response)?,
                Output::Read(read) => self.begin_read(index, read),
            }
        }
        self.coordinators[index].outputs = outputs;
        Ok(())
    }

    /// Sends the outbox, and the messages that have waited long enough or can share a frame.
    fn flush(&mut self, index: usize) -> Checked {
        let process = &mut self.coordinators[index];
        let mut outbox = std::mem::take(&mut process.outbox);
        let now = self.now;
        process.lazy.retain_mut(|(to, at, messages)| {
            let frame = outbox
                .iter_mut()
                .find(|(address, _)| matches!(address, Address::Worker(worker) if worker == to));
            match frame {
                Some((_, frame)) => frame.append(messages),
                None if *at <= now => {
                    outbox.push((Address::Worker(to.clone()), std::mem::take(messages)));
                }
                None => return true,
            }
            false
        });
        for (to, messages) in outbox.drain(..) {
            let addressee = match &to {
                Address::Worker(id) => Some(id.clone()),
                _ => None,
            };
            let frame = Frame { from: None, to: addressee, messages };
            self.send(Host::Coordinator(index), &to, Lane::Control, frame)?;
        }
        self.coordinators[index].outbox = outbox;
        Ok(())
    }

    /// Starts the reads that the machine asks for, and commits the transitions that result.
    fn proceed(&mut self, index: usize) -> Checked {
        loop {
            let process = &mut self.coordinators[index];
            let now = process.clock.tick(self.now);
            match process.core.next(now) {
                Step::Commit => return self.commit(index),
                Step::Find(id) => {
                    process.core.found(now, Ok(self.store.execution(id).cloned()));
                }
                Step::Load(page) => {
                    let executions = self.store.queued(&page);
                    let read = executions.len();
                    process.core.loaded(now, &page, executions);
                    self.tell(|| format!("c{index} reads {read} of {:?}", page.order));
                }
                Step::Rest => break,
            }
        }
        if let Some(epoch) = self.coordinators[index].core.superseded() {
            self.tell(|| format!("c{index} stops: {epoch} is at work"));
            let life = self.coordinators[index].machine().epoch();
            return match self.store.is_latest(life) {
                true => broken("I4", format!("{epoch} is at work, but was never opened")),
                false => self.crash_coordinator(index),
            };
        }
        self.rests(index)?;
        self.arm_coordinator(index);
        Ok(())
    }

    fn arm_coordinator(&mut self, index: usize) {
        let process = &mut self.coordinators[index];
        let life = process.life;
        if !process.inbox.is_empty() {
            return self.happens(self.now, Host::Coordinator(index), life, Happening::Turn);
        }
        let machine = process.core.wake_at().map(|tick| process.clock.moment(tick));
        let retry = COMMIT_RETRY.as_micros() as Moment;
        let retry = process.core.store_failing().then_some(self.now + retry);
        let lazy = process.lazy.iter().map(|(_, at, _)| *at);
        let wake = lazy.chain(machine).chain(retry).min().unwrap_or(NEVER).max(self.now + 1);
        // As in the control loop, a timer that fires too early costs one idle turn.
        if wake < process.wake || process.wake <= self.now {
            process.wake = wake;
            if wake < NEVER {
                self.happens(wake, Host::Coordinator(index), life, Happening::Wake);
            }
        }
    }
}

fn push(outbox: &mut Vec<(Address, Vec<Message>)>, to: Address, message: Message) {
    match outbox.iter_mut().rfind(|(address, _)| *address == to) {
        Some((_, messages)) => messages.push(message),
        None => outbox.push((to, vec![message])),
    }
}

/// Returns a hash that distinguishes transitions.
fn digest(transition: &Transition) -> u64 {
    let id = transition.execution().map_or(0, |id| (id.as_u128() >> 64) as u64);
    let (what, fence) = match transition {
        Transition::Offer(_) => (0, None),
        Transition::Pause { .. } => (16, None),
        Transition::Resume { .. } => (17, None),
        Transition::Accept(_) => (1, None),
        Transition::Ready { .. } => (2, None),
        Transition::Grant { fence, .. } => (3, Some(fence)),
        Transition::Start { fence, .. } => (4, Some(fence)),
        Transition::Cancelling { .. } => (5, None),
        Transition::CancelRequested { .. } => (18, None),
        Transition::Killed { fence, .. } => (19, Some(fence)),
        Transition::Requeue { fence, .. } => (6, Some(fence)),
        Transition::Finish { outcome, fence, .. } => (8 + outcome.status() as u64, fence.as_ref()),
    };
    id << 32 | what << 24 | fence.map_or(0, |fence| fence.number)
}
