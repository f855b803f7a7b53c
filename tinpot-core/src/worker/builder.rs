//! Assembles a worker and starts its tasks.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};

use super::Worker;
use super::control::{Control, Limits};
use super::logs::LogPump;
use super::offers::Offers;
use crate::clock::Clock;
use crate::executor::Executor;
use crate::model::action::check_label;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::time::Timestamp;
use crate::model::trace::Sampling;
use crate::observer::Observer;
use crate::protocol::seal::{Pins, Suite, WorkerSessions};
use crate::protocol::{ProtocolConfig, WorkerMachine, WorkerProfile};
use crate::transport::Transport;
use crate::wire::{Wire, WorkerEnd};

/// The maximum number of slots of a worker.
const SLOTS_MAX: u32 = 10_000;
/// The maximum number of keys of a namespace: the present and the next one.
const PINNED_MAX: usize = 2;

/// The options of a [`Worker`].
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, MemoryNetwork, Worker};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let network = MemoryNetwork::new();
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// let worker = Worker::builder(network.transport())
///     .executor(executor)
///     .name("build-machine")
///     .queues(["builds"])
///     .slots(4)
///     .start()
///     .await?;
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WorkerBuilder {
    transport: Arc<dyn Transport>,
    executors: Vec<Arc<dyn Executor>>,
    id: Option<WorkerId>,
    name: String,
    queues: Vec<String>,
    groups: Vec<String>,
    slots: u32,
    config: ProtocolConfig,
    clean_slate: Vec<WorkerId>,
    log_limit_bytes: u64,
    max_result_bytes: usize,
    version: String,
    sealed: Option<(Arc<dyn Suite>, Pins)>,
    observer: Option<Arc<dyn Observer>>,
    sampling: Option<Sampling>,
}

impl WorkerBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            executors: Vec::new(),
            id: None,
            name: "worker".to_owned(),
            queues: Vec::new(),
            groups: Vec::new(),
            slots: 2,
            config: ProtocolConfig::default(),
            clean_slate: Vec::new(),
            log_limit_bytes: 64 * 1024 * 1024,
            max_result_bytes: 1024 * 1024,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sealed: None,
            observer: None,
            sampling: None,
        }
    }

    /// Adds an executor. The worker offers its actions.
    #[must_use]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executors.push(Arc::new(executor));
        self
    }

    /// Returns the executors that were added.
    pub(crate) fn executors(&self) -> &[Arc<dyn Executor>] {
        &self.executors
    }

    /// Sets the name, for people. The default is `worker`. Several workers may share a name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the id, for a transport that needs to know it in advance. By default it is generated
    /// from the name. Every start needs a new id.
    #[must_use]
    pub fn id(mut self, id: WorkerId) -> Self {
        self.id = Some(id);
        self
    }

    /// Limits the worker to these queues. By default it serves all.
    #[must_use]
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// Limits the worker to the actions of these groups. By default it offers all.
    #[must_use]
    pub fn groups<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the number of slots: the attempts that run at once. The default is 2.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// Sets the times and bounds of the protocol. The worker uses the heartbeat and the leases that
    /// the coordinator sends. Those of `config` apply only to coordinators of earlier versions,
    /// which do not send them.
    #[must_use]
    pub fn config(mut self, config: ProtocolConfig) -> Self {
        self.config = config;
        self
    }

    /// Names earlier incarnations that are known to be dead, together with everything they started.
    /// The coordinator then gives up their attempts at once.
    #[must_use]
    pub fn clean_slate(mut self, dead: impl IntoIterator<Item = WorkerId>) -> Self {
        self.clean_slate = dead.into_iter().collect();
        self
    }

    /// Sets the largest log of an attempt, in bytes. The default is 64 MiB.
    #[must_use]
    pub fn log_limit_bytes(mut self, bytes: u64) -> Self {
        self.log_limit_bytes = bytes;
        self
    }

    /// Sets the largest result of an attempt, in bytes. The default is 1 MiB. With a larger result,
    /// the attempt fails.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.max_result_bytes = bytes;
        self
    }

    /// Sets the version of the program, for people. The default is the version of this crate.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Seals all frames: with the worker's key in the suite, for the coordinators that are pinned.
    /// By default, frames are plain.
    #[must_use]
    pub fn sealed(mut self, suite: impl Suite, pins: Pins) -> Self {
        self.sealed = Some((Arc::new(suite), pins));
        self
    }

    /// Sets the observer, for metrics. By default there is none, and nothing is measured.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Gives each attempt a span of its own, so that an observer can record it. The action then
    /// gets the trace context of that span; by default, it gets the one that the coordinator sent.
    #[must_use]
    pub fn traces(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// Listens, and starts the worker's tasks on the current tokio runtime. The worker introduces
    /// itself to the coordinator as soon as the transport is up.
    ///
    /// # Errors
    /// `InvalidInput` for slots, queues, groups, times or pins that are invalid, and for a worker
    /// without an executor; the errors of the transport.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self) -> BoxFuture<'static, Result<Worker>> {
        Box::pin(self.start_tasks())
    }

    async fn start_tasks(self) -> Result<Worker> {
        self.config.check()?;
        if !(1..=SLOTS_MAX).contains(&self.slots) {
            let message = format!("a worker has 1 to {SLOTS_MAX} slots, not {}", self.slots);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let pinned = self.sealed.as_ref().map_or(1, |(_, pins)| pins.keys.len());
        if !(1..=PINNED_MAX).contains(&pinned) {
            let message = format!("pins must have 1 or {PINNED_MAX} keys (got {pinned})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if self.executors.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a worker needs an executor"));
        }
        for (what, labels) in [("queue", &self.queues), ("group", &self.groups)] {
            labels.iter().try_for_each(|label| check_label(what, label))?;
        }
        let id = self.id.unwrap_or_else(|| WorkerId::generate(&self.name));
        let address = Address::Worker(id.clone());
        let speaks_for = self.transport.speaks_for();
        let local = Channel::Local { id: id.clone() };
        if ![Channel::Unknown, Channel::of(&address), local].contains(&speaks_for) {
            let message = format!(
                "the transport speaks for {speaks_for}, not for worker {id}: give the worker and its \
                 transport the same id"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let control_frames = self.transport.listen(&address, Lane::Control).await?;
        let broadcasts = self.transport.listen(&Address::AllWorkers, Lane::Control).await?;
        let log_frames = self.transport.listen(&address, Lane::Logs).await?;
        let offers = Offers::new(self.executors, self.groups.clone());
        let profile = WorkerProfile {
            id: id.clone(),
            name: self.name,
            queues: self.queues,
            groups: self.groups,
            slots: self.slots,
            clean_slate: self.clean_slate,
            version: self.version,
            started_at: Some(Timestamp::now()),
            pull: false,
            lease: None,
        };
        let clock = Clock::start();
        let (wire, coordinator_keys, key) = match self.sealed {
            Some((suite, pins)) => {
                let sessions = WorkerSessions::new(suite, id.clone(), pins);
                let end = WorkerEnd::new(sessions);
                let keys = end.pinned();
                let key = Some(end.key());
                (Wire::of_worker(self.transport, clock, end), keys, key)
            }
            None => (Wire::plain(self.transport, clock), watch::channel(Vec::new()).1, None),
        };
        let wire = wire.observed(self.observer.clone());
        let resend_interval = self.config.resend_interval;
        let machine = WorkerMachine::new(self.config, profile, offers.current());
        let pump =
            LogPump::new(id.clone(), wire.clone(), clock, resend_interval, Arc::new(Notify::new()));
        let pump = pump.observed(self.observer.clone());
        // One shutdown is enough.
        let (commands, command_receiver) = mpsc::channel(1);
        let limits =
            Limits { log_bytes: self.log_limit_bytes, result_bytes: self.max_result_bytes };
        let (drain, drain_requested) = watch::channel(false);
        let slots = self.slots;
        let control = Control::new(wire, machine, clock, offers, pump.entries(), limits, drain)
            .observed(self.observer, slots)
            .traced(self.sampling);
        let frames = futures::stream::select(control_frames, broadcasts);
        let tasks = vec![
            tokio::spawn(control.run(Box::pin(frames), command_receiver)),
            tokio::spawn(pump.run(log_frames)),
        ];
        Ok(Worker { id, commands, drain_requested, coordinator_keys, key, tasks })
    }
}
