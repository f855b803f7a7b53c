//! A cluster in simulated time: the real machines, a network that loses, repeats, delays and reorders, workers that crash, and executors that
//! finish, fail or hang. One seed gives one history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use crate::action::{Action, Offer};
use crate::execution::{Execution, Outcome, RetryPolicy};
use crate::executor::StopReason;
use crate::id::{ExecutionId, WorkerId};
use crate::json::Json;
use crate::protocol::{
    CoordinatorEffect, CoordinatorMachine, Fence, Frame, Message, ProtocolConfig, Tick,
    WorkerEffect, WorkerMachine, WorkerProfile,
};
use crate::store::{MemoryStore, MemoryStoreLimits, Store, Transition};
use crate::time::Timestamp;
use crate::transport::Address;

/// What may go wrong, and how often, each as a probability per message or event.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A frame is lost.
    pub loss: f64,
    /// A frame arrives twice.
    pub duplicate: f64,
    /// The longest a frame is on its way.
    pub delay: Duration,
    /// A worker process dies when a frame reaches it; a new one starts in its place.
    pub crash: f64,
    /// A worker is cut off in one direction or both, for up to two leases, when a frame reaches it.
    pub partition: f64,
}

impl Faults {
    /// A network without faults.
    pub const NONE: Faults = Faults {
        loss: 0.0,
        duplicate: 0.0,
        delay: Duration::from_millis(1),
        crash: 0.0,
        partition: 0.0,
    };
    /// A network on which nothing can be relied on.
    pub const MANY: Faults = Faults {
        loss: 0.1,
        duplicate: 0.1,
        delay: Duration::from_secs(8),
        crash: 0.002,
        partition: 0.01,
    };
}

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of everything that happened, in order: the same seed gives the same.
    pub trace: u64,
    /// Attempts that were started.
    pub starts: u64,
    /// Executions by terminal status.
    pub ended: BTreeMap<&'static str, u64>,
    /// Frames that were handed to the network.
    pub frames: u64,
}

enum Event {
    ToCoordinator(WorkerId, Message),
    ToWorker(usize, Message),
    WakeCoordinator,
    WakeWorker(usize, u64),
    Finish(usize, u64, Fence, Outcome),
    Submit,
    Cancel(Option<ExecutionId>),
    Restart(usize),
    Heal(usize),
}

struct Node {
    machine: WorkerMachine,
    incarnation: u64,
    alive: bool,
    wake: Option<Tick>,
    /// What runs here now; a stubborn one ends only when its grace period is over.
    running: BTreeMap<Fence, (ExecutionId, bool)>,
    deaf: bool,
    mute: bool,
}

/// The world: one coordinator, some workers, a store and the network between them.
struct World {
    config: ProtocolConfig,
    faults: Faults,
    random: Random,
    now: Tick,
    order: u64,
    events: BinaryHeap<Reverse<(Tick, u64)>>,
    pending: BTreeMap<u64, Event>,
    coordinator: CoordinatorMachine,
    coordinator_wake: Option<Tick>,
    store: MemoryStore,
    nodes: Vec<Node>,
    offer: Arc<Offer>,
    submitted: Vec<ExecutionId>,
    starts: BTreeMap<ExecutionId, u32>,
    cancelled: BTreeSet<ExecutionId>,
    granted: Option<Fence>,
    report: Report,
    history: Option<Vec<String>>,
}

/// Runs `executions` executions on `workers` workers with faults, then without until everything has ended.
///
/// Checks after every step that the store accepts each transition (one terminal transition per execution, fences increase, nothing without
/// its condition), that no two attempts at an execution live at once, that an action without retries is started at most once, and that
/// nothing starts after its cancel was recorded; at the end, that everything has ended and no attempt was one too many.
///
/// # Errors
/// What was violated and when, with the last lines of the history.
pub fn run(seed: u64, workers: usize, executions: usize, faults: Faults) -> Result<Report, String> {
    let result = World::new(seed, workers, faults, false)?.run(executions);
    result.map_err(|violation| {
        let replay = World::new(seed, workers, faults, true).map(|mut world| {
            let _ = world.drive(executions);
            world.history.unwrap_or_default()
        });
        let history = replay.unwrap_or_default();
        let tail = history[history.len().saturating_sub(60)..].join("\n");
        format!("seed {seed}: {violation}\n{tail}")
    })
}

impl World {
    fn new(seed: u64, workers: usize, faults: Faults, record: bool) -> Result<Self, String> {
        let config = ProtocolConfig::default();
        let store = MemoryStore::with_limits(MemoryStoreLimits::default().executions(1_000_000));
        let opened = now(store.open()).map_err(|e| e.to_string())?;
        // The instance is random by design; a history is not.
        let epoch = crate::protocol::Epoch { instance: 1, number: opened.epoch.number };
        let actions =
            ["once", "retried"].map(Action::new).into_iter().collect::<crate::Result<Vec<_>>>();
        let offer = Arc::new(Offer::of(actions.map_err(|e| e.to_string())?));
        let mut world = Self {
            coordinator: CoordinatorMachine::new(config.clone(), epoch),
            config,
            faults,
            random: Random(seed),
            now: Tick(0),
            order: 0,
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            coordinator_wake: None,
            store,
            nodes: Vec::new(),
            offer,
            submitted: Vec::new(),
            starts: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            granted: None,
            report: Report { trace: seed, starts: 0, ended: BTreeMap::new(), frames: 0 },
            history: record.then(Vec::new),
        };
        for index in 0..workers {
            let node = world.node(index, 0)?;
            world.nodes.push(node);
            world.at(Duration::ZERO, Event::Restart(index));
        }
        Ok(world)
    }

    fn node(&self, index: usize, incarnation: u64) -> Result<Node, String> {
        let id = WorkerId::new(&format!("w{index}-{incarnation}")).map_err(|e| e.to_string())?;
        let profile = WorkerProfile {
            id,
            name: format!("w{index}"),
            queues: Vec::new(),
            groups: Vec::new(),
            slots: 2,
            clean_slate: Vec::new(),
        };
        let machine = WorkerMachine::new(self.config.clone(), profile, self.offer.clone());
        let running = BTreeMap::new();
        Ok(Node {
            machine,
            incarnation,
            alive: false,
            wake: None,
            running,
            deaf: false,
            mute: false,
        })
    }

    fn run(mut self, executions: usize) -> Result<Report, String> {
        self.drive(executions)?;
        for id in std::mem::take(&mut self.submitted) {
            let execution = now(self.store.execution(id))
                .ok()
                .flatten()
                .ok_or("an accepted execution is gone")?;
            if !execution.status.is_terminal() {
                return Err(format!(
                    "{id} is {:?} long after the faults have stopped",
                    execution.status
                ));
            }
            let counted =
                execution.attempts.iter().filter(|attempt| attempt.outcome.is_some()).count();
            if counted > execution.retry.retries as usize + 1 {
                return Err(format!(
                    "{id} had {counted} attempts; its policy allows {}",
                    execution.retry.retries + 1
                ));
            }
            *self.report.ended.entry(execution.status.as_str()).or_default() += 1;
        }
        Ok(self.report)
    }

    fn drive(&mut self, executions: usize) -> Result<(), String> {
        let span = Duration::from_secs(600);
        for _ in 0..executions {
            let after = self.random.duration(span);
            self.at(after, Event::Submit);
        }
        for _ in 0..executions / 10 {
            let after = self.random.duration(span);
            self.at(after, Event::Cancel(None));
        }
        self.step_until(Tick(0) + span)?;
        // The faults stop; what is left has to end within leases, retries and the longest run.
        self.faults = Faults::NONE;
        for index in 0..self.nodes.len() {
            self.at(Duration::ZERO, Event::Heal(index));
        }
        self.step_until(Tick(0) + span + Duration::from_secs(1_800))
    }

    fn step_until(&mut self, end: Tick) -> Result<(), String> {
        while let Some(Reverse((at, key))) = self.events.peek().copied()
            && at <= end
        {
            self.events.pop();
            self.now = at;
            if let Some(event) = self.pending.remove(&key) {
                self.step(event)?;
            }
        }
        self.now = end;
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::ToCoordinator(from, message) => {
                self.note(|| format!("coordinator <- {from}: {message:?}"));
                self.coordinate(|machine, out| machine.receive(now, &from, message, out))?;
            }
            Event::ToWorker(index, message) => {
                if self.nodes[index].alive {
                    self.note(|| format!("w{index} <- {message:?}"));
                    self.work(index, |machine, out| machine.receive(now, message, out))?;
                    self.strike(index);
                }
            }
            Event::WakeCoordinator => self.coordinate(|machine, out| machine.tick(now, out))?,
            Event::WakeWorker(index, incarnation) => {
                if self.nodes[index].alive && self.nodes[index].incarnation == incarnation {
                    self.nodes[index].wake = None;
                    self.work(index, |machine, out| machine.tick(now, out))?;
                }
            }
            Event::Finish(index, incarnation, fence, outcome) => {
                let node = &mut self.nodes[index];
                if node.alive
                    && node.incarnation == incarnation
                    && node.running.remove(&fence).is_some()
                {
                    self.note(|| format!("w{index} finished {fence}: {outcome:?}"));
                    self.work(index, |machine, out| machine.finished(now, fence, outcome, 0, out))?;
                }
            }
            Event::Submit => self.submit()?,
            Event::Cancel(id) => self.cancel(id)?,
            Event::Restart(index) => {
                let incarnation = self.nodes[index].incarnation + 1;
                self.nodes[index] = self.node(index, incarnation)?;
                self.nodes[index].alive = true;
                self.note(|| format!("w{index} starts"));
                self.work(index, |machine, out| machine.link_up(now, out))?;
            }
            Event::Heal(index) => {
                self.nodes[index].deaf = false;
                self.nodes[index].mute = false;
            }
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), String> {
        let id = ExecutionId::from_u128(self.submitted.len() as u128 + 1);
        let retried = self.random.chance(0.5);
        let retry = if retried { RetryPolicy::exponential(3) } else { RetryPolicy::never() };
        let action = if retried { "retried" } else { "once" };
        let mut execution = Execution::new(id, action, Json::empty_object());
        execution.priority = (self.random.next() % 3) as i32;
        execution.timeout = self.random.chance(0.3).then_some(Duration::from_secs(20));
        execution.retry = retry;
        self.submitted.push(id);
        if self.random.chance(0.2) {
            let after = self.random.duration(Duration::from_secs(4));
            self.at(after, Event::Cancel(Some(id)));
        }
        let now = self.now;
        self.coordinate(|machine, out| {
            // The bound on unfinished executions is far away here.
            let _ = machine.submit(now, Arc::new(execution), out);
        })
    }

    fn cancel(&mut self, id: Option<ExecutionId>) -> Result<(), String> {
        let any = (self.random.next() as usize).checked_rem(self.submitted.len());
        let Some(id) = id.or(any.map(|place| self.submitted[place])) else { return Ok(()) };
        let (now, force) = (self.now, self.random.chance(0.3));
        let mut waited = false;
        self.coordinate(|machine, out| {
            waited = matches!(
                machine.cancel(now, id, force, out),
                Ok(crate::protocol::CancelOutcome::Cancelled)
            );
        })?;
        if waited {
            self.cancelled.insert(id);
        }
        Ok(())
    }

    fn coordinate(
        &mut self,
        act: impl FnOnce(&mut CoordinatorMachine, &mut Vec<CoordinatorEffect>),
    ) -> Result<(), String> {
        let mut effects = Vec::new();
        act(&mut self.coordinator, &mut effects);
        for effect in effects {
            match effect {
                CoordinatorEffect::Persist(transition) => {
                    self.note(|| format!("commit {transition:?}"));
                    if let Transition::Grant { fence, .. } = &transition
                        && self.granted.replace(*fence).is_some_and(|before| before >= *fence)
                    {
                        return Err(format!("fence {fence} does not increase"));
                    }
                    let at = Timestamp(self.now.0);
                    now(self.store.commit(&[transition], at))
                        .map_err(|e| format!("the store refuses: {e}"))?;
                }
                CoordinatorEffect::Send(to, message) => {
                    for index in 0..self.nodes.len() {
                        let addressed = match &to {
                            Address::Worker(id) => id == self.nodes[index].machine.id(),
                            Address::AllWorkers => true,
                            Address::Coordinator => false,
                        };
                        if addressed && !self.nodes[index].deaf {
                            self.transmit(message.clone(), |message| {
                                Event::ToWorker(index, message)
                            })?;
                        }
                    }
                }
                CoordinatorEffect::LogEnds { .. } | CoordinatorEffect::Superseded(_) => {}
            }
        }
        if let Some(wake) = self.coordinator.wake_at()
            && self.coordinator_wake.is_none_or(|at| at <= self.now || wake < at)
        {
            self.coordinator_wake = Some(wake);
            self.at(wake.since(self.now), Event::WakeCoordinator);
        }
        Ok(())
    }

    fn work(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut WorkerMachine, &mut Vec<WorkerEffect>),
    ) -> Result<(), String> {
        let mut effects = Vec::new();
        act(&mut self.nodes[index].machine, &mut effects);
        for effect in effects {
            match effect {
                WorkerEffect::Send(message) => {
                    if !self.nodes[index].mute {
                        let from = self.nodes[index].machine.id().clone();
                        self.transmit(message, |message| {
                            Event::ToCoordinator(from.clone(), message)
                        })?;
                    }
                }
                WorkerEffect::Start(dispatch) => {
                    self.start(index, dispatch.fence, dispatch.execution, dispatch.retryable)?
                }
                WorkerEffect::Stop(fence, stop) => {
                    let incarnation = self.nodes[index].incarnation;
                    let Some((_, stubborn)) = self.nodes[index].running.get(&fence).copied() else {
                        continue;
                    };
                    let after = if stubborn { stop.grace } else { stop.grace / 4 };
                    self.note(|| format!("w{index} stops {fence}: {stop:?}"));
                    // Now and then it finishes in spite of it.
                    let finishes = stop.reason == StopReason::Cancelled && self.random.chance(0.1);
                    let outcome = if finishes {
                        Outcome::Succeeded(Json::null())
                    } else {
                        Outcome::Cancelled
                    };
                    self.at(after, Event::Finish(index, incarnation, fence, outcome));
                }
                WorkerEffect::Forget(_) => {}
            }
        }
        let incarnation = self.nodes[index].incarnation;
        if let Some(wake) = self.nodes[index].machine.wake_at()
            && self.nodes[index].wake.is_none_or(|at| at <= self.now || wake < at)
        {
            self.nodes[index].wake = Some(wake);
            self.at(wake.since(self.now), Event::WakeWorker(index, incarnation));
        }
        Ok(())
    }

    fn start(
        &mut self,
        index: usize,
        fence: Fence,
        id: ExecutionId,
        retryable: bool,
    ) -> Result<(), String> {
        let running =
            |node: &Node| node.alive && node.running.values().any(|(other, _)| *other == id);
        // At-most-once attempts may outlive the coordinator's patience: nothing follows them.
        if self.nodes.iter().any(running) {
            return Err(format!("{id} starts on w{index} while another attempt at it lives"));
        }
        if self.cancelled.contains(&id) {
            return Err(format!("{id} starts after its cancel was acknowledged"));
        }
        let starts = self.starts.entry(id).or_default();
        *starts += 1;
        let execution =
            now(self.store.execution(id)).ok().flatten().ok_or("an unknown execution starts")?;
        if execution.status.is_terminal() {
            return Err(format!("{id} starts after its end as {:?}", execution.status));
        }
        if execution.retry.is_never() && *starts > 1 {
            return Err(format!("{id} may be started once and is started again"));
        }
        self.report.starts += 1;
        self.note(|| format!("w{index} starts {fence} of {id}, retryable: {retryable}"));
        let stubborn = self.random.chance(0.2);
        let incarnation = self.nodes[index].incarnation;
        self.nodes[index].running.insert(fence, (id, stubborn));
        let outcome = if self.random.chance(0.7) {
            Outcome::Succeeded(Json::null())
        } else {
            Outcome::failed("no")
        };
        let hangs = execution.timeout.is_some() && self.random.chance(0.3);
        if !hangs {
            let longest = if self.random.chance(0.7) {
                Duration::from_secs(2)
            } else {
                Duration::from_secs(300)
            };
            let after = self.random.duration(longest);
            self.at(after, Event::Finish(index, incarnation, fence, outcome));
        }
        Ok(())
    }

    /// Puts a message on the network: through the real encoding, lost, repeated and delayed as the faults will have it.
    fn transmit(
        &mut self,
        message: Message,
        event: impl Fn(Message) -> Event,
    ) -> Result<(), String> {
        self.report.frames += 1;
        let bytes = Frame { from: None, to: None, messages: vec![message] }.encode();
        for byte in &*bytes {
            self.report.trace =
                (self.report.trace ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let copies = if self.random.chance(self.faults.loss) {
            0
        } else if self.random.chance(self.faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let (frame, errors) = Frame::decode(&bytes).map_err(|e| e.to_string())?;
            if let Some(error) = errors.first() {
                return Err(error.to_string());
            }
            // Most frames are quick; a few are held back, some for very long.
            let longest =
                if self.random.chance(0.9) { self.faults.delay / 100 } else { self.faults.delay };
            for message in frame.messages {
                let after = self.random.duration(longest.max(Duration::from_micros(10)));
                self.at(after, event(message));
            }
        }
        Ok(())
    }

    /// Bad luck for a worker that has just received something.
    fn strike(&mut self, index: usize) {
        let lease = self.config.worker_lease;
        if self.random.chance(self.faults.crash) {
            self.note(|| format!("w{index} crashes"));
            self.nodes[index].alive = false;
            self.nodes[index].running.clear();
            let after = self.random.duration(lease * 2);
            self.at(after, Event::Restart(index));
        } else if self.random.chance(self.faults.partition) {
            let (deaf, mute) = (self.random.chance(0.6), self.random.chance(0.6));
            self.note(|| format!("w{index} is cut off: deaf {deaf}, mute {mute}"));
            self.nodes[index].deaf = deaf;
            self.nodes[index].mute = mute;
            let after = self.random.duration(lease * 2);
            self.at(after, Event::Heal(index));
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + after, self.order)));
        self.pending.insert(self.order, event);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            history.push(format!("{} {}", self.now, line()));
        }
    }
}

/// The memory store never waits.
fn now<T>(future: impl Future<Output = crate::Result<T>>) -> crate::Result<T> {
    match future.now_or_never() {
        Some(result) => result,
        None => Err(crate::Error::new(crate::ErrorKind::Other, "the memory store waited")),
    }
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }

    fn duration(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.next() % (longest.as_micros() as u64).max(1))
    }
}
