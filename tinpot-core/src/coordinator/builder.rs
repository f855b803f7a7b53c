//! Assembles a coordinator and starts its tasks.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};

use super::app_runs::Counted;
use super::changes::Recorder;
use super::control::{Control, Published};
use super::core::Core;
use super::idempotency::Commits;
use super::logs::LogPipeline;
use super::tickets::Tickets;
use super::trail::Trail;
use super::watch_registry::Registry;
use super::{Coordinator, Shared, Tasks, stats};
use crate::access::{AllowAll, AuditSink, Policy, SecretSealer, SecretSource, UploadKeeper};
use crate::clock::Clock;
use crate::joining::{Enroller, Joins};
use crate::log_sink::{LogSink, LogSinkFeeds};
use crate::model::address::{Address, Lane};
use crate::model::error::{ErrorKind, Result};
use crate::model::time::Timestamp;
use crate::model::trace::Sampling;
use crate::observer::{Observer, hook};
use crate::protocol::seal::{CoordinatorOptions, CoordinatorSessions, Desk, Suite};
use crate::protocol::{Catalogue, CoordinatorMachine, ProtocolConfig};
use crate::refusals::{AuditHook, Refusals};
use crate::store::{MemoryStore, Store};
use crate::transport::{Received, Transport};
use crate::wire::{CoordinatorEnd, Wire};

/// The maximum number of requests that wait for the control loop: one or two turns of it.
const COMMANDS: usize = 1024;
/// The maximum number of ends of logs that wait for the log pipeline.
const LOG_ENDS: usize = 4096;

/// The options of a [`Coordinator`].
///
/// ```
/// # use tinpot_core::{Coordinator, MemoryNetwork, MemoryStore, TracingLogSink};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let network = MemoryNetwork::new();
/// let coordinator = Coordinator::builder(network.transport())
///     .store(MemoryStore::new())
///     .log_sink(TracingLogSink)
///     .max_parameters_bytes(64 * 1024)
///     .start()
///     .await?;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CoordinatorBuilder {
    transport: Arc<dyn Transport>,
    store: Option<Arc<dyn Store>>,
    sinks: Vec<Arc<dyn LogSink>>,
    config: ProtocolConfig,
    max_parameters_bytes: usize,
    max_depth: Option<u32>,
    policy: Arc<dyn Policy>,
    has_teams: bool,
    audit: Option<Arc<dyn AuditSink>>,
    audit_digests: Option<Arc<dyn SecretSealer>>,
    secrets: Option<Arc<dyn SecretSource>>,
    tickets: Option<Tickets>,
    uploads: Option<Arc<dyn UploadKeeper>>,
    plain_secrets: bool,
    plain_serve_all_teams: bool,
    forget_secrets: bool,
    secret_digests: Option<Arc<dyn SecretSealer>>,
    sealed: Option<(Arc<dyn Suite>, CoordinatorOptions)>,
    enroller: Option<Arc<dyn Enroller>>,
    server: Option<String>,
    observer: Option<Arc<dyn Observer>>,
    sampling: Option<Sampling>,
}

impl CoordinatorBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            store: None,
            sinks: Vec::new(),
            config: ProtocolConfig::default(),
            max_parameters_bytes: 1024 * 1024,
            max_depth: None,
            policy: Arc::new(AllowAll),
            has_teams: false,
            audit: None,
            audit_digests: None,
            secrets: None,
            tickets: None,
            uploads: None,
            plain_secrets: false,
            plain_serve_all_teams: false,
            forget_secrets: false,
            secret_digests: None,
            sealed: None,
            enroller: None,
            server: None,
            observer: None,
            sampling: None,
        }
    }

    /// Sets the store of executions and logs. The default keeps them in memory.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Adds a sink that receives log lines after the store has them.
    ///
    /// Sinks are isolated from each other; see the contract of [`LogSink`].
    #[must_use]
    pub fn log_sink(mut self, sink: impl LogSink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Sets the times and bounds of the protocol. The coordinator sends the heartbeat and the
    /// leases to its workers.
    #[must_use]
    pub fn config(mut self, config: ProtocolConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the largest size of the parameters of an execution, in bytes. The default is 1 MiB.
    #[must_use]
    pub fn max_parameters_bytes(mut self, bytes: usize) -> Self {
        self.max_parameters_bytes = bytes;
        self
    }

    /// Sets the maximum depth of nested calls. The default is 32. It takes precedence over
    /// [`ProtocolConfig::max_depth`].
    #[must_use]
    pub fn max_depth(mut self, depth: u32) -> Self {
        self.max_depth = Some(depth);
        self
    }

    /// Sets whether there are several teams. Callers see nothing of teams other than [their
    /// own](crate::Caller::team). With one team, everything belongs to the default team, and lists
    /// are faster.
    #[must_use]
    pub fn teams(mut self, has_teams: bool) -> Self {
        self.has_teams = has_teams;
        self
    }

    /// Sets the policy that decides what callers may do: those of [`Coordinator::scoped`], and those
    /// whose executions call others. The default allows everything.
    #[must_use]
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Sets the audit of what callers do: those of [`Coordinator::scoped`], and those whose
    /// executions call others. By default there is none.
    ///
    /// Runs, calls, reruns, cancels, pauses and drains are recorded within about 100 ms, and refusals
    /// by the policy once a minute for each caller. Refused frames and
    /// [credentials](Coordinator::refused_credential) are at most eleven entries a minute. While more than 65,536 events wait for the sink,
    /// submissions wait, too, for up to 10 s; cancels do not.
    #[must_use]
    pub fn audit(mut self, sink: impl AuditSink) -> Self {
        self.audit = Some(Arc::new(sink));
        self
    }

    /// Sets the source of digests of parameters in the audit. With its key, an auditor can check which
    /// parameters a run had; without the key, the digests reveal nothing. By default there are
    /// none.
    #[must_use]
    pub fn audit_digests(mut self, sealer: impl SecretSealer) -> Self {
        self.audit_digests = Some(Arc::new(sealer));
        self
    }

    /// Sets the source of the secrets that attempts may ask for. They are sent in sealed frames only,
    /// unless [`plain_secrets`](Self::plain_secrets) accepts others. By default there are none.
    #[must_use]
    pub fn secrets(mut self, source: impl SecretSource) -> Self {
        self.secrets = Some(Arc::new(source));
        self
    }

    /// Sets the key of the tickets with which workers read the bundles of their attempts: see
    /// [`Coordinator::admit_ticket`]. A ticket outlives a restart if the key does. By default,
    /// attempts get no tickets.
    #[must_use]
    pub fn bundle_tickets(mut self, key: impl SecretSealer) -> Self {
        self.tickets = Some(Tickets::new(Arc::new(key)));
        self
    }

    /// Sets the keeper of the uploads to which parameters refer. Without one, submissions that refer to
    /// uploads are refused.
    #[must_use]
    pub fn uploads(mut self, keeper: impl UploadKeeper) -> Self {
        self.uploads = Some(Arc::new(keeper));
        self
    }

    /// If true, secrets and secret parameters are also sent in plain frames. Use it for workers of
    /// this process, or with a transport that no other program can read.
    #[must_use]
    pub fn plain_secrets(mut self, accepted: bool) -> Self {
        self.plain_secrets = accepted;
        self
    }

    /// If true, workers with plain frames run the deployed actions of all teams, instead of those of
    /// the default team. Use it for workers of this process, or with a transport on which the host
    /// has authenticated each worker.
    #[must_use]
    pub fn plain_workers_serve_all_teams(mut self, yes: bool) -> Self {
        self.plain_serve_all_teams = yes;
        self
    }

    /// If true, the secrets among the parameters of the executions that are accepted from now on are
    /// erased when these end. Such an execution cannot be rerun: it has to be submitted again.
    #[must_use]
    pub fn forget_secrets(mut self, yes: bool) -> Self {
        self.forget_secrets = yes;
        self
    }

    /// Sets the key of the digests that take the place of erased secrets when a submission is repeated
    /// with its idempotency key. Without the key, no reader of the store can find a secret by trying.
    /// By default, there are no digests, and erased secrets are not compared.
    #[must_use]
    pub fn secret_digests(mut self, key: impl SecretSealer) -> Self {
        self.secret_digests = Some(Arc::new(key));
        self
    }

    /// Seals all frames: with the namespace's key in the suite, for the workers whose keys are
    /// enrolled. By default, frames are plain.
    #[must_use]
    pub fn sealed(mut self, suite: impl Suite, options: CoordinatorOptions) -> Self {
        self.sealed = Some((Arc::new(suite), options));
        self
    }

    /// Lets workers join with the tokens that `enroller` accepts. It has an effect only with
    /// [`sealed`](Self::sealed) frames.
    #[must_use]
    pub fn enroller(mut self, enroller: impl Enroller) -> Self {
        self.enroller = Some(Arc::new(enroller));
        self
    }

    /// Sets the URL of the HTTP server in front of this coordinator. Workers that join learn it: they
    /// fetch the bundles of deployed actions there.
    #[must_use]
    pub fn server_url(mut self, url: Option<String>) -> Self {
        self.server = url;
        self
    }

    /// Sets the observer, for metrics. By default there is none, and nothing is measured.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Gives each execution and each attempt a span of its own, so that an observer can record
    /// them. Each attempt then gets the trace context of its span; by default, it gets that of the
    /// submitter.
    #[must_use]
    pub fn traces(mut self, sampling: Sampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// Opens the store, listens, and starts the coordinator's tasks on the current tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for times that are inconsistent, `Conflict` if another coordinator has the
    /// store open, and the errors of store and transport.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self) -> BoxFuture<'static, Result<Coordinator>> {
        Box::pin(self.start_tasks())
    }

    async fn start_tasks(self) -> Result<Coordinator> {
        self.config.check()?;
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let (opened, session) = store.open().await?;
        let control_frames = self.transport.listen(&Address::Coordinator, Lane::Control).await?;
        let log_frames = self.transport.listen(&Address::Coordinator, Lane::Logs).await?;
        let (catalogue, catalogue_receiver) = watch::channel(Arc::new(Catalogue::new()));
        let (changes, changed) = Recorder::new();
        let (log_sinks, deliveries) = LogSinkFeeds::new(self.sinks);
        let clock = Clock::start();
        let transport = self.transport;
        let (mut joins, mut requests) = (None, None);
        let (wire, handshakes) = match self.sealed {
            Some((suite, options)) => {
                let rotator = self.enroller.clone();
                if let Some(enroller) = self.enroller {
                    let desk = Desk::new(suite.clone(), options.namespace.clone());
                    let desk = desk.server(self.server).keys(&options.keys);
                    joins = Some(Arc::new(Joins::new(desk, enroller, clock)));
                    requests = requests_to_join(&*transport).await;
                }
                let sessions = CoordinatorSessions::new(suite, opened.epoch, options);
                let (end, handshakes) = CoordinatorEnd::new(sessions, rotator);
                (Wire::of_coordinator(transport.clone(), clock, end), Some(handshakes))
            }
            None => (Wire::plain(transport.clone(), clock), None),
        };
        let wire = wire.observed(self.observer.clone());
        let (audit, audit_writer) =
            self.audit.map(|sink| Trail::new(sink, self.audit_digests)).unzip();
        let audited = audit.as_ref().map(|audit| AuditHook(Box::new(audit.refused_frames())));
        let shared = Arc::new(Shared {
            wire,
            store,
            session,
            registry: Arc::new(Registry::default()),
            refusals: Refusals::new(self.observer.clone().map(hook)).audited(audited),
            log_sinks,
            commits: Commits::default(),
            catalogue: catalogue_receiver,
            changes: changed,
            stats: Arc::new(stats::Recent::new(Timestamp::now())),
            max_parameters_bytes: self.max_parameters_bytes,
            policy: self.policy,
            has_teams: self.has_teams,
            audit,
            secrets: self.secrets,
            tickets: self.tickets,
            uploads: self.uploads,
            plain_secrets: self.plain_secrets,
            plain_serve_all_teams: self.plain_serve_all_teams,
            forget_secrets: self.forget_secrets,
            secret_digests: self.secret_digests,
            joins: joins.clone(),
            app_runs: Counted::default(),
            observer: self.observer,
        });
        let epoch = opened.epoch;
        let config = ProtocolConfig {
            max_depth: self.max_depth.unwrap_or(self.config.max_depth),
            ..self.config
        };
        let mut core = Core::new(CoordinatorMachine::new(config, epoch));
        if let Some(sampling) = self.sampling {
            core.set_sampling(sampling);
        }
        let mut pipeline = LogPipeline::new(shared.clone(), clock, epoch);
        for execution in opened.granted.iter().chain(&opened.open_logs) {
            pipeline.expect(execution, shared.registry.restore(execution));
        }
        core.restore(clock.now(), Timestamp::now(), opened);
        // Published before the start, so that known actions can be submitted before any worker is
        // live.
        catalogue.send_replace(Arc::new(core.catalogue().clone()));
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        let (log_ends, log_end_receiver) = mpsc::channel(LOG_ENDS);
        let tasks = Arc::new(Tasks::default());
        let coordinator = Coordinator { shared: shared.clone(), commands, tasks: tasks.clone() };
        let published = Published { catalogue, changes };
        let (stats, store) = (shared.stats.clone(), shared.store.clone());
        tasks.spawn(async move { stats.load(&*store).await });
        if let Some(writer) = audit_writer {
            tasks.spawn(writer.run());
        }
        if let (Some(joins), Some(requests)) = (joins, requests) {
            let (shared, transport) = (shared.clone(), transport.clone());
            tasks.spawn(async move { joins.run(transport, &shared.refusals, requests).await });
        }
        if let Some(handshakes) = handshakes {
            let shared = shared.clone();
            tasks.spawn(async move { handshakes.run(&*transport, clock, &shared.refusals).await });
        }
        let control = Control::new(shared, core, clock, published, log_ends);
        tasks.spawn(control.run(control_frames, command_receiver));
        tasks.spawn(pipeline.run(log_frames, log_end_receiver));
        deliveries.into_iter().for_each(|delivery| tasks.spawn(delivery));
        Ok(coordinator)
    }
}

/// Returns the requests to join. Without them, the coordinator works: an access list of a broker may
/// not allow them, and a transport may not have them.
async fn requests_to_join(transport: &dyn Transport) -> Option<BoxStream<'static, Received>> {
    match transport.listen(&Address::Joins, Lane::Control).await {
        Ok(requests) => Some(requests),
        // The transport has no address for them. Workers join in another way.
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            tracing::debug!(%error, "workers cannot join by messages");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "workers cannot join by messages: the coordinator gets none");
            None
        }
    }
}
