//! A coordinator's process: what its control loop does with the machine, in simulated time.

use std::collections::VecDeque;
use std::time::Duration;

use super::client::{Request, Ticket};
use super::clock::{Clock, Moment, NEVER};
use super::events::{Event, Host, Repair};
use super::world::{Checked, World, broken};
use crate::coordinator::{Answer, Step, Turn};
use crate::error::{Error, ErrorKind};
use crate::id::WorkerId;
use crate::protocol::{CoordinatorEffect, CoordinatorMachine, Frame, Message};
use crate::store::Transition;
use crate::time::Timestamp;
use crate::transport::{Address, Lane};

/// As in the control loop.
const TURN_INPUTS: usize = 256;
const COMMIT_RETRY: Duration = Duration::from_millis(500);
/// What the wall clock shows at the beginning.
const BEGINNING: u64 = 1_700_000_000_000_000;

/// What has come and was not looked at.
#[derive(Debug)]
enum Input {
    Frame(Frame),
    Request(Request),
    LinkUp,
}

/// One process; every start of it is another life.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) wake: Moment,
    clock: Clock,
    turn: Turn<Ticket, Ticket>,
    inbox: VecDeque<Input>,
    /// It waits for the store.
    committing: bool,
    outbox: Vec<(Address, Vec<Message>)>,
    /// Messages that wait for company, until then.
    lazy: Vec<(WorkerId, Moment, Vec<Message>)>,
    /// Requests that are not answered.
    open: Vec<Ticket>,
    /// What its wall clock showed when it started.
    started: u64,
}

impl Process {
    pub(super) fn ask(&mut self, request: Request) {
        self.open.push(request.ticket());
        self.inbox.push_back(Input::Request(request));
    }

    pub(super) fn receive(&mut self, frame: Frame) {
        self.inbox.push_back(Input::Frame(frame));
    }

    /// A request is answered.
    pub(super) fn close(&mut self, ticket: Ticket) {
        self.open.retain(|open| *open != ticket);
    }

    /// How many commits of this life there were.
    pub(super) fn commits(&self) -> u64 {
        self.turn.commits()
    }
}

impl World {
    pub(super) fn add_coordinator(&mut self) {
        let index = self.coordinators.len();
        let epoch = crate::protocol::Epoch { instance: 0, number: 0 };
        self.coordinators.push(Process {
            up: false,
            life: 0,
            wake: NEVER,
            clock: Clock::new(0, 1),
            turn: Turn::new(CoordinatorMachine::new(self.plan.config.clone(), epoch)),
            inbox: VecDeque::new(),
            committing: false,
            outbox: Vec::new(),
            lazy: Vec::new(),
            open: Vec::new(),
            started: 0,
        });
        self.after(Duration::ZERO, Event::Repair(Repair::StartCoordinator(index)));
    }

    pub(super) fn coordinator_lives(&self, index: usize, life: u64) -> bool {
        self.coordinators[index].up && self.coordinators[index].life == life
    }

    pub(super) fn start_coordinator(&mut self, index: usize) -> Checked {
        if self.coordinators[index].up {
            return Ok(());
        }
        let opened = self.store.open()?;
        self.checks.opened(&opened)?;
        let epoch = opened.epoch;
        let life = self.coordinators[index].life + 1;
        self.tell(|| format!("c{index} starts: life {life}, epoch {epoch}"));
        self.trace(1, u64::from(epoch.number));
        let clock = Clock::new(self.now, self.random.rate(self.plan.rates));
        let mut machine = CoordinatorMachine::new(self.plan.config.clone(), epoch);
        machine.restore(clock.tick(self.now), Timestamp(BEGINNING + self.now), opened);
        self.coordinators[index] = Process {
            up: true,
            life,
            wake: NEVER,
            clock,
            turn: Turn::new(machine),
            inbox: VecDeque::from([Input::LinkUp]),
            committing: false,
            outbox: Vec::new(),
            lazy: Vec::new(),
            open: Vec::new(),
            started: BEGINNING + self.now,
        };
        self.turn(index)
    }

    /// The process is gone, and with it whatever it had not synced and sent.
    pub(super) fn crash_coordinator(&mut self, index: usize) -> Checked {
        self.count("coordinator crash");
        let process = &mut self.coordinators[index];
        let in_flight = std::mem::take(&mut process.committing);
        process.up = false;
        if in_flight && !self.store.full {
            // The power went before the batch was synced, or right after.
            if self.random.chance(0.5) {
                self.tell(|| format!("c{index} crashes, its batch is synced"));
                self.sync(index)?;
            } else {
                self.tell(|| format!("c{index} crashes, its batch is gone"));
            }
        } else {
            self.tell(|| format!("c{index} crashes"));
        }
        let process = &mut self.coordinators[index];
        process.inbox.clear();
        for ticket in std::mem::take(&mut process.open) {
            self.disconnected(ticket);
        }
        let longest = if self.random.chance(0.5) {
            Duration::from_secs(2)
        } else {
            self.plan.config.coordinator_lease
        };
        let after = self.random.duration(longest);
        self.after(after, Event::Repair(Repair::StartCoordinator(index)));
        Ok(())
    }

    /// What the wall clock of that process shows.
    fn wall(&self, index: usize) -> Timestamp {
        let process = &self.coordinators[index];
        Timestamp(process.started + process.clock.tick(self.now).0)
    }

    /// One round of the control loop, unless it waits for the store.
    pub(super) fn turn(&mut self, index: usize) -> Checked {
        let wall = self.wall(index);
        let process = &mut self.coordinators[index];
        if process.committing || !process.up {
            return Ok(());
        }
        let now = process.clock.tick(self.now);
        let turn = &mut process.turn;
        let mut answers = Vec::new();
        for _ in 0..TURN_INPUTS {
            match process.inbox.pop_front() {
                Some(Input::Frame(frame)) => {
                    let Some(from) = frame.from else { continue };
                    for message in frame.messages {
                        turn.machine.receive(now, &from, message, &mut turn.effects);
                    }
                }
                Some(Input::Request(Request::Submit { execution, commits, ticket })) => {
                    answers.extend(turn.submit(now, execution, commits, ticket));
                }
                Some(Input::Request(Request::Cancel { id, force, ticket })) => {
                    turn.cancel(now, id, force, ticket);
                }
                Some(Input::LinkUp) => turn.machine.link_up(&mut turn.effects),
                None => break,
            }
        }
        turn.tick(now, wall);
        for answer in answers {
            self.answered(index, answer)?;
        }
        self.commit(index)
    }

    /// Persist before send: begins to commit, or goes on when there is nothing to commit.
    fn commit(&mut self, index: usize) -> Checked {
        let wall = self.wall(index);
        let process = &mut self.coordinators[index];
        for effect in &process.turn.effects {
            if let CoordinatorEffect::Persist(transition) = effect {
                self.checks.decided(transition, wall)?;
            }
        }
        let outbox = &mut process.outbox;
        let persists = process.turn.stage(|_, _, _| {}, |to, message| push(outbox, to, message));
        if !persists {
            self.finish_turn(index)?;
            self.flush(index)?;
            return self.proceed(index);
        }
        process.committing = true;
        let longest = if self.random.chance(self.plan.slow_commit_chance) {
            self.plan.slow_commit
        } else {
            self.plan.commit
        };
        let (after, life) = (self.random.duration(longest), self.coordinators[index].life);
        self.after(after, Event::Committed { coordinator: index, life });
        Ok(())
    }

    /// The store has an answer.
    pub(super) fn committed(&mut self, index: usize) -> Checked {
        let crash = self.plan.crash_at_commit;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        if self.store.full {
            self.count("commit refused");
            self.tell(|| format!("c{index} cannot commit: the store is full"));
            let process = &mut self.coordinators[index];
            process.committing = false;
            let now = process.clock.tick(self.now);
            let error = Error::new(ErrorKind::StorageFull, "no space left on device");
            let mut answers = Vec::new();
            process.turn.hold(now, &error, |answer| answers.push(answer));
            for answer in answers {
                self.answered(index, answer)?;
            }
            self.flush(index)?;
            return self.proceed(index);
        }
        self.sync(index)?;
        self.coordinators[index].committing = false;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        self.finish_turn(index)?;
        self.flush(index)?;
        self.proceed(index)
    }

    /// What is to be committed is in the store from now on, whatever happens.
    fn sync(&mut self, index: usize) -> Checked {
        self.report.commits += 1;
        let wall = self.wall(index);
        for place in 0..self.coordinators[index].turn.batch().len() {
            let transition = &self.coordinators[index].turn.batch()[place];
            if self.is_told() {
                let line = format!("c{index} commits {transition:?}");
                self.tell(|| line);
            }
            let transition = &self.coordinators[index].turn.batch()[place];
            self.checks.commits(transition, &self.store, wall)?;
            if let Err(error) = self.store.commit(std::slice::from_ref(transition), wall) {
                return broken("I2", format!("the store refuses: {error}"));
            }
            let detail = digest(transition);
            self.trace(2, detail);
        }
        Ok(())
    }

    fn finish_turn(&mut self, index: usize) -> Checked {
        let lazily = self.plan.config.resend_interval / 2;
        let process = &mut self.coordinators[index];
        let until = process.clock.moment(process.clock.tick(self.now) + lazily);
        let (outbox, lazy) = (&mut process.outbox, &mut process.lazy);
        let mut answers: Vec<Answer<Ticket, Ticket>> = Vec::new();
        let effect = |effect| match effect {
            CoordinatorEffect::Send(Address::Worker(to), message @ Message::ResultAck(_)) => {
                match lazy.iter_mut().find(|(address, ..)| *address == to) {
                    Some((.., messages)) => messages.push(message),
                    None => lazy.push((to, until, vec![message])),
                }
            }
            CoordinatorEffect::Send(to, message) => push(outbox, to, message),
            _ => {}
        };
        process.turn.committed(drop, effect, |answer| answers.push(answer));
        for answer in answers {
            self.answered(index, answer)?;
        }
        Ok(())
    }

    /// Sends what waits in the outbox, and what has waited long enough for company or has found it.
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

    /// Reads what the machine wants to know, and commits what comes of it.
    fn proceed(&mut self, index: usize) -> Checked {
        loop {
            let process = &mut self.coordinators[index];
            let now = process.clock.tick(self.now);
            match process.turn.next(now) {
                Step::Commit => return self.commit(index),
                Step::Find(id) => {
                    process.turn.found(Ok(self.store.execution(id).cloned()));
                }
                Step::Load(page) => {
                    process.turn.loaded(now, &page, self.store.queued(&page));
                }
                Step::Rest => break,
            }
        }
        self.arm_coordinator(index);
        Ok(())
    }

    /// At the end nothing is left in the machine either.
    pub(super) fn machine_is_empty(&self, index: usize) -> Checked {
        let machine = &self.coordinators[index].turn.machine;
        let queues = machine.queues();
        let busy = queues.iter().find(|queue| queue.waiting + queue.delayed + queue.granted > 0);
        match (machine.unfinished(), busy) {
            (0, None) => Ok(()),
            (unfinished, busy) => broken(
                "window",
                format!("everything has ended, and the machine counts {unfinished} and {busy:?}"),
            ),
        }
    }

    fn arm_coordinator(&mut self, index: usize) {
        let process = &mut self.coordinators[index];
        let life = process.life;
        if !process.inbox.is_empty() {
            return self.after(Duration::ZERO, Event::Turn { coordinator: index, life });
        }
        let machine = process.turn.machine.wake_at().map(|tick| process.clock.moment(tick));
        let retry = COMMIT_RETRY.as_micros() as Moment;
        let retry = process.turn.store_failing().then_some(self.now + retry);
        let lazy = process.lazy.iter().map(|(_, at, _)| *at);
        let wake = lazy.chain(machine).chain(retry).min().unwrap_or(NEVER).max(self.now + 1);
        // As in the control loop: a timer that fires too early costs one idle turn.
        if wake < process.wake || process.wake <= self.now {
            process.wake = wake;
            if wake < NEVER {
                self.events.push(wake, Event::WakeCoordinator { coordinator: index, life });
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

/// What tells a transition from others.
fn digest(transition: &Transition) -> u64 {
    let id = transition.execution().map_or(0, |id| (id.as_u128() >> 64) as u64);
    let (what, fence) = match transition {
        Transition::Offer(_) => (0, None),
        Transition::Accept(_) => (1, None),
        Transition::Ready { .. } => (2, None),
        Transition::Grant { fence, .. } => (3, Some(fence)),
        Transition::Start { fence, .. } => (4, Some(fence)),
        Transition::Cancelling { .. } => (5, None),
        Transition::Requeue { fence, .. } => (6, Some(fence)),
        Transition::Finish { outcome, fence, .. } => (8 + outcome.status() as u64, fence.as_ref()),
    };
    id << 32 | what << 24 | fence.map_or(0, |fence| fence.number)
}
